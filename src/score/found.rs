//! Alerts, as they were written.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::who::{ACCOUNT, ADDRESS, MESSAGING, Partners, Who};
use super::{ReadError, read_lines};
use crate::event::Timestamp;
use crate::rules::{Mode, Severity};

/// An alert, as far as it is judged.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// The name of its rule.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it is for people.
    pub mode: Mode,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it was over; `None` while it is open.
    pub resolved_at: Option<Timestamp>,
    /// When the window began in which the condition was satisfied first.
    pub begin: Timestamp,
    /// What it is about.
    pub subject: Vec<(String, String)>,
    /// Whom it names: in its subject, or if there is nobody in it, in its evidence.
    pub whom: HashSet<Who>,
    /// Whether it is about what webhooks tell.
    pub is_messaging: bool,
    /// Addresses and accounts that are in one event of the evidence.
    pairs: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Written {
    id: String,
    rule: WrittenRule,
    severity: String,
    #[serde(default)]
    mode: Mode,
    subject: Map<String, Value>,
    opened_at: Timestamp,
    resolved_at: Option<Timestamp>,
    #[serde(default)]
    evidence: WrittenEvidence,
}

#[derive(Deserialize)]
struct WrittenRule {
    name: String,
}

#[derive(Default, Deserialize)]
struct WrittenEvidence {
    window: Option<WrittenWindow>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    samples: Vec<WrittenSample>,
}

#[derive(Deserialize)]
struct WrittenWindow {
    from: Timestamp,
}

#[derive(Deserialize)]
struct WrittenSample {
    fields: Map<String, Value>,
}

/// Reads alerts, one JSON object a line: as a replay or the journal prints them, or frames of the stream. Of an alert that
/// stands there several times, the last counts.
pub fn read(lines: impl BufRead) -> Result<Vec<Found>, ReadError> {
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<Found> = Vec::new();
    for found in read_lines(lines, alert)?.into_iter().flatten() {
        match by_id.get(&found.id) {
            Some(place) => all[*place] = found,
            None => {
                by_id.insert(found.id.clone(), all.len());
                all.push(found);
            }
        }
    }
    Ok(all)
}

/// Who had to do with whom, as far as evidence shows.
pub fn partners(alerts: &[Found]) -> Partners {
    let mut partners = Partners::default();
    for (address, account) in alerts.iter().flat_map(|alert| &alert.pairs) {
        partners.add(address, account);
    }
    partners
}

const EXPECTED: &str = "an alert, as `watchbell replay --output ndjson` writes";

/// `None` for frames of the stream that are about something else.
fn alert(mut value: Value) -> Result<Option<Found>, String> {
    if value.get("kind").is_some() && value.get("subject").is_some() && value.get("rule").is_none() {
        return Err(format!("expected {EXPECTED}, not a label: labels are named first, then alerts"));
    }
    if let Some(kind) = value["type"].as_str() {
        match kind {
            "alert" => value = value["alert"].take(),
            _ => return Ok(None),
        }
    }
    let written: Written =
        serde_json::from_value(value).map_err(|error| format!("expected {EXPECTED}: {error}"))?;
    let severity = Severity::from_name(&written.severity)
        .ok_or("expected informational, low, medium, high or critical in severity")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subject: Vec<(String, String)> =
        written.subject.iter().map(|(field, value)| (field.clone(), text(value))).collect();
    let WrittenEvidence { window, values, samples } = written.evidence;
    let mut whom: HashSet<Who> = subject.iter().map(|(field, value)| Who::new(field, value)).collect();
    let mut sampled = samples.iter().flat_map(|sample| sample.fields.keys());
    let is_messaging =
        whom.iter().any(Who::is_messaging) || sampled.any(|field| field.starts_with(MESSAGING));
    whom.retain(|who| who.is_somebody() || who.is_messaging());
    if whom.is_empty() {
        let fields = samples.iter().flat_map(|sample| &sample.fields);
        let named = fields.filter(|(field, _)| [ADDRESS, ACCOUNT].contains(&field.as_str()));
        whom.extend(named.filter_map(|(field, value)| Some(Who::new(field, value.as_str()?))));
        whom.extend(
            values.iter().filter(|value| value.parse::<IpAddr>().is_ok()).map(|value| Who::address(value)),
        );
    }
    let pair = |sample: &WrittenSample| {
        let of = |field| sample.fields.get(field)?.as_str().map(str::to_owned);
        Some((of(ADDRESS)?, of(ACCOUNT)?))
    };
    Ok(Some(Found {
        id: written.id,
        rule: written.rule.name,
        severity,
        mode: written.mode,
        opened_at: written.opened_at,
        resolved_at: written.resolved_at,
        begin: window.map_or(written.opened_at, |window| window.from),
        pairs: samples.iter().filter_map(pair).collect(),
        subject,
        whom,
        is_messaging,
    }))
}

impl Found {
    /// Whether neither an address nor an account is its subject, nor what webhooks tell of: it is about a whole service.
    pub fn names_nobody(&self) -> bool {
        let mut subject = self.subject.iter().map(|(field, value)| Who::new(field, value));
        !subject.any(|who| who.is_somebody() || who.is_messaging())
    }

    /// The subject in one line.
    pub fn subject_text(&self) -> String {
        let parts: Vec<String> = self.subject.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if parts.is_empty() { "everything".to_owned() } else { parts.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r#"{"id":"1","rule":{"id":"r","name":"r","title":"R"},"severity":"high","subject":{"source.ip":"192.0.2.1"},"opened_at":"2026-11-24T10:00:00Z","last_seen_at":"2026-11-24T10:00:00Z","resolved_at":null,"observed":1,"condition":{},"evidence":{"window":{"from":"2026-11-24T09:59:00Z","to":"2026-11-24T10:00:00Z"},"samples":[{"source":"a","line":1,"at":"2026-11-24T10:00:00Z","fields":{"source.ip":"192.0.2.1","user.name":"ann"}}]}}"#;

    #[test]
    fn alerts_and_frames_are_read_and_of_one_id_the_last_counts() {
        let over = ALERT.replace("\"resolved_at\":null", "\"resolved_at\":\"2026-11-24T11:00:00Z\"");
        let frame = format!(r#"{{"type":"alert","seq":1,"change":"resolved","alert":{over}}}"#);
        let shadow =
            ALERT.replace("\"severity\"", "\"mode\":\"shadow\",\"severity\"").replace("\"1\"", "\"2\"");
        let text = format!("{{\"type\":\"hello\"}}\n{ALERT}\n{frame}\n{shadow}\n");
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].resolved_at.is_some() && found[0].mode == Mode::Live);
        assert_eq!(found[1].mode, Mode::Shadow);
        assert_eq!(
            found[0].whom,
            HashSet::from([Who::address("192.0.2.1")]),
            "evidence is for alerts about nobody"
        );
        let partners = partners(&found);
        assert!(partners.of(&Who::address("192.0.2.1")).eq([&Who::Account("ann".to_owned())]));
        let about_nobody =
            read(ALERT.replacen("\"source.ip\":\"192.0.2.1\"", "\"url.path\":\"/\"", 1).as_bytes());
        assert_eq!(about_nobody.unwrap()[0].whom.len(), 2);
        assert!(read("".as_bytes()).unwrap().is_empty(), "nothing may have been found");
    }

    #[test]
    fn what_is_no_alert_is_told_with_its_line_and_what_was_expected() {
        for (text, line, expected) in [
            (format!("{ALERT}\nnot JSON\n"), 2, "expected a JSON object a line"),
            (r#"{"kind":"a","subject":{}}"#.to_owned(), 1, "not a label: labels are named first"),
            (r#"{"rule":{"name":"a"}}"#.to_owned(), 1, "missing field"),
            (ALERT.replace("\"high\"", "\"dire\""), 1, "medium, high or critical"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {line}: ")) && error.contains(expected),
                "{text}: {error}"
            );
        }
    }
}
