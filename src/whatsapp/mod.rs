//! What the WhatsApp Business Platform tells a webhook, as lines that the engine reads.
//!
//! A body is a batch: entries, in them changes, in those messages, statuses, calls and so on. Each of those becomes a
//! *normalised line*, one flat JSON object with full dotted names: what happened, when, to which number. People, their
//! messages and what they say are in it only as pseudonyms, and that is decided here, once: what is not written into
//! a line is nowhere after the body is gone. Of a text there remain a fingerprint and the hosts it links to.
//!
//! ```text
//! body -> envelope -> change -> messages, statuses, account, ... -> Line -> Update
//! ```
//!
//! # What is tolerated
//! The documentation and the wire disagree, and both change. Any scalar may be text or a number, any key may be
//! absent, new fields, types and statuses come without notice: they are passed on by name and counted as unknown. What
//! cannot be read at all is reported with its place, and the items beside it are read.
//!
//! # What comes twice
//! Deliveries are repeated for up to seven days, in other batches and another order. So every line comes with a key
//! that depends on the item alone. Where an item has neither an id nor a time of its own, the hour of arrival stands in
//! for the time: to count an alarm again when it is repeated an hour later is better than to lose the next one.
//!
//! There is no I/O here and no clock. The signature has been checked before.

mod account;
mod calls;
mod change;
mod coexistence;
mod content;
mod country;
mod envelope;
mod facts;
mod groups;
mod handover;
mod limits;
mod line;
mod links;
mod loose;
mod message;
mod messages;
pub mod numbers;
mod person;
pub mod sends;
mod settings;
mod statuses;
mod surrogates;
mod system;
mod templates;
pub mod twilio;
mod users;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use envelope::read;

use crate::pseudonym::{DedupeKey, Pseudonyms};
use numbers::Numbers;

/// Most lines that a body becomes. The platform sends at most 1,000 updates in one.
pub const LINES_LIMIT: usize = 10_000;

/// Failures that are kept with their place, and names that are kept with their count. All are counted.
const KEPT_LIMIT: usize = 64;

/// What bodies are read with.
#[derive(Debug)]
pub struct Context {
    /// What stands in for people.
    pub pseudonyms: Pseudonyms,
    /// By what it is known that something comes again.
    pub dedupe: DedupeKey,
    /// The business's numbers.
    pub numbers: Numbers,
}

impl Context {
    /// With these keys, and no number known.
    pub fn new(pseudonyms: Pseudonyms, dedupe: DedupeKey) -> Self {
        Self { pseudonyms, dedupe, numbers: Numbers::default() }
    }
}

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Normalised lines, each ended by a line feed.
    pub lines: String,
    /// For each line a key that is the same when the platform delivers the same again.
    pub keys: Vec<u64>,
    /// Names that are not known, each with its kind, such as `field:foo` or `status:x`, and how often they occur.
    /// At most 64 different ones; what is beyond counts as `other`.
    pub unknown: Vec<(String, u64)>,
    /// What could not be read, and where. At most the first 64.
    pub failed: Vec<Failure>,
    /// How often something could not be read, by [`Reason`].
    pub failures: [u64; Reason::ALL.len()],
}

impl Update {
    /// Whether there is no room for another line.
    const fn is_full(&self) -> bool {
        self.keys.len() >= LINES_LIMIT
    }

    fn fail(&mut self, failure: Failure) {
        self.failures[failure.reason as usize] += 1;
        if self.failed.len() < KEPT_LIMIT {
            self.failed.push(failure);
        }
    }

    fn count_unknown(&mut self, name: &str) {
        if let Some((_, count)) = self.unknown.iter_mut().find(|(known, _)| known == name) {
            *count += 1;
        } else if self.unknown.len() < KEPT_LIMIT {
            self.unknown.push((name.to_owned(), 1));
        } else if let Some((name, count)) = self.unknown.last_mut() {
            if name != "other" {
                // The place of the last name is given up for all that follow.
                "other".clone_into(name);
            }
            *count += 1;
        }
    }
}

/// A part of a body that could not be read. Its neighbours have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub place: Place,
    /// Which bytes of the body it is. Of what is beyond [`LINES_LIMIT`] it may be the whole change.
    pub text: Range<usize>,
}

/// Where something is in a body. Counted from nought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In which entry.
    pub entry: usize,
    /// In which of its changes, where it is in one.
    pub change: Option<usize>,
    /// Which item of the list it is in, where it is in one.
    pub item: Option<usize>,
}

/// Why a part of a body could not be read. A closed set, because each is the label of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Something else stands where a list or an object must be.
    BadShape,
    /// A change without a value.
    NoValue,
    /// It is JSON, but not to be read: a key twice, half a character, nested too deep.
    Unreadable,
    /// Beyond [`LINES_LIMIT`].
    TooMany,
    /// It is not about WhatsApp.
    OtherChannel,
}

impl Reason {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::BadShape, Self::NoValue, Self::Unreadable, Self::TooMany, Self::OtherChannel];

    /// The name of the reason.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadShape => "bad_shape",
            Self::NoValue => "no_value",
            Self::Unreadable => "unreadable",
            Self::TooMany => "too_many",
            Self::OtherChannel => "other_channel",
        }
    }
}

/// Why a body says nothing at all. It was signed, so it is kept aside and answered with success: to refuse it would
/// only bring it back for seven days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not UTF-8, from this byte on.
    NotUtf8(usize),
    /// Not JSON, from this line and column on.
    NotJson(usize, usize),
    /// Not a JSON object.
    NotObject,
    /// It does not say what it is about.
    NoObject,
    /// It is about something else: a product of that name, in at most 64 characters.
    OtherObject(String),
}

impl Unreadable {
    /// Names of all reasons, for counters to exist before they count.
    pub const REASONS: [&'static str; 5] =
        ["not_utf8", "not_json", "not_object", "no_object", "other_object"];

    /// The name of the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotUtf8(_) => "not_utf8",
            Self::NotJson(..) => "not_json",
            Self::NotObject => "not_object",
            Self::NoObject => "no_object",
            Self::OtherObject(_) => "other_object",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8(at) => write!(f, "not UTF-8 from byte {at} on"),
            Self::NotJson(line, column) => write!(f, "not JSON at line {line}, column {column}"),
            Self::NotObject => f.write_str("not a JSON object"),
            Self::NoObject => f.write_str("it does not say what object it is about"),
            Self::OtherObject(name) => write!(f, "about the object {name:?} and not a WhatsApp account"),
        }
    }
}

impl std::error::Error for Unreadable {}
