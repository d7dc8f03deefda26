//! Taking observations in: windows, readings, alerts, and findings that other rules look at.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::deviation::{Following, Watched};
use super::episode::{Cause, Notes, Opening, Taken};
use super::memory::Remembered;
use super::open_alerts::{OpenAlert, OpenAlerts};
use super::recovery::{Absent, Recovery};
use super::what_if::{Tested, Tried, WouldOpen};
use super::work::{Recall, Work};
use super::{Shared, Source, Transition};
use crate::clock::NOT_COUNTED;
use crate::event::Timestamp;
use crate::matching::observation::Observation;
use crate::rules::Severity;
use crate::windows::table::{Key, PARTITIONS, Slot, SubjectSlots, Table};
use crate::windows::{Measure, Observed};

/// What was counted.
#[derive(Default)]
pub struct Counted {
    /// Alerts that opened and ended, partition by partition.
    pub transitions: Vec<Transition>,
    /// Findings that opened no alert because the allowlist knows the event.
    pub allowed: u64,
    /// Findings that opened no alert because too many are open, by index of the rule.
    pub refused: BTreeMap<usize, u64>,
    /// Findings that opened no alert because another rule's is open about the same subject.
    pub inhibited: u64,
    /// Observations that came when the tick they belong to had been judged.
    pub late_for_tick: u64,
    /// Alerts that would have opened with other thresholds.
    pub would_open: Vec<WouldOpen>,
    /// Readings that were not compared with other thresholds for want of room.
    pub untried: u64,
    findings: Vec<Finding>,
    /// Alerts that opened, for risk: `observed` is the score.
    began: Vec<Began>,
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.transitions.extend(other.transitions);
        self.findings.extend(other.findings);
        self.began.extend(other.began);
        self.allowed += other.allowed;
        other.refused.into_iter().for_each(|(rule, more)| *self.refused.entry(rule).or_default() += more);
        self.inhibited += other.inhibited;
        self.late_for_tick += other.late_for_tick;
        self.would_open.extend(other.would_open);
        self.untried += other.untried;
    }
}

/// An observation in the order in which it is counted.
#[derive(Clone, Copy)]
struct Next<'w> {
    at: i64,
    /// Place of the work among those counted.
    work: usize,
    observation: &'w Observation,
    cause: Option<&'w Cause>,
}

/// A finding that other rules look at.
#[derive(Clone, Copy)]
struct Finding {
    at: i64,
    work: usize,
    record: u32,
    cause: Cause,
}

/// An alert that opened.
#[derive(Clone, Copy)]
struct Began {
    at: i64,
    work: usize,
    record: u32,
    window: u16,
    severity: Severity,
}

/// An observation for a window over findings, or for one that looks at events beside findings.
struct Chained {
    at: i64,
    work: usize,
    observation: Observation,
    cause: Option<Cause>,
}

/// Everything that counting needs.
pub struct Counting<'e> {
    /// What is shared by all workers.
    pub shared: &'e Shared,
    /// All sources.
    pub sources: &'e [Source],
    /// All windows.
    pub table: &'e Table<Notes>,
    /// What alerts are open, by partition.
    pub open: &'e [Mutex<OpenAlerts>],
    /// Which windows are looked at as time passes, by partition.
    pub watched: &'e [Mutex<Watched>],
    /// Nothing before this time will be counted any more, when that is known.
    pub passed: Option<Timestamp>,
    /// What would be open with other thresholds, by partition.
    pub tried: &'e [Mutex<Tried>],
    /// What alerts there were, when this was counted before.
    pub recovery: Option<&'e Recovery>,
    /// Alerts that were told before and are not found again yet, if there are any.
    pub absent: Option<&'e Absent>,
    /// What is in windows already that outlasted a restart.
    pub(super) remembered: &'e Remembered,
    /// What is counted, in the order of the input.
    pub works: &'e [Work],
    /// Up to which time.
    pub until: i64,
    /// Whether observations of several sources are put in the order of time.
    pub is_merged: bool,
}

impl Counting<'_> {
    /// Counts everything that is due, on all workers of the pool this is called in.
    pub fn run(&self) -> Counted {
        if let Some(begin) = self.begin() {
            (0..PARTITIONS).for_each(|partition| self.table.partition(partition).advance_to(begin));
        }
        let counted: Vec<Counted> =
            (0..PARTITIONS).into_par_iter().map(|partition| self.count_partition(partition)).collect();
        let mut all = Counted::default();
        counted.into_iter().for_each(|counted| all.add(counted));
        for level in 2..=self.shared.plan.levels() {
            self.chain(level, &mut all);
        }
        if let Some(passed) = self.passed {
            let counted: Vec<Counted> =
                (0..PARTITIONS).into_par_iter().map(|partition| self.pass(partition, passed)).collect();
            counted.into_iter().for_each(|counted| all.add(counted));
        }
        self.add_risk(&mut all);
        // Only now: a window over findings may look idle until the findings of this batch are in it.
        let swept: Vec<Counted> =
            (0..PARTITIONS).into_par_iter().map(|partition| self.sweep(partition)).collect();
        swept.into_iter().for_each(|counted| all.add(counted));
        all
    }

    /// The earliest time that is counted here: what was idle before it is idle for good.
    fn begin(&self) -> Option<Timestamp> {
        let due = self.works.iter().flat_map(|work| &work.times).copied().filter(|at| self.is_due(*at));
        due.min().map(Timestamp::from_micros)
    }

    fn is_due(&self, at: i64) -> bool {
        at != NOT_COUNTED && at <= self.until
    }

    fn count_partition(&self, partition: usize) -> Counted {
        let count = self.works.iter().map(|work| work.observations(partition).len()).sum();
        let mut order: Vec<Next<'_>> = Vec::with_capacity(count);
        for (place, work) in self.works.iter().enumerate().filter(|(_, work)| work.earliest() <= self.until) {
            order.extend(work.observations(partition).filter_map(|observation| {
                let at = work.times[observation.record as usize];
                self.is_due(at).then_some(Next { at, work: place, observation, cause: None })
            }));
        }
        if self.is_merged {
            // Stable: what has the same time stays in the order of the sources and of their lines.
            order.sort_by_key(|next| next.at);
        }
        let mut counted = Counted::default();
        self.count_in_order(partition, &order, &mut counted);
        counted
    }

    /// Counts observations of one partition, in the order given.
    fn count_in_order(&self, number: usize, order: &[Next<'_>], counted: &mut Counted) {
        let mut partition = self.table.partition(number);
        let mut open = self.open[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched = self.watched[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut tried = self.tried[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = order;
        while let Some(first) = rest.first() {
            // Observations about one subject that follow one another need one lookup.
            let same = rest.iter().take_while(|next| next.observation.key == first.observation.key).count();
            let (these, more) = rest.split_at(same);
            rest = more;
            let mut removed = Vec::new();
            let record_of = |next: &Next<'_>| (next.work, next.observation.record);
            let events =
                1 + these.windows(2).filter(|pair| record_of(&pair[0]) != record_of(&pair[1])).count();
            partition.with_subject(
                first.observation.key,
                events,
                &mut |key, slot| removed.push((key, slot)),
                |slots| {
                    for next in these {
                        self.count_one(next, slots, &mut open, &mut watched, &mut tried, counted);
                    }
                },
            );
            removed.into_iter().for_each(|(key, slot)| resolve_removed(key, slot, &mut open, counted));
            watched.tidy(&mut partition);
        }
    }

    fn count_one(
        &self,
        next: &Next<'_>,
        slots: &mut SubjectSlots<'_, Notes>,
        open: &mut OpenAlerts,
        watched: &mut Watched,
        tried: &mut Tried,
        counted: &mut Counted,
    ) {
        let at = Timestamp::from_micros(next.at);
        let record = next.observation.record;
        let tap = self.shared.plan.tap(next.observation.tap);
        let planned = &self.shared.plan.windows[usize::from(tap.window)];
        let is_lasting = planned.spec.measure.is_long_lived();
        if is_lasting && self.remembered.has(next.observation.key.partition()) {
            return;
        }
        let is_inhibited = !planned.inhibited_by.is_empty()
            && slots.any(&planned.inhibited_by, |notes| notes.is_open_at(at));
        let slot = slots.slot(tap.window, &planned.spec, at);
        let work = &self.works[next.work];
        let source = &self.sources[work.chunk.source];
        let taken = Taken {
            shared: self.shared,
            source,
            tap,
            at,
            work,
            record,
            cause: next.cause.copied(),
            observed: next.observation.observed,
        };
        if let Measure::Baseline(asked) = &planned.spec.measure {
            let mut following = Following {
                shared: self.shared,
                recovery: self.recovery,
                absent: self.absent,
                open,
                counted,
            };
            following.observe(&taken, next.observation, slot, asked, watched);
            return;
        }
        let reading = slot.window.observe(&planned.spec, at, next.observation.observed);
        if reading.holds && planned.feeds {
            let cause = Cause { window: tap.window, observed: reading.measured };
            counted.findings.push(Finding { at: reading.first.as_micros(), work: next.work, record, cause });
        }
        if !planned.reported {
            return;
        }
        if let Some(trial) = self.shared.trial(tap.window) {
            let (key, number) = (next.observation.key, tap.window);
            let tested = Tested { trial, key, number, window: &slot.window, at, reading };
            let may_open = || !is_inhibited && !taken.is_allowed(planned.rule);
            let has_room = tried.take(&tested, may_open, &mut counted.would_open);
            counted.untried += u64::from(!has_room);
        }
        let described = &self.shared.rules[planned.rule];
        let precedence = described.precedence_of(described.rule.severity_at(reading.measured));
        let opening = match open.has_room(tap.window, precedence) {
            _ if let Some(recovery) = self.recovery => Opening::IfKnown(recovery),
            _ if is_inhibited => Opening::Inhibited,
            true if let Some(absent) = self.absent => Opening::Return(absent),
            true => Opening::Allowed,
            false => Opening::Refused,
        };
        let outcome = taken.judge(slot, reading, opening);
        if let Some(alert) = outcome.resolved {
            open.resolved(OpenAlert { key: next.observation.key, window: tap.window });
            counted.transitions.push(Transition::Resolved(alert));
        }
        if let Some(alert) = outcome.opened {
            open.opened(OpenAlert { key: next.observation.key, window: tap.window });
            counted.transitions.push(Transition::Opened(alert));
        }
        let is_risk = matches!(planned.spec.measure, Measure::Risk(_));
        if let Some((began_at, severity)) = outcome.began
            // What is on trial adds nothing to what is not.
            && !described.mode.is_shadow()
            && !is_risk
            && !self.shared.plan.risk_taps().is_empty()
        {
            let (at, work) = (began_at.as_micros(), next.work);
            counted.began.push(Began { at, work, record, window: tap.window, severity });
        }
        if let Some((alert, before)) = outcome.escalated {
            counted.transitions.push(Transition::Escalated(alert, before));
        }
        if outcome.returned {
            open.opened(OpenAlert { key: next.observation.key, window: tap.window });
        }
        counted.allowed += u64::from(outcome.allowed);
        if outcome.refused {
            *counted.refused.entry(planned.rule).or_default() += 1;
        }
        counted.inhibited += u64::from(outcome.inhibited);
    }

    /// Judges the ticks that are over.
    fn pass(&self, number: usize, passed: Timestamp) -> Counted {
        let mut counted = Counted::default();
        let mut partition = self.table.partition(number);
        let mut open = self.open[number].lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched = self.watched[number].lock().unwrap_or_else(PoisonError::into_inner);
        let (shared, recovery) = (self.shared, self.recovery);
        let mut following =
            Following { shared, recovery, absent: self.absent, open: &mut open, counted: &mut counted };
        following.pass(&mut partition, &mut watched, passed.as_micros());
        counted
    }

    fn sweep(&self, number: usize) -> Counted {
        let mut counted = Counted::default();
        let mut partition = self.table.partition(number);
        let mut open = self.open[number].lock().unwrap_or_else(PoisonError::into_inner);
        let now = partition.now();
        // Not only those that are looked at for other reasons: a subject may be busy for ever with what other rules
        // count, or not be seen again.
        open.resolve(|alert| {
            let over =
                partition.with_memo(alert.key, alert.window, |notes| notes.close_if_over(now)).flatten();
            let is_over = over.is_some();
            counted.transitions.extend(over.map(Transition::Resolved));
            is_over
        });
        partition.sweep(&mut |key, slot| resolve_removed(key, slot, &mut open, &mut counted));
        self.tried[number].lock().unwrap_or_else(PoisonError::into_inner).sweep(now);
        counted
    }

    /// Takes findings to the windows of a level that look at them, with the matches that go there directly.
    fn chain(&self, level: usize, all: &mut Counted) {
        let mut chained: Vec<Chained> = Vec::new();
        for (place, work) in self.works.iter().enumerate() {
            chained.extend(work.later.iter().filter_map(|observation| {
                let at = work.times[observation.record as usize];
                let is_due = self.is_due(at) && self.shared.plan.tap(observation.tap).level == level;
                is_due.then_some(Chained { at, work: place, observation: *observation, cause: None })
            }));
        }
        // Findings of one event stand together, so that it is decoded once.
        all.findings.par_sort_by_key(|finding| (finding.work, finding.record, finding.cause.window));
        let of_one_event =
            |left: &Finding, right: &Finding| (left.work, left.record) == (right.work, right.record);
        chained.par_extend(
            all.findings
                .par_chunk_by(of_one_event)
                .map_init(
                    || Recall::new(self.shared),
                    |recall, findings| self.observe_findings(recall, findings, level),
                )
                .flatten_iter(),
        );
        if chained.is_empty() {
            return;
        }
        let rank = |next: &Chained| self.shared.plan.rank_of(next.observation.tap);
        chained.par_sort_by_key(|next| {
            (next.at, next.work, next.observation.record, rank(next), next.observation.tap)
        });
        // Rules that an event satisfies together are one observation; findings of several rules are several.
        chained.dedup_by(|next, earlier| {
            let are_rules = matches!(next.observation.observed, Observed::Rules(_));
            let is_same = next.work == earlier.work && are_rules;
            is_same && earlier.observation.takes_in(&next.observation, &self.shared.plan)
        });
        self.count_chained(&chained, all);
    }

    fn count_chained(&self, chained: &[Chained], all: &mut Counted) {
        let mut by_partition: Vec<Vec<Next<'_>>> = vec![Vec::new(); PARTITIONS];
        for Chained { at, work, observation, cause } in chained {
            let next = Next { at: *at, work: *work, observation, cause: cause.as_ref() };
            by_partition[observation.key.partition()].push(next);
        }
        let counted: Vec<Counted> = by_partition
            .par_iter()
            .enumerate()
            .map(|(partition, order)| {
                let mut counted = Counted::default();
                if !order.is_empty() {
                    self.count_in_order(partition, order, &mut counted);
                }
                counted
            })
            .collect();
        counted.into_iter().for_each(|counted| all.add(counted));
    }

    /// Takes alerts that opened to the windows of the entities that their events name.
    fn add_risk(&self, all: &mut Counted) {
        let plan = &self.shared.plan;
        let began = std::mem::take(&mut all.began);
        let mut recall = Recall::new(self.shared);
        let mut chained: Vec<Chained> = Vec::new();
        for Began { at, work, record, window, severity } in began {
            let source = &self.sources[self.works[work].chunk.source];
            let event = recall.event(&self.works[work], source, record);
            let contributor = &self.shared.rules[plan.windows[usize::from(window)].rule].rule;
            for &number in plan.risk_taps() {
                let tap = plan.tap(number);
                let by = &self.shared.rules[plan.windows[usize::from(tap.window)].rule].rule;
                let score = contributor.risk.unwrap_or_else(|| by.score_of(severity));
                if score > 0.0
                    && let Ok(key) = plan.key(tap, source.tenant_key, &event)
                {
                    let observation =
                        Observation { key, observed: Observed::Number(score), record, tap: number };
                    let cause = Some(Cause { window, observed: score });
                    chained.push(Chained { at, work, observation, cause });
                }
            }
        }
        let window = |next: &Chained| next.cause.map_or(0, |cause| cause.window);
        chained.sort_by_key(|next| {
            (next.at, next.work, next.observation.record, next.observation.tap, window(next))
        });
        self.count_chained(&chained, all);
    }

    /// What windows of a level observe of the findings about one event.
    fn observe_findings(&self, recall: &mut Recall<'_>, findings: &[Finding], level: usize) -> Vec<Chained> {
        let plan = &self.shared.plan;
        let mut chained = Vec::new();
        let mut event = None;
        for finding in findings {
            let taps = plan.taps_of(plan.windows[usize::from(finding.cause.window)].rule);
            for &number in taps.iter().filter(|tap| plan.tap(**tap).level == level) {
                let tap = plan.tap(number);
                let work = &self.works[finding.work];
                let source = &self.sources[work.chunk.source];
                let event = event.get_or_insert_with(|| recall.event(work, source, finding.record));
                let key = plan.key(tap, source.tenant_key, event);
                if let (Ok(key), Ok(observed)) = (key, plan.observed(tap, event)) {
                    let observation = Observation { key, observed, record: finding.record, tap: number };
                    let cause = Some(finding.cause);
                    chained.push(Chained { at: finding.at, work: finding.work, observation, cause });
                }
            }
        }
        chained
    }
}

fn resolve_removed(key: Key, slot: Slot<Notes>, open: &mut OpenAlerts, counted: &mut Counted) {
    if let Some(alert) = slot.memo.and_then(|mut notes| notes.close()) {
        open.resolved(OpenAlert { key, window: slot.rule });
        counted.transitions.push(Transition::Resolved(alert));
    }
}
