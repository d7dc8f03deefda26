//! What rules would have said with other thresholds, without replaying anything.
//!
//! The window of a rule measures the same whatever it is compared with. So its readings are compared with a few more
//! thresholds, and of each subject it is kept with which of them an episode would be open, and until when: what
//! [`super::episode`] decides, but for evidence, and for the limit of open alerts. Nothing of it changes what the rule
//! itself says, nor what windows are kept.
//!
//! A replay tries thresholds that somebody has chosen, exactly; where memory for windows is short, subjects are evicted
//! that an episode would have held. Live, each rule that counts has the same ladder, for which windows in the past that a
//! late observation falls into are judged as one.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use super::Described;
use crate::event::{Timestamp, micros};
use crate::matching::observation::Plan;
use crate::rules::correlation::Kind;
use crate::rules::detection::Comparison;
use crate::rules::{Body, Rule};
use crate::windows::table::Key;
use crate::windows::{Reading, Spec, Window};

/// Most thresholds of a rule.
pub const MAX_THRESHOLDS: usize = 8;

/// The ladder: what thresholds are multiplied by.
pub const FACTORS: [f64; 6] = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0];

/// Subjects that are kept of a partition for ladders, of all rules: 28,672 in all, which are 4 MB, as many as fit into a
/// table that has not grown further.
const MAX_LADDER_SUBJECTS: usize = 448;
/// And for chosen thresholds: four million in all.
const MAX_CHOSEN_SUBJECTS: usize = 65_536;

/// What is over is looked for only among so many subjects and more.
const MIN_TIDY: usize = 64;

const HOUR_MICROS: i64 = 3_600_000_000;
/// The hour that goes on, and the day before it.
const HOURS: usize = 25;

/// Which thresholds are tried beside those that rules have.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum WhatIf {
    /// None.
    #[default]
    Nothing,
    /// [`FACTORS`] of the threshold, for each rule that counts and asks for more than one.
    Ladder,
    /// These, by name of the rule ([`Rule::handle`]), in rising order.
    Chosen(BTreeMap<String, Vec<f64>>),
}

/// Thresholds that are tried for a window.
#[derive(Debug)]
pub struct Trial {
    /// Index of the rule.
    pub rule: usize,
    /// In rising order.
    pub thresholds: SmallVec<[f64; MAX_THRESHOLDS]>,
    /// The same window with each threshold.
    specs: Vec<Spec>,
    quiet: i64,
    is_exact: bool,
}

/// The number that `gte` or `gt` compares with, when there is one such comparison. What is compared with what was learnt has
/// none that others could be tried for.
pub fn threshold_of(rule: &Rule) -> Option<f64> {
    let Body::Correlation(linked) = &rule.body else { return None };
    let correlation = &linked.correlation;
    if correlation.kind.is_long_lived() || correlation.baseline.is_some() {
        return None;
    }
    let mut thresholds = correlation.condition.iter().filter(|(comparison, _)| is_least(*comparison));
    thresholds.next().filter(|_| thresholds.next().is_none()).map(|(_, threshold)| *threshold)
}

fn is_least(comparison: Comparison) -> bool {
    matches!(comparison, Comparison::Gte | Comparison::Gt)
}

/// Whether a rule adds something up, so that a part or a multiple of its threshold means something.
fn adds_up(rule: &Rule) -> bool {
    let Body::Correlation(linked) = &rule.body else { return false };
    matches!(linked.correlation.kind, Kind::EventCount | Kind::ValueCount(_) | Kind::ValueSum(_))
}

/// A threshold on the ladder: whole numbers stay whole.
fn rung(threshold: f64, factor: f64) -> f64 {
    let rung = threshold * factor;
    if threshold.fract() == 0.0 { rung.round().max(1.0) } else { rung }
}

/// The trials, by number of the window; nothing when there is none.
pub(super) fn trials(what_if: &WhatIf, plan: &Plan, rules: &[Described]) -> Vec<Option<Box<Trial>>> {
    if *what_if == WhatIf::Nothing {
        return Vec::new();
    }
    let trial = |window: &crate::matching::observation::PlannedWindow| {
        let rule = &rules[window.rule].rule;
        let threshold = threshold_of(rule).filter(|_| window.reported)?;
        let thresholds: SmallVec<[f64; MAX_THRESHOLDS]> = match what_if {
            WhatIf::Nothing => return None,
            WhatIf::Ladder if adds_up(rule) && threshold >= 2.0 => {
                FACTORS.iter().map(|factor| rung(threshold, *factor)).collect()
            }
            WhatIf::Ladder => return None,
            WhatIf::Chosen(chosen) => {
                chosen.get(rule.handle())?.iter().copied().take(MAX_THRESHOLDS).collect()
            }
        };
        let with = |threshold: f64| {
            let mut spec = window.spec.clone();
            spec.condition
                .iter_mut()
                .filter(|(comparison, _)| is_least(*comparison))
                .for_each(|(_, number)| *number = threshold);
            spec
        };
        Some(Box::new(Trial {
            rule: window.rule,
            specs: thresholds.iter().map(|threshold| with(*threshold)).collect(),
            thresholds,
            quiet: micros(rules[window.rule].quiet),
            is_exact: matches!(what_if, WhatIf::Chosen(_)),
        }))
    };
    plan.windows.iter().map(trial).collect()
}

/// What is kept of a subject.
#[derive(Clone, Copy, Debug)]
struct Subject {
    /// When a window last satisfied each threshold.
    last_seen: [i64; MAX_THRESHOLDS],
    /// With which of them an episode is open.
    open: u8,
    /// How often had been swept when it was last looked at.
    swept: u32,
    /// After this nothing of it is open.
    over_at: i64,
}

/// What would be open in a partition of the window table.
#[derive(Debug, Default)]
pub struct Tried {
    subjects: HashMap<(Key, u16), Subject, foldhash::fast::FixedState>,
    /// Tidied up when there are so many.
    tidy_at: usize,
    /// How often had been swept when it was tidied up last: there is nothing more to be found before the next time.
    tidied: u32,
    swept: u32,
    /// Up to when it was swept last.
    swept_to: i64,
}

/// An episode that would have begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WouldOpen {
    /// The window.
    pub window: u16,
    /// The place of the threshold.
    pub threshold: u8,
    /// When.
    pub at: i64,
}

/// What is known of a reading.
pub(super) struct Tested<'w> {
    pub(super) trial: &'w Trial,
    pub(super) key: Key,
    pub(super) number: u16,
    pub(super) window: &'w Window,
    pub(super) at: Timestamp,
    pub(super) reading: Reading,
}

impl Tried {
    /// Compares a reading. `may_open` is asked when an episode would begin. Returns whether there was room to keep it.
    pub(super) fn take(
        &mut self,
        tested: &Tested<'_>,
        mut may_open: impl FnMut() -> bool,
        opened: &mut Vec<WouldOpen>,
    ) -> bool {
        let Tested { trial, key, number, at, reading, .. } = *tested;
        let latest = tested.window.latest().unwrap_or(at);
        let is_late = trial.is_exact && at < latest;
        // Thresholds rise: where the lowest fails, so do the others.
        if !is_late && !trial.specs.first().is_some_and(|lowest| lowest.holds(reading.measured)) {
            return true;
        }
        let Some(subject) = self.subject(trial, key, number) else { return false };
        let mut may = None;
        for (place, spec) in trial.specs.iter().enumerate() {
            let reading = match is_late {
                true => tested.window.judge_again(spec, at),
                false => Reading { holds: spec.holds(reading.measured), ..reading },
            };
            let last_seen = &mut subject.last_seen[place];
            if !reading.holds {
                if is_late {
                    continue;
                }
                break;
            }
            let bit = 1 << place;
            // One that is over has ended at the first reading after it, whatever that was.
            let now = reading.first.max(latest).as_micros();
            if subject.open & bit != 0 && now > last_seen.saturating_add(trial.quiet) {
                subject.open &= !bit;
            }
            *last_seen = (*last_seen).max(reading.last.as_micros());
            subject.over_at = subject.over_at.max(last_seen.saturating_add(trial.quiet));
            if subject.open & bit == 0 && *may.get_or_insert_with(&mut may_open) {
                subject.open |= bit;
                let at = reading.first.as_micros();
                opened.push(WouldOpen { window: number, threshold: place as u8, at });
            }
        }
        true
    }

    fn subject(&mut self, trial: &Trial, key: Key, number: u16) -> Option<&mut Subject> {
        let (swept, swept_to) = (self.swept, self.swept_to);
        if !self.subjects.contains_key(&(key, number)) {
            let most = if trial.is_exact { MAX_CHOSEN_SUBJECTS } else { MAX_LADDER_SUBJECTS };
            if self.subjects.len() >= self.tidy_at.clamp(MIN_TIDY, most) && self.tidied != swept {
                self.tidy();
            }
            if self.subjects.len() >= most {
                return None;
            }
        }
        let new = Subject { last_seen: [i64::MIN; MAX_THRESHOLDS], open: 0, swept, over_at: i64::MIN };
        let subject = self.subjects.entry((key, number)).or_insert(new);
        if subject.swept != swept {
            // What was over when it was swept has been told as over.
            subject.swept = swept;
            for (place, last_seen) in subject.last_seen.iter().enumerate() {
                if swept_to > last_seen.saturating_add(trial.quiet) {
                    subject.open &= !(1 << place);
                }
            }
        }
        Some(subject)
    }

    /// Forgets subjects of which nothing is open any more.
    fn tidy(&mut self) {
        let now = self.swept_to;
        self.subjects.retain(|_, subject| subject.over_at >= now);
        self.tidy_at = self.subjects.len() * 2;
        self.tidied = self.swept;
    }

    /// Nothing before this time will be counted any more; episodes that are over end.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.swept = self.swept.wrapping_add(1);
        self.swept_to = now.as_micros();
    }

    /// Gives windows new numbers; what is kept of those that have none is gone.
    pub(super) fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        self.subjects = std::mem::take(&mut self.subjects)
            .into_iter()
            .filter_map(|((key, window), subject)| Some(((key, number(window)?), subject)))
            .collect();
    }
}

/// Episodes that would have begun, by hour.
#[derive(Clone, Debug)]
struct Hours {
    total: u64,
    latest: i64,
    counts: [u32; HOURS],
}

impl Hours {
    const NONE: Self = Self { total: 0, latest: i64::MIN, counts: [0; HOURS] };

    fn place(hour: i64) -> usize {
        hour.rem_euclid(HOURS as i64) as usize
    }

    fn add(&mut self, at: i64) {
        self.total += 1;
        let hour = at.div_euclid(HOUR_MICROS);
        if hour > self.latest {
            let first = self.latest.saturating_add(1).max(hour - (HOURS as i64 - 1));
            (first..=hour).for_each(|hour| self.counts[Self::place(hour)] = 0);
            self.latest = hour;
        }
        if hour > self.latest - HOURS as i64 {
            self.counts[Self::place(hour)] += 1;
        }
    }

    /// In the hour of `now` and the 24 before it.
    fn in_a_day(&self, now: i64) -> u64 {
        let hour = now.div_euclid(HOUR_MICROS);
        let oldest = (hour - (HOURS as i64 - 1)).max(self.latest.saturating_sub(HOURS as i64 - 1));
        (oldest..=self.latest).map(|hour| u64::from(self.counts[Self::place(hour)])).sum()
    }
}

/// What would have been, by number of the window.
#[derive(Debug, Default)]
pub struct Outcomes {
    by_window: HashMap<u16, Vec<Hours>>,
    /// Readings that were not compared because too many subjects were kept.
    pub untried: u64,
}

/// What a rule would have said.
#[derive(Clone, Debug, PartialEq)]
pub struct WouldFire {
    /// Index of the rule.
    pub rule: usize,
    /// By threshold, in rising order: the threshold, and how many alerts would have opened.
    pub alerts: Vec<(f64, u64)>,
}

impl Outcomes {
    pub(super) fn add(&mut self, opened: &[WouldOpen], trials: &[Option<Box<Trial>>]) {
        for WouldOpen { window, threshold, at } in opened {
            let Some(trial) = trials.get(usize::from(*window)).and_then(Option::as_ref) else { continue };
            let hours =
                self.by_window.entry(*window).or_insert_with(|| vec![Hours::NONE; trial.thresholds.len()]);
            hours[usize::from(*threshold)].add(*at);
        }
    }

    /// What every rule that is tried would have said in the last day, or in all when `now` is `None`.
    pub(super) fn all(&self, trials: &[Option<Box<Trial>>], now: Option<Timestamp>) -> Vec<WouldFire> {
        let of = |(window, trial): (usize, &Option<Box<Trial>>)| {
            let trial = trial.as_ref()?;
            let hours = self.by_window.get(&(window as u16));
            let count = |place: usize| {
                let hours = hours.map(|hours| &hours[place]);
                hours.map_or(0, |hours| now.map_or(hours.total, |now| hours.in_a_day(now.as_micros())))
            };
            let alerts = trial.thresholds.iter().enumerate().map(|(place, number)| (*number, count(place)));
            Some(WouldFire { rule: trial.rule, alerts: alerts.collect() })
        };
        trials.iter().enumerate().filter_map(of).collect()
    }

    pub(super) fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        self.by_window = std::mem::take(&mut self.by_window)
            .into_iter()
            .filter_map(|(window, hours)| Some((number(window)?, hours)))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_forget_what_is_older_than_a_day() {
        let mut hours = Hours::NONE;
        for (hour, in_a_day) in [(100, 1), (100, 2), (124, 3), (125, 2), (110, 3), (99, 3), (400, 1)] {
            hours.add(hour * HOUR_MICROS + 5);
            assert_eq!(hours.in_a_day(hours.latest * HOUR_MICROS), in_a_day, "{hour}");
        }
        assert_eq!(hours.in_a_day(424 * HOUR_MICROS), 1);
        assert_eq!((hours.in_a_day(425 * HOUR_MICROS), hours.total), (0, 7));
    }

    #[test]
    fn whole_thresholds_have_whole_rungs() {
        let ladder = |threshold: f64| FACTORS.map(|factor| rung(threshold, factor));
        assert_eq!(ladder(10.0), [5.0, 8.0, 10.0, 15.0, 20.0, 30.0]);
        assert_eq!(ladder(2.5), [1.25, 1.875, 2.5, 3.75, 5.0, 7.5]);
        assert_eq!(ladder(2.0)[0], 1.0);
    }
}
