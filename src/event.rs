//! What happened, in one vocabulary: the [`Event`] that every decoder produces and every rule reads.
//!
//! Field names are ECS. A field is a small number, its [`FieldId`], so that an event is an array and not a
//! map: the [`Schema`] gives a number to each well-known name, and to each further name that a rule uses.
//! Names of the Sigma taxonomy (`cs-method`, `c-uri`, ...) are aliases of ECS names, resolved in one place,
//! [`Schema::find`], for rules and for JSON input alike.
//!
//! An event borrows from the line it was read from. Nothing here does I/O or reads a clock.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A point in time: microseconds since the Unix epoch, in UTC.
///
/// Eight bytes, because windows keep many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From whole seconds since the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// `self + span`, saturating.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// `self - span`, saturating.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// Reads an RFC 3339 time with an offset, or `None`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }
}

/// A duration in microseconds, saturating at the range of `i64`.
pub fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, with as many decimals as the time has.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom("a time as in RFC 3339 is expected"))
    }
}

/// The number of a field in a [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldId(pub u16);

impl FieldId {
    /// As an index into an array by field.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

macro_rules! well_known_fields {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:literal;)+) => {
        /// The fields that decoders fill, by ECS name.
        pub mod field {
            use super::FieldId;

            #[allow(non_camel_case_types, clippy::upper_case_acronyms, missing_docs)]
            enum Number { $($constant),+ }

            $($(#[doc = $doc])+ pub const $constant: FieldId = FieldId(Number::$constant as u16);)+

            /// Names in the order of their numbers.
            pub(super) const NAMES: &[&str] = &[$($name),+];
        }
    };
}

well_known_fields! {
    /// Client address as logged: the peer, or the forwarded address when the peer is a trusted proxy.
    SOURCE_IP = "source.ip";
    /// Account: the HTTP user, or the user named by a login request or an application event.
    USER_NAME = "user.name";
    /// Request method as logged; missing when the request line is not HTTP.
    REQUEST_METHOD = "http.request.method";
    /// Request target as logged: path and query; or the raw request text when it is not HTTP.
    URL_ORIGINAL = "url.original";
    /// Request target with the encodings an attacker hides behind taken off.
    URL_NORMALIZED = "url.normalized";
    /// Target up to the first `?`.
    URL_PATH = "url.path";
    /// Target after the first `?`.
    URL_QUERY = "url.query";
    /// Extension of the last path segment, in lower case and without the dot.
    URL_EXTENSION = "url.extension";
    /// Host asked for.
    URL_DOMAIN = "url.domain";
    /// Absolute URL, where the log has one.
    ///
    /// If a rule names it (in Sigma's taxonomy it is `c-uri`), it is there for every request of an access log: the
    /// target, and where the host is known also `http://` with host and target. Public rules mean now this, now that.
    URL_FULL = "url.full";
    /// Response status code.
    STATUS_CODE = "http.response.status_code";
    /// Bytes of the response body.
    RESPONSE_BYTES = "http.response.body.bytes";
    /// Bytes of the request body.
    REQUEST_BYTES = "http.request.body.bytes";
    /// Content type of the response.
    RESPONSE_MIME_TYPE = "http.response.mime_type";
    /// Referring page.
    REFERRER = "http.request.referrer";
    /// User agent.
    USER_AGENT = "user_agent.original";
    /// `1.0`, `1.1`, `2.0`, ...
    HTTP_VERSION = "http.version";
    /// Which system says so, where it is not a log: `whatsapp`.
    EVENT_MODULE = "event.module";
    /// `web`, `authentication`, `iam`, ...
    EVENT_CATEGORY = "event.category";
    /// What was done, in the OWASP logging vocabulary where it has a name for it.
    EVENT_ACTION = "event.action";
    /// `success`, `failure` or `unknown`.
    EVENT_OUTCOME = "event.outcome";
    /// Why, as the application says it.
    EVENT_REASON = "event.reason";
    /// How long it took, in seconds.
    DURATION_SECONDS = "event.duration_seconds";
    /// Kind of object: the path with its ids taken out, or as the application says it.
    OBJECT_TYPE = "object.type";
    /// Which object.
    OBJECT_ID = "object.id";
    /// Session.
    SESSION_ID = "session.id";
    /// `password`, `otp`, `totp`, `push`, `pin`, `sms`, `webauthn`.
    AUTHENTICATION_FACTOR = "authentication.factor";
    /// The service that the event is about.
    SERVICE_NAME = "service.name";
    /// Tenant of the application.
    ORGANIZATION_ID = "organization.id";
    /// The whole message, where the input has one.
    MESSAGE = "message";
    /// `truncated` when the line was cut before its end, or a text in it is longer than what is read of one.
    LOG_FLAGS = "log.flags";
    /// 1 of a WhatsApp message that failed and 0 of one that was sent, so that the mean is the share that fails.
    MESSAGE_FAILED = "whatsapp.message.failed";
    /// `whatsapp.` and the name of the webhook field.
    EVENT_DATASET = "event.dataset";
    /// The WhatsApp Business account.
    WHATSAPP_ACCOUNT = "whatsapp.waba.id";
    /// The portfolio that owns the account.
    WHATSAPP_BUSINESS = "whatsapp.business.id";
    /// The id of the business's number.
    WHATSAPP_NUMBER_ID = "whatsapp.phone_number.id";
    /// The pseudonym of the number itself.
    WHATSAPP_NUMBER_PSEUDONYM = "whatsapp.phone_number.pseudonym";
    /// The business's number to group by: its id, else its pseudonym.
    WHATSAPP_NUMBER = "whatsapp.number";
    /// Pseudonym of a message.
    WHATSAPP_MESSAGE = "whatsapp.message.id";
    /// `api` for statuses, `app` for echoes, `user` for what comes in.
    WHATSAPP_ORIGIN = "whatsapp.message.origin";
    /// What became of a message: `sent`, `delivered`, ...
    WHATSAPP_STATUS = "whatsapp.status";
    /// Pseudonym of the person.
    WHATSAPP_USER = "whatsapp.user.id";
    /// Pseudonym of the group.
    WHATSAPP_GROUP = "whatsapp.group.id";
    /// The template a message was made of.
    WHATSAPP_TEMPLATE = "whatsapp.template.id";
    /// As what a message is charged: `marketing`, `service`, ...
    WHATSAPP_PRICING_CATEGORY = "whatsapp.pricing.category";
    /// Whether a message is charged: `regular`, `free_customer_service`, ...
    WHATSAPP_PRICING_TYPE = "whatsapp.pricing.type";
    /// People who may be written to in 24 hours; -1 without a limit.
    WHATSAPP_LIMIT = "whatsapp.limit.recipients";
    /// How much of the limit is used, in percent.
    WHATSAPP_HEADROOM_PERCENT = "whatsapp.headroom.percent";
    /// True of what the dashboard's test button sends.
    WHATSAPP_TEST = "whatsapp.test";
    /// True of what a phone hands over of its past.
    WHATSAPP_BACKFILL = "whatsapp.backfill";
    /// Where the client is, if the log says so or there is a database that does: the country, in two letters.
    GEO_COUNTRY = "source.geo.country_iso_code";
    /// The city, in English.
    GEO_CITY = "source.geo.city_name";
    /// Degrees to the north.
    GEO_LATITUDE = "source.geo.location.lat";
    /// Degrees to the east.
    GEO_LONGITUDE = "source.geo.location.lon";
    /// The number of the client's network (autonomous system).
    AS_NUMBER = "source.as.number";
    /// Its name.
    AS_ORGANISATION = "source.as.organization.name";
}

impl FieldId {
    /// Whether the field says where the client is, which a database may know.
    pub const fn is_geo(self) -> bool {
        matches!(
            self,
            field::GEO_COUNTRY
                | field::GEO_CITY
                | field::GEO_LATITUDE
                | field::GEO_LONGITUDE
                | field::AS_NUMBER
                | field::AS_ORGANISATION
        )
    }
}

/// Names of the Sigma taxonomy for the categories `webserver` and `proxy`, and spellings met in the wild.
///
/// One to one where two names may stand in one event with different values: `cs-uri` and `c-uri` are two fields.
const ALIASES: &[(&str, FieldId)] = &[
    ("c-ip", field::SOURCE_IP),
    ("src_ip", field::SOURCE_IP),
    ("client.ip", field::SOURCE_IP),
    ("cs-username", field::USER_NAME),
    ("cs-method", field::REQUEST_METHOD),
    ("cs-uri-query", field::URL_ORIGINAL),
    ("cs-uri-stem", field::URL_PATH),
    ("c-uri-query", field::URL_QUERY),
    ("c-uri-extension", field::URL_EXTENSION),
    ("c-uri", field::URL_FULL),
    ("cs-host", field::URL_DOMAIN),
    ("sc-status", field::STATUS_CODE),
    ("sc-bytes", field::RESPONSE_BYTES),
    ("http.response.bytes", field::RESPONSE_BYTES),
    ("cs-bytes", field::REQUEST_BYTES),
    ("cs-content-type", field::RESPONSE_MIME_TYPE),
    ("cs-referer", field::REFERRER),
    ("cs-referrer", field::REFERRER),
    ("cs-user-agent", field::USER_AGENT),
    ("c-useragent", field::USER_AGENT),
    ("c-user-agent", field::USER_AGENT),
    ("cs-version", field::HTTP_VERSION),
];

/// The names of the fields and their numbers.
#[derive(Clone, Debug)]
pub struct Schema {
    names: Vec<Box<str>>,
    /// By number, whether a rule names the field.
    is_named: Vec<bool>,
    numbers: HashMap<Box<str>, FieldId, foldhash::fast::FixedState>,
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

impl Schema {
    /// The well-known fields and their aliases.
    pub fn new() -> Self {
        let mut schema = Self { names: Vec::new(), is_named: Vec::new(), numbers: HashMap::default() };
        for name in field::NAMES {
            schema.intern(name);
        }
        schema.is_named.fill(false);
        for &(alias, id) in ALIASES {
            schema.numbers.insert(alias.into(), id);
        }
        schema
    }

    /// The number of the field `name`, if it is well-known or a rule uses it. Names are case-sensitive.
    pub fn find(&self, name: &str) -> Option<FieldId> {
        self.numbers.get(name).copied()
    }

    /// The number of the field `name`, new if need be.
    ///
    /// Called for names out of rules, never out of events, so the schema does not grow with traffic.
    /// Beyond 65,534 names all further ones share the last number.
    pub fn intern(&mut self, name: &str) -> FieldId {
        let id = self.find(name).unwrap_or_else(|| self.add(name));
        if let Some(is_named) = self.is_named.get_mut(id.index()) {
            *is_named = true;
        }
        id
    }

    fn add(&mut self, name: &str) -> FieldId {
        // The very last number stands for no field.
        let id = FieldId(u16::try_from(self.names.len()).unwrap_or(u16::MAX).min(u16::MAX - 1));
        if id.index() == self.names.len() {
            self.names.push(name.into());
            self.is_named.push(false);
        }
        self.numbers.insert(name.into(), id);
        id
    }

    /// Whether a rule looks at the field: what costs memory to derive is derived only then.
    pub fn is_named_by_rules(&self, id: FieldId) -> bool {
        self.is_named.get(id.index()).copied().unwrap_or(false)
    }

    /// The name of a field.
    pub fn name(&self, id: FieldId) -> &str {
        self.names.get(id.index()).map_or("?", |name| name)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: the well-known fields are always there.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What kind of log an event comes from, as far as rules tell them apart by `logsource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Class {
    /// Not known: every rule looks at it. JSON lines with no sign of their origin.
    #[default]
    Any,
    /// A web server or reverse proxy, in front of the service that is watched.
    Webserver,
    /// A forward proxy, on the way out.
    Proxy,
    /// The application itself.
    Application,
    /// The WhatsApp Business Platform: messages, their fates, and what becomes of the account.
    Messaging,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [Self::Any, Self::Webserver, Self::Proxy, Self::Application, Self::Messaging];

    /// As a bit, for the set of classes a rule looks at.
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value<'a> {
    /// The event has no such field.
    #[default]
    Missing,
    /// The field is there and is null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Several values; a rule matches when one of them does.
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// Text borrowed from the line.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value as text, the way rules compare it: `404` and `"404"` are equal.
    /// `None` when there is no value. Of a list, the elements joined by a line feed.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Missing | Value::Null => None,
            Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Value::Int(value) => Some(Cow::Owned(value.to_string())),
            Value::Float(value) => Some(Cow::Owned(value.to_string())),
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::List(values) => {
                let texts: Vec<_> = values.iter().filter_map(Value::to_text).collect();
                Some(Cow::Owned(texts.join("\n")))
            }
        }
    }

    /// The value as a number: a number, or text that is one from end to end.
    pub fn to_number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Value::Missing | Value::Null | Value::Bool(_) | Value::List(_) => None,
        }
    }

    /// The same value, owning its text.
    fn to_owned<'b>(&self) -> Value<'b> {
        match self {
            Value::Missing => Value::Missing,
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(*value),
            Value::Int(value) => Value::Int(*value),
            Value::Float(value) => Value::Float(*value),
            Value::Text(text) => Value::Text(Cow::Owned(text.clone().into_owned())),
            Value::List(values) => Value::List(values.iter().map(Value::to_owned).collect()),
        }
    }

    fn shorten(&mut self, limit: usize) -> bool {
        match self {
            Value::Text(text) if text.len() > limit => {
                let end = text.floor_char_boundary(limit);
                match text {
                    Cow::Borrowed(text) => *text = &text[..end],
                    Cow::Owned(text) => text.truncate(end),
                }
                true
            }
            Value::List(values) => values.iter_mut().fold(false, |any, value| value.shorten(limit) | any),
            _ => false,
        }
    }

    /// Makes it [`Value::Missing`].
    ///
    /// Most values own nothing, and for those this is one store: the drop of an assignment is what costs.
    #[inline]
    fn clear(&mut self) {
        match self {
            Value::Text(Cow::Owned(_)) | Value::List(_) => *self = Value::Missing,
            _ => self.fill(Value::Missing),
        }
    }

    /// Overwrites a value that owns nothing.
    #[inline]
    fn fill(&mut self, value: Self) {
        std::mem::forget(std::mem::replace(self, value));
    }

    /// Whether there is something to compare: neither missing nor null.
    pub const fn is_some(&self) -> bool {
        !matches!(self, Value::Missing | Value::Null)
    }
}

/// One thing that happened, normalised.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// When, by the clock of whoever logged it; `None` when the record does not say.
    pub at: Option<Timestamp>,
    /// What kind of log it comes from.
    pub class: Class,
    /// The client's address, parsed; the text is in `source.ip`.
    pub client: Option<IpAddr>,
    /// Whether a database was asked where the client is: what says so may not have been logged.
    pub is_placed: bool,
    /// Values of fields that no rule names. Only keywords, which look everywhere, see them.
    pub unnamed: Vec<Value<'a>>,
    values: Vec<Value<'a>>,
    present: Vec<FieldId>,
}

impl<'a> Event<'a> {
    /// An event without fields, to be filled and cleared again and again.
    pub fn new(schema: &Schema) -> Self {
        Self {
            at: None,
            class: Class::Any,
            client: None,
            is_placed: false,
            unnamed: Vec::new(),
            values: vec![Value::Missing; schema.len()],
            present: Vec::with_capacity(schema.len()),
        }
    }

    /// Takes all fields off.
    pub fn clear(&mut self) {
        for id in self.present.drain(..) {
            if let Some(slot) = self.values.get_mut(id.index()) {
                slot.clear();
            }
        }
        self.unnamed.clear();
        self.at = None;
        self.class = Class::Any;
        self.client = None;
        self.is_placed = false;
    }

    /// Becomes what another event is, whose line does not live as long.
    pub fn copy_from(&mut self, other: &Event<'_>) {
        self.clear();
        self.at = other.at;
        self.class = other.class;
        self.client = other.client;
        self.is_placed = other.is_placed;
        self.unnamed.extend(other.unnamed.iter().map(Value::to_owned));
        for (id, value) in other.fields() {
            self.set(id, value.to_owned());
        }
    }

    /// Cuts every text to `limit` bytes, or to the end of the last character within; whether any was longer.
    pub fn shorten(&mut self, limit: usize) -> bool {
        let Self { values, present, unnamed, .. } = self;
        let mut any = false;
        for id in present.iter() {
            any |= values.get_mut(id.index()).is_some_and(|value| value.shorten(limit));
        }
        unnamed.iter_mut().fold(any, |any, value| value.shorten(limit) | any)
    }

    /// Sets a field, replacing what it was. `Value::Missing` removes it.
    #[inline(always)]
    pub fn set(&mut self, id: FieldId, value: Value<'a>) {
        match value {
            Value::Text(Cow::Borrowed(text)) => self.set_text(id, text),
            Value::Int(number) => self.set_int(id, number),
            other => self.replace(id, other),
        }
    }

    /// Sets a field to text borrowed from the line.
    #[inline]
    pub fn set_text(&mut self, id: FieldId, text: &'a str) {
        match self.vacant(id) {
            Some(slot) => slot.fill(Value::text(text)),
            None => self.replace(id, Value::text(text)),
        }
    }

    /// Sets a field to a whole number.
    #[inline]
    pub fn set_int(&mut self, id: FieldId, number: i64) {
        match self.vacant(id) {
            Some(slot) => slot.fill(Value::Int(number)),
            None => self.replace(id, Value::Int(number)),
        }
    }

    /// The slot of a field that is missing, which the caller must fill.
    ///
    /// A value is made where it stays: made elsewhere and moved, it costs more than all else about a field.
    #[inline]
    fn vacant(&mut self, id: FieldId) -> Option<&mut Value<'a>> {
        let slot = self.values.get_mut(id.index()).filter(|slot| matches!(slot, Value::Missing))?;
        self.present.push(id);
        Some(slot)
    }

    #[inline(never)]
    fn replace(&mut self, id: FieldId, value: Value<'a>) {
        let Some(slot) = self.values.get_mut(id.index()) else { return };
        let was_missing = matches!(slot, Value::Missing);
        let is_missing = matches!(value, Value::Missing);
        *slot = value;
        if was_missing && !is_missing {
            self.present.push(id);
        } else if !was_missing && is_missing {
            self.present.retain(|present| *present != id);
        }
    }

    /// The value of a field.
    pub fn get(&self, id: FieldId) -> &Value<'a> {
        self.values.get(id.index()).unwrap_or(&Value::Missing)
    }

    /// The text of a field whose value is text.
    pub fn text(&self, id: FieldId) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The fields that are there, in the order they were set.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, &Value<'a>)> {
        self.present.iter().map(|id| (*id, &self.values[id.index()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_well_known_fields_are_their_places_in_the_schema() {
        let schema = Schema::new();
        assert_eq!(schema.find("source.ip"), Some(field::SOURCE_IP));
        assert_eq!(schema.find("message"), Some(field::MESSAGE));
        assert_eq!(schema.name(field::USER_AGENT), "user_agent.original");
        assert_eq!(schema.find("cs-user-agent"), schema.find("c-useragent"));
    }

    #[test]
    fn the_schema_has_an_end() {
        let mut schema = Schema::new();
        assert!(!schema.is_named_by_rules(field::URL_FULL));
        schema.intern("c-uri");
        assert!(schema.is_named_by_rules(field::URL_FULL) && !schema.is_named_by_rules(field::URL_PATH));
        for n in 0..70_000 {
            schema.intern(&n.to_string());
        }
        assert_eq!(schema.len(), 65_535);
        assert_eq!(schema.find("69999"), Some(FieldId(65_534)));
    }

    #[test]
    fn a_cleared_event_has_no_fields() {
        let schema = Schema::new();
        let mut event = Event::new(&schema);
        event.set(field::STATUS_CODE, Value::Int(404));
        event.set(field::STATUS_CODE, Value::Int(200));
        assert_eq!(event.fields().count(), 1, "setting a field twice must not list it twice");
        event.clear();
        assert_eq!(event.get(field::STATUS_CODE), &Value::Missing);
        assert_eq!(event.fields().count(), 0);
    }

    #[test]
    fn a_copy_says_the_same() {
        let schema = Schema::new();
        let mut event = Event::new(&schema);
        event.at = Some(Timestamp::from_seconds(7));
        event.class = Class::Proxy;
        event.client = Some(IpAddr::from([192, 0, 2, 1]));
        event.unnamed.push(Value::List(vec![Value::text("a"), Value::Null, Value::Bool(true)]));
        event.set(field::STATUS_CODE, Value::Int(404));
        event.set(field::USER_NAME, Value::text("jo"));
        event.set(field::DURATION_SECONDS, Value::Float(0.5));
        let mut copy = Event::new(&schema);
        copy.set(field::MESSAGE, Value::text("to be gone"));
        copy.copy_from(&event);
        assert_eq!(format!("{copy:?}"), format!("{event:?}"));
    }

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_seconds(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp::parse_rfc3339("2026-11-24T10:00:00.25+02:00").map(|at| at.to_string()).as_deref(),
            Some("2026-11-24T08:00:00.25Z")
        );
    }
}
