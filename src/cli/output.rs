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

/// Whether the error is that whoever read our output has had enough.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Says a line on standard output, while something else goes on that does not end for want of a listener.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
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
