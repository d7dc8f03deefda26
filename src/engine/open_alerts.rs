//! How many alerts may be open at a time.
//!
//! A botnet with a payload from each of a million addresses is not made clearer by a million alerts, and those that are
//! open take memory that cannot be taken back. But whoever makes noise must not keep what is worse from being seen: no
//! rule gets more than a quarter of the room, and the less an alert matters, the more of the room it leaves free.
//! Findings beyond that are counted by rule.

use crate::rules::Severity;
use crate::windows::table::{Key, PARTITIONS};

/// Most alerts open in a partition of the table: 16,384 in all.
const MAX_OPEN: u32 = (16_384 / PARTITIONS) as u32;
/// Most of one rule: 4,096 in all.
const MAX_OPEN_OF_A_RULE: u32 = MAX_OPEN / 4;

/// An alert that is open: its subject, and the number of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// The subject.
    pub key: Key,
    /// The number of the window.
    pub window: u16,
}

/// The alerts that are open in a partition of the table.
#[derive(Clone, Debug, Default)]
pub struct OpenAlerts {
    open: Vec<OpenAlert>,
    /// By number of the window.
    by_window: Vec<u32>,
}

/// How many alerts may be open for another of this severity to open.
const fn room(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => MAX_OPEN / 2,
        Severity::Low => MAX_OPEN / 8 * 5,
        Severity::Medium => MAX_OPEN / 8 * 6,
        Severity::High => MAX_OPEN / 8 * 7,
        Severity::Critical => MAX_OPEN,
    }
}

impl OpenAlerts {
    /// Whether another may open.
    pub fn has_room(&self, window: u16, severity: Severity) -> bool {
        let of_rule = self.by_window.get(usize::from(window)).copied().unwrap_or(0);
        (self.open.len() as u32) < room(severity) && of_rule < MAX_OPEN_OF_A_RULE
    }

    /// Those that are open.
    pub fn all(&self) -> impl Iterator<Item = &OpenAlert> {
        self.open.iter()
    }

    /// One more has opened.
    pub fn opened(&mut self, alert: OpenAlert) {
        let place = usize::from(alert.window);
        if self.by_window.len() <= place {
            self.by_window.resize(place + 1, 0);
        }
        self.by_window[place] += 1;
        self.open.push(alert);
    }

    /// One is over.
    pub fn resolved(&mut self, alert: OpenAlert) {
        self.resolve(|other| *other == alert);
    }

    /// Gives the windows new numbers; alerts of those that have none are gone.
    pub fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        self.by_window.clear();
        for alert in std::mem::take(&mut self.open) {
            if let Some(window) = number(alert.window) {
                self.opened(OpenAlert { window, ..alert });
            }
        }
    }

    /// Those that satisfy `is_over` are over.
    pub fn resolve(&mut self, mut is_over: impl FnMut(&OpenAlert) -> bool) {
        let by_window = &mut self.by_window;
        self.open.retain(|alert| {
            let is_over = is_over(alert);
            by_window[usize::from(alert.window)] -= u32::from(is_over);
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(number: usize, window: u16) -> OpenAlert {
        OpenAlert { key: Key(number as u128), window }
    }

    #[test]
    fn noise_leaves_room_for_what_is_worse() {
        let mut open = OpenAlerts::default();
        for window in 0..100 {
            while open.has_room(window, Severity::Low) {
                open.opened(alert(open.open.len(), window));
            }
        }
        assert!(!open.has_room(200, Severity::Low) && open.has_room(200, Severity::Medium));
        assert!(open.has_room(0, Severity::Critical) == (open.by_window[0] < MAX_OPEN_OF_A_RULE));
        for window in 100..200 {
            while open.has_room(window, Severity::Critical) {
                open.opened(alert(open.open.len(), window));
            }
        }
        assert_eq!(open.open.len(), MAX_OPEN as usize);
        open.resolved(alert(0, 0));
        assert!(open.has_room(200, Severity::Critical));
    }

    #[test]
    fn one_rule_does_not_take_all_the_room() {
        let mut open = OpenAlerts::default();
        while open.has_room(7, Severity::Critical) {
            open.opened(alert(open.open.len(), 7));
        }
        assert_eq!(open.open.len(), MAX_OPEN_OF_A_RULE as usize);
        assert!(open.has_room(8, Severity::Informational));
    }
}
