//! How often something comes, learned, so that it is noticed when it does not come any more.
//!
//! Businesses sleep, and have weekends. So quiet time is counted only within *usual hours*: those in which something came
//! the day before, and also a week before where that is known. A gap is as long as the usual hours in it, and what is
//! unusually long is three times the longest gap of the last 24 hours, at least 10 minutes and at most 6 hours. Something
//! that has fewer usual hours a day than that is never missed: there is nothing to tell its silence from.
//!
//! Nothing is missed before it was learned for 24 hours and 50 events.

use crate::event::Timestamp;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Gaps that are never unusual.
const SHORTEST: i64 = 10 * MINUTE;
/// Gaps that always are.
const LONGEST: i64 = 6 * HOUR;
/// How many times the longest gap of a day is unusual.
const FACTOR: i64 = 3;

/// What must have been seen before anything is missed.
const LEARNING_HOURS: i64 = 24;
const LEARNING_EVENTS: u32 = 50;

const DAY: i64 = 24;
const WEEK: i64 = 7 * DAY;

/// Hours that are remembered: a week, and a day so that the week before is known for all of today.
const HOURS: i64 = WEEK + DAY;

/// What was learned: about 160 bytes. Time is that of receipt and must not go back.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    first: Timestamp,
    last: Timestamp,
    /// At most [`LEARNING_EVENTS`].
    events: u32,
    /// By hour, whether anything came in it; a ring.
    came: [u64; (HOURS / 64) as usize],
    /// By hour, the longest gap that ended in it; a ring.
    gaps: [u32; DAY as usize],
}

impl Rhythm {
    /// Something came for the first time.
    pub fn new(at: Timestamp) -> Self {
        let mut rhythm = Self { first: at, last: at, events: 0, came: [0; 3], gaps: [0; DAY as usize] };
        rhythm.note(at);
        rhythm
    }

    /// Something came.
    pub fn observe(&mut self, at: Timestamp) {
        let at = at.max(self.last);
        let gap = self.quiet(self.last, at);
        let (before, hour) = (hour_of(self.last), hour_of(at));
        for passed in (before + 1..=hour).rev().take(HOURS as usize) {
            self.set(passed, false);
            self.gaps[passed.rem_euclid(DAY) as usize] = 0;
        }
        let longest = &mut self.gaps[hour.rem_euclid(DAY) as usize];
        *longest = (*longest).max(u32::try_from(gap / 1_000_000).unwrap_or(u32::MAX));
        self.note(at);
    }

    /// When something came last.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// How long a gap must be to be unusual, in microseconds; `None` if that is not known yet.
    pub fn unusual(&self, now: Timestamp) -> Option<i64> {
        let is_learned =
            self.events >= LEARNING_EVENTS && hour_of(now) - hour_of(self.first) > LEARNING_HOURS;
        let longest = self.gaps.iter().max().copied().unwrap_or_default();
        is_learned.then(|| (i64::from(longest) * 1_000_000 * FACTOR).clamp(SHORTEST, LONGEST))
    }

    /// How much of the time from one point to another is in usual hours, in microseconds. Both are after the last event.
    pub fn quiet(&self, from: Timestamp, to: Timestamp) -> i64 {
        let (from, to) = (from.as_micros(), to.as_micros());
        let hours = from.div_euclid(HOUR)..=to.div_euclid(HOUR);
        // After so many hours without anything none is usual any more.
        hours
            .take((HOURS + 1) as usize)
            .filter(|hour| self.is_usual(*hour))
            .map(|hour| to.min((hour + 1) * HOUR) - from.max(hour * HOUR))
            .sum()
    }

    /// Whether something is to be expected in an hour that is not before that of the last event.
    fn is_usual(&self, hour: i64) -> bool {
        self.came_in(hour - DAY) && self.came_in(hour - WEEK)
    }

    /// Whether something came in an hour, or nothing is known of it because it was before everything.
    fn came_in(&self, hour: i64) -> bool {
        let last = hour_of(self.last);
        if hour < hour_of(self.first) {
            return true;
        }
        hour <= last && hour > last - HOURS && self.came[word(hour)] & bit(hour) != 0
    }

    fn note(&mut self, at: Timestamp) {
        self.last = at;
        self.set(hour_of(at), true);
        self.events = (self.events + 1).min(LEARNING_EVENTS);
    }

    fn set(&mut self, hour: i64, came: bool) {
        if came {
            self.came[word(hour)] |= bit(hour);
        } else {
            self.came[word(hour)] &= !bit(hour);
        }
    }
}

const fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(HOUR)
}

const fn word(hour: i64) -> usize {
    hour.rem_euclid(HOURS) as usize / 64
}

const fn bit(hour: i64) -> u64 {
    1 << (hour.rem_euclid(HOURS) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_micros(minute * MINUTE)
    }

    /// The same, out of a list of all events.
    fn naive_quiet(events: &[i64], from: i64, to: i64) -> i64 {
        let hours: BTreeSet<i64> = events.iter().map(|at| at.div_euclid(60)).collect();
        let first = *hours.first().unwrap();
        let came = |hour: i64| hour < first || hours.contains(&hour);
        (from..to).filter(|at| came(at.div_euclid(60) - DAY) && came(at.div_euclid(60) - WEEK)).count() as i64
    }

    proptest! {
        #[test]
        fn quiet_time_and_unusual_gaps_agree_with_the_list(
            pauses in prop::collection::vec(prop_oneof![0i64..20, 0i64..300, 0i64..900, 0i64..5000], 1..150),
            after in 0i64..3000,
        ) {
            let mut rhythm = Rhythm::new(minute(1000));
            let (mut events, mut gaps) = (vec![1000], Vec::new());
            for pause in pauses {
                let last = events[events.len() - 1];
                let at = last + pause;
                let gap = naive_quiet(&events, last, at);
                gaps.push((at, gap));
                rhythm.observe(minute(at));
                events.push(at);
                let since = at.div_euclid(60) - DAY;
                let longest = gaps.iter().filter(|(end, _)| end.div_euclid(60) > since).map(|(_, gap)| *gap);
                let is_learned = events.len() >= 50 && at.div_euclid(60) - 1000i64.div_euclid(60) > 24;
                let unusual = longest.max().map(|longest| (longest * 3).clamp(10, 360) * MINUTE);
                prop_assert_eq!(rhythm.unusual(minute(at)), unusual.filter(|_| is_learned));
                let quiet = naive_quiet(&events, at, at + after);
                prop_assert_eq!(rhythm.quiet(minute(at), minute(at + after)), quiet * MINUTE);
            }
        }
    }
}
