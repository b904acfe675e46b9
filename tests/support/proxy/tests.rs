//! Every fault does what it says: each test fails where it does nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::scan::{Scanner, Step};
use super::{Cut, Door, Flow, Proxy, To};
use crate::support::{Daemon, Raw, Reply, wait_until};

/// In this time a reply comes that nothing keeps back; long enough on a busy machine.
const SOON: Duration = Duration::from_millis(150);

fn before_a_daemon() -> (Daemon, Proxy) {
    let daemon = Daemon::start();
    let proxy = Proxy::before(daemon.resp());
    (daemon, proxy)
}

/// Nothing comes on it.
#[track_caller]
fn stays_silent(client: &mut Raw) {
    client.patience(SOON);
    let error = client.try_receive().expect_err("nothing is to come");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    client.patience(crate::support::PATIENCE);
}

/// Bytes that come before the end of the connection, and how that ends.
fn until_the_end(address: SocketAddr, request: &[u8]) -> (Vec<u8>, Cut) {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(crate::support::PATIENCE)).expect("a socket");
    let mut bytes = Vec::new();
    // A reset may be quicker than the request.
    if stream.write_all(request).is_err() {
        return (bytes, Cut::Reset);
    }
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, Cut::Close),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, Cut::Reset),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_passes_is_unchanged_and_counted() {
    let (_daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    let large = "x".repeat(300_000);
    assert_eq!(client.call(&["SET", "large", &large]), Reply::ok());
    for i in 0..500 {
        client.send(&["INCR", "n"]);
        client.send(&["get", if i % 100 == 0 { "large" } else { "n" }]);
    }
    for i in 0..500 {
        assert_eq!(client.receive(), Reply::Int(i + 1));
        let expected = if i % 100 == 0 { large.clone() } else { (i + 1).to_string() };
        assert!(client.receive() == Reply::bulk(expected), "reply {i}");
    }
    assert!(!client.run("HELLO 3").is_error());
    assert_eq!(client.run("CLIENT GETNAME"), Reply::Nil);
    let counts = proxy.counts();
    assert_eq!((counts.of("GET"), counts.of("INCR"), counts.of("CLIENT GETNAME")), (500, 500, 1));
    assert_eq!((counts.open, counts.total, counts.in_flight), (1, 1, 0));
    assert!(counts.peak_in_flight > 1);
    assert!(counts.sent > 300_000 && counts.received > 5 * 300_000, "{counts:?}");
    drop(client);
    wait_until("the connection is gone", || proxy.counts().open == 0);
    proxy.forget();
    assert_eq!((proxy.counts().of("GET"), proxy.counts().total), (0, 0));
}

#[test]
fn a_door_is_shut_in_every_way() {
    let (_daemon, proxy) = before_a_daemon();
    let mut old = Raw::tcp(proxy.address());
    assert_eq!(old.run("PING").text(), "PONG");
    let connect = || TcpStream::connect_timeout(&proxy.address(), SOON);
    for _ in 0..2 {
        proxy.door(Door::Refused);
        assert_eq!(connect().expect_err("refused").kind(), ErrorKind::ConnectionRefused);
        proxy.door(Door::Unreachable);
        assert_eq!(connect().expect_err("unreachable").kind(), ErrorKind::TimedOut);
        proxy.forget();
        proxy.door(Door::Slammed);
        assert_eq!(until_the_end(proxy.address(), b""), (Vec::new(), Cut::Reset));
        assert_eq!(proxy.counts().total, 1);
        assert_eq!(old.run("PING").text(), "PONG", "an old connection stays");
        proxy.door(Door::Open);
        assert_eq!(Raw::tcp(proxy.address()).run("PING").text(), "PONG");
    }
}

#[test]
fn what_is_held_comes_later_and_what_is_lost_never_does() {
    let (daemon, proxy) = before_a_daemon();
    let mut direct = daemon.connect();
    let mut client = Raw::tcp(proxy.address());
    proxy.requests(Flow::Hold);
    client.send(&["SET", "held", "1"]);
    stays_silent(&mut client);
    assert_eq!(direct.run("GET held"), Reply::Nil);
    assert_eq!(proxy.counts().in_flight, 1);
    proxy.heal();
    assert_eq!(client.receive(), Reply::ok());

    proxy.hang();
    let mut newcomer = Raw::tcp(proxy.address());
    newcomer.send(&["PING"]);
    stays_silent(&mut newcomer);
    proxy.heal();
    assert_eq!(newcomer.receive().text(), "PONG");

    // Half open: the write happens, and nobody hears of it.
    proxy.replies(Flow::Lose);
    client.send(&["SET", "lost", "1"]);
    wait_until("the request passes", || direct.run("GET lost") == Reply::bulk("1"));
    stays_silent(&mut client);
    proxy.heal();
    // Not even what came later: it would be taken for the reply that is lost.
    client.send(&["SET", "behind", "1"]);
    wait_until("the request passes", || direct.run("GET behind") == Reply::bulk("1"));
    stays_silent(&mut client);

    let mut client = Raw::tcp(proxy.address());
    proxy.requests(Flow::Lose);
    client.send(&["SET", "never", "1"]);
    stays_silent(&mut client);
    proxy.heal();
    client.send(&["SET", "nor this", "1"]);
    stays_silent(&mut client);
    assert_eq!(direct.run("EXISTS never"), Reply::Int(0));
    assert_eq!(direct.call(&["EXISTS", "nor this"]), Reply::Int(0));
    assert_eq!(Raw::tcp(proxy.address()).run("PING").text(), "PONG");
}

#[test]
fn a_transaction_that_is_refused_in_parts_is_executed_in_none() {
    let (daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    for (to, refused) in [
        (To::Only(&["MULTI"]), [0, 1, 2, 3].as_slice()),
        (To::Only(&["SET"]), &[1]),
        (To::Only(&["INCR"]), &[2]),
        (To::Only(&["EXEC"]), &[3]),
    ] {
        proxy.answer(to, "-LOADING wait", 1);
        let lines = ["MULTI", "SET a 1", "INCR b", "EXEC"];
        lines.iter().for_each(|line| client.send(&line.split(' ').collect::<Vec<_>>()));
        for (n, line) in lines.iter().enumerate() {
            let reply = client.receive();
            let script = reply.is_error() && reply.text() == "LOADING wait";
            assert_eq!(script, refused.contains(&n), "{line}: {reply:?}");
        }
        assert_eq!(daemon.connect().run("EXISTS a b"), Reply::Int(0));
        assert_eq!(client.run("PING").text(), "PONG");
    }
}

#[test]
fn a_delay_delays_each_and_does_not_add_up() {
    let (_daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    assert_eq!(client.run("PING").text(), "PONG");
    let delay = Duration::from_millis(200);
    proxy.replies(Flow::Delay(delay));
    let begun = Instant::now();
    for _ in 0..20 {
        client.send(&["INCR", "n"]);
    }
    for n in 1..=20 {
        assert_eq!(client.receive(), Reply::Int(n));
        assert!(begun.elapsed() >= delay);
    }
    assert!(begun.elapsed() < 10 * delay, "{:?}", begun.elapsed());
}

#[test]
fn a_throttled_reply_comes_byte_by_byte() {
    let (_daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    client.send(&["ECHO", "hello"]);
    assert_eq!(client.receive(), Reply::bulk("hello"));
    proxy.replies(Flow::Throttle(10));
    let begun = Instant::now();
    client.send(&["ECHO", "hello"]);
    wait_until("the first byte passes", || proxy.counts().received > 11);
    assert_eq!(proxy.counts().received, 12);
    assert_eq!(client.receive(), Reply::bulk("hello"));
    // Eleven bytes, the first at once.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_reply_is_cut_at_the_byte() {
    let (_daemon, proxy) = before_a_daemon();
    for (after, how) in [(0, Cut::Reset), (3, Cut::Reset), (3, Cut::Close), (10, Cut::Close)] {
        proxy.replies(Flow::CutAfter(after, how));
        let (bytes, ended) = until_the_end(proxy.address(), b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n");
        assert_eq!(bytes, b"$5\r\nhello\r\n"[..after as usize]);
        assert_eq!(ended, how);
    }
    // The connection that has passed so many bytes already is not cut for that.
    proxy.heal();
    let mut client = Raw::tcp(proxy.address());
    assert_eq!(client.run("PING").text(), "PONG");
    proxy.replies(Flow::CutAfter(7, Cut::Close));
    assert_eq!(client.run("PING").text(), "PONG");
    assert!(client.try_run("PING").is_err());
}

#[test]
fn all_connections_are_cut_and_new_ones_are_not() {
    let (_daemon, proxy) = before_a_daemon();
    for how in [Cut::Close, Cut::Reset] {
        let mut clients = [Raw::tcp(proxy.address()), Raw::tcp(proxy.address())];
        for client in &mut clients {
            assert_eq!(client.run("PING").text(), "PONG");
        }
        proxy.cut(how);
        for client in &mut clients {
            assert!(client.is_closed());
        }
        wait_until("none is counted as open", || proxy.counts().open == 0);
    }
    assert_eq!(Raw::tcp(proxy.address()).run("PING").text(), "PONG");
}

#[test]
fn replies_are_replaced_whole() {
    let (_daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    assert_eq!(client.call(&["SET", "large", &"x".repeat(100_000)]), Reply::ok());
    proxy.replies(Flow::Replace(b"?garbage\r\n"));
    client.send(&["GET", "large"]);
    client.send(&["PING"]);
    for _ in 0..2 {
        let error = client.try_receive().expect_err("garbage");
        assert!(error.to_string().contains("?garbage"), "{error}");
    }
    proxy.heal();
    assert_eq!(client.run("PING").text(), "PONG");
}

#[test]
fn scripted_replies_come_in_their_turn() {
    let (daemon, proxy) = before_a_daemon();
    let mut client = Raw::tcp(proxy.address());
    proxy.answer(To::Only(&["SET"]), "-READONLY You can't write against a read only replica.", 2);
    for line in ["INCR n", "SET k 1", "INCR n", "SET k 2", "SET k 3", "GET k"] {
        client.send(&line.split(' ').collect::<Vec<_>>());
    }
    let replies: Vec<Reply> = (0..6).map(|_| client.receive()).collect();
    assert!(replies[1].is_error() && replies[3].is_error(), "{replies:?}");
    assert_eq!((&replies[0], &replies[2]), (&Reply::Int(1), &Reply::Int(2)));
    assert_eq!((&replies[4], &replies[5]), (&Reply::ok(), &Reply::bulk("3")));

    proxy.answer(To::Data, "-LOADING Redis is loading the dataset in memory", u64::MAX);
    assert!(client.run("GET k").is_error());
    assert!(!client.run("HELLO 3").is_error());
    proxy.answer(To::Any, "-MISCONF no", 1);
    assert!(client.run("PING").is_error());
    proxy.heal();
    assert_eq!(client.run("GET k"), Reply::bulk("3"));
    // The server has seen none of them.
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("3"));
    assert_eq!(proxy.counts().of("SET"), 3);
    assert_eq!(proxy.counts().in_flight, 0);
}

#[test]
fn what_is_not_resp_passes_and_can_be_held() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::before(listener.local_addr().expect("it is bound"));
    let mut client = TcpStream::connect(proxy.address()).expect("it accepts");
    let (mut server, _) = listener.accept().expect("the proxy connects");
    let hello: Vec<u8> = (0..2000u32).map(|i| (22 + i * 7 % 251) as u8).collect();
    client.write_all(&hello).expect("it takes bytes");
    let mut got = vec![0; hello.len()];
    server.read_exact(&mut got).expect("they come");
    assert_eq!(got, hello);
    server.write_all(&hello).expect("it takes bytes");
    client.read_exact(&mut got).expect("they come");
    assert_eq!(got, hello);
    proxy.replies(Flow::Hold);
    server.write_all(b"more").expect("it takes bytes");
    client.set_read_timeout(Some(SOON)).expect("a socket");
    assert!(client.read(&mut got).is_err());
    proxy.heal();
    assert_eq!(client.read(&mut got).expect("it comes"), 4);
}

#[test]
fn new_connections_go_to_the_new_server_and_a_dead_one_resets() {
    let (_daemon, proxy) = before_a_daemon();
    let other = Daemon::start();
    let mut old = Raw::tcp(proxy.address());
    assert_eq!(old.run("SET here old"), Reply::ok());
    proxy.retarget(other.resp());
    assert_eq!(Raw::tcp(proxy.address()).run("GET here"), Reply::Nil);
    assert_eq!(old.run("GET here"), Reply::bulk("old"));
    drop(other);
    assert_eq!(until_the_end(proxy.address(), b"PING"), (Vec::new(), Cut::Reset));
}

#[derive(Clone, Debug)]
struct Frame(Vec<u8>);

fn frame() -> impl Strategy<Value = Frame> {
    let line = prop_oneof![
        "[+,(#-][a-z0-9 ]{0,9}",
        ":-?[0-9]{1,9}",
        Just("_".to_owned()),
        Just("$-1".to_owned()),
        Just("*-1".to_owned()),
        Just("*0".to_owned()),
    ];
    let leaf = prop_oneof![
        line.prop_map(|line| Frame(format!("{line}\r\n").into_bytes())),
        ("[$=!]", proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| {
            let head = format!("{kind}{}\r\n", bytes.len()).into_bytes();
            Frame([head, bytes, b"\r\n".to_vec()].concat())
        }),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        ("[*~>%|]", proptest::collection::vec(inner, 4)).prop_map(|(kind, items)| {
            let items: Vec<u8> = items.into_iter().flat_map(|item| item.0).collect();
            let (count, tail) = match &*kind {
                "%" => (2, ""),
                // What the attributes are of.
                "|" => (2, "+OK\r\n"),
                _ => (4, ""),
            };
            let head = format!("{kind}{count}\r\n").into_bytes();
            Frame([head, items, tail.as_bytes().to_vec()].concat())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_end_where_they_end(
        frames in proptest::collection::vec(frame(), 1..8),
        pieces in proptest::collection::vec(1usize..20, 1..20),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|frame| frame.0.clone()).collect();
        let mut ends = Vec::new();
        let mut scanner = Scanner::new();
        let (mut at, mut sizes) = (0, pieces.iter().cycle());
        while at < stream.len() {
            let size = sizes.next().copied().unwrap_or(1).min(stream.len() - at);
            match scanner.step(&stream[at..at + size]) {
                Step::More => at += size,
                Step::End(used) => {
                    at += used;
                    ends.push(at);
                }
                Step::Alien => panic!("alien at {at}"),
            }
        }
        let expected: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.0.len();
                Some(*end)
            })
            .collect();
        prop_assert_eq!(ends, expected);
    }
}
