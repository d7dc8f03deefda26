//! What the journal did, in numbers that anyone may read while it works.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Failed;

/// Upper bounds of the buckets of commit times, in seconds.
pub const COMMIT_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Most sources that duplicates are counted for. Sources come from the configuration: there are never as many.
const MAX_SOURCES: usize = 1000;

/// What was counted since the start, and what is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Blocks committed.
    pub blocks: u64,
    /// Records committed.
    pub records: u64,
    /// Bytes of text committed.
    pub text_bytes: u64,
    /// Bytes of blocks written for them: compressed and sealed.
    pub block_bytes: u64,
    /// Commits, of blocks and of anything else.
    pub commits: u64,
    /// How long they took together, in seconds.
    pub commit_seconds: f64,
    /// Commits by how long they took: not cumulative, by place in [`COMMIT_BUCKETS`], those beyond at the end.
    pub commit_buckets: [u64; COMMIT_BUCKETS.len() + 1],
    /// Commits that failed, by place in [`Failed::ALL`].
    pub failed_commits: [u64; Failed::ALL.len()],
    /// Records that were answered with a failure.
    pub failed_records: u64,
    /// Records refused because the queue was full.
    pub refused: u64,
    /// Changes of alerts, gaps and dead letters refused because the queue was full.
    pub refused_changes: u64,
    /// Lines left out because they had been seen, by source.
    pub duplicates: BTreeMap<Arc<str>, u64>,
    /// Keys of lines forgotten for want of room: those lines would be counted again.
    pub evicted_keys: u64,
    /// Blocks deleted because of their age.
    pub expired_blocks: u64,
    /// Blocks deleted for want of room, although they were younger than the limit.
    pub displaced_blocks: u64,
    /// Alerts, gaps, dead letters and offsets deleted, because of their age or for want of room.
    pub deleted_rows: u64,
    /// Housekeeping that failed.
    pub failed_housekeeping: u64,
    /// Records that were taken in and could not be stored before the end.
    pub abandoned_records: u64,

    /// Records that wait.
    pub queued_records: u64,
    /// Bytes of them.
    pub queued_bytes: u64,
    /// Keys of lines that are known.
    pub keys: u64,
    /// The last block committed; 0 when there is none.
    pub last_block: u64,
    /// Bytes of the file that are in use.
    pub used_bytes: u64,
}

/// Where it is counted.
#[derive(Default)]
pub struct Counters {
    pub(super) blocks: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) text_bytes: AtomicU64,
    pub(super) block_bytes: AtomicU64,
    commit_micros: AtomicU64,
    commit_buckets: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    failed_commits: [AtomicU64; Failed::ALL.len()],
    pub(super) failed_records: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) refused_changes: AtomicU64,
    duplicates: Mutex<BTreeMap<Arc<str>, u64>>,
    pub(super) evicted_keys: AtomicU64,
    pub(super) expired_blocks: AtomicU64,
    pub(super) displaced_blocks: AtomicU64,
    pub(super) deleted_rows: AtomicU64,
    pub(super) failed_housekeeping: AtomicU64,
    pub(super) abandoned_records: AtomicU64,
    pub(super) queued_records: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) keys: AtomicU64,
    pub(super) last_block: AtomicU64,
    pub(super) used_bytes: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Relaxed);
}

/// Sets a gauge.
pub(super) fn set(gauge: &AtomicU64, number: u64) {
    gauge.store(number, Relaxed);
}

impl Counters {
    pub(super) fn add_commit(&self, took: Duration) {
        add(&self.commit_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let seconds = took.as_secs_f64();
        let bucket =
            COMMIT_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(COMMIT_BUCKETS.len());
        add(&self.commit_buckets[bucket], 1);
    }

    pub(super) fn add_failure(&self, failed: Failed) {
        add(&self.failed_commits[failed as usize], 1);
    }

    pub(super) fn add_duplicates(&self, source: &Arc<str>, number: u64) {
        if number == 0 {
            return;
        }
        let mut duplicates = self.duplicates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = duplicates.get_mut(source) {
            *count += number;
        } else if duplicates.len() < MAX_SOURCES {
            duplicates.insert(Arc::clone(source), number);
        }
    }

    /// As it stands.
    pub fn read(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let commit_buckets = self.commit_buckets.each_ref().map(get);
        Counts {
            blocks: get(&self.blocks),
            records: get(&self.records),
            text_bytes: get(&self.text_bytes),
            block_bytes: get(&self.block_bytes),
            commits: commit_buckets.iter().sum(),
            commit_seconds: get(&self.commit_micros) as f64 / 1e6,
            commit_buckets,
            failed_commits: self.failed_commits.each_ref().map(get),
            failed_records: get(&self.failed_records),
            refused: get(&self.refused),
            refused_changes: get(&self.refused_changes),
            duplicates: self.duplicates.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            evicted_keys: get(&self.evicted_keys),
            expired_blocks: get(&self.expired_blocks),
            displaced_blocks: get(&self.displaced_blocks),
            deleted_rows: get(&self.deleted_rows),
            failed_housekeeping: get(&self.failed_housekeeping),
            abandoned_records: get(&self.abandoned_records),
            queued_records: get(&self.queued_records),
            queued_bytes: get(&self.queued_bytes),
            keys: get(&self.keys),
            last_block: get(&self.last_block),
            used_bytes: get(&self.used_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_fall_into_buckets() {
        let counters = Counters::default();
        for micros in [500, 1000, 1001, 9_000_000] {
            counters.add_commit(Duration::from_micros(micros));
        }
        let counts = counters.read();
        assert_eq!((counts.commits, counts.commit_buckets[..2].to_vec()), (4, vec![2, 1]));
        assert_eq!(counts.commit_buckets.last(), Some(&1));
        assert!((counts.commit_seconds - 9.002501).abs() < 1e-9);
    }

    #[test]
    fn duplicates_are_counted_by_source_of_which_there_is_a_bound() {
        let counters = Counters::default();
        for number in 0..2 * MAX_SOURCES {
            counters.add_duplicates(&format!("s{number}").into(), 1);
        }
        counters.add_duplicates(&"s5".into(), 2);
        counters.add_duplicates(&"new".into(), 0);
        let duplicates = counters.read().duplicates;
        assert_eq!((duplicates.len(), duplicates["s5"]), (MAX_SOURCES, 3));
    }
}
