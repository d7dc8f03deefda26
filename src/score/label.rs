//! What is known about traffic.
//!
//! `watchbell generate` writes such labels; others can be written by hand: one JSON object a line, such as
//! `{"kind": "password_spray", "from": "2026-11-24T10:00:00Z", "to": "2026-11-24T10:20:00Z", "subject": {"source.ip":
//! ["192.0.2.1", "192.0.2.2"]}, "innocent": false}`.

use std::collections::HashSet;
use std::io::BufRead;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::who::Who;
use super::{ReadError, read_lines};
use crate::event::Timestamp;

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What it is.
    pub kind: String,
    /// How patient it is, where that is known: `fast` or `slow`.
    pub speed: Option<String>,
    /// Who did it, or to whom it was done.
    pub subject: HashSet<Who>,
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// In which of several logs it is to be seen, where that is known.
    pub stream: Option<String>,
    /// Whether nobody should be paged for it.
    pub is_innocent: bool,
    /// The subject as it is written.
    pub written: Map<String, Value>,
}

#[derive(Deserialize)]
struct Written {
    kind: String,
    speed: Option<String>,
    subject: Map<String, Value>,
    #[serde(alias = "from")]
    start: String,
    #[serde(alias = "to")]
    end: String,
    stream: Option<String>,
    expect_paged: Option<bool>,
    innocent: Option<bool>,
}

/// Reads labels, one JSON object a line. None at all is an error too: there would be nothing to measure.
pub fn read(lines: impl BufRead) -> Result<Vec<Label>, ReadError> {
    let labels = read_lines(lines, label)?;
    if labels.is_empty() {
        return Err(ReadError::Line { line: 1, expected: format!("expected {EXPECTED}, not nothing") });
    }
    Ok(labels)
}

const EXPECTED: &str = "a label with kind, subject, start (or from), end (or to) and expect_paged (or innocent), as `watchbell generate` \
     writes";

fn label(value: Value) -> Result<Label, String> {
    if value.get("rule").is_some() && value.get("opened_at").is_some() {
        return Err(format!("expected {EXPECTED}, not an alert: labels are named first, then alerts"));
    }
    let written: Written =
        serde_json::from_value(value).map_err(|error| format!("expected {EXPECTED}: {error}"))?;
    let time = |name: &str, text: &str| {
        Timestamp::parse_rfc3339(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("expected a time such as 2026-11-24T10:00:00Z in {name}, not '{shown}'")
        })
    };
    let (start, end) = (time("start", &written.start)?, time("end", &written.end)?);
    if end < start {
        return Err("expected an end that is not before the start".to_owned());
    }
    let is_innocent = match (written.expect_paged, written.innocent) {
        (Some(expected), None) => !expected,
        (None, Some(innocent)) => innocent,
        (None, None) => return Err("expected expect_paged or innocent, true or false".to_owned()),
        (Some(_), Some(_)) => return Err("expected expect_paged or innocent, not both".to_owned()),
    };
    let mut subject = HashSet::new();
    for (field, value) in &written.subject {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = value.as_str().ok_or_else(|| format!("expected text in subject.{field}"))?;
            subject.insert(Who::new(field, text));
        }
    }
    if subject.is_empty() {
        return Err("expected a subject: a field such as source.ip or user.name, and its value".to_owned());
    }
    let Written { kind, speed, stream, subject: written, .. } = written;
    Ok(Label { kind, speed, subject, start, end, stream, is_innocent, written })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_by_hand_and_those_of_the_generator_are_read() {
        let text = r#"{"kind":"a","from":"2026-11-24T10:00:00Z","to":"2026-11-24T11:00:00+01:00","subject":{"source.ip":["192.0.2.1","192.0.2.2"]},"innocent":false}

{"kind":"b","speed":"slow","subject":{"user.name":"ann"},"start":"2026-11-24T10:00:00Z","end":"2026-11-24T10:00:01Z","lines":3,"stream":"events","expect_paged":false}
"#;
        let labels = read(text.as_bytes()).unwrap();
        assert_eq!((labels[0].subject.len(), labels[0].is_innocent), (2, false));
        assert_eq!(labels[0].start, labels[0].end);
        assert_eq!((labels[1].stream.as_deref(), labels[1].is_innocent), (Some("events"), true));
        assert!(labels[1].subject.contains(&Who::Account("ann".to_owned())));
    }

    #[test]
    fn what_is_no_label_is_told_with_its_line_and_what_was_expected() {
        let times = r#""start":"2026-11-24T10:00:00Z","end":"2026-11-24T10:00:01Z""#;
        for (text, line, expected) in [
            ("", 1, "not nothing"),
            ("\n192.0.2.1 - - [24/Nov/2026]\n", 2, "expected a JSON object a line"),
            (
                r#"{"rule":{"name":"a"},"opened_at":"2026-11-24T10:00:00Z"}"#,
                1,
                "not an alert: labels are named first",
            ),
            (r#"{"kind":"a"}"#, 1, "missing field `subject`"),
            (
                r#"{"kind":"a","subject":{"source.ip":"192.0.2.1"},"start":"yesterday","end":"now","innocent":true}"#,
                1,
                "not 'yesterday'",
            ),
            (
                &format!(r#"{{"kind":"a","subject":{{"source.ip":"192.0.2.1"}},{times}}}"#),
                1,
                "expect_paged or innocent, true",
            ),
            (&format!(r#"{{"kind":"a","subject":{{}},{times},"innocent":true}}"#), 1, "expected a subject"),
            (
                &format!(r#"{{"kind":"a","subject":{{"source.ip":5}},{times},"innocent":true}}"#),
                1,
                "text in subject.source.ip",
            ),
            (
                &format!(
                    r#"{{"kind":"a","subject":{{"a":"b"}},{times},"innocent":true,"expect_paged":true}}"#
                ),
                1,
                "not both",
            ),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {line}: ")) && error.contains(expected),
                "{text}: {error}"
            );
        }
    }
}
