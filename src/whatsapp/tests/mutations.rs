//! Bodies that nobody should send.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::super::twilio;
use super::fixtures::bodies;
use super::{RECEIVED, context, read};

/// The bodies that are JSON to the letter.
fn sound_bodies() -> Vec<Value> {
    bodies().iter().filter_map(|(_, body)| serde_json::from_str(body).ok()).collect()
}

/// Any JSON, with names and values that mean something now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~\u{e4}\u{1f600}\n]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["text", "edit", "system", "447700900123", "failed", "1795521540", "GB.1"])
            .prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        let name = prop_oneof![
            "[a-z_]{1,4}",
            Just("id".to_owned()),
            Just("type".to_owned()),
            Just("text".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Everything under a value that can be replaced.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found))
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| places(value, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

fn sentinel(id: &str) -> Value {
    json!({"field": "messages", "value": {"messages": [{"id": id, "from": "447700900123", "type": "text"}]}})
}

/// Every line is an object of its own, and has a key.
fn check(update: &super::Update) {
    assert_eq!(update.lines.lines().count(), update.keys.len());
    for line in update.lines.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_broken_change_costs_its_neighbours_nothing(
        body in any::<Index>(),
        change in any::<Index>(),
        mutations in prop::collection::vec((any::<Index>(), any_json()), 1..4),
    ) {
        let bodies = sound_bodies();
        let value = body.get(&bodies);
        let entries = value["entry"].as_array().unwrap();
        let changes: Vec<_> = entries.iter().filter_map(|entry| entry["changes"].as_array()).flatten().collect();
        let mut mutant: Value = (*change.get(&changes)).clone();
        for (at, with) in mutations {
            let mut found = Vec::new();
            places(&mutant, "", &mut found);
            let place: &String = at.get(&found);
            *mutant.pointer_mut(place).unwrap() = with;
        }
        let one = |changes: Vec<Value>| {
            let entry = json!({"id": "1", "changes": changes});
            json!({"object": "whatsapp_business_account", "entry": [entry, {"id": "1", "changes": [sentinel("b")]}]})
        };
        let with = read(&one(vec![sentinel("a"), mutant, sentinel("c")]).to_string()).unwrap();
        let without = read(&one(vec![sentinel("a"), sentinel("c")]).to_string()).unwrap();
        check(&with);
        for line in without.lines.lines() {
            prop_assert!(with.lines.contains(line), "{line} is lost");
        }
        prop_assert!(without.keys.iter().all(|key| with.keys.contains(key)));
    }

    #[test]
    fn bytes_that_are_changed_do_no_harm(
        body in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0usize..3), 1..6),
    ) {
        let bodies = bodies();
        let mut bytes = body.get(&bodies).1.clone().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(update) = super::super::read(&bytes, RECEIVED, &context()) {
            check(&update);
            for failure in &update.failed {
                prop_assert!(std::str::from_utf8(&bytes[failure.text.clone()]).is_ok(), "a place in the body");
            }
        }
    }

    #[test]
    fn any_form_is_one_line_or_none(pairs in prop::collection::vec((
        prop_oneof!["[A-Za-z0-9]{0,8}", prop::sample::select(vec!["From", "To", "MessageStatus", "Body", "ChannelPrefix",
            "ErrorCode", "MessageSid"]).prop_map(str::to_owned)],
        prop_oneof!["[ -~\u{e4}\n]{0,12}", Just("whatsapp".to_owned()), Just("whatsapp:+447700900123".to_owned())],
    ), 0..8)) {
        let update = twilio::read(&pairs, RECEIVED, &context());
        check(&update);
        prop_assert_eq!(update.keys.len() + update.failed.len(), 1);
    }
}
