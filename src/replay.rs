//! Logs read afterwards: files, compressed or not, and standard input, through the engine as fast as it goes.
//!
//! Several files are merged by time, whatever the order in which they are named: rotated pieces of one log, or logs
//! of several servers. Each is read ahead by a thread of its own, a little at a time; those that are furthest behind in
//! time are read next, and what is in the others waits until they have caught up.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::alert::Alert;
use crate::decode::{self, Decoded, Decoder, Format};
use crate::engine::work::Chunk;
use crate::engine::{Engine, Transition};
use crate::event::{Event, Schema, Timestamp};
use crate::unpack::unpacked;

/// Bytes of a chunk, cut at the last line end. Fixed, so that results do not depend on the machine.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that are given to the engine at a time: of one log, or of several that are at the same time.
const STEP_CHUNKS: usize = 32;
/// Bytes looked at to find out the format.
const SAMPLE_BYTES: usize = 64 << 10;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The operating system says no, or the file is not what its compression says.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was said.
        error: io::Error,
    },
    /// No format reads any of the first lines.
    #[error("{}: no known format reads its first lines; name one with --format (first line: {first:?})", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// How it begins.
        first: String,
    },
    /// None of the files can be read.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    All(Vec<ReplayError>),
}

/// What a replay found.
pub struct Replayed {
    /// All alerts, in the order in which they opened.
    pub alerts: Vec<Alert>,
    /// The formats, by file.
    pub formats: Vec<(PathBuf, Format)>,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Files that could not be read, or only in part. What was read of them is in the alerts.
    pub broken: Vec<ReplayError>,
}

/// Bytes of the files that were read so far, before decompression; for a progress bar.
pub type Progress = Arc<AtomicU64>;

struct Log {
    path: PathBuf,
    format: Format,
    source: usize,
    start: Option<Timestamp>,
    input: Option<Input>,
    batches: Option<Receiver<io::Result<Batch>>>,
    /// Takes texts that are done with back to the reader, which reads into their memory again.
    used: Option<Sender<String>>,
    is_done: bool,
}

/// Texts of whole lines.
type Batch = Vec<String>;

struct Input {
    reader: Box<dyn Read + Send>,
    /// What was read to find out the format.
    sample: Vec<u8>,
    /// Memory to read into.
    spare: Option<Receiver<String>>,
    /// Why reading cannot go on after what was read last.
    failure: Option<io::Error>,
}

/// Reads logs through the engine and gives all alerts.
///
/// `format` is for all of them; found by itself when it is `None`. The error is for when none of them can be read.
pub fn replay(
    engine: &mut Engine,
    paths: &[PathBuf],
    format: Option<&Format>,
    settings: &Arc<decode::Settings>,
    progress: &Progress,
) -> Result<Replayed, ReplayError> {
    let mut logs = Vec::new();
    let mut broken = Vec::new();
    for path in paths {
        match open(engine, path, format, settings, progress) {
            Ok(log) => logs.push(log),
            Err(error) => broken.push(error),
        }
    }
    if logs.is_empty() && !broken.is_empty() {
        return Err(if broken.len() == 1 { broken.remove(0) } else { ReplayError::All(broken) });
    }
    // Earliest first, so that equal times are in the same order however the files were named.
    logs.sort_by(|left, right| (left.start, &left.path).cmp(&(right.start, &right.path)));
    let mut alerts = Alerts::default();
    let mut bytes = 0;
    let is_merged = logs.len() > 1;
    let batch_chunks = (STEP_CHUNKS / logs.len().max(1)).max(1);
    // One step behind: while the workers count what was read last, they read on.
    let mut until = if is_merged { Some(FIRST) } else { None };
    loop {
        let mut chunks = Vec::with_capacity(STEP_CHUNKS);
        for index in next_to_read(engine, &logs, until, STEP_CHUNKS / batch_chunks) {
            let log = &mut logs[index];
            while let (Some(used), Some(text)) = (&log.used, engine.spare_text()) {
                let _ = used.send(text);
            }
            chunks.extend(log.next_chunks(batch_chunks).unwrap_or_else(|error| {
                broken.push(error);
                Vec::new()
            }));
        }
        bytes += chunks.iter().map(|chunk| chunk.text.len() as u64).sum::<u64>();
        alerts.take(engine.count_and_read(until, chunks));
        if logs.iter().all(|log| log.is_done) {
            break;
        }
        if is_merged {
            // A log whose time is not known yet may have anything to say: nothing is counted before it is.
            let unread = logs.iter().filter(|log| !log.is_done);
            until = unread.map(|log| log.frontier(engine).unwrap_or(FIRST)).min();
        }
    }
    alerts.take(engine.count(is_merged.then_some(LAST)));
    let (transitions, open) = engine.finish();
    alerts.take(transitions);
    let formats = logs.into_iter().map(|log| (log.path, log.format)).collect();
    Ok(Replayed { alerts: alerts.finish(open), formats, bytes, broken })
}

const FIRST: Timestamp = Timestamp::from_micros(i64::MIN + 1);
const LAST: Timestamp = Timestamp::from_micros(i64::MAX);

/// Logs to read on in: the one whose lines are the oldest among those not read yet, and with it others whose lines
/// have all been counted up to `until`, so that little waits.
fn next_to_read(engine: &Engine, logs: &[Log], until: Option<Timestamp>, at_most: usize) -> Vec<usize> {
    let unread = logs.iter().enumerate().filter(|(_, log)| !log.is_done);
    let mut behind: Vec<(Option<Timestamp>, usize)> =
        unread.map(|(index, log)| (log.frontier(engine), index)).collect();
    behind.sort_unstable();
    let first = behind.first().map(|(_, index)| *index);
    let is_due = |frontier: &Option<Timestamp>, index| Some(index) == first || *frontier <= until;
    behind
        .into_iter()
        .filter(|(frontier, index)| is_due(frontier, *index))
        .map(|(_, index)| index)
        .take(at_most)
        .collect()
}

/// Alerts as they end.
#[derive(Default)]
struct Alerts {
    ended: Vec<Alert>,
}

impl Alerts {
    fn take(&mut self, transitions: Vec<Transition>) {
        self.ended.extend(transitions.into_iter().filter_map(|transition| match transition {
            Transition::Resolved(alert) => Some(alert),
            Transition::Opened(_) | Transition::Escalated(..) => None,
        }));
    }

    fn finish(mut self, open: Vec<Alert>) -> Vec<Alert> {
        self.ended.extend(open);
        self.ended
            .sort_by(|left, right| crate::engine::alert_order(left).cmp(&crate::engine::alert_order(right)));
        self.ended
    }
}

fn open(
    engine: &mut Engine,
    path: &Path,
    format: Option<&Format>,
    settings: &Arc<decode::Settings>,
    progress: &Progress,
) -> Result<Log, ReplayError> {
    let io_error = |error| ReplayError::Io { path: path.to_owned(), error };
    let mut input = Input::open(path, progress).map_err(io_error)?;
    input.fill_sample().map_err(io_error)?;
    let sample = String::from_utf8_lossy(&input.sample);
    let whole_lines = sample.rfind('\n').map_or(sample.as_ref(), |end| &sample[..end]);
    let format = match format {
        Some(format) => format.clone(),
        None if whole_lines.trim().is_empty() => Format::Combined,
        None => Format::detect(whole_lines).ok_or_else(|| ReplayError::UnknownFormat {
            path: path.to_owned(),
            first: whole_lines.lines().next().unwrap_or_default().chars().take(120).collect(),
        })?,
    };
    let start = first_time(whole_lines, &format, &engine.shared().schema, settings);
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let source = engine.add_source(&name, "", Arc::clone(settings));
    Ok(Log {
        path: path.to_owned(),
        format,
        source,
        start,
        input: Some(input),
        batches: None,
        used: None,
        is_done: false,
    })
}

fn first_time(
    sample: &str,
    format: &Format,
    schema: &Arc<Schema>,
    settings: &Arc<decode::Settings>,
) -> Option<Timestamp> {
    let mut decoder = Decoder::new(format.clone(), Arc::clone(schema), Arc::clone(settings));
    let mut event = Event::new(schema);
    for line in sample.lines() {
        event.clear();
        if decoder.decode(line, &mut event).is_ok_and(Decoded::is_event) && event.at.is_some() {
            return event.at;
        }
    }
    None
}

impl Log {
    /// Nothing that is still to be read is much older than this.
    fn frontier(&self, engine: &Engine) -> Option<Timestamp> {
        engine.source_time(self.source).or(self.start)
    }

    fn next_chunks(&mut self, batch_chunks: usize) -> Result<Vec<Chunk>, ReplayError> {
        let batches = self.batches.get_or_insert_with(|| {
            let (sender, receiver) = sync_channel(0);
            let (used, spare) = channel();
            self.used = Some(used);
            if let Some(mut input) = self.input.take() {
                input.spare = Some(spare);
                std::thread::spawn(move || input.read_batches(batch_chunks, &sender));
            }
            receiver
        });
        let batch = match batches.recv() {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) => {
                self.is_done = true;
                return Err(ReplayError::Io { path: self.path.clone(), error });
            }
            Err(_) => {
                self.is_done = true;
                return Ok(Vec::new());
            }
        };
        let mut chunks = Vec::with_capacity(batch.len());
        for text in batch {
            let after = self.format.after(&text);
            let format = std::mem::replace(&mut self.format, after);
            chunks.push(Chunk { source: self.source, text, format, received: None });
        }
        Ok(chunks)
    }
}

impl Input {
    fn open(path: &Path, progress: &Progress) -> io::Result<Self> {
        let reader = if path == Path::new("-") {
            unpacked(io::stdin())?
        } else {
            unpacked(Counted { inner: File::open(path)?, progress: Arc::clone(progress) })?
        };
        Ok(Self { reader, sample: Vec::new(), spare: None, failure: None })
    }

    fn fill_sample(&mut self) -> io::Result<()> {
        let missing = SAMPLE_BYTES - self.sample.len();
        match self.reader.by_ref().take(missing as u64).read_to_end(&mut self.sample) {
            // Reading on will fail again, and be told then; what there is can be read.
            Err(_) if !self.sample.is_empty() => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Sends the lines in batches until the end, an error, or nobody listens any more.
    fn read_batches(mut self, batch_chunks: usize, sender: &SyncSender<io::Result<Batch>>) {
        let mut rest = std::mem::take(&mut self.sample);
        let mut is_skipping = false;
        loop {
            let mut batch = Vec::with_capacity(batch_chunks);
            let mut at_end = false;
            while batch.len() < batch_chunks && !at_end {
                match self.next_chunk(&mut rest, &mut is_skipping) {
                    Ok(Some(text)) => batch.push(text),
                    Ok(None) => at_end = true,
                    Err(error) => {
                        let _ = sender.send(Ok(batch)).and_then(|()| sender.send(Err(error)));
                        return;
                    }
                }
            }
            if (!batch.is_empty() && sender.send(Ok(batch)).is_err()) || at_end {
                return;
            }
        }
    }

    /// The next chunk: whole lines, but for the last line of the log. Of a line that is longer than a chunk, only the
    /// start is given, of which the decoder reads what there is.
    fn next_chunk(&mut self, rest: &mut Vec<u8>, is_skipping: &mut bool) -> io::Result<Option<String>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        loop {
            let spare = self.spare.as_ref().and_then(|spare| spare.try_recv().ok());
            let mut buffer = spare.map_or_else(|| Vec::with_capacity(CHUNK_BYTES + 1), String::into_bytes);
            buffer.clear();
            buffer.append(rest);
            while buffer.len() < CHUNK_BYTES {
                let missing = CHUNK_BYTES - buffer.len();
                match self.reader.by_ref().take(missing as u64).read_to_end(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    // The lines before the place where the file breaks off are good.
                    Err(error) => match memchr::memrchr(b'\n', &buffer) {
                        Some(end) if !*is_skipping => {
                            buffer.truncate(end + 1);
                            self.failure = Some(error);
                            break;
                        }
                        _ => return Err(error),
                    },
                }
            }
            if buffer.is_empty() {
                return Ok(None);
            }
            if *is_skipping {
                let end = memchr::memchr(b'\n', &buffer).map_or(buffer.len(), |end| end + 1);
                *is_skipping = end == buffer.len() && buffer.last() != Some(&b'\n');
                rest.extend_from_slice(&buffer[end..]);
                continue;
            }
            let is_full = buffer.len() >= CHUNK_BYTES;
            if is_full {
                match memchr::memrchr(b'\n', &buffer) {
                    Some(end) => {
                        rest.extend_from_slice(&buffer[end + 1..]);
                        buffer.truncate(end + 1);
                    }
                    None => {
                        *is_skipping = true;
                        buffer.push(b'\n');
                    }
                }
            }
            let text = String::from_utf8(buffer)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            return Ok(Some(text));
        }
    }
}

/// A file that counts what is read from it.
struct Counted {
    inner: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
