//! What the service keeps across restarts: its journal, and the secret that everything kept depends on.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::{JournalConfig, PseudonymConfig};
use crate::event::Timestamp;
use crate::journal::{Gap, Journal, Key, KeyError, OpenError, Opened, Writer};
use crate::matching::observation::Secret;
use crate::pseudonym::{self, DedupeKey, Pseudonyms};

/// The name of the file that everything is kept in.
const FILE: &str = "watchbell.db";

/// The name of the file with the secret.
const KEY_FILE: &str = "key";

/// The variable that may hold the secret instead of a file: 64 hexadecimal digits.
const KEY_VARIABLE: &str = "WATCHBELL_KEY";

/// A shorter time without the service is none that anybody was not watched in: its start takes as long.
const SHORTEST_GAP: Duration = Duration::from_secs(2);

/// A state directory that is this process's own.
pub(super) struct Kept {
    /// The secret.
    pub key: Key,
    /// The journal, before it is written to.
    pub opened: Opened,
    /// Held while this process uses the directory.
    pub lock: File,
}

impl Kept {
    /// The secret of the hashes that windows are kept under.
    pub fn window_secret(&self) -> Secret {
        let mut secret = Secret::default();
        secret.copy_from_slice(&self.key.derive("watchbell windows")[..size_of::<Secret>()]);
        secret
    }
}

/// Takes a state directory for this process and opens what is in it.
pub(super) fn open(directory: &Path, config: &JournalConfig) -> anyhow::Result<Kept> {
    let lock = lock(directory)?;
    let key = match key_of_environment() {
        Some(key) => key?,
        None => Key::load_or_create(&key_path(directory, config))?,
    };
    let path = directory.join(FILE);
    let opened = Journal::open(&path, &key, config.limits())
        .with_context(|| format!("cannot open the journal {}", path.display()))?;
    let found = &opened.found;
    for unreadable in &found.unreadable {
        tracing::error!(%unreadable, "a block of the journal is lost");
    }
    if found.missing_blocks > 0 || found.unreadable_blocks > 0 {
        tracing::error!(
            missing = found.missing_blocks,
            unreadable = found.unreadable_blocks,
            "the journal has lost blocks; what was in them is not counted again"
        );
    }
    Ok(Kept { key, opened, lock })
}

/// Opens the journal of a state directory for reading, beside a service that uses the directory or without one.
pub fn read_only(directory: &Path, config: &JournalConfig) -> anyhow::Result<Journal> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Err(OpenError::Missing(path).into());
    }
    let key_path = key_path(directory, config);
    let (key, origin) = match key_of_environment() {
        Some(key) => (key?, KEY_VARIABLE.to_owned()),
        None => match Key::load(&key_path)? {
            Some(key) => (key, key_path.display().to_string()),
            None => bail!(
                "there is no key for {}: it is looked for in the variable {KEY_VARIABLE}, which is not set, and in the \
                 file {}, which is not there",
                path.display(),
                key_path.display()
            ),
        },
    };
    Journal::read_only(&path, &key)
        .with_context(|| format!("cannot read {} with the key of {origin}", path.display()))
}

fn key_of_environment() -> Option<Result<Key, KeyError>> {
    let text = std::env::var(KEY_VARIABLE).ok()?;
    Some(Key::from_text(&text, KEY_VARIABLE))
}

fn key_path(directory: &Path, config: &JournalConfig) -> PathBuf {
    config.key_file.clone().unwrap_or_else(|| directory.join(KEY_FILE))
}

/// Writes down that nobody watched the sources between the last sign of life of an earlier run and now.
pub(super) fn note_gap<'s>(
    writer: &Writer,
    sources: impl Iterator<Item = &'s str>,
    last_alive: Option<Timestamp>,
    now: Timestamp,
) {
    let Some(from) = last_alive.filter(|at| at.after(SHORTEST_GAP) < now) else { return };
    tracing::warn!(%from, to = %now, "nothing was watched in this time: the service was not running");
    for source in sources {
        let gap = Gap { source: source.to_owned(), from, to: now, reason: "stopped".to_owned() };
        if let Err(refused) = writer.gap(gap) {
            tracing::warn!(source, %refused, "a time that was not watched cannot be noted");
        }
    }
}

/// What stands in for people, and by what it is known that something comes again.
pub(super) fn pseudonyms(key: &Key, config: PseudonymConfig) -> anyhow::Result<(Pseudonyms, DedupeKey)> {
    let of = |generation: u32| {
        let id = char::from_digit(generation % 36, 36).unwrap_or('0');
        pseudonym::Key::new(id, &key.derive(&format!("watchbell pseudonyms {generation}")))
    };
    let older = (1..config.generation).rev().map(of).collect::<Result<_, _>>()?;
    let pseudonyms = Pseudonyms::with_older(of(config.generation)?, older)?;
    Ok((pseudonyms, DedupeKey::new(&key.derive("watchbell deliveries"))))
}

/// Keeps others from the state directory: two that write the same journal would undo one another's work.
fn lock(directory: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "state_directory {} is in use by another watchbell: stop it, or name another directory",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
