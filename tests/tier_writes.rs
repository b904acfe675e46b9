//! Writes get to the Redis behind the cache: what it was away for, what it lost, what others wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::support::proxy::{Cut, Door};
use super::support::redis::RedisServer;
use super::support::tier::Tier;
use super::support::{Daemon, Raw, Reply, Setup, wait_for, wait_until};

/// Keys and values of database 0, with their times; the marker is left out.
pub type Held = BTreeMap<String, (String, i64)>;

pub fn setup(redis: &RedisServer) -> Setup {
    redis
        .before(Setup::new())
        .with("redis.breaker_cool_down", r#""50ms""#)
        .with("redis.breaker_max_cool_down", r#""200ms""#)
}

pub fn held(connection: &mut Raw) -> Held {
    let Reply::Array(keys) = connection.run("KEYS *") else { panic!("KEYS answers an array") };
    let mut keys: Vec<String> = keys.iter().map(Reply::text).collect();
    keys.retain(|key| !key.starts_with("seawall:outbox:"));
    for key in &keys {
        connection.send(&["GET", key]);
        connection.send(&["PEXPIRETIME", key]);
    }
    let mut held = Held::new();
    for key in keys {
        let (value, at) = (connection.receive(), connection.receive().int());
        // It may have expired in between.
        if value != Reply::Nil {
            held.insert(key, (value.text(), at));
        }
    }
    held
}

pub fn info(connection: &mut Raw, field: &str) -> String {
    let text = connection.run("INFO seawall").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

pub fn number(connection: &mut Raw, field: &str) -> u64 {
    info(connection, field).parse().expect("a number")
}

/// Waits until Redis has everything that was written so far.
#[track_caller]
pub fn wait_in_step(connection: &mut Raw) {
    wait_until("the outbox is in step", || {
        info(connection, "redis_outbox") == "in_step"
            && number(connection, "redis_outbox_lag_records") == 0
    });
}

/// Waits until it has noticed that Redis is away.
#[track_caller]
fn wait_away(connection: &mut Raw) {
    connection.run("SET noticed 1");
    wait_until("the outbox waits", || info(connection, "redis_outbox") == "waiting");
}

#[track_caller]
pub fn wait_equal(daemon: &mut Raw, redis: &mut Raw) {
    wait_in_step(daemon);
    // What expires in one of them in this moment is asked for again.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let (here, there) = (held(daemon), held(redis));
        // What memory has from Redis, it has as a time to live.
        let same = |a: &(String, i64), b: &(String, i64)| {
            a.0 == b.0 && (a.1 < 0) == (b.1 < 0) && a.1.abs_diff(b.1) <= 1_000
        };
        let differs = |(key, ours): &(&String, &(String, i64))| {
            !there.get(*key).is_some_and(|theirs| same(ours, theirs))
        };
        let differ: Vec<_> = here.iter().filter(differs).take(5).collect();
        if differ.is_empty() && here.len() == there.len() {
            return;
        }
        let more: Vec<_> = there.keys().filter(|key| !here.contains_key(*key)).take(5).collect();
        assert!(Instant::now() < end, "not in Redis: {differ:?}; only there: {more:?}");
    }
}

/// Before a Redis that is given all the time of the world.
fn patient(redis: &RedisServer) -> Setup {
    setup(redis).with("redis.timeout", r#""10s""#).with("redis.connect_timeout", r#""10s""#)
}

#[test]
fn every_kind_of_write_gets_to_redis() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let daemon = setup(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    r.run("SET theirs untouched");
    r.run("SET gone 1");
    for line in [
        "SET a 1",
        "INCRBY a 41",
        "SET b x PX 100000",
        "APPEND b y",
        "PERSIST b",
        "MSET c 1 d 2 e 3",
        "DEL c gone",
        "EXPIRE d 1000",
        "SETRANGE e 2 z",
        "RENAME d f",
        "SET short 1 PX 1",
    ] {
        c.run(line);
    }
    c.run("SELECT 1");
    c.run("SET elsewhere 1");
    c.run("SELECT 0");
    wait_in_step(&mut c);
    let there = held(&mut r);
    assert_eq!(there.get("theirs").map(|(v, _)| v.as_str()), Some("untouched"));
    assert!(!there.contains_key("gone"), "it is deleted there though it was never here");
    assert!(!there.contains_key("elsewhere"));
    r.run("DEL theirs");
    wait_equal(&mut c, &mut r);
    c.run("FLUSHALL");
    c.run("SET after flush");
    wait_in_step(&mut c);
    assert_eq!(held(&mut r).keys().collect::<Vec<_>>(), ["after"]);
}

/// With `redis.write = "through"` a reply waits for Redis wherever the transaction began.
#[test]
fn a_transaction_that_selects_the_database_of_redis_waits_for_redis() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let daemon = setup(&redis).with("redis.write", r#""through""#).start();
    let mut c = daemon.connect();
    c.run("SET before 1");
    let mut degraded = number(&mut c, "redis_degraded_writes");
    for (db, select, counts) in [(1, "SELECT 0", true), (0, "SELECT 1", false)] {
        wait_in_step(&mut c);
        redis.pause();
        assert_eq!(c.run(&format!("SELECT {db}")), Reply::ok());
        for line in ["MULTI", select, "SET k v", "EXEC"] {
            assert!(!c.run(line).is_error(), "{line}");
        }
        degraded += u64::from(counts);
        assert_eq!(number(&mut c, "redis_degraded_writes"), degraded, "from {db}");
        redis.resume();
    }
}

/// It was begun in another database: what Redis has was taken for absent, and overwritten.
#[test]
fn a_transaction_that_selects_the_database_of_redis_asks_redis_first() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let daemon = patient(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    r.run("SET count 41");
    r.run("SET elsewhere 1");
    wait_in_step(&mut c);
    c.run("SELECT 3");
    for line in ["MULTI", "INCR elsewhere", "SELECT 0", "INCR count", "SELECT 3", "GET count"] {
        c.run(line);
    }
    let (one, counted) = (Reply::Int(1), Reply::Int(42));
    let due = vec![one, Reply::ok(), counted, Reply::ok(), Reply::Nil];
    assert_eq!(c.run("EXEC"), Reply::Array(due));
    wait_in_step(&mut c);
    assert_eq!(r.run("MGET count elsewhere"), Reply::Array(["42", "1"].map(Reply::bulk).into()));
}

/// Without its marker Redis looks, over the next connection, as if it had lost its data: what was
/// flushed, and what others wrote since, was overwritten with what memory held.
#[test]
fn what_others_flush_stays_gone_when_the_connection_breaks_later() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    // No connection is given up but the one that is to be.
    let daemon = patient(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("SET flushed 1");
    r.run("SET read 1");
    wait_in_step(&mut c);
    wait_until("it was read", || c.run("GET read") == Reply::bulk("1"));
    // Each master of a Cluster has one.
    let markers = |r: &mut Raw| {
        let keys: BTreeSet<String> =
            r.run("KEYS seawall:outbox:*").items().iter().map(Reply::text).collect();
        keys
    };
    let away: [fn(&str) -> String; 2] = [|_| "FLUSHALL".into(), |marker| format!("DEL {marker}")];
    let all = markers(&mut r);
    for take_away in away {
        let one = all.first().expect("there is a marker");
        r.run(&take_away(one));
        wait_until("the marker is there again", || markers(&mut r) == all);
    }
    r.run("SET read 2");
    let tracking = daemon.events("links/redis-tracker", "tracking");
    r.run("CLIENT KILL TYPE normal SKIPME yes");
    wait_until("there is a new connection", || {
        daemon.events("links/redis-tracker", "tracking") > tracking
    });
    c.run("SET written 3");
    wait_in_step(&mut c);
    let there: Vec<_> = held(&mut r).into_iter().map(|(key, (value, _))| (key, value)).collect();
    let due = [("read", "2"), ("written", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(there, due);
    assert_eq!(number(&mut c, "redis_outbox_conflicts"), 0);
}

/// The number of the issue, small: an outage, a crash in it, expiries in it, and both agree.
#[test]
fn an_outage_with_a_crash_in_it_loses_nothing_and_brings_nothing_back() {
    // With less Redis may answer before a write is in its file.
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = RedisServer::listening(&durable) else { return };
    let mut daemon = setup(&redis).start();
    let mut c = daemon.connect();
    for n in 0..500 {
        c.send(&["SET", &format!("k{n}"), "old"]);
    }
    (0..500).for_each(|_| assert_eq!(c.receive(), Reply::ok()));
    wait_in_step(&mut c);
    redis.kill();
    wait_away(&mut c);
    for n in 0..3000 {
        let key = format!("k{}", n * 7 % 800);
        match n % 10 {
            0 => c.send(&["DEL", &key]),
            1 => c.send(&["SET", &key, "brief", "PX", "200"]),
            _ => c.send(&["SET", &key, &n.to_string()]),
        }
    }
    (0..3000).for_each(|_| drop(c.receive()));
    daemon.kill();
    daemon.restart();
    let mut c = daemon.connect();
    c.run("SET since 1");
    std::thread::sleep(Duration::from_millis(250));
    redis.restart();
    let mut r = redis.connect();
    wait_equal(&mut c, &mut r);
    let there = held(&mut r);
    assert!(there.values().all(|(value, _)| value != "brief"), "nothing expired comes back");
    assert_eq!(number(&mut c, "redis_reconciles"), 0, "the log reaches back");
}

#[test]
fn a_redis_that_lost_its_data_is_given_everything() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    let mut daemon = setup(&redis).start();
    let mut c = daemon.connect();
    for n in 0..2000 {
        c.send(&["SET", &format!("k{n}"), &n.to_string(), "PX", "1000000"]);
    }
    (0..2000).for_each(|_| assert_eq!(c.receive(), Reply::ok()));
    wait_in_step(&mut c);
    redis.restart();
    let mut r = redis.connect();
    // Nobody has to write for it to be noticed.
    daemon.wait_log("a comparison", |line| line["event"] == "reconciling" && line["done"] == true);
    wait_equal(&mut c, &mut r);
    assert_eq!(number(&mut c, "redis_reconciled_keys"), 2000);
    // It is known again: a restart of the daemon compares nothing.
    daemon.stop();
    daemon.restart();
    let mut c = daemon.connect();
    c.run("SET more 1");
    wait_equal(&mut c, &mut r);
    assert_eq!(number(&mut c, "redis_reconciles"), 0);
}

#[test]
fn a_redis_that_comes_back_with_an_older_state_is_sent_what_it_lost() {
    let Some(mut redis) = RedisServer::listening(&["--dbfilename", "dump.rdb"]) else { return };
    let daemon = setup(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("SET a 1");
    wait_in_step(&mut c);
    assert_eq!(r.run("SAVE"), Reply::ok());
    c.run("SET a 2");
    c.run("SET b 1");
    wait_in_step(&mut c);
    redis.restart();
    let mut r = redis.connect();
    wait_until("what was lost is there", || r.run("GET b") == Reply::bulk("1"));
    wait_equal(&mut c, &mut r);
    assert_eq!(number(&mut c, "redis_reconciles"), 0, "the marker tells");
}

#[test]
fn through_waits_for_redis_and_not_for_one_that_is_away() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    let mut daemon = setup(&redis).with("redis.write", r#""through""#).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("SET first 1");
    wait_in_step(&mut c);
    let before = number(&mut c, "redis_degraded_writes");
    for n in 0..50 {
        let key = format!("k{n}");
        match n % 3 {
            0 => drop(c.call(&["SET", &key, "v"])),
            1 => drop(c.call(&["MSET", &key, "v", "other", &key])),
            _ => {
                c.run("MULTI");
                c.call(&["SET", &key, "v"]);
                c.run("EXEC");
            }
        }
        assert_eq!(r.call(&["GET", &key]), Reply::bulk("v"), "Redis has it before the reply");
    }
    assert_eq!(number(&mut c, "redis_degraded_writes"), before);
    redis.pause();
    let begun = Instant::now();
    assert_eq!(c.run("SET hung 1"), Reply::ok());
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(330 + 300), "{took:?}: no longer than redis.timeout");
    wait_until("the outbox waits", || info(&mut c, "redis_outbox") == "waiting");
    let begun = Instant::now();
    (0..20).for_each(|n| drop(c.run(&format!("SET away{n} 1"))));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(300), "{took:?}: nobody waits for one that is away");
    assert!(number(&mut c, "redis_degraded_writes") >= 21);
    redis.resume();
    wait_equal(&mut c, &mut r);
    daemon.configure("redis.write", r#""behind""#);
    daemon.wait_log("the change", |line| line["key"] == "redis.write");
    let before = number(&mut c, "redis_degraded_writes");
    redis.kill();
    wait_away(&mut c);
    assert_eq!(number(&mut c, "redis_degraded_writes"), before);
}

/// What others write while a write waits here.
#[track_caller]
fn conflicting(rule: &str) -> (String, String) {
    let redis = RedisServer::listening(&[]).expect("asked before");
    let Tier { daemon, proxy, redis } = Tier::before(redis, |setup, way| {
        setup
            .with("redis.url", &format!(r#""redis://{}""#, way.address()))
            .with("redis.conflict", &format!(r#""{rule}""#))
    });
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("SET k before");
    wait_in_step(&mut c);
    proxy.door(Door::Refused);
    proxy.cut(Cut::Reset);
    wait_away(&mut c);
    c.run("SET k here");
    c.run("SET fresh here");
    r.run("SET k there");
    proxy.heal();
    wait_in_step(&mut c);
    (r.run("GET k").text(), r.run("GET fresh").text())
}

#[test]
fn who_wins_after_an_outage_is_as_configured() {
    if RedisServer::listening(&[]).is_none() {
        return;
    }
    let told = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(conflicting("local"), told("here", "here"));
    assert_eq!(conflicting("newest"), told("here", "here"));
    assert_eq!(conflicting("redis"), told("there", "here"));
}

#[test]
fn the_log_is_let_go_when_it_is_full_and_everything_is_compared_then() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    let daemon = setup(&redis)
        .with("wal.segment_size", r#""1MiB""#)
        .with("wal.max_size", r#""4MiB""#)
        .with("wal.retention", r#""1s""#)
        .with("wal.compress_above", r#""0B""#)
        .start();
    let mut c = daemon.connect();
    c.run("SET first 1");
    wait_in_step(&mut c);
    redis.kill();
    wait_away(&mut c);
    let value = "v".repeat(20_000);
    let mut written = 0;
    let mut line = None;
    while line.is_none() {
        assert!(written < 20_000, "the log is never let go:\n{}", daemon.log_text());
        c.call(&["SET", &format!("k{}", written % 50), &format!("{written}{value}")]);
        written += 1;
        line = daemon.log_text().lines().find(|l| l.contains("no longer kept for Redis")).map(drop);
    }
    // Until the part that Redis has not seen is gone.
    wait_for("old log is deleted", || {
        c.call(&["SET", &format!("k{}", written % 50), &format!("{written}{value}")]);
        written += 1;
        let deleted = super::support::http::get(daemon.admin(), "/metrics").1;
        deleted
            .lines()
            .find_map(|line| line.strip_prefix("seawall_log_deleted_segments_total "))
            .and_then(|n| n.parse::<f64>().ok())
            .filter(|n| *n > 8.0)
    });
    redis.restart();
    let mut r = redis.connect();
    wait_equal(&mut c, &mut r);
    assert!(number(&mut c, "redis_reconciles") >= 1);
}

/// Memory does not tell what was deleted; the part of the log that does is gone.
#[test]
fn deletions_in_a_log_that_was_let_go_are_made_up_for() {
    let Some(mut redis) = RedisServer::listening(&["--appendonly", "yes"]) else { return };
    let mut daemon = setup(&redis)
        .with("wal.segment_size", r#""1MiB""#)
        .with("wal.max_size", r#""4MiB""#)
        .with("wal.retention", r#""1s""#)
        .with("wal.compress_above", r#""0B""#)
        .start();
    let mut c = daemon.connect();
    for n in 0..40 {
        c.run(&format!("SET gone{n} v"));
    }
    c.run("SET stays v");
    wait_in_step(&mut c);
    redis.connect().run("SET theirs untouched");
    redis.kill();
    wait_away(&mut c);
    (0..30).for_each(|n| assert_eq!(c.run(&format!("DEL gone{n}")), Reply::Int(1)));
    c.run("SET gone0 again");
    let value = "v".repeat(20_000);
    let mut written = 0;
    let mut write = |c: &mut Raw| {
        written += 1;
        c.call(&["SET", &format!("k{}", written % 50), &format!("{written}{value}")]);
    };
    // Until what Redis has not seen is deleted, and the deletions with it.
    let deleted = |daemon: &Daemon| {
        let log = std::fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
        let names = log.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
        let first_lsn = |name: String| name.strip_suffix(".wal")?.split_once('-')?.1.parse().ok();
        names.filter_map(first_lsn).min().is_some_and(|first: u64| first > 100)
    };
    wait_until("the log is let go", || {
        (0..20).for_each(|_| write(&mut c));
        deleted(&daemon)
    });
    assert!(daemon.log_text().contains("What was deleted meanwhile is kept"));
    (30..40).for_each(|n| assert_eq!(c.run(&format!("DEL gone{n}")), Reply::Int(1)));
    daemon.kill();
    daemon.restart();
    let mut c = daemon.connect();
    redis.restart();
    let mut r = redis.connect();
    wait_in_step(&mut c);
    assert_eq!(number(&mut c, "redis_reconciles"), 1);
    assert_eq!(r.run("GET theirs"), Reply::bulk("untouched"), "nobody here deleted it");
    r.run("DEL theirs");
    wait_equal(&mut c, &mut r);
    assert_eq!(r.run("GET gone0"), Reply::bulk("again"));
    assert_eq!(r.run("EXISTS gone1 gone29 gone30 gone39"), Reply::Int(0));
    assert!(!daemon.dir().join("data/OUTBOX.gone").exists(), "it is made up for");
}

#[test]
fn a_stop_sends_what_waits_and_says_what_it_could_not() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    // As long as it takes on a busy machine.
    let mut daemon = setup(&redis).with("redis.drain", r#""20s""#).start();
    let mut c = daemon.connect();
    for n in 0..3000 {
        c.send(&["SET", &format!("k{n}"), "v"]);
    }
    (0..3000).for_each(|_| assert_eq!(c.receive(), Reply::ok()));
    daemon.stop();
    assert!(daemon.log_text().contains("Redis has everything"), "{}", daemon.log_text());
    assert_eq!(held(&mut redis.connect()).len(), 3000);
    daemon.configure("redis.drain", r#""300ms""#);
    daemon.restart();
    let mut c = daemon.connect();
    wait_in_step(&mut c);
    redis.kill();
    wait_away(&mut c);
    daemon.stop();
    assert!(daemon.log_text().contains("Redis does not have everything yet"));
}

#[test]
fn a_tier_without_a_log_is_refused() {
    let (code, log) = Setup::new()
        .with("redis.url", r#""redis://127.0.0.1:1/0""#)
        .with("wal.enabled", "false")
        .fails();
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("set wal.enabled to true"), "{log}");
}
