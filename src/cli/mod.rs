//! The command line: what a person or a script can ask for. Each command has its file.

mod alert_text;
mod attacks;
pub mod baseline;
mod courier;
mod demo;
mod generate;
mod journal;
mod output;
mod play;
mod replay;
mod rule_commands;
mod rule_explain;
mod rule_match;
mod run;
mod score;
mod soak;
mod summary;
mod watch;
mod what_if;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::rules::RuleSet;
use output::tell;

/// Watches a business's WhatsApp deployment and rings within a second when something is wrong.
///
/// Exit status: 0 when the command did all it was asked to; 1 when rules have faults, tests fail, or a part of the input
/// or of the journal could not be read; 2 for bad use, or when there was nothing to work on.
#[derive(Parser)]
#[command(name = "watchbell", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Watch(watch::Watch),
    Replay(replay::Replay),
    Generate(generate::Generate),
    Baseline(baseline::Baseline),
    Score(score::Score),
    Soak(soak::Soak),
    /// Look into the journal of a service, while it runs or afterwards
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Look at rules, check them, test them
    #[command(subcommand)]
    Rules(rule_commands::Rules),
}

/// Which rules to use.
#[derive(Args, Clone)]
struct RuleSelection {
    /// Directory or file with Sigma rules; may be given several times
    ///
    /// A rule with the id or name of a built-in one takes its place.
    #[arg(long = "rules", value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Leave out the rules that are built in
    #[arg(long)]
    no_builtin_rules: bool,
}

impl RuleSelection {
    /// Loads the rules and tells of those that were refused.
    fn load(&self) -> anyhow::Result<RuleSet> {
        self.load_with_shadow(&[])
    }

    /// The same, with rules of these names in shadow.
    fn load_with_shadow(&self, shadow: &[String]) -> anyhow::Result<RuleSet> {
        let mut rules = RuleSet::load(!self.no_builtin_rules, &self.directories)?;
        rules.put_in_shadow(shadow);
        for error in &rules.errors {
            tell(format_args!("fault in a rule: {error}"));
        }
        Ok(rules)
    }
}

fn read_config(path: Option<&PathBuf>) -> anyhow::Result<Config> {
    path.map_or_else(|| Ok(Config::default()), |path| Config::read(path).map_err(anyhow::Error::msg))
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Run(run) => run.run(),
        Command::Score(score) => score.run(),
        Command::Soak(soak) => soak.run(),
        Command::Replay(replay) => replay.run(),
        Command::Generate(generate) => generate.run(),
        Command::Baseline(baseline) => baseline.run(),
        Command::Watch(watch) => watch.run(),
        Command::Journal(journal) => journal.run(),
        Command::Rules(rules) => rules.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::from(2)
        }
    }
}
