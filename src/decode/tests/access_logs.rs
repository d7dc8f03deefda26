//! Access logs in the formats of servers and balancers.

use super::*;

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
        (
            r#"203.0.113.7 [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7\nuser.name=",
        ),
        (
            r#"203.0.113.7 -  [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            "client=203.0.113.7\nuser.name=",
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
fn the_client_is_the_address_next_to_the_user() {
    let line = |head: &str| format!(r#"{head} [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x""#);
    for (head, expected) in [
        ("203.0.113.9 192.0.2.7 - ann", "client=192.0.2.7\nurl.domain=203.0.113.9\nuser.name=ann"),
        ("203.0.113.9 192.0.2.7 - -", "client=192.0.2.7\nurl.domain=203.0.113.9\nuser.name="),
        ("203.0.113.9:443 192.0.2.7 - -", "client=192.0.2.7\nurl.domain=203.0.113.9"),
        ("[2001:db8::9]:443 2001:db8::7 - -", "client=2001:db8::7\nurl.domain=[2001:db8::9]"),
        ("[2001:db8::9] 2001:db8::7 - -", "client=2001:db8::7\nurl.domain=[2001:db8::9]"),
        ("2001:db8::9 ::ffff:192.0.2.7 - -", "client=192.0.2.7\nurl.domain=2001:db8::9"),
        // No second address, or none that a server put there.
        ("192.0.2.7 - 203.0.113.9", "client=192.0.2.7\nurl.domain=\nuser.name=203.0.113.9"),
        ("192.0.2.7 203.0.113.9 ann", "client=192.0.2.7\nurl.domain=\nuser.name=ann"),
        ("192.0.2.7 ident ann", "client=192.0.2.7\nurl.domain=\nuser.name=ann"),
        ("192.0.2.7 - - -", "client=192.0.2.7\nuser.name="),
        ("192.0.2.7 - - ann", "client=192.0.2.7\nuser.name=ann"),
    ] {
        check("combined", &line(head), expected);
    }
    let client = r#"first_address = "client""#;
    check_with("combined", client, &[&line("192.0.2.7 203.0.113.9 - ann")], "client=192.0.2.7\nurl.domain=");
    let behind_proxies = "first_address = \"client\"\nproxies = [\"192.0.2.7\"]";
    check_with("combined", behind_proxies, &[&line("192.0.2.7 203.0.113.9 - ann")], "client=203.0.113.9");
    check_with("combined", client, &[&line("203.0.113.9:443 192.0.2.7 - -")], "client=192.0.2.7");
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
fn a_login_is_one_however_its_path_is_spelled() {
    for path in [
        "/%6cogin",
        "/%256Cogin",
        "/l%6Fgin/",
        "/login%20",
        "/login%2f",
        "/login%2F%2e",
        "/login%00",
        "/login/.",
        "/login.",
        "//login",
        "/a/../login",
        "/a%2f..%2flogin",
        "/x%3f/../login",
        "/x/././././login",
        "/x\\\\login",
        "/LoGin",
        "/login;jsessionid=1",
        "/login%3bjsessionid=1",
        "/login?next=%2F",
        "http://shop.example/%6cogin",
    ] {
        let line =
            format!(r#"203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "POST {path} HTTP/1.1" 401 5 "-" "x""#);
        check("combined", &line, "event.category=authentication\nevent.action=authn_login_fail");
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
    let line = line.replace("{shop.example|", "{192.0.2.99|");
    check_with("haproxy", settings, &[&line], "client=198.51.100.9\nurl.domain=192.0.2.99");
}

#[test]
fn junk_in_a_forwarding_header_does_not_make_the_proxy_the_client() {
    let settings = r#"proxies = ["10.0.0.0/8"]"#;
    for (header, client) in [
        ("unknown, 203.0.113.7", "203.0.113.7"),
        ("_hidden, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ("1.1.1.1, <x>, 203.0.113.7:4711", "203.0.113.7"),
        ("-, [2001:db8::7]:99, 10.0.0.9", "2001:db8::7"),
        (r"\x22, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, unknown, 10.0.0.9", "10.0.0.9"),
        ("1.1.1.1, unknown", "10.0.0.1"),
        ("-", "10.0.0.1"),
    ] {
        let line =
            format!(r#"10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x" "{header}""#);
        check_with("combined", settings, &[&line], &format!("client={client}"));
    }
}

#[test]
fn a_rule_that_names_the_full_url_finds_one_in_every_request() {
    let mut schema = Schema::new();
    schema.intern("c-uri");
    let schema = Arc::new(schema);
    let line = |head: &str, target: &str| {
        format!(r#"{head}203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] "{target} HTTP/1.1" 200 5"#)
    };
    for (format, line, expected) in [
        ("combined", line("", "GET /a?b=c"), Some("/a?b=c")),
        ("combined", line("shop.example:443 ", "GET /a?b=c"), Some("/a?b=c\nhttp://shop.example/a?b=c")),
        ("combined", line("shop.example ", r"GET /a\x22"), Some("/a\"\nhttp://shop.example/a\"")),
        ("combined", line("shop.example ", "GET http://a.example/b"), Some("http://a.example/b")),
        ("combined", line("", "CONNECT a.example:443"), Some("a.example:443")),
        ("combined", line("", "junk"), None),
        ("alb", ALB.to_owned(), Some("https://shop.example:443/api/v1/login?x=1")),
        ("json", CADDY.to_owned(), Some("/api/orders/17?x=1\nhttp://shop.example/api/orders/17?x=1")),
        ("json", r#"{"cs-method":"GET","cs-uri-query":"/x","cs-host":"shop.example"}"#.to_owned(), None),
    ] {
        let mut decoder = Decoder::new(format.parse().unwrap(), Arc::clone(&schema), Arc::default());
        let mut event = Event::new(&schema);
        decoder.decode(&line, &mut event).unwrap();
        assert_eq!(event.get(field::URL_FULL).to_text().as_deref(), expected, "{line}");
    }
    check("combined", &line("", "GET /a?b=c"), "url.full=");
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
    check("alb", &ALB.replace(" 0.086 ", " inf "), "event.duration_seconds=\nclient=203.0.113.7");
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
    assert_eq!(format.after("\u{feff}#Fields: date\n"), format.after("#Fields: date\n"));
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
fn a_format_is_known_by_its_name_and_header() {
    let w3c: Format = "w3c".parse().unwrap();
    for format in [
        Format::Combined,
        Format::Json,
        w3c.clone(),
        w3c.after("#Fields: date time c-ip sc-status\r\n"),
        w3c.after("#Date: 2026-11-24 01:02:03\n"),
        w3c.after("#Fields: date\ttime x-edge-location\tcs-uri-stem\n#Date: 2026-11-24\n"),
        w3c.after("#Fields:\n"),
    ] {
        let named: Format = format.to_string().parse().unwrap();
        assert_eq!(named.after(&format.header()), format);
    }
}
