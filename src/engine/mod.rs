//! From lines to alerts, synchronously and on all cores.
//!
//! The same engine serves logs that are read afterwards and logs as they are written. It takes pieces of logs and
//! works in steps:
//!
//! 1. **read** (parallel, by chunk): decode and match every line; what is to be counted becomes observations, sorted
//!    by partition of the window table. Stateless.
//! 2. **settle** (one pass over the times): how far each source's clock is believed ([`crate::clock`]).
//! 3. **count** (parallel, by partition, [`counting`]): observations are taken in by their windows, in the order of the
//!    input, and readings judged ([`episode`]), or ticks ([`deviation`]); then the same for windows over findings, level
//!    by level.
//!
//! What is the same for every order of work is decided by the input alone: chunks are cut without regard to the number
//! of workers, and partitions are worked on one worker at a time. So the alerts are the same, to the byte, with any
//! number of threads.

pub mod chain;
pub mod counting;
pub mod deviation;
pub mod episode;
pub mod memory;
pub mod open_alerts;
pub mod recovery;
pub mod reload;
pub mod what_if;
pub mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rayon::prelude::*;

use crate::alert::{Alert, Condition, RuleName, quiet_after};
use crate::allowlist::Allowlist;
use crate::campaign::Campaigns;
use crate::clock::{Clock, ClockCounts, Tolerance};
use crate::decode::{self, Tally};
use crate::event::{Event, Schema, Timestamp};
use crate::geo::Geo;
use crate::matching::Matcher;
use crate::matching::observation::{Plan, Secret};
use crate::rules::{Mode, Rule, RuleSet, Severity};
use crate::windows::table::{PARTITIONS, Table, TableCounts};
use chain::Stages;
use counting::Counting;
use deviation::Watched;
use episode::Notes;
use memory::Remembered;
use open_alerts::OpenAlerts;
use recovery::{Absent, Recovery};
use what_if::{Outcomes, Trial, Tried, WhatIf, WouldFire};
use work::{Chunk, ReadCounts, Reader, Recall, UndecodableLine, Work};

/// Undecodable lines kept for the operator, over all sources.
const MAX_UNDECODABLE_SAMPLES: usize = 20;

/// Pieces of work whose memory is kept for the next ones.
const MAX_SPARE: usize = 32;

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
    /// Where addresses are.
    pub geo: Geo,
    /// Spikes that are planned.
    pub campaigns: Campaigns,
    /// Which thresholds are tried beside those that rules have.
    pub what_if: WhatIf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: Tolerance::default(),
            max_window_bytes: 256 << 20,
            secret: *b"watchbell-replay",
            threads: 0,
            geo: Geo::default(),
            campaigns: Campaigns::default(),
            what_if: WhatIf::Nothing,
        }
    }
}

/// What a rule says, ready to be put into alerts.
pub struct Described {
    /// Its names.
    pub name: Arc<RuleName>,
    /// How much it matters.
    pub severity: Severity,
    /// Whether what it finds is for people.
    pub mode: Mode,
    /// What it asks for.
    pub condition: Arc<Condition>,
    /// How long an episode lasts after its last finding.
    pub quiet: Duration,
    /// The fields it looks at that no database fills: it is off, unless the log says itself where clients are.
    pub lacks: Vec<String>,
    /// The stages of a sequence.
    pub stages: Option<Stages>,
    rule: Rule,
}

impl Described {
    /// The severity by which its alerts get a part of the room for open ones: what is on trial leaves room to all others.
    pub const fn precedence(&self) -> Severity {
        self.precedence_of(self.severity)
    }

    /// And that of an alert that matters as much as this.
    pub const fn precedence_of(&self, severity: Severity) -> Severity {
        if self.mode.is_shadow() { Severity::Informational } else { severity }
    }

    /// The severities that its alerts may have.
    pub fn severities(&self) -> impl Iterator<Item = Severity> {
        std::iter::once(self.severity).chain(self.rule.stages.iter().map(|(_, severity)| *severity))
    }
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
    /// Whether an entry of the allowlist is about where clients are.
    allowlist_asks_for_places: bool,
    geo: Geo,
    /// Spikes that are planned.
    pub campaigns: Campaigns,
    /// What is tried, by window; nothing when nothing is.
    trials: Vec<Option<Box<Trial>>>,
}

impl Shared {
    /// Compiles rules.
    fn new(rules: &RuleSet, mut allowlist: Allowlist, settings: &Settings) -> Self {
        let mut schema = Schema::new();
        allowlist.resolve(&mut schema);
        let matcher = Matcher::compile(rules, &mut schema);
        let (lateness, relays) = (settings.tolerance.lateness, settings.geo.relays());
        let plan = Plan::new(rules, &mut schema, lateness, settings.secret, relays);
        let stages: Vec<Option<Stages>> =
            rules.rules.iter().map(|rule| Stages::new(rules, rule, &mut schema)).collect();
        let described = rules.rules.iter().zip(stages).map(|(rule, stages)| Described {
            name: Arc::new(RuleName {
                id: rule.identity().to_owned(),
                name: rule.handle().to_owned(),
                title: rule.title.clone(),
            }),
            severity: rule.severity,
            mode: rule.mode,
            condition: Arc::new(Condition::of(rule)),
            quiet: quiet_after(rules, rule),
            lacks: lacking(rule, &settings.geo),
            stages,
            rule: rule.clone(),
        });
        let rules: Vec<Described> = described.collect();
        let trials = what_if::trials(&settings.what_if, &plan, &rules);
        let (geo, campaigns) = (settings.geo.clone(), settings.campaigns.clone());
        let allowlist_asks_for_places = allowlist.asks_for_places();
        let schema = Arc::new(schema);
        Self { rules, schema, matcher, plan, allowlist, allowlist_asks_for_places, geo, campaigns, trials }
    }

    /// What is tried for a window.
    fn trial(&self, window: u16) -> Option<&Trial> {
        self.trials.get(usize::from(window))?.as_deref()
    }

    /// Where addresses are.
    pub const fn geo(&self) -> &Geo {
        &self.geo
    }

    fn is_allowed(&self, event: &Event<'_>, rule: usize) -> bool {
        !self.allowlist.is_empty() && self.is_allowed_at(event, rule, event.at.unwrap_or_default())
    }

    fn is_allowed_at(&self, event: &Event<'_>, rule: usize, at: Timestamp) -> bool {
        self.allowlist.find(event, &self.rules[rule].rule, at).is_some()
    }
}

/// The fields of a rule that databases fill, and these do not.
pub fn lacking(rule: &Rule, geo: &Geo) -> Vec<String> {
    rule.fields().into_iter().filter(|field| geo.lacks(field)).map(str::to_owned).collect()
}

/// Where lines come from.
pub struct Source {
    /// Its name, as the operator knows it.
    pub name: Arc<str>,
    /// Whose events these are; empty for the only tenant.
    pub tenant: String,
    /// How its lines are decoded.
    pub decode: Arc<decode::Settings>,
    tenant_key: u64,
    clock: Clock,
    next_line: u64,
}

impl Source {
    fn new(name: &str, tenant: &str, decode: Arc<decode::Settings>) -> Self {
        let hash = blake3::hash(tenant.as_bytes());
        let tenant_key = hash.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
        Self {
            name: name.into(),
            tenant: tenant.to_owned(),
            decode,
            tenant_key,
            clock: Clock::default(),
            next_line: 1,
        }
    }
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// It has begun.
    Opened(Alert),
    /// More of it was found, and it matters more than before, which is the severity beside it.
    Escalated(Alert, Severity),
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
    /// Findings that opened no alert because too many are open, by index of the rule.
    pub refused_alerts: Vec<u64>,
    /// Findings that opened no alert because another rule's is open about the same subject.
    pub inhibited_alerts: u64,
    /// Observations that came when the tick of a baseline that they belong to had been judged.
    pub late_for_tick: u64,
    /// Matches by index of the rule.
    pub matches: Vec<u64>,
}

impl Counts {
    fn new(rules: usize) -> Self {
        Self { matches: vec![0; rules], refused_alerts: vec![0; rules], ..Self::default() }
    }
}

/// The engine; see the module.
pub struct Engine {
    shared: Shared,
    sources: Vec<Source>,
    tolerance: Tolerance,
    secret: Secret,
    table: Table<Notes>,
    open: Vec<Mutex<OpenAlerts>>,
    watched: Vec<Mutex<Watched>>,
    /// Nothing before this time will be counted any more; to be told to windows with the next count.
    passed: Option<Timestamp>,
    /// What would be open with other thresholds, by partition.
    tried: Vec<Mutex<Tried>>,
    would_have: Outcomes,
    readers: Vec<Mutex<Reader>>,
    pool: rayon::ThreadPool,
    counts: Counts,
    undecodable: Vec<UndecodableLine>,
    /// Work that is not counted yet, oldest first, when several sources are merged by time.
    pending: Vec<Work>,
    spare: Vec<Work>,
    /// While what was counted before is counted again.
    recovery: Option<Recovery>,
    /// What was told before and is not found again yet.
    absent: Absent,
    /// What outlasted a restart.
    remembered: Remembered,
}

impl Engine {
    /// Compiles rules and starts workers. The error is for threads that cannot be started.
    pub fn new(
        rules: &RuleSet,
        allowlist: Allowlist,
        settings: &Settings,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let shared = Shared::new(rules, allowlist, settings);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .thread_name(|number| format!("engine-{number}"))
            .build()?;
        let readers = (0..pool.current_num_threads()).map(|_| Mutex::new(Reader::new(&shared))).collect();
        Ok(Self {
            counts: Counts::new(rules.rules.len()),
            shared,
            sources: Vec::new(),
            tolerance: settings.tolerance,
            secret: settings.secret,
            table: Table::new(settings.max_window_bytes),
            open: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            watched: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            passed: None,
            tried: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            would_have: Outcomes::default(),
            readers,
            pool,
            undecodable: Vec::new(),
            pending: Vec::new(),
            spare: Vec::new(),
            recovery: None,
            absent: Absent::default(),
            remembered: Remembered::default(),
        })
    }

    /// Adds a source and gives its number.
    pub fn add_source(&mut self, name: &str, tenant: &str, decode: Arc<decode::Settings>) -> usize {
        self.sources.push(Source::new(name, tenant, decode));
        self.sources.len() - 1
    }

    /// Gives the number of a source that has ended to another.
    pub fn replace_source(&mut self, number: usize, name: &str, tenant: &str, decode: Arc<decode::Settings>) {
        self.sources[number] = Source::new(name, tenant, decode);
    }

    /// Lets windows take so much memory from now on; what is too much goes with the next observations.
    pub fn set_max_window_bytes(&mut self, max_bytes: u64) {
        self.table.set_max_bytes(max_bytes);
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

    /// Decodes and matches chunks, each source's in order, and settles their times, but counts nothing yet. Gives what
    /// became of the lines of each chunk.
    pub fn read(&mut self, chunks: Vec<Chunk>) -> Vec<Tally> {
        let mut works = self.works_for(chunks);
        self.pool.install(|| read_all(&self.shared, &self.sources, &self.readers, &mut works));
        let tallies = works.iter().map(|work| work.counts.decoded.clone()).collect();
        self.accept(works);
        tallies
    }

    /// Calls `visit` with every event that has been read and is not counted yet, and the number of its line.
    pub fn for_each_event(&self, mut visit: impl FnMut(&Source, u64, &Event<'_>)) {
        let mut recall = Recall::new(&self.shared);
        for work in &self.pending {
            let source = &self.sources[work.chunk.source];
            for record in 0..work.times.len() as u32 {
                visit(source, work.line(record), &recall.event(work, source, record));
            }
        }
    }

    /// Calls `visit` with every messaging event that has been read and is not counted yet, and when it arrived.
    pub fn for_each_messaging_event(&self, mut visit: impl FnMut(&Source, Option<Timestamp>, &Event<'_>)) {
        let mut recall = Recall::new(&self.shared);
        for work in &self.pending {
            let source = &self.sources[work.chunk.source];
            for record in &work.messaging {
                visit(source, work.chunk.received, &recall.event(work, source, *record));
            }
        }
    }

    /// Counts what has been read, and gives what became of alerts.
    ///
    /// `until` is for several sources that are merged by time: up to it, where nothing that is read later may be before
    /// it. With one source it is `None`: everything is counted, in the order of the lines.
    pub fn count(&mut self, until: Option<Timestamp>) -> Vec<Transition> {
        self.count_and_read(until, Vec::new())
    }

    /// Counts what has been read before, and reads chunks meanwhile: what [`Self::count`] and then [`Self::read`] would
    /// do, with workers that never wait for one another.
    pub fn count_and_read(&mut self, until: Option<Timestamp>, chunks: Vec<Chunk>) -> Vec<Transition> {
        let works = std::mem::take(&mut self.pending);
        let passed = self.passed.take();
        let mut next = self.works_for(chunks);
        let counting = Counting {
            shared: &self.shared,
            sources: &self.sources,
            table: &self.table,
            open: &self.open,
            watched: &self.watched,
            passed,
            tried: &self.tried,
            recovery: self.recovery.as_ref(),
            absent: Some(&self.absent).filter(|absent| !absent.is_empty()),
            remembered: &self.remembered,
            works: &works,
            until: until.map_or(i64::MAX, Timestamp::as_micros),
            is_merged: until.is_some(),
        };
        let until = counting.until;
        let (mut counted, ()) = self.pool.install(|| {
            rayon::join(|| counting.run(), || read_all(&self.shared, &self.sources, &self.readers, &mut next))
        });
        self.counts.allowed_alerts += counted.allowed;
        self.counts.inhibited_alerts += counted.inhibited;
        self.counts.late_for_tick += counted.late_for_tick;
        self.would_have.add(&counted.would_open, &self.shared.trials);
        self.would_have.untried += counted.untried;
        for (rule, refused) in counted.refused {
            self.counts.refused_alerts[rule] += refused;
        }
        self.retire(works, until);
        self.accept(next);
        if self.recovery.is_some() {
            return Vec::new();
        }
        counted.transitions.sort_by(|left, right| order_of(left).cmp(&order_of(right)));
        counted.transitions
    }

    fn works_for(&mut self, chunks: Vec<Chunk>) -> Vec<Work> {
        let rules = self.shared.rules.len();
        let work = |chunk| match self.spare.pop() {
            Some(work) => work.reuse(chunk),
            None => Work::new(chunk, rules),
        };
        chunks.into_iter().map(work).collect()
    }

    /// Takes what has been read into the books.
    fn accept(&mut self, mut works: Vec<Work>) {
        for work in &mut works {
            let source = &mut self.sources[work.chunk.source];
            source.next_line = work.number_lines(source.next_line);
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
                work.settle(settled);
                rest = more;
            }
        }
    }

    /// Time has passed in which nothing came: ends the episodes that are over, and judges the ticks that are, when nothing
    /// before `now` will be counted any more.
    pub fn advance_to(&mut self, now: Timestamp) -> Vec<Transition> {
        for partition in 0..PARTITIONS {
            self.table.partition(partition).advance_to(now);
        }
        self.passed = Some(now);
        let mut transitions = self.count(None);
        transitions.extend(self.absent.over(&self.shared, now));
        transitions
    }

    /// The open alerts in which something was found since they were last told.
    pub fn updates(&mut self) -> Vec<Alert> {
        self.of_open(Notes::update)
    }

    /// The open alerts.
    pub fn open_alerts(&self) -> Vec<Alert> {
        self.of_open(|notes| notes.episode.as_deref().cloned())
    }

    fn of_open(&self, mut alert_of: impl FnMut(&mut Notes) -> Option<Alert>) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for (number, open) in self.open.iter().enumerate() {
            let mut partition = self.table.partition(number);
            for alert in open.lock().unwrap_or_else(PoisonError::into_inner).all() {
                alerts.extend(partition.with_memo(alert.key, alert.window, &mut alert_of).flatten());
            }
        }
        alerts.sort_by(|left, right| alert_order(left).cmp(&alert_order(right)));
        alerts
    }

    /// What rules would have said with the thresholds that are tried: in the day before `now`, in hourly steps, or since
    /// the start.
    pub fn would_fire(&self, now: Option<Timestamp>) -> Vec<WouldFire> {
        self.would_have.all(&self.shared.trials, now)
    }

    /// Readings that were not compared with other thresholds because too many subjects had some.
    pub const fn untried(&self) -> u64 {
        self.would_have.untried
    }

    /// Keeps work in which something is still to be counted, and the memory of the rest.
    fn retire(&mut self, works: Vec<Work>, until: i64) {
        for mut work in works {
            if work.latest() > until {
                work.keep_after(until);
                self.pending.push(work);
            } else if self.spare.len() < MAX_SPARE {
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
        self.passed = Some(now);
        transitions.extend(self.count(None));
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

/// Decodes and matches all lines of pieces of work, on all workers of the pool this is called in.
fn read_all(shared: &Shared, sources: &[Source], readers: &[Mutex<Reader>], works: &mut [Work]) {
    works.par_iter_mut().with_max_len(1).for_each(|work| {
        let number = rayon::current_thread_index().unwrap_or(0);
        let mut reader = readers[number].lock().unwrap_or_else(PoisonError::into_inner);
        reader.read(shared, &sources[work.chunk.source], work);
    });
}

/// The order in which alerts are told: by time, then by rule and subject, which no two alerts of one time share.
pub fn alert_order(alert: &Alert) -> (Timestamp, &str, &str) {
    (alert.opened_at, &alert.rule.name, &alert.id)
}

fn order_of(transition: &Transition) -> (Timestamp, u8, &str, &str) {
    match transition {
        Transition::Opened(alert) => (alert.opened_at, 0, &alert.rule.name, &alert.id),
        Transition::Escalated(alert, _) => (alert.last_seen_at, 1, &alert.rule.name, &alert.id),
        Transition::Resolved(alert) => {
            (alert.resolved_at.unwrap_or(alert.opened_at), 2, &alert.rule.name, &alert.id)
        }
    }
}
