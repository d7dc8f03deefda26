//! What the ticks of a rule with a baseline become: episodes, which may begin with nothing.
//!
//! Other windows are looked at when an event comes. These have to be looked at when none does: each is known to the
//! [`Watched`] of its partition, with the time at which its next tick is over, and is visited once a tick at most, so the
//! work is in proportion to the windows with a baseline and not to all subjects. When a log is read afterwards, the ticks
//! of a subject are judged when its next event comes or the log ends; what is found of them is the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::PoisonError;

use super::Transition;
use super::counting::Counted;
use super::episode::{Notes, Opening, Taken};
use super::open_alerts::{OpenAlert, OpenAlerts};
use super::recovery::{Absent, Recovery};
use super::{Engine, Shared};
use crate::alert::{Alert, Deviation, Evidence, MAX_SAMPLES, span_text};
use crate::event::Timestamp;
use crate::matching::observation::{Observation, PlannedWindow};
use crate::windows::baseline::series::{Asked, Label, Series, Turn, Verdict};
use crate::windows::table::{Key, Partition, Slot};
use crate::windows::{Measure, Window};

/// Windows that are noted without looking whether they are still there.
const ROOM: usize = 1_024;

/// The windows with a baseline in a partition of the table, by when they are to be looked at.
#[derive(Debug)]
pub struct Watched {
    /// When, of whom, and the number of the window.
    due: BinaryHeap<Reverse<(i64, Key, u16)>>,
    /// With so many it is looked which windows are gone, so that there are at most twice as many as there are windows.
    room: usize,
}

impl Default for Watched {
    fn default() -> Self {
        Self { due: BinaryHeap::new(), room: ROOM }
    }
}

impl Watched {
    /// Notes when a window is to be looked at next.
    fn watch(&mut self, key: Key, window: u16, series: &mut Series, asked: &Asked) {
        let due = series.next_due(asked);
        series.due = Some(due);
        self.due.push(Reverse((due, key, window)));
    }

    /// Notes a window that outlasted a restart.
    pub fn watch_restored(&mut self, key: Key, slot: &mut Slot<Notes>, measure: &Measure) {
        if let (Window::Baseline(series), Measure::Baseline(asked)) = (&mut slot.window, measure) {
            self.watch(key, slot.rule, series, asked);
        }
    }

    /// Nobody watched until this time.
    pub fn resume(
        &mut self,
        partition: &mut Partition<'_, Notes>,
        windows: &[PlannedWindow],
        now: Timestamp,
    ) {
        for Reverse((due, key, window)) in std::mem::take(&mut self.due) {
            let spec = &windows[usize::from(window)].spec;
            let Measure::Baseline(asked) = &spec.measure else { continue };
            partition.with_slot(key, window, |slot| {
                let Window::Baseline(series) = &mut slot.window else { return };
                if series.due == Some(due) {
                    series.resume(spec, asked, now);
                    self.watch(key, window, series, asked);
                }
            });
        }
    }

    /// A window that is to be looked at by this time.
    fn next(&mut self, now: i64) -> Option<(i64, Key, u16)> {
        let Reverse((due, ..)) = self.due.peek()?;
        if *due > now {
            return None;
        }
        self.due.pop().map(|Reverse(next)| next)
    }

    /// Forgets windows that are gone, when there may be many of them.
    pub fn tidy(&mut self, partition: &mut Partition<'_, Notes>) {
        if self.due.len() < self.room {
            return;
        }
        self.due.retain(|Reverse((due, key, window))| {
            let is_there = partition.with_slot(*key, *window, |slot| match &slot.window {
                Window::Baseline(series) => series.due == Some(*due),
                _ => false,
            });
            is_there.unwrap_or(false)
        });
        self.room = ROOM.max(self.due.len() * 2);
    }

    /// Calls `visit` with the number of every window that is there, and what is in it.
    fn for_each(&self, partition: &mut Partition<'_, Notes>, mut visit: impl FnMut(u16, &Series)) {
        for Reverse((due, key, window)) in &self.due {
            partition.with_slot(*key, *window, |slot| match &mut slot.window {
                Window::Baseline(series) if series.due == Some(*due) => visit(*window, series),
                _ => {}
            });
        }
    }

    /// Gives the windows new numbers; those that have none are gone.
    pub fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        let due = std::mem::take(&mut self.due).into_iter();
        self.due =
            due.filter_map(|Reverse((due, key, old))| Some(Reverse((due, key, number(old)?)))).collect();
    }
}

/// Subjects of rules with a baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaselineCounts {
    /// Those of which too little is known yet, so that nothing is found.
    pub warming: u64,
    /// Those of which it is known what is usual.
    pub known: u64,
}

impl Engine {
    /// How many subjects of rules with a baseline there are; each is looked at.
    pub fn baseline_counts(&self) -> BaselineCounts {
        let mut counts = BaselineCounts::default();
        for (number, watched) in self.watched.iter().enumerate() {
            let mut partition = self.table.partition(number);
            let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.for_each(&mut partition, |window, series| {
                let Measure::Baseline(asked) = self.shared.plan.windows[usize::from(window)].spec.measure
                else {
                    return;
                };
                match series.is_warming(&asked) {
                    true => counts.warming += 1,
                    false => counts.known += 1,
                }
            });
        }
        counts
    }
}

/// Where what is found of a window goes.
pub struct Following<'f> {
    /// What is shared by all workers.
    pub shared: &'f Shared,
    /// What alerts there were, when this was counted before.
    pub recovery: Option<&'f Recovery>,
    /// Alerts that were told before and are not found again yet, if there are any.
    pub absent: Option<&'f Absent>,
    /// What alerts are open in the partition.
    pub open: &'f mut OpenAlerts,
    /// What became of them.
    pub counted: &'f mut Counted,
}

impl Following<'_> {
    /// Takes an observation into a window with a baseline.
    pub fn observe(
        &mut self,
        taken: &Taken<'_>,
        observation: &Observation,
        slot: &mut Slot<Notes>,
        asked: &Asked,
        watched: &mut Watched,
    ) {
        let spec = &self.shared.plan.windows[usize::from(slot.rule)].spec;
        let slot_rule = slot.rule;
        let Window::Baseline(series) = &mut slot.window else { return };
        if series.label.is_none() {
            let parts = taken.tap.subject(&taken.recall()).into_iter().map(String::into_boxed_str).collect();
            series.label = Some(Box::new(Label { tenant: taken.source.tenant.as_str().into(), parts }));
        }
        self.plan(slot_rule, series, taken.at);
        let mut verdicts = Vec::new();
        if !series.observe(spec, asked, taken.at, observation.observed, &mut |verdict| verdicts.push(verdict))
        {
            self.counted.late_for_tick += 1;
        }
        if series.due.is_none() {
            watched.watch(observation.key, slot.rule, series, asked);
        }
        let is_open = series.is_open();
        self.follow(observation.key, slot, asked, &verdicts);
        let episode = slot.memo.as_mut().and_then(|notes| notes.episode.as_mut());
        if let Some(episode) = episode.filter(|_| is_open)
            && episode.evidence.samples.len() < MAX_SAMPLES
        {
            episode.evidence.samples.push(taken.sample(&taken.recall(), &[]));
        }
    }

    /// Time has passed: judges the ticks that are over in a partition.
    pub fn pass(&mut self, partition: &mut Partition<'_, Notes>, watched: &mut Watched, now: i64) {
        while let Some((due, key, window)) = watched.next(now) {
            let planned = &self.shared.plan.windows[usize::from(window)];
            let Measure::Baseline(asked) = planned.spec.measure else { continue };
            partition.with_slot(key, window, |slot| {
                let Window::Baseline(series) = &mut slot.window else { return };
                if series.due != Some(due) {
                    // It was noted for a window that is gone, and this is another.
                    return;
                }
                self.plan(window, series, Timestamp::from_micros(now));
                let mut verdicts = Vec::new();
                series.advance(&planned.spec, &asked, now, &mut |verdict| verdicts.push(verdict));
                watched.watch(key, window, series, &asked);
                self.follow(key, slot, &asked, &verdicts);
            });
        }
    }

    /// Tells a series what is planned.
    fn plan(&self, window: u16, series: &mut Series, at: Timestamp) {
        if self.shared.campaigns.is_empty() {
            return;
        }
        let planned = &self.shared.plan.windows[usize::from(window)];
        let parts = series.label.as_ref().map_or(&[] as &[Box<str>], |label| &label.parts);
        let subject = planned.group_by.iter().map(String::as_str).zip(parts.iter().map(|part| &**part));
        let rule = &self.shared.rules[planned.rule].rule;
        series.planned = self.shared.campaigns.planned(rule, subject, at).or(series.planned);
    }

    fn follow(&mut self, key: Key, slot: &mut Slot<Notes>, asked: &Asked, verdicts: &[Verdict]) {
        let Window::Baseline(series) = &slot.window else { return };
        let planned = &self.shared.plan.windows[usize::from(slot.rule)];
        if !planned.reported {
            return;
        }
        for verdict in verdicts {
            let alert = OpenAlert { key, window: slot.rule };
            match verdict.turn {
                Turn::Over => {
                    let over = slot.memo.as_mut().and_then(|notes| notes.release(verdict.end));
                    if let Some(over) = over {
                        self.open.resolved(alert);
                        self.counted.transitions.push(Transition::Resolved(over));
                    }
                }
                Turn::Found => {
                    let notes = slot.memo.get_or_insert_with(Box::default);
                    if notes.episode.is_none() {
                        let described = &self.shared.rules[planned.rule];
                        let mut episode =
                            self.begin(planned.rule, &planned.group_by, series.label.as_deref(), verdict);
                        match self.opening(slot.rule, planned.rule) {
                            Opening::Refused => {
                                *self.counted.refused.entry(planned.rule).or_default() += 1;
                                continue;
                            }
                            Opening::IfKnown(recovery) if !recovery.recognise(&mut episode) => continue,
                            _ => {}
                        }
                        let has_returned = self.absent.is_some_and(|absent| absent.recognise(&mut episode));
                        notes.hold(episode, described.quiet);
                        notes.go_on(verdict.end, deviation(verdict, asked));
                        self.open.opened(alert);
                        if !has_returned {
                            self.counted.transitions.extend(notes.update().map(Transition::Opened));
                        }
                    } else {
                        notes.go_on(verdict.end, deviation(verdict, asked));
                    }
                }
            }
        }
    }

    fn opening(&self, window: u16, rule: usize) -> Opening<'_> {
        match self.recovery {
            Some(recovery) => Opening::IfKnown(recovery),
            None if self.open.has_room(window, self.shared.rules[rule].precedence()) => Opening::Allowed,
            None => Opening::Refused,
        }
    }

    /// An episode without evidence yet.
    fn begin(&self, rule: usize, names: &[String], label: Option<&Label>, verdict: &Verdict) -> Alert {
        let described = &self.shared.rules[rule];
        let tenant = label.map_or("", |label| &label.tenant);
        let parts = label.map_or(&[] as &[Box<str>], |label| &label.parts);
        let whole: Vec<(String, String)> =
            names.iter().cloned().zip(parts.iter().map(|part| part.to_string())).collect();
        let id = Alert::id_of(&described.name.id, tenant, &whole, verdict.end);
        let cut = |(name, value): (String, String)| (name, super::episode::cut(&value).to_owned());
        Alert {
            id,
            rule: described.name.clone(),
            severity: described.severity,
            mode: described.mode,
            tenant: tenant.to_owned(),
            subject: whole.into_iter().map(cut).collect(),
            opened_at: verdict.end,
            last_seen_at: verdict.end,
            resolved_at: None,
            observed: verdict.observed,
            condition: described.condition.clone(),
            evidence: Evidence {
                window: (verdict.begin, verdict.end),
                first_seen_at: verdict.since,
                ..Evidence::default()
            },
        }
    }
}

/// What is said of a tick, with numbers that people can read.
fn deviation(verdict: &Verdict, asked: &Asked) -> Deviation {
    let rounded = |number: f32| (f64::from(number) * 1e3).round() / 1e3;
    Deviation {
        observed: verdict.observed,
        expected: rounded(verdict.surprise.expected),
        scale: rounded(verdict.surprise.scale),
        bits: rounded(verdict.surprise.bits),
        direction: verdict.surprise.side,
        since: verdict.since,
        at: verdict.begin,
        tick: span_text(asked.baseline.tick),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::baseline::Baseline;
    use crate::windows::baseline::detector::Values;
    use crate::windows::table::Table;
    use crate::windows::{Observed, Spec};

    #[test]
    fn windows_that_are_gone_are_not_watched_for_long() {
        let asked = Asked { baseline: Baseline::default(), values: Values::Counts };
        let spec = Spec {
            measure: Measure::Baseline(asked),
            span: Duration::from_secs(86_400),
            lateness: Duration::ZERO,
            condition: Default::default(),
        };
        let table: Table<Notes> = Table::new(1 << 20);
        let mut watched = Watched::default();
        let mut partition = table.partition(0);
        for number in 0..20_000_u128 {
            let key = Key(number << 64 | number << 70 >> 70 & 0x1f_ffff);
            partition.with_subject(key, 1, &mut |_, _| {}, |slots| {
                let slot = slots.slot(0, &spec, Timestamp::default());
                let Window::Baseline(series) = &mut slot.window else { panic!("a baseline") };
                series.observe(&spec, &asked, Timestamp::default(), Observed::Occurrence, &mut |_| {});
                watched.watch(key, 0, series, &asked);
            });
            watched.tidy(&mut partition);
            assert!(watched.due.len() <= ROOM * 2, "{}", watched.due.len());
        }
        drop(partition);
        assert!(table.counts().evicted > 10_000, "{:?}", table.counts());
    }
}
