//! SW.HISTORY and SW.RESTORE: what the log remembers, and what people take back with it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::{Daemon, Raw, Reply, Setup, setting, wait_for, wait_until};

/// Several shards and many segments.
fn sharded() -> Setup {
    Setup::new()
        .with("cache.shards", "3")
        .with("wal.segment_size", r#""64KiB""#)
        .with("validation.max_ttl", r#""0s""#)
}

/// A field of a map in RESP2's form.
fn field<'r>(map: &'r Reply, name: &str) -> &'r Reply {
    let pairs = map.items().chunks(2);
    pairs
        .into_iter()
        .find(|pair| pair[0].text() == name)
        .map_or_else(|| panic!("no {name} in {map:?}"), |pair| &pair[1])
}

fn events(client: &mut Raw, line: &str) -> Vec<Reply> {
    let reply = client.run(line);
    assert_eq!(field(&reply, "complete"), &Reply::Int(1), "{reply:?}");
    field(&reply, "events").items().to_vec()
}

fn operations(events: &[Reply]) -> Vec<String> {
    events.iter().map(|event| field(event, "operation").text()).collect()
}

/// The LSN of the newest event of a key.
fn last_lsn(client: &mut Raw, key: &str) -> i64 {
    let events = events(client, &format!("SW.HISTORY {key} COUNT 1"));
    field(&events[0], "lsn").int()
}

/// The counts of a report: found, restored, unchanged, kept, expired.
fn counts(report: &Reply) -> [i64; 5] {
    assert!(!report.is_error(), "{report:?}");
    ["found", "restored", "unchanged", "kept", "expired"].map(|name| field(report, name).int())
}

#[test]
fn history_tells_what_happened_and_who_did_it() {
    let mut daemon = sharded().start();
    let (mut web, mut job) = (daemon.connect(), daemon.connect());
    web.run("CLIENT SETNAME web");
    job.run("CLIENT SETNAME job");
    let begun = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    web.run("SET k value");
    job.run("SET other 1");
    job.run("SET k longer-value PXAT 9999999999999");
    web.run("PERSIST k");
    web.run("MULTI");
    web.run("DEL k");
    web.run("EXEC");
    job.run("FLUSHDB");
    job.run("SELECT 1");
    job.run("SET k elsewhere");
    job.run("SWAPDB 0 1");
    job.run("FLUSHDB");
    for restarted in [false, true] {
        if restarted {
            daemon.kill();
            daemon.restart();
            web = daemon.connect();
        }
        let events = events(&mut web, "SW.HISTORY k");
        let expected = ["SWAPDB", "FLUSH", "DELETE", "EXPIRE", "SET", "SET"];
        assert_eq!(operations(&events), expected);
        let names = ["job", "job", "web", "web", "job", "web"];
        let who = |event: &Reply| field(field(event, "client"), "name").text();
        assert_eq!(events.iter().map(who).collect::<Vec<_>>(), names);
        let address = field(field(&events[0], "client"), "address").text();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert_eq!(field(&events[0], "with"), &Reply::Int(1));
        assert_eq!(field(&events[3], "expires"), &Reply::Nil);
        assert_eq!(field(&events[4], "size"), &Reply::Int(12));
        assert_eq!(field(&events[4], "expires"), &Reply::Int(9_999_999_999_999));
        let lsns: Vec<i64> = events.iter().map(|event| field(event, "lsn").int()).collect();
        assert!(lsns.is_sorted_by(|a, b| a > b), "{lsns:?}");
        let time = u128::try_from(field(&events[5], "time").int()).expect("after 1970");
        assert!((begun..begun + 60_000).contains(&time), "{time}");
        let page = |line: &str, client: &mut Raw| operations(&self::events(client, line));
        assert_eq!(page("SW.HISTORY k COUNT 2", &mut web), &expected[..2]);
        let line = format!("SW.HISTORY k COUNT 2 BEFORE {}", lsns[1]);
        assert_eq!(page(&line, &mut web), &expected[2..4]);
        web.run("SELECT 1");
        assert_eq!(page("SW.HISTORY k", &mut web), ["FLUSH", "SWAPDB", "SET"]);
        web.run("SELECT 0");
        assert_eq!(page("SW.HISTORY nothing", &mut web), ["SWAPDB", "FLUSH"]);
    }
}

#[test]
fn history_tells_expiry_from_deletion_and_names_nobody_for_it() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET k v PX 30");
    wait_until("the key has expired", || client.run("EXISTS k") == Reply::Int(0));
    let seen = events(&mut client, "SW.HISTORY k COUNT 1");
    assert_eq!(operations(&seen), ["EXPIRED"]);
    assert_eq!(field(&seen[0], "client"), &Reply::Nil);
}

#[test]
fn history_goes_back_over_many_segments_and_still_knows_who() {
    let daemon = sharded().start();
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    client.run("CLIENT SETNAME first");
    client.run("SET k 1");
    // One client alone: its name is not said again with every record.
    other.run("CLIENT SETNAME filler");
    let value = "x".repeat(1000);
    // A disk that is slow to make the next segment lets one grow meanwhile.
    wait_until("the log has many segments", || {
        for n in 0..100 {
            other.run(&format!("SET filler:{n} {value}"));
        }
        std::fs::read_dir(daemon.dir().join("data/wal")).expect("the log").count() > 4
    });
    other.run("SET k 2");
    let events = events(&mut client, "SW.HISTORY k");
    let names: Vec<_> =
        events.iter().map(|event| field(field(event, "client"), "name").text()).collect();
    assert_eq!(names, ["filler", "first"]);
}

#[test]
fn without_origin_the_log_names_nobody() {
    let mut daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET k named");
    daemon.configure("wal.origin", "false");
    daemon.signal(rustix::process::Signal::HUP);
    wait_until("the setting is taken", || {
        client.run("SET k 1");
        let events = events(&mut client, "SW.HISTORY k COUNT 1");
        field(&events[0], "client") == &Reply::Nil
    });
}

/// Every key with its value and its end.
fn contents(client: &mut Raw) -> Vec<(String, Reply, Reply)> {
    let mut keys: Vec<String> = client.run("KEYS *").items().iter().map(Reply::text).collect();
    keys.sort();
    let mut look = |key: String| {
        let value = client.run(&format!("GET {key}"));
        let ends = client.run(&format!("PEXPIRETIME {key}"));
        (key, value, ends)
    };
    keys.into_iter().map(&mut look).collect()
}

fn fill(client: &mut Raw, count: u64) {
    for n in 0..count {
        let words = match n % 3 {
            0 => format!("SET key:{n} value-{n}"),
            1 => format!("SET key:{n} value-{n} PXAT {}", 9_000_000_000_000 + n),
            _ => format!(
                "MSET key:{n} {} twin:{n} {n}",
                "v".repeat(usize::try_from(n).expect("few"))
            ),
        };
        assert!(!client.run(&words).is_error(), "{words}");
    }
    client.run("PEXPIREAT key:0 9123456789000");
    client.run("DEL key:3");
}

#[test]
fn a_flushall_is_taken_back_with_every_key_and_its_time_to_live() {
    let mut daemon = sharded().start();
    let mut client = daemon.connect();
    fill(&mut client, 300);
    client.run("SELECT 2");
    client.run("SET key:1 in-another-database");
    client.run("SELECT 0");
    let before = contents(&mut client);
    client.run("FLUSHALL");
    client.run("SET new here");
    let flushed = events(&mut client, "SW.HISTORY key:0 COUNT 1");
    assert_eq!(operations(&flushed), ["FLUSH"]);
    let lsn = field(&flushed[0], "lsn").int() - 1;
    let lsn_text = lsn.to_string();
    let restore = |prefix: &'static str| ["SW.RESTORE", "PREFIX", prefix, &lsn_text];
    let report = client.call(&restore(""));
    let keys = i64::try_from(before.len()).expect("few");
    assert_eq!(counts(&report), [keys, keys, 0, 0, 0]);
    assert_eq!(field(&report, "lsn").int(), lsn);
    assert_eq!(client.run("GET new"), Reply::bulk("here"), "what came later is left alone");
    client.run("DEL new");
    assert_eq!(contents(&mut client), before);
    let again = client.call(&restore(""));
    assert_eq!(counts(&again), [keys, 0, keys, 0, 0]);
    client.run("SELECT 2");
    assert_eq!(client.run("DBSIZE"), Reply::Int(0), "a database is restored by itself");
    assert_eq!(counts(&client.call(&restore("key:"))), [1, 1, 0, 0, 0]);
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    assert_eq!(contents(&mut client), before);
    client.run("SELECT 2");
    assert_eq!(client.run("GET key:1"), Reply::bulk("in-another-database"));
}

#[test]
fn one_key_is_taken_back_by_lsn_or_by_time() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET k first PXAT 9123456789000");
    let first = last_lsn(&mut client, "k");
    client.run("SET k second");
    let second = last_lsn(&mut client, "k");
    client.run("DEL k");
    assert_eq!(counts(&client.run(&format!("SW.RESTORE k {first}"))), [1, 1, 0, 0, 0]);
    assert_eq!(client.run("GET k"), Reply::bulk("first"));
    assert_eq!(client.run("PEXPIRETIME k"), Reply::Int(9_123_456_789_000));
    let report = client.run(&format!("SW.RESTORE k {second} NX"));
    assert_eq!(counts(&report), [1, 0, 0, 1, 0], "it is there");
    assert_eq!(client.run("GET k"), Reply::bulk("first"));
    assert_eq!(counts(&client.run(&format!("SW.RESTORE k {second}"))), [1, 1, 0, 0, 0]);
    assert_eq!(client.run("GET k"), Reply::bulk("second"));
    assert_eq!(client.run("PEXPIRETIME k"), Reply::Int(-1));
    let restored = events(&mut client, "SW.HISTORY k COUNT 1");
    let time = field(&restored[0], "time").int();
    wait_until("a later millisecond", || {
        client.run("SET k third");
        let third = events(&mut client, "SW.HISTORY k COUNT 1");
        field(&third[0], "time").int() > time
    });
    let report = client.run(&format!("SW.RESTORE k TIME {time}"));
    assert_eq!(counts(&report)[..2], [1, 1]);
    assert_eq!(client.run("GET k"), Reply::bulk("second"));
    // Before it was there at all.
    let report = client.run(&format!("SW.RESTORE k {}", first - 1));
    assert_eq!(counts(&report), [0; 5]);
    assert_eq!(client.run("GET k"), Reply::bulk("second"));
}

#[test]
fn what_has_expired_since_is_not_resurrected() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET short v PX 40");
    client.run("SET long v");
    let lsn = last_lsn(&mut client, "long");
    client.run("DEL long");
    wait_until("the key has expired", || client.run("EXISTS short") == Reply::Int(0));
    let report = client.call(&["SW.RESTORE", "PREFIX", "", &lsn.to_string()]);
    assert_eq!(counts(&report), [2, 1, 0, 0, 1]);
    assert_eq!(client.run("KEYS *"), Reply::Array(vec![Reply::bulk("long")]));
}

#[test]
fn the_past_is_told_from_a_snapshot_and_the_log_behind_it() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    fill(&mut client, 60);
    assert_eq!(client.run("SAVE"), Reply::ok());
    client.run("SET key:0 changed");
    client.run("DEL key:1");
    client.run("PERSIST key:4");
    client.run("SET behind it");
    let before = contents(&mut client);
    let lsn = last_lsn(&mut client, "behind");
    client.run("FLUSHALL");
    assert_eq!(client.run("SAVE"), Reply::ok());
    let report = client.call(&["SW.RESTORE", "PREFIX", "", &lsn.to_string()]);
    let keys = i64::try_from(before.len()).expect("few");
    assert_eq!(counts(&report), [keys, keys, 0, 0, 0]);
    assert_eq!(contents(&mut client), before);
}

#[test]
fn a_database_that_was_swapped_away_is_found_under_its_name_of_then() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET k zero");
    client.run("SELECT 1");
    client.run("SET k one");
    let lsn = last_lsn(&mut client, "k");
    client.run("SWAPDB 0 1");
    let swapped = last_lsn(&mut client, "k");
    client.run("FLUSHALL");
    assert_eq!(counts(&client.run(&format!("SW.RESTORE k {swapped}"))), [1, 1, 0, 0, 0]);
    assert_eq!(client.run("GET k"), Reply::bulk("zero"));
    assert_eq!(counts(&client.run(&format!("SW.RESTORE k {lsn}"))), [1, 1, 0, 0, 0]);
    assert_eq!(client.run("GET k"), Reply::bulk("one"));
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason() {
    let mut daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("SET k v");
    let text = client.run("SW.RESTORE k 999999").text();
    assert!(text.starts_with("ERR LSN 999999 has not been reached: the log is at "), "{text}");
    let text = client.run("SW.RESTORE k TIME 5").text();
    assert!(text.starts_with("ERR the log does not reach back to time 5: "), "{text}");
    client.run("MULTI");
    assert!(client.run("SW.RESTORE k 1").is_error());
    client.run("DISCARD");
    daemon.stop();
    let daemon = Setup::new().with("wal.enabled", "false").start();
    for line in ["SW.HISTORY k", "SW.RESTORE k 1"] {
        let text = daemon.connect().run(line).text();
        assert!(text.starts_with("ERR this is a pure cache"), "{text}");
    }
}

/// What comes behind `before` in a text, up to the next blank.
fn behind(text: &str, before: &str) -> String {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_whitespace().next().expect("something").to_owned()
}

#[test]
fn what_retention_has_deleted_is_refused_and_told_how_far_the_log_reaches() {
    let mut daemon = sharded()
        .with("wal.retention", r#""1s""#)
        .with("snapshot.every", r#""1s""#)
        .with("wal.compress_above", "0")
        .start();
    let mut client = daemon.connect();
    client.run("SET k first");
    let lsn = last_lsn(&mut client, "k");
    let time = field(&events(&mut client, "SW.HISTORY k")[0], "time").int();
    client.run("SET k second");
    let reaches = |client: &mut Raw| field(&client.run("SW.HISTORY k"), "reaches").int();
    let value = "x".repeat(1000);
    // By the files: who reads the log all the time keeps it.
    let first = |daemon: &Daemon| {
        let files = std::fs::read_dir(daemon.dir().join("data/wal")).expect("the log");
        let names = files.filter_map(|file| file.expect("a file").file_name().into_string().ok());
        let lsn = |name: String| name.strip_suffix(".wal")?.split_once('-')?.1.parse().ok();
        names.filter_map(lsn).min().unwrap_or(0)
    };
    wait_until("the first segments to go", || {
        for n in 0..100 {
            client.run(&format!("SET filler:{n} {value}"));
        }
        first(&daemon) > lsn + 1
    });
    // From here on it reaches as far as it does.
    assert_eq!(client.run("CONFIG SET wal.retention 24h snapshot.every 0s"), Reply::ok());
    client.run("SET k third");
    let seen = events(&mut client, "SW.HISTORY k");
    assert_eq!(operations(&seen), ["SET"], "what was before is not known, and not made up");

    // A deletion that had begun may still move the beginning.
    let refused = wait_for("the log to stay as it is", || {
        let before = reaches(&mut client);
        let refused = client.run(&format!("SW.RESTORE k {lsn}")).text();
        (before == reaches(&mut client)).then_some(refused)
    });
    let known = format!("ERR the log does not reach back to LSN {lsn}: the earliest state it can");
    assert!(refused.starts_with(&known), "{refused}");
    let earliest: i64 = behind(&refused, "still tell is LSN ").parse().expect("a number");
    assert!(earliest >= reaches(&mut client) - 1, "{refused}");
    let text = client.run(&format!("SW.RESTORE PREFIX k TIME {time}")).text();
    assert!(text.starts_with(&format!("ERR the log does not reach back to time {time}")), "{text}");
    assert_eq!(client.run("GET k"), Reply::bulk("third"), "nothing was changed");
    let directory = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["restore", "--to-lsn", &lsn.to_string(), "--from"])
        .arg(daemon.dir().join("data"))
        .arg("--data")
        .arg(daemon.dir().join("then"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&directory.stderr).into_owned();
    assert_eq!(directory.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("reach back to LSN {lsn}")), "{said}");

    // What it says can be had can be had, and is the value of then.
    for restarted in [false, true] {
        if restarted {
            daemon.kill();
            daemon.restart();
            client = daemon.connect();
        }
        client.run("SET k third");
        counts(&client.run(&format!("SW.RESTORE k {earliest}")));
        assert_eq!(client.run("GET k"), Reply::bulk("second"));
    }
}

/// Keys that are written beside a restore.
const NEW: i64 = 50;

/// Says that it is over, also when a test fails: somebody waits for that.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes beside a restore go on, and a kill in the middle of it leaves nothing that the same
/// command does not mend.
#[test]
fn a_restore_under_load_survives_kills() {
    let mut daemon = sharded().start();
    let count = setting("SEAWALL_RESTORED", 4000);
    let mut client = daemon.connect();
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        let mut words = vec!["MSET".to_owned()];
        words.extend(chunk.iter().flat_map(|n| [format!("old:{n}"), format!("value-{n}")]));
        assert_eq!(client.call(&words), Reply::ok());
    }
    client.run("FLUSHALL");
    let lsn = last_lsn(&mut client, "old:0") - 1;
    let line = format!("SW.RESTORE PREFIX old: {lsn}");
    for kill in [true, false] {
        let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let restoring = daemon.connect();
            let mut writer = daemon.connect();
            let (over, written, line) = (&over, &written, &line);
            let stop = OnDrop(over);
            let load = scope.spawn(move || {
                let mut n = 0i64;
                while !over.load(Ordering::Relaxed) {
                    match writer.try_run(&format!("SET new:{} {n}", n % NEW)) {
                        Ok(reply) => assert_eq!(reply, Reply::ok()),
                        Err(_) => break,
                    }
                    n += 1;
                    written.store(n.unsigned_abs(), Ordering::Relaxed);
                }
            });
            let restored = scope.spawn(move || {
                let mut client = restoring;
                client.try_run(line)
            });
            if kill {
                let mut watcher = daemon.connect();
                wait_until("some keys are back", || {
                    watcher.try_run("DBSIZE").is_ok_and(|size| size.int() > NEW + 256)
                });
                daemon.kill();
                drop(restored.join().expect("it ends well"));
            } else {
                let report = restored.join().expect("it ends well").expect("an answer");
                let [found, restored, unchanged, kept, expired] = counts(&report);
                assert_eq!((found, kept, expired), (i64::try_from(count).expect("few"), 0, 0));
                assert_eq!(restored + unchanged, found);
                assert!(unchanged >= 256, "the batches before the kill are whole: {unchanged}");
                assert!(written.load(Ordering::Relaxed) > 0);
            }
            drop(stop);
            load.join().expect("it ends well");
        });
        if kill {
            daemon.restart();
        }
    }
    check_old(&daemon, count);
    daemon.kill();
    daemon.restart();
    check_old(&daemon, count);
}

fn check_old(daemon: &Daemon, count: u64) {
    let mut client = daemon.connect();
    for n in 0..count {
        assert_eq!(client.run(&format!("GET old:{n}")), Reply::bulk(format!("value-{n}")));
    }
}

#[test]
fn the_dump_of_a_log_says_who_wrote() {
    let mut daemon = sharded().start();
    let mut client = daemon.connect();
    client.run("CLIENT SETNAME web");
    client.run("SET k v");
    client.run("SET k v");
    daemon.stop();
    let mut seawall = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
    let data = daemon.dir().join("data");
    let output = seawall.args(["wal", "dump", "--data"]).arg(data).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let operations: Vec<&str> = words.iter().map(|words| words[2]).collect();
    assert_eq!(operations, ["AUTHOR", "SET", "SET"], "{text}");
    assert_eq!(words[0][5..], ["user=\"default\"", "name=\"web\""], "{text}");
}

/// Runs `seawall restore` on a daemon's directory; what it says.
fn restore(daemon: &Daemon, data: &std::path::Path, at: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("restore")
        .arg("--from")
        .arg(daemon.dir().join("data"))
        .arg("--data")
        .arg(data)
        .args(at)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_directory_of_the_past_is_made_beside_a_running_daemon() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    let due = |n: u32| format!("{n:0>100}");
    for n in 0..2000 {
        assert_eq!(client.run(&format!("SET key:{n} {}", due(n))), Reply::ok());
        if n == 1000 {
            assert_eq!(client.run("SAVE"), Reply::ok());
        }
    }
    client.run("SET until x PXAT 9999999999999");
    let lsn = last_lsn(&mut client, "until");
    client.run("SET key:7 overwritten");
    client.run("DEL key:8");
    client.run("FLUSHALL");
    client.run("SET after 1");

    // A start of its own serves what was there before the mistakes, with the base of a snapshot.
    let setup = Setup::new().with("validation.max_ttl", r#""0s""#);
    let said = restore(&daemon, &setup.dir().join("data"), &["--to-lsn", &lsn.to_string()]);
    assert!(said.starts_with("restored 2001 keys of "), "{said}");
    let then = setup.start();
    let mut past = then.connect();
    assert_eq!(past.run("DBSIZE"), Reply::Int(2001));
    for n in 0..2000 {
        assert_eq!(past.run(&format!("GET key:{n}")), Reply::bulk(due(n)));
    }
    assert_eq!(past.run("PEXPIRETIME until"), Reply::Int(9_999_999_999_999));
    assert_eq!(past.run("GET after"), Reply::Nil);

    // Without a moment: as it is now. The source goes on meanwhile.
    let setup = Setup::new();
    restore(&daemon, &setup.dir().join("data"), &[]);
    let now = setup.start();
    assert_eq!(now.connect().run("KEYS *").items(), [Reply::bulk("after")]);
    assert_eq!(client.run("SET after 2"), Reply::ok());
}
