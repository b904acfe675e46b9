//! Random scripts, run here and on a real Redis: the replies must be the same bytes.
//!
//! `SEAWALL_SEED` repeats a run, `SEAWALL_COMMANDS` sets its length. Without `redis-server` the
//! test says so and passes, unless `SEAWALL_REQUIRE_SERVERS=1`.

#![allow(clippy::expect_used, reason = "a test that has no server to compare with has failed")]

mod redis;
mod script;
mod words;

use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use self::redis::Redis;
use self::script::{Compare, Script};
use super::testing::World;

const COMMANDS: usize = 4_000;
/// Commands sent together; our side runs them while Redis does.
const BATCH: usize = 50;
/// How far clocks may be apart, milliseconds.
const TOLERANCE_MS: i64 = 3_000;

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[test]
fn one_store_answers_as_redis_does() {
    compare_with_redis(1);
}

#[test]
fn several_stores_answer_as_redis_does() {
    compare_with_redis(5);
}

fn compare_with_redis(shards: usize) {
    let Some(mut redis) = Redis::start() else { return };
    let seed = from_environment("SEAWALL_SEED").unwrap_or_else(now_ms);
    let commands = from_environment("SEAWALL_COMMANDS").unwrap_or(COMMANDS);
    println!("SEAWALL_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = World::new(shards);
    let mut script = Script::default();
    let mut history: Vec<String> = Vec::new();
    for _ in 0..commands.div_ceil(BATCH) {
        let batch: Vec<_> = (0..BATCH).map(|_| script.next(&mut rng)).collect();
        for step in &batch {
            redis.send(&step.words);
        }
        for step in batch {
            let words: Vec<&[u8]> = step.words.iter().map(Vec::as_slice).collect();
            world.now = now_ms();
            let ours = match &step.compare {
                Compare::Select(db) => {
                    world.db = *db;
                    b"+OK\r\n".to_vec()
                }
                _ => world.run_words(&words),
            };
            let theirs = redis.receive();
            history.push(show(&words));
            let recent = &history[history.len().saturating_sub(60)..];
            assert!(
                same(&step.compare, &ours, &theirs, &mut world),
                "\nSEAWALL_SEED={seed} db {}\n{}\n  ours:   {}\n  theirs: {}",
                world.db,
                recent.join("\n"),
                show(&[&ours]),
                show(&[&theirs]),
            );
        }
        // Cursors are each server's own: whole scans are compared, between the batches.
        if rng.random_ratio(1, 5) {
            let options = script.scan_options(&mut rng);
            let ours = scan(&options, |words| world.run_words(words));
            let theirs = scan(&options, |words| {
                redis.send(&words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
                redis.receive()
            });
            assert_eq!(ours, theirs, "SEAWALL_SEED={seed} scan {}", show(&options));
        }
    }
}

/// Texts of floating-point numbers, well formed or not, of every magnitude.
fn float_text(rng: &mut SmallRng) -> String {
    let sign = ["", "-", "+"][rng.random_range(0..3)];
    let digits: [u32; 2] = [rng.random_range(0..20), rng.random_range(0..18)];
    let whole = rng.random_range(0..10u64.pow(digits[0]));
    let point = ["", ".", ".0"][rng.random_range(0..3)];
    let decimals = rng.random_range(0..10u64.pow(digits[1]));
    let exponent = match rng.random_range(0..8) {
        0 => format!("e{}", rng.random_range(-30..30)),
        1 => format!("E{:+}", rng.random_range(-5000..5000)),
        2 => "e".to_owned(),
        _ => String::new(),
    };
    if rng.random_ratio(1, 10) {
        return format!("{sign}0x{whole:x}{point}{decimals:X}p{}", rng.random_range(-80..80));
    }
    format!("{sign}{whole}{point}{decimals}{exponent}")
}

#[test]
fn floats_add_as_in_redis_to_the_last_digit() {
    let Some(mut redis) = Redis::start() else { return };
    let seed = from_environment("SEAWALL_SEED").unwrap_or_else(now_ms);
    let commands = from_environment("SEAWALL_COMMANDS").unwrap_or(COMMANDS);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = World::new(1);
    for _ in 0..commands / 4 {
        let (value, first, second) =
            (float_text(&mut rng), float_text(&mut rng), float_text(&mut rng));
        for line in
            [["SET", "f", &value], ["INCRBYFLOAT", "f", &first], ["INCRBYFLOAT", "f", &second]]
        {
            let words: Vec<Vec<u8>> = line.iter().map(|word| word.as_bytes().to_vec()).collect();
            redis.send(&words);
            let (ours, theirs) = (world.run(&line.join(" ")), redis.receive());
            assert_eq!(
                ours,
                String::from_utf8_lossy(&theirs),
                "SEAWALL_SEED={seed}: {value}, then {first}, then {second}"
            );
        }
    }
}

fn show(words: &[&[u8]]) -> String {
    words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

fn same(compare: &Compare, ours: &[u8], theirs: &[u8], world: &mut World) -> bool {
    if ours == theirs {
        return true;
    }
    // OBJECT REFCOUNT: Redis shares the objects of small integers, and this number says so.
    if (ours, theirs) == (&b":1\r\n"[..], &b":2147483647\r\n"[..]) {
        return true;
    }
    match compare {
        Compare::Exact | Compare::Select(_) => false,
        Compare::Sorted => redis::sorted_items(ours) == redis::sorted_items(theirs),
        Compare::Time { unit_ms } => match (redis::integer(ours), redis::integer(theirs)) {
            (Some(a), Some(b)) if a > 0 && b > 0 => {
                a.abs_diff(b).saturating_mul(*unit_ms) <= TOLERANCE_MS.unsigned_abs()
            }
            _ => false,
        },
        // Any key will do, if it is there.
        Compare::Random => {
            let keys = redis::sorted_items(world.run("KEYS *"));
            match redis::bulk(ours) {
                Some(key) => keys.iter().any(|there| there == key) && redis::bulk(theirs).is_some(),
                None => false,
            }
        }
    }
}

/// A whole scan's keys, sorted, or the error that ended it.
fn scan(options: &[&[u8]], mut run: impl FnMut(&[&[u8]]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let (mut cursor, mut keys) = (b"0".to_vec(), Vec::new());
    for _ in 0..10_000 {
        let words: Vec<&[u8]> =
            [&b"SCAN"[..], &cursor].into_iter().chain(options.iter().copied()).collect();
        let reply = run(&words);
        let Some((next, items)) = redis::scan_page(&reply) else { return vec![reply] };
        keys.extend(items);
        if next == b"0" {
            keys.sort();
            keys.dedup();
            return keys;
        }
        cursor = next;
    }
    panic!("a scan without an end");
}
