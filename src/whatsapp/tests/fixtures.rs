//! Bodies under `tests/data/whatsapp/`, each with the lines that it becomes beside it.
//!
//! With `WATCHBELL_BLESS=1` in the environment the lines are written instead of compared, to be read in the diff.

use std::path::PathBuf;

use super::super::{LINES_LIMIT, Reason, Unreadable};
use super::{read, told};

/// The bodies, by name.
pub(super) fn bodies() -> Vec<(PathBuf, String)> {
    let mut bodies: Vec<_> = std::fs::read_dir("tests/data/whatsapp")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    bodies.sort();
    assert!(bodies.len() > 8, "the fixtures are there");
    bodies
}

#[test]
fn a_body_becomes_the_lines_beside_it() {
    let is_blessed = std::env::var_os("WATCHBELL_BLESS").is_some();
    for (path, body) in bodies() {
        let expected = path.with_extension("jsonl");
        let told = told(&body);
        if is_blessed {
            std::fs::write(&expected, &told).unwrap();
        }
        let expected = std::fs::read_to_string(expected).unwrap_or_default();
        for (at, (line, expected)) in told.lines().zip(expected.lines()).enumerate() {
            assert_eq!(line, expected, "{}, line {}", path.display(), at + 1);
        }
        assert_eq!(told.lines().count(), expected.lines().count(), "{}", path.display());
    }
}

#[test]
fn every_line_is_a_flat_object_without_nulls() {
    for (path, body) in bodies() {
        for line in read(&body).unwrap().lines.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let object = value.as_object().unwrap();
            let is_flat = object.values().all(|value| match value {
                serde_json::Value::Array(values) => {
                    !values.is_empty() && values.iter().all(|v| v.is_string() || v.is_i64())
                }
                value => !value.is_object() && !value.is_null(),
            });
            assert!(is_flat && object.len() >= 5, "{}: {line}", path.display());
            let keys = line.matches("\":").count();
            assert!(keys >= object.len(), "no key twice in {line}");
        }
    }
}

#[test]
fn a_body_that_says_nothing_says_why() {
    for (body, expected) in [
        (&b""[..], Unreadable::NotJson(1, 0)),
        (b"hello", Unreadable::NotJson(1, 1)),
        (b"{\"object\":\"whatsapp_business_account\",\"entry\":[", Unreadable::NotJson(1, 47)),
        (b"{\"object\":\"whatsapp_business_account\",\"entry\":[]} x", Unreadable::NotJson(1, 51)),
        (b"[1]", Unreadable::NotObject),
        (b"\"{}\"", Unreadable::NotObject),
        (b"{\"a\":\"\xff\"}", Unreadable::NotUtf8(6)),
        (b"{}", Unreadable::NoObject),
        (b"{\"object\":null,\"entry\":[]}", Unreadable::NoObject),
        (b"{\"event\":\"message\",\"device_id\":\"1@s.whatsapp.net\"}", Unreadable::NoObject),
        (b"{\"object\":\"page\",\"entry\":[]}", Unreadable::OtherObject("page".to_owned())),
    ] {
        let got = super::super::read(body, super::RECEIVED, &super::context());
        assert_eq!(got, Err(expected), "{}", String::from_utf8_lossy(body));
    }
    let long = read(&format!("{{\"object\":\"{}\"}}", "ä".repeat(100)));
    assert_eq!(long, Err(Unreadable::OtherObject("?".to_owned())), "what may be a name is not told");
}

#[test]
fn what_is_beyond_the_bounds_is_counted() {
    let body = |message: &str, count: usize| {
        let messages = vec![message; count].join(",");
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messages":[{messages}]}}}}]}}]}}"#
        )
    };
    let update = read(&body(r#"{"id":"wamid.1","type":"text"}"#, LINES_LIMIT + 100)).unwrap();
    assert_eq!((update.keys.len(), update.lines.lines().count()), (LINES_LIMIT, LINES_LIMIT));
    assert_eq!(update.failures[Reason::TooMany as usize], 100);
    assert!(update.lines.ends_with("}\n"));

    // More than what may be held at once: read one by one.
    let update = read(&body("{}", 100_000)).unwrap();
    assert_eq!((update.keys.len(), update.failed.len()), (LINES_LIMIT, 64));
    assert_eq!(update.failures[Reason::TooMany as usize], 90_000);
    assert_eq!(update.failed[0].place.item, Some(LINES_LIMIT));

    let update = read(&body("[]", 5_000)).unwrap();
    assert_eq!(
        update.failures[Reason::BadShape as usize] + update.failures[Reason::Unreadable as usize],
        5_000
    );
    assert_eq!(update.failed.len(), 64);

    let types: Vec<String> = (0..500).map(|n| format!(r#"{{"id":"{n}","type":"type_{n}"}}"#)).collect();
    let update = read(&body(&types.join(","), 1)).unwrap();
    assert_eq!(update.unknown.len(), 64);
    assert_eq!(update.unknown.iter().map(|(_, count)| count).sum::<u64>(), 500, "none is uncounted");
    assert_eq!(update.unknown[63], ("other".to_owned(), 437));
}

#[test]
fn nesting_without_end_does_no_harm() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for field in ["messages", "security", "calls", "unheard_of", "history"] {
            for value in [
                deep.clone(),
                format!("{{\"messages\":[{{\"id\":\"1\",\"interactive\":{deep}}}],\"x\":{deep}}}"),
            ] {
                let body = format!(
                    r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{{"field":"{field}","value":{value}}},{{"field":"security","value":{{"event":"PIN_CHANGED"}}}}]}}]}}"#
                );
                let update = read(&body).unwrap();
                assert!(update.lines.contains("pin_changed"), "{field}: the neighbour is read");
            }
        }
    }
    let mut edit = r#"{"type":"text","text":{"body":"x"}}"#.to_owned();
    for _ in 0..1_000 {
        edit = format!(
            r#"{{"id":"wamid.1","type":"edit","edit":{{"original_message_id":"2","message":{edit}}}}}"#
        );
    }
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{edit}]}}}}]}}]}}"#
    );
    assert_eq!(read(&body).unwrap().keys.len(), 1);
}

#[test]
fn a_number_has_one_name_as_soon_as_both_were_seen_together() {
    let context = super::context();
    let number_of = |changes: &str| {
        let body = format!(
            r#"{{"object": "whatsapp_business_account", "entry": [{{"id": "1", "changes": [{changes}]}}]}}"#
        );
        let lines = super::super::read(body.as_bytes(), super::RECEIVED, &context).unwrap().lines;
        let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
        line["whatsapp.number"].as_str().unwrap().to_owned()
    };
    let security = r#"{"field": "security", "value": {"display_phone_number": "+1 555-078-3881", "event": "PIN_CHANGED"}}"#;
    let before = number_of(security);
    assert!(before.starts_with("u1_"), "{before}");
    let message = r#"{"field": "messages", "value": {
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "1065"},
        "messages": [{"from": "16505551234", "id": "wamid.A", "type": "text", "text": {"body": "x"}}]}}"#;
    assert_eq!(number_of(message), "1065");
    assert_eq!(number_of(security), "1065", "the same as that of messages");
}
