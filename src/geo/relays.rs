//! Networks whose addresses say nothing of where somebody is: relays, VPNs, satellites.

use std::collections::HashSet;

use crate::event::{Event, field};

/// Known by their numbers. Those whose addresses are spread over many countries, or belong to something that moves.
const KNOWN_NUMBERS: &[u32] = &[
    // Relays of browsers and phones: Cloudflare (WARP, iCloud Private Relay), Akamai and Fastly (iCloud Private Relay).
    13_335, 36_183, 54_113, // Gateways of companies: Zscaler, Netskope, Cisco Umbrella.
    22_616, 53_813, 62_044, 55_256, 36_692,
    // Satellites and what flies: Starlink, Viasat, Hughes, Panasonic Avionics.
    14_593, 7_155, 6_621, 64_294,
    // Hosts of most VPN services: M247, Datacamp, 31173 (Mullvad), Proton, PacketHub (NordVPN).
    9_009, 60_068, 212_238, 39_351, 209_103, 136_787, 147_049, 207_137,
];

/// Known by words of their names.
const KNOWN_NAMES: &[&str] = &[
    "avionics",
    "cloudflare",
    "datacamp",
    "gogo business",
    "hughes network",
    "icloud private relay",
    "inmarsat",
    "m247",
    "mullvad",
    "netskope",
    "nordvpn",
    "packethub",
    "proton ag",
    "satellite",
    "space exploration tech",
    "spacex",
    "viasat",
    "vpn",
    "zscaler",
];

/// Networks by number and by words of their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relays {
    numbers: HashSet<u32>,
    /// In lower case.
    names: Vec<String>,
}

impl Default for Relays {
    /// Those that are known.
    fn default() -> Self {
        Self {
            numbers: KNOWN_NUMBERS.iter().copied().collect(),
            names: KNOWN_NAMES.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

impl Relays {
    /// Networks such as `AS64500`, or words of an organisation's name in any case; and those that are known, if wanted.
    pub fn new(networks: &[String], with_known: bool) -> Result<Self, String> {
        let mut relays = Self { numbers: HashSet::new(), names: Vec::new() };
        if with_known {
            relays = Self::default();
        }
        for network in networks {
            match Network::parse(network)? {
                Network::Number(number) => drop(relays.numbers.insert(number)),
                Network::Name(name) => relays.names.push(name),
            }
        }
        Ok(relays)
    }

    /// Whether a network is one of them.
    pub fn contains(&self, number: Option<u32>, organisation: Option<&str>) -> bool {
        number.is_some_and(|number| self.numbers.contains(&number))
            || organisation.is_some_and(|organisation| {
                let organisation = organisation.to_lowercase();
                self.names.iter().any(|name| organisation.contains(name))
            })
    }

    /// Whether the client of an event is in one of them.
    pub fn contain_client(&self, event: &Event<'_>) -> bool {
        let number = event.get(field::AS_NUMBER).to_number();
        // A number that is none is no network's.
        let number = number.filter(|number| *number >= 1.0).map(|number| number as u32);
        self.contains(number, event.text(field::AS_ORGANISATION))
    }
}

/// A network in a list.
enum Network {
    Number(u32),
    Name(String),
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = digits.parse().ok().filter(|number| *number > 0);
            return number
                .map(Self::Number)
                .ok_or_else(|| format!("expected the number of a network such as AS64500, not '{text}'"));
        }
        // Two letters are in the name of everybody.
        if text.chars().count() < 3 {
            let expected = "expected a network such as AS64500, or three letters of a name at least";
            return Err(format!("{expected}, not '{text}'"));
        }
        Ok(Self::Name(text.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_known_by_number_or_by_words_of_their_name() {
        let own = ["AS64500".to_owned(), "64501".to_owned(), "Example Mobile".to_owned()];
        let relays = Relays::new(&own, true).unwrap();
        for (number, name, expected) in [
            (Some(64_500), None, true),
            (Some(64_501), Some("Anybody"), true),
            (Some(64_502), Some("EXAMPLE MOBILE GmbH"), true),
            (Some(64_502), Some("Example Fixed"), false),
            (Some(13_335), None, true),
            (None, Some("Space Exploration Technologies Corporation"), true),
            (None, Some("Starlink Country LLC"), false),
            (None, None, false),
        ] {
            assert_eq!(relays.contains(number, name), expected, "{number:?} {name:?}");
        }
        let bare = Relays::new(&own, false).unwrap();
        assert!(bare.contains(Some(64_500), None) && !bare.contains(Some(13_335), Some("Cloudflare")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "AS0", "AS99999999999", "xy"] {
            assert!(Relays::new(&[wrong.to_owned()], true).is_err(), "{wrong}");
        }
    }
}
