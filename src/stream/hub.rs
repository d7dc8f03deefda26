//! Where what happens and whoever wants to know it meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prometheus::Registry;

use super::filter::{Cost, Filters, Selection};
use super::metrics::Metrics;
use super::queue::Queue;
use super::{Change, Frame, Limits, SubscribeError, Subscription, Topic};
use crate::alert::Alert;
use crate::event::{Event, Schema};

/// How long changes of filters are collected before all are compiled again.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Most tests of all filters over events together, and most regular expressions among them: what the engine's thread
/// may be asked to do for each event.
const MAX_COST: Cost = Cost { tests: 20_000, regexes: 256 };

/// Where what happens is published and subscribed to.
pub struct Hub {
    limits: Limits,
    /// Differs from process to process.
    run: String,
    metrics: Metrics,
    state: Mutex<State>,
    wants_events: AtomicBool,
    /// Held by whoever compiles filters.
    compiling: Mutex<()>,
    /// Tells the thread that compiles filters that they have changed.
    changed: SyncSender<()>,
}

struct State {
    schema: Arc<Schema>,
    alerts: u64,
    events: u64,
    /// By number of the subscriber.
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    count: usize,
    /// Those who want events without a filter.
    unfiltered: Vec<usize>,
    filters: Box<Filters>,
    /// How many subscribers have filters in force.
    filtered: usize,
    wanted: Wanted,
    /// Room for the subscribers that an event goes to.
    found: Vec<usize>,
    is_closed: bool,
}

struct Slot {
    queue: Arc<Queue>,
    current: Subscription,
    /// Takes the place of the current one when its filter is compiled.
    pending: Option<Subscription>,
}

/// The filters that somebody asks for, in force or not.
#[derive(Default)]
struct Wanted {
    selections: HashMap<Arc<str>, (Arc<Selection>, usize)>,
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

impl Hub {
    /// A hub without subscribers, and the thread that compiles their filters.
    pub fn new(limits: Limits, registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(registry)?;
        let schema = Arc::new(Schema::new());
        let (changed, changes) = sync_channel(1);
        let hub = Arc::new(Self {
            limits,
            run: format!("{:016x}", RandomState::new().build_hasher().finish()),
            metrics,
            state: Mutex::new(State {
                filters: Box::new(Filters::compile(Arc::clone(&schema), &[])),
                schema,
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
            }),
            wants_events: AtomicBool::new(false),
            compiling: Mutex::new(()),
            changed,
        });
        let weak = Arc::downgrade(&hub);
        std::thread::Builder::new()
            .name("stream-filters".to_owned())
            .spawn(move || keep_compiled(&weak, &changes))?;
        Ok(hub)
    }

    /// The fields there are: at start and when rules are reloaded, before the first event of the new schema is published.
    /// Compiles all filters before it returns. Whoever named a field that is gone is told.
    pub fn set_schema(&self, schema: Arc<Schema>) {
        self.state().schema = schema;
        self.compile_filters();
        let state = self.state();
        for slot in state.slots.iter().flatten() {
            for subscription in std::iter::once(&slot.current).chain(&slot.pending) {
                if let Err(error) = subscription.check_fields(&state.schema) {
                    slot.queue.push_answer(Frame::error(&error));
                }
            }
        }
    }

    /// Tells what became of an alert. Waits for nobody.
    pub fn publish_alert(&self, change: Change, alert: &Alert) {
        let mut state = self.state();
        state.alerts += 1;
        let (seq, State { slots, schema, .. }) = (state.alerts, &*state);
        let mut frame = None;
        let (mut queued, mut missed, mut events_out) = (0, 0, 0);
        for slot in slots.iter().flatten().filter(|slot| slot.current.wants_alert(alert, schema)) {
            let frame = frame.get_or_insert_with(|| Frame::alert(seq, change, alert));
            let pushed = slot.queue.push_alert(seq, frame, &self.limits);
            queued += u64::from(pushed.is_queued);
            missed += u64::from(!pushed.is_queued);
            events_out += pushed.events_out;
        }
        drop(state);
        self.metrics.queued(Topic::Alerts, queued);
        self.metrics.missed(Topic::Alerts, missed);
        self.metrics.missed(Topic::Events, events_out);
    }

    /// Whether anybody wants events at the moment.
    pub fn wants_events(&self) -> bool {
        self.wants_events.load(Ordering::Relaxed)
    }

    /// Tells an event to those who want it; to be called when there are any. Waits for nobody.
    pub fn publish_event(&self, source: &str, tenant: &str, event: &Event<'_>) {
        let mut state = self.state();
        let State { filters, found, unfiltered, slots, events, .. } = &mut *state;
        found.clear();
        found.extend_from_slice(unfiltered);
        filters.find(event, found);
        let wants = |number: &usize| {
            slots.get(*number).and_then(Option::as_ref).is_some_and(|slot| slot.current.wants_tenant(tenant))
        };
        found.retain(wants);
        if found.is_empty() {
            return;
        }
        *events += 1;
        let frame = Frame::event(*events, source, tenant, event, filters.schema());
        let (mut queued, mut missed) = (0, 0);
        for slot in found.iter().filter_map(|number| slots[*number].as_ref()) {
            let is_queued = slot.queue.push_event(*events, &frame, &self.limits);
            queued += u64::from(is_queued);
            missed += u64::from(!is_queued);
        }
        drop(state);
        self.metrics.queued(Topic::Events, queued);
        self.metrics.missed(Topic::Events, missed);
    }

    /// Tells what was counted: an object, to be called once a second. Waits for nobody.
    pub fn publish_statistics(&self, statistics: &serde_json::Value) {
        let state = self.state();
        let (mut queued, mut missed) = (0, 0);
        let mut frame = None;
        let wants = |slot: &&Slot| slot.current.topics.contains(Topic::Statistics);
        for slot in state.slots.iter().flatten().filter(wants) {
            let frame = frame.get_or_insert_with(|| Frame::statistics(statistics));
            missed += u64::from(!slot.queue.push_statistics(frame));
            queued += 1;
        }
        drop(state);
        self.metrics.queued(Topic::Statistics, queued);
        self.metrics.missed(Topic::Statistics, missed);
    }

    /// Subscribes. The first frame is `hello`; from the frame `subscribed` on, everything that is asked for is delivered
    /// or told as missed. That comes at once, or, when a filter over events is new, a moment later.
    pub fn subscribe(self: &Arc<Self>, subscription: Subscription) -> Result<Subscriber, SubscribeError> {
        let subscriber = self.admit(&subscription).inspect_err(|error| self.metrics.rejected(error))?;
        if !subscription.topics.is_empty() {
            subscriber.change(subscription)?;
        }
        Ok(subscriber)
    }

    /// Counts a request that was refused before it came here.
    pub fn count_rejected(&self, error: &SubscribeError) {
        self.metrics.rejected(error);
    }

    /// Nothing more will be published: subscribers get what waits for them, and then the end.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.slots.iter().flatten().for_each(|slot| slot.queue.close());
    }

    fn admit(self: &Arc<Self>, subscription: &Subscription) -> Result<Subscriber, SubscribeError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(SubscribeError::Stopping);
        }
        if state.count >= self.limits.max_subscribers {
            return Err(SubscribeError::SubscribersFull(state.count));
        }
        subscription.check_fields(&state.schema).map_err(SubscribeError::Invalid)?;
        let queue = Arc::new(Queue::default());
        queue.push_answer(Frame::hello(&self.run));
        let slot = Slot { queue: Arc::clone(&queue), current: Subscription::default(), pending: None };
        state.count += 1;
        self.metrics.subscribers.set(state.count as i64);
        let number = match state.free.pop() {
            Some(number) => number,
            None => {
                state.slots.push(None);
                state.slots.len() - 1
            }
        };
        state.slots[number] = Some(slot);
        Ok(Subscriber { hub: Arc::clone(self), number, queue })
    }

    fn change(&self, number: usize, subscription: Subscription) -> Result<(), SubscribeError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(SubscribeError::Stopping);
        }
        subscription.check_fields(&state.schema).map_err(SubscribeError::Invalid)?;
        state.wanted.add(subscription.events.as_ref())?;
        let State { slots, wanted, .. } = &mut *state;
        let Some(slot) = &mut slots[number] else { return Ok(()) };
        if let Some(former) = slot.pending.replace(subscription) {
            wanted.remove(former.events.as_ref());
        }
        if !state.put_in_force(number) {
            self.filters_changed();
        }
        self.note_wants(&state);
        Ok(())
    }

    fn leave(&self, number: usize) {
        let mut state = self.state();
        state.take_out_of_force(number);
        if let Some(pending) = state.slots[number].take().and_then(|slot| slot.pending) {
            state.wanted.remove(pending.events.as_ref());
        }
        state.free.push(number);
        state.count -= 1;
        self.metrics.subscribers.set(state.count as i64);
        self.note_wants(&state);
        self.filters_changed();
    }

    fn note_wants(&self, state: &State) {
        self.wants_events.store(state.filtered > 0 || !state.unfiltered.is_empty(), Ordering::Relaxed);
    }

    /// When one change is waiting to be seen already, another is seen with it.
    fn filters_changed(&self) {
        let _ = self.changed.try_send(());
    }

    /// Compiles the filters that are wanted, if they are others than those in force, and puts them in force.
    fn compile_filters(&self) {
        let _turn = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let state = self.state();
            let schema = Arc::clone(&state.schema);
            if state.filters.are(&state.wanted.selections, &schema) {
                return;
            }
            let selections: Vec<_> =
                state.wanted.selections.values().map(|(selection, _)| Arc::clone(selection)).collect();
            drop(state);
            let filters = Box::new(Filters::compile(schema, &selections));
            let mut state = self.state();
            match state.replace_filters(filters) {
                Ok(former) => {
                    self.note_wants(&state);
                    drop(state);
                    drop(former);
                    // For what has changed meanwhile.
                    return self.filters_changed();
                }
                Err(incomplete) => {
                    drop(state);
                    drop(incomplete);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
    fn replace_filters(&mut self, mut filters: Box<Filters>) -> Result<Box<Filters>, Box<Filters>> {
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

/// Compiles filters when they have changed, for as long as there is a hub.
fn keep_compiled(hub: &Weak<Hub>, changes: &Receiver<()>) {
    while changes.recv().is_ok() {
        std::thread::sleep(DEBOUNCE);
        while changes.try_recv().is_ok() {}
        let Some(hub) = hub.upgrade() else { return };
        hub.compile_filters();
    }
}

/// A subscriber; it leaves when it is dropped.
pub struct Subscriber {
    hub: Arc<Hub>,
    number: usize,
    queue: Arc<Queue>,
}

impl Subscriber {
    /// Waits for the next frame; `None` when the hub is closed and nothing waits. For one task at a time.
    pub async fn next(&self) -> Option<Frame> {
        self.queue.next().await
    }

    /// The next frame, if one waits.
    pub fn try_next(&self) -> Option<Frame> {
        self.queue.pop()
    }

    /// Asks for something else. What was asked for before stays in force until the frame `subscribed`; events that were
    /// queued before may come after it. After an error everything is as it was.
    pub fn change(&self, subscription: Subscription) -> Result<(), SubscribeError> {
        let changed = self.hub.change(self.number, subscription);
        changed.inspect_err(|error| self.hub.metrics.rejected(error))
    }

    /// Tells the subscriber that what it asked for cannot be had; `false` when it does not read what it is told.
    pub fn refuse(&self, detail: &str) -> bool {
        self.queue.push_answer(Frame::error(detail))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.leave(self.number);
    }
}
