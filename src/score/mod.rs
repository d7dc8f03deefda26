//! How good rules are: what alerts found of what is labelled, what they missed, and whom they were about for nothing.
//!
//! Labels say what was staged, by whom or about whom, and when ([`label`]); alerts are what the service, or a replay,
//! wrote of them as JSON ([`found`]). An alert tells of an attack when it names somebody who is labelled with it, at a
//! time at which it went on ([`judge`]). A false alarm is one that names nobody who had part in any attack. What comes
//! of it is counted by kind of attack and by rule ([`report`]).

pub mod found;
pub mod judge;
pub mod label;
pub mod report;
pub mod who;

use std::io::{self, BufRead};

use serde_json::Value;

/// Longest line of a file with labels or alerts, in bytes: an alert with all its evidence has some ten thousand.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Why labels or alerts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says no, or the file is not what its compression says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is something else. A score over a part of what there is would be wrong, so there is none.
    #[error("line {line}: {expected}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What was expected.
        expected: String,
    },
}

/// Reads one JSON object a line.
fn read_lines<T>(
    mut lines: impl BufRead,
    mut read: impl FnMut(Value) -> Result<T, String>,
) -> Result<Vec<T>, ReadError> {
    let mut all = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if io::Read::take(&mut lines, MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |expected| ReadError::Line { line, expected };
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("expected a JSON object a line: {error}")))?;
        all.push(read(value).map_err(wrong)?);
    }
    Ok(all)
}
