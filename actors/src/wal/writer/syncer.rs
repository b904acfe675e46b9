//! The thread behind the writer: it does what waits for the disk while the writer goes on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::intake::Intake;
use crate::wal::segment::{self, CreateError, SegmentHeader};

/// A sync to run beside the writing; its outcome goes to [`super::Writer::synced`].
#[derive(Debug)]
pub(in crate::wal) struct SyncJob<L> {
    pub(in crate::wal) file: Arc<L>,
    pub(in crate::wal) sequence: u64,
    /// The file's name is to be made durable too.
    pub(super) name: bool,
    /// The segment to prepare when that is done.
    pub(super) next: Option<SegmentHeader>,
}

/// What came of a [`SyncJob`].
#[derive(Debug)]
pub(in crate::wal) struct Synced<L> {
    pub(in crate::wal) sync: io::Result<()>,
    /// The segment that was prepared, if one was to be, and the sync went well.
    pub(super) next: Option<Result<L, CreateError>>,
}

impl<L: LogFile> SyncJob<L> {
    /// Does it. `dir` is where the segments are.
    pub(in crate::wal) fn run<F: Filesystem<File = L>>(&self, fs: &F, dir: &Path) -> Synced<L> {
        let sync = self.sync(fs, dir);
        let next = self.next.as_ref().filter(|_| sync.is_ok());
        Synced { sync, next: next.map(|header| segment::prepare(fs, dir, header, &[])) }
    }

    fn sync<F: Filesystem<File = L>>(&self, fs: &F, dir: &Path) -> io::Result<()> {
        self.file.sync()?;
        if self.name {
            failpoint::hit(Point::SegmentDirSync);
            fs.sync_dir(dir)?;
        }
        Ok(())
    }
}

/// A thread that syncs, one file at a time. Dropping it waits for the sync that runs: whoever
/// opens the log next must know how that ended.
#[derive(Debug)]
pub(super) struct Syncer<L> {
    jobs: Option<Sender<Job<L>>>,
    outcomes: Receiver<Synced<L>>,
    running: bool,
    dead: bool,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is to do.
#[derive(Debug)]
enum Job<L> {
    Sync(SyncJob<L>),
    Forget(PathBuf),
}

impl<L: LogFile> Syncer<L> {
    pub(super) fn spawn<F: Filesystem<File = L>, P: Release>(
        fs: F,
        dir: PathBuf,
        intake: Intake<P>,
    ) -> io::Result<Self> {
        let (jobs, todo) = channel::<Job<L>>();
        let (done, outcomes) = channel();
        let thread = std::thread::Builder::new().name("wal-sync".into()).spawn(move || {
            while let Ok(job) = todo.recv() {
                let job = match job {
                    Job::Sync(job) => job,
                    Job::Forget(path) => {
                        // It may have been deleted by now; nothing but memory is at stake.
                        let _ = fs.forget(&path);
                        continue;
                    }
                };
                failpoint::hit(Point::SyncerSync);
                let outcome = job.run(&fs, &dir);
                if outcome.sync.is_err() {
                    // Before anyone hears of it: the writer may be dead by now.
                    intake.taint(job.sequence);
                }
                failpoint::hit(Point::SyncerSynced);
                let gone = done.send(outcome).is_err();
                intake.poke();
                if gone {
                    break;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), outcomes, running: false, dead: false, thread: Some(thread) })
    }

    /// The writer starts the next only when it has had the outcome of the last.
    pub(super) fn start(&mut self, job: SyncJob<L>) {
        self.running = true;
        self.order(Job::Sync(job));
    }

    /// Gives back what the system holds of a file in memory. The writer asks for it once per
    /// segment, so no more of these wait than segments are made during one sync.
    pub(super) fn forget(&self, path: PathBuf) {
        self.order(Job::Forget(path));
    }

    fn order(&self, job: Job<L>) {
        // A dead thread shows as a failed outcome.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }

    /// Whether nothing will ever be synced here again.
    pub(super) fn has_died(&self) -> bool {
        self.dead
    }

    pub(super) fn outcome(&mut self) -> Option<Synced<L>> {
        if !self.running {
            return None;
        }
        let outcome = match self.outcomes.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                self.dead = true;
                let sync = Err(io::Error::other("the sync thread has died"));
                Synced { sync, next: None }
            }
        };
        self.running = false;
        Some(outcome)
    }
}

impl<L> Drop for Syncer<L> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was an outcome already.
            let _ = thread.join();
        }
    }
}
