//! Start, stop, signals, exit codes.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::support::{Daemon, PATIENCE, Raw, Reply, Setup, http, wait_until};

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start();
        assert_eq!(daemon.connect().run("PING").text(), "PONG");
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log_text());
    }
}

#[test]
fn what_was_received_before_sigterm_is_answered() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    // Large enough that the daemon is still at it when the signal comes.
    let count = 20_000;
    let mut pipeline = Vec::new();
    for _ in 0..count {
        pipeline.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n");
    }
    client.send_bytes(&pipeline);
    assert_eq!(client.receive(), Reply::Int(1));
    daemon.signal(Signal::TERM);
    let mut last = 1;
    while let Ok(reply) = client.try_receive() {
        assert_eq!(reply, Reply::Int(last + 1));
        last += 1;
    }
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log_text());
    daemon.restart();
    let kept = daemon.connect().run("GET n").text();
    // Each command that ran was answered, and each answer was kept.
    assert_eq!(kept, last.to_string());
}

/// A pause held the stop up for most of the grace, and its clients got no answer.
#[test]
fn a_pause_ends_with_the_stop_and_what_it_held_back_is_answered() {
    let mut daemon = Daemon::start();
    let (mut held, mut other) = (daemon.connect(), daemon.connect());
    let id = held.run("CLIENT ID").int();
    assert_eq!(other.run("CLIENT PAUSE 600000"), Reply::ok());
    held.send(&["SET", "k", "v"]);
    wait_until("it is held back", || {
        !other.run(&format!("CLIENT LIST ID {id}")).text().contains(" qbuf=0 ")
    });
    daemon.signal(Signal::TERM);
    assert_eq!(held.receive(), Reply::ok());
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log_text());
    daemon.restart();
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("v"));
}

#[test]
fn a_client_that_never_reads_cannot_keep_it_from_stopping() {
    let mut daemon = Setup::new().with("supervision.grace", r#""2s""#).start();
    let mut client = daemon.connect();
    client.call(&["SET", "k", &"x".repeat(1_000_000)]);
    for _ in 0..50 {
        client.send(&["GET", "k"]);
    }
    daemon.stop();
}

#[test]
fn a_second_signal_ends_it_at_once_with_1() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    client.call(&["SET", "k", &"x".repeat(1_000_000)]);
    // It takes no replies, so the drain waits for it.
    for _ in 0..50 {
        client.send(&["GET", "k"]);
    }
    daemon.signal(Signal::TERM);
    daemon.wait_log("the drain", |line| line["event"] == "stopping");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit().code(), Some(1), "{}", daemon.log_text());
}

#[test]
fn an_open_connection_does_not_delay_the_stop() {
    let mut daemon = Daemon::start();
    let mut idle = daemon.connect();
    assert_eq!(idle.run("PING").text(), "PONG");
    let start = std::time::Instant::now();
    daemon.stop();
    // The grace is 10 seconds: it was not waited for.
    assert!(start.elapsed().as_secs() < 8);
    assert!(idle.is_closed());
}

#[test]
fn sigusr1_logs_the_tree() {
    let mut daemon = Daemon::start();
    daemon.signal(Signal::USR1);
    let line = daemon.wait_log("the tree", |line| {
        line["message"].as_str().is_some_and(|m| m.starts_with("the tree\n"))
    });
    let text = line["message"].as_str().unwrap_or_default();
    for actor in ["root", "wal", "shard-0", "sweeper", "watcher", "front", "resp", "admin"] {
        assert!(text.contains(actor), "{actor} is missing in\n{text}");
    }
}

#[test]
fn a_second_daemon_on_the_same_data_ends_with_75() {
    let first = Daemon::start();
    let data = first.dir().join("data").display().to_string();
    let (code, log) = Setup::new().with("data.dir", &format!("{data:?}")).fails();
    assert_eq!(code, 75, "{log}");
    assert!(log.contains(&data), "{log}");
    assert_eq!(first.connect().run("PING").text(), "PONG");
}

#[test]
fn an_address_in_use_ends_it_with_71() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for key in ["server.bind", "admin.bind"] {
        let value =
            if key == "admin.bind" { format!("{address:?}") } else { format!("[{address:?}]") };
        let (code, log) = Setup::new().with(key, &value).fails();
        assert_eq!(code, 71, "{log}");
        assert!(log.contains(&address), "{log}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_ends_it_with_71() {
    let setup = Setup::new().with("data.dir", r#""file/data""#);
    std::fs::write(setup.dir().join("file"), "not a directory").expect("the test's folder");
    let (code, log) = setup.fails();
    assert_eq!(code, 71, "{log}");
    assert!(log.contains("file/data"), "{log}");
}

#[test]
fn everything_that_is_missing_is_said_in_one_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let setup = Setup::new()
        .with("data.dir", r#""file/data""#)
        .with("server.bind", &format!("[{address:?}]"));
    std::fs::write(setup.dir().join("file"), "").expect("the test's folder");
    let (code, log) = setup.fails();
    assert_eq!(code, 71, "{log}");
    assert!(log.contains("file/data") && log.contains(&address), "{log}");
}

#[test]
fn without_fail_fast_it_serves_with_what_there_is() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let daemon = Setup::new()
        .with("startup.fail_fast", "false")
        .with("server.bind", &format!(r#"["127.0.0.1:0", {address:?}]"#))
        .start();
    assert_eq!(daemon.connect().run("SET k v"), Reply::ok());
    let (status, body) = http::get(daemon.admin(), "/readyz");
    assert_eq!(status, 200);
    assert!(body.contains(&address), "what is missing is said: {body}");
}

#[test]
fn without_fail_fast_a_missing_data_directory_makes_a_pure_cache() {
    let setup = Setup::new().with("startup.fail_fast", "false").with("data.dir", r#""file/data""#);
    std::fs::write(setup.dir().join("file"), "").expect("the test's folder");
    let daemon = setup.start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET k v"), Reply::ok());
    assert_eq!(client.run("GET k"), Reply::bulk("v"));
    let (status, body) = http::get(daemon.admin(), "/readyz");
    assert_eq!(status, 200);
    assert!(body.contains("file/data"), "what is missing is said: {body}");
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_stops() {
    let setup = Setup::new();
    let path = setup.dir().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a datagram socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    let mut daemon = setup.env("NOTIFY_SOCKET", &path.display().to_string()).start();
    let mut buf = [0; 500];
    let mut told = || {
        let len = socket.recv(&mut buf).expect("a notification");
        String::from_utf8_lossy(&buf[..len]).into_owned()
    };
    assert!(told().contains("READY=1"));
    daemon.stop();
    assert!(told().contains("STOPPING=1"));
}

#[test]
fn a_socket_from_systemd_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut daemon = Setup::new().handing(listener.into()).start();
    assert_eq!(daemon.resp(), address);
    assert_eq!(Raw::tcp(address).run("PING").text(), "PONG");
    daemon.stop();
}

#[test]
fn an_empty_environment_and_a_closed_stdin_are_enough() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("check")
        .current_dir(dir.path())
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary runs");
    assert_eq!(child.status.code(), Some(0));
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(text.contains("max_memory"), "{text}");
}

#[test]
fn a_unix_socket_is_left_by_nobody_and_taken_over_from_the_dead() {
    let setup = Setup::new().with("server.unix_socket", r#""s""#);
    let path = setup.dir().join("s");
    let mut daemon = setup.start();
    assert_eq!(Raw::unix(&path).run("PING").text(), "PONG");
    daemon.kill();
    assert!(path.exists(), "a killed daemon cannot tidy up");
    daemon.restart();
    assert_eq!(Raw::unix(&path).run("PING").text(), "PONG");
    daemon.stop();
    wait_until("the socket is gone", || !path.exists());
}

#[test]
fn tree_without_a_daemon_ends_with_69() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["tree", "--addr", &free.to_string()])
        .current_dir(dir.path())
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn the_version_is_printed_and_nothing_else() {
    let mut text = String::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("version")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
    assert!(child.wait().expect("our child").success());
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn huge_pages_are_used_once_there_are_many_entries() {
    let daemon = Daemon::start();
    assert_eq!(daemon.status("THP_enabled"), "0", "an idle daemon keeps its pages small");
    let mut client = daemon.connect();
    let value = "v".repeat(1 << 20);
    for n in 0..20 {
        assert_eq!(client.call(&["SET", &format!("k{n}"), &value]).text(), "OK");
    }
    wait_until("the huge pages", || daemon.status("THP_enabled") == "1");
}
