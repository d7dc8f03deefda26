//! Which format a log is in, by trying all of them on its first lines.

use std::str::FromStr;
use std::sync::Arc;

use super::{Decoded, Decoder, Format, Settings};
use crate::event::{Event, Schema};

/// How much of a log is looked at.
const SAMPLE_LIMIT: usize = 64 * 1024;
const LINES_LIMIT: usize = 100;

pub(super) fn detect(sample: &str) -> Option<Format> {
    let mut end = sample.len().min(SAMPLE_LIMIT);
    while !sample.is_char_boundary(end) {
        end -= 1;
    }
    let sample = sample.get(..end)?.trim_start_matches('\u{feff}');
    let schema = Arc::new(Schema::new());
    let settings = Arc::new(Settings::default());
    let mut best = (0, None);
    for name in ["json", "combined", "haproxy", "alb", "w3c"] {
        let Ok(format) = Format::from_str(name) else { continue };
        let mut decoder = Decoder::new(format.clone(), Arc::clone(&schema), Arc::clone(&settings));
        let mut read = 0;
        for line in sample.lines().take(LINES_LIMIT) {
            let mut event = Event::new(&schema);
            read += match decoder.decode(line, &mut event) {
                Ok(Decoded::Event) => 3,
                Ok(Decoded::Truncated) => 2,
                Ok(Decoded::Unknown) => 1,
                Ok(Decoded::Nothing) | Err(_) => 0,
            };
        }
        if read > best.0 {
            best = (read, Some(format));
        }
    }
    let (_, format) = best;
    // The first header of a W3C log, for whoever goes on reading further down.
    let header = sample.lines().find(|line| line.starts_with("#Fields:"));
    format.map(|format| header.map_or_else(|| format.clone(), |header| format.after(header)))
}
