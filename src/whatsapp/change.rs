//! A change of an entry: what all its items have in common.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::line::{put_id, put_text};
use super::loose::{Item, List, Object, Raw, Scalar, object};
use super::{Context, Failure, Place, Reason, Update};
use crate::event::Timestamp;
use crate::pseudonym::{Kind, digits};

/// Nothing happened on WhatsApp before it was there: 1 January 2009. What has an earlier time has none.
const EARLIEST: Timestamp = Timestamp::from_seconds(1_230_768_000);

/// How far a time may be ahead of the arrival before it is none. Clocks differ by minutes and time zones by hours.
const AHEAD_SECONDS: i64 = 86_400;

/// From here on a number is a time in milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

/// What the dashboard's test button sends.
const TEST_ACCOUNT: &str = "0";
const TEST_NUMBER_ID: &str = "123456123";
const TEST_NUMBER: &str = "16505551111";

/// A change, and where it stands.
pub(super) struct Change<'c> {
    /// Whose webhook it is, as the entry says: the account, now and then the business.
    pub owner: Option<&'c str>,
    /// The time of the entry, as it is given.
    pub time: Option<&'c str>,
    /// The time of the entry.
    pub at: Option<Timestamp>,
    /// The name of the field; empty if there is none.
    pub field: &'c str,
    /// The last part of `event.dataset`.
    pub dataset: &'static str,
    /// What else is to be said of each of its items, ready to be written.
    pub extra: &'static str,
    /// When it arrived.
    pub received: Timestamp,
    pub context: &'c Context,
    /// The whole body.
    pub body: &'c str,
    pub place: Place,
    /// Which bytes of the body it is.
    pub text: Range<usize>,
}

impl<'c> Change<'c> {
    /// A time, if it can be one.
    pub fn time(&self, value: &Scalar<'_>) -> Option<Timestamp> {
        time(value, self.received)
    }

    /// What its items are about: the account that owns the webhook, and a number of it.
    pub fn scene(&'c self, number: &Number<'_>) -> Scene<'c> {
        Scene::new(self, self.owner, number)
    }

    /// The key of an item that consists of `parts`.
    pub fn key(&self, parts: &[&str]) -> u64 {
        let mut bytes = SmallVec::<[u8; 256]>::new();
        for part in parts {
            // With its length before it, so that no two lists of parts are the same bytes.
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        self.context.dedupe.of(&bytes)
    }

    /// The key of an item without an id: its text. If it has no time of its own, then also the time of the entry; and
    /// if that has none either, the hour of arrival, so that the next one is another.
    pub fn key_of_text(&self, kind: &str, text: &str, has_time: bool) -> u64 {
        let hour = (self.received.as_micros() / 3_600_000_000).to_string();
        let time = if has_time { "" } else { self.time.unwrap_or(&hour) };
        self.key(&[kind, self.owner.unwrap_or_default(), self.field, time, text])
    }

    /// Reads the value. What cannot be read is reported.
    pub fn value<'a, T: Deserialize<'a>>(&self, value: &'a RawValue, update: &mut Update) -> Option<T> {
        let text = value.get();
        let read = object(text);
        if read.is_none() {
            self.fail(update, reason(value), None, text);
        }
        read
    }

    /// Does something with each element of a list. What cannot be read is reported, and is alone in that.
    pub fn each<'a, T: Deserialize<'a>>(
        &self,
        list: &List<Raw<'a>>,
        update: &mut Update,
        mut with: impl FnMut(T, &'a str, &mut Update),
    ) {
        if list.is_odd() {
            self.fail(update, Reason::BadShape, None, &self.body[self.text.clone()]);
        }
        for (at, raw) in list.items().iter().enumerate() {
            if update.is_full() {
                self.fail(update, Reason::TooMany, Some(at), raw.0.get());
                continue;
            }
            match raw.open() {
                Ok(item) => with(item, raw.0.get(), update),
                Err(raw) => self.fail(update, reason(raw), Some(at), raw.get()),
            }
        }
    }

    /// The bytes of the body that a part of it is.
    pub fn range(&self, part: &str) -> Range<usize> {
        range(self.body, part)
    }

    /// Reports that an item of it cannot be read.
    pub fn fail(&self, update: &mut Update, reason: Reason, item: Option<usize>, part: &str) {
        let place = Place { item, ..self.place };
        update.fail(Failure { reason, place, text: self.range(part) });
    }
}

/// Why what should have been an object could not be read.
pub(super) fn reason(raw: &RawValue) -> Reason {
    if raw.get().starts_with('{') { Reason::Unreadable } else { Reason::BadShape }
}

/// The bytes of `body` that a part of it is.
pub(super) fn range(body: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize).min(body.len());
    start..(start + part.len()).min(body.len())
}

/// A time in seconds since the epoch, or in milliseconds; `None` if it is none, or cannot be.
pub(super) fn time(value: &Scalar<'_>, received: Timestamp) -> Option<Timestamp> {
    let number = value.number()?;
    let at = if number >= MILLISECONDS {
        Timestamp::from_micros(number.saturating_mul(1000))
    } else {
        Timestamp::from_seconds(number)
    };
    let latest = received.as_micros().saturating_add(AHEAD_SECONDS * 1_000_000);
    (at >= EARLIEST && at.as_micros() <= latest).then_some(at)
}

/// A number of the business's.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Number<'a> {
    /// Its id.
    #[serde(borrow, default, rename = "phone_number_id")]
    pub id: Scalar<'a>,
    /// The number itself.
    #[serde(borrow, default, rename = "display_phone_number")]
    pub display: Scalar<'a>,
}

impl Number<'_> {
    /// What tells it from other numbers, for keys.
    pub fn name(&self) -> Cow<'_, str> {
        self.id
            .text()
            .or_else(|| Some(digits(&self.display.text()?)?.into_owned().into()))
            .unwrap_or_default()
    }
}

impl<'a> Object<Number<'a>> {
    /// The number, or none.
    pub fn number(self) -> Number<'a> {
        if let Self::Given(number) = self { number } else { Number::default() }
    }
}

/// What items are about, once for all of them.
pub(super) struct Scene<'c> {
    pub change: &'c Change<'c>,
    /// As it stands in each line.
    pub about: String,
}

impl<'c> Scene<'c> {
    /// About a number of an account. Either may be unknown.
    pub fn new(change: &'c Change<'c>, account: Option<&str>, number: &Number<'_>) -> Self {
        let mut scene = Self { change, about: String::with_capacity(256) };
        let about = &mut scene.about;
        if let Some(account) = account {
            put_id(about, "whatsapp.waba.id", account, change);
        }
        let (id, display) = (number.id.text(), number.display.text());
        if let Some(id) = &id {
            put_id(about, "whatsapp.phone_number.id", id, change);
        }
        let pseudonym = display.as_deref().map(|display| change.context.pseudonyms.of(Kind::Person, display));
        if let Some(pseudonym) = &pseudonym {
            put_text(about, "whatsapp.phone_number.pseudonym", pseudonym);
        }
        match (&id, pseudonym) {
            (Some(id), pseudonym) => {
                put_id(about, "whatsapp.number", id, change);
                if let Some(pseudonym) = pseudonym {
                    change.context.numbers.learn(&pseudonym, id);
                }
            }
            (None, Some(pseudonym)) => match change.context.numbers.find(&pseudonym) {
                Some(id) => put_id(about, "whatsapp.number", &id, change),
                None => put_text(about, "whatsapp.number", &pseudonym),
            },
            (None, None) => {}
        }
        let is_test = change.owner == Some(TEST_ACCOUNT)
            || id.as_deref() == Some(TEST_NUMBER_ID)
            || display.as_deref().and_then(digits).as_deref() == Some(TEST_NUMBER);
        if is_test {
            about.push_str(",\"whatsapp.test\":true");
        }
        about.push_str(change.extra);
        scene
    }

    /// And about a business.
    pub fn with_business(mut self, business: Option<&str>) -> Self {
        if let Some(business) = business {
            put_id(&mut self.about, "whatsapp.business.id", business, self.change);
        }
        self
    }
}
