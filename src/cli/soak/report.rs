//! What a soak tells: a row every few seconds, and a summary of what came after the warm-up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Registry;
use serde::Serialize;

use super::{Marks, grouped, say};
use crate::live::resident_bytes;

/// What is asked at the end: within so much of the promise.
const MAX_LAG: Duration = Duration::from_secs(1);
/// Memory may be so much more in the last fifth of the time than in the one before. Before that, windows fill until what
/// is in them is over or their memory is full.
const MAX_GROWTH: f64 = 1.02;
/// That is asked of runs of this length and above.
const WARM: Duration = Duration::from_secs(600);

/// What was seen at a time.
#[derive(Clone, Copy)]
struct Seen {
    lag_seconds: f64,
    memory: u64,
}

/// What is told every few seconds, and what follows from it.
pub struct Report {
    registry: Registry,
    written: Arc<AtomicU64>,
    /// Whether rows are for people.
    has_rows: bool,
    began: Instant,
    last: Instant,
    last_written: u64,
    /// When the warm-up was over, and what had been written and taken then.
    warm: Instant,
    written_before: u64,
    memory_before: u64,
    journal_before: Option<Journalled>,
    is_warm: bool,
    /// Of each time since.
    seen: Vec<Seen>,
}

/// What the journal did, as it told a second ago at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Journalled {
    /// Bytes of lines that were stored.
    pub text_bytes: f64,
    /// Bytes that were written for them.
    pub written_bytes: f64,
    /// How often something was brought to stable storage.
    pub commits: f64,
    /// How long that took together, in seconds.
    pub commit_seconds: f64,
    /// How often it failed.
    pub failed_commits: f64,
}

/// What a run gave, after its warm-up.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How long it was.
    pub seconds: f64,
    /// Lines that were written.
    pub lines: u64,
    /// Of them a second.
    pub lines_per_second: f64,
    /// Time to a websocket, in milliseconds: the middle, the 99th percentile, the highest; none if nothing came out.
    pub p50_ms: Option<f64>,
    /// See [`Self::p50_ms`].
    pub p99_ms: Option<f64>,
    /// See [`Self::p50_ms`].
    pub max_ms: Option<f64>,
    /// How far behind the service was at the end, in seconds.
    pub lag_seconds: f64,
    /// How far it was at most.
    pub max_lag_seconds: f64,
    /// Memory of the process when the warm-up was over.
    pub memory_bytes_before: u64,
    /// And at the end.
    pub memory_bytes: u64,
    /// In the last fifth of the time, how many times the memory of the fifth before it.
    pub late_growth: f64,
    /// What the journal did; none without one.
    pub journal: Option<Journalled>,
}

impl Report {
    /// Begins; rows are printed if `has_rows`.
    pub fn new(registry: Registry, written: Arc<AtomicU64>, has_rows: bool) -> Self {
        let now = Instant::now();
        if has_rows {
            say(format_args!(
                "    time     lines/s   lag lines   lag s   memory MB   to a websocket, ms: p50    p99    max"
            ));
        }
        Self {
            registry,
            written,
            has_rows,
            began: now,
            last: now,
            last_written: 0,
            warm: now,
            written_before: 0,
            memory_before: resident_bytes().unwrap_or(0),
            journal_before: None,
            is_warm: false,
            seen: Vec::new(),
        }
    }

    /// The warm-up is over: what was seen and measured before does not count.
    pub fn warm(&mut self, marks: &Mutex<Marks>) {
        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
        *marks = Marks::default();
        self.seen.clear();
        self.warm = Instant::now();
        self.written_before = self.written.load(Ordering::Relaxed);
        self.memory_before = resident_bytes().unwrap_or(0);
        self.journal_before = self.journalled();
        self.is_warm = true;
    }

    /// Looks, and prints a row.
    pub fn add(&mut self, marks: &Mutex<Marks>) {
        let now = Instant::now();
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        let written = self.written.load(Ordering::Relaxed);
        let rate = (written - self.last_written) as f64 / seconds;
        let lag = written.saturating_sub(self.counted());
        let lag_seconds = lag as f64 / rate.max(1.0);
        let memory = resident_bytes().unwrap_or(0);
        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times = std::mem::take(&mut marks.milliseconds);
        marks.all_milliseconds.extend_from_slice(&times);
        let [p50, p99, max] = quantiles(&mut times).map(milliseconds);
        if self.has_rows {
            say(format_args!(
                "{:>6} s  {:>10}  {:>10}  {lag_seconds:>6.2}  {:>10.0}  {p50:>27}  {p99:>5}  {max:>5}{}",
                now.saturating_duration_since(self.began).as_secs(),
                grouped(rate as u64),
                grouped(lag),
                memory as f64 / 1e6,
                if self.is_warm { "" } else { "  warm-up" }
            ));
        }
        (self.last, self.last_written) = (now, written);
        self.seen.push(Seen { lag_seconds, memory });
    }

    /// Lines that the service has counted, from the counter that every step of the engine brings up to date.
    fn counted(&self) -> u64 {
        self.total("watchbell_lines_total").unwrap_or(0.0) as u64
    }

    /// What the journal did so far; `None` without one.
    fn journalled(&self) -> Option<Journalled> {
        Some(Journalled {
            text_bytes: self.total("watchbell_journal_text_bytes_total")?,
            written_bytes: self.total("watchbell_journal_written_bytes_total")?,
            commits: self.total("watchbell_journal_commits_total")?,
            commit_seconds: self.total("watchbell_journal_commit_seconds_total")?,
            failed_commits: self.total("watchbell_journal_failed_commits_total")?,
        })
    }

    /// The sum of a counter's series; `None` when there is no such counter.
    fn total(&self, name: &str) -> Option<f64> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        Some(family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum())
    }

    /// What came of it all.
    pub fn summary(&self, marks: &Mutex<Marks>) -> Summary {
        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
        let times = std::mem::take(&mut marks.milliseconds);
        marks.all_milliseconds.extend(times);
        let [p50_ms, p99_ms, max_ms] = quantiles(&mut marks.all_milliseconds);
        let seconds = self.last.saturating_duration_since(self.warm).as_secs_f64();
        let lines = self.last_written.saturating_sub(self.written_before);
        let fifth = (self.seen.len() / 5).max(1);
        let highest = |before_end: usize| {
            let end = self.seen.len().saturating_sub(before_end);
            let part = &self.seen[end.saturating_sub(fifth)..end];
            part.iter().map(|seen| seen.memory).max().unwrap_or(0) as f64
        };
        Summary {
            seconds,
            lines,
            lines_per_second: lines as f64 / seconds.max(1e-9),
            p50_ms,
            p99_ms,
            max_ms,
            lag_seconds: self.seen.last().map_or(0.0, |seen| seen.lag_seconds),
            max_lag_seconds: self.seen.iter().map(|seen| seen.lag_seconds).fold(0.0, f64::max),
            memory_bytes_before: self.memory_before,
            memory_bytes: self.seen.last().map_or(self.memory_before, |seen| seen.memory),
            late_growth: highest(0) / highest(fifth).max(1.0),
            journal: self.journalled().map(|all| all.since(self.journal_before.unwrap_or_default())),
        }
    }
}

impl Journalled {
    fn since(self, before: Self) -> Self {
        Self {
            text_bytes: self.text_bytes - before.text_bytes,
            written_bytes: self.written_bytes - before.written_bytes,
            commits: self.commits - before.commits,
            commit_seconds: self.commit_seconds - before.commit_seconds,
            failed_commits: self.failed_commits - before.failed_commits,
        }
    }

    fn say(&self) {
        say(format_args!(
            "with the journal: {:.1} MB of lines stored in {:.1} MB, by {} commits of {:.1} ms in the mean",
            self.text_bytes / 1e6,
            self.written_bytes / 1e6,
            grouped(self.commits as u64),
            self.commit_seconds * 1e3 / self.commits.max(1.0)
        ));
    }
}

impl Summary {
    /// What there is to judge, whether it holds, and in words.
    pub fn verdicts(&self, rate: u64) -> Vec<(bool, String)> {
        let lag = self.lag_seconds;
        let mut verdicts = vec![(
            lag <= MAX_LAG.as_secs_f64(),
            format!("lag at the end is at most {} s: {lag:.2} s", MAX_LAG.as_secs()),
        )];
        if self.seconds >= WARM.as_secs_f64() {
            let growth = self.late_growth;
            verdicts.push((
                growth <= MAX_GROWTH,
                format!("memory does not grow any more: {growth:.3} times in the last fifth"),
            ));
        }
        if let Some(journal) = &self.journal {
            let (text, failed) = (journal.text_bytes / 1e6, journal.failed_commits);
            verdicts.push((
                journal.text_bytes > 0.0 && failed == 0.0,
                format!("the journal stores what comes: {text:.1} MB, {failed} commits failed"),
            ));
        }
        let share = self.lines_per_second / rate as f64;
        verdicts.push((
            share >= 0.95,
            format!("as many lines were written as asked for: {:.0} %", share * 100.0),
        ));
        verdicts
    }

    /// Tells people.
    pub fn say(&self) {
        say(format_args!(
            "{} lines in {:.0} s ({} a second); to a websocket p50 {} ms, p99 {} ms, at most {} ms",
            grouped(self.lines),
            self.seconds,
            grouped(self.lines_per_second as u64),
            milliseconds(self.p50_ms),
            milliseconds(self.p99_ms),
            milliseconds(self.max_ms)
        ));
        let (before, after) = (self.memory_bytes_before as f64 / 1e6, self.memory_bytes as f64 / 1e6);
        say(format_args!(
            "memory {before:.0} MB before and {after:.0} MB at the end ({:+.0} MB); lag {:.2} s at most",
            after - before,
            self.max_lag_seconds
        ));
        match &self.journal {
            Some(journal) => journal.say(),
            None => say("without a journal: nothing was kept on disk"),
        }
    }
}

/// Milliseconds for people; a dash where nothing was measured, as in the first seconds.
fn milliseconds(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"))
}

/// The middle, the 99th percentile and the highest, which sorts them; nothing of nothing.
fn quantiles(times: &mut [f64]) -> [Option<f64>; 3] {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).copied()
    };
    [at(0.5), at(0.99), at(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_warm_up_ended_does_not_count() {
        let (written, marks) = (Arc::<AtomicU64>::default(), Mutex::<Marks>::default());
        let mut report = Report::new(Registry::new(), Arc::clone(&written), false);
        written.store(1_000, Ordering::Relaxed);
        marks.lock().unwrap().milliseconds.push(900.0);
        report.add(&marks);
        report.warm(&marks);
        written.store(1_500, Ordering::Relaxed);
        marks.lock().unwrap().milliseconds.extend([1.0, 2.0, 3.0]);
        report.add(&marks);
        let summary = report.summary(&marks);
        assert_eq!((summary.lines, summary.p50_ms, summary.max_ms), (500, Some(2.0), Some(3.0)));
        assert_eq!(report.seen.len(), 1);
        assert_eq!(summary.memory_bytes_before, report.memory_before);
    }
}
