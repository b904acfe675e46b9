//! `seawall wal`: what the offline tools say of real logs; only a repair changes anything.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Daemon, Reply, Setup};

/// Runs `seawall wal …` on a data directory: exit code, standard output, standard error.
fn wal(data: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("wal")
        .args(words)
        .arg("--data")
        .arg(data)
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A daemon that logs every command in a frame of its own.
fn with_some_keys() -> Daemon {
    let daemon = Setup::new()
        // One LSN a write: no notes in between.
        .with("wal.origin", "false")
        .with("wal.fsync", r#""always""#)
        .with("validation.binary_keys", "true")
        .start();
    let mut client = daemon.connect();
    for i in 0..10 {
        assert_eq!(client.run(&format!("SET key:{i} value-{i}")), Reply::ok());
    }
    assert_eq!(client.run("DEL key:3"), Reply::Int(1));
    assert_eq!(client.run("FLUSHDB"), Reply::ok());
    assert_eq!(client.call(&["SET", "a\n\"b\"", "last", "EX", "1000"]), Reply::ok());
    daemon
}

/// Every file below a directory, with its content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.insert(path.clone(), fs::read(path).expect("a file"));
            }
        }
    }
    files
}

fn only_segment(data: &Path) -> PathBuf {
    let mut names = fs::read_dir(data.join("wal")).expect("the log's folder");
    names.next().expect("a segment").expect("readable").path()
}

#[test]
fn a_log_is_verified_beside_the_daemon_and_after_it() {
    let mut daemon = with_some_keys();
    let data = daemon.dir().join("data");
    let (code, text, _) = wal(&data, &["verify"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("process {}", daemon.pid())), "{text}");
    assert_eq!(wal(&data, &["repair", "--yes"]).0, 75, "not under a daemon");
    daemon.stop();
    let before = snapshot(&data);
    let (code, text, _) = wal(&data, &["verify", "--json"]);
    let report = json(&text);
    assert_eq!(code, 0, "{text}");
    assert_eq!((&report["verdict"], &report["in_use"]), (&"clean".into(), &false.into()));
    assert_eq!(report["intact_lsn"], 13);
    wal(&data, &["dump"]);
    assert_eq!(snapshot(&data), before, "the tools only read");
}

#[test]
fn records_are_dumped_and_chosen() {
    let mut daemon = with_some_keys();
    daemon.stop();
    let data = daemon.dir().join("data");
    let lsns = |words: &[&str]| -> Vec<u64> {
        let all: Vec<&str> = ["dump", "--json"].iter().chain(words).copied().collect();
        let (code, text, _) = wal(&data, &all);
        assert_eq!(code, 0);
        text.lines().map(|line| json(line)["lsn"].as_u64().expect("a number")).collect()
    };
    assert_eq!(lsns(&[]), (1..=13).collect::<Vec<_>>());
    assert_eq!(lsns(&["--from-lsn", "4", "--to-lsn", "6"]), [4, 5, 6]);
    // The flush concerns every key.
    assert_eq!(lsns(&["--key", "key:3"]), [4, 11, 12]);
    assert_eq!(lsns(&["--db", "1"]), [] as [u64; 0]);
    let (_, text, _) = wal(&data, &["dump", "--from-lsn", "13", "--values"]);
    assert!(text.contains(r#"SET db=0 "a\n\"b\"" expires="#), "{text}");
    assert!(text.ends_with("length=4 \"last\"\n"), "{text}");
}

#[test]
fn damage_is_named_and_what_is_behind_it_can_be_read() {
    let mut daemon = with_some_keys();
    daemon.stop();
    let data = daemon.dir().join("data");
    let segment = only_segment(&data);
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(7).position(|w| w == b"value-4").expect("the fifth value");
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).expect("the test's folder");

    let (code, text, _) = wal(&data, &["verify", "--json"]);
    let report = json(&text);
    assert_eq!(code, 83, "{text}");
    assert_eq!((&report["intact_lsn"], &report["readable_behind"]), (&4.into(), &8.into()));
    let [finding] = report["findings"].as_array().expect("a list").as_slice() else {
        panic!("{text}")
    };
    assert_eq!((&finding["first_lsn"], &finding["last_lsn"]), (&5.into(), &5.into()));
    let offset = finding["offset"].as_u64().expect("a number");
    assert!(offset < at as u64);

    let (code, text, error) = wal(&data, &["dump"]);
    assert_eq!((code, text.lines().count()), (83, 4));
    assert!(error.contains("--damaged"), "{error}");
    let (code, text, _) = wal(&data, &["dump", "--damaged", "--from-lsn", "5"]);
    assert_eq!((code, text.lines().count()), (83, 8), "{text}");
    assert!(!text.contains("key:4") && text.contains("key:5"), "{text}");

    let before = snapshot(&data);
    let (code, text, _) = wal(&data, &["repair"]);
    assert_eq!(code, 83, "{text}");
    assert!(text.contains(&format!("at offset {offset}")) && text.contains("--yes"), "{text}");
    assert_eq!(snapshot(&data), before, "a dry run changes nothing");
    let (code, text, error) = wal(&data, &["repair", "--yes"]);
    assert_eq!(code, 0, "{text}{error}");
    assert!(text.contains("done: the log ends with LSN 4"), "{text}");
    let copy = text.lines().find_map(|line| line.strip_prefix("kept in ")).expect("a copy");
    let stays = fs::read(&segment).expect("the rest")[..offset as usize].to_vec();
    let whole = [stays, fs::read(copy).expect("it is there")];
    assert_eq!(whole.concat(), bytes, "no byte is lost");
    assert_eq!(wal(&data, &["verify"]).0, 0);
    daemon.restart();
    let mut client = daemon.connect();
    assert_eq!(client.run("GET key:3").text(), "value-3");
    assert_eq!(client.run("EXISTS key:4"), Reply::Int(0));
}

#[test]
fn a_torn_end_has_a_code_of_its_own() {
    let mut daemon = with_some_keys();
    daemon.kill();
    let data = daemon.dir().join("data");
    let mut file = OpenOptions::new().append(true).open(only_segment(&data)).expect("a segment");
    file.write_all(b"half a frame").expect("the test's folder");
    let (code, text, _) = wal(&data, &["verify"]);
    assert_eq!(code, 84, "{text}");
    assert!(text.contains("LSN 13"), "{text}");
    assert_eq!(wal(&data, &["dump"]).0, 84);
}

#[test]
fn a_directory_without_a_log_is_no_clean_log() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    for words in [&["verify"][..], &["dump"], &["repair", "--yes"]] {
        let (code, _, error) = wal(empty.path(), words);
        assert_eq!(code, 71);
        assert!(error.contains("--data"), "{error}");
    }
    assert_eq!(fs::read_dir(empty.path()).expect("readable").count(), 0, "nothing is made");
}

#[test]
fn with_prefix_recovery_a_damaged_log_is_cut_and_no_lsn_is_given_again() {
    let mut daemon = with_some_keys();
    assert_eq!(daemon.connect().run("SAVE"), Reply::ok());
    daemon.stop();
    let data = daemon.dir().join("data");
    let segment = only_segment(&data);
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(7).position(|w| w == b"value-4").expect("the fifth value");
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).expect("the test's folder");
    daemon.relaunch();
    assert_eq!(daemon.wait_exit().code(), Some(83), "by default it refuses");
    daemon.configure("wal.recovery", r#""prefix""#);
    daemon.restart();
    daemon.wait_log("what is lost", |line| {
        line["level"] == "ERROR" && line["keeps_up_to_lsn"] == 4 && line["kept_in"].is_string()
    });
    let mut client = daemon.connect();
    assert_eq!(client.run("GET key:3").text(), "value-3");
    assert_eq!(client.run("DBSIZE"), Reply::Int(4));
    assert_eq!(client.run("SET after 1"), Reply::ok());
    daemon.stop();
    let (code, text, _) = wal(&data, &["dump", "--json", "--key", "after"]);
    assert_eq!(code, 0, "{text}");
    let lsn = json(text.lines().last().expect("a record"))["lsn"].as_u64().expect("a number");
    assert!(lsn > 13, "{lsn} was given before");
    let aside = fs::read_dir(data.join("quarantine")).expect("quarantine");
    let aside: Vec<_> = aside.map(|entry| entry.expect("an entry").file_name()).collect();
    let snapshot = |name: &std::ffi::OsString| name.to_string_lossy().contains(".snap.");
    assert!(aside.iter().any(snapshot), "the snapshot stands for what is lost: {aside:?}");
    daemon.restart();
    assert_eq!(daemon.connect().run("GET after").text(), "1");
}

#[test]
fn a_damaged_snapshot_is_named_and_costs_nothing_while_the_log_is_there() {
    let mut daemon = with_some_keys();
    let mut client = daemon.connect();
    assert_eq!(client.run("SAVE"), Reply::ok());
    daemon.stop();
    let data = daemon.dir().join("data");
    let (code, text, _) = wal(&data, &["verify"]);
    assert_eq!((code, text.contains(".snap is whole")), (0, true), "{text}");
    let mut files = fs::read_dir(data.join("snap")).expect("the snapshots' folder");
    let path = files.next().expect("a snapshot").expect("readable").path();
    let mut bytes = fs::read(&path).expect("a snapshot");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&path, &bytes).expect("the test's folder");
    let before = snapshot(&data);
    let (code, text, _) = wal(&data, &["verify"]);
    assert_eq!(code, 83, "{text}");
    assert!(
        text.contains(&path.display().to_string()) && text.contains("Nothing is lost"),
        "{text}"
    );
    let (_, text, _) = wal(&data, &["verify", "--json"]);
    let report = json(&text);
    assert_eq!(
        (&report["snapshots"][0]["verdict"], &report["begins_with"]),
        (&"corrupt".into(), &Value::Null)
    );
    assert_eq!(snapshot(&data), before, "the tools only read");
    // The start puts it aside and does without; then all is well again.
    daemon.restart();
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(1));
    daemon.stop();
    let (code, text, _) = wal(&data, &["verify"]);
    assert_eq!(code, 0, "{text}");
}
