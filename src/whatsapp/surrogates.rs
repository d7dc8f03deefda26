//! Halves of characters.
//!
//! Where a text is cut by UTF-16 units, an emoji at its end leaves half of itself: `\ud83d` without what belongs to
//! it. JSON allows that and no parser of Rust takes it, and whoever writes such a text would not be seen.

use std::borrow::Cow;

use memchr::memchr;

/// Instead of half a character. As long as what it replaces, so that places in the body stay what they are.
const REPLACEMENT: &str = "\\ufffd";

/// The body with `\ufffd` for each half of a character. Time is linear.
pub(super) fn mended(body: &str) -> Cow<'_, str> {
    let bytes = body.as_bytes();
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        at = match unit(bytes, escape) {
            None => escape + 2,
            Some(0xd800..=0xdbff) if matches!(unit(bytes, escape + 6), Some(0xdc00..=0xdfff)) => escape + 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&body[copied..escape]);
                mended.push_str(REPLACEMENT);
                copied = escape + 6;
                copied
            }
            Some(_) => escape + 6,
        };
        if at >= bytes.len() {
            break;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    mended.push_str(&body[copied..]);
    Cow::Owned(mended)
}

/// The UTF-16 unit that an escape stands for.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits
        .iter()
        .try_fold(0, |unit, digit| Some(unit * 16 + u16::try_from((*digit as char).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_replaced_and_nothing_else() {
        for (body, expected) in [
            (r#"{"a":"plain"}"#, r#"{"a":"plain"}"#),
            (r#""\ud83d\ude00 \u00e4 \n \" \\""#, r#""\ud83d\ude00 \u00e4 \n \" \\""#),
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\uDE00 \uD83D\uD83D\uDE00x""#, r#""\ufffd \ufffd\uD83D\uDE00x""#),
            (r#""\ud83d\u0041\ud83dx""#, r#""\ufffd\u0041\ufffdx""#),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\ud83"#, r#""\ud83"#),
            ("\"\\", "\"\\"),
            ("\"\\ä\\ud83d", "\"\\ä\\ufffd"),
        ] {
            assert_eq!(mended(body), expected, "{body}");
            assert_eq!(mended(body).len(), body.len(), "places stay");
        }
    }
}
