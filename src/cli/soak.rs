//! `watchbell soak`: does the service keep up with this much, for this long?
//!
//! Everything is real: generated lines are written into a file, the service follows it, and subscribers read the stream
//! through websockets. Now and then a marked line is written; the time until it comes out of a websocket is what is
//! measured.

mod report;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use self::report::Report;
use super::output::say;
use super::run::{LogFormat, asked_to_stop, runtime, start_log};
use super::summary::grouped;
use crate::app::{App, Origin};
use crate::config::Config;
use crate::event::Timestamp;
use crate::generate::{self, Generator, Kind, Record, Stream, TimedLine};
use crate::intake::now;

/// Measure whether the service keeps up
///
/// Starts the service on a free port of this machine, writes lines into a log that it follows, and reads its stream. Without
/// --journal the service keeps nothing on disk. Tells every few seconds how far behind it is, how much memory it has, and how long lines take to a websocket; at the end,
/// whether lag or memory grew since the warm-up.
///
/// Exit status: 0 when it kept up, 1 when it did not.
#[derive(Args)]
pub struct Soak {
    /// Lines a second
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long, in seconds
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(5..=604_800))]
    seconds: u64,
    /// Seconds before that, in which windows fill, and memory and latency are not judged
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=604_800))]
    warm_up: u64,
    /// Subscribers to the stream beside the one that measures, each with a filter of its own
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    subscribers: u32,
    /// Add a subscriber that asks for everything and reads nothing until the end
    #[arg(long)]
    sleeper: bool,
    /// Memory that the service may take, in mebibytes; the traffic's own comes on top
    #[arg(long, value_name = "N", default_value_t = 256)]
    memory: u64,
    /// Keep a journal, in a state directory that is removed at the end
    ///
    /// What it costs depends on the disk: see --directory. Temporary files are often in memory.
    #[arg(long)]
    journal: bool,
    /// Directory for the log and the journal, which are removed at the end [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print nothing but the summary, as a JSON object
    #[arg(long)]
    json: bool,
}

/// A marked line is written so often.
const MARK_EVERY: Duration = Duration::from_millis(20);

/// Marks before this are not taken: the file is found, and the first of everything happens.
const LEAD: Duration = Duration::from_secs(2);

/// Where marked lines were written, and how long they took.
#[derive(Default)]
struct Marks {
    written: HashMap<u64, Instant>,
    milliseconds: Vec<f64>,
    all_milliseconds: Vec<f64>,
}

impl Soak {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        start_log(LogFormat::Text, "warn");
        runtime()?.block_on(self.soak())
    }

    async fn soak(&self) -> anyhow::Result<ExitCode> {
        let directory = match &self.directory {
            Some(directory) => tempfile::tempdir_in(directory),
            None => tempfile::tempdir(),
        };
        let directory = directory.context("cannot make a directory for the log")?;
        let log = directory.path().join("access.log");
        File::create(&log)?;
        let path = toml::Value::from(log.display().to_string());
        let mut config: Config = toml::from_str(&format!(
            "sources.log = {{ type = 'file', paths = [{path}], format = 'combined' }}\n\
             serve.listen = '127.0.0.1:0'\n\
             memory.max_mebibytes = {}\n",
            self.memory
        ))?;
        config.state_directory = self.journal.then(|| directory.path().join("state"));
        let began = Instant::now();
        let app = App::start_with(config, Origin::default()).await?;
        self.tell(format_args!("ready after {:.2} s", began.elapsed().as_secs_f64()));
        let url = format!("ws://{}/v1/stream", app.address());
        let registry = app.registry();
        let marks = Arc::new(Mutex::new(Marks::default()));
        let missed = Arc::new(AtomicU64::new(0));
        let received = Arc::new(AtomicU64::new(0));
        let mut clients = tokio::task::JoinSet::new();
        clients
            .spawn(measure(connect(&url, json!({"url.path|startswith": MARK})).await?, Arc::clone(&marks)));
        for number in 0..self.subscribers {
            let socket = connect(&url, filter(number)).await?;
            clients.spawn(read(socket, Arc::clone(&missed), Arc::clone(&received)));
        }
        let sleeper = match self.sleeper {
            true => Some(connect(&url, Value::Null).await?),
            false => None,
        };
        let (stop, stopped) = watch::channel(false);
        let written = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::new(self, &log, Arc::clone(&written), Arc::clone(&marks))?;
        let playing = tokio::task::spawn_blocking(move || writer.write(&stopped));
        let ending = Arc::new(tokio::sync::Notify::new());
        let end = Arc::clone(&ending);
        let service = tokio::spawn(app.run(async move { end.notified().await }));
        let mut report = Report::new(registry, written, !self.json);
        let mut asked = tokio::spawn(asked_to_stop());
        let interval = Duration::from_secs((self.seconds / 20).clamp(1, 30));
        for (seconds, is_warm_up) in [(self.warm_up, true), (self.seconds, false)] {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < deadline && !asked.is_finished() {
                let rest = deadline.saturating_duration_since(Instant::now());
                tokio::select! {
                    () = tokio::time::sleep(interval.min(rest)) => {}
                    _ = &mut asked => {}
                }
                report.add(&marks);
            }
            if is_warm_up {
                report.warm(&marks);
            }
        }
        let _ = stop.send(true);
        playing.await??;
        let summary = report.summary(&marks);
        let verdicts = summary.verdicts(self.rate);
        if !self.json {
            summary.say();
            for (holds, what) in &verdicts {
                say(format_args!("{}  {what}", if *holds { "yes" } else { "NO " }));
            }
        }
        if let Some(sleeper) = sleeper {
            self.tell(format_args!("the sleeper was told: {}", wake(sleeper).await?));
        }
        let (received, missed) = (received.load(Ordering::Relaxed), missed.load(Ordering::Relaxed));
        if self.subscribers > 0 {
            self.tell(format_args!(
                "{} subscribers read {} frames and missed {}",
                grouped(u64::from(self.subscribers)),
                grouped(received),
                grouped(missed)
            ));
        }
        let has_kept_up = missed == 0 && verdicts.iter().all(|(holds, _)| *holds);
        if self.json {
            let mut object = serde_json::to_value(&summary)?;
            object["frames_read"] = received.into();
            object["frames_missed"] = missed.into();
            object["has_kept_up"] = has_kept_up.into();
            say(object);
        }
        ending.notify_one();
        service.await??;
        clients.shutdown().await;
        Ok(if has_kept_up { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// Tells people.
    fn tell(&self, words: std::fmt::Arguments<'_>) {
        if !self.json {
            say(words);
        }
    }
}

/// How long the writer rests between handfuls.
const NAP: Duration = Duration::from_millis(2);

/// Writes so many lines a second, and marked ones among them.
struct Writer {
    rate: u64,
    log: BufWriter<File>,
    traffic: Box<dyn Iterator<Item = TimedLine> + Send>,
    written: Arc<AtomicU64>,
    marks: Arc<Mutex<Marks>>,
}

impl Writer {
    fn new(
        soak: &Soak,
        log: &Path,
        written: Arc<AtomicU64>,
        marks: Arc<Mutex<Marks>>,
    ) -> anyhow::Result<Self> {
        let start_ms = now().as_micros() / 1000;
        let duration = Duration::from_secs(soak.warm_up + soak.seconds + 600);
        let traffic = Generator::new(&generate::Config {
            seed: 1,
            // More than are needed, since the first visitors come to an empty shop.
            lines: 2 * soak.rate * duration.as_secs(),
            addresses: 50_000,
            start: start_ms / 1000,
            duration,
            messages: 0,
            attacks: Kind::attacks().collect(),
        })?;
        let traffic = traffic.filter_map(|record| match record {
            Record::Line(line) if line.stream == Stream::Access => Some(line),
            _ => None,
        });
        let log = BufWriter::with_capacity(1 << 16, File::create(log)?);
        Ok(Self { rate: soak.rate, log, traffic: Box::new(traffic), written, marks })
    }

    /// Blocks until `stop` turns true.
    fn write(&mut self, stop: &watch::Receiver<bool>) -> io::Result<()> {
        let began = Instant::now();
        let mut written = 0;
        let mut mark = 0;
        while !*stop.borrow() {
            let elapsed = began.elapsed();
            let stamp = stamp(now());
            let due = (self.rate as f64 * elapsed.as_secs_f64()) as u64;
            while written < due
                && let Some(line) = self.traffic.next()
            {
                // Visitors come as the generator has it, but at the rate that is asked for: so their times are new.
                let Some((before, rest)) = line.text.split_once('[') else { continue };
                let Some((_, after)) = rest.split_once(']') else { continue };
                writeln!(self.log, "{before}[{stamp}]{after}")?;
                written += 1;
            }
            let is_mark_due = elapsed >= MARK_EVERY * mark as u32;
            if is_mark_due {
                mark += 1;
                writeln!(
                    self.log,
                    "192.0.2.1 - - [{stamp}] \"GET {MARK}{mark} HTTP/1.1\" 200 12 \"-\" \"soak\""
                )?;
                written += 1;
            }
            self.log.flush()?;
            if is_mark_due && elapsed >= LEAD {
                let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
                marks.written.insert(mark, Instant::now());
            }
            self.written.store(written, Ordering::Relaxed);
            std::thread::sleep(NAP);
        }
        Ok(())
    }
}

/// The path of marked lines begins with this.
const MARK: &str = "/soak-mark/";

/// A time as access logs have it.
fn stamp(at: Timestamp) -> String {
    let at = at.to_string();
    let (date, time) = at.split_at(10);
    let (year, month, day) = (&date[..4], &date[5..7], &date[8..]);
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = month.parse().ok().and_then(|month: usize| names.get(month - 1)).unwrap_or(&"Jan");
    format!("{day}/{name}/{year}:{} +0000", &time[1..9])
}

/// A filter that a thousand subscribers may each have another of.
fn filter(number: u32) -> Value {
    let methods = ["GET", "POST", "HEAD", "PUT"];
    let method = methods[(number / 256) as usize % methods.len()];
    json!({"source.ip|endswith": format!(".{}", number % 256), "http.request.method": method})
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A websocket that is subscribed to events.
async fn connect(url: &str, events: Value) -> anyhow::Result<Socket> {
    let (mut socket, _) = connect_async(url).await.context("cannot connect to the stream")?;
    let mut request = json!({"subscribe": ["events", "alerts"], "alerts": {"severity": "critical"}});
    if !events.is_null() {
        request["events"] = events;
    }
    socket.send(Message::text(request.to_string())).await?;
    while let Some(message) = socket.next().await {
        let Ok(frame) = serde_json::from_str::<Value>(message?.to_text()?) else { continue };
        match frame["type"].as_str() {
            Some("subscribed") => return Ok(socket),
            Some("error") => bail!("the stream refused: {frame}"),
            _ => {}
        }
    }
    bail!("the stream ended before it began")
}

/// Notes when marked lines come out.
async fn measure(mut socket: Socket, marks: Arc<Mutex<Marks>>) {
    while let Some(Ok(message)) = socket.next().await {
        let now = Instant::now();
        let Ok(text) = message.to_text() else { continue };
        let Some((_, rest)) = text.split_once(MARK) else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = digits.parse().ok().and_then(|number| marks.written.remove(&number)) {
            let took = now.saturating_duration_since(written).as_secs_f64() * 1e3;
            marks.milliseconds.push(took);
        }
    }
}

/// Reads and counts.
async fn read(mut socket: Socket, missed: Arc<AtomicU64>, received: Arc<AtomicU64>) {
    while let Some(Ok(message)) = socket.next().await {
        received.fetch_add(1, Ordering::Relaxed);
        let text = message.to_text().unwrap_or_default();
        if text.starts_with("{\"type\":\"missed\"") {
            let count = serde_json::from_str::<Value>(text).ok().and_then(|frame| frame["count"].as_u64());
            missed.fetch_add(count.unwrap_or(1), Ordering::Relaxed);
        }
    }
}

/// Reads what waits for the sleeper until it is told what it missed.
async fn wake(mut socket: Socket) -> anyhow::Result<String> {
    let found = async {
        while let Some(message) = socket.next().await {
            match message {
                Ok(message) => {
                    let text = message.to_text().unwrap_or_default();
                    if text.starts_with("{\"type\":\"missed\"") {
                        return text.to_owned();
                    }
                }
                Err(error) => return error.to_string(),
            }
        }
        "nothing, the connection was closed".to_owned()
    };
    Ok(tokio::time::timeout(Duration::from_secs(3), found)
        .await
        .unwrap_or_else(|_| "nothing, since it missed nothing".to_owned()))
}
