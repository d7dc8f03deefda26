//! The service as a value: everything is bound and wired here, and taken down in the order of the flow.
//!
//! ```text
//! sources -> intake -> live (the engine's thread) -> stream -> serve
//! ```
//!
//! Stopping is closing the tap: sources stop and hand over what they have read, the engine counts it, subscribers get
//! what is left for them, and then the server closes. Signals are heard by whoever runs this, so that a test can run the
//! whole service.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use prometheus::{IntCounterVec, IntGauge, Registry};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::allowlist::Allowlist;
use crate::config::Config;
use crate::engine::{Engine, Settings};
use crate::intake::{Outlet, Stream, now};
use crate::live::{self, Budget, Command, Control, Live, Reload};
use crate::rules::RuleSet;
use crate::serve::Readiness;
use crate::stream::Hub;
use crate::telemetry::Register;
use crate::{chance, serve, sources};

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
    let rules = RuleSet::load(config.rules.builtin, &config.rules.directories)?;
    for warning in &rules.warnings {
        tracing::warn!("doubt about a rule: {warning}");
    }
    let allowlist = Allowlist::new(&config.allowlist).map_err(anyhow::Error::msg)?;
    for fault in allowlist.faults(&rules) {
        tracing::warn!("{fault}");
    }
    let settings = Settings {
        tolerance: config.clock.tolerance(),
        max_window_bytes: config.memory.window_bytes(),
        secret: chance::bytes(),
        ..Settings::default()
    };
    let budget = Budget::new(config.memory.max_bytes(), config.memory.window_bytes());
    Ok(Prepared { rules, allowlist, settings, decode: Arc::new(config.decode.clone()), budget })
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
    /// Held while this process uses the state directory.
    _lock: Option<File>,
}

/// Keeps others from the state directory: two that note in it how far they have read would undo one another's notes.
fn lock(directory: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "state_directory {} is in use by another watchbell: stop it, or name another directory",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

impl App {
    /// Binds and wires everything; what cannot be bound or read is an error that says what to do.
    pub async fn start(origin: Origin) -> anyhow::Result<Self> {
        Self::start_with(origin.read()?, origin).await
    }

    /// Starts with a configuration that has been read or made; `origin` is for reading it again.
    pub async fn start_with(config: Config, origin: Origin) -> anyhow::Result<Self> {
        if config.sources.contains_key(PUSH) {
            bail!("sources.{PUSH} is what is pushed over HTTP: give the source another name");
        }
        let lock = config.state_directory.as_deref().map(lock).transpose()?;
        let registry = Registry::new();
        let reloads = Reloads::register(&registry)?;
        // What can fail for want of a free port comes first: loading rules takes longer.
        let bound = serve::bind(config.serve.clone()).await?;
        let address = bound.local_addr();
        let to_prepare = config.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&to_prepare)).await??;
        for error in &prepared.rules.errors {
            tracing::error!("fault in a rule, which is left out: {error}");
        }
        let Prepared { rules, allowlist, settings, decode, budget } = prepared;
        let engine = Engine::new(&rules, allowlist, &settings).context("cannot start threads")?;
        let hub = Hub::new(config.stream, &registry)?;
        let names = config.sources.keys().map(String::as_str).chain([PUSH]);
        let live_metrics = live::Metrics::register(&registry, names)?;
        let source_metrics = sources::Metrics::register(&registry)?;
        let mut outlet = Outlet::default();
        let push = outlet.add_inlet();
        let (stop_sources, stop) = watch::channel(false);
        let kept = sources::Kept { directory: config.state_directory.clone(), offsets: None };
        let mut running = Vec::new();
        for (name, source) in &config.sources {
            let inlet = outlet.add_inlet();
            running.push(sources::start(name, source, inlet, &source_metrics, stop.clone(), &kept).await?);
        }
        let readiness = Arc::new(Readiness::default());
        let life = readiness.engine_life();
        let parts = live::Parts {
            engine,
            decode,
            lateness: settings.tolerance.lateness,
            budget,
            outlet,
            hub: Arc::clone(&hub),
            metrics: live_metrics,
        };
        let (control, thread) = Live::start(parts, life)?;
        let engine = tokio::task::spawn_blocking(move || match thread.join() {
            Ok(()) => {}
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let (stop_server, mut stopping) = watch::channel(false);
        let state = serve::State {
            registry: registry.clone(),
            hub: Arc::clone(&hub),
            push: Some(serve::Push { inlet: push, stream: push_stream() }),
            readiness: Arc::clone(&readiness),
            sources: source_metrics.clone(),
        };
        let server = tokio::spawn(bound.serve(state, async move {
            // An error means that the app is gone.
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        tracing::info!(
            rules = rules.rules.len(),
            sources = config.sources.len(),
            files = source_metrics.files(),
            listeners = running.iter().filter_map(sources::Running::local_address).count(),
            address = %address,
            "ready: metrics at http://{address}/metrics, stream at ws://{address}/v1/stream"
        );
        let reloader = Reloader { origin, control, reloads, config: Arc::new(std::sync::Mutex::new(config)) };
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
            _lock: lock,
        })
    }

    /// Where HTTP is served.
    pub const fn address(&self) -> SocketAddr {
        self.address
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
        match tokio::time::timeout(DRAIN, &mut self.engine).await {
            Ok(ended) => ended.context("the engine has failed")?,
            Err(_) => tracing::warn!("the engine has not ended within {} s", DRAIN.as_secs()),
        }
        self.hub.close();
        let _ = self.stop_server.send(true);
        self.server.await.context("the server has failed")??;
        tracing::info!("stopped");
        Ok(())
    }
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
    config: Arc<std::sync::Mutex<Config>>,
}

impl Reloader {
    /// Reads the configuration and the rules again, and swaps them in if there is no fault in any of them; otherwise what
    /// was there goes on, and the error says what is wrong.
    pub async fn reload(&self) -> anyhow::Result<Reloaded> {
        let origin = self.origin.clone();
        let compiler = self.control.compiler().clone();
        // Compiled here too, while the engine goes on.
        let read = tokio::task::spawn_blocking(move || {
            let config = origin.read()?;
            let Prepared { rules, allowlist, settings, decode, budget } = prepare(&config)?;
            if !rules.errors.is_empty() {
                let faults: Vec<String> = rules.errors.iter().map(ToString::to_string).collect();
                bail!("faults in rules: {}", faults.join("; "));
            }
            let compiled = compiler.compile(&rules, allowlist, &settings);
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
