//! What `watchbell replay` tells a person: the alerts, what was read, and what could not be.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::alert_text::write_alert;
use super::watch::show::printable;
use crate::alert::Alert;
use crate::decode::Undecodable;
use crate::engine::Engine;
use crate::replay::Replayed;
use crate::rules::Severity;

/// Alerts that are listed of one rule: an analyst wants to see what there is, not all of it.
const MAX_LISTED: usize = 20;

/// The same for rules that are critical, where each may be another machine that is lost.
const MAX_LISTED_CRITICAL: usize = 200;

/// The alerts, the most severe first, and how many are not listed.
pub fn write_alerts(out: &mut dyn Write, alerts: &[&Alert]) -> io::Result<()> {
    if alerts.is_empty() {
        return writeln!(out, "Nothing to report.\n");
    }
    for severity in Severity::ALL.into_iter().rev() {
        let mut these: Vec<_> = alerts.iter().filter(|alert| alert.severity == severity).collect();
        these.sort_by_key(|alert| alert.mode.is_shadow());
        if these.is_empty() {
            continue;
        }
        writeln!(out, "{} ({})", severity.name().to_uppercase(), grouped(these.len() as u64))?;
        let most = if severity == Severity::Critical { MAX_LISTED_CRITICAL } else { MAX_LISTED };
        let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
        for alert in these {
            let of_rule = listed.entry(&alert.rule.name).or_default();
            *of_rule += 1;
            if *of_rule > most {
                continue;
            }
            write_alert(out, "  ", &serde_json::to_value(alert)?)?;
        }
        for (rule, count) in listed.into_iter().filter(|(_, count)| *count > most) {
            writeln!(out, "  and {} more of {rule} (see --output ndjson)", grouped((count - most) as u64))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What was read, and what was not.
pub fn write_reading(
    out: &mut dyn Write,
    engine: &Engine,
    replayed: &Replayed,
    took: Duration,
) -> io::Result<()> {
    let counts = engine.counts();
    let seconds = took.as_secs_f64().max(1e-9);
    writeln!(
        out,
        "{} lines, {} events, {} alerts in {:.2} s ({} lines/s, {:.0} MB/s)",
        grouped(counts.read.decoded.lines),
        grouped(counts.read.decoded.events),
        grouped(replayed.alerts.len() as u64),
        seconds,
        grouped((counts.read.decoded.lines as f64 / seconds) as u64),
        replayed.bytes as f64 / 1e6 / seconds
    )?;
    if let Some((cpu_seconds, peak_bytes)) = resources() {
        let peak = peak_bytes as f64 / 1e6;
        writeln!(out, "  {cpu_seconds:.2} s of CPU, {peak:.0} MB of memory at most")?;
    }
    writeln!(
        out,
        "  {} observations of {} subjects, {:.0} MB of windows at the end",
        grouped(counts.read.observations),
        grouped(counts.table.created),
        counts.table.bytes as f64 / 1e6
    )?;
    for (path, format) in &replayed.formats {
        writeln!(out, "  {} read as {format}", path.display())?;
    }
    let undecodable: u64 = counts.read.decoded.undecodable.iter().sum();
    if undecodable > 0 {
        writeln!(out, "  {} lines could not be read:", grouped(undecodable))?;
        for (reason, count) in
            Undecodable::ALL.iter().zip(counts.read.decoded.undecodable).filter(|(_, count)| *count > 0)
        {
            writeln!(out, "    {:>9}  {}: {reason}", grouped(count), reason.reason())?;
        }
        for line in engine.undecodable().iter().take(3) {
            let start: String = printable(&line.start).chars().take(100).collect();
            writeln!(out, "    e.g. {}:{}  {start}", engine.source_name(line.source), line.line)?;
        }
    }
    for (count, what) in [
        (counts.read.decoded.truncated, "lines were cut, and read as far as they go"),
        (counts.read.decoded.unknown, "lines are JSON without any known name; only keywords look at them"),
        (counts.read.untimed, "events have no time and were not counted"),
        (counts.clock.ahead, "events were ahead of their time and held to it"),
        (counts.clock.late, "events were too late to be counted"),
        (counts.read.missing_group, "matches lack a field they are grouped by and were not counted"),
        (counts.read.missing_value, "matches lack the value that is measured and were not counted"),
        (counts.read.allowed, "matches were on the allowlist"),
        (counts.allowed_alerts, "findings were on the allowlist"),
        (counts.inhibited_alerts, "findings opened no alert because another rule's is open"),
        (counts.table.evicted, "subjects were evicted because window memory is full"),
    ] {
        if count > 0 {
            writeln!(out, "  {} {what}", grouped(count))?;
        }
    }
    for (refused, rule) in counts.refused_alerts.iter().zip(&engine.shared().rules) {
        if *refused > 0 {
            let name = &rule.name.name;
            writeln!(
                out,
                "  {} findings of {name} opened no alert because too many are open",
                grouped(*refused)
            )?;
        }
    }
    Ok(())
}

/// CPU seconds that this process has used, and the most memory it has had; `None` where the system does not say.
fn resources() -> Option<(f64, u64)> {
    /// The unit of `/proc/self/stat` on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.split_whitespace().next()?.parse().ok()?;
    Some((ticks / TICKS_PER_SECOND, kibibytes << 10))
}

/// With a comma between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
