//! A shard that lost its store in the middle of a change gets it back from the newest snapshot
//! and the log behind it; a record that crashes whoever applies it does not stand in the way.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Daemon, Raw, Reply, Setup, http, wait_for, wait_until};

const KEYS: usize = 600;

fn key(n: usize) -> String {
    format!("key:{n}")
}

fn three_shards() -> Setup {
    Setup::new().with("cache.shards", "3").with("debug.drills", "true")
}

/// Writes every key, half of them before a snapshot and half of them behind it; of the first half
/// some are changed behind it. Returns what is right.
fn written(client: &mut Raw) -> BTreeMap<String, String> {
    let mut right = BTreeMap::new();
    let mut set = |client: &mut Raw, n: usize, value: String| {
        client.send(&["SET", &key(n), &value]);
        right.insert(key(n), value);
    };
    (0..KEYS / 2).for_each(|n| set(client, n, format!("before {n}")));
    (0..KEYS / 2).for_each(|_| assert_eq!(client.receive(), Reply::ok()));
    assert_eq!(client.run("SAVE"), Reply::ok());
    (KEYS / 2 - 50..KEYS).for_each(|n| set(client, n, format!("behind {n}")));
    (KEYS / 2 - 50..KEYS).for_each(|_| assert_eq!(client.receive(), Reply::ok()));
    for n in 0..20 {
        assert_eq!(client.run(&format!("DEL {}", key(n))), Reply::Int(1));
        right.remove(&key(n));
    }
    right
}

fn arm(client: &mut Raw, point: &str) {
    let hits = client.run(&format!("SW.DRILL POINT {point}"));
    assert!(matches!(hits, Reply::Int(_)), "{hits:?}");
}

/// Has a shard die in the middle of a change; returns the key that was changed.
fn crash_a_shard(client: &mut Raw) -> String {
    arm(client, "store.commit 1*panic->off");
    let key = key(KEYS - 1);
    let reply = client.run(&format!("SET {key} crash"));
    assert!(reply.is_error() && reply.text().contains("outcome unknown"), "{reply:?}");
    key
}

fn check(client: &mut Raw, right: &BTreeMap<String, String>) {
    for n in 0..KEYS {
        let expected = right.get(&key(n)).map_or(Reply::Nil, Reply::bulk);
        assert_eq!(client.call(&["GET", &key(n)]), expected, "{}", key(n));
    }
}

fn rebuilt(daemon: &mut Daemon) -> Value {
    daemon.wait_log("a rebuild", |line| line["message"] == "rebuilt")
}

#[test]
fn only_the_crashed_shard_is_loading_and_it_comes_back_whole() {
    let mut daemon = three_shards().start();
    let mut client = daemon.connect();
    let right = written(&mut client);
    arm(&mut client, "rebuild.begin sleep(400)");
    crash_a_shard(&mut client);
    // Until the restart is seen, a reply may also be that the shard is down.
    let mut loading = 0;
    for n in 20..KEYS {
        let reply = client.call(&["GET", &key(n)]);
        if reply.is_error() {
            assert!(reply.text().starts_with("LOADING Seawall is rebuilding shard"), "{reply:?}");
            loading += 1;
        } else {
            assert_eq!(reply, Reply::bulk(&right[&key(n)]));
        }
    }
    assert!((50..KEYS / 2).contains(&loading), "{loading} of {KEYS} keys");
    assert_eq!(http::get(daemon.admin(), "/readyz").0, 200);
    let line = rebuilt(&mut daemon);
    assert!(line["entries"].as_u64().is_some_and(|n| n < KEYS as u64 / 2), "{line}");
    wait_until("the shard is back", || !client.call(&["GET", &key(KEYS - 1)]).is_error());
    check(&mut client, &right);
    // It was the snapshot that was read, not the log from its first record on.
    assert!(daemon.log_text().contains("snapshot loaded"), "{}", daemon.log_text());
    // What is written now is in the log as ever.
    assert_eq!(client.run(&format!("SET {} again", key(KEYS - 1))), Reply::ok());
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    assert_eq!(client.call(&["GET", &key(KEYS - 1)]), Reply::bulk("again"));
}

#[test]
fn a_command_waits_for_a_rebuild_as_long_as_it_is_told_to() {
    let mut daemon = three_shards().start();
    let mut client = daemon.connect();
    let right = written(&mut client);
    for (wait, waits) in [("20ms", false), ("20s", true)] {
        let set = format!("CONFIG SET cache.recovery_wait {wait}");
        assert_eq!(client.run(&set), Reply::ok());
        arm(&mut client, "rebuild.begin 1*sleep(300)->off");
        let key = crash_a_shard(&mut client);
        let begun = Instant::now();
        // One command of one shard, and one of all shards.
        let mut other = daemon.connect();
        other.send(&["DBSIZE"]);
        let one = client.call(&["GET", &key]);
        let all = other.receive();
        if waits {
            assert_eq!(one, Reply::bulk(&right[&key]));
            assert_eq!(all, Reply::Int(right.len() as i64));
        } else {
            assert!(one.text().starts_with("LOADING"), "{one:?}");
            assert!(all.text().starts_with("LOADING"), "{all:?}");
            assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
            wait_until("it is back", || !client.call(&["GET", &key]).is_error());
        }
    }
    check(&mut client, &right);
    daemon.stop();
}

/// The sixth of six records, twice: every attempt begins with the first.
const SIXTH_TWICE: &str = "load.apply=5*off->1*panic->5*off->1*panic->off";

#[test]
fn a_record_that_crashes_twice_is_set_aside_and_the_start_goes_on() {
    let setup = Setup::new().with("cache.shards", "1").env("SEAWALL_FAILPOINTS", SIXTH_TWICE);
    let mut daemon = setup.start();
    let mut client = daemon.connect();
    for n in 0..6 {
        assert_eq!(client.run(&format!("SET key:{n} {n}")), Reply::ok());
    }
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    for n in 0..5 {
        assert_eq!(client.run(&format!("GET key:{n}")), Reply::bulk(n.to_string()));
    }
    assert_eq!(client.run("GET key:5"), Reply::Nil);
    let line = daemon.wait_log("what was set aside", |line| {
        line["message"].as_str().is_some_and(|text| text.contains("is set aside"))
    });
    assert_eq!((line["level"].as_str(), line["key"].as_str()), (Some("ERROR"), Some("key:5")));
    let copy = daemon.dir().join(line["copy"].as_str().expect("a copy"));
    let copy: Value =
        serde_json::from_str(&fs::read_to_string(copy).expect("the copy")).expect("JSON");
    assert_eq!(copy["key"].as_str(), Some("key:5"));
    assert!(copy["place"].as_str().is_some_and(|place| place.starts_with("record-")), "{copy}");
    wait_for("the metric", || {
        let (_, text) = http::get(daemon.admin(), "/metrics");
        text.contains("seawall_load_set_aside_total 1\n").then_some(())
    });
    // The key can be written again, and that stays.
    assert_eq!(client.run("SET key:5 anew"), Reply::ok());
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.connect().run("GET key:5"), Reply::bulk("anew"));
}

#[test]
fn a_record_that_crashes_once_is_applied() {
    let setup = Setup::new().with("cache.shards", "2");
    let mut daemon = setup.env("SEAWALL_FAILPOINTS", "load.apply=2*off->1*panic->off").start();
    let mut client = daemon.connect();
    for n in 0..6 {
        assert_eq!(client.run(&format!("SET key:{n} {n}")), Reply::ok());
    }
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    for n in 0..6 {
        assert_eq!(client.run(&format!("GET key:{n}")), Reply::bulk(n.to_string()));
    }
    assert!(!daemon.dir().join("data/quarantine").exists());
}

/// Another number of shards than the snapshot and the log were written with, keys whose time
/// comes while the daemon is down, and limits that the entries no longer fit into.
#[test]
fn shards_expiry_and_limits_may_change_between_two_starts() {
    let mut daemon = three_shards().start();
    let mut client = daemon.connect();
    let right = written(&mut client);
    for n in 0..50 {
        assert_eq!(client.run(&format!("SET soon:{n} x PX 300")), Reply::ok());
    }
    daemon.kill();
    std::thread::sleep(Duration::from_millis(310));
    for shards in ["5", "1", "2"] {
        daemon.configure("cache.shards", shards);
        daemon.restart();
        let mut client = daemon.connect();
        check(&mut client, &right);
        assert_eq!(client.run("EXISTS soon:1"), Reply::Int(0), "{shards} shards");
        wait_until("the expired are gone", || client.run("DBSIZE").int() == right.len() as i64);
        crash_a_shard(&mut client);
        wait_until("it is rebuilt", || !client.call(&["GET", &key(KEYS - 1)]).is_error());
        check(&mut client, &right);
        daemon.kill();
    }
    daemon.configure("cache.max_entries", "100");
    daemon.restart();
    let mut client = daemon.connect();
    wait_until("the limit holds", || client.run("DBSIZE").int() <= 100);
    crash_a_shard(&mut client);
    wait_until("it is rebuilt", || !client.call(&["GET", &key(KEYS - 1)]).is_error());
    wait_until("the limit holds still", || client.run("DBSIZE").int() <= 100);
    for held in client.run("KEYS *").items() {
        let value = client.call(&["GET", &held.text()]).text();
        assert_eq!(right.get(&held.text()), Some(&value));
    }
}
