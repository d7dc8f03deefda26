//! The server as its clients meet it: real sockets, in one process.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use watchbell::decode::{self, Decoded, Decoder, Tally};
use watchbell::event::{Event, Schema};
use watchbell::intake::{Outlet, Stream};
use watchbell::rules::Severity;
use watchbell::serve::auth::Token;
use watchbell::serve::limits::Rate;
use watchbell::serve::{Config, Push, Readiness, ServeError, State, bind};
use watchbell::stream::{Change, Hub, Limits};

use crate::stream::{alert, hub, publish_request};

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Longer than anything here takes, even where the machine is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub address: SocketAddr,
    hub: Arc<Hub>,
    registry: Registry,
    readiness: Arc<Readiness>,
    /// What takes pushed lines, until somebody does.
    outlet: Option<Outlet>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Result<(), ServeError>>,
}

pub async fn start(configure: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
    configure(&mut config);
    let (hub, registry) = hub(Limits::default());
    let bound = bind(config).await.unwrap();
    let mut outlet = Outlet::default();
    let stream = Stream { source: "push".into(), tenant: "".into(), name: "push".into() };
    let push = Push { inlet: outlet.add_inlet(), stream: Arc::new(stream) };
    let readiness = Arc::new(Readiness::default());
    let state = State {
        reports: Arc::default(),
        registry: registry.clone(),
        hub: Arc::clone(&hub),
        push: Some(push),
        webhooks: None,
        readiness: Arc::clone(&readiness),
        sources: watchbell::sources::Metrics::register(&registry).unwrap(),
    };
    let address = bound.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(bound.serve(state, async { drop(stopped.await) }));
    Server { address, hub, registry, readiness, outlet: Some(outlet), stop: Some(stop), task }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer: status, headers in lower case, body.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The detail of a problem, which every error is.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert!(body["title"].is_string());
        body["detail"].as_str().unwrap().to_owned()
    }
}

impl Server {
    /// Sends bytes as they are and reads the answer to the end.
    async fn send(&self, request: &[u8]) -> Answer {
        let exchange = async {
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            socket.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            // A server that has said no may close before everything was sent.
            let _ = socket.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.unwrap_or_else(|| panic!("no answer: {answer:?}")),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        self.send(&[request.as_bytes(), body].concat()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    async fn push(&self, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask("POST", &format!("/v1/events{query}"), headers, body).await
    }

    /// The value of a series.
    pub fn count(&self, series: &str) -> f64 {
        crate::stream::count(&self.registry, series)
    }

    /// Reads pushed lines as the engine does.
    fn start_engine(&mut self) {
        let mut outlet = self.outlet.take().unwrap();
        tokio::spawn(async move {
            let schema = Arc::new(Schema::new());
            while let Some(taken) = outlet.take(1 << 20) {
                if taken.is_empty() {
                    outlet.wait().await;
                }
                for lines in taken {
                    let settings = Arc::new(decode::Settings::default());
                    let mut decoder = Decoder::new(lines.format, Arc::clone(&schema), settings);
                    let mut tally = Tally::default();
                    for line in lines.text.lines() {
                        match decoder.decode(line, &mut Event::new(&schema)) {
                            Ok(Decoded::Nothing) => {}
                            Ok(_) => (tally.lines, tally.events) = (tally.lines + 1, tally.events + 1),
                            Err(reason) => tally.add_undecodable(&reason),
                        }
                    }
                    lines.counted.unwrap().send(tally).unwrap();
                }
            }
        });
    }

    async fn connect(&self, path: &str) -> Client {
        let url = format!("ws://{}{path}", self.address);
        Client(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    /// Connects with a subscription that is in force.
    async fn subscribed(&self, path: &str) -> Client {
        let mut client = self.connect(path).await;
        assert_eq!(client.next().await["type"], "hello");
        assert_eq!(client.next().await["type"], "subscribed");
        client
    }

    /// The status with which a websocket is refused.
    async fn refused(&self, path: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok(_) => 101,
            Err(SocketError::Http(response)) => {
                assert_eq!(response.headers()["content-type"], "application/problem+json");
                response.status().as_u16()
            }
            Err(error) => panic!("{error}"),
        }
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// The next frame; pings are answered meanwhile.
    async fn next(&mut self) -> Value {
        match self.frame().await {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(code) => panic!("closed with {code}"),
        }
    }

    /// The next frame, or the code of the close frame that came instead; 1006 for none.
    async fn frame(&mut self) -> Result<String, u16> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(close))) => {
                        return Err(close.map_or(1005, |close| close.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(1006),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap()
    }

    async fn say(&mut self, request: &Value) {
        self.0.send(Message::text(request.to_string())).await.unwrap();
    }

    /// The code with which it is closed, whatever comes before that.
    async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.frame().await {
                return code;
            }
        }
    }
}

pub fn opened(server: &Server, rule: &str, severity: Severity) {
    server.hub.publish_alert(Change::Opened, &alert(rule, severity, "", "192.0.2.1"));
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
}

#[tokio::test]
async fn health_is_told_with_reasons() {
    let server = start(|_| {}).await;
    assert_eq!(server.get("/healthz").await.json()["status"], "alive");
    server.readiness.wait_for("rules", "rules are being read");
    let answer = server.get("/readyz").await;
    assert_eq!(answer.problem(503), "rules are being read");
    assert_eq!(answer.json()["reasons"], json!(["rules are being read"]));
    server.readiness.done("rules");
    assert_eq!(server.get("/readyz").await.status, 200);
    drop(server.readiness.engine_life());
    assert!(server.get("/healthz").await.problem(503).contains("restart"));
}

#[tokio::test]
async fn metrics_are_as_prometheus_wants_them() {
    let server = start(|_| {}).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let mut described: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = Vec::new();
    for line in answer.body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(!text.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped.last(), Some(&name), "HELP stands before TYPE");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            described.insert(name, kind);
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(described.contains_key(name), "{line}");
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
    }
    for series in [
        "watchbell_http_requests_total{code=\"101\",endpoint=\"stream\"} 0",
        "watchbell_http_requests_total{code=\"429\",endpoint=\"events\"} 0",
        "watchbell_http_rate_limited_total{endpoint=\"metrics\"} 0",
        "watchbell_http_authentication_failures_total 0",
        "watchbell_stream_subscribers 0",
        "watchbell_stream_frames_total{topic=\"alerts\"} 0",
        "watchbell_stream_missed_total{topic=\"events\"} 0",
        "watchbell_stream_rejected_total{reason=\"subscribers_full\"} 0",
    ] {
        assert!(answer.body.lines().any(|line| line == series), "{series} is not in\n{}", answer.body);
    }
    assert!(answer.body.contains("process_resident_memory_bytes"));
    assert_eq!(server.count("watchbell_http_requests_total{code=\"200\",endpoint=\"metrics\"}"), 1.0);
    assert_eq!(server.ask("HEAD", "/metrics", &[], b"").await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let server = start(|_| {}).await;
    assert!(server.get("/").await.problem(404).contains("/v1/stream"));
    let answer = server.ask("DELETE", "/metrics", &[], b"").await;
    assert!(answer.problem(405).contains("GET, not with DELETE"));
    assert!(answer.headers["allow"].contains("GET"));
    assert!(server.get("/v1/events").await.problem(405).contains("POST"));
    let answer = server.get("/v1/stream").await;
    assert!(answer.problem(426).contains("websocket"));
    assert_eq!(answer.headers["upgrade"], "websocket");
    assert_eq!(server.count("watchbell_http_requests_total{code=\"404\",endpoint=\"other\"}"), 1.0);
}

#[tokio::test]
async fn with_a_token_only_whoever_shows_it_is_answered() {
    let server = start(|config| config.token = Some(Token::new(TOKEN).unwrap())).await;
    let right = format!("Bearer {TOKEN}");
    for path in ["/metrics", "/v1/stream", "/v1/events", "/nothing"] {
        let answer = server.get(path).await;
        assert!(answer.problem(401).contains("Authorization: Bearer"), "{path}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
        let answer = server.ask("GET", path, &[("Authorization", "Bearer wrong")], b"").await;
        assert!(!answer.problem(401).contains(TOKEN));
        let answer = server.ask("GET", path, &[("Authorization", &right)], b"").await;
        assert_ne!(answer.status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path} is for everybody");
    }
    assert_eq!(server.refused("/v1/stream", &[]).await, 401);
    assert_eq!(server.refused("/v1/stream", &[("authorization", "Bearer wrong")]).await, 401);
    assert_eq!(server.refused("/v1/stream", &[("authorization", &right)]).await, 101);
    let foreign = [("Host", "watchbell.example"), ("Authorization", right.as_str())];
    let answer = server.ask("GET", "/metrics", &foreign, b"").await;
    assert_eq!(answer.status, 200, "with a token any name will do");
    assert!(answer.body.contains("watchbell_http_authentication_failures_total 10"), "{}", answer.body);
}

#[tokio::test]
async fn other_machines_need_a_token() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let listen = listen.parse().unwrap();
        let error = bind(Config { listen, ..Config::default() }).await.map(drop).unwrap_err();
        assert!(matches!(error, ServeError::TokenNeeded(_)), "{error}");
        assert!(error.to_string().contains("WATCHBELL_TOKEN"), "{error}");
    }
    let token = Some(Token::new(TOKEN).unwrap());
    assert!(bind(Config { listen: ([0, 0, 0, 0], 0).into(), token, ..Config::default() }).await.is_ok());
    let weak = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(weak.path(), "changeme\n").unwrap();
    let config = Config { token_file: Some(weak.path().to_owned()), ..Config::default() };
    let error = bind(config).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("16 to 1024 characters") && !error.contains("changeme"), "{error}");
}

#[tokio::test]
async fn web_pages_of_others_are_not_answered() {
    let server = start(|_| {}).await;
    for path in ["/metrics", "/healthz", "/v1/events"] {
        let rebound = server.ask("GET", path, &[("Host", "evil.example")], b"").await;
        assert!(rebound.problem(403).contains("loopback"));
    }
    let push =
        server.push("", &[("Origin", "https://evil.example"), ("Content-Type", "text/plain")], b"x\n").await;
    assert!(push.problem(403).contains("other origins"));
    assert_eq!(server.refused("/v1/stream", &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(server.refused("/v1/stream", &[("host", "evil.example")]).await, 403);
    let own = format!("http://{}", server.address);
    assert_eq!(server.refused("/v1/stream", &[("origin", &own)]).await, 101);
    let no_host = server.send(b"GET /metrics HTTP/1.0\r\n\r\n").await;
    no_host.problem(403);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let server = start(|config| {
        config.limits.connects = rate(1, 2);
        config.limits.pushes = rate(1, 1);
        config.limits.push_kibibytes = rate(1, 100);
    })
    .await;
    let body = vec![b'x'; 200 << 10];
    let answer = server.push("", &[("Content-Type", "text/plain")], &body).await;
    assert!(answer.problem(413).contains("in parts"), "it can never be sent");
    // Each second there is room for one more, and this machine may be slow.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 1_000 {
        statuses.push(server.refused("/v1/stream", &[]).await);
    }
    assert!(statuses.len() > 2 && statuses.len() < 1_000, "{statuses:?}");
    let mut answers = 0;
    let refused = loop {
        let answer = server.push("?format=x", &[], b"x").await;
        answers += 1;
        if answer.status == 429 || answers > 1_000 {
            break answer;
        }
    };
    assert!(refused.problem(429).contains("Retry-After"));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(server.count("watchbell_http_rate_limited_total{endpoint=\"stream\"}"), 1.0);
    assert_eq!(server.count("watchbell_http_rate_limited_total{endpoint=\"events\"}"), 1.0);
}

#[tokio::test]
async fn tokens_cannot_be_guessed_at_leisure() {
    let server = start(|config| {
        config.token = Some(Token::new(TOKEN).unwrap());
        config.limits.wrong_tokens = rate(1, 3);
    })
    .await;
    let guess = async |token: &str| {
        let shown = format!("Bearer {token}");
        server.ask("GET", "/metrics", &[("Authorization", &shown)], b"").await
    };
    let mut statuses = Vec::new();
    let answer = loop {
        let answer = guess("wrong").await;
        statuses.push(answer.status);
        if answer.status != 401 || statuses.len() > 1_000 {
            break answer;
        }
    };
    assert!(statuses.len() > 3, "{statuses:?}");
    assert!(answer.problem(429).contains("wrong tokens"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(server.get("/healthz").await.status, 200);
}

const LINE: &str = r#"192.0.2.1 - - [10/Oct/2026:13:55:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8""#;

#[tokio::test]
async fn pushed_lines_are_counted_before_they_are_answered() {
    let mut server = start(|_| {}).await;
    server.start_engine();
    let text = format!("{LINE}\n{LINE}\nno log line\n\n{LINE}");
    let array = br#"[{"source.ip": "192.0.2.1",
        "@timestamp": "2026-10-10T13:55:00Z"}, 5]"#;
    let lines = b"{\"source.ip\":\"192.0.2.1\",\"@timestamp\":\"2026-10-10T13:55:00Z\"}\nnonsense\n";
    let long = format!("{LINE}\n{}\n{LINE}\n", "x".repeat(200_000));
    let many = format!("{LINE}\n").repeat(20_000);
    let cases: &[(&str, Headers, &[u8], Value)] = &[
        ("", &[("Content-Type", "text/plain")], text.as_bytes(), json!([4, 3, {"not_combined": 1}])),
        ("", &[], text.as_bytes(), json!([4, 3, {"not_combined": 1}])),
        ("?format=json", &[], text.as_bytes(), json!([4, 0, {"not_json": 4}])),
        ("", &[("Content-Type", "application/json; charset=utf-8")], array, json!([2, 1, {"not_json": 1}])),
        ("", &[("Content-Type", "application/x-ndjson")], lines, json!([2, 1, {"not_json": 1}])),
        ("", &[], long.as_bytes(), json!([3, 2, {"not_combined": 1}])),
        ("", &[], b"\xff\xfe\x00junk\n", json!([1, 0, {"not_combined": 1}])),
        ("", &[], b"", json!([0, 0, {}])),
        ("", &[], many.as_bytes(), json!([20_000, 20_000, {}])),
    ];
    for (query, headers, body, wanted) in cases {
        for is_packed in [false, true] {
            let mut headers = headers.to_vec();
            let packed = if is_packed { gzip(body) } else { body.to_vec() };
            if is_packed {
                headers.push(("Content-Encoding", "gzip"));
            }
            let answer = server.push(query, &headers, &packed).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let told = answer.json();
            assert_eq!(&json!([told["lines"], told["events"], told["undecodable"]]), wanted);
        }
    }
}

#[tokio::test]
async fn pushes_that_cannot_be_taken_are_refused_whole() {
    let mut server = start(|_| {}).await;
    server.start_engine();
    let json_type = ("Content-Type", "application/json");
    let packed = ("Content-Encoding", "gzip");
    let bomb = gzip(&vec![b'\n'; 17 << 20]);
    let half = gzip(&format!("{LINE}\n").repeat(1000).into_bytes());
    let cases: &[(&str, Headers, &[u8], u16, &str)] = &[
        ("?format=xml", &[], b"x", 400, "haproxy"),
        ("?fromat=json", &[], b"x", 400, "format"),
        ("", &[("Content-Type", "multipart/form-data")], b"x", 415, "application/x-ndjson"),
        ("", &[("Content-Encoding", "br")], b"x", 415, "gzip"),
        ("", &[packed], b"junk", 400, "gzip"),
        ("", &[packed], &half[..half.len() - 20], 400, "not all of it"),
        ("", &[packed], &bomb, 413, "16 MiB"),
        ("", &[json_type], b"[{\"a\":1}, {]", 400, "not JSON"),
        (
            "",
            &[("Content-Type", "text/plain"), ("Content-Type", "text/plain")],
            b"x",
            400,
            "one content-type",
        ),
    ];
    for (query, headers, body, status, detail) in cases {
        let told = server.push(query, headers, body).await.problem(*status);
        assert!(told.contains(detail), "{told}");
    }
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let declared = server.send(format!("{head}Content-Length: 5000000\r\n\r\n").as_bytes()).await;
    assert!(declared.problem(413).contains("4 MiB"), "before a byte of it is sent");
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}1\r\nx\r\n", chunk.repeat(64));
    server.send(chunked.as_bytes()).await.problem(413);
    // Nothing of all this harms the next one.
    assert_eq!(server.push("", &[], LINE.as_bytes()).await.json()["events"], 1);
}

#[tokio::test]
async fn what_finds_no_room_is_told_apart_from_what_was_taken() {
    let mut server = start(|config| {
        config.push_timeout = Duration::from_millis(50);
        config.count_timeout = Duration::from_millis(50);
    })
    .await;
    let line = format!("{}\n", "x".repeat(1023));
    let answer = server.push("?format=combined", &[], line.as_bytes()).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"lines_taken": 1})), "it is not counted yet");
    // Nobody takes anything: 63 more pieces of 64 lines fit.
    let packed = gzip(line.repeat(6000).as_bytes());
    let answer = server.push("?format=combined", &[("Content-Encoding", "gzip")], &packed).await;
    assert!(answer.problem(503).contains("lines_taken"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.json()["lines_taken"], 63 * 64);
    let queued = server.outlet.as_mut().unwrap().take(usize::MAX).unwrap();
    assert_eq!(queued.iter().map(|lines| lines.text.lines().count()).sum::<usize>(), 1 + 63 * 64);
    // The engine goes away with what it has.
    server.outlet = None;
    assert!(server.push("", &[], LINE.as_bytes()).await.problem(503).contains("stopping"));
}

#[tokio::test]
async fn a_push_without_a_source_says_so() {
    let (hub, registry) = hub(Limits::default());
    let bound = bind(Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() }).await.unwrap();
    let address = bound.local_addr();
    let readiness = Arc::new(Readiness::default());
    let state = State {
        reports: Arc::default(),
        registry: registry.clone(),
        hub: Arc::clone(&hub),
        push: None,
        webhooks: None,
        readiness: Arc::clone(&readiness),
        sources: watchbell::sources::Metrics::register(&registry).unwrap(),
    };
    let task = tokio::spawn(bound.serve(state, std::future::pending()));
    let server = Server { address, hub, registry, readiness, outlet: None, stop: None, task };
    assert!(server.push("", &[], b"x").await.problem(404).contains("source"));
}

#[tokio::test]
async fn alerts_come_over_a_websocket_as_asked_for() {
    let server = start(|_| {}).await;
    let mut by_address = server.subscribed("/v1/stream?topics=alerts&severity=high&rule=brute_*,other").await;
    let mut by_frame = server.connect("/v1/stream").await;
    assert_eq!(by_frame.next().await["topics"], json!(["alerts", "events", "statistics"]));
    by_frame.say(&json!({"subscribe": ["alerts"], "alerts": {"severity": "low"}})).await;
    assert_eq!(by_frame.next().await["topics"], json!(["alerts"]));
    opened(&server, "brute_force", Severity::Medium);
    opened(&server, "brute_force", Severity::Critical);
    let frame = by_address.next().await;
    assert_eq!((&frame["seq"], &frame["change"]), (&json!(2), &json!("opened")));
    assert_eq!(by_frame.next().await["seq"], 1);
    assert_eq!(by_frame.next().await["seq"], 2);
    // A wrong request is answered and changes nothing.
    for (request, expected) in [
        (json!({"subscribe": ["alarms"]}), "alerts, events or statistics"),
        (json!({"subscribe": ["events"], "events": {"source.prt": 1}}), "source.ip"),
        (json!("x"), "an object"),
    ] {
        by_frame.say(&request).await;
        let told = by_frame.next().await;
        assert_eq!(told["type"], "error");
        assert!(told["error"].as_str().unwrap().contains(expected), "{told}");
    }
    for junk in [Message::text("{"), Message::binary(vec![1, 2, 3])] {
        by_frame.0.send(junk).await.unwrap();
        assert!(by_frame.next().await["error"].as_str().unwrap().contains("expected JSON"));
    }
    opened(&server, "x", Severity::Low);
    assert_eq!(by_frame.next().await["seq"], 3);
    // And a right one changes it.
    by_frame.say(&json!({"subscribe": ["events"], "events": {"url.path|contains": "/admin"}})).await;
    assert_eq!(by_frame.next().await["topics"], json!(["events"]));
    let schema = Schema::new();
    publish_request(&server.hub, &schema, "192.0.2.1", "/", 200);
    publish_request(&server.hub, &schema, "192.0.2.1", "/admin", 200);
    assert_eq!(by_frame.next().await["event"]["url.path"], "/admin");
    for path in [
        "?topics=alarms",
        "?topics=alerts&severity=dire",
        "?topics=events&events=%7B%22a%22%3A1%7D",
        "?x=%ff",
    ] {
        assert_eq!(server.refused(&format!("/v1/stream{path}"), &[]).await, 400, "{path}");
    }
}

#[tokio::test]
async fn too_many_changes_and_too_large_messages_end_a_websocket() {
    let server = start(|_| {}).await;
    let mut hasty = server.subscribed("/v1/stream?topics=alerts").await;
    for _ in 0..40 {
        // The server may have had enough before we have.
        let _ = hasty.0.send(Message::text(r#"{"subscribe":["alerts"]}"#)).await;
    }
    assert_eq!(hasty.close_code().await, 1008);
    let mut large = server.subscribed("/v1/stream?topics=alerts").await;
    let _ = large.0.send(Message::text("x".repeat(70_000))).await;
    assert_eq!(large.close_code().await, 1009);
}

/// Says hello as a websocket does and gives the bare socket.
async fn bare_socket(server: &Server, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    socket
}

async fn read_to_end(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// An empty ping, and the start of a close frame with code 1013.
const PING: [u8; 2] = [0x89, 0];
const CLOSE_1013: [u8; 2] = [0x03, 0xf5];

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed_and_one_that_does_is_kept() {
    let server = start(|config| {
        config.ping = Duration::from_millis(50);
        config.peer_timeout = Duration::from_secs(2);
    })
    .await;
    let silent = bare_socket(&server, "/v1/stream?topics=alerts").await;
    let mut answering = server.subscribed("/v1/stream?topics=alerts").await;
    let closed = tokio::spawn(read_to_end(silent));
    // It reads, and so answers pings, until the other one is closed.
    let keeps_reading = tokio::spawn(async move { answering.next().await });
    let bytes = closed.await.unwrap();
    assert!(contains(&bytes, &PING) && contains(&bytes, &CLOSE_1013));
    opened(&server, "a", Severity::Low);
    assert_eq!(keeps_reading.await.unwrap()["seq"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_is_closed_and_holds_nobody_up() {
    let server = start(|config| config.stall_timeout = Duration::from_secs(1)).await;
    let asleep = bare_socket(&server, "/v1/stream?topics=alerts").await;
    let mut awake = server.subscribed("/v1/stream?topics=alerts").await;
    // Until the queue of the sleeper is full, which the buffers of the system delay.
    let rule = "r".repeat(60_000);
    let mut sent = 0;
    while server.count("watchbell_stream_missed_total{topic=\"alerts\"}") == 0.0 {
        opened(&server, &rule, Severity::Low);
        sent += 1;
        let frame = awake.next().await;
        assert_eq!(frame["seq"], sent, "whoever reads gets everything");
        assert!(sent < 10_000);
    }
    while server.count("watchbell_stream_subscribers") > 1.0 {
        tokio::task::yield_now().await;
    }
    let bytes = read_to_end(asleep).await;
    assert!(contains(&bytes[bytes.len() - 100..], &CLOSE_1013), "it wakes up and is told");
    opened(&server, "last", Severity::Low);
    assert_eq!(awake.next().await["alert"]["rule"]["name"], "last");
}

#[tokio::test]
async fn at_the_end_websockets_get_what_waits_for_them() {
    let mut server = start(|_| {}).await;
    let mut client = server.subscribed("/v1/stream?topics=alerts").await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..100 {
        opened(&server, "last", Severity::Low);
    }
    server.stop.take().unwrap().send(()).unwrap();
    for seq in 1..=100 {
        assert_eq!(client.next().await["seq"], seq);
    }
    assert_eq!(client.close_code().await, 1001);
    assert!(tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap().is_ok());
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    read_to_end(idle).await;
    assert!(!server.readiness.reasons().is_empty());
    // Whoever serves has let go of the way to the engine.
    let mut outlet = server.outlet.take().unwrap();
    while outlet.take(1).is_some() {
        outlet.wait().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_does_not_keep_the_service_from_stopping() {
    let mut server = start(|config| config.shutdown_timeout = Duration::from_millis(100)).await;
    let _asleep = bare_socket(&server, "/v1/stream?topics=alerts").await;
    let rule = "r".repeat(60_000);
    while server.count("watchbell_stream_missed_total{topic=\"alerts\"}") == 0.0 {
        opened(&server, &rule, Severity::Low);
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    assert!(tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap().is_ok());
    let mut outlet = server.outlet.take().unwrap();
    let closed = async {
        while outlet.take(1).is_some() {
            outlet.wait().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn whoever_takes_too_long_is_cut_off() {
    let server = start(|config| {
        config.header_timeout = Duration::from_secs(1);
        config.body_timeout = Duration::from_millis(200);
        config.max_connections = 3;
    })
    .await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").await.unwrap();
    assert!(read_to_end(slow).await.is_empty(), "a head that does not end");
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert!(read_to_end(silent).await.is_empty(), "no head at all");
    let head =
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100\r\n\r\nx";
    assert!(server.send(head.as_bytes()).await.problem(408).contains("faster"));
    let kept = [
        server.subscribed("/v1/stream?topics=alerts").await,
        server.subscribed("/v1/stream?topics=alerts").await,
        server.subscribed("/v1/stream?topics=alerts").await,
    ];
    let beyond = TcpStream::connect(server.address).await.unwrap();
    assert!(read_to_end(beyond).await.is_empty());
    drop(kept);
    let registry = server.registry.clone();
    let refused = || {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        (text.contains("connections_refused_total 1"), text.contains("watchbell_http_connections 0"))
    };
    while refused() != (true, true) {
        tokio::task::yield_now().await;
    }
}

/// A client that shares no code with the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_is_served() {
    const PROGRAM: &str = r#"
import asyncio, json, sys, websockets

async def main():
    async with websockets.connect(sys.argv[1] + "?topics=alerts&severity=high", ping_interval=None) as socket:
        kinds = []
        while "alert" not in kinds:
            frame = json.loads(await socket.recv())
            kinds.append(frame["type"])
            if frame["type"] == "subscribed":
                print("subscribed", flush=True)
        assert kinds == ["hello", "subscribed", "alert"], kinds
        await socket.send(json.dumps({"subscribe": ["nothing"]}))
        assert "expected alerts" in json.loads(await socket.recv())["error"]
        pong = await socket.ping()
        await pong
        print(frame["alert"]["rule"]["name"])

asyncio.run(main())
"#;
    let python = std::env::var("WATCHBELL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let is_there = Command::new(&python)
        .args(["-c", "import websockets"])
        .output()
        .is_ok_and(|run| run.status.success());
    if !is_there {
        assert!(
            std::env::var_os("WATCHBELL_REQUIRE_PROGRAMS").is_none(),
            "Python with websockets is required"
        );
        eprintln!("skipped: there is no Python with the package websockets");
        return;
    }
    let server = start(|_| {}).await;
    let url = format!("ws://{}/v1/stream", server.address);
    let hub = Arc::clone(&server.hub);
    let run = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python);
        command.args(["-c", PROGRAM, &url]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let first = lines.next().and_then(Result::ok);
        hub.publish_alert(Change::Opened, &alert("seen", Severity::High, "", "192.0.2.1"));
        let second = lines.next().and_then(Result::ok);
        (first, second, child.wait().unwrap().success())
    });
    assert_eq!(run.await.unwrap(), (Some("subscribed".to_owned()), Some("seen".to_owned()), true));
}
