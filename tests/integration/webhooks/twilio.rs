//! WhatsApp by way of Twilio.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::*;

const TWILIO: &str =
    "\n[twilio]\nauth_tokens_file = 'DIR/other'\npublic_url = 'https://hooks.example.com/webhooks/twilio'\n";
const URL: &str = "https://hooks.example.com/webhooks/twilio";

fn sign(message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, OLD_SECRET.as_bytes());
    STANDARD.encode(hmac::sign(&key, message.as_bytes()).as_ref())
}

async fn deliver(server: &Server, query: &str, signature: &str, body: &[u8]) -> u16 {
    let headers = [("X-Twilio-Signature", signature), ("Content-Type", "application/x-www-form-urlencoded")];
    server.ask("POST", &format!("/webhooks/twilio{query}"), &headers, body).await.status
}

#[tokio::test]
async fn forms_are_signed_with_the_address_that_the_world_knows() {
    let server = start(Setup { webhooks: TWILIO.to_owned(), ..Setup::default() }).await;
    let form = "To=whatsapp%3A%2B31612345678&From=whatsapp%3A%2B14123456789&MessageStatus=delivered\
                &MessageSid=SMdf55df64a2ff4920bb0748193cfbb640&AccountSid=AC1a03647d811fab342c0ad608e382fab2";
    let fields = "AccountSidAC1a03647d811fab342c0ad608e382fab2Fromwhatsapp:+14123456789\
                  MessageSidSMdf55df64a2ff4920bb0748193cfbb640MessageStatusdeliveredTowhatsapp:+31612345678";
    let with_port = "https://hooks.example.com:443/webhooks/twilio";
    for (query, message, code) in [
        ("", format!("{URL}{fields}"), 200),
        ("", format!("{with_port}{fields}"), 200),
        ("?a=1&b=%20", format!("{URL}?a=1&b=%20{fields}"), 200),
        ("?a=2", format!("{URL}?a=1{fields}"), 401),
        ("", format!("http://hooks.example.com/webhooks/twilio{fields}"), 401),
        ("", URL.to_owned(), 401),
    ] {
        assert_eq!(deliver(&server, query, &sign(&message), form.as_bytes()).await, code, "{message}");
    }
    assert_eq!(deliver(&server, "", "sha1", form.as_bytes()).await, 401);
    let lines = server.stored().await;
    let (told, refused): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["event.action"] == "message_delivered");
    // It came three times.
    assert_eq!((told.len(), refused.len()), (1, 4), "{lines:?}");
    assert_eq!(told[0]["http.webhook.secret"], "1");
    assert!(refused.iter().all(|line| line["event.provider"] == "twilio"));
    assert_eq!(server.outcome("twilio", "stored"), 3.0);
}

#[tokio::test]
async fn json_is_signed_by_its_hash_and_other_channels_are_only_counted() {
    let server = start(Setup { webhooks: TWILIO.to_owned(), ..Setup::default() }).await;
    let body =
        r#"{"From":"whatsapp:+14123456789","To":"whatsapp:+31612345678","MessageSid":"SM1","Body":"hello"}"#;
    let hash = hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    let query = format!("?bodySHA256={hash}");
    let signature = sign(&format!("{URL}{query}"));
    assert_eq!(deliver(&server, &query, &signature, body.as_bytes()).await, 200);
    assert_eq!(deliver(&server, &query, &signature, body.replace("hello", "hallo").as_bytes()).await, 401);
    let list = hex(digest::digest(&digest::SHA256, b"[]").as_ref());
    let query = format!("?bodySHA256={list}");
    assert_eq!(deliver(&server, &query, &sign(&format!("{URL}{query}")), b"[]").await, 200);
    assert_eq!(server.letters(), [("twilio".to_owned(), "not a JSON object".to_owned(), "[]".to_owned())]);
    let sms = sign(&format!("{URL}From+14123456789MessageSidSM2"));
    assert_eq!(deliver(&server, "", &sms, b"From=%2B14123456789&MessageSid=SM2").await, 200);
    let name = "watchbell_webhook_unreadable_total{reason=\"other_channel\",source=\"twilio\"}";
    assert_eq!(
        (server.count(name), server.outcome("twilio", "empty"), server.letters().len()),
        (1.0, 1.0, 1)
    );
    let told = server.told("event.action").await;
    assert_eq!(told, ["message_received", "signature_rejected"]);
}
