//! What learns for days goes on where it was after a restart, although the journal is read back over hours.

use std::sync::Arc;
use std::time::Duration;

use watchbell::allowlist::Allowlist;
use watchbell::decode::{self, Format};
use watchbell::engine::memory::MemoryError;
use watchbell::engine::recovery::KnownAlert;
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::Timestamp;
use watchbell::rules::RuleSet;

use crate::engine::START;

const RULES: &str = "
title: login
name: login
logsource: {product: watchbell}
detection: {s: {event.action: login}, condition: s}
x-watchbell: {reported: false}
---
title: new device
name: new_device
level: low
first_seen: {rules: [login], group-by: [user.name], field: device, learn: 2d, forget: 30d}
---
title: impossible
name: impossible
level: medium
impossible_travel: {rules: [login], group-by: [user.name], timespan: 7d}
---
title: unusual
name: unusual
level: high
correlation: {type: event_count, rules: [login], group-by: [user.name], timespan: 7d, condition: {gte: 1}}
x-watchbell:
    baseline: {tick: 1m, direction: both, season: none, min_excess: 3}
---
title: many
name: many
level: high
correlation: {type: event_count, rules: [login], group-by: [user.name], timespan: 5m, condition: {gte: 200}}
";

struct Running {
    engine: Engine,
    source: usize,
}

impl Running {
    fn start(rules: &RuleSet) -> Self {
        let settings = Settings { threads: 1, ..Settings::default() };
        let mut engine = Engine::new(rules, Allowlist::default(), &settings).unwrap();
        let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
        Self { engine, source }
    }

    fn count(&mut self, lines: &[String]) -> Vec<Transition> {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        self.engine.read(vec![Chunk { source: self.source, text, format: Format::Json, received: None }]);
        self.engine.count(None)
    }
}

fn rules(text: &str) -> RuleSet {
    let set = RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]);
    assert_eq!(set.errors, []);
    set
}

fn login(at: i64, device: &str, latitude: f64) -> String {
    login_of("ann", at, device, latitude)
}

fn login_of(user: &str, at: i64, device: &str, latitude: f64) -> String {
    let time = Timestamp::from_seconds(START + at);
    format!(
        r#"{{"@timestamp":"{time}","event.action":"login","user.name":"{user}","device":"{device}","source.ip":"198.51.100.{}","source.geo.location.lat":{latitude},"source.geo.location.lon":8.5}}"#,
        at % 200
    )
}

/// Some logins in each minute of three days, and what each block of an hour has of them; of most people some now and then.
fn days() -> Vec<Vec<String>> {
    let minute = |minute: i64| {
        let count = 5 + minute * 7_919 % 3;
        let one = (minute % 10 == 0).then_some(minute * 60 + 55).into_iter();
        let others =
            one.flat_map(|at| (0..8).map(move |user| login_of(&format!("u{user}"), at, "phone", 47.4)));
        (0..count).map(move |event| login(minute * 60 + event * 50 / count, "phone", 47.4)).chain(others)
    };
    (0..72).map(|hour| (hour * 60..(hour + 1) * 60).flat_map(minute).collect()).collect()
}

fn told(transitions: &[Transition]) -> Vec<(String, bool)> {
    let told = transitions.iter().map(|transition| match transition {
        Transition::Opened(alert) => (alert.rule.name.clone(), true),
        Transition::Escalated(alert, _) | Transition::Resolved(alert) => (alert.rule.name.clone(), false),
    });
    told.collect()
}

#[test]
fn what_learns_goes_on_where_it_was_and_counts_nothing_twice() {
    let rules = rules(RULES);
    let blocks = days();
    let mut first = Running::start(&rules);
    for block in &blocks {
        assert_eq!(first.count(block), []);
    }
    // In the last hour what was learned is written down two hours before the end, of half of the parts later.
    let mut again = Running::start(&rules);
    let mut half = Running::start(&rules);
    blocks[..70].iter().for_each(|block| drop(half.count(block)));
    let mut parts = 0;
    for part in 0..Engine::MEMORY_PARTS {
        let (running, block) = if part % 2 == 0 { (&half, 70) } else { (&first, 72) };
        if let Some(bytes) = running.engine.memory(part) {
            assert!(again.engine.remember(part as u64, block, &bytes).unwrap() > 0);
            parts += 1;
        }
    }
    assert!(parts > 4, "{parts} parts");
    again.engine.recover(Vec::new());
    for (number, block) in (1..).zip(&blocks).skip(66) {
        again.engine.counting_block(Some(number));
        assert_eq!(again.count(block), []);
    }
    again.engine.counting_block(None);
    let end = 72 * 3600;
    let now = Timestamp::from_seconds(START + end - 60);
    again.engine.recovered(now);
    assert_eq!(first.engine.advance_to(now), []);
    // Each part is what it would be without a break.
    for part in 0..Engine::MEMORY_PARTS {
        assert_eq!(again.engine.memory(part), first.engine.memory(part), "part {part}");
    }
    // And finds the same: another device at once, far away, and many logins.
    let spike: Vec<String> = (0..400).map(|event| login(end + 60 + event / 10, "phone", 47.4)).collect();
    let far = [login(end + 120, "other", -33.9)];
    for running in [&mut first, &mut again] {
        let mut all = running.count(&spike);
        all.extend(running.count(&far));
        let mut names: Vec<String> = told(&all).into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["impossible", "many", "new_device", "unusual"]);
    }
}

#[test]
fn a_time_in_which_nobody_watched_is_no_silence() {
    let rules = rules(RULES);
    let blocks = days();
    let mut first = Running::start(&rules);
    blocks.iter().for_each(|block| drop(first.count(block)));
    let end = 72 * 3600;
    let silent = Timestamp::from_seconds(START + end + 3600);
    for is_watched in [true, false] {
        let mut again = Running::start(&rules);
        for part in 0..Engine::MEMORY_PARTS {
            if let Some(bytes) = first.engine.memory(part) {
                again.engine.remember(part as u64, 1, &bytes).unwrap();
            }
        }
        if !is_watched {
            again.engine.resume(silent.before(Duration::from_secs(5)));
        }
        let told = told(&again.engine.advance_to(silent));
        let expected = is_watched.then(|| ("unusual".to_owned(), true));
        assert_eq!(told.first(), expected.as_ref(), "{told:?}");
    }
}

#[test]
fn an_alert_of_something_learned_stays_the_same_after_a_restart() {
    let rules = rules(RULES);
    let blocks = days();
    let mut first = Running::start(&rules);
    blocks.iter().for_each(|block| drop(first.count(block)));
    let end = 72 * 3600;
    let opened = first.count(&[login(end + 10, "other", 47.4)]);
    let [Transition::Opened(alert)] = opened.as_slice() else { panic!("{opened:?}") };
    let known = KnownAlert::parse(&serde_json::to_string(alert).unwrap()).unwrap();
    let mut again = Running::start(&rules);
    for part in 0..Engine::MEMORY_PARTS {
        if let Some(bytes) = first.engine.memory(part) {
            again.engine.remember(part as u64, 72, &bytes).unwrap();
        }
    }
    again.engine.recover(vec![known]);
    let recovered = again.engine.recovered(Timestamp::from_seconds(START + end + 60));
    assert_eq!(recovered.over, []);
    assert_eq!(recovered.absent.len(), 1, "it stays open");
    assert_eq!(again.count(&[login(end + 70, "other", 47.4)]), [], "it is known now");
    let over = again.engine.advance_to(Timestamp::from_seconds(START + end + 30 * 86_400));
    let ids: Vec<&str> = over
        .iter()
        .filter_map(|transition| match transition {
            Transition::Resolved(alert) if alert.rule.name == "new_device" => Some(alert.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [alert.id.as_str()]);
}

#[test]
fn what_is_not_a_memory_is_refused_and_other_rules_begin_anew() {
    let mut first = Running::start(&rules(RULES));
    first.count(&days()[0]);
    let (part, bytes) =
        (0..Engine::MEMORY_PARTS).find_map(|part| Some((part as u64, first.engine.memory(part)?))).unwrap();
    let other = rules(&RULES.replace("learn: 2d", "learn: 3d").replace("timespan: 7d}", "timespan: 8d}"));
    let mut again = Running::start(&other);
    assert_eq!(again.engine.remember(part, 1, &bytes), Ok(1), "the baseline alone is the same");
    assert_eq!(again.engine.remember(64, 1, &bytes), Err(MemoryError::Part(64)));
    assert_eq!(again.engine.remember(part, 1, &[]), Err(MemoryError::Version));
    assert_eq!(again.engine.remember(part, 1, &[9, 1, 2]), Err(MemoryError::Version));
    for end in 1..bytes.len() {
        let cut = again.engine.remember(part, 1, &bytes[..end]);
        assert!(matches!(cut, Err(MemoryError::Malformed(_))), "{end}: {cut:?}");
    }
    // Any bytes are read without a panic.
    for at in 1..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        let _ = again.engine.remember(part, 1, &changed);
    }
}
