//! Threads that wait for the log to get somewhere. Callers on the runtime park a reply instead.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{CLOSED, Intake};
use crate::journal::{Journal, JournalError, Lsn, Release};

/// How a wait ended.
enum Waited {
    Reached,
    Closed,
    /// Too late; why the log is blocked, if it is.
    TooLate(Option<std::sync::Arc<str>>),
}

impl<P: Release> Intake<P> {
    /// Has everything up to `lsn` made durable, whatever the fsync mode, and waits for it. Blocks.
    ///
    /// # Errors
    /// The log was closed, or is not there yet `within` this time: the disk is slow, or fails.
    pub fn make_durable(&self, lsn: Lsn, within: Duration) -> Result<(), JournalError> {
        self.shared.sync_wanted.fetch_max(lsn, Ordering::AcqRel);
        self.poke();
        match self.wait_for(|| self.durable() >= lsn, Instant::now() + within) {
            Waited::Reached => Ok(()),
            Waited::Closed => Err(JournalError::Closed),
            Waited::TooLate(blocked) => {
                let why = blocked.as_deref().unwrap_or("the disk is slow");
                let text =
                    format!("the log is not on disk up to LSN {lsn} after {within:?}: {why}");
                Err(JournalError::Failed(text.into()))
            }
        }
    }

    /// Waits until everything up to `lsn` is settled; `false` if that takes longer than `until`,
    /// or the log is closed before. Unlike a parked read it waits through a blocked log, too.
    /// Blocks: call it where blocking is allowed.
    #[must_use]
    pub fn wait_settled(&self, lsn: Lsn, until: Instant) -> bool {
        matches!(self.wait_for(|| self.settled() >= lsn, until), Waited::Reached)
    }

    /// Waits until `reached`, which is asked whenever the log has got further.
    fn wait_for(&self, reached: impl Fn() -> bool, until: Instant) -> Waited {
        let mut queue = self.queue();
        loop {
            if reached() {
                return Waited::Reached;
            }
            if self.shared.gate.load(Ordering::Relaxed) == CLOSED {
                return Waited::Closed;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::TooLate(queue.blocked.clone());
            }
            queue.waiting += 1;
            let woken = self.shared.settling.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            queue.waiting -= 1;
        }
    }
}
