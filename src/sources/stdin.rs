//! Standard input, to its end. The service goes on after it.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::format::{PATIENCE, Sniffer};
use super::metrics::{Reason, SourceMetrics};
use super::{stopped, text};
use crate::decode::Format;
use crate::intake::{Inlet, Lines, MAX_TEXT_BYTES, Stream, now};

/// Standard input as a source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose events these are.
    pub tenant: Arc<str>,
    /// How the lines are written; found by itself unless given.
    #[serde(deserialize_with = "super::format_by_name")]
    pub format: Option<Format>,
}

/// Bytes looked at together: a text of them, with a line feed, is not too long.
const PIECE_BYTES: usize = MAX_TEXT_BYTES - 1;

/// What the thread that reads has to say.
enum Said {
    Bytes(Vec<u8>),
    Broken(std::io::Error),
}

/// Reads to the end, or until it is told to stop.
pub(super) fn run(
    name: &str,
    config: &Config,
    input: impl Read + Send + 'static,
    inlet: Inlet,
    metrics: Arc<SourceMetrics>,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let stream = Stream { source: name.into(), tenant: Arc::clone(&config.tenant), name: name.into() };
    let mut input_end =
        End { stream: Arc::new(stream), sniffer: Sniffer::new(config.format.as_ref()), inlet, metrics };
    // A thread of its own, which nobody waits for: nothing but input ends its waiting for input.
    let (sender, mut said) = mpsc::channel(1);
    std::thread::spawn(move || read(input, &sender));
    async move {
        let mut buffer = Buffer::default();
        loop {
            let patience = if buffer.is_held { PATIENCE } else { Duration::MAX };
            let (must_decide, is_over) = tokio::select! {
                () = stopped(&mut stop) => (true, true),
                said = said.recv(), if buffer.has_room() => match said {
                    Some(Said::Bytes(bytes)) => {
                        input_end.metrics.read(0, bytes.len() as u64, now());
                        buffer.bytes.extend(bytes);
                        (false, false)
                    }
                    Some(Said::Broken(error)) => {
                        input_end.metrics.trouble(Reason::Read, "standard input", &error);
                        (true, true)
                    }
                    None => (true, true),
                },
                () = tokio::time::sleep(patience) => (true, false),
            };
            if input_end.push(&mut buffer, must_decide, is_over).await.is_err() || is_over {
                break;
            }
        }
    }
}

fn read(mut input: impl Read, sender: &mpsc::Sender<Said>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let said = match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Said::Bytes(buffer[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Said::Broken(error),
        };
        let is_broken = matches!(said, Said::Broken(_));
        if sender.blocking_send(said).is_err() || is_broken {
            return;
        }
    }
}

/// What was read and not pushed yet: at most two pieces.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The byte before.
    before: Option<u8>,
    /// There are whole lines, which wait for others that the format be found out.
    is_held: bool,
}

impl Buffer {
    fn has_room(&self) -> bool {
        self.bytes.len() < PIECE_BYTES
    }
}

/// Where the lines go.
struct End {
    stream: Arc<Stream>,
    sniffer: Sniffer,
    inlet: Inlet,
    metrics: Arc<SourceMetrics>,
}

impl End {
    /// Pushes the whole lines, and at the end the rest of the last one.
    async fn push(&mut self, buffer: &mut Buffer, must_decide: bool, is_over: bool) -> Result<(), ()> {
        loop {
            let length = buffer.bytes.len().min(PIECE_BYTES);
            let (piece, is_full) = (&buffer.bytes[..length], length == PIECE_BYTES);
            let cut = text::cut(buffer.before, piece, is_full, is_over && length == buffer.bytes.len());
            if cut.end == 0 {
                return Ok(());
            }
            let mut lines = piece[cut.skip..cut.end].to_vec();
            if cut.is_open {
                lines.push(b'\n');
            }
            for (place, text) in text::texts(&lines).into_iter().enumerate() {
                let must_decide = must_decide || is_full || place > 0;
                let Some(format) = self.sniffer.decide(&text, must_decide) else {
                    buffer.is_held = true;
                    return Ok(());
                };
                let received = now();
                let count = text::lines(&text);
                self.metrics.read(count, 0, received);
                let stream = Arc::clone(&self.stream);
                let lines = Lines { stream, text, format, received, counted: None, offset: None };
                self.inlet.push(lines).await.map_err(|_| ())?;
            }
            if cut.is_open && is_full {
                self.metrics.trouble(Reason::TooLong, &self.stream.name, &"a line is longer than 64 KiB");
            }
            buffer.is_held = false;
            buffer.before = piece.get(cut.end - 1).copied();
            buffer.bytes.drain(..cut.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Outlet;
    use crate::sources::Metrics;

    async fn texts_of(input: impl Read + Send + 'static) -> Vec<(String, Format)> {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let mut outlet = Outlet::default();
        let inlet = outlet.add_inlet();
        let (_stop, stopped) = watch::channel(false);
        let task = run("in", &Config::default(), input, inlet, Arc::new(metrics.source("in")), stopped);
        let task = tokio::spawn(task);
        let mut texts = Vec::new();
        while let Some(taken) = outlet.take(1 << 20) {
            texts.extend(taken.into_iter().map(|lines| (lines.text, lines.format)));
            outlet.wait().await;
        }
        task.await.unwrap();
        texts
    }

    #[tokio::test]
    async fn input_is_read_to_its_end_with_the_rest_of_the_last_line() {
        let texts =
            texts_of(&b"{\"message\":\"a\",\"@timestamp\":\"2026-11-24T10:00:00Z\"}\n{\"message\""[..]).await;
        let all: String = texts.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(all, "{\"message\":\"a\",\"@timestamp\":\"2026-11-24T10:00:00Z\"}\n{\"message\"\n");
        assert!(texts.iter().all(|(_, format)| *format == Format::Json));
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_and_what_follows_it_is_read() {
        let endless = std::io::repeat(b'x').take(10 << 20);
        let texts = texts_of(endless.chain(&b"\nshort\n"[..])).await;
        let lines: Vec<String> = texts.iter().flat_map(|(text, _)| text.lines().map(str::to_owned)).collect();
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [PIECE_BYTES, 5]);
    }

    /// Says one line, and then nothing for longer than anybody waits.
    struct Slow(bool);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                std::thread::sleep(Duration::from_secs(3600));
            }
            buffer[..5].copy_from_slice(b"line\n");
            Ok(5)
        }
    }

    #[tokio::test]
    async fn a_line_does_not_wait_for_others_for_long() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let mut outlet = Outlet::default();
        let inlet = outlet.add_inlet();
        let (stop, stopped) = watch::channel(false);
        let task = run("in", &Config::default(), Slow(false), inlet, Arc::new(metrics.source("in")), stopped);
        let task = tokio::spawn(task);
        let waiting = async {
            loop {
                outlet.wait().await;
                if let Some(lines) = outlet.take(1 << 20).unwrap_or_default().pop() {
                    return lines.text;
                }
            }
        };
        let text = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert_eq!(text.as_deref(), Ok("line\n"));
        // Reading goes on waiting, and the source ends all the same.
        stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    }
}
