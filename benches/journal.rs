//! How fast the journal is, beside floors measured in the same run and the same directory: disks differ, ratios less so.
//!
//! `cargo bench --bench journal -- [--seconds N] [--directory DIR]` prints
//!
//! - how often a second 4 KiB that are appended to a file reach stable storage, and how often a row of SQLite does;
//! - what 64 threads that wait for each of their records get stored, and how long they wait;
//! - what is stored of records that nobody waits for;
//! - how fast all that is read back.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use watchbell::decode::Format;
use watchbell::intake::{Lines, Stream, now};
use watchbell::journal::{Journal, Key, Limits, Record, Refused, Writer};

const THREADS: usize = 64;

/// As long as a webhook with a message.
const RECORD_BYTES: usize = 1200;

/// As long as a piece of a followed file.
const PIECE_BYTES: usize = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option =
        |name| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].as_str());
    let span = Duration::from_secs(option("--seconds").map_or(5, |seconds| seconds.parse().unwrap()));
    let parent = option("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).unwrap();
    let fsyncs = fsyncs_a_second(directory.path(), span);
    println!("appending 4 KiB and fsync: {fsyncs:.0} a second");
    let rows = rows_a_second(directory.path(), span);
    println!("SQLite, a row of {RECORD_BYTES} bytes a commit: {rows:.0} a second");

    let key = Key::load_or_create(&directory.path().join("key")).unwrap();
    let opened = Journal::open(&directory.path().join("watchbell.db"), &key, Limits::default()).unwrap();
    let journal = opened.journal.clone();
    let (writer, running) = opened.start(|_| {}).unwrap();
    let before = writer.counts();
    let mut waits = awaited(&writer, span);
    waits.sort_unstable();
    let counts = writer.counts();
    let commits = (counts.commits - before.commits) as f64;
    let records = waits.len() as f64 / span.as_secs_f64();
    let percentile = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("\n{THREADS} threads, each waits until its record of {RECORD_BYTES} bytes is stored");
    println!("    {records:.0} records a second, {:.1} times as many as rows of SQLite", records / rows);
    println!(
        "    {:.0} commits a second, {:.2} of the fsyncs; {:.1} records a commit",
        commits / span.as_secs_f64(),
        commits / span.as_secs_f64() / fsyncs,
        waits.len() as f64 / commits
    );
    println!(
        "    answered after {:.2} ms in the median, {:.2} ms at 99 %, {:.2} ms at most",
        percentile(0.5),
        percentile(0.99),
        percentile(1.0)
    );

    let before = writer.counts();
    flowing(&writer, span);
    let counts = writer.counts();
    let bytes = (counts.text_bytes - before.text_bytes) as f64;
    println!("\nrecords of {PIECE_BYTES} bytes that nobody waits for");
    println!("    {:.1} MB a second", bytes / span.as_secs_f64() / 1e6);
    println!("    {:.1} times smaller on disk", bytes / (counts.block_bytes - before.block_bytes) as f64);
    drop(writer);
    running.join().unwrap();

    let began = Instant::now();
    let (mut blocks, mut bytes) = (0, 0);
    for block in journal.read_after(0).unwrap() {
        blocks += 1;
        bytes += block.unwrap().lines.iter().map(|lines| lines.text.len()).sum::<usize>();
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "\nread back: {:.0} blocks and {:.1} MB a second",
        f64::from(blocks) / took,
        bytes as f64 / took / 1e6
    );
}

fn fsyncs_a_second(directory: &Path, span: Duration) -> f64 {
    let mut file = std::fs::File::create(directory.join("floor")).unwrap();
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < span {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn rows_a_second(directory: &Path, span: Duration) -> f64 {
    let connection = rusqlite::Connection::open(directory.join("floor.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB)", []).unwrap();
    let mut insert = connection.prepare("INSERT INTO rows (body) VALUES (?)").unwrap();
    let body = vec![7_u8; RECORD_BYTES];
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < span {
        insert.execute([&body]).unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn lines(source: &str, number: u64, bytes: usize) -> Lines {
    let stream = Stream { source: source.into(), tenant: "".into(), name: source.into() };
    let mut text = String::with_capacity(bytes + 200);
    let mut line = 0;
    while text.len() < bytes {
        line += 1;
        let chance = (number << 20 | line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!(
            "192.0.2.{} - - [24/Nov/2026:16:{:02}:{:02} +0000] \"GET /products/{chance:016x} HTTP/1.1\" 200 {} \
             \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\"\n",
            chance % 250,
            chance >> 8 & 31,
            chance >> 13 & 31,
            chance >> 20 & 0xffff,
        ));
    }
    Lines {
        stream: Arc::new(stream),
        text,
        format: Format::Combined,
        received: now(),
        counted: None,
        offset: None,
    }
}

fn awaited(writer: &Writer, span: Duration) -> Vec<Duration> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    while began.elapsed() < span {
                        let number = thread << 32 | waits.len() as u64;
                        let (stored, answer) = oneshot::channel();
                        let lines = lines("push", number, RECORD_BYTES);
                        let record = Record { lines, keys: vec![number], stored: Some(stored) };
                        let sent = Instant::now();
                        writer.append(record).unwrap();
                        answer.blocking_recv().unwrap().unwrap();
                        waits.push(sent.elapsed());
                    }
                    waits
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn flowing(writer: &Writer, span: Duration) {
    let began = Instant::now();
    // Made before: what is measured is the journal.
    let pieces: Vec<Lines> = (0..64).map(|number| lines("file", number, PIECE_BYTES)).collect();
    for piece in pieces.iter().cycle() {
        if began.elapsed() >= span {
            break;
        }
        let Lines { stream, text, format, received, .. } = piece;
        let (stream, text, format) = (Arc::clone(stream), text.clone(), format.clone());
        let lines = Lines { stream, text, format, received: *received, counted: None, offset: None };
        let mut record = Record { lines, keys: Vec::new(), stored: None };
        while let Err(refused) = writer.append(record) {
            let Refused::Full(back) = refused else { panic!("{refused}") };
            record = *back;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
