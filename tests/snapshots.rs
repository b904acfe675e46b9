//! Snapshots are taken while clients go on, and the next start uses them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::support::{Daemon, Raw, Reply, Setup, wait_for, wait_until};

/// The finished snapshots, the oldest first.
fn snapshots(daemon: &Daemon) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(daemon.dir().join("data/snap"))
        .map(|dir| dir.map(|entry| entry.expect("an entry").path()).collect())
        .unwrap_or_default();
    found.retain(|path: &PathBuf| path.extension().is_some_and(|ending| ending == "snap"));
    found.sort();
    found
}

fn info(client: &mut Raw, field: &str) -> String {
    let text = client.run("INFO persistence").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("the field").to_owned()
}

/// Counts up its own keys, and moves and deletes others, until the connection breaks; returns
/// what was acknowledged of each counter.
fn work(mut client: Raw, id: usize, stop: Arc<AtomicBool>) -> JoinHandle<Vec<i64>> {
    std::thread::spawn(move || {
        let mut acked = vec![0; 50];
        for round in 0.. {
            for n in 0..acked.len() {
                if stop.load(Ordering::Relaxed) {
                    return acked;
                }
                let replies = [
                    client.try_run(&format!("INCR count:{id}:{n}")),
                    client.try_run(&format!("SET temp:{id}:{n} {round} EX 1000")),
                    client.try_run(&format!("RENAME temp:{id}:{n} moved:{id}:{n}")),
                    client.try_run(&format!("DEL moved:{id}:{}", (n + 7) % 50)),
                ];
                let [Ok(Reply::Int(count)), Ok(_), Ok(_), Ok(_)] = replies else { return acked };
                acked[n] = count;
            }
        }
        acked
    })
}

#[test]
fn a_daemon_killed_between_snapshots_under_load_starts_with_all_that_was_acknowledged() {
    for mode in ["everysec", "no"] {
        let setup = Setup::new().with("wal.fsync", &format!("{mode:?}"));
        let mut daemon = setup.with("cache.shards", "3").start();
        let mut client = daemon.connect();
        for n in 0..3000 {
            client.send(&["SET", &format!("stays:{n}"), &format!("value {n}")]);
        }
        for _ in 0..3000 {
            assert_eq!(client.receive(), Reply::ok());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> =
            (0..3).map(|id| work(daemon.connect(), id, Arc::clone(&stop))).collect();
        for _ in 0..4 {
            assert_eq!(client.run("SAVE"), Reply::ok());
        }
        assert_eq!(info(&mut client, "rdb_saves"), "4");
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        wait_until("the older ones to go", || snapshots(&daemon).len() == 2);
        assert_eq!(client.run("BGSAVE"), Reply::Simple("Background saving started".into()));
        daemon.kill();
        stop.store(true, Ordering::Relaxed);
        let acked: Vec<_> = workers.into_iter().map(|w| w.join().expect("a worker")).collect();
        daemon.restart();
        daemon.wait_log("a snapshot", |line| line["message"] == "snapshot loaded");
        let mut client = daemon.connect();
        for (id, counts) in acked.iter().enumerate() {
            for (n, count) in counts.iter().enumerate() {
                let found = client.run(&format!("INCR count:{id}:{n}"));
                let Reply::Int(found) = found else { panic!("{found:?}") };
                // One more may have been written and not acknowledged.
                assert!((count + 1..=count + 2).contains(&found), "{mode} {id}:{n} {found}");
            }
        }
        for n in 0..3000 {
            let value = client.run(&format!("GET stays:{n}"));
            assert_eq!(value.text(), format!("value {n}"));
        }
    }
}

#[test]
fn what_came_before_the_snapshot_is_not_applied_again_and_what_came_after_is() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    for n in 0..100 {
        client.run(&format!("SET key {n}"));
    }
    client.run("SET gone 1 PX 1000");
    let ends = client.run("PEXPIRETIME gone").int();
    client.run("SELECT 1");
    client.run("SET key other");
    client.run("SWAPDB 0 1");
    let before: i64 = client.run("LASTSAVE").int();
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert!(client.run("LASTSAVE").int() >= before);
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    client.run("SET late 1");
    client.run("SWAPDB 0 1");
    client.run("DEL late");
    client.run("SET late 2");
    daemon.kill();
    wait_until("the key's time to be over", || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        now.as_millis() > u128::try_from(ends).expect("after 1970")
    });
    daemon.restart();
    let replayed = daemon.wait_log("a replay", |line| line["message"] == "log replayed");
    assert_eq!(replayed["records"].as_u64().map(|n| n < 10), Some(true), "{replayed}");
    let mut client = daemon.connect();
    assert_eq!(client.run("GET key").text(), "99");
    assert_eq!(client.run("EXISTS gone"), Reply::Int(0));
    client.run("SELECT 1");
    assert_eq!(client.run("GET key").text(), "other");
    assert_eq!(client.run("GET late").text(), "2");
}

#[test]
fn a_damaged_snapshot_is_put_aside_and_the_one_before_is_used() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    for n in 0..3 {
        client.run(&format!("SET key:{n} {n}"));
        assert_eq!(client.run("SAVE"), Reply::ok());
    }
    client.run("SET last 1");
    wait_until("the oldest to go", || snapshots(&daemon).len() == 2);
    daemon.stop();
    let found = snapshots(&daemon);
    let mut bytes = fs::read(&found[1]).expect("the newest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&found[1], bytes).expect("the newest");
    daemon.restart();
    daemon.wait_log("the damage", |line| {
        line["level"] == "ERROR" && line["message"].as_str().is_some_and(|m| m.contains("snapshot"))
    });
    assert_eq!(snapshots(&daemon), found[..1]);
    let aside = fs::read_dir(daemon.dir().join("data/quarantine")).expect("quarantine");
    assert_eq!(aside.count(), 1);
    let mut client = daemon.connect();
    for n in 0..3 {
        assert_eq!(client.run(&format!("GET key:{n}")).text(), n.to_string());
    }
    assert_eq!(client.run("GET last").text(), "1");
    // Without any, the whole log does.
    daemon.stop();
    fs::write(&found[0], b"nothing").expect("the other");
    daemon.restart();
    let mut client = daemon.connect();
    assert_eq!(client.run("DBSIZE"), Reply::Int(4));
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_refused() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("SET a 1");
    client.run("SET b 2");
    assert_eq!(client.run("SAVE"), Reply::ok());
    daemon.kill();
    let log = fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
    let segment = log.map(|entry| entry.expect("an entry").path()).next().expect("a segment");
    let file = fs::OpenOptions::new().write(true).open(segment).expect("the segment");
    // Its header stays: without the snapshot this would be a new, empty log.
    file.set_len(120).expect("cut");
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83));
    assert!(daemon.log_text().contains("a snapshot proves"), "{}", daemon.log_text());
}

#[test]
fn a_pure_cache_says_that_there_is_nowhere_to_save_to() {
    let daemon = Setup::new().with("wal.enabled", "false").start();
    let mut client = daemon.connect();
    assert!(client.run("SAVE").text().contains("nowhere to save"));
    assert!(client.run("LASTSAVE").int() > 1_700_000_000);
}

#[test]
fn a_snapshot_in_the_background_ends() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("SET a 1");
    assert_eq!(client.run("BGSAVE SCHEDULE"), Reply::Simple("Background saving started".into()));
    wait_for("the snapshot", || (info(&mut client, "rdb_saves") == "1").then_some(()));
    assert!(client.run("BGSAVE now").text().contains("syntax error"));
}

#[test]
fn a_snapshot_is_taken_from_the_command_line() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("SET a 1");
    let ask = |address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["snapshot", "--addr", address])
            .current_dir(daemon.dir())
            .output()
            .expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let (code, text) = ask(&daemon.resp().to_string());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("snapshot taken"), "{text}");
    assert_eq!((info(&mut client, "rdb_saves").as_str(), snapshots(&daemon).len()), ("1", 1));
    assert_eq!(ask("./nothing").0, Some(69));
}

#[test]
fn in_a_transaction_a_snapshot_is_said_to_be_scheduled() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("MULTI");
    client.run("SET a 1");
    assert_eq!(client.run("BGSAVE").text(), "QUEUED");
    let scheduled = Reply::Simple("Background saving scheduled".into());
    assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::ok(), scheduled]));
    wait_for("the snapshot", || (info(&mut client, "rdb_saves") == "1").then_some(()));
}
