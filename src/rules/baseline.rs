//! The `baseline` of a correlation's `x-watchbell` block: not how much is too much, but how much more is unusual.
//!
//! ```yaml
//! correlation: {type: event_count, rules: [...], group-by: [whatsapp.number], timespan: 30d, condition: {gte: 1}}
//! x-watchbell:
//!   baseline: {tick: 1m, direction: up, bits: 16, min_excess: 20, season: day, warm_up: 100}
//! ```
//!
//! What the correlation measures, it then measures tick by tick. `timespan` is how long a subject of which nothing is seen
//! is remembered. `condition` is what a tick above the baseline must satisfy besides. Matches that lack a field of
//! `group-by` are a subject of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::correlation::{Correlation, Kind, parse_span};
use super::fault::Faults;
use super::nearest::did_you_mean;
use super::yaml::{Data, Entry, Node};

/// What is asked of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The length of a tick.
    pub tick: Duration,
    /// On which side of the baseline a tick has to be.
    pub direction: Direction,
    /// How surprising a tick has to be, in bits.
    pub bits: f32,
    /// How far from what is expected a tick has to be, in what is measured.
    pub min_excess: f64,
    /// What repeats.
    pub season: Season,
    /// Ticks of a subject before anything is found.
    pub warm_up: u32,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(60),
            direction: Direction::Up,
            bits: 16.0,
            min_excess: 10.0,
            season: Season::Day,
            warm_up: 100,
        }
    }
}

/// On which side of a baseline something is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above: a spike.
    Up,
    /// Below: a feed that falls quiet.
    Down,
    /// On either side.
    Both,
}

/// On which side of what was expected a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Above.
    #[default]
    Above,
    /// Below.
    Below,
}

/// What repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Season {
    /// Nothing.
    None,
    /// The hours of the day, in UTC.
    Day,
    /// The hours of the week, and until those are known the hours of the day.
    Week,
}

const KEYS: &[&str] = &["tick", "direction", "bits", "min_excess", "season", "warm_up"];
const TICKS: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);
const BITS: std::ops::RangeInclusive<f64> = 8.0..=1_000.0;
/// Before ten ticks nothing is known at all.
const WARM_UPS: std::ops::RangeInclusive<f64> = 10.0..=100_000.0;

impl Baseline {
    /// Reads the block. Faults are noted.
    pub fn read(entry: &Entry, faults: &mut Faults) -> Option<Self> {
        let mut baseline = Self::default();
        let before = faults.count();
        if !matches!(entry.value.data, Data::Map(_)) {
            let expected = format!("a map such as 'tick: 1m', not {}", entry.value.kind());
            faults.note(entry.line, "x-watchbell.baseline", expected);
        }
        for entry in entry.value.entries() {
            baseline.read_entry(entry, faults);
        }
        (faults.count() == before).then_some(baseline)
    }

    fn read_entry(&mut self, entry: &Entry, faults: &mut Faults) {
        let value = &entry.value;
        let in_range =
            |range: &std::ops::RangeInclusive<f64>| value.number().filter(|number| range.contains(number));
        let expected = match entry.key.as_str() {
            "tick" => match value.text().and_then(parse_span).filter(|tick| TICKS.contains(tick)) {
                Some(tick) => return self.tick = tick,
                None => "a span from 10s to 1d".to_owned(),
            },
            "direction" => match value.text() {
                Some("up") => return self.direction = Direction::Up,
                Some("down") => return self.direction = Direction::Down,
                Some("both") => return self.direction = Direction::Both,
                _ => one_of(value, &["up", "down", "both"]),
            },
            "season" => match value.text() {
                Some("none") => return self.season = Season::None,
                Some("day") => return self.season = Season::Day,
                Some("week") => return self.season = Season::Week,
                _ => one_of(value, &["none", "day", "week"]),
            },
            "bits" => match in_range(&BITS) {
                Some(bits) => return self.bits = bits as f32,
                None => format!("a number from {} to {}", BITS.start(), BITS.end()),
            },
            "min_excess" => match value.number().filter(|excess| *excess > 0.0) {
                Some(excess) => return self.min_excess = excess,
                None => "a number above 0".to_owned(),
            },
            "warm_up" => match in_range(&WARM_UPS).filter(|ticks| ticks.fract() == 0.0) {
                Some(ticks) => return self.warm_up = ticks as u32,
                None => format!("a whole number of ticks from {} to {}", WARM_UPS.start(), WARM_UPS.end()),
            },
            other => {
                let nearest = did_you_mean(other, KEYS.iter().copied());
                format!("one of {}, not '{other}'{nearest}", KEYS.join(", "))
            }
        };
        faults.note(entry.line, &format!("x-watchbell.baseline.{}", entry.key), expected);
    }

    /// Whether a correlation can have this baseline. Faults are noted, at the line of the correlation.
    pub fn check(&self, correlation: &Correlation, line: usize, faults: &mut Faults) {
        if !matches!(correlation.kind, Kind::EventCount | Kind::ValueCount(_) | Kind::ValueSum(_)) {
            let expected =
                "event_count, value_count or value_sum for a baseline: what adds up in a tick".to_owned();
            faults.note(line, "correlation.type", expected);
        }
        let least = self.tick * self.warm_up;
        if correlation.timespan < least {
            let expected = format!(
                "at least {} s, which is the warm-up: for so long is a subject remembered of which nothing is seen",
                least.as_secs()
            );
            faults.note(line, "correlation.timespan", expected);
        }
    }

    /// Ticks that must be ordinary, or nearly so, for an episode to be over: three, and at least fifteen minutes.
    pub fn calm_ticks(&self) -> u32 {
        const LEAST: u32 = 3;
        const MINUTES: Duration = Duration::from_secs(15 * 60);
        let ticks = MINUTES.as_secs().div_ceil(self.tick.as_secs().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX).max(LEAST)
    }
}

fn one_of(value: &Node, words: &[&str]) -> String {
    let got = value.scalar_text().unwrap_or_else(|| value.kind().to_owned());
    format!("one of {}, not '{got}'{}", words.join(", "), did_you_mean(&got, words.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::super::{Body, RuleSet};
    use super::*;

    fn load(correlation: &str, extension: &str) -> RuleSet {
        let text = format!(
            "title: A\nname: a\nlogsource: {{category: webserver}}\ndetection: {{s: {{f: x}}, condition: s}}\n---\n\
             title: C\nname: c\ncorrelation: {{rules: [a], condition: {{gte: 1}}, {correlation}}}\nx-watchbell:\n  {extension}\n"
        );
        RuleSet::from_texts(&[("r.yml".to_owned(), text, false)])
    }

    #[test]
    fn a_baseline_is_read_with_defaults_for_what_is_not_said() {
        let set = load("type: event_count, timespan: 30d", "baseline: {tick: 5m, direction: both, bits: 20}");
        assert_eq!(set.errors, []);
        let Body::Correlation(linked) = &set.rules[1].body else { panic!("a correlation") };
        let expected = Baseline {
            tick: Duration::from_secs(300),
            direction: Direction::Both,
            bits: 20.0,
            ..Baseline::default()
        };
        assert_eq!(linked.correlation.baseline, Some(expected));
        assert_eq!((expected.calm_ticks(), Baseline::default().calm_ticks()), (3, 15));
    }

    #[test]
    fn faults_have_a_key_and_the_nearest_word() {
        let count = "type: event_count, timespan: 30d";
        for (correlation, extension, key, expected) in [
            (count, "baseline: {tik: 5m}", "x-watchbell.baseline.tik", "did you mean 'tick'?"),
            (count, "baseline: {tick: 5}", "x-watchbell.baseline.tick", "a span from 10s to 1d"),
            (count, "baseline: {tick: 1s}", "x-watchbell.baseline.tick", "a span from 10s to 1d"),
            (count, "baseline: {direction: upp}", "x-watchbell.baseline.direction", "did you mean 'up'?"),
            (count, "baseline: {season: dya}", "x-watchbell.baseline.season", "did you mean 'day'?"),
            (count, "baseline: {bits: 2}", "x-watchbell.baseline.bits", "from 8 to 1000"),
            (count, "baseline: {min_excess: 0}", "x-watchbell.baseline.min_excess", "above 0"),
            (count, "baseline: {warm_up: 1.5}", "x-watchbell.baseline.warm_up", "whole number of ticks"),
            (count, "baseline: 5m", "x-watchbell.baseline", "a map"),
            (count, "basline: {}", "x-watchbell.basline", "did you mean 'baseline'?"),
            ("type: temporal, timespan: 30d", "baseline: {}", "correlation.type", "event_count"),
            ("type: event_count, timespan: 1h", "baseline: {}", "correlation.timespan", "at least 6000 s"),
            (count, "{baseline: {}, inhibited-by: a}", "x-watchbell.inhibited-by", "no baseline"),
        ] {
            let set = load(correlation, extension);
            let found = set.errors.iter().any(|error| error.key == key && error.expected.contains(expected));
            assert!(found, "{extension}: {:?}", set.errors);
            assert!(set.find("c").is_none(), "{extension}: it is refused");
        }
    }

    #[test]
    fn a_detection_has_no_baseline_and_no_correlation_looks_at_one() {
        let text = "title: A\nlogsource: {category: webserver}\ndetection: {s: {f: x}, condition: s}\nx-watchbell: {baseline: {}}\n";
        let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]);
        assert!(set.errors[0].expected.contains("a correlation beside it"), "{:?}", set.errors);
        let text = "title: A\nname: a\nlogsource: {category: webserver}\ndetection: {s: {f: x}, condition: s}\n---\n\
             title: C\nname: c\ncorrelation: {type: event_count, rules: [a], timespan: 30d, condition: {gte: 1}}\n\
             x-watchbell: {baseline: {}}\n---\n\
             title: D\nname: d\ncorrelation: {type: event_count, rules: [c], timespan: 1h, condition: {gte: 1}}\n";
        let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]);
        assert_eq!(set.errors.len(), 1, "{:?}", set.errors);
        assert!(set.errors[0].expected.contains("not 'c', which has a baseline"), "{:?}", set.errors);
    }
}
