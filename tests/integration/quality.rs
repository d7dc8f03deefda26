//! What the rules that are built in find in made-up traffic, and whom they page for nothing.
//!
//! Attacks and innocents are staged in ordinary traffic, with labels. Every attack must open an alert that pages
//! somebody and names the attacker or the account attacked; nobody else may be named by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode;
use watchbell::engine::{Engine, Settings};
use watchbell::generate::{self, Config, Kind, Outputs, Speed, Staging, Subject};
use watchbell::replay::replay;
use watchbell::rules::{RuleSet, Severity};
use watchbell::score;
use watchbell::score::found::Found;
use watchbell::score::label::{self, Label};
use watchbell::score::report::FalseAlarm;
use watchbell::score::who::Partners;

/// Ordinary lines enough for people to do what people do, few enough for a build without optimisation.
const LINES: u64 = 60_000;
/// Alerts that may page somebody for one attack by one address or on one account; of one that many addresses share, so
/// many different rules.
const MOST_ALERTS: usize = 4;
/// Alerts of a severity above medium for an address that tries everything there is: they tell of what succeeded.
const MOST_SUCCESSES: usize = 3;

/// What a scanner does that is let loose on a server.
const EVERYTHING: &[Kind] = &[
    Kind::NotFoundScan,
    Kind::SensitiveFileProbing,
    Kind::AdminProbing,
    Kind::OpenProxyProbing,
    Kind::MalformedRequests,
    Kind::PathTraversal,
    Kind::SqlInjectionManual,
    Kind::CrossSiteScripting,
    Kind::CommandInjection,
    Kind::JndiLookup,
    Kind::ExploitPayload,
    Kind::CveProbing,
    Kind::WebShellProbing,
];

struct Traffic {
    labels: Vec<Label>,
    alerts: Vec<Found>,
    partners: Partners,
}

/// Generates traffic, replays it, and finds out from the lines who had part in what.
fn run(config: &Config) -> Traffic {
    let (mut access, mut events, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let webhooks = &mut std::io::sink();
    let outputs = Outputs { access: &mut access, events: &mut events, webhooks, labels: &mut labels };
    generate::write(config, outputs, |_| {}).unwrap();
    let alerts = found(&alerts_of(&access, &events));
    let partners = partners(&String::from_utf8(access).unwrap(), &String::from_utf8(events).unwrap());
    Traffic { labels: label::read(labels.as_slice()).unwrap(), alerts, partners }
}

/// Alerts that page somebody, as they are written.
pub fn found(alerts: &[Alert]) -> Vec<Found> {
    let lines: String = alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect();
    let mut found = score::found::read(lines.as_bytes()).unwrap();
    found.retain(|alert| alert.severity >= Severity::Medium);
    found
}

/// What the rules that are built in find in an access log and events of applications.
fn alerts_of(access: &[u8], events: &[u8]) -> Vec<Alert> {
    let directory = tempfile::tempdir().unwrap();
    let paths = [directory.path().join("access.log"), directory.path().join("events.jsonl")];
    std::fs::write(&paths[0], access).unwrap();
    std::fs::write(&paths[1], events).unwrap();
    let rules = RuleSet::load(true, &[]).unwrap();
    assert_eq!(rules.errors, []);
    let mut engine = Engine::new(&rules, Allowlist::default(), &Settings::default()).unwrap();
    let settings = Arc::new(decode::Settings::default());
    replay(&mut engine, &paths, None, &settings, &Arc::default()).unwrap().alerts
}

/// Who tried which account.
fn partners(access: &str, events: &str) -> Partners {
    let mut partners = Partners::default();
    for line in access.lines() {
        let mut words = line.split(' ');
        if let (Some(from), Some(account)) = (words.next(), words.nth(1).filter(|account| *account != "-")) {
            partners.add(from, account);
        }
    }
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if let (Some(from), Some(account)) = (event["source.ip"].as_str(), event["user.name"].as_str()) {
            partners.add(from, account);
        }
    }
    partners
}

/// What is wrong, and what there is to know when nothing is.
#[derive(Default)]
struct Report {
    missed: String,
    false_pages: String,
    repeated: String,
    flooding: String,
    /// By kind and speed: attacks, and rules that told of them.
    rules: BTreeMap<String, (u32, u32, BTreeSet<String>)>,
}

fn judge(traffic: &Traffic) -> Report {
    let mut report = Report::default();
    let Traffic { labels, alerts, partners } = traffic;
    let judgement = score::judge::judge(labels.clone(), alerts, partners);
    for case in judgement.cases.iter().filter(|case| !case.label.is_innocent) {
        let Label { kind, speed, written, start, .. } = &case.label;
        let called = format!("{kind} {}", speed.as_deref().unwrap_or_default());
        let mut told: BTreeMap<(&str, String), u32> = BTreeMap::new();
        for alert in case.told_by.iter().map(|number| &alerts[*number]) {
            *told.entry((&alert.rule, alert.subject_text())).or_default() += 1;
        }
        if told.is_empty() {
            let _ = writeln!(report.missed, "  {called}: from {start}, {written:?}");
        }
        let repeated = told.iter().filter(|((_, subject), count)| **count > 1 && subject != "everything");
        for ((rule, subject), count) in repeated {
            let _ = writeln!(report.repeated, "  {called}: {count} alerts of {rule} about {subject}");
        }
        // Of a wide attack that is open anyway nobody knows which attack it tells of.
        let about_it = told.keys().filter(|(_, subject)| subject != "everything");
        let of_it: BTreeSet<_> = match case.is_shared() {
            true => about_it.map(|(rule, _)| (*rule, "")).collect(),
            false => about_it.map(|(rule, subject)| (*rule, subject.as_str())).collect(),
        };
        if of_it.len() > MOST_ALERTS {
            let names: Vec<String> =
                of_it.iter().map(|(rule, subject)| format!("{rule} {subject}")).collect();
            let _ = writeln!(report.flooding, "  {called}: {}", names.join(", "));
        }
        let names: BTreeSet<String> = told.keys().map(|(rule, _)| (*rule).to_owned()).collect();
        let of_kind = report.rules.entry(called).or_default();
        of_kind.0 += 1;
        of_kind.1 += names.len() as u32;
        of_kind.2.extend(names);
    }
    for alarm in score::report::Report::new(&judgement, alerts, Some(1.0)).false_alarm_list {
        let FalseAlarm { rule, opened_at, subject, innocents } = alarm;
        let _ = writeln!(report.false_pages, "  {rule} about {subject} at {opened_at} ({innocents:?})");
    }
    report
}

fn assert_good(traffic: &Traffic, what: &str) {
    let report = judge(traffic);
    println!("{what}: rules that told of an attack, on average");
    for (kind, (count, told, names)) in &report.rules {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        println!("  {kind:<45} {:>5.1}  {}", f64::from(*told) / f64::from(*count), names.join(", "));
    }
    let Report { missed, false_pages, repeated, flooding, .. } = &report;
    assert!(
        [missed, false_pages, repeated, flooding].iter().all(|fault| fault.is_empty()),
        "{what}\nattacks nobody is paged for:\n{missed}people paged for nothing:\n{false_pages}\
         more than one alert of one rule about one subject, for one attack:\n{repeated}\
         more than {MOST_ALERTS} alerts for one attack:\n{flooding}"
    );
}

#[test]
fn every_attack_is_found_and_nobody_else_is_paged_for() {
    for seed in [1, 2] {
        let traffic = run(&Config { seed, lines: LINES, addresses: 4000, ..Config::default() });
        let staged: BTreeSet<&str> = traffic.labels.iter().map(|label| label.kind.as_str()).collect();
        assert_eq!(staged.len(), Kind::ALL.len(), "everything is staged");
        assert_good(&traffic, &format!("a day, seed {seed}"));
    }
}

/// Requests that look a little like attacks and are none, each from an address of its own: searches with quotes and
/// words of SQL, code that is pasted, advertisements, interfaces that take queries, link previews, and what well-known
/// applications ask for.
#[test]
fn ordinary_requests_open_no_alert_at_all() {
    let log = include_bytes!("../data/ordinary_requests.log");
    let alerts = alerts_of(log, b"");
    let told = |alert: &Alert| {
        let target = alert.evidence.samples.first().and_then(|sample| sample.text("url.original"));
        format!("{}: {}", alert.rule.name, target.unwrap_or_default())
    };
    assert_eq!(alerts.iter().map(told).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_address_that_tries_everything_opens_few_alerts() {
    let start = 1_795_514_400_000;
    for seed in 1..=6 {
        let address = IpAddr::from([198, 51, 100, 9]);
        let mut lines: Vec<(i64, String)> = EVERYTHING
            .iter()
            .flat_map(|kind| {
                let subject = Some(Subject::Address { address });
                let staging = Staging { seed, kind: *kind, speed: Speed::Fast, at_ms: start, subject };
                generate::stage(staging).unwrap().map(|line| (line.at_ms, line.text))
            })
            .collect();
        lines.sort();
        let log: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let alerts = alerts_of(log.as_bytes(), b"");
        let of = |wanted: &dyn Fn(Severity) -> bool| -> Vec<&str> {
            let wanted = alerts.iter().filter(|alert| wanted(alert.severity));
            wanted.map(|alert| alert.rule.name.as_str()).collect()
        };
        let attempts = of(&|severity| severity == Severity::Medium);
        let successes = of(&|severity| severity > Severity::Medium);
        let quiet = of(&|severity| severity < Severity::Medium);
        println!("seed {seed}: {attempts:?}, {successes:?}, pages nobody: {quiet:?}");
        assert!((1..=MOST_ALERTS).contains(&attempts.len()), "seed {seed}: {attempts:?}");
        assert!(successes.len() <= MOST_SUCCESSES, "seed {seed}: {successes:?}");
        assert!(quiet.len() <= 1, "seed {seed}: {quiet:?}");
    }
}

#[test]
fn nobody_is_paged_in_peace() {
    let innocents = Kind::innocents().collect();
    let config = Config { seed: 3, lines: LINES, addresses: 4000, attacks: innocents, ..Config::default() };
    assert_good(&run(&config), "a day without attacks");
}
