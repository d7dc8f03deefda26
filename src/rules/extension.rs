//! The `x-watchbell` block of a rule.

use std::time::Duration;

use super::Mode;
use super::baseline::Baseline;
use super::correlation;
use super::detection::Placeholders;
use super::fault::Faults;
use super::nearest::did_you_mean;
use super::yaml::{Data, Node};
use super::{Severity, entity_risk, stages};

const KEYS: &[&str] = &[
    "advice",
    "group-by",
    "timespan",
    "inhibited-by",
    "mode",
    "reported",
    "placeholders",
    "baseline",
    "stages",
    "risk",
];

/// The `x-watchbell` block: what Sigma has no key for.
#[derive(Default)]
pub struct Extension {
    /// What whoever is paged should look at and do first.
    pub advice: String,
    /// What one episode is about.
    pub group_by: Option<Vec<String>>,
    /// How long an episode lasts after its last match.
    pub timespan: Option<Duration>,
    /// What `%name%` stands for.
    pub placeholders: Placeholders,
    /// Whether the rule is there for others only.
    pub is_silent: bool,
    /// Rules that say enough.
    pub inhibited_by: Vec<String>,
    /// What a correlation is compared with, and the line where that stands.
    pub baseline: Option<(Baseline, usize)>,
    /// Whether what the rule finds is for people.
    pub mode: Mode,
    /// What an alert adds to the risk of an entity.
    pub risk: Option<f64>,
    /// From how many stages on which severity, and the line that says so.
    pub stages: Option<(Vec<(u32, Severity)>, usize)>,
}

impl Extension {
    /// Reads the block of a document, which may have none. Faults are noted.
    pub fn read(document: &Node, faults: &mut Faults) -> Self {
        let mut extension = Self::default();
        let Some(block) = document.get("x-watchbell") else { return extension };
        if !matches!(block.data, Data::Map(_)) {
            faults.note(block.line, "x-watchbell", format!("a map, not {}", block.kind()));
        }
        for entry in block.entries() {
            let path = format!("x-watchbell.{}", entry.key);
            match entry.key.as_str() {
                "advice" => match entry.value.text() {
                    Some(text) => extension.advice = text.trim().to_owned(),
                    None => faults.note(entry.line, &path, format!("text, not {}", entry.value.kind())),
                },
                "inhibited-by" => {
                    let names: Option<Vec<_>> =
                        entry.value.one_or_many().iter().map(Node::scalar_text).collect();
                    match names {
                        Some(names) => extension.inhibited_by = names,
                        None => {
                            faults.note(entry.line, &path, "the name of a rule or a list of names".to_owned())
                        }
                    }
                }
                "group-by" => {
                    let fields: Option<Vec<_>> =
                        entry.value.one_or_many().iter().map(Node::scalar_text).collect();
                    match fields {
                        Some(fields) => extension.group_by = Some(fields),
                        None => faults.note(entry.line, &path, "a field or a list of fields".to_owned()),
                    }
                }
                "timespan" => match entry.value.text().and_then(correlation::parse_span) {
                    Some(span) => extension.timespan = Some(span),
                    None => faults.note(entry.line, &path, "a span such as 30s, 5m, 2h or 1d".to_owned()),
                },
                "mode" => match entry.value.text().and_then(Mode::from_name) {
                    Some(mode) => extension.mode = mode,
                    None => {
                        let word = entry.value.scalar_text().unwrap_or_default();
                        let nearest = did_you_mean(&word, Mode::ALL.map(Mode::name));
                        faults.note(entry.line, &path, format!("live or shadow, not '{word}'{nearest}"));
                    }
                },
                "risk" => {
                    extension.risk = entity_risk::score(&entry.value);
                    if extension.risk.is_none() {
                        faults.note(entry.line, &path, "a number that is not negative".to_owned());
                    }
                }
                "stages" => {
                    extension.stages = Some((stages::parse(&entry.value, &path, faults), entry.line));
                }
                "reported" => match entry.value.data {
                    Data::Bool(reported) => extension.is_silent = !reported,
                    _ => faults.note(entry.line, &path, format!("true or false, not {}", entry.value.kind())),
                },
                "baseline" => {
                    extension.baseline = Baseline::read(entry, faults).map(|baseline| (baseline, entry.line));
                }
                "placeholders" if !matches!(entry.value.data, Data::Map(_)) => {
                    faults.note(entry.line, &path, format!("a map, not {}", entry.value.kind()));
                }
                "placeholders" => {
                    for placeholder in entry.value.entries() {
                        let values: Option<Vec<_>> =
                            placeholder.value.one_or_many().iter().map(Node::scalar_text).collect();
                        match values {
                            Some(values) => {
                                drop(extension.placeholders.insert(placeholder.key.clone(), values))
                            }
                            None => {
                                faults.note(placeholder.line, &path, "a value or a list of values".to_owned())
                            }
                        }
                    }
                }
                other => faults.note(
                    entry.line,
                    &path,
                    format!(
                        "one of {}, not '{other}'{}",
                        KEYS.join(", "),
                        did_you_mean(other, KEYS.iter().copied())
                    ),
                ),
            }
        }
        if let Some((_, line)) = extension.baseline.filter(|_| !extension.inhibited_by.is_empty()) {
            // Its ticks are judged when they are over, and by then the other's alert may be.
            faults.note(line, "x-watchbell.inhibited-by", "no baseline beside it".to_owned());
        }
        extension
    }
}
