//! `watchbell rules match`: which detections match which lines, without the windows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::output::{print, tell};
use super::read_config;
use crate::decode::{Decoded, Decoder, Format};
use crate::event::{Class, Event, Schema};
use crate::matching::{Matcher, Scanner};
use crate::rules::RuleSet;
use crate::unpack::unpacked;

/// Bytes looked at to find out the format.
const SAMPLE_BYTES: u64 = 64 << 10;

/// Bytes of a line that are kept; the decoder refuses a line that is as long as too long.
const MAX_LINE_BYTES: u64 = 256 << 10;

/// Print which detections match which lines
#[derive(Args)]
pub struct Match {
    /// Directory or file with Sigma rules; may be given several times [default: the rules that are built in]
    #[arg(long = "rules", value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Format of the lines: combined, common, json, haproxy, alb or w3c [default: found]
    #[arg(long)]
    format: Option<Format>,
    /// Treat lines as of this kind of log: webserver, proxy, application, messaging or any [default: as the lines say]
    #[arg(long, value_parser = parse_class)]
    class: Option<Class>,
    /// Configuration file (login patterns, trusted proxies, ...)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also detections that are built in for correlations only
    #[arg(long)]
    all: bool,
    /// Lines to look at, plain or gzip; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn parse_class(word: &str) -> Result<Class, String> {
    match word {
        "webserver" => Ok(Class::Webserver),
        "proxy" => Ok(Class::Proxy),
        "application" => Ok(Class::Application),
        "messaging" => Ok(Class::Messaging),
        "any" => Ok(Class::Any),
        _ => Err("expected webserver, proxy, application, messaging or any".to_owned()),
    }
}

impl Match {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let rules = RuleSet::load(self.directories.is_empty(), &self.directories)?;
        for error in &rules.errors {
            tell(format_args!("fault in a rule: {error}"));
        }
        let mut settings = read_config(self.config.as_ref())?.decode;
        if self.class.is_some() {
            settings.class = self.class;
        }
        let mut schema = Schema::new();
        let matcher = Matcher::compile(&rules, &mut schema);
        let schema = Arc::new(schema);
        let (format, mut lines) = open(&self.file, self.format.as_ref())?;
        let mut decoder = Decoder::new(format, Arc::clone(&schema), Arc::new(settings));
        let mut scanner = Scanner::new(&matcher);
        let is_shown = |rule: &usize| self.all || rules.rules[*rule].reported || !rules.rules[*rule].builtin;
        let mut bytes = Vec::new();
        let mut read_failed = None;
        print(|out| {
            for number in 1_u64.. {
                match next_line(&mut lines, &mut bytes) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        read_failed = Some(error);
                        break;
                    }
                }
                let line = String::from_utf8_lossy(&bytes);
                let mut event = Event::new(&schema);
                match decoder.decode(&line, &mut event) {
                    Ok(Decoded::Nothing) => continue,
                    Ok(_) => {}
                    Err(error) => {
                        tell(format_args!("{}:{number}: {error}", self.file.display()));
                        continue;
                    }
                }
                let mut matched = Vec::new();
                scanner.scan(&matcher, &event, |rule| matched.push(rule));
                matched.sort_unstable();
                for rule in matched.into_iter().filter(is_shown) {
                    let line = serde_json::json!({"rule": rules.rules[rule].identity(), "line": number});
                    writeln!(out, "{line}")?;
                }
            }
            Ok(())
        })?;
        match read_failed {
            Some(error) => {
                tell(format_args!("{}: {error}; what is before that was read", self.file.display()));
                Ok(ExitCode::from(1))
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

/// The format and the lines of a file, or of standard input for `-`.
pub(super) fn open(file: &Path, format: Option<&Format>) -> anyhow::Result<(Format, impl BufRead + use<>)> {
    let name = || file.display().to_string();
    let mut reader =
        if file.as_os_str() == "-" { unpacked(io::stdin()) } else { File::open(file).and_then(unpacked) }
            .with_context(name)?;
    let mut sample = Vec::new();
    // What can be read of a file that breaks off soon is read, and the rest told of, below.
    if let Err(error) = reader.by_ref().take(SAMPLE_BYTES).read_to_end(&mut sample)
        && sample.is_empty()
    {
        return Err(error).with_context(name);
    }
    let format = match format {
        Some(format) => format.clone(),
        None => {
            let sample = String::from_utf8_lossy(&sample);
            let whole_lines = sample.rfind('\n').map_or(sample.as_ref(), |end| &sample[..end]);
            Format::detect(whole_lines).with_context(|| {
                format!("{}: no known format reads its first lines; name one with --format", name())
            })?
        }
    };
    Ok((format, BufReader::new(Cursor::new(sample).chain(reader))))
}

/// The next line without its end; `false` when there is none.
pub(super) fn next_line(lines: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    if lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', bytes)? == 0 {
        return Ok(false);
    }
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        bytes.pop_if(|last| *last == b'\r');
    } else if bytes.len() as u64 == MAX_LINE_BYTES {
        lines.skip_until(b'\n')?;
    }
    Ok(true)
}
