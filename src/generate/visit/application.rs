//! The shop's application on a telephone: it asks for new messages every few seconds while it is open.

use crate::generate::agents;
use crate::generate::population::{Client, Population};
use crate::generate::random::{Random, mix};
use crate::generate::shop;
use crate::generate::stage::{HTTP_2, Stage, push_number};

pub(in crate::generate) struct Application {
    client: Client,
    agent: &'static str,
    lines: u32,
    cursor: u64,
}

impl Application {
    pub(super) fn arrive(random: &mut Random, population: &Population, seconds: u32) -> Application {
        let lines = random.between(15, 110);
        Application {
            client: population.draw(random),
            agent: random.pick(agents::APPLICATIONS),
            lines: lines.min(seconds / 6 + 1),
            cursor: random.number() % 10_000_000,
        }
    }

    pub(super) fn lines(&self) -> u64 {
        u64::from(self.lines)
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        match stage.random.below(100) {
            0..4 => {
                // A customer looks at a few orders, always the same ones.
                stage.open(self.client.address, "GET");
                stage.text.push_str("/api/v1/orders/");
                shop::push_identifier(stage.text, mix(self.client.number, stage.random.number() % 3));
                stage.answer(HTTP_2, 200, 1486);
            }
            4..9 => {
                stage.open(self.client.address, "POST");
                stage.text.push_str("/api/v1/messages");
                stage.answer(HTTP_2, 201, 412);
            }
            9..13 => {
                stage.open(self.client.address, "GET");
                stage.text.push_str("/api/v1/products?collection=new&limit=24&locale=pt-BR");
                stage.answer(HTTP_2, 200, 18_204);
            }
            chance => {
                let news = chance < 22;
                self.cursor += u64::from(news);
                stage.open(self.client.address, "GET");
                stage.text.push_str("/api/v1/messages?limit=50&since=");
                push_number(stage.text, 71_000_000 + self.cursor);
                if news {
                    let bytes = u64::from(stage.random.between(300, 4200));
                    stage.answer(HTTP_2, 200, bytes);
                } else {
                    stage.answer(HTTP_2, 304, 0);
                }
            }
        }
        stage.text.push('-');
        stage.close(self.agent);
        self.lines -= 1;
        (self.lines > 0).then(|| u64::from(stage.random.between(2800, 9500)))
    }
}
