//! Visitors that are programs: webhooks delivered by Meta, search engines, partners with a key.

use std::net::IpAddr;

use crate::generate::agents;
use crate::generate::population::{self, Client, Population};
use crate::generate::random::Random;
use crate::generate::shop::Page;
use crate::generate::stage::{HTTP_1, Stage, push_hexadecimal, push_number};

/// One webhook.
pub(in crate::generate) struct Delivery {
    sender: IpAddr,
}

impl Delivery {
    pub(super) fn arrive(random: &mut Random) -> Delivery {
        Delivery { sender: population::meta(random.below(3072)) }
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        stage.open(self.sender, "POST");
        stage.text.push_str("/webhooks/whatsapp");
        stage.answer(HTTP_1, 200, 0);
        stage.text.push('-');
        stage.close(agents::WEBHOOK);
        None
    }
}

/// A search engine on a polite walk.
pub(in crate::generate) struct Crawler {
    address: IpAddr,
    agent: &'static str,
    lines: u32,
    first: bool,
}

impl Crawler {
    pub(super) fn arrive(random: &mut Random, seconds: u32) -> Crawler {
        let number = random.below(4096);
        let (address, agent) = if random.chance(650) {
            (population::google(number), agents::GOOGLEBOT)
        } else {
            (population::bing(number), agents::BINGBOT)
        };
        let lines = random.between(6, 30).min(seconds / 8 + 1);
        Crawler { address, agent, lines, first: true }
    }

    pub(super) fn lines(&self) -> u64 {
        u64::from(self.lines)
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        stage.open(self.address, "GET");
        if self.first {
            self.first = false;
            stage.text.push_str("/robots.txt");
            stage.answer(HTTP_1, 200, 318);
        } else {
            crawl(stage);
        }
        stage.text.push('-');
        stage.close(self.agent);
        self.lines -= 1;
        (self.lines > 0).then(|| u64::from(stage.random.between(2500, 14_000)))
    }
}

/// A page as a search engine asks for it: now and then one that is no longer there, or has not changed.
pub(in crate::generate) fn crawl(stage: &mut Stage<'_>) {
    if stage.random.chance(35) {
        stage.text.push_str("/collections/");
        stage.text.push_str(stage.random.pick(&[
            "outlet",
            "summer",
            "christmas-2025",
            "easter",
            "clearance",
        ]));
        stage.answer(HTTP_1, 404, 5312);
        return;
    }
    let page = Page::entrance(stage.random);
    page.push_path(stage.text);
    if stage.random.chance(180) {
        stage.answer(HTTP_1, 304, 0);
    } else {
        stage.answer(HTTP_1, 200, page.bytes());
    }
}

/// A partner's program: a token, then pages of orders.
pub(in crate::generate) struct Partner {
    client: Client,
    agent: &'static str,
    lines: u32,
    first: bool,
    cursor: u64,
}

impl Partner {
    pub(super) fn arrive(random: &mut Random, population: &Population) -> Partner {
        let client = population.draw(random);
        let agent = random.pick(agents::PARTNERS);
        Partner { client, agent, lines: random.between(4, 15), first: true, cursor: random.number() }
    }

    pub(super) fn lines(&self) -> u64 {
        u64::from(self.lines)
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        if self.first {
            self.first = false;
            stage.open(self.client.address, "POST");
            stage.text.push_str("/oauth/token");
            stage.answer(HTTP_1, 200, 1187);
        } else {
            self.cursor = self.cursor.wrapping_add(50);
            stage.open(self.client.address, "GET");
            stage.text.push_str("/api/v1/orders?status=paid&limit=50&updated_since=");
            push_number(stage.text, (stage.at_ms / 1000 - 3600).unsigned_abs());
            stage.text.push_str("&cursor=");
            push_hexadecimal(stage.text, self.cursor, 16);
            let bytes = u64::from(stage.random.between(6000, 31_000));
            stage.answer(HTTP_1, 200, bytes);
        }
        stage.text.push('-');
        stage.close(self.agent);
        self.lines -= 1;
        (self.lines > 0).then(|| u64::from(stage.random.between(250, 1600)))
    }
}
