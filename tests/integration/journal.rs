//! The journal across kills and damage, through its public interface.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use watchbell::decode::Format;
use watchbell::event::Timestamp;
use watchbell::intake::{Lines, Offset, Stream, now};
use watchbell::journal::{Failed, Journal, Key, Limits, Record, Stored, Writer};

/// Set for a child: the directory with key and file, and the number of the run.
const CHILD: &str = "WATCHBELL_TEST_JOURNAL";

/// How often a child is killed.
const KILLS: u32 = 20;

/// Records that are sent again in the next run, as senders do that have had no answer.
const SENT_AGAIN: u64 = 40;

pub fn open(directory: &Path, limits: Limits) -> watchbell::journal::Opened {
    let key = Key::load_or_create(&directory.join("key")).unwrap();
    Journal::open(&directory.join("watchbell.db"), &key, limits).unwrap()
}

pub fn lines(source: &str, text: String) -> Lines {
    let stream = Stream { source: source.into(), tenant: "".into(), name: source.into() };
    Lines {
        stream: Arc::new(stream),
        text,
        format: Format::Json,
        received: now(),
        counted: None,
        offset: None,
    }
}

pub fn append(writer: &Writer, text: String, keys: Vec<u64>) -> oneshot::Receiver<Result<Stored, Failed>> {
    let (stored, answer) = oneshot::channel();
    let record = Record { lines: lines("push", text), keys, stored: Some(stored) };
    writer.append(record).unwrap();
    answer
}

/// A run of the child: four threads that send and say what was answered, and a file that is read.
#[test]
fn child() {
    let Some(run) = std::env::var_os(CHILD) else { return };
    let run = run.into_string().unwrap();
    let (run, directory) = run.split_once(' ').unwrap();
    let run: u64 = run.parse().unwrap();
    let opened = open(Path::new(directory), Limits::default());
    // The file goes on where the journal ends.
    let offset = opened.found.offsets.get("file").map_or("0", |state| std::str::from_utf8(state).unwrap());
    let offset: u64 = offset.parse().unwrap();
    let (writer, _running) = opened.start(|_| {}).unwrap();
    println!("started");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let writer = writer.clone();
            scope.spawn(move || {
                let prefix = |run: u64| run * 4 + thread;
                let again = (0..SENT_AGAIN).map(|n| (prefix(run.saturating_sub(1)), n));
                for (prefix, number) in again.chain((0..).map(|n| (prefix(run), n))) {
                    let key = prefix << 32 | number;
                    let text =
                        format!("{{\"id\":\"{prefix}-{number}\",\"filling\":\"{}\"}}\n", "x".repeat(300));
                    append(&writer, text, vec![key]).blocking_recv().unwrap().unwrap();
                    println!("stored {prefix}-{number}");
                }
            });
        }
        for number in offset.. {
            let state = (number + 1).to_string().into_bytes();
            let offset = Some(Offset { log: "file".to_owned(), state });
            let text = format!("{{\"id\":\"f-{number}\"}}\n");
            let lines = Lines { offset, ..lines("file", text) };
            let mut record = Record { lines, keys: Vec::new(), stored: None };
            while let Err(refused) = writer.append(record) {
                let watchbell::journal::Refused::Full(back) = refused else { panic!("{refused}") };
                record = *back;
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}

/// Kills the child when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_child(directory: &Path, run: u32) -> (Killed, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::child", "--nocapture", "--test-threads", "1"])
        .env(CHILD, format!("{run} {}", directory.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (Killed(child), output)
}

fn ids(journal: &Journal) -> Vec<String> {
    let mut ids = Vec::new();
    for block in journal.read_after(0).unwrap() {
        for lines in block.unwrap().lines {
            ids.extend(lines.text.lines().map(|line| line.split('"').nth(3).unwrap().to_owned()));
        }
    }
    ids
}

#[test]
fn what_was_answered_is_there_once_after_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut answered = BTreeSet::new();
    for run in 0..KILLS {
        let (child, mut output) = run_child(directory.path(), run);
        let mut line = String::new();
        while !line.contains("started") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "run {run} has not started");
        }
        // Not at the same place of the work each time.
        let pause = Duration::from_millis(5 + u64::from(run) * 37 % 150);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            drop(child);
        });
        // A line may be cut by the end.
        let told = output.lines().map_while(Result::ok);
        answered.extend(told.filter_map(|line| Some(line.strip_prefix("stored ")?.to_owned())));
        killer.join().unwrap();
    }
    let opened = open(directory.path(), Limits { check_bytes: u64::MAX, ..Limits::default() });
    let found = &opened.found;
    assert_eq!((found.missing_blocks, found.unreadable_blocks), (0, 0));
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for id in ids(&opened.journal) {
        *times.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    // The last of them may have been cut when it was told.
    let lost: Vec<_> = answered.iter().filter(|id| !times.contains_key(*id)).collect();
    assert!(lost.is_empty(), "answered and not there: {lost:?}");
    assert!(answered.len() > 20 * KILLS as usize, "only {} were answered", answered.len());
    // The file was read once, in order, and its offset is that of what is there.
    let read = times.keys().filter(|id| id.starts_with("f-")).count();
    let offset: usize = std::str::from_utf8(&found.offsets["file"]).unwrap().parse().unwrap();
    assert_eq!(read, offset);
    assert!(opened.journal.check(|_| {}).unwrap().faults.is_empty());
}

/// What a power failure may leave: not all of what was written last.
#[test]
fn a_torn_end_leaves_all_blocks_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (child, mut output) = run_child(directory.path(), 0);
    let mut line = String::new();
    while !line.contains("stored 0-50") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    drop(child);
    let log = std::fs::read(directory.path().join("watchbell.db-wal")).unwrap();
    let mut most = 0;
    for part in 0..20 {
        let torn = tempfile::tempdir().unwrap();
        for name in ["key", "watchbell.db"] {
            std::fs::copy(directory.path().join(name), torn.path().join(name)).unwrap();
        }
        let kept = &log[..log.len() * part / 20];
        std::fs::write(torn.path().join("watchbell.db-wal"), kept).unwrap();
        let opened = open(torn.path(), Limits { check_bytes: u64::MAX, ..Limits::default() });
        assert_eq!((opened.found.unreadable_blocks, opened.found.missing_blocks), (0, 0), "part {part}");
        let ids = ids(&opened.journal);
        let file = ids.iter().filter(|id| id.starts_with("f-")).count();
        let offset =
            opened.found.offsets.get("file").map_or("0", |state| std::str::from_utf8(state).unwrap());
        assert_eq!(offset, file.to_string(), "part {part}");
        assert!(ids.len() >= most, "part {part}: {} after {most}", ids.len());
        most = ids.len();
    }
    assert!(most > 50, "{most}");
}

/// A file with blocks of several sizes, and how many.
fn written() -> (TempDir, PathBuf, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path(), Limits::default());
    let journal = opened.journal.clone();
    let (writer, running) = opened.start(|_| {}).unwrap();
    for number in 0..60_u64 {
        let filling: String = (0..number * 50).map(|n| format!("{:x}", n * number * 2_654_435_761)).collect();
        let text = format!("{{\"id\":\"{number}\",\"filling\":\"{filling}\"}}\n");
        append(&writer, text, vec![number]).blocking_recv().unwrap().unwrap();
    }
    drop(writer);
    running.join().unwrap();
    let ids = ids(&journal);
    let path = directory.path().join("watchbell.db");
    (directory, path, ids)
}

/// What can be read of a damaged file: nothing, when it says that it is damaged, or blocks.
fn read_damaged(directory: &Path, bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let damaged = tempfile::tempdir().unwrap();
    std::fs::copy(directory.join("key"), damaged.path().join("key")).unwrap();
    let path = damaged.path().join("watchbell.db");
    std::fs::write(&path, bytes).unwrap();
    let key = Key::load(&damaged.path().join("key")).unwrap().unwrap();
    let opened = Journal::open(&path, &key, Limits { check_bytes: u64::MAX, ..Limits::default() }).ok()?;
    let _ = opened.journal.check(|_| {});
    let _ = (opened.journal.open_alerts(), opened.journal.gaps(9), opened.journal.dead_letters(9));
    let mut unreadable = opened.found.missing_blocks as usize;
    let mut ids = Vec::new();
    for block in opened.journal.read_from(Timestamp::from_seconds(0)).ok()? {
        match block {
            Ok(block) => ids.extend(
                block.lines.iter().map(|lines| lines.text.split('"').nth(3).unwrap_or_default().to_owned()),
            ),
            Err(_) => unreadable += 1,
        }
    }
    // It is written to, or says that it cannot be.
    let (writer, running) = opened.start(|_| {}).ok()?;
    let (stored, answer) = oneshot::channel();
    let record = Record { lines: lines("push", "{}\n".to_owned()), keys: vec![7], stored: Some(stored) };
    writer.append(record).unwrap();
    let _ = answer.blocking_recv().unwrap();
    drop(writer);
    running.join().unwrap();
    Some((ids, unreadable))
}

#[test]
fn damage_is_told_and_loses_nothing_else() {
    let (directory, path, expected) = written();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(read_damaged(directory.path(), &whole), Some((expected.clone(), 0)));
    let (mut opened, mut read) = (0, 0);
    for place in 0..120 {
        // A few bytes of every part of the file, the first page too.
        let mut bytes = whole.clone();
        let at = (place * whole.len() / 120 + place * 977).min(whole.len() - 8);
        bytes[at..at + 8].copy_from_slice(b"\xff\x00damage");
        if let Some((ids, unreadable)) = read_damaged(directory.path(), &bytes) {
            opened += 1;
            read += ids.len();
            assert!(ids.iter().all(|id| expected.contains(id)), "at {at}: {ids:?}");
            // An index that is damaged makes more seem missing than are.
            assert!(ids.len() + unreadable >= expected.len(), "at {at}: {} and {unreadable}", ids.len());
        }
    }
    // Most of a file is blocks, and of those one or two are lost.
    assert!(opened > 80, "{opened}");
    assert!(read > opened * (expected.len() - 3), "{read} of {opened} files");
}

#[test]
fn a_file_that_was_cut_is_told() {
    let (directory, path, expected) = written();
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..30 {
        let bytes = &whole[..cut * whole.len() / 30];
        if let Some((ids, unreadable)) = read_damaged(directory.path(), bytes) {
            assert!(ids.iter().all(|id| expected.contains(id)));
            assert!(unreadable > 0 || ids.is_empty(), "cut to {}", bytes.len());
        }
    }
    // Nothing, as after a crash before the first commit: begun anew.
    assert_eq!(read_damaged(directory.path(), &[]), Some((Vec::new(), 0)));
}
