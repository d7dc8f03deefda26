//! How many distinct values there are in a tick, in 256 bytes whatever they are: HyperLogLog, after P. Flajolet et al.,
//! with counting of the empty places where values are few. The error is about 6.5 percent, and less below 500 values.

use serde::{Deserialize, Serialize};

const PLACES: usize = 256;
/// The constant of the paper for so many places.
const ALPHA: f64 = 0.7213 / (1.0 + 1.079 / PLACES as f64);

/// A sketch of a set of keyed hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch(Box<[u8]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(vec![0; PLACES].into())
    }
}

impl Sketch {
    /// Takes in the hash of a value.
    pub fn add(&mut self, hash: u64) {
        let place = (hash >> 56) as usize;
        let rank = ((hash << 8) | 0xff).leading_zeros() as u8 + 1;
        if let Some(highest) = self.0.get_mut(place) {
            *highest = rank.max(*highest);
        }
    }

    /// How many distinct values were taken in, about.
    pub fn count(&self) -> f64 {
        let places = PLACES as f64;
        let empty = self.0.iter().filter(|rank| **rank == 0).count() as f64;
        let sum: f64 = self.0.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
        let estimate = ALPHA * places * places / sum;
        if estimate <= 2.5 * places && empty > 0.0 {
            (places * (places / empty).ln()).round()
        } else {
            estimate.round()
        }
    }

    /// Bytes on the heap.
    pub const fn heap_bytes(&self) -> usize {
        PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_as_near_as_stated() {
        for (values, error) in
            [(0_u64, 0.0), (1, 0.0), (5, 0.0), (60, 0.1), (400, 0.15), (5_000, 0.2), (300_000, 0.2)]
        {
            let mut sketch = Sketch::default();
            for _ in 0..2 {
                (0..values).for_each(|value| sketch.add(siphash(value)));
            }
            let (found, values) = (sketch.count(), values as f64);
            assert!((found - values).abs() <= error * values, "{found}, not {values}");
        }
    }

    fn siphash(value: u64) -> u64 {
        use std::hash::Hasher;
        let mut hasher = siphasher::sip128::SipHasher13::new_with_key(&[7; 16]);
        hasher.write_u64(value);
        hasher.finish()
    }
}
