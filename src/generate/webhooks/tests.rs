//! What whoever reads webhooks relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::generate::{Config, Generator, Kind, Label, Record, Stream, Subject};

/// Webhooks and hardly anything else.
fn config(attacks: &[Kind]) -> Config {
    Config { lines: 10, addresses: 10, messages: 6000, attacks: attacks.to_vec(), ..Config::default() }
}

/// All bodies with their times, and all labels.
fn run(config: &Config) -> (Vec<(i64, Value)>, Vec<Label>) {
    let (mut bodies, mut labels) = (Vec::new(), Vec::new());
    for record in Generator::new(config).expect("a good configuration") {
        match record {
            Record::Line(line) if line.stream == Stream::Webhooks => {
                bodies.push((line.at_ms, serde_json::from_str(&line.text).expect("a body is JSON")));
            }
            Record::Line(_) => {}
            Record::Label(label) => labels.push(label),
        }
    }
    (bodies, labels)
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn change(body: &Value) -> (&str, &Value) {
    let change = &body["entry"][0]["changes"][0];
    (change["field"].as_str().expect("a change has a field"), &change["value"])
}

/// What a body says its second is, if it does.
fn second(body: &Value) -> Option<i64> {
    let (_, value) = change(body);
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let lists = ["messages", "statuses", "message_echoes", "user_preferences", "calls"];
    number(&body["entry"][0]["time"])
        .or_else(|| lists.iter().find_map(|name| number(&list(value, name).first()?["timestamp"])))
}

#[test]
fn bodies_have_the_shape_of_the_platforms_and_come_in_the_order_of_time() {
    let (bodies, _) = run(&config(Kind::MESSAGING));
    let mut last = 0;
    let mut fields: BTreeMap<String, u32> = BTreeMap::new();
    for (at_ms, body) in &bodies {
        assert!(*at_ms >= last, "{at_ms} after {last}");
        last = *at_ms;
        assert_eq!(body["object"], "whatsapp_business_account");
        assert_eq!(list(body, "entry").len(), 1);
        assert_eq!(body["entry"][0]["id"], "102290129340398");
        assert_eq!(list(&body["entry"][0], "changes").len(), 1);
        let (field, value) = change(body);
        *fields.entry(field.to_owned()).or_default() += 1;
        if field != "history" && field != "smb_app_state_sync" {
            assert_eq!(second(body), Some(at_ms.div_euclid(1000)), "{body}");
        }
        let is_managed = body["entry"][0]["time"].is_i64();
        assert_eq!(is_managed, value["messaging_product"].is_null(), "one or the other: {body}");
        if !is_managed {
            assert!(value["metadata"]["phone_number_id"].is_string(), "{body}");
        }
        for message in list(value, "messages").iter().chain(list(value, "message_echoes")) {
            let kind = message["type"].as_str().expect("a message has a type");
            assert!(message[kind].is_object(), "{body}");
            assert!(message["id"].as_str().is_some_and(|id| id.starts_with("wamid.")), "{body}");
        }
        for status in list(value, "statuses") {
            assert_eq!(status["status"] == "failed", status["errors"][0]["code"].is_u64(), "{body}");
        }
    }
    for field in [
        "messages",
        "smb_message_echoes",
        "user_preferences",
        "calls",
        "history",
        "smb_app_state_sync",
        "security",
        "account_update",
        "phone_number_quality_update",
        "payment_configuration_update",
        "message_template_components_update",
        "message_template_status_update",
        "message_template_quality_update",
    ] {
        assert!(fields.contains_key(field), "{field} does not occur: {fields:?}");
    }
    assert_eq!(fields.len(), 13, "{fields:?}");
}

#[test]
fn a_status_follows_the_one_before_it() {
    let (bodies, _) = run(&config(&[]));
    let mut fates: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, body) in &bodies {
        for status in list(change(body).1, "statuses") {
            let text = |name: &str| status[name].as_str().expect("a status has an id and a status");
            fates.entry(text("id")).or_default().push(text("status"));
        }
    }
    for (id, fate) in &fates {
        let whole = ["sent", "delivered", "read"];
        assert!(fate[..] == ["failed"] || fate[..] == whole[..fate.len()], "{id}: {fate:?}");
    }
    assert!(fates.len() > 1000, "{} messages were sent", fates.len());
}

#[test]
fn about_as_many_come_as_are_asked_for_and_people_are_not_all_unhappy() {
    let (bodies, labels) = run(&config(&[]));
    assert!(labels.is_empty(), "nothing is staged");
    assert!((5400..7200).contains(&bodies.len()), "6000 were asked for, {} came", bodies.len());
    let count = |holds: &dyn Fn(&Value) -> bool| bodies.iter().filter(|(_, body)| holds(body)).count();
    let sent = count(&|body| change(body).1["statuses"][0]["status"] == "sent");
    let failed = count(&|body| change(body).1["statuses"][0]["status"] == "failed");
    let stopped = count(&|body| change(body).0 == "user_preferences");
    assert!(failed > 0 && failed * 20 < sent, "{failed} of {sent} fail");
    assert!(stopped * 200 < sent, "{stopped} of {sent} stop");
    let (none, _) = run(&Config { messages: 0, ..config(&[]) });
    assert!(none.is_empty());
}

#[test]
fn every_kind_is_staged_and_its_label_agrees_with_its_bodies() {
    // Without ordinary webhooks all bodies are staged.
    let alone = |kind| Config { messages: 0, ..config(&[kind]) };
    for kind in Kind::MESSAGING {
        let (bodies, labels) = run(&alone(*kind));
        let [label] = &labels[..] else { panic!("{kind}: {labels:?}") };
        assert_eq!(label.kind, *kind);
        assert_eq!((label.stream, label.lines), (Stream::Webhooks, bodies.len() as u64));
        assert_eq!(label.expect_paged, !kind.is_innocent());
        let time = |at_ms: i64| crate::generate::clock::date_time(at_ms.div_euclid(1000));
        assert_eq!(label.start, time(bodies[0].0), "{kind}");
        assert_eq!(label.end, time(bodies[bodies.len() - 1].0 + 1000), "{kind}");
        let is_about = |body: &Value| match &label.subject {
            Subject::Number { phone_number_id } => {
                let value = change(body).1;
                let id = &value["metadata"]["phone_number_id"];
                id.is_null() || id == phone_number_id.as_str()
            }
            Subject::Business { waba_id } => body["entry"][0]["id"] == waba_id.as_str(),
            other => panic!("{kind} is about {other:?}"),
        };
        assert!(bodies.iter().all(|(_, body)| is_about(body)), "{kind}: {label:?}");
    }
}

#[test]
fn three_hours_are_enough_for_everything_and_an_hour_is_not() {
    let lasting = |hours: u64, seed| Config {
        seed,
        duration: Duration::from_secs(hours * 3600),
        ..config(Kind::MESSAGING)
    };
    for seed in 0..10 {
        let (_, labels) = run(&lasting(3, seed));
        let kinds: BTreeSet<Kind> = labels.iter().map(|label| label.kind).collect();
        assert_eq!(kinds.len(), Kind::MESSAGING.len(), "seed {seed}: {kinds:?}");
    }
    let generator = Generator::new(&lasting(1, 1)).expect("a good configuration");
    assert!(generator.unstaged().iter().any(|(kind, _)| *kind == Kind::NumberTakeover));
}

#[test]
fn memory_does_not_grow_with_the_days() {
    let most_waiting = |days: u64| {
        let (start_ms, end_ms) = (0, days as i64 * 86_400_000);
        let mut feed = super::Feed::new(1, days * 4000, &[], start_ms, end_ms);
        let (mut text, mut most) = (String::new(), 0);
        while feed.next_ms().is_some() {
            text.clear();
            feed.write(&mut text);
            most = most.max(feed.waiting());
        }
        most
    };
    let (day, week) = (most_waiting(1), most_waiting(7));
    assert!(week < 2 * day, "{day} entries for a day, {week} for a week as busy");
}
