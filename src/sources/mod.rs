//! The sources of the live service: files that are followed, syslog, standard input.
//!
//! A source turns what arrives into whole lines and puts them into its [`intake::Inlet`]; it does not know what they
//! mean. Its faults are its own: they are counted by reason, logged when they begin and when they end, and tried
//! again. The clock is read here, by way of [`intake::now`], and in the timer of the service.

mod error;
pub mod follow;
mod format;
mod metrics;
pub mod stdin;
pub mod syslog;
mod text;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::decode::Format;
use crate::intake;

pub use error::StartError;
pub use metrics::{Metrics, Reason};

/// One `[sources.NAME]` of the configuration. Which kind it is, `type` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Config {
    /// Files, followed through rotation and restarts.
    File(follow::Config),
    /// A listener for syslog, over UDP or TCP.
    Syslog(syslog::Config),
    /// Standard input, to its end.
    Stdin(stdin::Config),
}

/// What sources keep across restarts.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Where they write what they keep themselves; without it they start anew each time.
    pub directory: Option<PathBuf>,
    /// How far logs were read when lines of theirs entered the journal last, by name; `None` when there is no journal.
    pub offsets: Option<Arc<BTreeMap<String, Vec<u8>>>>,
}

/// A source that was started. Dropped, it stops at once, as if the process had been killed.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<()>,
    address: Option<SocketAddr>,
}

impl Running {
    /// Where it listens, if it does: with the port that was found when port 0 was asked for.
    pub const fn local_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends when the source has: after it was told to stop, everything it had read was pushed and, for files, the
    /// checkpoint was stored. Whoever counts the lines must go on until then.
    ///
    /// # Panics
    /// When the source has panicked: a service that looks alive and reads nothing would be worse.
    pub async fn join(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Starts a source on the current runtime.
///
/// What can be known at once, such as an address that is in use, is an error here. Later faults are counted and tried
/// again. It runs until `stop` turns true or its sender is dropped. Files that are followed across restarts need a
/// directory in `kept`, which is made if need be.
pub async fn start(
    name: &str,
    config: &Config,
    inlet: intake::Inlet,
    metrics: &Metrics,
    stop: watch::Receiver<bool>,
    kept: &Kept,
) -> Result<Running, StartError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(StartError::Name(name.to_owned()));
    }
    let metrics = Arc::new(metrics.source(name));
    let mut tasks = JoinSet::new();
    let mut address = None;
    match config {
        Config::File(config) => {
            tasks.spawn(follow::start(name, config, inlet, metrics, stop, kept.clone()).await?);
        }
        Config::Syslog(config) => {
            let (bound, task) = syslog::start(name, config, inlet, metrics, stop).await?;
            address = Some(bound);
            tasks.spawn(task);
        }
        Config::Stdin(config) => {
            tasks.spawn(stdin::run(name, config, std::io::stdin(), inlet, metrics, stop));
        }
    }
    Ok(Running { tasks, address })
}

/// A name is the label of metrics and a part of the name of a file.
const MAX_NAME_BYTES: usize = 64;

/// Reads the name of a format out of the configuration.
fn format_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Ends when the source is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it whoever wanted the source.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_and_unknown_keys_refused() {
        let good = [
            ("type = 'file'\npaths = ['/var/log/nginx/*.log']", true),
            ("type = 'file'\npaths = ['a']\nstart = 'beginning'\nformat = 'json'\ntenant = 'b'", true),
            ("type = 'syslog'\nlisten = '127.0.0.1:0'\ntransport = 'udp'", true),
            ("type = 'syslog'\nlisten = '[::]:5514'\ntransport = 'tcp'\nallow = ['10.0.0.0/8']", true),
            ("type = 'stdin'\nformat = 'combined'", true),
            ("type = 'stdin'\nfromat = 'combined'", false),
            ("type = 'stdin'\nformat = 'xml'", false),
            ("type = 'file'\npaths = ['a']\nstart = 'middle'", false),
            ("type = 'file'", false),
            ("type = 'syslog'\nlisten = 'localhost'\ntransport = 'udp'", false),
            ("type = 'kafka'", false),
        ];
        for (text, is_good) in good {
            assert_eq!(toml::from_str::<Config>(text).is_ok(), is_good, "{text}");
        }
    }
}
