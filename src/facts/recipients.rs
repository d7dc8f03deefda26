//! Distinct people within the last 24 hours, by minute.
//!
//! Exact until there is no room; then only those whose hash ends in one more zero bit are kept and count double, again
//! and again, as in the windows of rules. What is measured then is an estimate without bias whose standard error is
//! about the inverse root of the number that is kept: 0.4 % of 65,536.

use std::collections::HashMap;

/// Minutes in which somebody counts: 24 hours, and the minute that is under way.
pub(super) const MINUTES: i64 = 24 * 60 + 1;

/// Minutes of the rate.
const RATE_MINUTES: i64 = 60;

#[derive(Clone, Copy)]
struct Last {
    minute: i32,
    /// The level at which it was kept.
    level: u8,
}

impl Last {
    const fn weight(self) -> u64 {
        1 << self.level
    }
}

/// The count; see the module. Minutes are counted from the epoch.
pub(super) struct Recipients {
    last: HashMap<u64, Last, foldhash::fast::RandomState>,
    /// By minute, how many were last written to in it; a ring.
    by_minute: Box<[u64]>,
    /// By minute, how many were written to in it who were not among those of the last 24 hours; a ring.
    new: Box<[u64]>,
    used: u64,
    level: u8,
    now: i64,
}

impl Recipients {
    pub fn new(now: i64) -> Self {
        let ring = vec![0; MINUTES as usize].into_boxed_slice();
        Self { last: HashMap::default(), by_minute: ring.clone(), new: ring, used: 0, level: 0, now }
    }

    /// Takes in that somebody was written to in a minute. Time must have been told before.
    pub fn observe(&mut self, hash: u64, minute: i64) {
        let minute = minute.min(self.now);
        if minute <= self.now - MINUTES || !self.keeps(hash) {
            return;
        }
        let level = self.level;
        match self.last.get_mut(&hash) {
            Some(last) if i64::from(last.minute) > self.now - MINUTES => {
                if minute > i64::from(last.minute) {
                    let was = std::mem::replace(last, Last { minute: minute as i32, level });
                    self.take(was);
                    self.add(minute, 1 << level);
                }
            }
            _ => {
                self.last.insert(hash, Last { minute: minute as i32, level });
                self.new[slot(minute)] += 1 << level;
                self.add(minute, 1 << level);
            }
        }
    }

    /// Says which minute it is.
    pub fn advance(&mut self, now: i64) {
        if now <= self.now {
            return;
        }
        for minute in (self.now + 1..=now).take(MINUTES as usize) {
            self.used -= std::mem::take(&mut self.by_minute[slot(minute)]);
            self.new[slot(minute)] = 0;
        }
        let hours = now.div_euclid(60) != self.now.div_euclid(60);
        self.now = now;
        if hours {
            let oldest = now - MINUTES;
            self.last.retain(|_, last| i64::from(last.minute) > oldest);
        }
        if self.level > 0 && self.last.len() < 1024 {
            // One step a minute: what was kept at a higher level still counts for as many.
            self.level -= 1;
        }
    }

    /// How many people there are.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// How many there are in the last hour who were not there before.
    pub fn new_in_an_hour(&self) -> u64 {
        (self.now - RATE_MINUTES + 1..=self.now).map(|minute| self.new[slot(minute)]).sum()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// Whether everybody was counted.
    pub const fn is_exact(&self) -> bool {
        self.level == 0
    }

    /// Takes in everybody of another count, of the same minute.
    pub fn merge(&mut self, other: &Self) {
        while self.level < other.level {
            self.thin_out();
        }
        for (hash, last) in &other.last {
            self.observe(*hash, i64::from(last.minute));
        }
    }

    /// Makes room: about half of what is remembered goes.
    pub fn thin_out(&mut self) {
        self.level += 1;
        let (level, oldest) = (self.level, self.now - MINUTES);
        self.last.retain(|hash, last| {
            last.level = last.level.max(level);
            i64::from(last.minute) > oldest && keeps(*hash, level)
        });
        self.last.shrink_to_fit();
        self.by_minute.fill(0);
        self.used = 0;
        for last in self.last.values() {
            self.by_minute[slot(i64::from(last.minute))] += last.weight();
            self.used += last.weight();
        }
    }

    fn keeps(&self, hash: u64) -> bool {
        keeps(hash, self.level)
    }

    fn add(&mut self, minute: i64, weight: u64) {
        self.by_minute[slot(minute)] += weight;
        self.used += weight;
    }

    fn take(&mut self, last: Last) {
        self.by_minute[slot(i64::from(last.minute))] -= last.weight();
        self.used -= last.weight();
    }
}

const fn keeps(hash: u64, level: u8) -> bool {
    // A hash of zeros alone would be kept at any level.
    (hash | 1 << 63).trailing_zeros() >= level as u32
}

const fn slot(minute: i64) -> usize {
    minute.rem_euclid(MINUTES) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mixed(value: u64) -> u64 {
        // SplitMix64's finaliser: a stand-in for the keyed hash.
        let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    proptest! {
        #[test]
        fn the_count_agrees_with_the_list(
            messages in prop::collection::vec((0u64..30, 0i64..200, prop_oneof![Just(0i64), 0i64..2000]), 1..200),
        ) {
            let mut count = Recipients::new(0);
            let mut all: Vec<(u64, i64)> = Vec::new();
            let mut now = 0;
            for (who, pause, delay) in messages {
                now += pause;
                count.advance(now);
                count.observe(mixed(who), now - delay);
                all.push((who, now - delay));
                let mut latest: HashMap<u64, i64> = HashMap::new();
                for (who, minute) in &all {
                    let last = latest.entry(*who).or_insert(*minute);
                    *last = (*last).max(*minute);
                }
                let expected = latest.values().filter(|minute| **minute > now - MINUTES).count();
                prop_assert_eq!(count.used(), expected as u64);
                prop_assert!(count.is_exact());
            }
        }
    }

    #[test]
    fn the_rate_is_of_those_who_are_new() {
        let mut count = Recipients::new(0);
        for minute in 0..120 {
            count.advance(minute);
            count.observe(mixed(minute as u64), minute);
            count.observe(mixed(7), minute);
        }
        assert_eq!((count.used(), count.new_in_an_hour()), (120, 60));
        count.advance(180);
        assert_eq!((count.used(), count.new_in_an_hour()), (120, 0));
        count.advance(119 + MINUTES);
        assert_eq!((count.used(), count.len()), (0, 0));
    }

    #[test]
    fn beyond_its_room_it_estimates_within_the_stated_error() {
        let mut errors = Vec::new();
        for seed in 0..20_u64 {
            let mut count = Recipients::new(0);
            for who in 0..100_000_u64 {
                count.observe(mixed(seed << 32 | who), 0);
                if count.len() > 2048 {
                    count.thin_out();
                }
            }
            assert!(count.len() <= 2048 && !count.is_exact());
            errors.push((count.used() as f64 / 100_000.0 - 1.0).powi(2));
        }
        let deviation = (errors.iter().sum::<f64>() / errors.len() as f64).sqrt();
        assert!(deviation < 1.0 / 1024f64.sqrt(), "{deviation}");
    }

    #[test]
    fn it_is_exact_again_after_a_quiet_day() {
        let mut count = Recipients::new(0);
        for who in 0..10_000 {
            count.observe(mixed(who), 0);
        }
        (0..4).for_each(|_| count.thin_out());
        for minute in 0..2 * MINUTES {
            count.advance(minute);
        }
        (0..3).for_each(|who| count.observe(mixed(who), 2 * MINUTES - 1));
        assert_eq!((count.used(), count.is_exact()), (3, true));
    }
}
