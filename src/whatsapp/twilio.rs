//! What Twilio tells of WhatsApp messages: forms instead of JSON, one message each.

use std::borrow::Cow;

use super::change::{Change, Number};
use super::content::Content;
use super::line::{Line, small_name};
use super::loose::Scalar;
use super::person::Person;
use super::{Context, Failure, Place, Reason, Update, statuses};
use crate::event::Timestamp;
use crate::pseudonym::Kind;

/// Said of every line.
const PROVIDER: &str = ",\"event.provider\":\"twilio\"";

/// Statuses that are none of WhatsApp's own.
const STATUSES: [&str; 6] = ["accepted", "scheduled", "queued", "sending", "receiving", "canceled"];

/// Reads the fields of a form, a message that came in or what became of one that went out, which arrived at
/// `received`. Of a field that is there twice the first counts. The form has no time, so it happened when it arrived.
///
/// What is about another channel of Twilio's, such as SMS, is reported as failed.
pub fn read(pairs: &[(String, String)], received: Timestamp, context: &Context) -> Update {
    let mut update = Update::default();
    let form = Form::new(pairs);
    if !form.is_whatsapp() {
        let (reason, place) = (Reason::OtherChannel, Place::default());
        update.fail(Failure { reason, place, text: 0..0 });
        return update;
    }
    let change = Change {
        owner: None,
        time: None,
        at: None,
        field: "messages",
        dataset: "messages",
        extra: PROVIDER,
        received,
        context,
        body: "",
        place: Place::default(),
        text: 0..0,
    };
    match form.outbound_status() {
        Some(status) => form.status(&change, status, &mut update),
        None => form.message(&change, &mut update),
    }
    update
}

/// The fields that matter, empty where they are not there.
#[derive(Debug, Default)]
struct Form<'a> {
    message: &'a str,
    sms: &'a str,
    account: &'a str,
    from: &'a str,
    to: &'a str,
    channel: &'a str,
    status: &'a str,
    sms_status: &'a str,
    error: &'a str,
    body: &'a str,
    button: &'a str,
    kind: &'a str,
    media: &'a str,
    replied: &'a str,
}

impl<'a> Form<'a> {
    fn new(pairs: &'a [(String, String)]) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            let slot = match name.as_str() {
                "MessageSid" => &mut form.message,
                "SmsSid" | "SmsMessageSid" => &mut form.sms,
                "AccountSid" => &mut form.account,
                "From" => &mut form.from,
                "To" => &mut form.to,
                "ChannelPrefix" => &mut form.channel,
                "MessageStatus" => &mut form.status,
                "SmsStatus" => &mut form.sms_status,
                "ErrorCode" => &mut form.error,
                "Body" => &mut form.body,
                "ButtonText" => &mut form.button,
                "MessageType" => &mut form.kind,
                "MediaContentType0" => &mut form.media,
                "OriginalRepliedMessageSid" => &mut form.replied,
                _ => continue,
            };
            if slot.is_empty() {
                *slot = value;
            }
        }
        form
    }

    fn is_whatsapp(&self) -> bool {
        self.channel == "whatsapp" || [self.from, self.to].iter().any(|end| end.starts_with("whatsapp:"))
    }

    /// What has become of a message that went out. One that came in has the status `received`.
    fn outbound_status(&self) -> Option<&'a str> {
        [self.status, self.sms_status].into_iter().find(|status| !matches!(*status, "" | "received"))
    }

    fn id(&self) -> &'a str {
        if self.message.is_empty() { self.sms } else { self.message }
    }

    /// The key: the message and what became of it.
    fn key(&self, change: &Change<'_>, status: &str) -> u64 {
        match self.id() {
            "" => change.key_of_text("twilio", &[self.from, self.to, status, self.body].join("\n"), false),
            id => change.key(&["twilio", id, status]),
        }
    }

    fn begin<'l>(
        &self,
        change: &'l Change<'l>,
        business: &str,
        action: &str,
        update: &'l mut Update,
    ) -> Line<'l> {
        let number = Number { id: Scalar::Absent, display: scalar(business) };
        let mut line = Line::begin(update, &change.scene(&number), None, "messaging", action);
        line.id("whatsapp.account.id", scalar(self.account).text());
        if !self.id().is_empty() {
            line.pseudonym("whatsapp.message.id", Kind::Message, self.id());
        }
        line
    }

    fn status(&self, change: &Change<'_>, status: &str, update: &mut Update) {
        let known =
            if status == "undelivered" { statuses::action("failed") } else { statuses::action(status) };
        let mut line =
            self.begin(change, self.from, known.map_or("message_status", |(action, _)| action), update);
        if let Some((_, outcome)) = known {
            line.text("event.outcome", outcome);
        } else if !STATUSES.contains(&status) {
            line.unknown("status", status);
        }
        line.text("whatsapp.direction", "outbound");
        line.text("whatsapp.message.origin", "api");
        line.name("whatsapp.status", Some(Cow::Borrowed(status)));
        if let Ok(code) = self.error.trim().parse() {
            line.codes(&[code]);
        }
        Person::new([&scalar(self.to)]).write(&mut line);
        line.end(self.key(change, status));
    }

    fn message(&self, change: &Change<'_>, update: &mut Update) {
        let mut content = Content::default();
        let kind = match (self.kind, self.media.split_once('/')) {
            ("", Some((kind @ ("image" | "video" | "audio"), _))) => Cow::Borrowed(kind),
            ("", Some(_)) => "document".into(),
            ("", None) if self.button.is_empty() => "text".into(),
            ("", None) => "button".into(),
            (kind, _) => small_name(kind),
        };
        let text = if self.body.is_empty() { self.button } else { self.body };
        content.text(scalar(text).text());
        let mut line = self.begin(change, self.to, "message_received", update);
        line.text("whatsapp.direction", "inbound");
        line.text("whatsapp.message.origin", "user");
        line.text("whatsapp.message.type", &kind);
        if !self.replied.is_empty() {
            line.pseudonym("whatsapp.message.context_id", Kind::Message, self.replied);
        }
        content.write(&mut line);
        Person::new([&scalar(self.from)]).write(&mut line);
        line.end(self.key(change, "received"));
    }
}

fn scalar(text: &str) -> Scalar<'_> {
    if text.is_empty() { Scalar::Absent } else { Scalar::Text(Cow::Borrowed(text)) }
}
