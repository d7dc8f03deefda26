//! Templates: what the business may write first, and therefore what somebody would change who wants to write for it.

use std::borrow::Cow;

use super::Update;
use super::content::Content;
use super::facts::{Facts, text};
use super::line::{Line, small_name};
use crate::pseudonym::Kind;

/// Events of `message_template_status_update` that are known, and how they turned out.
const EVENTS: [(&str, Option<&str>); 14] = [
    ("APPROVED", Some("success")),
    ("ARCHIVED", None),
    ("UNARCHIVED", None),
    ("DELETED", None),
    ("DISABLED", Some("failure")),
    ("FLAGGED", Some("failure")),
    ("IN_APPEAL", None),
    ("LIMIT_EXCEEDED", Some("failure")),
    ("LOCKED", Some("failure")),
    ("PAUSED", Some("failure")),
    ("PENDING", None),
    ("PENDING_DELETION", None),
    ("REINSTATED", Some("success")),
    ("REJECTED", Some("failure")),
];

/// A change to a template. The name of the field is now and then another one's, so the value decides.
pub(super) fn read(facts: &Facts<'_>, update: &mut Update) {
    let is_there = |place: &str| facts.text(place).is_some();
    match facts.change.field {
        _ if is_there("/new_quality_score") => quality(facts, update),
        "message_template_quality_update" => quality(facts, update),
        "template_category_update" => category(facts, update),
        "message_template_components_update" => components(facts, update),
        _ if is_there("/new_category") && !is_there("/event") => category(facts, update),
        _ => status(facts, update),
    }
}

/// Begins a line, and says which template it is about.
fn begin<'l>(facts: &Facts<'l>, action: &str, update: &'l mut Update) -> Line<'l> {
    let mut line = facts.begin(&facts.about(""), "template", action, update);
    line.id("whatsapp.template.id", facts.text("/message_template_id"));
    line.template_name("whatsapp.template.name", facts.text("/message_template_name"));
    let language = facts.text("/message_template_language");
    if let Some(language) = language {
        line.text("whatsapp.template.language", &small_name(&language).replace('-', "_"));
    }
    line
}

fn status(facts: &Facts<'_>, update: &mut Update) {
    let event = facts.text("/event").unwrap_or_default();
    let known = EVENTS.iter().find(|(name, _)| *name == event);
    let mut line = begin(facts, "template_status_updated", update);
    if let Some((_, Some(outcome))) = known {
        line.text("event.outcome", outcome);
    }
    line.name("event.reason", facts.reason("/reason").or_else(|| facts.reason("/other_info/title")));
    line.name("whatsapp.template.category", facts.text("/message_template_category"));
    line.name("whatsapp.template.status", facts.text("/event"));
    if known.is_none() {
        line.unknown("event", &event);
    }
    line.end(facts.key());
}

fn quality(facts: &Facts<'_>, update: &mut Update) {
    let mut line = begin(facts, "template_quality_updated", update);
    line.name("whatsapp.quality.current", facts.text("/new_quality_score"));
    line.name("whatsapp.quality.previous", facts.text("/previous_quality_score"));
    line.end(facts.key());
}

/// Before it happens `new_category` is the one that it still has, and `correct_category` the one that it will have.
fn category(facts: &Facts<'_>, update: &mut Update) {
    let mut line = begin(facts, "template_category_updated", update);
    let (current, previous) = match facts.text("/correct_category") {
        Some(coming) => {
            line.text("event.reason", "impending");
            (Some(coming), facts.text("/new_category"))
        }
        None => (facts.text("/new_category"), facts.text("/previous_category")),
    };
    line.name("whatsapp.template.category", current);
    line.name("whatsapp.template.previous_category", previous);
    line.end(facts.key());
}

/// Another text, or other buttons. Where the buttons lead is what matters: hosts, and numbers as pseudonyms.
fn components(facts: &Facts<'_>, update: &mut Update) {
    let buttons = facts.list("/message_template_buttons");
    let of_buttons = |key| buttons.iter().filter_map(move |button| text(button.get(key)?));
    let parts = ["/message_template_title", "/message_template_element", "/message_template_footer"];
    let parts = parts.into_iter().filter_map(|part| facts.text(part));
    let texts: Vec<_> = parts.chain(of_buttons("message_template_button_text")).collect();
    let mut content = Content::default();
    of_buttons("message_template_button_url").for_each(|url| content.links(Some(url)));
    content.text(Some(Cow::Owned(texts.join("\n"))));
    let mut line = begin(facts, "template_components_updated", update);
    content.write(&mut line);
    line.pseudonyms(
        "whatsapp.template.numbers",
        Kind::Person,
        of_buttons("message_template_button_phone_number"),
    );
    line.end(facts.key());
}
