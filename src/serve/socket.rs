//! The stream as a websocket.
//!
//! What is wanted stands in the address (`?topics=alerts,events&severity=high`) or in a text frame, which may be sent
//! again to change it: `{"subscribe": ["alerts"], "alerts": {"severity": "high"}}`. A frame that cannot be understood is
//! answered with a frame of type `error` and changes nothing.
//!
//! Reading and writing go on at the same time: a peer that reads nothing is still heard, and one that says nothing is
//! still told. Close codes: 1001 the service stops, 1002 no websocket, 1008 too many requests, 1009 a message too large,
//! 1013 nothing was read or heard for too long; coming back is fine after 1001 and 1013.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, UPGRADE};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::connection::Connection;
use super::problem::Problem;
use super::routes::Shared;
use crate::stream::{Frame, SubscribeError, Subscriber, Subscription};

/// Longest message of a peer.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Bytes that are read at a time. Every websocket has this much memory, and peers say little.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Bytes that are written at a time.
const WRITE_BUFFER_BYTES: usize = 8 << 10;
/// Bytes that wait in a websocket at most: more than the longest frame.
const MAX_WRITE_BUFFER_BYTES: usize = 4 << 20;
/// Bytes that must be read by the peer within the time for that.
const BATCH_BYTES: usize = 16 << 10;
/// Time for saying good-bye, and for the peer to say it too.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// When a refused connection may be tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Changes of a subscription a second, after as many as [`CHANGES_AT_ONCE`].
const CHANGES_PER_SECOND: std::num::NonZeroU32 = std::num::NonZeroU32::MIN;
const CHANGES_AT_ONCE: u32 = 20;

/// Why a websocket ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The peer has gone or says good-bye.
    Gone,
    /// The service stops.
    Stopping,
    /// The peer does not speak the protocol.
    Nonsense,
    /// The peer asks for too much.
    TooOften,
    /// The peer sends too large a message.
    TooLarge,
    /// Nothing was heard of the peer.
    Silent,
    /// The peer has read nothing.
    Stalled,
}

impl End {
    const fn code(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Gone => None,
            Self::Stopping => Some((1001, "the service is stopping")),
            Self::Nonsense => Some((1002, "that was no websocket frame")),
            Self::TooOften => Some((1008, "the subscription was changed too often")),
            Self::TooLarge => Some((1009, "a message has at most 65536 bytes")),
            Self::Silent => Some((1013, "nothing was heard; answer pings")),
            Self::Stalled => Some((1013, "nothing was read; read faster")),
        }
    }
}

/// Answers a request for the stream.
pub async fn connect(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let detail = format!("the stream is a websocket: {}", rejection.body_text());
            let status = match rejection.status() {
                StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED => StatusCode::UPGRADE_REQUIRED,
                other => other,
            };
            let websocket = HeaderValue::from_static("websocket");
            return Problem::new(status, detail).with_header(UPGRADE, websocket).into_response();
        }
    };
    let subscription = match parameters {
        Ok(Query(parameters)) => {
            Subscription::from_query(&parameters).inspect_err(|error| shared.hub.count_rejected(error))
        }
        Err(rejection) => Err(SubscribeError::Invalid(rejection.body_text())),
    };
    let subscribed =
        subscription.and_then(|subscription| shared.hub.subscribe(subscription.unwrap_or_default()));
    match subscribed {
        Ok(subscriber) => upgrade
            .max_message_size(MAX_MESSAGE_BYTES)
            .max_frame_size(MAX_MESSAGE_BYTES)
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .on_upgrade(async move |socket| {
                run(socket, subscriber, &shared).await;
                drop(connection);
            }),
        Err(error @ SubscribeError::Invalid(_)) => {
            Problem::new(StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
        Err(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            .retry_after(RETRY)
            .into_response(),
    }
}

async fn run(socket: WebSocket, subscriber: Subscriber, shared: &Shared) {
    let (mut sink, mut stream) = socket.split();
    let mut stopping = shared.stopping.clone();
    // A peer that reads nothing, or never says good-bye, must not keep the service from stopping.
    let cut_off = async {
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(shared.config.shutdown_timeout).await;
    };
    let converse = async {
        let end = tokio::select! {
            end = hear(&mut stream, &subscriber, shared) => end,
            end = tell(&mut sink, &subscriber, shared) => end,
        };
        tracing::debug!(?end, "a websocket ends");
        drop(subscriber);
        part(end, &mut sink, &mut stream).await;
    };
    tokio::select! {
        () = converse => {}
        () = cut_off => tracing::debug!("a websocket was cut off"),
    }
}

/// Says good-bye, and waits for the peer to say it too.
async fn part(end: End, sink: &mut SplitSink<WebSocket, Message>, stream: &mut SplitStream<WebSocket>) {
    if let Some((code, reason)) = end.code() {
        let farewell = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if !matches!(timeout(CLOSE_TIMEOUT, sink.send(farewell)).await, Ok(Ok(()))) {
            return;
        }
    }
    // What the peer has sent and nobody has read would make the system throw away what was sent to it.
    let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = stream.next().await {} }).await;
}

/// Reads what the peer says.
async fn hear(stream: &mut SplitStream<WebSocket>, subscriber: &Subscriber, shared: &Shared) -> End {
    let quota = Quota::per_second(CHANGES_PER_SECOND);
    let quota = std::num::NonZeroU32::new(CHANGES_AT_ONCE).map_or(quota, |burst| quota.allow_burst(burst));
    let changes = DefaultDirectRateLimiter::direct(quota);
    loop {
        let message = match timeout(shared.config.peer_timeout, stream.next()).await {
            Err(_) => return End::Silent,
            Ok(None) => return End::Gone,
            Ok(Some(Err(error))) => return end_of(error),
            Ok(Some(Ok(message))) => message,
        };
        let refused = match message {
            Message::Text(text) if changes.check().is_ok() => change(&text, subscriber, shared).err(),
            Message::Text(_) => return End::TooOften,
            Message::Binary(_) => {
                if changes.check().is_err() {
                    return End::TooOften;
                }
                Some("expected JSON in a text frame, not a binary frame".to_owned())
            }
            Message::Close(_) => return End::Gone,
            Message::Ping(_) | Message::Pong(_) => None,
        };
        if refused.is_some_and(|detail| !subscriber.refuse(&detail)) {
            return End::TooOften;
        }
    }
}

fn change(text: &str, subscriber: &Subscriber, shared: &Shared) -> Result<(), String> {
    let subscription = match serde_json::from_str(text) {
        Ok(request) => Subscription::from_json(&request),
        Err(error) => Err(SubscribeError::Invalid(format!("expected JSON: {error}"))),
    };
    let subscription = subscription.inspect_err(|error| shared.hub.count_rejected(error));
    subscription.and_then(|subscription| subscriber.change(subscription)).map_err(|error| error.to_string())
}

fn end_of(error: axum::Error) -> End {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::TooLarge,
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => End::Gone,
        Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => End::Nonsense,
        _ => End::Gone,
    }
}

/// Writes what waits for the peer.
async fn tell(sink: &mut SplitSink<WebSocket, Message>, subscriber: &Subscriber, shared: &Shared) -> End {
    let mut stopping = shared.stopping.clone();
    let mut ping = interval_at(Instant::now() + shared.config.ping, shared.config.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Pings before frames: a peer that is always busy reading must be heard, too.
        let message = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => None,
            _ = ping.tick() => Some(Message::Ping(Vec::new().into())),
            frame = subscriber.next() => frame.map(text),
        };
        let Some(message) = message else {
            return match send_rest(sink, subscriber).await {
                Ok(()) => End::Stopping,
                Err(_) => End::Gone,
            };
        };
        match timeout(shared.config.stall_timeout, send_batch(sink, message, subscriber)).await {
            Err(_) => return End::Stalled,
            Ok(Err(_)) => return End::Gone,
            Ok(Ok(())) => {}
        }
    }
}

/// Sends a message and some of what waits behind it, in one go.
async fn send_batch(
    sink: &mut SplitSink<WebSocket, Message>,
    first: Message,
    subscriber: &Subscriber,
) -> Result<(), axum::Error> {
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(message) = next {
        bytes += length(&message);
        sink.feed(message).await?;
        next = if bytes < BATCH_BYTES { subscriber.try_next().map(text) } else { None };
    }
    sink.flush().await
}

async fn send_rest(
    sink: &mut SplitSink<WebSocket, Message>,
    subscriber: &Subscriber,
) -> Result<(), axum::Error> {
    while let Some(frame) = subscriber.try_next() {
        sink.feed(text(frame)).await?;
    }
    sink.flush().await
}

fn text(frame: Frame) -> Message {
    // It is UTF-8 already; the type that says so is private to the library.
    Message::Text(Utf8Bytes::try_from(frame.into_bytes()).unwrap_or_default())
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        _ => 0,
    }
}
