//! The configuration file: a list of what each room wants to know. Everything is optional.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::allowlist::EntryConfig;
use crate::campaign::CampaignConfig;
use crate::clock::Tolerance;
use crate::rules::fault::Place;
use crate::rules::nearest;
use crate::{decode, facts, geo, journal, serve, sources, stream};

/// A configuration file, in TOML.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How lines are read: `[decode]`, `[decode.logins]`, ...
    pub decode: decode::Settings,
    /// What is known to be fine: `[[allowlist]]`.
    #[serde(deserialize_with = "located")]
    pub allowlist: Vec<EntryConfig>,
    /// Where addresses are: `[geo]`.
    pub geo: geo::Config,
    /// Spikes that are planned: `[[campaigns]]`.
    pub campaigns: Vec<CampaignConfig>,
    /// How far clocks are believed: `[clock]`.
    pub clock: ClockConfig,
    /// How much memory may be taken: `[memory]`.
    pub memory: MemoryConfig,
    /// Which rules are used: `[rules]`.
    pub rules: RulesConfig,
    /// Where lines come from: `[sources.NAME]`.
    pub sources: BTreeMap<String, sources::Config>,
    /// Where the service listens: `[serve]`.
    pub serve: serve::Config,
    /// How long and how much of what arrives is kept in the state directory: `[journal]`.
    pub journal: JournalConfig,
    /// Which webhooks are taken: `[webhooks.whatsapp]`, `[webhooks.generic.NAME]`, ...
    pub webhooks: serve::webhooks::Config,
    /// What is known of the business's messaging: `[messaging]`.
    pub messaging: MessagingConfig,
    /// What stands in for people: `[pseudonyms]`.
    pub pseudonyms: PseudonymConfig,
    /// What subscribers of the stream may take: `[stream]`.
    pub stream: stream::Limits,
    /// Where the service keeps what it must know after a restart: what arrived, how far files have been read, what alerts
    /// there are. Without it, it begins anew each time.
    pub state_directory: Option<PathBuf>,
}

/// Which rules are used, beside those that the command line names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// Whether those that are built in are.
    pub builtin: bool,
    /// Files and directories with others.
    pub directories: Vec<PathBuf>,
    /// Names or ids of rules that are on trial, whatever their files say: they page nobody.
    pub shadow: Vec<String>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self { builtin: true, directories: Vec::new(), shadow: Vec::new() }
    }
}

/// How far clocks are believed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// Seconds an event may be ahead of its arrival before it is held to it; 0 for none.
    pub skew_seconds: u64,
    /// Seconds an event may be behind its source's clock and still be counted; 0 for none: lines must come in
    /// the order of their times.
    pub lateness_seconds: u64,
}

impl Default for ClockConfig {
    fn default() -> Self {
        let tolerance = Tolerance::default();
        Self { skew_seconds: tolerance.skew.as_secs(), lateness_seconds: tolerance.lateness.as_secs() }
    }
}

impl ClockConfig {
    /// As the clock takes it.
    pub fn tolerance(self) -> Tolerance {
        Tolerance {
            skew: Duration::from_secs(self.skew_seconds),
            lateness: Duration::from_secs(self.lateness_seconds),
        }
    }
}

/// How long and how much of what arrives is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Days for which it is kept, 1 to 3,650. The counters are made of it after a restart, so it should reach back over the
    /// longest window of a rule, twice.
    #[serde(deserialize_with = "days")]
    pub max_days: u64,
    /// Mebibytes of the file beyond which the oldest is deleted, whatever its age; 16 or more.
    #[serde(deserialize_with = "journal_mebibytes")]
    pub max_mebibytes: u64,
    /// The file with the secret that everything is sealed with, as 64 hexadecimal digits; made with a new one when there is
    /// none. Without it, `key` in the state directory; the variable `WATCHBELL_KEY` goes before both.
    pub key_file: Option<PathBuf>,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { max_days: 30, max_mebibytes: 2048, key_file: None }
    }
}

impl JournalConfig {
    /// As the journal takes it.
    pub fn limits(&self) -> journal::Limits {
        journal::Limits {
            max_age: Duration::from_secs(self.max_days * 24 * 3600),
            max_bytes: self.max_mebibytes << 20,
            ..journal::Limits::default()
        }
    }
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(deserializer, "max_days", 1..=3650)
}

fn journal_mebibytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(deserializer, "max_mebibytes", 16..=16 << 20)
}

/// A number in a range.
fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    name: &str,
    range: RangeInclusive<u64>,
) -> Result<u64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u64::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        serde::de::Error::custom(format!("expected {least} to {most} in {name}, not {number}"))
    })
}

/// What is known of the business's messaging. Nothing has to be: it is learned.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagingConfig {
    /// Ids of the business's accounts and phone numbers. When there are any, all others are told of at once; otherwise a day
    /// is taken to learn them.
    pub known: Vec<String>,
    /// How many people the business may write to in 24 hours, until the platform says so itself.
    #[serde(deserialize_with = "limit")]
    pub limit: Option<u32>,
    /// Seconds after its first status within which a message may still be registered as sent, 1 to 86,400.
    #[serde(deserialize_with = "grace_seconds")]
    pub registration_grace_seconds: u64,
    /// Most registered messages that are remembered, at 8 bytes each, 1,000 to 100,000,000.
    #[serde(deserialize_with = "registered")]
    pub max_registered: u64,
}

impl Default for MessagingConfig {
    fn default() -> Self {
        Self { known: Vec::new(), limit: None, registration_grace_seconds: 300, max_registered: 2_000_000 }
    }
}

impl MessagingConfig {
    /// As observers take it.
    pub fn facts(&self) -> facts::Config {
        let orphans = facts::orphans::Config {
            grace: Duration::from_secs(self.registration_grace_seconds),
            max_registered: usize::try_from(self.max_registered).unwrap_or(usize::MAX),
        };
        let headroom = facts::headroom::Config { limit: self.limit, ..facts::headroom::Config::default() };
        facts::Config { orphans, headroom, feed: facts::feed::Config { known: self.known.clone() } }
    }
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    // It fits: the range says so.
    within(deserializer, "limit", 1..=u64::from(u32::MAX)).map(|number| Some(number as u32))
}

fn grace_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(deserializer, "registration_grace_seconds", 1..=86_400)
}

fn registered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(deserializer, "max_registered", 1_000..=100_000_000)
}

/// What stands in for people.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PseudonymConfig {
    /// The number of the key that pseudonyms are made with, 1 to 35. One more, and everybody has a new one from then on; those
    /// of before can still be found by whoever has the number and the secret.
    #[serde(deserialize_with = "generation")]
    pub generation: u32,
}

impl Default for PseudonymConfig {
    fn default() -> Self {
        Self { generation: 1 }
    }
}

fn generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    // It fits: the range says so.
    within(deserializer, "generation", 1..=35).map(|number| number as u32)
}

/// How much memory may be taken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Most memory that the process takes, in mebibytes, about: what it needs itself, and the windows.
    ///
    /// When the windows have no more, what was seen least is evicted, and counted. From 156, below which nothing is
    /// left for windows, to 16,777,216, which is sixteen tebibytes.
    #[serde(deserialize_with = "mebibytes")]
    pub max_mebibytes: u64,
}

/// What the process takes beside the windows: rules, buffers and caches of two workers, and what the allocator cannot use
/// for want of blocks of the right size. Measured on a million failed logins of one account from a million addresses.
const BESIDE_WINDOWS_MEBIBYTES: u64 = 140;

/// Less memory for windows than this is no use.
const MIN_WINDOWS_MEBIBYTES: u64 = 16;

/// What [`MemoryConfig::max_mebibytes`] may be.
const MEBIBYTES: RangeInclusive<u64> = BESIDE_WINDOWS_MEBIBYTES + MIN_WINDOWS_MEBIBYTES..=16 << 20;

fn mebibytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(deserializer, "max_mebibytes", MEBIBYTES)
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_mebibytes: 256 }
    }
}

impl MemoryConfig {
    /// The memory that the process may take, in bytes.
    pub fn max_bytes(self) -> u64 {
        self.max_mebibytes.clamp(*MEBIBYTES.start(), *MEBIBYTES.end()) << 20
    }

    /// The memory that is left for windows, in bytes.
    pub fn window_bytes(self) -> u64 {
        let mebibytes = self.max_mebibytes.clamp(*MEBIBYTES.start(), *MEBIBYTES.end());
        (mebibytes - BESIDE_WINDOWS_MEBIBYTES) << 20
    }
}

impl Config {
    /// Reads a file. The error says where and what was expected.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let hint = what_was_meant(error.message()).unwrap_or_default();
            format!("{}: {}{hint}", path.display(), error.to_string().trim_end())
        })?;
        for place in config.allowlist.iter_mut().filter_map(|entry| entry.place.as_mut()) {
            place.file = path.display().to_string();
            // Until here the place is a number of bytes.
            place.line = text.bytes().take(place.line).filter(|byte| *byte == b'\n').count() + 1;
        }
        Ok(config)
    }
}

/// `; did you mean 'listen'?`, when the fault is a key or word that is not known and one that is known is near.
fn what_was_meant(message: &str) -> Option<String> {
    let (_, rest) =
        message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"))?;
    let (word, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    Some(nearest::did_you_mean(word, known))
}

/// Entries, each with the byte at which it stands instead of a line.
fn located<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EntryConfig>, D::Error> {
    let entries = Vec::<Spanned<EntryConfig>>::deserialize(deserializer)?;
    let located = entries.into_iter().map(|entry| {
        let place = Place { file: String::new(), line: entry.span().start };
        EntryConfig { place: Some(place), ..entry.into_inner() }
    });
    Ok(located.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowlist::Allowlist;

    fn read(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watchbell.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn a_fault_in_an_entry_has_file_and_line() {
        let config = read("[clock]\nskew_seconds = 1\n\n[[allowlist]]\nusers = ['a']\nreason = 'x'\n\n[[allowlist]]\nnetworks = ['x']\nreason = 'x'\n").unwrap();
        let error = Allowlist::new(&config.allowlist).unwrap_err();
        assert!(error.contains("watchbell.toml:8: allowlist entry 2: expected a network"), "{error}");
        let error = read("[[allowlist]]\nusers = ['a']\nraeson = 'x'\n").unwrap_err();
        assert!(error.contains("watchbell.toml: TOML parse error at line 3"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        for (text, meant) in [
            ("[serve]\nlissten = '127.0.0.1:1'\n", "'listen'"),
            ("[memori]\n", "'memory'"),
            ("[sources.a]\ntype = 'file'\npath = ['x']\n", "'paths'"),
            ("[sources.a]\ntype = 'files'\npaths = ['x']\n", "'file'"),
            ("[decode.logins]\npattern = []\n", "'patterns'"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("did you mean") && error.contains(meant), "{error}");
        }
    }

    #[test]
    fn the_example_is_true_with_and_without_what_is_commented_out() {
        let example = std::fs::read_to_string("config.example.toml").unwrap();
        let read_as = |text: &str| format!("{:?}", read(text).unwrap());
        assert_eq!(read_as(&example), read_as(""), "what is not commented out is the default");
        let is_code =
            |line: &str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# ["));
        let all: String = example
            .lines()
            .map(|line| if is_code(line) { &line[2..] } else { line })
            .map(|line| format!("{line}\n"))
            .collect();
        let config = read(&all).unwrap();
        assert_eq!((config.sources.len(), config.allowlist.len()), (3, 1));
        assert!(config.state_directory.is_some() && config.serve.token_file.is_some());
        assert!(config.serve.tls.is_some_and(|tls| tls.client_ca.len() == 1));
        assert!(config.webhooks.source_names().eq(["whatsapp", "twilio", "crm"]));
    }

    #[test]
    fn a_limit_of_nothing_is_refused_with_its_place_unless_nothing_makes_sense() {
        for (text, key, expected) in [
            ("[stream]\nmax_subscribers = 0\n", "max_subscribers", "1 or more, not 0"),
            ("[stream]\nmax_queued_frames = 0\n", "max_queued_frames", "1 or more, not 0"),
            ("[stream]\nmax_queued_bytes = -1\n", "max_queued_bytes", "1 or more, not -1"),
            ("[serve]\nmax_connections = 0\n", "max_connections", "1 or more, not 0"),
            ("[serve]\nping_seconds = 0\n", "ping_seconds", "more than 0"),
            ("[serve]\nlimits.reads = { per_second = 0, burst = 1 }\n", "per_second", "nonzero"),
            ("[serve]\nlimits.reads = { per_second = 1, burst = 0 }\n", "burst", "nonzero"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("line 2") && error.contains(key) && error.contains(expected), "{error}");
        }
        let text = "[stream]\nreserved_alert_frames = 0\n[clock]\nskew_seconds = 0\nlateness_seconds = 0\n";
        let config = read(text).unwrap();
        assert_eq!((config.stream.reserved_alert_frames, config.clock.lateness_seconds), (0, 0));
    }

    #[test]
    fn memory_has_a_range() {
        for (number, windows) in [("156", 16 << 20), ("256", 116 << 20), ("16777216", 17_592_039_243_776)] {
            let config = read(&format!("[memory]\nmax_mebibytes = {number}\n")).unwrap();
            assert_eq!(config.memory.window_bytes(), windows, "{number}");
        }
        for wrong in ["0", "-1", "135", "16777217", "9223372036854775807"] {
            let error = read(&format!("[memory]\nmax_mebibytes = {wrong}\n")).unwrap_err();
            assert!(error.contains("line 2") && error.contains("156 to 16777216"), "{error}");
        }
    }
}
