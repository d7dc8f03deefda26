//! How much of the messaging limit is used.
//!
//! A business may write to so many different people in any 24 hours outside of conversations that they began. The limit is
//! shared by all numbers of a portfolio. Who has a token of it can use it up, and then nothing of the business's own is
//! delivered any more; and a limit that is nearly used up in an ordinary week is one that should be raised in time.
//!
//! People are counted by the minute (`recipients`), by the portfolio where it is known and else by the account, out of
//! statuses `sent` of messages that are charged as begun by the business, or by the template that they are made of where
//! nothing is said about charges. The limit is the one that was last said, or the configured one.

use std::collections::HashMap;

use super::line::Line;
use super::recipients::{self, Recipients};
use super::{Fact, Seen, number_of};
use crate::event::{Timestamp, Value, field};

/// Portfolios that are looked at: a business has one or two, an agency some dozen.
const MAX_PORTFOLIOS: usize = 64;

/// Accounts of which it is remembered whose they are.
const MAX_ACCOUNTS: usize = 10_000;

/// Percent of the limit at which it is told, the highest first.
const LEVELS: [i64; 2] = [95, 80];

/// Below so many percent it is over, and may be told again.
const OVER: i64 = 75;

/// What is charged as begun by the business, by the beginning of the category.
const CATEGORIES: [&str; 3] = ["marketing", "utility", "authentication"];

/// What is to be known about the limit.
#[derive(Clone, Debug)]
pub struct Config {
    /// The limit of a portfolio of which nothing has been said; `None` for none.
    pub limit: Option<u32>,
    /// Most people that are remembered of all portfolios together, at about 35 bytes each: 262,144, enough to be exact
    /// about two portfolios with the highest limit there is but none. When there are more, those of the largest
    /// portfolio are estimated.
    pub max_recipients: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { limit: None, max_recipients: 262_144 }
    }
}

/// How much is used of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portfolio {
    /// The portfolio, or the account if that is not known.
    pub id: String,
    /// People written to in the last 24 hours.
    pub used: u64,
    /// How many may be; `None` if there is no limit, or it is not known.
    pub limit: Option<u64>,
    /// Whether `used` is a count and not an estimate.
    pub is_exact: bool,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Each portfolio, in the order of their ids.
    pub portfolios: Vec<Portfolio>,
    /// People that are remembered.
    pub recipients: usize,
    /// Messages that were not counted because there are too many portfolios.
    pub refused: u64,
}

struct State {
    id: Box<str>,
    is_business: bool,
    recipients: Recipients,
    /// What was last said, when.
    limit: Option<(Timestamp, i64)>,
    /// The highest of [`LEVELS`] that was told.
    told: i64,
}

/// The observer; see the module.
pub(super) struct Headroom {
    config: Config,
    portfolios: HashMap<u64, State, foldhash::fast::RandomState>,
    /// The portfolio of an account, where it is known.
    owners: HashMap<u64, Box<str>, foldhash::fast::RandomState>,
    /// The first minute that was looked at.
    began: Option<i64>,
    minute: i64,
    remembered: usize,
    refused: u64,
}

impl Headroom {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            portfolios: HashMap::default(),
            owners: HashMap::default(),
            began: None,
            minute: 0,
            remembered: 0,
            refused: 0,
        }
    }

    pub fn observe(&mut self, seen: &Seen<'_>, facts: &mut Vec<Fact>) {
        let (account, business) = (seen.account(), seen.id(field::WHATSAPP_BUSINESS));
        if let (Some(account), Some(business)) = (account, business) {
            self.own(account, business);
        }
        match seen.action {
            "message_sent" if is_begun_by_business(seen) => {
                let Some(user) = seen.id(field::WHATSAPP_USER) else { return };
                let Some(id) = self.portfolio(account, business) else { return };
                let Some(state) = self.portfolios.get_mut(&id) else { return };
                let before = state.recipients.len();
                state.recipients.observe(number_of("user", user), minute_of(seen.at));
                self.remembered += state.recipients.len() - before;
                self.make_room();
                self.judge(id, account, seen.received, facts);
            }
            "limits_updated" => {
                let Value::Int(limit) = *seen.event.get(field::WHATSAPP_LIMIT) else { return };
                let Some(id) = self.portfolio(account, business) else { return };
                let Some(state) = self.portfolios.get_mut(&id) else { return };
                if state.limit.is_none_or(|(at, _)| at <= seen.at) {
                    state.limit = Some((seen.at, limit));
                }
                self.judge(id, account, seen.received, facts);
            }
            "headroom_low" => {
                let Value::Int(percent) = *seen.event.get(field::WHATSAPP_HEADROOM_PERCENT) else { return };
                let Some(id) = self.portfolio(account, business) else { return };
                let Some(state) = self.portfolios.get_mut(&id) else { return };
                state.told = state.told.max(level_of(percent));
            }
            _ => {}
        }
    }

    pub fn advance(&mut self, now: Timestamp) {
        let minute = minute_of(now);
        if minute <= self.minute {
            return;
        }
        self.minute = minute;
        self.began.get_or_insert(minute);
        self.remembered = 0;
        let is_whole = self.is_whole();
        for state in self.portfolios.values_mut() {
            state.recipients.advance(minute);
            self.remembered += state.recipients.len();
            let limit = state.limit(&self.config);
            if is_whole && limit.is_none_or(|limit| state.percent(limit) < OVER) {
                state.told = 0;
            }
        }
    }

    pub fn gauges(&self) -> Gauges {
        let portfolio = |state: &State| Portfolio {
            id: state.id.to_string(),
            used: state.recipients.used(),
            limit: state.limit(&self.config),
            is_exact: state.recipients.is_exact(),
        };
        let mut portfolios: Vec<_> = self.portfolios.values().map(portfolio).collect();
        portfolios.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Gauges { portfolios, recipients: self.remembered, refused: self.refused }
    }

    /// Whose people are counted together, and a place for them.
    fn portfolio(&mut self, account: Option<&str>, business: Option<&str>) -> Option<u64> {
        let owner = account.and_then(|account| self.owners.get(&number_of("account", account)));
        let business = business.or(owner.map(AsRef::as_ref));
        let (id, name) = match (business, account) {
            (Some(business), _) => (number_of("business", business), business),
            (None, account) => (number_of("account", account?), account?),
        };
        if !self.portfolios.contains_key(&id) {
            if self.portfolios.len() >= MAX_PORTFOLIOS {
                self.refused += 1;
                return None;
            }
            let recipients = Recipients::new(self.minute);
            let is_business = business.is_some();
            let state = State { id: name.into(), is_business, recipients, limit: None, told: 0 };
            self.portfolios.insert(id, state);
        }
        Some(id)
    }

    /// Notes whose an account is; what was counted by the account is counted by the portfolio from now on.
    fn own(&mut self, account: &str, business: &str) {
        let number = number_of("account", account);
        if self.owners.len() >= MAX_ACCOUNTS || self.owners.contains_key(&number) {
            return;
        }
        self.owners.insert(number, business.into());
        let Some(before) = self.portfolios.remove(&number) else { return };
        let Some(id) = self.portfolio(Some(account), Some(business)) else { return };
        let Some(state) = self.portfolios.get_mut(&id) else { return };
        self.remembered -= before.recipients.len() + state.recipients.len();
        state.recipients.merge(&before.recipients);
        self.remembered += state.recipients.len();
        state.limit = state.limit.max(before.limit);
        state.told = state.told.max(before.told);
    }

    /// Whether all of the last 24 hours was looked at. If not, less may seem to be used than is, and nothing is over.
    fn is_whole(&self) -> bool {
        self.began.is_some_and(|began| self.minute - began >= recipients::MINUTES)
    }

    fn make_room(&mut self) {
        while self.remembered > self.config.max_recipients.max(1) {
            let largest = self.portfolios.values_mut().max_by_key(|state| state.recipients.len());
            let Some(state) = largest.filter(|state| state.recipients.len() > 0) else { return };
            self.remembered -= state.recipients.len();
            state.recipients.thin_out();
            self.remembered += state.recipients.len();
        }
    }

    fn judge(&mut self, id: u64, account: Option<&str>, at: Timestamp, facts: &mut Vec<Fact>) {
        let is_whole = self.is_whole();
        let Some(state) = self.portfolios.get_mut(&id) else { return };
        let Some(limit) = state.limit(&self.config) else { return };
        let percent = state.percent(limit);
        let level = level_of(percent);
        if level > state.told {
            state.told = level;
            facts.push(state.fact(account, limit, at));
        } else if is_whole && percent < OVER {
            state.told = 0;
        }
    }
}

impl State {
    fn limit(&self, config: &Config) -> Option<u64> {
        match self.limit {
            // -1 says that there is none.
            Some((_, limit)) => u64::try_from(limit).ok(),
            None => config.limit.map(u64::from),
        }
    }

    fn percent(&self, limit: u64) -> i64 {
        (self.recipients.used().saturating_mul(100) / limit.max(1)) as i64
    }

    fn fact(&self, account: Option<&str>, limit: u64, at: Timestamp) -> Fact {
        let used = self.recipients.used();
        let mut line = Line::new(at, "messaging", "headroom_low")
            .text("whatsapp.business.id", self.is_business.then_some(&*self.id))
            .text("whatsapp.waba.id", account)
            .text("whatsapp.headroom.portfolio", Some(&self.id))
            .int("whatsapp.headroom.used", used as i64)
            .int("whatsapp.headroom.limit", limit as i64)
            .int("whatsapp.headroom.percent", self.percent(limit));
        let hourly = self.recipients.new_in_an_hour();
        if let Some(seconds) = (limit.saturating_sub(used) * 3600).checked_div(hourly) {
            line = line.int("whatsapp.headroom.seconds_left", seconds as i64);
        }
        let (level, at) = (self.told.to_string(), at.as_micros().to_string());
        line.end(&["headroom_low", &self.id, &level, &at])
    }
}

/// The highest of [`LEVELS`] that is reached, or 0.
fn level_of(percent: i64) -> i64 {
    LEVELS.into_iter().find(|level| percent >= *level).unwrap_or(0)
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(60_000_000)
}

/// Whether a message counts: it is charged as begun by the business, and not as an answer.
fn is_begun_by_business(seen: &Seen<'_>) -> bool {
    let text = |id| seen.event.text(id);
    let (category, kind) = (text(field::WHATSAPP_PRICING_CATEGORY), text(field::WHATSAPP_PRICING_TYPE));
    let is_template =
        category.is_none_or(|category| CATEGORIES.iter().any(|template| category.starts_with(template)));
    let is_charged = match (category, kind) {
        (None, None) => seen.event.get(field::WHATSAPP_TEMPLATE).is_some(),
        (_, kind) => kind.is_none_or(|kind| kind == "regular"),
    };
    seen.is_status_of_api() && is_template && is_charged
}
