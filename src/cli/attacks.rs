//! One staged attack after another, for the demo and for soaking.

use std::time::Duration;

use crate::generate::{Kind, Speed, Staged, Staging, TimedLine, stage};

/// What is staged, one after the other: first what rings soonest.
pub const PROGRAMME: [Kind; 14] = [
    Kind::JndiLookup,
    Kind::BruteForceByAccount,
    Kind::SqlInjectionTool,
    Kind::MfaFatigue,
    Kind::SensitiveFileProbing,
    Kind::CredentialStuffing,
    Kind::GatewayProbing,
    Kind::MassExportByCount,
    Kind::ForgedWebhook,
    Kind::PasswordSpray,
    Kind::ObjectEnumeration,
    Kind::SuccessAfterFailures,
    Kind::RequestFlood,
    Kind::WebShellUse,
];

/// The first attack begins after this.
pub const LEAD: Duration = Duration::from_secs(3);
/// Each begins so much later than the one before.
pub const PAUSE: Duration = Duration::from_secs(8);

/// One staged attack after another, for ever; several may be under way.
pub struct Attacks {
    seed: u64,
    next_ms: i64,
    number: usize,
    /// Those that are under way, and the next line of each.
    staged: Vec<(TimedLine, Staged)>,
}

impl Attacks {
    /// The first begins [`LEAD`] after `start_ms`.
    pub fn new(seed: u64, start_ms: i64) -> Self {
        Self { seed, next_ms: start_ms + LEAD.as_millis() as i64, number: 0, staged: Vec::new() }
    }
}

impl Iterator for Attacks {
    type Item = TimedLine;

    fn next(&mut self) -> Option<TimedLine> {
        loop {
            let under_way = self.staged.iter().enumerate();
            let earliest = under_way.min_by_key(|(_, (line, _))| line.at_ms).map(|(place, _)| place);
            if let Some(place) = earliest
                && self.staged[place].0.at_ms <= self.next_ms
            {
                let (_, rest) = &mut self.staged[place];
                return Some(match rest.next() {
                    Some(next) => std::mem::replace(&mut self.staged[place].0, next),
                    None => self.staged.swap_remove(place).0,
                });
            }
            let kind = PROGRAMME[self.number % PROGRAMME.len()];
            let staging = Staging {
                seed: self.seed.wrapping_add(self.number as u64),
                kind,
                speed: Speed::Fast,
                at_ms: self.next_ms,
                subject: None,
            };
            self.number += 1;
            self.next_ms += PAUSE.as_millis() as i64;
            // A kind that knows no hurry is left out.
            self.staged.extend(stage(staging).ok().and_then(|mut staged| Some((staged.next()?, staged))));
        }
    }
}
