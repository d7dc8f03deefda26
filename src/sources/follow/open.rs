//! Where reading begins in a file, and what comes before and after it in the log.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{Entry, HEAD_BYTES, Mark, Serial};
use super::fate::{Extent, Identity, Place, is_rotated_name};
use super::file::{Followed, PAUSES, end_of_lines, goes_on_from, identify, mark_at, sample};
use super::missing;
use super::watch::{MAX_FILES, Watch};
use crate::event::Timestamp;
use crate::intake::{MAX_TEXT_BYTES, Stream};
use crate::sources::format::Sniffer;
use crate::sources::metrics::Reason;

/// Pieces of a log that were written and rotated away between two looks, at most; the latest ones are read.
const MAX_MISSED: usize = 16;

/// Times of files are those of the last tick of the kernel, and several processes may write a log.
pub(super) const SLACK: Duration = Duration::from_millis(100);

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    pub identity: Identity,
    pub extent: Extent,
    pub created: Option<Timestamp>,
}

/// Since when a piece of a log may have been missed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    /// Since the piece before it was written to, in nanoseconds.
    Written(i128),
    /// Since a time at which there was no such log.
    Created(Timestamp),
}

/// Pieces of a log that had been missed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    pub count: u64,
    /// The one that is read last.
    pub last: Option<Serial>,
}

/// Where reading begins in a file about which nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Beginning,
    End,
    /// The rest of a content, from this mark; not at all if it is not this content.
    Mark(Mark),
}

impl Watch {
    /// A file is not where it was: opens those that were there in between, and the one that is there now.
    pub(super) fn open_successors(&mut self, serial: Serial, now: Instant) {
        let Some(file) = self.files.get(&serial) else { return };
        let path = file.path.clone();
        // What comes to be there was moved there when the log itself was rotated, or is a copy.
        if self.is_rotated(&path) {
            return;
        }
        let modified =
            file.file.metadata().map_or(file.extent.modified, |metadata| identify(&metadata).1.modified);
        let missed = self.open_missed(&path, Since::Written(modified), now).count;
        self.metrics.rotations.inc_by(missed);
        if let Some(found) = found_at(&path) {
            self.open_file(&found, &path, Begin::Beginning, now);
        }
    }

    /// Opens pieces of a log that were at `path` and were rotated away before anybody looked: unknown files with a
    /// rotated name, written to since the log was looked at last. A copy of what was read in part is read from there.
    pub(super) fn open_missed(&mut self, path: &Path, since: Since, now: Instant) -> Missed {
        let mut opened = Missed::default();
        let mut missed = rotations(path);
        missed.retain(|found| {
            let is_later = match since {
                Since::Written(modified) => found.extent.modified >= modified - SLACK.as_nanos() as i128,
                Since::Created(at) => found.created.is_some_and(|created| created >= at.before(SLACK)),
            };
            is_later && !self.open.contains_key(&found.identity) && !self.is_known(found)
        });
        missed.sort_by_key(|found| found.extent.modified);
        for found in missed.iter().skip(missed.len().saturating_sub(MAX_MISSED)) {
            if let Some(serial) = self.open_file(found, path, Begin::Beginning, now) {
                self.set_replaced(serial);
                opened = Missed { count: opened.count + 1, last: Some(serial) };
            }
        }
        opened
    }

    /// Whether a file is one of the books: by its identity and, if nobody follows it any more, by its content too. When a
    /// piece is deleted, the next one may get its inode.
    fn is_known(&self, found: &Found) -> bool {
        let known = self.books.entries.values().find(|entry| entry.identity == Some(found.identity));
        known.is_some_and(|entry| {
            let goes_on = || goes_on_from(&File::open(&found.path)?, found.extent.size, entry.next());
            !entry.is_finished || goes_on().unwrap_or(false)
        })
    }

    /// Whether a path is that of a rotated piece of a log that is known.
    pub(super) fn is_rotated(&self, path: &Path) -> bool {
        self.books.entries.values().any(|entry| is_rotation(&entry.path, path))
    }

    /// Counts a rotation, unless it was counted before, or before a restart. A piece that makes room for the next one is
    /// none.
    pub(super) fn rotated(&mut self, serial: Serial) {
        let Some(entry) = self.books.entries.get(&serial) else { return };
        if !entry.is_replaced && !self.is_rotated(&entry.path) {
            self.metrics.rotations.inc();
        }
        self.books.edit(serial, |entry| entry.is_replaced = true);
    }

    fn set_replaced(&mut self, serial: Serial) {
        if let Some(file) = self.files.get_mut(&serial) {
            file.place = Place::Replaced;
        }
        self.books.edit(serial, |entry| entry.is_replaced = true);
    }

    /// Opens a file that was at `path` and follows it; `None` if it cannot be opened, or is not what it should be.
    pub(super) fn open_file(
        &mut self,
        found: &Found,
        path: &Path,
        begin: Begin,
        now: Instant,
    ) -> Option<Serial> {
        let what = found.path.display().to_string();
        if self.files.len() >= MAX_FILES {
            return None;
        }
        match self.try_open(found, path, begin, now) {
            Ok(opened) => {
                self.metrics.relief(Reason::Open, &what);
                missing::found(&self.metrics, &found.path, true);
                opened
            }
            Err(error) => {
                self.metrics.trouble(Reason::Open, &what, &error);
                None
            }
        }
    }

    fn try_open(
        &mut self,
        found: &Found,
        path: &Path,
        begin: Begin,
        now: Instant,
    ) -> io::Result<Option<Serial>> {
        let file = File::open(&found.path)?;
        let (identity, extent) = identify(&file.metadata()?);
        // Another one by now: it will be found again.
        if identity != found.identity || self.open.contains_key(&identity) {
            return Ok(None);
        }
        let known = self.books.entries.values().find(|entry| entry.identity == Some(identity)).cloned();
        let goes_on = |mark: Mark| goes_on_from(&file, extent.size, mark);
        let read = match begin {
            Begin::Mark(mark) if goes_on(mark)? => mark,
            Begin::Mark(_) => return Ok(None),
            _ => match known {
                Some(entry) if goes_on(entry.next())? => entry.next(),
                _ => match self.copied(&found.path, goes_on)? {
                    Some(mark) => mark,
                    None if begin == Begin::End => mark_at(&file, end_of_lines(&file, extent.size)?)?,
                    None => Mark::default(),
                },
            },
        };
        // Whatever had this identity is not there any more, or is what is followed from here on.
        self.books.entries.retain(|_, entry| entry.identity.is_none_or(|other| other != identity));
        let before = self.files.values().rev().find(|file| file.path == path);
        let stream = before.map_or_else(
            || {
                Arc::new(Stream {
                    source: Arc::clone(&self.wanted.source),
                    tenant: Arc::clone(&self.wanted.tenant),
                    name: path.to_string_lossy().into(),
                })
            },
            |before| Arc::clone(&before.stream),
        );
        let inherited = before.map(|before| before.sniffer.clone());
        let mut sniffer = inherited.unwrap_or_else(|| Sniffer::new(self.wanted.format.as_ref()));
        if sniffer.is_open() && read.offset > 0 {
            let before = read.offset.min(MAX_TEXT_BYTES as u64);
            sniffer.look_at(&sample(&file, 0, before)?);
            // A header further down has changed the columns.
            let text = sample(&file, read.offset - before, before)?;
            sniffer.skip(text.split_once('\n').map_or("", |(_, lines)| lines));
        }
        let after = before
            .filter(|before| before.place != Place::There && !before.is_caught_up)
            .and_then(|before| self.open.get(&before.identity).copied());
        let followed = Followed {
            file,
            identity,
            path: path.to_owned(),
            stream,
            sniffer,
            extent,
            read,
            place: Place::There,
            missing: None,
            after,
            is_caught_up: false,
            quiet_since: now,
            due: now,
            pause: PAUSES.0,
            held_since: None,
            no_line_in: None,
        };
        Ok(Some(self.follow(followed, now)))
    }

    /// Enters a file, from where it is to be read. Those that were at its path and are not any more were rotated.
    pub(super) fn follow(&mut self, file: Followed, now: Instant) -> Serial {
        let was_there = |(serial, other): &(&Serial, &Followed)| {
            (other.path != file.path || other.place != Place::There)
                && self.books.entries.get(serial).is_some_and(|entry| entry.path == file.path)
        };
        let rotated: Vec<Serial> = self.files.iter().filter(was_there).map(|(serial, _)| *serial).collect();
        rotated.into_iter().for_each(|serial| self.rotated(serial));
        let serial = self.books.add(Entry {
            serial: 0,
            path: file.path.clone(),
            identity: Some(file.identity),
            mark: file.read,
            modified: file.extent.modified,
            is_finished: false,
            is_replaced: false,
            read: None,
            is_broken: false,
        });
        self.open.insert(file.identity, serial);
        self.files.insert(serial, Followed { due: now, ..file });
        serial
    }

    /// The mark of the content of which a file is a copy, if it is one: under a rotated name, or where a file was
    /// written anew. Of the latter more must be the same than the first lines, which may be alike by chance.
    fn copied(&self, path: &Path, goes_on: impl Fn(Mark) -> io::Result<bool>) -> io::Result<Option<Mark>> {
        for entry in self.books.entries.values().rev() {
            let mark = entry.next();
            let is_rotated = mark.offset > 0 && is_rotation(&entry.path, path);
            let is_rewritten = mark.offset >= HEAD_BYTES as u64 && entry.path == path;
            if (is_rotated || is_rewritten) && goes_on(mark)? {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }
}

/// The regular file at a path. Opening anything else might wait for ever.
pub(super) fn found_at(path: &Path) -> Option<Found> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let (identity, extent) = identify(&metadata);
    let since = metadata.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let created = since.map(|since| Timestamp::from_micros(crate::event::micros(since)));
    Some(Found { path: path.to_owned(), identity, extent, created })
}

/// The files beside a log that have the name of a rotated piece of it.
fn rotations(path: &Path) -> Vec<Found> {
    let listed = std::fs::read_dir(directory(path)).into_iter().flatten();
    let paths = listed.filter_map(Result::ok).map(|listed| listed.path());
    paths.filter(|other| is_rotation(path, other)).filter_map(|path| found_at(&path)).collect()
}

fn is_rotation(path: &Path, rotated: &Path) -> bool {
    path.parent() == rotated.parent() && is_rotated_name(&name(path), &name(rotated))
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
