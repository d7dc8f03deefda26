//! An alert in a few lines for people, of what it writes of itself as JSON.

use std::io::{self, Write};

use serde_json::Value;

use super::summary::grouped;
use super::watch::show::printable;

/// Most characters of an event that is shown.
const MAX_SAMPLE_CHARS: usize = 90;

/// Writes an alert; its first line begins with `head`.
pub fn write_alert(out: &mut dyn Write, head: &str, alert: &Value) -> io::Result<()> {
    let (rule, condition, evidence) = (&alert["rule"], &alert["condition"], &alert["evidence"]);
    let end =
        if alert["resolved_at"].is_null() { "still open".to_owned() } else { time(&alert["last_seen_at"]) };
    let mark = if alert["mode"] == "shadow" { "  [shadow]" } else { "" };
    writeln!(out, "{head}{}  {}{mark}", text(&rule["name"]), subject(&alert["subject"]))?;
    writeln!(
        out,
        "      {} to {end}   {}",
        time(&alert["opened_at"]),
        observed(&alert["observed"], &text(&condition["text"]), &condition["type"])
    )?;
    for ground in evidence["grounds"].as_array().into_iter().flatten() {
        let (rule, condition) = (text(&ground["rule"]), text(&ground["condition"]));
        writeln!(out, "      {rule}: {} (asked for: {condition})", amount(&ground["observed"]))?;
    }
    if condition["type"] == "first_seen" {
        let values = evidence["values"].as_array().into_iter().flatten().map(text);
        let values = values.collect::<Vec<_>>().join(", ");
        writeln!(out, "      new: {values} ({} others known)", amount(&evidence["known"]))?;
    }
    let trip = &evidence["trip"];
    if trip.is_object() {
        let place = |place: &Value| {
            let (lat, lon) =
                (place["lat"].as_f64().unwrap_or_default(), place["lon"].as_f64().unwrap_or_default());
            format!("{} {lat:.2},{lon:.2} at {}", text(&place["country"]), time(&place["at"]))
        };
        let (from, to) = (place(&trip["from"]), place(&trip["to"]));
        let (km, hours) = (amount(&trip["km"]), amount(&trip["hours"]));
        writeln!(out, "      from {} to {}: {km} km in {hours} h", from.trim_start(), to.trim_start())?;
    }
    let matched = evidence["matched"].as_array().into_iter().flatten();
    let matched: Vec<String> =
        matched.map(|matched| format!("{} {}", text(&matched["rule"]), amount(&matched["events"]))).collect();
    if !matched.is_empty() {
        writeln!(out, "      matched: {}", matched.join(", "))?;
    }
    let consulted = &evidence["consulted"];
    for near in consulted["nearly_allowed"].as_array().into_iter().flatten() {
        writeln!(out, "      not on the allowlist as '{}': {}", text(&near["reason"]), text(&near["but"]))?;
    }
    let withheld = consulted["withheld"].as_object().into_iter().flatten();
    let withheld: Vec<String> = withheld
        .filter(|(_, count)| **count != 0)
        .map(|(why, count)| format!("{} {}", amount(count), printable(why)))
        .collect();
    if !withheld.is_empty() {
        writeln!(out, "      findings before it that opened nothing: {}", withheld.join(", "))?;
    }
    if consulted["late_events"].as_u64().is_some_and(|late| late > 0) {
        writeln!(out, "      {} of its events came late", amount(&consulted["late_events"]))?;
    }
    writeln!(out, "      {}", text(&rule["title"]))?;
    if let Some(sample) = evidence["samples"].as_array().and_then(|samples| samples.last()) {
        let what = ["url.original", "event.action", "user_agent.original"]
            .iter()
            .find_map(|name| sample["fields"][name].as_str())
            .unwrap_or_default();
        let what: String = printable(what).chars().take(MAX_SAMPLE_CHARS).collect();
        writeln!(out, "      e.g. {}:{}  {what}", text(&sample["source"]), sample["line"])?;
    }
    Ok(())
}

/// What it is about, in one line.
fn subject(fields: &Value) -> String {
    let fields = fields.as_object().into_iter().flatten();
    let parts: Vec<String> =
        fields.map(|(name, value)| format!("{}={}", printable(name), text(value))).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(" ") }
}

/// What was observed, and what the rule asks for.
fn observed(value: &Value, condition: &str, kind: &Value) -> String {
    let is_match = kind == "match";
    match amount(value) {
        _ if kind == "first_seen" => condition.to_owned(),
        one if is_match && one == "1" => "1 event matches".to_owned(),
        many if is_match => format!("{many} events match"),
        measured => format!("observed {measured} (asked for: {condition})"),
    }
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

fn time(at: &Value) -> String {
    short(at.as_str().unwrap_or_default())
}

/// A time without what nobody reads.
pub fn short(at: &str) -> String {
    at.get(..19).map_or_else(|| printable(at), |short| format!("{}Z", printable(short).replace('T', " ")))
}

fn amount(value: &Value) -> String {
    let value = value.as_f64().unwrap_or_default();
    if value.fract() == 0.0 && value >= 0.0 { grouped(value as u64) } else { format!("{value:.2}") }
}
