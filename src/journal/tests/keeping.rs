//! What is kept beside blocks, and for how long.

use std::time::Duration;

use super::super::queue::Taken;
use super::super::retention;
use super::*;

pub fn alert(id: &str, opened: i64, resolved: Option<i64>) -> StoredAlert {
    StoredAlert {
        id: id.to_owned(),
        rule_id: format!("rule-{}", &id[..1]),
        opened_at: Timestamp::from_seconds(opened),
        resolved_at: resolved.map(Timestamp::from_seconds),
        record: format!("{{\"id\":\"{id}\"}}").into_bytes(),
    }
}

fn change(steps: &mut Steps, changes: Vec<Change>) {
    steps.turn(Taken { changes, ..Taken::default() });
    std::thread::sleep(GATHER);
    steps.turn(Taken::default());
}

fn save(steps: &mut Steps, counted_up_to: u64, alerts: Vec<StoredAlert>) {
    let (saved, mut answer) = oneshot::channel();
    let changes = Changes { counted_up_to, alerts, saved: Some(saved), ..Changes::default() };
    steps.turn(Taken { changes: vec![Change::Save(changes)], ..Taken::default() });
    assert_eq!(answer.try_recv().unwrap(), Ok(()));
}

#[test]
fn alerts_and_how_far_was_counted_are_kept() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    steps.append("a\n", &[]).unwrap();
    save(&mut steps, 3, vec![alert("a1", 10, None), alert("b1", 20, None), alert("b2", 30, Some(40))]);
    save(&mut steps, 2, vec![alert("a1", 10, Some(50))]);
    let ids = |filter: AlertFilter, limit| {
        let listed = journal.alerts(&filter, limit).unwrap();
        assert_eq!(listed.unreadable, 0);
        listed.rows.into_iter().map(|alert| alert.id).collect::<Vec<_>>()
    };
    let all = AlertFilter::default;
    assert_eq!(ids(all(), 10), ["b2", "b1", "a1"]);
    assert_eq!(ids(all(), 1), ["b2"]);
    assert_eq!(ids(AlertFilter { rule_id: Some("rule-b".to_owned()), ..all() }, 10), ["b2", "b1"]);
    assert_eq!(ids(AlertFilter { is_open: Some(false), ..all() }, 10), ["b2", "a1"]);
    let (from, before) = (Timestamp::from_seconds(20), Timestamp::from_seconds(30));
    let between = AlertFilter { opened_from: Some(from), opened_before: Some(before), ..all() };
    assert_eq!(ids(between, 10), ["b1"]);
    assert_eq!(journal.open_alerts().unwrap().rows, [alert("b1", 20, None)]);
    // One that was changed, or put in another's place, is told and keeps nobody from the others.
    let swapped = "UPDATE alerts SET body = (SELECT body FROM alerts WHERE id = 'a1') WHERE id = 'b1'";
    steps.worker.connection.execute(swapped, []).unwrap();
    let listed = journal.alerts(&all(), 10).unwrap();
    assert_eq!((listed.rows.len(), listed.unreadable), (2, 1));
    drop(steps);
    assert_eq!(rig.open().found.counted_up_to, 3);
}

#[test]
fn when_it_last_worked_is_known_although_the_clock_was_wrong() {
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    let (mut record, _answer) = awaited("a\n", &[]);
    record.lines.received = crate::intake::now().after(Duration::from_secs(3600 * 24 * 365));
    steps.turn(Taken { awaited: vec![record], ..Taken::default() });
    let now = crate::intake::now();
    for alive in [now.after(Duration::from_secs(3600)), now] {
        retention::sign_of_life(&steps.worker.connection, alive).unwrap();
    }
    steps.append("b\n", &[]).unwrap();
    drop(steps);
    let alive = rig.open().found.last_alive.unwrap();
    assert!((now..=crate::intake::now()).contains(&alive), "{alive}");
}

#[test]
fn gaps_are_kept_and_have_a_bound() {
    let rig = Rig::new();
    let limits = Limits { max_gaps: 3, ..Limits::default() };
    for round in 0..2 {
        let opened = rig.open_with(limits);
        let journal = opened.journal.clone();
        let now = crate::intake::now().as_micros() / 1_000_000;
        let gap = |number: i64| Gap {
            source: "web".to_owned(),
            from: Timestamp::from_seconds(now + number),
            to: Timestamp::from_seconds(now + number + 1),
            reason: "stopped".to_owned(),
        };
        let gaps = (0..5).map(|n| 10 * round + n).map(gap);
        change(&mut Steps::new(opened), gaps.map(Change::Gap).collect());
        let expected: Vec<Gap> = [4, 3, 2].map(|n| 10 * round + n).map(gap).into();
        assert_eq!(journal.gaps(10).unwrap(), expected);
        assert_eq!(journal.gaps(1).unwrap(), expected[..1]);
    }
}

#[test]
fn dead_letters_are_kept_sealed_and_cut() {
    let rig = Rig::new();
    let limits = Limits { max_dead_letters: 3, ..Limits::default() };
    let letter = |body: &[u8]| DeadLetter {
        at: crate::intake::now(),
        source: "push".to_owned(),
        reason: "not_json".to_owned(),
        body: body.to_vec(),
    };
    for round in 0..2_u64 {
        let opened = rig.open_with(limits);
        let journal = opened.journal.clone();
        let bodies = [&[b'x'; MAX_DEAD_LETTER_BYTES + 1][..], b"1", b"2", b"", b"words"];
        change(&mut Steps::new(opened), bodies.iter().map(|body| Change::DeadLetter(letter(body))).collect());
        let list = journal.dead_letters(10).unwrap();
        let last = 5 * round + 5;
        let sizes: Vec<_> = list.iter().map(|stored| (stored.id, stored.size)).collect();
        assert_eq!(sizes, [(last, 5), (last - 1, 0), (last - 2, 1)]);
        assert_eq!(journal.dead_letter(last).unwrap().unwrap().letter.body, b"words");
        assert_eq!(journal.dead_letter(last - 4).unwrap(), None);
    }
    let opened = rig.open_with(limits);
    let journal = opened.journal.clone();
    let long = letter(&[b'x'; MAX_DEAD_LETTER_BYTES + 1]);
    change(&mut Steps::new(opened), vec![Change::DeadLetter(long)]);
    let stored = journal.dead_letter(11).unwrap().unwrap();
    assert_eq!(
        (stored.letter.body.len(), stored.size),
        (MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTER_BYTES as u64 + 1)
    );
}

/// Text that hardly compresses.
fn noise(seed: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut bytes = vec![0; 32 << 10];
    hasher.finalize_xof().fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n"
}

#[test]
fn what_is_too_old_is_deleted_in_steps_and_the_last_number_is_not_given_again() {
    let rig = Rig::new();
    let opened = rig.open();
    let (journal, limits) = (opened.journal.clone(), Limits::default());
    let mut steps = Steps::new(opened);
    for number in 0..300 {
        steps.append("a\n", &[number]).unwrap();
    }
    save(&mut steps, 0, vec![alert("open", 1, None), alert("old", 1, Some(2))]);
    let now = crate::intake::now();
    let connection = &mut steps.worker.connection;
    let young = retention::step(connection, now, &limits, Some(1)).unwrap();
    assert_eq!((young.expired_blocks, young.displaced_blocks), (0, 0));
    let later = now.after(limits.max_age + Duration::from_secs(60));
    let first = retention::step(connection, later, &limits, Some(1)).unwrap();
    assert!(first.has_more && first.expired_blocks < 299);
    let second = retention::step(connection, later, &limits, None).unwrap();
    assert_eq!(first.expired_blocks + second.expired_blocks, 299);
    assert!(!retention::step(connection, later, &limits, None).unwrap().has_more);
    assert_eq!(stored(&journal).len(), 1);
    assert_eq!(retention::sweep(connection, now, &limits).unwrap(), 1);
    let ids: Vec<_> = journal.alerts(&AlertFilter::default(), 10).unwrap().rows;
    assert_eq!(ids, [alert("open", 1, None)]);
    let seen: i64 = connection.query_row("SELECT count(*) FROM seen", [], |row| row.get(0)).unwrap();
    assert_eq!(seen, 0);
    drop(steps);
    assert_eq!(Steps::new(rig.open()).append("a\n", &[]).unwrap().block, 301);
}

#[test]
fn what_is_too_much_is_deleted_although_it_is_young_and_the_file_becomes_smaller() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    for number in 0..300 {
        steps.append(&noise(number), &[]).unwrap();
    }
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let mut displaced = 0;
    let size = |connection: &rusqlite::Connection| {
        connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap() * 4096
    };
    let before = size(&steps.worker.connection);
    loop {
        let step =
            retention::step(&mut steps.worker.connection, crate::intake::now(), &limits, None).unwrap();
        displaced += step.displaced_blocks;
        assert_eq!(step.displaced_until.is_some(), step.displaced_blocks > 0);
        assert!(step.displaced_blocks < 100);
        if !step.has_more {
            assert!(step.used_bytes <= limits.max_bytes, "{step:?}");
            break;
        }
    }
    let kept = stored(&journal);
    assert_eq!(kept.len() as u64 + displaced, 300);
    assert!(kept.len() > 10 && kept.last().unwrap().0 == 300);
    let after = size(&steps.worker.connection);
    assert!(before > 9 << 20 && after < 6 << 20, "{before} and {after}");
}

#[test]
fn the_thread_keeps_the_house() {
    let rig = Rig::new();
    let limits = Limits { max_bytes: 1 << 20, max_offsets: 2, max_alerts: 2, ..Limits::default() };
    let mut steps = Steps::new(rig.open());
    for number in 0..60 {
        steps.append(&noise(number), &[]).unwrap();
    }
    for log in ["a", "b", "c"] {
        let flowing = vec![with_offset(record(log, "x\n"), log)];
        steps.turn(Taken { flowing, ..Taken::default() });
        std::thread::sleep(GATHER);
        steps.turn(Taken::default());
    }
    let alerts = vec![alert("a1", 1, None), alert("a2", 2, None), alert("a3", 3, None), alert("a4", 4, None)];
    save(&mut steps, 0, alerts);
    drop(steps);
    let opened = rig.open_with(limits);
    let journal = opened.journal.clone();
    let (writer, running, _blocks) = start(opened);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while writer.counts().used_bytes > limits.max_bytes || writer.counts().displaced_blocks == 0 {
        assert!(std::time::Instant::now() < deadline, "{:?}", writer.counts());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(writer);
    running.join().unwrap();
    assert!(stored(&journal).len() < 60);
    let found = rig.open().found;
    assert_eq!(found.offsets.into_keys().collect::<Vec<_>>(), ["b", "c"]);
    // Open alerts are not deleted, however many there are.
    assert_eq!(journal.open_alerts().unwrap().rows.len(), 4);
}

#[test]
fn reading_begins_where_lines_of_that_time_are() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    // The clock went back in between.
    for at in [10, 20, 15, 30] {
        let (mut record, _answer) = awaited(&format!("{at}\n"), &[]);
        record.lines.received = Timestamp::from_seconds(at);
        steps.turn(Taken { awaited: vec![record], ..Taken::default() });
    }
    for (from, expected) in
        [(0, &[1, 2, 3, 4][..]), (10, &[1, 2, 3, 4]), (16, &[2, 3, 4]), (21, &[4]), (31, &[])]
    {
        let blocks = journal.read_from(Timestamp::from_seconds(from)).unwrap();
        let numbers: Vec<u64> = blocks.map(|block| block.unwrap().number).collect();
        assert_eq!(numbers, expected, "from {from}");
    }
    // An index that cannot be read hides nothing.
    let no_index = "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'blocks_at'";
    steps.worker.connection.execute_batch(no_index).unwrap();
    let blocks = journal.read_from(Timestamp::from_seconds(10)).unwrap();
    assert_eq!(blocks.map(|block| block.unwrap().number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let numbers =
        |after| journal.read_after(after).unwrap().map(|block| block.unwrap().number).collect::<Vec<_>>();
    assert_eq!((numbers(2), numbers(9)), (vec![3, 4], vec![]));
}
