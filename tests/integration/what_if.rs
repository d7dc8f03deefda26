//! What other thresholds would have said is what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use watchbell::allowlist::{Allowlist, EntryConfig};
use watchbell::decode::{self, Format};
use watchbell::engine::what_if::{FACTORS, WhatIf, threshold_of};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::generate::Kind;
use watchbell::replay::replay;
use watchbell::rules::{Body, RuleSet};

use crate::engine::{START, line, line_from, rules, traffic};

/// The rules, one of them with another threshold.
fn with_threshold(rules: &RuleSet, name: &str, threshold: f64) -> RuleSet {
    let mut rules = rules.clone();
    let rule = rules.rules.iter_mut().find(|rule| rule.name.as_deref() == Some(name)).unwrap();
    let Body::Correlation(linked) = &mut rule.body else { panic!("{name} counts nothing") };
    let asked =
        linked.correlation.condition.iter_mut().find(|(comparison, _)| comparison.sign().starts_with('>'));
    asked.unwrap().1 = threshold;
    rules
}

fn engine_of(rules: &RuleSet, allowlist: &Allowlist, what_if: WhatIf) -> Engine {
    let settings = Settings { threads: 2, what_if, ..Settings::default() };
    Engine::new(rules, allowlist.clone(), &settings).unwrap()
}

/// How many alerts of a rule a replay opens.
fn replayed(engine: &mut Engine, paths: &[PathBuf], name: &str) -> u64 {
    let settings = Arc::new(decode::Settings::default());
    let alerts = replay(engine, paths, None, &settings, &Arc::default()).unwrap().alerts;
    alerts.iter().filter(|alert| alert.rule.name == name).count() as u64
}

#[test]
fn what_a_replay_would_have_found_is_what_it_finds_with_that_threshold() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = [
        Kind::BruteForceByAddress,
        Kind::BruteForceByAccount,
        Kind::PasswordSpray,
        Kind::SensitiveFileProbing,
        Kind::NotFoundScan,
        Kind::MassExportByBytes,
    ];
    let paths = traffic(directory.path(), 5_000, &kinds);
    let rules = RuleSet::load(true, &[]).unwrap();
    let chosen: BTreeMap<String, Vec<f64>> = [
        ("brute_force_by_address", vec![3.0, 7.0, 10.0, 14.0, 25.0, 60.0]),
        // Inhibited by the one above.
        ("slow_brute_force_by_address", vec![4.0, 30.0, 200.0]),
        ("brute_force_by_account", vec![3.0, 12.0]),
        ("sensitive_file_probing", vec![1.0, 4.0, 20.0]),
        // Distinct values.
        ("password_spraying", vec![2.0, 12.0]),
        ("not_found_scan", vec![5.0, 40.0]),
        // A sum.
        ("bulk_data_transfer", vec![1e6, 1e9]),
    ]
    .map(|(name, thresholds)| (name.to_owned(), thresholds))
    .into();
    let allowlist = Allowlist::default();
    let mut engine = engine_of(&rules, &allowlist, WhatIf::Chosen(chosen.clone()));
    replayed(&mut engine, &paths, "");
    let would: BTreeMap<&str, Vec<(f64, u64)>> = engine
        .would_fire(None)
        .into_iter()
        .map(|would| (engine.shared().rules[would.rule].name.name.as_str(), would.alerts))
        .collect();
    assert_eq!(would.keys().collect::<Vec<_>>(), chosen.keys().collect::<Vec<_>>());
    assert_eq!(engine.untried(), 0);
    let mut differing = 0;
    for (name, alerts) in would {
        for &(threshold, count) in &alerts {
            let changed = with_threshold(&rules, name, threshold);
            let found = replayed(&mut engine_of(&changed, &allowlist, WhatIf::Nothing), &paths, name);
            assert_eq!(count, found, "{name} at {threshold}");
        }
        differing +=
            usize::from(alerts.first().map(|(_, count)| count) != alerts.last().map(|(_, count)| count));
    }
    assert!(differing >= 5, "thresholds must make a difference");
}

/// How many alerts open when lines are counted in pieces.
fn opened(engine: &mut Engine, pieces: &[&[String]]) -> u64 {
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut count = 0;
    let mut take = |transitions: Vec<Transition>| {
        count += transitions.iter().filter(|transition| matches!(transition, Transition::Opened(_))).count();
    };
    for piece in pieces {
        let text = piece.iter().map(|line| format!("{line}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        take(engine.count(None));
    }
    take(engine.finish().0);
    count as u64
}

fn counting(kind: &str) -> RuleSet {
    let (kind, field) = match kind {
        "value_count" => (kind, "field: source.ip, "),
        "value_sum" => (kind, "field: size, "),
        kind => (kind, ""),
    };
    rules(&format!(
        "title: many\nname: many\ncorrelation: {{type: {kind}, rules: [failed], group-by: [user.name], timespan: 1m, \
         condition: {{{field}gte: 3}}}}\n"
    ))
}

#[test]
fn of_a_late_line_each_threshold_holds_in_the_windows_where_it_does() {
    let rules = counting("event_count");
    // At 26 five are in the window that ends there, and three in the one that ends at 85: only for three is it seen then.
    let times = [0, 10, 20, 25, 85, 26, 940, 941, 942, 943, 944];
    let lines: Vec<String> = times.map(|at| line(at, "ann", "failure")).into();
    let chosen = WhatIf::Chosen([("many".to_owned(), vec![3.0, 5.0])].into());
    let mut engine = engine_of(&rules, &Allowlist::default(), chosen);
    opened(&mut engine, &[&lines]);
    assert_eq!(engine.would_fire(None)[0].alerts, [(3.0, 1), (5.0, 2)]);
    for (threshold, count) in [(3.0, 1), (5.0, 2)] {
        let mut other =
            engine_of(&with_threshold(&rules, "many", threshold), &Allowlist::default(), WhatIf::Nothing);
        assert_eq!(opened(&mut other, &[&lines]), count, "at {threshold}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Late lines and long pauses included, whatever is counted, and wherever the log is cut.
    #[test]
    fn every_threshold_agrees_with_an_engine_that_has_it(
        kind in prop::sample::select(vec!["event_count", "value_count", "value_sum"]),
        steps in prop::collection::vec((prop::sample::select(vec![0, 1, 2, 5, 20, 55, 860, 880, 900, 920, 1000]), -90..90_i64, 0..3_u8, 0..2_u8), 20..120),
        cut in 1..40_usize,
        is_allowed in any::<bool>(),
    ) {
        let rules = counting(kind);
        let mut clock = 0;
        let lines: Vec<String> = steps.iter().map(|(step, late, address, user)| {
            clock += step;
            let at = if *late < 0 && late % 3 == 0 { (clock + late).max(0) } else { clock };
            let line = line_from(at, ["ann", "bob"][usize::from(*user)], "failure", &format!("192.0.2.{address}"));
            line.replacen('{', &format!("{{\"size\":{},", address + 1), 1)
        }).collect();
        let pieces: Vec<&[String]> = lines.chunks(cut).collect();
        let entry: EntryConfig = toml::from_str("users = ['bob']\nrules = ['many']\nreason = 'a test'\n").unwrap();
        let allowlist = if is_allowed { Allowlist::new(&[entry]).unwrap() } else { Allowlist::default() };
        let thresholds = vec![1.0, 2.0, 3.0, 4.0, 6.0, 9.0];
        let chosen = WhatIf::Chosen([("many".to_owned(), thresholds.clone())].into());
        let mut engine = engine_of(&rules, &allowlist, chosen);
        opened(&mut engine, &pieces);
        let would = engine.would_fire(None).remove(0).alerts;
        for (threshold, count) in would {
            let mut other = engine_of(&with_threshold(&rules, "many", threshold), &allowlist, WhatIf::Nothing);
            prop_assert_eq!(count, opened(&mut other, &pieces), "at {}: {:#?}", threshold, &lines);
        }
    }
}

#[test]
fn the_ladder_counts_a_day_and_goes_on_through_reloads() {
    let rules = rules(
        "title: many\nname: many\ncorrelation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 1m, \
         condition: {gte: 4}}\n---\ntitle: one\nname: one\ncorrelation: {type: event_count, rules: [failed], group-by: \
         [user.name], timespan: 1m, condition: {gte: 1}}\n",
    );
    assert_eq!(rules.rules.last().map(threshold_of), Some(Some(1.0)));
    let mut engine = engine_of(&rules, &Allowlist::default(), WhatIf::Ladder);
    let day = 24 * 3600;
    let burst = |at: i64, user: &str, count: i64| {
        (0..count).map(|n| line(at + n, user, "failure")).collect::<Vec<_>>()
    };
    let lines = [burst(0, "ann", 3), burst(10_000, "bob", 6), burst(day - 100, "eve", 8)].concat();
    opened(&mut engine, &[&lines]);
    let in_a_day = |engine: &Engine, at: i64| -> Vec<u64> {
        let would = engine.would_fire(Some(Timestamp::from_seconds(START + at)));
        assert_eq!(would.len(), 1, "a rule that asks for one has nothing to be tried");
        assert_eq!(
            would[0].alerts.iter().map(|(threshold, _)| *threshold).collect::<Vec<_>>(),
            [2.0, 3.0, 4.0, 6.0, 8.0, 12.0]
        );
        would[0].alerts.iter().map(|(_, count)| *count).collect()
    };
    assert_eq!(FACTORS.len(), 6);
    assert_eq!(in_a_day(&engine, day - 50), [3, 3, 2, 2, 1, 0]);
    let settings = Settings { what_if: WhatIf::Ladder, ..Settings::default() };
    let compiled = engine.compiler().compile(&rules, Allowlist::default(), &settings);
    engine.reload(compiled, &Arc::default(), Timestamp::from_seconds(START + day));
    assert_eq!(in_a_day(&engine, day + 15_000), [1, 1, 1, 1, 1, 0]);
    assert_eq!(in_a_day(&engine, 3 * day), [0; 6]);
}
