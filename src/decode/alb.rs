//! Access log of an AWS application load balancer: columns separated by blanks, some in quotes.
//!
//! Columns are added at the end over the years, so only those up to the user agent must be there.

use super::Undecodable;
use super::access::{Record, Request, peer, some, status};
use super::combined::unescape;
use super::time::Clock;
use crate::event::Timestamp;

/// Type, time, load balancer, client, target, three times, two statuses, two sizes, request; then the user agent.
const NEEDED: usize = 13;
const DOMAIN: usize = 18;

pub(super) fn read<'a>(line: &'a str, clock: &Clock) -> Result<Record<'a>, Undecodable> {
    let mut columns = [("", 0); DOMAIN + 1];
    let mut count = 0;
    let mut at = 0;
    let mut is_cut = false;
    while count < columns.len() && at < line.len() {
        let (text, start, next) = column(line, at).unwrap_or_else(|| {
            is_cut = true;
            (line.get(at + 1..).unwrap_or_default(), at + 1, line.len())
        });
        columns[count] = (text, start);
        count += 1;
        at = next;
    }
    let [
        kind,
        time,
        _balancer,
        client,
        _target,
        waiting,
        working,
        answering,
        code,
        _,
        received,
        sent,
        request,
        agent,
        ..,
    ] = columns;
    if !matches!(kind.0, "http" | "https" | "h2" | "grpcs" | "ws" | "wss") {
        return Err(Undecodable::NotAlb(0));
    }
    if count < NEEDED {
        return Err(Undecodable::Truncated(line.len()));
    }
    let at: Timestamp = clock.rfc3339(time.0).ok_or(Undecodable::BadTime(time.1))?;
    let client_peer = peer(client.0);
    if client_peer.as_ref().is_some_and(|peer| peer.address.is_none()) {
        return Err(Undecodable::BadAddress(client.1));
    }
    Ok(Record {
        at: Some(at),
        peer: client_peer,
        domain: some(columns[DOMAIN].0),
        request: request_of(request.0, is_cut && count == NEEDED),
        status: status(code.0).map_err(|()| Undecodable::BadStatus(code.1))?,
        response_bytes: sent.0.parse().ok(),
        request_bytes: received.0.parse().ok(),
        user_agent: some(agent.0).map(unescape),
        seconds: [waiting.0, working.0, answering.0].iter().try_fold(0.0, |sum, text| {
            match text.parse::<f64>() {
                Ok(seconds) if seconds >= 0.0 && seconds.is_finite() => Some(sum + seconds),
                _ => None,
            }
        }),
        is_cut: is_cut || count == NEEDED,
        ..Record::default()
    })
}

/// `GET https://shop.example:443/a?b HTTP/1.1`: the balancer writes a URL where the client sent a path.
fn request_of(text: &str, is_cut: bool) -> Request<'_> {
    let Some((method, rest)) = text.split_once(' ') else { return Request::None };
    if method == "-" {
        return Request::None;
    }
    let (url, version) = match rest.rsplit_once(' ') {
        Some((url, version)) => (url, version.strip_prefix("HTTP/").filter(|_| !is_cut)),
        None => (rest, None),
    };
    // Of a URL that was cut before its path, the host may be another's.
    if is_cut && url.splitn(4, '/').count() < 4 {
        return Request::None;
    }
    if text.contains('\\') { Request::Line(unescape(text)) } else { Request::Url { method, url, version } }
}

/// A column, where its text starts, and where the next one does; `None` for a quoted one that has no end.
fn column(line: &str, at: usize) -> Option<(&str, usize, usize)> {
    let bytes = line.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        let length = memchr::memchr(b' ', bytes.get(at..)?).unwrap_or(bytes.len() - at);
        return Some((line.get(at..at + length)?, at, at + length + 1));
    }
    let start = at + 1;
    let mut from = start;
    loop {
        let found = from + memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes[found] == b'"' {
            return Some((line.get(start..found)?, start, found + 2));
        }
        from = found + 2;
    }
}
