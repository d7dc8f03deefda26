//! How far each file was counted, kept across restarts.
//!
//! One small JSON file for a source, replaced as a whole: after a crash it is the old one or the new one. Only lines
//! that were counted are in it: a crash loses none and repeats those of about a second, a stop does neither.
//!
//! Where there is a journal, how far files were read is in it, stored with the lines in one act; then the file here says
//! only which files there are and where reading them began, and a crash repeats nothing.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::fate::Identity;
use crate::event::Timestamp;
use crate::intake::Offset;

/// Bytes at the beginning of a file that tell it from others.
pub(super) const HEAD_BYTES: usize = 1024;

/// Bytes before an offset that tell whether a file is a copy of another up to there.
pub(super) const TAIL_BYTES: usize = 256;

/// Files that are not followed any more and are still known, so that they are not read again under another name.
const MAX_FINISHED: usize = 256;

/// What bytes were there: how many, and a hash of them and of their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    pub length: u32,
    hash: u64,
}

impl Fingerprint {
    pub fn of(bytes: &[u8]) -> Self {
        // Not keyed: it has to mean the same after a restart, and who can choose the beginnings of whole files needs
        // no collisions.
        let mut hasher = SipHasher13::new();
        hasher.write(bytes);
        hasher.write_usize(bytes.len());
        Self { length: u32::try_from(bytes.len()).unwrap_or(u32::MAX), hash: hasher.finish() }
    }
}

/// A place in a file: everything before it is done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes before it.
    pub offset: u64,
    /// The first of them, at most [`HEAD_BYTES`].
    pub head: Fingerprint,
    /// The last of them, at most [`TAIL_BYTES`].
    pub tail: Fingerprint,
}

/// A content of a file from its beginning on; a file that is emptied gets another number.
pub(super) type Serial = u64;

/// What is known about a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number, the same in all runs. Later contents have higher ones.
    #[serde(default)]
    pub serial: Serial,
    /// Where it was found.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Where it is; `None` when it is there no more because the file was emptied.
    pub identity: Option<Identity>,
    /// How far it was counted.
    pub mark: Mark,
    /// When it was last written to, in nanoseconds, by the clock of the file system.
    pub modified: i128,
    /// Nobody will write to it any more.
    pub is_finished: bool,
    /// Another file is at its path: the rotation is counted.
    #[serde(default)]
    pub is_replaced: bool,
    /// How far it was read, if it was read since the start.
    #[serde(skip)]
    pub read: Option<Mark>,
    /// Some lines were taken and never counted: what comes after them is not counted on.
    #[serde(skip)]
    pub is_broken: bool,
}

impl Entry {
    /// Where to go on with it.
    pub fn next(&self) -> Mark {
        self.read.unwrap_or(self.mark)
    }
}

/// A path that is not UTF-8 must not keep the others from being stored; such a file is found again by its identity.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// All that is known about the files of a source.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub entries: BTreeMap<Serial, Entry>,
    next: Serial,
    /// Something is not stored yet.
    pub is_dirty: bool,
    /// When it was stored that was read at the start; `None` when nothing was.
    pub stored: Option<Timestamp>,
    /// How far files were counted is kept in the journal, with the lines, and here only where reading began.
    is_journaled: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Microseconds since the epoch.
    at: i64,
    files: Vec<Entry>,
}

const VERSION: u32 = 1;

impl Books {
    /// Enters a content.
    pub fn add(&mut self, entry: Entry) -> Serial {
        self.is_dirty = true;
        self.next += 1;
        self.entries.insert(self.next, Entry { serial: self.next, ..entry });
        self.forget();
        self.next
    }

    /// Takes in what the journal knows of the files of a source, which is more recent, and leaves to it from now on how far
    /// they were counted. `None` says where it is: it cannot be understood.
    pub fn follow_journal(&mut self, source: &str, offsets: &BTreeMap<String, Vec<u8>>) -> Option<()> {
        self.is_journaled = true;
        let of_source = offsets.iter().filter(|(log, _)| source_of(log) == Some(source));
        let mut journaled: Vec<Entry> =
            of_source.map(|(_, state)| serde_json::from_slice(state).ok()).collect::<Option<_>>()?;
        journaled.sort_by_key(|entry| entry.serial);
        let last = self.next;
        for entry in journaled {
            if let Some(known) = self.entries.get_mut(&entry.serial) {
                known.mark = entry.mark;
                known.modified = entry.modified;
            } else if entry.serial > last {
                // Made after these books were stored last: what had this place is there no more.
                let replaced = self.entries.values_mut().filter(|other| other.identity == entry.identity);
                replaced.for_each(|other| (other.identity, other.is_finished) = (None, true));
                self.next = entry.serial;
                self.entries.insert(entry.serial, entry);
            }
        }
        self.stored = self.stored.or((!self.entries.is_empty()).then(Timestamp::default));
        Some(())
    }

    /// How far a content of a source was read with some lines, for the journal; `None` when that is kept here.
    pub fn offset(&self, source: &str, serial: Serial, mark: Mark) -> Option<Offset> {
        let entry = self.entries.get(&serial).filter(|_| self.is_journaled)?;
        let state = serde_json::to_vec(&Entry { mark, ..entry.clone() }).ok()?;
        Some(Offset { log: format!("{source}/{serial}"), state })
    }

    /// Everything up to `mark` was counted.
    pub fn advance(&mut self, serial: Serial, mark: Mark) {
        if self.is_journaled {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&serial).filter(|entry| !entry.is_broken) {
            entry.mark = mark;
            self.is_dirty = true;
        }
    }

    /// Changes an entry.
    pub fn edit(&mut self, serial: Serial, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            change(entry);
            self.is_dirty = true;
        }
    }

    /// Forgets the oldest of those that are finished, when there are many.
    fn forget(&mut self) {
        let finished: Vec<Serial> =
            self.entries.iter().filter(|(_, entry)| entry.is_finished).map(|(serial, _)| *serial).collect();
        for serial in finished.iter().take(finished.len().saturating_sub(MAX_FINISHED)) {
            self.entries.remove(serial);
        }
    }

    /// Reads what was stored; empty if nothing was.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        let stored: Stored = serde_json::from_str(&text)?;
        if stored.version != VERSION {
            return Err(io::Error::other(format!("version {}, expected {VERSION}", stored.version)));
        }
        let mut books = Self { stored: Some(Timestamp::from_micros(stored.at)), ..Self::default() };
        for entry in stored.files {
            match entry.serial {
                0 => drop(books.add(entry)),
                serial => {
                    books.next = books.next.max(serial);
                    books.entries.insert(serial, entry);
                }
            }
        }
        books.is_dirty = false;
        Ok(books)
    }

    /// As it is stored.
    pub fn to_json(&self, at: Timestamp) -> String {
        let files = self.entries.values().cloned().collect();
        let stored = Stored { version: VERSION, at: at.as_micros(), files };
        serde_json::to_string(&stored).unwrap_or_default()
    }
}

/// The source of a log in the journal.
fn source_of(log: &str) -> Option<&str> {
    log.rsplit_once('/').map(|(source, _)| source)
}

/// Replaces a file by another with this text, as a whole.
pub(super) fn store(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // The new name, too, must be there after a crash.
    path.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u64, is_finished: bool) -> Entry {
        Entry {
            serial: 0,
            path: "/var/log/nginx/access.log".into(),
            identity: Some(Identity { device: 1, inode: offset }),
            mark: Mark { offset, head: Fingerprint::of(b"head"), tail: Fingerprint::of(b"tail") },
            modified: 1_764_000_000_000_000_000,
            is_finished,
            is_replaced: false,
            read: None,
            is_broken: false,
        }
    }

    #[test]
    fn what_is_stored_is_loaded_and_a_half_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints-a.json");
        assert!(Books::load(&path).unwrap().stored.is_none());
        let mut books = Books::default();
        books.add(entry(5, false));
        books.add(entry(7, true));
        let at = Timestamp::from_seconds(1_764_000_000);
        store(&path, &books.to_json(at)).unwrap();
        let loaded = Books::load(&path).unwrap();
        assert_eq!(loaded.stored, Some(at));
        assert!(loaded.entries.values().eq(books.entries.values()));
        std::fs::write(&path, &books.to_json(at)[..40]).unwrap();
        assert!(Books::load(&path).is_err());
    }

    #[test]
    fn finished_files_are_forgotten_and_followed_ones_are_not() {
        let mut books = Books::default();
        let followed = books.add(entry(1, false));
        for offset in 0..1000 {
            books.add(entry(offset, true));
        }
        assert_eq!(books.entries.len(), MAX_FINISHED + 1);
        assert!(books.entries.contains_key(&followed));
    }

    #[test]
    fn what_the_journal_knows_is_more_recent() {
        let (mark_of, at) = (|offset| Mark { offset, ..Mark::default() }, Timestamp::from_seconds(5));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints-web.json");
        let mut books = Books::default();
        books.follow_journal("web", &BTreeMap::new()).unwrap();
        let first = books.add(entry(10, false));
        store(&path, &books.to_json(at)).unwrap();
        let mut offsets = BTreeMap::new();
        let mut keep = |books: &Books, serial, offset| {
            let Offset { log, state } = books.offset("web", serial, mark_of(offset)).unwrap();
            offsets.insert(log, state);
        };
        keep(&books, first, 20);
        keep(&books, first, 30);
        // Emptied, and a content that the file here does not know yet.
        books.edit(first, |entry| (entry.identity, entry.is_finished) = (None, true));
        let second = books.add(entry(10, false));
        keep(&books, second, 7);
        offsets.insert("web/../x/9".to_owned(), b"another source".to_vec());
        let mut loaded = Books::load(&path).unwrap();
        loaded.follow_journal("web", &offsets).unwrap();
        let found: Vec<_> =
            loaded.entries.values().map(|entry| (entry.mark.offset, entry.identity.is_some())).collect();
        assert_eq!(found, [(30, false), (7, true)]);
        assert!(loaded.add(entry(1, false)) > second);
        // Older than the books, and not in them: forgotten, or followed on under another number.
        loaded.entries.clear();
        loaded.follow_journal("web", &offsets).unwrap();
        assert!(loaded.entries.is_empty());
        offsets.insert("web/1".to_owned(), b"junk".to_vec());
        assert_eq!(Books::default().follow_journal("web", &offsets), None);
    }

    #[test]
    fn nothing_is_believed_after_lines_that_were_never_counted() {
        let mut books = Books::default();
        let serial = books.add(entry(1, false));
        books.edit(serial, |entry| entry.is_broken = true);
        books.advance(serial, Mark { offset: 9, ..Mark::default() });
        assert_eq!(books.entries[&serial].mark.offset, 1);
    }

    #[test]
    fn a_fingerprint_has_the_length_in_it() {
        assert_ne!(Fingerprint::of(b""), Fingerprint::of(b"\0"));
        assert_ne!(Fingerprint::of(b"ab"), Fingerprint::of(b"ba"));
    }
}
