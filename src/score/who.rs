//! Whom an alert or a label can be about.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// The field of addresses.
pub const ADDRESS: &str = "source.ip";
/// The field of accounts.
pub const ACCOUNT: &str = "user.name";
/// How fields of what is told by webhooks begin.
pub const MESSAGING: &str = "whatsapp.";

/// Whom, or what, an alert or a label is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// An address, or the /64 of one, which is what is counted as one client.
    Address(String),
    /// An account.
    Account(String),
    /// Anything else: field and value.
    Other(String, String),
}

impl Who {
    /// Of a field and its value.
    pub fn new(field: &str, value: &str) -> Self {
        match field {
            ADDRESS => Self::address(value),
            ACCOUNT => Self::Account(value.to_owned()),
            _ => Self::Other(field.to_owned(), value.to_owned()),
        }
    }

    /// An address as a log has it, or the network that an alert has in its place.
    pub fn address(text: &str) -> Self {
        let bare = text.split('/').next().unwrap_or(text);
        match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Address(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
            Ok(address) => Self::Address(address.to_string()),
            Err(_) => Self::Address(bare.to_owned()),
        }
    }

    /// Whether it is an address or an account: somebody, not something.
    pub const fn is_somebody(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Account(_))
    }

    /// Whether webhooks tell of it.
    pub fn is_messaging(&self) -> bool {
        matches!(self, Self::Other(field, _) if field.starts_with(MESSAGING))
    }
}

/// Who had to do with whom: for each address the accounts it tried, and for each account the addresses.
#[derive(Clone, Debug, Default)]
pub struct Partners(HashMap<Who, HashSet<Who>>);

impl Partners {
    /// An address has tried an account.
    pub fn add(&mut self, address: &str, account: &str) {
        let (address, account) = (Who::address(address), Who::Account(account.to_owned()));
        self.0.entry(address.clone()).or_default().insert(account.clone());
        self.0.entry(account).or_default().insert(address);
    }

    /// Those that somebody had to do with.
    pub fn of<'p>(&'p self, who: &Who) -> impl Iterator<Item = &'p Who> {
        self.0.get(who).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        for (left, right) in [
            ("2001:db8::1", "2001:db8:0:0::/64"),
            ("2001:db8::1", "2001:db8::ffff:1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(Who::new(ADDRESS, left), Who::new(ADDRESS, right));
        }
        assert_ne!(Who::address("2001:db8::1"), Who::address("2001:db8:0:1::1"));
        assert_ne!(Who::new(ACCOUNT, "a"), Who::new("whatsapp.number", "a"));
    }
}
