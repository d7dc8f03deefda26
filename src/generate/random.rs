//! Chance, the same on every machine.
//!
//! The same configuration must give the same bytes on any platform, so nothing here touches floating point:
//! logarithms and powers differ in their last digit from one system's library to the next. The stream is
//! ChaCha8, whose output is specified, and the one distribution that usually wants a logarithm is drawn by
//! comparing uniform numbers only.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded stream of choices.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..limit`, and 0 when the limit is 0.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(limit)) >> 32) as u32
    }

    /// The same for spans that do not fit 32 bits, such as milliseconds of a year.
    pub(super) fn below_wide(&mut self, limit: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True this many times in a thousand.
    pub(super) fn chance(&mut self, thousandths: u32) -> bool {
        self.below(1000) < thousandths
    }

    /// One of several; the choice must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choice: &[&'a T]) -> &'a T {
        choice[self.below(choice.len() as u32) as usize]
    }

    /// An exponentially distributed number: what lies between events that do not know of each other.
    ///
    /// Von Neumann's method: the length of a falling run of uniform numbers decides.
    pub(super) fn exponential(&mut self, mean: u32) -> u64 {
        let mut whole = 0_u64;
        loop {
            let first = self.0.next_u32();
            let mut previous = first;
            let mut run = 1_u32;
            loop {
                let next = self.0.next_u32();
                if next >= previous {
                    break;
                }
                previous = next;
                run += 1;
            }
            if run % 2 == 1 {
                let drawn = (u128::from(whole) << 32 | u128::from(first)) * u128::from(mean);
                return (drawn >> 32) as u64;
            }
            whole += 1;
        }
    }
}

/// Two numbers stirred into one that looks random. What must stay the same about a client (its browser, its
/// network) is stirred from its number instead of being remembered, so the population takes no memory.
pub(super) fn mix(left: u64, right: u64) -> u64 {
    let mut mixed = left ^ right.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_same_everywhere() {
        let mut random = Random::new(7);
        let drawn: Vec<u32> = (0..4).map(|_| random.below(1000)).collect();
        let mut again = Random::new(7);
        assert_eq!(drawn, (0..4).map(|_| again.below(1000)).collect::<Vec<_>>(), "one seed, one stream");
    }

    #[test]
    fn an_exponential_has_its_mean_and_its_tail() {
        let mut random = Random::new(1);
        let drawn: Vec<u64> = (0..100_000).map(|_| random.exponential(1000)).collect();
        let mean = drawn.iter().sum::<u64>() / drawn.len() as u64;
        assert!((980..=1020).contains(&mean), "the mean must be near 1000, not {mean}");
        let long = drawn.iter().filter(|value| **value > 3000).count();
        assert!((4500..=5500).contains(&long), "e^-3 of all draws exceed three means, not {long} of 100000");
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = Random::new(3);
        for _ in 0..1000 {
            assert!((5..=7).contains(&random.between(5, 7)));
            assert_eq!(random.below(0), 0);
        }
    }
}
