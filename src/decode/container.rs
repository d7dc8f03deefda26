//! Lines as the runtime of a container keeps them: inside a line of its own.
//!
//! Docker wraps each in an object, `{"log":"...\n","stream":"stdout","time":"..."}`, Kubernetes (CRI) puts
//! `2026-11-24T10:00:00Z stdout F ` before it. Both split what is longer than 16 KiB: the first piece is read as a line
//! that was cut, and the others are no lines of any format. The time of the runtime is that of lines that have none.

use super::access::Record;
use super::json::{self, Context};
use super::{Decoded, alb, combined, haproxy};
use crate::event::Event;

/// A line of Kubernetes, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Wrapped<'a> {
    pub time: &'a str,
    pub line: &'a str,
    /// Whether there is more of it in the next line.
    pub is_part: bool,
}

/// Byte at which such a line, and hardly any other, has a `T`.
pub(super) const DATE_LENGTH: usize = 10;

/// `2026-11-24T10:00:00.123456789Z stdout F line`, or `P` for a part of one.
#[cold]
pub(super) fn kubernetes(text: &str) -> Option<Wrapped<'_>> {
    let (time, rest) = text.split_once(' ')?;
    let rest = rest.strip_prefix("stdout ").or_else(|| rest.strip_prefix("stderr "))?;
    let (tags, line) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_part = match tags.split(':').next()? {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Wrapped { time, line, is_part })
}

/// Decodes the line in an object of Docker as whatever it is. If it is nothing, the event stays as it was.
pub(super) fn docker(text: &str, context: Context<'_>, event: &mut Event<'_>) -> Option<Decoded> {
    // The text was escaped, so it is not a part of the line that the event lives as long as.
    let mut inner = Event::new(context.schema);
    let decoded = decode(text.trim_end_matches(['\n', '\r']), context, &mut inner)?;
    event.copy_from(&inner);
    Some(decoded)
}

fn decode<'t>(line: &'t str, context: Context<'_>, event: &mut Event<'t>) -> Option<Decoded> {
    if line.starts_with('{') {
        return json::decode(line, Context { is_wrapped: true, ..context }, event).ok();
    }
    let Context { settings, clock, .. } = context;
    let mut record = Record::default();
    if combined::read(line, settings, clock, &mut record).is_err() {
        record = haproxy::read(line, clock).or_else(|_| alb::read(line, clock)).ok()?;
    }
    Some(record.fill(settings, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kubernetes() {
        let wrapped = |line, is_part| Some(Wrapped { time: "2026-11-24T10:00:00.1Z", line, is_part });
        for (text, expected) in [
            ("2026-11-24T10:00:00.1Z stdout F a line", wrapped("a line", false)),
            ("2026-11-24T10:00:00.1Z stderr P a li", wrapped("a li", true)),
            ("2026-11-24T10:00:00.1Z stdout P:x a li", wrapped("a li", true)),
            ("2026-11-24T10:00:00.1Z stdout F", wrapped("", false)),
            ("2026-11-24T10:00:00.1Z stdout a line", None),
            ("2026-11-24T10:00:00.1Z a F line", None),
            ("2026-11-24T10:00:00.1Z", None),
        ] {
            assert_eq!(kubernetes(text), expected, "{text}");
        }
    }
}
