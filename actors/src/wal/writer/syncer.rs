//! The thread behind the writer: it does what waits for the disk while the writer goes on.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use super::SyncJob;
use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::intake::Intake;

/// A thread that syncs, one file at a time. Dropping it waits for the sync that runs: whoever
/// opens the log next must know how that ended.
#[derive(Debug)]
pub(super) struct Syncer<L> {
    jobs: Option<Sender<Job<L>>>,
    outcomes: Receiver<io::Result<()>>,
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
                let outcome = job.file.sync();
                if outcome.is_err() {
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

    pub(super) fn outcome(&mut self) -> Option<io::Result<()>> {
        if !self.running {
            return None;
        }
        let outcome = match self.outcomes.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                self.dead = true;
                Err(io::Error::other("the sync thread has died"))
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
