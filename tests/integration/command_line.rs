//! The program as a person or a script meets it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn watchbell(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchbell")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs with something on standard input.
fn watchbell_reading(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Twelve failed logins in a minute, and an innocent.
fn attack() -> String {
    let mut log = String::new();
    for second in 0..12 {
        log.push_str(&format!(
            "203.0.113.7 - - [10/Oct/2026:13:55:{second:02} +0000] \"POST /login HTTP/1.1\" 401 12 \"-\" \"curl/8\"\n"
        ));
    }
    log.push_str(
        "198.51.100.1 - - [10/Oct/2026:13:56:00 +0000] \"GET / HTTP/1.1\" 200 500 \"-\" \"Mozilla/5.0\"\n",
    );
    log
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn replay_prints_one_object_a_line_with_what_a_program_needs() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let output = watchbell(&["replay", "--output", "ndjson", &log]);
    assert!(output.status.success());
    let alerts: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let alert = alerts.iter().find(|alert| alert["rule"]["name"] == "brute_force_by_address").unwrap();
    assert_eq!(alert["subject"]["source.ip"], "203.0.113.7");
    assert_eq!(alert["severity"], "high");
    for key in ["id", "rule", "opened_at", "last_seen_at", "resolved_at", "observed", "condition", "evidence"]
    {
        assert!(alert.get(key).is_some(), "{key}");
    }
    assert!(alert["evidence"]["samples"][0]["line"].is_u64());
    assert!(alert["resolved_at"].is_null(), "it is still open when the log ends");
}

#[test]
fn replay_reads_standard_input_and_sums_up_what_it_could_not_read() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(attack().as_bytes()).unwrap();
    stdin.write_all(b"not a log line\n\xff\xfe\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let summary = text(&output.stdout);
    assert!(summary.contains("brute_force_by_address"), "{summary}");
    assert!(summary.contains("2 lines could not be read"), "{summary}");
    assert!(summary.contains("stdin:14"), "{summary}");
}

#[test]
fn bad_use_ends_with_2_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    let prose = write(directory.path(), "prose.txt", "This is no log.\nNor is this.\n");
    let config = write(directory.path(), "bad.toml", "[decode]\nlogin = 1\n");
    let log = write(directory.path(), "access.log", &attack());
    for (arguments, said) in [
        (vec!["replay"], "<FILE>"),
        (vec!["replay", "/no/such/file"], "/no/such/file"),
        (vec!["replay", prose.as_str()], "--format"),
        (vec!["replay", "--format", "nonsense", log.as_str()], "combined"),
        (vec!["replay", "--config", config.as_str(), log.as_str()], "unknown field `login`"),
        (vec!["replay", "--min-severity", "dire", log.as_str()], "informational"),
        (vec!["rules", "check", "/no/such/directory"], "/no/such/directory"),
        (vec!["rules", "check", empty.as_str()], "no rules"),
        (vec!["rules", "test", empty.as_str()], "no tests"),
        (vec!["rules", "test", "--filter", "nothing-is-called-so"], "no tests"),
        (vec!["replay", "/no/such/file", "/nor/this"], "/nor/this"),
        (vec!["generate"], "<DIR>"),
    ] {
        let output = watchbell(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = text(&output.stderr);
        assert!(errors.contains(said), "{arguments:?} must mention {said}: {errors}");
    }
}

#[test]
fn rules_check_tells_every_fault_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    write(
        directory.path(),
        "one.yml",
        "title: A\nlogsource: {category: webserver}\ndetection:\n  s:\n    cs-method|contians: x\n  condition: s\n",
    );
    write(
        directory.path(),
        "two.yml",
        "title: B\nlogsource: {category: webserver}\ndetection:\n  s: {cs-method: GET}\n  condition: s and t\n",
    );
    write(
        directory.path(),
        "three.yml",
        "title: C\nlogsource: {category: webserver}\ndetection: {s: {a: b}, condition: s}\n",
    );
    let output = watchbell(&["rules", "check", &directory.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let faults = text(&output.stdout);
    assert!(
        faults.contains("one.yml:5: detection.s.cs-method|contians: expected one of the modifiers"),
        "{faults}"
    );
    assert!(
        faults.contains("two.yml:5: detection.condition: expected one of the searches s, not 't'"),
        "{faults}"
    );
    assert!(text(&output.stderr).contains("1 rules are fine, 2 faults"));
}

#[test]
fn the_built_in_rules_are_fine_and_pass_their_tests() {
    let output = watchbell(&["rules", "check"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let output = watchbell(&["rules", "test"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn rules_match_prints_id_or_name_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let rules = write(
        directory.path(),
        "r.yml",
        "title: A\nid: 0b0f9a35-0f0c-4a3b-9d5c-000000000001\nlogsource: {category: webserver}\ndetection: {s: {cs-method: POST}, condition: s}\n\
         ---\ntitle: B\nname: b\nlogsource: {category: proxy}\ndetection: {s: {'c-uri|endswith': '.exe'}, condition: s}\n",
    );
    let events = write(
        directory.path(),
        "events.jsonl",
        "{\"cs-method\":\"post\"}\n{\"c-uri\":\"http://a/b.EXE\",\"cs-method\":\"GET\"}\n\n{\"cs-method\":\"POST\",\"c-uri\":\"x.exe\"}\n",
    );
    let output = watchbell(&["rules", "match", "--rules", &rules, &events]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        "{\"rule\":\"0b0f9a35-0f0c-4a3b-9d5c-000000000001\",\"line\":1}\n{\"rule\":\"b\",\"line\":2}\n\
         {\"rule\":\"0b0f9a35-0f0c-4a3b-9d5c-000000000001\",\"line\":4}\n{\"rule\":\"b\",\"line\":4}\n"
    );
    let log = write(directory.path(), "access.log", &attack());
    let output = watchbell(&["rules", "match", "--rules", &rules, &log]);
    assert_eq!(text(&output.stdout).lines().count(), 12, "a web server's log is no proxy's");
}

#[test]
fn an_invalid_rule_does_not_keep_the_others_from_working() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "bad.yml", "title: bad\n");
    let log = write(directory.path(), "access.log", &attack());
    let output = watchbell(&[
        "replay",
        "--rules",
        &directory.path().display().to_string(),
        "--output",
        "ndjson",
        &log,
    ]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("fault in a rule"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("brute_force_by_address"));
}

#[test]
fn the_public_rules_load_unmodified() {
    let Ok(samples) = std::env::var("WATCHBELL_SAMPLES") else {
        eprintln!("skipped: WATCHBELL_SAMPLES does not point at the folder with public rules");
        return;
    };
    let output = watchbell(&["rules", "check", &format!("{samples}/sigma")]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn the_configuration_in_the_readme_is_one() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = write(directory.path(), "watchbell.toml", example);
    let log = write(directory.path(), "access.log", &attack());
    let output = watchbell(&["replay", "--config", &config, &log]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn of_a_file_that_breaks_off_the_good_part_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(attack().as_bytes()).unwrap();
    encoder.write_all("x".repeat(100_000).as_bytes()).unwrap();
    let mut packed = encoder.finish().unwrap();
    packed.truncate(packed.len() / 2);
    let path = directory.path().join("access.log.gz");
    std::fs::write(&path, packed).unwrap();
    let output = watchbell(&["replay", "--output", "ndjson", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("brute_force_by_address"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("access.log.gz"), "{}", text(&output.stderr));
}

#[test]
fn no_command_minds_that_nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let faulty = write(directory.path(), "faulty.yml", "title: A\n");
    let target = directory.path().join("out").display().to_string();
    for (arguments, code) in [
        (vec!["replay", log.as_str()], 0),
        (vec!["replay", "--output", "ndjson", log.as_str()], 0),
        (vec!["rules", "list"], 0),
        (vec!["rules", "check"], 0),
        (vec!["rules", "check", faulty.as_str()], 1),
        (vec!["rules", "test", "--filter", "flood"], 0),
        (vec!["rules", "match", "--all", log.as_str()], 0),
        (vec!["generate", "--list-kinds"], 0),
        (vec!["generate", "--lines", "100", "--duration", "10m", target.as_str()], 0),
        (vec!["--help"], 0),
    ] {
        let closed = || Stdio::from(std::io::pipe().unwrap().1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
        command.args(&arguments).stdin(Stdio::null());
        let output =
            command.stdout(closed()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let errors = text(&output.stderr);
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        let status = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?} without standard error");
    }
}

#[test]
fn gzip_is_read_wherever_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("without-an-ending");
    std::fs::write(&file, packed(&attack())).unwrap();
    let file = file.display().to_string();
    let output = watchbell_reading(&["replay", "-"], &packed(&attack()));
    assert!(text(&output.stdout).contains("brute_force_by_address"), "{}", text(&output.stderr));
    let plain = watchbell_reading(&["rules", "match", "--all", "-"], attack().as_bytes()).stdout;
    assert!(text(&plain).lines().count() > 12);
    assert_eq!(
        text(&watchbell_reading(&["rules", "match", "--all", "-"], &packed(&attack())).stdout),
        text(&plain)
    );
    assert_eq!(text(&watchbell(&["rules", "match", "--all", &file]).stdout), text(&plain));
}

#[test]
fn what_can_be_staged_is_listed_without_a_directory() {
    let output = watchbell(&["generate", "--list-kinds"]);
    assert!(output.status.success() && text(&output.stdout).lines().count() > 20, "{}", text(&output.stderr));
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_others_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let output = watchbell(&["replay", "/no/such/file", &log, "/nor/this"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("brute_force_by_address"), "{}", text(&output.stdout));
    let errors = text(&output.stderr);
    assert!(errors.contains("/no/such/file") && errors.contains("/nor/this"), "{errors}");
}

#[cfg(unix)]
#[test]
fn a_file_is_read_once_by_whatever_names() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let link = directory.path().join("link.log");
    std::os::unix::fs::symlink("access.log", &link).unwrap();
    let link = link.display().to_string();
    let output = watchbell(&["replay", &log, &link, &log]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("\n13 lines, 13 events"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr).matches("read once").count(), 2, "{}", text(&output.stderr));
}

#[test]
fn of_many_alerts_of_a_rule_a_person_sees_some() {
    let directory = tempfile::tempdir().unwrap();
    let lines = |path: &str, count: usize| -> String {
        let line = |n| {
            format!(
                "203.0.{}.{} - - [10/Oct/2026:13:55:00 +0000] \"GET {path} HTTP/1.1\" 200 1 \"-\" \"x\"\n",
                n / 200,
                n % 200
            )
        };
        (0..count).map(line).collect()
    };
    let log = write(
        directory.path(),
        "access.log",
        &(lines("/low", 1300) + &lines("/dire", 190) + &lines("/few", 3)),
    );
    let rule = |name: &str, level: &str| {
        format!(
            "title: T\nname: {name}\nlevel: {level}\nlogsource: {{category: webserver}}\ndetection: {{s: {{url.path: /{name}}}, condition: s}}\n"
        )
    };
    let rules = write(
        directory.path(),
        "r.yml",
        &[rule("low", "low"), rule("dire", "critical"), rule("few", "low")].join("---\n"),
    );
    let output = watchbell(&["replay", "--no-builtin-rules", "--rules", &rules, &log]);
    let summary = text(&output.stdout);
    let listed = |name: &str| summary.lines().filter(|line| line.starts_with(&format!("  {name}  "))).count();
    assert_eq!((listed("dire"), listed("low"), listed("few")), (190, 20, 3), "{summary}");
    assert!(summary.starts_with("CRITICAL (190)\n"), "the worst first");
    assert!(summary.contains("LOW (1,303)\n"), "all are counted");
    assert!(summary.contains("  and 1,280 more of low (see --output ndjson)\n"));
    assert_eq!(summary.matches(" more of ").count(), 1);
}

#[test]
fn rules_match_leaves_out_what_is_built_in_for_correlations_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let matches =
        |arguments: &[&str]| text(&watchbell(&[&["rules", "match"], arguments, &[&log]].concat()).stdout);
    assert_eq!(matches(&[]), "", "no detection that is reported matches a failed login");
    assert!(matches(&["--all"]).lines().count() > 12);
    let own = write(
        directory.path(),
        "r.yml",
        "title: A\nname: a\nlogsource: {category: webserver}\ndetection: {s: {cs-method: POST}, condition: s}\n\
         ---\ntitle: C\nname: c\ncorrelation: {type: event_count, rules: a, timespan: 1m, condition: {gte: 2}}\n",
    );
    assert_eq!(matches(&["--rules", &own]).lines().count(), 12, "one's own are compared with other engines");
}

#[test]
fn an_allowlist_for_a_rule_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let config = write(
        directory.path(),
        "w.toml",
        "\n[[allowlist]]\nusers = ['x']\nrules = ['brute_force_by_adress']\nreason = 'x'\nexpires_at = 2027-01-31T00:00:00Z\n",
    );
    let output = watchbell(&["replay", "--config", &config, &log]);
    assert!(output.status.success());
    let errors = text(&output.stderr);
    assert!(errors.contains("w.toml:2: allowlist entry 1"), "{errors}");
    assert!(errors.contains("did you mean 'brute_force_by_address'?"), "{errors}");
}

#[test]
fn a_regular_expression_that_takes_too_long_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(
        directory.path(),
        "access.log",
        &attack().replace("GET / ", &format!("GET /{} ", "a".repeat(4000))),
    );
    let rules = write(
        directory.path(),
        "r.yml",
        "title: A\nname: tautology\nlogsource: {category: webserver}\ndetection: {s: {'url.query|re': '(\\w+)=\\1'}, t: {'url.path|re': '(\\w+)=\\1'}, condition: 1 of *}\n",
    );
    let output = watchbell(&["replay", "--rules", &rules, &log]);
    let errors = text(&output.stderr);
    assert!(errors.contains("tautology: its regular expression takes too long"), "{errors}");
}

#[test]
fn a_key_that_may_be_a_slip_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let rules = write(
        directory.path(),
        "r.yml",
        "title: A\nsimulation: x\nlogsource: {category: webserver}\ndetection: {s: {a: b}, condition: s}\n",
    );
    let output = watchbell(&["rules", "check", &rules]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("warning: "), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("r.yml:2: simulation: "), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("1 rules are fine, 0 faults, 1 warnings"));
}

#[test]
fn nothing_of_a_log_is_obeyed_by_the_terminal_that_shows_it() {
    let junk = "{\"\u{202e}esrever\u{2066}\u{1b}[31m\n";
    let output = watchbell_reading(&["replay", "-"], format!("{}{junk}", attack()).as_bytes());
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert!(shown.contains("esrever"), "{shown}");
    assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "{shown:?}");
}

#[test]
fn a_rule_on_trial_is_marked_and_a_name_in_the_configuration_that_is_none_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let names = "['brute_force_by_address', 'brute_force_by_adress']";
    let config = write(directory.path(), "w.toml", &format!("[rules]\nshadow = {names}\n"));
    let replay = |more: &[&str]| watchbell(&[&["replay", "--config", &config, &log], more].concat());
    let output = replay(&["--output", "ndjson"]);
    assert!(output.status.success());
    let modes: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|alert| alert["rule"]["name"] == "brute_force_by_address")
        .map(|alert| alert["mode"].clone())
        .collect();
    assert_eq!(modes, ["shadow"]);
    assert!(
        text(&output.stderr).contains("did you mean 'brute_force_by_address'?"),
        "{}",
        text(&output.stderr)
    );
    assert!(text(&replay(&[]).stdout).contains("source.ip=203.0.113.7  [shadow]"));
    let mine = write(
        directory.path(),
        "a.yml",
        "title: A\nname: a\nlogsource: {category: webserver}\ndetection: {s: {f: x}, condition: s}\n\
         x-watchbell: {mode: shadow}\n",
    );
    let list = |more: &str| {
        text(&watchbell(&["rules", "list", "--no-builtin-rules", "--rules", &mine, more]).stdout)
    };
    assert!(list("--json").contains(r#""mode":"shadow""#), "{}", list("--json"));
    assert!(list("--rules=rules/logins").contains("A  [shadow]"), "{}", list("--rules=rules/logins"));
}

#[test]
fn score_measures_alerts_against_labels_and_refuses_what_is_neither() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let generated = watchbell(&[
        "generate",
        &path,
        "--lines",
        "3000",
        "--duration",
        "3h",
        "--seed",
        "7",
        "--messages",
        "0",
    ]);
    assert!(generated.status.success(), "{}", text(&generated.stderr));
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (labels, access) = (file("labels.jsonl"), file("access.log"));
    let alerts = watchbell(&["replay", "--output", "ndjson", &access, &file("events.jsonl")]).stdout;
    let score = |more: &[&str], alerts: &[u8]| {
        watchbell_reading(
            &[&["score", &labels, "-", "--stream", "access", "--stream", "events"], more].concat(),
            alerts,
        )
    };
    let report = score(&["--output", "json", "--min-recall", "0.9"], &alerts);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(report["attacks"].as_u64() > Some(50) && report["recall"].as_f64() > Some(0.9), "{report}");
    assert!(report["time_to_detection"]["worst_seconds"].is_number(), "{report}");
    let shown = text(&score(&[], &alerts).stdout);
    assert!(shown.contains("attacks found") && shown.contains("brute_force_by_account"), "{shown}");
    let nothing = score(&["--min-recall", "0.5"], b"");
    assert_eq!(nothing.status.code(), Some(1), "{}", text(&nothing.stdout));
    assert!(text(&nothing.stdout).starts_with("0 of ") && text(&nothing.stderr).contains("less than 0.5"));
    for (arguments, input, expected) in [
        (["score", &labels, &labels].as_slice(), "", "labels.jsonl: line 1: expected an alert"),
        (
            &["score", "-", &labels],
            "{\"rule\":{},\"opened_at\":\"x\"}",
            "not an alert: labels are named first",
        ),
        (&["score", &access, "-"], "", "access.log: line 1: expected a JSON object a line"),
        (&["score", "-", "-"], "", "cannot both come from standard input"),
        (&["score", &labels, "/nowhere"], "", "/nowhere"),
        (&["score", &labels, "-", "--stream", "acess"], "", "no label is of acess"),
    ] {
        let output = watchbell_reading(arguments, input.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn rules_explain_says_what_failed_and_what_the_event_has() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &format!("{}garbage\n", attack()));
    let mine = write(
        directory.path(),
        "a.yml",
        "title: A\nname: a\nlogsource: {category: webserver}\ndetection:\n  asked: {url.path: /login, http.response.status_code: 200}\n  \
         slip: {url.pth: x}\n  condition: asked or slip\n---\ntitle: B\nname: b\nlogsource: {category: proxy}\n\
         detection: {s: {url.path: /login}, condition: s}\n",
    );
    let explain = |rule: &str, more: &[&str]| {
        watchbell(&[&["rules", "explain", rule, &log, "--rules", &mine], more].concat())
    };
    let output = explain("a", &["--line", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "line 1: a does not match
  - one of
    - asked: all of
      + url.path = '/login'
      - http.response.status_code = '200'   is '401'
    - slip: url.pth = 'x'   is missing: nothing that is read has this field; did you mean 'url.path'?
";
    assert_eq!(text(&output.stdout), expected);
    assert!(
        text(&explain("b", &["--line", "1"]).stdout)
            .contains("- the rule does not look at logs of this kind (webserver)")
    );
    let counted = text(&explain("brute_force_by_address", &["--line", "1,13"]).stdout);
    assert!(counted.contains("line 1: brute_force_by_address counts it\n  asks for >= "), "{counted}");
    assert!(counted.contains("+ login_failed: counted for source.ip=203.0.113.7, measured 1"), "{counted}");
    assert!(counted.contains("line 13: brute_force_by_address does not count it"), "{counted}");
    let json = explain("a", &["--line", "1-2", "--output", "ndjson"]).stdout;
    let objects: Vec<serde_json::Value> =
        text(&json).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((objects.len(), objects[1]["line"].as_u64()), (2, Some(2)));
    assert_eq!(objects[0]["detection"]["looks_for"]["any"][1]["test"]["meant"], "url.path");
    for (rule, lines, code, expected) in [
        ("a", "14", 1, "line 14: cannot be read: "),
        ("a", "15", 1, "there is no line 15; the last is 14"),
        ("brute_force_by_adress", "1", 2, "did you mean 'brute_force_by_address'?"),
        ("a", "0", 2, "expected the number of a line"),
    ] {
        let output = explain(rule, &["--line", lines]);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(expected), "{told}");
    }
    let first = explain("a", &[]);
    assert_eq!(text(&first.stdout).matches("line ").count(), 10);
    assert!(text(&first.stderr).contains("choose others with --line"));
    let config = write(
        directory.path(),
        "w.toml",
        "[[allowlist]]\nnetworks = ['203.0.113.0/24']\nrules = ['login_failed']\nreason = 'our scanner'\n",
    );
    let allowed = text(&explain("brute_force_by_address", &["--line", "1", "--config", &config]).stdout);
    assert!(
        allowed.contains("not counted: the allowlist has it") && allowed.contains("our scanner"),
        "{allowed}"
    );
}

#[test]
fn a_replay_counts_what_other_thresholds_would_have_found() {
    let directory = tempfile::tempdir().unwrap();
    let log = write(directory.path(), "access.log", &attack());
    let replay = |what_if: &[&str]| {
        let asked = what_if.iter().flat_map(|asked| ["--what-if", asked]);
        watchbell(&["replay", &log].into_iter().chain(asked).collect::<Vec<_>>())
    };
    let output = replay(&["brute_force_by_address.threshold=20,8,10,12"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let table = shown.split("What brute_force_by_address would have said").nth(1).unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).take(4).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows, [["8", "1"], ["10", "1"], ["12", "1"], ["20", "0"]], "{shown}");
    let json = watchbell(&[
        "replay",
        "--output",
        "ndjson",
        "--what-if",
        "brute_force_by_address.threshold=20,8",
        &log,
    ]);
    let last: serde_json::Value = serde_json::from_str(text(&json.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((last["type"].as_str(), last["thresholds"][1]["alerts"].as_u64()), (Some("what_if"), Some(0)));
    for (what_if, expected) in [
        (["brute_force_by_adress.threshold=8"].as_slice(), "did you mean 'brute_force_by_address'?"),
        (&["brute_force_by_address.treshold=8"], "as in brute_force_by_address.threshold=8,10,15"),
        (&["login_failed.threshold=8"], "it opens no alerts with any threshold"),
        (&["injection_attempt.threshold=a"], "expected a number, not 'a'"),
        (&["unusual_login_failures.threshold=2"], "unusual_login_failures has no threshold"),
        (&["brute_force_by_address.threshold=8", "brute_force_by_address.threshold=9"], "is named twice"),
    ] {
        let output = replay(what_if);
        assert_eq!(output.status.code(), Some(2), "{what_if:?}");
        assert!(text(&output.stderr).contains(expected), "{what_if:?}: {}", text(&output.stderr));
    }
}
