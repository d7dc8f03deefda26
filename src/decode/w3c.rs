//! W3C extended logs: IIS, and CloudFront with its tabs. A `#Fields:` header names the columns of what follows.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr;

use super::Undecodable;
use super::access::{Record, Request, peer, some, status};
use super::time::Clock;

/// The columns of a log, and the date of its header for lines that have only a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// As the header has them, so that the header can be written again.
    names: Box<str>,
    columns: Vec<Column>,
    date: Option<Box<str>>,
    tabs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Date,
    Time,
    Client,
    User,
    Method,
    Stem,
    Query,
    /// The whole target, where it is not split.
    Target,
    Status,
    SentBytes,
    ReceivedBytes,
    Host,
    /// The host that was asked for, which CloudFront logs beside its own.
    AskedHost,
    UserAgent,
    Referrer,
    Version,
    Forwarded,
    Milliseconds,
    Other,
}

impl Column {
    /// Whether a part of the value is worth something: not of an address, a number or a name.
    const fn tells_in_part(self) -> bool {
        matches!(self, Self::Stem | Self::Query | Self::Target | Self::UserAgent | Self::Referrer)
    }
}

/// The columns that IIS logs unless told otherwise.
const DEFAULT: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) \
                       cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

/// Some editors and exporters put it before the first header.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Default for Layout {
    fn default() -> Self {
        Self { names: DEFAULT.into(), columns: columns(DEFAULT), date: None, tabs: false }
    }
}

fn columns(names: &str) -> Vec<Column> {
    names
        .split_ascii_whitespace()
        .map(|name| match name.to_ascii_lowercase().as_str() {
            "date" => Column::Date,
            "time" => Column::Time,
            "c-ip" => Column::Client,
            "cs-username" => Column::User,
            "cs-method" => Column::Method,
            "cs-uri-stem" => Column::Stem,
            "cs-uri-query" => Column::Query,
            "cs-uri" => Column::Target,
            "sc-status" => Column::Status,
            "sc-bytes" => Column::SentBytes,
            "cs-bytes" => Column::ReceivedBytes,
            "cs-host" | "cs(host)" => Column::Host,
            "x-host-header" => Column::AskedHost,
            "cs(user-agent)" => Column::UserAgent,
            "cs(referer)" | "cs(referrer)" => Column::Referrer,
            "cs-version" | "cs-protocol-version" => Column::Version,
            "x-forwarded-for" | "cs(x-forwarded-for)" => Column::Forwarded,
            "time-taken" => Column::Milliseconds,
            _ => Column::Other,
        })
        .collect()
}

impl Layout {
    /// Header lines after which any layout is this one, but for the date when this one has none.
    pub(super) fn header(&self) -> String {
        let date = self.date.as_ref().map(|date| format!("#Date: {date}\n")).unwrap_or_default();
        format!("#Fields:{}\n{date}", self.names)
    }

    /// The layout after the header lines in `chunk`.
    pub(super) fn after(layout: &Arc<Self>, chunk: &str) -> Arc<Self> {
        let mut after = Cow::Borrowed(layout.as_ref());
        let mut at = 0;
        while let Some(found) = memchr(b'#', &chunk.as_bytes()[at..]) {
            let start = at + found;
            // Only at the start of a line; elsewhere the search goes on behind the `#`.
            let before = &chunk.as_bytes()[..start];
            if !(before.is_empty() || before.ends_with(b"\n") || before == BYTE_ORDER_MARK) {
                at = start + 1;
                continue;
            }
            let end = memchr(b'\n', &chunk.as_bytes()[start..]).map_or(chunk.len(), |length| start + length);
            at = end;
            let line = chunk[start..end].trim_end();
            if let Some(names) = line.strip_prefix("#Fields:") {
                let layout = after.to_mut();
                layout.names = names.into();
                layout.columns = columns(names);
                // IIS separates everything by blanks, CloudFront names by blanks and values by tabs.
                layout.tabs = names.contains('\t') || names.contains("x-edge-");
            } else if let Some(date) = line.strip_prefix("#Date:") {
                after.to_mut().date = date.split_ascii_whitespace().next().map(Into::into);
            }
        }
        match after {
            Cow::Borrowed(_) => Arc::clone(layout),
            Cow::Owned(layout) => Arc::new(layout),
        }
    }

    pub(super) fn read<'a>(&self, line: &'a str, clock: &Clock) -> Result<Record<'a>, Undecodable> {
        let separator = if self.tabs || line.contains('\t') { b'\t' } else { b' ' };
        let mut record = Record::default();
        let (mut date, mut time) = ((self.date.as_deref(), 0), (None, 0));
        let (mut method, mut stem, mut query, mut version) = (None, None, None, None);
        let mut at = 0;
        for (index, column) in self.columns.iter().enumerate() {
            if at > line.len() || (index > 0 && at == line.len()) {
                record.is_cut = true;
                break;
            }
            let end = memchr(separator, &line.as_bytes()[at..]).map_or(line.len(), |length| at + length);
            let text = &line[at..end];
            let value = some(text);
            // The line may end within this one.
            if end == line.len() && index + 1 < self.columns.len() && !column.tells_in_part() {
                record.is_cut = true;
                break;
            }
            match column {
                Column::Date => date = (value, at),
                Column::Time => time = (value, at),
                Column::Client => {
                    record.peer = peer(text);
                    if record.peer.is_some_and(|peer| peer.address.is_none()) {
                        return Err(Undecodable::BadAddress(at));
                    }
                }
                Column::User => record.user = value.map(Cow::Borrowed),
                Column::Method => method = value,
                Column::Stem | Column::Target => stem = value,
                Column::Query => query = value,
                Column::Status => record.status = status(text).map_err(|()| Undecodable::BadStatus(at))?,
                Column::SentBytes => record.response_bytes = text.parse().ok(),
                Column::ReceivedBytes => record.request_bytes = text.parse().ok(),
                Column::Host => record.domain = record.domain.or(value.map(super::target::without_port)),
                Column::AskedHost => record.domain = value.map(super::target::without_port),
                Column::UserAgent => record.user_agent = value.map(|text| plain(text, separator)),
                Column::Referrer => record.referrer = value.map(|text| plain(text, separator)),
                Column::Version => version = value.and_then(|text| text.strip_prefix("HTTP/")),
                Column::Forwarded => record.forwarded = value.map(|text| plain(text, separator)),
                Column::Milliseconds => {
                    record.seconds = text.parse::<f64>().ok().filter(|taken| taken.is_finite());
                    if !self.tabs {
                        record.seconds = record.seconds.map(|millis| millis / 1e3);
                    }
                }
                Column::Other => {}
            }
            at = end + 1;
        }
        if record.is_cut && (method.is_none() || stem.is_none()) {
            return Err(Undecodable::Truncated(line.len()));
        }
        if !record.is_cut && at <= line.len() {
            return Err(Undecodable::NotW3c(at));
        }
        let (Some(day), Some(hour)) = (date.0, time.0) else { return Err(Undecodable::NoTime) };
        record.at = Some(moment(day, hour, clock).ok_or(Undecodable::BadTime(time.1.min(date.1)))?);
        if let (Some(method), Some(stem)) = (method, stem) {
            let target = match query {
                Some(query) => Cow::Owned(format!("{stem}?{query}")),
                None => Cow::Borrowed(stem),
            };
            record.request = Request::Parts { method: Cow::Borrowed(method), target, version };
        }
        Ok(record)
    }
}

/// Times are in UTC, whatever zone other logs are in.
fn moment(date: &str, time: &str, clock: &Clock) -> Option<crate::event::Timestamp> {
    let mut text = [0u8; 40];
    let length = date.len() + time.len() + 2;
    let room = text.get_mut(..length)?;
    room[..date.len()].copy_from_slice(date.as_bytes());
    room[date.len()] = b'T';
    room[date.len() + 1..length - 1].copy_from_slice(time.as_bytes());
    room[length - 1] = b'Z';
    clock.rfc3339(std::str::from_utf8(room).ok()?)
}

/// A header as it was sent: IIS writes `+` for a blank, CloudFront `%20`.
fn plain(text: &str, separator: u8) -> Cow<'_, str> {
    if separator == b' ' {
        return if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    }
    if text.contains('%') { Cow::Owned(super::target::decoded(text)) } else { Cow::Borrowed(text) }
}
