//! What the engine's thread takes in: lines from the sources themselves, or blocks from the journal.

use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};

use crate::intake::{Lines, Outlet};
use crate::journal::Block;

/// Blocks that wait for the engine: of a mebibyte at most each, about. When there are as many, the journal waits, and then
/// the sources.
const MAX_BLOCKS: usize = 16;

/// Where lines come from.
pub enum Input {
    /// From the sources. Nothing of it is kept.
    Sources(Outlet),
    /// Out of the journal.
    Journal(Blocks),
}

/// Lines that were taken in.
pub struct Taken {
    /// The lines.
    pub lines: Vec<Lines>,
    /// With them all blocks up to this one have been taken in.
    pub complete: Option<u64>,
    /// Whether nothing has been taken of the block after that.
    pub is_whole: bool,
}

impl Input {
    /// Takes what there is, up to about so many bytes, and where whole blocks are wanted up to the end of one; `None` when
    /// nothing more will come.
    pub fn take(&mut self, max_bytes: usize, is_whole_wanted: bool) -> Option<Taken> {
        match self {
            Self::Sources(outlet) => {
                outlet.take(max_bytes).map(|lines| Taken { lines, complete: None, is_whole: false })
            }
            Self::Journal(blocks) => blocks.take(max_bytes, is_whole_wanted),
        }
    }

    /// Waits until there may be something.
    pub async fn wait(&self) {
        match self {
            Self::Sources(outlet) => outlet.wait().await,
            Self::Journal(blocks) => blocks.wake.notified().await,
        }
    }

    /// What [`Self::wait`] waits for; others may use it to have the engine look up.
    pub fn wake(&self) -> Arc<Notify> {
        match self {
            Self::Sources(outlet) => outlet.wake(),
            Self::Journal(blocks) => Arc::clone(&blocks.wake),
        }
    }

    /// Takes no more from sources. The journal ends when nothing more is put into it.
    pub fn close(&mut self) {
        if let Self::Sources(outlet) = self {
            outlet.close();
        }
    }
}

/// Blocks on their way from the journal.
pub struct Blocks {
    queue: mpsc::Receiver<Block>,
    wake: Arc<Notify>,
    /// Whether a part of a block has been taken and its end has not.
    is_open: bool,
}

/// Wakes the engine when the journal lets go, so that it sees the end.
struct Wake(Arc<Notify>);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A way for blocks, and what puts them on it: for [`crate::journal::Opened::start`].
pub fn blocks() -> (impl FnMut(Block) + Send + 'static, Blocks) {
    let (sender, queue) = mpsc::channel(MAX_BLOCKS);
    let wake = Arc::new(Notify::new());
    // In this order, so that whoever is woken sees that the queue is closed.
    let way = (sender, Wake(Arc::clone(&wake)));
    let hand_on = move |block| {
        // An error means that the engine has ended.
        let _ = way.0.blocking_send(block);
        way.1.0.notify_one();
    };
    (hand_on, Blocks { queue, wake, is_open: false })
}

impl Blocks {
    fn take(&mut self, max_bytes: usize, is_whole_wanted: bool) -> Option<Taken> {
        let mut taken = self.take_some(max_bytes, is_whole_wanted)?;
        taken.is_whole = !self.is_open;
        Some(taken)
    }

    fn take_some(&mut self, max_bytes: usize, is_whole_wanted: bool) -> Option<Taken> {
        let mut taken = Taken { lines: Vec::new(), complete: None, is_whole: false };
        let mut bytes = 0;
        while bytes < max_bytes {
            match self.queue.try_recv() {
                Ok(Block { number, is_complete, lines }) => {
                    bytes += lines.iter().map(|lines| lines.text.len()).sum::<usize>();
                    taken.lines.extend(lines);
                    self.is_open = !is_complete;
                    if is_complete {
                        taken.complete = Some(number);
                        if is_whole_wanted {
                            break;
                        }
                    }
                }
                Err(TryRecvError::Empty) => return Some(taken),
                Err(TryRecvError::Disconnected) if taken.lines.is_empty() && taken.complete.is_none() => {
                    return None;
                }
                Err(TryRecvError::Disconnected) => {
                    // It is to be seen again.
                    self.wake.notify_one();
                    return Some(taken);
                }
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Format;
    use crate::event::Timestamp;
    use crate::intake::Stream;

    #[tokio::test]
    async fn a_block_is_complete_when_its_end_was_taken_and_the_end_is_seen() {
        let (mut hand_on, mut blocks) = blocks();
        let lines = |text: &str| Lines {
            stream: Arc::new(Stream { source: "a".into(), tenant: "".into(), name: "a".into() }),
            text: text.to_owned(),
            format: Format::Json,
            received: Timestamp::default(),
            counted: None,
            offset: None,
        };
        let block = |number, is_complete, lines| Block { number, is_complete, lines };
        tokio::task::spawn_blocking(move || {
            hand_on(block(1, true, vec![lines("{}\n")]));
            hand_on(block(2, false, vec![lines("{}\n"), lines("{}\n")]));
            hand_on(block(2, true, Vec::new()));
        })
        .await
        .unwrap();
        let first = blocks.take(1, false).unwrap();
        assert_eq!((first.lines.len(), first.complete, first.is_whole), (1, Some(1), true));
        let part = blocks.take(1, true).unwrap();
        assert_eq!((part.lines.len(), part.complete, part.is_whole), (2, None, false));
        let rest = blocks.take(100, true).unwrap();
        assert_eq!((rest.lines.len(), rest.complete, rest.is_whole), (0, Some(2), true));
        let input = Input::Journal(blocks);
        input.wait().await;
        let Input::Journal(mut blocks) = input else { unreachable!() };
        assert!(blocks.take(100, false).is_none());
    }
}
