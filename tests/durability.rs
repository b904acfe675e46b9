//! What was acknowledged is there after a crash; what is damaged is found.
//!
//! `SEAWALL_KILL_ROUNDS` sets how often the daemon is killed in each fsync mode. 1,002 kills over the
//! three modes, a few minutes in all:
//!
//! ```text
//! SEAWALL_KILL_ROUNDS=334 cargo test --test e2e killed_under_load -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::raw::encode;
use crate::support::{Daemon, PATIENCE, Raw, Reply, Setup, seed, setting, wait_until};

const MODES: [&str; 3] = ["always", "everysec", "no"];
const WRITERS: u64 = 4;
/// Requests that a writer has under way at once.
const WINDOW: usize = 16;
/// Kills that one log lives through.
const KILLS_PER_LOG: u64 = 25;

/// What one writer knows. Each of its keys is written by it alone and only ever grows.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// The newest value that was acknowledged.
    acked: u64,
    /// The newest value that was sent: it may be there or not.
    sent: u64,
}

type Ledger = BTreeMap<String, Known>;

/// Writes until the connection breaks: plain sets, counters, deletions, values over several shards,
/// and transactions, all with growing numbers.
fn write_until_it_breaks(
    mut client: Raw,
    id: u64,
    mut ledger: Ledger,
    mut rng: SmallRng,
    acked: Arc<AtomicU64>,
) -> Ledger {
    loop {
        let mut batch = Vec::new();
        let mut expected: Vec<(Vec<String>, u64, usize)> = Vec::new();
        for _ in 0..WINDOW {
            let n = rng.random_range(0..6);
            let (keys, replies): (Vec<String>, usize) = match rng.random_range(0..5) {
                0 => (vec![format!("set:{id}:{n}")], 1),
                1 => (vec![format!("count:{id}:{n}")], 1),
                // Odd numbers are set, even ones stand for its deletion.
                2 => (vec![format!("gone:{id}:{n}")], 1),
                // One number under four keys, on different shards.
                3 => ((0..4).map(|i| format!("many:{id}:{n}:{i}")).collect(), 1),
                _ => ((0..3).map(|i| format!("exec:{id}:{n}:{i}")).collect(), 5),
            };
            let value = ledger.get(&keys[0]).map_or(0, |known| known.sent) + 1;
            let text = value.to_string();
            match keys[0].split(':').next() {
                Some("gone") if value.is_multiple_of(2) => {
                    batch.extend(encode(&["DEL", &keys[0]]));
                }
                Some("set" | "gone") => batch.extend(encode(&["SET", &keys[0], &text])),
                Some("count") => batch.extend(encode(&["INCR", &keys[0]])),
                Some("many") => {
                    let mut words = vec!["MSET"];
                    keys.iter().for_each(|key| words.extend([key.as_str(), text.as_str()]));
                    batch.extend(encode(&words));
                }
                _ => {
                    batch.extend(encode(&["MULTI"]));
                    keys.iter().for_each(|key| batch.extend(encode(&["SET", key, &text])));
                    batch.extend(encode(&["EXEC"]));
                }
            }
            for key in &keys {
                ledger.entry(key.clone()).or_default().sent = value;
            }
            expected.push((keys, value, replies));
        }
        if client.try_send(&batch).is_err() {
            return ledger;
        }
        for (keys, value, replies) in expected {
            for last in (0..replies).rev() {
                match client.try_receive() {
                    Ok(reply) => assert!(!reply.is_error(), "{keys:?}: {reply:?}, {last} to go"),
                    Err(_) => return ledger,
                }
            }
            for key in keys {
                ledger.entry(key).or_default().acked = value;
            }
            acked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Asserts that every acknowledged write is there, none was applied twice, and none by half. As
/// every value only grows, one that came back from before would be too small.
fn check(daemon: &Daemon, ledger: &mut Ledger, context: &str) {
    let mut client = daemon.connect();
    let mut together: BTreeMap<String, u64> = BTreeMap::new();
    let words: Vec<&str> =
        std::iter::once("MGET").chain(ledger.keys().map(String::as_str)).collect();
    let values = match words.len() {
        1 => Vec::new(),
        _ => client.call(&words).items().to_vec(),
    };
    assert_eq!(values.len(), ledger.len(), "{context}");
    for ((key, known), value) in ledger.iter_mut().zip(values) {
        let found: u64 = match value {
            // The last deletion that was sent; it may be older than what must be there.
            Reply::Nil if key.starts_with("gone:") => known.sent & !1,
            Reply::Nil => 0,
            reply => reply.text().parse().expect("a number"),
        };
        assert!(
            (known.acked..=known.sent).contains(&found),
            "{context}: {key} is {found}, {known:?}"
        );
        *known = Known { acked: found, sent: found };
        if key.starts_with("many:") || key.starts_with("exec:") {
            let group = key.rsplit_once(':').map_or("", |(group, _)| group).to_owned();
            let first = *together.entry(group).or_insert(found);
            assert_eq!(first, found, "{context}: {key} was written with its group or not at all");
        }
    }
}

fn start_writers(
    daemon: &Daemon,
    ledgers: &mut Vec<Ledger>,
    rng: &mut SmallRng,
    acked: &Arc<AtomicU64>,
) -> Vec<JoinHandle<Ledger>> {
    ledgers.resize_with(WRITERS as usize, Ledger::new);
    ledgers
        .drain(..)
        .enumerate()
        .map(|(id, ledger)| {
            let (client, acked) = (daemon.connect(), Arc::clone(acked));
            let rng = SmallRng::seed_from_u64(rng.random());
            std::thread::spawn(move || write_until_it_breaks(client, id as u64, ledger, rng, acked))
        })
        .collect()
}

fn kill_under_load(fsync: &str) {
    let mut rng = SmallRng::seed_from_u64(seed());
    let rounds = setting("SEAWALL_KILL_ROUNDS", 3);
    let acked = Arc::new(AtomicU64::new(0));
    let mut life = None;
    for round in 0..rounds {
        // The log only grows, and all of it is read at each start: after some kills a new one.
        if round % KILLS_PER_LOG == 0 {
            life = None;
        }
        let (daemon, ledgers) = life.get_or_insert_with(|| {
            let daemon = Setup::new()
                .with("wal.fsync", &format!("{fsync:?}"))
                .with("wal.segment_size", r#""64KiB""#)
                .with("cache.shards", "3")
                .start();
            (daemon, Vec::new())
        });
        let before = acked.load(Ordering::Relaxed);
        let writers = start_writers(daemon, ledgers, &mut rng, &acked);
        // At any moment: a number of acknowledgements, and then a part of the next frame's time.
        let enough = before + rng.random_range(1..200);
        let begun = Instant::now();
        while acked.load(Ordering::Relaxed) < enough {
            assert!(begun.elapsed() < PATIENCE, "the writers write");
            std::thread::sleep(Duration::from_micros(100));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..2000)));
        daemon.kill();
        *ledgers = writers.into_iter().map(|w| w.join().expect("a writer ends well")).collect();
        daemon.restart();
        for ledger in ledgers {
            check(daemon, ledger, &format!("{fsync}, round {round}"));
        }
    }
    println!("{fsync}: {} acknowledged, {rounds} kills", acked.load(Ordering::Relaxed));
}

#[test]
fn killed_under_load_with_fsync_always() {
    kill_under_load(MODES[0]);
}

#[test]
fn killed_under_load_with_fsync_everysec() {
    kill_under_load(MODES[1]);
}

#[test]
fn killed_under_load_with_fsync_no() {
    kill_under_load(MODES[2]);
}

/// A daemon that holds `count` keys, ended by a crash.
fn crashed_with_keys(count: usize) -> Daemon {
    let mut daemon = Setup::new().with("wal.fsync", r#""always""#).start();
    let mut client = daemon.connect();
    for i in 0..count {
        assert_eq!(client.run(&format!("SET key:{i} value-{i}")), Reply::ok());
    }
    daemon.kill();
    daemon
}

fn only_segment(daemon: &Daemon) -> PathBuf {
    let mut segments: Vec<PathBuf> = fs::read_dir(daemon.dir().join("data/wal"))
        .expect("the log's folder")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "wal"))
        .collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

/// Where the frames end: zeros are written ahead of them.
fn frames_end(segment: &[u8]) -> u64 {
    segment.iter().rposition(|&byte| byte != 0).map_or(0, |at| at as u64 + 1)
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).expect("a segment");
    let at = usize::try_from(offset).expect("a small file");
    bytes[at] ^= 0x40;
    let mut file = OpenOptions::new().write(true).open(path).expect("a segment");
    file.seek(SeekFrom::Start(offset)).expect("in the file");
    file.write_all(&bytes[at..=at]).expect("in the file");
}

#[test]
fn a_torn_end_is_cut_off_kept_and_said() {
    let mut daemon = crashed_with_keys(50);
    let segment = only_segment(&daemon);
    let mut file = OpenOptions::new().append(true).open(&segment).expect("a segment");
    file.write_all(b"half a frame").expect("the test's folder");
    drop(file);
    daemon.restart();
    let line = daemon.wait_log("the torn end", |line| {
        line["message"].as_str().is_some_and(|m| m.contains("torn"))
    });
    let file = line["file"].as_str().expect("which file");
    assert!(segment.ends_with(file), "{file}");
    let copy = daemon.dir().join(line["copy"].as_str().expect("where the copy is"));
    assert!(copy.exists(), "{}", copy.display());
    let mut client = daemon.connect();
    for i in 0..50 {
        assert_eq!(client.run(&format!("GET key:{i}")), Reply::bulk(format!("value-{i}")));
    }
    assert_eq!(client.run("SET another one"), Reply::ok());
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.connect().run("GET another"), Reply::bulk("one"));
}

#[test]
fn a_corrupt_log_ends_the_start_with_83_and_says_where() {
    let mut daemon = crashed_with_keys(50);
    let segment = only_segment(&daemon);
    let before = fs::read(&segment).expect("a segment");
    let at = frames_end(&before) / 2;
    flip(&segment, at);
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83), "{}", daemon.log_text());
    let log = daemon.log_text();
    for word in [segment.file_name().and_then(|n| n.to_str()).unwrap_or("?"), "offset", "LSN"] {
        assert!(log.contains(word), "{word} is missing in {log}");
    }
    // The evidence is untouched: with the bit put right, everything is there.
    flip(&segment, at);
    assert_eq!(fs::read(&segment).expect("a segment"), before);
    daemon.restart();
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(50));
}

#[test]
fn any_flipped_bit_is_found_or_changes_nothing() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let mut daemon = crashed_with_keys(20);
    let segment = only_segment(&daemon);
    let pristine = fs::read(&segment).expect("a segment");
    for _ in 0..setting("SEAWALL_FLIPS", 12) {
        let at = rng.random_range(0..frames_end(&pristine));
        flip(&segment, at);
        daemon.relaunch();
        let ended = crate::support::wait_for("an end or a start", || {
            let log = daemon.log_text();
            (log.contains("seawall ended"))
                .then_some(true)
                .or(log.contains("\"message\":\"ready\"").then_some(false))
        });
        if ended {
            assert_eq!(daemon.wait_exit().code(), Some(83), "byte {at}: {}", daemon.log_text());
        } else {
            // Nothing follows the last frame that would prove it was whole: damage there looks like
            // a torn end. What is before it must be there.
            daemon.kill();
            daemon.restart();
            let mut client = daemon.connect();
            for i in 0..20 {
                let reply = client.run(&format!("GET key:{i}"));
                let cut = i == 19 && reply == Reply::Nil;
                let whole = reply == Reply::bulk(format!("value-{i}"));
                assert!(whole || cut, "byte {at}: key:{i} is {reply:?}, and it was acknowledged");
            }
            daemon.kill();
        }
        fs::write(&segment, &pristine).expect("the test's folder");
    }
}

#[test]
fn another_number_of_shards_keeps_the_data() {
    let mut daemon =
        Setup::new().with("cache.shards", "2").with("validation.max_ttl", r#""0s""#).start();
    let mut client = daemon.connect();
    for i in 0..200 {
        client.run(&format!("SET key:{i} value-{i}"));
        client.run(&format!("EXPIREAT key:{i} {}", 10_000_000_000_u64 + i));
    }
    client.run("SELECT 3");
    client.run("SET elsewhere here");
    daemon.stop();
    for shards in ["7", "1"] {
        daemon.configure("cache.shards", shards);
        daemon.restart();
        let mut client = daemon.connect();
        for i in 0..200 {
            assert_eq!(client.run(&format!("GET key:{i}")), Reply::bulk(format!("value-{i}")));
            let expires = client.run(&format!("EXPIRETIME key:{i}"));
            assert_eq!(expires, Reply::Int(10_000_000_000 + i));
        }
        assert_eq!(client.run("DBSIZE"), Reply::Int(200));
        client.run("SELECT 3");
        assert_eq!(client.run("GET elsewhere"), Reply::bulk("here"));
        daemon.stop();
    }
}

#[test]
fn flushes_swaps_renames_and_deletions_survive_too() {
    let mut daemon = Setup::new().with("cache.shards", "4").start();
    let mut client = daemon.connect();
    for line in [
        "MSET a 1 b 2 c 3 d 4",
        "DEL a",
        "RENAME b bb",
        "COPY c cc",
        "APPEND c 3",
        "SETRANGE d 3 x",
        "INCRBYFLOAT f 1.5",
        "MOVE c 1",
        "SELECT 2",
        "SET x y",
        "SWAPDB 2 3",
        "SELECT 4",
        "SET gone 1",
        "FLUSHDB",
        "SET stays 1 PX 1000000000",
        "PERSIST stays",
    ] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    let keys = |client: &mut Raw| {
        let mut keys: Vec<String> = client.run("KEYS *").items().iter().map(Reply::text).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&mut client), ["bb", "cc", "d", "f"]);
    let values = client.run("MGET bb cc d f");
    let expected = ["2", "3", "4\0\0x", "1.5"].map(Reply::bulk);
    assert_eq!(values, Reply::Array(expected.to_vec()));
    client.run("SELECT 1");
    assert_eq!(client.run("GET c"), Reply::bulk("33"));
    client.run("SELECT 3");
    assert_eq!(keys(&mut client), ["x"]);
    client.run("SELECT 4");
    assert_eq!(keys(&mut client), ["stays"]);
    assert_eq!(client.run("TTL stays"), Reply::Int(-1));
}

#[test]
fn what_expired_while_it_was_down_stays_gone() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("SET short 1 PX 60");
    client.run("SET long 1 EX 1000");
    let Reply::Int(ends) = client.run("PEXPIRETIME short") else { panic!("no number") };
    daemon.kill();
    wait_until("the key's time to be over", || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        now.as_millis() > u128::try_from(ends).expect("after 1970")
    });
    daemon.restart();
    let mut client = daemon.connect();
    assert_eq!(client.run("GET short"), Reply::Nil);
    assert_eq!(client.run("GET long"), Reply::bulk("1"));
    assert_eq!(client.run("DBSIZE"), Reply::Int(1));
}

#[test]
fn a_pure_cache_keeps_nothing_and_writes_nothing() {
    let mut daemon = Setup::new().with("wal.enabled", "false").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET k v"), Reply::ok());
    assert_eq!(client.run("GET k"), Reply::bulk("v"));
    assert!(!daemon.dir().join("data").exists());
    daemon.stop();
    daemon.restart();
    assert_eq!(daemon.connect().run("GET k"), Reply::Nil);
}
