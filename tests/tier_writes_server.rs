//! Writes while one server is in trouble that a Cluster does not have, or has in another way.

use std::time::Duration;

use crate::support::certificates::{Authority, Pair};
use crate::support::proxy::{Flow, Proxy};
use crate::support::redis::RedisServer;
use crate::support::tier::Tier;
use crate::support::tier::certified::Certified;
use crate::support::{Raw, Reply, seed, wait_until};
use crate::tier_writes::{info, number, setup, wait_equal, wait_in_step};
use crate::tier_writes_faults::{say, through, told, under};

#[test]
fn while_redis_is_a_replica() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let becomes = |_: &mut Tier, redis: &mut Raw| say(redis, "REPLICAOF 127.0.0.1 1");
    let is_none = |_: &mut Tier, redis: &mut Raw| say(redis, "REPLICAOF NO ONE");
    under(through(redis), &told("READONLY", &becomes, &is_none), seed());
}

/// A server with TLS whose certificate turns bad, and good again.
#[track_caller]
fn with_a_bad_certificate(bad: impl FnOnce(&Authority) -> Pair) {
    let through = ("redis.write", r#""through""#);
    let Some((tier, server)) = Certified::start(bad, &[through]) else { return };
    let shows_bad = |tier: &mut Tier, redis: &mut Raw| server.turn_bad(tier, redis);
    let shows_good = |_: &mut Tier, redis: &mut Raw| server.turn_good(redis);
    under(tier, &told("a bad certificate", &shows_bad, &shows_good), seed());
}

#[test]
fn while_the_certificate_has_expired() {
    with_a_bad_certificate(|ours| ours.issue_for("server", Duration::ZERO));
}

#[test]
fn while_the_certificate_is_of_another_authority() {
    with_a_bad_certificate(|_| Authority::new("theirs").issue("server"));
}

/// What was sent over a connection that was given up arrives after what was sent over the next one.
#[test]
fn a_transaction_that_comes_late_changes_nothing() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let (late, next) = (Proxy::before(redis.address()), Proxy::before(redis.address()));
    let url = |proxy: &Proxy| format!(r#""redis://{}/0""#, proxy.address());
    let mut daemon = setup(&redis).with("redis.url", &url(&late)).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("SET k first");
    wait_in_step(&mut c);
    late.requests(Flow::Hold);
    c.run("SET k early");
    c.run("SET gone early");
    wait_until("it is given up", || info(&mut c, "redis_outbox") == "waiting");
    c.run("SET k later");
    c.run("DEL gone");
    daemon.configure("redis.url", &url(&next));
    wait_until("the next one has arrived", || r.run("GET k") == Reply::bulk("later"));
    wait_in_step(&mut c);
    let transactions = |r: &mut Raw| {
        let stats = r.run("INFO commandstats").text();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_exec:calls="));
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).expect("a number")
    };
    let before = transactions(&mut r);
    late.heal();
    wait_until("the late one has arrived", || transactions(&mut r) > before);
    assert_eq!(r.run("GET k"), Reply::bulk("later"));
    assert_eq!(r.run("GET gone"), Reply::Nil);
    c.run("SET more 1");
    wait_equal(&mut c, &mut r);
}

/// What is deleted makes room in a Redis that is full, though it comes after what has no room.
/// Bytes that Redis uses for something.
fn memory(redis: &mut Raw, name: &str) -> u64 {
    let info = redis.run("INFO memory").text();
    let bytes = info.lines().find_map(|line| line.strip_prefix(name));
    bytes.and_then(|bytes| bytes.parse().ok()).expect("a number")
}

/// A transaction is refused then, even if it only deletes.
#[test]
fn deletions_make_room_in_a_redis_that_others_have_filled() {
    let Some(redis) = RedisServer::listening(&["--maxmemory-policy", "noeviction"]) else { return };
    let daemon = setup(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    let value = "v".repeat(20_000);
    for n in 0..100 {
        assert_eq!(c.call(&["SET", &format!("k{n}"), &value]), Reply::ok());
    }
    wait_in_step(&mut c);
    let used = memory(&mut r, "used_memory:");
    say(&mut r, &format!("CONFIG SET maxmemory {}", used - 200_000));
    assert_eq!(c.run("SET late 1"), Reply::ok());
    wait_until("Redis is full", || info(&mut c, "redis_outbox") == "refused");
    for n in 0..60 {
        assert_eq!(c.call(&["DEL", &format!("k{n}")]), Reply::Int(1));
    }
    wait_equal(&mut c, &mut r);
    // The same by a flush.
    say(&mut r, "CONFIG SET maxmemory 1");
    assert_eq!(c.run("SET later 1"), Reply::ok());
    wait_until("Redis is full again", || info(&mut c, "redis_outbox") == "refused");
    assert_eq!(c.run("FLUSHDB"), Reply::ok());
    wait_until("it is empty", || r.run("EXISTS late later k99") == Reply::Int(0));
    say(&mut r, "CONFIG SET maxmemory 0");
    wait_equal(&mut c, &mut r);
}

#[test]
fn deletions_make_room_in_a_redis_that_is_full() {
    let Some(redis) = RedisServer::listening(&["--maxmemory-policy", "noeviction"]) else { return };
    let daemon = setup(&redis).with("wal.compress_above", r#""0B""#).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    let value = "v".repeat(100_000);
    let write = |c: &mut Raw, n: usize| {
        assert_eq!(c.call(&["SET", &format!("k{n}"), &value]), Reply::ok());
    };
    (0..60).for_each(|n| write(&mut c, n));
    wait_in_step(&mut c);
    // What it uses for buffers now is no room for data.
    let room = memory(&mut r, "used_memory_startup:") + memory(&mut r, "used_memory_dataset:");
    let room = room + 1_000_000;
    say(&mut r, &format!("CONFIG SET maxmemory {room}"));
    (60..100).for_each(|n| write(&mut c, n));
    wait_until("Redis is full", || info(&mut c, "redis_outbox") == "refused");
    assert!(info(&mut c, "redis_outbox_reason").starts_with("OOM"), "it says why");
    wait_until("it is told", || {
        let outbox = daemon.node("links/redis-outbox").expect("it is in the tree");
        outbox["conditions"].to_string().contains("Redis refuses: OOM")
    });
    // That is noted now and then, and from the first such note on: not even a log that has not
    // reached its first is taken for one that lacks nothing.
    wait_until("how much waits is told", || number(&mut c, "redis_outbox_lag_bytes") > 500_000);
    wait_until("how long it waits is told", || number(&mut c, "redis_outbox_oldest_ms") > 0);
    for n in 0..59 {
        assert_eq!(c.call(&["DEL", &format!("k{n}")]), Reply::Int(1));
    }
    wait_equal(&mut c, &mut r);
    wait_until("it is over", || {
        let outbox = daemon.node("links/redis-outbox").expect("it is in the tree");
        outbox["conditions"].as_array().is_some_and(Vec::is_empty)
    });
    wait_until("nothing waits", || number(&mut c, "redis_outbox_lag_bytes") == 0);
}
