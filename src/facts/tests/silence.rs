use serde_json::Value as Json;

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A feed of minutes: what is heard in each, and everything that is derived.
struct Feed {
    facts: Facts,
    told: Vec<Json>,
    is_watched: bool,
}

impl Feed {
    fn new() -> Self {
        Self { facts: Facts::new(Config::default()), told: Vec::new(), is_watched: true }
    }

    /// Goes from one second to another; `is_heard` says in which minutes a number is.
    fn run(&mut self, from: i64, to: i64, is_heard: impl Fn(i64, &str) -> bool) {
        for at in (from..to).step_by(60) {
            for number in ["one", "two"].iter().filter(|number| is_heard(at, number)) {
                hear(&mut self.facts, at, number);
            }
            if is_heard(at, "account") {
                let fields = [
                    (field::EVENT_ACTION, "template_status_updated"),
                    (field::EVENT_DATASET, "whatsapp.message_template_status_update"),
                ];
                self.facts.observe(&event(at, &fields), second(at));
            }
            if self.is_watched {
                self.facts.advance(second(at));
            }
            self.told.extend(taken(&mut self.facts));
        }
    }

    fn told(&mut self) -> Vec<(String, Option<String>)> {
        let text = |value: &Json, name: &str| value[name].as_str().map(str::to_owned);
        let told = std::mem::take(&mut self.told);
        let of_silence = told.iter().map(|v| (text(v, "event.action").unwrap(), text(v, "whatsapp.number")));
        of_silence
            .filter(|(action, _)| ["number_silent", "number_back", "feed_silent"].contains(&&**action))
            .collect()
    }
}

fn hear(facts: &mut Facts, at: i64, number: &str) {
    let fields = [
        (field::EVENT_ACTION, "message_received"),
        (field::EVENT_DATASET, "whatsapp.messages"),
        (field::WHATSAPP_ACCOUNT, "waba"),
        (field::WHATSAPP_NUMBER, number),
    ];
    facts.observe(&event(at, &fields), second(at));
}

fn of_number(action: &str, number: &str) -> (String, Option<String>) {
    (action.to_owned(), Some(number.to_owned()))
}

#[test]
fn a_number_that_is_silent_while_another_is_heard_is_told_once_and_when_it_is_back() {
    let mut feed = Feed::new();
    feed.run(0, 2 * DAY, |_, _| true);
    feed.run(2 * DAY, 2 * DAY + 9 * 60, |_, number| number == "two");
    assert_eq!(feed.told(), [], "ten minutes are never unusual");
    feed.run(2 * DAY + 9 * 60, 2 * DAY + HOUR, |_, number| number == "two");
    let told: Vec<_> = feed.told.iter().map(|value| value["event.start"].clone()).collect();
    assert_eq!(told, [Json::from(second(2 * DAY - 60).to_string())]);
    assert_eq!(feed.told(), [of_number("number_silent", "one")]);
    assert_eq!(feed.facts.gauges().silence.silent, 1);
    feed.run(2 * DAY + HOUR, 2 * DAY + HOUR + 60, |_, _| true);
    assert_eq!(feed.told[0]["event.duration_seconds"], HOUR + 60);
    assert_eq!(feed.told(), [of_number("number_back", "one")]);
}

#[test]
fn a_number_that_is_silent_while_the_account_is_heard_is_told() {
    let mut feed = Feed::new();
    feed.run(0, 2 * DAY, |_, number| number == "one");
    feed.run(2 * DAY, 2 * DAY + 8 * 60, |at, number| number == "account" && at == 2 * DAY + 7 * 60);
    feed.run(2 * DAY + 8 * 60, 2 * DAY + 12 * 60, |_, _| false);
    assert_eq!(feed.told(), [of_number("number_silent", "one")]);
}

#[test]
fn if_everything_is_silent_it_is_the_feed() {
    let mut feed = Feed::new();
    feed.run(0, 2 * DAY, |_, number| number != "account");
    feed.run(2 * DAY, 2 * DAY + 5 * HOUR, |_, _| false);
    assert_eq!(feed.told(), [("feed_silent".to_owned(), None)]);
    assert!(feed.facts.gauges().silence.is_feed_silent);
    feed.run(2 * DAY + 5 * HOUR, 2 * DAY + 6 * HOUR, |_, _| true);
    assert_eq!(feed.told(), []);
    feed.run(2 * DAY + 6 * HOUR, 3 * DAY, |_, _| false);
    assert_eq!(
        feed.told(),
        [("feed_silent".to_owned(), None)],
        "a feed that was heard again may fall silent again"
    );
}

#[test]
fn what_strangers_and_the_business_say_is_not_the_feed() {
    for (action, dataset) in [
        ("signature_missing", "whatsapp.webhook"),
        ("message_registered", "whatsapp.sends"),
        ("x", "whatsapp.facts"),
    ] {
        let mut feed = Feed::new();
        feed.run(0, 2 * DAY, |_, number| number == "one");
        for at in (2 * DAY..2 * DAY + HOUR).step_by(60) {
            let fields = [(field::EVENT_ACTION, action), (field::EVENT_DATASET, dataset)];
            feed.facts.observe(&event(at, &fields), second(at));
            feed.run(at, at + 60, |_, _| false);
        }
        assert_eq!(feed.told(), [("feed_silent".to_owned(), None)], "{action}");
    }
}

#[test]
fn nights_and_weekends_are_usual() {
    let is_open = |at: i64, _: &str| {
        let (day, hour) = (at.div_euclid(DAY) % 7, at % DAY / HOUR);
        day < 5 && (9..18).contains(&hour) && at / 60 % 3 == 0
    };
    let mut feed = Feed::new();
    feed.run(9 * HOUR, 12 * DAY, is_open);
    let told = feed.told();
    assert!(told.iter().all(|(action, _)| action == "feed_silent") && told.len() <= 1, "{told:?}");
    feed.run(12 * DAY, 15 * DAY, is_open);
    assert_eq!(feed.told(), [], "the second weekend is known");
    // On a Tuesday at noon one number is diverted.
    feed.run(15 * DAY, 15 * DAY + 12 * HOUR, is_open);
    feed.run(15 * DAY + 12 * HOUR, 16 * DAY, |at, number| number != "one" && is_open(at, number));
    assert_eq!(feed.told(), [of_number("number_silent", "one")]);
}

#[test]
fn nobody_is_missed_before_it_is_learned_or_while_nobody_watches() {
    let mut young = Feed::new();
    young.run(0, 23 * HOUR, |_, _| true);
    young.run(23 * HOUR, DAY, |_, number| number == "two");
    let mut rare = Feed::new();
    rare.run(0, 3 * DAY, |at, number| number == "two" || at % (2 * HOUR) == 0);
    rare.run(3 * DAY, 4 * DAY, |_, number| number == "two");
    let mut unwatched = Feed::new();
    unwatched.run(0, 2 * DAY, |_, _| true);
    unwatched.is_watched = false;
    unwatched.run(2 * DAY, 2 * DAY + 5 * HOUR, |_, number| number == "two");
    unwatched.is_watched = true;
    unwatched.run(2 * DAY + 10 * HOUR, 2 * DAY + 10 * HOUR + 600, |_, _| false);
    for mut feed in [young, rare, unwatched] {
        assert_eq!(feed.told(), []);
    }
}

#[test]
fn what_was_told_is_known_when_it_is_read_back() {
    let mut first = Feed::new();
    first.run(0, 2 * DAY, |_, _| true);
    first.run(2 * DAY, 2 * DAY + HOUR, |_, number| number == "two");
    let told = first.told.clone();
    assert_eq!(first.told(), [of_number("number_silent", "one")]);
    let mut again = Feed::new();
    again.is_watched = false;
    again.run(0, 2 * DAY, |_, _| true);
    told.iter().for_each(|value| read_back(&mut again.facts, value));
    again.is_watched = true;
    again.run(2 * DAY + HOUR, 2 * DAY + 3 * HOUR, |_, number| number == "two");
    assert_eq!(again.told(), []);
    again.run(2 * DAY + 3 * HOUR, 2 * DAY + 3 * HOUR + 60, |_, _| true);
    assert_eq!(again.told(), [of_number("number_back", "one")]);
}

#[test]
fn numbers_have_a_bound() {
    let mut facts = Facts::new(Config::default());
    (0..10_010).for_each(|n| hear(&mut facts, n, &n.to_string()));
    let gauges = facts.gauges().silence;
    assert_eq!((gauges.numbers, gauges.refused), (10_000, 10));
}
