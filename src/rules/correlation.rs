//! The `correlation` of a Sigma rule: what is counted, by what, over which span, and when that is a finding.

use std::time::Duration;

use super::Severity;
use super::baseline::Baseline;
use super::detection::Comparison;
use super::fault::Faults;
use super::nearest::did_you_mean;
use super::yaml::{Data, Entry, Node};

/// A correlation as its author wrote it, with references not yet resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// What is measured.
    pub kind: Kind,
    /// Ids or names of the rules whose matches it looks at.
    pub rules: Vec<String>,
    /// Fields or aliases that matches must agree on to be counted together. A match without one is not counted.
    pub group_by: Vec<String>,
    /// Length of the sliding window; both ends belong to it.
    pub timespan: Duration,
    /// What the measure is compared with; all of them must hold.
    pub condition: Vec<(Comparison, f64)>,
    /// `alias`, and for each rule that names it another way, the field.
    pub aliases: Vec<Alias>,
    /// Whether the rules it refers to also report by themselves.
    pub generate: bool,
    /// What the measure is compared with besides: what is usual.
    pub baseline: Option<Baseline>,
}

impl Correlation {
    /// The field that a name stands for in a rule.
    pub fn field_of<'c>(&'c self, reference: &str, name: &'c str) -> &'c str {
        let alias = self.aliases.iter().find(|alias| alias.name == name);
        let field = alias.and_then(|alias| alias.fields.iter().find(|(rule, _)| rule == reference));
        field.map_or(name, |(_, field)| field)
    }
}

/// A name that stands for another field in each rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// Rule and field.
    pub fields: Vec<(String, String)>,
}

/// What a correlation measures in its window.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// How many matches.
    EventCount,
    /// How many distinct values of the fields together; a match without one of them is not counted.
    ValueCount(Vec<String>),
    /// How many of the rules matched, in any order.
    Temporal,
    /// How many of the rules matched, in the order they are listed.
    TemporalOrdered,
    /// The sum of a number.
    ValueSum(String),
    /// The mean of a number.
    ValueAvg(String),
    /// A percentile of a number, from 0 to 100, interpolated between neighbours.
    ValuePercentile(String, f64),
    /// A value of the fields together that is new for the group. The timespan is how long a value is known that is not
    /// seen again.
    FirstSeen {
        /// The fields; a match without one of them is not counted.
        fields: Vec<String>,
        /// How long a group is looked at before anything is new for it.
        learn: Duration,
        /// Most values that are known of a group.
        max_values: u16,
        /// How many of the rules, the last ones, only say that a group is there.
        only_present: usize,
    },
    /// How fast the group would have travelled between two places, in kilometres an hour.
    ImpossibleTravel {
        /// Kilometres between them at least.
        min_km: f64,
        /// Networks whose matches are not counted, beside those that are known as relays.
        ignore: Vec<String>,
    },
    /// What alerts of other rules about an entity add up to, by [`super::entity_risk`]: `group_by` are the fields that name
    /// entities, each by itself.
    EntityRisk {
        /// In which a score is halved.
        half_life: Duration,
        /// By severity.
        scores: [f64; Severity::ALL.len()],
    },
}

/// Where a match is.
const POSITION: [&str; 2] = ["source.geo.location.lat", "source.geo.location.lon"];

impl Kind {
    /// The key of the map that says it.
    pub const fn section(&self) -> &'static str {
        match self {
            Self::FirstSeen { .. } => "first_seen",
            Self::ImpossibleTravel { .. } => "impossible_travel",
            Self::EntityRisk { .. } => "entity_risk",
            _ => "correlation",
        }
    }

    /// The fields whose values are measured.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::EventCount | Self::Temporal | Self::TemporalOrdered | Self::EntityRisk { .. } => Vec::new(),
            Self::ValueCount(fields) | Self::FirstSeen { fields, .. } => {
                fields.iter().map(String::as_str).collect()
            }
            Self::ValueSum(field) | Self::ValueAvg(field) | Self::ValuePercentile(field, _) => vec![field],
            Self::ImpossibleTravel { .. } => POSITION.to_vec(),
        }
    }

    /// Whether what is known of a group is to outlast a restart: it goes back further than what is read again.
    pub const fn is_long_lived(&self) -> bool {
        matches!(self, Self::FirstSeen { .. } | Self::ImpossibleTravel { .. })
    }

    /// Whether it looks at the alerts of all other rules.
    pub const fn is_risk(&self) -> bool {
        matches!(self, Self::EntityRisk { .. })
    }
}

/// Most rules a correlation refers to.
const MAX_RULES: usize = 256;
/// Most rules whose order or presence a temporal correlation looks at: it keeps a bit of each.
const MAX_TEMPORAL_RULES: usize = 32;

const KEYS: &[&str] = &["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];

/// Reads a `correlation` map. Faults are noted; `None` when there was one.
pub fn parse(node: &Node, generate: Option<bool>, faults: &mut Faults) -> Option<Correlation> {
    let Data::Map(entries) = &node.data else {
        faults.note(node.line, "correlation", format!("a map, not {}", node.kind()));
        return None;
    };
    let before = faults.count();
    let section = Section { node, name: "correlation" };
    section.check_keys(entries, KEYS, faults);
    let rules = section.rules(faults);
    let group_by = section.names("group-by", faults);
    let timespan = section.span("timespan", None, faults);
    let aliases = section.aliases(&rules, faults);
    let word = match node.get("type") {
        Some(word) => word.text().map(|text| (text, word.line)),
        None => None,
    };
    let Some((word, word_line)) = word else {
        faults.note(node.line, "correlation.type", format!("one of {TYPES}"));
        condition(node, "", rules.len(), faults);
        return None;
    };
    if word.starts_with("temporal") && rules.len() > MAX_TEMPORAL_RULES {
        let expected = format!("at most {MAX_TEMPORAL_RULES} rules for {word}");
        faults.note(node.line, "correlation.rules", expected);
    }
    let condition = condition(node, word, rules.len(), faults);
    let generate = section.generate(generate, faults);
    let one_field = |fields: &[String], faults: &mut Faults| -> Option<String> {
        match fields {
            [field] => Some(field.clone()),
            _ => {
                faults.note(
                    node.line,
                    "correlation.condition.field",
                    format!("one field, whose numbers {word} takes"),
                );
                None
            }
        }
    };
    let kind = match word {
        "event_count" => Some(Kind::EventCount),
        "value_count" if condition.fields.is_empty() => {
            faults.note(
                node.line,
                "correlation.condition.field",
                "the field whose distinct values are counted".to_owned(),
            );
            None
        }
        "value_count" => Some(Kind::ValueCount(condition.fields.clone())),
        "temporal" => Some(Kind::Temporal),
        "temporal_ordered" => Some(Kind::TemporalOrdered),
        "value_sum" => one_field(&condition.fields, faults).map(Kind::ValueSum),
        "value_avg" => one_field(&condition.fields, faults).map(Kind::ValueAvg),
        "value_median" => {
            one_field(&condition.fields, faults).map(|field| Kind::ValuePercentile(field, 50.0))
        }
        "value_percentile" => match condition.percentile {
            Some(percentile) => {
                one_field(&condition.fields, faults).map(|field| Kind::ValuePercentile(field, percentile))
            }
            None => {
                faults.note(
                    node.line,
                    "correlation.condition.percentile",
                    "a number from 0 to 100".to_owned(),
                );
                None
            }
        },
        other => {
            faults.note(word_line, "correlation.type", format!("one of {TYPES}, not '{other}'"));
            None
        }
    };
    if faults.count() > before {
        return None;
    }
    Some(Correlation {
        kind: kind?,
        rules,
        group_by,
        timespan: timespan?,
        condition: condition.comparisons,
        aliases,
        generate,
        baseline: None,
    })
}

const TYPES: &str = "event_count, value_count, temporal, temporal_ordered, value_sum, value_avg, value_percentile \
     or value_median";

/// The map of a rule about many events, for what all kinds of them have.
#[derive(Clone, Copy)]
pub(super) struct Section<'n> {
    /// The map.
    pub node: &'n Node,
    /// Its key.
    pub name: &'static str,
}

impl<'n> Section<'n> {
    /// The path of one of its keys.
    pub fn path(self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Notes the keys that are not known.
    pub fn check_keys(self, entries: &[Entry], known: &[&str], faults: &mut Faults) {
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let nearest = did_you_mean(&entry.key, known.iter().copied());
            faults.note(entry.line, &self.path(&entry.key), format!("one of {}{nearest}", known.join(", ")));
        }
    }

    /// The rules it refers to: one at least.
    pub fn rules(self, faults: &mut Faults) -> Vec<String> {
        let before = faults.count();
        let rules = self.names("rules", faults);
        if rules.is_empty() && faults.count() == before {
            let expected = "the id or name of a rule at least".to_owned();
            faults.note(self.node.line, &self.path("rules"), expected);
        }
        if rules.len() > MAX_RULES {
            faults.note(self.node.line, &self.path("rules"), format!("at most {MAX_RULES} rules"));
        }
        rules
    }

    /// A list of names, each once.
    pub fn names(self, key: &str, faults: &mut Faults) -> Vec<String> {
        let path = self.path(key);
        let Some(list) = self.node.get(key) else { return Vec::new() };
        let mut names = Vec::new();
        for item in list.one_or_many() {
            match item.scalar_text() {
                Some(name) if names.contains(&name) => {
                    faults.note(item.line, &path, format!("each name once: '{name}' stands twice"));
                }
                Some(name) => names.push(name),
                None => {
                    faults.note(item.line, &path, format!("text or a list of texts, not {}", item.kind()));
                }
            }
        }
        names
    }

    /// A span, which must be there unless there is a default.
    pub fn span(self, key: &str, default: Option<Duration>, faults: &mut Faults) -> Option<Duration> {
        const EXPECTED: &str = "a span such as 30s, 5m, 2h or 1d";
        let Some(value) = self.node.get(key) else {
            if default.is_none() {
                faults.note(self.node.line, &self.path(key), EXPECTED.to_owned());
            }
            return default;
        };
        let span = value.text().and_then(parse_span);
        if span.is_none() {
            let got = value.scalar_text().unwrap_or_else(|| value.kind().to_owned());
            faults.note(value.line, &self.path(key), format!("{EXPECTED}, not '{got}'"));
        }
        span
    }

    /// Whether the rules it refers to also report by themselves.
    pub fn generate(self, default: Option<bool>, faults: &mut Faults) -> bool {
        match self.node.get("generate").map(|node| (&node.data, node.line)) {
            None => default.unwrap_or(false),
            Some((Data::Bool(value), _)) => *value,
            Some((_, line)) => {
                faults.note(line, &self.path("generate"), "true or false".to_owned());
                false
            }
        }
    }

    /// Names that stand for another field in each rule.
    pub fn aliases(self, rules: &[String], faults: &mut Faults) -> Vec<Alias> {
        let Some(aliases) = self.node.get("aliases") else { return Vec::new() };
        let mut parsed = Vec::new();
        if !matches!(aliases.data, Data::Map(_)) {
            let expected = format!("a map of aliases, not {}", aliases.kind());
            faults.note(aliases.line, &self.path("aliases"), expected);
        }
        for entry in aliases.entries() {
            let path = self.path(&format!("aliases.{}", entry.key));
            let mut fields = Vec::new();
            if !matches!(entry.value.data, Data::Map(_)) {
                faults.note(entry.line, &path, "a map from rule to field".to_owned());
            }
            for field in entry.value.entries() {
                if !rules.contains(&field.key) {
                    faults.note(field.line, &path, format!("a rule out of 'rules', not '{}'", field.key));
                }
                match field.value.text() {
                    Some(name) => fields.push((field.key.clone(), name.to_owned())),
                    None => {
                        let expected = format!("the name of a field, not {}", field.value.kind());
                        faults.note(field.line, &path, expected);
                    }
                }
            }
            parsed.push(Alias { name: entry.key.clone(), fields });
        }
        parsed
    }
}

/// A span such as `30s`, `5m`, `2h`, `1d`, `1w`, `1M` or `1y`, longer than nothing and at most a year.
///
/// A month and a year are the mean Gregorian ones, as pySigma has them.
pub fn parse_span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        'M' => 2_629_746,
        'y' => 31_556_952,
        _ => return None,
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let total = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=31_556_952).contains(&total).then(|| Duration::from_secs(total))
}

#[derive(Default)]
struct ConditionParts {
    comparisons: Vec<(Comparison, f64)>,
    fields: Vec<String>,
    percentile: Option<f64>,
}

fn condition(node: &Node, kind: &str, rules: usize, faults: &mut Faults) -> ConditionParts {
    let temporal = matches!(kind, "temporal" | "temporal_ordered");
    let mut parts = ConditionParts::default();
    let before = faults.count();
    let Some(condition) = node.get("condition") else {
        if temporal {
            parts.comparisons.push((Comparison::Gte, rules as f64));
        } else {
            faults.note(node.line, "correlation.condition", "a comparison such as 'gte: 10'".to_owned());
        }
        return parts;
    };
    let Data::Map(entries) = &condition.data else {
        let expected = match condition.data {
            Data::Text(_) => {
                "a map such as 'gte: 2': conditions in words are not supported, list the rules instead"
            }
            _ => "a map such as 'gte: 10'",
        };
        faults.note(condition.line, "correlation.condition", expected.to_owned());
        return parts;
    };
    for entry in entries {
        let path = format!("correlation.condition.{}", entry.key);
        match entry.key.as_str() {
            "field" if temporal || kind == "event_count" => {
                faults.note(entry.line, &path, format!("no field: {kind} counts matches"));
            }
            "field" => {
                for item in entry.value.one_or_many() {
                    match item.text() {
                        Some(field) => parts.fields.push(field.to_owned()),
                        None => {
                            faults.note(item.line, &path, format!("the name of a field, not {}", item.kind()))
                        }
                    }
                }
            }
            "percentile" => match entry.value.number().filter(|number| (0.0..=100.0).contains(number)) {
                Some(number) => parts.percentile = Some(number),
                None => faults.note(entry.line, &path, "a number from 0 to 100".to_owned()),
            },
            word => match (Comparison::from_word(word), entry.value.number()) {
                (Some(comparison), Some(number)) => parts.comparisons.push((comparison, number)),
                (Some(_), None) => {
                    faults.note(entry.line, &path, format!("a number, not {}", entry.value.kind()))
                }
                (None, _) => {
                    faults.note(
                        entry.line,
                        &path,
                        "one of gt, gte, lt, lte, eq, neq, field or percentile".to_owned(),
                    );
                }
            },
        }
    }
    if parts.comparisons.is_empty() && faults.count() == before {
        faults.note(condition.line, "correlation.condition", "a comparison such as 'gte: 10'".to_owned());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(parse_span("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_span("2h"), Some(Duration::from_secs(7200)));
        for wrong in ["", "5", "5x", "0s", "-1s", "1.5h", "s", "99999999999999999999s", "5 m", "2y"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }
}
