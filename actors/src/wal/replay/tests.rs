#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use super::*;

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
