//! Sorts messages by the program that says them: a web server and an application often share a syslog server, and
//! each writes its log in its own way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::message::Message;
use crate::decode::{Format, Tally};
use crate::event::Timestamp;
use crate::intake::{Lines, Stream};
use crate::sources::format::{PATIENCE, Sniffer};
use crate::sources::text::push_line;

/// Programs that are told apart, at most; the others share one log.
const MAX_APPS: usize = 64;

/// Texts of a program of which it is asked what became of them, at a time.
const MAX_ASKED: usize = 16;

/// The logs of a listener.
#[derive(Debug)]
pub(super) struct Desk {
    source: Arc<str>,
    tenant: Arc<str>,
    format: Option<Format>,
    apps: HashMap<Box<str>, Log>,
    /// Who says nothing of itself, and who came too late.
    others: Log,
}

/// The log of a program.
#[derive(Debug)]
struct Log {
    stream: Arc<Stream>,
    sniffer: Sniffer,
    /// Texts that are full.
    full: Vec<String>,
    text: String,
    /// Since when lines wait for others, that the format be found out.
    held_since: Option<Instant>,
    asked: VecDeque<oneshot::Receiver<Tally>>,
}

impl Desk {
    pub fn new(source: &str, tenant: &Arc<str>, format: Option<&Format>) -> Self {
        let source: Arc<str> = source.into();
        let others = Log::new(&source, tenant, Arc::clone(&source), format);
        Self { source, tenant: Arc::clone(tenant), format: format.cloned(), apps: HashMap::new(), others }
    }

    /// Adds a message to the log of its program, as one line; `false` if it had to be cut.
    pub fn put(&mut self, message: Message<'_>) -> bool {
        let log = if let Some(log) = self.apps.get_mut(message.app) {
            log
        } else if message.app.is_empty() || self.apps.len() >= MAX_APPS {
            &mut self.others
        } else {
            let name = format!("{}/{}", self.source, message.app).into();
            let log = Log::new(&self.source, &self.tenant, name, self.format.as_ref());
            self.apps.entry(message.app.into()).or_insert(log)
        };
        log.put(message.text)
    }

    /// Whether lines wait.
    pub fn is_holding(&self) -> bool {
        self.logs().any(|log| log.held_since.is_some())
    }

    fn logs(&self) -> impl Iterator<Item = &Log> {
        self.apps.values().chain([&self.others])
    }

    /// What can be sent on; everything, if `is_over`.
    pub fn take(&mut self, now: Instant, received: Timestamp, is_over: bool) -> Vec<Lines> {
        let mut taken = Vec::new();
        for log in self.apps.values_mut().chain([&mut self.others]) {
            log.take(now, received, is_over, &mut taken);
        }
        taken
    }
}

impl Log {
    fn new(source: &Arc<str>, tenant: &Arc<str>, name: Arc<str>, format: Option<&Format>) -> Self {
        let stream = Stream { source: Arc::clone(source), tenant: Arc::clone(tenant), name };
        Self {
            stream: Arc::new(stream),
            sniffer: Sniffer::new(format),
            full: Vec::new(),
            text: String::new(),
            held_since: None,
            asked: VecDeque::new(),
        }
    }

    fn put(&mut self, line: &str) -> bool {
        // One message is one line: what comes after a line feed in it is not another one.
        let is_cut = if line.contains('\n') {
            push_line(&mut self.text, &line.replace('\n', " "), &mut self.full)
        } else {
            push_line(&mut self.text, line, &mut self.full)
        };
        !is_cut
    }

    fn take(&mut self, now: Instant, received: Timestamp, is_over: bool, taken: &mut Vec<Lines>) {
        if self.text.is_empty() && self.full.is_empty() {
            return;
        }
        while let Some(asked) = self.asked.front_mut() {
            match asked.try_recv() {
                Ok(tally) => self.sniffer.learn(&tally),
                Err(oneshot::error::TryRecvError::Empty) => break,
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
            self.asked.pop_front();
        }
        let since = *self.held_since.get_or_insert(now);
        let is_late = now.saturating_duration_since(since) >= PATIENCE;
        let must_decide = is_over || is_late || !self.full.is_empty();
        let mut texts = std::mem::take(&mut self.full);
        texts.push(std::mem::take(&mut self.text));
        for text in texts {
            let Some(format) = self.sniffer.decide(&text, must_decide) else {
                // It is the only one.
                self.text = text;
                return;
            };
            let stream = Arc::clone(&self.stream);
            let counted = (self.asked.len() < MAX_ASKED).then(|| {
                let (counted, asked) = oneshot::channel();
                self.asked.push_back(asked);
                counted
            });
            taken.push(Lines { stream, text, format, received, counted, offset: None });
        }
        self.held_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = r#"192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    const JSON: &str = r#"{"@timestamp":"2026-11-24T10:00:00Z","message":"x"}"#;

    fn desk() -> Desk {
        Desk::new("syslog", &"".into(), None)
    }

    #[test]
    fn programs_have_their_own_logs_and_formats() {
        let (mut desk, now) = (desk(), Instant::now());
        for (app, text) in [("nginx", ACCESS), ("app", JSON), ("", ACCESS), ("app", JSON)] {
            assert!(desk.put(Message { app, text }));
        }
        assert!(desk.take(now, Timestamp::default(), false).is_empty(), "the formats are not known yet");
        assert!(desk.is_holding());
        let mut taken = desk.take(now + PATIENCE, Timestamp::default(), false);
        taken.sort_by(|left, right| left.stream.name.cmp(&right.stream.name));
        let found: Vec<_> = taken
            .iter()
            .map(|lines| (&*lines.stream.name, &lines.format, lines.text.lines().count()))
            .collect();
        assert_eq!(
            found,
            [
                ("syslog", &Format::Combined, 1),
                ("syslog/app", &Format::Json, 2),
                ("syslog/nginx", &Format::Combined, 1)
            ]
        );
        assert!(!desk.is_holding());
        desk.put(Message { app: "app", text: JSON });
        assert_eq!(desk.take(now + PATIENCE, Timestamp::default(), false).len(), 1, "the format is known");
    }

    #[test]
    fn names_without_end_share_a_log() {
        let mut desk = desk();
        for number in 0..10_000 {
            desk.put(Message { app: &format!("app{number}"), text: ACCESS });
        }
        assert_eq!(desk.apps.len(), MAX_APPS);
        let taken = desk.take(Instant::now(), Timestamp::default(), true);
        let lines: usize = taken.iter().map(|lines| lines.text.lines().count()).sum();
        assert_eq!(lines, 10_000, "and nothing is lost");
        assert!(taken.iter().all(|lines| lines.text.len() <= crate::intake::MAX_TEXT_BYTES));
    }

    #[test]
    fn a_message_is_one_line() {
        let mut desk = desk();
        desk.put(Message { app: "a", text: "x\ny" });
        assert!(!desk.put(Message { app: "a", text: &"z".repeat(100_000) }));
        let texts: String = desk
            .take(Instant::now(), Timestamp::default(), true)
            .into_iter()
            .map(|lines| lines.text)
            .collect();
        assert_eq!(texts.lines().map(str::len).collect::<Vec<_>>(), [3, crate::intake::MAX_TEXT_BYTES - 1]);
    }

    #[test]
    fn a_program_that_changes_its_format_is_looked_at_again() {
        let (mut desk, now) = (desk(), Instant::now());
        let mut send = |text, tally: Option<Tally>| {
            desk.put(Message { app: "app", text });
            let lines = desk.take(now + PATIENCE, Timestamp::default(), true).pop().unwrap();
            if let (Some(counted), Some(tally)) = (lines.counted, tally) {
                counted.send(tally).unwrap();
            }
            lines.format
        };
        let none = Tally { lines: 1, ..Tally::default() };
        assert_eq!(send(ACCESS, None), Format::Combined);
        assert_eq!(send(JSON, Some(none)), Format::Combined, "nothing says yet that it cannot be read");
        assert_eq!(send(JSON, None), Format::Json);
    }
}
