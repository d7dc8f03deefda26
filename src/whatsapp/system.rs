//! Messages that the platform writes about a user: another number, another phone, another id.

use std::borrow::Cow;

use serde::Deserialize;

use super::line::Line;
use super::loose::{Scalar, object};
use super::message::Message;
use super::person::Person;

/// A message's `system`. Its text is not read: it holds name and numbers.
#[derive(Debug, Deserialize)]
pub(super) struct System<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    new_wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
    #[serde(borrow, default)]
    previous_user_id: Scalar<'a>,
}

impl<'a> System<'a> {
    /// What a message says of a user, if it does.
    pub fn read(message: &Message<'a>) -> Option<Self> {
        object(message.system?.get())
    }

    fn kind(&self) -> Cow<'_, str> {
        self.kind.text().unwrap_or_default()
    }

    /// What has happened to the user.
    pub fn action(&self) -> &'static str {
        match self.kind().as_ref() {
            "user_changed_number" => "user_changed_number",
            "customer_identity_changed" | "user_identity_changed" => "user_identity_changed",
            "user_changed_user_id" => "user_changed_id",
            _ => "message_received",
        }
    }

    /// Says who it was that is on record, and who it is now: `whatsapp.user.id` and `whatsapp.user.alias`.
    pub fn write(&self, user: &Person<'_>, line: &mut Line<'_>) {
        match self.action() {
            "user_changed_number" => {
                user.write_change(&Person::new([&self.wa_id, &self.new_wa_id]), line);
            }
            "user_changed_id" => {
                let before = Person::new([&self.previous_user_id]);
                let before = if before.is_nobody() { user } else { &before };
                before.write_change(&Person::new([&self.user_id]), line);
            }
            "user_identity_changed" => user.write(line),
            _ => {
                user.write(line);
                line.unknown("system_type", &self.kind());
            }
        }
    }
}
