//! The system refuses a call: EIO, ENOSPC, EROFS, EMFILE on each of those that the log makes. What
//! clients are told is true, reads go on, nothing acknowledged is lost, and it heals when the fault
//! goes. The table in `docs/operations.md` names these tests.
//!
//! By default each call meets one error, drawn by the seed; `SEAWALL_CASES=whole` tries all pairs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{Daemon, Load, Raw, Reply, Setup, seed, wait_until, whole};

const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EROFS", "EMFILE"];
/// The calls of a log that is open and goes from segment to segment. Those of a start are in
/// another test.
const CALLS: [&str; 8] = [
    "fs.write",
    "fs.half",
    "fs.sync",
    "fs.create",
    "fs.rename",
    "fs.remove",
    "fs.sync_dir",
    "fs.cut",
];
/// A call that fails is tried again every half second; after three failed syncs the disk has to
/// prove good first, which takes three probes a second apart.
const HEALS_WITHIN: Duration = Duration::from_secs(2);
const PROVEN_WITHIN: Duration = Duration::from_secs(8);
/// Daemons at a time.
const AT_A_TIME: usize = 4;

fn drill(client: &mut Raw, call: &str, script: &str) -> i64 {
    client.run(format!("SW.DRILL POINT {call} {script}").trim_end()).int()
}

/// How long it took from the end of the fault to the next acknowledged write.
fn meet(daemon: &Daemon, load: &Load, call: &str, error: &str) -> Duration {
    let mut client = daemon.connect();
    let refused = |load: &Load| load.counts().refused + load.counts().unknown;
    let before = refused(load);
    drill(&mut client, call, &format!("return({error})"));
    wait_until(&format!("a client is told of {error} at {call}"), || {
        assert_eq!(client.run("GET before"), Reply::bulk("all"), "a read under {error} at {call}");
        refused(load) > before || load.broken()
    });
    for _ in 0..20 {
        assert_eq!(client.run("GET before"), Reply::bulk("all"), "a read under {error} at {call}");
    }
    assert!(drill(&mut client, call, "") > 0, "{call} was never passed");
    let (begun, acked) = (Instant::now(), load.counts().acked);
    let what = format!("writes go on after {error} at {call}");
    wait_until(&what, || load.counts().acked > acked || load.broken());
    let took = begun.elapsed();
    load.wait_progress(&what);
    took
}

fn life(pairs: &[(&str, &str)], seed: u64, healed: &Mutex<Vec<(Duration, String)>>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    // Only with `always` are zeros written ahead, and cut off again.
    let always = pairs.iter().any(|(call, _)| *call == "fs.cut") || rng.random();
    let fsync = if always { r#""always""# } else { r#""everysec""# };
    let mut daemon = Setup::new()
        .with("debug.drills", "true")
        .with("cache.shards", "2")
        .with("wal.segment_size", r#""64KiB""#)
        .with("wal.fsync", fsync)
        .start();
    assert_eq!(daemon.connect().run("SET before all"), Reply::ok());
    let load = Load::start(daemon.resp(), seed);
    load.wait_progress("writes begin");
    for (call, error) in pairs {
        let took = meet(&daemon, &load, call, error);
        let distrusted = daemon.log_text().contains("\"event\":\"distrusted\"");
        let within = if distrusted { PROVEN_WITHIN } else { HEALS_WITHIN };
        assert!(took < within, "{error} at {call}: {took:?}");
        healed.lock().expect("no test panics with it").push((took, format!("{error} {call}")));
    }
    // And once more, to die of it: what was acknowledged is there all the same.
    let (call, error) = pairs.choose(&mut rng).expect("some");
    // Before the fault: all clients may have met it a moment later.
    let before = load.counts();
    drill(&mut daemon.connect(), call, &format!("return({error})"));
    wait_until("somebody notices", || {
        let now = load.counts();
        now.refused + now.unknown > before.refused + before.unknown || load.broken()
    });
    assert!(!load.broken(), "a client found a broken promise; see above");
    daemon.kill();
    let counts = load.counts();
    let mut ledger = load.finish();
    let log = daemon.log_text();
    assert!(!log.contains("\"event\":\"resynced\""), "a file was synced again after a failure");
    daemon.restart();
    ledger.check(daemon.resp(), &format!("{pairs:?}, after kill -9"));
    let (acked, unknown, refused) = (counts.acked, counts.unknown, counts.refused);
    println!("{fsync} {pairs:?}: {acked} acknowledged, {unknown} unknown, {refused} refused");
}

#[test]
fn an_error_at_any_call_loses_nothing_and_heals() {
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for call in CALLS {
        let errors: Vec<&str> = if whole() {
            ERRORS.to_vec()
        } else {
            ERRORS.choose(&mut rng).copied().into_iter().collect()
        };
        pairs.extend(errors.into_iter().map(|error| (call, error)));
    }
    let lives: Vec<_> = pairs.chunks(2).collect();
    let (healed, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(pairs) = lives.get(n) else { break };
                    life(pairs, seed.wrapping_add(n as u64), &healed);
                }
            });
        }
    });
    let mut healed = healed.into_inner().expect("no test panicked with it");
    healed.sort();
    println!("from the end of the fault to the next acknowledged write: {healed:?}");
}

/// A start that is refused a call says so and ends; the next one finds everything.
#[test]
fn an_error_while_starting_ends_the_start_and_the_next_one_has_everything() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let mut daemon = Setup::new().start();
    assert_eq!(daemon.connect().run("SET k v"), Reply::ok());
    daemon.kill();
    for call in ["fs.list", "fs.open", "fs.sync", "fs.sync_dir"] {
        let error = ERRORS[rng.random_range(0..ERRORS.len())];
        daemon.set_env("SEAWALL_FAILPOINTS", &format!("{call}=return({error})"));
        daemon.relaunch();
        let status = daemon.wait_exit();
        assert_eq!(status.code(), Some(71), "{error} at {call}: {}", daemon.log_text());
    }
    daemon.set_env("SEAWALL_FAILPOINTS", "");
    daemon.restart();
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("v"));
}

/// The log's actor restarts while the system refuses what it needs for that: its start fails, and
/// the one after that goes well.
#[test]
fn an_error_while_the_logs_actor_restarts_is_survived() {
    for call in ["fs.list", "fs.open", "fs.sync_dir"] {
        let daemon = Setup::new().with("debug.drills", "true").env("RUST_BACKTRACE", "0").start();
        let mut client = daemon.connect();
        assert_eq!(client.run("SET k v"), Reply::ok());
        // Others make such calls too, and may take one of the three.
        drill(&mut client, call, "3*return(EMFILE)");
        assert_eq!(client.run("SW.DRILL panic wal"), Reply::ok());
        let restarting = r#""path":"wal","event":"restarting""#;
        wait_until("a restart that fails", || daemon.log_text().matches(restarting).count() >= 2);
        assert_eq!(client.run("SET k w"), Reply::ok(), "{call}");
        assert!(drill(&mut client, call, "") > 3, "refused, then passed: {call}");
    }
}

/// A snapshot is not what keeps the data: it fails aloud, and the next one goes well.
#[test]
fn an_error_while_a_snapshot_is_taken_fails_it_and_nothing_else() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let mut daemon =
        Setup::new().with("debug.drills", "true").with("wal.fsync", r#""always""#).start();
    let mut client = daemon.connect();
    for call in ["fs.create", "fs.write", "fs.half", "fs.sync", "fs.rename", "fs.sync_dir"] {
        assert!(!client.run("INCR n").is_error());
        let error = ERRORS[rng.random_range(0..ERRORS.len())];
        drill(&mut client, call, &format!("return({error})"));
        let failed = client.run("SAVE");
        drill(&mut client, call, "");
        assert!(failed.is_error(), "{error} at {call}: {failed:?}");
        assert_eq!(client.run("SAVE"), Reply::ok(), "after {error} at {call}");
    }
    let n = client.run("GET n");
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.connect().run("GET n"), n);
}

/// A shard that has lost its store reads the log, which takes a descriptor.
#[test]
fn an_error_while_a_shard_is_rebuilt_is_survived() {
    let daemon = Setup::new().with("debug.drills", "true").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET k v"), Reply::ok());
    for error in ["EMFILE", "EIO"] {
        drill(&mut client, "fs.open", &format!("1*return({error})"));
        drill(&mut client, "store.commit", "1*panic");
        let lost = client.run("SET lost v");
        assert!(lost.text().contains("outcome unknown"), "{lost:?}");
        wait_until("the store is back", || client.run("GET k") == Reply::bulk("v"));
        assert!(drill(&mut client, "fs.open", "") > 1, "{error}: refused once, then opened");
    }
}
