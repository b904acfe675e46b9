//! From logs of every length, to each of their moments.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use seawall_actors::journal::RecordBatch;
use seawall_actors::wal::Appender;

use super::*;

const NOW: UnixMs = 1_700_000_000_000;

/// Adds these records, each a frame of its own, at this time.
fn log(data: &Path, now: UnixMs, records: &[Record<'_>]) {
    let data = DataDir::lock(data).unwrap();
    let opened = wal::open(&data, Clock::manual(now)).unwrap();
    let replayed = opened.replay(0, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
    // Small segments, so that there are several.
    let settings = wal::Settings { segment_size: 4096, ..wal::Settings::default() };
    let mut appender = Appender::start(&data, &replayed, settings, Clock::manual(now)).unwrap();
    for record in records {
        let mut batch = RecordBatch::new();
        batch.push(record);
        appender.append(&mut batch).unwrap();
    }
    appender.finish().unwrap();
}

type Content = BTreeMap<(u8, Vec<u8>), (Vec<u8>, Option<UnixMs>)>;

fn apply(content: &mut Content, record: &Record<'_>) {
    match *record {
        Record::Set { db, key, value, expires_at }
        | Record::Fill { db, key, value, expires_at } => {
            content.insert((db, key.to_vec()), (value.to_vec(), expires_at));
        }
        Record::Delete { db, key } | Record::Evict { db, key } => {
            content.remove(&(db, key.to_vec()));
        }
        Record::Expire { db, key, expires_at } => {
            if let Some(held) = content.get_mut(&(db, key.to_vec())) {
                held.1 = expires_at;
            }
        }
        Record::Flush { db } => content.retain(|(of, _), _| db.is_some_and(|db| db != *of)),
        Record::SwapDb { a, b } => {
            let swapped = |db| {
                if db == a {
                    b
                } else if db == b {
                    a
                } else {
                    db
                }
            };
            let before = std::mem::take(content);
            content.extend(before.into_iter().map(|((db, key), held)| ((swapped(db), key), held)));
        }
    }
}

fn task(from: &Path, data: &Path, at: Option<Moment>) -> Restore {
    let (from, data) = (from.to_owned(), data.to_owned());
    Restore { from, data, at, log: wal::Settings::default() }
}

fn run(task: &Restore) -> Result<Report, RestoreError> {
    restore(task, &Clock::manual(NOW), |_, _| {})
}

/// What a start would find in a directory.
fn content(data: &Path) -> Content {
    let mut content = Content::new();
    let data = DataDir::lock(data).unwrap();
    let opened = wal::open(&data, Clock::manual(NOW)).unwrap();
    let each = |_, record: Record<'_>| apply(&mut content, &record);
    opened.replay(0, each, |_| ControlFlow::Continue(())).unwrap();
    content
}

/// What is restored from `from` as of a moment.
fn restored(from: &Path, at: Option<Moment>) -> Content {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("new");
    let report = run(&task(from, &to, at)).unwrap();
    let content = content(&to);
    assert_eq!(report.by_database.values().sum::<u64>(), content.len() as u64);
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn each_moment_is_what_had_been_logged_by_then(
        steps in prop::collection::vec((0..10u8, 0..3u8, 0..5u8, 0..3u64), 1..60),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<Vec<u8>> = (0..5).map(|n| format!("key:{n}").into_bytes()).collect();
        let values: Vec<Vec<u8>> = (0..steps.len()).map(|n| vec![n as u8; 300]).collect();
        let records: Vec<Record<'_>> = steps.iter().zip(&values).map(|(step, value)| {
            let (kind, db, key, at) = *step;
            let (key, expires_at) = (&names[usize::from(key)][..], (at > 0).then_some(NOW + at));
            match kind {
                0..5 => Record::Set { db, key, value, expires_at },
                5 => Record::Delete { db, key },
                6 => Record::Evict { db, key },
                7 => Record::Expire { db, key, expires_at },
                8 => Record::Flush { db: (at > 0).then_some(db) },
                _ => Record::SwapDb { a: db, b: at as u8 },
            }
        }).collect();
        log(dir.path(), NOW, &records);
        for moment in moments {
            let lsn = moment.index(records.len() + 1);
            let mut due = Content::new();
            records[..lsn].iter().for_each(|record| apply(&mut due, record));
            let at = Some(Moment::Lsn(lsn as Lsn));
            prop_assert_eq!(restored(dir.path(), at), due, "LSN {} of {}", lsn, records.len());
        }
    }
}

fn set<'a>(key: &'a [u8], value: &'a [u8], expires_at: Option<UnixMs>) -> Record<'a> {
    Record::Set { db: 0, key, value, expires_at }
}

#[test]
fn a_time_is_what_had_been_logged_by_then() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), NOW - 60_000, &[set(b"k", b"old", None)]);
    log(dir.path(), NOW - 30_000, &[Record::Flush { db: None }]);
    let value = |at| restored(dir.path(), Some(Moment::Time(at))).into_values().next();
    assert_eq!(value(NOW - 40_000), Some((b"old".to_vec(), None)));
    assert_eq!(value(NOW - 30_000), None);
    let before = run(&task(dir.path(), &dir.path().join("new"), Some(Moment::Time(1))));
    assert!(matches!(before, Err(RestoreError::Past(PastError::Forgotten { .. }))), "{before:?}");
}

#[test]
fn a_time_that_came_twice_is_the_second_one() {
    let dir = tempfile::tempdir().unwrap();
    // The clock is set forward, and back again.
    for (ago, value) in [(60_000, b"1"), (10_000, b"2"), (50_000, b"3"), (40_000, b"4")] {
        log(dir.path(), NOW - ago, &[set(b"k", value, None)]);
    }
    let value = |ago| restored(dir.path(), Some(Moment::Time(NOW - ago))).into_values().next();
    let held = |value: &[u8]| Some((value.to_vec(), None));
    assert_eq!(value(55_000), held(b"1"));
    assert_eq!(value(50_000), held(b"3"));
    assert_eq!(value(20_000), held(b"4"));
    assert_eq!(value(0), held(b"4"));
}

#[test]
fn what_has_expired_since_is_not_resurrected() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [set(b"gone", b"1", Some(NOW)), set(b"there", b"2", Some(NOW + 1))];
    log(dir.path(), NOW - 60_000, &keys);
    let left: Vec<_> = restored(dir.path(), None).into_keys().map(|(_, key)| key).collect();
    assert_eq!(left, [b"there".to_vec()]);
}

#[test]
fn neither_the_source_nor_a_directory_in_use_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (from, other) = (dir.path().join("from"), dir.path().join("other"));
    log(&from, NOW, &[set(b"k", b"v", None)]);
    log(&other, NOW, &[set(b"o", b"v", None)]);
    let before = content(&other);
    for to in [&from, &other] {
        let refused = run(&task(&from, to, None));
        assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })), "{refused:?}");
    }
    assert_eq!(content(&other), before);
    let locked = DataDir::lock(&other).unwrap();
    let refused = run(&task(&from, &other, None));
    assert!(matches!(refused, Err(RestoreError::Lock(LockError::Held { .. }))), "{refused:?}");
    drop(locked);
    let future = run(&task(&from, &dir.path().join("new"), Some(Moment::Lsn(9))));
    assert!(matches!(future, Err(RestoreError::Past(PastError::Future { .. }))), "{future:?}");
}

#[test]
fn a_damaged_source_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    log(&from, NOW, &[set(b"a", &[1; 300], None), set(b"b", &[2; 300], None)]);
    let file = std::fs::read_dir(from.join("wal")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let flipped = bytes.windows(8).position(|w| w == [1; 8]).unwrap();
    bytes[flipped] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = run(&task(&from, &to, None));
    assert!(matches!(refused, Err(RestoreError::Past(PastError::Log(_)))), "{refused:?}");
    assert!(!to.exists());
}
