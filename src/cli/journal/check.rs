//! `watchbell journal check`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Look, exit};
use crate::cli::output::{print, tell};
use crate::cli::summary::grouped;
use crate::cli::watch::show::{escaped, printable};
use crate::journal::{self, OpenError};

/// Read everything, and say what cannot be read
///
/// A gibibyte takes some seconds. A service may run meanwhile. Exit status: 1 when anything cannot be read.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    look: Look,
}

impl Check {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let check = match self.check() {
            Ok(check) => check,
            Err(error) if is_damage(&error) => {
                tell(format_args!("{error:#}"));
                return Ok(exit(false));
            }
            Err(error) => return Err(error),
        };
        print(|out| match self.look.is_json() {
            true => writeln!(out, "{}", escaped(&object(&check).to_string())),
            false => write_text(out, &check),
        })?;
        Ok(exit(check.is_well()))
    }

    fn check(&self) -> anyhow::Result<journal::Check> {
        let journal = self.look.open()?;
        let bar = match io::stderr().is_terminal() {
            true => Some(bar(&journal)),
            false => None,
        };
        let checked = journal.check(|number| {
            if let Some((bar, first)) = &bar {
                bar.set_position(number.saturating_sub(*first));
            }
        });
        if let Some((bar, _)) = bar {
            bar.finish_and_clear();
        }
        Ok(checked?)
    }
}

/// Whether the file is damaged so that nothing can be said of what is in it.
fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Corrupt(_)))
}

/// A progress bar, and the block that it begins with.
fn bar(journal: &journal::Journal) -> (ProgressBar, u64) {
    // Where this cannot be read, the check says why.
    let overview = journal.overview().unwrap_or_default();
    let first = overview.first_block;
    let bar = ProgressBar::new(overview.last_block.saturating_sub(first));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent} % of the blocks, {eta} left") {
        bar.set_style(style);
    }
    (bar, first)
}

fn object(check: &journal::Check) -> serde_json::Value {
    let unreadable = check.unreadable.iter().map(|block| {
        let reason = block.reason.to_string();
        json!({"block": block.number, "reason": reason})
    });
    json!({
        "is_well": check.is_well(),
        "blocks": check.blocks,
        "lines": check.lines,
        "text_bytes": check.text_bytes,
        "unreadable_blocks": check.unreadable_blocks,
        "missing_blocks": check.missing_blocks,
        "alerts": check.alerts,
        "unreadable_alerts": check.unreadable_alerts,
        "dead_letters": check.dead_letters,
        "unreadable_dead_letters": check.unreadable_dead_letters,
        "unreadable": unreadable.collect::<Vec<_>>(),
        "faults": check.faults,
    })
}

fn write_text(out: &mut dyn Write, check: &journal::Check) -> io::Result<()> {
    writeln!(
        out,
        "{} blocks with {} lines ({:.1} MB), {} alerts and {} dead letters were read",
        grouped(check.blocks),
        grouped(check.lines),
        check.text_bytes as f64 / 1e6,
        grouped(check.alerts),
        grouped(check.dead_letters)
    )?;
    for (count, what) in [
        (check.unreadable_blocks, "blocks cannot be read"),
        (check.missing_blocks, "blocks are missing"),
        (check.unreadable_alerts, "alerts cannot be read"),
        (check.unreadable_dead_letters, "dead letters cannot be read"),
    ] {
        if count > 0 {
            writeln!(out, "{} {what}", grouped(count))?;
        }
    }
    for unreadable in &check.unreadable {
        writeln!(out, "  {}", printable(&unreadable.to_string()))?;
    }
    for fault in &check.faults {
        writeln!(out, "the file: {}", printable(fault))?;
    }
    writeln!(
        out,
        "{}",
        if check.is_well() { "Everything can be read." } else { "NOT everything can be read." }
    )
}
