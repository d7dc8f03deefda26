//! What a scene has at hand when it is its turn.

use serde_json::{Value, json};

use crate::generate::random::Random;
use crate::generate::webhooks::body;
use crate::generate::webhooks::business::{ACCOUNT, Number, PORTFOLIO, Person, Template};

/// Where bodies are posted, now or later.
pub(in crate::generate) struct Desk<'a> {
    pub(super) at_ms: i64,
    pub(super) seed: u64,
    pub(in crate::generate) random: &'a mut Random,
    /// The number that the scene goes on at.
    pub(in crate::generate) number: &'static Number,
    /// What is to be posted, and when.
    pub(super) posts: &'a mut Vec<(i64, Value)>,
}

impl Desk<'_> {
    /// The numbered person.
    pub(in crate::generate) fn person(&self, number: u64) -> Person {
        Person::numbered(self.seed, number)
    }

    /// The second it is.
    pub(in crate::generate) fn second(&self) -> i64 {
        self.at_ms.div_euclid(1000)
    }

    /// The WhatsApp Business account.
    pub(in crate::generate) fn account(&self) -> &'static str {
        ACCOUNT
    }

    /// The business portfolio that owns it.
    pub(in crate::generate) fn portfolio(&self) -> &'static str {
        PORTFOLIO
    }

    /// The id of a new message to or from a person.
    pub(in crate::generate) fn message_id(&mut self, person: &Person) -> String {
        body::message_id(person, self.random.number())
    }

    /// Posts a body so many milliseconds from now; it is given its second.
    pub(in crate::generate) fn post(&mut self, after_ms: u32, body: impl FnOnce(i64) -> Value) {
        let at_ms = self.at_ms + i64::from(after_ms);
        self.posts.push((at_ms, body(at_ms.div_euclid(1000))));
    }

    /// A person writes.
    pub(in crate::generate) fn receive(&mut self, after_ms: u32, person: &Person, content: Value) {
        let (number, id) = (self.number, self.message_id(person));
        self.post(after_ms, |at| body::received(number, person, at, &id, content));
    }

    /// The shop sends, and the message is sent, delivered and mostly read.
    pub(in crate::generate) fn send(&mut self, after_ms: u32, person: &Person, category: &str) {
        let (number, id) = (self.number, self.message_id(person));
        let price = body::pricing(category);
        let mut at = after_ms;
        for status in ["sent", "delivered", "read"] {
            let own = if status == "read" { json!({}) } else { price.clone() };
            self.post(at, |at| body::status(number, person, at, (&id, status), own));
            let goes_on = if status == "sent" { 970 } else { 620 };
            if !self.random.chance(goes_on) {
                break;
            }
            at += match status {
                "sent" => self.random.between(400, 5000),
                _ => 2000 + self.random.exponential(240_000).min(3_000_000) as u32,
            };
        }
    }

    /// The shop sends, and the message fails: a code and its title.
    pub(in crate::generate) fn fail(&mut self, after_ms: u32, person: &Person, error: (u32, &str)) {
        let (number, id) = (self.number, self.message_id(person));
        self.post(after_ms, |at| body::status(number, person, at, (&id, "failed"), body::error(error)));
    }

    /// Somebody writes to a person at the app or a linked device; gives the id of the message.
    pub(in crate::generate) fn echo(&mut self, after_ms: u32, person: &Person, content: Value) -> String {
        let (number, id) = (self.number, self.message_id(person));
        self.post(after_ms, |at| body::echo(number, person, at, &id, content));
        id
    }

    /// A person wants no marketing any more.
    pub(in crate::generate) fn stop(&mut self, after_ms: u32, person: &Person) {
        let number = self.number;
        self.post(after_ms, |at| body::preference(number, person, at, "stop"));
    }

    /// The shop calls a person, who hears so many seconds of it.
    pub(in crate::generate) fn call(&mut self, person: &Person, heard: u32) {
        let number = self.number;
        let id = format!("wacid.{:024X}=", u128::from(self.random.number()));
        let session = json!({ "session": { "sdp_type": "answer", "sdp": "v=0\r\n" } });
        self.post(0, |at| body::call(number, person, at, (&id, "connect"), session));
        self.post(heard * 1000, |at| {
            let times = json!({ "status": "COMPLETED", "start_time": (at - i64::from(heard)).to_string(),
                "end_time": at.to_string(), "duration": heard });
            body::call(number, person, at, (&id, "terminate"), times)
        });
    }

    /// Something about one number, in a field that has the number's metadata.
    pub(in crate::generate) fn tell(&mut self, after_ms: u32, field: &str, own: Value) {
        let value = body::about(self.number, own);
        self.post(after_ms, |_| body::envelope(ACCOUNT, None, field, value));
    }

    /// Something about the account, or about a number by what it is displayed as.
    pub(in crate::generate) fn manage(&mut self, after_ms: u32, field: &str, value: Value) {
        self.post(after_ms, |at| body::envelope(ACCOUNT, Some(at), field, value));
    }

    /// Something about a template.
    pub(in crate::generate) fn manage_template(
        &mut self,
        after_ms: u32,
        field: &str,
        template: &Template,
        own: Value,
    ) {
        self.manage(after_ms, field, body::template(template, own));
    }
}
