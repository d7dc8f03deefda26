//! What may be said about TLS in the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The name in the certificate that the WhatsApp Business Platform shows.
const META: &str = "client.webhooks.fbclientcerts.com";

/// Where and how to serve over TLS: `[serve.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port. Other than loopback addresses need a token, as without TLS.
    pub listen: SocketAddr,
    /// File with the certificate and those between it and the one that is trusted, in PEM.
    pub certificate: PathBuf,
    /// File with its key, in PEM.
    pub key: PathBuf,
    /// Files with the certificates of those who sign the certificates of clients, in PEM.
    #[serde(default)]
    pub client_ca: Vec<PathBuf>,
    /// The names of clients that may send webhooks: that of the subject, or one beside it.
    #[serde(default = "meta")]
    pub client_names: Vec<String>,
    /// Who must show a certificate; unless set, those who send webhooks if there is a `client_ca`.
    pub require_client_certificate: Option<Required>,
}

/// Who must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// Those who send webhooks, with one of the names. What comes unencrypted over the loopback interface comes from a
    /// proxy that has asked for it.
    Webhooks,
    /// Everybody, and those who send webhooks with one of the names.
    Always,
    /// Nobody.
    Never,
}

impl Config {
    /// Who must show a certificate.
    pub fn required(&self) -> Required {
        let unless_set = if self.client_ca.is_empty() { Required::Never } else { Required::Webhooks };
        self.require_client_certificate.unwrap_or(unless_set)
    }
}

fn meta() -> Vec<String> {
    vec![META.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_required_where_somebody_is_named_who_signs_them() {
        let read = |more: &str| {
            let text = format!("listen = '[::]:443'\ncertificate = '/c'\nkey = '/k'\n{more}");
            toml::from_str::<Config>(&text)
        };
        for (more, required) in [
            ("", Required::Never),
            ("client_ca = ['/ca']", Required::Webhooks),
            ("client_ca = ['/ca']\nrequire_client_certificate = 'never'", Required::Never),
            ("require_client_certificate = 'always'", Required::Always),
        ] {
            let config = read(more).unwrap();
            assert_eq!((config.required(), config.client_names), (required, vec![META.to_owned()]), "{more}");
        }
        assert!(read("require_client_certificate = 'sometimes'").is_err());
        assert!(read("ca = []").is_err());
    }
}
