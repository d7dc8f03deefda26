//! What somebody says, of which a fingerprint and the hosts of its links remain.
//!
//! The fingerprint tells that the same was said again, to somebody else or from elsewhere. It is keyed: nobody can
//! find out what was said by trying.

use std::borrow::Cow;

use serde::Deserialize;

use super::line::Line;
use super::links;
use super::loose::Scalar;
use crate::pseudonym::Kind;

/// What is kept of one content, before it is written.
#[derive(Debug, Default)]
pub(super) struct Content {
    fingerprint: Option<(Kind, String)>,
    hosts: Vec<String>,
}

impl Content {
    /// A text, and its links.
    pub fn text(&mut self, text: Option<Cow<'_, str>>) {
        let Some(text) = text else { return };
        links::find(&text, &mut self.hosts);
        let text = normalised(&text);
        if !text.is_empty() {
            self.fingerprint = Some((Kind::Text, text));
        }
    }

    /// A text of which the links alone are told.
    pub fn links(&mut self, text: Option<Cow<'_, str>>) {
        if let Some(text) = text {
            links::find(&text, &mut self.hosts);
        }
    }

    /// A file by its hash, and the links of its caption.
    pub fn media(&mut self, media: &Media<'_>) {
        self.links(media.caption.text());
        if let Some(hash) = media.sha256.text() {
            self.fingerprint = Some((Kind::Media, hash.into_owned()));
        }
    }

    /// What the fingerprint is of: for keys, never for a line.
    pub fn said(&self) -> &str {
        self.fingerprint.as_ref().map_or("", |(_, text)| text)
    }

    /// Says what is kept.
    pub fn write(&self, line: &mut Line<'_>) {
        if let Some((kind, text)) = &self.fingerprint {
            line.pseudonym("whatsapp.content.fingerprint", *kind, text);
        }
        line.texts("whatsapp.content.hosts", self.hosts.iter().map(|host| Cow::Borrowed(host.as_str())));
    }
}

/// A text in small letters, with white space taken off its ends and one space for each run of it within.
fn normalised(text: &str) -> String {
    if text.is_ascii() {
        return normalised_ascii(text.as_bytes());
    }
    let mut normalised = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        normalised.extend(word.chars().flat_map(char::to_lowercase));
    }
    normalised
}

/// The same for what most texts are: a run between two spaces is copied at once.
fn normalised_ascii(mut rest: &[u8]) -> String {
    // What char::is_whitespace says of ASCII: u8::is_ascii_whitespace leaves out the vertical tab.
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let mut normalised = Vec::with_capacity(rest.len());
    while let Some(start) = rest.iter().position(|byte| !is_space(byte)) {
        if !normalised.is_empty() {
            normalised.push(b' ');
        }
        let word = &rest[start..];
        let end = word.iter().position(is_space).unwrap_or(word.len());
        normalised.extend_from_slice(&word[..end]);
        rest = &word[end..];
    }
    normalised.make_ascii_lowercase();
    // It was text, and still is.
    String::from_utf8(normalised).unwrap_or_default()
}

/// Of a file: neither its name nor where it can be had.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Media<'a> {
    #[serde(borrow, default)]
    sha256: Scalar<'a>,
    #[serde(borrow, default)]
    caption: Scalar<'a>,
}

/// A message's `text`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Text<'a> {
    #[serde(borrow, default)]
    pub body: Scalar<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_whatever_its_case_and_its_space() {
        for same in ["You WON a prize", "  you  won\na\u{a0}PRIZE\t", "you won a prize"] {
            assert_eq!(normalised(same), "you won a prize");
        }
        assert_eq!(normalised("ÄÖ  Straße İ"), "äö straße i\u{307}");
        assert_eq!(normalised(" \n"), "");
        for text in ["a\u{b}B\u{c}c\r\n d\u{1f}E", "\u{85}x", " A", "A ", ""] {
            let words = text.split_whitespace().map(str::to_lowercase);
            assert_eq!(normalised(text), words.collect::<Vec<_>>().join(" "), "{text:?}");
        }
    }
}
