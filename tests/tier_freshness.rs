//! How long what came from Redis may be served: beyond its time while Redis does not answer, asked
//! for again shortly before its time, and for less than its time. Hours pass by the daemon's clock
//! alone: Redis' own goes on as ever.

use std::collections::BTreeSet;

use super::support::proxy::Cut;
use super::support::raw::encode;
use super::support::redis::RedisServer;
use super::support::tier::Tier;
use super::support::{Raw, Reply, wait_until};

const MINUTE_MS: i64 = 60_000;

/// A daemon whose clock can be moved, before a Redis that holds these keys for ten minutes (so that
/// nobody announces them later); `None` without a redis-server.
fn start(keys: &[(&str, &str)], settings: &[(&str, &str)]) -> Option<Tier> {
    let redis = RedisServer::listening(&[])?;
    let mut client = redis.connect();
    for (key, value) in keys {
        client.run(&format!("SET {key} {value} PX 600000"));
    }
    let all = [
        ("debug.drills", "true"),
        ("redis.stale_if_error", r#""1h""#),
        ("redis.revalidate_after", r#""0s""#),
    ];
    Some(Tier::with(redis, &[&all, settings].concat()))
}

/// Sets the daemon's clock so many minutes ahead of what it is.
fn ahead(client: &mut Raw, minutes: i64) {
    ahead_ms(client, minutes * MINUTE_MS);
}

fn ahead_ms(client: &mut Raw, ms: i64) {
    client.run(&format!("SW.DRILL POINT clock.wall return({ms})"));
}

/// As long as anything takes on a busy machine, and nobody finds out meanwhile that Redis says
/// nothing.
const PATIENT: [(&str, &str); 2] = [("redis.timeout", r#""30s""#), ("redis.ping_every", r#""1h""#)];

/// Reads keys from Redis into memory.
fn fetch(client: &mut Raw, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        wait_until("Redis has answered", || client.run(&format!("GET {key}")) == bulk(value));
    }
}

/// Reads keys whose time is over. An answer of Redis stands for some milliseconds, also if the clock
/// has jumped beyond the time that it gave the key.
fn find_expired(client: &mut Raw, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        wait_until("what has expired is found", || {
            client.run(&format!("GET {key}")) == bulk(value)
        });
    }
}

fn bulk(text: &str) -> Reply {
    Reply::bulk(text)
}

fn info(client: &mut Raw, field: &str) -> i64 {
    let text = client.run("INFO redis").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
}

/// How often Redis was asked for a key's value.
fn gets(tier: &Tier) -> u64 {
    tier.proxy.counts().of("GET")
}

fn is_not_applied(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("TIERDOWN not applied"))
}

#[test]
fn what_has_expired_is_read_while_redis_does_not_answer_and_no_longer_than_it_may() {
    let keys = [("theirs", "v"), ("counter", "41")];
    let Some(tier) = start(&keys, &[]) else { return };
    let mut client = tier.daemon.connect();
    fetch(&mut client, &keys);
    client.run("SET lock mine PX 600000");
    client.run("SET ever v");
    tier.proxy.hang();
    ahead(&mut client, 15);
    find_expired(&mut client, &keys);
    for _ in 0..3 {
        assert_eq!(client.run("GET theirs"), bulk("v"));
        assert_eq!(client.run("GET lock"), Reply::Nil, "what was promised here is kept");
    }
    assert_eq!(client.run("TTL theirs"), Reply::Int(0), "its time is over");
    assert_eq!(client.run("EXISTS theirs lock counter"), Reply::Int(2));
    assert_eq!(client.run("STRLEN counter"), Reply::Int(2));
    assert_eq!(
        client.run("MGET theirs lock counter ever"),
        Reply::Array([bulk("v"), Reply::Nil, bulk("41"), bulk("v")].into())
    );
    client.run("MULTI");
    client.run("GET theirs");
    assert_eq!(client.run("EXEC"), Reply::Array([bulk("v")].into()));
    // Nothing is built upon it.
    for line in ["INCR counter", "APPEND theirs x", "GETEX theirs PERSIST", "SETNX theirs x"] {
        let reply = client.run(line);
        assert!(is_not_applied(&reply), "{line}: {reply:?}");
    }
    // Nobody else sees it.
    wait_until("the sweep has met it", || client.run("DBSIZE") == Reply::Int(1));
    assert_eq!(client.run("KEYS *"), Reply::Array([bulk("ever")].into()));
    assert_eq!(info(&mut client, "redis_expired_kept"), 2);
    assert!(info(&mut client, "redis_expired_served") >= 7);
    // What was written or deleted since is what counts.
    client.run("DEL counter");
    assert_eq!(client.run("GET counter"), Reply::Nil);
    assert_eq!(info(&mut client, "redis_expired_kept"), 1);
    // Back by an hour: what expired has not come to life.
    ahead(&mut client, -60);
    assert_eq!(client.run("DBSIZE"), Reply::Int(1));
    assert_eq!(client.run("GET theirs"), bulk("v"));
    ahead(&mut client, 10 + 60 + 1);
    assert_eq!(client.run("GET theirs"), Reply::Nil, "it has been long enough");
    wait_until("it is let go of", || info(&mut client, "redis_expired_kept") == 0);
}

#[test]
fn redis_word_on_what_has_expired_is_the_last() {
    let keys = [("gone", "v"), ("newer", "old"), ("same", "v")];
    let Some(tier) = start(&keys, &[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    fetch(&mut client, &keys);
    tier.proxy.hang();
    ahead(&mut client, 15);
    find_expired(&mut client, &keys);
    redis.run("DEL gone");
    redis.run("SET newer new");
    tier.proxy.heal();
    tier.proxy.cut(Cut::Reset);
    wait_until("Redis is asked again", || client.run("GET newer") == bulk("new"));
    wait_until("Redis has said that it is gone", || client.run("GET gone") == Reply::Nil);
    wait_until("Redis has it for as long again", || client.run("PTTL same").int() > 500_000);
    assert_eq!(client.run("GET same"), bulk("v"));
    tier.wait_linked();
    tier.proxy.hang();
    assert_eq!(client.run("GET gone"), Reply::Nil, "Redis has said so");
    assert_eq!(info(&mut client, "redis_expired_kept"), 0);
}

#[test]
fn nothing_expired_is_served_that_nobody_wants_to_keep_or_from_before_a_restart() {
    let keys = [("k", "v")];
    for settings in [("redis.keep_expired", r#""0""#), ("redis.stale_if_error", r#""0s""#)] {
        let Some(tier) = start(&keys, &[settings]) else { return };
        let mut client = tier.daemon.connect();
        fetch(&mut client, &keys);
        tier.proxy.hang();
        ahead(&mut client, 15);
        assert_eq!(client.run("GET k"), Reply::Nil, "{settings:?}");
        assert_eq!(info(&mut client, "redis_expired_kept_bytes"), 0);
    }
    let Some(mut tier) = start(&keys, &[]) else { return };
    let mut client = tier.daemon.connect();
    fetch(&mut client, &keys);
    tier.proxy.hang();
    ahead(&mut client, 15);
    find_expired(&mut client, &keys);
    tier.daemon.kill();
    tier.daemon.restart();
    assert_eq!(tier.daemon.connect().run("GET k"), Reply::Nil);
}

#[test]
fn what_has_little_of_its_time_left_is_asked_for_once_behind_the_reader_s_back() {
    let settings = [&PATIENT[..], &[("redis.refresh_early", "50")]].concat();
    let Some(tier) = start(&[("k", "v")], &settings) else { return };
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("GET k"), bulk("v"));
    assert_eq!(gets(&tier), 1);
    // Of ten minutes one is left, then ever less; by Redis' clock all ten are.
    let mut left_ms = MINUTE_MS;
    wait_until("the answer", || {
        left_ms -= left_ms / 50;
        ahead_ms(&mut client, 10 * MINUTE_MS - left_ms);
        for _ in 0..10 {
            assert_eq!(client.run("GET k"), bulk("v"));
        }
        client.run("PTTL k").int() > 5 * MINUTE_MS
    });
    assert_eq!(gets(&tier), 2, "once, however many read it");
    assert!(info(&mut client, "redis_early_refreshes") >= 1);
    // A Redis that does not answer makes nobody wait.
    tier.proxy.hang();
    ahead(&mut client, 9 + 9);
    assert_eq!(client.run("GET k"), bulk("v"));
    assert!(client.run("PTTL k").int() <= 2 * MINUTE_MS);
}

/// More than a shard takes in at once.
#[test]
fn all_that_is_asked_for_behind_the_reader_s_back_is_taken_over() {
    let names: Vec<String> = (0..48).map(|n| format!("k{n}")).collect();
    let value = "v".repeat(4000);
    let keys: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*value)).collect();
    let settings = [&PATIENT[..], &[("redis.refresh_early", "50")]].concat();
    let Some(tier) = start(&keys, &settings) else { return };
    let mut client = tier.daemon.connect();
    fetch(&mut client, &keys);
    assert_eq!(gets(&tier), 48);
    let all = |client: &mut Raw, command: &str| -> Vec<Reply> {
        client
            .send_bytes(names.iter().flat_map(|name| encode(&[command, name])).collect::<Vec<_>>());
        names.iter().map(|_| client.receive()).collect()
    };
    let mut left_ms = MINUTE_MS;
    wait_until("all answers", || {
        left_ms -= left_ms / 50;
        ahead_ms(&mut client, 10 * MINUTE_MS - left_ms);
        assert!(all(&mut client, "GET").iter().all(|reply| *reply == bulk(&value)));
        all(&mut client, "PTTL").into_iter().all(|left| left.int() > 5 * MINUTE_MS)
    });
    assert_eq!(gets(&tier), 2 * 48, "each of them once");
}

#[test]
fn what_was_fetched_together_does_not_expire_together_and_what_was_written_keeps_its_time() {
    let keys: Vec<(String, String)> = (0..100).map(|n| (format!("k{n}"), n.to_string())).collect();
    let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (&**k, &**v)).collect();
    let Some(tier) = start(&keys, &PATIENT) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    assert_eq!(client.run("CONFIG SET redis.ttl_jitter 50"), Reply::ok());
    // It is taken up by the next sweep.
    wait_until("it is in force", || {
        redis.run("SET probe v PX 600000");
        client.run("GET probe");
        (1..590_000).contains(&client.run("PTTL probe").int())
    });
    let mut minutes = BTreeSet::new();
    for (key, value) in &keys {
        assert_eq!(client.run(&format!("GET {key}")), bulk(value));
        let ttl = client.run(&format!("PTTL {key}")).int();
        assert!((4 * MINUTE_MS..=10 * MINUTE_MS).contains(&ttl), "{ttl}");
        minutes.insert(ttl / MINUTE_MS);
    }
    assert!(minutes.len() >= 4, "{minutes:?}");
    client.run("SET mine v PX 600000");
    assert!(client.run("PTTL mine").int() > 590_000);
    // What has expired here alone is asked of Redis, which has it.
    ahead(&mut client, 8);
    for (key, value) in &keys {
        assert_eq!(client.run(&format!("GET {key}")), bulk(value));
    }
}
