//! Out of real logs, small ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use seawall_actors::journal::{Record, RecordBatch};
use seawall_actors::wal::Appender;

use super::*;
use crate::interchange::rdb::{Item, Reader};

const NOW: UnixMs = 1_700_000_000_000;

/// A log with these records, each a frame of its own.
fn log(data: &Path, records: &[Record<'_>]) {
    let data = DataDir::lock(data).unwrap();
    let opened = wal::open(&data, Clock::manual(NOW)).unwrap();
    let go_on = |_: &_| std::ops::ControlFlow::Continue(());
    let replayed = opened.replay(0, |_, _| {}, go_on).unwrap();
    let settings = wal::Settings::default();
    let mut appender = Appender::start(&data, &replayed, settings, Clock::manual(NOW)).unwrap();
    for record in records {
        let mut batch = RecordBatch::new();
        batch.push(record);
        appender.append(&mut batch).unwrap();
    }
    appender.finish().unwrap();
}

fn set<'a>(db: u8, key: &'a [u8], value: &'a [u8], expires_at: Option<UnixMs>) -> Record<'a> {
    Record::Set { db, key, value, expires_at }
}

/// Records whose end is: a in 0, b in 0 until later, and a in 7.
fn some(data: &Path) {
    let records = [
        set(0, b"a", b"old", None),
        set(0, b"a", b"A\r\n\xff", None),
        set(0, b"b", b"B", Some(NOW + 5)),
        set(0, b"expired", b"x", Some(NOW)),
        set(3, b"a", b"seven", None),
        set(0, b"gone", b"x", None),
        Record::Delete { db: 0, key: b"gone" },
        Record::SwapDb { a: 3, b: 7 },
        set(5, b"flushed", b"x", None),
        Record::Flush { db: Some(5) },
    ];
    log(data, &records);
}

fn run(data: &Path, format: Format, to: &Path) -> Result<Report, ExportError> {
    let task = Export { data: data.to_owned(), format, to: To::File(to.to_owned()) };
    export(&task, &Clock::manual(NOW), |_, _| {})
}

#[test]
fn an_rdb_file_holds_what_a_start_would_find() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("dump.rdb"));
    some(&data);
    let report = run(&data, Format::Rdb, &to).unwrap();
    assert_eq!(report.by_database, BTreeMap::from([(0, 2), (7, 1)]));
    assert_eq!((report.seen.last_lsn, report.in_use), (10, false));
    let bytes = fs::read(&to).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    let mut reader = Reader::new(&*bytes).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.read().unwrap() {
        let Item::String { db, key, value, expires_at } = item else { panic!("{item:?}") };
        found.push((db, key.to_vec(), value.to_vec(), expires_at));
    }
    found.sort();
    let entry = |db, key: &[u8], value: &[u8], at| (db, key.to_vec(), value.to_vec(), at);
    let expected = [
        entry(0, b"a", b"A\r\n\xff", None),
        entry(0, b"b", b"B", Some(NOW + 5)),
        entry(7, b"a", b"seven", None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn commands_are_those_that_a_client_would_send() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("commands"));
    some(&data);
    let report = run(&data, Format::Resp, &to).unwrap();
    let bytes = fs::read(&to).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    let at = NOW + 5;
    let parts = [
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".to_owned(),
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\nA\r\n\\xff\r\n".to_owned(),
        format!("*5\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\nB\r\n$4\r\nPXAT\r\n$13\r\n{at}\r\n"),
        "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n".to_owned(),
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nseven\r\n".to_owned(),
    ];
    let text = bytes.escape_ascii().to_string();
    let mut len = 0;
    for part in &parts {
        let part = part.replace('\r', "\\r").replace('\n', "\\n");
        assert!(text.contains(&part), "{part}: {text}");
        len += part.len();
    }
    assert_eq!(text.len(), len, "nothing else: {text}");
    // The order within a database is nobody's, but the databases come one after the other.
    assert!(text.find("seven") > text.find("PXAT"));
}

#[test]
fn beside_a_daemon_it_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("dump.rdb"));
    some(&data);
    let held = DataDir::lock(&data).unwrap();
    assert!(run(&data, Format::Rdb, &to).unwrap().in_use);
    drop(held);
}

#[test]
fn a_file_is_replaced_whole_or_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("dump.rdb"));
    fs::write(&to, "before").unwrap();
    assert!(matches!(run(&data, Format::Rdb, &to), Err(ExportError::Log(_))));
    assert!(!data.exists());
    assert_eq!(fs::read(&to).unwrap(), b"before");
    some(&data);
    run(&data, Format::Rdb, &to).unwrap();
    assert!(fs::read(&to).unwrap().starts_with(b"REDIS0009"));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let failed = run(&data, Format::Rdb, &data);
    assert!(matches!(failed, Err(ExportError::File { .. })));
    assert!(run(&data, Format::Rdb, &dir.path().join("absent/dump.rdb")).is_err());
}

/// Takes so many bytes and no more.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_target_that_is_full_at_any_byte_is_no_success() {
    let mut store = Store::new(StoreConfig::default());
    let hasher = KeyHasher::fixed();
    for i in 0..50u8 {
        let value = [i; 40];
        let record = set(i % 3, &value[..1], &value, (i % 2 == 0).then_some(NOW + 1));
        store.apply(&record, hash_of(hasher, &record), NOW).unwrap();
    }
    for format in [Format::Rdb, Format::Resp] {
        let (by_database, bytes) = write(&store, format, Full(usize::MAX), NOW).unwrap();
        assert_eq!(by_database.values().sum::<u64>(), 50);
        for room in 0..bytes as usize {
            assert!(write(&store, format, Full(room), NOW).is_err(), "{format:?} {room}");
        }
        assert!(write(&store, format, Full(bytes as usize), NOW).is_ok());
    }
}
