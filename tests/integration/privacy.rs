//! What people write, and who they are, is in nothing that the program writes: not in its files, its log, its metrics, or
//! what it tells subscribers.

#[path = "../../src/whatsapp/tests/marks.rs"]
mod marks;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::service::{Process, config, config_of, directory, metric};
use crate::webhooks;

const SECRET: &str = "hides-nothing-of-itself-anywhere";

/// Rules that make an alert of whatever there is, so that alerts are made of it too.
const EVERYTHING: &str = "
title: Anything
name: anything
level: high
logsource: {product: whatsapp}
detection: {s: {event.module: whatsapp}, condition: s}
x-watchbell: {group-by: [whatsapp.user.id, whatsapp.number, event.action]}
";

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

/// What a command of the program prints.
fn told(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let command = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(arguments)
        .arg("--config")
        .arg(config_of(directory))
        .output()
        .unwrap();
    assert!(command.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&command.stderr));
    [command.stdout, command.stderr].concat()
}

/// Delivers a body and gives the status of the answer.
async fn deliver(address: &str, signature: &str, body: &[u8]) -> String {
    let headers = [("X-Hub-Signature-256", signature)];
    let request = webhooks::request("POST", "/webhooks/whatsapp", &headers, body);
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let answer = webhooks::exchange(socket, &request).await;
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_program_writes_shows_what_it_was_sent() {
    let directory = directory();
    let path = directory.path();
    std::fs::write(path.join("rules/everything.yml"), EVERYTHING).unwrap();
    // Named otherwise, and read by nobody else: the word is looked for in the log.
    std::fs::write(path.join("hidden"), SECRET).unwrap();
    std::fs::set_permissions(path.join("hidden"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let more = format!(
        "webhooks.whatsapp = {{ app_secrets_file = '{}/hidden' }}\n\
         serve.limits = {{ webhooks = {{ per_second = 100000, burst = 100000 }} }}\n",
        path.display()
    );
    let config =
        config(path, &more).replace("serve = { listen = '127.0.0.1:0' }", "serve.listen = '127.0.0.1:0'");
    std::fs::write(config_of(path), config).unwrap();
    let (mut process, address) = Process::start_with(path, &[("WATCHBELL_LOG", "trace")]);

    let url = format!("ws://{address}/v1/stream");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text(r#"{"subscribe":["alerts","events","statistics"]}"#)).await.unwrap();
    let streamed = Arc::new(Mutex::new(String::new()));
    let hearing = Arc::clone(&streamed);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = socket.next().await {
            let mut heard = hearing.lock().unwrap();
            heard.push_str(frame.to_text().unwrap_or_default());
            heard.push('\n');
        }
    });

    let kept = [&marks::OWN[..], &marks::STRUCTURE].concat();
    let mut sent = 0;
    for file in std::fs::read_dir("tests/data/whatsapp").unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "json") || file.ends_with("broken_parts.json")
        {
            continue;
        }
        let body = std::fs::read_to_string(&file).unwrap();
        for with in marks::SECRETS {
            let body = marks::marked(&body, &kept, with).into_bytes();
            let answer = deliver(&address, &webhooks::signature(SECRET, &body), &body).await;
            assert!(answer.contains("200"), "{answer}");
            sent += 1;
        }
    }
    assert!(sent > 50, "{sent} deliveries");
    // What cannot be understood is kept, and what nobody signed is not.
    for body in [r#"{"object":"ada secret 447700900123"}"#, "ada secret 447700900123 \u{0}", "[1]"] {
        let answer = deliver(&address, &webhooks::signature(SECRET, body.as_bytes()), body.as_bytes()).await;
        assert!(answer.contains("200"), "{answer}");
        let forged = webhooks::signature("another", body.as_bytes());
        assert!(deliver(&address, &forged, body.as_bytes()).await.contains("401"));
    }
    let sends = r#"{"message_id":"wamid.HBgMNDQ3NzAwOTAwMTIzFQIAEhgUU0VDUkVU"}"#;
    let request = webhooks::request("POST", "/v1/sends", &[], sends.as_bytes());
    let request = String::from_utf8(request).unwrap().replace("hooks.example.com", &address);
    let socket = tokio::net::TcpStream::connect(&address).await.unwrap();
    let answer = webhooks::exchange(socket, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));

    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while metric(&address, "watchbell_lines_total{source=\"sends\"}").await != Some(1.0) {
        assert!(tokio::time::Instant::now() < deadline, "what was sent must be counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let metrics = crate::service::get(&address, "/metrics").await;
    let running = files(&path.join("state"));
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));

    let log = process.said().join("\n");
    let stream = streamed.lock().unwrap().clone();
    assert!(stream.contains("\"type\":\"event\"") && stream.contains("\"type\":\"alert\""), "both are heard");
    assert!(log.contains("alert opened") && log.contains("could not be understood"), "both are logged");
    let alerts = told(path, &["journal", "alerts", "--output", "ndjson"]);
    assert!(alerts.len() > 1_000, "there are alerts");
    let status = told(path, &["journal", "status"]);
    let letters = told(path, &["journal", "dead-letters"]);
    assert!(!letters.is_empty());
    let mut written = vec![
        ("the log".to_owned(), log.into_bytes()),
        ("the metrics".to_owned(), metrics.into_bytes()),
        ("the stream".to_owned(), stream.into_bytes()),
        ("the alerts".to_owned(), alerts),
        ("the status".to_owned(), status),
        ("the dead letters, as they are listed".to_owned(), letters),
        ("the lines of the journal".to_owned(), lines(path)),
    ];
    written.extend(running);
    written.extend(files(&path.join("state")));
    assert!(written.iter().any(|(name, bytes)| name.ends_with("watchbell.db") && bytes.len() > 10_000));
    for (name, bytes) in &written {
        let bytes = without_own_words(&bytes.to_ascii_lowercase());
        for trace in marks::TRACES {
            // Four letters may come about by themselves in what is sealed.
            let is_chance = trace.len() < 5 && name.contains("watchbell.db");
            let found = memchr::memmem::find(&bytes, trace.as_bytes()).filter(|_| !is_chance);
            let around = found.map(|at| &bytes[at.saturating_sub(200)..bytes.len().min(at + 100)]);
            assert!(around.is_none(), "{trace} is in {name}: {}", String::from_utf8_lossy(around.unwrap()));
        }
    }
}

/// Without the names of fields and labels in which a word stands that is looked for.
fn without_own_words(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    let mut kept = Vec::with_capacity(bytes.len());
    while let Some(at) = memchr::memmem::find(rest, b"secret") {
        let (before, after) = (&rest[..at], &rest[at + "secret".len()..]);
        kept.extend_from_slice(before);
        let is_own = before.ends_with(b"http.webhook.") && after.starts_with(b"\"")
            || before.ends_with(b"by the name of the ") && after.starts_with(b".")
            || after.starts_with(b"=\"");
        if !is_own {
            kept.extend_from_slice(b"secret");
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    kept
}

/// All lines that are in the journal.
fn lines(directory: &Path) -> Vec<u8> {
    let key = watchbell::journal::Key::load(&directory.join("state/key")).unwrap().unwrap();
    let journal =
        watchbell::journal::Journal::read_only(&directory.join("state/watchbell.db"), &key).unwrap();
    let blocks = journal.read_from(watchbell::event::Timestamp::default()).unwrap();
    let lines: Vec<u8> =
        blocks.flat_map(|block| block.unwrap().lines).flat_map(|lines| lines.text.into_bytes()).collect();
    assert!(lines.len() > 10_000, "there are lines");
    lines
}
