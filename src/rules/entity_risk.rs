//! The `entity_risk` of a rule: what all alerts about one entity add up to.
//!
//! ```yaml
//! entity_risk: {entities: [user.name, source.ip], half_life: 6h, threshold: 100,
//!   scores: {low: 5, medium: 20, high: 50, critical: 100}}
//! ```
//!
//! Every alert that another rule opens adds its score, once, to each of these entities that the event names at which it
//! opened: what its rule says under `x-watchbell.risk`, or what `scores` has for its severity then, or nothing. A score is
//! halved every `half_life`. What is inhibited, allowed or refused for lack of room opens no alert and adds nothing, and
//! alerts about risk add to none.

use std::time::Duration;

use super::Severity;
use super::correlation::{Correlation, Kind, parse_span};
use super::detection::Comparison;
use super::fault::Faults;
use super::nearest::did_you_mean;
use super::yaml::{Data, Node};

const KEYS: &[&str] = &["entities", "half_life", "threshold", "scores"];

/// How many half-lives a score counts; a sixteenth of it is left then, and let go.
const HALF_LIVES: u32 = 4;
/// Most fields that name entities.
const MAX_ENTITIES: usize = 16;
/// Most that may be asked for, or added at once.
const MAX_SCORE: f64 = 1e6;

/// Reads an `entity_risk` map as a correlation that has no rules of its own. Faults are noted; `None` when there was one.
pub fn parse(node: &Node, faults: &mut Faults) -> Option<Correlation> {
    let Data::Map(entries) = &node.data else {
        faults.note(node.line, "entity_risk", format!("a map, not {}", node.kind()));
        return None;
    };
    let before = faults.count();
    for entry in entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        let nearest = did_you_mean(&entry.key, KEYS.iter().copied());
        let expected = format!("one of {}{nearest}", KEYS.join(", "));
        faults.note(entry.line, &format!("entity_risk.{}", entry.key), expected);
    }
    let mut entities: Vec<String> = Vec::new();
    for item in node.get("entities").map(Node::one_or_many).unwrap_or_default() {
        match item.scalar_text() {
            Some(name) if !entities.contains(&name) => entities.push(name),
            _ => faults.note(item.line, "entity_risk.entities", "the name of a field, each once".to_owned()),
        }
    }
    if entities.is_empty() || entities.len() > MAX_ENTITIES {
        let expected = format!("the fields that name entities, {MAX_ENTITIES} at most");
        faults.note(node.line, "entity_risk.entities", expected);
    }
    let half_life = node.get("half_life").and_then(Node::text).and_then(parse_span);
    if half_life.is_none() {
        faults.note(node.line, "entity_risk.half_life", "a span such as 30m, 6h or 1d".to_owned());
    }
    let threshold = node.get("threshold").and_then(score).filter(|threshold| *threshold > 0.0);
    if threshold.is_none() {
        faults.note(node.line, "entity_risk.threshold", format!("a number above 0, at most {MAX_SCORE}"));
    }
    let mut scores = [0.0; Severity::ALL.len()];
    match node.get("scores").map(|scores| (&scores.data, scores)) {
        Some((Data::Map(entries), _)) => {
            for entry in entries {
                match (Severity::from_name(&entry.key), score(&entry.value)) {
                    (Some(severity), Some(score)) => scores[severity as usize] = score,
                    _ => faults.note(
                        entry.line,
                        "entity_risk.scores",
                        format!("a severity and a number from 0 to {MAX_SCORE}"),
                    ),
                }
            }
        }
        _ => faults.note(node.line, "entity_risk.scores", "a map such as {low: 5, high: 50}".to_owned()),
    }
    if faults.count() > before {
        return None;
    }
    let half_life: Duration = half_life?;
    Some(Correlation {
        baseline: None,
        kind: Kind::EntityRisk { half_life, scores },
        rules: Vec::new(),
        group_by: entities,
        timespan: half_life * HALF_LIVES,
        condition: vec![(Comparison::Gte, threshold?)],
        aliases: Vec::new(),
        generate: false,
    })
}

/// A score: a number that is not negative.
pub fn score(node: &Node) -> Option<f64> {
    node.number().filter(|score| (0.0..=MAX_SCORE).contains(score))
}

#[cfg(test)]
mod tests {
    use crate::rules::RuleSet;

    #[test]
    fn what_is_wrong_is_said() {
        let good = "entities: [user.name], half_life: 6h, threshold: 100, scores: {low: 5}";
        let cases = [
            (good.to_owned(), None),
            (good.replace("[user.name]", "[]"), Some("entities")),
            (good.replace("[user.name]", "[a, a]"), Some("entities")),
            (good.replace("6h", "6"), Some("half_life")),
            (good.replace("threshold: 100", "threshold: 0"), Some("threshold")),
            (good.replace("threshold: 100", "threshold: .nan"), Some("threshold")),
            (good.replace("low: 5", "low: -5"), Some("scores")),
            (good.replace("low: 5", "dire: 5"), Some("scores")),
            (good.replace("half_life", "halflife"), Some("halflife")),
        ];
        for (text, expected) in cases {
            let text = format!("title: R\nname: r\nentity_risk: {{{text}}}\n");
            let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.clone(), false)]);
            let keys: Vec<&str> = set.errors.iter().map(|error| error.key.as_str()).collect();
            match expected {
                None => assert_eq!(set.errors, [], "{text}"),
                Some(key) => assert!(keys.iter().any(|found| found.contains(key)), "{text}: {keys:?}"),
            }
        }
    }
}
