//! HAProxy's HTTP log, alone or behind a syslog header.
//!
//! `client:port [accept date] frontend backend/server timers status bytes cookies flags connections queues
//! {captures} "request"`. The request is last because it may be cut, for which HAProxy itself has a limit.

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use super::Undecodable;
use super::access::{Peer, Record, Request, some, status};
use super::client;
use super::time::Clock;

pub(super) fn read<'a>(line: &'a str, clock: &mut Clock) -> Result<Record<'a>, Undecodable> {
    // The process id in a syslog header is in brackets too, but nothing that is a time.
    let mut open = None;
    for at in memchr::memchr_iter(b'[', line.as_bytes()).take(4) {
        if at > 0
            && line.as_bytes()[at - 1] == b' '
            && line[at + 1..].starts_with(|first: char| first.is_ascii_digit())
        {
            open = Some(at);
            break;
        }
    }
    let open = open.ok_or(Undecodable::NotHaproxy(0))?;
    let close = open + memchr(b']', &line.as_bytes()[open..]).ok_or(Undecodable::Truncated(line.len()))?;
    let at = clock.clf_local(&line[open + 1..close]).ok_or(Undecodable::BadTime(open + 1))?;

    let head = &line[..open - 1];
    let start = memrchr(b' ', head.as_bytes()).map_or(0, |at| at + 1);
    let peer = match &head[start..] {
        "unix:1" | "unix:0" | "-" | "-:-" => None,
        text => Some(client::address_before_port(text).map(Peer::of).ok_or(Undecodable::BadAddress(start))?),
    };

    let mut words = Words { line, at: close + 1 };
    let [_frontend, server] = [words.next()?, words.next()?];
    if !server.text.contains('/') {
        return Err(Undecodable::NotHaproxy(server.at));
    }
    let [timers, code, bytes, _cookie, _response_cookie, flags, _connections, _queues] =
        words.next_eight()?;
    let status = status(code.text).map_err(|()| Undecodable::BadStatus(code.at))?;
    let response_bytes = bytes.text.trim_start_matches('+').parse().ok();
    let mut record = Record { at: Some(at), peer, status, response_bytes, ..Record::default() };
    record.seconds = timers
        .text
        .rsplit('/')
        .next()
        .and_then(|total| total.trim_start_matches('+').parse::<u32>().ok())
        .map(|millis| f64::from(millis) / 1e3);

    let rest = &line[words.at..];
    let quote = memchr(b'"', rest.as_bytes()).ok_or(Undecodable::Truncated(line.len()))?;
    captures(&rest[..quote], &mut record);
    let request = &rest[quote + 1..];
    let Some(end) = memrchr(b'"', request.as_bytes()) else {
        record.is_cut = true;
        record.request = Request::Start(plain(request));
        return Ok(record);
    };
    let request = &request[..end];
    record.request = match request {
        // Bytes that were refused, which the log does not show; or none ever came.
        "<BADREQ>" if status == Some(400) && flags.text.starts_with("PR") => {
            Request::Line(Cow::Borrowed(request))
        }
        "<BADREQ>" => Request::None,
        request => some(request).map_or(Request::None, |request| Request::Line(plain(request))),
    };
    Ok(record)
}

struct Word<'a> {
    text: &'a str,
    at: usize,
}

struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<Word<'a>, Undecodable> {
        let bytes = self.line.as_bytes();
        if bytes.get(self.at) != Some(&b' ') {
            return Err(if self.at >= bytes.len() {
                Undecodable::Truncated(bytes.len())
            } else {
                Undecodable::NotHaproxy(self.at)
            });
        }
        let at = self.at + 1;
        let end = memchr(b' ', &bytes[at..]).map_or(bytes.len(), |length| at + length);
        self.at = end;
        if at == end { Err(Undecodable::Truncated(end)) } else { Ok(Word { text: &self.line[at..end], at }) }
    }

    fn next_eight(&mut self) -> Result<[Word<'a>; 8], Undecodable> {
        Ok([
            self.next()?,
            self.next()?,
            self.next()?,
            self.next()?,
            self.next()?,
            self.next()?,
            self.next()?,
            self.next()?,
        ])
    }
}

/// Headers that the configuration captures, `{a|b}`; which ones, only their looks say.
fn captures<'a>(text: &'a str, record: &mut Record<'a>) {
    let Some(inner) = text.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(inner, _)| inner)
    else {
        return;
    };
    for value in inner.split('|').filter_map(some) {
        if client::is_forwarding_list(value) {
            // Of two the first is a Host that is an address: what was forwarded is captured behind it.
            if let Some(Cow::Borrowed(host)) = record.forwarded.replace(Cow::Borrowed(value)) {
                record.domain.get_or_insert(super::target::without_port(host));
            }
        } else if value.starts_with("http://") || value.starts_with("https://") {
            record.referrer.get_or_insert(plain(value));
        } else if is_host(value) {
            record.domain.get_or_insert(super::target::without_port(value));
        } else if value.contains('/') && value.starts_with(|first: char| first.is_ascii_alphabetic()) {
            record.user_agent.get_or_insert(plain(value));
        }
    }
}

fn is_host(text: &str) -> bool {
    let name = super::target::without_port(text);
    (name.contains('.') || name == "localhost")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Takes off `#22`, which is how a byte that cannot be printed is written.
fn plain(text: &str) -> Cow<'_, str> {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if !text.contains('#') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'#'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    Cow::Owned(super::target::text(bytes))
}
