//! An explanation for people: a line for each part, `+` before what holds and `-` before what does not.

use std::io::{self, Write};

use super::super::watch::show::printable;
use super::explanation::{As, Counted, Explained, OfRule, Says};
use crate::matching::explain::{Part, Tested, What};

/// Alternatives about one field, of which more are told of together.
const MAX_ALTERNATIVES: usize = 3;
/// Of these, so many are named.
const NAMED_ALTERNATIVES: usize = 3;
/// Rules of a correlation that match nothing of a line and are told of part by part; of more, their names.
const MAX_SILENT_RULES: usize = 3;

/// Writes what a rule says of a line.
pub fn write(
    out: &mut dyn Write,
    line: u64,
    rule: &str,
    explained: &Explained,
    is_coloured: bool,
) -> io::Result<()> {
    let mut page = Page { out, is_coloured };
    match explained {
        Explained::Nothing => writeln!(page.out, "line {line}: no event"),
        Explained::Unreadable(reason) => {
            writeln!(page.out, "line {line}: cannot be read: {}", printable(reason))
        }
        Explained::Event(of_rule) => {
            let verdict = match (&of_rule.says, of_rule.matches) {
                (Says::Detection { .. }, true) => "matches",
                (Says::Detection { .. }, false) => "does not match",
                (Says::Correlation { .. }, true) => "counts it",
                (Says::Correlation { .. }, false) => "does not count it",
            };
            let verdict = page.coloured(of_rule.matches, verdict);
            writeln!(page.out, "line {line}: {} {verdict}", printable(rule))?;
            page.rule(of_rule, 1)
        }
    }
}

struct Page<'o> {
    out: &'o mut dyn Write,
    is_coloured: bool,
}

impl Page<'_> {
    fn coloured(&self, holds: bool, text: &str) -> String {
        match (self.is_coloured, holds) {
            (false, _) => text.to_owned(),
            (true, true) => format!("\u{1b}[32m{text}\u{1b}[0m"),
            (true, false) => format!("\u{1b}[31m{text}\u{1b}[0m"),
        }
    }

    fn line(&mut self, depth: usize, holds: bool, text: &str) -> io::Result<()> {
        let mark = self.coloured(holds, if holds { "+" } else { "-" });
        writeln!(self.out, "{:indent$}{mark} {}", "", printable(text), indent = depth * 2)
    }

    fn note(&mut self, depth: usize, text: &str) -> io::Result<()> {
        writeln!(self.out, "{:indent$}{}", "", printable(text), indent = depth * 2)
    }

    fn rule(&mut self, of_rule: &OfRule, depth: usize) -> io::Result<()> {
        if let Some(reason) = &of_rule.allowed {
            self.note(depth, &format!("on the allowlist: {reason}"))?;
        }
        match &of_rule.says {
            Says::Detection { not_looked_at, looks_for } => {
                if let Some(class) = not_looked_at {
                    self.line(
                        depth,
                        false,
                        &format!("the rule does not look at logs of this kind ({class})"),
                    )?;
                }
                self.part(looks_for, depth)
            }
            Says::Correlation { condition, group_by, rules } => {
                let by =
                    if group_by.is_empty() { "everything together".to_owned() } else { group_by.join(" + ") };
                self.note(depth, &format!("asks for {condition}, by {by}"))?;
                let silent: Vec<&Counted> = rules.iter().filter(|counted| !counted.of_rule.matches).collect();
                let are_many = silent.len() > MAX_SILENT_RULES;
                for counted in rules.iter().filter(|counted| counted.of_rule.matches || !are_many) {
                    self.counted(counted, depth)?;
                }
                if are_many {
                    let names: Vec<&str> =
                        silent.iter().map(|counted| counted.of_rule.rule.as_str()).collect();
                    self.line(depth, false, &format!("nothing for {}", names.join(", ")))?;
                }
                Ok(())
            }
        }
    }

    fn counted(&mut self, counted: &Counted, depth: usize) -> io::Result<()> {
        let Counted { of_rule, counted, not_counted } = counted;
        let what = match counted {
            Some(As { subject, value }) => {
                let subject: Vec<String> = subject
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                    .collect();
                let with = if subject.is_empty() { "everything".to_owned() } else { subject.join(" ") };
                match &of_rule.says {
                    Says::Detection { .. } => format!(": counted for {with}, measured {value}"),
                    // Whether it finds something is not known of one line.
                    Says::Correlation { .. } => format!(": what it finds is counted for {with}"),
                }
            }
            None => not_counted.as_ref().map(|reason| format!(": not counted: {reason}")).unwrap_or_default(),
        };
        self.line(depth, of_rule.matches, &format!("{}{what}", of_rule.rule))?;
        self.rule(of_rule, depth + 1)
    }

    fn part(&mut self, part: &Part, depth: usize) -> io::Result<()> {
        let name = part.search.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        match &part.what {
            What::Test(test) => self.line(depth, part.holds, &format!("{name}{}", tested(test, part.holds))),
            What::Not(inner) => {
                self.line(depth, part.holds, &format!("{name}not"))?;
                self.part(inner, depth + 1)
            }
            What::All(parts) => {
                self.line(depth, part.holds, &format!("{name}all of"))?;
                parts.iter().try_for_each(|part| self.part(part, depth + 1))
            }
            What::Any(parts) => {
                // Of alternatives, those that hold say why, and all others are of no interest then.
                let holding: Vec<&Part> = parts.iter().filter(|part| part.holds).collect();
                if let (false, Some(text)) = (part.holds, together(parts)) {
                    return self.line(depth, false, &format!("{name}{text}"));
                }
                let others = parts.len() - holding.len();
                match (part.holds, others) {
                    (true, 1..) => self.line(
                        depth,
                        true,
                        &format!("{name}one of {}, the others do not hold", parts.len()),
                    )?,
                    _ => self.line(depth, part.holds, &format!("{name}one of"))?,
                }
                let shown: Vec<&Part> = if part.holds { holding } else { parts.iter().collect() };
                shown.into_iter().try_for_each(|part| self.part(part, depth + 1))
            }
        }
    }
}

/// What is asked, and of a test that fails what there is.
fn tested(test: &Tested, holds: bool) -> String {
    let field = test.field.as_deref().map(|field| format!("{field} ")).unwrap_or_default();
    let asked = format!("{field}{}", test.asked);
    let meant = test.meant.as_ref().map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
    match &test.value {
        _ if test.field.is_none() => asked,
        Some(value) if !holds => format!("{asked}   is '{value}'"),
        Some(value) if !test.asked.starts_with('=') => format!("{asked}   is '{value}'"),
        Some(_) => asked,
        None if test.is_unknown => {
            format!("{asked}   is missing: nothing that is read has this field{meant}")
        }
        None => format!("{asked}   is missing"),
    }
}

/// Many alternatives about one field in a line, when none of them holds.
fn together(parts: &[Part]) -> Option<String> {
    let tests: Option<Vec<&Tested>> = parts
        .iter()
        .map(|part| match &part.what {
            What::Test(test) => Some(test),
            _ => None,
        })
        .collect();
    let tests = tests.filter(|tests| tests.len() > MAX_ALTERNATIVES)?;
    let first = tests.first()?;
    if tests.iter().any(|test| test.field != first.field) {
        return None;
    }
    let named: Vec<&str> = tests.iter().take(NAMED_ALTERNATIVES).map(|test| test.asked.as_str()).collect();
    let asked = format!("one of {} ({}, ...)", tests.len(), named.join(", "));
    Some(tested(&Tested { asked, ..(*first).clone() }, false))
}
