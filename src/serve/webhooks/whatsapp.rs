//! The WhatsApp Business Platform: the handshake with which it asks whose address this is, and its updates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::config::WhatsApp;
use super::feed::Happening;
use super::form;
use super::metrics::Metrics;
use super::receive::{Delivery, Reading, header, letter_body, not_taken};
use super::secrets::SecretError;
use super::signature::{Keys, Scheme, Tag};
use super::{Source, WHATSAPP, Webhooks};
use crate::event::Timestamp;
use crate::journal::MAX_DEAD_LETTER_BYTES;
use crate::serve::connection::Connection;
use crate::serve::limits::Client;
use crate::serve::problem::Problem;
use crate::serve::routes::Shared;
use crate::whatsapp::{self, Context, Failure, Reason, Update};

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Longest challenge that is sent back.
const MAX_CHALLENGE_BYTES: usize = 1 << 10;

/// What the endpoint knows.
pub struct Endpoint {
    source: Source,
    scheme: Scheme,
    /// A hash of the verify token, so that comparing takes the same time whatever is shown.
    verify_token: Option<blake3::Hash>,
}

impl Endpoint {
    pub(super) fn open(config: &WhatsApp, metrics: &Metrics) -> Result<Self, SecretError> {
        let scheme = Scheme::whatsapp();
        let keys = scheme.keys(&config.app_secrets().secrets("webhooks.whatsapp")?);
        let token = config.verify_token().token("the handshake of webhooks.whatsapp")?;
        if token.is_none() {
            tracing::warn!("webhooks.whatsapp has no verify token: every handshake will be refused");
        }
        Ok(Self {
            source: Source::new(WHATSAPP, &config.tenant, keys, metrics),
            scheme,
            verify_token: token.map(|token| blake3::hash(token.as_bytes())),
        })
    }

    /// The challenge of a handshake, if it is to be sent back.
    fn challenge(&self, query: &str) -> Option<Vec<u8>> {
        let pairs = form::pairs(query.as_bytes());
        let token = form::only(&pairs, "hub.verify_token")?;
        let challenge = form::only(&pairs, "hub.challenge")?;
        let is_right = self.verify_token.is_some_and(|right| right == blake3::hash(token));
        let is_fit = form::only(&pairs, "hub.mode") == Some(b"subscribe")
            && (1..=MAX_CHALLENGE_BYTES).contains(&challenge.len());
        (is_right && is_fit).then(|| challenge.to_vec())
    }
}

/// Answers a handshake.
pub async fn shake_hands(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(webhooks) = &shared.webhooks else { return not_taken() };
    let Some(endpoint) = &webhooks.whatsapp else { return not_taken() };
    let client = webhooks.client(connection.peer, &headers);
    let is_blocked = shared.limits.wrong_signatures.blocked_for(Client::at(client));
    if let Some(wait) = is_blocked.filter(|_| !client.is_loopback()) {
        let detail = "too many wrong tokens or signatures came from this address";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait).into_response();
    }
    match endpoint.challenge(uri.query().unwrap_or_default()) {
        Some(challenge) => {
            webhooks.metrics.handshakes_accepted.inc();
            if !webhooks.feed.tell(&endpoint.source.stream, Happening::HandshakeAccepted, client) {
                webhooks.metrics.untold.inc();
            }
            say_handshake(webhooks, client, "the handshake of a webhook was answered");
            let plain = HeaderValue::from_static("text/plain");
            let as_it_is = HeaderValue::from_static("nosniff");
            ([(CONTENT_TYPE, plain), (X_CONTENT_TYPE_OPTIONS, as_it_is)], challenge).into_response()
        }
        None => {
            webhooks.metrics.handshakes_refused.inc();
            webhooks.suspect(&shared, &endpoint.source, Happening::HandshakeRefused, client);
            say_handshake(webhooks, client, "the handshake of a webhook was refused");
            Problem::new(StatusCode::FORBIDDEN, "this is not the handshake that is expected here")
                .into_response()
        }
    }
}

fn say_handshake(webhooks: &Webhooks, client: IpAddr, words: &str) {
    if let Some(left_out) = webhooks.said.handshakes.turn(Instant::now()) {
        tracing::warn!(peer = %client, left_out, "{words}");
    }
}

/// Takes updates.
pub async fn take(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(webhooks) = &shared.webhooks else { return not_taken() };
    let Some(Endpoint { source, scheme, .. }) = &webhooks.whatsapp else { return not_taken() };
    let client = webhooks.client(connection.peer, &headers);
    let delivery = Delivery { shared: &shared, webhooks, source, client };
    let (keys, context) = (source.keys.clone(), Arc::clone(&webhooks.context));
    let read = move |body: &[u8], tag: &Tag, received| read(body, tag, received, &keys, &context);
    let signature = header(&headers, &SIGNATURE);
    delivery.take(signature, |value| scheme.parse(value), &headers, body, read).await
}

/// Checks a body and reads it.
fn read(body: &[u8], tag: &Tag, received: Timestamp, keys: &Keys, context: &Context) -> Option<Reading> {
    let signer = keys.signer(body, tag)?;
    Some(match whatsapp::read(body, received, context) {
        Ok(update) => reading(update, body, signer),
        Err(unreadable) => Reading {
            failures: vec![(unreadable.reason(), 1)],
            letter: Some((unreadable.to_string(), letter_body(body))),
            signer,
            ..Reading::default()
        },
    })
}

/// What was read, with what could not be.
pub(super) fn reading(update: Update, body: &[u8], signer: Arc<str>) -> Reading {
    let Update { lines, keys, unknown, failed, failures } = update;
    let failures = Reason::ALL.into_iter().zip(failures).filter(|(_, count)| *count > 0);
    Reading {
        lines: with_signer(&lines, &signer),
        keys,
        unknown,
        failures: failures.map(|(reason, count)| (reason.name(), count)).collect(),
        letter: (!failed.is_empty()).then(|| letter(&failed, body)),
        signer,
    }
}

/// The lines, each with the name of the secret.
fn with_signer(lines: &str, signer: &str) -> String {
    // Names are of letters, digits and a few marks that need no escape.
    let end = format!(",\"http.webhook.secret\":\"{signer}\"}}\n");
    let mut named = String::with_capacity(lines.len() + lines.len() / 8 + end.len());
    for line in lines.split_inclusive("}\n") {
        named.push_str(line.strip_suffix("}\n").unwrap_or(line));
        named.push_str(&end);
    }
    named
}

/// The parts that could not be understood, one after the other, as much of them as is kept.
fn letter(failed: &[Failure], body: &[u8]) -> (String, Vec<u8>) {
    let mut parts = Vec::new();
    let mut reasons = Vec::new();
    for Failure { reason, place, text } in failed {
        let part = |part: Option<usize>| part.map_or_else(|| "-".to_owned(), |at| at.to_string());
        reasons.push(format!(
            "{} at {}/{}/{}",
            reason.name(),
            place.entry,
            part(place.change),
            part(place.item)
        ));
        let room = MAX_DEAD_LETTER_BYTES.saturating_sub(parts.len());
        let text = body.get(text.clone()).unwrap_or_default();
        parts.extend_from_slice(&text[..text.len().min(room)]);
        parts.push(b'\n');
    }
    (reasons.join(", "), parts)
}
