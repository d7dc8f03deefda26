//! The engine, live: a thread that takes what sources bring, has it counted, and tells what came of it.
//!
//! It works in steps: whatever is queued, up to a mebibyte, is read, shown to those who listen to events,
//! counted, and what became of alerts is told. Under little load a step is a line and comes at once; under much it is
//! many lines, which cost less each. It never waits for anyone but the sources.
//!
//! Where there is a journal, lines come through it, and when the engine starts it counts again what it had counted before
//! (`recovery`). Alerts are told when they are kept (`teller`).
//!
//! Lines by source, alerts and latency are counted in each step; what else the engine has in its books is looked at once
//! a second, with the statistics.

mod fact_metrics;
mod input;
mod memory;
mod metrics;
mod observers;
mod recovery;
mod reports;
mod streams;
mod teller;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

pub use self::fact_metrics::FactMetrics;
use self::input::Taken;
pub use self::input::{Input, blocks};
pub use self::memory::{Budget, resident_bytes};
pub use self::metrics::Metrics;
pub use self::observers::{FACTS, Observers};
pub use self::recovery::Recovery;
pub use self::reports::Reports;
use self::streams::Streams;
pub use self::teller::Teller;
use self::teller::news_of;
use crate::decode::{self, Tally};
use crate::engine::reload::{Compiled, Compiler};
use crate::engine::work::Chunk;
use crate::engine::{Counts, Engine};
use crate::event::Timestamp;
use crate::intake::{self, Lines, Stream};
use crate::stream::{Change, Hub, KnownRules};

/// Most bytes of a step: a few milliseconds of work.
const MAX_STEP_BYTES: usize = 1 << 20;

/// A step that took in less than this is followed by a rest of [`REST`], so that many small steps do not cost more than
/// what is in them.
const SMALL_STEP_BYTES: usize = 32 << 10;
/// A tenth of the latency that is promised.
const REST: Duration = Duration::from_millis(1);

/// How often time is told to the engine, and statistics to whoever listens.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks apart it is said that lines cannot be read.
const TICKS_PER_COMPLAINT: u64 = 30;
/// How many ticks apart subjects of baselines are counted.
const TICKS_PER_BASELINES: u64 = 30;
/// How many ticks apart a part of the memory is kept: all of it in about five minutes.
const TICKS_PER_PART: u64 = 5;
/// How many ticks apart open alerts are told again when something has been found since.
const TICKS_PER_UPDATE: u64 = 5;

/// What is asked of a running engine.
pub enum Command {
    /// Take other rules and settings.
    Reload(Box<Reload>),
    /// Nobody watched for a while: that was no silence.
    Resume,
    /// Count what is queued and end.
    Stop,
}

/// Other rules and settings.
pub struct Reload {
    /// Rules, allowlist, and what windows and clocks may do; by [`Control::compiler`].
    pub compiled: Compiled,
    /// How lines are decoded.
    pub decode: Arc<decode::Settings>,
    /// How much memory may be taken.
    pub budget: Budget,
}

/// What is put together.
pub struct Parts {
    /// The engine.
    pub engine: Engine,
    /// How lines are decoded.
    pub decode: Arc<decode::Settings>,
    /// How far behind its source's clock an event may be.
    pub lateness: Duration,
    /// How much memory may be taken.
    pub budget: Budget,
    /// Where lines come from.
    pub input: Input,
    /// What to go on from, where there was something before.
    pub recovery: Option<Recovery>,
    /// Where what happens is told.
    pub hub: Arc<Hub>,
    /// What must be remembered to be seen.
    pub observers: Observers,
    /// What is written down for those who ask.
    pub reports: Arc<Reports>,
    /// Where alerts are told.
    pub teller: Teller,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// The way to a running engine.
#[derive(Clone)]
pub struct Control {
    compiler: Compiler,
    commands: mpsc::UnboundedSender<Command>,
    wake: Arc<Notify>,
}

impl Control {
    /// What compiles rules for this engine, while it goes on with the old ones.
    pub const fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Asks for something. Nothing happens when the engine has ended.
    pub fn ask(&self, command: Command) {
        let _ = self.commands.send(command);
        self.wake.notify_one();
    }
}

/// The stream of some lines, and who is told what became of them.
type Waiting = (Arc<Stream>, Option<oneshot::Sender<Tally>>);

/// A running engine and what it talks to.
pub struct Live {
    engine: Engine,
    decode: Arc<decode::Settings>,
    lateness: Duration,
    budget: Budget,
    input: Input,
    commands: mpsc::UnboundedReceiver<Command>,
    /// What was asked while the journal was read back.
    deferred: Vec<Command>,
    streams: Streams,
    hub: Arc<Hub>,
    observers: Observers,
    reports: Arc<Reports>,
    teller: Teller,
    metrics: Metrics,
    ticks: u64,
    /// The part of the memory that is to be kept at the end of the next block.
    part_due: Option<usize>,
    lines_at_tick: u64,
    undecodable_told: u64,
}

impl Live {
    /// Starts the thread. It ends when the outlet does, or when it is asked to; `life` is dropped then, also when the thread
    /// panics: the service must not look alive any more.
    pub fn start(
        parts: Parts,
        life: impl Send + 'static,
    ) -> std::io::Result<(Control, std::thread::JoinHandle<()>)> {
        let Parts {
            engine,
            decode,
            lateness,
            budget,
            input,
            recovery,
            hub,
            observers,
            reports,
            teller,
            metrics,
        } = parts;
        let (sender, commands) = mpsc::unbounded_channel();
        let control = Control { compiler: engine.compiler(), commands: sender, wake: input.wake() };
        tell_rules(&hub, &engine);
        let mut live = Self {
            engine,
            decode,
            lateness,
            budget,
            input,
            commands,
            deferred: Vec::new(),
            streams: Streams::default(),
            hub,
            observers,
            reports,
            teller,
            metrics,
            ticks: 0,
            part_due: None,
            lines_at_tick: 0,
            undecodable_told: 0,
        };
        live.metrics.follow_rules(&live.engine);
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _life = life;
            let is_ready = recovery.is_none_or(|recovery| live.recover(recovery));
            if is_ready {
                live.run(&runtime);
            } else {
                live.let_go(&runtime);
            }
        })?;
        Ok((control, thread))
    }

    fn run(&mut self, runtime: &Handle) {
        for command in std::mem::take(&mut self.deferred) {
            self.obey(command);
        }
        let mut next_tick = Instant::now() + TICK;
        while let Some(Taken { mut lines, complete, is_whole }) =
            self.input.take(MAX_STEP_BYTES, self.part_due.is_some())
        {
            lines.extend(self.observers.take());
            let bytes: usize = lines.iter().map(|lines| lines.text.len()).sum();
            if !lines.is_empty() {
                self.step(lines);
            }
            if let Some(block) = complete {
                self.teller.counted(block);
            }
            if is_whole {
                self.keep_memory();
            }
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            let now = Instant::now();
            if now >= next_tick {
                // Ticks that were missed are not made up for.
                next_tick = now + TICK;
                self.tick(intake::now());
            }
            if bytes == 0 {
                let rest = next_tick.saturating_duration_since(now);
                let _ = runtime.block_on(async { tokio::time::timeout(rest, self.input.wait()).await });
            } else if bytes < SMALL_STEP_BYTES {
                std::thread::sleep(REST);
            }
        }
        self.tick(intake::now());
        self.tell_updates(intake::now());
        // Nothing more will be counted, and what was is of whole blocks.
        let parts: Vec<_> = (0..Engine::MEMORY_PARTS).collect();
        self.keep_parts(&parts);
        self.teller.note();
    }

    /// Keeps the part of the memory whose turn it is, if it is due.
    fn keep_memory(&mut self) {
        if let Some(part) = self.part_due.take() {
            self.keep_parts(&[part]);
        }
    }

    fn keep_parts(&mut self, parts: &[usize]) {
        if self.teller.keeps_memory() {
            let engine = &self.engine;
            let parts = parts.iter().filter_map(|part| Some((*part, engine.memory(*part)?)));
            self.teller.keep_memory(parts);
        }
    }

    /// Whether it was asked to stop; what else was asked waits.
    fn is_asked_to_stop(&mut self) -> bool {
        let mut is_asked = false;
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Stop => is_asked = true,
                other => self.deferred.push(other),
            }
        }
        is_asked
    }

    /// Takes what comes and counts nothing of it: it is in the journal, and will be counted at the next start.
    fn let_go(&mut self, runtime: &Handle) {
        while self.input.take(MAX_STEP_BYTES, false).is_some() {
            runtime.block_on(self.input.wait());
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Stop => self.input.close(),
            Command::Resume => self.engine.resume(intake::now()),
            Command::Reload(reload) => {
                let Reload { compiled, decode, budget } = *reload;
                let now = intake::now();
                // The counts of the old rules have their last word before they are numbered anew.
                self.metrics.follow(&self.engine.counts());
                self.lateness = compiled.tolerance().lateness;
                let transitions = self.engine.reload(compiled, &decode, now);
                self.budget = budget;
                self.decode = decode;
                tell_rules(&self.hub, &self.engine);
                self.metrics.follow_rules(&self.engine);
                self.teller.tell(news_of(transitions), now);
            }
        }
    }

    /// Takes lines in and tells what came of them.
    fn step(&mut self, lines: Vec<Lines>) {
        let began = Instant::now();
        let oldest = lines.iter().map(|lines| lines.received).min().unwrap_or_default();
        let (chunks, waiting) = self.chunks(lines);
        let tallies = self.engine.read(chunks);
        if self.hub.wants_events() {
            let hub = &self.hub;
            self.engine
                .for_each_event(|source, _, event| hub.publish_event(&source.name, &source.tenant, event));
        }
        self.observers.observe(&self.engine, oldest);
        let transitions = self.engine.count(None);
        self.teller.tell(news_of(transitions), oldest);
        for ((stream, counted), tally) in waiting.into_iter().zip(tallies) {
            self.metrics.add_lines(&stream.source, &tally);
            if let Some(counted) = counted {
                // Whoever asked may be gone.
                let _: Result<(), Tally> = counted.send(tally);
            }
        }
        self.metrics.step_seconds.observe(began.elapsed().as_secs_f64());
    }

    /// Lines as the engine takes them, and who waits for what becomes of them.
    fn chunks(&mut self, lines: Vec<Lines>) -> (Vec<Chunk>, Vec<Waiting>) {
        let mut waiting = Vec::with_capacity(lines.len());
        let mut chunks = Vec::with_capacity(lines.len());
        for Lines { stream, text, format, received, counted, offset: _ } in lines {
            let source = self.streams.number(&mut self.engine, &stream, &self.decode);
            chunks.push(Chunk { source, text, format, received: Some(received) });
            waiting.push((stream, counted));
        }
        (chunks, waiting)
    }

    fn tell_updates(&mut self, now: Timestamp) {
        let updates = self.engine.updates().into_iter().map(|alert| (Change::Updated, alert));
        self.teller.tell(updates.collect(), now);
    }

    /// Says how many lines could not be read since it was last said.
    fn complain(&mut self, counts: &Counts) {
        let all: u64 = counts.read.decoded.undecodable.iter().sum();
        let new = all - std::mem::replace(&mut self.undecodable_told, all);
        let Some(example) = self.engine.undecodable().last().filter(|_| new > 0) else { return };
        tracing::warn!(
            lines = new,
            example.source = self.engine.source_name(example.source),
            example.reason = example.reason.reason(),
            example.start = example.start.chars().take(100).collect::<String>(),
            "lines could not be read; watchbell_undecodable_lines_total counts them by source and reason"
        );
    }

    fn tick(&mut self, now: Timestamp) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_PART) && self.teller.keeps_memory() {
            self.part_due = Some((self.ticks / TICKS_PER_PART) as usize % Engine::MEMORY_PARTS);
        }
        // What comes later than that is not counted.
        let transitions = self.engine.advance_to(now.before(self.lateness));
        self.teller.tell(news_of(transitions), now);
        if self.ticks.is_multiple_of(TICKS_PER_UPDATE) {
            self.tell_updates(now);
            let would_fire = self.engine.would_fire(Some(now));
            self.metrics.follow_trials(&self.engine, &would_fire);
            self.reports.write(&self.engine, &would_fire, now);
        }
        self.observers.advance(now);
        self.teller.note();
        self.streams.forget_ended();
        // All of the books are copied here and nowhere else: metrics that come from them are a second old at most.
        let counts = self.engine.counts();
        self.metrics.follow(&counts);
        if self.ticks % TICKS_PER_BASELINES == 1 {
            self.metrics.follow_baselines(self.engine.baseline_counts());
        }
        if self.ticks.is_multiple_of(TICKS_PER_COMPLAINT) {
            self.complain(&counts);
        }
        if let Some(resident) = resident_bytes() {
            self.engine.set_max_window_bytes(self.budget.after(resident, counts.table.bytes));
        }
        let lines = counts.read.decoded.lines;
        self.hub.publish_statistics(&json!({
            "at": now,
            "lines_per_second": lines - std::mem::replace(&mut self.lines_at_tick, lines),
            "lines": lines,
            "events": counts.read.decoded.events,
            "undecodable": counts.read.decoded.undecodable.iter().sum::<u64>(),
            "late": counts.clock.late,
            "ahead": counts.clock.ahead,
            "subjects": counts.table.subjects,
            "window_bytes": counts.table.bytes,
            "evicted": counts.table.evicted,
            "alerts_open": self.metrics.alerts.open(),
        }));
    }
}

/// Tells subscribers which rules and fields there are.
fn tell_rules(hub: &Hub, engine: &Engine) {
    let shared = engine.shared();
    let names = shared.rules.iter().map(|rule| (rule.name.name.clone(), rule.name.id.clone()));
    hub.set_rules(KnownRules::new(names));
    hub.set_schema(Arc::clone(&shared.schema));
}
