//! Events of applications: ECS, or the OWASP logging vocabulary in whatever spelling.
//!
//! `{"event": "authn_login_fail:joebob1", "source_ip": "192.0.2.1"}` names what was done and, after the colon, to
//! whom. Fields that are given are kept; what the vocabulary implies is added where it is missing.

use std::borrow::Cow;

use super::client;
use super::json::{Found, usable};
use super::json_access::{self, number};
use super::json_names::Role;
use crate::event::{Event, FieldId, Value, field};

/// How the names of the vocabulary begin that nothing else is named like.
const FAMILIES: [&str; 9] = [
    "authn_",
    "authz_",
    "crypt_",
    "excess_",
    "input_validation_",
    "malicious_",
    "privilege_",
    "sensitive_",
    "sequence_",
];

/// How the others begin: only a key that names an event makes them one.
const PLAIN_FAMILIES: [&str; 4] = ["session_", "sys_", "upload_", "user_"];

/// What applications say for the commonest names of the vocabulary.
const SYNONYMS: [(&str, &str); 20] = [
    ("login_failed", "authn_login_fail"),
    ("login_failure", "authn_login_fail"),
    ("login_fail", "authn_login_fail"),
    ("failed_login", "authn_login_fail"),
    ("login.failed", "authn_login_fail"),
    ("login.failure", "authn_login_fail"),
    ("auth_failed", "authn_login_fail"),
    ("auth_failure", "authn_login_fail"),
    ("authentication_failed", "authn_login_fail"),
    ("authentication_failure", "authn_login_fail"),
    ("login_error", "authn_login_fail"),
    ("login_success", "authn_login_success"),
    ("login_succeeded", "authn_login_success"),
    ("login.success", "authn_login_success"),
    ("login.succeeded", "authn_login_success"),
    ("auth_success", "authn_login_success"),
    ("authentication_success", "authn_login_success"),
    ("account_locked", "authn_login_lock"),
    ("access_denied", "authz_fail"),
    ("permission_denied", "authz_fail"),
];

/// The name in the vocabulary that `text` is, and the parameters after its colon.
pub(super) fn vocabulary(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (name, parameters) = split(text);
    let is_name = (4..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if !is_name {
        return None;
    }
    let name = lower(name);
    if FAMILIES.iter().chain(&PLAIN_FAMILIES).any(|family| name.starts_with(family)) {
        return Some((name, parameters));
    }
    let (_, name) = SYNONYMS.iter().find(|(synonym, _)| *synonym == name)?;
    Some((Cow::Borrowed(name), parameters))
}

/// Whether `text`, under the key `key`, is the name of what was done.
pub(super) fn is_action(key: &str, text: &str) -> bool {
    match key {
        "event.action" => true,
        "type" | "name" | "msg" | "message" => vocabulary(text)
            .is_some_and(|(name, _)| !PLAIN_FAMILIES.iter().any(|family| name.starts_with(family))),
        _ => vocabulary(text).is_some(),
    }
}

/// `authn_login_lock:joebob1,maxretries`, or in brackets.
fn split(text: &str) -> (&str, &str) {
    let (name, parameters) = text.split_once([':', '[']).unwrap_or((text, ""));
    (name.trim(), parameters.trim().trim_end_matches(']'))
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a record is an application's own: it says what was done, or of what kind it is.
pub(super) fn is_one(found: &Found<'_>, event: &Event<'_>) -> bool {
    if usable(found.get(Role::Action)) {
        return true;
    }
    usable(event.get(field::EVENT_CATEGORY)) && !json_access::is_ecs(found, event)
}

/// Adds what is spelled otherwise or implied.
pub(super) fn fill<'a>(found: &mut Found<'a>, event: &mut Event<'a>) {
    let mut parameters = String::new();
    if let Value::Text(action) = found.take(Role::Action) {
        let given = event.get(field::EVENT_ACTION).is_some();
        let (name, rest) = match vocabulary(&action) {
            // What the application calls it is kept when it is in the right place.
            Some((_, rest)) if given => (split(&action).0.to_ascii_lowercase(), rest),
            Some((name, rest)) => (name.into_owned(), rest),
            None => (action.to_ascii_lowercase(), ""),
        };
        parameters.push_str(rest);
        event.set(field::EVENT_ACTION, Value::Text(Cow::Owned(name)));
    }
    let mut parameters = parameters.split(',').map(str::trim);
    let subject = parameters.next().filter(|subject| !subject.is_empty());
    let object = parameters.next().filter(|object| !object.is_empty());

    fill_client(found, event);
    for (role, id) in [
        (Role::User, field::USER_NAME),
        (Role::Reason, field::EVENT_REASON),
        (Role::Service, field::SERVICE_NAME),
        (Role::Session, field::SESSION_ID),
        (Role::Organization, field::ORGANIZATION_ID),
        (Role::ObjectType, field::OBJECT_TYPE),
        (Role::ObjectId, field::OBJECT_ID),
        (Role::UserAgent, field::USER_AGENT),
        (Role::Method, field::REQUEST_METHOD),
        (Role::Target, field::URL_ORIGINAL),
        (Role::Description, field::MESSAGE),
    ] {
        let value = found.take(role);
        if usable(&value) && !event.get(id).is_some() {
            event.set(id, value);
        }
    }
    fill_lower(field::AUTHENTICATION_FACTOR, found.take(Role::Factor), event);
    if let Some(status) = number(found.get(Role::Status)).filter(|status| (100..600).contains(status))
        && !event.get(field::STATUS_CODE).is_some()
    {
        event.set(field::STATUS_CODE, Value::Int(status));
    }
    if let Some(bytes) = number(found.get(Role::ResponseBytes))
        && !event.get(field::RESPONSE_BYTES).is_some()
    {
        event.set(field::RESPONSE_BYTES, Value::Int(bytes));
    }
    fill_from_parameters(subject, object, event);
    fill_category(event);
    fill_outcome(found, event);
}

fn fill_client<'a>(found: &Found<'a>, event: &mut Event<'a>) {
    if event.get(field::SOURCE_IP).is_some() {
        return;
    }
    if let Some(Cow::Borrowed(text)) = found.text(Role::Client) {
        let found = client::address_with_port(text);
        event.client = found.map(|(_, address)| address);
        event.set_text(field::SOURCE_IP, found.map_or(*text, |(text, _)| text));
    }
}

/// Who did it comes first in most of the vocabulary, and to what second.
fn fill_from_parameters(subject: Option<&str>, object: Option<&str>, event: &mut Event<'_>) {
    let action = event.text(field::EVENT_ACTION).unwrap_or_default();
    let (user, object) = match action {
        // These have no user, or have it last.
        "authn_token_delete" | "sys_crash" | "sys_startup" | "sys_shutdown" => (None, None),
        "input_validation_fail" => (object, None),
        action if action.starts_with("malicious_") => {
            let is_user = subject.is_some_and(|subject| client::address(subject).is_none());
            (subject.filter(|_| is_user), None)
        }
        "authz_fail" => (subject, object),
        action if action.starts_with("sensitive_") || action.starts_with("privilege_") => (subject, object),
        _ => (subject, None),
    };
    for (id, value) in [(field::USER_NAME, user), (field::OBJECT_ID, object)] {
        if let Some(value) = value
            && !event.get(id).is_some()
        {
            event.set(id, Value::Text(Cow::Owned(value.to_owned())));
        }
    }
}

fn fill_category(event: &mut Event<'_>) {
    if event.get(field::EVENT_CATEGORY).is_some() {
        return;
    }
    let action = event.text(field::EVENT_ACTION).and_then(vocabulary);
    let category = match action.as_ref().map(|(name, _)| name.as_ref()) {
        Some(name) if name.starts_with("authn_") => "authentication",
        Some(name) if ["authz_", "user_", "privilege_"].iter().any(|family| name.starts_with(family)) => {
            "iam"
        }
        _ => return,
    };
    event.set_text(field::EVENT_CATEGORY, category);
}

/// `success`, `failure` or `unknown`: as given, else as the name of the action has it.
fn fill_outcome<'a>(found: &Found<'a>, event: &mut Event<'a>) {
    let given =
        found.text(Role::Outcome).or_else(|| found.text(Role::Status)).map(|text| text.to_ascii_lowercase());
    let outcome = match given.as_deref() {
        Some("success" | "succeeded" | "successful" | "ok" | "allow" | "allowed" | "granted") => "success",
        Some("failure" | "failed" | "fail" | "error" | "denied" | "deny" | "blocked" | "rejected") => {
            "failure"
        }
        Some("unknown") => "unknown",
        _ => {
            if event.get(field::EVENT_OUTCOME).is_some() {
                return;
            }
            let action = event.text(field::EVENT_ACTION).and_then(vocabulary);
            match action.as_ref().map(|(name, _)| name.as_ref()) {
                Some(name)
                    if ends_with_one_of(name, &["_fail", "_fail_max", "_failed", "_failure", "_denied"]) =>
                {
                    "failure"
                }
                Some("authn_login_success" | "authn_login_successafterfail") => "success",
                Some(name) if ends_with_one_of(name, &["_success", "_succeeded"]) => "success",
                _ => return,
            }
        }
    };
    event.set_text(field::EVENT_OUTCOME, outcome);
}

fn ends_with_one_of(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

fn fill_lower<'a>(id: FieldId, value: Value<'a>, event: &mut Event<'a>) {
    if !usable(&value) {
        return;
    }
    event.set(
        id,
        match value {
            Value::Text(Cow::Borrowed(text)) => Value::Text(lower(text)),
            Value::Text(Cow::Owned(text)) => Value::Text(Cow::Owned(text.to_ascii_lowercase())),
            other => other,
        },
    );
}
