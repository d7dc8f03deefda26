//! A bounded set of ids, each of eight bytes, that forgets the oldest first and knows what it has forgotten.
//!
//! The newest ids are in a hash table; a table that is full, or old, is sealed as a sorted list, which needs no room for
//! more than what is in it. Lists are forgotten whole, so an id may be known for one part in 28 longer than it must be.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::event::Timestamp;

/// Into how many lists a full set is divided: what is forgotten at once when there is no room.
const PARTS: usize = 16;

/// Into how many lists the time is divided for which an id is kept.
const AGES: u32 = 28;

struct Sealed {
    ids: Box<[u64]>,
    last_at: Timestamp,
}

/// The set; see the module.
pub(super) struct Ids {
    max: usize,
    kept_for: Duration,
    current: HashSet<u64, foldhash::fast::FixedState>,
    began: Timestamp,
    last_at: Timestamp,
    /// The oldest first.
    sealed: VecDeque<Sealed>,
    count: usize,
    forgotten_up_to: Option<Timestamp>,
    evicted: u64,
}

impl Ids {
    /// At most `max` ids, each for at least `kept_for` unless there is no room.
    pub fn new(max: usize, kept_for: Duration) -> Self {
        Self {
            max: max.max(1),
            kept_for,
            current: HashSet::default(),
            began: Timestamp::default(),
            last_at: Timestamp::default(),
            sealed: VecDeque::new(),
            count: 0,
            forgotten_up_to: None,
            evicted: 0,
        }
    }

    /// Takes an id in; one that is known stays as old as it is. Time must not go back.
    pub fn insert(&mut self, id: u64, at: Timestamp) {
        self.forget(at);
        if self.contains(id) {
            return;
        }
        let is_old = self.began.after(self.kept_for / AGES) < at;
        if self.current.len() >= (self.max / PARTS).max(1) || is_old {
            self.seal();
        }
        if self.current.is_empty() {
            self.began = at;
        }
        self.current.insert(id);
        self.last_at = at;
        self.count += 1;
        while self.count > self.max {
            self.evicted += self.forget_oldest() as u64;
        }
    }

    /// Whether an id is known.
    pub fn contains(&self, id: u64) -> bool {
        self.current.contains(&id) || self.sealed.iter().any(|sealed| sealed.ids.binary_search(&id).is_ok())
    }

    /// Forgets what is older than it must be known.
    pub fn forget(&mut self, now: Timestamp) {
        let since = now.before(self.kept_for);
        while self.sealed.front().is_some_and(|oldest| oldest.last_at < since) {
            self.forget_oldest();
        }
        if !self.current.is_empty() && self.last_at < since {
            self.seal();
            self.forget_oldest();
        }
    }

    /// No id that was taken in after this time has been forgotten; `None` when none has been at all.
    pub const fn forgotten_up_to(&self) -> Option<Timestamp> {
        self.forgotten_up_to
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// How many were forgotten too early because there was no room.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn seal(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let mut ids: Box<[u64]> = self.current.drain().collect();
        ids.sort_unstable();
        self.sealed.push_back(Sealed { ids, last_at: self.last_at });
    }

    fn forget_oldest(&mut self) -> usize {
        let Some(oldest) = self.sealed.pop_front() else { return 0 };
        self.count -= oldest.ids.len();
        self.forgotten_up_to = Some(oldest.last_at);
        oldest.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_not_forgotten_is_known(
            ids in prop::collection::vec((0u64..400, 0i64..60), 1..200), max in 1usize..80,
        ) {
            let kept_for = Duration::from_secs(600);
            let mut set = Ids::new(max, kept_for);
            let mut all: Vec<(u64, Timestamp)> = Vec::new();
            let mut now = 0;
            for (id, pause) in ids {
                now += pause;
                let at = Timestamp::from_seconds(now);
                set.forget(at);
                let was_known = set.contains(id);
                set.insert(id, at);
                if !was_known {
                    all.retain(|(known, _)| *known != id);
                    all.push((id, at));
                }
                prop_assert!(set.len() <= max && set.contains(id));
                let listed = set.current.len() + set.sealed.iter().map(|part| part.ids.len()).sum::<usize>();
                prop_assert_eq!(set.len(), listed);
                for (known, since) in &all {
                    let is_kept = set.forgotten_up_to().is_none_or(|forgotten| *since > forgotten);
                    prop_assert!(!is_kept || set.contains(*known), "{known}");
                    // A list goes when its last id is old, and it holds ids of one part in 28 of the time.
                    let oldest = at.before(kept_for + kept_for / AGES);
                    prop_assert!(*since >= oldest || !set.contains(*known), "{known} must be gone");
                }
            }
        }
    }

    #[test]
    fn ids_take_eight_bytes_and_as_many_are_kept_as_is_said() {
        let mut set = Ids::new(1600, Duration::from_secs(3600));
        for id in 0..10_000 {
            set.insert(id, Timestamp::from_seconds(id as i64 / 100));
        }
        assert!(set.len() > 1600 - 1600 / PARTS, "{}", set.len());
        assert_eq!(set.evicted(), 10_000 - set.len() as u64);
        assert!(set.sealed.iter().all(|part| size_of_val(&*part.ids) == 8 * 1600 / PARTS));
        set.forget(Timestamp::from_seconds(4000));
        assert_eq!((set.len(), set.contains(9_999)), (0, false), "an hour has passed");
    }
}
