//! Lines as servers write them, and the fields they make.

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
fn combined() {
    check(
        "combined",
        COMBINED,
        "at=2026-11-24T10:00:00Z
         class=Webserver
         client=203.0.113.7
         source.ip=203.0.113.7
         user.name=
         http.request.method=GET
         url.original=/shop/item.php?id=7
         url.normalized=/shop/item.php?id=7
         url.path=/shop/item.php
         url.query=id=7
         url.extension=php
         http.response.status_code=200
         http.response.body.bytes=5123
         http.request.referrer=https://shop.example/
         user_agent.original=Mozilla/5.0 (X11; Linux x86_64)
         http.version=1.1
         event.category=web
         event.outcome=success
         event.action=",
    );
}

#[test]
fn combined_in_the_wild() {
    for (line, expected) in [
        // Common, with nothing after the size and no size.
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.0" 304 -"#,
            "http.response.body.bytes=0\nuser_agent.original=",
        ),
        // Apache and nginx escape quotes in their own way.
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /?q=\"a\" HTTP/1.1" 200 1 "-" "a \"b\" c\\d""#,
            "url.original=/?q=\"a\"\nurl.query=q=\"a\"\nuser_agent.original=a \"b\" c\\d\nhttp.request.referrer=",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /?q=\x22a\x22 HTTP/1.1" 200 1 "-" "\xD0\x90""#,
            "url.original=/?q=\"a\"\nuser_agent.original=А",
        ),
        // A server that does not escape at all.
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /?q="a" HTTP/1.1" 200 1 "-" "x""#,
            "url.original=/?q=\"a\"\nhttp.response.status_code=200",
        ),
        (
            r#"2001:db8::7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=2001:db8::7\nsource.ip=2001:db8::7",
        ),
        (
            r#"::ffff:203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7\nsource.ip=203.0.113.7",
        ),
        (
            r#"crawl.example.com - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=-\nsource.ip=crawl.example.com",
        ),
        (r#"unix: - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#, "client=-\nsource.ip="),
        (
            r#"shop.example:443 203.0.113.7 - jo [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#,
            "client=203.0.113.7\nurl.domain=shop.example\nuser.name=jo\nuser_agent.original=",
        ),
        (
            r#"shop.example:80 host.example.net - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "source.ip=host.example.net\nurl.domain=shop.example",
        ),
        (
            r#"203.0.113.7 - Jo van [24/Dam [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "user.name=Jo van [24/Dam",
        ),
        (
            r#"203.0.113.7 - jo [24/Nov/2020:10:00:00 +0000] \" [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "at=2026-11-24T10:00:00Z",
        ),
        (
            r#"203.0.113.7 - "" [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 401 1"#,
            "user.name=\nevent.category=web",
        ),
        (
            r#"<190>Nov 24 10:00:00 web1 nginx: 203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7",
        ),
        (
            r#"198.51.100.4, 203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00.250 +0000] "GET / HTTP/1.1" 200 1"#,
            "at=2026-11-24T10:00:00.25Z",
        ),
        (r#"203.0.113.7 - - [2026-11-24T10:00:00+01:00] "GET / HTTP/1.1" 200 1"#, "at=2026-11-24T09:00:00Z"),
        (
            r#"2026-11-24T10:00:00.123456789Z stdout F 203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7",
        ),
        // Requests that are not HTTP, or never came.
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "\x16\x03\x01\x02" 400 150 "-" "-""#,
            "event.action=malformed_request\nhttp.request.method=\nurl.original=\u{16}\u{3}\u{1}\u{2}\nevent.outcome=failure\nevent.category=web",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "" 400 0 "-" "-""#,
            "event.action=\nurl.original=\nevent.outcome=failure",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "-" 408 - "-" "-""#,
            "event.action=\nurl.original=\nhttp.response.status_code=408",
        ),
        (r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /old" 200 5"#, "url.path=/old\nhttp.version="),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET http://a.example:80/x?y HTTP/1.1" 200 5"#,
            "url.original=http://a.example:80/x?y\nurl.domain=a.example\nurl.path=/x\nurl.query=y\nurl.full=http://a.example:80/x?y",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "CONNECT a.example:25 HTTP/1.1" 405 5"#,
            "url.original=a.example:25\nurl.domain=a.example\nurl.path=",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /a b c HTTP/1.1" 200 5"#,
            "url.path=/a b c\nhttp.version=1.1",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /api/Orders/17.JSON?a=%2e%2e HTTP/2.0" 200 5"#,
            "url.extension=json\nurl.normalized=/api/Orders/17.JSON?a=..\nobject.id=",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET /api/orders/17/items HTTP/2.0" 000 0"#,
            "object.type=/api/orders/{id}/items\nobject.id=17\nhttp.response.status_code=0\nevent.outcome=unknown",
        ),
        // What a format of one's own adds.
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl" 512 0.004 [shop-80] [] 10.0.0.1:80 5 0.003 200 4f1"#,
            "event.duration_seconds=0.004\nuser_agent.original=curl",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl" 17 "web@file" "http://10.0.0.1:80" 12ms"#,
            "event.duration_seconds=0.012",
        ),
        (
            r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 0.25"#,
            "event.duration_seconds=0.25",
        ),
        (
            "203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\r\n",
            "user_agent.original=x",
        ),
    ] {
        check("combined", line, expected);
    }
}

#[test]
fn logins_in_access_logs() {
    for (user, request, status, expected) in [
        (
            "-",
            "POST /login HTTP/1.1",
            401,
            "event.category=authentication\nevent.action=authn_login_fail\nevent.outcome=failure",
        ),
        (
            "-",
            "POST /login?user=jo HTTP/1.1",
            302,
            "event.action=authn_login_success\nevent.outcome=success\nuser.name=jo",
        ),
        ("-", "POST /login HTTP/1.1", 200, "event.action=authn_login_attempt\nevent.outcome=unknown"),
        ("-", "POST /wp-login.php HTTP/1.1", 200, "event.action=authn_login_fail"),
        (
            "-",
            r"POST /login?user=\x22jo\x22 HTTP/1.1",
            401,
            "event.action=authn_login_fail\nuser.name=\"jo\"",
        ),
        (
            "jo",
            "GET /private HTTP/1.1",
            401,
            "event.category=authentication\nevent.action=authn_login_fail\nuser.name=jo",
        ),
        ("jo", "GET /private HTTP/1.1", 200, "event.category=web\nevent.action=\nuser.name=jo"),
        ("-", "GET /private HTTP/1.1", 401, "event.category=web\nevent.outcome=failure"),
        ("-", "GET /login HTTP/1.1", 200, "event.category=web\nevent.outcome=success"),
    ] {
        let line =
            format!(r#"203.0.113.7 - {user} [24/Nov/2026:10:00:00 +0000] "{request}" {status} 5 "-" "x""#);
        check("combined", &line, expected);
    }
}

#[test]
fn forwarded_clients() {
    let settings = r#"proxies = ["10.0.0.0/8"]"#;
    let line = r#"10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x" "1.1.1.1, 203.0.113.7, 10.0.0.9""#;
    check_with("combined", settings, &[line], "client=203.0.113.7\nsource.ip=203.0.113.7");
    check_with("combined", "", &[line], "client=10.0.0.1\nsource.ip=10.0.0.1");
    let line = r#"10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x" "for=\"[2001:db8::7]:99\"""#;
    check_with("combined", settings, &[line], "client=2001:db8::7\nsource.ip=2001:db8::7");
    let line = NGINX_JSON.replace("203.0.113.7", "10.0.0.1").replace(r#"for":"""#, r#"for":"203.0.113.9""#);
    check_with("json", settings, &[&line], "client=203.0.113.9\nsource.ip=203.0.113.9");
    let line = HAPROXY.replace("203.0.113.7", "10.0.0.1");
    check_with("haproxy", settings, &[&line], "client=198.51.100.9");
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

#[test]
fn haproxy() {
    let expected = "at=2026-11-24T10:00:00.655Z
         client=203.0.113.7
         source.ip=203.0.113.7
         http.request.method=GET
         url.original=/index.html?a=1
         url.domain=shop.example
         user_agent.original=Mozilla/5.0 (X11)
         http.response.status_code=200
         http.response.body.bytes=2750
         event.duration_seconds=0.109
         class=Webserver";
    check("haproxy", HAPROXY, expected);
    check("haproxy", HAPROXY.split_once("]: ").unwrap().1, expected);
    check_with("haproxy", r#"zone = "Europe/Berlin""#, &[HAPROXY], "at=2026-11-24T09:00:00.655Z");
    for (line, expected) in [
        (
            r#"2001:db8::7:33317 [24/Nov/2026:10:00:00.655] in in/<NOSRV> -1/-1/-1/-1/5001 408 212 - - cR-- 2/2/0/0/0 0/0 "<BADREQ>""#,
            "client=2001:db8::7\nhttp.response.status_code=408\nevent.action=",
        ),
        (
            r#"203.0.113.7:33317 [24/Nov/2026:10:00:00.655] in in/<NOSRV> -1/-1/-1/-1/0 400 187 - - PR-- 2/2/0/0/0 0/0 "<BADREQ>""#,
            "event.action=malformed_request",
        ),
        (
            r#"203.0.113.7:33317 [24/Nov/2026:10:00:00.655] in b/s 0/0/0/1/+2 -1 +0 - - CD-- 2/2/0/0/0 0/0 "GET /a#22b HTTP/1.1""#,
            "http.response.status_code=\nurl.original=/a\"b\nevent.outcome=unknown",
        ),
        // Cut by syslog in the middle of the request.
        (
            r#"203.0.113.7:33317 [24/Nov/2026:10:00:00.655] in b/s 0/0/0/1/2 200 7 - - ---- 2/2/0/0/0 0/0 "GET /very/lo"#,
            "url.path=/very/lo\nhttp.request.method=GET",
        ),
    ] {
        check("haproxy", line, expected);
    }
}

#[test]
fn alb() {
    check(
        "alb",
        ALB,
        "at=2026-11-24T10:00:00.186641Z
         client=203.0.113.7
         source.ip=203.0.113.7
         http.request.method=POST
         url.original=/api/v1/login?x=1
         url.path=/api/v1/login
         url.full=https://shop.example:443/api/v1/login?x=1
         url.domain=shop.example
         http.response.status_code=401
         http.response.body.bytes=366
         http.request.body.bytes=34
         http.version=1.1
         user_agent.original=curl/7.46.0
         event.action=authn_login_fail",
    );
    let never = ALB
        .replace("POST https://shop.example:443/api/v1/login?x=1 HTTP/1.1", "- http://shop.example:443- -");
    check("alb", &never, "url.original=\nevent.action=\nhttp.request.method=");
}

#[test]
fn w3c() {
    let expected = "at=2026-11-24T10:00:00Z
         client=203.0.113.7
         http.request.method=GET
         url.original=/owa/a.aspx?id=1&b=2
         url.path=/owa/a.aspx
         url.query=id=1&b=2
         url.extension=aspx
         user.name=SHOP\\jo
         user_agent.original=Mozilla/5.0 (Windows NT 10.0)
         http.request.referrer=https://shop.example/
         http.response.status_code=404
         event.duration_seconds=0.015";
    check("w3c", IIS, expected);
    check_with("w3c", "", &["#Software: IIS", IIS_FIELDS, IIS], expected);
    check_with(
        "w3c",
        "",
        &["#Version: 1.0", CLOUDFRONT_FIELDS, CLOUDFRONT],
        "at=2026-11-24T10:00:00Z
         source.ip=203.0.113.7
         url.original=/view/my/file.html?a=b
         url.domain=shop.example
         user_agent.original=Mozilla/5.0 (X11)
         http.response.body.bytes=2390282
         event.duration_seconds=0.001",
    );
    check_with(
        "w3c",
        "",
        &[
            "#Date: 2026-11-24 00:00:00",
            "#Fields: time c-ip cs-method cs-uri-stem sc-status",
            "10:00:00 203.0.113.7 GET / 200",
        ],
        "at=2026-11-24T10:00:00Z\nurl.path=/",
    );
}

#[test]
fn a_w3c_header_changes_what_follows_it() {
    let format: Format = "w3c".parse().unwrap();
    let chunk = format!("{IIS}\n#Fields: date time c-ip sc-status\n2026-11-24 10:00:01 203.0.113.8 200\n");
    let after = format.after(&chunk);
    assert_ne!(after, format);
    assert_eq!(format.after(&format!("{IIS} #Fields: x\n")), format, "only a line of its own is a header");
    let schema = Arc::new(Schema::new());
    let mut decoder = Decoder::new(format, Arc::clone(&schema), Arc::default());
    let lines =
        chunk.lines().filter(|line| decoder.decode(line, &mut Event::new(&schema)) == Ok(Decoded::Event));
    assert_eq!(lines.count(), 2, "a header must count for the lines after it in its own chunk");
    let mut decoder = Decoder::new(after, Arc::clone(&schema), Arc::default());
    assert_eq!(
        decoder.decode("2026-11-24 10:00:02 203.0.113.9 200", &mut Event::new(&schema)),
        Ok(Decoded::Event)
    );
    assert_eq!(Format::Combined.after(&chunk), Format::Combined);
}

#[test]
fn reasons() {
    let iis = |from: &str, to: &str| IIS.replace(from, to);
    let combined = |from: &str, to: &str| COMBINED.replace(from, to);
    let cases = [
        ("combined", "x".repeat(LINE_LIMIT + 1), "too_long"),
        ("combined", "hello world".into(), "not_combined"),
        ("combined", "level=info msg=\"hello [world] \"".into(), "not_combined"),
        ("combined", combined("24/Nov", "99/Nov"), "bad_time"),
        ("combined", combined("203.0.113.7 ", "203.0.113.7.$ "), "bad_address"),
        ("combined", combined(" 200 ", " 20x "), "bad_status"),
        ("combined", combined(" 5123 ", " 51x3 "), "not_combined"),
        ("combined", COMBINED[..COMBINED.len() - 1].into(), "truncated"),
        ("combined", COMBINED[..30].into(), "truncated"),
        ("combined", COMBINED[..10].into(), "truncated"),
        ("combined", COMBINED[..80].into(), "truncated"),
        (
            "combined",
            COMBINED.split(" \"https").next().unwrap().trim_end_matches(" 5123").into(),
            "truncated",
        ),
        ("combined", COMBINED.split(" \"Mozilla").next().unwrap().into(), "truncated"),
        ("json", "hello".into(), "not_json"),
        ("json", "[1]".into(), "not_json"),
        ("json", r#"{"a":1}x"#.into(), "not_json"),
        ("json", r#"{"a":1,"#.into(), "truncated"),
        ("json", OWASP.replace("2021-", "x-"), "bad_time"),
        ("haproxy", "hello".into(), "not_haproxy"),
        ("haproxy", HAPROXY.replace("[24/Nov", "[24/Nix"), "bad_time"),
        ("haproxy", HAPROXY.replace("203.0.113.7:", "203.0.113.:"), "bad_address"),
        ("haproxy", HAPROXY.replace(" 200 ", " OK "), "bad_status"),
        ("haproxy", HAPROXY.split(" 200").next().unwrap().into(), "truncated"),
        ("alb", "hello".into(), "not_alb"),
        ("alb", ALB[..200].into(), "truncated"),
        ("alb", ALB.replace("2026-11-24T10:00:00.186641Z", "yesterday"), "bad_time"),
        ("alb", ALB.replace(" 401 401 ", " x 401 "), "bad_status"),
        ("alb", ALB.replace("203.0.113.7:2817", "nowhere"), "bad_address"),
        ("w3c", format!("{IIS} more"), "not_w3c"),
        ("w3c", IIS[..40].into(), "truncated"),
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
fn blank_lines_and_comments_are_nothing() {
    let schema = Arc::new(Schema::new());
    for format in ["combined", "json", "haproxy", "alb", "w3c"] {
        let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::default());
        for line in ["", "\n", "\r\n", "   ", "# comment"] {
            assert_eq!(
                decoder.decode(line, &mut Event::new(&schema)),
                Ok(Decoded::Nothing),
                "{format} {line:?}"
            );
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

fn decode_everywhere(line: &str) {
    let schema = Arc::new(Schema::new());
    let settings: Arc<Settings> = Arc::new(toml::from_str(r#"proxies = ["0.0.0.0/0", "::/0"]"#).unwrap());
    for format in ["combined", "json", "haproxy", "alb", "w3c"] {
        let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::clone(&settings));
        let _ = decoder.decode(line, &mut Event::new(&schema)).map_err(|error| error.to_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_line_panics(line in "\\PC{0,120}|([\\[\\]\"\\\\ :/0-9A-Fa-fxu%+*.,#{}-]|\\PC){0,120}") {
        decode_everywhere(&line);
    }

    #[test]
    fn no_mutated_line_panics(
        which in 0..LINES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]\"\\\\ :/0-9,#é{}%-]{0,3}"), 1..6),
    ) {
        let mut line: Vec<char> = LINES[which].1.chars().collect();
        for (at, length, text) in edits {
            let at = at.index(line.len() + 1);
            let end = (at + length).min(line.len());
            line.splice(at..end, text.chars());
        }
        decode_everywhere(&line.into_iter().collect::<String>());
    }

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
}
