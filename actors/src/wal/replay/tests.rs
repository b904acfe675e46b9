#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use super::*;
use crate::journal::RecordBatch;
use crate::wal::frame::{FrameHeader, append_frame};

#[test]
fn a_new_log_is_empty_and_replays_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    for _ in 0..2 {
        let report = open(&data, Clock::manual(1)).unwrap().replay(|_| {}, |_| {}).unwrap();
        assert_eq!((report.last_lsn, report.segments, report.torn), (0, 1, None));
    }
}

#[test]
fn a_segment_without_its_name_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    open(&data, Clock::manual(1)).unwrap();
    let unnamed = dir.path().join(format!("wal/{:020}-{:020}.wal.new", 2, 1));
    std::fs::write(&unnamed, b"half").unwrap();
    open(&data, Clock::manual(1)).unwrap();
    assert!(!unnamed.exists());
}

#[test]
fn a_range_that_is_not_written_yet_is_said_to_be_short() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    open(&data, Clock::manual(1)).unwrap();
    let result = read_range(data.path(), 3, |_, _| ControlFlow::Continue(()));
    assert!(matches!(result, Err(RangeError::Short { found: 0, wanted: 3 })));
}

/// Puts one frame per payload, with so many records, into a new log's first segment.
fn write_frames(data: &DataDir, frames: &[(&[u8], u32)]) {
    open(data, Clock::manual(1)).unwrap();
    let (_, mut lsn, path) = segment::list(&OsFs, &segments_dir(data.path())).unwrap().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let of = SegmentHeader::decode(bytes[..segment::HEADER_LEN].try_into().unwrap()).unwrap();
    let mut chain = of.digest();
    for &(payload, count) in frames {
        let header = FrameHeader {
            payload_len: payload.len() as u64,
            count,
            first_lsn: lsn,
            durable_lsn: 0,
            wall_ms: 1000 * lsn,
        };
        chain = append_frame(&mut bytes, &of.log, &chain, &header, payload);
        lsn += u64::from(count);
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Encoded deletes of these keys, with a record of an unknown optional kind before the last.
fn with_an_unknown_record(keys: &[&[u8]]) -> Vec<u8> {
    let (last, first) = keys.split_last().unwrap();
    let mut batch = RecordBatch::new();
    first.iter().for_each(|key| batch.push(&Record::Delete { db: 0, key }));
    let mut bytes = batch.as_bytes().to_vec();
    bytes.extend_from_slice(&[200, 3, 1, 2, 3]);
    batch.clear();
    batch.push(&Record::Delete { db: 0, key: last });
    bytes.extend_from_slice(batch.as_bytes());
    bytes
}

#[test]
fn an_unknown_optional_record_has_an_lsn_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let (one, two) = (with_an_unknown_record(&[b"a", b"b"]), with_an_unknown_record(&[b"c", b"d"]));
    write_frames(&data, &[(&one, 3), (&two, 3)]);
    let mut seen = Vec::new();
    let visit = |lsn, record: Record<'_>| {
        let Record::Delete { key, .. } = record else { panic!("{record:?}") };
        seen.push((lsn, key.to_vec()));
        ControlFlow::Continue(())
    };
    read_range(data.path(), 6, visit).unwrap();
    let due: Vec<(Lsn, Vec<u8>)> =
        [(1, b"a"), (3, b"b"), (4, b"c"), (6, b"d")].map(|(lsn, key)| (lsn, key.to_vec())).into();
    assert_eq!(seen, due);
}
