//! Frames as they go over the wire: JSON texts, each written once for all subscribers.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, json};
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use super::queue::Missed;
use super::{Change, Topic, Topics};
use crate::alert::Alert;
use crate::event::{Event, Schema, Value};

/// A frame: one JSON object. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Utf8Bytes);

impl Frame {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text, shared, as whoever writes it to a socket wants it.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// The first frame: who is speaking.
    pub(super) fn hello(run: &str) -> Self {
        let topics = Topic::ALL.map(Topic::name);
        Self::of(
            &json!({"type": "hello", "version": env!("CARGO_PKG_VERSION"), "run": run, "topics": topics}),
        )
    }

    /// A subscription is in force; `alerts` and `events` are the last numbers before it.
    pub(super) fn subscribed(topics: Topics, alerts: u64, events: u64) -> Self {
        let seq = json!({"alerts": alerts, "events": events});
        Self::of(&json!({"type": "subscribed", "topics": topics.names(), "seq": seq}))
    }

    /// What was asked for cannot be had.
    pub(super) fn error(detail: &str) -> Self {
        Self::of(&json!({"type": "error", "error": detail}))
    }

    /// Frames of a topic that this subscriber missed.
    pub(super) fn missed(topic: Topic, missed: Missed) -> Self {
        let Missed { count, from, to } = missed;
        Self::of(&json!({"type": "missed", "topic": topic.name(), "count": count, "from": from, "to": to}))
    }

    /// What became of an alert.
    pub(super) fn alert(seq: u64, change: Change, alert: &Alert) -> Self {
        #[derive(Serialize)]
        struct Told<'a> {
            r#type: &'static str,
            seq: u64,
            change: &'static str,
            alert: &'a Alert,
        }
        Self::of(&Told { r#type: "alert", seq, change: change.name(), alert })
    }

    /// An event, with the names of its fields as they are in `schema`.
    pub(super) fn event(seq: u64, source: &str, tenant: &str, event: &Event<'_>, schema: &Schema) -> Self {
        #[derive(Serialize)]
        struct Told<'a> {
            r#type: &'static str,
            seq: u64,
            source: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            tenant: &'a str,
            event: Fields<'a>,
        }
        Self::of(&Told { r#type: "event", seq, source, tenant, event: Fields { event, schema } })
    }

    /// What was counted: the entries of an object beside the type.
    pub(super) fn statistics(statistics: &serde_json::Value) -> Self {
        let mut frame = Map::from_iter([("type".to_owned(), "statistics".into())]);
        match statistics {
            serde_json::Value::Object(entries) => {
                let entries = entries.iter().filter(|(name, _)| *name != "type");
                frame.extend(entries.map(|(name, value)| (name.clone(), value.clone())));
            }
            other => {
                frame.insert("statistics".to_owned(), other.clone());
            }
        }
        Self::of(&frame)
    }

    fn of(value: &impl Serialize) -> Self {
        // Nothing here has keys that are not text, which is all that could fail.
        Self(serde_json::to_string(value).unwrap_or_default().into())
    }
}

/// The fields of an event, flat, by their names.
struct Fields<'a> {
    event: &'a Event<'a>,
    schema: &'a Schema,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(at) = self.event.at {
            map.serialize_entry("@timestamp", &at)?;
        }
        for (id, value) in self.event.fields() {
            map.serialize_entry(self.schema.name(id), &Json(value))?;
        }
        map.end()
    }
}

struct Json<'a>(&'a Value<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Missing | Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&Json(value))?;
                }
                list.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Timestamp, field};

    #[test]
    fn an_event_is_flat_and_has_its_time() {
        let schema = Schema::new();
        let mut event = Event::new(&schema);
        event.at = Some(Timestamp::from_seconds(0));
        event.set(field::SOURCE_IP, Value::text("192.0.2.1"));
        event.set(field::STATUS_CODE, Value::Int(401));
        event.set(field::MESSAGE, Value::List(vec![Value::text("a\u{1b}\"b"), Value::Null]));
        let frame = Frame::event(3, "nginx", "", &event, &schema);
        assert_eq!(
            frame.as_str(),
            r#"{"type":"event","seq":3,"source":"nginx","event":{"@timestamp":"1970-01-01T00:00:00Z","#
                .to_owned()
                + r#""source.ip":"192.0.2.1","http.response.status_code":401,"message":["a\u001b\"b",null]}}"#
        );
        assert!(Frame::event(3, "nginx", "acme", &event, &schema).as_str().contains(r#""tenant":"acme""#));
    }

    #[test]
    fn statistics_cannot_change_their_type() {
        let frame = Frame::statistics(&json!({"type": "alert", "events": 5}));
        assert_eq!(frame.as_str(), r#"{"type":"statistics","events":5}"#);
    }
}
