//! What should be there and is not: paths of the configuration that no file is at, and followed files whose path is
//! no one's any more, or that of something that is no file.
//!
//! Each is said, and counted, once when it begins and once when it is over. A rotation leaves a path empty for a moment,
//! which is not worth a word.

use std::path::Path;
use std::time::{Duration, Instant};

use super::checkpoint::Serial;
use super::fate::AtPath;
use super::watch::Watch;
use crate::sources::metrics::{Reason, SourceMetrics};

/// How long something must be missing to be missed: longer than a rotation takes until the log is written anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// Since when something is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    reason: Reason,
    since: Instant,
    is_told: bool,
}

impl Missing {
    /// Why a followed file is missing, if it is, by what is at its path.
    const fn reason(at_path: AtPath) -> Option<Reason> {
        match at_path {
            AtPath::File(_) => None,
            AtPath::NoFile => Some(Reason::NotAFile),
            AtPath::Nothing => Some(Reason::Vanished),
        }
    }
}

/// What a look at a path of the configuration found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matched {
    /// A regular file that is read as it is.
    pub has_file: bool,
    /// Something else, such as a directory, a pipe or a compressed file.
    pub has_other: bool,
}

impl Watch {
    /// A path of the configuration was looked up.
    pub(super) fn matched(&mut self, pattern: usize, matched: Matched, now: Instant) {
        let Some(place) = self.unmatched.get_mut(pattern) else { return };
        let name = &self.wanted.patterns[pattern];
        if matched.has_file {
            if place.take().is_some_and(|missing| missing.is_told) {
                self.metrics.relief(Reason::NoFile, name);
            }
            return;
        }
        let missing = place.get_or_insert(Missing { reason: Reason::NoFile, since: now, is_told: false });
        let is_over_patience = now.saturating_duration_since(missing.since) >= PATIENCE;
        if !missing.is_told && (self.is_first || is_over_patience) {
            missing.is_told = true;
            let words = match matched.has_other {
                true => "what is there is no regular file, or compressed, and is not followed",
                false => "there is no such file; it is followed as soon as there is one that can be seen",
            };
            self.metrics.trouble(Reason::NoFile, name, &words);
        }
    }

    /// How many paths of the configuration have no file.
    pub(super) fn paths_without_file(&self) -> usize {
        self.unmatched.iter().flatten().filter(|missing| missing.is_told).count()
    }

    /// Takes note of what is at the path of a followed file.
    pub(super) fn note_path(&mut self, serial: Serial, at_path: AtPath, now: Instant) {
        let Some(file) = self.files.get_mut(&serial) else { return };
        let reason = Missing::reason(at_path);
        if file.missing.map(|missing| missing.reason) != reason {
            file.missing = reason.map(|reason| Missing { reason, since: now, is_told: false });
        }
        let Some(missing) = file.missing else { return };
        if missing.is_told || now.saturating_duration_since(missing.since) < PATIENCE {
            return;
        }
        let path = file.path.clone();
        file.missing = Some(Missing { is_told: true, ..missing });
        // A rotated piece goes when it is compressed, or old enough.
        if !self.is_rotated(&path) {
            let words = match missing.reason {
                Reason::Vanished => "a followed file is not at its path any more",
                _ => "where a followed file was is something that is no regular file",
            };
            self.metrics.trouble(missing.reason, &path.display().to_string(), &words);
        }
    }
}

/// A file is at this path, or nobody looks for one there any more.
pub(super) fn found(metrics: &SourceMetrics, path: &Path, is_there: bool) {
    let what = path.display().to_string();
    for reason in [Reason::Vanished, Reason::NotAFile] {
        match is_there {
            true => metrics.relief(reason, &what),
            false => metrics.forget(reason, &what),
        }
    }
}
