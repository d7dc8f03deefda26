//! Sigma documents: read, checked, and linked to one another.
//!
//! Pure but for [`files`], which reads directories. What comes out is a [`RuleSet`] whose references are
//! resolved; compiling it for speed is the business of `matching`, counting that of `windows`. A document with a
//! fault is refused with file, line, key and what was expected, and all others go on.

pub mod baseline;
pub mod condition;
pub mod correlation;
pub mod detection;
mod document;
pub mod entity_risk;
mod extension;
pub mod fault;
pub mod files;
mod first_seen;
pub mod nearest;
pub mod pattern;
pub mod regex;
mod set;
pub mod stages;
mod travel;
pub mod yaml;

use std::fmt;
use std::time::Duration;

use baseline::Baseline;
use correlation::Correlation;
use detection::{Check, Expression};
use fault::Place;
pub use set::RuleSet;

/// How much a finding of a rule matters. Sigma's `level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Informational,
    /// Worth a look when there is time.
    Low,
    /// Should be looked at soon. The first level that pages someone.
    Medium,
    /// Should be looked at now.
    High,
    /// Drop everything.
    Critical,
}

impl Severity {
    /// All of them, in rising order.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// Sigma's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether what a rule finds is for people, or only to see what it would say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For people.
    #[default]
    Live,
    /// On trial: it counts, and its alerts are kept and told with this mode, but nothing else changes for it. It inhibits
    /// no other rule, and no live rule counts what it finds, so that nobody is paged, or not paged, because of a trial.
    Shadow,
}

impl Mode {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Live, Self::Shadow];

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The word for it in rules, alerts and outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
        }
    }

    /// Whether it is on trial.
    pub const fn is_shadow(self) -> bool {
        matches!(self, Self::Shadow)
    }

    /// Whether a rule of this mode counts what a rule of the other mode finds.
    pub const fn looks_at(self, other: Self) -> bool {
        self.is_shadow() || !other.is_shadow()
    }
}

/// A rule, checked and linked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Sigma's `id`.
    pub id: Option<String>,
    /// Sigma's `name`: what correlations call it, and what an operator sees.
    pub name: Option<String>,
    /// One line for people.
    pub title: String,
    /// What it finds and why that matters.
    pub description: String,
    /// How much a finding matters.
    pub severity: Severity,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may look like this.
    pub false_positives: Vec<String>,
    /// What whoever is paged should look at and do first.
    pub advice: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it comes from the pack that is built in.
    pub builtin: bool,
    /// Whether a match of it is a finding by itself. A rule that correlations refer to is not, unless they generate
    /// it, nor is one that says `reported: false`, being there to be referred to.
    pub reported: bool,
    /// Whether what it finds is for people.
    pub mode: Mode,
    /// Names of rules about the same subject that have said enough: while an alert of one of them is open, this one
    /// opens none.
    pub inhibited_by: Vec<String>,
    /// From how many stages of a sequence on which severity, rising; empty for rules without stages.
    pub stages: Vec<(u32, Severity)>,
    /// What an alert of it adds to the risk of an entity, where the rule says so.
    pub risk: Option<f64>,
    /// What it looks for.
    pub body: Body,
}

/// What a rule looks for.
#[derive(Clone, Debug)]
pub enum Body {
    /// Something in one event.
    Detection(Detection),
    /// Something in many events.
    Correlation(LinkedCorrelation),
}

/// A rule about one event.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The classes of events it looks at, as bits ([`crate::event::Class::bit`]).
    pub classes: u8,
    /// What it looks for.
    pub expression: Expression,
    /// The searches by name, which the condition has put together to the expression; for explanations.
    pub searches: Vec<(String, Expression)>,
    /// What one episode is about, when the rule reports by itself.
    pub group_by: Vec<String>,
    /// How long an episode lasts after its last match, when the rule reports by itself.
    pub timespan: Duration,
}

/// A correlation and the rules it refers to.
#[derive(Clone, Debug)]
pub struct LinkedCorrelation {
    /// As written.
    pub correlation: Correlation,
    /// Indices into [`RuleSet::rules`], in the order of `correlation.rules`.
    pub inputs: Vec<usize>,
    /// 1 when all inputs are detections, otherwise one more than the highest level of its inputs.
    pub level: usize,
}

impl Rule {
    /// The name, else the id, else the title: what commands and outputs call the rule.
    pub fn handle(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or(&self.title)
    }

    /// How much a finding of this measure matters.
    pub fn severity_at(&self, measured: f64) -> Severity {
        let reached = self.stages.iter().take_while(|(number, _)| f64::from(*number) <= measured);
        reached.last().map_or(self.severity, |(_, severity)| *severity)
    }

    /// What an alert of this severity adds to the risk of an entity, for rules about that.
    pub fn score_of(&self, severity: Severity) -> f64 {
        match &self.body {
            Body::Correlation(linked) => match &linked.correlation.kind {
                correlation::Kind::EntityRisk { scores, .. } => scores[severity as usize],
                _ => 0.0,
            },
            _ => 0.0,
        }
    }

    /// What subjects of the rule are made of.
    pub fn group_by(&self) -> &[String] {
        match &self.body {
            Body::Detection(detection) => &detection.group_by,
            Body::Correlation(linked) => &linked.correlation.group_by,
        }
    }

    /// What it is compared with, when that is what is usual.
    pub const fn baseline(&self) -> Option<&Baseline> {
        match &self.body {
            Body::Correlation(linked) => linked.correlation.baseline.as_ref(),
            Body::Detection(_) => None,
        }
    }

    /// The fields that the rule itself looks at, by the names that its documents have for them.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = self.group_by().iter().map(String::as_str).collect();
        match &self.body {
            Body::Detection(detection) => {
                detection.expression.tests(&mut |test| fields.extend(test.field.as_deref()));
            }
            Body::Correlation(linked) => {
                let correlation = &linked.correlation;
                fields.extend(correlation.kind.fields());
                let aliased = correlation.aliases.iter().flat_map(|alias| &alias.fields);
                fields.extend(aliased.map(|(_, field)| field.as_str()));
            }
        }
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// How many correlations deep the rule is; a detection that reports is as deep as a correlation of detections.
    pub fn level(&self) -> usize {
        match &self.body {
            Body::Detection(_) => 1,
            Body::Correlation(linked) => linked.level,
        }
    }

    /// Whether a regular expression of the rule was not looked for to the end in some text.
    pub fn has_given_up(&self) -> bool {
        let Body::Detection(detection) = &self.body else { return false };
        let mut has_given_up = false;
        detection.expression.tests(&mut |test| {
            has_given_up |= matches!(&test.check, Check::Regex(regex) if regex.has_given_up());
        });
        has_given_up
    }

    /// The id, else the name, else the title: what identifies the rule across versions.
    pub fn identity(&self) -> &str {
        self.id.as_deref().or(self.name.as_deref()).unwrap_or(&self.title)
    }
}
