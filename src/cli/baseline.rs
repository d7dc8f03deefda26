//! `watchbell baseline`: how surprising each value of a series is.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::output::{print, tell};
use crate::rules::baseline::Season;
use crate::rules::correlation::parse_span;
use crate::windows::baseline::detector::{Detector, Values};

/// Most rows of a series: a year of seconds, in a gibibyte and a half.
const MAX_ROWS: usize = 32_000_000;
/// Rows that are looked at to find out what the numbers are.
const LOOKED_AT: usize = 1_000;
/// The score of an alert, by default, is a half.
const HALF_BITS: f32 = 16.0;

/// Say how surprising each value of a series is, one value a tick, on standard input and output
///
/// Reads rows `timestamp,value`; further columns are passed over, and a header may come first. A timestamp is ISO 8601
/// (UTC where it names no zone), or seconds, milliseconds or microseconds since 1970. Writes `timestamp,value,score` for
/// each row, in the order in which they came; they are looked at in the order of their times, each knowing only those
/// before it. The score is from 0 to 1: bits / (bits + 16), where bits are those of the baselines of rules, so that 0.5
/// is 16 bits, at which rules alert by default. Both directions count. The first ten rows have 0.
///
/// Where rows are missing, nothing is learnt, and less is certain afterwards. A row without a number has 0, and one
/// without a time is left out; how many there were is said at the end. One series a process.
#[derive(Args)]
pub struct Baseline {
    /// How far apart rows are, such as 30s, 5m or 1h [default: the median of what lies between them]
    #[arg(long, value_parser = span)]
    tick: Option<Duration>,
    /// What repeats: the hours of the day, or of the week
    #[arg(long, value_enum, default_value_t = Repeats::Week)]
    season: Repeats,
    /// What the numbers are; counts are whole and not negative
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    values: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Repeats {
    None,
    Day,
    Week,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Auto,
    Counts,
    Numbers,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "a span such as 30s, 5m or 1h".to_owned())
}

impl Baseline {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let series = Series::read(std::io::stdin().lock())?;
        let season = match self.season {
            Repeats::None => Season::None,
            Repeats::Day => Season::Day,
            Repeats::Week => Season::Week,
        };
        let values = match self.values {
            Kind::Auto => series.values(),
            Kind::Counts => Values::Counts,
            Kind::Numbers => Values::Numbers,
        };
        let tick = self.tick.map_or_else(|| series.tick(), |tick| tick.as_secs_f64());
        let scores = series.scores(tick, values, season);
        print(|output| series.write(&scores, output)).context("cannot write scores")?;
        Ok(series.tell())
    }
}

/// A row of a series.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// As it was written: what is before the second comma.
    text: String,
    /// Seconds since the epoch.
    at: f64,
    /// `None` where there is no number.
    value: Option<f64>,
}

/// A series as it was read.
#[derive(Debug, Default)]
pub struct Series {
    rows: Vec<Row>,
    /// The third column, row by row; empty where there is none.
    pub third: Vec<String>,
    header: Option<String>,
    /// Rows that have no time.
    untimed: usize,
    /// The first of those, and the number of its line.
    first_untimed: Option<(usize, String)>,
    /// Places of rows in the order of their times.
    order: Vec<usize>,
    /// Rows that came after one with a later time.
    disordered: usize,
}

impl Series {
    /// Reads rows. The error is for what cannot be read, and for a series without any row.
    pub fn read(mut reader: impl BufRead) -> anyhow::Result<Self> {
        let mut series = Self::default();
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).context("cannot read the series")? == 0 {
                break;
            }
            number += 1;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() {
                series.take(number, text)?;
            }
        }
        if series.rows.is_empty() {
            bail!("there are no rows 'timestamp,value' on standard input");
        }
        series.order = (0..series.rows.len()).collect();
        series.disordered = series.rows.windows(2).filter(|pair| pair[1].at < pair[0].at).count();
        let rows = &series.rows;
        series.order.sort_by(|left, right| rows[*left].at.total_cmp(&rows[*right].at));
        Ok(series)
    }

    fn take(&mut self, number: usize, line: &str) -> anyhow::Result<()> {
        let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
        let (time, value) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let Some(at) = seconds(time) else {
            if number == 1 && value.parse::<f64>().is_err() {
                self.header = Some(format!("{time},{value}"));
            } else {
                self.untimed += 1;
                self.first_untimed.get_or_insert_with(|| (number, line.chars().take(80).collect()));
            }
            return Ok(());
        };
        if self.rows.len() >= MAX_ROWS {
            bail!("a series of more than {MAX_ROWS} rows");
        }
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
        self.rows.push(Row { text: format!("{time},{value}"), at, value: number });
        self.third.push(fields.next().unwrap_or_default().to_owned());
        Ok(())
    }

    /// The median of the seconds between rows; 60 where that cannot be said.
    pub fn tick(&self) -> f64 {
        let times = self.order.windows(2).map(|pair| self.rows[pair[1]].at - self.rows[pair[0]].at);
        let mut steps: Vec<f64> = times.filter(|step| *step > 0.0).collect();
        if steps.is_empty() {
            return 60.0;
        }
        let middle = steps.len() / 2;
        *steps.select_nth_unstable_by(middle, f64::total_cmp).1
    }

    /// What the numbers are, by the first of them.
    pub fn values(&self) -> Values {
        let mut first = self.order.iter().filter_map(|place| self.rows[*place].value).take(LOOKED_AT);
        if first.all(|value| value >= 0.0 && value.fract() == 0.0) { Values::Counts } else { Values::Numbers }
    }

    /// The numbers, in the order in which they came; 0 where there is none.
    pub fn numbers(&self) -> Vec<f32> {
        self.rows.iter().map(|row| row.value.unwrap_or(0.0) as f32).collect()
    }

    /// The score of each row, in the order in which they came.
    pub fn scores(&self, tick: f64, values: Values, season: Season) -> Vec<f32> {
        let mut detector = Detector::new(values, season);
        let mut scores = vec![0.0; self.rows.len()];
        let mut last: Option<f64> = None;
        for place in &self.order {
            let row = &self.rows[*place];
            let Some(value) = row.value else { continue };
            let missing = last.map_or(0.0, |last| ((row.at - last) / tick).round() - 1.0);
            if missing >= 1.0 {
                detector.skip(missing as u32);
            }
            last = Some(row.at);
            let bits = detector.update(value as f32, row.at.floor() as i64).bits;
            scores[*place] = bits / (bits + HALF_BITS);
        }
        scores
    }

    fn write(&self, scores: &[f32], output: &mut dyn Write) -> std::io::Result<()> {
        if let Some(header) = &self.header {
            writeln!(output, "{header},score")?;
        }
        for (row, score) in self.rows.iter().zip(scores) {
            writeln!(output, "{},{score}", row.text)?;
        }
        Ok(())
    }

    /// Says what was wrong with rows.
    fn tell(&self) -> ExitCode {
        let valueless = self.rows.iter().filter(|row| row.value.is_none()).count();
        if let Some((number, line)) = &self.first_untimed {
            let rows = self.untimed;
            tell(format_args!(
                "{rows} rows without a time were left out, the first in line {number}: {line}"
            ));
        }
        if valueless > 0 {
            tell(format_args!("{valueless} rows without a number are scored 0"));
        }
        if self.disordered > 0 {
            tell(format_args!("{} rows came after later ones and were looked at in order", self.disordered));
        }
        if self.untimed + valueless > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS }
    }
}

/// A time in seconds since the epoch.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        let unit = match number.abs() {
            size if size < 1e11 => 1.0,
            size if size < 1e14 => 1e-3,
            size if size < 1e17 => 1e-6,
            _ => return None,
        };
        return Some(number * unit);
    }
    let at = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| jiff::tz::TimeZone::UTC.to_timestamp(text.parse::<jiff::civil::DateTime>()?));
    at.ok().map(|at| at.as_microsecond() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_many_ways() {
        for (text, expected) in [
            ("1396310400", Some(1_396_310_400.0)),
            ("1396310400.5", Some(1_396_310_400.5)),
            ("1396310400000", Some(1_396_310_400.0)),
            ("1396310400000000", Some(1_396_310_400.0)),
            ("2014-04-01 00:00:00", Some(1_396_310_400.0)),
            ("2014-04-01T02:00:00+02:00", Some(1_396_310_400.0)),
            ("2014-04-01T00:00:00Z", Some(1_396_310_400.0)),
            ("0", Some(0.0)),
            ("timestamp", None),
            ("", None),
            ("NaN", None),
            ("1e300", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
