//! Scores that add up and decay.
//!
//! What is measured at a time is the sum of all scores of the window that ends there, each halved for every half-life that
//! has passed since, to the hundredth. It is highest where a score comes in, so that is where it is looked at. A late score
//! takes its place, and all later ends are judged again: the order of arrival does not matter within the lateness. Exact up
//! to [`MAX_ENTRIES`] scores in a window; beyond that the two oldest become one at the time of the younger, which is as much
//! but is counted for longer than its window.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Measure, Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most scores a window keeps: 4 KB.
pub const MAX_ENTRIES: usize = 256;

/// A sliding window over scores; see the module.
#[derive(Clone, Debug, Default)]
pub struct Risk {
    /// Time and score, by time.
    entries: VecDeque<(i64, f64)>,
}

/// What is left of a score after some microseconds.
fn decayed(score: f64, age: i64, half_life: Duration) -> f64 {
    score * (-(age as f64) / micros(half_life) as f64).exp2()
}

impl Risk {
    /// Takes a score in and measures; see [`super::Window::observe`].
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, score: f64) -> Reading {
        let Measure::Risk(half_life) = spec.measure else { return Reading::nothing(at.as_micros()) };
        let at = at.as_micros();
        let latest = self.entries.back().map_or(at, |(latest, _)| (*latest).max(at));
        let oldest = latest.saturating_sub(spec.horizon());
        while self.entries.front().is_some_and(|(at, _)| *at < oldest) {
            self.entries.pop_front();
        }
        let place = self.entries.partition_point(|(other, _)| *other <= at);
        self.entries.insert(place, (at, score));
        if self.entries.len() > MAX_ENTRIES
            && let Some((then, score)) = self.entries.pop_front()
            && let Some((next, sum)) = self.entries.front_mut()
        {
            *sum += decayed(score, *next - then, half_life);
        }
        self.read(spec, at, half_life)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(i64, f64)>()
    }

    /// Judges all ends from a time on, in one pass.
    fn read(&self, spec: &Spec, at: i64, half_life: Duration) -> Reading {
        let span = micros(spec.span);
        let mut reading = Reading::nothing(at);
        let mut sum = 0.0;
        let mut before = at;
        let mut first = 0;
        for (index, (end, score)) in self.entries.iter().enumerate() {
            sum = decayed(sum, end - before, half_life) + score;
            before = *end;
            while let Some((then, old)) = self.entries.get(first).filter(|(then, _)| *then < end - span) {
                sum -= decayed(*old, end - then, half_life);
                first += 1;
            }
            // Only after the last score at a time is all of it in the window.
            if *end >= at && self.entries.get(index + 1).is_none_or(|(next, _)| next != end) {
                let measured = (sum * 100.0).round() / 100.0;
                reading = reading.and(Reading::at(spec, measured, *end));
            }
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::spec;
    use super::*;
    use proptest::prelude::*;

    const HALF_LIFE: u64 = 10;

    fn risk_spec() -> Spec {
        spec(Measure::Risk(Duration::from_secs(HALF_LIFE)), 4 * HALF_LIFE, 1000, 100.0)
    }

    #[test]
    fn a_score_is_half_as_much_after_its_half_life_and_gone_after_the_window() {
        let spec = risk_spec();
        for (after, measured) in [(0, 100.0), (10, 75.0), (20, 62.5), (40, 53.13), (41, 50.0)] {
            let mut risk = Risk::default();
            risk.observe(&spec, Timestamp::from_seconds(0), 50.0);
            let reading = risk.observe(&spec, Timestamp::from_seconds(after), 50.0);
            assert_eq!((reading.measured, reading.holds), (measured, after == 0), "after {after}");
        }
    }

    #[test]
    fn memory_is_bounded_and_next_to_nothing_is_lost() {
        let spec = risk_spec();
        let mut risk = Risk::default();
        let mut reading = Reading::nothing(0);
        for _ in 0..10 * MAX_ENTRIES {
            reading = risk.observe(&spec, Timestamp::from_seconds(5), 1.0);
            assert!(risk.entries.len() <= MAX_ENTRIES);
        }
        assert_eq!(reading.measured, 10.0 * MAX_ENTRIES as f64);
    }

    proptest! {
        /// The same as a list of everything, whatever the order of arrival.
        #[test]
        fn it_is_the_sum_of_what_is_left(all in prop::collection::vec((0_i64..200, 1_u32..80), 1..60)) {
            let spec = risk_spec();
            let mut risk = Risk::default();
            for (count, (at, score)) in all.iter().enumerate() {
                let reading = risk.observe(&spec, Timestamp::from_seconds(*at), f64::from(*score));
                let known = &all[..=count];
                let sum_at = |end: i64| -> f64 {
                    let inside = known.iter().filter(|(then, _)| (end - 4 * HALF_LIFE as i64..=end).contains(then));
                    let left = inside.map(|(then, score)| {
                        f64::from(*score) * 0.5_f64.powf((end - then) as f64 / HALF_LIFE as f64)
                    });
                    left.sum()
                };
                let ends = known.iter().map(|(end, _)| *end).filter(|end| end >= at);
                let highest = ends.clone().map(sum_at).fold(0.0, f64::max);
                prop_assert!((reading.measured - highest).abs() < 0.011, "{} {highest}", reading.measured);
                if (highest - 100.0).abs() > 0.02 {
                    prop_assert_eq!(reading.holds, highest > 100.0);
                }
                let first = ends.filter(|end| sum_at(*end) > 100.02).min();
                if reading.holds && let Some(first) = first {
                    prop_assert!(reading.first <= Timestamp::from_seconds(first));
                }
            }
        }
    }
}
