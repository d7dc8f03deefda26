//! The way to the writer's thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::counts::{self, Counters};
use super::queue::{Queue, Stage};
use super::worker::Worker;
use super::{Block, Change, Changes, Counts, DeadLetter, Gap, Record, Refused};

/// Puts things in the journal. Clones write the same one; the thread ends when the last is gone and all is stored.
#[derive(Clone)]
pub struct Writer(Arc<Tap>);

struct Tap {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.queue.close(Stage::Ended);
    }
}

/// The thread.
pub struct Running(JoinHandle<()>);

impl Running {
    /// Waits until everything is stored, or has failed for good. The error is a panic of the thread.
    pub fn join(self) -> std::thread::Result<()> {
        self.0.join()
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Lets go of whatever waits when the thread is gone, after a panic too.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

pub(super) fn start(
    worker: Worker,
    on_block: impl FnMut(Block) + Send + 'static,
) -> std::io::Result<(Writer, Running)> {
    let counters = worker.counters();
    let queue = Arc::new(Queue::new(*worker.limits(), Arc::clone(&counters)));
    let abandon = Abandon(Arc::clone(&queue));
    let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let Abandon(queue) = &abandon;
        worker.run(queue, on_block);
    })?;
    Ok((Writer(Arc::new(Tap { queue, counters })), Running(thread)))
}

impl Writer {
    /// Adds a record; refuses when there is no room.
    pub fn append(&self, record: Record) -> Result<(), Refused<Record>> {
        let appended = self.0.queue.append(record);
        if matches!(appended, Err(Refused::Full(_))) {
            counts::add(&self.0.counters.refused, 1);
        }
        appended
    }

    /// Adds a record when there is room for it.
    pub async fn append_when_room(&self, mut record: Record) -> Result<(), Refused<Record>> {
        loop {
            let room = self.0.queue.room.notified();
            tokio::pin!(room);
            // Room that is made between the attempt and the waiting is not missed.
            room.as_mut().enable();
            match self.0.queue.append(record) {
                Err(Refused::Full(refused)) => record = *refused,
                appended => return appended,
            }
            room.await;
        }
    }

    /// Stores alerts and how far was counted, after all blocks that were handed on before.
    pub fn save(&self, changes: Changes) -> Result<(), Refused<Change>> {
        self.0.queue.change(Change::Save(changes))
    }

    /// Notes a time in which a source was not watched.
    pub fn gap(&self, gap: Gap) -> Result<(), Refused<Change>> {
        self.0.queue.change(Change::Gap(gap))
    }

    /// Keeps something that could not be understood.
    pub fn dead_letter(&self, letter: DeadLetter) -> Result<(), Refused<Change>> {
        self.0.queue.change(Change::DeadLetter(letter))
    }

    /// Takes no more records. What is queued is stored and handed on, then whoever it is handed to is let go, and changes are
    /// taken until all writers are gone.
    pub fn close(&self) {
        self.0.queue.close(Stage::NoRecords);
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }
}
