//! Where clients are, from databases, through the whole engine.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use watchbell::alert::Alert;
use watchbell::allowlist::{Allowlist, EntryConfig};
use watchbell::app::{App, Origin};
use watchbell::decode::{self, Format};
use watchbell::engine::work::Chunk;
use watchbell::engine::{Engine, Settings, Transition};
use watchbell::event::field;
use watchbell::geo::{Config, Geo};
use watchbell::rules::RuleSet;

use crate::engine::{line_from, rules};
use crate::mmdb::{Decimals, database};
use crate::service;

/// Addresses in three cities.
pub const BERLIN: &str = "198.51.100.7";
pub const LYON: &str = "203.0.113.7";
pub const NEW_YORK: &str = "192.0.2.7";

fn city() -> Vec<u8> {
    let place = |country: &str, city: &str, latitude: f64, longitude: f64| {
        json!({"country": {"iso_code": country}, "city": {"names": {"en": city}},
            "location": {"latitude": latitude, "longitude": longitude}})
    };
    let networks = [
        ("198.51.100.0/24", place("DE", "Berlin", 52.52, 13.405)),
        ("203.0.113.0/24", place("FR", "Lyon", 45.764, 4.8357)),
        ("192.0.2.0/25", place("US", "New York", 40.7128, -74.006)),
        ("192.0.2.128/25", place("US", "Ashburn", 39.0438, -77.4874)),
    ];
    database("GeoLite2-City", Decimals::Double, &networks)
}

fn networks() -> Vec<u8> {
    let network = |number: u32, name: &str| json!({"autonomous_system_number": number, "autonomous_system_organization": name});
    let networks = [
        ("198.51.100.0/24", network(64_500, "Home GmbH")),
        ("203.0.113.0/24", network(64_501, "Travel SA")),
        ("192.0.2.0/25", network(64_502, "Elsewhere Inc")),
        ("192.0.2.128/25", network(13_335, "Cloudflare, Inc.")),
    ];
    database("asn", Decimals::Float, &networks)
}

/// A directory with both databases.
pub struct Databases(tempfile::TempDir);

impl Databases {
    pub fn write() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("city.mmdb"), city()).unwrap();
        std::fs::write(directory.path().join("asn.mmdb"), networks()).unwrap();
        Self(directory)
    }

    pub fn city(&self) -> PathBuf {
        self.0.path().join("city.mmdb")
    }

    pub fn networks(&self) -> PathBuf {
        self.0.path().join("asn.mmdb")
    }

    pub fn config(&self) -> Config {
        Config { city: Some(self.city()), asn: Some(self.networks()), ..Config::default() }
    }
}

/// All alerts, in the order in which they opened, of lines that are given to the engine in pieces.
pub fn alerts(rules: &RuleSet, geo: &Geo, lines: &[String], threads: usize, piece: usize) -> Vec<Alert> {
    let settings = Settings { threads, geo: geo.clone(), ..Settings::default() };
    alerts_of(Engine::new(rules, Allowlist::default(), &settings).unwrap(), lines, piece)
}

fn alerts_of(mut engine: Engine, lines: &[String], piece: usize) -> Vec<Alert> {
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let mut told = Vec::new();
    for lines in lines.chunks(piece) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
        told.extend(engine.count(None));
    }
    let (more, open) = engine.finish();
    let ended = told.into_iter().chain(more).filter_map(|transition| match transition {
        Transition::Resolved(alert) => Some(alert),
        Transition::Opened(_) | Transition::Escalated(..) => None,
    });
    let mut alerts: Vec<Alert> = ended.chain(open).collect();
    alerts.sort_by(|left, right| (left.opened_at, &left.id).cmp(&(right.opened_at, &right.id)));
    alerts
}

/// Logins of one account, each so many seconds after the start and from an address.
pub fn logins(logins: &[(i64, &str)]) -> Vec<String> {
    logins.iter().map(|(at, address)| line_from(*at, "ann", "success", address)).collect()
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn new_network() -> RuleSet {
    rules(
        "title: new network\nname: new_network\nlevel: low\nfirst_seen: {rules: [succeeded], group-by: [user.name], \
         field: source.as.number, learn: 1d}\n",
    )
}

#[test]
fn a_network_that_is_new_is_found_with_a_database_and_not_without() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let lines = logins(&[(0, BERLIN), (2 * DAY, BERLIN), (3 * DAY, LYON), (4 * DAY, "10.1.2.3")]);
    let found = alerts(&new_network(), &geo, &lines, 1, 100);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].evidence.values, ["64501"]);
    let json = serde_json::to_value(&found[0]).unwrap();
    let fields = &json["evidence"]["samples"][0]["fields"];
    assert_eq!(
        (
            &fields["source.geo.country_iso_code"],
            &fields["source.geo.city_name"],
            &fields["source.as.number"]
        ),
        (&json!("FR"), &json!("Lyon"), &json!(64_501)),
        "the evidence says where that is: {fields}"
    );
    for (threads, piece) in [(1, 1), (3, 2)] {
        assert_eq!(alerts(&new_network(), &geo, &lines, threads, piece), found);
    }
    assert_eq!(alerts(&new_network(), &Geo::default(), &lines, 1, 100), []);
}

#[test]
fn a_log_that_says_itself_where_clients_are_needs_no_database() {
    let mut lines = logins(&[(0, BERLIN), (2 * DAY, BERLIN), (3 * DAY, LYON)]);
    for (line, number) in lines.iter_mut().zip([1, 1, 2]) {
        *line = line.replace('}', &format!(r#","source.as.number":{number}}}"#));
    }
    assert_eq!(alerts(&new_network(), &Geo::default(), &lines, 1, 100).len(), 1);
}

#[test]
fn detections_and_subjects_may_be_about_places() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let lines = logins(&[(0, BERLIN), (10, LYON), (20, LYON), (30, NEW_YORK)]);
    for text in [
        "title: t\nname: t\nlogsource: {product: watchbell}\ndetection: {s: {source.geo.country_iso_code: FR}, condition: s}\n",
        "title: t\nname: t\nlogsource: {product: watchbell}\ndetection: {s: {'source.geo.location.lat|gt': 45, 'source.geo.location.lat|lt': 46}, condition: s}\n",
        "title: t\nname: t\ncorrelation: {type: event_count, rules: [succeeded], group-by: [source.geo.country_iso_code], timespan: 1h, condition: {gte: 2}}\n",
        "title: t\nname: t\ncorrelation: {type: value_count, rules: [succeeded], group-by: [user.name], timespan: 1h, condition: {eq: 2, field: source.geo.country_iso_code}}\n",
    ] {
        let rules = rules(text);
        assert_eq!(alerts(&rules, &geo, &lines, 1, 100).len(), 1, "{text}");
        assert_eq!(alerts(&rules, &Geo::default(), &lines, 1, 100), [], "{text}");
    }
}

#[test]
fn the_allowlist_may_be_about_places() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let rules = rules(
        "title: t\nname: t\ncorrelation: {type: event_count, rules: [succeeded], group-by: [user.name], timespan: 1h, condition: {gte: 2}}\n",
    );
    let found = |entry: &str, addresses: [&str; 3]| {
        let entry: EntryConfig = toml::from_str(&format!("reason = 'ours'\nfields = {entry}")).unwrap();
        let settings = Settings { threads: 1, geo: geo.clone(), ..Settings::default() };
        let engine = Engine::new(&rules, Allowlist::new(&[entry]).unwrap(), &settings).unwrap();
        let [first, second, third] = addresses;
        alerts_of(engine, &logins(&[(0, first), (1, second), (2, third)]), 100).len()
    };
    let ours = "{'source.as.number' = ['64500']}";
    assert_eq!(found(ours, [BERLIN, BERLIN, LYON]), 0, "two of the three are not counted");
    assert_eq!(found(ours, [BERLIN, LYON, LYON]), 1);
}

#[test]
fn keywords_do_not_look_into_databases_and_subscribers_do() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let rules = rules(
        "title: t\nname: t\nlogsource: {product: watchbell}\ndetection: {keywords: [Lyon], other: {source.geo.country_iso_code: XX}, condition: keywords or other}\n",
    );
    let mut lines = logins(&[(0, LYON)]);
    assert_eq!(alerts(&rules, &geo, &lines, 1, 100), []);
    lines[0] = lines[0].replace("ann", "ann of Lyon");
    assert_eq!(alerts(&rules, &geo, &lines, 1, 100).len(), 1);
    let settings = Settings { threads: 1, geo, ..Settings::default() };
    let mut engine = Engine::new(&rules, Allowlist::default(), &settings).unwrap();
    let source = engine.add_source("test", "", Arc::new(decode::Settings::default()));
    let text = lines[0].clone() + "\n";
    engine.read(vec![Chunk { source, text, format: Format::Json, received: None }]);
    let mut cities = Vec::new();
    engine.for_each_event(|_, _, event| cities.extend(event.text(field::GEO_CITY).map(str::to_owned)));
    assert_eq!(cities, ["Lyon"]);
}

/// An address in New York whose network is known as a relay.
const RELAY: &str = "192.0.2.200";

fn travel(options: &str) -> RuleSet {
    rules(&format!(
        "title: far\nname: far\nlevel: medium\nimpossible_travel: {{rules: [succeeded], group-by: [user.name]{options}}}\n"
    ))
}

#[test]
fn an_impossible_travel_is_found_with_both_places() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let lines = logins(&[(0, BERLIN), (HOUR, BERLIN), (2 * HOUR, NEW_YORK), (3 * HOUR, BERLIN)]);
    let found = alerts(&travel(""), &geo, &lines, 1, 100);
    assert_eq!(found.len(), 1, "and the way back between the same addresses is the same story");
    let json = serde_json::to_value(&found[0]).unwrap();
    let trip = &json["evidence"]["trip"];
    assert_eq!((&trip["from"]["country"], &trip["to"]["country"]), (&json!("DE"), &json!("US")));
    assert_eq!((&trip["from"]["lat"], &trip["to"]["lon"]), (&json!(52.52), &json!(-74.006)));
    assert_eq!((&trip["km"], &trip["hours"]), (&json!(6385.0), &json!(1.0)));
    assert_eq!((&json["observed"], &json["condition"]["gte"]), (&json!(6385), &json!(900)));
    assert_eq!(
        json["condition"]["text"],
        "two places 500 km apart or more, at 900 km/h or more, within 1 day"
    );
    assert_eq!(json["evidence"]["samples"][0]["fields"]["source.geo.city_name"], "New York");
    for (threads, piece) in [(1, 1), (3, 2), (2, 3)] {
        assert_eq!(alerts(&travel(""), &geo, &lines, threads, piece), found);
    }
}

#[test]
fn relays_unknown_places_and_what_a_rule_ignores_are_no_places() {
    let databases = Databases::write();
    let geo = Geo::open(&databases.config()).unwrap();
    let with = |relays: &[&str], known_relays: bool| {
        let relays = relays.iter().map(|network| (*network).to_owned()).collect();
        Geo::open(&Config { relays, known_relays, ..databases.config() }).unwrap()
    };
    let to = |address| logins(&[(0, BERLIN), (60, address)]);
    for (rules, geo, lines, expected) in [
        (travel(""), &geo, to(NEW_YORK), 1),
        (travel(""), &geo, to(RELAY), 0),
        (travel(""), &with(&[], false), to(RELAY), 1),
        (travel(""), &with(&["elsewhere"], true), to(NEW_YORK), 0),
        (travel(", ignore: [AS64502]"), &geo, to(NEW_YORK), 0),
        (travel(", ignore: [elsewhere inc]"), &geo, to(NEW_YORK), 0),
        (travel(", ignore: [AS64503]"), &geo, to(NEW_YORK), 1),
        (travel(", min_km: 7000"), &geo, to(NEW_YORK), 0),
        (travel(", timespan: 30s"), &geo, to(NEW_YORK), 0),
        (travel(""), &geo, to("10.1.2.3"), 0),
        (travel(""), &geo, to("2001:db8::1"), 0),
        (travel(""), &Geo::default(), to(NEW_YORK), 0),
    ] {
        assert_eq!(alerts(&rules, geo, &lines, 1, 100).len(), expected, "{:?} {lines:?}", rules.rules.last());
    }
    let mut odd = to(BERLIN);
    odd[1] = odd[1].replace('}', r#","source.geo.location.lat":"nowhere","source.geo.location.lon":4}"#);
    assert_eq!(alerts(&travel(""), &geo, &odd, 1, 100), []);
}

fn watchbell(arguments: &[&str]) -> (String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_watchbell")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn commands_take_databases_and_say_which_rules_are_off_without() {
    let databases = Databases::write();
    let directory = tempfile::tempdir().unwrap();
    let rule = format!(
        "{}title: new network\nname: new_network\nlevel: low\nfirst_seen: {{rules: [in], group-by: [user.name], \
         field: source.as.number, learn: 1d}}\n",
        "title: in\nname: in\nlogsource: {product: watchbell}\ndetection: {s: {event.outcome: success}, condition: s}\n---\n"
    );
    let rules = directory.path().join("rule.yml");
    std::fs::write(&rules, rule).unwrap();
    let log = directory.path().join("log.jsonl");
    std::fs::write(&log, logins(&[(0, BERLIN), (2 * DAY, LYON)]).join("\n")).unwrap();
    let (rules, log) = (rules.to_str().unwrap(), log.to_str().unwrap());
    let replay = ["replay", "--no-builtin-rules", "--rules", rules, "--output", "ndjson", log];
    let networks = databases.networks();
    let with = [replay.as_slice(), &["--geo", networks.to_str().unwrap()]].concat();
    assert_eq!(watchbell(&with).0.lines().count(), 1);
    assert_eq!(watchbell(&replay).0, "");
    let config = directory.path().join("watchbell.toml");
    std::fs::write(&config, format!("[geo]\nasn = '{}'\n", networks.display())).unwrap();
    let with = [replay.as_slice(), &["--config", config.to_str().unwrap()]].concat();
    assert_eq!(watchbell(&with).0.lines().count(), 1);
    std::fs::write(&config, format!("[geo]\ncity = '{}'\n", networks.display())).unwrap();
    let error = watchbell(&with).1;
    assert!(error.contains("expected a database with positions; this one (asn) has networks"), "{error}");
    let (listed, _) = watchbell(&["rules", "list", "--no-builtin-rules", "--rules", rules]);
    assert!(listed.contains("a source.as.number not seen in 90 days for this user.name"), "{listed}");
    assert!(listed.contains("off without a database under [geo] that knows source.as.number"), "{listed}");
    let (_, checked) = watchbell(&["rules", "check", rules]);
    assert!(
        checked.contains("2 rules are fine") && checked.contains("1 of them are off without"),
        "{checked}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_takes_databases_again_and_counts_the_rules_that_are_off() {
    let databases = Databases::write();
    let directory = service::directory();
    let path = directory.path();
    let rule =
        "title: new network\nname: new_network\nfirst_seen: {rules: [failed], field: source.as.number}\n";
    std::fs::write(path.join("rules/new.yml"), rule).unwrap();
    let origin = Origin { config: Some(service::config_of(path)), ..Origin::default() };
    let app = App::start(origin).await.unwrap();
    let (url, reloader) = (app.address().to_string(), app.reloader());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async move { drop(stopped.await) }));
    let off = || service::metric(&url, "watchbell_rules_off");
    assert_eq!(off().await, Some(1.0));
    let write = |file: PathBuf| {
        let geo = format!("geo.asn = '{}'\n", file.display());
        std::fs::write(service::config_of(path), service::config(path, &geo)).unwrap();
    };
    write(databases.city());
    let error = format!("{:#}", reloader.reload().await.unwrap_err());
    assert!(error.contains("expected a database with networks"), "{error}");
    assert_eq!(off().await, Some(1.0), "nothing was changed");
    write(databases.networks());
    reloader.reload().await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while off().await != Some(0.0) {
        assert!(tokio::time::Instant::now() < deadline, "the rule is still off");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
