//! Several apps at one number: who holds the conversation, and what the others do meanwhile.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Update;
use super::change::{Change, Number, Scene};
use super::facts::Facts;
use super::line::Line;
use super::loose::{List, Object, Raw, Scalar, object};
use super::message::Message;
use super::person::{Contact, Contacts, Person};
use super::statuses::{self, Status};
use crate::pseudonym::Kind;

/// `messaging_handovers`. What was said so far, which comes along, is not kept.
pub(super) fn handed_over(facts: &Facts<'_>, update: &mut Update) {
    let kind = facts.text("/type").unwrap_or_default();
    let (action, control) = match kind.as_ref() {
        "control_passed" => ("thread_control_passed", "/control_passed"),
        "control_taken" => ("thread_control_taken", "/control_taken"),
        _ => ("thread_control_changed", ""),
    };
    let number = Number {
        id: facts.copy("/recipient/phone_number_id"),
        display: facts.copy("/recipient/display_phone_number"),
    };
    let mut line = facts.begin(&facts.change.scene(&number), "iam", action, update);
    let (user_id, number) = (facts.copy("/sender/user_id"), facts.copy("/sender/phone_number"));
    Person::new([&user_id, &number]).write(&mut line);
    line.id("whatsapp.app.id", facts.text(&format!("{control}/new_owner_app_id")));
    line.id("whatsapp.app.previous_id", facts.text(&format!("{control}/previous_owner_app_id")));
    if control.is_empty() {
        line.unknown("handover", &kind);
    }
    line.end(facts.key());
}

#[derive(Debug, Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    standby: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Standby<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    contacts: List<Object<Contact<'a>>>,
    #[serde(borrow, default)]
    messages: List<Raw<'a>>,
    #[serde(borrow, default)]
    message_echoes: List<Raw<'a>>,
    #[serde(borrow, default)]
    statuses: List<Raw<'a>>,
}

/// What another app sent: the request that it made.
#[derive(Debug, Deserialize)]
struct Echo<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

fn begin<'l>(update: &'l mut Update, scene: &Scene<'l>, at: &Scalar<'_>, direction: &str) -> Line<'l> {
    let at = scene.change.time(at);
    let mut line = Line::begin(update, scene, at, "messaging", "standby_message");
    line.text("whatsapp.direction", direction);
    line.text("whatsapp.message.origin", if direction == "inbound" { "user" } else { "api" });
    line
}

/// Reads `standby`: what happens while another app holds the conversation.
pub(super) fn standby(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(outer) = change.value::<Outer<'_>>(value, update) else { return };
    let Some(inner) = change.value::<Standby<'_>>(outer.standby.unwrap_or(value), update) else { return };
    let number = match outer.metadata {
        Object::Given(number) => number,
        Object::Absent | Object::Odd => inner.metadata.number(),
    };
    let scene = change.scene(&number);
    let contacts = Contacts::new(&inner.contacts);
    change.each(&inner.messages, update, |message: Message<'_>, _, update| {
        let essence = message.essence();
        let mut line = begin(update, &scene, &message.timestamp, "inbound");
        message.write(&essence, &mut line);
        contacts.find([&message.from_user_id, &message.from]).write(&mut line);
        line.end(message.key("standby", &number, &essence, change));
    });
    change.each(&inner.message_echoes, update, |echo: Echo<'_>, text, update| {
        let request = echo.message.map_or(text, RawValue::get);
        let Some(message) = object::<Message<'_>>(request) else {
            return change.fail(update, super::Reason::Unreadable, None, request);
        };
        let essence = message.essence();
        let mut line = begin(update, &scene, &echo.timestamp, "outbound");
        if let Some(id) = echo.id.text().filter(|_| message.id == Scalar::Absent) {
            line.pseudonym("whatsapp.message.id", Kind::Message, &id);
        }
        message.write(&essence, &mut line);
        contacts.find([&message.to_user_id, &message.to]).write(&mut line);
        line.end(match echo.id.text() {
            Some(id) => change.key(&["standby", &number.name(), &id, "echo"]),
            None => change.key_of_text("standby", text, echo.timestamp != Scalar::Absent),
        });
    });
    change.each(&inner.statuses, update, |status: Status<'_>, _, update| {
        let mut line = begin(update, &scene, &status.timestamp, "outbound");
        let name = status.status.text().unwrap_or_default();
        match statuses::action(&name) {
            Some((_, outcome)) => line.text("event.outcome", outcome),
            None => line.unknown("status", &name),
        }
        status.write(&contacts, &mut line);
        line.end(status.key("standby_status", &scene));
    });
}
