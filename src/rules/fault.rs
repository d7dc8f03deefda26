//! What is wrong with a rule, and where.

use std::fmt;

/// A file and a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 for the whole file.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Something wrong with a rule, which is refused for it unless it is only a warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// The path of the key, such as `detection.selection.cs-method|contians`; empty for the whole file.
    pub key: String,
    /// What was expected there.
    pub expected: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: expected {}", self.place, self.expected)
        } else {
            write!(f, "{}: {}: expected {}", self.place, self.key, self.expected)
        }
    }
}

/// Faults of the document that is being read.
#[derive(Debug, Default)]
pub struct Faults {
    errors: Vec<Noted>,
    warnings: Vec<Noted>,
}

/// Line, key, and what was expected.
type Noted = (usize, String, String);

impl Faults {
    /// Notes what was expected at a line and key, for which the rule is refused.
    pub fn note(&mut self, line: usize, key: &str, expected: String) {
        self.errors.push((line, key.to_owned(), expected));
    }

    /// Notes what may be a mistake.
    pub fn warn(&mut self, line: usize, key: &str, expected: String) {
        self.warnings.push((line, key.to_owned(), expected));
    }

    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.errors.len()
    }

    /// Errors and warnings, as those of a file.
    pub fn of_file(self, file: &str) -> (Vec<RuleError>, Vec<RuleError>) {
        let placed = |noted: Vec<Noted>| {
            let at = |(line, key, expected)| RuleError {
                place: Place { file: file.to_owned(), line },
                key,
                expected,
            };
            noted.into_iter().map(at).collect()
        };
        (placed(self.errors), placed(self.warnings))
    }
}
