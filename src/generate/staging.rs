//! One attack by itself, when and on whom one likes: for demonstrations.

use crate::generate::clock::Clock;
use crate::generate::episode::{Cast, Episode};
use crate::generate::generator::TimedLine;
use crate::generate::kinds::Kind;
use crate::generate::label::{Label, Speed, Subject};
use crate::generate::population::Population;
use crate::generate::random::Random;
use crate::generate::stage::Stage;

/// What to stage.
#[derive(Clone, Debug)]
pub struct Staging {
    /// Where chance begins. Other seeds give other attackers and victims.
    pub seed: u64,
    /// What is staged.
    pub kind: Kind,
    /// How patiently.
    pub speed: Speed,
    /// When its first line is written, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who does it, or to whom it is done, if that should not be left to chance. An account named for an
    /// attack on many is the first of them.
    pub subject: Option<Subject>,
}

/// The kind is not staged that way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} is not staged {}", match speed { Speed::Fast => "fast", Speed::Slow => "slow" })]
pub struct NoSuchSpeed {
    /// What was to be staged.
    pub kind: Kind,
    /// How.
    pub speed: Speed,
}

/// The lines of one staged attack, in the order of time.
pub struct Staged {
    episode: Episode,
    random: Random,
    clock: Clock,
    next_ms: Option<i64>,
}

/// Stages one attack.
///
/// # Errors
///
/// When the kind has no such speed; [`Kind::speeds`] says which it has.
pub fn stage(staging: Staging) -> Result<Staged, NoSuchSpeed> {
    let Staging { seed, kind, speed, at_ms, subject } = staging;
    let plan = kind.script().plans.iter().find(|plan| plan.speed == speed);
    let plan = *plan.ok_or(NoSuchSpeed { kind, speed })?;
    let mut random = Random::new(seed);
    let population = Population::new(seed, 1);
    let mut episode = Episode::cast(kind, plan, &mut Cast::new(seed), &population, &mut random);
    if let Some(subject) = subject {
        episode.recast(subject);
    }
    Ok(Staged { episode, random, clock: Clock::default(), next_ms: Some(at_ms) })
}

impl Staged {
    /// What is known of it by now; nothing before its first line.
    pub fn label(&self) -> Option<Label> {
        self.episode.label()
    }
}

// === impl Iterator ===

impl Iterator for Staged {
    type Item = TimedLine;

    fn next(&mut self) -> Option<TimedLine> {
        let at_ms = self.next_ms?;
        let mut text = String::with_capacity(320);
        let mut stage = Stage { at_ms, random: &mut self.random, clock: &mut self.clock, text: &mut text };
        let gap = self.episode.act(&mut stage);
        self.next_ms = gap.map(|gap| at_ms.saturating_add(gap as i64));
        Some(TimedLine { at_ms, stream: self.episode.stream(), text })
    }
}
