//! The field `messages`: what users write, what becomes of what the business writes, and troubles of the account.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{Change, Number, Scene, reason};
use super::line::Line;
use super::loose::{Codes, Item, List, Object, Raw, Ready, object};
use super::message::Message;
use super::person::{Contact, Contacts};
use super::statuses::Status;
use super::{Reason, Update, statuses, system, users};

/// The value of a change, with messages and statuses that are read along with it or one by one.
#[derive(Debug, Deserialize)]
pub(super) struct Value<'a, M, S> {
    #[serde(borrow, default)]
    pub metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    pub contacts: List<Object<Contact<'a>>>,
    #[serde(default = "List::default")]
    pub messages: List<M>,
    #[serde(default = "List::default")]
    pub statuses: List<S>,
    #[serde(borrow, default)]
    pub errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub user_actions: List<Raw<'a>>,
}

/// Reads a change.
pub(super) fn read(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    // All at once, and only if that fails one by one: the one that cannot be read is then alone.
    if let Some(value) = object::<Value<'_, Ready<Message<'_>>, Ready<Status<'_>>>>(value.get()) {
        walk(change, value, update);
    } else if let Some(value) = change.value::<Value<'_, Raw<'_>, Raw<'_>>>(value, update) {
        walk(change, value, update);
    }
}

fn walk<'a, M, S>(change: &Change<'_>, value: Value<'a, M, S>, update: &mut Update)
where
    M: Item<'a, Message<'a>>,
    S: Item<'a, Status<'a>>,
{
    let Value { metadata, contacts, messages, statuses, errors, user_actions } = value;
    let whole = &change.body[change.text.clone()];
    let number = metadata.number();
    let scene = change.scene(&number);
    let contacts = Contacts::new(&contacts);
    let is_odd = messages.is_odd() || statuses.is_odd();
    let is_empty =
        matches!((&messages, &statuses, &user_actions), (List::Absent, List::Absent, List::Absent));
    if is_odd || is_empty && errors.is_none() {
        change.fail(update, Reason::BadShape, None, whole);
    }
    for (at, message) in messages.into_items().into_iter().enumerate() {
        if update.is_full() {
            change.fail(update, Reason::TooMany, Some(at), whole);
            continue;
        }
        match message.open() {
            Ok(message) => inbound(&scene, &number, &contacts, &message, update),
            Err(raw) => change.fail(update, reason(raw), Some(at), raw.get()),
        }
    }
    for (at, status) in statuses.into_items().into_iter().enumerate() {
        if update.is_full() {
            change.fail(update, Reason::TooMany, Some(at), whole);
            continue;
        }
        match status.open() {
            Ok(status) => statuses::write(&scene, &contacts, &status, update),
            Err(raw) => change.fail(update, reason(raw), Some(at), raw.get()),
        }
    }
    if let Some(errors) = errors {
        trouble(&scene, &number, errors, "messaging", update);
    }
    users::actions(&scene, &number, &contacts, &user_actions, update);
}

/// A message of a user.
fn inbound(
    scene: &Scene<'_>,
    number: &Number<'_>,
    contacts: &Contacts<'_>,
    message: &Message<'_>,
    update: &mut Update,
) {
    let change = scene.change;
    let essence = message.essence();
    let key = message.key("message", number, &essence, change);
    let at = change.time(&message.timestamp);
    let user = contacts.find([&message.from_user_id, &message.from]);
    let system = if essence.kind == "system" { system::System::read(message) } else { None };
    let (category, action) = match essence.kind.as_ref() {
        "edit" => ("messaging", "message_edited"),
        "revoke" => ("messaging", "message_revoked"),
        _ if essence.permission.is_some() => ("call", "call_permission_replied"),
        _ => ("messaging", system.as_ref().map_or("message_received", system::System::action)),
    };
    let mut line = Line::begin(update, scene, at, category, action);
    line.text("whatsapp.direction", "inbound");
    line.text("whatsapp.message.origin", "user");
    message.write(&essence, &mut line);
    match &system {
        Some(system) => system.write(&user, &mut line),
        None => user.write(&mut line),
    }
    if let Some(permission) = essence.permission.filter(|response| !response.is_empty()) {
        line.name("whatsapp.decision", Some(permission));
    }
    line.end(key);
}

/// Errors that belong to no message or call.
pub(super) fn trouble(
    scene: &Scene<'_>,
    number: &Number<'_>,
    errors: &RawValue,
    category: &str,
    update: &mut Update,
) {
    let change = scene.change;
    let codes = serde_json::from_str::<Codes>(errors.get()).unwrap_or_default();
    let key = change.key_of_text("errors", &[&number.name(), errors.get()].join("\n"), false);
    let mut line = Line::begin(update, scene, None, category, "messaging_error");
    line.text("event.outcome", "failure");
    line.codes(&codes.0);
    line.end(key);
}
