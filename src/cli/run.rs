//! `watchbell run`: the service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::RuleSelection;
use crate::app::{App, Origin, Reloaded};

/// Watch logs as they are written
///
/// Follows the sources of the configuration, and takes lines at POST /v1/events. Alerts and events are told at
/// GET /v1/stream (see `watchbell watch`), metrics at GET /metrics. SIGHUP reads configuration and rules again and swaps
/// them in if nothing is wrong with them; SIGTERM and Ctrl-C stop intake, count what has come, and end.
///
/// Exit status: 0 after a signal, 2 when the service cannot start, 1 when it fails.
#[derive(Args)]
pub struct Run {
    /// Configuration file; without one, only what is pushed over HTTP is watched
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleSelection,
    /// Where to listen, instead of what the configuration says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How to write the service's own log, to standard error; what, says the variable WATCHBELL_LOG, such as `debug`
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the service's own log.
pub(super) fn start_log(format: LogFormat, default: &str) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("WATCHBELL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// The runtime of commands that talk to others, who may be many: as many files and sockets are open as the system allows,
/// which is more than it gives to those who do not ask.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised it stays: connections beyond it are refused, and counted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    tokio::runtime::Builder::new_multi_thread().thread_name("io").enable_all().build()
}

/// Ends with the first SIGTERM or SIGINT; the second ends the process at once.
pub(super) async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}

/// What is said after a SIGHUP that changed something.
const TAKEN_OVER: &str = "rules, allowlist, decode, geo, clock and memory were read again and are in force";

impl Run {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        start_log(self.log_format, "info");
        let origin = Origin {
            config: self.config,
            rules: self.rules.directories,
            no_builtin_rules: self.rules.no_builtin_rules,
            listen: self.listen,
        };
        runtime()?.block_on(async {
            // Heard from the beginning, so that a signal during the start is not lost, nor deadly.
            let mut hangup = signal(SignalKind::hangup())?;
            let stop = tokio::spawn(asked_to_stop());
            let app = App::start(origin).await?;
            let reloader = app.reloader();
            let reloading = tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    match reloader.reload().await {
                        Ok(Reloaded { rules, needs_restart }) if needs_restart.is_empty() => {
                            tracing::info!(rules, "{TAKEN_OVER}");
                        }
                        Ok(Reloaded { rules, needs_restart }) => {
                            let sections = needs_restart.join(", ");
                            tracing::warn!(
                                rules,
                                needs_restart = sections,
                                "{TAKEN_OVER}; {sections} stay as they were, and what has changed there takes a restart"
                            );
                        }
                        Err(error) => tracing::error!("nothing was changed: {error:#}"),
                    }
                }
            });
            let outcome = app.run(async { drop(stop.await) }).await;
            reloading.abort();
            match outcome {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => {
                    tracing::error!("{error:#}");
                    Ok(ExitCode::from(1))
                }
            }
        })
    }
}
