//! All webhooks, one after the other.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use crate::generate::clock;
use crate::generate::kinds::Kind;
use crate::generate::label::{Label, Speed, Stream, Subject};
use crate::generate::random::{Random, mix};
use crate::generate::webhooks::arrivals::Arrivals;
use crate::generate::webhooks::business::ACCOUNT;
use crate::generate::webhooks::desk::Desk;
use crate::generate::webhooks::ordinary::{self, Mix};
use crate::generate::webhooks::scene::{About, Act, Scene};

/// Writes bodies in the order of time.
pub(in crate::generate) struct Feed {
    seed: u64,
    random: Random,
    arrivals: Arrivals,
    /// When the next day's campaign begins, and how many it goes to.
    campaign: Option<(i64, u32)>,
    mix: Mix,
    /// How many ordinary people there are.
    people: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    entered: u64,
    staged: BTreeMap<u32, Staged>,
    labels: Vec<Label>,
    unstaged: Vec<Kind>,
    end_ms: i64,
    posts: Vec<(i64, serde_json::Value)>,
}

/// People of whom no ordinary scene knows, and how many each staged one has to itself.
const STRANGERS: u64 = 1 << 40;
const STRANGERS_EACH: u64 = 1 << 20;

const DAY_MS: i64 = 86_400_000;
/// Campaigns begin at half past ten.
const CAMPAIGN_MS: i64 = 10 * 3_600_000 + 1_800_000;

struct Entry {
    at_ms: i64,
    /// Of two that are due together, the one that was entered first comes first.
    number: u64,
    staged: Option<u32>,
    due: Due,
}

enum Due {
    Body(String),
    Turn(Box<Scene>),
}

/// What is known of something staged that is under way.
struct Staged {
    kind: Kind,
    act: &'static Act,
    /// How many entries of it are in the queue.
    pending: u32,
    bodies: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Feed {
    /// About so many ordinary `messages`, and once each of the kinds that are told by webhooks.
    pub(in crate::generate) fn new(
        seed: u64,
        messages: u64,
        kinds: &[Kind],
        start_ms: i64,
        end_ms: i64,
    ) -> Feed {
        let days = (end_ms - start_ms).unsigned_abs().div_ceil(DAY_MS as u64).max(1);
        let first = start_ms - start_ms.rem_euclid(DAY_MS) + CAMPAIGN_MS;
        let first = if first < start_ms { first + DAY_MS } else { first };
        let size = (messages / days / 60).min(ordinary::CAMPAIGN_MOST) as u32;
        let mut feed = Feed {
            seed,
            random: Random::new(mix(seed, 13)),
            arrivals: Arrivals::new(messages, start_ms, end_ms),
            campaign: (size > 0).then_some((first, size)),
            mix: Mix::new(messages / days),
            people: messages / 4 + 500,
            queue: BinaryHeap::new(),
            entered: 0,
            staged: BTreeMap::new(),
            labels: Vec::new(),
            unstaged: Vec::new(),
            end_ms,
            posts: Vec::new(),
        };
        let mut kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| kind.act().is_some()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            feed.stage(kind, start_ms);
        }
        feed
    }

    /// What was asked for and takes longer than the duration.
    pub(in crate::generate) fn unstaged(&self) -> &[Kind] {
        &self.unstaged
    }

    /// Labels of what is over, since this was asked last.
    pub(in crate::generate) fn labels(&mut self) -> std::vec::Drain<'_, Label> {
        self.labels.drain(..)
    }

    /// When the next body is due, if there is one.
    pub(in crate::generate) fn next_ms(&mut self) -> Option<i64> {
        loop {
            let next_ms = self.queue.peek().map_or(i64::MAX, |Reverse(entry)| entry.at_ms);
            if self.arrivals.next_ms().is_some_and(|at_ms| at_ms <= next_ms) {
                self.admit();
                continue;
            }
            match self.queue.peek() {
                None => return None,
                Some(Reverse(Entry { due: Due::Body(_), at_ms, .. })) => return Some(*at_ms),
                Some(_) => self.take_turn(),
            }
        }
    }

    /// Writes the next body into `text`, which is empty.
    pub(in crate::generate) fn write(&mut self, text: &mut String) {
        let Some(Reverse(entry)) = self.queue.pop() else { return };
        if let Due::Body(body) = entry.due {
            text.push_str(&body);
        }
        if let Some(staged) = entry.staged.and_then(|number| self.staged.get_mut(&number)) {
            if staged.bodies == 0 {
                staged.first_ms = entry.at_ms;
            }
            staged.bodies += 1;
            staged.last_ms = entry.at_ms;
        }
        self.left(entry.staged);
    }

    /// How much is waiting for its time.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn stage(&mut self, kind: Kind, start_ms: i64) {
        let Some(act) = kind.act() else { return };
        let latest_ms = self.end_ms - i64::from(act.span_ms);
        if latest_ms < start_ms {
            self.unstaged.push(kind);
            return;
        }
        let number = self.staged.len() as u32;
        let turns = self.random.between(act.turns[0], act.turns[1]);
        let people = STRANGERS + u64::from(number) * STRANGERS_EACH;
        let scene = Scene::new(act, turns, people, &mut self.random);
        let at_ms = start_ms + self.random.below_wide((latest_ms - start_ms).max(1) as u64) as i64;
        self.staged.insert(number, Staged { kind, act, pending: 0, bodies: 0, first_ms: 0, last_ms: 0 });
        self.enter(at_ms, Some(number), Due::Turn(Box::new(scene)));
    }

    /// Lets in the ordinary scenes of the next step.
    fn admit(&mut self) {
        let until_ms = self.arrivals.next_ms().unwrap_or(i64::MAX);
        while let Some((at_ms, size)) = self.campaign.filter(|(at_ms, _)| *at_ms <= until_ms) {
            let people = self.random.below_wide(self.people);
            let scene = Scene::new(&ordinary::CAMPAIGN, size, people, &mut self.random);
            self.enter(at_ms, None, Due::Turn(Box::new(scene)));
            self.campaign = Some((at_ms + DAY_MS, size));
        }
        let mut coming: Vec<(i64, Scene)> = Vec::new();
        let (people, mix) = (self.people, self.mix);
        self.arrivals.step(&mut self.random, |random, at_ms| {
            let (act, bodies) = mix.draw(random);
            let turns = random.between(act.turns[0], act.turns[1]);
            let person = random.below_wide(people);
            coming.push((at_ms, Scene::new(act, turns, person, random)));
            bodies
        });
        for (at_ms, scene) in coming {
            self.enter(at_ms, None, Due::Turn(Box::new(scene)));
        }
    }

    /// Has the scene that is due take its turn.
    fn take_turn(&mut self) {
        let Some(Reverse(Entry { at_ms, staged, due: Due::Turn(mut scene), .. })) = self.queue.pop() else {
            return;
        };
        let mut posts = std::mem::take(&mut self.posts);
        let mut desk = Desk {
            at_ms,
            seed: self.seed,
            random: &mut self.random,
            number: scene.act.number,
            posts: &mut posts,
        };
        let gap = scene.take_turn(&mut desk);
        for (at_ms, body) in posts.drain(..) {
            self.enter(at_ms, staged, Due::Body(body.to_string()));
        }
        self.posts = posts;
        if let Some(gap) = gap {
            self.enter(at_ms + i64::from(gap), staged, Due::Turn(scene));
        }
        self.left(staged);
    }

    fn enter(&mut self, at_ms: i64, staged: Option<u32>, due: Due) {
        if at_ms >= self.end_ms {
            return;
        }
        if let Some(staged) = staged.and_then(|number| self.staged.get_mut(&number)) {
            staged.pending += 1;
        }
        self.queue.push(Reverse(Entry { at_ms, number: self.entered, staged, due }));
        self.entered += 1;
    }

    /// An entry has left the queue; of the last one of something staged, a label remains.
    fn left(&mut self, number: Option<u32>) {
        let Some(staged) = number.and_then(|number| self.staged.get_mut(&number)) else { return };
        staged.pending -= 1;
        if staged.pending == 0 && staged.bodies > 0 {
            self.labels.push(staged.label());
        }
    }
}

impl Staged {
    fn label(&self) -> Label {
        Label {
            kind: self.kind,
            speed: Speed::Fast,
            subject: match self.act.about {
                About::Number => Subject::Number { phone_number_id: self.act.number.id.to_owned() },
                About::Account => Subject::Business { waba_id: ACCOUNT.to_owned() },
            },
            start: clock::date_time(self.first_ms.div_euclid(1000)),
            end: clock::date_time(self.last_ms.div_euclid(1000) + 1),
            lines: self.bodies,
            stream: Stream::Webhooks,
            expect_paged: !self.kind.is_innocent(),
        }
    }
}

// === impl Entry ===

impl Entry {
    fn place(&self) -> (i64, u64) {
        (self.at_ms, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}
