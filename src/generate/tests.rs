//! What whoever measures by this traffic relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

fn small() -> Config {
    Config { lines: 90_000, addresses: 4000, ..Config::default() }
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let written = |config: &Config| {
        let (mut access, mut events, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let mut webhooks = Vec::new();
        let outputs = Outputs {
            access: &mut access,
            events: &mut events,
            webhooks: &mut webhooks,
            labels: &mut labels,
        };
        write(config, outputs, |_| {}).expect("vectors take everything");
        (access, events, labels, webhooks)
    };
    let attacks = Kind::ALL.iter().chain(Kind::MESSAGING).copied().collect();
    let config = Config { lines: 20_000, messages: 5000, attacks, ..small() };
    let first = written(&config);
    assert!(first == written(&config), "two runs of one configuration differ");
    let other = written(&Config { seed: 2, ..config });
    assert!(first.0 != other.0 && first.1 != other.1 && first.2 != other.2, "another seed is other traffic");
    assert!(first.3 != other.3 && !first.3.is_empty(), "and other webhooks");
}

#[test]
fn lines_never_go_back_in_time() {
    let config = small();
    let (start, end) = (config.start * 1000, config.start * 1000 + 24 * 3_600_000);
    let mut last = start;
    for record in Generator::new(&config).expect("a good configuration") {
        if let Record::Line(line) = record {
            assert!(line.at_ms >= last && line.at_ms < end, "{} after {last}: {}", line.at_ms, line.text);
            last = line.at_ms;
        }
    }
    assert!(end - last < 600_000, "the traffic must go on to its end");
}

#[test]
fn every_kind_is_staged_in_all_its_ways() {
    let config = small();
    let generator = Generator::new(&config).expect("a good configuration");
    assert!(generator.unstaged().is_empty(), "a day is long enough for everything");
    let mut staged: BTreeSet<(Kind, Speed)> = BTreeSet::new();
    for record in generator {
        if let Record::Label(label) = record {
            assert_eq!(label.expect_paged, !label.kind.is_innocent());
            staged.insert((label.kind, label.speed));
        }
    }
    for kind in Kind::ALL {
        for speed in kind.speeds() {
            assert!(staged.contains(&(*kind, speed)), "{kind} was not staged {speed:?}");
        }
    }
}

#[test]
fn three_hours_are_enough_for_everything() {
    for seed in 0..20 {
        let config = Config { seed, duration: Duration::from_secs(3 * 3600), ..small() };
        let generator = Generator::new(&config).expect("a good configuration");
        assert_eq!(generator.unstaged(), [], "seed {seed}");
    }
}

/// The address and the second of a line, and the account of an event.
fn read(line: &TimedLine) -> (String, Option<String>, String) {
    match line.stream {
        Stream::Access => {
            let mut words = line.text.split(' ');
            let address = words.next().expect("a line begins with an address").to_owned();
            let user = words.nth(1).filter(|user| *user != "-").map(str::to_owned);
            (address, user, clock::date_time(line.at_ms.div_euclid(1000)))
        }
        Stream::Webhooks => panic!("no webhooks were asked for: {}", line.text),
        Stream::Events => {
            let event: serde_json::Value = serde_json::from_str(&line.text).expect("an event is JSON");
            let field = |name: &str| event[name].as_str().map(str::to_owned);
            let at = field("@timestamp").expect("an event has a time");
            (
                field("source.ip").expect("an event has an address"),
                field("user.name"),
                at[..19].to_owned() + "Z",
            )
        }
    }
}

#[test]
fn labels_agree_with_lines() {
    // What each address and each account wrote, by second.
    let mut by_address: BTreeMap<(Stream, String), Vec<String>> = BTreeMap::new();
    let mut by_account: BTreeMap<(Stream, String), Vec<String>> = BTreeMap::new();
    let mut labels = Vec::new();
    for record in Generator::new(&small()).expect("a good configuration") {
        match record {
            Record::Line(line) => {
                let (address, account, at) = read(&line);
                by_address.entry((line.stream, address)).or_default().push(at.clone());
                if let Some(account) = account {
                    by_account.entry((line.stream, account)).or_default().push(at);
                }
            }
            Record::Label(label) => labels.push(label),
        }
    }
    let mut seen = BTreeSet::new();
    for label in labels {
        let within = |times: Option<&Vec<String>>| {
            let times = times.map(Vec::as_slice).unwrap_or_default();
            times.iter().filter(|at| **at >= label.start && **at <= label.end).count() as u64
        };
        let addresses: Vec<String> = match &label.subject {
            Subject::Account { account } => {
                let wrote = within(by_account.get(&(label.stream, account.clone())));
                assert_eq!(wrote, label.lines, "{label:?}");
                continue;
            }
            Subject::Address { address } => vec![address.to_string()],
            Subject::Addresses { addresses } => addresses.iter().map(ToString::to_string).collect(),
            Subject::Number { .. } | Subject::Business { .. } => panic!("no webhooks were asked for"),
        };
        let mut wrote = 0;
        for address in addresses {
            let lines = within(by_address.get(&(label.stream, address.clone())));
            assert!(lines > 0, "{address} does not occur: {label:?}");
            wrote += lines;
            assert!(
                label.kind.is_innocent() || seen.insert(address),
                "two attacks share an address: {label:?}"
            );
        }
        // Crawlers, monitors and webhooks share their few networks with ordinary traffic.
        if label.expect_paged {
            assert_eq!(wrote, label.lines, "{label:?}");
        } else {
            assert!(wrote >= label.lines, "{label:?}");
        }
    }
}

#[test]
fn ordinary_traffic_is_innocent() {
    // By ten minutes and client: failed logins, paths not found; by ten minutes and account: objects read.
    let mut failed: BTreeMap<(i64, String), u32> = BTreeMap::new();
    let mut not_found: BTreeMap<(i64, String), BTreeSet<String>> = BTreeMap::new();
    let mut objects: BTreeMap<(i64, String), BTreeSet<String>> = BTreeMap::new();
    let config = Config { lines: 300_000, attacks: Vec::new(), ..small() };
    for record in Generator::new(&config).expect("a good configuration") {
        let Record::Line(line) = record else { panic!("nothing is staged: {record:?}") };
        let (address, account, _) = read(&line);
        let window = line.at_ms / 600_000;
        match (line.stream, account) {
            (Stream::Access, _) => {
                let words: Vec<&str> = line.text.split(' ').collect();
                match (words[5], words[6], words[8]) {
                    ("\"POST", "/login", "401") => *failed.entry((window, address)).or_default() += 1,
                    (_, path, "404") => {
                        not_found.entry((window, address)).or_default().insert(path.to_owned());
                    }
                    _ => {}
                }
            }
            (Stream::Events, Some(account)) if line.text.contains("authn_login_fail") => {
                *failed.entry((window, account)).or_default() += 1;
            }
            (Stream::Events, Some(account)) => {
                let event: serde_json::Value = serde_json::from_str(&line.text).expect("an event is JSON");
                if let Some(object) = event["object.id"].as_str() {
                    objects.entry((window, account)).or_default().insert(object.to_owned());
                }
            }
            (Stream::Events | Stream::Webhooks, _) => panic!("an event without an account: {}", line.text),
        }
    }
    let most = failed.iter().max_by_key(|(_, count)| **count);
    assert!(most.is_some_and(|(_, count)| *count <= 4), "people mistype up to four times, not like {most:?}");
    assert!(failed.len() > 100, "and some do");
    assert!(not_found.values().all(|paths| paths.len() <= 6), "a visitor meets few dead links");
    assert!(objects.values().all(|read| read.len() < 25), "nobody on the staff reads like a thief");
}

#[test]
fn about_as_many_lines_come_as_are_asked_for() {
    for (lines, hours) in [(400_000, 24), (300_000, 3)] {
        let config = Config { lines, duration: Duration::from_secs(hours * 3600), ..small() };
        let [access, events, webhooks, labels] = &mut [(); 4].map(|()| std::io::sink());
        let mut calls = 0;
        let outputs = Outputs { access, events, webhooks, labels };
        let done = write(&config, outputs, |_| calls += 1).expect("a sink");
        assert!(done.lines.abs_diff(lines) < lines / 20, "{lines} were asked for: {done:?}");
        assert!(done.events > lines / 100, "events are part of the traffic: {done:?}");
        assert!(calls > 10, "whoever waits must hear something");
    }
}

#[test]
fn memory_does_not_grow_with_the_lines() {
    let busiest = |days: u64| {
        let config = Config {
            lines: days * 40_000,
            duration: Duration::from_secs(days * 86_400),
            attacks: Vec::new(),
            ..small()
        };
        let mut generator = Generator::new(&config).expect("a good configuration");
        let (mut text, mut most) = (String::new(), 0);
        while generator.advance(&mut text).is_some() {
            most = most.max(generator.most_actors());
        }
        most
    };
    let (day, week) = (busiest(1), busiest(7));
    assert!(week < 2 * day, "{day} actors for a day, {week} for a week as busy");
}

#[test]
fn one_attack_can_be_staged_on_whom_one_likes() {
    for kind in Kind::ALL {
        for speed in kind.speeds() {
            let staging = Staging { seed: 7, kind: *kind, speed, at_ms: 1_795_514_400_000, subject: None };
            let mut staged = stage(staging.clone()).expect("a kind has its speeds");
            assert_eq!(staged.label(), None, "nothing is known before the first line");
            let lines: Vec<TimedLine> = staged.by_ref().collect();
            assert_eq!(lines[0].at_ms, staging.at_ms);
            assert!(lines.is_sorted_by_key(|line| line.at_ms));
            let label = staged.label().expect("all is known after the last");
            assert_eq!(label.lines, lines.len() as u64);
            assert_eq!(label.start, "2026-11-24T10:00:00Z");

            let address = std::net::IpAddr::from([198, 51, 100, 9]);
            let chosen = Staging { subject: Some(Subject::Address { address }), ..staging };
            let lines: Vec<TimedLine> = stage(chosen).expect("a kind has its speeds").collect();
            assert!(
                lines.iter().all(|line| line.text.contains("198.51.100.9")),
                "{kind} must come from there"
            );
        }
    }
    let account = Subject::Account { account: "ana.silva".into() };
    let staging = Staging {
        seed: 7,
        kind: Kind::MfaFatigue,
        speed: Speed::Fast,
        at_ms: 0,
        subject: Some(account.clone()),
    };
    let mut staged = stage(staging).expect("it is staged fast");
    assert!(staged.by_ref().all(|line| line.text.contains(r#""user.name":"ana.silva""#)));
    assert_eq!(staged.label().map(|label| label.subject), Some(account));
    let slow_flood =
        Staging { seed: 1, kind: Kind::DistributedFlood, speed: Speed::Slow, at_ms: 0, subject: None };
    let refused = stage(slow_flood).err().expect("it is not staged slow");
    assert_eq!(refused.to_string(), "distributed_flood is not staged slow");
}
