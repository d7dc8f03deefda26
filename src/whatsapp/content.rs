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
    let mut normalised = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        if word.is_ascii() {
            let start = normalised.len();
            normalised.push_str(word);
            normalised[start..].make_ascii_lowercase();
        } else {
            normalised.extend(word.chars().flat_map(char::to_lowercase));
        }
    }
    normalised
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
    }
}
