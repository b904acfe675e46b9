//! Bytes in, bytes out: inline commands, pipelines, splits, RESP2 and RESP3, Unix sockets.

use crate::support::raw::encode;
use crate::support::{Daemon, Raw, Reply, Setup, wait_until};

#[test]
fn inline_commands_work_over_a_bare_connection() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send_bytes("PING\r\n\r\nset greeting \"hello world\\x21\"\nGET greeting\r\n");
    assert_eq!(client.receive(), Reply::Simple("PONG".into()));
    assert_eq!(client.receive(), Reply::ok());
    assert_eq!(client.receive(), Reply::bulk("hello world!"));
    client.send_bytes("SET \"open\r\n");
    assert_eq!(client.rest(), "-ERR Protocol error: unbalanced quotes in request\r\n");
}

#[test]
fn the_port_that_is_told_is_the_one_that_listens() {
    // Configured is port 0.
    let daemon = Daemon::start();
    let (mut client, port) = (daemon.connect(), daemon.resp().port());
    let told = client.run("CONFIG GET port");
    assert_eq!(told, Reply::Array(vec![Reply::bulk("port"), Reply::bulk(port.to_string())]));
    let info = client.run("INFO server").text();
    assert!(info.lines().any(|line| line == format!("tcp_port:{port}")), "{info}");
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    for byte in encode(&["SET", "k", "a\r\nb"]) {
        client.send_bytes([byte]);
    }
    assert_eq!(client.receive(), Reply::ok());
    assert_eq!(client.run("GET k"), Reply::bulk("a\r\nb"));
}

#[test]
fn replies_come_in_the_order_of_the_commands() {
    let daemon = Setup::new().with("cache.shards", "4").start();
    let mut client = daemon.connect();
    let mut pipeline = Vec::new();
    for i in 0..3000 {
        pipeline.extend(encode(&["SET", &format!("k{i}"), &i.to_string()]));
        pipeline.extend(encode(&["GET", &format!("k{i}")]));
        if i % 100 == 0 {
            pipeline.extend(encode(&["NOSUCH"]));
            pipeline.extend(encode(&["MGET", &format!("k{i}"), "absent", "k0"]));
        }
    }
    client.send_bytes(pipeline);
    for i in 0..3000 {
        assert_eq!(client.receive(), Reply::ok());
        assert_eq!(client.receive(), Reply::bulk(i.to_string()));
        if i % 100 == 0 {
            assert!(client.receive().text().starts_with("ERR unknown command 'NOSUCH'"));
            let all = [Reply::bulk(i.to_string()), Reply::Nil, Reply::bulk("0")];
            assert_eq!(client.receive(), Reply::Array(all.to_vec()));
        }
    }
}

#[test]
fn hello_switches_the_protocol_and_reset_takes_it_back() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    assert!(matches!(client.run("HELLO"), Reply::Array(_)));
    let Reply::Map(hello) = client.run("HELLO 3 SETNAME tester") else { panic!("a map") };
    let field = |name: &str| {
        hello.iter().find(|(key, _)| *key == Reply::bulk(name)).map(|(_, value)| value.clone())
    };
    assert_eq!(field("proto"), Some(Reply::Int(3)));
    assert_eq!(field("mode"), Some(Reply::bulk("standalone")));
    client.send(&["GET", "absent"]);
    assert_eq!(client.receive_bytes(), b"_\r\n");
    assert_eq!(client.run("CLIENT GETNAME"), Reply::bulk("tester"));
    assert_eq!(client.run("RESET").text(), "RESET");
    client.send(&["GET", "absent"]);
    assert_eq!(client.receive_bytes(), b"$-1\r\n");
    assert_eq!(client.run("HELLO 4").text(), "NOPROTO unsupported protocol version");
}

#[test]
fn garbage_gets_an_error_and_the_end_after_what_came_before_it() {
    let daemon = Daemon::start();
    for (garbage, error) in [
        ("*1\r\n:5\r\n", "expected '$', got ':'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
    ] {
        let mut client = daemon.connect();
        client.send_bytes(format!("*1\r\n$4\r\nPING\r\n{garbage}"));
        assert_eq!(client.receive().text(), "PONG");
        let rest = client.rest();
        assert!(rest.contains(error), "{garbage:?}: {rest:?}");
    }
    assert_eq!(daemon.connect().run("PING").text(), "PONG");
}

#[test]
fn a_client_may_close_its_sending_half_and_still_gets_its_replies() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send_bytes(encode(&["INCR", "n"]).repeat(2000));
    client.finish_sending();
    for i in 1..=2000 {
        assert_eq!(client.receive(), Reply::Int(i));
    }
    assert!(client.is_closed());
}

#[test]
fn quit_answers_and_closes() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send_bytes("QUIT\r\nSET k v\r\n");
    assert_eq!(client.rest(), "+OK\r\n");
    assert_eq!(daemon.connect().run("GET k"), Reply::Nil);
}

#[test]
fn a_unix_socket_serves_the_same_cache() {
    let setup = Setup::new().with("server.unix_socket", r#""seawall.sock""#);
    let path = setup.dir().join("seawall.sock");
    let daemon = setup.start();
    let mut unix = Raw::unix(&path);
    assert_eq!(unix.run("SET k v"), Reply::ok());
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("v"));
    // It can serve alone, too.
    let setup = Setup::new().with("server.unix_socket", r#""alone""#).with("server.bind", "[]");
    let path = setup.dir().join("alone");
    let _daemon = setup.start();
    assert_eq!(Raw::unix(&path).run("PING").text(), "PONG");
}

#[test]
fn commands_that_need_a_redis_tier_say_so() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    for (line, name) in [("HSET h f v", "hset"), ("LPUSH l 1", "lpush"), ("ZADD z 1 a", "zadd")] {
        let text = format!("ERR '{name}' needs a Redis tier: set redis.url");
        assert_eq!(client.run(line).text(), text);
    }
}

#[test]
fn databases_are_apart() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    for db in 0..16 {
        assert_eq!(client.run(&format!("SELECT {db}")), Reply::ok());
        assert_eq!(client.run(&format!("SET k {db}")), Reply::ok());
    }
    assert_eq!(client.run("SELECT 16").text(), "ERR DB index is out of range");
    for db in 0..16 {
        client.run(&format!("SELECT {db}"));
        assert_eq!(client.run("GET k"), Reply::bulk(db.to_string()));
    }
}

#[test]
fn what_is_due_expires_without_being_asked_for() {
    let daemon = Setup::new().with("cache.sweep_interval", r#""5ms""#).start();
    let mut client = daemon.connect();
    for i in 0..500 {
        client.run(&format!("SET k{i} v PX {}", 1 + i % 50));
    }
    client.run("SET stays v PX 100000");
    // DBSIZE counts what is there and looks at no key.
    wait_until("the sweeper removes them", || client.run("DBSIZE") == Reply::Int(1));
    assert_eq!(client.run("GET stays"), Reply::bulk("v"));
}

#[test]
fn scan_returns_every_key_that_stays_however_much_comes_and_goes() {
    let daemon = Setup::new().with("cache.shards", "3").start();
    let mut client = daemon.connect();
    for i in 0..500 {
        client.run(&format!("SET stay:{i} v"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    for round in 0..10_000 {
        let reply = client.run(&format!("SCAN {cursor} COUNT 20"));
        cursor = reply.items()[0].text();
        seen.extend(reply.items()[1].items().iter().map(Reply::text));
        if cursor == "0" {
            break;
        }
        for i in 0..50 {
            client.run(&format!("SET go:{round}:{i} v"));
            client.run(&format!("DEL go:{}:{i}", round - round % 2));
        }
    }
    assert_eq!(cursor, "0", "the scan ends");
    for i in 0..500 {
        assert!(seen.contains(&format!("stay:{i}")), "stay:{i}");
    }
}

#[test]
fn many_clients_come_and_go() {
    let daemon = Daemon::start();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                for i in 0..100 {
                    let mut client = daemon.connect();
                    assert_eq!(client.run(&format!("SET {t}:{i} v")), Reply::ok());
                    if i % 3 == 0 {
                        // Leaves in the middle of a request.
                        client.send_bytes("*2\r\n$3\r\nGET\r\n$100\r\nx");
                    }
                }
            });
        }
    });
    let mut client = daemon.connect();
    assert_eq!(client.run("DBSIZE"), Reply::Int(400));
    wait_until("the registry forgets them", || {
        client.run("CLIENT LIST").text().lines().count() == 1
    });
}

#[test]
fn slowlog_names_the_command_that_a_pipeline_waited_for() {
    let setup = Setup::new().with("debug.commands", "true");
    let daemon = setup
        .with("server.slowlog_slower_than", "'200ms'")
        .with("server.latency_threshold", "'200ms'")
        .start();
    let mut client = daemon.connect();
    client.run("CLIENT SETNAME tester");
    let words = [&["SET", "k", "v"][..], &["DEBUG", "SLEEP", "0.25"], &["GET", "k"]];
    client.send_bytes(words.iter().flat_map(|words| encode(words)).collect::<Vec<_>>());
    assert_eq!([client.receive(), client.receive()], [Reply::ok(), Reply::ok()]);
    assert_eq!(client.receive(), Reply::bulk("v"));
    let Reply::Array(entries) = client.run("SLOWLOG GET -1") else { panic!("no array") };
    let Some(Reply::Array(entry)) = entries.first() else { panic!("no entry") };
    assert!(matches!(entry[2], Reply::Int(us) if us >= 250_000), "{entry:?}");
    let args = ["DEBUG", "SLEEP", "0.25", "... (1 more commands of its pipeline)"];
    assert_eq!(entry[3], Reply::Array(args.map(Reply::bulk).to_vec()));
    assert_eq!(entry[5], Reply::bulk("tester"));
    let Reply::Array(events) = client.run("LATENCY LATEST") else { panic!("no array") };
    assert!(matches!(&events[..], [Reply::Array(event)] if event[0] == Reply::bulk("command")));
    assert_eq!(client.run("LATENCY RESET"), Reply::Int(1));
    assert_eq!(client.run("SLOWLOG RESET"), Reply::ok());
    assert_eq!(client.run("SLOWLOG LEN"), Reply::Int(0));
    // Changed live.
    assert_eq!(client.run("CONFIG SET slowlog-log-slower-than 0"), Reply::ok());
    client.run("GET k");
    assert_eq!(client.run("CONFIG SET slowlog-log-slower-than -1"), Reply::ok());
    let Reply::Int(len) = client.run("SLOWLOG LEN") else { panic!("no number") };
    assert!(len >= 1);
    client.run("GET k");
    assert_eq!(client.run("SLOWLOG LEN"), Reply::Int(len));
}
