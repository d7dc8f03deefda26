//! Whatever people write, and whoever they are, is in no line.

use serde_json::Value;

use super::fixtures::bodies;
use super::{pseudonyms, read};
use crate::pseudonym::Kind;

const NUMBER: &str = "447700900123";

/// Everything that must not be seen, at once.
const TEXT: &str = "Ada Secret, +44 7700 900123, secret@secret.example, GB.SECRET1, wamid.SECRET== \
    http://447700900123.example/secret https://shop.example/secret?of=447700900123 secret.name";

/// An id with the number in it, as they are made.
const WAMID: &str = "wamid.HBgMNDQ3NzAwOTAwMTIzFQIAEhgUU0VDUkVU";

/// What is kept as it is: things of the business's own.
const OWN: [&str; 24] = [
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
const STRUCTURE: [&str; 3] = ["type", "event", "entity_type"];

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

fn marked(body: &str, kept: &[&str], with: &str) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap();
    for entry in value["entry"].as_array_mut().unwrap() {
        for change in entry["changes"].as_array_mut().into_iter().flatten() {
            replace(change, kept, with);
        }
    }
    value.to_string()
}

#[test]
fn nothing_of_what_is_written_is_in_a_line() {
    let of_number = ["447700900", "7700900123", "NDQ3NzAwOTAw", "0NDc3MDA5MDA"];
    for (path, body) in bodies() {
        if path.ends_with("broken_parts.json") {
            continue;
        }
        let count = read(&body).unwrap().keys.len();
        for kept in [[&OWN[..], &STRUCTURE].concat(), OWN.to_vec()] {
            for with in [TEXT, NUMBER, "+44 7700-900-123", WAMID, "GB.SECRET1", "secret@secret.example"] {
                let update = read(&marked(&body, &kept, with)).unwrap();
                let lines = update.lines.to_lowercase();
                for plain in of_number.iter().chain(&["secret", "ada ", "@secret"]) {
                    let found = lines.lines().find(|line| line.contains(&plain.to_lowercase()));
                    assert!(found.is_none(), "{}: {with} shows in {found:?}", path.display());
                }
                if kept.len() > OWN.len() {
                    assert_eq!(update.keys.len(), count, "{}: all of it is read", path.display());
                }
            }
        }
    }
}

#[test]
fn who_it_is_can_be_found_again_with_the_key() {
    let body = marked(
        &bodies().into_iter().find(|(path, _)| path.ends_with("messages_types.json")).unwrap().1,
        &[&OWN[..], &STRUCTURE].concat(),
        "+44 (7700) 900-123",
    );
    let person = pseudonyms().of(Kind::Person, NUMBER);
    let lines = read(&body).unwrap().lines;
    assert!(lines.lines().filter(|line| line.contains(&person)).count() > 20, "{lines}");
}
