//! Bodies in which everything is something that must not be seen; used by the tests of the whole program too.

use serde_json::Value;

pub const NUMBER: &str = "447700900123";

/// Everything that must not be seen, at once.
pub const TEXT: &str = "Ada Secret, +44 7700 900123, secret@secret.example, GB.SECRET1, wamid.SECRET== \
    http://447700900123.example/secret https://shop.example/secret?of=447700900123 secret.name";

/// An id with the number in it, as they are made.
pub const WAMID: &str = "wamid.HBgMNDQ3NzAwOTAwMTIzFQIAEhgUU0VDUkVU";

/// What is kept as it is: things of the business's own.
pub const OWN: [&str; 24] = [
    "ad_account_linked",
    "business_id",
    "client_business_id",
    "configuration_name",
    "entity_id",
    "field",
    "flow_id",
    "hostname",
    "max_daily_conversation_per_phone",
    "max_daily_conversations_per_business",
    "message_template_id",
    "message_template_name",
    "new_owner_app_id",
    "object",
    "owner_business_id",
    "partner_app_id",
    "phone_number_id",
    "previous_owner_app_id",
    "provider_mid",
    "requester",
    "solution_id",
    "solution_partner_business_ids",
    "template_id",
    "waba_id",
];

/// Without these nothing else is looked at.
pub const STRUCTURE: [&str; 3] = ["type", "event", "entity_type"];

/// Puts something in place of every scalar, but for those under the names given.
fn replace(value: &mut Value, kept: &[&str], with: &str) {
    match value {
        Value::Object(members) => {
            for (_, member) in members.iter_mut().filter(|(name, _)| !kept.contains(&name.as_str())) {
                replace(member, kept, with);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, kept, with)),
        Value::Null => {}
        scalar => *scalar = Value::String(with.to_owned()),
    }
}

pub fn marked(body: &str, kept: &[&str], with: &str) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap();
    for entry in value["entry"].as_array_mut().unwrap() {
        for change in entry["changes"].as_array_mut().into_iter().flatten() {
            replace(change, kept, with);
        }
    }
    value.to_string()
}

/// What is put in the place of everything, one after the other.
pub const SECRETS: [&str; 6] =
    [TEXT, NUMBER, "+44 7700-900-123", WAMID, "GB.SECRET1", "secret@secret.example"];

/// What shows that any of it was kept, in small letters.
pub const TRACES: [&str; 7] =
    ["447700900", "7700900123", "ndq3nzawotaw", "0ndc3mda5mda", "secret", "ada ", "@secret"];
