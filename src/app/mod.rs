//! The service as a value: everything is bound and wired here, and taken down in the order of the flow.
//!
//! ```text
//! sources -> intake -> [journal] -> live (the engine's thread) -> stream -> serve
//! ```
//!
//! The journal is there when there is a state directory. Then nothing that was taken in is lost by a restart, and what was
//! counted is counted again from it before anything new is.
//!
//! Stopping is closing the tap: sources stop and hand over what they have read, the engine counts it, subscribers get
//! what is left for them, and then the server closes. Signals are heard by whoever runs this, so that a test can run the
//! whole service.

mod gateway;
mod kept;
mod watchman;

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use prometheus::{IntCounterVec, IntGauge, Registry};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::allowlist::Allowlist;
use crate::campaign::Campaigns;
use crate::config::Config;
use crate::engine::what_if::WhatIf;
use crate::engine::{Described, Engine, Settings, Shared};
use crate::geo::{Geo, Given};
use crate::intake::{Lines, Outlet, Stream, now};
use crate::journal;
use crate::live::{self, Budget, Command, Control, FACTS, Input, Live, Observers, Recovery, Reload, Teller};
use crate::rules::RuleSet;
use crate::serve::Readiness;
use crate::serve::webhooks::{self, SENDS, Webhooks};
use crate::stream::Hub;
use crate::telemetry::Register;
use crate::windows::Measure;

use crate::{chance, serve, sources, whatsapp};

use gateway::Gateways;
pub use kept::read_only as read_journal;
use watchman::Watchman;

/// How long sources, and then the engine, may take to end.
const DRAIN: Duration = Duration::from_secs(20);

/// The name of the source that is pushed to over HTTP.
pub const PUSH: &str = "push";

/// Where the configuration comes from, so that it can be read again.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Rules beside those of the configuration.
    pub rules: Vec<PathBuf>,
    /// Whether the built-in rules are left out, whatever the configuration says.
    pub no_builtin_rules: bool,
    /// Where to listen instead.
    pub listen: Option<SocketAddr>,
}

impl Origin {
    /// Reads the configuration.
    pub fn read(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path).map_err(anyhow::Error::msg)?,
            None => Config::default(),
        };
        config.rules.directories.extend(self.rules.iter().cloned());
        config.rules.builtin &= !self.no_builtin_rules;
        config.serve.listen = self.listen.unwrap_or(config.serve.listen);
        Ok(config)
    }
}

/// What is made of a configuration for the engine.
struct Prepared {
    rules: RuleSet,
    allowlist: Allowlist,
    settings: Settings,
    decode: Arc<crate::decode::Settings>,
    budget: Budget,
}

fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    let mut rules = RuleSet::load(config.rules.builtin, &config.rules.directories)?;
    rules.put_in_shadow(&config.rules.shadow);
    for warning in &rules.warnings {
        tracing::warn!("doubt about a rule: {warning}");
    }
    let allowlist = Allowlist::new(&config.allowlist).map_err(anyhow::Error::msg)?;
    for fault in allowlist.faults(&rules) {
        tracing::warn!("{fault}");
    }
    let geo = Geo::open(&config.geo)?;
    // Databases stand beside what the configuration allows the process.
    let budget = Budget::new(config.memory.max_bytes() + geo.bytes(), config.memory.window_bytes());
    let settings = Settings {
        tolerance: config.clock.tolerance(),
        max_window_bytes: config.memory.window_bytes(),
        secret: chance::bytes(),
        geo,
        campaigns: Campaigns::new(&config.campaigns).map_err(anyhow::Error::msg)?,
        what_if: WhatIf::Ladder,
        ..Settings::default()
    };
    Ok(Prepared { rules, allowlist, settings, decode: Arc::new(config.decode.clone()), budget })
}

/// Says which databases there are, and which rules are off for want of one.
fn tell_places(shared: &Shared) {
    shared.geo().describe().for_each(|database| tracing::info!("addresses are looked up in {database}"));
    let looks_at_travels =
        shared.plan.windows.iter().any(|window| matches!(window.spec.measure, Measure::Travel(_)));
    let given = shared.geo().gives();
    if looks_at_travels && given.has(Given::LOCATION) && !given.has(Given::NETWORK) {
        tracing::warn!(
            "without a database of networks (geo.asn), relays and VPNs look like impossible travels"
        );
    }
    let off: Vec<&Described> = shared.rules.iter().filter(|rule| !rule.lacks.is_empty()).collect();
    if off.is_empty() {
        return;
    }
    let names: Vec<&str> = off.iter().map(|rule| rule.name.name.as_str()).collect();
    let mut fields: Vec<&str> = off.iter().flat_map(|rule| &rule.lacks).map(String::as_str).collect();
    fields.sort_unstable();
    fields.dedup();
    tracing::warn!(
        "{} rules are off for want of a database under [geo], unless logs say {} themselves: {}",
        off.len(),
        fields.join(", "),
        names.join(", ")
    );
}

/// A service that has been started.
pub struct App {
    address: SocketAddr,
    reloader: Reloader,
    engine: JoinHandle<()>,
    sources: Vec<sources::Running>,
    stop_sources: watch::Sender<bool>,
    server: JoinHandle<Result<(), serve::ServeError>>,
    stop_server: watch::Sender<bool>,
    readiness: Arc<Readiness>,
    registry: Registry,
    hub: Arc<Hub>,
    is_recovered: watch::Receiver<bool>,
    journal: Option<Journalling>,
    /// Held while this process uses the state directory.
    _lock: Option<File>,
}

impl App {
    /// Binds and wires everything; what cannot be bound or read is an error that says what to do.
    pub async fn start(origin: Origin) -> anyhow::Result<Self> {
        Self::start_with(origin.read()?, origin).await
    }

    /// Starts with a configuration that has been read or made; `origin` is for reading it again.
    pub async fn start_with(config: Config, origin: Origin) -> anyhow::Result<Self> {
        for (name, what) in [
            (PUSH, "what is pushed over HTTP"),
            (SENDS, "what is registered as sent"),
            (FACTS, "what is derived from other events"),
        ] {
            if config.sources.contains_key(name) {
                bail!("sources.{name} is {what}: give the source another name");
            }
        }
        if config.state_directory.is_none() && config.webhooks.source_names().next().is_some() {
            bail!(
                "webhooks are answered when they are on stable storage: name a state_directory in the configuration"
            );
        }
        gateway::check(&config)?;
        let mut kept = match config.state_directory.clone() {
            Some(directory) => {
                let journal = config.journal.clone();
                Some(tokio::task::spawn_blocking(move || kept::open(&directory, &journal)).await??)
            }
            None => None,
        };
        let registry = Registry::new();
        let reloads = Reloads::register(&registry)?;
        // What can fail for want of a free port comes first: loading rules takes longer.
        let bound = serve::bind(config.serve.clone()).await?;
        let address = bound.local_addr();
        let certificates = bound.certificates();
        let to_prepare = config.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&to_prepare)).await??;
        for error in &prepared.rules.errors {
            tracing::error!("fault in rules, which is left out: {error}");
        }
        let Prepared { rules, allowlist, mut settings, decode, budget } = prepared;
        if let Some(kept) = &kept {
            // What is remembered across restarts is found again by hashes with it.
            settings.secret = kept.window_secret();
        }
        let engine = Engine::new(&rules, allowlist, &settings).context("cannot start threads")?;
        tell_places(engine.shared());
        let hub = Hub::new(config.stream, &registry)?;
        let live_metrics = live::Metrics::register(&registry, labels(&config))?;
        let source_metrics = sources::Metrics::register(&registry)?;
        let mut outlet = Outlet::default();
        let push = outlet.add_inlet();
        let (stop_sources, stop) = watch::channel(false);
        let kept_by_sources = sources::Kept {
            directory: config.state_directory.clone(),
            offsets: kept.as_mut().map(|kept| Arc::new(std::mem::take(&mut kept.opened.found.offsets))),
        };
        let mut running = Vec::new();
        for (name, source) in &config.sources {
            let inlet = outlet.add_inlet();
            running.push(
                sources::start(name, source, inlet, &source_metrics, stop.clone(), &kept_by_sources).await?,
            );
        }
        let readiness = Arc::new(Readiness::default());
        let life = readiness.engine_life();
        let alerts = live_metrics.alerts.clone();
        let mut webhooks = None;
        // Without a journal there is nothing to wait for.
        let (_, mut is_recovered) = watch::channel(true);
        let (mut derived, mut gap_writer) = (None, None);
        let (input, recovery, teller, journal, lock) = match kept {
            None => (Input::Sources(outlet), None, Teller::direct(Arc::clone(&hub), alerts), None, None),
            Some(kept::Kept { key, mut opened, lock }) => {
                let found = std::mem::take(&mut opened.found);
                let reader = opened.journal.clone();
                let (hand_on, blocks) = live::blocks();
                let (writer, thread) = opened.start(hand_on)?;
                kept::note_gap(&writer, watched(&config), found.last_alive, now());
                let metrics = journal::Metrics::register(&registry, labels(&config))?;
                let (pseudonyms, dedupe) = kept::pseudonyms(&key, config.pseudonyms)?;
                let context = Arc::new(whatsapp::Context::new(pseudonyms, dedupe));
                let gateways = Gateways::new(&config, Arc::clone(&context), &registry)?;
                derived = Some((writer.clone(), Arc::clone(&context)));
                gap_writer = Some(writer.clone());
                let parts = webhooks::Parts { journal: writer.clone(), context };
                webhooks = Some(Webhooks::open(&config.webhooks, parts, &registry)?);
                let (teller, telling) = Teller::through(writer.clone(), metrics, Arc::clone(&hub), alerts);
                let (stop_feed, stop) = watch::channel(false);
                let prepare = move |lines: &mut Lines| gateways.prepare(lines);
                let feed = tokio::spawn(journal::feed(outlet, writer.clone(), stop, prepare));
                let (recovered, recovering) = watch::channel(false);
                is_recovered = recovering;
                let recovery = recovery(&readiness, recovered, reader, &found);
                let journal = Journalling { writer, thread, telling, feed, stop_feed };
                (Input::Journal(blocks), Some(recovery), teller, Some(journal), Some(lock))
            }
        };
        let fact_metrics = live::FactMetrics::register(&registry)?;
        let reports: Arc<live::Reports> = Arc::default();
        let parts = live::Parts {
            reports: Arc::clone(&reports),
            observers: Observers::new(config.messaging.facts(), derived, fact_metrics),
            engine,
            decode,
            lateness: settings.tolerance.lateness,
            budget,
            input,
            recovery,
            hub: Arc::clone(&hub),
            teller,
            metrics: live_metrics,
        };
        let (control, thread) = Live::start(parts, life)?;
        if let Some(writer) = gap_writer {
            let watchman = Watchman::new(watched(&config).map(str::to_owned).collect(), now());
            tokio::spawn(watchman.run(source_metrics.clone(), writer, control.clone(), stop.clone()));
        }
        let engine = tokio::task::spawn_blocking(move || match thread.join() {
            Ok(()) => {}
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let (stop_server, mut stopping) = watch::channel(false);
        let state = serve::State {
            reports,
            registry: registry.clone(),
            hub: Arc::clone(&hub),
            push: Some(serve::Push { inlet: push, stream: push_stream() }),
            webhooks,
            readiness: Arc::clone(&readiness),
            sources: source_metrics.clone(),
        };
        let server = tokio::spawn(bound.serve(state, async move {
            // An error means that the app is gone.
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        let (rules, followed) = (rules.rules.len(), config.sources.len());
        let listeners = running.iter().filter_map(sources::Running::local_address).count();
        let mut recovering = is_recovered.clone();
        tokio::spawn(async move {
            // An error means that the engine has ended.
            if recovering.wait_for(|is_recovered| *is_recovered).await.is_ok() {
                tracing::info!(
                    rules,
                    sources = followed,
                    files = source_metrics.files(),
                    listeners,
                    address = %address,
                    "ready: metrics at http://{address}/metrics, stream at ws://{address}/v1/stream"
                );
            }
        });
        let reloader = Reloader {
            origin,
            control,
            reloads,
            certificates,
            config: Arc::new(std::sync::Mutex::new(config)),
        };
        Ok(Self {
            address,
            reloader,
            engine,
            sources: running,
            stop_sources,
            server,
            stop_server,
            readiness,
            registry,
            hub,
            is_recovered,
            journal,
            _lock: lock,
        })
    }

    /// Where HTTP is served.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until what was counted before the start has been counted again.
    pub async fn recovered(&mut self) {
        // An error means that the engine has ended.
        let _ = self.is_recovered.wait_for(|is_recovered| *is_recovered).await;
    }

    /// What changes rules while the service runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Where everything is counted.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Where everything is published.
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// Runs until `shutdown` ends, and then until everything that was accepted has been counted and told. An error is for
    /// what must not be: a service of which a part has ended does not go on looking alive.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown => {}
            ended = &mut self.engine => return match ended {
                Ok(()) => bail!("the engine has ended by itself"),
                Err(error) => Err(error).context("the engine has failed"),
            },
            ended = &mut self.server => {
                ended.context("the server has failed")??;
                bail!("the server has ended by itself");
            }
        }
        tracing::info!("stopping: sources first, then what they brought is counted and told");
        self.readiness.stop();
        let _ = self.stop_sources.send(true);
        let drained = tokio::time::timeout(DRAIN, async {
            for source in self.sources {
                source.join().await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!("sources have not ended within {} s", DRAIN.as_secs());
        }
        self.reloader.control.ask(Command::Stop);
        if let Some(journal) = &self.journal {
            // The engine ends when the journal has handed on its last block.
            let _ = journal.stop_feed.send(true);
        }
        match tokio::time::timeout(DRAIN, &mut self.engine).await {
            Ok(ended) => ended.context("the engine has failed")?,
            Err(_) => tracing::warn!("the engine has not ended within {} s", DRAIN.as_secs()),
        }
        let keeping = match self.journal {
            Some(journal) => Some(journal.told().await),
            None => None,
        };
        self.hub.close();
        let _ = self.stop_server.send(true);
        self.server.await.context("the server has failed")??;
        if let Some(keeping) = keeping {
            keeping.end().await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The journal at work, and what stands before and behind it.
struct Journalling {
    writer: journal::Writer,
    thread: journal::Running,
    /// Tells alerts when they are kept.
    telling: JoinHandle<()>,
    feed: JoinHandle<()>,
    stop_feed: watch::Sender<bool>,
}

/// A journal that is being closed.
struct Keeping(journal::Running);

impl Journalling {
    /// Waits until everything is told. The engine has ended before.
    async fn told(self) -> Keeping {
        let Self { writer, thread, telling, feed, stop_feed: _ } = self;
        let told = tokio::time::timeout(DRAIN, async {
            let _ = feed.await;
            let _ = telling.await;
        });
        if told.await.is_err() {
            tracing::warn!("alerts were not told within {} s", DRAIN.as_secs());
        }
        drop(writer);
        Keeping(thread)
    }
}

impl Keeping {
    /// Waits until everything is kept. All that write have ended before.
    async fn end(self) {
        let Self(thread) = self;
        let ended = tokio::task::spawn_blocking(move || thread.join());
        match tokio::time::timeout(DRAIN, ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the journal has failed"),
            Err(_) => tracing::warn!("the journal has not ended within {} s", DRAIN.as_secs()),
        }
    }
}

/// How to go on from what is in the journal; the service is not ready before.
fn recovery(
    readiness: &Arc<Readiness>,
    recovered: watch::Sender<bool>,
    journal: journal::Journal,
    found: &journal::Found,
) -> Recovery {
    const WAIT: &str = "journal";
    readiness.wait_for(WAIT, "the journal is being read back");
    let (progress, end) = (Arc::clone(readiness), Arc::clone(readiness));
    Recovery {
        journal,
        last_block: found.last_block,
        counted_up_to: found.counted_up_to,
        on_progress: Box::new(move |percent| {
            progress.wait_for(WAIT, format!("the journal is being read back: {percent} %"));
        }),
        on_end: Box::new(move || {
            end.done(WAIT);
            // An error means that nobody waits.
            let _ = recovered.send(true);
        }),
    }
}

/// The names of all sources, those too that nobody outside writes to.
fn labels(config: &Config) -> impl Iterator<Item = &str> {
    watched(config).chain([SENDS, FACTS])
}

/// The names of the sources that are watched.
fn watched(config: &Config) -> impl Iterator<Item = &str> {
    config.sources.keys().map(String::as_str).chain([PUSH]).chain(config.webhooks.source_names())
}

fn push_stream() -> Arc<Stream> {
    Arc::new(Stream { source: PUSH.into(), tenant: "".into(), name: PUSH.into() })
}

/// Changes rules, allowlist and decoding of a running service.
#[derive(Clone)]
pub struct Reloader {
    origin: Origin,
    control: Control,
    reloads: Reloads,
    /// What is shown over TLS.
    certificates: Option<serve::tls::Certificates>,
    config: Arc<std::sync::Mutex<Config>>,
}

impl Reloader {
    /// Reads the configuration and the rules again, and swaps them in if there is no fault in any of them; otherwise what
    /// was there goes on, and the error says what is wrong.
    pub async fn reload(&self) -> anyhow::Result<Reloaded> {
        let origin = self.origin.clone();
        let compiler = self.control.compiler().clone();
        let certificates = self.certificates.clone();
        // Compiled here too, while the engine goes on.
        let read = tokio::task::spawn_blocking(move || {
            let config = origin.read()?;
            let Prepared { rules, allowlist, settings, decode, budget } = prepare(&config)?;
            if !rules.errors.is_empty() {
                let faults: Vec<String> = rules.errors.iter().map(ToString::to_string).collect();
                bail!("faults in rules: {}", faults.join("; "));
            }
            certificates.map_or(Ok(()), |certificates| certificates.read_again()).context("serve.tls")?;
            let compiled = compiler.compile(&rules, allowlist, &settings);
            tell_places(compiled.shared());
            Ok((config, rules.rules.len(), Reload { compiled, decode, budget }))
        });
        match read.await? {
            Ok((config, rules, reload)) => {
                let reloaded = Reloaded { rules, needs_restart: self.needs_restart(&config) };
                self.control.ask(Command::Reload(Box::new(reload)));
                self.reloads.swapped();
                Ok(reloaded)
            }
            Err(error) => {
                self.reloads.refused();
                Err(error)
            }
        }
    }

    /// The sections in which something has changed that takes a restart.
    fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let old = self.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = [
            ("sources", format!("{:?}", old.sources) != format!("{:?}", new.sources)),
            ("serve", format!("{:?}", old.serve) != format!("{:?}", new.serve)),
            ("webhooks", format!("{:?}", old.webhooks) != format!("{:?}", new.webhooks)),
            ("messaging", format!("{:?}", old.messaging) != format!("{:?}", new.messaging)),
            ("stream", format!("{:?}", old.stream) != format!("{:?}", new.stream)),
            ("state_directory", old.state_directory != new.state_directory),
        ];
        changed.into_iter().filter(|(_, has_changed)| *has_changed).map(|(section, _)| section).collect()
    }
}

/// What became of reading everything again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// How many rules are in use now.
    pub rules: usize,
    /// Sections of the configuration with changes that are not in force before a restart.
    pub needs_restart: Vec<&'static str>,
}

/// What is counted of reading configuration and rules again.
#[derive(Clone)]
struct Reloads {
    outcomes: IntCounterVec,
    is_successful: IntGauge,
    succeeded_at: IntGauge,
}

impl Reloads {
    /// Registers it; the start counts as the first success, as it does with Prometheus itself.
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let reloads = Self {
            outcomes: register.counters(
                "watchbell_reloads_total",
                "Times that configuration and rules were read again.",
                &["outcome"],
            )?,
            is_successful: register.gauge(
                "watchbell_config_last_reload_successful",
                "Whether configuration and rules could be used when they were read last.",
            )?,
            succeeded_at: register.gauge(
                "watchbell_config_last_reload_success_timestamp_seconds",
                "When configuration and rules were last read and used, in seconds since the epoch.",
            )?,
        };
        ["swapped", "refused"].iter().for_each(|outcome| reloads.count(outcome, 0));
        reloads.note_success();
        Ok(reloads)
    }

    fn swapped(&self) {
        self.count("swapped", 1);
        self.note_success();
    }

    fn refused(&self) {
        self.count("refused", 1);
        self.is_successful.set(0);
    }

    fn count(&self, outcome: &str, times: u64) {
        self.outcomes.with_label_values(&[outcome]).inc_by(times);
    }

    fn note_success(&self) {
        self.is_successful.set(1);
        self.succeeded_at.set(now().as_micros() / 1_000_000);
    }
}
