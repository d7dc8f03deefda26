//! Rules that matched one after the other within a sliding window.
//!
//! What is measured is the length of the longest chain of matches whose rules rise in the order in which the
//! correlation lists them. Each is of another event: one that matches two rules does not follow itself. Events at the
//! same time are in the order of their arrival. Of several events in a row that match the same rules the last one serves
//! any chain as well as the others, so when there is little room only that one is kept; and then the oldest go.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{Measure, Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most matches a window keeps: 4 KB.
pub const MAX_ENTRIES: usize = 256;

/// A sliding window over matches of several rules; see the module.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Time, and rules as bits.
    entries: VecDeque<(i64, u32)>,
}

impl Order {
    /// Takes a match of a rule in and measures; see [`super::Window::observe`].
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, matched: u32) -> Reading {
        let at = at.as_micros();
        let latest = self.entries.back().map_or(at, |(latest, _)| (*latest).max(at));
        let oldest = latest.saturating_sub(spec.horizon());
        while self.entries.front().is_some_and(|(at, _)| *at < oldest) {
            self.entries.pop_front();
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.tidy();
        }
        let place = self.entries.partition_point(|(other, _)| *other <= at);
        self.entries.insert(place, (at, matched));
        self.read(spec, at)
    }

    /// The time of the latest observation.
    pub(super) fn latest(&self) -> Option<i64> {
        self.entries.back().map(|(latest, _)| *latest)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(i64, u32)>()
    }

    /// Judges the windows that end at an observation and that one at `at` is in, in one pass.
    pub(super) fn read(&self, spec: &Spec, at: i64) -> Reading {
        let span = micros(spec.span);
        let last_end = at.saturating_add(span);
        let mut chains = Chains::new(match spec.measure {
            Measure::Order(rules) => usize::from(rules),
            _ => 0,
        });
        let mut reading = Reading::nothing(at);
        let first = self.entries.partition_point(|(other, _)| *other < at.saturating_sub(span));
        let mut rest = self.entries.range(first..).peekable();
        while let Some(&(end, matched)) = rest.next().filter(|(end, _)| *end <= last_end) {
            chains.take(end, matched);
            // Only after the last match at a time is all of it in the window.
            if end >= at && rest.peek().is_none_or(|(next, _)| *next != end) {
                let measured = chains.longest_since(end.saturating_sub(span));
                reading = reading.and(Reading::at(spec, measured, end));
            }
        }
        reading
    }

    fn tidy(&mut self) {
        let mut kept: VecDeque<(i64, u32)> = VecDeque::with_capacity(MAX_ENTRIES);
        for entry in self.entries.drain(..) {
            match kept.back_mut() {
                Some(last) if last.1 == entry.1 => *last = entry,
                _ => kept.push_back(entry),
            }
        }
        if kept.len() > MAX_ENTRIES * 3 / 4 {
            kept.drain(..kept.len() - MAX_ENTRIES / 2);
        }
        self.entries = kept;
    }
}

/// The chains in what has been looked at so far: of each length, the one that begins last, since it serves any window
/// that an earlier one serves.
struct Chains {
    rules: usize,
    /// When the chain begins, by its length, less one, and the last rule in it; `i64::MIN` where there is none.
    begins: SmallVec<[i64; 16]>,
}

impl Chains {
    fn new(rules: usize) -> Self {
        Self { rules, begins: SmallVec::from_elem(i64::MIN, rules * rules) }
    }

    fn take(&mut self, at: i64, matched: u32) {
        // From the last rule down, so that no chain has two links of one event.
        for rule in (0..self.rules).rev().filter(|rule| matched >> rule & 1 == 1) {
            for length in (1..=rule).rev() {
                let shorter = (length - 1) * self.rules;
                let begin = self.begins[shorter..shorter + rule].iter().max().copied().unwrap_or(i64::MIN);
                let known = &mut self.begins[length * self.rules + rule];
                *known = begin.max(*known);
            }
            self.begins[rule] = at;
        }
    }

    fn longest_since(&self, start: i64) -> f64 {
        let is_inside = |begins: &[i64]| begins.iter().any(|begin| *begin >= start && *begin != i64::MIN);
        let lengths = self.begins.chunks(self.rules.max(1)).take_while(|begins| is_inside(begins));
        lengths.count() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{naive, spec};
    use super::*;
    use proptest::prelude::*;

    fn observe(window: &mut Order, spec: &Spec, at: i64, rule: u8) -> bool {
        window.observe(spec, Timestamp::from_seconds(at), 1 << rule).holds
    }

    #[test]
    fn the_order_counts_and_so_does_the_span() {
        let spec = spec(Measure::Order(2), 10, 60, 2.0);
        let mut window = Order::default();
        assert!(!observe(&mut window, &spec, 100, 1));
        assert!(!observe(&mut window, &spec, 105, 0));
        assert!(!observe(&mut window, &spec, 116, 1), "eleven seconds are too long");
        assert!(!observe(&mut window, &spec, 120, 0));
        assert!(observe(&mut window, &spec, 120, 1), "at the same time, the order of arrival decides");
    }

    #[test]
    fn an_event_does_not_follow_itself() {
        let spec = spec(Measure::Order(2), 10, 60, 2.0);
        let mut window = Order::default();
        assert!(!window.observe(&spec, Timestamp::from_seconds(100), 0b11).holds);
        assert!(window.observe(&spec, Timestamp::from_seconds(101), 0b11).holds);
    }

    #[test]
    fn a_late_match_completes_a_chain() {
        let spec = spec(Measure::Order(2), 10, 60, 2.0);
        let mut window = Order::default();
        assert!(!observe(&mut window, &spec, 105, 1));
        assert!(observe(&mut window, &spec, 100, 0));
    }

    #[test]
    fn memory_is_bounded_and_a_recent_chain_is_still_found() {
        let spec = spec(Measure::Order(2), 3600, 0, 2.0);
        let mut window = Order::default();
        for at in 0..5_000 {
            assert!(!observe(&mut window, &spec, at / 10, 0));
            assert!(window.entries.len() <= MAX_ENTRIES);
        }
        assert!(observe(&mut window, &spec, 501, 1));
    }

    fn chain(inside: &[(i64, u8)]) -> f64 {
        (0..1_u32 << inside.len().min(16))
            .filter_map(|set| {
                let picked: Vec<u8> =
                    (0..inside.len()).filter(|i| set >> i & 1 == 1).map(|i| inside[i].1).collect();
                picked.windows(2).all(|pair| pair[0] < pair[1]).then_some(picked.len())
            })
            .max()
            .unwrap_or(0) as f64
    }

    proptest! {
        #[test]
        fn chains_agree_with_trying_all_of_them(
            matches in prop::collection::vec((0i64..40, 0u8..4), 1..12), span in 1i64..20,
        ) {
            let spec = spec(Measure::Order(4), span as u64, 40, 1.0);
            let mut window = Order::default();
            let mut all: Vec<(i64, u8)> = Vec::new();
            for (at, rule) in matches {
                let place = all.partition_point(|(other, _)| *other <= at);
                all.insert(place, (at, rule));
                let latest = all.last().is_some_and(|(latest, _)| *latest == at);
                let expected = naive(&all, at, span, latest, chain);
                prop_assert_eq!(window.observe(&spec, Timestamp::from_seconds(at), 1 << rule).measured, expected);
            }
        }
    }
}
