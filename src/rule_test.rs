//! The tests that stand beside rules: events in, names of alerts out.
//!
//! A file `NAME.test.yml` beside `NAME.yml` has a list of `tests`, each with events that become lines of a log, go
//! through the same engine as everything else, and must open alerts of exactly the rules under `expect`:
//!
//! ```yaml
//! tests:
//!   - name: twelve failures in a minute
//!     expect: [brute_force_by_address]
//!     events:
//!       - line: '203.0.113.7 - - [{clf}] "POST /login HTTP/1.1" 401 12 "-" "Mozilla/5.0"'
//!         repeat: 12
//!         every: 5s
//!       - event: {source.ip: 203.0.113.7, user.name: "user{n}", event.action: authn_login_fail}
//! ```
//!
//! In texts, `{n}` is the number of the repetition from 0, `{m4}` the same modulo 4, `{clf}` and `{rfc3339}` are the
//! time. An item starts one `every` (1 s) after the last of the item before it, or `at` that long after the test's start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::allowlist::Allowlist;
use crate::decode::{self, Format};
use crate::engine::work::Chunk;
use crate::engine::{Engine, Settings, Transition};
use crate::event::Timestamp;
use crate::rules::correlation::parse_span;
use crate::rules::fault::RuleError;
use crate::rules::files::{self, builtin_files, is_rule_file, is_test_file};
use crate::rules::yaml::{self, Data, Node};
use crate::rules::{Body, RuleSet};

/// When tests start: a Monday morning.
const START: Timestamp = Timestamp::from_seconds(1_767_607_200);

/// Most lines that a test may become.
const MAX_LINES: u64 = 1_000_000;

/// Rule files, and the tests beside them.
#[derive(Default)]
pub struct Files {
    sources: Vec<(String, String, bool)>,
    tests: BTreeMap<String, String>,
    /// Files whose rules are to be tested.
    tested: BTreeSet<String>,
    /// What could not be read.
    faults: Vec<RuleError>,
}

/// What came of the tests of one rule file.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The rule file.
    pub file: String,
    /// How many tests passed.
    pub passed: usize,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

/// Reads the built-in rules and those below the paths. Without paths the built-in ones are to be tested. The error is
/// for a path that is not there.
pub fn collect(paths: &[PathBuf]) -> std::io::Result<Files> {
    let mut files = Files::default();
    for (path, text) in builtin_files() {
        files.add(path, text, true, paths.is_empty());
    }
    let found = files::find(paths)?;
    files.faults = found.faults;
    for file in found.files {
        files.add_file(&file);
        let tests = file.with_extension("test.yml");
        if tests.is_file() {
            files.add_file(&tests);
        }
    }
    Ok(files)
}

impl Files {
    fn add_file(&mut self, path: &Path) {
        match files::read(path) {
            Ok(text) => self.add(path.display().to_string(), text, false, true),
            Err(fault) => self.faults.push(fault),
        }
    }

    fn add(&mut self, path: String, text: String, builtin: bool, is_tested: bool) {
        if is_test_file(&path) {
            self.tests.insert(path, text);
        } else if is_rule_file(&path) {
            if is_tested {
                self.tested.insert(path.clone());
            }
            self.sources.push((path, text, builtin));
        }
    }
}

/// Runs the tests of files whose path contains `filter`.
pub fn run(files: &Files, filter: &str) -> Vec<Outcome> {
    let all = RuleSet::from_texts(&files.sources);
    let unread = files.faults.iter().map(|fault| Outcome {
        file: fault.place.file.clone(),
        passed: 0,
        failures: vec![fault.to_string()],
    });
    let chosen = files.tested.iter().filter(|file| file.contains(filter));
    unread.chain(chosen.map(|file| run_file(files, &all, file))).collect()
}

fn run_file(files: &Files, all: &RuleSet, file: &str) -> Outcome {
    let mut outcome = Outcome { file: file.to_owned(), passed: 0, failures: Vec::new() };
    outcome.failures.extend(
        all.errors
            .iter()
            .filter(|error| error.place.file == file)
            .map(|error| format!("rule refused: {error}")),
    );
    let stem = file.trim_end_matches(".yaml").trim_end_matches(".yml");
    let Some(text) = files.tests.get(&format!("{stem}.test.yml")) else { return outcome };
    let tests = match read_tests(text) {
        Ok(tests) => tests,
        Err(error) => {
            outcome.failures.push(format!("{stem}.test.yml: {error}"));
            return outcome;
        }
    };
    let needed = needed_files(all, file);
    let sources: Vec<_> =
        files.sources.iter().filter(|(path, ..)| needed.contains(path.as_str())).cloned().collect();
    let rules = RuleSet::from_texts(&sources);
    let own: BTreeSet<&str> =
        rules.rules.iter().filter(|rule| rule.place.file == file).map(|rule| rule.handle()).collect();
    for test in tests {
        match test.run(&rules, &own) {
            Ok(()) => outcome.passed += 1,
            Err(failure) => outcome.failures.push(format!("{}: {failure}", test.name)),
        }
    }
    outcome
}

/// The file and those of the rules that its correlations look at; all, where it looks at the alerts of all.
fn needed_files<'r>(all: &'r RuleSet, file: &'r str) -> BTreeSet<&'r str> {
    let mut own = all.rules.iter().filter(|rule| rule.place.file == file);
    if own.any(|rule| matches!(&rule.body, Body::Correlation(linked) if linked.correlation.kind.is_risk())) {
        return all.rules.iter().map(|rule| rule.place.file.as_str()).collect();
    }
    let mut needed: BTreeSet<&str> = BTreeSet::from([file]);
    loop {
        let before = needed.len();
        for rule in &all.rules {
            if let Body::Correlation(linked) = &rule.body
                && needed.contains(rule.place.file.as_str())
            {
                needed.extend(linked.inputs.iter().map(|input| all.rules[*input].place.file.as_str()));
            }
        }
        if needed.len() == before {
            return needed;
        }
    }
}

struct RuleTest {
    name: String,
    expect: BTreeSet<String>,
    lines: Vec<(Timestamp, String)>,
}

fn read_tests(text: &str) -> Result<Vec<RuleTest>, String> {
    let documents =
        yaml::documents(text).map_err(|error| format!("line {}: {}", error.line, error.message))?;
    let Some(tests) = documents.first().and_then(|document| document.get("tests")) else {
        return Err("expected a list of 'tests'".to_owned());
    };
    tests.one_or_many().iter().map(read_test).collect()
}

fn read_test(node: &Node) -> Result<RuleTest, String> {
    let fault = |line: usize, expected: &str| Err(format!("line {line}: expected {expected}"));
    let mut name = None;
    let mut expect = None;
    let mut lines = Vec::new();
    for entry in node.entries() {
        match entry.key.as_str() {
            "name" => name = entry.value.scalar_text(),
            "expect" => {
                expect = Some(
                    entry.value.one_or_many().iter().filter_map(Node::scalar_text).collect::<BTreeSet<_>>(),
                );
            }
            "events" => {
                let mut last = START;
                for item in entry.value.one_or_many() {
                    last = read_item(item, last, &mut lines)?;
                }
            }
            other => return fault(entry.line, &format!("name, expect or events, not '{other}'")),
        }
    }
    match (name, expect) {
        (Some(name), Some(expect)) if !lines.is_empty() => {
            lines.sort_by_key(|(at, _): &(Timestamp, String)| *at);
            Ok(RuleTest { name, expect, lines })
        }
        _ => fault(node.line, "a name, expect (a list, which may be empty) and events"),
    }
}

fn read_item(
    item: &Node,
    last: Timestamp,
    lines: &mut Vec<(Timestamp, String)>,
) -> Result<Timestamp, String> {
    let fault = |line: usize, expected: &str| Err(format!("line {line}: expected {expected}"));
    let mut template = None;
    let mut repeat = 1;
    let mut every = Duration::from_secs(1);
    let mut offset = None;
    for entry in item.entries() {
        let span = || entry.value.scalar_text().as_deref().and_then(span_or_zero);
        match (entry.key.as_str(), &entry.value.data) {
            ("line", Data::Text(text)) => template = Some(text.clone()),
            ("event", Data::Map(fields)) => {
                let mut object = serde_json::Map::new();
                object.insert("@timestamp".to_owned(), "{rfc3339}".into());
                for field in fields {
                    object.insert(field.key.clone(), json(&field.value));
                }
                template = Some(serde_json::Value::Object(object).to_string());
            }
            ("repeat", Data::Int(times)) => repeat = u64::try_from(*times).unwrap_or(0),
            ("every", _) => match span() {
                Some(span) => every = span,
                None => return fault(entry.line, "a span such as 5s"),
            },
            ("at", _) => match span() {
                Some(span) => offset = Some(span),
                None => return fault(entry.line, "a span such as 5s"),
            },
            (other, _) => {
                return fault(entry.line, &format!("line, event, repeat, every or at, not '{other}'"));
            }
        }
    }
    let Some(template) = template else { return fault(item.line, "a line or an event") };
    if lines.len() as u64 + repeat > MAX_LINES {
        return fault(item.line, "fewer repetitions");
    }
    let first = match offset {
        Some(offset) => START.after(offset),
        None if lines.is_empty() => START,
        None => last.after(every),
    };
    let mut at = first;
    for number in 0..repeat {
        at = first.after(every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)));
        lines.push((at, fill(&template, number, at)));
    }
    Ok(at)
}

/// A span in Sigma's notation, or `0s`, or milliseconds such as `50ms`.
fn span_or_zero(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(digits) => digits.parse().ok().map(Duration::from_millis),
        None if text == "0s" => Some(Duration::ZERO),
        None => parse_span(text),
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.data {
        Data::Null => serde_json::Value::Null,
        Data::Bool(value) => (*value).into(),
        Data::Int(value) => (*value).into(),
        Data::Float(value) => (*value).into(),
        Data::Text(text) => text.clone().into(),
        Data::List(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Data::Map(entries) => {
            let fields = entries.iter().map(|entry| (entry.key.clone(), json(&entry.value)));
            serde_json::Value::Object(fields.collect())
        }
    }
}

fn fill(template: &str, number: u64, at: Timestamp) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        text.push_str(before);
        let word = from.find('}').map(|end| &from[1..end]);
        let filled = match word {
            Some("n") => Some(number.to_string()),
            Some("rfc3339") => Some(at.to_string()),
            Some("clf") => Some(common_log_time(at)),
            Some(word) => word
                .strip_prefix('m')
                .and_then(|digits| digits.parse::<u64>().ok())
                .filter(|modulus| *modulus > 0)
                .map(|modulus| (number % modulus).to_string()),
            None => None,
        };
        match (filled, word) {
            (Some(filled), Some(word)) => {
                text.push_str(&filled);
                rest = &from[word.len() + 2..];
            }
            _ => {
                text.push('{');
                rest = &from[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn common_log_time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros())
        .map(|at| at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string())
        .unwrap_or_default()
}

impl RuleTest {
    fn run(&self, rules: &RuleSet, own: &BTreeSet<&str>) -> Result<(), String> {
        if let Some(unknown) = self.expect.iter().find(|name| !own.contains(name.as_str())) {
            return Err(format!("'{unknown}' is no rule of this file"));
        }
        let settings = Settings { threads: 1, ..Settings::default() };
        let mut engine = Engine::new(rules, Allowlist::default(), &settings)
            .map_err(|error| format!("cannot start: {error}"))?;
        let decode = Arc::new(decode::Settings::default());
        let mut chunks = Vec::new();
        for (format, is_json) in [(Format::Combined, false), (Format::Json, true)] {
            let source = engine.add_source(&format.to_string(), "", Arc::clone(&decode));
            let mut text = String::new();
            for (_, line) in self.lines.iter().filter(|(_, line)| line.starts_with('{') == is_json) {
                text.push_str(line);
                text.push('\n');
            }
            chunks.push(Chunk { source, text, format, received: None });
        }
        engine.read(chunks);
        let mut transitions = engine.count(Some(Timestamp::from_micros(i64::MAX)));
        transitions.extend(engine.finish().0);
        let unread: u64 = engine.counts().read.decoded.undecodable.iter().sum();
        if let Some(line) = engine.undecodable().first() {
            return Err(format!("{unread} lines cannot be read, such as: {} ({})", line.start, line.reason));
        }
        let opened: BTreeSet<String> = transitions
            .into_iter()
            .filter_map(|transition| match transition {
                Transition::Opened(alert) => Some(alert.rule.name.clone()),
                Transition::Escalated(..) | Transition::Resolved(_) => None,
            })
            .filter(|name| own.contains(name.as_str()))
            .collect();
        if opened == self.expect {
            return Ok(());
        }
        Err(format!("expected {:?} to alert, but {:?} did", self.expect, opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        assert_eq!(fill("a{n}b{m3}{x}{", 4, START), "a4b1{x}{");
        assert_eq!(fill("{clf} {rfc3339}", 0, START), "05/Jan/2026:10:00:00 +0000 2026-01-05T10:00:00Z");
    }
}
