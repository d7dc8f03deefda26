//! `watchbell journal dead-letters`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::{Look, exit};
use crate::cli::alert_text::short;
use crate::cli::output::{print, tell};
use crate::cli::summary::grouped;
use crate::cli::watch::show::{escaped, printable};
use crate::journal::{DeadLetter, Journal, StoredDeadLetter};

/// What arrived and could not be understood, the newest first
///
/// Id, when, source, size in bytes, and why it could not be understood. With an id, what arrived goes to standard output as
/// it is; to a terminal, without what a terminal would obey.
#[derive(Args)]
pub struct DeadLetters {
    /// Print what arrived of this one
    #[arg(value_name = "ID")]
    id: Option<u64>,
    #[command(flatten)]
    look: Look,
}

impl DeadLetters {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let journal = self.look.open()?;
        match self.id {
            None => self.list(&journal),
            Some(id) => self.show(&journal, id),
        }
    }

    fn list(&self, journal: &Journal) -> anyhow::Result<ExitCode> {
        let letters = journal.dead_letters(usize::MAX)?;
        print(|out| {
            if letters.is_empty() && !self.look.is_json() {
                return writeln!(out, "No dead letters.");
            }
            letters.iter().try_for_each(|letter| match self.look.is_json() {
                true => writeln!(out, "{}", escaped(&object(letter).to_string())),
                false => writeln!(out, "{}", line(letter)),
            })
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, journal: &Journal, id: u64) -> anyhow::Result<ExitCode> {
        let Some(stored) = journal.dead_letter(id)? else {
            if journal.dead_letters(usize::MAX)?.iter().any(|letter| letter.id == id) {
                tell(format_args!("dead letter {id} does not decrypt"));
                return Ok(exit(false));
            }
            bail!("there is no dead letter {id}: without an id, those that there are are listed");
        };
        let body = &stored.letter.body;
        if (body.len() as u64) < stored.size {
            let (kept, size) = (grouped(body.len() as u64), grouped(stored.size));
            tell(format_args!("of its {size} bytes the first {kept} were kept"));
        }
        if self.look.is_json() {
            let mut object = object(&stored);
            match std::str::from_utf8(body) {
                Ok(text) => object["body"] = text.into(),
                Err(_) => object["body_base64"] = STANDARD.encode(body).into(),
            }
            print(|out| writeln!(out, "{}", escaped(&object.to_string())))?;
        } else if std::io::stdout().is_terminal() {
            print(|out| write_shown(out, body))?;
        } else {
            print(|out| out.write_all(body))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Line by line, as a terminal only shows them.
fn write_shown(out: &mut dyn Write, body: &[u8]) -> std::io::Result<()> {
    String::from_utf8_lossy(body).lines().try_for_each(|line| writeln!(out, "{}", printable(line)))
}

fn object(stored: &StoredDeadLetter) -> Value {
    let DeadLetter { at, source, reason, body: _ } = &stored.letter;
    json!({"id": stored.id, "at": at, "source": source, "reason": reason, "size": stored.size})
}

fn line(stored: &StoredDeadLetter) -> String {
    let DeadLetter { at, source, reason, body: _ } = &stored.letter;
    format!(
        "{:>6}  {}  {}  {:>9} bytes  {}",
        stored.id,
        short(&at.to_string()),
        printable(source),
        grouped(stored.size),
        printable(reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_only_shows_what_arrived() {
        let mut shown = Vec::new();
        write_shown(&mut shown, b"a\x1b[2J\xff\r\n\tb").unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), "a\u{fffd}[2J\u{fffd}\n\u{fffd}b\n");
    }
}
