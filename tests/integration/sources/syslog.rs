//! Syslog over real sockets.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use watchbell::decode::Format;

use super::{Engine, assert_all_once, line, until};

const TCP: &str = "type = \"syslog\"\nlisten = \"127.0.0.1:0\"\ntransport = \"tcp\"";
const UDP: &str = "type = \"syslog\"\nlisten = \"127.0.0.1:0\"\ntransport = \"udp\"";
const JSON: &str = r#"{"@timestamp":"2026-11-24T10:00:00Z","message":"x"}"#;

fn message(app: &str, text: &str) -> String {
    format!("<190>Nov 24 10:00:00 web1 {app}: {text}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_share_a_listener_have_their_own_logs() {
    for (config, is_udp) in [(TCP, false), (UDP, true)] {
        let engine = Engine::new();
        let source = engine.start(config, None).await.unwrap();
        let messages = [message("nginx", &line(0)), message("app", JSON), message("nginx", &line(1))];
        if is_udp {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for message in &messages {
                socket.send_to(message.as_bytes(), source.address()).unwrap();
            }
        } else {
            let mut stream = TcpStream::connect(source.address()).unwrap();
            let [first, second, third] = &messages;
            // Both ways of saying where a message ends, told apart message by message.
            write!(stream, "{first}\n{} {second}{} {third}", second.len(), third.len()).unwrap();
        }
        engine.wait_for_lines(3).await;
        assert_eq!(engine.log("test/nginx"), [line(0), line(1)]);
        assert_eq!(engine.log("test/app"), [JSON]);
        assert_eq!(engine.format("test/nginx"), Some(Format::Combined));
        assert_eq!(engine.format("test/app"), Some(Format::Json));
        assert_eq!(engine.metric("lines_total", None), 3.0);
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_that_find_no_room_are_counted() {
    let engine = Engine::new();
    engine.stall(true);
    let source = engine.start(UDP, None).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    // Read before the next is sent, so that nothing is lost on the way.
    while engine.metric("dropped_lines_total", None) < 100.0 {
        for _ in 0..50 {
            socket.send_to(message("nginx", &line(sent)).as_bytes(), source.address()).unwrap();
            sent += 1;
        }
        engine.wait_for_metric("lines_total", None, sent as f64).await;
    }
    let dropped = engine.metric("dropped_lines_total", None) as usize;
    engine.stall(false);
    engine.wait_for_lines(sent - dropped).await;
    source.stop().await;
    assert_eq!(engine.count(), sent - dropped);
}

#[tokio::test]
async fn datagrams_that_the_kernel_dropped_are_counted() {
    let engine = Engine::new();
    let source = engine.start(UDP, None).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // On a runtime of one thread nothing is received before the test waits: the buffer overflows.
    let sent = 20_000;
    for number in 0..sent {
        socket.send_to(message("nginx", &line(number)).as_bytes(), source.address()).unwrap();
    }
    let known = || engine.metric("lines_total", None) + engine.metric("dropped_lines_total", None);
    until(|| known() >= sent as f64, || format!("{} of {sent}", known())).await;
    assert!(engine.metric("lines_total", None) < sent as f64, "the buffer is larger than thought");
    source.stop().await;
    assert_eq!(known(), sent as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_waits_for_an_engine_that_is_behind() {
    let engine = Engine::new();
    engine.stall(true);
    let source = engine.start(TCP, None).await.unwrap();
    let address = source.address();
    let count = 150_000;
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for number in 0..count {
            let message = message("nginx", &line(number));
            write!(stream, "{} {message}", message.len()).unwrap();
        }
    });
    engine.wait_for_metric("lines_total", None, 5_000.0).await;
    assert!(!sender.is_finished(), "the sender has to wait");
    engine.stall(false);
    engine.wait_for_lines(count).await;
    sender.join().unwrap();
    source.stop().await;
    assert_all_once(&engine.lines(), count);
    assert_eq!(engine.metric("connections", None), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_has_lost_count_is_closed_and_the_next_is_read() {
    let engine = Engine::new();
    let source = engine.start(TCP, None).await.unwrap();
    let mut stream = TcpStream::connect(source.address()).unwrap();
    let good = message("nginx", &line(0));
    write!(stream, "{} {good}{good}", good.len()).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
    let mut stream = TcpStream::connect(source.address()).unwrap();
    // Not ended by anything but the end of the connection.
    write!(stream, "{}", message("nginx", &line(1))).unwrap();
    drop(stream);
    engine.wait_for_lines(2).await;
    assert_eq!(engine.metric("errors_total", Some("framing")), 1.0);
    source.stop().await;
    assert_all_once(&engine.lines(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_end_are_refused_and_those_that_are_open_go_on() {
    let engine = Engine::new();
    let source = engine.start(TCP, None).await.unwrap();
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..256 {
        streams.push(TcpStream::connect(source.address()).unwrap());
    }
    engine.wait_for_metric("connections", None, 256.0).await;
    let mut refused = TcpStream::connect(source.address()).unwrap();
    refused.set_read_timeout(Some(super::DEADLINE)).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    assert_eq!(engine.metric("errors_total", Some("too_many_connections")), 1.0);
    writeln!(streams[255], "{}", message("nginx", &line(0))).unwrap();
    engine.wait_for_lines(1).await;
    streams.clear();
    until(|| engine.metric("connections", None) == 0.0, || "they are not closed".to_owned()).await;
    let mut stream = TcpStream::connect(source.address()).unwrap();
    writeln!(stream, "{}", message("nginx", &line(1))).unwrap();
    engine.wait_for_lines(2).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_may_send_are_heard() {
    let engine = Engine::new();
    let source = engine.start(&format!("{TCP}\nallow = [\"192.0.2.0/24\"]"), None).await.unwrap();
    let mut stream = TcpStream::connect(source.address()).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    source.stop().await;
    let source = engine.start(&format!("{UDP}\nallow = [\"192.0.2.0/24\"]"), None).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(message("nginx", &line(0)).as_bytes(), source.address()).unwrap();
    engine.wait_for_metric("errors_total", Some("not_allowed"), 2.0).await;
    source.stop().await;
    assert!(engine.lines().is_empty());
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_to_know_them_and_a_taken_one_is_told() {
    let engine = Engine::new();
    for transport in ["tcp", "udp"] {
        let config =
            |listen, more| format!("type='syslog'\ntransport='{transport}'\nlisten='{listen}'\n{more}");
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let error = engine.start(&config(listen, ""), None).await.err().unwrap().to_string();
            assert!(error.contains("allow = ["), "{error}");
        }
        let source = engine.start(&config("0.0.0.0:0", "allow = ['127.0.0.0/8']"), None).await.unwrap();
        let taken = source.address().to_string();
        let error = engine.start(&config(&taken, "allow = ['127.0.0.0/8']"), None).await.err().unwrap();
        assert!(error.to_string().contains("another program"), "{error}");
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_pushes_what_waits() {
    let engine = Engine::new();
    let source = engine.start(TCP, None).await.unwrap();
    let mut stream = TcpStream::connect(source.address()).unwrap();
    writeln!(stream, "{}", message("nginx", &line(0))).unwrap();
    engine.wait_for_metric("lines_total", None, 1.0).await;
    // Its format is not decided yet, and the connection is open.
    source.stop().await;
    assert_eq!(engine.lines(), [line(0)]);
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_is_counted_by_what_is_wrong_with_it_and_blank_lines_are_none() {
    let engine = Engine::new();
    let source = engine.start(TCP, None).await.unwrap();
    for junk in ["\n \n\t\r\n<13>Nov 24 10:00:00 web1 app:  \n\0\n\u{feff}\n", "100 <13>half", "4 <1>a5x"] {
        let mut stream = TcpStream::connect(source.address()).unwrap();
        stream.write_all(junk.as_bytes()).unwrap();
        drop(stream);
    }
    let mut stream = TcpStream::connect(source.address()).unwrap();
    write!(stream, "{}", format_args!("<13>{}\n", "x".repeat(70_000))).unwrap();
    engine.wait_for_metric("errors_total", Some("too_long"), 1.0).await;
    engine.wait_for_metric("errors_total", Some("broken_off"), 1.0).await;
    engine.wait_for_metric("errors_total", Some("framing"), 1.0).await;
    until(|| engine.metric("connections", None) == 1.0, || "they are not closed".to_owned()).await;
    source.stop().await;
    assert_eq!(engine.metric("lines_total", None), 3.0, "what is half is read");
    assert_eq!(engine.count(), 3, "and what is blank is not passed on");
    assert_eq!(engine.metric("errors_total", Some("broken_off")), 1.0);
}
