//! What may be said about webhooks in the configuration file. Secrets never stand in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::HeaderName;
use axum::http::uri::Uri;
use serde::{Deserialize, Deserializer};

use super::secrets::Place;
use super::signature::{Encoding, Hash};
use crate::decode::client::TrustedProxies;

/// The environment variable for the app secrets of WhatsApp.
pub const APP_SECRETS_VARIABLE: &str = "WATCHBELL_WHATSAPP_APP_SECRETS";
/// The environment variable for the verify token of WhatsApp.
pub const VERIFY_TOKEN_VARIABLE: &str = "WATCHBELL_WHATSAPP_VERIFY_TOKEN";
/// The environment variable for the auth tokens of Twilio.
pub const AUTH_TOKENS_VARIABLE: &str = "WATCHBELL_TWILIO_AUTH_TOKENS";

/// Longest name of a webhook.
const MAX_NAME_CHARS: usize = 64;

/// Which webhooks are taken: none unless they are named here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Networks of the proxies in front of the service, whose `X-Forwarded-For` is believed: without it, all who come through
    /// a proxy are one client.
    pub proxies: TrustedProxies,
    /// Those of the WhatsApp Business Platform: `[webhooks.whatsapp]`.
    pub whatsapp: Option<WhatsApp>,
    /// Events of anybody else, signed: `[webhooks.generic.NAME]`.
    #[serde(deserialize_with = "named")]
    pub generic: BTreeMap<String, Generic>,
    /// WhatsApp by way of Twilio: `[webhooks.twilio]`.
    pub twilio: Option<Twilio>,
}

impl Config {
    /// The names of the sources that webhooks are.
    pub fn source_names(&self) -> impl Iterator<Item = &str> {
        let whatsapp = self.whatsapp.as_ref().map(|_| super::WHATSAPP);
        let twilio = self.twilio.as_ref().map(|_| super::TWILIO);
        whatsapp.into_iter().chain(twilio).chain(self.generic.keys().map(String::as_str))
    }

    /// Whose events the platform's webhooks are.
    pub fn tenant(&self) -> &str {
        let whatsapp = self.whatsapp.as_ref().map(|config| config.tenant.as_str());
        whatsapp.or(self.twilio.as_ref().map(|config| config.tenant.as_str())).unwrap_or_default()
    }
}

/// Webhooks of the WhatsApp Business Platform, at `/webhooks/whatsapp`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhatsApp {
    /// File with the app secrets, one a line, each may be `NAME=SECRET`. Without it, [`APP_SECRETS_VARIABLE`] is used.
    pub app_secrets_file: Option<PathBuf>,
    /// File with the verify token. Without it, [`VERIFY_TOKEN_VARIABLE`] is used; without both, every handshake is refused.
    pub verify_token_file: Option<PathBuf>,
    /// Whose events these are.
    pub tenant: String,
}

impl WhatsApp {
    /// Where the app secrets stand.
    pub fn app_secrets(&self) -> Place<'_> {
        Place { file: self.app_secrets_file.as_deref(), variable: APP_SECRETS_VARIABLE }
    }

    /// Where the verify token stands.
    pub fn verify_token(&self) -> Place<'_> {
        Place { file: self.verify_token_file.as_deref(), variable: VERIFY_TOKEN_VARIABLE }
    }
}

/// JSON events of anybody, at `/webhooks/generic/NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generic {
    /// File with the secrets, one a line, each may be `NAME=SECRET`. Without it, the variable that
    /// [`generic_variable`] tells is used.
    pub secrets_file: Option<PathBuf>,
    /// The header with the signature.
    #[serde(deserialize_with = "header")]
    pub header: HeaderName,
    /// What stands before the signature in the header, such as `sha256=`.
    pub prefix: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What it is made with.
    pub hash: Hash,
    /// Whether a line that is equal to one before, byte for byte, is the same event again.
    pub deduplicate: bool,
    /// Whose events these are.
    pub tenant: String,
}

impl Default for Generic {
    fn default() -> Self {
        Self {
            secrets_file: None,
            header: HeaderName::from_static("x-signature-256"),
            prefix: String::new(),
            encoding: Encoding::default(),
            hash: Hash::default(),
            deduplicate: false,
            tenant: String::new(),
        }
    }
}

/// The environment variable for the secrets of a generic webhook: `WATCHBELL_WEBHOOK_NAME_SECRETS`.
pub fn generic_variable(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }).collect();
    format!("WATCHBELL_WEBHOOK_{name}_SECRETS")
}

/// WhatsApp by way of Twilio, at `/webhooks/twilio`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    /// File with the auth tokens, one a line, each may be `NAME=TOKEN`. Without it, [`AUTH_TOKENS_VARIABLE`] is used.
    #[serde(default)]
    pub auth_tokens_file: Option<PathBuf>,
    /// The address that Twilio asks, as it was told to Twilio, without a query: it is a part of what is signed.
    #[serde(deserialize_with = "public_url")]
    pub public_url: String,
    /// Whose events these are.
    #[serde(default)]
    pub tenant: String,
}

impl Twilio {
    /// Where the auth tokens stand.
    pub fn auth_tokens(&self) -> Place<'_> {
        Place { file: self.auth_tokens_file.as_deref(), variable: AUTH_TOKENS_VARIABLE }
    }
}

impl Generic {
    /// Where the secrets stand; `variable` is [`generic_variable`].
    pub fn secrets<'p>(&'p self, variable: &'p str) -> Place<'p> {
        Place { file: self.secrets_file.as_deref().map(Path::new), variable }
    }
}

fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let name = String::deserialize(deserializer)?;
    let error = |_| serde::de::Error::custom(format!("expected the name of a header, not {name:?}"));
    name.parse().map_err(error)
}

fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_fit = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.query().is_none()
    });
    if is_fit && !text.contains('#') {
        Ok(text)
    } else {
        Err(serde::de::Error::custom(format!(
            "expected an address such as https://hooks.example.com/webhooks/twilio, without a query, not {text:?}"
        )))
    }
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Generic>, D::Error> {
    let webhooks = BTreeMap::<String, Generic>::deserialize(deserializer)?;
    for name in webhooks.keys() {
        let is_fit = (1..=MAX_NAME_CHARS).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if !is_fit || [super::WHATSAPP, super::TWILIO].contains(&name.as_str()) {
            return Err(serde::de::Error::custom(format!(
                "expected small letters, digits, '_' and '-' in the name of a webhook, at most {MAX_NAME_CHARS}, and \
                 neither {} nor {}, not {name:?}",
                super::WHATSAPP,
                super::TWILIO
            )));
        }
    }
    Ok(webhooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_mistakes_are_told() {
        let config: Config = toml::from_str(
            "proxies = ['10.0.0.0/8']\n[whatsapp]\napp_secrets_file = '/a'\n[generic.bird]\nprefix = 'v1='\n\
             encoding = 'base64'\nhash = 'sha512'\n[twilio]\npublic_url = 'https://a.example/webhooks/twilio'\n",
        )
        .unwrap();
        assert!(config.source_names().eq(["whatsapp", "twilio", "bird"]));
        assert_eq!(config.generic["bird"].hash, Hash::Sha512);
        assert_eq!(generic_variable("my-crm"), "WATCHBELL_WEBHOOK_MY_CRM_SECRETS");
        assert_eq!(Config::default().source_names().count(), 0);
        for (text, expected) in [
            ("[whatsapp]\napp_secret = 'x'", "unknown field `app_secret`"),
            ("[generic.bird]\nhash = 'sha1'", "unknown variant `sha1`"),
            ("[generic.bird]\nheader = 'a b'", "the name of a header"),
            ("[generic.Bird]", "in the name of a webhook"),
            ("[generic.whatsapp]", "in the name of a webhook"),
            ("[twilio]", "missing field `public_url`"),
            ("[twilio]\npublic_url = '/webhooks/twilio'", "expected an address"),
            ("[twilio]\npublic_url = 'https://a.example/x?y=1'", "expected an address"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
