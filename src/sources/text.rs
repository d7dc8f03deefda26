//! Bytes become texts of whole lines that are not too long.

use memchr::{memchr, memchr_iter, memrchr};

use crate::decode;
use crate::intake::MAX_TEXT_BYTES;

/// Makes texts of lines, each ended by a line feed: one, unless bytes that are not UTF-8 make it too long.
///
/// Such a byte becomes U+FFFD, which is three: a line that is longer than a text may be is cut then.
pub(super) fn texts(lines: &[u8]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    if let (true, Ok(text)) = (lines.len() <= MAX_TEXT_BYTES, str::from_utf8(lines)) {
        return vec![text.to_owned()];
    }
    let (mut texts, mut text) = (Vec::new(), String::new());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        push_line(&mut text, &String::from_utf8_lossy(line), &mut texts);
    }
    texts.push(text);
    texts
}

/// Adds a line to `text`, which goes to `full` first if there is no room in it. What is too long is cut: then `true`.
pub(super) fn push_line(text: &mut String, line: &str, full: &mut Vec<String>) -> bool {
    let kept = up_to(line, MAX_TEXT_BYTES - 1);
    if text.len() + kept.len() >= MAX_TEXT_BYTES {
        full.push(std::mem::take(text));
    }
    text.push_str(kept);
    text.push('\n');
    kept.len() < line.len()
}

/// How many lines of a text are lines of a log: blank ones are none, to the decoder either.
pub(super) fn lines(text: &str) -> u64 {
    let mut blank = 0;
    let mut start = 0;
    let mut all = 0;
    for end in memchr_iter(b'\n', text.as_bytes()) {
        all += 1;
        // The first byte of most lines says that there is something in them.
        let may_be_blank = matches!(text.as_bytes()[start], b'\n' | b'\r' | b'\0' | b' ' | b'\t' | 0xef);
        blank += u64::from(may_be_blank && decode::is_blank(&text[start..end]));
        start = end + 1;
    }
    all - blank
}

/// The first bytes of a text, of whole characters.
fn up_to(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What to do with bytes of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes at the beginning that are no whole line: the rest of one that was cut, or padding.
    pub skip: usize,
    /// Where the lines end.
    pub end: usize,
    /// The last line goes on after `end`, and what comes of it there is to be skipped.
    pub is_open: bool,
}

/// Finds the whole lines in `bytes`.
///
/// `before` is the byte before them, which says whether a line begins here: if not, its first part was taken as a line
/// already, and what was left of it must not look like a line of its own, for who makes lines long could then write
/// what he likes into the log. NULs at the beginning of a line are what a truncated file has where its writer goes on.
///
/// A line that is longer than `bytes` can ever be, or, if `is_last`, that nobody will end, is taken as it is.
pub(super) fn cut(before: Option<u8>, bytes: &[u8], is_full: bool, is_last: bool) -> Cut {
    let mut skip = 0;
    if !matches!(before, None | Some(b'\n' | 0)) {
        match memchr(b'\n', bytes) {
            Some(end) => skip = end + 1,
            None => return Cut { skip: bytes.len(), end: bytes.len(), is_open: false },
        }
    }
    skip += bytes[skip..].iter().take_while(|byte| **byte == 0).count();
    match memrchr(b'\n', &bytes[skip..]) {
        Some(end) => Cut { skip, end: skip + end + 1, is_open: false },
        None if skip == bytes.len() => Cut { skip, end: skip, is_open: false },
        None if is_last || (is_full && skip == 0) => Cut { skip, end: bytes.len(), is_open: true },
        None => Cut { skip, end: skip, is_open: false },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoded, Decoder, Format};
    use crate::event::{Event, Schema};

    #[test]
    fn lines_are_cut_where_they_end() {
        type Case = (Option<u8>, &'static [u8], bool, bool, (usize, usize, bool));
        let cases: &[Case] = &[
            (None, b"", false, false, (0, 0, false)),
            (None, b"a\nb\n", false, false, (0, 4, false)),
            (None, b"a\nb", false, false, (0, 2, false)),
            (None, b"a\nb", true, true, (0, 2, false)),
            (Some(b'\n'), b"a", false, false, (0, 0, false)),
            (Some(b'\n'), b"a", true, false, (0, 1, true)),
            (Some(b'\n'), b"a", false, true, (0, 1, true)),
            (Some(b'x'), b"yz\na\n", false, false, (3, 5, false)),
            (Some(b'x'), b"yz", false, false, (2, 2, false)),
            (Some(b'x'), b"yz\nb", true, false, (3, 3, false)),
            (Some(b'x'), b"yz\nb", true, true, (3, 4, true)),
            (None, b"\0\0\0a\n", false, false, (3, 5, false)),
            (Some(0), b"\0\0a\n", false, false, (2, 4, false)),
            (Some(0), b"\0\0", true, true, (2, 2, false)),
        ];
        for (before, bytes, is_full, is_last, (skip, end, is_open)) in cases {
            let want = Cut { skip: *skip, end: *end, is_open: *is_open };
            assert_eq!(cut(*before, bytes, *is_full, *is_last), want, "{before:?} {bytes:?}");
        }
    }

    #[test]
    fn texts_are_lines_and_never_too_long_whatever_the_bytes() {
        assert_eq!(texts(b""), Vec::<String>::new());
        assert_eq!(texts(b"a\nb\n"), ["a\nb\n"]);
        assert_eq!(texts(b"a\xff\n"), ["a\u{fffd}\n"]);
        let one_line = [vec![0xff; MAX_TEXT_BYTES - 1], vec![b'\n']].concat();
        let many_lines = b"\xff\xff\xff\xff\n".repeat(MAX_TEXT_BYTES / 5);
        for (bytes, lines) in [(&one_line, 1), (&many_lines, MAX_TEXT_BYTES / 5)] {
            let texts = texts(bytes);
            assert!(texts.iter().all(|text| text.len() <= MAX_TEXT_BYTES && text.ends_with('\n')));
            let found: usize = texts.iter().map(|text| text.matches('\n').count()).sum();
            assert_eq!(found, lines);
        }
    }

    proptest! {
        /// A source and the decoder agree on what a line is.
        #[test]
        fn blank_lines_are_counted_by_nobody(text in "([ \t\r\0\u{feff}a\u{a0}#]{0,4}\n){0,20}") {
            let schema = Arc::new(Schema::new());
            let mut decoder = Decoder::new(Format::Combined, Arc::clone(&schema), Arc::default());
            let mut decoded = 0;
            for line in text.split_terminator('\n') {
                let mut event = Event::new(&schema);
                decoded += u64::from(decoder.decode(line, &mut event) != Ok(Decoded::Nothing));
            }
            prop_assert_eq!(lines(&text), decoded);
        }
    }
}
