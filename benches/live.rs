//! How far the live service keeps up, beside a floor measured in the same run: machines are noisy.
//!
//! `cargo bench --bench live -- [--seconds N]` runs `watchbell soak` three times, each for twenty seconds after a short
//! warm-up unless said otherwise, and prints
//!
//! - the time from a line in a followed file to a websocket, at 20,000 lines a second;
//! - lag and memory at 50,000 lines a second;
//! - what 1,000 subscribers with a filter each get at 5,000 lines a second, while one reads nothing;
//! - the floor: the time that a line takes through a program that looks at a file every millisecond and sends each line
//!   as a frame, which reads, counts and judges nothing, at the first rate.
//!
//! Numbers only: what is enough depends on the machine.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// Lines a second at which latency is measured.
const RATE: u64 = 20_000;
/// Seconds before anything is measured.
const WARM_UP: u64 = 5;
/// A marked line is written so often, as in `watchbell soak`.
const MARK_EVERY: Duration = Duration::from_millis(20);
/// How long a writer rests between handfuls, as in `watchbell soak`.
const NAP: Duration = Duration::from_millis(2);
/// How often the floor looks at its file.
const LOOK: Duration = Duration::from_millis(1);
/// The path of marked lines begins with this.
const MARK: &str = "/mark/";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds: u64 =
        seconds.and_then(|place| arguments.get(place + 1)).map_or(20, |seconds| seconds.parse().unwrap());
    println!(
        "{:<52} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "", "lines/s", "p50 ms", "p99 ms", "max ms", "lag s", "MB", "missed"
    );
    let rate = RATE.to_string();
    soak(&format!("latency at {RATE} lines/s"), seconds, &["--rate", &rate]);
    floor(seconds);
    soak("sustained, 50000 lines/s", seconds, &["--rate", "50000"]);
    let many = ["--rate", "5000", "--subscribers", "1000", "--sleeper"];
    soak("1000 subscribers and a sleeper, 5000 lines/s", seconds, &many);
}

/// Runs the program and prints what it says of itself.
fn soak(what: &str, seconds: u64, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["soak", "--json", "--seconds", &seconds.to_string(), "--warm-up", &WARM_UP.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| summary[key].as_f64();
    row(
        what,
        number("lines_per_second").unwrap_or_default(),
        ["p50_ms", "p99_ms", "max_ms"].map(number),
        &format!(
            "{:>9.2} {:>9.0} {:>9}",
            number("max_lag_seconds").unwrap_or_default(),
            number("memory_bytes").unwrap_or_default() / 1e6,
            summary["frames_missed"]
        ),
    );
}

fn row(what: &str, rate: f64, times: [Option<f64>; 3], more: &str) {
    let [p50, p99, max] = times.map(|time| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}")));
    println!("{what:<52} {rate:>9.0} {p50:>8} {p99:>8} {max:>8} {more}");
}

/// When marked lines were written.
type Marks = Arc<Mutex<HashMap<u64, Instant>>>;

/// A file, whoever writes it, whoever sends its lines, and whoever reads them: nothing else.
fn floor(seconds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = File::create(&path).unwrap();
    let (marks, is_over) = (Marks::default(), Arc::new(AtomicBool::new(false)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut times = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(send_lines(listener, path, Arc::clone(&is_over)));
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let (written, over) = (Arc::clone(&marks), Arc::clone(&is_over));
        let writer = std::thread::spawn(move || write(log, seconds, &written, &over));
        let mut times = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            let now = Instant::now();
            let Some((_, rest)) = message.to_text().unwrap().split_once(MARK) else { continue };
            let number = rest.split_once(' ').unwrap().0.parse().unwrap();
            if let Some(at) = marks.lock().unwrap().remove(&number) {
                times.push(now.saturating_duration_since(at).as_secs_f64() * 1e3);
            }
        }
        server.await.unwrap();
        writer.join().unwrap();
        times
    });
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied()
    };
    row(
        &format!("  floor: a frame a line and nothing else, {RATE} lines/s"),
        RATE as f64,
        [at(0.5), at(0.99), at(1.0)],
        "",
    );
}

/// Sends every line of a file that grows to whoever comes first.
async fn send_lines(listener: TcpListener, path: impl AsRef<Path>, is_over: Arc<AtomicBool>) {
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let mut log = File::open(path).unwrap();
    let mut text = Vec::new();
    loop {
        let was_over = is_over.load(Ordering::Relaxed);
        log.read_to_end(&mut text).unwrap();
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in text[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            socket.feed(Message::text(std::str::from_utf8(line).unwrap())).await.unwrap();
        }
        socket.flush().await.unwrap();
        text.drain(..end);
        if was_over {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    // The reader goes when the connection does.
    let _ = socket.close(None).await;
}

/// Writes lines at the rate, and marked ones among them, as `watchbell soak` does.
fn write(log: File, seconds: u64, marks: &Marks, is_over: &AtomicBool) {
    let mut log = BufWriter::with_capacity(1 << 16, log);
    let line = format!(
        "192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] \"GET /products/42?page=3 HTTP/1.1\" 200 5120 \"-\" \"{}\"",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 ".repeat(3)
    );
    let (began, mut written, mut mark) = (Instant::now(), 0, 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        let elapsed = began.elapsed();
        while written < (RATE as f64 * elapsed.as_secs_f64()) as u64 {
            writeln!(log, "{line}").unwrap();
            written += 1;
        }
        let is_mark_due = elapsed >= MARK_EVERY * mark as u32;
        if is_mark_due {
            mark += 1;
            writeln!(log, "192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] \"GET {MARK}{mark} HTTP/1.1\" 200 12")
                .unwrap();
            marks.lock().unwrap().insert(mark, Instant::now());
        }
        log.flush().unwrap();
        std::thread::sleep(NAP);
    }
    is_over.store(true, Ordering::Relaxed);
}
