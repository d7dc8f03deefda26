//! What a database says of a network, whatever its layout.
//!
//! MaxMind's own are nested (`country.iso_code`, `city.names.en`, `location.latitude`); those of DB-IP as npm has them are
//! flat (`country_code`, `city`, `latitude`), and so are IPinfo's (`asn: AS64500`, `lat`). A value that is none of these is
//! passed over.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Given;

/// What is said of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Record<'d> {
    /// Two letters (ISO 3166).
    pub country: Option<&'d str>,
    /// In English, where there are several languages.
    pub city: Option<&'d str>,
    /// Degrees, to four decimals: eleven metres, and further than any database sees.
    pub latitude: Option<f64>,
    /// As above.
    pub longitude: Option<f64>,
    /// The number of the autonomous system.
    pub network: Option<u32>,
    /// Its name.
    pub organisation: Option<&'d str>,
}

impl Record<'_> {
    /// What is in it.
    pub fn gives(&self) -> Given {
        let location = self.latitude.and(self.longitude);
        let parts = [
            (self.country.is_some(), Given::COUNTRY),
            (self.city.is_some(), Given::CITY),
            (location.is_some(), Given::LOCATION),
            (self.network.is_some(), Given::NETWORK),
        ];
        parts.iter().filter(|(is_there, _)| *is_there).fold(Given::default(), |all, (_, one)| all.and(*one))
    }
}

/// What a value is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Whole,
    Country,
    City,
    CityNames,
    Location,
    Latitude,
    Longitude,
    Network,
    Organisation,
}

impl Part {
    fn child(self, key: &str) -> Option<Self> {
        Some(match (self, key) {
            (Self::Whole, "country" | "country_code") | (Self::Country, "iso_code") => Self::Country,
            (Self::Whole, "city" | "city_name") | (Self::CityNames, "en") => Self::City,
            (Self::City, "names") => Self::CityNames,
            (Self::Whole, "location") => Self::Location,
            (Self::Whole, "traits") => Self::Whole,
            (Self::Whole | Self::Location, "latitude" | "lat") => Self::Latitude,
            (Self::Whole | Self::Location, "longitude" | "lng" | "lon") => Self::Longitude,
            (Self::Whole, "autonomous_system_number" | "as_number" | "asn") => Self::Network,
            (Self::Whole, "autonomous_system_organization" | "as_organization" | "as_name") => {
                Self::Organisation
            }
            _ => return None,
        })
    }
}

/// Fills what is missing in a record.
pub struct Fill<'r, 'd> {
    record: &'r mut Record<'d>,
    part: Part,
}

impl<'r, 'd> Fill<'r, 'd> {
    /// Out of a whole record.
    pub const fn new(record: &'r mut Record<'d>) -> Self {
        Self { record, part: Part::Whole }
    }

    fn number(self, number: f64) {
        let within = |most: f64| Some((number * 1e4).round() / 1e4).filter(|number| number.abs() <= most);
        match self.part {
            Part::Latitude => self.record.latitude = self.record.latitude.or(within(90.0)),
            Part::Longitude => self.record.longitude = self.record.longitude.or(within(180.0)),
            // A number is whole: anything else is none.
            Part::Network if number >= 1.0 && number <= f64::from(u32::MAX) => {
                self.record.network = self.record.network.or(Some(number as u32));
            }
            _ => {}
        }
    }
}

impl<'d> DeserializeSeed<'d> for Fill<'_, 'd> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for Fill<'_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&str>()? {
            match self.part.child(key) {
                Some(part) => map.next_value_seed(Fill { record: &mut *self.record, part })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'d str) -> Result<(), E> {
        let record = &mut *self.record;
        let some = Some(text).filter(|text| !text.is_empty());
        match self.part {
            // Some layouts have the name of the country under the same key.
            Part::Country => record.country = record.country.or(some.filter(|text| text.len() == 2)),
            Part::City => record.city = record.city.or(some),
            Part::Organisation => record.organisation = record.organisation.or(some),
            Part::Network => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                record.network = record.network.or(digits.parse().ok().filter(|number| *number > 0));
            }
            Part::Latitude | Part::Longitude => {
                if let Ok(number) = text.parse() {
                    self.number(number);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.number(number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.number(number as f64);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.number(number as f64);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_bytes<E>(self, _: &'d [u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
