//! The rules there are, so that whoever asks for the alerts of another one is told.

use super::filter::nearest;
use crate::rules::pattern::Pattern;

/// Names and ids of the rules that are loaded.
#[derive(Debug, Default)]
pub struct KnownRules(Vec<(String, String)>);

impl KnownRules {
    /// These names and ids.
    pub fn new(rules: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// Whether there is a rule for each of these; the error names the nearest ones. Where no rules are known, as before
    /// the engine runs, nothing is wrong.
    pub(super) fn check(&self, wanted: &[WantedRule]) -> Result<(), String> {
        let is_there = |wanted: &WantedRule| {
            self.0.iter().any(|(name, id)| wanted.pattern.matches(name) || wanted.pattern.matches(id))
        };
        let unknown = wanted.iter().find(|wanted| !self.0.is_empty() && !is_there(wanted));
        let Some(unknown) = unknown else { return Ok(()) };
        let (text, nearest) = nearest(&unknown.text, self.0.iter().map(|(name, _)| name.as_str()));
        Err(format!(
            "alerts.rule: expected a rule that is loaded, such as {}, not '{text}'",
            nearest.join(", ")
        ))
    }
}

/// A name or id of a rule, with the wildcards of Sigma.
#[derive(Clone, Debug)]
pub(super) struct WantedRule {
    text: String,
    pub pattern: Pattern,
}

impl WantedRule {
    pub fn new(text: String) -> Self {
        Self { pattern: Pattern::parse(&text), text }
    }
}
