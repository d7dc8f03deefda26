//! Distinct values over a sliding window.
//!
//! Each observation is kept with the time of its value's next one: a value is in the window `[e - span, e]` when it
//! has an observation there whose next one is after `e`. So a window that ended in the past can be judged as exactly
//! as the one that ends now, and an observation whose next one is older than the allowed lateness is of no use any
//! more.
//!
//! Exact up to [`MAX_ENTRIES`] observations. When there are more, repeated ones are dropped, which only late
//! observations can notice; when that is not enough, only values whose hash ends in one more zero bit are kept and
//! count double, again and again. What is measured then is an estimate without bias whose standard error is about
//! the inverse root of the number of values kept: at most 7 % while more than 200 are. Hashes must be keyed: who can
//! choose them can hide values.

use smallvec::SmallVec;

use super::{Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most observations a window keeps: 12 KB, and up to 24 KB of memory.
pub const MAX_ENTRIES: usize = 512;

/// Room is made only when this many observations are there, so that it costs little on average.
const MIN_TIDY: u16 = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: i64,
    /// The hash of the value, but for its top bits: there, the level at which it was kept.
    tag: u64,
    /// When the value was observed next; `i64::MAX` when it was not.
    next: i64,
}

/// Bits of a tag that are of the hash.
const HASH_BITS: u32 = 58;
const HASH: u64 = (1 << HASH_BITS) - 1;

impl Entry {
    fn new(at: i64, hash: u64, next: i64, level: u8) -> Self {
        Self { at, tag: hash & HASH | u64::from(level) << HASH_BITS, next }
    }

    fn is(&self, hash: u64) -> bool {
        self.tag & HASH == hash & HASH
    }

    /// How many values it stands for.
    fn weight(&self) -> u64 {
        1 << (self.tag >> HASH_BITS)
    }
}

/// A sliding count of distinct values; see the module.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// In order of time; those before `expired` are gone.
    entries: SmallVec<[Entry; 1]>,
    expired: u16,
    /// The first entry of the window that ends at `latest`, and how many values are in it.
    window: u16,
    live: u64,
    /// Tidy up at this many entries.
    tidy_at: u16,
    /// Only hashes that end in this many zero bits are kept.
    level: u8,
    latest: i64,
}

impl Default for Distinct {
    fn default() -> Self {
        Self {
            entries: SmallVec::new(),
            expired: 0,
            window: 0,
            live: 0,
            tidy_at: MIN_TIDY,
            level: 0,
            latest: i64::MIN,
        }
    }
}

impl Distinct {
    /// Takes a value in and measures; see [`super::Window::observe`].
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, hash: u64) -> Reading {
        let at = at.as_micros();
        let span = micros(spec.span);
        if at >= self.latest {
            self.latest = at;
            self.slide(span, spec.horizon());
            if self.keeps(hash) {
                self.append(at, hash);
            }
            if self.entries.len() >= usize::from(self.tidy_at) {
                self.tidy(span, micros(spec.lateness));
            }
            self.reading(spec, self.live, at)
        } else {
            if self.keeps(hash) {
                self.insert(at, hash);
                if self.entries.len() > MAX_ENTRIES {
                    self.tidy(span, micros(spec.lateness));
                }
                self.find_window(span);
            }
            self.read_again(spec, at, span)
        }
    }

    /// The time of the latest observation.
    pub(super) fn latest(&self) -> Option<i64> {
        (self.latest != i64::MIN).then_some(self.latest)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.entries.spilled() { self.entries.capacity() * size_of::<Entry>() } else { 0 }
    }

    fn keeps(&self, hash: u64) -> bool {
        // A hash of zeros alone would be kept at any level; its top bits are not there to tell.
        (hash & HASH | 1 << HASH_BITS).trailing_zeros() >= u32::from(self.level)
    }

    fn reading(&self, spec: &Spec, values: u64, end: i64) -> Reading {
        Reading::at(spec, values as f64, end)
    }

    fn slide(&mut self, span: i64, horizon: i64) {
        let start = self.latest.saturating_sub(span);
        while let Some(entry) = self.entries.get(usize::from(self.window)).filter(|entry| entry.at < start) {
            self.live -= if entry.next == i64::MAX { entry.weight() } else { 0 };
            self.window += 1;
        }
        let oldest = self.latest.saturating_sub(horizon);
        while self.expired < self.window && self.entries[usize::from(self.expired)].at < oldest {
            self.expired += 1;
        }
        if usize::from(self.expired) * 2 > self.entries.len() {
            self.entries.drain(..usize::from(self.expired));
            self.window -= self.expired;
            self.expired = 0;
            if self.entries.is_empty() {
                self.entries.shrink_to_fit();
                self.level = 0;
                self.tidy_at = MIN_TIDY;
            }
        }
        // One step an observation: what was kept at a higher level still counts for as many.
        if self.level > 0 && self.entries.len() - usize::from(self.expired) < MAX_ENTRIES / 8 {
            self.level -= 1;
        }
    }

    fn append(&mut self, at: i64, hash: u64) {
        let earlier = self.entries[usize::from(self.expired)..]
            .iter()
            .rposition(|entry| entry.is(hash))
            .map(|place| place + usize::from(self.expired));
        match earlier {
            Some(place) if self.entries[place].at == at => return,
            Some(place) => {
                self.entries[place].next = at;
                self.live -= if place < usize::from(self.window) { 0 } else { self.entries[place].weight() };
            }
            None => {}
        }
        let entry = Entry::new(at, hash, i64::MAX, self.level);
        self.live += entry.weight();
        self.entries.push(entry);
    }

    fn insert(&mut self, at: i64, hash: u64) {
        let expired = usize::from(self.expired);
        let place = self.entries.partition_point(|entry| entry.at <= at).max(expired);
        let later = self.entries[place..].iter().find(|entry| entry.is(hash)).map(|entry| entry.at);
        if let Some(earlier) = self.entries[expired..place].iter_mut().rfind(|entry| entry.is(hash)) {
            if earlier.at == at {
                return;
            }
            earlier.next = at;
        }
        self.entries.insert(place, Entry::new(at, hash, later.unwrap_or(i64::MAX), self.level));
    }

    fn find_window(&mut self, span: i64) {
        let start = self.latest.saturating_sub(span);
        let window = self.entries.partition_point(|entry| entry.at < start).max(usize::from(self.expired));
        self.window = window as u16;
        self.live =
            self.entries[window..].iter().filter(|entry| entry.next == i64::MAX).map(Entry::weight).sum();
    }

    /// Judges the windows that end at an observation and that one at `at` is in, in one pass: each entry counts in
    /// those that end from its time until it is out of the span or its value is observed again.
    pub(super) fn read_again(&self, spec: &Spec, at: i64, span: i64) -> Reading {
        let live = &self.entries[usize::from(self.expired)..];
        let in_span = live.iter().map(|entry| entry.at).chain([self.latest]);
        let mut ends: SmallVec<[i64; 16]> =
            in_span.filter(|end| (at..=at.saturating_add(span)).contains(end)).collect();
        ends.dedup();
        // How much each window has more than the one before it; what is left of it is of no window.
        let mut changes: SmallVec<[i64; 17]> = SmallVec::from_elem(0, ends.len() + 1);
        let (mut first, mut past) = (0, 0);
        for entry in live {
            while ends.get(first).is_some_and(|end| *end < entry.at) {
                first += 1;
            }
            while ends.get(past).is_some_and(|end| *end <= entry.at.saturating_add(span)) {
                past += 1;
            }
            let past = match entry.next {
                i64::MAX => past,
                next => past.min(ends.partition_point(|end| *end < next)),
            };
            if first < past {
                changes[first] += entry.weight() as i64;
                changes[past] -= entry.weight() as i64;
            }
        }
        let mut reading = Reading::nothing(at);
        let mut values = 0;
        for (end, change) in ends.iter().zip(&changes) {
            values += change;
            reading = reading.and(self.reading(spec, values as u64, *end));
        }
        reading
    }

    /// Drops what is of no use, then what is of least use, until half of the room is free.
    fn tidy(&mut self, span: i64, lateness: i64) {
        let unasked = self.latest.saturating_sub(lateness);
        self.retain(|entry| entry.next > unasked);
        if self.entries.len() > MAX_ENTRIES * 3 / 4 {
            self.retain(|entry| entry.next == i64::MAX);
        }
        while self.entries.len() > MAX_ENTRIES * 3 / 4 {
            self.level += 1;
            let level = u32::from(self.level);
            self.retain(|entry| (entry.tag & HASH | 1 << HASH_BITS).trailing_zeros() >= level);
            for entry in &mut self.entries {
                *entry = Entry::new(
                    entry.at,
                    entry.tag,
                    entry.next,
                    self.level.max((entry.tag >> HASH_BITS) as u8),
                );
            }
        }
        self.tidy_at = (self.entries.len() * 2).clamp(usize::from(MIN_TIDY), MAX_ENTRIES) as u16;
        self.find_window(span);
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.entries.drain(..usize::from(self.expired));
        self.expired = 0;
        self.entries.retain(|entry| keep(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Measure;
    use super::super::testing::{naive, spec};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn distinct(inside: &[(i64, u64)]) -> f64 {
        inside.iter().map(|(_, value)| value).collect::<HashSet<_>>().len() as f64
    }

    fn mixed(value: u64) -> u64 {
        // SplitMix64's finaliser: a stand-in for the keyed hash.
        let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    proptest! {
        #[test]
        fn distinct_values_agree_with_the_list(
            values in prop::collection::vec((0i64..100, 0u64..12), 1..150), span in 1i64..30, sorted: bool,
        ) {
            let mut values = values;
            if sorted { values.sort_by_key(|(at, _)| *at); }
            let spec = spec(Measure::Distinct, span as u64, 100, 1.0);
            let mut window = Distinct::default();
            let mut all = Vec::new();
            for (at, value) in values {
                all.push((at, value));
                let latest = all.iter().map(|(at, _)| *at).max().unwrap() == at;
                let expected = naive(&all, at, span, latest, distinct);
                prop_assert_eq!(window.observe(&spec, Timestamp::from_seconds(at), mixed(value)).measured, expected);
            }
        }
    }

    #[test]
    fn a_value_seen_again_and_again_takes_little_room() {
        let spec = spec(Measure::Distinct, 600, 10, 2.0);
        let mut window = Distinct::default();
        for at in 0..100_000 {
            assert_eq!(window.observe(&spec, Timestamp::from_seconds(at), 42).measured, 1.0);
        }
        assert!(window.heap_bytes() <= 64 * size_of::<Entry>(), "{}", window.heap_bytes());
    }

    #[test]
    fn beyond_its_room_it_estimates_within_the_stated_error() {
        let spec = spec(Measure::Distinct, 1_000, 0, f64::INFINITY);
        let mut errors = Vec::new();
        for seed in 0..16_u64 {
            let mut window = Distinct::default();
            for value in 0..20_000_u64 {
                let at = Timestamp::from_micros(value as i64 * 1000);
                let measured = window.observe(&spec, at, mixed(seed << 32 | value)).measured;
                if value > 1000 && value % 97 == 0 {
                    errors.push((measured / (value + 1) as f64 - 1.0).powi(2));
                }
                assert!(window.entries.len() <= MAX_ENTRIES);
            }
        }
        let deviation = (errors.iter().sum::<f64>() / errors.len() as f64).sqrt();
        assert!(deviation < 0.07, "{deviation}");
    }

    #[test]
    fn it_is_exact_again_after_a_quiet_time() {
        let spec = spec(Measure::Distinct, 10, 0, 1.0);
        let mut window = Distinct::default();
        for value in 0..10_000u64 {
            window.observe(&spec, Timestamp::from_micros(value as i64), mixed(value));
        }
        for value in 0..3u64 {
            let at = Timestamp::from_seconds(1000 + value as i64);
            assert_eq!(window.observe(&spec, at, mixed(value)).measured, (value + 1) as f64);
        }
    }
}
