//! What the surroundings do to a running daemon: no space, no descriptors, another time.
//! The table in `docs/operations.md` names these tests.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{Raw, Reply, Setup, http, wait_until};

/// A value that fills segments of [`SEGMENT`] quickly.
const VALUE: usize = 8 << 10;
pub const SEGMENT: &str = r#""64KiB""#;
/// By then the daemon takes writes again; it tries every half second.
const HEALS_WITHIN: Duration = Duration::from_secs(2);

pub fn value(n: usize) -> String {
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

pub fn check(client: &mut Raw, count: usize) {
    for n in 0..count {
        let reply = client.call(&["GET", &format!("key:{n}")]);
        assert!(reply == Reply::bulk(value(n)), "key:{n} of {count}");
    }
}

#[track_caller]
pub fn heals(client: &mut Raw) {
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
    // Values that fill the disk by what they are long.
    let setup = Setup::new()
        .with("wal.segment_size", SEGMENT)
        .with("wal.compress_above", r#""0""#)
        .with("cache.shards", "2");
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

/// Descriptors that are kept from clients.
const RESERVE: usize = seawall::descriptors::RESERVE;

/// A daemon that may have descriptors for so many clients, and has fewer at first.
fn with_room_for(clients: usize) -> Setup {
    let limits = format!(r#"ulimit -Sn 48 && ulimit -Hn {} && exec "$0" "$@""#, clients + RESERVE);
    Setup::new()
        .with("cache.shards", "2")
        .with("wal.segment_size", SEGMENT)
        .with("wal.compress_above", r#""0""#)
        .within(&["sh", "-c", &limits])
}

#[test]
fn clients_that_take_all_they_can_leave_the_log_its_descriptors() {
    const ROOM: usize = 40;
    let mut daemon = with_room_for(ROOM).start();
    let mut all: Vec<Raw> = (0..3 * ROOM).map(|_| daemon.connect()).collect();
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(daemon.admin())).collect();
    let mut turned_away = all.split_off(ROOM);
    for client in &mut all {
        assert_eq!(client.run("PING"), Reply::Simple("PONG".into()));
    }
    for client in &mut turned_away {
        let rest = client.rest();
        assert!(rest.is_empty() || rest == "-ERR max number of clients reached\r\n", "{rest}");
    }
    let client = &mut all[ROOM - 1];
    assert_eq!(client.run("CONFIG GET maxclients").items()[1], Reply::bulk(ROOM.to_string()));
    let info = client.run("INFO clients").text();
    assert!(info.contains(&format!("maxclients:{ROOM}\r\n")), "{info}");
    let refused = client.run(&format!("CONFIG SET maxclients {}", ROOM + 1)).text();
    assert!(refused.contains(&format!("room for {ROOM} clients")), "{refused}");
    assert_eq!(client.run("CONFIG SET maxclients 7"), Reply::ok());
    assert_eq!(client.run(&format!("CONFIG SET maxclients {ROOM}")), Reply::ok());

    // Several segments, and two snapshots.
    for _ in 0..2 {
        for n in 0..40 {
            let reply = client.call(&["SET", &format!("key:{n}"), &value(n)]);
            assert_eq!(reply, Reply::ok());
        }
        assert_eq!(client.run("SAVE"), Reply::ok());
    }
    let log = daemon.log_text();
    assert!(log.contains("fewer clients are admitted") && !log.contains("cannot"), "{log}");
    drop(idle);
    let (_, metrics) = http::get(daemon.admin(), "/metrics");
    assert!(metrics.contains(&format!("seawall_connections_max {ROOM}\n")), "{metrics}");
    daemon.kill();
    daemon.restart();
    check(&mut daemon.connect(), 40);
}

#[test]
fn without_descriptors_for_a_single_client_the_start_ends_with_71() {
    let (code, log) = with_room_for(0).fails();
    assert_eq!(code, 71, "{log}");
    assert!(log.contains("raise LimitNOFILE"), "{log}");
}

/// The limit is lowered behind the daemon's back: what it keeps for itself is gone, too.
#[test]
fn without_descriptors_the_connected_are_served_and_the_others_wait() {
    let mut daemon = Setup::new().with("cache.shards", "2").start();
    assert_eq!(daemon.connect().run("PING"), Reply::Simple("PONG".into()));
    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(48), maximum: Some(48) };
    prlimit(pid, Resource::Nofile, limit).expect("our child");
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

#[test]
fn a_log_directory_that_cannot_be_changed_is_said_before_the_segment_is_full() {
    let mut daemon = Setup::new().with("debug.drills", "true").start();
    let mut client = daemon.connect();
    client.run("SW.DRILL POINT fs.access return(EROFS)");
    daemon.wait_log("the warning", |line| line["event"] == "read_only");
    assert_eq!(client.run("SET k v"), Reply::ok(), "the segment takes it");
    client.run("SW.DRILL POINT fs.access");
    daemon.wait_log("the all-clear", |line| line["event"] == "writable");
    assert_eq!(daemon.log_text().matches("\"read_only\"").count(), 1, "said once");
}

const HOUR_MS: i64 = 3_600_000;

fn ttl(client: &mut Raw, key: &str) -> i64 {
    client.run(&format!("PTTL {key}")).int()
}

/// Times to live are wall time; everything that lasts is not.
#[test]
fn a_clock_that_jumps_an_hour_moves_times_to_live_and_nothing_else() {
    let mut daemon = Setup::new()
        .with("debug.drills", "true")
        .with("cache.shards", "2")
        .with("server.idle_timeout", r#""20s""#)
        .start();
    let mut client = daemon.connect();
    let mut idle = daemon.connect();
    assert_eq!(idle.run("PING"), Reply::Simple("PONG".into()));
    let jump = |client: &mut Raw, hours: i64| {
        client.run(&format!("SW.DRILL POINT clock.wall return({})", hours * HOUR_MS));
    };
    let heals = |client: &mut Raw| {
        for actor in ["cache/shard-0", "wal", "metrics"] {
            assert_eq!(client.run(&format!("SW.DRILL panic {actor}")), Reply::ok());
        }
        wait_until("writes go on", || client.run("SET probe v") == Reply::ok());
    };
    client.run("SET half v PX 1800000");
    client.run("SET two v PX 7200000");
    client.run("SET ever v");

    jump(&mut client, 1);
    assert_eq!(client.run("MGET half two ever").items()[0], Reply::Nil, "its time has come");
    assert!((3_500_000..=HOUR_MS).contains(&ttl(&mut client, "two")), "an hour is left");
    client.run("SET short v PX 100");
    wait_until("a short time is short", || client.run("EXISTS short") == Reply::Int(0));
    client.run("SET ahead v PX 1800000");
    heals(&mut client);

    jump(&mut client, -1);
    assert!(ttl(&mut client, "two") > 2 * HOUR_MS, "what was set before lives longer by the jump");
    assert!(ttl(&mut client, "ahead") > 2 * HOUR_MS);
    client.run("SET short v PX 100");
    wait_until("a short time is short", || client.run("EXISTS short") == Reply::Int(0));
    heals(&mut client);
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(idle.run("PING"), Reply::Simple("PONG".into()), "idle for seconds, not for hours");

    // Frames and snapshots from three times, in no order of time.
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    let values = client.run("MGET half two ever ahead short");
    let [gone, there] = [Reply::Nil, Reply::bulk("v")];
    assert_eq!(values.items(), [gone.clone(), there.clone(), there.clone(), there, gone]);
    assert!((6_900_000..=2 * HOUR_MS).contains(&ttl(&mut client, "two")), "as it was set");
}
