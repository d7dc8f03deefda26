//! The `first_seen` of a rule: a value that is new for whoever it is seen of.
//!
//! ```yaml
//! first_seen: {rules: [login], group-by: [user.name], field: source.as.number, learn: 7d, forget: 90d, max_values: 64}
//! ```
//!
//! A list is one value. `learn_from` names rules whose matches say nothing but that the group is there: learning begins with them too. Without
//! it, the first value of something rare is learned when it comes, be it months after everything else of the group.
//!
//! Nothing is new for a group before it has been looked at for `learn`, from its first match on. A value is known until it
//! has not been seen for `forget`, and a group of which nothing was seen for so long is learned anew. A group with more
//! than `max_values` in that time is not judged: for it, new is nothing special.

use std::time::Duration;

use super::correlation::{Correlation, Kind, Section};
use super::fault::Faults;
use super::yaml::{Data, Node};

/// How long a group is learned, unless the rule says otherwise.
const LEARN: Duration = Duration::from_secs(7 * 86_400);
/// How long a value is known, unless the rule says otherwise.
const FORGET: Duration = Duration::from_secs(90 * 86_400);
/// How many values of a group are known, unless the rule says otherwise.
const VALUES: u16 = 64;
/// Most values of a group: all of them are looked at with each match.
const MAX_VALUES: u16 = 1_000;

const KEYS: &[&str] =
    &["rules", "learn_from", "group-by", "field", "learn", "forget", "max_values", "aliases", "generate"];

/// Reads a `first_seen` map. Faults are noted; `None` when there was one.
pub fn parse(node: &Node, generate: Option<bool>, faults: &mut Faults) -> Option<Correlation> {
    let section = Section { node, name: "first_seen" };
    let Data::Map(entries) = &node.data else {
        faults.note(node.line, section.name, format!("a map, not {}", node.kind()));
        return None;
    };
    let before = faults.count();
    section.check_keys(entries, KEYS, faults);
    let mut rules = section.rules(faults);
    let present = section.names("learn_from", faults);
    if let Some(twice) = present.iter().find(|name| rules.contains(name)) {
        let expected = format!("other rules than those under rules, not '{twice}'");
        faults.note(node.line, "first_seen.learn_from", expected);
    }
    let only_present = present.len();
    rules.extend(present);
    let group_by = section.names("group-by", faults);
    let fields = section.names("field", faults);
    if node.get("field").is_none() {
        let expected = "the field, or the fields together, whose value may be new".to_owned();
        faults.note(node.line, "first_seen.field", expected);
    }
    let learn = section.span("learn", Some(LEARN), faults)?;
    let forget = section.span("forget", Some(FORGET), faults)?;
    if forget <= learn {
        let expected =
            "a longer span than that of learn: what was learned must not be forgotten before".to_owned();
        faults.note(node.line, "first_seen.forget", expected);
    }
    let max_values = match node.get("max_values").map(|value| (&value.data, value.line)) {
        None => VALUES,
        Some((Data::Int(number), _)) if (1..=i64::from(MAX_VALUES)).contains(number) => *number as u16,
        Some((_, line)) => {
            faults.note(line, "first_seen.max_values", format!("a number from 1 to {MAX_VALUES}"));
            VALUES
        }
    };
    let aliases = section.aliases(&rules, faults);
    let generate = section.generate(generate, faults);
    if faults.count() > before {
        return None;
    }
    let kind = Kind::FirstSeen { fields, learn, max_values, only_present };
    Some(Correlation {
        kind,
        rules,
        group_by,
        timespan: forget,
        condition: Vec::new(),
        aliases,
        generate,
        baseline: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Body, RuleSet};

    const LOGIN: &str =
        "title: A\nname: a\nlogsource: {product: watchbell}\ndetection: {s: {f: x}, condition: s}\n---\n";

    fn load(body: &str) -> RuleSet {
        let text = format!("{LOGIN}title: New\nname: new\n{body}");
        RuleSet::from_texts(&[("r.yml".to_owned(), text, false)])
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let set = load("first_seen: {rules: a, group-by: user.name, field: [x, y]}\n");
        assert_eq!(set.errors, []);
        let Body::Correlation(linked) = &set.find("new").unwrap().body else { panic!() };
        let Kind::FirstSeen { fields, learn, max_values, .. } = &linked.correlation.kind else { panic!() };
        assert_eq!((fields.len(), *learn, *max_values), (2, LEARN, VALUES));
        assert_eq!((linked.correlation.timespan, linked.inputs.len(), linked.level), (FORGET, 1, 1));
        assert!(!set.find("a").unwrap().reported, "it speaks through the rule that looks at it");
    }

    #[test]
    fn faults_have_line_and_key() {
        for (body, line, key, expected) in [
            ("first_seen: [a]\n", 8, "first_seen", "a map, not a list"),
            ("first_seen:\n  rules: a\n", 9, "first_seen.field", "whose value may be new"),
            ("first_seen:\n  field: x\n", 9, "first_seen.rules", "name of a rule"),
            ("first_seen:\n  rules: a\n  feild: x\n", 10, "first_seen.feild", "did you mean 'field'?"),
            ("first_seen:\n  rules: a\n  field: x\n  learn: 7\n", 11, "first_seen.learn", "not '7'"),
            ("first_seen:\n  rules: a\n  field: x\n  forget: 7d\n", 9, "first_seen.forget", "longer span"),
            (
                "first_seen:\n  rules: a\n  field: x\n  max_values: 0\n",
                11,
                "first_seen.max_values",
                "1 to 1000",
            ),
            ("first_seen:\n  rules: a\n  field: x\n  learn_from: a\n", 9, "first_seen.learn_from", "not 'a'"),
            ("first_seen:\n  rules: b\n  field: x\n", 6, "first_seen.rules", "not 'b'"),
            (
                "first_seen:\n  rules: a\n  field: x\ncorrelation: {}\n",
                11,
                "correlation",
                "one of detection, correlation",
            ),
            ("first_sean:\n  rules: a\n", 8, "first_sean", "'first_seen'"),
            (
                "x-watchbell: {timespan: 1h}\nfirst_seen: {rules: a, field: x}\n",
                9,
                "x-watchbell",
                "first_seen has its own",
            ),
        ] {
            let set = load(body);
            let fault = set.errors.iter().find(|fault| fault.key == key);
            let fault = fault.unwrap_or_else(|| panic!("{body}: {:?}", set.errors));
            assert!(fault.place.line == line && fault.expected.contains(expected), "{body}: {fault}");
            assert_eq!(set.rules.len(), 1, "{body}");
        }
    }
}
