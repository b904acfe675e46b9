//! What a shard executes, what becomes of it, and how it waits for the log.

use tokio::sync::oneshot;

use crate::cache::audience::Audience;
use crate::cache::store::Store;
use crate::clock::UnixMs;
use crate::journal::{Author, JournalError, Lsn, Release};

/// A batch of commands for one shard.
pub trait Job: Send + 'static {
    /// Runs the batch. `writable` is `Err` while the log takes no writes: the job MUST refuse
    /// its writes then, and may read. What the store tells of its keys goes to `audience`, command
    /// by command; what is left of it is passed on when the batch is done.
    fn run(
        &mut self,
        store: &mut Store,
        now: UnixMs,
        writable: &Result<(), JournalError>,
        audience: &dyn Audience,
    );

    /// Whether its replies promise something that has to survive a crash: also that what was to go
    /// was not there.
    fn promises(&self) -> bool {
        false
    }

    /// What it changed has LSNs up to this one. Not called if it changed nothing.
    fn logged(&mut self, _lsn: Lsn) {}

    /// Whose batch it is, for the log.
    fn author(&self) -> Option<&Author> {
        None
    }
}

/// A job travels through a mailbox and back by moves: boxed, those are of one word.
impl<J: Job> Job for Box<J> {
    fn run(
        &mut self,
        store: &mut Store,
        now: UnixMs,
        writable: &Result<(), JournalError>,
        audience: &dyn Audience,
    ) {
        (**self).run(store, now, writable, audience);
    }

    fn promises(&self) -> bool {
        (**self).promises()
    }

    fn logged(&mut self, lsn: Lsn) {
        (**self).logged(lsn);
    }

    fn author(&self) -> Option<&Author> {
        (**self).author()
    }
}

/// What became of a job. The job comes back with its replies.
#[derive(Debug)]
pub enum Outcome<J> {
    /// Executed, and settled in the log.
    Done(J),
    /// Executed in memory, but the log failed: its writes may not survive a restart.
    Failed(J, JournalError),
    /// Not executed: the shard is being rebuilt.
    Loading(J),
}

/// A finished job that waits for the log.
#[derive(Debug)]
pub struct Parked<J> {
    job: J,
    reply: oneshot::Sender<Outcome<J>>,
}

impl<J> Parked<J> {
    /// A finished job and who waits for it.
    pub fn new(job: J, reply: oneshot::Sender<Outcome<J>>) -> Self {
        Self { job, reply }
    }
}

impl<J: Job> Release for Parked<J> {
    fn release(self, outcome: Result<(), JournalError>) {
        let outcome = match outcome {
            Ok(()) => Outcome::Done(self.job),
            Err(error) => Outcome::Failed(self.job, error),
        };
        // The client may have gone away meanwhile; its replies go with it.
        let _ = self.reply.send(outcome);
    }

    fn logged(&mut self, lsn: Lsn) {
        self.job.logged(lsn);
    }

    fn author(&self) -> Option<&Author> {
        self.job.author()
    }
}
