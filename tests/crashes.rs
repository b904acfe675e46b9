//! A kill at every call that changes a file. One client sends a script of requests, the daemon kills
//! itself at its n-th write, fsync, rename, cut or removal (before it, behind it, in the middle of a
//! write), and the next start must find the state behind exactly the requests that were
//! acknowledged, or behind one more, which was under way. In between, a start is killed while it
//! recovers.
//!
//! By default some of the calls, drawn by the seed; all of them, in a few minutes:
//!
//! ```text
//! SEAWALL_CASES=whole cargo test --test e2e killed_at_every_call -- --nocapture
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::support::raw::encode;
use crate::support::{Daemon, Raw, Reply, Setup, seed, wait_for, whole};

/// Requests in the script.
const REQUESTS: usize = 200;
/// Where a snapshot is taken, which writes, syncs and renames too.
const SNAPSHOT_AT: usize = 120;
/// Calls that a start makes at most before it serves; most make fewer.
const RECOVERY_CALLS: u64 = 12;
/// Calls that are tried by default.
const SAMPLE: usize = 24;
/// Daemons at a time.
const AT_A_TIME: usize = 4;
const KEYS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "n", "m"];
/// Before a call, behind it, and in the middle of a write.
const PLACES: [&str; 3] = ["fs.call", "fs.done", "fs.half"];

/// One request: what is sent, and how many replies come.
type Request = (Vec<u8>, usize);

/// Always the same: segments of 64 KiB fill three times and more.
fn script() -> Vec<Request> {
    let mut rng = SmallRng::seed_from_u64(7);
    (0..REQUESTS)
        .map(|n| {
            let mut key = || KEYS[rng.random_range(0..8)];
            let (one, two, three) = (key(), key(), key());
            let value = format!("{n}{}", "-".repeat(1200));
            match (n, rng.random_range(0..10)) {
                (SNAPSHOT_AT, _) => (encode(&["SAVE"]), 1),
                (_, 0..=3) => (encode(&["SET", one, &value]), 1),
                (_, 4) => (encode(&["INCR", "n"]), 1),
                (_, 5) => (encode(&["MSET", one, &value, two, "2", three, "3"]), 1),
                (_, 6) => (encode(&["DEL", one, two]), 1),
                (_, 7) => {
                    let at = (10_000_000_000 + n).to_string();
                    (encode(&["EXPIREAT", one, &at]), 1)
                }
                (_, 8) => {
                    let mut bytes = encode(&["MULTI"]);
                    bytes.extend(encode(&["INCR", "m"]));
                    bytes.extend(encode(&["SET", one, &value]));
                    bytes.extend(encode(&["DEL", two]));
                    bytes.extend(encode(&["EXEC"]));
                    (bytes, 5)
                }
                _ => (encode(&["APPEND", one, "more"]), 1),
            }
        })
        .collect()
}

/// All that a client can see.
type State = Vec<Reply>;

fn state(client: &mut Raw) -> State {
    let mut bytes = encode(&["DBSIZE"]);
    for key in KEYS {
        bytes.extend(encode(&["GET", key]));
        bytes.extend(encode(&["PEXPIRETIME", key]));
    }
    client.send_bytes(bytes);
    (0..=2 * KEYS.len()).map(|_| client.receive()).collect()
}

/// Sends the script until the connection breaks; how many requests were acknowledged.
fn play(client: &mut Raw, script: &[Request], mut after: impl FnMut(&mut Raw)) -> usize {
    for (n, (request, replies)) in script.iter().enumerate() {
        if client.try_send(request).is_err() {
            return n;
        }
        for _ in 0..*replies {
            match client.try_receive() {
                Ok(reply) => assert!(!reply.is_error(), "request {n}: {reply:?}"),
                Err(_) => return n,
            }
        }
        after(client);
    }
    script.len()
}

fn setup(fsync: &str) -> Setup {
    Setup::new()
        .with("wal.fsync", &format!("{fsync:?}"))
        .with("wal.segment_size", r#""64KiB""#)
        .with("wal.compress_above", r#""0""#)
        .with("cache.shards", "2")
        .with("validation.max_ttl", r#""0s""#)
        .with("debug.drills", "true")
}

/// Starts a daemon that may kill itself before it serves.
fn start(setup: Setup) -> (Daemon, bool) {
    let mut daemon = setup.spawn();
    let serves = serves_or_ends(&mut daemon);
    if serves {
        daemon.wait_ready();
    }
    (daemon, serves)
}

/// Waits for either; whether it serves.
fn serves_or_ends(daemon: &mut Daemon) -> bool {
    wait_for("an end or a start", || {
        if daemon.has_ended() {
            return Some(false);
        }
        daemon.log_text().contains("\"message\":\"ready\"").then_some(true)
    })
}

/// The states behind every request, and how often each place is passed until the end.
fn rehearse(fsync: &str, script: &[Request]) -> (Vec<State>, Vec<u64>) {
    let scripts: Vec<String> = PLACES.iter().map(|place| format!("{place}=off")).collect();
    let daemon = setup(fsync).env("SEAWALL_FAILPOINTS", &scripts.join(";")).start();
    let mut client = daemon.connect();
    let mut states = vec![state(&mut client)];
    assert_eq!(play(&mut client, script, |client| states.push(state(client))), script.len());
    let passed = PLACES.map(|place| client.run(&format!("SW.DRILL POINT {place}")).int());
    (states, passed.iter().map(|n| u64::try_from(*n).expect("a count")).collect())
}

/// Kills at the n-th pass of a place; whether it came to that.
fn kill_at(fsync: &str, place: &str, n: u64, script: &[Request], states: &[State]) -> bool {
    let kill = format!("{place}={n}*off->kill");
    let (mut daemon, serves) = start(setup(fsync).env("SEAWALL_FAILPOINTS", &kill));
    let mut acked = 0;
    if serves && let Ok(mut client) = Raw::try_tcp(daemon.resp()) {
        acked = play(&mut client, script, |_| {});
    }
    let killed = acked < script.len();
    if killed {
        daemon.wait_exit();
    } else {
        daemon.kill();
    }
    // The start that recovers is killed too, at one of its first calls; the next has the same to do.
    daemon.set_env("SEAWALL_FAILPOINTS", &format!("fs.call={}*off->kill", n % RECOVERY_CALLS));
    daemon.relaunch();
    if !serves_or_ends(&mut daemon) {
        daemon.wait_exit();
    } else {
        daemon.kill();
    }
    daemon.set_env("SEAWALL_FAILPOINTS", "");
    daemon.restart();
    let found = state(&mut daemon.connect());
    let fits = states[acked..].iter().take(if killed { 2 } else { 1 }).any(|state| *state == found);
    assert!(
        fits,
        "{fsync}, {place} {n}: {acked} requests were acknowledged; the state is that behind {:?}",
        states.iter().position(|state| *state == found)
    );
    killed
}

fn killed_at_every_call(fsync: &str, sample: usize) {
    let (script, seed) = (script(), seed());
    let (states, passed) = rehearse(fsync, &script);
    let mut cases: Vec<(&str, u64)> = Vec::new();
    for (place, passed) in PLACES.iter().zip(&passed) {
        cases.extend((0..*passed).map(|n| (*place, n)));
    }
    let all = cases.len();
    if !whole() {
        cases.shuffle(&mut SmallRng::seed_from_u64(seed));
        cases.truncate(sample);
    }
    let (next, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((place, n)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let killed = kill_at(fsync, place, *n, &script, &states);
                    kills.fetch_add(usize::from(killed), Ordering::Relaxed);
                }
            });
        }
    });
    let kills = kills.into_inner();
    println!("{fsync}: {} of {all} places tried, {kills} kills; passes {passed:?}", cases.len());
    // A pass or two at the very end may depend on times.
    assert!(kills + cases.len() / 10 >= cases.len(), "only {kills} of {} killed", cases.len());
}

#[test]
fn killed_at_every_call_with_fsync_always() {
    killed_at_every_call("always", SAMPLE);
}

#[test]
fn killed_at_every_call_with_fsync_everysec() {
    killed_at_every_call("everysec", SAMPLE / 2);
}
