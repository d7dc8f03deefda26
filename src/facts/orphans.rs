//! Messages that nobody here sent.
//!
//! A business that registers what it sends says of each message, before or shortly after its first status comes, that it
//! is its own. A status of any other message means that somebody else sends in its name: another application, a partner,
//! a stolen token.
//!
//! # When it is judged
//! Not before the number's first registration, or that of its account where registrations name no number; where they
//! name neither, not before the first status of a registered message shows which number it is. What was sent up to a
//! grace after that is not judged either: it may be from a sender that did not register yet.
//!
//! Only `sent` and `failed` are judged, with one of which every message begins. A `read` may come weeks later, when nobody
//! knows any more whose the message was.
//!
//! A registration is remembered for seven days and an hour, which is how long the platform repeats a status. If there is
//! no room for that, messages that are older than what is remembered are not judged, and are counted.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::ids::Ids;
use super::line::Line;
use super::{Fact, Seen, number_of};
use crate::event::{Timestamp, field};

/// How long a message is remembered: as long as the platform repeats its statuses, and an hour for clocks that differ.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600 + 3600);

/// Messages that wait for their registration: about 250 bytes each. At the greatest rate of a number, 1,000 messages a
/// second, all of them waiting, those are a minute and a half; ordinarily nearly none wait.
const MAX_WAITING: usize = 100_000;

/// Times at which somebody waits or waited, at 16 bytes each.
const MAX_DUE: usize = 1_000_000;

/// Orphans that are remembered, so that none is told twice.
const MAX_TOLD: usize = 100_000;

/// Numbers and accounts whose messages are judged.
const MAX_SCOPES: usize = 10_000;

/// What is to be known about registrations.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long after its first status a message may be registered: 5 minutes.
    pub grace: Duration,
    /// Most registered messages that are remembered, at 8 bytes each: 2,000,000.
    pub max_registered: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace: Duration::from_secs(300), max_registered: 2_000_000 }
    }
}

/// What is remembered, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Registered messages that are remembered.
    pub registered: usize,
    /// Registered messages that were forgotten early because there was no room.
    pub registered_evicted: u64,
    /// Numbers and accounts whose messages are judged.
    pub scopes: usize,
    /// Messages that wait for their registration.
    pub waiting: usize,
    /// Messages that were found to be nobody's.
    pub orphaned: u64,
    /// Messages that were registered after their first status.
    pub registered_late: u64,
    /// Statuses that were not judged because the message is older than registrations.
    pub before_registration: u64,
    /// Statuses that were not judged because the registration may have been forgotten.
    pub suspended: u64,
    /// Statuses that were not judged because too many wait.
    pub overflowed: u64,
    /// Numbers and accounts whose messages are not judged because there are too many.
    pub scopes_refused: u64,
}

/// Since when messages of a number or account are registered.
struct Scope {
    since: Timestamp,
    key: u8,
}

/// A message that waits for its registration.
struct Case {
    at: Timestamp,
    status: &'static str,
    message: Box<str>,
    account: Option<Box<str>>,
    number: Option<Box<str>>,
    user: Option<Box<str>>,
}

/// The observer; see the module.
pub(super) struct Orphans {
    config: Config,
    registered: Ids,
    told: Ids,
    scopes: HashMap<u64, Scope, foldhash::fast::RandomState>,
    waiting: HashMap<u64, Case, foldhash::fast::RandomState>,
    /// When the waiting are due, in that order; those that were registered since are not among the waiting.
    due: VecDeque<(Timestamp, u64)>,
    counts: Gauges,
}

impl Orphans {
    pub fn new(config: Config) -> Self {
        Self {
            registered: Ids::new(config.max_registered, KEPT_FOR),
            told: Ids::new(MAX_TOLD, KEPT_FOR),
            config,
            scopes: HashMap::default(),
            waiting: HashMap::default(),
            due: VecDeque::new(),
            counts: Gauges::default(),
        }
    }

    pub fn observe(&mut self, seen: &Seen<'_>) {
        let Some(message) = seen.id(field::WHATSAPP_MESSAGE) else { return };
        let id = number_of("message", message);
        match seen.action {
            "message_registered" => self.register(seen, id, key_of(message)),
            "message_sent" => self.judge(seen, id, message, "sent"),
            "message_failed" => self.judge(seen, id, message, "failed"),
            "message_orphaned" => self.told.insert(id, seen.received),
            _ => {}
        }
    }

    /// Tells of the messages that nobody has registered in time.
    pub fn advance(&mut self, now: Timestamp, facts: &mut Vec<Fact>) {
        while let Some((at, id)) = self.due.pop_front_if(|(at, _)| *at <= now) {
            if let Some(case) = self.waiting.remove(&id) {
                self.told.insert(id, now);
                self.counts.orphaned += 1;
                facts.push(fact(at, &case));
            }
        }
        self.registered.forget(now);
        self.told.forget(now);
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            registered: self.registered.len(),
            registered_evicted: self.registered.evicted(),
            scopes: self.scopes.len(),
            waiting: self.waiting.len(),
            ..self.counts.clone()
        }
    }

    fn register(&mut self, seen: &Seen<'_>, id: u64, key: u8) {
        self.registered.insert(id, seen.received);
        if self.waiting.remove(&id).is_some() {
            self.counts.registered_late += 1;
        }
        if let Some(scope) = scopes(seen).into_iter().flatten().next() {
            self.begin(scope, seen.received, key);
        }
    }

    /// From now on messages of a number or account are judged, if they are not already.
    fn begin(&mut self, scope: u64, since: Timestamp, key: u8) {
        if let Some(known) = self.scopes.get_mut(&scope) {
            // With another key the same message has another pseudonym, so it is as if registration began now.
            if known.key != key {
                *known = Scope { since, key };
            }
        } else if self.scopes.len() < MAX_SCOPES {
            self.scopes.insert(scope, Scope { since, key });
        } else {
            self.counts.scopes_refused += 1;
        }
    }

    fn judge(&mut self, seen: &Seen<'_>, id: u64, message: &str, status: &'static str) {
        if !seen.is_status_of_api() || self.waiting.contains_key(&id) || self.told.contains(id) {
            return;
        }
        let known = scopes(seen).into_iter().flatten().find_map(|scope| self.scopes.get(&scope));
        if self.registered.contains(id) {
            if let (None, Some(scope)) = (known, scopes(seen)[0]) {
                self.begin(scope, seen.received, key_of(message));
            }
            return;
        }
        let Some(Scope { since, key }) = known else { return };
        let grace = self.config.grace;
        if seen.at < since.after(grace) {
            self.counts.before_registration += 1;
        } else if *key != key_of(message)
            || self.registered.forgotten_up_to().is_some_and(|forgotten| seen.at <= forgotten.after(grace))
        {
            self.counts.suspended += 1;
        } else if self.waiting.len() >= MAX_WAITING || self.due.len() >= MAX_DUE {
            self.counts.overflowed += 1;
        } else {
            let case = Case {
                at: seen.at,
                status,
                message: message.into(),
                account: seen.account().map(Into::into),
                number: seen.number().map(Into::into),
                user: seen.id(field::WHATSAPP_USER).map(Into::into),
            };
            self.waiting.insert(id, case);
            self.due.push_back((seen.received.after(grace), id));
        }
    }
}

fn fact(at: Timestamp, case: &Case) -> Fact {
    Line::new(at, "messaging", "message_orphaned")
        .time("event.start", case.at)
        .text("whatsapp.waba.id", case.account.as_deref())
        .text("whatsapp.number", case.number.as_deref())
        .text("whatsapp.user.id", case.user.as_deref())
        .text("whatsapp.message.id", Some(&case.message))
        .text("whatsapp.status", Some(case.status))
        .end(&["message_orphaned", &case.message])
}

/// The number and the account that an event is about.
fn scopes(seen: &Seen<'_>) -> [Option<u64>; 2] {
    let number = seen.id(field::WHATSAPP_NUMBER_ID).or_else(|| seen.number());
    [number.map(|id| number_of("number", id)), seen.account().map(|id| number_of("account", id))]
}

/// The character by which a pseudonym tells under which key it was made.
fn key_of(pseudonym: &str) -> u8 {
    pseudonym.as_bytes().get(1).copied().unwrap_or_default()
}
