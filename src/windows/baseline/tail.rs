//! How surprising a deviation is, in bits, by a tail that is fitted as it goes.
//!
//! A normal tail would call a deviation of eight standard deviations impossible; in traffic it is Tuesday. So what is
//! looked at is not the deviation but its depth, which of normal noise is the root of its surprise in bits. The depth
//! that one tick in a hundred goes beyond is tracked, and beyond it the tail is taken for exponential, with a mean
//! that is tracked as well. The bits rank surprises, of one series and of several; they are no calibrated probability.

use serde::{Deserialize, Serialize};

/// One tick in a hundred is to be deeper than the quantile that is tracked.
const RARITY: f32 = 0.01;
/// Where the quantile starts: that of normal noise.
const FIRST_QUANTILE: f32 = 2.5;
/// The quantile grows no further, or the worst of series would never be surprising.
const MAX_QUANTILE: f32 = 4.0;
/// Where the mean excess starts, and how far it grows: without this bound a few attacks are the tail.
const MAX_EXCESS: f32 = 0.5;
/// As many excesses as the start counts for, and the most that are remembered.
const FIRST_WEIGHT: f32 = 20.0;
const MAX_WEIGHT: f32 = 200.0;
/// From here on the quantile moves at its slowest.
const SETTLED_AFTER: u32 = 297;

/// The tail of one series: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    quantile: f32,
    excess: f32,
    weight: f32,
}

impl Default for Tail {
    fn default() -> Self {
        Self { quantile: FIRST_QUANTILE, excess: MAX_EXCESS, weight: FIRST_WEIGHT }
    }
}

impl Tail {
    /// The surprise of a depth in bits: 0 for whatever is no deeper than a tick in a hundred.
    pub fn bits(&self, depth: f32) -> f32 {
        let beyond = depth - self.quantile;
        if beyond > 0.0 { (-RARITY.ln() + beyond / self.excess) * std::f32::consts::LOG2_E } else { 0.0 }
    }

    /// Takes in the depth of a tick, which is the `seen`-th from 0.
    pub fn learn(&mut self, depth: f32, seen: u32) {
        let beyond = depth - self.quantile;
        if beyond > 0.0 {
            self.weight = (self.weight + 1.0).min(MAX_WEIGHT);
            let excess = beyond.min(4.0 * self.excess);
            self.excess = (self.excess + (excess - self.excess) / self.weight).min(MAX_EXCESS);
        }
        let rate = if seen >= SETTLED_AFTER { 0.01 } else { (seen as f32 + 20.0).powf(-0.8).max(0.01) };
        let step = if beyond > 0.0 { 1.0 - RARITY } else { -RARITY };
        self.quantile = (self.quantile * (rate * step).exp()).min(MAX_QUANTILE);
    }
}

/// The root of the surprise, in bits, of a deviation of so many standard deviations either way, if noise were normal.
pub fn depth(deviations: f32) -> f32 {
    let bits = -ln_erfc(deviations.abs() * std::f32::consts::FRAC_1_SQRT_2) * std::f32::consts::LOG2_E;
    depth_of_bits(bits)
}

/// The depth of something that has this surprise in bits.
pub fn depth_of_bits(bits: f32) -> f32 {
    bits.max(0.0).sqrt()
}

/// The logarithm of the complementary error function, for `x >= 0`, to about a millionth: W. H. Press et al., Numerical
/// Recipes in C, 2nd edition, section 6.2, `erfcc`, without the exponential.
fn ln_erfc(x: f32) -> f32 {
    #[expect(clippy::excessive_precision, reason = "as they are printed")]
    const COEFFICIENTS: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    t.ln() - x * x + polynomial
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_depth_of_normal_noise_is_as_tables_have_it() {
        // Two-sided: 31.73 %, 4.55 %, 0.27 %, 5.733e-7, 1.524e-23.
        for (deviations, probability) in [
            (1.0, 0.317_310_5_f64),
            (2.0, 0.045_500_26),
            (3.0, 0.002_699_796),
            (5.0, 5.733_031e-7),
            (10.0, 1.523_971e-23),
        ] {
            let expected = (-probability.log2()).sqrt();
            let found = f64::from(depth(deviations));
            assert!((found - expected).abs() < 1e-4, "{deviations}: {found}, not {expected}");
        }
        assert!(depth(0.0) < 1e-3);
        assert!(depth(1e6).is_finite() && depth(1e6) > depth(1e5));
    }

    #[test]
    fn the_quantile_finds_one_tick_in_a_hundred() {
        let mut tail = Tail::default();
        let mut random = 1_u32;
        let (mut beyond, mut bits_of_few) = (0, 0);
        for seen in 0..100_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let depth = (-((random >> 8) as f32 + 0.5).ln() + 24.0 * std::f32::consts::LN_2) * 0.4;
            let bits = tail.bits(depth);
            tail.learn(depth, seen);
            beyond += u32::from(bits > 0.0 && seen >= 10_000);
            bits_of_few += u32::from(bits >= 16.0);
        }
        assert!((700..1_200).contains(&beyond), "{beyond} of 90,000 are beyond it");
        assert!(bits_of_few <= 6, "{bits_of_few} of 100,000 have 16 bits");
    }

    proptest! {
        #[test]
        fn bits_are_those_of_the_formula_in_double_precision(
            depths in prop::collection::vec(prop_oneof![9 => 0.0_f32..2.6, 1 => 0.0_f32..30.0], 1..800),
        ) {
            let mut tail = Tail::default();
            let (mut q, mut b, mut n) = (2.5_f64, 0.5_f64, 20.0_f64);
            for (i, depth) in depths.into_iter().enumerate() {
                let a = f64::from(depth);
                let is_near = (a - q).abs() < 1e-4;
                let mut expected = 0.0;
                let is_beyond = a > q;
                if is_beyond {
                    expected = (100_f64.ln() + (a - q) / b) / std::f64::consts::LN_2;
                    n = (n + 1.0).min(200.0);
                    b = (b + ((a - q).min(4.0 * b) - b) / n).min(0.5);
                }
                let rate = (i as f64 + 20.0).powf(-0.8).max(0.01);
                q = (q * (rate * (f64::from(u8::from(is_beyond)) - 0.01)).exp()).min(4.0);
                let bits = f64::from(tail.bits(depth));
                tail.learn(depth, i as u32);
                prop_assume!(!is_near);
                prop_assert!((bits - expected).abs() < 1e-2 * (1.0 + expected), "{}: {}, not {}", i, bits, expected);
            }
        }
    }
}
