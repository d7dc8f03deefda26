//! What the business itself says that it sent.
//!
//! A sender registers each message when the API has given it an id, or its gateway does. Against that the statuses of
//! messages are held: one that nobody registered was sent by somebody else. What is registered becomes a line like those
//! of webhooks, with the same pseudonym of the message.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{Change, Number, Scene, range, reason};
use super::line::Line;
use super::loose::{Scalar, object};
use super::{Failure, Place, Reason, Unreadable, Update};
use crate::event::Timestamp;
use crate::pseudonym::{DedupeKey, Kind, Pseudonyms};

/// A message that was sent.
#[derive(Debug, Deserialize)]
struct Send<'a> {
    #[serde(borrow, default)]
    message_id: Scalar<'a>,
    #[serde(borrow, default)]
    phone_number_id: Scalar<'a>,
    #[serde(borrow, default)]
    waba_id: Scalar<'a>,
    #[serde(borrow, default)]
    at: Scalar<'a>,
}

/// Reads registrations that arrived at `received`: an object `{"message_id": "wamid...", "phone_number_id": "...",
/// "waba_id": "...", "at": ...}`, an array of such objects, or one a line. Only the id of the message must be there. `at`
/// is RFC 3339 or seconds, or milliseconds, since the epoch; without it the message was sent when it is registered.
///
/// What is registered twice has the same key. Of lines one that cannot be read is reported by its place, as item, and
/// those beside it are read; an array that is not JSON is not read at all. Of more than [`super::LINES_LIMIT`] messages
/// those beyond are reported, and have to be sent again. Time and memory are linear in the body.
pub fn read(
    body: &[u8],
    received: Timestamp,
    pseudonyms: &Pseudonyms,
    dedupe: &DedupeKey,
) -> Result<Update, Unreadable> {
    let body = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    let reader = Reader { body, received, pseudonyms, dedupe };
    let mut update = Update::default();
    if body.trim_start().starts_with('[') {
        let items = serde_json::from_str::<Vec<&RawValue>>(body)
            .map_err(|error| Unreadable::NotJson(error.line(), error.column()))?;
        reader.items(items.into_iter().map(RawValue::get), &mut update);
    } else if let Ok(one) = serde_json::from_str::<&RawValue>(body) {
        reader.items([one.get()], &mut update);
    } else {
        reader.items(body.lines().map(str::trim).filter(|line| !line.is_empty()), &mut update);
    }
    Ok(update)
}

struct Reader<'r> {
    body: &'r str,
    received: Timestamp,
    pseudonyms: &'r Pseudonyms,
    dedupe: &'r DedupeKey,
}

impl<'r> Reader<'r> {
    fn items(&self, items: impl IntoIterator<Item = &'r str>, update: &mut Update) {
        for (at, text) in items.into_iter().enumerate() {
            let place = Place { item: Some(at), ..Place::default() };
            let text_at = range(self.body, text);
            match object::<Send<'_>>(text) {
                Some(send) if send.message_id.text().is_some() => self.send(&send, place, text, update),
                Some(_) => update.fail(Failure { reason: Reason::NoValue, place, text: text_at }),
                None => {
                    let reason = serde_json::from_str::<&RawValue>(text).map_or(Reason::Unreadable, reason);
                    update.fail(Failure { reason, place, text: text_at });
                }
            }
        }
    }

    fn send(&self, send: &Send<'_>, place: Place, text: &str, update: &mut Update) {
        let Some(message) = send.message_id.text() else { return };
        let account = send.waba_id.text();
        let change = Change {
            owner: account.as_deref(),
            time: None,
            at: None,
            field: "sends",
            dataset: "sends",
            extra: "",
            received: self.received,
            pseudonyms: self.pseudonyms,
            dedupe: self.dedupe,
            body: self.body,
            place,
            text: range(self.body, text),
        };
        let given = match &send.at {
            Scalar::Text(text) => {
                Timestamp::parse_rfc3339(text).map(|at| at.as_micros().div_euclid(1_000_000))
            }
            _ => None,
        };
        let at = change.time(&given.map_or_else(|| send.at.clone(), Scalar::Number));
        let number = Number { id: send.phone_number_id.clone(), display: Scalar::Absent };
        let scene = Scene::new(&change, change.owner, &number);
        let mut line = Line::begin(update, &scene, at, "messaging", "message_registered");
        line.text("whatsapp.direction", "outbound");
        line.pseudonym("whatsapp.message.id", Kind::Message, &message);
        line.end(change.key(&["send", &message]));
    }
}
