//! The timeline of a sequence: which events its longest chain is made of.
//!
//! A window knows how long the longest chain is, and not its events: those are gone when the next piece of a log is
//! counted. So of each stage the first and the last event that may still be in a chain are kept, two for each rule of
//! the correlation, and the chain is made of these when more of it has been found than before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Stage;
use crate::event::{Event, FieldId, Schema, Timestamp, Value};
use crate::rules::correlation::Kind;
use crate::rules::{Body, Rule, RuleSet};

/// The stages that a rule has, in the order of its correlation.
pub struct Stages {
    is_ordered: bool,
    places: Vec<Place>,
}

struct Place {
    rule: Arc<str>,
    /// What subjects are made of there, and what those of the rule itself are made of.
    fields: Vec<FieldId>,
}

impl Stages {
    /// Those of a rule, if it has any.
    pub fn new(rules: &RuleSet, rule: &Rule, schema: &mut Schema) -> Option<Self> {
        let Body::Correlation(linked) = &rule.body else { return None };
        if rule.stages.is_empty() {
            return None;
        }
        let correlation = &linked.correlation;
        let place = |(reference, input): (&String, &usize)| {
            let input = &rules.rules[*input];
            let own = correlation.group_by.iter().map(|name| correlation.field_of(reference, name));
            let mut fields: Vec<FieldId> = Vec::new();
            for name in own.chain(input.group_by().iter().map(String::as_str)) {
                let id = schema.intern(name);
                if !fields.contains(&id) {
                    fields.push(id);
                }
            }
            Place { rule: input.handle().into(), fields }
        };
        Some(Self {
            is_ordered: correlation.kind == Kind::TemporalOrdered,
            places: correlation.rules.iter().zip(&linked.inputs).map(place).collect(),
        })
    }

    /// The places that are set in `rules`.
    pub fn places(&self, rules: u32) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(move |place| rules >> place & 1 == 1)
    }

    /// The fields of a place.
    pub fn fields(&self, place: usize) -> &[FieldId] {
        &self.places[place].fields
    }

    /// The name of the rule of a place.
    pub fn rule(&self, place: usize) -> Arc<str> {
        Arc::clone(&self.places[place].rule)
    }

    /// The subject of an event, as a place names it. `cut` shortens values.
    pub fn subject(
        &self,
        place: usize,
        event: &Event<'_>,
        schema: &Schema,
        cut: impl Fn(&str) -> &str,
    ) -> BTreeMap<String, String> {
        let fields = self.places[place].fields.iter().filter_map(|id| match event.get(*id) {
            Value::Missing | Value::Null => None,
            value => Some((schema.name(*id).to_owned(), cut(&value.to_text()?).to_owned())),
        });
        fields.collect()
    }
}

/// Events that the chain of a subject may be made of, at most two of each stage.
#[derive(Debug, Default)]
pub struct Candidates(Vec<(usize, Stage)>);

impl Candidates {
    /// Takes an event in. What is more than `horizon` microseconds older than the latest goes.
    pub fn take(&mut self, place: usize, stage: Stage, horizon: i64) {
        let at = stage.event.at;
        let latest = self.0.iter().map(|(_, stage)| stage.event.at).fold(at, Timestamp::max);
        let oldest = latest.as_micros().saturating_sub(horizon);
        self.0.retain(|(_, stage)| stage.event.at.as_micros() >= oldest);
        let mut same = self.0.iter().enumerate().filter(|(_, (other, _))| *other == place);
        let (one, other) = (same.next(), same.next());
        let former = match (one, other) {
            (Some((one, (_, early))), Some((other, (_, late)))) => {
                let (first, last, early, late) = if early.event.at <= late.event.at {
                    (one, other, early.event.at, late.event.at)
                } else {
                    (other, one, late.event.at, early.event.at)
                };
                match at {
                    _ if at >= late => Some(last),
                    _ if at < early => Some(first),
                    _ => return,
                }
            }
            _ => None,
        };
        // The order of the list is the order of arrival, which decides at the same time.
        former.map(|former| self.0.remove(former));
        self.0.push((place, stage));
    }

    /// The longest chain of events from one time to another.
    pub fn chain(&self, stages: &Stages, from: Timestamp, to: Timestamp) -> Vec<Stage> {
        let mut inside: Vec<&(usize, Stage)> =
            self.0.iter().filter(|(_, stage)| (from..=to).contains(&stage.event.at)).collect();
        inside.sort_by_key(|(_, stage)| stage.event.at);
        if !stages.is_ordered {
            let mut seen = 0_u64;
            inside.retain(|(place, _)| {
                let is_new = seen >> place & 1 == 0;
                seen |= 1 << place;
                is_new
            });
            return inside.into_iter().map(|(_, stage)| stage.clone()).collect();
        }
        // The length of the longest chain that ends with each, and what comes before it there.
        let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(inside.len());
        for (index, (place, stage)) in inside.iter().enumerate() {
            let mut longest = (1, None);
            for (earlier, (before, other)) in inside[..index].iter().enumerate() {
                let is_same =
                    (&other.event.source, other.event.line) == (&stage.event.source, stage.event.line);
                if before < place && !is_same && best[earlier].0 >= longest.0 {
                    longest = (best[earlier].0 + 1, Some(earlier));
                }
            }
            best.push(longest);
        }
        let mut chain = Vec::new();
        // Of several the one that ends first.
        let ends = best.iter().enumerate().rev().max_by_key(|(_, (length, _))| *length);
        let mut next = ends.map(|(index, _)| index);
        while let Some(index) = next {
            chain.push(inside[index].1.clone());
            next = best[index].1;
        }
        chain.reverse();
        chain
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.iter().map(|(_, stage)| size_of::<usize>() + stage.bytes()).sum()
    }
}
