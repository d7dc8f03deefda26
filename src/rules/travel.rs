//! The `impossible_travel` of a rule: somebody in two places, too far apart for the time between.
//!
//! ```yaml
//! impossible_travel: {rules: [login], group-by: [user.name], timespan: 24h, min_km: 500, min_kmh: 900, ignore: [AS64500]}
//! ```
//!
//! Where a match is, say `source.geo.location.lat` and `.lon`. A match without them is not counted, nor is one from a network
//! that is known as a relay, or that `ignore` names by number or by words of its name.

use std::time::Duration;

use super::correlation::{Correlation, Kind, Section};
use super::detection::Comparison;
use super::fault::Faults;
use super::yaml::{Data, Node};

/// How far back is looked, unless the rule says otherwise.
const TIMESPAN: Duration = Duration::from_secs(24 * 3600);
/// Kilometres that are no distance, unless the rule says otherwise: databases are wrong by that.
const MIN_KM: f64 = 500.0;
/// Kilometres an hour of an airliner, unless the rule says otherwise.
const MIN_KMH: f64 = 900.0;

const KEYS: &[&str] =
    &["rules", "group-by", "timespan", "min_km", "min_kmh", "ignore", "aliases", "generate"];

/// Reads an `impossible_travel` map. Faults are noted; `None` when there was one.
pub fn parse(node: &Node, generate: Option<bool>, faults: &mut Faults) -> Option<Correlation> {
    let section = Section { node, name: "impossible_travel" };
    let Data::Map(entries) = &node.data else {
        faults.note(node.line, section.name, format!("a map, not {}", node.kind()));
        return None;
    };
    let before = faults.count();
    section.check_keys(entries, KEYS, faults);
    let rules = section.rules(faults);
    let group_by = section.names("group-by", faults);
    if node.get("group-by").is_none() {
        let expected = "who travels, such as user.name: two people in two places are no journey".to_owned();
        faults.note(node.line, "impossible_travel.group-by", expected);
    }
    let timespan = section.span("timespan", Some(TIMESPAN), faults);
    let mut number = |key: &str, default: f64| match node.get(key) {
        None => default,
        Some(value) => value.number().filter(|number| *number > 0.0).unwrap_or_else(|| {
            faults.note(value.line, &section.path(key), "a number above 0".to_owned());
            default
        }),
    };
    let (min_km, min_kmh) = (number("min_km", MIN_KM), number("min_kmh", MIN_KMH));
    let ignore = section.names("ignore", faults);
    for network in ignore.iter().filter(|network| !is_network(network)) {
        let line = node.get("ignore").map_or(node.line, |list| list.line);
        let expected =
            format!("a network such as AS64500, or three letters of a name at least, not '{network}'");
        faults.note(line, "impossible_travel.ignore", expected);
    }
    let aliases = section.aliases(&rules, faults);
    let generate = section.generate(generate, faults);
    if faults.count() > before {
        return None;
    }
    Some(Correlation {
        baseline: None,
        kind: Kind::ImpossibleTravel { min_km, ignore },
        rules,
        group_by,
        timespan: timespan?,
        condition: vec![(Comparison::Gte, min_kmh)],
        aliases,
        generate,
    })
}

/// Whether it is the number of a network, or enough of a name.
fn is_network(text: &str) -> bool {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.parse().is_ok_and(|number: u32| number > 0);
    }
    text.trim().chars().count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Body, RuleSet};

    const LOGIN: &str =
        "title: A\nname: a\nlogsource: {product: watchbell}\ndetection: {s: {f: x}, condition: s}\n---\n";

    fn load(body: &str) -> RuleSet {
        let text = format!("{LOGIN}title: Far\nname: far\nimpossible_travel:\n{body}");
        RuleSet::from_texts(&[("r.yml".to_owned(), text, false)])
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let set = load("  rules: a\n  group-by: user.name\n");
        assert_eq!(set.errors, []);
        let rule = set.find("far").unwrap();
        let Body::Correlation(linked) = &rule.body else { panic!() };
        assert_eq!(linked.correlation.timespan, TIMESPAN);
        assert_eq!(linked.correlation.condition, [(Comparison::Gte, MIN_KMH)]);
        assert!(rule.fields().contains(&"source.geo.location.lat"));
    }

    #[test]
    fn faults_have_line_and_key() {
        for (body, line, key, expected) in [
            ("  rules: a\n", 9, "impossible_travel.group-by", "who travels"),
            ("  rules: a\n  group-by: x\n  min_km: -1\n", 11, "impossible_travel.min_km", "above 0"),
            ("  rules: a\n  group-by: x\n  min_kph: 1\n", 11, "impossible_travel.min_kph", "'min_kmh'"),
            ("  rules: a\n  group-by: x\n  ignore: [AS0]\n", 11, "impossible_travel.ignore", "not 'AS0'"),
            ("  rules: a\n  group-by: x\n  timespan: 1\n", 11, "impossible_travel.timespan", "not '1'"),
            ("  rules: b\n  group-by: x\n", 6, "impossible_travel.rules", "not 'b'"),
        ] {
            let set = load(body);
            let fault = set.errors.iter().find(|fault| fault.key == key);
            let fault = fault.unwrap_or_else(|| panic!("{body}: {:?}", set.errors));
            assert!(fault.place.line == line && fault.expected.contains(expected), "{body}: {fault}");
        }
    }
}
