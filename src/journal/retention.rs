//! What is kept, and for how long: deleted in small steps, so that nobody waits for it.

use rusqlite::{Connection, OptionalExtension};

use super::Limits;
use crate::event::Timestamp;

/// Most blocks that a step deletes, and about how many bytes of them: a few milliseconds of work.
const STEP_BLOCKS: u32 = 256;
const STEP_BYTES: u64 = 2 << 20;

/// Most other rows that a step deletes, of each table.
pub const STEP_ROWS: u32 = 1000;

/// Free pages that stay in the file for what comes next, beside an eighth of it.
const SPARE_PAGES: u64 = 1024;
/// Most pages that a step gives back.
const STEP_PAGES: u64 = 256;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Blocks deleted because of their age.
    pub expired_blocks: u64,
    /// Blocks deleted for want of room.
    pub displaced_blocks: u64,
    /// Bytes of the file in use now.
    pub used_bytes: u64,
    /// When the last line of the last block that was displaced arrived.
    pub displaced_until: Option<Timestamp>,
    /// Whether there is more to do.
    pub has_more: bool,
}

/// How full the file is.
struct Fill {
    page_bytes: u64,
    pages: u64,
    free_pages: u64,
}

impl Fill {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |name| {
            let number: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
            Ok::<_, rusqlite::Error>(number as u64)
        };
        Ok(Self {
            page_bytes: number("page_size")?,
            pages: number("page_count")?,
            free_pages: number("freelist_count")?,
        })
    }

    const fn used_bytes(&self) -> u64 {
        self.pages.saturating_sub(self.free_pages) * self.page_bytes
    }
}

/// Deletes a little of what is too old or too much. The last block stays: the next number follows from it. Keys of blocks
/// before `first_seen` are known no more.
pub fn step(
    connection: &mut Connection,
    now: Timestamp,
    limits: &Limits,
    first_seen: Option<u64>,
) -> rusqlite::Result<Step> {
    let mut done = Step::default();
    let oldest = now.before(limits.max_age).as_micros();
    let transaction = connection.transaction()?;
    let fill = Fill::of(&transaction)?;
    let mut excess = fill.used_bytes().saturating_sub(limits.max_bytes);
    let mut bytes = 0;
    {
        let mut blocks = transaction.prepare_cached(
            "SELECT number, at, length(body) FROM blocks
             WHERE number < (SELECT max(number) FROM blocks) ORDER BY number LIMIT ?",
        )?;
        let mut rows = blocks.query([STEP_BLOCKS])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let (number, at, size): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if at >= oldest && excess == 0 {
                break;
            }
            if at < oldest {
                done.expired_blocks += 1;
            } else {
                done.displaced_blocks += 1;
                done.displaced_until = Some(Timestamp::from_micros(at));
            }
            last = Some(number);
            excess = excess.saturating_sub(size as u64);
            bytes += size as u64;
            if bytes >= STEP_BYTES {
                break;
            }
        }
        if let Some(last) = last {
            transaction.prepare_cached("DELETE FROM blocks WHERE number <= ?")?.execute([last])?;
            done.has_more = true;
        }
    }
    // Without any, those of the time before the start are known no more either.
    let first_seen = first_seen.map_or(i64::MAX, |first| first as i64);
    transaction
        .prepare_cached(&format!(
            "DELETE FROM seen WHERE block IN (SELECT block FROM seen WHERE block < ? ORDER BY block LIMIT {STEP_ROWS})"
        ))?
        .execute([first_seen])?;
    transaction.commit()?;
    let fill = Fill::of(connection)?;
    done.used_bytes = fill.used_bytes();
    if fill.free_pages > SPARE_PAGES.max(fill.pages / 8) {
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
        done.has_more = true;
    }
    Ok(done)
}

/// Deletes a little of what stands beside blocks and is too old or too much, and gives how many rows. It looks at whole
/// tables, so it is for once in a while; when it has deleted [`STEP_ROWS`] or more there may be more to do.
pub fn sweep(connection: &mut Connection, now: Timestamp, limits: &Limits) -> rusqlite::Result<u64> {
    let transaction = connection.transaction()?;
    let oldest = now.before(limits.max_age).as_micros();
    let beyond = |table: &str, most: u64| {
        let count: i64 =
            transaction.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>((count as u64).saturating_sub(most).min(u64::from(STEP_ROWS)) as i64)
    };
    let by_age = format!("< ? LIMIT {STEP_ROWS}");
    let mut deleted = 0;
    for (rows, parameter) in [
        (format!("alerts WHERE id IN (SELECT id FROM alerts WHERE resolved_at {by_age})"), oldest),
        (format!("gaps WHERE number IN (SELECT number FROM gaps WHERE to_at {by_age})"), oldest),
        (format!("dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE at {by_age})"), oldest),
        (
            "alerts WHERE id IN
             (SELECT id FROM alerts WHERE resolved_at IS NOT NULL ORDER BY resolved_at LIMIT ?)"
                .to_owned(),
            beyond("alerts", limits.max_alerts)?,
        ),
        (
            "offsets WHERE log IN (SELECT log FROM offsets ORDER BY block LIMIT ?)".to_owned(),
            beyond("offsets", limits.max_offsets)?,
        ),
    ] {
        deleted += transaction.execute(&format!("DELETE FROM {rows}"), [parameter])?;
    }
    transaction.commit()?;
    Ok(deleted as u64)
}

/// Notes that the journal works at this time.
pub fn sign_of_life(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('alive', ?)")?
        .execute([now.as_micros()])
        .map(drop)
}

/// The ids and sizes of the dead letters, oldest first, and the number of the last gap.
pub fn kept(connection: &Connection) -> rusqlite::Result<(Vec<(u64, u64)>, u64)> {
    let mut letters = connection.prepare("SELECT id, length(body) FROM dead_letters ORDER BY id")?;
    let letters =
        letters.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
    let gap = connection.query_row("SELECT max(number) FROM gaps", [], |row| row.get::<_, Option<i64>>(0));
    let gap = gap.optional()?.flatten().unwrap_or(0);
    Ok((letters.collect::<Result<_, _>>()?, gap as u64))
}
