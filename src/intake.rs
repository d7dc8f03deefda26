//! The bounded way from sources to the engine.
//!
//! Every source has a queue of its own, from which the engine takes in turns: one that talks without end makes nobody
//! else wait for more than its share, and when its queue is full only it waits, or sheds. Closing the tap is dropping
//! the [`Inlet`]s: what is queued is still taken, then the [`Outlet`] says that nothing more will come.

use std::sync::Arc;

use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::decode::{Format, Tally};
use crate::event::Timestamp;

/// Pieces of a log that wait in a source's queue. Sources send at most [`MAX_TEXT_BYTES`] at a time: 4 MiB in all.
const QUEUE_LENGTH: usize = 64;

/// Most bytes of whole lines that a source sends at a time.
pub const MAX_TEXT_BYTES: usize = 64 << 10;

/// The time, for what arrives now.
#[expect(clippy::disallowed_methods, reason = "here lines arrive: what comes after is told the time")]
pub fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// One log of a source: a file, a connection. Each has its own clock.
#[derive(Debug, PartialEq, Eq)]
pub struct Stream {
    /// The name of the source in the configuration.
    pub source: Arc<str>,
    /// Whose events these are; empty for the only tenant.
    pub tenant: Arc<str>,
    /// What the log is called in evidence: the path of a file, or the source again.
    pub name: Arc<str>,
}

/// How far a log was read, for its source to go on from after a restart. What keeps lines keeps it with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The name of the log.
    pub log: String,
    /// What its source wants to know. It may be kept in the clear.
    pub state: Vec<u8>,
}

/// Whole lines of a log, as they arrived.
#[derive(Debug)]
pub struct Lines {
    /// The log.
    pub stream: Arc<Stream>,
    /// The lines; at most [`MAX_TEXT_BYTES`], each ended by a line feed.
    pub text: String,
    /// How they are written.
    pub format: Format,
    /// When they arrived.
    pub received: Timestamp,
    /// Told what became of the lines when they have been counted; `None` when nobody asks.
    pub counted: Option<oneshot::Sender<Tally>>,
    /// How far the log has been read with these lines, where its source wants to know that again.
    pub offset: Option<Offset>,
}

/// Why lines were not taken; they are given back.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("the queue of the source is full")]
    Full(Box<Lines>),
    /// The engine is gone.
    #[error("the service is stopping")]
    Stopping(Box<Lines>),
}

/// Where a source puts its lines. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Inlet {
    queue: mpsc::Sender<Lines>,
    /// Dropped after `queue`, so that whoever is woken sees that it is closed.
    wake: Wake,
}

/// Wakes the engine, at the end too.
#[derive(Clone, Debug)]
struct Wake(Arc<Notify>);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Inlet {
    /// Waits until there is room.
    pub async fn push(&self, lines: Lines) -> Result<(), Refused> {
        let sent = self.queue.send(lines).await;
        self.wake.0.notify_one();
        sent.map_err(|error| Refused::Stopping(Box::new(error.0)))
    }

    /// Refuses when there is no room.
    pub fn offer(&self, lines: Lines) -> Result<(), Refused> {
        let sent = self.queue.try_send(lines);
        self.wake.0.notify_one();
        sent.map_err(|error| match error {
            TrySendError::Full(lines) => Refused::Full(Box::new(lines)),
            TrySendError::Closed(lines) => Refused::Stopping(Box::new(lines)),
        })
    }
}

/// Where the engine takes lines from.
#[derive(Debug, Default)]
pub struct Outlet {
    queues: Vec<mpsc::Receiver<Lines>>,
    wake: Arc<Notify>,
    /// The queue whose turn it is.
    next: usize,
}

impl Outlet {
    /// Adds a queue.
    pub fn add_inlet(&mut self) -> Inlet {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        self.queues.push(receiver);
        Inlet { queue: sender, wake: Wake(Arc::clone(&self.wake)) }
    }

    /// What [`Self::wait`] waits for; others may use it to have the engine look up.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Waits until something may have come, or have closed.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Takes no more lines: sources are refused, and what is queued is still taken.
    pub fn close(&mut self) {
        self.queues.iter_mut().for_each(mpsc::Receiver::close);
    }

    /// Takes what is queued, a piece from each queue in turns, up to about this many bytes; `None` when nothing more will
    /// come.
    pub fn take(&mut self, max_bytes: usize) -> Option<Vec<Lines>> {
        let mut taken = Vec::new();
        let (mut bytes, mut vain) = (0, 0);
        while bytes < max_bytes && vain < self.queues.len() {
            let place = self.next % self.queues.len();
            self.next = place + 1;
            match self.queues[place].try_recv() {
                Ok(lines) => {
                    vain = 0;
                    bytes += lines.text.len();
                    taken.push(lines);
                }
                Err(TryRecvError::Empty) => vain += 1,
                Err(TryRecvError::Disconnected) => {
                    self.queues.remove(place);
                    self.next = place;
                    // Its last words may have been taken just now: whoever waits after that must look again.
                    self.wake.notify_one();
                }
            }
        }
        (!taken.is_empty() || !self.queues.is_empty()).then_some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str, text: &str) -> Lines {
        let stream = Arc::new(Stream { source: source.into(), tenant: "".into(), name: source.into() });
        let received = Timestamp::from_seconds(0);
        Lines {
            stream,
            text: text.to_owned(),
            format: Format::Combined,
            received,
            counted: None,
            offset: None,
        }
    }

    #[test]
    fn sources_take_turns_and_a_full_queue_is_its_own_problem() {
        let mut outlet = Outlet::default();
        let (loud, quiet) = (outlet.add_inlet(), outlet.add_inlet());
        let refused = (0..1000).filter(|_| loud.offer(lines("loud", "x\n")).is_err()).count();
        assert_eq!(refused, 1000 - QUEUE_LENGTH);
        assert!(quiet.offer(lines("quiet", "y\n")).is_ok());
        let taken = outlet.take(6).unwrap_or_default();
        let sources: Vec<&str> = taken.iter().map(|lines| &*lines.stream.source).collect();
        assert_eq!(sources, ["loud", "quiet", "loud"]);
    }

    #[tokio::test]
    async fn whoever_waits_after_the_last_words_is_woken() {
        let mut outlet = Outlet::default();
        let inlet = outlet.add_inlet();
        assert!(inlet.offer(lines("a", "x\n")).is_ok());
        drop(inlet);
        outlet.wait().await;
        assert_eq!(outlet.take(100).map(|taken| taken.len()), Some(1));
        outlet.wait().await;
        assert!(outlet.take(100).is_none());
    }

    #[test]
    fn what_is_queued_is_taken_after_the_tap_is_closed() {
        let mut outlet = Outlet::default();
        let inlet = outlet.add_inlet();
        assert_eq!(outlet.take(100).map(|taken| taken.len()), Some(0));
        assert!(inlet.offer(lines("a", "x\n")).is_ok());
        drop(inlet);
        assert_eq!(outlet.take(100).map(|taken| taken.len()), Some(1));
        assert!(outlet.take(100).is_none());
    }
}
