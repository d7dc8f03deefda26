//! One connection and the requests on it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tower::Service;

use super::limits::Client;
use super::metrics::{Endpoint, Metrics};
use super::routes::Shared;
use super::tls::{self, Certificates, Shown};

/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of a request, about.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// A connection that is no websocket ends after this time, so that nobody holds one for ever by reading slowly.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// What it has then for a request that is being answered.
const AGED_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection holds while it is open; shared with the websocket that it may become.
pub struct Connection {
    /// Who is at the other end.
    pub client: Client,
    /// Its address.
    pub peer: SocketAddr,
    /// What it has shown.
    pub shown: Shown,
    gauge: IntGauge,
    _slot: OwnedSemaphorePermit,
    _alive: mpsc::Sender<()>,
}

impl Connection {
    /// A connection that was accepted. `alive` is dropped with it.
    pub fn new(
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
        alive: mpsc::Sender<()>,
        metrics: &Metrics,
    ) -> Self {
        let gauge = metrics.connections.clone();
        gauge.inc();
        let client = Client::at(peer.ip());
        Self { client, peer, shown: Shown::Plain, gauge, _slot: slot, _alive: alive }
    }
}

impl Connection {
    /// Whether the other end is on this machine.
    pub fn client_is_local(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Answers the requests of a connection until it ends or the service stops; over TLS when there are certificates for it.
pub async fn serve(
    stream: TcpStream,
    mut connection: Connection,
    certificates: Option<Certificates>,
    shared: Arc<Shared>,
    router: Router,
) {
    // An alert is a small frame, and must not wait for the next one.
    let _ = stream.set_nodelay(true);
    let Some(certificates) = certificates else {
        return speak(stream, Arc::new(connection), shared, router).await;
    };
    if shared.limits.handshakes.check(connection.client).is_err() {
        return shared.metrics.tls_limited.inc();
    }
    let mut stopping = shared.stopping.clone();
    let accepted = tokio::select! {
        accepted = certificates.accept(stream) => accepted,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    match accepted {
        Ok((stream, shown)) => {
            shared.metrics.tls_accepted.inc();
            connection.shown = shown;
            speak(stream, Arc::new(connection), shared, router).await;
        }
        Err(tls::Failed::Handshake) => shared.metrics.tls_failed.inc(),
        Err(tls::Failed::Slow) => shared.metrics.tls_slow.inc(),
    }
}

async fn speak<S>(stream: S, connection: Arc<Connection>, shared: Arc<Shared>, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stopping = shared.stopping.clone();
    let (header_timeout, shutdown_timeout) = (shared.config.header_timeout, shared.config.shutdown_timeout);
    let service = service_fn(move |request| {
        answer(request, Arc::clone(&connection), Arc::clone(&shared), router.clone())
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let grace = tokio::select! {
        // How it ends is the client's business: it may have gone, been too slow, or not spoken HTTP.
        _ = serving.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => shutdown_timeout,
        () = tokio::time::sleep(MAX_AGE) => AGED_TIMEOUT,
    };
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(grace, serving).await;
}

async fn answer(
    mut request: hyper::Request<Incoming>,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    router: Router,
) -> Result<Response, Infallible> {
    let endpoint = Endpoint::of(request.uri().path());
    let response = match shared.admit(endpoint, &connection, request.uri(), request.headers()) {
        Ok(()) => {
            request.extensions_mut().insert(connection);
            route(router, request).await?
        }
        Err(problem) => problem.into_response(),
    };
    shared.metrics.answered(endpoint, response.status());
    Ok(response)
}

/// A router is always ready.
fn route(
    mut router: Router,
    request: hyper::Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> {
    router.call(request)
}
