//! Lines as servers write them, and the fields they make.

mod access_logs;
mod json_lines;
mod robustness;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::{Timestamp, Value, field};

/// Decodes lines one after the other; of the last one the fields by name, as text.
fn fields(format: &str, settings: &str, lines: &[&str]) -> Result<Vec<(String, String)>, Undecodable> {
    let schema = Arc::new(Schema::new());
    let settings = Arc::new(toml::from_str(settings).unwrap());
    let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), settings);
    let mut found = Vec::new();
    for line in lines {
        let mut event = Event::new(&schema);
        decoder.decode(line, &mut event)?;
        found = vec![
            ("at".to_owned(), event.at.map_or("-".to_owned(), |at| at.to_string())),
            ("class".to_owned(), format!("{:?}", event.class)),
            ("client".to_owned(), event.client.map_or("-".to_owned(), |client| client.to_string())),
        ];
        found.extend(event.fields().map(|(id, value)| {
            (schema.name(id).to_owned(), value.to_text().map_or("null".to_owned(), |text| text.into_owned()))
        }));
        found.extend(
            event
                .unnamed
                .iter()
                .map(|value| ("unnamed".to_owned(), value.to_text().unwrap_or_default().into_owned())),
        );
    }
    Ok(found)
}

/// Decodes one line: what it was, and the fields by name, as text.
fn decode_one(format: &str, line: &str) -> Result<(Decoded, Vec<(String, String)>), Undecodable> {
    let schema = Arc::new(Schema::new());
    let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::default());
    if CLOUDFRONT.starts_with(line) {
        decoder.decode(CLOUDFRONT_FIELDS, &mut Event::new(&schema))?;
    }
    let mut event = Event::new(&schema);
    let decoded = decoder.decode(line, &mut event)?;
    let mut found: Vec<_> = event
        .fields()
        .map(|(id, value)| (schema.name(id).to_owned(), value.to_text().unwrap_or_default().into_owned()))
        .collect();
    found.push(("client".to_owned(), event.client.map_or("-".to_owned(), |client| client.to_string())));
    Ok((decoded, found))
}

/// Compares with `name=value` lines; `name=` alone means that there is no such field.
#[track_caller]
fn check_with(format: &str, settings: &str, lines: &[&str], expected: &str) {
    let found = fields(format, settings, lines).unwrap_or_else(|error| panic!("{error}: {lines:?}"));
    for line in expected.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap();
        let is = found.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!(is.unwrap_or_default(), value, "{name} of {lines:?}\n{found:#?}");
    }
}

#[track_caller]
fn check(format: &str, line: &str, expected: &str) {
    check_with(format, "", &[line], expected);
}

const COMBINED: &str = r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /shop/item.php?id=7 HTTP/1.1" 200 5123 "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)""#;
const NGINX_JSON: &str = r#"{"time_iso8601":"2026-11-24T10:00:00+00:00","remote_addr":"203.0.113.7","remote_user":"","request":"POST /login?next=%2F HTTP/2.0","status":"401","body_bytes_sent":"12","request_time":"0.004","http_referer":"","http_user_agent":"curl/8.5.0","http_x_forwarded_for":"","http_host":"shop.example"}"#;
const CADDY: &str = r#"{"level":"info","ts":1795514400.5,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.113.7","remote_port":"41342","client_ip":"203.0.113.7","proto":"HTTP/2.0","method":"GET","host":"shop.example","uri":"/api/orders/17?x=1","headers":{"User-Agent":["curl/7.82.0"],"Referer":["https://a.example/"],"X-Forwarded-For":["192.0.2.1"]}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{"Server":["Caddy"],"Content-Type":["text/html"]}}"#;
const TRAEFIK: &str = r#"{"ClientAddr":"203.0.113.7:36458","ClientHost":"203.0.113.7","ClientPort":"36458","ClientUsername":"-","DownstreamContentSize":19,"DownstreamStatus":404,"Duration":57000000,"OriginStatus":404,"RequestAddr":"shop.example:8443","RequestHost":"shop.example","RequestMethod":"GET","RequestPath":"/.env","RequestProtocol":"HTTP/1.1","RequestContentSize":0,"entryPointName":"web","request_User-Agent":"python-requests/2.31","time":"2026-11-24T10:00:00Z","level":"info","msg":""}"#;
const ENVOY: &str = r#"{"authority":"shop.example","bytes_received":0,"bytes_sent":154,"duration":12,"downstream_remote_address":"203.0.113.7:34860","method":"GET","path":"/status/418?a=b","protocol":"HTTP/1.1","request_id":"84961386","response_code":418,"response_flags":"-","start_time":"2026-11-24T10:00:00.127Z","upstream_host":"10.44.1.27:80","user_agent":"curl/7.64.0","x_forwarded_for":null}"#;
const HAPROXY: &str = r#"Nov 24 10:00:00 lb1 haproxy[14389]: 203.0.113.7:33317 [24/Nov/2026:10:00:00.655] https-in~ static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {shop.example|Mozilla/5.0 (X11)|198.51.100.9} {} "GET /index.html?a=1 HTTP/1.1""#;
const ALB: &str = r#"https 2026-11-24T10:00:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 203.0.113.7:2817 10.0.0.1:80 0.086 0.048 0.037 401 401 34 366 "POST https://shop.example:443/api/v1/login?x=1 HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "shop.example" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2026-11-24T10:00:00.100000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "401" "-" "-" TID_1234"#;
const IIS_FIELDS: &str = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";
const IIS: &str = "2026-11-24 10:00:00 10.0.0.5 GET /owa/a.aspx id=1&b=2 443 SHOP\\jo 203.0.113.7 Mozilla/5.0+(Windows+NT+10.0) https://shop.example/ 404 0 2 15";
const CLOUDFRONT_FIELDS: &str = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken";
const CLOUDFRONT: &str = "2026-11-24\t10:00:00\tLAX1\t2390282\t203.0.113.7\tGET\td111111abcdef8.cloudfront.net\t/view/my/file.html\t200\t-\tMozilla/5.0%20(X11)\ta=b\t-\tHit\tSOX4xwn4XV6Q==\tshop.example\thttps\t43\t0.001";
const OWASP: &str = r#"{"datetime":"2021-01-01T01:01:01-0700","appid":"foobar.netportal_auth","event":"AUTHN_login_fail:joebob1","level":"WARN","description":"User joebob1 login failed","useragent":"Mozilla/5.0","source_ip":"203.0.113.7","host_ip":"10.12.7.9","hostname":"portalauth.foobar.com","protocol":"https","port":"440","request_uri":"/api/v2/auth/","request_method":"POST","region":"AWS-US-WEST-2"}"#;

#[test]
fn reasons() {
    let iis = |from: &str, to: &str| IIS.replace(from, to);
    let combined = |from: &str, to: &str| COMBINED.replace(from, to);
    let cases = [
        ("json", format!("{{\"x\":\"{}", "x".repeat(LINE_LIMIT)), "too_long"),
        ("combined", "hello world".into(), "not_combined"),
        ("combined", "level=info msg=\"hello [world] \"".into(), "not_combined"),
        ("combined", combined("24/Nov", "99/Nov"), "bad_time"),
        ("combined", combined("203.0.113.7 ", "203.0.113.7.$ "), "bad_address"),
        ("combined", combined(" 200 ", " 20x "), "bad_status"),
        ("combined", combined(" 5123 ", " 51x3 "), "not_combined"),
        ("combined", COMBINED[..30].into(), "truncated"),
        ("combined", COMBINED[..10].into(), "truncated"),
        ("combined", COMBINED.split("T /shop").next().unwrap().into(), "truncated"),
        ("json", "hello".into(), "not_json"),
        ("json", "[1]".into(), "not_json"),
        ("json", r#"{"a":1}x"#.into(), "not_json"),
        ("json", r#"{"a":1,"#.into(), "truncated"),
        ("json", r#"{"remote_addr":"203.0.113."#.into(), "truncated"),
        ("json", OWASP.replace("2021-", "x-"), "bad_time"),
        ("haproxy", "hello".into(), "not_haproxy"),
        (
            "haproxy",
            "203.0.113.7:1 [24/Nov/2026:10:00:00.655] in/1: SSL handshake failure".into(),
            "not_haproxy",
        ),
        ("haproxy", HAPROXY.replace("[24/Nov", "[24/Nix"), "bad_time"),
        ("haproxy", HAPROXY.replace("203.0.113.7:", "203.0.113.:"), "bad_address"),
        ("haproxy", HAPROXY.replace(" 200 ", " OK "), "bad_status"),
        ("haproxy", HAPROXY.split(" 200").next().unwrap().into(), "truncated"),
        ("alb", "hello".into(), "not_alb"),
        ("alb", ALB.split("\"POST").next().unwrap().into(), "truncated"),
        ("alb", ALB.replace("2026-11-24T10:00:00.186641Z", "yesterday"), "bad_time"),
        ("alb", ALB.replace(" 401 401 ", " x 401 "), "bad_status"),
        ("alb", ALB.replace("203.0.113.7:2817", "nowhere"), "bad_address"),
        ("w3c", format!("{IIS} more"), "not_w3c"),
        ("w3c", IIS.split("GET").next().unwrap().into(), "truncated"),
        ("w3c", iis("2026-11-24 ", "2026-11-34 "), "bad_time"),
        ("w3c", iis("2026-11-24 ", "- "), "no_time"),
        ("w3c", iis(" 404 ", " x "), "bad_status"),
        ("w3c", iis("203.0.113.7", "nowhere"), "bad_address"),
    ];
    for (format, line, reason) in &cases {
        match fields(format, "", &[line]) {
            Err(error) => assert_eq!(error.reason(), *reason, "{error}: {line}"),
            Ok(found) => panic!("{line} was read: {found:?}"),
        }
    }
    for reason in Undecodable::ALL {
        assert!(cases.iter().any(|case| case.2 == reason.reason()), "{reason:?} has no test");
    }
    assert_eq!(
        fields("combined", "", &[&combined(" 200 ", " 20x ")]).unwrap_err().to_string(),
        "expected a status of three digits at byte 80"
    );
}

#[test]
fn blank_lines_are_nothing_and_so_are_comments_where_the_format_has_any() {
    let schema = Arc::new(Schema::new());
    for format in ["combined", "json", "haproxy", "alb", "w3c"] {
        let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::default());
        let mut decode = |line| decoder.decode(line, &mut Event::new(&schema));
        for line in ["", "\n", "\r\n", "   ", "\u{feff}"] {
            assert_eq!(decode(line), Ok(Decoded::Nothing), "{format} {line:?}");
        }
        for line in ["# comment", "#", "\u{feff}#Version: 1.0"] {
            assert_eq!(decode(line).is_ok(), format == "w3c", "{format} {line:?}");
        }
    }
}

#[test]
fn formats_are_found_out() {
    let iis = format!(
        "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n{IIS_FIELDS}\n{IIS}\n"
    );
    for (sample, expected) in [
        (COMBINED, Some("combined")),
        (NGINX_JSON, Some("json")),
        (OWASP, Some("json")),
        (HAPROXY, Some("haproxy")),
        (ALB, Some("alb")),
        (iis.as_str(), Some("w3c")),
        (&format!("{CLOUDFRONT_FIELDS}\n{CLOUDFRONT}\n"), Some("w3c")),
        (&format!("\u{feff}{CLOUDFRONT_FIELDS}\n{CLOUDFRONT}\n"), Some("w3c")),
        (
            r#"2026/11/24 10:00:00 [error] 1#1: *1 open() "/x" failed, client: 203.0.113.7, request: "GET /x HTTP/1.1""#,
            None,
        ),
        (&format!("junk\n{COMBINED}\n{COMBINED}"), Some("combined")),
        ("junk\nmore junk\n", None),
        ("", None),
    ] {
        assert_eq!(Format::detect(sample).map(|format| format.to_string()).as_deref(), expected, "{sample}");
    }
}

#[test]
fn settings_are_checked() {
    let settings: Settings = toml::from_str(
        r#"
        class = "application"
        proxies = ["10.0.0.0/8"]
        zone = "Europe/Berlin"
        [logins]
        defaults = false
        "#,
    )
    .unwrap();
    assert_eq!(settings.class, Some(Class::Application));
    assert!(toml::from_str::<Settings>("klass = 1").is_err());
    assert!(toml::from_str::<Settings>("class = \"web\"").is_err());
    check_with("combined", "class = \"proxy\"", &[COMBINED], "class=Proxy");
    assert!("xml".parse::<Format>().is_err());
    assert_eq!("common".parse::<Format>(), Ok(Format::Combined));
}

const LINES: [(&str, &str); 11] = [
    ("combined", COMBINED),
    ("json", NGINX_JSON),
    ("json", CADDY),
    ("json", TRAEFIK),
    ("json", ENVOY),
    ("json", OWASP),
    ("haproxy", HAPROXY),
    ("alb", ALB),
    ("w3c", IIS),
    ("w3c", IIS_FIELDS),
    ("w3c", CLOUDFRONT),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_decoder_remembers_nothing_that_changes_a_line(lines in prop::collection::vec((0usize..60, "[a-z\"]{0,6}"), 1..10)) {
        let schema = Arc::new(Schema::new());
        let new = || Decoder::new(Format::Combined, Arc::clone(&schema), Arc::default());
        let mut used = new();
        for (second, junk) in lines {
            let line = COMBINED.replace("10:00:00 ", &format!("10:{:02}:{second:02}{junk} ", second / 20));
            let (mut one, mut other) = (Event::new(&schema), Event::new(&schema));
            prop_assert_eq!(used.decode(&line, &mut one), new().decode(&line, &mut other));
            prop_assert_eq!(one.at.map(Timestamp::as_micros), other.at.map(Timestamp::as_micros));
        }
    }

    #[test]
    fn an_escape_changes_how_a_field_is_held_and_not_what_it_says(
        target in "/[a-z0-9/.?=&%+-]{0,30}",
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(target.len());
        let escaped = format!("{}\\x{:02x}{}", &target[..at], target.as_bytes()[at], &target[at + 1..]);
        let line = |target: &str| COMBINED.replace("/shop/item.php?id=7", target);
        prop_assert_eq!(fields("combined", "", &[&line(&target)]), fields("combined", "", &[&line(&escaped)]));
    }
}
