//! Other rules in a running engine.
//!
//! What is counted goes on for every rule that, with all it looks at, says the same as before; its title, severity and
//! advice may differ. The windows of the others begin anew, and their open alerts are resolved. So are those of a rule
//! that comes out of shadow, or goes into it: what is found next is another alert, of the new mode.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::episode::Notes;
use super::work::Reader;
use super::{Engine, Settings, Shared, Transition};
use crate::alert::Alert;
use crate::allowlist::Allowlist;
use crate::clock::Tolerance;
use crate::decode;
use crate::event::Timestamp;
use crate::matching::observation::{Fingerprint, Secret};
use crate::rules::RuleSet;
use crate::windows::table::PARTITIONS;

/// Compiles rules for an engine, on any thread: it takes tens of milliseconds, in which the engine can go on.
#[derive(Clone, Debug)]
pub struct Compiler {
    secret: Secret,
    workers: usize,
}

/// Rules, allowlist and settings that an engine can take at once.
pub struct Compiled {
    shared: Shared,
    readers: Vec<Mutex<Reader>>,
    tolerance: Tolerance,
    max_window_bytes: u64,
}

impl Compiler {
    /// Compiles. The number of threads and the secret are those of the engine, whatever the settings say.
    pub fn compile(&self, rules: &RuleSet, allowlist: Allowlist, settings: &Settings) -> Compiled {
        let settings = Settings { secret: self.secret, ..settings.clone() };
        let shared = Shared::new(rules, allowlist, &settings);
        Compiled {
            readers: (0..self.workers).map(|_| Mutex::new(Reader::new(&shared))).collect(),
            shared,
            tolerance: settings.tolerance,
            max_window_bytes: settings.max_window_bytes,
        }
    }
}

impl Compiled {
    /// What is shared by all workers.
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What is allowed to clocks.
    pub const fn tolerance(&self) -> Tolerance {
        self.tolerance
    }
}

impl Engine {
    /// What compiles rules for this engine.
    pub fn compiler(&self) -> Compiler {
        Compiler { secret: self.secret, workers: self.readers.len() }
    }

    /// Takes other rules, allowlist and settings, compiled by [`Self::compiler`]. What has been read is counted by the old
    /// rules first. `now` is when alerts end whose rules are gone.
    pub fn reload(
        &mut self,
        compiled: Compiled,
        decode: &Arc<decode::Settings>,
        now: Timestamp,
    ) -> Vec<Transition> {
        let mut transitions = self.count(None);
        let Compiled { shared: new, readers, tolerance, max_window_bytes } = compiled;
        let by_fingerprint: HashMap<Fingerprint, u16> =
            new.plan.windows.iter().zip(0..).map(|(window, number)| (window.fingerprint, number)).collect();
        let old_windows = &self.shared.plan.windows;
        let number = |old: u16| by_fingerprint.get(&old_windows[usize::from(old)].fingerprint).copied();
        let mode =
            |shared: &Shared, window: u16| shared.rules[shared.plan.windows[usize::from(window)].rule].mode;
        let has_changed: HashSet<u16> = (0..old_windows.len() as u16)
            .filter_map(|old| {
                number(old).filter(|new_number| mode(&self.shared, old) != mode(&new, *new_number))
            })
            .collect();
        let ended = |alert: Option<Alert>| alert.map(|alert| Alert { resolved_at: Some(now), ..alert });
        for partition in 0..PARTITIONS {
            let mut table = self.table.partition(partition);
            table.renumber(number, &mut |_, slot| {
                let alert = ended(slot.memo.and_then(|mut notes| notes.close()));
                transitions.extend(alert.map(Transition::Resolved));
            });
            let open = self.open[partition].get_mut().unwrap_or_else(PoisonError::into_inner);
            open.renumber(number);
            self.tried[partition].get_mut().unwrap_or_else(PoisonError::into_inner).renumber(number);
            open.resolve(|alert| {
                let is_over = has_changed.contains(&alert.window);
                if is_over {
                    let alert = ended(table.with_memo(alert.key, alert.window, Notes::close).flatten());
                    transitions.extend(alert.map(Transition::Resolved));
                }
                is_over
            });
            self.watched[partition].get_mut().unwrap_or_else(PoisonError::into_inner).renumber(number);
        }
        self.would_have.renumber(number);
        let by_name = |counts: &[u64]| -> Vec<u64> {
            let known: HashMap<&str, u64> = self
                .shared
                .rules
                .iter()
                .map(|rule| rule.name.id.as_str())
                .zip(counts.iter().copied())
                .collect();
            new.rules.iter().map(|rule| known.get(rule.name.id.as_str()).copied().unwrap_or(0)).collect()
        };
        self.counts.matches = by_name(&self.counts.matches);
        self.counts.refused_alerts = by_name(&self.counts.refused_alerts);
        self.table.set_max_bytes(max_window_bytes);
        self.tolerance = tolerance;
        self.sources.iter_mut().for_each(|source| source.decode = Arc::clone(decode));
        self.readers = readers;
        // Pieces of work are as long as there were rules.
        self.spare.clear();
        self.shared = new;
        transitions
    }
}
