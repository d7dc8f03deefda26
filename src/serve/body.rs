//! The body of a push: what it says it is, its bytes, and the lines in it.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use crate::decode::Format;
use crate::intake::MAX_TEXT_BYTES;

/// Largest body as it is sent.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Largest body when it is unpacked.
const MAX_TEXT: usize = 16 << 20;
/// How long a body may send nothing.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One JSON object a line.
    JsonLines,
    /// A JSON array, or objects.
    Json,
    /// Lines of any log.
    Text,
}

impl Kind {
    /// What the header `Content-Type` says; plain text when it says nothing.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let media_type = header(headers, &CONTENT_TYPE)?.split(';').next().unwrap_or_default().trim();
        let is = |names: &[&str]| names.iter().any(|name| media_type.eq_ignore_ascii_case(name));
        if is(&["application/x-ndjson", "application/ndjson", "application/jsonl"]) {
            Ok(Self::JsonLines)
        } else if is(&["application/json"]) {
            Ok(Self::Json)
        } else if is(&["text/plain", "application/octet-stream", ""]) {
            Ok(Self::Text)
        } else {
            let detail = "send text/plain, application/x-ndjson or application/json as Content-Type";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }

    /// The format of lines when none is given. What no format reads is counted as unreadable in the most usual one.
    pub fn format_of(self, text: &str) -> Format {
        match self {
            Self::JsonLines | Self::Json => Format::Json,
            Self::Text => Format::detect(text).unwrap_or(Format::Combined),
        }
    }
}

/// A header that may be there once; empty when it is not.
fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(""),
        (Some(Ok(value)), None) => Ok(value),
        _ => Err(unreadable(format!("send one {name} header, in ASCII"))),
    }
}

/// Whether it is gzip; neither is an error.
pub fn is_packed(headers: &HeaderMap) -> Result<bool, Problem> {
    let encoding = header(headers, &CONTENT_ENCODING)?.trim();
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => {
            let detail = "send the body as it is, or with Content-Encoding: gzip";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

/// The answer to a request that cannot be understood.
pub fn unreadable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn too_large() -> Problem {
    let detail = format!(
        "a body has at most {} MiB, and {} MiB when it is unpacked; send it in parts",
        MAX_BODY_BYTES >> 20,
        MAX_TEXT >> 20
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Reads a body, as long as it is not too large and not too slow.
pub async fn read(headers: &HeaderMap, body: Body, time: Duration) -> Result<Vec<u8>, Problem> {
    read_at_most(MAX_BODY_BYTES, headers, body, time).await?.ok_or_else(too_large)
}

/// How long a body says that it is.
pub fn length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    Ok(header(headers, &CONTENT_LENGTH)?.parse().ok())
}

/// Reads a body of at most `max` bytes that is not too slow; `None` when it is larger, whatever it says.
pub async fn read_at_most(
    max: usize,
    headers: &HeaderMap,
    body: Body,
    time: Duration,
) -> Result<Option<Vec<u8>>, Problem> {
    if length(headers)?.is_some_and(|length| length > max) {
        return Ok(None);
    }
    let deadline = Instant::now() + time;
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let until = deadline.min(Instant::now() + MAX_PAUSE);
        let chunk: Option<Result<Bytes, _>> = timeout_at(until, chunks.next()).await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long; send it faster, or in parts")
        })?;
        let Some(chunk) = chunk else { return Ok(Some(bytes)) };
        let chunk = chunk.map_err(|_| unreadable("the body ended before it was whole; send it again"))?;
        if bytes.len() + chunk.len() > max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The lines of a body. What is not UTF-8 is replaced, as in files.
pub fn unpack(body: Vec<u8>, is_packed: bool, kind: Kind) -> Result<String, Problem> {
    let bytes = if is_packed { gunzip(&body)? } else { body };
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    match kind {
        Kind::Json => json_lines(&text).map_err(|error| {
            unreadable(format!("the body is not JSON, and nothing of it was taken: {error}"))
        }),
        Kind::JsonLines | Kind::Text => Ok(text),
    }
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let limit = MAX_TEXT as u64 + 1;
    let read = flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut bytes);
    if bytes.len() > MAX_TEXT {
        return Err(too_large());
    }
    match read {
        Ok(_) => Ok(bytes),
        Err(_) => Err(unreadable("the body is not gzip, or not all of it, and nothing of it was taken")),
    }
}

/// Each element of an array, or each value, on a line of its own.
fn json_lines(text: &str) -> Result<String, serde_json::Error> {
    struct Elements(String);

    impl Elements {
        fn push(&mut self, value: &RawValue) {
            // A line feed is only ever between tokens: within a text it is escaped.
            self.0.extend(value.get().chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
            self.0.push('\n');
        }
    }

    impl<'de> Visitor<'de> for Elements {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<String, A::Error> {
            while let Some(value) = elements.next_element::<&RawValue>()? {
                self.push(value);
            }
            Ok(self.0)
        }
    }

    let mut lines = Elements(String::with_capacity(text.len() + 1));
    let mut reader = serde_json::Deserializer::from_str(text);
    if text.trim_start().starts_with('[') {
        let lines = reader.deserialize_seq(lines)?;
        reader.end()?;
        return Ok(lines);
    }
    for value in reader.into_iter::<&RawValue>() {
        lines.push(value?);
    }
    Ok(lines.0)
}

/// A piece of a text: whole lines, each ended by a line feed.
pub struct Piece {
    /// The lines.
    pub text: String,
    /// How many.
    pub lines: u64,
}

/// Pieces of at most [`MAX_TEXT_BYTES`]. Of a longer line there is the start, which the decoder knows to be one.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = &rest.as_bytes()[..rest.len().min(MAX_TEXT_BYTES)];
        let whole = match memchr::memrchr(b'\n', start) {
            _ if rest.len() < MAX_TEXT_BYTES => rest.len(),
            Some(last) => last + 1,
            None => memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1),
        };
        let (piece, behind) = rest.split_at(whole);
        rest = behind;
        let kept = if piece.len() <= MAX_TEXT_BYTES { piece.len() } else { MAX_TEXT_BYTES - 1 };
        let mut text = piece[..piece.floor_char_boundary(kept)].to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        Some(Piece { text, lines })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_hold_everything() {
        let line = |length: usize| "x".repeat(length);
        let texts = [
            String::new(),
            "a".to_owned(),
            "a\n\nb\n".to_owned(),
            format!("{}\n", line(MAX_TEXT_BYTES - 1)),
            format!("{}\nb", line(MAX_TEXT_BYTES)),
            (0..5_000).map(|number| format!("line {number}\n")).collect(),
            format!("a\n{}\nb\n", "\u{fc}".repeat(MAX_TEXT_BYTES)),
            line(3 * MAX_TEXT_BYTES),
        ];
        for text in texts {
            let pieces: Vec<Piece> = pieces(&text).collect();
            let joined: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            let (found, wanted): (Vec<&str>, Vec<&str>) = (joined.lines().collect(), text.lines().collect());
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!(wanted.starts_with(found));
                assert!(
                    found == wanted || wanted.len() >= MAX_TEXT_BYTES && found.len() >= MAX_TEXT_BYTES - 4
                );
            }
            assert_eq!(pieces.iter().map(|piece| piece.lines).sum::<u64>(), wanted.len() as u64);
            for piece in &pieces {
                assert!(piece.text.ends_with('\n'));
                assert!(piece.text.len() <= MAX_TEXT_BYTES);
            }
        }
    }

    #[test]
    fn elements_of_an_array_become_lines() {
        for (text, lines) in [
            ("[]", ""),
            (" [{\"a\":\n 1}, 2,\"x\\n\"] ", "{\"a\":  1}\n2\n\"x\\n\"\n"),
            ("{\"a\":\r\n1}", "{\"a\":  1}\n"),
            ("{\"a\":1}\n{\"b\":[]}\n", "{\"a\":1}\n{\"b\":[]}\n"),
            ("", ""),
        ] {
            assert_eq!(json_lines(text).unwrap(), lines);
        }
        for text in ["[{}", "[{}] x", "{]", "[,]"] {
            assert!(json_lines(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'\n'; MAX_TEXT + 1]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < MAX_BODY_BYTES / 10);
        assert!(gunzip(&bomb).is_err());
        assert!(gunzip(&bomb[..100]).is_err());
        assert!(gunzip(b"junk").is_err());
    }
}
