//! The hosts that a text links to.
//!
//! A host is all that is kept of a link: paths and queries name people. It is not quite whole either, if a label of it
//! could hold a telephone number.

/// Hosts of one text.
pub(super) const HOSTS_LIMIT: usize = 10;

/// Longest name of a host (RFC 1035).
const HOST_LIMIT: usize = 253;

/// Digits in a row from which on a label is left out.
const MASKED_DIGITS: usize = 6;

/// Ends of names that are links even without `http://` or a path. A short list, because people leave out the space
/// after a full stop, and what they wrote is not a host.
const BARE: [&str; 22] = [
    "com", "net", "org", "info", "biz", "xyz", "top", "online", "site", "shop", "app", "dev", "io", "link",
    "click", "live", "club", "store", "icu", "vip", "win", "page",
];

/// Adds the hosts that `text` links to. Time is linear in the text.
pub(super) fn find(text: &str, hosts: &mut Vec<String>) {
    if memchr::memchr2(b'.', b'/', text.as_bytes()).is_none() {
        return;
    }
    for word in text.split(is_boundary) {
        if hosts.len() >= HOSTS_LIMIT {
            return;
        }
        word_hosts(word, hosts);
    }
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '<' | '>' | '"' | '\'' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | '`')
}

/// The hosts in a word: one after each `://`, or the word's own start.
fn word_hosts(word: &str, hosts: &mut Vec<String>) {
    let mut rest = word;
    let mut had_scheme = false;
    while let Some((before, after)) = rest.split_once("://") {
        if is_scheme(before) {
            had_scheme = true;
            add(authority(after), hosts);
        }
        rest = after;
    }
    if !had_scheme {
        bare_host(word, hosts);
    }
}

fn is_scheme(before: &str) -> bool {
    let ends_with = |scheme: &str| {
        before.len() >= scheme.len()
            && before.is_char_boundary(before.len() - scheme.len())
            && before[before.len() - scheme.len()..].eq_ignore_ascii_case(scheme)
    };
    ends_with("http") || ends_with("https")
}

/// The host of what follows `://`: without user, port and path.
fn authority(text: &str) -> &str {
    let end = text.find(['/', '?', '#', '\\']).unwrap_or(text.len());
    let host = text[..end].rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// A name without a scheme. With an `@` before it is an address of a person.
fn bare_host(word: &str, hosts: &mut Vec<String>) {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let name_end = word.find(['/', '?', '#', ':', '@', '\\', '=']).unwrap_or(word.len());
    let (name, after) = word.split_at(name_end);
    let name = name.trim_end_matches(|c: char| !c.is_alphanumeric());
    let Some((before, end)) = name.rsplit_once('.') else { return };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if before.is_empty()
        || !name.chars().all(is_name)
        || end.len() < 2
        || !end.bytes().all(|b| b.is_ascii_alphabetic())
    {
        return;
    }
    let is_link = after.starts_with('/')
        || name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."))
        || BARE.iter().any(|known| known.eq_ignore_ascii_case(end));
    if is_link && !after.starts_with('@') {
        add(name, hosts);
    }
}

/// The name of a host in small letters, and `*` for labels that may hold a number; `None` if it is no name.
pub(super) fn host(name: &str) -> Option<String> {
    let name = name.trim_matches('.');
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > HOST_LIMIT || !name.chars().all(is_name) {
        return None;
    }
    let labels = name.split('.').map(|label| {
        let runs = label.split(|c: char| !c.is_numeric());
        if runs.map(|run| run.chars().count()).max().unwrap_or(0) >= MASKED_DIGITS {
            "*".to_owned()
        } else {
            label.to_lowercase()
        }
    });
    Some(labels.collect::<Vec<_>>().join("."))
}

/// Adds a host, if it is one and is not there.
pub(super) fn add(name: &str, hosts: &mut Vec<String>) {
    if let Some(host) = host(name)
        && hosts.len() < HOSTS_LIMIT
        && !hosts.contains(&host)
    {
        hosts.push(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> String {
        let mut hosts = Vec::new();
        find(text, &mut hosts);
        hosts.join(" ")
    }

    #[test]
    fn of_a_link_the_host_remains() {
        for (text, expected) in [
            ("see https://Shop.Example.com/order?id=7#top!", "shop.example.com"),
            ("http://google.com@evil.example/login", "evil.example"),
            ("HTTPS://a.example:8443/x and http://b.example.", "a.example b.example"),
            ("https://a.example https://a.example/2", "a.example"),
            ("(https://a.example),<http://b.example>", "a.example b.example"),
            ("https://a.example/?to=https://b.example/", "a.example b.example"),
            ("link:https://a.example", "a.example"),
            ("https://раура1.example/", "раура1.example"),
            ("http://203.0.113.7/x", "203.0.113.7"),
            ("http://3232235777/", "*"),
            ("https://wa.me/16505551234", "wa.me"),
            ("https://u16505551234.evil.example/", "*.evil.example"),
            ("www.shop.example", "www.shop.example"),
            ("bit.ly/3xYz and evil.COM, t.co/", "bit.ly evil.com t.co"),
            ("https://a.example\\@b.example", "a.example"),
        ] {
            assert_eq!(hosts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_link_leaves_nothing() {
        for text in [
            "",
            "no link",
            "Call John.Smith now.Thanks",
            "john.smith@mail.com",
            "mailto:john.smith@mail.com",
            "password.is 1.50 v2.0.1 file.txt",
            "ftp://files.example/x",
            "https://",
            "http://[2001:db8::1]/",
            "and/or",
            "....com ../.. .com",
            "://",
            "16505551234.5",
        ] {
            assert_eq!(hosts(text), "", "{text}");
        }
    }

    #[test]
    fn there_are_no_more_than_ten() {
        let text: String = (0..50).map(|n| format!("https://h{n}.example ")).collect();
        assert_eq!(hosts(&text).split(' ').count(), HOSTS_LIMIT);
        assert_eq!(hosts(&format!("https://{}.com", "a".repeat(300))), "");
    }
}
