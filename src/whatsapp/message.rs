//! A message, whoever sent it: what kind it is, what it refers to, and what is kept of what it says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{Change, Number};
use super::content::{Content, Media, Text};
use super::line::{Line, small_name};
use super::loose::{Codes, List, Object, Scalar, object};
use crate::pseudonym::Kind;

/// Types of messages that are known.
const TYPES: [&str; 18] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "button",
    "reaction",
    "order",
    "system",
    "edit",
    "revoke",
    "unsupported",
    "template",
    "media_placeholder",
];

/// A message as it comes. What only some types have is read when it is known to be of the type.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub id: Scalar<'a>,
    #[serde(borrow, default)]
    pub from: Scalar<'a>,
    #[serde(borrow, default)]
    pub from_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub to: Scalar<'a>,
    #[serde(borrow, default)]
    pub to_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub group_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub timestamp: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    context: Object<Context<'a>>,
    #[serde(default)]
    pub errors: Codes,
    #[serde(borrow, default)]
    text: Object<Text<'a>>,
    #[serde(borrow, default)]
    image: Option<&'a RawValue>,
    #[serde(borrow, default)]
    video: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    document: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sticker: Option<&'a RawValue>,
    #[serde(borrow, default)]
    location: Option<&'a RawValue>,
    #[serde(borrow, default)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    interactive: Option<&'a RawValue>,
    #[serde(borrow, default)]
    button: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reaction: Option<&'a RawValue>,
    #[serde(borrow, default)]
    order: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    edit: Option<&'a RawValue>,
    #[serde(borrow, default)]
    revoke: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Context<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    forwarded: Scalar<'a>,
    #[serde(borrow, default)]
    frequently_forwarded: Scalar<'a>,
}

/// A part of a message, with the keys of all the types that are read like this.
#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Scalar<'a>,
    #[serde(borrow, default)]
    url: Scalar<'a>,
    #[serde(borrow, default)]
    message_id: Scalar<'a>,
    #[serde(borrow, default)]
    original_message_id: Scalar<'a>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Interactive<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    button_reply: Object<Reply<'a>>,
    #[serde(borrow, default)]
    list_reply: Object<Reply<'a>>,
    #[serde(borrow, default)]
    nfm_reply: Object<Reply<'a>>,
    #[serde(borrow, default)]
    call_permission_reply: Object<Reply<'a>>,
}

#[derive(Debug, Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    title: Scalar<'a>,
    #[serde(borrow, default)]
    response_json: Scalar<'a>,
    #[serde(borrow, default)]
    response: Scalar<'a>,
}

#[derive(Debug, Deserialize)]
struct Card<'a> {
    #[serde(borrow, default)]
    urls: List<Object<Link<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Link<'a> {
    #[serde(borrow, default)]
    url: Scalar<'a>,
}

/// What matters of a message.
#[derive(Debug, Default)]
pub(super) struct Essence<'a> {
    /// The type: as given, or as what is there shows.
    pub kind: Cow<'a, str>,
    /// The answer to the question whether the business may call.
    pub permission: Option<Cow<'a, str>>,
    /// The message that it answers, edits or takes back.
    refers_to: Option<Cow<'a, str>>,
    content: Content,
    /// Names that are not known, by what they name.
    unknown: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Message<'a> {
    /// Looks at the part that the type names.
    pub fn essence(&self) -> Essence<'a> {
        let kind = self.kind();
        let context = self.context.get();
        let mut essence =
            Essence { refers_to: context.and_then(|context| owned(&context.id)), ..Essence::default() };
        match kind.as_ref() {
            "text" => match &self.text {
                Object::Given(text) => essence.content.text(text.body.text()),
                Object::Absent => {}
                Object::Odd => essence.unknown.push(("shape", "text".into())),
            },
            "image" => essence.media(self.image, "image"),
            "video" => essence.media(self.video, "video"),
            "audio" => essence.media(self.audio, "audio"),
            "document" => essence.media(self.document, "document"),
            "sticker" => essence.media(self.sticker, "sticker"),
            "location" => {
                let location = essence.part::<Part<'_>>(self.location, "location");
                essence.content.links(location.as_ref().and_then(|location| location.url.text()));
            }
            "contacts" => essence.cards(self.contacts),
            "interactive" => essence.interactive(self.interactive),
            "button" => {
                let button = essence.part::<Part<'_>>(self.button, "button");
                essence.content.text(button.as_ref().and_then(|button| button.text.text()));
            }
            "order" => {
                let order = essence.part::<Part<'_>>(self.order, "order");
                essence.content.text(order.as_ref().and_then(|order| order.text.text()));
            }
            "reaction" => {
                let reaction = essence.part::<Part<'_>>(self.reaction, "reaction");
                essence.refers_to = reaction.and_then(|reaction| owned(&reaction.message_id));
            }
            "edit" => essence.revision(self.edit, "edit"),
            "revoke" => essence.revision(self.revoke, "revoke"),
            known if TYPES.contains(&known) => {}
            other => essence.unknown.push(("message_type", other.to_owned().into())),
        }
        essence.kind = kind;
        essence
    }

    /// The type, in small letters. Without one it is what the message has a part for.
    fn kind(&self) -> Cow<'a, str> {
        if let Some(kind) = self.kind.text() {
            return match TYPES.iter().find(|known| **known == kind) {
                Some(known) => Cow::Borrowed(known),
                None => Cow::Owned(small_name(&kind).into_owned()),
            };
        }
        let parts = [
            (matches!(self.text, Object::Given(_)), "text"),
            (self.image.is_some(), "image"),
            (self.video.is_some(), "video"),
            (self.audio.is_some(), "audio"),
            (self.document.is_some(), "document"),
            (self.sticker.is_some(), "sticker"),
            (self.location.is_some(), "location"),
            (self.contacts.is_some(), "contacts"),
            (self.interactive.is_some(), "interactive"),
            (self.button.is_some(), "button"),
            (self.reaction.is_some(), "reaction"),
            (self.order.is_some(), "order"),
            (self.system.is_some(), "system"),
            (self.edit.is_some(), "edit"),
            (self.revoke.is_some(), "revoke"),
        ];
        parts.iter().find(|(is_there, _)| *is_there).map_or("unknown", |(_, kind)| kind).into()
    }

    /// Says what the message is, without who it is from or to.
    pub fn write(&self, essence: &Essence<'_>, line: &mut Line<'_>) {
        if let Some(id) = self.id.text() {
            line.pseudonym("whatsapp.message.id", Kind::Message, &id);
        }
        line.text("whatsapp.message.type", &essence.kind);
        if let Some(id) = &essence.refers_to {
            line.pseudonym("whatsapp.message.context_id", Kind::Message, id);
        }
        if let Some(context) = self.context.get() {
            if context.forwarded.flag() == Some(true) {
                line.flag("whatsapp.message.forwarded", true);
            }
            if context.frequently_forwarded.flag() == Some(true) {
                line.flag("whatsapp.message.frequently_forwarded", true);
            }
        }
        if let Some(group) = self.group_id.text() {
            line.pseudonym("whatsapp.group.id", Kind::Group, &group);
        }
        line.codes(&self.errors.0);
        essence.content.write(line);
        for (kind, name) in &essence.unknown {
            line.unknown(kind, name);
        }
    }

    /// The key: number and id. An edit or a revocation is another thing than what it changes, whatever its id.
    pub fn key(&self, group: &str, number: &Number<'_>, essence: &Essence<'_>, change: &Change<'_>) -> u64 {
        let number = number.name();
        let revision = match essence.kind.as_ref() {
            kind @ ("edit" | "revoke") => kind,
            _ => "",
        };
        match self.id.text() {
            Some(id) => change.key(&[group, &number, &id, revision]),
            None => {
                let people = [&self.from, &self.from_user_id, &self.to, &self.to_user_id]
                    .map(|id| id.text().unwrap_or_default());
                let time = self.timestamp.text();
                let text = [&people[..], &[time.clone().unwrap_or_default(), essence.kind.clone()]]
                    .concat()
                    .join("\n");
                let said = essence.content.said();
                change.key_of_text(group, &[&number, &*text, said].join("\n"), time.is_some())
            }
        }
    }
}

impl<'a> Essence<'a> {
    /// Reads a part. If it has another shape, that is noted.
    fn part<T: Deserialize<'a>>(&mut self, part: Option<&'a RawValue>, kind: &'static str) -> Option<T> {
        let read = object(part?.get());
        if read.is_none() {
            self.unknown.push(("shape", kind.into()));
        }
        read
    }

    fn media(&mut self, part: Option<&'a RawValue>, kind: &'static str) {
        if let Some(media) = self.part::<Media<'_>>(part, kind) {
            self.content.media(&media);
        }
    }

    fn cards(&mut self, part: Option<&'a RawValue>) {
        let Some(part) = part else { return };
        match serde_json::from_str::<List<Object<Card<'a>>>>(part.get()) {
            Ok(cards) if !cards.is_odd() => {
                let cards = cards.items().iter().filter_map(Object::get);
                for link in cards.flat_map(|card| card.urls.items()).filter_map(Object::get) {
                    self.content.links(link.url.text());
                }
            }
            _ => self.unknown.push(("shape", "contacts".into())),
        }
    }

    fn interactive(&mut self, part: Option<&'a RawValue>) {
        let Some(interactive) = self.part::<Interactive<'a>>(part, "interactive") else { return };
        let Interactive { kind, button_reply, list_reply, nfm_reply, call_permission_reply } = interactive;
        let kind = kind.text();
        match kind.as_deref() {
            Some("button_reply") => {
                self.content.text(button_reply.get().and_then(|reply| reply.title.text()))
            }
            Some("list_reply") => self.content.text(list_reply.get().and_then(|reply| reply.title.text())),
            Some("nfm_reply") => {
                self.content.text(nfm_reply.get().and_then(|reply| reply.response_json.text()))
            }
            Some("call_permission_reply") => {
                let response = call_permission_reply.get().and_then(|reply| owned(&reply.response));
                self.permission = Some(response.unwrap_or_default());
            }
            Some(other) => self.unknown.push(("interactive_type", other.to_owned().into())),
            None => {}
        }
    }

    fn revision(&mut self, part: Option<&'a RawValue>, kind: &'static str) {
        let Some(revision) = self.part::<Part<'a>>(part, kind) else { return };
        self.refers_to = owned(&revision.original_message_id);
        // A message within a message is never an edit again: that would be a way to nest without end.
        if let Some(message) = self.part::<Message<'a>>(revision.message, kind)
            && !matches!(message.kind().as_ref(), "edit" | "revoke")
        {
            self.content = message.essence().content;
        }
    }
}

/// Text that lives as long as the body, or is a copy.
fn owned<'a>(value: &Scalar<'a>) -> Option<Cow<'a, str>> {
    match value {
        Scalar::Text(text) => Some(text.clone()),
        other => other.text().map(|text| Cow::Owned(text.into_owned())),
    }
}
