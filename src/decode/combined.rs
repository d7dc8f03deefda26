//! The combined log format of nginx, Apache and their kin, and the common format, which is its first half.
//!
//! `[vhost] client ident user [time] "request" status bytes ["referrer" "user agent" [anything]]`
//!
//! The hot path: everything but the line's own text is skipped over with memchr and nothing is allocated.
//! User names may hold blanks and brackets, so the anchor is `[time] "`, which no user name can hold: servers escape the
//! quotes in them, even those that log the quotes of a request as they come.

use std::borrow::Cow;
use std::net::IpAddr;

use memchr::{memchr, memchr2, memmem};

use super::access::{Peer, Record, Request, is_start_of_status, some, status};
use super::client;
use super::request_line::tells;
use super::time::{CLF_LENGTH, Clock};
use super::{FirstAddress, Settings, Undecodable};
use crate::event::Timestamp;

#[inline]
pub(super) fn read<'a>(
    line: &'a str,
    settings: &Settings,
    clock: &mut Clock,
    record: &mut Record<'a>,
) -> Result<(), Undecodable> {
    let bytes = line.as_bytes();
    let Anchor { open, at, quote } = anchor(line, clock)?;
    let head = head(line, open, settings)?;

    let request = quoted(line, quote, true);
    record.at = Some(at);
    record.peer = head.peer;
    record.forwarded = head.forwarded;
    record.user = head.user.map(unescape);
    record.domain = head.domain;
    let Some(request) = request else { return cut_request(&line[quote + 1..], line.len(), record) };
    if some(request).is_some() {
        record.request = Request::Line(unescape(request));
    }

    let start = quote + request.len() + 3;
    let Some((code, start)) = word(line, start) else { return cut(record) };
    record.status = match status(code) {
        Ok(status) => status,
        Err(()) if start == bytes.len() && is_start_of_status(code) => return cut(record),
        Err(()) => return Err(Undecodable::BadStatus(start - code.len())),
    };
    let Some((size, start)) = word(line, start + 1) else { return cut(record) };
    record.response_bytes = Some(match size {
        "-" => 0,
        digits => digits.parse().map_err(|_| Undecodable::NotCombined(start - size.len()))?,
    });

    if start >= bytes.len() {
        return Ok(());
    }
    let rest = start + 1;
    if bytes.get(rest) != Some(&b'"') {
        return extras(line, rest, record);
    }
    let Some(referrer) = quoted(line, rest, false) else {
        record.referrer = some(&line[rest + 1..]).map(unescape);
        return cut(record);
    };
    record.referrer = some(referrer).map(unescape);
    let agent = rest + referrer.len() + 3;
    match bytes.get(agent) {
        Some(b'"') => {}
        Some(_) => return Err(Undecodable::NotCombined(agent)),
        None => return cut(record),
    }
    let Some(user_agent) = quoted(line, agent, false) else {
        record.user_agent = some(&line[agent + 1..]).map(unescape);
        return cut(record);
    };
    record.user_agent = some(user_agent).map(unescape);
    let rest = agent + user_agent.len() + 2;
    if rest < bytes.len() {
        extras(line, rest, record)?;
    }
    Ok(())
}

/// The line ends here: what there is, is the record.
#[cold]
fn cut(record: &mut Record<'_>) -> Result<(), Undecodable> {
    record.is_cut = true;
    Ok(())
}

#[cold]
fn cut_request<'a>(start: &'a str, length: usize, record: &mut Record<'a>) -> Result<(), Undecodable> {
    let start = unescape(start);
    if !tells(&start) {
        return Err(Undecodable::Truncated(length));
    }
    record.request = Request::Start(start);
    cut(record)
}

/// Where the time stands and what it is, and where the request's quote is.
struct Anchor {
    open: usize,
    at: Timestamp,
    quote: usize,
}

#[inline]
fn anchor(line: &str, clock: &mut Clock) -> Result<Anchor, Undecodable> {
    let bytes = line.as_bytes();
    let Some(first) = memchr(b'[', bytes) else { return Err(no_bracket(bytes)) };
    let close = first + 1 + CLF_LENGTH;
    if let Some(b"] \"") = bytes.get(close..close + 3)
        && let Some(at) = clock.clf(&bytes[first + 1..])
    {
        return Ok(Anchor { open: first, at, quote: close + 2 });
    }
    unusual_anchor(line, first, clock)
}

/// A bracket before the time, or a time in another spelling.
#[cold]
fn unusual_anchor(line: &str, first: usize, clock: &mut Clock) -> Result<Anchor, Undecodable> {
    let bytes = line.as_bytes();
    let mut reason = None;
    let is_date = |open: usize| bytes.get(open + 1).is_some_and(u8::is_ascii_digit);
    for open in memchr::memchr_iter(b'[', &bytes[first..]).map(|at| first + at).take(8) {
        let rest = &bytes[open..bytes.len().min(open + 64)];
        let Some(close) = memmem::find(rest, b"] ").map(|at| open + at) else {
            if is_date(open) && bytes.len() - open <= 64 {
                reason = reason.or(Some(Undecodable::Truncated(bytes.len())));
            }
            continue;
        };
        let text = &line[open + 1..close];
        let at = clock.any(text).or_else(|| with_fraction(text, clock));
        match (at, bytes.get(close + 2)) {
            (Some(at), Some(b'"')) => return Ok(Anchor { open, at, quote: close + 2 }),
            (Some(_), Some(_)) => reason = reason.or(Some(Undecodable::NotCombined(close + 2))),
            (Some(_), None) => reason = reason.or(Some(Undecodable::Truncated(bytes.len()))),
            (None, _) if is_date(open) => reason = reason.or(Some(Undecodable::BadTime(open + 1))),
            (None, _) => {}
        }
    }
    Err(reason.unwrap_or(Undecodable::NotCombined(0)))
}

/// `24/Nov/2026:10:00:00.123 +0000`
fn with_fraction(text: &str, clock: &mut Clock) -> Option<Timestamp> {
    let (time, rest) = text.split_once('.')?;
    let (fraction, offset) = rest.split_once(' ')?;
    let whole = clock.clf(format!("{time} {offset}").as_bytes())?;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    Some(Timestamp::from_micros(whole.as_micros() + (fraction * 1e6) as i64))
}

#[cold]
fn no_bracket(bytes: &[u8]) -> Undecodable {
    // A beginning as it should be, and then nothing: the line was cut.
    if bytes.len() < 64 && !bytes.contains(&b'"') && bytes.first().is_some_and(u8::is_ascii_hexdigit) {
        Undecodable::Truncated(bytes.len())
    } else {
        Undecodable::NotCombined(0)
    }
}

/// What stands before the time.
#[derive(Default)]
struct Head<'a> {
    peer: Option<Peer<'a>>,
    forwarded: Option<Cow<'a, str>>,
    user: Option<&'a str>,
    domain: Option<&'a str>,
}

#[inline]
fn head<'a>(line: &'a str, open: usize, settings: &Settings) -> Result<Head<'a>, Undecodable> {
    let text = &line[..open];
    let Some(text) = text.strip_suffix(' ') else { return Err(Undecodable::NotCombined(open)) };
    let (first, rest) = match memchr(b' ', text.as_bytes()) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, ""),
    };
    match client::address(first) {
        Some(found) if matches!(rest.as_bytes().first(), Some(b'-') | None) => {
            Ok(Head { peer: Some(Peer::of(found)), user: user(rest), ..Head::default() })
        }
        Some(found) => Ok(two_addresses(found, rest, settings)),
        None => unusual_head(text, open),
    }
}

/// `203.0.113.9 192.0.2.7 - ann`: an address where the `-` of the second column is expected.
#[cold]
fn two_addresses<'a>(first: (&'a str, IpAddr), rest: &'a str, settings: &Settings) -> Head<'a> {
    let second = rest.split_once(' ').filter(|(_, after)| after.starts_with("- "));
    let second = second.and_then(|(text, after)| Some((client::address_with_port(text)?, after)));
    let Some((second, after)) = second else {
        return Head { peer: Some(Peer::of(first)), user: user(rest), ..Head::default() };
    };
    let user = user(after);
    match settings.first_address {
        FirstAddress::Host => {
            Head { peer: Some(Peer::of(second)), domain: Some(first.0), user, ..Head::default() }
        }
        FirstAddress::Client => Head {
            peer: Some(Peer::of(first)),
            forwarded: Some(Cow::Borrowed(second.0)),
            user,
            ..Head::default()
        },
    }
}

/// `ident user`, of which the second may have blanks.
#[inline]
fn user(text: &str) -> Option<&str> {
    match text {
        "- -" => None,
        _ => {
            let user = text.split_once(' ')?.1.trim();
            // A column more in front, with nothing in it.
            some(user.strip_prefix("- ").unwrap_or(user)).filter(|user| *user != "\"\"")
        }
    }
}

/// A client that is not an address, or something before it: a virtual host, a syslog header, or all of
/// `X-Forwarded-For`.
#[cold]
fn unusual_head(text: &str, open: usize) -> Result<Head<'_>, Undecodable> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    if first.ends_with(',') {
        return forwarded_head(text, open);
    }
    let (second, after) = rest.split_once(' ').unwrap_or((rest, ""));
    if let Some(found) = client::address(second).filter(|_| after.contains(' ')) {
        let domain = some(super::target::without_port(first));
        return Ok(Head { peer: Some(Peer::of(found)), user: user(after), domain, ..Head::default() });
    }
    let has_port = first.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && client::is_port(port));
    if has_port && is_host(second) && after.contains(' ') {
        let domain = some(super::target::without_port(first));
        let peer = Some(Peer { text: second, address: None });
        return Ok(Head { peer, user: user(after), domain, ..Head::default() });
    }
    // `<190>Nov 24 10:00:00 web1 nginx: 192.0.2.1 - -`
    if (first.starts_with('<') || first.len() == 3 || first.starts_with("20"))
        && let Some((_, message)) = text.split_once(": ")
        && let Some((client, rest)) = message.split_once(' ')
        && client::address(client).is_some()
    {
        return Ok(Head { peer: client::address(client).map(Peer::of), user: user(rest), ..Head::default() });
    }
    let peer = match first {
        "-" | "unix:" => None,
        host if is_host(host) => Some(Peer { text: host, address: None }),
        // A connection's address with its port, where a format says so.
        other => Some(client::address_with_port(other).map(Peer::of).ok_or(Undecodable::BadAddress(0))?),
    };
    Ok(Head { peer, user: user(rest), ..Head::default() })
}

/// `203.0.113.7, 10.0.0.1 - -`: a header in the place of the peer; its last element is who wrote it.
fn forwarded_head(text: &str, open: usize) -> Result<Head<'_>, Undecodable> {
    let comma = text.rfind(", ").ok_or(Undecodable::BadAddress(0))?;
    let (last, rest) = text[comma + 2..].split_once(' ').ok_or(Undecodable::NotCombined(open))?;
    let peer = client::address_with_port(last).map(Peer::of).ok_or(Undecodable::BadAddress(comma + 2))?;
    let forwarded = Some(Cow::Borrowed(&text[..comma]));
    Ok(Head { peer: Some(peer), forwarded, user: user(rest), domain: None })
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The text of the quoted field that opens at `open`, still escaped.
///
/// Some servers log quotes as they come, so the end of a request is a quote that a status follows, if there is one.
#[inline]
fn quoted(line: &str, open: usize, status_follows: bool) -> Option<&str> {
    let bytes = line.as_bytes();
    let start = open + 1;
    let mut from = start;
    let mut first = None;
    while let Some(at) = memchr2(b'"', b'\\', bytes.get(from..)?) {
        let at = from + at;
        if bytes[at] == b'\\' {
            from = at + 2;
            continue;
        }
        let follows = &bytes[at + 1..];
        if !status_follows || matches!(follows, [b' ', b'0'..=b'9' | b'-', ..] | []) {
            return line.get(start..at);
        }
        first = first.or(Some(at));
        from = at + 1;
    }
    line.get(start..first?)
}

/// The text up to the next blank, and where that is.
#[inline]
fn word(line: &str, start: usize) -> Option<(&str, usize)> {
    let bytes = line.as_bytes().get(start..)?;
    let length = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    if length == 0 { None } else { Some((line.get(start..start + length)?, start + length)) }
}

/// Takes off `\x22`, `\"` and the like, where there is a backslash at all.
#[inline]
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    match memchr(b'\\', text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(first) => Cow::Owned(unescaped(text, first)),
    }
}

#[cold]
fn unescaped(text: &str, first: usize) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let (plain, mut rest) = text.as_bytes().split_at(first);
    bytes.extend_from_slice(plain);
    loop {
        rest = match rest {
            [] => break,
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                after
            }
            [b'\\', escape @ (b'"' | b'\\' | b'n' | b't' | b'r' | b'b' | b'v' | b'f'), after @ ..] => {
                bytes.push(match escape {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'v' => 11,
                    b'f' => 12,
                    other => *other,
                });
                after
            }
            [other, after @ ..] => {
                bytes.push(*other);
                after
            }
        };
    }
    super::target::text(bytes)
}

/// What a server's own format adds at the end: a time taken, what was forwarded, and much that says nothing here.
fn extras<'a>(line: &'a str, start: usize, record: &mut Record<'a>) -> Result<(), Undecodable> {
    let mut at = start;
    while at < line.len() {
        match line.as_bytes()[at] {
            b' ' => at += 1,
            b'"' => {
                let Some(text) = quoted(line, at, false) else { return cut(record) };
                at += text.len() + 2;
                let text = unescape(text);
                if client::is_forwarding_list(&text) {
                    record.forwarded.get_or_insert(text);
                }
            }
            _ => {
                let Some((text, end)) = word(line, at) else { break };
                at = end;
                record.seconds = record.seconds.or_else(|| seconds(text));
            }
        }
    }
    Ok(())
}

/// A time taken: `0.004` seconds, or `12ms`. A whole number may be any unit, or a count.
fn seconds(text: &str) -> Option<f64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse::<u32>().ok().map(|millis| f64::from(millis) / 1000.0);
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().filter(|byte| *byte == b'.').count() == 1;
    if is_decimal { text.parse().ok() } else { None }
}
