//! Calls: who called, how it ended, and that there is a recording.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{Change, Number, Scene};
use super::line::{Line, small_name};
use super::loose::{Codes, List, Object, Raw, Scalar};
use super::person::{Contact, Contacts, Person};
use super::statuses::Status;
use super::{Update, messages};
use crate::pseudonym::{Kind, digits};

/// Longest call, in seconds. What is said to be longer, a month, is not told.
const LONGEST: i64 = 31 * 86_400;

#[derive(Debug, Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    contacts: List<Object<Contact<'a>>>,
    #[serde(borrow, default)]
    calls: List<Raw<'a>>,
    #[serde(borrow, default)]
    statuses: List<Raw<'a>>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

/// An item of `calls`. The session is not read, nor where a recording is.
#[derive(Debug, Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    from: Scalar<'a>,
    #[serde(borrow, default)]
    from_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    to: Scalar<'a>,
    #[serde(borrow, default)]
    to_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    event: Scalar<'a>,
    #[serde(borrow, default)]
    direction: Scalar<'a>,
    #[serde(borrow, default)]
    status: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    duration: Scalar<'a>,
    #[serde(borrow, default)]
    biz_opaque_callback_data: Scalar<'a>,
    #[serde(default)]
    errors: Codes,
}

/// Reads a change.
pub(super) fn read(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(value) = change.value::<Value<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    let contacts = Contacts::new(&value.contacts);
    let shared = value.errors.and_then(|errors| serde_json::from_str::<Codes>(errors.get()).ok());
    let mut is_told = false;
    change.each(&value.calls, update, |call: Call<'_>, text, update| {
        let is_blamed = value.calls.items().len() == 1 || call.has_failed();
        let shared = shared.as_ref().filter(|_| is_blamed);
        is_told |= shared.is_some();
        call.write(&scene, &number, &contacts, shared, text, update);
    });
    change.each(&value.statuses, update, |item: Status<'_>, _, update| {
        status(&scene, &contacts, &item, update);
    });
    if let Some(errors) = value.errors.filter(|_| !is_told) {
        messages::trouble(&scene, &number, errors, "call", update);
    }
}

impl<'a> Call<'a> {
    fn has_failed(&self) -> bool {
        self.status.text().is_some_and(|status| status.eq_ignore_ascii_case("FAILED"))
    }

    /// The end of the call that is not the business.
    fn user(&self, number: &Number<'_>, contacts: &Contacts<'a>, is_inbound: bool) -> Person<'_> {
        let display = number.display.text();
        let display = display.as_deref().and_then(digits);
        let is_business = |end: &Scalar<'_>| {
            display.is_some() && end.text().as_deref().and_then(digits).as_deref() == display.as_deref()
        };
        // What is documented and what is sent disagree about which end is which.
        let is_caller = if is_inbound { !is_business(&self.from) } else { is_business(&self.to) };
        if is_caller {
            contacts.find([&self.from_user_id, &self.from])
        } else {
            contacts.find([&self.to_user_id, &self.to])
        }
    }

    fn write(
        &self,
        scene: &Scene<'_>,
        number: &Number<'_>,
        contacts: &Contacts<'a>,
        shared: Option<&Codes>,
        text: &str,
        update: &mut Update,
    ) {
        let change = scene.change;
        let event = self.event.text().unwrap_or_default();
        let status = self.status.text();
        let action = match event.as_ref() {
            "connect" => "call_connect",
            "terminate" => "call_terminate",
            "call_created" => "call_created",
            "call_recording_available" => "call_recording_available",
            "call_transcription_available" => "call_transcription_available",
            _ => "call_event",
        };
        let key = match self.id.text() {
            Some(id) => change.key(&[
                "call",
                &id,
                if event.is_empty() { status.as_deref().unwrap_or_default() } else { &event },
            ]),
            None => change.key_of_text("call", text, self.timestamp != Scalar::Absent),
        };
        let direction = self.direction.text();
        let direction = direction.as_deref().map(small_name);
        let is_inbound = direction.as_deref() != Some("business_initiated");
        let mut codes = self.errors.clone();
        if let Some(shared) = shared {
            codes.add(shared);
        }

        let mut line = Line::begin(update, scene, change.time(&self.timestamp), "call", action);
        if let Some(outcome) = outcome(status.as_deref()) {
            line.text("event.outcome", outcome);
        }
        line.text("whatsapp.direction", if is_inbound { "inbound" } else { "outbound" });
        if let Some(id) = self.id.text() {
            line.pseudonym("whatsapp.call.id", Kind::Call, &id);
        }
        line.name("whatsapp.call.event", self.event.text());
        line.name("whatsapp.call.status", status);
        line.name("whatsapp.call.direction", direction);
        if let Some(duration) = self.duration.number().filter(|seconds| (0..=LONGEST).contains(seconds)) {
            line.int("whatsapp.call.duration_seconds", duration);
        }
        line.codes(&codes.0);
        self.user(number, contacts, is_inbound).write(&mut line);
        if let Some(data) = self.biz_opaque_callback_data.text() {
            line.pseudonym("whatsapp.callback_data", Kind::Tracker, &data);
        }
        if action == "call_event" {
            line.unknown("call_event", &event);
        }
        line.end(key);
    }
}

/// How a call turned out, if it did.
fn outcome(status: Option<&str>) -> Option<&'static str> {
    match status? {
        "COMPLETED" | "ACCEPTED" => Some("success"),
        "FAILED" | "REJECTED" => Some("failure"),
        _ => None,
    }
}

/// A line for what became of a call of the business's.
pub(super) fn status(scene: &Scene<'_>, contacts: &Contacts<'_>, status: &Status<'_>, update: &mut Update) {
    let key = status.key("call_status", scene);
    let name = status.status.text();
    let at = scene.change.time(&status.timestamp);
    let mut line = Line::begin(update, scene, at, "call", "call_status");
    if let Some(outcome) = outcome(name.as_deref()) {
        line.text("event.outcome", outcome);
    }
    line.text("whatsapp.direction", "outbound");
    if let Some(id) = status.id.text() {
        line.pseudonym("whatsapp.call.id", Kind::Call, &id);
    }
    if let Some(name) = name.as_deref().filter(|name| !matches!(*name, "RINGING" | "ACCEPTED" | "REJECTED")) {
        line.unknown("call_status", name);
    }
    line.name("whatsapp.call.status", name);
    line.codes(&status.errors.0);
    contacts.find([&status.recipient_user_id, &status.recipient_id]).write(&mut line);
    if let Some(data) = status.biz_opaque_callback_data.text() {
        line.pseudonym("whatsapp.callback_data", Kind::Tracker, &data);
    }
    line.end(key);
}
