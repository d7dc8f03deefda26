//! What is ordinary for one series, and how surprising the next tick is.
//!
//! Two levels follow the series, one over about a hundred ticks and one over about twenty, and each keeps the variance
//! around itself. A value is as surprising as it is to the level that expected it more: the slow one does not take a
//! return to normal for a surprise, and the fast one does not go on about a level that has shifted. Both look at what the
//! hour of the day and of the week leaves unexplained. How many standard deviations that is becomes bits in
//! [`super::tail`].
//!
//! What is never negative is looked at by its root, as is right for counts, whose noise grows with their root, and a fair
//! middle for other numbers, whose noise grows in proportion or not at all. Where counts are few, their exact tail is
//! taken instead of a normal one.

use serde::{Deserialize, Serialize};

use super::season::Profile;
use super::sparse;
use super::tail::{self, Tail};
use crate::rules::baseline::{Season, Side};

/// Ticks without a score: nothing is known yet.
pub const SILENT_TICKS: u32 = 10;

/// What a tick weighs in the slow level and in both variances, once there were enough.
const SLOW: f32 = 0.01;
/// What a tick weighs in the fast level.
const FAST: f32 = 0.05;
/// As many ticks as the doubt about the variance counts for: it is larger than it looks after few ticks.
const DOUBT: f32 = 10.0;
/// Counts with a smaller mean have their exact tail.
const SPARSE_MEAN: f32 = 5.0;
/// No scale is finer than this part of what is expected.
const FINEST: f32 = 0.004;
/// Nor, of roots of counts, than this: Poisson noise has a half.
const FINEST_OF_COUNTS: f32 = 0.02;
/// What is added to a count before its root is taken, after F. J. Anscombe (1948).
const OF_COUNTS: f32 = 0.375;
/// The same for other numbers, as a part of their usual size.
const OF_SIZE: f32 = 0.02;

/// What the numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Counts, and sums of small ones.
    #[default]
    Counts,
    /// Any numbers.
    Numbers,
}

/// What is said of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// How surprising it is, in bits; 0 for what is not.
    pub bits: f32,
    /// What was expected.
    pub expected: f32,
    /// One standard deviation, in the same units.
    pub scale: f32,
    /// On which side of it the value is.
    pub side: Side,
}

/// A level and the variance around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    mean: f32,
    variance: f32,
}

impl Level {
    /// `off` is how far the value is from what was expected, on the scale of the variance.
    fn update(&mut self, value: f32, weight: f32, off: f32, weight_of_variance: f32) {
        self.mean += weight * (value - self.mean);
        self.variance = (1.0 - weight_of_variance) * (self.variance + weight_of_variance * off * off);
    }
}

/// The state of one series: 48 bytes, and about 220 for the hours of the day or 1,100 for those of the week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    slow: Level,
    fast: Level,
    tail: Tail,
    /// Ticks that were taken in.
    seen: u32,
    values: Values,
    /// What is added to a value before its root is taken; `None` where no root is taken.
    shift: Option<f32>,
    has_negative: bool,
    profile: Option<Box<Profile>>,
}

/// What is expected of a tick.
struct Expectation {
    /// The value in the middle.
    middle: f32,
    /// What the season adds, at least and at most.
    offset: (f32, f32),
    /// The least that standard deviations are.
    finest: f32,
    /// What they are multiplied with.
    doubt: f32,
}

impl Expectation {
    /// How far a value is from a level and the season together.
    fn off(&self, value: f32, level: &Level) -> f32 {
        let rest = value - level.mean;
        rest - rest.clamp(self.offset.0, self.offset.1)
    }

    /// The standard deviation around a level.
    fn scale(&self, level: &Level) -> f32 {
        (level.variance.sqrt() + self.finest) * self.doubt
    }

    /// How many standard deviations a value is from a level.
    fn deviations(&self, value: f32, level: &Level) -> f32 {
        self.off(value, level) / self.scale(level)
    }
}

impl Detector {
    /// Nothing known yet.
    pub fn new(values: Values, season: Season) -> Self {
        Self {
            slow: Level::default(),
            fast: Level::default(),
            tail: Tail::default(),
            seen: 0,
            values,
            shift: (values == Values::Counts).then_some(OF_COUNTS),
            has_negative: false,
            profile: Profile::new(season).map(Box::new),
        }
    }

    /// Ticks that were taken in.
    pub const fn seen(&self) -> u32 {
        self.seen
    }

    /// How surprising a value would be in a tick that began so many seconds after the epoch.
    pub fn judge(&self, value: f32, seconds: i64) -> Surprise {
        let value = self.valid(value);
        self.surprise(value, self.evened(value), &self.expect(seconds)).0
    }

    /// Takes in the value of the next tick, which began so many seconds after the epoch, and says how surprising it is.
    pub fn update(&mut self, value: f32, seconds: i64) -> Surprise {
        let value = self.valid(value);
        self.find_shift(value);
        let even = self.evened(value);
        if self.seen == 0 {
            (self.slow.mean, self.fast.mean) = (even, even);
        }
        let expectation = self.expect(seconds);
        let (surprise, depth) = self.surprise(value, even, &expectation);
        self.tail.learn(depth, self.seen);
        if let Some(profile) = self.profile.as_mut().filter(|_| self.seen >= SILENT_TICKS) {
            profile.update(even, seconds);
        }
        let newest = 1.0 / (self.seen as f32 + 1.0);
        let rest = even - f32::midpoint(expectation.offset.0, expectation.offset.1);
        for (level, weight) in [(&mut self.slow, SLOW), (&mut self.fast, FAST)] {
            let off = expectation.off(even, level);
            level.update(rest, weight.max(newest), off, SLOW.max(newest));
        }
        self.seen = self.seen.saturating_add(1);
        surprise
    }

    fn expect(&self, seconds: i64) -> Expectation {
        let offset = self.profile.as_ref().map_or((0.0, 0.0), |profile| profile.offset(seconds));
        let middle = self.slow.mean + f32::midpoint(offset.0, offset.1);
        let finest = match (self.values, self.shift) {
            (_, None) => FINEST * middle.abs() + 1e-9,
            // A part of the root is half that part of the value.
            (Values::Numbers, Some(_)) => FINEST / 2.0 * middle.abs() + 1e-9,
            (Values::Counts, Some(_)) => FINEST / 2.0 * middle.abs() + FINEST_OF_COUNTS,
        };
        let doubt = (1.0 + DOUBT / (self.seen as f32 + 1.0)).sqrt();
        Expectation { middle, offset, finest, doubt }
    }

    /// How surprising a value is, and how deep.
    fn surprise(&self, value: f32, even: f32, expectation: &Expectation) -> (Surprise, f32) {
        let slow = expectation.deviations(even, &self.slow);
        let fast = expectation.deviations(even, &self.fast);
        let deviations = if slow * fast <= 0.0 { 0.0 } else { slow.abs().min(fast.abs()) };
        let (mut expected, mut scale) = (expectation.middle, expectation.scale(&self.slow));
        let mut exact = None;
        if let Some(shift) = self.shift {
            let (root, variance) = (expectation.middle.max(0.0), self.slow.variance);
            expected = (root * root + variance - shift).max(0.0);
            scale *= 2.0 * root;
            if self.values == Values::Counts {
                scale = scale.max(expected.sqrt());
                if expected < SPARSE_MEAN {
                    let variance = 4.0 * root * root * variance + 2.0 * variance * variance;
                    exact = Some(sparse::bits(value, expected, variance, value >= expected));
                }
            }
        }
        let depth = match exact {
            _ if self.seen < SILENT_TICKS => 0.0,
            Some(bits) => tail::depth_of_bits(bits),
            None => tail::depth(deviations),
        };
        let side = if value < expected { Side::Below } else { Side::Above };
        (Surprise { bits: self.tail.bits(depth), expected, scale, side }, depth)
    }

    /// So many ticks have no value: nothing is learnt from them, and less is known of what comes after.
    pub fn skip(&mut self, ticks: u32) {
        let wider = 1.0 + SLOW * ticks.min(100) as f32;
        self.slow.variance *= wider;
        self.fast.variance *= wider;
        // After a gap, what was the level just before it is no longer one.
        if ticks > 20 {
            self.fast.mean = self.slow.mean;
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.profile.as_ref().map_or(0, |profile| size_of::<Profile>() + profile.heap_bytes())
    }

    /// A value on the scale on which its noise is even.
    fn evened(&self, value: f32) -> f32 {
        self.shift.map_or(value, |shift| (value.max(0.0) + shift).sqrt())
    }

    /// Finds out of the first ticks whether roots can be taken of numbers.
    fn find_shift(&mut self, value: f32) {
        if value < 0.0 && !self.has_negative {
            if self.shift.is_some() {
                // It is another kind of series than it seemed.
                let profile = self.profile.as_ref().map(|profile| Box::new(profile.emptied()));
                *self = Self { profile, ..Self::new(self.values, Season::None) };
                self.shift = None;
            }
            self.has_negative = true;
        }
        let is_time = self.seen == SILENT_TICKS && self.values == Values::Numbers && !self.has_negative;
        if is_time && self.slow.mean > 0.0 {
            let shift = OF_SIZE * self.slow.mean;
            self.shift = Some(shift);
            for level in [&mut self.slow, &mut self.fast] {
                let shifted = level.mean.max(0.0) + shift;
                *level = Level { mean: shifted.sqrt(), variance: level.variance / (4.0 * shifted) };
            }
        }
    }

    /// Nothing that is not a number may become a part of the state, nothing whose square is none, and no count below 0.
    const fn valid(&self, value: f32) -> f32 {
        let least = if matches!(self.values, Values::Counts) { 0.0 } else { -1e15 };
        if value.is_finite() { value.clamp(least, 1e15) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Noise that is the same each time: about normal, of mean 0 and variance 1.
    struct Noise(u64);

    impl Noise {
        fn unit(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1_u64 << 24) as f32
        }

        fn normal(&mut self) -> f32 {
            (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
        }

        /// About a Poisson count.
        fn count(&mut self, mean: f32) -> f32 {
            if mean > 20.0 {
                return (mean + mean.sqrt() * self.normal()).round().max(0.0);
            }
            let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
            while product > limit {
                product *= self.unit();
                count += 1.0;
            }
            count
        }
    }

    const MINUTE: i64 = 60;

    /// Feeds counts of a mean that depends on the time, and gives the bits of the last day's ticks.
    fn feed(detector: &mut Detector, days: i64, tick: i64, mean_at: impl Fn(i64) -> f32) -> Vec<f32> {
        let mut noise = Noise(days as u64);
        let ticks = days * 86_400 / tick;
        let mut bits = Vec::new();
        for number in 0..ticks {
            let at = number * tick;
            let surprise = detector.update(noise.count(mean_at(at)), at);
            if at >= (days - 1) * 86_400 {
                bits.push(surprise.bits);
            }
        }
        bits
    }

    fn highest(bits: &[f32]) -> f32 {
        bits.iter().copied().fold(0.0, f32::max)
    }

    #[test]
    fn nothing_is_said_of_the_first_ticks() {
        let mut detector = Detector::new(Values::Numbers, Season::None);
        for tick in 0..i64::from(SILENT_TICKS) {
            assert_eq!(detector.update(if tick == 5 { 1e6 } else { 1.0 }, tick).bits, 0.0);
        }
    }

    #[test]
    fn a_spike_and_a_silence_are_found_with_their_sides_and_what_was_expected() {
        for values in [Values::Counts, Values::Numbers] {
            let mut detector = Detector::new(values, Season::None);
            assert!(highest(&feed(&mut detector, 2, MINUTE, |_| 200.0)) < 14.0);
            for (value, side) in [(700.0, Side::Above), (0.0, Side::Below)] {
                let surprise = detector.clone().update(value, 2 * 86_400);
                assert!(surprise.bits > 20.0 && surprise.side == side, "{values:?} {value}: {surprise:?}");
                assert!((180.0..220.0).contains(&surprise.expected), "{surprise:?}");
                assert!((8.0..30.0).contains(&surprise.scale), "{surprise:?}");
            }
        }
    }

    #[test]
    fn what_comes_each_day_is_no_surprise_after_three() {
        let busy_at_nine = |at: i64| if at / 3_600 % 24 == 9 { 400.0 } else { 40.0 };
        for season in [Season::Day, Season::Week] {
            let mut detector = Detector::new(Values::Counts, season);
            assert!(
                highest(&feed(&mut detector, 2, 5 * MINUTE, busy_at_nine)) > 16.0,
                "it is on the second day"
            );
            let mut detector = Detector::new(Values::Counts, season);
            assert!(highest(&feed(&mut detector, 8, 5 * MINUTE, busy_at_nine)) < 16.0);
            let at_noon = 8 * 86_400 + 12 * 3_600;
            assert!(detector.update(400.0, at_noon).bits > 16.0, "at another hour it still is");
        }
    }

    #[test]
    fn a_quiet_weekend_is_no_surprise_after_three_weeks() {
        let mean = |at: i64| if at / 86_400 % 7 >= 5 { 100.0 } else { 1_000.0 };
        let mut detector = Detector::new(Values::Counts, Season::Week);
        let bits = feed(&mut detector, 34, 15 * MINUTE, mean);
        assert!(highest(&bits) < 16.0, "{}", highest(&bits));
        let mut without = Detector::new(Values::Counts, Season::None);
        feed(&mut without, 33, 15 * MINUTE, mean);
        assert!(without.update(100.0, 33 * 86_400).bits > 16.0);
    }

    #[test]
    fn small_counts_are_judged_exactly() {
        let mut detector = Detector::new(Values::Counts, Season::None);
        assert!(highest(&feed(&mut detector, 3, MINUTE, |_| 0.3)) < 16.0, "no small count is an alert");
        assert!(detector.clone().update(0.0, 0).bits < 1.0, "nor is none");
        assert!(detector.update(12.0, 0).bits > 16.0);
    }

    #[test]
    fn a_level_that_shifts_is_a_surprise_once() {
        let mut detector = Detector::new(Values::Counts, Season::None);
        feed(&mut detector, 1, MINUTE, |_| 100.0);
        let mut noise = Noise(9);
        let bits: Vec<f32> =
            (0..300).map(|tick| detector.update(noise.count(250.0), 86_400 + tick * 60).bits).collect();
        assert!(bits[0] > 16.0);
        assert!(highest(&bits[60..]) < 8.0, "after an hour it is the level: {}", highest(&bits[60..]));
        assert!((225.0..275.0).contains(&detector.update(250.0, 0).expected));
    }

    #[test]
    fn going_back_to_normal_is_no_surprise() {
        let mut detector = Detector::new(Values::Counts, Season::None);
        feed(&mut detector, 1, MINUTE, |_| 100.0);
        let mut noise = Noise(9);
        for tick in 0..15 {
            detector.update(noise.count(400.0), 86_400 + tick * 60);
        }
        let after: Vec<f32> =
            (0..20).map(|tick| detector.update(noise.count(100.0), 90_000 + tick * 60).bits).collect();
        assert!(highest(&after) < 8.0, "{after:?}");
    }

    #[test]
    fn a_gap_is_no_zero_and_makes_less_certain() {
        let mut detector = Detector::new(Values::Counts, Season::None);
        feed(&mut detector, 1, MINUTE, |_| 100.0);
        let mut gone = detector.clone();
        gone.skip(500);
        let (before, after) = (detector.update(170.0, 86_400), gone.update(170.0, 120_000));
        assert_eq!(before.expected.round(), after.expected.round());
        assert!(after.bits < before.bits && after.scale > before.scale, "{before:?} {after:?}");
    }

    #[test]
    fn noise_at_night_is_less_than_noise_by_day() {
        let mean = |at: i64| if (8..20).contains(&(at / 3_600 % 24)) { 5_000.0 } else { 200.0 };
        for values in [Values::Counts, Values::Numbers] {
            let mut detector = Detector::new(values, Season::Day);
            let bits = feed(&mut detector, 10, 5 * MINUTE, mean);
            assert!(highest(&bits) < 16.0, "{values:?} {}", highest(&bits));
            let night = detector.clone().update(500.0, 10 * 86_400 + 3 * 3_600);
            assert!(night.bits > 16.0, "{values:?}: three hundred more than 200 at night: {night:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_state_stays_finite(
            values in prop::collection::vec(prop_oneof![
                any::<f32>(), Just(0.0), Just(1e30), Just(-1e30), Just(f32::NAN), 0.0_f32..10.0,
            ], 1..300),
            counts: bool, start in any::<i32>(), tick in 1_i64..100_000, gap in 0_u32..10_000,
        ) {
            let kind = if counts { Values::Counts } else { Values::Numbers };
            let mut detector = Detector::new(kind, Season::Week);
            for (number, value) in values.iter().enumerate() {
                let surprise = detector.update(*value, i64::from(start) + number as i64 * tick);
                prop_assert!(surprise.bits.is_finite() && surprise.bits >= 0.0, "{:?}", surprise);
                prop_assert!(surprise.expected.is_finite() && surprise.scale.is_finite(), "{:?}", surprise);
                if number % 50 == 0 {
                    detector.skip(gap);
                }
            }
        }

        #[test]
        fn the_further_off_the_more_surprising(seed: u64, counts: bool, mean in 1.0_f32..500.0) {
            let kind = if counts { Values::Counts } else { Values::Numbers };
            let mut detector = Detector::new(kind, Season::Day);
            let mut noise = Noise(seed);
            for tick in 0..500 {
                detector.update(noise.count(mean), tick * 60);
            }
            let mut last = 0.0;
            for step in 1..20_u8 {
                let bits = detector.clone().update(mean * 2.0 + f32::from(step) * mean, 30_000).bits;
                prop_assert!(bits >= last, "{} after {}", bits, last);
                last = bits;
            }
        }
    }
}
