//! Bodies as the platform writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::generate::random::mix;
use crate::generate::webhooks::business::{ACCOUNT, Number, Person, Template};

/// A body with one change. Conversations carry no time of their own, what is told about the account does.
pub(super) fn envelope(entry: &str, at: Option<i64>, field: &str, value: Value) -> Value {
    let mut inside = Map::new();
    inside.insert("id".into(), entry.into());
    if let Some(at) = at {
        inside.insert("time".into(), at.into());
    }
    inside.insert("changes".into(), json!([{ "value": value, "field": field }]));
    json!({ "object": "whatsapp_business_account", "entry": [inside] })
}

/// The id of a message: what is in it is the platform's business, and begins with the reader's number.
pub(super) fn message_id(person: &Person, salt: u64) -> String {
    let mut bytes = vec![0x1c, 0x18, person.wa_id.len() as u8];
    bytes.extend_from_slice(person.wa_id.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x12]);
    bytes.extend_from_slice(format!("{:016X}{:02X}", mix(salt, 1), salt as u8).as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

fn metadata(number: &Number) -> Value {
    json!({ "display_phone_number": number.display, "phone_number_id": number.id })
}

/// The `value` of a field that is about one number: what every one of them has, and then its own.
pub(super) fn about(number: &Number, own: Value) -> Value {
    let mut value = Map::new();
    value.insert("messaging_product".into(), "whatsapp".into());
    value.insert("metadata".into(), metadata(number));
    merge(&mut value, own);
    Value::Object(value)
}

fn merge(into: &mut Map<String, Value>, own: Value) {
    if let Value::Object(own) = own {
        into.extend(own);
    }
}

/// A message of a person; `content` has its type and what the type asks for.
pub(super) fn received(number: &Number, person: &Person, at: i64, id: &str, content: Value) -> Value {
    let mut message = Map::new();
    message.insert("from".into(), person.wa_id.as_str().into());
    message.insert("from_user_id".into(), person.user_id.as_str().into());
    message.insert("id".into(), id.into());
    message.insert("timestamp".into(), at.to_string().into());
    merge(&mut message, content);
    let contacts =
        json!([{ "profile": { "name": person.name }, "wa_id": person.wa_id, "user_id": person.user_id }]);
    let value = about(number, json!({ "contacts": contacts, "messages": [message] }));
    envelope(ACCOUNT, None, "messages", value)
}

/// What became of a message of the shop; `own` has what the status asks for.
pub(super) fn status(
    number: &Number,
    person: &Person,
    at: i64,
    (id, status): (&str, &str),
    own: Value,
) -> Value {
    let mut what = Map::new();
    what.insert("id".into(), id.into());
    what.insert("status".into(), status.into());
    what.insert("timestamp".into(), at.to_string().into());
    what.insert("recipient_id".into(), person.wa_id.as_str().into());
    what.insert("recipient_user_id".into(), person.user_id.as_str().into());
    merge(&mut what, own);
    envelope(ACCOUNT, None, "messages", about(number, json!({ "statuses": [what] })))
}

/// What a status says about its price.
pub(super) fn pricing(category: &str) -> Value {
    let is_free = category == "service";
    let kind = if is_free { "free_customer_service" } else { "regular" };
    json!({ "pricing": { "billable": !is_free, "pricing_model": "PMP", "type": kind, "category": category } })
}

/// What a status says about why it failed.
pub(super) fn error((code, title): (u32, &str)) -> Value {
    json!({ "errors": [{
        "code": code,
        "title": title,
        "message": title,
        "error_data": { "details": title },
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }] })
}

/// A message that somebody wrote at the app or a linked device.
pub(super) fn echo(number: &Number, person: &Person, at: i64, id: &str, content: Value) -> Value {
    let mut message = Map::new();
    message.insert("from".into(), number.display.into());
    message.insert("to".into(), person.wa_id.as_str().into());
    message.insert("to_user_id".into(), person.user_id.as_str().into());
    message.insert("id".into(), id.into());
    message.insert("timestamp".into(), at.to_string().into());
    merge(&mut message, content);
    envelope(ACCOUNT, None, "smb_message_echoes", about(number, json!({ "message_echoes": [message] })))
}

/// A wish of a person about marketing: `stop` or `resume`.
pub(super) fn preference(number: &Number, person: &Person, at: i64, wish: &str) -> Value {
    let value = json!({
        "contacts": [{ "wa_id": person.wa_id, "user_id": person.user_id }],
        "user_preferences": [{
            "wa_id": person.wa_id,
            "user_id": person.user_id,
            "detail": format!("User requested to {wish} marketing messages"),
            "category": "marketing_messages",
            "value": wish,
            "timestamp": at,
        }],
    });
    envelope(ACCOUNT, None, "user_preferences", about(number, value))
}

/// What happens to a call of the shop to a person; `own` has what the event asks for.
pub(super) fn call(
    number: &Number,
    person: &Person,
    at: i64,
    (id, event): (&str, &str),
    own: Value,
) -> Value {
    let mut call = Map::new();
    call.insert("id".into(), id.into());
    call.insert("from".into(), number.display.into());
    call.insert("to".into(), person.wa_id.as_str().into());
    call.insert("event".into(), event.into());
    call.insert("timestamp".into(), at.to_string().into());
    call.insert("direction".into(), "BUSINESS_INITIATED".into());
    merge(&mut call, own);
    let contacts =
        json!([{ "profile": { "name": person.name }, "wa_id": person.wa_id, "user_id": person.user_id }]);
    envelope(ACCOUNT, None, "calls", about(number, json!({ "contacts": contacts, "calls": [call] })))
}

/// What every field about a template has; `own` comes first, as the platform has it.
pub(super) fn template(template: &Template, own: Value) -> Value {
    let mut value = Map::new();
    merge(&mut value, own);
    value.insert("message_template_id".into(), template.id.into());
    value.insert("message_template_name".into(), template.name.into());
    value.insert("message_template_language".into(), "en_US".into());
    Value::Object(value)
}
