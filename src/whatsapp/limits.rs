//! How many people a number or a business may write to, and how it is thought of.

use std::borrow::Cow;

use super::Update;
use super::facts::Facts;

/// Recipients in 24 hours where there is no limit.
const UNLIMITED: i64 = -1;

/// More people than there are is not a limit.
const MOST: i64 = 10_000_000_000;

/// Events of `phone_number_quality_update` that are known.
const EVENTS: [&str; 6] =
    ["ONBOARDING", "THROUGHPUT_UPGRADE", "FLAGGED", "UNFLAGGED", "UPGRADE", "DOWNGRADE"];

/// `phone_number_quality_update`.
pub(super) fn quality(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let mut line = facts.begin(&facts.about(""), "account", "phone_number_quality_updated", update);
    line.name("whatsapp.quality.event", facts.text("/event"));
    line.name(
        "whatsapp.quality.current",
        facts.text("/qualityRating").or_else(|| facts.text("/quality_rating")),
    );
    let limit = facts.text("/max_daily_conversations_per_business").or_else(|| facts.text("/current_limit"));
    // With this event the limit speaks of messages a second, and not of people.
    let recipients = limit.as_deref().filter(|_| event != "THROUGHPUT_UPGRADE").and_then(recipients);
    line.name("whatsapp.limit.current", limit);
    line.name("whatsapp.limit.previous", facts.text("/old_limit"));
    if let Some(recipients) = recipients {
        line.int("whatsapp.limit.recipients", recipients);
    }
    if !EVENTS.contains(&event.as_ref()) {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

/// `business_capability_update`.
pub(super) fn capability(facts: &Facts<'_>, update: &mut Update) {
    let limits = ["/max_daily_conversations_per_business", "/max_daily_conversation_per_phone"];
    let limit = limits.into_iter().find_map(|limit| facts.text(limit));
    let mut line = facts.begin(&facts.about(""), "account", "limits_updated", update);
    let recipients = limit.as_deref().and_then(recipients);
    line.name("whatsapp.limit.current", limit.map(|limit| Cow::Owned(limit.into_owned())));
    if let Some(recipients) = recipients {
        line.int("whatsapp.limit.recipients", recipients);
    }
    line.end(facts.key());
}

/// What a limit such as `TIER_10K`, `TIER_UNLIMITED` or `2000` comes to.
fn recipients(limit: &str) -> Option<i64> {
    let tier = limit.strip_prefix("TIER_").unwrap_or(limit);
    if tier == "UNLIMITED" {
        return Some(UNLIMITED);
    }
    let (digits, factor) = match tier.strip_suffix('K') {
        Some(digits) => (digits, 1_000),
        None => tier.strip_suffix('M').map_or((tier, 1), |digits| (digits, 1_000_000)),
    };
    let number: i64 = digits.parse().ok()?;
    let recipients = number.saturating_mul(factor);
    (UNLIMITED..=MOST).contains(&recipients).then_some(recipients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_people() {
        for (limit, expected) in [
            ("TIER_50", Some(50)),
            ("TIER_1K", Some(1_000)),
            ("TIER_100K", Some(100_000)),
            ("TIER_1M", Some(1_000_000)),
            ("TIER_UNLIMITED", Some(-1)),
            ("2000", Some(2_000)),
            ("-1", Some(-1)),
            ("-1K", None),
            ("-7", None),
            ("TIER_NOT_SET", None),
            ("", None),
        ] {
            assert_eq!(recipients(limit), expected, "{limit}");
        }
    }
}
