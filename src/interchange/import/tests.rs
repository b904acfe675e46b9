//! Into a real log, from small files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use seawall_actors::wal::{self, DataDir};

use super::*;
use crate::config::load::Loader;
use crate::config::machine::Machine;
use crate::config::settings::Settings;
use crate::config::sources::FileChoice;

const NOW: UnixMs = 1_700_000_000_000;

fn settings() -> Settings {
    let machine = Machine { memory: Some(1 << 30), cores: 2 };
    let loader = Loader::from_parts(FileChoice::FirstOf(Vec::new()), Vec::new(), machine);
    loader.load().expect("defaults").settings
}

fn task(dir: &Path) -> Import {
    Import {
        from: dir.join("dump.rdb"),
        data: dir.join("data"),
        into_existing: false,
        dry_run: false,
        admission: Admission::of(&settings()),
        log: wal::Settings::default(),
    }
}

fn run(task: &Import) -> Result<Report, ImportError> {
    import(task, &Clock::manual(NOW), |_| {})
}

/// The SET records of a log, as text.
fn records(data: &Path) -> Vec<String> {
    let data = DataDir::lock(data).unwrap();
    let mut found = Vec::new();
    let opened = wal::open(&data, Clock::manual(NOW)).unwrap();
    let show = |record: &Record<'_>| match *record {
        Record::Set { db, key, value, expires_at } => {
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            format!("{db} {key}={value} {}", expires_at.unwrap_or(0))
        }
        ref other => format!("{other:?}"),
    };
    opened
        .replay(0, |_, record| found.push(show(&record)), |_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    found
}

/// A file without a checksum.
fn rdb(items: &[&[u8]]) -> Vec<u8> {
    [&b"REDIS0010"[..], &items.concat(), b"\xff\0\0\0\0\0\0\0\0"].concat()
}

fn expiring(at: UnixMs, rest: &[u8]) -> Vec<u8> {
    [&b"\xfc"[..], &at.to_le_bytes(), rest].concat()
}

/// Something of everything that decides what is taken.
fn mixed() -> Vec<u8> {
    rdb(&[
        b"\0\x01a\x01A",
        &expiring(NOW + 5, b"\0\x01b\x01B"),
        &expiring(NOW, b"\0\x01c\x01C"),
        b"\0\x02\xff\xfe\x01D",
        b"\x01\x01l\x01\x01x",
        b"\xfe\x0f\0\x01e\x01E",
        b"\xfe\x10\0\x01f\x01F",
        b"\0\x00\x01G",
    ])
}

#[test]
fn what_is_taken_is_in_the_log_and_what_is_not_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path());
    fs::write(&task.from, mixed()).unwrap();
    let report = run(&task).unwrap();
    assert_eq!(report.last_lsn, Some(3));
    assert_eq!(report.tally.by_database.into_iter().collect::<Vec<_>>(), [(0, 2), (15, 1)]);
    assert_eq!(report.tally.expired, 1);
    assert_eq!(report.tally.others.values().sum::<u64>(), 1);
    let left_out: Vec<_> = report.tally.left_out.iter().map(|(r, out)| (*r, out.count)).collect();
    assert_eq!(left_out, [(Reason::Database, 2), (Reason::Key, 1)]);
    assert_eq!(report.tally.left_out[&Reason::Key].example, r#""\xff\xfe""#);
    assert!(report.tally.left_out[&Reason::Database].why.contains("server.databases"));
    let expected = ["0 a=A 0".to_owned(), format!("0 b=B {}", NOW + 5), "15 e=E 0".to_owned()];
    assert_eq!(records(&task.data), expected);
}

#[test]
fn every_key_that_a_client_could_name_is_taken_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let task = Import { admission: Admission::of_all_keys(&settings()), ..task(dir.path()) };
    fs::write(&task.from, rdb(&[b"\0\x02\xff\xfe\x01D", b"\0\x00\x01G"])).unwrap();
    let report = run(&task).unwrap();
    assert_eq!(report.tally.imported(), 1);
    // The empty key.
    assert_eq!(report.tally.left_out[&Reason::Key].count, 1);
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path());
    fs::write(&task.from, mixed()).unwrap();
    let dry = run(&Import { dry_run: true, ..task.clone() }).unwrap();
    assert!(!task.data.exists());
    assert_eq!(dry.tally, run(&task).unwrap().tally);
}

#[test]
fn a_log_with_records_is_only_imported_into_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path());
    fs::write(&task.from, rdb(&[b"\0\x01a\x01A"])).unwrap();
    run(&task).unwrap();
    fs::write(&task.from, rdb(&[b"\0\x01a\x01Z"])).unwrap();
    let Err(ImportError::NotEmpty { last_lsn: 1, .. }) = run(&task) else { panic!("no refusal") };
    assert_eq!(records(&task.data), ["0 a=A 0"]);
    run(&Import { into_existing: true, ..task.clone() }).unwrap();
    assert_eq!(records(&task.data), ["0 a=A 0", "0 a=Z 0"]);
}

#[test]
fn a_damaged_source_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path());
    let whole = mixed();
    for bytes in [&whole[..whole.len() - 1], &whole[1..], b"", &[&whole[..], b"x"].concat()] {
        fs::write(&task.from, bytes).unwrap();
        let Err(ImportError::Source(_)) = run(&task) else { panic!("{bytes:?}") };
        assert!(!task.data.exists());
    }
}

#[test]
fn a_directory_that_a_daemon_uses_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path());
    fs::write(&task.from, mixed()).unwrap();
    let held = DataDir::lock(&task.data).unwrap();
    assert!(matches!(run(&task), Err(ImportError::Lock(_))));
    drop(held);
    assert!(run(&task).is_ok());
}

#[test]
fn append_only_files_lead_to_their_data() {
    let dir = tempfile::tempdir().unwrap();
    let commands = b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\nB\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    let base = [&rdb(&[b"\0\x01a\x01A", b"\0\x01n\xc0\x05", b"\x01\x01l\x01\x01x"])[..]];
    let aof = dir.path().join("redis/appendonlydir");
    fs::create_dir_all(&aof).unwrap();
    fs::write(aof.join("x.1.base.rdb"), base.concat()).unwrap();
    fs::write(aof.join("x.1.incr.aof"), commands).unwrap();
    let torn = [&commands[..], b"*3\r\n$3\r\nSET\r\n$1\r\nc"].concat();
    fs::write(aof.join("x.2.incr.aof"), &torn).unwrap();
    let manifest = "file x.1.base.rdb seq 1 type b\nfile x.1.incr.aof seq 1 type i\n\
                    file x.2.incr.aof seq 2 type i\n";
    fs::write(aof.join("x.manifest"), manifest).unwrap();
    // The same in one file, as Redis before version 7 wrote it.
    let single = dir.path().join("redis/single.aof");
    fs::write(&single, [base.concat(), commands.to_vec(), torn].concat()).unwrap();
    let paths = [dir.path().join("redis"), aof.clone(), aof.join("x.manifest"), single];
    for (i, from) in paths.into_iter().enumerate() {
        let task = Import { from, data: dir.path().join(i.to_string()), ..task(dir.path()) };
        let report = run(&task).unwrap();
        assert_eq!(report.tally.imported(), 3);
        assert_eq!(report.tally.others.values().sum::<u64>(), 1);
        assert_eq!(report.replayed.unwrap().applied, 4);
        assert!(report.source.contains("torn in "), "{}", report.source);
        let mut found = records(&task.data);
        found.sort();
        assert_eq!(found, ["0 a=A 0", "0 b=B 0", "0 n=7 0"]);
    }

    // Only the last one may be torn.
    let manifest = manifest.replace("x.1.incr", "y.incr").replace("x.2.incr", "x.1.incr");
    fs::rename(aof.join("x.2.incr.aof"), aof.join("y.incr.aof")).unwrap();
    fs::write(aof.join("x.manifest"), manifest).unwrap();
    let task = Import { from: aof.clone(), data: dir.path().join("none"), ..task(dir.path()) };
    let Err(ImportError::Source(error)) = run(&task) else { panic!("no refusal") };
    assert_eq!(error.path, aof.join("y.incr.aof"));
    assert!(!task.data.exists());
}

#[test]
fn a_directory_that_leaves_open_what_is_meant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let task = Import { from: dir.path().to_owned(), ..task(dir.path()) };
    assert!(run(&task).unwrap_err().to_string().contains("no dump.rdb"));
    fs::write(dir.path().join("dump.rdb"), rdb(&[])).unwrap();
    assert!(run(&task).is_ok());
    fs::write(dir.path().join("appendonly.aof"), "").unwrap();
    assert!(run(&task).unwrap_err().to_string().contains("name the one"));
}
