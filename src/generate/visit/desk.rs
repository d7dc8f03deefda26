//! Somebody who answers customers at the desk: a single page that calls the interface all the time.

use crate::generate::agents;
use crate::generate::population::{Client, Population};
use crate::generate::random::{Random, mix};
use crate::generate::shop;
use crate::generate::stage::{HTTP_2, Stage, push_hexadecimal};

pub(in crate::generate) struct Desk {
    client: Client,
    browser: &'static str,
    lines: u32,
    /// The conversation that is open.
    conversation: u64,
}

impl Desk {
    pub(super) fn arrive(random: &mut Random, population: &Population, seconds: u32) -> Desk {
        let client = population.draw(random);
        let browser = random.pick(agents::DESKTOPS);
        let lines = random.between(30, 150).min(seconds / 3 + 1);
        Desk { client, browser, lines, conversation: random.number() }
    }

    pub(super) fn lines(&self) -> u64 {
        u64::from(self.lines)
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        let address = self.client.address;
        match stage.random.below(100) {
            0..32 => {
                stage.open(address, "GET");
                stage
                    .text
                    .push_str("/api/v1/conversations?status=open&inbox=whatsapp&sort=last_activity&page=1");
                let bytes = u64::from(stage.random.between(4000, 16_000));
                stage.answer(HTTP_2, 200, bytes);
            }
            32..56 => {
                stage.open(address, "GET");
                self.push_conversation(stage.text);
                stage.text.push_str("/messages?limit=30");
                let bytes = u64::from(stage.random.between(900, 9000));
                stage.answer(HTTP_2, 200, bytes);
            }
            56..66 => {
                stage.open(address, "POST");
                self.push_conversation(stage.text);
                stage.text.push_str("/messages");
                stage.answer(HTTP_2, 201, 688);
            }
            66..82 => {
                stage.open(address, "POST");
                stage.text.push_str("/api/v1/presence");
                stage.answer(HTTP_2, 204, 0);
            }
            82..90 => {
                stage.open(address, "GET");
                stage.text.push_str("/api/v1/customers/");
                shop::push_identifier(stage.text, self.conversation);
                stage.answer(HTTP_2, 200, 2154);
            }
            90..95 => {
                stage.open(address, "GET");
                stage.text.push_str("/api/v1/templates?language=es&category=utility");
                stage.answer(HTTP_2, 304, 0);
            }
            95..98 => {
                stage.open(address, "GET");
                stage.text.push_str("/api/v1/notifications?unread=true");
                stage.answer(HTTP_2, 200, 874);
            }
            _ => {
                self.conversation = stage.random.number();
                stage.open(address, "PATCH");
                self.push_conversation(stage.text);
                stage.answer(HTTP_2, 200, 391);
            }
        }
        stage.text.push_str(shop::DESK);
        stage.text.push_str("/inbox");
        stage.close(self.browser);
        self.lines -= 1;
        (self.lines > 0).then(|| 150 + stage.random.exponential(2600).min(40_000))
    }

    /// `/api/v1/conversations/` and an identifier in the form of a UUID.
    fn push_conversation(&self, text: &mut String) {
        let (high, low) = (mix(self.conversation, 1), mix(self.conversation, 2));
        text.push_str("/api/v1/conversations/");
        push_hexadecimal(text, high >> 32, 8);
        text.push('-');
        push_hexadecimal(text, high >> 16 & 0xffff, 4);
        text.push_str("-4");
        push_hexadecimal(text, high & 0xfff, 3);
        text.push_str("-a");
        push_hexadecimal(text, low >> 52, 3);
        text.push('-');
        push_hexadecimal(text, low & 0xffff_ffff_ffff, 12);
    }
}
