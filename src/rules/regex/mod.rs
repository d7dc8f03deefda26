//! Regular expressions, compiled when they are first asked for.
//!
//! A pack has many, most of which never get to see a text because a rarer test of their rule fails; compiling them
//! all would take longer than everything else at start.
//!
//! What they mean is in `dialect`. Texts are written by attackers, so none may take long: an expression costs a
//! text a few nanoseconds a byte (`automaton`), and its size is bounded. Expressions with lookaround or back
//! references cannot have that; what becomes of them is said at `Compiled::Backtracking`.

mod automaton;
mod dialect;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use regex_syntax::hir::{Class, Hir, HirKind};

use automaton::Automaton;
use dialect::Dialect;

/// Memory that an expression may take when compiled. What has repetitions of repetitions is soon larger, and would
/// take a second to compile and minutes on a long text.
const MAX_BYTES: usize = 2 << 20;

/// Up to this length of the text, in bytes, every repetition is counted.
///
/// In a longer one an upper bound of [`dialect::MIN_LOOSENED`] or more is no bound: `[^>]{0,200}` may be found where
/// there are 300. Counting that far from every place in a text made for it takes a microsecond a byte, and it is
/// better to find more in a long text, which is rare, than to be kept busy by it.
const MAX_COUNTED_TEXT: usize = 1 << 10;

/// Bytes of a text that an expression with lookaround or back references gets to see.
const MAX_BACKTRACKED_TEXT: usize = 8 << 10;

/// Steps back that such an expression may take on a text: some milliseconds.
const MAX_BACKTRACKS: usize = 200_000;

/// Instructions that such an expression may have.
const MAX_BACKTRACKING_PROGRAM: usize = 50_000;

/// A regular expression that is known to be one.
#[derive(Clone)]
pub struct LazyRegex {
    source: Arc<str>,
    compiled: Arc<Compiled>,
}

enum Compiled {
    /// In time that is linear in the text.
    Linear {
        /// As it is written.
        exact: Lazy,
        /// Finds all that the exact one finds, and where repetitions have no upper bounds.
        loose: Option<Lazy>,
    },
    /// With lookaround or back references, which take an engine that tries one way after the other. It is shown the
    /// first [`MAX_BACKTRACKED_TEXT`] bytes of a text, and in a text that takes more than [`MAX_BACKTRACKS`] steps it
    /// is not found. To say that it is would page somebody for every long token in a query.
    Backtracking {
        regex: fancy_regex::Regex,
        /// Whether a text took too many steps.
        has_given_up: AtomicBool,
    },
}

/// An automaton that is built when it is asked for.
struct Lazy {
    pattern: String,
    automaton: OnceLock<Option<Automaton>>,
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
    /// Checks the expression, so that it can be compiled when it is asked for. The error says what was expected.
    pub fn checked(source: &str) -> Result<Self, String> {
        let compiled = match parse(source) {
            Ok(hir) => {
                let Dialect { exact, loose } = Dialect::of(source).map_err(|error| told(&error))?;
                let exact = Lazy::new(exact);
                // Compiling takes time, so it is tried only where that it will succeed is in doubt.
                if size(&hir) > MAX_SURE_SIZE && exact.get().is_none() {
                    return Err(too_large());
                }
                Compiled::Linear { exact, loose: loose.map(Lazy::new) }
            }
            // The parser is quick, and knows all but lookaround and back references.
            Err(error) => match backtracking(source) {
                Ok(regex) => Compiled::Backtracking { regex, has_given_up: AtomicBool::new(false) },
                Err(fancy_regex::Error::CompileError(why)) => return Err(refused(&why, &error)),
                Err(_) => return Err(told(&error)),
            },
        };
        Ok(Self { source: source.into(), compiled: Arc::new(compiled) })
    }

    /// The expression as written, with its flags.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is found in the text.
    pub fn is_match(&self, text: &str) -> bool {
        match self.compiled.as_ref() {
            Compiled::Linear { exact, loose } => {
                let loosely = loose.as_ref().and_then(Lazy::get).map(|automaton| automaton.is_match(text));
                match loosely {
                    Some(false) => false,
                    Some(true) if text.len() > MAX_COUNTED_TEXT => true,
                    _ => exact.get().is_some_and(|automaton| automaton.is_match(text)),
                }
            }
            Compiled::Backtracking { regex, has_given_up } => {
                let text = &text[..text.floor_char_boundary(MAX_BACKTRACKED_TEXT)];
                regex.is_match(text).unwrap_or_else(|_| {
                    has_given_up.store(true, Ordering::Relaxed);
                    false
                })
            }
        }
    }

    /// Whether there was a text in which it was not looked for to the end, because that would have taken too long.
    pub fn has_given_up(&self) -> bool {
        match self.compiled.as_ref() {
            Compiled::Linear { .. } => false,
            Compiled::Backtracking { has_given_up, .. } => has_given_up.load(Ordering::Relaxed),
        }
    }
}

impl Lazy {
    fn new(pattern: String) -> Self {
        Self { pattern, automaton: OnceLock::new() }
    }

    fn get(&self) -> Option<&Automaton> {
        self.automaton.get_or_init(|| Automaton::build(&self.pattern, MAX_BYTES)).as_ref()
    }
}

/// The expression, parsed as it is meant here. The error is that of the parser.
pub fn parse(source: &str) -> Result<Hir, String> {
    let dialect = Dialect::of(source)?;
    regex_syntax::parse(&dialect.exact).map_err(|error| error.to_string())
}

fn backtracking(source: &str) -> Result<fancy_regex::Regex, fancy_regex::Error> {
    fancy_regex::RegexBuilder::new(source)
        .delegate_size_limit(MAX_BYTES)
        .delegate_dfa_size_limit(automaton::CACHE_BYTES)
        .delegate_dfa_skip_cache_capacity_check(false)
        .max_prog_size(MAX_BACKTRACKING_PROGRAM)
        .backtrack_limit(MAX_BACKTRACKS)
        .build()
}

/// Why an expression with lookaround or back references is refused; `unless` is what the parser says of one that has
/// neither.
fn refused(why: &fancy_regex::CompileError, unless: &str) -> String {
    use fancy_regex::CompileError;
    match why {
        CompileError::PatternTooComplex => too_large(),
        CompileError::InnerError(error) if error.size_limit().is_some() => too_large(),
        CompileError::InnerError(error) => {
            told(&error.syntax_error().map_or_else(|| unless.to_owned(), ToString::to_string))
        }
        other => told(&other.to_string()),
    }
}

fn told(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    format!("a regular expression: {}", last.trim_start_matches("error: "))
}

fn too_large() -> String {
    "a smaller regular expression: its repetitions multiply to more than can be compiled".to_owned()
}

/// Up to this size an expression can be compiled for sure.
const MAX_SURE_SIZE: u64 = 10_000;

/// Roughly how large an expression is when its repetitions are written out.
pub fn size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        // A range of characters beyond ASCII is several ranges of bytes.
        HirKind::Class(Class::Unicode(class)) => 4 * class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            u64::from(times).saturating_mul(size(&repetition.sub).saturating_add(1))
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

    fn found(source: &str, text: &str) -> bool {
        LazyRegex::checked(source).is_ok_and(|regex| regex.is_match(text))
    }

    #[test]
    fn lookaround_is_known_and_nonsense_is_not() {
        assert!(found("a(?=b)", "xab") && !found("a(?=b)", "xac"));
        assert!(LazyRegex::checked("(a").is_err_and(|error| error.contains("regular expression")));
        assert!(LazyRegex::checked(r"\p{Nonsense}").is_err());
    }

    #[test]
    fn what_is_accepted_compiles_and_what_would_take_long_is_refused_at_once() {
        for (source, is_accepted) in [
            ("a{1000}{1,1000}", false),
            ("(?:(?:a{100}){100}){100}", false),
            (r"^(\p{L}{100}){50}$", false),
            (r"(?i)[\w\x{e4}]{1000}{1000}", false),
            ("(?:x{0,1000}){0,1000}(?=y)", false),
            // What is repeated around lookaround is counted, not written out.
            ("(?:(?:(?=a)a){100}){1000}", true),
            ("a{1,9000}", true),
            (r"[^>]{0,1000}x", true),
            (r"^(\p{L}{3}){5}$", true),
            ("(?=a)[^>]{0,200}x", true),
        ] {
            match LazyRegex::checked(source) {
                Err(error) => {
                    assert!(!is_accepted, "{source}: {error}");
                    assert!(error.starts_with("a smaller regular expression"), "{source}: {error}");
                }
                Ok(regex) => {
                    assert!(is_accepted, "{source}");
                    if let Compiled::Linear { exact, loose } = regex.compiled.as_ref() {
                        assert!(
                            exact.get().is_some() && loose.iter().all(|loose| loose.get().is_some()),
                            "{source}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn characters_beyond_ascii_are_characters_and_no_letters() {
        for (source, text, expected) in [
            (r"^a.c$", "aäc", true),
            (r"^a.c$", "abc", true),
            (r"^a.c$", "a\nc", false),
            (r"^[^b]$", "ä", true),
            (r"^\w+$", "ab_1", true),
            (r"^\w+$", "äb", false),
            (r"^a\Wb$", "aäb", true),
            (r"^[\W\d]+$", "ä1", true),
            (r"(?i)^x[\W\d]+[k-m]{2}$", "Xä1KM", true),
            (r"\d", "\u{661}", false),
            (r"\s", "\u{a0}", false),
            (r"\bid\b", "äidä", true),
            (r"\bid\b", "xid", false),
            (r"x\By", "xy", true),
            (r"(?i)Ä", "ä", true),
            ("Ä", "a", false),
            (r"\p{L}", "a", true),
            (r"\p{L}", "ä", true),
        ] {
            assert_eq!(found(source, text), expected, "/{source}/ in {text:?}");
        }
    }

    #[test]
    fn bounds_of_repetitions_count_in_texts_of_ordinary_length() {
        let source = r"<[^>]{0,200}on=[a-f]{32}x{2,3}y";
        let text = |between: usize, behind: usize| {
            format!("<{}on={}xxy{}", "-".repeat(between), "a".repeat(32), " ".repeat(behind))
        };
        assert!(found(source, &text(200, 0)) && !found(source, &text(201, 0)));
        assert!(found(source, &text(200, 4000)), "no padding hides what is found");
        assert!(found(source, &text(201, 4000)), "in a long text the upper bound is none");
        assert!(!found(source, &text(200, 4000).replace("xxy", "xy")), "a lower bound always is");
        assert!(!found(source, &text(200, 4000).replace("xxy", "xxxxxy")), "and so is a small one");
    }

    #[test]
    fn that_a_text_takes_too_many_steps_back_is_known() {
        let regex = LazyRegex::checked(r"(\w+)=\1x").unwrap();
        assert!(regex.is_match("?a=ax") && !regex.is_match(&"ab".repeat(200)) && !regex.has_given_up());
        assert!(!regex.is_match(&"ab".repeat(2000)) && regex.has_given_up());
    }

    #[test]
    fn lookaround_sees_the_start_of_a_text() {
        let text = |before: usize| format!("{}ab", "é".repeat(before / 2));
        assert!(found("(?<!x)ab", &text(8000)) && !found("(?<!x)ab", &text(9000)));
    }
}
