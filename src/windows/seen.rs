//! Values that are new for a subject.
//!
//! Of each value is kept when it was seen last. A value is known for `span` after that; one that is not known is new,
//! once the subject has been looked at for the learning time, and known from then on. A subject of which nothing was
//! seen for `span` is learned anew, as if it had never been there.
//!
//! A late observation makes a value known and says when the subject was first there; it is new only where no
//! observation says otherwise, be it of a later time. So nothing is found that would not have been found in order.
//!
//! Exact up to `max_values`. Beyond, the value that was seen longest ago leaves, and as long as it would have been
//! known nothing is new: what is not there may be what has left. Sixteen bytes a value.

use serde::{Deserialize, Serialize};

use super::{Reading, Spec};
use crate::event::{Timestamp, micros};

/// The values of a subject; see the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// When the subject was first seen.
    began: i64,
    /// When it was last seen; `i64::MIN` before it was.
    latest: i64,
    /// When the latest of the values that have left was seen.
    left: i64,
    /// How many values were known before the last observation.
    known: u16,
    values: Vec<Known>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    hash: u64,
    last: i64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { began: i64::MIN, latest: i64::MIN, left: i64::MIN, known: 0, values: Vec::new() }
    }
}

impl Seen {
    /// Takes a value in. The reading is of one new value, or of none; `is_fine` says that it is none in any case.
    pub fn observe(
        &mut self,
        spec: &Spec,
        learning: Learning,
        at: Timestamp,
        hash: u64,
        is_fine: bool,
    ) -> Reading {
        let at = at.as_micros();
        let forgotten_before = self.arrive(spec, at);
        let is_known = |value: &Known| value.last >= forgotten_before;
        self.known =
            self.values.iter().filter(|value| is_known(value)).count().min(usize::from(u16::MAX)) as u16;
        let may_have_left = self.left >= forgotten_before;
        let was_known = match self.values.iter_mut().find(|value| value.hash == hash) {
            Some(value) => {
                let was_known = is_known(value);
                value.last = value.last.max(at);
                was_known
            }
            None => {
                self.take_in(Known { hash, last: at }, usize::from(learning.max_values), spec.horizon());
                false
            }
        };
        let is_learned = at.saturating_sub(self.began) >= learning.span_micros;
        let is_new = !was_known && !is_fine && is_learned && !may_have_left;
        Reading { measured: f64::from(u8::from(is_new)), holds: is_new, ..Reading::nothing(at) }
    }

    /// The subject is there, without a value.
    pub fn note_presence(&mut self, spec: &Spec, at: Timestamp) -> Reading {
        self.arrive(spec, at.as_micros());
        Reading::nothing(at.as_micros())
    }

    /// Takes note that the subject is there, and gives the time before which values are forgotten.
    fn arrive(&mut self, spec: &Spec, at: i64) -> i64 {
        let forgotten_before = at.saturating_sub(micros(spec.span));
        if self.latest < forgotten_before || self.latest == i64::MIN {
            *self = Self { began: at, ..Self::default() };
        }
        self.began = self.began.min(at);
        self.latest = self.latest.max(at);
        forgotten_before
    }

    fn take_in(&mut self, value: Known, max_values: usize, horizon: i64) {
        if self.values.len() == self.values.capacity() || self.values.len() >= max_values {
            let oldest = self.latest.saturating_sub(horizon);
            self.values.retain(|value| value.last >= oldest);
        }
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(self.values.len().clamp(1, 32));
        }
        self.values.push(value);
        if self.values.len() > max_values {
            let longest_ago = self.values.iter().enumerate().min_by_key(|(_, value)| value.last);
            if let Some((place, value)) = longest_ago {
                self.left = self.left.max(value.last);
                self.values.swap_remove(place);
            }
        }
    }

    /// How many values were known before the last observation.
    pub const fn known(&self) -> u16 {
        self.known
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Known>()
    }
}

/// How a subject is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// Microseconds from the subject's first observation in which nothing is new.
    pub span_micros: i64,
    /// Most values that are kept.
    pub max_values: u16,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::spec;
    use super::super::{Detail, Measure, Observed, Window};
    use super::*;

    fn learning(seconds: i64, max_values: u16) -> Learning {
        Learning { span_micros: seconds * 1_000_000, max_values }
    }

    fn is_new(seen: &mut Seen, spec: &Spec, learning: Learning, at: i64, hash: u64) -> bool {
        seen.observe(spec, learning, Timestamp::from_seconds(at), hash, false).holds
    }

    #[test]
    fn learned_then_new_once_then_known_until_forgotten() {
        let learning = learning(10, 8);
        let spec = spec(Measure::New(learning), 100, 5, 1.0);
        let mut seen = Seen::default();
        for (at, hash, expected) in [
            (1000, 1, false),
            (1009, 2, false),
            (1010, 3, true),
            (1011, 3, false),
            (1109, 2, false),
            (1112, 3, true),
            (1213, 9, false),
            (1222, 8, false),
            (1223, 1, true),
        ] {
            assert_eq!(is_new(&mut seen, &spec, learning, at, hash), expected, "{hash} at {at}");
        }
    }

    #[test]
    fn what_is_fine_is_known_and_was_never_new() {
        let learning = learning(10, 8);
        let spec = spec(Measure::New(learning), 100, 5, 1.0);
        let mut window = Window::new(Measure::New(learning));
        let mut observe = |at, observed| {
            let holds = window.observe(&spec, Timestamp::from_seconds(at), observed).holds;
            (holds, window.detail())
        };
        assert_eq!(observe(0, Observed::Hash(1)), (false, Some(Detail::New { known: 0 })));
        assert!(!observe(20, Observed::Fine(2)).0);
        assert!(!observe(21, Observed::Hash(2)).0, "what the allowlist knew then is known now");
        assert_eq!(observe(22, Observed::Hash(3)), (true, Some(Detail::New { known: 2 })));
    }

    #[test]
    fn whoever_is_there_is_learned_without_a_value() {
        let learning = learning(10, 8);
        let spec = spec(Measure::New(learning), 100, 5, 1.0);
        let mut window = Window::new(Measure::New(learning));
        let mut observe = |at, observed| window.observe(&spec, Timestamp::from_seconds(at), observed).holds;
        assert!(!observe(0, Observed::Occurrence));
        assert!(observe(20, Observed::Hash(1)), "the first value ever, of somebody who has been there");
        assert!(!observe(110, Observed::Occurrence));
        assert!(observe(121, Observed::Hash(1)), "forgotten, though the subject was there");
    }

    #[test]
    fn nothing_late_is_found_twice_or_breaks_learning() {
        let learning = learning(10, 8);
        let spec = spec(Measure::New(learning), 100, 30, 1.0);
        let mut seen = Seen::default();
        assert!(!is_new(&mut seen, &spec, learning, 100, 1));
        assert!(!is_new(&mut seen, &spec, learning, 95, 2), "before the first: learned longer now");
        assert!(!is_new(&mut seen, &spec, learning, 104, 3), "after ten seconds it is over");
        assert!(is_new(&mut seen, &spec, learning, 120, 4));
        assert!(!is_new(&mut seen, &spec, learning, 110, 4), "it has been told");
        assert!(is_new(&mut seen, &spec, learning, 112, 5), "late, and new all the same");
    }

    #[test]
    fn whoever_has_more_values_than_are_kept_is_not_judged_until_they_would_be_forgotten() {
        let learning = learning(10, 3);
        let spec = spec(Measure::New(learning), 100, 0, 1.0);
        let mut seen = Seen::default();
        assert!(!is_new(&mut seen, &spec, learning, 0, 1));
        for (at, hash, expected) in
            [(20, 2, true), (30, 3, true), (40, 4, true), (50, 1, false), (60, 5, false), (140, 6, true)]
        {
            assert_eq!(is_new(&mut seen, &spec, learning, at, hash), expected, "{hash} at {at}");
            assert!(seen.values.len() <= 3 && seen.values.capacity() <= 4);
        }
    }

    #[test]
    fn state_survives_being_written_and_read() {
        let learning = learning(10, 8);
        let spec = spec(Measure::New(learning), 100, 5, 1.0);
        let mut seen = Seen::default();
        for at in 0..5 {
            is_new(&mut seen, &spec, learning, at * 7, at as u64);
        }
        let read: Seen = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        assert_eq!(read, seen);
    }

    proptest! {
        /// Against a list of everything, in order and late.
        #[test]
        fn agrees_with_a_list_of_everything(
            steps in prop::collection::vec((0i64..40, 0i64..30, 0u64..6), 1..60),
            learn in 0i64..60, forget in 1i64..120,
        ) {
            let learning = learning(learn, 100);
            let spec = spec(Measure::New(learning), forget as u64, 30, 1.0);
            let mut seen = Seen::default();
            let mut all: Vec<(i64, u64)> = Vec::new();
            let mut clock = 1_000;
            for (step, late, hash) in steps {
                clock += step;
                let at = clock - late;
                if all.iter().all(|(other, _)| *other < at - forget) {
                    all.clear();
                }
                let began = all.iter().map(|(other, _)| *other).chain([at]).min().unwrap();
                let is_known = all.iter().any(|(other, value)| *value == hash && *other >= at - forget);
                let expected = !is_known && at - began >= learn;
                prop_assert_eq!(is_new(&mut seen, &spec, learning, at, hash), expected);
                all.push((at, hash));
            }
        }

        /// With little room nothing is found that a list of everything would not find, and no more is kept.
        #[test]
        fn little_room_finds_less_and_never_more(
            steps in prop::collection::vec((0i64..40, 0i64..30, 0u64..9), 1..80), max_values in 1u16..5,
        ) {
            let (small, large) = (learning(20, max_values), learning(20, 100));
            let spec = spec(Measure::New(small), 90, 30, 1.0);
            let (mut narrow, mut wide) = (Seen::default(), Seen::default());
            let mut clock = 1_000;
            for (step, late, hash) in steps {
                clock += step;
                let found = is_new(&mut narrow, &spec, small, clock - late, hash);
                let expected = is_new(&mut wide, &spec, large, clock - late, hash);
                prop_assert!(!found || expected);
                prop_assert!(narrow.values.len() <= usize::from(max_values));
            }
        }
    }
}
