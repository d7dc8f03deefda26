//! What must be remembered to be seen: derived events.
//!
//! Rules look at one event, or count events within a window. Some findings are neither: a status of a message that nobody
//! here sent, the share of a limit that is used, a number that has become silent. Observers look at messaging events in
//! the order in which they are counted, remember what they must, and say what they find as lines of the same vocabulary,
//! which ordinary rules then look at.
//!
//! ```text
//! Event -> Seen -> orphans, headroom, silence, feed -> Fact { line, key } -> journal -> Event -> rules
//! ```
//!
//! | `event.action` | what it says |
//! |---|---|
//! | `message_orphaned` | a status of a message that nobody registered ([`orphans`]) |
//! | `headroom_low` | a messaging limit is nearly used up ([`headroom`]) |
//! | `number_silent`, `number_back` | a number is not heard while others are ([`silence`]) |
//! | `feed_silent` | nothing is heard at all ([`silence`]) |
//! | `waba_new`, `phone_number_new` | an account, or a number, that was never heard of ([`feed`]) |
//! | `feed_lagging` | messages arrive late ([`feed`]) |
//!
//! # What is derived twice
//! When the journal is read back the same is derived again. So each fact has a key that is the same then, by which it is
//! stored once; and what was derived before comes by as an event itself, and is remembered as told even where too little
//! is read back to derive it again.
//!
//! What is remembered lasts as long as the service runs, and is after that as much as is read back: with less than a day,
//! limits seem less used than they are and learning begins anew; what was registered before is not judged.
//!
//! # Time
//! Two times count: when an event happened, as it says itself, and when it was received. Whatever is waited for is waited
//! for in times of receipt, which only go forward here. There is no I/O here and no clock.
//!
//! All is about one tenant: who has several keeps as many [`Facts`].

pub mod feed;
pub mod headroom;
mod ids;
mod line;
pub mod orphans;
mod recipients;
mod rhythm;
pub mod silence;

use std::hash::BuildHasher as _;
use std::time::Duration;

use crate::event::{Class, Event, FieldId, Timestamp, Value, field};

/// Longest id that is remembered, in bytes. Those of the platform are shorter, and so are pseudonyms.
const ID_LIMIT: usize = 128;

/// How far back must be read again at least for what is remembered to be what it was: the people written to in a day.
pub const LOOKS_BACK: Duration = Duration::from_secs(24 * 3600);

/// What is derived, by the names of its events.
pub const ACTIONS: [&str; 8] = [
    "message_orphaned",
    "headroom_low",
    "number_silent",
    "number_back",
    "feed_silent",
    "waba_new",
    "phone_number_new",
    "feed_lagging",
];

/// Datasets that are not the platform's.
const OWN_DATASETS: [&str; 3] = ["whatsapp.facts", "whatsapp.sends", "whatsapp.webhook"];

/// What observers must know.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// About messages that nobody registered.
    pub orphans: orphans::Config,
    /// About the messaging limit.
    pub headroom: headroom::Config,
    /// About what is new in the feed.
    pub feed: feed::Config,
}

/// A derived event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it says: one of [`ACTIONS`].
    pub action: &'static str,
    /// A normalised line, without a line feed.
    pub line: String,
    /// The same when the same is derived again.
    pub key: u64,
}

/// What is remembered, and what could not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// About messages that nobody registered.
    pub orphans: orphans::Gauges,
    /// About the messaging limit.
    pub headroom: headroom::Gauges,
    /// About numbers that have become silent.
    pub silence: silence::Gauges,
    /// About what is new in the feed, and its lag.
    pub feed: feed::Gauges,
}

/// The observers.
pub struct Facts {
    now: Timestamp,
    orphans: orphans::Orphans,
    headroom: headroom::Headroom,
    silence: silence::Silence,
    feed: feed::Feed,
    facts: Vec<Fact>,
}

impl Facts {
    /// Observers that have seen nothing yet.
    pub fn new(config: Config) -> Self {
        let Config { orphans, headroom, feed } = config;
        Self {
            now: Timestamp::default(),
            orphans: orphans::Orphans::new(orphans),
            headroom: headroom::Headroom::new(headroom),
            silence: silence::Silence::default(),
            feed: feed::Feed::new(feed),
            facts: Vec::new(),
        }
    }

    /// Looks at an event that was received at `at`. Only messaging events say anything.
    pub fn observe(&mut self, event: &Event<'_>, at: Timestamp) {
        if event.class != Class::Messaging {
            return;
        }
        self.go_on(at);
        let Some(seen) = Seen::read(event, self.now) else { return };
        self.orphans.observe(&seen);
        self.headroom.observe(&seen, &mut self.facts);
        self.silence.observe(&seen, &mut self.facts);
        self.feed.observe(&seen, &mut self.facts);
    }

    /// Says that it is `now`, about once a second while events are received as they come.
    ///
    /// What is received while this is not said was not watched: nobody is silent then.
    pub fn advance(&mut self, now: Timestamp) {
        self.go_on(now);
        self.silence.watch(self.now, &mut self.facts);
    }

    /// Takes what has been derived since it was last taken.
    pub fn take(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// What is remembered now.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            orphans: self.orphans.gauges(),
            headroom: self.headroom.gauges(),
            silence: self.silence.gauges(),
            feed: self.feed.gauges(),
        }
    }

    /// Time goes forward: a clock that is set back is waited for.
    fn go_on(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.orphans.advance(self.now, &mut self.facts);
        self.headroom.advance(self.now);
        self.feed.advance(self.now, &mut self.facts);
    }
}

/// A messaging event, as far as observers look at it.
struct Seen<'e> {
    event: &'e Event<'e>,
    /// When it was received.
    received: Timestamp,
    /// When it happened; not after it was received.
    at: Timestamp,
    action: &'e str,
}

impl<'e> Seen<'e> {
    /// `None` if nothing can be learned from it: it does not say what happened, did not happen, or happened long ago.
    fn read(event: &'e Event<'_>, received: Timestamp) -> Option<Self> {
        let is = |id| matches!(event.get(id), Value::Bool(true));
        if is(field::WHATSAPP_TEST) || is(field::WHATSAPP_BACKFILL) {
            return None;
        }
        let action = event.text(field::EVENT_ACTION)?;
        let at = event.at.map_or(received, |at| at.min(received));
        Some(Self { event, received, at, action })
    }

    fn id(&self, id: FieldId) -> Option<&'e str> {
        self.event.text(id).filter(|text| (1..=ID_LIMIT).contains(&text.len()))
    }

    /// The account.
    fn account(&self) -> Option<&'e str> {
        self.id(field::WHATSAPP_ACCOUNT)
    }

    /// The number to group by.
    fn number(&self) -> Option<&'e str> {
        self.id(field::WHATSAPP_NUMBER).or_else(|| self.id(field::WHATSAPP_NUMBER_ID))
    }

    /// Whether the platform says it: neither the business itself, nor what listens to the platform, nor what is derived.
    fn is_of_feed(&self) -> bool {
        let dataset = self.event.text(field::EVENT_DATASET);
        dataset.is_some_and(|dataset| !OWN_DATASETS.contains(&dataset)) && self.action != "message_registered"
    }

    /// Whether it is about messages that come in, or the fates of those that went out.
    fn is_of_messages(&self) -> bool {
        self.event.text(field::EVENT_DATASET) == Some("whatsapp.messages")
    }

    /// Whether it is about a message to one person that the API was asked to send.
    fn is_status_of_api(&self) -> bool {
        self.event.text(field::WHATSAPP_ORIGIN) == Some("api")
            && !self.event.get(field::WHATSAPP_GROUP).is_some()
    }
}

/// A number for an id. Ids out of webhooks are pseudonyms, or the platform's own: nobody outside chooses them.
fn number_of(kind: &str, id: &str) -> u64 {
    foldhash::quality::FixedState::with_seed(0x5eed).hash_one((kind, id))
}

#[cfg(test)]
mod tests;
