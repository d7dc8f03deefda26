//! `watchbell replay`: what happened in these logs?

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::output::{print, tell};
use super::summary::{write_alerts, write_reading};
use super::{RuleSelection, read_config, what_if};
use crate::alert::Alert;
use crate::allowlist::Allowlist;
use crate::campaign::Campaigns;
use crate::decode::Format;
use crate::engine::{Engine, Settings};
use crate::geo::Geo;
use crate::replay::{Progress, replay};
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
    /// Database in MaxMind's format that knows where addresses are; what it knows is found out; may be given several times
    ///
    /// Goes before those of the configuration. Without one for what they look at, rules about places and networks are off,
    /// unless the log says itself where clients are.
    #[arg(long, value_name = "FILE")]
    geo: Vec<PathBuf>,
    /// Count the alerts that a rule would have opened with other thresholds, as in NAME.threshold=8,10,15; at most 8 a
    /// rule, for as many rules as are named, in one pass
    #[arg(long = "what-if", value_name = "RULE.threshold=N,N", value_parser = what_if::parse)]
    what_if: Vec<what_if::Asked>,
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

pub(super) fn parse_severity(word: &str) -> Result<Severity, String> {
    Severity::from_name(word)
        .ok_or_else(|| "expected informational, low, medium, high or critical".to_owned())
}

impl Replay {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = read_config(self.config.as_ref())?;
        let rules = self.rules.load_with_shadow(&config.rules.shadow)?;
        let allowlist = Allowlist::new(&config.allowlist).map_err(anyhow::Error::msg)?;
        allowlist.faults(&rules).iter().for_each(tell);
        let settings = Settings {
            tolerance: config.clock.tolerance(),
            max_window_bytes: config.memory.window_bytes(),
            threads: usize::from(self.threads),
            campaigns: Campaigns::new(&config.campaigns).map_err(anyhow::Error::msg)?,
            geo: Geo::open(&config.geo)?.with_files(&self.geo)?,
            what_if: what_if::chosen(&self.what_if, &rules)?,
            ..Settings::default()
        };
        let mut engine = Engine::new(&rules, allowlist, &settings).context("cannot start threads")?;
        let started = Instant::now();
        let progress = Progress::default();
        let files = each_once(&self.files);
        let bar = Bar::start(&files, &progress);
        let replayed = replay(&mut engine, &files, self.format.as_ref(), &Arc::new(config.decode), &progress);
        bar.stop();
        let replayed = replayed?;
        let shown: Vec<&Alert> =
            replayed.alerts.iter().filter(|alert| alert.severity >= self.min_severity).collect();
        match self.output {
            Output::Ndjson => {
                print(|out| {
                    shown.iter().try_for_each(|alert| {
                        serde_json::to_writer(&mut *out, alert)?;
                        out.write_all(b"\n")
                    })?;
                    what_if::write_json(out, &engine)
                })?;
                // Nobody may listen on standard error either.
                let _ = write_reading(&mut std::io::stderr().lock(), &engine, &replayed, started.elapsed());
            }
            Output::Text => print(|out| {
                write_alerts(out, &shown)?;
                what_if::write(out, &engine)?;
                write_reading(out, &engine, &replayed, started.elapsed())
            })?,
        }
        for rule in rules.rules.iter().filter(|rule| rule.has_given_up()) {
            tell(format_args!(
                "{}: its regular expression takes too long on some texts, and was not found there",
                rule.handle()
            ));
        }
        for error in &replayed.broken {
            tell(format_args!("{error}; the rest was read"));
        }
        // The process ends here: giving back a million small pieces of memory one by one would only take time.
        std::mem::forget(engine);
        Ok(if replayed.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// The files without those that were named before, by whichever way: what is read twice is counted twice.
fn each_once(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let mut once = Vec::new();
    for file in files {
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        if seen.insert(real) {
            once.push(file.clone());
        } else {
            tell(format_args!("{}: named more than once, and read once", file.display()));
        }
    }
    once
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
