//! What may happen as often as strangers like, and is logged once a second at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two lines of the log.
const PAUSE: Duration = Duration::from_secs(1);

/// When something was logged last, and how often it was not since.
#[derive(Debug, Default)]
pub struct Occasional(Mutex<(Option<Instant>, u64)>);

impl Occasional {
    /// It has happened: how often it was left out before, if it is to be logged now.
    pub fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_once_a_second_with_what_was_left_out() {
        let (occasional, start) = (Occasional::default(), Instant::now());
        let turns = [0, 10, 999, 1_000, 1_500, 3_000].map(Duration::from_millis);
        let turns = turns.map(|after| occasional.turn(start + after));
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
