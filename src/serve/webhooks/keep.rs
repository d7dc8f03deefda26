//! Lines into the journal, and the wait until they are on stable storage.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::decode::Format;
use crate::event::Timestamp;
use crate::intake::{Lines, MAX_TEXT_BYTES, Stream};
use crate::journal::{Failed, Record, Refused, Stored, Writer};
use crate::serve::body;

/// How long the journal may take. Whether what was not stored by then will be is not known: when it comes again, it is
/// known by its keys.
const STORE_TIME: Duration = Duration::from_secs(4);

/// What became of lines that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Lines.
    pub lines: u64,
    /// How many of them had been stored before.
    pub duplicates: u64,
}

/// Why lines are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// The queue of the journal is full.
    Full,
    /// The service is stopping.
    Stopping,
    /// Something is wrong; what.
    Failed(&'static str),
}

impl NotKept {
    /// Why, in words.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Full => "the queue of the journal is full",
            Self::Stopping => "the service is stopping",
            Self::Failed(why) => why,
        }
    }

    /// Why the journal has not taken something.
    pub const fn refused<T>(refused: &Refused<T>) -> Self {
        match refused {
            Refused::Full(_) => Self::Full,
            Refused::Stopping(_) => Self::Stopping,
            Refused::TooLarge(_) => Self::Failed("it is larger than the journal takes"),
        }
    }
}

/// Puts lines into the journal and waits until they are stored. `keys` are those of the lines, in order; lines without one
/// are always new.
pub async fn keep(
    journal: &Writer,
    stream: &Arc<Stream>,
    lines: String,
    keys: Vec<u64>,
    received: Timestamp,
) -> Result<Kept, NotKept> {
    let mut answers = Vec::new();
    let mut kept = Kept::default();
    for (text, keys, lines) in records(lines, keys) {
        let (stored, answer) = oneshot::channel();
        let stream = Arc::clone(stream);
        let format = Format::Json;
        let lines_of = Lines { stream, text, format, received, offset: None, counted: None };
        let record = Record { lines: lines_of, keys, stored: Some(stored) };
        journal.append(record).map_err(|refused| NotKept::refused(&refused))?;
        answers.push(answer);
        kept.lines += lines;
    }
    let all = async {
        for answer in answers {
            match answer.await {
                Ok(Ok(Stored { duplicates, .. })) => kept.duplicates += duplicates as u64,
                Ok(Err(Failed::Full)) => return Err(NotKept::Failed("there is no room on the disk")),
                Ok(Err(_)) => return Err(NotKept::Failed("the journal cannot be written")),
                Err(_) => return Err(NotKept::Failed("the journal has ended")),
            }
        }
        Ok(kept)
    };
    timeout(STORE_TIME, all).await.unwrap_or(Err(NotKept::Failed("the journal takes too long")))
}

/// Records of lines and their keys, and how many lines each has.
fn records(lines: String, keys: Vec<u64>) -> Vec<(String, Vec<u64>, u64)> {
    if lines.len() <= MAX_TEXT_BYTES {
        let count = memchr::memchr_iter(b'\n', lines.as_bytes()).count() as u64;
        return vec![(lines, keys, count)];
    }
    let mut rest = keys.as_slice();
    body::pieces(&lines)
        .map(|piece| {
            let (keys, behind) = rest.split_at(rest.len().min(piece.lines as usize));
            rest = behind;
            (piece.text, keys.to_vec(), piece.lines)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_with_their_lines() {
        let line = |number: usize| format!("{number}{}\n", "x".repeat(700));
        for count in [0, 1, 93, 94, 1000] {
            let lines: String = (0..count).map(line).collect();
            let records = records(lines.clone(), (0..count as u64).collect());
            let mut next = 0;
            for (text, keys, number) in &records {
                assert!(text.len() <= MAX_TEXT_BYTES && *number == keys.len() as u64);
                for (key, found) in keys.iter().zip(text.split_inclusive('\n')) {
                    assert_eq!((*key, found), (next, line(next as usize).as_str()));
                    next += 1;
                }
            }
            assert_eq!(next, count as u64);
        }
        assert!(records(line(0).repeat(1000), Vec::new()).iter().all(|(_, keys, _)| keys.is_empty()));
    }
}
