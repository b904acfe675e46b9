//! A removal that is broken off at any call loses nothing that counts.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::ControlFlow;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::sim::{DATA, Sim};
use crate::clock::Clock;
use crate::journal::{Lsn, Record, RecordBatch};
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::fs::Filesystem;
use crate::wal::manifest::PATHS;
use crate::wal::replay::{Opened, open_on, segments_dir};
use crate::wal::settings::FsyncMode;
use crate::wal::{Removal, Retention, Snapshots, segment};

fn opened(fs: &FaultyFs) -> Opened<FaultyFs> {
    open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap()
}

fn take(snapshots: &Snapshots<FaultyFs>, begin: Lsn) {
    let mut writer = snapshots.create(begin).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(&Record::Set { db: 0, key: b"k", value: &begin.to_le_bytes(), expires_at: None });
    writer.append(&batch, 0).unwrap();
    writer.finish(begin).unwrap();
    writer.publish().unwrap();
}

/// A log of 200 records in several segments, and snapshots.
fn log(begins: &[Lsn]) -> FaultyFs {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::Always);
    for _ in 0..40 {
        sim.append(5);
        sim.step();
    }
    let fs = sim.fs.after_crash(None);
    let opened = opened(&fs);
    opened.replay(0, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
    begins.iter().for_each(|begin| take(&opened.snapshots(), *begin));
    fs
}

/// Loads the newest snapshot that can be and replays what is behind it: where that begins.
fn start(fs: &FaultyFs) -> Lsn {
    let mut opened = opened(fs);
    let newest = opened
        .snapshots()
        .load_newest(|_, _| (), |(), _| {}, |_| ControlFlow::Continue(()), |_, _| {})
        .unwrap();
    let ((), loaded) = newest.expect("a snapshot");
    let mut due = loaded.begin + 1;
    let visit = |origin: crate::wal::Origin, _: Record<'_>| {
        assert_eq!(origin.lsn, due);
        due += 1;
    };
    opened.prove(loaded.end);
    opened.replay(loaded.begin, visit, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(due, 201);
    loaded.begin
}

/// The removal of all that a snapshot stands for.
fn up_to(retention: &mut Retention<FaultyFs>, begin: Lsn) -> Removal {
    let survey = retention.survey(200).unwrap();
    let after = survey.segments.iter().rfind(|segment| segment.first_lsn <= begin + 1).unwrap();
    let old = survey.snapshots.iter().map(|one| one.begin).filter(|one| *one < begin).collect();
    Removal { first: Some(after.sequence), snapshots: old, left_over: false }
}

#[test]
fn what_is_to_go_goes_and_the_log_begins_later() {
    let fs = log(&[20, 90, 150]);
    let mut retention = opened(&fs).snapshots().retention();
    let before = retention.survey(200).unwrap();
    assert_eq!((before.snapshots.len(), before.unlisted.len()), (3, 0));
    let removal = up_to(&mut retention, 90);
    let removed = retention.remove(&removal).unwrap();
    assert!(removed.segments > 0 && removed.bytes > 0);
    assert_eq!((removed.snapshots, removed.held_up), (1, false));
    let after = retention.survey(200).unwrap();
    assert_eq!(after.bytes() + removed.bytes, before.bytes());
    assert!(after.segments[0].first_lsn > 1 && after.segments[0].first_lsn <= 91);
    assert_eq!((after.snapshots.len(), after.left_over), (2, 0));
    assert_eq!(start(&fs), 150);
    // The newest damaged: the one before, and its log, are there.
    fs.set_content(&Path::new(DATA).join(format!("snap/{:020}.snap", 150)), b"nothing");
    assert_eq!(start(&fs), 90);
}

#[test]
fn broken_off_anywhere_it_loses_nothing_and_the_next_one_ends_it() {
    let mut rng = SmallRng::seed_from_u64(3);
    let whole = log(&[20, 90, 150]);
    let mut broken_off = 0;
    for calls in 1..60 {
        let fs = whole.after_crash(None);
        let mut retention = opened(&fs).snapshots().retention();
        let removal = up_to(&mut retention, 90);
        fs.kill_after(calls);
        broken_off += u32::from(retention.remove(&removal).is_err());
        let fs = fs.after_crash(rng.random::<bool>().then_some(&mut rng));
        assert_eq!(start(&fs), 150, "dead after {calls} calls");
        let again = fs.after_crash(None);
        again.set_content(&Path::new(DATA).join(format!("snap/{:020}.snap", 150)), b"nothing");
        assert_eq!(start(&again), 90, "dead after {calls} calls");
        let mut retention = opened(&fs).snapshots().retention();
        let removal = up_to(&mut retention, 90);
        retention.remove(&removal).unwrap();
        assert_eq!(start(&fs), 150);
    }
    assert!(broken_off > 10, "{broken_off}");
}

#[test]
fn one_lost_copy_of_the_manifest_does_not_bring_back_the_old_floor() {
    for lost in PATHS {
        let fs = log(&[90, 150]);
        let mut retention = opened(&fs).snapshots().retention();
        let removal = up_to(&mut retention, 90);
        retention.remove(&removal).unwrap();
        fs.set_content(&Path::new(DATA).join(lost), b"");
        assert_eq!(start(&fs), 150);
    }
}

#[test]
fn what_a_reader_holds_stays() {
    let fs = log(&[90, 150]);
    let snapshots = opened(&fs).snapshots();
    let mut retention = snapshots.retention();
    let removal = up_to(&mut retention, 90);
    let hold = snapshots.holds().take("a reader", 10).unwrap();
    let removed = retention.remove(&removal).unwrap();
    assert_eq!((removed.segments, removed.held_up), (0, true));
    drop(hold);
    assert!(retention.remove(&removal).unwrap().segments > 0);
    assert!(snapshots.holds().take("a reader", 10).is_err());
}

#[test]
fn a_disk_that_fails_leaves_something_over_and_nothing_lost() {
    for (call, errno) in [(Call::Create, 28), (Call::Sync, 5), (Call::Rename, 5), (Call::Other, 5)]
    {
        let fs = log(&[90, 150]);
        let snapshots = opened(&fs).snapshots();
        let mut retention = snapshots.retention();
        let removal = up_to(&mut retention, 90);
        fs.fail_always(call, errno);
        assert!(retention.remove(&removal).is_err(), "{call:?}");
        fs.fail_nothing();
        assert_eq!(start(&fs.after_crash(None)), 150);
        retention.survey(200).unwrap();
        let removal = Removal { left_over: true, ..removal };
        retention.remove(&removal).unwrap();
        assert_eq!(retention.survey(200).unwrap().left_over, 0);
        assert_eq!(start(&fs), 150);
    }
}

#[test]
fn a_new_segment_is_written_down_so_that_its_loss_is_noticed() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::Always);
    let opened = opened(&sim.fs);
    let mut retention = opened.snapshots().retention();
    for _ in 0..40 {
        sim.append(5);
        sim.step();
    }
    retention.survey(sim.intake.durable()).unwrap();
    let fs = sim.fs.after_crash(None);
    let (_, _, last) = segment::list(&fs, &segments_dir(Path::new(DATA))).unwrap().pop().unwrap();
    fs.remove(&last).unwrap();
    assert!(open_on(fs, Path::new(DATA), Clock::manual(5)).is_err());
}
