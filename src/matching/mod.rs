//! Which rules does this event match, and what does each of them want counted?
//!
//! Stateless, so it runs on all cores: a [`Matcher`] is shared, a [`Scanner`] is one worker's scratch space. The
//! cost of an event does not grow with the number of rules: texts are read once ([`text`]) and only detections
//! that a found text makes possible are evaluated ([`program`]).

pub mod observation;
pub mod program;
pub mod reference;
pub mod text;

use crate::event::{Event, FieldId, Schema, Value, field};
use crate::rules::{Body, RuleSet};
use program::{Compiler, Program};
use text::{ANY_FIELD, Cache, Hit, TextIndex};

/// All detections of a rule set, compiled.
pub struct Matcher {
    /// The rule's number, what classes of events it looks at, and its program; by number of the detection.
    detections: Vec<Compiled>,
    texts: TextIndex,
    /// Detections to evaluate when a test is found, by number of the test.
    triggered: Vec<Vec<u32>>,
    /// Detections without a trigger.
    always: Vec<u32>,
    /// Whether a text test looks at the field, by number of the field.
    tested: Vec<bool>,
    has_keywords: bool,
    /// Whether a keyword could be found in a number or an address.
    has_numeric_keywords: bool,
}

struct Compiled {
    rule: usize,
    classes: u8,
    program: Program,
}

impl Matcher {
    /// Compiles the detections of a rule set. Names of fields are added to the schema.
    pub fn compile(rules: &RuleSet, schema: &mut Schema) -> Self {
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
        let mut triggered = vec![Vec::new(); compiler.tests()];
        let mut always = Vec::new();
        for (number, detection) in detections.iter().enumerate() {
            match &detection.program.trigger {
                Some(tests) => tests.iter().for_each(|test| triggered[*test as usize].push(number as u32)),
                None => always.push(number as u32),
            }
        }
        let texts = texts.build();
        let tested = (0..schema.len()).map(|id| texts.tests_field(FieldId(id as u16))).collect();
        Self { detections, texts, triggered, always, tested, has_keywords, has_numeric_keywords }
    }

    /// How many detections there are.
    pub fn len(&self) -> usize {
        self.detections.len()
    }

    /// Whether there is no detection.
    pub fn is_empty(&self) -> bool {
        self.detections.is_empty()
    }

    /// The compiled texts.
    pub fn texts(&self) -> &TextIndex {
        &self.texts
    }
}

/// Digits, dots, colons and hexadecimal letters alone: what numbers and addresses are made of.
fn may_be_in_a_number(check: &crate::rules::detection::Check) -> bool {
    use crate::rules::detection::Check;
    use crate::rules::pattern::Part;
    match check {
        Check::Text { pattern, .. } => pattern.parts().iter().all(|part| match part {
            Part::Literal(text) => text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:-+eE".contains(&byte)),
            Part::Any | Part::One => true,
        }),
        _ => true,
    }
}

/// One worker's scratch space for matching.
pub struct Scanner {
    cache: Cache,
    /// The event in which a test was last found, by number of the test.
    found_in: Vec<u32>,
    /// The event for which a detection was last looked at.
    looked_at_in: Vec<u32>,
    candidates: Vec<u32>,
    event: u32,
}

impl Scanner {
    /// Scratch space for this matcher.
    pub fn new(matcher: &Matcher) -> Self {
        Self {
            cache: Cache::default(),
            found_in: vec![0; matcher.triggered.len()],
            looked_at_in: vec![0; matcher.detections.len()],
            candidates: Vec::new(),
            event: 0,
        }
    }

    /// Calls `matched` with the number of each rule whose detection the event matches, each once.
    pub fn scan(&mut self, matcher: &Matcher, event: &Event<'_>, mut matched: impl FnMut(usize)) {
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.found_in.fill(0);
            self.looked_at_in.fill(0);
            self.event = 1;
        }
        self.candidates.clear();
        for (id, value) in event.fields() {
            let tested = matcher.tested.get(id.index()).copied().unwrap_or(false);
            let keywords = matcher.has_keywords && keywords_look_at(event, id);
            if tested || keywords {
                self.read(matcher, value, if tested { id } else { ANY_FIELD }, keywords);
            }
        }
        if matcher.has_keywords {
            for value in &event.unnamed {
                self.read(matcher, value, ANY_FIELD, true);
            }
        }
        let class = event.class.bit();
        for number in self.candidates.iter().chain(&matcher.always) {
            let detection = &matcher.detections[*number as usize];
            if detection.classes & class != 0
                && detection.program.node.holds(event, &|test| self.found_in[test as usize] == self.event)
            {
                matched(detection.rule);
            }
        }
    }

    fn read(&mut self, matcher: &Matcher, value: &Value<'_>, field: FieldId, keywords: bool) {
        match value {
            Value::Missing | Value::Null => {}
            Value::Text(text) => self.read_text(matcher, text, field, keywords),
            Value::List(values) => {
                for value in values {
                    self.read(matcher, value, field, keywords);
                }
            }
            Value::Bool(_) => self.read_text(matcher, &value.to_text().unwrap_or_default(), field, keywords),
            Value::Int(_) | Value::Float(_) => {
                if field != ANY_FIELD || matcher.has_numeric_keywords {
                    self.read_text(matcher, &value.to_text().unwrap_or_default(), field, keywords);
                }
            }
        }
    }

    fn read_text(&mut self, matcher: &Matcher, text: &str, field: FieldId, keywords: bool) {
        for &Hit { field: wanted, test } in self.cache.find(&matcher.texts, text) {
            if (wanted == field || (keywords && wanted == ANY_FIELD)) && self.found_in[test as usize] != self.event {
                self.found_in[test as usize] = self.event;
                for &detection in &matcher.triggered[test as usize] {
                    if self.looked_at_in[detection as usize] != self.event {
                        self.looked_at_in[detection as usize] = self.event;
                        self.candidates.push(detection);
                    }
                }
            }
        }
    }
}

/// Keywords look at everything that was logged, and at nothing that a decoder added: a part of the request target
/// is not searched beside the target, nor the words with which an access log's line was classified.
fn keywords_look_at(event: &Event<'_>, id: FieldId) -> bool {
    match id {
        field::URL_PATH | field::URL_QUERY | field::URL_EXTENSION => !event.get(field::URL_ORIGINAL).is_some(),
        field::URL_NORMALIZED | field::OBJECT_TYPE | field::OBJECT_ID => {
            event.class != crate::event::Class::Webserver && event.class != crate::event::Class::Proxy
        }
        field::EVENT_CATEGORY | field::EVENT_ACTION | field::EVENT_OUTCOME => {
            event.class != crate::event::Class::Webserver && event.class != crate::event::Class::Proxy
        }
        _ => true,
    }
}

/// The values that keywords look at.
pub fn searched_by_keywords<'e, 'a>(event: &'e Event<'a>) -> impl Iterator<Item = &'e Value<'a>> {
    event
        .fields()
        .filter(|(id, _)| keywords_look_at(event, *id))
        .map(|(_, value)| value)
        .chain(event.unnamed.iter())
}
impl Matcher {
    pub fn debug(&self, rules: &RuleSet) {
        println!("detections {} always:", self.detections.len());
        for a in &self.always { println!("   {}", rules.rules[self.detections[*a as usize].rule].handle()); }
        self.texts.debug();
    }
}
