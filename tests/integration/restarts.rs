//! The whole program, killed again and again: nothing is lost, nothing counted twice, no alert has two names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use watchbell::journal::{Journal, Key, Limits};

use crate::service::{Process, append, config_of, directory, failures};
use crate::webhooks;

/// How often the program is killed; `WATCHBELL_KILLS` says otherwise.
fn kills() -> u64 {
    std::env::var("WATCHBELL_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6)
}

/// What the journal knows of alerts, when no program runs.
fn alerts(directory: &Path) -> Vec<Value> {
    let key = Key::load(&directory.join("state/key")).unwrap().unwrap();
    let opened = Journal::open(&directory.join("state/watchbell.db"), &key, Limits::default()).unwrap();
    let alerts = opened.journal.alerts(&Default::default(), 1_000).unwrap();
    assert_eq!(alerts.unreadable, 0);
    alerts.rows.iter().map(|alert| serde_json::from_slice(&alert.record).unwrap()).collect()
}

/// The ids of alerts that a program said it opened.
fn opened(said: &[String]) -> Vec<String> {
    let opened = said.iter().filter(|line| line.contains("alert opened"));
    opened
        .map(|line| line.split("alert.id=").nth(1).unwrap().split_whitespace().next().unwrap())
        .map(|id| id.trim_matches('"').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_counts_every_line_once() {
    let directory = directory();
    let log = directory.path().join("app.jsonl");
    append(&log, &failures("before", 1));
    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut ids = BTreeSet::new();
    let mut writer = None;
    for kill in 0..kills() {
        let (mut process, _) = Process::start(directory.path());
        writer.get_or_insert_with(|| {
            let (log, is_over, written) = (log.clone(), Arc::clone(&is_over), Arc::clone(&written));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    append(&log, &failures("ann", 3));
                    written.fetch_add(3, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        });
        tokio::time::sleep(Duration::from_millis(300 + 170 * (kill % 6))).await;
        process.kill();
        ids.extend(opened(&process.said()));
    }
    is_over.store(true, Ordering::Relaxed);
    writer.unwrap().join().unwrap();
    let (mut process, address) = Process::start(directory.path());
    let all = written.load(Ordering::Relaxed);
    // What this run has read of the file is what was not in the journal.
    let mut last = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let lines = crate::service::metric(&address, "watchbell_lines_total{source=\"app\"}").await.unwrap();
        if lines == last {
            break;
        }
        last = lines;
    }
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    ids.extend(opened(&process.said()));
    let alerts = alerts(directory.path());
    let subjects: Vec<&Value> = alerts.iter().map(|alert| &alert["subject"]["user.name"]).collect();
    assert_eq!(subjects, ["ann"], "{alerts:#?}");
    assert_eq!(alerts[0]["observed"], all, "every line counted once, through {} kills", kills());
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [alerts[0]["id"].as_str().unwrap()]);
}

/// Counts what a person sends.
const MESSAGES: &str = "
title: Messages
name: message
logsource: {product: whatsapp}
detection: {s: {event.action: message_received}, condition: s}
x-watchbell: {reported: false}
---
title: Many messages
name: many_messages
level: high
correlation: {type: event_count, rules: [message], group-by: [whatsapp.number], timespan: 1h, condition: {gte: 3}}
";

/// Two messages that were sent just now.
fn messages(number: usize) -> Vec<u8> {
    let now = watchbell::intake::now().as_micros() / 1_000_000;
    let message = |id: &str| {
        json!({"from": "16505551234", "id": format!("wamid.{number}{id}"), "timestamp": now.to_string(),
               "type": "text", "text": {"body": "hello there"}})
    };
    webhooks::update(&json!([{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "messages": [message("a"), message("b")],
    }}]))
}

/// Delivers messages until each of them has been answered with 200, sending again whatever was not.
fn deliver(address: &str, first: usize, count: usize, is_down: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut answered = 0;
    for number in first..first + count {
        let body = messages(number);
        let signature = webhooks::signature(SECRET, &body);
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("Content-Type", "application/json")];
        let request = webhooks::request("POST", "/webhooks/whatsapp", &headers, &body);
        let answer = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.ok()?;
            let exchange = webhooks::exchange(socket, &request);
            tokio::time::timeout(Duration::from_secs(5), exchange).await.ok()
        });
        if !answer.is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            return answered;
        }
        answered += 1;
        if is_down.load(Ordering::Relaxed) {
            return answered;
        }
    }
    answered
}

const SECRET: &str = "no-secret-of-anybody-else";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_that_was_answered_is_counted_once_through_kills() {
    let directory = directory();
    let path = directory.path();
    std::fs::write(path.join("rules/messages.yml"), MESSAGES).unwrap();
    std::fs::write(path.join("secrets"), SECRET).unwrap();
    let more = format!("webhooks.whatsapp = {{ app_secrets_file = '{}/secrets' }}\n", path.display());
    let config = std::fs::read_to_string(config_of(path)).unwrap();
    std::fs::write(config_of(path), config + &more).unwrap();
    append(&path.join("app.jsonl"), &failures("before", 1));
    let mut answered = 0;
    let mut ids = BTreeSet::new();
    for kill in 0..kills() {
        let (mut process, address) = Process::start(path);
        let is_down = Arc::new(AtomicBool::new(false));
        let sender = {
            let (is_down, first) = (Arc::clone(&is_down), answered);
            std::thread::spawn(move || deliver(&address, first, usize::MAX / 2, &is_down))
        };
        let log = path.join("app.jsonl");
        for _ in 0..20 {
            append(&log, &failures("ann", 5));
            tokio::time::sleep(Duration::from_millis(10 + 7 * (kill % 6))).await;
        }
        process.kill();
        is_down.store(true, Ordering::Relaxed);
        answered += sender.join().unwrap();
        ids.extend(opened(&process.said()));
    }
    let (mut process, address) = Process::start(path);
    // The one that was on its way when the last kill came, and one more.
    let is_down = AtomicBool::new(false);
    answered += tokio::task::spawn_blocking(move || deliver(&address, answered, 2, &is_down)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    ids.extend(opened(&process.said()));
    let alerts = alerts(path);
    let of = |rule: &str| {
        let found: Vec<&Value> = alerts.iter().filter(|alert| alert["rule"]["name"] == rule).collect();
        assert_eq!(found.len(), 1, "{rule}: {alerts:#?}");
        found[0]["observed"].clone()
    };
    assert!(answered > 20, "{answered} deliveries were answered");
    assert_eq!(of("many_messages"), 2 * answered, "two messages each");
    assert_eq!(of("three_failures"), 5 * 20 * kills());
    assert_eq!(ids.len(), 2, "no alert has two names: {ids:?}");
}

/// Learns which addresses people come from.
const NEW_ADDRESS: &str = "
title: New address
name: new_address
level: low
first_seen: {rules: [failed], group-by: [user.name], field: source.ip, learn: 1d, forget: 30d}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learned_is_there_after_the_next_start() {
    let directory = directory();
    let path = directory.path();
    std::fs::write(path.join("rules/new.yml"), NEW_ADDRESS).unwrap();
    let (mut process, address) = Process::start(path);
    append(&path.join("app.jsonl"), &failures("ann", 1));
    append(&path.join("app.jsonl"), &failures("bob", 1));
    let counted = "watchbell_lines_total{source=\"app\"}";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while crate::service::metric(&address, counted).await != Some(2.0) {
        assert!(tokio::time::Instant::now() < deadline, "they must be counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    let (process, _) = Process::start_with(path, &[("WATCHBELL_LOG", "watchbell=debug")]);
    let said = process.said();
    let learned = said.iter().find(|line| line.contains("what was learned before is there"));
    assert!(learned.is_some_and(|line| line.contains("windows=2 unreadable=0")), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_journal_has_lost_is_a_gap_once() {
    let directory = directory();
    let path = directory.path();
    let (mut process, address) = Process::start(path);
    for number in 1..=3 {
        append(&path.join("app.jsonl"), &failures("ann", 1));
        let counted = "watchbell_lines_total{source=\"app\"}";
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while crate::service::metric(&address, counted).await != Some(f64::from(number)) {
            assert!(tokio::time::Instant::now() < deadline, "it must be counted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    let file = rusqlite::Connection::open(path.join("state/watchbell.db")).unwrap();
    let middle = "number = (SELECT max(number) - 1 FROM blocks)";
    assert_eq!(file.execute(&format!("UPDATE blocks SET body = x'00' WHERE {middle}"), []).unwrap(), 1);
    drop(file);
    for _ in 0..2 {
        let (mut process, _) = Process::start(path);
        tokio::time::sleep(Duration::from_millis(500)).await;
        process.signal("-TERM");
        assert_eq!(process.0.wait().unwrap().code(), Some(0));
    }
    let key = Key::load(&path.join("state/key")).unwrap().unwrap();
    let journal = Journal::read_only(&path.join("state/watchbell.db"), &key).unwrap();
    let gaps = journal.gaps(100).unwrap();
    let lost: Vec<_> = gaps.iter().filter(|gap| gap.reason == "lost").collect();
    assert_eq!(lost.len(), 1, "{gaps:?}");
    assert!(lost[0].source == "journal" && lost[0].from < lost[0].to, "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_while_it_reads_back_it_stops_and_reads_all_of_it_the_next_time() {
    let directory = directory();
    let path = directory.path();
    append(&path.join("app.jsonl"), &failures("before", 1));
    let (mut process, address) = Process::start(path);
    let counted = "watchbell_lines_total{source=\"app\"}";
    let mut written = 0;
    while written < 40_000 {
        append(&path.join("app.jsonl"), &failures("ann", 4_000));
        written += 4_000;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while crate::service::metric(&address, counted).await != Some(f64::from(written)) {
            assert!(tokio::time::Instant::now() < deadline, "they must be counted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    process.kill();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["run", "--config"])
        .arg(config_of(path))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // As soon as there is somebody to hear it: the key is read before the journal.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let asked = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    if !said.contains("asked to stop while the journal was read back") {
        println!("skipped: this machine had read 40,000 lines back in 0.4 s");
    }
    let (mut process, _) = Process::start(path);
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    let alerts = alerts(path);
    let of_ann: Vec<&Value> = alerts.iter().filter(|alert| alert["subject"]["user.name"] == "ann").collect();
    assert_eq!(of_ann.len(), 1, "{alerts:#?}");
    assert_eq!(of_ann[0]["observed"], 40_000);
}
