//! What is done with the shop's numbers on WhatsApp.

use serde_json::json;

use crate::generate::webhooks::{About, Act, Desk, NEWS, Person, SERVICE, SHOP, Scene, TEMPLATES, text};

/// The partner and the app that nobody took on.
const PARTNER: &str = "520744086200222";
const APP: &str = "5731794616896507";

pub(super) static NUMBER_TAKEOVER: Act =
    Act { turns: [100, 160], span_ms: 8_000_000, number: &NEWS, about: About::Number, play: takeover };

fn takeover(scene: &Scene, desk: &mut Desk<'_>) -> u32 {
    let display = desk.number.display;
    match scene.turn() {
        0 => {
            let own = json!({ "display_phone_number": display, "event": "PIN_RESET_REQUEST",
                "requester": "61555822107539" });
            desk.manage(0, "security", own);
            desk.random.between(300_000, 900_000)
        }
        1 => {
            desk.manage(
                0,
                "security",
                json!({ "display_phone_number": display, "event": "PIN_REQUEST_SUCCESS" }),
            );
            desk.random.between(120_000, 360_000)
        }
        2 => {
            let info = json!({ "waba_id": desk.account(), "owner_business_id": desk.portfolio(),
                "solution_partner_business_ids": [PARTNER] });
            desk.manage(0, "account_update", json!({ "event": "PARTNER_ADDED", "waba_info": info }));
            let info = json!({ "waba_id": desk.account(), "owner_business_id": desk.portfolio(),
                "partner_app_id": APP });
            desk.manage(
                30_000,
                "account_update",
                json!({ "event": "PARTNER_APP_INSTALLED", "waba_info": info }),
            );
            desk.random.between(180_000, 600_000)
        }
        turn => {
            let person = desk.person(scene.person(turn));
            match desk.random.chance(80) {
                true => desk.fail(0, &person, (131_026, "Message undeliverable")),
                false => desk.send(0, &person, "marketing"),
            }
            desk.random.between(4000, 20_000)
        }
    }
}

pub(super) static CODE_PUMPING: Act = Act {
    turns: [90, 140],
    span_ms: 5_500_000,
    number: &SHOP,
    about: About::Number,
    play: |scene, desk| {
        let person = Person::neighbour(scene.chosen(1), u64::from(scene.turn() * 3 + 100));
        match desk.random.chance(150) {
            true => desk.fail(0, &person, (131_026, "Message undeliverable")),
            false => desk.send(0, &person, "authentication"),
        }
        desk.random.between(5000, 20_000)
    },
};

pub(super) static SPAM_BLOCK: Act = Act {
    turns: [40, 60],
    span_ms: 3_000_000,
    number: &NEWS,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(scene.turn()));
        desk.fail(0, &person, (131_048, "Spam rate limit hit"));
        match scene.turn() {
            8 => {
                let own = json!({ "display_phone_number": desk.number.display, "event": "FLAGGED",
                    "current_limit": "TIER_10K" });
                desk.manage(0, "phone_number_quality_update", own);
            }
            12 => {
                let own = json!({ "previous_quality_score": "GREEN", "new_quality_score": "RED" });
                desk.manage_template(0, "message_template_quality_update", &TEMPLATES[4], own);
            }
            20 => {
                let until = desk.second() + 3 * 86_400;
                let own = json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [
                    { "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": until },
                    { "restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": until },
                ] });
                desk.manage(0, "account_update", own);
            }
            _ => {}
        }
        desk.random.between(15_000, 60_000)
    },
};

pub(super) static INBOUND_FLOOD: Act = Act {
    turns: [200, 400],
    span_ms: 400_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(0));
        desk.receive(0, &person, text(&format!("answer me {}", scene.turn())));
        desk.random.between(300, 900)
    },
};

pub(super) static OPT_OUT_SURGE: Act = Act {
    turns: [260, 320],
    span_ms: 6_500_000,
    number: &NEWS,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(scene.turn()));
        desk.send(0, &person, "marketing");
        if desk.random.chance(600) {
            let after = desk.random.between(20_000, 600_000);
            desk.stop(after, &person);
        }
        desk.random.between(3000, 8000)
    },
};

pub(super) static CALL_BURST: Act = Act {
    turns: [60, 90],
    span_ms: 800_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(scene.turn()));
        let heard = desk.random.between(0, 3);
        desk.call(&person, heard);
        desk.random.between(3000, 8000)
    },
};

pub(super) static LINK_BROADCAST: Act = Act {
    turns: [60, 90],
    span_ms: 1_500_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        let person = desk.person(scene.person(scene.turn()));
        let content = text("Your parcel is held back. Pay the fee here: https://parcel.example.net/fee");
        let id = desk.echo(0, &person, content);
        if desk.random.chance(400) {
            let after = 600_000 + desk.random.below(240_000);
            let revoked = json!({ "type": "revoke", "revoke": { "original_message_id": id } });
            desk.echo(after, &person, revoked);
        }
        desk.random.between(1000, 4000)
    },
};
