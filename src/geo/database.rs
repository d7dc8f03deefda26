//! One database: opened, looked into, looked up.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::Reader;
use serde::de::{Deserialize, DeserializeSeed, Deserializer};

use super::record::{Fill, Record};
use super::{GeoError, Given};
use crate::event::Timestamp;

/// Networks that are looked at to find out what a database gives: a city is missing in some.
const SAMPLED_NETWORKS: usize = 2_000;

/// A database in memory.
#[derive(Clone, Debug)]
pub struct Database {
    path: PathBuf,
    reader: Arc<Reader<Vec<u8>>>,
    gives: Given,
    bytes: u64,
}

impl Database {
    /// Reads a file and looks what is in it.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let buffer = std::fs::read(path).map_err(|error| GeoError::Io { path: path.to_owned(), error })?;
        let bytes = buffer.len() as u64;
        let fault = |error: maxminddb::MaxMindDbError| GeoError::Format {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let reader = Reader::from_source(buffer).map_err(fault)?;
        let mut gives = Given::default();
        for network in reader.networks(Default::default()).map_err(fault)?.take(SAMPLED_NETWORKS) {
            if let Some(Whole(record)) = network.and_then(|network| network.decode()).map_err(fault)? {
                gives = gives.and(record.gives());
            }
        }
        Ok(Self { path: path.to_owned(), reader: Arc::new(reader), gives, bytes })
    }

    /// What it gives.
    pub const fn gives(&self) -> Given {
        self.gives
    }

    /// What it calls itself.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// Its bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One line for the operator.
    pub fn describe(&self) -> String {
        let built = i64::try_from(self.reader.metadata().build_epoch).unwrap_or(i64::MAX);
        let built = Timestamp::from_seconds(built).to_string();
        let built = built.get(..10).unwrap_or(&built);
        format!("{}: {} of {built} with {}", self.path.display(), self.kind(), self.gives)
    }

    /// Fills what is missing in a record with what is said of an address. Where the database is broken, nothing is.
    pub fn look_up<'d>(&'d self, address: IpAddr, record: &mut Record<'d>) {
        let found = self.reader.lookup(address).and_then(|found| found.decode());
        if let Ok(Some(Whole(found))) = found {
            record.country = record.country.or(found.country);
            record.city = record.city.or(found.city);
            if record.latitude.is_none() || record.longitude.is_none() {
                (record.latitude, record.longitude) = (found.latitude, found.longitude);
            }
            record.network = record.network.or(found.network);
            record.organisation = record.organisation.or(found.organisation);
        }
    }
}

/// A record out of a database.
struct Whole<'d>(Record<'d>);

impl<'d> Deserialize<'d> for Whole<'d> {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = Record::default();
        Fill::new(&mut record).deserialize(deserializer)?;
        Ok(Self(record))
    }
}
