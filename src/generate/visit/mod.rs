//! Ordinary traffic: visits, each a small machine that writes its lines one at a time.
//!
//! Seven kinds make up the traffic of a shop. How often each begins is chosen so that shoppers write a little
//! over half of all lines; how long each stays is drawn when it begins, so that whoever opens the door knows
//! how many lines it has let in.

mod application;
mod desk;
pub(super) mod machine;
mod shopper;
mod staff;

use crate::generate::label::Stream;
use crate::generate::population::Population;
use crate::generate::random::Random;
use crate::generate::stage::Stage;

/// A visit under way.
pub(super) enum Visit {
    Shopper(shopper::Shopper),
    Application(application::Application),
    Desk(desk::Desk),
    Delivery(machine::Delivery),
    Crawler(machine::Crawler),
    Partner(machine::Partner),
    Staff(staff::Staff),
}

/// Lines an average visit writes, which turns lines asked for into visits; what it errs, the door corrects
/// as it counts.
pub(super) const LINES_PER_VISIT: u32 = 13;
/// Of a thousand visits, those of staff, which write events and no lines.
pub(super) const STAFF_PER_MILLE: u64 = 32;

impl Visit {
    /// Somebody comes, and will have left after about so many seconds at the latest.
    pub(super) fn arrive(random: &mut Random, population: &Population, crew: u32, seconds: u32) -> Visit {
        match random.below(1000) {
            0..209 => Visit::Shopper(shopper::Shopper::arrive(random, population, seconds)),
            209..235 => Visit::Application(application::Application::arrive(random, population, seconds)),
            235..252 => Visit::Desk(desk::Desk::arrive(random, population, seconds)),
            252..901 => Visit::Delivery(machine::Delivery::arrive(random)),
            901..929 => Visit::Crawler(machine::Crawler::arrive(random, seconds)),
            929..968 => Visit::Partner(machine::Partner::arrive(random, population)),
            _ => Visit::Staff(staff::Staff::arrive(random, population, crew)),
        }
    }

    /// How many access-log lines it will write.
    pub(super) fn lines(&self) -> u64 {
        match self {
            Visit::Shopper(visit) => visit.lines(),
            Visit::Application(visit) => visit.lines(),
            Visit::Desk(visit) => visit.lines(),
            Visit::Delivery(_) => 1,
            Visit::Crawler(visit) => visit.lines(),
            Visit::Partner(visit) => visit.lines(),
            Visit::Staff(_) => 0,
        }
    }

    pub(super) fn stream(&self) -> Stream {
        match self {
            Visit::Staff(_) => Stream::Events,
            _ => Stream::Access,
        }
    }

    /// Writes one line and says after how many milliseconds it will write the next, if ever.
    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        match self {
            Visit::Shopper(visit) => visit.act(stage),
            Visit::Application(visit) => visit.act(stage),
            Visit::Desk(visit) => visit.act(stage),
            Visit::Delivery(visit) => visit.act(stage),
            Visit::Crawler(visit) => visit.act(stage),
            Visit::Partner(visit) => visit.act(stage),
            Visit::Staff(visit) => visit.act(stage),
        }
    }
}
