//! `watchbell generate`: traffic to try things on, with attacks staged in it and a list of them.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::output::{print, tell};
use crate::event::Timestamp;
use crate::generate::{Config, Generator, Kind, Outputs, write};
use crate::rules::correlation::parse_span;

/// Write traffic of a made-up shop, with staged attacks and labels
///
/// Writes access.log (combined format), events.jsonl (application events), webhooks.jsonl (bodies of webhooks as the
/// WhatsApp Business Platform posts them) and labels.jsonl (what was staged, when, from where or about what) into a
/// directory. The same options write the same bytes.
#[derive(Args)]
pub struct Generate {
    /// Directory to write into; made if missing
    #[arg(value_name = "DIR", required_unless_present = "list_kinds")]
    directory: Option<PathBuf>,
    /// About how many lines of access log
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// About how many bodies of webhooks, beside those of what is staged
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the traffic lasts, such as 3h or 1d
    #[arg(long, default_value = "1d", value_parser = span)]
    duration: Duration,
    /// How many ordinary clients there are
    #[arg(long, default_value_t = 50_000)]
    addresses: u32,
    /// When it starts
    #[arg(long, value_name = "RFC3339", default_value = "2026-11-24T00:00:00Z", value_parser = time)]
    start: Timestamp,
    /// What to stage, by name; may be given several times [default: everything]
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Stage nothing
    #[arg(long, conflicts_with = "kinds")]
    peaceful: bool,
    /// List what can be staged, and stop
    #[arg(long)]
    list_kinds: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "expected a span such as 30m, 3h or 1d".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "expected a time such as 2026-11-24T00:00:00Z".to_owned())
}

impl Generate {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let directory = match &self.directory {
            Some(directory) if !self.list_kinds => directory,
            _ => {
                print(|out| {
                    Kind::ALL
                        .iter()
                        .chain(Kind::MESSAGING)
                        .try_for_each(|kind| writeln!(out, "{:<40} {}", kind.name(), kind.description()))
                })?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let kinds = match (&self.kinds, self.peaceful) {
            (_, true) => Vec::new(),
            (kinds, _) if kinds.is_empty() => [Kind::ALL, Kind::MESSAGING].concat(),
            (kinds, _) => kinds.clone(),
        };
        let config = Config {
            seed: self.seed,
            lines: self.lines,
            addresses: self.addresses,
            start: self.start.as_micros().div_euclid(1_000_000),
            duration: self.duration,
            messages: self.messages,
            attacks: kinds,
        };
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let output = |name: &str| {
            let path = directory.join(name);
            File::create(&path)
                .map(|file| BufWriter::with_capacity(1 << 18, file))
                .with_context(|| path.display().to_string())
        };
        let outputs = Outputs {
            access: &mut output("access.log")?,
            events: &mut output("events.jsonl")?,
            webhooks: &mut output("webhooks.jsonl")?,
            labels: &mut output("labels.jsonl")?,
        };
        for (kind, speed) in Generator::new(&config)?.unstaged() {
            tell(format_args!("{kind} ({speed:?}) does not fit into the duration and is left out"));
        }
        let done = write(&config, outputs, |_| {})?;
        tell(format_args!(
            "{} lines, {} events, {} webhooks and {} labels in {}",
            done.lines,
            done.events,
            done.webhooks,
            done.labels,
            directory.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}
