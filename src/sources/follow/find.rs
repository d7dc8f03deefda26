//! Which files there are to follow: those of the checkpoint, and those that the patterns name.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Start;
use super::checkpoint::{Entry, Serial};
use super::fate::{AtPath, Extent, Place, is_compressed};
use super::missing::{self, Matched};
use super::open::{Begin, Found, SLACK, Since, directory, found_at, name};
use super::watch::{MAX_FILES, Watch, at_path};
use crate::sources::metrics::Reason;

/// How often the patterns are looked up again, and how much longer than it takes they are left alone.
const SCAN_PAUSE: Duration = Duration::from_millis(500);
const SCAN_SHARE: u32 = 20;

/// How long a copy must not have changed to be called complete.
const SETTLED: Duration = Duration::from_secs(1);

/// How long a file may go on changing before it is taken for a log of its own that only looks like a rotated piece.
const MAX_SETTLING: Duration = Duration::from_secs(30);

/// A file that may be a copy which is still being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    extent: Extent,
    /// Since when it has been like this.
    since: Instant,
    first_seen: Instant,
}

impl Watch {
    /// Finds the files of the checkpoint again, under whatever name they have now.
    pub(super) fn resume(&mut self, now: Instant) {
        let entries: Vec<(Serial, Entry)> = self.books.entries.clone().into_iter().collect();
        // How many rotations of each log nobody saw.
        let mut rotations: HashMap<PathBuf, (u64, u64)> = HashMap::new();
        for (serial, entry) in entries.into_iter().filter(|(_, entry)| !entry.is_finished) {
            // Taken over by the file before it, of which it is the successor.
            if !self.books.entries.contains_key(&serial) {
                continue;
            }
            let found = self.find_again(&entry);
            let opened = found
                .as_ref()
                .and_then(|found| self.open_file(found, &entry.path, Begin::Mark(entry.mark), now));
            if let Some(serial) = opened {
                self.books.edit(serial, |opened| opened.is_replaced = entry.is_replaced);
                self.check_place(serial, now);
                continue;
            }
            self.books.edit(serial, |entry| {
                entry.identity = None;
                entry.is_finished = true;
            });
            if found.is_none() && entry.mark.offset > 0 {
                let words = "rotated away and compressed or deleted while nobody followed it; \
                             `replay` reads what is left of it";
                self.metrics.trouble(Reason::Gone, &entry.path.display().to_string(), &words);
            }
            let missed = self.open_missed(&entry.path, Since::Written(entry.modified), now).count;
            let is_log = !entry.is_replaced && !self.is_rotated(&entry.path);
            let is_begun_again = is_log && found_at(&entry.path).is_some();
            let (pieces, begun) = rotations.entry(entry.path).or_default();
            *pieces += missed;
            *begun += u64::from(is_begun_again);
        }
        // Of several, each one more was a log of its own for a while.
        let rotations: u64 = rotations.into_values().map(|(pieces, begun)| pieces.max(begun)).sum();
        self.metrics.rotations.inc_by(rotations);
    }

    fn find_again(&self, entry: &Entry) -> Option<Found> {
        let inode = entry.identity?.inode;
        let is_it = |found: &Found| found.identity.inode == inode;
        // A device may have another number after the machine was started anew: the content decides.
        found_at(&entry.path).filter(is_it).or_else(|| {
            use std::os::unix::fs::DirEntryExt;
            let listed = std::fs::read_dir(directory(&entry.path)).ok()?.filter_map(Result::ok);
            let path = listed.filter(|listed| listed.ino() == inode).map(|listed| listed.path()).next()?;
            found_at(&path).filter(is_it).filter(|found| !is_compressed(&name(&found.path)))
        })
    }

    /// Looks up the patterns and opens what is new.
    pub(super) fn scan(&mut self, now: Instant) {
        let (started, scanned) = (Instant::now(), crate::intake::now());
        let mut all = Vec::new();
        for pattern in 0..self.wanted.patterns.len() {
            // Checked at the start.
            let Ok(paths) = glob::glob(&self.wanted.patterns[pattern]) else { continue };
            let mut matched = Matched::default();
            for path in paths {
                match path {
                    Ok(path) => {
                        let found = Some(&path).filter(|path| !is_compressed(&name(path)));
                        let found = found.and_then(|path| found_at(path));
                        matched.has_file |= found.is_some();
                        matched.has_other |= found.is_none();
                        all.extend(found);
                    }
                    Err(error) => {
                        let what = error.path().display().to_string();
                        self.metrics.trouble(Reason::List, &what, error.error());
                    }
                }
            }
            self.matched(pattern, matched, now);
        }
        // Oldest first: what was rotated comes before what followed it.
        all.sort_by(|left, right| {
            (left.extent.modified, &left.path).cmp(&(right.extent.modified, &right.path))
        });
        if !self.settling.is_empty() {
            let identities: HashSet<_> = all.iter().map(|found| found.identity).collect();
            self.settling.retain(|identity, _| identities.contains(identity));
        }
        let mut are_too_many = false;
        for found in &all {
            if let Some(file) = self.open.get(&found.identity).and_then(|serial| self.files.get_mut(serial)) {
                // It has another name now, under which it is wanted too.
                if file.place != Place::There
                    && !matches!(at_path(&file.path), Ok(AtPath::File(other)) if other == file.identity)
                {
                    missing::found(&self.metrics, &file.path, false);
                    file.path.clone_from(&found.path);
                    file.place = Place::There;
                    file.missing = None;
                }
                continue;
            }
            if self.files.len() >= MAX_FILES {
                are_too_many = true;
                continue;
            }
            let holder = self.files.iter().find(|(_, file)| file.path == found.path);
            if let Some((serial, _)) = holder.filter(|(_, file)| file.place != Place::Replaced) {
                self.check_place(*serial, now);
            }
            if self.open.contains_key(&found.identity) || self.is_settling(found, now) {
                continue;
            }
            let begin = self.begin(found);
            if let Some(scanned) = self.scanned.filter(|_| begin == Begin::Beginning) {
                let missed = self.open_missed(&found.path, Since::Created(scanned), now).count;
                self.metrics.rotations.inc_by(missed);
            }
            self.open_file(found, &found.path, begin, now);
        }
        if are_too_many {
            let words = format!("more than {MAX_FILES} files: the others are not followed");
            self.metrics.trouble(Reason::TooManyFiles, "", &words);
        } else {
            self.metrics.relief(Reason::TooManyFiles, "");
        }
        self.scanned = Some(scanned);
        self.scan_due = now + SCAN_PAUSE.max(started.elapsed() * SCAN_SHARE);
    }

    /// Where to begin in a file that no book knows.
    fn begin(&self, found: &Found) -> Begin {
        let at_start = || match self.wanted.start {
            Start::End => Begin::End,
            Start::Beginning => Begin::Beginning,
        };
        match self.books.stored {
            _ if !self.is_first => Begin::Beginning,
            None => at_start(),
            // Begun while nobody looked: the next piece of a log that was followed, or a new log.
            Some(_) if self.books.entries.values().any(|entry| entry.path == found.path) => Begin::Beginning,
            Some(stored) if found.created.is_some_and(|created| created >= stored.before(SLACK)) => {
                Begin::Beginning
            }
            Some(_) => at_start(),
        }
    }

    /// Whether a file may be a copy of a followed one, still being made: then what to do with it is decided later.
    fn is_settling(&mut self, found: &Found, now: Instant) -> bool {
        let is_new = !self.is_first || self.books.stored.is_some();
        if !is_new || !self.is_rotated(&found.path) {
            return false;
        }
        if self.settling.len() >= MAX_FILES {
            return true;
        }
        let first = Settling { extent: found.extent, since: now, first_seen: now };
        let settling = self.settling.entry(found.identity).or_insert(first);
        if settling.extent != found.extent {
            (settling.extent, settling.since) = (found.extent, now);
        }
        let is_settling = now.saturating_duration_since(settling.since) < SETTLED
            && now.saturating_duration_since(settling.first_seen) < MAX_SETTLING;
        if !is_settling {
            self.settling.remove(&found.identity);
        }
        is_settling
    }
}
