//! `watchbell score`: how good are these rules on traffic of which it is known what was in it?

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::output::{print, tell};
use super::replay::parse_severity;
use super::summary::grouped;
use super::watch::show::printable;
use crate::rules::Severity;
use crate::score::found::{self, Found};
use crate::score::judge::judge;
use crate::score::label;
use crate::score::report::{Delay, Report};
use crate::unpack::unpacked;

/// Missed attacks, and false alarms, that are listed.
const MAX_LISTED: usize = 20;

/// Measure what alerts found of what is labelled
///
/// LABELS are what `watchbell generate` writes into labels.jsonl, or others in that form: kind, subject, from, to,
/// innocent. ALERTS are what `watchbell replay --output ndjson` or `watchbell journal alerts --output ndjson` prints,
/// or frames of the stream. Prints recall and time to detection by kind of attack, and false alarms by rule. Times are
/// those of the logs. An alert tells of an attack when it names an address or account that is labelled with it, while
/// it goes on or within five minutes (fifteen, for what webhooks tell); it is false when it names nobody who had part
/// in any attack.
///
/// Exit status: 0 when it was measured, and is as good as was asked for; 1 when it is not (--min-recall,
/// --max-false-alarms); 2 when a file cannot be read or is not what it should be.
#[derive(Args)]
pub struct Score {
    /// What is known about the traffic; plain or gzip, `-` is standard input
    #[arg(value_name = "LABELS")]
    labels: PathBuf,
    /// What was found; plain or gzip, `-` is standard input
    #[arg(value_name = "ALERTS")]
    alerts: PathBuf,
    /// Judge alerts of this severity and above: those that page somebody
    #[arg(long, value_name = "LEVEL", default_value = "medium", value_parser = parse_severity)]
    min_severity: Severity,
    /// Judge alerts of rules in shadow too
    #[arg(long)]
    shadow: bool,
    /// Only labels of this log: access, events or webhooks; may be given several times [default: all]
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// How many days it was watched [default: from the first label or alert to the last]
    #[arg(long, value_name = "N", value_parser = days)]
    days: Option<f64>,
    /// End with 1 when a smaller share of the attacks was found, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_recall: Option<f64>,
    /// End with 1 when there are more false alarms
    #[arg(long, value_name = "N")]
    max_false_alarms: Option<usize>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables for people
    Text,
    /// One JSON object
    Json,
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse().ok().filter(|days: &f64| days.is_finite() && *days > 0.0);
    days.ok_or_else(|| "expected a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected 0 to 1".to_owned())
}

impl Score {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            self.labels.as_os_str() != "-" || self.alerts.as_os_str() != "-",
            "labels and alerts cannot both come from standard input"
        );
        let name = |path: &Path| path.display().to_string();
        let mut labels = label::read(open(&self.labels)?).with_context(|| name(&self.labels))?;
        let mut alerts = found::read(open(&self.alerts)?).with_context(|| name(&self.alerts))?;
        if !self.streams.is_empty() {
            labels.retain(|label| label.stream.as_ref().is_some_and(|stream| self.streams.contains(stream)));
            anyhow::ensure!(
                !labels.is_empty(),
                "{}: no label is of {}",
                name(&self.labels),
                self.streams.join(" or ")
            );
        }
        let is_judged =
            |alert: &Found| alert.severity >= self.min_severity && (self.shadow || !alert.mode.is_shadow());
        // What is not judged still shows who had to do with whom.
        let partners = found::partners(&alerts);
        alerts.retain(is_judged);
        let report = Report::new(&judge(labels, &alerts, &partners), &alerts, self.days);
        print(|out| match self.output {
            Output::Json => {
                serde_json::to_writer(&mut *out, &report)?;
                writeln!(out)
            }
            Output::Text => write_report(out, &report),
        })?;
        let mut is_good = true;
        if let Some(least) = self.min_recall.filter(|least| report.recall < *least) {
            tell(format_args!("{:.3} of the attacks were found, less than {least}", report.recall));
            is_good = false;
        }
        if let Some(most) = self.max_false_alarms.filter(|most| report.false_alarms > *most) {
            tell(format_args!("{} false alarms are more than {most}", report.false_alarms));
            is_good = false;
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn open(path: &Path) -> anyhow::Result<BufReader<impl io::Read + use<>>> {
    let opened =
        if path.as_os_str() == "-" { unpacked(io::stdin()) } else { File::open(path).and_then(unpacked) };
    Ok(BufReader::new(opened.with_context(|| path.display().to_string())?))
}

fn write_report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{} of {} attacks found ({:.1} %), {} false alarms in {:.2} days ({:.2} a day), {} alerts in all",
        grouped(report.found as u64),
        grouped(report.attacks as u64),
        report.recall * 100.0,
        grouped(report.false_alarms as u64),
        report.days,
        report.false_alarms_per_day,
        grouped(report.alerts as u64),
    )?;
    if report.found_by_earlier > 0 {
        let earlier = grouped(report.found_by_earlier as u64);
        writeln!(out, "{earlier} of those found only by alerts about a whole service that were open before")?;
    }
    writeln!(
        out,
        "time to detection: {}\n",
        delay(report.time_to_detection, " in the middle, ", " at worst")
    )?;
    writeln!(out, "{:<48} {:>9} {:>16}  rules", "attack", "found", "time to it")?;
    for of_kind in &report.kinds {
        let speed = of_kind.speed.as_deref().map(|speed| format!(" {speed}")).unwrap_or_default();
        let rules: Vec<String> = of_kind.rules.iter().map(|rule| printable(rule)).collect();
        let name = printable(&format!("{}{speed}", of_kind.kind));
        let found = format!("{}/{}", of_kind.found, of_kind.attacks);
        let time = delay(of_kind.time_to_detection, " / ", "");
        writeln!(out, "{name:<48} {found:>9} {time:>16}  {}", rules.join(", "))?;
        for missed in of_kind.missed.iter().take(MAX_LISTED) {
            let subject = printable(&serde_json::to_string(&missed.subject)?);
            let subject: String = subject.chars().take(100).collect();
            writeln!(out, "    missed: {} {subject}", missed.start)?;
        }
    }
    writeln!(
        out,
        "\n{:<48} {:>7} {:>7} {:>9} {:>8} {:>16}",
        "rule", "alerts", "false", "a day", "attacks", "time to it"
    )?;
    for of_rule in &report.rules {
        let mark = if of_rule.mode.is_shadow() { " [shadow]" } else { "" };
        writeln!(
            out,
            "{:<48} {:>7} {:>7} {:>9.2} {:>8} {:>16}",
            printable(&format!("{}{mark}", of_rule.rule)),
            of_rule.alerts,
            of_rule.false_alarms,
            of_rule.false_alarms_per_day,
            of_rule.attacks,
            delay(of_rule.time_to_detection, " / ", "")
        )?;
    }
    if !report.false_alarm_list.is_empty() {
        writeln!(out, "\nfalse alarms")?;
    }
    for alarm in report.false_alarm_list.iter().take(MAX_LISTED) {
        let innocents: Vec<String> = alarm.innocents.iter().map(|kind| printable(kind)).collect();
        let about = if innocents.is_empty() { "nothing labelled".to_owned() } else { innocents.join(", ") };
        let (rule, subject) = (printable(&alarm.rule), printable(&alarm.subject));
        writeln!(out, "  {} {rule} {subject} ({about})", alarm.opened_at)?;
    }
    match report.false_alarm_list.len().saturating_sub(MAX_LISTED) {
        0 => Ok(()),
        more => writeln!(out, "  and {} more (see --output json)", grouped(more as u64)),
    }
}

/// The middle and the worst.
fn delay(delay: Option<Delay>, between: &str, behind: &str) -> String {
    let Some(Delay { p50_seconds, worst_seconds }) = delay else { return "-".to_owned() };
    format!("{}{between}{}{behind}", seconds(p50_seconds), seconds(worst_seconds))
}

fn seconds(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{seconds:.0}s"),
        ..3600.0 => format!("{:.1}m", seconds / 60.0),
        _ => format!("{:.1}h", seconds / 3600.0),
    }
}
