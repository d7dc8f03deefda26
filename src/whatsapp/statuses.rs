//! What becomes of a message that the business sent.

use serde::Deserialize;

use super::change::Scene;
use super::line::Line;
use super::loose::{Codes, Object, Scalar};
use super::person::Contacts;
use super::{Update, calls};
use crate::pseudonym::Kind;

/// An item of `statuses`.
#[derive(Debug, Deserialize)]
pub(super) struct Status<'a> {
    #[serde(borrow, default)]
    pub id: Scalar<'a>,
    #[serde(borrow, default)]
    pub status: Scalar<'a>,
    #[serde(borrow, default)]
    pub timestamp: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Scalar<'a>,
    #[serde(borrow, default)]
    pub recipient_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub recipient_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    recipient_type: Scalar<'a>,
    #[serde(borrow, default)]
    recipient_participant_id: Scalar<'a>,
    #[serde(borrow, default)]
    participant_recipient_id: Scalar<'a>,
    #[serde(borrow, default)]
    recipient_participant_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub biz_opaque_callback_data: Scalar<'a>,
    #[serde(borrow, default)]
    template_id: Scalar<'a>,
    #[serde(borrow, default)]
    conversation: Object<Conversation<'a>>,
    #[serde(borrow, default)]
    pricing: Object<Pricing<'a>>,
    #[serde(default)]
    pub errors: Codes,
}

#[derive(Debug, Deserialize)]
struct Conversation<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    origin: Object<Origin<'a>>,
}

#[derive(Debug, Deserialize)]
struct Origin<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
}

#[derive(Debug, Deserialize)]
struct Pricing<'a> {
    #[serde(borrow, default)]
    billable: Scalar<'a>,
    #[serde(borrow, default)]
    pricing_model: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    category: Scalar<'a>,
}

impl<'a> Status<'a> {
    /// The ids of whoever it was sent to; in a group, of whoever of them it is about.
    fn recipient(&self) -> [&Scalar<'a>; 3] {
        if self.group().is_some() {
            [
                &self.recipient_participant_user_id,
                &self.recipient_participant_id,
                &self.participant_recipient_id,
            ]
        } else {
            [&self.recipient_user_id, &self.recipient_id, &Scalar::Absent]
        }
    }

    fn group(&self) -> Option<&Scalar<'a>> {
        (self.recipient_type.text().as_deref() == Some("group")).then_some(&self.recipient_id)
    }

    /// The key: the message, what became of it, and with whom.
    pub fn key(&self, group: &str, scene: &Scene<'_>) -> u64 {
        let status = self.status.text().unwrap_or_default();
        let recipient = [
            &self.recipient_participant_id,
            &self.participant_recipient_id,
            &self.recipient_participant_user_id,
            &self.recipient_id,
            &self.recipient_user_id,
        ];
        let recipient = recipient.into_iter().find_map(Scalar::text).unwrap_or_default();
        match self.id.text() {
            Some(id) => scene.change.key(&[group, &id, &status, &recipient]),
            None => {
                let time = self.timestamp.text();
                let text = [&*status, &*recipient, time.as_deref().unwrap_or_default()].join("\n");
                scene.change.key_of_text(group, &text, time.is_some())
            }
        }
    }

    /// Says what became of which message, and with whom.
    pub fn write(&self, contacts: &Contacts<'_>, line: &mut Line<'_>) {
        if let Some(id) = self.id.text() {
            line.pseudonym("whatsapp.message.id", Kind::Message, &id);
        }
        line.name("whatsapp.status", self.status.text());
        line.codes(&self.errors.0);
        contacts.find(self.recipient()).write(line);
        if let Some(group) = self.group().and_then(Scalar::text) {
            line.pseudonym("whatsapp.group.id", Kind::Group, &group);
        }
        if let Some(data) = self.biz_opaque_callback_data.text() {
            line.pseudonym("whatsapp.callback_data", Kind::Tracker, &data);
        }
        line.id("whatsapp.template.id", self.template_id.text());
        if let Some(conversation) = self.conversation.get() {
            if let Some(id) = conversation.id.text() {
                line.pseudonym("whatsapp.conversation.id", Kind::Conversation, &id);
            }
            if let Some(origin) = conversation.origin.get() {
                line.name("whatsapp.conversation.origin", origin.kind.text());
            }
        }
        if let Some(pricing) = self.pricing.get() {
            line.name("whatsapp.pricing.category", pricing.category.text());
            line.name("whatsapp.pricing.type", pricing.kind.text());
            line.name("whatsapp.pricing.model", pricing.pricing_model.text());
            if let Some(billable) = pricing.billable.flag() {
                line.flag("whatsapp.pricing.billable", billable);
            }
        }
    }
}

/// What a status is called as an action, and how it turned out; `None` if it is not known.
pub(super) fn action(status: &str) -> Option<(&'static str, &'static str)> {
    Some(match status {
        "sent" => ("message_sent", "success"),
        "delivered" => ("message_delivered", "success"),
        "read" => ("message_read", "success"),
        "played" => ("message_played", "success"),
        "failed" => ("message_failed", "failure"),
        _ => return None,
    })
}

/// A line for a status of a message, or of a call that came among them.
pub(super) fn write(scene: &Scene<'_>, contacts: &Contacts<'_>, status: &Status<'_>, update: &mut Update) {
    if status.kind.text().as_deref() == Some("call") {
        return calls::status(scene, contacts, status, update);
    }
    let key = status.key("status", scene);
    let at = scene.change.time(&status.timestamp);
    let name = status.status.text().unwrap_or_default();
    let known = action(&name);
    let mut line =
        Line::begin(update, scene, at, "messaging", known.map_or("message_status", |(action, _)| action));
    match known {
        Some((_, outcome)) => line.text("event.outcome", outcome),
        None => line.unknown("status", &name),
    }
    line.text("whatsapp.direction", "outbound");
    line.text("whatsapp.message.origin", "api");
    status.write(contacts, &mut line);
    line.end(key);
}
