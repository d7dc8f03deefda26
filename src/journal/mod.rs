//! The durable order of what arrived: lines in numbered blocks, and beside them how far sources were read, which lines
//! were seen before, which alerts there are, when nobody watched, and what could not be read.
//!
//! One SQLite file that one thread writes. It makes one commit of all that waits (`queue`, `worker`, `commit`), so under
//! load many records share the cost of reaching stable storage. The lines of a block are framed and compressed (`block`)
//! and sealed with a key that is not in the file (`sealing`); what stands in the clear is times, numbers, sizes, names of
//! sources and rules, ids of alerts, and offsets.
//!
//! # How to use it
//! [`Key::load_or_create`], then [`Journal::open`]: [`Opened`] tells what was found, and its journal is read back to
//! bring the counters to where they were. Then [`Opened::start`] starts the thread and gives a [`Writer`]. To look into a
//! file beside whoever writes it, [`Journal::read_only`].
//!
//! # What is promised
//! - A record that was answered [`Stored`] is on stable storage, whole, and is handed on once. One that was answered
//!   [`Failed`] is not handed on, and its sender may send it again.
//! - A record that nobody waits for is handed on at once and stored within [`GATHER`]. When the disk fails it is kept and
//!   tried again, and no more of its kind are taken until it is stored. Its offset is stored in the same commit: after
//!   a crash the source goes on where the journal ends.
//! - Records are handed on in the order of blocks, and within a block in the order in which they came. A record that
//!   somebody waits for may come before one that nobody waits for, or after.
//! - A line whose key is known is in no block and is not handed on. Its record is answered after the first copy is stored.
//! - Block numbers have no holes. A block that cannot be read is told by its number, and the others are read.
//! - Everything has a bound ([`Limits`]) and is counted ([`Counts`]).
//!
//! # Crashes
//! A power failure may leave a block of which nobody was told that it is stored: then it is handed on after the restart,
//! by reading back, and its keys are known. A failing disk may do the same to a record that was answered [`Failed`].

mod block;
mod check;
mod commit;
mod counts;
mod dedupe;
mod feed;
mod key;
mod metrics;
mod open;
mod overview;
mod queue;
mod read;
mod read_only;
mod retention;
mod schema;
mod sealing;
#[cfg(test)]
mod tests;
mod worker;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::Timestamp;
use crate::intake::Lines;
pub use block::Malformed;
pub use check::Check;
pub use counts::{COMMIT_BUCKETS, Counts};
pub use feed::feed;
pub use key::{Key, KeyError};
pub use metrics::Metrics;
pub use open::{Found, Opened};
pub use overview::{Overview, StoredOffset};
pub use read::{AlertFilter, Blocks, Journal, Listed, StoredDeadLetter};
pub use sealing::Unsealable;
pub use writer::{Running, Writer};

/// How long records that nobody waits for may gather before they are stored together.
pub const GATHER: Duration = Duration::from_millis(100);

/// Most bytes of text of a commit, about: records are stored whole.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// Most bytes of a record. Webhooks are a third of that at most, pieces of files a hundredth.
pub const MAX_RECORD_BYTES: usize = 8 << 20;

/// Lines on their way to the journal.
#[derive(Debug)]
pub struct Record {
    /// The lines. Whoever asks what became of them is told that nothing did when all of them had been seen before.
    pub lines: Lines,
    /// Keys by which lines are known when they come again: one a line, in order; lines beyond the last are new.
    pub keys: Vec<u64>,
    /// Told when the lines are stored or will not be; `None` when nobody waits. When it is dropped the journal has ended, and
    /// whether they are stored is not known.
    pub stored: Option<oneshot::Sender<Result<Stored, Failed>>>,
}

/// A record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The last block: the lines are in it or in one before.
    pub block: u64,
    /// How many of the lines had been seen before.
    pub duplicates: usize,
}

/// Why something is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// There is no room on the disk.
    #[error("there is no room on the disk")]
    Full,
    /// The disk fails, or another program holds the file.
    #[error("the journal's file cannot be written")]
    Io,
    /// The file is damaged.
    #[error("the journal's file is damaged")]
    Corrupt,
}

impl Failed {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Full, Self::Io, Self::Corrupt];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Io => "io",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Why something was not taken in; it is given back.
#[derive(Debug, thiserror::Error)]
pub enum Refused<T> {
    /// The queue is full.
    #[error("the journal's queue is full")]
    Full(Box<T>),
    /// It is larger than anything that is taken.
    #[error("it is larger than the journal takes")]
    TooLarge(Box<T>),
    /// The journal has been closed.
    #[error("the journal is closed")]
    Stopping(Box<T>),
}

/// Lines handed on to be counted.
#[derive(Debug)]
pub struct Block {
    /// The number of the block that the lines are in, or will be.
    pub number: u64,
    /// Whether no more of it will come. A block may be handed on in several parts, the last of them empty; when this one has
    /// been counted, [`Changes::counted_up_to`] may be its number.
    pub is_complete: bool,
    /// The lines.
    pub lines: Vec<Lines>,
}

/// A block read back.
#[derive(Debug)]
pub struct StoredBlock {
    /// Its number.
    pub number: u64,
    /// When the last of its lines arrived.
    pub at: Timestamp,
    /// The lines.
    pub lines: Vec<Lines>,
}

/// A block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {number} cannot be read: {reason}")]
pub struct Unreadable {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: UnreadableReason,
}

/// Why a block cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableReason {
    /// The file does not give it.
    #[error("{0}")]
    File(String),
    /// It was changed, or sealed with another key.
    #[error(transparent)]
    Sealed(#[from] Unsealable),
    /// It is not a block.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    /// Its id.
    pub id: String,
    /// The id of the rule.
    pub rule_id: String,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it was over; `None` while it is open.
    pub resolved_at: Option<Timestamp>,
    /// All of it, as JSON. The journal seals it and does not look into it.
    pub record: Vec<u8>,
}

/// What came of counting.
#[derive(Debug, Default)]
pub struct Changes {
    /// All blocks up to this one were counted. A number that is less than one before changes nothing.
    pub counted_up_to: u64,
    /// Alerts that are new or have changed.
    pub alerts: Vec<StoredAlert>,
    /// Parts of the memory, as they are after all those blocks.
    pub memories: Vec<Memory>,
    /// Told when they are stored. A failure means that they are not and will not be; when nobody waits they are tried again
    /// until they are.
    pub saved: Option<oneshot::Sender<Result<(), Failed>>>,
}

/// A part of what is remembered for longer than blocks are read back. The journal seals it and does not look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its number.
    pub part: u64,
    /// The last block that is in it.
    pub block: u64,
    /// All of it.
    pub body: Vec<u8>,
}

/// A time in which a source was not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The name of the source.
    pub source: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// Something that arrived and could not be understood, kept to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// When it arrived.
    pub at: Timestamp,
    /// The name of the source.
    pub source: String,
    /// Why it could not be understood.
    pub reason: String,
    /// What arrived; what is beyond [`MAX_DEAD_LETTER_BYTES`] is cut off. Sealed.
    pub body: Vec<u8>,
}

/// Most bytes that are kept of a dead letter.
pub const MAX_DEAD_LETTER_BYTES: usize = 1 << 20;

/// What is written beside records.
#[derive(Debug)]
pub enum Change {
    /// What came of counting.
    Save(Changes),
    /// A time not watched.
    Gap(Gap),
    /// Something that could not be understood.
    DeadLetter(DeadLetter),
}

impl Change {
    /// Bytes it takes while it waits, about.
    fn bytes(&self) -> usize {
        let bytes = match self {
            Self::Save(changes) => {
                let alerts = changes.alerts.iter().map(|alert| size_of_val(alert) + alert.record.len());
                alerts.chain(changes.memories.iter().map(|memory| memory.body.len())).sum()
            }
            Self::Gap(gap) => gap.source.len() + gap.reason.len(),
            Self::DeadLetter(letter) => letter.source.len() + letter.reason.len() + letter.body.len(),
        };
        size_of::<Self>() + bytes
    }
}

/// Bounds of everything that grows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long blocks, resolved alerts, gaps and dead letters are kept.
    pub max_age: Duration,
    /// Bytes of the file in use beyond which the oldest blocks are deleted. The file may be larger by a few commits.
    pub max_bytes: u64,
    /// Records that wait, of those that somebody waits for and of the others each.
    pub queue_records: usize,
    /// Bytes of them, likewise.
    pub queue_bytes: usize,
    /// Keys of lines that are known. Twelve bytes of memory each when there are so many.
    pub max_keys: usize,
    /// Alerts that are kept; the oldest resolved ones are deleted first, and open ones never.
    pub max_alerts: u64,
    /// Gaps that are kept.
    pub max_gaps: u64,
    /// Dead letters that are kept.
    pub max_dead_letters: usize,
    /// Bytes of dead letters that are kept.
    pub max_dead_letter_bytes: u64,
    /// Logs whose offsets are kept; those that were not read for longest are forgotten.
    pub max_offsets: u64,
    /// Bytes of the newest blocks that are read when the journal is opened, to see whether they can be.
    pub check_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(30 * 24 * 3600),
            max_bytes: 2 << 30,
            queue_records: 16_384,
            queue_bytes: 16 << 20,
            max_keys: 4_000_000,
            max_alerts: 100_000,
            max_gaps: 10_000,
            max_dead_letters: 1000,
            max_dead_letter_bytes: 16 << 20,
            max_offsets: 10_000,
            check_bytes: 16 << 20,
        }
    }
}

/// Why the journal cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made.
    #[error("cannot make {0}: {1}")]
    Create(PathBuf, #[source] std::io::Error),
    /// It is another program's.
    #[error("the file is not a journal of watchbell")]
    Foreign,
    /// Readers and the writer cannot share memory there.
    #[error("the file system cannot hold the file: put it on a local disk")]
    FileSystem,
    /// There is no file, or nothing in it.
    #[error("there is no journal at {0}")]
    Missing(PathBuf),
    /// It cannot be looked at.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// What was written last is in a file beside it, which cannot be read without another one.
    #[error("there is {0} without {1}: bring that too, or make it as an empty file")]
    Apart(PathBuf, PathBuf),
    /// It was written by an earlier version, and may only be read.
    #[error("the file is of version {found}, not {known}: start the service on it once")]
    Earlier {
        /// Its version.
        found: i32,
        /// The one that is read.
        known: i32,
    },
    /// It was written by a later version.
    #[error("the file is of version {found}, and this program knows those up to {known}: use a newer one")]
    Version {
        /// Its version.
        found: i32,
        /// The last one that is known.
        known: i32,
    },
    /// It was written with another key.
    #[error(
        "the file was written with another key: bring that key back, or move the file away to begin anew"
    )]
    OtherKey,
    /// It is damaged so that nothing can be said of what is in it.
    #[error("the file is damaged ({0}): restore it, or move it away to begin anew")]
    Corrupt(String),
    /// SQLite says no.
    #[error("{0}")]
    Sqlite(#[source] rusqlite::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match commit::failure(&error) {
            Failed::Corrupt => Self::Corrupt(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}
