//! What is done between commits, a little at a time.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::event::Timestamp;
use crate::journal::Limits;
use crate::journal::counts::{Counters, add, set};
use crate::journal::retention;

/// How often to look whether something is to be deleted, and how often while there is.
const LOOK: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

/// How often it is noted that the journal works: how exactly it is known when it stopped.
const LIFE: Duration = Duration::from_secs(10);

/// How often what stands beside blocks is looked through, and how often it is said that blocks are deleted early.
const MINUTE: Duration = Duration::from_secs(60);

/// When what is due.
pub struct Housekeeping {
    /// The next step.
    pub at: Instant,
    life_at: Instant,
    sweep_at: Instant,
    tell_at: Instant,
    /// Blocks deleted early since it was last said.
    displaced: u64,
}

impl Housekeeping {
    /// Begins at once.
    pub const fn new(now: Instant) -> Self {
        Self { at: now, life_at: now, sweep_at: now, tell_at: now, displaced: 0 }
    }

    /// Does what is due. Failing is counted and said, and stops nothing.
    pub fn work(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
        first_seen: Option<u64>,
        time: Timestamp,
        counters: &Counters,
    ) {
        let now = Instant::now();
        self.at = now + LOOK;
        if let Err(error) = self.try_work(connection, limits, first_seen, time, counters, now) {
            add(&counters.failed_housekeeping, 1);
            tracing::debug!(%error, "the journal's housekeeping has failed; it is tried again");
        }
    }

    fn try_work(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
        first_seen: Option<u64>,
        time: Timestamp,
        counters: &Counters,
        now: Instant,
    ) -> rusqlite::Result<()> {
        let step = retention::step(connection, time, limits, first_seen)?;
        add(&counters.expired_blocks, step.expired_blocks);
        add(&counters.displaced_blocks, step.displaced_blocks);
        set(&counters.used_bytes, step.used_bytes);
        self.displaced += step.displaced_blocks;
        if self.displaced > 0 && now >= self.tell_at {
            self.tell_at = now + MINUTE;
            tracing::warn!(
                blocks = std::mem::take(&mut self.displaced),
                until = step.displaced_until.map(|until| until.to_string()),
                "the journal is larger than its limit: blocks were deleted before they were as old as they may become"
            );
        }
        if step.has_more {
            self.at = now + STEP;
        }
        if now >= self.life_at {
            self.life_at = now + LIFE;
            retention::sign_of_life(connection, time)?;
        }
        if now >= self.sweep_at {
            let deleted = retention::sweep(connection, time, limits)?;
            add(&counters.deleted_rows, deleted);
            let has_more = deleted >= u64::from(retention::STEP_ROWS);
            self.sweep_at = now + if has_more { STEP } else { MINUTE };
        }
        Ok(())
    }
}
