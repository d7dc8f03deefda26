//! `watchbell journal`: what a service has kept.

mod alerts;
mod check;
mod dead_letters;
mod gaps;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use crate::app::read_journal;
use crate::config::{Config, JournalConfig};
use crate::journal;

/// What to look at.
#[derive(Subcommand)]
pub enum Journal {
    Status(status::Status),
    Check(check::Check),
    Gaps(gaps::Gaps),
    DeadLetters(dead_letters::DeadLetters),
    Alerts(alerts::Alerts),
}

impl Journal {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Status(status) => status.run(),
            Self::Check(check) => check.run(),
            Self::Gaps(gaps) => gaps.run(),
            Self::DeadLetters(letters) => letters.run(),
            Self::Alerts(alerts) => alerts.run(),
        }
    }
}

/// Which journal, and how to print.
#[derive(Args)]
struct Look {
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Where the journal is.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Configuration file of the service, which names its state directory and key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory of the service; the key is that of the variable WATCHBELL_KEY, or the file `key` there
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object a line
    Ndjson,
}

impl Look {
    /// Opens the journal. Nothing is made or changed, and a service that uses it goes on.
    fn open(&self) -> anyhow::Result<journal::Journal> {
        let Place { config, state_directory } = &self.place;
        match (config, state_directory) {
            (Some(path), _) => {
                let config = Config::read(path).map_err(anyhow::Error::msg)?;
                let directory = config.state_directory.with_context(|| {
                    format!("{} names no state_directory: without one, nothing is kept", path.display())
                })?;
                read_journal(&directory, &config.journal)
            }
            (None, directory) => {
                let directory = directory.as_deref().unwrap_or(Path::new("."));
                read_journal(directory, &JournalConfig::default())
            }
        }
    }

    fn is_json(&self) -> bool {
        self.output == Output::Ndjson
    }
}

/// The exit status of a command that could read everything, or not.
fn exit(is_readable: bool) -> ExitCode {
    if is_readable { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
