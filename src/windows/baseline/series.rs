//! The baseline of one subject of one rule: ticks, what is said of them, and the episode they are in.
//!
//! A tick is judged when nothing can come for it any more, which is the lateness that is allowed after its end. A spike
//! need not wait so long: a tick that is surprising already, while more may come for it, is found at once. An episode
//! goes on until the surprise has stayed below half of what is asked for some ticks.

use serde::{Deserialize, Serialize};

use super::detector::{Detector, Surprise, Values};
use super::ticks::{Amount, Pace, Passed, Ticks};
use crate::event::{Timestamp, micros};
use crate::rules::baseline::{Baseline, Direction, Side};
use crate::windows::{Observed, Spec};

/// A tick that is looked at while it grows is looked at again when it has grown by this part.
const GROWTH: f32 = 1.0 / 16.0;

/// What is asked of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// By the rule.
    pub baseline: Baseline,
    /// What its numbers are.
    pub values: Values,
}

/// What people call a subject: kept here because a silence has no event to look it up in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Whose events these are.
    pub tenant: Box<str>,
    /// The value of each field of the subject.
    pub parts: Box<[Box<str>]>,
}

/// What a tick says of the episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is surprising: an episode begins, or goes on.
    Found,
    /// The episode is over.
    Over,
}

/// What is said of a tick that matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What of the episode.
    pub turn: Turn,
    /// When the tick begins.
    pub begin: Timestamp,
    /// When it ends, or until when it was looked at.
    pub end: Timestamp,
    /// When the first tick of the episode began.
    pub since: Timestamp,
    /// What was observed.
    pub observed: f64,
    /// How surprising that is.
    pub surprise: Surprise,
}

/// An open episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Episode {
    since: i64,
    /// Ticks in a row that were ordinary.
    calm: u32,
}

/// The state; see the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What people call it; `None` before the first observation.
    pub label: Option<Box<Label>>,
    /// When it is to be looked at next, whether or not something is observed, in microseconds; `None` before it is known
    /// to anybody who does. Not a part of what is kept.
    #[serde(skip)]
    pub due: Option<i64>,
    /// From when to when more than usual is planned, in microseconds; the last time that it was.
    pub planned: Option<(i64, i64)>,
    ticks: Ticks,
    detector: Detector,
    episode: Option<Episode>,
    /// A tick of which the beginning was not seen: nothing is learnt from it.
    partial: i64,
    /// The tick that was looked at last while it grew, and the value from which it is looked at again.
    growing: (i64, f32),
}

impl Series {
    /// Nothing known yet.
    pub fn new(asked: &Asked) -> Self {
        Self {
            label: None,
            due: None,
            planned: None,
            ticks: Ticks::default(),
            detector: Detector::new(asked.values, asked.baseline.season),
            episode: None,
            partial: i64::MIN,
            growing: (i64::MIN, 0.0),
        }
    }

    /// Whether nothing is found yet because too little is known.
    pub const fn is_warming(&self, asked: &Asked) -> bool {
        self.detector.seen() < asked.baseline.warm_up
    }

    /// Whether an episode is open.
    pub const fn is_open(&self) -> bool {
        self.episode.is_some()
    }

    /// When the first open tick can be judged, when time passes without observations.
    pub fn next_due(&self, asked: &Asked) -> i64 {
        let tick = micros(asked.baseline.tick);
        self.ticks.first().map_or(i64::MAX, |first| first.saturating_add(1).saturating_mul(tick))
    }

    /// Takes an observation in and tells what follows from it, in the order of time. `false` when it came too late.
    pub fn observe(
        &mut self,
        spec: &Spec,
        asked: &Asked,
        at: Timestamp,
        observed: Observed,
        told: &mut impl FnMut(Verdict),
    ) -> bool {
        let amount = match observed {
            Observed::Number(number) => Amount::Number(number),
            Observed::Hash(hash) => Amount::Hash(hash),
            // Whatever else it is, it happened once.
            _ => Amount::Number(1.0),
        };
        let (pace, at) = (pace(spec, asked), at.as_micros());
        if self.ticks.first().is_none() {
            self.partial = pace.number(at);
        }
        let mut ticks = std::mem::take(&mut self.ticks);
        ticks.close_before(&pace, at, |passed| self.pass(spec, asked, passed, told));
        let value = ticks.add(&pace, at, amount);
        self.ticks = ticks;
        if let Some(value) = value {
            self.look_early(spec, asked, pace.number(at), at, value, told);
        }
        value.is_some()
    }

    /// Nothing before `until` will come any more.
    pub fn advance(&mut self, spec: &Spec, asked: &Asked, until: i64, told: &mut impl FnMut(Verdict)) {
        let mut ticks = std::mem::take(&mut self.ticks);
        ticks.close(&pace(spec, asked), until, |passed| self.pass(spec, asked, passed, told));
        self.ticks = ticks;
    }

    /// Nobody watched until `at`: what was not seen is not taken for silence.
    pub fn resume(&mut self, spec: &Spec, asked: &Asked, at: Timestamp) {
        if let Passed::Gap(ticks) = self.ticks.skip_to(&pace(spec, asked), at.as_micros()) {
            self.detector.skip(ticks);
        }
    }

    fn pass(&mut self, spec: &Spec, asked: &Asked, passed: Passed, told: &mut impl FnMut(Verdict)) {
        match passed {
            Passed::Gap(ticks) => self.detector.skip(ticks),
            Passed::Tick(number, _) if number == self.partial => {}
            Passed::Tick(number, value) => {
                let tick = micros(asked.baseline.tick);
                let begin = number.saturating_mul(tick);
                if self.is_planned(begin) {
                    let expected = self.detector.judge(value as f32, begin.div_euclid(1_000_000)).expected;
                    if value >= f64::from(expected) {
                        return self.detector.skip(1);
                    }
                }
                let is_known = !self.is_warming(asked);
                let surprise = self.detector.update(value as f32, begin.div_euclid(1_000_000));
                let is_far = (value - f64::from(surprise.expected)).abs() >= asked.baseline.min_excess;
                let end = begin.saturating_add(tick);
                if is_known && is_found(spec, asked, value, &surprise) {
                    let since = self.begin_or_go_on(begin);
                    told(verdict(Turn::Found, begin, end, since, value, surprise));
                } else if let Some(episode) = &mut self.episode {
                    let is_calm = surprise.bits < asked.baseline.bits / 2.0 || !is_far;
                    episode.calm = if is_calm { episode.calm + 1 } else { 0 };
                    if episode.calm >= asked.baseline.calm_ticks() {
                        let since = episode.since;
                        self.episode = None;
                        told(verdict(Turn::Over, begin, end, since, value, surprise));
                    }
                }
            }
        }
    }

    /// Looks at a tick for which more may come.
    fn look_early(
        &mut self,
        spec: &Spec,
        asked: &Asked,
        number: i64,
        at: i64,
        value: f64,
        told: &mut impl FnMut(Verdict),
    ) {
        if self.growing.0 != number {
            self.growing = (number, asked.baseline.min_excess as f32);
        }
        let is_asked = asked.baseline.direction != Direction::Down && self.episode.is_none();
        if self.is_planned(number.saturating_mul(micros(asked.baseline.tick))) {
            return;
        }
        if !is_asked || self.is_warming(asked) || (value as f32) < self.growing.1 || number == self.partial {
            return;
        }
        self.growing.1 = value as f32 * (1.0 + GROWTH) + 1.0;
        let begin = number.saturating_mul(micros(asked.baseline.tick));
        let surprise = self.detector.judge(value as f32, begin.div_euclid(1_000_000));
        if surprise.side == Side::Above && is_found(spec, asked, value, &surprise) {
            let since = self.begin_or_go_on(begin);
            told(verdict(Turn::Found, begin, at, since, value, surprise));
        }
    }

    fn is_planned(&self, at: i64) -> bool {
        self.planned.is_some_and(|(from, until)| (from..until).contains(&at))
    }

    fn begin_or_go_on(&mut self, begin: i64) -> i64 {
        let episode = self.episode.get_or_insert(Episode { since: begin, calm: 0 });
        episode.calm = 0;
        episode.since
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let label = self.label.as_ref().map_or(0, |label| {
            let parts = label.parts.iter().map(|part| part.len() + size_of::<Box<str>>());
            size_of::<Label>() + label.tenant.len() + parts.sum::<usize>()
        });
        label + self.ticks.heap_bytes() + self.detector.heap_bytes()
    }
}

fn pace(spec: &Spec, asked: &Asked) -> Pace {
    Pace { tick: micros(asked.baseline.tick).max(1), lateness: micros(spec.lateness) }
}

/// Whether a tick is what the rule looks for.
fn is_found(spec: &Spec, asked: &Asked, value: f64, surprise: &Surprise) -> bool {
    let Baseline { direction, bits, min_excess, .. } = asked.baseline;
    let is_side = match surprise.side {
        // A silence is less of everything: what must be satisfied is asked of spikes.
        Side::Above => direction != Direction::Down && spec.holds(value),
        Side::Below => direction != Direction::Up,
    };
    is_side && surprise.bits >= bits && (value - f64::from(surprise.expected)).abs() >= min_excess
}

const fn verdict(turn: Turn, begin: i64, end: i64, since: i64, observed: f64, surprise: Surprise) -> Verdict {
    let (begin, end) = (Timestamp::from_micros(begin), Timestamp::from_micros(end));
    Verdict { turn, begin, end, since: Timestamp::from_micros(since), observed, surprise }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::baseline::Season;
    use crate::windows::Measure;
    use crate::windows::testing::spec;

    fn asked(direction: Direction) -> Asked {
        let baseline = Baseline { direction, season: Season::None, ..Baseline::default() };
        Asked { baseline, values: Values::Counts }
    }

    struct Fed {
        series: Series,
        spec: Spec,
        asked: Asked,
        verdicts: Vec<Verdict>,
    }

    impl Fed {
        fn new(asked: Asked) -> Self {
            let spec = spec(Measure::Baseline(asked), 86_400, 120, 1.0);
            Self { series: Series::new(&asked), spec, asked, verdicts: Vec::new() }
        }

        /// So many events in each of these minutes.
        fn minutes(&mut self, minutes: std::ops::Range<i64>, events: i64) -> &mut Self {
            for minute in minutes {
                for event in 0..events {
                    // Not the same each minute.
                    let extra = (minute * 7_919 % 13) / 4;
                    for part in 0..=i64::from(event < extra) {
                        self.at(minute * 60_000_000 + (event * 2 + part) * 59_000_000 / (events * 2));
                    }
                }
            }
            self
        }

        fn at(&mut self, micros: i64) -> bool {
            let Self { series, spec, asked, verdicts } = self;
            let at = Timestamp::from_micros(micros);
            series.observe(spec, asked, at, Observed::Occurrence, &mut |verdict| verdicts.push(verdict))
        }

        fn quiet_until(&mut self, minute: i64) -> &mut Self {
            let Self { series, spec, asked, verdicts } = self;
            series.advance(spec, asked, minute * 60_000_000, &mut |verdict| verdicts.push(verdict));
            self
        }

        fn turns(&self) -> Vec<(Turn, i64)> {
            self.verdicts.iter().map(|one| (one.turn, one.begin.as_micros() / 60_000_000)).collect()
        }
    }

    #[test]
    fn a_spike_is_found_while_it_grows_and_is_over_after_calm_ticks() {
        let mut fed = Fed::new(asked(Direction::Up));
        fed.minutes(0..150, 20).minutes(150..152, 200).minutes(152..200, 20);
        let found = fed.verdicts[0];
        assert_eq!((found.turn, found.begin), (Turn::Found, Timestamp::from_seconds(150 * 60)));
        assert!(
            found.end < Timestamp::from_seconds(150 * 60 + 30),
            "long before the minute is over: {found:?}"
        );
        assert!(found.observed < 100.0 && found.surprise.bits >= 16.0, "{found:?}");
        assert!((18.0..24.0).contains(&found.surprise.expected), "{found:?}");
        let turns = fed.turns();
        assert!(turns.contains(&(Turn::Found, 151)), "its ticks are findings when they are over: {turns:?}");
        let (over, at) = *turns.last().unwrap();
        assert_eq!((over, at), (Turn::Over, 151 + 15), "{turns:?}");
        assert_eq!(turns.iter().filter(|(turn, _)| *turn == Turn::Over).count(), 1);
        assert!(fed.verdicts.iter().all(|verdict| verdict.since == Timestamp::from_seconds(150 * 60)));
    }

    #[test]
    fn a_feed_that_falls_quiet_is_found_as_time_passes() {
        let mut fed = Fed::new(asked(Direction::Both));
        fed.minutes(0..150, 20).quiet_until(155);
        let first = fed.verdicts[0];
        assert_eq!((first.begin, first.observed), (Timestamp::from_seconds(150 * 60), 0.0));
        assert_eq!(first.surprise.side, Side::Below);
        fed.quiet_until(2_000);
        assert_eq!(
            fed.turns().last().map(|(turn, _)| *turn),
            Some(Turn::Over),
            "silence becomes what is usual"
        );
        let mut up = Fed::new(asked(Direction::Up));
        assert_eq!(
            up.minutes(0..150, 20).quiet_until(300).turns(),
            [],
            "not by a rule that looks for spikes"
        );
    }

    #[test]
    fn nothing_is_found_while_too_little_is_known() {
        let mut fed = Fed::new(asked(Direction::Both));
        fed.minutes(0..60, 20).minutes(60..63, 300);
        assert!(fed.series.is_warming(&fed.asked));
        assert_eq!(fed.turns(), []);
    }

    #[test]
    fn two_instead_of_none_is_nothing() {
        let mut fed = Fed::new(asked(Direction::Up));
        fed.minutes(0..1, 1).quiet_until(1_000).minutes(1_000..1_001, 6).quiet_until(1_100);
        assert_eq!(fed.turns(), [], "six instead of none is fewer than ten more");
        fed.minutes(1_100..1_101, 30);
        assert_eq!(fed.turns().first(), Some(&(Turn::Found, 1_100)));
    }

    #[test]
    fn a_shifted_level_is_one_episode() {
        let mut fed = Fed::new(asked(Direction::Up));
        fed.minutes(0..200, 20).minutes(200..400, 60);
        let overs = fed.turns().iter().filter(|(turn, _)| *turn == Turn::Over).count();
        assert_eq!((overs, fed.series.is_open()), (1, false), "{:?}", fed.turns());
    }

    #[test]
    fn what_comes_too_late_is_not_counted_and_time_not_watched_is_no_silence() {
        let mut fed = Fed::new(asked(Direction::Both));
        fed.minutes(0..150, 20);
        assert!(!fed.at(100 * 60_000_000));
        let (spec, asked) = (fed.spec.clone(), fed.asked);
        fed.series.resume(&spec, &asked, Timestamp::from_seconds(900 * 60 + 10));
        fed.minutes(901..950, 20);
        assert_eq!(fed.turns(), []);
    }

    #[test]
    fn what_is_kept_goes_on_where_it_was() {
        let mut fed = Fed::new(asked(Direction::Both));
        fed.minutes(0..150, 20);
        let json = serde_json::to_string(&fed.series).unwrap();
        let mut again =
            Fed { series: serde_json::from_str(&json).unwrap(), verdicts: Vec::new(), ..Fed::new(fed.asked) };
        fed.minutes(150..153, 200).quiet_until(300);
        again.minutes(150..153, 200).quiet_until(300);
        assert_eq!(fed.verdicts, again.verdicts);
        assert!(!fed.verdicts.is_empty());
    }

    #[test]
    fn its_memory_is_as_stated() {
        for (season, most) in [(Season::None, 300), (Season::Day, 520), (Season::Week, 1_400)] {
            let baseline = Baseline { season, tick: Duration::from_secs(60), ..Baseline::default() };
            let mut fed = Fed::new(Asked { baseline, values: Values::Counts });
            fed.minutes(0..200, 20);
            let bytes = size_of::<Series>() + fed.series.heap_bytes();
            assert!((most * 3 / 4..most).contains(&bytes), "{season:?}: {bytes}");
        }
    }
}
