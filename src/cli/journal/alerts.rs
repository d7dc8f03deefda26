//! `watchbell journal alerts`.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Look, exit};
use crate::cli::alert_text::write_alert;
use crate::cli::output::{print, tell};
use crate::cli::watch::show::{escaped, printable};
use crate::journal::AlertFilter;

/// Alerts that are kept, those that opened last first
///
/// With `--output ndjson` each as it is stored, which is as the stream tells it.
#[derive(Args)]
pub struct Alerts {
    #[command(flatten)]
    look: Look,
    /// Only those that are open
    #[arg(long)]
    open: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

impl Alerts {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let filter = AlertFilter { is_open: self.open.then_some(true), ..AlertFilter::default() };
        // One more tells whether there are more.
        let listed = self.look.open()?.alerts(&filter, self.limit.saturating_add(1))?;
        let mut unreadable = listed.unreadable;
        let has_more = listed.rows.len() + unreadable > self.limit;
        print(|out| {
            if listed.rows.is_empty() && unreadable == 0 && !self.look.is_json() {
                return writeln!(out, "Nothing to report.");
            }
            for stored in listed.rows.iter().take(self.limit) {
                let text = std::str::from_utf8(&stored.record).unwrap_or_default();
                let Ok(alert) = serde_json::from_str::<Value>(text) else {
                    unreadable += 1;
                    continue;
                };
                if self.look.is_json() {
                    writeln!(out, "{}", escaped(text))?;
                } else {
                    let severity = printable(alert["severity"].as_str().unwrap_or_default()).to_uppercase();
                    write_alert(out, &format!("{severity:<9} "), &alert)?;
                }
            }
            Ok(())
        })?;
        if has_more {
            tell(format_args!("there are more than {}; see --limit", self.limit));
        }
        if unreadable > 0 {
            tell(format_args!("{unreadable} alerts cannot be read"));
        }
        Ok(exit(unreadable == 0))
    }
}
