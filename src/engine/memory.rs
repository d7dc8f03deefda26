//! What outlasts a restart although no journal reaches back so far: the windows that learn for days and weeks.
//!
//! The memory has a part for each partition of the window table. A part is written down with the number of the last block
//! that is in it; when the engine starts again, the part is there before the journal is read back, and what was read of
//! blocks up to that number does not go into its windows a second time.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::event::Timestamp;
use crate::matching::observation::Fingerprint;
use crate::windows::Lasting;
use crate::windows::table::{Key, PARTITIONS};

/// The first byte of a part.
const VERSION: u8 = 1;

/// A part as it is written down.
#[derive(Serialize, Deserialize)]
struct Part {
    /// By what rules are known, and in entries their places here.
    rules: Vec<Fingerprint>,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: u128,
    rule: u16,
    /// When it is too old to matter, as the table has it, in microseconds.
    idle_at: i64,
    window: Lasting,
}

/// Which blocks are in each part of the memory already.
#[derive(Debug)]
pub(super) struct Remembered {
    /// By partition.
    up_to: [u64; PARTITIONS],
    /// The block that is counted now; beyond all while it is not the journal that is read back.
    block: u64,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { up_to: [0; PARTITIONS], block: u64::MAX }
    }
}

impl Remembered {
    /// Whether what is counted now is in this part already.
    pub fn has(&self, partition: usize) -> bool {
        self.up_to.get(partition).is_some_and(|up_to| self.block <= *up_to)
    }
}

/// Why a part cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It was written by another version.
    #[error("it was written by another version")]
    Version,
    /// It is not a part of a memory.
    #[error("it is not what this program writes: {0}")]
    Malformed(String),
    /// There is no such part.
    #[error("there is no part {0}")]
    Part(u64),
}

impl Engine {
    /// How many parts the memory has.
    pub const MEMORY_PARTS: usize = PARTITIONS;

    /// A part of the memory, to be written down; `None` when there is nothing in it. Nothing may be read and not counted.
    pub fn memory(&self, part: usize) -> Option<Vec<u8>> {
        let windows = &self.shared.plan.windows;
        let mut rules: Vec<Fingerprint> = Vec::new();
        let mut entries = Vec::new();
        let mut partition = self.table.partition(part);
        partition.for_each_lasting(|key, rule, idle_at, window| {
            let Some(planned) = windows.get(usize::from(rule)) else { return };
            let known = rules.iter().position(|known| *known == planned.fingerprint);
            let rule = known.unwrap_or_else(|| {
                rules.push(planned.fingerprint);
                rules.len() - 1
            });
            entries.push(Entry { key: key.0, rule: rule as u16, idle_at, window });
        });
        if entries.is_empty() {
            return None;
        }
        let part = Part { rules, entries };
        postcard::to_extend(&part, vec![VERSION]).ok()
    }

    /// Takes a part of the memory in, before anything is counted: `block` is the last that is in it. Windows of rules that
    /// are not the same any more are left out. Gives how many windows there are.
    pub fn remember(&mut self, part: u64, block: u64, bytes: &[u8]) -> Result<usize, MemoryError> {
        let number = usize::try_from(part).ok().filter(|part| *part < PARTITIONS);
        let number = number.ok_or(MemoryError::Part(part))?;
        let (version, bytes) = bytes.split_first().ok_or(MemoryError::Version)?;
        if *version != VERSION {
            return Err(MemoryError::Version);
        }
        let read: Part =
            postcard::from_bytes(bytes).map_err(|error| MemoryError::Malformed(error.to_string()))?;
        let windows = &self.shared.plan.windows;
        let places: Vec<Option<usize>> = read
            .rules
            .iter()
            .map(|known| windows.iter().position(|window| window.fingerprint == *known))
            .collect();
        let mut partition = self.table.partition(number);
        let mut watched = self.watched[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        for Entry { key, rule, idle_at, window } in read.entries {
            let key = Key(key);
            let place = places.get(usize::from(rule)).copied().flatten();
            let Some(place) = place.filter(|_| key.partition() == number) else { continue };
            let planned = &windows[place];
            let is_same = partition.with_subject(key, 1, &mut |_, _| {}, |slots| {
                // As if it had last been seen when what it waits for began.
                let at = idle_at.saturating_sub(planned.spec.horizon());
                let slot = slots.slot(place as u16, &planned.spec, Timestamp::from_micros(at));
                let is_same = slot.window.restore(window);
                watched.watch_restored(key, slot, &planned.spec.measure);
                is_same
            });
            taken += usize::from(is_same);
        }
        self.remembered.up_to[number] = block;
        Ok(taken)
    }

    /// What is counted from now on is of this block; `None` when it is not the journal that is read back.
    pub fn counting_block(&mut self, block: Option<u64>) {
        self.remembered.block = block.unwrap_or(u64::MAX);
    }

    /// Nobody watched until now: what was not seen is not taken for silence.
    pub fn resume(&mut self, now: Timestamp) {
        let windows = &self.shared.plan.windows;
        for (number, watched) in self.watched.iter().enumerate() {
            let mut partition = self.table.partition(number);
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.resume(&mut partition, windows, now);
        }
    }
}
