//! The same comes again, in other batches and another order; what is another thing has another key.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::{Context, Update};
use super::fixtures::bodies;
use super::{RECEIVED, context, dedupe, read};
use crate::event::Timestamp;
use crate::pseudonym::{Key, Pseudonyms};

fn changes(body: &Value) -> Vec<(Value, Value)> {
    let entries = body["entry"].as_array().unwrap();
    let of = |entry: &Value| {
        let about = json!({"id": entry["id"], "time": entry["time"]});
        let changes = entry["changes"].as_array().cloned().unwrap_or_default();
        changes.into_iter().map(move |change| (about.clone(), change)).collect::<Vec<_>>()
    };
    entries.iter().flat_map(of).collect()
}

/// Each item of a list of a change in a change of its own.
fn apart(change: &Value) -> Vec<Value> {
    let lists =
        ["messages", "statuses", "calls", "groups", "message_echoes", "user_preferences", "user_id_update"];
    let is_whole = matches!(change["field"].as_str(), Some("history"));
    let mut parts = Vec::new();
    let mut rest = change.clone();
    for list in lists.iter().filter(|_| !is_whole) {
        for item in change["value"][list].as_array().into_iter().flatten() {
            let mut part = change.clone();
            let value = part["value"].as_object_mut().unwrap();
            value.retain(|key, _| key == "metadata" || key == "contacts");
            value.insert((*list).to_owned(), json!([item]));
            parts.push(part);
        }
        if let Some(value) = rest["value"].as_object_mut() {
            value.remove(*list);
        }
    }
    if parts.is_empty() {
        return vec![change.clone()];
    }
    if rest["value"].get("errors").is_some() && change["field"] == "messages" {
        parts.push(rest);
    }
    parts
}

fn body(entries: &[Value]) -> String {
    json!({"object": "whatsapp_business_account", "entry": entries}).to_string()
}

fn keys(update: Update) -> BTreeSet<u64> {
    update.keys.into_iter().collect()
}

#[test]
fn other_batches_and_another_order_have_the_same_keys() {
    for (path, text) in bodies().into_iter().filter(|(path, _)| !path.ends_with("broken_parts.json")) {
        let whole = read(&text).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut singles = Vec::new();
        for (about, change) in changes(&value) {
            for part in apart(&change) {
                let mut entry = about.clone();
                entry["changes"] = json!([part]);
                singles.push(entry);
            }
        }
        // What has no changes is the same in each batch.
        singles.extend(
            value["entry"].as_array().unwrap().iter().filter(|e| e.get("changes").is_none()).cloned(),
        );
        singles.reverse();
        let expected = keys(whole);
        assert_eq!(keys(read(&body(&singles)).unwrap()), expected, "{}: one batch, reversed", path.display());
        let mut apart = BTreeSet::new();
        for entry in &singles {
            apart.extend(keys(read(&body(std::slice::from_ref(entry))).unwrap()));
        }
        assert_eq!(apart, expected, "{}: each by itself", path.display());
    }
}

#[test]
fn every_item_of_the_fixtures_has_a_key_of_its_own() {
    for (path, text) in bodies() {
        let update = read(&text).unwrap();
        let count = update.keys.len();
        assert_eq!(keys(update).len(), count, "{}", path.display());
    }
}

#[test]
fn keys_do_not_change_with_the_key_of_pseudonyms_nor_with_the_arrival() {
    let rotated = Pseudonyms::new(Key::new('2', &[9; 32]).unwrap());
    for (path, text) in bodies() {
        let before = read(&text).unwrap();
        let after =
            super::super::read(text.as_bytes(), RECEIVED, &Context::new(rotated.clone(), dedupe())).unwrap();
        assert_eq!(before.keys, after.keys, "{}", path.display());
        assert_ne!(before.lines, after.lines, "{}", path.display());
    }
    let item = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":
        {"messages":[{"id":"wamid.1","type":"text"}],"statuses":[{"id":"wamid.2","status":"sent","recipient_id":"1"}]}}]},
        {"id":"1","time":1795521000,"changes":[{"field":"security","value":{"event":"PIN_CHANGED"}}]}]}"#;
    let later = Timestamp::from_seconds(1_795_521_600 + 6 * 86_400);
    let again = super::super::read(item.as_bytes(), later, &context()).unwrap();
    assert_eq!(read(item).unwrap().keys, again.keys, "a retry of six days later");
}

/// Pairs of changes of which the second is another thing, or the same.
#[test]
fn what_is_another_thing_has_another_key() {
    let message = |item: &str| {
        format!(
            r#"{{"field":"messages","value":{{"metadata":{{"phone_number_id":"1"}},"messages":[{item}]}}}}"#
        )
    };
    let status = |item: &str| format!(r#"{{"field":"messages","value":{{"statuses":[{item}]}}}}"#);
    let security = |value: &str| format!(r#"{{"field":"security","value":{value}}}"#);
    let history = |value: &str| format!(r#"{{"field":"history","value":{{"history":[{value}]}}}}"#);
    for (one, other, is_same, why) in [
        (message(r#"{"id":"a","type":"text"}"#), message(r#"{"id":"b","type":"text"}"#), false, "another id"),
        (
            message(r#"{"id":"a","type":"text","timestamp":"5"}"#),
            message(r#"{"type":"text","id":"a","new":1}"#),
            true,
            "another shape",
        ),
        (message(r#"{"id":"a","type":"text"}"#), message(r#"{"id":"a","type":"edit"}"#), false, "an edit"),
        (
            message(r#"{"id":"a","type":"edit"}"#),
            message(r#"{"id":"a","type":"revoke"}"#),
            false,
            "taken back",
        ),
        (
            message(r#"{"id":"a"}"#),
            message(r#"{"id":"a"}"#).replace("\"1\"", "\"2\""),
            false,
            "another number",
        ),
        (
            message(r#"{"from":"1","timestamp":"5"}"#),
            message(r#"{"from":"1","timestamp":"6"}"#),
            false,
            "without an id, another time",
        ),
        (
            message(r#"{"from":"1","timestamp":"5"}"#),
            message(r#"{"from":"2","timestamp":"5"}"#),
            false,
            "without an id, another person",
        ),
        (
            status(r#"{"id":"a","status":"sent"}"#),
            status(r#"{"id":"a","status":"read"}"#),
            false,
            "another status",
        ),
        (
            status(r#"{"id":"a","status":"read","recipient_id":"1"}"#),
            status(r#"{"id":"a","status":"read","recipient_id":"2"}"#),
            false,
            "another recipient",
        ),
        (
            status(r#"{"id":"a","status":"read","recipient_id":"g","recipient_participant_id":"1"}"#),
            status(r#"{"id":"a","status":"read","recipient_id":"g","recipient_participant_id":"2"}"#),
            false,
            "another member of the group",
        ),
        (
            status(r#"{"id":"a","status":"sent","timestamp":"1"}"#),
            status(r#"{"id":"a","status":"sent","timestamp":"2"}"#),
            true,
            "the time is no part of it",
        ),
        (message(r#"{"id":"a"}"#), status(r#"{"id":"a"}"#), false, "a message and a status"),
        (
            security(r#"{"event":"PIN_CHANGED","requester":"1"}"#),
            security(r#"{"requester":"1","event":"PIN_CHANGED"}"#),
            true,
            "the order of keys",
        ),
        (
            security(r#"{"event":"PIN_CHANGED"}"#),
            security(r#"{"event":"PIN_RESET_REQUEST"}"#),
            false,
            "another event",
        ),
        (
            history(r#"{"metadata":{"phase":0},"threads":[]}"#),
            history(r#"{"metadata":{"phase":0},"threads":[{"id":"1"}]}"#),
            false,
            "another synchronisation",
        ),
    ] {
        let key = |change: &str| {
            let body = format!(
                r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{change}]}}]}}"#
            );
            let keys = read(&body).unwrap().keys;
            assert_eq!(keys.len(), 1, "{change}");
            keys[0]
        };
        assert_eq!(key(&one) == key(&other), is_same, "{why}: {one} {other}");
    }
}

#[test]
fn what_has_neither_id_nor_time_counts_again_an_hour_later() {
    for change in [
        r#"{"field":"messages","value":{"errors":[{"code":130429}]}}"#,
        r#"{"field":"security","value":{"event":"PIN_CHANGED"}}"#,
        r#"{"field":"unheard_of","value":{}}"#,
    ] {
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{change}]}}]}}"#
        );
        let at = |seconds: i64| {
            let at = Timestamp::from_seconds(1_795_521_600 + seconds);
            super::super::read(body.as_bytes(), at, &context()).unwrap().keys
        };
        assert_eq!(at(0), at(3_599), "{change}");
        assert_ne!(at(0), at(3_600), "{change}");
    }
}
