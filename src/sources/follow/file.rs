//! One open file: what is new in it, read a piece at a time.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{Fingerprint, HEAD_BYTES, Mark, Serial, TAIL_BYTES};
use super::fate::{Content, Extent, Identity, Place, content};
use super::missing::Missing;
use crate::decode::Format;
use crate::intake::{MAX_TEXT_BYTES, Stream};
use crate::sources::format::{PATIENCE, Sniffer};
use crate::sources::text;

/// Bytes read at a time: a text of them, with a line feed, is not too long.
const PIECE_BYTES: usize = MAX_TEXT_BYTES - 1;

/// How long a file that is not at its path any more says nothing until the rest of its last line, which nobody has
/// ended, is taken as it is. Of a file that is at its path it is left alone: its writer will end the line, and half
/// a line is worth less than a whole one later.
const REST_QUIET: Duration = Duration::from_secs(5);

/// How long to wait before looking again: at a busy file, and at one that says nothing.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// A file that is followed, by its open descriptor: what becomes of its name does not matter for reading it.
#[derive(Debug)]
pub(super) struct Followed {
    pub file: File,
    pub identity: Identity,
    /// Where it was found, which is where its successor will be.
    pub path: PathBuf,
    pub stream: Arc<Stream>,
    pub sniffer: Sniffer,
    /// How it was when looked at last.
    pub extent: Extent,
    /// Read up to here.
    pub read: Mark,
    pub place: Place,
    /// Its path is no file's.
    pub missing: Option<Missing>,
    /// The piece of the log before this one, which is read to its end first.
    pub after: Option<Serial>,
    /// Since it left its path, its end was reached: its successor need not wait any longer.
    pub is_caught_up: bool,
    /// When it changed last.
    pub quiet_since: Instant,
    /// When to look again.
    pub due: Instant,
    pub pause: Duration,
    /// Since when its first lines wait for others, that the format be found out.
    pub held_since: Option<Instant>,
    /// Looked at when it was like this: there is no whole line.
    pub no_line_in: Option<Extent>,
}

/// What looking at a file gave.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    /// Its content is another one, from the beginning.
    Restarted,
    Read(Piece),
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct Piece {
    /// Texts of whole lines, and how they are written; none if what was read is to be skipped.
    pub texts: Vec<(String, Format)>,
    pub lines: u64,
    pub bytes: u64,
    /// Where it ends.
    pub mark: Mark,
    /// The last line was cut, because it is too long.
    pub is_cut: bool,
}

impl Followed {
    /// Looks for what is new. `found` is how the file is.
    pub fn step(&mut self, found: Extent, buffer: &mut Vec<u8>, now: Instant) -> io::Result<Step> {
        if found != self.extent {
            self.quiet_since = now;
        }
        let is_last = self.place != Place::There && now.duration_since(self.quiet_since) >= REST_QUIET;
        let is_known = self.no_line_in == Some(found) && !is_last;
        // The byte before says whether a line begins here.
        let offset = self.read.offset;
        let before_bytes = usize::from(offset > 0);
        let mut length = 0;
        if found.size > offset && !is_known {
            buffer.resize(before_bytes + PIECE_BYTES, 0);
            length = read_at(&self.file, buffer, offset - before_bytes as u64)?;
        }
        // Judged after reading: a file that is emptied and written again meanwhile is found out.
        let judged = content(self.extent, offset, found, || self.has_head().unwrap_or(true));
        self.extent = found;
        match judged {
            Content::Same => return Ok(Step::Nothing),
            Content::Grown if length <= before_bytes => return Ok(Step::Nothing),
            Content::Grown => {}
            Content::Restarted => return Ok(Step::Restarted),
        }
        let (before, bytes) = buffer[..length].split_at(before_bytes);
        let is_full = bytes.len() == PIECE_BYTES;
        let cut = text::cut(before.first().copied(), bytes, is_full, is_last && !is_full);
        if cut.end == 0 {
            self.no_line_in = Some(found);
            return Ok(Step::Nothing);
        }
        let mut lines = bytes[cut.skip..cut.end].to_vec();
        if cut.is_open {
            lines.push(b'\n');
        }
        let Some(texts) = self.with_formats(text::texts(&lines), is_full, now) else {
            return Ok(Step::Nothing);
        };
        let tail = &bytes[cut.end.saturating_sub(TAIL_BYTES)..cut.end];
        let mark = Mark {
            offset: offset + cut.end as u64,
            head: self.head(offset + cut.end as u64)?,
            tail: Fingerprint::of(tail),
        };
        self.read = mark;
        let lines = texts.iter().map(|(text, _)| text::lines(text)).sum();
        let is_cut = cut.is_open && is_full;
        Ok(Step::Read(Piece { texts, lines, bytes: cut.end as u64, mark, is_cut }))
    }

    /// `None` if it is better to wait for more lines before the format is decided.
    fn with_formats(
        &mut self,
        texts: Vec<String>,
        is_full: bool,
        now: Instant,
    ) -> Option<Vec<(String, Format)>> {
        let since = *self.held_since.get_or_insert(now);
        let must_decide =
            is_full || self.place != Place::There || now.saturating_duration_since(since) >= PATIENCE;
        let mut pairs = Vec::with_capacity(texts.len());
        for text in texts {
            let format = self.sniffer.decide(&text, must_decide || !pairs.is_empty())?;
            pairs.push((text, format));
        }
        self.held_since = None;
        Some(pairs)
    }

    /// Whether its first lines wait for others.
    pub const fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Bytes that are not read yet.
    pub const fn lag(&self) -> u64 {
        self.extent.size.saturating_sub(self.read.offset)
    }

    /// Whether it still begins with what was read of it.
    fn has_head(&self) -> io::Result<bool> {
        has(&self.file, 0, self.read.head)
    }

    fn head(&self, offset: u64) -> io::Result<Fingerprint> {
        if self.read.head.length as usize == HEAD_BYTES {
            return Ok(self.read.head);
        }
        fingerprint(&self.file, 0, offset.min(HEAD_BYTES as u64))
    }
}

/// The identity and the extent of a file.
pub(super) fn identify(metadata: &Metadata) -> (Identity, Extent) {
    let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    (identity, Extent { size: metadata.len(), modified })
}

/// The mark at an offset of a file.
pub(super) fn mark_at(file: &File, offset: u64) -> io::Result<Mark> {
    let tail = offset.min(TAIL_BYTES as u64);
    Ok(Mark {
        offset,
        head: fingerprint(file, 0, offset.min(HEAD_BYTES as u64))?,
        tail: fingerprint(file, offset - tail, tail)?,
    })
}

/// Where the last whole line of a file ends, if that is not far before its end.
pub(super) fn end_of_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut buffer = vec![0; MAX_TEXT_BYTES];
    let from = size.saturating_sub(buffer.len() as u64);
    let length = read_at(file, &mut buffer, from)?;
    let end = memchr::memrchr(b'\n', &buffer[..length]).map(|at| from + at as u64 + 1);
    Ok(end.unwrap_or(if from == 0 { 0 } else { size }))
}

/// Whether the content of a file goes on from `mark`.
pub(super) fn goes_on_from(file: &File, size: u64, mark: Mark) -> io::Result<bool> {
    let before = mark.offset.checked_sub(u64::from(mark.tail.length));
    let Some(before) = before.filter(|_| size >= mark.offset) else { return Ok(false) };
    Ok(has(file, 0, mark.head)? && has(file, before, mark.tail)?)
}

/// Some text of a file, from an offset, for looking at.
pub(super) fn sample(file: &File, offset: u64, bytes: u64) -> io::Result<String> {
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(0).min(MAX_TEXT_BYTES)];
    let length = read_at(file, &mut buffer, offset)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn has(file: &File, offset: u64, known: Fingerprint) -> io::Result<bool> {
    Ok(known.length == 0 || fingerprint(file, offset, u64::from(known.length))? == known)
}

fn fingerprint(file: &File, offset: u64, length: u64) -> io::Result<Fingerprint> {
    let mut buffer = [0; HEAD_BYTES];
    let length = usize::try_from(length).unwrap_or(HEAD_BYTES).min(HEAD_BYTES);
    let length = read_at(file, &mut buffer[..length], offset)?;
    Ok(Fingerprint::of(&buffer[..length]))
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
