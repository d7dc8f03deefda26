//! What has been seen: keys of lines of the last days, so that what is delivered again is not counted again.
//!
//! Keys are kept in generations of a bounded size and at most a day, and are forgotten a generation at a time, oldest first.
//! Pure: time is an argument.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::event::Timestamp;

/// How long a key is known: as long as WhatsApp delivers again, and an hour for clocks that differ. A key may be known for
/// a day longer.
pub const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600 + 3600);

/// As many as fill a table of 2^18 places without making it grow.
const GENERATION_KEYS: usize = (1 << 18) / 8 * 7;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

#[derive(Default)]
struct Generation {
    keys: HashSet<u64, foldhash::fast::RandomState>,
    day: i64,
    last_at: Timestamp,
    /// The first block of which keys are here.
    first_block: u64,
}

/// The keys that are known.
pub struct Seen {
    generations: VecDeque<Generation>,
    count: usize,
    max: usize,
    evicted: u64,
}

impl Seen {
    /// Nothing is known; at most this many will be, and twelve bytes of memory are taken for each.
    pub const fn new(max: usize) -> Self {
        Self { generations: VecDeque::new(), count: 0, max, evicted: 0 }
    }

    /// Notes a key of a block; `false` when it is known already.
    pub fn claim(&mut self, key: u64, at: Timestamp, block: u64) -> bool {
        if self.generations.iter().any(|generation| generation.keys.contains(&key)) {
            return false;
        }
        let day = at.as_micros().div_euclid(DAY_MICROS);
        // A quarter, so that what is known does not shrink to nothing when the oldest are forgotten.
        let most = GENERATION_KEYS.min(self.max / 4).max(1);
        let last = self.generations.back();
        if last.is_none_or(|last| last.day < day || last.keys.len() >= most) {
            let generation = Generation { day, last_at: at, first_block: block, ..Generation::default() };
            self.generations.push_back(generation);
        }
        if let Some(last) = self.generations.back_mut() {
            last.keys.insert(key);
            last.last_at = last.last_at.max(at);
            self.count += 1;
        }
        while self.count > self.max.max(1) {
            self.evicted += self.forget_oldest() as u64;
        }
        true
    }

    /// The block with this key was not stored after all.
    pub fn release(&mut self, key: u64) {
        // It was noted a moment ago.
        if self.generations.iter_mut().rev().any(|generation| generation.keys.remove(&key)) {
            self.count -= 1;
        }
    }

    /// Forgets what is older than [`KNOWN_FOR`].
    pub fn forget_old(&mut self, now: Timestamp) {
        let known_since = now.before(KNOWN_FOR);
        while self.generations.front().is_some_and(|oldest| oldest.last_at < known_since) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> usize {
        let forgotten = self.generations.pop_front().map_or(0, |oldest| oldest.keys.len());
        self.count -= forgotten;
        forgotten
    }

    /// Nothing is known of blocks before this one; `None` when nothing is known at all.
    pub fn first_block(&self) -> Option<u64> {
        self.generations.front().map(|oldest| oldest.first_block)
    }

    /// Keys that are known.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Keys that were forgotten for want of room.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// Removes lines whose key is known from a text, and gives their number and the keys of the others. Lines without a key
/// stay.
pub fn retain_new(text: &mut String, keys: &[u64], mut claim: impl FnMut(u64) -> bool) -> (usize, Vec<u64>) {
    let mut claimed = Vec::with_capacity(keys.len());
    let is_new: Vec<bool> = keys
        .iter()
        .zip(text.split_inclusive('\n'))
        .map(|(key, _)| {
            let is_new = claim(*key);
            claimed.extend(is_new.then_some(*key));
            is_new
        })
        .collect();
    let known = is_new.len() - claimed.len();
    if known > 0 {
        let verdicts = is_new.into_iter().chain(std::iter::repeat(true));
        *text = text
            .split_inclusive('\n')
            .zip(verdicts)
            .filter(|(_, keep)| *keep)
            .map(|(line, _)| line)
            .collect();
    }
    (known, claimed)
}

/// As they are stored.
pub fn pack(keys: &[u64]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_le_bytes()).collect()
}

/// Stored keys. What is left over after the last whole one is left out.
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|key| u64::from_le_bytes(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const START: Timestamp = Timestamp::from_seconds(1_764_000_000);

    #[test]
    fn a_key_is_known_for_a_week_and_an_hour_and_at_most_a_day_longer() {
        for (hours, is_known) in
            [(0, true), (24, true), (7 * 24, true), (7 * 24 + 1, true), (8 * 24 + 2, false)]
        {
            let mut seen = Seen::new(1000);
            assert!(seen.claim(1, START, 1));
            for hour in 0..=hours {
                let now = START.after(HOUR * hour);
                seen.forget_old(now);
                seen.claim(1000 + u64::from(hour), now, 2);
            }
            assert_eq!(!seen.claim(1, START.after(HOUR * hours), 3), is_known, "{hours} hours");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let mut seen = Seen::new(100);
        for key in 0..1000 {
            assert!(seen.claim(key, START, key));
            assert!(seen.len() <= 100);
        }
        assert!(!seen.claim(999, START, 1000) && !seen.claim(930, START, 1000));
        assert_eq!(seen.evicted() + seen.len() as u64, 1000);
        assert!(seen.first_block().unwrap() > 890);
        assert!(seen.claim(0, START, 1001));
    }

    #[test]
    fn what_was_not_stored_is_not_known() {
        let mut seen = Seen::new(100);
        assert!(seen.claim(5, START, 1));
        seen.release(5);
        seen.release(6);
        assert_eq!(seen.len(), 0);
        assert!(seen.claim(5, START, 1));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_forgotten() {
        let mut seen = Seen::new(100);
        assert!(seen.claim(1, START, 1));
        assert!(seen.claim(2, START.before(HOUR * 24 * 30), 2));
        seen.forget_old(START);
        assert!(!seen.claim(1, START, 3) && !seen.claim(2, START, 3));
    }

    #[test]
    fn known_lines_are_dropped_and_others_stay() {
        for (text, keys, expected, dropped, claimed) in [
            ("a\nb\nc\n", &[1, 2, 3][..], "a\nb\nc\n", 0, &[1, 2, 3][..]),
            ("a\nb\nc\n", &[1, 9, 3], "a\nc\n", 1, &[1, 3]),
            ("a\nb\nc\n", &[1, 1, 1], "a\n", 2, &[1]),
            ("a\nb\nc\n", &[9], "b\nc\n", 1, &[]),
            ("a\n", &[9, 1, 2], "", 1, &[]),
            ("a\nb\n", &[], "a\nb\n", 0, &[]),
        ] {
            let mut seen = Seen::new(10);
            seen.claim(9, START, 1);
            let mut text = text.to_owned();
            let done = retain_new(&mut text, keys, |key| seen.claim(key, START, 2));
            assert_eq!((text.as_str(), done), (expected, (dropped, claimed.to_vec())));
        }
    }

    #[test]
    fn keys_come_back_and_a_torn_one_does_not() {
        let mut bytes = pack(&[1, u64::MAX]);
        assert!(unpack(&bytes).eq([1, u64::MAX]));
        bytes.truncate(15);
        assert!(unpack(&bytes).eq([1]));
    }
}
