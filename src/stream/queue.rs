//! The frames that wait for one subscriber.
//!
//! Two lanes: what must not be lost (alerts, and answers to the subscriber) goes first, events go after it. A full queue
//! drops the newest frame, and events before alerts: an alert that finds no room pushes the newest events out. What was
//! missed is told before the next frame of its topic. Once events have been missed none is taken until half the room
//! is free, so that a subscriber that is too slow gets stretches of events and not a hole behind each.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Frame, Limits, Topic};

/// Answers that wait; a subscriber that asks for more without reading any is not worth an answer.
const MAX_ANSWERS: usize = 32;

/// Frames of a topic that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// Number of the first.
    pub from: u64,
    /// Number of the last.
    pub to: u64,
}

impl Missed {
    fn one(seq: u64) -> Self {
        Self { count: 1, from: seq, to: seq }
    }

    /// With what was missed elsewhere.
    fn and(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| Self {
            count: self.count + other.count,
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        })
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Whether it is in the queue.
    pub is_queued: bool,
    /// Events that were pushed out for it.
    pub events_out: u64,
}

enum Item {
    Answer(Frame),
    Frame(u64, Frame),
    Missed(Missed),
}

#[derive(Default)]
struct Lanes {
    /// Answers and alerts.
    first: VecDeque<Item>,
    /// The newest statistics: older ones are of no use.
    statistics: Option<Frame>,
    events: VecDeque<Item>,
    answers: usize,
    alert_frames: usize,
    event_frames: usize,
    bytes: usize,
    /// Missed behind the last alert in the queue, and behind the last event.
    missed_alerts: Option<Missed>,
    missed_events: Option<Missed>,
    is_closed: bool,
}

/// The frames that wait for one subscriber.
#[derive(Default)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    wake: Notify,
}

impl Queue {
    /// Queues an answer to the subscriber; `false` when it does not read them.
    pub fn push_answer(&self, frame: Frame) -> bool {
        self.change(|lanes| {
            if lanes.answers >= MAX_ANSWERS {
                return false;
            }
            lanes.answers += 1;
            lanes.first.push_back(Item::Answer(frame));
            true
        })
    }

    /// Queues an alert.
    pub fn push_alert(&self, seq: u64, frame: &Frame, limits: &Limits) -> Pushed {
        self.change(|lanes| lanes.push_alert(seq, frame, limits))
    }

    /// Queues an event; `false` when it is missed.
    pub fn push_event(&self, seq: u64, frame: &Frame, limits: &Limits) -> bool {
        self.change(|lanes| lanes.push_event(seq, frame, limits))
    }

    /// Queues statistics in the place of older ones; `false` when those were still there.
    pub fn push_statistics(&self, frame: &Frame) -> bool {
        self.change(|lanes| lanes.statistics.replace(frame.clone()).is_none())
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.lanes().is_closed = true;
        self.wake.notify_one();
    }

    /// The next frame, if one waits.
    pub fn pop(&self) -> Option<Frame> {
        self.lanes().pop()
    }

    /// Waits for the next frame; `None` when the queue is closed and empty.
    pub async fn next(&self) -> Option<Frame> {
        loop {
            {
                let mut lanes = self.lanes();
                match lanes.pop() {
                    None if lanes.is_closed => return None,
                    None => {}
                    frame => return frame,
                }
            }
            self.wake.notified().await;
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the lanes and wakes the subscriber if there was nothing before and is something now.
    fn change<T>(&self, change: impl FnOnce(&mut Lanes) -> T) -> T {
        let mut lanes = self.lanes();
        let was_empty = lanes.is_empty();
        let changed = change(&mut lanes);
        let is_news = was_empty && !lanes.is_empty();
        drop(lanes);
        if is_news {
            self.wake.notify_one();
        }
        changed
    }
}

impl Lanes {
    fn is_empty(&self) -> bool {
        self.first.is_empty()
            && self.events.is_empty()
            && self.statistics.is_none()
            && self.missed_alerts.is_none()
            && self.missed_events.is_none()
    }

    fn push_alert(&mut self, seq: u64, frame: &Frame, limits: &Limits) -> Pushed {
        let length = frame.as_str().len();
        let mut pushed = Pushed::default();
        // What would not fit into an empty queue pushes nothing out.
        let may_fit = length <= limits.max_queued_bytes && self.alert_frames < limits.max_queued_frames;
        while may_fit && !self.has_room(length, limits) && self.event_frames > 0 {
            pushed.events_out += self.push_out_event();
        }
        if !self.has_room(length, limits) {
            self.missed_alerts = Some(Missed::one(seq).and(self.missed_alerts));
            return pushed;
        }
        self.first.extend(self.missed_alerts.take().map(Item::Missed));
        self.first.push_back(Item::Frame(seq, frame.clone()));
        self.alert_frames += 1;
        self.bytes += length;
        pushed.is_queued = true;
        pushed
    }

    fn push_event(&mut self, seq: u64, frame: &Frame, limits: &Limits) -> bool {
        let length = frame.as_str().len();
        let most = limits.max_queued_frames.saturating_sub(limits.reserved_alert_frames);
        let is_ready = match self.missed_events {
            Some(_) => {
                self.event_frames == 0
                    || (self.event_frames < most.div_ceil(2) && self.bytes < limits.max_queued_bytes / 2)
            }
            None => true,
        };
        if !is_ready || self.event_frames >= most || !self.has_room(length, limits) {
            self.missed_events = Some(Missed::one(seq).and(self.missed_events));
            return false;
        }
        self.events.extend(self.missed_events.take().map(Item::Missed));
        self.events.push_back(Item::Frame(seq, frame.clone()));
        self.event_frames += 1;
        self.bytes += length;
        true
    }

    fn has_room(&self, length: usize, limits: &Limits) -> bool {
        self.alert_frames + self.event_frames < limits.max_queued_frames
            && self.bytes + length <= limits.max_queued_bytes
    }

    /// Takes the newest event out again, and what was missed before it: both are missed now. Gives how many events were
    /// taken out.
    fn push_out_event(&mut self) -> u64 {
        match self.events.pop_back() {
            Some(Item::Frame(seq, frame)) => {
                self.event_frames -= 1;
                self.bytes -= frame.as_str().len();
                self.missed_events = Some(Missed::one(seq).and(self.missed_events));
                1
            }
            Some(Item::Missed(missed)) => {
                self.missed_events = Some(missed.and(self.missed_events));
                0
            }
            Some(Item::Answer(_)) | None => 0,
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        if let Some(item) = self.first.pop_front() {
            return Some(match item {
                Item::Answer(frame) => {
                    self.answers -= 1;
                    frame
                }
                Item::Frame(_, frame) => {
                    self.alert_frames -= 1;
                    self.bytes -= frame.as_str().len();
                    frame
                }
                Item::Missed(missed) => Frame::missed(Topic::Alerts, missed),
            });
        }
        if let Some(missed) = self.missed_alerts.take() {
            return Some(Frame::missed(Topic::Alerts, missed));
        }
        if let Some(frame) = self.statistics.take() {
            return Some(frame);
        }
        match self.events.pop_front() {
            Some(Item::Frame(_, frame)) => {
                self.event_frames -= 1;
                self.bytes -= frame.as_str().len();
                Some(frame)
            }
            Some(Item::Missed(missed)) => Some(Frame::missed(Topic::Events, missed)),
            Some(Item::Answer(frame)) => Some(frame),
            None => Some(Frame::missed(Topic::Events, self.missed_events.take()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits {
        max_subscribers: 1,
        max_queued_frames: 8,
        max_queued_bytes: 1_000,
        reserved_alert_frames: 2,
    };

    fn frame(number: u64) -> Frame {
        Frame::statistics(&json!(number))
    }

    fn large() -> Frame {
        Frame::statistics(&json!("x".repeat(950)))
    }

    /// Pushes events 1 to `last` and gives how many were queued.
    fn push_events(queue: &Queue, last: u64) -> usize {
        (1..=last).filter(|seq| queue.push_event(*seq, &frame(*seq), &LIMITS)).count()
    }

    /// What a subscriber would get: the numbers of frames, and what was missed as text.
    fn rest(queue: &Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop())
            .map(|frame| {
                let value: serde_json::Value = serde_json::from_str(frame.as_str()).unwrap();
                match value["type"].as_str() {
                    Some("missed") => format!(
                        "{} missed {}: {} to {}",
                        value["count"],
                        value["topic"].as_str().unwrap_or_default(),
                        value["from"],
                        value["to"]
                    ),
                    _ => value["statistics"].to_string(),
                }
            })
            .collect()
    }

    #[test]
    fn the_newest_events_are_missed_and_told_in_their_place() {
        let queue = Queue::default();
        assert_eq!(push_events(&queue, 9), 6, "two frames are for alerts alone");
        assert!((0..3).all(|_| queue.pop().is_some()));
        assert!(!queue.push_event(10, &frame(10), &LIMITS), "half the room must be free again");
        assert!(queue.pop().is_some());
        assert!(queue.push_event(11, &frame(11), &LIMITS));
        assert_eq!(rest(&queue), ["5", "6", "4 missed events: 7 to 10", "11"]);
    }

    #[test]
    fn what_was_missed_last_is_told_when_the_queue_is_empty() {
        let queue = Queue::default();
        push_events(&queue, 7);
        assert_eq!(rest(&queue).last().map(String::as_str), Some("1 missed events: 7 to 7"));
        assert!(queue.push_event(8, &frame(8), &LIMITS));
        assert_eq!(rest(&queue), ["8"]);
    }

    #[test]
    fn an_alert_goes_first_and_pushes_out_the_newest_events() {
        let queue = Queue::default();
        push_events(&queue, 7);
        let pushed: Vec<Pushed> =
            (1..=9).map(|seq| queue.push_alert(seq, &frame(100 + seq), &LIMITS)).collect();
        assert_eq!(pushed.iter().map(|pushed| pushed.events_out).sum::<u64>(), 6);
        assert_eq!(pushed.iter().filter(|pushed| pushed.is_queued).count(), 8);
        assert_eq!(
            rest(&queue),
            [
                "101",
                "102",
                "103",
                "104",
                "105",
                "106",
                "107",
                "108",
                "1 missed alerts: 9 to 9",
                "7 missed events: 1 to 7"
            ]
        );
    }

    #[test]
    fn what_was_missed_before_an_event_that_is_pushed_out_is_told_once() {
        let queue = Queue::default();
        push_events(&queue, 8);
        (0..4).for_each(|_| drop(queue.pop()));
        assert!(queue.push_event(9, &frame(9), &LIMITS));
        assert_eq!(queue.push_alert(1, &large(), &LIMITS).events_out, 3);
        queue.pop();
        assert_eq!(rest(&queue), ["5 missed events: 5 to 9"]);
    }

    #[test]
    fn a_frame_that_can_never_fit_is_missed_and_pushes_nothing_out() {
        let queue = Queue::default();
        let huge = Frame::statistics(&json!("x".repeat(2_000)));
        assert!(queue.push_event(1, &frame(1), &LIMITS));
        assert_eq!(queue.push_alert(1, &huge, &LIMITS), Pushed::default());
        assert!(queue.push_alert(2, &frame(2), &LIMITS).is_queued);
        assert_eq!(rest(&queue), ["1 missed alerts: 1 to 1", "2", "1"]);
        assert!(!queue.push_event(2, &huge, &LIMITS));
        assert_eq!(rest(&queue), ["1 missed events: 2 to 2"], "it is told although nothing was queued");
    }

    #[test]
    fn only_the_newest_statistics_wait() {
        let queue = Queue::default();
        assert!(queue.push_statistics(&frame(1)));
        assert!(!queue.push_statistics(&frame(2)));
        assert_eq!(rest(&queue), ["2"]);
    }

    #[test]
    fn answers_are_bounded() {
        let queue = Queue::default();
        assert_eq!((0..100).filter(|_| queue.push_answer(frame(0))).count(), MAX_ANSWERS);
    }

    proptest::proptest! {
        /// Every frame is either delivered in order or told as missed, once, and the books balance.
        #[test]
        fn every_frame_is_delivered_or_told(steps in proptest::collection::vec((0_u8..4, 1_usize..300), 1..300)) {
            let queue = Queue::default();
            let (mut alerts, mut events) = (0, 0);
            let mut told = [0_u64; 2];
            let mut take = |frame: Frame| {
                let value: serde_json::Value = serde_json::from_str(frame.as_str()).unwrap();
                if value["type"] == "missed" {
                    let place = usize::from(value["topic"] == "events");
                    assert!(value["from"].as_u64().unwrap() == told[place] + 1, "{value} after {told:?}");
                    assert_eq!(value["to"].as_u64().unwrap() - told[place], value["count"].as_u64().unwrap());
                    told[place] = value["to"].as_u64().unwrap();
                } else {
                    let place = usize::from(value["topic"] == "events");
                    assert_eq!(value["seq"].as_u64().unwrap(), told[place] + 1);
                    told[place] += 1;
                }
            };
            for (step, size) in steps {
                let frame_of = |topic: &str, seq: u64| {
                    Frame::statistics(&json!({"topic": topic, "seq": seq, "filler": "x".repeat(size)}))
                };
                match step {
                    0 => { alerts += 1; queue.push_alert(alerts, &frame_of("alerts", alerts), &LIMITS); }
                    1 | 2 => { events += 1; queue.push_event(events, &frame_of("events", events), &LIMITS); }
                    _ => if let Some(frame) = queue.pop() { take(frame); },
                }
                let lanes = queue.lanes();
                assert!(lanes.bytes <= LIMITS.max_queued_bytes);
                assert!(lanes.alert_frames + lanes.event_frames <= LIMITS.max_queued_frames);
            }
            while let Some(frame) = queue.pop() { take(frame); }
            assert_eq!(told, [alerts, events]);
            assert_eq!(queue.lanes().bytes, 0);
        }
    }
}
