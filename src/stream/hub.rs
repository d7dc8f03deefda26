//! Where what happens and whoever wants to know it meet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prometheus::Registry;

use super::filter::Filters;
use super::metrics::Metrics;
use super::queue::Queue;
use super::state::{Slot, State};
use super::{Change, Frame, KnownRules, Limits, SubscribeError, Subscription, Topic};
use crate::alert::Alert;
use crate::chance;
use crate::event::{Event, Schema};

/// How long changes of filters are collected before all are compiled again.
const DEBOUNCE: Duration = Duration::from_millis(20);

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

impl Hub {
    /// A hub without subscribers, and the thread that compiles their filters.
    pub fn new(limits: Limits, registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(registry)?;
        let (changed, changes) = sync_channel(1);
        let hub = Arc::new(Self {
            limits,
            run: format!("{:016x}", chance::number()),
            metrics,
            state: Mutex::new(State::new(Arc::new(Schema::new()))),
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

    /// The rules there are: at start and when they are reloaded. New subscriptions may name no others; those that are in
    /// force go on, and get what a rule of that name says when there is one again.
    pub fn set_rules(&self, rules: KnownRules) {
        self.state().rules = Arc::new(rules);
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
        let number = state.add(Arc::clone(&queue));
        self.metrics.subscribers.set(state.count as i64);
        Ok(Subscriber { hub: Arc::clone(self), number, queue })
    }

    fn change(&self, number: usize, subscription: Subscription) -> Result<(), SubscribeError> {
        // Many names and many rules take a while, for which nobody else shall wait.
        let rules = Arc::clone(&self.state().rules);
        subscription.check_rules(&rules).map_err(SubscribeError::Invalid)?;
        let mut state = self.state();
        if !state.ask(number, subscription)? {
            self.filters_changed();
        }
        self.note_wants(&state);
        Ok(())
    }

    fn leave(&self, number: usize) {
        let mut state = self.state();
        state.remove(number);
        self.metrics.subscribers.set(state.count as i64);
        self.note_wants(&state);
        self.filters_changed();
    }

    fn note_wants(&self, state: &State) {
        self.wants_events.store(state.wants_events(), Ordering::Relaxed);
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
