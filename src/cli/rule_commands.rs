//! `watchbell rules`: look at rules, check them, test them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::RuleSelection;
use super::output::{print, tell};
use super::rule_explain::Explain;
use super::rule_match::Match;
use crate::alert::Condition;
use crate::engine::lacking;
use crate::geo::Geo;
use crate::rules::fault::RuleError;
use crate::rules::{Rule, RuleSet};

#[derive(Subcommand)]
pub enum Rules {
    /// List rules: severity, name, condition, title
    List(List),
    /// Check rule files: every fault with file, line, key and what was expected
    ///
    /// Exit status: 0 when there are rules and all are fine, 1 when there are faults, 2 when there are no rules. What may be
    /// a mistake is told as a warning and does not count.
    Check(Check),
    /// Run the tests that stand beside rules (`NAME.test.yml` beside `NAME.yml`)
    ///
    /// Exit status: 0 when tests ran and all passed, 1 when one failed, 2 when there was none to run.
    Test(Test),
    /// Print which detections match which lines, one JSON object a match
    ///
    /// Each has the rule's id (its name where it has none) and the number of the line. Stateless: detections only, no
    /// correlations, so that other engines can be compared with. Lines of JSON may use ECS names or those of the Sigma
    /// taxonomy (cs-method, cs-uri-query, c-uri, sc-status, ...). Detections that are built in only for correlations to
    /// refer to are left out unless --all is given.
    Match(Match),
    /// Show why lines match a rule, or do not: each part of its detections, and what the event has there
    ///
    /// Of a correlation, each of its rules is explained, what the line is grouped by and what of it is measured; windows
    /// are left out, as one line knows nothing of them. Exit status: 0 when all chosen lines were explained, 1 when one
    /// cannot be read or is not there, 2 when there is no such rule or file.
    Explain(Explain),
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

impl Rules {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Check(check) => check.run(),
            Self::Test(test) => test.run(),
            Self::Match(matching) => matching.run(),
            Self::Explain(explain) => explain.run(),
        }
    }
}

impl List {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let rules = self.rules.load()?;
        print(|out| {
            rules.rules.iter().filter(|rule| rule.reported).try_for_each(|rule| self.write(out, rule))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, out: &mut dyn Write, rule: &Rule) -> io::Result<()> {
        let condition = Condition::of(rule);
        let needs = lacking(rule, &Geo::default());
        if self.json {
            let line = serde_json::json!({
                "id": rule.id, "name": rule.name, "title": rule.title, "severity": rule.severity, "mode": rule.mode,
                "condition": condition, "tags": rule.tags, "falsepositives": rule.false_positives,
                "description": rule.description, "advice": rule.advice, "file": rule.place.file,
                "needs_geo": needs,
            });
            return writeln!(out, "{line}");
        }
        let mark = if rule.mode.is_shadow() { "  [shadow]" } else { "" };
        writeln!(out, "{:<13} {:<40} {}{mark}", rule.severity, rule.handle(), rule.title)?;
        writeln!(out, "{:<13} {} by {}", "", condition.text, rule.group_by().join(" + "))?;
        if needs.is_empty() {
            return Ok(());
        }
        writeln!(out, "{:<13} off without a database under [geo] that knows {}", "", needs.join(", "))
    }
}

impl Check {
    fn run(&self) -> anyhow::Result<ExitCode> {
        // With the built-in rules, since correlations may refer to them; told of are only the files asked about.
        let rules = RuleSet::load(true, &self.paths)?;
        let builtin = self.paths.is_empty();
        let is_asked = |fault: &&RuleError| fault.place.file.starts_with("builtin/") == builtin;
        let errors: Vec<_> = rules.errors.iter().filter(is_asked).collect();
        let warnings: Vec<_> = rules.warnings.iter().filter(is_asked).collect();
        print(|out| {
            warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))?;
            errors.iter().try_for_each(|error| writeln!(out, "{error}"))
        })?;
        let count = rules.rules.iter().filter(|rule| rule.builtin == builtin).count();
        let warned = match warnings.len() {
            0 => String::new(),
            number => format!(", {number} warnings"),
        };
        tell(format_args!("{count} rules are fine, {} faults{warned}", errors.len()));
        let checked = rules.rules.iter().filter(|rule| rule.builtin == builtin);
        let off = checked.filter(|rule| !lacking(rule, &Geo::default()).is_empty()).count();
        if off > 0 {
            tell(format_args!(
                "{off} of them are off without a database under [geo], unless logs say where clients are"
            ));
        }
        Ok(match (errors.is_empty(), count) {
            (false, _) => ExitCode::from(1),
            (true, 0) => {
                tell("there are no rules here: rules are in files that end in .yml or .yaml");
                ExitCode::from(2)
            }
            (true, _) => ExitCode::SUCCESS,
        })
    }
}

impl Test {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let files = crate::rule_test::collect(&self.paths)?;
        let outcomes = crate::rule_test::run(&files, &self.filter);
        let failed: usize = outcomes.iter().map(|outcome| outcome.failures.len()).sum();
        let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
        print(|out| {
            for outcome in &outcomes {
                for failure in &outcome.failures {
                    writeln!(out, "FAILED {}: {failure}", outcome.file)?;
                }
            }
            for outcome in &outcomes {
                if outcome.passed == 0 && outcome.failures.is_empty() {
                    writeln!(out, "NO TESTS {}", outcome.file)?;
                }
            }
            writeln!(out, "{passed} passed, {failed} failed")
        })?;
        Ok(match (failed, passed) {
            (0, 0) => {
                tell("there are no tests here: those of NAME.yml are in NAME.test.yml beside it");
                ExitCode::from(2)
            }
            (0, _) => ExitCode::SUCCESS,
            _ => ExitCode::from(1),
        })
    }
}
