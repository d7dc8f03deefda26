//! A detection, compiled: an expression over numbered tests, and the few tests that make it worth evaluating.
//!
//! Of most detections almost no event satisfies even one of the rarer tests. So each detection names its *trigger*:
//! a set of tests of which one at least must be satisfied for the detection to match. Only when one of them is
//! found in a text is the whole expression evaluated. Tests that do not look for text (null, numbers, networks,
//! other fields), and regular expressions that no literal stands for, are evaluated on the event when, and only when,
//! an expression asks for them; regular expressions last.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::text::{ANY_FIELD, Builder, Hit, required_literals};
use crate::event::{Event, FieldId, Schema, Timestamp, Value};
use crate::rules::detection::{Check, Comparison, Expression, Relation, Test, TimePart};
use crate::rules::pattern::{Part, fold_case};
use crate::rules::regex::LazyRegex;

/// An expression over tests.
#[derive(Clone, Debug)]
pub enum Node {
    /// A text test, satisfied when the scan marked it.
    Text(u32),
    /// A test evaluated on the event.
    Direct(DirectTest),
    /// All of these.
    All(Box<[Node]>),
    /// One of these.
    Any(Box<[Node]>),
    /// Not this.
    Not(Box<Node>),
}

/// A test of a field that does not look for text.
#[derive(Clone, Debug)]
pub struct DirectTest {
    field: FieldId,
    check: DirectCheck,
}

#[derive(Clone, Debug)]
enum DirectCheck {
    Null,
    Exists(bool),
    HasValue,
    Number(Comparison, f64),
    Network(IpNet),
    Field { other: FieldId, relation: Relation, cased: bool },
    TimePart(TimePart, i64),
    Regex(LazyRegex),
}

/// A detection, compiled.
#[derive(Clone, Debug)]
pub struct Program {
    /// The expression.
    pub node: Node,
    /// Text tests of which one at least is satisfied whenever the expression is; `None` when there is no such set.
    pub trigger: Option<Vec<u32>>,
}

/// Compiles expressions, numbering their text tests.
pub struct Compiler<'a> {
    /// Numbers fields.
    pub schema: &'a mut Schema,
    /// Takes the patterns.
    pub texts: &'a mut Builder,
    /// Roughly how often each test is satisfied, by number.
    frequencies: Vec<f64>,
    /// The field of each test, by number.
    fields: Vec<FieldId>,
    /// Whether regular expressions without a literal are looked for in every text.
    scans_regexes: bool,
    /// Numbers by what is tested: many rules ask for the same method or status.
    numbers: HashMap<String, u32>,
}

impl<'a> Compiler<'a> {
    /// A compiler that numbers tests from 0.
    pub fn new(schema: &'a mut Schema, texts: &'a mut Builder) -> Self {
        Self {
            schema,
            texts,
            frequencies: Vec::new(),
            fields: Vec::new(),
            scans_regexes: false,
            numbers: HashMap::new(),
        }
    }

    /// The field of each text test so far; [`ANY_FIELD`] for keywords.
    pub fn fields(&self) -> &[FieldId] {
        &self.fields
    }

    /// Compiles a detection.
    ///
    /// One that has nothing rarer than a regular expression is compiled so that the expression is looked for in each
    /// text, where what was found in equal texts is remembered.
    pub fn compile(&mut self, expression: &Expression) -> Program {
        let mut has_bare_regex = false;
        expression.tests(&mut |test| has_bare_regex |= is_bare_regex(test));
        let is_triggered = |compiler: &mut Self| {
            let mut nothing = Builder::default();
            let mut trial = Compiler::new(&mut *compiler.schema, &mut nothing);
            let node = trial.node(expression);
            trial.trigger(&node).is_some()
        };
        self.scans_regexes = has_bare_regex && !is_triggered(self);
        let node = self.node(expression);
        let trigger = self.trigger(&node).map(|(tests, _)| tests);
        Program { node, trigger }
    }

    fn node(&mut self, expression: &Expression) -> Node {
        match expression {
            Expression::All(parts) => {
                let mut nodes: Vec<Node> = parts.iter().map(|part| self.node(part)).collect();
                nodes.sort_by_key(Node::has_regex);
                Node::All(nodes.into())
            }
            Expression::Any(parts) => self.any(parts),
            Expression::Not(inner) => Node::Not(Box::new(self.node(inner))),
            Expression::Test(test) => match self.direct(test) {
                Some(direct) => Node::Direct(direct),
                None => self.text(std::slice::from_ref(&test)),
            },
        }
    }

    /// Alternatives about the text of one field are one test: a list of a thousand words costs as much as one.
    fn any(&mut self, parts: &[Expression]) -> Node {
        let mut nodes = Vec::new();
        let mut together: Vec<(Option<&str>, Vec<&Test>)> = Vec::new();
        for part in parts {
            match part {
                Expression::Test(test) if self.is_text(test) => {
                    let field = test.field.as_deref();
                    match together.iter_mut().find(|(other, _)| *other == field) {
                        Some((_, tests)) => tests.push(test),
                        None => together.push((field, vec![test])),
                    }
                }
                other => nodes.push(self.node(other)),
            }
        }
        nodes.extend(together.into_iter().map(|(_, tests)| self.text(&tests)));
        if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes.into()) }
    }

    fn text(&mut self, tests: &[&Test]) -> Node {
        let number = self.frequencies.len() as u32;
        let mut same: Vec<String> = tests.iter().map(|test| format!("{test:?}")).collect();
        same.sort_unstable();
        let known = *self.numbers.entry(same.join("\n")).or_insert(number);
        if known != number {
            return Node::Text(known);
        }
        let mut frequency: f64 = 0.0;
        // All tests together are about one field.
        let name = tests.first().and_then(|test| test.field.as_deref());
        let field = name.map_or(ANY_FIELD, |field| self.schema.intern(field));
        self.fields.push(field);
        for test in tests {
            let hit = Hit { field, test: number };
            frequency += match &test.check {
                Check::Text { pattern, cased } => {
                    self.texts.pattern(hit, pattern, *cased);
                    match pattern.as_literal() {
                        Some(value) => frequency_of_value(field, value),
                        None => frequency_of_literal(field, pattern.longest_literal().unwrap_or_default()),
                    }
                }
                Check::Regex(regex) => {
                    self.texts.regex(hit, regex);
                    frequency_of_literal(field, if is_bare_regex(test) { "" } else { "four" })
                }
                _ => 1.0,
            };
        }
        self.frequencies.push(frequency);
        Node::Text(number)
    }

    fn is_text(&self, test: &Test) -> bool {
        match &test.check {
            Check::Text { pattern, .. } => pattern.parts() != [Part::Any] || test.field.is_none(),
            Check::Regex(_) => self.scans_regexes || !is_bare_regex(test),
            _ => false,
        }
    }

    fn direct(&mut self, test: &Test) -> Option<DirectTest> {
        if self.is_text(test) {
            return None;
        }
        let field = self.schema.intern(test.field.as_deref()?);
        let check = match &test.check {
            Check::Text { .. } => DirectCheck::HasValue,
            Check::Regex(regex) => DirectCheck::Regex(regex.clone()),
            Check::Null => DirectCheck::Null,
            Check::Exists(wanted) => DirectCheck::Exists(*wanted),
            Check::Number(comparison, number) => DirectCheck::Number(*comparison, *number),
            Check::Network(network) => DirectCheck::Network(*network),
            Check::TimePart(part, number) => DirectCheck::TimePart(*part, *number),
            Check::Field { other, relation, cased } => {
                DirectCheck::Field { other: self.schema.intern(other), relation: *relation, cased: *cased }
            }
        };
        Some(DirectTest { field, check })
    }

    fn trigger(&self, node: &Node) -> Option<(Vec<u32>, f64)> {
        match node {
            Node::Text(test) => Some((vec![*test], self.frequencies[*test as usize])),
            Node::Direct(_) | Node::Not(_) => None,
            Node::All(parts) => parts
                .iter()
                .filter_map(|part| self.trigger(part))
                .min_by(|(_, left), (_, right)| left.total_cmp(right)),
            Node::Any(parts) => {
                let triggers: Option<Vec<_>> = parts.iter().map(|part| self.trigger(part)).collect();
                let mut tests = Vec::new();
                let mut frequency = 0.0;
                for (more, frequency_of_part) in triggers? {
                    tests.extend(more);
                    frequency += frequency_of_part;
                }
                Some((tests, frequency))
            }
        }
    }
}

/// A regular expression over a field that no literal stands for. Over any field there is no single value to try.
fn is_bare_regex(test: &Test) -> bool {
    match &test.check {
        Check::Regex(regex) => test.field.is_some() && required_literals(regex.source()).is_empty(),
        _ => false,
    }
}

/// How often a field has a value, roughly: only the order matters. Most requests are alike in a few fields.
fn frequency_of_value(field: FieldId, value: &str) -> f64 {
    use crate::event::field;
    let common: &[(&str, f64)] = match field {
        field::REQUEST_METHOD => &[("get", 0.9), ("post", 0.2), ("head", 0.05)],
        field::STATUS_CODE => {
            &[("200", 0.9), ("304", 0.2), ("404", 0.05), ("301", 0.05), ("302", 0.05), ("204", 0.05)]
        }
        field::EVENT_CATEGORY => &[("web", 1.0)],
        field::EVENT_OUTCOME => &[("success", 0.9), ("failure", 0.1)],
        field::HTTP_VERSION => &[("1.1", 0.9), ("2.0", 0.5), ("1.0", 0.05)],
        field::URL_EXTENSION => {
            &[("js", 0.1), ("css", 0.1), ("png", 0.1), ("jpg", 0.1), ("php", 0.05), ("html", 0.05)]
        }
        field::URL_PATH => &[("/", 0.1)],
        _ => &[],
    };
    let value = value.to_lowercase();
    common.iter().find(|(other, _)| *other == value).map_or(0.001, |(_, frequency)| *frequency)
}

/// How often a literal is found in a text, roughly: a short one is found by chance, and agents are much alike. Quotes and
/// brackets are rare in all but agents.
fn frequency_of_literal(field: FieldId, literal: &str) -> f64 {
    match literal.len() {
        1.. if field != crate::event::field::USER_AGENT
            && literal.contains(['\'', '"', '(', ')', '<', '>', '{', '}', '`', '$', '|']) =>
        {
            0.001
        }
        2.. if field == crate::event::field::USER_AGENT => 0.05,
        0 => 1.0,
        1 => 0.5,
        2 => 0.05,
        3 => 0.01,
        4 => 0.003,
        5 => 0.000_5,
        _ => 0.000_1,
    }
}

impl Node {
    fn has_regex(&self) -> bool {
        match self {
            Node::Text(_) => false,
            Node::Direct(test) => matches!(test.check, DirectCheck::Regex(_)),
            Node::All(parts) | Node::Any(parts) => parts.iter().any(Node::has_regex),
            Node::Not(inner) => inner.has_regex(),
        }
    }

    /// Whether the event satisfies the expression, as far as some of its fields decide it; `None` when they do not.
    ///
    /// `marked` says of the text tests about those fields which the scan found, and is `None` for all others.
    pub fn decided(
        &self,
        event: &Event<'_>,
        marked: &impl Fn(u32) -> Option<bool>,
        is_given: &impl Fn(FieldId) -> bool,
    ) -> Option<bool> {
        let all_of = |parts: &[Node], wanted: bool| {
            let mut verdict = Some(wanted);
            for part in parts {
                match part.decided(event, marked, is_given) {
                    Some(found) if found != wanted => return Some(!wanted),
                    Some(_) => {}
                    None => verdict = None,
                }
            }
            verdict
        };
        match self {
            Node::Text(test) => marked(*test),
            Node::Direct(test) => {
                let other = match test.check {
                    DirectCheck::Field { other, .. } => other,
                    _ => test.field,
                };
                (is_given(test.field) && is_given(other)).then(|| test.holds(event))
            }
            Node::All(parts) => all_of(parts, true),
            Node::Any(parts) => all_of(parts, false),
            Node::Not(inner) => inner.decided(event, marked, is_given).map(|verdict| !verdict),
        }
    }

    /// What is left of an expression that is not decided.
    pub fn rest(
        &self,
        event: &Event<'_>,
        marked: &impl Fn(u32) -> Option<bool>,
        is_given: &impl Fn(FieldId) -> bool,
    ) -> Node {
        let rest = |parts: &[Node]| {
            let open = parts.iter().filter(|part| part.decided(event, marked, is_given).is_none());
            open.map(|part| part.rest(event, marked, is_given)).collect()
        };
        match self {
            Node::Text(_) | Node::Direct(_) => self.clone(),
            Node::All(parts) => Node::All(rest(parts)),
            Node::Any(parts) => Node::Any(rest(parts)),
            Node::Not(inner) => Node::Not(Box::new(inner.rest(event, marked, is_given))),
        }
    }

    /// Whether the event satisfies the expression; `marked` says which text tests the scan found.
    pub fn holds(&self, event: &Event<'_>, marked: &impl Fn(u32) -> bool) -> bool {
        match self {
            Node::Text(test) => marked(*test),
            Node::Direct(test) => test.holds(event),
            Node::All(parts) => parts.iter().all(|part| part.holds(event, marked)),
            Node::Any(parts) => parts.iter().any(|part| part.holds(event, marked)),
            Node::Not(inner) => !inner.holds(event, marked),
        }
    }
}

impl DirectTest {
    fn holds(&self, event: &Event<'_>) -> bool {
        let value = event.get(self.field);
        match &self.check {
            DirectCheck::Null => !value.is_some(),
            DirectCheck::Exists(wanted) => matches!(value, Value::Missing) != *wanted,
            DirectCheck::HasValue => value.is_some(),
            DirectCheck::Number(comparison, number) => {
                one_of(value, &|value| value.to_number().is_some_and(|left| comparison.holds(left, *number)))
            }
            DirectCheck::Regex(regex) => {
                one_of(value, &|value| value.to_text().is_some_and(|text| regex.is_match(&text)))
            }
            DirectCheck::Network(network) => one_of(value, &|value| in_network(value, network)),
            DirectCheck::TimePart(part, number) => {
                one_of(value, &|value| time_part(value, *part).is_some_and(|found| found == *number))
            }
            DirectCheck::Field { other, relation, cased } => {
                let other = event.get(*other);
                one_of(value, &|value| one_of(other, &|other| relates(value, other, *relation, *cased)))
            }
        }
    }
}

/// A list satisfies a test when one of its elements does.
fn one_of(value: &Value<'_>, test: &dyn Fn(&Value<'_>) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| one_of(value, test)),
        other => test(other),
    }
}

fn in_network(value: &Value<'_>, network: &IpNet) -> bool {
    let Value::Text(text) = value else { return false };
    text.trim().parse::<IpAddr>().is_ok_and(|address| network.contains(&address.to_canonical()))
}

fn relates(left: &Value<'_>, right: &Value<'_>, relation: Relation, cased: bool) -> bool {
    let (Some(left), Some(right)) = (left.to_text(), right.to_text()) else { return false };
    let compare = |left: &str, right: &str| match relation {
        Relation::Equals => left == right,
        Relation::Contains => left.contains(right),
        Relation::StartsWith => left.starts_with(right),
        Relation::EndsWith => left.ends_with(right),
    };
    if cased { compare(&left, &right) } else { compare(&fold_case(&left), &fold_case(&right)) }
}

fn time_part(value: &Value<'_>, part: TimePart) -> Option<i64> {
    let at = match value {
        Value::Text(text) => Timestamp::parse_rfc3339(text)?,
        Value::Int(seconds) => Timestamp::from_seconds(*seconds),
        _ => return None,
    };
    let time =
        jiff::Timestamp::from_microsecond(at.as_micros()).ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    Some(match part {
        TimePart::Minute => time.minute().into(),
        TimePart::Hour => time.hour().into(),
        TimePart::Day => time.day().into(),
        TimePart::Month => time.month().into(),
        TimePart::Year => time.year().into(),
        TimePart::Week => {
            let days_since_monday = i64::from(time.weekday().to_monday_zero_offset());
            (i64::from(time.day_of_year()) + 6 - days_since_monday) / 7
        }
    })
}
