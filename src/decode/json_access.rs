//! Access logs that servers write as JSON: a status, and a request line or a method and a target.

use std::borrow::Cow;

use super::access::{Record, Request, peer, some};
use super::json::{Found, usable};
use super::json_names::Role;
use crate::event::{Event, FieldId, Value, field};

/// The record that an object is, if it is an access log's.
pub(super) fn record<'a>(found: &Found<'a>, event: &Event<'a>) -> Option<Record<'a>> {
    if is_ecs(found, event) { ecs(event) } else { named(found) }
}

/// Whether the record has ECS names and says that it is of an access log.
pub(super) fn is_ecs(found: &Found<'_>, event: &Event<'_>) -> bool {
    let is_web = |value: &Value<'_>| matches!(value, Value::Text(text) if text == "web");
    let in_category = match event.get(field::EVENT_CATEGORY) {
        Value::List(values) => values.iter().any(is_web),
        value => is_web(value),
    };
    let of_access_log = found.text(Role::Dataset).is_some_and(|dataset| dataset.ends_with(".access"));
    (in_category || of_access_log)
        && (event.get(field::STATUS_CODE).is_some() || found.is_cut)
        && event.get(field::URL_ORIGINAL).is_some()
}

fn named<'a>(found: &Found<'a>) -> Option<Record<'a>> {
    let status =
        number(found.get(Role::Status)).and_then(|status| u16::try_from(status).ok()).filter(|s| *s < 1000);
    // A line may be cut before its status.
    let is_one = status.is_some()
        || (found.is_cut && (usable(found.get(Role::Client)) || usable(found.get(Role::RequestLine))));
    let request = request(found).filter(|_| is_one)?;
    let client = found.text(Role::Client).cloned().and_then(borrowed);
    Some(Record {
        at: None,
        peer: client.and_then(peer),
        forwarded: joined(found.get(Role::Forwarded)),
        user: found.text(Role::User).cloned(),
        domain: found
            .text(Role::Host)
            .cloned()
            .and_then(borrowed)
            .and_then(|host| some(super::target::without_port(host))),
        request,
        status,
        response_bytes: number(found.get(Role::ResponseBytes)),
        request_bytes: number(found.get(Role::RequestBytes)),
        referrer: found.text(Role::Referrer).cloned(),
        user_agent: found.text(Role::UserAgent).cloned(),
        seconds: seconds(found),
        mime_type: found.text(Role::MimeType).cloned(),
        is_cut: found.is_cut,
    })
}

fn request<'a>(found: &Found<'a>) -> Option<Request<'a>> {
    // nginx writes `""` and Apache `-` for a request that never came.
    if let Value::Text(line) = found.get(Role::RequestLine)
        && (line.contains(' ') || found.text(Role::Method).is_none())
    {
        return Some(match some(line) {
            Some(_) if found.is_request_cut => Request::Start(line.clone()),
            Some(_) => Request::Line(line.clone()),
            None => Request::None,
        });
    }
    let method = found.text(Role::Method)?.clone();
    let version = found.text(Role::Version).cloned().and_then(borrowed).and_then(version);
    let target = match (found.text(Role::Target), found.text(Role::Url)) {
        (Some(target), _) => target.clone(),
        (None, Some(Cow::Borrowed(url))) => {
            let method = borrowed(method)?;
            return Some(Request::Url { method, url, version });
        }
        _ => return None,
    };
    let target = match found.text(Role::Query) {
        Some(query) if !target.contains('?') => {
            Cow::Owned(format!("{target}?{}", query.trim_start_matches('?')))
        }
        _ => target,
    };
    Some(Request::Parts { method, target, version })
}

fn version(text: &str) -> Option<&str> {
    let version = text.strip_prefix("HTTP/").unwrap_or(text);
    version.starts_with(|first: char| first.is_ascii_digit()).then_some(version)
}

/// Text that needed no unescaping, as addresses and hosts never do.
fn borrowed(text: Cow<'_, str>) -> Option<&str> {
    match text {
        Cow::Borrowed(text) => some(text),
        Cow::Owned(_) => None,
    }
}

/// A header, which some servers log as the list of its lines.
fn joined<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::List(values) => match values.as_slice() {
            [Value::Text(only)] => Some(only.clone()),
            _ => Some(Cow::Owned(values.iter().filter_map(Value::to_text).collect::<Vec<_>>().join(", "))),
        },
        _ => None,
    }
}

pub(super) fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        other => other.to_number().map(|number| number as i64),
    }
}

fn seconds(found: &Found<'_>) -> Option<f64> {
    let number = |role| found.get(role).to_number();
    number(Role::Seconds)
        .or_else(|| number(Role::Milliseconds).map(|millis| millis / 1e3))
        .or_else(|| number(Role::Nanoseconds).map(|nanos| nanos / 1e9))
        .or_else(|| match found.get(Role::Duration) {
            Value::Int(millis) => Some(*millis as f64 / 1e3),
            other => other.to_number(),
        })
}

/// A record of Filebeat and others that use ECS names: read back from the fields.
fn ecs<'a>(event: &Event<'a>) -> Option<Record<'a>> {
    let text = |id: FieldId| match event.get(id) {
        Value::Text(text) => some(text).map(|_| text.clone()),
        _ => None,
    };
    let target = text(field::URL_ORIGINAL)?;
    let request = match text(field::REQUEST_METHOD) {
        Some(method) => Request::Parts {
            method,
            target,
            version: text(field::HTTP_VERSION).and_then(borrowed).and_then(version),
        },
        None => Request::Line(target),
    };
    Some(Record {
        at: None,
        peer: text(field::SOURCE_IP).and_then(borrowed).and_then(peer),
        forwarded: None,
        user: text(field::USER_NAME),
        domain: text(field::URL_DOMAIN).and_then(borrowed),
        request,
        status: number(event.get(field::STATUS_CODE)).and_then(|status| u16::try_from(status).ok()),
        response_bytes: number(event.get(field::RESPONSE_BYTES)),
        request_bytes: number(event.get(field::REQUEST_BYTES)),
        referrer: text(field::REFERRER),
        user_agent: text(field::USER_AGENT),
        seconds: event.get(field::DURATION_SECONDS).to_number(),
        mime_type: text(field::RESPONSE_MIME_TYPE),
        is_cut: false,
    })
}
