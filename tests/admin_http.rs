//! /healthz, /readyz, /metrics, /tree.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::http::{get, try_get};
use crate::support::{Daemon, PATIENCE, Setup, wait_for, wait_until};

#[test]
fn a_running_daemon_is_healthy_and_ready() {
    let daemon = Daemon::start();
    assert_eq!(get(daemon.admin(), "/healthz"), (200, "ok\n".to_owned()));
    let (status, body) = get(daemon.admin(), "/readyz");
    assert_eq!(status, 200);
    assert!(body.contains(r#""ready":true"#), "{body}");
    assert_eq!(get(daemon.admin(), "/").0, 200);
    assert_eq!(get(daemon.admin(), "/nothing").0, 404);
    let (status, tree) = get(daemon.admin(), "/tree");
    assert!(status == 200 && tree.contains("shard-0"), "{tree}");
}

#[test]
fn metrics_follow_what_happens() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    for i in 0..10 {
        client.run(&format!("SET k{i} v"));
        client.run(&format!("GET k{i}"));
    }
    let text = wait_for("the hits are counted", || {
        let (status, text) = get(daemon.admin(), "/metrics");
        assert_eq!(status, 200);
        let hits: f64 = text
            .lines()
            .filter(|line| line.starts_with("seawall_cache_hits_total"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        (hits >= 10.0).then_some(text)
    });
    assert!(text.trim_end().ends_with("# EOF"));
    // Every family that is shown is documented.
    let documented = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md"),
    )
    .expect("docs/metrics.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let family = line.split(' ').next().unwrap_or_default();
        assert!(documented.contains(family), "{family} is not documented");
    }
}

#[test]
fn other_methods_and_large_bodies_are_refused() {
    let daemon = Daemon::start();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(daemon.admin()).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.write_all(request.as_bytes()).expect("taken");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    let post =
        ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    let large = ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    assert!(large.starts_with("HTTP/1.1 413 "), "{large}");
    let garbage = ask("nonsense\r\n\r\n");
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    assert_eq!(get(daemon.admin(), "/healthz").0, 200);
}

#[test]
fn it_is_not_ready_while_it_drains() {
    let mut daemon = Setup::new().with("supervision.grace", r#""10s""#).start();
    let admin = daemon.admin();
    // A client that takes no replies holds the drain up.
    let mut deaf = daemon.connect();
    deaf.call(&["SET", "k", &"x".repeat(1_000_000)]);
    for _ in 0..50 {
        deaf.send(&["GET", "k"]);
    }
    daemon.signal(rustix::process::Signal::TERM);
    wait_until("it is no longer ready", || {
        // Closed is as good as saying so.
        try_get(admin, "/readyz").map_or(true, |(status, _)| status == 503)
    });
    drop(deaf);
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

#[test]
fn it_can_be_turned_off() {
    let mut daemon = Setup::new().with("admin.bind", r#""""#).start();
    let ready = daemon.wait_log("ready", |line| line["message"] == "ready");
    assert!(ready["admin"].is_null(), "{ready}");
    assert_eq!(daemon.connect().run("PING").text(), "PONG");
}
