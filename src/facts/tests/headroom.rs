use super::*;
use crate::facts::headroom::Config as Limits;

const PRICED: [(FieldId, &str); 2] =
    [(field::WHATSAPP_PRICING_TYPE, "regular"), (field::WHATSAPP_PRICING_CATEGORY, "marketing")];

fn facts(limits: Limits) -> Facts {
    Facts::new(Config { headroom: limits, ..Config::default() })
}

fn send(facts: &mut Facts, at: i64, account: &str, user: &str, about: &[(FieldId, &str)]) {
    let mut fields = vec![
        (field::EVENT_ACTION, "message_sent"),
        (field::WHATSAPP_ORIGIN, "api"),
        (field::WHATSAPP_ACCOUNT, account),
        (field::WHATSAPP_USER, user),
    ];
    fields.extend(about);
    facts.observe(&event(at, &fields), second(at));
}

fn limit(facts: &mut Facts, at: i64, account: &str, limit: i64) {
    let mut event = event(at, &[(field::EVENT_ACTION, "limits_updated"), (field::WHATSAPP_ACCOUNT, account)]);
    event.set_int(field::WHATSAPP_LIMIT, limit);
    facts.observe(&event, second(at));
}

fn percents(facts: &mut Facts) -> Vec<i64> {
    let values = taken(facts);
    let of_headroom = values.iter().filter(|value| value["event.action"] == "headroom_low");
    of_headroom.map(|value| value["whatsapp.headroom.percent"].as_i64().unwrap()).collect()
}

#[test]
fn a_limit_that_is_nearly_used_is_told_at_80_and_at_95_percent_and_again_when_it_was_below_75() {
    let mut facts = facts(Limits::default());
    limit(&mut facts, 0, "waba", 100);
    for n in 0..100 {
        send(&mut facts, 60 * n, "waba", &format!("u1_{n}"), &PRICED);
    }
    let told = taken(&mut facts);
    let told: Vec<_> = told.iter().filter(|value| value["event.action"] == "headroom_low").collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0]["whatsapp.headroom.used"], 80);
    assert_eq!(told[0]["whatsapp.headroom.limit"], 100);
    assert_eq!(told[0]["whatsapp.headroom.percent"], 80);
    assert_eq!(told[0]["whatsapp.headroom.seconds_left"], 20 * 60);
    assert_eq!(told[0]["whatsapp.headroom.portfolio"], "waba");
    assert_eq!(told[1]["whatsapp.headroom.percent"], 95);

    let day = 24 * 3600;
    facts.advance(second(day + 60 * 22 + 60));
    assert_eq!(facts.gauges().headroom.portfolios[0].used, 77);
    for n in 0..10 {
        send(&mut facts, day + 60 * 24, "waba", &format!("u1_next{n}"), &PRICED);
    }
    assert_eq!(percents(&mut facts), [0; 0], "it has not been below 75 % in between");
    facts.advance(second(day + 60 * 60));
    for n in 0..50 {
        send(&mut facts, day + 60 * 60, "waba", &format!("u1_again{n}"), &PRICED);
    }
    assert_eq!(percents(&mut facts), [80, 95]);
}

#[test]
fn messages_count_that_the_business_began() {
    use field::{WHATSAPP_PRICING_CATEGORY as CATEGORY, WHATSAPP_PRICING_TYPE as TYPE};
    let cases: [(&[(FieldId, &str)], u64); 12] = [
        (&[(TYPE, "regular"), (CATEGORY, "marketing")], 1),
        (&[(TYPE, "regular"), (CATEGORY, "marketing_lite")], 1),
        (&[(TYPE, "regular"), (CATEGORY, "authentication-international")], 1),
        (&[(CATEGORY, "utility")], 1),
        (&[(TYPE, "regular")], 1),
        (&[(field::WHATSAPP_TEMPLATE, "7")], 1),
        (&[], 0),
        (&[(TYPE, "regular"), (CATEGORY, "service")], 0),
        (&[(TYPE, "free_customer_service"), (CATEGORY, "utility")], 0),
        (&[(TYPE, "free_entry_point"), (CATEGORY, "referral_conversion")], 0),
        (&[(TYPE, "free_customer_service"), (field::WHATSAPP_TEMPLATE, "7")], 0),
        (&[(TYPE, "regular"), (CATEGORY, "marketing"), (field::WHATSAPP_GROUP, "g1_x")], 0),
    ];
    for (about, expected) in cases {
        let mut facts = facts(Limits { limit: Some(100), ..Limits::default() });
        send(&mut facts, 1000, "waba", "u1_ann", about);
        send(&mut facts, 1060, "waba", "u1_ann", about);
        let used = facts.gauges().headroom.portfolios.first().map_or(0, |portfolio| portfolio.used);
        assert_eq!(used, expected, "{about:?}");
    }
}

#[test]
fn accounts_of_a_portfolio_are_counted_together_from_when_it_is_known() {
    let mut facts = facts(Limits { limit: Some(10), ..Limits::default() });
    for (account, user) in [("waba", "u1_a"), ("waba", "u1_b"), ("wabb", "u1_b"), ("wabb", "u1_c")] {
        send(&mut facts, 100, account, user, &PRICED);
    }
    assert_eq!(facts.gauges().headroom.portfolios.len(), 2);
    for account in ["waba", "wabb"] {
        let fields = [
            (field::EVENT_ACTION, "partner_added"),
            (field::WHATSAPP_ACCOUNT, account),
            (field::WHATSAPP_BUSINESS, "owner"),
        ];
        facts.observe(&event(200, &fields), second(200));
    }
    send(&mut facts, 300, "waba", "u1_d", &PRICED);
    let gauges = facts.gauges().headroom;
    assert_eq!(gauges.recipients, 4);
    let [portfolio] = &gauges.portfolios[..] else { panic!("{gauges:?}") };
    assert_eq!((portfolio.id.as_str(), portfolio.used, portfolio.limit), ("owner", 4, Some(10)));
}

#[test]
fn the_limit_is_the_one_that_was_last_said() {
    let mut facts = facts(Limits { limit: Some(10), ..Limits::default() });
    limit(&mut facts, 100, "waba", 1000);
    limit(&mut facts, 50, "waba", 5);
    for n in 0..90 {
        send(&mut facts, 200, "waba", &format!("u1_{n}"), &PRICED);
    }
    assert_eq!(percents(&mut facts), [0; 0], "neither the configured limit counts nor an older one");
    limit(&mut facts, 300, "waba", -1);
    assert_eq!((percents(&mut facts), facts.gauges().headroom.portfolios[0].limit), (vec![], None));
    limit(&mut facts, 400, "waba", 100);
    assert_eq!(percents(&mut facts), [90], "a limit that is lowered may be nearly used at once");
}

#[test]
fn what_was_told_is_not_told_again_when_too_little_is_read_back() {
    let mut first = facts(Limits { limit: Some(100), ..Limits::default() });
    (0..80).for_each(|n| send(&mut first, 60 * n, "waba", &format!("u1_{n}"), &PRICED));
    let told = taken(&mut first);
    let mut again = facts(Limits { limit: Some(100), ..Limits::default() });
    (50..60).for_each(|n| send(&mut again, 60 * n, "waba", &format!("u1_{n}"), &PRICED));
    told.iter().for_each(|value| read_back(&mut again, value));
    (0..90).for_each(|n| send(&mut again, 4800, "waba", &format!("u1_{n}"), &PRICED));
    assert_eq!(percents(&mut again), [0; 0]);
}

#[test]
fn people_and_portfolios_have_a_bound() {
    let mut facts = facts(Limits { limit: None, max_recipients: 5000 });
    for n in 0..20_000 {
        send(&mut facts, 100, "large", &format!("u1_{n}"), &PRICED);
    }
    for n in 0..100 {
        send(&mut facts, 100, &format!("waba{n}"), "u1_ann", &PRICED);
    }
    let gauges = facts.gauges().headroom;
    assert!(gauges.recipients <= 5000, "{}", gauges.recipients);
    assert_eq!((gauges.portfolios.len(), gauges.refused), (64, 100 - 63));
    let large = gauges.portfolios.iter().find(|portfolio| portfolio.id == "large").unwrap();
    assert!(!large.is_exact && (18_000..22_000).contains(&large.used), "{large:?}");
    assert!(gauges.portfolios.iter().filter(|portfolio| portfolio.id != "large").all(|p| p.is_exact));
}
