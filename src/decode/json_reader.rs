//! JSON as it stands in logs, read from left to right.
//!
//! Strict parsers refuse a whole line for one odd value, and the sender of a request chooses values: half a surrogate
//! pair, `1e999`, brackets in brackets. Here such a value is lost alone, and a line that was cut gives all that stands
//! before the cut. nginx's `\x22` is an escape like any other. Only what is between the values must be in order.

use std::borrow::Cow;

use memchr::memchr2;

use crate::event::Value;

/// What stands where a value is expected.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// The opening brace of an object.
    Object,
    /// The opening bracket of a list.
    List,
    Value(Value<'a>),
    /// Nothing that is a value: `NaN`, `-`, a number that is too large, nothing at all.
    Odd,
    /// A text in which the line ends.
    Start(Cow<'a, str>),
}

/// Why reading does not go on.
#[derive(Debug, PartialEq)]
pub(super) enum Stop {
    /// The line ends.
    End,
    /// At this byte the line is no JSON.
    Broken(usize),
}

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next byte that is not blank, which stays there.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes `byte`, which must be next.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.take(byte) { Ok(()) } else { Err(self.stop()) }
    }

    /// Why what is next cannot be there.
    #[cold]
    pub(super) fn stop(&self) -> Stop {
        if self.at < self.text.len() { Stop::Broken(self.at) } else { Stop::End }
    }

    /// A name and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.expect(b'"')?;
        let key = self.string().map_err(|_| Stop::End)?;
        self.expect(b':')?;
        Ok(key)
    }

    #[inline]
    pub(super) fn token(&mut self) -> Result<Token<'a>, Stop> {
        let token = match self.peek().ok_or(Stop::End)? {
            b'"' => {
                self.at += 1;
                return Ok(match self.string() {
                    Ok(text) => Token::Value(Value::Text(text)),
                    Err(start) => Token::Start(start),
                });
            }
            b'{' => Token::Object,
            b'[' => Token::List,
            b'0'..=b'9' if let Some((number, length)) = whole(self.rest()) => {
                self.at += length;
                return Ok(Token::Value(Value::Int(number)));
            }
            _ => return self.word(),
        };
        self.at += 1;
        Ok(token)
    }

    /// A number, `true`, `false`, `null`, or something odd, up to what may follow a value.
    fn word(&mut self) -> Result<Token<'a>, Stop> {
        let start = self.at;
        let length = self.rest().iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b'"'));
        // The last word of a line that was cut may not be all of it.
        self.at += length.ok_or(Stop::End)?;
        Ok(match self.text[start..self.at].trim_ascii_end() {
            "true" => Token::Value(Value::Bool(true)),
            "false" => Token::Value(Value::Bool(false)),
            "null" => Token::Value(Value::Null),
            word => number(word).map_or(Token::Odd, Token::Value),
        })
    }

    /// The text up to a closing quote; as an error, that up to the end of the line.
    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, Cow<'a, str>> {
        let start = self.at;
        match memchr2(b'"', b'\\', self.rest()) {
            Some(length) if self.rest()[length] == b'"' => {
                self.at += length + 1;
                Ok(Cow::Borrowed(&self.text[start..start + length]))
            }
            Some(_) => self.escaped(),
            None => {
                self.at = self.text.len();
                Err(Cow::Borrowed(&self.text[start..]))
            }
        }
    }

    fn escaped(&mut self) -> Result<Cow<'a, str>, Cow<'a, str>> {
        let mut bytes = Vec::new();
        let owned = |bytes| Cow::Owned(super::target::text(bytes));
        loop {
            let rest = self.rest();
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                bytes.extend_from_slice(rest);
                break;
            };
            bytes.extend_from_slice(&rest[..length]);
            self.at += length + 1;
            if rest[length] == b'"' {
                return Ok(owned(bytes));
            }
            self.at += escape(&rest[length + 1..], &mut bytes);
        }
        self.at = self.text.len();
        Err(owned(bytes))
    }

    /// Passes over the rest of an object or a list, however deep.
    pub(super) fn skip(&mut self) -> Result<(), Stop> {
        let mut open = 1_usize;
        while open > 0 {
            let rest = self.rest();
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'));
            let length = found.ok_or(Stop::End)?;
            self.at += length + 1;
            match rest[length] {
                b'"' => self.skip_string()?,
                b'{' | b'[' => open += 1,
                _ => open -= 1,
            }
        }
        Ok(())
    }

    fn skip_string(&mut self) -> Result<(), Stop> {
        loop {
            let rest = self.rest();
            let length = memchr2(b'"', b'\\', rest).ok_or(Stop::End)?;
            if rest[length] == b'"' {
                self.at += length + 1;
                return Ok(());
            }
            self.at = self.text.len().min(self.at + length + 2);
        }
    }
}

/// The commonest kind of number, and its length: up to 18 digits and nothing else.
#[inline]
fn whole(text: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0;
    for (length, byte) in text.iter().enumerate().take(19) {
        match byte {
            b'0'..=b'9' if length < 18 => number = number * 10 + i64::from(byte - b'0'),
            b',' | b'}' | b']' => return Some((number, length)),
            _ => break,
        }
    }
    None
}

/// A number that can be told from others: `1e999` is none.
fn number<'a>(word: &str) -> Option<Value<'a>> {
    if !word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
        return None;
    }
    match word.parse() {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => word.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
    }
}

/// Adds what an escape stands for, without its backslash, and gives its length. What is none stays as it is.
fn escape(text: &[u8], bytes: &mut Vec<u8>) -> usize {
    let (byte, length) = match text {
        [b'u', digits @ ..] => match unicode(digits) {
            Some((character, length)) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return length + 1;
            }
            None => (b'\\', 0),
        },
        [b'x', digits @ ..] => match hexadecimal(digits, 2) {
            Some(byte) => (byte as u8, 3),
            None => (b'\\', 0),
        },
        [b'n', ..] => (b'\n', 1),
        [b't', ..] => (b'\t', 1),
        [b'r', ..] => (b'\r', 1),
        [b'b', ..] => (8, 1),
        [b'f', ..] => (12, 1),
        [other @ (b'"' | b'\\' | b'/'), ..] => (*other, 1),
        _ => (b'\\', 0),
    };
    bytes.push(byte);
    length
}

/// The character that `0041` is, or `d83d\ude00`, and the length of that. Half a pair is no character.
fn unicode(digits: &[u8]) -> Option<(char, usize)> {
    let first = hexadecimal(digits, 4)?;
    if let 0xd800..0xdc00 = first
        && let Some([b'\\', b'u', second @ ..]) = digits.get(4..)
        && let Some(second @ 0xdc00..0xe000) = hexadecimal(second, 4)
    {
        let character = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        return Some((character.unwrap_or(char::REPLACEMENT_CHARACTER), 10));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4))
}

fn hexadecimal(digits: &[u8], count: usize) -> Option<u32> {
    digits
        .get(..count)?
        .iter()
        .try_fold(0, |number, digit| Some(number << 4 | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_that_are_odd_are_lost_alone() {
        let text = |text: &str| Token::Value(Value::Text(Cow::Owned(text.to_owned())));
        for (json, expected) in [
            (r#""plain""#, text("plain")),
            (r#""\u0041\n\/\"\\""#, text("A\n/\"\\")),
            (r#""\ud83d\ude00""#, text("\u{1f600}")),
            (r#""a\ud800b""#, text("a\u{fffd}b")),
            (r#""\ud800\u0041""#, text("\u{fffd}A")),
            (r#""\ude00""#, text("\u{fffd}")),
            (r#""\x22\xD0\x90""#, text("\"А")),
            (r#""\xff""#, text("\u{fffd}")),
            (r#""\q\u12\xg""#, text("\\q\\u12\\xg")),
            ("\"tab\tand \u{1}\"", text("tab\tand \u{1}")),
            ("-17,", Token::Value(Value::Int(-17))),
            ("007}", Token::Value(Value::Int(7))),
            ("1.5e3 ,", Token::Value(Value::Float(1500.0))),
            ("18446744073709551615]", Token::Value(Value::Float(18446744073709551615.0))),
            ("true\n}", Token::Value(Value::Bool(true))),
            ("null}", Token::Value(Value::Null)),
            ("1e999,", Token::Odd),
            ("NaN,", Token::Odd),
            ("-Infinity,", Token::Odd),
            ("inf,", Token::Odd),
            ("-,", Token::Odd),
            (",", Token::Odd),
            ("None}", Token::Odd),
            (r#""half a te"#, Token::Start("half a te".into())),
            (r#""half \"a\" \u00"#, Token::Start("half \"a\" \\u00".into())),
            (r#""half \"#, Token::Start("half \\".into())),
        ] {
            assert_eq!(Reader::new(json).token(), Ok(expected), "{json}");
        }
        for json in ["", "  ", "17", "tru", "1e9"] {
            assert_eq!(Reader::new(json).token(), Err(Stop::End), "{json}");
        }
    }

    #[test]
    fn what_is_deep_is_passed_over_without_recursion() {
        let deep = format!("{}\"]é\\\"]\\é\"{}", "[".repeat(100_000), "]".repeat(100_000));
        let mut reader = Reader::new(&deep);
        assert_eq!(reader.token(), Ok(Token::List));
        assert_eq!(reader.skip(), Ok(()));
        assert_eq!(reader.peek(), None);
    }

    proptest! {
        #[test]
        fn texts_are_read_as_a_strict_parser_reads_them(text in "\\PC{0,20}|[\u{0}-\u{ff}\u{1f600}]{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Reader::new(&json).token(), Ok(Token::Value(Value::Text(text.into()))));
        }

        #[test]
        fn numbers_are_read_as_a_strict_parser_reads_them(number in any::<f64>()) {
            if let Ok(json) = serde_json::to_string(&number) && json != "null" {
                let json = format!("{json},");
                prop_assert_eq!(Reader::new(&json).token(), Ok(Token::Value(Value::Float(number))));
            }
        }
    }
}
