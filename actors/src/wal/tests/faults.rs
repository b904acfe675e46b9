//! One named test for every way in which the disk fails, and for what heals it.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::time::Duration;

use crate::journal::{Journal, JournalError};
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::fs::Filesystem;
use crate::wal::settings::{FsyncMode, Settings};

use super::sim::{Reply, Sim, replay};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn sim(fsync: FsyncMode) -> Sim {
    Sim::new(FaultyFs::default(), fsync)
}

fn failed(outcome: Option<Result<(), JournalError>>) -> bool {
    matches!(outcome, Some(Err(JournalError::Failed(_))))
}

#[test]
fn always_says_ok_only_when_durable() {
    let mut sim = sim(FsyncMode::Always);
    let lsn = sim.append(2);
    assert_eq!(sim.outcome(lsn), None);
    sim.step();
    assert_eq!((sim.outcome(lsn), sim.intake.durable()), (Some(Ok(())), lsn));
}

#[test]
fn everysec_says_ok_when_written_and_is_durable_a_second_later() {
    let mut sim = sim(FsyncMode::EverySec);
    let lsn = sim.append(2);
    sim.step();
    assert_eq!((sim.outcome(lsn), sim.intake.durable()), (Some(Ok(())), 0));
    sim.pass(1000);
    sim.step();
    sim.finish_sync();
    assert_eq!(sim.intake.durable(), lsn);
}

#[test]
fn a_slow_sync_stops_the_writing_so_that_two_seconds_are_at_risk_at_most() {
    let mut sim = sim(FsyncMode::EverySec);
    sim.append(1);
    sim.pass(1000);
    sim.step();
    assert!(sim.job.is_some());
    let during = sim.append(1);
    sim.pass(900);
    sim.step();
    assert_eq!(sim.outcome(during), Some(Ok(())), "a sync does not stall the writing");
    let late = sim.append(1);
    sim.pass(200);
    sim.step();
    assert_eq!((sim.outcome(late), sim.intake.stats().slow_syncs), (None, 1));
    sim.finish_sync();
    sim.step();
    assert_eq!(sim.outcome(late), Some(Ok(())));
}

#[test]
fn what_arrives_together_is_one_frame_and_one_sync() {
    let mut sim = sim(FsyncMode::Always);
    let before = sim.intake.stats();
    for _ in 0..3 {
        sim.append(1);
    }
    sim.step();
    let after = sim.intake.stats();
    assert_eq!((after.frames - before.frames, after.syncs - before.syncs), (1, 1));
}

#[test]
fn a_full_disk_refuses_writes_lets_reads_go_and_heals_by_itself() {
    let mut sim = sim(FsyncMode::EverySec);
    sim.append(1);
    sim.step();
    sim.fs.set_capacity(Some(sim.fs.used() + 10));
    let lost = sim.append(5);
    sim.intake.park(lost, Reply(1000, std::sync::Arc::clone(&sim.outcomes)));
    sim.step();
    assert!(failed(sim.outcome(lost)), "outcome unknown, never OK");
    assert_eq!(sim.outcome(1000), Some(Ok(())), "a read is not held");
    assert!(sim.intake.writable().unwrap_err().to_string().contains("cannot write the log"));
    // The race of a caller that had asked before: kept, and told the truth.
    let raced = sim.append(1);
    assert!(failed(sim.outcome(raced)));
    sim.fs.set_capacity(None);
    sim.step();
    assert!(sim.intake.writable().is_err(), "the next try is not due");
    sim.pass(500);
    sim.step();
    sim.step();
    assert_eq!(sim.intake.writable(), Ok(()));
    assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, raced);
}

#[test]
fn after_a_failed_sync_the_file_is_left_alone_and_its_frames_written_again() {
    for mode in [FsyncMode::Always, FsyncMode::EverySec] {
        let mut sim = sim(mode);
        let lsn = sim.append(3);
        if mode == FsyncMode::EverySec {
            sim.step();
        }
        sim.fs.fail_next(Call::Sync, EIO);
        sim.step();
        if mode == FsyncMode::EverySec {
            sim.pass(1000);
            sim.step();
            sim.finish_sync();
        }
        assert!(sim.intake.writable().is_err());
        assert_eq!(failed(sim.outcome(lsn)), mode == FsyncMode::Always);
        sim.settle();
        assert_eq!((sim.intake.writable(), sim.intake.durable()), (Ok(()), lsn));
        assert!(!sim.fs.was_resynced());
        assert_eq!(sim.intake.stats().segment, 2);
        assert_eq!(replay(&sim.fs).unwrap().last_lsn, lsn);
    }
}

/// Steps every half second; the seconds until the log can be written, 100 at most.
fn heals_within(sim: &mut Sim) -> f64 {
    let begin = sim.now;
    while sim.intake.writable().is_err() && sim.now.duration_since(begin).as_secs() < 100 {
        sim.pass(500);
        sim.step();
    }
    sim.now.duration_since(begin).as_secs_f64()
}

#[test]
fn after_three_failed_syncs_the_log_stays_read_only_until_the_disk_proves_good() {
    let mut sim = sim(FsyncMode::Always);
    let lsn = sim.append(3);
    // The segment's own sync, then those of two segments that should take its place.
    sim.fs.fail_always(Call::Sync, EIO);
    sim.step();
    assert!(sim.intake.writable().unwrap_err().to_string().contains("tried again every 500 ms"));
    sim.pass(1000);
    sim.step();
    sim.pass(1000);
    sim.step();
    let why = sim.intake.writable().unwrap_err().to_string();
    assert!(why.contains("the disk is not trusted"), "{why}");
    assert_eq!(sim.intake.stats().sync_errors, 3);
    assert!(heals_within(&mut sim) >= 100.0);
    assert_eq!(sim.intake.stats().sync_errors, 3, "the log itself is not tried");
    sim.fs.fail_nothing();
    let took = heals_within(&mut sim);
    assert!((2.0..33.0).contains(&took), "three probes prove it good, not one: {took}");
    sim.settle();
    assert!(failed(sim.outcome(lsn)), "it waited, and was told that the outcome is unknown");
    assert_eq!((sim.intake.writable(), sim.intake.durable()), (Ok(()), lsn));
    assert!(!sim.fs.was_resynced());
    assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, lsn);
}

#[test]
fn syncs_of_the_directory_count_like_those_of_files() {
    let mut sim = sim(FsyncMode::Always);
    sim.fs.fail_next(Call::Sync, EIO);
    sim.append(1);
    sim.step();
    sim.fs.fail_always(Call::SyncDir, EIO);
    heals_within(&mut sim);
    assert_eq!(sim.intake.stats().sync_errors, 3);
    let why = sim.intake.writable().unwrap_err().to_string();
    assert!(why.contains("the disk is not trusted"), "{why}");
    sim.fs.fail_nothing();
    sim.settle();
    assert_eq!((sim.intake.writable(), sim.intake.durable()), (Ok(()), 1));
}

#[test]
fn syncs_that_fail_for_want_of_space_do_not_cost_the_trust() {
    let mut sim = sim(FsyncMode::Always);
    let lsn = sim.append(1);
    sim.fs.fail_always(Call::Sync, ENOSPC);
    sim.step();
    assert!(heals_within(&mut sim) >= 100.0);
    sim.fs.fail_nothing();
    assert!(heals_within(&mut sim) <= 2.0, "space is all it takes");
    assert_eq!(sim.intake.durable(), lsn);
    assert!(!sim.fs.was_resynced());
}

#[test]
fn a_failed_sync_is_remembered_beyond_the_writers_death() {
    let mut sim = sim(FsyncMode::EverySec);
    let lsn = sim.append(3);
    sim.step();
    sim.pass(1000);
    sim.step();
    sim.fs.fail_next(Call::Sync, EIO);
    sim.succeed().unwrap();
    sim.settle();
    assert!(!sim.fs.was_resynced());
    assert_eq!(sim.intake.durable(), lsn);
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, lsn);
}

#[test]
fn a_writer_that_dies_loses_nothing_and_writes_nothing_twice() {
    let mut sim = sim(FsyncMode::EverySec);
    sim.append(2);
    sim.step();
    let waiting = sim.append(3);
    sim.succeed().unwrap();
    assert_eq!(sim.outcome(waiting), None, "its reply just waits");
    sim.step();
    assert_eq!(sim.outcome(waiting), Some(Ok(())));
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, waiting);
}

/// Found by the crash test: a seal before a rotation was read as superseded, and the next
/// segment seemed to continue something else.
#[test]
fn a_seal_at_the_end_of_a_segment_belongs_to_it() {
    let mut sim = sim(FsyncMode::Always);
    sim.append(1);
    sim.step();
    sim.pass(1000);
    sim.step();
    sim.fs.fail_next(Call::Sync, EIO);
    sim.append(1);
    sim.step();
    sim.succeed().unwrap();
    sim.settle();
    assert_eq!(replay(&sim.fs).unwrap().last_lsn, 2);
}

#[test]
fn who_needs_the_disk_gets_a_sync_even_where_none_is_due() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::No);
    let lsn = sim.append(3);
    sim.step();
    assert!(sim.job.is_none(), "nobody needs it");
    assert!(sim.intake.make_durable(lsn, Duration::ZERO).is_err(), "not yet");
    sim.step();
    sim.finish_sync();
    assert_eq!(sim.intake.make_durable(lsn, Duration::ZERO), Ok(()));
    sim.append(1);
    sim.step();
    assert!(sim.job.is_none(), "the wish is fulfilled");
}

#[test]
fn a_turn_leaves_everything_that_may_wait_for_the_disk_to_the_thread() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
    let turn = |sim: &mut Sim| sim.writer.as_mut().unwrap().turn(sim.now, &mut sim.flight);
    let first = sim.append(1);
    assert!(turn(&mut sim), "a small write on a quiet log");
    assert_eq!(sim.outcome(first), Some(Ok(())));
    sim.pass(1001);
    sim.append(1);
    assert!(!turn(&mut sim), "a sync is due");
    sim.step();
    sim.append(1);
    assert!(sim.job.is_some() && !turn(&mut sim), "a sync is under way");
    sim.finish_sync();
    assert!(turn(&mut sim), "the sync has ended");
    sim.fs.fail_next(Call::Write, 5);
    let lost = sim.append(1);
    assert!(!turn(&mut sim), "the write has failed");
    assert!(matches!(sim.outcome(lost), Some(Err(_))), "nobody is told OK");
    assert!(!turn(&mut sim), "the thread has to begin a new segment");
    sim.intake.configure(&Settings {
        fsync: FsyncMode::Always,
        segment_size: 4096,
        origin: true,
        compress_above: 0,
    });
    sim.settle();
    sim.append(1);
    assert!(!turn(&mut sim), "every frame needs a sync");
}

/// It went on into a file without a name until the next segment was due.
#[test]
fn a_segment_that_loses_its_name_is_noticed_within_a_second_and_taken_up_when_it_is_back() {
    let mut sim = sim(FsyncMode::EverySec);
    let early = sim.append(1);
    sim.step();
    assert_eq!(sim.outcome(early), Some(Ok(())));
    let wal = std::path::Path::new(super::sim::DATA).join("wal");
    let (_, _, named) = crate::wal::segment::list(&sim.fs, &wal).unwrap().remove(0);
    let away = named.with_extension("away");
    sim.fs.rename(&named, &away).unwrap();
    sim.pass(1000);
    sim.step();
    assert!(sim.intake.writable().is_err(), "noticed without a write");
    sim.finish_sync();
    let late = sim.append(1);
    assert!(failed(sim.outcome(late)), "its outcome is unknown");
    // Another file under the name is not the one.
    sim.fs.set_content(&named, b"something else");
    sim.pass(500);
    sim.step();
    assert!(sim.intake.writable().is_err());
    sim.fs.rename(&away, &named).unwrap();
    sim.pass(500);
    sim.step();
    assert_eq!(sim.intake.writable(), Ok(()));
    assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, late);
}
