//! One commit: blocks, keys, offsets, alerts and the rest, all of them or none.

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::{Failed, Gap, dedupe};
use crate::event::Timestamp;
use crate::intake::Offset;

/// A block as it is written.
pub struct SealedBlock {
    /// Its number.
    pub number: u64,
    /// When the last of it arrived.
    pub at: Timestamp,
    /// Sealed.
    pub body: Vec<u8>,
    /// Keys of its lines.
    pub keys: Vec<u64>,
}

/// Something else as it is written.
pub enum Row {
    /// Everything up to this block was counted.
    Mark(u64),
    /// An alert.
    Alert {
        /// Its id.
        id: String,
        /// The rule.
        rule_id: String,
        /// When it opened.
        opened_at: Timestamp,
        /// When it was over.
        resolved_at: Option<Timestamp>,
        /// Sealed.
        body: Vec<u8>,
    },
    /// A part of the memory.
    Memory {
        /// Its number.
        part: u64,
        /// The last block in it.
        block: u64,
        /// Sealed.
        body: Vec<u8>,
    },
    /// A time in which a source was not watched, and its number.
    Gap(u64, Gap),
    /// What could not be read.
    DeadLetter {
        /// Its id.
        id: u64,
        /// Those before this one are deleted.
        first_kept: u64,
        /// When it came.
        at: Timestamp,
        /// Where from.
        source: String,
        /// Why it could not be read.
        reason: String,
        /// Bytes that came, if more than are kept.
        size: u64,
        /// Sealed.
        body: Vec<u8>,
    },
}

/// All that goes in one commit.
#[derive(Default)]
pub struct Batch<'a> {
    /// Blocks.
    pub blocks: Vec<&'a SealedBlock>,
    /// Offsets, and the block they belong to.
    pub offsets: Vec<(&'a Offset, u64)>,
    /// The rest, in order.
    pub rows: Vec<&'a Row>,
    /// Most gaps that are kept.
    pub max_gaps: u64,
}

impl Batch<'_> {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.offsets.is_empty() && self.rows.is_empty()
    }
}

/// Writes a batch; when this returns it is on stable storage, or nothing of it is there.
pub fn commit(connection: &mut Connection, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for block in &batch.blocks {
        write_block(&transaction, block)?;
    }
    for (offset, block) in &batch.offsets {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO offsets (log, block, state) VALUES (?, ?, ?)")?
            .execute(params![offset.log, *block as i64, offset.state])?;
    }
    for row in &batch.rows {
        write_row(&transaction, row, batch.max_gaps)?;
    }
    transaction.commit()
}

fn write_block(transaction: &Transaction<'_>, block: &SealedBlock) -> rusqlite::Result<()> {
    let number = block.number as i64;
    transaction
        .prepare_cached("INSERT INTO blocks (number, at, body) VALUES (?, ?, ?)")?
        .execute(params![number, block.at.as_micros(), block.body])?;
    if !block.keys.is_empty() {
        transaction
            .prepare_cached("INSERT INTO seen (block, at, keys) VALUES (?, ?, ?)")?
            .execute(params![number, block.at.as_micros(), dedupe::pack(&block.keys)])?;
    }
    Ok(())
}

fn write_row(transaction: &Transaction<'_>, row: &Row, max_gaps: u64) -> rusqlite::Result<()> {
    match row {
        Row::Mark(block) => {
            transaction
                .prepare_cached(
                    "INSERT INTO meta (name, value) VALUES ('counted_up_to', ?)
                     ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                )?
                .execute([*block as i64])?;
        }
        Row::Alert { id, rule_id, opened_at, resolved_at, body } => {
            transaction
                .prepare_cached(
                    "INSERT INTO alerts (id, rule, opened_at, resolved_at, body) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT (id) DO UPDATE SET rule = excluded.rule, opened_at = excluded.opened_at,
                     resolved_at = excluded.resolved_at, body = excluded.body",
                )?
                .execute(params![
                    id,
                    rule_id,
                    opened_at.as_micros(),
                    resolved_at.map(Timestamp::as_micros),
                    body
                ])?;
        }
        Row::Memory { part, block, body } => {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO memories (part, block, body) VALUES (?, ?, ?)")?
                .execute(params![*part as i64, *block as i64, body])?;
        }
        Row::Gap(number, gap) => {
            transaction
                .prepare_cached(
                    "INSERT INTO gaps (number, source, from_at, to_at, reason) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    *number as i64,
                    gap.source,
                    gap.from.as_micros(),
                    gap.to.as_micros(),
                    gap.reason
                ])?;
            transaction
                .prepare_cached("DELETE FROM gaps WHERE number <= ?")?
                .execute([number.saturating_sub(max_gaps) as i64])?;
        }
        Row::DeadLetter { id, first_kept, at, source, reason, size, body } => {
            transaction
                .prepare_cached("DELETE FROM dead_letters WHERE id < ?")?
                .execute([*first_kept as i64])?;
            transaction
                .prepare_cached(
                    "INSERT INTO dead_letters (id, at, source, reason, size, body) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![*id as i64, at.as_micros(), source, reason, *size as i64, body])?;
        }
    }
    Ok(())
}

/// What kind of failure it is.
pub fn failure(error: &rusqlite::Error) -> Failed {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failed::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Failed::Corrupt,
        _ => Failed::Io,
    }
}
