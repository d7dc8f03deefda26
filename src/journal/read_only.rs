//! Looking into a file that is another process's, or nobody's: nothing is made, changed or kept from its writer.
//!
//! SQLite would make the files beside it that it shares with a writer. So where they are not there the file is read as one
//! that does not change, and where they are, without writing to them.

use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::sealing::Sealer;
use super::{Journal, Key, OpenError, open, schema};

/// How a file can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has it open, and all that was written is in it.
    Still,
    /// A service writes it, or one did and was killed.
    Shared,
}

impl State {
    /// Tells by the files beside it.
    pub fn of(path: &Path) -> Result<Self, OpenError> {
        let length = |path: &Path| match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::Unreadable(path.to_owned(), error)),
        };
        if length(path)?.is_none_or(|length| length == 0) {
            return Err(OpenError::Missing(path.to_owned()));
        }
        match (length(&beside(path, "-wal"))?, length(&beside(path, "-shm"))?) {
            (Some(_), Some(_)) => Ok(Self::Shared),
            (None | Some(0), _) => Ok(Self::Still),
            (Some(_), None) => Err(OpenError::Apart(beside(path, "-wal"), beside(path, "-shm"))),
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Journal {
    /// Opens a file that is there for reading, beside a service that writes it or without one. Nothing is made or changed,
    /// a service may start and end meanwhile, and the writer waits for nothing. A file of an earlier version is refused,
    /// since it is not brought to this one.
    pub fn read_only(path: &Path, key: &Key) -> Result<Self, OpenError> {
        let journal = Self::new(path, Sealer::new(key)).only_read();
        let connection = journal.connect()?;
        schema::check(&connection)?;
        match open::stored_key(&connection)? {
            Some(stored) if stored == key.id() => Ok(journal),
            _ => Err(OpenError::OtherKey),
        }
    }
}

/// A connection that touches nothing.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let parameter = match State::of(path)? {
        State::Still => "immutable=1",
        State::Shared => "readonly_shm=1",
    };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(uri(path, parameter), flags)?)
}

/// The path as SQLite takes parameters with it.
fn uri(path: &Path, parameter: &str) -> String {
    let mut uri = "file:".to_owned();
    // Two slashes at the beginning would name a host.
    if path.is_absolute() {
        uri.push_str("//");
    }
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push('?');
    uri.push_str(parameter);
    uri
}
