//! The log's files are removed while it is being written: it begins anew, and loses nothing.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::sim::{DATA, Sim};
use crate::clock::Clock;
use crate::journal::{Journal, JournalError, Lsn, Record, RecordBatch};
use crate::wal::faulty::FaultyFs;
use crate::wal::replay::{OpenError, open_on};
use crate::wal::settings::FsyncMode;
use crate::wal::{DataDir, Snapshots};

/// Schedules that are tried; thousands were.
const SEEDS: u64 = 150;

/// A log, whoever takes its snapshots, and what keeps its directory.
struct Kept {
    sim: Sim,
    snapshots: Snapshots<FaultyFs>,
    _data: TempDir,
}

impl Kept {
    fn new(fsync: FsyncMode) -> Self {
        let fs = FaultyFs::default();
        let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap();
        opened.replay(0, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
        let sim = Sim::at(fs, fsync, 0);
        let data = tempfile::tempdir().unwrap();
        sim.intake.keep(Arc::new(DataDir::lock(data.path()).unwrap()));
        Self { sim, snapshots: opened.snapshots(), _data: data }
    }

    fn remove(&self, what: &str) {
        self.sim.fs.remove_all(&Path::new(DATA).join(what));
    }

    /// Time passes until the next look, and the next try.
    fn wait(&mut self) {
        for _ in 0..3 {
            self.sim.pass(1000);
            self.sim.step();
            self.sim.finish_sync();
        }
    }

    /// Takes the snapshot that is wanted, if one is.
    fn base(&mut self) -> bool {
        let Some(base) = self.sim.intake.base_wanted() else { return false };
        let lsn = self.sim.intake.stats().lsn;
        let Ok(mut writer) = self.snapshots.create(lsn) else { return false };
        let mut batch = RecordBatch::new();
        batch.push(&Record::Set { db: 0, key: b"k", value: b"v", expires_at: None });
        writer.append(&batch, 0).unwrap();
        writer.finish(lsn).unwrap();
        // Asked for, and not waited for: time passes by hand here.
        let _ = self.sim.intake.make_durable(lsn, Duration::ZERO);
        self.wait();
        if self.sim.intake.base_wanted() != Some(base) || self.sim.intake.durable() < lsn {
            writer.discard();
            return false;
        }
        writer.publish_as(base).unwrap();
        self.sim.intake.based(base);
        self.sim.step();
        true
    }
}

/// What a start makes of it: up to where the snapshot and the log behind it stand for everything.
fn start(fs: &FaultyFs) -> Result<Lsn, OpenError> {
    let mut opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(6))?;
    let newest = opened
        .snapshots()
        .load_newest(|_, _| (), |(), _| {}, |_| ControlFlow::Continue(()), |_, _| {})
        .unwrap();
    let loaded = newest.map(|((), loaded)| loaded);
    opened.prove(loaded.map_or(0, |loaded| loaded.end));
    let mut lsn = loaded.map_or(0, |loaded| loaded.begin);
    let report = opened.replay(
        lsn,
        |origin, _| {
            assert_eq!(origin.lsn, lsn + 1);
            lsn += 1;
        },
        |_| ControlFlow::Continue(()),
    )?;
    assert_eq!(report.last_lsn, lsn);
    Ok(lsn)
}

fn refused(kept: &Kept) -> bool {
    matches!(kept.sim.intake.writable(), Err(JournalError::Failed(_)))
}

#[test]
fn a_log_that_was_removed_goes_on_in_new_files_once_a_snapshot_stands_for_the_old() {
    for (mode, what) in [(FsyncMode::Always, "wal"), (FsyncMode::EverySec, "")] {
        let mut kept = Kept::new(mode);
        for _ in 0..40 {
            kept.sim.append(5);
            kept.sim.step();
        }
        kept.remove(what);
        let unseen = kept.sim.append(1);
        kept.sim.step();
        assert_eq!(kept.sim.outcome(unseen), Some(Ok(())), "the look is not due");
        kept.sim.pass(1000);
        let seen = kept.sim.append(1);
        kept.sim.step();
        assert!(matches!(kept.sim.outcome(seen), Some(Err(JournalError::Failed(_)))));
        assert_eq!(kept.sim.intake.base_wanted(), None, "it may be put back");
        assert!(kept.sim.intake.stats().baseless);
        kept.wait();
        assert!(kept.sim.intake.base_wanted().is_some());
        assert!(refused(&kept), "nothing stands for what was removed");
        assert!(start(&kept.sim.fs.after_crash(None)).is_err(), "and a start says so");
        assert!(kept.base());
        assert_eq!(kept.sim.intake.writable(), Ok(()));
        assert!(!kept.sim.intake.stats().baseless);
        let late = kept.sim.append(1);
        kept.sim.step();
        assert_eq!(kept.sim.outcome(late), Some(Ok(())));
        assert_eq!(start(&kept.sim.fs.after_crash(None)).unwrap(), late);
    }
}

#[test]
fn files_that_are_put_back_at_once_are_gone_on_with() {
    let mut kept = Kept::new(FsyncMode::Always);
    let lsn = kept.sim.append(3);
    kept.sim.step();
    let (name, away) = (Path::new(DATA).join("wal"), Path::new(DATA).join("away"));
    kept.sim.fs.rename_all(&name, &away);
    kept.sim.pass(1000);
    kept.sim.step();
    assert!(refused(&kept));
    kept.sim.fs.rename_all(&away, &name);
    kept.wait();
    assert_eq!(kept.sim.intake.writable(), Ok(()));
    assert_eq!((kept.sim.intake.base_wanted(), kept.sim.intake.stats().baseless), (None, false));
    assert_eq!(start(&kept.sim.fs.after_crash(None)).unwrap(), lsn);
}

#[test]
fn without_anybody_to_take_a_snapshot_it_is_not_begun_anew() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::Always);
    sim.append(3);
    sim.step();
    sim.fs.remove_all(&Path::new(DATA).join("wal"));
    sim.pass(1000);
    sim.settle();
    assert!(sim.intake.writable().is_err());
    assert!(!sim.fs.has_any(&Path::new(DATA).join("wal")));
    assert!(sim.succeed().is_err());
}

#[test]
fn segments_of_another_log_are_not_written_over() {
    let mut kept = Kept::new(FsyncMode::Always);
    kept.sim.append(3);
    kept.sim.step();
    kept.remove("wal");
    let theirs = Path::new(DATA).join(format!("wal/{:020}-{:020}.wal", 2, 4));
    kept.sim.fs.set_content(&theirs, b"theirs");
    kept.wait();
    assert!(refused(&kept) && kept.sim.intake.base_wanted().is_none());
    assert_eq!(kept.sim.fs.content(&theirs), b"theirs");
    let why = kept.sim.intake.writable().unwrap_err().to_string();
    assert!(why.contains("is not of this log"), "{why}");
}

/// Removals, ends of the writer and snapshots in any order; a kill at any moment.
#[test]
fn however_often_it_is_removed_a_start_has_everything_or_is_refused() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mode = [FsyncMode::Always, FsyncMode::EverySec, FsyncMode::No][seed as usize % 3];
        let mut kept = Kept::new(mode);
        for _ in 0..rng.random_range(10..80) {
            match rng.random_range(0..20) {
                0..6 if kept.sim.intake.writable().is_ok() => {
                    kept.sim.append(rng.random_range(1..8));
                }
                // Evictions and expiries are logged whatever the log says.
                6 => {
                    kept.sim.append(1);
                }
                7..12 => kept.sim.step(),
                12..14 => kept.sim.pass(rng.random_range(1..700)),
                14 => kept.sim.finish_sync(),
                15 => kept.remove(["wal", "wal", ""][rng.random_range(0..3)]),
                16 => kept.sim.succeed().unwrap(),
                17..19 => {
                    kept.base();
                }
                _ => kept.wait(),
            }
        }
        let acknowledged = kept.sim.acknowledged();
        let left = kept.sim.fs.after_crash(None);
        if left.has_any(Path::new(DATA))
            && let Ok(lsn) = start(&left)
        {
            assert!(lsn >= acknowledged, "{lsn} {acknowledged}");
        }
        for _ in 0..4 {
            kept.wait();
            kept.base();
        }
        assert_eq!(kept.sim.intake.writable(), Ok(()));
        let last = kept.sim.append(1);
        kept.sim.settle();
        assert_eq!(kept.sim.outcome(last), Some(Ok(())));
        assert_eq!(start(&kept.sim.fs.after_crash(None)).unwrap(), last);
    }
}
