//! TLS, and certificates that clients show.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use watchbell::serve::ServeError;
use watchbell::serve::tls::{self, Required};

use super::*;

const META: &str = "client.webhooks.fbclientcerts.com";

/// Somebody who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    fn sign(&self, common: &str, beside: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let beside: Vec<String> = beside.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(beside).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, common);
        parameters.extended_key_usages = vec![usage];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Identity {
        self.sign("our server", &["hooks.example.com"], ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, common: &str) -> Identity {
        self.sign(common, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// Writes what the server needs, and tells where it is.
fn files(dir: &Path, server: &Identity, client_ca: &[&Authority]) -> tls::Config {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let client_ca = client_ca.iter().enumerate();
    tls::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        certificate: write("certificate.pem", &server.certificate),
        key: write("key.pem", &server.key),
        client_ca: client_ca.map(|(at, ca)| write(&format!("ca{at}.pem"), &ca.pem)).collect(),
        client_names: vec![META.to_owned()],
        require_client_certificate: None,
    }
}

async fn start_with(config: &tls::Config) -> Server {
    let config = config.clone();
    start(Setup { configure: Box::new(|serve| serve.tls = Some(config)), ..Setup::default() }).await
}

/// Asks over TLS as somebody who trusts `authority`; `None` when no answer comes.
async fn ask(
    server: &Server,
    trusted: &Authority,
    shown: Option<&Identity>,
    request: &[u8],
) -> Option<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match shown {
        Some(Identity { certificate, key }) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let socket = TcpStream::connect(server.tls.unwrap()).await.unwrap();
    let name = ServerName::try_from("hooks.example.com").unwrap();
    let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
    Answer::parse(exchange(socket, request).await)
}

fn delivery(id: &str) -> Vec<u8> {
    let body = messages([id]);
    let signature = signature(APP_SECRET, &body);
    request("POST", "/webhooks/whatsapp", &[("X-Hub-Signature-256", &signature)], &body)
}

fn health() -> Vec<u8> {
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec()
}

#[tokio::test]
async fn webhooks_come_from_whoever_shows_the_right_certificate() {
    let (ours, meta, before, others) =
        (Authority::new("ours"), Authority::new("meta"), Authority::new("before"), Authority::new("others"));
    let dir = tempfile::tempdir().unwrap();
    let server = start_with(&files(dir.path(), &ours.server(), &[&meta, &before])).await;
    let beside = meta.sign("a client", &[META], ExtendedKeyUsagePurpose::ClientAuth);
    let wrong_use = meta.sign(META, &[], ExtendedKeyUsagePurpose::ServerAuth);
    for (what, shown, webhook, rest) in [
        ("right", Some(meta.client(META)), Some(200), Some(200)),
        ("of the authority before", Some(before.client(META)), Some(200), Some(200)),
        ("beside the subject", Some(beside), Some(200), Some(200)),
        ("none", None, Some(403), Some(200)),
        ("another name", Some(meta.client("evil.example")), Some(403), Some(200)),
        ("the right name, signed by somebody else", Some(others.client(META)), None, None),
        ("for servers", Some(wrong_use), None, None),
    ] {
        let status = |answer: Option<Answer>| answer.map(|answer| answer.status);
        let answer = ask(&server, &ours, shown.as_ref(), &delivery("wamid.A")).await;
        assert_eq!(status(answer), webhook, "{what}");
        assert_eq!(status(ask(&server, &ours, shown.as_ref(), &health()).await), rest, "{what}");
    }
    // The signature is asked for all the same, and so is the certificate at the handshake.
    let unsigned = request("POST", "/webhooks/whatsapp", &[], b"{}");
    assert_eq!(ask(&server, &ours, Some(&meta.client(META)), &unsigned).await.unwrap().status, 401);
    let path = handshake::path("subscribe", VERIFY_TOKEN, "1");
    assert_eq!(ask(&server, &ours, None, &request("GET", &path, &[], b"")).await.unwrap().status, 403);
    // A proxy on this machine has asked for it.
    assert_eq!(server.send(&delivery("wamid.B")).await.status, 200);
    assert_eq!(server.count("watchbell_http_certificates_refused_total"), 3.0);
    assert_eq!(server.count("watchbell_tls_handshakes_total{outcome=\"failed\"}"), 4.0);
    assert_eq!(server.count("watchbell_tls_handshakes_total{outcome=\"accepted\"}"), 12.0);
    assert_eq!(server.told("whatsapp.message.id").await.len(), 2);
}

#[tokio::test]
async fn a_certificate_may_be_required_of_everybody_or_of_nobody() {
    let (ours, meta) = (Authority::new("ours"), Authority::new("meta"));
    for (required, nobody, right) in
        [(Required::Always, (None, None), 200), (Required::Never, (Some(200), Some(200)), 200)]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut config = files(dir.path(), &ours.server(), &[&meta]);
        config.require_client_certificate = Some(required);
        let server = start_with(&config).await;
        let status = |answer: Option<Answer>| answer.map(|answer| answer.status);
        let webhook = status(ask(&server, &ours, None, &delivery("wamid.A")).await);
        let rest = status(ask(&server, &ours, None, &health()).await);
        assert_eq!((webhook, rest), nobody, "{required:?}");
        let shown = meta.client(META);
        assert_eq!(status(ask(&server, &ours, Some(&shown), &delivery("wamid.A")).await), Some(right));
        // What is no TLS at all.
        let socket = TcpStream::connect(server.tls.unwrap()).await.unwrap();
        let answer = exchange(socket, &health()).await;
        assert!(!answer.starts_with(b"HTTP"));
    }
}

#[tokio::test]
async fn certificates_are_read_again_and_a_broken_one_changes_nothing() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let dir = tempfile::tempdir().unwrap();
    let config = files(dir.path(), &old.server(), &[]);
    let server = start_with(&config).await;
    let certificates = server.certificates.clone().unwrap();
    assert_eq!(ask(&server, &old, None, &delivery("wamid.A")).await.unwrap().status, 200);
    files(dir.path(), &new.server(), &[]);
    std::fs::write(&config.key, "no key").unwrap();
    assert!(certificates.read_again().unwrap_err().to_string().contains("key.pem"));
    assert!(ask(&server, &new, None, &health()).await.is_none());
    assert_eq!(ask(&server, &old, None, &health()).await.unwrap().status, 200);
    files(dir.path(), &new.server(), &[]);
    certificates.read_again().unwrap();
    assert!(ask(&server, &old, None, &health()).await.is_none());
    assert_eq!(ask(&server, &new, None, &health()).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_cannot_be_served_is_told_at_the_start() {
    let (ours, meta) = (Authority::new("ours"), Authority::new("meta"));
    let dir = tempfile::tempdir().unwrap();
    let good = files(dir.path(), &ours.server(), &[&meta]);
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = dir.path().join("missing.pem");
    let other_key = dir.path().join("other.pem");
    std::fs::write(&other_key, ours.server().key).unwrap();
    for (config, expected) in [
        (tls::Config { certificate: missing, ..good.clone() }, "cannot read"),
        (tls::Config { certificate: empty.clone(), ..good.clone() }, "there is no certificate in"),
        (tls::Config { client_ca: vec![empty], ..good.clone() }, "there is no certificate in"),
        (tls::Config { key: other_key, ..good.clone() }, "cannot be used"),
        (
            tls::Config {
                client_ca: vec![],
                require_client_certificate: Some(Required::Webhooks),
                ..good.clone()
            },
            "needs client_ca",
        ),
        (tls::Config { listen: ([0, 0, 0, 0], 0).into(), ..good }, "needs a token"),
    ] {
        let config =
            serve::Config { listen: ([127, 0, 0, 1], 0).into(), tls: Some(config), ..Default::default() };
        let error: ServeError = serve::bind(config).await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn handshakes_have_a_limit_by_client() {
    let ours = Authority::new("ours");
    let dir = tempfile::tempdir().unwrap();
    let config = files(dir.path(), &ours.server(), &[]);
    let configure = move |serve: &mut serve::Config| {
        let one = std::num::NonZeroU32::MIN;
        serve.limits.handshakes = watchbell::serve::limits::Rate { per_second: one, burst: one };
        serve.tls = Some(config);
    };
    let server = start(Setup { configure: Box::new(configure), ..Setup::default() }).await;
    assert_eq!(ask(&server, &ours, None, &health()).await.unwrap().status, 200);
    // At once: within a second there is no room for another.
    let asks = (0..10).map(|_| ask(&server, &ours, None, b""));
    futures_util::future::join_all(asks).await;
    assert!(server.count("watchbell_tls_handshakes_total{outcome=\"limited\"}") >= 8.0);
    // What is not encrypted costs no handshake.
    assert_eq!(server.send(&delivery("wamid.A")).await.status, 200);
}
