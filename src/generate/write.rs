//! All of the traffic into four files.

use std::io::{self, Write};

use crate::generate::config::{Config, ConfigError};
use crate::generate::generator::{Generator, Step};
use crate::generate::label::Stream;

/// How far writing has come, or what was written in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Access-log lines written.
    pub lines: u64,
    /// About how many there will be.
    pub lines_expected: u64,
    /// Application events written.
    pub events: u64,
    /// Bodies of webhooks written.
    pub webhooks: u64,
    /// Labels written.
    pub labels: u64,
    /// Bytes written to all four.
    pub bytes: u64,
}

/// Why writing stopped.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The configuration asks for what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of the outputs does not take what is written.
    #[error("failed to write traffic: {0}")]
    Output(#[from] io::Error),
}

/// Where traffic is written. It comes in small pieces: hand over what is buffered.
pub struct Outputs<'o> {
    /// Lines of the access log.
    pub access: &'o mut dyn Write,
    /// Application events, as newline-delimited JSON.
    pub events: &'o mut dyn Write,
    /// Bodies of webhooks, one a line.
    pub webhooks: &'o mut dyn Write,
    /// Labels, as newline-delimited JSON.
    pub labels: &'o mut dyn Write,
}

/// The caller hears of progress after so many lines: often enough for a bar, too rarely to cost anything.
const LINES_PER_CALL: u64 = 16_384;

/// Writes all of it, and says now and then how far it has come.
///
/// # Errors
///
/// When the configuration cannot be, or an output fails.
pub fn write(
    config: &Config,
    outputs: Outputs<'_>,
    mut progress: impl FnMut(Progress),
) -> Result<Progress, WriteError> {
    let Outputs { access, events, webhooks, labels } = outputs;
    let mut generator = Generator::new(config)?;
    let mut done = Progress { lines_expected: generator.lines_expected(), ..Progress::default() };
    let mut text = String::with_capacity(1024);
    while let Some(step) = generator.advance(&mut text) {
        match step {
            Step::Line { stream: Stream::Access, .. } => {
                text.push('\n');
                access.write_all(text.as_bytes())?;
                done.lines += 1;
                if done.lines.is_multiple_of(LINES_PER_CALL) {
                    progress(done);
                }
            }
            Step::Line { stream: Stream::Events, .. } => {
                text.push('\n');
                events.write_all(text.as_bytes())?;
                done.events += 1;
            }
            Step::Line { stream: Stream::Webhooks, .. } => {
                text.push('\n');
                webhooks.write_all(text.as_bytes())?;
                done.webhooks += 1;
            }
            Step::Label(label) => {
                text.push_str(&serde_json::to_string(&label).map_err(io::Error::from)?);
                text.push('\n');
                labels.write_all(text.as_bytes())?;
                done.labels += 1;
            }
        }
        done.bytes += text.len() as u64;
    }
    access.flush()?;
    events.flush()?;
    webhooks.flush()?;
    labels.flush()?;
    progress(done);
    Ok(done)
}
