//! The traffic, one line after the other.

use std::collections::VecDeque;

use crate::generate::agenda::Agenda;
use crate::generate::clock::Clock;
use crate::generate::config::{Config, ConfigError};
use crate::generate::door::Door;
use crate::generate::kinds::Kind;
use crate::generate::label::{Label, Speed, Stream};
use crate::generate::population::Population;
use crate::generate::programme::Programme;
use crate::generate::random::Random;
use crate::generate::stage::Stage;
use crate::generate::webhooks::Feed;

/// Writes traffic in the order of time. Its memory does not grow with the lines it writes.
pub struct Generator {
    random: Random,
    clock: Clock,
    population: Population,
    agenda: Agenda,
    door: Door,
    programme: Programme,
    feed: Feed,
    unstaged: Vec<(Kind, Speed)>,
    end_ms: i64,
    lines_expected: u64,
    labels: VecDeque<Label>,
}

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line was written.
    Line {
        /// When, in milliseconds since 1970.
        at_ms: i64,
        /// To which log it belongs.
        stream: Stream,
    },
    /// Something staged is over.
    Label(Label),
}

/// What came next, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A line of a log.
    Line(TimedLine),
    /// What is known about something staged that is over.
    Label(Label),
}

/// A line and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedLine {
    /// When, in milliseconds since 1970. Lines never go back in time.
    pub at_ms: i64,
    /// To which log it belongs.
    pub stream: Stream,
    /// The line, without its line break.
    pub text: String,
}

impl Generator {
    /// Traffic as the configuration has it.
    ///
    /// # Errors
    ///
    /// When the configuration asks for what cannot be.
    pub fn new(config: &Config) -> Result<Generator, ConfigError> {
        let (start_ms, end_ms) = config.bounds()?;
        let programme = Programme::new(&config.attacks, config.seed, config.lines, start_ms, end_ms);
        let staged = programme.expected_lines();
        let ordinary = config.lines.saturating_sub(staged).max(config.lines / 4);
        let mut generator = Generator {
            random: Random::new(config.seed),
            clock: Clock::default(),
            population: Population::new(config.seed, config.addresses),
            agenda: Agenda::default(),
            door: Door::new(ordinary, start_ms, end_ms),
            programme,
            feed: Feed::new(config.seed, config.messages, &config.attacks, start_ms, end_ms),
            unstaged: Vec::new(),
            end_ms,
            lines_expected: ordinary + staged,
            labels: VecDeque::new(),
        };
        // The first round is planned at once, so that what does not fit is known before anything is written.
        generator.programme.begin_round(&mut generator.random, &generator.population, &mut generator.agenda);
        let told = generator.feed.unstaged().iter().map(|kind| (*kind, Speed::Fast));
        generator.unstaged = generator.programme.unstaged().iter().copied().chain(told).collect();
        Ok(generator)
    }

    /// About how many access-log lines there will be: those asked for, or more when attacks alone are more.
    pub fn lines_expected(&self) -> u64 {
        self.lines_expected
    }

    /// What was asked for and takes longer than the duration, so that it will not be staged.
    pub fn unstaged(&self) -> &[(Kind, Speed)] {
        &self.unstaged
    }

    /// Writes the next line into `text`, whose former content is gone, without a line break. A label leaves
    /// `text` empty. Nothing comes after the end.
    pub fn advance(&mut self, text: &mut String) -> Option<Step> {
        text.clear();
        if let Some(label) = self.labels.pop_front() {
            return Some(Step::Label(label));
        }
        self.open_until_next();
        let at_ms = self.agenda.next_ms().unwrap_or(self.end_ms).min(self.end_ms);
        if let Some(body_ms) = self.feed.next_ms().filter(|body_ms| *body_ms < at_ms) {
            self.feed.write(text);
            self.labels.extend(self.feed.labels());
            return Some(Step::Line { at_ms: body_ms, stream: Stream::Webhooks });
        }
        self.labels.extend(self.feed.labels());
        if at_ms >= self.end_ms {
            self.labels.extend(self.agenda.close());
            return self.labels.pop_front().map(Step::Label);
        }
        let mut stage = Stage { at_ms, random: &mut self.random, clock: &mut self.clock, text };
        let (stream, label) = self.agenda.act(&mut stage)?;
        self.labels.extend(label);
        Some(Step::Line { at_ms, stream })
    }

    /// The most actors that were under way together.
    #[cfg(test)]
    pub(super) fn most_actors(&self) -> usize {
        self.agenda.places()
    }

    /// Lets in everybody who might write before the next line that is due.
    fn open_until_next(&mut self) {
        loop {
            let next_ms = self.agenda.next_ms().unwrap_or(i64::MAX);
            let round_ms = self.programme.next_round_ms().unwrap_or(i64::MAX);
            let door_ms = self.door.open_until().unwrap_or(i64::MAX);
            let (random, population, agenda) = (&mut self.random, &self.population, &mut self.agenda);
            if round_ms.min(door_ms) > next_ms || round_ms.min(door_ms) == i64::MAX {
                return;
            }
            if round_ms <= door_ms {
                self.programme.begin_round(random, population, agenda);
            } else {
                self.door.admit(random, population, agenda);
            }
        }
    }
}

// === impl Iterator ===

impl Iterator for Generator {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut text = String::with_capacity(320);
        Some(match self.advance(&mut text)? {
            Step::Line { at_ms, stream } => Record::Line(TimedLine { at_ms, stream, text }),
            Step::Label(label) => Record::Label(label),
        })
    }
}
