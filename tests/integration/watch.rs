//! `watchbell watch` in front of a server in this process.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use watchbell::rules::Severity;
use watchbell::serve::auth::Token;

use crate::serve::{PATIENCE, Server, TOKEN, opened, start};

struct Watch {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

fn watch(arguments: &[&str], token: Option<&str>) -> Watch {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command.arg("watch").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("WATCHBELL_TOKEN").envs(token.map(|token| ("WATCHBELL_TOKEN", token)));
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Watch { child, lines: Some(lines) }
}

fn watch_server(server: &Server, arguments: &[&str]) -> Watch {
    watch(&[&[format!("http://{}", server.address).as_str()], arguments].concat(), None)
}

impl Watch {
    fn line(&mut self) -> String {
        self.lines.as_mut().unwrap().next().expect("it must go on").unwrap()
    }

    fn frame(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Reads frames up to one of this type.
    fn frame_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// How it ended, and what it said on standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap(), errors)
    }

    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().1
    }
}

/// Blocks on the output of a child; the server goes on meanwhile.
fn blocking<T>(read: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(read)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_printed_for_people_and_for_programs() {
    let server = start(|_| {}).await;
    let filter = r#"{"url.path": "/x"}"#;
    let mut programs = watch_server(&server, &["--output", "ndjson", "--filter", filter]);
    let topics = blocking(|| programs.frame_of("subscribed"));
    assert_eq!(topics["topics"], serde_json::json!(["alerts", "events"]));
    let mut people = watch_server(&server, &["--severity", "high", "--rule", "brute_*"]);
    // The program gets every alert, the person those after the subscription, which nothing here tells of.
    let published = tokio::spawn(async move {
        loop {
            opened(&server, "low", Severity::Low);
            opened(&server, "brute_force\u{1b}[2J", Severity::High);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    blocking(|| {
        let frames = [programs.frame_of("alert"), programs.frame_of("alert")];
        assert_eq!(frames.map(|frame| frame["seq"].as_u64()), [Some(1), Some(2)]);
        let line = people.line();
        assert!(line.contains("HIGH      opened    brute_force\u{fffd}[2J  source.ip=192.0.2.1"), "{line}");
        assert!(people.line().contains("observed 12 where > 10 events in 5m"));
        assert_eq!((people.kill(), programs.kill()), (String::new(), String::new()));
    });
    published.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_refuses_ends_it_with_2() {
    let open = start(|_| {}).await;
    let closed = start(|config| config.token = Some(Token::new(TOKEN).unwrap())).await;
    let (open, closed) = (format!("ws://{}", open.address), format!("ws://{}", closed.address));
    let wrong = "x".repeat(32);
    blocking(|| {
        for (arguments, token, said) in [
            (vec!["wss://127.0.0.1"], None, "no TLS"),
            (vec![&*closed], None, "401"),
            (vec![&*closed], Some(wrong.as_str()), "not the one"),
            (vec![&*closed, "--token-file", "/no/such/file"], None, "/no/such/file"),
            (vec![&*closed], Some("short"), "16 to 1024"),
            (vec![&*open, "--topic", "alarms"], None, "alerts"),
            (vec![&*open, "--filter", "{"], None, "expected JSON"),
            (vec![&*open, "--filter", r#"{"url.path|contian": "x"}"#], None, "one of the modifiers"),
            (vec![&*open, "--filter", r#"{"url.pth": "x"}"#], None, "url.path"),
        ] {
            let (status, errors) = watch(&arguments, token).end();
            assert_eq!(status.code(), Some(2), "{arguments:?}: {errors}");
            assert!(errors.contains(said), "{arguments:?} must mention {said}: {errors}");
        }
        let mut allowed = watch(&[&closed, "--output", "ndjson"], Some(TOKEN));
        assert_eq!(allowed.frame()["type"], "hello");
        allowed.kill();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_when_the_service_does() {
    let mut server = start(|_| {}).await;
    let address = server.address;
    let mut watch = blocking(|| {
        let mut watch = watch_server(&server, &["--output", "ndjson"]);
        watch.frame_of("subscribed");
        watch
    });
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap().unwrap();
    let server = start(|config| config.listen = address).await;
    blocking(|| watch.frame_of("subscribed"));
    opened(&server, "again", Severity::Low);
    let errors = blocking(|| {
        assert_eq!(watch.frame_of("alert")["alert"]["rule"]["name"], "again");
        watch.kill()
    });
    assert!(errors.contains("the service is stopping (1001); trying again in"), "{errors}");
    assert!(errors.contains("started again"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_and_an_interrupt_end_it_quietly() {
    let server = start(|_| {}).await;
    let mut watches = blocking(|| {
        [0, 1].map(|_| {
            let mut watch = watch_server(&server, &["--output", "ndjson"]);
            watch.frame_of("subscribed");
            watch
        })
    });
    watches[0].lines = None;
    opened(&server, "nobody reads this", Severity::Low);
    let [piped, interrupted] = watches;
    blocking(|| {
        let kill = Command::new("kill").args(["-INT", &interrupted.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        for watch in [piped, interrupted] {
            let (status, errors) = watch.end();
            assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
        }
    });
}
