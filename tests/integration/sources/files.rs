//! Files that are rotated under load, and across stops and crashes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Engine, assert_all_once, line, numbers, until};

fn config(dir: &Path, glob: &str, start: &str) -> String {
    format!("type = \"file\"\nstart = \"{start}\"\npaths = [\"{}/{glob}\"]", dir.display())
}

/// A server that writes a log, and is told to open it anew after each rotation, a little later.
struct Server {
    written: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Writes `lines` lines and rotates every `between` of them.
    fn start(dir: PathBuf, lines: usize, between: usize, pause: Duration) -> Self {
        let (written, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counter, over) = (Arc::clone(&written), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let path = dir.join("access.log");
            let open = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
            let mut log = open();
            for number in 0..lines {
                if number % between == between - 1 {
                    for piece in (1..200).rev() {
                        let name = |piece: usize| dir.join(format!("access.log.{piece}"));
                        let _ = std::fs::rename(name(piece), name(piece + 1));
                    }
                    std::fs::rename(&path, dir.join("access.log.1")).unwrap();
                }
                if number % between == between / 100 {
                    log = open();
                }
                log.write_all(format!("{}\n", line(number)).as_bytes()).unwrap();
                counter.store(number + 1, Ordering::Relaxed);
                if number % 100 == 0 {
                    std::thread::sleep(pause);
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        Self { written, is_over, thread }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_read_twice_while_a_log_is_rotated_under_load() {
    for glob in ["access.log", "access.log*"] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new();
        // Seen from the first rotation on.
        File::create(dir.path().join("access.log")).unwrap();
        let source = engine.start(&config(dir.path(), glob, "beginning"), None).await.unwrap();
        let count = 60_000;
        let server = Server::start(dir.path().to_owned(), count, 3_000, Duration::from_millis(2));
        engine.wait_for_lines(count).await;
        server.thread.join().unwrap();
        source.stop().await;
        assert_all_once(&engine.lines(), count);
        assert_eq!(engine.metric("lines_total", None), count as f64);
        assert_eq!(engine.metric("lag_bytes", None), 0.0);
        assert_eq!(engine.metric("rotations_total", None), 19.0, "{glob}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_read_twice_across_stops() {
    for glob in ["access.log", "access.log*"] {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = Engine::new();
        let count = 60_000;
        let start =
            async || engine.start(&config(dir.path(), glob, "beginning"), Some(state.path())).await.unwrap();
        let mut source = start().await;
        let server = Server::start(dir.path().to_owned(), count, 5_000, Duration::from_millis(2));
        let mut stops = 0;
        while !server.is_over.load(Ordering::Relaxed) {
            engine.wait_for_lines((engine.count() + 2_000).min(count)).await;
            source.stop().await;
            stops += 1;
            // Time for a rotation that nobody sees.
            let seen = server.written.load(Ordering::Relaxed);
            until(
                || server.written.load(Ordering::Relaxed) >= (seen + 6_000).min(count),
                || "the server is stuck".to_owned(),
            )
            .await;
            source = start().await;
        }
        server.thread.join().unwrap();
        engine.wait_for_lines(count).await;
        source.stop().await;
        assert!(stops > 2, "{stops}");
        assert_all_once(&engine.lines(), count);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = Engine::new();
    let count = 50_000;
    let start = async || {
        engine.start(&config(dir.path(), "access.log", "beginning"), Some(state.path())).await.unwrap()
    };
    let mut source = start().await;
    let server = Server::start(dir.path().to_owned(), count, 20_000, Duration::from_millis(1));
    for quarter in 1..4 {
        engine.wait_for_lines(quarter * count / 4).await;
        source.kill().await;
        source = start().await;
    }
    server.thread.join().unwrap();
    until(
        || engine.lines().last() == Some(&line(count - 1)),
        || format!("the last is {:?}", engine.lines().last()),
    )
    .await;
    source.stop().await;
    let mut lines = engine.lines();
    lines.sort_unstable();
    lines.dedup();
    assert_all_once(&lines, count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_copied_and_emptied_when_it_was_read_is_read_once() {
    for glob in ["access.log", "access.log*"] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new();
        let source = engine.start(&config(dir.path(), glob, "beginning"), None).await.unwrap();
        let path = dir.path().join("access.log");
        let mut log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for round in 1..6 {
            for number in (round - 1) * 1000..round * 1000 {
                writeln!(log, "{}", line(number)).unwrap();
            }
            engine.wait_for_lines(round * 1000).await;
            std::fs::copy(&path, dir.path().join(format!("access.log.{round}"))).unwrap();
            log.set_len(0).unwrap();
        }
        // Whoever reads the copies does so when they have not changed for a second.
        writeln!(log, "{}", line(5000)).unwrap();
        engine.wait_for_lines(5001).await;
        if glob.ends_with('*') {
            engine.wait_for_metric("files", None, 6.0).await;
        }
        source.stop().await;
        assert_all_once(&engine.lines(), 5001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_behind_makes_reading_wait_and_the_file_keeps_it() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = Engine::new();
    engine.stall(true);
    let path = dir.path().join("access.log");
    let count = 200_000;
    let text: String = (0..count).map(|number| line(number) + "\n").collect();
    std::fs::write(&path, &text).unwrap();
    let source = engine.start(&config(dir.path(), "*.log", "beginning"), Some(state.path())).await.unwrap();
    // The queue has room for 64 texts of 64 KiB; a round more is in hand.
    engine.wait_for_metric("bytes_total", None, (4 << 20) as f64).await;
    assert!(engine.metric("lag_bytes", None) > 5e6, "{}", engine.metric("lag_bytes", None));
    engine.stall(false);
    engine.wait_for_lines(count).await;
    source.stop().await;
    assert_all_once(&engine.lines(), count);
    assert_eq!(numbers(&engine.lines()), (0..count).collect::<Vec<_>>(), "in order");
}

#[tokio::test]
async fn the_series_of_a_source_are_there_before_it_has_anything() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new();
    let source = engine.start(&config(dir.path(), "*.log", "end"), None).await.unwrap();
    let series: usize = engine.registry.gather().iter().map(|family| family.get_metric().len()).sum();
    assert_eq!(series, 9 + sources_reasons());
    source.stop().await;
}

fn sources_reasons() -> usize {
    watchbell::sources::Reason::ALL.len()
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_once_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    File::create(&file).unwrap();
    let engine = Engine::new();
    let cases = [
        ("type = \"file\"\npaths = []", None, "no `paths`"),
        ("type = \"file\"\npaths = [\"/a/***\"]", None, "/a/***"),
        ("type = \"file\"\npaths = [\"/a\"]", Some(file.join("state")), "make it writable"),
    ];
    for (config, state, want) in cases {
        let error = engine.start(config, state.as_deref()).await.err().unwrap().to_string();
        assert!(error.contains(want), "{error}");
    }
}
