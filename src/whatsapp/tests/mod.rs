//! Tests of the whole room: bodies in, lines out.

mod fixtures;
mod keys;
mod marks;
mod mutations;
mod privacy;
mod samples;
mod sends;
mod twilio;

use super::{Context, Unreadable, Update};
use crate::event::Timestamp;
use crate::pseudonym::{DedupeKey, Key, Pseudonyms};

/// When everything arrives: 24 November 2026, 12:00 UTC.
const RECEIVED: Timestamp = Timestamp::from_seconds(1_795_521_600);

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(Key::new('1', &[7; 32]).unwrap())
}

fn dedupe() -> DedupeKey {
    DedupeKey::new(&[7; 32])
}

fn context() -> Context {
    Context::new(pseudonyms(), dedupe())
}

fn read(body: &str) -> Result<Update, Unreadable> {
    super::read(body.as_bytes(), RECEIVED, &context())
}

/// What a body becomes, as text: lines, names that are not known, and what could not be read.
fn told(body: &str) -> String {
    let update = match read(body) {
        Ok(update) => update,
        Err(error) => return format!("# {error}\n"),
    };
    assert_eq!(update.lines.lines().count(), update.keys.len(), "a key for each line");
    let mut told = update.lines;
    for (name, count) in &update.unknown {
        told += &format!("# unknown {name} {count}\n");
    }
    for failure in &update.failed {
        let (place, text) = (failure.place, &body[failure.text.clone()]);
        let part = |part: Option<usize>| part.map_or("-".to_owned(), |at| at.to_string());
        let at = format!("{}/{}/{}", place.entry, part(place.change), part(place.item));
        let text = text.split_whitespace().collect::<String>();
        told += &format!(
            "# failed {} at {at}: {}\n",
            failure.reason.name(),
            text.chars().take(60).collect::<String>()
        );
    }
    let failures: u64 = update.failures.iter().sum();
    assert_eq!(failures, update.failed.len() as u64, "so few failures are all kept");
    told
}
