//! What the journal did, for Prometheus. The journal counts for itself; this follows.

use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{Counts, Failed};
use crate::telemetry::Register;

/// Reads a number out of the counts.
type Read = fn(&Counts) -> u64;

const TOTALS: [(&str, &str, Read); 14] = [
    ("watchbell_journal_blocks_total", "Blocks committed.", |c| c.blocks),
    ("watchbell_journal_records_total", "Records committed.", |c| c.records),
    ("watchbell_journal_text_bytes_total", "Bytes of lines committed.", |c| c.text_bytes),
    ("watchbell_journal_written_bytes_total", "Bytes of blocks written, compressed and sealed.", |c| {
        c.block_bytes
    }),
    ("watchbell_journal_commits_total", "Commits, of blocks and of anything else.", |c| c.commits),
    (
        "watchbell_journal_failed_records_total",
        "Records that could not be stored, as their senders were told.",
        |c| c.failed_records,
    ),
    ("watchbell_journal_refused_records_total", "Records refused because the queue was full.", |c| c.refused),
    (
        "watchbell_journal_refused_changes_total",
        "Changes of alerts, gaps and dead letters refused because the queue was full.",
        |c| c.refused_changes,
    ),
    (
        "watchbell_journal_evicted_keys_total",
        "Keys of lines forgotten for want of room: such a line would be counted again.",
        |c| c.evicted_keys,
    ),
    ("watchbell_journal_expired_blocks_total", "Blocks deleted because of their age.", |c| c.expired_blocks),
    (
        "watchbell_journal_displaced_blocks_total",
        "Blocks deleted for want of room, although they were younger than the limit.",
        |c| c.displaced_blocks,
    ),
    (
        "watchbell_journal_deleted_rows_total",
        "Alerts, gaps, dead letters and offsets deleted because of their age or for want of room.",
        |c| c.deleted_rows,
    ),
    ("watchbell_journal_failed_housekeeping_total", "Housekeeping that failed.", |c| c.failed_housekeeping),
    (
        "watchbell_journal_abandoned_records_total",
        "Records that were taken in and could not be stored before the end.",
        |c| c.abandoned_records,
    ),
];

const GAUGES: [(&str, &str, Read); 5] = [
    ("watchbell_journal_queued_records", "Records that wait.", |c| c.queued_records),
    ("watchbell_journal_queued_bytes", "Bytes of records that wait.", |c| c.queued_bytes),
    ("watchbell_journal_keys", "Keys of lines that are known.", |c| c.keys),
    ("watchbell_journal_last_block", "Number of the last block.", |c| c.last_block),
    ("watchbell_journal_used_bytes", "Bytes of the file that are in use.", |c| c.used_bytes),
];

/// The metrics; see the module.
pub struct Metrics {
    totals: Vec<(IntCounter, Read)>,
    gauges: Vec<(IntGauge, Read)>,
    commit_seconds: Counter,
    failed_commits: IntCounterVec,
    duplicates: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics, with the series of these sources.
    pub fn register<'s>(
        registry: &Registry,
        sources: impl IntoIterator<Item = &'s str>,
    ) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let totals = TOTALS.map(|(name, help, read)| Ok((register.counter(name, help)?, read)));
        let gauges = GAUGES.map(|(name, help, read)| Ok((register.gauge(name, help)?, read)));
        let commit_seconds =
            Counter::new("watchbell_journal_commit_seconds_total", "Time that commits took together.")?;
        registry.register(Box::new(commit_seconds.clone()))?;
        let metrics = Self {
            totals: totals.into_iter().collect::<Result<_, prometheus::Error>>()?,
            gauges: gauges.into_iter().collect::<Result<_, prometheus::Error>>()?,
            commit_seconds,
            failed_commits: register.counters(
                "watchbell_journal_failed_commits_total",
                "Commits that failed.",
                &["reason"],
            )?,
            duplicates: register.counters(
                "watchbell_journal_duplicate_lines_total",
                "Lines left out because they had come before.",
                &["source"],
            )?,
        };
        Failed::ALL
            .iter()
            .for_each(|reason| drop(metrics.failed_commits.with_label_values(&[reason.name()])));
        sources.into_iter().for_each(|source| drop(metrics.duplicates.with_label_values(&[source])));
        Ok(metrics)
    }

    /// Takes over what was counted.
    pub fn follow(&self, counts: &Counts) {
        let catch_up = |counter: &IntCounter, now: u64| counter.inc_by(now.saturating_sub(counter.get()));
        self.totals.iter().for_each(|(counter, read)| catch_up(counter, read(counts)));
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(counts)).unwrap_or(i64::MAX));
        }
        self.commit_seconds.inc_by((counts.commit_seconds - self.commit_seconds.get()).max(0.0));
        for (reason, count) in Failed::ALL.iter().zip(counts.failed_commits) {
            catch_up(&self.failed_commits.with_label_values(&[reason.name()]), count);
        }
        for (source, count) in &counts.duplicates {
            catch_up(&self.duplicates.with_label_values(&[source]), *count);
        }
    }
}
