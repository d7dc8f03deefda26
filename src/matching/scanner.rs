//! One event against all detections.
//!
//! What an event's texts and small values satisfy is a short list of numbers; which detections that decides, and what
//! is left to be asked of the event itself, is remembered by that list.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::cache::{Cache, EMPTY, Reading, Target};
use super::program::Node;
use super::small::{NOT_REMEMBERED, SMALL_FIELDS, Small};
use super::text::ANY_FIELD;
use super::{Matcher, is_target_again, keywords_look_at, path_in_target, same};
use crate::event::{Event, FieldId, Value, field};

/// The request target and its parts, which are read together.
const TARGET_FIELDS: [FieldId; 4] =
    [field::URL_ORIGINAL, field::URL_NORMALIZED, field::URL_PATH, field::URL_QUERY];

/// Signatures that are remembered. Ordinary traffic has some hundreds.
const MAX_SIGNATURES: usize = 8192;

/// A longer signature is not remembered: a list with very many odd values.
const MAX_SIGNATURE: usize = 32;

/// All that an event's values satisfy: the number of the combination of its small values, and those of the sets of tests
/// that its texts satisfy.
type Signature = SmallVec<[u32; 8]>;

/// One worker's scratch space for matching.
#[derive(Default)]
pub struct Scanner {
    small: Small,
    cache: Cache,
    signature: Signature,
    outcomes: HashMap<Signature, Outcome, foldhash::fast::RandomState>,
    marks: Marks,
}

/// What a signature decides.
#[derive(Default)]
struct Outcome {
    /// Rules whose detections match.
    matched: Box<[u32]>,
    /// Rules, and what must hold of the event itself for their detections to match.
    open: Box<[(u32, Node)]>,
}

impl Scanner {
    /// Scratch space. It must be used with one matcher only.
    pub fn new(_: &Matcher) -> Self {
        Self::default()
    }

    /// Calls `matched` with the number of each rule whose detection the event matches, each once.
    pub fn scan(&mut self, matcher: &Matcher, event: &Event<'_>, mut matched: impl FnMut(usize)) {
        if self.small.is_full() || self.cache.is_full() || self.outcomes.len() > MAX_SIGNATURES {
            self.small.clear();
            self.cache.clear();
            self.outcomes.clear();
        }
        self.signature.clear();
        let combination = self.small.decide(matcher, event);
        self.signature.push(combination);
        self.read_texts(matcher, event);
        let mut tell = |outcome: &Outcome| {
            outcome.matched.iter().for_each(|rule| matched(*rule as usize));
            for (rule, node) in &outcome.open {
                // What is left has no tests of texts.
                if node.holds(event, &|_| false) {
                    matched(*rule as usize);
                }
            }
        };
        if let Some(outcome) = self.outcomes.get(self.signature.as_slice()) {
            return tell(outcome);
        }
        let outcome = self.work_out(matcher, event, combination);
        tell(&outcome);
        if combination != NOT_REMEMBERED && self.signature.len() <= MAX_SIGNATURE {
            self.outcomes.insert(self.signature.clone(), outcome);
        }
    }

    fn work_out(&mut self, matcher: &Matcher, event: &Event<'_>, combination: u32) -> Outcome {
        let decided = self.small.decided(combination);
        let marks = &mut self.marks;
        marks.next_event(matcher);
        decided.tests.iter().for_each(|test| marks.found(matcher, &decided.is_open, *test));
        for set in &self.signature[1..] {
            self.cache.tests(*set).iter().for_each(|test| marks.found(matcher, &decided.is_open, *test));
        }
        let mut matched: Vec<u32> =
            decided.matched.iter().map(|number| matcher.detections[*number as usize].rule as u32).collect();
        let mut open = Vec::new();
        let marked = |test: u32| Some(marks.is_found(test));
        let is_given = |id: FieldId| SMALL_FIELDS.contains(&id);
        for number in marks.candidates.iter().chain(&decided.open) {
            let detection = &matcher.detections[*number as usize];
            match detection.program.node.decided(event, &marked, &is_given) {
                Some(true) => matched.push(detection.rule as u32),
                Some(false) => {}
                None => {
                    open.push((detection.rule as u32, detection.program.node.rest(event, &marked, &is_given)))
                }
            }
        }
        matched.sort_unstable();
        open.sort_unstable_by_key(|(rule, _)| *rule);
        Outcome { matched: matched.into(), open: open.into() }
    }

    /// Reads the texts of an event and adds the sets of tests that they satisfy to the signature.
    fn read_texts(&mut self, matcher: &Matcher, event: &Event<'_>) {
        let is_target_read = self.read_target(matcher, event);
        for (id, value) in event.fields() {
            let is_read = SMALL_FIELDS.contains(&id)
                || (is_target_read && (TARGET_FIELDS.contains(&id) || is_target_again(event, id)));
            if is_read {
                continue;
            }
            let tested = matcher.tested.get(id.index()).copied().unwrap_or(false);
            let keywords = matcher.has_keywords && keywords_look_at(event, id);
            if tested || keywords {
                self.read(matcher, value, if tested { id } else { ANY_FIELD }, keywords);
            }
        }
        if matcher.has_keywords {
            for value in &event.unnamed {
                self.read(matcher, value, ANY_FIELD, true);
            }
        }
    }

    /// Reads the request target together with its path and query, which are parts of it in access logs; `false` when
    /// they are not.
    fn read_target(&mut self, matcher: &Matcher, event: &Event<'_>) -> bool {
        let Some((target, path_end)) = path_in_target(event) else { return false };
        let normalized = event.text(field::URL_NORMALIZED);
        let is_target = |text: Option<&str>| text.is_some_and(|text| same(text, target));
        let is_normal = is_target(normalized);
        let is_full = is_target(event.text(field::URL_FULL));
        let reading = Reading {
            field: field::URL_ORIGINAL,
            keywords: matcher.has_keywords && keywords_look_at(event, field::URL_ORIGINAL),
            target: Some(Target { is_normal, is_full }),
        };
        let texts = &matcher.texts;
        let set =
            self.cache.find(target, reading, |target, hits| texts.find_in_target(target, path_end, hits));
        self.found(set);
        if !is_normal && let Some(normalized) = normalized {
            let keywords = matcher.has_keywords && keywords_look_at(event, field::URL_NORMALIZED);
            self.read_text(matcher, normalized, field::URL_NORMALIZED, keywords);
        }
        true
    }

    fn read(&mut self, matcher: &Matcher, value: &Value<'_>, field: FieldId, keywords: bool) {
        match value {
            Value::Missing | Value::Null => {}
            Value::Text(text) => self.read_text(matcher, text, field, keywords),
            Value::List(values) => {
                for value in values {
                    self.read(matcher, value, field, keywords);
                }
            }
            Value::Bool(_) => {
                self.read_text(matcher, &value.to_text().unwrap_or_default(), field, keywords);
            }
            Value::Int(_) | Value::Float(_) => {
                if field != ANY_FIELD || matcher.has_numeric_keywords {
                    self.read_text(matcher, &value.to_text().unwrap_or_default(), field, keywords);
                }
            }
        }
    }

    fn read_text(&mut self, matcher: &Matcher, text: &str, field: FieldId, keywords: bool) {
        let reading = Reading { field, keywords, target: None };
        let set = self.cache.find(text, reading, |text, hits| matcher.texts.find(text, hits));
        self.found(set);
    }

    fn found(&mut self, set: u32) {
        if set != EMPTY {
            self.signature.push(set);
        }
    }
}

/// Which tests and detections the event at hand has to do with.
#[derive(Default)]
struct Marks {
    /// The event in which a test was last found, by number of the test.
    found_in: Vec<u32>,
    /// The event for which a detection was last looked at.
    looked_at_in: Vec<u32>,
    /// Detections to be evaluated.
    candidates: Vec<u32>,
    /// Number of the event.
    event: u32,
}

impl Marks {
    fn next_event(&mut self, matcher: &Matcher) {
        self.candidates.clear();
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.found_in.fill(0);
            self.looked_at_in.fill(0);
            self.event = 1;
        }
        self.found_in.resize(matcher.fields.len(), 0);
        self.looked_at_in.resize(matcher.detections.len(), 0);
    }

    fn is_found(&self, test: u32) -> bool {
        self.found_in[test as usize] == self.event
    }

    fn found(&mut self, matcher: &Matcher, is_open: &[bool], test: u32) {
        let found_in = &mut self.found_in[test as usize];
        if *found_in == self.event {
            return;
        }
        *found_in = self.event;
        for &detection in matcher.triggers.of(test) {
            let looked_at_in = &mut self.looked_at_in[detection as usize];
            if *looked_at_in != self.event && is_open[detection as usize] {
                *looked_at_in = self.event;
                self.candidates.push(detection);
            }
        }
    }
}
