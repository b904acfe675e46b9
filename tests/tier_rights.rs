//! The rights of Seawall's user in Redis: those that the documentation names are enough, and one that
//! is missing is named.

use std::time::Duration;

use super::support::proxy::{Cut, Door};
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::{Tier, wait_in_step};
use super::support::{Raw, Reply, wait_for, wait_until};

/// Where the rights are listed: that list is what is tried.
const LISTED: &str = include_str!("../docs/redis-tier.md");

/// Commands that Redis runs for clients here; their rights are beside the list.
const PASSED: &str = "+hset +hget +blpop";

/// The rights in the list, as ACL SETUSER takes them.
fn rights() -> Vec<&'static str> {
    let list = LISTED.split("ACL SETUSER wall on").nth(1).expect("the list");
    let list = list.split("```").next().unwrap_or_default();
    list.split_whitespace().filter(|word| word.starts_with('+')).collect()
}

fn grant(control: &mut Raw) {
    control.run("ACL SETUSER wall reset on >brick ~* resetchannels &*");
    for right in rights().into_iter().chain(PASSED.split(' ')) {
        let done = control.run(&format!("ACL SETUSER wall {right}"));
        // It came with Redis 7.2, and is asked for without being needed.
        assert!(done == Reply::ok() || right == "+client|setinfo", "{right}: {done:?}");
    }
    control.run("ACL LOG RESET");
}

fn start() -> Option<(Tier, Raw)> {
    let redis = RedisServer::listening(&[])?;
    let mut control = redis.connect();
    grant(&mut control);
    control.run("SET warm:1 1");
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://wall:brick@{}""#, proxy.address()))
            .with("redis.timeout", r#""10s""#)
            .with("redis.connect_timeout", r#""10s""#)
            .with("redis.warm", r#"["warm:*"]"#)
    });
    Some((tier, control))
}

#[test]
fn the_rights_that_are_listed_are_enough() {
    let Some((mut tier, mut control)) = start() else { return };
    let mut client = tier.daemon.connect();
    wait_until("it is warm", || client.run("INFO redis").text().contains("redis_fills:1"));
    // Writes of every kind, and what others do.
    for line in ["SET a 1", "SET b 1 EX 100", "EXPIRE a 100", "PERSIST b", "SET c 1", "DEL c"] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    wait_in_step(&mut client);
    control.run("SET theirs 1");
    assert_eq!(client.run("GET theirs"), Reply::bulk("1"));
    control.run("SET theirs 2");
    wait_until("it is announced", || client.run("GET theirs") == Reply::bulk("2"));
    assert_eq!(client.run("FLUSHDB"), Reply::ok());
    client.run("SET a 2");
    wait_in_step(&mut client);
    // What is published.
    let mut listener = tier.daemon.connect();
    listener.run("SUBSCRIBE news");
    listener.run("PSUBSCRIBE ol*");
    // A node of a Cluster counts those who listen at it, and we may listen at another.
    let least = i64::from(RedisServer::SERVERS == 1);
    assert!((least..=1).contains(&client.run("PUBLISH news 1").int()));
    assert_eq!(listener.receive().items()[2], Reply::bulk("1"));
    listener.run("UNSUBSCRIBE news");
    listener.run("PUNSUBSCRIBE ol*");
    // What Redis runs, and what waits there.
    assert_eq!(client.run("HSET h f 1"), Reply::Int(1));
    assert_eq!(client.run("HGET h f"), Reply::bulk("1"));
    let mut waiting = tier.daemon.connect();
    let id = waiting.run("CLIENT ID").int();
    waiting.send(&["BLPOP", "nothing", "0"]);
    wait_until("it waits", || control.run("CLIENT LIST").text().contains("cmd=blpop"));
    assert_eq!(client.run(&format!("CLIENT UNBLOCK {id}")), Reply::Int(1));
    assert_eq!(waiting.receive(), Reply::Nil);
    // Redis has lost its data by the next connection: everything is compared.
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    wait_until("it is gone", || client.run("INFO redis").text().contains("redis_links_up:0"));
    assert_eq!(control.run("ACL LOG"), Reply::Array(Vec::new()), "nothing was refused");
    tier.redis.restart();
    let mut control = tier.redis.connect();
    grant(&mut control);
    control.run("SET a theirs");
    tier.proxy.heal();
    wait_until("memory and Redis were compared", || {
        tier.daemon.events("links/redis-outbox", "reconciling") > 0
    });
    wait_in_step(&mut client);
    assert_eq!(control.run("GET a"), Reply::bulk("2"));
    assert_eq!(control.run("ACL LOG"), Reply::Array(Vec::new()), "nothing was refused");
}

/// What goes wrong without a right, until it does.
#[track_caller]
fn names(right: &str, mut ask: impl FnMut() -> String) {
    let needle = format!("'{right}'");
    let said = wait_for(&format!("{right} is named"), || {
        let said = ask().to_lowercase();
        if !said.contains(&needle) {
            std::thread::sleep(Duration::from_millis(10));
            return None;
        }
        Some(said)
    });
    assert!(said.contains("noperm"), "{said}");
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some((tier, mut control)) = start() else { return };
    let mut client = tier.daemon.connect();
    let mut without = |right: &str, ask: &mut dyn FnMut() -> String| {
        assert_eq!(control.run(&format!("ACL SETUSER wall -{right}")), Reply::ok());
        names(right, ask);
        assert_eq!(control.run(&format!("ACL SETUSER wall +{right}")), Reply::ok());
    };
    // Reads: whoever would build upon the answer is told.
    let (mut n, mut others) = (0, tier.redis.connect());
    for right in ["get", "pttl"] {
        without(right, &mut || {
            n += 1;
            others.run(&format!("SET unknown:{n} 1"));
            format!("{:?}", client.run(&format!("INCR unknown:{n}")))
        });
    }
    // Writes wait, and it is said why.
    for (right, line) in [
        ("flushdb", "FLUSHDB"),
        ("set", "MSET a 1 b 1"),
        ("unlink", "DEL a"),
        ("multi", "SET b 1"),
        ("exec", "SET b 2"),
        ("watch", "SET b 3"),
        ("pexpireat", "EXPIRE b 100"),
        ("persist", "PERSIST b"),
    ] {
        // Nothing is a transaction on a Cluster.
        if RedisServer::SERVERS > 1 && ["multi", "exec", "watch"].contains(&right) {
            continue;
        }
        wait_in_step(&mut client);
        let mut info = tier.daemon.connect();
        without(right, &mut || {
            if right != "persist" && right != "pexpireat" {
                client.run(line);
            } else {
                client.run("EXPIRE b 200");
                client.run(line);
            }
            let shown = info.run("INFO seawall").text();
            let reason = shown.lines().find(|line| line.starts_with("redis_outbox_reason:"));
            reason.unwrap_or_default().to_owned()
        });
    }
    wait_in_step(&mut client);
    // What goes on behind a client's own command is said to him.
    let mut listener = tier.daemon.connect();
    without("publish", &mut || format!("{:?}", client.run("PUBLISH news 1")));
    without("subscribe", &mut || format!("{:?}", listener.run("SUBSCRIBE news")));
    without("hset", &mut || format!("{:?}", client.run("HSET h f 1")));
    // What a connection begins with.
    without("client|tracking", &mut || {
        tier.proxy.cut(Cut::Close);
        std::thread::sleep(Duration::from_millis(50));
        tier.daemon
            .node("links/redis-tracker")
            .map(|node| node["conditions"].to_string())
            .unwrap_or_default()
    });
    tier.proxy.cut(Cut::Close);
    tier.wait_linked();
    wait_in_step(&mut client);
}
