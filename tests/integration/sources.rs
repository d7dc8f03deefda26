//! The sources, started as the service starts them, against an engine that only takes notes.

mod files;
mod programs;
mod syslog;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::sync::watch;
use watchbell::decode::{Format, Tally};
use watchbell::intake::Outlet;
use watchbell::sources::{self, Config, Metrics, Running, StartError};

/// Longer than anything takes that works.
const DEADLINE: Duration = Duration::from_secs(60);

/// What arrived: the lines of each log, in order, and how they were said to be written.
#[derive(Default)]
pub struct Notes {
    lines: HashMap<String, Vec<String>>,
    formats: HashMap<String, Format>,
}

/// Stands in for the engine.
pub struct Engine {
    notes: Arc<Mutex<Notes>>,
    /// While true, nothing is taken.
    is_stalled: watch::Sender<bool>,
    pub registry: Registry,
    metrics: Metrics,
}

/// A source that was started, and how to stop it.
pub struct Source {
    pub running: Running,
    stop: watch::Sender<bool>,
    engine: tokio::task::JoinHandle<()>,
}

impl Engine {
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        Self { notes: Arc::default(), is_stalled: watch::Sender::new(false), registry, metrics }
    }

    /// Starts a source with this configuration.
    pub async fn start(&self, config: &str, state_dir: Option<&Path>) -> Result<Source, StartError> {
        let config: Config = toml::from_str(config).unwrap();
        let mut outlet = Outlet::default();
        let inlet = outlet.add_inlet();
        let (stop, stopped) = watch::channel(false);
        let kept = sources::Kept { directory: state_dir.map(Path::to_owned), offsets: None };
        let running = sources::start("test", &config, inlet, &self.metrics, stopped, &kept).await?;
        let (notes, mut is_stalled) = (Arc::clone(&self.notes), self.is_stalled.subscribe());
        let engine = tokio::spawn(async move {
            loop {
                is_stalled.wait_for(|is_stalled| !is_stalled).await.unwrap();
                let Some(taken) = outlet.take(1 << 20) else { return };
                if taken.is_empty() {
                    outlet.wait().await;
                    continue;
                }
                for lines in taken {
                    assert!(lines.text.len() <= watchbell::intake::MAX_TEXT_BYTES);
                    assert!(lines.text.ends_with('\n'));
                    let mut notes = notes.lock().unwrap();
                    let name = lines.stream.name.to_string();
                    notes.formats.insert(name.clone(), lines.format);
                    let log = notes.lines.entry(name).or_default();
                    log.extend(lines.text.lines().map(str::to_owned));
                    if let Some(counted) = lines.counted {
                        let _ = counted.send(Tally { lines: 1, events: 1, ..Tally::default() });
                    }
                }
            }
        });
        Ok(Source { running, stop, engine })
    }

    pub fn stall(&self, is_stalled: bool) {
        self.is_stalled.send_replace(is_stalled);
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.notes.lock().unwrap().lines.values().flatten().cloned().collect()
    }

    /// The lines of one log.
    pub fn log(&self, name: &str) -> Vec<String> {
        self.notes.lock().unwrap().lines.get(name).cloned().unwrap_or_default()
    }

    pub fn format(&self, name: &str) -> Option<Format> {
        self.notes.lock().unwrap().formats.get(name).cloned()
    }

    /// How many lines there are so far.
    pub fn count(&self) -> usize {
        self.notes.lock().unwrap().lines.values().map(Vec::len).sum()
    }

    /// Waits until so many lines have arrived.
    pub async fn wait_for_lines(&self, count: usize) {
        until(|| self.count() >= count, || format!("{} of {count} lines", self.count())).await;
    }

    /// The value of a metric of the source, of one reason if it has reasons.
    pub fn metric(&self, name: &str, reason: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == format!("watchbell_source_{name}")).unwrap();
        let is_it = |metric: &&prometheus::proto::Metric| {
            reason.is_none_or(|reason| metric.get_label().iter().any(|label| label.value() == reason))
        };
        let metric = family.get_metric().iter().find(is_it).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    pub async fn wait_for_metric(&self, name: &str, reason: Option<&str>, least: f64) {
        let value = || self.metric(name, reason);
        until(|| value() >= least, || format!("{name} {reason:?} is {}", value())).await;
    }
}

impl Source {
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.local_address().unwrap()
    }

    /// Stops it as the service does.
    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        let ended = async {
            self.running.join().await;
            self.engine.await.unwrap();
        };
        tokio::time::timeout(DEADLINE, ended).await.expect("the source does not stop");
    }

    /// Stops it as a crash does.
    pub async fn kill(self) {
        self.engine.abort();
        let _ = self.engine.await;
        drop(self.running);
    }
}

/// Waits until something is so.
pub async fn until(is_so: impl Fn() -> bool, what_is: impl Fn() -> String) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", what_is());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A line of an access log that no other is like.
pub fn line(number: usize) -> String {
    format!("192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] \"GET /{number} HTTP/1.1\" 200 5 \"-\" \"-\"")
}

/// The numbers in lines of access logs.
pub fn numbers(lines: &[String]) -> Vec<usize> {
    let number = |line: &String| line.split_once("GET /")?.1.split_once(' ')?.0.parse().ok();
    lines.iter().map(|line| number(line).unwrap_or_else(|| panic!("not a whole line: {line}"))).collect()
}

/// Every number below `count` is there once.
pub fn assert_all_once(lines: &[String], count: usize) {
    let mut numbers = numbers(lines);
    numbers.sort_unstable();
    let missing: Vec<usize> = (0..count).filter(|number| numbers.binary_search(number).is_err()).collect();
    assert!(
        missing.is_empty(),
        "{} lines are missing, such as {:?}",
        missing.len(),
        &missing[..missing.len().min(5)]
    );
    let twice = numbers.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(twice, 0, "{twice} lines came twice");
}
