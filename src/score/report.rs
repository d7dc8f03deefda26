//! What judging came to, by kind of attack and by rule.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::found::Found;
use super::judge::{Case, Judgement};
use crate::event::Timestamp;
use crate::rules::{Mode, Severity};

const SECONDS_A_DAY: f64 = 86_400.0;

/// What judging came to. As JSON it is what `watchbell score --output json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Labelled attacks.
    pub attacks: usize,
    /// Those that an alert tells of.
    pub found: usize,
    /// Those of them that only alerts tell of which were open before: about a whole service, under attack already.
    pub found_by_earlier: usize,
    /// The share that was found, 0 to 1; 1 where there was no attack.
    pub recall: f64,
    /// Labelled innocents.
    pub innocents: usize,
    /// Alerts that were judged.
    pub alerts: usize,
    /// Those that tell of no attack and name nobody who had part in one.
    pub false_alarms: usize,
    /// How long it was watched, in days.
    pub days: f64,
    /// False alarms a day.
    pub false_alarms_per_day: f64,
    /// From the start of an attack to the first alert that opened then. One that was open before has no time.
    pub time_to_detection: Option<Delay>,
    /// By kind of attack and speed.
    pub kinds: Vec<OfKind>,
    /// By rule that raised an alert.
    pub rules: Vec<OfRule>,
    /// Each false alarm.
    pub false_alarm_list: Vec<FalseAlarm>,
}

/// Times, in seconds of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    /// The middle one.
    pub p50_seconds: f64,
    /// The longest.
    pub worst_seconds: f64,
}

/// A kind of attack.
#[derive(Clone, Debug, Serialize)]
pub struct OfKind {
    /// Its name.
    pub kind: String,
    /// How patient, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// How often it is labelled.
    pub attacks: usize,
    /// How often it was found.
    pub found: usize,
    /// The share of them, 0 to 1.
    pub recall: f64,
    /// From the start to the first alert.
    pub time_to_detection: Option<Delay>,
    /// Rules that told of it.
    pub rules: BTreeSet<String>,
    /// Those that were not found.
    pub missed: Vec<Missed>,
}

/// An attack that was not found.
#[derive(Clone, Debug, Serialize)]
pub struct Missed {
    /// When it began.
    pub start: Timestamp,
    /// As it is labelled.
    pub subject: Map<String, Value>,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
pub struct OfRule {
    /// Its name.
    pub rule: String,
    /// How much its alerts matter.
    pub severity: Severity,
    /// Whether they are for people.
    pub mode: Mode,
    /// Alerts.
    pub alerts: usize,
    /// False ones.
    pub false_alarms: usize,
    /// False ones a day.
    pub false_alarms_per_day: f64,
    /// Attacks that it told of.
    pub attacks: usize,
    /// From the start of an attack to its first alert by this rule.
    pub time_to_detection: Option<Delay>,
}

/// An alert about nobody who did anything.
#[derive(Clone, Debug, Serialize)]
pub struct FalseAlarm {
    /// The rule.
    pub rule: String,
    /// When.
    pub opened_at: Timestamp,
    /// The subject in one line.
    pub subject: String,
    /// What it was about: labelled innocents, or nothing that is labelled.
    pub innocents: BTreeSet<String>,
}

impl Report {
    /// Sums up. `days` is how long it was watched; unless it is said, from the first label or alert to the last.
    pub fn new(judgement: &Judgement, alerts: &[Found], days: Option<f64>) -> Self {
        let days = days.unwrap_or_else(|| span_days(&judgement.cases, alerts));
        let attacks = || judgement.cases.iter().filter(|case| !case.label.is_innocent);
        let (count, found) = (attacks().count(), attacks().filter(|case| !case.told_by.is_empty()).count());
        let false_alarms = judgement.false_alarms.len();
        let delays = || attacks().filter_map(|case| delay(case, alerts, |_| true));
        Self {
            attacks: count,
            found,
            found_by_earlier: found - delays().count(),
            recall: share(found, count),
            innocents: judgement.cases.len() - count,
            alerts: alerts.len(),
            false_alarms,
            days,
            false_alarms_per_day: false_alarms as f64 / days,
            time_to_detection: Delay::of(delays()),
            kinds: kinds(judgement, alerts),
            rules: rules(judgement, alerts, days),
            false_alarm_list: false_alarm_list(judgement, alerts),
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// From the first label or alert to the last, and an hour at least.
fn span_days(cases: &[Case], alerts: &[Found]) -> f64 {
    let times = || {
        let labelled = cases.iter().flat_map(|case| [case.label.start, case.label.end]);
        labelled.chain(alerts.iter().map(|alert| alert.opened_at)).map(Timestamp::as_micros)
    };
    let seconds = match (times().min(), times().max()) {
        (Some(first), Some(last)) => last.saturating_sub(first) as f64 / 1e6,
        _ => 0.0,
    };
    (seconds / SECONDS_A_DAY).max(1.0 / 24.0)
}

/// Seconds from the start of an attack to the first alert of some that opened then.
fn delay(case: &Case, alerts: &[Found], is_wanted: impl Fn(&Found) -> bool) -> Option<f64> {
    let start = case.label.start;
    let mut told = case.told_by.iter().map(|number| &alerts[*number]);
    let first = told.find(|alert| alert.opened_at >= start && is_wanted(alert))?;
    Some((first.opened_at.as_micros() - start.as_micros()) as f64 / 1e6)
}

impl Delay {
    fn of(seconds: impl Iterator<Item = f64>) -> Option<Self> {
        let mut seconds: Vec<f64> = seconds.collect();
        seconds.sort_by(f64::total_cmp);
        let p50_seconds = *seconds.get(seconds.len().checked_sub(1)? / 2)?;
        Some(Self { p50_seconds, worst_seconds: *seconds.last()? })
    }
}

fn kinds(judgement: &Judgement, alerts: &[Found]) -> Vec<OfKind> {
    let mut by_kind: BTreeMap<(&str, Option<&str>), Vec<&Case>> = BTreeMap::new();
    for case in judgement.cases.iter().filter(|case| !case.label.is_innocent) {
        let key = (case.label.kind.as_str(), case.label.speed.as_deref());
        by_kind.entry(key).or_default().push(case);
    }
    let of_kind = |((kind, speed), cases): ((&str, Option<&str>), Vec<&Case>)| {
        let missed = cases.iter().filter(|case| case.told_by.is_empty());
        let missed: Vec<Missed> = missed
            .map(|case| Missed { start: case.label.start, subject: case.label.written.clone() })
            .collect();
        let told = cases.iter().flat_map(|case| &case.told_by);
        OfKind {
            kind: kind.to_owned(),
            speed: speed.map(str::to_owned),
            attacks: cases.len(),
            found: cases.len() - missed.len(),
            recall: share(cases.len() - missed.len(), cases.len()),
            time_to_detection: Delay::of(cases.iter().filter_map(|case| delay(case, alerts, |_| true))),
            rules: told.map(|number| alerts[*number].rule.clone()).collect(),
            missed,
        }
    };
    by_kind.into_iter().map(of_kind).collect()
}

fn rules(judgement: &Judgement, alerts: &[Found], days: f64) -> Vec<OfRule> {
    let is_false: HashSet<usize> = judgement.false_alarms.iter().copied().collect();
    let mut by_rule: BTreeMap<&str, OfRule> = BTreeMap::new();
    for (number, alert) in alerts.iter().enumerate() {
        let of_rule = by_rule.entry(&alert.rule).or_insert_with(|| OfRule {
            rule: alert.rule.clone(),
            severity: alert.severity,
            mode: alert.mode,
            alerts: 0,
            false_alarms: 0,
            false_alarms_per_day: 0.0,
            attacks: 0,
            time_to_detection: None,
        });
        of_rule.alerts += 1;
        of_rule.false_alarms += usize::from(is_false.contains(&number));
        of_rule.false_alarms_per_day = of_rule.false_alarms as f64 / days;
    }
    let mut delays: HashMap<&str, Vec<f64>> = HashMap::new();
    for case in judgement.cases.iter().filter(|case| !case.label.is_innocent) {
        let told: BTreeSet<&str> = case.told_by.iter().map(|number| alerts[*number].rule.as_str()).collect();
        for rule in told {
            delays.entry(rule).or_default().extend(delay(case, alerts, |alert| alert.rule == rule));
            by_rule.entry(rule).and_modify(|of_rule| of_rule.attacks += 1);
        }
    }
    for (rule, of_rule) in &mut by_rule {
        of_rule.time_to_detection = Delay::of(delays.remove(rule).unwrap_or_default().into_iter());
    }
    by_rule.into_values().collect()
}

fn false_alarm_list(judgement: &Judgement, alerts: &[Found]) -> Vec<FalseAlarm> {
    let mut innocents: HashMap<_, BTreeSet<&str>> = HashMap::new();
    for case in judgement.cases.iter().filter(|case| case.label.is_innocent) {
        for who in &case.involved {
            innocents.entry(who).or_default().insert(&case.label.kind);
        }
    }
    let of = |number: &usize| {
        let alert = &alerts[*number];
        let kinds = alert.whom.iter().filter_map(|who| innocents.get(who)).flatten();
        FalseAlarm {
            rule: alert.rule.clone(),
            opened_at: alert.opened_at,
            subject: alert.subject_text(),
            innocents: kinds.map(|kind| (*kind).to_owned()).collect(),
        }
    };
    judgement.false_alarms.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::judge::judge;
    use super::super::{found, label};
    use super::*;

    fn label_of(kind: &str, subject: &str, from: u32, to: u32, innocent: bool) -> String {
        format!(
            r#"{{"kind":"{kind}","subject":{subject},"from":"2026-11-24T{from:02}:00:00Z","to":"2026-11-24T{to:02}:00:00Z","innocent":{innocent}}}"#
        )
    }

    fn alert_of(id: u32, rule: &str, subject: &str, at: &str) -> String {
        format!(
            r#"{{"id":"{id}","rule":{{"name":"{rule}"}},"severity":"high","subject":{subject},"opened_at":"2026-11-24T{at}Z","resolved_at":null}}"#
        )
    }

    fn report(labels: &[String], alerts: &[String]) -> Report {
        let alerts = found::read(alerts.join("\n").as_bytes()).unwrap();
        let labels = label::read(labels.join("\n").as_bytes()).unwrap();
        let judgement = judge(labels, &alerts, &found::partners(&alerts));
        Report::new(&judgement, &alerts, Some(2.0))
    }

    #[test]
    fn recall_delays_and_false_alarms_are_counted_by_kind_and_rule() {
        let (ann, eve, ivy) =
            (r#"{"user.name":"ann"}"#, r#"{"source.ip":"192.0.2.1"}"#, r#"{"source.ip":"192.0.2.9"}"#);
        let labels = [
            label_of("guess", eve, 1, 2, false),
            label_of("guess", r#"{"source.ip":"192.0.2.2"}"#, 3, 4, false),
            label_of("takeover", ann, 5, 6, false),
            label_of("crawler", ivy, 1, 6, true),
        ];
        let alerts = [
            alert_of(1, "fast", eve, "01:00:30"),
            alert_of(2, "slow", eve, "01:30:00"),
            alert_of(3, "fast", ann, "05:02:00"),
            alert_of(4, "fast", ivy, "02:00:00"),
            alert_of(5, "slow", r#"{"source.ip":"192.0.2.77"}"#, "02:00:00"),
            // About a service, amid an attack.
            alert_of(6, "wide", r#"{"url.path":"/"}"#, "01:10:00"),
            // And when there was none.
            alert_of(7, "wide", r#"{"url.path":"/"}"#, "22:00:00"),
            // After it was over.
            alert_of(8, "slow", r#"{"source.ip":"192.0.2.2"}"#, "09:00:00"),
        ];
        let report = report(&labels, &alerts);
        assert_eq!((report.attacks, report.found, report.innocents, report.alerts), (3, 2, 1, 8));
        assert_eq!((report.false_alarms, report.false_alarms_per_day), (3, 1.5));
        let delay = |delay: Option<Delay>| delay.map(|delay| (delay.p50_seconds, delay.worst_seconds));
        assert_eq!(delay(report.time_to_detection), Some((30.0, 120.0)));
        let mut text = String::new();
        for of_kind in &report.kinds {
            let missed: Vec<_> =
                of_kind.missed.iter().map(|missed| missed.subject.values().collect::<Vec<_>>()).collect();
            let _ = writeln!(
                text,
                "{} {}/{} {:?} {:?}",
                of_kind.kind, of_kind.found, of_kind.attacks, of_kind.rules, missed
            );
        }
        for of_rule in &report.rules {
            let OfRule { rule, alerts, false_alarms, attacks, time_to_detection, .. } = of_rule;
            let _ =
                writeln!(text, "{rule} {alerts} {false_alarms} {attacks} {:?}", delay(*time_to_detection));
        }
        for false_alarm in &report.false_alarm_list {
            let _ =
                writeln!(text, "{} {} {:?}", false_alarm.rule, false_alarm.subject, false_alarm.innocents);
        }
        let expected = [
            r#"guess 1/2 {"fast", "slow"} [[String("192.0.2.2")]]"#,
            r#"takeover 1/1 {"fast"} []"#,
            "fast 3 1 2 Some((30.0, 120.0))",
            "slow 3 1 1 Some((1800.0, 1800.0))",
            "wide 2 1 0 None",
            r#"fast source.ip=192.0.2.9 {"crawler"}"#,
            "slow source.ip=192.0.2.77 {}",
            "wide url.path=/ {}",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_alert_that_was_open_before_has_found_an_attack_but_not_in_no_time() {
        let labels = [label_of("x", r#"{"source.ip":["192.0.2.1","192.0.2.2"]}"#, 5, 6, false)];
        let earlier = alert_of(1, "x_distributed", "{}", "04:00:00");
        let report = report(&labels, &[earlier]);
        assert_eq!((report.found, report.found_by_earlier, report.time_to_detection), (1, 1, None));
        assert_eq!((report.rules[0].attacks, report.false_alarms), (1, 0));
    }

    #[test]
    fn what_webhooks_tell_is_matched_by_time_unless_it_is_about_another_business() {
        let labels = [label_of("pin_reset", r#"{"whatsapp.waba.id":"1"}"#, 5, 6, false)];
        for (subject, at, found) in [
            (r#"{"whatsapp.number":"x"}"#, "05:30:00", 1),
            (r#"{"whatsapp.waba.id":"1"}"#, "06:10:00", 1),
            (r#"{"whatsapp.waba.id":"2"}"#, "05:30:00", 0),
            (r#"{"whatsapp.number":"x"}"#, "07:30:00", 0),
            (r#"{"source.ip":"192.0.2.1"}"#, "05:30:00", 0),
        ] {
            let report = report(&labels, &[alert_of(1, "r", subject, at)]);
            assert_eq!((report.found, report.false_alarms), (found, 1 - found), "{subject} {at}");
        }
    }
}
