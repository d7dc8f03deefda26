//! Datagrams: as many as are there are sorted together, and none is waited for.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::{Shared, kernel};
use crate::sources::format::PATIENCE;
use crate::sources::metrics::Reason;
use crate::sources::stopped;

/// Longest datagram that there is.
const MAX_DATAGRAM_BYTES: usize = 64 << 10;

/// Bytes and datagrams that are sorted together, at most.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_DATAGRAMS: usize = 1024;

/// How often it is looked up what the kernel has lost.
const LOSSES_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait when receiving fails.
const RETRY: Duration = Duration::from_millis(100);

pub(super) async fn run(socket: UdpSocket, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut batch = Batch::default();
    let mut losses = Losses { address: socket.local_addr().ok(), ..Losses::default() };
    loop {
        let patience = if shared.desk().is_holding() { PATIENCE } else { losses.patience() };
        let is_over = tokio::select! {
            () = stopped(&mut stop) => true,
            ready = socket.readable() => {
                if let Err(error) = ready {
                    shared.metrics.trouble(Reason::Receive, "", &error);
                    tokio::time::sleep(RETRY).await;
                }
                false
            }
            () = tokio::time::sleep(patience) => false,
        };
        // At the end, too: what has arrived was sent before anybody could know.
        batch.receive(&socket, &shared);
        shared.offer(shared.sort(batch.datagrams(), batch.bytes.len(), is_over));
        losses.is_due |= !batch.ends.is_empty();
        losses.count(&shared, is_over);
        if is_over {
            break;
        }
    }
}

/// What the kernel has lost, looked up once in a while and only when something has arrived.
#[derive(Default)]
struct Losses {
    address: Option<SocketAddr>,
    counted: u64,
    is_due: bool,
    looked_up: Option<Instant>,
}

impl Losses {
    fn patience(&self) -> Duration {
        if self.is_due { LOSSES_PAUSE } else { Duration::MAX }
    }

    fn count(&mut self, shared: &Shared, is_over: bool) {
        let is_early = self.looked_up.is_some_and(|at| at.elapsed() < LOSSES_PAUSE);
        if !self.is_due || (is_early && !is_over) {
            return;
        }
        (self.is_due, self.looked_up) = (false, Some(Instant::now()));
        if let Some(lost) = self.address.and_then(kernel::drops) {
            shared.metrics.dropped.inc_by(lost.saturating_sub(self.counted));
            self.counted = lost;
        }
    }
}

/// Datagrams, one behind the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Receives what is there.
    fn receive(&mut self, socket: &UdpSocket, shared: &Shared) {
        self.bytes.clear();
        self.ends.clear();
        while self.bytes.len() < BATCH_BYTES && self.ends.len() < BATCH_DATAGRAMS {
            let start = self.bytes.len();
            self.bytes.resize(start + MAX_DATAGRAM_BYTES, 0);
            let received = socket.try_recv_from(&mut self.bytes[start..]);
            let length = received.as_ref().map_or(0, |(length, _)| *length);
            self.bytes.truncate(start + length);
            match received {
                Ok((_, peer)) if !shared.allowed.has(peer.ip()) => {
                    self.bytes.truncate(start);
                    let words = "not in one of the networks that may send";
                    shared.metrics.peer_trouble(Reason::NotAllowed, peer, &words);
                }
                Ok(_) => self.ends.push(self.bytes.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.ends.is_empty() {
                        shared.metrics.relief(Reason::Receive, "");
                    }
                    return;
                }
                Err(error) => {
                    shared.metrics.trouble(Reason::Receive, "", &error);
                    return;
                }
            }
        }
    }

    fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}
