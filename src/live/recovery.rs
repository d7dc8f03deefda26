//! The journal read back, so that the counters are what they were.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Live;
use super::teller::news_of;
use crate::engine::recovery::{KnownAlert, Recovered};
use crate::event::Timestamp;
use crate::facts;
use crate::intake::{self, Lines, Stream};
use crate::journal::{AlertFilter, Journal, Listed, Memory, OpenError, StoredBlock};
use crate::stream::Change;

/// How often it is said how far it has come.
const TELLING: Duration = Duration::from_secs(2);

/// Streams that are kept apart, each with a clock of its own; then all begin anew.
const MAX_STREAMS: usize = 4096;

/// Times that are noted in which the journal has lost blocks.
const MAX_LOST: usize = 100;

/// The newest alerts among those that are over that are looked at.
const MAX_RESOLVED: usize = 20_000;

/// What there is to go on from.
pub struct Recovery {
    /// What was written.
    pub journal: Journal,
    /// The last block.
    pub last_block: u64,
    /// What came of blocks up to this one is known; what comes of those after it is news.
    pub counted_up_to: u64,
    /// Told how much is done, in percent.
    pub on_progress: Box<dyn Fn(u64) + Send>,
    /// Called at the end.
    pub on_end: Box<dyn FnOnce() + Send>,
}

/// What was read back.
#[derive(Default)]
struct Done {
    blocks: u64,
    unreadable: u64,
    lines: u64,
    /// Whether it was asked to stop before the end.
    was_stopped: bool,
    /// Between which times the journal has lost blocks, a hundred at most.
    lost: Vec<(Timestamp, Timestamp)>,
}

impl Live {
    /// Counts what was counted before, and what had not been counted yet. `false` when it was asked to stop meanwhile.
    pub(super) fn recover(&mut self, recovery: Recovery) -> bool {
        let Recovery { journal, last_block, counted_up_to, on_progress, on_end } = recovery;
        let began = Instant::now();
        match self.read_back(&journal, last_block, counted_up_to, &on_progress) {
            Ok(done) if done.was_stopped => {
                tracing::info!(
                    "asked to stop while the journal was read back: it is read from the beginning next time"
                );
                return false;
            }
            Ok(done) => {
                self.teller.note_lost(&journal, &done.lost);
                tracing::info!(
                    blocks = done.blocks,
                    unreadable = done.unreadable,
                    lines = done.lines,
                    seconds = began.elapsed().as_secs_f64(),
                    "the journal was read back"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read back: counters begin at nothing")
            }
        }
        self.teller.counted(last_block);
        self.engine.counting_block(None);
        self.engine.resume(intake::now());
        on_end();
        true
    }

    fn read_back(
        &mut self,
        journal: &Journal,
        last_block: u64,
        counted_up_to: u64,
        on_progress: &dyn Fn(u64),
    ) -> Result<Done, OpenError> {
        let from = intake::now().before(self.engine.looks_back().max(facts::LOOKS_BACK));
        // Open alerts, and those that were resolved within the time that is counted again.
        let resolved = AlertFilter { is_open: Some(false), ..AlertFilter::default() };
        let resolved = journal.alerts(&resolved, MAX_RESOLVED)?;
        let alerts = journal.open_alerts()?.rows.into_iter().chain(resolved.rows);
        let known = alerts.filter_map(|alert| {
            let text = std::str::from_utf8(&alert.record).ok()?;
            let is_due = alert.resolved_at.is_none_or(|at| at >= from);
            is_due.then(|| KnownAlert::parse(text).ok()).flatten()
        });
        let known = known.collect();
        let (memories, blocks) = (journal.memories()?, journal.read_from(from)?);
        // Nothing fails any more: an engine that waits for the end of this tells of no alert.
        self.engine.recover(known);
        self.remember(memories);
        let mut done = Done::default();
        let mut streams = Streams::default();
        let mut is_known = true;
        let mut at = Timestamp::default();
        let mut last = None;
        let mut told = Instant::now();
        let mut first_block = None;
        for block in blocks {
            if self.is_asked_to_stop() {
                done.was_stopped = true;
                return Ok(done);
            }
            let block = match block {
                Ok(block) => block,
                Err(unreadable) => {
                    tracing::error!(%unreadable, "what was in it is not counted");
                    done.unreadable += 1;
                    continue;
                }
            };
            if is_known && block.number > counted_up_to {
                is_known = false;
                self.end_of_known(at);
            }
            let StoredBlock { number, at: arrived, lines } = block;
            if last.is_some_and(|last| last + 1 < number) && done.lost.len() < MAX_LOST {
                done.lost.push((at, arrived));
            }
            last = Some(number);
            let first = *first_block.get_or_insert(number);
            at = arrived;
            done.blocks += 1;
            let lines: Vec<Lines> = lines.into_iter().map(|lines| streams.intern(lines)).collect();
            done.lines += lines.iter().map(|lines| lines.text.lines().count() as u64).sum::<u64>();
            self.engine.counting_block(Some(number));
            if is_known {
                self.count_again(lines);
            } else {
                self.step(lines);
            }
            self.teller.counted(number);
            if told.elapsed() >= TELLING {
                told = Instant::now();
                let percent = 100 * (number - first) / (last_block - first).max(1);
                on_progress(percent);
                tracing::info!(percent, "reading the journal back");
            }
        }
        if is_known {
            self.end_of_known(at);
        }
        Ok(done)
    }

    /// Takes in what outlasts a restart.
    fn remember(&mut self, memories: Listed<Memory>) {
        let (mut windows, mut unreadable) = (0, memories.unreadable);
        for Memory { part, block, body } in memories.rows {
            match self.engine.remember(part, block, &body) {
                Ok(taken) => windows += taken,
                Err(error) => {
                    unreadable += 1;
                    tracing::warn!(part, %error, "a part of the memory cannot be used: it is learned anew");
                }
            }
        }
        tracing::debug!(windows, unreadable, "what was learned before is there");
    }

    /// Everything up to here had been told before.
    fn end_of_known(&mut self, at: Timestamp) {
        let Recovered { over, absent, changed } = self.engine.recovered(at.before(self.lateness));
        let over = news_of(over);
        self.metrics.alerts.start_with(&self.engine.open_alerts());
        self.metrics.alerts.start_with(&absent);
        self.metrics.alerts.start_with(over.iter().map(|(_, alert)| alert));
        self.metrics.follow_rules(&self.engine);
        self.teller.tell(over, at);
        self.teller.tell(changed.into_iter().map(|alert| (Change::Updated, alert)).collect(), at);
    }

    /// Takes lines in of which nothing is told.
    fn count_again(&mut self, lines: Vec<Lines>) {
        let oldest = lines.iter().map(|lines| lines.received).min().unwrap_or_default();
        let (chunks, _) = self.chunks(lines);
        let _ = self.engine.read(chunks);
        self.observers.observe_again(&self.engine, oldest);
        let _ = self.engine.count(None);
    }
}

/// Streams by what they are called: blocks name them anew each time, and each has one clock.
#[derive(Default)]
struct Streams(HashMap<[Arc<str>; 3], Arc<Stream>>);

impl Streams {
    fn intern(&mut self, lines: Lines) -> Lines {
        let Stream { source, tenant, name } = &*lines.stream;
        let key = [source, tenant, name].map(Arc::clone);
        if self.0.len() >= MAX_STREAMS {
            self.0.clear();
        }
        let stream = Arc::clone(self.0.entry(key).or_insert_with(|| Arc::clone(&lines.stream)));
        Lines { stream, ..lines }
    }
}
