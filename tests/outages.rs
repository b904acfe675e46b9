//! What the surroundings do to a running daemon: no space, no descriptors, a directory that is gone.
//! The table in `docs/operations.md` names these tests.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Raw, Reply, Setup, wait_until};

/// A value that fills segments of [`SEGMENT`] quickly.
const VALUE: usize = 8 << 10;
const SEGMENT: &str = r#""64KiB""#;
/// By then the daemon takes writes again; it tries every half second.
const HEALS_WITHIN: Duration = Duration::from_secs(2);

fn value(n: usize) -> String {
    format!("{n:0>VALUE$}")
}

/// Writes until one fails; how many were acknowledged, and the failure.
fn fill(client: &mut Raw, at_most: usize) -> (usize, String) {
    for n in 0..at_most {
        let reply = client.call(&["SET", &format!("key:{n}"), &value(n)]);
        if reply.is_error() {
            return (n, reply.text());
        }
        assert_eq!(reply, Reply::ok());
    }
    panic!("{at_most} writes went well");
}

fn check(client: &mut Raw, count: usize) {
    for n in 0..count {
        let reply = client.call(&["GET", &format!("key:{n}")]);
        assert!(reply == Reply::bulk(value(n)), "key:{n} of {count}");
    }
}

#[track_caller]
fn heals(client: &mut Raw) {
    let begun = Instant::now();
    wait_until("writes are taken again", || client.run("SET healed yes") == Reply::ok());
    assert!(begun.elapsed() < HEALS_WITHIN, "{:?}", begun.elapsed());
}

/// Becomes a program that has a file system of 8 MB of its own at `data`.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=8m tmpfs data && exec "$0" "$@""#;

/// Whether this system lets us have one; some containers do not.
fn has_small_disks(setup: &Setup) -> bool {
    fs::create_dir(setup.dir().join("data")).expect("the test's folder");
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "true"])
        .current_dir(setup.dir())
        .output();
    let works = tried.as_ref().is_ok_and(|output| output.status.success());
    if !works {
        println!("skipped: no file system of its own for a test here: {tried:?}");
    }
    works
}

#[test]
fn a_full_disk_refuses_writes_answers_reads_and_heals_within_two_seconds() {
    let setup = Setup::new().with("wal.segment_size", SEGMENT).with("cache.shards", "2");
    if !has_small_disks(&setup) {
        return;
    }
    let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK];
    let mut daemon = setup.within(&words).start();
    // The daemon's disk as it sees it.
    let inside = format!("/proc/{}/root{}", daemon.pid(), daemon.dir().join("data").display());
    let ballast = Path::new(&inside).join("ballast");
    fs::write(&ballast, vec![1; 6 << 20]).expect("there is room for it");

    let mut client = daemon.connect();
    let (count, error) = fill(&mut client, 1000);
    assert!(error.starts_with("MISCONF") && error.contains("No space left on device"), "{error}");
    assert!(error.contains("The outcome of this write is unknown"), "{error}");
    check(&mut client, count);
    let refused = client.run("SET another one").text();
    assert!(refused.starts_with("MISCONF") && refused.contains("was not applied"), "{refused}");
    assert_eq!(client.run("GET another"), Reply::Nil);

    fs::remove_file(&ballast).expect("it is there");
    heals(&mut client);
    // A copy of the running daemon's directory is a backup; the disk itself ends with the daemon.
    let copy = Command::new("cp").arg("-r").arg(&inside).arg(daemon.dir()).status();
    assert!(copy.expect("cp runs").success());
    daemon.kill();
    daemon.leave_surroundings();
    daemon.restart();
    let mut client = daemon.connect();
    check(&mut client, count);
    assert_eq!(client.run("GET healed"), Reply::bulk("yes"));
}

#[test]
fn without_descriptors_the_connected_are_served_and_the_others_wait() {
    let words = ["sh", "-c", r#"ulimit -n 48 && exec "$0" "$@""#];
    let mut daemon = Setup::new().with("cache.shards", "2").within(&words).start();
    let mut clients: VecDeque<Raw> = (0..64).map(|_| daemon.connect()).collect();
    let complaint = "cannot accept connections";
    daemon.wait_log(complaint, |line| {
        line["message"].as_str().is_some_and(|message| message.starts_with(complaint))
    });
    assert_eq!(clients[0].run("SET k v"), Reply::ok());
    let info = clients[0].run("INFO clients").text();
    let connected = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
    let connected: usize = connected.and_then(|n| n.parse().ok()).expect("a number of clients");
    assert!((5..48).contains(&connected), "{info}");
    // Whoever leaves makes room for the one who has waited longest; and then it is full again.
    for _ in 0..5 {
        clients.pop_front();
        assert_eq!(clients[connected - 1].run("GET k"), Reply::bulk("v"));
    }
    drop(clients);
    assert_eq!(daemon.connect().run("PING"), Reply::Simple("PONG".into()));
    assert_eq!(daemon.log_text().matches(complaint).count(), 1, "{}", daemon.log_text());
    daemon.stop();
}

/// What is written into a file that has lost its name is gone with the daemon. It is refused from
/// the next segment on, and the next start does not pass over what is missing.
#[test]
fn a_removed_log_directory_refuses_writes_from_the_next_segment_on_and_the_next_start() {
    let mut daemon = Setup::new().with("wal.segment_size", SEGMENT).start();
    let wal = daemon.dir().join("data/wal");
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    fs::remove_dir_all(&wal).expect("the log's folder");
    let (count, error) = fill(&mut client, 100);
    assert!(error.starts_with("MISCONF") && error.contains("log segment"), "{error}");
    check(&mut client, count);
    fs::create_dir(&wal).expect("the data directory");
    heals(&mut client);
    daemon.kill();
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83), "{}", daemon.log_text());
}
