//! All files of a source: looked at in turns, from when they appear until nothing more will come.
//!
//! Time is an argument. What is followed is in `find`; where reading begins is in `open`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Start;
use super::checkpoint::{Books, Mark, Serial};
use super::fate::{AtPath, Identity, Place, place};
use super::file::{Followed, PAUSES, Piece, Step, identify};
use super::find::Settling;
use super::missing::{self, Missing};
use super::open::Since;
use crate::decode::{Format, Tally};
use crate::event::Timestamp;
use crate::intake::Stream;
use crate::sources::metrics::{Reason, SourceMetrics};

/// Files that a source follows at most. Each takes a descriptor and a look every 100 ms.
pub(super) const MAX_FILES: usize = 1024;

/// Pieces of a round at most, of 64 KiB: 1 MiB.
const MAX_PIECES: usize = 16;

/// How long a file that was replaced or deleted says nothing until it is closed. A server that was told to open its log
/// anew may go on for a while with the old one.
const CLOSE_QUIET: Duration = Duration::from_secs(30);

/// What a source of files wants to know.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub source: Arc<str>,
    pub tenant: Arc<str>,
    pub patterns: Vec<String>,
    pub format: Option<Format>,
    pub start: Start,
}

/// The files of a source.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) wanted: Wanted,
    pub(super) metrics: Arc<SourceMetrics>,
    pub(super) books: Books,
    pub(super) files: BTreeMap<Serial, Followed>,
    /// The open files by identity.
    pub(super) open: HashMap<Identity, Serial>,
    pub(super) settling: HashMap<Identity, Settling>,
    /// The patterns that name no file, by their place in the configuration.
    pub(super) unmatched: Vec<Option<Missing>>,
    pub(super) scan_due: Instant,
    pub(super) is_first: bool,
    /// When the patterns were looked up last, by the clock of this machine, be it before a restart.
    pub(super) scanned: Option<Timestamp>,
    /// Whose turn it is.
    turn: Serial,
    buffer: Vec<u8>,
}

/// What a round gave.
#[derive(Debug)]
pub(super) struct Round {
    pub pieces: Vec<(Serial, Arc<Stream>, Piece)>,
    /// When the next one is due.
    pub wake: Instant,
}

impl Watch {
    pub fn new(wanted: Wanted, books: Books, metrics: Arc<SourceMetrics>, now: Instant) -> Self {
        let scanned = books.stored;
        Self {
            unmatched: vec![None; wanted.patterns.len()],
            wanted,
            metrics,
            books,
            files: BTreeMap::new(),
            open: HashMap::new(),
            settling: HashMap::new(),
            scan_due: now,
            is_first: true,
            scanned,
            turn: 0,
            buffer: Vec::new(),
        }
    }

    /// Finds the files that there are when the source starts; nothing is read yet.
    pub fn start(&mut self, now: Instant) {
        self.resume(now);
        self.scan(now);
        self.is_first = false;
        self.show();
    }

    /// Looks at what is due, and reads what is new.
    pub fn round(&mut self, now: Instant) -> Round {
        if self.is_first {
            self.start(now);
        } else if now >= self.scan_due {
            self.scan(now);
        }
        let mut pieces = Vec::new();
        let in_turns = self.files.range(self.turn..).chain(self.files.range(..self.turn));
        let due: Vec<Serial> =
            in_turns.filter(|(_, file)| file.due <= now).map(|(serial, _)| *serial).collect();
        for serial in due {
            if pieces.len() == MAX_PIECES {
                self.turn = serial;
                break;
            }
            if !self.must_wait(serial, now) {
                pieces.extend(self.look(serial, now));
            }
        }
        self.show();
        let dues = self.files.values().map(|file| file.due);
        let wake = dues.chain([self.scan_due]).min().unwrap_or(self.scan_due);
        Round { pieces, wake }
    }

    /// Brings the gauges up to date.
    fn show(&self) {
        let lag: u64 = self.files.values().map(Followed::lag).sum();
        self.metrics.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        let there = self.files.values().filter(|file| file.place == Place::There).count();
        self.metrics.files.set(there as i64);
        self.metrics.paths_without_file.set(self.paths_without_file() as i64);
    }

    /// Lines up to `mark` were counted, and this became of them.
    pub fn counted(&mut self, serial: Serial, mark: Option<Mark>, tally: Option<&Tally>) {
        if let Some(mark) = mark {
            self.books.advance(serial, mark);
        }
        if let Some(file) = self.files.get_mut(&serial) {
            let modified = file.extent.modified;
            self.books.edit(serial, |entry| entry.modified = modified);
            if let Some(tally) = tally {
                file.sniffer.learn(tally);
            }
        }
    }

    /// The lines before it in the log come first.
    fn must_wait(&mut self, serial: Serial, now: Instant) -> bool {
        let Some(after) = self.files.get(&serial).and_then(|file| file.after) else { return false };
        let is_waiting = self.files.get(&after).is_some_and(|before| !before.is_caught_up);
        if let Some(file) = self.files.get_mut(&serial) {
            if is_waiting {
                file.due = now + PAUSES.0;
            } else {
                file.after = None;
            }
        }
        is_waiting
    }

    /// Looks at one file.
    fn look(&mut self, serial: Serial, now: Instant) -> Option<(Serial, Arc<Stream>, Piece)> {
        self.check_place(serial, now);
        let file = self.files.get_mut(&serial)?;
        let metadata = file.file.metadata();
        let links = metadata.as_ref().map_or(1, std::os::unix::fs::MetadataExt::nlink);
        let step = metadata.and_then(|metadata| file.step(identify(&metadata).1, &mut self.buffer, now));
        match step {
            Ok(Step::Read(piece)) => {
                let stream = Arc::clone(&file.stream);
                file.due = now;
                file.pause = PAUSES.0;
                if file.lag() == 0 {
                    file.due += file.pause;
                }
                self.books.edit(serial, |entry| entry.read = Some(piece.mark));
                let what = file.path.display().to_string();
                if piece.is_cut {
                    self.metrics.trouble(Reason::TooLong, &what, &"a line is longer than 64 KiB");
                }
                self.metrics.relief(Reason::Read, &what);
                Some((serial, stream, piece))
            }
            Ok(Step::Restarted) => {
                self.restarted(serial, now);
                None
            }
            Ok(Step::Nothing) => {
                file.due = now + file.pause;
                file.pause = if file.is_held() { PAUSES.0 } else { (file.pause * 2).min(PAUSES.1) };
                file.is_caught_up = !file.is_held();
                let is_over = match file.place {
                    Place::There => false,
                    Place::Gone => links == 0,
                    Place::Replaced => true,
                };
                if is_over && now.saturating_duration_since(file.quiet_since) >= CLOSE_QUIET {
                    self.close(serial, links == 0);
                }
                None
            }
            Err(error) => {
                file.due = now + PAUSES.1;
                // Whoever waits for it shall not wait for a bad disk.
                file.is_caught_up = true;
                self.metrics.trouble(Reason::Read, &file.path.display().to_string(), &error);
                None
            }
        }
    }

    /// Sees whether a file is still where it was found.
    pub(super) fn check_place(&mut self, serial: Serial, now: Instant) {
        let Some(file) = self.files.get(&serial) else { return };
        let Ok(at_path) = at_path(&file.path) else { return };
        self.note_path(serial, at_path, now);
        let Some(file) = self.files.get_mut(&serial) else { return };
        let found = place(file.identity, at_path);
        if found == file.place {
            return;
        }
        let was = std::mem::replace(&mut file.place, found);
        if found == Place::There {
            missing::found(&self.metrics, &file.path, true);
            let path = &file.path;
            self.books.edit(serial, |entry| entry.is_replaced &= entry.path != *path);
        }
        if was == Place::There {
            file.is_caught_up = false;
            file.quiet_since = now;
            file.due = now;
        }
        if found == Place::Replaced {
            self.rotated(serial);
        }
        if found != Place::There {
            self.open_successors(serial, now);
        }
    }

    /// A file was emptied: what comes now is another content.
    fn restarted(&mut self, serial: Serial, now: Instant) {
        let is_log = |file: &Followed| file.place == Place::There && !self.is_rotated(&file.path);
        if !self.files.get(&serial).is_some_and(is_log) {
            // A piece that was rotated, over which another one was copied: no log, but if it is wanted it is found.
            return self.close(serial, true);
        }
        let Some(mut file) = self.files.remove(&serial) else { return };
        let modified = self.books.entries.get(&serial).map_or(file.extent.modified, |entry| entry.modified);
        self.books.edit(serial, |entry| {
            entry.identity = None;
            entry.is_finished = true;
        });
        let path = file.path.clone();
        file.read = Mark::default();
        file.no_line_in = None;
        file.held_since = None;
        let serial = self.follow(file, now);
        // If a copy was made before, it has what was not read.
        let missed = self.open_missed(&path, Since::Written(modified), now);
        // The first copy is of what was followed; each one more was a log of its own for a while.
        self.metrics.rotations.inc_by(missed.count.max(1));
        if let Some(file) = self.files.get_mut(&serial) {
            file.after = missed.last;
        }
    }

    /// Lets go of a file: of which only the name is no more, or the content too.
    fn close(&mut self, serial: Serial, is_deleted: bool) {
        if let Some(file) = self.files.remove(&serial) {
            self.open.remove(&file.identity);
            missing::found(&self.metrics, &file.path, false);
        }
        self.books.edit(serial, |entry| {
            entry.is_finished = true;
            if is_deleted {
                entry.identity = None;
            }
        });
    }
}

/// What is at a path; an error if that cannot be known.
pub(super) fn at_path(path: &Path) -> io::Result<AtPath> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(AtPath::File(identify(&metadata).0)),
        Ok(_) => Ok(AtPath::NoFile),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(AtPath::Nothing)
        }
        Err(error) => Err(error),
    }
}
