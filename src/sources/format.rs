//! Finds out how a log is written, from its first lines, and again when it turns out to be something else.

use std::sync::Arc;
use std::time::Duration;

use crate::decode::{Format, Tally};

/// Lines that are worth waiting for before the format is decided.
const ENOUGH_LINES: usize = 100;

/// How long lines wait for others before the format is decided without them: much less than a second, within which
/// the bell has to ring.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// What is known about the format of a log.
#[derive(Clone, Debug)]
pub(super) struct Sniffer {
    is_given: bool,
    format: Option<Format>,
}

impl Sniffer {
    /// With the format that the configuration gives, if it does.
    pub fn new(given: Option<&Format>) -> Self {
        Self { is_given: given.is_some(), format: given.cloned() }
    }

    /// How to read these lines, and what follows them; `None` if it is better to wait for more.
    ///
    /// When there is no time to wait, lines that no format reads are called combined, so that they are counted as what
    /// they are, and the next ones are looked at again.
    pub fn decide(&mut self, lines: &str, must_decide: bool) -> Option<Format> {
        if self.format.is_none() {
            if !must_decide && memchr::memchr_iter(b'\n', lines.as_bytes()).count() < ENOUGH_LINES {
                return None;
            }
            self.look_at(lines);
        }
        let format = self.format.clone().unwrap_or(Format::Combined);
        self.skip(lines);
        Some(format)
    }

    /// Looks at lines that were read before, if nothing is known yet.
    pub fn look_at(&mut self, lines: &str) {
        if self.format.is_none() {
            // A header without rows says which format it is, and must not be forgotten before they come.
            let header = || lines.lines().find(|line| line.starts_with("#Fields:"));
            let w3c = |header| Format::W3c(Arc::default()).after(header);
            self.format = Format::detect(lines).or_else(|| header().map(w3c));
        }
    }

    /// Looks at lines between those that were looked at and those that come: a header among them changes the columns.
    pub fn skip(&mut self, lines: &str) {
        if let Some(format) = &mut self.format {
            *format = format.after(lines);
        }
    }

    /// Whether lines would be looked at.
    pub const fn is_open(&self) -> bool {
        self.format.is_none()
    }

    /// Learns what became of lines: if none could be read, the format has changed, or never was what it seemed.
    pub fn learn(&mut self, tally: &Tally) {
        if !self.is_given && tally.lines > 0 && tally.events == 0 {
            self.format = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = "192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"\n";
    const JSON: &str = "{\"@timestamp\":\"2026-11-24T10:00:00Z\",\"message\":\"x\"}\n";

    #[test]
    fn a_format_is_found_waited_for_and_given_up() {
        let mut sniffer = Sniffer::new(None);
        assert_eq!(sniffer.decide(ACCESS, false), None, "one line is little");
        assert_eq!(sniffer.decide(&ACCESS.repeat(100), false), Some(Format::Combined));
        sniffer.learn(&Tally { lines: 3, events: 0, ..Tally::default() });
        assert_eq!(sniffer.decide(JSON, true), Some(Format::Json), "nothing could be read: look again");
        sniffer.learn(&Tally { lines: 3, events: 1, ..Tally::default() });
        assert_eq!(sniffer.decide(ACCESS, true), Some(Format::Json), "something could be read");
    }

    #[test]
    fn what_no_format_reads_does_not_settle_it() {
        let mut sniffer = Sniffer::new(None);
        assert_eq!(sniffer.decide("Starting up\n", true), Some(Format::Combined));
        assert_eq!(sniffer.decide(JSON, true), Some(Format::Json));
    }

    #[test]
    fn a_header_is_remembered_until_its_rows_come() {
        let mut sniffer = Sniffer::new(None);
        let header = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
        let row = "2026-11-24 10:00:00 192.0.2.1 GET / 200\n";
        assert!(matches!(sniffer.decide(header, true), Some(Format::W3c(_))));
        let both = Format::W3c(Arc::default()).after(header);
        assert_eq!(sniffer.decide(row, true), Some(both));
    }

    #[test]
    fn a_format_that_is_given_stays() {
        let mut sniffer = Sniffer::new(Some(&Format::Json));
        sniffer.learn(&Tally { lines: 3, events: 0, ..Tally::default() });
        assert_eq!(sniffer.decide(ACCESS, false), Some(Format::Json));
    }
}
