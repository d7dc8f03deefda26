//! What happened to a file, judged by what the file system says: no I/O here.

use serde::{Deserialize, Serialize};

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// What tells a change of content: how long a file is, and when it was last written to, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub size: u64,
    pub modified: i128,
}

/// What became of the content of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing new.
    Same,
    /// There is more to read.
    Grown,
    /// It was emptied, and perhaps written again: from the beginning.
    Restarted,
}

/// Judges the content: `seen` and `read` are how it was, `found` is how it is. `has_head` says whether it still begins
/// with what was read of it, and is asked only if that may matter.
pub(super) fn content(seen: Extent, read: u64, found: Extent, has_head: impl FnOnce() -> bool) -> Content {
    if found.size < read {
        return Content::Restarted;
    }
    // The size alone does not tell: it may have been emptied and written again to the same size.
    if found == seen && found.size == read {
        return Content::Same;
    }
    if !has_head() {
        return Content::Restarted;
    }
    if found.size > read { Content::Grown } else { Content::Same }
}

/// Where an open file is, as seen from the path at which it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At its path.
    There,
    /// Its path is no one's: it was moved or deleted, and its writer may go on writing to it.
    Gone,
    /// Another file is at its path.
    Replaced,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtPath {
    /// A regular file.
    File(Identity),
    /// Something else, which nobody writes a log to: a directory, a pipe, a socket.
    NoFile,
    Nothing,
}

/// Judges the place by what is at the path.
pub(super) fn place(own: Identity, at_path: AtPath) -> Place {
    match at_path {
        AtPath::File(other) if other == own => Place::There,
        AtPath::File(_) => Place::Replaced,
        AtPath::NoFile | AtPath::Nothing => Place::Gone,
    }
}

/// Whether `name` is what a file called `base` is called after a rotation: `access.log.1`, `access.log-20261124`,
/// `access-20261124.log`, `access.log.old`.
pub(super) fn is_rotated_name(base: &str, name: &str) -> bool {
    let is_mark = |rest: &str| {
        let mark = rest.strip_prefix(['.', '-', '_']).unwrap_or_default();
        mark == "old" || (mark.starts_with(|c: char| c.is_ascii_digit()) && mark.bytes().all(is_stamp))
    };
    let is_stamp_before = |extension: &str| {
        let stem = base.strip_suffix(extension).and_then(|stem| name.strip_prefix(stem));
        stem.and_then(|rest| rest.strip_suffix(extension)).is_some_and(is_mark)
    };
    name.strip_prefix(base).is_some_and(is_mark)
        || base.rfind('.').is_some_and(|dot| dot > 0 && is_stamp_before(&base[dot..]))
}

const fn is_stamp(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T' | b'Z')
}

/// Whether a file is compressed, by its name. Such a piece of a log was followed before it was compressed; `replay`
/// reads it.
pub(super) fn is_compressed(name: &str) -> bool {
    [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip", ".Z"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_judged_by_size_time_and_head() {
        use Content::{Grown, Restarted, Same};
        let at = |size, modified| Extent { size, modified };
        let cases = [
            ("nothing happened", at(10, 1), 10, at(10, 1), true, Same),
            ("nothing was ever there", at(0, 1), 0, at(0, 1), true, Same),
            ("touched", at(10, 1), 10, at(10, 2), true, Same),
            ("appended to", at(10, 1), 10, at(15, 2), true, Grown),
            ("a rest was not read yet", at(15, 2), 10, at(15, 2), true, Grown),
            ("emptied", at(10, 1), 10, at(0, 2), false, Restarted),
            ("emptied and begun again", at(10, 1), 10, at(5, 2), false, Restarted),
            ("emptied and written beyond", at(10, 1), 10, at(20, 2), false, Restarted),
            ("emptied and written to the same size", at(10, 1), 10, at(10, 2), false, Restarted),
            ("emptied where all was not read", at(20, 1), 10, at(12, 2), false, Restarted),
        ];
        for (what, seen, read, found, has_head, want) in cases {
            assert_eq!(content(seen, read, found, || has_head), want, "{what}");
        }
    }

    #[test]
    fn the_head_of_a_quiet_file_is_not_read() {
        let extent = Extent { size: 10, modified: 1 };
        assert_eq!(content(extent, 10, extent, || panic!("read")), Content::Same);
    }

    #[test]
    fn the_place_is_judged_by_what_is_at_the_path() {
        let file = |inode| Identity { device: 1, inode };
        let on_other_disk = Identity { device: 2, inode: 1 };
        let cases = [
            (AtPath::File(file(1)), Place::There),
            (AtPath::File(file(2)), Place::Replaced),
            (AtPath::File(on_other_disk), Place::Replaced),
            (AtPath::NoFile, Place::Gone),
            (AtPath::Nothing, Place::Gone),
        ];
        for (at_path, want) in cases {
            assert_eq!(place(file(1), at_path), want);
        }
    }

    #[test]
    fn rotated_names_are_known() {
        let cases = [
            ("access.log", "access.log.1", true),
            ("access.log", "access.log.12", true),
            ("access.log", "access.log-20261124", true),
            ("access.log", "access.log-20261124-1764000000", true),
            ("access.log", "access.log.2026-11-24T10:00:00", true),
            ("access.log", "access-20261124.log", true),
            ("access.log", "access.1.log", true),
            ("access.log", "access.log.old", true),
            ("access", "access.1", true),
            ("access.log", "access.log", false),
            ("access.log", "access.log.1.gz", false),
            ("access.log", "access.log.tmp", false),
            ("access.log", "access-api.log", false),
            ("access.log", "access2.log", false),
            ("access.log", "error.log.1", false),
            ("access.log", "access.log.", false),
            (".log", "x-1.log", false),
        ];
        for (base, name, want) in cases {
            assert_eq!(is_rotated_name(base, name), want, "{base} {name}");
        }
    }
}
