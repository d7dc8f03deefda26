//! JSON events of anybody who signs them: an object, an array, or one a line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::Source;
use super::config::{Generic, generic_variable};
use super::metrics::Metrics;
use super::receive::{Delivery, Reading, header, letter_body, not_taken};
use super::secrets::SecretError;
use super::signature::{Keys, Scheme, Tag};
use crate::serve::body::{self, Kind};
use crate::serve::connection::Connection;
use crate::serve::metrics::GENERIC;
use crate::serve::problem::Problem;
use crate::serve::routes::Shared;
use crate::whatsapp::Context;

/// What the endpoint knows of a source.
pub struct Endpoint {
    source: Source,
    header: HeaderName,
    scheme: Scheme,
    deduplicate: bool,
}

impl Endpoint {
    pub(super) fn open(name: &str, config: &Generic, metrics: &Metrics) -> Result<Self, SecretError> {
        let scheme = Scheme { prefix: config.prefix.clone(), encoding: config.encoding, hash: config.hash };
        let variable = generic_variable(name);
        let keys = scheme.keys(&config.secrets(&variable).secrets(&format!("webhooks.generic.{name}"))?);
        Ok(Self {
            source: Source::new(name, &config.tenant, keys, metrics),
            header: config.header.clone(),
            scheme,
            deduplicate: config.deduplicate,
        })
    }
}

/// Takes events.
pub async fn take(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let name = uri.path().strip_prefix(GENERIC).unwrap_or_default();
    let Some(webhooks) = &shared.webhooks else { return not_taken() };
    let Some(endpoint) = webhooks.generic.get(name) else { return not_taken() };
    let kind = match kind(&headers) {
        Ok(kind) => kind,
        Err(problem) => return problem.into_response(),
    };
    let source = &endpoint.source;
    let client = webhooks.client(connection.peer, &headers);
    let delivery = Delivery { shared: &shared, webhooks, source, client };
    let (keys, context) = (source.keys.clone(), Arc::clone(&webhooks.context));
    let known_by = endpoint.deduplicate.then(|| Arc::clone(&source.stream.source));
    let read = move |body: &[u8], tag: &Tag, _| read(body, tag, kind, &keys, &context, known_by.as_deref());
    let signature = header(&headers, &endpoint.header);
    delivery.take(signature, |value| endpoint.scheme.parse(value), &headers, body, read).await
}

/// What the body says it is: JSON as far as it does not say that it is lines of it.
fn kind(headers: &HeaderMap) -> Result<Kind, Problem> {
    if body::is_packed(headers)? {
        let detail = "send the body as it is: it is signed like that";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(match Kind::of(headers)? {
        Kind::Text => Kind::Json,
        kind => kind,
    })
}

/// Checks a body and reads it. Lines are known again by `known_by` and all their bytes.
fn read(
    body: &[u8],
    tag: &Tag,
    kind: Kind,
    keys: &Keys,
    context: &Context,
    known_by: Option<&str>,
) -> Option<Reading> {
    let signer = keys.signer(body, tag)?;
    let Ok(text) = body::unpack(body.to_vec(), false, kind) else {
        let letter = Some(("not JSON".to_owned(), letter_body(body)));
        return Some(Reading { failures: vec![("not_json", 1)], letter, signer, ..Reading::default() });
    };
    let mut reading = Reading { signer, ..Reading::default() };
    reading.lines.reserve(text.len() + 1);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        reading.lines.push_str(line);
        reading.lines.push('\n');
        if let Some(source) = known_by {
            reading.keys.push(context.dedupe.of(&[source.as_bytes(), b"\n", line.as_bytes()].concat()));
        }
    }
    Some(reading)
}
