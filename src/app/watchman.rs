//! Time in which a source was not watched although the service was there: it was paused, or a file was missing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::event::Timestamp;
use crate::intake;
use crate::journal::{Gap, Writer};
use crate::live::{Command, Control};
use crate::sources::Metrics;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// If it could not look for so long, nobody was watched: the machine slept, the process was stopped, or the clock was set.
const PAUSE: Duration = Duration::from_secs(10);

/// What is missing for longer is noted in parts, so that a crash loses no more than one.
const PART: Duration = Duration::from_secs(600);

/// What is missing for less is noted as nothing: rotation takes as long.
const SHORTEST: Duration = Duration::from_secs(2);

/// Sees what is not watched. Time is an argument.
pub(super) struct Watchman {
    /// The sources that are watched.
    sources: Vec<String>,
    looked: Timestamp,
    /// Since when a source has paths that name no file.
    missing: BTreeMap<String, Timestamp>,
}

/// What was seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    gaps: Vec<Gap>,
    was_paused: bool,
}

impl Watchman {
    /// Looks for the first time at `now`.
    pub fn new(sources: Vec<String>, now: Timestamp) -> Self {
        Self { sources, looked: now, missing: BTreeMap::new() }
    }

    /// It is `now`, and these sources miss a file.
    fn look(&mut self, now: Timestamp, missing: impl Iterator<Item = String>) -> Seen {
        let mut seen = Seen::default();
        let gap = |source: &str, from, reason: &str| Gap {
            source: source.to_owned(),
            from,
            to: now,
            reason: reason.to_owned(),
        };
        if self.looked.after(PAUSE) < now {
            seen.was_paused = true;
            seen.gaps.extend(self.sources.iter().map(|source| gap(source, self.looked, "paused")));
        }
        self.looked = now;
        let missing: Vec<String> = missing.collect();
        for source in &missing {
            let since = self.missing.entry(source.clone()).or_insert(now);
            if since.after(PART) <= now {
                seen.gaps.push(gap(source, *since, "missing"));
                *since = now;
            }
        }
        let back = self.missing.extract_if(.., |source, _| !missing.contains(source));
        let back = back.filter(|(_, since)| since.after(SHORTEST) <= now);
        seen.gaps.extend(back.map(|(source, since)| gap(&source, since, "missing")));
        seen
    }

    /// Looks until it is told to stop, and has gaps written down.
    pub async fn run(
        mut self,
        metrics: Metrics,
        writer: Writer,
        control: Control,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut turns = tokio::time::interval(LOOK);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                _ = turns.tick() => false,
                // An error means that whoever would say so is gone.
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let missing = if is_over { BTreeMap::new() } else { metrics.paths_without_file() };
            let Seen { gaps, was_paused } = self.look(intake::now(), missing.into_keys());
            if was_paused {
                tracing::warn!(
                    "nothing was watched for a while: the service could not run, or the clock was set"
                );
                control.ask(Command::Resume);
            }
            for gap in gaps {
                if let Err(refused) = writer.gap(gap) {
                    tracing::warn!(%refused, "a time that was not watched cannot be noted");
                }
            }
            if is_over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn at(seconds: u64) -> Timestamp {
        START.after(Duration::from_secs(seconds))
    }

    fn seen(watchman: &mut Watchman, second: u64, missing: &[&str]) -> Vec<(String, u64, u64, String)> {
        let seconds = |at: Timestamp| ((at.as_micros() - START.as_micros()) / 1_000_000) as u64;
        let seen = watchman.look(at(second), missing.iter().map(|name| (*name).to_owned()));
        assert_eq!(seen.was_paused, seen.gaps.iter().any(|gap| gap.reason == "paused"));
        let gaps = seen.gaps.into_iter();
        gaps.map(|gap| (gap.source, seconds(gap.from), seconds(gap.to), gap.reason)).collect()
    }

    #[test]
    fn what_was_missing_or_paused_is_a_gap() {
        let gap = |source: &str, from, to, reason: &str| (source.to_owned(), from, to, reason.to_owned());
        let mut watchman = Watchman::new(vec!["web".to_owned(), "push".to_owned()], START);
        for second in 1..5 {
            assert_eq!(seen(&mut watchman, second, &[]), []);
        }
        // A rotation.
        assert_eq!(seen(&mut watchman, 5, &["web"]), []);
        assert_eq!(seen(&mut watchman, 6, &[]), []);
        assert_eq!(seen(&mut watchman, 7, &["web"]), []);
        assert_eq!(seen(&mut watchman, 16, &["web"]), []);
        assert_eq!(seen(&mut watchman, 17, &[]), [gap("web", 7, 17, "missing")]);
        // A long time.
        let mut noted = Vec::new();
        for second in 18..=700 {
            noted.extend(seen(&mut watchman, second, &["web"]));
        }
        assert_eq!(noted, [gap("web", 18, 618, "missing")]);
        assert_eq!(seen(&mut watchman, 701, &[]), [gap("web", 618, 701, "missing")]);
        // The lid of a laptop.
        let paused = seen(&mut watchman, 5000, &[]);
        assert_eq!(paused, [gap("web", 701, 5000, "paused"), gap("push", 701, 5000, "paused")]);
        assert_eq!(seen(&mut watchman, 5001, &[]), []);
    }
}
