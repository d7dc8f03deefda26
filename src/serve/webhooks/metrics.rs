//! What webhooks count. Every series is there, at 0, from the start.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry};

use crate::telemetry::Register;
use crate::whatsapp::{Reason, Unreadable};

/// Upper bounds of the buckets of times, in seconds: the platform wants half of all answers within 0.25 s, and 99 of 100
/// within a second.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its lines are stored.
    Stored,
    /// There was nothing in it.
    Empty,
    /// It could not be understood, and is kept as a dead letter.
    Unreadable,
    /// It has no signature.
    SignatureMissing,
    /// What it has is no signature.
    SignatureMalformed,
    /// The signature is made with another secret, or for another body.
    SignatureRejected,
    /// It comes from where too many bad signatures came from.
    Limited,
    /// It is too large.
    TooLarge,
    /// It did not arrive whole, or too slowly.
    Broken,
    /// The service is starting or stopping.
    NotReady,
    /// There is no room for it.
    Full,
    /// The journal fails.
    Failed,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Stored,
        Self::Empty,
        Self::Unreadable,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureRejected,
        Self::Limited,
        Self::TooLarge,
        Self::Broken,
        Self::NotReady,
        Self::Full,
        Self::Failed,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Empty => "empty",
            Self::Unreadable => "unreadable",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureRejected => "signature_rejected",
            Self::Limited => "limited",
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
            Self::NotReady => "not_ready",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// Kinds of names that are not known; the last is any other.
const KINDS: [&str; 13] = [
    "field",
    "message_type",
    "status",
    "event",
    "call_event",
    "call_status",
    "user_action",
    "group_type",
    "contact_action",
    "handover",
    "preference",
    "system_type",
    "other",
];

/// Why bodies, or parts of them, could not be understood.
fn reasons() -> impl Iterator<Item = &'static str> {
    // Of a part and of the whole, a reason may have the same name.
    let parts = Reason::ALL.map(Reason::name);
    let wholes = Unreadable::REASONS.into_iter().filter(move |whole| !parts.contains(whole));
    parts.into_iter().chain(wholes)
}

/// The counters of all webhooks.
pub struct Metrics {
    deliveries: IntCounterVec,
    signers: IntCounterVec,
    lines: IntCounterVec,
    duplicates: IntCounterVec,
    unreadable: IntCounterVec,
    unknown: [IntCounter; KINDS.len()],
    letters: IntCounterVec,
    seconds: HistogramVec,
    /// Handshakes that succeeded.
    pub handshakes_accepted: IntCounter,
    /// Handshakes that did not.
    pub handshakes_refused: IntCounter,
    /// Refused signatures and handshakes that were too many to become events.
    pub untold: IntCounter,
}

impl Metrics {
    /// Registers the counters.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let unknown = register.counters(
            "watchbell_webhook_unknown_names_total",
            "Names in webhooks that this version does not know, by what they name.",
            &["kind"],
        )?;
        let handshakes = register.counters(
            "watchbell_webhook_handshakes_total",
            "Handshakes of the WhatsApp webhook, by outcome.",
            &["outcome"],
        )?;
        let options = HistogramOpts::new(
            "watchbell_webhook_seconds",
            "Seconds from the head of a delivery to the answer, of those that were signed.",
        );
        let seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["source"])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            deliveries: register.counters(
                "watchbell_webhook_deliveries_total",
                "Deliveries to webhooks, by what became of them.",
                &["source", "outcome"],
            )?,
            signers: register.counters(
                "watchbell_webhook_signatures_total",
                "Deliveries that were signed, by the name of the secret.",
                &["source", "secret"],
            )?,
            lines: register.counters(
                "watchbell_webhook_lines_total",
                "Lines stored or seen before.",
                &["source"],
            )?,
            duplicates: register.counters(
                "watchbell_webhook_duplicate_lines_total",
                "Lines not stored because they had been seen before.",
                &["source"],
            )?,
            unreadable: register.counters(
                "watchbell_webhook_unreadable_total",
                "Bodies, or parts of bodies, that could not be understood, by reason.",
                &["source", "reason"],
            )?,
            letters: register.counters(
                "watchbell_webhook_dead_letters_total",
                "Bodies that were kept because not all of them could be understood.",
                &["source"],
            )?,
            unknown: KINDS.map(|kind| unknown.with_label_values(&[kind])),
            seconds,
            handshakes_accepted: handshakes.with_label_values(&["accepted"]),
            handshakes_refused: handshakes.with_label_values(&["refused"]),
            untold: register.counter(
                "watchbell_webhook_untold_total",
                "Refused signatures and handshakes that did not become events because there were too many.",
            )?,
        })
    }

    /// The counters of a source, whose secrets have these names.
    pub fn source<'n>(&self, name: &str, secrets: impl Iterator<Item = &'n str>) -> SourceMetrics {
        SourceMetrics {
            deliveries: Outcome::ALL
                .map(|outcome| self.deliveries.with_label_values(&[name, outcome.name()])),
            signers: secrets
                .map(|secret| (secret.into(), self.signers.with_label_values(&[name, secret])))
                .collect(),
            lines: self.lines.with_label_values(&[name]),
            duplicates: self.duplicates.with_label_values(&[name]),
            unreadable: reasons()
                .map(|reason| (reason, self.unreadable.with_label_values(&[name, reason])))
                .collect(),
            letters: self.letters.with_label_values(&[name]),
            seconds: self.seconds.with_label_values(&[name]),
        }
    }

    /// A name, such as `field:foo`, is not known.
    pub fn add_unknown(&self, name: &str, count: u64) {
        let kind = name.split(':').next().unwrap_or_default();
        let place = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
        self.unknown[place].inc_by(count);
    }
}

/// The counters of one source.
pub struct SourceMetrics {
    deliveries: [IntCounter; Outcome::ALL.len()],
    signers: Vec<(Box<str>, IntCounter)>,
    /// Lines stored or seen before.
    pub lines: IntCounter,
    /// Lines seen before.
    pub duplicates: IntCounter,
    unreadable: Vec<(&'static str, IntCounter)>,
    /// Dead letters.
    pub letters: IntCounter,
    seconds: Histogram,
}

impl SourceMetrics {
    /// Something became of a delivery.
    pub fn add(&self, outcome: Outcome) {
        self.deliveries[outcome as usize].inc();
    }

    /// A delivery was signed with a secret.
    pub fn add_signer(&self, name: &str) {
        if let Some((_, counter)) = self.signers.iter().find(|(known, _)| **known == *name) {
            counter.inc();
        }
    }

    /// A body, or parts of it, could not be understood.
    pub fn add_unreadable(&self, reason: &str, count: u64) {
        if let Some((_, counter)) = self.unreadable.iter().find(|(known, _)| *known == reason) {
            counter.inc_by(count);
        }
    }

    /// A delivery that was signed has been answered.
    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_names_are_of_known_kinds() {
        assert!(Outcome::ALL.iter().enumerate().all(|(at, outcome)| *outcome as usize == at));
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let source = metrics.source("whatsapp", ["new"].into_iter());
        source.add_signer("new");
        source.add_signer("none");
        source.add_unreadable("not_json", 2);
        metrics.add_unknown("field:foo", 3);
        metrics.add_unknown("what_is_this", 1);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "watchbell_webhook_signatures_total{secret=\"new\",source=\"whatsapp\"} 1",
            "watchbell_webhook_unreadable_total{reason=\"not_json\",source=\"whatsapp\"} 2",
            "watchbell_webhook_unreadable_total{reason=\"too_many\",source=\"whatsapp\"} 0",
            "watchbell_webhook_deliveries_total{outcome=\"full\",source=\"whatsapp\"} 0",
            "watchbell_webhook_unknown_names_total{kind=\"field\"} 3",
            "watchbell_webhook_unknown_names_total{kind=\"other\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
