use super::*;
use crate::facts::feed::Config as Known;

const DAY: i64 = 24 * 3600;

fn hear(facts: &mut Facts, at: i64, account: &str, number: &str) {
    hear_late(facts, (at, at), &[(field::WHATSAPP_ACCOUNT, account), (field::WHATSAPP_NUMBER_ID, number)]);
}

fn hear_late(facts: &mut Facts, (at, received): (i64, i64), about: &[(FieldId, &str)]) {
    let mut fields =
        vec![(field::EVENT_ACTION, "message_received"), (field::EVENT_DATASET, "whatsapp.messages")];
    fields.extend(about);
    facts.observe(&event(at, &fields), second(received));
}

fn told(facts: &mut Facts) -> Vec<String> {
    let told = taken(facts);
    let id = |value: &serde_json::Value| match value["event.action"].as_str().unwrap() {
        "waba_new" => format!("waba_new {}", value["whatsapp.waba.id"].as_str().unwrap()),
        "phone_number_new" => {
            format!("phone_number_new {}", value["whatsapp.phone_number.id"].as_str().unwrap())
        }
        other => other.to_owned(),
    };
    told.iter().map(id).collect()
}

#[test]
fn accounts_and_numbers_are_new_that_were_not_heard_of_in_the_first_day() {
    let mut facts = Facts::new(Config::default());
    hear(&mut facts, 0, "waba", "one");
    hear(&mut facts, DAY - 1, "waba", "two");
    assert_eq!(told(&mut facts), [""; 0]);
    hear(&mut facts, DAY, "waba", "one");
    hear(&mut facts, DAY, "waba", "three");
    hear(&mut facts, DAY + 1, "other", "four");
    hear(&mut facts, DAY + 2, "other", "four");
    let expected = ["phone_number_new three", "waba_new other", "phone_number_new four"];
    assert_eq!(told(&mut facts), expected);

    let mut event =
        event(DAY + 3, &[(field::EVENT_ACTION, "x"), (field::EVENT_DATASET, "whatsapp.messages")]);
    event.set_text(field::WHATSAPP_ACCOUNT, "0");
    event.set(field::WHATSAPP_TEST, Value::Bool(true));
    facts.observe(&event, second(DAY + 3));
    let fields = [
        (field::EVENT_ACTION, "message_registered"),
        (field::EVENT_DATASET, "whatsapp.sends"),
        (field::WHATSAPP_NUMBER_ID, "five"),
    ];
    facts.observe(&super::event(DAY + 3, &fields), second(DAY + 3));
    assert_eq!(told(&mut facts), [""; 0], "neither tests nor the business's own words are the feed");
}

#[test]
fn what_is_configured_is_known_and_all_else_is_new_at_once() {
    let known = ["waba", "one"].map(str::to_owned).to_vec();
    let mut facts = Facts::new(Config { feed: Known { known }, ..Config::default() });
    hear(&mut facts, 0, "waba", "one");
    hear(&mut facts, 1, "waba", "two");
    assert_eq!(told(&mut facts), ["phone_number_new two"]);
}

#[test]
fn what_was_told_is_known_when_it_is_read_back() {
    let mut facts = Facts::new(Config::default());
    hear(&mut facts, 0, "waba", "one");
    hear(&mut facts, DAY, "other", "two");
    let told_before = taken(&mut facts);
    let mut again = Facts::new(Config::default());
    hear(&mut again, 1, "waba", "one");
    told_before.iter().for_each(|value| read_back(&mut again, value));
    hear(&mut again, 2 * DAY, "other", "two");
    assert_eq!(told(&mut again), [""; 0]);
}

#[test]
fn what_is_known_has_a_bound() {
    let mut facts = Facts::new(Config::default());
    (0..10_010).for_each(|n| hear(&mut facts, n, "waba", &n.to_string()));
    let gauges = facts.gauges().feed;
    assert_eq!((gauges.accounts, gauges.numbers, gauges.refused), (1, 10_000, 10));
}

#[test]
fn a_feed_lags_that_is_late_for_five_minutes_in_a_row() {
    // Messages a minute, how many of them are late in each of the minutes, and how often it is told.
    let cases: [(i64, &[i64], usize); 7] = [
        (100, &[6, 6, 6, 6, 6], 1),
        (100, &[6; 12], 1),
        (100, &[5; 12], 0),
        (100, &[6, 6, 6, 6, 5, 6, 6, 6, 6], 0),
        (100, &[6, 6, 6, 6, 6, 0, 6, 6, 6, 6, 6], 2),
        (19, &[19; 12], 0),
        (100, &[100, 100, 100, 100], 0),
    ];
    for (messages, late, expected) in cases {
        let mut facts = Facts::new(Config::default());
        for (minute, late) in late.iter().enumerate() {
            for n in 0..messages {
                let received = 60 * (100 + minute as i64) + n * 60 / messages;
                let lag = if n < *late { 61 } else { 60 };
                hear_late(&mut facts, (received - lag, received), &[]);
            }
        }
        facts.advance(second(60 * (100 + late.len() as i64)));
        assert_eq!(told(&mut facts), vec!["feed_lagging"; expected], "{late:?} of {messages}");
    }
}
