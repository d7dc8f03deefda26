//! Numbers that have become silent, and the feed when everything has.
//!
//! Who diverts the webhooks of a number takes its messages away from here and leaves no other trace: the number falls
//! silent while other numbers are heard, or news of the account. If all are silent it is the feed that is broken, or was
//! cut. What is usual is learned for each number and for the feed (`rhythm`), in times of receipt.
//!
//! Silence is judged only while time is told at least once a minute: what was not watched was not silent.

use std::collections::HashMap;
use std::time::Duration;

use super::line::Line;
use super::rhythm::Rhythm;
use super::{Fact, Seen, number_of};
use crate::event::{Timestamp, micros};

/// Numbers whose rhythm is learned, at about 300 bytes each.
const MAX_NUMBERS: usize = 10_000;

/// If time is told less often than this it was not watched what came.
const WATCHED: Duration = Duration::from_secs(60);

/// How often it is looked who is silent.
const LOOK: Duration = Duration::from_secs(10);

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Numbers whose rhythm is learned.
    pub numbers: usize,
    /// Numbers that are silent now.
    pub silent: usize,
    /// Whether the feed is.
    pub is_feed_silent: bool,
    /// Events of numbers that were not learned because there are too many.
    pub refused: u64,
}

struct Number {
    id: Box<str>,
    account: Option<Box<str>>,
    rhythm: Option<Rhythm>,
    is_silent: bool,
}

/// The observer; see the module.
#[derive(Default)]
pub(super) struct Silence {
    numbers: HashMap<u64, Number, foldhash::fast::RandomState>,
    feed: Option<Rhythm>,
    is_feed_silent: bool,
    /// Who was heard last, and who was heard last of all others; 0 stands for the account.
    heard: [Option<(u64, Timestamp)>; 2],
    /// Since when time is told, and when it was last told.
    watched: Option<(Timestamp, Timestamp)>,
    looked: Timestamp,
    refused: u64,
}

impl Silence {
    pub fn observe(&mut self, seen: &Seen<'_>, facts: &mut Vec<Fact>) {
        match seen.action {
            "number_silent" => return self.set(seen, true),
            "number_back" => return self.set(seen, false),
            "feed_silent" => return self.is_feed_silent = true,
            _ if !seen.is_of_feed() => return,
            _ => {}
        }
        let at = seen.received;
        self.is_feed_silent = false;
        match &mut self.feed {
            Some(feed) => feed.observe(at),
            feed @ None => *feed = Some(Rhythm::new(at)),
        }
        let name = seen.number().filter(|_| seen.is_of_messages());
        let id = name.map_or(0, |name| number_of("number", name));
        self.hear(id, at);
        let Some(name) = name else { return };
        let Some(number) = self.number(id, name) else { return };
        if number.is_silent {
            number.is_silent = false;
            facts.extend(number.back(at));
        }
        number.account = seen.account().map(Into::into);
        match &mut number.rhythm {
            Some(rhythm) => rhythm.observe(at),
            rhythm @ None => *rhythm = Some(Rhythm::new(at)),
        }
    }

    /// Says that it is `now`, and that all that came up to now was seen.
    pub fn watch(&mut self, now: Timestamp, facts: &mut Vec<Fact>) {
        let since = match self.watched {
            Some((since, last)) if now <= last.after(WATCHED) => since,
            _ => now,
        };
        self.watched = Some((since, now));
        if now < self.looked.after(LOOK) {
            return;
        }
        self.looked = now;
        let is_silent = |rhythm: &Rhythm| {
            let unusual = rhythm.unusual(now)?;
            (rhythm.quiet(rhythm.last().max(since), now) > unusual).then_some(unusual)
        };
        let mut silent: Vec<_> = self
            .numbers
            .iter_mut()
            .filter(|(_, number)| !number.is_silent)
            .filter_map(|(id, number)| {
                let rhythm = number.rhythm.as_ref()?;
                let unusual = is_silent(rhythm)?;
                // Others must have been heard well after it fell silent: what ends for all at once is the feed.
                let [first, second] = self.heard;
                let other = first.filter(|(heard, _)| heard != id).or(second)?;
                let is_alone = other.1.as_micros() - rhythm.last().as_micros() > unusual / 2;
                is_alone.then_some(number)
            })
            .collect();
        silent.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        for number in silent {
            number.is_silent = true;
            facts.extend(number.silent(now));
        }
        if let Some(feed) =
            self.feed.as_ref().filter(|feed| !self.is_feed_silent && is_silent(feed).is_some())
        {
            self.is_feed_silent = true;
            let line = Line::new(now, "webhook", "feed_silent").time("event.start", feed.last());
            facts.push(line.end(&["feed_silent", &feed.last().as_micros().to_string()]));
        }
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            numbers: self.numbers.len(),
            silent: self.numbers.values().filter(|number| number.is_silent).count(),
            is_feed_silent: self.is_feed_silent,
            refused: self.refused,
        }
    }

    /// Notes what was told before.
    fn set(&mut self, seen: &Seen<'_>, is_silent: bool) {
        if let Some(name) = seen.number()
            && let Some(number) = self.number(number_of("number", name), name)
        {
            number.is_silent = is_silent;
        }
    }

    fn number(&mut self, id: u64, name: &str) -> Option<&mut Number> {
        if !self.numbers.contains_key(&id) {
            if self.numbers.len() >= MAX_NUMBERS {
                self.refused += 1;
                return None;
            }
            let number = Number { id: name.into(), account: None, rhythm: None, is_silent: false };
            self.numbers.insert(id, number);
        }
        self.numbers.get_mut(&id)
    }

    fn hear(&mut self, id: u64, at: Timestamp) {
        if self.heard[0].is_some_and(|(first, _)| first != id) {
            self.heard[1] = self.heard[0];
        }
        self.heard[0] = Some((id, at));
    }
}

impl Number {
    fn silent(&self, now: Timestamp) -> Option<Fact> {
        let last = self.rhythm.as_ref()?.last();
        let line = self.line(now, "number_silent").time("event.start", last);
        Some(line.end(&["number_silent", &self.id, &last.as_micros().to_string()]))
    }

    /// `at` is when it was heard again.
    fn back(&self, at: Timestamp) -> Option<Fact> {
        let line = self.line(at, "number_back");
        let line = match &self.rhythm {
            Some(rhythm) => {
                let seconds = (at.as_micros() - rhythm.last().as_micros()) / micros(Duration::from_secs(1));
                line.time("event.start", rhythm.last()).int("event.duration_seconds", seconds)
            }
            None => line,
        };
        Some(line.end(&["number_back", &self.id, &at.as_micros().to_string()]))
    }

    fn line(&self, at: Timestamp, action: &'static str) -> Line {
        Line::new(at, "messaging", action)
            .text("whatsapp.waba.id", self.account.as_deref())
            .text("whatsapp.number", Some(&self.id))
    }
}
