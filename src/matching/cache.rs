//! Which tests texts satisfy, remembered: sets of tests by text, each set once.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::text::{ANY_FIELD, Hit};
use crate::event::{FieldId, field};

/// As what a text is read: that decides which tests look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// As the value of this field; [`ANY_FIELD`] for a value without one.
    pub field: FieldId,
    /// Whether keywords look at it.
    pub keywords: bool,
    /// Read as a request target, whose path and query are read with it.
    pub target: Option<Target>,
}

/// What a request target is besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The normalised target is the same text.
    pub is_normal: bool,
    /// The full URL is the same text.
    pub is_full: bool,
}

impl Reading {
    fn looks_at(self, hit: &Hit) -> bool {
        match (hit.field, self.target) {
            (ANY_FIELD, _) => self.keywords || self.field == ANY_FIELD,
            (field::URL_ORIGINAL | field::URL_PATH | field::URL_QUERY, Some(_)) => true,
            (field::URL_NORMALIZED, Some(target)) => target.is_normal,
            (field::URL_FULL, Some(target)) => target.is_full,
            (field, None) => field == self.field,
            (_, Some(_)) => false,
        }
    }
}

/// The number of a set of tests.
pub(super) type SetNumber = u32;

/// The number of the set without tests.
pub(super) const EMPTY: SetNumber = 0;

/// What was found in texts seen lately. One a worker; the size is fixed.
///
/// A text gets a slot when it is seen for the second time in a row among those that share the slot: most targets with
/// a query are seen once, and would only cost the copying and push out what comes again.
pub(super) struct Cache {
    slots: Vec<Slot>,
    hasher: foldhash::fast::RandomState,
    hits: Vec<Hit>,
    tests: Vec<u32>,
    /// Numbers of sets, and the sets by number.
    numbers: HashMap<Box<[u32]>, SetNumber, foldhash::fast::RandomState>,
    sets: Vec<Box<[u32]>>,
}

#[derive(Clone, Default)]
struct Slot {
    /// Of the text in the slot; 0 when it is empty.
    hash: u64,
    /// Of the text that was last looked for here in vain.
    missed: u64,
    text: String,
    reading: Reading,
    set: SetNumber,
}

/// Slots of a [`Cache`]: about 200 bytes each for common values, so 3 MB a worker.
const CACHE_SLOTS: usize = 1 << 14;

/// A longer text is looked up each time: it is rare, and would push the cache's memory up.
const MAX_CACHED_LENGTH: usize = 512;

/// Sets that are kept. Ordinary traffic has some hundreds.
const MAX_SETS: usize = 8192;

impl Default for Cache {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); CACHE_SLOTS],
            hasher: foldhash::fast::RandomState::default(),
            hits: Vec::new(),
            tests: Vec::new(),
            numbers: HashMap::default(),
            sets: vec![Box::default()],
        }
    }
}

impl Cache {
    /// Whether it is time to forget everything: somebody is playing with texts.
    pub fn is_full(&self) -> bool {
        self.sets.len() > MAX_SETS
    }

    /// Forgets everything. Numbers get another meaning.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.numbers.clear();
        self.sets.truncate(1);
    }

    /// The tests in a set.
    pub fn tests(&self, set: SetNumber) -> &[u32] {
        &self.sets[set as usize]
    }

    /// The set of tests that look at a text read like this and that it satisfies; `find` finds those of any field.
    pub fn find(
        &mut self,
        text: &str,
        reading: Reading,
        find: impl FnOnce(&str, &mut Vec<Hit>),
    ) -> SetNumber {
        let hash = self.hasher.hash_one(text.as_bytes()) | 1;
        let place = (hash >> 1) as usize % CACHE_SLOTS;
        let slot = &self.slots[place];
        if slot.hash == hash && slot.reading == reading && slot.text == text {
            return slot.set;
        }
        self.hits.clear();
        find(text, &mut self.hits);
        let set = self.number_of_found(reading);
        let slot = &mut self.slots[place];
        if slot.missed == hash && text.len() <= MAX_CACHED_LENGTH {
            slot.hash = hash;
            slot.text.clear();
            slot.text.push_str(text);
            slot.reading = reading;
            slot.set = set;
        }
        slot.missed = hash;
        set
    }

    /// The number of the set of those tests that were found and look.
    fn number_of_found(&mut self, reading: Reading) -> SetNumber {
        self.tests.clear();
        self.tests.extend(self.hits.iter().filter(|hit| reading.looks_at(hit)).map(|hit| hit.test));
        if self.tests.is_empty() {
            return EMPTY;
        }
        self.tests.sort_unstable();
        self.tests.dedup();
        if let Some(number) = self.numbers.get(self.tests.as_slice()) {
            return *number;
        }
        let number = self.sets.len() as SetNumber;
        self.sets.push(self.tests.as_slice().into());
        self.numbers.insert(self.tests.as_slice().into(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::text::Builder;
    use crate::rules::pattern::Pattern;

    #[test]
    fn what_is_remembered_is_what_is_found() {
        let mut builder = Builder::default();
        let id = FieldId(3);
        builder.pattern(Hit { field: id, test: 7 }, &Pattern::parse("*evil*"), false);
        builder.pattern(Hit { field: ANY_FIELD, test: 9 }, &Pattern::parse("*evil*"), false);
        let index = builder.build();
        let mut cache = Cache::default();
        let mut found = |text: &str, field: FieldId, keywords: bool| {
            let set = cache.find(text, Reading { field, keywords, target: None }, |text, hits| {
                index.find(text, hits);
            });
            cache.tests(set).to_vec()
        };
        for _ in 0..3 {
            assert_eq!(found("an EVIL text", id, false), [7]);
            assert_eq!(found("an EVIL text", id, true), [7, 9]);
            assert_eq!(found("an EVIL text", FieldId(4), false), [] as [u32; 0]);
            assert_eq!(found("an EVIL text", ANY_FIELD, true), [9]);
            assert_eq!(found("a good text", id, true), [] as [u32; 0]);
            assert_eq!(found("", id, true), [] as [u32; 0]);
            assert_eq!(found(&"evil".repeat(1000), id, false), [7]);
        }
    }

    #[test]
    fn sets_have_a_bound() {
        let mut cache = Cache::default();
        for test in 0..MAX_SETS as u32 {
            assert!(!cache.is_full());
            let reading = Reading { field: FieldId(0), ..Reading::default() };
            let set = cache.find(&test.to_string(), reading, |_, hits| {
                hits.push(Hit { field: FieldId(0), test });
            });
            assert_eq!(cache.tests(set), [test]);
        }
        assert!(cache.is_full());
        cache.clear();
        assert!(!cache.is_full());
    }
}
