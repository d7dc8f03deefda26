//! The writer's thread and what is read back, with failing disks and restarts.

mod failing;
mod keeping;
mod looking;
mod writing;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use tempfile::TempDir;

use super::queue::Taken;
use super::worker::Worker;
use super::*;
use crate::decode::Format;
use crate::intake::{Offset, Stream};

/// A record that nobody waits for.
pub fn record(source: &str, text: &str) -> Record {
    let stream = Arc::new(Stream { source: source.into(), tenant: "".into(), name: source.into() });
    let received = crate::intake::now();
    let lines =
        Lines { stream, text: text.to_owned(), format: Format::Json, received, counted: None, offset: None };
    Record { lines, keys: Vec::new(), stored: None }
}

type Answer = oneshot::Receiver<Result<Stored, Failed>>;

/// A record that somebody waits for.
fn awaited(text: &str, keys: &[u64]) -> (Record, Answer) {
    let (stored, answer) = oneshot::channel();
    (Record { keys: keys.to_vec(), stored: Some(stored), ..record("push", text) }, answer)
}

fn with_offset(record: Record, state: &str) -> Record {
    let log = record.lines.stream.name.to_string();
    let offset = Some(Offset { log, state: state.into() });
    Record { lines: Lines { offset, ..record.lines }, ..record }
}

/// A key and a place for the file.
struct Rig {
    dir: TempDir,
    key: Key,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::load_or_create(&dir.path().join("key")).unwrap();
        Self { dir, key }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("watchbell.db")
    }

    fn open_with(&self, limits: Limits) -> Opened {
        Journal::open(&self.path(), &self.key, limits).unwrap()
    }

    fn open(&self) -> Opened {
        self.open_with(Limits::default())
    }

    fn start(&self) -> (Writer, Running, mpsc::Receiver<Block>) {
        start(self.open())
    }
}

fn start(opened: Opened) -> (Writer, Running, mpsc::Receiver<Block>) {
    let (sender, blocks) = mpsc::channel();
    // Whoever looks at blocks may be gone.
    let (writer, running) = opened.start(move |block| drop(sender.send(block))).unwrap();
    (writer, running, blocks)
}

/// The thread's work, a turn at a time.
struct Steps {
    worker: Worker,
    /// Number, completeness and texts of what was handed on.
    handed_on: Vec<(u64, bool, String)>,
}

impl Steps {
    fn new(opened: Opened) -> Self {
        Self { worker: opened.worker, handed_on: Vec::new() }
    }

    fn turn(&mut self, taken: Taken) {
        let handed_on = &mut self.handed_on;
        self.worker.turn(taken, &mut |block| {
            let texts = block.lines.iter().map(|lines| lines.text.as_str()).collect();
            handed_on.push((block.number, block.is_complete, texts));
        });
    }

    /// Appends a record that somebody waits for.
    fn append(&mut self, text: &str, keys: &[u64]) -> Result<Stored, Failed> {
        let (record, mut answer) = awaited(text, keys);
        self.turn(Taken { awaited: vec![record], ..Taken::default() });
        answer.try_recv().unwrap()
    }

    /// Lets no page be added to the file, or any number.
    fn fill_disk(&self, is_full: bool) {
        let pages = if is_full { 1 } else { i64::from(u32::MAX - 1) };
        self.worker.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

/// Numbers and texts of blocks.
fn stored(journal: &Journal) -> Vec<(u64, String)> {
    let blocks = journal.read_after(0).unwrap().map(|block| {
        let block = block.unwrap();
        (block.number, block.lines.iter().map(|lines| lines.text.as_str()).collect())
    });
    blocks.collect()
}
