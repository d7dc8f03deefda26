//! What there is in a journal, without reading what is sealed.

use rusqlite::Connection;

use super::{Journal, OpenError, open};
use crate::event::Timestamp;

/// How far a log was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The name of the log.
    pub log: String,
    /// The block that its last lines are in, or a later one.
    pub block: u64,
    /// What its source noted.
    pub state: Vec<u8>,
}

/// What there is, all at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// How many blocks there are.
    pub blocks: u64,
    /// The first block; 0 when there is none.
    pub first_block: u64,
    /// The last block; 0 when there is none.
    pub last_block: u64,
    /// When the last line of the first block arrived.
    pub first_at: Option<Timestamp>,
    /// When the last line of the last block arrived.
    pub last_at: Option<Timestamp>,
    /// When it was last noted that the journal works.
    pub alive_at: Option<Timestamp>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of it that are in use.
    pub used_bytes: u64,
    /// All blocks up to this one were counted.
    pub counted_up_to: u64,
    /// Keys of lines that are known when they come again.
    pub keys: u64,
    /// How far logs were read, by name.
    pub offsets: Vec<StoredOffset>,
    /// Alerts that are open.
    pub open_alerts: u64,
    /// Alerts that are over.
    pub resolved_alerts: u64,
    /// Times in which a source was not watched.
    pub gaps: u64,
    /// What could not be understood.
    pub dead_letters: u64,
}

impl Overview {
    /// Numbers between the first block and the last of which there is none.
    pub const fn missing_blocks(&self) -> u64 {
        match self.last_block {
            0 => 0,
            last => (last + 1).saturating_sub(self.first_block).saturating_sub(self.blocks),
        }
    }
}

impl Journal {
    /// What there is. It takes as long as looking at all rows does without what is sealed: a second for millions.
    pub fn overview(&self) -> Result<Overview, OpenError> {
        let mut connection = self.connect()?;
        // One look, while others write.
        let transaction = connection.transaction()?;
        let overview = look(&transaction)?;
        transaction.commit()?;
        Ok(overview)
    }
}

fn look(connection: &Connection) -> rusqlite::Result<Overview> {
    let number = |query: &str| {
        let number = connection.query_row(query, [], |row| row.get::<_, Option<i64>>(0));
        Ok::<_, rusqlite::Error>(number?.unwrap_or(0).max(0) as u64)
    };
    let pragma = |name: &str| {
        let number: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(number.max(0) as u64)
    };
    let at = |number: u64| {
        let at =
            connection.query_row("SELECT at FROM blocks WHERE number = ?", [number as i64], |row| row.get(0));
        at.ok().map(Timestamp::from_micros)
    };
    let page_bytes = pragma("page_size")?;
    let (pages, free_pages) = (pragma("page_count")?, pragma("freelist_count")?);
    let first_block = number("SELECT min(number) FROM blocks")?;
    let last_block = number("SELECT max(number) FROM blocks")?;
    let mut offsets = connection.prepare("SELECT log, block, state FROM offsets ORDER BY log")?;
    let offsets = offsets.query_map([], |row| {
        Ok(StoredOffset { log: row.get(0)?, block: row.get::<_, i64>(1)? as u64, state: row.get(2)? })
    })?;
    Ok(Overview {
        blocks: number("SELECT count(*) FROM blocks INDEXED BY blocks_at")?,
        first_block,
        last_block,
        first_at: at(first_block),
        last_at: at(last_block),
        alive_at: open::mark(connection, "alive")?.map(Timestamp::from_micros),
        file_bytes: pages * page_bytes,
        used_bytes: pages.saturating_sub(free_pages) * page_bytes,
        counted_up_to: open::mark(connection, "counted_up_to")?.unwrap_or(0).max(0) as u64,
        keys: number("SELECT sum(length(keys)) / 8 FROM seen")?,
        offsets: offsets.collect::<Result<_, _>>()?,
        open_alerts: number("SELECT count(*) FROM alerts WHERE resolved_at IS NULL")?,
        resolved_alerts: number("SELECT count(*) FROM alerts WHERE resolved_at IS NOT NULL")?,
        gaps: number("SELECT count(*) FROM gaps")?,
        dead_letters: number("SELECT count(*) FROM dead_letters")?,
    })
}
