//! How long what came from Redis may be served: beyond its time while Redis does not answer, asked
//! for again shortly before its time, and for less than its time. Hours pass by the daemon's clock
//! alone: Redis' own goes on as ever.

use std::collections::BTreeSet;

use super::support::proxy::Cut;
use super::support::redis::RedisServer;
use super::support::tier::Tier;
use super::support::{Raw, Reply, wait_until};

const MINUTE_MS: i64 = 60_000;

/// A daemon whose clock can be moved; `None` without a redis-server.
fn start(settings: &[(&str, &str)]) -> Option<Tier> {
    let redis = RedisServer::listening(&[])?;
    Some(Tier::before(redis, |setup, proxy| {
        let setup = setup
            .with("redis.url", &format!(r#""redis://{}""#, proxy.address()))
            .with("debug.drills", "true")
            .with("redis.stale_if_error", r#""1h""#)
            .with("redis.revalidate_after", r#""0s""#);
        settings.iter().fold(setup, |setup, (key, value)| setup.with(key, value))
    }))
}

/// Sets the daemon's clock so many minutes ahead of what it is.
fn ahead(client: &mut Raw, minutes: i64) {
    client.run(&format!("SW.DRILL POINT clock.wall return({})", minutes * MINUTE_MS));
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
    let Some(tier) = start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for line in ["SET theirs v PX 600000", "SET counter 41 PX 600000", "SET ever v"] {
        redis.run(line);
    }
    assert_eq!(
        client.run("MGET theirs counter ever"),
        Reply::Array([bulk("v"), bulk("41"), bulk("v")].into())
    );
    client.run("SET lock mine PX 600000");
    tier.proxy.hang();
    ahead(&mut client, 15);
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
    let Some(tier) = start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for line in ["SET gone v PX 600000", "SET newer old PX 600000", "SET same v PX 600000"] {
        redis.run(line);
    }
    for key in ["gone", "newer", "same"] {
        client.run(&format!("GET {key}"));
    }
    tier.proxy.hang();
    ahead(&mut client, 15);
    for (key, value) in [("gone", "v"), ("newer", "old"), ("same", "v")] {
        assert_eq!(client.run(&format!("GET {key}")), bulk(value));
    }
    redis.run("DEL gone");
    redis.run("SET newer new");
    tier.proxy.heal();
    tier.proxy.cut(Cut::Reset);
    wait_until("Redis is asked again", || client.run("GET newer") == bulk("new"));
    assert_eq!(client.run("GET gone"), Reply::Nil);
    assert_eq!(client.run("GET same"), bulk("v"));
    assert!(client.run("PTTL same").int() > 500_000, "Redis has it for as long again");
    tier.wait_linked();
    tier.proxy.hang();
    assert_eq!(client.run("GET gone"), Reply::Nil, "Redis has said so");
    assert_eq!(info(&mut client, "redis_expired_kept"), 0);
}

#[test]
fn nothing_expired_is_served_that_nobody_wants_to_keep_or_from_before_a_restart() {
    for settings in [&[("redis.keep_expired", "0")][..], &[("redis.stale_if_error", r#""0s""#)]] {
        let Some(tier) = start(settings) else { return };
        let mut client = tier.daemon.connect();
        tier.redis.connect().run("SET k v PX 600000");
        assert_eq!(client.run("GET k"), bulk("v"));
        tier.proxy.hang();
        ahead(&mut client, 15);
        assert_eq!(client.run("GET k"), Reply::Nil, "{settings:?}");
        assert_eq!(info(&mut client, "redis_expired_kept_bytes"), 0);
    }
    let Some(mut tier) = start(&[]) else { return };
    let mut client = tier.daemon.connect();
    tier.redis.connect().run("SET k v PX 600000");
    client.run("GET k");
    tier.proxy.hang();
    ahead(&mut client, 15);
    assert_eq!(client.run("GET k"), bulk("v"));
    tier.daemon.kill();
    tier.daemon.restart();
    assert_eq!(tier.daemon.connect().run("GET k"), Reply::Nil);
}

#[test]
fn what_has_little_of_its_time_left_is_asked_for_once_behind_the_reader_s_back() {
    let Some(tier) = start(&[("redis.refresh_early", "50")]) else { return };
    let mut client = tier.daemon.connect();
    tier.redis.connect().run("SET k v PX 600000");
    assert_eq!(client.run("GET k"), bulk("v"));
    // The announcement of that SET may have made it two.
    wait_until("it is in memory", || {
        let asked = gets(&tier);
        client.run("GET k") == bulk("v") && gets(&tier) == asked
    });
    let asked = gets(&tier);
    // Of ten minutes one is left.
    ahead(&mut client, 9);
    for _ in 0..50 {
        assert_eq!(client.run("GET k"), bulk("v"));
    }
    // By Redis' clock all ten are.
    wait_until("the answer", || client.run("PTTL k").int() > 5 * MINUTE_MS);
    assert_eq!(client.run("GET k"), bulk("v"));
    assert_eq!(gets(&tier), asked + 1, "once, however many read it");
    assert_eq!(info(&mut client, "redis_early_refreshes"), 1);
    // A Redis that does not answer makes nobody wait, and is not asked again for that.
    ahead(&mut client, 9 + 9);
    tier.proxy.hang();
    assert_eq!(client.run("GET k"), bulk("v"));
    assert!(client.run("PTTL k").int() <= MINUTE_MS);
}

#[test]
fn what_was_fetched_together_does_not_expire_together_and_what_was_written_keeps_its_time() {
    let Some(tier) = start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    assert_eq!(client.run("CONFIG SET redis.ttl_jitter 50"), Reply::ok());
    // It is taken up by the next sweep.
    wait_until("it is in force", || {
        redis.run("SET probe v PX 600000");
        client.run("GET probe");
        (1..590_000).contains(&client.run("PTTL probe").int())
    });
    for n in 0..100 {
        redis.run(&format!("SET k{n} {n} PX 600000"));
    }
    let mut minutes = BTreeSet::new();
    for n in 0..100 {
        assert_eq!(client.run(&format!("GET k{n}")), Reply::bulk(n.to_string()));
        let ttl = client.run(&format!("PTTL k{n}")).int();
        assert!((4 * MINUTE_MS..=10 * MINUTE_MS).contains(&ttl), "{ttl}");
        minutes.insert(ttl / MINUTE_MS);
    }
    assert!(minutes.len() >= 4, "{minutes:?}");
    client.run("SET mine v PX 600000");
    assert!(client.run("PTTL mine").int() > 590_000);
    // What has expired here alone is asked of Redis, which has it.
    ahead(&mut client, 8);
    for n in 0..100 {
        assert_eq!(client.run(&format!("GET k{n}")), Reply::bulk(n.to_string()));
    }
}
