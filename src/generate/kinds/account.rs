//! What is done to the account on WhatsApp.

use serde_json::json;

use crate::generate::webhooks::{About, Act, SERVICE, SHOP, TEMPLATES};

pub(super) static PAYMENT_REDIRECTION: Act = Act {
    turns: [2, 2],
    span_ms: 1_500_000,
    number: &SHOP,
    about: About::Account,
    play: |scene, desk| {
        let status = if scene.turn() == 0 { "Needs Testing" } else { "Active" };
        let merchant = format!("acc_{:014X}", scene.chosen(1) >> 8);
        let own = json!({ "configuration_name": "razorpay-prod", "provider_name": "razorpay",
            "provider_mid": merchant, "status": status });
        desk.manage(0, "payment_configuration_update", own);
        desk.random.between(300_000, 1_200_000)
    },
};

pub(super) static TEMPLATE_TAMPERING: Act = Act {
    turns: [2, 3],
    span_ms: 2_000_000,
    number: &SHOP,
    about: About::Account,
    play: |scene, desk| {
        let template = &TEMPLATES[(scene.turn() + 3) as usize % TEMPLATES.len()];
        let own = json!({
            "message_template_title": "Your account needs your attention",
            "message_template_element": "Please confirm your card, {{1}}, or your order will be cancelled.",
            "message_template_footer": "Example Lamps",
            "message_template_buttons": [{
                "message_template_button_type": "URL",
                "message_template_button_text": "Confirm",
                "message_template_button_url": "https://shop-example.login.example.net/confirm",
            }],
        });
        desk.manage_template(0, "message_template_components_update", template, own);
        let approved = json!({ "event": "APPROVED", "reason": "NONE",
            "message_template_category": template.category.to_uppercase() });
        let after = desk.random.between(60_000, 240_000);
        desk.manage_template(after, "message_template_status_update", template, approved);
        desk.random.between(240_000, 700_000)
    },
};

pub(super) static HISTORY_THEFT: Act = Act {
    turns: [8, 14],
    span_ms: 1_000_000,
    number: &SERVICE,
    about: About::Number,
    play: |scene, desk| {
        let turn = scene.turn();
        let now = desk.second();
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let person = desk.person(scene.person(turn * 3 + thread));
                let messages: Vec<_> = (0..4)
                    .map(|number| {
                        let from = if number % 2 == 0 { person.wa_id.as_str() } else { desk.number.display };
                        json!({
                            "from": from,
                            "id": desk.message_id(&person),
                            "timestamp": (now - 86_400 * i64::from(turn * 10 + number + 1)).to_string(),
                            "type": "text",
                            "text": { "body": "About the lamp we talked of" },
                            "history_context": { "status": "READ" },
                        })
                    })
                    .collect();
                json!({ "id": person.wa_id, "messages": messages })
            })
            .collect();
        let progress = 100 * (turn + 1) / scene.turns();
        let metadata = json!({ "phase": progress / 40, "chunk_order": turn + 1, "progress": progress });
        desk.tell(0, "history", json!({ "history": [{ "metadata": metadata, "threads": threads }] }));
        let contacts: Vec<_> = (0..3)
            .map(|contact| {
                let person = desk.person(scene.person(turn * 3 + contact));
                let first = person.name.split(' ').next().unwrap_or_default();
                json!({
                    "type": "contact",
                    "contact": {
                        "full_name": person.name, "first_name": first, "phone_number": person.wa_id,
                    },
                    "action": "add",
                    "metadata": { "timestamp": now.to_string() },
                })
            })
            .collect();
        desk.tell(1500, "smb_app_state_sync", json!({ "state_sync": contacts }));
        desk.random.between(20_000, 60_000)
    },
};
