//! What waits to be stored and that nobody waits for: it is kept until it is.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use crate::intake::Offset;
use crate::journal::block::{self, Encoder, Packer};
use crate::journal::commit::{Row, SealedBlock};
use crate::journal::sealing::{NoRandomness, Place, Sealer};
use crate::journal::{Change, DeadLetter, Failed, Limits, MAX_DEAD_LETTER_BYTES, Memory, StoredAlert};

/// The block that is being made of records that nobody waits for. They have been handed on.
#[derive(Default)]
pub struct Flowing {
    /// Their lines.
    pub encoder: Encoder,
    /// Records, those without new lines too.
    pub records: u64,
    /// Keys of their lines.
    pub keys: Vec<u64>,
    /// The last offset of each log.
    pub offsets: BTreeMap<String, Offset>,
    /// Whether it was told that the block is complete; nothing is added after that.
    pub is_told: bool,
    /// The block, once it has been tried to store it.
    pub sealed: Option<SealedBlock>,
}

impl Flowing {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.encoder.is_empty() && self.offsets.is_empty()
    }

    /// Bytes of the block so far.
    pub const fn bytes(&self) -> usize {
        self.encoder.len()
    }

    /// Makes the block, if there are lines; however often it is tried to store it, it is made once.
    pub fn seal(&mut self, number: u64, packer: &mut Packer, sealer: &Sealer) -> Result<(), Failed> {
        if self.sealed.is_none() && !self.encoder.is_empty() {
            self.sealed = Some(seal(&self.encoder, number, self.keys.clone(), packer, sealer)?);
        }
        Ok(())
    }
}

/// Makes a block of entries.
pub fn seal(
    encoder: &Encoder,
    number: u64,
    keys: Vec<u64>,
    packer: &mut Packer,
    sealer: &Sealer,
) -> Result<SealedBlock, Failed> {
    let packed = encoder.pack(packer).map_err(|_| Failed::Io)?;
    let body = sealer.seal(Place::Block(number), &packed).map_err(|_| Failed::Io)?;
    Ok(SealedBlock { number, at: encoder.at(), body, keys })
}

/// The dead letters that are kept, and the numbers that are next.
pub struct Shelf {
    letters: VecDeque<(u64, u64)>,
    bytes: u64,
    last_letter: u64,
    last_gap: u64,
}

impl Shelf {
    /// With the ids and sizes of these, oldest first, and the number of the last gap.
    pub fn new(letters: Vec<(u64, u64)>, last_gap: u64) -> Self {
        let bytes = letters.iter().map(|(_, size)| size).sum();
        let last_letter = letters.last().map_or(0, |(id, _)| *id);
        Self { letters: letters.into(), bytes, last_letter, last_gap }
    }

    fn next_gap(&mut self) -> u64 {
        self.last_gap += 1;
        self.last_gap
    }

    /// Makes room for one of this size; gives the first id that is kept.
    fn put_letter(&mut self, id: u64, size: u64, limits: &Limits) -> u64 {
        self.letters.push_back((id, size));
        self.bytes += size;
        while self.letters.len() > limits.max_dead_letters.max(1)
            || (self.bytes > limits.max_dead_letter_bytes && self.letters.len() > 1)
        {
            let Some((_, size)) = self.letters.pop_front() else { break };
            self.bytes -= size;
        }
        self.letters.front().map_or(id, |(first, _)| *first)
    }
}

/// A change, as it will be written.
pub struct PendingChange {
    /// Its rows.
    pub rows: Vec<Row>,
    /// Who waits for it.
    pub saved: Option<oneshot::Sender<Result<(), Failed>>>,
}

impl PendingChange {
    /// Seals what must not be read. `None` when the system gives no randomness to do that with, which is said; on Linux it
    /// always does once it has started.
    pub fn new(change: Change, shelf: &mut Shelf, sealer: &Sealer, limits: &Limits) -> Option<Self> {
        match change {
            Change::Save(changes) => {
                let alerts: Result<Vec<Row>, NoRandomness> =
                    changes.alerts.into_iter().map(|alert| alert_row(alert, sealer)).collect();
                let Ok(mut rows) = alerts else {
                    tracing::error!("{NoRandomness}: alerts are not stored");
                    if let Some(saved) = changes.saved {
                        let _ = saved.send(Err(Failed::Io));
                    }
                    return None;
                };
                for memory in changes.memories {
                    match memory_row(&memory, sealer) {
                        Some(row) => rows.push(row),
                        // The one before it is as good, only older.
                        None => tracing::error!(part = memory.part, "a part of the memory cannot be kept"),
                    }
                }
                if changes.counted_up_to > 0 {
                    rows.push(Row::Mark(changes.counted_up_to));
                }
                Some(Self { rows, saved: changes.saved })
            }
            Change::Gap(gap) => Some(Self { rows: vec![Row::Gap(shelf.next_gap(), gap)], saved: None }),
            Change::DeadLetter(DeadLetter { at, source, reason, mut body }) => {
                let size = body.len() as u64;
                body.truncate(MAX_DEAD_LETTER_BYTES);
                let id = shelf.last_letter + 1;
                let Ok(body) = sealer.seal(Place::DeadLetter(id), &body) else {
                    tracing::error!("{NoRandomness}: a dead letter is not kept");
                    return None;
                };
                shelf.last_letter = id;
                let first_kept = shelf.put_letter(id, body.len() as u64, limits);
                let row = Row::DeadLetter { id, first_kept, at, source, reason, size, body };
                Some(Self { rows: vec![row], saved: None })
            }
        }
    }

    /// Tells what came of it.
    pub fn answer(self, outcome: Result<(), Failed>) {
        if let Some(saved) = self.saved {
            // Whoever asked may be gone.
            let _ = saved.send(outcome);
        }
    }
}

fn alert_row(alert: StoredAlert, sealer: &Sealer) -> Result<Row, NoRandomness> {
    let StoredAlert { id, rule_id, opened_at, resolved_at, record } = alert;
    let body = sealer.seal(Place::Alert(&id), &record)?;
    Ok(Row::Alert { id, rule_id, opened_at, resolved_at, body })
}

fn memory_row(memory: &Memory, sealer: &Sealer) -> Option<Row> {
    let packed = block::pack_bytes(&memory.body).ok()?;
    let body = sealer.seal(Place::Memory(memory.part), &packed).ok()?;
    Some(Row::Memory { part: memory.part, block: memory.block, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_have_a_bound_in_number_and_in_bytes() {
        let limits = Limits { max_dead_letters: 3, max_dead_letter_bytes: 100, ..Limits::default() };
        let mut shelf = Shelf::new(vec![(7, 10), (9, 10)], 0);
        for (size, first_kept) in [(10, 7), (10, 9), (81, 11), (200, 13), (0, 14), (1, 14), (1, 14), (1, 15)]
        {
            let id = shelf.last_letter + 1;
            shelf.last_letter = id;
            assert_eq!(shelf.put_letter(id, size, &limits), first_kept, "letter {id}");
        }
    }
}
