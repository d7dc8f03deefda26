//! What waits for the writer's thread.
//!
//! Records that somebody waits for have a lane of their own, so that a file that is read as fast as it can be makes no
//! sender wait. Each lane has a bound in records and in bytes, and so have changes of alerts and the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::counts::{self, Counters};
use super::{Change, Limits, MAX_RECORD_BYTES, Record, Refused};

/// Most changes that wait, and bytes of them: some seconds of a storm of alerts.
const MAX_CHANGES: usize = 4096;
const MAX_CHANGE_BYTES: usize = 32 << 20;

/// What a record takes beside its texts.
const RECORD_BYTES: usize = 256;

/// What was taken out of the queue.
#[derive(Default)]
pub struct Taken {
    /// Records that nobody waits for, in order.
    pub flowing: Vec<Record>,
    /// Records that somebody waits for, in order.
    pub awaited: Vec<Record>,
    /// The rest, in order.
    pub changes: Vec<Change>,
    /// How far the end is, after all of this.
    pub stage: Stage,
    /// Whether the end has been asked for, although something may still be queued.
    pub is_closing: bool,
}

/// What is taken out of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// About as many bytes of records that nobody waits for.
    pub flowing_room: usize,
    /// About as many bytes of records that somebody waits for.
    pub awaited_room: usize,
    /// The rest.
    pub changes: bool,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// More may come.
    #[default]
    Open,
    /// No more records will come.
    NoRecords,
    /// Nothing more will come.
    Ended,
}

#[derive(Default)]
struct Lane {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Lane {
    fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        self.records.is_empty()
            || (self.records.len() < limits.queue_records && self.bytes + bytes <= limits.queue_bytes)
    }

    fn take(&mut self, mut room: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        while room > 0
            && let Some(record) = self.records.pop_front()
        {
            let bytes = bytes_of(&record);
            self.bytes -= bytes;
            room = room.saturating_sub(bytes);
            taken.push(record);
        }
        taken
    }
}

#[derive(Default)]
struct State {
    flowing: Lane,
    awaited: Lane,
    changes: VecDeque<Change>,
    change_bytes: usize,
    stage: Stage,
    /// Whether the writer waits: to wake it costs a system call, which is not made for nothing.
    is_waited_for: bool,
}

impl State {
    /// How far the end is for who takes: what is queued comes first.
    fn told(&self) -> Stage {
        let is_empty = self.flowing.records.is_empty() && self.awaited.records.is_empty();
        match self.stage {
            Stage::Ended if is_empty && self.changes.is_empty() => Stage::Ended,
            Stage::NoRecords | Stage::Ended if is_empty => Stage::NoRecords,
            _ => Stage::Open,
        }
    }
}

/// The queue.
pub struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// Told when records have been taken.
    pub room: Notify,
    limits: Limits,
    counters: Arc<Counters>,
}

fn bytes_of(record: &Record) -> usize {
    let offset = record.lines.offset.as_ref().map_or(0, |offset| offset.log.len() + offset.state.len());
    record.lines.text.len() + 8 * record.keys.len() + offset + RECORD_BYTES
}

impl Queue {
    /// Nothing waits.
    pub fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), room: Notify::new(), limits, counters }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record, or gives it back.
    pub fn append(&self, record: Record) -> Result<(), Refused<Record>> {
        let bytes = bytes_of(&record);
        if bytes > MAX_RECORD_BYTES {
            return Err(Refused::TooLarge(Box::new(record)));
        }
        let mut state = self.lock();
        if state.stage > Stage::Open {
            return Err(Refused::Stopping(Box::new(record)));
        }
        let lane = if record.stored.is_some() { &mut state.awaited } else { &mut state.flowing };
        if !lane.has_room(bytes, &self.limits) {
            return Err(Refused::Full(Box::new(record)));
        }
        lane.bytes += bytes;
        lane.records.push_back(record);
        self.follow(&state);
        self.wake(state);
        Ok(())
    }

    /// Adds something else.
    pub fn change(&self, change: Change) -> Result<(), Refused<Change>> {
        let bytes = change.bytes();
        if bytes > MAX_CHANGE_BYTES {
            return Err(Refused::TooLarge(Box::new(change)));
        }
        let mut state = self.lock();
        if state.stage == Stage::Ended {
            return Err(Refused::Stopping(Box::new(change)));
        }
        if state.changes.len() >= MAX_CHANGES || state.change_bytes + bytes > MAX_CHANGE_BYTES {
            drop(state);
            counts::add(&self.counters.refused_changes, 1);
            return Err(Refused::Full(Box::new(change)));
        }
        state.change_bytes += bytes;
        state.changes.push_back(change);
        self.wake(state);
        Ok(())
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let is_waited_for = std::mem::take(&mut state.is_waited_for);
        drop(state);
        if is_waited_for {
            self.ready.notify_one();
        }
    }

    fn follow(&self, state: &State) {
        let Lane { records, bytes } = &state.flowing;
        counts::set(&self.counters.queued_records, (records.len() + state.awaited.records.len()) as u64);
        counts::set(&self.counters.queued_bytes, (bytes + state.awaited.bytes) as u64);
    }

    /// Waits until there is something to do, the end is nearer than `known`, or it is `until`; then takes what waits and is
    /// wanted. What is not wanted wakes nobody.
    pub fn take(&self, until: Instant, known: Stage, wanted: Wanted) -> Taken {
        let Wanted { flowing_room, awaited_room, changes } = wanted;
        let mut state = self.lock();
        loop {
            let is_wanted = !state.awaited.records.is_empty()
                || (flowing_room > 0 && !state.flowing.records.is_empty())
                || (changes && !state.changes.is_empty());
            let rest = until.saturating_duration_since(Instant::now());
            if is_wanted || state.told() > known || rest.is_zero() {
                break;
            }
            state.is_waited_for = true;
            state = self.ready.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_waited_for = false;
        let mut taken = Taken {
            flowing: state.flowing.take(flowing_room),
            awaited: state.awaited.take(awaited_room),
            ..Taken::default()
        };
        if changes {
            taken.changes = state.changes.drain(..).collect();
            state.change_bytes = 0;
        }
        taken.stage = state.told();
        taken.is_closing = state.stage > Stage::Open;
        self.follow(&state);
        drop(state);
        if !taken.flowing.is_empty() || !taken.awaited.is_empty() {
            self.room.notify_waiters();
        }
        taken
    }

    /// Takes no more records, or nothing more; what is queued is still taken.
    pub fn close(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        drop(state);
        self.ready.notify_all();
        self.room.notify_waiters();
    }

    /// Takes nothing more and lets go of what is queued: whoever waits learns that nobody will answer.
    pub fn abandon(&self) {
        self.close(Stage::Ended);
        let mut state = self.lock();
        let dropped = std::mem::replace(&mut *state, State { stage: Stage::Ended, ..State::default() });
        counts::add(&self.counters.abandoned_records, dropped.flowing.records.len() as u64);
        self.follow(&state);
        drop(state);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::journal::tests::record;

    const ALL: Wanted = Wanted { flowing_room: usize::MAX, awaited_room: usize::MAX, changes: true };

    fn queue(records: usize, bytes: usize) -> Queue {
        let limits = Limits { queue_records: records, queue_bytes: bytes, ..Limits::default() };
        Queue::new(limits, Arc::default())
    }

    fn awaited(text: &str) -> Record {
        // Nobody listens.
        Record { stored: Some(oneshot::channel().0), ..record("push", text) }
    }

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn each_lane_has_bounds_of_its_own_and_what_is_refused_is_given_back() {
        for queue in [queue(3, usize::MAX), queue(1000, 3 * (RECORD_BYTES + 2))] {
            for _ in 0..3 {
                queue.append(record("file", "x\n")).unwrap();
            }
            match queue.append(record("file", "y\n")).unwrap_err() {
                Refused::Full(record) => assert_eq!(record.lines.text, "y\n"),
                other => panic!("{other}"),
            }
            queue.append(awaited("z\n")).unwrap();
            let counts = queue.counters.read();
            assert_eq!((counts.queued_records, counts.queued_bytes as usize), (4, 4 * (RECORD_BYTES + 2)));
            let taken = queue.take(now(), Stage::Open, Wanted { flowing_room: RECORD_BYTES + 3, ..ALL });
            assert_eq!((taken.flowing.len(), taken.awaited.len()), (2, 1));
            queue.append(record("file", "y\n")).unwrap();
        }
    }

    #[test]
    fn what_is_larger_than_the_queue_goes_through_it_alone() {
        let queue = queue(10, 1000);
        let large = "x".repeat(5000);
        queue.append(record("file", &large)).unwrap();
        assert!(matches!(queue.append(record("file", "x")), Err(Refused::Full(_))));
        let over = record("file", &"x".repeat(MAX_RECORD_BYTES + 1));
        assert!(matches!(queue.append(over), Err(Refused::TooLarge(_))));
    }

    #[test]
    fn changes_have_a_bound() {
        let queue = queue(10, 1000);
        let mark = || Change::Save(crate::journal::Changes { counted_up_to: 1, ..Default::default() });
        let refused = (0..2 * MAX_CHANGES).filter(|_| queue.change(mark()).is_err()).count();
        assert_eq!((refused, queue.counters.read().refused_changes), (MAX_CHANGES, MAX_CHANGES as u64));
        assert_eq!(queue.take(now(), Stage::Open, ALL).changes.len(), MAX_CHANGES);
    }

    #[test]
    fn the_end_is_told_after_what_was_queued() {
        let queue = queue(10, 1000);
        queue.append(record("file", "x\n")).unwrap();
        queue.close(Stage::NoRecords);
        assert!(matches!(queue.append(record("file", "x\n")), Err(Refused::Stopping(_))));
        queue.change(Change::Save(Default::default())).unwrap();
        let none = Wanted { flowing_room: 0, awaited_room: 0, changes: false };
        assert_eq!(queue.take(now(), Stage::Open, none).stage, Stage::Open);
        assert_eq!(queue.take(now(), Stage::Open, Wanted { changes: false, ..ALL }).stage, Stage::NoRecords);
        queue.close(Stage::Ended);
        assert!(matches!(queue.change(Change::Save(Default::default())), Err(Refused::Stopping(_))));
        // At once, however long it may wait.
        assert_eq!(queue.take(now() + Duration::from_secs(600), Stage::NoRecords, ALL).stage, Stage::Ended);
    }
}
