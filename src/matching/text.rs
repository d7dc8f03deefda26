//! All patterns of all rules over all fields, in one automaton.
//!
//! Every text pattern gives one literal to the automaton: itself, or the longest literal piece of a pattern with
//! wildcards, or a literal that a regular expression cannot match without. A text is read once, whatever the
//! number of rules, and each literal found leads to the tests it may satisfy. Values repeat (user agents, referrers,
//! pages), so what was found in a text is remembered in a small cache, and most values cost one hash and one
//! comparison.
//!
//! Case: literals are in lower case, and the automaton takes ASCII letters of either case. A text with other
//! letters is put in lower case first. Where case counts, a found literal is checked again in the text itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::event::FieldId;
use crate::rules::pattern::{Part, Pattern};
use crate::rules::regex::LazyRegex;

/// A test that a text satisfies when it is the value of `field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The field the test is about; [`ANY_FIELD`] for keywords.
    pub field: FieldId,
    /// The test's number.
    pub test: u32,
}

/// Stands for every field, in keywords.
pub const ANY_FIELD: FieldId = FieldId(u16::MAX);

/// Above this much memory for a table of all transitions, the automaton is a compact one: two to three times
/// slower, a tenth of the size.
const MAX_TABLE_BYTES: usize = 64 << 20;

/// A literal shorter than this does not narrow a regular expression down enough to be worth a lookup.
const MIN_REGEX_LITERAL: usize = 3;

#[derive(Clone, Debug)]
enum Confirm {
    Anywhere,
    Start,
    End,
    Pattern { pattern: Pattern, cased: bool },
    Regex(LazyRegex),
}

#[derive(Clone, Debug)]
struct Use {
    hit: Hit,
    confirm: Confirm,
}

/// Collects the patterns of all rules; see [`TextIndex`].
#[derive(Default)]
pub struct Builder {
    literals: HashMap<String, usize>,
    uses: Vec<Vec<Use>>,
    whole: HashMap<Box<str>, Vec<Hit>>,
    loose: Vec<Use>,
}

impl Builder {
    /// Adds a pattern that the whole text must match.
    pub fn pattern(&mut self, hit: Hit, pattern: &Pattern, cased: bool) {
        let lower = pattern.to_lowercase();
        if cased {
            return self.confirmed(hit, lower.longest_literal(), Confirm::Pattern { pattern: pattern.clone(), cased });
        }
        match lower.parts() {
            [] => self.whole(hit, ""),
            [Part::Literal(text)] => self.whole(hit, text),
            [Part::Literal(text), Part::Any] => self.literal(text, Use { hit, confirm: Confirm::Start }),
            [Part::Any, Part::Literal(text)] => self.literal(text, Use { hit, confirm: Confirm::End }),
            [Part::Any, Part::Literal(text), Part::Any] => self.literal(text, Use { hit, confirm: Confirm::Anywhere }),
            _ => self.confirmed(hit, lower.longest_literal(), Confirm::Pattern { pattern: lower.clone(), cased }),
        }
    }

    /// Adds a regular expression that must be found in the text.
    pub fn regex(&mut self, hit: Hit, regex: &LazyRegex) {
        let literals = required_literals(regex.source());
        let confirm = Confirm::Regex(regex.clone());
        if literals.is_empty() {
            return self.loose.push(Use { hit, confirm });
        }
        for literal in literals {
            self.literal(&literal, Use { hit, confirm: confirm.clone() });
        }
    }

    fn whole(&mut self, hit: Hit, text: &str) {
        self.whole.entry(text.into()).or_default().push(hit);
    }

    fn confirmed(&mut self, hit: Hit, literal: Option<&str>, confirm: Confirm) {
        match literal {
            Some(literal) => self.literal(literal, Use { hit, confirm }),
            None => self.loose.push(Use { hit, confirm }),
        }
    }

    fn literal(&mut self, literal: &str, use_: Use) {
        let next = self.uses.len();
        let index = *self.literals.entry(literal.to_owned()).or_insert(next);
        if index == next {
            self.uses.push(Vec::new());
        }
        self.uses[index].push(use_);
    }

    /// Builds the automaton.
    pub fn build(self) -> TextIndex {
        let mut literals: Vec<(String, usize)> = self.literals.into_iter().collect();
        literals.sort_unstable_by_key(|(_, index)| *index);
        let literals: Vec<String> = literals.into_iter().map(|(literal, _)| literal).collect();
        let automaton = (!literals.is_empty()).then(|| automaton(&literals)).flatten();
        TextIndex { automaton, uses: self.uses, whole: self.whole, loose: self.loose }
    }
}

fn automaton(literals: &[String]) -> Option<AhoCorasick> {
    let bytes: usize = literals.iter().map(String::len).sum();
    // A state has a row of transitions by class of byte: 128 at most for these patterns, four bytes each.
    let kind = if bytes * 128 * 4 <= MAX_TABLE_BYTES { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(kind))
        .build(literals)
        .ok()
}

/// Literals, in lower case, of which every match of the regular expression contains one; none when there are no
/// such literals, or too many or too short ones.
pub fn required_literals(source: &str) -> Vec<String> {
    use regex_syntax::hir::literal::{ExtractKind, Extractor};
    let Ok(hir) = regex_syntax::parse(source) else { return Vec::new() };
    let mut best: Vec<String> = Vec::new();
    for kind in [ExtractKind::Prefix, ExtractKind::Suffix] {
        let sequence = Extractor::new().kind(kind.clone()).extract(&hir);
        let Some(found) = sequence.literals() else { continue };
        let mut literals: Vec<String> =
            found.iter().map(|literal| String::from_utf8_lossy(literal.as_bytes()).to_lowercase()).collect();
        literals.sort_unstable();
        literals.dedup();
        let shortest = literals.iter().map(String::len).min().unwrap_or(0);
        let best_shortest = best.iter().map(String::len).min().unwrap_or(0);
        if shortest >= MIN_REGEX_LITERAL && shortest > best_shortest {
            best = literals;
        }
    }
    best
}

/// Every pattern of every rule; answers which tests a text satisfies.
pub struct TextIndex {
    automaton: Option<AhoCorasick>,
    /// By literal.
    uses: Vec<Vec<Use>>,
    /// Texts that must be the whole value, in lower case.
    whole: HashMap<Box<str>, Vec<Hit>>,
    /// Patterns without a literal to look for; tried on every value.
    loose: Vec<Use>,
}

impl TextIndex {
    /// The number of literals in the automaton, and of patterns tried on every value.
    pub fn sizes(&self) -> (usize, usize) {
        (self.uses.len(), self.loose.len())
    }

    /// Bytes held by the automaton.
    pub fn memory_usage(&self) -> usize {
        self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage)
    }

    /// Whether any test is about this field.
    pub fn tests_field(&self, field: FieldId) -> bool {
        self.hits().any(|hit| hit.field == field)
    }

    /// All tests.
    fn hits(&self) -> impl Iterator<Item = Hit> {
        let used = self.uses.iter().flatten().map(|use_| use_.hit);
        used.chain(self.loose.iter().map(|use_| use_.hit)).chain(self.whole.values().flatten().copied())
    }

    /// Appends the tests that `text` satisfies, as the value of any field. A test may be appended twice.
    pub fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let haystack = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
        // Only patterns with wildcards, and equality, need ASCII letters in lower case too.
        let mut lower: Option<Cow<'_, str>> = None;
        let mut lowered = || -> Cow<'_, str> {
            lower
                .get_or_insert_with(|| match &haystack {
                    Cow::Borrowed(text) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                        Cow::Owned(text.to_ascii_lowercase())
                    }
                    Cow::Borrowed(text) => Cow::Borrowed(*text),
                    Cow::Owned(text) => Cow::Owned(text.clone()),
                })
                .clone()
        };
        if let Some(found) = self.whole.get(lowered().as_ref()) {
            hits.extend_from_slice(found);
        }
        let mut confirmed = |use_: &Use, start: usize, end: usize| match &use_.confirm {
            Confirm::Anywhere => true,
            Confirm::Start => start == 0,
            Confirm::End => end == haystack.len(),
            Confirm::Pattern { pattern, cased: true } => pattern.matches(text),
            Confirm::Pattern { pattern, cased: false } => pattern.matches(&lowered()),
            Confirm::Regex(regex) => regex.is_match(text),
        };
        if let Some(automaton) = &self.automaton {
            for found in automaton.find_overlapping_iter(haystack.as_ref()) {
                for use_ in &self.uses[found.pattern().as_usize()] {
                    if !hits.contains(&use_.hit) && confirmed(use_, found.start(), found.end()) {
                        hits.push(use_.hit);
                    }
                }
            }
        }
        for use_ in &self.loose {
            if confirmed(use_, 0, 0) {
                hits.push(use_.hit);
            }
        }
    }
}

/// What was found in texts seen lately. One a worker; the size is fixed, a newer text takes an older one's place.
pub struct Cache {
    slots: Vec<Slot>,
    hasher: foldhash::fast::RandomState,
    scratch: Vec<Hit>,
}

#[derive(Clone, Default)]
struct Slot {
    hash: u64,
    text: Box<str>,
    hits: Box<[Hit]>,
}

/// Slots of a [`Cache`]: about 100 bytes each for common values, so 1.6 MB a worker.
const CACHE_SLOTS: usize = 1 << 14;

/// A longer text is looked up each time: it is rare, and would push the cache's memory up.
const MAX_CACHED_LENGTH: usize = 1024;

impl Default for Cache {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); CACHE_SLOTS],
            hasher: foldhash::fast::RandomState::default(),
            scratch: Vec::new(),
        }
    }
}

impl Cache {
    /// The tests that `text` satisfies, as the value of any field.
    pub fn find(&mut self, index: &TextIndex, text: &str) -> &[Hit] {
        if text.len() > MAX_CACHED_LENGTH {
            self.scratch.clear();
            index.find(text, &mut self.scratch);
            return &self.scratch;
        }
        // Zero marks an empty slot.
        let hash = self.hasher.hash_one(text.as_bytes()) | 1;
        let slot = &mut self.slots[(hash >> 1) as usize % CACHE_SLOTS];
        if slot.hash != hash || slot.text.as_ref() != text {
            self.scratch.clear();
            index.find(text, &mut self.scratch);
            slot.hash = hash;
            slot.text = text.into();
            slot.hits = self.scratch.as_slice().into();
        }
        &slot.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(patterns: &[&str], text: &str) -> Vec<u32> {
        let mut builder = Builder::default();
        for (test, pattern) in patterns.iter().enumerate() {
            builder.pattern(Hit { field: FieldId(0), test: test as u32 }, &Pattern::parse(pattern), false);
        }
        let mut hits = Vec::new();
        builder.build().find(text, &mut hits);
        let mut tests: Vec<_> = hits.iter().map(|hit| hit.test).collect();
        tests.sort_unstable();
        tests.dedup();
        tests
    }

    #[test]
    fn each_shape_of_pattern_is_found_where_it_may_be() {
        let patterns = ["abc", "abc*", "*abc", "*abc*", "a*c", "a?c", "*", "", "?"];
        assert_eq!(find(&patterns, "ABC"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(find(&patterns, "abcx"), [1, 3, 6]);
        assert_eq!(find(&patterns, "xabc"), [2, 3, 6]);
        assert_eq!(find(&patterns, ""), [6, 7]);
        assert_eq!(find(&["*ÄÖ*", "äö"], "äÖ"), [0, 1], "case is ignored beyond ASCII too");
    }

    #[test]
    fn a_regular_expression_is_narrowed_down_by_what_it_must_contain() {
        let literals = required_literals(r"(?i)(ipfs\.io/|ipfs\.io\s).+@");
        assert_eq!(literals, ["ipfs.io", "ipfſ.io"], "without case, a long s is an s");
        assert_eq!(required_literals(r"[0-9]+"), [] as [&str; 0]);
        assert_eq!(required_literals(r"^/cgi-bin/\d+"), ["/cgi-bin/"]);
        assert_eq!(required_literals(r"(?=x)y"), [] as [&str; 0], "lookaround has no known literal");
    }

    #[test]
    fn the_cache_answers_as_the_index_does() {
        let mut builder = Builder::default();
        builder.pattern(Hit { field: FieldId(0), test: 7 }, &Pattern::parse("*evil*"), false);
        let index = builder.build();
        let mut cache = Cache::default();
        for _ in 0..2 {
            assert_eq!(cache.find(&index, "an EVIL text").len(), 1);
            assert!(cache.find(&index, "a good text").is_empty());
            assert!(cache.find(&index, "").is_empty());
            assert_eq!(cache.find(&index, &"evil".repeat(1000)).len(), 1);
        }
    }
}
impl TextIndex {
    pub fn debug(&self) {
        for u in &self.loose { println!("loose {:?}", u); }
    }
}
