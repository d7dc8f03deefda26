//! From the sources into the journal.

use tokio::sync::{oneshot, watch};

use super::{Record, Refused, Writer};
use crate::intake::{Lines, Outlet};

/// Bytes taken from sources at a time, about.
const MAX_TAKEN_BYTES: usize = 1 << 20;

/// Puts what sources bring into the journal, until they have ended or `stop` says so; then nothing more is taken, and what
/// is queued is still put in. A full journal makes the sources wait. In the end the journal is closed. `prepare` may write
/// lines anew before they are kept, and gives the keys by which they are known when they come again.
pub async fn feed(
    mut outlet: Outlet,
    writer: Writer,
    mut stop: watch::Receiver<bool>,
    prepare: impl Fn(&mut Lines) -> Vec<u64>,
) {
    let mut is_open = true;
    while let Some(taken) = outlet.take(MAX_TAKEN_BYTES) {
        if taken.is_empty() {
            tokio::select! {
                () = outlet.wait() => {}
                // An error means that whoever would say so is gone.
                _ = stop.wait_for(|stop| *stop), if is_open => {
                    is_open = false;
                    outlet.close();
                }
            }
            continue;
        }
        for mut lines in taken {
            let keys = prepare(&mut lines);
            match writer.append_when_room(record(lines, keys)).await {
                Ok(()) => {}
                Err(Refused::TooLarge(record)) => {
                    // Sources do not send as much at a time.
                    tracing::error!(
                        source = &*record.lines.stream.source,
                        "lines are too many at once; they are lost"
                    );
                }
                Err(_) => return,
            }
        }
    }
    writer.close();
}

/// What somebody waits for, and cannot be read again, is stored before it is counted.
fn record(lines: Lines, keys: Vec<u64>) -> Record {
    let is_awaited = lines.counted.is_some() && lines.offset.is_none();
    // Nobody asks whether it was stored: it is counted only if it was.
    let stored = is_awaited.then(|| oneshot::channel().0);
    Record { lines, keys, stored }
}
