//! Reading back: blocks in order, one at a time, and what is kept beside them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::sealing::{Place, Sealer};
use super::{
    DeadLetter, Gap, Memory, OpenError, StoredAlert, StoredBlock, Unreadable, UnreadableReason, block,
    read_only,
};
use crate::event::Timestamp;

/// No row is as large; a damaged file may say that one is.
const MAX_ROW_BYTES: i32 = 64 << 20;

/// How many numbers in a row are tried where the file says neither what they hold nor which comes next: as many as a
/// page of it can lead to, about.
pub(super) const MAX_BLIND: u32 = 1 << 16;

/// What was written, for reading. Clones read the same file; each reading has a connection of its own and makes the writer
/// wait for nothing.
#[derive(Clone)]
pub struct Journal {
    path: Arc<Path>,
    sealer: Sealer,
    /// Whether nothing may be made beside the file.
    is_only_read: bool,
}

/// Which alerts to read.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Of this rule.
    pub rule_id: Option<String>,
    /// Opened at this time or later.
    pub opened_from: Option<Timestamp>,
    /// Opened before this time.
    pub opened_before: Option<Timestamp>,
    /// Only open ones, or only resolved ones.
    pub is_open: Option<bool>,
}

/// Rows that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// Those that can be read.
    pub rows: Vec<T>,
    /// How many others there are that do not decrypt.
    pub unreadable: usize,
}

/// A dead letter that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Its id; later ones have higher ones.
    pub id: u64,
    /// Bytes that came; more than the body has when it was cut off.
    pub size: u64,
    /// What came. The body is empty in a list.
    pub letter: DeadLetter,
}

impl Journal {
    pub(super) fn new(path: &Path, sealer: Sealer) -> Self {
        Self { path: path.into(), sealer, is_only_read: false }
    }

    /// The same, for a file that another process may write.
    pub(super) fn only_read(self) -> Self {
        Self { is_only_read: true, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.is_only_read {
            true => read_only::connect(&self.path)?,
            false => Connection::open_with_flags(&self.path, flags)?,
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    }

    /// Blocks from the first one with lines that arrived at this time or later, up to the last that there is now, in order.
    /// The first may have earlier lines too.
    pub fn read_from(&self, at: Timestamp) -> Result<Blocks, OpenError> {
        let connection = self.connect()?;
        let first = connection.query_row(
            "SELECT min(number) FROM blocks INDEXED BY blocks_at WHERE at >= ?",
            [at.as_micros()],
            |row| row.get::<_, Option<i64>>(0),
        );
        let mut first = first.ok().flatten().unwrap_or(i64::MAX);
        // An index that is damaged may leave out some. Those that cannot be read may be of that time.
        for _ in 0..MAX_BLIND {
            let before = connection
                .prepare_cached("SELECT number, at FROM blocks WHERE number < ? ORDER BY number DESC LIMIT 1")
                .and_then(|mut statement| {
                    let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
                    statement.query_row([first], row).optional()
                });
            match before {
                Ok(Some((number, of_it))) if of_it >= at.as_micros() => first = number,
                Ok(_) => break,
                Err(_) => first -= 1,
            }
        }
        self.blocks(connection, first)
    }

    /// Blocks after this one, up to the last that there is now, in order.
    pub fn read_after(&self, number: u64) -> Result<Blocks, OpenError> {
        let connection = self.connect()?;
        let first = connection.query_row(
            "SELECT min(number) FROM blocks WHERE number > ?",
            [i64::try_from(number).unwrap_or(i64::MAX)],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        self.blocks(connection, first.unwrap_or(i64::MAX))
    }

    fn blocks(&self, connection: Connection, first: i64) -> Result<Blocks, OpenError> {
        let last: Option<i64> =
            connection.query_row("SELECT max(number) FROM blocks", [], |row| row.get(0))?;
        let last = last.unwrap_or(0) as u64;
        Ok(Blocks { journal: self.clone(), connection, next: first as u64, last, blind: 0 })
    }

    /// A block and its bytes in the file; `None` when there is none of this number.
    pub(super) fn read_block(
        &self,
        connection: &Connection,
        number: u64,
    ) -> Result<Option<(StoredBlock, u64)>, Unreadable> {
        let read = || -> Result<_, UnreadableReason> {
            let row = connection
                .prepare_cached("SELECT at, body FROM blocks WHERE number = ?")
                .and_then(|mut statement| {
                    let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
                    statement.query_row([number as i64], row).optional()
                })
                .map_err(|error| UnreadableReason::File(error.to_string()))?;
            let Some((at, body)) = row else { return Ok(None) };
            let size = body.len() as u64;
            let lines = block::unpack(&self.sealer.unseal(Place::Block(number), body)?)?;
            Ok(Some((StoredBlock { number, at: Timestamp::from_micros(at), lines }, size)))
        };
        read().map_err(|reason| Unreadable { number, reason })
    }

    /// Alerts, those that opened last first.
    pub fn alerts(&self, filter: &AlertFilter, limit: usize) -> Result<Listed<StoredAlert>, OpenError> {
        let connection = self.connect()?;
        let mut statement = connection.prepare(
            "SELECT id, rule, opened_at, resolved_at, body FROM alerts
             WHERE (?1 IS NULL OR rule = ?1) AND opened_at >= ?2 AND opened_at < ?3
             AND (?4 IS NULL OR (resolved_at IS NULL) = ?4)
             ORDER BY opened_at DESC, id LIMIT ?5",
        )?;
        let micros = |at: Option<Timestamp>, otherwise| at.map_or(otherwise, Timestamp::as_micros);
        let parameters: [&dyn ToSql; 5] = [
            &filter.rule_id,
            &micros(filter.opened_from, i64::MIN),
            &micros(filter.opened_before, i64::MAX),
            &filter.is_open,
            &i64::try_from(limit).unwrap_or(i64::MAX),
        ];
        let rows = statement.query_map(parameters, |row| {
            let id: String = row.get(0)?;
            let record = self.sealer.unseal(Place::Alert(&id), row.get(4)?);
            Ok(record.ok().and_then(|record| {
                let opened_at = Timestamp::from_micros(row.get(2).ok()?);
                let resolved_at = row.get::<_, Option<i64>>(3).ok()?.map(Timestamp::from_micros);
                Some(StoredAlert { rule_id: row.get(1).ok()?, id, opened_at, resolved_at, record })
            }))
        })?;
        Ok(listed(rows.collect::<Result<_, _>>()?))
    }

    /// All alerts that are open, those that opened last first.
    pub fn open_alerts(&self) -> Result<Listed<StoredAlert>, OpenError> {
        self.alerts(&AlertFilter { is_open: Some(true), ..AlertFilter::default() }, usize::MAX)
    }

    /// What is remembered, without the parts that cannot be read.
    pub fn memories(&self) -> Result<Listed<Memory>, OpenError> {
        let connection = self.connect()?;
        let mut statement = connection.prepare("SELECT part, block, body FROM memories ORDER BY part")?;
        let rows = statement.query_map([], |row| {
            let (part, block) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
            let packed = self.sealer.unseal(Place::Memory(part), row.get(2)?).ok();
            let body = packed.and_then(|packed| block::unpack_bytes(&packed).ok());
            Ok(body.map(|body| Memory { part, block, body }))
        })?;
        Ok(listed(rows.collect::<Result<_, _>>()?))
    }

    /// Times in which sources were not watched, those that were noted last first.
    pub fn gaps(&self, limit: usize) -> Result<Vec<Gap>, OpenError> {
        let connection = self.connect()?;
        let mut statement = connection
            .prepare("SELECT source, from_at, to_at, reason FROM gaps ORDER BY number DESC LIMIT ?")?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(Gap {
                source: row.get(0)?,
                from: Timestamp::from_micros(row.get(1)?),
                to: Timestamp::from_micros(row.get(2)?),
                reason: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Dead letters without their bodies, those that came last first.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<StoredDeadLetter>, OpenError> {
        let connection = self.connect()?;
        let mut statement = connection
            .prepare("SELECT id, at, source, reason, size FROM dead_letters ORDER BY id DESC LIMIT ?")?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], dead_letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A dead letter; `None` when there is none of this id, or it does not decrypt.
    pub fn dead_letter(&self, id: u64) -> Result<Option<StoredDeadLetter>, OpenError> {
        let connection = self.connect()?;
        let found = connection
            .query_row(
                "SELECT id, at, source, reason, size, body FROM dead_letters WHERE id = ?",
                [i64::try_from(id).unwrap_or(i64::MAX)],
                |row| Ok((dead_letter(row)?, row.get::<_, Vec<u8>>(5)?)),
            )
            .optional()?;
        Ok(found.and_then(|(mut stored, body)| {
            stored.letter.body = self.sealer.unseal(Place::DeadLetter(id), body).ok()?;
            Some(stored)
        }))
    }
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<StoredDeadLetter> {
    let (id, size): (i64, i64) = (row.get(0)?, row.get(4)?);
    let at = Timestamp::from_micros(row.get(1)?);
    let letter = DeadLetter { at, source: row.get(2)?, reason: row.get(3)?, body: Vec::new() };
    Ok(StoredDeadLetter { id: id as u64, size: size as u64, letter })
}

fn listed<T>(rows: Vec<Option<T>>) -> Listed<T> {
    let unreadable = rows.iter().filter(|row| row.is_none()).count();
    Listed { rows: rows.into_iter().flatten().collect(), unreadable }
}

/// Blocks in order; one that cannot be read is an error, after which the next one comes. It ends early where the file is
/// damaged so that tens of thousands in a row cannot be found.
pub struct Blocks {
    journal: Journal,
    connection: Connection,
    next: u64,
    last: u64,
    /// How many in a row could not be found.
    blind: u32,
}

impl Blocks {
    /// The first block that there is after this number. Where the file does not say, it is taken to be the next.
    fn number_after(&mut self, number: u64) -> u64 {
        let next = self.connection.query_row(
            "SELECT min(number) FROM blocks WHERE number > ?",
            [number as i64],
            |row| row.get::<_, Option<i64>>(0),
        );
        match next {
            Ok(next) => {
                self.blind = 0;
                next.map_or(u64::MAX, |next| next as u64)
            }
            Err(_) if self.blind >= MAX_BLIND => u64::MAX,
            Err(_) => {
                self.blind += 1;
                number + 1
            }
        }
    }
}

impl Iterator for Blocks {
    type Item = Result<StoredBlock, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next <= self.last {
            let number = self.next;
            match self.journal.read_block(&self.connection, number) {
                Ok(Some((block, _))) => {
                    self.next = number + 1;
                    return Some(Ok(block));
                }
                Err(unreadable) => {
                    self.next = self.number_after(number);
                    return Some(Err(unreadable));
                }
                // Deleted because of its age, perhaps just now, and others with it.
                Ok(None) => self.next = self.number_after(number),
            }
        }
        None
    }
}
