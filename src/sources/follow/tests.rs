//! What rotates files, done to a watch a step at a time: every line is read once, in order.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tempfile::TempDir;

use super::Start;
use super::checkpoint::{Books, store};
use super::watch::{MAX_FILES, Wanted, Watch};
use crate::decode::{Format, Tally};
use crate::intake::now as wall_clock;
use crate::sources::Metrics;

struct Rig {
    dir: TempDir,
    watch: Watch,
    now: Instant,
    registry: Registry,
    metrics: Metrics,
    glob: &'static str,
    start: Start,
    written: u32,
}

impl Rig {
    fn new(glob: &'static str, start: Start) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let now = Instant::now();
        let watch = watch(&dir, glob, start, Books::default(), &metrics, now);
        Self { dir, watch, now, registry, metrics, glob, start, written: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes lines that no other line is like, and says which.
    fn write(&mut self, name: &str, count: u32) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        self.write_to(&mut file, count);
    }

    fn write_to(&mut self, file: &mut File, count: u32) {
        let lines: String = (self.written..self.written + count).map(|n| format!("line {n}\n")).collect();
        self.written += count;
        file.write_all(lines.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Lets time pass.
    fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    /// Reads until nothing comes for a while, and counts what was read.
    fn read(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut quiet = 0;
        while quiet < 12 {
            let pieces = self.watch.round(self.now).pieces;
            quiet = if pieces.is_empty() { quiet + 1 } else { 0 };
            for (serial, _, piece) in pieces {
                lines.extend(piece.texts.iter().flat_map(|(text, _)| text.lines().map(str::to_owned)));
                let tally = Tally { lines: 1, events: 1, ..Tally::default() };
                self.watch.counted(serial, Some(piece.mark), Some(&tally));
            }
            self.wait(Duration::from_millis(100));
        }
        lines
    }

    /// Reads the next lines that were written, all of them and in order.
    fn expect(&mut self, lines: std::ops::Range<u32>) {
        let want: Vec<String> = lines.map(|n| format!("line {n}")).collect();
        assert_eq!(self.read(), want);
    }

    /// Stops, and starts again with what was stored.
    fn restart(&mut self, between: impl FnOnce(&mut Self)) {
        let path = self.path("state.json");
        store(&path, &self.watch.books.to_json(wall_clock())).unwrap();
        between(self);
        self.start_again();
    }

    fn start_again(&mut self) {
        let books = Books::load(&self.path("state.json")).unwrap_or_default();
        self.watch = watch(&self.dir, self.glob, self.start, books, &self.metrics, self.now);
    }

    fn errors(&self, reason: &str) -> f64 {
        self.metric("errors_total", reason)
    }

    fn rotations(&self) -> f64 {
        self.metric("rotations_total", "test")
    }

    /// The sum of a metric over all series with this label.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let name = format!("watchbell_source_{name}");
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let is_it = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().any(|other| other.value() == label)
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.get_metric().iter().filter(is_it).map(value).sum()
    }

    /// How many files are followed, and how many paths have none.
    fn files(&self) -> (f64, f64) {
        (self.metric("files", "test"), self.metric("paths_without_file", "test"))
    }
}

fn watch(dir: &TempDir, glob: &str, start: Start, books: Books, metrics: &Metrics, now: Instant) -> Watch {
    let wanted = Wanted {
        source: "test".into(),
        tenant: "".into(),
        patterns: vec![dir.path().join(glob).to_string_lossy().into_owned()],
        format: Some(Format::Combined),
        start,
    };
    Watch::new(wanted, books, Arc::new(metrics.source("test")), now)
}

/// Both with the rotated files in the pattern and without.
const GLOBS: [&str; 2] = ["access.log", "access.log*"];

#[test]
fn a_file_that_is_there_is_read_from_its_end_and_one_that_appears_from_its_beginning() {
    let mut rig = Rig::new("*.log", Start::End);
    rig.write("access.log", 3);
    let half = "half a line, ";
    OpenOptions::new().append(true).open(rig.path("access.log")).unwrap().write_all(half.as_bytes()).unwrap();
    assert_eq!(rig.read(), [""; 0]);
    rig.write("access.log", 1);
    assert_eq!(rig.read(), [format!("{half}line 3")], "a line that was begun before is read whole");
    rig.write("other.log", 2);
    rig.expect(4..6);
}

#[test]
fn a_line_waits_for_its_end_as_long_as_its_file_is_there() {
    let mut rig = Rig::new("*.log", Start::Beginning);
    fs::write(rig.path("access.log"), "line 0\nline").unwrap();
    assert_eq!(rig.read(), ["line 0"]);
    rig.wait(Duration::from_secs(60));
    assert_eq!(rig.read(), [""; 0]);
    rig.rename("access.log", "gone");
    assert_eq!(rig.read(), [""; 0]);
    rig.wait(Duration::from_secs(6));
    assert_eq!(rig.read(), ["line"], "nobody will end it");
    OpenOptions::new().append(true).open(rig.path("gone")).unwrap().write_all(b" forged\nline 2\n").unwrap();
    assert_eq!(rig.read(), ["line 2"], "what still comes of it is no line of its own");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_what_follows_it_is_read() {
    let mut rig = Rig::new("*.log", Start::Beginning);
    let long = "x".repeat(1_000_000);
    fs::write(rig.path("access.log"), format!("line 0\n{long}\nline 1\n")).unwrap();
    let lines: Vec<usize> = rig.read().iter().map(String::len).collect();
    assert_eq!(lines, [6, crate::intake::MAX_TEXT_BYTES - 1, 6]);
    assert_eq!(rig.errors("too_long"), 1.0);
}

#[test]
fn a_rotation_by_renaming_loses_nothing() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::Beginning);
        rig.write("access.log", 3);
        rig.expect(0..3);
        let mut writer = OpenOptions::new().append(true).open(rig.path("access.log")).unwrap();
        rig.rename("access.log", "access.log.1");
        // The server still has the old file open.
        rig.write_to(&mut writer, 10_000);
        rig.write("access.log", 3);
        rig.expect(3..10_006);
        rig.write_to(&mut writer, 1);
        rig.expect(10_006..10_007);
        rig.write("access.log", 1);
        rig.expect(10_007..10_008);
    }
}

#[test]
fn a_file_that_was_rotated_is_let_go_after_a_while_and_not_read_again() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::Beginning);
        rig.write("access.log", 3);
        rig.expect(0..3);
        rig.rename("access.log", "access.log.1");
        rig.write("access.log", 1);
        rig.expect(3..4);
        rig.wait(Duration::from_secs(31));
        rig.expect(4..4);
        assert_eq!(rig.watch.files.len(), if glob == GLOBS[0] { 1 } else { 2 }, "{glob}");
        rig.rename("access.log.1", "access.log.2");
        rig.rename("access.log", "access.log.1");
        rig.write("access.log", 1);
        rig.expect(4..5);
        // It is deleted after it was compressed.
        fs::write(rig.path("access.log.2.gz"), "line 0\n").unwrap();
        fs::remove_file(rig.path("access.log.2")).unwrap();
        rig.wait(Duration::from_secs(31));
        rig.expect(5..5);
        rig.wait(Duration::from_secs(31));
        rig.expect(5..5);
        assert_eq!(rig.watch.files.len(), if glob == GLOBS[0] { 1 } else { 2 }, "{glob}");
    }
}

#[test]
fn files_that_came_and_went_between_two_looks_are_read_in_order() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::End);
        // A piece that is older than anything that is followed.
        fs::write(rig.path("access.log.1"), "old\n").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::options().append(true).open(rig.path("access.log.1")).unwrap().set_modified(long_ago).unwrap();
        rig.write("access.log", 1);
        rig.expect(0..0);
        rig.write("access.log", 2);
        for _ in 0..3 {
            for number in (1..5).rev() {
                let from = rig.path(&format!("access.log.{number}"));
                let _ = fs::rename(from, rig.path(&format!("access.log.{}", number + 1)));
            }
            rig.rename("access.log", "access.log.1");
            rig.write("access.log", 2);
            // File times are those of the last tick of the kernel.
            std::thread::sleep(Duration::from_millis(20));
        }
        rig.expect(1..9);
    }
}

#[test]
fn a_file_that_is_emptied_after_copying_is_read_from_its_beginning_and_the_copy_is_not() {
    for glob in GLOBS {
        for lines in [3, 500] {
            let mut rig = Rig::new(glob, Start::Beginning);
            let mut writer =
                OpenOptions::new().create(true).append(true).open(rig.path("access.log")).unwrap();
            rig.write_to(&mut writer, lines);
            rig.expect(0..lines);
            for round in 1..4 {
                fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
                writer.set_len(0).unwrap();
                // Once less, once more and once as much as before.
                let count = lines * round / 2;
                let from = rig.written;
                rig.write_to(&mut writer, count);
                rig.expect(from..from + count);
            }
        }
    }
}

#[test]
fn what_was_not_read_before_a_file_was_emptied_is_read_from_the_copy() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::Beginning);
        let mut writer = OpenOptions::new().create(true).append(true).open(rig.path("access.log")).unwrap();
        rig.write_to(&mut writer, 5);
        rig.expect(0..5);
        rig.write_to(&mut writer, 5);
        fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
        writer.set_len(0).unwrap();
        rig.write_to(&mut writer, 2);
        rig.expect(5..12);
    }
}

#[test]
fn a_writer_that_goes_on_at_its_old_place_leaves_a_hole_that_is_skipped() {
    let mut rig = Rig::new("access.log", Start::Beginning);
    let mut writer = File::create(rig.path("access.log")).unwrap();
    rig.write_to(&mut writer, 20_000);
    rig.expect(0..20_000);
    writer.set_len(0).unwrap();
    rig.write_to(&mut writer, 5);
    rig.expect(20_000..20_005);
}

#[test]
fn a_file_that_is_emptied_and_written_to_the_same_size_is_read_again() {
    let mut rig = Rig::new("access.log", Start::Beginning);
    let mut writer = OpenOptions::new().create(true).append(true).open(rig.path("access.log")).unwrap();
    rig.write_to(&mut writer, 4);
    rig.expect(0..4);
    writer.set_len(0).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    rig.write_to(&mut writer, 4);
    rig.expect(4..8);
}

#[test]
fn a_file_that_is_written_anew_with_what_it_had_is_read_on() {
    let mut rig = Rig::new("access.log", Start::Beginning);
    rig.write("access.log", 500);
    rig.expect(0..500);
    // As `sed -i` and many editors do.
    fs::copy(rig.path("access.log"), rig.path("temporary")).unwrap();
    rig.rename("temporary", "access.log");
    rig.write("access.log", 5);
    rig.expect(500..505);
}

#[test]
fn a_copy_is_left_alone_until_it_is_complete() {
    let mut rig = Rig::new("access.log*", Start::Beginning);
    rig.write("access.log", 500);
    rig.expect(0..500);
    let text = fs::read(rig.path("access.log")).unwrap();
    let mut copy = File::create(rig.path("access.log.1")).unwrap();
    for piece in text.chunks(text.len() / 5 + 1) {
        copy.write_all(piece).unwrap();
        for _ in 0..5 {
            assert!(rig.watch.round(rig.now).pieces.is_empty());
            rig.wait(Duration::from_millis(100));
        }
    }
    rig.expect(500..500);
}

#[test]
fn a_log_that_looks_like_a_rotated_piece_is_a_log() {
    let mut rig = Rig::new("worker*", Start::Beginning);
    rig.write("worker", 1);
    rig.write("worker.1", 1);
    rig.expect(0..2);
    let mut lines = 0;
    // One that never rests.
    for _ in 0..100 {
        rig.write("worker.2", 1);
        lines += rig.watch.round(rig.now).pieces.iter().map(|(_, _, piece)| piece.lines).sum::<u64>();
        rig.wait(Duration::from_millis(500));
    }
    assert!(lines > 90, "{lines}");
}

#[test]
fn a_file_is_deleted_and_made_again() {
    let mut rig = Rig::new("access.log", Start::Beginning);
    for round in 0..3 {
        rig.write("access.log", 5);
        rig.expect(round * 5..round * 5 + 5);
        fs::remove_file(rig.path("access.log")).unwrap();
        if round == 1 {
            // Long enough that it is let go, and its inode is free.
            rig.expect(10..10);
            rig.wait(Duration::from_secs(31));
            rig.expect(10..10);
            assert_eq!(rig.watch.files.len(), 0);
        }
    }
}

#[test]
fn a_symbolic_link_that_points_elsewhere_is_a_rotation_and_two_names_are_one_file() {
    let mut rig = Rig::new("*.log", Start::Beginning);
    rig.write("a.log", 1);
    std::os::unix::fs::symlink(rig.path("a.log"), rig.path("current.log")).unwrap();
    rig.expect(0..1);
    rig.write("b", 1);
    fs::remove_file(rig.path("current.log")).unwrap();
    std::os::unix::fs::symlink(rig.path("b"), rig.path("current.log")).unwrap();
    rig.expect(1..2);
    rig.write("a.log", 1);
    rig.write("current.log", 1);
    assert_eq!(rig.read().len(), 2);
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::End);
        rig.write("access.log", 3);
        rig.expect(0..0);
        rig.write("access.log", 3);
        rig.expect(3..6);
        rig.restart(|rig| rig.write("access.log", 3));
        rig.expect(6..9);
        rig.restart(|_| ());
        rig.expect(9..9);
    }
}

#[test]
fn lines_that_were_not_counted_are_read_again_after_a_restart() {
    let mut rig = Rig::new("access.log", Start::Beginning);
    rig.write("access.log", 3);
    rig.expect(0..3);
    rig.write("access.log", 3);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.watch.round(rig.now).pieces.len(), 1, "read, and not counted");
    rig.restart(|_| ());
    rig.expect(3..6);
}

#[test]
fn files_that_were_rotated_while_nobody_looked_are_read_to_their_ends_in_order() {
    for glob in GLOBS {
        for rotations in 1..4 {
            let mut rig = Rig::new(glob, Start::End);
            rig.write("access.log", 500);
            rig.expect(0..0);
            rig.write("access.log", 10);
            rig.expect(500..510);
            rig.restart(|rig| {
                rig.write("access.log", 20_000);
                for _ in 0..rotations {
                    for number in (1..5).rev() {
                        let from = rig.path(&format!("access.log.{number}"));
                        let _ = fs::rename(from, rig.path(&format!("access.log.{}", number + 1)));
                    }
                    rig.rename("access.log", "access.log.1");
                    rig.write("access.log", 10);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            rig.expect(510..20_510 + rotations * 10);
            assert_eq!(rig.errors("gone"), 0.0);
            rig.restart(|_| ());
            rig.expect(0..0);
            assert_eq!(rig.errors("gone"), 0.0);
        }
    }
}

#[test]
fn a_log_that_was_rotated_before_it_was_ever_seen_is_read() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::End);
        fs::write(rig.path("access.log.1"), "old\n").unwrap();
        // Longer than the clocks of files may be wrong.
        std::thread::sleep(Duration::from_millis(150));
        rig.expect(0..0);
        rig.rename("access.log.1", "access.log.2");
        std::thread::sleep(Duration::from_millis(20));
        rig.write("access.log", 3);
        rig.rename("access.log", "access.log.1");
        rig.write("access.log", 3);
        rig.expect(0..6);
    }
}

#[test]
fn a_piece_is_read_even_if_no_log_has_followed_it_yet() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::End);
        rig.write("access.log", 5);
        rig.expect(0..0);
        rig.restart(|rig| {
            rig.write("access.log", 5);
            rig.rename("access.log", "access.log.2");
            rig.write("access.log", 5);
            rig.rename("access.log", "access.log.1");
        });
        rig.expect(5..15);
        rig.write("access.log", 5);
        rig.expect(15..20);
    }
}

#[test]
fn a_file_that_was_emptied_while_nobody_looked_is_read_with_the_rest_of_its_copy() {
    for glob in GLOBS {
        let mut rig = Rig::new(glob, Start::End);
        rig.write("access.log", 500);
        rig.expect(0..0);
        rig.restart(|rig| {
            rig.write("access.log", 10);
            fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
            OpenOptions::new().write(true).open(rig.path("access.log")).unwrap().set_len(0).unwrap();
            rig.write("access.log", 10);
        });
        rig.expect(500..520);
    }
}

#[test]
fn a_file_that_was_compressed_while_nobody_looked_is_counted_as_gone() {
    let mut rig = Rig::new("access.log", Start::End);
    rig.write("access.log", 5);
    rig.expect(0..0);
    rig.restart(|rig| {
        rig.rename("access.log", "access.log.1.gz");
        rig.write("access.log", 5);
    });
    rig.expect(5..10);
    assert_eq!(rig.errors("gone"), 1.0);
}

#[test]
fn without_its_checkpoint_a_source_starts_as_it_is_told_to() {
    for (start, want) in [(Start::End, 6..6), (Start::Beginning, 0..6)] {
        let mut rig = Rig::new("access.log", start);
        rig.write("access.log", 6);
        rig.read();
        rig.restart(|rig| fs::write(rig.path("state.json"), "{\"version\":").unwrap());
        rig.expect(want);
    }
}

#[test]
fn a_file_that_appeared_while_nobody_looked_is_new() {
    let mut rig = Rig::new("*.log", Start::End);
    rig.write("access.log", 1);
    rig.write("old.txt", 1);
    rig.expect(0..0);
    // Longer than the clocks of files may be wrong.
    std::thread::sleep(Duration::from_millis(150));
    rig.restart(|rig| {
        // Older than the checkpoint: it was there and was not wanted.
        rig.rename("old.txt", "old.log");
        rig.write("new.log", 1);
    });
    rig.expect(2..3);
}

#[test]
fn there_are_not_too_many_files() {
    let mut rig = Rig::new("*.log", Start::Beginning);
    for number in 0..MAX_FILES + 10 {
        fs::write(rig.path(&format!("{number}.log")), format!("{number}\n")).unwrap();
    }
    let lines = rig.read().len();
    assert_eq!(lines, MAX_FILES);
    assert!(rig.errors("too_many_files") >= 1.0);
    for file in rig.watch.files.values() {
        fs::remove_file(&file.path).unwrap();
    }
    rig.read();
    rig.wait(Duration::from_secs(31));
    assert_eq!(rig.read().len(), 10, "there is room for the others now");
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut rig = Rig::new("*.log", Start::Beginning);
    fs::create_dir(rig.path("a.log")).unwrap();
    std::os::unix::net::UnixListener::bind(rig.path("b.log")).unwrap();
    std::process::Command::new("mkfifo").arg(rig.path("c.log")).status().unwrap();
    std::os::unix::fs::symlink(rig.path("d.log"), rig.path("d.log")).unwrap();
    rig.write("e.log", 1);
    rig.expect(0..1);
}

#[test]
fn a_path_without_a_file_is_counted_when_that_begins_and_ends() {
    for glob in ["access.log", "*.log"] {
        let mut rig = Rig::new(glob, Start::Beginning);
        fs::write(rig.path("access.log.1.gz"), "old").unwrap();
        rig.watch.start(rig.now);
        assert_eq!((rig.files(), rig.errors("no_file")), ((0.0, 1.0), 1.0), "known at the start");
        rig.wait(Duration::from_secs(60));
        rig.expect(0..0);
        assert_eq!(rig.errors("no_file"), 1.0, "and counted once");
        rig.write("access.log", 1);
        rig.expect(0..1);
        assert_eq!(rig.files(), (1.0, 0.0));
        fs::remove_file(rig.path("access.log")).unwrap();
        rig.watch.round(rig.now);
        assert_eq!(rig.files().1, 0.0, "a rotation leaves nothing at the path for a moment");
        for _ in 0..3 {
            rig.expect(1..1);
        }
        assert_eq!((rig.files(), rig.errors("no_file")), ((0.0, 1.0), 2.0), "{glob}");
    }
}

#[test]
fn a_file_that_has_gone_or_become_something_else_is_counted_once_and_not_as_followed() {
    type Harm = fn(&Rig);
    let cases: [(&str, Harm); 4] = [
        ("vanished", |rig| fs::remove_file(rig.path("a.log")).unwrap()),
        ("vanished", |rig| rig.rename("a.log", "elsewhere")),
        ("not_a_file", |rig| {
            rig.rename("a.log", "elsewhere");
            fs::create_dir(rig.path("a.log")).unwrap();
        }),
        ("not_a_file", |rig| {
            fs::remove_file(rig.path("a.log")).unwrap();
            std::process::Command::new("mkfifo").arg(rig.path("a.log")).status().unwrap();
        }),
    ];
    for (number, (reason, harm)) in cases.into_iter().enumerate() {
        let mut rig = Rig::new("*.log", Start::Beginning);
        rig.write("a.log", 1);
        rig.write("b.log", 1);
        rig.expect(0..2);
        harm(&rig);
        for _ in 0..30 {
            rig.expect(0..0);
        }
        assert_eq!(rig.files(), (1.0, 0.0), "{number}");
        assert_eq!(rig.errors(reason), 1.0, "{number}");
        assert_eq!(rig.rotations(), 0.0, "{number}");
        let _ = fs::remove_file(rig.path("a.log"));
        let _ = fs::remove_dir(rig.path("a.log"));
        rig.write("a.log", 1);
        rig.expect(2..3);
        assert_eq!((rig.files(), rig.errors(reason)), ((2.0, 0.0), 1.0), "{number}");
    }
}

/// Renames what is there, one piece further each, as logrotate does.
fn shift(rig: &Rig) {
    for number in (1..5).rev() {
        let from = rig.path(&format!("access.log.{number}"));
        let _ = fs::rename(from, rig.path(&format!("access.log.{}", number + 1)));
    }
}

#[test]
fn every_rotation_is_counted_once_however_it_is_done_and_restarts_count_none() {
    type Rotate = fn(&Rig);
    let rename: Rotate = |rig| {
        shift(rig);
        rig.rename("access.log", "access.log.1");
    };
    let copy: Rotate = |rig| {
        shift(rig);
        fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
        OpenOptions::new().write(true).open(rig.path("access.log")).unwrap().set_len(0).unwrap();
    };
    let empty: Rotate = |rig| fs::write(rig.path("access.log"), "").unwrap();
    for glob in GLOBS {
        for (name, rotate) in [("rename", rename), ("copy", copy), ("empty", empty)] {
            let mut rig = Rig::new(glob, Start::Beginning);
            rig.write("access.log", 500);
            rig.expect(0..500);
            let mut want = 0.0;
            // Watched, with time between and without, and while nobody looks.
            for round in 0..6 {
                let from = rig.written;
                match round {
                    4 | 5 => rig.restart(|rig| {
                        rotate(rig);
                        std::thread::sleep(Duration::from_millis(20));
                        rig.write("access.log", 100);
                    }),
                    _ => {
                        rotate(&rig);
                        rig.write("access.log", 100);
                    }
                }
                want += 1.0;
                rig.expect(from..from + 100);
                assert_eq!(rig.rotations(), want, "{glob} {name} {round}");
                rig.restart(|_| ());
                rig.expect(0..0);
                assert_eq!(rig.rotations(), want, "{glob} {name} {round}: a restart is no rotation");
                if round % 2 == 1 {
                    rig.wait(Duration::from_secs(31));
                    rig.expect(0..0);
                }
            }
            // Several between two looks, where copies tell of them.
            if name != "empty" {
                let from = rig.written;
                for _ in 0..3 {
                    rotate(&rig);
                    std::thread::sleep(Duration::from_millis(20));
                    rig.write("access.log", 100);
                }
                rig.expect(from..from + 300);
                assert_eq!(rig.rotations(), want + 3.0, "{glob} {name}");
            }
        }
    }
}
