//! Lines as nobody should write them: cut, endless, hostile, and any bytes at all.

use super::*;

/// A part of every record that a cut must leave alone, once it has been told.
const WHOLE_OR_NOTHING: [&str; 4] = ["client", "source.ip", "user.name", "http.response.status_code"];

#[test]
fn a_line_that_was_cut_is_an_event_or_counted() {
    for (format, line) in LINES {
        if line.starts_with('#') {
            continue;
        }
        let whole = decode_one(format, line).unwrap().1;
        let of = |fields: &[(String, String)], name: &str| {
            fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        let target = of(&whole, "url.original").unwrap();
        let begun = line.find(target.split('?').next().unwrap()).unwrap() + 1;
        let mut seen = 0;
        for end in (0..line.len()).filter(|end| line.is_char_boundary(*end)) {
            let (decoded, fields) = match decode_one(format, &line[..end]) {
                Ok((Decoded::Nothing, _)) => continue,
                Ok(event) => event,
                Err(error) => {
                    let is_late = end > begun && !(format == "json" && target == "/api/v2/auth/");
                    assert!(!is_late, "{error} at {end}: {}", &line[..end]);
                    continue;
                }
            };
            let found = of(&fields, "url.original").unwrap_or_default();
            assert!(target.starts_with(&found), "{found:?} of {}", &line[..end]);
            assert!(end <= begun || !found.is_empty(), "no target: {}", &line[..end]);
            for name in WHOLE_OR_NOTHING {
                let part = of(&fields, name);
                let is_missing = part.as_deref().is_none_or(|part| part == "-");
                assert!(is_missing || part == of(&whole, name), "{name} {part:?} of {}", &line[..end]);
            }
            let is_flagged = of(&fields, "log.flags").as_deref() == Some("truncated");
            assert_eq!(is_flagged, decoded == Decoded::Truncated);
            assert_ne!(of(&fields, "event.action").as_deref(), Some("malformed_request"), "{}", &line[..end]);
            seen += u32::from(is_flagged);
        }
        assert!(seen > 20, "{seen} events of {line}");
    }
}

#[test]
fn long_texts_are_cut() {
    let payload = "../".repeat(TEXT_LIMIT);
    let line = COMBINED.replace("id=7", &format!("id=<script>{payload}"));
    assert!(line.len() > TEXT_LIMIT * 3 && line.len() < LINE_LIMIT);
    let (decoded, fields) = decode_one("combined", &line).unwrap();
    assert_eq!(decoded, Decoded::Truncated);
    assert!(fields.iter().all(|(_, value)| value.len() <= TEXT_LIMIT));
    let has = |name: &str, value: &str| fields.iter().any(|(n, v)| n == name && v.starts_with(value));
    assert!(has("url.query", "id=<script>../") && has("http.response.status_code", "200"));
    assert!(has("user_agent.original", "Mozilla") && has("log.flags", "truncated"));

    for (format, line) in
        [("combined", COMBINED), ("json", NGINX_JSON), ("json", CADDY), ("haproxy", HAPROXY)]
    {
        let at = line.find('?').unwrap() + 1;
        let line = format!("{}é<script>{}{}", &line[..at], "é".repeat(LINE_LIMIT), &line[at..]);
        let (decoded, fields) = decode_one(format, &line).unwrap();
        assert_eq!(decoded, Decoded::Truncated, "{format}");
        assert!(fields.iter().all(|(_, value)| value.len() <= TEXT_LIMIT));
        assert!(fields.iter().any(|(n, v)| n == "url.query" && v.starts_with("é<script>")), "{format}");
    }
}

/// Decodes a line in every format: it must be an event that keeps its promises, or be counted.
fn decode_everywhere(line: &str) {
    let mut schema = Schema::new();
    schema.intern("c-uri");
    let schema = Arc::new(schema);
    let settings: Arc<Settings> = Arc::new(toml::from_str(r#"proxies = ["0.0.0.0/0", "::/0"]"#).unwrap());
    for format in ["combined", "json", "haproxy", "alb", "w3c"] {
        let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::clone(&settings));
        let mut event = Event::new(&schema);
        match decoder.decode(line, &mut event) {
            Ok(decoded) => {
                let is_flagged = event.text(field::LOG_FLAGS) == Some("truncated");
                assert!(decoded != Decoded::Truncated || is_flagged, "{line}");
                let mut texts = event.fields().filter_map(|(id, _)| event.text(id));
                assert!(texts.all(|text| text.len() <= TEXT_LIMIT), "{line}");
            }
            Err(error) => {
                assert!(Undecodable::ALL.iter().any(|known| known.reason() == error.reason()), "{error}");
            }
        }
    }
}

/// As it stands, and as the runtime of a container keeps it.
fn decode_in_containers(line: &str) {
    decode_everywhere(line);
    decode_everywhere(&format!("2026-11-24T10:00:00Z stdout P {line}"));
    let text = serde_json::to_string(line).unwrap();
    decode_everywhere(&format!(r#"{{"log":{text},"stream":"stdout"}}"#));
}

#[test]
fn hostile_lines_take_linear_time() {
    let size = TEXT_LIMIT - 1_000;
    let fill = |text: &str| text.repeat(size / text.len());
    let pieces = [
        "[",
        "]",
        "\"",
        "\\",
        "\\\"",
        "\" ",
        " ",
        "{",
        "{\"a\":",
        "[[",
        "\",\"",
        ",",
        ", ",
        ":",
        ": ",
        "=",
        ";",
        "/",
        "/.",
        "/../",
        "/*",
        "*/",
        "/**/",
        "%",
        "%25",
        "%u0025",
        "\u{c0}",
        "?",
        "&",
        "#",
        "\t",
        "1",
        "1.",
        "1.1.1.1,",
        "a",
        "é",
        "for=",
        "-",
        "- ",
        "\\x22",
        "\\u0022",
        " HTTP/",
        "://",
        "[24/Nov/2026:10:00:00 +0000] \"",
        "{\"a\":1},",
        "\"a\":1,",
        "\"request\":[{\"ip\":1}],",
    ];
    for piece in pieces {
        let text = fill(piece);
        let combined = |head: &str, request: &str, rest: &str| {
            format!("{head} [24/Nov/2026:10:00:00 +0000] \"{request}\" 200 5 {rest}")
        };
        for (place, line) in [
            ("line", text.clone()),
            ("head", combined(&text, "GET / HTTP/1.1", "")),
            ("user", combined(&format!("203.0.113.7 - {text}"), "GET / HTTP/1.1", "")),
            ("request", combined("203.0.113.7 - -", &text, "")),
            ("target", combined("203.0.113.7 - -", &format!("POST /{text} HTTP/1.1"), "")),
            ("query", combined("203.0.113.7 - -", &format!("POST /login?{text} HTTP/1.1"), "")),
            ("cut", format!("203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"POST /{text}")),
            ("agent", combined("203.0.113.7 - -", "GET / HTTP/1.1", &format!("\"-\" \"{text}\""))),
            ("extras", combined("203.0.113.7 - -", "GET / HTTP/1.1", &format!("\"-\" \"-\" {text}"))),
            (
                "forwarded",
                combined("203.0.113.7 - -", "GET / HTTP/1.1", &format!("\"-\" \"-\" \"{text}, 10.0.0.1\"")),
            ),
            ("haproxy", HAPROXY.replace("shop.example|", &text)),
            ("haproxy request", HAPROXY.replace("/index.html", &text)),
            ("alb", ALB.replace("/api/v1/login", &text)),
            ("w3c", IIS.replace("/owa/a.aspx", &text)),
            ("json", format!("{{{text}}}")),
            ("json text", NGINX_JSON.replace("curl", &text)),
            ("json value", format!("{{\"request\":{text}}}")),
            ("json list", format!("{{\"request\":[{text}]}}")),
            ("json key", format!("{{\"{text}\":1}}")),
            ("json action", format!("{{\"event\":\"authn_login_fail:{text}\"}}")),
        ] {
            let started = std::time::Instant::now();
            decode_everywhere(&line);
            let took = started.elapsed();
            assert!(took.as_secs() < 5, "{took:?} for {piece} in {place}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_line_panics(line in "\\PC{0,120}|([\\[\\]\"\\\\ :/0-9A-Fa-fxu%+*.,#{}-]|\\PC){0,120}") {
        decode_in_containers(&line);
    }

    #[test]
    fn no_bytes_panic(
        which in 0..LINES.len(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut line = LINES[which].1.as_bytes().to_vec();
        let at = at.index(line.len());
        line.splice(at..at, bytes);
        decode_in_containers(&String::from_utf8_lossy(&line));
    }

    #[test]
    fn no_mutated_line_panics(
        which in 0..LINES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]\"\\\\ :/0-9,#é{}%-]{0,3}"), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut line: Vec<char> = LINES[which].1.chars().collect();
        for (at, length, text) in edits {
            let at = at.index(line.len() + 1);
            let end = (at + length).min(line.len());
            line.splice(at..end, text.chars());
        }
        decode_in_containers(&line.iter().collect::<String>());
        line.truncate(end.index(line.len() + 1));
        decode_in_containers(&line.into_iter().collect::<String>());
    }
}
