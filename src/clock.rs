//! How far the times in a log are believed.
//!
//! Event time decides what is counted, but clocks are wrong and lines are forged. A source's clock goes forward with
//! its events. A time too far ahead is held to the time at which the event arrived: one forged line must not make
//! everything after it look late. An event too far behind the clock is late and not counted. Neither is silent.
//!
//! A live source knows when an event arrived. A log that is read afterwards does not; there, a jump ahead is
//! believed when the lines after it confirm it, as they do after a quiet night and do not after a forged line.

use std::time::Duration;

use crate::event::{Timestamp, micros};

/// Stands for the time of a record that has none, or that is too late to be counted.
pub const NOT_COUNTED: i64 = i64::MIN;

/// Lines that are asked whether they confirm a jump ahead. Who can forge lines must forge more than half of as many in a
/// row to be believed.
const WITNESSES: usize = 32;

/// What is allowed to clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How far ahead of its arrival an event may be.
    pub skew: Duration,
    /// How far behind the latest event of its source an event may be and still be counted.
    pub lateness: Duration,
}

impl Default for Tolerance {
    /// Five minutes either way: more than clocks without NTP drift in a week, more than requests take that are logged
    /// when they end with the time at which they began.
    fn default() -> Self {
        Self { skew: Duration::from_secs(300), lateness: Duration::from_secs(300) }
    }
}

/// What was done about times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounts {
    /// Events held to their arrival.
    pub ahead: u64,
    /// Events too late to be counted.
    pub late: u64,
}

/// The clock of one source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now: Option<i64>,
    /// A step ahead that the lines after it have not confirmed yet.
    doubt: Option<Doubt>,
}

/// A step of the clock that is on probation: lines that come after it confirm or deny it.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    before: i64,
    after: i64,
    /// The latest time without the step.
    honest: i64,
    confirm: usize,
    deny: usize,
}

/// A step ahead by more than this many microseconds, a minute, is on probation for the next [`WITNESSES`] lines: a few
/// forged lines, each a little further ahead, must not make all that is honest look late.
const STEP: i64 = 60_000_000;

impl Clock {
    /// The latest time that was believed.
    pub fn now(&self) -> Option<Timestamp> {
        self.now.map(Timestamp::from_micros)
    }

    /// Goes through the times of a batch, in order, and replaces those that are not believed.
    ///
    /// `received` is when the batch arrived; `None` when it is read afterwards.
    pub fn settle(
        &mut self,
        times: &mut [i64],
        received: Option<Timestamp>,
        tolerance: Tolerance,
    ) -> ClockCounts {
        let (skew, lateness) = (micros(tolerance.skew), micros(tolerance.lateness));
        let mut counts = ClockCounts::default();
        for index in 0..times.len() {
            let at = times[index];
            if at == NOT_COUNTED {
                continue;
            }
            let believed = match (self.now, received) {
                (_, Some(received)) if at > received.as_micros().saturating_add(skew) => received.as_micros(),
                (_, Some(_)) => at,
                (Some(now), None) if at <= now.saturating_add(skew) => at,
                (now, None) => confirmed(at, now, &times[index + 1..], skew),
            };
            if believed != at {
                counts.ahead += 1;
                times[index] = believed;
            }
            let floor =
                self.advance(received.map_or(believed, |received| believed.min(received.as_micros())));
            if believed < floor.saturating_sub(lateness) {
                counts.late += 1;
                times[index] = NOT_COUNTED;
            }
        }
        counts
    }
}

impl Clock {
    /// Takes a believed time in and gives the time that lateness is measured from.
    fn advance(&mut self, at: i64) -> i64 {
        let Some(now) = self.now else {
            self.now = Some(at);
            return at;
        };
        if let Some(doubt) = &mut self.doubt {
            if at >= doubt.before + (doubt.after - doubt.before) / 2 {
                doubt.confirm += 1;
            } else {
                doubt.deny += 1;
                doubt.honest = doubt.honest.max(at);
            }
        } else if at > now.saturating_add(STEP) {
            self.doubt = Some(Doubt { before: now, after: at, honest: now, confirm: 0, deny: 0 });
        }
        self.now = Some(now.max(at));
        if let Some(doubt) = self.doubt.filter(|doubt| doubt.confirm + doubt.deny >= WITNESSES) {
            self.doubt = None;
            if doubt.deny > doubt.confirm {
                self.now = Some(doubt.honest);
            }
        }
        self.doubt.map_or(self.now.unwrap_or(at), |doubt| doubt.honest)
    }
}

/// The time itself if what follows confirms it, otherwise the time it is held to.
fn confirmed(at: i64, now: Option<i64>, following: &[i64], skew: i64) -> i64 {
    let witnesses = following.iter().copied().filter(|time| *time != NOT_COUNTED).take(WITNESSES);
    let (mut confirm, mut deny, mut first_denial) = (0, 0, None);
    for time in witnesses {
        if time >= at.saturating_sub(skew) {
            confirm += 1;
        } else {
            deny += 1;
            first_denial.get_or_insert(time);
        }
    }
    if confirm >= deny { at } else { now.or(first_denial).unwrap_or(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(clock: &mut Clock, seconds: &[i64], received: Option<i64>) -> (Vec<Option<i64>>, ClockCounts) {
        let mut times: Vec<i64> = seconds.iter().map(|second| second * 1_000_000).collect();
        let counts = clock.settle(&mut times, received.map(Timestamp::from_seconds), Tolerance::default());
        let settled = times.iter().map(|time| (*time != NOT_COUNTED).then_some(time / 1_000_000)).collect();
        (settled, counts)
    }

    #[test]
    fn a_forged_future_line_is_held_and_makes_nothing_else_late() {
        let mut clock = Clock::default();
        let (times, counts) = settle(&mut clock, &[100, 101, 900_000, 102, 103, 104], None);
        assert_eq!(times, [100, 101, 101, 102, 103, 104].map(Some));
        assert_eq!(counts, ClockCounts { ahead: 1, late: 0 });
        let mut clock = Clock::default();
        let (times, _) = settle(&mut clock, &[900_000, 102, 103, 104], None);
        assert_eq!(times, [102, 102, 103, 104].map(Some), "also when it is the first");
    }

    #[test]
    fn a_handful_of_forged_lines_in_a_row_does_not_outvote_the_honest() {
        let mut lines: Vec<i64> = (100..110).collect();
        lines.extend(900_000..900_012);
        lines.extend(110..150);
        let mut clock = Clock::default();
        let (times, counts) = settle(&mut clock, &lines, None);
        assert_eq!(counts, ClockCounts { ahead: 12, late: 0 });
        assert!(times.iter().all(|time| time.is_some_and(|time| time < 200)), "{times:?}");
    }

    #[test]
    fn a_quiet_night_is_believed() {
        let mut clock = Clock::default();
        let (times, counts) = settle(&mut clock, &[100, 30_000, 30_001, 30_000], None);
        assert_eq!(times, [100, 30_000, 30_001, 30_000].map(Some));
        assert_eq!(counts, ClockCounts::default());
    }

    #[test]
    fn a_line_too_late_is_counted_late() {
        let mut clock = Clock::default();
        let (times, counts) = settle(&mut clock, &[1000, 700, 699, 1001], None);
        assert_eq!(times, [Some(1000), Some(700), None, Some(1001)]);
        assert_eq!(counts.late, 1);
    }

    #[test]
    fn a_live_event_from_the_future_is_held_to_its_arrival() {
        let mut clock = Clock::default();
        let (times, counts) = settle(&mut clock, &[5_000_000, 990], Some(1000));
        assert_eq!(times, [Some(1000), Some(990)]);
        assert_eq!(counts.ahead, 1);
    }
}
