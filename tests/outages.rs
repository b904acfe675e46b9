//! What the surroundings do to a running daemon: no space, no descriptors, a directory that is gone.
//! The table in `docs/operations.md` names these tests.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{Daemon, Raw, Reply, Setup, http, wait_until};

/// A value that fills segments of [`SEGMENT`] quickly.
const VALUE: usize = 8 << 10;
const SEGMENT: &str = r#""64KiB""#;
/// By then the daemon takes writes again; it tries every half second.
const HEALS_WITHIN: Duration = Duration::from_secs(2);
/// The log looks for its files every second.
const NOTICED_WITHIN: Duration = Duration::from_secs(4);

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

/// Waits for a refusal of the log, without writing: it looks around by itself.
fn is_noticed(daemon: &mut Daemon) {
    let begun = Instant::now();
    daemon.wait_log("a log that was removed", |line| line["event"] == "blocked");
    assert!(begun.elapsed() < NOTICED_WITHIN, "{:?}", begun.elapsed());
}

/// Waits until the log takes writes again, in new files.
fn begins_anew(daemon: &mut Daemon, client: &mut Raw) {
    daemon.wait_log("a new segment", |line| line["event"] == "begun_anew");
    wait_until("writes are taken again", || client.run("SET healed yes") == Reply::ok());
}

#[test]
fn a_log_that_was_removed_goes_on_in_new_files_and_loses_nothing() {
    // The log alone; what is in the data directory; the directory itself.
    for what in ["data/wal", "data/*", "data"] {
        let mut daemon = Setup::new()
            .with("cache.shards", "2")
            .with("wal.segment_size", SEGMENT)
            .with("wal.compress_above", r#""0""#)
            .start();
        let mut client = daemon.connect();
        fill_all(&mut client, 30);
        assert_eq!(client.run("SAVE"), Reply::ok());
        assert_eq!(client.run("SET early v"), Reply::ok());
        let removal = format!("rm -rf {what}");
        let removed = Command::new("sh").args(["-c", &removal]).current_dir(daemon.dir()).status();
        assert!(removed.expect("a shell").success());
        assert_eq!(client.run("SET meanwhile v"), Reply::ok());
        is_noticed(&mut daemon);
        assert_eq!(client.run("GET early"), Reply::bulk("v"));
        begins_anew(&mut daemon, &mut client);
        assert_eq!(client.run("SET late v"), Reply::ok());
        // The directory is the daemon's again.
        let (code, log) = second_daemon(&daemon);
        assert_eq!(code, 75, "{log}");
        daemon.kill();
        daemon.restart();
        let mut client = daemon.connect();
        check(&mut client, 30);
        let values = client.run("MGET early meanwhile late healed");
        let v = || Reply::bulk("v");
        assert_eq!(values.items(), [v(), v(), v(), Reply::bulk("yes")], "{what}");
        // It is a log like any other.
        assert_eq!(client.run("SAVE"), Reply::ok());
        daemon.stop();
        daemon.restart();
        check(&mut daemon.connect(), 30);
    }
}

fn fill_all(client: &mut Raw, count: usize) {
    for n in 0..count {
        assert_eq!(client.call(&["SET", &format!("key:{n}"), &value(n)]), Reply::ok());
    }
}

/// How a second daemon on the same data directory ends.
fn second_daemon(daemon: &Daemon) -> (i32, String) {
    let data = format!("{:?}", daemon.dir().join("data"));
    Setup::new().with("data.dir", &data).fails()
}

/// A daemon whose log is removed and cannot begin anew: no file can be made.
fn removed_for_good() -> (Daemon, Raw) {
    let mut daemon = Setup::new().with("debug.drills", "true").with("cache.shards", "2").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    client.run("SW.DRILL POINT fs.create return(EACCES)");
    fs::remove_dir_all(daemon.dir().join("data/wal")).expect("the log's folder");
    is_noticed(&mut daemon);
    // Everybody who looks after it is told, and reads go on.
    wait_until("the log to be called impaired", || {
        let (status, body) = http::get(daemon.admin(), "/readyz");
        status == 200 && body.contains("writes_refused")
    });
    let info = client.run("INFO seawall").text();
    assert!(info.contains("degraded:1") && info.contains(":wal: "), "{info}");
    assert!(client.run("SW.TREE").text().contains("writes_refused: "));
    (daemon, client)
}

/// What was in it is nowhere else: the next start does not pass over it.
#[test]
fn a_log_that_was_removed_and_not_begun_anew_refuses_writes_and_the_next_start() {
    let (mut daemon, mut client) = removed_for_good();
    let refused = client.run("SET late v").text();
    assert!(refused.starts_with("MISCONF") && refused.contains("was not applied"), "{refused}");
    assert!(refused.contains("was removed or replaced"), "{refused}");
    assert_eq!(client.run("GET early"), Reply::bulk("v"));
    assert_eq!(client.run("WAITAOF 1 0 10").items()[0], Reply::Int(0), "it was on disk");
    daemon.kill();
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83), "{}", daemon.log_text());
}

/// Whoever would write next finds nothing to go on from.
#[test]
fn a_log_that_was_removed_is_begun_anew_by_its_restarted_actor() {
    let mut daemon = Setup::new().with("debug.drills", "true").with("cache.shards", "2").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    fs::remove_dir_all(daemon.dir().join("data/wal")).expect("the log's folder");
    assert_eq!(client.run("SET meanwhile v"), Reply::ok());
    assert_eq!(client.run("SW.DRILL panic wal"), Reply::ok());
    begins_anew(&mut daemon, &mut client);
    daemon.kill();
    daemon.restart();
    let values = daemon.connect().run("MGET early meanwhile healed");
    assert_eq!(values.items(), [Reply::bulk("v"), Reply::bulk("v"), Reply::bulk("yes")]);
}

#[test]
fn a_log_that_was_moved_away_and_back_at_once_goes_on() {
    let mut daemon = Setup::new().with("debug.drills", "true").start();
    let (wal, away) = (daemon.dir().join("data/wal"), daemon.dir().join("data/away"));
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    client.run("SW.DRILL POINT fs.create return(EACCES)");
    fs::rename(&wal, &away).expect("the log's folder");
    assert_eq!(client.run("SET meanwhile v"), Reply::ok());
    is_noticed(&mut daemon);
    // The directory was made again, but no segment in it.
    wait_until("it tries to begin anew", || wal.exists());
    fs::remove_dir(&wal).expect("it is empty");
    if let Err(raced) = fs::rename(&away, &wal) {
        fs::remove_dir(&wal).expect("it is empty");
        fs::rename(&away, &wal).unwrap_or_else(|again| panic!("{raced}, {again}"));
    }
    heals(&mut client);
    wait_until("the log to be called well", || {
        !http::get(daemon.admin(), "/readyz").1.contains("writes_refused")
    });
    client.run("SW.DRILL POINT fs.create");
    daemon.kill();
    daemon.restart();
    let values = daemon.connect().run("MGET early meanwhile healed");
    assert_eq!(values.items(), [Reply::bulk("v"), Reply::bulk("v"), Reply::bulk("yes")]);
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
