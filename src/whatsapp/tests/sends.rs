//! What the business registers as sent.

use super::super::{LINES_LIMIT, Reason, Unreadable, Update, sends};
use super::{RECEIVED, context, pseudonyms};
use crate::pseudonym::Kind;

fn read(body: &str) -> Result<Update, Unreadable> {
    sends::read(body.as_bytes(), RECEIVED, &context())
}

fn lines(body: &str) -> Vec<serde_json::Value> {
    let update = read(body).unwrap();
    let lines: Vec<_> = update.lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), update.keys.len(), "a key for each line");
    lines
}

#[test]
fn a_send_becomes_a_line_with_the_pseudonym_that_statuses_have() {
    let body = r#"{"message_id": "wamid.HBgL", "phone_number_id": 106540352242922, "waba_id": "1022",
        "at": "2026-11-24T11:59:58.5Z"}"#;
    let expected = serde_json::json!({
        "@timestamp": "2026-11-24T11:59:58Z",
        "event.module": "whatsapp",
        "event.dataset": "whatsapp.sends",
        "event.category": "messaging",
        "event.action": "message_registered",
        "whatsapp.waba.id": "1022",
        "whatsapp.phone_number.id": "106540352242922",
        "whatsapp.number": "106540352242922",
        "whatsapp.direction": "outbound",
        "whatsapp.message.id": pseudonyms().of(Kind::Message, "wamid.HBgL"),
    });
    assert_eq!(lines(body), [expected]);
    let status = r#"{"object": "whatsapp_business_account", "entry": [{"id": "1022", "changes": [{"field": "messages",
        "value": {"statuses": [{"id": "wamid.HBgL", "status": "sent"}]}}]}]}"#;
    let status: serde_json::Value = serde_json::from_str(super::read(status).unwrap().lines.trim()).unwrap();
    assert_eq!(status["whatsapp.message.id"], lines(body)[0]["whatsapp.message.id"]);
}

#[test]
fn times_are_read_as_they_are_written_and_what_cannot_be_is_now() {
    for (at, expected) in [
        ("1795521540", "2026-11-24T11:59:00Z"),
        ("\"1795521540\"", "2026-11-24T11:59:00Z"),
        ("1795521540000", "2026-11-24T11:59:00Z"),
        ("\"2026-11-24T12:59:00+01:00\"", "2026-11-24T11:59:00Z"),
        ("\"yesterday\"", "2026-11-24T12:00:00Z"),
        ("\"2099-01-01T00:00:00Z\"", "2026-11-24T12:00:00Z"),
        ("null", "2026-11-24T12:00:00Z"),
        ("{}", "2026-11-24T12:00:00Z"),
    ] {
        let body = format!(r#"{{"message_id": "wamid.A", "at": {at}}}"#);
        assert_eq!(lines(&body)[0]["@timestamp"], expected, "{at}");
    }
}

#[test]
fn sends_come_one_by_one_in_an_array_or_one_a_line() {
    let one = r#"{"message_id": "wamid.A"}"#;
    let other = r#"{"message_id": "wamid.B"}"#;
    for (body, expected) in [
        (String::new(), 0),
        ("[]".to_owned(), 0),
        (one.to_owned(), 1),
        (format!("[{one},\n{other}]"), 2),
        (format!("{one}\r\n\n {other}\n"), 2),
        (format!("{one}\n{other}\n{one}"), 3),
    ] {
        assert_eq!(lines(&body).len(), expected, "{body}");
    }
    let keys = read(&format!("{one}\n{other}\n{one}")).unwrap().keys;
    assert!(keys[0] == keys[2] && keys[0] != keys[1], "{keys:?}");
}

#[test]
fn what_cannot_be_read_is_reported_and_costs_nothing_else() {
    let good = r#"{"message_id": "wamid.A"}"#;
    let body = format!(
        "{good}\n{{\"message_id\": \n7\n[1]\n{{\"phone_number_id\": \"1\"}}\n{{\"message_id\": []}}\n{good}"
    );
    let update = read(&body).unwrap();
    let failed: Vec<_> = update.failed.iter().map(|failure| (failure.place.item, failure.reason)).collect();
    let expected = [
        (Some(1), Reason::Unreadable),
        (Some(2), Reason::BadShape),
        (Some(3), Reason::BadShape),
        (Some(4), Reason::NoValue),
        (Some(5), Reason::NoValue),
    ];
    assert_eq!((update.keys.len(), failed.as_slice()), (2, expected.as_slice()));
    assert_eq!(&body[update.failed[1].text.clone()], "7");

    assert_eq!(read("[{]"), Err(Unreadable::NotJson(1, 3)));
    assert_eq!(sends::read(b"a\xff", RECEIVED, &context()), Err(Unreadable::NotUtf8(1)));
}

#[test]
fn neither_a_number_in_an_id_nor_a_line_feed_gets_through() {
    let body = r#"{"message_id": "wamid.\n\"16505551234", "phone_number_id": "1\n\"", "waba_id": "49 170"}"#;
    let update = read(body).unwrap();
    assert_eq!(update.lines.lines().count(), 1);
    assert!(!update.lines.contains("16505551234") && !update.lines.contains("49 170"), "{}", update.lines);
}

#[test]
fn what_is_too_much_is_counted() {
    let body: String = (0..LINES_LIMIT + 7).map(|n| format!("{{\"message_id\": \"wamid.{n}\"}}\n")).collect();
    let update = read(&body).unwrap();
    assert_eq!((update.keys.len(), update.failures[Reason::TooMany as usize]), (LINES_LIMIT, 7));
}

#[test]
fn a_gateway_logs_what_was_asked_and_what_was_answered() {
    let ids = |body: &str| -> Vec<[serde_json::Value; 2]> {
        let lines = lines(body);
        lines
            .into_iter()
            .map(|line| ["whatsapp.message.id", "whatsapp.number"].map(|key| line[key].clone()))
            .collect()
    };
    let of = |id: &str| serde_json::Value::from(pseudonyms().of(Kind::Message, id));
    let answer = r#"{"messaging_product": "whatsapp", "contacts": [{"input": "+1650", "wa_id": "1650"}],
        "messages": [{"id": "wamid.A", "message_status": "accepted"}, {"id": "wamid.B"}], "phone_number_id": "1065"}"#;
    assert_eq!(ids(answer), [[of("wamid.A"), "1065".into()], [of("wamid.B"), "1065".into()]]);
    for (url, number) in [
        ("https://graph.facebook.com/v23.0/1065/messages", Some("1065")),
        ("/v23.0/1065/messages?access_token=x", Some("1065")),
        ("/1065/messages", Some("1065")),
        ("/v23.0/1065/media", None),
        ("/v23.0/me/messages", None),
        ("", None),
    ] {
        let line = format!(r#"{{"time": 1795521540, "uri": "{url}", "wamid": "wamid.A", "status": 200}}"#);
        assert_eq!(ids(&line), [[of("wamid.A"), number.into()]], "{url}");
    }
}
