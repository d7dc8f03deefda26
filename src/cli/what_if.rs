//! `--what-if` of a replay: thresholds to try, and what would have come of them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use super::summary::grouped;
use crate::engine::Engine;
use crate::engine::what_if::{MAX_THRESHOLDS, WhatIf, threshold_of};
use crate::rules::nearest::did_you_mean;
use crate::rules::{Rule, RuleSet};

/// Thresholds of a rule, as they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    rule: String,
    thresholds: Vec<f64>,
}

/// Reads `RULE.threshold=8,10,15`.
pub fn parse(text: &str) -> Result<Asked, String> {
    const EXPECTED: &str = "expected a rule and thresholds, as in brute_force_by_address.threshold=8,10,15";
    let (key, numbers) = text.split_once('=').ok_or(EXPECTED)?;
    let rule = key.strip_suffix(".threshold").filter(|rule| !rule.is_empty()).ok_or(EXPECTED)?;
    let mut thresholds = Vec::new();
    for number in numbers.split(',') {
        let threshold = number.trim().parse().ok().filter(|threshold: &f64| threshold.is_finite());
        thresholds.push(threshold.ok_or_else(|| format!("expected a number, not '{}'", number.trim()))?);
    }
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    if thresholds.len() > MAX_THRESHOLDS {
        return Err(format!("expected at most {MAX_THRESHOLDS} thresholds"));
    }
    Ok(Asked { rule: rule.to_owned(), thresholds })
}

/// What the engine is to try. The error is for a rule that has no threshold to be tried.
pub fn chosen(asked: &[Asked], rules: &RuleSet) -> anyhow::Result<WhatIf> {
    if asked.is_empty() {
        return Ok(WhatIf::Nothing);
    }
    let mut chosen: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for Asked { rule: name, thresholds } in asked {
        let nearest = || did_you_mean(name, rules.rules.iter().map(Rule::handle));
        let rule =
            rules.find(name).ok_or_else(|| anyhow::anyhow!("no rule is called '{name}'{}", nearest()))?;
        anyhow::ensure!(
            rule.reported,
            "{name} is there for other rules: it opens no alerts with any threshold"
        );
        anyhow::ensure!(
            threshold_of(rule).is_some(),
            "{name} has no threshold: expected a rule with one gte or gt"
        );
        anyhow::ensure!(
            chosen.insert(rule.handle().to_owned(), thresholds.clone()).is_none(),
            "{name} is named twice: expected all its thresholds together"
        );
    }
    Ok(WhatIf::Chosen(chosen))
}

/// Writes what would have been found, for people.
pub fn write(out: &mut dyn Write, engine: &Engine) -> io::Result<()> {
    for (rule, alerts) in outcomes(engine) {
        writeln!(
            out,
            "What {} would have said with another threshold than {}",
            rule.name.name, rule.condition.text
        )?;
        writeln!(out, "  {:>14}  {:>9}", "threshold", "alerts")?;
        for (threshold, count) in alerts {
            writeln!(out, "  {threshold:>14}  {:>9}", grouped(count))?;
        }
        writeln!(out)?;
    }
    match engine.untried() {
        0 => Ok(()),
        untried => {
            writeln!(
                out,
                "  {} findings were not tried because too many subjects had some\n",
                grouped(untried)
            )
        }
    }
}

/// The same, a JSON object for each rule, told from alerts by its `type`.
pub fn write_json(out: &mut dyn Write, engine: &Engine) -> io::Result<()> {
    for (rule, alerts) in outcomes(engine) {
        let alerts: Vec<_> = alerts
            .into_iter()
            .map(|(threshold, count)| json!({"threshold": threshold, "alerts": count}))
            .collect();
        let told = json!({
            "type": "what_if", "rule": &*rule.name, "condition": &*rule.condition, "thresholds": alerts,
            "untried": engine.untried(),
        });
        writeln!(out, "{told}")?;
    }
    Ok(())
}

fn outcomes(engine: &Engine) -> impl Iterator<Item = (&crate::engine::Described, Vec<(f64, u64)>)> {
    let would_fire = engine.would_fire(None).into_iter();
    would_fire.map(|would| (&engine.shared().rules[would.rule], would.alerts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_in_rising_order() {
        let asked = parse("a.b.threshold=15, 8,10,8").unwrap();
        assert_eq!(asked, Asked { rule: "a.b".to_owned(), thresholds: vec![8.0, 10.0, 15.0] });
        for (text, expected) in [
            ("a=5", "a rule and thresholds"),
            ("a.threshold", "a rule and thresholds"),
            (".threshold=5", "a rule and thresholds"),
            ("a.threshold=", "a number, not ''"),
            ("a.threshold=5,x", "a number, not 'x'"),
            ("a.threshold=inf", "a number, not 'inf'"),
            ("a.threshold=1,2,3,4,5,6,7,8,9", "at most 8"),
        ] {
            assert!(parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
