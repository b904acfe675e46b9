//! The queue from its other end: what the writer takes, and what it says.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{BLOCKED, CLOSED, FULL, Intake, OPEN, UNREAD};
use crate::failpoint::{self, Point};
use crate::journal::{JournalError, Lsn, Release};
use crate::wal::pending::Pending;
use crate::wal::settings::FsyncMode;

/// How long callers may gather before a frame that is synced on its own, at most: a fraction of
/// what the sync takes.
const GATHER_AT_MOST: Duration = Duration::from_micros(100);
/// Fewer callers than this are all waited for: they are back long before a sync would end.
const FEW: usize = 8;
/// Frames with a single batch after which nobody else is expected any more.
const CROWD_LASTS: u32 = 8;
impl<P: Release> Intake<P> {
    /// The right to be the writer; waits until a predecessor has really ended.
    pub(in crate::wal) fn tenure(&self) -> MutexGuard<'_, ()> {
        self.shared.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known where the log ends.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.shared.gate.load(Ordering::Acquire) != UNREAD
    }

    /// Waits until the log is read and can be written; `false` if `ordered_off` before, which is
    /// asked at every poke.
    pub(in crate::wal) fn wait_begun(&self, ordered_off: impl Fn() -> bool) -> bool {
        let mut queue = self.queue();
        while self.shared.gate.load(Ordering::Relaxed) == UNREAD {
            if ordered_off() {
                return false;
            }
            queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// What is being written.
    pub(in crate::wal) fn seat(&self) -> MutexGuard<'_, Pending> {
        self.shared.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps what waits into the empty `flight`.
    pub(in crate::wal) fn take(&self, flight: &mut Pending) {
        let mut queue = self.queue();
        if std::mem::take(&mut queue.batches) > 1 {
            queue.crowded = CROWD_LASTS;
        } else {
            queue.crowded = queue.crowded.saturating_sub(1);
        }
        std::mem::swap(&mut queue.pending, flight);
        if self.shared.gate.load(Ordering::Relaxed) == FULL {
            self.shared.gate.store(OPEN, Ordering::Release);
        }
    }

    /// Whether records wait in the queue.
    pub(in crate::wal) fn has_pending(&self) -> bool {
        !self.queue().pending.is_empty()
    }

    /// The LSN of the first record that waits in the queue, or will.
    pub(in crate::wal) fn first_waiting(&self) -> Lsn {
        let queue = self.queue();
        queue.pending.peek().map_or(queue.last_lsn + 1, |chunk| chunk.first)
    }

    /// Sleeps until a poke, `until`, or, if `for_work`, records.
    pub(in crate::wal) fn wait(&self, until: Option<Instant>, for_work: bool) {
        let mut queue = self.queue();
        if !queue.pending.is_empty() {
            queue.crowded = CROWD_LASTS;
        }
        loop {
            if std::mem::take(&mut queue.poked) {
                queue.sleeping = false;
                return;
            }
            if for_work && !queue.pending.is_empty() {
                break;
            }
            queue.sleeping = for_work;
            queue = match until {
                None => self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let woken = self.shared.arrived.wait_timeout(queue, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        queue.sleeping = false;
        let gather = queue.crowded > 0 && !queue.pending.is_empty();
        drop(queue);
        // While several callers append, those who are about to go first: one frame, one write and
        // one wake of the runtime for all of them. A caller that appends alone never waits.
        match (gather, self.fsync()) {
            (false, _) => {}
            // Every frame costs a sync here, so it pays to wait for some who were just released.
            (true, FsyncMode::Always) => self.gather(),
            (true, _) => std::thread::yield_now(),
        }
    }

    /// Waits until two thirds as many batches have come as replies went out last, for a short time.
    ///
    /// So callers fall into groups: while one is synced, another gets its replies and comes again.
    /// To wait for all would leave everybody idle in turn; not to wait at all would sync for a few
    /// at a time.
    fn gather(&self) {
        let until = Instant::now() + GATHER_AT_MOST;
        let mut queue = self.queue();
        loop {
            let enough = (queue.released * 2 / 3).max(FEW);
            let left = until.saturating_duration_since(Instant::now());
            if queue.batches >= enough || left.is_zero() {
                break;
            }
            queue.awaited = enough;
            let woken = self.shared.arrived.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.awaited = 0;
    }

    /// Makes the writer look around.
    pub(in crate::wal) fn poke(&self) {
        self.queue().poked = true;
        self.shared.arrived.notify_all();
    }

    /// Publishes what is written and durable, and releases who waited for it.
    pub(in crate::wal) fn publish(&self, written: Lsn, durable: Lsn, due: &mut Vec<P>) {
        self.shared.written.store(written, Ordering::Release);
        self.shared.durable.store(durable, Ordering::Release);
        let settled = if self.fsync() == FsyncMode::Always { durable } else { written };
        let settled = settled.max(self.shared.settled.fetch_max(settled, Ordering::AcqRel));
        if let Some(reached) = self.shared.reached.get() {
            reached.send_if_modified(|reached| {
                let moved = settled > reached.settled;
                reached.settled = reached.settled.max(settled);
                moved
            });
        }
        let mut queue = self.queue();
        let mut released = 0;
        while queue.parked.front().is_some_and(|parked| parked.lsn <= settled) {
            let Some(parked) = queue.parked.pop_front() else { break };
            released += usize::from(parked.write);
            due.push(parked.reply);
        }
        if released > 0 {
            queue.released = released;
        }
        // Whoever missed the store above waits by now: this lock lies between.
        let awaited = queue.waiting > 0;
        drop(queue);
        if awaited {
            self.shared.settling.notify_all();
        }
        failpoint::hit(Point::IntakePublish);
        match &self.shared.runtime {
            // One wake of the runtime for all of them: each release wakes its own task, and that
            // is cheap only from the inside.
            Some(runtime) if due.len() > 1 && Handle::try_current().is_err() => {
                let due = std::mem::take(due);
                runtime.spawn(async move { due.into_iter().for_each(|r| r.release(Ok(()))) });
            }
            _ => due.drain(..).for_each(|reply| reply.release(Ok(()))),
        }
    }

    /// The log cannot be written: refuse writes, tell those who wait, let reads go.
    pub(in crate::wal) fn block(&self, why: &str) {
        let why: Arc<str> = why.into();
        let mut queue = self.queue();
        queue.blocked = Some(Arc::clone(&why));
        if self.shared.gate.load(Ordering::Relaxed) != CLOSED {
            self.shared.gate.store(BLOCKED, Ordering::Release);
        }
        let parked = std::mem::take(&mut queue.parked);
        drop(queue);
        if let Some(trouble) = self.shared.trouble.get() {
            trouble.set(&why);
        }
        for parked in parked {
            parked.reply.release(if parked.write {
                Err(JournalError::Failed(Arc::clone(&why)))
            } else {
                Ok(())
            });
        }
    }

    /// The log can be written again. Returns whether it could not.
    pub(in crate::wal) fn unblock(&self) -> bool {
        if self.shared.gate.load(Ordering::Acquire) != BLOCKED {
            return false;
        }
        let mut queue = self.queue();
        queue.blocked = None;
        self.shared.gate.store(OPEN, Ordering::Release);
        drop(queue);
        if let Some(trouble) = self.shared.trouble.get() {
            trouble.clear();
        }
        true
    }
}
