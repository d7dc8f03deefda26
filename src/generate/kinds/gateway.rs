//! What is particular to WhatsApp: the webhook endpoint, and gateways that pretend to be a telephone.

use crate::generate::agents;
use crate::generate::episode::{Plan, Script};
use crate::generate::label::Stream::Access;

pub(super) static FORGED_WEBHOOK: Script = Script {
    plans: &[Plan::fast(Access, [25, 60], [150, 2000]), Plan::slow(Access, [26, 36], [60_000, 170_000])],
    agents: &[
        agents::WEBHOOK,
        "facebookplatform/1.0 (+http://developers.facebook.com)",
        "python-requests/2.32.3",
    ],
    write: |episode, stage| episode.send(stage, "POST", "/webhooks/whatsapp", 401, 0),
};

pub(super) static WEBHOOK_TOKEN_GUESSING: Script = Script {
    plans: &[Plan::fast(Access, [20, 50], [200, 2500]), Plan::slow(Access, [20, 28], [90_000, 220_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let token = episode.turn(TOKENS);
        let target = format!(
            "/webhooks/whatsapp?hub.mode=subscribe&hub.challenge={}&hub.verify_token={token}",
            chosen % 2_000_000_000
        );
        episode.send(stage, "GET", &target, 403, 0);
    },
};

pub(super) static GATEWAY_PROBING: Script = Script {
    plans: &[
        Plan::fast(Access, [20, 40], [150, 1500]),
        Plan::slow(Access, [14, 20], [120_000, 320_000]),
        Plan::fast(Access, [25, 40], [500, 3000]).by([8, 15]),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let status = if episode.chosen(u64::from(episode.number())).is_multiple_of(5) { 401 } else { 404 };
        episode.send(stage, "GET", episode.turn(GATEWAYS), status, 153);
    },
};

pub(super) static GATEWAY_USE: Script = Script {
    plans: &[Plan::fast(Access, [40, 90], [700, 6000]), Plan::slow(Access, [14, 20], [120_000, 320_000])],
    agents: &["axios/1.7.9", "node-fetch/1.0", "python-requests/2.32.3", "n8n"],
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let calls = match episode.favourite(&["waha", "evolution", "wppconnect"]) {
            "waha" => WAHA_CALLS,
            "evolution" => EVOLUTION_CALLS,
            _ => WPPCONNECT_CALLS,
        };
        let (method, target) = calls[chosen as usize % calls.len()];
        let status = if method == "POST" { 201 } else { 200 };
        episode.send(stage, method, target, status, 180 + chosen % 900);
    },
};

pub(super) static NUMBER_ENUMERATION: Script = Script {
    plans: &[Plan::fast(Access, [120, 250], [150, 900]), Plan::slow(Access, [90, 120], [25_000, 60_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let number = 4_915_110_000_000 + episode.chosen(0) % 1_000_000 * 1000 + u64::from(episode.number());
        match episode.favourite(&["waha", "evolution", "wppconnect"]) {
            "waha" => {
                let target = format!("/api/checkNumberStatus?phone={number}&session=default");
                episode.send(stage, "GET", &target, 200, 71);
            }
            "evolution" => episode.send(stage, "POST", "/chat/whatsappNumbers/shop", 200, 148),
            _ => {
                let target = format!("/api/default/check-number-status/{number}");
                episode.send(stage, "GET", &target, 200, 164);
            }
        }
    },
};

pub(super) static CONVERSATION_EXPORT: Script = Script {
    plans: &[Plan::fast(Access, [120, 220], [150, 1200]), Plan::slow(Access, [80, 110], [25_000, 60_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let number = 4_915_110_000_000 + chosen % 1_000_000_000;
        let bytes = 20_000 + chosen % 400_000;
        match episode.favourite(&["waha", "evolution", "wppconnect"]) {
            "waha" => {
                let target =
                    format!("/api/default/chats/{number}@c.us/messages?limit=1000&downloadMedia=true");
                episode.send(stage, "GET", &target, 200, bytes);
            }
            "evolution" => {
                let call = ["/chat/findMessages/shop", "/chat/getBase64FromMediaMessage/shop"];
                episode.send(stage, "POST", call[episode.number() as usize % 2], 200, bytes);
            }
            _ => {
                let target = format!("/api/default/all-messages-in-chat/{number}?includeMe=true");
                episode.send(stage, "GET", &target, 200, bytes);
            }
        }
    },
};

/// Sends to a gateway nobody declared; `%40` is how a careful client writes the at sign.
const WAHA_CALLS: &[(&str, &str)] = &[
    ("POST", "/api/sendText"),
    ("POST", "/api/sendText"),
    ("POST", "/api/sendSeen"),
    ("POST", "/api/startTyping"),
    ("POST", "/api/sendImage"),
    ("GET", "/api/sessions"),
    ("GET", "/api/default/chats/491511000123%40c.us/messages?limit=10"),
];
const EVOLUTION_CALLS: &[(&str, &str)] = &[
    ("POST", "/message/sendText/shop"),
    ("POST", "/message/sendText/shop"),
    ("POST", "/message/sendMedia/shop"),
    ("GET", "/instance/connectionState/shop"),
    ("GET", "/instance/fetchInstances"),
];
const WPPCONNECT_CALLS: &[(&str, &str)] = &[
    ("POST", "/api/default/send-message"),
    ("POST", "/api/default/send-message"),
    ("POST", "/api/default/send-file-base64"),
    ("GET", "/api/default/check-connection-session"),
    ("GET", "/api/default/host-device"),
    ("GET", "/api/default/all-contacts"),
];

const GATEWAYS: &[&str] = &[
    "/api/sessions",
    "/api/sessions/default/me",
    "/api/default/auth/qr",
    "/api/screenshot?session=default",
    "/api/version",
    "/api/server",
    "/instance/fetchInstances",
    "/instance/connect/default",
    "/instance/connectionState/default",
    "/manager",
    "/manager/login",
    "/webhook/find/default",
    "/chat/findChats/default",
    "/api/default/THISISMYSECURETOKEN/generate-token",
    "/api/THISISMYSECURETOKEN/show-all-sessions",
    "/api/THISISMYSECURETOKEN/start-all",
    "/api/default/qrcode-session",
    "/api/default/status-session",
    "/app/info",
    "/app/login",
    "/devices",
    "/mcp",
    "/ws?device_id=default&authorization=YWRtaW46YWRtaW4=",
    "/getAllChats?api_key=secret",
    "/api-docs/",
    "/api/default/host-device",
    "/settings/find/default",
    "/proxy/find/default",
];

const TOKENS: &[&str] = &[
    "verify",
    "token",
    "secret",
    "whatsapp",
    "mytoken",
    "test",
    "123456",
    "meatyhamhock",
    "verify_token",
    "hello",
    "webhook",
    "changeme",
    "facebook",
    "bot",
    "my_verify_token",
    "admin",
    "password",
    "abc123",
    "whatsapp_token",
    "token123",
];
