//! What the business itself says that it sent.
//!
//! A sender registers each message when the API has given it an id, or its gateway does. Against that the statuses of
//! messages are held: one that nobody registered was sent by somebody else. What is registered becomes a line like those
//! of webhooks, with the same pseudonym of the message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{Change, Number, Scene, range, reason};
use super::line::Line;
use super::loose::{List, Object, Scalar, object};
use super::{Context, Failure, Place, Reason, Unreadable, Update};
use crate::event::Timestamp;
use crate::pseudonym::Kind;

/// A message that was sent, or several: what the API answered.
#[derive(Debug, Deserialize)]
struct Send<'a> {
    #[serde(borrow, default, alias = "wamid", alias = "whatsapp.message.id")]
    message_id: Scalar<'a>,
    #[serde(borrow, default)]
    messages: List<Object<Answered<'a>>>,
    #[serde(borrow, default, alias = "whatsapp.phone_number.id")]
    phone_number_id: Scalar<'a>,
    #[serde(borrow, default, alias = "path", alias = "url.path", alias = "uri", alias = "request_uri")]
    url: Scalar<'a>,
    #[serde(borrow, default, alias = "whatsapp.waba.id")]
    waba_id: Scalar<'a>,
    #[serde(borrow, default, alias = "@timestamp", alias = "timestamp", alias = "time")]
    at: Scalar<'a>,
}

/// A message in an answer of the API.
#[derive(Debug, Deserialize)]
struct Answered<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
}

impl<'a> Send<'a> {
    /// The ids of the messages.
    fn ids(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let answered = self.messages.items().iter().filter_map(|message| message.get()?.id.text());
        self.message_id.text().into_iter().chain(answered)
    }

    /// The number: as it is said, or as it stands in the address that was asked: `/v23.0/106540352242922/messages`.
    fn number(&self) -> Scalar<'a> {
        if self.phone_number_id.text().is_some() {
            return self.phone_number_id.clone();
        }
        let of = |url: &str| {
            let path = url.split(['?', '#']).next()?;
            let (before, _) = path.rsplit_once("/messages")?;
            let id = before.rsplit('/').next()?;
            (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
        };
        let id = self.url.text().and_then(|url| of(&url));
        id.map_or(Scalar::Absent, |id| Scalar::Text(id.into()))
    }
}

/// Reads registrations that arrived at `received`: an object `{"message_id": "wamid...", "phone_number_id": "...",
/// "waba_id": "...", "at": ...}`, an array of such objects, or one a line. Only the id of the message must be there. `at`
/// is RFC 3339 or seconds, or milliseconds, since the epoch; without it the message was sent when it is registered.
///
/// The log of a gateway to the API will do too, one JSON object a line: `url` says the number where `phone_number_id` does
/// not, and the API's own answer `{"messages": [{"id": "wamid..."}]}` says the ids.
///
/// What is registered twice has the same key. Of lines one that cannot be read is reported by its place, as item, and
/// those beside it are read; an array that is not JSON is not read at all. Of more than [`super::LINES_LIMIT`] messages
/// those beyond are reported, and have to be sent again. Time and memory are linear in the body.
pub fn read(body: &[u8], received: Timestamp, context: &Context) -> Result<Update, Unreadable> {
    let body = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    let reader = Reader { body, received, context };
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

/// Reads registrations one a line, as [`read`] does. There is no more of them than what is read of a log at a time.
pub fn read_lines(text: &str, received: Timestamp, context: &Context) -> Update {
    let mut update = Update::default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Reader { body: text, received, context }.items(lines, &mut update);
    update
}

struct Reader<'r> {
    body: &'r str,
    received: Timestamp,
    context: &'r Context,
}

impl<'r> Reader<'r> {
    fn items(&self, items: impl IntoIterator<Item = &'r str>, update: &mut Update) {
        for (at, text) in items.into_iter().enumerate() {
            let place = Place { item: Some(at), ..Place::default() };
            let text_at = range(self.body, text);
            match object::<Send<'_>>(text) {
                Some(send) if send.ids().next().is_some() => self.send(&send, place, text, update),
                Some(_) => update.fail(Failure { reason: Reason::NoValue, place, text: text_at }),
                None => {
                    let reason = serde_json::from_str::<&RawValue>(text).map_or(Reason::Unreadable, reason);
                    update.fail(Failure { reason, place, text: text_at });
                }
            }
        }
    }

    fn send(&self, send: &Send<'_>, place: Place, text: &str, update: &mut Update) {
        let account = send.waba_id.text();
        let change = Change {
            owner: account.as_deref(),
            time: None,
            at: None,
            field: "sends",
            dataset: "sends",
            extra: "",
            received: self.received,
            context: self.context,
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
        let number = Number { id: send.number(), display: Scalar::Absent };
        let scene = Scene::new(&change, change.owner, &number);
        for message in send.ids() {
            let mut line = Line::begin(update, &scene, at, "messaging", "message_registered");
            line.text("whatsapp.direction", "outbound");
            line.pseudonym("whatsapp.message.id", Kind::Message, &message);
            line.end(change.key(&["send", &message]));
        }
    }
}
