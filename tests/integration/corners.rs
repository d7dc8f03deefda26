//! Corners in which something once went wrong: each test failed before it was mended.

use std::sync::Arc;
use std::time::Duration;

use watchbell::alert::Alert;
use watchbell::allowlist::*;
use watchbell::clock::*;
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::*;
use watchbell::event::*;
use watchbell::matching::text::*;
use watchbell::matching::{Matcher, Scanner, reference};
use watchbell::rules::pattern::Pattern;
use watchbell::rules::{Body, RuleSet};
use watchbell::windows::{Measure, Spec};

use crate::engine::{START, failures, line, line_from, rules};

fn run(rules: &RuleSet, allow: Allowlist, batches: &[&[String]]) -> (Engine, Vec<Transition>, Vec<Alert>) {
    let mut engine = Engine::new(rules, allow, &Settings { threads: 1, ..Settings::default() }).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut all = Vec::new();
    for lines in batches {
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        all.extend(engine.count(None));
    }
    let (more, open) = engine.finish();
    all.extend(more);
    (engine, all, open)
}
fn names(t: &[Transition]) -> Vec<(String, i64)> {
    t.iter()
        .filter_map(|t| match t {
            Transition::Opened(a) => Some((a.rule.name.clone(), a.opened_at.as_micros() / 1_000_000 - START)),
            _ => None,
        })
        .collect()
}
fn find(patterns: &[&str], text: &str) -> Vec<u32> {
    let mut builder = Builder::default();
    for (test, pattern) in patterns.iter().enumerate() {
        builder.pattern(Hit { field: FieldId(0), test: test as u32 }, &Pattern::parse(pattern), false);
    }
    let mut hits = Vec::new();
    builder.build().find(text, &mut hits);
    hits.iter().map(|h| h.test).collect()
}

fn settle(clock: &mut Clock, seconds: &[i64], received: Option<i64>) -> (Vec<Option<i64>>, ClockCounts) {
    let mut times: Vec<i64> = seconds.iter().map(|s| s * 1_000_000).collect();
    let counts = clock.settle(&mut times, received.map(Timestamp::from_seconds), Tolerance::default());
    (times.iter().map(|t| (*t != NOT_COUNTED).then_some(t / 1_000_000)).collect(), counts)
}

#[test]
fn folding_may_shorten_a_text() {
    assert_eq!(find(&["a*c"], "a\u{212a}c"), [0]);
}

#[test]
fn folding_may_lengthen_a_text() {
    assert_eq!(find(&["*evil*"], "\u{23a}\u{23a}evil"), [0]);
}

#[test]
fn an_ending_behind_a_letter_that_folds_shorter() {
    assert_eq!(find(&["*.php"], "\u{212a}.php"), [0]);
}

#[test]
fn letters_that_fold_to_other_lengths_hide_no_payload() {
    let rules = RuleSet::load(true, &[]).unwrap();
    let mut bad = Vec::new();
    for payload in [
        "union%20select%20from",
        "../../../etc/passwd",
        "<script>alert(1)</script>",
        "select%20a%20from%20b%20union",
        "sleep(5)",
        "$%7Bjndi:ldap://x%7D",
        "cat%20/etc/passwd",
        "or%201=1",
        "php://filter/convert",
        ";wget%20http://x",
        "onerror=alert(1)",
        ".env",
        ".git/config",
    ] {
        for (name, k) in [("kelvin", "%E2%84%AA%E2%84%AA%E2%84%AA"), ("A-stroke", &"%C8%BA".repeat(60))] {
            let l = |p: String| {
                format!(
                    "203.0.113.7 - - [10/Oct/2026:13:55:00 +0000] \"GET /a?q={p} HTTP/1.1\" 200 12 \"-\" \"Mozilla/5.0\"\n"
                )
            };
            let go = |text: String| {
                std::panic::catch_unwind(|| {
                    let mut engine = Engine::new(
                        &rules,
                        Allowlist::default(),
                        &Settings { threads: 1, ..Settings::default() },
                    )
                    .unwrap();
                    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
                    engine.read(vec![Chunk { source, text, format: Format::Combined, received: None }]);
                    engine.counts().matches.iter().sum::<u64>()
                })
            };
            let filler = if name == "kelvin" { "xxx".to_owned() } else { "x".repeat(60) };
            let plain = go(l(format!("{filler}{payload}")));
            let hidden = go(l(format!("{k}{payload}")));
            match (plain, hidden) {
                (Ok(a), Ok(b)) => {
                    let is_hidden = b < a;
                    bad.extend(is_hidden.then(|| format!("{payload} {name}: {a} matches without, {b} with")));
                }
                (_, Err(_)) => bad.push(format!("{payload} {name}: PANIC")),
                _ => {}
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
fn spec(measure: Measure, span: u64, lateness: u64, at_least: f64) -> Spec {
    Spec {
        measure,
        span: Duration::from_secs(span),
        lateness: Duration::from_secs(lateness),
        condition: smallvec::SmallVec::from_slice(&[(
            watchbell::rules::detection::Comparison::Gte,
            at_least,
        )]),
    }
}

#[test]
fn late_runs_are_bounded() {
    let spec = spec(Measure::Count, 60, 300, 1e9);
    let mut runs = watchbell::windows::runs::Runs::<u32>::default();
    runs.observe(&spec, Timestamp::from_seconds(1300), 1);
    for n in 0..20_000i64 {
        runs.observe(&spec, Timestamp::from_micros(1_000_000_000 + n * 15_000), 1);
    }
    assert!(runs.heap_bytes() <= 16 << 10, "{}", runs.heap_bytes());
}

#[test]
fn forged_line_at_the_end_of_a_batch() {
    let mut clock = Clock::default();
    settle(&mut clock, &[100, 101, 900_000], None);
    let (_, counts) = settle(&mut clock, &[102, 103, 104, 105, 106, 107, 108, 109, 110], None);
    assert_eq!(counts.late, 0);
}

#[test]
fn forged_lines_each_a_little_further_ahead_make_nothing_late() {
    let mut clock = Clock::default();
    let (_, counts) = settle(&mut clock, &[100, 101, 400, 700, 102, 103, 104, 105, 106, 107, 108], None);
    assert_eq!(counts.late, 0);
}

#[test]
fn a_live_event_within_the_skew_makes_nothing_late() {
    let mut clock = Clock::default();
    settle(&mut clock, &[1299], Some(1000));
    let (_, counts) = settle(&mut clock, &[995], Some(1001));
    assert_eq!(counts.late, 0, "six seconds old when it arrives, five minutes are allowed");
}

#[test]
fn a_late_observation_finds_at_the_wrong_time() {
    let rules = rules(
        "title: burst\nname: burst\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 5m, condition: {gte: 3}}\n\
         ---\ntitle: broken in\nname: broken_in\nlevel: critical\ncorrelation: {type: temporal_ordered, rules: [burst, succeeded], group-by: [user.name], timespan: 10m}\n",
    );
    let f = |at| line(at, "ann", "failure");
    let s = |at| line(at, "ann", "success");
    let in_order = [f(0), f(10), s(15), f(20)];
    let shuffled = [f(0), f(20), s(15), f(10)];
    assert_eq!(names(&run(&rules, Allowlist::default(), &[&in_order]).1), []);
    assert_eq!(names(&run(&rules, Allowlist::default(), &[&shuffled]).1), [], "same events");
}
#[test]
fn allowlist_for_a_correlation() {
    let rules = rules(
        "title: many\nname: many\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 5m, condition: {gte: 5}}\n",
    );
    let entry: EntryConfig =
        toml::from_str("networks = ['10.0.0.0/8']\nrules = ['many']\nreason = 'monitor'").unwrap();
    let mut lines: Vec<String> = (0..20).map(|n| line_from(n, "ann", "failure", "10.0.0.1")).collect();
    lines.push(line_from(21, "ann", "failure", "192.0.2.1"));
    assert_eq!(
        names(&run(&rules, Allowlist::new(&[entry]).unwrap(), &[&lines]).1),
        [],
        "the monitor's twenty are not counted"
    );
}

#[test]
fn one_target_may_be_cut_in_two_ways() {
    let rules = rules(
        "title: x\nname: x\nlogsource: {product: watchbell}\ndetection: {s: {'url.query|contains': evil}, condition: s}\n",
    );
    let mut schema = Schema::new();
    let matcher = Matcher::compile(&rules, &mut schema);
    let mut scanner = Scanner::new(&matcher);
    let mut verdict = |path: &'static str, query: Option<&'static str>| {
        let mut event = Event::new(&schema);
        event.set_text(field::URL_ORIGINAL, "/a?evil");
        event.set_text(field::URL_PATH, path);
        if let Some(q) = query {
            event.set_text(field::URL_QUERY, q);
        }
        let mut n = 0;
        scanner.scan(&matcher, &event, |_| n += 1);
        n
    };
    for _ in 0..3 {
        assert_eq!(verdict("/a?evil", None), 0);
    }
    assert_eq!(verdict("/a", Some("evil")), 1, "as with an empty cache");
}

#[test]
fn a_query_that_is_not_there_matches_nothing() {
    let rules = rules(
        "title: x\nname: x\nlogsource: {product: watchbell}\ndetection: {s: {'url.query|re': '^[a-z]*$'}, condition: s}\n",
    );
    let mut schema = Schema::new();
    let matcher = Matcher::compile(&rules, &mut schema);
    let mut event = Event::new(&schema);
    event.set_text(field::URL_ORIGINAL, "/a");
    event.set_text(field::URL_PATH, "/a");
    let Body::Detection(d) = &rules.rules[2].body else { panic!() };
    let mut n = 0;
    Scanner::new(&matcher).scan(&matcher, &event, |_| n += 1);
    assert_eq!(n == 1, reference::holds(&d.expression, &event, &schema));
}

#[test]
fn over_episodes_of_busy_subjects_fill_the_cap() {
    let rules = rules(
        "title: two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 2}}\n\
 ---\ntitle: busy\nname: busy\ncorrelation: {type: event_count, rules: [succeeded], group-by: [user.name], timespan: 6h, condition: {gte: 1000000}}\n",
    );
    let mut first = Vec::new();
    for u in 0..20_000 {
        for t in 0..2 {
            first.push(line(t, &format!("u{u}"), "failure"));
        }
    }
    let ok: Vec<String> = (0..20_000).map(|u| line(3, &format!("u{u}"), "success")).collect();
    let later: Vec<String> = (0..20_000).map(|u| line(7200, &format!("u{u}"), "success")).collect();
    let fresh: Vec<String> = (0..200)
        .flat_map(|u| [line(7300, &format!("new{u}"), "failure"), line(7301, &format!("new{u}"), "failure")])
        .collect();
    let (engine, all, _) = run(&rules, Allowlist::default(), &[&first, &ok, &later, &fresh]);
    let opened = names(&all).iter().filter(|(_, at)| *at > 7000).count();
    assert_eq!(
        opened,
        200,
        "all other episodes are over for an hour and a half; refused {:?}",
        engine.counts().refused_alerts
    );
}

#[test]
fn episode_of_a_busy_subject_is_told_resolved() {
    let rules = rules(
        "title: two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 2}}\n\
 ---\ntitle: busy\nname: busy\ncorrelation: {type: event_count, rules: [succeeded], group-by: [user.name], timespan: 1h, condition: {gte: 1000000}}\n",
    );
    let mut engine =
        Engine::new(&rules, Allowlist::default(), &Settings { threads: 1, ..Settings::default() }).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut resolved = 0;
    let mut lines = failures([0, 1]);
    lines.extend((1..2000).map(|n| line(n * 60, "ann", "success")));
    for lines in lines.chunks(10) {
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        resolved += engine.count(None).iter().filter(|t| matches!(t, Transition::Resolved(_))).count();
    }
    assert_eq!(resolved, 1, "33 hours later");
}

#[test]
fn evidence_takes_what_is_accounted() {
    let rules = rules(
        "title: two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 10m, condition: {gte: 2}}\n",
    );
    let long = "\u{1f600}".repeat(200);
    let user = "u".repeat(40_000);
    let lines: Vec<String> = (0..8).map(|n| {
        let at = Timestamp::from_seconds(START + n);
        format!(r#"{{"@timestamp":"{at}","user.name":"{user}","event.outcome":"failure","source.ip":"192.0.2.1","url.original":"{long}","url.domain":"{long}","user_agent.original":"{long}","http.request.referrer":"{long}","event.action":"{long}","event.reason":"{long}","object.type":"{long}","object.id":"{long}"}}"#)
    }).collect();
    let (engine, all, open) = run(&rules, Allowlist::default(), &[&lines]);
    let _ = all;
    let real = serde_json::to_string(&open[0]).unwrap().len();
    let subject = open[0].subject[0].1.len();
    let counted = engine.counts().table.bytes;
    assert!(
        real as u64 <= counted,
        "{real} bytes of text in one alert (subject {subject}), {counted} accounted"
    );
}

#[test]
fn too_large_regex_is_refused() {
    let checked = watchbell::rules::regex::LazyRegex::checked(r"^(\p{L}{100}){50}$");
    assert!(checked.is_err() || checked.unwrap().is_match(&"a".repeat(5000)), "accepted, and never matches");
}

#[test]
fn merge_of_logs_whose_first_times_are_far_in() {
    let dir = tempfile::tempdir().unwrap();
    let junk = "{\"x\":1}\n".repeat(10_000);
    let rules = rules(
        "title: four\nname: four\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 4}}\n",
    );
    let mut a = failures([100, 101]);
    a.extend(failures((1..20).map(|n| n * 1000)));
    let b = failures([102, 103]);
    let count = |junk: &str| {
        let (pa, pb) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&pa, junk.to_owned() + &a.join("\n") + "\n").unwrap();
        std::fs::write(&pb, junk.to_owned() + &b.join("\n") + "\n").unwrap();
        let mut engine =
            Engine::new(&rules, Allowlist::default(), &Settings { threads: 1, ..Settings::default() })
                .unwrap();
        watchbell::replay::replay(
            &mut engine,
            &[pa, pb],
            Some(&Format::Json),
            &Arc::default(),
            &Default::default(),
        )
        .unwrap()
        .alerts
        .len()
    };
    assert_eq!(count(""), 1);
    assert_eq!(count(&junk), 1, "the same events behind lines without a time");
}

#[test]
fn a_burst_is_seen_once() {
    // One address with thirty requests in a row against subjects with two: who goes first?
    use watchbell::windows::table::*;
    struct N;
    impl Memo for N {
        fn holds_subject(&self, _: Timestamp) -> bool {
            false
        }
        fn heap_bytes(&self) -> usize {
            0
        }
    }
    let _ = N;
    let rules = rules(
        "title: many\nname: many\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1h, condition: {gte: 1000}}\n",
    );
    let mut engine = Engine::new(
        &rules,
        Allowlist::default(),
        &Settings { threads: 1, max_window_bytes: 1 << 20, ..Settings::default() },
    )
    .unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut text = String::new();
    let mut push = |l: String| {
        text.push_str(&l);
        text.push('\n');
    };
    for _ in 0..999 {
        push(line(0, "attacker", "failure"));
    }
    for n in 0..40_000 {
        push(line(1, &format!("u{n}"), "failure"));
    }
    for _ in 0..1 {
        push(line(2, "attacker", "failure"));
    }
    engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
    assert_eq!(
        names(&engine.count(None)),
        [("many".to_owned(), 2)],
        "seen a thousand times, against forty thousand seen once"
    );
}

#[test]
fn sum_recovers() {
    let spec = spec(Measure::Sum, 10, 0, 5.0);
    let mut w = watchbell::windows::Window::new(Measure::Sum);
    let mut o = |t, n| w.observe(&spec, Timestamp::from_seconds(t), watchbell::windows::Observed::Number(n));
    o(0, 1e308);
    o(1, 1e308);
    let mut r = o(2, 1.0);
    for t in 3..100 {
        r = o(t, 1.0);
    }
    assert!(r.holds, "{r:?}: eleven ones in ten seconds");
}

#[test]
fn inhibitor_of_the_same_event() {
    let r = |order: [&str; 2]| rules(&order.join("---\n"));
    let fast = "title: fast\nname: fast\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 8}}\n";
    let slow = "title: slow\nname: slow\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 2h, condition: {gte: 8}}\nx-watchbell: {inhibited-by: [fast]}\n";
    let n = |order| names(&run(&r(order), Allowlist::default(), &[&failures(0..10)]).1);
    assert_eq!(n([fast, slow]), n([slow, fast]), "the order of files must not matter");
}

#[test]
fn a_crowd_of_small_alerts_does_not_keep_a_critical_one_from_opening() {
    let rules = rules(
        "title: low\nname: low\nlevel: low\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 1}}\n\
 ---\ntitle: grave\nname: grave\nlevel: critical\ncorrelation: {type: event_count, rules: [succeeded], group-by: [user.name], timespan: 1m, condition: {gte: 1}}\n",
    );
    let crowd: Vec<String> =
        (0..40_000).map(|user| line(user / 1000, &format!("u{user}"), "failure")).collect();
    let grave: Vec<String> = (0..50).map(|user| line(60, &format!("victim{user}"), "success")).collect();
    let (engine, transitions, _) = run(&rules, Allowlist::default(), &[&crowd, &grave]);
    let opened = names(&transitions);
    assert_eq!(opened.iter().filter(|(name, _)| name == "grave").count(), 50);
    let low = opened.iter().filter(|(name, _)| name == "low").count();
    assert!((3_000..=4_096).contains(&low), "{low}");
    let refused: u64 = engine.counts().refused_alerts.iter().sum();
    assert_eq!(refused + low as u64, 40_000, "each is counted");
}

#[test]
fn an_alert_about_someone_never_seen_again_is_resolved() {
    let rules = rules(
        "title: two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, condition: {gte: 2}}\n\
 ---\ntitle: slow\nname: slow\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 12h, condition: {gte: 1000}}\n",
    );
    let attack = failures([0, 1]);
    let later = vec![line(1_200, "bob", "success")];
    let (_, transitions, open) = run(&rules, Allowlist::default(), &[&attack, &later]);
    assert_eq!(open, [], "the slow rule's window is not idle yet, but the episode is over");
    assert!(matches!(transitions.as_slice(), [Transition::Opened(_), Transition::Resolved(_)]));
}

#[test]
fn an_alert_names_the_detections_it_counts() {
    let rules = rules(
        "title: any\nname: any\ncorrelation: {type: event_count, rules: [failed, succeeded], group-by: [user.name], timespan: 1m, condition: {gte: 1}}\n",
    );
    let lines = [line(0, "ann", "failure"), line(1, "ann", "success"), line(2, "ann", "failure")];
    let (_, _, open) = run(&rules, Allowlist::default(), &[&lines]);
    let [alert] = open.as_slice() else { panic!("{open:?}") };
    let matched: Vec<_> =
        alert.evidence.matched.iter().map(|matched| (matched.rule.name.as_str(), matched.events)).collect();
    assert_eq!(matched, [("failed", 2), ("succeeded", 1)]);
}

#[test]
fn other_rules_leave_the_counters_of_unchanged_ones_alone() {
    let two = "title: Two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1h, condition: {gte: 2}}\n";
    let gone = "title: Gone\nname: gone\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1h, condition: {gte: 1}}\n";
    let more = "title: More\nname: more\ncorrelation: {type: event_count, rules: [succeeded], group-by: [user.name], timespan: 1h, condition: {gte: 1}}\n";
    let (old, new) = (rules(&format!("{gone}---\n{two}")), rules(&format!("{more}---\n{two}")));
    let settings = Settings { threads: 1, ..Settings::default() };
    let mut engine = Engine::new(&old, Allowlist::default(), &settings).unwrap();
    let decode = Arc::new(decode::Settings::default());
    let source = engine.add_source("test", "", Arc::clone(&decode));
    let say = |engine: &mut Engine, line: String| {
        engine.read(vec![Chunk { source, text: line, format: Format::Json, received: None }]);
        names(&engine.count(None))
    };
    assert_eq!(say(&mut engine, line(0, "ann", "failure")), [("gone".to_owned(), 0)]);
    let now = Timestamp::from_seconds(START + 5);
    let compiler = engine.compiler();
    let ended = engine.reload(compiler.compile(&new, Allowlist::default(), &settings), &decode, now);
    let [Transition::Resolved(alert)] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((alert.rule.name.as_str(), alert.resolved_at), ("gone", Some(now)));
    assert_eq!(
        say(&mut engine, line(10, "ann", "failure")),
        [("two".to_owned(), 10)],
        "one before, one after"
    );
    assert_eq!(say(&mut engine, line(20, "ann", "success")), [("more".to_owned(), 20)]);
    let changed = rules(&two.replace("gte: 2", "gte: 3"));
    assert_eq!(
        engine.reload(compiler.compile(&changed, Allowlist::default(), &settings), &decode, now).len(),
        2
    );
    assert_eq!(
        say(&mut engine, line(30, "ann", "failure")),
        [],
        "it asks for something else and begins anew"
    );
}

#[test]
fn an_event_without_a_time_happened_when_it_arrived() {
    let rules = rules(
        "title: two\nname: two\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1h, condition: {gte: 2}}\n",
    );
    let mut engine =
        Engine::new(&rules, Allowlist::default(), &Settings { threads: 1, ..Settings::default() }).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let text = "{\"user.name\":\"ann\",\"event.outcome\":\"failure\"}\n".repeat(2);
    let received = Some(Timestamp::from_seconds(START + 7));
    engine.read(vec![Chunk { source, text, format: Format::Json, received }]);
    assert_eq!(names(&engine.count(None)), [("two".to_owned(), 7)]);
    assert_eq!(engine.counts().read.untimed, 0);
}

/// What reading a log counted, and the lines that its alerts name.
fn read_log(text: &[u8]) -> (work::ReadCounts, Vec<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    std::fs::write(&path, text).unwrap();
    let rules = rules(
        "title: x\nname: x\nlogsource: {product: watchbell}\ndetection: {s: {'url.original|contains': '<script>'}, condition: s}\nlevel: low\n",
    );
    let settings = Settings { threads: 1, ..Settings::default() };
    let mut engine = Engine::new(&rules, Allowlist::default(), &settings).unwrap();
    let replayed =
        watchbell::replay::replay(&mut engine, &[path], None, &Arc::default(), &Default::default()).unwrap();
    let lines =
        replayed.alerts.iter().flat_map(|alert| alert.evidence.samples.iter().map(|s| s.line)).collect();
    (engine.counts().read.clone(), lines)
}

#[test]
fn the_start_of_an_endless_line_is_read_and_lines_after_it_are_where_they_are() {
    let line = |n: u32, payload: &str| {
        format!(
            "203.0.113.7 - - [24/Nov/2026:10:00:{n:02} +0000] \"GET /?q={payload} HTTP/1.1\" 200 5 \"-\" \"x\"\n"
        )
    };
    for megabytes in [1, 8] {
        let endless = line(1, &format!("<script>{}", "a".repeat(megabytes << 20)));
        for last in ["", "\n"] {
            let text =
                [line(0, "a"), endless.clone(), line(2, "<script>"), endless.trim_end().to_owned()].concat();
            let (counts, lines) = read_log((text + last).as_bytes());
            assert_eq!((counts.decoded.lines, counts.decoded.events, counts.decoded.truncated), (4, 4, 2));
            assert_eq!(lines, [2, 3, 4], "{megabytes} MB");
        }
    }
}

#[test]
fn rules_for_proxies_find_the_full_url_in_the_log_of_a_reverse_proxy() {
    for (test, head, is_found) in [
        ("c-uri|endswith: /mgmt/tm/util/bash", "", true),
        ("c-uri: /mgmt/tm/util/bash", "f5.example ", true),
        ("c-uri|contains: .example/mgmt/", "f5.example ", true),
        ("c-uri|startswith: 'http://f5.'", "f5.example ", true),
        ("c-uri|re: '^https?://'", "", false),
        ("c-uri: null", "", false),
    ] {
        let rules = rules(&format!(
            "title: x\nname: x\nlogsource: {{category: webserver}}\ndetection: {{s: {{{test}}}, condition: s}}\nlevel: low\n"
        ));
        let mut engine =
            Engine::new(&rules, Allowlist::default(), &Settings { threads: 1, ..Settings::default() })
                .unwrap();
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        let text = format!(
            "{head}203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"POST /mgmt/tm/util/bash HTTP/1.1\" 404 5 \"-\" \"x\"\n"
        );
        engine.read(vec![Chunk { source, text, format: Format::Combined, received: None }]);
        assert_eq!(engine.counts().matches[2] == 1, is_found, "{test}, {head}");
    }
}
