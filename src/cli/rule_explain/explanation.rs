//! What a rule says of one event.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::alert::Condition;
use crate::allowlist::Allowlist;
use crate::event::{Class, Event, Schema};
use crate::matching::explain::{Part, explain};
use crate::matching::observation::{Plan, Tap, Uncounted};
use crate::rules::{Body, Rule, RuleSet};

/// What is said of a line.
pub enum Explained {
    /// There is no event in it.
    Nothing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// What the rule says of its event.
    Event(OfRule),
}

/// What a rule says of an event.
#[derive(Serialize)]
pub struct OfRule {
    /// The rule.
    pub rule: String,
    /// Whether a detection matches, or a correlation counts the event.
    pub matches: bool,
    /// The reason of the entry of the allowlist that has the event, which keeps it from being counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What the rule says.
    #[serde(flatten)]
    pub says: Says,
}

/// What it says, by kind of rule.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// About one event.
    Detection {
        /// The kind of log that the event is of, when the rule does not look at it.
        #[serde(skip_serializing_if = "Option::is_none")]
        not_looked_at: Option<String>,
        /// What it looks for.
        looks_for: Part,
    },
    /// About many.
    Correlation {
        /// What is asked.
        condition: String,
        /// By what matches are grouped.
        group_by: Vec<String>,
        /// What each of its rules says.
        rules: Vec<Counted>,
    },
}

/// What one rule says for another.
#[derive(Serialize)]
pub struct Counted {
    /// What it says of the event.
    #[serde(flatten)]
    pub of_rule: OfRule,
    /// With what it is counted, and what is measured of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<As>,
    /// Why it is not counted although it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// How a match is counted.
#[derive(Serialize)]
pub struct As {
    /// The group key.
    pub subject: Map<String, Value>,
    /// What is measured of it.
    pub value: String,
}

/// Lets the decoder know the fields that a rule, and those it looks at, name.
pub fn name_fields(rules: &RuleSet, rule: usize, schema: &mut Schema) {
    match &rules.rules[rule].body {
        Body::Detection(detection) => {
            detection.expression.tests(&mut |test| {
                if let Some(field) = &test.field {
                    schema.intern(field);
                }
            });
        }
        Body::Correlation(linked) => {
            linked.inputs.iter().for_each(|input| name_fields(rules, *input, schema))
        }
    }
}

/// All that an explanation needs.
pub struct Explainer<'e> {
    /// The rules.
    pub rules: &'e RuleSet,
    /// What they count.
    pub plan: &'e Plan,
    /// The fields.
    pub schema: &'e Schema,
    /// What is known to be fine.
    pub allowlist: &'e Allowlist,
}

impl Explainer<'_> {
    /// What a rule says of an event.
    pub fn rule(&self, number: usize, event: &Event<'_>) -> OfRule {
        let rule = &self.rules.rules[number];
        let entry = self.allowlist.find(event, rule, event.at.unwrap_or_default());
        let (matches, says) = match &rule.body {
            Body::Detection(detection) => {
                let looks_for = explain(detection, event, self.schema);
                let is_looked_at = detection.classes & event.class.bit() != 0;
                let not_looked_at = (!is_looked_at).then(|| class_name(event.class).to_owned());
                (is_looked_at && looks_for.holds, Says::Detection { not_looked_at, looks_for })
            }
            Body::Correlation(linked) => {
                let rules: Vec<Counted> =
                    linked.inputs.iter().map(|input| self.counted(number, rule, *input, event)).collect();
                let condition = Condition::of(rule).text;
                let group_by = linked.correlation.group_by.clone();
                let is_counted = rules.iter().any(|counted| counted.counted.is_some());
                (is_counted, Says::Correlation { condition, group_by, rules })
            }
        };
        OfRule {
            rule: rule.handle().to_owned(),
            matches,
            allowed: entry.map(|entry| entry.reason.clone()),
            says,
        }
    }

    fn counted(&self, outer: usize, rule: &Rule, input: usize, event: &Event<'_>) -> Counted {
        let of_rule = self.rule(input, event);
        let outer_window = |tap: &&Tap| self.plan.windows[usize::from(tap.window)].rule == outer;
        let tap = self.plan.taps_of(input).iter().map(|number| self.plan.tap(*number)).find(outer_window);
        let (counted, not_counted) = match tap {
            _ if !of_rule.matches => (None, None),
            None => (None, Some("the rule is in shadow".to_owned())),
            Some(_) if of_rule.allowed.is_some() => (None, Some("the allowlist has it".to_owned())),
            Some(tap) => match self.counted_as(tap, rule, event) {
                Ok(counted) => (Some(counted), None),
                Err(reason) => (None, Some(reason)),
            },
        };
        Counted { of_rule, counted, not_counted }
    }

    fn counted_as(&self, tap: &Tap, rule: &Rule, event: &Event<'_>) -> Result<As, String> {
        let missing = |uncounted| match uncounted {
            Uncounted::MissingGroup => {
                let missing = tap.fields.iter().filter(|id| !event.get(**id).is_some());
                let names: Vec<&str> = missing.map(|id| self.schema.name(*id)).collect();
                format!("the event lacks {}, which it is grouped by", names.join(", "))
            }
            Uncounted::MissingValue => "the event lacks the value that is measured".to_owned(),
            Uncounted::Relayed => "it comes from a relay, and where that is says nothing".to_owned(),
        };
        self.plan.key(tap, 0, event).map_err(missing)?;
        self.plan.observed(tap, event).map_err(missing)?;
        let names = rule.group_by().iter().cloned();
        let subject = names.zip(tap.subject(event)).map(|(name, value)| (name, value.into())).collect();
        let value = tap.value(event).or_else(|| self.number(rule, event)).unwrap_or_else(|| "1".to_owned());
        Ok(As { subject, value })
    }

    /// The number that sums, means and percentiles take.
    fn number(&self, rule: &Rule, event: &Event<'_>) -> Option<String> {
        let fields = Condition::of(rule).fields;
        let id = self.schema.find(fields.first()?)?;
        event.get(id).to_text().map(std::borrow::Cow::into_owned)
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Any => "unknown",
        Class::Webserver => "webserver",
        Class::Proxy => "proxy",
        Class::Application => "application",
        Class::Messaging => "messaging",
    }
}

impl Explained {
    /// As one object.
    pub fn to_json(&self, line: u64, rule: &Rule) -> Value {
        match self {
            Self::Nothing => json!({"line": line, "rule": rule.handle(), "event": false}),
            Self::Unreadable(reason) => json!({"line": line, "rule": rule.handle(), "unreadable": reason}),
            Self::Event(of_rule) => {
                let mut object = json!({"line": line});
                if let (Value::Object(object), Ok(Value::Object(told))) =
                    (&mut object, serde_json::to_value(of_rule))
                {
                    object.extend(told);
                }
                object
            }
        }
    }
}
