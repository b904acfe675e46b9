#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::journal::Record;
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::replay::open_on;

const DATA: &str = "/data";
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn start(fs: &FaultyFs) -> Appender {
    let last = keys(fs).len() as Lsn;
    let settings = Settings { segment_size: 4096, ..Settings::default() };
    Appender::start_on(fs.clone(), Path::new(DATA), last, settings, Clock::manual(7)).unwrap()
}

/// Adds keys numbered from `from` on, ten to a batch.
fn add(appender: &mut Appender, from: usize, batches: usize) -> Result<(), AppendError> {
    for batch in 0..batches {
        let mut records = RecordBatch::new();
        for i in 0..10 {
            let key = (from + 10 * batch + i).to_string();
            let value = [b'v'; 50];
            let record =
                Record::Set { db: 0, key: key.as_bytes(), value: &value, expires_at: None };
            records.push(&record);
        }
        appender.append(&mut records)?;
        assert!(records.is_empty());
    }
    Ok(())
}

/// The keys in the log's order, as a start finds them.
fn keys(fs: &FaultyFs) -> Vec<usize> {
    let mut found = Vec::new();
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(7)).unwrap();
    opened
        .replay(
            0,
            |_, record| {
                let Record::Set { key, .. } = record else { panic!("{record:?}") };
                found.push(std::str::from_utf8(key).unwrap().parse().unwrap());
            },
            |_| std::ops::ControlFlow::Continue(()),
        )
        .unwrap();
    found
}

#[test]
fn what_is_added_over_many_segments_is_there_and_durable() {
    let fs = FaultyFs::default();
    let mut appender = start(&fs);
    add(&mut appender, 0, 40).unwrap();
    assert_eq!(appender.finish().unwrap(), 400);
    let mut appender = start(&fs);
    add(&mut appender, 400, 1).unwrap();
    assert_eq!(appender.finish().unwrap(), 410);
    let fs = fs.after_crash(Some(&mut SmallRng::seed_from_u64(1)));
    assert_eq!(keys(&fs), (0..410).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_told_and_leaves_a_beginning() {
    let fs = FaultyFs::default();
    let mut appender = start(&fs);
    add(&mut appender, 0, 1).unwrap();
    fs.fail_always(Call::Write, ENOSPC);
    let added = add(&mut appender, 10, 1000).and_then(|()| appender.finish());
    let why = added.unwrap_err().to_string();
    assert!(why.contains("cannot write the log"), "{why}");
    fs.fail_nothing();
    let found = keys(&fs);
    assert_eq!(found, (0..found.len()).collect::<Vec<_>>());
}

#[test]
fn an_end_that_cannot_be_synced_is_no_success() {
    let fs = FaultyFs::default();
    let mut appender = start(&fs);
    add(&mut appender, 0, 2).unwrap();
    fs.fail_always(Call::Sync, EIO);
    assert!(appender.finish().unwrap_err().to_string().contains("sync"));
}
