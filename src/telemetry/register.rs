//! Metrics made and put into a registry in one go.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

/// Makes metrics and puts them into a registry. An error is for a name that is there already, or is none.
#[derive(Clone, Copy, Debug)]
pub struct Register<'r>(pub &'r Registry);

impl Register<'_> {
    /// A counter.
    pub fn counter(self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.put(IntCounter::new(name, help)?)
    }

    /// Counters, one for each value of the labels; there as soon as they are asked for.
    pub fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.put(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge.
    pub fn gauge(self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.put(IntGauge::new(name, help)?)
    }

    /// A gauge of a number that is not whole.
    pub fn ratio(self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.put(Gauge::new(name, help)?)
    }

    /// Gauges, one for each value of the labels; there as soon as they are asked for.
    pub fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.put(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A histogram of times in seconds, from a tenth of a millisecond to six and a half seconds.
    pub fn seconds(self, name: &str, help: &str) -> Result<Histogram, Error> {
        let buckets = exponential_buckets(0.000_1, 2.0, 17)?;
        self.put(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }

    fn put<C: Collector + Clone + 'static>(self, collector: C) -> Result<C, Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
