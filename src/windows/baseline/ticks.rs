//! Observations at times become closed ticks of fixed length, with zeros where nothing was observed.
//!
//! A tick stays open as long as something may still come for it: until the lateness that is allowed has passed after its
//! end. What comes later than that is not counted, and said to be late. Time that passes without observations closes ticks
//! as well. After a long silence so many zeros are given as [`MAX_ZEROS`], and what remains is one gap, so that the work
//! for an observation is bounded.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::sketch::Sketch;

/// Most ticks that are open at a time: where ticks are short beside the lateness, less lateness is allowed.
pub const MAX_OPEN: i64 = 64;
/// Most zeros in a row.
pub const MAX_ZEROS: i64 = 512;

/// How long ticks are, and how long they stay open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Microseconds of a tick, at least one.
    pub tick: i64,
    /// Microseconds after its end in which something may still come for it.
    pub lateness: i64,
}

impl Pace {
    fn lateness(&self) -> i64 {
        self.lateness.clamp(0, self.tick.saturating_mul(MAX_OPEN - 2))
    }

    /// The number of the tick that a time is in.
    pub const fn number(&self, at: i64) -> i64 {
        at.div_euclid(self.tick)
    }
}

/// What was observed in an open tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tally {
    Sum(f64),
    Distinct(Sketch),
}

impl Tally {
    fn value(&self) -> f64 {
        match self {
            Self::Sum(sum) => *sum,
            Self::Distinct(sketch) => sketch.count(),
        }
    }
}

/// What an observation adds to its tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// To a sum.
    Number(f64),
    /// To a number of distinct values: the hash of one.
    Hash(u64),
}

/// What has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Passed {
    /// A tick of this number, with its value.
    Tick(i64, f64),
    /// So many ticks of which nothing is known, or all of them zeros after many others.
    Gap(u32),
}

/// The open ticks of one subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticks {
    /// The number of the first open tick; `None` before the first observation.
    first: Option<i64>,
    open: VecDeque<Tally>,
}

impl Ticks {
    /// The number of the first tick that is open.
    pub const fn first(&self) -> Option<i64> {
        self.first
    }

    /// Takes in an observation, after all that is due at its time has been closed. Gives the value of its tick so far, or
    /// `None` when the tick is closed: it came late.
    pub fn add(&mut self, pace: &Pace, at: i64, amount: Amount) -> Option<f64> {
        let number = pace.number(at);
        let first = *self.first.get_or_insert(number);
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        if place >= MAX_OPEN as usize {
            return None;
        }
        while self.open.len() <= place {
            self.open.push_back(Tally::Sum(0.0));
        }
        let tally = &mut self.open[place];
        match (&mut *tally, amount) {
            (Tally::Sum(sum), Amount::Number(number)) => *sum += number,
            (Tally::Distinct(sketch), Amount::Hash(hash)) => sketch.add(hash),
            (Tally::Sum(_), Amount::Hash(hash)) => {
                let mut sketch = Sketch::default();
                sketch.add(hash);
                *tally = Tally::Distinct(sketch);
            }
            (Tally::Distinct(_), Amount::Number(_)) => {}
        }
        Some(tally.value())
    }

    /// An observation at this time is about to be taken in: closes the ticks for which nothing can come any more.
    pub fn close_before(&mut self, pace: &Pace, at: i64, passed: impl FnMut(Passed)) {
        self.close(pace, at.saturating_sub(pace.lateness()), passed);
    }

    /// Nothing before this time will come any more: closes the ticks that end at or before it.
    pub fn close(&mut self, pace: &Pace, until: i64, mut passed: impl FnMut(Passed)) {
        let Some(first) = self.first else { return };
        let end = pace.number(until);
        let zeros_end = first.saturating_add(self.open.len() as i64).saturating_add(MAX_ZEROS);
        for number in first..end.min(zeros_end) {
            let value = self.open.pop_front().map_or(0.0, |tally| tally.value());
            passed(Passed::Tick(number, value));
        }
        if end > zeros_end {
            passed(Passed::Gap(u32::try_from(end - zeros_end).unwrap_or(u32::MAX)));
        }
        self.first = Some(first.max(end));
        if self.open.is_empty() && self.open.capacity() > 8 {
            self.open.shrink_to_fit();
        }
    }

    /// Nobody watched until this time: what was open is dropped, and all until the next whole tick is a gap.
    pub fn skip_to(&mut self, pace: &Pace, at: i64) -> Passed {
        let next = pace.number(at).saturating_add(1);
        let first = self.first.unwrap_or(next);
        self.open.clear();
        self.first = self.first.map(|first| first.max(next));
        Passed::Gap(u32::try_from(next.saturating_sub(first)).unwrap_or(0))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let sketches = self.open.iter().filter_map(|tally| match tally {
            Tally::Distinct(sketch) => Some(sketch.heap_bytes()),
            Tally::Sum(_) => None,
        });
        self.open.capacity() * size_of::<Tally>() + sketches.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACE: Pace = Pace { tick: 60, lateness: 120 };

    fn observe(ticks: &mut Ticks, at: i64, passed: &mut Vec<Passed>) -> Option<f64> {
        ticks.close_before(&PACE, at, |one| passed.push(one));
        ticks.add(&PACE, at, Amount::Number(1.0))
    }

    #[test]
    fn ticks_close_when_nothing_can_come_any_more_and_zeros_are_said() {
        let (mut ticks, mut passed) = (Ticks::default(), Vec::new());
        for at in [600, 610, 725, 605, 779] {
            assert!(observe(&mut ticks, at, &mut passed).is_some(), "{at}");
        }
        assert_eq!(passed, [], "a tick that ends at 660 is open until 780");
        assert_eq!(observe(&mut ticks, 780, &mut passed), Some(1.0));
        assert_eq!(passed, [Passed::Tick(10, 3.0)]);
        assert_eq!(observe(&mut ticks, 659, &mut passed), None, "it is closed");
        ticks.close(&PACE, 900, |one| passed.push(one));
        assert_eq!(
            passed[1..],
            [Passed::Tick(11, 0.0), Passed::Tick(12, 2.0), Passed::Tick(13, 1.0), Passed::Tick(14, 0.0)]
        );
    }

    #[test]
    fn a_long_silence_is_so_many_zeros_and_a_gap() {
        let (mut ticks, mut passed) = (Ticks::default(), Vec::new());
        observe(&mut ticks, 0, &mut passed);
        observe(&mut ticks, 60 * 1_000_000, &mut passed);
        assert_eq!(passed.len(), 1 + MAX_ZEROS as usize + 1);
        assert_eq!(passed[0], Passed::Tick(0, 1.0));
        assert_eq!(passed.last(), Some(&Passed::Gap(1_000_000 - 2 - 1 - 512)));
    }

    #[test]
    fn a_time_in_which_nobody_watched_is_a_gap() {
        let (mut ticks, mut passed) = (Ticks::default(), Vec::new());
        observe(&mut ticks, 0, &mut passed);
        assert_eq!(ticks.skip_to(&PACE, 6_030), Passed::Gap(101));
        assert_eq!(observe(&mut ticks, 6_050, &mut passed), None, "a tick of which a part was not watched");
        assert_eq!(observe(&mut ticks, 6_060, &mut passed), Some(1.0));
    }

    #[test]
    fn distinct_values_are_counted_once_in_a_tick() {
        let mut ticks = Ticks::default();
        for (hash, count) in [(1_u64 << 60, 1.0), (1 << 60, 1.0), (3 << 60, 2.0)] {
            assert_eq!(ticks.add(&PACE, 0, Amount::Hash(hash)), Some(count));
        }
    }

    proptest! {
        #[test]
        fn ticks_are_those_of_counting_by_hand_however_late_observations_are(
            steps in prop::collection::vec((0_i64..200, 0_i64..110), 1..200), tick in 1_i64..90,
        ) {
            let pace = Pace { tick, lateness: 120 };
            let (mut ticks, mut passed, mut now) = (Ticks::default(), Vec::new(), 0);
            let mut times = Vec::new();
            let mut latest = i64::MIN;
            for (step, late) in steps {
                now += step;
                let at = if latest == i64::MIN { now } else { now - late.min(pace.lateness()) };
                latest = latest.max(at);
                ticks.close_before(&pace, latest, |one| passed.push(one));
                if ticks.add(&pace, at, Amount::Number(1.0)).is_some() {
                    times.push(at);
                } else {
                    let is_late = at.div_euclid(tick) < (latest - pace.lateness()).div_euclid(tick);
                    prop_assert!(is_late || times.iter().all(|time| *time > at));
                }
                prop_assert!(ticks.open.len() <= MAX_OPEN as usize);
            }
            ticks.close(&pace, now + 1_000, |one| passed.push(one));
            let mut next = None;
            for one in passed {
                let Passed::Tick(number, value) = one else { continue };
                prop_assert!(next.is_none_or(|next| next == number), "each once, in order");
                next = Some(number + 1);
                let counted = times.iter().filter(|at| at.div_euclid(tick) == number).count();
                prop_assert_eq!(value, counted as f64);
            }
        }
    }
}
