//! `watchbell baseline`: a series on standard input, scores on standard output.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn baseline(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .arg("baseline")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that has had enough closes the pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Lines of output, and scores of those that have one.
fn rows(output: &Output) -> Vec<(String, f64)> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| {
            let (row, score) = line.rsplit_once(',').unwrap();
            (row.to_owned(), score.parse().unwrap_or(f64::NAN))
        })
        .collect()
}

/// Two days of minutes, about 100 each, with a spike and an outage.
fn series(time: impl Fn(u32) -> String) -> Vec<String> {
    let value = |n: u32| match n {
        2_000..2_003 => 600,
        2_500..2_510 => 0,
        n => 95 + n * 7_919 % 11,
    };
    (0..2_880).map(|n| format!("{},{}", time(n), value(n))).collect()
}

fn seconds(n: u32) -> String {
    (1_767_571_200 + n * 60).to_string()
}

fn iso(n: u32) -> String {
    format!("2026-01-{:02} {:02}:{:02}:00", 5 + n / 1_440, n / 60 % 24, n % 60)
}

#[test]
fn every_row_has_a_score_and_what_is_surprising_has_the_highest() {
    let expected = baseline(&[], &series(seconds).join("\n"));
    assert!(expected.status.success());
    let scored = rows(&expected);
    assert_eq!(scored.len(), 2_880);
    assert_eq!(scored[0], ("1767571200,95".to_owned(), 0.0), "rows are as they came");
    assert!(scored.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
    assert!(scored[2_000].1 > 0.5 && scored[2_500].1 > 0.5, "{:?} {:?}", scored[2_000], scored[2_500]);
    let elsewhere =
        scored.iter().enumerate().filter(|(n, _)| !(2_000..2_020).contains(n) && !(2_500..2_530).contains(n));
    assert!(elsewhere.map(|(_, (_, score))| *score).fold(0.0, f64::max) < 0.5);
    let header = format!("timestamp,value\n{}\n", series(iso).join("\n"));
    let with_header = rows(&baseline(&[], &header));
    assert_eq!(with_header[0].0, "timestamp,value");
    let scores = |rows: &[(String, f64)]| rows.iter().map(|(_, score)| *score).collect::<Vec<_>>();
    assert_eq!(scores(&with_header[1..]), scores(&scored), "times in another form are the same times");
}

#[test]
fn rows_out_of_order_are_looked_at_in_order_and_bad_ones_are_counted() {
    let mut lines = series(seconds);
    let in_order = rows(&baseline(&[], &lines.join("\n")));
    lines.swap(1_999, 2_001);
    let output = baseline(&[], &lines.join("\n"));
    let swapped = rows(&output);
    assert_eq!((&swapped[1_999], &swapped[2_001]), (&in_order[2_001], &in_order[1_999]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 rows came after later ones"));

    let mut lines = series(seconds);
    lines[100] = "yesterday,5".to_owned();
    lines[200] = format!("{},", seconds(200));
    lines.insert(300, "\u{0}\u{fffd};;".to_owned());
    let output = baseline(&[], &lines.join("\r\n"));
    assert_eq!(output.status.code(), Some(1));
    let scored = rows(&output);
    assert_eq!(scored.len(), 2_879);
    assert_eq!(scored[199], (format!("{},", seconds(200)), 0.0));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("2 rows without a time were left out, the first in line 101: yesterday,5"),
        "{told}"
    );
    assert!(told.contains("1 rows without a number"), "{told}");
}

#[test]
fn a_gap_is_not_a_silence() {
    let mut lines = series(seconds);
    lines.drain(1_200..1_500);
    let scored = rows(&baseline(&[], &lines.join("\n")));
    assert!(scored[1_200..1_300].iter().all(|(_, score)| *score < 0.5), "after five hours that are missing");
}

#[test]
fn nothing_and_nonsense_are_said_to_be_so() {
    for input in ["", "\n\n", "timestamp,value\n", "a,b\nc,d\n"] {
        let output = baseline(&[], input);
        assert_eq!(output.status.code(), Some(2), "{input:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no rows"), "{output:?}");
    }
    let output = baseline(&["--tick", "often"], "1,1\n");
    assert_eq!(output.status.code(), Some(2));
    let output = baseline(&["--tick", "1h", "--season", "none", "--values", "numbers"], "1,1\n");
    assert!(output.status.success(), "one row is a series: {output:?}");
    assert_eq!(rows(&output), [("1,1".to_owned(), 0.0)]);
}
