//! Counts and sums over a sliding window.
//!
//! Observations of one instant are one run, so a flood of a thousand requests a second in a log with whole seconds
//! is one run a second. The window is exact while its instants fit into [`MAX_RUNS`] runs. Beyond that, instants
//! are rounded up to a quantum of at most a sixty-fourth of the span, so that a count is never less than the true
//! one, and never more than the true one over the span and one quantum.

use std::ops::{AddAssign, SubAssign};

use smallvec::SmallVec;

use super::{Measure, Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most runs of a window: 4 KB for counts, and up to 8 KB of memory. Half of them are for the window, half for what only late
/// observations can still ask for.
pub const MAX_RUNS: usize = 256;

/// What is added up.
pub trait Amount: Copy + Default + AddAssign + SubAssign {
    /// The measure of a total.
    fn measured(self, measure: Measure) -> f64;
}

impl Amount for u32 {
    fn measured(self, _: Measure) -> f64 {
        f64::from(self)
    }
}

/// Numbers added up, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// How many.
    pub count: u32,
    /// Their sum.
    pub sum: f64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
    }
}

impl SubAssign for Sum {
    fn sub_assign(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        // Starting again from an empty window also drops what rounding has left behind.
        self.sum = if self.count == 0 { 0.0 } else { self.sum - other.sum };
    }
}

impl Amount for Sum {
    fn measured(self, measure: Measure) -> f64 {
        match measure {
            Measure::Mean if self.count > 0 => self.sum / f64::from(self.count),
            _ => self.sum,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Run<A> {
    at: i64,
    amount: A,
}

/// A sliding count or sum; see the module.
#[derive(Clone, Debug, Default)]
pub struct Runs<A> {
    /// In order of time; those before `expired` are gone.
    runs: SmallVec<[Run<A>; 2]>,
    expired: u32,
    /// The first run of the window that ends at `latest`, and the total of that window.
    window: u32,
    total: A,
    latest: i64,
    /// Instants are rounded up to a multiple of this many microseconds; 0 when they are exact.
    quantum: i64,
}

impl<A: Amount> Runs<A> {
    /// Takes an observation in and measures; see [`super::Window::observe`].
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, amount: A) -> Reading {
        let at = at.as_micros();
        let span = micros(spec.span);
        if self.runs.is_empty() || at >= self.latest {
            self.append(at, amount);
            self.slide(span, spec.horizon());
            self.reading(spec, self.total, at)
        } else {
            self.insert(at, amount, span, spec.horizon());
            self.read_again(spec, at, span)
        }
    }

    /// The time of the latest observation.
    pub(super) fn latest(&self) -> Option<i64> {
        (!self.runs.is_empty()).then_some(self.latest)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.runs.spilled() { self.runs.capacity() * size_of::<Run<A>>() } else { 0 }
    }

    fn reading(&self, spec: &Spec, total: A, end: i64) -> Reading {
        Reading::at(spec, total.measured(spec.measure), end)
    }

    fn rounded(&self, at: i64) -> i64 {
        if self.quantum == 0 { at } else { round_up(at, self.quantum) }
    }

    fn append(&mut self, at: i64, amount: A) {
        self.latest = at;
        let rounded = self.rounded(at);
        self.total += amount;
        match self.runs.last_mut() {
            Some(last) if last.at == rounded => last.amount += amount,
            _ => self.runs.push(Run { at: rounded, amount }),
        }
    }

    /// Moves the window on to `latest`, and forgets what nothing can ask for any more.
    fn slide(&mut self, span: i64, horizon: i64) {
        let start = self.latest.saturating_sub(span);
        while let Some(run) = self.runs.get(self.window as usize).filter(|run| run.at < start) {
            self.total -= run.amount;
            self.window += 1;
        }
        let oldest = self.latest.saturating_sub(horizon);
        while self.expired < self.window && self.runs[self.expired as usize].at < oldest {
            self.expired += 1;
        }
        let len = self.runs.len();
        if self.expired as usize * 2 > len {
            self.runs.drain(..self.expired as usize);
            self.window -= self.expired;
            self.expired = 0;
            if self.runs.len() <= 2 {
                self.runs.shrink_to_fit();
                self.quantum = 0;
            }
        } else if len > MAX_RUNS {
            self.coarsen(span, horizon);
        }
    }

    fn insert(&mut self, at: i64, amount: A, span: i64, horizon: i64) {
        let rounded = self.rounded(at);
        let place = self.runs.partition_point(|run| run.at < rounded).max(self.expired as usize);
        match self.runs.get_mut(place) {
            Some(run) if run.at == rounded => run.amount += amount,
            _ => self.runs.insert(place, Run { at: rounded, amount }),
        }
        if self.runs.len() > MAX_RUNS {
            self.coarsen(span, horizon);
        } else {
            self.find_window(span);
        }
    }

    /// The windows that an observation at `at` is in, other than the latest, may have changed too.
    pub(super) fn read_again(&self, spec: &Spec, at: i64, span: i64) -> Reading {
        let rounded = self.rounded(at);
        let live = &self.runs[self.expired as usize..];
        let first_end = live.partition_point(|run| run.at < rounded);
        let mut start = live.partition_point(|run| run.at < rounded.saturating_sub(span));
        let mut total = A::default();
        live[start..first_end].iter().for_each(|run| total += run.amount);
        let mut reading = Reading::nothing(at);
        for end in &live[first_end..] {
            if end.at > rounded.saturating_add(span) {
                break;
            }
            total += end.amount;
            while live[start].at < end.at.saturating_sub(span) {
                total -= live[start].amount;
                start += 1;
            }
            reading = reading.and(self.reading(spec, total, end.at.min(self.latest)));
        }
        reading
    }

    fn find_window(&mut self, span: i64) {
        let start = self.latest.saturating_sub(span);
        self.window = self.runs.partition_point(|run| run.at < start).max(self.expired as usize) as u32;
        self.total = A::default();
        let mut total = A::default();
        self.runs[self.window as usize..].iter().for_each(|run| total += run.amount);
        self.total = total;
    }

    /// Rounds instants up so that half of the runs are free again. What is older than the window is rounded first,
    /// and never into the window.
    fn coarsen(&mut self, span: i64, horizon: i64) {
        let half = MAX_RUNS as i64 / 2;
        let start = self.latest.saturating_sub(span);
        if self.runs.len() - self.window as usize > MAX_RUNS / 2 {
            self.quantum = self.quantum.max(2 * span / half).max(1);
        }
        let late_quantum = (2 * (horizon - span) / half).max(1);
        let mut coarse: SmallVec<[Run<A>; 2]> = SmallVec::with_capacity(MAX_RUNS);
        for run in &self.runs[self.expired as usize..] {
            let at = if run.at < start {
                round_up(run.at, late_quantum).min(start - 1)
            } else {
                self.rounded(run.at)
            };
            match coarse.last_mut() {
                Some(last) if last.at >= at => last.amount += run.amount,
                _ => coarse.push(Run { at, amount: run.amount }),
            }
        }
        self.runs = coarse;
        self.expired = 0;
        self.find_window(span);
    }
}

fn round_up(at: i64, quantum: i64) -> i64 {
    let below = at.rem_euclid(quantum);
    if below == 0 { at } else { at.saturating_add(quantum - below) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{naive, spec};
    use super::*;
    use proptest::prelude::*;

    fn count(inside: &[(i64, ())]) -> f64 {
        inside.len() as f64
    }

    #[test]
    fn both_ends_belong_to_the_window() {
        let spec = spec(Measure::Count, 10, 60, 2.0);
        let mut runs = Runs::default();
        assert!(!runs.observe(&spec, Timestamp::from_seconds(100), 1).holds);
        assert!(runs.observe(&spec, Timestamp::from_seconds(110), 1).holds);
        assert!(!runs.observe(&spec, Timestamp::from_seconds(121), 1).holds);
    }

    #[test]
    fn a_late_observation_counts_in_the_window_it_belongs_to_and_in_no_other() {
        let spec = spec(Measure::Count, 10, 300, 3.0);
        let mut runs = Runs::default();
        for at in [100, 101, 200] {
            assert!(!runs.observe(&spec, Timestamp::from_seconds(at), 1).holds);
        }
        assert!(
            !runs.observe(&spec, Timestamp::from_seconds(0), 1).holds,
            "0, 100, 101 do not fit into ten seconds"
        );
        let reading = runs.observe(&spec, Timestamp::from_seconds(105), 1);
        assert_eq!((reading.holds, reading.first), (true, Timestamp::from_seconds(105)));
    }

    #[test]
    fn memory_is_bounded_and_the_error_is_as_stated() {
        let spec = spec(Measure::Count, 10, 60, f64::INFINITY);
        let mut runs = Runs::default();
        let mut all = Vec::new();
        for step in 0..200_000_i64 {
            let at = 1_000_000 + step * 137;
            all.push(at);
            let measured = runs.observe(&spec, Timestamp::from_micros(at), 1).measured;
            if step % 1009 == 0 {
                let inside = |span: i64| all.iter().rev().take_while(|t| **t >= at - span).count() as f64;
                let (low, high) = (inside(10_000_000), inside(10_000_000 + 10_000_000 / 64));
                assert!((low..=high).contains(&measured), "{measured} outside {low}..{high}");
            }
            assert!(runs.heap_bytes() <= 4 * MAX_RUNS * size_of::<Run<u32>>());
        }
    }

    proptest! {
        #[test]
        fn counts_agree_with_the_list_of_timestamps(
            times in prop::collection::vec(0i64..120, 1..200), span in 1i64..40, sorted: bool,
        ) {
            let mut times = times;
            if sorted { times.sort_unstable(); }
            let spec = spec(Measure::Count, span as u64, 120, 1.0);
            let mut runs = Runs::default();
            let mut all = Vec::new();
            for at in times {
                all.push((at, ()));
                let latest = all.iter().map(|(at, ())| *at).max().unwrap() == at;
                let expected = naive(&all, at, span, latest, count);
                let reading = runs.observe(&spec, Timestamp::from_seconds(at), 1);
                prop_assert_eq!(reading.measured, expected);
            }
        }

        #[test]
        fn sums_agree_with_the_list(
            values in prop::collection::vec((0i64..60, -100i64..100), 1..100), span in 1i64..20,
        ) {
            let mut values = values;
            values.sort_by_key(|(at, _)| *at);
            let spec = spec(Measure::Sum, span as u64, 10, 0.0);
            let mut runs = Runs::default();
            let mut all: Vec<(i64, i64)> = Vec::new();
            for (at, value) in values {
                all.push((at, value));
                let expected: i64 = all.iter().filter(|(t, _)| *t >= at - span && *t <= at).map(|(_, v)| v).sum();
                let amount = Sum { count: 1, sum: value as f64 };
                prop_assert_eq!(runs.observe(&spec, Timestamp::from_seconds(at), amount).measured, expected as f64);
            }
        }
    }
}
