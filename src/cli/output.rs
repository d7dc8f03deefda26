//! What commands say, to whoever still listens.
//!
//! `head` closes the pipe when it has seen enough. That is no fault, must not end a command in a panic, and does not
//! change what it says at the end by its exit status.

use std::fmt::Display;
use std::io::{self, Write};

/// Tells a person something on standard error.
pub fn tell(message: impl Display) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "watchbell: {message}");
}

/// Writes to standard output; nothing is wrong when it was closed meanwhile.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    // What is left in the buffer would be written again when it is dropped.
    drop(out.into_parts());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
