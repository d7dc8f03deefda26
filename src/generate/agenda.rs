//! Whose turn it is next.
//!
//! A heap of the actors that are under way, by the time of their next line. It holds those who have come and
//! not yet left, so it grows with how busy the shop is and not with how long it is watched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::generate::episode::Episode;
use crate::generate::label::{Label, Stream};
use crate::generate::stage::Stage;
use crate::generate::visit::Visit;

/// Whoever writes lines.
pub(super) enum Actor {
    Visit(Visit),
    Episode(Box<Episode>),
}

#[derive(Default)]
pub(super) struct Agenda {
    /// When, and who: a place in `actors`. Of two who are due together, the lower place goes first.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    actors: Vec<Option<Actor>>,
    vacant: Vec<u32>,
}

impl Agenda {
    pub(super) fn enter(&mut self, at_ms: i64, actor: Actor) {
        let place = match self.vacant.pop() {
            Some(place) => {
                self.actors[place as usize] = Some(actor);
                place
            }
            None => {
                self.actors.push(Some(actor));
                (self.actors.len() - 1) as u32
            }
        };
        self.due.push(Reverse((at_ms, place)));
    }

    /// When the next line is due.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    /// Has the next actor write its line. An episode that thereby ends leaves its label.
    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<(Stream, Option<Label>)> {
        let mut turn = self.due.peek_mut()?;
        let Reverse((at_ms, place)) = *turn;
        let actor = self.actors.get_mut(place as usize)?;
        let (stream, next) = match actor.as_mut()? {
            Actor::Visit(visit) => (visit.stream(), visit.act(stage)),
            Actor::Episode(episode) => (episode.stream(), episode.act(stage)),
        };
        if let Some(gap) = next {
            // The heap puts the entry where it now belongs when it is let go: cheaper than taking it out and in.
            *turn = Reverse((at_ms + gap as i64, place));
            return Some((stream, None));
        }
        PeekMut::pop(turn);
        self.vacant.push(place);
        match actor.take() {
            Some(Actor::Episode(episode)) => Some((stream, episode.label())),
            _ => Some((stream, None)),
        }
    }

    /// Sends everybody home, and takes the labels of what was under way.
    pub(super) fn close(&mut self) -> Vec<Label> {
        self.due.clear();
        self.vacant.clear();
        let left = self.actors.drain(..).flatten();
        left.filter_map(|actor| match actor {
            Actor::Episode(episode) => episode.label(),
            Actor::Visit(_) => None,
        })
        .collect()
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.actors.len()
    }
}
