//! Times as logs write them, read by hand: a general parser costs more than the rest of the line.
//!
//! Lines of one log come a few seconds apart, so a clock remembers the last minute it read and looks only at
//! the seconds of the next line. What it returns never depends on what it remembers.

use serde::Deserialize;

use crate::event::{Timestamp, Value};

/// Length of `24/Nov/2026:10:00:00 +0000`.
pub(super) const CLF_LENGTH: usize = 26;

/// The zone of times that are logged without one; UTC unless set.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        jiff::tz::TimeZone::get(&name).map(Self).map_err(|_| {
            format!("unknown time zone `{name}`: expected a name such as `Europe/Berlin` or `UTC`")
        })
    }
}

impl Zone {
    /// Seconds since the epoch of a time in this zone, itself given as if it were in UTC.
    fn seconds(&self, local: i64) -> Option<i64> {
        if self.0 == jiff::tz::TimeZone::UTC {
            return Some(local);
        }
        let datetime = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(local).ok()?);
        self.0.to_timestamp(datetime).ok().map(jiff::Timestamp::as_second)
    }
}

/// Reads times and remembers the last minute.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: Zone,
    /// `24/Nov/2026:10:00`
    minute: [u8; 17],
    /// ` +0000`, or zeros for a time without an offset.
    offset: [u8; 6],
    /// Seconds since the epoch at the start of the minute.
    base: i64,
}

impl Clock {
    pub(super) fn new(zone: Zone) -> Self {
        Self { zone, minute: [0; 17], offset: [0; 6], base: 0 }
    }

    /// `24/Nov/2026:10:00:00 +0000` at the start of `text`.
    #[inline]
    pub(super) fn clf(&mut self, text: &[u8]) -> Option<Timestamp> {
        let text: &[u8; CLF_LENGTH] = text.first_chunk()?;
        let minute: &[u8; 17] = text.first_chunk()?;
        let offset: &[u8; 6] = text.last_chunk()?;
        if *minute != self.minute || *offset != self.offset {
            self.learn(minute, offset)?;
        }
        Some(Timestamp::from_seconds(self.base + second(&text[17..20])?))
    }

    /// `06/Feb/2009:12:14:14.655`, as HAProxy writes it: local time with milliseconds.
    pub(super) fn clf_local(&mut self, text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let minute: &[u8; 17] = bytes.first_chunk()?;
        if *minute != self.minute || self.offset != [0; 6] {
            self.learn(minute, &[0; 6])?;
        }
        let seconds = self.base + second(bytes.get(17..20)?)?;
        let (micros, rest) = fraction(&bytes[20..])?;
        rest.is_empty().then(|| Timestamp::from_micros(seconds * 1_000_000 + micros))
    }

    #[cold]
    fn learn(&mut self, minute: &[u8; 17], offset: &[u8; 6]) -> Option<()> {
        if minute[2] != b'/' || minute[6] != b'/' || minute[11] != b':' || minute[14] != b':' {
            return None;
        }
        let month = month(&minute[3..6])?;
        let (year, day) = (digits(&minute[7..11])?, digits(&minute[..2])?);
        let (hour, minutes) = (digits(&minute[12..14])?, digits(&minute[15..17])?);
        let local = civil(year, month, day, hour, minutes, 0)?;
        self.base = match offset {
            [0, ..] => self.zone.seconds(local)?,
            [b' ', ..] => local - offset_seconds(&offset[1..])?,
            _ => return None,
        };
        self.minute = *minute;
        self.offset = *offset;
        Some(())
    }

    /// A time in any of the spellings of JSON logs: RFC 3339, with a space for the `T` or without an offset too;
    /// CLF; seconds, milliseconds, microseconds or nanoseconds since the epoch.
    pub(super) fn any(&mut self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        self.rfc3339(text)
            .or_else(|| if text.len() == CLF_LENGTH { self.clf(text.as_bytes()) } else { None })
            .or_else(|| text.parse().ok().and_then(since_epoch))
            .or_else(|| Timestamp::parse_rfc3339(text))
    }

    /// A time that is a JSON value.
    pub(super) fn value(&mut self, value: &Value<'_>) -> Option<Timestamp> {
        match value {
            Value::Int(number) => since_epoch(*number as f64),
            Value::Float(number) => since_epoch(*number),
            Value::Text(text) => self.any(text),
            _ => None,
        }
    }

    /// `2026-11-24T10:00:00.25+02:00` and its relatives.
    pub(super) fn rfc3339(&self, text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let head: &[u8; 19] = bytes.first_chunk()?;
        if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' {
            return None;
        }
        let local = civil(
            digits(&head[..4])?,
            digits(&head[5..7])?,
            digits(&head[8..10])?,
            digits(&head[11..13])?,
            digits(&head[14..16])?,
            second(&head[16..19])?,
        )?;
        let (micros, rest) = fraction(&bytes[19..])?;
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let seconds = match rest {
            b"" => self.zone.seconds(local)?,
            b"Z" | b"z" | b"UTC" => local,
            offset => local - offset_seconds(offset)?,
        };
        Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds: the unit that puts it between 1970 and 5138.
fn since_epoch(number: f64) -> Option<Timestamp> {
    let micros = match number {
        n if !(0.0..1e20).contains(&n) => return None,
        n if n < 1e11 => n * 1e6,
        n if n < 1e14 => n * 1e3,
        n if n < 1e17 => n,
        n => n / 1e3,
    };
    Some(Timestamp::from_micros(micros.round() as i64))
}

/// `:59`; 60 is a leap second.
#[inline]
fn second(text: &[u8]) -> Option<i64> {
    match text {
        [b':', tens @ b'0'..=b'6', ones @ b'0'..=b'9'] => {
            let second = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            (second <= 60).then_some(second)
        }
        _ => None,
    }
}

/// Microseconds of `.123` or `,123` at the start of `text`, and what follows; further digits are dropped.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', rest @ ..] = text else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (decimals, rest) = rest.split_at(length);
    let micros = decimals
        .iter()
        .chain(b"000000")
        .take(6)
        .fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    Some((micros, rest))
}

/// Seconds of `+0100`, `+01:00` or `+01`.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (digits(rest)?, 0),
        [_, _, _, _] => (digits(&rest[..2])?, digits(&rest[2..])?),
        [_, _, b':', _, _] => (digits(&rest[..2])?, digits(&rest[3..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    const NAMES: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    NAMES.iter().position(|month| *month == name).map(|at| at as i64 + 1)
}

/// Seconds since the epoch of a civil time in UTC.
fn civil(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Years counted from March, so that the leap day is the last of a year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock() -> Clock {
        Clock::new(Zone::default())
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn clf_times() {
        let mut clock = clock();
        for (text, expected) in [
            ("24/Nov/2026:10:00:00 +0000", "2026-11-24T10:00:00Z"),
            ("24/Nov/2026:10:00:59 +0000", "2026-11-24T10:00:59Z"),
            ("24/Nov/2026:10:00:59 +0530", "2026-11-24T04:30:59Z"),
            ("29/Feb/2024:23:59:01 -0800", "2024-03-01T07:59:01Z"),
            ("01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(clock.clf(text.as_bytes()), Some(at(expected)), "{text}");
        }
        for text in [
            "24/Nov/2026:10:00:61 +0000",
            "24/Nov/2026:24:00:00 +0000",
            "29/Feb/2025:10:00:00 +0000",
            "24/nov/2026:10:00:00 +0000",
            "24/Nov/2026:10:00:00 0000+",
            "24/Nov/2026:10:00:00",
        ] {
            assert_eq!(clock.clf(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn spellings_of_json_logs() {
        let mut clock = clock();
        for (text, expected) in [
            ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
            ("2026-11-24 10:00:00,123", "2026-11-24T10:00:00.123Z"),
            ("2026-11-24T10:00:00.123456789+02:00", "2026-11-24T08:00:00.123456Z"),
            ("2021-01-01T01:01:01-0700", "2021-01-01T08:01:01Z"),
            ("24/Nov/2026:10:00:00 +0100", "2026-11-24T09:00:00Z"),
            ("1795514400", "2026-11-24T10:00:00Z"),
            ("1795514400.5", "2026-11-24T10:00:00.5Z"),
            ("1795514400123", "2026-11-24T10:00:00.123Z"),
            ("1795514400123456", "2026-11-24T10:00:00.123456Z"),
        ] {
            assert_eq!(clock.any(text), Some(at(expected)), "{text}");
        }
        assert_eq!(clock.any("yesterday"), None);
    }

    #[test]
    fn times_without_an_offset_are_in_the_zone_of_the_settings() {
        let mut clock = Clock::new(Zone::try_from("Europe/Berlin".to_owned()).unwrap());
        assert_eq!(clock.clf_local("06/Jul/2026:12:14:14.655"), Some(at("2026-07-06T10:14:14.655Z")));
        assert_eq!(clock.any("2026-11-24T10:00:00"), Some(at("2026-11-24T09:00:00Z")));
        assert!(Zone::try_from("Mars/Olympus".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_remembered_never_changes_what_is_read(seconds in prop::collection::vec(0i64..4_000_000_000, 1..8)) {
            let mut used = clock();
            for second in seconds {
                let time = jiff::Timestamp::from_second(second).unwrap();
                let text = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
                prop_assert_eq!(used.clf(text.as_bytes()), Some(Timestamp::from_seconds(second)));
                prop_assert_eq!(clock().any(&time.to_string()), Some(Timestamp::from_seconds(second)));
            }
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,40}") {
            let mut clock = clock();
            clock.any(&text);
            clock.clf(text.as_bytes());
            clock.clf_local(&text);
        }
    }
}
