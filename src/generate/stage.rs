//! Where actors write: one line of an access log, or one application event, at one moment.
//!
//! Ordinary lines are pushed piece by piece into the buffer, since they are nearly all of the output and
//! formatting machinery would be most of the cost. Staged lines go through [`Request`] and are escaped as
//! nginx escapes what clients send.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use crate::generate::clock::Clock;
use crate::generate::random::{Random, mix};

/// What an actor has at hand when it is its turn.
pub(super) struct Stage<'a> {
    pub(super) at_ms: i64,
    pub(super) random: &'a mut Random,
    pub(super) clock: &'a mut Clock,
    pub(super) text: &'a mut String,
}

/// The protocol of a request, as logged.
pub(super) const HTTP_1: &str = "HTTP/1.1";
pub(super) const HTTP_2: &str = "HTTP/2.0";

impl Stage<'_> {
    /// Begins an access-log line, up to where the request's target goes.
    pub(super) fn open(&mut self, address: IpAddr, method: &str) {
        push_address(self.text, address);
        self.text.push_str(" - - [");
        self.text.push_str(self.clock.common(self.at_ms));
        self.text.push_str("] \"");
        self.text.push_str(method);
        self.text.push(' ');
    }

    /// Goes on after the target, up to where the referrer goes.
    pub(super) fn answer(&mut self, protocol: &str, status: u32, bytes: u64) {
        self.text.push(' ');
        self.text.push_str(protocol);
        self.text.push_str("\" ");
        push_number(self.text, u64::from(status));
        self.text.push(' ');
        push_number(self.text, bytes);
        self.text.push_str(" \"");
    }

    /// Ends the line with who says it asks.
    pub(super) fn close(&mut self, agent: &str) {
        self.text.push_str("\" \"");
        self.text.push_str(agent);
        self.text.push('"');
    }

    /// Writes a whole line of which any part may be hostile.
    pub(super) fn request(&mut self, request: &Request<'_>) {
        push_address(self.text, request.address);
        self.text.push_str(" - ");
        push_escaped(self.text, request.user);
        self.text.push_str(" [");
        self.text.push_str(self.clock.common(self.at_ms));
        self.text.push_str("] \"");
        if request.method.is_empty() {
            self.text.push_str(request.target);
            self.text.push_str("\" ");
        } else {
            self.text.push_str(request.method);
            self.text.push(' ');
            push_escaped(self.text, request.target);
            self.text.push(' ');
            self.text.push_str(request.protocol);
            self.text.push_str("\" ");
        }
        push_number(self.text, u64::from(request.status));
        self.text.push(' ');
        push_number(self.text, request.bytes);
        self.text.push_str(" \"");
        push_escaped(self.text, request.referrer);
        self.text.push_str("\" \"");
        push_escaped(self.text, request.agent);
        self.text.push('"');
    }

    /// Writes an application event.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let mut timestamp = String::with_capacity(24);
        self.clock.push_precise(self.at_ms, &mut timestamp);
        let mut action = String::with_capacity(event.action.len() + event.account.len() + 1);
        action.push_str(event.action);
        action.push(':');
        action.push_str(event.account);
        if !event.detail.is_empty() {
            action.push(',');
            action.push_str(event.detail);
        }
        let written = Written {
            timestamp: &timestamp,
            action: &action,
            outcome: event.outcome,
            reason: event.reason,
            account: event.account,
            address: event.address,
            service: event.service,
            factor: event.factor,
            session: event.session.map(|session| format!("{:016x}", mix(session, 3))),
            object_type: event.object.map(|object| object.0),
            object_id: event.object.map(|object| object.1.to_string()),
            bytes: event.bytes,
            agent: event.agent.filter(|agent| *agent != "-"),
        };
        let line = serde_json::to_string(&written).expect("a struct of strings and numbers is always JSON");
        self.text.push_str(&line);
    }
}

/// A request that is written whole.
pub(super) struct Request<'a> {
    pub(super) address: IpAddr,
    pub(super) user: &'a str,
    /// Empty when what came was not HTTP: the target is then the request line, already escaped.
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) protocol: &'a str,
    pub(super) status: u32,
    pub(super) bytes: u64,
    pub(super) referrer: &'a str,
    pub(super) agent: &'a str,
}

/// An application event, with what most events leave out left out by [`Event::of`].
pub(super) struct Event<'a> {
    pub(super) action: &'a str,
    /// What the vocabulary puts behind the account, such as the object that was read.
    pub(super) detail: &'a str,
    pub(super) outcome: &'a str,
    pub(super) reason: Option<&'a str>,
    pub(super) account: &'a str,
    pub(super) address: IpAddr,
    pub(super) service: &'a str,
    pub(super) factor: Option<&'a str>,
    pub(super) session: Option<u64>,
    pub(super) object: Option<(&'a str, u64)>,
    pub(super) bytes: Option<u64>,
    pub(super) agent: Option<&'a str>,
}

impl<'a> Event<'a> {
    pub(super) fn of(action: &'a str, outcome: &'a str, account: &'a str, address: IpAddr) -> Event<'a> {
        Event {
            action,
            detail: "",
            outcome,
            reason: None,
            account,
            address,
            service: "crm",
            factor: None,
            session: None,
            object: None,
            bytes: None,
            agent: None,
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    #[serde(rename = "event.action")]
    action: &'a str,
    #[serde(rename = "event.outcome")]
    outcome: &'a str,
    #[serde(rename = "event.reason", skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(rename = "user.name")]
    account: &'a str,
    #[serde(rename = "source.ip")]
    address: IpAddr,
    #[serde(rename = "service.name")]
    service: &'a str,
    #[serde(rename = "authentication.factor", skip_serializing_if = "Option::is_none")]
    factor: Option<&'a str>,
    #[serde(rename = "session.id", skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(rename = "object.type", skip_serializing_if = "Option::is_none")]
    object_type: Option<&'a str>,
    #[serde(rename = "object.id", skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    #[serde(rename = "http.response.body.bytes", skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(rename = "user_agent.original", skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

/// Writes a number in digits.
pub(super) fn push_number(text: &mut String, number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // Digits are ASCII, so this is always text.
    text.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// Writes a number in hexadecimal digits, as many as are asked for.
pub(super) fn push_hexadecimal(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number >> (4 * place) & 15;
        text.push(char::from(b"0123456789abcdef"[digit as usize]));
    }
}

fn push_address(text: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_number(text, u64::from(first));
            for octet in rest {
                text.push('.');
                push_number(text, u64::from(octet));
            }
        }
        // Writing to a string cannot fail.
        IpAddr::V6(address) => {
            let _ = write!(text, "{address}");
        }
    }
}

/// nginx's default escape: quotes, backslashes and everything that is not printable ASCII as `\xHH`.
fn push_escaped(text: &mut String, raw: &str) {
    for byte in raw.bytes() {
        if byte == b'"' || byte == b'\\' || !(b' '..=b'~').contains(&byte) {
            let _ = write!(text, "\\x{byte:02X}");
        } else {
            text.push(char::from(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Stage<'_>)) -> String {
        let (mut random, mut clock, mut text) = (Random::new(1), Clock::default(), String::new());
        let at_ms = 1_795_514_400_042;
        write(&mut Stage { at_ms, random: &mut random, clock: &mut clock, text: &mut text });
        text
    }

    #[test]
    fn a_hostile_request_is_escaped_as_nginx_does() {
        let line = written(|stage| {
            stage.request(&Request {
                address: IpAddr::from([198, 18, 0, 7]),
                user: "-",
                method: "GET",
                target: "/?q=\"é\\",
                protocol: HTTP_1,
                status: 400,
                bytes: 150,
                referrer: "-",
                agent: "curl/8.5.0",
            });
        });
        let expected = r#"198.18.0.7 - - [24/Nov/2026:10:00:00 +0000] "GET /?q=\x22\xC3\xA9\x5C HTTP/1.1" 400 150 "-" "curl/8.5.0""#;
        assert_eq!(line, expected);
    }

    #[test]
    fn an_event_has_its_fields_and_no_empty_ones() {
        let address = IpAddr::from([198, 18, 0, 7]);
        let line = written(|stage| {
            stage.event(&Event {
                reason: Some("bad_password"),
                ..Event::of("authn_login_fail", "failure", "ana.silva", address)
            });
        });
        let expected = r#"{"@timestamp":"2026-11-24T10:00:00.042Z","event.action":"authn_login_fail:ana.silva","event.outcome":"failure","event.reason":"bad_password","user.name":"ana.silva","source.ip":"198.18.0.7","service.name":"crm"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn numbers_are_written_whole() {
        let mut text = String::new();
        push_number(&mut text, 0);
        push_number(&mut text, u64::MAX);
        push_hexadecimal(&mut text, 0xbeef, 6);
        assert_eq!(text, "01844674407370955161500beef");
    }
}
