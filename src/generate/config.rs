//! What is asked for.

use std::time::Duration;

use crate::generate::kinds::Kind;

/// What traffic to generate. The same configuration gives the same bytes, on any machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where chance begins.
    pub seed: u64,
    /// About how many access-log lines to write. Attacks are never thinned out, so that they stay attacks:
    /// when they alone are more than three quarters of this, there will be more lines.
    pub lines: u64,
    /// How many addresses ordinary clients have. Few come often and most come rarely. An address cannot be
    /// innocent and write many lines a second: with fewer addresses than lines in four seconds, the busiest
    /// ones may look like floods.
    pub addresses: u32,
    /// When the traffic begins, in seconds since 1970.
    pub start: i64,
    /// How long it lasts. Three hours are enough for every attack, the slowest included; those that do not
    /// fit are left out, and [`Generator::unstaged`](crate::generate::Generator::unstaged) names them.
    pub duration: Duration,
    /// About how many bodies of webhooks to write beside those of what is staged; none when this is 0.
    pub messages: u64,
    /// What to stage amid the ordinary traffic, attacks and labelled innocents. Each is staged at least once
    /// in each of its ways: fast, slow, from many addresses. Of [`Kind::MESSAGING`] each is staged once.
    pub attacks: Vec<Kind>,
}

impl Default for Config {
    /// A day of a middling shop with everything staged in it that logs tell of, and no webhooks.
    fn default() -> Config {
        Config {
            seed: 1,
            lines: 1_000_000,
            addresses: 20_000,
            start: 1_795_478_400,
            duration: Duration::from_secs(24 * 60 * 60),
            messages: 0,
            attacks: Kind::ALL.to_vec(),
        }
    }
}

/// Why no traffic can be generated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no time for anything to happen in.
    #[error("the duration must be at least one second")]
    NoTime,
    /// There is nobody to come.
    #[error("there must be at least one ordinary address")]
    NoAddresses,
    /// There would be more lines than can be counted in what follows from them.
    #[error("there must not be more than {MOST_LINES} lines")]
    TooManyLines,
    /// The time does not fit the four-digit years of logs.
    #[error("start and end must lie between the years 1970 and 9999")]
    OutOfTime,
}

/// Two hundred and fifty petabytes of log: nobody's wish, but a bound that arithmetic can rely on.
const MOST_LINES: u64 = 1_000_000_000_000_000;
/// The second after the last of the year 9999.
const END_OF_TIME: i64 = 253_402_300_800;

impl Config {
    /// Beginning and end in milliseconds since 1970.
    pub(super) fn bounds(&self) -> Result<(i64, i64), ConfigError> {
        if self.duration < Duration::from_secs(1) {
            return Err(ConfigError::NoTime);
        }
        if self.addresses == 0 {
            return Err(ConfigError::NoAddresses);
        }
        if self.lines.max(self.messages) > MOST_LINES {
            return Err(ConfigError::TooManyLines);
        }
        let lasts = i64::try_from(self.duration.as_millis()).map_err(|_| ConfigError::OutOfTime)?;
        let times = 0..END_OF_TIME;
        if !times.contains(&self.start) || !times.contains(&self.start.saturating_add(lasts / 1000 + 1)) {
            return Err(ConfigError::OutOfTime);
        }
        Ok((self.start * 1000, self.start * 1000 + lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_wishes_are_refused() {
        let config = Config::default();
        assert!(config.bounds().is_ok());
        let none = Config { duration: Duration::ZERO, ..config.clone() };
        assert_eq!(none.bounds(), Err(ConfigError::NoTime));
        let nobody = Config { addresses: 0, ..config.clone() };
        assert_eq!(nobody.bounds(), Err(ConfigError::NoAddresses));
        let endless = Config { lines: u64::MAX, ..config.clone() };
        assert_eq!(endless.bounds(), Err(ConfigError::TooManyLines));
        for late in [
            Config { start: END_OF_TIME - 60, ..config.clone() },
            Config { start: i64::MAX, ..config.clone() },
            Config { start: -1, ..config.clone() },
            Config { duration: Duration::MAX, ..config.clone() },
        ] {
            assert_eq!(late.bounds(), Err(ConfigError::OutOfTime));
        }
    }
}
