//! JSON lines: of servers, of applications, and of fields by name.

use super::*;

#[test]
fn events_of_the_platform_are_taken_as_they_are() {
    check(
        "json",
        r#"{"@timestamp":"2026-11-24T10:00:00Z","event.module":"whatsapp","event.action":"message_failed","event.category":"messaging","whatsapp.error.code":[131048]}"#,
        "at=2026-11-24T10:00:00Z
         class=Messaging
         event.action=message_failed
         whatsapp.message.failed=1",
    );
    check(
        "json",
        r#"{"event.module":"whatsapp","event.action":"message_sent"}"#,
        "class=Messaging
         whatsapp.message.failed=0",
    );
    check(
        "json",
        r#"{"event.module":"whatsapp","event.action":"message_read"}"#,
        "class=Messaging
         whatsapp.message.failed=",
    );
}

#[test]
fn json_access_logs() {
    check(
        "json",
        NGINX_JSON,
        "at=2026-11-24T10:00:00Z
         class=Webserver
         client=203.0.113.7
         source.ip=203.0.113.7
         user.name=
         http.request.method=POST
         url.original=/login?next=%2F
         url.normalized=/login?next=/
         url.path=/login
         url.domain=shop.example
         http.response.status_code=401
         http.response.body.bytes=12
         user_agent.original=curl/8.5.0
         http.request.referrer=
         http.version=2.0
         event.duration_seconds=0.004
         event.action=authn_login_fail",
    );
    check(
        "json",
        CADDY,
        "at=2026-11-24T10:00:00.5Z
         source.ip=203.0.113.7
         http.request.method=GET
         url.original=/api/orders/17?x=1
         object.type=/api/orders/{id}
         object.id=17
         url.domain=shop.example
         user_agent.original=curl/7.82.0
         http.request.referrer=https://a.example/
         http.response.status_code=200
         http.response.body.bytes=10900
         http.response.mime_type=text/html
         http.version=2.0
         user.name=
         event.duration_seconds=0.000929675
         event.category=web",
    );
    check(
        "json",
        TRAEFIK,
        "at=2026-11-24T10:00:00Z
         source.ip=203.0.113.7
         url.original=/.env
         http.response.status_code=404
         http.response.body.bytes=19
         event.duration_seconds=0.057
         user_agent.original=python-requests/2.31
         url.domain=shop.example
         user.name=
         event.outcome=failure",
    );
    check(
        "json",
        ENVOY,
        "at=2026-11-24T10:00:00.127Z
         source.ip=203.0.113.7
         url.original=/status/418?a=b
         http.response.status_code=418
         http.response.body.bytes=154
         event.duration_seconds=0.012
         url.domain=shop.example
         http.version=1.1",
    );
    check(
        "json",
        r#"{"time":"24/Nov/2026:10:00:00 +0000","ip":"203.0.113.7","method":"GET","uri":"/a","args":"b=c","status":200,"agent":"x \u0022y\""}"#,
        "at=2026-11-24T10:00:00Z\nurl.original=/a?b=c\nurl.query=b=c\nuser_agent.original=x \"y\"",
    );
    // Google's gateway has an absolute URL.
    check(
        "json",
        r#"{"timestamp":"2026-11-24T10:00:00Z","httpRequest":{"requestMethod":"GET","requestUrl":"https://shop.example/a?b","status":200,"remoteIp":"203.0.113.7"}}"#,
        "url.original=/a?b\nurl.full=https://shop.example/a?b\nurl.domain=shop.example\nsource.ip=203.0.113.7",
    );
    // nginx without `escape=json`.
    check(
        "json",
        r#"{"remote_addr":"203.0.113.7","request":"GET /?a=\x22 HTTP/1.1","status":200,"http_user_agent":"a\\xb"}"#,
        "url.original=/?a=\"\nuser_agent.original=a\\xb\nclient=203.0.113.7\nat=-",
    );
    check(
        "json",
        r#"{"@timestamp":"2026-11-24T10:00:00Z","event":{"category":["web"]},"http":{"request":{"method":"POST"},"response":{"status_code":401}},"url":{"original":"/login"},"source":{"ip":"203.0.113.7"}}"#,
        "class=Webserver\nevent.category=authentication\nevent.outcome=failure\nurl.path=/login\nclient=203.0.113.7",
    );
    // Apache, as most guides have it.
    check(
        "json",
        r#"{"time":"2026-11-24T10:00:00+0000","remoteIP":"203.0.113.7","host":"shop.example","request":"/a.php","query":"?b=c","method":"GET","status":"200","userAgent":"x","referer":"-"}"#,
        "url.original=/a.php?b=c\nclient=203.0.113.7\nurl.domain=shop.example\nuser_agent.original=x\nhttp.request.referrer=",
    );
    // Behind a syslog header.
    check(
        "json",
        &format!("<190>Nov 24 10:00:00 web1 nginx: {NGINX_JSON}"),
        "client=203.0.113.7\nurl.path=/login",
    );
    check(
        "json",
        r#"{"request":"","status":400,"remote_addr":"203.0.113.7"}"#,
        "event.outcome=failure\nurl.original=\nevent.action=",
    );
}

#[test]
fn a_line_of_a_container_is_what_is_in_it() {
    let docker = |line: &str| {
        let line = serde_json::to_string(&format!("{line}\n")).unwrap();
        format!(r#"{{"log":{line},"stream":"stdout","time":"2026-11-24T11:00:00.5Z"}}"#)
    };
    let kubernetes = |line: &str| format!("2026-11-24T11:00:00.5Z stdout F {line}");
    for (format, line, expected) in [
        ("combined", COMBINED, "at=2026-11-24T10:00:00Z\nclient=203.0.113.7\nurl.path=/shop/item.php"),
        ("json", NGINX_JSON, "at=2026-11-24T10:00:00Z\nclass=Webserver\nevent.action=authn_login_fail"),
        ("json", CADDY, "client=203.0.113.7\nobject.id=17\nhttp.response.mime_type=text/html"),
        ("json", OWASP, "at=2021-01-01T08:01:01Z\nclass=Application\nuser.name=joebob1"),
        ("json", r#"{"event":"login_failed","user":"jo"}"#, "at=2026-11-24T11:00:00.5Z\nuser.name=jo"),
        ("haproxy", HAPROXY, "client=203.0.113.7\nurl.original=/index.html?a=1"),
        ("alb", ALB, "client=203.0.113.7\nurl.original=/api/v1/login?x=1"),
    ] {
        check("json", &docker(line), expected);
        check(format, &kubernetes(line), expected);
        assert_eq!(Format::detect(&docker(line)).map(|f| f.to_string()).as_deref(), Some("json"));
        assert_eq!(Format::detect(&kubernetes(line)).map(|f| f.to_string()).as_deref(), Some(format));
    }
    // Pieces of a long line.
    let (decoded, _) = decode_one("combined", &kubernetes(COMBINED).replace(" F ", " P ")).unwrap();
    assert_eq!(decoded, Decoded::Truncated);
    let (decoded, fields) = decode_one("json", &docker(&COMBINED[..80])).unwrap();
    assert_eq!(decoded, Decoded::Truncated);
    assert!(fields.contains(&("http.request.method".to_owned(), "GET".to_owned())));
    // No line of a container, however it looks.
    check("json", &docker(COMBINED).replace("stdout", "x"), "client=-\nclass=Any");
}

#[test]
fn objects_without_a_known_name_are_told_apart() {
    let (decoded, _) = decode_one("json", r#"{"txt":"${jndi:ldap://x}","n":1}"#).unwrap();
    assert_eq!(decoded, Decoded::Unknown);
    check("json", r#"{"txt":"${jndi:ldap://x}"}"#, "unnamed=${jndi:ldap://x}");
    for line in ["{}", r#"{"log":"out of memory\n","stream":"stderr","time":"2026-11-24T11:00:00Z"}"#] {
        assert_eq!(decode_one("json", line).unwrap().0, Decoded::Unknown, "{line}");
    }
    assert_eq!(decode_one("json", r#"{"cs-method":"GET"}"#).unwrap().0, Decoded::Event);
}

#[test]
fn an_odd_value_is_lost_alone() {
    let line = |member: &str| {
        format!(
            r#"{{"time":"2026-11-24T10:00:00Z",{member},"remote_addr":"203.0.113.7","request":"POST /login HTTP/1.1","status":401}}"#
        )
    };
    let deep = format!("\"x\":{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let deeper = format!("{}1{}", "{\"a\":[".repeat(500), "]}".repeat(500));
    for member in [
        r#""http_user_agent":"\ud800""#,
        r#""http_user_agent":"a\udc00\u0000\q""#,
        r#""request_time":1e999"#,
        r#""request_time":NaN,"body_bytes_sent":-Infinity"#,
        r#""body_bytes_sent":-,"upstream_response_time": ,"x":None"#,
        r#""status":200,"remote_addr":"192.0.2.99","status":null"#,
        "\"http_user_agent\":\"\u{fffd}\t\u{1}\"",
        &deep,
        &format!("\"x\":{deeper}"),
    ] {
        check(
            "json",
            &line(member),
            "at=2026-11-24T10:00:00Z
             client=203.0.113.7
             event.action=authn_login_fail
             http.response.status_code=401
             http.response.body.bytes=
             event.duration_seconds=",
        );
    }
    check("json", &line(r#""http_user_agent":"a\ud800b""#), "user_agent.original=a\u{fffd}b");
    check("json", &line(r#""http_user_agent":"\xd0\x90\x22""#), "user_agent.original=А\"");
    check("json", &format!("Nov 24 10:00:00 web1 app[17]: {}", line("\"a\":1")), "client=203.0.113.7");
}

#[test]
fn json_by_name_is_taken_as_it_is() {
    let found = fields("json", "", &[r#"{"cs-method":"GET","cs-uri-query":"/x?y"}"#]).unwrap();
    let names: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names, ["at=-", "class=Any", "client=-", "http.request.method=GET", "url.original=/x?y"]);

    let schema = Arc::new(Schema::new());
    let mut decoder = Decoder::new(Format::Json, Arc::clone(&schema), Arc::default());
    let line = r#"{"c-uri":"","cs-host":null,"sc-status":404,"sc-bytes":1.5,"user":{"name":["a",1,null,true]},"x":{"y":"z"},"source":[{"ip":"192.0.2.1"},{"ip":"192.0.2.2"}],"big":18446744073709551615}"#;
    let mut event = Event::new(&schema);
    assert_eq!(decoder.decode(line, &mut event), Ok(Decoded::Event));
    assert_eq!(event.get(field::URL_FULL), &Value::text(""));
    assert_eq!(event.get(field::URL_DOMAIN), &Value::Null);
    assert_eq!(event.get(field::STATUS_CODE), &Value::Int(404));
    assert_eq!(event.get(field::RESPONSE_BYTES), &Value::Float(1.5));
    assert_eq!(
        event.get(field::USER_NAME),
        &Value::List(vec![Value::text("a"), Value::Int(1), Value::Null, Value::Bool(true)])
    );
    assert_eq!(
        event.get(field::SOURCE_IP),
        &Value::List(vec![Value::text("192.0.2.1"), Value::text("192.0.2.2")])
    );
    assert_eq!(event.unnamed, [Value::text("z"), Value::Float(18446744073709551615.0)]);

    let objects = format!(r#"{{"source":[{}{{}}]}}"#, r#"{"ip":"192.0.2.1"},"#.repeat(3_000));
    let mut event = Event::new(&schema);
    assert_eq!(decoder.decode(&objects, &mut event), Ok(Decoded::Event));
    assert!(matches!(event.get(field::SOURCE_IP), Value::List(values) if values.len() == 3_000));

    // Any name can be a time or none: only a time is believed.
    check(
        "json",
        r#"{"timestamp":1795514400,"c-ip":"203.0.113.7"}"#,
        "at=2026-11-24T10:00:00Z\nclient=203.0.113.7",
    );
    check("json", r#"{"time":0.25,"cs-method":"GET"}"#, "at=-");
    check("json", r#"{"timestamp":"soon","cs-method":"GET"}"#, "at=-");
    check("json", r#"{"date":"2026-11-24","time":"10:00:00","cs-method":"GET"}"#, "at=2026-11-24T10:00:00Z");
    check("json", "{}", "at=-\nclass=Any");
}

#[test]
fn names_that_rules_add_are_fields() {
    let mut schema = Schema::new();
    let id = schema.intern("shop.basket.value");
    let schema = Arc::new(schema);
    let mut decoder = Decoder::new(Format::Json, Arc::clone(&schema), Arc::default());
    let mut event = Event::new(&schema);
    decoder.decode(r#"{"shop":{"basket":{"value":7}}}"#, &mut event).unwrap();
    assert_eq!(event.get(id), &Value::Int(7));
}

#[test]
fn application_events() {
    check(
        "json",
        OWASP,
        "at=2021-01-01T08:01:01Z
         class=Application
         client=203.0.113.7
         source.ip=203.0.113.7
         event.action=authn_login_fail
         event.category=authentication
         event.outcome=failure
         user.name=joebob1
         service.name=foobar.netportal_auth
         user_agent.original=Mozilla/5.0
         url.original=/api/v2/auth/
         message=User joebob1 login failed",
    );
    for (line, expected) in [
        (
            r#"{"@timestamp":"2026-11-24T10:00:00Z","source.ip":"203.0.113.7","user.name":"jo","event.action":"authn_login_fail"}"#,
            "class=Application\nclient=203.0.113.7\nevent.category=authentication\nevent.outcome=failure\nuser.name=jo",
        ),
        (
            r#"{"event":{"action":"AUTHN_login_success:jo"},"ip":"203.0.113.7"}"#,
            "event.action=authn_login_success\nevent.outcome=success\nuser.name=jo\nclient=203.0.113.7",
        ),
        (
            r#"{"event.action":"authn_login_lock:jo,maxretries","client_ip":"203.0.113.7:99"}"#,
            "event.action=authn_login_lock\nevent.outcome=\nuser.name=jo\nsource.ip=203.0.113.7",
        ),
        (
            r#"{"event.action":"authn_token_reuse[jo,token7]"}"#,
            "event.action=authn_token_reuse\nuser.name=jo",
        ),
        (r#"{"type":"user_message","user":"jo"}"#, "class=Any\nevent.action="),
        (r#"{"event":"user_created:jo,newjo"}"#, "class=Application\nevent.category=iam\nuser.name=jo"),
        (
            r#"{"event":"authz_fail:jo,/admin/export"}"#,
            "event.category=iam\nevent.outcome=failure\nobject.id=/admin/export",
        ),
        (
            r#"{"event":"sensitive_read:jo,customer/17","bytes":812}"#,
            "event.action=sensitive_read\nevent.category=\nobject.id=customer/17\nhttp.response.body.bytes=812",
        ),
        (
            r#"{"type":"authn_mfa_denied","user":"jo","factor":"PUSH","tenant_id":"t1","session_id":"s1","reason":"timeout"}"#,
            "event.action=authn_mfa_denied\nevent.outcome=failure\nauthentication.factor=push\norganization.id=t1\nsession.id=s1\nevent.reason=timeout\nuser.name=jo",
        ),
        (
            r#"{"event":"login_failed","username":"jo","level":"info"}"#,
            "event.action=authn_login_fail\nevent.outcome=failure\nuser.name=jo",
        ),
        (
            r#"{"event.action":"login_failed","user.name":"jo"}"#,
            "event.action=login_failed\nevent.category=authentication\nevent.outcome=failure",
        ),
        (
            r#"{"event.category":["authentication"],"event.outcome":"FAILURE","event.action":"logged-in"}"#,
            "event.category=authentication\nevent.outcome=failure\nevent.action=logged-in",
        ),
        (
            r#"{"event":"malicious_attack_tool:203.0.113.9,nikto","user":null}"#,
            "user.name=\nevent.action=malicious_attack_tool",
        ),
        (r#"{"event":"input_validation_fail:email,jo"}"#, "user.name=jo"),
        (r#"{"event":"order_placed","user":"jo"}"#, "class=Any\nevent.action=\nuser.name="),
    ] {
        check("json", line, expected);
    }
}
