//! The whole service: logs that are written, alerts that come out of a websocket.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use watchbell::app::{App, Origin};

use super::engine::FAILED;

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rule that asks for three failed logins of an account.
const THREE: &str = "
title: Three failures
name: three_failures
level: high
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1h, condition: {gte: 3}}
";

/// It, and what it counts.
fn rule() -> String {
    format!("{FAILED}{THREE}")
}

struct Service {
    directory: tempfile::TempDir,
    app: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    url: String,
    reloader: watchbell::app::Reloader,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A directory with a rule and a configuration that follows `app.jsonl` in it.
pub fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("rules")).unwrap();
    std::fs::write(directory.path().join("rules/three.yml"), rule()).unwrap();
    std::fs::write(config_of(directory.path()), config(directory.path(), "")).unwrap();
    directory
}

pub fn config_of(directory: &Path) -> PathBuf {
    directory.join("watchbell.toml")
}

pub fn config(directory: &Path, more: &str) -> String {
    let directory = directory.display();
    format!(
        "state_directory = '{directory}/state'\n\
         rules = {{ builtin = false, directories = ['{directory}/rules'] }}\n\
         serve = {{ listen = '127.0.0.1:0' }}\n\
         sources.app = {{ type = 'file', paths = ['{directory}/app.jsonl'], format = 'json' }}\n{more}"
    )
}

impl Service {
    async fn start() -> Self {
        let directory = directory();
        let origin = Origin { config: Some(config_of(directory.path())), ..Origin::default() };
        let mut app = App::start(origin).await.unwrap();
        app.recovered().await;
        let (url, reloader) = (app.address().to_string(), app.reloader());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
        Self { directory, app: Some(stop), task, url, reloader }
    }

    fn write(&self, lines: &[String]) {
        append(&self.directory.path().join("app.jsonl"), lines);
    }

    async fn alerts(&self) -> Socket {
        let url = format!("ws://{}/v1/stream", self.url);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.send(Message::text(r#"{"subscribe":["alerts"]}"#)).await.unwrap();
        assert_eq!(frame(&mut socket, "subscribed").await["topics"], json!(["alerts"]));
        socket
    }

    async fn metric(&self, name: &str) -> Option<f64> {
        metric(&self.url, name).await
    }

    async fn metric_becomes(&self, name: &str, wanted: f64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.metric(name).await;
            if found == Some(wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{name} is {found:?}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(mut self) {
        let _ = self.app.take().unwrap().send(());
        self.task.await.unwrap().unwrap();
    }
}

/// The value of a series.
pub async fn metric(address: &str, name: &str) -> Option<f64> {
    let text = get(address, "/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

pub fn append(path: &Path, lines: &[String]) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
}

/// Failed logins, now.
pub fn failures(user: &str, count: usize) -> Vec<String> {
    let line = format!(r#"{{"user.name":"{user}","event.outcome":"failure","source.ip":"192.0.2.1"}}"#);
    vec![line; count]
}

async fn frame(socket: &mut Socket, kind: &str) -> Value {
    let next = async {
        loop {
            let message = socket.next().await.expect("the stream must go on").unwrap();
            let Ok(frame) = serde_json::from_str::<Value>(message.to_text().unwrap()) else { continue };
            if frame["type"] == kind {
                return frame;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a frame must come")
}

pub async fn get(address: &str, path: &str) -> String {
    get_with(address, path, "").await
}

/// Asks with one more line in the head.
async fn get_with(address: &str, path: &str, header: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_followed_file_become_an_alert_on_the_stream() {
    let service = Service::start().await;
    let mut alerts = service.alerts().await;
    service.write(&failures("ann", 2));
    service.write(&["not JSON".to_owned()]);
    service.write(&failures("ann", 1));
    let told = frame(&mut alerts, "alert").await;
    assert_eq!(told["change"], "opened");
    assert_eq!(
        (told["seq"].as_u64(), told["alert"]["rule"]["name"].as_str()),
        (Some(1), Some("three_failures"))
    );
    assert_eq!(told["alert"]["subject"], json!({"user.name": "ann"}));
    service.metric_becomes("watchbell_events_total{source=\"app\"}", 3.0).await;
    for (name, value) in [
        ("watchbell_undecodable_lines_total{reason=\"not_json\",source=\"app\"}", 1.0),
        ("watchbell_alerts_opened_total{rule=\"three_failures\",severity=\"high\"}", 1.0),
        ("watchbell_alerts_open{severity=\"high\"}", 1.0),
        ("watchbell_rule_matches_total{rule=\"failed\"}", 3.0),
        ("watchbell_alert_latency_seconds_count", 1.0),
        ("watchbell_rule_would_fire{rule=\"three_failures\",threshold_factor=\"1\"}", 1.0),
        ("watchbell_rule_would_fire{rule=\"three_failures\",threshold_factor=\"1.5\"}", 0.0),
    ] {
        service.metric_becomes(name, value).await;
    }
    assert!(get(&service.url, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&service.url, "/readyz").await.starts_with("HTTP/1.1 200"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_is_there_at_0_from_the_start() {
    let service = Service::start().await;
    let text = get(&service.url, "/metrics").await;
    for name in [
        "watchbell_lines_total{source=\"app\"}",
        "watchbell_lines_total{source=\"push\"}",
        "watchbell_undecodable_lines_total{reason=\"not_json\",source=\"app\"}",
        "watchbell_events_late_total",
        "watchbell_window_subjects_evicted_total",
        "watchbell_alerts_opened_total{rule=\"three_failures\",severity=\"high\"}",
        "watchbell_alerts_resolved_total{rule=\"three_failures\",severity=\"high\"}",
        "watchbell_alerts_open{severity=\"critical\"}",
        "watchbell_rule_matches_total{rule=\"failed\"}",
        "watchbell_rule_alerts_refused_total{rule=\"three_failures\"}",
        "watchbell_rule_would_fire{rule=\"three_failures\",threshold_factor=\"0.75\"}",
        "watchbell_rule_would_fire_untried_total",
        "watchbell_alert_latency_seconds_count",
        "watchbell_reloads_total{outcome=\"refused\"}",
        "watchbell_stream_missed_total{topic=\"events\"}",
    ] {
        assert!(text.lines().any(|line| line == format!("{name} 0")), "{name} is not there at 0:\n{text}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_swapped_and_counters_go_on_unless_something_is_wrong() {
    let service = Service::start().await;
    let mut alerts = service.alerts().await;
    service.write(&failures("ann", 2));
    service.metric_becomes("watchbell_events_total{source=\"app\"}", 2.0).await;
    let rules = service.directory.path().join("rules");
    std::fs::write(rules.join("wrong.yml"), "title: wrong\ndetection: {s: {a|contians: b}, condition: s}\n")
        .unwrap();
    let error = service.reloader.reload().await.unwrap_err().to_string();
    assert!(error.contains("wrong.yml:2") && error.contains("contians"), "{error}");
    service.metric_becomes("watchbell_reloads_total{outcome=\"refused\"}", 1.0).await;
    service.metric_becomes("watchbell_config_last_reload_successful", 0.0).await;
    let succeeded_at = "watchbell_config_last_reload_success_timestamp_seconds";
    let started = service.metric(succeeded_at).await.unwrap();
    assert!(started > 1e9, "the start was a success: {started}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let more = rule()
        .replace("three_failures", "two_more")
        .replace("gte: 3", "gte: 5")
        .replace("failed", "also_failed");
    std::fs::write(rules.join("wrong.yml"), more).unwrap();
    let reloaded = service.reloader.reload().await.unwrap();
    assert_eq!((reloaded.rules, reloaded.needs_restart.len()), (4, 0));
    service.metric_becomes("watchbell_config_last_reload_successful", 1.0).await;
    assert!(service.metric(succeeded_at).await.unwrap() > started);
    service.metric_becomes("watchbell_rules", 4.0).await;
    service.write(&failures("ann", 1));
    let told = frame(&mut alerts, "alert").await;
    assert_eq!(told["alert"]["rule"]["name"], "three_failures", "two failures before, one after");
    // What was counted since the last look at the books is not lost when they are numbered anew.
    service.reloader.reload().await.unwrap();
    service.metric_becomes("watchbell_rule_matches_total{rule=\"failed\"}", 3.0).await;
    std::fs::write(config_of(service.directory.path()), "[memory]\nmax = 1\n").unwrap();
    let error = service.reloader.reload().await.unwrap_err().to_string();
    assert!(error.contains("watchbell.toml") && error.contains("max"), "{error}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_to_a_rule_that_is_not_loaded_is_refused_and_one_that_exists_goes_on() {
    let service = Service::start().await;
    let mut alerts = service.alerts().await;
    let ask =
        |rule: &str| Message::text(json!({"subscribe": ["alerts"], "alerts": {"rule": rule}}).to_string());
    for rule in ["three_failure", "no*such"] {
        alerts.send(ask(rule)).await.unwrap();
        let error = frame(&mut alerts, "error").await["error"].as_str().unwrap().to_owned();
        assert!(error.contains("three_failures") && error.contains(&format!("not '{rule}'")), "{error}");
    }
    for rule in ["three_failures", "three_*"] {
        alerts.send(ask(rule)).await.unwrap();
        frame(&mut alerts, "subscribed").await;
    }
    let path = service.directory.path().join("rules/three.yml");
    std::fs::write(&path, rule().replace("three_failures", "other")).unwrap();
    service.reloader.reload().await.unwrap();
    std::fs::write(&path, rule()).unwrap();
    service.reloader.reload().await.unwrap();
    service.write(&failures("ann", 3));
    assert_eq!(frame(&mut alerts, "alert").await["alert"]["rule"]["name"], "three_failures");
    service.stop().await;
}

/// A program that runs, and what it has said.
pub struct Process(pub Child, Arc<Mutex<Vec<String>>>);

impl Process {
    /// Starts the program and gives its address.
    pub fn start(directory: &Path) -> (Self, String) {
        Self::start_with(directory, &[])
    }

    /// Starts it with something in its environment.
    pub fn start_with(directory: &Path, variables: &[(&str, &str)]) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["run", "--config"])
            .arg(config_of(directory))
            .env_remove("WATCHBELL_LOG")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("ready:")) {
            said.push(lines.next().expect("it must start").unwrap());
        }
        let (_, rest) = said[said.len() - 1].split_once("metrics at http://").unwrap();
        let address = rest.split_once('/').unwrap().0.to_owned();
        let said = Arc::new(Mutex::new(said));
        let hearing = Arc::clone(&said);
        // What it says must be read, or it waits for whoever should.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| hearing.lock().unwrap().push(line));
        });
        (Self(child, said), address)
    }

    /// Waits until it says something, and gives the line.
    async fn says(&self, what: &str) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let said = self.1.lock().unwrap().clone();
            if let Some(line) = said.iter().find(|line| line.contains(what)) {
                return line.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "{what} is not in {said:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// All that it has said.
    pub fn said(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn lines_counted(address: &str, wanted: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = get(address, "/metrics").await;
        let line = text.lines().find(|line| line.starts_with("watchbell_lines_total{source=\"app\"}"));
        if line.is_some_and(|line| line.ends_with(wanted)) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{line:?}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_ends_with_0_when_asked_to_and_goes_on_where_it_was() {
    let directory = directory();
    let log = directory.path().join("app.jsonl");
    append(&log, &failures("before", 3));
    let (mut process, address) = Process::start(directory.path());
    append(&log, &failures("ann", 5));
    lines_counted(&address, " 5").await;
    let second = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["run", "--config"])
        .arg(config_of(directory.path()))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2), "a second one must not use the same state");
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another watchbell"));
    process.signal("-HUP");
    assert!(process.says("are in force").await.contains("INFO"));
    let more = "sources.other = { type = 'file', paths = ['/nowhere'] }\nstream = { max_subscribers = 5 }\n";
    std::fs::write(config_of(directory.path()), config(directory.path(), more)).unwrap();
    process.signal("-HUP");
    let line = process.says("sources, stream stay as they were").await;
    assert!(line.contains("WARN") && line.contains("rules, allowlist"), "{line}");
    std::fs::write(config_of(directory.path()), config(directory.path(), "")).unwrap();
    append(&log, &failures("ann", 2));
    lines_counted(&address, " 7").await;
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    append(&log, &failures("meanwhile", 4));
    let (mut process, address) = Process::start(directory.path());
    lines_counted(&address, " 4").await;
    process.signal("-INT");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_without_a_file_is_said_at_the_start_and_when_it_changes() {
    let directory = directory();
    let more = "sources.syslog = { type = 'syslog', listen = '127.0.0.1:0', transport = 'udp' }";
    std::fs::write(config_of(directory.path()), config(directory.path(), more)).unwrap();
    let (process, address) = Process::start(directory.path());
    let line = process.says("ready:").await;
    assert!(line.contains("files=0") && line.contains("listeners=1"), "{line}");
    let line = process.says("no_file").await;
    assert!(line.contains("WARN") && line.contains("app.jsonl"), "{line}");
    let answer = get(&address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"ready","paths_without_file":{"app":1}}"#), "{answer}");
    let text = get(&address, "/metrics").await;
    assert!(text.contains("watchbell_source_paths_without_file{source=\"app\"} 1\n"), "{text}");
    append(&directory.path().join("app.jsonl"), &failures("ann", 1));
    process.says("well again").await;
    assert!(get(&address, "/readyz").await.ends_with(r#"{"status":"ready"}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_logged_without_it_and_not_for_each_request() {
    let directory = directory();
    let token = directory.path().join("token");
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let text = config(directory.path(), "")
        .replace("'127.0.0.1:0' }", &format!("'127.0.0.1:0', token_file = '{}' }}", token.display()));
    std::fs::write(config_of(directory.path()), text).unwrap();
    let (process, address) = Process::start(directory.path());
    let wrong = "Authorization: Bearer not-the-token-at-all\r\n";
    for _ in 0..20 {
        assert!(get_with(&address, "/v1/stream", wrong).await.starts_with("HTTP/1.1 401"));
    }
    let line = process.says("wrong token").await;
    assert!(
        line.contains("WARN") && line.contains("127.0.0.1") && line.contains("endpoint=\"stream\""),
        "{line}"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(get(&address, "/metrics").await.starts_with("HTTP/1.1 401"));
    let line = process.says("without a token").await;
    assert!(line.contains("endpoint=\"metrics\"") && !line.contains("left_out=0"), "{line}");
    let said = process.1.lock().unwrap().join("\n");
    assert!(!said.contains("not-the-token"), "{said}");
    assert!(said.matches("refused").count() < 10, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_on_do_not_keep_the_program_from_ending() {
    use tokio::io::AsyncWriteExt;
    let directory = directory();
    let (mut process, address) = Process::start(directory.path());
    let mut held = Vec::new();
    let half_body = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx";
    let upgrade = "GET /v1/stream?topics=alerts,events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for said in ["", "GET /metrics HTTP/1.1\r\nHost: loc", half_body, upgrade, upgrade] {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        held.push(socket);
    }
    // More than the buffers of the system hold, for the websockets that nobody reads.
    let line = format!(r#"{{"user.name":"{}","event.outcome":"failure"}}"#, "x".repeat(20_000));
    append(&directory.path().join("app.jsonl"), &vec![line; 1_000]);
    lines_counted(&address, " 1000").await;
    let began = std::time::Instant::now();
    process.signal("-TERM");
    let ended = tokio::task::spawn_blocking(move || process.0.wait().unwrap().code());
    assert_eq!(tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap(), Some(0));
    // One second for clients; the rest is for a machine that is busy. It was six.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn what_cannot_be_started_says_why_and_ends_with_2() {
    let directory = directory();
    for (more, said) in [
        ("[serv]\n", "did you mean 'serve'?"),
        ("[sources.push]\ntype = 'stdin'\n", "another name"),
        ("[[allowlist]]\nnetworks = ['10.0.0.0/33']\nreason = 'x'\n", "10.0.0.0/33"),
    ] {
        std::fs::write(config_of(directory.path()), config(directory.path(), more)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["run", "--config"])
            .arg(config_of(directory.path()))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(said), "{errors}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["run", "--listen", "0.0.0.0:0"])
        .env_remove("WATCHBELL_TOKEN")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("token"));
}

#[test]
fn the_demo_rings_within_ten_seconds_and_the_service_keeps_up() {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["demo", "--listen", "127.0.0.1:0", "--seconds", "10"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("opened") && shown.contains("source.ip="), "{shown}");
    // The short form of a soak, at a rate that a build without optimisation keeps up with.
    for (more, said) in [
        (&["--warm-up", "2", "--subscribers", "20", "--sleeper"][..], "without a journal: nothing was kept"),
        (&["--warm-up", "1", "--journal"], "yes  the journal stores what comes: "),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["soak", "--rate", "1000", "--seconds", "5", "--directory"])
            .arg(directory.path())
            .args(more)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert!(shown.contains("  warm-up\n") && shown.contains(" MB at the end ("), "{shown}");
        assert!(!shown.contains("NaN"), "nothing is measured in the first row: {shown}");
        assert!(shown.contains(said), "{shown}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_asked_what_other_thresholds_would_have_found() {
    let service = Service::start().await;
    service.write(&failures("ann", 5));
    service.write(&failures("bob", 3));
    service.metric_becomes("watchbell_lines_total{source=\"app\"}", 8.0).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let report = loop {
        let answer = get(&service.url, "/v1/rules/what-if?rule=three_failures").await;
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let fired = body["rules"][0]["thresholds"].as_array().cloned().unwrap_or_default();
        if fired.iter().any(|one| one["threshold"] == 3.0 && one["alerts"] == 2) {
            break body;
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let of = |threshold: f64| {
        let fired = report["rules"][0]["thresholds"].as_array().unwrap();
        fired.iter().find(|one| one["threshold"] == threshold).map(|one| one["alerts"].clone())
    };
    assert_eq!(of(5.0).or(of(4.0)), Some(json!(1)), "ann alone: {report}");
    assert_eq!(report["hours"], 24);
    assert!(get(&service.url, "/v1/rules/what-if?rule=nobody").await.starts_with("HTTP/1.1 404"));
    assert!(get(&service.url, "/v1/rules/what-if?x=1").await.starts_with("HTTP/1.1 400"));
    service.stop().await;
}
