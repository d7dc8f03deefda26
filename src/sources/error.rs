//! Why a source cannot start, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a source cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name cannot be a label and a part of the name of a file.
    #[error("source name {0:?}: use letters, digits, `-`, `_` and `.`, at most 64")]
    Name(String),
    /// A source of files without files.
    #[error("no `paths`: name at least one file, such as \"/var/log/nginx/access.log\"")]
    NoPaths,
    /// Not a pattern.
    #[error("path {pattern:?}: {error}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        error: glob::PatternError,
    },
    /// Where checkpoints are to be cannot be written to.
    #[error("state directory {}: {error}; make it writable for the service", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({transport}): {error}; is another program listening there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the operating system says.
        error: io::Error,
    },
    /// Everybody could send.
    #[error(
        "{0} can be reached from other machines, and syslog has no passwords: say which networks may send, \
         such as allow = [\"10.0.0.0/8\"], or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
}
