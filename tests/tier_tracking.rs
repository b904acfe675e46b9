//! What others change in Redis is seen here, whatever happens to the connection that tells of it.

use std::time::{Duration, Instant};

use super::support::proxy::{Cut, Flow};
use super::support::redis::RedisServer;
use super::support::tier::{TRACKER, Tier};
use super::support::{PATIENCE, Raw, Reply, wait_until};

/// How often Redis was asked for a key's value.
fn gets(tier: &Tier) -> u64 {
    tier.proxy.counts().of("GET")
}

/// Waits until a read gives this.
#[track_caller]
fn seen(client: &mut Raw, key: &str, wanted: &Reply) {
    wait_until(&format!("{key} is {wanted:?}"), || client.run(&format!("GET {key}")) == *wanted);
}

/// Reads twice: it is in memory then, and believed.
#[track_caller]
fn hold(client: &mut Raw, key: &str, value: &str) {
    for _ in 0..2 {
        assert_eq!(client.run(&format!("GET {key}")), Reply::bulk(value));
    }
}

#[test]
fn whatever_command_others_change_a_key_by_is_seen() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    let nil = Reply::Nil;
    for (change, wanted) in [
        ("SET k new", Reply::bulk("new")),
        ("APPEND k x", Reply::bulk("oldx")),
        ("SETRANGE k 0 b", Reply::bulk("bld")),
        ("DEL k", nil.clone()),
        ("UNLINK k", nil.clone()),
        ("GETDEL k", nil.clone()),
        ("RENAME k {k}other", nil.clone()),
        ("PEXPIRE k 1", nil.clone()),
        ("EXPIREAT k 1", nil.clone()),
        ("COPY {k}source k REPLACE", Reply::bulk("copied")),
        ("EVAL redis.call('SET',KEYS[1],'scripted') 1 k", Reply::bulk("scripted")),
        ("FLUSHDB", nil.clone()),
        ("FLUSHALL ASYNC", nil.clone()),
    ] {
        redis.run("SET {k}source copied");
        redis.run("SET k old");
        seen(&mut client, "k", &Reply::bulk("old"));
        hold(&mut client, "k", "old");
        assert!(!matches!(redis.run(change), Reply::Error(_)), "{change}");
        println!("{change}");
        seen(&mut client, "k", &wanted);
    }
    // Another type takes its place.
    redis.run("SET k old");
    seen(&mut client, "k", &Reply::bulk("old"));
    redis.run("DEL k");
    redis.run("HSET k f v");
    wait_until("it is a hash", || matches!(client.run("GET k"), Reply::Error(_)));
    redis.run("DEL k");
    redis.run("SET k again");
    seen(&mut client, "k", &Reply::bulk("again"));
    // Many at a time.
    let mset: Vec<String> = (0..1000).map(|i| format!("m{i} 1")).collect();
    redis.run(&format!("MSET {}", mset.join(" ")));
    for i in 0..1000 {
        client.run(&format!("GET m{i}"));
    }
    redis.run(&format!("MSET {}", mset.join(" ").replace(" 1", " 2")));
    for i in 0..1000 {
        seen(&mut client, &format!("m{i}"), &Reply::bulk("2"));
    }
}

/// WATCH, and what others do in Redis before EXEC.
#[test]
fn a_transaction_that_watches_a_key_fails_if_others_change_it() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    // One shard hears of everything in the order in which Redis tells it.
    let tier = Tier::with(
        redis,
        &[
            ("redis.timeout", r#""10s""#),
            ("redis.connect_timeout", r#""10s""#),
            ("cache.shards", "1"),
        ],
    );
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    let (mut other, mut told) = (tier.daemon.connect(), 0);
    for (before, change, runs) in [
        ("DEL k", "SET k theirs", false),
        ("SET k old", "SET k theirs", false),
        ("SET k old", "DEL k", false),
        ("DEL k", "LPUSH k theirs", false),
        ("SET k old", "FLUSHALL", false),
        ("DEL k", "FLUSHALL", false),
        ("SET k old", "SET another theirs", true),
    ] {
        // Whatever was changed before is heard of when this is.
        let mut hear = |redis: &mut Raw| {
            for _ in 0..2 {
                told += 1;
                redis.run(&format!("SET told {told}"));
                seen(&mut other, "told", &Reply::bulk(told.to_string()));
            }
        };
        for held in [false, true] {
            println!("{before}, {change}, in memory: {held}");
            redis.run("UNLINK k");
            redis.run(before);
            hear(&mut redis);
            if held {
                client.run("GET k");
            }
            assert_eq!(client.run("WATCH k"), Reply::ok());
            redis.run(change);
            hear(&mut redis);
            client.run("MULTI");
            client.run("SET mine 1");
            let ran = matches!(client.run("EXEC"), Reply::Array(_));
            assert_eq!(ran, runs, "{before}, {change}, in memory: {held}");
        }
    }
}

#[test]
fn a_time_to_live_that_others_change_is_taken_over() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    redis.run("SET k v");
    hold(&mut client, "k", "v");
    redis.run("EXPIRE k 1000");
    wait_until("it expires", || matches!(client.run("TTL k"), Reply::Int(n) if n > 900));
    redis.run("PERSIST k");
    wait_until("it does not", || client.run("TTL k") == Reply::Int(-1));
}

#[test]
fn only_prefixes_that_are_asked_for_are_announced() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut tier = Tier::with(redis, &[("redis.track_prefixes", r#"["u:", "s:"]"#)]);
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for key in ["u:1", "s:1", "x:1"] {
        redis.run(&format!("SET {key} old"));
        hold(&mut client, key, "old");
    }
    for key in ["x:1", "u:1", "s:1"] {
        redis.run(&format!("SET {key} new"));
    }
    seen(&mut client, "u:1", &Reply::bulk("new"));
    seen(&mut client, "s:1", &Reply::bulk("new"));
    hold(&mut client, "x:1", "old");
    // All of them, while it runs: what was missed until then is asked for again.
    tier.daemon.configure("redis.track_prefixes", "[]");
    seen(&mut client, "x:1", &Reply::bulk("new"));
    redis.run("SET x:1 newer");
    seen(&mut client, "x:1", &Reply::bulk("newer"));
    let info = client.run("INFO redis").text();
    assert!(info.contains("redis_tracking:1") && info.contains("redis_announced_flushes:0"));
}

/// Breaks the tracker's connection, changes a key meanwhile, and lets it be made again: memory
/// serves what it has until then, and no longer.
#[track_caller]
fn gap(begin: impl FnOnce(&Tier, &mut Raw), end: impl FnOnce(&Tier)) {
    let Some(tier) = Tier::start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    redis.run("SET k old");
    redis.run("SET calm same");
    hold(&mut client, "k", "old");
    hold(&mut client, "calm", "same");
    let (lost, tracking) =
        (tier.daemon.events(TRACKER, "impaired"), tier.daemon.events(TRACKER, "tracking"));
    begin(&tier, &mut redis);
    wait_until("it is noticed", || tier.daemon.events(TRACKER, "impaired") > lost);
    redis.run("SET k new");
    end(&tier);
    wait_until("it tracks again", || tier.daemon.events(TRACKER, "tracking") > tracking);
    // Without a link there is nobody to ask, and what is doubtful is better than nothing. Nor is
    // Redis believed before it is known to have what it was given.
    tier.wait_linked();
    seen(&mut client, "k", &Reply::bulk("new"));
    let before = gets(&tier);
    assert_eq!(client.run("GET calm"), Reply::bulk("same"));
    assert!(gets(&tier) <= before + 1);
    // And it is in step again.
    hold(&mut client, "k", "new");
    redis.run("SET k newer");
    seen(&mut client, "k", &Reply::bulk("newer"));
}

#[test]
fn a_tracker_whose_connection_is_killed_doubts_what_it_missed() {
    gap(
        |_, redis| {
            let list = redis.run("CLIENT LIST").text();
            let tracks = |line: &&str| {
                line.split(' ').any(|word| word.starts_with("flags=") && word.contains('B'))
            };
            let line = list.lines().find(tracks).expect("a connection that tracks");
            let at = line.split(' ').find_map(|word| word.strip_prefix("addr="));
            let kill = format!("CLIENT KILL ADDR {}", at.expect("an address"));
            assert_eq!(redis.run(&kill), Reply::Int(1));
        },
        |_| {},
    );
}

#[test]
fn a_tracker_that_is_cut_off_doubts_what_it_missed() {
    gap(|tier, _| tier.proxy.cut(Cut::Reset), |_| {});
}

#[test]
fn a_tracker_that_hangs_is_found_out_and_doubts_what_it_missed() {
    gap(
        |tier, _| tier.proxy.hang(),
        |tier| {
            tier.proxy.heal();
            tier.proxy.cut(Cut::Reset);
        },
    );
}

#[test]
fn announcements_that_are_late_are_heard_all_the_same() {
    let Some(tier) = Tier::start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    redis.run("SET k old");
    hold(&mut client, "k", "old");
    tier.proxy.replies(Flow::Delay(Duration::from_millis(50)));
    redis.run("SET k new");
    let began = Instant::now();
    seen(&mut client, "k", &Reply::bulk("new"));
    assert!(began.elapsed() < PATIENCE / 2);
    assert_eq!(tier.daemon.events(TRACKER, "impaired"), 0);
}

#[test]
fn a_redis_that_does_not_let_us_track_is_served_all_the_same_and_said() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut control = redis.connect();
    assert_eq!(control.run("ACL SETUSER wall on >brick ~* &* +@all -client|tracking"), Reply::ok());
    control.run("SET k old");
    let tier = Tier::launch(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://wall:brick@{}""#, proxy.address()))
            .with("redis.revalidate_after", r#""100ms""#)
    });
    let mut client = tier.daemon.connect();
    wait_until("it is said", || {
        tier.daemon.node(TRACKER).is_some_and(|node| {
            node["conditions"][0]["name"] == "not_tracking"
                && node["conditions"][0]["reason"]
                    .as_str()
                    .is_some_and(|why| why.contains("permission"))
        })
    });
    assert_eq!(client.run("GET k"), Reply::bulk("old"));
    control.run("SET k new");
    seen(&mut client, "k", &Reply::bulk("new"));
    // Allowed: the next connection tracks.
    assert_eq!(control.run("ACL SETUSER wall +client|tracking"), Reply::ok());
    tier.proxy.cut(Cut::Close);
    tier.wait_linked();
}

#[test]
fn our_own_writes_are_not_announced_to_us_and_stay_in_memory() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for n in 0..100 {
        client.run(&format!("SET own:{n} {n}"));
    }
    wait_until("Redis has them", || redis.run("GET own:99") == Reply::bulk("99"));
    // Announced behind whatever was announced before.
    hold(&mut client, "own:0", "0");
    redis.run("SET own:0 theirs");
    seen(&mut client, "own:0", &Reply::bulk("theirs"));
    let info = client.run("INFO redis").text();
    assert!(info.contains("redis_announced_keys:1\r\n"), "{info}");
    tier.proxy.forget();
    for n in 1..100 {
        assert_eq!(client.run(&format!("GET own:{n}")), Reply::bulk(n.to_string()));
    }
    assert_eq!(gets(&tier), 0, "nothing had to be asked for");
}
