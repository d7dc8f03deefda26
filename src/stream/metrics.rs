//! What the stream counts. Every series is there, at 0, from the start.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::{SubscribeError, Topic};
use crate::telemetry::Register;

/// The counters of a hub.
pub struct Metrics {
    /// Subscribers at the moment.
    pub subscribers: IntGauge,
    frames: [IntCounter; Topic::ALL.len()],
    missed: [IntCounter; Topic::ALL.len()],
    rejected: IntCounterVec,
}

impl Metrics {
    /// Registers the counters.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let subscribers = register.gauge("watchbell_stream_subscribers", "Subscribers of the stream.")?;
        let frames = register.counters(
            "watchbell_stream_frames_total",
            "Frames put into the queues of subscribers, by topic.",
            &["topic"],
        )?;
        let missed = register.counters(
            "watchbell_stream_missed_total",
            "Frames that subscribers missed because their queue was full, by topic.",
            &["topic"],
        )?;
        let rejected = register.counters(
            "watchbell_stream_rejected_total",
            "Subscriptions that were refused, by reason.",
            &["reason"],
        )?;
        SubscribeError::REASONS.iter().for_each(|reason| rejected.with_label_values(&[reason]).inc_by(0));
        let of_topics =
            |vector: &IntCounterVec| Topic::ALL.map(|topic| vector.with_label_values(&[topic.name()]));
        Ok(Self { subscribers, frames: of_topics(&frames), missed: of_topics(&missed), rejected })
    }

    /// Frames were queued.
    pub fn queued(&self, topic: Topic, count: u64) {
        self.frames[topic as usize].inc_by(count);
    }

    /// Frames were missed.
    pub fn missed(&self, topic: Topic, count: u64) {
        self.missed[topic as usize].inc_by(count);
    }

    /// A subscription was refused.
    pub fn rejected(&self, error: &SubscribeError) {
        self.rejected.with_label_values(&[error.reason()]).inc();
    }
}
