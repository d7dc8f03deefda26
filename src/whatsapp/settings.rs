//! Settings of a number and of what belongs to it: payments, calls, names, flows.

use std::borrow::Cow;

use super::Update;
use super::account::outcome;
use super::facts::{Facts, text};
use super::links;
use crate::pseudonym::Kind;

/// Events of `flows` that are known.
const FLOW_EVENTS: [&str; 6] = [
    "FLOW_STATUS_CHANGE",
    "CLIENT_ERROR_RATE",
    "ENDPOINT_ERROR_RATE",
    "ENDPOINT_LATENCY",
    "ENDPOINT_AVAILABILITY",
    "FLOW_VERSION_EXPIRY_WARNING",
];

/// `payment_configuration_update`: where the money goes.
pub(super) fn payment(facts: &Facts<'_>, update: &mut Update) {
    let mut line = facts.begin(&facts.about(""), "account", "payment_configuration_updated", update);
    line.id("whatsapp.payment.configuration", facts.text("/configuration_name"));
    line.name("whatsapp.payment.provider", facts.text("/provider_name"));
    line.id("whatsapp.payment.merchant_id", facts.text("/provider_mid"));
    line.name("whatsapp.payment.status", facts.text("/status"));
    line.end(facts.key());
}

/// `account_settings_update`: where calls go.
pub(super) fn account(facts: &Facts<'_>, update: &mut Update) {
    let scene = facts.about("/phone_number_settings/phone_number_id");
    let mut line = facts.begin(&scene, "account", "account_settings_updated", update);
    line.name("whatsapp.calling.status", facts.text("/phone_number_settings/calling/status"));
    let srtp = [
        "/phone_number_settings/calling/srtp_key_exchange_protocol",
        "/phone_number_settings/calling/sip/srtp_key_exchange_protocol",
    ];
    line.name("whatsapp.calling.srtp", srtp.into_iter().find_map(|place| facts.text(place)));
    let mut hosts = Vec::new();
    for server in facts.list("/phone_number_settings/calling/sip/servers") {
        if let Some(name) = server.get("hostname").and_then(text) {
            links::add(&name, &mut hosts);
        }
    }
    line.texts("whatsapp.sip.hosts", hosts.iter().map(|host| Cow::Borrowed(host.as_str())));
    line.end(facts.key());
}

/// `phone_number_name_update`: under which name the number writes.
pub(super) fn number_name(facts: &Facts<'_>, update: &mut Update) {
    let mut line = facts.begin(&facts.about(""), "account", "phone_number_name_decided", update);
    outcome(facts.text("/decision").as_deref(), &mut line);
    line.name("event.reason", facts.reason("/rejection_reason"));
    line.name("whatsapp.decision", facts.text("/decision"));
    if let Some(name) = facts.text("/requested_verified_name") {
        line.pseudonym("whatsapp.name.pseudonym", Kind::Name, &name);
    }
    line.end(facts.key());
}

/// `business_username_updates`.
pub(super) fn username(facts: &Facts<'_>, update: &mut Update) {
    let mut line = facts.begin(&facts.about(""), "account", "business_username_updated", update);
    line.name("whatsapp.decision", facts.text("/status"));
    if let Some(name) = facts.text("/username") {
        line.pseudonym("whatsapp.name.pseudonym", Kind::Name, &name);
    }
    line.end(facts.key());
}

/// `flows`.
pub(super) fn flow(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let mut line = facts.begin(&facts.about(""), "flow", "flow_updated", update);
    line.name("whatsapp.flow.event", facts.text("/event"));
    line.id("whatsapp.flow.id", facts.text("/flow_id"));
    line.name("whatsapp.flow.status", facts.text("/new_status"));
    line.name("whatsapp.flow.previous_status", facts.text("/old_status"));
    line.name("whatsapp.flow.alert_state", facts.text("/alert_state"));
    if !FLOW_EVENTS.contains(&event.as_ref()) {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}
