//! Updates of the WhatsApp Business Platform.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use watchbell::journal::Limits;
use watchbell::serve::auth::Token;

use super::*;

const EMPTY: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;
const PATH: &str = "/webhooks/whatsapp";
const HEADER: &str = "X-Hub-Signature-256";

#[tokio::test]
async fn what_is_signed_is_stored_before_it_is_answered() {
    let server = start(Setup::default()).await;
    for (secret, ids) in [(APP_SECRET, ["wamid.A", "wamid.B"]), (OLD_SECRET, ["wamid.C", "wamid.D"])] {
        let answer = server.deliver_with(secret, &messages(ids)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        // It is on disk now, and not some time later.
        let last = server.writer.counts().last_block;
        assert!(server.journal.read_after(last - 1).unwrap().any(|block| block.is_ok()));
    }
    let lines = server.stored().await;
    let names: Vec<&Value> = lines.iter().map(|line| &line["http.webhook.secret"]).collect();
    assert_eq!(names, ["new", "new", "old", "old"]);
    assert!(lines.iter().all(|line| line["event.action"] == "message_received"), "{lines:?}");
    let text = json!(lines).to_string();
    assert!(!text.contains("16315551181") && !text.contains("wamid") && !text.contains("hello"), "{text}");
    assert_eq!(server.outcome("whatsapp", "stored"), 2.0);
    assert_eq!(server.count("watchbell_webhook_lines_total{source=\"whatsapp\"}"), 4.0);
    for secret in ["new", "old"] {
        let name = "watchbell_webhook_signatures_total";
        assert_eq!(server.count(&format!("{name}{{secret=\"{secret}\",source=\"whatsapp\"}}")), 1.0);
    }
    assert_eq!(server.count("watchbell_webhook_seconds_count{source=\"whatsapp\"}"), 2.0);
}

#[tokio::test]
async fn every_signature_that_is_refused_gets_the_same_answer() {
    let server = start(Setup::default()).await;
    let body = messages(["wamid.A"]);
    let good = signature(APP_SECRET, &body);
    let sha1 = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, APP_SECRET.as_bytes()), &body);
    let sha1 = format!("sha1={}", hex(sha1.as_ref()));
    let (forged, short) = (signature("another secret of someone", &body), good[..good.len() - 2].to_owned());
    let other_body = signature(APP_SECRET, EMPTY.as_bytes());
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("signature_missing", &[]),
        ("signature_missing", &[("X-Hub-Signature", &sha1)]),
        ("signature_malformed", &[(HEADER, &sha1)]),
        ("signature_malformed", &[(HEADER, &short)]),
        ("signature_malformed", &[(HEADER, "")]),
        ("signature_malformed", &[(HEADER, &good), (HEADER, &good)]),
        ("signature_rejected", &[(HEADER, &forged)]),
        ("signature_rejected", &[(HEADER, &other_body)]),
    ];
    let mut answers = Vec::new();
    for (outcome, headers) in cases {
        let before = server.outcome("whatsapp", outcome);
        let mut answer = server.ask("POST", PATH, headers, &body).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(server.outcome("whatsapp", outcome), before + 1.0, "{headers:?}");
        answer.headers.remove("date");
        answers.push((answer.headers, answer.body));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Each is an event, and nothing of the body is kept.
    let lines = server.stored().await;
    assert_eq!(lines.len(), cases.len());
    for (line, (outcome, _)) in lines.iter().zip(cases) {
        let action = if outcome == "signature_missing" { outcome } else { "signature_rejected" };
        assert_eq!(line["event.action"], action);
        let told = (&line["event.module"], &line["event.category"], &line["source.ip"]);
        assert_eq!(told, (&json!("whatsapp"), &json!("webhook"), &json!("127.0.0.1")));
    }
}

#[tokio::test]
async fn nothing_to_store_is_answered_at_once_and_what_cannot_be_read_is_kept() {
    let server = start(Setup::default()).await;
    assert_eq!(server.deliver(EMPTY.as_bytes()).await.status, 200);
    assert_eq!(server.outcome("whatsapp", "empty"), 1.0);
    let bodies: [(&[u8], &str, &str); 4] = [
        (b"{\"object\"", "not_json", "not JSON at line 1"),
        (b"[1]", "not_object", "not a JSON object"),
        (b"{\"object\":\"page\",\"entry\":[]}", "other_object", "about the object \"page\""),
        (b"\xff", "not_utf8", "not UTF-8 from byte 0"),
    ];
    for (body, reason, _) in bodies {
        let answer = server.deliver(body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{reason}");
        let name = "watchbell_webhook_unreadable_total";
        assert_eq!(server.count(&format!("{name}{{reason=\"{reason}\",source=\"whatsapp\"}}")), 1.0);
    }
    assert_eq!(server.outcome("whatsapp", "unreadable"), 4.0);
    assert_eq!(server.stored().await.len(), 0);
    let letters = server.letters();
    assert_eq!(letters.len(), bodies.len());
    for ((source, reason, text), (body, _, expected)) in letters.iter().zip(bodies) {
        assert_eq!(source, "whatsapp");
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(*text, String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn what_stands_beside_something_unreadable_is_stored_and_what_is_new_is_counted() {
    let server = start(Setup::default()).await;
    let body = update(&json!([
        {"field": "messages", "value": {"metadata": {"phone_number_id": "1"}, "messages": "none"}},
        {"field": "no_value"},
        {"field": "brand_new", "value": {"secret": "never kept"}},
        {"field": "security", "value": {"event": "PIN_CHANGED", "display_phone_number": "15550783881"}},
    ]));
    assert_eq!(server.deliver(&body).await.status, 200);
    let lines = server.stored().await;
    let actions: Vec<&Value> = lines.iter().map(|line| &line["event.action"]).collect();
    assert_eq!(actions, ["unknown_field", "pin_changed"]);
    assert_eq!(server.count("watchbell_webhook_unknown_names_total{kind=\"field\"}"), 1.0);
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].1.contains("no_value at 0/1/-"), "{letters:?}");
    assert!(letters[0].2.contains("no_value") && !letters[0].2.contains("PIN_CHANGED"), "{letters:?}");
    assert_eq!(server.outcome("whatsapp", "stored"), 1.0);
}

#[tokio::test]
async fn a_delivery_has_three_mebibytes_whatever_it_says() {
    let server = start(Setup::default()).await;
    let max = 3 << 20;
    let mut body = messages(["wamid.A"]);
    body.resize(max, b' ');
    assert_eq!(server.deliver(&body).await.status, 200);
    body.push(b' ');
    let said = server.deliver(&body).await;
    // In chunks, of which nobody says how many there will be.
    let signature = signature(APP_SECRET, &body);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         {HEADER}: {signature}\r\n\r\n"
    );
    let chunked = |body: &[u8]| {
        let mut request = head.clone().into_bytes();
        for chunk in body.chunks(100_000) {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request
    };
    let streamed = server.send(&chunked(&body)).await;
    assert_eq!((said.status, streamed.status), (413, 413));
    assert_eq!(said.headers["content-type"], "application/problem+json");
    assert_eq!(server.outcome("whatsapp", "too_large"), 2.0);
    assert_eq!(server.stored().await.len(), 1);
}

#[tokio::test]
async fn what_comes_again_in_other_batches_is_not_stored_twice() {
    let server = start(Setup::default()).await;
    let ids: Vec<String> = (0..1000).map(|number| format!("wamid.{number}")).collect();
    let batch = |ids: &[String]| messages(ids.iter().map(String::as_str));
    assert_eq!(server.deliver(&batch(&ids)).await.status, 200);
    let mut mixed: Vec<String> = ids[300..700].iter().rev().cloned().collect();
    mixed.push("wamid.new".to_owned());
    for body in [batch(&ids[..2]), batch(&mixed), batch(&mixed)] {
        let answer = server.deliver_with(OLD_SECRET, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    }
    let mut told = server.told("whatsapp.message.id").await;
    assert_eq!(told.len(), 1001);
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 1001);
    let duplicates = server.count("watchbell_webhook_duplicate_lines_total{source=\"whatsapp\"}");
    assert_eq!(duplicates, 2.0 + 400.0 + 401.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_told_and_nothing_of_it_is_counted() {
    let gate = Arc::new(Mutex::new(()));
    let limits = Limits { queue_records: 1, ..Limits::default() };
    let server = start(Setup { limits, gate: Arc::clone(&gate), ..Setup::default() }).await;
    let held = gate.lock().await;
    // The first is stored and the thread hangs on handing it on; of the rest one waits in the queue.
    assert_eq!(server.deliver(&messages(["wamid.0"])).await.status, 200);
    let bodies: Vec<Vec<u8>> = (1..=4).map(|number| messages([format!("wamid.{number}").as_str()])).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| server.deliver(body))).await;
    for answer in &answers {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.headers["retry-after"].parse::<u32>().unwrap() >= 1);
    }
    assert_eq!((server.outcome("whatsapp", "full"), server.outcome("whatsapp", "failed")), (3.0, 1.0));
    assert_eq!(server.count("watchbell_webhook_lines_total{source=\"whatsapp\"}"), 1.0);
    drop(held);
    // It comes again, and the one whose fate was not known is known.
    for body in &bodies {
        // Until the thread has taken what waits, there is no room.
        while server.deliver(body).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    assert_eq!(server.told("whatsapp.message.id").await.len(), 5);
    assert_eq!(server.count("watchbell_webhook_duplicate_lines_total{source=\"whatsapp\"}"), 1.0);
}

#[tokio::test]
async fn while_the_service_is_not_ready_and_after_the_journal_is_closed_it_has_to_come_again() {
    let server = start(Setup::default()).await;
    let body = messages(["wamid.A"]);
    server.readiness.wait_for("journal", "it is read back");
    let starting = server.deliver(&body).await;
    server.readiness.done("journal");
    server.writer.close();
    let closed = server.deliver(&body).await;
    let letter = server.deliver(b"{").await;
    for answer in [starting, closed] {
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
    }
    // What needs no record is still kept.
    assert_eq!(letter.status, 200);
    assert_eq!(server.outcome("whatsapp", "not_ready"), 2.0);
    assert_eq!(server.stored().await.len(), 0);
}

#[tokio::test]
async fn forgers_are_shut_out_and_nobody_else_is() {
    let server = start(Setup { webhooks: PROXIED.to_owned(), ..Setup::default() }).await;
    let body = messages(["wamid.A"]);
    let from = |address: &'static str, secret: &str, body: &[u8]| {
        let (signature, body) = (signature(secret, body), body.to_vec());
        let server = &server;
        async move {
            let headers = [("X-Forwarded-For", address), (HEADER, signature.as_str())];
            server.ask("POST", PATH, &headers, &body).await
        }
    };
    let (mut refused, mut limited) = (0, 0);
    for _ in 0..200 {
        match from("198.51.100.1, 203.0.113.7", "not the secret of anybody", &body).await.status {
            401 => refused += 1,
            429 => limited += 1,
            other => panic!("{other}"),
        }
    }
    assert!((50..150).contains(&refused) && limited > 50, "{refused} {limited}");
    assert_eq!(server.outcome("whatsapp", "limited"), f64::from(limited));
    // A good signature is not looked at, from there; from elsewhere it is, and what is not behind a proxy is never shut out.
    for _ in 0..20 {
        let _ = from("203.0.113.7", "not the secret of anybody", &body).await;
    }
    let blocked = from("203.0.113.7", APP_SECRET, &body).await;
    assert_eq!(blocked.status, 429);
    assert!(blocked.headers.contains_key("retry-after"));
    assert_eq!(from("203.0.113.8", APP_SECRET, &body).await.status, 200);
    for _ in 0..60 {
        assert_eq!(server.ask("POST", PATH, &[], b"").await.status, 401);
    }
    assert_eq!(server.deliver(&body).await.status, 200);
    // Not all of it became events.
    let told = server.told("source.ip").await;
    assert!(told.iter().any(|address| address == "203.0.113.7"), "whom the proxy speaks for");
    assert!(!told.iter().any(|address| address == "198.51.100.1"), "not what somebody claims");
    let untold = server.count("watchbell_webhook_untold_total");
    let all = ["signature_rejected", "signature_missing"].map(|outcome| server.outcome("whatsapp", outcome));
    assert_eq!(told.len() as f64 + untold, all.iter().sum::<f64>());
}

#[tokio::test]
async fn a_flood_becomes_fifty_events_a_second() {
    let server = start(Setup::default()).await;
    let started = std::time::Instant::now();
    let asks = (0..300).map(|_| server.ask("POST", PATH, &[], b""));
    futures_util::future::join_all(asks).await;
    let most = 50 + (started.elapsed().as_secs_f64() * 50.0) as usize + 1;
    let told = server.told("event.action").await.len();
    assert!((50..=most).contains(&told), "{told}");
    assert_eq!(server.count("watchbell_webhook_untold_total"), 300.0 - told as f64);
    // Whoever knows the token is told of all the same.
    let answer = server.ask("GET", &handshake::path("subscribe", VERIFY_TOKEN, "1"), &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(server.told("event.action").await.contains(&"handshake_accepted".to_owned()));
}

#[tokio::test]
async fn the_signature_is_the_only_authentication_and_the_rest_needs_the_token() {
    let server = start(Setup {
        configure: Box::new(|config| config.token = Some(Token::new("0123456789abcdef0123").unwrap())),
        ..Setup::default()
    })
    .await;
    assert_eq!(server.deliver(EMPTY.as_bytes()).await.status, 200);
    assert_eq!(server.ask("GET", "/metrics", &[], b"").await.status, 401);
    // Without a token, names of others are refused, but not there.
    let server = start(Setup::default()).await;
    assert_eq!(server.deliver(EMPTY.as_bytes()).await.status, 200);
    assert_eq!(server.ask("GET", "/metrics", &[], b"").await.status, 403);
    assert_eq!(server.ask("PUT", PATH, &[], b"").await.status, 405);
}

#[tokio::test]
async fn deliveries_have_a_limit_of_their_own() {
    let server = start(Setup {
        configure: Box::new(|config| {
            let one = std::num::NonZeroU32::MIN;
            let burst = one.saturating_add(2);
            config.limits.webhooks = watchbell::serve::limits::Rate { per_second: one, burst };
        }),
        ..Setup::default()
    })
    .await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(server.deliver(EMPTY.as_bytes()).await.status);
    }
    assert_eq!(codes, [200, 200, 200, 429]);
    assert_eq!(server.count("watchbell_http_rate_limited_total{endpoint=\"webhooks_whatsapp\"}"), 1.0);
}
