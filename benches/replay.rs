//! How fast a log is read, as ratios against floors measured in the same run: machines are noisy, ratios are not.
//!
//! `cargo bench --bench replay -- [--lines N]` generates a log (a million lines unless said otherwise), and prints
//!
//! - lines per second, CPU seconds and memory of `watchbell replay` with the full pack, beside `grep -c` and an `awk`
//!   that counts by address;
//! - what matching costs an event with one public rule, with all, and with ten times as many (where
//!   `WATCHBELL_SAMPLES` points at the folder with them);
//! - what a byte of a request that is made to be slow costs, beside an ordinary one;
//! - what becomes of an attack among a million rotating addresses.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchbell::decode::{Decoder, Format, Settings};
use watchbell::event::{Class, Event, Schema};
use watchbell::generate::{Config, Kind, Outputs, write};
use watchbell::matching::{Matcher, Scanner};
use watchbell::rules::detection::{Check, Expression};
use watchbell::rules::pattern::Pattern;
use watchbell::rules::{Body, RuleSet};

/// Each measurement is the best of this many: the others were disturbed.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let lines = arguments.iter().position(|argument| argument == "--lines");
    let lines =
        lines.and_then(|place| arguments.get(place + 1)).map_or(1_000_000, |lines| lines.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let log = generate(directory.path(), lines);
    reading(&log);
    matching(&log);
    hostile(&log);
    rotating_addresses(directory.path(), lines);
}

fn generate(directory: &Path, lines: u64) -> PathBuf {
    let config =
        Config { lines, seed: 7, addresses: 50_000, attacks: Kind::ALL.to_vec(), ..Config::default() };
    let create = |name: &str| {
        let file = std::fs::File::create(directory.join(name)).unwrap();
        std::io::BufWriter::with_capacity(1 << 18, file)
    };
    let (mut access, mut events, mut labels) =
        (create("access.log"), create("events.jsonl"), create("labels.jsonl"));
    let webhooks = &mut std::io::sink();
    let outputs = Outputs { access: &mut access, events: &mut events, webhooks, labels: &mut labels };
    let done = write(&config, outputs, |_| {}).unwrap();
    println!("{} lines, {} bytes a line\n", done.lines, done.bytes / done.lines);
    directory.join("access.log")
}

fn best(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| measure()).min().unwrap()
}

/// Output goes through a pipe: `grep` stops at the first line when it sees that nobody reads.
fn time(command: &mut Command) -> Duration {
    let started = Instant::now();
    command.stdin(Stdio::null()).output().unwrap();
    started.elapsed()
}

fn row(what: &str, lines: f64, took: Duration, floor: Duration, more: &str) {
    let seconds = took.as_secs_f64();
    println!(
        "{what:<44} {:>10.0} lines/s  {:>6.1} x grep  {more}",
        lines / seconds,
        seconds / floor.as_secs_f64()
    );
}

fn reading(log: &Path) {
    let lines = std::fs::read_to_string(log).unwrap().lines().count() as f64;
    let grep = best(|| time(Command::new("grep").args(["-c", "HTTP"]).arg(log)));
    row("grep -c", lines, grep, grep, "");
    let awk = best(|| time(Command::new("awk").arg("{n[$1]++} END {for (a in n) c++; print c}").arg(log)));
    row("awk, count by address", lines, awk, grep, "");
    let mut summary = String::new();
    let replay = best(|| {
        let started = Instant::now();
        let program = env!("CARGO_BIN_EXE_watchbell");
        let output = Command::new(program).args(["replay", "--output", "ndjson"]).arg(log).output().unwrap();
        let took = started.elapsed();
        summary = String::from_utf8_lossy(&output.stderr).into_owned();
        took
    });
    row("watchbell replay, full pack", lines, replay, grep, "");
    summary.lines().take(3).for_each(|line| println!("    {}", line.trim()));
    let none = best(|| {
        let program = env!("CARGO_BIN_EXE_watchbell");
        time(Command::new(program).args(["replay", "--no-builtin-rules"]).arg(log))
    });
    row("watchbell replay, no rules", lines, none, grep, "");
    println!();
}

fn matching(log: &Path) {
    let Ok(samples) = std::env::var("WATCHBELL_SAMPLES") else {
        println!("skipped: WATCHBELL_SAMPLES does not point at the folder with public rules\n");
        return;
    };
    let all = RuleSet::load(false, &[PathBuf::from(samples).join("sigma")]).unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().take(200_000).collect();
    let mut one = all.clone();
    one.rules.truncate(1);
    let mut tenfold = all.clone();
    for copy in 1..10 {
        tenfold.rules.extend(all.rules.iter().cloned().map(|mut rule| {
            if let Body::Detection(detection) = &mut rule.body {
                vary(&mut detection.expression, copy);
            }
            rule
        }));
    }
    let cost = |rules: &RuleSet| nanoseconds_an_event(rules, &lines);
    let (of_one, of_all, of_tenfold) = (cost(&one), cost(&all), cost(&tenfold));
    println!("matching, by the public rules");
    println!("    {:>4} rules  {of_one:>6.0} ns an event", one.rules.len());
    println!(
        "    {:>4} rules  {of_all:>6.0} ns an event, {:>5.0} more than one",
        all.rules.len(),
        of_all - of_one
    );
    let more = of_tenfold - of_one;
    println!(
        "    {:>4} rules  {of_tenfold:>6.0} ns an event, {more:>5.0} more than one, {:.1} times as much more\n",
        tenfold.rules.len(),
        more / (of_all - of_one)
    );
}

fn hostile(log: &Path) {
    let rules = RuleSet::load(true, &[]).unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    let ordinary: Vec<&str> = text.lines().take(200_000).collect();
    let bytes = |lines: &[&str]| lines.iter().map(|line| line.len()).sum::<usize>() as f64;
    let a_byte = |lines: &[&str]| nanoseconds_an_event(&rules, lines) * lines.len() as f64 / bytes(lines);
    let floor = a_byte(&ordinary);
    println!(
        "matching requests of 32 KB made to be slow, by the full pack; an ordinary byte takes {floor:.1} ns"
    );
    for piece in ["%E9+union+select+", "'+or+x", "%3Ca%E9+on", ";+cat+", "=1'(group+by"] {
        let query = piece.repeat((32 << 10) / piece.len());
        let line = format!(
            "203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"GET /?{query} HTTP/1.1\" 200 1 \"-\" \"-\""
        );
        let took = a_byte(&[line.as_str(); 20]);
        println!("    {piece:<20} {took:>6.1} ns a byte, {:.0} times as long", took / floor);
    }
    println!();
}

/// Makes other patterns of all patterns, as long and as rare.
fn vary(expression: &mut Expression, copy: usize) {
    match expression {
        Expression::All(parts) | Expression::Any(parts) => parts.iter_mut().for_each(|part| vary(part, copy)),
        Expression::Not(inner) => vary(inner, copy),
        Expression::Test(test) => {
            if let Check::Text { pattern, .. } = &mut test.check
                && pattern.longest_literal().is_some_and(|literal| literal.len() > 5)
            {
                let text: String = pattern
                    .parts()
                    .iter()
                    .map(|part| match part {
                        watchbell::rules::pattern::Part::Literal(text) => {
                            let rotated = text
                                .chars()
                                .map(|c| if c.is_ascii_lowercase() { rotate(c, copy) } else { c });
                            rotated
                                .collect::<String>()
                                .replace('\\', "\\\\")
                                .replace('*', "\\*")
                                .replace('?', "\\?")
                        }
                        watchbell::rules::pattern::Part::Any => "*".to_owned(),
                        watchbell::rules::pattern::Part::One => "?".to_owned(),
                    })
                    .collect();
                *pattern = Pattern::parse(&text);
            }
        }
    }
}

fn rotate(letter: char, by: usize) -> char {
    char::from(b'a' + ((letter as u8 - b'a') as usize + by) as u8 % 26)
}

fn nanoseconds_an_event(rules: &RuleSet, lines: &[&str]) -> f64 {
    let mut schema = Schema::new();
    let matcher = Matcher::compile(rules, &mut schema);
    let schema = Arc::new(schema);
    let settings = Arc::new(Settings { class: Some(Class::Any), ..Settings::default() });
    let mut scanner = Scanner::new(&matcher);
    let mut decoder = Decoder::new(Format::Combined, Arc::clone(&schema), settings);
    let mut event = Event::new(&schema);
    let mut run = |scans: bool| {
        best(|| {
            let started = Instant::now();
            let mut matches = 0;
            for line in lines {
                event.clear();
                let _ = decoder.decode(line, &mut event);
                if scans {
                    scanner.scan(&matcher, &event, |_| matches += 1);
                }
            }
            std::hint::black_box(matches);
            started.elapsed()
        })
    };
    let (decoding, both) = (run(false), run(true));
    (both.as_secs_f64() - decoding.as_secs_f64()) / lines.len() as f64 * 1e9
}

/// A request or two from each of a million addresses, and among them one that guesses a password every few seconds.
fn rotating_addresses(directory: &Path, lines: u64) {
    let path = directory.join("rotating.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let every = lines / 40;
    for number in 0..lines {
        let second = number * 600 / lines;
        let time = format!("24/Nov/2026:10:{:02}:{:02} +0000", second / 60, second % 60);
        let address = (number as u32).wrapping_mul(2_654_435_761);
        let [a, b, c, d] = address.to_be_bytes();
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        writeln!(
            file,
            "{a}.{b}.{c}.{d} - - [{time}] \"GET /wp-content/{number}.php HTTP/1.1\" 404 153 \"-\" \"{agent}\""
        )
        .unwrap();
        if number % every == 0 {
            writeln!(file, "203.0.113.77 - - [{time}] \"POST /login HTTP/1.1\" 401 12 \"-\" \"{agent}\"")
                .unwrap();
        }
    }
    drop(file);
    let program = env!("CARGO_BIN_EXE_watchbell");
    let output = Command::new(program).args(["replay", "--output", "ndjson"]).arg(&path).output().unwrap();
    let alerts = String::from_utf8_lossy(&output.stdout);
    let found: Vec<&str> = alerts.lines().filter(|alert| alert.contains("203.0.113.77")).collect();
    println!("a request from each of {lines} addresses, and one that guesses a password");
    println!("    {} alerts about the one, {} in all", found.len(), alerts.lines().count());
    let summary = String::from_utf8_lossy(&output.stderr);
    for line in summary.lines().take(3).chain(summary.lines().filter(|line| line.contains("evicted"))) {
        println!("    {}", line.trim());
    }
}
