//! What the business says that it sent: `POST /v1/sends`.
//!
//! The body is an object `{"message_id": "wamid...", "phone_number_id": "...", "waba_id": "...", "at": ...}`, an array of
//! such, or one a line; plain or `Content-Encoding: gzip`. The answer comes when it is on stable storage. What is
//! registered twice counts once, so after any error all of it may be sent again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;

use super::body::{self, Kind, unreadable};
use super::problem::Problem;
use super::routes::{self, Shared};
use crate::intake::now;
use crate::whatsapp::sends;

/// Failures that are named in an answer.
const MAX_NAMED: usize = 64;

/// Answers a registration.
pub async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, request: Body) -> Response {
    register(&shared, &headers, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn register(shared: &Shared, headers: &HeaderMap, request: Body) -> Result<Response, Problem> {
    let Some(webhooks) = &shared.webhooks else {
        let detail = "sends are kept: name a state_directory in the configuration";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    Kind::of(headers)?;
    let is_packed = body::is_packed(headers)?;
    let turn = timeout(shared.config.push_timeout, shared.pushes.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(unavailable("too many bodies at a time")) };
    let bytes = body::read(headers, request, shared.config.body_timeout).await?;
    let received = now();
    let context = webhooks.context();
    let read = tokio::task::spawn_blocking(move || {
        // As text it stays as it is, whatever JSON it is.
        let text = body::unpack(bytes, is_packed, Kind::Text)?;
        sends::read(text.as_bytes(), received, &context).map_err(|error| {
            let detail = format!(
                "{error}; expected {{\"message_id\": \"wamid...\"}}, an array of such objects, or one a line"
            );
            unreadable(detail)
        })
    });
    let update = read.await.map_err(|_| unreadable("the body cannot be read"))??;
    let failed: Vec<_> = update
        .failed
        .iter()
        .take(MAX_NAMED)
        .map(|failure| json!({"item": failure.place.item, "reason": failure.reason.name()}))
        .collect();
    let failures: u64 = update.failures.iter().sum();
    if update.keys.is_empty() && failures > 0 {
        return Err(unreadable("none of it says which message was sent: message_id is missing")
            .with("failures", failures)
            .with("failed", failed));
    }
    let kept = webhooks.keep_sends(update.lines, update.keys, received).await;
    let kept = kept.map_err(|not_kept| unavailable(not_kept.why()))?;
    let body = json!({
        "registered": kept.lines - kept.duplicates,
        "known": kept.duplicates,
        "failures": failures,
        "failed": failed,
    });
    Ok(routes::json(body.to_string()))
}

fn unavailable(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}; send it again"))
        .retry_after(super::push::RETRY)
}
