//! `watchbell replay`: what happened in these logs?

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{RuleSelection, read_config};
use crate::alert::Alert;
use crate::allowlist::Allowlist;
use crate::decode::{Format, Undecodable};
use crate::engine::{Engine, Settings};
use crate::replay::{Progress, Replayed, replay};
use crate::rules::Severity;

/// Read logs and say what happened in them
///
/// Reads access logs (common, combined, JSON, HAProxy, AWS ALB, W3C) and application events as JSON lines, plain or
/// gzip, with the same engine and rules as the live service, as fast as the machine allows. Several files are merged
/// by time. The alerts are the same with any number of threads.
#[derive(Args)]
pub struct Replay {
    /// Logs to read; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleSelection,
    /// Format of the logs: combined, common, json, haproxy, alb or w3c [default: found for each file]
    #[arg(long)]
    format: Option<Format>,
    /// How to print alerts
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print alerts of this severity and above
    #[arg(long, value_name = "LEVEL", default_value = "informational", value_parser = parse_severity)]
    min_severity: Severity,
    /// Configuration file (login patterns, trusted proxies, allowlist, ...)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Threads to use, at most 256 [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u16).range(0..=256))]
    threads: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A summary for people
    Text,
    /// One JSON object a line for each alert
    Ndjson,
}

fn parse_severity(word: &str) -> Result<Severity, String> {
    Severity::ALL
        .into_iter()
        .find(|severity| severity.name() == word)
        .ok_or_else(|| "expected informational, low, medium, high or critical".to_owned())
}

impl Replay {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = read_config(self.config.as_ref())?;
        let rules = self.rules.load()?;
        let allowlist = Allowlist::new(&config.allowlist).map_err(anyhow::Error::msg)?;
        let settings = Settings {
            tolerance: config.clock.tolerance(),
            max_window_bytes: config.memory.window_bytes(),
            threads: usize::from(self.threads),
            ..Settings::default()
        };
        let mut engine = Engine::new(&rules, allowlist, &settings).context("cannot start threads")?;
        let started = Instant::now();
        let progress = Progress::default();
        let bar = Bar::start(&self.files, &progress);
        let replayed =
            replay(&mut engine, &self.files, self.format.as_ref(), &Arc::new(config.decode), &progress);
        bar.stop();
        let replayed = replayed?;
        let shown: Vec<&Alert> =
            replayed.alerts.iter().filter(|alert| alert.severity >= self.min_severity).collect();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        match self.output {
            Output::Ndjson => {
                for alert in &shown {
                    serde_json::to_writer(&mut out, alert)?;
                    out.write_all(b"\n")?;
                }
                out.flush()?;
                let mut errors = std::io::stderr().lock();
                write_reading(&mut errors, &engine, &replayed, started.elapsed())?;
            }
            Output::Text => {
                write_alerts(&mut out, &shown)?;
                write_reading(&mut out, &engine, &replayed, started.elapsed())?;
                out.flush()?;
            }
        }
        for error in &replayed.broken {
            eprintln!("watchbell: {error}; what is before that was read");
        }
        // The process ends here: giving back a million small pieces of memory one by one would only take time.
        std::mem::forget(engine);
        Ok(if replayed.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}

fn write_alerts(out: &mut impl Write, alerts: &[&Alert]) -> std::io::Result<()> {
    if alerts.is_empty() {
        return writeln!(out, "Nothing to report.\n");
    }
    for severity in Severity::ALL.into_iter().rev() {
        let these: Vec<_> = alerts.iter().filter(|alert| alert.severity == severity).collect();
        if these.is_empty() {
            continue;
        }
        writeln!(out, "{} ({})", severity.name().to_uppercase(), these.len())?;
        for alert in these {
            let end =
                if alert.resolved_at.is_some() { short(alert.last_seen_at) } else { "still open".to_owned() };
            writeln!(out, "  {}  {}", alert.rule.name, printable(&alert.subject_text()))?;
            writeln!(
                out,
                "      {} to {}   observed {} where {}",
                short(alert.opened_at),
                end,
                amount(alert.observed),
                alert.condition.text
            )?;
            for ground in &alert.evidence.grounds {
                writeln!(
                    out,
                    "      {}: {} where {}",
                    ground.rule,
                    amount(ground.observed),
                    ground.condition
                )?;
            }
            if !alert.evidence.matched.is_empty() {
                let matched = alert.evidence.matched.iter();
                let matched: Vec<_> = matched
                    .map(|matched| format!("{} {}", matched.rule.name, grouped(matched.events)))
                    .collect();
                writeln!(out, "      matched: {}", matched.join(", "))?;
            }
            writeln!(out, "      {}", alert.rule.title)?;
            if let Some(sample) = alert.evidence.samples.last() {
                let what = ["url.original", "event.action", "user_agent.original"]
                    .iter()
                    .find_map(|name| sample.text(name))
                    .unwrap_or_default();
                let what: String = printable(&what).chars().take(90).collect();
                writeln!(out, "      e.g. {}:{}  {what}", sample.source, sample.line)?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_reading(
    out: &mut impl Write,
    engine: &Engine,
    replayed: &Replayed,
    took: Duration,
) -> std::io::Result<()> {
    let counts = engine.counts();
    let seconds = took.as_secs_f64().max(1e-9);
    writeln!(
        out,
        "{} lines, {} events, {} alerts in {:.2} s ({} lines/s, {:.0} MB/s)",
        grouped(counts.read.decoded.lines),
        grouped(counts.read.decoded.events),
        grouped(replayed.alerts.len() as u64),
        seconds,
        grouped((counts.read.decoded.lines as f64 / seconds) as u64),
        replayed.bytes as f64 / 1e6 / seconds
    )?;
    if let Some((cpu_seconds, peak_bytes)) = resources() {
        let peak = peak_bytes as f64 / 1e6;
        writeln!(out, "  {cpu_seconds:.2} s of CPU, {peak:.0} MB of memory at most")?;
    }
    writeln!(
        out,
        "  {} observations of {} subjects, {:.0} MB of windows at the end",
        grouped(counts.read.observations),
        grouped(counts.table.created),
        counts.table.bytes as f64 / 1e6
    )?;
    for (path, format) in &replayed.formats {
        writeln!(out, "  {} read as {format}", path.display())?;
    }
    let undecodable: u64 = counts.read.decoded.undecodable.iter().sum();
    if undecodable > 0 {
        writeln!(out, "  {} lines could not be read:", grouped(undecodable))?;
        for (reason, count) in
            Undecodable::ALL.iter().zip(counts.read.decoded.undecodable).filter(|(_, count)| *count > 0)
        {
            writeln!(out, "    {:>9}  {}: {reason}", grouped(count), reason.reason())?;
        }
        for line in engine.undecodable().iter().take(3) {
            let start: String = printable(&line.start).chars().take(100).collect();
            writeln!(out, "    e.g. {}:{}  {start}", engine.source_name(line.source), line.line)?;
        }
    }
    for (count, what) in [
        (counts.read.decoded.truncated, "lines were cut, and read as far as they go"),
        (counts.read.decoded.unknown, "lines are JSON without any known name; only keywords look at them"),
        (counts.read.untimed, "events have no time and were not counted"),
        (counts.clock.ahead, "events were ahead of their time and held to it"),
        (counts.clock.late, "events were too late to be counted"),
        (counts.read.missing_group, "matches lack a field they are grouped by and were not counted"),
        (counts.read.missing_value, "matches lack the value that is measured and were not counted"),
        (counts.read.allowed, "matches were on the allowlist"),
        (counts.allowed_alerts, "findings were on the allowlist"),
        (counts.inhibited_alerts, "findings opened no alert because another rule's is open"),
        (counts.table.evicted, "subjects were evicted because window memory is full"),
    ] {
        if count > 0 {
            writeln!(out, "  {} {what}", grouped(count))?;
        }
    }
    for (refused, rule) in counts.refused_alerts.iter().zip(&engine.shared().rules) {
        if *refused > 0 {
            let name = &rule.name.name;
            writeln!(
                out,
                "  {} findings of {name} opened no alert because too many are open",
                grouped(*refused)
            )?;
        }
    }
    Ok(())
}

/// CPU seconds that this process has used, and the most memory it has had; `None` where the system does not say.
fn resources() -> Option<(f64, u64)> {
    /// The unit of `/proc/self/stat` on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.split_whitespace().next()?.parse().ok()?;
    Some((ticks / TICKS_PER_SECOND, kibibytes << 10))
}

/// Without control characters: what is printed comes from whoever wrote the log, and terminals obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn short(at: crate::event::Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or(text.clone(), |short| format!("{}Z", short.replace('T', " ")))
}

fn amount(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 { grouped(value as u64) } else { format!("{value:.2}") }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A progress bar on standard error, when a person looks.
struct Bar {
    bar: Option<(ProgressBar, std::thread::JoinHandle<()>)>,
}

impl Bar {
    fn start(files: &[PathBuf], progress: &Progress) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: None };
        }
        let total: u64 =
            files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|meta| meta.len()).sum();
        let bar = ProgressBar::new(total);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left")
        {
            bar.set_style(style);
        }
        let progress = Arc::clone(progress);
        let shown = bar.clone();
        let thread = std::thread::spawn(move || {
            while !shown.is_finished() {
                shown.set_position(progress.load(Ordering::Relaxed));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { bar: Some((bar, thread)) }
    }

    fn stop(self) {
        if let Some((bar, thread)) = self.bar {
            bar.finish_and_clear();
            let _ = thread.join();
        }
    }
}
