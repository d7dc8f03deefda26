//! The `detection` of a Sigma rule, as an expression over tests of fields.
//!
//! A map is AND, a list is OR, a list of maps is OR of ANDs; `|all` makes a list of values AND. Modifiers are
//! applied from left to right. Everything that cannot be understood is an error with line and key: a rule that
//! silently matches less than its author meant is worse than one that is refused.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::condition::{self, Condition};
use super::fault::Faults;
use super::pattern::{Part, Pattern};
use super::regex::LazyRegex;
use super::yaml::{Data, Node};

/// Values of placeholders (`%name%` under the modifier `expand`), by name.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// An expression that an event satisfies or does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of these.
    All(Vec<Expression>),
    /// One of these at least.
    Any(Vec<Expression>),
    /// Not this.
    Not(Box<Expression>),
    /// A test of one field, or of the whole event.
    Test(Test),
}

/// A test of one field, or of every field where `field` is `None` (keywords).
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The field's name as the rule says it.
    pub field: Option<String>,
    /// How its value is tested.
    pub check: Check,
}

/// How a value is tested.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The whole text matches the pattern; for keywords, which are wrapped in `*`, some part does.
    Text {
        /// The pattern.
        pattern: Pattern,
        /// Whether case counts.
        cased: bool,
    },
    /// The regular expression is found somewhere in the text. Flags are written into it.
    Regex(LazyRegex),
    /// The number compares like this.
    Number(Comparison, f64),
    /// The address is in this network. IPv4-mapped IPv6 addresses are IPv4.
    Network(IpNet),
    /// The field is missing or null.
    Null,
    /// The field is there, null or not (`true`), or is not (`false`).
    Exists(bool),
    /// The text compares with another field's like this; false when either is missing.
    Field {
        /// The other field.
        other: String,
        /// How.
        relation: Relation,
        /// Whether case counts.
        cased: bool,
    },
    /// This part of the time in the field is this number.
    TimePart(TimePart, i64),
}

/// A comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Lt,
    /// `<=`
    Lte,
    /// `>`
    Gt,
    /// `>=`
    Gte,
    /// `=`
    Eq,
    /// `!=`
    Neq,
}

impl Comparison {
    /// From Sigma's word for it.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            _ => return None,
        })
    }

    /// Whether `left` compares with `right` like this.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Lt => left < right,
            Self::Lte => left <= right,
            Self::Gt => left > right,
            Self::Gte => left >= right,
            Self::Eq => left == right,
            Self::Neq => left != right,
        }
    }

    /// The sign for people.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Eq => "=",
            Self::Neq => "!=",
        }
    }
}

/// How two texts relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equals,
    /// The first contains the second.
    Contains,
    /// The first starts with the second.
    StartsWith,
    /// The first ends with the second.
    EndsWith,
}

/// A part of a time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Day of the month, from 1.
    Day,
    /// Week of the year, the first Monday starts week 1 (as `strftime` `%W`).
    Week,
    /// From 1.
    Month,
    /// With four digits.
    Year,
}

/// Searches by name.
pub type Searches = Vec<(String, Expression)>;

/// Reads the `detection` map of a rule: what it looks for, and the searches that this is made of. Faults are noted;
/// `None` when there was one.
pub fn parse(
    detection: &Node,
    placeholders: &Placeholders,
    faults: &mut Faults,
) -> Option<(Expression, Searches)> {
    let Data::Map(entries) = &detection.data else {
        faults.note(
            detection.line,
            "detection",
            format!("a map of searches and a condition, not {}", detection.kind()),
        );
        return None;
    };
    let before = faults.count();
    let mut names: Vec<&str> = Vec::new();
    let mut searches = Searches::new();
    let mut conditions: Option<&Node> = None;
    for entry in entries {
        match entry.key.as_str() {
            "condition" => conditions = Some(&entry.value),
            "timeframe" => faults.note(
                entry.line,
                "detection.timeframe",
                "no timeframe: windows are written as correlations, with a timespan".to_owned(),
            ),
            name => {
                names.push(name);
                let mut reader = Reader { path: format!("detection.{name}"), placeholders, faults };
                if let Some(expression) = reader.search(&entry.value) {
                    searches.push((name.to_owned(), expression));
                }
            }
        }
    }
    let Some(conditions) = conditions else {
        faults.note(detection.line, "detection.condition", "a condition".to_owned());
        return None;
    };
    let mut alternatives = Vec::new();
    for node in conditions.one_or_many() {
        let Some(text) = node.text() else {
            faults.note(
                node.line,
                "detection.condition",
                format!("text or a list of texts, not {}", node.kind()),
            );
            continue;
        };
        match condition::parse(text, &names) {
            Ok(condition) => alternatives.push(resolve(&condition, &searches)),
            Err(expected) => faults.note(node.line, "detection.condition", expected),
        }
    }
    if conditions.one_or_many().is_empty() {
        faults.note(conditions.line, "detection.condition", "a condition, not an empty list".to_owned());
    }
    (faults.count() == before).then(|| (any(alternatives), searches))
}

fn resolve(condition: &Condition, searches: &[(String, Expression)]) -> Expression {
    match condition {
        Condition::Name(name) => searches
            .iter()
            .find(|(search, _)| search == name)
            .map_or(Expression::Any(Vec::new()), |(_, expression)| expression.clone()),
        Condition::All(parts) => all(parts.iter().map(|part| resolve(part, searches)).collect()),
        Condition::Any(parts) => any(parts.iter().map(|part| resolve(part, searches)).collect()),
        Condition::Not(inner) => Expression::Not(Box::new(resolve(inner, searches))),
    }
}

fn all(mut parts: Vec<Expression>) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) }
}

fn any(mut parts: Vec<Expression>) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) }
}

struct Reader<'a> {
    path: String,
    placeholders: &'a Placeholders,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn fault(&mut self, line: usize, expected: impl Into<String>) {
        self.faults.note(line, &self.path, expected.into());
    }

    /// A search: a map (AND of its items), a list (OR of maps and keywords), or one keyword.
    fn search(&mut self, node: &Node) -> Option<Expression> {
        match &node.data {
            Data::Map(entries) if entries.is_empty() => {
                self.fault(node.line, "a field to test, not an empty map");
                None
            }
            Data::Map(entries) => {
                let items: Vec<_> =
                    entries.iter().map(|entry| self.item(&entry.key, entry.line, &entry.value)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(all)
            }
            Data::List(items) if items.is_empty() => {
                self.fault(node.line, "a list with something in it");
                None
            }
            Data::List(items) => {
                let alternatives: Vec<_> = items.iter().map(|item| self.search(item)).collect();
                alternatives.into_iter().collect::<Option<Vec<_>>>().map(any)
            }
            Data::Null => {
                self.fault(node.line, "a map, a list or a keyword, not nothing");
                None
            }
            _ => self.item("", node.line, node),
        }
    }

    /// One item of a map: `field|modifier|...: values`.
    fn item(&mut self, key: &str, line: usize, values: &Node) -> Option<Expression> {
        let outer = self.path.clone();
        if !key.is_empty() {
            self.path = format!("{outer}.{key}");
        }
        let expression = self.item_at_path(key, line, values);
        self.path = outer;
        expression
    }

    fn item_at_path(&mut self, key: &str, line: usize, values: &Node) -> Option<Expression> {
        let mut words = key.split('|');
        let field = words.next().filter(|field| !field.is_empty()).map(str::to_owned);
        let modifiers = match Modifiers::parse(words, field.is_some()) {
            Ok(modifiers) => modifiers,
            Err(expected) => {
                self.fault(line, expected);
                return None;
            }
        };
        let nodes = values.one_or_many();
        if nodes.is_empty() {
            self.fault(values.line, "a value, or a list with something in it");
            return None;
        }
        let alternatives: Vec<_> =
            nodes.iter().map(|node| self.value(field.as_deref(), &modifiers, node)).collect();
        let alternatives = alternatives.into_iter().collect::<Option<Vec<_>>>()?;
        let expression = if modifiers.all { all(alternatives) } else { any(alternatives) };
        Some(if modifiers.neq { Expression::Not(Box::new(expression)) } else { expression })
    }

    /// The test for one value: several tests in an OR where modifiers make several of it.
    fn value(&mut self, field: Option<&str>, modifiers: &Modifiers, node: &Node) -> Option<Expression> {
        match self.checks(field, modifiers, node) {
            Ok(checks) => Some(any(checks
                .into_iter()
                .map(|check| Expression::Test(Test { field: field.map(str::to_owned), check }))
                .collect())),
            Err(expected) => {
                self.fault(node.line, expected);
                None
            }
        }
    }

    fn checks(&self, field: Option<&str>, modifiers: &Modifiers, node: &Node) -> Result<Vec<Check>, String> {
        let scalar = || node.scalar_text().ok_or_else(|| format!("a single value, not {}", node.kind()));
        match modifiers.kind {
            Kind::Exists => match node.data {
                Data::Bool(wanted) => Ok(vec![Check::Exists(wanted)]),
                _ => Err("true or false behind 'exists'".to_owned()),
            },
            Kind::Number(comparison) => {
                let number = node.number().ok_or_else(|| format!("a number, not {}", node.kind()))?;
                Ok(vec![Check::Number(comparison, number)])
            }
            Kind::TimePart(part) => match node.data {
                Data::Int(number) => Ok(vec![Check::TimePart(part, number)]),
                _ => Err(format!("a whole number, not {}", node.kind())),
            },
            Kind::Network => {
                let text = scalar()?;
                network(&text).map(|network| vec![Check::Network(network)])
            }
            Kind::Regex { ignore_case, multi_line, dot_all } => {
                let flags: String = [(ignore_case, 'i'), (multi_line, 'm'), (dot_all, 's')]
                    .iter()
                    .filter_map(|(on, flag)| on.then_some(*flag))
                    .collect();
                let text = scalar()?;
                let regex = if flags.is_empty() { text } else { format!("(?{flags}){text}") };
                LazyRegex::checked(&regex).map(|regex| vec![Check::Regex(regex)])
            }
            Kind::Field => {
                let other = node.text().ok_or_else(|| format!("the name of a field, not {}", node.kind()))?;
                let relation = match (modifiers.any_before, modifiers.any_behind) {
                    (true, true) => Relation::Contains,
                    (false, true) => Relation::StartsWith,
                    (true, false) => Relation::EndsWith,
                    (false, false) => Relation::Equals,
                };
                Ok(vec![Check::Field { other: other.to_owned(), relation, cased: modifiers.cased }])
            }
            Kind::Text => {
                if matches!(node.data, Data::Null) {
                    return if field.is_some() && modifiers.is_plain() {
                        Ok(vec![Check::Null])
                    } else {
                        Err("a value: null goes with no modifier, and needs a field".to_owned())
                    };
                }
                let patterns = self.transformed(modifiers, &scalar()?)?;
                Ok(patterns
                    .into_iter()
                    .map(|mut pattern| {
                        if modifiers.any_before || field.is_none() {
                            pattern = pattern.any_before();
                        }
                        if modifiers.any_behind || field.is_none() {
                            pattern = pattern.any_behind();
                        }
                        Check::Text { pattern, cased: modifiers.cased }
                    })
                    .collect())
            }
        }
    }

    /// The patterns that a value stands for, after `expand`, `windash` and the encodings.
    fn transformed(&self, modifiers: &Modifiers, text: &str) -> Result<Vec<Pattern>, String> {
        let texts = if modifiers.expand { self.expand(text)? } else { vec![text.to_owned()] };
        let mut patterns = Vec::new();
        for text in texts {
            if modifiers.encodings.is_empty() {
                let dashed = if modifiers.windash { windash(&text)? } else { vec![text] };
                patterns.extend(dashed.iter().map(|text| Pattern::parse(text)));
                continue;
            }
            let pattern = Pattern::parse(&text);
            let Some(literal) = pattern.as_literal() else {
                return Err("a value without wildcards: it is encoded as it stands".to_owned());
            };
            let texts = if modifiers.windash { windash(literal)? } else { vec![literal.to_owned()] };
            for text in texts {
                patterns.extend(encode(&modifiers.encodings, text.into_bytes())?);
            }
        }
        Ok(patterns)
    }

    fn expand(&self, text: &str) -> Result<Vec<String>, String> {
        let mut texts = vec![String::new()];
        let mut pieces = text.split('%');
        if let Some(first) = pieces.next() {
            texts[0].push_str(first);
        }
        let rest: Vec<&str> = pieces.collect();
        let mut at = 0;
        while at < rest.len() {
            if at + 1 < rest.len() && !rest[at].is_empty() && !rest[at].contains(char::is_whitespace) {
                let values =
                    self.placeholders.get(rest[at]).filter(|values| !values.is_empty()).ok_or_else(|| {
                        format!(
                            "a value for the placeholder %{}%: add it under x-watchbell.placeholders",
                            rest[at]
                        )
                    })?;
                let behind = rest[at + 1];
                texts = texts
                    .iter()
                    .flat_map(|text| values.iter().map(move |value| format!("{text}{value}{behind}")))
                    .collect();
                at += 2;
            } else {
                texts.iter_mut().for_each(|text| {
                    text.push('%');
                    text.push_str(rest[at]);
                });
                at += 1;
            }
            if texts.len() > MAX_VARIANTS {
                return Err(format!("at most {MAX_VARIANTS} values after placeholders are filled in"));
            }
        }
        Ok(texts)
    }
}

/// How many values one value may become; a rule with more is a mistake.
const MAX_VARIANTS: usize = 4096;

/// An address range, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map(|network| network.trunc())
        .map_err(|_| format!("a network such as 10.0.0.0/8 or 2001:db8::/32, not '{text}'"))
}

/// What stands for the dash of an option on Windows: hyphen, slash, en dash, em dash, horizontal bar.
const DASHES: [char; 5] = ['-', '/', '–', '—', '―'];

/// All spellings of a command line: each `-` or `/` that starts a word may be any of [`DASHES`].
fn windash(text: &str) -> Result<Vec<String>, String> {
    let characters: Vec<char> = text.chars().collect();
    let is_word = |character: Option<&char>| character.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut texts = vec![String::new()];
    for (at, character) in characters.iter().enumerate() {
        let starts_option = matches!(character, '-' | '/')
            && !is_word(at.checked_sub(1).and_then(|before| characters.get(before)))
            && is_word(characters.get(at + 1));
        if starts_option {
            texts = texts
                .iter()
                .flat_map(|text| DASHES.iter().map(move |dash| format!("{text}{dash}")))
                .collect();
            if texts.len() > MAX_VARIANTS {
                return Err("fewer options behind 'windash': every one has five spellings".to_owned());
            }
        } else {
            texts.iter_mut().for_each(|text| text.push(*character));
        }
    }
    Ok(texts)
}

fn encode(encodings: &[Encoding], bytes: Vec<u8>) -> Result<Vec<Pattern>, String> {
    let mut variants = vec![bytes];
    for encoding in encodings {
        variants = match encoding {
            Encoding::Utf16 { big_endian, mark } => {
                variants.iter().map(|bytes| utf16(bytes, *big_endian, *mark)).collect()
            }
            Encoding::Base64 => variants.iter().map(|bytes| base64(bytes).into_bytes()).collect(),
            Encoding::Base64Offset => variants.iter().flat_map(|bytes| base64_offsets(bytes)).collect(),
        };
    }
    variants
        .into_iter()
        .map(|bytes| {
            String::from_utf8(bytes)
                .map(|text| Pattern::literal(&text))
                .map_err(|_| "a value that is text when encoded: add base64 behind the UTF-16".to_owned())
        })
        .collect()
}

fn utf16(bytes: &[u8], big_endian: bool, mark: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The base64 of `bytes` at each of the three alignments, without the characters that neighbours have a part in.
fn base64_offsets(bytes: &[u8]) -> Vec<Vec<u8>> {
    const START: [usize; 3] = [0, 2, 3];
    const END: [usize; 3] = [0, 3, 2];
    (0..3)
        .map(|offset| {
            let mut shifted = vec![b' '; offset];
            shifted.extend_from_slice(bytes);
            let encoded = base64(&shifted).into_bytes();
            let end = encoded.len() - END[shifted.len() % 3];
            encoded.get(START[offset]..end).unwrap_or_default().to_vec()
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    Utf16 { big_endian: bool, mark: bool },
    Base64,
    Base64Offset,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Regex { ignore_case: bool, multi_line: bool, dot_all: bool },
    Number(Comparison),
    Network,
    Exists,
    Field,
    TimePart(TimePart),
}

struct Modifiers {
    kind: Kind,
    any_before: bool,
    any_behind: bool,
    all: bool,
    neq: bool,
    cased: bool,
    expand: bool,
    windash: bool,
    encodings: Vec<Encoding>,
}

const MODIFIERS: &str = "all, base64, base64offset, cased, cidr, contains, day, dotall, endswith, exists, expand, fieldref, \
     gt, gte, hour, i, lt, lte, m, minute, month, neq, re, s, startswith, utf16, utf16be, utf16le, week, wide, \
     windash or year";

impl Modifiers {
    fn parse<'a>(words: impl Iterator<Item = &'a str>, has_field: bool) -> Result<Self, String> {
        let mut modifiers = Self {
            kind: Kind::Text,
            any_before: false,
            any_behind: false,
            all: false,
            neq: false,
            cased: false,
            expand: false,
            windash: false,
            encodings: Vec::new(),
        };
        let mut kinds = 0;
        for word in words {
            let mut become_kind = |kind| {
                kinds += 1;
                modifiers.kind = kind;
            };
            match word {
                "contains" => (modifiers.any_before, modifiers.any_behind) = (true, true),
                "startswith" => modifiers.any_behind = true,
                "endswith" => modifiers.any_before = true,
                "all" => modifiers.all = true,
                "neq" => modifiers.neq = true,
                "cased" => modifiers.cased = true,
                "expand" => modifiers.expand = true,
                "windash" => modifiers.windash = true,
                "wide" | "utf16le" => {
                    modifiers.encodings.push(Encoding::Utf16 { big_endian: false, mark: false })
                }
                "utf16be" => modifiers.encodings.push(Encoding::Utf16 { big_endian: true, mark: false }),
                "utf16" => modifiers.encodings.push(Encoding::Utf16 { big_endian: false, mark: true }),
                "base64" => modifiers.encodings.push(Encoding::Base64),
                "base64offset" => modifiers.encodings.push(Encoding::Base64Offset),
                "re" => become_kind(Kind::Regex { ignore_case: false, multi_line: false, dot_all: false }),
                "i" | "ignorecase" | "m" | "multiline" | "s" | "dotall" => match &mut modifiers.kind {
                    Kind::Regex { ignore_case, multi_line, dot_all } => {
                        *match word {
                            "i" | "ignorecase" => ignore_case,
                            "m" | "multiline" => multi_line,
                            _ => dot_all,
                        } = true;
                    }
                    _ => return Err(format!("'re' before the flag '{word}'")),
                },
                "cidr" => become_kind(Kind::Network),
                "exists" => become_kind(Kind::Exists),
                "fieldref" => become_kind(Kind::Field),
                "minute" => become_kind(Kind::TimePart(TimePart::Minute)),
                "hour" => become_kind(Kind::TimePart(TimePart::Hour)),
                "day" => become_kind(Kind::TimePart(TimePart::Day)),
                "week" => become_kind(Kind::TimePart(TimePart::Week)),
                "month" => become_kind(Kind::TimePart(TimePart::Month)),
                "year" => become_kind(Kind::TimePart(TimePart::Year)),
                other => {
                    match Comparison::from_word(other).filter(|comparison| *comparison != Comparison::Eq) {
                        Some(comparison) => become_kind(Kind::Number(comparison)),
                        None => return Err(format!("one of the modifiers {MODIFIERS}, not '{other}'")),
                    }
                }
            }
        }
        if kinds > 1 {
            return Err("one kind of comparison only: re, cidr, exists, fieldref, a time part or a number's"
                .to_owned());
        }
        let shaped = modifiers.any_before || modifiers.any_behind;
        let textual = !modifiers.encodings.is_empty() || modifiers.windash || modifiers.expand;
        let fits = match modifiers.kind {
            Kind::Text => true,
            Kind::Field => !textual,
            // `|re|contains` is met in public rules; a regular expression is unanchored anyway.
            Kind::Regex { .. } => !textual,
            _ => !textual && !shaped && !modifiers.cased,
        };
        if !fits {
            return Err(
                "modifiers that go together: this comparison takes none of the text modifiers".to_owned()
            );
        }
        if !has_field && !matches!(modifiers.kind, Kind::Text | Kind::Regex { .. }) {
            return Err("a field before this modifier: keywords are text".to_owned());
        }
        Ok(modifiers)
    }

    fn is_plain(&self) -> bool {
        !self.any_before
            && !self.any_behind
            && !self.cased
            && !self.windash
            && !self.expand
            && self.encodings.is_empty()
    }
}

impl Expression {
    /// Calls `visit` with every test.
    pub fn tests<'a>(&'a self, visit: &mut impl FnMut(&'a Test)) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().for_each(|part| part.tests(visit))
            }
            Expression::Not(inner) => inner.tests(visit),
            Expression::Test(test) => visit(test),
        }
    }
}

impl Test {
    /// What is tested, for a person: `url.path contains '.env'`.
    pub fn describe(&self) -> String {
        let field = self.field.as_deref().unwrap_or("any field");
        match &self.check {
            Check::Text { pattern, cased } => {
                let text: String = pattern
                    .parts()
                    .iter()
                    .map(|part| match part {
                        Part::Literal(text) => text.as_str(),
                        Part::Any => "*",
                        Part::One => "?",
                    })
                    .collect();
                format!("{field} is '{text}'{}", if *cased { " (case counts)" } else { "" })
            }
            Check::Regex(regex) => format!("{field} matches /{}/", regex.source()),
            Check::Number(comparison, number) => format!("{field} {} {number}", comparison.sign()),
            Check::Network(network) => format!("{field} in {network}"),
            Check::Null => format!("{field} is missing"),
            Check::Exists(true) => format!("{field} exists"),
            Check::Exists(false) => format!("{field} does not exist"),
            Check::Field { other, relation, .. } => format!("{field} {relation:?} {other}"),
            Check::TimePart(part, number) => format!("{part:?} of {field} = {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64offset_finds_the_text_at_each_alignment() {
        let variants = base64_offsets(b"http://");
        for prefix in ["", "x", "xy", "xyz"] {
            let encoded = base64(format!("{prefix}http://example.org").as_bytes());
            let found =
                variants.iter().any(|variant| encoded.contains(std::str::from_utf8(variant).unwrap()));
            assert!(found, "behind {} bytes", prefix.len());
        }
    }

    #[test]
    fn windash_spells_every_option_five_ways() {
        let texts = windash("cmd -a /b x-y").unwrap();
        assert_eq!(texts.len(), 25);
        assert!(texts.contains(&"cmd /a -b x-y".to_owned()), "a dash inside a word stays");
        assert!(windash(&" -a".repeat(30)).is_err(), "must not grow without limit");
    }

    #[test]
    fn an_unresolved_placeholder_is_an_error() {
        let mut faults = Faults::default();
        let placeholders =
            Placeholders::from([("admins".to_owned(), vec!["root".to_owned(), "adm*".to_owned()])]);
        let reader = Reader { path: String::new(), placeholders: &placeholders, faults: &mut faults };
        assert_eq!(reader.expand("x%admins%y").unwrap(), ["xrooty", "xadm*y"]);
        assert_eq!(reader.expand("50% of 100%").unwrap(), ["50% of 100%"]);
        assert!(reader.expand("%nobody%").unwrap_err().contains("%nobody%"));
    }
}
