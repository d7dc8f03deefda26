//! Where the service is.

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

/// The port of the service unless it is told otherwise.
const DEFAULT_PORT: u16 = 9464;
/// Where the stream is, when the address names nothing.
const PATH: &str = "/v1/stream";

/// The address of a service, understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    /// Understands `ws://host:port`, `http://host:port` or `host:port`, with or without a path.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let port = match scheme.to_ascii_lowercase().as_str() {
            "" => DEFAULT_PORT,
            "ws" | "http" => 80,
            "wss" | "https" => {
                return Err(format!(
                    "{url}: this program speaks no TLS; let a tunnel or a proxy on this machine take it off, as in \
                     `ssh -L {DEFAULT_PORT}:127.0.0.1:{DEFAULT_PORT} HOST`"
                ));
            }
            _ => return Err(format!("{url}: expected an address such as ws://127.0.0.1:{DEFAULT_PORT}")),
        };
        let expected = || format!("{url}: expected an address such as ws://127.0.0.1:{DEFAULT_PORT}");
        let uri: Uri = format!("ws://{rest}").parse().map_err(|_| expected())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(expected)?;
        let host = authority.host();
        if host.is_empty() || uri.query().is_some() {
            return Err(expected());
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => port,
            None => return Err(expected()),
        };
        Ok(Self {
            authority: format!("{host}:{port}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: if matches!(uri.path(), "" | "/") { PATH.to_owned() } else { uri.path().to_owned() },
        })
    }

    /// The host, as sockets take it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, for people.
    pub fn name(&self) -> &str {
        &self.authority
    }

    /// The request for a websocket.
    pub fn request(&self, secret: Option<&str>) -> Result<Request, String> {
        let url = format!("ws://{}{}", self.authority, self.path);
        let mut request = url.into_client_request().map_err(|error| error.to_string())?;
        if let Some(secret) = secret {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {secret}")).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_people_write_them() {
        for (url, authority, host, path) in [
            ("ws://127.0.0.1:9464", "127.0.0.1:9464", "127.0.0.1", "/v1/stream"),
            ("HTTP://localhost:9464/", "localhost:9464", "localhost", "/v1/stream"),
            ("localhost", "localhost:9464", "localhost", "/v1/stream"),
            ("[::1]:9000", "[::1]:9000", "::1", "/v1/stream"),
            ("http://proxy/watchbell/v1/stream", "proxy:80", "proxy", "/watchbell/v1/stream"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.name(), target.host(), target.path.as_str()), (authority, host, path));
            assert_eq!(target.request(None).unwrap().headers()["host"], authority);
        }
        for (url, expected) in [
            ("wss://host", "speaks no TLS"),
            ("https://host", "speaks no TLS"),
            ("ftp://host", "expected an address"),
            ("ws://", "expected an address"),
            ("host:99999", "expected an address"),
            ("host:", "expected an address"),
            ("ws://user:secret@host", "expected an address"),
            ("ws://host/?topics=alerts", "expected an address"),
            ("", "expected an address"),
        ] {
            assert!(Target::parse(url).unwrap_err().contains(expected), "{url}");
        }
    }
}
