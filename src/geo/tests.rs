//! Databases of all layouts, written here; and real ones where there are.

#[path = "../../tests/integration/mmdb.rs"]
mod mmdb;

use std::io::Write;

use serde_json::json;

use super::*;
use crate::event::Schema;
use mmdb::{Decimals, database};

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn geo(bytes: &[&[u8]]) -> Geo {
    let files: Vec<_> = bytes.iter().map(|bytes| file(bytes)).collect();
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path().to_owned()).collect();
    Geo::default().with_files(&paths).unwrap()
}

fn nested_city() -> Vec<u8> {
    let berlin = json!({
        "city": {"geoname_id": 2_950_159, "names": {"de": "Berlin (de)", "en": "Berlin"}},
        "continent": {"code": "EU"},
        "country": {"iso_code": "DE", "names": {"en": "Germany"}, "is_in_european_union": true},
        "location": {"latitude": 52.52, "longitude": 13.405, "time_zone": "Europe/Berlin"},
        "subdivisions": [{"iso_code": "BE"}],
    });
    let sea =
        json!({"country": {"iso_code": "GB"}, "location": {"latitude": -54.4296, "longitude": -36.5879}});
    let networks = [("198.51.100.0/24", berlin), ("2001:db8:1::/48", sea)];
    database("GeoLite2-City", Decimals::Double, &networks)
}

fn flat_city() -> Vec<u8> {
    let berlin = json!({
        "city": "Berlin", "country_code": "DE", "latitude": 52.52, "longitude": 13.405, "postcode": "", "state1": "Berlin",
    });
    database("DBIP-City (compat)", Decimals::Float, &[("198.51.100.0/24", berlin)])
}

fn flat_network() -> Vec<u8> {
    let network =
        json!({"autonomous_system_number": 64_500, "autonomous_system_organization": "Example GmbH"});
    database("asn", Decimals::Float, &[("198.51.100.0/23", network)])
}

/// What is said of an address, field by field.
fn said(geo: &Geo, address: &str) -> String {
    let schema = Schema::new();
    let mut event = Event::new(&schema);
    event.client = address.parse().ok();
    geo.fill(&mut event);
    let fields = event.fields().map(|(id, value)| {
        let name = schema.name(id).trim_start_matches("source.");
        format!("{name}={}", value.to_text().unwrap())
    });
    fields.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_layout_says_the_same() {
    let berlin =
        "geo.country_iso_code=DE geo.city_name=Berlin geo.location.lat=52.52 geo.location.lon=13.405";
    for city in [nested_city(), flat_city()] {
        let city = geo(&[&city]);
        assert_eq!(said(&city, "198.51.100.7"), berlin);
        assert_eq!(
            said(&city, "::ffff:198.51.100.7"),
            berlin,
            "an address of the older kind in the newer's clothes"
        );
        assert!(city.gives().has(Given::COUNTRY.and(Given::CITY).and(Given::LOCATION)));
        assert!(!city.gives().has(Given::NETWORK));
    }
    let nested = geo(&[&nested_city()]);
    assert_eq!(
        said(&nested, "2001:db8:1::5"),
        "geo.country_iso_code=GB geo.location.lat=-54.4296 geo.location.lon=-36.5879"
    );
    for unknown in ["203.0.113.5", "2001:db8:2::5", "10.1.2.3", "127.0.0.1", "100.64.1.1", "fd00::1", "::1"] {
        assert_eq!(said(&nested, unknown), "", "{unknown}");
    }
    let network = geo(&[&flat_network()]);
    assert_eq!(said(&network, "198.51.100.7"), "as.number=64500 as.organization.name=Example GmbH");
}

#[test]
fn other_vendors_are_read_too() {
    for record in [
        json!({"country": "DE", "as_name": "Example GmbH", "asn": "AS64500", "lat": "52.52", "lng": "13.405"}),
        json!({"country": "Germany", "country_code": "DE", "as_number": 64_500, "as_organization": "Example GmbH",
            "latitude": 52.52, "longitude": 13.405}),
        json!({"country": {"iso_code": "DE"}, "location": {"latitude": 52.52, "longitude": 13.405},
            "traits": {"autonomous_system_number": 64_500, "autonomous_system_organization": "Example GmbH"}}),
        json!({"country_code": "DE", "latitude": 52.52, "longitude": 13.405, "asn": "64500", "as_name": "Example GmbH",
            "city": "", "privacy": {"vpn": true}, "list": [1, {"country_code": "FR"}]}),
    ] {
        let geo = geo(&[&database("any", Decimals::Double, &[("198.51.100.0/24", record.clone())])]);
        assert_eq!(
            said(&geo, "198.51.100.7"),
            "geo.country_iso_code=DE as.number=64500 as.organization.name=Example GmbH geo.location.lat=52.52 \
             geo.location.lon=13.405",
            "{record}"
        );
    }
}

#[test]
fn values_that_make_no_sense_are_passed_over() {
    let wrong =
        json!({"country_code": "Germany", "latitude": 91.5, "longitude": 181.0, "asn": "AS0", "city": ["x"]});
    let right = json!({"country_code": "DE"});
    let networks = [("198.51.100.0/24", wrong), ("203.0.113.0/24", right)];
    let geo = geo(&[&database("odd", Decimals::Double, &networks)]);
    assert_eq!(said(&geo, "198.51.100.7"), "");
    assert_eq!(said(&geo, "203.0.113.7"), "geo.country_iso_code=DE");
}

#[test]
fn what_an_event_says_itself_stands() {
    let geo = geo(&[&flat_city(), &flat_network()]);
    let schema = Schema::new();
    let mut event = Event::new(&schema);
    event.client = "198.51.100.7".parse().ok();
    event.set(field::GEO_COUNTRY, Value::text("AT"));
    event.set(field::GEO_LATITUDE, Value::Float(48.2));
    geo.fill(&mut event);
    assert_eq!(event.text(field::GEO_COUNTRY), Some("AT"));
    assert_eq!(
        event.get(field::GEO_LONGITUDE),
        &Value::Missing,
        "half a position is not made whole by another's"
    );
    assert_eq!(event.get(field::AS_NUMBER), &Value::Int(64_500));
}

#[test]
fn a_file_that_is_no_database_or_another_one_is_refused_with_what_it_is() {
    let (city, network, junk) = (file(&flat_city()), file(&flat_network()), file(b"no database"));
    let mut cut = nested_city();
    cut.truncate(cut.len() / 3);
    let cut = file(&cut);
    let path = |file: &tempfile::NamedTempFile| Some(file.path().to_owned());
    let missing = Some(PathBuf::from("/nowhere/city.mmdb"));
    for (config, expected) in [
        (Config { city: path(&network), ..Config::default() }, "with positions; this one (asn) has networks"),
        (
            Config { asn: path(&city), ..Config::default() },
            "with networks; this one (DBIP-City (compat)) has",
        ),
        (Config { country: path(&junk), ..Config::default() }, "in MaxMind's format"),
        (Config { city: path(&cut), ..Config::default() }, "in MaxMind's format"),
        (Config { city: missing, ..Config::default() }, "/nowhere/city.mmdb: No such file"),
        (Config { relays: vec!["x".to_owned()], ..Config::default() }, "geo.relays: expected a network"),
    ] {
        let error = Geo::open(&config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let nothing = file(&database("other", Decimals::Double, &[("198.51.100.0/24", json!({"isp": "x"}))]));
    let error = Geo::default().with_files(&[nothing.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("has none of what is known here"), "{error}");
    let config = Config { country: path(&city), asn: path(&network), ..Config::default() };
    let geo = Geo::open(&config).unwrap();
    assert!(!geo.lacks("source.geo.location.lat") && !geo.lacks("source.as.number") && geo.bytes() > 0);
    let first = geo.describe().next().unwrap();
    assert!(first.contains("DBIP-City (compat) of 2026-09-21 with countries, cities, positions"), "{first}");
}

#[test]
fn bytes_that_are_wrong_never_panic() {
    let whole = nested_city();
    let addresses = ["198.51.100.7", "2001:db8:1::5", "1.1.1.1"];
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xa5;
        let file = file(&bytes);
        if let Ok(geo) = Geo::default().with_files(&[file.path().to_owned()]) {
            addresses.iter().for_each(|address| drop(said(&geo, address)));
        }
    }
}

/// A database as DB-IP gives it away: the file that `WATCHBELL_GEO_COUNTRY` names.
#[test]
fn a_real_database_knows_where_well_known_addresses_are() {
    let Some(path) = std::env::var_os("WATCHBELL_GEO_COUNTRY").map(PathBuf::from) else {
        eprintln!("skipped: WATCHBELL_GEO_COUNTRY names no database of countries");
        return;
    };
    let geo = Geo::open(&Config { country: Some(path), ..Config::default() }).unwrap();
    assert_eq!(said(&geo, "8.8.8.8"), "geo.country_iso_code=US");
    assert!(said(&geo, "2001:4860:4860::8888").starts_with("geo.country_iso_code="));
    assert_eq!(said(&geo, "192.168.1.1"), "");
}
