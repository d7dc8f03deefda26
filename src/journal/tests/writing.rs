//! What is appended is stored, answered and handed on.

use std::time::{Duration, Instant};

use super::super::queue::Taken;
use super::*;
use crate::decode::Tally;

#[tokio::test]
async fn what_is_answered_is_stored_and_then_handed_on() {
    let rig = Rig::new();
    let opened = rig.open();
    assert!(!opened.found.existed);
    let journal = opened.journal.clone();
    let (writer, running, blocks) = start(opened);
    for number in 1..=3 {
        let (record, answer) = awaited("a\nb\n", &[]);
        let began = Instant::now();
        writer.append(record).unwrap();
        let expected = Stored { block: number, duplicates: 0 };
        assert_eq!(answer.await.unwrap(), Ok(expected));
        // It is not made to wait for company.
        assert!(began.elapsed() < GATHER * 10);
        assert_eq!(stored(&journal).last(), Some(&(number, "a\nb\n".to_owned())));
        let block = blocks.recv().unwrap();
        assert_eq!((block.number, block.is_complete, block.lines.len()), (number, true, 1));
    }
    let counts = writer.counts();
    assert_eq!((counts.blocks, counts.records, counts.text_bytes, counts.last_block), (3, 3, 12, 3));
    drop(writer);
    running.join().unwrap();
    assert!(blocks.recv().is_err());
    let found = rig.open().found;
    assert_eq!((found.existed, found.first_block, found.last_block, found.missing_blocks), (true, 1, 3, 0));
    assert_eq!((found.checked_blocks, found.unreadable_blocks), (3, 0));
    assert!(found.last_alive.unwrap() <= crate::intake::now());
}

#[test]
fn what_nobody_waits_for_is_handed_on_at_once_and_stored_soon() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    let flow = |texts: &[&str]| Taken {
        flowing: texts.iter().map(|text| with_offset(record("file", text), text)).collect(),
        ..Taken::default()
    };
    steps.turn(flow(&["a\n", "b\n"]));
    steps.turn(flow(&["c\n"]));
    assert_eq!(steps.handed_on, [(1, false, "a\nb\n".to_owned()), (1, false, "c\n".to_owned())]);
    assert_eq!(stored(&journal), []);
    std::thread::sleep(GATHER);
    steps.turn(Taken::default());
    assert_eq!(steps.handed_on.last(), Some(&(1, true, String::new())));
    assert_eq!(stored(&journal), [(1, "a\nb\nc\n".to_owned())]);
    // What somebody waits for takes the others with it, in a block of its own.
    steps.handed_on.clear();
    steps.turn(flow(&["d\n"]));
    assert_eq!(steps.append("e\n", &[]), Ok(Stored { block: 3, duplicates: 0 }));
    let handed_on = [(2, false, "d\n"), (2, true, ""), (3, true, "e\n")];
    assert_eq!(
        steps.handed_on,
        handed_on.map(|(number, is_complete, text)| (number, is_complete, text.to_owned()))
    );
    // A block's worth is stored without waiting.
    let large = "x".repeat(MAX_BLOCK_BYTES);
    steps.turn(flow(&[&large]));
    assert_eq!(stored(&journal).len(), 4);
    drop(steps);
    assert_eq!(rig.open().found.offsets["file"], large.into_bytes());
}

#[test]
fn all_that_waits_is_one_commit() {
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    let (records, answers): (Vec<_>, Vec<_>) = (0..50).map(|n| awaited(&format!("{n}\n"), &[])).unzip();
    steps.turn(Taken { awaited: records, ..Taken::default() });
    for mut answer in answers {
        assert_eq!(answer.try_recv().unwrap(), Ok(Stored { block: 1, duplicates: 0 }));
    }
    let counts = steps.worker.counters().read();
    assert_eq!((counts.commits, counts.blocks, counts.records), (1, 1, 50));
}

#[test]
fn what_was_seen_is_stored_and_handed_on_once_after_a_restart_too() {
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    assert_eq!(steps.append("a\nb\n", &[1, 2]), Ok(Stored { block: 1, duplicates: 0 }));
    assert_eq!(steps.append("b\nc\n", &[2, 3]), Ok(Stored { block: 2, duplicates: 1 }));
    // Twice in one commit, and both are answered.
    let (records, answers): (Vec<_>, Vec<_>) = (0..2).map(|_| awaited("d\n", &[4])).unzip();
    steps.turn(Taken { awaited: records, ..Taken::default() });
    let duplicates = answers.into_iter().map(|mut answer| answer.try_recv().unwrap().unwrap().duplicates);
    assert_eq!(duplicates.collect::<Vec<_>>(), [0, 1]);
    drop(steps);
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    let (counted, mut tally) = oneshot::channel();
    let (mut record, mut answer) = awaited("a\nd\n", &[1, 4]);
    record.lines.counted = Some(counted);
    let record = with_offset(record, "7");
    steps.turn(Taken { awaited: vec![record], ..Taken::default() });
    assert_eq!(answer.try_recv().unwrap(), Ok(Stored { block: 3, duplicates: 2 }));
    assert_eq!(tally.try_recv().unwrap(), Tally::default());
    assert_eq!(steps.handed_on, []);
    assert_eq!(steps.worker.counters().read().duplicates["push"], 2);
    let expected = [(1, "a\nb\n"), (2, "c\n"), (3, "d\n")];
    assert_eq!(stored(&journal), expected.map(|(number, text)| (number, text.to_owned())));
    drop(steps);
    assert_eq!(rig.open().found.offsets["push"], b"7");
}

#[test]
fn what_nobody_waits_for_is_seen_too() {
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    let flow = |text, keys: &[u64]| Taken {
        flowing: vec![Record { keys: keys.to_vec(), ..record("file", text) }],
        ..Taken::default()
    };
    steps.turn(flow("a\nb\n", &[1, 2]));
    steps.turn(flow("b\nc\n", &[2, 3]));
    assert_eq!(steps.append("c\nd\n", &[3, 4]), Ok(Stored { block: 2, duplicates: 1 }));
    let texts: String = steps.handed_on.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(texts, "a\nb\nc\nd\n");
}

#[tokio::test]
async fn closing_drains_records_and_then_lets_changes_through() {
    let rig = Rig::new();
    let (writer, running, blocks) = rig.start();
    for number in 0..100 {
        writer.append(record("file", &format!("{number}\n"))).unwrap();
    }
    writer.close();
    assert!(matches!(writer.append(record("file", "late\n")), Err(Refused::Stopping(_))));
    // Ends, because whoever it is handed to is let go, although there is a writer.
    let texts: String = blocks.iter().flat_map(|block| block.lines).map(|lines| lines.text).collect();
    assert_eq!(texts.lines().count(), 100);
    let (saved, answer) = oneshot::channel();
    writer.save(Changes { counted_up_to: 1, saved: Some(saved), ..Changes::default() }).unwrap();
    assert_eq!(answer.await.unwrap(), Ok(()));
    let last = Changes { counted_up_to: 2, ..Changes::default() };
    writer.save(last).unwrap();
    drop(writer);
    running.join().unwrap();
    assert_eq!(rig.open().found.counted_up_to, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_gets_it() {
    let rig = Rig::new();
    let opened = rig.open_with(Limits { queue_records: 2, ..Limits::default() });
    let (writer, running, blocks) = start(opened);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    writer.append_when_room(record("file", &format!("{task}-{number}\n"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
    }
    drop(writer);
    running.join().unwrap();
    let mut texts: Vec<String> =
        blocks.iter().flat_map(|block| block.lines).map(|lines| lines.text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 800);
}

#[tokio::test]
async fn nobody_waits_for_a_thread_that_has_failed() {
    let rig = Rig::new();
    let (writer, running) = rig.open().start(|_| panic!("of the test")).unwrap();
    writer.append(record("file", "a\n")).unwrap();
    assert!(running.join().is_err());
    assert!(matches!(writer.append(record("file", "a\n")), Err(Refused::Stopping(_))));
    let (record, answer) = awaited("a\n", &[]);
    assert!(matches!(writer.append(record), Err(Refused::Stopping(_))));
    assert!(answer.await.is_err());
}
