//! What inspection says of damaged logs, and that it agrees with the start.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::sim::{DATA, Sim, value};
use crate::journal::{Item, Lsn, Record};
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::{Inspection, Verdict, inspect_on};
use crate::wal::segment;
use crate::wal::settings::FsyncMode;

/// Inspects; every record shown must be the one that was written with this LSN. The LSNs that
/// were shown as intact, and those behind the damage.
pub(super) fn inspected(fs: &FaultyFs) -> (Inspection, Vec<Lsn>, Vec<Lsn>) {
    let (mut intact, mut behind) = (Vec::new(), Vec::new());
    let report = inspect_on(fs, Path::new(DATA), |entry| {
        let (key, value) = (entry.lsn.to_string(), value(entry.lsn));
        let due = Record::Set { db: 0, key: key.as_bytes(), value: &value, expires_at: None };
        assert_eq!(entry.item, Item::Record(due), "a wrong record is shown");
        if entry.intact { &mut intact } else { &mut behind }.push(entry.lsn);
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(intact, (1..=report.intact_lsn).collect::<Vec<_>>());
    assert_eq!(report.readable_behind, behind.len() as u64);
    (report, intact, behind)
}

/// Several segments of whole frames of five records each, not sealed.
pub(super) fn several() -> (FaultyFs, Vec<PathBuf>) {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
    for _ in 0..40 {
        sim.append(5);
        sim.step();
        sim.finish_sync();
    }
    let paths = paths(&sim.fs);
    assert!(paths.len() > 3);
    (sim.fs.after_crash(None), paths)
}

pub(super) fn paths(fs: &FaultyFs) -> Vec<PathBuf> {
    let dir = PathBuf::from(DATA).join("wal");
    segment::list(fs, &dir).unwrap().into_iter().map(|(_, _, path)| path).collect()
}

fn flip(fs: &FaultyFs, path: &Path, at: usize) {
    let mut bytes = fs.content(path);
    bytes[at] ^= 1;
    fs.set_content(path, &bytes);
}

fn first_lsn(path: &Path) -> Lsn {
    segment::parse_name(path.file_name().unwrap().to_str().unwrap()).unwrap().1
}

#[test]
fn a_sound_log_is_clean_and_shown_whole() {
    let (fs, paths) = several();
    let (report, intact, behind) = inspected(&fs);
    assert_eq!(report.verdict(), Verdict::Clean);
    assert_eq!((intact.len(), behind.len(), report.last_lsn), (200, 0, 200));
    assert_eq!(report.segments.len(), paths.len());
    assert_eq!(report.segments.iter().map(|s| s.records).sum::<u64>(), 200);
}

#[test]
fn behind_a_damaged_frame_everything_else_can_still_be_read() {
    let (fs, paths) = several();
    // Into the payload of the first frame.
    flip(&fs, &paths[1], segment::HEADER_LEN + 60);
    let (report, intact, behind) = inspected(&fs);
    let due = first_lsn(&paths[1]);
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!((finding.verdict, &finding.path), (Verdict::Corrupt, &paths[1]));
    assert_eq!((finding.offset, finding.first_lsn), (segment::HEADER_LEN as u64, due));
    assert_eq!(finding.last_lsn, Some(due + 4));
    assert_eq!(intact.last(), Some(&(due - 1)));
    assert_eq!(behind, (due + 5..=200).collect::<Vec<_>>());
    assert_eq!(report.records_behind(), 200 - (due - 1));
}

#[test]
fn every_one_of_several_damages_is_named() {
    let (fs, paths) = several();
    flip(&fs, &paths[0], segment::HEADER_LEN + 60);
    flip(&fs, &paths[2], segment::HEADER_LEN + 60);
    let (report, _, behind) = inspected(&fs);
    let named: Vec<_> = report.findings.iter().map(|finding| &finding.path).collect();
    assert_eq!(named, [&paths[0], &paths[2]]);
    assert_eq!(behind.len(), 200 - 10);
}

#[test]
fn behind_a_damaged_header_the_frames_can_be_read() {
    let (fs, paths) = several();
    flip(&fs, &paths[1], 33);
    let (report, _, behind) = inspected(&fs);
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!((&finding.path, finding.offset), (&paths[1], 0));
    assert_eq!(behind, (first_lsn(&paths[1])..=200).collect::<Vec<_>>());
}

#[test]
fn a_missing_segment_is_named_with_its_lsns() {
    let (fs, paths) = several();
    fs.remove(&paths[1]).unwrap();
    let (report, intact, behind) = inspected(&fs);
    let missing = (first_lsn(&paths[1]), Some(first_lsn(&paths[2]) - 1));
    let found = report.findings.iter().find(|finding| finding.path == paths[2]).unwrap();
    assert_eq!((found.first_lsn, found.last_lsn), missing);
    assert!(found.what.contains("segment 2 is missing"));
    assert_eq!(intact.last(), Some(&(missing.0 - 1)));
    assert_eq!(behind, (first_lsn(&paths[2])..=200).collect::<Vec<_>>());
}

#[test]
fn a_cut_frame_at_the_end_is_torn() {
    let (fs, paths) = several();
    let last = paths.last().unwrap();
    let bytes = fs.content(last);
    // Behind the frames are zeros that were written ahead.
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    fs.set_content(last, &bytes[..end - 7]);
    let (report, _, behind) = inspected(&fs);
    assert_eq!(report.verdict(), Verdict::Torn);
    assert_eq!((report.intact_lsn, behind.len()), (195, 0));
}

#[test]
fn a_segment_of_another_log_is_named_and_not_read() {
    let (fs, paths) = several();
    let (other, _) = several();
    fs.set_content(&paths[1], &other.content(&paths[1]));
    let (report, _, _) = inspected(&fs);
    assert!(report.findings.iter().any(|f| f.what.contains("another log") && f.path == paths[1]));
}

#[test]
fn a_visitor_may_break_off() {
    let (fs, _) = several();
    let mut shown = 0;
    let report = inspect_on(&fs, Path::new(DATA), |_| {
        shown += 1;
        if shown == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(report.is_ok());
    assert_eq!(shown, 7);
}

#[test]
fn where_there_is_no_log_inspection_says_so() {
    let nothing = inspect_on(&FaultyFs::default(), Path::new(DATA), |_| ControlFlow::Break(()));
    assert!(nothing.unwrap_err().to_string().contains("no segment"));
}
