//! Sigma documents: read, checked, and linked to one another.
//!
//! Pure but for [`RuleSet::load`], which reads directories. What comes out is a [`RuleSet`] whose references are
//! resolved; compiling it for speed is the business of `matching`, counting that of `windows`. A document with a
//! fault is refused with file, line, key and what was expected, and all others go on.

pub mod condition;
pub mod correlation;
pub mod detection;
pub mod pattern;
pub mod regex;
pub mod yaml;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use crate::event::Class;
use correlation::Correlation;
use detection::Expression;
use yaml::{Data, Node};

/// Values of placeholders (`%name%` under the modifier `expand`), by name.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// How much a finding of a rule matters. Sigma's `level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Informational,
    /// Worth a look when there is time.
    Low,
    /// Should be looked at soon. The first level that pages someone.
    Medium,
    /// Should be looked at now.
    High,
    /// Drop everything.
    Critical,
}

impl Severity {
    /// All of them, in rising order.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Sigma's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A rule, checked and linked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Sigma's `id`.
    pub id: Option<String>,
    /// Sigma's `name`: what correlations call it, and what an operator sees.
    pub name: Option<String>,
    /// One line for people.
    pub title: String,
    /// What it finds and why that matters.
    pub description: String,
    /// How much a finding matters.
    pub severity: Severity,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may look like this.
    pub false_positives: Vec<String>,
    /// What whoever is paged should look at and do first.
    pub advice: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it comes from the pack that is built in.
    pub builtin: bool,
    /// Whether a match of it is a finding by itself. A rule that correlations refer to is not, unless they generate
    /// it, nor is one that says `reported: false`, being there to be referred to.
    pub reported: bool,
    /// Names of rules about the same subject that have said enough: while an alert of one of them is open, this one
    /// opens none.
    pub inhibited_by: Vec<String>,
    /// What it looks for.
    pub body: Body,
}

/// What a rule looks for.
#[derive(Clone, Debug)]
pub enum Body {
    /// Something in one event.
    Detection(Detection),
    /// Something in many events.
    Correlation(LinkedCorrelation),
}

/// A rule about one event.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The classes of events it looks at, as bits ([`Class::bit`]).
    pub classes: u8,
    /// What it looks for.
    pub expression: Expression,
    /// What one episode is about, when the rule reports by itself.
    pub group_by: Vec<String>,
    /// How long an episode lasts after its last match, when the rule reports by itself.
    pub timespan: Duration,
}

/// A correlation and the rules it refers to.
#[derive(Clone, Debug)]
pub struct LinkedCorrelation {
    /// As written.
    pub correlation: Correlation,
    /// Indices into [`RuleSet::rules`], in the order of `correlation.rules`.
    pub inputs: Vec<usize>,
    /// 1 when all inputs are detections, otherwise one more than the highest level of its inputs.
    pub level: usize,
}

/// A file and a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Something wrong with a rule, which is refused for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// The path of the key, such as `detection.selection.cs-method|contians`; empty for the whole file.
    pub key: String,
    /// What was expected there.
    pub expected: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: expected {}", self.place, self.expected)
        } else {
            write!(f, "{}: {}: expected {}", self.place, self.key, self.expected)
        }
    }
}

/// Faults of the document that is being read.
#[derive(Debug, Default)]
pub struct Faults {
    noted: Vec<(usize, String, String)>,
}

impl Faults {
    /// Notes what was expected at a line and key.
    pub fn note(&mut self, line: usize, key: &str, expected: String) {
        self.noted.push((line, key.to_owned(), expected));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.noted.len()
    }

    fn into_errors(self, file: &str) -> impl Iterator<Item = RuleError> {
        self.noted.into_iter().map(move |(line, key, expected)| RuleError {
            place: Place { file: file.to_owned(), line },
            key,
            expected,
        })
    }
}

/// The default for what one episode of a detection is about.
const DEFAULT_GROUP_BY: &str = "source.ip";
/// The default for how long an episode of a detection lasts after its last match.
const DEFAULT_TIMESPAN: Duration = Duration::from_secs(600);

impl Rule {
    /// The name, else the id, else the title: what commands and outputs call the rule.
    pub fn handle(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or(&self.title)
    }

    /// What subjects of the rule are made of.
    pub fn group_by(&self) -> &[String] {
        match &self.body {
            Body::Detection(detection) => &detection.group_by,
            Body::Correlation(linked) => &linked.correlation.group_by,
        }
    }

    /// How many correlations deep the rule is; a detection that reports is as deep as a correlation of detections.
    pub fn level(&self) -> usize {
        match &self.body {
            Body::Detection(_) => 1,
            Body::Correlation(linked) => linked.level,
        }
    }

    /// The id, else the name, else the title: what identifies the rule across versions.
    pub fn identity(&self) -> &str {
        self.id.as_deref().or(self.name.as_deref()).unwrap_or(&self.title)
    }
}

/// Rules and what was wrong with those that were refused.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// All rules, in the order of their files; a replaced built-in rule keeps its place.
    pub rules: Vec<Rule>,
    /// Why others were refused.
    pub errors: Vec<RuleError>,
}

#[derive(rust_embed::RustEmbed)]
#[folder = "rules"]
#[include = "*.yml"]
struct Pack;

/// The files of the built-in pack, by path, sorted.
pub fn builtin_files() -> Vec<(String, String)> {
    let mut paths: Vec<_> = Pack::iter().collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let file = Pack::get(&path)?;
            Some((format!("builtin/{path}"), String::from_utf8_lossy(&file.data).into_owned()))
        })
        .collect()
}

/// The rule files below a directory, or the file itself, sorted: `*.yml` and `*.yaml` but not `*.test.yml`.
pub fn files_below(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if path.is_dir() {
        let mut entries =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            if entry.is_dir() || is_rule_file(&entry.to_string_lossy()) {
                files.extend(files_below(&entry)?);
            }
        }
    } else {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Whether a file of this name holds rules: YAML, and not the tests of a rule.
pub fn is_rule_file(name: &str) -> bool {
    (name.ends_with(".yml") || name.ends_with(".yaml")) && !is_test_file(name)
}

/// Whether a file of this name holds the tests of a rule.
pub fn is_test_file(name: &str) -> bool {
    name.ends_with(".test.yml") || name.ends_with(".test.yaml")
}

impl RuleSet {
    /// The built-in pack, if wanted, and the rules below the directories, linked.
    ///
    /// A rule of a directory replaces a built-in one of the same id or name. The error is for a directory or file
    /// that cannot be read; faults of rules are in [`RuleSet::errors`].
    pub fn load(builtin: bool, directories: &[PathBuf]) -> std::io::Result<Self> {
        let mut sources = Vec::new();
        if builtin {
            sources.extend(
                builtin_files()
                    .into_iter()
                    .filter(|(path, _)| is_rule_file(path))
                    .map(|(path, text)| (path, text, true)),
            );
        }
        for directory in directories {
            for file in files_below(directory).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
            })? {
                let bytes = std::fs::read(&file).map_err(|error| {
                    std::io::Error::new(error.kind(), format!("{}: {error}", file.display()))
                })?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                sources.push((file.display().to_string(), text, false));
            }
        }
        Ok(Self::from_texts(&sources))
    }

    /// Rules out of texts: name of the file, text, and whether it is built in.
    pub fn from_texts(sources: &[(String, String, bool)]) -> Self {
        let mut set = Self::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        // Reading is most of the time until the first line can be looked at.
        let read: Vec<_> =
            sources.par_iter().map(|(file, text, builtin)| read_file(file, text, *builtin)).collect();
        for document in read.into_iter().flatten() {
            match document {
                Ok(rule) => set.add(rule, &mut seen),
                Err(mut errors) => set.errors.append(&mut errors),
            }
        }
        set.link();
        set.errors.sort();
        set
    }

    fn add(&mut self, rule: Rule, seen: &mut HashMap<String, usize>) {
        let mut names: Vec<String> = rule.id.iter().chain(&rule.name).cloned().collect();
        if names.is_empty() {
            // What identifies it, so that its alerts are not taken for another's.
            names.push(rule.title.clone());
        }
        let earlier = names.iter().find_map(|name| seen.get(name).copied());
        match earlier {
            Some(index) if self.rules[index].builtin && !rule.builtin => {
                seen.extend(names.into_iter().map(|name| (name, index)));
                self.rules[index] = rule;
            }
            Some(index) => self.errors.push(RuleError {
                place: rule.place.clone(),
                key: "id".to_owned(),
                expected: format!("an id and a name of its own: {} has one of them", self.rules[index].place),
            }),
            None => {
                seen.extend(names.into_iter().map(|name| (name, self.rules.len())));
                self.rules.push(rule);
            }
        }
    }

    /// Resolves references; refuses correlations with unknown ones or in a circle.
    fn link(&mut self) {
        loop {
            let mut by_name: HashMap<&str, usize> = HashMap::new();
            for (index, rule) in self.rules.iter().enumerate() {
                for name in rule.id.iter().chain(&rule.name) {
                    by_name.insert(name, index);
                }
            }
            let mut broken: Vec<(usize, String)> = Vec::new();
            let mut links: Vec<(usize, Vec<usize>)> = Vec::new();
            for (index, rule) in self.rules.iter().enumerate() {
                let Body::Correlation(linked) = &rule.body else { continue };
                let mut inputs = Vec::new();
                for reference in &linked.correlation.rules {
                    match by_name.get(reference.as_str()) {
                        Some(input) => inputs.push(*input),
                        None => {
                            broken.push((
                                index,
                                format!("ids or names of rules that are loaded: '{reference}' is none"),
                            ));
                            break;
                        }
                    }
                }
                links.push((index, inputs));
            }
            if broken.is_empty() {
                for (index, inputs) in links {
                    if let Body::Correlation(linked) = &mut self.rules[index].body {
                        linked.inputs = inputs;
                    }
                }
                broken = self.find_levels();
            }
            if broken.is_empty() {
                break;
            }
            for (index, expected) in broken.into_iter().rev() {
                let rule = self.rules.remove(index);
                self.errors.push(RuleError {
                    place: rule.place,
                    key: "correlation.rules".to_owned(),
                    expected,
                });
            }
        }
        self.find_reported();
        self.check_inhibitions();
    }

    /// A rule can be inhibited by one about the same subject only. A fault here does not take the rule away: it would
    /// rather say too much than nothing.
    fn check_inhibitions(&mut self) {
        for rule in &self.rules {
            for name in &rule.inhibited_by {
                let is_named =
                    |other: &&Rule| other.id.as_ref() == Some(name) || other.name.as_ref() == Some(name);
                let expected = match self.rules.iter().find(is_named) {
                    Some(other)
                        if other.group_by() == rule.group_by()
                            && other.level() <= rule.level()
                            && other.reported =>
                    {
                        continue;
                    }
                    Some(_) => format!(
                        "a rule that is reported, has the same group-by and is no more correlations deep, which \
                         '{name}' is not"
                    ),
                    None => format!("the name or id of a rule that is loaded, not '{name}'"),
                };
                self.errors.push(RuleError {
                    place: rule.place.clone(),
                    key: "x-watchbell.inhibited-by".to_owned(),
                    expected,
                });
            }
        }
    }

    fn find_levels(&mut self) -> Vec<(usize, String)> {
        let mut levels: Vec<usize> = vec![0; self.rules.len()];
        let mut known: Vec<bool> =
            self.rules.iter().map(|rule| matches!(rule.body, Body::Detection(_))).collect();
        loop {
            let mut changed = false;
            for (index, rule) in self.rules.iter().enumerate() {
                let Body::Correlation(linked) = &rule.body else { continue };
                if !known[index] && linked.inputs.iter().all(|input| known[*input]) {
                    levels[index] = 1 + linked.inputs.iter().map(|input| levels[*input]).max().unwrap_or(0);
                    known[index] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let circular = known.iter().enumerate().filter(|(_, known)| !**known);
        let broken = circular
            .map(|(index, _)| (index, "rules that do not refer back to this one".to_owned()))
            .collect();
        for (rule, level) in self.rules.iter_mut().zip(levels) {
            if let Body::Correlation(linked) = &mut rule.body {
                linked.level = level;
            }
        }
        broken
    }

    /// `generate: false`, the default, takes the word from the rules that a correlation refers to.
    fn find_reported(&mut self) {
        let mut silenced = vec![false; self.rules.len()];
        for rule in &self.rules {
            if let Body::Correlation(linked) = &rule.body
                && !linked.correlation.generate
            {
                linked.inputs.iter().for_each(|input| silenced[*input] = true);
            }
        }
        for (rule, silenced) in self.rules.iter_mut().zip(silenced) {
            rule.reported &= !silenced;
        }
    }

    /// The rule of this id, name or title.
    pub fn find(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.id.as_deref() == Some(name) || rule.name.as_deref() == Some(name) || rule.title == name
        })
    }
}

/// The rules of a file, or what is wrong with each.
fn read_file(file: &str, text: &str, builtin: bool) -> Vec<Result<Rule, Vec<RuleError>>> {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            let place = Place { file: file.to_owned(), line: error.line };
            let expected = format!("YAML: {}", error.message);
            return vec![Err(vec![RuleError { place, key: String::new(), expected }])];
        }
    };
    let read = documents.iter().map(|document| {
        let mut faults = Faults::default();
        match read_document(document, file, builtin, &mut faults) {
            Some(rule) if faults.count() == 0 => Ok(rule),
            _ => Err(faults.into_errors(file).collect()),
        }
    });
    read.collect()
}

fn read_document(document: &Node, file: &str, builtin: bool, faults: &mut Faults) -> Option<Rule> {
    if !matches!(document.data, Data::Map(_)) {
        faults.note(document.line, "", format!("a Sigma rule, which is a map, not {}", document.kind()));
        return None;
    }
    let line = document.entries().first().map_or(document.line, |entry| entry.line);
    let title = text_of(document, "title", faults);
    if title.is_none() && faults.count() == 0 {
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
    let body = match (document.get("detection"), document.get("correlation")) {
        (Some(detection), None) => {
            let classes = classes_of(document, line, faults);
            detection::parse(detection, &extension.placeholders, faults).map(|expression| {
                let group_by =
                    extension.group_by.clone().unwrap_or_else(|| vec![DEFAULT_GROUP_BY.to_owned()]);
                let timespan = extension.timespan.unwrap_or(DEFAULT_TIMESPAN);
                Body::Detection(Detection { classes, expression, group_by, timespan })
            })
        }
        (None, Some(node)) => {
            if extension.group_by.is_some() || extension.timespan.is_some() {
                faults.note(
                    node.line,
                    "x-watchbell",
                    "no group-by or timespan there: a correlation has its own".to_owned(),
                );
            }
            correlation::parse(node, generate, faults).map(|correlation| {
                Body::Correlation(LinkedCorrelation { correlation, inputs: Vec::new(), level: 0 })
            })
        }
        (Some(_), Some(node)) => {
            faults.note(node.line, "correlation", "a detection or a correlation, not both".to_owned());
            None
        }
        (None, None) => {
            faults.note(line, "detection", "a detection or a correlation".to_owned());
            None
        }
    };
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
        reported: !extension.is_silent,
        body: body?,
    })
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
    Severity::ALL.into_iter().find(|severity| severity.name() == word).unwrap_or_else(|| {
        let expected = format!("informational, low, medium, high or critical, not '{word}'");
        faults.note(node.line, "level", expected);
        Severity::Medium
    })
}

/// The classes of events that a rule's `logsource` means. A source that Watchbell does not read matches nothing
/// but events of no known class, so that such a rule still loads and can be tried with `rules match`.
fn classes_of(document: &Node, line: usize, faults: &mut Faults) -> u8 {
    const EVERY: u8 =
        Class::Any.bit() | Class::Webserver.bit() | Class::Proxy.bit() | Class::Application.bit();
    let Some(source) = document.get("logsource") else {
        faults.note(line, "logsource", "a logsource, such as 'category: webserver'".to_owned());
        return 0;
    };
    if !matches!(source.data, Data::Map(_)) {
        faults.note(source.line, "logsource", format!("a map, not {}", source.kind()));
        return 0;
    }
    let product = source.get("product").and_then(Node::scalar_text);
    let class = match source.get("category").and_then(Node::scalar_text).as_deref() {
        Some("webserver") => Class::Webserver,
        Some("proxy") => Class::Proxy,
        Some("application") => Class::Application,
        None if product.as_deref() == Some("watchbell") => return EVERY,
        None if matches!(product.as_deref(), Some("apache" | "nginx" | "iis" | "haproxy")) => {
            Class::Webserver
        }
        _ => Class::Any,
    };
    class.bit() | Class::Any.bit()
}

/// The `x-watchbell` block: what Sigma has no key for.
#[derive(Default)]
struct Extension {
    advice: String,
    group_by: Option<Vec<String>>,
    timespan: Option<Duration>,
    placeholders: Placeholders,
    is_silent: bool,
    inhibited_by: Vec<String>,
}

impl Extension {
    fn read(document: &Node, faults: &mut Faults) -> Self {
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
                "reported" => match entry.value.data {
                    Data::Bool(reported) => extension.is_silent = !reported,
                    _ => faults.note(entry.line, &path, format!("true or false, not {}", entry.value.kind())),
                },
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
                        "advice, group-by, timespan, inhibited-by, reported or placeholders, not '{other}'"
                    ),
                ),
            }
        }
        extension
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> RuleSet {
        RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)])
    }

    const DETECTION: &str =
        "title: A\nname: a\nlogsource: {category: webserver}\ndetection: {s: {f: x}, condition: s}\n";

    fn correlation(lines: &str) -> String {
        format!("{DETECTION}---\ntitle: C\nname: c\ncorrelation:\n{lines}")
    }

    #[test]
    fn a_detection_under_a_correlation_is_not_reported_unless_generated() {
        let body = "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 2}\n";
        let set = load(&correlation(body));
        assert_eq!(set.errors, []);
        assert_eq!(set.rules.iter().map(|rule| rule.reported).collect::<Vec<_>>(), [false, true]);
        let set = load(&correlation(&format!("{body}  generate: true\n")));
        assert!(set.rules.iter().all(|rule| rule.reported));
    }

    #[test]
    fn a_count_takes_in_many_rules_and_a_temporal_correlation_as_many_as_it_has_bits() {
        let detections: String = (0..63)
            .map(|number| format!("{}---\n", DETECTION.replace("name: a", &format!("name: a{number}"))))
            .collect();
        for (kind, many, errors) in [("event_count", 63, 0), ("temporal", 32, 0), ("temporal", 33, 1)] {
            let names: Vec<String> = (0..many).map(|number| format!("a{number}")).collect();
            let condition = if kind == "temporal" { "" } else { ", condition: {gte: 1}" };
            let correlation = format!(
                "{detections}title: C\nname: c\n\
                 correlation: {{type: {kind}, rules: [{}], timespan: 1m{condition}}}\n",
                names.join(", ")
            );
            assert_eq!(load(&correlation).errors.len(), errors, "{kind} of {many}");
        }
    }

    #[test]
    fn an_invalid_rule_is_refused_with_line_and_key_and_the_others_go_on() {
        for (text, line, key, expected) in [
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s:\n    f|contians: x\n  condition: s\n",
                5,
                "detection.s.f|contians",
                "not 'contians'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {f: x}\n  condition: t\n",
                5,
                "detection.condition",
                "not 't'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {f: x}\n",
                4,
                "detection.condition",
                "a condition",
            ),
            ("title: A\ndetection:\n  s: {f: x}\n  condition: s\n", 1, "logsource", "logsource"),
            (
                "title: A\nlevel: dire\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\n",
                2,
                "level",
                "not 'dire'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|re': '(('}\n  condition: s\n",
                4,
                "detection.s.f|re",
                "regular expression",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|cidr': '10.0.0.0/99'}\n  condition: s\n",
                4,
                "detection.s.f|cidr",
                "a network",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|expand': '%x%'}\n  condition: s\n",
                4,
                "detection.s.f|expand",
                "%x%",
            ),
            ("title: A\n  b: [\n", 2, "", "YAML"),
            ("- 1\n", 1, "", "a map"),
        ] {
            let set = load(text);
            assert_eq!(set.rules.len(), 0, "{text}");
            let error = &set.errors[0];
            assert_eq!((error.place.line, error.key.as_str()), (line, key), "{text}\n{error}");
            assert!(error.expected.contains(expected), "{error}");
            if line != 2 || !key.is_empty() {
                let set = load(&format!("{text}---\n{DETECTION}"));
                assert_eq!(set.rules.len(), 1, "the rule behind it must load: {:?}", set.errors);
            }
        }
    }

    #[test]
    fn faults_of_correlations_are_found() {
        for (body, key, expected) in [
            ("  type: event_count\n  rules: a\n  condition: {gte: 2}\n", "correlation.timespan", "a span"),
            (
                "  type: event_count\n  rules: a\n  timespan: 5x\n  condition: {gte: 2}\n",
                "correlation.timespan",
                "not '5x'",
            ),
            (
                "  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {banana: 1}\n",
                "correlation.condition.banana",
                "gte",
            ),
            ("  type: event_count\n  rules: a\n  timespan: 5m\n", "correlation.condition", "gte: 10"),
            (
                "  type: value_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.condition.field",
                "distinct",
            ),
            (
                "  type: value_percentile\n  rules: a\n  timespan: 5m\n  condition: {gte: 2, field: f}\n",
                "correlation.condition.percentile",
                "0 to 100",
            ),
            (
                "  type: spike\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.type",
                "not 'spike'",
            ),
            (
                "  type: event_count\n  rules: nothere\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.rules",
                "'nothere'",
            ),
            (
                "  type: event_count\n  rules: c\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.rules",
                "refer back",
            ),
            (
                "  type: event_count\n  rules: a\n  group_by: x\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.group_by",
                "group-by",
            ),
            (
                "  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n  aliases: {x: {b: f}}\n",
                "correlation.aliases.x",
                "not 'b'",
            ),
        ] {
            let set = load(&correlation(body));
            assert_eq!(set.rules.len(), 1, "{body}");
            assert_eq!(set.errors[0].key, key, "{}", set.errors[0]);
            assert!(set.errors[0].expected.contains(expected), "{}", set.errors[0]);
        }
    }

    #[test]
    fn a_chain_through_a_refused_rule_is_refused_too() {
        let chain = "---\ntitle: D\nname: d\ncorrelation: {type: event_count, rules: c, timespan: 1m, condition: {gte: 2}}\n";
        let set = load(&format!(
            "{}{chain}",
            correlation("  type: event_count\n  rules: nothere\n  timespan: 5m\n  condition: {gte: 2}\n")
        ));
        assert_eq!((set.rules.len(), set.errors.len()), (1, 2));
        let set = load(&format!(
            "{}{chain}",
            correlation("  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n")
        ));
        let levels: Vec<_> = set
            .rules
            .iter()
            .map(|rule| match &rule.body {
                Body::Detection(_) => 0,
                Body::Correlation(linked) => linked.level,
            })
            .collect();
        assert_eq!(levels, [0, 1, 2]);
    }

    #[test]
    fn a_rule_of_a_directory_replaces_a_built_in_one_and_a_double_is_refused() {
        let sources = [
            ("builtin/a.yml".to_owned(), DETECTION.to_owned(), true),
            ("mine.yml".to_owned(), DETECTION.to_owned(), false),
        ];
        let set = RuleSet::from_texts(&sources);
        assert_eq!((set.rules.len(), set.rules[0].place.file.as_str()), (1, "mine.yml"));
        let set = load(&format!("{DETECTION}---\n{DETECTION}"));
        assert_eq!((set.rules.len(), set.errors.len()), (1, 1));
        assert!(set.errors[0].expected.contains("r.yml:1"), "{}", set.errors[0]);
    }
}
