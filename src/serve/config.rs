//! What may be said about serving in the configuration file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::auth::Token;
use super::{limits, tls};
use crate::stream::at_least_one;

/// How to serve.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port. Other than loopback addresses need a token.
    pub listen: SocketAddr,
    /// File with the token that clients must show, on a line of its own. Without it, the environment variable
    /// `WATCHBELL_TOKEN` is used. Never in the configuration itself.
    pub token_file: Option<PathBuf>,
    /// The token, for whoever embeds the service.
    #[serde(skip)]
    pub token: Option<Token>,
    /// Most connections at a time, at least 1; further ones are closed at once.
    #[serde(deserialize_with = "at_least_one")]
    pub max_connections: usize,
    /// Seconds for the head of a request, and that a connection may be idle.
    #[serde(rename = "header_timeout_seconds", deserialize_with = "seconds")]
    pub header_timeout: Duration,
    /// Seconds for the body of a request.
    #[serde(rename = "body_timeout_seconds", deserialize_with = "seconds")]
    pub body_timeout: Duration,
    /// Seconds that pushed lines wait for room in the queue before the rest of them is refused.
    #[serde(rename = "push_timeout_seconds", deserialize_with = "seconds")]
    pub push_timeout: Duration,
    /// Seconds that lines which were taken may wait to be counted until the answer no longer says what became of them.
    #[serde(rename = "count_timeout_seconds", deserialize_with = "seconds")]
    pub count_timeout: Duration,
    /// Seconds between pings of a websocket.
    #[serde(rename = "ping_seconds", deserialize_with = "seconds")]
    pub ping: Duration,
    /// Seconds without anything from the peer of a websocket until it is closed.
    #[serde(rename = "peer_timeout_seconds", deserialize_with = "seconds")]
    pub peer_timeout: Duration,
    /// Seconds in which the peer of a websocket reads nothing until it is closed.
    #[serde(rename = "stall_timeout_seconds", deserialize_with = "seconds")]
    pub stall_timeout: Duration,
    /// Seconds for requests and websockets to end when the service stops, good-byes included.
    #[serde(rename = "shutdown_timeout_seconds", deserialize_with = "seconds")]
    pub shutdown_timeout: Duration,
    /// How often clients may ask: `[limits]`.
    pub limits: limits::Config,
    /// Where and how to serve over TLS beside: `[tls]`.
    pub tls: Option<tls::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            token_file: None,
            token: None,
            max_connections: 12_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            push_timeout: Duration::from_secs(5),
            count_timeout: Duration::from_secs(30),
            ping: Duration::from_secs(20),
            peer_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(120),
            shutdown_timeout: Duration::from_secs(1),
            limits: limits::Config::default(),
            tls: None,
        }
    }
}

/// Seconds, with decimals if need be: more than none and at most a day.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds > 0.0 && seconds <= 86_400.0 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(serde::de::Error::custom(format!(
            "expected seconds, more than 0 and at most 86400, not {seconds}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_mistakes_are_told() {
        let config: Config = toml::from_str(
            "listen = \"[::1]:9000\"\nping_seconds = 0.5\nstall_timeout_seconds = 30\n\
             limits.pushes = { per_second = 5, burst = 10 }",
        )
        .unwrap();
        assert_eq!((config.listen.port(), config.ping), (9000, Duration::from_millis(500)));
        assert_eq!(config.limits.pushes.burst.get(), 10);
        for (text, expected) in [
            ("token = \"0123456789abcdef\"", "unknown field `token`"),
            ("ping_seconds = 0", "more than 0"),
            ("listen = \"localhost\"", "invalid socket address"),
            ("limits.pushes = { per_second = 0, burst = 1 }", "nonzero"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
