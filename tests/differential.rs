//! The same random script over the wire to Seawall and to a real Redis: the same bytes back.
//!
//! Two connections to each server, pipelined, several databases, MULTI, EXEC and WATCH mixed in,
//! RESP2 and RESP3. `SEAWALL_SEED` repeats a run, `SEAWALL_COMMANDS` sets its length.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Setup, seed, setting};

const KEYS: [&str; 6] = ["a", "b", "c", "key:1", "key:2", "{a}x"];
const VALUES: [&str; 12] = [
    "",
    "0",
    "-1",
    "10",
    "3.5",
    "hello",
    "9223372036854775807",
    "a\r\nb",
    "caf\u{e9}",
    "a value that is longer than forty-four bytes, so that Redis holds it apart",
    " 7",
    "1e3",
];
const NUMBERS: [&str; 9] = ["0", "1", "-1", "5", "-5", "100", "x", "9223372036854775807", "1.5"];

type Line = Vec<String>;

fn pick(rng: &mut SmallRng, words: &[&str]) -> String {
    words.choose(rng).copied().unwrap_or_default().to_owned()
}

/// A command whose reply does not depend on the time of day or on the server.
fn line(rng: &mut SmallRng) -> Line {
    let mut key = || pick(rng, &KEYS);
    let (one, two, three) = (key(), key(), key());
    let mut value = || pick(rng, &VALUES);
    let (first, second) = (value(), value());
    let number = pick(rng, &NUMBERS);
    let other = pick(rng, &NUMBERS);
    // A year from now and more; absolute, so that both servers hold the same time.
    let at = (2_100_000_000 + rng.random_range(0..1000)).to_string();
    let words: &[&str] = match rng.random_range(0..47) {
        0..=4 => &["SET", &one, &first],
        5 => &["SET", &one, &first, "NX"],
        6 => &["SET", &one, &first, "XX", "GET"],
        7 => &["SET", &one, &first, "EXAT", &at],
        8 => &["SET", &one, &first, "KEEPTTL"],
        9 => &["set", &one, &first, "EX", ["0", "-1", "x", "1.5"][rng.random_range(0..4)]],
        10..=12 => &["GET", &one],
        13 => &["GETDEL", &one],
        14 => &["GETEX", &one, "EXAT", &at],
        15 => &["MGET", &one, &two, &three],
        16 => &["MSET", &one, &first, &two, &second],
        17 => &["MSETNX", &one, &first, &two, &second],
        18 => &["INCR", &one],
        19 => &["INCRBY", &one, &number],
        20 => &["DECRBY", &one, &number],
        21 => &["INCRBYFLOAT", &one, &number],
        22 => &["APPEND", &one, &first],
        23 => &["STRLEN", &one],
        24 => &["GETRANGE", &one, &number, &other],
        25 => &["SETRANGE", &one, "3", &first],
        26 => &["DEL", &one, &two],
        27 => &["UNLINK", &one],
        28 => &["EXISTS", &one, &two, &one],
        29 => &["TYPE", &one],
        30 => &["RENAME", &one, &two],
        31 => &["RENAMENX", &one, &two],
        32 => &["COPY", &one, &two, "REPLACE"],
        33 => &["COPY", &one, &two, "DB", "1"],
        34 => &["MOVE", &one, "2"],
        35 => &["EXPIREAT", &one, &at, "GT"],
        36 => &["EXPIREAT", &one, &at],
        37 => &["EXPIRETIME", &one],
        38 => &["PERSIST", &one],
        39 => &["DBSIZE"],
        40 => &["TOUCH", &one, &two, &three],
        41 => &["SETNX", &one, &first],
        42 => &["NOSUCH", &one, &first],
        43 => &["GET", &one, &two],
        44 => &["ECHO", &first],
        45 => &["OBJECT", ["REFCOUNT", "nosuch"][rng.random_range(0..2)]],
        _ => &["PING", &first],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What one connection does next.
fn steps(rng: &mut SmallRng) -> Vec<Line> {
    let words = |line: &[&str]| vec![line.iter().map(|&word| word.to_owned()).collect::<Line>()];
    match rng.random_range(0..40) {
        0 => words(&["MULTI"]),
        1..=3 => words(&["EXEC"]),
        4 => words(&["DISCARD"]),
        5 => words(&["WATCH", KEYS[rng.random_range(0..KEYS.len())], "a"]),
        6 => words(&["UNWATCH"]),
        7 => words(&["SELECT", ["0", "1", "2", "16", "x"][rng.random_range(0..5)]]),
        8 if rng.random_ratio(1, 4) => words(&["FLUSHDB"]),
        8 if rng.random_ratio(1, 4) => words(&["SWAPDB", "0", "1"]),
        // A whole transaction, under a watch that another connection may break.
        9..=11 => {
            let mut all = words(&["WATCH", "a", "b"]);
            all.push(line(rng));
            all.extend(words(&["MULTI"]));
            all.extend((0..rng.random_range(0..5)).map(|_| line(rng)));
            all.extend(words(&["EXEC"]));
            all
        }
        _ => vec![line(rng)],
    }
}

fn show(line: &Line) -> String {
    line.iter().map(|word| word.escape_debug().to_string()).collect::<Vec<_>>().join(" ")
}

fn compare(daemon: &Daemon, redis: &RedisServer, protocol: &str) {
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut pairs: Vec<(Raw, Raw)> = (0..2).map(|_| (daemon.connect(), redis.connect())).collect();
    for (ours, theirs) in &mut pairs {
        assert!(!ours.call(&["HELLO", protocol]).is_error());
        assert!(!theirs.call(&["HELLO", protocol]).is_error());
    }
    let mut history: Vec<String> = Vec::new();
    let (mut sent, commands) = (0, setting("SEAWALL_COMMANDS", 6000));
    while sent < commands {
        // One connection at a time has requests under way: the order is the same on both sides.
        let who = rng.random_range(0..pairs.len());
        let (ours, theirs) = &mut pairs[who];
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..12) {
            batch.extend(steps(&mut rng));
        }
        for line in &batch {
            ours.send(line);
            theirs.send(line);
        }
        for line in batch {
            history.push(format!("{who}: {}", show(&line)));
            let (ours, theirs) = (ours.receive_bytes(), theirs.receive_bytes());
            assert!(
                ours == theirs,
                "SEAWALL_SEED={seed} RESP{protocol}\n{}\n  ours:   {}\n  theirs: {}",
                history[history.len().saturating_sub(60)..].join("\n"),
                ours.escape_ascii(),
                theirs.escape_ascii(),
            );
            sent += 1;
        }
    }
    // And at the end both hold the same.
    let (ours, theirs) = &mut pairs[0];
    for connection in [&mut *ours, &mut *theirs] {
        // Out of whatever was open.
        let _ = connection.run("DISCARD");
    }
    for db in ["0", "1", "2"] {
        let mut held = [&mut *ours, &mut *theirs].into_iter().map(|connection| {
            assert!(!connection.call(&["SELECT", db]).is_error());
            let mut keys: Vec<String> =
                connection.run("KEYS *").items().iter().map(|key| key.text()).collect();
            keys.sort();
            keys.into_iter()
                .map(|key| {
                    let value = connection.call(&["GET", &key]);
                    let until = connection.call(&["PEXPIRETIME", &key]);
                    (key, value, until)
                })
                .collect::<Vec<_>>()
        });
        let (ours, theirs) = (held.next(), held.next());
        assert_eq!(ours, theirs, "SEAWALL_SEED={seed} db {db}");
    }
}

#[test]
fn a_random_script_gets_the_same_bytes_in_resp2() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Setup::new().with("cache.shards", "3").with("validation.max_ttl", r#""0s""#);
    compare(&daemon.start(), &redis, "2");
}

#[test]
fn a_random_script_gets_the_same_bytes_in_resp3() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Setup::new().with("cache.shards", "5").with("validation.max_ttl", r#""0s""#);
    compare(&daemon.start(), &redis, "3");
}
