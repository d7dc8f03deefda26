//! The one secret that everything kept on disk depends on, and the keys made of it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Longest file that is looked at: hexadecimal digits and some blanks around them.
const MAX_FILE_BYTES: u64 = 256;

/// A secret of 32 bytes, written as 64 hexadecimal digits.
///
/// It encrypts nothing itself: each use has a key of its own, see [`Self::derive`]. Whoever loses it loses everything that
/// was written with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot read or write the key file {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Others than the owner can read or write the file.
    #[error("the key file {0} has mode {1:03o}: others must not read it; chmod 600 it")]
    Open(PathBuf, u32),
    /// It is not a key.
    #[error("the key of {origin} is no key: {fault}")]
    Malformed {
        /// The file or variable.
        origin: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Key {
    /// Reads the file, or makes it with a new random key when there is none. It is there as a whole or not at all, on stable
    /// storage, and its owner alone can read it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let io = |error| KeyError::Io(path.to_owned(), error);
        let key = Self(super::sealing::random().ok_or_else(|| io(io::Error::other("no randomness")))?);
        match create(path, &key) {
            Ok(()) => Ok(key),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)?.ok_or_else(|| io(io::ErrorKind::NotFound.into()))
            }
            Err(error) => Err(io(error)),
        }
    }

    /// Reads the file; `None` when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        let io = |error| KeyError::Io(path.to_owned(), error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io)?,
        };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned(), mode));
        }
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(io)?;
        Self::from_bytes(&text, &path.display().to_string()).map(Some)
    }

    /// Reads what an environment variable holds; `origin` is its name, for the error.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, KeyError> {
        Self::from_bytes(text.as_bytes(), origin)
    }

    /// Raw bytes, or digits and blanks around them.
    fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self, KeyError> {
        let malformed = |fault| KeyError::Malformed { origin: origin.to_owned(), fault };
        let digits = bytes.trim_ascii();
        let key = match <[u8; KEY_BYTES]>::try_from(bytes) {
            Ok(key) => key,
            Err(_) if digits.len() == 2 * KEY_BYTES => *blake3::Hash::from_hex(digits)
                .map_err(|_| malformed("a digit is not hexadecimal"))?
                .as_bytes(),
            Err(_) => return Err(malformed("expected 32 bytes, or 64 hexadecimal digits")),
        };
        if key.iter().all(|byte| *byte == key[0]) {
            return Err(malformed("all its bytes are the same"));
        }
        Ok(Self(key))
    }

    /// The key for one use: nothing can be said of the others by who knows it. The same for the same use, always.
    pub fn derive(&self, usage: &str) -> [u8; KEY_BYTES] {
        blake3::derive_key(&format!("watchbell 2026-11 {usage}"), &self.0)
    }

    /// Tells this key from others, and nothing else of it.
    pub fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.derive("key id")[..8]);
        id
    }
}

/// The secret itself is not for logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&"..").finish()
    }
}

fn create(path: &Path, key: &Key) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // A name that was never used: what a crash has left there is in nobody's way.
    let chance =
        u64::from_le_bytes(super::sealing::random().ok_or_else(|| io::Error::other("no randomness"))?);
    let temporary = directory.join(format!("{}.{chance:016x}.tmp", name.to_string_lossy()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{}", blake3::Hash::from_bytes(key.0).to_hex())?;
        file.sync_all()?;
        // Unlike a rename, a link replaces nothing.
        std::fs::hard_link(&temporary, path)
    })();
    let removed = std::fs::remove_file(&temporary);
    written.and(removed)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, content: &[u8], mode: u32) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = Key::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::load_or_create(&path).unwrap(), key);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_ne!(Key::load_or_create(&directory.path().join("other")).unwrap(), key);
        assert_eq!(format!("{key:?}"), "Key(\"..\")");
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let good = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        for (content, mode, expected) in [
            (good.as_bytes(), 0o640, "mode 640"),
            (good.as_bytes(), 0o604, "chmod 600"),
            (b"", 0o600, "expected 32 bytes"),
            (&good.as_bytes()[1..], 0o600, "expected 32 bytes"),
            ([good, "00"].concat().as_bytes(), 0o600, "expected 32 bytes"),
            (&[0x41; 5000], 0o600, "expected 32 bytes"),
            (&[0; 32], 0o600, "all its bytes are the same"),
            (&[b'a'; 64], 0o600, "all its bytes are the same"),
            (good.replace('b', "g").as_bytes(), 0o600, "not hexadecimal"),
        ] {
            write(&path, content, mode);
            let error = Key::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        write(&path, format!("{good}\n").as_bytes(), 0o400);
        assert_eq!(Key::load(&path).unwrap().unwrap(), Key::from_text(good, "WATCHBELL_KEY").unwrap());
    }

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let key = Key([7; 32]);
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_ne!(key.derive("a"), Key([8; 32]).derive("a"));
        assert_ne!(key.id(), Key([8; 32]).id());
    }
}
