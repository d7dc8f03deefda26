//! Generated lines, written when their time has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::generate::{Stream, TimedLine};
use crate::intake::now;

/// How long a writer sleeps before it looks at the clock again: lines come in handfuls, as they do from a busy server.
const NAP: Duration = Duration::from_millis(5);

/// Lines of several generators, in the order of time.
#[derive(Default)]
pub struct Lines {
    parts: Vec<Box<dyn Iterator<Item = TimedLine> + Send>>,
    /// The next line of each, the earliest first.
    next: BinaryHeap<Reverse<(i64, usize, Stream, String)>>,
}

impl Lines {
    /// Adds the lines of a generator.
    pub fn add(&mut self, lines: impl Iterator<Item = TimedLine> + Send + 'static) {
        self.parts.push(Box::new(lines));
        self.read_on(self.parts.len() - 1);
    }

    fn read_on(&mut self, part: usize) {
        if let Some(TimedLine { at_ms, stream, text }) = self.parts[part].next() {
            self.next.push(Reverse((at_ms, part, stream, text)));
        }
    }

    /// Whether there are no more.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The next line if it is due at a time, in milliseconds since 1970.
    pub fn next_due(&mut self, at_ms: i64) -> Option<TimedLine> {
        self.next.peek().filter(|Reverse((due, ..))| *due <= at_ms)?;
        let Reverse((at_ms, part, stream, text)) = self.next.pop()?;
        self.read_on(part);
        Some(TimedLine { at_ms, stream, text })
    }
}

/// The logs that are written.
pub struct Logs {
    access: BufWriter<File>,
    events: BufWriter<File>,
}

impl Logs {
    /// Where the access log of a directory is.
    pub fn access_path(directory: &Path) -> PathBuf {
        directory.join("access.log")
    }

    /// Where the application's events of a directory are.
    pub fn events_path(directory: &Path) -> PathBuf {
        directory.join("events.jsonl")
    }

    /// Begins both in a directory.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let create = |path| File::create(path).map(BufWriter::new);
        Ok(Self {
            access: create(Self::access_path(directory))?,
            events: create(Self::events_path(directory))?,
        })
    }

    /// Writes what is due; gives how many lines that were.
    pub fn write_due(&mut self, lines: &mut Lines, at_ms: i64) -> io::Result<u64> {
        let mut written = 0;
        while let Some(line) = lines.next_due(at_ms) {
            let log = match line.stream {
                Stream::Access => &mut self.access,
                Stream::Events => &mut self.events,
                // Nobody follows a file of them: they are posted.
                Stream::Webhooks => continue,
            };
            log.write_all(line.text.as_bytes())?;
            log.write_all(b"\n")?;
            written += 1;
        }
        self.access.flush()?;
        self.events.flush()?;
        Ok(written)
    }

    /// Writes lines as they become due, until there are no more or `stop` turns true; blocks. `told` hears how many lines
    /// there are.
    pub fn play(
        &mut self,
        lines: &mut Lines,
        stop: &watch::Receiver<bool>,
        mut told: impl FnMut(u64),
    ) -> io::Result<()> {
        while !lines.is_empty() && !*stop.borrow() {
            told(self.write_due(lines, now().as_micros() / 1000)?);
            std::thread::sleep(NAP);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_come_in_the_order_of_time_when_they_are_due() {
        let lines = |times: &[i64], name: &'static str| {
            let times = times.to_vec();
            times.into_iter().map(move |at_ms| TimedLine {
                at_ms,
                stream: Stream::Access,
                text: format!("{name}{at_ms}"),
            })
        };
        let mut all = Lines::default();
        all.add(lines(&[1, 5, 9], "a"));
        all.add(lines(&[2, 3, 20], "b"));
        let due: Vec<String> = std::iter::from_fn(|| all.next_due(5)).map(|line| line.text).collect();
        assert_eq!(due, ["a1", "b2", "b3", "a5"]);
        assert!(!all.is_empty());
    }
}
