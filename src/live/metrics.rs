//! What is counted of the engine's work, for Prometheus.
//!
//! Label values come from closed sets: sources and rules as configured, severities, reasons. Every series is there at 0
//! from the start.

use std::collections::HashMap;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use serde_json::{Map, Value};

use crate::alert::Alert;
use crate::decode::{Tally, Undecodable};
use crate::engine::deviation::BaselineCounts;
use crate::engine::what_if::{FACTORS, WouldFire};
use crate::engine::{Counts, Engine};
use crate::event::Timestamp;
use crate::rules::{Mode, Severity};
use crate::stream::Change;
use crate::telemetry::Register;

/// The metrics; see the module.
pub struct Metrics {
    /// Time that a step took.
    pub step_seconds: Histogram,
    /// Alerts.
    pub alerts: AlertMetrics,
    lines: IntCounterVec,
    events: IntCounterVec,
    undecodable: IntCounterVec,
    matches: IntCounterVec,
    refused: IntCounterVec,
    totals: Vec<(IntCounter, Read)>,
    gauges: Vec<(IntGauge, Read)>,
    rules: Vec<RuleSeries>,
    rules_loaded: IntGauge,
    rules_off: IntGauge,
    baselines: [IntGauge; 2],
    would_fire: IntGaugeVec,
    would_fire_untried: IntCounter,
    sources: HashMap<String, SourceSeries>,
}

/// What is counted of alerts.
#[derive(Clone)]
pub struct AlertMetrics {
    /// Time from the arrival of the oldest line of a step to the telling of an alert.
    pub latency_seconds: Histogram,
    opened: IntCounterVec,
    resolved: IntCounterVec,
    escalated: IntCounterVec,
    open: IntGaugeVec,
    shadow_opened: IntCounterVec,
    shadow_resolved: IntCounterVec,
}

/// The series of a rule, and what they said last.
struct RuleSeries {
    matches: IntCounter,
    refused: IntCounter,
    last_matches: u64,
    last_refused: u64,
}

struct SourceSeries {
    lines: IntCounter,
    events: IntCounter,
    undecodable: Vec<IntCounter>,
}

/// Reads a number out of the engine's books.
type Read = fn(&Counts) -> u64;

/// Counters without labels.
const TOTALS: [(&str, &str, Read); 16] = [
    ("watchbell_events_late_total", "Events too far behind their source's clock to be counted.", |c| {
        c.clock.late
    }),
    ("watchbell_events_ahead_total", "Events ahead of their arrival, held to it.", |c| c.clock.ahead),
    ("watchbell_events_untimed_total", "Events without a time, not counted.", |c| c.read.untimed),
    ("watchbell_observations_total", "Matches handed to windows.", |c| c.read.observations),
    (
        "watchbell_matches_without_group_total",
        "Matches not counted for lack of a field they are grouped by.",
        |c| c.read.missing_group,
    ),
    (
        "watchbell_matches_without_value_total",
        "Matches not counted for lack of the value that is measured.",
        |c| c.read.missing_value,
    ),
    (
        "watchbell_matches_relayed_total",
        "Matches not counted because they come from a relay, and where that is says nothing.",
        |c| c.read.relayed,
    ),
    ("watchbell_matches_allowed_total", "Matches not counted because the allowlist knows them.", |c| {
        c.read.allowed
    }),
    (
        "watchbell_alerts_allowed_total",
        "Findings that opened no alert because the allowlist knows the event.",
        |c| c.allowed_alerts,
    ),
    (
        "watchbell_alerts_inhibited_total",
        "Findings that opened no alert because another rule has said enough about the subject.",
        |c| c.inhibited_alerts,
    ),
    (
        "watchbell_late_for_baseline_total",
        "Events that came when the tick of a baseline that they belong to had been judged.",
        |c| c.late_for_tick,
    ),
    ("watchbell_alerts_refused_total", "Findings that opened no alert because too many are open.", |c| {
        c.refused_alerts.iter().sum()
    }),
    ("watchbell_window_subjects_created_total", "Subjects that windows were made for.", |c| c.table.created),
    (
        "watchbell_window_subjects_expired_total",
        "Subjects let go because nothing in their windows mattered any more.",
        |c| c.table.expired,
    ),
    ("watchbell_window_subjects_evicted_total", "Subjects let go because window memory was full.", |c| {
        c.table.evicted
    }),
    (
        "watchbell_log_lines_total",
        "Lines read from all sources, without blank ones and the comments of W3C logs.",
        |c| c.read.decoded.lines,
    ),
];

impl Metrics {
    /// Registers the metrics, with the series of these sources.
    pub fn register<'s>(
        registry: &Registry,
        sources: impl IntoIterator<Item = &'s str>,
    ) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let mut totals: Vec<(IntCounter, Read)> = Vec::new();
        for (name, help, read) in TOTALS {
            totals.push((register.counter(name, help)?, read));
        }
        let gauges: Vec<(IntGauge, Read)> = vec![
            (register.gauge("watchbell_window_subjects", "Subjects that have windows.")?, |c| {
                c.table.subjects
            }),
            (register.gauge("watchbell_window_bytes", "Memory of all windows.")?, |c| c.table.bytes),
        ];
        let mut metrics = Self {
            step_seconds: register
                .seconds("watchbell_step_duration_seconds", "Time that a step of the engine took.")?,
            alerts: AlertMetrics::register(register)?,
            lines: register.counters(
                "watchbell_lines_total",
                "Lines read, without blank ones and the comments of W3C logs.",
                &["source"],
            )?,
            events: register.counters("watchbell_events_total", "Lines that became events.", &["source"])?,
            undecodable: register.counters(
                "watchbell_undecodable_lines_total",
                "Lines that could not be read.",
                &["source", "reason"],
            )?,
            matches: register.counters(
                "watchbell_rule_matches_total",
                "Events that a detection matched.",
                &["rule"],
            )?,
            refused: register.counters(
                "watchbell_rule_alerts_refused_total",
                "Findings of a rule that opened no alert because too many are open.",
                &["rule"],
            )?,
            totals,
            gauges,
            rules: Vec::new(),
            rules_loaded: register.gauge("watchbell_rules", "Rules in use.")?,
            baselines: {
                let baselines = register.gauges(
                    "watchbell_baseline_subjects",
                    "Subjects of rules with a baseline, by whether enough is known of them.",
                    &["state"],
                )?;
                ["warming", "known"].map(|state| baselines.with_label_values(&[state]))
            },
            rules_off: register.gauge(
                "watchbell_rules_off",
                "Rules that are off for want of a database of addresses, unless logs say where clients are.",
            )?,
            would_fire: register.gauges(
                "watchbell_rule_would_fire",
                "Alerts that a rule would have opened in the last 24 hours, in hourly steps, with its threshold times a \
                 factor.",
                &["rule", "threshold_factor"],
            )?,
            would_fire_untried: register.counter(
                "watchbell_rule_would_fire_untried_total",
                "Findings not compared with other thresholds because too many subjects had some.",
            )?,
            sources: HashMap::new(),
        };
        for source in sources {
            metrics.source(source);
        }
        Ok(metrics)
    }

    /// Starts the series of the engine's rules.
    pub fn follow_rules(&mut self, engine: &Engine) {
        self.would_fire.reset();
        self.follow_trials(engine, &engine.would_fire(Some(Timestamp::default())));
        let counts = engine.counts();
        let reported: Vec<usize> =
            engine.shared().plan.windows.iter().filter(|w| w.reported).map(|w| w.rule).collect();
        self.rules_loaded.set(i64::try_from(engine.shared().rules.len()).unwrap_or(i64::MAX));
        let off = engine.shared().rules.iter().filter(|rule| !rule.lacks.is_empty()).count();
        self.rules_off.set(i64::try_from(off).unwrap_or(i64::MAX));
        self.rules = engine
            .shared()
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| {
                let name = rule.name.name.as_str();
                if reported.contains(&index) {
                    for severity in rule.severities() {
                        let labels = [name, severity.name()];
                        self.alerts.opened_of(rule.mode).with_label_values(&labels);
                        self.alerts.resolved_of(rule.mode).with_label_values(&labels);
                        if severity != rule.severity {
                            self.alerts.escalated.with_label_values(&labels);
                        }
                    }
                }
                RuleSeries {
                    matches: self.matches.with_label_values(&[name]),
                    refused: self.refused.with_label_values(&[name]),
                    last_matches: counts.matches.get(index).copied().unwrap_or(0),
                    last_refused: counts.refused_alerts.get(index).copied().unwrap_or(0),
                }
            })
            .collect();
    }

    /// Takes over what the engine has counted; to be called once a second, and before rules change.
    pub fn follow(&mut self, counts: &Counts) {
        for (counter, read) in &self.totals {
            counter.inc_by(read(counts).saturating_sub(counter.get()));
        }
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(counts)).unwrap_or(i64::MAX));
        }
        for (index, series) in self.rules.iter_mut().enumerate() {
            let matches = counts.matches.get(index).copied().unwrap_or(0);
            let refused = counts.refused_alerts.get(index).copied().unwrap_or(0);
            series.matches.inc_by(matches.saturating_sub(series.last_matches));
            series.refused.inc_by(refused.saturating_sub(series.last_refused));
            (series.last_matches, series.last_refused) = (matches, refused);
        }
    }

    /// Takes over what rules would have said with other thresholds.
    pub fn follow_trials(&self, engine: &Engine, would_fire: &[WouldFire]) {
        for WouldFire { rule, alerts } in would_fire {
            let name = engine.shared().rules[*rule].name.name.as_str();
            for (factor, (_, count)) in FACTORS.iter().zip(alerts) {
                let labels = [name, &factor.to_string()];
                self.would_fire.with_label_values(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
        }
        let untried = &self.would_fire_untried;
        untried.inc_by(engine.untried().saturating_sub(untried.get()));
    }

    /// Takes over how many subjects of baselines there are.
    pub fn follow_baselines(&self, counts: BaselineCounts) {
        let [warming, known] = &self.baselines;
        warming.set(i64::try_from(counts.warming).unwrap_or(i64::MAX));
        known.set(i64::try_from(counts.known).unwrap_or(i64::MAX));
    }

    /// Counts lines of a source by what became of them.
    pub fn add_lines(&mut self, source: &str, tally: &Tally) {
        let series = self.source(source);
        series.lines.inc_by(tally.lines);
        series.events.inc_by(tally.events);
        series.undecodable.iter().zip(tally.undecodable).for_each(|(counter, count)| counter.inc_by(count));
    }

    fn source(&mut self, source: &str) -> &SourceSeries {
        if !self.sources.contains_key(source) {
            let series = SourceSeries {
                lines: self.lines.with_label_values(&[source]),
                events: self.events.with_label_values(&[source]),
                undecodable: Undecodable::ALL
                    .iter()
                    .map(|reason| self.undecodable.with_label_values(&[source, reason.reason()]))
                    .collect(),
            };
            self.sources.insert(source.to_owned(), series);
        }
        &self.sources[source]
    }
}

impl AlertMetrics {
    fn register(register: Register<'_>) -> Result<Self, prometheus::Error> {
        let open = register.gauges(
            "watchbell_alerts_open",
            "Alerts that are open, without those of rules in shadow.",
            &["severity"],
        )?;
        Severity::ALL.iter().for_each(|severity| open.with_label_values(&[severity.name()]).set(0));
        Ok(Self {
            latency_seconds: register.seconds(
                "watchbell_alert_latency_seconds",
                "Time from the arrival of the oldest line of a step to the telling of an alert.",
            )?,
            opened: register.counters(
                "watchbell_alerts_opened_total",
                "Alerts opened.",
                &["rule", "severity"],
            )?,
            resolved: register.counters(
                "watchbell_alerts_resolved_total",
                "Alerts resolved.",
                &["rule", "severity"],
            )?,
            escalated: register.counters(
                "watchbell_alerts_escalated_total",
                "Open alerts whose severity rose, by the one they rose to.",
                &["rule", "severity"],
            )?,
            open,
            shadow_opened: register.counters(
                "watchbell_shadow_alerts_opened_total",
                "Alerts opened by rules in shadow; no other series counts them.",
                &["rule", "severity"],
            )?,
            shadow_resolved: register.counters(
                "watchbell_shadow_alerts_resolved_total",
                "Alerts resolved of rules in shadow.",
                &["rule", "severity"],
            )?,
        })
    }

    const fn opened_of(&self, mode: Mode) -> &IntCounterVec {
        if mode.is_shadow() { &self.shadow_opened } else { &self.opened }
    }

    const fn resolved_of(&self, mode: Mode) -> &IntCounterVec {
        if mode.is_shadow() { &self.shadow_resolved } else { &self.resolved }
    }

    /// Alerts that were open before the start.
    pub fn start_with<'a>(&self, open: impl IntoIterator<Item = &'a Alert>) {
        let live = open.into_iter().filter(|alert| !alert.mode.is_shadow());
        live.for_each(|alert| self.open.with_label_values(&[alert.severity.name()]).inc());
    }

    /// Counts what became of an alert.
    pub fn add(&self, change: Change, alert: &Alert) {
        let severity = alert.severity.name();
        let open = self.open.with_label_values(&[severity]);
        let live = i64::from(!alert.mode.is_shadow());
        match change {
            Change::Opened => {
                self.opened_of(alert.mode).with_label_values(&[&alert.rule.name, severity]).inc();
                open.add(live);
            }
            Change::Resolved => {
                self.resolved_of(alert.mode).with_label_values(&[&alert.rule.name, severity]).inc();
                open.sub(live);
            }
            Change::Escalated { before } => {
                self.escalated.with_label_values(&[&alert.rule.name, severity]).inc_by(live.unsigned_abs());
                self.open.with_label_values(&[before.name()]).sub(live);
                open.add(live);
            }
            Change::Updated => {}
        }
    }

    /// How many alerts are open, by severity, without those of rules in shadow.
    pub fn open(&self) -> Map<String, Value> {
        let of = |severity: Severity| self.open.with_label_values(&[severity.name()]).get();
        Severity::ALL.iter().map(|severity| (severity.name().to_owned(), of(*severity).into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::{Condition, Evidence, RuleName};
    use crate::event::Timestamp;

    #[test]
    fn the_number_of_open_alerts_follows_their_severity() {
        let registry = Registry::new();
        let metrics = AlertMetrics::register(Register(&registry)).unwrap();
        let text = || "r".to_owned();
        let at = Timestamp::default();
        let mut alert = Alert {
            id: text(),
            rule: Arc::new(RuleName { id: text(), name: text(), title: text() }),
            severity: Severity::Medium,
            mode: Mode::Live,
            tenant: String::new(),
            subject: Vec::new(),
            opened_at: at,
            last_seen_at: at,
            resolved_at: None,
            observed: 2.0,
            condition: Arc::new(Condition::of_text("")),
            evidence: Evidence::default(),
        };
        let open = |severity: &str| metrics.open()[severity].as_i64();
        metrics.add(Change::Opened, &alert);
        assert_eq!((open("medium"), open("critical")), (Some(1), Some(0)));
        alert.severity = Severity::Critical;
        metrics.add(Change::Escalated { before: Severity::Medium }, &alert);
        metrics.add(Change::Updated, &alert);
        assert_eq!((open("medium"), open("critical")), (Some(0), Some(1)));
        metrics.add(Change::Resolved, &alert);
        assert_eq!((open("medium"), open("critical")), (Some(0), Some(0)));
    }
}
