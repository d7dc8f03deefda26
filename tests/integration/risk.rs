//! What alerts about one entity add up to.

use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::rules::RuleSet;

use crate::engine::START;

pub fn risk_rules() -> RuleSet {
    let detection = |name: &str, level: &str, extra: &str| {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{product: watchbell}}\nlevel: {level}\n\
             detection: {{s: {{event.action: {name}}}, condition: s}}\n\
             x-watchbell: {{group-by: [user.name]{extra}}}\n---\n"
        )
    };
    let text = [
        detection("high", "high", ""),
        detection("medium", "medium", ""),
        detection("heavy", "low", ", risk: 30"),
        detection("none", "critical", ", risk: 0"),
        detection("quiet", "high", ", inhibited-by: high"),
        "title: risk\nname: risk\nlevel: high\n\
         entity_risk: {entities: [user.name, source.ip], half_life: 1h, threshold: 100, \
         scores: {medium: 20, high: 50, critical: 80}}\n"
            .to_owned(),
    ];
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.concat(), false)]);
    assert_eq!((set.errors.as_slice(), set.warnings.as_slice()), (&[][..], &[][..]));
    set
}

fn line(at: i64, action: &str, user: &str) -> String {
    let at = Timestamp::from_seconds(START + at);
    format!(
        r#"{{"@timestamp":"{at}","event.action":"{action}","user.name":"{user}","source.ip":"192.0.2.1"}}"#
    )
}

pub fn risk_lines() -> Vec<String> {
    vec![
        line(0, "high", "ann"),
        // The same episodes, and what adds nothing.
        line(10, "high", "ann"),
        line(20, "quiet", "ann"),
        line(30, "none", "ann"),
        line(40, "heavy", "ann"),
        line(50, "heavy", "ann"),
        line(100, "medium", "ann"),
        line(110, "none", "bob"),
        // The address has more than a hundred now, and none of the accounts.
        line(120, "high", "bob"),
        line(130, "medium", "bob"),
        // Nothing is left of it two days later.
        line(200_000, "high", "bob"),
        line(200_100, "heavy", "bob"),
    ]
}

fn found(lines: &[String], piece: usize, threads: usize) -> Vec<Alert> {
    let settings = Settings { threads, ..Settings::default() };
    let mut engine = Engine::new(&risk_rules(), Allowlist::default(), &settings).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut told = Vec::new();
    for lines in lines.chunks(piece) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        told.extend(engine.count(None));
    }
    let (more, open) = engine.finish();
    told.extend(more);
    let ended = told.into_iter().filter_map(|transition| match transition {
        Transition::Resolved(alert) => Some(alert),
        _ => None,
    });
    ended.chain(open).filter(|alert| alert.rule.name == "risk").collect()
}

#[test]
fn alerts_about_one_entity_add_up_to_an_incident_that_lists_them() {
    let alerts = found(&risk_lines(), usize::MAX, 1);
    let [alert] = alerts.as_slice() else { panic!("one, not {alerts:#?}") };
    assert_eq!(alert.subject, [("source.ip".to_owned(), "192.0.2.1".to_owned())]);
    let seconds = |at: Timestamp| at.as_micros() / 1_000_000 - START;
    assert_eq!((seconds(alert.opened_at), seconds(alert.last_seen_at)), (120, 130));
    let contributions: Vec<(&str, f64, i64)> = alert
        .evidence
        .contributions
        .iter()
        .map(|part| (part.rule.name.as_str(), part.score, seconds(part.at)))
        .collect();
    let expected = [
        ("high", 50.0, 0),
        ("heavy", 30.0, 40),
        ("medium", 20.0, 100),
        ("high", 50.0, 120),
        ("medium", 20.0, 130),
    ];
    assert_eq!(contributions, expected);
    assert!((alert.observed - 167.2).abs() < 1.5, "{}", alert.observed);
}

#[test]
fn threads_cuts_and_the_order_of_arrival_change_nothing() {
    let lines = risk_lines();
    let whole = found(&lines, usize::MAX, 1);
    for (piece, threads) in [(1, 1), (3, 4), (5, 2), (usize::MAX, 4)] {
        assert_eq!(found(&lines, piece, threads), whole, "{piece} {threads}");
    }
    for first in 1..9 {
        let mut late = lines.clone();
        late.swap(first - 1, first);
        let found = found(&late, 1, 1);
        let of = |alerts: &[Alert]| -> Vec<_> {
            alerts.iter().map(|alert| (alert.id.clone(), alert.last_seen_at)).collect()
        };
        assert_eq!(of(&found), of(&whole), "line {first} before the one before it");
    }
}
