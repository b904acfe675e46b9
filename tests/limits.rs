//! Everything has a bound, and a client that reaches one disturbs nobody else.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::support::raw::encode;
use crate::support::{Daemon, Raw, Reply, Setup, wait_for, wait_until};

/// Generous: what counts is that a neighbour waits for a round of a flood, not for all of it.
const RESPONSIVE: Duration = Duration::from_secs(3);

/// Runs `flood` while another client's PINGs are timed; the longest, and how many there were.
fn longest_ping_during(daemon: &Daemon, flood: impl FnOnce() + Send) -> (Duration, usize) {
    let over = Arc::new(AtomicBool::new(false));
    let (mut client, ended) = (daemon.connect(), Arc::clone(&over));
    std::thread::scope(|scope| {
        let pings = scope.spawn(move || {
            let (mut longest, mut count) = (Duration::ZERO, 0);
            while !ended.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(client.run("SET neighbour 1"), Reply::ok());
                longest = longest.max(start.elapsed());
                count += 1;
            }
            (longest, count)
        });
        flood();
        over.store(true, Ordering::Relaxed);
        pings.join().expect("the neighbour is served")
    })
}

#[test]
fn a_pipeline_of_a_million_commands_is_served_in_rounds() {
    const COMMANDS: usize = 1_000_000;
    let daemon = Setup::new().with("wal.enabled", "false").start();
    let (mut reader, mut writer) = {
        let stream = std::net::TcpStream::connect(daemon.resp()).expect("the daemon accepts");
        (stream.try_clone().expect("a second handle"), stream)
    };
    let (longest, count) = longest_ping_during(&daemon, || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let block = encode(&["GET", "absent"]).repeat(1000);
                for _ in 0..COMMANDS / 1000 {
                    std::io::Write::write_all(&mut writer, &block).expect("it takes all of it");
                }
            });
            let mut left = COMMANDS * b"$-1\r\n".len();
            let mut buffer = vec![0; 1 << 16];
            while left > 0 {
                let n = std::io::Read::read(&mut reader, &mut buffer).expect("it answers all");
                assert!(n > 0, "closed with {left} bytes to come");
                left -= n;
            }
        });
    });
    assert!(longest < RESPONSIVE, "a neighbour waited {longest:?}");
    // Behind all of the flood it would be once or twice; how often is the machine's affair.
    assert!(count > 4, "a neighbour was served {count} times only");
}

#[test]
fn a_client_that_never_reads_is_bounded_and_disturbs_nobody() {
    let daemon = Setup::new()
        .with("server.output_buffer", r#""4MB""#)
        .with("validation.max_value", r#""1MB""#)
        .with("wal.enabled", "false")
        .start();
    let mut deaf = daemon.connect();
    deaf.call(&["SET", "large", &"x".repeat(100_000)]);
    let before = daemon.resident_kb();
    // A gigabyte of replies is asked for.
    let block = encode(&["GET", "large"]).repeat(100);
    let (longest, _) = longest_ping_during(&daemon, || {
        for _ in 0..100 {
            if deaf.try_send(&block).is_err() {
                break;
            }
        }
        // CLIENT LIST tells so while the daemon waits for it: at least half of what it may owe.
        let mut observer = daemon.connect();
        wait_until("it is owed replies", || owed(&mut observer) >= 2_000_000);
    });
    let grown = daemon.resident_kb().saturating_sub(before);
    assert!(grown < 100_000, "it holds {grown} kB for a client that does not read");
    assert!(longest < RESPONSIVE, "a neighbour waited {longest:?}");
}

/// The most bytes of replies that wait for one client.
fn owed(observer: &mut Raw) -> u64 {
    let list = observer.run("CLIENT LIST").text();
    let fields = list.split_whitespace().filter_map(|field| field.strip_prefix("omem="));
    fields.map(|bytes| bytes.parse().expect("a number")).max().unwrap_or(0)
}

/// A request of some kilobytes had the daemon take gigabytes.
#[test]
fn a_reply_has_a_bound_whatever_a_small_request_asks_for() {
    let daemon = Setup::new()
        .with("server.output_buffer", r#""4MB""#)
        .with("validation.max_value", r#""1MB""#)
        .start();
    let mut client = daemon.connect();
    client.call(&["SET", "large", &"x".repeat(1_000_000)]);
    let before = daemon.resident_kb();
    let words = [&["MGET"][..], &["large"; 1000]].concat();
    let refused = client.call(&words);
    assert!(refused.text().contains("larger than server.output_buffer (4000000)"), "{refused:?}");
    assert_eq!(client.call(&["MGET", "large", "large", "large"]).items().len(), 3);
    assert_eq!(client.run("MULTI"), Reply::ok());
    for _ in 0..1000 {
        client.run("GET large");
    }
    client.run("INCR n");
    let Reply::Array(replies) = client.run("EXEC") else { panic!("an array") };
    assert_eq!(replies.iter().filter(|reply| !reply.is_error()).count(), 4);
    assert_eq!((replies.len(), replies.last()), (1001, Some(&Reply::Int(1))));
    assert!(replies[3].text().contains("executed; the reply is left out"), "{:?}", replies[3]);
    let grown = daemon.resident_kb().saturating_sub(before);
    assert!(grown < 60_000, "{grown} kB for replies of at most 4 MB");
}

#[test]
fn a_declared_length_allocates_nothing() {
    let daemon = Daemon::start();
    let before = daemon.resident_kb();
    let mut clients: Vec<Raw> = (0..50).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        client.send_bytes("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\nonly a little");
    }
    for client in &mut clients[..10] {
        client.send_bytes("and a little more");
    }
    assert_eq!(daemon.connect().run("PING").text(), "PONG");
    let grown = daemon.resident_kb().saturating_sub(before);
    assert!(grown < 50_000, "three gigabytes were declared, {grown} kB were taken");
    let mut client = daemon.connect();
    client.send_bytes("*1048577\r\n");
    assert!(client.rest().contains("invalid multibulk length"));
}

#[test]
fn a_request_beyond_the_query_buffer_ends_the_connection() {
    let daemon = Setup::new()
        .with("server.query_buffer", r#""1500KB""#)
        .with("validation.max_value", r#""100KB""#)
        .start();
    let mut client = daemon.connect();
    client.send_bytes("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
    assert!(client.rest().contains("invalid bulk length"));
    // Many small arguments, each allowed, and no end.
    let mut client = daemon.connect();
    client.send_bytes("*1000000\r\n");
    let block = "$2\r\nab\r\n".repeat(10_000);
    wait_until("it is closed", || client.try_send(&block).is_err());
}

#[test]
fn one_client_too_many_is_told_so() {
    let daemon = Setup::new().with("server.max_clients", "3").start();
    let mut clients: Vec<Raw> = (0..3).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    assert_eq!(daemon.connect().rest(), "-ERR max number of clients reached\r\n");
    clients.pop();
    wait_for("a place is free again", || {
        daemon.connect().try_run("PING").ok().filter(|reply| reply.text() == "PONG")
    });
}

#[test]
fn an_idle_client_is_closed_and_a_busy_one_is_not() {
    let daemon = Setup::new().with("server.idle_timeout", r#""1s""#).start();
    let (mut idle, mut busy) = (daemon.connect(), daemon.connect());
    idle.run("PING");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(idle.is_closed()));
    let closed = loop {
        assert_eq!(busy.run("PING").text(), "PONG");
        match told.recv_timeout(Duration::from_millis(20)) {
            Err(RecvTimeoutError::Timeout) => {}
            end => break end,
        }
    };
    assert_eq!(closed, Ok(true));
    assert_eq!(busy.run("PING").text(), "PONG");
}

#[test]
fn strangers_get_little_before_the_password() {
    let daemon = Setup::new().with("server.requirepass", r#""secret""#).start();
    let mut client = daemon.connect();
    assert_eq!(client.run("GET k").text(), "NOAUTH Authentication required.");
    assert_eq!(
        client.run("AUTH wrong").text(),
        "WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(client.run("AUTH secret"), Reply::ok());
    assert_eq!(client.run("SET k v"), Reply::ok());
    let mut client = daemon.connect();
    client.send_bytes("*11\r\n");
    assert!(client.rest().contains("unauthenticated multibulk length"));
    let mut client = daemon.connect();
    client.send_bytes("*2\r\n$4\r\nECHO\r\n$16385\r\n");
    assert!(client.rest().contains("unauthenticated bulk length"));
    // What follows AUTH in the same segment is under the limits of the trusted.
    let mut client = daemon.connect();
    let mut bytes = encode(&["AUTH", "secret"]);
    bytes.extend(encode(&["SET", "big", &"x".repeat(20_000)]));
    client.send_bytes(bytes);
    assert_eq!((client.receive(), client.receive()), (Reply::ok(), Reply::ok()));
}

#[test]
fn protected_mode_refuses_who_is_not_from_here() {
    // Another address of this machine than loopback stands for a remote client.
    let Some(own) = own_address() else {
        println!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let daemon =
        Setup::new().with("server.bind", &format!(r#"["{own}:0", "127.0.0.1:0"]"#)).start();
    assert!(Raw::tcp(daemon.resp()).rest().starts_with("-DENIED "));
    let open = Setup::new()
        .with("server.bind", &format!(r#"["{own}:0"]"#))
        .with("server.requirepass", r#""secret""#)
        .start();
    assert_eq!(Raw::tcp(open.resp()).run("AUTH secret"), Reply::ok());
}

fn own_address() -> Option<std::net::IpAddr> {
    // Nothing is sent: connecting a datagram socket only asks for the route.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && TcpListener::bind((ip, 0)).is_ok()).then_some(ip)
}

#[test]
fn http_on_the_resp_port_is_cut_off_and_logged() {
    let mut daemon = Daemon::start();
    for request in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n", "Host: x\r\nSET a b\r\n"] {
        let mut client = daemon.connect();
        client.send_bytes(request);
        assert_eq!(client.rest(), "");
    }
    daemon.wait_log("the warning", |line| {
        line["message"].as_str().is_some_and(|m| m.contains("possible attack"))
    });
    assert_eq!(daemon.connect().run("GET a"), Reply::Nil);
}

/// Anybody who can connect could fill the disk that takes the log.
#[test]
fn strangers_cannot_flood_the_log() {
    let mut daemon = Setup::new().with("server.requirepass", r#""secret""#).start();
    let mut client = daemon.connect();
    client.send_bytes("AUTH wrong\r\n".repeat(1000));
    (0..1000).for_each(|_| assert!(client.receive().is_error()));
    for _ in 0..100 {
        let mut client = daemon.connect();
        client.send_bytes("*1\r\nnonsense\r\n");
        assert!(client.rest().starts_with("-ERR Protocol error"));
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait_exit().code(), Some(0));
    let log = daemon.log_text();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    let complaints = lines("login failed") + lines("connection closed");
    // Twenty at once, and one for each second that this took.
    assert!((20..60).contains(&complaints), "{complaints} lines about clients");
    assert!(lines("\"withheld\":0") >= 20, "{log}");
}

#[test]
fn keys_values_and_times_are_validated() {
    let daemon = Setup::new()
        .with("validation.max_value", r#""1KB""#)
        .with("validation.max_key_length", "10")
        .start();
    let mut client = daemon.connect();
    for (words, names) in [
        (vec!["SET".to_owned(), String::new(), "v".into()], "empty"),
        (vec!["SET".into(), "k".repeat(11), "v".into()], "max_key_length (10)"),
        (vec!["SET".into(), "a\nb".into(), "v".into()], "control character"),
        (vec!["SET".into(), "k".into(), "v".repeat(1001)], "max_value (1000)"),
        (vec!["SETRANGE".into(), "k".into(), "1000".into(), "v".into()], "max_value (1000)"),
        (vec!["SET".into(), "k".into(), "v".into(), "EX".into(), "99999999".into()], "max_ttl"),
        (vec!["EXPIRE".into(), "there".into(), "99999999".into()], "max_ttl"),
    ] {
        client.run("SET there 1");
        let reply = client.call(&words);
        assert!(reply.is_error() && reply.text().contains(names), "{words:?}: {reply:?}");
    }
    assert!(client.call(&[&b"SET"[..], &b"\xff\xfe"[..], b"v"]).text().contains("not UTF-8"));
    assert_eq!(client.call(&["SET", "äöüäöüäöüä", "v"]), Reply::ok());
}

#[test]
fn binary_keys_are_any_bytes_if_allowed() {
    let daemon = Setup::new().with("validation.binary_keys", "true").start();
    let mut client = daemon.connect();
    assert_eq!(client.call(&[&b"SET"[..], &b"\xff\x00\r\n"[..], b"v"]), Reply::ok());
    assert_eq!(client.call(&[&b"GET"[..], &b"\xff\x00\r\n"[..]]), Reply::bulk("v"));
}

#[test]
fn the_least_recently_used_goes_exactly() {
    let daemon = Setup::new().with("cache.shards", "1").with("cache.max_entries", "100").start();
    let mut client = daemon.connect();
    for i in 0..100 {
        client.run(&format!("SET k{i} {i}"));
    }
    // Every third is used, from the newest to the oldest: these outlive all others.
    for i in (0..100).rev().filter(|i| i % 3 == 0) {
        client.run(&format!("GET k{i}"));
    }
    let mut order: Vec<usize> = (0..100).filter(|i| i % 3 != 0).collect();
    order.extend((0..100).rev().filter(|i| i % 3 == 0));
    for (n, gone) in order.into_iter().enumerate() {
        client.run(&format!("SET new{n} {n}"));
        assert_eq!(client.run(&format!("EXISTS k{gone}")), Reply::Int(0), "after {n}");
        assert_eq!(client.run("DBSIZE"), Reply::Int(100));
    }
}

#[test]
fn noeviction_refuses_as_redis_does_and_goes_on_reading() {
    let daemon = Setup::new()
        .with("cache.shards", "1")
        .with("cache.max_entries", "2")
        .with("cache.eviction", r#""noeviction""#)
        .start();
    let mut client = daemon.connect();
    assert_eq!(client.run("MSET a 1 b 2"), Reply::ok());
    let refused = client.run("SET c 3");
    assert_eq!(refused.text(), "OOM command not allowed when used memory > 'maxmemory'.");
    assert_eq!(client.run("GET a"), Reply::bulk("1"));
    assert_eq!(client.run("DEL a"), Reply::Int(1));
    assert_eq!(client.run("SET c 3"), Reply::ok());
}

#[test]
fn memory_stays_under_its_limit() {
    let daemon = Setup::new()
        .with("cache.max_memory", r#""1MB""#)
        .with("cache.max_entries", "0")
        .with("wal.enabled", "false")
        .start();
    let mut client = daemon.connect();
    let value = "x".repeat(1000);
    for i in 0..5000 {
        assert_eq!(client.call(&["SET", &format!("k{i}"), &value]), Reply::ok());
    }
    let held = client.run("DBSIZE").int();
    assert!((100..1000).contains(&held), "{held} values of 1000 bytes in 1 MB");
}
