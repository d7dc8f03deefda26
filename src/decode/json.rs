//! A JSON object a line.
//!
//! Every key, nested ones joined by dots, is set exactly as it is given: to its field if the schema has one by that
//! name, else to the values without one. So `{"cs-method": "GET"}` is an event with one field, and nothing is
//! made up. Only a record that is plainly an access log's or an application's gets more: see `json_access` and
//! `application`.

use std::borrow::Cow;

use super::json_names::{ROLES, Role, roles};
use super::json_reader::{Reader, Stop, Token};
use super::time::Clock;
use super::{Decoded, Settings, Undecodable, access, application, container, json_access};
use crate::event::{Class, Event, FieldId, Schema, Timestamp, Value, field};

/// Longest name that is looked up: attackers nest deep, and looking up is not free.
const NAME_LIMIT: usize = 256;

/// How deep objects and lists are read. What is deeper is passed over; no log has a name of so many parts.
const DEPTH_LIMIT: usize = 64;

/// The module of events that come from the WhatsApp Business Platform.
const MODULE: &str = "whatsapp";

/// Longest syslog header before an object.
const HEADER_LIMIT: usize = 200;

/// What decoding a line needs.
pub(super) struct Context<'c> {
    pub schema: &'c Schema,
    pub settings: &'c Settings,
    pub clock: &'c mut Clock,
    pub path: &'c mut String,
    /// Whether it is itself the line in an object of Docker, which does not happen twice.
    pub is_wrapped: bool,
}

pub(super) fn decode<'a>(
    line: &'a str,
    context: Context<'_>,
    event: &mut Event<'a>,
) -> Result<Decoded, Undecodable> {
    let Context { schema, settings, clock, path, is_wrapped } = context;
    path.clear();
    let mut found = Found::default();
    let object = body(line);
    let mut sink = Sink { schema, path, event, found: &mut found, lists: Vec::new() };
    let result = parse(object, &mut sink);
    sink.finish();
    match result {
        Ok(()) => {}
        Err(Stop::Broken(at)) => return Err(Undecodable::NotJson(line.len() - object.len() + at)),
        Err(Stop::End) if event.fields().next().is_none() && !found.is_any() => {
            return Err(Undecodable::Truncated(line.len()));
        }
        Err(Stop::End) => found.is_cut = true,
    }
    if let Some((_, address)) = event.text(field::SOURCE_IP).and_then(super::client::address_with_port) {
        event.client = Some(address);
    }
    let time = found.time(clock);
    if event.text(field::EVENT_MODULE) == Some(MODULE) {
        event.at = time?;
        event.class = Class::Messaging;
        let failed = match event.text(field::EVENT_ACTION) {
            Some("message_failed") => Value::Int(1),
            Some("message_sent") => Value::Int(0),
            _ => Value::Missing,
        };
        event.set(field::MESSAGE_FAILED, failed);
    } else if application::is_one(&found, event) {
        event.at = time?;
        event.class = settings.class.unwrap_or(Class::Application);
        application::fill(&mut found, event);
    } else if let Some(record) = json_access::record(&found, event) {
        let at = time?;
        record.fill(settings, event);
        event.at = at;
    } else if let Some(line) = found.wrapped().filter(|_| !is_wrapped)
        && let context = (Context { schema, settings, clock, path, is_wrapped })
        && let Some(decoded) = container::docker(line, context, event)
    {
        event.at = event.at.or(time.unwrap_or_default());
        return Ok(decoded);
    } else {
        event.at = time.unwrap_or_default();
        event.class = settings.class.unwrap_or(Class::Any);
    }
    if found.is_cut {
        access::flag_truncated(event);
        return Ok(Decoded::Truncated);
    }
    Ok(if event.fields().next().is_some() { Decoded::Event } else { Decoded::Unknown })
}

/// The object without what stands before it: a syslog header.
fn body(line: &str) -> &str {
    if line.starts_with('{') {
        return line;
    }
    let header = &line.as_bytes()[..line.len().min(HEADER_LIMIT)];
    match memchr::memchr2(b'{', b'"', header) {
        Some(at) if header[at] == b'{' && header[0] != b'[' => &line[at..],
        _ => line,
    }
}

fn parse<'a>(object: &'a str, sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
    let mut walk = Walk { reader: Reader::new(object), sink };
    if !walk.reader.take(b'{') {
        return Err(Stop::Broken(0));
    }
    walk.members(1, false)?;
    if walk.reader.peek().is_some() { Err(walk.reader.stop()) } else { Ok(()) }
}

/// Values by the role that their names give them.
pub(super) struct Found<'a> {
    values: [(u8, Value<'a>); ROLES],
    /// Whether the line ends before the object does.
    pub is_cut: bool,
    /// Whether it ends in the request line.
    pub is_request_cut: bool,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self {
            values: std::array::from_fn(|_| (u8::MAX, Value::Missing)),
            is_cut: false,
            is_request_cut: false,
        }
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

    /// Takes in the start of a text, for the roles in which it says something: half an address is another's.
    fn offer_start(&mut self, name: &str, start: Cow<'a, str>) {
        for (role, place) in roles(name).iter().filter(|(role, _)| STARTS.contains(role)) {
            let slot = &mut self.values[*role as usize];
            if *place <= slot.0 || !usable(&slot.1) {
                *slot = (*place, Value::Text(start.clone()));
                self.is_request_cut |= *role == Role::RequestLine;
            }
        }
    }

    /// Whether any name was known.
    fn is_any(&self) -> bool {
        self.values.iter().any(|(_, value)| usable(value))
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

    /// The line that an object of Docker, or of what reads its logs, is made round.
    fn wrapped(&self) -> Option<&str> {
        let is_stream =
            self.text(Role::Stream).is_some_and(|name| matches!(name.as_ref(), "stdout" | "stderr"));
        self.text(Role::Line).filter(|_| is_stream).map(Cow::as_ref)
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

/// Roles and fields whose values are worth something in part.
const STARTS: [Role; 7] = [
    Role::RequestLine,
    Role::Target,
    Role::Query,
    Role::Url,
    Role::Referrer,
    Role::UserAgent,
    Role::Description,
];
const START_FIELDS: [FieldId; 7] = [
    field::URL_ORIGINAL,
    field::URL_PATH,
    field::URL_QUERY,
    field::URL_FULL,
    field::REFERRER,
    field::USER_AGENT,
    field::MESSAGE,
];

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
    /// Adds a key to the path.
    fn enter(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
    }

    fn put(&mut self, value: Value<'a>) {
        self.found.offer(self.path, &value);
        match self.find() {
            Some(id) => self.event.set(id, value),
            None => self.event.unnamed.push(value),
        }
    }

    /// Takes in a text in which the line ends.
    fn put_start(&mut self, start: Cow<'a, str>) {
        self.found.offer_start(self.path, start.clone());
        match self.find() {
            Some(id) if START_FIELDS.contains(&id) => self.event.set(id, Value::Text(start)),
            Some(_) => {}
            None => self.event.unnamed.push(Value::Text(start)),
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

/// Goes through an object and hands every value to the sink.
struct Walk<'w, 's, 'a> {
    reader: Reader<'a>,
    sink: &'w mut Sink<'s, 'a>,
}

impl<'a> Walk<'_, '_, 'a> {
    /// The members of an object that has been opened. Those of an object in a list come on top of each other.
    fn members(&mut self, depth: usize, in_list: bool) -> Result<(), Stop> {
        while !self.reader.take(b'}') {
            let key = self.reader.key()?;
            let length = self.sink.path.len();
            self.sink.enter(&key);
            self.member(depth, in_list)?;
            self.sink.path.truncate(length);
            if !self.reader.take(b',') {
                return self.reader.expect(b'}');
            }
        }
        Ok(())
    }

    fn member(&mut self, depth: usize, in_list: bool) -> Result<(), Stop> {
        let value = match self.reader.token()? {
            Token::Value(value) => value,
            Token::Object | Token::List if depth >= DEPTH_LIMIT => return self.reader.skip(),
            Token::Object => return self.members(depth + 1, in_list),
            Token::List => match self.elements(depth + 1)? {
                (values, true) if values.is_empty() && !in_list => return Ok(()),
                (values, _) => Value::List(values),
            },
            Token::Odd => return Ok(()),
            Token::Start(start) => {
                if !in_list {
                    self.sink.put_start(start);
                }
                return Err(Stop::End);
            }
        };
        if in_list {
            self.sink.put_more(value);
        } else {
            self.sink.put(value);
        }
        Ok(())
    }

    /// The elements of a list that has been opened, without its objects, and whether it has any of those.
    fn elements(&mut self, depth: usize) -> Result<(Vec<Value<'a>>, bool), Stop> {
        let mut values = Vec::new();
        let mut had_objects = false;
        while !self.reader.take(b']') {
            match self.reader.token()? {
                Token::Value(value) => values.push(value),
                Token::Object | Token::List if depth >= DEPTH_LIMIT => self.reader.skip()?,
                Token::Object => {
                    had_objects = true;
                    self.members(depth + 1, true)?;
                }
                Token::List => values.push(Value::List(self.elements(depth + 1)?.0)),
                Token::Odd => {}
                Token::Start(_) => return Err(Stop::End),
            }
            if !self.reader.take(b',') {
                self.reader.expect(b']')?;
                break;
            }
        }
        Ok((values, had_objects))
    }
}
