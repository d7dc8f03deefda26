//! How often a client may ask, by its address.
//!
//! A client is an address, or a /64 of IPv6: whoever has one has all of it. Limits are token buckets: so many at once,
//! so many a second after that. Addresses are forgotten when their bucket is full again. There are at most
//! 50,000 of them; beyond that, clients share buckets by their hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota};
use serde::Deserialize;

/// Most clients that have a bucket of their own, for each limit; a few megabytes.
const MAX_CLIENTS: usize = 50_000;
/// Buckets that clients share when there are too many.
const SHARED_BUCKETS: u64 = 1 << 12;
/// How many questions are between two looks at how many clients there are.
const CHECKS_BETWEEN_LOOKS: u32 = 256;
/// Most clients that are remembered for having shown too many wrong tokens.
const MAX_BLOCKED: usize = 10_000;

/// How often something may be asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Self {
        const fn at_least_one(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    const fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// How often each client may ask for what.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Metrics and health.
    pub reads: Rate,
    /// Connections to the stream.
    pub connects: Rate,
    /// Pushes.
    pub pushes: Rate,
    /// Pushed kibibytes, after unpacking. A burst smaller than a push refuses it for good.
    pub push_kibibytes: Rate,
    /// Wrong tokens. Beyond that no token of the client is looked at, not even a right one, until there is room again.
    pub wrong_tokens: Rate,
    /// Deliveries to webhooks: the platform sends up to three for each message that goes out and one for each that comes in.
    pub webhooks: Rate,
    /// Webhooks with a wrong signature or without one. Beyond that none of the client is looked at, until there is room again.
    pub wrong_signatures: Rate,
    /// Handshakes of TLS: each costs as much as some hundred requests.
    pub handshakes: Rate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reads: Rate::new(100, 500),
            connects: Rate::new(200, 12_000),
            pushes: Rate::new(500, 1_000),
            push_kibibytes: Rate::new(64 << 10, 256 << 10),
            wrong_tokens: Rate::new(5, 50),
            webhooks: Rate::new(5_000, 10_000),
            wrong_signatures: Rate::new(5, 50),
            handshakes: Rate::new(100, 1_000),
        }
    }
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address.
    V4(u32),
    /// The first half of an IPv6 address.
    V6(u64),
    /// One of many, when there are too many.
    Shared(u64),
}

impl Client {
    /// The client at an address.
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Why something may not be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Ask again after this time.
    For(Duration),
    /// It is more than is ever allowed at once.
    Always,
}

/// A limit with a bucket for each client.
pub struct Keyed {
    limiter: DefaultKeyedRateLimiter<Client>,
    checks: AtomicU32,
    is_full: AtomicBool,
    hasher: RandomState,
    max_clients: usize,
}

impl Keyed {
    /// A limit at this rate.
    pub fn new(rate: Rate) -> Self {
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(rate.quota()),
            checks: AtomicU32::new(0),
            is_full: AtomicBool::new(false),
            hasher: RandomState::new(),
            max_clients: MAX_CLIENTS,
        }
    }

    /// Takes one from a client's bucket.
    pub fn check(&self, client: Client) -> Result<(), Exceeded> {
        self.check_many(client, NonZeroU32::MIN)
    }

    /// Takes several from a client's bucket, or none.
    pub fn check_many(&self, client: Client, count: NonZeroU32) -> Result<(), Exceeded> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_BETWEEN_LOOKS) {
            self.tidy();
        }
        let client = match self.is_full.load(Ordering::Relaxed) {
            true => Client::Shared(self.hasher.hash_one(client) % SHARED_BUCKETS),
            false => client,
        };
        match self.limiter.check_key_n(&client, count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Exceeded::For(until.wait_time_from(self.limiter.clock().now()))),
            Err(_) => Err(Exceeded::Always),
        }
    }

    fn tidy(&self) {
        if self.limiter.len() > self.max_clients / 2 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.is_full.store(self.limiter.len() >= self.max_clients, Ordering::Relaxed);
    }
}

/// The limit for wrong tokens: whoever has exceeded it is not looked at for a while.
pub struct WrongTokens {
    limit: Keyed,
    blocked: Mutex<HashMap<Client, Instant>>,
    count: AtomicUsize,
}

impl WrongTokens {
    /// A limit at this rate.
    pub fn new(rate: Rate) -> Self {
        Self { limit: Keyed::new(rate), blocked: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// How long no token of a client is looked at.
    pub fn blocked_for(&self, client: Client) -> Option<Duration> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let left = blocked.get(&client)?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            blocked.remove(&client);
            self.count.store(blocked.len(), Ordering::Relaxed);
            return None;
        }
        Some(left)
    }

    /// A client has shown a wrong token; the time for which no further one is looked at, if it is one too many.
    pub fn note(&self, client: Client) -> Option<Duration> {
        let Err(Exceeded::For(wait)) = self.limit.check(client) else { return None };
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if blocked.len() >= MAX_BLOCKED {
            blocked.retain(|_, until| *until > now);
        }
        if blocked.len() < MAX_BLOCKED {
            blocked.insert(client, now + wait);
        }
        self.count.store(blocked.len(), Ordering::Relaxed);
        Some(wait)
    }
}

/// All limits.
pub struct Limits {
    /// Metrics and health.
    pub reads: Keyed,
    /// Connections to the stream.
    pub connects: Keyed,
    /// Pushes.
    pub pushes: Keyed,
    /// Pushed kibibytes.
    pub push_kibibytes: Keyed,
    /// Wrong tokens.
    pub wrong_tokens: WrongTokens,
    /// Deliveries to webhooks.
    pub webhooks: Keyed,
    /// Webhooks with a wrong signature.
    pub wrong_signatures: WrongTokens,
    /// Handshakes of TLS.
    pub handshakes: Keyed,
}

impl Limits {
    /// The limits of a configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            reads: Keyed::new(config.reads),
            connects: Keyed::new(config.connects),
            pushes: Keyed::new(config.pushes),
            push_kibibytes: Keyed::new(config.push_kibibytes),
            wrong_tokens: WrongTokens::new(config.wrong_tokens),
            webhooks: Keyed::new(config.webhooks),
            wrong_signatures: WrongTokens::new(config.wrong_signatures),
            handshakes: Keyed::new(config.handshakes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::at(address.parse().unwrap())
    }

    #[test]
    fn a_client_is_an_address_or_a_64() {
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8::1"));
    }

    #[test]
    fn a_bucket_is_one_client_s() {
        let limit = Keyed::new(Rate::new(1, 3));
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!((0..10).filter(|_| limit.check(one).is_ok()).count(), 3);
        assert!(matches!(limit.check(one), Err(Exceeded::For(wait)) if wait <= Duration::from_secs(1)));
        assert!(limit.check(other).is_ok());
        assert_eq!(limit.check_many(other, NonZeroU32::new(4).unwrap()), Err(Exceeded::Always));
    }

    #[test]
    fn too_many_clients_share_buckets() {
        let mut limit = Keyed::new(Rate::new(1, 2));
        limit.max_clients = 1_000;
        for number in 0..20_000 {
            let _ = limit.check(Client::V4(number));
        }
        let bound = limit.max_clients + CHECKS_BETWEEN_LOOKS as usize + SHARED_BUCKETS as usize;
        assert!(limit.limiter.len() <= bound, "{}", limit.limiter.len());
    }

    #[test]
    fn after_too_many_wrong_tokens_none_is_looked_at() {
        let limit = WrongTokens::new(Rate::new(1, 2));
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!((limit.note(one), limit.note(one)), (None, None));
        assert_eq!(limit.blocked_for(one), None);
        assert!(limit.note(one).is_some());
        assert!(limit.blocked_for(one).is_some_and(|wait| wait <= Duration::from_secs(1)));
        assert_eq!(limit.blocked_for(other), None);
    }
}
