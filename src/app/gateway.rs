//! The log of the business's gateway to the API: its lines become registrations of what was sent before they are kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use prometheus::{IntCounter, Registry};

use crate::config::Config;
use crate::decode::Format;
use crate::intake::Lines;
use crate::sources;
use crate::sources::follow::Content;
use crate::telemetry::{Occasional, Register};
use crate::whatsapp::{self, Context};

/// Turns lines of gateways into registrations.
pub(super) struct Gateways {
    sources: BTreeSet<Arc<str>>,
    context: Arc<Context>,
    unreadable: IntCounter,
    said: Occasional,
}

/// The sources that are logs of gateways.
fn gateways(config: &Config) -> impl Iterator<Item = &String> {
    let is_gateway = |source: &sources::Config| match source {
        sources::Config::File(file) => file.content == Content::Sends,
        sources::Config::Syslog(_) | sources::Config::Stdin(_) => false,
    };
    config.sources.iter().filter(move |(_, source)| is_gateway(source)).map(|(name, _)| name)
}

/// Without a journal there is no key for pseudonyms, so there is nothing to hold statuses against.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    match gateways(config).next() {
        Some(name) if config.state_directory.is_none() => {
            bail!(
                "sources.{name} tells what was sent, which is kept: name a state_directory in the configuration"
            )
        }
        _ => Ok(()),
    }
}

impl Gateways {
    /// Those of the configuration.
    pub fn new(
        config: &Config,
        context: Arc<Context>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sources: gateways(config).map(|name| name.as_str().into()).collect(),
            context,
            unreadable: Register(registry).counter(
                "watchbell_gateway_lines_unreadable_total",
                "Lines of a gateway's log that do not say which message was sent.",
            )?,
            said: Occasional::default(),
        })
    }

    /// Turns lines into registrations, if they are of a gateway, and gives their keys.
    pub fn prepare(&self, lines: &mut Lines) -> Vec<u64> {
        if !self.sources.contains(&lines.stream.source) {
            return Vec::new();
        }
        // Not one by one: what cannot be read is alone in that.
        let read = whatsapp::sends::read_lines(&lines.text, lines.received, &self.context);
        let unreadable = read.failures.iter().sum();
        if unreadable > 0 {
            self.unreadable.inc_by(unreadable);
            if let Some(left_out) = self.said.turn(Instant::now()) {
                let source = &lines.stream.source;
                tracing::warn!(%source, unreadable, left_out, "lines of a gateway do not say which message was sent");
            }
        }
        lines.text = read.lines;
        lines.format = Format::Json;
        read.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use crate::intake::Stream;
    use crate::pseudonym::{DedupeKey, Key, Pseudonyms};

    #[test]
    fn lines_of_a_gateway_become_registrations_and_others_stay_as_they_are() {
        let config: Config = toml::from_str(
            "[sources.gateway]\ntype = 'file'\npaths = ['a']\ncontent = 'sends'\n[sources.web]\ntype = 'file'\npaths = ['b']\n",
        )
        .unwrap();
        assert!(check(&config).unwrap_err().to_string().contains("state_directory"));
        let registry = Registry::new();
        let pseudonyms = Pseudonyms::new(Key::new('1', &[1; 32]).unwrap());
        let context = Arc::new(Context::new(pseudonyms, DedupeKey::new(&[1; 32])));
        let gateways = Gateways::new(&config, context, &registry).unwrap();
        let lines = |source: &str, text: &str| Lines {
            stream: Arc::new(Stream { source: source.into(), tenant: "".into(), name: source.into() }),
            text: text.to_owned(),
            format: Format::Combined,
            received: Timestamp::from_seconds(1_795_521_600),
            offset: None,
            counted: None,
        };
        let text = "{\"wamid\":\"wamid.A\",\"url\":\"/v23.0/1065/messages\"}\nGET /health\n{\"wamid\":\"wamid.B\"}\n";
        let mut of_gateway = lines("gateway", text);
        assert_eq!(gateways.prepare(&mut of_gateway).len(), 2);
        assert_eq!(of_gateway.format, Format::Json);
        assert_eq!(of_gateway.text.matches("message_registered").count(), 2, "{}", of_gateway.text);
        assert!(!of_gateway.text.contains("wamid"), "{}", of_gateway.text);
        assert_eq!(gateways.unreadable.get(), 1);
        let mut of_web = lines("web", text);
        assert!(gateways.prepare(&mut of_web).is_empty());
        assert_eq!((of_web.text.as_str(), &of_web.format), (text, &Format::Combined));
    }
}
