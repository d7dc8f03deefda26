//! The writer's thread: it takes what waits, makes a commit of it, and tells what came of that.

mod housekeeping;
mod pending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use self::housekeeping::Housekeeping;
use self::pending::{Flowing, PendingChange, Shelf};
use super::commit::{self, Batch, SealedBlock};
use super::counts::{Counters, add, set};
use super::dedupe::{Seen, retain_new};
use super::queue::{Queue, Stage, Taken, Wanted};
use super::{
    Block, Failed, Found, GATHER, Journal, Limits, MAX_BLOCK_BYTES, Record, Stored, block, retention,
};
use crate::decode::Tally;
use crate::intake::{self, Lines, Offset};

/// How long after a failure it is tried again; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// How often it is tried again when the end is near: three seconds in all.
const LAST_TRIES: u32 = 5;

/// Writes the file.
pub struct Worker {
    pub(super) connection: Connection,
    journal: Journal,
    limits: Limits,
    counters: Arc<Counters>,
    seen: Seen,
    /// The last block that is stored.
    committed: u64,
    packer: block::Packer,
    flowing: Flowing,
    changes: Vec<PendingChange>,
    shelf: Shelf,
    /// Since when something waits that nobody waits for.
    since: Option<Instant>,
    /// Failures since the last commit, and when to try again.
    failures: u32,
    retry_at: Option<Instant>,
    housekeeping: Housekeeping,
}

/// A record that somebody waits for, being stored.
struct Awaited {
    lines: Lines,
    offset: Option<Offset>,
    stored: Option<oneshot::Sender<Result<Stored, Failed>>>,
    duplicates: usize,
}

impl Worker {
    pub(super) fn new(
        connection: Connection,
        journal: Journal,
        limits: Limits,
        seen: Seen,
        found: &Found,
    ) -> rusqlite::Result<Self> {
        let (letters, last_gap) = retention::kept(&connection)?;
        let counters = Arc::new(Counters::default());
        // A mark beyond the last block means that blocks were lost: their numbers are not given again.
        let committed = found.last_block.max(found.counted_up_to);
        set(&counters.last_block, committed);
        set(&counters.keys, seen.len() as u64);
        Ok(Self {
            connection,
            journal,
            limits,
            counters,
            seen,
            committed,
            packer: block::Packer::default(),
            flowing: Flowing::default(),
            changes: Vec::new(),
            shelf: Shelf::new(letters, last_gap),
            since: None,
            failures: 0,
            retry_at: None,
            housekeeping: Housekeeping::new(Instant::now()),
        })
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Works until the queue has ended.
    pub(super) fn run(mut self, queue: &Queue, on_block: impl FnMut(Block)) {
        let mut on_block = Some(on_block);
        let mut stage = Stage::Open;
        let mut last_tries = 0;
        while stage < Stage::Ended || self.has_pending() {
            let taken = queue.take(self.look_up_at(), stage, self.wanted());
            stage = taken.stage;
            let (is_closing, failures) = (taken.is_closing, self.failures);
            self.turn(taken, &mut |block| {
                if let Some(on_block) = &mut on_block {
                    on_block(block);
                }
            });
            if stage >= Stage::NoRecords && self.flowing.is_empty() {
                on_block = None;
            }
            last_tries += u32::from(is_closing && self.failures > failures);
            if last_tries >= LAST_TRIES {
                add(&self.counters.abandoned_records, self.flowing.records);
                tracing::error!(
                    records = self.flowing.records,
                    changes = self.changes.len(),
                    "the journal cannot be written and the service is stopping: what was not stored is given up"
                );
                return;
            }
        }
    }

    /// When to look up although nothing has come.
    fn look_up_at(&self) -> Instant {
        let due = self.retry_at.or(self.since.map(|since| since + GATHER));
        due.map_or(self.housekeeping.at, |due| due.min(self.housekeeping.at))
    }

    pub(super) fn wanted(&self) -> Wanted {
        let is_failing = self.retry_at.is_some();
        Wanted {
            flowing_room: if is_failing { 0 } else { MAX_BLOCK_BYTES.saturating_sub(self.flowing.bytes()) },
            awaited_room: MAX_BLOCK_BYTES,
            changes: !is_failing,
        }
    }

    fn has_pending(&self) -> bool {
        !self.flowing.is_empty() || !self.changes.is_empty()
    }

    /// Does what there is to do.
    pub(super) fn turn(&mut self, taken: Taken, on_block: &mut dyn FnMut(Block)) {
        let Taken { flowing, awaited, changes, stage, is_closing: _ } = taken;
        self.flow(flowing, on_block);
        for change in changes {
            self.changes.extend(PendingChange::new(
                change,
                &mut self.shelf,
                self.journal.sealer(),
                &self.limits,
            ));
        }
        let now = Instant::now();
        if self.has_pending() {
            self.since.get_or_insert(now);
        }
        let somebody_waits = !awaited.is_empty() || self.changes.iter().any(|change| change.saved.is_some());
        let is_due = match self.retry_at {
            Some(retry_at) => now >= retry_at,
            None => {
                somebody_waits
                    || stage > Stage::Open
                    || self.flowing.bytes() >= MAX_BLOCK_BYTES
                    || self.since.is_some_and(|since| now >= since + GATHER)
            }
        };
        if !awaited.is_empty() || (self.has_pending() && is_due) {
            self.commit(awaited, on_block);
        }
        if now >= self.housekeeping.at {
            let first_seen = self.seen.first_block();
            let (connection, counters) = (&mut self.connection, &self.counters);
            self.housekeeping.work(connection, &self.limits, first_seen, intake::now(), counters);
            self.seen.forget_old(intake::now());
        }
        set(&self.counters.keys, self.seen.len() as u64);
        set(&self.counters.evicted_keys, self.seen.evicted());
    }

    /// Leaves out lines that are known, and notes the others; gives how many are left out and the keys that are new.
    fn dedupe(&mut self, lines: &mut Lines, keys: &[u64], block: u64) -> (usize, Vec<u64>) {
        if keys.is_empty() {
            return (0, Vec::new());
        }
        let received = lines.received;
        let seen = &mut self.seen;
        let (known, claimed) = retain_new(&mut lines.text, keys, |key| seen.claim(key, received, block));
        self.counters.add_duplicates(&lines.stream.source, known as u64);
        (known, claimed)
    }

    /// Hands on what nobody waits for, and writes it to the block that is being made.
    fn flow(&mut self, records: Vec<Record>, on_block: &mut dyn FnMut(Block)) {
        let number = self.committed + 1;
        let mut flowing = Vec::with_capacity(records.len());
        for Record { mut lines, keys, stored: _ } in records {
            let (_, claimed) = self.dedupe(&mut lines, &keys, number);
            self.flowing.keys.extend(claimed);
            if let Some(offset) = lines.offset.take() {
                self.flowing.offsets.insert(offset.log.clone(), offset);
            }
            self.flowing.records += 1;
            if lines.text.is_empty() {
                tell_of_nothing(&mut lines);
            } else {
                self.flowing.encoder.push(&lines);
                flowing.push(lines);
            }
        }
        if !flowing.is_empty() {
            on_block(Block { number, is_complete: false, lines: flowing });
        }
    }

    /// Stores what waits and these records, and tells what came of it.
    fn commit(&mut self, records: Vec<Record>, on_block: &mut dyn FnMut(Block)) {
        let mut number = self.committed + 1;
        if !self.flowing.encoder.is_empty() {
            if !std::mem::replace(&mut self.flowing.is_told, true) {
                on_block(Block { number, is_complete: true, lines: Vec::new() });
            }
            number += 1;
        }
        let mut encoder = block::Encoder::default();
        let mut claimed = Vec::new();
        let mut awaited = Vec::with_capacity(records.len());
        for Record { mut lines, keys, stored } in records {
            let (duplicates, new) = self.dedupe(&mut lines, &keys, number);
            claimed.extend(new);
            if !lines.text.is_empty() {
                encoder.push(&lines);
            }
            awaited.push(Awaited { offset: lines.offset.take(), lines, stored, duplicates });
        }
        let began = Instant::now();
        match self.write(&encoder, number, &claimed, &awaited) {
            Ok(written) => {
                // All lines may have been seen before: then it says nothing of the disk.
                if let Some(bytes) = written {
                    self.counters.add_commit(began.elapsed());
                    add(&self.counters.block_bytes, bytes);
                    self.recovered();
                }
                self.succeeded(&encoder, awaited, on_block);
            }
            Err(failed) => {
                self.counters.add_failure(failed);
                claimed.into_iter().for_each(|key| self.seen.release(key));
                self.failed(failed, awaited);
            }
        }
    }

    /// Writes one commit, and gives the bytes of its blocks; `None` when there was nothing to write.
    fn write(
        &mut self,
        encoder: &block::Encoder,
        number: u64,
        claimed: &[u64],
        awaited: &[Awaited],
    ) -> Result<Option<u64>, Failed> {
        let sealer = self.journal.sealer();
        self.flowing.seal(self.committed + 1, &mut self.packer, sealer)?;
        let sealed = match encoder.is_empty() {
            true => None,
            false => Some(pending::seal(encoder, number, claimed.to_vec(), &mut self.packer, sealer)?),
        };
        let blocks: Vec<&SealedBlock> = self.flowing.sealed.iter().chain(&sealed).collect();
        let last = blocks.last().map_or(self.committed, |block| block.number);
        let bytes = blocks.iter().map(|block| block.body.len() as u64).sum();
        let offsets =
            self.flowing.offsets.values().chain(awaited.iter().filter_map(|one| one.offset.as_ref()));
        let batch = Batch {
            blocks,
            offsets: offsets.map(|offset| (offset, last)).collect(),
            rows: self.changes.iter().flat_map(|change| &change.rows).collect(),
            max_gaps: self.limits.max_gaps,
        };
        if batch.is_empty() {
            return Ok(None);
        }
        match commit::commit(&mut self.connection, &batch) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) => {
                if self.failures == 0 {
                    tracing::error!(%error, "the journal cannot be written; it is tried again");
                }
                Err(commit::failure(&error))
            }
        }
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the journal can be written again");
        }
        (self.failures, self.retry_at, self.since) = (0, None, None);
    }

    fn succeeded(
        &mut self,
        encoder: &block::Encoder,
        awaited: Vec<Awaited>,
        on_block: &mut dyn FnMut(Block),
    ) {
        let flowing = std::mem::take(&mut self.flowing);
        for written in [&flowing.encoder, encoder].into_iter().filter(|encoder| !encoder.is_empty()) {
            self.committed += 1;
            add(&self.counters.blocks, 1);
            add(&self.counters.text_bytes, written.text_bytes());
        }
        add(&self.counters.records, flowing.records + awaited.len() as u64);
        set(&self.counters.last_block, self.committed);
        for change in self.changes.drain(..) {
            change.answer(Ok(()));
        }
        let mut lines = Vec::with_capacity(awaited.len());
        for Awaited { lines: mut stored_lines, stored, duplicates, offset: _ } in awaited {
            if let Some(stored) = stored {
                // Whoever asked may be gone.
                let _ = stored.send(Ok(Stored { block: self.committed, duplicates }));
            }
            if stored_lines.text.is_empty() {
                tell_of_nothing(&mut stored_lines);
            } else {
                lines.push(stored_lines);
            }
        }
        if !lines.is_empty() {
            on_block(Block { number: self.committed, is_complete: true, lines });
        }
    }

    fn failed(&mut self, failed: Failed, awaited: Vec<Awaited>) {
        add(&self.counters.failed_records, awaited.len() as u64);
        for stored in awaited.into_iter().filter_map(|one| one.stored) {
            let _ = stored.send(Err(failed));
        }
        let changes = std::mem::take(&mut self.changes);
        let (waiting, kept): (Vec<_>, Vec<_>) = changes.into_iter().partition(|one| one.saved.is_some());
        self.changes = kept;
        for change in waiting {
            change.answer(Err(failed));
        }
        self.failures += 1;
        let pause = FIRST_RETRY * 2_u32.saturating_pow(self.failures.min(10) - 1);
        // With nothing to try again, whoever comes next finds out.
        self.retry_at = self.has_pending().then(|| Instant::now() + pause.min(LAST_RETRY));
    }
}

/// All lines had been seen before, or there were none.
fn tell_of_nothing(lines: &mut Lines) {
    if let Some(counted) = lines.counted.take() {
        let _ = counted.send(Tally::default());
    }
}
