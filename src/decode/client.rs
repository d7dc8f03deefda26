//! Who asked: the peer of the connection, or the address that a trusted proxy forwarded for.
//!
//! `X-Forwarded-For` and `Forwarded` are written by whoever sends them, so they are believed only as far as
//! a chain of configured proxies vouches for them, read from the right. IPv4-mapped IPv6 addresses are IPv4.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::Deserialize;

/// The networks of the proxies whose forwarding headers are believed; none unless set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<IpNetOrAddress>);

/// `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct IpNetOrAddress(IpNet);

impl TryFrom<String> for IpNetOrAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| format!("bad proxy `{text}`: expected an address or a network such as `10.0.0.0/8`"))
    }
}

impl FromIterator<IpNet> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().map(IpNetOrAddress).collect())
    }
}

impl TrustedProxies {
    /// Whether nothing is trusted, so that forwarding headers need not be looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is one of the proxies.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.0.contains(&address))
    }

    /// The first hop, from the right, that is not a trusted proxy: its text in `forwarded` and its address.
    ///
    /// `None` when the peer itself is not trusted or the last hop is not readable: the peer is the client. Anything
    /// else that is not an address (`unknown`, `_hidden`, `-`, junk) stops the walk too, and the trusted proxy that
    /// wrote it down is the client: what is left of it may have been made up by whoever sent the request.
    pub fn forwarded<'t>(&self, peer: IpAddr, forwarded: &'t str) -> Option<(&'t str, IpAddr)> {
        if !self.contains(peer) {
            return None;
        }
        let mut client = None;
        for hop in hops_from_the_right(forwarded) {
            let Some((text, address)) = hop_address(hop) else { break };
            client = Some((text, address));
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// The address of one element of `X-Forwarded-For` or `Forwarded`.
fn hop_address(element: &str) -> Option<(&str, IpAddr)> {
    let element = element.trim();
    if !element.contains('=') {
        return address_with_port(unquote(element));
    }
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") { address_with_port(unquote(value.trim())) } else { None }
    })
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The elements of a list; empty ones say nothing, as in every list of HTTP.
fn hops_from_the_right(list: &str) -> impl Iterator<Item = &str> {
    list.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty())
}

/// Whether `text` is the list of who forwarded a request: its last element, which a proxy wrote, is an address.
///
/// What stands before that is anybody's, and no reason to look elsewhere.
pub(super) fn is_forwarding_list(text: &str) -> bool {
    hops_from_the_right(text).next().is_some_and(|last| hop_address(last).is_some())
}

/// An address as logged, and parsed. `::ffff:192.0.2.1` is `192.0.2.1`; a zone (`%eth0`) is no part of it.
#[inline]
pub(super) fn address(text: &str) -> Option<(&str, IpAddr)> {
    if let Some(address) = ipv4(text.as_bytes()) {
        return Some((text, IpAddr::V4(address)));
    }
    ipv6(text)
}

fn ipv6(text: &str) -> Option<(&str, IpAddr)> {
    if !text.as_bytes().contains(&b':') {
        return None;
    }
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    let address = text.parse::<std::net::Ipv6Addr>().ok()?;
    match address.to_ipv4_mapped() {
        Some(mapped) => {
            let tail = text.rsplit(':').next().filter(|tail| ipv4(tail.as_bytes()).is_some());
            Some((tail.unwrap_or(text), IpAddr::V4(mapped)))
        }
        None => Some((text, IpAddr::V6(address))),
    }
}

/// An address that may have a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `2001:db8::1`.
pub(super) fn address_with_port(text: &str) -> Option<(&str, IpAddr)> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').and_then(|(inner, _port)| ipv6(inner));
    }
    address(text).or_else(|| {
        let (host, port) = text.rsplit_once(':')?;
        ipv4(host.as_bytes()).filter(|_| is_port(port)).map(|address| (host, IpAddr::V4(address)))
    })
}

/// `address:port` where the port is always there, as HAProxy writes it: `2001:db8::1:4711`.
pub(super) fn address_before_port(text: &str) -> Option<(&str, IpAddr)> {
    let (host, port) = text.rsplit_once(':')?;
    if !is_port(port) {
        return None;
    }
    address(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

pub(super) fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[inline]
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&text.len()) {
        return None;
    }
    let (mut address, mut octet, mut length, mut dots) = (0u32, 0u32, 0, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                octet = octet * 10 + u32::from(byte - b'0');
                length += 1;
            }
            b'.' if length > 0 && octet < 256 => {
                address = address << 8 | octet;
                (octet, length) = (0, 0);
                dots += 1;
            }
            _ => return None,
        }
        if length > 3 {
            return None;
        }
    }
    (dots == 3 && length > 0 && octet < 256).then(|| Ipv4Addr::from(address << 8 | octet))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        ["10.0.0.0/8", "2001:db8:1::/48"].iter().map(|network| network.parse().unwrap()).collect()
    }

    #[test]
    fn forwarded_addresses_are_read_from_the_right() {
        for (peer, header, client) in [
            ("10.0.0.1", "203.0.113.7", Some("203.0.113.7")),
            ("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.9.9.9", Some("203.0.113.7")),
            ("10.0.0.1", "10.1.1.1, 10.2.2.2", Some("10.1.1.1")),
            ("10.0.0.1", "1.1.1.1, junk, 10.2.2.2", Some("10.2.2.2")),
            ("10.0.0.1", "unknown, 203.0.113.7", Some("203.0.113.7")),
            ("10.0.0.1", "1.1.1.1, unknown", None),
            ("10.0.0.1", "1.1.1.1, -, 10.2.2.2", Some("10.2.2.2")),
            ("10.0.0.1", "1.1.1.1, 203.0.113.7, , 10.2.2.2,", Some("203.0.113.7")),
            ("10.0.0.1", "[2001:db8::7], 10.2.2.2:80", Some("2001:db8::7")),
            ("10.0.0.1", "junk", None),
            ("10.0.0.1", "", None),
            ("192.0.2.1", "203.0.113.7", None),
            ("10.0.0.1", "203.0.113.7:5555", Some("203.0.113.7")),
            ("10.0.0.1", "[2001:db8::7]:5555", Some("2001:db8::7")),
            ("10.0.0.1", "::ffff:203.0.113.7", Some("203.0.113.7")),
            ("2001:db8:1::5", "2001:db8::7", Some("2001:db8::7")),
            (
                "10.0.0.1",
                r#"for="[2001:db8:cafe::17]:4711";proto=http;by=203.0.113.43"#,
                Some("2001:db8:cafe::17"),
            ),
            ("10.0.0.1", "for=192.0.2.43, For=198.51.100.17;proto=https", Some("198.51.100.17")),
            ("10.0.0.1", "for=192.0.2.43, for=_hidden", None),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(trusted().forwarded(peer, header).map(|(text, _)| text), client, "{header}");
        }
    }

    #[test]
    fn nothing_is_trusted_by_default() {
        assert!(TrustedProxies::default().forwarded("127.0.0.1".parse().unwrap(), "1.1.1.1").is_none());
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(address("::ffff:192.0.2.1"), Some(("192.0.2.1", "192.0.2.1".parse().unwrap())));
        assert_eq!(address("::ffff:c000:201"), Some(("::ffff:c000:201", "192.0.2.1".parse().unwrap())));
        assert_eq!(address("fe80::1%eth0"), Some(("fe80::1", "fe80::1".parse().unwrap())));
    }

    #[test]
    fn ports() {
        assert_eq!(address_before_port("2001:db8::1:4711").map(|(text, _)| text), Some("2001:db8::1"));
        assert_eq!(address_before_port("192.0.2.1:4711").map(|(text, _)| text), Some("192.0.2.1"));
        assert_eq!(address_before_port("192.0.2.1"), None);
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        #[derive(Deserialize)]
        struct Config {
            proxies: TrustedProxies,
        }
        let config: Config = toml::from_str(r#"proxies = ["10.0.0.0/8", "192.0.2.1", "::1"]"#).unwrap();
        assert!(config.proxies.contains("10.2.3.4".parse().unwrap()));
        assert!(config.proxies.contains("192.0.2.1".parse().unwrap()));
        assert!(!config.proxies.contains("192.0.2.2".parse().unwrap()));
        assert!(toml::from_str::<Config>(r#"proxies = ["proxy.example"]"#).is_err());
    }

    #[test]
    fn forwarding_lists() {
        for (text, expected) in [
            ("203.0.113.7, 10.0.0.1", true),
            ("2001:db8::1", true),
            ("unknown, 10.0.0.1", true),
            ("_hidden, 203.0.113.7:99, 10.0.0.1", true),
            ("<script>, [2001:db8::1]", true),
            ("for=_hidden, for=192.0.2.43;proto=https", true),
            ("203.0.113.7, unknown", false),
            ("unknown", false),
            ("_hidden", false),
            (",", false),
            ("shop.example", false),
            ("-", false),
            ("", false),
            ("0.004", false),
        ] {
            assert_eq!(is_forwarding_list(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_read_as_the_standard_library_reads_them(text in "[0-9.]{5,17}|[0-9]{1,3}(\\.[0-9]{1,3}){3}") {
            // Leading zeros, which the standard library refuses, are decimal in every log.
            let plain: Vec<String> = text.split('.').map(|octet| {
                let short = octet.trim_start_matches('0');
                if octet.len() <= 3 && !octet.is_empty() && short.is_empty() { "0".into() } else if octet.len() <= 3 { short.into() } else { octet.to_owned() }
            }).collect();
            prop_assert_eq!(ipv4(text.as_bytes()), plain.join(".").parse::<Ipv4Addr>().ok());
        }

        #[test]
        fn nothing_panics(peer in "\\PC{0,20}", header in "\\PC{0,60}") {
            address(&peer);
            address_with_port(&peer);
            address_before_port(&peer);
            is_forwarding_list(&header);
            trusted().forwarded("10.0.0.1".parse().unwrap(), &header);
        }
    }
}
