#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use super::*;
use crate::journal::RecordBatch;
use crate::wal::DataDir;
use crate::wal::frame::{FrameHeader, append_frame};
use crate::wal::segment::{self, SegmentHeader};

/// Breaks nothing off.
fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_new_log_is_empty_and_replays_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    for _ in 0..2 {
        let report = open(&data, Clock::manual(1)).unwrap().replay(0, |_, _| {}, on).unwrap();
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
    let result = read_range(data.path(), 0, 3, |_, _| ControlFlow::Continue(()));
    assert!(matches!(result, Err(RangeError::Short { found: 0, wanted: 3 })));
}

/// Puts one frame per payload, with so many records, into a new log's first segment.
/// Tells where each frame ends.
fn write_frames(data: &DataDir, frames: &[(&[u8], u32)]) -> Vec<usize> {
    open(data, Clock::manual(1)).unwrap();
    let (_, mut lsn, path) = segment::list(&OsFs, &segments_dir(data.path())).unwrap().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let of = SegmentHeader::decode(bytes[..segment::HEADER_LEN].try_into().unwrap()).unwrap();
    let (mut chain, mut ends) = (of.digest(), Vec::new());
    for &(payload, count) in frames {
        let header = FrameHeader {
            payload_len: payload.len() as u64,
            count,
            first_lsn: lsn,
            durable_lsn: 0,
            wall_ms: 1000 * lsn,
            packed: false,
        };
        chain = append_frame(&mut bytes, &of.log, &chain, &header, payload);
        lsn += u64::from(count);
        ends.push(bytes.len());
    }
    std::fs::write(&path, bytes).unwrap();
    ends
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
    let visit = |origin: Origin, record: Record<'_>| {
        let Record::Delete { key, .. } = record else { panic!("{record:?}") };
        seen.push((origin.lsn, key.to_vec()));
        ControlFlow::Continue(())
    };
    read_range(data.path(), 0, 6, visit).unwrap();
    let due: Vec<(Lsn, Vec<u8>)> =
        [(1, b"a"), (3, b"b"), (4, b"c"), (6, b"d")].map(|(lsn, key)| (lsn, key.to_vec())).into();
    assert_eq!(seen, due);
}

/// Two frames of three deletes each: LSN 1 to 3, and 4 to 6.
fn two_frames(data: &DataDir) {
    let mut batch = RecordBatch::new();
    [b"a", b"b", b"c"].iter().for_each(|key| batch.push(&Record::Delete { db: 0, key: *key }));
    write_frames(data, &[(batch.as_bytes(), 3), (batch.as_bytes(), 3)]);
}

#[test]
fn records_come_with_their_lsn_and_the_time_of_their_frame() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    two_frames(&data);
    for from in 0..=7 {
        let mut seen = Vec::new();
        let opened = open(&data, Clock::manual(1)).unwrap();
        let visit = |origin: Origin, _: Record<'_>| seen.push((origin.lsn, origin.wall_ms));
        let report = opened.replay(from, visit, on).unwrap();
        let due: Vec<_> =
            (from + 1..=6).map(|lsn| (lsn, if lsn < 4 { 1000 } else { 4000 })).collect();
        assert_eq!(seen, due, "from {from}");
        assert_eq!((report.last_lsn, report.records, report.frames), (6, due.len() as u64, 2));
    }
}

#[test]
fn what_is_not_visited_is_verified_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    two_frames(&data);
    let opened = open(&data, Clock::manual(1)).unwrap();
    let path = opened.segments[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[segment::HEADER_LEN + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let replayed = opened.replay(6, |_, _| {}, on);
    assert!(matches!(replayed, Err(OpenError::Corrupt(Damage { first_lsn: 1, .. }))));
}

/// Decoding runs behind verifying, and yet the first damage is the one that is told.
#[test]
fn of_two_damages_the_one_with_the_lower_lsn_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let malformed: &[u8] = &[2, 200];
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: b"a" });
    let good = (batch.as_bytes(), 1);
    let ends = write_frames(&data, &[good, (malformed, 1), good, good]);
    let opened = open(&data, Clock::manual(1)).unwrap();
    let path = opened.segments[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    // The third of four frames: nothing that a crash leaves behind.
    bytes[ends[2] - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut visited = 0;
    let replayed = opened.replay(0, |_, _| visited += 1, on);
    let Err(OpenError::Corrupt(damage)) = replayed else { panic!("{replayed:?}") };
    assert_eq!((damage.first_lsn, visited), (2, 1), "{damage}");
}

#[test]
fn a_frame_that_counts_wrong_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: b"a" });
    write_frames(&data, &[(batch.as_bytes(), 2)]);
    let replayed = open(&data, Clock::manual(1)).unwrap().replay(0, |_, _| {}, on);
    let Err(OpenError::Corrupt(damage)) = replayed else { panic!("{replayed:?}") };
    assert_eq!(damage.what, "records in the frame: 1; its header says 2");
}

#[test]
fn a_visitor_that_breaks_off_ends_the_walk_however_much_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: &[7; 300] });
    let frames = [(batch.as_bytes(), 1); 50];
    write_frames(&data, &frames);
    let mut seen = 0;
    let visit = |_: Origin, _: Record<'_>| {
        seen += 1;
        ControlFlow::Break(())
    };
    read_range(data.path(), 0, 50, visit).unwrap();
    assert_eq!(seen, 1);
    let exploded = std::panic::catch_unwind(|| {
        read_range(data.path(), 0, 50, |_, _| panic!("a visitor's own failure"))
    });
    assert!(exploded.is_err(), "the panic is the caller's, and nothing hangs");
}

/// A stop during a long start must be quick, and the next start must find what this one found.
#[test]
fn a_replay_that_is_broken_off_changes_nothing_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: &[7; 300] });
    write_frames(&data, &[(batch.as_bytes(), 1); 50]);
    let opened = open(&data, Clock::manual(1)).unwrap();
    let path = opened.segments[0].path.clone();
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(&[9; 40]);
    std::fs::write(&path, &torn).unwrap();
    let (opened, mut blocks) = (open(&data, Clock::manual(1)).unwrap(), 0);
    let replayed = opened.replay(
        0,
        |_, _| {},
        |progress| {
            blocks += 1;
            assert!(progress.bytes < progress.total_bytes);
            ControlFlow::Break(())
        },
    );
    assert!(matches!(replayed, Err(OpenError::BrokenOff)), "{replayed:?}");
    assert_eq!((blocks, std::fs::read(&path).unwrap()), (1, torn));
    assert!(opened.replay(0, |_, _| {}, on).unwrap().torn.is_some());
}

/// Every file below a directory, with its content.
fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Keys that a look finds.
fn looked(data: &Path) -> Result<(Vec<String>, Seen), OpenError> {
    let apply = |keys: &mut Vec<String>, record: Record<'_>| {
        let Record::Delete { key, .. } = record else { panic!("{record:?}") };
        keys.push(String::from_utf8_lossy(key).into_owned());
    };
    look(data, Clock::manual(1), Vec::new, apply, |_| ControlFlow::Continue(()))
}

#[test]
fn a_look_finds_what_a_start_would_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let delete = |key: &[u8]| {
        let mut batch = RecordBatch::new();
        batch.push(&Record::Delete { db: 0, key });
        batch.as_bytes().to_vec()
    };
    let (one, two) = (delete(b"one"), delete(b"two"));
    write_frames(&data, &[(&one, 1), (&two, 1)]);
    let (_, _, path) = segment::list(&OsFs, &segments_dir(dir.path())).unwrap().remove(0);
    let whole = std::fs::read(&path).unwrap();
    let unnamed = dir.path().join(format!("wal/{:020}-{:020}.wal.new", 2, 1));
    std::fs::write(&unnamed, b"half").unwrap();
    for (cut, expected, torn) in [(0, &["one", "two"][..], false), (5, &["one"], true)] {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let before = files(dir.path());
        let (keys, seen) = looked(dir.path()).unwrap();
        assert_eq!(keys, expected);
        assert_eq!((seen.last_lsn, seen.torn.is_some()), (expected.len() as u64, torn));
        assert_eq!(files(dir.path()), before);
    }
    let mut flipped = whole.clone();
    flipped[segment::HEADER_LEN + 5] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert!(matches!(looked(dir.path()), Err(OpenError::Corrupt(_))));
}

#[test]
fn a_look_at_nothing_begins_no_log() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(looked(dir.path()), Err(OpenError::Io { .. })));
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    assert!(matches!(looked(dir.path()), Err(OpenError::Io { .. })));
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_log_of_a_later_format_that_suits_this_reader_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    open(&data, Clock::manual(1)).unwrap();
    let (_, _, path) = segment::list(&OsFs, &segments_dir(data.path())).unwrap().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let new = SegmentHeader::decode(bytes[..segment::HEADER_LEN].try_into().unwrap()).unwrap();
    std::fs::write(&path, SegmentHeader { format: 4, ..new }.encode()).unwrap();
    two_frames(&data);
    let opened = open(&data, Clock::manual(1)).unwrap();
    let report = opened.replay(0, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.last_lsn, 6);
}
