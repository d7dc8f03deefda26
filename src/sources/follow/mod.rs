//! Files that are followed as `tail -F` does, and further: through rotation by renaming or by copying, and across
//! restarts, without losing a line or reading one twice.
//!
//! A file is told by its device and inode and by what it begins with, never by its name. It is read by its open
//! descriptor until nothing more will come, and its successor after it. Only what was counted enters the checkpoint.
//! Compressed files are not read here: they were followed before they were compressed.
//!
//! What is not found: a piece that was rotated while the service was down and is compressed, or in another directory,
//! when it comes back; that is counted as `gone`. What is written between a copy and the truncation of the original
//! (`copytruncate`) is lost by whoever rotates.

mod checkpoint;
mod fate;
mod file;
mod find;
mod missing;
mod open;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::{oneshot, watch as signal};

use self::checkpoint::{Books, Mark, Serial};
use self::watch::{Wanted, Watch};
use super::metrics::{Reason, SourceMetrics};
use super::{Kept, StartError};
use crate::decode::{Format, Tally};
use crate::intake::{Inlet, Lines, Offset, now};

/// A source of files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files, with the wildcards `*`, `?`, `[...]` and `**`. What appears later is followed too; at most 1,024 files.
    pub paths: Vec<String>,
    /// Where to begin in files that are there at the first start. Files that appear later are read from the beginning.
    #[serde(default)]
    pub start: Start,
    /// Whose events these are.
    #[serde(default)]
    pub tenant: Arc<str>,
    /// How the lines are written; found by itself, for each file, unless given.
    #[serde(default, deserialize_with = "super::format_by_name")]
    pub format: Option<Format>,
    /// What the lines are about.
    #[serde(default)]
    pub content: Content,
}

/// What the lines of files are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Events, as any log tells them.
    #[default]
    Events,
    /// Messages that the business sent: the log of its gateway to the API, in JSON.
    Sends,
}

/// The file, and how many bytes of it, that the state of an offset stands for; `None` where it is not one of a file.
pub fn place_of(state: &[u8]) -> Option<(PathBuf, u64)> {
    let entry: checkpoint::Entry = serde_json::from_slice(state).ok()?;
    Some((entry.path, entry.mark.offset))
}

/// Where to begin in files that are there at the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// After what is there: only what is written from now on.
    #[default]
    End,
    /// At the first line.
    Beginning,
}

/// Texts that were pushed and are not counted yet, at most. Beyond it, reading waits.
const MAX_FLYING: usize = 256;

/// How often the checkpoint is stored, at most.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Lines on their way through the engine.
struct Flight {
    serial: Serial,
    /// Where they end; `None` when more of the same piece follows.
    mark: Option<Mark>,
    /// `None` when there were no lines, only something to skip.
    counted: Option<oneshot::Receiver<Tally>>,
}

/// Prepares a source of files, finds those that there are, and gives what there is to run.
pub(super) async fn start(
    name: &str,
    config: &Config,
    inlet: Inlet,
    metrics: Arc<SourceMetrics>,
    stop: signal::Receiver<bool>,
    kept: Kept,
) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    if config.paths.is_empty() {
        return Err(StartError::NoPaths);
    }
    for pattern in &config.paths {
        glob::Pattern::new(pattern)
            .map_err(|error| StartError::Pattern { pattern: pattern.clone(), error })?;
    }
    let path = kept.directory.as_ref().map(|dir| dir.join(format!("checkpoints-{name}.json")));
    if let Some(dir) = &kept.directory {
        std::fs::create_dir_all(dir).map_err(|error| StartError::State { path: dir.clone(), error })?;
    }
    let mut books = path.as_ref().map_or_else(Books::default, |path| {
        Books::load(path).unwrap_or_else(|error| {
            let words = format!("{error}: starting as if there were none");
            metrics.trouble(Reason::Checkpoint, &path.display().to_string(), &words);
            Books::default()
        })
    });
    if let Some(offsets) = &kept.offsets
        && books.follow_journal(name, offsets).is_none()
    {
        let words = "what the journal knows of the files cannot be understood: some may be read again";
        metrics.trouble(Reason::Checkpoint, name, &words);
    }
    // Stored at once: what is made from now on is new, whatever happens.
    books.is_dirty = true;
    let wanted = Wanted {
        source: name.into(),
        tenant: Arc::clone(&config.tenant),
        patterns: config.paths.clone(),
        format: config.format.clone(),
        start: config.start,
    };
    let watch = Watch::new(wanted, books, Arc::clone(&metrics), Instant::now());
    let mut follower = Follower { watch: Some(watch), flying: VecDeque::new(), metrics, path, stored: None };
    // Before the source is called started: what is missing is known then.
    follower.at_files(|watch| watch.start(Instant::now())).await;
    Ok(follower.run(inlet, stop))
}

struct Follower {
    /// Lent to a thread that may block while it looks at files.
    watch: Option<Watch>,
    flying: VecDeque<Flight>,
    metrics: Arc<SourceMetrics>,
    /// Where the checkpoint is stored.
    path: Option<PathBuf>,
    stored: Option<Instant>,
}

impl Follower {
    async fn run(mut self, inlet: Inlet, mut stop: signal::Receiver<bool>) {
        let mut is_open = true;
        while is_open && !*stop.borrow() {
            let round = self.at_files(|watch| watch.round(Instant::now())).await;
            for (serial, stream, piece) in round.pieces {
                let received = now();
                self.metrics.read(piece.lines, piece.bytes, received);
                let last = piece.texts.len().checked_sub(1);
                let mut offset = self.offset(&stream.source, serial, piece.mark);
                if last.is_none() {
                    self.flying.push_back(Flight { serial, mark: Some(piece.mark), counted: None });
                }
                for (place, (text, format)) in piece.texts.into_iter().enumerate() {
                    let (counted, is_counted) = oneshot::channel();
                    let stream = Arc::clone(&stream);
                    let offset = offset.take_if(|_| Some(place) == last);
                    let lines = Lines { stream, text, format, received, counted: Some(counted), offset };
                    is_open &= inlet.push(lines).await.is_ok();
                    let mark = (Some(place) == last).then_some(piece.mark);
                    self.flying.push_back(Flight { serial, mark, counted: Some(is_counted) });
                }
            }
            self.land();
            while self.flying.len() > MAX_FLYING {
                self.wait_for_first().await;
            }
            if self.stored.is_none_or(|stored| stored.elapsed() >= STORE_PAUSE) {
                self.store().await;
            }
            let wait = round.wake.saturating_duration_since(Instant::now());
            // An error is that of a sender which is gone.
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        // The engine may want to know that nothing more will come before it counts the last lines.
        drop(inlet);
        while !self.flying.is_empty() {
            self.wait_for_first().await;
        }
        self.store().await;
    }

    /// How far a file was read, for the journal.
    fn offset(&self, source: &str, serial: Serial, mark: Mark) -> Option<Offset> {
        self.watch.as_ref()?.books.offset(source, serial, mark)
    }

    /// Takes note of what was counted.
    fn land(&mut self) {
        use oneshot::error::TryRecvError;
        while let Some(mut first) = self.flying.pop_front() {
            let tally = match first.counted.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Err(TryRecvError::Empty)) => return self.flying.push_front(first),
                Some(Err(TryRecvError::Closed)) => Err(()),
                Some(Ok(tally)) => Ok(Some(tally)),
                None => Ok(None),
            };
            self.landed(first.serial, first.mark, tally);
        }
    }

    async fn wait_for_first(&mut self) {
        let Some(first) = self.flying.pop_front() else { return };
        let tally = match first.counted {
            Some(counted) => counted.await.map(Some).map_err(|_| ()),
            None => Ok(None),
        };
        self.landed(first.serial, first.mark, tally);
    }

    fn landed(&mut self, serial: Serial, mark: Option<Mark>, tally: Result<Option<Tally>, ()>) {
        let Some(watch) = &mut self.watch else { return };
        match tally {
            Ok(tally) => watch.counted(serial, mark, tally.as_ref()),
            // They were taken and nobody will count them: they are to be read again after a restart.
            Err(()) => watch.books.edit(serial, |entry| entry.is_broken = true),
        }
    }

    /// Stores the checkpoint, if there is something new.
    async fn store(&mut self) {
        let Some(path) = self.path.clone() else { return };
        self.stored = Some(Instant::now());
        let what = path.display().to_string();
        let stored = self
            .at_files(move |watch| {
                if !watch.books.is_dirty {
                    return Ok(());
                }
                let stored = checkpoint::store(&path, &watch.books.to_json(now()));
                watch.books.is_dirty = stored.is_err();
                stored
            })
            .await;
        match stored {
            Ok(()) => self.metrics.relief(Reason::Checkpoint, &what),
            Err(error) => self.metrics.trouble(Reason::Checkpoint, &what, &error),
        }
    }

    /// Does something that may block.
    async fn at_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Watch) -> T + Send + 'static,
    ) -> T {
        let mut watch = self.watch.take();
        let done = tokio::task::spawn_blocking(move || {
            let result = watch.as_mut().map(work);
            (watch, result)
        })
        .await;
        match done {
            Ok((watch, Some(result))) => {
                self.watch = watch;
                result
            }
            Ok((_, None)) => unreachable!("the watch is given back before it is lent again"),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down; so is this task, which waits for ever until then.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
