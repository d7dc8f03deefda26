//! Connections, each read no faster than its lines are taken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::Shared;
use super::framing::{Frame, Framer};
use crate::sources::format::PATIENCE;
use crate::sources::metrics::Reason;
use crate::sources::stopped;

/// Connections at a time. Each may hold two messages of 64 KiB: 32 MiB in all.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may say nothing. Senders come back; half-open connections do not take room for ever.
const MAX_IDLE: Duration = Duration::from_secs(600);

/// Bytes read at a time.
const READ_BYTES: usize = 32 << 10;

/// How long to wait when accepting fails.
const RETRY: Duration = Duration::from_millis(100);

pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let patience = if shared.desk().is_holding() { PATIENCE } else { Duration::MAX };
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    shared.metrics.relief(Reason::Receive, "");
                    if let Some(place) = admit(peer, &shared, &room) {
                        connections.spawn(serve(stream, peer, Arc::clone(&shared), place, stop.clone()));
                    }
                }
                Err(error) => {
                    shared.metrics.trouble(Reason::Receive, "", &error);
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shared.held.notified() => continue,
            () = tokio::time::sleep(patience) => {}
        }
        // What waited long enough, whoever sent it. A full queue is no reason to stop accepting.
        let taken = shared.desk().take(Instant::now(), crate::intake::now(), false);
        if !taken.is_empty() {
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let _ = shared.push(taken).await;
            });
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    let rest = shared.sort(std::iter::empty(), 0, true);
    let _ = shared.push(rest).await;
}

/// Gives a place to those who may send, while there is one.
fn admit(peer: SocketAddr, shared: &Shared, room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if !shared.allowed.has(peer.ip()) {
        shared.metrics.peer_trouble(Reason::NotAllowed, peer, &"not in one of the networks that may send");
        return None;
    }
    let place = Arc::clone(room).try_acquire_owned().ok();
    if place.is_none() {
        let words = format!("more than {MAX_CONNECTIONS} connections: others are refused");
        shared.metrics.trouble(Reason::TooManyConnections, "", &words);
    } else {
        shared.metrics.relief(Reason::TooManyConnections, "");
    }
    place
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    shared.metrics.connections.inc();
    let mut framer = Framer::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = tokio::select! {
            () = stopped(&mut stop) => break,
            read = stream.read(&mut buffer) => match read {
                Ok(length) if length > 0 => length,
                // Closed, or broken off.
                _ => break,
            },
            () = tokio::time::sleep(MAX_IDLE) => {
                shared.metrics.count(Reason::Idle);
                break;
            }
        };
        let frames = framer.feed(&buffer[..length]);
        let is_lost = frames.last() == Some(&Frame::Malformed);
        let taken = shared.sort(messages(&frames, &shared, peer), length, false);
        if shared.push(taken).await.is_err() {
            break;
        }
        if is_lost {
            break;
        }
    }
    let rest: Vec<Frame> = framer.finish().into_iter().collect();
    let taken = shared.sort(messages(&rest, &shared, peer), 0, false);
    let _ = shared.push(taken).await;
    shared.metrics.connections.dec();
    drop(place);
}

fn messages<'a>(frames: &'a [Frame], shared: &'a Shared, peer: SocketAddr) -> impl Iterator<Item = &'a [u8]> {
    frames.iter().filter_map(move |frame| match frame {
        Frame::Message(bytes) => Some(bytes.as_slice()),
        Frame::Cut(bytes) => {
            shared.metrics.peer_trouble(Reason::TooLong, peer, &"a message is longer than 64 KiB");
            Some(bytes.as_slice())
        }
        Frame::BrokenOff(bytes) => {
            let words = "a connection ended within a message; what there is of it was read";
            shared.metrics.peer_trouble(Reason::BrokenOff, peer, &words);
            Some(bytes.as_slice())
        }
        Frame::Malformed => {
            let words = "a message is not as long as it was said to be: the connection is closed";
            shared.metrics.peer_trouble(Reason::Framing, peer, &words);
            None
        }
    })
}
