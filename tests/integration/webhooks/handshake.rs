//! The handshake with which the platform asks whose address this is.

use super::*;

pub fn path(mode: &str, token: &str, challenge: &str) -> String {
    format!("/webhooks/whatsapp?hub.mode={mode}&hub.challenge={challenge}&hub.verify_token={token}")
}

#[tokio::test]
async fn the_challenge_comes_back_as_it_is() {
    let server = start(Setup::default()).await;
    let long = "x".repeat(1 << 10);
    for (sent, expected) in [
        ("1158201444", "1158201444"),
        ("%22%3Cscript%3E%26", "\"<script>&"),
        ("a+b%2Bc", "a b+c"),
        (long.as_str(), long.as_str()),
    ] {
        let answer = server.ask("GET", &path("subscribe", VERIFY_TOKEN, sent), &[], b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected));
        assert_eq!(answer.headers["content-type"], "text/plain");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    assert_eq!(server.count("watchbell_webhook_handshakes_total{outcome=\"accepted\"}"), 4.0);
    let lines = server.stored().await;
    assert_eq!(lines.len(), 4);
    for line in lines {
        assert_eq!(line["event.action"], "handshake_accepted");
        assert_eq!((&line["event.outcome"], &line["source.ip"]), (&"success".into(), &"127.0.0.1".into()));
        assert_eq!(line["event.category"], "webhook");
    }
}

#[tokio::test]
async fn any_other_handshake_is_refused_and_told() {
    let server = start(Setup::default()).await;
    let long = "x".repeat((1 << 10) + 1);
    let twice = format!("{}&hub.challenge=2", path("subscribe", VERIFY_TOKEN, "1"));
    let upper = VERIFY_TOKEN.to_uppercase();
    let asked = [
        "/webhooks/whatsapp".to_owned(),
        "/webhooks/whatsapp?hub.mode=subscribe&hub.challenge=1".to_owned(),
        format!("/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        format!("/webhooks/whatsapp?hub_mode=subscribe&hub_challenge=1&hub_verify_token={VERIFY_TOKEN}"),
        path("unsubscribe", VERIFY_TOKEN, "1"),
        path("subscribe", "", "1"),
        path("subscribe", &upper, "1"),
        path("subscribe", APP_SECRET, "1"),
        path("subscribe", VERIFY_TOKEN, ""),
        path("subscribe", VERIFY_TOKEN, &long),
        twice,
    ];
    for path in &asked {
        let answer = server.ask("GET", path, &[], b"").await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(!answer.body.contains(VERIFY_TOKEN));
    }
    let told = server.told("event.action").await;
    assert_eq!(told, vec!["handshake_refused"; asked.len()]);
    assert_eq!(server.count("watchbell_webhook_handshakes_total{outcome=\"refused\"}"), asked.len() as f64);
}

#[tokio::test]
async fn whoever_guesses_tokens_is_shut_out() {
    let server = start(Setup { webhooks: PROXIED.to_owned(), ..Setup::default() }).await;
    let guesser = [("X-Forwarded-For", "203.0.113.7")];
    let mut codes = Vec::new();
    for number in 0..100 {
        let guess = path("subscribe", &format!("guess-number-{number}"), "1");
        codes.push(server.ask("GET", &guess, &guesser, b"").await.status);
    }
    assert!(codes[..50].iter().all(|code| *code == 403) && codes[50..].contains(&429), "{codes:?}");
    let right = path("subscribe", VERIFY_TOKEN, "1");
    assert_eq!(server.ask("GET", &right, &[("X-Forwarded-For", "203.0.113.8")], b"").await.status, 200);
}
