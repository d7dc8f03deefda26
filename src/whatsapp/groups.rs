//! Groups: made, joined, changed, suspended.
//!
//! What an item is, its `type` says, and not the field it came in.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Update;
use super::change::{Change, Number, Scene};
use super::line::{Line, small_name};
use super::loose::{Codes, List, Object, Raw, Scalar};
use super::person::Person;
use crate::pseudonym::Kind;

/// Types of items that are known.
const TYPES: [&str; 9] = [
    "group_create",
    "group_delete",
    "group_participants_add",
    "group_participants_remove",
    "group_join_request_created",
    "group_join_request_revoked",
    "group_settings_update",
    "group_suspend",
    "group_suspend_cleared",
];

#[derive(Debug, Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    metadata: Object<Number<'a>>,
    #[serde(borrow, default)]
    groups: List<Raw<'a>>,
}

/// An item of `groups`. Neither its subject nor the invitation is read.
#[derive(Debug, Deserialize)]
struct Group<'a> {
    #[serde(borrow, default)]
    group_id: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    request_id: Scalar<'a>,
    #[serde(borrow, default)]
    join_request_id: Scalar<'a>,
    #[serde(borrow, default)]
    reason: Scalar<'a>,
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
    #[serde(borrow, default)]
    added_participants: List<Object<Participant<'a>>>,
    #[serde(borrow, default)]
    removed_participants: List<Object<Participant<'a>>>,
    #[serde(borrow, default)]
    failed_participants: List<Object<Participant<'a>>>,
    #[serde(borrow, default)]
    profile_picture: Object<Setting<'a>>,
    #[serde(borrow, default)]
    group_subject: Object<Setting<'a>>,
    #[serde(borrow, default)]
    group_description: Object<Setting<'a>>,
    #[serde(default)]
    errors: Codes,
}

#[derive(Debug, Deserialize)]
struct Participant<'a> {
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
    #[serde(borrow, default)]
    input: Scalar<'a>,
    #[serde(default)]
    errors: Codes,
}

#[derive(Debug, Deserialize)]
struct Setting<'a> {
    #[serde(borrow, default)]
    update_successful: Scalar<'a>,
    #[serde(default)]
    errors: Codes,
}

/// Reads a change.
pub(super) fn read(change: &Change<'_>, value: &RawValue, update: &mut Update) {
    let Some(value) = change.value::<Value<'_>>(value, update) else { return };
    let number = value.metadata.number();
    let scene = change.scene(&number);
    change.each(&value.groups, update, |group: Group<'_>, text, update| {
        group.write(&scene, text, update);
    });
}

impl Group<'_> {
    /// Everybody that the item names in a list, in each of which it may be one or many.
    fn participants(&self) -> impl Iterator<Item = &Participant<'_>> {
        let lists = [&self.added_participants, &self.removed_participants, &self.failed_participants];
        lists.into_iter().flat_map(|list| list.items()).filter_map(Object::get)
    }

    fn settings(&self) -> impl Iterator<Item = &Setting<'_>> {
        [&self.profile_picture, &self.group_subject, &self.group_description]
            .into_iter()
            .filter_map(Object::get)
    }

    fn codes(&self) -> Codes {
        let mut codes = self.errors.clone();
        self.settings().for_each(|setting| codes.add(&setting.errors));
        self.participants().for_each(|participant| codes.add(&participant.errors));
        codes
    }

    /// Whom it is about, if it is one person.
    fn user(&self) -> Person<'_> {
        let user = Person::new([&self.user_id, &self.wa_id]);
        let mut participants = self.participants();
        match (participants.next(), participants.next()) {
            (Some(one), None) if user.is_nobody() => {
                let person = Person::new([&one.user_id, &one.wa_id]);
                if person.is_nobody() { Person::new([&one.input]) } else { person }
            }
            _ => user,
        }
    }

    fn write(&self, scene: &Scene<'_>, text: &str, update: &mut Update) {
        let change = scene.change;
        let id = self.group_id.text();
        let kind = self.kind.text().unwrap_or_default();
        let action = small_name(&kind);
        let codes = self.codes();
        let has_failed = !codes.0.is_empty()
            || self.settings().any(|setting| setting.update_successful.flag() == Some(false));
        let request = [&self.request_id, &self.join_request_id].into_iter().find_map(Scalar::text);
        let time = self.timestamp.text();
        let key = match id.as_deref() {
            Some(id) if time.is_some() || request.is_some() => {
                change.key(&["group", id, &kind, &request.unwrap_or_default(), text])
            }
            _ => change.key_of_text("group", text, false),
        };

        let at = change.time(&self.timestamp);
        let mut line =
            Line::begin(update, scene, at, "group", if kind.is_empty() { "group_event" } else { &action });
        if has_failed {
            line.text("event.outcome", "failure");
        }
        line.name("event.reason", self.reason.text());
        if let Some(id) = &id {
            line.pseudonym("whatsapp.group.id", Kind::Group, id);
        }
        for (key, list) in [
            ("whatsapp.group.added", &self.added_participants),
            ("whatsapp.group.removed", &self.removed_participants),
            ("whatsapp.group.failed", &self.failed_participants),
        ] {
            if !list.items().is_empty() {
                line.int(key, i64::try_from(list.items().len()).unwrap_or(i64::MAX));
            }
        }
        line.codes(&codes.0);
        self.user().write(&mut line);
        if !TYPES.contains(&kind.as_ref()) {
            line.unknown("group_type", &kind);
        }
        line.end(key);
    }
}
