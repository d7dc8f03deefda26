//! Looking into a file that somebody else writes, or nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;

use super::keeping::alert;
use super::*;

/// All files of a directory, what is in them, and when they were written.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), (std::fs::read(&path).unwrap(), written))
    });
    files.collect()
}

/// A journal with three blocks and an alert, that is still open for writing.
fn written(rig: &Rig) -> Steps {
    let mut steps = Steps::new(rig.open());
    for number in 1..=3 {
        steps.append(&format!("{number}\n"), &[number]).unwrap();
    }
    let alerts = vec![alert("a1", 10, None), alert("b1", 20, Some(30))];
    let (saved, _answer) = oneshot::channel();
    let changes =
        vec![Change::Save(Changes { counted_up_to: 2, alerts, saved: Some(saved), ..Changes::default() })];
    steps.turn(Taken { changes, ..Taken::default() });
    let flowing = vec![with_offset(record("log", "x\n"), "state")];
    steps.turn(Taken { flowing, ..Taken::default() });
    std::thread::sleep(GATHER);
    steps.turn(Taken::default());
    steps
}

/// Reads all that there is in several ways.
fn read(journal: &Journal) -> (usize, Overview) {
    assert!(journal.check(|_| {}).unwrap().is_well());
    assert_eq!(journal.open_alerts().unwrap().rows, [alert("a1", 10, None)]);
    (stored(journal).len(), journal.overview().unwrap())
}

#[test]
fn looking_makes_and_changes_nothing_whether_a_service_runs_has_ended_or_was_killed() {
    let rig = Rig::new();
    let steps = written(&rig);
    // As a kill leaves it: what was written is beside the file.
    let killed = tempfile::tempdir().unwrap();
    for name in ["watchbell.db", "watchbell.db-wal", "watchbell.db-shm"] {
        std::fs::copy(rig.dir.path().join(name), killed.path().join(name)).unwrap();
    }
    let running = Journal::read_only(&rig.path(), &rig.key).unwrap();
    let (blocks, overview) = read(&running);
    drop(steps);
    assert_eq!(blocks, 4);
    let numbers = (overview.blocks, overview.first_block, overview.last_block, overview.counted_up_to);
    assert_eq!(numbers, (4, 1, 4, 2));
    assert_eq!((overview.open_alerts, overview.resolved_alerts, overview.keys), (1, 1, 3));
    let offset = StoredOffset { log: "log".to_owned(), block: 4, state: b"state".to_vec() };
    assert_eq!(overview.offsets, [offset]);
    assert!(overview.first_at.is_some() && overview.first_at <= overview.last_at);
    assert!(overview.used_bytes > 0 && overview.used_bytes <= overview.file_bytes);
    // A journal that was opened while a service ran goes on when it has ended, and one that was not when it has begun.
    assert_eq!(read(&running).0, 4);
    assert!(!rig.dir.path().join("watchbell.db-wal").exists(), "it has ended well");
    for directory in [rig.dir.path(), killed.path()] {
        let before = files(directory);
        let journal = Journal::read_only(&directory.join("watchbell.db"), &rig.key).unwrap();
        assert_eq!(read(&journal), (4, overview.clone()), "{}", directory.display());
        drop(journal);
        assert!(files(directory) == before, "{}: {:?}", directory.display(), files(directory).keys());
    }
    let ended = Journal::read_only(&rig.path(), &rig.key).unwrap();
    let mut steps = Steps::new(rig.open());
    steps.append("another\n", &[]).unwrap();
    assert_eq!(read(&ended).0, 5);
}

#[test]
fn a_reader_sees_what_is_committed_and_the_writer_goes_on() {
    let rig = Rig::new();
    let mut steps = written(&rig);
    let journal = Journal::read_only(&rig.path(), &rig.key).unwrap();
    let mut blocks = journal.read_after(0).unwrap();
    blocks.next().unwrap().unwrap();
    for _ in 0..50 {
        steps.append("more\n", &[]).unwrap();
    }
    assert_eq!(blocks.map(|block| block.unwrap().number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(journal.overview().unwrap().blocks, 54);
}

#[test]
fn what_was_written_last_is_not_left_out_for_want_of_a_file_beside_it() {
    let rig = Rig::new();
    let steps = written(&rig);
    let copied = tempfile::tempdir().unwrap();
    for name in ["watchbell.db", "watchbell.db-wal"] {
        std::fs::copy(rig.dir.path().join(name), copied.path().join(name)).unwrap();
    }
    drop(steps);
    let path = copied.path().join("watchbell.db");
    let error = Journal::read_only(&path, &rig.key).err().unwrap();
    assert!(matches!(error, OpenError::Apart(..)), "{error}");
    // What the error advises.
    std::fs::write(copied.path().join("watchbell.db-shm"), "").unwrap();
    assert_eq!(read(&Journal::read_only(&path, &rig.key).unwrap()).0, 4);
}

#[test]
fn what_is_no_journal_of_this_key_and_version_is_refused_and_left_alone() {
    let rig = Rig::new();
    drop(written(&rig));
    let path = |name: &str| rig.dir.path().join(name);
    std::fs::write(path("empty.db"), "").unwrap();
    std::fs::write(path("text.db"), "no database at all, but long enough to be one".repeat(100)).unwrap();
    Connection::open(path("cookies.db")).unwrap().execute("CREATE TABLE cookies (x)", []).unwrap();
    for (name, version) in [("earlier.db", 0), ("later.db", 99)] {
        std::fs::copy(rig.path(), path(name)).unwrap();
        let connection = Connection::open(path(name)).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    }
    let other = Key::load_or_create(&path("other")).unwrap();
    let before = files(rig.dir.path());
    for (name, key, expected) in [
        ("nowhere.db", &rig.key, "there is no journal at"),
        ("no/directory.db", &rig.key, "there is no journal at"),
        ("empty.db", &rig.key, "there is no journal at"),
        ("text.db", &rig.key, "damaged"),
        ("cookies.db", &rig.key, "not a journal"),
        ("earlier.db", &rig.key, "start the service"),
        ("later.db", &rig.key, "use a newer one"),
        ("watchbell.db", &other, "another key"),
    ] {
        let error = Journal::read_only(&path(name), key).err().unwrap().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert!(files(rig.dir.path()) == before);
}

#[test]
fn a_path_may_have_any_name() {
    let rig = Rig::new();
    drop(written(&rig));
    let directory = rig.dir.path().join("a b?mode=rw#c%20&ü");
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("watchbell.db");
    std::fs::rename(rig.path(), &path).unwrap();
    assert_eq!(read(&Journal::read_only(&path, &rig.key).unwrap()).0, 4);
}
