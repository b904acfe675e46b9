use std::collections::{BTreeSet, HashSet};

use seawall_actors::cache::store::{Eviction, StoreConfig};

use crate::resp::commands::testing::World;
use crate::resp::reply::Proto;
use crate::resp::table::Run;

#[test]
fn no_two_commands_share_a_name_and_all_are_documented() {
    let mut names = HashSet::new();
    for command in crate::resp::commands::all() {
        assert!(names.insert(command.name), "{} twice", command.name);
        assert_eq!(
            crate::resp::table::find(command.name.as_bytes()).map(|c| c.name),
            Some(command.name)
        );
        let documented = [command.since, command.summary, command.complexity];
        assert!(documented.iter().all(|text| !text.is_empty()), "{}", command.name);
        assert_eq!(
            command.arity.abs() == 1,
            command.syntax.is_empty() || command.arity == -1,
            "{}",
            command.name
        );
        assert!(!matches!(command.run, Run::Data(_)) || command.keys.first > 0, "{}", command.name);
    }
}

#[test]
fn encodings_are_those_that_redis_would_choose() {
    let mut world = World::new(1);
    for (value, encoding) in [
        ("12", "int"),
        ("-9223372036854775808", "int"),
        ("9223372036854775808", "embstr"),
        ("012", "embstr"),
        (&"x".repeat(44), "embstr"),
        (&"x".repeat(45), "raw"),
    ] {
        world.run(&format!("SET k {value}"));
        assert_eq!(
            world.run("OBJECT ENCODING k"),
            format!("${}\r\n{encoding}\r\n", encoding.len())
        );
    }
    assert_eq!(world.run("OBJECT ENCODING absent"), "$-1\r\n");
}

#[test]
fn help_and_memory_answer_in_their_form() {
    let mut world = World::new(3);
    world.run("MSET a 1 b 2 c 3");
    assert!(world.run("OBJECT HELP").starts_with("*11\r\n+OBJECT <subcommand>"));
    assert!(world.run("MEMORY USAGE a SAMPLES 0").starts_with(':'));
    assert_eq!(world.run("MEMORY PURGE"), "+OK\r\n");
    assert!(world.run("MEMORY STATS").contains("keys.count\r\n:3\r\n"));
    world.proto = Proto::V3;
    assert!(world.run("MEMORY STATS").starts_with("%4\r\n"));
    assert!(world.run("MEMORY DOCTOR").starts_with('='));
    assert_eq!(
        world.run("MEMORY NONSENSE"),
        "-ERR unknown subcommand 'NONSENSE'. Try MEMORY HELP.\r\n"
    );
}

#[test]
fn flush_and_swap_stand_in_the_log_once() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        world.run("MSET a 1 b 2 c 3 d 4");
        world.effects();
        world.run("SWAPDB 0 1");
        world.run("FLUSHDB ASYNC");
        world.run("FLUSHALL");
        assert_eq!(world.run("DBSIZE"), ":0\r\n");
        let effects = world.effects();
        assert_eq!(effects.len(), 3, "{effects:?}");
    }
}

#[test]
fn a_rename_that_does_not_fit_leaves_the_key() {
    let config = StoreConfig { max_entries: 1, eviction: Eviction::None, ..StoreConfig::default() };
    let mut world = World::with(8, config);
    // Every shard holds one key: any name on another shard has no room.
    let mut full = 0;
    for i in 0..1000 {
        full += usize::from(world.run(&format!("SET k{i} v PX 5000")) == "+OK\r\n");
    }
    assert_eq!(full, 8);
    let listed = world.run("KEYS *");
    let key = listed.split("\r\n").find(|word| word.starts_with('k')).unwrap_or_default();
    let refused = (0..100)
        .filter(|i| world.run(&format!("RENAME {key} other{i}")).starts_with("-OOM"))
        .take(1)
        .count();
    assert_eq!(refused, 1);
    assert_eq!(world.run("DBSIZE"), ":8\r\n");
    assert!(!world.run("KEYS *").contains("$-1"));
}

#[test]
fn a_scan_returns_every_key_that_stays() {
    for shards in [1, 7] {
        let mut world = World::new(shards);
        (0..500).for_each(|i| drop(world.run(&format!("SET stay{i} v"))));
        let (mut cursor, mut seen, mut calls) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let reply = world.run(&format!("SCAN {cursor} MATCH stay* COUNT 7 TYPE string"));
            let words: Vec<&str> = reply.split("\r\n").collect();
            seen.extend(words.iter().filter(|w| w.starts_with("stay")).map(|w| (*w).to_owned()));
            cursor = words.get(2).copied().unwrap_or_default().to_owned();
            if cursor == "0" {
                break;
            }
            // Others come and go meanwhile.
            world.run(&format!("SET go{calls} v"));
            world.run(&format!("DEL go{}", calls / 2));
            calls += 1;
            assert!(calls < 5_000);
        }
        assert_eq!(seen.len(), 500, "{shards} shards");
    }
}

#[test]
fn a_random_key_comes_from_every_shard() {
    let mut world = World::new(4);
    (0..8).for_each(|i| drop(world.run(&format!("SET {i} v"))));
    let seen: HashSet<String> = (0..2000).map(|_| world.run("RANDOMKEY")).collect();
    assert_eq!(seen.len(), 8);
    world.now += 1;
    world.run("FLUSHALL");
    assert_eq!(world.run("RANDOMKEY"), "$-1\r\n");
}

#[test]
fn a_tier_command_is_known_with_its_keys() {
    let keys = |line: &[u8], argc| {
        crate::resp::table::find(line).map(|c| c.keys.indexes(argc).collect::<Vec<_>>())
    };
    assert_eq!(keys(b"HSET", 4), Some(vec![1]));
    assert_eq!(keys(b"bitop", 5), Some(vec![2, 3, 4]));
    assert_eq!(keys(b"blpop", 4), Some(vec![1, 2]));
    assert_eq!(keys(b"eval", 5), Some(vec![]));
}

#[test]
fn a_listing_larger_than_a_reply_may_be_is_refused() {
    let mut world = World::new(2);
    for i in 0..100 {
        world.run(&format!("SET {}{i} v", "k".repeat(100)));
    }
    world.limits.max_reply = 5_000;
    let refused = "-ERR the reply would be larger than server.output_buffer (5000); ask for less \
                   at once\r\n";
    for line in ["KEYS *", "SCAN 0 COUNT 1000"] {
        assert_eq!(world.run(line), refused, "{line}");
    }
    assert!(world.run("KEYS *1").starts_with("*10\r\n"));
    assert!(world.run("SCAN 0 COUNT 10").starts_with("*2\r\n"));
}
