//! Keyspace events: as in Redis, in its order, and only of what has happened.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Raw, Reply, Setup, seed, setting};

const KEYS: [&str; 5] = ["a", "b", "key:1", "key:2", "{a}x"];
const VALUES: [&str; 6] = ["", "0", "10", "3.5", "hello", "-7"];

/// What a listener gets until the answer to a PING that is sent now.
fn heard(listener: &mut Raw, token: &str) -> Vec<Vec<u8>> {
    listener.send(&["PING", token]);
    let mut frames = Vec::new();
    loop {
        let frame = listener.receive_bytes();
        if frame.ends_with(format!("{token}\r\n").as_bytes()) {
            return frames;
        }
        frames.push(frame);
    }
}

/// One command, or a whole transaction, line by line.
fn step(rng: &mut SmallRng) -> Vec<String> {
    if rng.random_ratio(1, 12) {
        let commands = (0..rng.random_range(1..5)).flat_map(|_| vec![command(rng)]);
        let mut all = vec!["MULTI".to_owned()];
        all.extend(commands);
        all.push("EXEC".to_owned());
        return all;
    }
    vec![command(rng)]
}

fn command(rng: &mut SmallRng) -> String {
    let mut pick = |words: &[&'static str]| words.choose(rng).copied().unwrap_or_default();
    let (one, two, three) = (pick(&KEYS), pick(&KEYS), pick(&KEYS));
    let (value, other) = (pick(&VALUES), pick(&VALUES));
    let number = pick(&["1", "-5", "x", "0"]);
    // A year from now and more; absolute, so that both servers hold the same time.
    let at = 2_100_000_000 + rng.random_range(0..1000);
    match rng.random_range(0..44) {
        0..=3 => format!("SET {one} {value}"),
        4 => format!("SET {one} {value} NX"),
        5 => format!("SET {one} {value} XX GET"),
        6 => format!("SET {one} {value} EXAT {at}"),
        7 => format!("SET {one} {value} KEEPTTL"),
        8 => format!("SETNX {one} {value}"),
        9 => format!("SETEX {one} 5000 {value}"),
        10 => format!("PSETEX {one} {number} {value}").replace(" 1 ", " 5000000 "),
        11 => format!("GETSET {one} {value}"),
        12 => format!("GETDEL {one}"),
        13 => format!("GETEX {one} EXAT {at}"),
        14 => format!("GETEX {one} PERSIST"),
        15 => format!("GETEX {one} EXAT 1"),
        16 => format!("GETEX {one}"),
        17..=18 => format!("MSET {one} {value} {two} {other} {three} 1"),
        19 => format!("MSETNX {one} {value} {two} {other}"),
        20 => format!("INCR {one}"),
        21 => format!("DECRBY {one} {number}"),
        22 => format!("INCRBYFLOAT {one} {number}"),
        23 => format!("APPEND {one} {value}"),
        24 => format!("SETRANGE {one} 3 {value}"),
        25..=26 => format!("DEL {one} {two} {three}"),
        27 => format!("UNLINK {one} {two}"),
        28 => format!("RENAME {one} {two}"),
        29 => format!("RENAMENX {one} {two}"),
        30 => format!("COPY {one} {two} REPLACE"),
        31 => format!("COPY {one} {two} DB 1"),
        32 => format!("MOVE {one} 1"),
        33 => format!("EXPIREAT {one} {at}"),
        34 => format!("EXPIREAT {one} {at} GT"),
        35 => format!("PEXPIREAT {one} 1"),
        36 => format!("EXPIRE {one} -1"),
        37 => format!("PERSIST {one}"),
        38 => ["FLUSHDB", "SWAPDB 0 1", "FLUSHALL"][rng.random_range(0..3)].to_owned(),
        39 => format!("SELECT {}", rng.random_range(0..3)),
        40 => format!("MGET {one} {two} {three}"),
        41 => format!("GET {one}"),
        42 => format!("STRLEN {one}"),
        _ => format!("TTL {one}"),
    }
}

#[test]
fn a_random_script_causes_the_events_that_it_causes_in_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon =
        Setup::new().with("cache.shards", "3").with("validation.max_ttl", r#""0s""#).start();
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut sides = [
        (daemon.connect(), daemon.connect(), daemon.connect()),
        (redis.connect(), redis.connect(), redis.connect()),
    ];
    for (_, by_key, by_event) in &mut sides {
        assert_eq!(by_key.run("CONFIG SET notify-keyspace-events AKEm"), Reply::ok());
        by_key.run("PSUBSCRIBE __keyspace@*__:*");
        by_event.run("PSUBSCRIBE __keyevent@*__:*");
    }
    let mut history = Vec::new();
    for number in 0..setting("SEAWALL_COMMANDS", 1500) {
        let lines = step(&mut rng);
        let told = sides.each_mut().map(|(writer, by_key, by_event)| {
            for line in &lines {
                writer.run(line);
            }
            let token = format!("token-{number}");
            [heard(by_key, &token), heard(by_event, &token)]
        });
        history.extend(lines);
        let show = |told: &[Vec<Vec<u8>>; 2]| told.concat().concat().escape_ascii().to_string();
        let [ours, theirs] = &told;
        assert!(
            ours == theirs,
            "SEAWALL_SEED={seed}\n{}\n  ours:   {}\n  theirs: {}",
            history[history.len().saturating_sub(30)..].join("\n"),
            show(ours),
            show(theirs),
        );
    }
}

#[test]
fn the_setting_reads_and_shows_as_in_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Setup::new().start();
    let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
    for letters in ["KEA", "", "Kx", "mEKgxn", "$lshzxetdg", "Anm", "q", "KE "] {
        for words in [
            &["CONFIG", "SET", "notify-keyspace-events", letters][..],
            &["CONFIG", "GET", "notify-keyspace-events"],
        ] {
            assert_eq!(ours.call(words), theirs.call(words), "{letters:?}");
        }
    }
}

/// Connects a writer and a listener of every event by its name.
fn with_listener(setup: Setup) -> (crate::support::Daemon, Raw, Raw) {
    let daemon = setup.with("server.notify_keyspace_events", r#""EAn""#).start();
    let (writer, mut listener) = (daemon.connect(), daemon.connect());
    listener.run("PSUBSCRIBE __keyevent@*__:*");
    (daemon, writer, listener)
}

fn event(frame: &Reply) -> String {
    let items = frame.items();
    format!("{} {}", items[2].text().replace("__keyevent@0__:", ""), items[3].text())
}

#[test]
fn expiry_and_eviction_are_told() {
    let setup = Setup::new().with("cache.shards", "1").with("cache.max_entries", "2");
    let (_daemon, mut writer, mut listener) = with_listener(setup);
    for line in ["SET a 1 PX 30", "SET b 1", "SET c 1", "SET d 1"] {
        writer.run(line);
    }
    let told: Vec<String> = (0..9).map(|_| event(&listener.receive())).collect();
    // Whether a's time has come when it is evicted is the machine's affair.
    let gone = |key: &str| {
        told.iter().any(|t| *t == format!("evicted {key}") || *t == format!("expired {key}"))
    };
    assert!(gone("a") && gone("b"), "{told:?}");
    assert_eq!(told[..3], ["new a", "set a", "expire a"]);
    assert_eq!(writer.run("SET a 1 PX 1"), Reply::ok());
    let mut last = String::new();
    while last != "expired a" {
        last = event(&listener.receive());
    }
}

#[test]
fn what_was_rolled_back_is_not_told() {
    let (_daemon, mut writer, mut listener) = with_listener(Setup::new().with("cache.shards", "3"));
    for line in ["MULTI", "SET a 1", "SET b x", "INCR b", "SW.EXEC ROLLBACK"] {
        writer.run(line);
    }
    for line in ["MULTI", "SET c 1", "INCR c", "SW.EXEC ROLLBACK"] {
        writer.run(line);
    }
    let told: Vec<String> = (0..3).map(|_| event(&listener.receive())).collect();
    assert_eq!(told, ["new c", "set c", "incrby c"]);
}

#[test]
fn nothing_is_told_once_it_is_switched_off() {
    let (_daemon, mut writer, mut listener) = with_listener(Setup::new());
    writer.run("SET a 1");
    writer.run("CONFIG SET notify-keyspace-events KEl");
    writer.run("SET b 1");
    writer.run("CONFIG SET server.notify_keyspace_events Eg");
    writer.run("DEL b");
    let told: Vec<String> = (0..3).map(|_| event(&listener.receive())).collect();
    assert_eq!(told, ["new a", "set a", "del b"]);
}
