//! A Sigma document becomes a rule, or says all that is wrong with it.

use std::time::Duration;

use super::extension::Extension;
use super::fault::{Faults, Place, RuleError};
use super::nearest::{did_you_mean, misspelt};
use super::yaml::{self, Data, Node};
use super::{
    Body, Detection, LinkedCorrelation, Rule, Severity, correlation, detection, entity_risk, first_seen,
    stages, travel,
};
use crate::event::Class;

/// The default for what one episode of a detection is about.
const DEFAULT_GROUP_BY: &str = "source.ip";
/// The default for how long an episode of a detection lasts after its last match.
const DEFAULT_TIMESPAN: Duration = Duration::from_secs(600);

/// What became of a document.
pub struct Read {
    /// The rule; `None` when there are errors.
    pub rule: Option<Rule>,
    /// What it is refused for.
    pub errors: Vec<RuleError>,
    /// What may be a mistake.
    pub warnings: Vec<RuleError>,
}

/// Reads the documents of a file.
pub fn read_file(file: &str, text: &str, builtin: bool) -> Vec<Read> {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            let place = Place { file: file.to_owned(), line: error.line };
            let expected = format!("YAML: {}", error.message);
            let errors = vec![RuleError { place, key: String::new(), expected }];
            return vec![Read { rule: None, errors, warnings: Vec::new() }];
        }
    };
    let read = documents.iter().map(|document| {
        let mut faults = Faults::default();
        let rule = read_document(document, file, builtin, &mut faults);
        let (errors, warnings) = faults.of_file(file);
        Read { rule: rule.filter(|_| errors.is_empty()), errors, warnings }
    });
    read.collect()
}

fn read_document(document: &Node, file: &str, builtin: bool, faults: &mut Faults) -> Option<Rule> {
    if !matches!(document.data, Data::Map(_)) {
        faults.note(document.line, "", format!("a Sigma rule, which is a map, not {}", document.kind()));
        return None;
    }
    let line = document.entries().first().map_or(document.line, |entry| entry.line);
    check_keys(document, "", KEYS, faults);
    let title = text_of(document, "title", faults);
    if is_missing(document, "title") {
        faults.note(line, "title", "a title".to_owned());
    }
    let extension = Extension::read(document, faults);
    let severity = severity_of(document, faults);
    let generate = match document.get("generate").map(|node| (&node.data, node.line)) {
        None => None,
        Some((Data::Bool(value), _)) => Some(*value),
        Some((_, line)) => {
            faults.note(line, "generate", "true or false".to_owned());
            None
        }
    };
    let body = body_of(document, line, &extension, generate, faults);
    if let (Some((stages, line)), Some(body)) = (&extension.stages, &body) {
        stages::check(stages, *line, body, severity, faults);
    }
    Some(Rule {
        id: text_of(document, "id", faults),
        name: text_of(document, "name", faults),
        title: title?,
        description: text_of(document, "description", faults).unwrap_or_default().trim().to_owned(),
        severity,
        tags: texts_of(document, "tags"),
        false_positives: texts_of(document, "falsepositives"),
        advice: extension.advice,
        place: Place { file: file.to_owned(), line },
        builtin,
        inhibited_by: extension.inhibited_by,
        risk: extension.risk,
        stages: extension.stages.map(|(stages, _)| stages).unwrap_or_default(),
        reported: !extension.is_silent,
        mode: extension.mode,
        body: body?,
    })
}

/// The keys under which a rule says what it looks for, one of which it has.
const BODIES: [&str; 5] = ["detection", "correlation", "entity_risk", "first_seen", "impossible_travel"];

fn body_of(
    document: &Node,
    line: usize,
    extension: &Extension,
    generate: Option<bool>,
    faults: &mut Faults,
) -> Option<Body> {
    let mut bodies = BODIES.iter().filter_map(|key| Some((*key, document.get(key)?)));
    let Some((key, node)) = bodies.next() else {
        if BODIES.iter().all(|key| is_missing(document, key)) {
            faults.note(line, "detection", format!("one of {}", BODIES.join(", ")));
        }
        return None;
    };
    if let Some((other, second)) = bodies.next() {
        let (later, place) = if second.line > node.line { (other, second) } else { (key, node) };
        faults.note(place.line, later, format!("one of {}, not several", BODIES.join(", ")));
        return None;
    }
    if let Some((_, line)) = extension.baseline.as_ref().filter(|_| key != "correlation") {
        let expected = format!("a correlation beside it, not a {key}");
        faults.note(*line, "x-watchbell.baseline", expected);
    }
    if key == "detection" {
        let classes = classes_of(document, line, faults);
        let (expression, searches) = detection::parse(node, &extension.placeholders, faults)?;
        let group_by = extension.group_by.clone().unwrap_or_else(|| vec![DEFAULT_GROUP_BY.to_owned()]);
        let timespan = extension.timespan.unwrap_or(DEFAULT_TIMESPAN);
        return Some(Body::Detection(Detection { classes, expression, searches, group_by, timespan }));
    }
    if extension.group_by.is_some() || extension.timespan.is_some() {
        let expected = format!("no group-by or timespan there: a {key} has its own");
        faults.note(node.line, "x-watchbell", expected);
    }
    let mut correlation = match key {
        "first_seen" => first_seen::parse(node, generate, faults)?,
        "entity_risk" => entity_risk::parse(node, faults)?,
        "impossible_travel" => travel::parse(node, generate, faults)?,
        _ => correlation::parse(node, generate, faults)?,
    };
    if let Some((baseline, _)) = extension.baseline.as_ref().filter(|_| key == "correlation") {
        baseline.check(&correlation, node.line, faults);
        correlation.baseline = Some(*baseline);
    }
    Some(Body::Correlation(LinkedCorrelation { correlation, inputs: Vec::new(), level: 0 }))
}

/// The keys that Sigma has for rules, correlations, filters and collections of them, and ours.
const KEYS: &[&str] = &[
    "action",
    "author",
    "correlation",
    "date",
    "description",
    "detection",
    "entity_risk",
    "falsepositives",
    "fields",
    "filter",
    "first_seen",
    "generate",
    "id",
    "impossible_travel",
    "level",
    "license",
    "logsource",
    "modified",
    "name",
    "references",
    "related",
    "scope",
    "status",
    "tags",
    "taxonomy",
    "title",
    "x-watchbell",
];

/// The keys that Sigma has for a logsource.
const LOGSOURCE_KEYS: &[&str] = &["category", "definition", "product", "service"];

/// Sigma allows keys of one's own; one that is almost a known one is a slip, and would be passed over in silence.
fn check_keys(map: &Node, path: &str, known: &[&str], faults: &mut Faults) {
    for entry in map.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let key = format!("{path}{}", entry.key);
        match misspelt(&entry.key, known.iter().copied()) {
            Some(meant) => faults.note(entry.line, &key, format!("'{meant}', which it is a slip of")),
            None if entry.key.starts_with("x-") => {}
            None => faults.warn(
                entry.line,
                &key,
                format!(
                    "a key that is known, or one that begins with x-: this one is passed over{}",
                    did_you_mean(&entry.key, known.iter().copied())
                ),
            ),
        }
    }
}

/// Whether a key is not there, not even with a slip in it, which is told by itself.
fn is_missing(document: &Node, key: &str) -> bool {
    document.entries().iter().all(|entry| entry.key != key && misspelt(&entry.key, [key]).is_none())
}

fn text_of(document: &Node, key: &str, faults: &mut Faults) -> Option<String> {
    let node = document.get(key)?;
    let text = node.scalar_text().filter(|text| !text.trim().is_empty());
    if text.is_none() {
        faults.note(node.line, key, format!("text, not {}", node.kind()));
    }
    text
}

fn texts_of(document: &Node, key: &str) -> Vec<String> {
    document
        .get(key)
        .map(|node| node.one_or_many().iter().filter_map(Node::scalar_text).collect())
        .unwrap_or_default()
}

fn severity_of(document: &Node, faults: &mut Faults) -> Severity {
    let Some(node) = document.get("level") else { return Severity::Medium };
    let word = node.scalar_text().unwrap_or_default();
    Severity::from_name(&word).unwrap_or_else(|| {
        let expected = format!("informational, low, medium, high or critical, not '{word}'");
        faults.note(node.line, "level", expected);
        Severity::Medium
    })
}

/// The classes of events that a rule's `logsource` means. A source that Watchbell does not read matches nothing
/// but events of no known class, so that such a rule still loads and can be tried with `rules match`.
fn classes_of(document: &Node, line: usize, faults: &mut Faults) -> u8 {
    let every = || Class::ALL.iter().fold(0, |bits, class| bits | class.bit());
    let Some(source) = document.get("logsource") else {
        if is_missing(document, "logsource") {
            faults.note(line, "logsource", "a logsource, such as 'category: webserver'".to_owned());
        }
        return 0;
    };
    if !matches!(source.data, Data::Map(_)) {
        faults.note(source.line, "logsource", format!("a map, not {}", source.kind()));
        return 0;
    }
    check_keys(source, "logsource.", LOGSOURCE_KEYS, faults);
    let product = source.get("product").and_then(Node::scalar_text);
    let class = match source.get("category").and_then(Node::scalar_text).as_deref() {
        Some("webserver") => Class::Webserver,
        Some("proxy") => Class::Proxy,
        Some("application") => Class::Application,
        _ if product.as_deref() == Some("whatsapp") => Class::Messaging,
        None if product.as_deref() == Some("watchbell") => return every(),
        None if matches!(product.as_deref(), Some("apache" | "nginx" | "iis" | "haproxy")) => {
            Class::Webserver
        }
        _ => Class::Any,
    };
    class.bit() | Class::Any.bit()
}
