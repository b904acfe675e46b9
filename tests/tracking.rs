//! CLIENT TRACKING: the messages that Redis sends, and no stale value in a client's cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

const KEYS: [&str; 6] = ["a", "b", "ab", "key:1", "key:2", "{a}x"];
const MODES: [&str; 8] = [
    "",
    "NOLOOP",
    "OPTIN",
    "OPTOUT NOLOOP",
    "BCAST",
    "BCAST PREFIX a PREFIX key:",
    "BCAST NOLOOP PREFIX b",
    "OPTIN OPTOUT",
];

/// Sends a command and takes what comes up to its answer.
fn answered(connection: &mut Raw, line: &str) -> Vec<Vec<u8>> {
    connection.send(&line.split(' ').collect::<Vec<_>>());
    let mut frames = Vec::new();
    loop {
        frames.push(connection.receive_bytes());
        if frames.last().is_some_and(|frame| frame[0] != b'>') {
            return frames;
        }
    }
}

/// What invalidations name. Redis gathers those of BCAST until it has nothing else to do, and here
/// each command has its own; so they are compared key by key.
fn keys(frames: &[Vec<u8>]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for frame in frames {
        let text = String::from_utf8_lossy(frame);
        let named = text.split("\r\n").skip(4).filter(|line| !line.starts_with('$'));
        keys.extend(named.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    keys.sort();
    keys.dedup();
    keys
}

fn command(rng: &mut SmallRng) -> String {
    let mut pick = |words: &[&'static str]| words.choose(rng).copied().unwrap_or_default();
    let (one, two, three) = (pick(&KEYS), pick(&KEYS), pick(&KEYS));
    let mode = pick(&MODES);
    match rng.random_range(0..44) {
        0..=9 => format!("GET {one}"),
        10..=12 => format!("MGET {one} {two} {three}"),
        13 => format!("EXISTS {one} {two}"),
        14 => format!("STRLEN {one}"),
        15..=19 => format!("SET {one} 1"),
        20 => format!("MSET {one} 1 {two} 2"),
        21 => format!("INCR {one}"),
        22 => format!("APPEND {one} 1"),
        23 => format!("DEL {one} {two}"),
        24 => format!("GETDEL {one}"),
        25 => format!("EXPIREAT {one} 2100000000"),
        26 => format!("PERSIST {one}"),
        27 => format!("RENAME {one} {two}"),
        28 => format!("COPY {one} {two} REPLACE"),
        29 => format!("GETEX {one} PERSIST"),
        30 => format!("MOVE {one} 1"),
        31 => ["FLUSHDB", "FLUSHALL"][rng.random_range(0..2)].to_owned(),
        32..=34 => "CLIENT CACHING YES".to_owned(),
        35 => "CLIENT CACHING NO".to_owned(),
        36 => "CLIENT TRACKINGINFO".to_owned(),
        37 => "CLIENT GETREDIR".to_owned(),
        38 => "CLIENT TRACKING OFF".to_owned(),
        39 => format!("SELECT {}", rng.random_range(0..2)),
        _ => format!("CLIENT TRACKING ON {mode}").trim_end().to_owned(),
    }
}

#[test]
fn a_random_script_sends_the_invalidations_that_redis_sends() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon =
        Setup::new().with("cache.shards", "3").with("validation.max_ttl", r#""0s""#).start();
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut pairs: Vec<_> = (0..4).map(|_| (daemon.connect(), redis.connect())).collect();
    for (ours, theirs) in &mut pairs {
        assert!(!ours.run("HELLO 3").is_error());
        assert!(!theirs.run("HELLO 3").is_error());
    }
    let mut history = Vec::new();
    for number in 0..setting("SEAWALL_COMMANDS", 2000) {
        let who = rng.random_range(0..pairs.len());
        let lines = if rng.random_ratio(1, 15) {
            let mut lines = vec!["MULTI".to_owned()];
            let plain = |line: &String| !line.starts_with("CLIENT") && !line.starts_with("SELECT");
            lines.extend((0..3).map(|_| command(&mut rng)).filter(plain));
            lines.push("EXEC".to_owned());
            lines
        } else {
            vec![command(&mut rng)]
        };
        history.push(format!("{who}: {}", lines.join("; ")));
        let show = |frames: &[Vec<u8>]| frames.concat().escape_ascii().to_string();
        let mut told = vec![(Vec::new(), Vec::new()); pairs.len()];
        for line in &lines {
            let (ours, theirs) = &mut pairs[who];
            told[who].0.extend(answered(ours, line));
            told[who].1.extend(answered(theirs, line));
        }
        for ((ours, theirs), told) in pairs.iter_mut().zip(&mut told) {
            let token = format!("token-{number}");
            told.0.extend(ours.receive_all(&token));
            told.1.extend(theirs.receive_all(&token));
        }
        for (connection, (ours, theirs)) in told.iter().enumerate() {
            let parts = |frames: &[Vec<u8>]| -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
                frames.iter().cloned().partition(|frame| frame[0] == b'>')
            };
            let (our_pushes, our_replies) = parts(ours);
            let (their_pushes, their_replies) = parts(theirs);
            let same = if lines.len() == 1 {
                ours == theirs
            } else {
                our_replies == their_replies && keys(&our_pushes) == keys(&their_pushes)
            };
            assert!(
                same,
                "SEAWALL_SEED={seed} connection {connection}\n{}\n  ours:   {}\n  theirs: {}",
                history[history.len().saturating_sub(40)..].join("\n"),
                show(ours),
                show(theirs),
            );
        }
    }
}

/// An id differs from server to server.
fn id(connection: &mut Raw) -> String {
    connection.run("CLIENT ID").int().to_string()
}

#[test]
fn redirected_invalidations_reach_the_connection_that_redis_sends_them_to() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    for (reader_speaks, target_speaks, subscribe) in
        [("2", "2", true), ("2", "2", false), ("2", "3", false), ("3", "2", true), ("3", "3", true)]
    {
        let connects: [&dyn Fn() -> Raw; 2] = [&|| daemon.connect(), &|| redis.connect()];
        let told = connects.map(|connect| {
            let (mut reader, mut target, mut writer) = (connect(), connect(), connect());
            writer.run("FLUSHALL");
            assert!(!reader.call(&["HELLO", reader_speaks]).is_error());
            assert!(!target.call(&["HELLO", target_speaks]).is_error());
            let target_id = id(&mut target);
            if subscribe {
                target.run("SUBSCRIBE __redis__:invalidate");
            }
            let mut frames = Vec::new();
            for line in [
                &format!("CLIENT TRACKING ON REDIRECT {target_id}"),
                "GET k",
                "MGET l m",
                "CLIENT GETREDIR",
            ] {
                frames.extend(answered(&mut reader, line));
            }
            // The answer to GETREDIR is another number on each server.
            assert_eq!(frames.pop(), Some(format!(":{target_id}\r\n").into_bytes()));
            for line in ["SET k 1", "DEL k l", "MSET l 1 m 1"] {
                writer.run(line);
                frames.extend(target.receive_all("token"));
            }
            drop(target);
            wait_until("the target is gone", || {
                !writer.run("CLIENT LIST").text().contains(&format!("id={target_id} "))
            });
            for line in ["GET k", "GET n"] {
                frames.extend(answered(&mut reader, line));
            }
            writer.run("SET k 1");
            frames.extend(reader.receive_all("token"));
            frames.extend(answered(&mut reader, "CLIENT TRACKINGINFO"));
            let text = String::from_utf8_lossy(&frames.concat()).into_owned();
            text.replace(&format!(":{target_id}\r\n"), ":TARGET\r\n")
        });
        assert_eq!(told[0], told[1], "RESP{reader_speaks} to RESP{target_speaks} {subscribe}");
    }
}

#[test]
fn refusals_are_those_of_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
    for line in [
        "CLIENT TRACKING",
        "CLIENT TRACKING maybe",
        "CLIENT TRACKING ON REDIRECT 999999",
        "CLIENT TRACKING ON REDIRECT x",
        "CLIENT TRACKING ON REDIRECT",
        "CLIENT TRACKING ON PREFIX a",
        "CLIENT TRACKING ON NOSUCH",
        "CLIENT TRACKING OFF NOSUCH",
        "CLIENT TRACKING ON BCAST OPTIN",
        "CLIENT TRACKING ON OPTIN OPTOUT",
        "CLIENT CACHING YES",
        "CLIENT TRACKING ON BCAST PREFIX foo PREFIX fo",
        "CLIENT TRACKING ON BCAST PREFIX foo",
        "CLIENT TRACKING ON BCAST PREFIX foobar",
        "CLIENT TRACKING ON BCAST PREFIX bar",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON",
        "CLIENT CACHING YES",
        "CLIENT TRACKING OFF",
        "CLIENT TRACKING ON OPTIN",
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT CACHING NO",
        "CLIENT CACHING MAYBE",
        "CLIENT CACHING YES",
        "CLIENT TRACKINGINFO",
        "GET k",
        "CLIENT TRACKINGINFO",
        "RESET",
        "CLIENT TRACKINGINFO",
        "CLIENT GETREDIR",
    ] {
        assert_eq!(answered(&mut ours, line), answered(&mut theirs, line), "{line}");
    }
}

/// A client with a cache, as libraries have one.
struct Caching {
    connection: Raw,
    cache: HashMap<String, Reply>,
    /// How often it put a value there.
    kept: u64,
}

impl Caching {
    fn connect(daemon: &Daemon, options: &str) -> Self {
        let mut connection = daemon.connect();
        assert!(!connection.run("HELLO 3").is_error());
        let line = format!("CLIENT TRACKING ON {options}");
        assert_eq!(connection.run(line.trim_end()), Reply::ok());
        Self { connection, cache: HashMap::new(), kept: 0 }
    }

    /// Runs a command, and forgets what it is told to forget on the way.
    fn run(&mut self, line: &str) -> Reply {
        self.connection.send(&line.split(' ').collect::<Vec<_>>());
        loop {
            match self.connection.receive() {
                Reply::Array(items) if items.first() == Some(&Reply::bulk("invalidate")) => {
                    match &items[1] {
                        Reply::Nil => self.cache.clear(),
                        keys => keys.items().iter().for_each(|key| {
                            self.cache.remove(&key.text());
                        }),
                    }
                }
                reply => return reply,
            }
        }
    }

    fn get(&mut self, key: &str) -> Reply {
        if let Some(value) = self.cache.get(key) {
            return value.clone();
        }
        let value = self.run(&format!("GET {key}"));
        if !value.is_error() {
            self.kept += 1;
            self.cache.insert(key.to_owned(), value.clone());
        }
        value
    }
}

/// What clients hold when nothing is under way any more is what the server holds.
fn stays_coherent(daemon: &Daemon, crash: &[&str]) {
    const WRITES: usize = 3000;
    let key = |rng: &mut SmallRng| format!("k{}", rng.random_range(0..40));
    let over = AtomicBool::new(false);
    let seed = seed();
    let mut caches: Vec<Caching> = thread::scope(|scope| {
        let readers: Vec<_> = ["", "", "BCAST", "BCAST PREFIX k1 PREFIX k2"]
            .into_iter()
            .enumerate()
            .map(|(n, options)| {
                let over = &over;
                scope.spawn(move || {
                    let mut rng = SmallRng::seed_from_u64(seed + n as u64);
                    let mut client = Caching::connect(daemon, options);
                    // Once in any case, however busy the machine is.
                    while client.kept == 0 || !over.load(Ordering::Relaxed) {
                        let key = key(&mut rng);
                        // What is outside of its prefixes it would never hear of.
                        if !options.contains("PREFIX")
                            || key.starts_with("k1")
                            || key.starts_with("k2")
                        {
                            client.get(&key);
                        }
                        if rng.random_ratio(1, 10) {
                            client.run("PING");
                        }
                    }
                    client
                })
            })
            .collect();
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut writer = daemon.connect();
        for number in 0..WRITES {
            let (one, two) = (key(&mut rng), key(&mut rng));
            let reply = writer.run(&match rng.random_range(0..8) {
                0 => format!("MSET {one} {number} {two} {number}"),
                1 => format!("DEL {one}"),
                2 => format!("SET {one} {number} PX 3"),
                3 => format!("RENAME {one} {two}"),
                4 if rng.random_ratio(1, 20) => "FLUSHALL".to_owned(),
                _ => format!("SET {one} {number}"),
            });
            drop(reply);
            if number % (WRITES / 6) == WRITES / 12
                && let Some(drill) = crash.get(number / (WRITES / 6) % crash.len().max(1))
            {
                assert_eq!(writer.run(drill), Reply::ok(), "{drill}");
            }
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("it reads")).collect()
    });
    // Until the last expiry has been told.
    let mut plain = daemon.connect();
    wait_until("nothing expires any more", || {
        let expiring = (0..40).filter(|n| plain.run(&format!("PTTL k{n}")).int() >= 0).count();
        expiring == 0
    });
    for client in &mut caches {
        wait_until("the cache is that of the server", || {
            client.run("PING");
            client.cache.iter().all(|(key, value)| plain.run(&format!("GET {key}")) == *value)
        });
        assert!(client.kept > 0, "it caches nothing");
    }
}

#[test]
fn no_client_keeps_a_stale_value() {
    stays_coherent(&Setup::new().with("cache.shards", "3").start(), &[]);
}

#[test]
fn no_client_keeps_a_stale_value_when_shards_crash() {
    let daemon = Setup::new()
        .with("cache.shards", "3")
        .with("debug.drills", "true")
        .with("cache.recovery_wait", r#""5s""#)
        .start();
    let crash =
        ["SW.DRILL panic cache/shard-0", "SW.DRILL panic cache/shard-1", "SW.DRILL panic wal"];
    stays_coherent(&daemon, &crash);
}

/// A shard that lost its store half way through a change could tell nobody what it had changed.
#[test]
fn everybody_forgets_everything_when_a_shard_is_rebuilt() {
    let daemon = Setup::new()
        .with("cache.shards", "1")
        .with("debug.drills", "true")
        .with("cache.recovery_wait", r#""5s""#)
        .start();
    let mut client = Caching::connect(&daemon, "");
    client.run("SET k 1");
    assert_eq!(client.get("k"), Reply::bulk("1"));
    let mut other = daemon.connect();
    assert!(!other.run("SW.DRILL POINT store.commit 1*panic").is_error());
    assert!(other.run("SET other 1").is_error());
    assert!(!other.run("SET k 2").is_error());
    wait_until("it forgets", || {
        client.run("PING");
        client.cache.is_empty()
    });
}

#[test]
fn expiry_and_eviction_are_changes() {
    let daemon = Setup::new().with("cache.shards", "1").with("cache.max_entries", "3").start();
    let mut client = Caching::connect(&daemon, "");
    client.run("SET k 1 PX 20");
    client.get("k");
    wait_until("the expiry is told", || {
        client.run("PING");
        client.cache.is_empty()
    });
    client.run("SET k 1");
    client.get("k");
    let mut writer = daemon.connect();
    for n in 0..3 {
        writer.run(&format!("SET other{n} 1"));
    }
    client.run("PING");
    assert!(client.cache.is_empty(), "the eviction is told");
}

#[test]
fn the_table_is_bounded_and_what_it_forgets_is_told() {
    let daemon = Setup::new()
        .with("cache.shards", "2")
        .with("server.tracking_table_max_keys", "100")
        .start();
    let mut client = Caching::connect(&daemon, "");
    for n in 0..1000 {
        client.get(&format!("k{n}"));
    }
    let info = daemon.connect().run("INFO stats").text();
    let keys = info.lines().find_map(|line| line.strip_prefix("tracking_total_keys:"));
    let keys: usize = keys.expect("a field").parse().expect("a number");
    client.run("PING");
    assert!(keys <= 100 && client.cache.len() == keys, "{keys} {}", client.cache.len());
    drop(client);
    wait_until("nobody tracks", || {
        daemon.connect().run("INFO clients").text().contains("tracking_clients:0\r\n")
    });
}
