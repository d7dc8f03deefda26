//! WhatsApp by way of Twilio: forms, now and then JSON, signed together with the address that is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::Response;
use serde_json::Value;

use super::config::Twilio;
use super::metrics::Metrics;
use super::receive::{Delivery, Reading, header, letter_body, not_taken};
use super::secrets::SecretError;
use super::signature::{Keys, Tag, is_sha256, twilio_messages};
use super::{Source, TWILIO, form};
use crate::event::Timestamp;
use crate::serve::connection::Connection;
use crate::serve::routes::Shared;
use crate::whatsapp::Context;
use crate::whatsapp::{Reason, twilio};

const SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

/// The parameter of the query with the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

/// What the endpoint knows.
pub struct Endpoint {
    source: Source,
    public_url: Arc<str>,
}

impl Endpoint {
    pub(super) fn open(config: &Twilio, metrics: &Metrics) -> Result<Self, SecretError> {
        let keys = Keys::twilio(&config.auth_tokens().secrets("webhooks.twilio")?);
        let source = Source::new(TWILIO, &config.tenant, keys, metrics);
        Ok(Self { source, public_url: config.public_url.as_str().into() })
    }
}

/// Takes a message, or what became of one.
pub async fn take(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(webhooks) = &shared.webhooks else { return not_taken() };
    let Some(Endpoint { source, public_url }) = &webhooks.twilio else { return not_taken() };
    let client = webhooks.client(connection.peer, &headers);
    let delivery = Delivery { shared: &shared, webhooks, source, client };
    let (keys, context) = (source.keys.clone(), Arc::clone(&webhooks.context));
    let (url, query) = (Arc::clone(public_url), uri.query().map(ToOwned::to_owned));
    let read = move |body: &[u8], tag: &Tag, received| {
        let signed = Signed { url: &url, query: query.as_deref(), keys: &keys };
        signed.read(body, tag, received, &context)
    };
    let signature = header(&headers, &SIGNATURE);
    delivery.take(signature, Tag::twilio, &headers, body, read).await
}

/// What is signed beside the body.
struct Signed<'s> {
    url: &'s str,
    query: Option<&'s str>,
    keys: &'s Keys,
}

impl Signed<'_> {
    /// Checks a body and reads it.
    fn read(&self, body: &[u8], tag: &Tag, received: Timestamp, context: &Context) -> Option<Reading> {
        let query = form::pairs(self.query.unwrap_or_default().as_bytes());
        let (fields, is_json) = match form::only(&query, BODY_HASH) {
            Some(hash) => (is_sha256(hash, body).then(Vec::new)?, true),
            None => (fields(body), false),
        };
        let messages = twilio_messages(self.url, self.query, &fields);
        let signer = messages.iter().find_map(|message| self.keys.signer(message, tag))?;
        let fields = if is_json { json_fields(body) } else { Some(fields) };
        let Some(fields) = fields else {
            let letter = Some(("not a JSON object".to_owned(), letter_body(body)));
            return Some(Reading { failures: vec![("not_object", 1)], letter, signer, ..Reading::default() });
        };
        let mut update = twilio::read(&fields, received, context);
        // What is about another channel has been understood, and is no letter to be looked at: it is only counted.
        update.failed.retain(|failure| failure.reason != Reason::OtherChannel);
        let mut reading = super::whatsapp::reading(update, body, signer);
        if let Some((_, text)) = &mut reading.letter {
            // A form has no parts.
            *text = letter_body(body);
        }
        Some(reading)
    }
}

fn fields(form: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    form::pairs(form).into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// The texts and numbers of a JSON object.
fn json_fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let fields: BTreeMap<String, Value> = serde_json::from_slice(body).ok()?;
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(number) => Some((name, number.to_string())),
        _ => None,
    };
    Some(fields.into_iter().filter_map(text).collect())
}
