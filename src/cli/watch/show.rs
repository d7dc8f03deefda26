//! Frames for people.
//!
//! What logs hold comes from whoever wrote to them, attackers included, and terminals obey: nothing of it is printed
//! that could move the cursor, change a colour or turn the direction of writing.

use serde_json::Value;

/// Most characters of a value.
const MAX_CHARS: usize = 160;

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With colours.
    pub is_coloured: bool,
}

/// Whether a terminal would do something else with the character than show it.
fn is_active(character: char) -> bool {
    character.is_control()
        // Marks that change the direction of writing, or what separates lines and paragraphs.
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that a terminal only shows.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_active(c) { '\u{fffd}' } else { c }).collect()
}

/// A JSON text that a terminal only shows, and that means the same.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        // All that is active and may stand in JSON unescaped is within a text, and below U+FFFF.
        match is_active(character) {
            true => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => text.push(character),
        }
    }
    text
}

/// A frame in a line or two; `None` for frames that say nothing to people.
pub fn frame(frame: &Value, style: Style) -> Option<String> {
    match frame["type"].as_str()? {
        "alert" => Some(alert(&frame["alert"], text(&frame["change"]), style)),
        "event" => Some(event(frame)),
        "statistics" => Some(statistics(frame)),
        _ => None,
    }
}

fn alert(alert: &Value, change: String, style: Style) -> String {
    let at = match change.as_str() {
        "resolved" => &alert["resolved_at"],
        "updated" | "escalated" => &alert["last_seen_at"],
        _ => &alert["opened_at"],
    };
    let severity = text(&alert["severity"]);
    let level = format!("{:<8}", severity.to_uppercase());
    let level =
        if style.is_coloured { format!("\u{1b}[{}m{level}\u{1b}[0m", colour(&severity)) } else { level };
    let subject: Vec<String> = alert["subject"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{}={}", printable(name), text(value)))
        .collect();
    let subject = if subject.is_empty() { "everything".to_owned() } else { subject.join(" ") };
    let tenant = alert.get("tenant").map(|tenant| format!("  [{}]", text(tenant))).unwrap_or_default();
    let mark = if alert["mode"] == "shadow" { "  [shadow]" } else { "" };
    let (rule, condition) = (&alert["rule"], &alert["condition"]);
    format!(
        "{}  {level}  {change:<8}  {}  {subject}{tenant}{mark}\n    observed {} where {}: {}",
        short(at),
        text(&rule["name"]),
        text(&alert["observed"]),
        text(&condition["text"]),
        text(&rule["title"])
    )
}

const fn colour(severity: &str) -> &'static str {
    match severity.as_bytes() {
        b"critical" => "1;31",
        b"high" => "31",
        b"medium" => "33",
        b"low" => "36",
        _ => "2",
    }
}

fn event(frame: &Value) -> String {
    let fields = &frame["event"];
    let mut parts = vec![short(&fields["@timestamp"]), text(&frame["source"])];
    let mut add = |name: &str| parts.extend(fields.get(name).map(text));
    add("source.ip");
    add("user.name");
    let request = ["http.request.method", "url.original"].map(|name| fields.get(name));
    if request.iter().any(Option::is_some) {
        add("http.request.method");
        add("url.original");
        add("http.response.status_code");
    } else {
        add("event.action");
        add("event.outcome");
        add("object.type");
        add("object.id");
        add("message");
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

fn statistics(frame: &Value) -> String {
    let entries = frame.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
    let entries: Vec<String> =
        entries.map(|(name, value)| format!("{}={}", printable(name), text(value))).collect();
    entries.join("  ")
}

/// A value, short and printable.
fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        other => printable(&other.to_string()),
    };
    if text.chars().nth(MAX_CHARS).is_none() {
        return text;
    }
    text.chars().take(MAX_CHARS - 3).chain("...".chars()).collect()
}

/// A time without what nobody reads.
fn short(at: &Value) -> String {
    let at = text(at);
    at.get(..19).map_or(at.clone(), |short| format!("{}Z", short.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn an_alert() -> Value {
        json!({"type": "alert", "seq": 1, "change": "opened", "alert": {
            "rule": {"name": "brute_force", "title": "Guessing"}, "severity": "high", "tenant": "acme",
            "subject": {"source.ip": "192.0.2.1", "user.name": "\u{1b}]0;x\u{7}\u{202e}ann"},
            "opened_at": "2026-11-24T13:55:11.5Z", "observed": 12, "condition": {"text": "> 10 events in 5m"}}})
    }

    #[test]
    fn an_alert_is_two_lines_and_nothing_in_it_is_obeyed() {
        assert_eq!(
            frame(&an_alert(), Style::default()).unwrap(),
            "2026-11-24 13:55:11Z  HIGH      opened    brute_force  source.ip=192.0.2.1 \
             user.name=\u{fffd}]0;x\u{fffd}\u{fffd}ann  [acme]\n    observed 12 where > 10 events in 5m: Guessing"
        );
        let mut shadow = an_alert();
        shadow["alert"]["mode"] = "shadow".into();
        assert!(frame(&shadow, Style::default()).unwrap().contains("  [acme]  [shadow]\n"));
        let coloured = frame(&an_alert(), Style { is_coloured: true }).unwrap();
        assert!(coloured.contains("\u{1b}[31mHIGH    \u{1b}[0m"));
        assert_eq!(coloured.matches('\u{1b}').count(), 2);
    }

    #[test]
    fn events_and_statistics_are_a_line() {
        let request = json!({"type": "event", "source": "nginx", "event": {"@timestamp": "2026-11-24T13:55:11Z",
            "source.ip": "192.0.2.1", "http.request.method": "GET", "url.original": "/a\nb", "http.response.status_code": 404}});
        assert_eq!(
            frame(&request, Style::default()).unwrap(),
            "2026-11-24 13:55:11Z  nginx  192.0.2.1  GET  /a\u{fffd}b  404"
        );
        let long = json!({"type": "event", "source": "app", "event": {"message": "x".repeat(500)}});
        assert_eq!(frame(&long, Style::default()).unwrap().len(), "app  ".len() + MAX_CHARS);
        assert_eq!(frame(&json!({"type": "statistics", "events": 5}), Style::default()).unwrap(), "events=5");
        assert_eq!(frame(&json!({"type": "hello"}), Style::default()), None);
        assert_eq!(frame(&json!([]), Style::default()), None);
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = json!({"a": "\u{1b}\u{7f}\u{9b}\u{85}\u{2028}\u{202e}ä€😀"});
        let text = escaped(&value.to_string());
        assert!(text.chars().all(|c| !is_active(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
