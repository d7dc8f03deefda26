//! Traffic with known attacks in it: the logs of a shop that sells by WhatsApp, and the truth about them.
//!
//! Detection is a promise that can only be measured against traffic of which everything is known. So this
//! room writes ordinary traffic, stages attacks and look-alikes in it, and keeps a [`Label`] of each. Demos,
//! benchmarks and the measure of what rules find all read what is written here.
//!
//! ```text
//! door (ordinary visits)    \
//!                            agenda -> one line at a time, in the order of time -> generator -> write
//! programme (staged kinds)  /                                                   /
//!                                               webhooks (bodies of webhooks) -
//! ```
//!
//! Who comes writes one line whenever it is its turn and says when its next turn is; the agenda is a heap of
//! those turns. So lines come out in the order of time, any number of them in the same memory.
//!
//! | to add | touch |
//! |---|---|
//! | something staged | one line of the list in `kinds/mod.rs`, one `Script` in the room of its theme |
//! | a kind of visitor | a file in `visit/`, a variant and a share in `visit/mod.rs` |
//! | a page or a product | `shop.rs` |
//! | something staged on WhatsApp | one line of the list in `kinds/mod.rs`, one `Act` in the room of its theme |
//!
//! Nothing reads a clock, and nothing uses floating point: the same [`Config`] gives the same bytes anywhere.
//!
//! What it does not promise: that ordinary traffic is anybody's. Its proportions are those of a small shop,
//! and its clients do not learn, tire or hold a grudge.

mod agenda;
mod agents;
mod clock;
mod config;
mod door;
mod episode;
mod generator;
mod kinds;
mod label;
mod names;
mod population;
mod programme;
mod random;
mod rhythm;
mod shop;
mod stage;
mod staging;
mod visit;
mod webhooks;
mod write;

pub use config::{Config, ConfigError};
pub use generator::{Generator, Record, Step, TimedLine};
pub use kinds::{Kind, UnknownKind};
pub use label::{Label, Speed, Stream, Subject};
pub use staging::{NoSuchSpeed, Staged, Staging, stage};
pub use write::{Outputs, Progress, WriteError, write};

#[cfg(test)]
mod tests;
