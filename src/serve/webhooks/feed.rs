//! Events about the webhooks themselves: signatures that were refused, and handshakes.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;

use crate::decode::Format;
use crate::intake::{Lines, Stream, now};
use crate::journal::{Record, Writer};

/// Most events a second, and at once, of what strangers can do.
const MAX_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("it is not 0");

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A delivery without a signature.
    SignatureMissing,
    /// A delivery with a wrong one.
    SignatureRejected,
    /// A handshake with the right token.
    HandshakeAccepted,
    /// Any other handshake.
    HandshakeRefused,
}

impl Happening {
    const fn action(self) -> &'static str {
        match self {
            Self::SignatureMissing => "signature_missing",
            Self::SignatureRejected => "signature_rejected",
            Self::HandshakeAccepted => "handshake_accepted",
            Self::HandshakeRefused => "handshake_refused",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::HandshakeAccepted => "success",
            _ => "failure",
        }
    }
}

/// Tells the journal.
pub struct Feed {
    journal: Writer,
    strangers: DefaultDirectRateLimiter,
    /// Of those who know the token: no flood of strangers hides them.
    accepted: DefaultDirectRateLimiter,
}

impl Feed {
    /// A feed into a journal.
    pub fn new(journal: Writer) -> Self {
        let limiter = || RateLimiter::direct(Quota::per_second(MAX_PER_SECOND));
        Self { journal, strangers: limiter(), accepted: limiter() }
    }

    /// Makes an event of it; `false` when there are too many, or the journal takes no more.
    pub fn tell(&self, stream: &Arc<Stream>, happening: Happening, client: IpAddr) -> bool {
        let limiter =
            if happening == Happening::HandshakeAccepted { &self.accepted } else { &self.strangers };
        if limiter.check().is_err() {
            return false;
        }
        let received = now();
        let mut line = json!({
            "@timestamp": received,
            "event.module": "whatsapp",
            "event.dataset": "whatsapp.webhook",
            "event.category": "webhook",
            "event.action": happening.action(),
            "event.outcome": happening.outcome(),
            "source.ip": client,
        });
        if &*stream.source != super::WHATSAPP {
            line["event.provider"] = (*stream.source).into();
        }
        let stream = Arc::clone(stream);
        let (text, format) = (format!("{line}\n"), Format::Json);
        let lines = Lines { stream, text, format, received, offset: None, counted: None };
        self.journal.append(Record { lines, keys: Vec::new(), stored: None }).is_ok()
    }
}
