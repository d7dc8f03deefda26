//! Numbers that are used with the app and with the API at once: what is written at the app, and what the app brings
//! along when it is connected, which is all of its chats and contacts.
//!
//! Of chats and contacts only their number is kept. They are old, so they are no activity.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::change::{Change, Number};
use super::line::Line;
use super::loose::{Codes, List, Object, Raw, Scalar};
use super::message::Message;
use super::person::{Contact, Contacts};
use super::{Reason, Update};
use crate::event::Timestamp;

#[derive(Debug, Deserialize)]
struct Echoes<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    contacts: List<Object<Contact<'a>>>,
    #[serde(borrow, default)]
    message_echoes: List<Raw<'a>>,
}

/// Reads messages that somebody wrote at the app or at a device linked to it.
pub(super) fn echoes(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(value) = change.value::<Echoes<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    let contacts = Contacts::new(&value.contacts);
    if matches!(value.message_echoes, List::Absent) {
        change.fail(update, Reason::BadShape, None, &change.body[change.text.clone()]);
    }
    change.each(&value.message_echoes, update, |message: Message<'_>, _, update| {
        let essence = message.essence();
        let key = message.key("message", &number, &essence, change);
        let action = match essence.kind.as_ref() {
            "edit" => "echo_edited",
            "revoke" => "echo_revoked",
            _ => "message_echoed",
        };
        let mut line = Line::begin(update, &scene, change.time(&message.timestamp), "messaging", action);
        line.text("whatsapp.direction", "outbound");
        line.text("whatsapp.message.origin", "app");
        message.write(&essence, &mut line);
        contacts.find([&message.to_user_id, &message.to]).write(&mut line);
        line.end(key);
    });
}

#[derive(Debug, Deserialize)]
struct History<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    history: List<Raw<'a>>,
    /// Files of messages that came before.
    #[serde(default)]
    messages: List<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    metadata: Object<Progress<'a>>,
    #[serde(default)]
    threads: List<Object<Thread>>,
    #[serde(default)]
    errors: Codes,
}

#[derive(Debug, Deserialize)]
struct Progress<'a> {
    #[serde(borrow, default)]
    phase: Scalar<'a>,
    #[serde(borrow, default)]
    progress: Scalar<'a>,
}

#[derive(Debug, Deserialize)]
struct Thread {
    #[serde(default)]
    messages: List<IgnoredAny>,
}

/// Reads chats of the past: a line a chunk.
pub(super) fn history(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let text = value.get();
    let Some(value) = change.value::<History<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    change.each(&value.history, update, |chunk: Chunk<'_>, text, update| {
        // The whole chunk, because another synchronisation has the same phases and is what must not be missed.
        let key = change.key(&["history", &number.name(), text]);
        let mut line = Line::begin(update, &scene, None, "messaging", "history_synced");
        line.text("event.outcome", if chunk.errors.0.is_empty() { "success" } else { "failure" });
        if let Some(progress) = chunk.metadata.get() {
            for (key, value) in [
                ("whatsapp.history.phase", &progress.phase),
                ("whatsapp.history.progress", &progress.progress),
            ] {
                if let Some(value) = value.number().filter(|value| (0..=100).contains(value)) {
                    line.int(key, value);
                }
            }
        }
        let threads = chunk.threads.items();
        let messages =
            threads.iter().filter_map(Object::get).map(|thread| thread.messages.items().len()).sum();
        line.int("whatsapp.history.threads", count(threads.len()));
        line.int("whatsapp.history.messages", count(messages));
        line.codes(&chunk.errors.0);
        line.end(key);
    });
    if let List::Given(messages) = &value.messages {
        let mut line = Line::begin(update, &scene, None, "messaging", "history_synced");
        line.int("whatsapp.history.messages", count(messages.len()));
        line.end(change.key(&["history", &number.name(), text]));
    } else if matches!(value.history, List::Absent) {
        change.fail(update, Reason::BadShape, None, text);
    }
}

#[derive(Debug, Deserialize)]
struct State<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    state_sync: List<Raw<'a>>,
}

/// An item of `state_sync`. The contact itself is not read.
#[derive(Debug, Deserialize)]
struct Sync<'a> {
    #[serde(borrow, default)]
    action: Scalar<'a>,
    #[serde(borrow, default)]
    metadata: Object<Moment<'a>>,
}

#[derive(Debug, Deserialize)]
struct Moment<'a> {
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
}

/// Reads what becomes of the app's contacts: a line for all of it.
pub(super) fn contacts(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let text = value.get();
    let Some(value) = change.value::<State<'_>>(value, update) else { return };
    if matches!(value.state_sync, List::Absent) {
        change.fail(update, Reason::BadShape, None, text);
    }
    let number = value.metadata.number();
    let scene = change.scene(&number);
    let (mut all, mut added, mut removed) = (0, 0, 0);
    let mut others: Vec<String> = Vec::new();
    let mut latest: Option<Timestamp> = None;
    change.each(&value.state_sync, update, |item: Sync<'_>, _, _| {
        all += 1;
        match item.action.text().unwrap_or_default().as_ref() {
            "add" => added += 1,
            "remove" => removed += 1,
            other if others.len() < 8 && !others.iter().any(|known| known == other) => {
                others.push(other.to_owned())
            }
            _ => {}
        }
        latest = latest.max(item.metadata.get().and_then(|metadata| change.time(&metadata.timestamp)));
    });
    if all == 0 {
        return;
    }
    let mut line = Line::begin(update, &scene, latest, "messaging", "contacts_synced");
    line.int("whatsapp.contacts.count", all);
    line.int("whatsapp.contacts.added", added);
    line.int("whatsapp.contacts.removed", removed);
    for other in &others {
        line.unknown("contact_action", other);
    }
    line.end(change.key_of_text("contacts", text, latest.is_some()));
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
