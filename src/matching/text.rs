//! All patterns of all rules over all fields, in one automaton.
//!
//! Every text pattern gives one literal to the automaton: itself, or the longest literal piece of a pattern with
//! wildcards, or a literal that a regular expression cannot match without. A text is read once, whatever the
//! number of rules, and each literal found leads to the tests it may satisfy. Values repeat (user agents, referrers,
//! pages), so what was found in a text is remembered (`cache`), and most values cost one hash and one comparison.
//!
//! Case: literals are in lower case, and the automaton takes ASCII letters of either case. A text with other
//! letters is put in lower case first. Where case counts, a found literal is checked again in the text itself.

use std::borrow::Cow;
use std::cell::OnceCell;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use smallvec::SmallVec;

use crate::event::{FieldId, field};
use crate::rules::pattern::{Part, Pattern, fold_case};
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

/// Bytes of a literal that go into the automaton; what follows is compared when they are found. Longer ones are hardly
/// rarer, and make the table three times as large, which costs more in misses of the processor's cache than it saves.
const MAX_LITERAL: usize = 8;

/// A literal shorter than this does not narrow a regular expression down enough to be worth a lookup.
const MIN_REGEX_LITERAL: usize = 3;

/// A class of more characters than this ends a literal: a literal for each digit narrows nothing down.
const MAX_REGEX_CLASS: usize = 8;

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
    /// Stands for what confirms it, which several literals may share.
    confirmation: u32,
    /// What must follow the literal in the automaton.
    rest: Box<[u8]>,
    confirm: Confirm,
}

type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Collects the patterns of all rules; see [`TextIndex`].
#[derive(Default)]
pub struct Builder {
    literals: HashMap<String, usize>,
    uses: Vec<Vec<Use>>,
    whole: HashMap<Box<str>, Vec<Hit>>,
    loose: Vec<Use>,
    confirmations: u32,
}

impl Builder {
    /// Adds a pattern that the whole text must match.
    pub fn pattern(&mut self, hit: Hit, pattern: &Pattern, cased: bool) {
        self.confirmations += 1;
        let lower = pattern.fold_case();
        if cased {
            return self.confirmed(
                hit,
                lower.longest_literal(),
                Confirm::Pattern { pattern: pattern.clone(), cased },
            );
        }
        match lower.parts() {
            [] => self.whole(hit, ""),
            [Part::Literal(text)] => self.whole(hit, text),
            [Part::Literal(text), Part::Any] => self.literal(text, hit, Confirm::Start),
            [Part::Any, Part::Literal(text)] => self.literal(text, hit, Confirm::End),
            [Part::Any, Part::Literal(text), Part::Any] => self.literal(text, hit, Confirm::Anywhere),
            _ => self.confirmed(
                hit,
                lower.longest_literal(),
                Confirm::Pattern { pattern: lower.clone(), cased },
            ),
        }
    }

    /// Adds a regular expression that must be found in the text.
    pub fn regex(&mut self, hit: Hit, regex: &LazyRegex) {
        let literals = required_literals(regex.source());
        let confirm = Confirm::Regex(regex.clone());
        self.confirmations += 1;
        if literals.is_empty() {
            return self.loose(hit, confirm);
        }
        for literal in literals {
            self.literal(&literal, hit, confirm.clone());
        }
    }

    fn whole(&mut self, hit: Hit, text: &str) {
        self.whole.entry(text.into()).or_default().push(hit);
    }

    fn confirmed(&mut self, hit: Hit, literal: Option<&str>, confirm: Confirm) {
        match literal {
            Some(literal) => self.literal(literal, hit, confirm),
            None => self.loose(hit, confirm),
        }
    }

    fn loose(&mut self, hit: Hit, confirm: Confirm) {
        self.loose.push(Use { hit, confirmation: self.confirmations, rest: Box::default(), confirm });
    }

    fn literal(&mut self, literal: &str, hit: Hit, confirm: Confirm) {
        let (start, rest) = literal.split_at(literal.floor_char_boundary(MAX_LITERAL));
        let use_ = Use { hit, confirmation: self.confirmations, rest: rest.as_bytes().into(), confirm };
        let next = self.uses.len();
        let index = *self.literals.entry(start.to_owned()).or_insert(next);
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
        let longest_whole = self.whole.keys().map(|text| text.len()).max().unwrap_or(0);
        TextIndex { automaton, uses: self.uses, whole: self.whole, longest_whole, loose: self.loose }
    }
}

fn automaton(literals: &[String]) -> Option<AhoCorasick> {
    let bytes: usize = literals.iter().map(String::len).sum();
    // A state has a row of transitions by class of byte: 128 at most for these patterns, four bytes each.
    let kind = if bytes * 128 * 4 <= MAX_TABLE_BYTES {
        AhoCorasickKind::DFA
    } else {
        AhoCorasickKind::ContiguousNFA
    };
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
    let Ok(hir) = crate::rules::regex::parse(source) else { return Vec::new() };
    let mut best: Vec<String> = Vec::new();
    for kind in [ExtractKind::Prefix, ExtractKind::Suffix] {
        let sequence = Extractor::new().kind(kind.clone()).limit_class(MAX_REGEX_CLASS).extract(&hir);
        let Some(found) = sequence.literals() else { continue };
        let mut literals: Vec<String> =
            found.iter().map(|literal| fold_case(&String::from_utf8_lossy(literal.as_bytes()))).collect();
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
    longest_whole: usize,
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
        self.find_in(text, None, hits);
    }

    /// Appends the tests that a request target satisfies, and its path, which ends at `path_end`, and its query.
    ///
    /// Reading the target once is enough to know what is in its parts: what is found says where it is.
    pub fn find_in_target(&self, target: &str, path_end: usize, hits: &mut Vec<Hit>) {
        self.find_in(target, Some(path_end), hits);
    }

    fn find_in(&self, text: &str, path_end: Option<usize>, hits: &mut Vec<Hit>) {
        // Lower-casing beyond ASCII can move things; then the parts are read by themselves.
        if let Some(path_end) = path_end
            && !text.is_ascii()
        {
            let of = |wanted: FieldId| move |hit: &Hit| hit.field == wanted;
            let mut parts = Vec::new();
            self.find_in(text, None, &mut parts);
            parts.retain(|hit| hit.field != field::URL_PATH && hit.field != field::URL_QUERY);
            hits.append(&mut parts);
            self.find_in(&text[..path_end], None, &mut parts);
            hits.extend(parts.drain(..).filter(of(field::URL_PATH)));
            if let Some(query) = text.get(path_end + 1..) {
                self.find_in(query, None, &mut parts);
                hits.extend(parts.drain(..).filter(of(field::URL_QUERY)));
            }
            return;
        }
        let haystack = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(fold_case(text)) };
        // Places are those of the folded text, which may be shorter or longer than the text itself.
        let part_of = |id: FieldId| match path_end {
            Some(end) if id == field::URL_PATH => 0..end,
            Some(end) if id == field::URL_QUERY => (end + 1).min(text.len())..text.len(),
            _ => 0..haystack.len(),
        };
        // Parts are of ASCII text alone, where both are the same.
        let unfolded = |part: std::ops::Range<usize>| if path_end.is_some() { &text[part] } else { text };
        // Only patterns with wildcards, and equality, need ASCII letters in lower case too.
        let lower: OnceCell<Cow<'_, str>> = OnceCell::new();
        let lowered = || -> &str {
            lower.get_or_init(|| match haystack.as_ref() {
                text if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    Cow::Owned(text.to_ascii_lowercase())
                }
                text => Cow::Borrowed(text),
            })
        };
        match path_end {
            None => self.find_whole(lowered(), hits),
            Some(end) => {
                let mut whole = Vec::new();
                for (part, of) in [
                    (part_of(field::URL_ORIGINAL), None),
                    (part_of(field::URL_PATH), Some(field::URL_PATH)),
                    (part_of(field::URL_QUERY), Some(field::URL_QUERY)),
                ] {
                    // A target without a question mark has no query, not an empty one.
                    if part.len() > self.longest_whole || (of == Some(field::URL_QUERY) && end == text.len())
                    {
                        continue;
                    }
                    self.find_whole(&lowered()[part], &mut whole);
                    hits.extend(whole.drain(..).filter(|hit| match of {
                        Some(wanted) => hit.field == wanted,
                        None => hit.field != field::URL_PATH && hit.field != field::URL_QUERY,
                    }));
                }
            }
        }
        // What confirms a test reads the whole text, whichever place of its literal leads there: a text may be full of
        // them, so it is asked once.
        let mut refuted: SmallVec<[u32; 8]> = SmallVec::new();
        let mut confirmed = |use_: &Use, start: usize, end: usize| {
            let part = part_of(use_.hit.field);
            if start < part.start || end > part.end || refuted.contains(&use_.confirmation) {
                return false;
            }
            let is_confirmed = match &use_.confirm {
                Confirm::Anywhere => true,
                Confirm::Start => start == part.start,
                Confirm::End => end == part.end,
                Confirm::Pattern { pattern, cased: true } => pattern.matches(unfolded(part)),
                Confirm::Pattern { pattern, cased: false } => pattern.matches(&lowered()[part]),
                Confirm::Regex(regex) => regex.is_match(unfolded(part)),
            };
            if !is_confirmed && matches!(use_.confirm, Confirm::Pattern { .. } | Confirm::Regex(_)) {
                refuted.push(use_.confirmation);
            }
            is_confirmed
        };
        if let Some(automaton) = &self.automaton {
            for found in automaton.find_overlapping_iter(haystack.as_ref()) {
                for use_ in &self.uses[found.pattern().as_usize()] {
                    let end = found.end() + use_.rest.len();
                    let follows = haystack.as_bytes().get(found.end()..end);
                    if follows.is_some_and(|bytes| bytes.eq_ignore_ascii_case(&use_.rest))
                        && !hits.contains(&use_.hit)
                        && confirmed(use_, found.start(), end)
                    {
                        hits.push(use_.hit);
                    }
                }
            }
        }
        for use_ in &self.loose {
            if use_.hit.field == field::URL_QUERY && path_end == Some(text.len()) {
                continue;
            }
            let part = part_of(use_.hit.field);
            if confirmed(use_, part.start, part.start) {
                hits.push(use_.hit);
            }
        }
    }

    fn find_whole(&self, lower: &str, hits: &mut Vec<Hit>) {
        if lower.len() <= self.longest_whole
            && let Some(found) = self.whole.get(lower)
        {
            hits.extend_from_slice(found);
        }
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
}
