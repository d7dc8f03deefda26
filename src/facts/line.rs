//! Writes a derived event: a normalised line like those that webhooks become.

use std::fmt::Write as _;

use super::Fact;
use crate::event::Timestamp;

/// What keys are derived for. To change it is to store what is derived again a second time.
const CONTEXT: &str = "watchbell 2026-11 derived event";

/// A line that is being written.
#[must_use]
pub(super) struct Line {
    action: &'static str,
    text: String,
}

impl Line {
    /// Begins a line about something that was known at `at`.
    pub fn new(at: Timestamp, category: &str, action: &'static str) -> Self {
        let mut line = Self { action, text: String::with_capacity(384) };
        let _ = write!(
            line.text,
            "{{\"@timestamp\":\"{at}\",\"event.module\":\"whatsapp\",\"event.dataset\":\"whatsapp.facts\",\
             \"event.category\":\"{category}\",\"event.action\":\"{action}\""
        );
        line
    }

    /// Text, where there is any.
    pub fn text(mut self, key: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let _ = write!(self.text, ",\"{key}\":{}", serde_json::Value::from(value));
        }
        self
    }

    /// A whole number.
    pub fn int(mut self, key: &'static str, value: i64) -> Self {
        let _ = write!(self.text, ",\"{key}\":{value}");
        self
    }

    /// A time.
    pub fn time(mut self, key: &'static str, value: Timestamp) -> Self {
        let _ = write!(self.text, ",\"{key}\":\"{value}\"");
        self
    }

    /// Ends the line. `parts` tell the event from every other one, and are the same when it is derived again.
    pub fn end(mut self, parts: &[&str]) -> Fact {
        self.text.push('}');
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for part in parts {
            // With its length before it, so that no two lists of parts are the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let key = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Fact { action: self.action, line: self.text, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_whatever_is_in_it_and_its_key_depends_on_the_parts_alone() {
        let at = Timestamp::from_seconds(1_767_607_200);
        let line =
            |text| Line::new(at, "messaging", "tried").text("a", Some(text)).text("b", None).int("n", -1);
        let fact = line("\"},\n{\u{7f}ü").time("t", at).end(&["tried", "x"]);
        let value: serde_json::Value = serde_json::from_str(&fact.line).unwrap();
        assert!(!fact.line.contains('\n'), "{}", fact.line);
        assert_eq!(value["a"], "\"},\n{\u{7f}ü");
        assert_eq!((&value["n"], value.get("b")), (&(-1).into(), None));
        assert_eq!(value["@timestamp"], value["t"]);
        assert_eq!(fact.key, line("other").end(&["tried", "x"]).key);
        assert_ne!(fact.key, line("other").end(&["trie", "dx"]).key);
    }
}
