//! Webhooks: what others send when something happens, each delivery signed with a secret that both sides know.
//!
//! | endpoint | answers |
//! |---|---|
//! | `GET /webhooks/whatsapp` | the handshake of the WhatsApp Business Platform ([`whatsapp`]) |
//! | `POST /webhooks/whatsapp` | its updates |
//! | `POST /webhooks/generic/{source}` | JSON events of anybody who signs them ([`generic`]) |
//! | `POST /webhooks/twilio` | WhatsApp by way of Twilio ([`twilio`]) |
//!
//! The signature is the authentication: no token is asked for, and no `Host` or `Origin` is looked at, because whoever
//! sends webhooks comes with neither. What all endpoints do with a delivery is in `receive`.
//!
//! # What is promised
//! - 200 means that the lines are on stable storage, or that there was nothing to store. What is not stored is never 200,
//!   so that it comes again.
//! - What was signed and cannot be understood is 200 and a dead letter: it would come again for days, and be no better.
//!   What stands beside it is stored.
//! - A signature that is refused, whatever is wrong with it, gets one and the same answer. It and each handshake are
//!   events themselves, for the rules to look at (`feed`); beyond fifty a second they are only counted.
//! - What forgers cost has a bound: bodies are read only behind the header of a signature, the memory for them is limited,
//!   and an address that sent too many is not looked at for a while. An address of the loopback interface is a proxy,
//!   behind which the platform is as well, and is never shut out: name it in `proxies`, and whom it forwards for will be.

pub mod config;
mod feed;
mod form;
pub mod generic;
mod keep;
mod metrics;
mod receive;
pub mod secrets;
pub mod signature;
pub mod twilio;
pub mod whatsapp;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use prometheus::Registry;
use tokio::sync::Semaphore;

use crate::decode::client::TrustedProxies;
use crate::event::Timestamp;
use crate::intake::Stream;
use crate::journal::Writer;
use crate::telemetry::Occasional;
use crate::whatsapp::Context;
pub use config::Config;
use feed::Feed;
use keep::{Kept, NotKept, keep};
use metrics::{Metrics, SourceMetrics};
use receive::Budget;
use secrets::SecretError;
use signature::Keys;

/// The name of the source that the webhooks of WhatsApp are.
pub const WHATSAPP: &str = "whatsapp";
/// The name of the source that registered sends are.
pub const SENDS: &str = "sends";
/// The name of the source that Twilio's are.
pub const TWILIO: &str = "twilio";

/// Most bytes of a delivery: the platform sends no more.
pub const MAX_BODY_BYTES: usize = 3 << 20;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Large bodies that are checked and read at the same time: what they become may be several times as large.
const MAX_LARGE_READS: usize = 4;

/// What webhooks need.
pub struct Parts {
    /// Where lines go.
    pub journal: Writer,
    /// What bodies are read with.
    pub context: Arc<Context>,
}

/// Why no webhooks can be taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Metrics are registered twice.
    #[error("cannot count: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Takes webhooks.
pub struct Webhooks {
    whatsapp: Option<whatsapp::Endpoint>,
    generic: BTreeMap<String, generic::Endpoint>,
    twilio: Option<twilio::Endpoint>,
    proxies: TrustedProxies,
    /// Shared with threads on which large bodies are read.
    context: Arc<Context>,
    /// What registered sends are called.
    sends: Arc<Stream>,
    journal: Writer,
    feed: Feed,
    budget: Budget,
    large_reads: Arc<Semaphore>,
    metrics: Metrics,
    said: Said,
}

/// What is logged now and then: whoever forges must not fill the disk.
#[derive(Default)]
struct Said {
    refused: Occasional,
    not_stored: Occasional,
    unreadable: Occasional,
    unknown: Occasional,
    handshakes: Occasional,
}

/// Who sends.
struct Source {
    /// What its lines are called.
    stream: Arc<Stream>,
    /// What it signs with.
    keys: Keys,
    metrics: SourceMetrics,
}

impl Source {
    fn new(name: &str, tenant: &str, keys: Keys, metrics: &Metrics) -> Self {
        let stream = Stream { source: name.into(), tenant: tenant.into(), name: name.into() };
        let metrics = metrics.source(name, keys.names());
        Self { stream: Arc::new(stream), keys, metrics }
    }
}

impl Webhooks {
    /// Reads the secrets of all webhooks in the configuration and registers what is counted.
    pub fn open(config: &Config, parts: Parts, registry: &Registry) -> Result<Self, WebhookError> {
        let metrics = Metrics::register(registry)?;
        let whatsapp = config.whatsapp.as_ref().map(|config| whatsapp::Endpoint::open(config, &metrics));
        let twilio = config.twilio.as_ref().map(|config| twilio::Endpoint::open(config, &metrics));
        let generic = config.generic.iter().map(|(name, config)| {
            generic::Endpoint::open(name, config, &metrics).map(|endpoint| (name.clone(), endpoint))
        });
        Ok(Self {
            whatsapp: whatsapp.transpose()?,
            generic: generic.collect::<Result<_, _>>()?,
            twilio: twilio.transpose()?,
            proxies: config.proxies.clone(),
            // They are held against what the platform says, so they are the same tenant's.
            sends: Arc::new(Stream {
                source: SENDS.into(),
                tenant: config.tenant().into(),
                name: SENDS.into(),
            }),
            context: parts.context,
            feed: Feed::new(parts.journal.clone()),
            journal: parts.journal,
            budget: Budget::default(),
            large_reads: Arc::new(Semaphore::new(MAX_LARGE_READS)),
            metrics,
            said: Said::default(),
        })
    }

    /// What bodies are read with.
    pub(super) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// Stores registered sends.
    pub(super) async fn keep_sends(
        &self,
        lines: String,
        keys: Vec<u64>,
        received: Timestamp,
    ) -> Result<Kept, NotKept> {
        keep(&self.journal, &self.sends, lines, keys, received).await
    }

    /// Who asks: the peer, or whom a proxy that is believed forwards for.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.ip().to_canonical();
        if !self.proxies.contains(peer) {
            return peer;
        }
        let lists = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let list = lists.collect::<Vec<_>>().join(",");
        self.proxies.forwarded(peer, &list).map_or(peer, |(_, client)| client)
    }
}
