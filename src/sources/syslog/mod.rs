//! Log lines that arrive in syslog messages, over UDP or TCP.
//!
//! A message carries one line of a log, in its own format. Each program that sends, by its tag or `APP-NAME`, is a
//! log of its own. UDP waits for nobody: what finds the queue full is dropped and counted. TCP waits, and so does the
//! sender.

mod allow;
mod desk;
mod framing;
mod kernel;
mod message;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, watch};

pub use self::allow::Allowed;
use self::desk::Desk;
use super::StartError;
use super::metrics::{Reason, SourceMetrics};
use super::text;
use crate::decode::{self, Format};
use crate::intake::{Inlet, Lines, now};

/// A listener for syslog.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, such as `127.0.0.1:5514`.
    pub listen: SocketAddr,
    /// How messages come.
    pub transport: Transport,
    /// Networks that may send. Needed unless only this machine can; all others are refused, and counted.
    #[serde(default)]
    pub allow: Allowed,
    /// Whose events these are.
    #[serde(default)]
    pub tenant: Arc<str>,
    /// How the lines are written; found by itself, for each program, unless given.
    #[serde(default, deserialize_with = "super::format_by_name")]
    pub format: Option<Format>,
}

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A message a datagram.
    Udp,
    /// Messages with their length before them, or one a line.
    Tcp,
}

/// What the tasks of a listener share.
struct Shared {
    desk: Mutex<Desk>,
    inlet: Inlet,
    metrics: Arc<SourceMetrics>,
    allowed: Allowed,
    /// Woken when lines wait at the desk, for somebody to come back for them.
    held: Notify,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sorts messages in, which took this many bytes, and gives what can be sent on.
    fn sort<'a>(&self, messages: impl Iterator<Item = &'a [u8]>, bytes: usize, is_over: bool) -> Vec<Lines> {
        let received = now();
        let mut lines = 0;
        let taken = {
            let mut desk = self.desk();
            for message in messages {
                let text = String::from_utf8_lossy(message);
                let message = message::read(&text);
                if decode::is_blank(message.text) {
                    continue;
                }
                lines += 1;
                if !desk.put(message) {
                    self.metrics.trouble(Reason::TooLong, "", &"a message is longer than 64 KiB");
                }
            }
            let taken = desk.take(Instant::now(), received, is_over);
            if desk.is_holding() {
                self.held.notify_one();
            }
            taken
        };
        self.metrics.read(lines, bytes as u64, received);
        taken
    }

    /// Pushes, and waits until there is room; an error when nobody takes anything any more.
    async fn push(&self, taken: Vec<Lines>) -> Result<(), ()> {
        for lines in taken {
            self.inlet.push(lines).await.map_err(|_| ())?;
        }
        Ok(())
    }

    /// Offers, and drops what there is no room for.
    fn offer(&self, taken: Vec<Lines>) {
        for lines in taken {
            let count = text::lines(&lines.text);
            if self.inlet.offer(lines).is_err() {
                self.metrics.dropped.inc_by(count);
            }
        }
    }
}

/// Binds, and gives the address and what there is to run.
pub(super) async fn start(
    name: &str,
    config: &Config,
    inlet: Inlet,
    metrics: Arc<SourceMetrics>,
    stop: watch::Receiver<bool>,
) -> Result<(SocketAddr, Pin<Box<dyn Future<Output = ()> + Send>>), StartError> {
    let listen = config.listen;
    if !listen.ip().to_canonical().is_loopback() && config.allow.is_empty() {
        return Err(StartError::Open(listen));
    }
    let shared = Shared {
        desk: Mutex::new(Desk::new(name, &config.tenant, config.format.as_ref())),
        inlet,
        metrics,
        allowed: config.allow.clone(),
        held: Notify::new(),
    };
    let shared = Arc::new(shared);
    Ok(match config.transport {
        Transport::Udp => {
            let error = |error| StartError::Bind { address: listen, transport: "udp", error };
            let socket = UdpSocket::bind(listen).await.map_err(error)?;
            (socket.local_addr().map_err(error)?, Box::pin(udp::run(socket, shared, stop)))
        }
        Transport::Tcp => {
            let error = |error| StartError::Bind { address: listen, transport: "tcp", error };
            let listener = TcpListener::bind(listen).await.map_err(error)?;
            (listener.local_addr().map_err(error)?, Box::pin(tcp::run(listener, shared, stop)))
        }
    })
}
