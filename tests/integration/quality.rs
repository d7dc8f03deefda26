//! What the rules that are built in find in made-up traffic, and whom they page for nothing.
//!
//! Attacks and innocents are staged in ordinary traffic, with labels. Every attack must open an alert that pages
//! somebody and names the attacker or the account attacked; nobody else may be named by one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use watchbell::alert::Alert;
use watchbell::allowlist::Allowlist;
use watchbell::decode;
use watchbell::engine::{Engine, Settings};
use watchbell::generate::{self, Config, Kind, Label, Outputs, Speed, Staging, Subject};
use watchbell::replay::replay;
use watchbell::rules::{RuleSet, Severity};

/// Ordinary lines enough for people to do what people do, few enough for a build without optimisation.
const LINES: u64 = 60_000;
/// An alert may open so long after the last line of what it is about.
const GRACE_MICROS: i64 = 5 * 60 * 1_000_000;
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

/// Whom an alert or a line can be about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Who {
    /// An address, or the /64 of one.
    Address(String),
    Account(String),
}

fn address(text: &str) -> Who {
    let bare = text.split('/').next().unwrap_or(text);
    match bare.parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Who::Address(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
        }
        _ => Who::Address(bare.to_owned()),
    }
}

/// A label, and whom an alert about it may name.
struct Case {
    label: Label,
    start: i64,
    end: i64,
    /// The label's subject; of a label about an account, the addresses that attacked it too.
    named: HashSet<Who>,
    /// All who had part in it: addresses, and accounts they tried.
    involved: HashSet<Who>,
}

struct Traffic {
    cases: Vec<Case>,
    alerts: Vec<Alert>,
}

fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

/// Generates traffic, replays it, and finds out from the lines who had part in what.
fn run(config: &Config) -> Traffic {
    let (mut access, mut events, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let webhooks = &mut std::io::sink();
    let outputs = Outputs { access: &mut access, events: &mut events, webhooks, labels: &mut labels };
    generate::write(config, outputs, |_| {}).unwrap();
    let alerts = alerts_of(&access, &events);
    let pairs = pairs(&String::from_utf8(access).unwrap(), &String::from_utf8(events).unwrap());
    let labels = String::from_utf8(labels).unwrap();
    let cases = labels.lines().map(|line| case(serde_json::from_str(line).unwrap(), &pairs)).collect();
    Traffic { cases, alerts }
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

/// For each address the accounts it tried, and for each account the addresses.
fn pairs(access: &str, events: &str) -> HashMap<Who, HashSet<Who>> {
    let mut pairs: HashMap<Who, HashSet<Who>> = HashMap::new();
    let mut pair = |from: &str, account: &str| {
        let (from, account) = (address(from), Who::Account(account.to_owned()));
        pairs.entry(from.clone()).or_default().insert(account.clone());
        pairs.entry(account).or_default().insert(from);
    };
    for line in access.lines() {
        let mut words = line.split(' ');
        if let (Some(from), Some(account)) = (words.next(), words.nth(1).filter(|account| *account != "-")) {
            pair(from, account);
        }
    }
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if let (Some(from), Some(account)) = (event["source.ip"].as_str(), event["user.name"].as_str()) {
            pair(from, account);
        }
    }
    pairs
}

fn case(label: Label, pairs: &HashMap<Who, HashSet<Who>>) -> Case {
    let subject: HashSet<Who> = match &label.subject {
        Subject::Address { address: one } => [address(&one.to_string())].into(),
        Subject::Addresses { addresses } => addresses.iter().map(|one| address(&one.to_string())).collect(),
        Subject::Account { account } => [Who::Account(account.clone())].into(),
        Subject::Number { .. } | Subject::Business { .. } => HashSet::new(),
    };
    let others = || subject.iter().filter_map(|who| pairs.get(who)).flatten().cloned();
    let involved = subject.iter().cloned().chain(others()).collect();
    let named = match &label.subject {
        Subject::Account { .. } => subject.iter().cloned().chain(others()).collect(),
        _ => subject.clone(),
    };
    Case { start: micros(&label.start), end: micros(&label.end), label, named, involved }
}

/// Whom an alert names in its subject; of one about the whole service, a page or a session, in its evidence.
fn whom(alert: &Alert) -> HashSet<Who> {
    let named = |name: &str, value: &str| match name {
        "source.ip" => Some(address(value)),
        "user.name" => Some(Who::Account(value.to_owned())),
        _ => None,
    };
    let subject: HashSet<Who> = alert.subject.iter().filter_map(|(name, value)| named(name, value)).collect();
    if !subject.is_empty() {
        return subject;
    }
    let names = ["source.ip", "user.name"];
    let samples = alert.evidence.samples.iter();
    let in_samples = samples.flat_map(|sample| names.map(|name| named(name, &sample.text(name)?))).flatten();
    let values = alert.evidence.values.iter();
    let in_values = values.filter(|value| value.parse::<IpAddr>().is_ok()).map(|value| address(value));
    in_samples.chain(in_values).collect()
}

impl Case {
    fn is_told_of_by(&self, alert: &Alert, whom: &HashSet<Who>) -> bool {
        let resolved = alert.resolved_at.map_or(i64::MAX, |at| at.as_micros());
        alert.opened_at.as_micros() <= self.end + GRACE_MICROS
            && resolved >= self.start
            && (!self.named.is_disjoint(whom) || (self.is_shared() && is_wide(alert, self.label.kind)))
    }

    /// Whether several addresses share the work.
    fn is_shared(&self) -> bool {
        self.named.iter().filter(|who| matches!(who, Who::Address(_))).count() > 1
    }
}

/// Whether an alert is about the whole service and about attacks such as this. One that is open already takes in
/// whoever comes next, and its evidence is of the first.
fn is_wide(alert: &Alert, kind: Kind) -> bool {
    let (rule, kind) = (alert.rule.name.as_str(), kind.name());
    let on_logins = ["brute_force", "password_spray", "credential_stuffing"];
    let is_on_logins = on_logins.iter().any(|start| kind.starts_with(start));
    let is_of_its_kind = if is_on_logins {
        rule.contains("distributed_login") || rule.starts_with("distributed_")
    } else {
        rule.ends_with("_distributed")
    };
    names_nobody(alert) && is_of_its_kind
}

/// Whether neither an address nor an account is the subject.
fn names_nobody(alert: &Alert) -> bool {
    !alert.subject.iter().any(|(name, _)| name == "source.ip" || name == "user.name")
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
    let paging: Vec<(&Alert, HashSet<Who>)> = traffic
        .alerts
        .iter()
        .filter(|alert| alert.severity >= Severity::Medium)
        .map(|alert| (alert, whom(alert)))
        .collect();
    let attacks = || traffic.cases.iter().filter(|case| case.label.expect_paged);
    for case in attacks() {
        let label = &case.label;
        let mut told: BTreeMap<(&str, String), u32> = BTreeMap::new();
        for (alert, whom) in &paging {
            if case.is_told_of_by(alert, whom) {
                *told.entry((&alert.rule.name, alert.subject_text())).or_default() += 1;
            }
        }
        if told.is_empty() {
            let Label { kind, speed, subject, start, lines, .. } = label;
            let _ = writeln!(report.missed, "  {kind} {speed:?}: {lines} lines from {start}, {subject:?}");
        }
        let repeated = told.iter().filter(|((_, subject), count)| **count > 1 && subject != "everything");
        for ((rule, subject), count) in repeated {
            let _ = writeln!(
                report.repeated,
                "  {} {:?}: {count} alerts of {rule} about {subject}",
                label.kind, label.speed
            );
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
            let _ = writeln!(report.flooding, "  {} {:?}: {}", label.kind, label.speed, names.join(", "));
        }
        let names: BTreeSet<String> = told.keys().map(|(rule, _)| (*rule).to_owned()).collect();
        let of_kind = report.rules.entry(format!("{} {:?}", label.kind, label.speed)).or_default();
        of_kind.0 += 1;
        of_kind.1 += names.len() as u32;
        of_kind.2.extend(names);
    }
    let guilty: HashSet<&Who> = attacks().flat_map(|case| &case.involved).collect();
    for (alert, whom) in &paging {
        let from = alert.evidence.window.0.as_micros();
        let is_under_attack =
            || attacks().any(|case| case.start <= alert.opened_at.as_micros() && case.end >= from);
        // What is about the whole service may be set off by somebody innocent amid an attack.
        if whom.iter().any(|who| guilty.contains(who)) || (names_nobody(alert) && is_under_attack()) {
            continue;
        }
        let innocents = traffic.cases.iter().filter(|case| !case.label.expect_paged);
        let staged: Vec<&str> = innocents
            .filter(|case| !case.involved.is_disjoint(whom))
            .map(|case| case.label.kind.name())
            .collect();
        let who = if staged.is_empty() { "ordinary traffic".to_owned() } else { staged.join(", ") };
        let _ = writeln!(
            report.false_pages,
            "  {} about {} at {} ({who}): {}",
            alert.rule.name,
            alert.subject_text(),
            alert.opened_at,
            alert.condition.text
        );
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
        let staged: BTreeSet<Kind> = traffic.cases.iter().map(|case| case.label.kind).collect();
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
