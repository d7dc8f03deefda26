//! What a change about the account says, which is rare, small, and seldom twice of one shape.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;
use serde_json::value::RawValue;

use super::change::{Change, Number, Scene};
use super::line::Line;
use super::loose::Scalar;
use super::{Reason, Update};
use crate::event::Timestamp;

/// The value of a change, and its places by JSON pointer.
pub(super) struct Facts<'f> {
    pub change: &'f Change<'f>,
    value: Value,
    /// When, as the value itself says.
    pub at: Option<Timestamp>,
}

impl<'f> Facts<'f> {
    /// Reads a value. What cannot be read is reported.
    pub fn read(change: &'f Change<'f>, value: &RawValue, update: &mut Update) -> Option<Self> {
        let text = value.get();
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => {
                let mut facts = Self { change, value, at: None };
                let times = ["/timestamp", "/updated_timestamp"];
                facts.at = times.into_iter().find_map(|place| change.time(&facts.scalar(place)));
                Some(facts)
            }
            Ok(_) => {
                change.fail(update, Reason::BadShape, None, text);
                None
            }
            Err(_) => {
                change.fail(update, Reason::Unreadable, None, text);
                None
            }
        }
    }

    fn scalar(&self, pointer: &str) -> Scalar<'_> {
        self.value.pointer(pointer).map_or(Scalar::Absent, scalar)
    }

    /// Text, or a number or a truth value as text.
    pub fn text(&self, pointer: &str) -> Option<Cow<'_, str>> {
        text(self.value.pointer(pointer)?)
    }

    /// Text that is a reason: neither `NONE` nor `null`.
    pub fn reason(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.text(pointer).filter(|reason| !matches!(reason.as_ref(), "NONE" | "null"))
    }

    /// A time.
    pub fn time(&self, value: &Value) -> Option<Timestamp> {
        // It may be far ahead: restrictions end some day.
        scalar(value)
            .number()
            .filter(|seconds| (0..=253_402_300_799).contains(seconds))
            .map(Timestamp::from_seconds)
    }

    /// The elements of a list.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The number that has its display number at `/display_phone_number`, and its id, if at all, at `id`.
    pub fn about(&self, id: &str) -> Scene<'f> {
        self.change.scene(&Number { id: self.copy(id), display: self.copy("/display_phone_number") })
    }

    /// A scalar that owns its text.
    pub fn copy<'s>(&self, pointer: &str) -> Scalar<'s> {
        self.text(pointer).map_or(Scalar::Absent, |text| Scalar::Text(text.into_owned().into()))
    }

    /// Begins a line.
    pub fn begin<'l>(
        &self,
        scene: &Scene<'l>,
        category: &str,
        action: &str,
        update: &'l mut Update,
    ) -> Line<'l> {
        Line::begin(update, scene, self.at, category, action)
    }

    /// The key: whose it is, which field, when, and the value, whatever the order of its keys.
    pub fn key(&self) -> u64 {
        let mut text = String::new();
        canonical(&self.value, &mut text);
        self.change.key_of_text("change", &text, self.change.time.is_none() && self.at.is_some())
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar(value: &Value) -> Scalar<'_> {
    text(value).map_or(Scalar::Absent, Scalar::Text)
}

/// A value with the keys of objects in order. Not deeper than a parser goes, so it cannot overflow.
fn canonical(value: &Value, to: &mut String) {
    match value {
        Value::Array(values) => {
            to.push('[');
            for value in values {
                canonical(value, to);
                to.push(',');
            }
            to.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            to.push('{');
            for (key, value) in members {
                let _ = write!(to, "{key:?}:");
                canonical(value, to);
                to.push(',');
            }
            to.push('}');
        }
        other => {
            let _ = write!(to, "{other}");
        }
    }
}
