//! Regular expressions, compiled when they are first asked for.
//!
//! A pack has many, most of which never get to see a text because a rarer test of their rule fails; compiling them
//! all would take longer than everything else at start.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex_syntax::hir::{Class, Hir, HirKind};

/// Memory that a compiled expression may take to remember what it has worked out, for each thread that uses it. Few
/// texts get as far as an expression, so speed matters less than that there are many of them.
const MAX_CACHE_BYTES: usize = 256 << 10;

/// A regular expression that is known to be one.
#[derive(Clone)]
pub struct LazyRegex {
    source: Arc<str>,
    compiled: Arc<Compiled>,
}

/// On ASCII text, classes of ASCII characters are the same as those of Unicode, and a tenth of the size.
#[derive(Default)]
struct Compiled {
    for_ascii: OnceLock<Option<regex::bytes::Regex>>,
    for_all: OnceLock<Option<fancy_regex::Regex>>,
}

impl fmt::Debug for LazyRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl PartialEq for LazyRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl LazyRegex {
    /// Checks the expression. The error says what was expected.
    pub fn checked(source: &str) -> Result<Self, String> {
        // The parser is quick, and knows all but lookaround and back references.
        let parsed = regex_syntax::parse(source);
        if let Err(error) = &parsed
            && fancy_regex::Regex::new(source).is_err()
        {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            return Err(format!("a regular expression: {}", last.trim_start_matches("error: ")));
        }
        // Whether one can be compiled is only tried where that is in doubt.
        if parsed.is_ok_and(|hir| size(&hir) > MAX_SURE_SIZE) && fancy_regex::Regex::new(source).is_err() {
            return Err(
                "a smaller regular expression: its repetitions multiply to more than can be compiled"
                    .to_owned(),
            );
        }
        Ok(Self { source: source.into(), compiled: Arc::default() })
    }

    /// The expression as written, with its flags.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is found in the text. One that is too large to compile, or takes too long on a text because of
    /// lookaround, is not.
    pub fn is_match(&self, text: &str) -> bool {
        if text.is_ascii() {
            let for_ascii = self.compiled.for_ascii.get_or_init(|| {
                let mut builder = regex::bytes::RegexBuilder::new(&self.source);
                builder.unicode(false).dfa_size_limit(MAX_CACHE_BYTES).build().ok()
            });
            if let Some(regex) = for_ascii {
                return regex.is_match(text.as_bytes());
            }
        }
        let for_all = self.compiled.for_all.get_or_init(|| {
            let mut builder = fancy_regex::RegexBuilder::new(&self.source);
            builder.delegate_dfa_size_limit(MAX_CACHE_BYTES).build().ok()
        });
        for_all.as_ref().is_some_and(|regex| regex.is_match(text).unwrap_or(false))
    }
}

/// Up to this size an expression can be compiled for sure.
const MAX_SURE_SIZE: u64 = 200_000;

/// Roughly how large an expression is when its repetitions are written out.
fn size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            u64::from(times).saturating_mul(size(&repetition.sub))
        }
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookaround_is_known_and_nonsense_is_not() {
        assert!(
            LazyRegex::checked("a(?=b)").is_ok_and(|regex| regex.is_match("xab") && !regex.is_match("xac"))
        );
        assert!(LazyRegex::checked("(a").is_err_and(|error| error.contains("regular expression")));
        assert!(LazyRegex::checked(r"\p{Nonsense}").is_err());
    }

    #[test]
    fn characters_beyond_ascii_are_characters() {
        let found =
            |source: &str, text: &str| LazyRegex::checked(source).is_ok_and(|regex| regex.is_match(text));
        assert!(found(r"^a.c$", "aäc") && found(r"^a.c$", "abc"));
        assert!(found(r"^\w+$", "äb") && found(r"^\w+$", "ab"));
        assert!(found(r"(?i)Ä", "ä") && !found("Ä", "a"));
        assert!(found(r"\p{L}", "a"), "classes that only Unicode has work on ASCII text too");
    }
}
