//! Who may ask.
//!
//! With a token, whoever shows it; `/healthz` and `/readyz` are for everybody. Without one, programs on this machine
//! only. There a browser is a hole: any page that it shows may send requests here, by the name of the loopback interface
//! or by a name of its own that it lets point there (DNS rebinding). So without a token the `Host` must be a loopback
//! name or address, and an `Origin` must be this very service.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

/// Shortest token: of random letters and digits, 16 are not guessed.
pub const MIN_TOKEN_CHARS: usize = 16;
/// Longest token.
const MAX_TOKEN_CHARS: usize = 1024;

/// The environment variable for the token.
pub const TOKEN_VARIABLE: &str = "WATCHBELL_TOKEN";

/// A token, as a hash: comparing hashes tells nothing of the token by the time it takes, and nothing can print it.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a token cannot be used. Says nothing of the token itself.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is guessed too easily, or is no token at all.
    #[error(
        "the token must have {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters, all of them visible ASCII; \
         `openssl rand -hex 32` makes a good one"
    )]
    Unfit,
}

impl Token {
    /// The token of this text.
    pub fn new(secret: &str) -> Result<Self, TokenError> {
        let is_fit = (MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit { Ok(Self(blake3::hash(secret.as_bytes()))) } else { Err(TokenError::Unfit) }
    }

    fn is(&self, shown: &[u8]) -> bool {
        // In constant time: `blake3::Hash` compares like that.
        self.0 == blake3::hash(shown)
    }
}

/// Warns about a file with a secret that others than its owner can read or write.
pub fn warn_if_others_can_read(path: &Path, secret: &str) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(%path, "others can read or write the file with {secret} (mode {mode:03o}): chmod 600 it");
    }
}

/// The text of the token in the file, or else in [`TOKEN_VARIABLE`] unless that is empty; `None` when there is none.
pub fn read_secret(file: Option<&Path>) -> Result<Option<String>, TokenError> {
    let text = match file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| TokenError::Unreadable { path: path.to_owned(), error })?,
        ),
        None => std::env::var(TOKEN_VARIABLE).ok().filter(|text| !text.trim().is_empty()),
    };
    let Some(text) = text else { return Ok(None) };
    let secret = text.trim().to_owned();
    Token::new(&secret)?;
    if let Some(path) = file {
        warn_if_others_can_read(path, "the token");
    }
    Ok(Some(secret))
}

/// The token in the file, or else in [`TOKEN_VARIABLE`]; `None` when there is none.
pub fn read_token(file: Option<&Path>) -> Result<Option<Token>, TokenError> {
    read_secret(file)?.map(|secret| Token::new(&secret)).transpose()
}

/// Who is let in.
#[derive(Clone, Debug)]
pub struct Gate(Option<Token>);

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token was shown.
    NoToken,
    /// A wrong one was.
    WrongToken,
    /// The service was asked for by a name that is not this machine's.
    ForeignHost,
    /// A page of somebody else's asks.
    ForeignOrigin,
}

impl Refusal {
    /// What to do about it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NoToken => "send the token in a header, as in 'Authorization: Bearer TOKEN'",
            Self::WrongToken => "the token is not the one that the service was started with",
            Self::ForeignHost => {
                "without a token only loopback names are answered: ask for 127.0.0.1, [::1] or localhost, or start \
                 the service with a token"
            }
            Self::ForeignOrigin => {
                "without a token web pages of other origins are not answered: start the service with a token and \
                 show it from a program"
            }
        }
    }
}

impl Gate {
    /// Lets in whoever has the token, or, without one, programs on this machine.
    pub const fn new(token: Option<Token>) -> Self {
        Self(token)
    }

    /// Whether a token must be shown.
    pub const fn needs_token(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a request is let in.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.0 {
            Some(token) => check_token(token, headers),
            None => check_locality(uri, headers),
        }
    }
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else { return Err(Refusal::NoToken) };
    let (scheme, secret) = value.as_bytes().split_at(value.len().min(7));
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Refusal::NoToken);
    }
    if token.is(secret.trim_ascii()) { Ok(()) } else { Err(Refusal::WrongToken) }
}

fn check_locality(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::ForeignHost) };
    let host = host.to_str().map_err(|_| Refusal::ForeignHost)?;
    let is_local =
        is_loopback(host) && uri.authority().is_none_or(|authority| is_loopback(authority.as_str()));
    if !is_local {
        return Err(Refusal::ForeignHost);
    }
    let is_own = |origin: &[u8]| {
        origin.strip_prefix(b"http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_bytes()))
    };
    if headers.get_all(ORIGIN).iter().all(|origin| is_own(origin.as_bytes())) {
        Ok(())
    } else {
        Err(Refusal::ForeignOrigin)
    }
}

/// Whether a host, with or without a port, is this machine's loopback interface.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            let is_address = address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| IpAddr::from(address).to_canonical().is_loopback());
            if !is_address {
                return false;
            }
            ("localhost", port)
        }
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_port && is_name
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_the_token_is_let_in() {
        let gate = Gate::new(Some(Token::new("0123456789abcdef").unwrap()));
        for (entries, expected) in [
            (&[][..], Err(Refusal::NoToken)),
            (&[("authorization", "Bearer 0123456789abcdef")], Ok(())),
            (&[("authorization", "bearer  0123456789abcdef ")], Ok(())),
            (&[("authorization", "Bearer 0123456789abcdeF")], Err(Refusal::WrongToken)),
            (&[("authorization", "Bearer 0123456789abcdef0")], Err(Refusal::WrongToken)),
            (&[("authorization", "Bearer ")], Err(Refusal::WrongToken)),
            (&[("authorization", "Bearer")], Err(Refusal::NoToken)),
            (&[("authorization", "Basic 0123456789abcdef")], Err(Refusal::NoToken)),
            (
                &[("authorization", "Bearer 0123456789abcdef"), ("authorization", "Bearer 0123456789abcdef")],
                Err(Refusal::NoToken),
            ),
        ] {
            assert_eq!(gate.check(&Uri::from_static("/"), &headers(entries)), expected, "{entries:?}");
        }
    }

    #[test]
    fn without_a_token_only_this_machine_is_let_in() {
        let gate = Gate::new(None);
        for (entries, expected) in [
            (&[][..], Err(Refusal::ForeignHost)),
            (&[("host", "127.0.0.1:9464")], Ok(())),
            (&[("host", "127.1.2.3")], Ok(())),
            (&[("host", "LOCALHOST:1")], Ok(())),
            (&[("host", "[::1]:9464")], Ok(())),
            (&[("host", "[::ffff:127.0.0.1]")], Ok(())),
            (&[("host", "evil.example")], Err(Refusal::ForeignHost)),
            (&[("host", "localhost.evil.example")], Err(Refusal::ForeignHost)),
            (&[("host", "127.0.0.1.evil.example:80")], Err(Refusal::ForeignHost)),
            (&[("host", "localhost:80@evil.example")], Err(Refusal::ForeignHost)),
            (&[("host", "[::1]evil.example")], Err(Refusal::ForeignHost)),
            (&[("host", "[::2]")], Err(Refusal::ForeignHost)),
            (&[("host", "0.0.0.0:9464")], Err(Refusal::ForeignHost)),
            (&[("host", "localhost"), ("host", "evil.example")], Err(Refusal::ForeignHost)),
            (&[("host", "localhost:9464"), ("origin", "http://localhost:9464")], Ok(())),
            (&[("host", "localhost:9464"), ("origin", "http://localhost:80")], Err(Refusal::ForeignOrigin)),
            (&[("host", "localhost:9464"), ("origin", "http://evil.example")], Err(Refusal::ForeignOrigin)),
            (&[("host", "localhost:9464"), ("origin", "null")], Err(Refusal::ForeignOrigin)),
        ] {
            assert_eq!(gate.check(&Uri::from_static("/"), &headers(entries)), expected, "{entries:?}");
        }
        let local = headers(&[("host", "localhost")]);
        assert!(gate.check(&Uri::from_static("http://evil.example/"), &local).is_err());
    }

    #[test]
    fn a_token_is_long_visible_and_never_printed() {
        for secret in ["", "short", "0123456789 abcdef", "0123456789abcdeä", &"x".repeat(2000)] {
            assert!(Token::new(secret).is_err(), "{secret}");
        }
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(..)");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert_eq!(read_secret(Some(&path)).unwrap().as_deref(), Some("0123456789abcdef"));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(Some(&path)), Err(TokenError::Unfit)), "an empty file is no consent");
        assert!(matches!(read_secret(Some(Path::new("/no/file"))), Err(TokenError::Unreadable { .. })));
    }
}
