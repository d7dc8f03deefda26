//! From lines to alerts, synchronously and on all cores.
//!
//! The same engine serves logs that are read afterwards and logs as they are written. It takes pieces of logs and
//! works in steps:
//!
//! 1. **read** (parallel, by chunk): decode and match every line; what is to be counted becomes observations, sorted
//!    by partition of the window table. Stateless.
//! 2. **settle** (one pass over the times): how far each source's clock is believed ([`crate::clock`]).
//! 3. **count** (parallel, by partition): observations are taken in by their windows, in the order of the input, and
//!    readings judged ([`episode`]).
//! 4. **chain** (the few findings that other rules look at): the same for windows over findings, level by level.
//!
//! What is the same for every order of work is decided by the input alone: chunks are cut without regard to the number
//! of workers, and partitions are worked on one worker at a time. So the alerts are the same, to the byte, with any
//! number of threads.

pub mod episode;
pub mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rayon::prelude::*;

use crate::alert::{Alert, Condition, RuleName, quiet_after};
use crate::allowlist::Allowlist;
use crate::clock::{Clock, ClockCounts, NOT_COUNTED, Tolerance};
use crate::decode;
use crate::event::{Event, Schema, Timestamp};
use crate::matching::Matcher;
use crate::matching::observation::{Observation, Plan, Secret};
use crate::rules::{Rule, RuleSet, Severity};
use crate::windows::table::{PARTITIONS, Slot, SubjectSlots, Table, TableCounts};
use episode::{Notes, Taken};
use work::{Chunk, ReadCounts, Reader, UndecodableLine, Work};

/// Undecodable lines kept for the operator, over all sources.
const MAX_UNDECODABLE_SAMPLES: usize = 20;

/// Most episodes that are open in a partition at a time: 16,384 in all. A botnet with a payload from each of a million
/// addresses is not made clearer by a million alerts; the rest are counted.
const MAX_OPEN_IN_PARTITION: usize = 256;

/// What an engine is built with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is allowed to clocks.
    pub tolerance: Tolerance,
    /// Memory for windows, in bytes.
    pub max_window_bytes: u64,
    /// Key of the hashes of whatever comes from traffic.
    pub secret: Secret,
    /// Workers; 0 for one a core.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: Tolerance::default(),
            max_window_bytes: 256 << 20,
            secret: *b"watchbell-replay",
            threads: 0,
        }
    }
}

/// What a rule says, ready to be put into alerts.
pub struct Described {
    /// Its names.
    pub name: RuleName,
    /// How much it matters.
    pub severity: Severity,
    /// What it asks for.
    pub condition: Condition,
    /// How long an episode lasts after its last finding.
    pub quiet: Duration,
    rule: Rule,
}

/// What all workers share: rules, compiled.
pub struct Shared {
    /// Names and numbers of fields.
    pub schema: Arc<Schema>,
    /// The detections.
    pub matcher: Matcher,
    /// What is counted.
    pub plan: Plan,
    /// By index of the rule.
    pub rules: Vec<Described>,
    allowlist: Allowlist,
}

impl Shared {
    fn is_allowed(&self, event: &Event<'_>, rule: usize) -> bool {
        !self.allowlist.is_empty() && self.is_allowed_at(event, rule, event.at.unwrap_or_default())
    }

    fn is_allowed_at(&self, event: &Event<'_>, rule: usize, at: Timestamp) -> bool {
        self.allowlist.find(event, &self.rules[rule].rule, at).is_some()
    }
}

/// Where lines come from.
pub struct Source {
    /// Its name, as the operator knows it.
    pub name: String,
    /// Whose events these are; empty for the only tenant.
    pub tenant: String,
    /// How its lines are decoded.
    pub decode: Arc<decode::Settings>,
    tenant_key: u64,
    clock: Clock,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// It has begun.
    Opened(Alert),
    /// It is over.
    Resolved(Alert),
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Reading.
    pub read: ReadCounts,
    /// Clocks.
    pub clock: ClockCounts,
    /// The window table.
    pub table: TableCounts,
    /// Findings that opened no alert because the allowlist knows the event.
    pub allowed_alerts: u64,
    /// Findings that opened no alert because too many are open.
    pub refused_alerts: u64,
    /// Matches by index of the rule.
    pub matches: Vec<u64>,
}

/// The engine; see the module.
pub struct Engine {
    shared: Shared,
    sources: Vec<Source>,
    tolerance: Tolerance,
    table: Table<Notes>,
    open: Vec<Mutex<usize>>,
    readers: Vec<Mutex<Reader>>,
    pool: rayon::ThreadPool,
    counts: Counts,
    undecodable: Vec<UndecodableLine>,
    /// Work that is not counted yet, oldest first, when several sources are merged by time.
    pending: Vec<Work>,
    spare: Vec<Work>,
}

/// An observation in the order in which it is counted.
struct Next<'w> {
    at: i64,
    work: &'w Work,
    observation: &'w Observation,
}

/// A finding that other rules look at.
struct Finding {
    window: u16,
    at: i64,
    /// Place of the work among the pending.
    work: usize,
    record: u32,
}

#[derive(Default)]
struct Counted {
    transitions: Vec<Transition>,
    findings: Vec<Finding>,
    allowed: u64,
    refused: u64,
}

impl Engine {
    /// Compiles rules and starts workers. The error is for threads that cannot be started.
    pub fn new(
        rules: &RuleSet,
        allowlist: Allowlist,
        settings: &Settings,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let mut schema = Schema::new();
        let matcher = Matcher::compile(rules, &mut schema);
        let plan = Plan::new(rules, &mut schema, settings.tolerance.lateness, settings.secret);
        let described = rules.rules.iter().map(|rule| Described {
            name: RuleName {
                id: rule.identity().to_owned(),
                name: rule.handle().to_owned(),
                title: rule.title.clone(),
            },
            severity: rule.severity,
            condition: Condition::of(rule),
            quiet: quiet_after(rule),
            rule: rule.clone(),
        });
        let shared =
            Shared { rules: described.collect(), schema: Arc::new(schema), matcher, plan, allowlist };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .thread_name(|number| format!("engine-{number}"))
            .build()?;
        let readers = (0..pool.current_num_threads()).map(|_| Mutex::new(Reader::new(&shared))).collect();
        Ok(Self {
            counts: Counts { matches: vec![0; rules.rules.len()], ..Counts::default() },
            shared,
            sources: Vec::new(),
            tolerance: settings.tolerance,
            table: Table::new(settings.max_window_bytes),
            open: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            readers,
            pool,
            undecodable: Vec::new(),
            pending: Vec::new(),
            spare: Vec::new(),
        })
    }

    /// Adds a source and gives its number.
    pub fn add_source(&mut self, name: &str, tenant: &str, decode: Arc<decode::Settings>) -> usize {
        let hash = blake3::hash(tenant.as_bytes());
        let tenant_key = hash.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
        self.sources.push(Source {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            decode,
            tenant_key,
            clock: Clock::default(),
        });
        self.sources.len() - 1
    }

    /// The latest believed time of a source.
    pub fn source_time(&self, source: usize) -> Option<Timestamp> {
        self.sources[source].clock.now()
    }

    /// The name of a source.
    pub fn source_name(&self, source: usize) -> &str {
        &self.sources[source].name
    }

    /// What is shared by all workers.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts { table: self.table.counts(), ..self.counts.clone() }
    }

    /// Lines that could not be read, some of them.
    pub fn undecodable(&self) -> &[UndecodableLine] {
        &self.undecodable
    }

    /// Reads chunks, each source's in order, and counts what is in them and in earlier ones up to a time.
    ///
    /// `until` is for several sources that are merged by time: no later chunk may have anything before it. With one
    /// source it is `None`: everything is counted in the order of the lines.
    pub fn process(&mut self, chunks: Vec<Chunk>, until: Option<Timestamp>) -> Vec<Transition> {
        self.read(chunks);
        self.count(until)
    }

    /// Decodes and matches chunks and settles their times, but counts nothing yet.
    pub fn read(&mut self, chunks: Vec<Chunk>) {
        let rules = self.shared.rules.len();
        let mut works: Vec<Work> = chunks
            .into_iter()
            .map(|chunk| match self.spare.pop() {
                Some(work) => work.reuse(chunk),
                None => Work::new(chunk, rules),
            })
            .collect();
        let (shared, sources, readers) = (&self.shared, &self.sources, &self.readers);
        self.pool.install(|| {
            works.par_iter_mut().with_max_len(1).for_each(|work| {
                let number = rayon::current_thread_index().unwrap_or(0);
                let mut reader = readers[number].lock().unwrap_or_else(PoisonError::into_inner);
                reader.read(shared, &sources[work.chunk.source], work);
            });
        });
        for work in &works {
            self.counts.read.add(&work.counts);
            self.counts
                .matches
                .iter_mut()
                .zip(&work.matches)
                .for_each(|(count, more)| *count += u64::from(*more));
            let room = MAX_UNDECODABLE_SAMPLES.saturating_sub(self.undecodable.len());
            self.undecodable.extend(work.undecodable.iter().take(room).cloned());
        }
        self.settle(&mut works);
        self.pending.append(&mut works);
    }

    /// Goes through the times of each source's chunks together, so that a line at the end of one chunk is confirmed by
    /// the lines of the next.
    fn settle(&mut self, works: &mut [Work]) {
        let mut times: Vec<i64> = Vec::new();
        for (number, source) in self.sources.iter_mut().enumerate() {
            times.clear();
            let mut received = None;
            for work in works.iter().filter(|work| work.chunk.source == number) {
                times.extend_from_slice(&work.times);
                received = work.chunk.received;
            }
            let counts = source.clock.settle(&mut times, received, self.tolerance);
            self.counts.clock.ahead += counts.ahead;
            self.counts.clock.late += counts.late;
            let mut rest = times.as_slice();
            for work in works.iter_mut().filter(|work| work.chunk.source == number) {
                let (settled, more) = rest.split_at(work.times.len());
                work.times.copy_from_slice(settled);
                rest = more;
            }
        }
    }

    /// Counts what has been read, up to a time; everything when there is none.
    pub fn count(&mut self, until: Option<Timestamp>) -> Vec<Transition> {
        let works = std::mem::take(&mut self.pending);
        let merged = until.is_some();
        let until = until.map_or(i64::MAX, Timestamp::as_micros);
        let this = &*self;
        let counted: Vec<Counted> = self.pool.install(|| {
            (0..PARTITIONS)
                .into_par_iter()
                .map(|partition| {
                    let mut counted = Counted::default();
                    let count = works.iter().map(|work| work.observations(partition).len()).sum();
                    let mut order: Vec<Next<'_>> = Vec::with_capacity(count);
                    for work in &works {
                        order.extend(work.observations(partition).filter_map(|observation| {
                            let at = work.times[observation.record as usize];
                            (at != NOT_COUNTED && at <= until).then_some(Next { at, work, observation })
                        }));
                    }
                    if merged {
                        // Stable: what has the same time stays in the order of the sources and of their lines.
                        order.sort_by_key(|next| next.at);
                    }
                    this.count_in_order(partition, &works, &order, &mut counted);
                    this.sweep(partition, &mut counted);
                    counted
                })
                .collect()
        });
        let mut all = Counted::default();
        for counted in counted {
            all.transitions.extend(counted.transitions);
            all.findings.extend(counted.findings);
            all.allowed += counted.allowed;
            all.refused += counted.refused;
        }
        self.chain(&works, until, &mut all);
        self.counts.allowed_alerts += all.allowed;
        self.counts.refused_alerts += all.refused;
        self.retire(works, until);
        all.transitions.sort_by(|left, right| order_of(left).cmp(&order_of(right)));
        all.transitions
    }

    /// Counts observations of one partition, in the order given.
    fn count_in_order(&self, number: usize, works: &[Work], order: &[Next<'_>], counted: &mut Counted) {
        let mut partition = self.table.partition(number);
        let mut open = self.open[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = order;
        while let Some(first) = rest.first() {
            // Observations about one subject that follow one another need one lookup.
            let same = rest.iter().take_while(|next| next.observation.key == first.observation.key).count();
            let (these, more) = rest.split_at(same);
            rest = more;
            let latest = these.iter().map(|next| next.at).max().unwrap_or(first.at);
            let mut removed = Vec::new();
            let subject_at = Timestamp::from_micros(latest);
            partition.with_subject(
                first.observation.key,
                subject_at,
                &mut |slot| removed.push(slot),
                |slots| {
                    for next in these {
                        self.count_one(next, works, slots, &mut open, counted);
                    }
                },
            );
            removed.into_iter().for_each(|slot| resolve_removed(slot, &mut open, counted));
        }
    }

    fn count_one(
        &self,
        next: &Next<'_>,
        works: &[Work],
        slots: &mut SubjectSlots<'_, Notes>,
        open: &mut usize,
        counted: &mut Counted,
    ) {
        let at = Timestamp::from_micros(next.at);
        let tap = self.shared.plan.tap(next.observation.tap);
        let planned = &self.shared.plan.windows[usize::from(tap.window)];
        let slot = slots.slot(tap.window, &planned.spec, at);
        let reading = slot.window.observe(&planned.spec, at, next.observation.observed);
        if reading.holds && planned.feeds {
            let work = works.iter().position(|work| std::ptr::eq(work, next.work)).unwrap_or(0);
            let record = next.observation.record;
            counted.findings.push(Finding { window: tap.window, at: next.at, work, record });
        }
        if !planned.reported {
            return;
        }
        let source = &self.sources[next.work.chunk.source];
        let record = next.observation.record;
        let taken = Taken { shared: &self.shared, source, tap, at, work: next.work, record };
        let outcome = taken.judge(slot, reading, *open < MAX_OPEN_IN_PARTITION);
        if let Some(alert) = outcome.resolved {
            *open = open.saturating_sub(1);
            counted.transitions.push(Transition::Resolved(alert));
        }
        if let Some(alert) = outcome.opened {
            *open += 1;
            counted.transitions.push(Transition::Opened(alert));
        }
        counted.allowed += u64::from(outcome.allowed);
        counted.refused += u64::from(outcome.refused);
    }

    fn sweep(&self, number: usize, counted: &mut Counted) {
        let mut partition = self.table.partition(number);
        let mut open = self.open[number].lock().unwrap_or_else(PoisonError::into_inner);
        partition.sweep(&mut |slot| resolve_removed(slot, &mut open, counted));
    }

    /// Takes findings to the windows that look at them, with the matches that go there directly, level by level.
    fn chain(&self, works: &[Work], until: i64, all: &mut Counted) {
        let mut findings = std::mem::take(&mut all.findings);
        for level in 2..=self.shared.plan.levels() {
            let mut observations: Vec<(i64, usize, Observation)> = Vec::new();
            for (place, work) in works.iter().enumerate() {
                observations.extend(work.later.iter().filter_map(|observation| {
                    let at = work.times[observation.record as usize];
                    let is_due = at != NOT_COUNTED && at <= until;
                    (is_due && self.shared.plan.tap(observation.tap).level == level).then_some((
                        at,
                        place,
                        *observation,
                    ))
                }));
            }
            for finding in &findings {
                self.observe_finding(works, finding, level, &mut observations);
            }
            observations
                .sort_by_key(|(at, work, observation)| (*at, *work, observation.record, observation.tap));
            let mut counted = Counted::default();
            for (at, work, observation) in &observations {
                let next = Next { at: *at, work: &works[*work], observation };
                self.count_in_order(observation.key.partition(), works, &[next], &mut counted);
            }
            findings.append(&mut counted.findings);
            all.transitions.append(&mut counted.transitions);
            all.allowed += counted.allowed;
            all.refused += counted.refused;
        }
    }

    fn observe_finding(
        &self,
        works: &[Work],
        finding: &Finding,
        level: usize,
        observations: &mut Vec<(i64, usize, Observation)>,
    ) {
        let plan = &self.shared.plan;
        let work = &works[finding.work];
        let source = &self.sources[work.chunk.source];
        let taps = plan.taps_of(plan.windows[usize::from(finding.window)].rule);
        let mut due = taps.iter().filter(|tap| plan.tap(**tap).level == level).peekable();
        if due.peek().is_none() {
            return;
        }
        let event = work.recall(&self.shared, source, finding.record);
        for &number in due {
            let tap = plan.tap(number);
            if let (Ok(key), Ok(observed)) =
                (plan.key(tap, source.tenant_key, &event), plan.observed(tap, &event))
            {
                let observation = Observation { key, observed, record: finding.record, tap: number };
                observations.push((finding.at, finding.work, observation));
            }
        }
    }

    /// Keeps work in which something is still to be counted, and the memory of the rest.
    fn retire(&mut self, works: Vec<Work>, until: i64) {
        for mut work in works {
            if work.times.iter().any(|at| *at > until) {
                work.keep_after(until);
                self.pending.push(work);
            } else if self.spare.len() < 64 {
                self.spare.push(work);
            }
        }
    }

    /// Memory that chunks can be read into: the texts of chunks that are done with.
    pub fn spare_text(&mut self) -> Option<String> {
        let work = self.spare.iter_mut().find(|work| work.chunk.text.capacity() > 0)?;
        Some(std::mem::take(&mut work.chunk.text))
    }

    /// Counts what is left and closes the books: the alerts that are over at the latest time of all sources, and those
    /// that are still open then.
    pub fn finish(&mut self) -> (Vec<Transition>, Vec<Alert>) {
        let mut transitions = self.count(None);
        let now = self.sources.iter().filter_map(|source| source.clock.now()).max().unwrap_or_default();
        let mut open = Vec::new();
        for partition in 0..PARTITIONS {
            self.table.partition(partition).for_each_slot(|_, slot| {
                let Some(notes) = &mut slot.memo else { return };
                transitions.extend(notes.close_if_over(now).map(Transition::Resolved));
                open.extend(notes.episode.as_deref().cloned());
            });
        }
        transitions.sort_by(|left, right| order_of(left).cmp(&order_of(right)));
        open.sort_by(|left, right| alert_order(left).cmp(&alert_order(right)));
        (transitions, open)
    }
}

fn resolve_removed(slot: Slot<Notes>, open: &mut usize, counted: &mut Counted) {
    if let Some(alert) = slot.memo.and_then(|mut notes| notes.close()) {
        *open = open.saturating_sub(1);
        counted.transitions.push(Transition::Resolved(alert));
    }
}

/// The order in which alerts are told: by time, then by rule and subject, which no two alerts of one time share.
pub fn alert_order(alert: &Alert) -> (Timestamp, &str, &str) {
    (alert.opened_at, &alert.rule.name, &alert.id)
}

fn order_of(transition: &Transition) -> (Timestamp, u8, &str, &str) {
    match transition {
        Transition::Opened(alert) => (alert.opened_at, 0, &alert.rule.name, &alert.id),
        Transition::Resolved(alert) => {
            (alert.resolved_at.unwrap_or(alert.opened_at), 1, &alert.rule.name, &alert.id)
        }
    }
}
