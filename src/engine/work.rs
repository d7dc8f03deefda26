//! A piece of a log, decoded and matched: all that can be done without looking at what came before.

use std::sync::Arc;

use super::{Shared, Source};
use crate::clock::NOT_COUNTED;
use crate::decode::{Decoded, Decoder, Format, Tally, Undecodable};
use crate::event::{Class, Event, Timestamp};
use crate::matching::Scanner;
use crate::matching::observation::{Observation, Uncounted};
use crate::windows::Observed;
use crate::windows::table::{Key, PARTITIONS};

/// Undecodable lines kept to be shown, of each piece of log.
const MAX_UNDECODABLE_SAMPLES: usize = 3;
/// Characters of an undecodable line that are kept.
const MAX_SAMPLE_CHARS: usize = 200;

/// A piece of a log: whole lines.
#[derive(Debug)]
pub struct Chunk {
    /// Number of its source.
    pub source: usize,
    /// The lines.
    pub text: String,
    /// How they are written.
    pub format: Format,
    /// When they arrived; `None` for a log that is read afterwards.
    pub received: Option<Timestamp>,
}

/// An undecodable line, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecodableLine {
    /// Number of its source.
    pub source: usize,
    /// Its number in the source.
    pub line: u64,
    /// Why it could not be read.
    pub reason: Undecodable,
    /// How it begins.
    pub start: String,
}

/// Counters of decoding and matching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Lines, by what became of them.
    pub decoded: Tally,
    /// Events without a time, which cannot be counted in a window.
    pub untimed: u64,
    /// Matches not counted because the event lacks a field that they are grouped by.
    pub missing_group: u64,
    /// Matches not counted because the event lacks the value that is measured.
    pub missing_value: u64,
    /// Matches not counted because they come from a relay, and where that is says nothing.
    pub relayed: u64,
    /// Matches not counted because the allowlist knows them.
    pub allowed: u64,
    /// Observations made.
    pub observations: u64,
}

impl ReadCounts {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.decoded.add(&other.decoded);
        self.untimed += other.untimed;
        self.missing_group += other.missing_group;
        self.missing_value += other.missing_value;
        self.relayed += other.relayed;
        self.allowed += other.allowed;
        self.observations += other.observations;
    }
}

/// A chunk and what was found in it.
#[derive(Debug)]
pub struct Work {
    /// The chunk.
    pub chunk: Chunk,
    /// Number of its first line in the source, from 1.
    first_line: u64,
    /// How many lines there are.
    line_count: u64,
    /// Where each record starts in the text.
    starts: Vec<u32>,
    /// Number of the line of each record, counted from the first line of the chunk.
    lines: Vec<u32>,
    /// The time of each record; [`NOT_COUNTED`] for those that have none.
    pub times: Vec<i64>,
    /// The first and the last of the times that are counted.
    earliest: i64,
    latest: i64,
    /// Observations for windows of level 1, in order.
    observations: Vec<Observation>,
    /// Places in `observations`, by partition and in order; where each partition's begin, and the end.
    sorted: Vec<u32>,
    bounds: Vec<u32>,
    /// Observations for windows of higher levels, in order.
    pub later: Vec<Observation>,
    /// What was counted.
    pub counts: ReadCounts,
    /// Lines that could not be read, some of them.
    pub undecodable: Vec<UndecodableLine>,
    /// Matches by rule.
    pub matches: Vec<u32>,
    /// Records of messaging, in order.
    pub messaging: Vec<u32>,
}

impl Work {
    /// An empty piece of work for a chunk.
    pub fn new(chunk: Chunk, rules: usize) -> Self {
        Self {
            chunk,
            first_line: 1,
            line_count: 0,
            starts: Vec::new(),
            lines: Vec::new(),
            times: Vec::new(),
            earliest: i64::MAX,
            latest: NOT_COUNTED,
            observations: Vec::new(),
            sorted: Vec::new(),
            bounds: Vec::new(),
            later: Vec::new(),
            counts: ReadCounts::default(),
            undecodable: Vec::new(),
            matches: vec![0; rules],
            messaging: Vec::new(),
        }
    }

    /// Takes another chunk, keeping the memory.
    pub fn reuse(mut self, chunk: Chunk) -> Self {
        self.starts.clear();
        self.lines.clear();
        self.times.clear();
        self.observations.clear();
        self.sorted.clear();
        self.later.clear();
        self.undecodable.clear();
        self.messaging.clear();
        self.matches.fill(0);
        Self { chunk, counts: ReadCounts::default(), ..self }
    }

    /// Observations for windows of level 1 in a partition, in order.
    pub fn observations(&self, partition: usize) -> impl ExactSizeIterator<Item = &Observation> {
        let places = match self.bounds.get(partition..=partition + 1) {
            Some(&[start, end]) => &self.sorted[start as usize..end as usize],
            _ => &[],
        };
        places.iter().map(|place| &self.observations[*place as usize])
    }

    /// The earliest time that is counted; [`i64::MAX`] when there is none.
    pub fn earliest(&self) -> i64 {
        self.earliest
    }

    /// The latest time that is counted; [`NOT_COUNTED`] when there is none.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Takes the times that the clock of the source has settled.
    pub fn settle(&mut self, times: &[i64]) {
        self.times.copy_from_slice(times);
        let counted = times.iter().copied().filter(|at| *at != NOT_COUNTED);
        (self.earliest, self.latest) = counted
            .fold((i64::MAX, NOT_COUNTED), |(earliest, latest), at| (earliest.min(at), latest.max(at)));
    }

    /// Forgets what has been counted: all but what is after a time.
    pub fn keep_after(&mut self, until: i64) {
        if self.earliest > until {
            return;
        }
        self.earliest = until.saturating_add(1);
        let times = &self.times;
        self.observations.retain(|observation| times[observation.record as usize] > until);
        self.later.retain(|observation| times[observation.record as usize] > until);
        self.sort_by_partition();
    }

    /// Sorts by counting, which keeps the order within each partition.
    fn sort_by_partition(&mut self) {
        let Self { observations, sorted, bounds, .. } = self;
        bounds.clear();
        bounds.resize(PARTITIONS + 1, 0);
        for observation in observations.iter() {
            bounds[observation.key.partition() + 1] += 1;
        }
        for partition in 0..PARTITIONS {
            bounds[partition + 1] += bounds[partition];
        }
        sorted.clear();
        sorted.resize(observations.len(), 0);
        let mut next = bounds.clone();
        for (place, observation) in observations.iter().enumerate() {
            let slot = &mut next[observation.key.partition()];
            sorted[*slot as usize] = place as u32;
            *slot += 1;
        }
    }

    /// Tells the work the number of its first line, which is known when all before it have been read, and gives that of
    /// the work after it.
    pub fn number_lines(&mut self, first_line: u64) -> u64 {
        self.first_line = first_line;
        self.undecodable.iter_mut().for_each(|line| line.line += first_line);
        first_line + self.line_count
    }

    /// The text of a record.
    pub fn record(&self, record: u32) -> &str {
        let start = self.starts[record as usize] as usize;
        let rest = &self.chunk.text[start..];
        &rest[..memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())]
    }

    /// The number of a record's line in its source.
    pub fn line(&self, record: u32) -> u64 {
        self.first_line + u64::from(self.lines[record as usize])
    }
}

/// Decodes records again: what is kept between reading and counting is small.
pub struct Recall<'s> {
    shared: &'s Shared,
    place: Option<Place>,
}

/// Where the last record was, and how records are decoded there.
struct Place {
    /// The address of its work.
    work: *const Work,
    start: usize,
    format: Format,
    decoder: Decoder,
}

impl<'s> Recall<'s> {
    /// Nothing recalled yet.
    pub fn new(shared: &'s Shared) -> Self {
        Self { shared, place: None }
    }

    /// The event of a record.
    pub fn event<'w>(&mut self, work: &'w Work, source: &Source, record: u32) -> Event<'w>
    where
        's: 'w,
    {
        let start = work.starts[record as usize] as usize;
        let text = work.chunk.text.as_str();
        let known = self.place.take().filter(|place| std::ptr::eq(place.work, work) && place.start <= start);
        let decoder = |format: &Format| {
            Decoder::new(format.clone(), Arc::clone(&self.shared.schema), Arc::clone(&source.decode))
        };
        let mut place = known.unwrap_or_else(|| {
            let format = work.chunk.format.after(&text[..start]);
            Place { work: std::ptr::from_ref(work), start, decoder: decoder(&format), format }
        });
        // The header of a W3C log may change between two records.
        let format = place.format.after(&text[place.start..start]);
        if format != place.format {
            place.decoder = decoder(&format);
            place.format = format;
        }
        place.start = start;
        let mut event = Event::new(&self.shared.schema);
        // It has been decoded before, with the same result.
        let _ = place.decoder.decode(work.record(record), &mut event);
        event.at = event.at.or(work.chunk.received);
        self.shared.geo.fill(&mut event);
        self.place = Some(place);
        event
    }
}

/// One worker's scratch space.
pub struct Reader {
    scanner: Scanner,
    matched: Vec<usize>,
}

impl Reader {
    /// Scratch space for a worker.
    pub fn new(shared: &Shared) -> Self {
        Self { scanner: Scanner::new(&shared.matcher), matched: Vec::new() }
    }

    /// Decodes and matches all lines of a piece of work.
    pub fn read(&mut self, shared: &Shared, source: &Source, work: &mut Work) {
        let Work {
            chunk,
            starts,
            lines,
            times,
            observations,
            later,
            counts,
            undecodable,
            matches,
            messaging,
            ..
        } = work;
        let mut decoder =
            Decoder::new(chunk.format.clone(), Arc::clone(&shared.schema), Arc::clone(&source.decode));
        let mut event = Event::new(&shared.schema);
        let text = chunk.text.as_str();
        let mut start = 0;
        let mut line_number = 0_u32;
        while start < text.len() {
            let rest = &text[start..];
            let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
            let line = &rest[..end];
            event.clear();
            match decoder.decode(line, &mut event) {
                Ok(decoded @ (Decoded::Event | Decoded::Truncated | Decoded::Unknown)) => {
                    counts.decoded.lines += 1;
                    counts.decoded.events += u64::from(decoded != Decoded::Unknown);
                    counts.decoded.unknown += u64::from(decoded == Decoded::Unknown);
                    counts.decoded.truncated += u64::from(decoded == Decoded::Truncated);
                    let record = starts.len() as u32;
                    starts.push(start as u32);
                    if event.class == Class::Messaging {
                        messaging.push(record);
                    }
                    lines.push(line_number);
                    // What is told as it happens and does not say when has happened now.
                    event.at = event.at.or(chunk.received);
                    times.push(event.at.map_or(NOT_COUNTED, Timestamp::as_micros));
                    counts.untimed += u64::from(event.at.is_none());
                    self.matched.clear();
                    let mut last_key: Option<(u16, Key)> = None;
                    let mut is_placed = shared.geo.is_empty();
                    if !is_placed && shared.matcher.asks_for_places() {
                        shared.geo.fill(&mut event);
                        is_placed = true;
                    }
                    let matched = &mut self.matched;
                    let before = observations.len();
                    self.scanner.scan(&shared.matcher, &event, |rule| matched.push(rule));
                    if !is_placed && !self.matched.is_empty() && shared.allowlist_asks_for_places {
                        shared.geo.fill(&mut event);
                        is_placed = true;
                    }
                    for &rule in &self.matched {
                        matches[rule] += 1;
                        let taps = shared.plan.taps_of(rule);
                        let is_allowed = !taps.is_empty() && shared.is_allowed(&event, rule);
                        counts.allowed += u64::from(is_allowed);
                        for &number in taps {
                            let tap = shared.plan.tap(number);
                            let outer = shared.plan.windows[usize::from(tap.window)].rule;
                            let is_outer_allowed =
                                !is_allowed && outer != rule && shared.is_allowed(&event, outer);
                            counts.allowed += u64::from(is_outer_allowed);
                            let is_fine = is_allowed || is_outer_allowed;
                            if tap.asks_for_places && !is_placed {
                                // Looked up only for events that somebody asks it of.
                                shared.geo.fill(&mut event);
                                is_placed = true;
                            }
                            if is_fine && !tap.takes_note_of_allowed() {
                                continue;
                            }
                            let key = match last_key {
                                Some((subject, key)) if subject == tap.subject_number => Ok(key),
                                _ => shared.plan.key(tap, source.tenant_key, &event),
                            };
                            if let Ok(key) = key {
                                last_key = Some((tap.subject_number, key));
                            }
                            let found = key.and_then(|key| Ok((key, shared.plan.observed(tap, &event)?)));
                            match found {
                                Ok((key, observed)) => {
                                    let observed = match observed {
                                        Observed::Hash(hash) if is_fine => Observed::Fine(hash),
                                        other => other,
                                    };
                                    let observation = Observation { key, observed, record, tap: number };
                                    let list = if tap.level == 1 { &mut *observations } else { &mut *later };
                                    let mut same =
                                        list.iter_mut().rev().take_while(|other| other.record == record);
                                    if !same.any(|other| other.takes_in(&observation, &shared.plan)) {
                                        counts.observations += 1;
                                        list.push(observation);
                                    }
                                }
                                Err(Uncounted::MissingGroup) => counts.missing_group += 1,
                                Err(Uncounted::MissingValue) => counts.missing_value += 1,
                                Err(Uncounted::Relayed) => counts.relayed += 1,
                            }
                        }
                    }
                    if observations.len() > before + 1 {
                        observations[before..].sort_by_key(|one| shared.plan.rank_of(one.tap));
                    }
                }
                Ok(Decoded::Nothing) => {}
                Err(reason) => {
                    counts.decoded.add_undecodable(&reason);
                    if undecodable.len() < MAX_UNDECODABLE_SAMPLES {
                        let start = line.chars().take(MAX_SAMPLE_CHARS).collect();
                        let line = u64::from(line_number);
                        undecodable.push(UndecodableLine { source: chunk.source, line, reason, start });
                    }
                }
            }
            start += end + 1;
            line_number += 1;
        }
        work.line_count = u64::from(line_number);
        work.sort_by_partition();
    }
}
