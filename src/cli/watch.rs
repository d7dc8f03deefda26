//! `watchbell watch`: what is happening now?

pub(super) mod show;
mod target;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::output::{is_broken_pipe, tell};
use crate::chance;
use crate::serve::auth;
use crate::stream::Subscription;
use show::Style;
use target::Target;

/// How long is waited before the first attempt to come back, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The service pings every 20 seconds unless it is told otherwise; without a sign for this long it has gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest frame: more than the queue of a subscriber holds.
const MAX_FRAME_BYTES: usize = 4 << 20;
/// Close code for whoever asks for what is not to be had.
const POLICY: u16 = 1008;

/// Watch a running service: alerts and events as they happen
///
/// Comes back when the connection is lost. The token, if the service needs one, is read from the environment variable
/// WATCHBELL_TOKEN or from --token-file. Exit status: 0 when ended with Ctrl-C or because nobody reads the output any
/// more, 2 when the service refuses what is asked for.
#[derive(Args)]
pub struct Watch {
    /// Address of the service
    #[arg(default_value = "ws://127.0.0.1:9464", value_name = "URL")]
    url: String,
    /// What to watch; may be given several times [default: alerts, and events with --filter]
    #[arg(long = "topic", value_name = "TOPIC", value_parser = PossibleValuesParser::new(["alerts", "events", "statistics"]))]
    topics: Vec<String>,
    /// Alerts of this rule only: a name or id, with * for any text; may be given several times
    #[arg(long = "rule", value_name = "NAME")]
    rules: Vec<String>,
    /// Alerts of this severity and above
    #[arg(long, value_name = "LEVEL", value_parser = PossibleValuesParser::new(["informational", "low", "medium", "high", "critical"]))]
    severity: Option<String>,
    /// What is this tenant's only
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Events that match this Sigma selection only, such as '{"url.path|contains": "/admin"}'
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// File with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line or two for people
    Text,
    /// Frames as they come, one JSON object a line
    Ndjson,
}

/// Why a connection ended.
enum Lost {
    /// Coming back is worth a try, after this time if the service has said so.
    Connection(String, Option<Duration>),
    /// It is not.
    ForGood(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Lost {
    fn from(error: E) -> Self {
        Self::ForGood(error.into())
    }
}

/// What is known of the service from one connection to the next.
#[derive(Default)]
struct Known {
    /// Which process it was.
    run: String,
    /// The number of the last alert.
    alerts: Option<u64>,
    /// Whether this connection came as far as to a subscription.
    is_subscribed: bool,
}

impl Watch {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let target = Target::parse(&self.url).map_err(anyhow::Error::msg)?;
        let request = self.request()?;
        Subscription::from_json(&request).context("cannot ask for this")?;
        let secret = auth::read_secret(self.token_file.as_deref())?;
        // The worker hears Ctrl-C, also while this thread waits for whoever reads the output.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(0);
            }
        });
        let error = runtime.block_on(self.watch(&target, &request.to_string(), secret.as_deref()));
        runtime.shutdown_background();
        if is_broken_pipe(&error) { Ok(ExitCode::SUCCESS) } else { Err(error) }
    }

    fn request(&self) -> anyhow::Result<Value> {
        let mut topics = self.topics.clone();
        if topics.is_empty() {
            topics.push("alerts".to_owned());
            topics.extend(self.filter.as_ref().map(|_| "events".to_owned()));
        }
        let mut request = Map::new();
        let mut alerts = Map::new();
        if !self.rules.is_empty() {
            alerts.insert("rule".to_owned(), json!(self.rules));
        }
        alerts.extend(self.severity.as_ref().map(|severity| ("severity".to_owned(), json!(severity))));
        request.insert("subscribe".to_owned(), json!(topics));
        request.extend(self.tenant.as_ref().map(|tenant| ("tenant".to_owned(), json!(tenant))));
        if !alerts.is_empty() {
            request.insert("alerts".to_owned(), alerts.into());
        }
        if let Some(filter) = &self.filter {
            let filter = serde_json::from_str(filter).context("--filter: expected JSON")?;
            request.insert("events".to_owned(), filter);
        }
        Ok(request.into())
    }

    /// Connects, prints, and comes back, until that is no use.
    async fn watch(&self, target: &Target, request: &str, secret: Option<&str>) -> anyhow::Error {
        let mut known = Known::default();
        let mut wait = FIRST_WAIT;
        loop {
            known.is_subscribed = false;
            let (reason, asked) = match self.session(target, request, secret, &mut known).await {
                Ok(never) => match never {},
                Err(Lost::ForGood(error)) => return error,
                Err(Lost::Connection(reason, asked)) => (reason, asked),
            };
            if known.is_subscribed {
                wait = FIRST_WAIT;
            }
            // Many who were cut off together must not come back together.
            let part = chance::number() % 1000;
            let pause = asked.unwrap_or(wait / 2 + wait.mul_f64(part as f64 / 2000.0)).min(LONGEST_WAIT);
            let seconds = pause.as_secs_f64();
            tell(format_args!("{}; trying again in {seconds:.1} s", show::printable(&reason)));
            sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn session(
        &self,
        target: &Target,
        request: &str,
        secret: Option<&str>,
        known: &mut Known,
    ) -> Result<std::convert::Infallible, Lost> {
        let mut socket = connect(target, secret).await?;
        let gone =
            |error: tungstenite::Error| Lost::Connection(format!("the connection was lost: {error}"), None);
        socket.send(Message::text(request)).await.map_err(gone)?;
        loop {
            let message = timeout(SILENCE_TIMEOUT, socket.next())
                .await
                .map_err(|_| Lost::Connection("nothing was heard of the service".to_owned(), None))?
                .ok_or_else(|| Lost::Connection("the connection was closed".to_owned(), None))?
                .map_err(gone)?;
            match message {
                Message::Text(text) => self.take(&text, known)?,
                Message::Close(Some(close)) => {
                    let reason =
                        format!("the service closed the connection: {} ({})", close.reason, close.code);
                    return Err(match u16::from(close.code) {
                        POLICY => Lost::ForGood(anyhow!(reason)),
                        _ => Lost::Connection(reason, None),
                    });
                }
                _ => {}
            }
        }
    }

    /// Prints a frame. The error is for output that nobody reads, and for a service that refuses.
    fn take(&self, text: &str, known: &mut Known) -> anyhow::Result<()> {
        let frame: Value = serde_json::from_str(text).context("this is no stream of Watchbell")?;
        known.learn(&frame);
        match frame["type"].as_str() {
            Some("error") => {
                let error = frame["error"].as_str().unwrap_or_default();
                bail!("the service refuses: {}", show::printable(error));
            }
            Some("missed") => {
                let (count, topic) = (&frame["count"], frame["topic"].as_str().unwrap_or_default());
                let (from, to) = (&frame["from"], &frame["to"]);
                tell(format_args!(
                    "{count} {} were missed ({from} to {to}): too slow",
                    show::printable(topic)
                ));
            }
            _ => {}
        }
        let line = match self.output {
            Output::Ndjson => Some(show::escaped(text)),
            Output::Text => show::frame(&frame, Style::of_stdout()),
        };
        if let Some(line) = line {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        Ok(())
    }
}

impl Known {
    /// Notes what the frame says of the service, and tells what was missed while there was no connection.
    fn learn(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("hello") => {
                let run = frame["run"].as_str().unwrap_or_default();
                if !self.run.is_empty() && self.run != run {
                    tell(format_args!("the service was started again; alerts may have been missed"));
                    self.alerts = None;
                }
                run.clone_into(&mut self.run);
            }
            Some("subscribed") => {
                if !self.is_subscribed && std::io::stderr().is_terminal() {
                    tell("connected; what comes is printed as it comes");
                }
                self.is_subscribed = true;
                let last = frame["seq"]["alerts"].as_u64().unwrap_or_default();
                if let Some(before) = self.alerts.replace(last)
                    && last > before
                {
                    let (from, count) = (before + 1, last - before);
                    tell(format_args!("up to {count} alerts were missed ({from} to {last}): no connection"));
                }
            }
            Some("alert") => self.alerts = frame["seq"].as_u64().or(self.alerts),
            _ => {}
        }
    }
}

async fn connect(target: &Target, secret: Option<&str>) -> Result<WebSocketStream<TcpStream>, Lost> {
    let request = target.request(secret).map_err(anyhow::Error::msg)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let connecting = async {
        let stream =
            TcpStream::connect((target.host(), target.port())).await.map_err(tungstenite::Error::Io)?;
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await
    };
    let unreachable =
        |error: &str| Lost::Connection(format!("cannot connect to {}: {error}", target.name()), None);
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Err(_) => Err(unreachable("no answer")),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => Err(refusal(&response)),
        Ok(Err(error)) => Err(unreachable(&error.to_string())),
    }
}

/// What an answer that is no websocket means.
fn refusal(response: &Response) -> Lost {
    let status = response.status();
    let problem: Value =
        response.body().as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("is this the address of Watchbell?");
    let text = format!("the service answers {status}: {}", show::printable(detail));
    if matches!(status.as_u16(), 408 | 429 | 500..) {
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        return Lost::Connection(text, wait.map(Duration::from_secs));
    }
    Lost::ForGood(anyhow!(text))
}

impl Style {
    /// Colours where a person looks who has not asked for none.
    fn of_stdout() -> Self {
        let unwanted = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { is_coloured: std::io::stdout().is_terminal() && !unwanted("NO_COLOR") && !is_dumb }
    }
}
