//! Webhooks as their senders meet them: real sockets, a real journal.

mod generic;
mod handshake;
mod tls;
mod twilio;
mod whatsapp;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use ring::hmac;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use watchbell::journal::{Journal, Key, Limits, Writer};
use watchbell::pseudonym::{self, DedupeKey, Pseudonyms};
use watchbell::serve::tls::Certificates;
use watchbell::serve::webhooks::{Config, Parts, Webhooks};
use watchbell::serve::{self, Readiness, State};
use watchbell::whatsapp::Context;

use crate::serve::PATIENCE;
use crate::stream::hub;

pub const APP_SECRET: &str = "8f14e45fceea167a5a36dedd4bea2543";
pub const OLD_SECRET: &str = "c9f0f895fb98ab9159f51fd0297e236d";
pub const VERIFY_TOKEN: &str = "45c48cce2e2d7fbdea1afc51c7c6ad26";

/// Only for the test of an address that is shut out: whoever is on this machine never is.
pub const PROXIED: &str = "proxies = ['127.0.0.1']\n";

/// How to serve.
pub struct Setup {
    pub webhooks: String,
    pub limits: Limits,
    pub configure: Box<dyn FnOnce(&mut serve::Config) + Send>,
    /// While it is locked nothing is handed on, and nothing stored.
    pub gate: Arc<Mutex<()>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            webhooks: String::new(),
            limits: Limits::default(),
            configure: Box::new(|_| {}),
            gate: Arc::default(),
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub tls: Option<SocketAddr>,
    pub certificates: Option<Certificates>,
    pub registry: Registry,
    pub readiness: Arc<Readiness>,
    pub journal: Journal,
    pub writer: Writer,
    _dir: TempDir,
    _stop: oneshot::Sender<()>,
}

fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Starts a server for WhatsApp and whatever else the setup says.
pub async fn start(setup: Setup) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let secrets = file(&dir, "secrets", &format!("new={APP_SECRET}\nold={OLD_SECRET}\n"));
    let token = file(&dir, "token", VERIFY_TOKEN);
    file(&dir, "other", &format!("{OLD_SECRET}\n"));
    let more = setup.webhooks.replace("DIR", &dir.path().display().to_string());
    // Keys before the first section come before all of them.
    let (top, sections) = more.split_at(more.find("\n[").map_or(more.len(), |end| end + 1));
    let toml = format!(
        "{top}\n[whatsapp]\napp_secrets_file = '{secrets}'\nverify_token_file = '{token}'\n{sections}"
    );
    let webhooks: Config = toml::from_str(&toml).unwrap();
    let mut config = serve::Config { listen: ([127, 0, 0, 1], 0).into(), ..serve::Config::default() };
    (setup.configure)(&mut config);
    let bound = serve::bind(config).await.unwrap();
    let (address, tls, certificates) = (bound.local_addr(), bound.tls_addr(), bound.certificates());
    let key = Key::load_or_create(&dir.path().join("key")).unwrap();
    let opened = Journal::open(&dir.path().join("watchbell.db"), &key, setup.limits).unwrap();
    let journal = opened.journal.clone();
    let gate = Arc::clone(&setup.gate);
    let (writer, _) = opened.start(move |_| drop(gate.blocking_lock())).unwrap();
    let (hub, registry) = hub(watchbell::stream::Limits::default());
    let parts = Parts {
        journal: writer.clone(),
        context: Arc::new(Context::new(
            Pseudonyms::new(pseudonym::Key::new('1', &[7; 32]).unwrap()),
            DedupeKey::new(&[7; 32]),
        )),
    };
    let readiness = Arc::new(Readiness::default());
    let state = State {
        reports: Arc::default(),
        webhooks: Some(Webhooks::open(&webhooks, parts, &registry).unwrap()),
        registry: registry.clone(),
        hub,
        push: None,
        readiness: Arc::clone(&readiness),
        sources: watchbell::sources::Metrics::register(&registry).unwrap(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(bound.serve(state, async { drop(stopped.await) }));
    Server { address, tls, certificates, registry, readiness, journal, writer, _dir: dir, _stop: stop }
}

/// An answer: status, headers in lower case, body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// `None` when nothing was answered.
    pub fn parse(answer: Vec<u8>) -> Option<Self> {
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Some(Self { status, headers, body: body.to_owned() })
    }
}

/// Sends bytes as they are and reads what comes back, to the end.
pub async fn exchange(mut socket: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    let exchange = async {
        // A server that has said no may close before everything was sent.
        let _ = socket.write_all(request).await;
        let _ = socket.flush().await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    // Whoever sends webhooks asks for the name that the world knows.
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

impl Server {
    /// Sends bytes as they are and reads the answer to the end.
    pub async fn send(&self, request: &[u8]) -> Answer {
        let socket = TcpStream::connect(self.address).await.unwrap();
        Answer::parse(exchange(socket, request).await).unwrap_or_else(|| panic!("no answer"))
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(&request(method, path, headers, body)).await
    }

    /// Delivers an update that is signed with a secret.
    pub async fn deliver_with(&self, secret: &str, body: &[u8]) -> Answer {
        let signature = signature(secret, body);
        self.ask("POST", "/webhooks/whatsapp", &[("X-Hub-Signature-256", &signature)], body).await
    }

    pub async fn deliver(&self, body: &[u8]) -> Answer {
        self.deliver_with(APP_SECRET, body).await
    }

    pub fn count(&self, series: &str) -> f64 {
        crate::stream::count(&self.registry, series)
    }

    pub fn outcome(&self, source: &str, outcome: &str) -> f64 {
        let name = "watchbell_webhook_deliveries_total";
        self.count(&format!("{name}{{outcome=\"{outcome}\",source=\"{source}\"}}"))
    }

    /// What is on stable storage, once everything that nobody waits for is too.
    pub async fn stored(&self) -> Vec<Value> {
        tokio::time::sleep(3 * watchbell::journal::GATHER).await;
        let blocks = self.journal.read_after(0).unwrap().map(|block| block.unwrap());
        let lines = blocks.flat_map(|block| block.lines);
        lines
            .flat_map(|lines| lines.text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }

    /// The values of a key in all lines that are stored.
    pub async fn told(&self, key: &str) -> Vec<String> {
        let lines = self.stored().await;
        let told = lines.iter().filter_map(|line| line[key].as_str().map(ToOwned::to_owned));
        told.collect()
    }

    /// Dead letters: the source, the reason and the text.
    pub fn letters(&self) -> Vec<(String, String, String)> {
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        loop {
            let letters = self.journal.dead_letters(100).unwrap();
            if !letters.is_empty() || std::time::Instant::now() > deadline {
                let whole = letters.into_iter().rev().map(|letter| self.journal.dead_letter(letter.id));
                let letters = whole.map(|letter| letter.unwrap().unwrap().letter);
                let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
                return letters.map(|letter| (letter.source, letter.reason, text(letter.body))).collect();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    format!("sha256={}", hex(tag.as_ref()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An update with messages of these ids.
pub fn messages<'i>(ids: impl IntoIterator<Item = &'i str>) -> Vec<u8> {
    let messages: Vec<Value> = ids
        .into_iter()
        .map(|id| {
            serde_json::json!({"from": "16315551181", "id": id, "timestamp": "1795521600", "type": "text",
                   "text": {"body": "hello there"}})
        })
        .collect();
    update(&serde_json::json!([{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "messages": messages,
    }}]))
}

pub fn update(changes: &Value) -> Vec<u8> {
    let entry = serde_json::json!([{"id": "102290129340398", "changes": changes}]);
    serde_json::json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}
