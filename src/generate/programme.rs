//! Which attacks are staged, and when.
//!
//! All plans of all kinds make a round. A run has as many rounds as its lines can bear, each in its own
//! stretch of time, within which every plan begins at a moment of chance. Rounds are planned as time reaches
//! them, so a year of attacks takes no more memory than a day of them.

use crate::generate::agenda::{Actor, Agenda};
use crate::generate::episode::{Cast, Episode, Plan};
use crate::generate::kinds::Kind;
use crate::generate::label::Speed;
use crate::generate::population::Population;
use crate::generate::random::Random;

pub(super) struct Programme {
    plans: Vec<(Kind, Plan)>,
    cast: Cast,
    start_ms: i64,
    end_ms: i64,
    rounds: i64,
    round: i64,
    /// What did not fit into the duration even in the first round.
    unstaged: Vec<(Kind, Speed)>,
}

/// The share of the lines that is staged, once there are enough of them for a second round.
const SHARE: u64 = 20;
/// A round has at least so much time: more at once would be a siege, in which no attack can be told from its
/// neighbours, and would hold more actors in memory.
const ROUND_MS: i64 = 30 * 60 * 1000;

impl Programme {
    pub(super) fn new(kinds: &[Kind], seed: u64, lines: u64, start_ms: i64, end_ms: i64) -> Programme {
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        let plans: Vec<(Kind, Plan)> =
            kinds.iter().flat_map(|kind| kind.script().plans.iter().map(|plan| (*kind, *plan))).collect();
        let per_round: u64 = plans.iter().map(|(_, plan)| plan.expected_lines()).sum();
        let affordable = (lines / SHARE / per_round.max(1)).min(i64::MAX as u64) as i64;
        let rounds = affordable.min((end_ms - start_ms) / ROUND_MS).max(1);
        Programme { plans, cast: Cast::new(seed), start_ms, end_ms, rounds, round: 0, unstaged: Vec::new() }
    }

    /// Access-log lines it will stage in all, about.
    pub(super) fn expected_lines(&self) -> u64 {
        let per_round: u64 = self.plans.iter().map(|(_, plan)| plan.expected_lines()).sum();
        per_round * self.rounds.unsigned_abs()
    }

    /// When the next round begins, if there is one.
    pub(super) fn next_round_ms(&self) -> Option<i64> {
        (self.round < self.rounds).then(|| self.round_ms(self.round))
    }

    /// Puts the next round's episodes on the agenda.
    pub(super) fn begin_round(&mut self, random: &mut Random, population: &Population, agenda: &mut Agenda) {
        let (from_ms, until_ms) = (self.round_ms(self.round), self.round_ms(self.round + 1));
        for (kind, plan) in &self.plans {
            let episode = Episode::cast(*kind, *plan, &mut self.cast, population, random);
            let latest_ms = self.end_ms - episode.span() as i64;
            if latest_ms < from_ms {
                if self.round == 0 && self.unstaged.last() != Some(&(*kind, plan.speed)) {
                    self.unstaged.push((*kind, plan.speed));
                }
                continue;
            }
            let room = (latest_ms.min(until_ms) - from_ms).max(1);
            let at_ms = from_ms + random.below_wide(room as u64) as i64;
            agenda.enter(at_ms, Actor::Episode(Box::new(episode)));
        }
        self.round += 1;
    }

    pub(super) fn unstaged(&self) -> &[(Kind, Speed)] {
        &self.unstaged
    }

    fn round_ms(&self, round: i64) -> i64 {
        let elapsed = i128::from(self.end_ms - self.start_ms) * i128::from(round) / i128::from(self.rounds);
        self.start_ms + elapsed as i64
    }
}
