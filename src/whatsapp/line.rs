//! Writes a normalised line: one flat JSON object, whatever is put into it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::change::{Change, Scene};
use super::country;
use super::{Failure, Reason, Update};
use crate::event::Timestamp;
use crate::pseudonym::Kind;

/// Longest identifier or name that is kept as it is given, in bytes.
const NAME_LIMIT: usize = 64;

/// Longest name of a template that is kept.
const TEMPLATE_LIMIT: usize = 128;

/// Names that are not known, of one line.
const UNKNOWN_LIMIT: usize = 8;

/// Digits in a row from which on they may be a telephone number, so that the text is no name of anything.
const NUMBER_DIGITS: usize = 7;

/// How ids of messages and calls begin, which have a number in them.
const IDS: [&str; 2] = ["wamid.", "wacid."];

/// Elements of a list that are kept.
const LIST_LIMIT: usize = 32;

/// How late an item is before its lag is told, in seconds. Earlier ones are the ordinary retries.
const LATE_SECONDS: i64 = 600;

/// What must be told however late it is: what becomes of the account, of who may use it, and of its templates. An event that
/// is far behind is not counted, so these happen when they arrive.
const TOLD_LATE: [&str; 4] = ["iam", "account", "template", "webhook"];

/// A line that is being written. [`Line::end`] makes it one; without that nothing of it remains.
#[must_use]
pub(super) struct Line<'l> {
    update: &'l mut Update,
    change: &'l Change<'l>,
    start: usize,
    unknown: Vec<String>,
}

impl<'l> Line<'l> {
    /// Begins a line about `scene`. `at` is the item's own time; without one it happened when the entry says, or
    /// else when it arrived. What must be told late too happens when it arrived, and its own time is `event.created`.
    pub fn begin(
        update: &'l mut Update,
        scene: &Scene<'l>,
        at: Option<Timestamp>,
        category: &str,
        action: &str,
    ) -> Self {
        let change = scene.change;
        let own = at.or(change.at);
        let lag = own.map_or(0, |own| (change.received.as_micros() - own.as_micros()) / 1_000_000);
        let is_late = lag > LATE_SECONDS;
        let when = own.filter(|_| !(is_late && TOLD_LATE.contains(&category)));
        let start = update.lines.len();
        let mut line = Self { update, change, start, unknown: Vec::new() };
        let lines = &mut line.update.lines;
        lines.reserve(768);
        lines.push_str("{\"@timestamp\":\"");
        let _ = write!(lines, "{}", when.unwrap_or(change.received));
        lines.push_str("\",\"event.module\":\"whatsapp\",\"event.dataset\":\"whatsapp.");
        lines.push_str(change.dataset);
        lines.push_str("\",\"event.category\":\"");
        lines.push_str(category);
        lines.push('"');
        line.text("event.action", action);
        line.update.lines.push_str(&scene.about);
        if is_late {
            line.int("event.lag_seconds", lag);
        }
        if let Some(own) = own.filter(|_| when.is_none()) {
            line.time("event.created", own);
        }
        line
    }

    /// Ends the line. What it is about is known again by `key`.
    pub fn end(mut self, key: u64) {
        if !self.unknown.is_empty() {
            let unknown = std::mem::take(&mut self.unknown);
            self.texts("whatsapp.unknown", unknown.iter().map(|name| Cow::Borrowed(name.as_str())));
        }
        if self.update.is_full() {
            self.update.lines.truncate(self.start);
            let (place, text) = (self.change.place, self.change.text.clone());
            return self.update.fail(Failure { reason: Reason::TooMany, place, text });
        }
        self.update.lines.push_str("}\n");
        self.update.keys.push(key);
    }

    /// Text that is known to be harmless.
    pub fn text(&mut self, key: &'static str, value: &str) {
        put_text(&mut self.update.lines, key, value);
    }

    /// A whole number.
    pub fn int(&mut self, key: &'static str, value: i64) {
        put_key(&mut self.update.lines, key);
        let _ = write!(self.update.lines, "{value}");
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, value: bool) {
        put_key(&mut self.update.lines, key);
        self.update.lines.push_str(if value { "true" } else { "false" });
    }

    /// A time.
    pub fn time(&mut self, key: &'static str, value: Timestamp) {
        put_key(&mut self.update.lines, key);
        let _ = write!(self.update.lines, "\"{value}\"");
    }

    /// A name out of a vocabulary of the platform, as it is given; `unknown` if it is no such name.
    pub fn name(&mut self, key: &'static str, value: Option<Cow<'_, str>>) {
        if let Some(value) = value {
            self.text(key, name(&value).unwrap_or("unknown"));
        }
    }

    /// The name of a template, as it is given; a pseudonym of it if it is no such name.
    pub fn template_name(&mut self, key: &'static str, value: Option<Cow<'_, str>>) {
        let Some(value) = value else { return };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if value.len() <= TEMPLATE_LIMIT && value.bytes().all(is_plain) {
            self.text(key, &value);
        } else {
            self.pseudonym(key, Kind::Name, &value);
        }
    }

    /// The id of something of the business's: an account, a number, an app, a template.
    pub fn id(&mut self, key: &'static str, value: Option<Cow<'_, str>>) {
        if let Some(value) = value {
            put_id(&mut self.update.lines, key, &value, self.change);
        }
    }

    /// The pseudonym of something.
    pub fn pseudonym(&mut self, key: &'static str, kind: Kind, value: &str) {
        put_pseudonym(&mut self.update.lines, key, kind, value, self.change);
    }

    /// A list; nothing if it is empty. What is beyond the 32nd element is left out.
    pub fn texts<'v>(&mut self, key: &'static str, values: impl IntoIterator<Item = Cow<'v, str>>) {
        let mut is_first = true;
        for value in values.into_iter().take(LIST_LIMIT) {
            if is_first {
                put_key(&mut self.update.lines, key);
            }
            self.update.lines.push_str(if is_first { "[\"" } else { ",\"" });
            escape(&mut self.update.lines, &value);
            self.update.lines.push('"');
            is_first = false;
        }
        if !is_first {
            self.update.lines.push(']');
        }
    }

    /// A list of pseudonyms; nothing if it is empty. What is beyond the 32nd element is left out.
    pub fn pseudonyms<'v>(
        &mut self,
        key: &'static str,
        kind: Kind,
        values: impl Iterator<Item = Cow<'v, str>>,
    ) {
        let pseudonyms = &self.change.context.pseudonyms;
        self.texts(key, values.map(|value| Cow::Owned(pseudonyms.of(kind, &value))));
    }

    /// A list of ids; nothing if it is empty.
    pub fn ids<'v>(&mut self, key: &'static str, values: impl Iterator<Item = Cow<'v, str>>) {
        let pseudonyms = &self.change.context.pseudonyms;
        self.texts(key, values.map(|id| if is_id(&id) { id } else { pseudonyms.of(Kind::Name, &id).into() }));
    }

    /// Codes of errors; nothing if there are none.
    pub fn codes(&mut self, codes: &[i64]) {
        for (at, code) in codes.iter().enumerate() {
            if at == 0 {
                put_key(&mut self.update.lines, "whatsapp.error.code");
            }
            let _ = write!(self.update.lines, "{}{code}", if at == 0 { '[' } else { ',' });
        }
        if !codes.is_empty() {
            self.update.lines.push(']');
        }
    }

    /// Notes, on the line and in the count, that a name is not known.
    pub fn unknown(&mut self, kind: &str, value: &str) {
        let name = format!("{kind}:{}", name(value).unwrap_or("unknown"));
        let name = &name[..name.floor_char_boundary(NAME_LIMIT)];
        self.update.count_unknown(name);
        if self.unknown.len() < UNKNOWN_LIMIT {
            self.unknown.push(name.to_owned());
        }
    }
}

/// A name of the platform's: letters, digits and `_`, `-`, `.`, `:`, at most 64, with single spaces in between;
/// `None` for anything that could be something of somebody's.
pub(super) fn name(value: &str) -> Option<&str> {
    let mut digits = 0;
    let mut before = b' ';
    for byte in value.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        let is_fit = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b':')
            || byte == b' ' && before != b' ';
        if !is_fit || digits >= NUMBER_DIGITS {
            return None;
        }
        before = byte;
    }
    let is_id = value.get(..6).is_some_and(|start| IDS.iter().any(|id| start.eq_ignore_ascii_case(id)))
        || country::of_user_id(value).is_some();
    (before != b' ' && value.len() <= NAME_LIMIT && !is_id).then_some(value)
}

/// A name in small letters and without spaces, `unknown` if it is none.
pub(super) fn small_name(value: &str) -> Cow<'_, str> {
    match name(value) {
        Some(name) if name.contains([' ', ':']) => "unknown".into(),
        Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => name.to_ascii_lowercase().into(),
        Some(name) => name.into(),
        None => "unknown".into(),
    }
}

fn is_id(value: &str) -> bool {
    value.len() <= NAME_LIMIT && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Adds the id of something of the business's; a pseudonym of it if it is too long or too odd.
pub(super) fn put_id(lines: &mut String, key: &'static str, value: &str, change: &Change<'_>) {
    if is_id(value) {
        put_text(lines, key, value);
    } else {
        put_pseudonym(lines, key, Kind::Name, value, change);
    }
}

/// Adds a pseudonym.
pub(super) fn put_pseudonym(
    lines: &mut String,
    key: &'static str,
    kind: Kind,
    value: &str,
    change: &Change<'_>,
) {
    put_key(lines, key);
    lines.push('"');
    change.context.pseudonyms.write(kind, value, lines);
    lines.push('"');
}

/// Adds text.
pub(super) fn put_text(lines: &mut String, key: &'static str, value: &str) {
    put_key(lines, key);
    lines.push('"');
    escape(lines, value);
    lines.push('"');
}

/// Adds a key. There is always something before it.
fn put_key(lines: &mut String, key: &'static str) {
    lines.push_str(",\"");
    lines.push_str(key);
    lines.push_str("\":");
}

/// Adds text in such a way that it ends neither the value nor the line.
fn escape(lines: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)) {
        lines.push_str(&rest[..at]);
        let _ = write!(lines, "\\u{:04x}", rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    lines.push_str(rest);
}
