//! What becomes of a delivery: read, checked, stored, and only then answered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::feed::Happening;
use super::keep::{Kept, NotKept, keep};
use super::metrics::Outcome;
use super::signature::Tag;
use super::{MAX_BODY_BYTES, Source, Webhooks};
use crate::event::Timestamp;
use crate::intake::now;
use crate::journal::{DeadLetter, MAX_DEAD_LETTER_BYTES};
use crate::serve::body;
use crate::serve::limits::Client;
use crate::serve::problem::Problem;
use crate::serve::routes::Shared;

/// Seconds for a body: it comes from a data centre, and an answer is expected within five.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a body waits for memory.
const ROOM_TIME: Duration = Duration::from_secs(2);

/// When to send again what found no room.
const RETRY: Duration = Duration::from_secs(1);
/// When to send again after the disk failed.
const RETRY_FAILED: Duration = Duration::from_secs(10);

/// Bodies up to this size are checked and read where they arrive: it takes less time than to change threads.
const SMALL_BYTES: usize = 64 << 10;
/// Memory for small bodies, and for all others, in kibibytes. They do not take it from one another.
const SMALL_KIBIBYTES: usize = 32 << 10;
const LARGE_KIBIBYTES: usize = 48 << 10;

/// The memory for bodies that are being received.
pub struct Budget {
    small: Semaphore,
    large: Semaphore,
}

impl Default for Budget {
    fn default() -> Self {
        Self { small: Semaphore::new(SMALL_KIBIBYTES), large: Semaphore::new(LARGE_KIBIBYTES) }
    }
}

impl Budget {
    /// Room for a body of this length, of one that does not say for the longest; `None` when there is none in time.
    async fn room(&self, length: Option<usize>, time: Duration) -> Option<SemaphorePermit<'_>> {
        let length = length.unwrap_or(MAX_BODY_BYTES);
        let memory = if length <= SMALL_BYTES { &self.small } else { &self.large };
        let kibibytes = u32::try_from(length.div_ceil(1 << 10)).ok()?;
        timeout(time, memory.acquire_many(kibibytes)).await.ok()?.ok()
    }
}

/// What a delivery says.
#[derive(Debug, Default)]
pub struct Reading {
    /// The name of the secret that it is signed with.
    pub signer: Arc<str>,
    /// Lines, each ended by a line feed, none of them blank.
    pub lines: String,
    /// For each line the key by which it is known; none when nothing is known again.
    pub keys: Vec<u64>,
    /// Names that are not known, and how often they occur.
    pub unknown: Vec<(String, u64)>,
    /// Why parts of it, or all of it, could not be understood, and how often.
    pub failures: Vec<(&'static str, u64)>,
    /// What could not be understood, and why, in words.
    pub letter: Option<(String, Vec<u8>)>,
}

/// Why a delivery is not answered with 200.
struct Refusal {
    outcome: Outcome,
    problem: Problem,
}

/// Somebody delivers something.
pub struct Delivery<'d> {
    /// What all requests share.
    pub shared: &'d Shared,
    /// What all webhooks share.
    pub webhooks: &'d Webhooks,
    /// Who should have sent it.
    pub source: &'d Source,
    /// Who did.
    pub client: IpAddr,
}

/// The one value of a header; `None` when it is not there. What is there twice is nothing that can be read.
pub fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    Some(if values.next().is_some() { b"" } else { first })
}

impl Delivery<'_> {
    /// Takes a delivery with this header. `parse` knows the shape of its signature; `read` checks it and tells what the
    /// delivery says, or `None` when somebody else has signed it.
    pub async fn take<P, R>(
        &self,
        signature: Option<&[u8]>,
        parse: P,
        headers: &HeaderMap,
        body: Body,
        read: R,
    ) -> Response
    where
        P: FnOnce(&[u8]) -> Option<Tag>,
        R: FnOnce(&[u8], &Tag, Timestamp) -> Option<Reading> + Send + 'static,
    {
        let started = Instant::now();
        match self.try_take(signature, parse, headers, body, read).await {
            Ok(outcome) => {
                self.source.metrics.add(outcome);
                self.source.metrics.took(started.elapsed());
                StatusCode::OK.into_response()
            }
            Err(Refusal { outcome, problem }) => {
                self.source.metrics.add(outcome);
                if matches!(outcome, Outcome::Full | Outcome::Failed) {
                    self.source.metrics.took(started.elapsed());
                }
                problem.into_response()
            }
        }
    }

    async fn try_take<P, R>(
        &self,
        signature: Option<&[u8]>,
        parse: P,
        headers: &HeaderMap,
        body: Body,
        read: R,
    ) -> Result<Outcome, Refusal>
    where
        P: FnOnce(&[u8]) -> Option<Tag>,
        R: FnOnce(&[u8], &Tag, Timestamp) -> Option<Reading> + Send + 'static,
    {
        self.check_blocked()?;
        let length = body::length(headers).map_err(broken)?;
        if length.is_some_and(|length| length > MAX_BODY_BYTES) {
            return Err(too_large());
        }
        let signature = signature.ok_or_else(|| self.forged(Outcome::SignatureMissing))?;
        let tag = parse(signature).ok_or_else(|| self.forged(Outcome::SignatureMalformed))?;
        if !self.shared.readiness.is_ready() || *self.shared.stopping.borrow() {
            return Err(unavailable(Outcome::NotReady, "the service is starting or stopping", RETRY));
        }
        let room = self.webhooks.budget.room(length, ROOM_TIME).await;
        let room = room.ok_or_else(|| self.not_stored(Outcome::Full, "there is no memory for the body"))?;
        let body = body::read_at_most(MAX_BODY_BYTES, headers, body, BODY_TIME).await.map_err(broken)?;
        let body = body.ok_or_else(too_large)?;
        let received = now();
        let reading = if body.len() <= SMALL_BYTES {
            read(&body, &tag, received)
        } else {
            let turn = Arc::clone(&self.webhooks.large_reads).acquire_owned().await;
            let read = move || {
                let _turn = turn;
                read(&body, &tag, received)
            };
            // A panic would be a bug, and no reason to say that the delivery is forged.
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|_| self.not_stored(Outcome::Failed, "a body could not be read"))?
        };
        drop(room);
        let reading = reading.ok_or_else(|| self.forged(Outcome::SignatureRejected))?;
        self.keep(reading, received).await
    }

    /// Stores what was read.
    async fn keep(&self, reading: Reading, received: Timestamp) -> Result<Outcome, Refusal> {
        self.source.metrics.add_signer(&reading.signer);
        let has_lines = !reading.lines.is_empty();
        if has_lines {
            self.store(reading.lines, reading.keys, received).await?;
        }
        let has_letter = reading.letter.is_some();
        if let Some((reason, body)) = reading.letter {
            let source = self.source.stream.source.to_string();
            self.say_unreadable(&reason);
            let letter = DeadLetter { at: received, source, reason, body };
            let kept = self.webhooks.journal.dead_letter(letter);
            kept.map_err(|refused| self.refused(NotKept::refused(&refused)))?;
            self.source.metrics.letters.inc();
        }
        // Only now, or it would be counted again each time that it comes again.
        for (reason, count) in reading.failures {
            self.source.metrics.add_unreadable(reason, count);
        }
        self.note_unknown(&reading.unknown);
        Ok(match (has_lines, has_letter) {
            (true, _) => Outcome::Stored,
            (false, true) => Outcome::Unreadable,
            (false, false) => Outcome::Empty,
        })
    }

    /// Puts lines into the journal and waits until they are stored.
    async fn store(&self, lines: String, keys: Vec<u64>, received: Timestamp) -> Result<(), Refusal> {
        let (journal, stream) = (&self.webhooks.journal, &self.source.stream);
        let kept = keep(journal, stream, lines, keys, received).await;
        let Kept { lines, duplicates } = kept.map_err(|not_kept| self.refused(not_kept))?;
        self.source.metrics.lines.inc_by(lines);
        self.source.metrics.duplicates.inc_by(duplicates);
        Ok(())
    }

    fn refused(&self, not_kept: NotKept) -> Refusal {
        let outcome = match not_kept {
            NotKept::Full => Outcome::Full,
            NotKept::Stopping => Outcome::NotReady,
            NotKept::Failed(_) => Outcome::Failed,
        };
        self.not_stored(outcome, not_kept.why())
    }

    /// Says why something is not stored; the sender will send it again.
    fn not_stored(&self, outcome: Outcome, why: &str) -> Refusal {
        if let Some(left_out) = self.webhooks.said.not_stored.turn(Instant::now()) {
            let source = &self.source.stream.source;
            tracing::error!(%source, left_out, "a webhook was not stored and has to come again: {why}");
        }
        let retry = if outcome == Outcome::Failed { RETRY_FAILED } else { RETRY };
        unavailable(outcome, why, retry)
    }

    fn check_blocked(&self) -> Result<(), Refusal> {
        let limit = &self.shared.limits.wrong_signatures;
        match limit.blocked_for(Client::at(self.client)) {
            Some(wait) if !self.client.is_loopback() => {
                let detail = "too many requests came from this address that were not signed with a secret that is \
                              known here; until Retry-After is over none is looked at";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait);
                Err(Refusal { outcome: Outcome::Limited, problem })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a delivery of which it is not known who sent it. What is wrong is told to the log alone.
    fn forged(&self, outcome: Outcome) -> Refusal {
        let happening = match outcome {
            Outcome::SignatureMissing => Happening::SignatureMissing,
            _ => Happening::SignatureRejected,
        };
        self.webhooks.suspect(self.shared, self.source, happening, self.client);
        if let Some(left_out) = self.webhooks.said.refused.turn(Instant::now()) {
            let (source, peer) = (&self.source.stream.source, self.client);
            tracing::warn!(%source, %peer, left_out, reason = outcome.name(), "a webhook was refused");
        }
        let detail = "the request is not signed with a secret that is known here";
        let challenge = HeaderValue::from_static("Signature realm=\"watchbell\"");
        let problem = Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, challenge);
        Refusal { outcome, problem }
    }

    fn say_unreadable(&self, reason: &str) {
        if let Some(left_out) = self.webhooks.said.unreadable.turn(Instant::now()) {
            let source = &self.source.stream.source;
            tracing::warn!(%source, left_out, reason, "a webhook could not be understood; it is kept as a dead letter");
        }
    }

    fn note_unknown(&self, unknown: &[(String, u64)]) {
        for (name, count) in unknown {
            self.webhooks.metrics.add_unknown(name, *count);
        }
        if let Some((name, _)) = unknown.first()
            && let Some(left_out) = self.webhooks.said.unknown.turn(Instant::now())
        {
            let source = &self.source.stream.source;
            tracing::info!(%source, left_out, name, "a webhook has a name that this version does not know");
        }
    }
}

impl Webhooks {
    /// Counts that somebody may be a forger, and makes an event of it.
    pub(super) fn suspect(&self, shared: &Shared, source: &Source, happening: Happening, client: IpAddr) {
        if !client.is_loopback() {
            shared.limits.wrong_signatures.note(Client::at(client));
        }
        if !self.feed.tell(&source.stream, happening, client) {
            self.metrics.untold.inc();
        }
    }
}

fn unavailable(outcome: Outcome, why: &str, retry: Duration) -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}; send it again"));
    Refusal { outcome, problem: problem.retry_after(retry) }
}

fn too_large() -> Refusal {
    let detail = format!("a delivery has at most {} MiB", MAX_BODY_BYTES >> 20);
    Refusal { outcome: Outcome::TooLarge, problem: Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail) }
}

fn broken(problem: Problem) -> Refusal {
    Refusal { outcome: Outcome::Broken, problem }
}

/// As much of a body as is kept of a dead letter.
pub fn letter_body(body: &[u8]) -> Vec<u8> {
    body[..body.len().min(MAX_DEAD_LETTER_BYTES)].to_vec()
}

/// The answer where no such webhook is taken.
pub fn not_taken() -> Response {
    let detail = "no such webhook is taken here; name it in the configuration, under [webhooks]";
    Problem::new(StatusCode::NOT_FOUND, detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_for_bodies_has_a_bound_and_large_ones_leave_room_for_small_ones() {
        let budget = Budget::default();
        let soon = Duration::from_millis(10);
        let mut held = Vec::new();
        while let Some(room) = budget.room(None, soon).await {
            held.push(room);
        }
        assert_eq!(held.len(), LARGE_KIBIBYTES / (MAX_BODY_BYTES >> 10));
        assert!(budget.room(Some(SMALL_BYTES + 1), soon).await.is_none());
        assert!(budget.room(Some(SMALL_BYTES), soon).await.is_some());
        held.pop();
        assert!(budget.room(Some(MAX_BODY_BYTES), soon).await.is_some());
    }
}
