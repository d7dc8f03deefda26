//! Time as text.
//!
//! Thousands of lines share a second, so the text of the last second is kept: writing a time is then a copy.
//! All times are UTC, as servers that are correlated with each other should log.

use std::fmt::Write;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes times, remembering the last second it wrote.
#[derive(Default)]
pub(super) struct Clock {
    second: Option<i64>,
    common: String,
    date_time: String,
}

impl Clock {
    /// The time of an access log: `24/Nov/2026:10:00:00 +0000`.
    pub(super) fn common(&mut self, at_ms: i64) -> &str {
        self.turn(at_ms.div_euclid(1000));
        &self.common
    }

    /// The time of an application event: `2026-11-24T10:00:00.123Z`.
    pub(super) fn push_precise(&mut self, at_ms: i64, text: &mut String) {
        self.turn(at_ms.div_euclid(1000));
        text.push_str(&self.date_time);
        let milliseconds = at_ms.rem_euclid(1000);
        // Writing to a string cannot fail.
        let _ = write!(text, ".{milliseconds:03}Z");
    }

    fn turn(&mut self, second: i64) {
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        self.date_time.clear();
        push_date_time(second, &mut self.date_time);
        let (date, time) = self.date_time.split_at(10);
        let (year, month, day) = civil(second.div_euclid(86_400));
        debug_assert_eq!(date.len(), 10, "{year}-{month}-{day} must have four digits of year");
        self.common.clear();
        let name = MONTHS[(month - 1) as usize];
        let _ = write!(self.common, "{day:02}/{name}/{year:04}:{} +0000", &time[1..]);
    }
}

/// `2026-11-24T10:00:00Z`, as labels have it.
pub(super) fn date_time(second: i64) -> String {
    let mut text = String::with_capacity(20);
    push_date_time(second, &mut text);
    text.push('Z');
    text
}

fn push_date_time(second: i64, text: &mut String) {
    let (year, month, day) = civil(second.div_euclid(86_400));
    let within = second.rem_euclid(86_400);
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
}

/// Year, month and day of a number of days since 1970, by counting in years that begin in March, so that the
/// day a leap year adds is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let mut clock = Clock::default();
        assert_eq!(clock.common(1_795_514_400_000), "24/Nov/2026:10:00:00 +0000");
        assert_eq!(clock.common(951_782_399_999), "28/Feb/2000:23:59:59 +0000");
        assert_eq!(clock.common(951_782_400_000), "29/Feb/2000:00:00:00 +0000", "a new second is a new text");
        let mut text = String::new();
        clock.push_precise(1_795_514_400_042, &mut text);
        assert_eq!(text, "2026-11-24T10:00:00.042Z");
        assert_eq!(date_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_time(1_709_164_800), "2024-02-29T00:00:00Z");
    }
}
