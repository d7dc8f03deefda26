//! Values that are new for a subject, through the whole engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use watchbell::alert::Alert;
use watchbell::allowlist::{Allowlist, EntryConfig};
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::rules::RuleSet;

use crate::engine::{START, rules};

const DAY: i64 = 86_400;

fn new_device(options: &str) -> RuleSet {
    rules(&format!(
        "title: new device\nname: new_device\nlevel: low\nfirst_seen: {{rules: [succeeded], group-by: [user.name], \
         field: device, {options}}}\n"
    ))
}

fn login(at: i64, user: &str, device: &str) -> String {
    let at = Timestamp::from_seconds(START + at);
    format!(r#"{{"@timestamp":"{at}","user.name":"{user}","event.outcome":"success","device":"{device}"}}"#)
}

struct Running {
    engine: Engine,
    source: usize,
    told: Vec<Transition>,
}

impl Running {
    fn start(rules: &RuleSet, allowlist: Allowlist, threads: usize) -> Self {
        let settings = Settings { threads, ..Settings::default() };
        let mut engine = Engine::new(rules, allowlist, &settings).unwrap();
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        Self { engine, source, told: Vec::new() }
    }

    fn count(&mut self, lines: &[String]) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        self.engine.read(vec![Chunk { source: self.source, text, format: Format::Json, received: None }]);
        self.told.extend(self.engine.count(None));
    }

    fn end(mut self) -> Vec<Alert> {
        let (more, open) = self.engine.finish();
        let ended = self.told.into_iter().chain(more).filter_map(|transition| match transition {
            Transition::Resolved(alert) => Some(alert),
            Transition::Opened(_) | Transition::Escalated(..) => None,
        });
        let mut alerts: Vec<Alert> = ended.chain(open).collect();
        alerts.sort_by(|left, right| (left.opened_at, &left.id).cmp(&(right.opened_at, &right.id)));
        alerts
    }
}

fn alerts(rules: &RuleSet, allowlist: Allowlist, lines: &[String]) -> Vec<Alert> {
    let mut running = Running::start(rules, allowlist, 1);
    running.count(lines);
    running.end()
}

fn found(alerts: &[Alert]) -> Vec<(i64, &str)> {
    let at = |alert: &Alert| (alert.opened_at.as_micros() / 1_000_000 - START) / DAY;
    alerts.iter().map(|alert| (at(alert), alert.evidence.values[0].as_str())).collect()
}

#[test]
fn a_new_value_is_told_once_after_learning_and_again_when_it_was_forgotten() {
    let rules = new_device("learn: 7d, forget: 30d");
    let lines: Vec<String> = [
        (0, "ann", "phone"),
        (6, "ann", "laptop"),
        (8, "ann", "stolen"),
        (9, "ann", "stolen"),
        (10, "bob", "stolen"),
        (30, "ann", "phone"),
        (45, "ann", "laptop"),
        (46, "ann", "laptop"),
    ]
    .iter()
    .map(|(day, user, device)| login(day * DAY, user, device))
    .collect();
    let found_alerts = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(found(&found_alerts), [(8, "stolen"), (45, "laptop")]);
    let first = &found_alerts[0];
    assert_eq!(first.evidence.known, Some(2), "phone and laptop");
    assert_eq!(first.condition.text, "a device not seen in 30 days for this user.name");
    assert_eq!(first.subject, [("user.name".to_owned(), "ann".to_owned())]);
    let ended = first.resolved_at.unwrap().as_micros() - first.last_seen_at.as_micros();
    assert_eq!(
        ended,
        900 * 1_000_000,
        "over after a quarter of an hour, not after what is known for a month"
    );
    let json: serde_json::Value = serde_json::to_value(first).unwrap();
    assert_eq!((&json["evidence"]["known"], &json["condition"]["type"]), (&2.into(), &"first_seen".into()));
}

#[test]
fn what_the_allowlist_knew_is_not_new_when_the_entry_has_ended() {
    let rules = new_device("learn: 1d, forget: 30d");
    let expiry = Timestamp::from_seconds(START + 3 * DAY);
    let lines: Vec<String> = [(0, "phone"), (2, "tablet"), (4, "tablet"), (5, "other")]
        .iter()
        .map(|(day, device)| login(day * DAY, "ann", device))
        .collect();
    for named in ["", "rules = ['new_device']\n", "rules = ['succeeded']\n"] {
        let entry = format!("users = ['ann']\nreason = 'moves'\nexpires_at = '{expiry}'\n{named}");
        let entry: EntryConfig = toml::from_str(&entry).unwrap();
        let allowlist = Allowlist::new(&[entry]).unwrap();
        assert_eq!(found(&alerts(&rules, allowlist, &lines)), [(5, "other")], "{named}");
    }
}

#[test]
fn several_fields_are_new_together_and_one_that_is_missing_is_not_counted() {
    let rules = rules(
        "title: pair\nname: pair\nfirst_seen: {rules: [succeeded], group-by: [user.name], field: [device, app], learn: 1d}\n",
    );
    let line = |day: i64, device: &str, app: &str| {
        login(day * DAY, "ann", device).replace('}', &format!(r#","app":"{app}"}}"#))
    };
    let lines = [
        line(0, "a", "x"),
        line(0, "b", "y"),
        line(2, "a", "x"),
        login(3 * DAY, "ann", "c"),
        line(4, "a", "y"),
    ];
    let alerts = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(found(&alerts), [(4, "a y")]);
    assert_eq!(alerts[0].condition.text, "a device + app not seen in 90 days for this user.name");
}

#[test]
fn learning_may_begin_with_what_has_no_value() {
    // Whatever the order in which the rules stand: the refused login matches both.
    for (present, other) in [("anything", "failed"), ("failed", "anything")] {
        let rules = rules(&format!(
            "title: anything\nname: anything\nlogsource: {{product: watchbell}}\ndetection: {{s: {{user.name|exists: true}}, \
             condition: s}}\n---\ntitle: new\nname: new\nfirst_seen: {{rules: [{other}], learn_from: [{present}], \
             group-by: [user.name], field: device, learn: 1d}}\n"
        ));
        let refused = |day: i64, device: &str| login(day * DAY, "ann", device).replace("success", "failure");
        assert_eq!(alerts(&rules, Allowlist::default(), &[refused(3, "x")]), [], "{present}");
        let lines = [login(0, "ann", "a").replace("device", "no_device"), refused(3, "x"), refused(4, "y")];
        let expected: &[(i64, &str)] =
            if present == "anything" { &[(3, "x"), (4, "y")] } else { &[(4, "y")] };
        assert_eq!(found(&alerts(&rules, Allowlist::default(), &lines)), expected, "{present}");
    }
}

#[test]
fn other_rules_may_look_at_what_is_new() {
    let rules = rules(
        "title: new device\nname: new_device\nfirst_seen: {rules: [succeeded], group-by: [user.name], field: device, learn: 1d}\n---\n\
         title: then refused\nname: then_refused\nlevel: high\ncorrelation: {type: temporal_ordered, rules: [new_device, failed], group-by: [user.name], timespan: 1h}\n",
    );
    let refused = |at: i64| login(at, "ann", "x").replace("success", "failure");
    let quiet = [login(0, "ann", "a"), login(2 * DAY, "ann", "a"), refused(2 * DAY + 60)];
    assert_eq!(alerts(&rules, Allowlist::default(), &quiet), []);
    let lines = [login(0, "ann", "a"), login(2 * DAY, "ann", "b"), refused(2 * DAY + 60)];
    let alerts = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(alerts.iter().map(|alert| alert.rule.name.as_str()).collect::<Vec<_>>(), ["then_refused"]);
    assert_eq!(alerts[0].evidence.grounds[0].rule, "new_device");
}

#[test]
fn what_is_known_outlasts_a_reload_unless_the_rule_says_something_else() {
    let lines = [login(0, "ann", "a"), login(2 * DAY, "ann", "b")];
    let after = |changed: RuleSet| {
        let mut running = Running::start(&new_device("learn: 1d"), Allowlist::default(), 1);
        running.count(&lines[..1]);
        let settings = Settings { threads: 1, ..Settings::default() };
        let compiled = running.engine.compiler().compile(&changed, Allowlist::default(), &settings);
        let now = Timestamp::from_seconds(START + DAY);
        running.engine.reload(compiled, &Arc::new(decode::Settings::default()), now);
        running.count(&lines[1..]);
        running.end().len()
    };
    let retitled = |options: &str| {
        let mut set = new_device(options);
        set.rules.last_mut().unwrap().title = "other words".to_owned();
        set
    };
    assert_eq!(after(retitled("learn: 1d")), 1);
    assert_eq!(after(retitled("learn: 1d, max_values: 9")), 0, "another rule learns anew");
}

#[test]
fn an_engine_looks_back_over_its_counters_and_not_over_what_it_has_learned() {
    let back = |rules: &RuleSet| Running::start(rules, Allowlist::default(), 1).engine.looks_back();
    assert!(
        back(&new_device("learn: 7d, forget: 90d")) <= back(&rules("")) + std::time::Duration::from_secs(900)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// The same is found with any number of threads and wherever the log is cut, and it is what a list of everything finds.
    #[test]
    fn threads_and_cuts_do_not_matter(
        logins in prop::collection::vec((0i64..60_000, 0u8..3, 0u8..5), 1..120), piece in 1usize..40, threads in 1usize..4,
    ) {
        let rules = new_device("learn: 2d, forget: 4d");
        let mut at = 0;
        let mut lines = Vec::new();
        let mut expected = BTreeSet::new();
        let mut before: Vec<(i64, u8, u8)> = Vec::new();
        for (step, user, device) in logins {
            at += step;
            lines.push(login(at, &user.to_string(), &device.to_string()));
            if before.iter().all(|(other, of, _)| *of != user || *other < at - 4 * DAY) {
                before.retain(|(_, of, _)| *of != user);
            }
            let mine = || before.iter().filter(|(_, of, _)| *of == user);
            let began = mine().next().map_or(at, |(began, ..)| *began);
            let is_known = mine().any(|(other, _, seen)| *seen == device && *other >= at - 4 * DAY);
            if !is_known && at - began >= 2 * DAY {
                expected.insert((user.to_string(), at));
            }
            before.push((at, user, device));
        }
        let mut running = Running::start(&rules, Allowlist::default(), threads);
        lines.chunks(piece).for_each(|lines| running.count(lines));
        let cut = running.end();
        let whole = alerts(&rules, Allowlist::default(), &lines);
        prop_assert_eq!(&cut, &whole);
        // What is found within a quarter of an hour is one alert.
        let findings: u64 = whole.iter().map(|alert| alert.evidence.findings).sum();
        prop_assert_eq!(findings, expected.len() as u64);
        for alert in &whole {
            let at = alert.opened_at.as_micros() / 1_000_000 - START;
            prop_assert!(expected.contains(&(alert.subject[0].1.clone(), at)));
        }
    }
}
