//! The log's files are removed, replaced or cut under a running daemon. The table in
//! `docs/operations.md` names these tests.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::outages::{SEGMENT, check, heals, value};
use crate::support::{Daemon, Raw, Reply, Setup, http, wait_until};

/// The log looks for its files every second.
const NOTICED_WITHIN: Duration = Duration::from_secs(4);

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
    assert!(refused.contains("was removed, replaced or cut"), "{refused}");
    assert_eq!(client.run("GET early"), Reply::bulk("v"));
    assert_eq!(client.run("WAITAOF 1 0 10").items()[0], Reply::Int(0), "it was on disk");
    daemon.kill();
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83), "{}", daemon.log_text());
}

/// Somebody else's file is in the way of the log's directory: nothing is there, and nothing can be.
#[test]
fn a_log_whose_directory_became_a_file_is_refused_and_begins_anew_when_that_is_gone() {
    let mut daemon = Setup::new().with("cache.shards", "2").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    let log = daemon.dir().join("data/wal");
    fs::remove_dir_all(&log).expect("the log's folder");
    fs::write(&log, "in the way").expect("a file");
    is_noticed(&mut daemon);
    let refused = client.run("SET late v").text();
    assert!(refused.starts_with("MISCONF") && refused.contains("was not applied"), "{refused}");
    fs::remove_file(&log).expect("it is there");
    begins_anew(&mut daemon, &mut client);
    daemon.kill();
    daemon.restart();
    let values = daemon.connect().run("MGET early healed late");
    assert_eq!(values.items(), [Reply::bulk("v"), Reply::bulk("yes"), Reply::Nil]);
}

/// Somebody empties the segment that is being written: what is written behind the hole is as good as
/// lost.
#[test]
fn a_segment_that_was_cut_under_the_daemon_is_left() {
    let mut daemon = Setup::new().with("cache.shards", "2").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    let log = fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
    let segment = log.map(|entry| entry.expect("an entry").path()).next().expect("a segment");
    fs::File::create(segment).expect("the segment emptied");
    begins_anew(&mut daemon, &mut client);
    daemon.kill();
    daemon.restart();
    let values = daemon.connect().run("MGET early healed");
    assert_eq!(values.items(), [Reply::bulk("v"), Reply::bulk("yes")]);
}

/// One that began too early stands for nothing; the next is not put off.
#[test]
fn a_log_that_was_removed_while_a_snapshot_was_taken_begins_anew_as_quickly() {
    let mut daemon = Setup::new().with("debug.drills", "true").with("cache.shards", "2").start();
    let mut client = daemon.connect();
    assert_eq!(client.run("SET early v"), Reply::ok());
    client.run("SW.DRILL POINT snapshot.piece 1*sleep(2500)");
    client.run("BGSAVE");
    fs::remove_dir_all(daemon.dir().join("data/wal")).expect("the log's folder");
    begins_anew(&mut daemon, &mut client);
    let log = daemon.log_text();
    assert!(log.contains("the snapshot is begun anew"), "{log}");
    assert!(!log.contains("the snapshot failed"), "{log}");
    daemon.kill();
    daemon.restart();
    let values = daemon.connect().run("MGET early healed");
    assert_eq!(values.items(), [Reply::bulk("v"), Reply::bulk("yes")]);
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
