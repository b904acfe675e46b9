use seawall_actors::cache::store::{Eviction, StoreConfig};

use crate::resp::commands::testing::{START, World};

#[test]
fn ifeq_sets_only_over_the_expected_value() {
    let mut world = World::new(1);
    assert_eq!(world.run("SET k new IFEQ old"), "$-1\r\n");
    assert_eq!(world.run("EXISTS k"), ":0\r\n");
    world.run("SET k old");
    assert_eq!(world.run("SET k new IFEQ other"), "$-1\r\n");
    assert_eq!(world.run("SET k new IFEQ old PX 5000"), "+OK\r\n");
    assert_eq!(world.run("SET k newer IFEQ other GET"), "$3\r\nnew\r\n");
    assert_eq!(world.run("PTTL k"), ":5000\r\n");
    for conflict in ["NX IFEQ a", "IFEQ a XX", "IFEQ a IFEQ a", "IFEQ"] {
        assert_eq!(
            world.run(&format!("SET k v {conflict}")),
            "-ERR syntax error\r\n",
            "{conflict}"
        );
    }
}

#[test]
fn the_default_ttl_applies_where_none_is_given() {
    let config = StoreConfig { default_ttl_ms: Some(9_000), ..StoreConfig::default() };
    let mut world = World::with(1, config);
    for line in [
        "SET k v",
        "SETNX k v",
        "MSET k v",
        "INCR k",
        "APPEND k v",
        "SET k v KEEPTTL",
        "GETSET k v",
    ] {
        world.run("DEL k");
        world.run(line);
        assert_eq!(world.run("PTTL k"), ":9000\r\n", "{line}");
    }
    world.run("SET k 1 PX 500");
    for line in ["INCR k", "APPEND k 0", "SETRANGE k 0 1", "INCRBYFLOAT k 1", "SET k 2 KEEPTTL"] {
        world.run(line);
        assert_eq!(world.run("PTTL k"), ":500\r\n", "{line}");
    }
    world.run("PERSIST k");
    assert_eq!(world.run("TTL k"), ":-1\r\n");
}

#[test]
fn values_beyond_the_limit_are_refused_whatever_makes_them() {
    let mut world = World::new(1);
    world.limits.max_value = 4;
    world.run("SET k abc");
    let refusal = "-ERR value of 5 bytes exceeds validation.max_value (4)\r\n";
    for line in [
        "SET k abcde",
        "SETNX new abcde",
        "SETEX k 10 abcde",
        "GETSET k abcde",
        "MSET k a new abcde",
        "APPEND k de",
        "SETRANGE k 4 e",
    ] {
        assert_eq!(world.run(line), refusal, "{line}");
    }
    assert_eq!(world.run("GET k"), "$3\r\nabc\r\n");
    assert_eq!(world.run("APPEND k d"), ":4\r\n");
}

#[test]
fn a_ttl_beyond_the_limit_is_refused_whatever_sets_it() {
    let mut world = World::new(1);
    world.limits.max_ttl_ms = Some(60_000);
    world.run("SET k v");
    let at = START / 1000 + 61;
    for line in [
        "SET k w EX 61".to_owned(),
        "SETEX k 61 w".to_owned(),
        "GETEX k PX 60001".to_owned(),
        format!("SET k w EXAT {at}"),
        format!("EXPIREAT k {at}"),
        "EXPIRE k 61".to_owned(),
    ] {
        let refusal = "-ERR time to live exceeds validation.max_ttl (60s)\r\n";
        assert_eq!(world.run(&line), refusal, "{line}");
    }
    assert_eq!(world.run("TTL k"), ":-1\r\n");
    assert_eq!(world.run("EXPIRE k 60"), ":1\r\n");
}

#[test]
fn mset_that_does_not_fit_changes_nothing() {
    for shards in [1, 3] {
        let config =
            StoreConfig { max_entries: 2, eviction: Eviction::None, ..StoreConfig::default() };
        let mut world = World::with(shards, config);
        world.run("SET a old");
        world.run("PEXPIRE a 5000");
        let refusal = world.run("MSET a new b 1 a newer c 1 d 1 e 1 f 1 g 1 h 1 i 1");
        assert_eq!(refusal, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        assert_eq!(world.run("GET a"), "$3\r\nold\r\n", "{shards} shards");
        assert_eq!(world.run("PTTL a"), ":5000\r\n");
        assert_eq!(world.run("DBSIZE"), ":1\r\n");
    }
}

#[test]
fn a_write_leaves_its_effect_not_its_wording() {
    let mut world = World::new(1);
    world.run("INCRBY n 5");
    world.run("APPEND n 0");
    world.run("GETDEL n");
    world.run("SET n v PX 7");
    assert_eq!(
        world.effects(),
        [
            "set 0 n 5 None",
            "set 0 n 50 None",
            "delete 0 n",
            &format!("set 0 n v Some({})", START + 7)
        ]
    );
}

#[test]
fn no_touch_reads_leave_the_idle_time() {
    let mut world = World::new(1);
    world.run("SET k v");
    world.now += 10_000;
    world.no_touch = true;
    world.run("GET k");
    assert_eq!(world.run("OBJECT IDLETIME k"), ":10\r\n");
    world.run("TOUCH k");
    assert_eq!(world.run("OBJECT IDLETIME k"), ":0\r\n");
}

#[test]
fn reads_count_hits_and_misses() {
    let mut world = World::new(1);
    world.run("SET k v");
    world.run("MGET k absent k");
    world.run("STRLEN absent");
    let counted: Vec<_> = world.stores().map(|s| (s.stats().hits, s.stats().misses)).collect();
    assert_eq!(counted, [(2, 2)]);
}

#[test]
fn an_empty_key_is_refused_by_the_name_of_the_limit() {
    let mut world = World::new(1);
    let refused = "-ERR invalid key: empty; validation.max_key_length allows 1 to 1000\r\n";
    for line in ["set \"\" v", "get \"\"", "mset a 1 \"\" 2"] {
        assert_eq!(world.run(line), refused, "{line}");
    }
}
