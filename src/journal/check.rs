//! Reading everything, to see whether it can be read.

use super::read_only::State;
use super::sealing::Place;
use super::{Journal, OpenError, Unreadable};

/// Most that is listed of what is wrong; all of it is counted.
const MAX_LISTED: usize = 100;

/// How often reading begins anew because a service has started meanwhile.
const MAX_TRIES: u32 = 3;

/// What a check of the whole file has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Blocks that can be read.
    pub blocks: u64,
    /// Lines in them.
    pub lines: u64,
    /// Bytes of those lines.
    pub text_bytes: u64,
    /// Blocks that cannot be read.
    pub unreadable_blocks: u64,
    /// Those, a hundred at most.
    pub unreadable: Vec<Unreadable>,
    /// Numbers between the first block and the last of which there is none.
    pub missing_blocks: u64,
    /// Alerts that can be read.
    pub alerts: u64,
    /// Alerts that cannot.
    pub unreadable_alerts: u64,
    /// Dead letters that can be read.
    pub dead_letters: u64,
    /// Dead letters that cannot.
    pub unreadable_dead_letters: u64,
    /// What SQLite says of the file, a hundred things at most.
    pub faults: Vec<String>,
}

impl Check {
    /// Whether everything can be read.
    pub fn is_well(&self) -> bool {
        self.unreadable_blocks + self.missing_blocks + self.unreadable_alerts + self.unreadable_dead_letters
            == 0
            && self.faults.is_empty()
    }
}

impl Journal {
    /// Reads everything there is: a gibibyte takes some seconds. `on_block` hears the number of each block.
    pub fn check(&self, mut on_block: impl FnMut(u64)) -> Result<Check, OpenError> {
        for _ in 1..MAX_TRIES {
            let is_still = matches!(State::of(self.path()), Ok(State::Still));
            let check = self.check_once(&mut on_block);
            let is_well = check.as_ref().is_ok_and(Check::is_well);
            // A file that was taken for one that does not change looks damaged when it does.
            if is_well || !is_still || matches!(State::of(self.path()), Ok(State::Still)) {
                return check;
            }
        }
        self.check_once(&mut on_block)
    }

    fn check_once(&self, on_block: &mut dyn FnMut(u64)) -> Result<Check, OpenError> {
        let mut check = Check::default();
        let connection = self.connect()?;
        let mut statement = connection.prepare(&format!("PRAGMA quick_check({MAX_LISTED})"))?;
        let faults = statement.query_map([], |row| row.get::<_, String>(0))?;
        for fault in faults {
            let fault = fault.unwrap_or_else(|error| error.to_string());
            if fault != "ok" {
                check.faults.push(fault);
            }
        }
        let mut next = None;
        for block in self.read_after(0)? {
            let number = block.as_ref().map_or_else(|unreadable| unreadable.number, |block| block.number);
            check.missing_blocks += next.map_or(0, |next| number.saturating_sub(next));
            next = Some(number + 1);
            match block {
                Ok(block) => {
                    check.blocks += 1;
                    for lines in &block.lines {
                        check.lines += lines.text.lines().count() as u64;
                        check.text_bytes += lines.text.len() as u64;
                    }
                }
                Err(unreadable) => {
                    check.unreadable_blocks += 1;
                    if check.unreadable.len() < MAX_LISTED {
                        check.unreadable.push(unreadable);
                    }
                }
            }
            on_block(number);
        }
        self.check_alerts(&mut check)?;
        self.check_dead_letters(&mut check)?;
        Ok(check)
    }

    fn check_alerts(&self, check: &mut Check) -> Result<(), OpenError> {
        let connection = self.connect()?;
        let mut alerts = connection.prepare("SELECT id, body FROM alerts")?;
        let rows = alerts.query_map([], |row| {
            let id: String = row.get(0)?;
            Ok(self.sealer().unseal(Place::Alert(&id), row.get(1)?).is_ok())
        })?;
        count(rows, &mut check.alerts, &mut check.unreadable_alerts);
        Ok(())
    }

    fn check_dead_letters(&self, check: &mut Check) -> Result<(), OpenError> {
        let connection = self.connect()?;
        let mut letters = connection.prepare("SELECT id, body FROM dead_letters")?;
        let rows = letters.query_map([], |row| {
            let id = row.get::<_, i64>(0)? as u64;
            Ok(self.sealer().unseal(Place::DeadLetter(id), row.get(1)?).is_ok())
        })?;
        count(rows, &mut check.dead_letters, &mut check.unreadable_dead_letters);
        Ok(())
    }
}

/// Counts what can be read and what cannot. Where the file does not say what comes next, it ends.
fn count(rows: impl Iterator<Item = rusqlite::Result<bool>>, readable: &mut u64, unreadable: &mut u64) {
    for is_readable in rows {
        match is_readable {
            Ok(true) => *readable += 1,
            Ok(false) | Err(_) => *unreadable += 1,
        }
    }
}
