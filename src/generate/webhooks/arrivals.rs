//! When ordinary scenes begin: by the rhythm of the day, as many as make the bodies asked for.

use crate::generate::random::Random;
use crate::generate::rhythm;

pub(super) struct Arrivals {
    messages: u64,
    at_ms: i64,
    end_ms: i64,
    step_ms: i64,
    /// Busyness summed up to `at_ms`, and up to the end.
    busy: u128,
    busy_in_all: u128,
    /// Bodies that those who came will bring, about.
    admitted: u64,
}

/// However long the run, it has at most about so many steps.
const STEPS: i64 = 1 << 18;

impl Arrivals {
    pub(super) fn new(messages: u64, start_ms: i64, end_ms: i64) -> Arrivals {
        let step_ms = ((end_ms - start_ms) / STEPS).clamp(1000, i64::MAX);
        let mut busy_in_all = 0;
        let mut at_ms = start_ms;
        while messages > 0 && at_ms < end_ms {
            busy_in_all += weight(at_ms, (at_ms + step_ms).min(end_ms));
            at_ms += step_ms;
        }
        Arrivals { messages, at_ms: start_ms, end_ms, step_ms, busy: 0, busy_in_all, admitted: 0 }
    }

    /// When the next step begins; nothing once nobody comes any more.
    pub(super) fn next_ms(&self) -> Option<i64> {
        (self.messages > 0 && self.at_ms < self.end_ms).then_some(self.at_ms)
    }

    /// Goes through the next step: calls `admit` for each who comes within it, which says how many bodies that
    /// makes.
    pub(super) fn step(&mut self, random: &mut Random, mut admit: impl FnMut(&mut Random, i64) -> u64) {
        let until_ms = (self.at_ms + self.step_ms).min(self.end_ms);
        self.busy += weight(self.at_ms, until_ms);
        let owed = (u128::from(self.messages) * self.busy / self.busy_in_all.max(1)) as u64;
        while self.admitted < owed {
            let at_ms = self.at_ms + random.below_wide((until_ms - self.at_ms) as u64) as i64;
            self.admitted += admit(random, at_ms).max(1);
        }
        self.at_ms = until_ms;
    }
}

fn weight(from_ms: i64, until_ms: i64) -> u128 {
    u128::from(rhythm::busyness(from_ms)) * (until_ms - from_ms) as u128
}
