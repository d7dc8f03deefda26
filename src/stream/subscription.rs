//! What a subscriber asks for.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::filter::{Selection, check_field};
use super::known_rules::{KnownRules, WantedRule};
use super::{SubscribeError, Topic, Topics};
use crate::alert::Alert;
use crate::event::Schema;
use crate::rules::{Mode, Severity};

/// Most names of rules, and most fields of a subject, in one filter.
const MAX_ENTRIES: usize = 64;
/// Longest text in a filter over alerts, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 10;

/// What a subscriber asks for. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// The topics.
    pub topics: Topics,
    /// Alerts and events of this tenant only.
    pub tenant: Option<String>,
    /// Which alerts.
    pub alerts: AlertFilter,
    /// Which events; all of them when there is none.
    pub events: Option<Arc<Selection>>,
}

/// Which alerts a subscriber wants: those that everything here holds for.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Names or ids of rules, of which one must be the alert's; any when empty.
    rules: Vec<WantedRule>,
    /// The least severity.
    severity: Option<Severity>,
    /// The mode; both when there is none.
    mode: Option<Mode>,
    tenant: Option<String>,
    /// Fields of the subject and their values.
    subject: Vec<(String, String)>,
}

impl Subscription {
    /// Reads a request such as `{"subscribe": ["alerts", "events"], "tenant": "acme", "alerts": {"severity": "high",
    /// "rule": "brute_force*", "subject": {"source.ip": "192.0.2.1"}}, "events": {"url.path|contains": "/admin"}}`.
    ///
    /// All but `subscribe` may be left out.
    pub fn from_json(request: &Value) -> Result<Self, SubscribeError> {
        read(request).map_err(SubscribeError::Invalid)
    }

    /// Reads the parameters of an address: `topics` and `rule` (lists with commas), `severity`, `mode`, `tenant`, and as JSON
    /// `subject` and `events`. `None` when there are none.
    pub fn from_query(parameters: &[(String, String)]) -> Result<Option<Self>, SubscribeError> {
        if parameters.is_empty() {
            return Ok(None);
        }
        let mut request = Map::new();
        let mut alerts = Map::new();
        for (name, text) in parameters {
            let list = || Value::from(text.split(',').filter(|word| !word.is_empty()).collect::<Vec<_>>());
            let json = || {
                serde_json::from_str::<Value>(text)
                    .map_err(|error| SubscribeError::Invalid(format!("{name}: expected JSON: {error}")))
            };
            let earlier = match name.as_str() {
                "topics" => request.insert("subscribe".to_owned(), list()),
                "rule" => alerts.insert("rule".to_owned(), list()),
                "severity" | "mode" => alerts.insert(name.clone(), text.as_str().into()),
                "subject" => alerts.insert("subject".to_owned(), json()?),
                "tenant" => request.insert("tenant".to_owned(), text.as_str().into()),
                "events" => request.insert("events".to_owned(), json()?),
                other => {
                    let expected = "expected topics, rule, severity, mode, subject, tenant or events";
                    return Err(SubscribeError::Invalid(format!("{}: {expected}", shortened(other))));
                }
            };
            if earlier.is_some() {
                return Err(SubscribeError::Invalid(format!(
                    "{name}: expected once, with commas between several"
                )));
            }
        }
        if !alerts.is_empty() {
            request.insert("alerts".to_owned(), alerts.into());
        }
        Self::from_json(&request.into()).map(Some)
    }

    /// Whether the schema knows every field that is named.
    pub(super) fn check_fields(&self, schema: &Schema) -> Result<(), String> {
        for (name, _) in &self.alerts.subject {
            check_field("alerts.subject", name, schema)?;
        }
        self.events.as_ref().map_or(Ok(()), |selection| selection.check_fields(schema))
    }

    /// Whether there is a rule for each that is named. Rules come and go: what is in force is not asked again.
    pub(super) fn check_rules(&self, rules: &KnownRules) -> Result<(), String> {
        rules.check(&self.alerts.rules)
    }

    /// Whether it asks for this alert.
    pub(super) fn wants_alert(&self, alert: &Alert, schema: &Schema) -> bool {
        self.topics.contains(Topic::Alerts)
            && self.wants_tenant(&alert.tenant)
            && self.alerts.holds(alert, schema)
    }

    /// Whether it asks for what is this tenant's.
    pub(super) fn wants_tenant(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
    }
}

impl AlertFilter {
    fn holds(&self, alert: &Alert, schema: &Schema) -> bool {
        self.severity.is_none_or(|least| alert.severity >= least)
            && self.mode.is_none_or(|wanted| alert.mode == wanted)
            && self.tenant.as_deref().is_none_or(|wanted| wanted == alert.tenant)
            && (self.rules.is_empty()
                || self.rules.iter().any(|WantedRule { pattern, .. }| {
                    pattern.matches(&alert.rule.name) || pattern.matches(&alert.rule.id)
                }))
            && self.subject.iter().all(|(name, value)| {
                // A rule may call a field by another name than the subscriber does.
                let is_same = |other: &str| other == name || schema.find(other) == schema.find(name);
                alert.subject.iter().any(|(other, found)| found == value && is_same(other))
            })
    }
}

fn read(request: &Value) -> Result<Subscription, String> {
    let entries = object(request, "the request")?;
    known(entries, "the request", &["subscribe", "tenant", "alerts", "events"])?;
    let mut subscription = Subscription::default();
    let topics = entries.get("subscribe").ok_or("subscribe: expected a list of topics")?;
    for name in texts(topics, "subscribe")? {
        let topic = Topic::from_name(&name).ok_or_else(|| {
            format!("subscribe: expected alerts, events or statistics, not '{}'", shortened(&name))
        })?;
        subscription.topics.insert(topic);
    }
    for topic in [Topic::Alerts, Topic::Events] {
        if entries.contains_key(topic.name()) && !subscription.topics.contains(topic) {
            let name = topic.name();
            return Err(format!(
                "{name}: expected no filter, since '{name}' is not among the topics of subscribe"
            ));
        }
    }
    subscription.tenant = entries.get("tenant").map(|value| text(value, "tenant")).transpose()?;
    if let Some(filter) = entries.get("alerts") {
        subscription.alerts = alert_filter(filter)?;
    }
    subscription.events = entries.get("events").map(Selection::parse).transpose()?.map(Arc::new);
    Ok(subscription)
}

fn alert_filter(filter: &Value) -> Result<AlertFilter, String> {
    let entries = object(filter, "alerts")?;
    known(entries, "alerts", &["rule", "severity", "mode", "tenant", "subject"])?;
    let rules = entries.get("rule").map(|value| texts(value, "alerts.rule")).transpose()?.unwrap_or_default();
    let severity = entries.get("severity").map(|value| text(value, "alerts.severity")).transpose()?;
    let severity = severity.map(|word| {
        Severity::from_name(&word).ok_or_else(|| {
            let expected = "expected informational, low, medium, high or critical";
            format!("alerts.severity: {expected}, not '{}'", shortened(&word))
        })
    });
    let mode = entries.get("mode").map(|value| text(value, "alerts.mode")).transpose()?;
    let mode = mode.map(|word| {
        let not = || format!("alerts.mode: expected live or shadow, not '{}'", shortened(&word));
        Mode::from_name(&word).ok_or_else(not)
    });
    let tenant = entries.get("tenant").map(|value| text(value, "alerts.tenant")).transpose()?;
    let mut subject = Vec::new();
    if let Some(fields) = entries.get("subject") {
        for (name, value) in object(fields, "alerts.subject")? {
            subject.push((name.clone(), text(value, &format!("alerts.subject.{}", shortened(name)))?));
        }
    }
    if rules.len() > MAX_ENTRIES || subject.len() > MAX_ENTRIES {
        return Err(format!(
            "alerts: expected at most {MAX_ENTRIES} rules and as many fields of the subject"
        ));
    }
    let rules = rules.into_iter().map(WantedRule::new).collect();
    Ok(AlertFilter { rules, severity: severity.transpose()?, mode: mode.transpose()?, tenant, subject })
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{place}: expected an object, not {}", kind(value)))
}

fn known(entries: &Map<String, Value>, place: &str, names: &[&str]) -> Result<(), String> {
    match entries.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("{place}: expected {}, not '{}'", names.join(", "), shortened(name))),
        None => Ok(()),
    }
}

/// A text, or a list of texts.
fn texts(value: &Value, place: &str) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) if items.len() <= MAX_ENTRIES => {
            items.iter().map(|item| text(item, place)).collect()
        }
        Value::Array(items) => {
            Err(format!("{place}: expected at most {MAX_ENTRIES} entries, not {}", items.len()))
        }
        other => text(other, place).map(|text| vec![text]),
    }
}

fn text(value: &Value, place: &str) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => return Err(format!("{place}: expected text, not {}", kind(other))),
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("{place}: expected at most {MAX_TEXT_BYTES} bytes, not {}", text.len()));
    }
    Ok(text)
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Enough of a text for whoever wrote it to know it again.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_requests_say_what_was_expected() {
        for (request, expected) in [
            (json!([]), "the request: expected an object, not a list"),
            (json!({}), "subscribe: expected a list of topics"),
            (json!({"subscribe": ["alarms"]}), "expected alerts, events or statistics, not 'alarms'"),
            (json!({"subscribe": [1.5]}), "statistics, not '1.5'"),
            (json!({"subscribe": {"alerts": true}}), "subscribe: expected text, not an object"),
            (
                json!({"subscribe": ["alerts"], "since": 5}),
                "expected subscribe, tenant, alerts, events, not 'since'",
            ),
            (json!({"subscribe": ["alerts"], "events": {"a": 1}}), "events: expected no filter"),
            (
                json!({"subscribe": ["alerts"], "alerts": {"severity": "dire"}}),
                "medium, high or critical, not 'dire'",
            ),
            (json!({"subscribe": ["alerts"], "alerts": {"mode": "dark"}}), "live or shadow, not 'dark'"),
            (
                json!({"subscribe": ["alerts"], "alerts": {"level": "high"}}),
                "alerts: expected rule, severity",
            ),
            (
                json!({"subscribe": ["alerts"], "alerts": {"subject": {"a": []}}}),
                "alerts.subject.a: expected text",
            ),
            (json!({"subscribe": ["alerts"], "tenant": null}), "tenant: expected text, not null"),
            (
                json!({"subscribe": ["alerts"], "tenant": "x".repeat(2000)}),
                "tenant: expected at most 1024 bytes",
            ),
            (json!({"subscribe": ["alerts"], "alerts": {"rule": vec!["x"; 65]}}), "at most 64 entries"),
            (json!({"subscribe": ["events"], "events": []}), "events: expected a list with something in it"),
        ] {
            let error = Subscription::from_json(&request).unwrap_err().to_string();
            assert!(error.contains(expected), "{request}: {error}");
        }
    }

    #[test]
    fn an_address_asks_for_the_same_as_json() {
        let parameters = |texts: &[(&str, &str)]| {
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
        };
        let query = parameters(&[
            ("topics", "alerts,events"),
            ("severity", "high"),
            ("mode", "live"),
            ("rule", "brute_*,x"),
            ("subject", r#"{"source.ip":"192.0.2.1"}"#),
            ("events", r#"{"source.ip":"192.0.2.1"}"#),
        ]);
        let json = json!({
            "subscribe": ["alerts", "events"],
            "alerts": {"severity": "high", "mode": "live", "rule": ["brute_*", "x"], "subject": {"source.ip": "192.0.2.1"}},
            "events": {"source.ip": "192.0.2.1"}
        });
        assert_eq!(
            format!("{:?}", Subscription::from_query(&query).unwrap().unwrap()),
            format!("{:?}", Subscription::from_json(&json).unwrap())
        );
        assert!(Subscription::from_query(&[]).unwrap().is_none());
        for (query, expected) in [
            (parameters(&[("topic", "alerts")]), "topic: expected topics, rule"),
            (parameters(&[("topics", "alerts"), ("topics", "events")]), "topics: expected once"),
            (parameters(&[("severity", "high")]), "subscribe: expected a list of topics"),
            (parameters(&[("topics", "events"), ("events", "{")]), "events: expected JSON"),
        ] {
            let error = Subscription::from_query(&query).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
