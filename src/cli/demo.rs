//! `watchbell demo`: the service at work, on traffic that is made up as it goes.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::sync::watch;

use super::attacks::{Attacks, LEAD, PAUSE, PROGRAMME};
use super::courier::Courier;
use super::output::say;
use super::play::{Lines, Logs};
use super::run::{LogFormat, asked_to_stop, runtime, start_log};
use super::watch::show;
use crate::app::{App, Origin};
use crate::chance;
use crate::config::Config;
use crate::generate::{self, Generator, Record};
use crate::intake::now;
use crate::stream::{Hub, Subscription, Topic, Topics};

/// Show the service at work
///
/// Starts the service on this machine alone, lets the visitors of a made-up shop and one attacker after another write
/// into real log files, which are followed, delivers signed webhooks of customers and of somebody who takes the number
/// over, and prints alerts as they come. Ctrl-C ends it.
#[derive(Args)]
pub struct Demo {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Ordinary lines a second
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// End after this many seconds [default: when asked to]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Seed of the traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The traffic lasts for so long: nobody looks on for longer than a day.
const DAY: Duration = Duration::from_secs(86_400);

impl Demo {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        start_log(LogFormat::Text, "warn");
        runtime()?.block_on(async {
            let stopping = tokio::spawn(asked_to_stop());
            let directory = tempfile::tempdir().context("cannot make a directory for the demo's logs")?;
            let mut logs = Logs::create(directory.path())?;
            let path = |path: std::path::PathBuf| toml::Value::from(path.display().to_string()).to_string();
            let mut config: Config = toml::from_str(&format!(
                "state_directory = {}\n\
                 sources.shop = {{ type = 'file', paths = [{}], format = 'combined' }}\n\
                 sources.application = {{ type = 'file', paths = [{}], format = 'json' }}\n\
                 webhooks.whatsapp = {{ app_secrets_file = {} }}\n",
                path(directory.path().join("state")),
                path(Logs::access_path(directory.path())),
                path(Logs::events_path(directory.path())),
                path(directory.path().join("app_secrets")),
            ))?;
            let secret = secret();
            write_secret(&directory.path().join("app_secrets"), &secret)?;
            config.serve.listen = self.listen;
            let mut app = App::start_with(config, Origin::default()).await?;
            app.recovered().await;
            self.say_where_to_look(&app, directory.path());
            let mut printing = tokio::spawn(print_alerts(app.hub()));
            let (stop, stopped) = watch::channel(false);
            let mut lines = self.traffic(now().as_micros() / 1000)?;
            let playing = tokio::task::spawn_blocking(move || logs.play(&mut lines, &stopped, |_| {}));
            let announcing = tokio::spawn(announce());
            let courier = Courier { address: app.address(), secret };
            let stopped = stop.subscribe();
            let delivering = tokio::spawn(async move {
                if let Err(error) = courier.work(stopped).await {
                    say(format_args!("no more webhooks: {error:#}"));
                }
            });
            let seconds = self.seconds.map(Duration::from_secs);
            let ended = app
                .run(async {
                    let limit = async {
                        match seconds {
                            Some(limit) => tokio::time::sleep(limit).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        _ = stopping => {}
                        () = limit => {}
                    }
                    let _ = stop.send(true);
                })
                .await;
            announcing.abort();
            delivering.abort();
            let _ = tokio::time::timeout(Duration::from_secs(1), &mut printing).await;
            playing.await??;
            ended?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Demo {
    fn say_where_to_look(&self, app: &App, directory: &std::path::Path) {
        let address = app.address();
        say(format_args!("watchbell is at work on made-up traffic; Ctrl-C ends it."));
        say(format_args!("  stream   ws://{address}/v1/stream   (watchbell watch ws://{address})"));
        say(format_args!("  metrics  http://{address}/metrics"));
        say(format_args!(
            "  webhooks http://{address}/webhooks/whatsapp   (signed, like those of the platform)"
        ));
        say(format_args!("  logs     {}", directory.display()));
        say("");
    }

    /// Ordinary visitors, and one attack after another.
    fn traffic(&self, start_ms: i64) -> anyhow::Result<Lines> {
        let mut lines = Lines::default();
        let ordinary = Generator::new(&generate::Config {
            seed: self.seed,
            lines: u64::from(self.rate) * DAY.as_secs(),
            addresses: 50_000,
            start: start_ms / 1000,
            duration: DAY,
            messages: 0,
            attacks: Vec::new(),
        })?;
        lines.add(ordinary.filter_map(|record| match record {
            Record::Line(line) => Some(line),
            Record::Label(_) => None,
        }));
        lines.add(Attacks::new(self.seed, start_ms));
        Ok(lines)
    }
}

/// What deliveries are signed with, in this run alone.
fn secret() -> String {
    chance::bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())?;
    Ok(())
}

/// Says what is staged, when it begins.
async fn announce() {
    tokio::time::sleep(LEAD).await;
    for kind in PROGRAMME.iter().cycle() {
        say(format_args!("{}  staged  {}", clock(), kind.description()));
        tokio::time::sleep(PAUSE).await;
    }
}

/// The time of day, as a log has it.
fn clock() -> String {
    now().to_string().get(11..19).unwrap_or_default().to_owned()
}

/// Prints alerts as they come.
async fn print_alerts(hub: Arc<Hub>) {
    let mut topics = Topics::default();
    topics.insert(Topic::Alerts);
    let wanted = Subscription { topics, ..Subscription::default() };
    let Ok(subscriber) = hub.subscribe(wanted) else { return };
    let style = show::Style {
        is_coloured: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    while let Some(frame) = subscriber.next().await {
        let shown = serde_json::from_str(frame.as_str()).ok().and_then(|frame| show::frame(&frame, style));
        if let Some(shown) = shown {
            say(format_args!("{shown}"));
        }
    }
}
