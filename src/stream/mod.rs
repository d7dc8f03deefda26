//! What happens, told to whoever subscribes, as it happens.
//!
//! The engine's thread publishes into a [`Hub`] and never waits for anyone: a frame is written once, however many
//! subscribers it goes to, and each has a bounded queue of its own (`queue`). Whoever reads too slowly misses frames,
//! is told which, and keeps nobody else from theirs. Filters are checked when they are set; those over events are all
//! compiled into one matcher ([`filter`]), so that an event costs the same whether one subscriber asks for something
//! of it or a thousand do.
//!
//! Frames are JSON texts, one object each, told apart by `type`: `hello`, `subscribed`, `alert`, `event`, `statistics`,
//! `missed` and `error`. Alerts and events carry `seq`, which rises by one with each frame of the topic over all
//! subscribers. That of alerts counts every alert from 1 while the process lives, so whoever filters nothing sees no gap
//! but those that a `missed` frame tells of; `run` in `hello` changes when the process does.
//!
//! What became of an alert is its `change`: `opened`, then `updated` and, when its severity has risen, `escalated` as often
//! as there is something to say, then `resolved`. Whoever asks for a severity and above hears of an alert that has come up
//! to it by `escalated` first.
//!
//! Nothing is kept for subscribers that are not there.

pub mod filter;
mod frame;
mod hub;
mod known_rules;
mod metrics;
mod queue;
mod state;
mod subscription;

use serde::{Deserialize, Deserializer};

use crate::rules::Severity;

pub use frame::Frame;
pub use hub::{Hub, Subscriber};
pub use known_rules::KnownRules;
pub use subscription::{AlertFilter, Subscription};

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// What became of alerts.
    Alerts,
    /// Events as they are read.
    Events,
    /// What was counted, once a second.
    Statistics,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alerts, Self::Events, Self::Statistics];

    /// The word for it in requests, frames and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Events => "events",
            Self::Statistics => "statistics",
        }
    }

    /// The topic of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u8);

impl Topics {
    /// Adds a topic.
    pub fn insert(&mut self, topic: Topic) {
        self.0 |= 1 << topic as u8;
    }

    /// Whether the topic is in the set.
    pub const fn contains(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the topics, in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        Topic::ALL.into_iter().filter(|topic| self.contains(*topic)).map(Topic::name).collect()
    }
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has begun.
    Opened,
    /// Something more was found.
    Updated,
    /// More of a sequence was found, and it matters more than before.
    Escalated {
        /// How much it mattered.
        before: Severity,
    },
    /// It is over.
    Resolved,
}

impl Change {
    /// The word for it in frames.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Escalated { .. } => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// What subscribers may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most subscribers at a time, at least 1; further ones are refused.
    #[serde(deserialize_with = "at_least_one")]
    pub max_subscribers: usize,
    /// Most frames that wait for a subscriber, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub max_queued_frames: usize,
    /// Most bytes of frames that wait for a subscriber, at least 1; a longer frame is missed by everybody. Frames are
    /// shared, so this bounds how far a subscriber may be behind more than it bounds memory.
    #[serde(deserialize_with = "at_least_one")]
    pub max_queued_bytes: usize,
    /// How many of the queued frames events may never take, so that alerts find room; 0 for none.
    pub reserved_alert_frames: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_subscribers: 10_000,
            max_queued_frames: 1_024,
            max_queued_bytes: 1 << 20,
            reserved_alert_frames: 256,
        }
    }
}

/// Reads a limit that would forbid everything if it were 0.
pub(crate) fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = i64::deserialize(deserializer)?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| serde::de::Error::custom(format!("expected 1 or more, not {number}")))
}

/// Why somebody cannot subscribe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// What is asked for cannot be understood; says where and what was expected.
    #[error("{0}")]
    Invalid(String),
    /// There are as many subscribers as there may be.
    #[error("there are {0} subscribers, as many as there may be; try again later")]
    SubscribersFull(usize),
    /// All filters over events together are as large as they may be.
    #[error(
        "the filters over events of all subscribers are as large as they may be; ask for less, or try again later"
    )]
    FiltersFull,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl SubscribeError {
    /// The reasons, for counters to exist before they count.
    pub const REASONS: [&'static str; 4] = ["invalid", "subscribers_full", "filters_full", "stopping"];

    /// The name of the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::SubscribersFull(_) => "subscribers_full",
            Self::FiltersFull => "filters_full",
            Self::Stopping => "stopping",
        }
    }
}
