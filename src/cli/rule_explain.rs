//! `watchbell rules explain`: why does this rule match these lines, or not?

mod explanation;
mod text;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use self::explanation::Explained;
use super::output::{print, tell};
use super::rule_match::{next_line, open, parse_class};
use super::{RuleSelection, read_config};
use crate::allowlist::Allowlist;
use crate::decode::{Decoded, Decoder, Format};
use crate::event::{Class, Event, Schema};
use crate::geo::Geo;
use crate::matching::observation::Plan;
use crate::rules::nearest::did_you_mean;
use crate::rules::{Rule, RuleSet};

/// Lines that are explained unless some are chosen.
const FIRST_LINES: u64 = 10;

/// Show why lines match a rule, or do not
#[derive(Args)]
pub struct Explain {
    /// Name, id or title of the rule
    #[arg(value_name = "RULE")]
    rule: String,
    /// Lines to look at, plain or gzip; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Numbers of lines, such as 3 or 10-20; commas between several, or given several times [default: 1-10]
    #[arg(long = "line", value_name = "N", value_delimiter = ',', value_parser = parse_lines)]
    lines: Vec<(u64, u64)>,
    #[command(flatten)]
    rules: RuleSelection,
    /// Format of the lines: combined, common, json, haproxy, alb or w3c [default: found]
    #[arg(long)]
    format: Option<Format>,
    /// Treat lines as of this kind of log: webserver, proxy, application, messaging or any [default: as the lines say]
    #[arg(long, value_parser = parse_class)]
    class: Option<Class>,
    /// Configuration file (login patterns, trusted proxies, allowlist, ...)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object for each line
    Ndjson,
}

fn parse_lines(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok((first, last)),
        _ => Err("expected the number of a line, from 1, or two as in 10-20".to_owned()),
    }
}

impl Explain {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = read_config(self.config.as_ref())?;
        let rules = self.rules.load_with_shadow(&config.rules.shadow)?;
        let rule = find(&rules, &self.rule)?;
        let geo = Geo::open(&config.geo)?;
        let mut allowlist = Allowlist::new(&config.allowlist).map_err(anyhow::Error::msg)?;
        let mut settings = config.decode;
        if self.class.is_some() {
            settings.class = self.class;
        }
        let mut schema = Schema::new();
        // It also makes the fields that rules name known to the decoder.
        let plan = Plan::new(&rules, &mut schema, Duration::ZERO, [0; 16], geo.relays());
        allowlist.resolve(&mut schema);
        explanation::name_fields(&rules, rule, &mut schema);
        let schema = Arc::new(schema);
        let (format, mut lines) = open(&self.file, self.format.as_ref())?;
        let mut decoder = Decoder::new(format, Arc::clone(&schema), Arc::new(settings));
        let explainer =
            explanation::Explainer { rules: &rules, plan: &plan, schema: &schema, allowlist: &allowlist };
        let chosen = if self.lines.is_empty() { vec![(1, FIRST_LINES)] } else { self.lines.clone() };
        let last = chosen.iter().map(|(_, last)| *last).max().unwrap_or(0);
        let is_coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let mut outcome = Outcome::default();
        print(|out| {
            let mut bytes = Vec::new();
            for number in 1..=last {
                match next_line(&mut lines, &mut bytes) {
                    Ok(true) => outcome.read = number,
                    Ok(false) => break,
                    Err(error) => {
                        tell(format_args!("{}: {error}", self.file.display()));
                        outcome.is_incomplete = true;
                        break;
                    }
                }
                let line = String::from_utf8_lossy(&bytes);
                let mut event = Event::new(&schema);
                let decoded = decoder.decode(&line, &mut event);
                geo.fill(&mut event);
                if !chosen.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
                    continue;
                }
                let explained = match decoded {
                    Ok(Decoded::Nothing) => Explained::Nothing,
                    Ok(_) => Explained::Event(explainer.rule(rule, &event)),
                    Err(error) => {
                        outcome.is_incomplete = true;
                        Explained::Unreadable(error.to_string())
                    }
                };
                match self.output {
                    Output::Text => {
                        text::write(out, number, rules.rules[rule].handle(), &explained, is_coloured)?
                    }
                    Output::Ndjson => {
                        serde_json::to_writer(&mut *out, &explained.to_json(number, &rules.rules[rule]))?;
                        writeln!(out)?;
                    }
                }
            }
            Ok(())
        })?;
        outcome.tell(self, &chosen, &mut lines)
    }
}

#[derive(Default)]
struct Outcome {
    read: u64,
    is_incomplete: bool,
}

impl Outcome {
    /// Says what is left, or what was not there.
    fn tell(
        mut self,
        explain: &Explain,
        chosen: &[(u64, u64)],
        lines: &mut impl BufRead,
    ) -> anyhow::Result<ExitCode> {
        let file = explain.file.display();
        if explain.lines.is_empty() {
            let has_more = self.read == FIRST_LINES && lines.fill_buf().is_ok_and(|rest| !rest.is_empty());
            if has_more {
                tell(format_args!(
                    "{file}: the first {FIRST_LINES} lines are explained; choose others with --line"
                ));
            }
        } else if let Some((first, _)) = chosen.iter().find(|(first, _)| *first > self.read) {
            tell(format_args!("{file}: there is no line {first}; the last is {}", self.read));
            self.is_incomplete = true;
        }
        Ok(if self.is_incomplete { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

/// The place of the rule.
fn find(rules: &RuleSet, name: &str) -> anyhow::Result<usize> {
    let is_called =
        |rule: &Rule| [rule.id.as_deref(), rule.name.as_deref(), Some(&rule.title)].contains(&Some(name));
    let nearest = || did_you_mean(name, rules.rules.iter().map(Rule::handle));
    rules
        .rules
        .iter()
        .position(is_called)
        .ok_or_else(|| anyhow!("no rule is called '{name}'{}; see `watchbell rules list`", nearest()))
}
