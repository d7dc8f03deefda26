//! What is counted of the observers of messaging.
//!
//! Portfolios, accounts and numbers are no labels: there is one series for all, and for the limit that of the portfolio
//! that has used most of its own.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::facts::{self, Gauges};
use crate::telemetry::Register;

/// The metrics; see the module.
#[derive(Clone)]
pub struct FactMetrics {
    derived: IntCounterVec,
    /// Derived lines that were lost because the journal had no room for too long.
    pub refused: IntCounter,
    gauges: Vec<(IntGauge, Read)>,
    counters: Vec<(IntCounter, Read)>,
    recipients: IntGauge,
    limit: IntGauge,
    used: Gauge,
}

/// Reads a number out of what observers know.
type Read = fn(&Gauges) -> u64;
type Series<'s> = (&'s str, &'s str, Read);

/// What there is now, over all tenants.
const GAUGES: [Series<'_>; 8] = [
    ("watchbell_sends_remembered", "Messages that were registered as sent and are remembered.", |g| {
        g.orphans.registered as u64
    }),
    ("watchbell_sends_awaited", "Messages with a status that may yet be registered as sent.", |g| {
        g.orphans.waiting as u64
    }),
    ("watchbell_sends_scopes", "Numbers and accounts whose messages must be registered.", |g| {
        g.orphans.scopes as u64
    }),
    (
        "watchbell_messaging_recipients_remembered",
        "People of whom it is remembered that they were written to.",
        |g| g.headroom.recipients as u64,
    ),
    ("watchbell_messaging_numbers", "Numbers of the business that are known.", |g| g.feed.numbers as u64),
    (
        "watchbell_messaging_numbers_silent",
        "Numbers that are silent for longer than they usually are.",
        |g| g.silence.silent as u64,
    ),
    ("watchbell_messaging_feed_silent", "Whether nothing at all has come for longer than usual.", |g| {
        u64::from(g.silence.is_feed_silent)
    }),
    ("watchbell_messaging_feed_lagging", "Whether messages arrive late.", |g| u64::from(g.feed.is_lagging)),
];

/// What was counted since the start, over all tenants.
const COUNTERS: [Series<'_>; 8] = [
    ("watchbell_messages_orphaned_total", "Messages that nobody registered as sent.", |g| g.orphans.orphaned),
    ("watchbell_sends_late_total", "Messages that were registered after their first status.", |g| {
        g.orphans.registered_late
    }),
    (
        "watchbell_sends_evicted_total",
        "Registered messages that were forgotten early for want of room.",
        |g| g.orphans.registered_evicted,
    ),
    (
        "watchbell_statuses_before_registration_total",
        "Statuses that were not judged because the message is older than registrations.",
        |g| g.orphans.before_registration,
    ),
    (
        "watchbell_statuses_suspended_total",
        "Statuses that were not judged because the registration may have been forgotten.",
        |g| g.orphans.suspended,
    ),
    ("watchbell_statuses_overflowed_total", "Statuses that were not judged because too many waited.", |g| {
        g.orphans.overflowed
    }),
    ("watchbell_messaging_recipients_refused_total", "Messages not counted: too many portfolios.", |g| {
        g.headroom.refused
    }),
    ("watchbell_messaging_numbers_refused_total", "Numbers and accounts not looked at: too many.", |g| {
        g.orphans.scopes_refused + g.silence.refused + g.feed.refused
    }),
];

impl FactMetrics {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let derived = register.counters(
            "watchbell_facts_total",
            "What was derived from messaging events, by the name of the event.",
            &["action"],
        )?;
        facts::ACTIONS.iter().for_each(|action| derived.with_label_values(&[action]).inc_by(0));
        let gauge = |(name, help, read): Series<'_>| register.gauge(name, help).map(|gauge| (gauge, read));
        let counter =
            |(name, help, read): Series<'_>| register.counter(name, help).map(|counter| (counter, read));
        Ok(Self {
            derived,
            refused: register.counter(
                "watchbell_facts_refused_total",
                "Derived events that were lost because the journal had no room.",
            )?,
            gauges: GAUGES.into_iter().map(gauge).collect::<Result<_, _>>()?,
            counters: COUNTERS.into_iter().map(counter).collect::<Result<_, _>>()?,
            recipients: register.gauge(
                "watchbell_messaging_limit_recipients",
                "People written to in 24 hours, of the portfolio that has used most of its messaging limit.",
            )?,
            limit: register.gauge(
                "watchbell_messaging_limit",
                "How many people that portfolio may write to in 24 hours; 0 when no limit is known.",
            )?,
            used: register.ratio(
                "watchbell_messaging_limit_used_ratio",
                "How much of its messaging limit the portfolio has used that has used most of its own.",
            )?,
        })
    }

    /// Counts a derived event.
    pub fn add(&self, action: &str) {
        self.derived.with_label_values(&[action]).inc();
    }

    /// Takes over what the observers of all tenants know.
    pub fn follow(&self, tenants: impl Iterator<Item = Gauges>) {
        let tenants: Vec<Gauges> = tenants.collect();
        let sum = |read: Read| tenants.iter().map(read).sum::<u64>();
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(sum(*read)).unwrap_or(i64::MAX));
        }
        for (counter, read) in &self.counters {
            counter.inc_by(sum(*read).saturating_sub(counter.get()));
        }
        let portfolios = tenants.iter().flat_map(|gauges| &gauges.headroom.portfolios);
        let limited = portfolios.filter_map(|portfolio| {
            let limit = portfolio.limit.filter(|limit| *limit > 0)?;
            Some((portfolio.used as f64 / limit as f64, portfolio.used, limit))
        });
        let fullest = limited.max_by(|left, right| left.0.total_cmp(&right.0));
        let (used, recipients, limit) = fullest.unwrap_or_default();
        self.used.set(used);
        self.recipients.set(i64::try_from(recipients).unwrap_or(i64::MAX));
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::headroom::Portfolio;

    #[test]
    fn the_fullest_portfolio_is_told_and_what_tenants_have_is_added_up() {
        let registry = Registry::new();
        let metrics = FactMetrics::register(&registry).unwrap();
        let portfolio = |used, limit| Portfolio { id: "1".to_owned(), used, limit, is_exact: true };
        let tenant = |portfolios, numbers, orphaned| {
            let mut gauges = Gauges::default();
            gauges.headroom.portfolios = portfolios;
            gauges.feed.numbers = numbers;
            gauges.orphans.orphaned = orphaned;
            gauges
        };
        metrics.follow(
            [
                tenant(vec![portfolio(900, Some(1000)), portfolio(5000, None)], 2, 1),
                tenant(vec![portfolio(950, Some(10_000))], 3, 4),
            ]
            .into_iter(),
        );
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "watchbell_messaging_limit_used_ratio 0.9",
            "watchbell_messaging_limit_recipients 900",
            "watchbell_messaging_limit 1000",
            "watchbell_messaging_numbers 5",
            "watchbell_messages_orphaned_total 5",
            "watchbell_facts_total{action=\"headroom_low\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
