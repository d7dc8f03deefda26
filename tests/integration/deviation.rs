//! Rules with a baseline: spikes and silences, out of lines.

use std::fmt::Write;
use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode::{self, Format};
use watchbell::engine::deviation::BaselineCounts;
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::rules::RuleSet;
use watchbell::rules::baseline::Side;

use crate::engine::START;

const RULES: &str = "
title: sent
name: sent
logsource: {product: watchbell}
detection: {s: {event.action: sent}, condition: s}
x-watchbell: {reported: false}
---
title: unusual
name: unusual
level: high
correlation: {type: event_count, rules: [sent], group-by: [number], timespan: 7d, condition: {gte: 1}}
x-watchbell:
    baseline: {tick: 1m, direction: both, season: none}
";

fn rules() -> RuleSet {
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), RULES.to_owned(), false)]);
    assert_eq!(set.errors, []);
    set
}

fn engine(rules: &RuleSet, threads: usize) -> (Engine, usize) {
    let settings = Settings { threads, ..Settings::default() };
    let mut engine = Engine::new(rules, Allowlist::default(), &settings).unwrap();
    let source = engine.add_source("test", "shop", Arc::new(decode::Settings::default()));
    (engine, source)
}

fn line(milliseconds: i64, number: &str) -> String {
    let at = Timestamp::from_micros(START * 1_000_000 + milliseconds * 1_000);
    format!(r#"{{"@timestamp":"{at}","event.action":"sent","number":"{number}"}}"#)
}

/// Milliseconds at which about so many events a minute happen, over minutes.
fn times(minutes: std::ops::Range<i64>, events: i64) -> Vec<i64> {
    let in_minute = |minute: i64| {
        let count = events + minute * 7_919 % 7 - 3;
        (0..count).map(move |event| minute * 60_000 + event * 59_000 / count)
    };
    minutes.flat_map(in_minute).collect()
}

/// Lines of several numbers, in the order of time.
fn lines(of: &[(&str, Vec<i64>)]) -> Vec<String> {
    let mut all: Vec<(i64, &str)> =
        of.iter().flat_map(|(number, times)| times.iter().map(move |at| (*at, *number))).collect();
    all.sort_unstable();
    all.into_iter().map(|(at, number)| line(at, number)).collect()
}

fn count(engine: &mut Engine, source: usize, lines: &[String]) -> Vec<Transition> {
    let text = lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    });
    engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
    engine.count(None)
}

/// All alerts as they were at the end, of lines that come in pieces.
fn alerts(lines: &[String], piece: usize, threads: usize) -> Vec<Alert> {
    let (mut engine, source) = engine(&rules(), threads);
    let mut transitions = Vec::new();
    for lines in lines.chunks(piece) {
        transitions.extend(count(&mut engine, source, lines));
    }
    let (more, open) = engine.finish();
    transitions.extend(more);
    let over = transitions.into_iter().filter_map(|transition| match transition {
        Transition::Resolved(alert) => Some(alert),
        Transition::Opened(_) | Transition::Escalated(..) => None,
    });
    let mut alerts: Vec<Alert> = over.chain(open).collect();
    alerts.sort_by(|left, right| (left.opened_at, &left.id).cmp(&(right.opened_at, &right.id)));
    alerts
}

fn minute(at: Timestamp) -> i64 {
    (at.as_micros() / 1_000_000 - START).div_euclid(60)
}

#[test]
fn a_spike_is_one_alert_that_says_what_was_expected() {
    let spike = [times(0..150, 20), times(150..152, 300), times(152..220, 20)].concat();
    let found = alerts(&lines(&[("4711", spike), ("4712", times(0..220, 50))]), usize::MAX, 1);
    assert_eq!(found.len(), 1, "{found:?}");
    let alert = &found[0];
    assert_eq!((alert.subject[0].1.as_str(), alert.tenant.as_str()), ("4711", "shop"));
    assert_eq!(minute(alert.opened_at), 150, "while the minute goes on");
    assert_eq!(minute(alert.last_seen_at), 152, "the end of the last such minute");
    assert_eq!(alert.resolved_at.map(minute), Some(167), "fifteen minutes were ordinary");
    let deviation = alert.evidence.deviation.as_deref().unwrap();
    assert_eq!(alert.observed, deviation.observed);
    assert!((297.0..=303.0).contains(&alert.observed), "the whole minute: {deviation:?}");
    assert!((18.0..=22.0).contains(&deviation.expected) && deviation.bits > 16.0, "{deviation:?}");
    assert_eq!(
        (deviation.direction, minute(deviation.since), deviation.tick.as_str()),
        (Side::Above, 150, "1m")
    );
    assert_eq!(alert.condition.text, "events in 1m off what is usual by >= 10 and 16 bits");
    assert!(!alert.evidence.samples.is_empty() && alert.evidence.findings >= 2);
    let json = serde_json::to_value(alert).unwrap();
    assert_eq!(json["evidence"]["deviation"]["direction"], "above");
    assert_eq!(json["condition"]["type"], "baseline");
}

#[test]
fn a_feed_that_falls_quiet_is_found_although_there_is_no_event() {
    let quiet = times(0..150, 40);
    let found = alerts(&lines(&[("4711", quiet.clone()), ("4712", times(0..200, 50))]), usize::MAX, 1);
    assert_eq!(found.len(), 1, "{found:?}");
    let (alert, deviation) = (&found[0], found[0].evidence.deviation.as_deref().unwrap());
    assert_eq!(
        (alert.subject[0].1.as_str(), alert.observed, deviation.direction),
        ("4711", 0.0, Side::Below)
    );
    assert_eq!((minute(alert.opened_at), minute(deviation.since)), (151, 150));
    assert!(alert.evidence.samples.is_empty());

    let (mut engine, source) = engine(&rules(), 1);
    assert_eq!(count(&mut engine, source, &lines(&[("4711", quiet)])), []);
    let after = |minutes: i64| Timestamp::from_seconds(START + minutes * 60);
    assert_eq!(engine.advance_to(after(150)), [], "the last minute was as the others");
    let opened = engine.advance_to(after(151));
    assert!(matches!(&opened[..], [Transition::Opened(again)] if again.id == alert.id), "{opened:?}");
    assert_eq!(engine.open_alerts().len(), 1);
    assert_eq!(engine.advance_to(after(151)), [], "once");
    let over = (152..2_000).flat_map(|minutes| engine.advance_to(after(minutes))).collect::<Vec<_>>();
    assert!(matches!(&over[..], [Transition::Resolved(_)]), "silence becomes what is usual: {over:?}");
    assert_eq!(engine.open_alerts(), []);
}

#[test]
fn neither_where_lines_are_cut_nor_how_many_threads_matters() {
    let mut of: Vec<(String, Vec<i64>)> = Vec::new();
    for number in 0..12_i64 {
        let usual = 6 + number * 3;
        let spike = 120 + number * 9;
        let mut all = times(0..spike, usual);
        all.extend(times(spike..spike + 1 + number % 3, usual * 9));
        if number % 4 != 0 {
            all.extend(times(spike + 4..260, usual));
        }
        of.push((format!("n{number}"), all));
    }
    let of: Vec<(&str, Vec<i64>)> =
        of.iter().map(|(number, times)| (number.as_str(), times.clone())).collect();
    let mut lines = lines(&of);
    // Out of order, within the lateness.
    for place in (0..lines.len().saturating_sub(40)).step_by(37) {
        lines.swap(place, place + 31);
    }
    let whole = alerts(&lines, usize::MAX, 1);
    assert!(whole.len() >= 12, "{}", whole.len());
    for (piece, threads) in [(usize::MAX, 2), (97, 1), (1_777, 2)] {
        assert_eq!(
            alerts(&lines, piece, threads),
            whole,
            "in pieces of {piece} lines, with {threads} threads"
        );
    }
}

#[test]
fn what_is_usual_is_known_after_other_rules_are_taken() {
    let (mut engine, source) = engine(&rules(), 1);
    assert_eq!(count(&mut engine, source, &lines(&[("4711", times(0..150, 20))])), []);
    let text = format!(
        "title: other\nname: other\nlogsource: {{product: watchbell}}\ndetection: {{s: {{a: b}}, condition: s}}\n---{RULES}"
    );
    let changed = RuleSet::from_texts(&[("r.yml".to_owned(), text, false)]);
    let compiled = engine.compiler().compile(&changed, Allowlist::default(), &Settings::default());
    let decode = Arc::new(decode::Settings::default());
    assert_eq!(engine.reload(compiled, &decode, Timestamp::from_seconds(START)), []);
    let opened = count(&mut engine, source, &lines(&[("4711", times(150..151, 300))]));
    assert!(matches!(&opened[..], [Transition::Opened(_)]), "{opened:?}");
    assert_eq!(engine.advance_to(Timestamp::from_seconds(START + 151 * 60 + 30)), []);
    let over = engine.advance_to(Timestamp::from_seconds(START + 200 * 60));
    // A spike, and then a silence: one episode of what is unusual, until that is usual.
    assert!(over.len() <= 1, "{over:?}");
}

#[test]
fn nothing_is_paged_while_a_subject_is_new() {
    let new = [times(0..50, 20), times(50..52, 300), times(52..90, 20)].concat();
    assert_eq!(alerts(&lines(&[("4711", new)]), usize::MAX, 1), []);
}

#[test]
fn a_planned_spike_is_none_and_is_not_learnt() {
    let quiet = |until: i64| times(0..until, 20);
    // The same spike twice, and silence between.
    let spike = |minute: i64| (0..300).map(move |event| minute * 60_000 + event * 190);
    let mut at = quiet(400);
    at.extend((200..210).flat_map(spike));
    at.extend(spike(300));
    at.retain(|at| !(205 * 60_000..206 * 60_000).contains(at));
    at.sort_unstable();
    let lines = lines(&[("1065", at)]);
    let time = |minute: i64| Timestamp::from_seconds(START + minute * 60);
    let campaign = format!(
        "name = 'sale'\nstarts_at = '{}'\nends_at = '{}'\nsubjects = {{ number = ['106?'] }}\n",
        time(199),
        time(250)
    );
    let campaign: watchbell::campaign::CampaignConfig = toml::from_str(&campaign).unwrap();
    let found = |campaigns: &[watchbell::campaign::CampaignConfig]| -> Vec<(i64, Side)> {
        let campaigns = watchbell::campaign::Campaigns::new(campaigns).unwrap();
        let settings = Settings { threads: 1, campaigns, ..Settings::default() };
        let mut engine = Engine::new(&rules(), Allowlist::default(), &settings).unwrap();
        let source = engine.add_source("test", "shop", Arc::new(decode::Settings::default()));
        let told = count(&mut engine, source, &lines);
        told.iter()
            .filter_map(|transition| match transition {
                Transition::Opened(alert) => {
                    let deviation = alert.evidence.deviation.as_ref().unwrap();
                    let minute = (deviation.at.as_micros() / 1_000_000 - START) / 60;
                    Some((minute, deviation.direction))
                }
                Transition::Resolved(_) | Transition::Escalated(..) => None,
            })
            .collect()
    };
    let unplanned = found(&[]);
    assert_eq!(unplanned.first(), Some(&(200, Side::Above)), "{unplanned:?}");
    assert_eq!(found(&[campaign]), [(205, Side::Below), (300, Side::Above)]);
}

#[test]
fn it_can_be_seen_what_is_still_being_learnt() {
    let (mut engine, source) = engine(&rules(), 1);
    count(&mut engine, source, &lines(&[("4711", times(0..150, 20)), ("4712", times(120..150, 50))]));
    assert_eq!(engine.baseline_counts(), BaselineCounts { warming: 1, known: 1 });
}

#[test]
fn the_time_between_two_runs_is_no_silence() {
    let (mut engine, source) = engine(&rules(), 1);
    engine.recover(Vec::new());
    count(&mut engine, source, &lines(&[("4711", times(0..150, 40))]));
    let after = |minutes: i64| Timestamp::from_seconds(START + minutes * 60);
    engine.recovered(after(149));
    engine.resume(after(400));
    assert_eq!(engine.advance_to(after(401)), []);
    assert_eq!(count(&mut engine, source, &lines(&[("4711", times(401..420, 40))])), []);
    assert_eq!(engine.advance_to(after(420)), []);
    let silence = engine.advance_to(after(422));
    assert!(matches!(&silence[..], [Transition::Opened(_)]), "and then it is one: {silence:?}");
}
