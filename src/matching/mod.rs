//! Which rules does this event match, and what does each of them want counted?
//!
//! Stateless, so it runs on all cores: a [`Matcher`] is shared, a [`Scanner`] is one worker's scratch space. The
//! cost of an event does not grow with the number of rules: texts are read once ([`text`]) and only detections
//! that a found text makes possible are evaluated ([`program`]).

pub mod observation;
pub mod program;
pub mod reference;
pub mod text;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::{Class, Event, FieldId, Schema, Value, field};
use crate::rules::{Body, RuleSet};
use program::{Compiler, Program};
use text::{ANY_FIELD, Cache, Hit, TextIndex};

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
        Self { detections, texts, triggers, always, fields, tested, has_keywords, has_numeric_keywords }
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

/// Fields with few and short values. What they decide is remembered for all of them together: a handful of
/// combinations makes up almost all traffic.
const SMALL_FIELDS: [FieldId; 8] = [
    field::REQUEST_METHOD,
    field::STATUS_CODE,
    field::HTTP_VERSION,
    field::URL_EXTENSION,
    field::EVENT_CATEGORY,
    field::EVENT_ACTION,
    field::EVENT_OUTCOME,
    field::AUTHENTICATION_FACTOR,
];

/// A combination of values of [`SMALL_FIELDS`].
type Combination = SmallVec<[u64; 20]>;

/// A longer text is not a small value.
const MAX_SMALL_TEXT: usize = 24;

/// Combinations that are remembered; then all are forgotten, since somebody is playing with methods.
const MAX_COMBINATIONS: usize = 4096;

/// The request target and its parts, which are read together.
const TARGET_FIELDS: [FieldId; 4] =
    [field::URL_ORIGINAL, field::URL_NORMALIZED, field::URL_PATH, field::URL_QUERY];

/// One worker's scratch space for matching.
pub struct Scanner {
    cache: Cache,
    combinations: HashMap<Combination, Arc<Decided>, foldhash::fast::RandomState>,
    combination: Combination,
    marks: Marks,
    hits: Vec<Hit>,
}

/// What a combination of small values decides.
struct Decided {
    /// Detections that match.
    matched: Box<[u32]>,
    /// Detections without a trigger that other fields decide.
    open: Box<[u32]>,
    /// Tests that are satisfied and trigger a detection that other fields decide, or are needed to decide it.
    tests: Box<[u32]>,
    /// By number of the detection, whether other fields can still make it match.
    is_open: Box<[bool]>,
}

/// Which tests and detections the event at hand has to do with.
struct Marks {
    /// The event in which a test was last found, by number of the test.
    found_in: Vec<u32>,
    /// The event for which a detection was last looked at.
    looked_at_in: Vec<u32>,
    /// Detections to be evaluated.
    candidates: Vec<u32>,
    /// Number of the event.
    event: u32,
}

impl Marks {
    fn next_event(&mut self) {
        self.candidates.clear();
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.found_in.fill(0);
            self.looked_at_in.fill(0);
            self.event = 1;
        }
    }

    fn found(&mut self, matcher: &Matcher, decided: &Decided, test: u32) {
        let found_in = &mut self.found_in[test as usize];
        if *found_in == self.event {
            return;
        }
        *found_in = self.event;
        for &detection in matcher.triggers.of(test) {
            let looked_at_in = &mut self.looked_at_in[detection as usize];
            if *looked_at_in != self.event && decided.is_open[detection as usize] {
                *looked_at_in = self.event;
                self.candidates.push(detection);
            }
        }
    }
}

impl Scanner {
    /// Scratch space for this matcher.
    pub fn new(matcher: &Matcher) -> Self {
        Self {
            cache: Cache::default(),
            combinations: HashMap::default(),
            combination: Combination::new(),
            marks: Marks {
                found_in: vec![0; matcher.fields.len()],
                looked_at_in: vec![0; matcher.detections.len()],
                candidates: Vec::new(),
                event: 0,
            },
            hits: Vec::new(),
        }
    }

    /// Calls `matched` with the number of each rule whose detection the event matches, each once.
    pub fn scan(&mut self, matcher: &Matcher, event: &Event<'_>, mut matched: impl FnMut(usize)) {
        self.marks.next_event();
        let decided = self.decide(matcher, event);
        decided.matched.iter().for_each(|number| matched(matcher.detections[*number as usize].rule));
        decided.tests.iter().for_each(|test| self.marks.found(matcher, &decided, *test));
        let is_target_read = self.read_target(matcher, &decided, event);
        for (id, value) in event.fields() {
            let is_read = SMALL_FIELDS.contains(&id)
                || (is_target_read && (TARGET_FIELDS.contains(&id) || is_target_again(event, id)));
            if is_read {
                continue;
            }
            let tested = matcher.tested.get(id.index()).copied().unwrap_or(false);
            let keywords = matcher.has_keywords && keywords_look_at(event, id);
            if tested || keywords {
                self.read(matcher, &decided, value, if tested { id } else { ANY_FIELD }, keywords);
            }
        }
        if matcher.has_keywords {
            for value in &event.unnamed {
                self.read(matcher, &decided, value, ANY_FIELD, true);
            }
        }
        let marks = &self.marks;
        for number in marks.candidates.iter().chain(&decided.open) {
            let detection = &matcher.detections[*number as usize];
            if detection.program.node.holds(event, &|test| marks.found_in[test as usize] == marks.event) {
                matched(detection.rule);
            }
        }
    }

    /// What the small fields of an event decide, remembered from an earlier event with the same values.
    fn decide(&mut self, matcher: &Matcher, event: &Event<'_>) -> Arc<Decided> {
        self.combination.clear();
        self.combination.push(u64::from(event.class.bit()));
        let mut is_small = true;
        for (place, id) in SMALL_FIELDS.iter().enumerate() {
            is_small &= add_to_combination(&mut self.combination, place, event.get(*id));
        }
        if is_small && let Some(decided) = self.combinations.get(self.combination.as_slice()) {
            return Arc::clone(decided);
        }
        let decided = Arc::new(self.work_out(matcher, event));
        if is_small {
            if self.combinations.len() >= MAX_COMBINATIONS {
                self.combinations.clear();
            }
            self.combinations.insert(self.combination.clone(), Arc::clone(&decided));
        }
        decided
    }

    fn work_out(&mut self, matcher: &Matcher, event: &Event<'_>) -> Decided {
        let mut tests = Vec::new();
        let mut keyword_tests = Vec::new();
        for id in SMALL_FIELDS {
            let keywords = matcher.has_keywords && keywords_look_at(event, id);
            self.hits.clear();
            find_in_value(matcher, event.get(id), &mut self.hits);
            tests.extend(self.hits.iter().filter(|hit| hit.field == id).map(|hit| hit.test));
            let by_keyword = self.hits.iter().filter(|hit| keywords && hit.field == ANY_FIELD);
            keyword_tests.extend(by_keyword.map(|hit| hit.test));
        }
        let marked = |test: u32| {
            let is_small = SMALL_FIELDS.contains(&matcher.fields[test as usize]);
            if is_small { Some(tests.contains(&test)) } else { keyword_tests.contains(&test).then_some(true) }
        };
        let is_given = |id: FieldId| SMALL_FIELDS.contains(&id);
        let mut decided = (Vec::new(), vec![false; matcher.detections.len()]);
        for (number, detection) in matcher.detections.iter().enumerate() {
            if detection.classes & event.class.bit() == 0 {
                continue;
            }
            match detection.program.node.decided(event, &marked, &is_given) {
                Some(true) => decided.0.push(number as u32),
                Some(false) => {}
                None => decided.1[number] = true,
            }
        }
        let (matched, is_open) = decided;
        let open = matcher.always.iter().copied().filter(|number| is_open[*number as usize]).collect();
        tests.extend(keyword_tests);
        Decided { matched: matched.into(), open, tests: tests.into(), is_open: is_open.into() }
    }

    /// Reads the request target together with its path and query, which are parts of it in access logs; `false` when
    /// they are not.
    fn read_target(&mut self, matcher: &Matcher, decided: &Decided, event: &Event<'_>) -> bool {
        let Some((target, path_end)) = path_in_target(event) else { return false };
        let normalized = event.text(field::URL_NORMALIZED);
        let is_normal = normalized == Some(target);
        let is_full = event.text(field::URL_FULL) == Some(target);
        let keywords = matcher.has_keywords && keywords_look_at(event, field::URL_ORIGINAL);
        for hit in self.cache.find_in_target(&matcher.texts, target, path_end) {
            let counts = match hit.field {
                field::URL_ORIGINAL | field::URL_PATH | field::URL_QUERY => true,
                field::URL_NORMALIZED => is_normal,
                field::URL_FULL => is_full,
                other => keywords && other == ANY_FIELD,
            };
            if counts {
                self.marks.found(matcher, decided, hit.test);
            }
        }
        if !is_normal && let Some(normalized) = normalized {
            let keywords = matcher.has_keywords && keywords_look_at(event, field::URL_NORMALIZED);
            self.read_text(matcher, decided, normalized, field::URL_NORMALIZED, keywords);
        }
        true
    }

    fn read(
        &mut self,
        matcher: &Matcher,
        decided: &Decided,
        value: &Value<'_>,
        field: FieldId,
        keywords: bool,
    ) {
        match value {
            Value::Missing | Value::Null => {}
            Value::Text(text) => self.read_text(matcher, decided, text, field, keywords),
            Value::List(values) => {
                for value in values {
                    self.read(matcher, decided, value, field, keywords);
                }
            }
            Value::Bool(_) => {
                self.read_text(matcher, decided, &value.to_text().unwrap_or_default(), field, keywords);
            }
            Value::Int(_) | Value::Float(_) => {
                if field != ANY_FIELD || matcher.has_numeric_keywords {
                    self.read_text(matcher, decided, &value.to_text().unwrap_or_default(), field, keywords);
                }
            }
        }
    }

    fn read_text(
        &mut self,
        matcher: &Matcher,
        decided: &Decided,
        text: &str,
        field: FieldId,
        keywords: bool,
    ) {
        for hit in self.cache.find(&matcher.texts, text) {
            if hit.field == field || (keywords && hit.field == ANY_FIELD) {
                self.marks.found(matcher, decided, hit.test);
            }
        }
    }
}

fn find_in_value(matcher: &Matcher, value: &Value<'_>, hits: &mut Vec<Hit>) {
    match value {
        Value::List(values) => values.iter().for_each(|value| find_in_value(matcher, value, hits)),
        other => {
            if let Some(text) = other.to_text() {
                matcher.texts.find(&text, hits);
            }
        }
    }
}

/// Adds a value to a combination, so that no two different combinations look the same; `false` when it is not small.
fn add_to_combination(combination: &mut Combination, place: usize, value: &Value<'_>) -> bool {
    /// How the value is written, above the place and the length.
    const TEXT: u64 = 1 << 16;
    const INT: u64 = 2 << 16;
    const NULL: u64 = 3 << 16;
    let place = place as u64;
    match value {
        Value::Missing => {}
        Value::Null => combination.push(NULL | place),
        Value::Int(number) => {
            combination.push(INT | place);
            combination.push(*number as u64);
        }
        Value::Text(text) if text.len() <= MAX_SMALL_TEXT => {
            combination.push(TEXT | (text.len() as u64) << 8 | place);
            for piece in text.as_bytes().chunks(8) {
                combination.push(word_of(piece));
            }
        }
        _ => return false,
    }
    true
}

/// Up to eight bytes as a number; different for different bytes of the same length.
fn word_of(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok())
            .map_or(0, |four| u64::from(u32::from_le_bytes(four)))
    };
    match bytes.len() {
        0 => 0,
        // The first, the middle and the last are all there are.
        length @ 1..=3 => {
            u64::from(bytes[0]) | u64::from(bytes[length / 2]) << 8 | u64::from(bytes[length - 1]) << 16
        }
        length => four(0) | four(length - 4) << 32,
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
        _ => true,
    }
}

/// Whether a field is `url.full`, and no more than the request target.
fn is_target_again(event: &Event<'_>, id: FieldId) -> bool {
    id == field::URL_FULL && event.text(id).is_some_and(|full| event.text(field::URL_ORIGINAL) == Some(full))
}

/// The target and the length of its path, when path and query are the parts of the target, as in access logs.
fn path_in_target<'e>(event: &'e Event<'_>) -> Option<(&'e str, usize)> {
    let (target, path) = (event.text(field::URL_ORIGINAL)?, event.text(field::URL_PATH)?);
    let rest = target.strip_prefix(path).filter(|_| !path.contains('?'))?;
    let is_whole = match event.get(field::URL_QUERY) {
        Value::Missing => rest.is_empty(),
        Value::Text(query) => rest.strip_prefix('?') == Some(query.as_ref()),
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
