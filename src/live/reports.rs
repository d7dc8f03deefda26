//! What the engine has in its books that is asked for now and then: it is written down once in a while, so that nobody who
//! asks makes the engine wait.

use std::sync::{PoisonError, RwLock};

use serde::Serialize;

use crate::engine::Engine;
use crate::engine::what_if::WouldFire;
use crate::event::Timestamp;

/// The latest reports.
#[derive(Debug, Default)]
pub struct Reports(RwLock<WhatIf>);

/// What rules would have said with other thresholds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WhatIf {
    /// When it was written down; `None` before that.
    pub at: Option<Timestamp>,
    /// Hours that it is about.
    pub hours: u32,
    /// Rules with a threshold.
    pub rules: Vec<RuleWhatIf>,
}

/// What a rule would have said.
#[derive(Clone, Debug, Serialize)]
pub struct RuleWhatIf {
    /// Its name.
    pub rule: String,
    /// With each of several thresholds, in rising order.
    pub thresholds: Vec<Fired>,
}

/// How many alerts a rule would have opened.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fired {
    /// The threshold.
    pub threshold: f64,
    /// How many.
    pub alerts: u64,
}

impl Reports {
    /// Writes down what rules would have said in the day before `now`.
    pub fn write(&self, engine: &Engine, would_fire: &[WouldFire], now: Timestamp) {
        let rules = would_fire.iter().map(|WouldFire { rule, alerts }| RuleWhatIf {
            rule: engine.shared().rules[*rule].name.name.clone(),
            thresholds: alerts
                .iter()
                .map(|(threshold, alerts)| Fired { threshold: *threshold, alerts: *alerts })
                .collect(),
        });
        let report = WhatIf { at: Some(now), hours: 24, rules: rules.collect() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// What rules would have said with other thresholds: all, or the one of this name.
    pub fn what_if(&self, rule: Option<&str>) -> WhatIf {
        let report = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_asked = |one: &&RuleWhatIf| rule.is_none_or(|rule| rule == one.rule);
        WhatIf { rules: report.rules.iter().filter(is_asked).cloned().collect(), ..*report }
    }
}
