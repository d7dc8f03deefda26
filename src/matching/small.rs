//! Fields with few and short values: what they decide is remembered for all of them together. A handful of combinations
//! makes up almost all traffic.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::text::{ANY_FIELD, Hit};
use super::{Matcher, keywords_look_at};
use crate::event::{Event, FieldId, Value, field};

/// The fields.
pub(super) const SMALL_FIELDS: [FieldId; 8] = [
    field::REQUEST_METHOD,
    field::STATUS_CODE,
    field::HTTP_VERSION,
    field::URL_EXTENSION,
    field::EVENT_CATEGORY,
    field::EVENT_ACTION,
    field::EVENT_OUTCOME,
    field::AUTHENTICATION_FACTOR,
];

/// A combination of values of [`SMALL_FIELDS`].
type Combination = SmallVec<[u64; 20]>;

/// A longer text is not a small value.
const MAX_SMALL_TEXT: usize = 24;

/// Combinations that are remembered.
const MAX_COMBINATIONS: usize = 4096;

/// What a combination of small values decides.
#[derive(Default)]
pub(super) struct Decided {
    /// Detections that match.
    pub matched: Box<[u32]>,
    /// Detections without a trigger that other fields decide.
    pub open: Box<[u32]>,
    /// Tests that are satisfied and trigger a detection that other fields decide, or are needed to decide it.
    pub tests: Box<[u32]>,
    /// By number of the detection, whether other fields can still make it match.
    pub is_open: Box<[bool]>,
}

/// What combinations decide, remembered.
pub(super) struct Small {
    numbers: HashMap<Combination, u32, foldhash::fast::RandomState>,
    /// The first is that of the last combination that is not remembered.
    decided: Vec<Decided>,
    combination: Combination,
    hits: Vec<Hit>,
}

/// The number of whatever combination is not remembered.
pub(super) const NOT_REMEMBERED: u32 = 0;

impl Default for Small {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            decided: vec![Decided::default()],
            combination: Combination::new(),
            hits: Vec::new(),
        }
    }
}

impl Small {
    /// Whether it is time to forget everything: somebody is playing with methods.
    pub fn is_full(&self) -> bool {
        self.decided.len() > MAX_COMBINATIONS
    }

    /// Forgets everything. Numbers get another meaning.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.decided.truncate(1);
    }

    /// What a combination decides.
    pub fn decided(&self, number: u32) -> &Decided {
        &self.decided[number as usize]
    }

    /// The number of what the small fields of an event decide: that of an earlier event with the same values.
    pub fn decide(&mut self, matcher: &Matcher, event: &Event<'_>) -> u32 {
        self.combination.clear();
        self.combination.push(u64::from(event.class.bit()));
        let mut is_small = true;
        for (place, id) in SMALL_FIELDS.iter().enumerate() {
            is_small &= add_to_combination(&mut self.combination, place, event.get(*id));
        }
        if is_small && let Some(number) = self.numbers.get(self.combination.as_slice()) {
            return *number;
        }
        let decided = self.work_out(matcher, event);
        if !is_small {
            self.decided[NOT_REMEMBERED as usize] = decided;
            return NOT_REMEMBERED;
        }
        let number = self.decided.len() as u32;
        self.decided.push(decided);
        self.numbers.insert(self.combination.clone(), number);
        number
    }

    fn work_out(&mut self, matcher: &Matcher, event: &Event<'_>) -> Decided {
        let mut tests = Vec::new();
        let mut keyword_tests = Vec::new();
        for id in SMALL_FIELDS {
            let keywords = matcher.has_keywords && keywords_look_at(event, id);
            self.hits.clear();
            find_in_value(matcher, event.get(id), &mut self.hits);
            tests.extend(self.hits.iter().filter(|hit| hit.field == id).map(|hit| hit.test));
            let by_keyword = self.hits.iter().filter(|hit| keywords && hit.field == ANY_FIELD);
            keyword_tests.extend(by_keyword.map(|hit| hit.test));
        }
        let marked = |test: u32| {
            let is_small = SMALL_FIELDS.contains(&matcher.fields[test as usize]);
            if is_small { Some(tests.contains(&test)) } else { keyword_tests.contains(&test).then_some(true) }
        };
        let is_given = |id: FieldId| SMALL_FIELDS.contains(&id);
        let mut decided = (Vec::new(), vec![false; matcher.detections.len()]);
        for (number, detection) in matcher.detections.iter().enumerate() {
            if detection.classes & event.class.bit() == 0 {
                continue;
            }
            match detection.program.node.decided(event, &marked, &is_given) {
                Some(true) => decided.0.push(number as u32),
                Some(false) => {}
                None => decided.1[number] = true,
            }
        }
        let (matched, is_open) = decided;
        let open = matcher.always.iter().copied().filter(|number| is_open[*number as usize]).collect();
        tests.extend(keyword_tests);
        Decided { matched: matched.into(), open, tests: tests.into(), is_open: is_open.into() }
    }
}

fn find_in_value(matcher: &Matcher, value: &Value<'_>, hits: &mut Vec<Hit>) {
    match value {
        Value::List(values) => values.iter().for_each(|value| find_in_value(matcher, value, hits)),
        other => {
            if let Some(text) = other.to_text() {
                matcher.texts.find(&text, hits);
            }
        }
    }
}

/// Adds a value to a combination, so that no two different combinations look the same; `false` when it is not small.
fn add_to_combination(combination: &mut Combination, place: usize, value: &Value<'_>) -> bool {
    /// How the value is written, above the place and the length.
    const TEXT: u64 = 1 << 16;
    const INT: u64 = 2 << 16;
    const NULL: u64 = 3 << 16;
    let place = place as u64;
    match value {
        Value::Missing => {}
        Value::Null => combination.push(NULL | place),
        Value::Int(number) => {
            combination.push(INT | place);
            combination.push(*number as u64);
        }
        Value::Text(text) if text.len() <= MAX_SMALL_TEXT => {
            combination.push(TEXT | (text.len() as u64) << 8 | place);
            for piece in text.as_bytes().chunks(8) {
                combination.push(word_of(piece));
            }
        }
        _ => return false,
    }
    true
}

/// Up to eight bytes as a number; different for different bytes of the same length.
fn word_of(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok())
            .map_or(0, |four| u64::from(u32::from_le_bytes(four)))
    };
    match bytes.len() {
        0 => 0,
        // The first, the middle and the last are all there are.
        length @ 1..=3 => {
            u64::from(bytes[0]) | u64::from(bytes[length / 2]) << 8 | u64::from(bytes[length - 1]) << 16
        }
        length => four(0) | four(length - 4) << 32,
    }
}
