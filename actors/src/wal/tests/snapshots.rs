//! What inspection says of snapshots, and that a start comes to the same.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::{Path, PathBuf};

use super::inspect::{paths, several};
use super::repair::{start, take};
use super::sim::DATA;
use crate::clock::Clock;
use crate::journal::Lsn;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::{Inspection, Verdict, inspect_all_on};
use crate::wal::manifest;
use crate::wal::replay::{OpenError, open_on};
use crate::wal::retention::Removal;

fn inspected(fs: &FaultyFs) -> Inspection {
    inspect_all_on(fs, Path::new(DATA)).unwrap()
}

fn snapshot(begin: Lsn) -> PathBuf {
    Path::new(DATA).join("snap").join(format!("{begin:020}.snap"))
}

fn base(report: &Inspection) -> Option<Lsn> {
    report.base().map(|(base, _)| base.begin)
}

/// A log of 200 records with snapshots at two LSNs.
fn with_two() -> FaultyFs {
    let (fs, _) = several();
    take(&fs, 100);
    take(&fs, 150);
    fs
}

/// Deletes the log before LSN 150.
fn shorten(fs: &FaultyFs) {
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap();
    let mut retention = opened.snapshots().retention();
    let survey = retention.survey(200).unwrap();
    let first = survey.segments.iter().rfind(|segment| segment.first_lsn <= 151).unwrap().sequence;
    let removal = Removal { first: Some(first), snapshots: Vec::new(), left_over: false };
    retention.remove(&removal).unwrap();
}

#[test]
fn snapshots_are_read_to_their_end_and_the_newest_whole_one_is_what_a_start_has() {
    let fs = with_two();
    let report = inspected(&fs);
    assert_eq!((report.verdict(), base(&report)), (Verdict::Clean, Some(150)));
    assert_eq!(report.snapshots.iter().map(|one| one.begin).collect::<Vec<_>>(), [150, 100]);
    let whole = fs.content(&snapshot(150));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs.set_content(&snapshot(150), &bytes);
        let report = inspected(&fs);
        assert_eq!(report.verdict(), Verdict::Corrupt, "flipped at {at}");
        assert_eq!((report.log_verdict(), base(&report)), (Verdict::Clean, Some(100)));
    }
    assert_eq!(start(&fs), (Some(100), 200));
}

#[test]
fn one_that_the_manifest_lists_and_that_is_gone_is_told() {
    let fs = with_two();
    fs.remove(&snapshot(150)).unwrap();
    let report = inspected(&fs);
    let flaw = report.snapshots[0].found.as_ref().unwrap_err();
    assert!(flaw.what.contains("not there"), "{}", flaw.what);
    assert_eq!((report.verdict(), base(&report)), (Verdict::Corrupt, Some(100)));
}

/// It stayed in the manifest's list, and retention counted on it when it deleted segments.
#[test]
fn a_snapshot_that_was_put_aside_stands_for_nothing() {
    let fs = with_two();
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap();
    let (snapshots, mut retention) = (opened.snapshots(), opened.snapshots().retention());
    assert_eq!(retention.survey(200).unwrap().snapshots.len(), 2);
    snapshots.quarantine(&snapshot(150)).unwrap();
    let listed = manifest::read(&fs, Path::new(DATA)).unwrap().manifest.unwrap().snapshots;
    assert_eq!(listed.iter().map(|one| one.begin).collect::<Vec<_>>(), [100]);
    assert_eq!(inspected(&fs).verdict(), Verdict::Clean);
    fs.remove(&snapshot(100)).unwrap();
    assert_eq!(retention.survey(200).unwrap().snapshots, []);
}

#[test]
fn a_log_that_ends_before_what_a_snapshot_proves_is_refused_by_both() {
    let (fs, names) = several();
    take(&fs, 200);
    // Without a manifest, only the snapshot knows.
    for copy in manifest::PATHS {
        fs.remove(&Path::new(DATA).join(copy)).unwrap();
    }
    let last = names.last().unwrap();
    let bytes = fs.content(last);
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    fs.set_content(last, &bytes[..end - 7]);
    let report = inspected(&fs);
    assert_eq!(report.log_verdict(), Verdict::Corrupt);
    let finding = report.findings.last().unwrap();
    assert_eq!((finding.first_lsn, finding.last_lsn), (196, Some(200)), "{finding:?}");
    let mut opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(6)).unwrap();
    opened.prove(200);
    let replayed = opened.replay(200, |_, _| {}, |_| std::ops::ControlFlow::Continue(()));
    assert!(matches!(replayed, Err(OpenError::Corrupt(_))), "{replayed:?}");
}

#[test]
fn a_log_that_begins_later_needs_a_snapshot_that_is_whole() {
    let fs = with_two();
    let whole = paths(&fs).len();
    shorten(&fs);
    assert!(paths(&fs).len() < whole);
    let report = inspected(&fs);
    assert_eq!((report.verdict(), base(&report)), (Verdict::Clean, Some(150)));
    assert!(!report.snapshots[1].usable, "the log behind it is deleted");
    let mut bytes = fs.content(&snapshot(150));
    bytes[100] ^= 1;
    fs.set_content(&snapshot(150), &bytes);
    let report = inspected(&fs);
    assert_eq!((report.log_verdict(), base(&report)), (Verdict::Corrupt, None));
    assert!(report.baseless);
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(6)).unwrap();
    let replayed = opened.replay(0, |_, _| {}, |_| std::ops::ControlFlow::Continue(()));
    assert!(matches!(replayed, Err(OpenError::Baseless { .. })), "{replayed:?}");
}
