//! All windows, by subject, in a bounded amount of memory.
//!
//! A subject is what observations are grouped by: an address, an account, an account at an address. Its key is a
//! keyed 128-bit hash, so that nobody outside can make two subjects meet. All windows of a subject are in one entry
//! of a dashmap: an event usually concerns several rules with the same grouping, and one lookup serves them all.
//!
//! The table is cut into [`PARTITIONS`] by key, along the shards of the dashmap. One worker at a time works on a
//! partition, on the observations of a batch in the order of the input, so what happens to a subject, eviction
//! included, does not depend on the number of workers.
//!
//! ## Who has to go when memory is short
//! Attackers choose our keys: a million addresses with a request each must not push out the one that guesses
//! passwords. New subjects wait in a probation queue; when memory is short, those seen once go from there first, and
//! those seen more often move on to be compared with the established ones: of a handful, whoever has been seen least
//! goes. How long ago does not
//! enter into it: a subject in whose windows nothing matters any more is gone anyway. A subject with an open episode
//! stays.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use smallvec::SmallVec;

use super::{Lasting, Spec, Window};
use crate::event::Timestamp;

/// Parts of the table that are worked on independently: enough for any machine this runs on, few enough that each
/// has a fair share of subjects.
pub const PARTITIONS: usize = 64;
const PARTITION_BITS: u32 = PARTITIONS.trailing_zeros();

/// Share of the subjects, in percent, that may wait in probation before those seen once are asked to leave.
const PROBATION_PERCENT: usize = 10;

/// Subjects that are compared to find one to evict.
const COMPARED: usize = 16;

/// Subjects looked at in search of one to evict, so that the work for an observation is bounded. When all of them
/// have to stay the table is over its limit until the next observation tries again.
const MAX_LOOKED_AT: usize = 64;

/// Memory of a subject beside what its windows have on the heap: the entry and the key
/// in a queue, of which there are two for each that is taken in a map or queue that has just grown.
const fn entry_bytes<M>() -> u64 {
    ((size_of::<(Key, Subject<M>)>() + 1 + size_of::<Key>()) * 2) as u64
}

/// What the allocator keeps, and cannot use again, beside each block.
const BLOCK_BYTES: usize = 32;

/// A keyed hash of what observations are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

impl Key {
    /// The partition it belongs to: the one whose shard of the dashmap holds it.
    pub const fn partition(self) -> usize {
        // dashmap 6 picks the shard by the top bits of the hash below the seven that hashbrown keeps.
        ((self.0 as u64) << 7 >> (64 - PARTITION_BITS)) as usize
    }
}

/// The key is a hash already; half of it serves as the hash of the map.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// A window of one rule for one subject, and what the engine notes beside it.
#[derive(Debug)]
pub struct Slot<M> {
    /// Number of the rule.
    pub rule: u16,
    /// The window.
    pub window: Window,
    /// The note: an episode, evidence.
    pub memo: Option<Box<M>>,
}

/// What the engine notes beside a window.
pub trait Memo {
    /// Whether the subject must stay for it at this time.
    fn holds_subject(&self, now: Timestamp) -> bool;
    /// Bytes on the heap beside the note itself.
    fn heap_bytes(&self) -> usize;
}

/// A subject's windows.
#[derive(Debug)]
struct Subject<M> {
    slots: SmallVec<[Slot<M>; 1]>,
    /// After this nothing in its windows matters.
    idle_at: i64,
    heap_bytes: u32,
    /// How often it was seen.
    credit: u16,
}

/// Counters of what became of subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Subjects there are.
    pub subjects: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Subjects that were new.
    pub created: u64,
    /// Subjects that went because nothing in them mattered any more.
    pub expired: u64,
    /// Subjects that went because memory was short.
    pub evicted: u64,
}

impl TableCounts {
    fn add(&mut self, other: &Self) {
        self.subjects += other.subjects;
        self.bytes += other.bytes;
        self.created += other.created;
        self.expired += other.expired;
        self.evicted += other.evicted;
    }
}

#[derive(Default)]
struct Queues {
    probation: VecDeque<Key>,
    established: VecDeque<Key>,
    counts: TableCounts,
    created_since_sweep: usize,
    now: i64,
}

/// All windows; see the module.
pub struct Table<M> {
    subjects: DashMap<Key, Subject<M>, BuildHasherDefault<KeyHasher>>,
    queues: Vec<Mutex<Queues>>,
    max_partition_bytes: u64,
}

/// The right to work on one partition.
pub struct Partition<'t, M> {
    table: &'t Table<M>,
    queues: MutexGuard<'t, Queues>,
}

/// The share of one partition, which is enough for a few subjects at least.
fn partition_bytes(max_bytes: u64) -> u64 {
    (max_bytes / PARTITIONS as u64).max(16 << 10)
}

impl<M: Memo> Table<M> {
    /// An empty table that takes at most about this much memory.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            subjects: DashMap::with_capacity_and_hasher_and_shard_amount(
                0,
                BuildHasherDefault::default(),
                PARTITIONS,
            ),
            queues: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            max_partition_bytes: partition_bytes(max_bytes),
        }
    }

    /// Takes at most about this much memory from now on.
    pub fn set_max_bytes(&mut self, max_bytes: u64) {
        self.max_partition_bytes = partition_bytes(max_bytes);
    }

    /// Takes one partition, waiting until it is free.
    pub fn partition(&self, number: usize) -> Partition<'_, M> {
        Partition { table: self, queues: self.queues[number].lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Counters over all partitions.
    pub fn counts(&self) -> TableCounts {
        let mut counts = TableCounts::default();
        for queues in &self.queues {
            counts.add(&queues.lock().unwrap_or_else(PoisonError::into_inner).counts);
        }
        counts
    }
}

impl<M: Memo> Partition<'_, M> {
    /// Tells the partition that nothing before this time will be counted any more.
    pub fn advance_to(&mut self, now: Timestamp) {
        self.queues.now = self.queues.now.max(now.as_micros());
    }

    /// Nothing before this time will be counted any more.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.queues.now)
    }

    /// Calls `work` with the subject's slots, which gives the one for a rule, new if need be.
    ///
    /// `seen` is how many events it is about. `removed` takes the slots of subjects that had to go to make room.
    pub fn with_subject<R>(
        &mut self,
        key: Key,
        seen: usize,
        removed: &mut impl FnMut(Key, Slot<M>),
        work: impl FnOnce(&mut SubjectSlots<'_, M>) -> R,
    ) -> R {
        let entry_bytes = entry_bytes::<M>();
        let mut is_new = false;
        let mut subject = self.table.subjects.entry(key).or_insert_with(|| {
            is_new = true;
            Subject { slots: SmallVec::new(), idle_at: i64::MIN, heap_bytes: 0, credit: 0 }
        });
        subject.credit = subject.credit.saturating_add(u16::try_from(seen).unwrap_or(u16::MAX));
        let mut slots = SubjectSlots { subject: &mut subject };
        let result = work(&mut slots);
        let heap_bytes = subject.heap_bytes();
        let before = u64::from(subject.heap_bytes);
        subject.heap_bytes = u32::try_from(heap_bytes).unwrap_or(u32::MAX);
        let after = u64::from(subject.heap_bytes);
        drop(subject);
        let counts = &mut self.queues.counts;
        counts.bytes = counts.bytes + after - before;
        if is_new {
            counts.bytes += entry_bytes;
            counts.subjects += 1;
            counts.created += 1;
            self.queues.created_since_sweep += 1;
            self.queues.probation.push_back(key);
        }
        while self.queues.counts.bytes > self.table.max_partition_bytes && self.evict_one(key, removed) {}
        result
    }

    /// Looks at a few subjects and lets go of those in which nothing matters any more, so that memory follows the
    /// traffic down. To be called once a batch; the work is in proportion to the subjects created since.
    pub fn sweep(&mut self, removed: &mut impl FnMut(Key, Slot<M>)) {
        let looks = 4 + self.queues.created_since_sweep;
        self.queues.created_since_sweep = 0;
        let probation = std::mem::take(&mut self.queues.probation);
        self.queues.probation = self.swept(probation, looks, removed);
        let established = std::mem::take(&mut self.queues.established);
        self.queues.established = self.swept(established, looks, removed);
    }

    fn swept(
        &mut self,
        mut queue: VecDeque<Key>,
        looks: usize,
        removed: &mut impl FnMut(Key, Slot<M>),
    ) -> VecDeque<Key> {
        for _ in 0..looks.min(queue.len()) {
            let Some(key) = queue.pop_front() else { break };
            if !self.remove_if_idle(key, removed) {
                queue.push_back(key);
            }
        }
        queue
    }

    /// Calls `work` with the note beside a rule's window for a subject, if there is one.
    pub fn with_memo<R>(&mut self, key: Key, rule: u16, work: impl FnOnce(&mut M) -> R) -> Option<R> {
        let mut subject = self.table.subjects.get_mut(&key)?;
        let slot = subject.slots.iter_mut().find(|slot| slot.rule == rule)?;
        slot.memo.as_deref_mut().map(work)
    }

    /// Calls `work` with the slot of a rule for a subject, if there is one.
    pub fn with_slot<R>(&mut self, key: Key, rule: u16, work: impl FnOnce(&mut Slot<M>) -> R) -> Option<R> {
        let mut subject = self.table.subjects.get_mut(&key)?;
        let slot = subject.slots.iter_mut().find(|slot| slot.rule == rule)?;
        let result = work(slot);
        let (before, after) = (u64::from(subject.heap_bytes), subject.heap_bytes());
        subject.heap_bytes = u32::try_from(after).unwrap_or(u32::MAX);
        self.queues.counts.bytes = self.queues.counts.bytes + u64::from(subject.heap_bytes) - before;
        Some(result)
    }

    /// Gives the windows of each rule a new number, or lets go of them where there is none.
    pub fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>, removed: &mut impl FnMut(Key, Slot<M>)) {
        let keys: Vec<Key> = self.queues.probation.iter().chain(&self.queues.established).copied().collect();
        for key in keys {
            let Some(mut subject) = self.table.subjects.get_mut(&key) else { continue };
            for mut slot in std::mem::take(&mut subject.slots) {
                match number(slot.rule) {
                    Some(number) => {
                        slot.rule = number;
                        subject.slots.push(slot);
                    }
                    None => removed(key, slot),
                }
            }
            let (before, after) = (u64::from(subject.heap_bytes), subject.heap_bytes());
            subject.heap_bytes = u32::try_from(after).unwrap_or(u32::MAX);
            self.queues.counts.bytes = self.queues.counts.bytes + u64::from(subject.heap_bytes) - before;
            if subject.slots.is_empty() {
                // Nothing in it matters any more: it goes when it is looked at next.
                subject.idle_at = i64::MIN;
            }
        }
    }

    /// Calls `visit` with every window of the partition that outlasts a restart, with its subject, its rule, and when the
    /// subject is too old to matter; in no particular order.
    pub fn for_each_lasting(&mut self, mut visit: impl FnMut(Key, u16, i64, Lasting)) {
        let keys: Vec<Key> = self.queues.probation.iter().chain(&self.queues.established).copied().collect();
        for key in keys {
            let Some(subject) = self.table.subjects.get(&key) else { continue };
            for slot in &subject.slots {
                if let Some(window) = slot.window.lasting() {
                    visit(key, slot.rule, subject.idle_at, window);
                }
            }
        }
    }

    /// Calls `visit` with every slot of the partition, in no particular order.
    pub fn for_each_slot(&mut self, mut visit: impl FnMut(Key, &mut Slot<M>)) {
        let keys: Vec<Key> = self.queues.probation.iter().chain(&self.queues.established).copied().collect();
        for key in keys {
            if let Some(mut subject) = self.table.subjects.get_mut(&key) {
                subject.slots.iter_mut().for_each(|slot| visit(key, slot));
            }
        }
    }

    fn remove_if_idle(&mut self, key: Key, removed: &mut impl FnMut(Key, Slot<M>)) -> bool {
        let now = self.queues.now;
        let idle = self.table.subjects.remove_if(&key, |_, subject| subject.is_idle(now));
        let Some((_, subject)) = idle else { return false };
        self.queues.counts.expired += 1;
        self.forget(key, subject, removed);
        true
    }

    fn forget(&mut self, key: Key, subject: Subject<M>, removed: &mut impl FnMut(Key, Slot<M>)) {
        let counts = &mut self.queues.counts;
        counts.subjects -= 1;
        counts.bytes -= entry_bytes::<M>() + u64::from(subject.heap_bytes);
        subject.slots.into_iter().for_each(|slot| removed(key, slot));
    }

    /// Makes room by one subject; `false` when there is none that could go. The subject at work stays.
    fn evict_one(&mut self, at_work: Key, removed: &mut impl FnMut(Key, Slot<M>)) -> bool {
        let mut least: Option<(u16, Key)> = None;
        let mut compared = 0;
        for _ in 0..MAX_LOOKED_AT {
            let queues = &mut *self.queues;
            let total = queues.probation.len() + queues.established.len();
            let from_probation = queues.probation.len() * 100 > total * PROBATION_PERCENT;
            let popped =
                if from_probation { queues.probation.pop_front() } else { queues.established.pop_front() };
            let Some(key) = popped.or_else(|| queues.probation.pop_front()) else { break };
            let Some((standing, credit)) = self.standing(key, at_work) else { continue };
            match standing {
                Standing::Idle => {
                    self.queues.established.extend(least.map(|(_, key)| key));
                    return self.remove_if_idle(key, removed);
                }
                Standing::Needed => self.queues.established.push_back(key),
                Standing::MayGo if from_probation && credit <= 1 => {
                    self.queues.established.extend(least.map(|(_, key)| key));
                    self.evict(key, removed);
                    return true;
                }
                Standing::MayGo => {
                    compared += 1;
                    match least {
                        Some((least_credit, _)) if least_credit <= credit => {
                            self.queues.established.push_back(key)
                        }
                        _ => {
                            let spared = least.replace((credit, key));
                            self.queues.established.extend(spared.map(|(_, key)| key));
                        }
                    }
                    if compared == COMPARED {
                        break;
                    }
                }
            }
        }
        let Some((_, key)) = least else { return false };
        self.evict(key, removed);
        true
    }

    fn standing(&self, key: Key, at_work: Key) -> Option<(Standing, u16)> {
        let now = self.queues.now;
        let subject = self.table.subjects.get(&key)?;
        let standing = if key == at_work || subject.holds_episode(now) {
            Standing::Needed
        } else if subject.idle_at < now {
            Standing::Idle
        } else {
            Standing::MayGo
        };
        Some((standing, subject.credit))
    }

    fn evict(&mut self, key: Key, removed: &mut impl FnMut(Key, Slot<M>)) {
        if let Some((_, subject)) = self.table.subjects.remove(&key) {
            self.queues.counts.evicted += 1;
            self.forget(key, subject, removed);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Needed,
    Idle,
    MayGo,
}

impl<M: Memo> Subject<M> {
    fn holds_episode(&self, now: i64) -> bool {
        let now = Timestamp::from_micros(now);
        self.slots.iter().any(|slot| slot.memo.as_ref().is_some_and(|memo| memo.holds_subject(now)))
    }

    fn is_idle(&self, now: i64) -> bool {
        self.idle_at < now && !self.holds_episode(now)
    }

    fn heap_bytes(&self) -> usize {
        let slots =
            if self.slots.spilled() { block(self.slots.capacity() * size_of::<Slot<M>>()) } else { 0 };
        self.slots.iter().fold(slots, |bytes, slot| {
            let memo = slot.memo.as_ref().map_or(0, |memo| block(size_of::<M>()) + memo.heap_bytes());
            bytes + block(slot.window.heap_bytes()) + memo
        })
    }
}

/// The memory that a block of this many bytes takes.
const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + BLOCK_BYTES }
}

/// The slots of the subject that is being worked on.
pub struct SubjectSlots<'s, M> {
    subject: &'s mut Subject<M>,
}

impl<M> SubjectSlots<'_, M> {
    /// Whether the note of one of these rules' slots is such.
    pub fn any(&self, rules: &[u16], is_such: impl Fn(&M) -> bool) -> bool {
        let mut slots = self.subject.slots.iter().filter(|slot| rules.contains(&slot.rule));
        slots.any(|slot| slot.memo.as_deref().is_some_and(&is_such))
    }

    /// The slot of a rule, with an empty window if there is none yet.
    pub fn slot(&mut self, rule: u16, spec: &Spec, at: Timestamp) -> &mut Slot<M> {
        let idle_at = at.as_micros().saturating_add(spec.horizon());
        self.subject.idle_at = self.subject.idle_at.max(idle_at);
        let place = self.subject.slots.iter().position(|slot| slot.rule == rule).unwrap_or_else(|| {
            if self.subject.slots.len() == self.subject.slots.capacity() {
                // Doubling would take half as much again: most subjects have all their windows after the first event.
                self.subject.slots.reserve_exact(4);
            }
            self.subject.slots.push(Slot { rule, window: Window::new(spec.measure), memo: None });
            self.subject.slots.len() - 1
        });
        &mut self.subject.slots[place]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::spec;
    use super::super::{Measure, Observed};
    use super::*;

    struct NoMemo;

    impl Memo for NoMemo {
        fn holds_subject(&self, _: Timestamp) -> bool {
            false
        }
        fn heap_bytes(&self) -> usize {
            0
        }
    }

    fn key(number: u64) -> Key {
        Key(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | u128::from(number) << 64)
    }

    fn observe(table: &Table<NoMemo>, number: u64, at: i64) -> f64 {
        let spec = spec(Measure::Count, 3600, 0, 1.0);
        let key = key(number);
        let at = Timestamp::from_seconds(at);
        let mut partition = table.partition(key.partition());
        partition.advance_to(at);
        partition.with_subject(key, 1, &mut |_, _| {}, |slots| {
            slots.slot(0, &spec, at).window.observe(&spec, at, Observed::Occurrence).measured
        })
    }

    #[test]
    fn a_partition_is_a_shard_of_the_map() {
        let table: Table<NoMemo> = Table::new(1 << 30);
        for number in 0..1000 {
            observe(&table, number, 0);
            assert_eq!(table.subjects.determine_map(&key(number)), key(number).partition());
        }
    }

    #[test]
    fn a_million_addresses_do_not_push_out_the_one_that_comes_again() {
        let table: Table<NoMemo> = Table::new(8 << 20);
        let attacker = u64::MAX / 3;
        let mut measured = 0.0;
        for number in 0..1_000_000 {
            observe(&table, number, (number / 1000) as i64);
            if number % 20_000 == 0 {
                measured = observe(&table, attacker, (number / 1000) as i64);
            }
        }
        let counts = table.counts();
        assert_eq!(measured, 50.0, "every one of its fifty observations must have been kept");
        assert!(counts.bytes <= 8 << 20, "{counts:?}");
        assert!(counts.evicted > 900_000, "{counts:?}");
        assert_eq!(counts.created, counts.subjects + counts.evicted + counts.expired);
    }

    #[test]
    fn whoever_was_seen_least_goes_first() {
        let table: Table<NoMemo> = Table::new(8 << 20);
        for number in 0..2_000_u64 {
            for again in 0..10 {
                observe(&table, 10_000_000 + number, again);
            }
        }
        for number in 0..400_000 {
            observe(&table, number, 100);
            observe(&table, number, 101);
        }
        let kept =
            (0..2_000_u64).filter(|number| table.subjects.contains_key(&key(10_000_000 + number))).count();
        assert!(kept > 1_900, "{kept} of 2000 subjects seen ten times, against 400,000 seen twice");
    }

    #[test]
    fn what_does_not_matter_any_more_is_swept_away() {
        let table: Table<NoMemo> = Table::new(1 << 30);
        for number in 0..1_000 {
            observe(&table, number, 0);
        }
        for _ in 0..100 {
            for partition in 0..PARTITIONS {
                let mut partition = table.partition(partition);
                partition.advance_to(Timestamp::from_seconds(4_000));
                partition.sweep(&mut |_, _| {});
            }
        }
        assert_eq!((table.counts().subjects, table.counts().bytes, table.counts().expired), (0, 0, 1_000));
    }
}
