//! `x-watchbell.stages`: the severity of a sequence, by how much of it was found.

use super::correlation::{Correlation, Kind};
use super::fault::Faults;
use super::yaml::{Data, Node};
use super::{Body, Severity};

/// Reads a map from a number of stages to a severity, such as `{2: medium, 3: high, 4: critical}`. Both must rise.
pub fn parse(node: &Node, path: &str, faults: &mut Faults) -> Vec<(u32, Severity)> {
    let mut stages: Vec<(u32, Severity)> = Vec::new();
    if !matches!(node.data, Data::Map(_)) || node.entries().is_empty() {
        let expected = format!("a map such as {{2: medium, 3: high}}, not {}", node.kind());
        faults.note(node.line, path, expected);
    }
    for entry in node.entries() {
        let severity = entry.value.scalar_text().and_then(|word| Severity::from_name(&word));
        let (Ok(number), Some(severity)) = (entry.key.parse::<u32>(), severity) else {
            let expected = "how many rules have matched, and informational, low, medium, high or critical";
            faults.note(entry.line, path, expected.to_owned());
            continue;
        };
        if stages.last().is_some_and(|(before, lesser)| *before >= number || *lesser >= severity) {
            faults.note(
                entry.line,
                path,
                "more stages than in the line before, and a higher severity".to_owned(),
            );
        }
        stages.push((number, severity));
    }
    stages
}

/// Stages need a correlation that counts rules, no more of them than it has, and a severity no less than the rule's.
pub fn check(stages: &[(u32, Severity)], line: usize, body: &Body, severity: Severity, faults: &mut Faults) {
    const PATH: &str = "x-watchbell.stages";
    let Some(correlation) = sequence(body) else {
        faults.note(line, PATH, "no stages: they are for temporal and temporal_ordered".to_owned());
        return;
    };
    let most = correlation.rules.len();
    if stages.iter().any(|(number, _)| *number == 0 || *number as usize > most) {
        faults.note(line, PATH, format!("numbers from 1 to {most}, which is how many rules there are"));
    }
    if stages.first().is_some_and(|(_, least)| *least < severity) {
        faults.note(line, PATH, format!("no severity below the level of the rule, {severity}"));
    }
}

/// The correlation of a rule that counts how many of its rules have matched.
pub fn sequence(body: &Body) -> Option<&Correlation> {
    match body {
        Body::Correlation(linked) => {
            let correlation = &linked.correlation;
            matches!(correlation.kind, Kind::Temporal | Kind::TemporalOrdered).then_some(correlation)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    fn load(kind: &str, level: &str, stages: &str) -> RuleSet {
        let detection = |name: &str| {
            format!(
                "title: {name}\nname: {name}\nlogsource: {{category: webserver}}\n\
                 detection: {{s: {{f: x}}, condition: s}}\n---\n"
            )
        };
        let text = format!(
            "{}{}title: C\nname: c\nlevel: {level}\n\
             correlation: {{type: {kind}, rules: [a, b], timespan: 1m, condition: {{gte: 1}}}}\n\
             x-watchbell: {{stages: {stages}}}\n",
            detection("a"),
            detection("b")
        );
        RuleSet::from_texts(&[("r.yml".to_owned(), text, false)])
    }

    #[test]
    fn a_severity_is_reached_with_its_number_of_stages() {
        let set = load("temporal_ordered", "low", "{1: medium, 2: critical}");
        assert_eq!(set.errors, []);
        let rule = set.find("c").unwrap();
        let reached = [0.0, 1.0, 1.5, 2.0, 9.0].map(|measured| rule.severity_at(measured));
        use Severity::{Critical, Low, Medium};
        assert_eq!(reached, [Low, Medium, Medium, Critical, Critical]);
        assert_eq!(set.find("a").unwrap().severity_at(9.0), Medium, "without stages");
    }

    #[test]
    fn what_is_wrong_with_stages_is_said() {
        let cases = [
            ("temporal", "low", "{1: medium, 3: high}", "numbers from 1 to 2"),
            ("temporal", "low", "{0: medium}", "numbers from 1 to 2"),
            ("temporal", "low", "{2: medium, 1: high}", "more stages than"),
            ("temporal", "low", "{1: high, 2: high}", "a higher severity"),
            ("temporal", "low", "{1: dire}", "how many rules have matched"),
            ("temporal", "low", "{two: high}", "how many rules have matched"),
            ("temporal", "low", "high", "a map such as"),
            ("temporal", "low", "{}", "a map such as"),
            ("temporal", "high", "{1: medium}", "no severity below"),
            ("event_count", "low", "{1: medium}", "no stages"),
        ];
        for (kind, level, stages, expected) in cases {
            let set = load(kind, level, stages);
            let told: Vec<String> = set.errors.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|error| error.contains(expected)), "{stages}: {told:?}");
            assert!(set.find("c").is_none(), "{stages}");
        }
    }
}
