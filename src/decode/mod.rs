//! A line of a log becomes an [`Event`], or says why it cannot.
//!
//! Decoding is a pure function of the line, the format and the settings: it reads no clock and never panics,
//! whatever the line. What access logs have in common is in `access`; a file for each format says how to get
//! there. [`Decoder`] holds caches only, one for each worker.
//!
//! It is not the judge of a line: a request that is not HTTP, an empty request and a status of 000 are events.

mod access;
mod alb;
mod application;
pub mod client;
mod combined;
mod container;
mod detect;
mod haproxy;
mod json;
mod json_access;
mod json_names;
mod json_reader;
pub mod login;
mod login_paths;
mod request_line;
#[cfg(test)]
mod speed;
mod tally;
mod target;
pub mod time;
mod undecodable;
pub mod w3c;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::event::{Class, Event, Schema, field};
pub use tally::Tally;
pub use undecodable::Undecodable;

/// Bytes of a line that are read; what is behind them is cut off. Most servers refuse requests of a thirtieth of that,
/// Go's take a megabyte.
pub const LINE_LIMIT: usize = 256 * 1024;

/// Bytes of one text of an event; what is behind them is cut off, so that what a text costs has a bound.
pub const TEXT_LIMIT: usize = 64 * 1024;

/// What decoding needs to know that a line does not say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What kind of log it is: `webserver`, `proxy`, `application` or `any`.
    ///
    /// Unless set, access logs are web servers' logs, JSON lines that say what the application did are
    /// application logs, and any other JSON is looked at by every rule.
    #[serde(deserialize_with = "class")]
    pub class: Option<Class>,
    /// Which requests are logins.
    pub logins: login::Patterns,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` are believed.
    pub proxies: client::TrustedProxies,
    /// What the first of two addresses at the beginning of a combined line is: `host` unless set, or `client`.
    pub first_address: FirstAddress,
    /// Zone of times that are logged without one, such as `Europe/Berlin`; UTC unless set.
    pub zone: time::Zone,
}

/// Which column an address is that stands before another one, as in `203.0.113.9 192.0.2.7 - ann [...`.
///
/// The column that is not the peer is written by whoever sends the request, so a log that is read the wrong way round
/// lets them choose whom they seem to be. The peer next to `- user` is the commoner by far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstAddress {
    /// The host that was asked for, or what was forwarded, and then the peer: Apache's `%v %h %l %u`, `%v:%p %h %l %u`
    /// and `%{X-Forwarded-For}i %h %l %u`, nginx's `$host $remote_addr - $remote_user`.
    #[default]
    Host,
    /// The peer, and then what was forwarded: `$remote_addr $http_x_forwarded_for - $remote_user`.
    Client,
}

fn class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Class>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Name {
        Any,
        Webserver,
        Proxy,
        Application,
    }
    Ok(Some(match Name::deserialize(deserializer)? {
        Name::Any => Class::Any,
        Name::Webserver => Class::Webserver,
        Name::Proxy => Class::Proxy,
        Name::Application => Class::Application,
    }))
}

/// How a log is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// The combined format of nginx and Apache, or the common format.
    Combined,
    /// A JSON object a line: access logs, application events, or fields by their names.
    Json,
    /// HAProxy's HTTP log, with or without a syslog header.
    Haproxy,
    /// Access log of an AWS application load balancer.
    Alb,
    /// W3C extended log of IIS, CloudFront and others; its header lines name the columns.
    W3c(Arc<w3c::Layout>),
}

impl Format {
    /// The format that reads most of the first lines of a log; `None` if none reads any.
    pub fn detect(sample: &str) -> Option<Self> {
        detect::detect(sample)
    }

    /// Lines that have to stand before others for those to be read in this format by one that knows only its name:
    /// the header of a W3C log, nothing for others.
    pub fn header(&self) -> String {
        match self {
            Self::W3c(layout) => layout.header(),
            _ => String::new(),
        }
    }

    /// The format of what follows `chunk`: a W3C header inside it changes the columns.
    pub fn after(&self, chunk: &str) -> Self {
        match self {
            Self::W3c(layout) => Self::W3c(w3c::Layout::after(layout, chunk)),
            other => other.clone(),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "combined" | "common" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            "haproxy" => Ok(Self::Haproxy),
            "alb" => Ok(Self::Alb),
            "w3c" => Ok(Self::W3c(Arc::default())),
            _ => {
                Err(format!("unknown format `{name}`: expected combined, common, json, haproxy, alb or w3c"))
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Combined => "combined",
            Self::Json => "json",
            Self::Haproxy => "haproxy",
            Self::Alb => "alb",
            Self::W3c(_) => "w3c",
        })
    }
}

/// What a line that could be read was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An event.
    Event,
    /// An event, of which only a part was there to be read; `log.flags` says so.
    Truncated,
    /// A JSON object of which no name is known to a rule or to a decoder. Only keywords see what is in it.
    Unknown,
    /// A blank line, or a header of a W3C log: no other format has comments.
    Nothing,
}

impl Decoded {
    /// Whether there is an event.
    pub const fn is_event(self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

/// Reads the lines of one log, one after the other.
#[derive(Debug)]
pub struct Decoder {
    format: Format,
    schema: Arc<Schema>,
    settings: Arc<Settings>,
    clock: time::Clock,
    /// Room for the path of a JSON key.
    path: String,
    /// Whether a rule asks for `url.full`.
    needs_full_url: bool,
}

impl Decoder {
    /// A decoder of lines in `format`.
    pub fn new(format: Format, schema: Arc<Schema>, settings: Arc<Settings>) -> Self {
        let clock = time::Clock::new(settings.zone.clone());
        let needs_full_url = schema.is_named_by_rules(field::URL_FULL);
        Self { format, schema, settings, clock, path: String::new(), needs_full_url }
    }

    /// Fills `event`, which must be clear, from a line.
    ///
    /// After an error the event may be half filled. A W3C header changes how the lines after it are read.
    ///
    /// Syslog, HAProxy and others cut long lines. Of a line that was cut the event has what is there, once a request
    /// has begun; a cut within the number of bytes cannot be seen.
    pub fn decode<'a>(&mut self, line: &'a str, event: &mut Event<'a>) -> Result<Decoded, Undecodable> {
        let decoded = if line.len() > TEXT_LIMIT {
            self.decode_long(line, event)
        } else {
            self.decode_line(line, event)
        };
        if self.needs_full_url {
            access::derive_full_url(event);
        }
        decoded
    }

    #[cold]
    fn decode_long<'a>(&mut self, line: &'a str, event: &mut Event<'a>) -> Result<Decoded, Undecodable> {
        let is_cut = line.len() >= LINE_LIMIT;
        let line = &line[..line.floor_char_boundary(LINE_LIMIT)];
        let decoded = self.decode_line(line, event).map_err(|error| match error {
            Undecodable::Truncated(_) if is_cut => Undecodable::TooLong,
            other => other,
        })?;
        if decoded.is_event() && (event.shorten(TEXT_LIMIT) || is_cut) {
            access::flag_truncated(event);
            return Ok(Decoded::Truncated);
        }
        Ok(decoded)
    }

    #[inline]
    fn decode_line<'a>(&mut self, line: &'a str, event: &mut Event<'a>) -> Result<Decoded, Undecodable> {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.as_bytes().get(container::DATE_LENGTH) == Some(&b'T')
            && let Some(wrapped) = container::kubernetes(line)
        {
            return self.decode_wrapped(wrapped, event);
        }
        self.decode_bare(line, event)
    }

    #[cold]
    fn decode_wrapped<'a>(
        &mut self,
        wrapped: container::Wrapped<'a>,
        event: &mut Event<'a>,
    ) -> Result<Decoded, Undecodable> {
        let decoded = self.decode_bare(wrapped.line, event)?;
        event.at = event.at.or_else(|| self.clock.rfc3339(wrapped.time));
        if decoded.is_event() && wrapped.is_part {
            access::flag_truncated(event);
            return Ok(Decoded::Truncated);
        }
        Ok(decoded)
    }

    #[inline]
    fn decode_bare<'a>(&mut self, line: &'a str, event: &mut Event<'a>) -> Result<Decoded, Undecodable> {
        let line = line.trim_end_matches(['\n', '\r', '\0']);
        match (line.as_bytes().first(), &mut self.format) {
            (Some(b'#'), Format::W3c(layout)) => {
                *layout = w3c::Layout::after(layout, line);
                return Ok(Decoded::Nothing);
            }
            _ if is_empty(line) => return Ok(Decoded::Nothing),
            _ => {}
        }
        Ok(match &self.format {
            Format::Combined => {
                let mut record = access::Record::default();
                combined::read(line, &self.settings, &mut self.clock, &mut record)?;
                record.fill(&self.settings, event)
            }
            Format::Json => {
                let context = json::Context {
                    schema: &self.schema,
                    settings: &self.settings,
                    clock: &mut self.clock,
                    path: &mut self.path,
                    is_wrapped: false,
                };
                json::decode(line, context, event)?
            }
            Format::Haproxy => haproxy::read(line, &mut self.clock)?.fill(&self.settings, event),
            Format::Alb => alb::read(line, &self.clock)?.fill(&self.settings, event),
            Format::W3c(layout) => layout.read(line, &self.clock)?.fill(&self.settings, event),
        })
    }
}

/// Whether there is nothing in a line that could be read: it is no line of a log, and is not counted as one.
pub fn is_blank(line: &str) -> bool {
    is_empty(line.strip_prefix('\u{feff}').unwrap_or(line).trim_end_matches(['\n', '\r', '\0']))
}

#[inline]
fn is_empty(line: &str) -> bool {
    match line.as_bytes().first() {
        None => true,
        Some(b' ' | b'\t') => line.trim().is_empty(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
