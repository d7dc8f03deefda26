//! An engine that ends anywhere, and another that goes on where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use watchbell::allowlist::Allowlist;
use watchbell::clock::Tolerance;
use watchbell::decode::{self, Format};
use watchbell::engine::recovery::{KnownAlert, Recovered};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::generate::{Config, Kind, Outputs, write};
use watchbell::rules::RuleSet;

use crate::engine::{START, failures, line, rules};

/// What was told of each alert last, by its id, and how often each was told to have opened.
#[derive(Default)]
struct Told {
    records: BTreeMap<String, String>,
    opened: BTreeMap<String, u32>,
    /// With the severity that it rose to.
    escalated: BTreeMap<String, u32>,
    resolved: BTreeMap<String, u32>,
}

impl Told {
    fn take(&mut self, transitions: Vec<Transition>) {
        for transition in transitions {
            let (alert, count) = match &transition {
                Transition::Opened(alert) => (alert, &mut self.opened),
                Transition::Escalated(alert, _) => (alert, &mut self.escalated),
                Transition::Resolved(alert) => (alert, &mut self.resolved),
            };
            let rise =
                if matches!(transition, Transition::Escalated(..)) { alert.severity.name() } else { "" };
            *count.entry(format!("{}{rise}", alert.id)).or_default() += 1;
            self.records.insert(alert.id.clone(), serde_json::to_string(alert).unwrap());
        }
    }

    fn known(&self) -> Vec<KnownAlert> {
        self.records.values().map(|record| KnownAlert::parse(record).unwrap()).collect()
    }

    /// Start and id of all alerts.
    fn alerts(&self) -> Vec<(String, String)> {
        let field = |record: &str, name: &str| {
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            record[name].as_str().unwrap_or_default().to_owned()
        };
        self.records.iter().map(|(id, record)| (field(record, "opened_at"), id.clone())).collect()
    }
}

struct Running {
    engine: Engine,
    source: usize,
}

impl Running {
    fn start(rules: &RuleSet) -> Self {
        let settings = Settings { threads: 1, ..Settings::default() };
        let mut engine = Engine::new(rules, Allowlist::default(), &settings).unwrap();
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        Self { engine, source }
    }

    fn count(&mut self, lines: &[String], format: &Format) -> Vec<Transition> {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        let chunk = Chunk { source: self.source, text, format: format.clone(), received: None };
        self.engine.read(vec![chunk]);
        self.engine.count(None)
    }

    fn now(&self) -> Timestamp {
        let lateness = Tolerance::default().lateness;
        self.engine.source_time(self.source).unwrap_or_default().before(lateness)
    }
}

/// What is told when the engine ends after so many lines and another goes on, having read all of them again.
fn told_with_a_break(rules: &RuleSet, lines: &[String], format: &Format, breaks: &[usize]) -> Told {
    told_with_a_crash(rules, lines, format, breaks, 0)
}

/// And when of so many lines it is not known that they were counted, so that they come again as if they were new.
fn told_with_a_crash(
    rules: &RuleSet,
    lines: &[String],
    format: &Format,
    breaks: &[usize],
    unknown: usize,
) -> Told {
    let mut told = Told::default();
    let mut running = Running::start(rules);
    let mut done = 0_usize;
    for &end in breaks.iter().chain([&lines.len()]) {
        if done > 0 {
            running = Running::start(rules);
            running.engine.recover(told.known());
            let known = done.saturating_sub(unknown);
            assert_eq!(running.count(&lines[..known], format), [], "nothing is told twice");
            let now = running.now();
            told.take(running.engine.recovered(now).over);
            told.take(running.count(&lines[known..done], format));
        }
        told.take(running.count(&lines[done..end], format));
        let now = running.now();
        told.take(running.engine.advance_to(now));
        for alert in running.engine.updates() {
            told.records.insert(alert.id.clone(), serde_json::to_string(&alert).unwrap());
        }
        done = end;
    }
    told
}

fn assert_same(whole: &Told, broken: &Told, place: &str) {
    assert_eq!(whole.alerts(), broken.alerts(), "{place}: the same alerts, by the same ids");
    assert_eq!(whole.opened, broken.opened, "{place}: each told once");
    assert_eq!(whole.escalated, broken.escalated, "{place}: each rise told once");
    assert_eq!(whole.resolved, broken.resolved, "{place}: and ended once");
}

#[test]
fn an_engine_goes_on_where_another_ended() {
    let rules = rules(
        "title: many\nname: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  \
         group-by: [user.name]\n  timespan: 60s\n  condition: {gte: 3}\n",
    );
    // Two episodes of one, with more than a quarter of an hour between them.
    let lines = failures([0, 10, 20, 30, 40, 50, 2000, 2010, 2020, 2030, 9000]);
    let whole = told_with_a_break(&rules, &lines, &Format::Json, &[]);
    assert_eq!(whole.opened.len(), 2);
    for end in 1..lines.len() {
        let broken = told_with_a_break(&rules, &lines, &Format::Json, &[end]);
        assert_same(&whole, &broken, &format!("after line {end}"));
    }
    let often: Vec<usize> = (1..lines.len()).collect();
    assert_same(&whole, &told_with_a_break(&rules, &lines, &Format::Json, &often), "after each line");
}

#[test]
fn an_alert_that_was_told_and_comes_again_is_the_same_and_stays_open() {
    let rules = rules(
        "title: many\nname: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  \
         group-by: [user.name]\n  timespan: 60s\n  condition: {gte: 3}\n",
    );
    let lines = failures([0, 10, 20, 30, 40, 50, 2000, 2010, 2020, 2030, 9000]);
    let whole = told_with_a_break(&rules, &lines, &Format::Json, &[]);
    for unknown in 1..4 {
        for end in 1..lines.len() {
            let broken = told_with_a_crash(&rules, &lines, &Format::Json, &[end], unknown);
            let place = format!("after line {end}, {unknown} unknown");
            assert_eq!(whole.alerts(), broken.alerts(), "{place}: the same alerts, by the same ids");
            assert_eq!(whole.opened, broken.opened, "{place}: each told once");
            // That it is over may be told twice.
            assert!(whole.resolved.keys().eq(broken.resolved.keys()), "{place}: and ended");
        }
    }
}

#[test]
fn a_sequence_goes_on_where_it_was() {
    let rules = crate::chains::chain_rules();
    let lines = crate::chains::chain_lines();
    let whole = told_with_a_break(&rules, &lines, &Format::Json, &[]);
    assert_eq!(whole.escalated.len(), 1);
    let timelines = |told: &Told| -> Vec<(String, String)> {
        let record = |record: &String| -> serde_json::Value { serde_json::from_str(record).unwrap() };
        let records = told.records.values().map(record);
        records
            .map(|record| (record["severity"].to_string(), record["evidence"]["stages"].to_string()))
            .collect()
    };
    for end in 1..lines.len() {
        let broken = told_with_a_break(&rules, &lines, &Format::Json, &[end]);
        assert_same(&whole, &broken, &format!("after line {end}"));
        assert_eq!(timelines(&whole), timelines(&broken), "after line {end}");
        for unknown in 1..4 {
            let place = format!("after line {end}, {unknown} unknown");
            let broken = told_with_a_crash(&rules, &lines, &Format::Json, &[end], unknown);
            assert_eq!(whole.alerts(), broken.alerts(), "{place}");
            assert_eq!(whole.escalated, broken.escalated, "{place}: a rise is told once");
            assert_eq!(timelines(&whole), timelines(&broken), "{place}");
        }
    }
}

#[test]
fn risk_goes_on_where_it_was() {
    let rules = crate::risk::risk_rules();
    let lines = crate::risk::risk_lines();
    let whole = told_with_a_break(&rules, &lines, &Format::Json, &[]);
    let of_risk = whole.records.values().filter(|record| record.contains("entity_risk")).count();
    assert_eq!(of_risk, 1);
    for end in 1..lines.len() {
        let broken = told_with_a_break(&rules, &lines, &Format::Json, &[end]);
        assert_same(&whole, &broken, &format!("after line {end}"));
        for unknown in 1..4 {
            let broken = told_with_a_crash(&rules, &lines, &Format::Json, &[end], unknown);
            assert_eq!(whole.alerts(), broken.alerts(), "after line {end}, {unknown} unknown");
            // What began and ended in what is not known is told once more, by the same id.
            assert!(whole.opened.keys().eq(broken.opened.keys()), "after line {end}, {unknown} unknown");
        }
    }
}

#[test]
fn every_kind_of_rule_goes_on_where_it_was() {
    let config = Config {
        lines: 6_000,
        seed: 3,
        addresses: 400,
        attacks: Kind::ALL.to_vec(),
        duration: Duration::from_secs(6 * 3600),
        ..Config::default()
    };
    let mut access = Vec::new();
    let (events, webhooks, labels) = (&mut std::io::sink(), &mut std::io::sink(), &mut std::io::sink());
    write(&config, Outputs { access: &mut access, events, webhooks, labels }, |_| {}).unwrap();
    let lines: Vec<String> = String::from_utf8(access).unwrap().lines().map(str::to_owned).collect();
    let rules = RuleSet::load(true, &[]).unwrap();
    let whole = told_with_a_break(&rules, &lines, &Format::Combined, &[]);
    assert!(whole.opened.len() > 20, "there must be something to lose: {}", whole.opened.len());
    let breaks: Vec<usize> = (1..6).map(|part| lines.len() * part / 6 + 7).collect();
    assert_same(&whole, &told_with_a_break(&rules, &lines, &Format::Combined, &breaks), "five breaks");
}

#[test]
fn what_was_open_and_is_over_is_told() {
    let many = |threshold: u32| {
        rules(&format!(
            "title: many\nname: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  \
             group-by: [user.name]\n  timespan: 60s\n  condition: {{gte: {threshold}}}\n"
        ))
    };
    let lines = failures([0, 10, 20, 30]);
    let mut told = Told::default();
    told.take(Running::start(&many(3)).count(&lines, &Format::Json));
    // It was told last when it opened. Meanwhile the rule has been made less strict for everybody, and nothing is found any more.
    let mut running = Running::start(&many(50));
    running.engine.recover(told.known());
    running.count(&lines, &Format::Json);
    let now = Timestamp::from_seconds(START + 100_000);
    let over = running.engine.recovered(now).over;
    let [Transition::Resolved(alert)] = over.as_slice() else { panic!("one is over: {over:?}") };
    assert_eq!(told.opened.keys().collect::<Vec<_>>(), [&alert.id]);
    assert_eq!(alert.subject, [("user.name".to_owned(), "ann".to_owned())]);
    assert_eq!(alert.resolved_at, Some(Timestamp::from_seconds(START + 20 + 900)));
    // And a rule that is new says nothing about what was before it.
    let mut running = Running::start(&many(2));
    running.engine.recover(Vec::new());
    running.count(&lines, &Format::Json);
    assert_eq!(running.engine.recovered(Timestamp::from_seconds(START)), Recovered::default());
    assert_eq!(
        running.count(&[line(40, "ann", "failure")], &Format::Json).len(),
        1,
        "but what goes on, it says"
    );
}

#[test]
fn what_was_found_after_an_alert_was_told_last_is_told() {
    let rules = rules(
        "title: many\nname: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  \
         group-by: [user.name]\n  timespan: 60s\n  condition: {gte: 3}\n",
    );
    let mut told = Told::default();
    let lines = failures([0, 10, 20, 30, 40]);
    let mut running = Running::start(&rules);
    told.take(running.count(&lines[..3], &Format::Json));
    // Two more are counted, and nobody is told before it ends.
    let mut running = Running::start(&rules);
    running.engine.recover(told.known());
    running.count(&lines, &Format::Json);
    let changed = running.engine.recovered(Timestamp::from_seconds(START)).changed;
    assert_eq!(changed.iter().map(|alert| alert.observed).collect::<Vec<_>>(), [5.0]);
    assert_eq!(running.engine.updates(), [], "once");
}
