//! Lets ordinary visits in, at the rate that makes the lines asked for.
//!
//! Time passes in small steps; in each, as many lines are owed as the rhythm of the day gives it. Visits are
//! let in until what they will write has caught up with what is owed, so the total comes out right however
//! long each of them stays. Between catching up and the next visit lies an exponential wait: visitors do not
//! know of each other.

use crate::generate::agenda::{Actor, Agenda};
use crate::generate::population::Population;
use crate::generate::random::Random;
use crate::generate::rhythm;
use crate::generate::visit::{self, Visit};

pub(super) struct Door {
    lines: u64,
    /// The next step's beginning, and the end of all.
    at_ms: i64,
    end_ms: i64,
    step_ms: i64,
    /// Busyness summed up to `at_ms`, and up to the end.
    busy: u128,
    busy_in_all: u128,
    /// Lines that those let in so far have written or will write.
    admitted: u64,
    wait: u64,
    /// How many people the staff has: as many as keeps each of them at a visit every few hours, so that two
    /// visits of one person seldom meet and look like somebody who reads everything.
    crew: u32,
}

/// However long the run, it has at most about so many steps.
const STEPS: i64 = 1 << 20;

impl Door {
    pub(super) fn new(lines: u64, start_ms: i64, end_ms: i64) -> Door {
        let step_ms = ((end_ms - start_ms) / STEPS).clamp(1000, i64::MAX);
        let mut busy_in_all = 0;
        let mut at_ms = start_ms;
        while at_ms < end_ms {
            busy_in_all += weight(at_ms, (at_ms + step_ms).min(end_ms));
            at_ms += step_ms;
        }
        let hours = (end_ms - start_ms) as u64 / 3_600_000 + 1;
        let shifts = lines / u64::from(visit::LINES_PER_VISIT) * visit::STAFF_PER_MILLE / 1000;
        let crew = (shifts / hours * 8).clamp(40, 500_000) as u32;
        Door { lines, at_ms: start_ms, end_ms, step_ms, busy: 0, busy_in_all, admitted: 0, wait: 0, crew }
    }

    /// Until when everybody who comes has been let in; nothing once nobody comes any more.
    pub(super) fn open_until(&self) -> Option<i64> {
        (self.at_ms < self.end_ms).then_some(self.at_ms)
    }

    /// Lets in those who come within the next step.
    pub(super) fn admit(&mut self, random: &mut Random, population: &Population, agenda: &mut Agenda) {
        let until_ms = (self.at_ms + self.step_ms).min(self.end_ms);
        self.busy += weight(self.at_ms, until_ms);
        let owed = (u128::from(self.lines) * self.busy / self.busy_in_all.max(1)) as u64;
        while self.admitted + self.wait < owed {
            let at_ms = self.at_ms + random.below_wide((until_ms - self.at_ms) as u64) as i64;
            let left = ((self.end_ms - at_ms) / 1000).clamp(0, 100_000) as u32;
            let visit = Visit::arrive(random, population, self.crew, left);
            self.admitted += visit.lines();
            self.wait = random.exponential(visit::LINES_PER_VISIT);
            agenda.enter(at_ms, Actor::Visit(visit));
        }
        self.at_ms = until_ms;
    }
}

fn weight(from_ms: i64, until_ms: i64) -> u128 {
    u128::from(rhythm::busyness(from_ms)) * (until_ms - from_ms) as u128
}
