//! The writer driven by hand: steps, syncs, time and crashes in any order.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::journal::{Journal, JournalError, Lsn, Record, RecordBatch, Release};
use crate::wal::faulty::{FaultyFile, FaultyFs};
use crate::wal::fs::Filesystem;
use crate::wal::intake::Intake;
use crate::wal::pending::Pending;
use crate::wal::replay::{OpenError, ReplayReport, open_on};
use crate::wal::settings::{FsyncMode, Settings};
use crate::wal::writer::{SyncJob, Writer};

pub(super) const DATA: &str = "/data";

pub(super) type Outcomes = Arc<Mutex<BTreeMap<Lsn, Result<(), JournalError>>>>;

/// A parked reply that notes how it was released; twice is an error.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Lsn, pub(super) Outcomes);

impl Release for Reply {
    fn release(self, outcome: Result<(), JournalError>) {
        let before = self.1.lock().unwrap().insert(self.0, outcome);
        assert_eq!(before, None, "released twice");
    }
}

pub(super) struct Sim {
    pub(super) fs: FaultyFs,
    pub(super) intake: Intake<Reply>,
    pub(super) flight: Pending,
    pub(super) writer: Option<Writer<FaultyFs, Reply>>,
    pub(super) job: Option<SyncJob<FaultyFile>>,
    pub(super) now: Instant,
    pub(super) outcomes: Outcomes,
    /// The last LSN of each batch.
    pub(super) batches: Vec<Lsn>,
}

/// Longer values are packed if they can be, and that is every twelfth of all.
pub(super) const PACKED_ABOVE: u64 = 100;

/// The value of the record with this LSN: in every sixth record one byte over and over, in the
/// others nothing that can be packed.
pub(super) fn value(lsn: Lsn) -> Vec<u8> {
    let len = lsn * 37 % 200;
    let step = if lsn.is_multiple_of(6) { 0 } else { 2_654_435_761 };
    (0..len).map(|i| ((lsn << 24).wrapping_add(i * step) >> 24) as u8).collect()
}

/// Replays a file system; the records must be those with LSN 1, 2, 3 and so on.
pub(super) fn replay(fs: &FaultyFs) -> Result<ReplayReport, OpenError> {
    replay_behind(fs, 0)
}

/// Replays a log in which LSNs may stand for nothing: its last LSN, and how many records there are.
pub(super) fn replay_with_voids(fs: &FaultyFs) -> Result<(Lsn, u64), OpenError> {
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5))?;
    let mut before = 0;
    let report = opened.replay(
        0,
        |origin, record| {
            let (key, value) = (origin.lsn.to_string(), value(origin.lsn));
            let due = Record::Set { db: 0, key: key.as_bytes(), value: &value, expires_at: None };
            assert!(origin.lsn > before);
            assert_eq!(record, due, "a wrong record is replayed");
            before = origin.lsn;
        },
        |_| ControlFlow::Continue(()),
    )?;
    Ok((report.last_lsn, report.records))
}

/// [`replay`] from the LSN behind `from` on.
pub(super) fn replay_behind(fs: &FaultyFs, from: Lsn) -> Result<ReplayReport, OpenError> {
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5))?;
    let mut lsn = from;
    let report = opened.replay(
        from,
        |origin, record| {
            lsn += 1;
            let (key, value) = (lsn.to_string(), value(lsn));
            let due = Record::Set { db: 0, key: key.as_bytes(), value: &value, expires_at: None };
            assert_eq!(origin.lsn, lsn);
            assert_eq!(record, due, "a wrong record is replayed");
        },
        |_| std::ops::ControlFlow::Continue(()),
    )?;
    assert_eq!(report.last_lsn, lsn);
    Ok(report)
}

impl Sim {
    pub(super) fn new(fs: FaultyFs, fsync: FsyncMode) -> Self {
        Self::behind(fs, fsync, 0)
    }

    /// Of a log that is replayed from the LSN behind `from` on.
    pub(super) fn behind(fs: FaultyFs, fsync: FsyncMode, from: Lsn) -> Self {
        let last_lsn = replay_behind(&fs, from).unwrap().last_lsn;
        Self::at(fs, fsync, last_lsn)
    }

    /// Of a log that was replayed up to this LSN.
    pub(super) fn at(fs: FaultyFs, fsync: FsyncMode, last_lsn: Lsn) -> Self {
        let settings =
            Settings { fsync, segment_size: 4096, origin: true, compress_above: PACKED_ABOVE };
        let mut sim = Self {
            fs,
            intake: Intake::new(last_lsn, &settings),
            flight: Pending::default(),
            writer: None,
            job: None,
            now: Instant::now(),
            outcomes: Outcomes::default(),
            batches: vec![last_lsn],
        };
        sim.succeed().unwrap();
        sim
    }

    /// Ends the writer wherever it is and lets a successor take its place.
    pub(super) fn succeed(&mut self) -> Result<(), String> {
        self.writer = None;
        if let Some(job) = self.job.take()
            && job.run(&self.fs, &Path::new(DATA).join("wal")).sync.is_err()
        {
            self.intake.taint(job.sequence);
        }
        let writer = Writer::open(
            self.fs.clone(),
            &Path::new(DATA).join("wal"),
            Clock::manual(7),
            self.intake.clone(),
            &mut self.flight,
            self.now,
        );
        self.writer = Some(writer.map_err(|error| error.to_string())?);
        Ok(())
    }

    pub(super) fn append(&mut self, records: u64) -> Lsn {
        let last = self.intake.stats().lsn;
        let mut batch = RecordBatch::new();
        for lsn in last + 1..=last + records {
            let (key, value) = (lsn.to_string(), value(lsn));
            let key = key.as_bytes();
            batch.push(&Record::Set { db: 0, key, value: &value, expires_at: None });
        }
        let reply = Reply(last + records, Arc::clone(&self.outcomes));
        let lsn = self.intake.append(&mut batch, Some(reply));
        assert_eq!(lsn, last + records);
        assert!(batch.is_empty());
        self.batches.push(lsn);
        lsn
    }

    pub(super) fn step(&mut self) {
        if let Some(writer) = &mut self.writer {
            let plan = writer.step(self.now, &mut self.flight);
            plan.forget.iter().for_each(|path| self.fs.forget(path).unwrap());
            if plan.sync.is_some() {
                assert!(self.job.is_none(), "two syncs at once");
                self.job = plan.sync;
            }
        }
    }

    /// A turn on the runtime; where it does not write all, the thread takes a step.
    pub(super) fn turn(&mut self) {
        let done = self.writer.as_mut().is_none_or(|w| w.turn(self.now, &mut self.flight));
        if !done {
            self.step();
        }
    }

    pub(super) fn finish_sync(&mut self) {
        if let Some(job) = self.job.take() {
            let outcome = job.run(&self.fs, &Path::new(DATA).join("wal"));
            if outcome.sync.is_err() {
                self.intake.taint(job.sequence);
            }
            if let Some(writer) = &mut self.writer {
                writer.synced(outcome, self.now);
            }
        }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Lets everything settle that can.
    pub(super) fn settle(&mut self) {
        // Longer than a disk that has just recovered takes to prove good.
        for _ in 0..80 {
            self.step();
            self.finish_sync();
            self.pass(600);
        }
    }

    /// The highest LSN whose reply said OK.
    pub(super) fn acknowledged(&self) -> Lsn {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.iter().filter(|(_, o)| o.is_ok()).map(|(&lsn, _)| lsn).max().unwrap_or(0)
    }

    pub(super) fn outcome(&self, lsn: Lsn) -> Option<Result<(), JournalError>> {
        self.outcomes.lock().unwrap().get(&lsn).cloned()
    }
}
