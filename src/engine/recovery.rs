//! Starting again where an engine was before.
//!
//! What it had counted is counted again out of the journal, so that the windows are what they were. Alerts are not raised
//! again: an episode begins only where one is known to have been, and has that one's id. Reading back has to begin early
//! enough for the windows to be full where the last findings of open alerts are: [`Engine::looks_back`] says how early.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::{Engine, Shared, Transition};
use crate::alert::{Alert, Condition, Evidence, RuleName, Stage};
use crate::event::Timestamp;
use crate::rules::{Mode, Severity};

/// An alert that was told before, as far as it is needed to go on with it: what [`Alert`] writes of itself as JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct KnownAlert {
    id: String,
    rule: RuleName,
    severity: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    tenant: String,
    subject: serde_json::Map<String, serde_json::Value>,
    opened_at: Timestamp,
    last_seen_at: Timestamp,
    resolved_at: Option<Timestamp>,
    observed: f64,
    condition: KnownCondition,
    evidence: KnownEvidence,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct KnownCondition {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct KnownEvidence {
    window: KnownWindow,
    first_seen_at: Timestamp,
    findings: u64,
    #[serde(default)]
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct KnownWindow {
    from: Timestamp,
    to: Timestamp,
}

impl KnownAlert {
    /// Reads what an alert wrote of itself.
    pub fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// Whether its rule is of another mode now.
    fn has_other_mode(&self, shared: &Shared) -> bool {
        let described = shared.rules.iter().find(|rule| rule.name.id == self.rule.id);
        described.is_some_and(|rule| rule.mode != self.mode)
    }

    /// Whether a finding over this time belongs to its episode.
    fn covers(&self, first: Timestamp, last: Timestamp) -> bool {
        self.opened_at <= last && self.resolved_at.is_none_or(|resolved_at| first <= resolved_at)
    }

    /// Gives an episode that was counted again the identity of this alert.
    fn take_over(&self, alert: &mut Alert) {
        alert.id.clone_from(&self.id);
        alert.opened_at = self.opened_at;
        alert.observed = alert.observed.max(self.observed);
        alert.evidence.window = (self.evidence.window.from, self.evidence.window.to);
        alert.evidence.first_seen_at = self.evidence.first_seen_at;
        if let Some(severity) = Severity::from_name(&self.severity) {
            alert.severity = severity;
        }
        alert.evidence.stages.clone_from(&self.evidence.stages);
    }

    /// When it is over if nothing more is found. Of a rule that is gone nothing will be.
    fn over_at(&self, shared: &Shared) -> Timestamp {
        let described = shared.rules.iter().find(|rule| rule.name.id == self.rule.id);
        self.last_seen_at.after(described.map_or(Duration::ZERO, |rule| rule.quiet))
    }

    /// The alert, as far as it is known.
    fn alert(&self, shared: &Shared, resolved_at: Option<Timestamp>) -> Alert {
        let described = shared.rules.iter().find(|rule| rule.name.id == self.rule.id);
        let condition = described.map(|rule| Arc::clone(&rule.condition));
        Alert {
            id: self.id.clone(),
            rule: Arc::new(self.rule.clone()),
            severity: Severity::from_name(&self.severity).unwrap_or(Severity::Medium),
            mode: self.mode,
            tenant: self.tenant.clone(),
            subject: self
                .subject
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            opened_at: self.opened_at,
            last_seen_at: self.last_seen_at,
            resolved_at,
            observed: self.observed,
            condition: condition.unwrap_or_else(|| Arc::new(Condition::of_text(&self.condition.text))),
            evidence: Evidence {
                window: (self.evidence.window.from, self.evidence.window.to),
                first_seen_at: self.evidence.first_seen_at,
                findings: self.evidence.findings,
                stages: self.evidence.stages.clone(),
                ..Evidence::default()
            },
        }
    }
}

/// What is to be told when everything has been counted again.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    /// What became of those alerts that were known as open, and are over.
    pub over: Vec<Transition>,
    /// Alerts that were known as open and were not found again, but may be in what comes next.
    pub absent: Vec<Alert>,
    /// Open alerts in which more was found than was known.
    pub changed: Vec<Alert>,
}

/// What is known while an engine counts again.
#[derive(Debug, Default)]
pub struct Recovery {
    /// By rule and subject, oldest first.
    known: HashMap<String, Vec<KnownAlert>>,
}

impl Recovery {
    fn new(known: Vec<KnownAlert>) -> Self {
        let mut recovery = Self::default();
        for alert in known {
            recovery.known.entry(Alert::subject_of_id(&alert.id).to_owned()).or_default().push(alert);
        }
        recovery.known.values_mut().for_each(|alerts| alerts.sort_by_key(|alert| alert.opened_at));
        recovery
    }

    /// What is known of the rule and the subject of an alert, oldest first.
    fn about(&self, alert: &Alert) -> &[KnownAlert] {
        self.known.get(Alert::subject_of_id(&alert.id)).map_or(&[], Vec::as_slice)
    }

    /// Whether more is known of an alert than was told.
    fn is_news(&self, alert: &Alert) -> bool {
        let told = self.about(alert).iter().find(|known| known.id == alert.id);
        told.is_none_or(|told| (told.observed, told.last_seen_at) != (alert.observed, alert.last_seen_at))
    }

    /// Whether an episode is one that is known, whose identity it then takes over.
    pub(super) fn recognise(&self, alert: &mut Alert) -> bool {
        // One of another mode is not gone on with: what was on trial has told nobody.
        let is_it = |known: &&KnownAlert| {
            known.mode == alert.mode && known.covers(alert.opened_at, alert.last_seen_at)
        };
        let known = self.about(alert).iter().rev().find(is_it);
        if let Some(known) = known {
            known.take_over(alert);
        }
        known.is_some()
    }
}

/// Alerts that were told and have not been found again: they came of what was counted last before a crash, and that comes
/// again as if it were new. They stay open until they would be over, and when they are found they are the same.
#[derive(Debug, Default)]
pub struct Absent(Mutex<Vec<(KnownAlert, Timestamp)>>);

impl Absent {
    fn known(&self) -> MutexGuard<'_, Vec<(KnownAlert, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all have been found, or are over.
    pub(super) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Whether an episode is one of them, whose identity it then takes over.
    pub(super) fn recognise(&self, alert: &mut Alert) -> bool {
        let mut known = self.known();
        let is_it = |(known, _): &(KnownAlert, Timestamp)| {
            known.mode == alert.mode
                && Alert::subject_of_id(&known.id) == Alert::subject_of_id(&alert.id)
                && known.covers(alert.opened_at, alert.last_seen_at)
        };
        let Some(at) = known.iter().position(is_it) else { return false };
        known.swap_remove(at).0.take_over(alert);
        true
    }

    /// Those that are over at this time.
    pub(super) fn over(&self, shared: &Shared, now: Timestamp) -> Vec<Transition> {
        let mut known = self.known();
        let over: Vec<_> = known.extract_if(.., |(_, over_at)| *over_at < now).collect();
        over.into_iter()
            .map(|(known, over_at)| Transition::Resolved(known.alert(shared, Some(over_at))))
            .collect()
    }
}

impl Engine {
    /// How far back whatever is read again has to begin: the last findings of an alert that is still open may be as old as
    /// its rule's quiet time, and the events behind them older by a window.
    pub fn looks_back(&self) -> Duration {
        let windows = &self.shared.plan.windows;
        let longest = windows.iter().map(|window| {
            // What goes back for months is not read again.
            let is_long_lived = window.spec.measure.is_long_lived();
            let span = if is_long_lived { Duration::ZERO } else { window.spec.span };
            span + self.shared.rules[window.rule].quiet
        });
        longest.max().unwrap_or_default() + self.tolerance.lateness
    }

    /// Counts again from now on: nothing becomes of alerts until [`Self::recovered`].
    pub fn recover(&mut self, known: Vec<KnownAlert>) {
        self.recovery = Some(Recovery::new(known));
    }

    /// Goes on as ever; nothing before `now` will be counted any more.
    pub fn recovered(&mut self, now: Timestamp) -> Recovered {
        let _ = self.advance_to(now);
        let Some(recovery) = self.recovery.take() else { return Recovered::default() };
        // What is found from here on is news, and what was found after an alert was told last.
        let mut changed = self.updates();
        changed.retain(|alert| recovery.is_news(alert));
        let open: HashSet<String> = self.open_alerts().into_iter().map(|alert| alert.id).collect();
        let known = recovery.known.into_values().flatten();
        let missing = known.filter(|alert| alert.is_open() && !open.contains(&alert.id));
        let mut over = Vec::new();
        let mut absent = Vec::new();
        for known in missing {
            let over_at = known.over_at(&self.shared);
            // What is found next of a rule whose mode has changed is another alert.
            if over_at < now || known.has_other_mode(&self.shared) {
                over.push(known.alert(&self.shared, Some(over_at.min(now))));
            } else {
                absent.push(known.alert(&self.shared, None));
                self.absent.known().push((known, over_at));
            }
        }
        over.sort_by(|left, right| super::alert_order(left).cmp(&super::alert_order(right)));
        self.counts = super::Counts::new(self.shared.rules.len());
        self.undecodable.clear();
        Recovered { over: over.into_iter().map(Transition::Resolved).collect(), absent, changed }
    }
}
