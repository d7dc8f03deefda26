use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::facts::orphans::Config as Limits;

const GRACE: i64 = 300;

fn register(facts: &mut Facts, at: i64, message: &str, about: &[(FieldId, &str)]) {
    let mut fields = vec![(field::EVENT_ACTION, "message_registered"), (field::WHATSAPP_MESSAGE, message)];
    fields.extend(about);
    facts.observe(&event(at, &fields), second(at));
}

/// A status that happened at one second and was received at another.
fn status(
    facts: &mut Facts,
    (at, received): (i64, i64),
    action: &str,
    message: &str,
    about: &[(FieldId, &str)],
) {
    let mut fields = vec![
        (field::EVENT_ACTION, action),
        (field::WHATSAPP_MESSAGE, message),
        (field::WHATSAPP_ORIGIN, "api"),
        (field::WHATSAPP_ACCOUNT, "waba"),
        (field::WHATSAPP_NUMBER_ID, "one"),
        (field::WHATSAPP_NUMBER, "one"),
    ];
    fields.extend(about);
    facts.observe(&event(at, &fields), second(received));
}

fn orphans(facts: &mut Facts) -> Vec<String> {
    let values = taken(facts);
    assert!(values.iter().all(|value| value["event.action"] == "message_orphaned"), "{values:?}");
    values.iter().map(|value| value["whatsapp.message.id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_message_that_nobody_registered_is_told_once_with_what_is_known_of_it() {
    let mut facts = Facts::new(Config::default());
    register(&mut facts, 0, "m1_own", &[(field::WHATSAPP_NUMBER_ID, "one")]);
    status(&mut facts, (1000, 1002), "message_sent", "m1_own", &[]);
    status(&mut facts, (1000, 1002), "message_sent", "m1_alien", &[(field::WHATSAPP_USER, "u1_ann")]);
    status(&mut facts, (1001, 1004), "message_failed", "m1_alien", &[]);
    facts.advance(second(1002 + GRACE - 1));
    assert_eq!(facts.take(), [], "it may still be registered");
    facts.advance(second(1002 + GRACE));
    let first = facts.take();
    let told: serde_json::Value = serde_json::from_str(&first[0].line).unwrap();
    let expected = serde_json::json!({
        "@timestamp": "1970-01-01T00:21:42Z",
        "event.module": "whatsapp",
        "event.dataset": "whatsapp.facts",
        "event.category": "messaging",
        "event.action": "message_orphaned",
        "event.start": "1970-01-01T00:16:40Z",
        "whatsapp.waba.id": "waba",
        "whatsapp.number": "one",
        "whatsapp.user.id": "u1_ann",
        "whatsapp.message.id": "m1_alien",
        "whatsapp.status": "sent",
    });
    assert_eq!((first.len(), told), (1, expected));
    status(&mut facts, (5000, 5000), "message_failed", "m1_alien", &[]);
    facts.advance(second(9000));
    assert_eq!(facts.take(), [], "only its first status is told");
}

#[test]
fn what_nobody_could_have_registered_is_no_orphan() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
    let cases: [Case; 9] = [
        ("message_sent", &[], true),
        ("message_failed", &[], true),
        ("message_read", &[], false),
        ("message_delivered", &[], false),
        ("message_echoed", &[], false),
        ("standby_message", &[], false),
        ("message_sent", &[("whatsapp.message.origin", "app")], false),
        ("message_sent", &[("whatsapp.group.id", "g1_team")], false),
        ("message_sent", &[("whatsapp.waba.id", "other"), ("whatsapp.phone_number.id", "other")], false),
    ];
    let schema = Schema::new();
    for (action, about, expected) in cases {
        let mut facts = Facts::new(Config::default());
        register(&mut facts, 0, "m1_own", &[(field::WHATSAPP_NUMBER_ID, "one")]);
        let about: Vec<_> = about.iter().map(|(name, text)| (schema.find(name).unwrap(), *text)).collect();
        status(&mut facts, (1000, 1000), action, "m1_x", &about);
        facts.advance(second(9000));
        assert_eq!(!orphans(&mut facts).is_empty(), expected, "{action} {about:?}");
    }
    for flag in [field::WHATSAPP_TEST, field::WHATSAPP_BACKFILL] {
        let mut facts = Facts::new(Config::default());
        register(&mut facts, 0, "m1_own", &[(field::WHATSAPP_NUMBER_ID, "one")]);
        let fields = [
            (field::EVENT_ACTION, "message_sent"),
            (field::WHATSAPP_MESSAGE, "m1_x"),
            (field::WHATSAPP_ORIGIN, "api"),
            (field::WHATSAPP_NUMBER_ID, "one"),
        ];
        let mut event = event(1000, &fields);
        event.set(flag, Value::Bool(true));
        facts.observe(&event, second(1000));
        facts.advance(second(9000));
        assert_eq!(facts.take(), []);
    }
}

#[test]
fn numbers_are_judged_once_something_of_theirs_is_registered() {
    let account: (FieldId, &str) = (field::WHATSAPP_ACCOUNT, "waba");
    let number: (FieldId, &str) = (field::WHATSAPP_NUMBER_ID, "one");
    let other: (FieldId, &str) = (field::WHATSAPP_NUMBER_ID, "two");
    for (about, expected) in [
        (vec![number], true),
        (vec![account], true),
        (vec![number, account], true),
        (vec![other], false),
        (vec![other, account], false),
        (vec![], false),
    ] {
        let mut facts = Facts::new(Config::default());
        register(&mut facts, 0, "m1_own", &about);
        status(&mut facts, (1000, 1000), "message_sent", "m1_x", &[]);
        facts.advance(second(2000));
        assert_eq!(!orphans(&mut facts).is_empty(), expected, "{about:?}");
    }
    let mut facts = Facts::new(Config::default());
    register(&mut facts, 0, "m1_own", &[]);
    status(&mut facts, (1, 1), "message_sent", "m1_own", &[]);
    status(&mut facts, (GRACE, GRACE), "message_sent", "m1_before", &[]);
    status(&mut facts, (1000, 1000), "message_sent", "m1_x", &[]);
    facts.advance(second(2000));
    assert_eq!(orphans(&mut facts), ["m1_x"], "a status shows which number a registered message is of");
    assert_eq!(facts.gauges().orphans.before_registration, 1);
}

#[test]
fn a_change_of_keys_makes_no_orphans() {
    let number = [(field::WHATSAPP_NUMBER_ID, "one")];
    let mut facts = Facts::new(Config::default());
    register(&mut facts, 0, "m1_own", &number);
    status(&mut facts, (1000, 1000), "message_sent", "m2_own", &[]);
    register(&mut facts, 1100, "m2_next", &number);
    status(&mut facts, (1200, 1200), "message_sent", "m2_x", &[]);
    status(&mut facts, (1401, 1401), "message_sent", "m2_y", &[]);
    facts.advance(second(2000));
    assert_eq!(orphans(&mut facts), ["m2_y"]);
    assert_eq!(facts.gauges().orphans.suspended, 1);
}

#[test]
fn judgement_is_suspended_for_what_is_older_than_what_is_remembered() {
    let config = Limits { max_registered: 16, ..Limits::default() };
    let mut facts = Facts::new(Config { orphans: config, ..Config::default() });
    let names: Vec<_> = (0..64).map(|n| format!("m1_{n}")).collect();
    for (at, name) in names.iter().enumerate() {
        register(&mut facts, 1000 * at as i64, name, &[(field::WHATSAPP_NUMBER_ID, "one")]);
    }
    for (at, name) in names.iter().enumerate() {
        status(&mut facts, (1000 * at as i64, 64_000), "message_sent", name, &[]);
    }
    status(&mut facts, (64_000, 64_000), "message_sent", "m1_x", &[]);
    facts.advance(second(70_000));
    assert_eq!(orphans(&mut facts), ["m1_x"]);
    let gauges = facts.gauges().orphans;
    assert_eq!((gauges.registered, gauges.registered_evicted), (16, 48));
    assert_eq!(gauges.suspended + gauges.before_registration, 48);
}

#[test]
fn what_was_told_before_is_not_told_again_when_it_is_read_back() {
    let first = |facts: &mut Facts| {
        register(facts, 0, "m1_own", &[(field::WHATSAPP_NUMBER_ID, "one")]);
        status(facts, (1000, 1000), "message_sent", "m1_x", &[]);
    };
    let mut facts = Facts::new(Config::default());
    first(&mut facts);
    facts.advance(second(1300));
    let told = facts.take();
    let mut again = Facts::new(Config::default());
    first(&mut again);
    again.advance(second(7000));
    assert_eq!(again.take(), told, "when the same is read back the same is derived, with the same key");

    let mut later = Facts::new(Config::default());
    register(&mut later, 600, "m1_other", &[(field::WHATSAPP_NUMBER_ID, "one")]);
    read_back(&mut later, &serde_json::from_str(&told[0].line).unwrap());
    status(&mut later, (1001, 1301), "message_failed", "m1_x", &[]);
    later.advance(second(7000));
    assert_eq!(later.take(), [], "what was told is known although its cause is not read back");
}

#[derive(Clone, Debug)]
struct Step {
    is_registration: bool,
    message: u8,
    at: i64,
    delay: i64,
}

proptest! {
    /// Against a list of everything: registrations and statuses in any order, late and twice.
    #[test]
    fn orphans_agree_with_the_list(
        steps in prop::collection::vec(
            (any::<bool>(), 0u8..40, 0i64..3000, prop_oneof![0i64..5, 0i64..900])
                .prop_map(|(is_registration, message, at, delay)| Step { is_registration, message, at, delay }),
            1..120,
        ),
        ticks in prop::collection::vec(0i64..4000, 0..20),
    ) {
        let mut steps = steps;
        steps.sort_by_key(|step| step.at + step.delay);
        let mut facts = Facts::new(Config::default());
        let names: Vec<_> = (0..40).map(|n| format!("m1_{n}")).collect();
        let mut ticks = ticks;
        ticks.sort_unstable();
        let mut ticks = ticks.into_iter().peekable();
        for step in &steps {
            let received = step.at + step.delay;
            while let Some(tick) = ticks.next_if(|tick| *tick <= received) {
                facts.advance(second(tick));
            }
            let name = &names[usize::from(step.message)];
            if step.is_registration {
                register(&mut facts, received, name, &[(field::WHATSAPP_NUMBER_ID, "one")]);
            } else {
                status(&mut facts, (step.at, received), "message_sent", name, &[]);
            }
        }
        facts.advance(second(100_000));
        let found = orphans(&mut facts);
        let unique: BTreeSet<_> = found.iter().cloned().collect();
        prop_assert_eq!(found.len(), unique.len(), "none is told twice");

        let received = |step: &Step| step.at + step.delay;
        let began = steps.iter().position(|step| step.is_registration);
        let expected: BTreeSet<_> = steps
            .iter()
            .enumerate()
            .filter(|(place, step)| {
                let is_judged = began.is_some_and(|began| {
                    began < *place && step.at >= received(&steps[began]) + GRACE
                });
                let registered_by = |end: i64| {
                    steps.iter().enumerate().any(|(other, registration)| {
                        registration.is_registration
                            && registration.message == step.message
                            && (other < *place || received(registration) < end)
                    })
                };
                !step.is_registration && is_judged && !registered_by(received(step) + GRACE)
            })
            .map(|(_, step)| names[usize::from(step.message)].clone())
            .collect();
        prop_assert_eq!(unique, expected);
    }
}

#[test]
fn a_flood_of_orphans_has_a_bound() {
    let config = Limits { grace: Duration::from_secs(300), max_registered: 100 };
    let mut facts = Facts::new(Config { orphans: config, ..Config::default() });
    register(&mut facts, 0, "m1_own", &[(field::WHATSAPP_NUMBER_ID, "one")]);
    for n in 0..120_000 {
        status(&mut facts, (1000, 1000), "message_sent", &format!("m1_{n}"), &[]);
    }
    let gauges = facts.gauges().orphans;
    assert_eq!((gauges.waiting, gauges.overflowed), (100_000, 20_000));
}
