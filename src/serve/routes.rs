//! Who is let in, and who answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State as Extracted;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Registry, TextEncoder};
use tokio::sync::{Semaphore, watch};

use super::auth::{Gate, Refusal};
use super::connection::Connection;
use super::limits::{Client, Exceeded, Limits};
use super::metrics::{Endpoint, Metrics};
use super::problem::Problem;
use super::tls::Shown;
use super::webhooks::{self, Webhooks};
use super::{Config, Push, Readiness, State, push, sends, socket, what_if};
use crate::live::Reports;
use crate::sources;
use crate::stream::Hub;
use crate::telemetry::Occasional;

/// What all requests share.
pub struct Shared {
    /// How to serve.
    pub config: Config,
    /// Who is let in.
    gate: Gate,
    /// Whether webhooks must come from clients with the right certificate.
    needs_certificate: bool,
    /// How often clients may ask.
    pub limits: Limits,
    /// What was counted.
    pub metrics: Metrics,
    /// Where the stream comes from.
    pub hub: Arc<Hub>,
    /// Where pushed lines go.
    pub push: Option<Push>,
    /// How many pushes are taken at a time.
    pub pushes: Semaphore,
    /// Where webhooks go.
    pub webhooks: Option<Webhooks>,
    /// What the engine has written down.
    pub reports: Arc<Reports>,
    /// Whether the service is ready.
    pub readiness: Arc<Readiness>,
    /// Whether it is stopping.
    pub stopping: watch::Receiver<bool>,
    sources: sources::Metrics,
    /// Refusals are logged now and then: whoever guesses must not fill the disk.
    refusals: Occasional,
    registry: Registry,
}

impl Shared {
    /// Registers metrics.
    pub fn new(
        config: Config,
        gate: Gate,
        needs_certificate: bool,
        state: State,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refusals: Occasional::default(),
            limits: Limits::new(&config.limits),
            metrics: Metrics::new(&state.registry)?,
            config,
            gate,
            needs_certificate,
            hub: state.hub,
            push: state.push,
            pushes: Semaphore::new(push::MAX_PUSHES),
            webhooks: state.webhooks,
            reports: state.reports,
            readiness: state.readiness,
            stopping,
            sources: state.sources,
            registry: state.registry,
        })
    }

    /// Whether a request is let in: not too often, and by whoever may ask.
    pub fn admit(
        &self,
        endpoint: Endpoint,
        connection: &Connection,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let peer = connection.peer;
        if endpoint.is_webhook() {
            // Whoever sends them has no token, and is asked for a signature where the body is read.
            let client = self.webhooks.as_ref().map_or(peer.ip(), |webhooks| webhooks.client(peer, headers));
            self.limits.webhooks.check(Client::at(client)).map_err(too_many_requests)?;
            return self.check_certificate(endpoint, connection);
        }
        let client = Client::at(peer.ip());
        let limit = match endpoint {
            Endpoint::Stream => &self.limits.connects,
            Endpoint::Events | Endpoint::Sends => &self.limits.pushes,
            _ => &self.limits.reads,
        };
        limit.check(client).map_err(too_many_requests)?;
        let is_open = matches!(endpoint, Endpoint::Health | Endpoint::Ready);
        if self.gate.needs_token() && is_open {
            return Ok(());
        }
        if self.gate.needs_token()
            && let Some(wait) = self.limits.wrong_tokens.blocked_for(client)
        {
            return Err(too_many_wrong_tokens().retry_after(wait));
        }
        let Err(refusal) = self.gate.check(uri, headers) else { return Ok(()) };
        Err(match refusal {
            Refusal::NoToken | Refusal::WrongToken => {
                self.metrics.authentication_failures.inc();
                self.say_refused(endpoint, peer, refusal);
                let wait = match refusal {
                    Refusal::WrongToken => self.limits.wrong_tokens.note(client),
                    _ => None,
                };
                match wait {
                    Some(wait) => too_many_wrong_tokens().retry_after(wait),
                    None => Problem::new(StatusCode::UNAUTHORIZED, refusal.detail()).with_header(
                        WWW_AUTHENTICATE,
                        HeaderValue::from_static("Bearer realm=\"watchbell\""),
                    ),
                }
            }
            Refusal::ForeignHost | Refusal::ForeignOrigin => {
                Problem::new(StatusCode::FORBIDDEN, refusal.detail())
            }
        })
    }
}

impl Shared {
    /// Whether whoever sends a webhook has shown the certificate that it must have.
    fn check_certificate(&self, endpoint: Endpoint, connection: &Connection) -> Result<(), Problem> {
        let is_fit = match connection.shown {
            _ if !self.needs_certificate => true,
            Shown::RightName => true,
            // A proxy on this machine has ended the connection of whoever sends it.
            Shown::Plain => connection.client_is_local(),
            Shown::Nothing => false,
        };
        if is_fit {
            return Ok(());
        }
        self.metrics.certificates_refused.inc();
        if let Some(left_out) = self.refusals.turn(Instant::now()) {
            let peer = connection.peer.ip().to_canonical();
            tracing::warn!(%peer, endpoint = endpoint.name(), left_out, "a webhook without the right certificate was refused");
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "webhooks are taken only from clients with the right certificate",
        ))
    }

    /// Logs that somebody came without the right token. What was shown is told to nobody.
    fn say_refused(&self, endpoint: Endpoint, peer: SocketAddr, refusal: Refusal) {
        if let Some(left_out) = self.refusals.turn(Instant::now()) {
            let words = match refusal {
                Refusal::NoToken => "a request without a token was refused",
                _ => "a request with a wrong token was refused",
            };
            let peer = peer.ip().to_canonical();
            tracing::warn!(%peer, endpoint = endpoint.name(), left_out, "{words}");
        }
    }
}

/// The answer to whoever asks too often.
pub fn too_many_requests(exceeded: Exceeded) -> Problem {
    match exceeded {
        Exceeded::For(wait) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "ask less often; Retry-After says when to ask again")
                .retry_after(wait)
        }
        Exceeded::Always => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "more than this client may ever send at once; send it in parts",
        ),
    }
}

fn too_many_wrong_tokens() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many wrong tokens came from this address; until Retry-After is over no token is looked at",
    )
}

/// Who answers what.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(Endpoint::Metrics.path(), get(metrics))
        .route(Endpoint::Health.path(), get(health))
        .route(Endpoint::Ready.path(), get(ready))
        .route(Endpoint::Stream.path(), get(socket::connect))
        .route(Endpoint::Events.path(), post(push::take))
        .route(Endpoint::Sends.path(), post(sends::take))
        .route(Endpoint::WhatIf.path(), get(what_if::answer))
        .route(Endpoint::WhatsApp.path(), get(webhooks::whatsapp::shake_hands).post(webhooks::whatsapp::take))
        .route(Endpoint::Generic.path(), post(webhooks::generic::take))
        .route(Endpoint::Twilio.path(), post(webhooks::twilio::take))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shared)
}

async fn metrics(Extracted(shared): Extracted<Arc<Shared>>) -> Response {
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => {
            ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text)
                .into_response()
        }
        Err(error) => {
            tracing::error!(%error, "cannot write metrics");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be written; see the log of the service",
            )
            .into_response()
        }
    }
}

async fn health(Extracted(shared): Extracted<Arc<Shared>>) -> Response {
    if shared.readiness.is_alive() {
        json(r#"{"status":"alive"}"#)
    } else {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the engine has ended; restart the service")
            .into_response()
    }
}

async fn ready(Extracted(shared): Extracted<Arc<Shared>>) -> Response {
    let reasons = shared.readiness.reasons();
    if reasons.is_empty() {
        // A log that is not there yet is no reason to send nobody here, and no reason to be silent about it. Which paths
        // they are is not for everybody.
        let paths_without_file = shared.sources.paths_without_file();
        let mut answer = serde_json::json!({"status": "ready"});
        if !paths_without_file.is_empty() {
            answer["paths_without_file"] = serde_json::json!(paths_without_file);
        }
        return json(answer.to_string());
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; ")).with("reasons", reasons).into_response()
}

/// A JSON text as an answer.
pub fn json(text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text.into()).into_response()
}

async fn not_found() -> Problem {
    let paths: Vec<&str> =
        Endpoint::ALL.iter().map(|endpoint| endpoint.path()).filter(|path| !path.is_empty()).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing here; ask for {}", paths.join(", ")))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let expected = match Endpoint::of(uri.path()) {
        Endpoint::Events | Endpoint::Generic | Endpoint::Twilio => "POST",
        Endpoint::WhatsApp => "GET or POST",
        _ => "GET",
    };
    let method: String = method.as_str().chars().take(20).collect();
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("ask with {expected}, not with {method}"))
}
