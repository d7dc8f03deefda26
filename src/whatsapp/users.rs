//! What users do beside writing: stop or resume advertisements, follow a link in one, become somebody else, buy.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Update;
use super::change::{Change, Number, Scene};
use super::line::Line;
use super::loose::{List, Object, Raw, Scalar};
use super::person::{Contact, Contacts, Person};
use crate::pseudonym::Kind;

#[derive(Debug, Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    contacts: List<Object<Contact<'a>>>,
    #[serde(borrow, default)]
    user_preferences: List<Raw<'a>>,
    #[serde(borrow, default)]
    user_id_update: List<Raw<'a>>,
    #[serde(borrow, default)]
    automatic_events: List<Raw<'a>>,
    #[serde(borrow, default)]
    event: Scalar<'a>,
}

#[derive(Debug, Deserialize)]
struct Preference<'a> {
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
    #[serde(borrow, default)]
    value: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
}

/// Reads `user_preferences`.
pub(super) fn preferences(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(value) = change.value::<Value<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    let contacts = Contacts::new(&value.contacts);
    change.each(&value.user_preferences, update, |item: Preference<'_>, text, update| {
        let preference = item.value.text().unwrap_or_default();
        let action = match preference.as_ref() {
            "stop" => "opted_out",
            "resume" | "signup" => "opted_in",
            _ => "user_preference",
        };
        let at = change.time(&item.timestamp);
        let mut line = Line::begin(update, &scene, at, "messaging", action);
        line.name("whatsapp.preference", item.value.text());
        contacts.find([&item.user_id, &item.wa_id]).write(&mut line);
        if action == "user_preference" {
            line.unknown("preference", &preference);
        }
        let text = [&number.name(), text].join("\n");
        line.end(change.key_of_text("preference", &text, item.timestamp != Scalar::Absent));
    });
}

#[derive(Debug, Deserialize)]
struct NewId<'a> {
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Object<Ids<'a>>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Ids<'a> {
    #[serde(borrow, default)]
    previous: Scalar<'a>,
    #[serde(borrow, default)]
    current: Scalar<'a>,
}

/// Reads `user_id_update`: `whatsapp.user.id` is who is on record, `whatsapp.user.alias` who it is now.
pub(super) fn ids(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(value) = change.value::<Value<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    change.each(&value.user_id_update, update, |item: NewId<'_>, text, update| {
        let at = change.time(&item.timestamp);
        let mut line = Line::begin(update, &scene, at, "messaging", "user_changed_id");
        let none = Ids::default();
        let ids = item.user_id.get().unwrap_or(&none);
        Person::new([&ids.previous, &item.wa_id]).write_change(&Person::new([&ids.current]), &mut line);
        let text = [&number.name(), text].join("\n");
        line.end(change.key_of_text("user_id", &text, item.timestamp != Scalar::Absent));
    });
}

#[derive(Debug, Deserialize)]
struct Conversion<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    event_name: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
}

/// Reads `automatic_events`: what the platform takes for an enquiry or a purchase.
pub(super) fn conversions(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let text = value.get();
    let Some(value) = change.value::<Value<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    change.each(&value.automatic_events, update, |item: Conversion<'_>, text, update| {
        let at = change.time(&item.timestamp);
        let mut line = Line::begin(update, &scene, at, "messaging", "conversion_detected");
        line.name("event.reason", item.event_name.text());
        if let Some(id) = item.id.text() {
            line.pseudonym("whatsapp.message.id", Kind::Message, &id);
        }
        line.end(change.key_of_text("conversion", text, item.timestamp != Scalar::Absent));
    });
    if matches!(value.automatic_events, List::Absent) {
        let mut line = Line::begin(update, &scene, None, "messaging", "conversion_detected");
        line.unknown("event", &value.event.text().unwrap_or_default());
        line.end(change.key_of_text("conversion", text, false));
    }
}

#[derive(Debug, Deserialize)]
struct Action<'a> {
    #[serde(borrow, default)]
    action_type: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
}

/// Lines for `user_actions`: somebody followed a link in an advertisement.
pub(super) fn actions(
    scene: &Scene<'_>,
    number: &Number<'_>,
    contacts: &Contacts<'_>,
    actions: &List<Raw<'_>>,
    update: &mut Update,
) {
    let change = scene.change;
    change.each(actions, update, |item: Action<'_>, text, update| {
        let kind = item.action_type.text().unwrap_or_default();
        let is_click = kind == "marketing_messages_link_click";
        let at = change.time(&item.timestamp);
        let mut line = Line::begin(
            update,
            scene,
            at,
            "messaging",
            if is_click { "link_clicked" } else { "user_action" },
        );
        line.text("whatsapp.direction", "inbound");
        contacts.find([]).write(&mut line);
        if !is_click {
            line.unknown("user_action", &kind);
        }
        let text = [&number.name(), text].join("\n");
        line.end(change.key_of_text("action", &text, item.timestamp != Scalar::Absent));
    });
}
