//! What is counted: from the rules that an event matches to the observations that windows take in.
//!
//! Every correlation has a window, and so has every detection that reports by itself: one match is a finding, and
//! what follows belongs to it. The [`Plan`] says for each detection which windows its matches go to, by what they
//! are grouped there, and which value counts.

use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use smallvec::SmallVec;

use crate::event::{Event, FieldId, Schema, Value, field, micros};
use crate::geo::Relays;
use crate::rules::correlation::{Correlation, Kind};
use crate::rules::detection::Comparison;
use crate::rules::pattern::fold_case;
use crate::rules::{Body, Detection, RuleSet};
use crate::windows::baseline::detector::Values;
use crate::windows::baseline::series::Asked;
use crate::windows::seen::Learning;
use crate::windows::table::Key;
use crate::windows::travel::{Limits, Position};
use crate::windows::{Measure, Observed, Spec};

/// Sixteen secret bytes that keep outsiders from choosing what collides.
pub type Secret = [u8; 16];

/// Something to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// By what it is grouped.
    pub key: Key,
    /// What counts.
    pub observed: Observed,
    /// Number of the record it comes from.
    pub record: u32,
    /// Number of the tap it came through.
    pub tap: u16,
}

impl Observation {
    /// Whether another observation of the same event is for the same window of the same subject. An event that several
    /// rules match is one event: then the rules are put together, and nothing else is counted twice.
    pub fn takes_in(&mut self, other: &Self, plan: &Plan) -> bool {
        let window = |observation: &Self| plan.tap(observation.tap).window;
        if self.record != other.record || self.key != other.key || window(self) != window(other) {
            return false;
        }
        match (&mut self.observed, other.observed) {
            (Observed::Rules(rules), Observed::Rules(more)) => *rules |= more,
            // Whoever has a value is there too.
            (Observed::Occurrence, Observed::Hash(_) | Observed::Fine(_)) => *self = *other,
            _ => {}
        }
        true
    }
}

/// A window that each subject of a rule has.
#[derive(Clone, Debug)]
pub struct PlannedWindow {
    /// Index of the rule in its set.
    pub rule: usize,
    /// What is asked of it.
    pub spec: Spec,
    /// What subjects are made of, by the names the rule uses.
    pub group_by: Vec<String>,
    /// 1 for windows over detections, 2 and more for those over findings of other windows.
    pub level: usize,
    /// Whether a finding goes on to other windows.
    pub feeds: bool,
    /// Whether a finding is for people.
    pub reported: bool,
    /// Windows of the same subject whose open alerts keep this one from opening another.
    pub inhibited_by: Vec<u16>,
    /// The same in another plan when the same is counted there: the rule, and those it looks at, say the same.
    pub fingerprint: Fingerprint,
    /// Of one event, windows are shown it in the order of their ranks: what inhibits before what it inhibits.
    pub rank: usize,
}

/// A hash of what a window counts.
pub type Fingerprint = [u8; 32];

/// Where a match, or a finding, goes.
#[derive(Clone, Debug)]
pub struct Tap {
    /// Number of the window.
    pub window: u16,
    /// The level of that window.
    pub level: usize,
    /// The detection that is one of several whose matches the window counts, by index of the rule.
    pub one_of: Option<usize>,
    /// Of the names of the fields that subjects are made of: subjects of all windows with the same names are the same.
    grouping: u64,
    /// The same for all taps whose subjects are read from the same fields and are the same.
    pub subject_number: u16,
    /// The fields that hold the subject.
    pub fields: SmallVec<[FieldId; 2]>,
    /// Whether the subject or the value is where the client is.
    pub asks_for_places: bool,
    /// Whether a subject may lack a field.
    may_miss: bool,
    value: ValueOf,
}

#[derive(Clone, Debug)]
enum ValueOf {
    Occurrence,
    Rule(u8),
    Distinct(SmallVec<[FieldId; 1]>),
    /// A value that may be new.
    Seen(SmallVec<[FieldId; 1]>),
    Number(FieldId),
    /// Where it happened, unless the client is in one of these networks.
    Position(Box<Networks>),
}

/// Networks whose addresses say nothing of where somebody is.
#[derive(Clone, Debug)]
struct Networks {
    known: Arc<Relays>,
    of_rule: Relays,
}

/// Why a match was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// It lacks a field that the subject is made of.
    MissingGroup,
    /// It lacks the value that is measured.
    MissingValue,
    /// It comes from a relay, and where that is says nothing.
    Relayed,
}

/// What is counted, for a set of rules.
pub struct Plan {
    /// All windows.
    pub windows: Vec<PlannedWindow>,
    /// All taps.
    taps: Vec<Tap>,
    /// The taps of a rule, by index of the rule.
    by_rule: Vec<Vec<u16>>,
    /// Through which alerts that open add to risk.
    risk: Vec<u16>,
    secret: Secret,
}

impl Plan {
    /// Plans for a set of rules. `lateness` is how far behind the latest event another may come and be counted.
    /// Names of fields are added to the schema.
    pub fn new(
        rules: &RuleSet,
        schema: &mut Schema,
        lateness: std::time::Duration,
        secret: Secret,
        relays: &Arc<Relays>,
    ) -> Self {
        let mut plan = Self {
            windows: Vec::new(),
            taps: Vec::new(),
            by_rule: vec![Vec::new(); rules.rules.len()],
            risk: Vec::new(),
            secret,
        };
        let fingerprints = fingerprints(rules);
        let grouping = |group_by: &[String]| {
            let mut hasher = SipHasher13::new_with_key(&secret);
            group_by.iter().for_each(|name| write_text(&mut hasher, name));
            hasher.finish()
        };
        let is_detection = |input: usize| matches!(rules.rules[input].body, Body::Detection(_));
        for (index, rule) in rules.rules.iter().enumerate() {
            let window = plan.windows.len() as u16;
            match &rule.body {
                Body::Detection(detection) if rule.reported => {
                    plan.windows.push(PlannedWindow {
                        rule: index,
                        spec: Spec {
                            measure: Measure::Count,
                            span: detection.timespan,
                            lateness,
                            condition: SmallVec::from_slice(&[(Comparison::Gte, 1.0)]),
                        },
                        group_by: detection.group_by.clone(),
                        level: 1,
                        feeds: false,
                        reported: true,
                        inhibited_by: Vec::new(),
                        fingerprint: fingerprints[index],
                        rank: 0,
                    });
                    let tap = Tap {
                        window,
                        level: 1,
                        one_of: None,
                        grouping: grouping(&detection.group_by),
                        subject_number: 0,
                        fields: detection.group_by.iter().map(|name| schema.intern(name)).collect(),
                        asks_for_places: false,
                        may_miss: true,
                        value: ValueOf::Occurrence,
                    };
                    plan.add(index, tap);
                }
                Body::Detection(_) => {}
                Body::Correlation(linked) if linked.correlation.kind.is_risk() => {
                    let correlation = &linked.correlation;
                    // Each entity is a subject by itself.
                    for name in &correlation.group_by {
                        let group_by = vec![name.clone()];
                        let number = plan.taps.len() as u16;
                        plan.taps.push(Tap {
                            window: plan.windows.len() as u16,
                            level: 1,
                            one_of: None,
                            grouping: grouping(&group_by),
                            subject_number: number,
                            fields: std::iter::once(schema.intern(name)).collect(),
                            asks_for_places: false,
                            may_miss: false,
                            value: ValueOf::Occurrence,
                        });
                        plan.risk.push(number);
                        let mut hasher = blake3::Hasher::new();
                        hasher.update(&fingerprints[index]).update(name.as_bytes());
                        plan.windows.push(PlannedWindow {
                            rule: index,
                            spec: spec_of(correlation, lateness),
                            group_by,
                            level: 1,
                            feeds: false,
                            reported: rule.reported,
                            inhibited_by: Vec::new(),
                            fingerprint: *hasher.finalize().as_bytes(),
                            rank: 0,
                        });
                    }
                }
                Body::Correlation(linked) => {
                    let correlation = &linked.correlation;
                    plan.windows.push(PlannedWindow {
                        rule: index,
                        spec: spec_of(correlation, lateness),
                        group_by: correlation.group_by.clone(),
                        level: linked.level,
                        feeds: false,
                        reported: rule.reported,
                        inhibited_by: Vec::new(),
                        fingerprint: fingerprints[index],
                        rank: 0,
                    });
                    for (place, (reference, input)) in
                        correlation.rules.iter().zip(&linked.inputs).enumerate()
                    {
                        if !rule.mode.looks_at(rules.rules[*input].mode) {
                            continue;
                        }
                        let mut field = |name: &String| schema.intern(correlation.field_of(reference, name));
                        let tap = Tap {
                            window,
                            level: linked.level,
                            one_of: (linked.inputs.len() > 1 && is_detection(*input)).then_some(*input),
                            grouping: grouping(&correlation.group_by),
                            subject_number: 0,
                            fields: correlation.group_by.iter().map(&mut field).collect(),
                            asks_for_places: false,
                            // What is usual for those of which it is not known: without it nobody would watch them.
                            may_miss: correlation.baseline.is_some(),
                            value: match &correlation.kind {
                                Kind::EventCount | Kind::EntityRisk { .. } => ValueOf::Occurrence,
                                Kind::Temporal | Kind::TemporalOrdered => ValueOf::Rule(place as u8),
                                Kind::ValueCount(fields) => {
                                    ValueOf::Distinct(fields.iter().map(&mut field).collect())
                                }
                                Kind::ImpossibleTravel { ignore, .. } => {
                                    // Its faults were told when the rule was read.
                                    let of_rule = Relays::new(ignore, false).unwrap_or_default();
                                    let known = Arc::clone(relays);
                                    ValueOf::Position(Box::new(Networks { known, of_rule }))
                                }
                                Kind::FirstSeen { only_present, .. }
                                    if place + only_present >= correlation.rules.len() =>
                                {
                                    ValueOf::Occurrence
                                }
                                Kind::FirstSeen { fields, .. } => {
                                    ValueOf::Seen(fields.iter().map(&mut field).collect())
                                }
                                Kind::ValueSum(name)
                                | Kind::ValueAvg(name)
                                | Kind::ValuePercentile(name, _) => ValueOf::Number(field(name)),
                            },
                        };
                        plan.add(*input, tap);
                    }
                }
            }
        }
        for number in 0..plan.windows.len() {
            let names = &rules.rules[plan.windows[number].rule].inhibited_by;
            let is_named = |window: &PlannedWindow| {
                let rule = &rules.rules[window.rule];
                let is_called = |name| rule.name.as_ref() == Some(name) || rule.id.as_ref() == Some(name);
                !rule.mode.is_shadow() && names.iter().any(is_called)
            };
            let (level, group_by) = (plan.windows[number].level, plan.windows[number].group_by.clone());
            let is_alike = |window: &PlannedWindow| window.level <= level && window.group_by == group_by;
            let inhibitors =
                plan.windows.iter().enumerate().filter(|(_, window)| is_named(window) && is_alike(window));
            plan.windows[number].inhibited_by = inhibitors.map(|(other, _)| other as u16).collect();
            plan.windows[number].feeds = rules.rules.get(plan.windows[number].rule).is_some_and(|rule| {
                matches!(rule.body, Body::Correlation(_))
                    && !plan.by_rule[plan.windows[number].rule].is_empty()
            });
        }
        plan.rank();
        plan
    }

    /// Ranks windows by how many inhibit one another in a row. In a circle all are equal.
    fn rank(&mut self) {
        for _ in 0..self.windows.len() {
            let ranks: Vec<usize> = self.windows.iter().map(|window| window.rank).collect();
            let above = |window: &PlannedWindow| {
                let by = window.inhibited_by.iter().map(|other| 1 + ranks[usize::from(*other)]);
                by.max().unwrap_or(0)
            };
            self.windows.iter_mut().for_each(|window| window.rank = above(window));
            if self.windows.iter().zip(&ranks).all(|(window, rank)| window.rank == *rank) {
                break;
            }
        }
    }

    /// The rank of the window that a tap leads to.
    pub fn rank_of(&self, tap: u16) -> usize {
        self.windows[usize::from(self.tap(tap).window)].rank
    }

    fn add(&mut self, rule: usize, mut tap: Tap) {
        let same = self.taps.iter().find(|other| {
            (other.grouping, &other.fields, other.may_miss) == (tap.grouping, &tap.fields, tap.may_miss)
        });
        tap.subject_number = same.map_or(self.taps.len() as u16, |same| same.subject_number);
        let value = match &tap.value {
            ValueOf::Occurrence | ValueOf::Rule(_) => &[],
            ValueOf::Position(_) => [field::GEO_LATITUDE].as_slice(),
            ValueOf::Distinct(fields) | ValueOf::Seen(fields) => fields.as_slice(),
            ValueOf::Number(field) => std::slice::from_ref(field),
        };
        tap.asks_for_places = tap.fields.iter().chain(value).any(|field| field.is_geo());
        self.by_rule[rule].push(self.taps.len() as u16);
        self.taps.push(tap);
    }

    /// Numbers of the taps through which matches of a detection, or findings of a correlation, go.
    pub fn taps_of(&self, rule: usize) -> &[u16] {
        &self.by_rule[rule]
    }

    /// Numbers of the taps through which alerts that open add to the risk of entities.
    pub fn risk_taps(&self) -> &[u16] {
        &self.risk
    }

    /// A tap by its number.
    pub fn tap(&self, number: u16) -> &Tap {
        &self.taps[usize::from(number)]
    }

    /// The highest level of a window.
    pub fn levels(&self) -> usize {
        self.windows.iter().map(|window| window.level).max().unwrap_or(1)
    }

    /// The key of the subject that an event belongs to, for a tap.
    pub fn key(&self, tap: &Tap, tenant: u64, event: &Event<'_>) -> Result<Key, Uncounted> {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        hasher.write_u64(tenant);
        hasher.write_u64(tap.grouping);
        for id in &tap.fields {
            match (Part { event, id: *id }).normalised() {
                Some(part) => part.write(&mut hasher),
                None if tap.may_miss => hasher.write_u8(0xff),
                None => return Err(Uncounted::MissingGroup),
            }
        }
        Ok(Key(hasher.finish128().as_u128()))
    }

    /// What counts of an event, for a tap.
    pub fn observed(&self, tap: &Tap, event: &Event<'_>) -> Result<Observed, Uncounted> {
        match &tap.value {
            ValueOf::Occurrence => Ok(Observed::Occurrence),
            ValueOf::Rule(place) => Ok(Observed::Rules(1 << place)),
            ValueOf::Number(id) => {
                event.get(*id).to_number().map(Observed::Number).ok_or(Uncounted::MissingValue)
            }
            ValueOf::Position(networks) => self.position(networks, event).map(Observed::Position),
            ValueOf::Distinct(fields) | ValueOf::Seen(fields) => {
                let mut hasher = SipHasher13::new_with_key(&self.secret);
                for id in fields {
                    let part = (Part { event, id: *id }).normalised().ok_or(Uncounted::MissingValue)?;
                    part.write(&mut hasher);
                }
                Ok(Observed::Hash(hasher.finish()))
            }
        }
    }
}

impl Plan {
    /// Where an event happened.
    fn position(&self, networks: &Networks, event: &Event<'_>) -> Result<Position, Uncounted> {
        let degrees = |id: FieldId, most: f64| {
            let number = event.get(id).to_number().filter(|number| number.abs() <= most);
            number.map(|number| number as f32).ok_or(Uncounted::MissingValue)
        };
        let latitude = degrees(field::GEO_LATITUDE, 90.0)?;
        let longitude = degrees(field::GEO_LONGITUDE, 180.0)?;
        let address = Part { event, id: field::SOURCE_IP }.normalised().ok_or(Uncounted::MissingValue)?;
        if networks.known.contain_client(event) || networks.of_rule.contain_client(event) {
            return Err(Uncounted::Relayed);
        }
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        address.write(&mut hasher);
        let country = event.text(field::GEO_COUNTRY).and_then(|country| country.as_bytes().try_into().ok());
        Ok(Position {
            latitude,
            longitude,
            address: hasher.finish() as u32,
            country: country.unwrap_or_default(),
        })
    }
}

impl Tap {
    /// The subject that an event belongs to, for people: the value of each field, empty where there is none.
    pub fn subject(&self, event: &Event<'_>) -> Vec<String> {
        self.fields.iter().map(|id| Part { event, id: *id }.display()).collect()
    }

    /// Whether it is distinct values that count.
    pub const fn counts_values(&self) -> bool {
        matches!(self.value, ValueOf::Distinct(_) | ValueOf::Seen(_))
    }

    /// Whether what the allowlist knows is taken note of all the same: it is not new when it comes again.
    pub const fn takes_note_of_allowed(&self) -> bool {
        matches!(self.value, ValueOf::Seen(_))
    }

    /// The distinct value that counts, for people; `None` when it is not values that count.
    pub fn value(&self, event: &Event<'_>) -> Option<String> {
        match &self.value {
            ValueOf::Distinct(fields) | ValueOf::Seen(fields) => {
                let parts: Vec<_> = fields.iter().map(|id| Part { event, id: *id }.display()).collect();
                Some(parts.join(" "))
            }
            _ => None,
        }
    }
}

/// What each rule counts, as a hash.
fn fingerprints(rules: &RuleSet) -> Vec<Fingerprint> {
    let mut fingerprints = vec![Fingerprint::default(); rules.rules.len()];
    let mut by_level: Vec<usize> = (0..rules.rules.len()).collect();
    by_level.sort_by_key(|index| rules.rules[*index].level());
    for index in by_level {
        let rule = &rules.rules[index];
        let mut hasher = blake3::Hasher::new();
        hasher.update(rule.identity().as_bytes());
        match &rule.body {
            Body::Detection(detection) => {
                let Detection { classes, expression, group_by, timespan, searches: _ } = detection;
                hasher.update(format!("{:?}", (classes, expression, group_by, timespan)).as_bytes());
            }
            Body::Correlation(linked) => {
                hasher.update(format!("{:?}", linked.correlation).as_bytes());
                for input in &linked.inputs {
                    let is_counted = rule.mode.looks_at(rules.rules[*input].mode);
                    hasher.update(&if is_counted { fingerprints[*input] } else { Fingerprint::default() });
                }
            }
        }
        fingerprints[index] = *hasher.finalize().as_bytes();
    }
    fingerprints
}

fn write_text(hasher: &mut SipHasher13, text: &str) {
    hasher.write_usize(text.len());
    hasher.write(text.as_bytes());
}

fn spec_of(correlation: &Correlation, lateness: std::time::Duration) -> Spec {
    let measure = match &correlation.kind {
        Kind::EventCount => Measure::Count,
        Kind::ValueCount(_) | Kind::Temporal => Measure::Distinct,
        Kind::TemporalOrdered => Measure::Order(u8::try_from(correlation.rules.len()).unwrap_or(u8::MAX)),
        Kind::ValueSum(_) => Measure::Sum,
        Kind::ValueAvg(_) => Measure::Mean,
        Kind::ValuePercentile(_, percentile) => Measure::Percentile(*percentile),
        Kind::EntityRisk { half_life, .. } => Measure::Risk(*half_life),
        Kind::ImpossibleTravel { min_km, .. } => Measure::Travel(Limits {
            min_km: *min_km,
            min_km_per_hour: correlation.condition.first().map_or(f64::INFINITY, |(_, least)| *least),
        }),
        Kind::FirstSeen { learn, max_values, .. } => {
            Measure::New(Learning { span_micros: micros(*learn), max_values: *max_values })
        }
    };
    let of_baseline = |baseline| {
        let values = if matches!(measure, Measure::Sum) { Values::Numbers } else { Values::Counts };
        Measure::Baseline(Asked { baseline, values })
    };
    Spec {
        measure: correlation.baseline.map_or(measure, of_baseline),
        span: correlation.timespan,
        lateness,
        condition: correlation.condition.iter().copied().collect(),
    }
}

/// A field of an event as a part of a subject.
struct Part<'e, 'a> {
    event: &'e Event<'a>,
    id: FieldId,
}

enum Normalised<'e> {
    Address(Ipv6Addr),
    Text(std::borrow::Cow<'e, str>),
}

impl Normalised<'_> {
    fn write(&self, hasher: &mut SipHasher13) {
        match self {
            Self::Address(address) => hasher.write(&address.octets()),
            Self::Text(text) => write_text(hasher, text),
        }
    }
}

impl<'e> Part<'e, '_> {
    /// The form in which values are equal: in lower case, and addresses by what one customer of a provider has.
    fn normalised(&self) -> Option<Normalised<'e>> {
        if let Some(address) = self.address() {
            return Some(Normalised::Address(counted(address)));
        }
        let text = self.event.get(self.id).to_text()?;
        let lower = if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            std::borrow::Cow::Owned(fold_case(&text))
        } else {
            text
        };
        Some(Normalised::Text(lower))
    }

    fn address(&self) -> Option<IpAddr> {
        match self.event.get(self.id) {
            Value::Text(_) if self.id == field::SOURCE_IP => self.event.client,
            _ => None,
        }
    }

    fn display(&self) -> String {
        match self.address() {
            Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
                format!("{}/64", counted(address.into()))
            }
            Some(address) => address.to_canonical().to_string(),
            None => self.event.get(self.id).to_text().unwrap_or_default().into_owned(),
        }
    }
}

/// The network that is counted as one client: an IPv4 address, or the /64 of an IPv6 address, which is what one
/// customer has and can rotate through.
fn counted(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Value;

    fn plan(text: &str) -> (Plan, Schema) {
        let rules = RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]);
        assert_eq!(rules.errors, []);
        let mut schema = Schema::new();
        let plan = Plan::new(&rules, &mut schema, std::time::Duration::ZERO, [7; 16], &Arc::default());
        (plan, schema)
    }

    const RULES: &str = "
title: A
name: a
logsource: {product: watchbell}
detection: {s: {f: x}, condition: s}
---
title: B
name: b
correlation:
  type: value_count
  rules: [a]
  group-by: [source.ip, who]
  timespan: 1m
  condition: {gte: 2, field: url.path}
  aliases: {who: {a: user.name}}
";

    fn event<'a>(schema: &Schema, address: &'a str, user: &'a str) -> Event<'a> {
        let mut event = Event::new(schema);
        event.set_text(field::SOURCE_IP, address);
        event.client = address.parse().ok();
        event.set_text(field::USER_NAME, user);
        event
    }

    #[test]
    fn subjects_are_equal_by_network_and_regardless_of_case() {
        let (plan, schema) = plan(RULES);
        let tap = &plan.tap(plan.taps_of(0)[0]);
        let key = |address, user| plan.key(tap, 0, &event(&schema, address, user));
        assert_eq!(key("::ffff:192.0.2.1", "Ann"), key("192.0.2.1", "ann"));
        assert_eq!(key("2001:db8::1", "a"), key("2001:db8:0:0:ffff::2", "a"));
        assert_ne!(key("2001:db8::1", "a"), key("2001:db8:0:1::1", "a"));
        assert_ne!(key("192.0.2.1", "a"), key("192.0.2.2", "a"));
        assert_ne!(
            plan.key(tap, 0, &event(&schema, "192.0.2.1", "a")),
            plan.key(tap, 1, &event(&schema, "192.0.2.1", "a")),
            "tenants are apart"
        );
        assert_eq!(tap.subject(&event(&schema, "2001:db8::1", "Ann")), ["2001:db8::/64", "Ann"]);
    }

    #[test]
    fn a_match_without_the_subject_or_the_value_is_not_counted() {
        let (plan, schema) = plan(RULES);
        let tap = &plan.tap(plan.taps_of(0)[0]);
        let mut event = event(&schema, "192.0.2.1", "ann");
        assert_eq!(plan.observed(tap, &event), Err(Uncounted::MissingValue));
        event.set(field::USER_NAME, Value::Null);
        assert_eq!(plan.key(tap, 0, &event), Err(Uncounted::MissingGroup));
    }
}
