//! What becomes of the account: banned, restricted, shared, taken.

use std::borrow::Cow;

use super::Update;
use super::change::{Number, Scene};
use super::facts::{Facts, text};
use super::line::{Line, name};
use super::loose::Scalar;

/// Events of `account_update` that are known.
const EVENTS: [&str; 18] = [
    "ACCOUNT_DELETED",
    "ACCOUNT_OFFBOARDED",
    "ACCOUNT_RECONNECTED",
    "ACCOUNT_RESTRICTION",
    "ACCOUNT_VIOLATION",
    "AD_ACCOUNT_LINKED",
    "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE",
    "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE",
    "DISABLED_UPDATE",
    "MM_LITE_TERMS_SIGNED",
    "PARTNER_ADDED",
    "PARTNER_APP_INSTALLED",
    "PARTNER_APP_UNINSTALLED",
    "PARTNER_CLIENT_CERTIFICATION_NEEDED",
    "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE",
    "PARTNER_REMOVED",
    "VERIFIED_ACCOUNT",
    "VOLUME_BASED_PRICING_TIER_UPDATE",
];

/// Events of `business_status_update` that are known.
const BUSINESS_EVENTS: [&str; 5] =
    ["COMPROMISED_NOTIFICATION", "CONNECTED", "DISCONNECTED", "SUSPENDED", "RESTRICTED"];

/// The name of an event as an action.
fn action(event: &str) -> Cow<'static, str> {
    name(event)
        .map_or(Cow::Borrowed("account_event"), |event| event.to_ascii_lowercase().replace(' ', "_").into())
}

/// `account_update`. Of an event about a partner the entry has the business and the value the account.
pub(super) fn updated(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let change = facts.change;
    let account = facts.text("/waba_info/waba_id");
    let business = facts.text("/waba_info/owner_business_id");
    let owner = change.owner.filter(|owner| account.as_ref().is_some_and(|account| account != owner));
    let number = Number { id: Scalar::Absent, display: facts.copy("/phone_number") };
    let scene = Scene::new(change, account.as_deref().or(change.owner), &number)
        .with_business(business.as_deref().or(owner));
    let category = if event.starts_with("PARTNER_") { "iam" } else { "account" };
    let mut line = facts.begin(&scene, category, &action(&event), update);
    partners(facts, &mut line);
    line.name("whatsapp.disconnection.initiated_by", facts.text("/disconnection_info/initiated_by"));
    let rejections = facts.list("/partner_client_certification_info/rejection_reasons");
    let rejection = rejections.iter().filter_map(text).find(|reason| reason != "NONE");
    line.name("event.reason", facts.reason("/disconnection_info/reason").or(rejection));
    line.name("whatsapp.decision", facts.text("/partner_client_certification_info/status"));
    line.name("whatsapp.violation.type", facts.text("/violation_info/violation_type"));
    line.name("whatsapp.ban.state", facts.text("/ban_info/waba_ban_state"));
    restrictions(facts, &mut line);
    if !EVENTS.contains(&event.as_ref()) {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

fn partners(facts: &Facts<'_>, line: &mut Line<'_>) {
    let clients = [
        "/partner_client_certification_info/client_business_id",
        "/partner_client_certification_needed_info/client_business_id",
    ];
    let partners = facts.list("/waba_info/solution_partner_business_ids").iter().filter_map(text);
    line.ids("whatsapp.partner.ids", partners.chain(clients.into_iter().filter_map(|id| facts.text(id))));
    line.id("whatsapp.app.id", facts.text("/waba_info/partner_app_id"));
    line.id("whatsapp.solution.id", facts.text("/waba_info/solution_id"));
}

fn restrictions(facts: &Facts<'_>, line: &mut Line<'_>) {
    let restrictions = facts.list("/restriction_info");
    let types = restrictions.iter().filter_map(|restriction| text(restriction.get("restriction_type")?));
    line.texts(
        "whatsapp.restriction.types",
        types.map(|kind| Cow::Owned(name(&kind).unwrap_or("unknown").to_owned())),
    );
    let expirations =
        restrictions.iter().filter_map(|restriction| facts.time(restriction.get("expiration")?));
    if let Some(latest) = expirations.max() {
        line.time("whatsapp.restriction.expires_at", latest);
    }
}

/// `business_status_update`.
pub(super) fn business_status(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let business = facts.text("/business_id");
    let scene = facts.about("").with_business(business.as_deref());
    let mut line = facts.begin(&scene, "account", &action(&event), update);
    if !BUSINESS_EVENTS.contains(&event.as_ref()) {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

/// `security`: the PIN of a number.
pub(super) fn security(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let known = match event.as_ref() {
        "PIN_CHANGED" => Some("pin_changed"),
        "PIN_RESET_REQUEST" => Some("pin_reset_requested"),
        "PIN_REQUEST_SUCCESS" => Some("pin_reset_done"),
        _ => None,
    };
    let scene = facts.about("");
    let action = known.map_or_else(|| action(&event), Cow::Borrowed);
    let mut line = facts.begin(&scene, "iam", &action, update);
    line.id("whatsapp.requester.id", facts.text("/requester"));
    if known.is_none() {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

/// `partner_solutions`. The entry has the business, and no account.
pub(super) fn solution(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let scene = Scene::new(facts.change, None, &Number::default()).with_business(facts.change.owner);
    let mut line = facts.begin(&scene, "iam", "partner_solution_updated", update);
    line.name("event.reason", facts.text("/event"));
    line.id("whatsapp.solution.id", facts.text("/solution_id"));
    line.name("whatsapp.solution.status", facts.text("/solution_status"));
    if !matches!(event.as_ref(), "SOLUTION_CREATED" | "SOLUTION_UPDATED") {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

/// `account_review_update`.
pub(super) fn reviewed(facts: &Facts<'_>, update: &mut Update) {
    let mut line = facts.begin(&facts.about(""), "account", "account_reviewed", update);
    outcome(facts.text("/decision").as_deref(), &mut line);
    line.name("whatsapp.decision", facts.text("/decision"));
    line.end(facts.key());
}

/// `account_alerts`. Its description is not kept.
pub(super) fn alerted(facts: &Facts<'_>, update: &mut Update) {
    let entity = facts.text("/entity_id");
    let (number, business) = match facts.text("/entity_type").as_deref() {
        Some("PHONE_NUMBER") => (facts.copy("/entity_id"), None),
        Some("BUSINESS") => (Scalar::Absent, entity.as_deref()),
        _ => (Scalar::Absent, None),
    };
    let number = Number { id: number, display: facts.copy("/display_phone_number") };
    let scene = facts.change.scene(&number).with_business(business);
    let mut line = facts.begin(&scene, "account", "account_alert", update);
    for (key, name) in [
        ("whatsapp.alert.type", "alert_type"),
        ("whatsapp.alert.severity", "alert_severity"),
        ("whatsapp.alert.status", "alert_status"),
    ] {
        let value = facts.text(&format!("/alert_info/{name}")).or_else(|| facts.text(&format!("/{name}")));
        line.name(key, value);
    }
    line.end(facts.key());
}

/// How a decision turned out, if it did.
pub(super) fn outcome(decision: Option<&str>, line: &mut Line<'_>) {
    match decision {
        Some("APPROVED" | "approved") => line.text("event.outcome", "success"),
        Some("REJECTED" | "rejected") => line.text("event.outcome", "failure"),
        _ => {}
    }
}
