//! The day of a shop: quiet before dawn, busy over lunch, busiest in the evening.

/// How busy each hour of the day is, against 100 for the busiest.
const HOURS: [u64; 24] =
    [30, 21, 15, 12, 12, 16, 28, 46, 66, 80, 88, 92, 94, 92, 88, 86, 86, 88, 94, 100, 98, 86, 66, 44];

/// How busy the shop is at this moment. Between two hours it changes evenly, so that no clock hour begins
/// with a jump that would look like an event.
pub(super) fn busyness(at_ms: i64) -> u64 {
    let second = at_ms.div_euclid(1000).rem_euclid(86_400) as u64;
    let (hour, within) = ((second / 3600) as usize, second % 3600);
    HOURS[hour] * (3600 - within) + HOURS[(hour + 1) % 24] * within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_rises_and_falls_without_jumps() {
        let (night, evening) = (busyness(4 * 3_600_000), busyness(19 * 3_600_000));
        assert!(evening > 6 * night, "evening must be much busier than night");
        for minute in 0..2 * 24 * 60 {
            let (before, after) = (busyness(minute * 60_000), busyness((minute + 1) * 60_000));
            assert!(before.abs_diff(after) < 3000, "minute {minute} jumps from {before} to {after}");
        }
    }
}
