//! Event F1: one threshold over all series.
//!
//! An event is found when a tick in it reaches the threshold. A false alarm is a run of ticks that do, of which none is in
//! an event or just after one; ticks less than [`APART`] apart are one run.

/// Ticks that separate two alarms.
const APART: usize = 5;
/// Ticks after an event whose alarms belong to it: things go back to normal.
const AFTER: usize = 5;

/// A series with scores.
pub struct Scored {
    pub shape: &'static str,
    pub scores: Vec<f32>,
    pub events: Vec<(usize, usize)>,
}

/// What a threshold finds in a series.
#[derive(Default)]
pub struct Count {
    pub found: usize,
    pub false_alarms: usize,
}

/// The best threshold.
#[derive(Clone, Copy)]
pub struct Best {
    pub threshold: f32,
    pub f1: f64,
    pub recall: f64,
    pub precision: f64,
}

/// Runs of marked ticks, as first and last.
pub fn events(marks: impl Iterator<Item = bool>) -> Vec<(usize, usize)> {
    let mut events: Vec<(usize, usize)> = Vec::new();
    for (tick, _) in marks.enumerate().filter(|(_, is_marked)| *is_marked) {
        match events.last_mut() {
            Some((_, last)) if *last + 1 == tick => *last = tick,
            _ => events.push((tick, tick)),
        }
    }
    events
}

/// What a threshold finds.
pub fn count(series: &Scored, threshold: f32) -> Count {
    let mut found = vec![false; series.events.len()];
    let mut false_alarms = 0;
    let mut event = 0;
    let mut last_alarm: Option<(usize, bool)> = None;
    for (tick, _) in series.scores.iter().enumerate().filter(|(_, score)| **score >= threshold) {
        while event < series.events.len() && series.events[event].1 + AFTER < tick {
            event += 1;
        }
        let inside = series.events.get(event).is_some_and(|(first, _)| *first <= tick);
        if inside && tick <= series.events[event].1 {
            found[event] = true;
        }
        let goes_on = last_alarm.is_some_and(|(last, _)| tick - last <= APART);
        if !inside && !goes_on {
            false_alarms += 1;
        }
        last_alarm = Some((tick, inside));
    }
    Count { found: found.into_iter().filter(|found| *found).count(), false_alarms }
}

/// Tries thresholds.
pub fn best(all: &[Scored]) -> Best {
    let events: usize = all.iter().map(|series| series.events.len()).sum();
    let mut highest: Vec<f32> =
        all.iter().flat_map(|series| series.scores.iter().copied()).filter(|score| *score > 0.0).collect();
    highest.sort_unstable_by(|left, right| right.total_cmp(left));
    highest.truncate(events * 40);
    let step = (highest.len() / 150).max(1);
    let mut best = Best { threshold: f32::INFINITY, f1: 0.0, recall: 0.0, precision: 0.0 };
    for threshold in highest.iter().skip(step / 2).step_by(step) {
        let (mut found, mut wrong) = (0, 0);
        for series in all {
            let count = count(series, *threshold);
            found += count.found;
            wrong += count.false_alarms;
        }
        let (recall, precision) =
            (found as f64 / events as f64, found as f64 / (found + wrong).max(1) as f64);
        let f1 = 2.0 * recall * precision / (recall + precision).max(1e-9);
        if f1 > best.f1 {
            best = Best { threshold: *threshold, f1, recall, precision };
        }
    }
    best
}
