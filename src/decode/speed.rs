//! What a line costs: `cargo test --release decode::speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use super::{Decoder, Format, Settings};
use crate::event::{Event, Schema};

const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36";

fn combined_lines(request: impl Fn(usize) -> String) -> Vec<String> {
    (0..5_000)
        .map(|n| {
            format!(
                "203.0.113.{} - - [24/Nov/2026:10:{:02}:{:02} +0000] \"{}\" {} {} \"https://shop.example/list\" \"{AGENT}\"",
                n % 250,
                n / 600 % 60,
                n / 10 % 60,
                request(n),
                [200, 200, 304, 404][n % 4],
                n * 7,
            )
        })
        .collect()
}

/// Nanoseconds a line of the best of some passes.
fn best(lines: &[String], mut pass: impl FnMut(&[String])) -> f64 {
    (0..60)
        .map(|_| {
            let start = Instant::now();
            pass(lines);
            start.elapsed().as_nanos() as f64 / lines.len() as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn decode_all(format: &Format, lines: &[String]) -> f64 {
    let schema = Arc::new(Schema::new());
    let mut decoder = Decoder::new(format.clone(), Arc::clone(&schema), Arc::new(Settings::default()));
    best(lines, |lines| {
        let mut event = Event::new(&schema);
        for line in lines {
            event.clear();
            decoder.decode(line, &mut event).unwrap();
            black_box(&event);
        }
    })
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_a_line() {
    let page = |n: usize| format!("GET /products/list?category=shoes&page={} HTTP/1.1", n % 50);
    let ordinary = combined_lines(page);
    let floor = best(&ordinary, |lines| {
        for line in lines {
            black_box(memchr::memchr3_iter(b'"', b'[', b'\\', line.as_bytes()).count());
        }
    });
    println!(
        "{:5.0} bytes a line",
        ordinary.iter().map(String::len).sum::<usize>() as f64 / ordinary.len() as f64
    );
    println!("{floor:7.1} ns  memchr alone");
    for (name, lines) in [
        ("combined, page", ordinary),
        ("combined, static", combined_lines(|n| format!("GET /assets/app/chunk-main-{n}.js HTTP/1.1"))),
        ("combined, object", combined_lines(|n| format!("GET /api/orders/{n}/items HTTP/1.1"))),
        ("combined, encoded", combined_lines(|n| format!("GET /search?q=red+shoes%20{n} HTTP/1.1"))),
        ("combined, login", combined_lines(|_| "POST /login HTTP/1.1".into())),
        ("combined, other post", combined_lines(|n| format!("POST /api/cart/items?n={n} HTTP/1.1"))),
    ] {
        println!("{:7.1} ns  {name}", decode_all(&Format::Combined, &lines));
    }
    let json: Vec<String> = (0..5_000)
        .map(|n| {
            format!(
                r#"{{"time_iso8601":"2026-11-24T10:00:{:02}+00:00","remote_addr":"203.0.113.{}","request_method":"GET","request_uri":"/products/list?page={n}","status":200,"body_bytes_sent":{n},"http_referer":"-","http_user_agent":"{AGENT}"}}"#,
                n % 60,
                n % 250
            )
        })
        .collect();
    println!("{:7.1} ns  json, nginx", decode_all(&Format::Json, &json));
    let sigma: Vec<String> = (0..5_000)
        .map(|n| format!(r#"{{"cs-method":"GET","cs-uri-query":"/products/list?page={n}","sc-status":200,"cs-user-agent":"{AGENT}"}}"#))
        .collect();
    println!("{:7.1} ns  json, fields by name", decode_all(&Format::Json, &sigma));
}
