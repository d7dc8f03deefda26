//! Sequences that matter more with each stage, and end as one incident with one timeline.

use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::rules::{RuleSet, Severity};

use crate::engine::START;

/// An account that logs in, is a number when its PIN changes, and a sender when it writes to many.
const RULES: &str = "
title: in
name: login
logsource: {product: watchbell}
detection: {s: {event.action: login}, condition: s}
---
title: pin
name: pin
logsource: {product: watchbell}
detection: {s: {event.action: pin}, condition: s}
x-watchbell: {group-by: [whatsapp.waba.id]}
---
title: sent
name: sent
logsource: {product: watchbell}
detection: {s: {event.action: sent}, condition: s}
---
title: many
name: fan_out
correlation: {type: value_count, rules: [sent], group-by: [service.name], timespan: 10m,
  condition: {gte: 3, field: object.id}}
---
title: chain
name: chain
correlation:
  type: temporal_ordered
  rules: [login, pin, fan_out]
  group-by: [account]
  aliases: {account: {login: user.name, pin: whatsapp.number, fan_out: service.name}}
  timespan: 1h
  condition: {gte: 2}
level: low
x-watchbell: {stages: {2: medium, 3: critical}}
";

pub fn chain_rules() -> RuleSet {
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), RULES.to_owned(), false)]);
    assert_eq!((set.errors.as_slice(), set.warnings.as_slice()), (&[][..], &[][..]));
    set
}

fn line(at: i64, action: &str, fields: &str) -> String {
    let at = Timestamp::from_seconds(START + at);
    format!(r#"{{"@timestamp":"{at}","event.action":"{action}",{fields}}}"#)
}

fn sent(at: i64, sender: &str, person: u32) -> String {
    line(at, "sent", &format!(r#""service.name":"{sender}","object.id":"{person}""#))
}

/// A chain of three stages, what is none, and the chain again a day later.
pub fn chain_lines() -> Vec<String> {
    let mut lines = vec![
        line(0, "login", r#""user.name":"1065""#),
        line(5, "login", r#""user.name":"other""#),
        line(60, "login", r#""user.name":"1065""#),
        line(100, "pin", r#""whatsapp.number":"1065","whatsapp.waba.id":"102""#),
    ];
    lines.extend((0..6).map(|person| sent(200 + i64::from(person), "1065", person)));
    lines.extend((0..6).map(|person| sent(210 + i64::from(person), "other", person)));
    lines.push(line(90_000, "pin", r#""whatsapp.number":"1065","whatsapp.waba.id":"102""#));
    lines.push(line(90_010, "login", r#""user.name":"1065""#));
    lines.extend((0..4).map(|person| sent(90_020 + i64::from(person), "1065", person)));
    lines
}

/// What became of alerts, and those that are open at the end, in pieces of so many lines.
fn told(lines: &[String], piece: usize, threads: usize) -> (Vec<Transition>, Vec<Alert>) {
    let settings = Settings { threads, ..Settings::default() };
    let mut engine = Engine::new(&chain_rules(), Allowlist::default(), &settings).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut told = Vec::new();
    for lines in lines.chunks(piece) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        told.extend(engine.count(None));
    }
    let (more, open) = engine.finish();
    told.extend(more);
    told.retain(|transition| {
        let (Transition::Opened(alert) | Transition::Escalated(alert, _) | Transition::Resolved(alert)) =
            transition;
        alert.rule.name == "chain"
    });
    (told, open.into_iter().filter(|alert| alert.rule.name == "chain").collect())
}

#[test]
fn a_sequence_is_one_incident_that_rises() {
    let (told, open) = told(&chain_lines(), usize::MAX, 1);
    let Some(Transition::Opened(first)) = told.first() else { panic!("{told:#?}") };
    let about: Vec<(&str, Severity, f64)> = told
        .iter()
        .filter_map(|transition| match transition {
            Transition::Opened(alert) => Some(("opened", alert)),
            Transition::Escalated(alert, Severity::Medium) => Some(("escalated", alert)),
            Transition::Escalated(..) => None,
            Transition::Resolved(alert) => Some(("resolved", alert)),
        })
        .filter(|(_, alert)| alert.id == first.id)
        .map(|(change, alert)| (change, alert.severity, alert.observed))
        .collect();
    let expected = [
        ("opened", Severity::Medium, 2.0),
        ("escalated", Severity::Critical, 3.0),
        ("resolved", Severity::Critical, 3.0),
    ];
    assert_eq!(about, expected);
    let ended = told.iter().find_map(|transition| match transition {
        Transition::Resolved(alert) if alert.id == first.id => Some(alert),
        _ => None,
    });
    let ended = ended.unwrap();
    assert_eq!(ended.subject, [("account".to_owned(), "1065".to_owned())]);
    let stages: Vec<(&str, i64, String)> = ended
        .evidence
        .stages
        .iter()
        .map(|stage| {
            let subject = serde_json::to_string(&stage.subject).unwrap();
            (&*stage.rule, stage.event.at.as_micros() / 1_000_000 - START, subject)
        })
        .collect();
    let expected = [
        ("login", 0, r#"{"user.name":"1065"}"#),
        ("pin", 100, r#"{"whatsapp.number":"1065","whatsapp.waba.id":"102"}"#),
        ("fan_out", 202, r#"{"service.name":"1065"}"#),
    ];
    assert_eq!(stages, expected.map(|(rule, at, subject)| (rule, at, subject.to_owned())));
    assert_eq!(open.len(), 1);
    assert_ne!(open[0].id, first.id);
    assert_eq!(open[0].severity, Severity::Medium, "a day later it begins anew");
    let rules: Vec<&str> = open[0].evidence.stages.iter().map(|stage| &*stage.rule).collect();
    assert_eq!(rules, ["pin", "fan_out"], "the login came after the PIN, and there are two chains of two");
}

#[test]
fn threads_and_cuts_change_nothing() {
    let lines = chain_lines();
    let (whole, open) = told(&lines, usize::MAX, 1);
    let sorted = |mut told: Vec<Transition>| {
        told.sort_by_cached_key(|transition| format!("{transition:?}"));
        told
    };
    let whole = sorted(whole);
    for (piece, threads) in [(1, 1), (3, 4), (7, 2), (usize::MAX, 4)] {
        let (pieces, open_then) = told(&lines, piece, threads);
        assert_eq!((sorted(pieces), open_then), (whole.clone(), open.clone()), "{piece} {threads}");
    }
}

#[test]
fn what_comes_late_takes_its_place_in_the_timeline() {
    let mut lines = chain_lines();
    lines.truncate(10);
    let in_order = told(&lines, usize::MAX, 1).1;
    // The PIN is told after the messages.
    let pin = lines.remove(3);
    lines.push(pin);
    let late = told(&lines, 1, 1).1;
    let stages = |alerts: &[Alert]| -> Vec<_> {
        let stages = alerts[0].evidence.stages.iter();
        stages.map(|stage| (stage.rule.clone(), stage.event.at)).collect()
    };
    assert_eq!((late.len(), late[0].severity), (1, Severity::Critical));
    assert_eq!(stages(&late)[..2], stages(&in_order)[..2]);
    assert_eq!(late[0].evidence.stages.len(), 3);
}
