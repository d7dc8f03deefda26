//! Percentiles over a sliding window.
//!
//! Exact up to [`MAX_ENTRIES`] observations. When there are more, every second one is dropped, again and again, by a
//! hash of its number: what is left is a fair sample, in which the rank of a percentile is off by about 3 points at
//! most of 100.

use super::{Measure, Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most observations a window keeps: 12 KB, and up to 24 KB of memory.
pub const MAX_ENTRIES: usize = 512;

/// A sliding sample of numbers; see the module.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Time, value and hash of the number, in order of time.
    entries: Vec<(i64, f64, u32)>,
    taken: u32,
    level: u8,
    latest: Option<i64>,
}

impl Sample {
    /// Takes a number in and measures; see [`super::Window::observe`].
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, value: f64) -> Reading {
        let at = at.as_micros();
        let latest = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(latest);
        let oldest = latest.saturating_sub(spec.horizon());
        let expired = self.entries.partition_point(|(at, ..)| *at < oldest);
        if expired * 2 > self.entries.len() {
            self.entries.drain(..expired);
            if self.entries.is_empty() {
                self.level = 0;
            }
        }
        if self.level > 0 && self.entries.len() < MAX_ENTRIES / 8 {
            self.level -= 1;
        }
        self.taken = self.taken.wrapping_add(1);
        let hash = mixed(self.taken);
        if self.keeps(hash) {
            let place = self.entries.partition_point(|(other, ..)| *other <= at);
            self.entries.insert(place, (at, value, hash));
        }
        while self.entries.len() > MAX_ENTRIES {
            self.level += 1;
            let level = u32::from(self.level);
            self.entries.retain(|(.., hash)| hash.trailing_zeros() >= level);
        }
        self.read(spec, at, latest)
    }

    /// The time of the latest observation.
    pub(super) const fn latest(&self) -> Option<i64> {
        self.latest
    }

    /// Judges the windows that an observation at `at` is in.
    pub(super) fn read_late(&self, spec: &Spec, at: i64) -> Reading {
        self.read(spec, at, self.latest.unwrap_or(at))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(i64, f64, u32)>()
    }

    fn keeps(&self, hash: u32) -> bool {
        hash.trailing_zeros() >= u32::from(self.level)
    }

    fn read(&self, spec: &Spec, at: i64, latest: i64) -> Reading {
        let span = micros(spec.span);
        let percentile = match spec.measure {
            Measure::Percentile(percentile) => percentile,
            _ => 50.0,
        };
        let mut reading = Reading::nothing(at);
        if at == latest {
            let start = at.saturating_sub(span);
            let first = self.entries.partition_point(|(at, ..)| *at < start);
            let mut values: Vec<f64> = self.entries[first..].iter().map(|(_, value, _)| *value).collect();
            values.sort_unstable_by(f64::total_cmp);
            return interpolated(&values, percentile)
                .map_or(reading, |measured| Reading::at(spec, measured, at));
        }
        // The windows that the observation is in, one after the other: each takes in what comes and lets go of what is
        // out of its span.
        let mut inside: Vec<f64> = Vec::new();
        let mut oldest = self.entries.partition_point(|(other, ..)| *other < at.saturating_sub(span));
        for (place, &(end, value, _)) in self.entries.iter().enumerate().skip(oldest) {
            if end > at.saturating_add(span) {
                break;
            }
            let sorted_place = inside.partition_point(|other| other.total_cmp(&value).is_lt());
            inside.insert(sorted_place, value);
            while self.entries[oldest].0 < end.saturating_sub(span) {
                let gone = self.entries[oldest].1;
                inside.remove(inside.partition_point(|other| other.total_cmp(&gone).is_lt()));
                oldest += 1;
            }
            let is_whole = self.entries.get(place + 1).is_none_or(|(next, ..)| *next != end);
            if end >= at
                && is_whole
                && let Some(measured) = interpolated(&inside, percentile)
            {
                reading = reading.and(Reading::at(spec, measured, end));
            }
        }
        reading
    }
}

/// The finaliser of MurmurHash3: numbers that follow one another fall apart.
fn mixed(number: u32) -> u32 {
    let mut hash = number;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The percentile of sorted values, between the two neighbours of its rank in proportion.
fn interpolated(values: &[f64], percentile: f64) -> Option<f64> {
    let rank = values.len().checked_sub(1)? as f64 * percentile / 100.0;
    let (below, share) = (rank.floor() as usize, rank.fract());
    let low = values.get(below)?;
    let high = values.get(below + 1).unwrap_or(low);
    Some(low * (1.0 - share) + high * share)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{naive, spec};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_interpolate_between_neighbours() {
        assert_eq!(interpolated(&[1.0, 2.0, 3.0, 4.0], 50.0), Some(2.5));
        assert_eq!(interpolated(&[1.0, 2.0], 100.0), Some(2.0));
        assert_eq!(interpolated(&[], 50.0), None);
    }

    #[test]
    fn a_window_forgets_what_is_outside_it() {
        let spec = spec(Measure::Percentile(100.0), 10, 0, 50.0);
        let mut sample = Sample::default();
        assert!(sample.observe(&spec, Timestamp::from_seconds(0), 99.0).holds);
        assert!(sample.observe(&spec, Timestamp::from_seconds(10), 1.0).holds);
        assert!(!sample.observe(&spec, Timestamp::from_seconds(11), 1.0).holds);
    }

    proptest! {
        #[test]
        fn percentiles_agree_with_the_list(
            values in prop::collection::vec((0i64..60, 0u8..50), 1..100), span in 1i64..20, percentile in 0u8..=100,
        ) {
            let spec = spec(Measure::Percentile(f64::from(percentile)), span as u64, 60, 0.0);
            let mut sample = Sample::default();
            let mut all = Vec::new();
            for (at, value) in values {
                all.push((at, f64::from(value)));
                let latest = all.iter().map(|(at, _)| *at).max().unwrap() == at;
                let measure = |inside: &[(i64, f64)]| {
                    let mut values: Vec<f64> = inside.iter().map(|(_, value)| *value).collect();
                    values.sort_by(f64::total_cmp);
                    interpolated(&values, f64::from(percentile)).unwrap()
                };
                let expected = naive(&all, at, span, latest, measure);
                let measured = sample.observe(&spec, Timestamp::from_seconds(at), f64::from(value)).measured;
                prop_assert_eq!(measured, expected);
            }
        }
    }

    #[test]
    fn a_large_window_is_sampled_fairly() {
        let spec = spec(Measure::Percentile(90.0), 100_000, 0, 0.0);
        let mut sample = Sample::default();
        let mut worst: f64 = 0.0;
        for number in 0..50_000_u32 {
            let value = f64::from(number.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
            let measured = sample.observe(&spec, Timestamp::from_seconds(i64::from(number)), value).measured;
            assert!(sample.entries.len() <= MAX_ENTRIES);
            if number > 2_000 {
                worst = worst.max((measured - 0.9).abs());
            }
        }
        assert!(worst < 0.06, "{worst}");
    }
}
