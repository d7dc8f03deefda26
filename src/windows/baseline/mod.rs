//! Spikes and silences: how surprising a number is to whoever knows the numbers before it.
//!
//! One number a tick for each subject: messages sent by a business number in a minute, logins of a tenant. Nothing is
//! trained; each tick is looked at once, and the state of a subject is of fixed size. [`detector`] says how surprising a
//! tick is; it knows what is usual, [`season`] at which hour, [`sparse`] for small counts, and [`tail`] how often a series
//! is far off. [`ticks`] makes ticks of observations, and [`series`] episodes of ticks.

pub mod detector;
pub mod season;
pub mod series;
pub mod sketch;
pub mod sparse;
pub mod tail;
pub mod ticks;
