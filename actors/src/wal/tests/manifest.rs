//! What the manifest adds: the log may begin later, and it may not end earlier.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::{Path, PathBuf};

use super::inspect::{paths as on_disk, several};
use super::sim::{DATA, Sim, replay, replay_with_voids};
use crate::clock::Clock;
use crate::journal::Lsn;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::{Inspection, Verdict, inspect_on};
use crate::wal::manifest::{self, Floor, ManifestFile, PATHS};
use crate::wal::repair::Plan;
use crate::wal::replay::{OpenError, open_on};
use crate::wal::segment;
use crate::wal::settings::FsyncMode;
use crate::wal::writer::read_header;

fn copies() -> [PathBuf; 2] {
    PATHS.map(|name| Path::new(DATA).join(name))
}

fn manifest_of(fs: &FaultyFs) -> ManifestFile<FaultyFs> {
    let found = manifest::read(fs, Path::new(DATA)).unwrap().usable().unwrap().unwrap();
    ManifestFile::new(fs.clone(), Path::new(DATA), Clock::manual(4), found, true)
}

/// Several segments that a start has read, so that the manifest knows all of them.
fn known() -> (FaultyFs, Vec<PathBuf>) {
    let (fs, paths) = several();
    replay(&fs).unwrap();
    (fs, paths)
}

/// Raises the floor to the segment at `index` and deletes nothing. Its first LSN.
fn raise(fs: &FaultyFs, paths: &[PathBuf], index: usize) -> Lsn {
    let header = read_header(&fs.open(&paths[index], false).unwrap()).unwrap().unwrap();
    manifest_of(fs).update_both(|manifest| manifest.floor = Floor::at(&header)).unwrap();
    header.first_lsn
}

/// The LSNs that a replay from `from` shows.
fn replay_from(fs: &FaultyFs, from: Lsn) -> Result<Vec<Lsn>, OpenError> {
    let mut seen = Vec::new();
    open_on(fs.clone(), Path::new(DATA), Clock::manual(5))?.replay(
        from,
        |origin, _| seen.push(origin.lsn),
        |_| std::ops::ControlFlow::Continue(()),
    )?;
    Ok(seen)
}

fn look(fs: &FaultyFs) -> Inspection {
    inspect_on(fs, Path::new(DATA), |_| std::ops::ControlFlow::Continue(())).unwrap()
}

fn repair(fs: &FaultyFs) {
    let plan = Plan::new(&look(fs), &[]).unwrap();
    plan.carry_out_on(fs, Path::new(DATA), &Clock::manual(9)).unwrap();
    assert_eq!(look(fs).verdict(), Verdict::Clean);
}

#[test]
fn a_directory_without_a_manifest_is_that_of_a_whole_log_and_gets_one() {
    let (fs, paths) = known();
    copies().iter().for_each(|path| fs.remove(path).unwrap());
    assert_eq!(look(&fs).manifest, None);
    assert_eq!(replay(&fs).unwrap().last_lsn, 200);
    let summary = look(&fs).manifest.unwrap();
    assert_eq!((summary.first_sequence, summary.first_lsn, summary.durable_lsn), (1, 1, 200));
    assert_eq!(manifest_of(&fs).current().newest, paths.len() as u64);
}

#[test]
fn segments_below_the_floor_are_left_over_and_removed() {
    let (fs, paths) = known();
    let first = raise(&fs, &paths, 2);
    let before = look(&fs);
    assert_eq!((before.verdict(), before.segments.len()), (Verdict::Clean, paths.len() - 2));
    assert_eq!(replay_from(&fs, first + 3).unwrap(), (first + 4..=200).collect::<Vec<_>>());
    assert_eq!(on_disk(&fs), paths[2..]);
    assert_eq!(look(&fs).verdict(), Verdict::Clean);
    // And the log goes on.
    assert_eq!(replay_from(&fs, first - 1).unwrap().len() as Lsn, 201 - first);
}

#[test]
fn a_log_that_begins_behind_what_is_asked_for_is_refused() {
    let (fs, paths) = known();
    let first = raise(&fs, &paths, 2);
    let Err(OpenError::Baseless { begins, .. }) = replay_from(&fs, first - 2) else {
        panic!("records are passed over")
    };
    assert_eq!(begins, first);
}

#[test]
fn a_segment_missing_at_the_floor_is_refused() {
    let (fs, paths) = known();
    raise(&fs, &paths, 1);
    fs.remove(&paths[1]).unwrap();
    assert!(matches!(replay_from(&fs, 150), Err(OpenError::Corrupt(_))));
    let found = look(&fs);
    assert_eq!(found.verdict(), Verdict::Corrupt);
    assert!(found.findings[0].what.contains("segment 2 is missing"), "{found:?}");
}

#[test]
fn a_segment_lost_at_the_end_is_noticed_and_a_repair_goes_on_without_it() {
    let (fs, paths) = known();
    let lost = paths.last().unwrap();
    let name = lost.file_name().unwrap().to_str().unwrap();
    let (number, first) = segment::parse_name(name).unwrap();
    fs.remove(lost).unwrap();
    let Err(OpenError::Corrupt(damage)) = replay(&fs) else { panic!("the loss goes unnoticed") };
    assert!(damage.what.contains(&format!("up to {number}")), "{damage}");
    let found = look(&fs);
    let [finding] = found.findings.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.first_lsn, finding.last_lsn), (first, Some(200)));
    assert_eq!((found.intact_lsn, found.records_behind()), (first - 1, 201 - first));
    repair(&fs);
    assert_eq!(replay_with_voids(&fs).unwrap(), (200, first - 1));
}

#[test]
fn an_end_that_was_on_disk_is_not_torn() {
    let (fs, paths) = known();
    let last = paths.last().unwrap();
    let bytes = fs.content(last);
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    for cut in [end - 7, segment::HEADER_LEN] {
        let fs = fs.after_crash(None);
        fs.set_content(last, &bytes[..cut]);
        assert!(matches!(replay(&fs), Err(OpenError::Corrupt(_))), "cut at {cut}");
        assert_eq!(look(&fs).verdict(), Verdict::Corrupt, "cut at {cut}");
        repair(&fs);
        let (last, records) = replay_with_voids(&fs).unwrap();
        assert!(last == 200 && records < 200, "{records}");
    }
}

#[test]
fn without_any_segment_no_new_log_is_begun() {
    let (fs, paths) = known();
    paths.iter().for_each(|path| fs.remove(path).unwrap());
    assert!(matches!(replay(&fs), Err(OpenError::Corrupt(_))));
    let plan = Plan::new(&look(&fs), &[]).unwrap();
    assert!(plan.empties);
    plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
    assert_eq!(replay(&fs).unwrap().last_lsn, 0);
}

#[test]
fn a_damaged_manifest_is_refused_and_made_anew_from_the_segments() {
    let (fs, paths) = known();
    let first = raise(&fs, &paths, 1);
    fs.remove(&paths[0]).unwrap();
    copies().iter().for_each(|path| fs.set_content(path, b"nothing"));
    assert!(matches!(replay_from(&fs, 150), Err(OpenError::Manifest { .. })));
    let found = look(&fs);
    assert_eq!((found.verdict(), found.intact_lsn), (Verdict::Corrupt, 200));
    let plan = Plan::new(&found, &[]).unwrap();
    assert_eq!((&plan.cut, plan.moved.len(), plan.keeps), (&None, 0, 200));
    for calls in 1..40 {
        let fs = fs.after_crash(None);
        fs.kill_after(calls);
        let _ = plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9));
        let fs = fs.after_crash(None);
        if let Some(plan) = Plan::new(&look(&fs), &[]) {
            plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
        }
        assert_eq!(replay_from(&fs, first - 1).unwrap().len() as Lsn, 201 - first);
    }
}

#[test]
fn the_manifest_of_another_log_is_refused() {
    let (fs, _) = known();
    let (other, _) = known();
    copies().iter().for_each(|path| fs.set_content(path, &other.content(path)));
    assert!(matches!(replay(&fs), Err(OpenError::Corrupt(_))));
    assert!(look(&fs).findings[0].what.contains("another log"));
    repair(&fs);
    assert_eq!(replay(&fs).unwrap().last_lsn, 200);
}

#[test]
fn a_log_with_a_floor_lives_on() {
    let (fs, paths) = known();
    let first = raise(&fs, &paths, 2);
    replay_from(&fs, first - 1).unwrap();
    let mut sim = Sim::behind(fs, FsyncMode::Always, first - 1);
    sim.append(3);
    sim.settle();
    let seen = replay_from(&sim.fs.after_crash(None), first - 1).unwrap();
    assert_eq!(seen, (first..=203).collect::<Vec<_>>());
}
