//! What sources count. Labels are names of sources, out of the configuration, and reasons, out of an enum.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::event::Timestamp;
use crate::telemetry::{Occasional, Register};

/// What went wrong in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A file could not be opened.
    Open,
    /// A file could not be read.
    Read,
    /// A directory could not be listed.
    List,
    /// The checkpoint could not be read, or not be stored.
    Checkpoint,
    /// A file was rotated away while nobody followed it, and is not there any more.
    Gone,
    /// A path of the configuration has no file.
    NoFile,
    /// A file that was followed is not at its path any more.
    Vanished,
    /// Where a followed file was is something else, such as a directory.
    NotAFile,
    /// A source has more files than it may follow.
    TooManyFiles,
    /// A line is longer than 64 KiB, or a message is: its first part was read, the rest skipped.
    TooLong,
    /// A message whose length is not what was said: the connection was closed.
    Framing,
    /// A connection ended within a message whose length was said: its first part was read.
    BrokenOff,
    /// A sender that `allow` does not name.
    NotAllowed,
    /// More connections than there may be.
    TooManyConnections,
    /// A connection that said nothing for long.
    Idle,
    /// A connection could not be accepted, or a datagram not be received.
    Receive,
}

impl Reason {
    /// One of each.
    pub const ALL: [Self; 16] = [
        Self::Open,
        Self::Read,
        Self::List,
        Self::Checkpoint,
        Self::Gone,
        Self::NoFile,
        Self::Vanished,
        Self::NotAFile,
        Self::TooManyFiles,
        Self::TooLong,
        Self::Framing,
        Self::BrokenOff,
        Self::NotAllowed,
        Self::TooManyConnections,
        Self::Idle,
        Self::Receive,
    ];

    /// As the label of a counter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::List => "list",
            Self::Checkpoint => "checkpoint",
            Self::Gone => "gone",
            Self::NoFile => "no_file",
            Self::Vanished => "vanished",
            Self::NotAFile => "not_a_file",
            Self::TooManyFiles => "too_many_files",
            Self::TooLong => "too_long",
            Self::Framing => "framing",
            Self::BrokenOff => "broken_off",
            Self::NotAllowed => "not_allowed",
            Self::TooManyConnections => "too_many_connections",
            Self::Idle => "idle",
            Self::Receive => "receive",
        }
    }
}

/// The metrics of all sources.
#[derive(Clone, Debug)]
pub struct Metrics {
    lines: IntCounterVec,
    bytes: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    rotations: IntCounterVec,
    lag: IntGaugeVec,
    last_seen: IntGaugeVec,
    connections: IntGaugeVec,
    files: IntGaugeVec,
    paths_without_file: IntGaugeVec,
}

impl Metrics {
    /// Puts them into a registry. The series of a source are there, at 0, from its start.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str, labels: &[&str]| Register(registry).counters(name, help, labels);
        let gauge = |name: &str, help: &str| Register(registry).gauges(name, help, &["source"]);
        let source = &["source"];
        Ok(Self {
            lines: counter(
                "watchbell_source_lines_total",
                "Lines taken from a source, without blank ones.",
                source,
            )?,
            bytes: counter("watchbell_source_bytes_total", "Bytes taken from a source.", source)?,
            errors: counter(
                "watchbell_source_errors_total",
                "What went wrong in a source, by reason.",
                &["source", "reason"],
            )?,
            dropped: counter(
                "watchbell_source_dropped_lines_total",
                "Lines of syslog over UDP lost because more arrived than could be taken.",
                source,
            )?,
            rotations: counter(
                "watchbell_source_rotations_total",
                "Files of a source that were replaced or begun again.",
                source,
            )?,
            lag: gauge(
                "watchbell_source_lag_bytes",
                "Bytes in the files of a source that are not read yet.",
            )?,
            last_seen: gauge(
                "watchbell_source_last_seen_timestamp_seconds",
                "When a source last had a line, in seconds since the epoch; 0 if never.",
            )?,
            connections: gauge("watchbell_source_connections", "Connections that are open to a source.")?,
            files: gauge(
                "watchbell_source_files",
                "Files that a source follows and that are at their paths.",
            )?,
            paths_without_file: gauge(
                "watchbell_source_paths_without_file",
                "Paths of the configuration of a source that name no file.",
            )?,
        })
    }

    /// How many files all sources follow.
    pub fn files(&self) -> usize {
        by_source(&self.files).map(|(_, files)| files).sum()
    }

    /// The sources that have paths which name no file, and how many.
    pub fn paths_without_file(&self) -> BTreeMap<String, usize> {
        by_source(&self.paths_without_file).filter(|(_, paths)| *paths > 0).collect()
    }

    /// The metrics of one source.
    pub(super) fn source(&self, name: &str) -> SourceMetrics {
        let counter = |vec: &IntCounterVec| vec.with_label_values(&[name]);
        let gauge = |vec: &IntGaugeVec| vec.with_label_values(&[name]);
        SourceMetrics {
            name: name.to_owned(),
            lines: counter(&self.lines),
            bytes: counter(&self.bytes),
            errors: Reason::ALL.map(|reason| self.errors.with_label_values(&[name, reason.as_str()])),
            dropped: counter(&self.dropped),
            rotations: counter(&self.rotations),
            lag: gauge(&self.lag),
            last_seen: gauge(&self.last_seen),
            connections: gauge(&self.connections),
            files: gauge(&self.files),
            paths_without_file: gauge(&self.paths_without_file),
            troubles: Mutex::default(),
            peer_troubles: Occasional::default(),
        }
    }
}

/// What a gauge says of each source.
fn by_source(gauge: &IntGaugeVec) -> impl Iterator<Item = (String, usize)> {
    let metrics = gauge.collect().into_iter().flat_map(|mut family| family.take_metric());
    metrics.map(|metric| {
        let source = metric.get_label().first().map(|label| label.value().to_owned()).unwrap_or_default();
        (source, metric.get_gauge().get_value() as usize)
    })
}

/// The metrics of one source. Looking up a child costs ten times what counting does: they are kept.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    name: String,
    lines: IntCounter,
    bytes: IntCounter,
    errors: [IntCounter; Reason::ALL.len()],
    pub dropped: IntCounter,
    pub rotations: IntCounter,
    pub lag: IntGauge,
    last_seen: IntGauge,
    pub connections: IntGauge,
    pub files: IntGauge,
    pub paths_without_file: IntGauge,
    /// What is wrong and was said already, so that it is said once.
    troubles: Mutex<HashSet<(Reason, String)>>,
    peer_troubles: Occasional,
}

/// More troubles at a time are counted and not said.
const MAX_TROUBLES: usize = 64;

impl SourceMetrics {
    /// Counts what was read.
    pub fn read(&self, lines: u64, bytes: u64, at: Timestamp) {
        self.lines.inc_by(lines);
        self.bytes.inc_by(bytes);
        if lines > 0 {
            self.last_seen.set(at.as_micros() / 1_000_000);
        }
    }

    /// Counts a fault, without a word.
    pub fn count(&self, reason: Reason) {
        let counters = Reason::ALL.iter().zip(&self.errors);
        counters.filter(|(known, _)| **known == reason).for_each(|(_, counter)| counter.inc());
    }

    /// Counts a fault, and logs it unless it was there before: about `what`, with these words.
    pub fn trouble(&self, reason: Reason, what: &str, words: &dyn std::fmt::Display) {
        self.count(reason);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() < MAX_TROUBLES && troubles.insert((reason, what.to_owned())) {
            tracing::warn!(source = self.name, reason = reason.as_str(), what, "{words}");
        }
    }

    /// Counts a fault of somebody who sends, and logs it now and then: there may be many of them, and they may be many.
    pub fn peer_trouble(&self, reason: Reason, peer: SocketAddr, words: &dyn std::fmt::Display) {
        self.count(reason);
        if let Some(left_out) = self.peer_troubles.turn(Instant::now()) {
            let peer = peer.ip().to_canonical();
            tracing::warn!(source = self.name, reason = reason.as_str(), %peer, left_out, "{words}");
        }
    }

    /// What was wrong is no more.
    pub fn relief(&self, reason: Reason, what: &str) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if !troubles.is_empty() && troubles.remove(&(reason, what.to_owned())) {
            tracing::info!(source = self.name, reason = reason.as_str(), what, "well again");
        }
    }

    /// What was wrong does not matter any more.
    pub fn forget(&self, reason: Reason, what: &str) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if !troubles.is_empty() {
            troubles.remove(&(reason, what.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_reasons_do_not_share() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let source = metrics.source("nginx");
        source.count(Reason::Idle);
        let families = registry.gather();
        assert_eq!(families.len(), 10);
        let errors = families.iter().find(|family| family.name() == "watchbell_source_errors_total").unwrap();
        assert_eq!(errors.get_metric().len(), Reason::ALL.len());
        let sum: f64 = errors.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
        assert_eq!(sum, 1.0);
    }

    #[test]
    fn a_trouble_that_lasts_is_counted_each_time_and_remembered_once() {
        let source = Metrics::register(&Registry::new()).unwrap().source("nginx");
        for _ in 0..3 {
            source.trouble(Reason::Open, "/a", &"no");
        }
        assert_eq!(source.errors[0].get(), 3);
        assert_eq!(source.troubles.lock().unwrap().len(), 1);
        source.relief(Reason::Open, "/a");
        assert!(source.troubles.lock().unwrap().is_empty());
    }
}
