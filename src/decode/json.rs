//! A JSON object a line.
//!
//! Every key, nested ones joined by dots, is set exactly as it is given: to its field if the schema has one by that
//! name, else to the values without one. So `{"cs-method": "GET"}` is an event with one field, and nothing is
//! made up. Only a record that is plainly an access log's or an application's gets more: see `json_access` and
//! `application`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json_names::{ROLES, Role, roles};
use super::time::Clock;
use super::{Settings, Undecodable, application, json_access};
use crate::event::{Class, Event, FieldId, Schema, Timestamp, Value, field};

/// Longest name that is looked up: attackers nest deep, and looking up is not free.
const NAME_LIMIT: usize = 256;

/// What decoding a line needs.
pub(super) struct Context<'c> {
    pub schema: &'c Schema,
    pub settings: &'c Settings,
    pub clock: &'c mut Clock,
    pub path: &'c mut String,
}

pub(super) fn decode<'a>(
    line: &'a str,
    context: Context<'_>,
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    let Context { schema, settings, clock, path } = context;
    path.clear();
    let mut found = Found::default();
    let line = body(line);
    let mut sink = Sink { schema, path, event, found: &mut found, lists: Vec::new() };
    match parse(line, &mut sink) {
        Ok(()) => sink.finish(),
        Err(error) => {
            // nginx without `escape=json` writes `\x22` for a quote.
            let repaired = repair(line).ok_or_else(|| error_of(&error, line))?;
            return decode_copy(&repaired, Context { schema, settings, clock, path }, event)
                .map_err(|_| error_of(&error, line));
        }
    }
    if let Some((_, address)) = event.text(field::SOURCE_IP).and_then(super::client::address_with_port) {
        event.client = Some(address);
    }
    let time = found.time(clock);
    if application::is_one(&found, event) {
        event.at = time?;
        event.class = settings.class.unwrap_or(Class::Application);
        application::fill(&mut found, event);
    } else if let Some(record) = json_access::record(&found, event) {
        let at = time?;
        record.fill(settings, event);
        event.at = at;
    } else {
        event.at = time.unwrap_or_default();
        event.class = settings.class.unwrap_or(Class::Any);
    }
    Ok(())
}

/// The line without what stands before the object: a syslog header, or that of a container's runtime.
fn body(line: &str) -> &str {
    if line.starts_with('{') || !line.ends_with('}') {
        return line;
    }
    match line.find('{') {
        Some(at) if at <= 200 && !line[..at].contains(['"', '[']) => &line[at..],
        _ => line,
    }
}

fn parse<'a>(line: &'a str, sink: &mut Sink<'_, 'a>) -> Result<(), serde_json::Error> {
    if !line.trim_start().starts_with('{') {
        return Err(serde_json::Error::custom("not an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(line);
    Node { sink }.deserialize(&mut deserializer)?;
    deserializer.end()
}

fn error_of(error: &serde_json::Error, line: &str) -> Undecodable {
    let at = error.column().saturating_sub(1).min(line.len());
    if error.is_eof() { Undecodable::Truncated(line.len()) } else { Undecodable::NotJson(at) }
}

/// The line with `\x22` as `\u0022`, if it has any.
fn repair(line: &str) -> Option<String> {
    let mut repaired = String::with_capacity(line.len() + 16);
    let mut rest = line;
    let mut changed = false;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        repaired.push_str(plain);
        let length = if escape.starts_with("\\x") {
            repaired.push_str("\\u00");
            changed = true;
            2
        } else {
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            repaired.push_str(&escape[..length]);
            length
        };
        rest = &escape[length..];
    }
    repaired.push_str(rest);
    changed.then_some(repaired)
}

/// Decodes a text that does not live as long as the event: everything is copied.
fn decode_copy(text: &str, context: Context<'_>, event: &mut Event<'_>) -> Result<(), Undecodable> {
    let schema = context.schema;
    event.clear();
    let mut copy = Event::new(schema);
    decode(text, context, &mut copy)?;
    event.at = copy.at;
    event.class = copy.class;
    event.client = copy.client;
    event.unnamed.extend(copy.unnamed.iter().map(copied));
    for (id, value) in copy.fields() {
        event.set(id, copied(value));
    }
    Ok(())
}

fn copied<'a>(value: &Value<'_>) -> Value<'a> {
    match value {
        Value::Missing => Value::Missing,
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(*value),
        Value::Int(value) => Value::Int(*value),
        Value::Float(value) => Value::Float(*value),
        Value::Text(text) => Value::Text(Cow::Owned(text.clone().into_owned())),
        Value::List(values) => Value::List(values.iter().map(copied).collect()),
    }
}

/// Values by the role that their names give them.
pub(super) struct Found<'a> {
    values: [(u8, Value<'a>); ROLES],
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self { values: std::array::from_fn(|_| (u8::MAX, Value::Missing)) }
    }
}

impl<'a> Found<'a> {
    fn offer(&mut self, name: &str, value: &Value<'a>) {
        if name.len() > NAME_LIMIT {
            return;
        }
        for (role, place) in roles(name) {
            let slot = &mut self.values[*role as usize];
            // Of the same name twice the last counts, as with the fields.
            let is_better = *place <= slot.0 || !usable(&slot.1);
            if is_better && (usable(value) || !usable(&slot.1)) && fits(name, *role, value) {
                *slot = (*place, value.clone());
            }
        }
    }

    pub(super) fn get(&self, role: Role) -> &Value<'a> {
        &self.values[role as usize].1
    }

    pub(super) fn take(&mut self, role: Role) -> Value<'a> {
        std::mem::take(&mut self.values[role as usize].1)
    }

    /// Text that says something: neither `""` nor `-`.
    pub(super) fn text(&self, role: Role) -> Option<&Cow<'a, str>> {
        match self.get(role) {
            Value::Text(text) if !matches!(text.as_ref(), "" | "-") => Some(text),
            // Headers come as lists.
            Value::List(values) => match values.first() {
                Some(Value::Text(text)) if !matches!(text.as_ref(), "" | "-") => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// When; an error if a name that can mean nothing else has a value that is no time.
    fn time(&self, clock: &mut Clock) -> Result<Option<Timestamp>, Undecodable> {
        let value = self.get(Role::Time);
        if usable(value) {
            return clock.value(value).map(Some).ok_or(Undecodable::BadTime(0));
        }
        let time = self.get(Role::MaybeTime);
        if let (Some(date), Some(time)) = (self.text(Role::Date), time.to_text())
            && let Some(at) = clock.any(&format!("{date}T{time}"))
        {
            return Ok(Some(at));
        }
        let is_recent = |at: &Timestamp| at.as_micros() >= 100_000_000_000_000;
        let found = clock
            .value(time)
            .filter(is_recent)
            .or_else(|| clock.value(self.get(Role::Date)).filter(is_recent));
        Ok(found)
    }
}

/// Whether a value can play the role that its name may have: `type` is seldom the name of what was done.
fn fits(name: &str, role: Role, value: &Value<'_>) -> bool {
    match (role, value) {
        (Role::Action, Value::Text(text)) => application::is_action(name, text),
        (Role::Action, _) => name == "event.action",
        _ => true,
    }
}

/// Whether there is something in a value: logs write `""` and `-` where there is not.
pub(super) fn usable(value: &Value<'_>) -> bool {
    match value {
        Value::Missing | Value::Null => false,
        Value::Text(text) => !matches!(text.as_ref(), "" | "-"),
        Value::List(values) => !values.is_empty(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => true,
    }
}

/// Where values go.
struct Sink<'s, 'a> {
    schema: &'s Schema,
    /// Names of the objects around the current value, joined by dots.
    path: &'s mut String,
    event: &'s mut Event<'a>,
    found: &'s mut Found<'a>,
    /// What lists of objects give for one name, until all of it is there.
    lists: Vec<(FieldId, Vec<Value<'a>>)>,
}

impl<'a> Sink<'_, 'a> {
    fn put(&mut self, value: Value<'a>) {
        self.found.offer(self.path, &value);
        match self.find() {
            Some(id) => self.event.set(id, value),
            None => self.event.unnamed.push(value),
        }
    }

    fn find(&self) -> Option<FieldId> {
        if self.path.len() <= NAME_LIMIT { self.schema.find(self.path) } else { None }
    }

    /// Adds to what a list of objects has given for this name already.
    fn put_more(&mut self, value: Value<'a>) {
        self.found.offer(self.path, &value);
        let Some(id) = self.find() else { return self.event.unnamed.push(value) };
        match self.lists.iter_mut().find(|(known, _)| *known == id) {
            Some((_, values)) => values.push(value),
            None => self.lists.push((id, vec![value])),
        }
    }

    fn finish(self) {
        for (id, mut values) in self.lists {
            let value = if values.len() == 1 { values.pop() } else { None };
            self.event.set(id, value.unwrap_or(Value::List(values)));
        }
    }
}

/// A value at the current path.
struct Node<'n, 's, 'a> {
    sink: &'n mut Sink<'s, 'a>,
}

impl<'a> DeserializeSeed<'a> for Node<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Node<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let length = self.sink.path.len();
        while map.next_key_seed(Key { path: self.sink.path })?.is_some() {
            map.next_value_seed(Node { sink: &mut *self.sink })?;
            self.sink.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut values = Vec::new();
        let mut had_objects = false;
        while let Some(item) = seq.next_element_seed(Item { sink: &mut *self.sink })? {
            match item {
                Some(value) => values.push(value),
                None => had_objects = true,
            }
        }
        if !values.is_empty() || !had_objects {
            self.sink.put(Value::List(values));
        }
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.sink.put(Value::text(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.sink.put(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.sink.put(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.sink.put(Value::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.sink.put(whole(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.sink.put(Value::Float(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.sink.put(Value::Null);
        Ok(())
    }
}

fn whole<'a>(value: u64) -> Value<'a> {
    i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
}

/// Appends a key to the path.
struct Key<'p> {
    path: &'p mut String,
}

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
        Ok(())
    }
}

/// An element of a list: its value, or `None` for an object, whose values go to the sink.
struct Item<'n, 's, 'a> {
    sink: &'n mut Sink<'s, 'a>,
}

impl<'a> DeserializeSeed<'a> for Item<'_, '_, 'a> {
    type Value = Option<Value<'a>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Item<'_, '_, 'a> {
    type Value = Option<Value<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let length = self.sink.path.len();
        while map.next_key_seed(Key { path: self.sink.path })?.is_some() {
            if let Some(value) = map.next_value_seed(Item { sink: &mut *self.sink })? {
                self.sink.put_more(value);
            }
            self.sink.path.truncate(length);
        }
        Ok(None)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut values = Vec::new();
        while let Some(item) = seq.next_element_seed(Item { sink: &mut *self.sink })? {
            values.extend(item);
        }
        Ok(Some(Value::List(values)))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Some(Value::text(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(whole(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Float(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }
}
