//! How many signed webhooks are taken, beside a bare handler measured in the same run.
//!
//! The ratio is no constant: the service waits for the disk and has a thread more, so whatever else runs costs it more than
//! the bare handler. Between a busy machine and a quiet one it was seen to double.
//!
//! `cargo bench --bench webhooks -- [--requests N] [--alone]` prints (with `--alone` without the bare handler, for a profiler)
//!
//! - requests per second and times of answers for bodies of a message each, over 64 connections on the loopback interface,
//!   client and server in one process: of the service, which stores every line before it answers, and of a handler that
//!   reads the body, checks the signature, parses typed JSON, and stores nothing;
//! - how long ten thousand updates take in batches of a thousand.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Extracted};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use prometheus::Registry;
use ring::hmac;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watchbell::journal::{Journal, Key, Limits, Writer};
use watchbell::pseudonym::{self, DedupeKey, Pseudonyms};
use watchbell::serve::limits::Rate;
use watchbell::serve::webhooks::{Config, Parts, Webhooks};
use watchbell::serve::{self, Readiness, State};
use watchbell::stream::Hub;
use watchbell::whatsapp::Context;

const SECRET: &str = "8f14e45fceea167a5a36dedd4bea2543";
const PATH: &str = "/webhooks/whatsapp";
const CONNECTIONS: usize = 64;
/// Each measurement is the best of this many, by turns: the others were disturbed.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let requests = arguments.iter().position(|argument| argument == "--requests");
    let requests =
        requests.and_then(|at| arguments.get(at + 1)).map_or(20_000, |number| number.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let alone = arguments.iter().any(|argument| argument == "--alone");
    runtime.block_on(measure(requests, alone));
}

async fn measure(requests: usize, alone: bool) {
    let directory = tempfile::tempdir().unwrap();
    let (service, writer) = service(directory.path()).await;
    let bare = bare().await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut best = [Measured::WORST; 2];
    let mut size = 0;
    for round in 0..ROUNDS {
        // New ones each time: what came before would not be stored again.
        let bodies: Vec<Vec<u8>> = (0..requests).map(|n| body(&format!("{round}.{n}"), 1)).collect();
        size = bodies[0].len();
        let requests: Arc<Vec<Vec<u8>>> = Arc::new(bodies.iter().map(|body| request(&key, body)).collect());
        for (best, address) in best.iter_mut().zip([bare, service]) {
            if alone && address == bare {
                continue;
            }
            let measured = drive(address, &requests, CONNECTIONS).await;
            if measured.rate > best.rate {
                *best = measured;
            }
        }
    }
    let [bare, taken] = best;
    println!("{requests} requests of {size} bytes over {CONNECTIONS} connections, best of {ROUNDS}");
    bare.print("bare handler");
    taken.print("watchbell");
    println!("ratio: {:.2} of the bare handler", taken.rate / bare.rate);
    let counts = writer.counts();
    println!("{:.0} records a commit\n", counts.records as f64 / counts.commits.max(1) as f64);

    let bodies: Vec<Vec<u8>> = (0..10).map(|n| body(&format!("batch.{n}"), 1000)).collect();
    let size = bodies.iter().map(Vec::len).sum::<usize>();
    let requests = Arc::new(bodies.iter().map(|body| request(&key, body)).collect::<Vec<_>>());
    for connections in [1, 4] {
        let again = if connections == 1 { "new" } else { "seen before" };
        let started = Instant::now();
        let measured = drive(service, &requests, connections).await;
        let took = started.elapsed().as_secs_f64();
        println!(
            "10,000 updates in 10 batches, {size} bytes, {again}, {connections} at a time: {took:.2} s, {:.0} updates/s, \
             slowest answer {:.0} ms",
            10_000.0 / took,
            millis(measured.worst),
        );
    }
}

/// An update with messages as they come, of about 1.2 KB with one.
fn body(id: &str, messages: usize) -> Vec<u8> {
    let text = "Could you tell me when the shoes that I ordered last week will arrive? ".repeat(9);
    let messages: Vec<_> = (0..messages)
        .map(|number| {
            json!({
                "from": format!("4917{:08}", number * 7919 % 100_000_000),
                "id": format!("wamid.HBgNNDkxNzAxMjM0NTY3OBUCABIYFDNBOEUxN0FERjE4OEE4QkQ3RjM5AA{id}.{number}"),
                "timestamp": "1795521600", "type": "text", "text": {"body": text},
                "context": {"from": "15550783881", "id": "wamid.HBgLMTQxMjU1NTA4MjkVAgARGBI4NEE0"},
            })
        })
        .collect();
    let contacts = [json!({"profile": {"name": "Somebody Special"}, "wa_id": "491701234567"})];
    json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
            "contacts": contacts, "messages": messages,
        },
    }]}]})
    .to_string()
    .into_bytes()
}

fn request(key: &hmac::Key, body: &[u8]) -> Vec<u8> {
    let tag: String = hmac::sign(key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n\
         X-Hub-Signature-256: sha256={tag}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn service(directory: &Path) -> (SocketAddr, Writer) {
    let secrets = directory.join("secrets");
    std::fs::write(&secrets, SECRET).unwrap();
    let toml = format!("[whatsapp]\napp_secrets_file = '{}'\n", secrets.display());
    let config: Config = toml::from_str(&toml).unwrap();
    let key = Key::load_or_create(&directory.join("key")).unwrap();
    let opened = Journal::open(&directory.join("watchbell.db"), &key, Limits::default()).unwrap();
    // Nobody reads what is handed on: this is about taking it.
    let (writer, _) = opened.start(drop).unwrap();
    let registry = Registry::new();
    let parts = Parts {
        journal: writer.clone(),
        context: Arc::new(Context::new(
            Pseudonyms::new(pseudonym::Key::new('1', &[7; 32]).unwrap()),
            DedupeKey::new(&[7; 32]),
        )),
    };
    let state = State {
        reports: Arc::default(),
        webhooks: Some(Webhooks::open(&config, parts, &registry).unwrap()),
        hub: Hub::new(watchbell::stream::Limits::default(), &registry).unwrap(),
        push: None,
        readiness: Arc::new(Readiness::default()),
        sources: watchbell::sources::Metrics::register(&registry).unwrap(),
        registry,
    };
    let mut config = serve::Config { listen: ([127, 0, 0, 1], 0).into(), ..serve::Config::default() };
    let most = NonZeroU32::new(1_000_000).unwrap();
    config.limits.webhooks = Rate { per_second: most, burst: most };
    let bound = serve::bind(config).await.unwrap();
    let address = bound.local_addr();
    tokio::spawn(bound.serve(state, std::future::pending()));
    (address, writer)
}

#[derive(Deserialize)]
struct Envelope {
    object: String,
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    field: String,
    value: Value,
}

#[derive(Deserialize)]
struct Value {
    metadata: Metadata,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Metadata {
    phone_number_id: String,
}

#[derive(Deserialize)]
struct Message {
    from: String,
    id: String,
    timestamp: String,
    text: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    body: String,
}

async fn bare() -> SocketAddr {
    async fn take(Extracted(key): Extracted<hmac::Key>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let shown = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
        let digits = shown.and_then(|value| value.strip_prefix("sha256=")).unwrap_or_default();
        let tag: Vec<u8> = (0..digits.len() / 2)
            .filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        if hmac::verify(&key, &body, &tag).is_err() {
            return StatusCode::UNAUTHORIZED;
        }
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&body) else { return StatusCode::BAD_REQUEST };
        std::hint::black_box(length(&envelope));
        StatusCode::OK
    }

    /// Looks at everything that was parsed.
    fn length(envelope: &Envelope) -> usize {
        let of_message = |message: &Message| {
            let text = message.text.as_ref().map_or(0, |text| text.body.len());
            message.from.len() + message.id.len() + message.timestamp.len() + text
        };
        let of_change = |change: &Change| {
            let messages: usize = change.value.messages.iter().map(of_message).sum();
            change.field.len() + change.value.metadata.phone_number_id.len() + messages
        };
        let of_entry = |entry: &Entry| entry.id.len() + entry.changes.iter().map(of_change).sum::<usize>();
        envelope.object.len() + envelope.entry.iter().map(of_entry).sum::<usize>()
    }

    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let router = Router::new().route(PATH, post(take)).layer(DefaultBodyLimit::max(3 << 20)).with_state(key);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[derive(Clone, Copy)]
struct Measured {
    rate: f64,
    middle: Duration,
    most: Duration,
    worst: Duration,
}

impl Measured {
    const WORST: Self =
        Self { rate: 0.0, middle: Duration::ZERO, most: Duration::ZERO, worst: Duration::ZERO };

    fn print(&self, name: &str) {
        let Self { rate, middle, most, .. } = *self;
        println!("{name}: {rate:.0} requests/s, p50 {:.2} ms, p99 {:.2} ms", millis(middle), millis(most));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Sends all requests, each connection its share, one after the other.
async fn drive(address: SocketAddr, requests: &Arc<Vec<Vec<u8>>>, connections: usize) -> Measured {
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|place| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut times = Vec::new();
                let mut answer = vec![0; 4096];
                for request in requests.iter().skip(place).step_by(connections) {
                    let sent = Instant::now();
                    socket.write_all(request).await.unwrap();
                    let mut length = 0;
                    // Answers have no body.
                    while !answer[..length].ends_with(b"\r\n\r\n") {
                        let read = socket.read(&mut answer[length..]).await.unwrap();
                        assert!(read > 0, "the connection ended");
                        length += read;
                    }
                    let head = String::from_utf8_lossy(&answer[..length]);
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                    times.push(sent.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    Measured { rate, middle: at(50), most: at(99), worst: at(100) }
}
