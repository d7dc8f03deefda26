//! The whole program, killed again and again: nothing is lost, nothing counted twice, no alert has two names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use watchbell::journal::{Journal, Key, Limits};

use crate::service::{Process, append, directory, failures};

const KILLS: u64 = 6;

/// What the journal knows of alerts, when no program runs.
fn alerts(directory: &Path) -> Vec<Value> {
    let key = Key::load(&directory.join("state/key")).unwrap().unwrap();
    let opened = Journal::open(&directory.join("state/watchbell.db"), &key, Limits::default()).unwrap();
    let alerts = opened.journal.alerts(&Default::default(), 1_000).unwrap();
    assert_eq!(alerts.unreadable, 0);
    alerts.rows.iter().map(|alert| serde_json::from_slice(&alert.record).unwrap()).collect()
}

/// The ids of alerts that a program said it opened.
fn opened(said: &[String]) -> Vec<String> {
    let opened = said.iter().filter(|line| line.contains("alert opened"));
    opened
        .map(|line| line.split("alert.id=").nth(1).unwrap().split_whitespace().next().unwrap())
        .map(|id| id.trim_matches('"').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_counts_every_line_once() {
    let directory = directory();
    let log = directory.path().join("app.jsonl");
    append(&log, &failures("before", 1));
    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut ids = BTreeSet::new();
    let mut writer = None;
    for kill in 0..KILLS {
        let (mut process, _) = Process::start(directory.path());
        writer.get_or_insert_with(|| {
            let (log, is_over, written) = (log.clone(), Arc::clone(&is_over), Arc::clone(&written));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    append(&log, &failures("ann", 3));
                    written.fetch_add(3, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        });
        tokio::time::sleep(Duration::from_millis(300 + 170 * kill)).await;
        process.kill();
        ids.extend(opened(&process.said()));
    }
    is_over.store(true, Ordering::Relaxed);
    writer.unwrap().join().unwrap();
    let (mut process, address) = Process::start(directory.path());
    let all = written.load(Ordering::Relaxed);
    // What this run has read of the file is what was not in the journal.
    let mut last = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let lines = crate::service::metric(&address, "watchbell_lines_total{source=\"app\"}").await.unwrap();
        if lines == last {
            break;
        }
        last = lines;
    }
    process.signal("-TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    ids.extend(opened(&process.said()));
    let alerts = alerts(directory.path());
    let subjects: Vec<&Value> = alerts.iter().map(|alert| &alert["subject"]["user.name"]).collect();
    assert_eq!(subjects, ["ann"], "{alerts:#?}");
    assert_eq!(alerts[0]["observed"], all, "every line counted once, through {KILLS} kills");
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [alerts[0]["id"].as_str().unwrap()]);
}
