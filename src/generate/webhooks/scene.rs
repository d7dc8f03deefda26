//! Whoever acts: a conversation, a campaign, an attack.

use crate::generate::random::{Random, mix};
use crate::generate::webhooks::business::Number;
use crate::generate::webhooks::desk::Desk;

/// How something goes on.
pub(in crate::generate) struct Act {
    /// How many turns it takes, at least and at most.
    pub(in crate::generate) turns: [u32; 2],
    /// Milliseconds within which it is over, what follows from it included, but for very bad luck.
    pub(in crate::generate) span_ms: u32,
    /// The number that it goes on at.
    pub(in crate::generate) number: &'static Number,
    /// What a label of it names.
    pub(in crate::generate) about: About,
    /// Plays the turn whose number the scene has, and says after how many milliseconds the next comes.
    pub(in crate::generate) play: fn(&Scene, &mut Desk<'_>) -> u32,
}

/// What something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum About {
    /// The number it goes on at.
    Number,
    /// The account as a whole.
    Account,
}

/// An act under way.
pub(in crate::generate) struct Scene {
    pub(super) act: &'static Act,
    turn: u32,
    turns: u32,
    /// The first of the people it is about.
    people: u64,
    salt: u64,
}

impl Scene {
    pub(super) fn new(act: &'static Act, turns: u32, people: u64, random: &mut Random) -> Scene {
        Scene { act, turn: 0, turns: turns.max(1), people, salt: random.number() }
    }

    /// Takes the next turn; says after how many milliseconds the one after it comes, if ever.
    pub(super) fn take_turn(&mut self, desk: &mut Desk<'_>) -> Option<u32> {
        let gap = (self.act.play)(self, desk);
        self.turn += 1;
        (self.turn < self.turns).then_some(gap)
    }

    /// The number of this turn, from 0.
    pub(in crate::generate) fn turn(&self) -> u32 {
        self.turn
    }

    /// How many turns there will be.
    pub(in crate::generate) fn turns(&self) -> u32 {
        self.turns
    }

    /// One of the people it is about: nobody else's, unless it is an ordinary scene.
    pub(in crate::generate) fn person(&self, number: u32) -> u64 {
        self.people + u64::from(number)
    }

    /// A number that is the same whenever the same thing is asked about.
    pub(in crate::generate) fn chosen(&self, about: u64) -> u64 {
        mix(self.salt, about)
    }
}
