//! What goes on all day: questions and answers, notices, a campaign, work on templates.

use serde_json::{Value, json};

use crate::generate::random::Random;
use crate::generate::webhooks::business::{NEWS, Person, SERVICE, SHOP, TEMPLATES};
use crate::generate::webhooks::desk::Desk;
use crate::generate::webhooks::scene::{About, Act, Scene};

/// What comes how often.
#[derive(Clone, Copy)]
pub(super) struct Mix {
    /// Of ten thousand that come, how many are chats that somebody answers at the app.
    by_hand: u32,
}

/// Of ten thousand that come, how many are chats.
const CHATS: u32 = 4300;

impl Mix {
    /// For so many bodies a day. One in five chats is answered by hand, until the people at the app have no hands left.
    pub(super) fn new(messages_a_day: u64) -> Mix {
        let by_hand = u64::from(CHATS / 5);
        Mix { by_hand: (by_hand * 50_000 / messages_a_day.max(50_000)) as u32 }
    }

    /// One of the ordinary acts, and about how many bodies it makes.
    pub(super) fn draw(self, random: &mut Random) -> (&'static Act, u64) {
        match random.below(10_000) {
            number if number < self.by_hand => (&CHAT_BY_HAND, 5),
            0..CHATS => (&CHAT, 8),
            CHATS..9985 => (&NOTICE, u64::from(random.between(2, 3))),
            9985..9995 => (&TEMPLATE_APPROVED, 1),
            _ => (&TEMPLATE_SETTLED, 1),
        }
    }
}

/// What customers say.
const QUESTIONS: &[&str] = &[
    "Does it come in another color?",
    "Hi, when will my order arrive?",
    "Is the brass lamp in stock?",
    "Can I send it back?",
    "Thank you!",
    "Do you deliver on Saturdays?",
    "The shade was broken when it came",
    "How long is the cable?",
];

/// What the shop says.
const ANSWERS: &[&str] = &[
    "Yes, in brass and in black: https://shop.example.com/lamps/12",
    "It left our store this morning and should be with you tomorrow.",
    "Of course. You find the form at https://shop.example.com/returns",
    "You are welcome!",
    "We deliver from Monday to Saturday.",
    "We are sorry! A new one is on its way.",
];

/// A customer asks and a program answers.
static CHAT: Act = Act {
    turns: [2, 7],
    span_ms: 0,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| chat(scene, desk, |desk, person| desk.send(0, person, "service")),
};

/// A customer asks and somebody answers at the app.
static CHAT_BY_HAND: Act = Act {
    turns: [2, 7],
    span_ms: 0,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        chat(scene, desk, |desk, person| {
            let content = text(desk.random.pick(ANSWERS));
            desk.echo(0, person, content);
        })
    },
};

fn chat(scene: &Scene, desk: &mut Desk<'_>, answer: fn(&mut Desk<'_>, &Person)) -> u32 {
    let person = desk.person(scene.person(0));
    if scene.turn().is_multiple_of(2) {
        let content = question(desk.random);
        desk.receive(0, &person, content);
    } else {
        answer(desk, &person);
    }
    desk.random.between(8000, 150_000)
}

/// An order is confirmed, a parcel is announced, a code is sent.
static NOTICE: Act = Act {
    turns: [1, 1],
    span_ms: 0,
    number: &SHOP,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(0));
        let template = &TEMPLATES[desk.random.below(3) as usize];
        if desk.random.chance(15) {
            desk.fail(0, &person, (131_026, "Message undeliverable"));
        } else {
            desk.send(0, &person, template.category);
        }
        0
    },
};

/// Most people that a day's campaign goes to.
pub(super) const CAMPAIGN_MOST: u64 = 5000;

/// A campaign goes out in about an hour. Some messages fail, a few people stop it, some answer.
pub(super) static CAMPAIGN: Act =
    Act { turns: [1, 1], span_ms: 0, number: &NEWS, about: About::Number, play: campaign };

/// A turn of a campaign: one more person gets it.
pub(in crate::generate) fn campaign(scene: &Scene, desk: &mut Desk<'_>) -> u32 {
    let person = desk.person(scene.person(scene.turn()));
    match desk.random.below(1000) {
        0..18 => {
            desk.fail(0, &person, (131_049, "This message was not delivered to maintain healthy ecosystem"))
        }
        18..30 => desk.fail(0, &person, (131_026, "Message undeliverable")),
        30..34 => desk.fail(0, &person, (130_472, "User's number is part of an experiment")),
        _ => desk.send(0, &person, "marketing"),
    }
    match desk.random.below(1000) {
        0..6 => {
            let after = desk.random.between(60_000, 2_400_000);
            desk.stop(after, &person);
        }
        6..26 => {
            let after = desk.random.between(30_000, 1_800_000);
            let content = question(desk.random);
            desk.receive(after, &person, content);
        }
        _ => {}
    }
    let gap = 3_600_000 / scene.turns().max(1);
    desk.random.between(gap / 2, gap + gap / 2)
}

/// A template passes its review.
static TEMPLATE_APPROVED: Act = Act {
    turns: [1, 1],
    span_ms: 0,
    number: &NEWS,
    about: About::Account,
    play: |_, desk| {
        let template = &TEMPLATES[desk.random.below(TEMPLATES.len() as u32) as usize];
        let own = json!({ "event": "APPROVED", "reason": "NONE",
            "message_template_category": template.category.to_uppercase() });
        desk.manage_template(0, "message_template_status_update", template, own);
        0
    },
};

/// Meta is content with a template.
static TEMPLATE_SETTLED: Act = Act {
    turns: [1, 1],
    span_ms: 0,
    number: &NEWS,
    about: About::Account,
    play: |_, desk| {
        let template = &TEMPLATES[3 + desk.random.below(3) as usize];
        let own = json!({ "previous_quality_score": "UNKNOWN", "new_quality_score": "GREEN" });
        desk.manage_template(0, "message_template_quality_update", template, own);
        0
    },
};

/// A text.
pub(in crate::generate) fn text(words: &str) -> Value {
    json!({ "type": "text", "text": { "body": words } })
}

/// A picture; no two are the same.
pub(in crate::generate) fn picture(random: &mut Random) -> Value {
    use base64::Engine as _;
    let digest: Vec<u8> = (0..4).flat_map(|_| random.number().to_be_bytes()).collect();
    json!({ "type": "image", "image": {
        "id": (random.number() >> 12).to_string(),
        "mime_type": "image/jpeg",
        "sha256": base64::engine::general_purpose::STANDARD.encode(digest),
    } })
}

/// What a customer sends: mostly text, sometimes a picture, a choice or a reaction.
fn question(random: &mut Random) -> Value {
    match random.below(100) {
        0..78 => text(random.pick(QUESTIONS)),
        78..88 => picture(random),
        88..94 => json!({ "type": "interactive", "interactive": { "type": "button_reply",
            "button_reply": { "id": "where_is_my_order", "title": "Where is my order?" } } }),
        94..97 => json!({ "type": "button", "button": { "payload": "more", "text": "Tell me more" } }),
        _ => json!({ "type": "location", "location": { "latitude": 37.44, "longitude": -122.16 } }),
    }
}
