//! Forms of Twilio's.

use super::super::{Reason, twilio};
use super::{RECEIVED, context, pseudonyms};

const MESSAGE: &str = "MessageSid=SM1&SmsSid=SM1&AccountSid=AC1";

fn read(form: &str) -> super::Update {
    let pairs: Vec<(String, String)> = form
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    twilio::read(&pairs, RECEIVED, &context())
}

#[test]
fn a_form_becomes_a_line() {
    let ends = "From=whatsapp:+493023125500&To=whatsapp:+447700900123";
    for (form, expected, unknown) in [
        (
            format!("{MESSAGE}&{ends}&MessageStatus=delivered&SmsStatus=delivered&ChannelPrefix=whatsapp"),
            r#""event.action":"message_delivered","whatsapp.phone_number.pseudonym""#,
            0,
        ),
        (format!("{MESSAGE}&{ends}&MessageStatus=read&EventType=READ"), r#""event.outcome":"success""#, 0),
        (
            format!("{MESSAGE}&{ends}&MessageStatus=undelivered&ErrorCode=63016"),
            r#""event.outcome":"failure","whatsapp.direction":"outbound","whatsapp.message.origin":"api","whatsapp.status":"undelivered","whatsapp.error.code":[63016]"#,
            0,
        ),
        (format!("{MESSAGE}&{ends}&MessageStatus=queued"), r#""event.action":"message_status""#, 0),
        (
            format!("{MESSAGE}&{ends}&MessageStatus=evaporated"),
            r#""whatsapp.unknown":["status:evaporated"]"#,
            1,
        ),
        (
            format!("{MESSAGE}&{ends}&SmsStatus=received&Body=see https://a.example/x"),
            r#""whatsapp.content.hosts":["a.example"]"#,
            0,
        ),
        (
            format!("{MESSAGE}&{ends}&NumMedia=1&MediaContentType0=image/jpeg"),
            r#""whatsapp.message.type":"image""#,
            0,
        ),
        (format!("{MESSAGE}&{ends}&ButtonText=Yes"), r#""whatsapp.message.type":"button""#, 0),
        (format!("{MESSAGE}&{ends}&Body=hi"), r#""event.action":"message_received""#, 0),
        (format!("{MESSAGE}&{ends}&AccountSid=AC2&Body=hi"), r#""whatsapp.account.id":"AC1""#, 0),
    ] {
        let update = read(&form);
        assert_eq!((update.keys.len(), update.failed.len()), (1, 0), "{form}");
        assert_eq!(update.unknown.len(), unknown, "{form}");
        assert!(update.lines.contains(expected), "{form}: {}", update.lines);
        assert!(update.lines.contains(r#""event.provider":"twilio""#), "{form}");
        assert!(!update.lines.contains("7700900") && !update.lines.contains("SM1"), "{}", update.lines);
    }
}

#[test]
fn the_business_is_who_sends_what_has_a_status() {
    let (business, user) = ("whatsapp:+493023125500", "whatsapp:+447700900123");
    let out = read(&format!("{MESSAGE}&From={business}&To={user}&MessageStatus=sent")).lines;
    let back = read(&format!("{MESSAGE}&From={user}&To={business}&Body=hi")).lines;
    let number =
        format!("\"whatsapp.number\":\"{}\"", pseudonyms().of(crate::pseudonym::Kind::Person, business));
    for line in [out, back] {
        assert!(line.contains(&number) && line.contains("\"whatsapp.user.country\":\"GB\""), "{line}");
    }
}

#[test]
fn another_channel_is_no_business_of_ours() {
    let update = read("MessageSid=SM1&From=+493023125500&To=+447700900123&MessageStatus=sent");
    assert_eq!((update.lines.as_str(), update.failures[Reason::OtherChannel as usize]), ("", 1));
    assert_eq!(twilio::read(&[], RECEIVED, &context()).failed.len(), 1);
}

#[test]
fn a_form_that_comes_again_has_the_same_key() {
    let ends = "From=whatsapp:+493023125500&To=whatsapp:+447700900123";
    let key = |rest: &str| read(&format!("{ends}&{rest}")).keys[0];
    assert_eq!(key("MessageSid=SM1&MessageStatus=sent"), key("MessageStatus=sent&SmsSid=SM1"));
    assert_ne!(key("MessageSid=SM1&MessageStatus=sent"), key("MessageSid=SM1&MessageStatus=read"));
    assert_ne!(key("MessageSid=SM1&MessageStatus=sent"), key("MessageSid=SM2&MessageStatus=sent"));
}
