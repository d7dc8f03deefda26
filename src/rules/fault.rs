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

/// Something wrong with a rule, which is refused for it.
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
    noted: Vec<(usize, String, String)>,
}

impl Faults {
    /// Notes what was expected at a line and key.
    pub fn note(&mut self, line: usize, key: &str, expected: String) {
        self.noted.push((line, key.to_owned(), expected));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.noted.len()
    }

    /// As errors of a file.
    pub(super) fn into_errors(self, file: &str) -> impl Iterator<Item = RuleError> {
        self.noted.into_iter().map(move |(line, key, expected)| RuleError {
            place: Place { file: file.to_owned(), line },
            key,
            expected,
        })
    }
}
