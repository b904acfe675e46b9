//! From one segment to the next: beside the writing, and what becomes of the old ones.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::{Path, PathBuf};

use super::sim::{DATA, Sim, replay};
use crate::journal::Journal;
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::fs::Filesystem;
use crate::wal::segment;
use crate::wal::settings::FsyncMode;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn sim(fsync: FsyncMode) -> Sim {
    Sim::new(FaultyFs::default(), fsync)
}

fn wal() -> PathBuf {
    Path::new(DATA).join("wal")
}

#[test]
fn segments_follow_one_another() {
    let mut sim = sim(FsyncMode::EverySec);
    for _ in 0..40 {
        sim.append(5);
        sim.step();
        sim.finish_sync();
    }
    assert!(sim.intake.stats().segment > 3);
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, 200);
}

/// Appends until the segment is full, and lets the sync begin behind which the next is prepared.
fn fill(sim: &mut Sim) {
    while sim.job.is_none() {
        sim.append(1);
        sim.step();
    }
    assert!(sim.intake.stats().segment_bytes >= 4096);
}

/// Files of segments that have no name.
fn unnamed(sim: &Sim) -> usize {
    let names = sim.fs.list(&wal()).unwrap();
    names.into_iter().filter(|name| name.ends_with(".new")).count()
}

#[test]
fn the_next_segment_is_prepared_while_the_full_one_takes_writes() {
    for mode in [FsyncMode::EverySec, FsyncMode::No] {
        let mut sim = sim(mode);
        fill(&mut sim);
        let during = sim.append(3);
        sim.step();
        assert_eq!(sim.outcome(during), Some(Ok(())), "nobody waits");
        assert_eq!(sim.intake.stats().segment, 1);
        sim.finish_sync();
        let stats = sim.intake.stats();
        assert_eq!((stats.segment, stats.sync_errors, stats.write_errors), (2, 0, 0));
        assert_eq!(sim.intake.durable(), during - 3, "the new segment has no durable name");
        let behind = sim.append(1);
        sim.step();
        assert_eq!(sim.outcome(behind), Some(Ok(())));
        sim.finish_sync();
        assert!(sim.intake.durable() >= during, "a sync of file and directory follows at once");
        assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, behind);
    }
}

#[test]
fn a_disk_too_full_for_the_next_segment_fails_no_write_until_this_one_is_twice_full() {
    let mut sim = sim(FsyncMode::EverySec);
    sim.fs.fail_always(Call::Create, ENOSPC);
    fill(&mut sim);
    sim.finish_sync();
    assert_eq!((sim.intake.stats().segment, sim.intake.stats().write_errors), (1, 1));
    assert_eq!(unnamed(&sim), 0);
    let last = loop {
        let lsn = sim.append(1);
        sim.step();
        assert_eq!(sim.outcome(lsn), Some(Ok(())));
        if sim.intake.stats().segment_bytes >= 2 * 4096 {
            break lsn;
        }
        assert_eq!(sim.intake.stats().write_errors, 1, "no second try before its time");
    };
    assert!(sim.intake.writable().is_err(), "a segment has its bounds");
    sim.fs.fail_nothing();
    sim.settle();
    assert_eq!((sim.intake.writable(), sim.intake.durable()), (Ok(()), last));
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, last);
}

#[test]
fn the_next_segment_is_tried_again_half_a_second_later() {
    let mut sim = sim(FsyncMode::EverySec);
    fill(&mut sim);
    sim.fs.fail_next(Call::Rename, EIO);
    sim.finish_sync();
    assert_eq!(sim.intake.stats().segment, 1);
    let after = sim.append(1);
    sim.step();
    assert_eq!((sim.outcome(after), sim.intake.writable()), (Some(Ok(())), Ok(())));
    sim.pass(500);
    sim.step();
    sim.finish_sync();
    assert_eq!(sim.intake.stats().segment, 2);
    sim.settle();
    assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, after);
}

#[test]
fn a_directory_that_cannot_be_synced_leads_to_another_segment() {
    let mut sim = sim(FsyncMode::EverySec);
    fill(&mut sim);
    sim.fs.fail_next(Call::SyncDir, EIO);
    sim.finish_sync();
    assert_eq!(sim.intake.stats().segment, 2, "its name is there, and not durable");
    sim.step();
    sim.finish_sync();
    assert!(sim.intake.writable().is_err());
    assert_eq!(sim.intake.stats().sync_errors, 1);
    sim.settle();
    assert_eq!(sim.intake.stats().segment, 3);
    let lsn = sim.intake.stats().lsn;
    assert_eq!((sim.intake.writable(), sim.intake.durable()), (Ok(()), lsn));
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, lsn);
}

#[test]
fn a_segment_that_was_prepared_for_nothing_is_removed_by_the_next_writer() {
    let mut sim = sim(FsyncMode::EverySec);
    fill(&mut sim);
    let job = sim.job.take().unwrap();
    assert!(job.run(&sim.fs, &wal()).sync.is_ok());
    assert_eq!(unnamed(&sim), 1);
    sim.succeed().unwrap();
    assert_eq!(unnamed(&sim), 0);
    sim.settle();
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, sim.intake.stats().lsn);
}

#[test]
fn old_segments_leave_memory_and_stay_readable() {
    let mut sim = sim(FsyncMode::EverySec);
    for _ in 0..100 {
        sim.append(5);
        sim.step();
        sim.finish_sync();
    }
    let forgotten = sim.fs.forgotten();
    let segments = segment::list(&sim.fs, &wal()).unwrap();
    let paths: Vec<_> = segments.into_iter().map(|(.., path)| path).collect();
    assert!(!forgotten.is_empty(), "{} segments", paths.len());
    assert!(paths.starts_with(&forgotten), "once each, the oldest first");
    let kept = paths.len() - forgotten.len();
    assert!((3..=5).contains(&kept), "some full ones and the open one stay: {kept}");
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, 500);
}
