//! Lines that are pushed: `POST /v1/events`.
//!
//! The body is taken whole or, when it cannot be read, not at all: lines as `text/plain`, JSON as
//! `application/x-ndjson` or `application/json` (an array or objects, on as many lines as they like), each plain or
//! `Content-Encoding: gzip`. The format of plain lines is found by itself, for each request anew, or given as `?format=`.
//! The answer comes when the lines are counted and says what became of them. When the queue stays full, what was taken
//! is counted, the rest is not, and the answer says how many lines were taken.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::{self, Kind, Piece, unreadable};
use super::connection::Connection;
use super::problem::Problem;
use super::routes::{self, Shared};
use super::{Config, Push};
use crate::decode::{Format, Tally, Undecodable};
use crate::intake::{Lines, Refused, now};

/// Pushes that are taken at a time: the memory for their bodies is 20 MiB each, for JSON arrays 36.
pub const MAX_PUSHES: usize = 8;
/// When to send again what found no room.
pub const RETRY: Duration = Duration::from_secs(1);

/// Answers a push.
pub async fn take(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
    request: Body,
) -> Response {
    let taken = async {
        let Some(push) = &shared.push else {
            let detail = "pushed events are not taken; add a source for them to the configuration";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        };
        let (kind, given) = (Kind::of(&headers)?, given_format(parameters)?);
        let is_packed = body::is_packed(&headers)?;
        let turn = timeout(shared.config.push_timeout, shared.pushes.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(unavailable("too many pushes at a time; send it again", 0));
        };
        let bytes = body::read(&headers, request, shared.config.body_timeout).await?;
        let unpacked = tokio::task::spawn_blocking(move || body::unpack(bytes, is_packed, kind)).await;
        let text = unpacked.map_err(|_| unreadable("the body cannot be read"))??;
        let kibibytes = u32::try_from(text.len().div_ceil(1 << 10)).unwrap_or(u32::MAX);
        if let Some(kibibytes) = NonZeroU32::new(kibibytes) {
            let limit = &shared.limits.push_kibibytes;
            limit.check_many(connection.client, kibibytes).map_err(routes::too_many_requests)?;
        }
        let format = given.unwrap_or_else(|| kind.format_of(&text));
        let sent = send(push, &text, format, &shared.config).await?;
        drop((text, turn));
        sent.counted(shared.config.count_timeout).await
    };
    taken.await.unwrap_or_else(IntoResponse::into_response)
}

fn given_format(
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Option<Format>, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| unreadable(rejection.body_text()))?;
    match parameters.as_slice() {
        [] => Ok(None),
        [(name, format)] if name == "format" => {
            let known = Format::from_str(format);
            let detail = "format: expected combined, common, json, haproxy, alb or w3c";
            known.map(Some).map_err(|_| unreadable(detail))
        }
        _ => Err(unreadable("expected no parameter but format, once")),
    }
}

fn unavailable(detail: &str, lines_taken: u64) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("lines_taken", lines_taken).retry_after(RETRY)
}

/// Lines that are queued.
struct Sent {
    lines: u64,
    answers: Vec<oneshot::Receiver<Tally>>,
}

/// Queues the lines of a text.
async fn send(push: &Push, text: &str, format: Format, config: &Config) -> Result<Sent, Problem> {
    let received = now();
    let mut format = format;
    let mut answers = Vec::new();
    let mut lines_taken = 0;
    for Piece { text, lines } in body::pieces(text) {
        let next = format.after(&text);
        let (counted, answer) = oneshot::channel();
        let stream = Arc::clone(&push.stream);
        let piece = Lines { stream, text, format, received, counted: Some(counted), offset: None };
        match timeout(config.push_timeout, push.inlet.push(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(Refused::Stopping(_))) => {
                return Err(unavailable(
                    "the service is stopping; send the lines behind lines_taken again",
                    lines_taken,
                ));
            }
            Ok(Err(Refused::Full(_))) | Err(_) => {
                return Err(unavailable(
                    "the queue is full; send the lines behind lines_taken again",
                    lines_taken,
                ));
            }
        }
        format = next;
        lines_taken += lines;
        answers.push(answer);
    }
    Ok(Sent { lines: lines_taken, answers })
}

impl Sent {
    /// Waits until the lines are counted, and tells what became of them.
    async fn counted(self, time: Duration) -> Result<Response, Problem> {
        let deadline = Instant::now() + time;
        let mut tally = Tally::default();
        for answer in self.answers {
            match timeout_at(deadline, answer).await {
                Ok(Ok(counted)) => tally.add(&counted),
                Ok(Err(_)) => {
                    let detail = "the service is stopping; the lines were taken and may not be counted";
                    return Err(unavailable(detail, self.lines));
                }
                Err(_) => {
                    let mut response = routes::json(json!({"lines_taken": self.lines}).to_string());
                    *response.status_mut() = StatusCode::ACCEPTED;
                    return Ok(response);
                }
            }
        }
        let reasons = Undecodable::ALL.iter().map(Undecodable::reason).zip(tally.undecodable);
        let undecodable: Map<_, _> = reasons
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.to_owned(), count.into()))
            .collect();
        let body = json!({"lines": tally.lines, "events": tally.events, "undecodable": undecodable});
        Ok(routes::json(body.to_string()))
    }
}
