//! The shape of a day or a week: what is ordinary at this hour.
//!
//! Means by hour, so 24 or 168 of them. Each visit of an hour counts once, however many ticks it has. An hour is
//! believed after three visits, and then half of the doubt goes with each: until then it is drawn towards the flat line, or
//! an hour of the week towards the same hour of any day.

use serde::{Deserialize, Serialize};

use crate::rules::baseline::Season;

/// Visits before which an hour says nothing.
const FIRST_VISITS: u8 = 3;
/// Visits after which a new one counts no less.
const REMEMBERED_VISITS: u8 = 8;
const HOUR: i64 = 3_600;

/// Means of the places of a cycle: 5 bytes each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cycle {
    means: Box<[f32]>,
    visits: Box<[u8]>,
}

impl Cycle {
    fn new(places: usize) -> Self {
        Self { means: vec![0.0; places].into(), visits: vec![0; places].into() }
    }

    fn update(&mut self, hour: i64, mean: f32) {
        let place = self.place(hour);
        let visits = &mut self.visits[place];
        *visits = (*visits + 1).min(REMEMBERED_VISITS);
        self.means[place] += (mean - self.means[place]) / f32::from(*visits);
    }

    fn place(&self, hour: i64) -> usize {
        hour.rem_euclid(self.means.len() as i64) as usize
    }

    /// The mean at an hour, drawn towards what is said without it.
    fn believed(&self, hour: i64, otherwise: f32) -> f32 {
        let place = self.place(hour);
        if self.visits[place] < FIRST_VISITS {
            return otherwise;
        }
        let doubt = 0.5_f32.powi(i32::from(self.visits[place] - FIRST_VISITS) + 1);
        self.means[place] + (otherwise - self.means[place]) * doubt
    }
}

/// Means by hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    day: Cycle,
    week: Option<Cycle>,
    /// The hour since the epoch that is being visited.
    hour: i32,
    sum: f32,
    count: u32,
    /// The mean of all hours of the day that were visited.
    flat: f32,
}

impl Profile {
    /// Nothing known yet; `None` when nothing repeats.
    pub fn new(season: Season) -> Option<Self> {
        let week = match season {
            Season::None => return None,
            Season::Day => None,
            Season::Week => Some(Cycle::new(168)),
        };
        Some(Self { day: Cycle::new(24), week, hour: i32::MIN, sum: 0.0, count: 0, flat: 0.0 })
    }

    /// The same, of which nothing is known.
    pub fn emptied(&self) -> Self {
        let season = if self.week.is_some() { Season::Week } else { Season::Day };
        Self::new(season).unwrap_or_else(|| self.clone())
    }

    /// Takes in a value at a time in seconds since the epoch.
    pub fn update(&mut self, value: f32, seconds: i64) {
        let hour = i32::try_from(seconds.div_euclid(HOUR)).unwrap_or(i32::MAX);
        if hour != self.hour {
            self.close();
            self.hour = hour;
        }
        self.sum += value;
        self.count += 1;
    }

    fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        let (hour, mean) = (i64::from(self.hour), self.sum / self.count as f32);
        (self.sum, self.count) = (0.0, 0);
        self.day.update(hour, mean);
        if let Some(week) = &mut self.week {
            week.update(hour, mean);
        }
        let visited = self.day.visits.iter().filter(|visits| **visits > 0).count();
        // An hour that was not visited is 0.
        self.flat = self.day.means.iter().sum::<f32>() / visited as f32;
    }

    /// How far above the flat line a time is, as far as that is believed: the lower and the upper end of it. One is that of
    /// the hour, which is right where something begins on the hour, and one lies between the middles of two hours, in
    /// proportion, which is right where it comes slowly.
    pub fn offset(&self, seconds: i64) -> (f32, f32) {
        let hour = seconds.div_euclid(HOUR);
        let part = seconds.rem_euclid(HOUR) as f32 / HOUR as f32 - 0.5;
        let this = self.believed(hour);
        let other = self.believed(if part < 0.0 { hour - 1 } else { hour + 1 });
        let between = this + (other - this) * part.abs();
        (this.min(between), this.max(between))
    }

    fn believed(&self, hour: i64) -> f32 {
        let by_day = self.day.believed(hour, self.flat);
        self.week.as_ref().map_or(by_day, |week| week.believed(hour, by_day)) - self.flat
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.day.means.len() + self.week.as_ref().map_or(0, |week| week.means.len()))
            * (size_of::<f32>() + 1)
    }
}
