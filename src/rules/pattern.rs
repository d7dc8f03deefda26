//! Sigma strings: text with `*` and `?`.
//!
//! `*` is any run of characters, line feeds included; `?` is exactly one. A backslash before `*`, `?` or another
//! backslash takes its meaning away; before anything else it is a backslash. So `a\b` and `a\\b` are the same
//! text, `a\*c` has a literal star, and `a\\*` ends in a backslash and a wildcard.

/// Text in the form in which case is ignored: each character in lower case by itself.
///
/// Not [`str::to_lowercase`], which writes a sigma in two ways depending on its neighbours, and some letters as two
/// characters: what is found in a part must be found in the whole, and `?` must stay one character.
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .map(|character| {
            let mut lower = character.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some('ς'), None) => 'σ',
                (Some(lower), None) => lower,
                _ => character,
            }
        })
        .collect()
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// This text.
    Literal(String),
    /// Any run of characters, the empty one too.
    Any,
    /// Exactly one character.
    One,
}

/// A Sigma string, taken apart. Neighbouring literals are one, neighbouring `*` are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Takes a Sigma string apart.
    pub fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.peek() {
                    Some(&escaped @ ('*' | '?' | '\\')) => {
                        characters.next();
                        pattern.push_character(escaped);
                    }
                    _ => pattern.push_character('\\'),
                },
                '*' => pattern.push(Part::Any),
                '?' => pattern.push(Part::One),
                other => pattern.push_character(other),
            }
        }
        pattern
    }

    /// This text and nothing else.
    pub fn literal(text: &str) -> Self {
        let mut pattern = Self::default();
        if !text.is_empty() {
            pattern.parts.push(Part::Literal(text.to_owned()));
        }
        pattern
    }

    /// With `*` before it.
    pub fn any_before(mut self) -> Self {
        if self.parts.first() != Some(&Part::Any) {
            self.parts.insert(0, Part::Any);
        }
        self
    }

    /// With `*` behind it.
    pub fn any_behind(mut self) -> Self {
        self.push(Part::Any);
        self
    }

    /// The pieces.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, when there is no wildcard in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The longest literal piece, which every match contains.
    pub fn longest_literal(&self) -> Option<&str> {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                _ => None,
            })
            .max_by_key(|text| text.len())
    }

    /// With its literals folded, for comparisons that ignore case.
    pub fn fold_case(&self) -> Self {
        let parts = self.parts.iter().map(|part| match part {
            Part::Literal(text) => Part::Literal(fold_case(text)),
            other => other.clone(),
        });
        Self { parts: parts.collect() }
    }

    /// Whether the whole of `text` matches. Case counts: give both in lower case to ignore it.
    ///
    /// Linear in practice and never worse than pattern times text: on a mismatch only the last `*` is retried.
    pub fn matches(&self, text: &str) -> bool {
        let (mut part, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    part += 1;
                    if part == self.parts.len() {
                        return true;
                    }
                    retry = Some((part, at));
                    continue;
                }
                Some(Part::One) => {
                    if let Some(character) = text[at..].chars().next() {
                        at += character.len_utf8();
                        part += 1;
                        continue;
                    }
                }
                Some(Part::Literal(literal)) if text[at..].starts_with(literal.as_str()) => {
                    at += literal.len();
                    part += 1;
                    continue;
                }
                None if at == text.len() => return true,
                Some(Part::Literal(_)) | None => {}
            }
            let Some((after_star, from)) = retry else { return false };
            let Some(character) = text[from..].chars().next() else { return false };
            let next = match self.parts.get(after_star) {
                Some(Part::Literal(literal)) => {
                    match text[from + character.len_utf8()..].find(literal.as_str()) {
                        Some(offset) => from + character.len_utf8() + offset,
                        None => return false,
                    }
                }
                _ => from + character.len_utf8(),
            };
            retry = Some((after_star, next));
            part = after_star;
            at = next;
        }
    }

    fn push(&mut self, part: Part) {
        if part == Part::Any && self.parts.last() == Some(&Part::Any) {
            return;
        }
        match (self.parts.last_mut(), part) {
            (Some(Part::Literal(last)), Part::Literal(text)) => last.push_str(&text),
            (_, part) => self.parts.push(part),
        }
    }

    fn push_character(&mut self, character: char) {
        match self.parts.last_mut() {
            Some(Part::Literal(text)) => text.push(character),
            _ => self.parts.push(Part::Literal(character.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).matches(text)
    }

    #[test]
    fn escapes_are_as_the_specification_says() {
        assert!(matches(r"a\*c", "a*c") && !matches(r"a\*c", "abc"));
        assert_eq!(Pattern::parse(r"a\b"), Pattern::parse(r"a\\b"));
        assert!(matches(r"a\\*", r"a\bcd") && !matches(r"a\\*", "abcd"));
        assert!(matches(r"a\?", "a?") && !matches(r"a\?", "ab"));
        assert!(matches(r"tail\", r"tail\"));
    }

    #[test]
    fn a_star_crosses_line_feeds_and_a_question_mark_is_one_character() {
        assert!(matches("a*c", "a\n\nc") && matches("a*c", "ac"));
        assert!(matches("a?c", "aäc") && !matches("a?c", "ac") && !matches("a?c", "abbc"));
        assert!(matches("*?x=*", "Zx=1") && !matches("*?x=*", "x=1"));
    }

    #[test]
    fn an_empty_pattern_matches_the_empty_text_alone() {
        assert!(matches("", "") && !matches("", "a"));
        assert!(matches("*", "") && matches("**", "anything"));
    }

    fn naive(parts: &[Part], text: &str) -> bool {
        match parts.first() {
            None => text.is_empty(),
            Some(Part::Literal(literal)) => {
                text.strip_prefix(literal.as_str()).is_some_and(|rest| naive(&parts[1..], rest))
            }
            Some(Part::One) => {
                let mut characters = text.chars();
                characters.next().is_some() && naive(&parts[1..], characters.as_str())
            }
            Some(Part::Any) => text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| naive(&parts[1..], &text[at..])),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_backtracking(pattern in "[abä*?]{0,10}", text in "[abä]{0,12}") {
            let pattern = Pattern::parse(&pattern);
            prop_assert_eq!(pattern.matches(&text), naive(pattern.parts(), &text));
        }
    }
}
