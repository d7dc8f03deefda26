//! Opening the file, and what was found in it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::dedupe::{self, Seen};
use super::read::MAX_BLIND;
use super::sealing::Sealer;
use super::worker::Worker;
use super::writer::{Running, Writer};
use super::{Block, Journal, Key, Limits, OpenError, Unreadable, schema};
use crate::event::Timestamp;

/// How long to wait for another connection: readers never make the writer wait, but a backup may.
const BUSY: Duration = Duration::from_secs(5);

/// The log beside the file is cut back to this many bytes after it has grown beyond.
const LOG_BYTES: u32 = 16 << 20;

/// Beyond any number of a block.
const MAX_NUMBER: i64 = 1 << 60;

/// Most unreadable blocks that are listed.
const MAX_LISTED: usize = 100;

/// What was found in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whether the file was there.
    pub existed: bool,
    /// The first block; 0 when there is none.
    pub first_block: u64,
    /// The last block; 0 when there is none.
    pub last_block: u64,
    /// Blocks between the first and the last that are not there: the file has lost them, or the index of them is damaged.
    pub missing_blocks: u64,
    /// Blocks that were looked at: the newest, see [`Limits::check_bytes`].
    pub checked_blocks: u64,
    /// How many of those cannot be read.
    pub unreadable_blocks: u64,
    /// Those that cannot be read, a hundred at most.
    pub unreadable: Vec<Unreadable>,
    /// When the journal was last known to work: the last block or the last sign of life, which is noted every ten seconds.
    /// `None` when it never did.
    pub last_alive: Option<Timestamp>,
    /// How far logs were read, by name.
    pub offsets: BTreeMap<String, Vec<u8>>,
    /// All blocks up to this one were counted.
    pub counted_up_to: u64,
}

/// A journal that is open and not yet written to.
pub struct Opened {
    /// To read it back.
    pub journal: Journal,
    /// What was found.
    pub found: Found,
    pub(super) worker: Worker,
}

impl Opened {
    /// Starts the thread. Lines go to `on_block` in order, on that thread, and nothing is stored while it does not return;
    /// so it must not wait for anything that waits for the journal. It is dropped when no more lines will come, which is
    /// after [`Writer::close`] or when all writers are gone.
    pub fn start(self, on_block: impl FnMut(Block) + Send + 'static) -> Result<(Writer, Running), OpenError> {
        super::writer::start(self.worker, on_block).map_err(OpenError::Thread)
    }
}

impl Journal {
    /// Opens the file, or makes it. Only one process may write it: see that there is no other.
    pub fn open(path: &Path, key: &Key, limits: Limits) -> Result<Opened, OpenError> {
        let created = create(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        // Before anything is in the file, or it has no effect.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(OpenError::FileSystem);
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        schema::migrate(&mut connection)?;
        check_key(&connection, key)?;
        let journal = Journal::new(path, Sealer::new(key));
        let found = look(&connection, &journal, !created, limits.check_bytes)?;
        let seen = read_seen(&connection, limits.max_keys)?;
        let worker = Worker::new(connection, journal.clone(), limits, seen, &found)?;
        Ok(Opened { journal, found, worker })
    }
}

/// Makes an empty file that its owner alone can read, if there is none; files beside it get the same mode.
fn create(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        file => file?.sync_all()?,
    }
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(true)
}

fn check_key(connection: &Connection, key: &Key) -> Result<(), OpenError> {
    match stored_key(connection)? {
        None => {
            connection.execute("INSERT INTO meta (name, value) VALUES ('key_id', ?)", [key.id()])?;
            Ok(())
        }
        Some(stored) if stored == key.id() => Ok(()),
        Some(_) => Err(OpenError::OtherKey),
    }
}

/// Tells the key that the file is written with; `None` before it is.
pub(super) fn stored_key(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let stored = connection.query_row("SELECT value FROM meta WHERE name = 'key_id'", [], |row| row.get(0));
    stored.optional()
}

/// A number that is noted under a name.
pub(super) fn mark(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0)).optional()
}

fn look(
    connection: &Connection,
    journal: &Journal,
    existed: bool,
    check_bytes: u64,
) -> Result<Found, OpenError> {
    let bounds = "SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM blocks";
    let (first, last): (i64, i64) = connection.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let counted_up_to = mark(connection, "counted_up_to")?.unwrap_or(0);
    // Numbers go up by one: none comes near this in the life of a file.
    if !(0..=last).contains(&first) || !(0..MAX_NUMBER).contains(&last.max(counted_up_to)) {
        return Err(OpenError::Corrupt("the number of a block makes no sense".to_owned()));
    }
    // By the index, which is a hundredth of the table.
    let blocks: i64 =
        connection.query_row("SELECT count(*) FROM blocks INDEXED BY blocks_at", [], |row| row.get(0))?;
    // Whether it can be read is told below.
    let last_at =
        connection.query_row("SELECT at FROM blocks WHERE number = ?", [last], |row| row.get(0)).ok();
    let last_alive = mark(connection, "alive")?.max(last_at);
    let mut found = Found {
        existed,
        first_block: first as u64,
        last_block: last as u64,
        missing_blocks: if last > 0 { (last - first + 1 - blocks).max(0) as u64 } else { 0 },
        last_alive: last_alive.map(Timestamp::from_micros),
        counted_up_to: counted_up_to.max(0) as u64,
        ..Found::default()
    };
    let mut offsets = connection.prepare("SELECT log, state FROM offsets")?;
    let offsets = offsets.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.offsets = offsets.collect::<Result<_, _>>()?;
    check_newest(connection, journal, check_bytes, &mut found);
    Ok(found)
}

/// Reads the newest blocks, the last first.
fn check_newest(connection: &Connection, journal: &Journal, check_bytes: u64, found: &mut Found) {
    let (mut number, mut bytes, mut blind) = (found.last_block + 1, 0, 0);
    while bytes < check_bytes && number > found.first_block && blind < MAX_BLIND {
        let before =
            connection.query_row("SELECT max(number) FROM blocks WHERE number < ?", [number as i64], |row| {
                row.get::<_, Option<i64>>(0)
            });
        number = match before {
            Ok(None) => return,
            Ok(Some(before)) => {
                blind = 0;
                before as u64
            }
            // It may be there all the same.
            Err(_) => {
                blind += 1;
                number - 1
            }
        };
        match journal.read_block(connection, number) {
            Ok(None) => continue,
            Ok(Some((_, size))) => bytes += size,
            Err(unreadable) => {
                found.unreadable_blocks += 1;
                if found.unreadable.len() < MAX_LISTED {
                    found.unreadable.push(unreadable);
                }
            }
        }
        found.checked_blocks += 1;
    }
}

/// The newest keys, as many as are kept.
fn read_seen(connection: &Connection, max_keys: usize) -> Result<Seen, OpenError> {
    let mut seen = Seen::new(max_keys);
    let mut sizes = connection.prepare("SELECT block, length(keys) FROM seen ORDER BY block DESC")?;
    let mut rows = sizes.query([])?;
    let (mut first, mut keys) = (i64::MAX, 0);
    while let Some(row) = rows.next()? {
        keys += row.get::<_, i64>(1)? / 8;
        if keys > i64::try_from(max_keys).unwrap_or(i64::MAX) {
            break;
        }
        first = row.get(0)?;
    }
    let mut newest =
        connection.prepare("SELECT block, at, keys FROM seen WHERE block >= ? ORDER BY block")?;
    let mut rows = newest.query([first])?;
    while let Some(row) = rows.next()? {
        let (block, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        for key in dedupe::unpack(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?) {
            seen.claim(key, Timestamp::from_micros(at), block as u64);
        }
    }
    Ok(seen)
}
