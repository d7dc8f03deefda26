//! What must be remembered to be seen ([`crate::facts`]), looked at as events are counted, each tenant by itself.
//!
//! What is derived goes the way of all lines: through the journal where there is one, else with the next step. While
//! events are counted again the same is derived again, and the journal knows it by its key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::fact_metrics::FactMetrics;
use crate::decode::Format;
use crate::engine::Engine;
use crate::event::{Timestamp, field};
use crate::facts::{self, Fact, Facts};
use crate::intake::{Lines, Stream};
use crate::journal::{Record, Refused, Writer};
use crate::whatsapp::Context;

/// The name of the source that derived lines are.
pub const FACTS: &str = "facts";

/// Derived lines that wait for room in the journal. It is rarely full for longer than a second, and what is derived is few.
const MAX_WAITING: usize = 10_000;

/// The observers of all tenants.
pub struct Observers {
    config: facts::Config,
    /// Tenants are named in the configuration, so they are few.
    tenants: BTreeMap<String, Tenant>,
    waiting: VecDeque<Record>,
    /// Where lines are kept before they are counted, and where numbers are known.
    kept: Option<(Writer, Arc<Context>)>,
    metrics: FactMetrics,
}

struct Tenant {
    stream: Arc<Stream>,
    facts: Facts,
}

impl Tenant {
    fn new(name: &str, config: &facts::Config) -> Self {
        let stream = Stream { source: FACTS.into(), tenant: name.into(), name: FACTS.into() };
        Self { stream: Arc::new(stream), facts: Facts::new(config.clone()) }
    }
}

impl Observers {
    /// Observers that have seen nothing. What they derive goes into the journal, or without one is given back by
    /// [`Self::take`].
    pub fn new(config: facts::Config, kept: Option<(Writer, Arc<Context>)>, metrics: FactMetrics) -> Self {
        Self { config, tenants: BTreeMap::new(), waiting: VecDeque::new(), kept, metrics }
    }

    /// Looks at what has been read and is not counted yet.
    pub fn observe(&mut self, engine: &Engine, received: Timestamp) {
        self.look(engine, received, |_, _| {});
    }

    /// Looks at what was counted before. The names of numbers are known from it again.
    pub fn observe_again(&mut self, engine: &Engine, received: Timestamp) {
        let context = self.kept.as_ref().map(|(_, context)| Arc::clone(context));
        self.look(engine, received, |pseudonym, id| {
            if let Some(context) = &context {
                context.numbers.learn(pseudonym, id);
            }
        });
    }

    /// `name` is told both names of each number that has both.
    fn look(&mut self, engine: &Engine, received: Timestamp, name: impl Fn(&str, &str)) {
        let Self { config, tenants, .. } = self;
        engine.for_each_messaging_event(|source, at, event| {
            let names = (event.text(field::WHATSAPP_NUMBER_PSEUDONYM), event.text(field::WHATSAPP_NUMBER_ID));
            if let (Some(pseudonym), Some(id)) = names {
                name(pseudonym, id);
            }
            // Looked up by the borrowed name: a new one is the exception.
            if !tenants.contains_key(&source.tenant) {
                tenants.insert(source.tenant.clone(), Tenant::new(&source.tenant, config));
            }
            if let Some(tenant) = tenants.get_mut(&source.tenant) {
                tenant.facts.observe(event, at.unwrap_or(received));
            }
        });
        self.collect(received);
    }

    /// Says that it is `now`; for once a second, and not while events are counted again.
    pub fn advance(&mut self, now: Timestamp) {
        self.tenants.values_mut().for_each(|tenant| tenant.facts.advance(now));
        self.collect(now);
        self.metrics.follow(self.tenants.values().map(|tenant| tenant.facts.gauges()));
    }

    /// Lines to be counted next, where there is no journal for them.
    pub fn take(&mut self) -> Vec<Lines> {
        if self.kept.is_some() {
            return Vec::new();
        }
        self.waiting.drain(..).map(|record| record.lines).collect()
    }

    fn collect(&mut self, received: Timestamp) {
        for Tenant { stream, facts } in self.tenants.values_mut() {
            for Fact { action, mut line, key } in facts.take() {
                self.metrics.add(action);
                if self.waiting.len() >= MAX_WAITING {
                    self.metrics.refused.inc();
                    continue;
                }
                line.push('\n');
                let stream = Arc::clone(stream);
                let format = Format::Json;
                let lines = Lines { stream, text: line, format, received, counted: None, offset: None };
                self.waiting.push_back(Record { lines, keys: vec![key], stored: None });
            }
        }
        let Some((writer, _)) = &self.kept else { return };
        while let Some(record) = self.waiting.pop_front() {
            match writer.append(record) {
                Ok(()) => {}
                Err(Refused::Full(record)) => {
                    self.waiting.push_front(*record);
                    break;
                }
                // The service is stopping: when it starts again the same is derived again.
                Err(_) => break,
            }
        }
    }
}
