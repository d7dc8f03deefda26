//! Rules on trial: they count and tell, and change nothing for anybody else.

use std::sync::Arc;

use prometheus::Registry;
use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode::{self, Format};
use watchbell::engine::recovery::KnownAlert;
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::live;
use watchbell::rules::{Mode, RuleSet, Severity};
use watchbell::stream::Change;

use crate::engine::{START, failures, rules};
use crate::stream::alert;

struct Running {
    engine: Engine,
    source: usize,
}

impl Running {
    fn start(rules: &RuleSet) -> Self {
        let mut engine =
            Engine::new(rules, Allowlist::default(), &Settings { threads: 1, ..Settings::default() })
                .unwrap();
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        Self { engine, source }
    }

    fn count(&mut self, lines: &[String]) -> Vec<Transition> {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        self.engine.read(vec![Chunk { source: self.source, text, format: Format::Json, received: None }]);
        self.engine.count(None)
    }

    fn opened(&mut self, lines: &[String]) -> Vec<Alert> {
        let opened = self.count(lines).into_iter().filter_map(|transition| match transition {
            Transition::Opened(alert) => Some(alert),
            Transition::Resolved(_) | Transition::Escalated(..) => None,
        });
        opened.collect()
    }

    fn reload(&mut self, rules: &RuleSet) -> Vec<Transition> {
        let compiled = self.engine.compiler().compile(rules, Allowlist::default(), &Settings::default());
        let now = Timestamp::from_seconds(START + 100);
        self.engine.reload(compiled, &Arc::new(decode::Settings::default()), now)
    }
}

/// Three failures of a user, in a minute.
fn many(mode: &str) -> RuleSet {
    rules(&format!(
        "title: many\nname: many\nlevel: critical\nx-watchbell: {{mode: {mode}}}\ncorrelation: {{type: event_count, \
         rules: [failed], group-by: [user.name], timespan: 1m, condition: {{gte: 3}}}}\n"
    ))
}

fn told(alerts: &[Alert]) -> Vec<(&str, Mode)> {
    alerts.iter().map(|alert| (alert.rule.name.as_str(), alert.mode)).collect()
}

#[test]
fn a_shadow_rule_opens_alerts_of_its_severity_that_say_so() {
    let mut running = Running::start(&many("shadow"));
    let alerts = running.opened(&failures([0, 1, 2]));
    assert_eq!(told(&alerts), [("many", Mode::Shadow)]);
    let json = serde_json::to_value(&alerts[0]).unwrap();
    assert_eq!((json["mode"].as_str(), json["severity"].as_str()), (Some("shadow"), Some("critical")));
    let live = Running::start(&many("live")).opened(&failures([0, 1, 2]));
    assert_eq!(serde_json::to_value(&live[0]).unwrap().get("mode"), None);
    let described = |running: &Running| running.engine.shared().rules.last().unwrap().precedence();
    assert_eq!(described(&running), Severity::Informational, "it leaves room to those that are live");
}

#[test]
fn a_shadow_rule_inhibits_nobody_and_only_shadow_rules_count_what_it_finds() {
    let text = |mode: &str| {
        let count = |name: &str, gte: u32, more: &str| {
            format!(
                "title: {name}\nname: {name}\n{more}correlation: {{type: event_count, rules: [failed], group-by: \
                 [user.name], timespan: 1m, condition: {{gte: {gte}}}, generate: true}}\n---\n"
            )
        };
        let over = |name: &str, mode: &str| {
            format!(
                "title: {name}\nname: {name}\nx-watchbell: {{mode: {mode}}}\ncorrelation: {{type: event_count, rules: \
                 [quick], group-by: [user.name], timespan: 1m, condition: {{gte: 2}}, generate: true}}\n---\n"
            )
        };
        let quick = count("quick", 2, &format!("x-watchbell: {{mode: {mode}}}\n"));
        let slow = count("slow", 3, "x-watchbell: {inhibited-by: quick}\n");
        rules(&format!("{quick}{slow}{}{}", over("live_over", "live"), over("shadow_over", "shadow")))
    };
    let found = |mode| {
        let alerts = Running::start(&text(mode)).opened(&failures([0, 1, 2, 3]));
        let mut names: Vec<String> = alerts.into_iter().map(|alert| alert.rule.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(found("live"), ["live_over", "quick", "shadow_over"]);
    assert_eq!(found("shadow"), ["quick", "shadow_over", "slow"]);
}

#[test]
fn a_rule_that_comes_out_of_shadow_tells_of_what_goes_on() {
    for (from, to) in [("shadow", Mode::Live), ("live", Mode::Shadow)] {
        let mut running = Running::start(&many(from));
        let before = running.opened(&failures([0, 1, 2]));
        let transitions = running.reload(&many(to.name()));
        let [Transition::Resolved(over)] = transitions.as_slice() else { panic!("{transitions:?}") };
        assert_eq!((&over.id, over.mode), (&before[0].id, before[0].mode));
        assert_eq!(running.engine.open_alerts(), []);
        let after = running.opened(&failures([3]));
        assert_eq!((told(&after), after[0].observed), (vec![("many", to)], 4.0), "what was counted goes on");
        assert_ne!(after[0].id, before[0].id);
        assert_eq!(running.reload(&many(to.name())), [], "nothing has changed");
    }
}

#[test]
fn after_a_restart_an_alert_on_trial_is_not_gone_on_with_by_a_live_rule() {
    for (mode, still_open) in [("shadow", 1), ("live", 0)] {
        let told = Running::start(&many("shadow")).opened(&failures([0, 1, 2]));
        let record = serde_json::to_string(&told[0]).unwrap();
        let mut running = Running::start(&many(mode));
        running.engine.recover(vec![KnownAlert::parse(&record).unwrap()]);
        running.count(&failures([0, 1, 2]));
        let recovered = running.engine.recovered(Timestamp::from_seconds(START + 3));
        assert_eq!((running.engine.open_alerts().len(), recovered.over.len()), (still_open, 1 - still_open));
        let opened = running.opened(&failures([4]));
        assert_eq!(opened.len(), 1 - still_open, "{mode}: {opened:?}");
    }
}

#[test]
fn alerts_of_shadow_rules_are_counted_by_series_of_their_own() {
    let registry = Registry::new();
    let metrics = live::Metrics::register(&registry, []).unwrap();
    let shadow = Alert { mode: Mode::Shadow, ..alert("a", Severity::High, "", "192.0.2.1") };
    let series = || {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines = text.lines().filter(|line| line.contains("alerts_") && !line.ends_with(" 0"));
        let mut lines: Vec<String> = lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    metrics.alerts.start_with([&shadow]);
    metrics.alerts.add(Change::Opened, &shadow);
    assert_eq!(series(), ["watchbell_shadow_alerts_opened_total{rule=\"a\",severity=\"high\"} 1"]);
    metrics.alerts.add(Change::Opened, &Alert { mode: Mode::Live, ..shadow.clone() });
    metrics.alerts.add(Change::Resolved, &shadow);
    assert_eq!(
        series(),
        [
            "watchbell_alerts_opened_total{rule=\"a\",severity=\"high\"} 1",
            "watchbell_alerts_open{severity=\"high\"} 1",
            "watchbell_shadow_alerts_opened_total{rule=\"a\",severity=\"high\"} 1",
            "watchbell_shadow_alerts_resolved_total{rule=\"a\",severity=\"high\"} 1",
        ]
    );
}
