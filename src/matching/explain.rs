//! Why a detection matches an event, or does not, part by part.
//!
//! Every test is asked of the plain matcher ([`super::reference`]), so that an explanation cannot say anything else than
//! what detections mean; a property test compares the two, and the compiled matcher.

use serde::Serialize;

use super::reference::test_holds;
use crate::event::{Event, Schema, Value};
use crate::rules::Detection;
use crate::rules::detection::{Check, Expression, Relation, Test, TimePart};
use crate::rules::nearest::nearest;
use crate::rules::pattern::{Part as Piece, Pattern};

/// Characters of a value that are shown.
const MAX_VALUE_CHARS: usize = 200;

/// A part of a detection, and whether an event satisfies it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Whether it holds.
    pub holds: bool,
    /// The name of the search, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What a part asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// All of these.
    All(Vec<Part>),
    /// One of these at least.
    Any(Vec<Part>),
    /// Not this.
    Not(Box<Part>),
    /// A test.
    Test(Tested),
}

/// A test, and what the event has for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// The field as the rule says it; none for keywords, which look at all of them.
    pub field: Option<String>,
    /// What is asked of it, in one line.
    pub asked: String,
    /// What the event has there; none where it has nothing, and for keywords.
    pub value: Option<String>,
    /// Whether nothing that is read has a field of this name, and this event has not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_unknown: bool,
    /// The known field that may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
}

/// Explains a detection. `schema` is that of the event; fields that only rules name are no known ones.
pub fn explain(detection: &Detection, event: &Event<'_>, schema: &Schema) -> Part {
    let explainer = Explainer { detection, event, schema, known: &Schema::new() };
    explainer.part(&detection.expression)
}

struct Explainer<'e, 'a> {
    detection: &'e Detection,
    event: &'e Event<'a>,
    schema: &'e Schema,
    known: &'e Schema,
}

impl Explainer<'_, '_> {
    fn part(&self, expression: &Expression) -> Part {
        let parts = |parts: &[Expression]| parts.iter().map(|part| self.part(part)).collect::<Vec<_>>();
        let (holds, what) = match expression {
            Expression::All(all) => {
                let parts = parts(all);
                (parts.iter().all(|part| part.holds), What::All(parts))
            }
            Expression::Any(any) => {
                let parts = parts(any);
                (parts.iter().any(|part| part.holds), What::Any(parts))
            }
            Expression::Not(inner) => {
                let part = self.part(inner);
                (!part.holds, What::Not(Box::new(part)))
            }
            Expression::Test(test) => {
                (test_holds(test, self.event, self.schema), What::Test(self.tested(test)))
            }
        };
        // Conditions name searches, expressions are what they stand for.
        let search = self.detection.searches.iter().find(|(_, meaning)| meaning == expression);
        Part { holds, search: search.map(|(name, _)| name.clone()), what }
    }

    fn tested(&self, test: &Test) -> Tested {
        let value_of = |name: &str| {
            let value = self.schema.find(name).map(|id| self.event.get(id))?;
            (!matches!(value, Value::Missing)).then(|| shown(value))
        };
        let field = test.field.as_deref();
        let value = field.and_then(value_of);
        let is_unknown = value.is_none() && field.is_some_and(|field| self.known.find(field).is_none());
        let names = (0..self.known.len()).map(|id| self.known.name(crate::event::FieldId(id as u16)));
        let meant = field.filter(|_| is_unknown).and_then(|field| nearest(field, names)).map(str::to_owned);
        let mut asked = asked(&test.check, field.is_none());
        if let Check::Field { other, .. } = &test.check {
            asked.push_str(&format!(" ({})", value_of(other).unwrap_or_else(|| "missing".to_owned())));
        }
        Tested { field: field.map(str::to_owned), asked, value, is_unknown, meant }
    }
}

fn shown(value: &Value<'_>) -> String {
    let text = match value {
        Value::List(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Missing => "null".to_owned(),
        value => value.to_text().unwrap_or_default().into_owned(),
    };
    match text.chars().nth(MAX_VALUE_CHARS) {
        None => text,
        Some(_) => text.chars().take(MAX_VALUE_CHARS).chain("...".chars()).collect(),
    }
}

fn asked(check: &Check, is_keyword: bool) -> String {
    let cased = |cased: bool| if cased { " (case counts)" } else { "" };
    match check {
        Check::Text { pattern, cased: is_cased } => {
            let text = pattern_text(pattern);
            match is_keyword {
                true => format!("somewhere {}{}", text.trim_start_matches("contains "), cased(*is_cased)),
                false => format!("{text}{}", cased(*is_cased)),
            }
        }
        Check::Regex(regex) => format!("matches /{}/", regex.source()),
        Check::Number(comparison, number) => format!("{} {number}", comparison.sign()),
        Check::Network(network) => format!("in {network}"),
        Check::Null => "missing or null".to_owned(),
        Check::Exists(true) => "there".to_owned(),
        Check::Exists(false) => "not there".to_owned(),
        Check::Field { other, relation, cased: is_cased } => {
            let relation = match relation {
                Relation::Equals => "=",
                Relation::Contains => "contains",
                Relation::StartsWith => "starts with",
                Relation::EndsWith => "ends with",
            };
            format!("{relation} {other}{}", cased(*is_cased))
        }
        Check::TimePart(part, number) => {
            let part = match part {
                TimePart::Minute => "minute",
                TimePart::Hour => "hour",
                TimePart::Day => "day",
                TimePart::Week => "week",
                TimePart::Month => "month",
                TimePart::Year => "year",
            };
            format!("{part} = {number}")
        }
    }
}

fn pattern_text(pattern: &Pattern) -> String {
    match pattern.parts() {
        [] => "= ''".to_owned(),
        [Piece::Any] => "has a value".to_owned(),
        [Piece::Literal(text)] => format!("= '{text}'"),
        [Piece::Any, Piece::Literal(text), Piece::Any] => format!("contains '{text}'"),
        [Piece::Literal(text), Piece::Any] => format!("starts with '{text}'"),
        [Piece::Any, Piece::Literal(text)] => format!("ends with '{text}'"),
        parts => {
            let piece = |part: &Piece| match part {
                Piece::Literal(text) => text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?"),
                Piece::Any => "*".to_owned(),
                Piece::One => "?".to_owned(),
            };
            format!("like '{}'", parts.iter().map(piece).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::field;
    use crate::rules::{Body, RuleSet};

    fn explained(detection: &str) -> Part {
        let text = format!("title: A\nlogsource: {{category: webserver}}\ndetection:\n{detection}\n");
        let set = RuleSet::from_texts(&[("r.yml".to_owned(), text, false)]);
        assert_eq!(set.errors, []);
        let Body::Detection(detection) = &set.rules[0].body else { panic!("a detection") };
        let mut schema = Schema::new();
        detection.expression.tests(&mut |test| {
            if let Some(field) = &test.field {
                schema.intern(field);
            }
        });
        let mut event = Event::new(&schema);
        event.set_text(field::URL_PATH, "/login");
        event.set_int(field::STATUS_CODE, 401);
        explain(detection, &event, &schema)
    }

    fn tests(part: &Part) -> Vec<&Tested> {
        match &part.what {
            What::All(parts) | What::Any(parts) => parts.iter().flat_map(tests).collect(),
            What::Not(part) => tests(part),
            What::Test(test) => vec![test],
        }
    }

    #[test]
    fn parts_have_the_names_of_searches_and_what_the_event_has() {
        let part = explained(
            "  selection: {url.path: /login, http.response.status_code|gte: 500}\n  filter: {source.ip: 192.0.2.1}\n  \
             condition: selection and not filter",
        );
        let What::All(parts) = &part.what else { panic!("{part:?}") };
        assert_eq!((part.holds, parts[0].holds, parts[1].holds), (false, false, true));
        assert_eq!(parts[0].search.as_deref(), Some("selection"));
        let What::Not(filter) = &parts[1].what else { panic!("{part:?}") };
        assert_eq!(filter.search.as_deref(), Some("filter"));
        let told: Vec<_> =
            tests(&part).iter().map(|test| (test.asked.as_str(), test.value.as_deref())).collect();
        assert_eq!(told, [("= '/login'", Some("/login")), (">= 500", Some("401")), ("= '192.0.2.1'", None)]);
        assert!(tests(&part).iter().all(|test| !test.is_unknown));
    }

    #[test]
    fn a_field_that_nothing_has_is_named_with_the_nearest() {
        for (name, meant) in [
            ("url.pth", Some("url.path")),
            ("frobnication", None),
            ("http.response.status_cod", Some("http.response.status_code")),
        ] {
            let part = explained(&format!("  s: {{{name}: x}}\n  condition: s"));
            let test = tests(&part)[0];
            assert_eq!((test.is_unknown, test.meant.as_deref()), (true, meant), "{name}");
        }
        assert!(
            !tests(&explained("  s: {cs-uri-query: x}\n  condition: s"))[0].is_unknown,
            "Sigma's names are known"
        );
    }

    #[test]
    fn what_is_asked_is_told_in_words() {
        for (item, asked) in [
            ("'url.path|contains': a", "contains 'a'"),
            ("'url.path|startswith|cased': a", "starts with 'a' (case counts)"),
            ("'url.path|endswith': a", "ends with 'a'"),
            ("url.path: 'a*b?'", "like 'a*b?'"),
            ("url.path: '*'", "has a value"),
            ("'url.path|re|i': 'a+'", "matches /(?i)a+/"),
            ("'source.ip|cidr': 10.0.0.0/8", "in 10.0.0.0/8"),
            ("url.path: null", "missing or null"),
            ("'url.path|exists': false", "not there"),
            ("'url.path|fieldref': url.domain", "= url.domain (missing)"),
            ("'http.response.status_code|neq': 5", "= '5'"),
        ] {
            let part = explained(&format!("  s: {{{item}}}\n  condition: s"));
            assert_eq!(tests(&part)[0].asked, asked, "{item}");
        }
        assert_eq!(tests(&explained("  s: [evil]\n  condition: s"))[0].asked, "somewhere 'evil'");
    }
}
