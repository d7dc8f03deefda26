//! `watchbell rules`: look at rules, check them, test them.

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{RuleSelection, read_config};
use crate::alert::Condition;
use crate::decode::{Decoded, Decoder, Format};
use crate::event::{Class, Event, Schema};
use crate::matching::{Matcher, Scanner};
use crate::rules::{Body, RuleSet};

#[derive(Subcommand)]
pub enum Rules {
    /// List rules: severity, name, condition, title
    List(List),
    /// Check rule files: every fault with file, line, key and what was expected
    Check(Check),
    /// Run the tests that stand beside rules (`NAME.test.yml` beside `NAME.yml`)
    Test(Test),
    /// Print which detections match which lines, one JSON object a match
    ///
    /// Stateless: detections only, no correlations, so that other engines can be compared with. Lines of JSON may use
    /// ECS names or those of the Sigma taxonomy (cs-method, cs-uri-query, c-uri, sc-status, ...).
    Match(Match),
}

/// List rules
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    rules: RuleSelection,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Check rule files
#[derive(Args)]
pub struct Check {
    /// Directories or files to check [default: the rules that are built in]
    #[arg(value_name = "DIR")]
    paths: Vec<PathBuf>,
}

/// Run the tests that stand beside rules
#[derive(Args)]
pub struct Test {
    /// Directories or files whose tests to run [default: the rules that are built in]
    #[arg(value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Run only tests of files whose path contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

/// Print which detections match which lines
#[derive(Args)]
pub struct Match {
    /// Directory or file with Sigma rules; may be given several times [default: the rules that are built in]
    #[arg(long = "rules", value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Format of the lines: combined, common, json, haproxy, alb or w3c [default: found]
    #[arg(long)]
    format: Option<Format>,
    /// Treat lines as of this kind of log: webserver, proxy, application or any [default: as the lines say]
    #[arg(long, value_parser = parse_class)]
    class: Option<Class>,
    /// Configuration file (login patterns, trusted proxies, ...)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lines to look at; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn parse_class(word: &str) -> Result<Class, String> {
    match word {
        "webserver" => Ok(Class::Webserver),
        "proxy" => Ok(Class::Proxy),
        "application" => Ok(Class::Application),
        "any" => Ok(Class::Any),
        _ => Err("expected webserver, proxy, application or any".to_owned()),
    }
}

impl Rules {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Check(check) => check.run(),
            Self::Test(test) => test.run(),
            Self::Match(matching) => matching.run(),
        }
    }
}

impl List {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let rules = self.rules.load()?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for rule in rules.rules.iter().filter(|rule| rule.reported) {
            let condition = Condition::of(rule);
            if self.json {
                let line = serde_json::json!({
                    "id": rule.id, "name": rule.name, "title": rule.title, "severity": rule.severity,
                    "condition": condition, "tags": rule.tags, "falsepositives": rule.false_positives,
                    "description": rule.description, "advice": rule.advice, "file": rule.place.file,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{:<13} {:<40} {}", rule.severity, rule.handle(), rule.title)?;
                let group_by = match &rule.body {
                    Body::Detection(detection) => &detection.group_by,
                    Body::Correlation(linked) => &linked.correlation.group_by,
                };
                writeln!(out, "{:<13} {} by {}", "", condition.text, group_by.join(" + "))?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn run(&self) -> anyhow::Result<ExitCode> {
        // With the built-in rules, since correlations may refer to them; told of are only the files asked about.
        let rules = RuleSet::load(true, &self.paths)?;
        let builtin = self.paths.is_empty();
        let errors: Vec<_> =
            rules.errors.iter().filter(|error| error.place.file.starts_with("builtin/") == builtin).collect();
        for error in &errors {
            println!("{error}");
        }
        let count = rules.rules.iter().filter(|rule| rule.builtin == builtin).count();
        eprintln!("{count} rules are fine, {} faults", errors.len());
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Test {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let files = crate::rule_test::collect(&self.paths)?;
        let outcomes = crate::rule_test::run(&files, &self.filter);
        let mut failed = 0;
        for outcome in &outcomes {
            for failure in &outcome.failures {
                failed += 1;
                println!("FAILED {}: {failure}", outcome.file);
            }
        }
        let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
        for outcome in outcomes.iter().filter(|outcome| outcome.passed == 0 && outcome.failures.is_empty()) {
            println!("NO TESTS {}", outcome.file);
        }
        println!("{passed} passed, {failed} failed");
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Match {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let rules = RuleSet::load(self.directories.is_empty(), &self.directories)?;
        for error in &rules.errors {
            eprintln!("watchbell: fault in a rule: {error}");
        }
        let mut settings = read_config(self.config.as_ref())?.decode;
        if self.class.is_some() {
            settings.class = self.class;
        }
        let mut schema = Schema::new();
        let matcher = Matcher::compile(&rules, &mut schema);
        let schema = Arc::new(schema);
        let mut bytes = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes)?;
        } else {
            let file = std::fs::File::open(&self.file).with_context(|| self.file.display().to_string())?;
            BufReader::new(file).read_to_end(&mut bytes).with_context(|| self.file.display().to_string())?;
        }
        let text = String::from_utf8_lossy(&bytes);
        let format = match &self.format {
            Some(format) => format.clone(),
            None => Format::detect(&text).with_context(|| {
                format!(
                    "{}: no known format reads its first lines; name one with --format",
                    self.file.display()
                )
            })?,
        };
        let mut decoder = Decoder::new(format, Arc::clone(&schema), Arc::new(settings));
        let mut scanner = Scanner::new(&matcher);
        let mut event = Event::new(&schema);
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            event.clear();
            match decoder.decode(line, &mut event) {
                Ok(Decoded::Nothing) => continue,
                Ok(_) => {}
                Err(error) => {
                    eprintln!("watchbell: {}:{number}: {error}", self.file.display());
                    continue;
                }
            }
            let mut matched = Vec::new();
            scanner.scan(&matcher, &event, |rule| matched.push(rule));
            matched.sort_unstable();
            for rule in matched {
                let line = serde_json::json!({"rule": rules.rules[rule].identity(), "line": number});
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
