//! The configuration file: a list of what each room wants to know. Everything is optional.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::allowlist::EntryConfig;
use crate::clock::Tolerance;
use crate::decode;

/// A configuration file, in TOML.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How lines are read: `[decode]`, `[decode.logins]`, ...
    pub decode: decode::Settings,
    /// What is known to be fine: `[[allowlist]]`.
    pub allowlist: Vec<EntryConfig>,
    /// How far clocks are believed: `[clock]`.
    pub clock: ClockConfig,
    /// How much memory may be taken: `[memory]`.
    pub memory: MemoryConfig,
}

/// How far clocks are believed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// Seconds an event may be ahead of its arrival before it is held to it.
    pub skew_seconds: u64,
    /// Seconds an event may be behind its source's clock and still be counted.
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

/// How much memory may be taken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Most memory that the process takes, in mebibytes, about: what it needs itself, and the windows.
    ///
    /// When the windows have no more, what was seen least is evicted, and counted.
    pub max_mebibytes: u64,
}

/// What the process takes beside the windows: rules, buffers and caches of two workers.
const BESIDE_WINDOWS_MEBIBYTES: u64 = 120;

/// Less memory for windows than this is no use.
const MIN_WINDOWS_MEBIBYTES: u64 = 16;

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_mebibytes: 256 }
    }
}

impl MemoryConfig {
    /// The memory that is left for windows, in bytes.
    pub fn window_bytes(self) -> u64 {
        self.max_mebibytes.saturating_sub(BESIDE_WINDOWS_MEBIBYTES).max(MIN_WINDOWS_MEBIBYTES) << 20
    }
}

impl Config {
    /// Reads a file. The error says where and what was expected.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}
