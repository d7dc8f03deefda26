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
/// Up to three rounds of percent-decoding (`%u0027` and overlong UTF-8 too); `+`, blanks, line ends and SQL
/// comments to one space; `\` to `/`; other control characters dropped; runs of `/` and `/./` to one `/`, except
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
    let mut bytes = Cow::Borrowed(target.as_bytes());
    for _ in 0..ROUNDS {
        match percent_decode(&bytes) {
            Some(decoded) => bytes = Cow::Owned(decoded),
            None => break,
        }
    }
    let text = tidy(&bytes);
    match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// One round of percent-decoding; `None` when there was nothing to decode.
fn percent_decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = memchr(b'%', bytes)?;
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    let mut changed = false;
    loop {
        let (byte, length) = match &bytes[next + 1..] {
            [b'u' | b'U', a, b, c, d, ..] => (wide(*a, *b, *c, *d), 6),
            [a, b, ..] => (pair(*a, *b), 3),
            _ => (None, 1),
        };
        match byte {
            Some(byte) => {
                decoded.extend_from_slice(&bytes[copied..next]);
                decoded.push(byte);
                copied = next + length;
                changed = true;
                next += length;
            }
            None => next += 1,
        }
        match memchr(b'%', bytes.get(next..).unwrap_or_default()) {
            Some(at) => next += at,
            None => break,
        }
    }
    decoded.extend_from_slice(&bytes[copied..]);
    changed.then(|| plain_ascii(decoded))
}

fn pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
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
fn plain_ascii(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.iter().any(|byte| matches!(byte, 0xc0 | 0xc1)) {
        return bytes;
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (0xc0 | 0xc1, [second @ 0x80..=0xbf, after @ ..]) => {
                plain.push((first & 1) << 6 | (second & 0x3f));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// Everything after percent-decoding, in one pass.
fn tidy(bytes: &[u8]) -> Vec<u8> {
    let mut tidy: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut comments = Comments::new(bytes);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let Some(after) = comments.skip(at) {
            push_space(&mut tidy);
            at = after;
            continue;
        }
        match byte {
            b'+' | b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => push_space(&mut tidy),
            b'/' | b'\\' => push_slash(&mut tidy),
            ..0x20 | 0x7f => {}
            _ => tidy.push(byte),
        }
        at += 1;
    }
    tidy
}

fn push_space(tidy: &mut Vec<u8>) {
    if tidy.last() != Some(&b' ') {
        tidy.push(b' ');
    }
}

fn push_slash(tidy: &mut Vec<u8>) {
    if tidy.ends_with(b"/.") {
        tidy.pop();
    }
    if tidy.last() != Some(&b'/') || tidy.ends_with(b":/") {
        tidy.push(b'/');
    }
}

/// The SQL comments in a text.
///
/// A comment of plain words is dropped. Of any other (`/*!50000select*/` runs, `/*<script>*/` is no comment to a
/// browser) only the marks are: otherwise a comment would be a place to hide.
struct Comments<'t> {
    bytes: &'t [u8],
    /// The first `*/` not before the last place asked for; each is searched for once.
    close: Option<usize>,
    open: bool,
}

impl<'t> Comments<'t> {
    const WORDS_LIMIT: usize = 64;

    fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, close: memmem::find(bytes, b"*/"), open: false }
    }

    /// Where the text goes on, if a comment or one of its marks is at `at`.
    fn skip(&mut self, at: usize) -> Option<usize> {
        let bytes = self.bytes;
        match bytes.get(at..at + 2)? {
            b"/*" => {
                let start = at + 2;
                if self.close.is_some_and(|close| close < start) {
                    self.close = memmem::find(&bytes[start..], b"*/").map(|found| start + found);
                }
                let close = self.close?;
                let inner = &bytes[start..close];
                if inner.len() <= Self::WORDS_LIMIT
                    && inner
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' ' | b'+'))
                {
                    return Some(close + 2);
                }
                self.open = true;
                match inner {
                    [b'!', version @ ..] => {
                        Some(start + 1 + version.iter().take_while(|byte| byte.is_ascii_digit()).count())
                    }
                    _ => Some(start),
                }
            }
            b"*/" if self.open => {
                self.open = false;
                Some(at + 2)
            }
            _ => None,
        }
    }
}

/// A text with one round of percent-decoding.
pub(super) fn decoded(text: &str) -> String {
    let bytes = percent_decode(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec());
    String::from_utf8_lossy(&bytes).into_owned()
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
            ("/x?id=1/*!50000union*/select", "/x?id=1 union select"),
            ("/x?q=/*<script>*/", "/x?q= <script> "),
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
        let target = format!("/{}*/", "/*!".repeat(20_000));
        assert!(normalize(&target).len() < target.len());
    }
}
