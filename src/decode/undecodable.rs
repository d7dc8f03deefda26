//! Why a line is not an event.

use std::fmt;

/// Why a line is not an event, and at which byte that showed.
///
/// A closed set, because each reason is the label of a counter: an unreadable line is never silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undecodable {
    /// The line is longer than [`super::LINE_LIMIT`], and its start says too little.
    TooLong,
    /// Not a line of the combined or common format.
    NotCombined(usize),
    /// Not a JSON object.
    NotJson(usize),
    /// Not a line of an HAProxy HTTP log.
    NotHaproxy(usize),
    /// Not a line of an AWS load balancer's log.
    NotAlb(usize),
    /// Not a line with the columns of the last `#Fields:` header.
    NotW3c(usize),
    /// No time where the format must have one.
    NoTime,
    /// The time is not one.
    BadTime(usize),
    /// The client is neither an address nor the name of a host.
    BadAddress(usize),
    /// The status is not three digits.
    BadStatus(usize),
    /// The line ends before anything is told that could be an event.
    Truncated(usize),
}

impl Undecodable {
    /// One of each, for a counter to exist before it counts.
    pub const ALL: [Self; 11] = [
        Self::TooLong,
        Self::NotCombined(0),
        Self::NotJson(0),
        Self::NotHaproxy(0),
        Self::NotAlb(0),
        Self::NotW3c(0),
        Self::NoTime,
        Self::BadTime(0),
        Self::BadAddress(0),
        Self::BadStatus(0),
        Self::Truncated(0),
    ];

    /// The name of the reason, without the place.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotCombined(_) => "not_combined",
            Self::NotJson(_) => "not_json",
            Self::NotHaproxy(_) => "not_haproxy",
            Self::NotAlb(_) => "not_alb",
            Self::NotW3c(_) => "not_w3c",
            Self::NoTime => "no_time",
            Self::BadTime(_) => "bad_time",
            Self::BadAddress(_) => "bad_address",
            Self::BadStatus(_) => "bad_status",
            Self::Truncated(_) => "truncated",
        }
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, at) = match self {
            Self::TooLong => return write!(f, "expected a request in the first {} bytes", super::LINE_LIMIT),
            Self::NoTime => return write!(f, "expected a time, as a column or in a `#Date:` header"),
            Self::NotCombined(at) => (r#"`client - user [time] "request" status bytes`"#, at),
            Self::NotJson(at) => ("a JSON object", at),
            Self::NotHaproxy(at) => {
                (r#"`client:port [time] frontend backend/server timers status ... "request"`"#, at)
            }
            Self::NotAlb(at) => ("the columns of a load balancer's log", at),
            Self::NotW3c(at) => ("the columns of the last `#Fields:` header", at),
            Self::BadTime(at) => ("a time", at),
            Self::BadAddress(at) => ("an address or the name of a host", at),
            Self::BadStatus(at) => ("a status of three digits", at),
            Self::Truncated(at) => ("more, but the line ends", at),
        };
        write!(f, "expected {expected} at byte {at}")
    }
}

impl std::error::Error for Undecodable {}
