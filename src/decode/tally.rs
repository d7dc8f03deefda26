//! What became of lines, for whoever sent them and for the books.

use super::Undecodable;

/// Lines counted by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines with something in them.
    pub lines: u64,
    /// Lines that became events.
    pub events: u64,
    /// Events of lines that were cut.
    pub truncated: u64,
    /// JSON objects without a name that is known, in which only keywords look.
    pub unknown: u64,
    /// Lines that could not be read, by place in [`Undecodable::ALL`].
    pub undecodable: [u64; Undecodable::ALL.len()],
}

impl Tally {
    /// Counts a line that could not be read.
    pub fn add_undecodable(&mut self, reason: &Undecodable) {
        self.lines += 1;
        let counts = Undecodable::ALL.iter().zip(&mut self.undecodable);
        counts.filter(|(known, _)| known.reason() == reason.reason()).for_each(|(_, count)| *count += 1);
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.events += other.events;
        self.truncated += other.truncated;
        self.unknown += other.unknown;
        self.undecodable.iter_mut().zip(other.undecodable).for_each(|(count, more)| *count += more);
    }
}
