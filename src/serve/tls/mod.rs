//! TLS: certificates of our own, and those that clients show.
//!
//! A client that shows the right certificate is whom the signer of the certificate says it is. For webhooks that stands
//! beside the signature and does not replace it: proxies may have ended the connection of the client.

mod config;
mod name;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::auth::warn_if_others_can_read;
pub use config::{Config, Required};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in a file.
    #[error("there is no certificate in {0}: expected PEM, with BEGIN CERTIFICATE")]
    NoCertificate(PathBuf),
    /// A certificate cannot be used.
    #[error("the certificate in {path} cannot be used: {error}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// Those who sign the certificates of clients cannot be used.
    #[error("client_ca cannot be used: {0}")]
    ClientCa(String),
    /// Certificates of clients are required, and nobody is named who signs them.
    #[error(
        "require_client_certificate needs client_ca: the files with the certificates of those who sign them"
    )]
    NoClientCa,
}

/// What a client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The connection is not encrypted.
    Plain,
    /// No certificate, or one with another name.
    Nothing,
    /// The right certificate.
    RightName,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The client did not like us, or we did not like it.
    Handshake,
    /// It took too long.
    Slow,
}

/// The certificates that are in use. Clones share them.
#[derive(Clone)]
pub struct Certificates {
    config: Arc<Config>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Certificates {
    /// Reads the files of the configuration.
    pub fn read(config: Config) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(Arc::new(server_config(&config)?)));
        Ok(Self { config: Arc::new(config), current })
    }

    /// Reads the same files again. Connections that are open go on; when there is a fault in a file, what was read before is
    /// used on.
    pub fn read_again(&self) -> Result<(), TlsError> {
        let read = Arc::new(server_config(&self.config)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Shown), Failed> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        match timeout(HANDSHAKE_TIME, TlsAcceptor::from(current).accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = self.shown(stream.get_ref().1);
                Ok((stream, shown))
            }
            Ok(Err(_)) => Err(Failed::Handshake),
            Err(_) => Err(Failed::Slow),
        }
    }

    fn shown(&self, connection: &ServerConnection) -> Shown {
        // Whoever signed it has been checked.
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let is_right = certificate.is_some_and(|certificate| {
            self.config.client_names.iter().any(|name| name::is(certificate, name))
        });
        if is_right { Shown::RightName } else { Shown::Nothing }
    }

    /// Whether webhooks are taken only from clients with the right certificate.
    pub(super) fn guards_webhooks(&self) -> bool {
        self.config.required() != Required::Never
    }
}

fn server_config(config: &Config) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let unfit = |error| TlsError::Unfit { path: config.certificate.clone(), error };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?;
    let builder = match config.required() {
        Required::Never => builder.with_no_client_auth(),
        required => {
            let mut roots = RootCertStore::empty();
            for path in &config.client_ca {
                for certificate in certificates(path)? {
                    let error = |error| TlsError::Unfit { path: path.clone(), error };
                    roots.add(certificate).map_err(error)?;
                }
            }
            if roots.is_empty() {
                return Err(TlsError::NoClientCa);
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match required {
                Required::Always => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| TlsError::ClientCa(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    warn_if_others_can_read(&config.key, "the key of the certificate");
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| TlsError::Unreadable { path: config.key.clone(), error })?;
    let mut server = builder.with_single_cert(certificates(&config.certificate)?, key).map_err(unfit)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(certificates) }
}
