//! What was asked for: the parts of a request target, the object it names, and its normal form.
//!
//! Attack payloads hide behind encodings, so rules look at [`normalize`]d text, where one plain pattern covers
//! them all. Most targets have nothing to take off; one branch-free pass finds that out and nothing is copied.

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem, memrchr};

/// How often percent-decoding is repeated: an attacker encodes twice, nobody's software decodes four times.
const ROUNDS: usize = 3;

/// Longest text that passes for a file extension.
const EXTENSION_LIMIT: usize = 16;

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts<'t> {
    /// Host of an absolute URL or of a `CONNECT`.
    pub host: Option<&'t str>,
    /// Path and query, without scheme and host. Empty for `CONNECT`.
    pub relative: &'t str,
    pub path: &'t str,
    pub query: Option<&'t str>,
    pub absolute: bool,
}

impl<'t> Parts<'t> {
    #[inline]
    pub(super) fn of(method: &str, target: &'t str) -> Self {
        if target.as_bytes().first() == Some(&b'/') {
            return Self::relative(target);
        }
        Self::unusual(method, target)
    }

    #[inline]
    fn relative(target: &'t str) -> Self {
        let (path, query) = match memchr(b'?', target.as_bytes()) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        Self { host: None, relative: target, path, query, absolute: false }
    }

    #[cold]
    fn unusual(method: &str, target: &'t str) -> Self {
        if method == "CONNECT" {
            return Self { host: Some(without_port(target)), ..Self::default() };
        }
        let scheme = memmem::find(target.as_bytes(), b"://").filter(|at| {
            (1..=8).contains(at) && target.as_bytes()[..*at].iter().all(u8::is_ascii_alphanumeric)
        });
        let Some(at) = scheme else { return Self::relative(target) };
        let rest = &target[at + 3..];
        let end = memchr3(b'/', b'?', b'#', rest.as_bytes()).unwrap_or(rest.len());
        let authority = &rest[..end];
        let host = authority.rsplit_once('@').map_or(authority, |(_credentials, host)| host);
        Self { host: Some(without_port(host)), absolute: true, ..Self::relative(&rest[end..]) }
    }
}

/// `shop.example` of `shop.example:443`.
pub(super) fn without_port(host: &str) -> &str {
    match memrchr(b':', host.as_bytes()) {
        Some(at)
            if super::client::is_port(&host[at + 1..])
                && (host.starts_with('[') || !host[..at].contains(':')) =>
        {
            &host[..at]
        }
        _ => host,
    }
}

/// The extension of the last segment of a path, in lower case and without the dot.
#[inline]
pub(super) fn extension(path: &str) -> Option<Cow<'_, str>> {
    // Backwards, because the last segment is short.
    let bytes = path.as_bytes();
    let (mut end, mut dot) = (bytes.len(), None);
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'/' => break,
            b';' => (end, dot) = (at, None),
            b'.' if dot.is_none() => dot = Some(at),
            _ => {}
        }
    }
    let dot = dot.filter(|dot| *dot > 0 && bytes[dot - 1] != b'/')?;
    let extension = &path[dot + 1..end];
    if extension.is_empty() || extension.len() > EXTENSION_LIMIT {
        return None;
    }
    let mut upper = false;
    for byte in extension.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'~' => {}
            b'A'..=b'Z' => upper = true,
            _ => return None,
        }
    }
    Some(if upper { Cow::Owned(extension.to_ascii_lowercase()) } else { Cow::Borrowed(extension) })
}

/// The object that a path names: the path with its ids replaced by `{id}`, and the last of the ids.
#[inline]
pub(super) fn object(path: &str) -> Option<(String, &str)> {
    // Every id has a digit, most paths have none.
    if !has_digit(path.as_bytes()) {
        return None;
    }
    object_among_digits(path)
}

fn object_among_digits(path: &str) -> Option<(String, &str)> {
    let mut kind = String::new();
    let mut last = None;
    let mut copied = 0;
    let mut start = 0;
    // Bytes compared one by one: segments are too short for a search to pay.
    for segment in path.as_bytes().split(|byte| *byte == b'/') {
        let segment = &path[start..start + segment.len()];
        if let Some(id) = id_in(segment) {
            if last.is_none() {
                kind.reserve(path.len() + 4);
            }
            kind.push_str(&path[copied..start]);
            kind.push_str("{id}");
            copied = start + id.len();
            last = Some(id);
        }
        start += segment.len() + 1;
    }
    let id = last?;
    kind.push_str(&path[copied..]);
    Some((kind, id))
}

/// The id that a segment is, or that it is the file name of a document of.
#[inline]
fn id_in(segment: &str) -> Option<&str> {
    let last = *segment.as_bytes().last()?;
    if last.is_ascii_hexdigit() && is_id(segment) {
        return Some(segment);
    }
    if !matches!(last, b'n' | b'l' | b'f' | b'v') {
        return None;
    }
    let (stem, extension) = segment.rsplit_once('.')?;
    (matches!(extension, "json" | "xml" | "pdf" | "csv") && is_id(stem)).then_some(stem)
}

/// Digits, a UUID, at least 16 hexadecimal digits, or digits after a prefix such as `INV-`.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let Some(first) = bytes.first() else { return false };
    if first.is_ascii_digit() && bytes.iter().all(u8::is_ascii_digit) {
        return true;
    }
    if bytes.len() >= 16 && has_digit(bytes) {
        let is_uuid = bytes.len() == 36
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if is_uuid || bytes.iter().all(u8::is_ascii_hexdigit) {
            return true;
        }
    }
    let Some(at) = bytes.iter().position(|byte| matches!(byte, b'-' | b'_')) else { return false };
    let (prefix, number) = (&bytes[..at], &bytes[at + 1..]);
    (1..=8).contains(&prefix.len())
        && prefix.iter().all(u8::is_ascii_alphabetic)
        && !number.is_empty()
        && number.iter().all(u8::is_ascii_digit)
}

#[inline]
fn has_digit(bytes: &[u8]) -> bool {
    // No early exit: this way it is a vector comparison.
    bytes.iter().fold(false, |found, byte| found | byte.is_ascii_digit())
}

/// A target with the encodings taken off that an attacker hides behind.
///
/// `+` to a space; up to three rounds of percent-decoding (`%u0027` and overlong UTF-8 too); SQL comments, blanks
/// and line ends to one space; `\` to `/`; other control characters dropped; runs of `/` and `/./` to one `/`, except
/// that `://` stays. `..` stays as well: it is what rules look for.
#[inline]
pub(super) fn normalize(target: &str) -> Cow<'_, str> {
    if is_normal(target.as_bytes()) {
        return Cow::Borrowed(target);
    }
    let normal = take_off(target);
    if normal == target { Cow::Borrowed(target) } else { Cow::Owned(normal) }
}

/// Whether there is nothing to take off; when in doubt, no.
#[inline]
fn is_normal(bytes: &[u8]) -> bool {
    // No early exits: this way both are vector comparisons.
    let mut odd = false;
    for &byte in bytes {
        odd |= (byte == b'%') | (byte == b'+') | (byte == b'\\') | (byte < b' ') | (byte == 0x7f);
    }
    for (&left, &right) in bytes.iter().zip(&bytes[1.min(bytes.len())..]) {
        odd |= ((left == b'/') & ((right == b'/') | (right == b'.') | (right == b'*')))
            | ((left == b' ') & (right == b' '));
    }
    !odd
}

fn take_off(target: &str) -> String {
    // Everything here only makes a text shorter, so one copy serves for all.
    let mut bytes = target.as_bytes().to_vec();
    // Before the decoding, as in a form: `%2B` is a plus.
    bytes.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    let mut rounds = 0;
    while rounds < ROUNDS && percent_decode(&mut bytes) {
        rounds += 1;
    }
    if !is_normal(&bytes) {
        tidy(&mut bytes);
    }
    text(bytes)
}

/// Bytes as text; what is not UTF-8 is replaced.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// One round of percent-decoding; whether there was anything to decode.
fn percent_decode(bytes: &mut Vec<u8>) -> bool {
    let Some(mut from) = memchr(b'%', bytes) else { return false };
    let mut to = from;
    while let Some(&byte) = bytes.get(from) {
        let decoded = match &bytes[from..] {
            [b'%', b'u' | b'U', a, b, c, d, ..] => wide(*a, *b, *c, *d).map(|byte| (byte, 6)),
            [b'%', high, low, ..] => pair(*high, *low).map(|byte| (byte, 3)),
            _ => None,
        };
        let (byte, length) = decoded.unwrap_or((byte, 1));
        bytes[to] = byte;
        to += 1;
        from += length;
    }
    let changed = to < bytes.len();
    bytes.truncate(to);
    if changed {
        plain_ascii(bytes);
    }
    changed
}

fn pair(high: u8, low: u8) -> Option<u8> {
    Some(hexadecimal(high)? << 4 | hexadecimal(low)?)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The ASCII character of `%u0027`, or of its full-width twin `%uff07`.
fn wide(a: u8, b: u8, c: u8, d: u8) -> Option<u8> {
    match (pair(a, b)?, pair(c, d)?) {
        (0, low @ ..0x80) => Some(low),
        (0xff, low @ 0x01..=0x5e) => Some(low + 0x20),
        _ => None,
    }
}

/// ASCII characters spelled in two bytes, which no encoder does and some decoders accept, to one byte.
fn plain_ascii(bytes: &mut Vec<u8>) {
    let is_lead = |byte: &u8| matches!(byte, 0xc0 | 0xc1);
    let Some(mut from) = bytes.iter().position(is_lead) else { return };
    let mut to = from;
    while let Some(&byte) = bytes.get(from) {
        let (byte, length) = match bytes.get(from + 1) {
            Some(next @ 0x80..=0xbf) if is_lead(&byte) => ((byte & 1) << 6 | (next & 0x3f), 2),
            _ => (byte, 1),
        };
        bytes[to] = byte;
        to += 1;
        from += length;
    }
    bytes.truncate(to);
}

/// Everything after percent-decoding, in one pass.
fn tidy(bytes: &mut Vec<u8>) {
    let mut comments = Comments { close: memmem::find(bytes, b"*/") };
    let mut tidy = Tidy { bytes, length: 0 };
    let mut at = 0;
    while let Some(&byte) = tidy.bytes.get(at) {
        if let Some(after) = comments.end(tidy.bytes, at) {
            tidy.space();
            at = after;
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => tidy.space(),
            b'/' | b'\\' => tidy.slash(),
            ..0x20 | 0x7f => {}
            _ => tidy.push(byte),
        }
        at += 1;
    }
    let length = tidy.length;
    bytes.truncate(length);
}

/// The part of a text that is tidy already: it grows over the part that is yet to be read, never beyond it.
struct Tidy<'t> {
    bytes: &'t mut Vec<u8>,
    length: usize,
}

impl Tidy<'_> {
    fn done(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn space(&mut self) {
        if self.done().last() != Some(&b' ') {
            self.push(b' ');
        }
    }

    fn slash(&mut self) {
        if self.done().ends_with(b"/.") {
            self.length -= 1;
        }
        if self.done().last() != Some(&b'/') || self.done().ends_with(b":/") {
            self.push(b'/');
        }
    }
}

/// The SQL comments in a text that stand for a blank: empty ones and those of plain words.
///
/// Others stay as they are: `/*!50000select*/` runs, `/*<script>*/` is no comment to a browser, and a comment that
/// were dropped would be a place to hide.
struct Comments {
    /// The first `*/` not before the last place asked for; each is searched for once.
    close: Option<usize>,
}

impl Comments {
    const WORDS_LIMIT: usize = 64;

    /// Where the text goes on behind a comment at `at`.
    fn end(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let start = at + 2;
        if bytes.get(at..start)? != b"/*" {
            return None;
        }
        if self.close.is_some_and(|close| close < start) {
            self.close = memmem::find(&bytes[start..], b"*/").map(|found| start + found);
        }
        let close = self.close?;
        let words = &bytes[start..close];
        let is_plain = words.len() <= Self::WORDS_LIMIT
            && words.iter().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || byte.is_ascii_whitespace()
                    || matches!(byte, b'_' | b'-' | b'.' | b'*')
            });
        is_plain.then_some(close + 2)
    }
}

/// A text with one round of percent-decoding.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    percent_decode(&mut bytes);
    self::text(bytes)
}

/// The value of the first of the query parameters `names`, decoded.
pub(super) fn parameter(query: &str, names: &[String]) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)).then_some(value)
    })?;
    let spaced = value.replace('+', " ");
    let decoded = decoded(&spaced).trim().to_owned();
    (!decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normal_forms() {
        for (target, expected) in [
            ("/", "/"),
            ("/a/b?c=d", "/a/b?c=d"),
            ("/.well-known/security.txt", "/.well-known/security.txt"),
            ("/a%20b", "/a b"),
            ("/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd"),
            ("/%252e%252e%252fetc", "/../etc"),
            ("/%25252e", "/."),
            ("/%2525252e", "/%2e"),
            ("/..%5c..%5cwindows", "/../../windows"),
            ("/a\\b", "/a/b"),
            ("/..%c0%af..%c0%afetc", "/../../etc"),
            ("/..%u2215..%u002f", "/..%u2215../"),
            ("/x?q=%uff1cscript%uff1e", "/x?q=<script>"),
            ("/x?id=1+union/**/select/*x*/1", "/x?id=1 union select 1"),
            ("/x?id=1/*!50000union*/select", "/x?id=1/*!50000union*/select"),
            ("/x?id=1/**_**/union%0a/*%0a*/select", "/x?id=1 union select"),
            ("/x?q={{7%2b7}}", "/x?q={{7+7}}"),
            ("/x?id=1'/*", "/x?id=1'/*"),
            ("/x?q=/*<script>*/", "/x?q=/*<script>*/"),
            ("/x?id=1%0aunion%0d%0aselect", "/x?id=1 union select"),
            ("/x?id=1++union  select", "/x?id=1 union select"),
            ("/x%00.php%1f", "/x.php"),
            ("//a///b/./c/././d", "/a/b/c/d"),
            ("/x?u=http://evil.example/a", "/x?u=http://evil.example/a"),
            ("/x?u=http:%2f%2fevil", "/x?u=http://evil"),
            ("/x?u=http:////evil", "/x?u=http://evil"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/caf%C3%A9", "/café"),
            ("/caf%E9", "/caf\u{fffd}"),
            ("/a*/b/*", "/a*/b/*"),
            ("", ""),
        ] {
            assert_eq!(normalize(target), expected, "{target}");
        }
        assert!(matches!(normalize("/.well-known/x"), Cow::Borrowed(_)), "the same text must not be copied");
    }

    #[test]
    fn parts() {
        let of = |method, target| {
            let parts = Parts::of(method, target);
            (parts.host, parts.path, parts.query)
        };
        assert_eq!(of("GET", "/a?b?c"), (None, "/a", Some("b?c")));
        assert_eq!(of("GET", "/a?"), (None, "/a", Some("")));
        assert_eq!(of("GET", "http://shop.example:80/a?b=://"), (Some("shop.example"), "/a", Some("b=://")));
        assert_eq!(of("GET", "http://shop.example"), (Some("shop.example"), "", None));
        assert_eq!(of("GET", "https://u:p@[::1]:8443/x"), (Some("[::1]"), "/x", None));
        assert_eq!(of("CONNECT", "mail.example:25"), (Some("mail.example"), "", None));
        assert_eq!(of("OPTIONS", "*"), (None, "*", None));
        assert_eq!(of("GET", "a?x=http://b"), (None, "a", Some("x=http://b")));
    }

    #[test]
    fn extensions() {
        for (path, expected) in [
            ("/a/b.PHP", Some("php")),
            ("/a.b/c", None),
            ("/.env", None),
            ("/a.tar.gz", Some("gz")),
            ("/login.jsp;jsessionid=1.2", Some("jsp")),
            ("/a.", None),
            ("/a.b c", None),
            ("/index.php~", Some("php~")),
        ] {
            assert_eq!(extension(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn objects() {
        for (path, expected) in [
            ("/api/orders/17", Some(("/api/orders/{id}", "17"))),
            ("/users/12/orders/55/", Some(("/users/{id}/orders/{id}/", "55"))),
            (
                "/files/550e8400-e29b-41d4-a716-446655440000",
                Some(("/files/{id}", "550e8400-e29b-41d4-a716-446655440000")),
            ),
            ("/b/0123456789abcdef", Some(("/b/{id}", "0123456789abcdef"))),
            ("/b/0123456789abcde", None),
            ("/invoices/INV-123", Some(("/invoices/{id}", "INV-123"))),
            ("/invoices/INV-123.pdf", Some(("/invoices/{id}.pdf", "INV-123"))),
            ("/img/123.jpg", None),
            ("/api/v1/users", None),
            ("/api/v1/users/9", Some(("/api/v1/users/{id}", "9"))),
            ("/a/b", None),
            ("", None),
        ] {
            let object = object(path);
            assert_eq!(object.as_ref().map(|(kind, id)| (kind.as_str(), *id)), expected, "{path}");
        }
    }

    #[test]
    fn parameters() {
        let names = ["user".to_owned(), "login".to_owned()];
        assert_eq!(parameter("a=1&User=jo%40x+y&login=z", &names).as_deref(), Some("jo@x y"));
        assert_eq!(parameter("user=&a", &names), None);
    }

    proptest! {
        #[test]
        fn what_passes_for_normal_is(target in "[a-z/.*+% ?\\\\0-9\u{7f}é-]{0,40}") {
            if is_normal(target.as_bytes()) {
                prop_assert_eq!(take_off(&target), target);
            }
        }

        #[test]
        fn nothing_panics(target in "\\PC{0,80}|([%/*!.\\\\+0-9a-fu]|\\PC){0,80}") {
            let _ = normalize(&target);
            let parts = Parts::of("GET", &target);
            let _ = (extension(parts.path), object(parts.path), parameter(parts.path, &["a".into()]));
            let _ = Parts::of("CONNECT", &target);
        }
    }

    #[test]
    fn a_text_of_nothing_but_comments_takes_linear_time() {
        let target = format!("/{}*/{}", "/*!".repeat(10_000), "/**/".repeat(10_000));
        assert!(normalize(&target).len() < target.len());
    }
}
