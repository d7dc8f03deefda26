//! What is new in the feed, and whether it lags.
//!
//! An account or a number that was never heard of belongs to a business that was added to the app, or to somebody else who
//! is subscribed to it. What is heard within the first 24 hours, or is configured, is known. A number that is not heard of
//! for days is still known for as long as the service runs.
//!
//! A feed lags while more than 5 % of the messages in each of five minutes in a row arrive over a minute after they
//! happened, which is to say that the 95th percentile is over a minute.

use std::collections::HashSet;
use std::time::Duration;

use super::line::Line;
use super::{Fact, Seen, number_of};
use crate::event::{Timestamp, field, micros};

/// Accounts, and numbers, that are known: 16 bytes each.
const MAX_KNOWN: usize = 10_000;

/// How long everything is taken as known.
const LEARNING: Duration = Duration::from_secs(24 * 3600);

/// How late a message may be.
const LATE: Duration = Duration::from_secs(60);

/// The share of messages that may be later, in percent.
const LATE_PERCENT: u64 = 5;

/// Minutes in a row that lag.
const MINUTES: u32 = 5;

/// Messages without which a minute says nothing about the lag.
const FEWEST: u64 = 20;

/// What is to be known about the feed.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Ids of the business's accounts and numbers, where they are known. If there are any nothing is learned: all others
    /// are new from the beginning.
    pub known: Vec<String>,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Accounts that are known.
    pub accounts: usize,
    /// Numbers that are known.
    pub numbers: usize,
    /// New ones that were not told because too many are known.
    pub refused: u64,
    /// Whether the feed lags.
    pub is_lagging: bool,
}

#[derive(Default)]
struct Minute {
    number: i64,
    messages: u64,
    late: u64,
}

/// The observer; see the module.
pub(super) struct Feed {
    known: HashSet<u64, foldhash::fast::RandomState>,
    accounts: HashSet<u64, foldhash::fast::RandomState>,
    numbers: HashSet<u64, foldhash::fast::RandomState>,
    began: Option<Timestamp>,
    refused: u64,
    minute: Minute,
    /// How many minutes in a row lag.
    lagging: u32,
}

impl Feed {
    pub fn new(config: Config) -> Self {
        Self {
            known: config.known.iter().map(|id| number_of("known", id)).collect(),
            accounts: HashSet::default(),
            numbers: HashSet::default(),
            began: None,
            refused: 0,
            minute: Minute::default(),
            lagging: 0,
        }
    }

    pub fn observe(&mut self, seen: &Seen<'_>, facts: &mut Vec<Fact>) {
        let is_told = matches!(seen.action, "waba_new" | "phone_number_new");
        if !is_told && !seen.is_of_feed() {
            return;
        }
        let began = *self.began.get_or_insert(seen.received);
        let is_new = !is_told && (!self.known.is_empty() || seen.received >= began.after(LEARNING));
        let (account, number) = (seen.account(), seen.id(field::WHATSAPP_NUMBER_ID));
        if let Some(id) = account
            && self.learn(id, "account")
            && is_new
        {
            let line = Line::new(seen.received, "account", "waba_new").text("whatsapp.waba.id", account);
            facts.push(line.end(&["waba_new", id]));
        }
        if let Some(id) = number
            && self.learn(id, "number")
            && is_new
        {
            let line = Line::new(seen.received, "account", "phone_number_new")
                .text("whatsapp.waba.id", account)
                .text("whatsapp.phone_number.id", number)
                .text("whatsapp.number", number);
            facts.push(line.end(&["phone_number_new", id]));
        }
        if seen.is_of_messages() {
            self.minute.messages += 1;
            let lag = seen.received.as_micros() - seen.at.as_micros();
            self.minute.late += u64::from(lag > micros(LATE));
        }
    }

    /// Judges the minutes that are over.
    pub fn advance(&mut self, now: Timestamp, facts: &mut Vec<Fact>) {
        let number = now.as_micros().div_euclid(60_000_000);
        if number <= self.minute.number {
            return;
        }
        let Minute { number: past, messages, late } =
            std::mem::replace(&mut self.minute, Minute { number, ..Minute::default() });
        let is_late = messages >= FEWEST && late * 100 > messages * LATE_PERCENT;
        // A minute in which nothing came was not a late one.
        if !is_late || number > past + 1 {
            self.lagging = u32::from(is_late && number == past + 1);
            return;
        }
        self.lagging = self.lagging.saturating_add(1);
        if self.lagging == MINUTES {
            let at = Timestamp::from_seconds((past + 1) * 60);
            let line = Line::new(at, "webhook", "feed_lagging")
                .time("event.start", at.before(Duration::from_secs(60 * u64::from(MINUTES))))
                .int("whatsapp.feed.late_percent", (late * 100 / messages) as i64);
            facts.push(line.end(&["feed_lagging", &past.to_string()]));
        }
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            accounts: self.accounts.len(),
            numbers: self.numbers.len(),
            refused: self.refused,
            is_lagging: self.lagging >= MINUTES,
        }
    }

    /// Whether something is new; it is known from now on.
    fn learn(&mut self, id: &str, kind: &str) -> bool {
        let set = if kind == "account" { &mut self.accounts } else { &mut self.numbers };
        let number = number_of(kind, id);
        if set.contains(&number) {
            return false;
        }
        let is_configured = self.known.contains(&number_of("known", id));
        if set.len() >= MAX_KNOWN {
            self.refused += u64::from(!is_configured);
            return false;
        }
        set.insert(number);
        !is_configured
    }
}
