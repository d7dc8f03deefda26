//! What is derived from messaging: messages that nobody registered as sent, a limit that is nearly used up, numbers that
//! are new. The whole program, with its own rules.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::{Process, config, config_of, directory, metric};
use crate::webhooks;

const SECRET: &str = "of-the-application-and-nobody-else";

/// The program, with its own rules and what is known of messaging.
fn start(directory: &Path, messaging: &str) -> (Process, String) {
    std::fs::write(directory.join("secrets"), SECRET).unwrap();
    let more = format!(
        "webhooks.whatsapp = {{ app_secrets_file = '{}/secrets' }}\nmessaging = {{ {messaging} }}\n",
        directory.display()
    );
    let config = config(directory, &more).replace("builtin = false", "builtin = true");
    std::fs::write(config_of(directory), config).unwrap();
    Process::start(directory)
}

fn now() -> i64 {
    watchbell::intake::now().as_micros() / 1_000_000
}

/// The status of a message to a user, of a number.
fn status(id: &str, user: usize, number: &str) -> Vec<u8> {
    webhooks::update(&json!([{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "statuses": [{
            "id": format!("wamid.{id}"), "status": "sent", "timestamp": now().to_string(),
            "recipient_id": format!("1650555{user:04}"),
            "pricing": {"billable": true, "pricing_model": "PMP", "category": "marketing", "type": "regular"},
        }],
    }}]))
}

async fn deliver(address: &str, body: &[u8]) {
    let signature = webhooks::signature(SECRET, body);
    let request =
        webhooks::request("POST", "/webhooks/whatsapp", &[("X-Hub-Signature-256", &signature)], body);
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let answer = webhooks::exchange(socket, &request).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// Registers sends; gives the status and the body of the answer.
async fn register(address: &str, kind: &str, body: &str) -> (u16, Value) {
    let request = webhooks::request("POST", "/v1/sends", &[("Content-Type", kind)], body.as_bytes());
    let request = String::from_utf8(request).unwrap().replace("hooks.example.com", address);
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let answer = webhooks::Answer::parse(webhooks::exchange(socket, request.as_bytes()).await).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

async fn becomes(address: &str, series: &str, wanted: f64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = metric(address, series).await;
        if found == Some(wanted) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{series} is {found:?}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const OPENED: &str = "watchbell_alerts_opened_total{rule=\"whatsapp_message_orphaned\",severity=\"high\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_registered_is_an_alert_once_and_after_a_restart_no_second_one() {
    let directory = directory();
    let (mut process, address) = start(directory.path(), "registration_grace_seconds = 2");
    let of = |id: &str| json!({"message_id": format!("wamid.{id}"), "phone_number_id": "1065"});
    // Nothing is judged before anything is registered.
    deliver(&address, &status("BEFORE", 1, "1065")).await;
    let (code, answer) = register(&address, "application/json", &of("FIRST").to_string()).await;
    assert_eq!((code, &answer["registered"], &answer["known"]), (200, &json!(1), &json!(0)), "{answer}");
    tokio::time::sleep(Duration::from_secs(3)).await;

    deliver(&address, &status("OURS", 2, "1065")).await;
    deliver(&address, &status("LATE", 3, "1065")).await;
    deliver(&address, &status("THEIRS", 4, "1065")).await;
    deliver(&address, &status("OTHERS", 5, "2000")).await;
    let lines = format!("{}\n{}\n\n{}\n", of("OURS"), of("LATE"), of("FIRST"));
    let (code, answer) = register(&address, "application/x-ndjson", &lines).await;
    assert_eq!((code, &answer["registered"], &answer["known"]), (200, &json!(2), &json!(1)), "{answer}");
    becomes(&address, "watchbell_messages_orphaned_total", 1.0).await;
    becomes(&address, OPENED, 1.0).await;
    becomes(&address, "watchbell_facts_total{action=\"message_orphaned\"}", 1.0).await;
    becomes(&address, "watchbell_sends_remembered", 3.0).await;
    becomes(&address, "watchbell_sends_late_total", 2.0).await;
    let said = process.said().join("\n");
    assert!(said.contains("subject=whatsapp.number=1065") || said.contains("1065"), "{said}");
    process.kill();

    let (process, address) = Process::start(directory.path());
    becomes(&address, "watchbell_sends_remembered", 3.0).await;
    deliver(&address, &status("THEIRS", 4, "1065")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(metric(&address, OPENED).await, Some(0.0), "{:#?}", process.said());
    assert_eq!(metric(&address, "watchbell_alerts_open{severity=\"high\"}").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_that_cannot_be_read_are_told_by_their_place() {
    let directory = directory();
    let (_process, address) = start(directory.path(), "");
    let (code, answer) = register(
        &address,
        "application/json",
        r#"[{"message_id": "wamid.A"}, {"id": "wamid.B"}, 7, {"message_id": "wamid.A"}]"#,
    )
    .await;
    assert_eq!((code, &answer["registered"], &answer["known"]), (200, &json!(1), &json!(1)), "{answer}");
    assert_eq!(answer["failures"], 2);
    assert_eq!(answer["failed"][0], json!({"item": 1, "reason": "no_value"}));
    assert_eq!(answer["failed"][1]["item"], 2);
    for body in ["nonsense", "[1, 2", r#"{"id": 1}"#] {
        let (code, answer) = register(&address, "application/json", body).await;
        assert_eq!(code, 400, "{body}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains("message_id"), "{answer}");
    }
    let (code, _) = register(&address, "image/png", "").await;
    assert_eq!(code, 415);
    assert_eq!(
        metric(&address, "watchbell_http_requests_total{code=\"200\",endpoint=\"sends\"}").await,
        Some(1.0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_nearly_used_up_and_a_number_that_nobody_knows_are_alerts() {
    let directory = directory();
    let known = "limit = 10, known = ['102290129340398', '1065']";
    let (_process, address) = start(directory.path(), known);
    for user in 0..7 {
        deliver(&address, &status(&format!("N{user}"), user, "1065")).await;
    }
    becomes(&address, "watchbell_messaging_limit_used_ratio", 0.7).await;
    becomes(&address, "watchbell_messaging_limit_recipients", 7.0).await;
    deliver(&address, &status("AGAIN", 1, "1065")).await;
    deliver(&address, &status("N8", 8, "1065")).await;
    let opened = |rule: &str, severity: &str| {
        format!("watchbell_alerts_opened_total{{rule=\"{rule}\",severity=\"{severity}\"}}")
    };
    becomes(&address, &opened("whatsapp_headroom_low", "medium"), 1.0).await;
    becomes(&address, "watchbell_messaging_limit_used_ratio", 0.8).await;
    assert_eq!(metric(&address, &opened("whatsapp_number_new", "medium")).await, Some(0.0));
    deliver(&address, &status("X", 1, "666")).await;
    becomes(&address, &opened("whatsapp_number_new", "medium"), 1.0).await;
}
