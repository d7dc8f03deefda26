//! Everything that is asked of Watchbell over HTTP: metrics, health, the stream as a websocket, lines that are pushed.
//!
//! Safe as it is: it listens on the loopback interface unless told otherwise, and elsewhere only with a token. Without
//! one it answers nobody whom a web page has sent here ([`auth`]). What a client may take is bounded everywhere:
//! connections, requests by address ([`limits`]), time to say what it wants, bytes, and time without reading.
//!
//! | endpoint | answers |
//! |---|---|
//! | `GET /metrics` | metrics in the text format of Prometheus |
//! | `GET /healthz` | 200 while the engine lives |
//! | `GET /readyz` | 200 when everything has started and nothing is stopping |
//! | `GET /v1/stream` | a websocket (`socket`) |
//! | `POST /v1/events` | takes lines of logs (`push`) |
//! | `GET /v1/rules/what-if` | how many alerts rules would have opened with other thresholds (`what_if`) |
//! | `POST /v1/sends` | takes what the business says that it sent (`sends`) |
//! | `/webhooks/...` | takes what others send when something happens, signed ([`webhooks`]) |
//!
//! The same is served over TLS at an address of its own ([`tls`]), when there are certificates.
//!
//! Errors are problems as RFC 9457 has them (`problem`).

pub mod auth;
mod body;
pub mod config;
mod connection;
pub mod limits;
mod metrics;
mod problem;
mod push;
mod readiness;
mod routes;
mod sends;
mod socket;
pub mod tls;
pub mod webhooks;
mod what_if;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::intake::{Inlet, Stream};
use crate::live::Reports;
use crate::sources;
use crate::stream::Hub;
use auth::{Gate, TokenError};
pub use config::Config;
use connection::Connection;
pub use readiness::{EngineLife, Readiness};
use routes::Shared;
use tls::{Certificates, TlsError};
pub use webhooks::Webhooks;

/// How long no connection is accepted after the system could not give one: it has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How much longer than [`Config::shutdown_timeout`] is waited for what must have ended by then.
const CUT_OFF: Duration = Duration::from_millis(200);

/// What there is to serve.
pub struct State {
    /// Where everybody counts.
    pub registry: Registry,
    /// Where the stream comes from.
    pub hub: Arc<Hub>,
    /// Where pushed lines go; `None` when there is no such source.
    pub push: Option<Push>,
    /// Where webhooks go; `None` when none are taken.
    pub webhooks: Option<Webhooks>,
    /// What the engine has written down.
    pub reports: Arc<Reports>,
    /// Whether the service is alive and ready.
    pub readiness: Arc<Readiness>,
    /// What the sources count.
    pub sources: sources::Metrics,
}

/// Where pushed lines go.
pub struct Push {
    /// The way to the engine.
    pub inlet: Inlet,
    /// What the lines are called there.
    pub stream: Arc<Stream>,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is none of this machine, or is taken.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Others than this machine could connect, and anybody could read everything.
    #[error(
        "{0} can be reached from other machines, which needs a token: put one of at least {min} characters into a file \
         that is named by token_file, or into {variable}, or listen on 127.0.0.1",
        min = auth::MIN_TOKEN_CHARS,
        variable = auth::TOKEN_VARIABLE
    )]
    TokenNeeded(SocketAddr),
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Certificates cannot be used.
    #[error("serve.tls: {0}")]
    Tls(#[from] TlsError),
    /// Metrics are registered twice.
    #[error("cannot count: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A socket that listens already, so that its address is known.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    /// Where TLS is spoken.
    encrypted: Option<Encrypted>,
    gate: Gate,
    config: Config,
}

struct Encrypted {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Certificates,
}

impl Encrypted {
    async fn bind(config: &tls::Config) -> Result<Self, ServeError> {
        let to_read = config.clone();
        // A panic would be a bug of whoever parses certificates.
        let read = tokio::task::spawn_blocking(|| Certificates::read(to_read)).await;
        let certificates = read.map_err(|_| TlsError::NoCertificate(config.certificate.clone()))??;
        let (listener, address) = listen(config.listen).await?;
        Ok(Self { listener, address, certificates })
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Checks the configuration and listens. The token is that of the configuration, or in the file that it names, or in
/// [`auth::TOKEN_VARIABLE`].
pub async fn bind(config: Config) -> Result<Bound, ServeError> {
    let token = match &config.token {
        Some(token) => Some(token.clone()),
        None => auth::read_token(config.token_file.as_deref())?,
    };
    let addresses = [Some(config.listen), config.tls.as_ref().map(|tls| tls.listen)];
    let elsewhere = addresses.into_iter().flatten().find(|at| !at.ip().to_canonical().is_loopback());
    if let Some(address) = elsewhere.filter(|_| token.is_none()) {
        return Err(ServeError::TokenNeeded(address));
    }
    let encrypted = match &config.tls {
        Some(tls) => Some(Encrypted::bind(tls).await?),
        None => None,
    };
    let (listener, address) = listen(config.listen).await?;
    Ok(Bound { listener, address, encrypted, gate: Gate::new(token), config })
}

impl Bound {
    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.encrypted.as_ref().map(|encrypted| encrypted.address)
    }

    /// The certificates that it shows, to read them again.
    pub fn certificates(&self) -> Option<Certificates> {
        self.encrypted.as_ref().map(|encrypted| encrypted.certificates.clone())
    }

    /// Serves until `shutdown` is over. Then no connection is accepted any more, requests are finished, and websockets
    /// get what waits for them and are closed; what takes longer than [`Config::shutdown_timeout`] is cut off.
    pub async fn serve(self, state: State, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, encrypted, gate, config, .. } = self;
        let needs_certificate =
            encrypted.as_ref().is_some_and(|encrypted| encrypted.certificates.guards_webhooks());
        let shutdown_timeout = config.shutdown_timeout;
        let slots = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        let (stop, stopping) = watch::channel(false);
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let shared = Arc::new(Shared::new(config, gate, needs_certificate, state, stopping)?);
        let router = routes::router(Arc::clone(&shared));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                (accepted, certificates) = accept(&listener, encrypted.as_ref()) => match accepted {
                    Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                        Ok(slot) => {
                            let connection = Connection::new(peer, slot, alive.clone(), &shared.metrics);
                            let (shared, router) = (Arc::clone(&shared), router.clone());
                            connections.spawn(connection::serve(stream, connection, certificates, shared, router));
                        }
                        Err(_) => shared.metrics.refused_connections.inc(),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop((listener, encrypted, alive, router));
        shared.readiness.stop();
        let _ = stop.send(true);
        let finished = async {
            while connections.join_next().await.is_some() {}
            // Websockets outlive the task that accepted them: the last one to go closes this.
            gone.recv().await
        };
        if tokio::time::timeout(shutdown_timeout + CUT_OFF, finished).await.is_err() {
            tracing::warn!("connections were cut off because they took too long to end");
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// The next connection, and what to show it if it is to speak TLS.
async fn accept(
    listener: &TcpListener,
    encrypted: Option<&Encrypted>,
) -> (std::io::Result<(TcpStream, SocketAddr)>, Option<Certificates>) {
    let Some(Encrypted { listener: other, certificates, .. }) = encrypted else {
        return (listener.accept().await, None);
    };
    tokio::select! {
        accepted = listener.accept() => (accepted, None),
        accepted = other.accept() => (accepted, Some(certificates.clone())),
    }
}
