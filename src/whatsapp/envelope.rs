//! The envelope: entries, in them changes. Each change is read by itself, by what its field is called.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::change::{Change, Number, range, reason, time};
use super::facts::Facts;
use super::line::{Line, name};
use super::loose::{Item, List, Object, Raw, Ready, Scalar, object};
use super::{Context, Failure, Place, Reason, Unreadable, Update};
use super::{
    account, calls, coexistence, groups, handover, limits, messages, settings, surrogates, templates, users,
};
use crate::event::Timestamp;

/// What a body is about, if it is for us.
const OBJECT: &str = "whatsapp_business_account";

/// Longest name of another object that is kept, in bytes.
const OBJECT_LIMIT: usize = 64;

/// Fields that are known, the usual one first.
const FIELDS: [&str; 33] = [
    "messages",
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "account_update",
    "automatic_events",
    "business_capability_update",
    "business_status_update",
    "business_username_updates",
    "calls",
    "flows",
    "group_lifecycle_update",
    "group_participant_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "history",
    "message_echoes",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "messaging_handovers",
    "partner_solutions",
    "payment_configuration_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "smb_app_state_sync",
    "smb_message_echoes",
    "standby",
    "template_category_update",
    "user_id_update",
    "user_preferences",
];

/// Said of everything that tells of the past.
const BACKFILL: &str = ",\"whatsapp.backfill\":true";

#[derive(Debug, Deserialize)]
struct Envelope<'a, E> {
    #[serde(borrow, default)]
    object: Scalar<'a>,
    #[serde(default = "List::default")]
    entry: List<E>,
}

#[derive(Debug, Deserialize)]
struct Entry<'a, C> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    time: Scalar<'a>,
    #[serde(default = "List::default")]
    changes: List<C>,
    #[serde(borrow, default)]
    changed_fields: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Given<'a> {
    #[serde(borrow, default)]
    field: Scalar<'a>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// What is found now and then inside a value instead of beside it.
#[derive(Debug, Default, Deserialize)]
struct Misplaced<'a> {
    #[serde(borrow, default)]
    object: Scalar<'a>,
    #[serde(borrow, default)]
    field: Scalar<'a>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

type Whole<'a> = Envelope<'a, Ready<Entry<'a, Ready<Given<'a>>>>>;
type InParts<'a> = Envelope<'a, Raw<'a>>;

/// What a body is read with.
#[derive(Clone, Copy)]
struct Reader<'r> {
    body: &'r str,
    received: Timestamp,
    context: &'r Context,
}

/// What an entry says of all its changes.
#[derive(Clone, Copy)]
struct About<'e> {
    owner: Option<&'e str>,
    time: Option<&'e str>,
    at: Option<Timestamp>,
}

/// Reads a body that arrived at `received`. The error says that nothing of it can be read; what cannot be read of a
/// body that otherwise can is in the [`Update`].
///
/// Time and memory are linear in the body.
pub fn read(body: &[u8], received: Timestamp, context: &Context) -> Result<Update, Unreadable> {
    let body = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    let body = &*surrogates::mended(body);
    let reader = Reader { body, received, context };
    let mut update = Update::default();
    if !body.trim_start().starts_with('{') {
        let is_json = serde_json::from_str::<IgnoredAny>(body);
        return Err(is_json.map_or_else(|error| not_json(&error), |_| Unreadable::NotObject));
    }
    // All at once, and only if that fails one by one: the one that cannot be read is then alone.
    if let Ok(envelope) = serde_json::from_str::<Whole<'_>>(body) {
        reader.check(&envelope.object)?;
        reader.entries::<_, Ready<Given<'_>>>(envelope.entry, &mut update);
    } else {
        let envelope = serde_json::from_str::<InParts<'_>>(body).map_err(|error| not_json(&error))?;
        reader.check(&envelope.object)?;
        reader.entries::<_, Raw<'_>>(envelope.entry, &mut update);
    }
    Ok(update)
}

/// What a body is about, if it is called like a thing and not like a person.
fn object_name(name: &str) -> &str {
    let is_plain =
        name.len() <= OBJECT_LIMIT && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_plain { name } else { "?" }
}

fn not_json(error: &serde_json::Error) -> Unreadable {
    Unreadable::NotJson(error.line(), error.column())
}

impl<'r> Reader<'r> {
    /// Whether the body is about what it must be about. Where it does not say, its first change may.
    fn check(&self, object: &Scalar<'_>) -> Result<(), Unreadable> {
        match object.text() {
            Some(object) if object == OBJECT => Ok(()),
            Some(other) => Err(Unreadable::OtherObject(object_name(&other).to_owned())),
            None if self.misplaced_object().is_some_and(|object| object == OBJECT) => Ok(()),
            None => Err(Unreadable::NoObject),
        }
    }

    fn misplaced_object(&self) -> Option<String> {
        let envelope = serde_json::from_str::<Whole<'_>>(self.body).ok()?;
        let change = envelope.entry.items().first()?.0.changes.items().first()?;
        let inside = self::object::<Misplaced<'_>>(change.0.value.get())?;
        inside.object.text().map(|object| object.into_owned())
    }

    fn entries<E, C>(&self, entries: List<E>, update: &mut Update)
    where
        E: Item<'r, Entry<'r, C>>,
        C: Item<'r, Given<'r>>,
    {
        if !matches!(entries, List::Given(_)) {
            self.fail(update, Reason::BadShape, Place::default(), self.body);
        }
        for (at, entry) in entries.into_items().into_iter().enumerate() {
            let place = Place { entry: at, ..Place::default() };
            match entry.open() {
                Ok(entry) => self.entry(entry, place, update),
                Err(raw) => self.fail(update, reason(raw), place, raw.get()),
            }
        }
    }

    fn entry<C: Item<'r, Given<'r>>>(&self, entry: Entry<'r, C>, place: Place, update: &mut Update) {
        let (owner, time) = (entry.id.text(), entry.time.text());
        let about = About {
            owner: owner.as_deref(),
            time: time.as_deref(),
            at: self::time(&entry.time, self.received),
        };
        if let Some(names) = entry.changed_fields {
            misconfigured(&self.change(about, "", "webhook", place, names.get()), names, update);
        } else if !matches!(entry.changes, List::Given(_)) {
            self.fail(update, Reason::BadShape, place, self.body);
        }
        for (at, given) in entry.changes.into_items().into_iter().enumerate() {
            let place = Place { change: Some(at), ..place };
            let Given { field, value } = match given.open() {
                Ok(given) => given,
                Err(raw) => {
                    let has_value =
                        object::<Misplaced<'_>>(raw.get()).is_none_or(|given| given.value.is_some());
                    let reason = if has_value { reason(raw) } else { Reason::NoValue };
                    self.fail(update, reason, place, raw.get());
                    continue;
                }
            };
            let (field, value) = in_place(field, value);
            if value.get() == "null" {
                self.fail(update, Reason::NoValue, place, value.get());
                continue;
            }
            let field = field.text().unwrap_or_default();
            let known = FIELDS.iter().find(|known| **known == field);
            let dataset = known.copied().unwrap_or("unknown");
            dispatch(self.change(about, &field, dataset, place, value.get()), value, update);
        }
    }

    fn change<'c>(
        &'c self,
        about: About<'c>,
        field: &'c str,
        dataset: &'static str,
        place: Place,
        value: &str,
    ) -> Change<'c> {
        Change {
            owner: about.owner,
            time: about.time,
            at: about.at,
            field,
            dataset,
            extra: "",
            received: self.received,
            context: self.context,
            body: self.body,
            place,
            text: range(self.body, value),
        }
    }

    fn fail(&self, update: &mut Update, reason: Reason, place: Place, part: &str) {
        update.fail(Failure { reason, place, text: range(self.body, part) });
    }
}

/// Field and value where they belong: examples put the field, or both, inside the value.
fn in_place<'a>(field: Scalar<'a>, value: &'a RawValue) -> (Scalar<'a>, &'a RawValue) {
    if field != Scalar::Absent {
        return (field, value);
    }
    match object::<Misplaced<'a>>(value.get()) {
        Some(Misplaced { field, value: Some(inner), .. }) if field != Scalar::Absent => (field, inner),
        Some(inside) => (inside.field, value),
        None => (field, value),
    }
}

/// Hands a change to whoever knows its field.
fn dispatch(mut change: Change<'_>, value: &RawValue, update: &mut Update) {
    if matches!(change.field, "history" | "smb_app_state_sync") {
        change.extra = BACKFILL;
    }
    let change = &change;
    let report: fn(&Facts<'_>, &mut Update) = match change.dataset {
        "messages" => return messages::read(change, value, update),
        "smb_message_echoes" | "message_echoes" => return coexistence::echoes(change, value, update),
        "history" => return coexistence::history(change, value, update),
        "smb_app_state_sync" => return coexistence::contacts(change, value, update),
        "calls" => return calls::read(change, value, update),
        "standby" => return handover::standby(change, value, update),
        "user_preferences" => return users::preferences(change, value, update),
        "user_id_update" => return users::ids(change, value, update),
        "automatic_events" => return users::conversions(change, value, update),
        "unknown" => return unknown(change, value, update),
        group if group.starts_with("group_") => return groups::read(change, value, update),
        "account_alerts" => account::alerted,
        "account_review_update" => account::reviewed,
        "account_settings_update" => settings::account,
        "account_update" => account::updated,
        "business_capability_update" => limits::capability,
        "business_status_update" => account::business_status,
        "business_username_updates" => settings::username,
        "flows" => settings::flow,
        "messaging_handovers" => handover::handed_over,
        "partner_solutions" => account::solution,
        "payment_configuration_update" => settings::payment,
        "phone_number_name_update" => settings::number_name,
        "phone_number_quality_update" => limits::quality,
        "security" => account::security,
        _ => templates::read,
    };
    if let Some(facts) = Facts::read(change, value, update) {
        report(&facts, update);
    }
}

/// A field that is not known. Nothing of its value is kept but the number.
fn unknown(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    #[derive(Deserialize)]
    struct Value<'a> {
        #[serde(borrow, default)]
        metadata: Object<Number<'a>>,
    }

    let number =
        object::<Value<'_>>(value.get()).map_or_else(Number::default, |value| value.metadata.number());
    let mut line = Line::begin(update, &change.scene(&number), None, "webhook", "unknown_field");
    line.unknown("field", if change.field.is_empty() { "missing" } else { change.field });
    line.end(change.key_of_text("unknown", value.get(), false));
}

/// The app is subscribed without values: it learns that something has happened, and not what.
fn misconfigured(change: &Change<'_>, names: &RawValue, update: &mut Update) {
    let scene = change.scene(&Number::default());
    let mut line = Line::begin(update, &scene, None, "webhook", "webhook_misconfigured");
    let names_known = serde_json::from_str::<List<Scalar<'_>>>(names.get()).unwrap_or_default();
    let names_known = names_known.items().iter().filter_map(|name| name.text());
    line.texts(
        "whatsapp.changed_fields",
        names_known.map(|field| name(&field).unwrap_or("unknown").to_owned().into()),
    );
    line.end(change.key_of_text("changed_fields", names.get(), false));
}
