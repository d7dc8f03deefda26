//! Who is subscribed to what, and what was published: all that the hub keeps under its lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::{Cost, Filters, Selection};
use super::queue::Queue;
use super::{Frame, KnownRules, SubscribeError, Subscription, Topic};
use crate::event::Schema;

/// Most tests of all filters over events together, and most regular expressions among them: what the engine's thread
/// may be asked to do for each event.
const MAX_COST: Cost = Cost { tests: 20_000, regexes: 256 };

/// All that the hub keeps under its lock.
pub struct State {
    /// The fields there are.
    pub schema: Arc<Schema>,
    /// The rules there are.
    pub rules: Arc<KnownRules>,
    /// The number of the last alert.
    pub alerts: u64,
    /// The number of the last event that somebody wanted.
    pub events: u64,
    /// By number of the subscriber.
    pub slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    /// How many subscribers there are.
    pub count: usize,
    /// Those who want events without a filter.
    pub unfiltered: Vec<usize>,
    /// The filters in force.
    pub filters: Box<Filters>,
    /// How many subscribers have filters in force.
    filtered: usize,
    /// The filters that somebody asks for.
    pub wanted: Wanted,
    /// Room for the subscribers that an event goes to.
    pub found: Vec<usize>,
    /// Whether nothing more will be published.
    pub is_closed: bool,
}

/// A subscriber, as the hub sees it.
pub struct Slot {
    /// What waits for it.
    pub queue: Arc<Queue>,
    /// What is in force.
    pub current: Subscription,
    /// Takes the place of the current one when its filter is compiled.
    pub pending: Option<Subscription>,
}

impl State {
    /// Nobody has subscribed, and nothing was published.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self {
            filters: Box::new(Filters::compile(Arc::clone(&schema), &[])),
            schema,
            rules: Arc::default(),
            alerts: 0,
            events: 0,
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
            unfiltered: Vec::new(),
            filtered: 0,
            wanted: Wanted::default(),
            found: Vec::new(),
            is_closed: false,
        }
    }

    /// Takes in a subscriber that asks for nothing yet, and gives its number.
    pub fn add(&mut self, queue: Arc<Queue>) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[number] = Some(Slot { queue, current: Subscription::default(), pending: None });
        self.count += 1;
        number
    }

    /// A subscriber asks for something else; `false` when that must wait for its filter to be compiled.
    pub fn ask(&mut self, number: usize, subscription: Subscription) -> Result<bool, SubscribeError> {
        if self.is_closed {
            return Err(SubscribeError::Stopping);
        }
        subscription.check_fields(&self.schema).map_err(SubscribeError::Invalid)?;
        let Some(slot) = &mut self.slots[number] else { return Ok(true) };
        self.wanted.add(subscription.events.as_ref())?;
        if let Some(former) = slot.pending.replace(subscription) {
            self.wanted.remove(former.events.as_ref());
        }
        Ok(self.put_in_force(number))
    }

    /// A subscriber leaves.
    pub fn remove(&mut self, number: usize) {
        self.take_out_of_force(number);
        if let Some(pending) = self.slots[number].take().and_then(|slot| slot.pending) {
            self.wanted.remove(pending.events.as_ref());
        }
        self.free.push(number);
        self.count -= 1;
    }

    /// Whether anybody wants events.
    pub fn wants_events(&self) -> bool {
        self.filtered > 0 || !self.unfiltered.is_empty()
    }

    /// Puts the pending subscription of a subscriber in force; `false` when its filter is not compiled.
    fn put_in_force(&mut self, number: usize) -> bool {
        let Some(slot) = &mut self.slots[number] else { return true };
        let Some(pending) = slot.pending.take() else { return true };
        if pending.events.as_ref().is_some_and(|selection| !self.filters.has(selection)) {
            slot.pending = Some(pending);
            return false;
        }
        self.take_out_of_force(number);
        if let Some(selection) = &pending.events {
            self.filters.add(selection, number);
            self.filtered += 1;
        } else if pending.topics.contains(Topic::Events) {
            self.unfiltered.push(number);
        }
        if let Some(slot) = &mut self.slots[number] {
            slot.queue.push_answer(Frame::subscribed(pending.topics, self.alerts, self.events));
            slot.current = pending;
        }
        true
    }

    fn take_out_of_force(&mut self, number: usize) {
        let Some(slot) = &mut self.slots[number] else { return };
        let former = std::mem::take(&mut slot.current);
        if let Some(selection) = &former.events {
            self.filters.remove(selection, number);
            self.filtered -= 1;
            self.wanted.remove(Some(selection));
        } else if former.topics.contains(Topic::Events)
            && let Some(place) = self.unfiltered.iter().position(|other| *other == number)
        {
            self.unfiltered.swap_remove(place);
        }
    }

    /// Puts other filters in force, and the subscriptions that waited for them; gives back the former ones. The error is
    /// for filters that lack one that has come into force meanwhile.
    pub fn replace_filters(&mut self, mut filters: Box<Filters>) -> Result<Box<Filters>, Box<Filters>> {
        for (number, slot) in self.slots.iter().enumerate() {
            let selection = slot.as_ref().and_then(|slot| slot.current.events.as_ref());
            if selection.is_some_and(|selection| !filters.add(selection, number)) {
                return Err(filters);
            }
        }
        let former = std::mem::replace(&mut self.filters, filters);
        for number in 0..self.slots.len() {
            self.put_in_force(number);
        }
        Ok(former)
    }
}

/// The filters that somebody asks for, in force or not.
#[derive(Default)]
pub struct Wanted {
    /// By their text; how many ask for each.
    pub selections: HashMap<Arc<str>, (Arc<Selection>, usize)>,
    cost: Cost,
}

impl Wanted {
    fn add(&mut self, selection: Option<&Arc<Selection>>) -> Result<(), SubscribeError> {
        let Some(selection) = selection else { return Ok(()) };
        if let Some((_, count)) = self.selections.get_mut(selection.text()) {
            *count += 1;
            return Ok(());
        }
        let more = selection.cost();
        let cost = Cost { tests: self.cost.tests + more.tests, regexes: self.cost.regexes + more.regexes };
        if cost.tests > MAX_COST.tests || cost.regexes > MAX_COST.regexes {
            return Err(SubscribeError::FiltersFull);
        }
        self.cost = cost;
        self.selections.insert(Arc::clone(selection.text()), (Arc::clone(selection), 1));
        Ok(())
    }

    fn remove(&mut self, selection: Option<&Arc<Selection>>) {
        let Some(selection) = selection else { return };
        let Some((_, count)) = self.selections.get_mut(selection.text()) else { return };
        *count -= 1;
        if *count == 0 {
            self.selections.remove(selection.text());
            self.cost.tests -= selection.cost().tests;
            self.cost.regexes -= selection.cost().regexes;
        }
    }
}
