//! What every access log says, whatever its format: a [`Record`], and the event that it makes.
//!
//! All that is derived is derived here, so that a request means the same in every format.

use std::borrow::Cow;

use super::client;
use super::login::{Login, Outcome};
use super::request_line::{is_no_method, split_request, split_start};
use super::target::{self, Parts};
use super::{Decoded, Settings, login};
use crate::event::{Class, Event, FieldId, Timestamp, Value, field};

/// One request as logged. Text that is missing is `None`; `-` has been taken for missing already.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub at: Option<Timestamp>,
    /// The peer, as text and parsed where it is an address.
    pub peer: Option<Peer<'a>>,
    /// `X-Forwarded-For` or `Forwarded`.
    pub forwarded: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub domain: Option<&'a str>,
    pub request: Request<'a>,
    pub status: Option<u16>,
    pub response_bytes: Option<i64>,
    pub request_bytes: Option<i64>,
    pub referrer: Option<Cow<'a, str>>,
    pub user_agent: Option<Cow<'a, str>>,
    pub seconds: Option<f64>,
    pub mime_type: Option<Cow<'a, str>>,
    /// Whether the line ends before the record does.
    pub is_cut: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a> {
    pub text: &'a str,
    pub address: Option<std::net::IpAddr>,
}

impl<'a> Peer<'a> {
    #[inline]
    pub(super) fn of((text, address): (&'a str, std::net::IpAddr)) -> Self {
        Self { text, address: Some(address) }
    }
}

/// What was asked.
#[derive(Debug, Default)]
pub(super) enum Request<'a> {
    /// Nothing: the connection ended before a request.
    #[default]
    None,
    /// The request line as it came, HTTP or not.
    Line(Cow<'a, str>),
    /// The start of a request line, in which the log's line was cut.
    Start(Cow<'a, str>),
    /// Method, target and version, which the log has apart.
    Parts { method: Cow<'a, str>, target: Cow<'a, str>, version: Option<&'a str> },
    /// The log has the absolute URL where the client sent a path.
    Url { method: &'a str, url: &'a str, version: Option<&'a str> },
}

/// `None` for the ways logs say that there is nothing.
#[inline]
pub(super) fn some(text: &str) -> Option<&str> {
    if matches!(text, "-" | "") { None } else { Some(text) }
}

/// Three digits. `-` and HAProxy's `-1` mean that there was no response.
#[inline]
pub(super) fn status(text: &str) -> Result<Option<u16>, ()> {
    match text.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok(Some(digit(a) * 100 + digit(b) * 10 + digit(c)))
        }
        b"-" | b"-1" => Ok(None),
        _ => Err(()),
    }
}

/// Whether a status was cut here.
pub(super) fn is_start_of_status(text: &str) -> bool {
    text.len() < 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl<'a> Record<'a> {
    /// Makes an event of the record.
    #[inline]
    pub(super) fn fill(self, settings: &Settings, event: &mut Event<'a>) -> Decoded {
        event.at = self.at;
        event.class = settings.class.unwrap_or(Class::Webserver);
        if let Some(peer) = self.peer {
            fill_client(settings, peer, self.forwarded, event);
        }
        if let Some(domain) = self.domain {
            event.set_text(field::URL_DOMAIN, domain);
        }
        let status = self.status.unwrap_or(0);
        let mut login = match self.request {
            Request::None => None,
            Request::Line(Cow::Borrowed(line)) => fill_line(settings, line, status, Event::set_text, event),
            Request::Line(Cow::Owned(line)) => fill_line(settings, &line, status, set_copy, event),
            Request::Start(Cow::Borrowed(start)) => {
                fill_start(settings, start, status, Event::set_text, event)
            }
            Request::Start(Cow::Owned(start)) => fill_start(settings, &start, status, set_copy, event),
            Request::Parts { method: Cow::Borrowed(method), target: Cow::Borrowed(target), version } => {
                fill_request(settings, (method, target, version), status, Event::set_text, event)
            }
            Request::Parts { method, target, version } => {
                fill_request(settings, (&method, &target, version), status, set_copy, event)
            }
            Request::Url { method, url, version } => {
                let parts = Parts::of(method, url);
                let relative = if parts.absolute { parts.relative } else { url };
                event.set_text(field::URL_FULL, url);
                if let Some(host) = parts.host.and_then(some) {
                    event.set_text(field::URL_DOMAIN, host);
                }
                fill_request(settings, (method, relative, version), status, Event::set_text, event)
            }
        };
        if let Some(user) = self.user {
            if login.is_none() && status == 401 {
                login = Some(Login { outcome: Outcome::Failure, user: None });
            }
            set_cow(event, field::USER_NAME, Some(user));
        } else if let Some(user) = login.as_mut().and_then(|login| login.user.take()) {
            event.set(field::USER_NAME, Value::Text(Cow::Owned(user)));
        }
        fill_outcome(login.map(|login| login.outcome), status, event);
        if let Some(status) = self.status {
            event.set(field::STATUS_CODE, Value::Int(i64::from(status)));
        }
        if let Some(bytes) = self.response_bytes {
            event.set(field::RESPONSE_BYTES, Value::Int(bytes));
        }
        if let Some(bytes) = self.request_bytes {
            event.set(field::REQUEST_BYTES, Value::Int(bytes));
        }
        set_cow(event, field::REFERRER, self.referrer);
        set_cow(event, field::USER_AGENT, self.user_agent);
        if let Some(seconds) = self.seconds {
            event.set(field::DURATION_SECONDS, Value::Float(seconds));
        }
        set_cow(event, field::RESPONSE_MIME_TYPE, self.mime_type);
        if self.is_cut {
            flag_truncated(event);
            return Decoded::Truncated;
        }
        Decoded::Event
    }
}

/// Fills `url.full` where the log has no absolute URL. Not every event is worth the memory: only if a rule asks.
#[cold]
pub(super) fn derive_full_url(event: &mut Event<'_>) {
    if !matches!(event.get(field::URL_FULL), Value::Missing) {
        return;
    }
    let target = match event.get(field::URL_ORIGINAL) {
        // Only what was a request of HTTP has a normal form.
        Value::Text(target) if event.get(field::URL_NORMALIZED).is_some() => target.clone(),
        _ => return,
    };
    let full = match event.text(field::URL_DOMAIN) {
        Some(host) if target.starts_with('/') => {
            let full = Value::Text(Cow::Owned(format!("http://{host}{target}")));
            Value::List(vec![Value::Text(target), full])
        }
        _ => Value::Text(target),
    };
    event.set(field::URL_FULL, full);
}

/// Says of an event that its line was cut.
#[cold]
pub(super) fn flag_truncated(event: &mut Event<'_>) {
    event.set(field::LOG_FLAGS, Value::text("truncated"));
}

/// Sets a field to text, if there is any.
#[inline(always)]
fn set_cow<'a>(event: &mut Event<'a>, id: FieldId, text: Option<Cow<'a, str>>) {
    match text {
        Some(Cow::Borrowed(text)) => event.set_text(id, text),
        Some(Cow::Owned(text)) => event.set(id, Value::Text(Cow::Owned(text))),
        None => {}
    }
}

/// Sets a field to text that does not live as long as the event.
fn set_copy(event: &mut Event<'_>, id: FieldId, text: &str) {
    event.set(id, Value::Text(owned(text)));
}

fn owned<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(text.to_owned())
}

#[inline]
fn fill_client<'a>(
    settings: &Settings,
    peer: Peer<'a>,
    forwarded: Option<Cow<'a, str>>,
    event: &mut Event<'a>,
) {
    event.client = peer.address;
    event.set_text(field::SOURCE_IP, peer.text);
    if settings.proxies.is_empty() {
        return;
    }
    let (Some(address), Some(forwarded)) = (peer.address, forwarded) else { return };
    let client = match &forwarded {
        Cow::Borrowed(list) => {
            settings.proxies.forwarded(address, list).map(|(text, ip)| (Cow::Borrowed(text), ip))
        }
        Cow::Owned(list) => settings.proxies.forwarded(address, list).map(|(text, ip)| (owned(text), ip)),
    };
    if let Some((text, address)) = client {
        event.client = Some(address);
        event.set(field::SOURCE_IP, Value::Text(text));
    }
}

/// A request line: HTTP, or whatever a scanner sends.
#[inline]
fn fill_line<'a, 't>(
    settings: &Settings,
    line: &'t str,
    status: u16,
    put: impl Fn(&mut Event<'a>, FieldId, &'t str),
    event: &mut Event<'a>,
) -> Option<Login> {
    match split_request(line) {
        Some(request) => fill_request(settings, request, status, put, event),
        None => {
            put(event, field::URL_ORIGINAL, line);
            event.set_text(field::EVENT_ACTION, "malformed_request");
            None
        }
    }
}

/// What there is of a request line that was cut.
#[cold]
fn fill_start<'a, 't>(
    settings: &Settings,
    start: &'t str,
    status: u16,
    put: impl Fn(&mut Event<'a>, FieldId, &'t str),
    event: &mut Event<'a>,
) -> Option<Login> {
    match split_start(start) {
        Some(request) => return fill_request(settings, request, status, put, event),
        None if is_no_method(start) => {
            put(event, field::URL_ORIGINAL, start);
            event.set_text(field::EVENT_ACTION, "malformed_request");
        }
        None => {}
    }
    None
}

#[inline]
fn fill_request<'a, 't>(
    settings: &Settings,
    (method, target, version): (&'t str, &'t str, Option<&'t str>),
    status: u16,
    put: impl Fn(&mut Event<'a>, FieldId, &'t str),
    event: &mut Event<'a>,
) -> Option<Login> {
    put(event, field::REQUEST_METHOD, method);
    put(event, field::URL_ORIGINAL, target);
    let is_normal = match target::normalize(target) {
        Cow::Borrowed(normal) => {
            put(event, field::URL_NORMALIZED, normal);
            true
        }
        Cow::Owned(normal) => {
            event.set(field::URL_NORMALIZED, Value::Text(Cow::Owned(normal)));
            false
        }
    };
    if let Some(version) = version {
        match version {
            "2" => event.set_text(field::HTTP_VERSION, "2.0"),
            "3" => event.set_text(field::HTTP_VERSION, "3.0"),
            other => put(event, field::HTTP_VERSION, other),
        }
    }
    let parts = Parts::of(method, target);
    if let Some(host) = parts.host.and_then(some) {
        put(event, field::URL_DOMAIN, host);
    }
    if parts.absolute {
        put(event, field::URL_FULL, target);
    }
    if !parts.path.is_empty() {
        put(event, field::URL_PATH, parts.path);
    }
    if let Some(query) = parts.query {
        put(event, field::URL_QUERY, query);
    }
    if let Some(extension) = target::extension(parts.path) {
        match extension {
            Cow::Borrowed(extension) => put(event, field::URL_EXTENSION, extension),
            Cow::Owned(extension) => event.set(field::URL_EXTENSION, Value::Text(Cow::Owned(extension))),
        }
    }
    if let Some((kind, id)) = target::object(parts.path) {
        event.set(field::OBJECT_TYPE, Value::Text(Cow::Owned(kind)));
        put(event, field::OBJECT_ID, id);
    }
    if !settings.logins.know_method(method) {
        return None;
    }
    // Not the path in the normal target: a `?` that was encoded ends no path.
    let path = if is_normal { Cow::Borrowed(parts.path) } else { target::normalize(parts.path) };
    settings.logins.find(method, &path, parts.query, status)
}

#[inline]
fn fill_outcome(login: Option<login::Outcome>, status: u16, event: &mut Event<'_>) {
    match login {
        Some(outcome) => {
            event.set_text(field::EVENT_CATEGORY, "authentication");
            event.set_text(field::EVENT_ACTION, outcome.action());
            event.set_text(field::EVENT_OUTCOME, outcome.name());
        }
        None => {
            event.set_text(field::EVENT_CATEGORY, "web");
            let outcome = match status {
                ..100 => "unknown",
                100..400 => "success",
                400.. => "failure",
            };
            event.set_text(field::EVENT_OUTCOME, outcome);
        }
    }
}

/// The peer of a record that has the address alone, with or without a port.
pub(super) fn peer(text: &str) -> Option<Peer<'_>> {
    let text = some(text).filter(|text| *text != "unix:")?;
    match client::address_with_port(text) {
        Some(found) => Some(Peer::of(found)),
        None => Some(Peer { text, address: None }),
    }
}
