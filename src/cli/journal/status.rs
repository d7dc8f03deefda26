//! `watchbell journal status`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Look;
use crate::cli::alert_text::short;
use crate::cli::output::print;
use crate::cli::summary::grouped;
use crate::cli::watch::show::{escaped, printable};
use crate::event::Timestamp;
use crate::journal::{Overview, StoredOffset};
use crate::sources::follow::place_of;

/// What there is: blocks, times, sizes, alerts, gaps, and how far logs were read
///
/// Lines are within sealed blocks: `watchbell journal check` reads and counts them.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    look: Look,
}

impl Status {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let journal = self.look.open()?;
        let overview = journal.overview()?;
        let path = journal.path().display().to_string();
        print(|out| match self.look.is_json() {
            true => writeln!(out, "{}", escaped(&object(&path, &overview).to_string())),
            false => write_text(out, &path, &overview),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The source of a log, and where in which file it is.
fn place(offset: &StoredOffset) -> (&str, Option<(String, u64)>) {
    let source = offset.log.rsplit_once('/').map_or(offset.log.as_str(), |(source, _)| source);
    let place = place_of(&offset.state).map(|(path, bytes)| (path.to_string_lossy().into_owned(), bytes));
    (source, place)
}

fn object(path: &str, overview: &Overview) -> Value {
    let offsets = overview.offsets.iter().map(|offset| {
        let (source, place) = place(offset);
        let (path, bytes) = place.unzip();
        json!({"log": offset.log, "source": source, "path": path, "bytes": bytes, "block": offset.block})
    });
    json!({
        "path": path,
        "blocks": overview.blocks,
        "first_block": overview.first_block,
        "last_block": overview.last_block,
        "missing_blocks": overview.missing_blocks(),
        "first_at": overview.first_at,
        "last_at": overview.last_at,
        "alive_at": overview.alive_at,
        "file_bytes": overview.file_bytes,
        "used_bytes": overview.used_bytes,
        "counted_up_to": overview.counted_up_to,
        "keys": overview.keys,
        "open_alerts": overview.open_alerts,
        "resolved_alerts": overview.resolved_alerts,
        "gaps": overview.gaps,
        "dead_letters": overview.dead_letters,
        "offsets": offsets.collect::<Vec<_>>(),
    })
}

fn write_text(out: &mut dyn Write, path: &str, overview: &Overview) -> io::Result<()> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| short(&at.to_string()));
    let (first, last) = (overview.first_block, overview.last_block);
    let blocks = match overview.blocks {
        0 => "none".to_owned(),
        blocks => format!("{}, number {} to {}", grouped(blocks), grouped(first), grouped(last)),
    };
    let missing = overview.missing_blocks();
    let (file, used) = (overview.file_bytes as f64 / 1e6, overview.used_bytes as f64 / 1e6);
    let counted = match last.saturating_sub(overview.counted_up_to) {
        0 => "all blocks".to_owned(),
        rest => format!("up to block {}, {} are left", grouped(overview.counted_up_to), grouped(rest)),
    };
    let (open, resolved) = (grouped(overview.open_alerts), grouped(overview.resolved_alerts));
    for (name, what) in [
        ("journal", printable(path)),
        ("blocks", blocks),
        ("from", time(overview.first_at)),
        ("until", time(overview.last_at)),
        ("alive", time(overview.alive_at)),
        ("file", format!("{file:.1} MB, {used:.1} MB of it in use")),
        ("counted", counted),
        ("keys", format!("{} of lines that are known when they come again", grouped(overview.keys))),
        ("alerts", format!("{open} open, {resolved} resolved")),
        ("gaps", grouped(overview.gaps)),
        ("letters", format!("{} dead", grouped(overview.dead_letters))),
    ] {
        writeln!(out, "{name:<8} {what}")?;
    }
    if missing > 0 {
        writeln!(out, "MISSING  {} blocks between the first and the last", grouped(missing))?;
    }
    for offset in &overview.offsets {
        let (source, place) = place(offset);
        let place = match place {
            Some((path, bytes)) => format!("{} up to byte {}", printable(&path), grouped(bytes)),
            None => format!("{}, as its source understands it", printable(&offset.log)),
        };
        writeln!(out, "read     {}: {place}", printable(source))?;
    }
    Ok(())
}
