//! What is known about the traffic: the truth a detection is measured against.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::generate::kinds::Kind;

/// One staged attack or innocent, as a line of the label file has it.
///
/// The lines an attack wrote are those of its subject between `start` and `end`, both included: no other
/// line has the subject's addresses, or, for an account, its name. Webhooks are about the business, whoever
/// caused them, so there others come between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What was staged.
    pub kind: Kind,
    /// How patiently.
    pub speed: Speed,
    /// Who did it, or to whom it was done.
    pub subject: Subject,
    /// The second of its first line, RFC 3339 in UTC.
    pub start: String,
    /// The second after its last line, RFC 3339 in UTC.
    pub end: String,
    /// How many lines it wrote.
    pub lines: u64,
    /// Where it wrote them.
    pub stream: Stream,
    /// Whether somebody should be woken.
    pub expect_paged: bool,
}

/// Whom a label is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subject {
    /// One address. What counts IPv6 by network will call it by its /64.
    Address {
        /// The address.
        #[serde(rename = "source.ip")]
        address: IpAddr,
    },
    /// Several addresses that act together, or one machine that changes its address within its own /64.
    Addresses {
        /// The addresses.
        #[serde(rename = "source.ip")]
        addresses: Vec<IpAddr>,
    },
    /// One account, whatever the addresses.
    Account {
        /// Its name.
        #[serde(rename = "user.name")]
        account: String,
    },
    /// One number of the business on WhatsApp. Ordinary webhooks are about it too.
    Number {
        /// Its id.
        #[serde(rename = "whatsapp.phone_number_id")]
        phone_number_id: String,
    },
    /// The WhatsApp Business account as a whole.
    Business {
        /// Its id.
        #[serde(rename = "whatsapp.waba.id")]
        waba_id: String,
    },
}

/// How patient an attacker is: minutes, or the better part of an hour and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// Over within minutes, in a hurry.
    Fast,
    /// Spread over time, to stay under what counts in minutes.
    Slow,
}

/// Which of the outputs a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The access log, in combined format.
    Access,
    /// The application's own events, as JSON lines.
    Events,
    /// Bodies of webhooks, as the WhatsApp Business Platform posts them.
    Webhooks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_the_trip_to_a_file() {
        for subject in [
            Subject::Address { address: IpAddr::from([198, 18, 0, 7]) },
            Subject::Addresses {
                addresses: vec![IpAddr::from([198, 18, 0, 7]), IpAddr::from([198, 19, 0, 7])],
            },
            Subject::Account { account: "ana.silva".into() },
            Subject::Number { phone_number_id: "106540352242922".into() },
            Subject::Business { waba_id: "102290129340398".into() },
        ] {
            let label = Label {
                kind: Kind::PasswordSpray,
                speed: Speed::Slow,
                subject,
                start: "2026-11-24T10:00:00Z".into(),
                end: "2026-11-24T11:00:00Z".into(),
                lines: 60,
                stream: Stream::Events,
                expect_paged: true,
            };
            let line = serde_json::to_string(&label).expect("a label is JSON");
            assert!(line.starts_with(r#"{"kind":"password_spray","speed":"slow","subject":{"#), "{line}");
            assert_eq!(serde_json::from_str::<Label>(&line).expect("and comes back"), label);
        }
    }
}
