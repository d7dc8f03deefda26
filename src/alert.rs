//! An alert: an episode of findings of one rule about one subject, and the record of why it was raised.
//!
//! Opened once, updated while it lasts, resolved when it has been quiet. Its id is a function of the rule, the
//! subject and the time at which it opened, so a replay or a second machine raises the same alert, not another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::event::Timestamp;
use crate::rules::baseline::{Baseline, Direction, Side};
use crate::rules::correlation::{Correlation, Kind};
use crate::rules::detection::Comparison;
use crate::rules::{Body, Mode, Rule, RuleSet, Severity};

/// An episode is over when nothing was found for its rule's span, and at least for this long. Attackers pause; an
/// analyst wants one alert for one attack.
const MIN_QUIET: Duration = Duration::from_secs(15 * 60);

/// Digits of an id that stand for the subject.
const SUBJECT_DIGITS: usize = 16;

/// Most events kept as evidence.
pub const MAX_SAMPLES: usize = 5;
/// Most detections that are named as evidence.
pub const MAX_MATCHED: usize = 20;
/// Most entries of the allowlist that are named because they almost held, and most rules that are named as asked.
pub const MAX_CONSULTED: usize = 3;
/// Most contributions to a risk kept as evidence.
pub const MAX_CONTRIBUTIONS: usize = 20;
/// Most distinct values kept as evidence.
pub const MAX_VALUES: usize = 10;

/// How long a rule must find nothing about a subject for its episode to be over: as long as its window, or as those of
/// the rules whose findings it looks at, if they are longer.
pub fn quiet_after(rules: &RuleSet, rule: &Rule) -> Duration {
    match &rule.body {
        Body::Detection(detection) => detection.timespan.max(MIN_QUIET),
        Body::Correlation(linked) if let Some(baseline) = &linked.correlation.baseline => {
            baseline.tick.saturating_mul(baseline.calm_ticks())
        }
        Body::Correlation(linked) => {
            let inputs = linked.inputs.iter().map(|input| &rules.rules[*input]);
            let correlations = inputs.filter(|input| matches!(input.body, Body::Correlation(_)));
            let longest = correlations.map(|input| quiet_after(rules, input)).max().unwrap_or(MIN_QUIET);
            if linked.correlation.kind.is_long_lived() {
                // Its timespan is how long something is known.
                return longest;
            }
            linked.correlation.timespan.max(longest)
        }
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Stable id.
    pub id: String,
    /// Identity, name and title of the rule.
    pub rule: Arc<RuleName>,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it is for people: whoever pages somebody passes over those of rules on trial.
    pub mode: Mode,
    /// Whose events these are; empty for the only tenant.
    pub tenant: String,
    /// What it is about: name and value of each field.
    pub subject: Vec<(String, String)>,
    /// When the condition was first satisfied.
    pub opened_at: Timestamp,
    /// When it was last satisfied.
    pub last_seen_at: Timestamp,
    /// When it was over; `None` while it is open.
    pub resolved_at: Option<Timestamp>,
    /// The highest measure.
    pub observed: f64,
    /// What the measure was compared with.
    pub condition: Arc<Condition>,
    /// On what grounds.
    pub evidence: Evidence,
}

/// How a rule is called.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RuleName {
    /// Its id, or else its name or title.
    pub id: String,
    /// Its name, or else its id or title.
    pub name: String,
    /// Its title.
    pub title: String,
}

/// What a rule asks for, in a form for programs and one for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The kind of measure, in Sigma's words: `event_count`, ...; `match` for a rule about single events.
    pub kind: &'static str,
    /// The fields measured.
    pub fields: Vec<String>,
    /// Comparison and threshold.
    pub comparisons: Vec<(&'static str, f64)>,
    /// The span of the window.
    pub timespan: Duration,
    /// One line.
    pub text: String,
}

/// On what grounds an alert was raised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The window in which the condition was first satisfied.
    pub window: (Timestamp, Timestamp),
    /// The first event that is kept here.
    pub first_seen_at: Timestamp,
    /// How many observations satisfied the condition, the one that opened the episode included.
    pub findings: u64,
    /// Findings of other rules, for rules that look at those.
    pub grounds: Vec<Ground>,
    /// The detections whose matches were counted, for rules that look at several.
    pub matched: Vec<Matched>,
    /// How far from what is usual, for rules with a baseline.
    pub deviation: Option<Box<Deviation>>,
    /// Distinct values, some of them, for rules that count those.
    pub values: Vec<String>,
    /// How many other values were known, for rules that look for new ones.
    pub known: Option<u16>,
    /// The two places, for rules that look for impossible travels.
    pub trip: Option<Box<Trip>>,
    /// What contributed to the risk of an entity, the last of it.
    pub contributions: Vec<Contribution>,
    /// The longest chain that was found, in the order of time, for rules with stages.
    pub stages: Vec<Stage>,
    /// Events, some of them.
    pub samples: Vec<Sample>,
    /// What else was asked; not known of an alert that was read back.
    pub consulted: Option<Box<Consulted>>,
}

/// What was asked before an alert opened beside the window, and what came out of order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consulted {
    /// How many entries the allowlist had.
    pub allowlist_entries: usize,
    /// Those of them, some, that would have kept it from opening but for one thing.
    pub nearly_allowed: Vec<NearlyAllowed>,
    /// Rules, some of them, an open alert of which would have kept it from opening; none had one.
    pub inhibitors: Vec<Arc<RuleName>>,
    /// Findings about the subject before it that opened none.
    pub withheld: Withheld,
    /// Events among those counted that came after later ones.
    pub late_events: u32,
}

/// An entry of the allowlist that almost held.
#[derive(Clone, Debug, PartialEq)]
pub struct NearlyAllowed {
    /// Its reason.
    pub reason: String,
    /// What it failed on.
    pub but: &'static str,
}

/// Findings that opened no alert, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Withheld {
    /// The allowlist knew the event.
    pub allowed: u32,
    /// An alert of another rule was open about the subject.
    pub inhibited: u32,
    /// Too many alerts were open.
    pub refused: u32,
}

impl Consulted {
    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let reasons: usize =
            self.nearly_allowed.iter().map(|near| size_of_val(near) + near.reason.len()).sum();
        size_of::<Self>() + reasons + size_of_val(self.inhibitors.as_slice())
    }
}

impl Serialize for Consulted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("allowlist_entries", &self.allowlist_entries)?;
        if !self.nearly_allowed.is_empty() {
            let near = self.nearly_allowed.iter();
            let near: Vec<_> =
                near.map(|near| serde_json::json!({"reason": near.reason, "but": near.but})).collect();
            map.serialize_entry("nearly_allowed", &near)?;
        }
        if !self.inhibitors.is_empty() {
            let names: Vec<&str> = self.inhibitors.iter().map(|rule| rule.name.as_str()).collect();
            map.serialize_entry("inhibitors", &names)?;
        }
        if self.withheld != Withheld::default() {
            map.serialize_entry("withheld", &self.withheld)?;
        }
        map.serialize_entry("late_events", &self.late_events)?;
        map.end()
    }
}

/// The most surprising tick of an episode of a rule with a baseline, and what was expected of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Deviation {
    /// What was observed.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// One standard deviation of it.
    pub scale: f64,
    /// How surprising that is, in bits.
    pub bits: f64,
    /// On which side of what was expected.
    pub direction: Side,
    /// When the first tick of the episode began.
    pub since: Timestamp,
    /// When this tick began.
    pub at: Timestamp,
    /// The length of a tick, in Sigma's notation.
    pub tick: String,
}

/// Two places that somebody was in.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Trip {
    /// The earlier one.
    pub from: Place,
    /// The later one.
    pub to: Place,
    /// Kilometres along a great circle.
    pub km: f64,
    /// Hours between.
    pub hours: f64,
    /// How fast that would be.
    pub km_per_hour: f64,
}

/// Where somebody was, and when.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Place {
    /// When.
    pub at: Timestamp,
    /// Degrees to the north.
    #[serde(rename = "lat")]
    pub latitude: f64,
    /// Degrees to the east.
    #[serde(rename = "lon")]
    pub longitude: f64,
    /// Two letters; empty when it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
}

/// An alert that contributed to the risk of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The rule that opened it.
    pub rule: Arc<RuleName>,
    /// What it added.
    pub score: f64,
    /// When it opened.
    pub at: Timestamp,
}

/// A stage of a sequence.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stage {
    /// The name of the rule that matched.
    pub rule: Arc<str>,
    /// What it is about, as this stage names it.
    pub subject: BTreeMap<String, String>,
    /// The event that it matched, or the last one of those that made it a finding.
    pub event: Sample,
}

impl Stage {
    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        /// A node of a map, about, for each field of a subject.
        const NODE: usize = 64;
        let subject = self.subject.iter().map(|(name, value)| NODE + name.len() + value.len());
        size_of::<Self>() + subject.sum::<usize>() + self.event.fields.get().len()
    }
}

/// A rule whose findings another rule looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// Its name.
    pub rule: String,
    /// The highest measure of it.
    pub observed: f64,
    /// What it asks for, in one line.
    pub condition: String,
}

/// A detection whose matches another rule counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// Its names.
    pub rule: Arc<RuleName>,
    /// Events that it matched; of those that several matched, the first is named.
    pub events: u64,
}

/// An event kept as evidence. Tens of thousands may be kept, so it is small: the fields are JSON already.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// The source.
    pub source: Arc<str>,
    /// Number of the line in the source, from 1.
    pub line: u64,
    /// When.
    pub at: Timestamp,
    /// Fields and values, a JSON object.
    pub fields: Box<RawValue>,
}

impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, self.line, self.at, self.fields.get())
            == (&other.source, other.line, other.at, other.fields.get())
    }
}

impl Sample {
    /// The text of a field.
    pub fn text(&self, field: &str) -> Option<String> {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(self.fields.get()).ok()?;
        fields.get(field)?.as_str().map(str::to_owned)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.fields.get().len()
    }
}

impl Alert {
    /// The id of an alert: 32 hexadecimal digits, of which the first half stands for rule, tenant and subject, and the
    /// second for those and the start.
    pub fn id_of(rule: &str, tenant: &str, subject: &[(String, String)], opened_at: Timestamp) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(rule);
        part(tenant);
        for (name, value) in subject {
            part(name);
            part(value);
        }
        let subject = hasher.finalize().to_hex();
        hasher.update(&opened_at.as_micros().to_le_bytes());
        let start = hasher.finalize().to_hex();
        format!("{}{}", &subject[..SUBJECT_DIGITS], &start[..SUBJECT_DIGITS])
    }

    /// The part of an id that is the same for all alerts of a rule about a subject.
    pub fn subject_of_id(id: &str) -> &str {
        id.get(..SUBJECT_DIGITS).unwrap_or(id)
    }

    /// The subject in one line.
    pub fn subject_text(&self) -> String {
        let parts: Vec<String> = self.subject.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if parts.is_empty() { "everything".to_owned() } else { parts.join(" ") }
    }
}

impl Condition {
    /// The condition of a rule that is gone.
    pub fn of_text(text: &str) -> Self {
        let (kind, fields, comparisons) = ("unknown", Vec::new(), Vec::new());
        Self { kind, fields, comparisons, timespan: Duration::ZERO, text: text.to_owned() }
    }

    fn of_travel(correlation: &Correlation, min_km: f64) -> Self {
        let least = correlation.condition.first().map_or(0.0, |(_, least)| *least);
        let span = span_in_words(correlation.timespan);
        Self {
            kind: "impossible_travel",
            fields: Vec::new(),
            comparisons: vec![("gte", least)],
            timespan: correlation.timespan,
            text: format!("two places {min_km} km apart or more, at {least} km/h or more, within {span}"),
        }
    }

    fn of_first_seen(correlation: &Correlation, fields: &[String]) -> Self {
        let what = fields.join(" + ");
        let article = if what.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        let span = span_in_words(correlation.timespan);
        let by = match correlation.group_by.as_slice() {
            [] => String::new(),
            fields => format!(" for this {}", fields.join(" + ")),
        };
        Self {
            kind: "first_seen",
            fields: fields.to_vec(),
            comparisons: Vec::new(),
            timespan: correlation.timespan,
            text: format!("{article} {what} not seen in {span}{by}"),
        }
    }

    /// The condition of a rule.
    pub fn of(rule: &Rule) -> Self {
        match &rule.body {
            Body::Detection(detection) => Self {
                kind: "match",
                fields: Vec::new(),
                comparisons: vec![("gte", 1.0)],
                timespan: detection.timespan,
                text: "an event that matches".to_owned(),
            },
            Body::Correlation(linked) => {
                let correlation = &linked.correlation;
                let (kind, fields, noun) = match &correlation.kind {
                    Kind::FirstSeen { fields, .. } => return Self::of_first_seen(correlation, fields),
                    Kind::ImpossibleTravel { min_km, .. } => return Self::of_travel(correlation, *min_km),
                    Kind::EventCount => ("event_count", Vec::new(), "events".to_owned()),
                    Kind::ValueCount(fields) => {
                        ("value_count", fields.clone(), format!("distinct {}", fields.join(" + ")))
                    }
                    Kind::Temporal => ("temporal", Vec::new(), "of the rules".to_owned()),
                    Kind::TemporalOrdered => {
                        ("temporal_ordered", Vec::new(), "of the rules in order".to_owned())
                    }
                    Kind::EntityRisk { half_life, .. } => {
                        ("entity_risk", Vec::new(), format!("risk, halved every {},", span_text(*half_life)))
                    }
                    Kind::ValueSum(field) => ("value_sum", vec![field.clone()], format!("sum of {field}")),
                    Kind::ValueAvg(field) => ("value_avg", vec![field.clone()], format!("mean of {field}")),
                    Kind::ValuePercentile(field, percentile) => (
                        "value_percentile",
                        vec![field.clone()],
                        format!("percentile {percentile} of {field}"),
                    ),
                };
                if let Some(baseline) = &correlation.baseline {
                    return Self::of_baseline(baseline, fields, &noun, &correlation.condition);
                }
                let comparisons =
                    correlation.condition.iter().map(|(c, number)| (word(*c), *number)).collect();
                let signs: Vec<String> = correlation
                    .condition
                    .iter()
                    .map(|(c, number)| format!("{} {number}", c.sign()))
                    .collect();
                let span = span_text(correlation.timespan);
                let text = format!("{} {noun} in {span}", signs.join(" and "));
                Self { kind, fields, comparisons, timespan: correlation.timespan, text }
            }
        }
    }
}

impl Condition {
    fn of_baseline(
        baseline: &Baseline,
        fields: Vec<String>,
        noun: &str,
        besides: &[(Comparison, f64)],
    ) -> Self {
        let Baseline { tick, direction, bits, min_excess, .. } = *baseline;
        let side = match direction {
            Direction::Up => "above",
            Direction::Down => "below",
            Direction::Both => "off",
        };
        let span = span_text(tick);
        let mut text = format!("{noun} in {span} {side} what is usual by >= {min_excess} and {bits} bits");
        // That something happened goes without saying.
        for (comparison, number) in besides.iter().filter(|(_, number)| *number > 1.0) {
            text += &format!(", and {} {number}", comparison.sign());
        }
        Self { kind: "baseline", fields, comparisons: vec![("gte", f64::from(bits))], timespan: tick, text }
    }
}

fn word(comparison: Comparison) -> &'static str {
    use Comparison::{Eq, Gt, Gte, Lt, Lte, Neq};
    match comparison {
        Lt => "lt",
        Lte => "lte",
        Gt => "gt",
        Gte => "gte",
        Eq => "eq",
        Neq => "neq",
    }
}

/// A span in Sigma's notation.
pub fn span_text(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A span in words: `90 days`.
fn span_in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fits = |(length, _): &&(u64, &str)| seconds.is_multiple_of(*length);
    let (length, unit) = units.iter().find(fits).copied().unwrap_or((1, "second"));
    let plural = if seconds == length { "" } else { "s" };
    format!("{} {unit}{plural}", seconds / length)
}

/// A whole number without decimals.
fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}

impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("rule", &self.rule)?;
        map.serialize_entry("severity", &self.severity)?;
        if self.mode.is_shadow() {
            map.serialize_entry("mode", &self.mode)?;
        }
        if !self.tenant.is_empty() {
            map.serialize_entry("tenant", &self.tenant)?;
        }
        let subject: serde_json::Map<_, _> =
            self.subject.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        map.serialize_entry("subject", &subject)?;
        map.serialize_entry("opened_at", &self.opened_at)?;
        map.serialize_entry("last_seen_at", &self.last_seen_at)?;
        map.serialize_entry("resolved_at", &self.resolved_at)?;
        map.serialize_entry("observed", &number(self.observed))?;
        map.serialize_entry("condition", &self.condition)?;
        map.serialize_entry("evidence", &self.evidence)?;
        map.end()
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        if !self.fields.is_empty() {
            map.serialize_entry("field", &self.fields)?;
        }
        for (word, threshold) in &self.comparisons {
            map.serialize_entry(word, &number(*threshold))?;
        }
        map.serialize_entry("timespan", &span_text(self.timespan))?;
        map.serialize_entry("text", &self.text)?;
        map.end()
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let window: serde_json::Map<_, _> = [("from", self.window.0), ("to", self.window.1)]
            .into_iter()
            .map(|(name, at)| (name.to_owned(), at.to_string().into()))
            .collect();
        map.serialize_entry("window", &window)?;
        map.serialize_entry("first_seen_at", &self.first_seen_at)?;
        map.serialize_entry("findings", &self.findings)?;
        if !self.grounds.is_empty() {
            let grounds: Vec<_> = self
                .grounds
                .iter()
                .map(|ground| {
                    let observed = number(ground.observed);
                    serde_json::json!({"rule": ground.rule, "observed": observed, "condition": ground.condition})
                })
                .collect();
            map.serialize_entry("grounds", &grounds)?;
        }
        if !self.matched.is_empty() {
            let matched: Vec<_> = self
                .matched
                .iter()
                .map(|matched| serde_json::json!({"rule": matched.rule.name, "events": matched.events}))
                .collect();
            map.serialize_entry("matched", &matched)?;
        }
        if let Some(deviation) = &self.deviation {
            map.serialize_entry("deviation", deviation)?;
        }
        if !self.values.is_empty() {
            map.serialize_entry("values", &self.values)?;
        }
        if let Some(known) = self.known {
            map.serialize_entry("known", &known)?;
        }
        if let Some(trip) = &self.trip {
            map.serialize_entry("trip", trip)?;
        }
        if !self.contributions.is_empty() {
            let contributions: Vec<_> = self
                .contributions
                .iter()
                .map(|part| serde_json::json!({"rule": part.rule.name, "score": number(part.score), "at": part.at}))
                .collect();
            map.serialize_entry("contributions", &contributions)?;
        }
        if !self.stages.is_empty() {
            map.serialize_entry("stages", &self.stages)?;
        }
        map.serialize_entry("samples", &self.samples)?;
        if let Some(consulted) = &self.consulted {
            map.serialize_entry("consulted", consulted)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_rule_tenant_subject_and_start() {
        let subject = [("source.ip".to_owned(), "192.0.2.1".to_owned())];
        let at = Timestamp::from_seconds(1);
        let ids = [
            Alert::id_of("a", "", &subject, at),
            Alert::id_of("b", "", &subject, at),
            Alert::id_of("a", "t", &subject, at),
            Alert::id_of("a", "", &[], at),
            Alert::id_of("a", "", &subject, Timestamp::from_seconds(2)),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 32);
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(ids[0], Alert::id_of("a", "", &subject, at));
        assert_eq!(Alert::subject_of_id(&ids[0]), Alert::subject_of_id(&ids[4]), "the same subject, later");
        assert_ne!(Alert::subject_of_id(&ids[0]), Alert::subject_of_id(&ids[2]));
    }

    #[test]
    fn spans_are_written_in_the_largest_unit_that_fits() {
        assert_eq!(
            ["90s", "2m", "1h", "1d"],
            [90, 120, 3600, 86_400].map(|s| span_text(Duration::from_secs(s))).each_ref().map(String::as_str)
        );
    }
}
