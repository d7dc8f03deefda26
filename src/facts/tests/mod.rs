//! Observers against naive ones that remember everything.

mod feed;
mod headroom;
mod orphans;
mod silence;

use std::sync::LazyLock;

use super::*;
use crate::event::Schema;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

/// An event out of its fields, which happened at a second.
fn event<'e>(at: i64, fields: &[(FieldId, &'e str)]) -> Event<'e> {
    let mut event = Event::new(&SCHEMA);
    event.class = Class::Messaging;
    event.at = Some(second(at));
    for (id, text) in fields {
        event.set_text(*id, text);
    }
    event
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_seconds(at)
}

/// What has been derived, as JSON.
fn taken(facts: &mut Facts) -> Vec<serde_json::Value> {
    facts.take().iter().map(|fact| serde_json::from_str(&fact.line).unwrap()).collect()
}

/// The same event, as it is when its line is read.
fn read_back(facts: &mut Facts, value: &serde_json::Value) {
    let at = Timestamp::parse_rfc3339(value["@timestamp"].as_str().unwrap()).unwrap();
    let mut event = Event::new(&SCHEMA);
    event.class = Class::Messaging;
    event.at = Some(at);
    for (name, value) in value.as_object().unwrap() {
        let Some(id) = SCHEMA.find(name) else { continue };
        match value {
            serde_json::Value::String(text) => event.set_text(id, text),
            serde_json::Value::Number(number) => event.set_int(id, number.as_i64().unwrap()),
            _ => {}
        }
    }
    facts.observe(&event, at);
}
