//! Request lines: `GET /a?b HTTP/1.1`, whole or cut, and whatever scanners send in their place.

/// Method, target and version of a request line; `None` when it is not HTTP.
#[inline]
pub(super) fn split_request(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let bytes = line.as_bytes();
    // Methods are short: no search for a blank that may be far away.
    let length = bytes.iter().take(METHOD_LIMIT + 1).position(|byte| *byte == b' ')?;
    if length == 0 || !bytes[..length].iter().copied().all(is_of_method) {
        return None;
    }
    let (method, rest) = (&line[..length], &line[length + 1..]);
    // ` HTTP/1.1`
    if let Some((head, tail)) = rest.as_bytes().split_last_chunk::<9>()
        && tail.starts_with(b" HTTP/")
        && !head.is_empty()
    {
        return Some((method, &rest[..head.len()], Some(&rest[head.len() + 6..])));
    }
    split_unusual(method, rest)
}

#[cold]
fn split_unusual<'t>(method: &'t str, rest: &'t str) -> Option<(&'t str, &'t str, Option<&'t str>)> {
    if let Some((target, version)) = rest.rsplit_once(" HTTP/") {
        // `HTTP/2`
        let is_version =
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        return (is_version && !target.is_empty()).then_some((method, target, Some(version)));
    }
    // HTTP/0.9, and request lines that were cut because they are too long.
    let is_target = rest.starts_with('/') || rest.contains("://");
    (is_target && method.bytes().all(|byte| byte.is_ascii_uppercase())).then_some((method, rest, None))
}

/// Whether the start of a request line is enough to tell what it is.
pub(super) fn tells(start: &str) -> bool {
    split_start(start).is_some() || is_no_method(start)
}

/// Whether a text goes on as no request of HTTP does.
pub(super) fn is_no_method(start: &str) -> bool {
    let first = start.split(' ').next().unwrap_or_default();
    first.len() > METHOD_LIMIT || !first.bytes().all(is_of_method)
}

/// Method, target and version of a request line that was cut: of a version there may be a part.
pub(super) fn split_start(start: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, rest) = start.split_once(' ').filter(|(method, _)| !method.is_empty())?;
    let is_target = method.bytes().all(|byte| byte.is_ascii_uppercase()) || rest.starts_with('/');
    if rest.is_empty() || !is_target || is_no_method(method) {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((target, tail)) if !target.is_empty() && "HTTP/".starts_with(tail) => {
            Some((method, target, None))
        }
        Some((target, tail)) if !target.is_empty() && tail.starts_with("HTTP/") => {
            Some((method, target, tail.get(5..).filter(|version| version.len() == 3)))
        }
        _ => Some((method, rest, None)),
    }
}

/// Longest method; WebDAV's longest has 17 letters.
const METHOD_LIMIT: usize = 32;

#[inline]
fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", Some(("GET", "/", Some("1.1")))),
            ("GET / HTTP/2", Some(("GET", "/", Some("2")))),
            ("GET /a b HTTP/1.1", Some(("GET", "/a b", Some("1.1")))),
            ("GET /old", Some(("GET", "/old", None))),
            ("CONNECT mail.example:25 HTTP/1.1", Some(("CONNECT", "mail.example:25", Some("1.1")))),
            ("get / HTTP/1.1", Some(("get", "/", Some("1.1")))),
            ("PRI * HTTP/2.0", Some(("PRI", "*", Some("2.0")))),
            ("GET  HTTP/1.1", None),
            ("GET", None),
            ("\u{16}\u{3}\u{1}", None),
            ("SSH-2.0-Go", None),
            ("OPTIONS sip:nm SIP/2.0", None),
            ("quit now", None),
            (" / HTTP/1.1", None),
        ] {
            assert_eq!(split_request(line), expected, "{line}");
        }
    }

    #[test]
    fn starts_of_request_lines() {
        for (start, expected) in [
            ("GET / HTTP/1.1", Some(("GET", "/", Some("1.1")))),
            ("GET / HTTP/1.", Some(("GET", "/", None))),
            ("GET / HTT", Some(("GET", "/", None))),
            ("GET / ", Some(("GET", "/", None))),
            ("GET /a b", Some(("GET", "/a b", None))),
            ("GET /lo", Some(("GET", "/lo", None))),
            ("get /lo", Some(("get", "/lo", None))),
            ("CONNECT mail.exam", Some(("CONNECT", "mail.exam", None))),
            ("GET http:", Some(("GET", "http:", None))),
            ("GET ", None),
            ("GE", None),
            ("hello wor", None),
            (" /x", None),
            ("", None),
        ] {
            assert_eq!(split_start(start), expected, "{start}");
            assert_eq!(tells(start), expected.is_some(), "{start}");
        }
        assert!(tells("\u{16}\u{3}"), "not HTTP, however it goes on");
        assert!(tells(&"x".repeat(METHOD_LIMIT + 1)));
    }
}
