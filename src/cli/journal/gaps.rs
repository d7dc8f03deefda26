//! `watchbell journal gaps`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Look;
use crate::cli::alert_text::short;
use crate::cli::output::print;
use crate::cli::watch::show::{escaped, printable};
use crate::journal::Gap;

/// Times in which sources were not watched, the newest first
///
/// From, until, how long, which source, and why: `stopped` when the service did not run.
#[derive(Args)]
pub struct Gaps {
    #[command(flatten)]
    look: Look,
}

impl Gaps {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let gaps = self.look.open()?.gaps(usize::MAX)?;
        print(|out| {
            if gaps.is_empty() && !self.look.is_json() {
                return writeln!(out, "No gaps: all sources were watched all the time.");
            }
            gaps.iter().try_for_each(|gap| match self.look.is_json() {
                true => writeln!(out, "{}", escaped(&object(gap).to_string())),
                false => writeln!(out, "{}", line(gap)),
            })
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn object(gap: &Gap) -> serde_json::Value {
    let Gap { source, from, to, reason } = gap;
    let seconds = lasted(gap).as_secs_f64();
    json!({"source": source, "from": from, "to": to, "reason": reason, "seconds": seconds})
}

fn line(gap: &Gap) -> String {
    format!(
        "{} to {}  {:>10}  {}  {}",
        short(&gap.from.to_string()),
        short(&gap.to.to_string()),
        span(lasted(gap)),
        printable(&gap.source),
        printable(&gap.reason)
    )
}

fn lasted(gap: &Gap) -> Duration {
    let micros = gap.to.as_micros().saturating_sub(gap.from.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A span in the two largest units that it has.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, expected) in [
            (0, "0.0 s"),
            (59, "59.0 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3661, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
