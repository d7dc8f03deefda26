//! What detections mean: every bullet of the specification that engines get wrong, and agreement of the compiled matcher
//! with the plain one.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::decode::{Decoder, Format, Settings};
use crate::rules::RuleSet;

fn rules(detections: &[String]) -> RuleSet {
    let text: Vec<String> = detections
        .iter()
        .enumerate()
        .map(|(number, detection)| {
            let indented = detection.replace('\n', "\n  ");
            format!("title: r{number}\nname: r{number}\nlogsource: {{category: webserver}}\ndetection:\n  {indented}\n")
        })
        .collect();
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.join("---\n"), false)]);
    assert_eq!(set.errors, [], "{text:?}");
    set
}

/// Which rules match an event given as JSON, by the compiled matcher and by the plain one.
fn verdicts(set: &RuleSet, lines: &[String]) -> Vec<(Vec<bool>, Vec<bool>)> {
    let mut schema = Schema::new();
    let matcher = Matcher::compile(set, &mut schema);
    let schema = Arc::new(schema);
    let mut decoder = Decoder::new(Format::Json, Arc::clone(&schema), Arc::new(Settings::default()));
    let mut scanner = Scanner::new(&matcher);
    lines
        .iter()
        .map(|line| {
            let mut event = Event::new(&schema);
            decoder.decode(line, &mut event).unwrap();
            let mut compiled = vec![false; set.rules.len()];
            scanner.scan(&matcher, &event, |rule| {
                assert!(!compiled[rule], "a rule must match an event once");
                compiled[rule] = true;
            });
            let plain = set.rules.iter().map(|rule| match &rule.body {
                Body::Detection(detection) => reference::holds(&detection.expression, &event, &schema),
                Body::Correlation(_) => false,
            });
            (compiled, plain.collect())
        })
        .collect()
}

/// What explanations say of events, by rule.
fn explanations(set: &RuleSet, lines: &[String]) -> Vec<Vec<explain::Part>> {
    let mut schema = Schema::new();
    Matcher::compile(set, &mut schema);
    let schema = Arc::new(schema);
    let mut decoder = Decoder::new(Format::Json, Arc::clone(&schema), Arc::new(Settings::default()));
    let explained = |line: &String| {
        let mut event = Event::new(&schema);
        decoder.decode(line, &mut event).unwrap();
        let parts = set.rules.iter().filter_map(|rule| match &rule.body {
            Body::Detection(detection) => Some(explain::explain(detection, &event, &schema)),
            Body::Correlation(_) => None,
        });
        parts.collect()
    };
    lines.iter().map(explained).collect()
}

/// Asserts that a detection matches, or does not match, an event given as JSON.
#[track_caller]
fn check(detection: &str, event: &str, expected: bool) {
    let set = rules(&[detection.to_owned()]);
    let (compiled, plain) = verdicts(&set, &[event.to_owned()]).remove(0);
    assert_eq!(plain[0], expected, "the plain matcher: {detection} on {event}");
    assert_eq!(compiled[0], expected, "the compiled matcher: {detection} on {event}");
}

/// A detection with one item.
fn item(item: &str) -> String {
    format!("s: {{{item}}}\ncondition: s")
}

#[test]
fn case_is_ignored_beyond_ascii_unless_it_counts() {
    check(&item("f: ABC"), r#"{"f":"abc"}"#, true);
    check(&item("f: ÄÖ"), r#"{"f":"äö"}"#, true);
    check(&item("'f|contains': äö"), r#"{"f":"xÄÖx"}"#, true);
    check(&item("'f|cased': ABC"), r#"{"f":"abc"}"#, false);
    check(&item("'f|cased': ABC"), r#"{"f":"ABC"}"#, true);
    check(&item("'f|contains|cased': bC"), r#"{"f":"abCd"}"#, true);
    check(&item("'f|contains|cased': bC"), r#"{"f":"abcd"}"#, false);
}

#[test]
fn regular_expressions_are_unanchored_and_case_counts() {
    check(&item("'f|re': 'b+c'"), r#"{"f":"abbcd"}"#, true);
    check(&item("'f|re': 'B+C'"), r#"{"f":"abbcd"}"#, false);
    check(&item("'f|re|i': 'B+C'"), r#"{"f":"abbcd"}"#, true);
    check(&item("'f|re': '^b'"), r#"{"f":"ab"}"#, false);
    check(&item("'f|re': 'a.c'"), r#"{"f":"a\nc"}"#, false);
    check(&item("'f|re|s': 'a.c'"), r#"{"f":"a\nc"}"#, true);
    check(&item("'f|re|m': '^b$'"), r#"{"f":"a\nb\nc"}"#, true);
    check(&item("'f|re': 'a(?!b)'"), r#"{"f":"ab ac"}"#, true);
}

#[test]
fn wildcards_and_their_escapes() {
    check(&item("f: 'b*'"), r#"{"f":"abc"}"#, false);
    check(&item("f: 'a*'"), r#"{"f":"abc"}"#, true);
    check(&item("'f|contains': '?x='"), r#"{"f":"Zx=1"}"#, true);
    check(&item("'f|contains': '?x='"), r#"{"f":"x=1"}"#, false);
    check(&item(r"f: 'a\*c'"), r#"{"f":"a*c"}"#, true);
    check(&item(r"f: 'a\*c'"), r#"{"f":"abc"}"#, false);
    check(&item(r"f: 'a\b'"), r#"{"f":"a\\b"}"#, true);
    check(&item(r"f: 'a\\b'"), r#"{"f":"a\\b"}"#, true);
    check(&item(r"f: 'a\\*'"), r#"{"f":"a\\anything"}"#, true);
    check(&item(r"f: 'a\\*'"), r#"{"f":"a*"}"#, false);
    check(&item("f: 'a*c'"), r#"{"f":"a\n\nc"}"#, true);
    check(&item("f: '*'"), r#"{"f":""}"#, true);
    check(&item("f: '*'"), r#"{"f":null}"#, false);
    check(&item("f: ''"), r#"{"f":""}"#, true);
    check(&item("f: ''"), r#"{"f":"a"}"#, false);
}

#[test]
fn keywords_look_everywhere() {
    let words = "k: ['evil', 'b*d']\ncondition: k";
    check(words, r#"{"f":"an EVIL thing"}"#, true);
    check(words, r#"{"x":{"y":"bad"}}"#, true);
    check(words, r#"{"f":"ev","g":"il"}"#, false);
    let all = "k: {'|all': ['one', 'two']}\ncondition: k";
    check(all, r#"{"f":"one","g":"two"}"#, true);
    check(all, r#"{"f":"one","g":"three"}"#, false);
    check("k: ['404']\ncondition: k", r#"{"sc-status":404}"#, true);
    check("k: ['a', {f: b}]\ncondition: k", r#"{"f":"b"}"#, true);
}

#[test]
fn null_is_missing_or_null_and_exists_is_presence() {
    check(&item("f: null"), r#"{"g":1}"#, true);
    check(&item("f: null"), r#"{"f":null}"#, true);
    check(&item("f: null"), r#"{"f":""}"#, false);
    check(&item("'f|exists': true"), r#"{"f":null}"#, true);
    check(&item("'f|exists': true"), r#"{"g":1}"#, false);
    check(&item("'f|exists': false"), r#"{"g":1}"#, true);
    check(&item("f: [null, x]"), r#"{"f":"x"}"#, true);
    check(&item("f: [null, x]"), r#"{"f":"y"}"#, false);
}

#[test]
fn conditions_bind_as_they_should() {
    let filtered = "s: {f: a}\nfilter: {g: b}\ncondition: s and not filter";
    check(filtered, r#"{"f":"a"}"#, true);
    check(filtered, r#"{"f":"a","g":"b"}"#, false);
    let them = "a: {f: a}\n_b: {g: b}\ncondition: 1 of them";
    check(them, r#"{"g":"b"}"#, false);
    let middle = "sel_1_main: {f: a}\nsel_2_main: {g: b}\nother: {h: c}\ncondition: all of sel*main";
    check(middle, r#"{"f":"a","g":"b"}"#, true);
    check(middle, r#"{"f":"a","h":"c"}"#, false);
    let mixed = "a: {f: 1}\nb: {g: 1}\nc: {h: 1}\ncondition: a or b and not c";
    check(mixed, r#"{"f":1,"h":1}"#, true);
    check(mixed, r#"{"g":1,"h":1}"#, false);
    check("a: {f: 1}\nb: {g: 1}\ncondition: [a, b]", r#"{"g":1}"#, true);
}

#[test]
fn maps_are_and_and_lists_are_or() {
    check(&item("f: a, g: b"), r#"{"f":"a","g":"c"}"#, false);
    check(&item("f: [a, b]"), r#"{"f":"b"}"#, true);
    check("s: [{f: a, g: b}, {f: c}]\ncondition: s", r#"{"f":"c"}"#, true);
    check("s: [{f: a, g: b}, {f: c}]\ncondition: s", r#"{"f":"a"}"#, false);
    check(&item("'f|contains|all': [a, b]"), r#"{"f":"xbxa"}"#, true);
    check(&item("'f|contains|all': [a, b]"), r#"{"f":"xa"}"#, false);
}

#[test]
fn numbers_and_their_texts_are_equal() {
    check(&item("f: 404"), r#"{"f":"404"}"#, true);
    check(&item("f: '404'"), r#"{"f":404}"#, true);
    check(&item("'f|gte': 500"), r#"{"f":"503"}"#, true);
    check(&item("'f|lt': 500"), r#"{"f":503}"#, false);
    check(&item("'f|gt': 1.5"), r#"{"f":1.6}"#, true);
    check(&item("f: true"), r#"{"f":true}"#, true);
    check(&item("f: true"), r#"{"f":"true"}"#, true);
    check(&item("'f|gte': 1"), r#"{"f":"1a"}"#, false);
}

#[test]
fn what_the_specification_leaves_open() {
    // `neq` is the negation, so it holds where the field is missing.
    check(&item("'f|neq': a"), r#"{"g":1}"#, true);
    check(&item("'f|neq': a"), r#"{"f":"A"}"#, false);
    // One element of a list is enough.
    check(&item("f: b"), r#"{"f":["a","b"]}"#, true);
    check(&item("'f|gte': 5"), r#"{"f":[1,7]}"#, true);
    // Names of fields are compared as they are written.
    check(&item("F: a"), r#"{"f":"a"}"#, false);
    // IPv4-mapped addresses are IPv4.
    check(&item("'f|cidr': 10.0.0.0/8"), r#"{"f":"::ffff:10.1.2.3"}"#, true);
    check(&item("'f|cidr': 10.0.0.0/8"), r#"{"f":"11.1.2.3"}"#, false);
    check(&item("'f|cidr': '2001:db8::/32'"), r#"{"f":"2001:db8::1"}"#, true);
}

#[test]
fn encodings_and_other_modifiers() {
    check(&item("'f|base64': foobar"), r#"{"f":"Zm9vYmFy"}"#, true);
    check(&item("'f|base64offset|contains': foobar"), r#"{"f":"eHhmb29iYXJ4"}"#, true);
    check(&item("'f|wide|base64offset|contains': cmd"), r#"{"f":"xYwBtAGQAx"}"#, true);
    check(&item("'f|windash|contains': ' -enc'"), r#"{"f":"x /enc y"}"#, true);
    check(&item("'f|windash|contains': ' -enc'"), r#"{"f":"x –enc y"}"#, true);
    check(&item("f: '%x%'"), r#"{"f":"%x%"}"#, true);
    check(&item("'f|fieldref': g"), r#"{"f":"A","g":"a"}"#, true);
    check(&item("'f|fieldref': g"), r#"{"f":"a"}"#, false);
    check(&item("'f|fieldref|startswith': g"), r#"{"f":"abc","g":"AB"}"#, true);
    check(&item("'f|hour': 13"), r#"{"f":"2026-01-01T13:05:00Z"}"#, true);
    check(&item("'f|hour': 13"), r#"{"f":"2026-01-01T13:05:00+02:00"}"#, false);
}

#[test]
fn a_rule_looks_only_at_events_of_its_logsource() {
    let text = "title: a\nlogsource: {category: CATEGORY}\ndetection: {s: {cs-method: GET}, condition: s}\n";
    let line = r#"192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#;
    for (category, expected) in [("webserver", 1), ("proxy", 0), ("application", 0)] {
        let text = text.replace("CATEGORY", category);
        let set = RuleSet::from_texts(&[("r.yml".to_owned(), text, false)]);
        let mut schema = Schema::new();
        let matcher = Matcher::compile(&set, &mut schema);
        let schema = Arc::new(schema);
        let mut event = Event::new(&schema);
        Decoder::new(Format::Combined, Arc::clone(&schema), Arc::default()).decode(line, &mut event).unwrap();
        let mut matches = 0;
        Scanner::new(&matcher).scan(&matcher, &event, |_| matches += 1);
        assert_eq!(matches, expected, "{category}");
    }
}

#[test]
fn parts_of_a_target_are_told_apart() {
    let detections = [
        "s: {url.path|endswith: '/x'}\ncondition: s",
        "s: {url.path|contains: 'a=1'}\ncondition: s",
        "s: {url.query|startswith: 'a=1'}\ncondition: s",
        "s: {url.query: 'a=1&b=/x'}\ncondition: s",
        "s: {url.path: '/p/x'}\ncondition: s",
        "s: {url.original|endswith: '/x'}\ncondition: s",
        "s: {url.normalized|contains: 'x?a=1'}\ncondition: s",
        "s: {url.query|re: '^a=\\d&'}\ncondition: s",
        "s: {url.original: '/p/x?a=1&b=/x'}\ncondition: s",
        "s: {url.query: ''}\ncondition: s",
    ]
    .map(str::to_owned);
    let set = rules(&detections);
    let mut schema = Schema::new();
    let matcher = Matcher::compile(&set, &mut schema);
    let schema = Arc::new(schema);
    let mut scanner = Scanner::new(&matcher);
    let mut decoder = Decoder::new(Format::Combined, Arc::clone(&schema), Arc::default());
    for (target, expected) in [
        ("/p/x?a=1&b=/x", vec![0, 2, 3, 4, 5, 6, 7, 8]),
        ("/P/X?A=1&B=%2FX", vec![0, 2, 4, 6]),
        ("/a=1", vec![1]),
        ("/x", vec![0, 5]),
        ("/ä/x?a=1&b=/x", vec![0, 2, 3, 5, 6, 7]),
    ] {
        let line =
            format!(r#"192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET {target} HTTP/1.1" 200 1 "-" "-""#);
        let mut event = Event::new(&schema);
        decoder.decode(&line, &mut event).unwrap();
        for round in 0..3 {
            let mut found = Vec::new();
            scanner.scan(&matcher, &event, |rule| found.push(rule));
            found.sort_unstable();
            let plain: Vec<usize> = (0..set.rules.len())
                .filter(|rule| match &set.rules[*rule].body {
                    Body::Detection(detection) => reference::holds(&detection.expression, &event, &schema),
                    Body::Correlation(_) => false,
                })
                .collect();
            assert_eq!(found, plain, "{target}, round {round}");
        }
        let found: Vec<usize> = expected;
        let mut compiled = Vec::new();
        scanner.scan(&matcher, &event, |rule| compiled.push(rule));
        compiled.sort_unstable();
        assert_eq!(compiled, found, "{target}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        "[aAbB]{0,3}".prop_map(|text| format!("{text:?}")),
        (0..4i32).prop_map(|number| number.to_string()),
        Just("true".to_owned()),
        "[ab]{1,2}".prop_map(|text| format!("[{text:?},null,2]")),
    ]
}

fn event() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "f",
        "g",
        "h",
        "cs-method",
        "sc-status",
        "cs-uri-query",
        "cs-uri-stem",
        "c-uri-query",
        "c-useragent",
    ]);
    prop::collection::btree_map(names, value(), 0..6).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn random_item() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "f",
        "g",
        "cs-method",
        "sc-status",
        "cs-uri-query",
        "cs-uri-stem",
        "c-uri-query",
        "c-useragent",
        "",
    ]);
    let modifiers = prop::sample::select(vec![
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|cased",
        "|contains|cased",
        "|re",
        "|re|i",
        "|contains|all",
        "|gte",
        "|exists",
        "|neq",
        "|lt",
    ]);
    (names, modifiers, prop::collection::vec("[abA*?2]{0,3}", 1..4), 0..4i32).prop_map(
        |(name, modifiers, values, number)| match (name, modifiers) {
            ("", "|gte" | "|lt" | "|exists") => format!("'|contains': '{number}'"),
            (name, "|gte" | "|lt") => format!("'{name}{modifiers}': {number}"),
            (name, "|exists") => format!("'{name}|exists': {}", number % 2 == 0),
            (name, "|re" | "|re|i") => {
                let values: Vec<String> =
                    values.iter().map(|value| format!("'{}'", value.replace(['*', '?'], "."))).collect();
                format!("'{name}{modifiers}': [{}]", values.join(", "))
            }
            (name, modifiers) => {
                let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                format!("'{name}{modifiers}': [{}]", values.join(", "))
            }
        },
    )
}

fn detection() -> impl Strategy<Value = String> {
    let conditions = prop::sample::select(vec![
        "a",
        "a and b",
        "a or b",
        "a and not b",
        "not a",
        "not (a or b)",
        "1 of them",
        "all of them",
        "a and not c or b",
    ]);
    (prop::collection::vec(prop::collection::vec(random_item(), 1..3), 3), conditions).prop_map(
        |(searches, condition)| {
            let mut text = String::new();
            for (name, items) in ["a", "b", "c"].iter().zip(searches) {
                // As a list of maps, so that the same field may stand in both.
                let maps: Vec<String> = items.iter().map(|item| format!("{{{item}}}")).collect();
                text.push_str(&format!("{name}: [{}]\n", maps.join(", ")));
            }
            format!("{text}condition: {condition}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_compiled_matcher_agrees_with_the_plain_one(
        detections in prop::collection::vec(detection(), 1..8), events in prop::collection::vec(event(), 1..20),
    ) {
        let set = rules(&detections);
        for (event, (compiled, plain)) in events.iter().zip(verdicts(&set, &events)) {
            for (rule, (compiled, plain)) in compiled.into_iter().zip(plain).enumerate() {
                prop_assert_eq!(compiled, plain, "{} on {}", &detections[rule], event);
            }
        }
    }

    #[test]
    fn an_explanation_comes_to_the_verdict_of_the_matcher(
        detections in prop::collection::vec(detection(), 1..4), events in prop::collection::vec(event(), 1..8),
    ) {
        let set = rules(&detections);
        let verdicts = verdicts(&set, &events);
        for ((event, (compiled, _)), parts) in events.iter().zip(verdicts).zip(explanations(&set, &events)) {
            for (rule, (compiled, part)) in compiled.into_iter().zip(parts).enumerate() {
                prop_assert_eq!(compiled, part.holds, "{} on {}", &detections[rule], event);
            }
        }
    }
}

#[test]
fn a_verdict_does_not_depend_on_the_event_before_it() {
    let set = rules(&["k: [needle]\ncondition: k".to_owned()]);
    let lines = [
        r#"{"c-uri-extension":"needle","cs-uri-query":"x"}"#,
        r#"{"c-uri-extension":"needle"}"#,
        r#"{"cs-uri-stem":"/needle","cs-uri-query":"id=1"}"#,
        r#"{"c-uri-query":"needle","cs-uri-query":"id=1"}"#,
        r#"{"c-uri-extension":"other","cs-uri-query":"x"}"#,
    ]
    .map(str::to_owned);
    let compiled: Vec<bool> = verdicts(&set, &lines).into_iter().map(|(compiled, _)| compiled[0]).collect();
    assert_eq!(compiled, [true, true, true, true, false]);
}

#[test]
fn case_is_folded_character_by_character() {
    check(&item("'f|contains': 'ΟΔΟΣ'"), r#"{"f":"ΟΔΟΣΑ"}"#, true);
    check(&item("f: 'ΟΔΟΣ'"), r#"{"f":"οδος"}"#, true);
    check(&item("'f|re': 'ΟΔΟΣ'"), r#"{"f":"ΟΔΟΣΑ"}"#, true);
    check(&item("f: 'a?c'"), r#"{"f":"aİc"}"#, true);
}
