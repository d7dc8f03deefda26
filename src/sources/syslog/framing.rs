//! Where messages begin and end in a stream of bytes (RFC 6587): by their length, or by line feeds.
//!
//! Which of the two, the first byte of each frame says: a digit begins a length, a syslog message begins with `<`.
//! A sender that has given lengths and gives none where one should be has lost count, or we have: what follows could
//! be anything, so the connection is to be closed. It comes back and begins anew.

use memchr::memchr;

/// Longest message that is read. Of a longer one the first part is, and the rest is skipped.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Digits of a length, at most: up to 9,999,999 bytes are skipped for one message.
const MAX_DIGITS: usize = 7;

/// Takes frames out of a stream.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// Bytes at the beginning of the buffer in which there is no line feed.
    searched: usize,
    /// What comes is to be skipped.
    skip: Skip,
    has_counted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Skip {
    #[default]
    Nothing,
    Bytes(usize),
    Line,
}

/// What was found in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Message(Vec<u8>),
    /// The first part of a message that is longer than [`MAX_MESSAGE_BYTES`].
    Cut(Vec<u8>),
    /// The first part of a message whose end never came.
    BrokenOff(Vec<u8>),
    /// The count was lost.
    Malformed,
}

impl Framer {
    /// Takes what has arrived and gives the frames that are complete. Nothing more comes after a malformed one.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.buffer.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some((frame, end)) = self.next(at) {
            at = end;
            self.searched = 0;
            let is_over = frame == Some(Frame::Malformed);
            frames.extend(frame);
            if is_over {
                at = self.buffer.len();
                break;
            }
        }
        self.buffer.drain(..at);
        frames
    }

    /// The stream has ended: what is left may be a message.
    pub fn finish(&mut self) -> Option<Frame> {
        let rest = std::mem::take(&mut self.buffer);
        if self.skip != Skip::Nothing || rest.is_empty() {
            return None;
        }
        match length(&rest) {
            Length::Is(_, digits) => Some(Frame::BrokenOff(rest[digits + 1..].to_vec())),
            _ => Some(Frame::Message(trimmed(&rest).to_vec())),
        }
    }

    /// The next frame, if one is complete, and where it ends; `None` when more has to come.
    fn next(&mut self, at: usize) -> Option<(Option<Frame>, usize)> {
        let rest = &self.buffer[at..];
        if rest.is_empty() {
            return None;
        }
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(count) => {
                let skipped = count.min(rest.len());
                self.skip = if skipped == count { Skip::Nothing } else { Skip::Bytes(count - skipped) };
                return Some((None, at + skipped));
            }
            Skip::Line => {
                let end = memchr(b'\n', rest);
                if end.is_some() {
                    self.skip = Skip::Nothing;
                }
                return Some((None, at + end.map_or(rest.len(), |end| end + 1)));
            }
        }
        // Some senders end a counted message with a line feed as well, and do not count it.
        if matches!(rest[0], b'\n' | b'\r' | 0) {
            return Some((None, at + 1));
        }
        match length(rest) {
            Length::Unfinished => None,
            Length::Is(length, digits) => {
                self.has_counted = true;
                let start = digits + 1;
                let kept = length.min(MAX_MESSAGE_BYTES);
                let message = rest.get(start..start + kept)?.to_vec();
                let end = at + start + kept;
                if length == kept {
                    return Some((Some(Frame::Message(message)), end));
                }
                self.skip = Skip::Bytes(length - kept);
                Some((Some(Frame::Cut(message)), end))
            }
            Length::None if self.has_counted => Some((Some(Frame::Malformed), at)),
            Length::None => match memchr(b'\n', &rest[self.searched.min(rest.len())..]) {
                // Looked for once in each byte, however small the pieces are in which a long message comes.
                Some(end) if self.searched + end <= MAX_MESSAGE_BYTES => {
                    let end = self.searched + end;
                    Some((Some(Frame::Message(trimmed(&rest[..end]).to_vec())), at + end + 1))
                }
                _ if rest.len() > MAX_MESSAGE_BYTES => {
                    self.skip = Skip::Line;
                    let message = rest[..MAX_MESSAGE_BYTES].to_vec();
                    Some((Some(Frame::Cut(message)), at + MAX_MESSAGE_BYTES))
                }
                _ => {
                    self.searched = rest.len();
                    None
                }
            },
        }
    }
}

enum Length {
    /// The length, and of how many digits it is.
    Is(usize, usize),
    Unfinished,
    None,
}

fn length(bytes: &[u8]) -> Length {
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_DIGITS || bytes[0] == b'0' {
        return Length::None;
    }
    match bytes.get(digits) {
        None => Length::Unfinished,
        Some(b' ') => {
            let value = bytes[..digits].iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
            Length::Is(value, digits)
        }
        Some(_) => Length::None,
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &bytes[..end.map_or(0, |end| end + 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> Frame {
        Frame::Message(text.as_bytes().to_vec())
    }

    fn broken_off(text: &str) -> Frame {
        Frame::BrokenOff(text.as_bytes().to_vec())
    }

    #[test]
    fn frames_are_found_however_the_stream_is_torn() {
        let cases: &[(&str, Vec<Frame>, Option<Frame>)] = &[
            ("<1>a\n<2>b\n", vec![message("<1>a"), message("<2>b")], None),
            ("<1>a\r\n\0", vec![message("<1>a")], None),
            ("<1>a", vec![], Some(message("<1>a"))),
            ("4 <1>a5 <2>bc", vec![message("<1>a"), message("<2>bc")], None),
            ("5 <1>\na6 <2>b\nc", vec![message("<1>\na"), message("<2>b\nc")], None),
            ("4 <1>a\n4 <2>b\n", vec![message("<1>a"), message("<2>b")], None),
            ("<1>a\n4 <2>b<3>c\n", vec![message("<1>a"), message("<2>b"), Frame::Malformed], None),
            ("3 <1>a4 <2>b", vec![message("<1>"), Frame::Malformed], None),
            ("9 <1>a", vec![], Some(broken_off("<1>a"))),
            ("192.0.2.1 - - x\n", vec![message("192.0.2.1 - - x")], None),
            ("20261124 x\n", vec![message("20261124 x")], None),
            ("0 x\n", vec![message("0 x")], None),
            ("12", vec![], Some(message("12"))),
        ];
        for (stream, frames, rest) in cases {
            for size in 1..=stream.len() {
                let mut framer = Framer::default();
                let pieces = stream.as_bytes().chunks(size);
                let mut found = Vec::new();
                for piece in pieces {
                    found.extend(framer.feed(piece));
                    if found.last() == Some(&Frame::Malformed) {
                        break;
                    }
                }
                assert_eq!(&found, frames, "{stream:?} by {size}");
                if found.last() != Some(&Frame::Malformed) {
                    assert_eq!(&framer.finish(), rest, "{stream:?} by {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_message_is_read() {
        let long = "x".repeat(200_000);
        for stream in [format!("{} <1>{long}4 <2>a", long.len() + 3), format!("<1>{long}\n<2>a\n")] {
            let mut framer = Framer::default();
            let mut frames = Vec::new();
            for piece in stream.as_bytes().chunks(10_000) {
                frames.extend(framer.feed(piece));
                assert!(framer.buffer.len() <= MAX_MESSAGE_BYTES + MAX_DIGITS + 2);
            }
            assert!(matches!(&frames[0], Frame::Cut(first) if first.len() == MAX_MESSAGE_BYTES));
            assert_eq!(frames[1..], [message("<2>a")]);
        }
    }

    #[test]
    fn a_message_in_single_bytes_costs_no_more_than_its_length() {
        let mut framer = Framer::default();
        let started = std::time::Instant::now();
        for _ in 0..20 {
            for _ in 0..MAX_MESSAGE_BYTES {
                assert!(framer.feed(b"x").is_empty());
            }
            assert_eq!(framer.feed(b"\n").len(), 1);
        }
        // Searching everything again for each byte took half a minute.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_that_are_not_too_long(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"<1>2 9\n\0x".to_vec()), 0..40), 0..20),
        ) {
            let mut framer = Framer::default();
            for piece in &pieces {
                for frame in framer.feed(piece) {
                    if let Frame::Message(bytes) | Frame::Cut(bytes) | Frame::BrokenOff(bytes) = frame {
                        prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
                    }
                }
            }
            framer.finish();
        }
    }
}
