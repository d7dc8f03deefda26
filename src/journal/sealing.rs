//! What is on disk can be read with the key alone, and cannot be changed or put in another's place unnoticed.
//!
//! ChaCha20-Poly1305, under a key for each sealing made of the journal's key and 24 random bytes: nothing has to be
//! counted or remembered for no key and nonce to be used twice, after a crash, a copy or a restored snapshot either.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::Key;

/// The first byte of what is sealed.
const VERSION: u8 = 1;
const SALT_BYTES: usize = 24;
/// Version, salt.
const HEADER_BYTES: usize = 1 + SALT_BYTES;
/// What sealing adds.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + 16;

/// What is sealed, and of which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The block of this number.
    Block(u64),
    /// The alert of this id.
    Alert(&'a str),
    /// The dead letter of this id.
    DeadLetter(u64),
    /// The part of the memory with this number.
    Memory(u64),
}

/// It was not sealed with this key and for this place, or not all of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not decrypt")]
pub struct Unsealable;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Seals and unseals.
#[derive(Clone)]
pub struct Sealer {
    key: [u8; 32],
    key_id: [u8; 8],
}

/// Random bytes that nobody can know.
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

impl Sealer {
    /// For what this key seals.
    pub fn new(key: &Key) -> Self {
        Self { key: key.derive("sealing"), key_id: key.id() }
    }

    /// Seals a text for a place.
    pub fn seal(&self, place: Place<'_>, text: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let salt: [u8; SALT_BYTES] = random().ok_or(NoRandomness)?;
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(text);
        let tag = self
            .aead(&salt)
            .and_then(|key| {
                let text = &mut sealed[HEADER_BYTES..];
                key.seal_in_place_separate_tag(nonce(), Aad::from(self.associated(place)), text).ok()
            })
            // Only texts of more than 256 GiB are refused.
            .ok_or(NoRandomness)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// The text that was sealed for this place.
    pub fn unseal(&self, place: Place<'_>, mut sealed: Vec<u8>) -> Result<Vec<u8>, Unsealable> {
        let (header, text) = sealed.split_at_mut_checked(HEADER_BYTES).ok_or(Unsealable)?;
        let salt = header.strip_prefix(&[VERSION]).ok_or(Unsealable)?;
        let key = self.aead(salt).ok_or(Unsealable)?;
        let opened = key.open_in_place(nonce(), Aad::from(self.associated(place)), text);
        let length = opened.map_err(|_| Unsealable)?.len();
        sealed.truncate(HEADER_BYTES + length);
        sealed.drain(..HEADER_BYTES);
        Ok(sealed)
    }

    fn aead(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = blake3::keyed_hash(&self.key, salt);
        UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes()).ok().map(LessSafeKey::new)
    }

    fn associated(&self, place: Place<'_>) -> Vec<u8> {
        let mut associated = self.key_id.to_vec();
        let (kind, number) = match place {
            Place::Block(number) => (b'b', number),
            Place::Alert(_) => (b'a', 0),
            Place::DeadLetter(number) => (b'd', number),
            Place::Memory(number) => (b'm', number),
        };
        associated.push(kind);
        match place {
            Place::Alert(id) => associated.extend_from_slice(id.as_bytes()),
            Place::Block(_) | Place::DeadLetter(_) | Place::Memory(_) => {
                associated.extend_from_slice(&number.to_le_bytes())
            }
        }
        associated
    }
}

/// Each key seals once, so the nonce may be the same.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: char) -> Sealer {
        Sealer::new(&Key::from_text(&format!("{byte}1{}", "00".repeat(31)), "test").unwrap())
    }

    #[test]
    fn only_the_same_key_and_place_unseal() {
        let (a, b) = (sealer('a'), sealer('b'));
        let text = b"POST /login from 192.0.2.1";
        let places =
            [Place::Block(7), Place::Block(8), Place::DeadLetter(7), Place::Alert("7"), Place::Alert("")];
        for place in places {
            let sealed = a.seal(place, text).unwrap();
            assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
            assert_eq!(a.unseal(place, sealed.clone()).unwrap(), text);
            assert_eq!(b.unseal(place, sealed.clone()), Err(Unsealable));
            for other in places.into_iter().filter(|other| *other != place) {
                assert_eq!(a.unseal(other, sealed.clone()), Err(Unsealable));
            }
        }
    }

    #[test]
    fn nothing_that_was_changed_or_cut_unseals() {
        let sealer = sealer('a');
        for text in [&b""[..], b"text"] {
            let sealed = sealer.seal(Place::Block(1), text).unwrap();
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(sealer.unseal(Place::Block(1), changed), Err(Unsealable));
                assert_eq!(sealer.unseal(Place::Block(1), sealed[..at].to_vec()), Err(Unsealable));
            }
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same() {
        let sealer = sealer('a');
        let seal = || sealer.seal(Place::Block(1), b"text").unwrap();
        assert_ne!(seal(), seal());
    }
}
