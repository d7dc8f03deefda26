//! Somebody who is in two places, too far apart for the time between.
//!
//! Of a subject is kept where it was lately: a few stops in the order of time, each with a hash of the address. What comes,
//! early or late, is compared with all of them but those of its own address: databases move addresses, people do not move
//! with them. Of a row of stops at one address only the first and the last are kept, which judge whatever comes after
//! them, and of what comes late between them see less: nothing is found that did not happen.
//!
//! Two addresses are told of once within the span: whoever goes on using both is one story.
//!
//! At most [`MAX_STOPS`] stops of 24 bytes are kept, and [`MAX_TOLD`] pairs of 16; the oldest go.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Reading, Spec};
use crate::event::{Timestamp, micros};

/// Most stops of a subject.
pub const MAX_STOPS: usize = 8;
/// Most pairs of addresses that have been told.
pub const MAX_TOLD: usize = 8;

/// The mean radius of the earth (IUGG).
const EARTH_KM: f64 = 6_371.008_8;

/// Less time than this is as much: clocks of logs have seconds.
const LEAST_MICROS: i64 = 1_000_000;

/// Where a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees to the north.
    pub latitude: f32,
    /// Degrees to the east.
    pub longitude: f32,
    /// A keyed hash of the address.
    pub address: u32,
    /// Two letters, or zeros when it is not known.
    pub country: [u8; 2],
}

/// A position at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Microseconds since the epoch.
    pub at: i64,
    /// Where.
    pub position: Position,
}

/// From one stop to a later one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trip {
    /// The earlier one.
    pub from: Stop,
    /// The later one.
    pub to: Stop,
    /// As the crow flies.
    pub km: f64,
    /// How fast that would be.
    pub km_per_hour: f64,
}

/// What is too far and too fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Kilometres at least: databases are wrong by as many as that.
    pub min_km: f64,
    /// Kilometres an hour at least: as fast as airliners are.
    pub min_km_per_hour: f64,
}

/// Where a subject was lately; see the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Travel {
    /// In the order of time.
    stops: VecDeque<Stop>,
    /// Pairs of addresses, the lower first, and when they were last seen together.
    told: VecDeque<(u32, u32, i64)>,
    #[serde(skip)]
    trip: Option<Trip>,
}

impl Travel {
    /// Takes a position in; the measure is the speed of the fastest trip that is too far, too fast and new.
    pub fn observe(&mut self, spec: &Spec, limits: Limits, at: Timestamp, position: Position) -> Reading {
        let stop = Stop { at: at.as_micros(), position };
        let span = micros(spec.span);
        let latest = self.stops.back().map_or(stop.at, |last| last.at.max(stop.at));
        let oldest = latest.saturating_sub(spec.horizon());
        while self.stops.front().is_some_and(|stop| stop.at < oldest) {
            self.stops.pop_front();
        }
        self.told.retain(|(.., seen)| *seen >= oldest);
        let Self { stops, told, .. } = self;
        let near = stops.iter().filter(|other| other.at.abs_diff(stop.at) <= span.unsigned_abs());
        let mut fastest: Option<Trip> = None;
        for trip in near.filter_map(|other| Trip::between(*other, stop)) {
            if trip.km < limits.min_km || trip.km_per_hour < limits.min_km_per_hour {
                continue;
            }
            if told.iter_mut().any(|told| trip.is_told_by(told, span)) {
                continue;
            }
            if fastest.is_none_or(|fastest| fastest.km_per_hour < trip.km_per_hour) {
                fastest = Some(trip);
            }
        }
        self.insert(stop);
        self.trip = fastest;
        let Some(trip) = fastest else { return Reading::nothing(stop.at) };
        let (low, high) = trip.addresses();
        if self.told.len() == MAX_TOLD {
            self.told.pop_front();
        }
        self.told.push_back((low, high, trip.to.at));
        let end = Timestamp::from_micros(trip.to.at);
        Reading { measured: trip.km_per_hour.round(), holds: true, first: end, last: end }
    }

    fn insert(&mut self, stop: Stop) {
        let place = self.stops.partition_point(|other| other.at <= stop.at);
        self.stops.insert(place, stop);
        let address = |stop: Option<&Stop>| stop.map(|stop| stop.position.address);
        let is_between = |stops: &VecDeque<Stop>, place: usize| {
            let own = address(stops.get(place));
            own.is_some()
                && place > 0
                && address(stops.get(place - 1)) == own
                && address(stops.get(place + 1)) == own
        };
        for place in [place + 1, place, place.saturating_sub(1)] {
            if is_between(&self.stops, place) {
                self.stops.remove(place);
            }
        }
        if self.stops.len() > MAX_STOPS {
            self.stops.pop_front();
        }
    }

    /// The trip of the last observation, when one was found.
    pub const fn trip(&self) -> Option<Trip> {
        self.trip
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.stops.capacity() * size_of::<Stop>() + self.told.capacity() * size_of::<(u32, u32, i64)>()
    }
}

impl Trip {
    /// From the earlier of two stops to the later, unless they are at the same address.
    fn between(one: Stop, other: Stop) -> Option<Self> {
        if one.position.address == other.position.address {
            return None;
        }
        let (from, to) = if one.at <= other.at { (one, other) } else { (other, one) };
        let km = distance_km(from.position, to.position);
        let km_per_hour = km / (to.at.saturating_sub(from.at).max(LEAST_MICROS) as f64 / 3.6e9);
        Some(Self { from, to, km, km_per_hour })
    }

    fn addresses(&self) -> (u32, u32) {
        let (one, other) = (self.from.position.address, self.to.position.address);
        (one.min(other), one.max(other))
    }

    /// Whether it is between two addresses that have been told of within the span, which then goes on from now.
    fn is_told_by(&self, (low, high, seen): &mut (u32, u32, i64), span: i64) -> bool {
        let is_told = (*low, *high) == self.addresses() && self.to.at.abs_diff(*seen) <= span.unsigned_abs();
        if is_told {
            *seen = self.to.at.max(*seen);
        }
        is_told
    }

    /// Hours between the two.
    pub fn hours(&self) -> f64 {
        self.to.at.saturating_sub(self.from.at) as f64 / 3.6e9
    }
}

/// Kilometres along a great circle (the haversine formula on a sphere: wrong by half a percent at most).
pub fn distance_km(from: Position, to: Position) -> f64 {
    let radians = |degrees: f32| f64::from(degrees).to_radians();
    let (from_latitude, to_latitude) = (radians(from.latitude), radians(to.latitude));
    let half_north = (to_latitude - from_latitude) / 2.0;
    let half_east = (radians(to.longitude) - radians(from.longitude)) / 2.0;
    let chord = half_north.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_east.sin().powi(2);
    2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::spec;
    use super::super::{Measure, Observed, Window};
    use super::*;

    const LIMITS: Limits = Limits { min_km: 500.0, min_km_per_hour: 900.0 };
    const HOUR: i64 = 3600;

    fn place(latitude: f32, longitude: f32, address: u32) -> Position {
        Position { latitude, longitude, address, country: *b"DE" }
    }

    fn berlin() -> Position {
        place(52.52, 13.405, 1)
    }

    fn new_york() -> Position {
        place(40.7128, -74.006, 2)
    }

    fn lyon() -> Position {
        place(45.764, 4.8357, 3)
    }

    fn day() -> Spec {
        spec(Measure::Travel(LIMITS), 24 * HOUR as u64, 600, 900.0)
    }

    fn holds(travel: &mut Travel, at: i64, position: Position) -> bool {
        travel.observe(&day(), LIMITS, Timestamp::from_seconds(at), position).holds
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        for (from, to, km) in [
            (berlin(), new_york(), 6_385.0),
            (berlin(), lyon(), 974.8),
            (place(0.0, 179.5, 0), place(0.0, -179.5, 0), 111.2),
            (place(90.0, 0.0, 0), place(-90.0, 0.0, 0), 20_015.1),
            (berlin(), berlin(), 0.0),
        ] {
            let measured = distance_km(from, to);
            assert!((measured - km).abs() <= km * 0.001 + 0.01, "{from:?} {to:?}: {measured}");
        }
    }

    #[test]
    fn too_far_and_too_fast_is_found_and_either_alone_is_not() {
        let mut travel = Travel::default();
        assert!(!holds(&mut travel, 0, berlin()));
        assert!(!holds(&mut travel, 2 * HOUR, lyon()), "an airliner");
        assert!(holds(&mut travel, 3 * HOUR, new_york()));
        let trip = travel.trip().unwrap();
        assert_eq!((trip.from.position, trip.to.position, trip.hours()), (lyon(), new_york(), 1.0));
        assert!((6_100.0..6_200.0).contains(&trip.km), "{trip:?}");
        let mut travel = Travel::default();
        assert!(!holds(&mut travel, 0, berlin()));
        assert!(
            !holds(&mut travel, 1, place(52.4, 9.7, 9)),
            "a quarter of a thousand kilometres is no distance"
        );
        assert!(!holds(&mut travel, 25 * HOUR, new_york()), "after more than the span");
    }

    #[test]
    fn an_address_that_moves_is_no_journey() {
        let mut travel = Travel::default();
        assert!(!holds(&mut travel, 0, berlin()));
        assert!(!holds(&mut travel, 60, Position { address: 1, ..new_york() }));
    }

    #[test]
    fn two_addresses_are_told_of_once_a_span() {
        let mut travel = Travel::default();
        let mut found = Vec::new();
        for minute in 0..60 * 24 * 3 {
            let position = if minute % 10 == 5 { new_york() } else { berlin() };
            if holds(&mut travel, minute * 60, position) {
                found.push(minute);
            }
        }
        assert_eq!(found, [5], "as long as it goes on");
        let later = 60 * 24 * 5;
        assert!(!holds(&mut travel, later * 60, berlin()));
        assert!(holds(&mut travel, (later + 5) * 60, new_york()), "and again when it had ended");
        assert!(holds(&mut travel, (later + 6) * 60, lyon()), "a third place is another story");
    }

    #[test]
    fn late_stops_are_compared_with_what_was_before_and_after() {
        let mut travel = Travel::default();
        assert!(!holds(&mut travel, 1000, berlin()));
        let reading = travel.observe(&day(), LIMITS, Timestamp::from_seconds(900), new_york());
        assert!(reading.holds);
        assert_eq!(reading.first, Timestamp::from_seconds(1000), "it is found where the journey ends");
        let trip = travel.trip().unwrap();
        assert_eq!((trip.from.position, trip.to.position), (new_york(), berlin()));
    }

    #[test]
    fn at_the_same_time_it_is_as_fast_as_in_a_second() {
        let mut travel = Travel::default();
        assert!(!holds(&mut travel, 0, berlin()));
        let reading = travel.observe(&day(), LIMITS, Timestamp::from_seconds(0), new_york());
        assert!(reading.holds && reading.measured.is_finite());
    }

    #[test]
    fn only_positions_are_observed_and_state_survives_being_written() {
        let mut window = Window::new(Measure::Travel(LIMITS));
        let at = Timestamp::from_seconds(0);
        assert!(!window.observe(&day(), at, Observed::Hash(7)).holds);
        assert!(!window.observe(&day(), at, Observed::Position(berlin())).holds);
        assert!(window.observe(&day(), at, Observed::Position(new_york())).holds);
        assert!(window.detail().is_some() && window.heap_bytes() > 0);
        let Window::Travel(travel) = window else { panic!() };
        let read: Travel = serde_json::from_str(&serde_json::to_string(&travel).unwrap()).unwrap();
        assert_eq!((read.stops, read.told), (travel.stops, travel.told));
    }

    /// Each address has a place of its own, along the equator.
    fn along_the_equator(address: u32) -> Position {
        place(0.0, address as f32 * 3.0, address)
    }

    /// The speed of the fastest trip to or from a list of everything that is far and fast enough.
    fn naive(all: &[Stop], stop: Stop) -> f64 {
        let near = all.iter().filter(|other| other.at.abs_diff(stop.at) <= 24 * 3600 * 1_000_000);
        let trips = near.filter_map(|other| Trip::between(*other, stop));
        let found =
            trips.filter(|trip| trip.km >= LIMITS.min_km && trip.km_per_hour >= LIMITS.min_km_per_hour);
        found.map(|trip| trip.km_per_hour.round()).fold(0.0, f64::max)
    }

    proptest! {
        /// In order, and with few enough addresses, it is what a list of everything finds, but for what was told before.
        #[test]
        fn agrees_with_a_list_of_everything(
            steps in prop::collection::vec((0i64..20_000, 0u32..4), 1..40),
        ) {
            let mut travel = Travel::default();
            let mut all = Vec::new();
            let mut at = 0;
            for (step, address) in steps {
                at += step;
                let position = along_the_equator(address * 3);
                let stop = Stop { at: at * 1_000_000, position };
                let expected = naive(&all, stop);
                // Without what was told, to compare every step.
                travel.told.clear();
                let found = travel.observe(&day(), LIMITS, Timestamp::from_seconds(at), position);
                let kept_from = travel.stops.front().unwrap().at;
                let was_full = travel.stops.len() == MAX_STOPS;
                if !was_full || all.iter().all(|stop: &Stop| stop.at >= kept_from) {
                    prop_assert_eq!(found.measured, expected);
                }
                prop_assert!(found.measured <= expected);
                all.push(stop);
            }
        }

        /// However late things come, nothing is found that did not happen, and little is kept.
        #[test]
        fn nothing_is_found_that_did_not_happen(
            steps in prop::collection::vec((0i64..5_000, 0i64..600, 0u32..20), 1..80),
        ) {
            let mut travel = Travel::default();
            let mut all = Vec::new();
            let mut clock = 1_000;
            for (step, late, address) in steps {
                clock += step;
                let stop = Stop { at: (clock - late) * 1_000_000, position: along_the_equator(address) };
                let found = travel.observe(&day(), LIMITS, Timestamp::from_micros(stop.at), stop.position);
                prop_assert!(found.measured <= naive(&all, stop));
                prop_assert!(travel.stops.len() <= MAX_STOPS && travel.told.len() <= MAX_TOLD);
                prop_assert!(travel.stops.iter().is_sorted_by_key(|stop| stop.at));
                all.push(stop);
            }
        }
    }
}
