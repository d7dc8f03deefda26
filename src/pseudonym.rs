//! Names in place of people: keyed pseudonyms.
//!
//! A pseudonym is the keyed BLAKE3 hash of an identifier, cut to 128 bits. The same identifier has the same pseudonym
//! for as long as the key is the same, so events can be counted and joined by it. Without the key nobody can go back,
//! not even by trying every telephone number there is; with key and number anybody can go forth, and find what is on
//! record about a person.
//!
//! Each kind of identifier is hashed under a key of its own, derived from the secret. So nothing shows that the name
//! of a group and the text of a message are the same, while a number is one person wherever it stands.

use std::borrow::Cow;
use std::fmt;

/// Longest form of a pseudonym: two characters of kind and key, `_`, and 128 bits of base 32.
const LENGTH: usize = 3 + 26;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What an identifier identifies. Equal texts of different kinds have different pseudonyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody: a telephone number, of a user or of the business, or a business-scoped user id.
    Person,
    /// A thousand neighbouring telephone numbers: a number without its last three digits.
    Block,
    /// A message.
    Message,
    /// A call.
    Call,
    /// A conversation, as it is billed.
    Conversation,
    /// A group.
    Group,
    /// A name that somebody bears or wants to bear, and whatever else is too odd to be kept as it is.
    Name,
    /// A text that was sent.
    Text,
    /// A file that was sent.
    Media,
    /// What the business attached to a message of its own.
    Tracker,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Person,
        Self::Block,
        Self::Message,
        Self::Call,
        Self::Conversation,
        Self::Group,
        Self::Name,
        Self::Text,
        Self::Media,
        Self::Tracker,
    ];

    /// The letter with which pseudonyms of the kind begin.
    pub const fn letter(self) -> char {
        match self {
            Self::Person => 'u',
            Self::Block => 'b',
            Self::Message => 'm',
            Self::Call => 'c',
            Self::Conversation => 'v',
            Self::Group => 'g',
            Self::Name => 'n',
            Self::Text => 't',
            Self::Media => 'f',
            Self::Tracker => 'd',
        }
    }

    /// What keys of the kind are derived for. To change one is to lose sight of everybody.
    const fn context(self) -> &'static str {
        match self {
            Self::Person => "watchbell 2026-11 pseudonym of a person",
            Self::Block => "watchbell 2026-11 pseudonym of a block of numbers",
            Self::Message => "watchbell 2026-11 pseudonym of a message",
            Self::Call => "watchbell 2026-11 pseudonym of a call",
            Self::Conversation => "watchbell 2026-11 pseudonym of a conversation",
            Self::Group => "watchbell 2026-11 pseudonym of a group",
            Self::Name => "watchbell 2026-11 pseudonym of a name",
            Self::Text => "watchbell 2026-11 pseudonym of a text",
            Self::Media => "watchbell 2026-11 pseudonym of media",
            Self::Tracker => "watchbell 2026-11 pseudonym of a tracker",
        }
    }
}

/// A secret under which pseudonyms are made, and the character by which they tell that it was this one.
#[derive(Clone)]
pub struct Key {
    id: char,
    /// By [`Kind`].
    keys: [[u8; 32]; Kind::ALL.len()],
}

impl Key {
    /// A key with the id `id`, one of `0` to `9` and `a` to `z`.
    pub fn new(id: char, secret: &[u8; 32]) -> Result<Self, KeyError> {
        if !(id.is_ascii_digit() || id.is_ascii_lowercase()) {
            return Err(KeyError::BadId(id));
        }
        Ok(Self { id, keys: Kind::ALL.map(|kind| blake3::derive_key(kind.context(), secret)) })
    }

    fn write(&self, kind: Kind, text: &str, to: &mut String) {
        let text = match kind {
            Kind::Person | Kind::Block => person(text),
            _ => Cow::Borrowed(text),
        };
        let hash = blake3::keyed_hash(&self.keys[kind as usize], text.as_bytes());
        let mut bits = hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        let mut digits = [0; 26];
        for digit in &mut digits {
            *digit = ALPHABET[(bits >> 123) as usize];
            bits <<= 5;
        }
        to.reserve(LENGTH);
        to.extend([kind.letter(), self.id, '_']);
        to.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id is not one of the characters that it may be.
    #[error("the id of a key is a digit or a small letter, not {0:?}")]
    BadId(char),
    /// Two keys have the same id, so a pseudonym would not tell which one made it.
    #[error("two keys have the id {0:?}")]
    SameId(char),
}

/// The secret under which it is told what has been seen before.
///
/// It is not a key of pseudonyms, because it has to stay when those change: what comes again after a change of keys
/// still comes again.
#[derive(Clone)]
pub struct DedupeKey([u8; 32]);

impl DedupeKey {
    /// From a secret, which may be the one that a key of pseudonyms began with.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("watchbell 2026-11 what has been seen before", secret))
    }

    /// 64 bits for `bytes`. Two different items of a million have the same with a probability of 1 in 37 million.
    pub fn of(&self, bytes: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.0, bytes);
        hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DedupeKey")
    }
}

/// Makes pseudonyms under the current key, and knows the ones before it.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    current: Key,
    older: Vec<Key>,
}

impl Pseudonyms {
    /// Under one key.
    pub const fn new(key: Key) -> Self {
        Self { current: key, older: Vec::new() }
    }

    /// With keys that were current once, the latest first.
    pub fn with_older(current: Key, older: Vec<Key>) -> Result<Self, KeyError> {
        let ids: Vec<char> = std::iter::once(&current).chain(&older).map(|key| key.id).collect();
        match ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)) {
            Some((_, id)) => Err(KeyError::SameId(*id)),
            None => Ok(Self { current, older }),
        }
    }

    /// The pseudonym of `text`, 29 characters such as `u1_mzxw6...`: the kind's letter, the key's id, `_`, the hash.
    ///
    /// Of a [`Kind::Person`] or [`Kind::Block`] the number counts, however it is written: `whatsapp:+1 650-555-1234`
    /// and `16505551234` are one. Anything else counts as it is.
    pub fn of(&self, kind: Kind, text: &str) -> String {
        let mut pseudonym = String::with_capacity(LENGTH);
        self.write(kind, text, &mut pseudonym);
        pseudonym
    }

    /// Appends the pseudonym of `text` to `to`.
    pub fn write(&self, kind: Kind, text: &str, to: &mut String) {
        self.current.write(kind, text, to);
    }

    /// Every pseudonym that `text` may have on record: the current one, then the ones before it.
    pub fn candidates(&self, kind: Kind, text: &str) -> Vec<String> {
        std::iter::once(&self.current)
            .chain(&self.older)
            .map(|key| {
                let mut pseudonym = String::with_capacity(LENGTH);
                key.write(kind, text, &mut pseudonym);
                pseudonym
            })
            .collect()
    }
}

/// The digits of a telephone number, however it is written; `None` if the text is something else.
pub fn digits(text: &str) -> Option<Cow<'_, str>> {
    let text = text.strip_prefix("whatsapp:").unwrap_or(text);
    if text.is_empty() || text.chars().any(|c| c.is_alphanumeric() && !c.is_ascii_digit()) {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(text));
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { None } else { Some(Cow::Owned(digits)) }
}

/// A person's identifier in the one form that counts.
fn person(text: &str) -> Cow<'_, str> {
    digits(text).unwrap_or_else(|| Cow::Borrowed(text.trim()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(id: char, byte: u8) -> Key {
        Key::new(id, &[byte; 32]).unwrap()
    }

    #[test]
    fn a_number_is_one_person_however_it_is_written() {
        let pseudonyms = Pseudonyms::new(key('1', 7));
        let person = pseudonyms.of(Kind::Person, "16505551234");
        for same in [
            "+16505551234",
            "+1 650-555-1234",
            "whatsapp:+16505551234",
            "+1 (650) 555.1234",
            "\u{202a}+1\u{a0}650\u{2011}555\u{2011}1234\u{202c}",
        ] {
            assert_eq!(pseudonyms.of(Kind::Person, same), person, "{same:?}");
        }
        for other in ["16505551235", "US.16505551234", "US.ENT.16505551234", "", "+", "whatsapp:", "١٦٥"] {
            assert_ne!(pseudonyms.of(Kind::Person, other), person, "{other:?}");
            assert_eq!(digits(other).is_some(), other == "16505551235", "{other:?}");
        }
    }

    #[test]
    fn a_pseudonym_is_stable_and_tells_kind_and_key() {
        // Written down, because a change would part everybody from their history.
        let pseudonyms = Pseudonyms::new(key('1', 7));
        assert_eq!(pseudonyms.of(Kind::Person, "16505551234"), "u1_qoaujo3meboegqbgmkzy6autyq");
        assert_eq!(pseudonyms.of(Kind::Message, "wamid.A"), "m1_jlwippxczamuvh3poeudw3k56e");
        assert_eq!(DedupeKey::new(&[7; 32]).of(b"a"), 6_674_511_514_016_543_752);
    }

    #[test]
    fn equal_texts_of_different_kinds_or_keys_have_nothing_in_common() {
        let all: BTreeSet<String> = ['1', '2']
            .into_iter()
            .flat_map(|id| {
                let pseudonyms = Pseudonyms::new(key(id, id as u8));
                Kind::ALL.map(|kind| pseudonyms.of(kind, "16505551234")[3..].to_owned())
            })
            .collect();
        assert_eq!(all.len(), 2 * Kind::ALL.len());
        let letters: BTreeSet<char> = Kind::ALL.map(Kind::letter).into();
        assert_eq!(letters.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at), "the order of the keys");
    }

    #[test]
    fn what_older_keys_made_is_found_again() {
        let before = Pseudonyms::new(key('1', 1)).of(Kind::Person, "+49 170 1234567");
        let rotated = Pseudonyms::with_older(key('2', 2), vec![key('1', 1)]).unwrap();
        let candidates = rotated.candidates(Kind::Person, "491701234567");
        assert_eq!(candidates, [rotated.of(Kind::Person, "491701234567"), before]);
        assert!(candidates[0].starts_with("u2_") && candidates[1].starts_with("u1_"), "{candidates:?}");
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_refused_and_none_is_shown() {
        for bad in ['A', '_', 'ß', '"'] {
            assert_eq!(Key::new(bad, &[1; 32]).unwrap_err(), KeyError::BadId(bad));
        }
        let same = Pseudonyms::with_older(key('1', 1), vec![key('2', 2), key('1', 3)]);
        assert_eq!(same.unwrap_err(), KeyError::SameId('1'));
        assert_eq!(
            format!("{:?}", Pseudonyms::new(key('1', 1))),
            "Pseudonyms { current: Key(1), older: [] }"
        );
        assert_eq!(format!("{:?}", DedupeKey::new(&[1; 32])), "DedupeKey");
    }
}
