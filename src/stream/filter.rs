//! Filters over events: Sigma selections, all compiled into one matcher.
//!
//! A selection is what stands below a name in the `detection` of a rule: a map of fields (AND), a list of such maps or
//! of keywords (OR), with the same modifiers. They come from whoever may subscribe and are run on the thread of the
//! engine, so what could take long there is refused: lookaround and back references in regular expressions, expressions
//! that are large when compiled, and `windash`, which multiplies values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::event::{Class, Event, FieldId, Schema};
use crate::matching::{Matcher, Scanner};
use crate::rules::detection::Placeholders;
use crate::rules::detection::{self, Check, Expression};
use crate::rules::fault::{Faults, Place};
use crate::rules::yaml::{Data, Entry, Node};
use crate::rules::{Body, Detection, Mode, Rule, RuleSet, Severity, regex};

/// Longest selection, in bytes of JSON.
const MAX_BYTES: usize = 8 << 10;
/// Most tests of one selection: values, or fields without one.
const MAX_TESTS: usize = 256;
/// Most regular expressions of one selection.
const MAX_REGEXES: usize = 4;
/// Largest regular expression, in characters when its repetitions are written out: tens of kilobytes when compiled.
const MAX_REGEX_SIZE: u64 = 2_000;
/// Names that are told when one is not known.
const NEAREST: usize = 3;

/// A filter over events, checked. Two of the same text are one.
#[derive(Debug)]
pub struct Selection {
    text: Arc<str>,
    expression: Expression,
    cost: Cost,
}

/// What a selection adds to the matcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tests.
    pub tests: usize,
    /// Regular expressions among them.
    pub regexes: usize,
}

impl Selection {
    /// Reads a selection; the error says where and what was expected.
    pub fn parse(selection: &Value) -> Result<Self, String> {
        let text = selection.to_string();
        if text.len() > MAX_BYTES {
            return Err(format!("events: expected at most {MAX_BYTES} bytes, not {}", text.len()));
        }
        refuse_windash(selection)?;
        let condition = Node { line: 1, data: Data::Text("events".to_owned()) };
        let document = Node {
            line: 1,
            data: Data::Map(vec![
                Entry { key: "events".to_owned(), line: 1, value: node(selection) },
                Entry { key: "condition".to_owned(), line: 1, value: condition },
            ]),
        };
        let mut faults = Faults::default();
        let expression = detection::parse(&document, &Placeholders::new(), &mut faults);
        let (expression, _) = expression.ok_or_else(|| {
            let (errors, _) = faults.of_file("");
            let faults: Vec<String> = errors
                .into_iter()
                .map(|fault| {
                    let key = fault.key.strip_prefix("detection.").unwrap_or(&fault.key);
                    format!("{key}: expected {}", fault.expected)
                })
                .collect();
            faults.join("; ")
        })?;
        let cost = cost_of(&expression)?;
        Ok(Self { text: text.into(), expression, cost })
    }

    /// The selection as text, which identifies it.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// What it adds to the matcher.
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether the schema knows every field; the error names the nearest ones.
    pub fn check_fields(&self, schema: &Schema) -> Result<(), String> {
        let mut result = Ok(());
        self.expression.tests(&mut |test| {
            let other = match &test.check {
                Check::Field { other, .. } => Some(other),
                _ => None,
            };
            for name in test.field.iter().chain(other) {
                if result.is_ok() {
                    result = check_field("events", name, schema);
                }
            }
        });
        result
    }
}

/// Whether the schema knows a field; the error names the nearest ones.
pub fn check_field(place: &str, name: &str, schema: &Schema) -> Result<(), String> {
    if schema.find(name).is_some() {
        return Ok(());
    }
    let (start, nearest) = nearest(name, (0..schema.len()).map(|number| schema.name(FieldId(number as u16))));
    Err(format!("{place}.{start}: expected a field that is known, such as {}", nearest.join(", ")))
}

/// As much of an unknown name as is worth repeating, and the known ones that are nearest to it.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> (String, Vec<&'k str>) {
    // A longer name than any there is has no near ones, and takes time to compare.
    let start: String = name.chars().take(64).collect();
    let lower = start.to_lowercase();
    let mut names: Vec<(usize, &str)> =
        known.map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known)).collect();
    names.sort_unstable();
    (start, names.iter().take(NEAREST).map(|(_, name)| *name).collect())
}

fn refuse_windash(selection: &Value) -> Result<(), String> {
    match selection {
        Value::Array(items) => items.iter().try_for_each(refuse_windash),
        Value::Object(entries) => entries.keys().try_for_each(|key| {
            if key.split('|').skip(1).any(|modifier| modifier == "windash") {
                return Err(format!("events.{key}: expected a filter without 'windash', which is for rules"));
            }
            Ok(())
        }),
        _ => Ok(()),
    }
}

fn cost_of(expression: &Expression) -> Result<Cost, String> {
    let mut cost = Cost::default();
    let mut result = Ok(());
    expression.tests(&mut |test| {
        cost.tests += 1;
        let Check::Regex(regex) = &test.check else { return };
        cost.regexes += 1;
        let source = regex.source();
        if cost.regexes <= MAX_REGEXES && result.is_ok() {
            let is_small = regex::parse(source).is_ok_and(|parsed| regex::size(&parsed) <= MAX_REGEX_SIZE);
            result = is_small.then_some(()).ok_or_else(|| {
                let field = test.field.as_deref().unwrap_or("keywords");
                format!("events.{field}: expected a small regular expression without lookaround and back references")
            });
        }
    });
    if cost.tests > MAX_TESTS || cost.regexes > MAX_REGEXES {
        return Err(format!(
            "events: expected at most {MAX_TESTS} values, of which {MAX_REGEXES} regular expressions, not {} and {}",
            cost.tests, cost.regexes
        ));
    }
    result.map(|()| cost)
}

/// JSON as the reader of rules takes it.
fn node(value: &Value) -> Node {
    let data = match value {
        Value::Null => Data::Null,
        Value::Bool(value) => Data::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Data::Int(number),
            None => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Data::Text(text.clone()),
        Value::Array(items) => Data::List(items.iter().map(node).collect()),
        Value::Object(entries) => Data::Map(
            entries
                .iter()
                .map(|(key, value)| Entry { key: key.clone(), line: 1, value: node(value) })
                .collect(),
        ),
    };
    Node { line: 1, data }
}

/// All selections, compiled, and who asked for each.
pub struct Filters {
    schema: Arc<Schema>,
    matcher: Matcher,
    scanner: Scanner,
    numbers: HashMap<Arc<str>, usize>,
    /// The subscribers of each selection.
    subscribers: Vec<Vec<usize>>,
}

impl Filters {
    /// Compiles selections; nobody has asked for any yet.
    pub fn compile(schema: Arc<Schema>, selections: &[Arc<Selection>]) -> Self {
        let rules = selections.iter().map(|selection| rule_of(&selection.expression)).collect();
        let rules = RuleSet { rules, ..RuleSet::default() };
        // Fields of a former schema get numbers that no event has.
        let mut names = Schema::clone(&schema);
        let matcher = Matcher::compile(&rules, &mut names);
        let numbers = selections.iter().enumerate();
        Self {
            schema,
            scanner: Scanner::new(&matcher),
            matcher,
            numbers: numbers.map(|(number, selection)| (Arc::clone(selection.text()), number)).collect(),
            subscribers: vec![Vec::new(); selections.len()],
        }
    }

    /// The schema they are compiled for.
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whether they are these, and compiled for this schema.
    pub fn are<T>(&self, selections: &HashMap<Arc<str>, T>, schema: &Arc<Schema>) -> bool {
        Arc::ptr_eq(schema, &self.schema)
            && selections.len() == self.numbers.len()
            && selections.keys().all(|text| self.numbers.contains_key(text))
    }

    /// Whether the selection is among them.
    pub fn has(&self, selection: &Selection) -> bool {
        self.numbers.contains_key(selection.text())
    }

    /// A subscriber asks for events that match the selection; `false` when that is not among these.
    pub fn add(&mut self, selection: &Selection, subscriber: usize) -> bool {
        let Some(number) = self.numbers.get(selection.text()) else { return false };
        self.subscribers[*number].push(subscriber);
        true
    }

    /// A subscriber asks no more.
    pub fn remove(&mut self, selection: &Selection, subscriber: usize) {
        if let Some(number) = self.numbers.get(selection.text()) {
            let subscribers = &mut self.subscribers[*number];
            if let Some(place) = subscribers.iter().position(|other| *other == subscriber) {
                subscribers.swap_remove(place);
            }
        }
    }

    /// Adds the subscribers whose selections the event matches.
    pub fn find(&mut self, event: &Event<'_>, found: &mut Vec<usize>) {
        let Self { matcher, scanner, subscribers, .. } = self;
        if !matcher.is_empty() {
            scanner.scan(matcher, event, |number| found.extend_from_slice(&subscribers[number]));
        }
    }
}

fn rule_of(expression: &Expression) -> Rule {
    Rule {
        id: None,
        name: None,
        title: String::new(),
        description: String::new(),
        severity: Severity::Informational,
        stages: Vec::new(),
        risk: None,
        tags: Vec::new(),
        false_positives: Vec::new(),
        advice: String::new(),
        place: Place { file: String::new(), line: 0 },
        builtin: false,
        reported: false,
        mode: Mode::Live,
        inhibited_by: Vec::new(),
        body: Body::Detection(Detection {
            classes: Class::ALL.into_iter().fold(0, |bits, class| bits | class.bit()),
            expression: expression.clone(),
            searches: Vec::new(),
            group_by: Vec::new(),
            timespan: Duration::ZERO,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{self, field};

    #[test]
    fn wrong_selections_say_what_was_expected() {
        let huge = json!({"url.path": "x".repeat(MAX_BYTES)});
        let many = json!({"source.ip": (0..300).map(|n| n.to_string()).collect::<Vec<_>>()});
        for (selection, expected) in [
            (json!({"source.ip|contians": "x"}), "events.source.ip|contians: expected one of the modifiers"),
            (json!({}), "not an empty map"),
            (json!(null), "a map, a list or a keyword"),
            (json!({"source.ip": []}), "a value, or a list with something in it"),
            (json!({"source.ip|cidr": "here"}), "a network such as 10.0.0.0/8"),
            (json!({"url.path|re": "("}), "a regular expression"),
            (json!({"url.path|re": "(?=x)y"}), "without lookaround"),
            (json!({"url.path|re": r"\w{200}"}), "small regular expression"),
            (json!([{"url.path|contains|windash": "-a"}]), "without 'windash'"),
            (huge, "at most 8192 bytes"),
            (many, "at most 256 values"),
        ] {
            let error = Selection::parse(&selection).unwrap_err();
            assert!(error.contains(expected), "{selection}: {error}");
        }
        let error = Selection::parse(&json!({"source.ipp": "x", "url.path|fieldref": "url.orignal"}))
            .unwrap()
            .check_fields(&Schema::new())
            .unwrap_err();
        assert!(
            error.starts_with("events.source.ipp: expected a field that is known, such as source.ip"),
            "{error}"
        );
    }

    #[test]
    fn all_selections_are_one_matcher() {
        let schema = Arc::new(Schema::new());
        let selections: Vec<_> = [
            json!({"source.ip": "192.0.2.1"}),
            json!({"http.response.status_code": [401, 403], "url.path|contains": "/admin"}),
            json!({"http.response.status_code": 401}),
            json!(["nuclei"]),
        ]
        .iter()
        .map(|selection| Arc::new(Selection::parse(selection).unwrap()))
        .collect();
        let mut filters = Filters::compile(Arc::clone(&schema), &selections);
        for (number, selection) in selections.iter().enumerate() {
            assert!(filters.add(selection, number) && filters.add(selection, 10 + number));
        }
        filters.remove(&selections[2], 12);
        let mut event = Event::new(&schema);
        event.set(field::SOURCE_IP, event::Value::text("192.0.2.1"));
        event.set(field::STATUS_CODE, event::Value::Int(401));
        event.set(field::URL_PATH, event::Value::text("/ADMIN/x"));
        let mut found = Vec::new();
        filters.find(&event, &mut found);
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 10, 11]);
    }
}
