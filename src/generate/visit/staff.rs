//! What the application itself tells of its staff: who signed in, and which customers were looked at. The
//! desk signs people in elsewhere, so no access log shows it.

use crate::generate::names;
use crate::generate::population::{Client, Population};
use crate::generate::random::{Random, mix};
use crate::generate::stage::{Event, Stage};

pub(in crate::generate) struct Staff {
    number: u32,
    client: Client,
    session: u64,
    /// Tries that will fail before the one that succeeds.
    mistakes: u32,
    signed_in: bool,
    reads: u32,
}

impl Staff {
    /// One of the crew, from where this member of it always works.
    pub(super) fn arrive(random: &mut Random, population: &Population, crew: u32) -> Staff {
        let number = random.below(crew);
        let mistakes = match random.below(100) {
            0..6 => 1,
            6..9 => 2,
            _ => 0,
        };
        let client = population.employee(number);
        let reads = random.between(3, 11);
        Staff { number, client, session: random.number(), mistakes, signed_in: false, reads }
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        let account = names::account(self.number);
        let address = self.client.address;
        if self.mistakes > 0 {
            self.mistakes -= 1;
            stage.event(&Event {
                reason: Some("bad_password"),
                factor: Some("password"),
                agent: Some(self.client.browser),
                ..Event::of("authn_login_fail", "failure", &account, address)
            });
            return Some(u64::from(stage.random.between(4000, 20_000)));
        }
        if !self.signed_in {
            self.signed_in = true;
            let factor = ["password", "push", "totp"][self.number as usize % 3];
            stage.event(&Event {
                factor: Some(factor),
                session: Some(self.session),
                agent: Some(self.client.browser),
                ..Event::of("authn_login_success", "success", &account, address)
            });
        } else {
            let kind = stage.random.pick(&["customer", "customer", "conversation", "order"]);
            // A dozen cases an hour, come back to again and again.
            let case = stage.at_ms as u64 / 3_600_000 * 16 + u64::from(stage.random.below(12));
            let number = 100_000 + mix(u64::from(self.number), case) % 800_000;
            stage.event(&Event {
                session: Some(self.session),
                object: Some((kind, number)),
                ..Event::of("sensitive_read", "success", &account, address)
            });
            self.reads -= 1;
        }
        (self.reads > 0).then(|| 4000 + stage.random.exponential(38_000).min(400_000))
    }
}
