//! `watchbell journal`: looking into what a service has kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use watchbell::event::Timestamp;
use watchbell::intake::Offset;
use watchbell::journal::{Changes, DeadLetter, Gap, Journal, Key, Limits, Record, StoredAlert};

use crate::journal::{lines, open};
use crate::service::{Process, append, config_of, directory, failures};

/// What arrived and was not understood: neither text nor fit for a terminal.
const LETTER: &[u8] = b"\x1b[2Jnot JSON\r\n\xff\x00 end";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command.arg("journal").args(arguments).stdin(Stdio::null()).env_remove("WATCHBELL_KEY");
    command
}

/// Looks into a state directory.
fn look(state: &Path, arguments: &[&str]) -> Output {
    command(arguments).arg("--state-directory").arg(state).output().unwrap()
}

/// What it says, when it must say that all is well.
fn said(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The objects of `--output ndjson`.
fn objects(state: &Path, arguments: &[&str]) -> Vec<Value> {
    let text = said(look(state, &[arguments, &["--output", "ndjson"]].concat()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_500_000 + seconds)
}

fn alert(id: &str, opened: i64, resolved: Option<i64>) -> StoredAlert {
    let record = json!({
        "id": id, "rule": {"id": "r", "name": "guessing", "title": "Guessing"}, "severity": "high",
        "subject": {"user.name": "ann\u{1b}]0;x\u{202e}"}, "opened_at": at(opened), "last_seen_at": at(opened + 7),
        "resolved_at": resolved.map(at), "observed": 1234, "condition": {"type": "event_count", "text": ">= 3 events in 1h"},
        "evidence": {"findings": 1, "samples": [
            {"source": "app", "line": 7, "at": at(opened), "fields": {"url.original": "/login?\u{1b}[1m"}}]},
    });
    StoredAlert {
        id: id.to_owned(),
        rule_id: "r".to_owned(),
        opened_at: at(opened),
        resolved_at: resolved.map(at),
        record: record.to_string().into_bytes(),
    }
}

/// A state directory with some of everything.
fn written() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let opened = open(state.path(), Limits::default());
    let (writer, running) = opened.start(|_| {}).unwrap();
    for number in 0..5_u64 {
        let (stored, answer) = oneshot::channel();
        let offset = Some(Offset { log: "other".to_owned(), state: b"7".to_vec() });
        let lines =
            watchbell::intake::Lines { offset, ..lines("push", format!("{{\"n\":{number}}}\n{{}}\n")) };
        writer.append(Record { lines, keys: vec![number], stored: Some(stored) }).unwrap();
        answer.blocking_recv().unwrap().unwrap();
    }
    for (from, to) in [(0, 3), (100, 4000)] {
        let reason = "stopped\u{1b}[31m".to_owned();
        writer.gap(Gap { source: "web".to_owned(), from: at(from), to: at(to), reason }).unwrap();
    }
    let reason = "not_json".to_owned();
    for body in [LETTER, b"{"] {
        let (source, body) = ("webhook".to_owned(), body.to_vec());
        writer.dead_letter(DeadLetter { at: at(1), source, reason: reason.clone(), body }).unwrap();
    }
    let (saved, answer) = oneshot::channel();
    let alerts = vec![alert("aa", 10, Some(60)), alert("bb", 20, None)];
    writer.save(Changes { counted_up_to: 4, alerts, saved: Some(saved), ..Changes::default() }).unwrap();
    answer.blocking_recv().unwrap().unwrap();
    drop(writer);
    running.join().unwrap();
    state
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn everything_that_is_kept_can_be_looked_at_and_nothing_is_changed() {
    let directory = written();
    let state = directory.path();
    let before = files(state);
    let status = said(look(state, &["status"]));
    for expected in [
        "blocks   5, number 1 to 5\n",
        "counted  up to block 4, 1 are left\n",
        "keys     5 of lines",
        "alerts   1 open, 1 resolved\n",
        "gaps     2\n",
        "letters  2 dead\n",
        "read     other: other, as its source",
    ] {
        assert!(status.contains(expected), "{expected}: {status}");
    }
    let object = &objects(state, &["status"])[0];
    assert_eq!(
        (&object["blocks"], &object["missing_blocks"], &object["keys"]),
        (&json!(5), &json!(0), &json!(5))
    );
    let check = said(look(state, &["check"]));
    assert!(check.contains("5 blocks with 10 lines") && check.contains("Everything can be read."), "{check}");
    assert_eq!(objects(state, &["check"])[0]["is_well"], true);
    assert_eq!(
        said(look(state, &["gaps"])),
        "2026-11-24 06:01:40Z to 2026-11-24 07:06:40Z   1 h 5 min  web  stopped\u{fffd}[31m\n\
         2026-11-24 06:00:00Z to 2026-11-24 06:00:03Z       3.0 s  web  stopped\u{fffd}[31m\n"
    );
    let gap = json!({"source": "web", "from": at(100), "to": at(4000), "reason": "stopped\u{1b}[31m", "seconds": 3900.0});
    assert_eq!(objects(state, &["gaps"])[0], gap);
    assert_eq!(
        said(look(state, &["dead-letters"])),
        "     2  2026-11-24 06:00:01Z  webhook          1 bytes  not_json\n     \
         1  2026-11-24 06:00:01Z  webhook         20 bytes  not_json\n"
    );
    let letter = json!({"id": 2, "at": at(1), "source": "webhook", "reason": "not_json", "size": 1});
    assert_eq!(objects(state, &["dead-letters"])[0], letter);
    assert_eq!(look(state, &["dead-letters", "1"]).stdout, LETTER);
    assert_eq!(objects(state, &["dead-letters", "2"])[0]["body"], "{");
    assert!(objects(state, &["dead-letters", "1"])[0]["body_base64"].is_string());
    let alerts = said(look(state, &["alerts"]));
    assert_eq!(
        alerts.lines().take(4).collect::<Vec<_>>(),
        [
            "HIGH      guessing  user.name=ann\u{fffd}]0;x\u{fffd}",
            "      2026-11-24 06:00:20Z to still open   observed 1,234 (asked for: >= 3 events in 1h)",
            "      Guessing",
            "      e.g. app:7  /login?\u{fffd}[1m",
        ]
    );
    assert!(alerts.contains("      2026-11-24 06:00:10Z to 2026-11-24 06:00:17Z   observed"), "{alerts}");
    let of = |id: &str, opened, resolved| -> Value {
        serde_json::from_slice(&alert(id, opened, resolved).record).unwrap()
    };
    assert_eq!(objects(state, &["alerts"]), [of("bb", 20, None), of("aa", 10, Some(60))]);
    assert_eq!(objects(state, &["alerts", "--open"]), [of("bb", 20, None)]);
    assert_eq!(objects(state, &["alerts", "--limit", "1"]).len(), 1);
    assert!(files(state) == before, "{:?}", files(state).keys());
}

#[test]
fn what_cannot_be_read_is_told_and_ends_with_1() {
    let directory = written();
    let state = directory.path();
    let path = state.join("watchbell.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE blocks SET body = zeroblob(90) WHERE number = 3", []).unwrap();
    connection.execute("UPDATE alerts SET body = zeroblob(90) WHERE id = 'aa'", []).unwrap();
    connection.execute("UPDATE dead_letters SET body = zeroblob(90) WHERE id = 1", []).unwrap();
    drop(connection);
    let check = look(state, &["check"]);
    assert_eq!(check.status.code(), Some(1));
    let text = String::from_utf8(check.stdout).unwrap();
    for expected in ["block 3 cannot be read", "1 alerts cannot", "1 dead letters cannot", "NOT everything"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for arguments in [&["alerts"][..], &["dead-letters", "1"]] {
        assert_eq!(look(state, arguments).status.code(), Some(1), "{arguments:?}");
    }
    assert!(String::from_utf8(look(state, &["alerts"]).stdout).unwrap().contains("still open"));
    // So damaged that nothing can be said of it.
    for whole in [&b"no journal at all"[..], &[0; 100]] {
        std::fs::write(&path, whole.repeat(100)).unwrap();
        let output = look(state, &["check"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("damaged"), "{output:?}");
    }
}

#[test]
fn what_there_is_not_is_said_and_ends_with_2() {
    let directory = written();
    let state = directory.path();
    let empty = tempfile::tempdir().unwrap();
    let keyless = tempfile::tempdir().unwrap();
    std::fs::copy(state.join("watchbell.db"), keyless.path().join("watchbell.db")).unwrap();
    let stranger = tempfile::tempdir().unwrap();
    std::fs::copy(state.join("watchbell.db"), stranger.path().join("watchbell.db")).unwrap();
    Key::load_or_create(&stranger.path().join("key")).unwrap();
    for (state, arguments, expected) in [
        (empty.path(), &["status"][..], "there is no journal at"),
        (keyless.path(), &["status"], "the variable WATCHBELL_KEY, which is not set"),
        (stranger.path(), &["check"], "another key"),
        (state, &["dead-letters", "7"], "there is no dead letter 7"),
        (state, &["dead-letters", "seven"], "ID"),
        (state, &["status", "--config", "x.toml"], "cannot be used with"),
    ] {
        let output = look(state, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(keyless.path()).unwrap().count(), 1, "no key is made");
    let config = empty.path().join("watchbell.toml");
    std::fs::write(&config, "").unwrap();
    let output = command(&["gaps", "--config"]).arg(&config).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("names no state_directory"));
    assert_eq!(command(&["status"]).output().unwrap().status.code(), Some(2), "it must be said where");
    // The key from elsewhere.
    let key = std::fs::read_to_string(state.join("key")).unwrap();
    let mut with_key = command(&["check", "--state-directory"]);
    said(with_key.arg(keyless.path()).env("WATCHBELL_KEY", key.trim()).output().unwrap());
    let text =
        format!("state_directory = {:?}\njournal.key_file = {:?}\n", keyless.path(), state.join("key"));
    std::fs::write(&config, text).unwrap();
    said(command(&["check", "--config"]).arg(&config).output().unwrap());
}

#[test]
fn it_works_from_the_first_commit_of_a_service_on() {
    let directory = written();
    for blocks in 6..10 {
        let opened = open(directory.path(), Limits::default());
        let (writer, running) = opened.start(|_| {}).unwrap();
        crate::journal::append(&writer, "{}\n".to_owned(), vec![]).blocking_recv().unwrap().unwrap();
        assert_eq!(objects(directory.path(), &["status"])[0]["blocks"], blocks);
        drop(writer);
        running.join().unwrap();
    }
}

#[test]
fn a_closed_pipe_is_no_fault() {
    let directory = written();
    for what in ["status", "check", "gaps", "dead-letters", "alerts"] {
        let mut command = command(&[what, "--state-directory"]);
        // Nobody has the other end.
        let closed = Stdio::from(std::io::pipe().unwrap().1);
        let status = command.arg(directory.path()).stdout(closed).status().unwrap();
        assert_eq!(status.code(), Some(0), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_beside_a_running_service_and_after_a_kill() {
    let directory = directory();
    let log = directory.path().join("app.jsonl");
    append(&log, &failures("before", 1));
    let (mut process, address) = Process::start(directory.path());
    // From the first moment on.
    let looked = |arguments: &[&str]| {
        let output = command(arguments).arg("--config").arg(config_of(directory.path())).output().unwrap();
        said(output)
    };
    assert!(looked(&["status"]).contains("journal "));
    append(&log, &failures("ann", 5));
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !looked(&["alerts"]).contains("three_failures  user.name=ann") {
        assert!(std::time::Instant::now() < deadline, "the alert does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(looked(&["check"]).contains("Everything can be read."));
    let status = looked(&["status"]);
    assert!(status.contains("alerts   1 open") && status.contains("read     app: "), "{status}");
    assert!(status.contains("app.jsonl up to byte "), "{status}");
    // The service has not been disturbed.
    append(&log, &failures("ben", 3));
    while !looked(&["alerts"]).contains("user.name=ben") {
        assert!(std::time::Instant::now() < deadline, "the second alert does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for failed in ["failed_records_total", "failed_commits_total{reason=\"io\"}"] {
        let failures = crate::service::metric(&address, &format!("watchbell_journal_{failed}")).await;
        assert_eq!(failures, Some(0.0), "{failed}");
    }
    process.kill();
    let state = directory.path().join("state");
    let before = files(&state);
    assert!(before.keys().any(|path| path.ends_with("watchbell.db-wal")), "a kill leaves it");
    assert!(looked(&["check"]).contains("Everything can be read."));
    assert!(looked(&["alerts"]).contains("user.name=ben"));
    assert!(files(&state) == before, "{:?}", files(&state).keys());
    // A shorter time is not noted.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let (mut process, _) = Process::start(directory.path());
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    assert!(looked(&["alerts"]).contains("user.name=ben"));
    assert!(looked(&["gaps"]).contains("  app  stopped\n"), "{}", looked(&["gaps"]));
    assert!(!state.join("watchbell.db-wal").exists(), "nothing is left behind");
    let key = Key::load(&state.join("key")).unwrap().unwrap();
    assert!(Journal::read_only(&state.join("watchbell.db"), &key).is_ok());
}
