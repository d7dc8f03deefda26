//! Who may send.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// Networks that may send, such as `10.0.0.0/8`, or single addresses; everybody who can, if none is named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Allowed(Vec<IpNet>);

impl TryFrom<Vec<String>> for Allowed {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let network = |text: String| {
            text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                format!("bad network `{text}`: expected an address or a network such as `10.0.0.0/8`")
            })
        };
        texts.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl Allowed {
    /// Whether no network is named.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address may send.
    pub fn has(&self, address: IpAddr) -> bool {
        // A listener on `::` sees IPv4 addresses mapped.
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_say_who_may_send() {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"].map(str::to_owned);
        let allowed = Allowed::try_from(networks.to_vec()).unwrap();
        for (address, is_allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(allowed.has(address.parse().unwrap()), is_allowed, "{address}");
        }
        assert!(Allowed::default().has("127.0.0.1".parse().unwrap()));
        assert!(Allowed::try_from(vec!["everybody".to_owned()]).is_err());
    }
}
