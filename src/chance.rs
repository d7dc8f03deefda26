//! Numbers that nobody outside can know or foresee.
//!
//! Enough for secrets that live as long as the process, and for names that must differ from one process to the next; not
//! for keys that protect something at rest.

use std::hash::{BuildHasher, RandomState};

/// A number out of the system's randomness, from which the standard library seeds its maps.
pub fn number() -> u64 {
    // Seeds of one thread differ by a count; the keyed hash of it tells nothing of the others.
    RandomState::new().hash_one(0)
}

/// Sixteen such bytes.
pub fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number().to_ne_bytes());
    bytes[8..].copy_from_slice(&number().to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_the_same() {
        let numbers: std::collections::HashSet<u64> = (0..1_000).map(|_| super::number()).collect();
        assert_eq!(numbers.len(), 1_000);
        let bytes = super::bytes();
        assert_ne!(bytes[..8], bytes[8..]);
    }
}
