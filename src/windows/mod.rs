//! Sliding windows over event time, and the table that keeps them.
//!
//! A window answers, after each observation, whether its measure over `[t - span, t]` satisfies its condition, both
//! ends included. Observations may come late: one at an earlier time is put in its place, and every window that it
//! falls into is judged again, so the answer does not depend on the order of arrival within the allowed lateness.
//!
//! The memory of a window is bounded whatever its threshold. Each kind is exact up to a stated size and has a stated
//! error beyond it: [`runs`] (counts, sums, means), [`distinct`] (distinct values, and rules that matched),
//! [`order`] (rules that matched in order), [`sample`] (percentiles), [`seen`] (values that are new), [`travel`] (two
//! places too far apart), [`risk`] (scores that decay). [`baseline`] does not slide: it goes in ticks, and compares each
//! with those before. [`table`] bounds the number of windows.
//!
//! Nothing here knows what is counted, or reads a clock.

pub mod baseline;
pub mod distinct;
pub mod order;
pub mod risk;
pub mod runs;
pub mod sample;
pub mod seen;
pub mod table;
pub mod travel;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::event::{Timestamp, micros};
use crate::rules::detection::Comparison;
use baseline::series::{Asked, Series};
use distinct::Distinct;
use order::Order;
use risk::Risk;
use runs::{Runs, Sum};
use sample::Sample;
use seen::{Learning, Seen};
use travel::{Limits, Position, Travel, Trip};

/// What a window measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// How many observations.
    Count,
    /// How many distinct values.
    Distinct,
    /// How long a chain of observations there is whose values rise, out of `0..n`.
    Order(u8),
    /// The sum of the values.
    Sum,
    /// The mean of the values.
    Mean,
    /// A percentile of the values, 0 to 100, interpolated between neighbours.
    Percentile(f64),
    /// How surprising a tick is to whoever knows those before it.
    Baseline(Asked),
    /// Whether a value is new.
    New(Learning),
    /// How fast somebody would have travelled, in kilometres an hour.
    Travel(Limits),
    /// The sum of the values, halved each time that this has passed.
    Risk(Duration),
}

impl Measure {
    /// Whether a window is to outlast a restart: it knows more than what is read again can tell.
    pub const fn is_long_lived(&self) -> bool {
        matches!(self, Self::Baseline(_) | Self::New(_) | Self::Travel(_))
    }
}

/// What is asked of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What it measures.
    pub measure: Measure,
    /// Its length; both ends belong to it.
    pub span: Duration,
    /// How far behind the latest observation another may come and still be counted.
    pub lateness: Duration,
    /// What the measure must satisfy: all of these.
    pub condition: SmallVec<[(Comparison, f64); 1]>,
}

impl Spec {
    /// Whether a measure satisfies the condition.
    pub fn holds(&self, measured: f64) -> bool {
        self.condition.iter().all(|(comparison, threshold)| comparison.holds(measured, *threshold))
    }

    /// Whether a measure is at least half way to the condition, for conditions that ask for much.
    pub fn is_half_way(&self, measured: f64) -> bool {
        if self.measure.is_long_lived() {
            // It is there or not.
            return false;
        }
        self.condition.iter().all(|(comparison, threshold)| match comparison {
            Comparison::Gte | Comparison::Gt | Comparison::Eq => measured * 2.0 >= *threshold,
            Comparison::Lt | Comparison::Lte | Comparison::Neq => true,
        })
    }

    /// How long an observation can matter.
    pub fn horizon(&self) -> i64 {
        micros(self.span).saturating_add(micros(self.lateness))
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The measure.
    pub measured: f64,
    /// Whether it satisfies the condition.
    pub holds: bool,
    /// The end of the first window it was taken over.
    pub first: Timestamp,
    /// The end of the last window it was taken over: the same, but for a late observation, which is in several.
    pub last: Timestamp,
}

impl Reading {
    fn at(spec: &Spec, measured: f64, end: i64) -> Self {
        let end = Timestamp::from_micros(end);
        Self { measured, holds: spec.holds(measured), first: end, last: end }
    }

    /// Of no window.
    fn nothing(at: i64) -> Self {
        let at = Timestamp::from_micros(at);
        Self { measured: 0.0, holds: false, first: at, last: at }
    }

    /// Both together: where one holds, the highest of those that hold.
    fn and(self, other: Self) -> Self {
        match (self.holds, other.holds) {
            (true, true) => Self {
                measured: self.measured.max(other.measured),
                holds: true,
                first: self.first.min(other.first),
                last: self.last.max(other.last),
            },
            (true, false) => self,
            (false, true) => other,
            (false, false) if other.measured > self.measured => other,
            (false, false) => self,
        }
    }
}

/// The value of an observation. Which one a window reads depends on its measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observed {
    /// It happened; there is no value.
    Occurrence,
    /// A keyed hash of the value, for distinct values.
    Hash(u64),
    /// Which of the rules matched, as bits: an event that matches several is one observation.
    Rules(u32),
    /// A number.
    Number(f64),
    /// A keyed hash of a value that is known to be fine: from now on it is not new, and nothing is found.
    Fine(u64),
    /// Where it happened.
    Position(Position),
}

/// What a window can say of what it has just found, beside its measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Detail {
    /// A value is new.
    New {
        /// How many others were known.
        known: u16,
    },
    /// Two places are too far apart.
    Trip(Trip),
}

/// A window of any kind.
#[derive(Clone, Debug)]
pub enum Window {
    /// Counts.
    Count(Runs<u32>),
    /// Sums and means.
    Sum(Box<Runs<Sum>>),
    /// Distinct values.
    Distinct(Distinct),
    /// Order.
    Order(Box<Order>),
    /// Percentiles.
    Sample(Box<Sample>),
    /// Ticks and what is usual.
    Baseline(Box<Series>),
    /// Values that are new.
    Seen(Box<Seen>),
    /// Places.
    Travel(Box<Travel>),
    /// Scores.
    Risk(Box<Risk>),
}

/// A window that outlasts a restart, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Lasting {
    /// Ticks and what is usual.
    Baseline(Box<Series>),
    /// Values that are new.
    Seen(Box<Seen>),
    /// Where somebody was.
    Travel(Box<Travel>),
}

impl Window {
    /// An empty window for a measure.
    pub fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count => Self::Count(Runs::default()),
            Measure::Distinct => Self::Distinct(Distinct::default()),
            Measure::Order(_) => Self::Order(Box::default()),
            Measure::Sum | Measure::Mean => Self::Sum(Box::default()),
            Measure::Percentile(_) => Self::Sample(Box::default()),
            Measure::Baseline(asked) => Self::Baseline(Box::new(Series::new(&asked))),
            Measure::New(_) => Self::Seen(Box::default()),
            Measure::Travel(_) => Self::Travel(Box::default()),
            Measure::Risk(_) => Self::Risk(Box::default()),
        }
    }

    /// Takes an observation in and measures.
    ///
    /// In order, the window is the one that ends now. Of a late observation, the reading is the highest one that
    /// satisfies the condition among the windows that the observation is in, or else the highest.
    pub fn observe(&mut self, spec: &Spec, at: Timestamp, observed: Observed) -> Reading {
        match (self, observed) {
            (Self::Count(runs), _) => runs.observe(spec, at, 1),
            (Self::Sum(runs), Observed::Number(number)) => {
                runs.observe(spec, at, Sum { count: 1, sum: number })
            }
            (Self::Distinct(distinct), Observed::Hash(hash)) => distinct.observe(spec, at, hash),
            (Self::Distinct(distinct), Observed::Rules(rules)) => {
                let places = (0..u32::BITS).filter(|place| rules >> place & 1 == 1);
                // Only after the last one is all of the event in the window.
                places.fold(Reading::nothing(at.as_micros()), |_, place| {
                    distinct.observe(spec, at, u64::from(place))
                })
            }
            (Self::Order(order), Observed::Rules(rules)) => order.observe(spec, at, rules),
            (Self::Sample(sample), Observed::Number(number)) => sample.observe(spec, at, number),
            // What is found of ticks is more than a reading, and often of another time: [`Series::observe`] tells it.
            (Self::Baseline(_), _) => Reading::nothing(at.as_micros()),
            (Self::Seen(seen), Observed::Hash(hash) | Observed::Fine(hash)) => match spec.measure {
                Measure::New(learning) => {
                    let is_fine = matches!(observed, Observed::Fine(_));
                    seen.observe(spec, learning, at, hash, is_fine)
                }
                _ => Reading::nothing(at.as_micros()),
            },
            (Self::Seen(seen), Observed::Occurrence) => seen.note_presence(spec, at),
            (Self::Travel(travel), Observed::Position(position)) => match spec.measure {
                Measure::Travel(limits) => travel.observe(spec, limits, at, position),
                _ => Reading::nothing(at.as_micros()),
            },
            (Self::Risk(risk), Observed::Number(number)) => risk.observe(spec, at, number),
            // An observation without the value that is measured is not an observation of it.
            _ => Reading::nothing(at.as_micros()),
        }
    }

    /// What there is to say of the last observation, when it was found to satisfy the condition.
    pub fn detail(&self) -> Option<Detail> {
        match self {
            Self::Seen(seen) => Some(Detail::New { known: seen.known() }),
            Self::Travel(travel) => travel.trip().map(Detail::Trip),
            _ => None,
        }
    }

    /// What is to be written down of it, if it outlasts a restart.
    pub fn lasting(&self) -> Option<Lasting> {
        match self {
            Self::Baseline(series) => Some(Lasting::Baseline(series.clone())),
            Self::Seen(seen) => Some(Lasting::Seen(seen.clone())),
            Self::Travel(travel) => Some(Lasting::Travel(travel.clone())),
            _ => None,
        }
    }

    /// Becomes what was written down; `false` when that was another kind of window.
    pub fn restore(&mut self, lasting: Lasting) -> bool {
        match (self, lasting) {
            (Self::Baseline(series), Lasting::Baseline(kept)) => *series = kept,
            (Self::Seen(seen), Lasting::Seen(kept)) => *seen = kept,
            (Self::Travel(travel), Lasting::Travel(kept)) => *travel = kept,
            _ => return false,
        }
        true
    }

    /// The time of the latest observation.
    pub fn latest(&self) -> Option<Timestamp> {
        let latest = match self {
            Self::Count(runs) => runs.latest(),
            Self::Sum(runs) => runs.latest(),
            Self::Distinct(distinct) => distinct.latest(),
            Self::Order(order) => order.latest(),
            Self::Sample(sample) => sample.latest(),
            // They are not asked: what they look for has no threshold that others could be tried for.
            Self::Baseline(_) | Self::Seen(_) | Self::Travel(_) | Self::Risk(_) => None,
        };
        latest.map(Timestamp::from_micros)
    }

    /// The reading that [`Self::observe`] would have given of an observation at this time, which has been taken in and is
    /// late, if something else were asked of the same measure.
    pub fn judge_again(&self, spec: &Spec, at: Timestamp) -> Reading {
        let (at, span) = (at.as_micros(), micros(spec.span));
        match self {
            Self::Count(runs) => runs.read_again(spec, at, span),
            Self::Sum(runs) => runs.read_again(spec, at, span),
            Self::Distinct(distinct) => distinct.read_again(spec, at, span),
            Self::Order(order) => order.read(spec, at),
            Self::Sample(sample) => sample.read_late(spec, at),
            Self::Baseline(_) | Self::Seen(_) | Self::Travel(_) | Self::Risk(_) => Reading::nothing(at),
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Count(runs) => runs.heap_bytes(),
            Self::Sum(runs) => size_of::<Runs<Sum>>() + runs.heap_bytes(),
            Self::Distinct(distinct) => distinct.heap_bytes(),
            Self::Order(order) => size_of::<Order>() + order.heap_bytes(),
            Self::Sample(sample) => size_of::<Sample>() + sample.heap_bytes(),
            Self::Baseline(series) => size_of::<Series>() + series.heap_bytes(),
            Self::Seen(seen) => size_of::<Seen>() + seen.heap_bytes(),
            Self::Travel(travel) => size_of::<Travel>() + travel.heap_bytes(),
            Self::Risk(risk) => size_of::<Risk>() + risk.heap_bytes(),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! The naive window: a list of everything that was observed.

    use super::*;

    pub fn spec(measure: Measure, span: u64, lateness: u64, at_least: f64) -> Spec {
        Spec {
            measure,
            span: Duration::from_secs(span),
            lateness: Duration::from_secs(lateness),
            condition: SmallVec::from_slice(&[(Comparison::Gte, at_least)]),
        }
    }

    /// The highest measure over the windows that end at an observation and contain the one at `at`.
    pub fn naive<V: Copy>(
        all: &[(i64, V)],
        at: i64,
        span: i64,
        latest_only: bool,
        measure: impl Fn(&[(i64, V)]) -> f64,
    ) -> f64 {
        let mut sorted: Vec<(i64, V)> = all.to_vec();
        sorted.sort_by_key(|(at, _)| *at);
        let latest = sorted.last().map_or(at, |(at, _)| *at);
        let ends = sorted.iter().map(|(end, _)| *end).filter(|end| *end >= at && *end <= at + span);
        ends.filter(|end| !latest_only || *end == latest)
            .map(|end| {
                let inside: Vec<_> =
                    sorted.iter().filter(|(t, _)| *t >= end - span && *t <= end).copied().collect();
                measure(&inside)
            })
            .fold(0.0, f64::max)
    }
}
