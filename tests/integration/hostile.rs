//! Texts that are made to keep the matcher busy: what they cost, beside ordinary ones of the same length.
//!
//! Times of one machine say little, and others keep it busy; so what is asserted are ratios of CPU time, of the same
//! number of bytes, that the mistakes looked for exceed many times over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex_syntax::hir::{Class, Hir, HirKind};
use watchbell::decode::{Decoder, Format, Settings};
use watchbell::event::{Event, Schema};
use watchbell::matching::{Matcher, Scanner};
use watchbell::rules::detection::Check;
use watchbell::rules::regex::{LazyRegex, parse};
use watchbell::rules::{Body, RuleSet};

/// CPU time of this thread; of the clock where the system does not say.
fn cpu_time(since: Instant) -> Duration {
    // What has been used is written down when another thread may run.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()) {
        Some(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds),
        _ => since.elapsed(),
    }
}

/// The least CPU seconds of several rounds, each of some repetitions.
fn seconds(repetitions: usize, mut measure: impl FnMut()) -> f64 {
    let since = Instant::now();
    let round = || {
        let before = cpu_time(since);
        (0..repetitions).for_each(|_| measure());
        (cpu_time(since) - before).as_secs_f64()
    };
    std::iter::repeat_with(round).take(3).fold(f64::MAX, f64::min)
}

#[test]
fn a_request_of_sixteen_times_the_length_takes_sixteen_times_as_long() {
    let rules = RuleSet::load(true, &[]).unwrap();
    let mut schema = Schema::new();
    let matcher = Matcher::compile(&rules, &mut schema);
    let schema = Arc::new(schema);
    let mut scanner = Scanner::new(&matcher);
    let mut decoder = Decoder::new(Format::Combined, Arc::clone(&schema), Arc::new(Settings::default()));
    let mut time_to_scan = |target: String, repetitions| {
        let line = format!(
            "203.0.113.7 - - [10/Oct/2026:13:55:00 +0000] \"GET {target} HTTP/1.1\" 200 12 \"-\" \"curl/8\""
        );
        let mut event = Event::new(&schema);
        decoder.decode(&line, &mut event).unwrap();
        seconds(repetitions, || scanner.scan(&matcher, &event, |_| {}))
    };
    for piece in [
        "%E9+union+select+",
        "+union+select+",
        "'+or+x",
        "%3Ca%E9",
        "<a onx",
        "author=x&",
        ";+cat+",
        "=1'(group+by",
        "{{1",
        "o:1:%22a%22:",
        "123456@c.us%C3%A9-",
    ] {
        let target = |bytes: usize| format!("/a?q={}", piece.repeat(bytes / piece.len()));
        let (short, long) = (time_to_scan(target(3_000), 32), time_to_scan(target(48_000), 2));
        assert!(long < 4.0 * short, "{piece}: {short:.4} s and {long:.4} s for as many bytes");
    }
}

#[test]
fn no_text_is_far_slower_than_others_for_an_expression_of_the_pack() {
    let rules = RuleSet::load(true, &[]).unwrap();
    let mut regexes: Vec<LazyRegex> = Vec::new();
    for rule in &rules.rules {
        if let Body::Detection(detection) = &rule.body {
            detection.expression.tests(&mut |test| match &test.check {
                // With lookaround there is a limit of steps; the pack has it for the names of hosts alone, which are short.
                Check::Regex(regex) if parse(regex.source()).is_err() => {
                    assert!(test.field.as_deref().is_some_and(|field| field.ends_with(".hosts")));
                }
                Check::Regex(regex) if !regexes.contains(regex) => regexes.push(regex.clone()),
                _ => {}
            });
        }
    }
    assert!(regexes.len() > 10, "the pack has regular expressions");
    let ordinary = "/produkte/schuhe?farbe=rot&seite=".repeat(24_000 / 33);
    let ordinary_seconds = |regex: &LazyRegex| {
        seconds(20, || {
            std::hint::black_box(regex.is_match(&ordinary));
        })
    };
    for regex in regexes {
        assert!(!regex.is_match(&ordinary), "{regex:?}");
        let floor = ordinary_seconds(&regex);
        for seed in 0..6 {
            let text = nearly_matching(&regex, seed);
            let took = seconds(20, || {
                std::hint::black_box(regex.is_match(&text));
            });
            let ratio = took / floor;
            assert!(
                ratio < 30.0,
                "{regex:?}: {ratio:.0} times, on {}...",
                text.chars().take(200).collect::<String>()
            );
        }
    }
}

/// A text of starts of what the expression matches, with letters beyond ASCII in every other.
fn nearly_matching(regex: &LazyRegex, seed: u64) -> String {
    let hir = parse(regex.source()).unwrap();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut text = if seed.is_multiple_of(2) { "/".to_owned() } else { "é".to_owned() };
    while text.len() < 24_000 {
        let mut piece = String::new();
        write_member(&hir, &mut chance, &mut piece);
        let length = piece.chars().count() as u64;
        let most = if seed.is_multiple_of(3) { 3 } else { length.saturating_sub(1) };
        text.extend(piece.chars().take(chance.below(most + 1) as usize));
        text.push('x');
    }
    text
}

fn write_member(hir: &Hir, chance: &mut Chance, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            let range = class.ranges()[chance.below(class.ranges().len() as u64) as usize];
            let size = u64::from(range.end()) - u64::from(range.start()) + 1;
            text.extend(char::from_u32(range.start() as u32 + chance.below(size.min(90)) as u32));
        }
        HirKind::Class(Class::Bytes(_)) => text.push('a'),
        HirKind::Repetition(repetition) => {
            let more = repetition.max.map_or(6, |max| (max - repetition.min).min(6));
            for _ in 0..u64::from(repetition.min) + chance.below(u64::from(more) + 1) {
                write_member(&repetition.sub, chance, text);
            }
        }
        HirKind::Capture(capture) => write_member(&capture.sub, chance, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write_member(part, chance, text)),
        HirKind::Alternation(parts) => {
            write_member(&parts[chance.below(parts.len() as u64) as usize], chance, text);
        }
    }
}

/// Numbers that look like chance, the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
