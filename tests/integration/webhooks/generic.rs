//! Events of anybody who signs them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const CRM: &str = "\n[generic.crm]\nsecrets_file = 'DIR/other'\nheader = 'X-Crm'\nprefix = 'v1,'\nencoding = 'base64'\n\
                   hash = 'sha512'\n[generic.bird]\nsecrets_file = 'DIR/other'\ndeduplicate = true\ntenant = 'shop'\n";

fn setup() -> Setup {
    Setup { webhooks: CRM.to_owned(), ..Setup::default() }
}

fn bird(body: &[u8]) -> String {
    signature(OLD_SECRET, body)["sha256=".len()..].to_owned()
}

#[tokio::test]
async fn a_scheme_is_what_the_configuration_says() {
    let server = start(setup()).await;
    let body = b"{\"event.action\": \"a\"}";
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, OLD_SECRET.as_bytes()), body);
    let crm = format!("v1,{}", STANDARD.encode(tag.as_ref()));
    let (bird, whatsapp) = (bird(body), signature(OLD_SECRET, body));
    for (path, header, value, code) in [
        ("crm", "X-Crm", crm.as_str(), 200),
        ("crm", "X-Crm", &crm[3..], 401),
        ("crm", "X-Crm", &bird, 401),
        ("crm", "X-Signature-256", &crm, 401),
        ("bird", "X-Signature-256", &bird, 200),
        ("bird", "X-Signature-256", &whatsapp, 401),
        ("nobody", "X-Signature-256", &bird, 404),
        ("", "X-Signature-256", &bird, 403),
    ] {
        let answer = server.ask("POST", &format!("/webhooks/generic/{path}"), &[(header, value)], body).await;
        assert_eq!(answer.status, code, "{path} {header} {value}: {}", answer.body);
    }
    assert_eq!((server.outcome("crm", "stored"), server.outcome("bird", "stored")), (1.0, 1.0));
    let told = server.told("event.provider").await;
    assert_eq!(told, ["crm", "crm", "crm", "bird"]);
    let streams = server.journal.read_after(0).unwrap().flat_map(|block| block.unwrap().lines);
    let tenants: Vec<_> = streams.filter(|lines| &*lines.stream.source == "bird").collect();
    assert!(tenants.iter().all(|lines| &*lines.stream.tenant == "shop") && !tenants.is_empty());
}

#[tokio::test]
async fn bodies_become_lines_and_equal_ones_are_known_where_that_is_asked_for() {
    let server = start(setup()).await;
    for (kind, body) in [
        ("application/json", "{\"a\":\n\"1\"}"),
        ("application/json", "[{\"a\":\"2\"},{\"a\":\"3\"}]"),
        ("application/x-ndjson", "{\"a\":\"4\"}\n\n{\"a\":\"2\"}\r\n{\"a\":\"4\"}"),
        ("application/json", "[]"),
    ] {
        let (signature, length) = (bird(body.as_bytes()), body.len());
        let headers = [("Content-Type", kind), ("X-Signature-256", signature.as_str())];
        let answer = server.ask("POST", "/webhooks/generic/bird", &headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{length}");
    }
    assert_eq!(server.told("a").await, ["1", "2", "3", "4"]);
    assert_eq!(server.count("watchbell_webhook_duplicate_lines_total{source=\"bird\"}"), 2.0);
    assert_eq!(server.outcome("bird", "empty"), 1.0);
    let broken = "[{\"a\":\"5\"}";
    let headers = [("X-Signature-256", bird(broken.as_bytes()))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(server.ask("POST", "/webhooks/generic/bird", &headers, broken.as_bytes()).await.status, 200);
    assert_eq!(server.letters(), [("bird".to_owned(), "not JSON".to_owned(), broken.to_owned())]);
    let packed = [headers[0], ("Content-Encoding", "gzip")];
    assert_eq!(server.ask("POST", "/webhooks/generic/bird", &packed, broken.as_bytes()).await.status, 415);
}
