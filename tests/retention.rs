//! The log does not grow for ever, and nothing that is needed goes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::support::{Daemon, Raw, Reply, Setup, http, wait_until};

/// Small segments, quick looks at the disk.
fn setup() -> Setup {
    Setup::new()
        .with("wal.segment_size", r#""64KiB""#)
        .with("debug.drills", "true")
        .with("cache.shards", "2")
}

/// Numbers of the segments, in order.
fn segments(daemon: &Daemon) -> Vec<u64> {
    let log = fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
    let mut numbers: Vec<u64> = log
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".wal")?.split_once('-')?.0.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn log_bytes(daemon: &Daemon) -> u64 {
    let log = fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
    log.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

/// Sets `keys` keys to values that do not compress, of some 200 bytes.
fn fill(client: &mut Raw, round: u32, keys: u32) {
    for key in 0..keys {
        client.send(&["SET", &format!("key:{key}"), &value(round, key)]);
    }
    for _ in 0..keys {
        assert_eq!(client.receive(), Reply::ok());
    }
}

fn value(round: u32, key: u32) -> String {
    let mut state = u64::from(round) << 32 | u64::from(key) | 1 << 63;
    (0..12)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:016x}", state ^ state >> 29)
        })
        .collect()
}

fn check(client: &mut Raw, round: u32, keys: u32) {
    for key in 0..keys {
        client.send(&["GET", &format!("key:{key}")]);
    }
    for key in 0..keys {
        assert_eq!(client.receive().text(), value(round, key), "key:{key}");
    }
}

fn verified(daemon: &Daemon) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["wal", "verify", "--data"])
        .arg(daemon.dir().join("data"))
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn old_segments_go_by_themselves_and_everything_is_there_after_a_kill_and_a_crash_inside() {
    let setup = setup().with("wal.retention", r#""1s""#).with("snapshot.every", r#""1s""#);
    let mut daemon = setup.start();
    let mut client = daemon.connect();
    let mut round = 0;
    wait_until("the first segments to go", || {
        round += 1;
        fill(&mut client, round, 600);
        segments(&daemon)[0] > 3
    });
    // A shard that has to be rebuilt finds a log that does not begin with LSN 1.
    assert_eq!(client.run("SW.DRILL POINT store.commit 1*panic"), Reply::Int(0));
    let _ = client.run("SET shaken 1");
    let mut client = daemon.connect();
    wait_until("the shard to be back", || {
        (0..20).all(|key| client.run(&format!("GET key:{key}")).text() == value(round, key))
    });
    check(&mut client, round, 600);
    let (code, text) = verified(&daemon);
    assert_eq!(code, 0, "{text}");
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    check(&mut client, round, 600);
    daemon.stop();
    let (code, text) = verified(&daemon);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("begins with segment 1 "), "{text}");
}

#[test]
fn a_log_that_is_too_large_raises_an_alarm_once_and_gives_way() {
    let setup = setup()
        .with("wal.max_size", r#""512KiB""#)
        .with("snapshot.every", r#""0s""#)
        .with("snapshot.after_bytes", "0");
    let mut daemon = setup.start();
    let mut client = daemon.connect();
    for round in 1..=20 {
        fill(&mut client, round, 300);
    }
    assert!(log_bytes(&daemon) > 1 << 20);
    let alarm = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|message| message.contains("wal.max_size"))
    };
    daemon.wait_log("the alarm", alarm);
    let (_, ready) = http::get(daemon.admin(), "/readyz");
    assert!(ready.contains("wal.max_size is 524288"), "{ready}");
    assert!(ready.contains("snapshots") && !ready.contains("startup"), "{ready}");
    // Nobody writes meanwhile.
    wait_until("the log to be smaller", || log_bytes(&daemon) <= 512 << 10);
    let round = 21;
    fill(&mut client, round, 10);
    assert!(segments(&daemon)[0] > 1);
    wait_until("the alarm to end", || {
        !http::get(daemon.admin(), "/readyz").1.contains("wal.max_size")
    });
    let alarms = daemon.log_text().lines().filter(|line| line.contains("larger than")).count();
    assert_eq!(alarms, 1, "{}", daemon.log_text());
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    check(&mut client, round, 10);
    assert_eq!(client.run("GET key:299").text(), value(20, 299));
}

/// Whoever reads in another process shares a lock on the directory of the segments.
#[test]
fn what_another_process_reads_stays_and_exports_never_find_a_file_gone() {
    let setup = setup().with("wal.retention", r#""1s""#).with("snapshot.every", r#""1s""#);
    let daemon = setup.start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    let wal = fs::File::open(daemon.dir().join("data/wal")).expect("the log");
    flock(&wal, FlockOperation::LockShared).expect("nobody deletes for long");
    for round in 1..=4 {
        fill(&mut client, round, 600);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(segments(&daemon)[0], 1, "it is being read");
    flock(&wal, FlockOperation::Unlock).expect("it is ours");
    let mut round = 4;
    for _ in 0..5 {
        // Segments are about to go, or going. Who reads all the time would keep them for ever.
        let first = segments(&daemon)[0];
        wait_until("segments to go", || {
            round += 1;
            fill(&mut client, round, 300);
            segments(&daemon)[0] > first
        });
        let file = daemon.dir().join("export");
        let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["export", "--format", "resp", "--to"])
            .arg(&file)
            .arg("--data")
            .arg(daemon.dir().join("data"))
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read(&file).expect("the export");
        assert!(text.windows(5).any(|word| word == b"early"), "all is in it");
    }
    assert!(!daemon.log_text().contains("cannot be deleted"), "{}", daemon.log_text());
}

/// A number of INFO's.
fn info(client: &mut Raw, field: &str) -> u64 {
    let text = client.run("INFO persistence").text();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
}

#[test]
fn the_schedule_is_followed_live_and_an_idle_cache_is_left_alone() {
    let mut daemon = setup().with("snapshot.every", r#""0s""#).start();
    let mut client = daemon.connect();
    client.run("SET a 1");
    assert_eq!(client.run("CONFIG SET snapshot.every 1s"), Reply::ok());
    wait_until("a snapshot", || info(&mut client, "rdb_saves") == 1);
    client.run("SET a 2");
    wait_until("another", || info(&mut client, "rdb_saves") == 2);
    daemon.stop();
    daemon.configure("snapshot.every", r#""1s""#);
    daemon.restart();
    let mut client = daemon.connect();
    client.run("SET a 3");
    wait_until("one of the new run", || info(&mut client, "rdb_saves") == 1);
}

/// How old something is goes by the wall clock; how long something lasts does not.
#[test]
fn a_clock_that_jumps_an_hour_moves_what_is_kept_and_no_schedule() {
    let mut daemon =
        setup().with("wal.retention", r#""30m""#).with("snapshot.every", r#""30m""#).start();
    let mut client = daemon.connect();
    let synced = |client: &mut Raw| {
        let begun = Instant::now();
        wait_until("a sync", || info(client, "aof_pending_bio_fsync") == 0);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    };
    // Sets the key, in a segment that was begun after the jump, and tells when that was.
    let mut round = 0;
    let mut step = |client: &mut Raw, value: &str| {
        for _ in 0..2 {
            round += 1;
            fill(client, round, 600);
        }
        client.call(&["SET", "k", value]);
        synced(client);
        let history = client.run("SW.HISTORY k COUNT 1");
        let event = history.items()[5].items()[0].items();
        assert_eq!((event[2].text().as_str(), event[4].text().as_str()), ("time", "operation"));
        event[3].int()
    };
    let restored = |client: &mut Raw, time: i64| {
        let reply = client.run(&format!("SW.RESTORE k TIME {time}"));
        assert!(!reply.is_error(), "{reply:?}");
        client.run("GET k").text()
    };
    let first = step(&mut client, "first");
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(client.run("SAVE"), Reply::ok());
    let saves = info(&mut client, "rdb_saves");

    client.run("SW.DRILL POINT clock.wall return(-3600000)");
    let back = step(&mut client, "back");
    assert!(back < first - 3_000_000, "{back} {first}");
    assert_eq!(restored(&mut client, back), "back");
    assert_eq!(info(&mut client, "rdb_saves"), saves, "none is due");
    assert_eq!(client.run("CONFIG SET snapshot.every 1s"), Reply::ok());
    wait_until("one that is due", || info(&mut client, "rdb_saves") > saves);
    assert_eq!(client.run("CONFIG SET snapshot.every 30m"), Reply::ok());
    assert_eq!(segments(&daemon)[0], 1, "nothing is older than half an hour");

    client.run("SW.DRILL POINT clock.wall");
    let again = step(&mut client, "again");
    assert_eq!(restored(&mut client, again), "again");
    assert_eq!(restored(&mut client, back), "back");
    assert_eq!(segments(&daemon)[0], 1);

    let saves = info(&mut client, "rdb_saves");
    client.run("SW.DRILL POINT clock.wall return(3600000)");
    let ahead = step(&mut client, "ahead");
    assert!(ahead > again + 3_000_000, "{ahead} {again}");
    assert_eq!(restored(&mut client, ahead), "ahead");
    wait_until("what is an hour old to go", || segments(&daemon)[0] > 1);
    assert_eq!(info(&mut client, "rdb_saves"), saves, "none is due");

    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    check(&mut client, round, 600);
    assert_eq!(client.run("GET k").text(), "ahead");
    daemon.stop();
    let (code, text) = verified(&daemon);
    assert_eq!(code, 0, "{text}");
}
