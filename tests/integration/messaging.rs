//! What the rules that are built in find in made-up webhooks, and whom they page for nothing.

use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode;
use watchbell::engine::{Engine, Settings};
use watchbell::event::Timestamp;
use watchbell::generate::{self, Config, Kind, Outputs};
use watchbell::pseudonym::{DedupeKey, Key, Pseudonyms};
use watchbell::replay::replay;
use watchbell::rules::{RuleSet, Severity};
use watchbell::score::found::Found;
use watchbell::score::judge::{Judgement, judge};
use watchbell::score::label::{self, Label};
use watchbell::score::who::Partners;
use watchbell::whatsapp;

use crate::quality;

/// The latest time at which a body says that something happened. Of old chats it is not when they arrived.
fn latest_time(body: &str) -> Timestamp {
    let after = |name: &'static str| body.split(name).skip(1);
    let times = after("\"timestamp\":").chain(after("\"time\":"));
    let seconds = times.filter_map(|rest| rest.trim_start_matches('"').get(..10)?.parse().ok());
    Timestamp::from_seconds(seconds.max().unwrap_or(0))
}

fn context() -> whatsapp::Context {
    let pseudonyms = Pseudonyms::new(Key::new('1', &[7; 32]).unwrap());
    whatsapp::Context::new(pseudonyms, DedupeKey::new(&[9; 32]))
}

/// Bodies as lines that the engine reads. Nothing of them may be unknown or unreadable.
fn lines_of(bodies: &str) -> String {
    let context = context();
    let mut lines = String::new();
    let mut received = Timestamp::default();
    for body in bodies.lines() {
        received = received.max(latest_time(body));
        let update = whatsapp::read(body.as_bytes(), received, &context).unwrap();
        assert_eq!((update.unknown.as_slice(), update.failed.as_slice()), (&[][..], &[][..]), "{body}");
        lines.push_str(&update.lines);
    }
    lines
}

/// What is found in webhooks in which these are staged, and what was staged.
fn found(seed: u64, attacks: Vec<Kind>) -> (Vec<Found>, Vec<Label>) {
    let (alerts, labels) = alerts(seed, attacks);
    (quality::found(&alerts), labels)
}

fn alerts(seed: u64, attacks: Vec<Kind>) -> (Vec<Alert>, Vec<Label>) {
    let config = Config { lines: 100, messages: 8_000, seed, attacks, ..Config::default() };
    let (mut webhooks, mut labels) = (Vec::new(), Vec::new());
    let (access, events) = (&mut std::io::sink(), &mut std::io::sink());
    let outputs = Outputs { access, events, webhooks: &mut webhooks, labels: &mut labels };
    generate::write(&config, outputs, |_| {}).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("webhooks.jsonl");
    std::fs::write(&path, lines_of(std::str::from_utf8(&webhooks).unwrap())).unwrap();
    let rules = RuleSet::load(true, &[]).unwrap();
    let mut engine = Engine::new(&rules, Allowlist::default(), &Settings::default()).unwrap();
    let settings = Arc::new(decode::Settings::default());
    let alerts = replay(&mut engine, &[path], None, &settings, &Arc::default()).unwrap().alerts;
    (alerts, label::read(labels.as_slice()).unwrap())
}

#[test]
fn every_attack_by_webhook_pages_somebody_and_nothing_else_does() {
    for seed in [11, 12] {
        let (alerts, labels) = found(seed, Kind::MESSAGING.to_vec());
        let Judgement { cases, false_alarms } = judge(labels, &alerts, &Partners::default());
        let staged: Vec<_> = cases.iter().filter(|case| !case.label.is_innocent).collect();
        assert!(staged.len() >= 10, "attacks must be staged: {staged:#?}");
        for case in &staged {
            assert!(!case.told_by.is_empty(), "seed {seed}: nobody is paged for {:?}", case.label);
        }
        let false_alarms: Vec<_> = false_alarms.iter().map(|number| &alerts[*number]).collect();
        assert!(false_alarms.is_empty(), "seed {seed}: paged for nothing: {false_alarms:#?}");
    }
}

#[test]
fn a_takeover_is_one_incident_with_one_timeline() {
    for seed in [11, 12] {
        let (alerts, _) = alerts(seed, vec![Kind::NumberTakeover]);
        let incidents: Vec<&Alert> =
            alerts.iter().filter(|alert| alert.rule.name == "whatsapp_account_takeover").collect();
        let [incident] = incidents.as_slice() else { panic!("seed {seed}: one, not {incidents:#?}") };
        assert_eq!(incident.severity, Severity::Critical);
        let stages = &incident.evidence.stages;
        let rules: Vec<&str> = stages.iter().map(|stage| &*stage.rule).collect();
        assert_eq!(
            rules,
            [
                "whatsapp_pin_reset_requested",
                "whatsapp_takeover_pin",
                "whatsapp_takeover_access",
                "whatsapp_takeover_in_use"
            ]
        );
        let subject = |stage: usize, field: &str| stages[stage].subject.get(field).cloned();
        assert!(subject(0, "whatsapp.number").is_some());
        assert_eq!(subject(0, "whatsapp.number"), subject(1, "whatsapp.number"));
        assert!(subject(2, "whatsapp.waba.id").is_some());
        assert_eq!(subject(2, "whatsapp.waba.id"), subject(3, "whatsapp.waba.id"));
        assert!(stages.is_sorted_by_key(|stage| stage.event.at));
    }
}

#[test]
fn a_day_of_ordinary_messages_pages_nobody() {
    let innocents = Kind::MESSAGING.iter().copied().filter(|kind| kind.is_innocent()).collect();
    let (alerts, labels) = found(21, innocents);
    assert!(labels.iter().all(|label| label.is_innocent));
    assert_eq!(alerts.iter().map(|alert| &alert.rule).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_becomes_of_an_account_is_told_however_late() {
    let context = context();
    let received = Timestamp::from_seconds(1_800_000_000);
    let time_of = |time: i64, change: &str| {
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","time":{time},"changes":[{change}]}}]}}"#
        );
        let update = whatsapp::read(body.as_bytes(), received, &context).unwrap();
        let line: serde_json::Value = serde_json::from_str(&update.lines).unwrap();
        (line["@timestamp"].as_str().unwrap().to_owned(), line["event.created"].as_str().map(str::to_owned))
    };
    let pin = r#"{"field":"security","value":{"display_phone_number":"15550783881","event":"PIN_CHANGED"}}"#;
    let two_days = 2 * 24 * 3600;
    let (at, created) = time_of(1_800_000_000 - two_days, pin);
    assert_eq!(at, received.to_string(), "it is counted now");
    assert_eq!(created, Some(Timestamp::from_seconds(1_800_000_000 - two_days).to_string()));
    assert_eq!(time_of(1_800_000_000 - 60, pin), (Timestamp::from_seconds(1_799_999_940).to_string(), None));
    let group = r#"{"field":"group_status_update","value":{"groups":[{"type":"group_suspend","group_id":"g","timestamp":"1799827200"}]}}"#;
    assert_eq!(
        time_of(1_799_827_200, group),
        (Timestamp::from_seconds(1_799_827_200).to_string(), None),
        "this is not"
    );
}
