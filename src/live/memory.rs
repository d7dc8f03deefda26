//! The memory of the process, held to its limit.
//!
//! Windows account for the bytes they ask for; what the allocator takes for them is more, up to twice as much after hours
//! of windows that come and go in all sizes. So once a second the process is looked at as the system sees it, and what
//! windows may ask for follows.

/// Less than this for windows is no use: 16 MiB.
const LEAST: u64 = 16 << 20;

/// The memory that this process has now, in bytes; `None` where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// How much windows may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Of the process.
    limit: u64,
    /// Of the windows, when the allocator is thrifty.
    most: u64,
    now: u64,
}

impl Budget {
    /// A process that may take `limit` bytes, and windows that may ask for `most` of them.
    pub const fn new(limit: u64, most: u64) -> Self {
        Self { limit, most, now: most }
    }

    /// What windows that ask for `used` bytes may ask for, now that the process takes `resident` bytes.
    pub fn after(&mut self, resident: u64, used: u64) -> u64 {
        if resident > self.limit {
            // A little less than there is: what goes makes room for what comes, and the process grows no further.
            self.now = (self.now.min(used) / 100 * 99).max(LEAST.min(self.most));
        } else if resident < self.limit / 10 * 9 {
            self.now = (self.now / 100 * 101).min(self.most);
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn windows_give_way_while_the_process_is_too_large_and_come_back() {
        let mut budget = Budget::new(256 * MIB, 116 * MIB);
        assert_eq!(budget.after(200 * MIB, 50 * MIB), 116 * MIB);
        let less = budget.after(257 * MIB, 90 * MIB);
        assert!((89 * MIB..90 * MIB).contains(&less), "less than they have: {less}");
        for _ in 0..1000 {
            budget.after(300 * MIB, 90 * MIB);
        }
        assert_eq!(budget.after(300 * MIB, 90 * MIB), LEAST, "not to nothing");
        for _ in 0..1000 {
            budget.after(100 * MIB, 90 * MIB);
        }
        assert_eq!(budget.after(100 * MIB, 90 * MIB), 116 * MIB);
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(resident_bytes().is_none_or(|bytes| bytes > MIB));
    }
}
