//! Disks that are full, files that are damaged, keys that do not fit.

use rusqlite::Connection;

use super::super::queue::Taken;
use super::*;

fn pending(texts: &[&str]) -> Taken {
    Taken { flowing: texts.iter().map(|text| record("file", text)).collect(), ..Taken::default() }
}

/// Waits until it is tried again.
fn wait_and_try(steps: &mut Steps) {
    std::thread::sleep(std::time::Duration::from_millis(450));
    steps.turn(Taken::default());
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    steps.fill_disk(true);
    let large = "x".repeat(1 << 16) + "\n";
    let text: String = (0..40_000_u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    assert_eq!(steps.append(&text, &[1]), Err(Failed::Full));
    assert_eq!(steps.append(&text, &[1]), Err(Failed::Full));
    assert_eq!(steps.handed_on, []);
    // What nobody waits for is handed on, and kept.
    steps.turn(pending(&["a\n", &text]));
    std::thread::sleep(GATHER);
    steps.turn(Taken::default());
    assert_eq!(steps.append(&large, &[2]), Err(Failed::Full));
    let handed_on = steps.handed_on.clone();
    assert_eq!(
        handed_on.iter().map(|(number, done, _)| (*number, *done)).collect::<Vec<_>>(),
        [(1, false), (1, true)]
    );
    // And so is what came of counting, unless somebody is told that it is not.
    let (saved, mut answer) = oneshot::channel();
    let alerts = vec![super::keeping::alert("kept", 1, None)];
    steps.turn(Taken {
        changes: vec![
            Change::Save(Changes { alerts, ..Changes::default() }),
            Change::Save(Changes { counted_up_to: 1, saved: Some(saved), ..Changes::default() }),
        ],
        ..Taken::default()
    });
    assert_eq!(steps.append(&large, &[2]), Err(Failed::Full));
    assert_eq!(answer.try_recv().unwrap(), Err(Failed::Full));
    assert_eq!(stored(&journal), []);
    let counts = steps.worker.counters().read();
    assert!(counts.failed_commits[Failed::Full as usize] >= 5, "{counts:?}");
    assert_eq!((counts.failed_records, counts.commits, counts.blocks), (4, 0, 0));

    steps.fill_disk(false);
    // Keys of what failed are not known.
    assert_eq!(steps.append(&text, &[1]), Ok(Stored { block: 2, duplicates: 0 }));
    assert_eq!(stored(&journal).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(steps.handed_on.len(), handed_on.len() + 1);
    assert_eq!(journal.open_alerts().unwrap().rows.len(), 1);
    drop(steps);
    assert_eq!(rig.open().found.counted_up_to, 0);
}

#[test]
fn what_nobody_waits_for_is_tried_again_by_itself_and_no_more_is_taken_before() {
    let rig = Rig::new();
    let opened = rig.open();
    let journal = opened.journal.clone();
    let mut steps = Steps::new(opened);
    let text: String = (0..40_000_u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    steps.fill_disk(true);
    steps.turn(pending(&[&text]));
    std::thread::sleep(GATHER);
    steps.turn(Taken::default());
    assert_eq!(steps.worker.wanted().flowing_room, 0);
    wait_and_try(&mut steps);
    steps.fill_disk(false);
    wait_and_try(&mut steps);
    assert_eq!(stored(&journal), [(1, text.clone())]);
    assert_eq!(steps.handed_on, [(1, false, text), (1, true, String::new())]);
    assert!(steps.worker.wanted().flowing_room > 0);
}

#[test]
fn what_cannot_be_stored_does_not_keep_the_service_from_stopping() {
    let rig = Rig::new();
    let opened = rig.open();
    opened.worker.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let (writer, running, blocks) = start(opened);
    let text: String = (0..40_000_u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    for _ in 0..8 {
        writer.append(record("file", &text)).unwrap();
    }
    let counters = writer.clone();
    writer.close();
    running.join().unwrap();
    let handed_on = blocks.iter().filter(|block| !block.lines.is_empty()).count() as u64;
    assert!((1..8).contains(&handed_on));
    assert_eq!(counters.counts().abandoned_records, 8);
}

#[test]
fn another_key_is_refused_and_a_file_of_another_program_too() {
    let rig = Rig::new();
    Steps::new(rig.open()).append("a\n", &[]).unwrap();
    let other = Key::load_or_create(&rig.dir.path().join("other")).unwrap();
    let open = |path: PathBuf, key: &Key| Journal::open(&path, key, Limits::default()).err().unwrap();
    assert!(matches!(open(rig.path(), &other), OpenError::OtherKey));
    let foreign = rig.dir.path().join("cookies.db");
    Connection::open(&foreign).unwrap().execute("CREATE TABLE cookies (x)", []).unwrap();
    assert!(matches!(open(foreign, &rig.key), OpenError::Foreign));
    let text = rig.dir.path().join("text.db");
    std::fs::write(&text, "no database at all, but a text that is long enough to be one".repeat(100))
        .unwrap();
    assert!(matches!(open(text, &rig.key), OpenError::Corrupt(_)));
    let nowhere = rig.dir.path().join("missing/watchbell.db");
    assert!(matches!(open(nowhere, &rig.key), OpenError::Create(..)));
    rig.open();
}

#[test]
fn a_block_that_cannot_be_read_is_told_and_the_others_are_read() {
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    for number in 1..=6 {
        steps.append(&format!("{number}\n"), &[]).unwrap();
    }
    drop(steps);
    let connection = Connection::open(rig.path()).unwrap();
    for statement in [
        "UPDATE blocks SET body = zeroblob(100) WHERE number = 2",
        // Moved from another place.
        "UPDATE blocks SET body = (SELECT body FROM blocks WHERE number = 1) WHERE number = 3",
        "UPDATE blocks SET body = 'text' WHERE number = 4",
        "DELETE FROM blocks WHERE number = 5",
    ] {
        connection.execute(statement, []).unwrap();
    }
    drop(connection);
    let opened = rig.open();
    let found = &opened.found;
    assert_eq!((found.last_block, found.missing_blocks, found.checked_blocks), (6, 1, 5));
    let numbers: Vec<u64> = found.unreadable.iter().map(|block| block.number).collect();
    assert_eq!((found.unreadable_blocks, numbers), (3, vec![4, 3, 2]));
    let read: Vec<_> = opened.journal.read_after(0).unwrap().collect();
    let numbers: Vec<_> =
        read.iter().map(|block| block.as_ref().map(|b| b.number).map_err(|e| e.number)).collect();
    assert_eq!(numbers, [Ok(1), Err(2), Err(3), Err(4), Ok(6)]);
    let check = opened.journal.check(|_| {}).unwrap();
    assert_eq!((check.blocks, check.unreadable.len(), check.faults.len()), (2, 3, 0));
    assert_eq!((check.lines, check.unreadable_blocks, check.missing_blocks), (2, 3, 1));
    assert!(!check.is_well());
    assert_eq!(Steps::new(opened).append("7\n", &[]).unwrap().block, 7);
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let mut steps = Steps::new(rig.open());
    steps.append("secret words\n", &[]).unwrap();
    for entry in std::fs::read_dir(rig.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
}
