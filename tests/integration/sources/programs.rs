//! Real servers and shippers, where they are installed; required when `WATCHBELL_REQUIRE_PROGRAMS` is 1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use watchbell::decode::Format;

use super::{Engine, assert_all_once, line, until};

/// Whether a program is there. If not, the test has nothing to do, and says so.
fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let is_there = path.split(':').any(|dir| Path::new(dir).join(program).is_file());
    if !is_there {
        assert!(
            std::env::var("WATCHBELL_REQUIRE_PROGRAMS").as_deref() != Ok("1"),
            "{program} is required and not installed"
        );
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

/// A program that ends with the test.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal("-TERM");
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn start_nginx(dir: &Path, access_log: &str) -> (Program, SocketAddr) {
    let address = free_address();
    let dir_name = dir.display();
    let config = format!(
        "user root;\ndaemon off;\nworker_processes 2;\npid {dir_name}/pid;\nerror_log {dir_name}/error.log;\n\
         events {{}}\nhttp {{\n access_log {access_log};\n client_body_temp_path {dir_name}/body;\n\
         proxy_temp_path {dir_name}/p;\nfastcgi_temp_path {dir_name}/f;\nuwsgi_temp_path {dir_name}/u;\n\
         scgi_temp_path {dir_name}/s;\n keepalive_requests 100000;\n\
         server {{ listen {address}; location / {{ return 204; }} }}\n}}\n"
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    let prefix = format!("{dir_name}/");
    command.args(["-p", &prefix, "-e", "error.log", "-c", "nginx.conf"]).stderr(Stdio::null());
    let nginx = Program::start(&mut command);
    until(|| TcpStream::connect(address).is_ok(), || "nginx does not listen".to_owned()).await;
    (nginx, address)
}

/// Asks for `/0`, `/1`, ... one after the other.
fn ask(address: SocketAddr, numbers: std::ops::Range<usize>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = [0; 4096];
    for number in numbers {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 204"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_to_nginx_is_seen_once_while_its_log_is_rotated() {
    if !is_installed("nginx") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let (nginx, address) = start_nginx(dir.path(), &path.display().to_string()).await;
    let engine = Engine::new();
    let config = format!("type = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"", path.display());
    let source = engine.start(&config, None).await.unwrap();
    let (count, clients) = (20_000, 4);
    let share = count / clients;
    let askers: Vec<_> = (0..clients)
        .map(|client| std::thread::spawn(move || ask(address, client * share..(client + 1) * share)))
        .collect();
    let mut rotations = 0;
    while !askers.iter().all(std::thread::JoinHandle::is_finished) {
        let before = engine.count();
        engine.wait_for_lines((before + 2_000).min(count)).await;
        rotations += 1;
        std::fs::rename(&path, dir.path().join(format!("access.log.{rotations}"))).unwrap();
        nginx.signal("-USR1");
        until(|| path.exists(), || "nginx does not open its log anew".to_owned()).await;
    }
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    engine.wait_for_lines(count).await;
    source.stop().await;
    assert!(rotations > 3, "{rotations}");
    assert_all_once(&engine.lines(), count);
    assert_eq!(engine.format(&path.display().to_string()), Some(Format::Combined));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sends_its_log_by_syslog() {
    if !is_installed("nginx") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new();
    let config = "type = \"syslog\"\nlisten = \"127.0.0.1:0\"\ntransport = \"udp\"";
    let source = engine.start(config, None).await.unwrap();
    let log = format!("syslog:server={},tag=shop,severity=info combined", source.address());
    let (_nginx, address) = start_nginx(dir.path(), &log).await;
    let count = 1_000;
    for start in (0..count).step_by(50) {
        ask(address, start..start + 50);
        // Slow enough for a small buffer of the kernel.
        engine.wait_for_metric("lines_total", None, (start + 50) as f64).await;
    }
    engine.wait_for_lines(count).await;
    source.stop().await;
    assert_all_once(&engine.log("test/shop"), count);
    assert_eq!(engine.format("test/shop"), Some(Format::Combined));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_ships_a_file_over_tcp() {
    if !is_installed("rsyslogd") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir_name = dir.path().display();
    let engine = Engine::new();
    let config = "type = \"syslog\"\nlisten = \"127.0.0.1:0\"\ntransport = \"tcp\"";
    let source = engine.start(config, None).await.unwrap();
    let config = format!(
        "global(workDirectory=\"{dir_name}\")\nmodule(load=\"imfile\")\n\
         input(type=\"imfile\" File=\"{dir_name}/access.log\" Tag=\"shop\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"tcp\" \
         TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\")\n",
        source.address().port()
    );
    std::fs::write(dir.path().join("rsyslog.conf"), config).unwrap();
    let count = 5_000;
    let text: String = (0..count).map(|number| line(number) + "\n").collect();
    std::fs::write(dir.path().join("access.log"), text).unwrap();
    let [pid, conf] = ["pid", "rsyslog.conf"].map(|name| dir.path().join(name));
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-i").arg(pid).arg("-f").arg(conf).stderr(Stdio::null());
    let _rsyslog = Program::start(&mut command);
    engine.wait_for_lines(count).await;
    source.stop().await;
    // What rsyslog says about itself has a name of its own.
    assert_all_once(&engine.log("test/shop"), count);
    assert_eq!(engine.format("test/shop"), Some(Format::Combined));
}
