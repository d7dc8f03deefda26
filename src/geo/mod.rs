//! Where an address is: databases that the operator has, in MaxMind's format.
//!
//! A database says what it says: country, city and position, or the network's number and name. What it gives is found by
//! looking into it, so that any vendor's will do (`record`). They are read into memory whole and checked when they are
//! opened: beside the memory that the configuration allows, as many bytes as the files have.
//!
//! A lookup walks the bits of the address and decodes a few texts. It is done for events that a rule asks it for, and for
//! evidence, so what is found is not remembered.

mod database;
mod record;
mod relays;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::event::{Event, FieldId, Value, field};
use database::Database;
use record::Record;
pub use relays::Relays;

/// Which databases there are: `[geo]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A database with positions, cities and countries.
    pub city: Option<PathBuf>,
    /// One with countries alone, which goes before what the other says of countries.
    pub country: Option<PathBuf>,
    /// One with the numbers and names of networks (autonomous systems).
    pub asn: Option<PathBuf>,
    /// Networks whose addresses say nothing of where somebody is, beside those that are known: `AS64500`, or words of the
    /// organisation's name.
    pub relays: Vec<String>,
    /// Whether those that are known (iCloud Private Relay, Cloudflare WARP, Starlink, ...) count as such.
    pub known_relays: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { city: None, country: None, asn: None, relays: Vec::new(), known_relays: true }
    }
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The operating system says no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was said.
        error: std::io::Error,
    },
    /// It is no database.
    #[error("{}: expected a database in MaxMind's format (.mmdb): {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        reason: String,
    },
    /// It is one that says something else.
    #[error("{}: expected a database with {expected}; this one ({kind}) has {found}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: Given,
        /// What it calls itself.
        kind: String,
        /// What it has.
        found: Given,
    },
    /// A network in the list of relays cannot be read.
    #[error("geo.relays: {0}")]
    Relay(String),
}

/// What a database gives, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given(u8);

impl Given {
    /// Countries.
    pub const COUNTRY: Self = Self(1);
    /// Names of cities.
    pub const CITY: Self = Self(2);
    /// Positions.
    pub const LOCATION: Self = Self(4);
    /// Numbers and names of networks.
    pub const NETWORK: Self = Self(8);

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of another is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What a field of an event takes; nothing for one that no database fills.
    fn of_field(name: &str) -> Self {
        match name {
            "source.geo.country_iso_code" => Self::COUNTRY,
            "source.geo.city_name" => Self::CITY,
            "source.geo.location.lat" | "source.geo.location.lon" => Self::LOCATION,
            "source.as.number" | "source.as.organization.name" => Self::NETWORK,
            _ => Self(0),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::COUNTRY, "countries"),
            (Self::CITY, "cities"),
            (Self::LOCATION, "positions"),
            (Self::NETWORK, "networks"),
        ];
        let names: Vec<&str> =
            names.iter().filter(|(given, _)| self.has(*given)).map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "none of what is known here" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

/// The databases there are, and which networks are relays.
#[derive(Clone, Debug, Default)]
pub struct Geo {
    /// What one says that stands before another goes before.
    databases: Arc<[Database]>,
    relays: Arc<Relays>,
}

impl Geo {
    /// Opens the databases of a configuration.
    pub fn open(config: &Config) -> Result<Self, GeoError> {
        let mut databases = Vec::new();
        for (path, expected) in [
            (&config.country, Given::COUNTRY),
            (&config.city, Given::LOCATION),
            (&config.asn, Given::NETWORK),
        ] {
            if let Some(path) = path {
                let database = Database::open(path)?;
                if !database.gives().has(expected) {
                    let (kind, found) = (database.kind().to_owned(), database.gives());
                    return Err(GeoError::Kind { path: path.clone(), expected, kind, found });
                }
                databases.push(database);
            }
        }
        let relays = Relays::new(&config.relays, config.known_relays).map_err(GeoError::Relay)?;
        Ok(Self { databases: databases.into(), relays: Arc::new(relays) })
    }

    /// Adds databases of whichever kind. What they say goes before.
    pub fn with_files(self, paths: &[PathBuf]) -> Result<Self, GeoError> {
        if paths.is_empty() {
            return Ok(self);
        }
        let opened: Result<Vec<Database>, GeoError> = paths.iter().map(|path| Self::open_any(path)).collect();
        let databases = opened?.into_iter().chain(self.databases.iter().cloned()).collect();
        Ok(Self { databases, ..self })
    }

    fn open_any(path: &Path) -> Result<Database, GeoError> {
        let database = Database::open(path)?;
        if database.gives() == Given::default() {
            let expected = Given::COUNTRY.and(Given::CITY).and(Given::LOCATION).and(Given::NETWORK);
            let (kind, found) = (database.kind().to_owned(), database.gives());
            return Err(GeoError::Kind { path: path.to_owned(), expected, kind, found });
        }
        Ok(database)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.databases.is_empty()
    }

    /// What all of them give together.
    pub fn gives(&self) -> Given {
        self.databases.iter().fold(Given::default(), |given, database| given.and(database.gives()))
    }

    /// Whether the field of this name is one that databases fill, and these do not.
    pub fn lacks(&self, field: &str) -> bool {
        !self.gives().has(Given::of_field(field))
    }

    /// The networks whose addresses say nothing of where somebody is.
    pub fn relays(&self) -> &Arc<Relays> {
        &self.relays
    }

    /// Bytes of all databases.
    pub fn bytes(&self) -> u64 {
        self.databases.iter().map(Database::bytes).sum()
    }

    /// A line for each database: its file, what it calls itself, when it was made, and what it has.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.databases.iter().map(Database::describe)
    }

    /// Says in an event where its client is, as far as the event does not say so itself.
    ///
    /// Nothing is said of an address that is not of the public network, and nothing of one that is in no database.
    pub fn fill<'g>(&'g self, event: &mut Event<'g>) {
        let client = event.client.map(|address| address.to_canonical());
        let Some(address) = client.filter(|address| is_public(*address)) else { return };
        event.is_placed = true;
        let mut record = Record::default();
        for database in &*self.databases {
            database.look_up(address, &mut record);
        }
        let mut set = |id: FieldId, value: Value<'g>| {
            if *event.get(id) == Value::Missing {
                event.set(id, value);
            }
        };
        if let Some(country) = record.country {
            set(field::GEO_COUNTRY, Value::text(country));
        }
        if let Some(city) = record.city {
            set(field::GEO_CITY, Value::text(city));
        }
        if let Some(number) = record.network {
            set(field::AS_NUMBER, Value::Int(i64::from(number)));
        }
        if let Some(name) = record.organisation {
            set(field::AS_ORGANISATION, Value::text(name));
        }
        // Half a position of the event and half of a database are none.
        let has_position = |event: &Event<'_>| {
            event.get(field::GEO_LATITUDE).is_some() || event.get(field::GEO_LONGITUDE).is_some()
        };
        if let (Some(latitude), Some(longitude)) = (record.latitude, record.longitude)
            && !has_position(event)
        {
            event.set(field::GEO_LATITUDE, Value::Float(latitude));
            event.set(field::GEO_LONGITUDE, Value::Float(longitude));
        }
    }
}

/// Whether an address may be anybody's on the internet: not private, of this machine, of this link or of a carrier's
/// own network.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || is_shared)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests;
