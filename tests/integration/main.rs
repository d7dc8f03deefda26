//! Everything that is tested through the public interface: one binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod architecture;
mod baseline;
mod chains;
mod command_line;
mod corners;
mod deviation;
mod engine;
mod first_seen;
mod hostile;
mod journal;
mod journal_cli;
mod memory;
mod messaging;
mod mmdb;
mod places;
mod privacy;
mod quality;
mod recovery;
mod restarts;
mod risk;
mod sends;
mod serve;
mod service;
mod shadow;
mod sources;
mod stream;
mod watch;
mod webhooks;
mod what_if;
