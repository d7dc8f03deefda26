//! What looks like misuse of the shop's numbers, and is none.

use serde_json::json;

use crate::generate::webhooks::{About, Act, NEWS, SERVICE, TEMPLATES, campaign, picture, text};

pub(super) static CAMPAIGN: Act =
    Act { turns: [2000, 2400], span_ms: 7_500_000, number: &NEWS, about: About::Number, play: campaign };

pub(super) static ALBUM: Act = Act {
    turns: [40, 60],
    span_ms: 60_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(0));
        let content = picture(desk.random);
        desk.receive(0, &person, content);
        desk.random.between(100, 600)
    },
};

pub(super) static BUSY_TEAM: Act = Act {
    turns: [120, 180],
    span_ms: 3_600_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        // A customer writes, is greeted and is answered; the next one waits already.
        let (customer, step) = (scene.turn() / 3, scene.turn() % 3);
        let person = desk.person(scene.person(customer));
        match step {
            0 => desk.receive(0, &person, text("Hello, is anybody there?")),
            1 => drop(desk.echo(0, &person, text("Good morning! How can we help?"))),
            _ => drop(desk.echo(0, &person, text(&format!("Your order {} is packed.", 4000 + customer)))),
        }
        desk.random.between(5000, 25_000)
    },
};

pub(super) static TEMPLATE_WORK: Act = Act {
    turns: [6, 8],
    span_ms: 8_000_000,
    number: &NEWS,
    about: About::Account,
    play: |scene, desk| {
        let template = &TEMPLATES[scene.turn() as usize % TEMPLATES.len()];
        let category = template.category.to_uppercase();
        match scene.turn() {
            2 => {
                let own = json!({ "event": "REJECTED", "reason": "INVALID_FORMAT",
                    "message_template_category": category });
                desk.manage_template(0, "message_template_status_update", template, own);
            }
            3 => {
                let own = json!({ "message_template_title": "New lamps",
                    "message_template_element": "The days grow shorter, {{1}}. We have new lamps." });
                desk.manage_template(0, "message_template_components_update", template, own);
            }
            _ => {
                let own =
                    json!({ "event": "APPROVED", "reason": "NONE", "message_template_category": category });
                desk.manage_template(0, "message_template_status_update", template, own);
            }
        }
        desk.random.between(120_000, 900_000)
    },
};
