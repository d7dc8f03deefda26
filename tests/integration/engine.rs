//! The engine as a whole: lines in, alerts out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use watchbell::alert::Alert;
use watchbell::allowlist::{Allowlist, EntryConfig};
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::generate::{Config, Kind, Outputs, write};
use watchbell::replay::replay;
use watchbell::rules::RuleSet;

pub const START: i64 = 1_800_000_000;

/// A detection to count.
pub const FAILED: &str = "
title: failed
name: failed
logsource: {product: watchbell}
detection: {s: {event.outcome: failure}, condition: s}
x-watchbell: {reported: false}
---
";

/// Another one.
const SUCCEEDED: &str = "
title: succeeded
name: succeeded
logsource: {product: watchbell}
detection: {s: {event.outcome: success}, condition: s}
x-watchbell: {reported: false}
---
";

pub fn rules(text: &str) -> RuleSet {
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), format!("{FAILED}{SUCCEEDED}{text}"), false)]);
    assert_eq!(set.errors, []);
    set
}

fn count_of_failures(threshold: u32, span: &str) -> RuleSet {
    rules(&format!(
        "title: many\nname: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  \
         group-by: [user.name]\n  timespan: {span}\n  condition: {{gte: {threshold}}}\n"
    ))
}

pub fn line(at: i64, user: &str, outcome: &str) -> String {
    line_from(at, user, outcome, "192.0.2.1")
}

pub fn line_from(at: i64, user: &str, outcome: &str, address: &str) -> String {
    let at = Timestamp::from_seconds(START + at);
    format!(
        r#"{{"@timestamp":"{at}","user.name":"{user}","event.outcome":"{outcome}","source.ip":"{address}"}}"#
    )
}

pub fn failures(times: impl IntoIterator<Item = i64>) -> Vec<String> {
    times.into_iter().map(|at| line(at, "ann", "failure")).collect()
}

fn engine(rules: &RuleSet, allowlist: Allowlist, threads: usize) -> Engine {
    Engine::new(rules, allowlist, &Settings { threads, ..Settings::default() }).unwrap()
}

/// All alerts of lines of JSON from one source, in the order in which they opened.
fn alerts(rules: &RuleSet, allowlist: Allowlist, lines: &[String]) -> Vec<Alert> {
    let mut engine = engine(rules, allowlist, 1);
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
    let transitions = engine.count(None);
    let (more, open) = engine.finish();
    let mut alerts: Vec<Alert> = transitions
        .into_iter()
        .chain(more)
        .filter_map(|transition| match transition {
            Transition::Resolved(alert) => Some(alert),
            Transition::Opened(_) | Transition::Escalated(..) => None,
        })
        .chain(open)
        .collect();
    alerts.sort_by_key(|alert| alert.opened_at);
    alerts
}

fn seconds(at: Timestamp) -> i64 {
    at.as_micros() / 1_000_000 - START
}

#[test]
fn an_alert_opens_at_the_threshold_is_updated_and_is_resolved_when_it_has_been_quiet() {
    let rules = count_of_failures(3, "1m");
    let mut lines = failures([0, 10, 20, 30, 400]);
    lines.push(line(10_000, "bob", "failure"));
    let alerts = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(alerts.len(), 1, "one alert an episode");
    let alert = &alerts[0];
    assert_eq!((seconds(alert.opened_at), seconds(alert.last_seen_at)), (20, 30));
    assert_eq!(
        alert.resolved_at.map(seconds),
        Some(30 + 900),
        "fifteen quiet minutes after the last finding"
    );
    assert_eq!((alert.observed, alert.evidence.findings), (4.0, 2));
    assert_eq!(alert.subject, [("user.name".to_owned(), "ann".to_owned())]);
    assert_eq!(alert.condition.text, ">= 3 events in 1m");
    assert_eq!(
        alert.evidence.samples.iter().map(|sample| sample.line).collect::<Vec<_>>(),
        [2, 3, 4],
        "from half way on"
    );
    assert_eq!((seconds(alert.evidence.window.0), seconds(alert.evidence.window.1)), (-40, 20));
}

#[test]
fn a_second_attack_after_a_quiet_time_is_a_second_alert_with_an_id_of_its_own() {
    let rules = count_of_failures(2, "1m");
    let alerts = alerts(&rules, Allowlist::default(), &failures([0, 1, 100, 101, 5000, 5001]));
    assert_eq!(alerts.iter().map(|alert| seconds(alert.opened_at)).collect::<Vec<_>>(), [1, 5001]);
    assert_ne!(alerts[0].id, alerts[1].id);
}

#[test]
fn a_success_after_failures_is_found_through_a_chain() {
    let rules = rules(
        "title: burst\nname: burst\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 5m, condition: {gte: 3}}\n\
         ---\ntitle: broken in\nname: broken_in\nlevel: critical\ncorrelation: {type: temporal_ordered, rules: [burst, succeeded], group-by: [user.name], timespan: 10m}\n",
    );
    let mut lines = failures([0, 10, 20]);
    lines.extend([line(30, "bob", "success"), line(40, "ann", "success")]);
    let found = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(
        found.iter().map(|alert| (alert.rule.name.as_str(), seconds(alert.opened_at))).collect::<Vec<_>>(),
        [("broken_in", 40)]
    );
    assert_eq!(found[0].evidence.grounds[0].rule, "burst");
    assert_eq!(found[0].evidence.grounds[0].observed, 3.0);
    let before = [vec![line(0, "ann", "success")], failures([10, 20, 30])].concat();
    assert_eq!(alerts(&rules, Allowlist::default(), &before), [], "the order counts");
}

#[test]
fn an_event_that_several_rules_match_is_one_event() {
    let either = "title: either\nname: either\nlogsource: {product: watchbell}\ndetection: {s: {event.outcome: [failure, success]}, condition: s}\nx-watchbell: {reported: false}\n---\n";
    for (correlation, lines, expected) in [
        ("{type: event_count, rules: [failed, either], timespan: 1m, condition: {gte: 2}}", failures([0]), 0),
        (
            "{type: event_count, rules: [failed, either], timespan: 1m, condition: {gte: 2}}",
            failures([0, 1]),
            1,
        ),
        ("{type: temporal, rules: [failed, either], timespan: 1m, condition: {eq: 1}}", failures([0]), 0),
        ("{type: temporal, rules: [failed, either], timespan: 1m}", failures([0]), 1),
        ("{type: temporal_ordered, rules: [failed, either], timespan: 1m}", failures([0]), 0),
        ("{type: temporal_ordered, rules: [either, failed], timespan: 1m}", failures([0]), 0),
        ("{type: temporal_ordered, rules: [either, failed], timespan: 1m}", failures([0, 1]), 1),
    ] {
        let rules = rules(&format!("{either}title: c\nname: c\ncorrelation: {correlation}\n"));
        assert_eq!(alerts(&rules, Allowlist::default(), &lines).len(), expected, "{correlation}");
    }
}

#[test]
fn aliases_join_what_rules_call_by_different_names() {
    let rules = rules(
        "title: both\nname: both\nlevel: high\ncorrelation:\n  type: temporal\n  rules: [failed, succeeded]\n  group-by: [who]\n  timespan: 1m\n  aliases:\n    who: {failed: user.name, succeeded: target.name}\n",
    );
    let at = Timestamp::from_seconds(START + 5);
    let lines = [
        line(0, "ann", "failure"),
        format!(r#"{{"@timestamp":"{at}","target.name":"ANN","event.outcome":"success"}}"#),
    ];
    let found = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject[0].0, "who");
}

#[test]
fn the_allowlist_keeps_matches_from_being_counted() {
    let entry = |toml: &str| -> Allowlist {
        let entry: EntryConfig = toml::from_str(toml).unwrap();
        Allowlist::new(&[entry]).unwrap()
    };
    let rules = count_of_failures(3, "1m");
    let lines = failures(0..10);
    assert_eq!(alerts(&rules, entry("users = ['ann']\nreason = 'test account'"), &lines), []);
    assert_eq!(alerts(&rules, entry("networks = ['192.0.2.0/24']\nreason = 'test'"), &lines), []);
    assert_eq!(alerts(&rules, entry("users = ['ann']\nrules = ['other']\nreason = 'test'"), &lines).len(), 1);
    let expired =
        format!("users = ['ann']\nreason = 'test'\nexpires_at = '{}'", Timestamp::from_seconds(START - 1));
    assert_eq!(alerts(&rules, entry(&expired), &lines).len(), 1, "an entry ends");
}

#[test]
fn a_slow_rule_says_nothing_while_the_fast_one_has_an_alert_open_and_speaks_when_it_has_not() {
    let rules = rules(
        "title: fast\nname: fast\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 5}}\n\
         ---\ntitle: slow\nname: slow\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 2h, condition: {gte: 8}}\nx-watchbell: {inhibited-by: [fast]}\n",
    );
    let names = |lines: &[String]| -> Vec<String> {
        alerts(&rules, Allowlist::default(), lines).into_iter().map(|alert| alert.rule.name.clone()).collect()
    };
    assert_eq!(names(&failures(0..30)), ["fast"]);
    assert_eq!(names(&failures((0..12).map(|index| index * 300))), ["slow"]);
    let both = [failures(0..10), failures([3000])].concat();
    assert_eq!(
        names(&both),
        ["fast", "slow"],
        "the slow rule goes on counting, and speaks when the fast alert is over"
    );
}

#[test]
fn an_alert_says_what_else_was_asked_before_it_opened() {
    let rules = rules(
        "title: fast\nname: fast\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 5}}\n\
         ---\ntitle: slow\nname: slow\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 2h, condition: {gte: 8}}\nx-watchbell: {inhibited-by: [fast]}\n",
    );
    let entries = |texts: &[&str]| -> Allowlist {
        let entries: Vec<EntryConfig> = texts.iter().map(|text| toml::from_str(text).unwrap()).collect();
        Allowlist::new(&entries).unwrap()
    };
    let consulted = |allowlist: Allowlist, lines: &[String]| -> Vec<serde_json::Value> {
        let alerts = alerts(&rules, allowlist, lines);
        alerts
            .iter()
            .map(|alert| serde_json::to_value(alert).unwrap()["evidence"]["consulted"].take())
            .collect()
    };
    let mut lines = failures((0..7).map(|n| n * 30));
    // Two are late: one before the alert, one while it goes on.
    lines.extend(failures([50, 240, 120, 250]));
    let found = consulted(Allowlist::default(), &lines);
    assert_eq!(
        found,
        [serde_json::json!({"allowlist_entries": 0, "inhibitors": ["fast"], "late_events": 2})]
    );
    let both = [failures(0..10), failures([3000])].concat();
    let found = consulted(Allowlist::default(), &both);
    assert_eq!(found[0], serde_json::json!({"allowlist_entries": 0, "late_events": 0}));
    assert_eq!(found[1]["withheld"], serde_json::json!({"allowed": 0, "inhibited": 3, "refused": 0}));
    let expired =
        format!("users = ['ann']\nreason = 'a move'\nexpires_at = '{}'", Timestamp::from_seconds(START - 1));
    let found = consulted(
        entries(&[
            &expired,
            "users = ['ann']\nrules = ['other']\nreason = 'a test'",
            "networks = ['192.0.2.0/24']\nagents = ['curl*']\nreason = 'a monitor'",
            "networks = ['192.0.2.0/24']\nusers = ['bob']\nreason = 'a fourth is not named'",
            "users = ['bob']\nreason = 'somebody else'",
        ]),
        &failures(0..5),
    );
    let near = serde_json::json!([
        {"reason": "a move", "but": "it has ended"},
        {"reason": "a test", "but": "it is for other rules"},
        {"reason": "a monitor", "but": "the agent is another"},
    ]);
    assert_eq!((&found[0]["nearly_allowed"], found[0]["allowlist_entries"].as_u64()), (&near, Some(5)));
}

#[test]
fn of_one_event_what_inhibits_is_counted_before_what_it_inhibits_whatever_the_order_of_rules() {
    let rule = |name: &str, selection: &str, by: &str| {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{product: watchbell}}\n\
             detection: {{s: {{{selection}}}, condition: s}}\nx-watchbell: {{inhibited-by: [{by}]}}\n---\n"
        )
    };
    let some = rule("some", "event.outcome: failure", "more, most");
    let more = rule("more", "user.name|startswith: a", "most");
    let most = rule("most", "user.name: ann", "");
    for order in [[&some, &more, &most], [&most, &more, &some], [&more, &some, &most]] {
        let rules = rules(&order.map(String::as_str).concat());
        for (user, expected) in [("bob", "some"), ("abe", "more"), ("ann", "most")] {
            let opened = alerts(&rules, Allowlist::default(), &[line(0, user, "failure")]);
            let names: Vec<&str> = opened.iter().map(|alert| alert.rule.name.as_str()).collect();
            assert_eq!(names, [expected]);
        }
    }
}

#[test]
fn bad_lines_are_counted_by_reason_and_lose_nothing_else() {
    let rules = count_of_failures(3, "1m");
    let mut lines = failures([0, 10, 20]);
    lines.insert(1, "not JSON".to_owned());
    lines.insert(2, format!(r#"{{"x": "{}"}}"#, "y".repeat(100_000)));
    lines.insert(3, "\u{0}\u{1}\u{ffff}".to_owned());
    let mut engine = engine(&rules, Allowlist::default(), 1);
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
    let opened = engine.count(None);
    assert_eq!(opened.len(), 1);
    let counts = engine.counts();
    let decoded = &counts.read.decoded;
    assert_eq!(
        (decoded.lines, decoded.events, decoded.truncated),
        (6, 4, 1),
        "of the long line there is a start"
    );
    assert_eq!(decoded.undecodable.iter().sum::<u64>(), 2);
    let samples: Vec<_> = engine.undecodable().iter().map(|line| (line.line, line.reason.reason())).collect();
    assert_eq!(samples, [(2, "not_json"), (4, "not_json")]);
}

#[test]
fn a_line_is_counted_wherever_it_breaks() {
    let mut engine = engine(&rules(""), Allowlist::default(), 1);
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let text =
        "203.0.113.9 - - [10/Mar/2026:12:00:00 +0000] \"POST /login HTTP/1.1\" 4x1 157 \"-\" \"Mozilla\"\n"
            .to_owned();
    engine.read(vec![Chunk { source, text, format: Format::Combined, received: None }]);
    let counts = engine.counts().read;
    assert_eq!(
        (counts.decoded.lines, counts.decoded.events, counts.decoded.undecodable.iter().sum::<u64>()),
        (1, 0, 1)
    );
}

#[test]
fn a_forged_time_neither_opens_an_alert_nor_hides_the_others() {
    let rules = count_of_failures(4, "1m");
    let lines = failures([0, 10, 9_000_000, 20, 30, 40]);
    let found = alerts(&rules, Allowlist::default(), &lines);
    assert_eq!(found.len(), 1);
    assert!(seconds(found[0].opened_at) <= 30, "the forged line is held to the time it arrived");
}

/// Writes generated traffic and gives its files.
pub fn traffic(directory: &Path, lines: u64, kinds: &[Kind]) -> Vec<PathBuf> {
    let config = Config {
        lines,
        seed: 5,
        addresses: 2_000,
        attacks: kinds.to_vec(),
        duration: std::time::Duration::from_secs(3 * 3600),
        ..Config::default()
    };
    let create =
        |name: &str| std::fs::File::create(directory.join(name)).map(std::io::BufWriter::new).unwrap();
    let (mut access, mut events, mut labels) =
        (create("access.log"), create("events.jsonl"), create("labels.jsonl"));
    let webhooks = &mut std::io::sink();
    let outputs = Outputs { access: &mut access, events: &mut events, webhooks, labels: &mut labels };
    write(&config, outputs, |_| {}).unwrap();
    vec![directory.join("access.log"), directory.join("events.jsonl")]
}

fn replayed(paths: &[PathBuf], threads: usize) -> String {
    let rules = RuleSet::load(true, &[]).unwrap();
    let mut engine = engine(&rules, Allowlist::default(), threads);
    let settings = Arc::new(decode::Settings::default());
    let alerts = replay(&mut engine, paths, None, &settings, &Default::default()).unwrap().alerts;
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect()
}

#[test]
fn a_replay_is_the_same_to_the_byte_with_any_number_of_threads_and_any_order_of_files() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = [Kind::ALL[0], Kind::ALL[5], Kind::ALL[10], Kind::ALL[20], Kind::ALL[30]];
    let paths = traffic(directory.path(), 20_000, &kinds);
    let once = replayed(&paths, 1);
    assert!(once.lines().count() >= 5, "there must be something to compare: {once}");
    assert_eq!(once, replayed(&paths, 1), "twice the same");
    assert_eq!(once, replayed(&paths, 3), "with three threads");
    let reversed: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    assert_eq!(once, replayed(&reversed, 2), "with the files the other way round");
}

#[test]
fn rotated_and_compressed_pieces_are_one_log() {
    let directory = tempfile::tempdir().unwrap();
    let rules = count_of_failures(60, "10m");
    let lines = failures((0..120).map(|index| index * 5));
    let (old, new) = lines.split_at(70);
    let join = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (plain, packed) = (directory.path().join("a.log"), directory.path().join("a.log.1.gz"));
    std::fs::write(&plain, join(new)).unwrap();
    let mut encoder =
        flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, join(old).as_bytes()).unwrap();
    encoder.finish().unwrap();
    let mut engine = engine(&rules, Allowlist::default(), 2);
    let settings = Arc::new(decode::Settings::default());
    let replayed = replay(&mut engine, &[plain, packed], None, &settings, &Default::default()).unwrap();
    assert_eq!(replayed.alerts.len(), 1);
    assert_eq!(replayed.alerts[0].observed, 120.0, "nothing is lost at the seam");
    assert_eq!(engine.counts().clock.late, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever the order of arrival within the allowed lateness, what is found is the same.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        times in prop::collection::vec(0i64..280, 1..40), keys in prop::collection::vec(0.0f64..1.0, 40), threshold in 1u32..6,
    ) {
        let rules = count_of_failures(threshold, "20s");
        let mut sorted = times.clone();
        sorted.sort_unstable();
        let mut shuffled: Vec<(f64, i64)> = keys.into_iter().zip(times).collect();
        shuffled.sort_by(|left, right| left.0.total_cmp(&right.0));
        let in_order = alerts(&rules, Allowlist::default(), &failures(sorted));
        let out_of_order = alerts(&rules, Allowlist::default(), &failures(shuffled.into_iter().map(|(_, at)| at)));
        prop_assert_eq!(in_order.len(), out_of_order.len());
        for (left, right) in in_order.iter().zip(&out_of_order) {
            prop_assert_eq!(left.observed, right.observed);
            prop_assert_eq!(left.last_seen_at, right.last_seen_at);
        }
    }
}

#[test]
fn where_the_log_is_cut_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        lines: 8_000,
        seed: 14,
        addresses: 500,
        attacks: Kind::ALL.to_vec(),
        duration: std::time::Duration::from_secs(24 * 3600),
        ..Config::default()
    };
    let mut access = Vec::new();
    let (events, webhooks, labels) = (&mut std::io::sink(), &mut std::io::sink(), &mut std::io::sink());
    write(&config, Outputs { access: &mut access, events, webhooks, labels }, |_| {}).unwrap();
    let text = String::from_utf8(access).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let rules = RuleSet::load(true, &[directory.path().to_owned()]).unwrap();
    let found = |piece: usize| {
        let mut engine = engine(&rules, Allowlist::default(), 2);
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        let mut ended = Vec::new();
        for lines in lines.chunks(piece) {
            let text = lines.join("\n") + "\n";
            engine.read(vec![Chunk { source, text, format: Format::Combined, received: None }]);
            ended.extend(engine.count(None));
        }
        let (more, open) = engine.finish();
        let resolved = ended.into_iter().chain(more).filter_map(|transition| match transition {
            Transition::Resolved(alert) => Some(alert),
            Transition::Opened(_) | Transition::Escalated(..) => None,
        });
        let mut all: Vec<(String, Timestamp, u64)> = resolved
            .chain(open)
            .map(|alert| (alert.id + " " + &alert.rule.name, alert.last_seen_at, alert.evidence.findings))
            .collect();
        all.sort();
        all
    };
    let whole = found(lines.len());
    assert!(whole.len() > 50, "there must be something to compare");
    for piece in [100, 1_777] {
        assert_eq!(found(piece), whole, "in pieces of {piece} lines");
    }
}
