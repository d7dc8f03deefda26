//! Rules together: which takes the place of which, which refers to which.

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;

use super::fault::{Place, RuleError};
use super::files::{self, builtin_files, is_rule_file};
use super::nearest::did_you_mean;
use super::{Body, Mode, Rule, document};

/// Rules and what was wrong with those that were refused.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// All rules, in the order of their files; a replaced built-in rule keeps its place.
    pub rules: Vec<Rule>,
    /// Why others were refused.
    pub errors: Vec<RuleError>,
    /// What may be a mistake in rules that were not.
    pub warnings: Vec<RuleError>,
}

/// Most rules of a set, three times as many as the largest public collection has: their numbers are kept in little room.
const MAX_RULES: usize = 16_384;
/// Most references of all correlations of a set, for the same reason.
const MAX_REFERENCES: usize = 32_768;

impl RuleSet {
    /// The built-in pack, if wanted, and the rules in files and below directories, linked.
    ///
    /// A rule of a file replaces a built-in one of the same id or name. The error is for a path that is not there;
    /// all other faults are in [`RuleSet::errors`].
    pub fn load(builtin: bool, paths: &[PathBuf]) -> std::io::Result<Self> {
        let mut sources = Vec::new();
        if builtin {
            sources.extend(
                builtin_files()
                    .into_iter()
                    .filter(|(path, _)| is_rule_file(path))
                    .map(|(path, text)| (path, text, true)),
            );
        }
        let found = files::find(paths)?;
        let mut faults = found.faults;
        for file in found.files {
            match files::read(&file) {
                Ok(text) => sources.push((file.display().to_string(), text, false)),
                Err(fault) => faults.push(fault),
            }
        }
        let mut set = Self::from_texts(&sources);
        set.errors.append(&mut faults);
        set.errors.sort();
        Ok(set)
    }

    /// Rules out of texts: name of the file, text, and whether it is built in.
    pub fn from_texts(sources: &[(String, String, bool)]) -> Self {
        let mut set = Self::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        // Reading is most of the time until the first line can be looked at.
        let read: Vec<_> = sources
            .par_iter()
            .map(|(file, text, builtin)| document::read_file(file, text, *builtin))
            .collect();
        for document in read.into_iter().flatten() {
            set.errors.extend(document.errors);
            set.warnings.extend(document.warnings);
            if let Some(rule) = document.rule {
                set.add(rule, &mut seen);
            }
        }
        set.link();
        set.warn_of_shadows();
        set.errors.sort();
        set.warnings.sort();
        set
    }

    fn add(&mut self, rule: Rule, seen: &mut HashMap<String, usize>) {
        let mut names: Vec<String> = rule.id.iter().chain(&rule.name).cloned().collect();
        if names.is_empty() {
            // What identifies it, so that its alerts are not taken for another's.
            names.push(rule.title.clone());
        }
        let earlier = names.iter().find_map(|name| seen.get(name).copied());
        match earlier {
            Some(index) if self.rules[index].builtin && !rule.builtin => {
                seen.extend(names.into_iter().map(|name| (name, index)));
                self.rules[index] = rule;
            }
            Some(index) => self.errors.push(RuleError {
                place: rule.place.clone(),
                key: "id".to_owned(),
                expected: format!("an id and a name of its own: {} has one of them", self.rules[index].place),
            }),
            None if self.rules.len() >= MAX_RULES => self.errors.push(RuleError {
                place: rule.place.clone(),
                key: String::new(),
                expected: format!("at most {MAX_RULES} rules"),
            }),
            None => {
                seen.extend(names.into_iter().map(|name| (name, self.rules.len())));
                self.rules.push(rule);
            }
        }
    }

    /// Resolves references; refuses correlations with unknown ones or in a circle.
    fn link(&mut self) {
        loop {
            let mut by_name: HashMap<&str, usize> = HashMap::new();
            for (index, rule) in self.rules.iter().enumerate() {
                for name in rule.id.iter().chain(&rule.name) {
                    by_name.insert(name, index);
                }
            }
            let mut broken: Vec<(usize, String)> = Vec::new();
            let mut links: Vec<(usize, Vec<usize>)> = Vec::new();
            let mut references = 0;
            for (index, rule) in self.rules.iter().enumerate() {
                let Body::Correlation(linked) = &rule.body else { continue };
                references += linked.correlation.rules.len();
                if linked.correlation.kind.is_risk() {
                    references += linked.correlation.group_by.len();
                }
                if references > MAX_REFERENCES {
                    broken.push((
                        index,
                        format!("at most {MAX_REFERENCES} references in all correlations together"),
                    ));
                    continue;
                }
                let mut inputs = Vec::new();
                let mut missing = Vec::new();
                for reference in &linked.correlation.rules {
                    match by_name.get(reference.as_str()) {
                        Some(input) => inputs.push(*input),
                        None => missing.push(reference.as_str()),
                    }
                }
                if let Some(first) = missing.first() {
                    let nearest = did_you_mean(first, by_name.keys().copied());
                    let missing = missing.join("', '");
                    broken.push((
                        index,
                        format!("ids or names of rules that are loaded, not '{missing}'{nearest}"),
                    ));
                }
                let with_baseline = inputs.iter().find(|input| self.rules[**input].baseline().is_some());
                if let Some(input) = with_baseline {
                    // What it finds may be that nothing happened, and then there is no event to go on with.
                    let name = self.rules[*input].handle();
                    broken.push((index, format!("rules about events, not '{name}', which has a baseline")));
                }
                links.push((index, inputs));
            }
            if broken.is_empty() {
                for (index, inputs) in links {
                    if let Body::Correlation(linked) = &mut self.rules[index].body {
                        linked.inputs = inputs;
                    }
                }
                broken = self.find_levels();
            }
            if broken.is_empty() {
                break;
            }
            for (index, expected) in broken.into_iter().rev() {
                let rule = self.rules.remove(index);
                let section = match &rule.body {
                    Body::Correlation(linked) => linked.correlation.kind.section(),
                    Body::Detection(_) => "detection",
                };
                self.errors.push(RuleError { place: rule.place, key: format!("{section}.rules"), expected });
            }
        }
        self.find_reported();
        self.check_inhibitions();
    }

    /// A rule can be inhibited by one about the same subject only. A fault here does not take the rule away: it would
    /// rather say too much than nothing.
    fn check_inhibitions(&mut self) {
        for rule in &self.rules {
            for name in &rule.inhibited_by {
                let is_named =
                    |other: &&Rule| other.id.as_ref() == Some(name) || other.name.as_ref() == Some(name);
                let expected = match self.rules.iter().find(is_named) {
                    Some(other)
                        if other.group_by() == rule.group_by()
                            && other.level() <= rule.level()
                            && other.reported =>
                    {
                        continue;
                    }
                    Some(_) => format!(
                        "a rule that is reported, has the same group-by and is no more correlations deep, which \
                         '{name}' is not"
                    ),
                    None => {
                        let names = self.rules.iter().filter_map(|rule| rule.name.as_deref());
                        let nearest = did_you_mean(name, names);
                        format!("the name or id of a rule that is loaded, not '{name}'{nearest}")
                    }
                };
                self.errors.push(RuleError {
                    place: rule.place.clone(),
                    key: "x-watchbell.inhibited-by".to_owned(),
                    expected,
                });
            }
        }
    }

    fn find_levels(&mut self) -> Vec<(usize, String)> {
        let mut levels: Vec<usize> = vec![0; self.rules.len()];
        let mut known: Vec<bool> =
            self.rules.iter().map(|rule| matches!(rule.body, Body::Detection(_))).collect();
        loop {
            let mut changed = false;
            for (index, rule) in self.rules.iter().enumerate() {
                let Body::Correlation(linked) = &rule.body else { continue };
                if !known[index] && linked.inputs.iter().all(|input| known[*input]) {
                    levels[index] = 1 + linked.inputs.iter().map(|input| levels[*input]).max().unwrap_or(0);
                    known[index] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let circular = known.iter().enumerate().filter(|(_, known)| !**known);
        let broken = circular
            .map(|(index, _)| (index, "rules that do not refer back to this one".to_owned()))
            .collect();
        for (rule, level) in self.rules.iter_mut().zip(levels) {
            if let Body::Correlation(linked) = &mut rule.body {
                linked.level = level;
            }
        }
        broken
    }

    /// `generate: false`, the default, takes the word from the rules that a correlation refers to.
    /// Rules that a correlation refers to speak through it, unless it says otherwise. Whoever writes a correlation over a
    /// rule that is built in adds to the pack: what it says goes on being said.
    fn find_reported(&mut self) {
        let mut silenced = vec![false; self.rules.len()];
        for rule in &self.rules {
            if let Body::Correlation(linked) = &rule.body
                && !linked.correlation.generate
            {
                let own = linked.inputs.iter().filter(|input| rule.builtin || !self.rules[**input].builtin);
                own.for_each(|input| silenced[*input] = true);
            }
        }
        for (rule, silenced) in self.rules.iter_mut().zip(silenced) {
            rule.reported &= !silenced;
        }
    }

    /// Puts rules in shadow by name or id, whatever their files say. A name that is none is a fault, and the others are
    /// put there all the same.
    pub fn put_in_shadow(&mut self, names: &[String]) {
        for name in names {
            let is_named =
                |rule: &&mut Rule| rule.id.as_ref() == Some(name) || rule.name.as_ref() == Some(name);
            if let Some(rule) = self.rules.iter_mut().find(is_named) {
                rule.mode = Mode::Shadow;
                continue;
            }
            let nearest = did_you_mean(name, self.rules.iter().filter_map(|rule| rule.name.as_deref()));
            self.errors.push(RuleError {
                place: Place { file: "the configuration".to_owned(), line: 0 },
                key: "rules.shadow".to_owned(),
                expected: format!("the name or id of a rule that is loaded, not '{name}'{nearest}"),
            });
        }
        self.warn_of_shadows();
        self.errors.sort();
        self.warnings.sort();
    }

    /// A live rule over one in shadow finds less than its author meant, or nothing.
    fn warn_of_shadows(&mut self) {
        for rule in &self.rules {
            let Body::Correlation(linked) = &rule.body else { continue };
            let inputs = linked.inputs.iter().map(|input| &self.rules[*input]);
            let unseen: Vec<&str> =
                inputs.filter(|input| !rule.mode.looks_at(input.mode)).map(Rule::handle).collect();
            let warning = RuleError {
                place: rule.place.clone(),
                key: "correlation.rules".to_owned(),
                expected: format!(
                    "rules that are live: matches of '{}' are not counted",
                    unseen.join("', '")
                ),
            };
            if !unseen.is_empty() && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// The rule of this id, name or title.
    pub fn find(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.id.as_deref() == Some(name) || rule.name.as_deref() == Some(name) || rule.title == name
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> RuleSet {
        RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)])
    }

    #[test]
    fn rules_beyond_the_limit_are_refused() {
        let texts: Vec<_> = (0..MAX_RULES + 1)
            .map(|number| {
                let text = DETECTION.replace("name: a", &format!("name: a{number}"));
                (format!("{number}.yml"), text, false)
            })
            .collect();
        let set = RuleSet::from_texts(&texts);
        assert_eq!((set.rules.len(), set.errors.len()), (MAX_RULES, 1));
    }

    #[test]
    fn a_correlation_of_ones_own_does_not_silence_a_built_in_rule() {
        let correlation = "title: C\nname: c\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {gte: 5}}\n";
        let is_reported = |is_builtin: bool| {
            let set = RuleSet::from_texts(&[
                ("a.yml".to_owned(), DETECTION.to_owned(), is_builtin),
                ("c.yml".to_owned(), correlation.to_owned(), false),
            ]);
            set.find("a").map(|rule| rule.reported)
        };
        assert_eq!((is_reported(true), is_reported(false)), (Some(true), Some(false)));
    }

    #[test]
    fn a_rule_is_put_in_shadow_by_name_and_a_name_that_is_none_is_a_fault() {
        let mut set =
            load(&correlation("  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 2}\n"));
        assert_eq!((set.warnings.len(), set.rules[1].mode), (0, Mode::Live));
        set.put_in_shadow(&["c".to_owned(), "aa".to_owned()]);
        assert_eq!(set.rules.iter().map(|rule| rule.mode).collect::<Vec<_>>(), [Mode::Live, Mode::Shadow]);
        let faults: Vec<String> = set.errors.iter().map(ToString::to_string).collect();
        let expected = "the configuration: rules.shadow: expected the name or id of a rule that is loaded, not 'aa'; \
                        did you mean 'a'?";
        assert_eq!((faults, set.warnings.len()), (vec![expected.to_owned()], 0));
        set.rules[1].mode = Mode::Live;
        set.put_in_shadow(&["a".to_owned()]);
        assert_eq!(set.warnings.len(), 1, "a live rule over one in shadow: {:?}", set.warnings);
        assert!(set.warnings[0].expected.contains("'a' are not counted"), "{:?}", set.warnings);
    }

    const DETECTION: &str =
        "title: A\nname: a\nlogsource: {category: webserver}\ndetection: {s: {f: x}, condition: s}\n";

    fn correlation(lines: &str) -> String {
        format!("{DETECTION}---\ntitle: C\nname: c\ncorrelation:\n{lines}")
    }

    #[test]
    fn a_detection_under_a_correlation_is_not_reported_unless_generated() {
        let body = "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 2}\n";
        let set = load(&correlation(body));
        assert_eq!(set.errors, []);
        assert_eq!(set.rules.iter().map(|rule| rule.reported).collect::<Vec<_>>(), [false, true]);
        let set = load(&correlation(&format!("{body}  generate: true\n")));
        assert!(set.rules.iter().all(|rule| rule.reported));
    }

    #[test]
    fn an_invalid_rule_is_refused_with_line_and_key_and_the_others_go_on() {
        for (text, line, key, expected) in [
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s:\n    f|contians: x\n  condition: s\n",
                5,
                "detection.s.f|contians",
                "not 'contians'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {f: x}\n  condition: t\n",
                5,
                "detection.condition",
                "not 't'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {f: x}\n",
                4,
                "detection.condition",
                "a condition",
            ),
            ("title: A\ndetection:\n  s: {f: x}\n  condition: s\n", 1, "logsource", "logsource"),
            (
                "title: A\nlevel: dire\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\n",
                2,
                "level",
                "not 'dire'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|re': '(('}\n  condition: s\n",
                4,
                "detection.s.f|re",
                "regular expression",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|cidr': '10.0.0.0/99'}\n  condition: s\n",
                4,
                "detection.s.f|cidr",
                "a network",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection:\n  s: {'f|expand': '%x%'}\n  condition: s\n",
                4,
                "detection.s.f|expand",
                "%x%",
            ),
            (
                "title: A\nlogsource: {catagory: x}\ndetection: {s: {f: x}, condition: s}\n",
                2,
                "logsource.catagory",
                "'category'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetectoin: {s: {f: x}, condition: s}\n",
                3,
                "detectoin",
                "'detection'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\nLevel: high\n",
                4,
                "Level",
                "'level'",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\nx-watchbell: {advise: x}\n",
                4,
                "x-watchbell.advise",
                "did you mean 'advice'?",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\nx-watchbell:\n  mode: shadwo\n",
                5,
                "x-watchbell.mode",
                "did you mean 'shadow'?",
            ),
            (
                "title: A\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\nx-watchbell:\n  placeholders: [a]\n",
                5,
                "x-watchbell.placeholders",
                "a map",
            ),
            ("title: A\n  b: [\n", 2, "", "YAML"),
            ("- 1\n", 1, "", "a map"),
        ] {
            let set = load(text);
            assert_eq!(set.rules.len(), 0, "{text}");
            let error = &set.errors[0];
            assert_eq!((error.place.line, error.key.as_str()), (line, key), "{text}\n{error}");
            assert!(error.expected.contains(expected), "{error}");
            if line != 2 || !key.is_empty() {
                let set = load(&format!("{text}---\n{DETECTION}"));
                assert_eq!(set.rules.len(), 1, "the rule behind it must load: {:?}", set.errors);
            }
        }
    }

    #[test]
    fn a_key_of_ones_own_is_warned_of_and_one_for_other_tools_is_not() {
        let text =
            format!("{DETECTION}simulation: 1\nx-ours: 1\n").replace("webserver}", "webserver, team: web}");
        let set = load(&text);
        assert_eq!((set.rules.len(), set.errors.len()), (1, 0), "{:?}", set.errors);
        let warned: Vec<_> =
            set.warnings.iter().map(|fault| (fault.place.line, fault.key.as_str())).collect();
        assert_eq!(warned, [(3, "logsource.team"), (5, "simulation")]);
    }

    #[test]
    fn all_faults_of_a_document_are_told_at_once() {
        let text = "title: A\nlevel: dire\nlogsource: {catagory: x}\ndetection:\n  s:\n    f|contians: x\n    g|cidr: y\n  \
                    t: []\n  condition: s and u\nx-watchbell: {advise: x}\n---\ntitle: C\ncorrelation:\n  rules: a\n  \
                    timespan: 5x\n  condition: {banana: 1}\n";
        let keys: Vec<_> = load(text).errors.into_iter().map(|error| (error.place.line, error.key)).collect();
        let expected = [
            (2, "level"),
            (3, "logsource.catagory"),
            (6, "detection.s.f|contians"),
            (7, "detection.s.g|cidr"),
            (8, "detection.t"),
            (9, "detection.condition"),
            (10, "x-watchbell.advise"),
            (14, "correlation.type"),
            (15, "correlation.timespan"),
            (16, "correlation.condition.banana"),
        ];
        assert_eq!(keys, expected.map(|(line, key)| (line, key.to_owned())));
    }

    #[test]
    fn faults_of_correlations_are_found() {
        for (body, key, expected) in [
            ("  type: event_count\n  rules: a\n  condition: {gte: 2}\n", "correlation.timespan", "a span"),
            (
                "  type: event_count\n  rules: a\n  timespan: 5x\n  condition: {gte: 2}\n",
                "correlation.timespan",
                "not '5x'",
            ),
            (
                "  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {banana: 1}\n",
                "correlation.condition.banana",
                "gte",
            ),
            ("  type: event_count\n  rules: a\n  timespan: 5m\n", "correlation.condition", "gte: 10"),
            (
                "  type: value_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.condition.field",
                "distinct",
            ),
            (
                "  type: value_percentile\n  rules: a\n  timespan: 5m\n  condition: {gte: 2, field: f}\n",
                "correlation.condition.percentile",
                "0 to 100",
            ),
            (
                "  type: spike\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.type",
                "not 'spike'",
            ),
            (
                "  type: event_count\n  rules: nothere\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.rules",
                "'nothere'",
            ),
            (
                "  type: event_count\n  rules: [a, nothere, noone]\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.rules",
                "'nothere', 'noone'",
            ),
            (
                "  type: event_count\n  rules: c\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.rules",
                "refer back",
            ),
            (
                "  type: event_count\n  rules: a\n  group_by: x\n  timespan: 5m\n  condition: {gte: 2}\n",
                "correlation.group_by",
                "group-by",
            ),
            (
                "  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n  aliases: {x: {b: f}}\n",
                "correlation.aliases.x",
                "not 'b'",
            ),
        ] {
            let set = load(&correlation(body));
            assert_eq!(set.rules.len(), 1, "{body}");
            assert_eq!(set.errors[0].key, key, "{}", set.errors[0]);
            assert!(set.errors[0].expected.contains(expected), "{}", set.errors[0]);
        }
    }

    #[test]
    fn a_chain_through_a_refused_rule_is_refused_too() {
        let chain = "---\ntitle: D\nname: d\ncorrelation: {type: event_count, rules: c, timespan: 1m, condition: {gte: 2}}\n";
        let set = load(&format!(
            "{}{chain}",
            correlation("  type: event_count\n  rules: nothere\n  timespan: 5m\n  condition: {gte: 2}\n")
        ));
        assert_eq!((set.rules.len(), set.errors.len()), (1, 2));
        let set = load(&format!(
            "{}{chain}",
            correlation("  type: event_count\n  rules: a\n  timespan: 5m\n  condition: {gte: 2}\n")
        ));
        let levels: Vec<_> = set
            .rules
            .iter()
            .map(|rule| match &rule.body {
                Body::Detection(_) => 0,
                Body::Correlation(linked) => linked.level,
            })
            .collect();
        assert_eq!(levels, [0, 1, 2]);
    }

    #[test]
    fn a_rule_of_a_directory_replaces_a_built_in_one_and_a_double_is_refused() {
        let sources = [
            ("builtin/a.yml".to_owned(), DETECTION.to_owned(), true),
            ("mine.yml".to_owned(), DETECTION.to_owned(), false),
        ];
        let set = RuleSet::from_texts(&sources);
        assert_eq!((set.rules.len(), set.rules[0].place.file.as_str()), (1, "mine.yml"));
        let set = load(&format!("{DETECTION}---\n{DETECTION}"));
        assert_eq!((set.rules.len(), set.errors.len()), (1, 1));
        assert!(set.errors[0].expected.contains("r.yml:1"), "{}", set.errors[0]);
    }

    #[test]
    fn a_count_takes_in_many_rules_and_a_temporal_correlation_as_many_as_it_has_bits() {
        let detections: String = (0..63)
            .map(|number| format!("{}---\n", DETECTION.replace("name: a", &format!("name: a{number}"))))
            .collect();
        for (kind, many, errors) in [("event_count", 63, 0), ("temporal", 32, 0), ("temporal", 33, 1)] {
            let names: Vec<String> = (0..many).map(|number| format!("a{number}")).collect();
            let condition = if kind == "temporal" { "" } else { ", condition: {gte: 1}" };
            let correlation = format!(
                "{detections}title: C\nname: c\n\
                 correlation: {{type: {kind}, rules: [{}], timespan: 1m{condition}}}\n",
                names.join(", ")
            );
            assert_eq!(load(&correlation).errors.len(), errors, "{kind} of {many}");
        }
    }
}
