//! What a syslog message carries: RFC 5424, RFC 3164, and what is sent in their name.
//!
//! Times in the header are not read: the line that is carried has its own, and a header without a zone or a year says
//! less than the time of arrival does. A message without a header is a line as it is.

/// Names of programs that are longer than this are not names.
const MAX_APP_BYTES: usize = 64;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The program that says it, `APP-NAME` or the tag; empty if it does not say who it is.
    pub app: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Reads a message.
pub(super) fn read(message: &str) -> Message<'_> {
    let message = without_mark(message.trim_matches(['\n', '\r', '\0']));
    let Some(rest) = after_priority(message) else { return Message { app: "", text: message } };
    rest.strip_prefix("1 ").and_then(read_5424).unwrap_or_else(|| read_3164(rest))
}

/// Takes `<PRI>` off, a number of up to three digits.
fn after_priority(message: &str) -> Option<&str> {
    let rest = message.strip_prefix('<')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[digits..].strip_prefix('>').filter(|_| (1..=3).contains(&digits))
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`.
fn read_5424(rest: &str) -> Option<Message<'_>> {
    let mut words = rest.splitn(6, ' ');
    let [time, _host, app, _process, _id] =
        [words.next()?, words.next()?, words.next()?, words.next()?, words.next()?];
    if time != "-" && !is_rfc3339(time) {
        return None;
    }
    let text = after_structured_data(words.next().unwrap_or_default());
    let app = if app == "-" || app.len() > MAX_APP_BYTES { "" } else { app };
    Some(Message { app, text: without_mark(text.strip_prefix(' ').unwrap_or(text)) })
}

/// `-`, or `[id name="value" ...]` once or more. What looks different is a part of the text.
fn after_structured_data(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('-') {
        return if rest.is_empty() || rest.starts_with(' ') { rest } else { text };
    }
    let mut rest = text;
    while rest.starts_with('[') {
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            let was_escaped = std::mem::replace(&mut is_escaped, is_quoted && byte == b'\\');
            if byte == b'"' && !(was_escaped && is_quoted) {
                is_quoted = !is_quoted;
            }
            is_escaped &= !was_escaped;
            byte == b']' && !is_quoted
        });
        let Some(end) = end else { return text };
        rest = &rest[end + 1..];
    }
    rest
}

/// `[TIME] [HOST] [TAG[PID]:] TEXT`. Which of them are there, only their looks say.
fn read_3164(rest: &str) -> Message<'_> {
    let (has_time, rest) = after_time(rest).map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches(' ');
    if let Some(message) = tagged(rest) {
        return message;
    }
    let after_host = rest.split_once(' ').filter(|(host, _)| has_time && is_host(host));
    let Some((_, rest)) = after_host else { return Message { app: "", text: rest } };
    let rest = rest.trim_start_matches(' ');
    tagged(rest).unwrap_or(Message { app: "", text: rest })
}

/// `Mmm dd hh:mm:ss`, perhaps with a year, or a time of RFC 3339.
fn after_time(text: &str) -> Option<&str> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (first, rest) = text.split_once(' ')?;
    if is_rfc3339(first) || first == "-" {
        return Some(rest);
    }
    let is_month = first.len() == 3 && MONTHS.match_indices(first).any(|(at, _)| at % 3 == 0);
    let (day, rest) = rest.trim_start_matches(' ').split_once(' ').filter(|_| is_month)?;
    let is_number =
        |text: &str, digits| text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(day, 2) {
        return None;
    }
    let (time, rest) = match rest.split_once(' ')? {
        (year, rest) if year.len() == 4 && is_number(year, 4) => rest.split_once(' ')?,
        time => time,
    };
    let mut parts = time.trim_end_matches(':').split(':');
    let is_time = parts.clone().count() == 3
        && parts.all(|part| part.starts_with(|c: char| c.is_ascii_digit()) && part.len() <= 10);
    is_time.then_some(rest)
}

fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 19 && bytes[0].is_ascii_digit() && bytes[4] == b'-' && bytes[10] == b'T'
}

fn is_host(text: &str) -> bool {
    let is_in_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    !text.is_empty() && text.bytes().all(is_in_name)
}

/// `TAG:` or `TAG[PID]:` or `TAG[PID]`, and the text.
fn tagged(text: &str) -> Option<Message<'_>> {
    let is_in_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./@+".contains(byte);
    let length = text.bytes().take(MAX_APP_BYTES + 1).take_while(is_in_tag).count();
    if length == 0 || length > MAX_APP_BYTES {
        return None;
    }
    let (app, rest) = text.split_at(length);
    let process = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).filter(|(process, _)| {
        !process.is_empty() && process.len() <= MAX_APP_BYTES && !process.contains(' ')
    });
    let after_process = process.map_or(rest, |(_, rest)| rest);
    // An address with a port, or half of an IPv6 address, is no tag.
    let after_colon = after_process.strip_prefix(':').or(process.map(|_| after_process))?;
    let is_over = after_colon.is_empty() || after_colon.starts_with(' ');
    is_over.then(|| Message { app, text: after_colon.trim_start_matches(' ') })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"192.0.2.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    const JSON: &str = r#"{"time": "2026-11-24T10:00:00Z", "a[1]": "x: y"}"#;

    #[test]
    fn messages_of_many_senders_are_read() {
        let headers = [
            ("<190>Nov 24 10:00:00 web1 nginx: ", "nginx"),
            ("<190>Nov  4 10:00:00 web1 nginx: ", "nginx"),
            ("<190>Nov 24 10:00:00 nginx: ", "nginx"),
            ("<190>Nov 24 10:00:00 web1 haproxy[123]: ", "haproxy"),
            ("<190>Nov 24 10:00:00 web1 haproxy[123] ", "haproxy"),
            ("<190>Nov 24 2026 10:00:00 web1 app/web.1: ", "app/web.1"),
            ("<190>Nov 24 10:00:00.123 2001:db8::1 nginx: ", "nginx"),
            ("<190>Nov 24 10:00:00 web1 ", ""),
            ("<190>Nov 24 10:00:00 web1  ", ""),
            ("<190>2026-11-24T10:00:00.123456+01:00 web1 nginx: ", "nginx"),
            ("<13>nginx: ", "nginx"),
            ("<13>", ""),
            ("", ""),
            ("<165>1 2026-11-24T10:00:00.123Z web1 nginx - - - ", "nginx"),
            ("<165>1 2026-11-24T10:00:00.123Z web1 nginx 123 access - ", "nginx"),
            ("<165>1 - - - - - - ", ""),
            ("<165>1 2026-11-24T10:00:00Z web1 nginx - - - \u{feff}", "nginx"),
            (r#"<165>1 2026-11-24T10:00:00Z web1 nginx - - [a@1 b="]" c="\"]\\"][d] "#, "nginx"),
        ];
        for (header, app) in headers {
            for text in [LINE, JSON] {
                // Without a tag the first word may be taken for a host, but only after a time without a host.
                let message = format!("{header}{text}\n");
                assert_eq!(read(&message), Message { app, text }, "{message}");
            }
        }
    }

    #[test]
    fn what_is_odd_is_carried_whole() {
        let cases = [
            ("<>x", "", "<>x"),
            ("<1234>x y", "", "<1234>x y"),
            ("<a>x", "", "<a>x"),
            ("<1>1 x", "", "1 x"),
            ("<1>1 - h a p i [x", "a", "[x"),
            ("<1>1 - h a p i", "a", ""),
            ("<1>1 - h a p i -x", "a", "-x"),
            ("<1>Foo 24 10:00:00 a b", "", "Foo 24 10:00:00 a b"),
            ("<1>Nov 24 10:00:00", "", "Nov 24 10:00:00"),
            ("<1>192.0.2.1:80 [x]", "", "192.0.2.1:80 [x]"),
            ("", "", ""),
        ];
        for (message, app, text) in cases {
            assert_eq!(read(message), Message { app, text }, "{message}");
        }
    }

    /// Another reader of syslog agrees, where it does not take words of the text for a tag.
    #[test]
    fn an_independent_reader_agrees() {
        for message in [
            "<190>Nov 24 10:00:00 web1 nginx: text",
            "<190>Nov 24 10:00:00 web1 app[1]: text",
            "<165>1 2026-11-24T10:00:00Z web1 app 1 id - text",
            r#"<165>1 2026-11-24T10:00:00Z web1 app 1 id [a b="\"]"] text"#,
        ] {
            let other =
                syslog_loose::parse_message_with_year(message, |_| 2026, syslog_loose::Variant::Either);
            assert_eq!(read(message), Message { app: other.appname.unwrap_or_default(), text: other.msg });
        }
    }

    proptest! {
        #[test]
        fn the_text_is_the_end_of_any_message(message in "(<[0-9]{0,3}>)?(1 )?(Nov 24 10:00:00 |[-:a-zA-Z0-9]{0,20} ){0,6}[^\n\r\0\u{feff}]{0,80}") {
            prop_assert!(message.ends_with(read(&message).text));
        }
    }
}
