//! Which rules does this event match, and what does each of them want counted?
//!
//! Stateless, so it runs on all cores: a [`Matcher`] is shared, a [`Scanner`] is one worker's scratch space. The
//! cost of an event does not grow with the number of rules: texts are read once ([`text`]), only detections that a found
//! text makes possible are evaluated ([`program`]), and what was found in texts, and what came of it, is remembered
//! (`cache`, `small`, `scanner`): traffic repeats itself.

mod cache;
pub mod explain;
pub mod observation;
pub mod program;
pub mod reference;
mod scanner;
mod small;
pub mod text;

pub use self::scanner::Scanner;
use crate::event::{Class, Event, FieldId, Schema, Value, field};
use crate::rules::{Body, RuleSet};
use program::{Compiler, Program};
use text::TextIndex;

/// All detections of a rule set, compiled.
pub struct Matcher {
    /// The rule's number, what classes of events it looks at, and its program; by number of the detection.
    detections: Vec<Compiled>,
    texts: TextIndex,
    /// Detections to evaluate when a test is found.
    triggers: Triggers,
    /// Detections without a trigger.
    always: Vec<u32>,
    /// The field of each test.
    fields: Vec<FieldId>,
    /// Whether a text test looks at the field, by number of the field.
    tested: Vec<bool>,
    has_keywords: bool,
    /// Whether a keyword could be found in a number.
    has_numeric_keywords: bool,
    /// Whether a detection asks where a client is.
    asks_for_places: bool,
}

struct Compiled {
    rule: usize,
    classes: u8,
    program: Program,
}

impl Matcher {
    /// Compiles the detections of a rule set. Names of fields are added to the schema.
    pub fn compile(rules: &RuleSet, schema: &mut Schema) -> Self {
        let mut asks_for_places = false;
        for rule in &rules.rules {
            if let Body::Detection(detection) = &rule.body {
                detection.expression.tests(&mut |test| {
                    let field = test.field.as_deref().and_then(|name| schema.find(name));
                    asks_for_places |= field.is_some_and(FieldId::is_geo);
                });
            }
        }
        let mut texts = text::Builder::default();
        let mut compiler = Compiler::new(schema, &mut texts);
        let mut detections = Vec::new();
        let mut has_keywords = false;
        let mut has_numeric_keywords = false;
        for (rule, document) in rules.rules.iter().enumerate() {
            let Body::Detection(detection) = &document.body else { continue };
            let program = compiler.compile(&detection.expression);
            detection.expression.tests(&mut |test| {
                if test.field.is_none() {
                    has_keywords = true;
                    has_numeric_keywords |= may_be_in_a_number(&test.check);
                }
            });
            detections.push(Compiled { rule, classes: detection.classes, program });
        }
        let fields = compiler.fields().to_vec();
        let mut triggered = vec![Vec::new(); fields.len()];
        let mut always = Vec::new();
        for (number, detection) in detections.iter().enumerate() {
            match &detection.program.trigger {
                Some(tests) => tests.iter().for_each(|test| triggered[*test as usize].push(number as u32)),
                None => always.push(number as u32),
            }
        }
        let texts = texts.build();
        let tested = (0..schema.len()).map(|id| texts.tests_field(FieldId(id as u16))).collect();
        let triggers = Triggers::new(&triggered);
        Self {
            asks_for_places,
            detections,
            texts,
            triggers,
            always,
            fields,
            tested,
            has_keywords,
            has_numeric_keywords,
        }
    }

    /// How many detections there are.
    pub fn len(&self) -> usize {
        self.detections.len()
    }

    /// Whether there is no detection.
    pub fn is_empty(&self) -> bool {
        self.detections.is_empty()
    }

    /// Whether a detection asks where a client is.
    pub const fn asks_for_places(&self) -> bool {
        self.asks_for_places
    }

    /// The compiled texts.
    pub fn texts(&self) -> &TextIndex {
        &self.texts
    }
}

/// The detections of each test, one after the other: most tests have none, and all of them are looked at again and again.
struct Triggers {
    /// Where those of each test begin, and the end.
    bounds: Vec<u32>,
    detections: Vec<u32>,
}

impl Triggers {
    fn new(by_test: &[Vec<u32>]) -> Self {
        let mut bounds = vec![0];
        let mut detections = Vec::new();
        for of_test in by_test {
            detections.extend_from_slice(of_test);
            bounds.push(detections.len() as u32);
        }
        Self { bounds, detections }
    }

    fn of(&self, test: u32) -> &[u32] {
        let test = test as usize;
        &self.detections[self.bounds[test] as usize..self.bounds[test + 1] as usize]
    }
}

/// Digits, dots, colons and hexadecimal letters alone: what numbers and addresses are made of.
fn may_be_in_a_number(check: &crate::rules::detection::Check) -> bool {
    use crate::rules::detection::Check;
    use crate::rules::pattern::Part;
    match check {
        Check::Text { pattern, .. } => pattern.parts().iter().all(|part| match part {
            Part::Literal(text) => {
                text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:-+eE".contains(&byte))
            }
            Part::Any | Part::One => true,
        }),
        _ => true,
    }
}

/// Keywords look at everything that was logged, and at nothing that a decoder added: a part of the request target
/// is not searched beside the target, nor the words with which an access log's line was classified.
fn keywords_look_at(event: &Event<'_>, id: FieldId) -> bool {
    let is_access_log = matches!(event.class, Class::Webserver | Class::Proxy);
    match id {
        field::URL_PATH | field::URL_QUERY => path_in_target(event).is_none(),
        field::URL_EXTENSION
        | field::URL_NORMALIZED
        | field::OBJECT_TYPE
        | field::OBJECT_ID
        | field::EVENT_CATEGORY
        | field::EVENT_ACTION
        | field::EVENT_OUTCOME
        | field::LOG_FLAGS => !is_access_log,
        _ if id.is_geo() => !is_access_log && !event.is_placed,
        _ => true,
    }
}

/// Whether two texts are equal. Parts of one line mostly are one and the same.
fn same(left: &str, right: &str) -> bool {
    std::ptr::eq(left, right) || left == right
}

/// Whether a field is `url.full`, and no more than the request target.
fn is_target_again(event: &Event<'_>, id: FieldId) -> bool {
    id == field::URL_FULL
        && matches!((event.text(id), event.text(field::URL_ORIGINAL)), (Some(full), Some(target)) if same(full, target))
}

/// The target and the length of its path, when path and query are the parts of the target, as in access logs.
fn path_in_target<'e>(event: &'e Event<'_>) -> Option<(&'e str, usize)> {
    let (target, path) = (event.text(field::URL_ORIGINAL)?, event.text(field::URL_PATH)?);
    let (start, rest) = target.split_at_checked(path.len())?;
    if path.contains('?') || !same(start, path) {
        return None;
    }
    let is_whole = match event.get(field::URL_QUERY) {
        Value::Missing => rest.is_empty(),
        Value::Text(query) => rest.strip_prefix('?').is_some_and(|rest| same(rest, query)),
        _ => false,
    };
    is_whole.then_some((target, path.len()))
}

/// The values that keywords look at.
pub fn searched_by_keywords<'e, 'a>(event: &'e Event<'a>) -> impl Iterator<Item = &'e Value<'a>> {
    event
        .fields()
        .filter(|(id, _)| keywords_look_at(event, *id))
        .map(|(_, value)| value)
        .chain(event.unnamed.iter())
}

#[cfg(test)]
mod tests;
