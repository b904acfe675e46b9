//! Where the cache leaves its batches: a queue that outlives the writer behind it.
//!
//! `append` gives LSNs under one lock, so the order of the queue is the order of the log, and a
//! batch over several shards needs nothing special. The writer takes the whole queue by swapping
//! buffers into its *seat*, which belongs to the intake too: records leave it only when they are
//! written. A writer that dies leaves everything where it was, and its successor goes on from
//! the last frame it finds on disk.
//!
//! Who writes? The writer's thread, or, for a little that is sure to be quick, a *turn* on the
//! runtime: a task that lets every caller who is about to append go first, writes for all of
//! them and releases their replies where they are waited for. No thread has to be woken.

mod waiting;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::pending::Pending;
use super::settings::{FsyncMode, MAX_PENDING, Settings};
use super::stats::{Counters, Stats};
use crate::failpoint::{self, Point};
use crate::journal::{Credits, Journal, JournalError, Lsn, RecordBatch, Release};

/// The log takes records.
const OPEN: u8 = 0;
/// More than [`MAX_PENDING`] waits for the writer.
const FULL: u8 = 1;
/// The log cannot be written.
const BLOCKED: u8 = 2;
/// The log was closed.
const CLOSED: u8 = 3;
/// The log is still being read: nobody knows its last LSN.
const UNREAD: u8 = 4;

/// The log's entrance. Cheap to clone; created once, at boot.
#[derive(Debug)]
pub struct Intake<P: Release> {
    shared: Arc<Shared<P>>,
}

impl<P: Release> Clone for Intake<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// How long callers may gather before a frame that is synced on its own, at most: a fraction of
/// what the sync takes.
const GATHER_AT_MOST: Duration = Duration::from_micros(100);
/// Fewer callers than this are all waited for: they are back long before a sync would end.
const FEW: usize = 8;
/// Frames with a single batch after which nobody else is expected any more.
const CROWD_LASTS: u32 = 8;
/// More than this is written by the writer's thread: the runtime has better things to do.
pub(super) const TURN_MAX: usize = 16 << 10;
/// Turns that one task may take while records keep coming.
const TURNS_IN_A_ROW: u32 = 4;

/// Writes in place of the writer's thread.
pub(super) trait Turn: Send + Sync {
    /// Writes what has arrived. False if the thread has to go on: it is at it, or something
    /// else than a quick write is due.
    fn take_turn(&self) -> bool;
}

struct Shared<P> {
    queue: Mutex<Queue<P>>,
    arrived: Condvar,
    /// `settled` or `durable` has moved, or the log was closed.
    settling: Condvar,
    /// Up to here the log is to be made durable soon, whatever the mode.
    sync_wanted: AtomicU64,
    /// Where replies are released; `None` outside of a runtime.
    runtime: Option<Handle>,
    /// Held by the writer's thread for its whole life: there is one writer.
    tenure: Mutex<()>,
    /// What is being written.
    seat: Mutex<Pending>,
    /// The way to write without the writer's thread, while there is one.
    turn: Mutex<Option<Arc<dyn Turn>>>,
    /// `OPEN` and the others; changes under the queue's lock, is read without.
    gate: AtomicU8,
    settled: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    fsync: AtomicU8,
    segment_size: AtomicU64,
    /// Whether the log says who wrote.
    origin: AtomicBool,
    compress_above: AtomicU64,
    /// The segment whose sync failed, which must not be synced again; 0 for none.
    tainted: AtomicU64,
    counters: Counters,
}

impl<P> std::fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settled", &self.settled).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Queue<P> {
    pending: Pending,
    last_lsn: Lsn,
    credits: Credits,
    /// Room for the notes of one batch.
    notes: RecordBatch,
    /// Sorted by LSN.
    parked: VecDeque<Parked<P>>,
    /// Why the log cannot be written.
    blocked: Option<Arc<str>>,
    /// Nobody has been told yet that records wait.
    sleeping: bool,
    /// A turn is on its way.
    turning: bool,
    /// Batches that wait.
    batches: usize,
    /// When there are so many of them, a gathering writer goes on; 0: none is.
    awaited: usize,
    /// Writes whose replies went out last.
    released: usize,
    /// Above 0: several callers append at a time, and it pays to wait for their company. Counts
    /// down with every frame that brought only one batch.
    crowded: u32,
    /// The writer is to look around, records or not.
    poked: bool,
    /// Threads that wait for the log to get somewhere: a notice to nobody is a system call all the same.
    waiting: u32,
}

#[derive(Debug)]
struct Parked<P> {
    lsn: Lsn,
    /// Its own records wait, not only what it has read.
    write: bool,
    reply: P,
}

/// A turn that is being taken. If it panics, the thread goes on in its place: nobody else
/// would be woken, for the queue believes that a turn is on its way.
struct Unfinished<'a, P: Release>(&'a Intake<P>);

impl<P: Release> Drop for Unfinished<'_, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.leave_to_thread();
        }
    }
}

impl<P: Release> Intake<P> {
    /// An intake that goes on behind `last_lsn`, which replay found; all before it is durable.
    #[must_use]
    pub fn new(last_lsn: Lsn, settings: &Settings) -> Self {
        let intake = Self::unread(settings);
        intake.begin(last_lsn);
        intake
    }

    /// The intake of a log that is not read yet. It takes nothing, and its writer waits, until
    /// [`Intake::begin`] says where the log ends.
    #[must_use]
    pub fn unread(settings: &Settings) -> Self {
        let shared = Shared {
            queue: Mutex::new(Queue {
                pending: Pending::default(),
                last_lsn: 0,
                credits: Credits::default(),
                notes: RecordBatch::new(),
                parked: VecDeque::new(),
                blocked: None,
                sleeping: false,
                turning: false,
                batches: 0,
                awaited: 0,
                released: 0,
                crowded: 0,
                poked: false,
                waiting: 0,
            }),
            arrived: Condvar::new(),
            settling: Condvar::new(),
            sync_wanted: AtomicU64::new(0),
            runtime: Handle::try_current().ok(),
            tenure: Mutex::new(()),
            seat: Mutex::new(Pending::default()),
            turn: Mutex::new(None),
            gate: AtomicU8::new(UNREAD),
            settled: AtomicU64::new(0),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            fsync: AtomicU8::new(0),
            segment_size: AtomicU64::new(0),
            origin: AtomicBool::new(true),
            compress_above: AtomicU64::new(0),
            tainted: AtomicU64::new(0),
            counters: Counters::default(),
        };
        let intake = Self { shared: Arc::new(shared) };
        intake.configure(settings);
        intake
    }

    /// Goes on behind `last_lsn`, which replay found; all before it is durable. Only the first
    /// call counts, and none behind [`Intake::close`].
    pub fn begin(&self, last_lsn: Lsn) {
        let mut queue = self.queue();
        if self.shared.gate.load(Ordering::Relaxed) != UNREAD {
            return;
        }
        queue.last_lsn = last_lsn;
        for reached in [&self.shared.settled, &self.shared.written, &self.shared.durable] {
            reached.store(last_lsn, Ordering::Release);
        }
        self.shared.gate.store(OPEN, Ordering::Release);
        drop(queue);
        self.shared.arrived.notify_all();
    }

    /// Refuses everything from now on and releases what is still parked with
    /// [`JournalError::Closed`]. Call it when the log's actor has stopped.
    pub fn close(&self) {
        let mut queue = self.queue();
        self.shared.gate.store(CLOSED, Ordering::Release);
        let parked = std::mem::take(&mut queue.parked);
        drop(queue);
        self.shared.settling.notify_all();
        for parked in parked {
            parked.reply.release(Err(JournalError::Closed));
        }
    }

    /// The log's counters now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let queue = self.queue();
        Stats {
            lsn: queue.last_lsn,
            written: self.written(),
            durable: self.durable(),
            pending_bytes: queue.pending.len() as u64,
            parked: queue.parked.len() as u64,
            blocked: queue.blocked.as_deref().map(str::to_owned),
            ..self.shared.counters.read()
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<P>> {
        // No step under this lock leaves the queue half changed, so poison says nothing.
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full() -> JournalError {
        JournalError::Failed("the log's queue is full; it drains as the disk keeps up".into())
    }
}

impl<P: Release> Journal<P> for Intake<P> {
    fn append(&self, batch: &mut RecordBatch, parked: Option<P>) -> Lsn {
        failpoint::hit(Point::IntakeAppend);
        let mut queue = self.queue();
        let gate = self.shared.gate.load(Ordering::Relaxed);
        // Before the log is read there is no store that a record could come from.
        let refused = gate == CLOSED || (gate == UNREAD && !batch.is_empty());
        if refused || batch.is_empty() {
            let lsn = queue.last_lsn;
            drop(queue);
            batch.clear();
            match parked {
                Some(reply) if refused => reply.release(Err(JournalError::Closed)),
                Some(reply) => self.park(lsn, reply),
                None => {}
            }
            return lsn;
        }
        let lsn = self.enqueue(&mut queue, batch, parked.as_ref());
        if gate == OPEN && queue.pending.len() > MAX_PENDING {
            self.shared.gate.store(FULL, Ordering::Release);
        }
        let mut refused = None;
        if let Some(reply) = parked {
            match &queue.blocked {
                None => queue.parked.push_back(Parked { lsn, write: true, reply }),
                Some(why) => refused = Some((reply, JournalError::Failed(Arc::clone(why)))),
            }
        }
        queue.batches += 1;
        let wake = std::mem::take(&mut queue.sleeping);
        if wake && self.fsync() != FsyncMode::Always && self.begin_turn() {
            queue.turning = true;
        } else if wake {
            self.shared.arrived.notify_one();
        } else if queue.batches == queue.awaited {
            queue.awaited = 0;
            self.shared.arrived.notify_one();
        } else if queue.turning && queue.pending.len() > TURN_MAX {
            // Too much for a turn: the thread may begin before the turn finds that out.
            queue.turning = false;
            queue.poked = true;
            self.shared.arrived.notify_one();
        }
        drop(queue);
        batch.clear();
        if let Some((reply, why)) = refused {
            reply.release(Err(why));
        }
        lsn
    }

    fn park(&self, lsn: Lsn, parked: P) {
        failpoint::hit(Point::IntakePark);
        if self.settled() >= lsn {
            return parked.release(Ok(()));
        }
        let mut queue = self.queue();
        if self.shared.gate.load(Ordering::Relaxed) == CLOSED {
            drop(queue);
            return parked.release(Err(JournalError::Closed));
        }
        // The writer publishes before it takes this lock to release: what is not settled now
        // is seen by its next round. While the log is blocked a read shows what memory holds.
        if self.settled() >= lsn || queue.blocked.is_some() {
            drop(queue);
            return parked.release(Ok(()));
        }
        let at = queue.parked.partition_point(|other| other.lsn <= lsn);
        queue.parked.insert(at, Parked { lsn, write: false, reply: parked });
    }

    fn settled(&self) -> Lsn {
        self.shared.settled.load(Ordering::Acquire)
    }

    fn writable(&self) -> Result<(), JournalError> {
        match self.shared.gate.load(Ordering::Acquire) {
            OPEN => Ok(()),
            FULL => Err(Self::full()),
            CLOSED => Err(JournalError::Closed),
            UNREAD => Err(JournalError::Failed("the log is still being read".into())),
            _ => match &self.queue().blocked {
                Some(why) => Err(JournalError::Failed(Arc::clone(why))),
                None => Ok(()),
            },
        }
    }
}

impl<P: Release> Intake<P> {
    /// What is appended from now on is not by whom the log named last: it was written by another
    /// process. Call it before the first batch if the log is not empty.
    pub fn disown(&self) {
        self.queue().credits.disown();
    }

    /// Puts a batch behind the others, with a note of who wrote it where one is due. Returns the
    /// LSN of its last record.
    fn enqueue(&self, queue: &mut Queue<P>, batch: &RecordBatch, parked: Option<&P>) -> Lsn {
        let author = match self.shared.origin.load(Ordering::Relaxed) {
            true => parked.and_then(Release::author),
            false => None,
        };
        let Queue { pending, last_lsn, credits, notes, .. } = queue;
        credits.note(author, batch.as_bytes().len(), self.segment_size(), notes);
        pending.push(notes, batch, *last_lsn + 1);
        *last_lsn += u64::from(notes.count()) + u64::from(batch.count());
        notes.clear();
        *last_lsn
    }
}

// === what the writer and the actor see ===

impl<P: Release> Intake<P> {
    /// The right to be the writer; waits until a predecessor has really ended.
    pub(super) fn tenure(&self) -> MutexGuard<'_, ()> {
        self.shared.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known where the log ends.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.shared.gate.load(Ordering::Acquire) != UNREAD
    }

    /// Waits until the log is read and can be written; `false` if `ordered_off` before, which is
    /// asked at every poke.
    pub(super) fn wait_begun(&self, ordered_off: impl Fn() -> bool) -> bool {
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
    pub(super) fn seat(&self) -> MutexGuard<'_, Pending> {
        self.shared.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers, or withdraws, the way to write without the writer's thread.
    pub(super) fn offer(&self, turn: Option<Arc<dyn Turn>>) {
        *self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    fn turn(&self) -> Option<Arc<dyn Turn>> {
        self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a turn on its way, behind everything that the runtime has to do now. False if
    /// there is no runtime.
    fn begin_turn(&self) -> bool {
        let Some(runtime) = &self.shared.runtime else { return false };
        let intake = self.clone();
        runtime.spawn(async move {
            tokio::task::yield_now().await;
            let _unfinished = Unfinished(&intake);
            intake.take_turns();
        });
        true
    }

    /// Writes until nothing waits any more, or leaves it to the thread.
    fn take_turns(&self) {
        let turn = self.turn();
        for _ in 0..TURNS_IN_A_ROW {
            failpoint::hit(Point::IntakeTurn);
            if !turn.as_ref().is_some_and(|turn| turn.take_turn()) {
                break;
            }
            failpoint::hit(Point::IntakeTurned);
            let mut queue = self.queue();
            if queue.pending.is_empty() {
                queue.turning = false;
                queue.sleeping = true;
                return;
            }
        }
        self.leave_to_thread();
    }

    fn leave_to_thread(&self) {
        let mut queue = self.queue();
        queue.turning = false;
        queue.poked = true;
        drop(queue);
        self.shared.arrived.notify_one();
    }

    /// Swaps what waits into the empty `flight`.
    pub(super) fn take(&self, flight: &mut Pending) {
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
    pub(super) fn has_pending(&self) -> bool {
        !self.queue().pending.is_empty()
    }

    /// Sleeps until a poke, `until`, or, if `for_work`, records.
    pub(super) fn wait(&self, until: Option<Instant>, for_work: bool) {
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
    pub(super) fn poke(&self) {
        self.queue().poked = true;
        self.shared.arrived.notify_all();
    }

    /// Publishes what is written and durable, and releases who waited for it.
    pub(super) fn publish(&self, written: Lsn, durable: Lsn, due: &mut Vec<P>) {
        self.shared.written.store(written, Ordering::Release);
        self.shared.durable.store(durable, Ordering::Release);
        let settled = if self.fsync() == FsyncMode::Always { durable } else { written };
        let settled = settled.max(self.shared.settled.fetch_max(settled, Ordering::AcqRel));
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
    pub(super) fn block(&self, why: &str) {
        let why: Arc<str> = why.into();
        let mut queue = self.queue();
        queue.blocked = Some(Arc::clone(&why));
        if self.shared.gate.load(Ordering::Relaxed) != CLOSED {
            self.shared.gate.store(BLOCKED, Ordering::Release);
        }
        let parked = std::mem::take(&mut queue.parked);
        drop(queue);
        for parked in parked {
            parked.reply.release(if parked.write {
                Err(JournalError::Failed(Arc::clone(&why)))
            } else {
                Ok(())
            });
        }
    }

    /// The log can be written again. Returns whether it could not.
    pub(super) fn unblock(&self) -> bool {
        if self.shared.gate.load(Ordering::Acquire) != BLOCKED {
            return false;
        }
        let mut queue = self.queue();
        queue.blocked = None;
        self.shared.gate.store(OPEN, Ordering::Release);
        true
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            fsync: self.fsync(),
            segment_size: self.segment_size(),
            origin: self.shared.origin.load(Ordering::Relaxed),
            compress_above: self.shared.compress_above.load(Ordering::Acquire),
        }
    }

    pub(super) fn configure(&self, settings: &Settings) {
        let fsync = match settings.fsync {
            FsyncMode::Always => 0,
            FsyncMode::EverySec => 1,
            FsyncMode::No => 2,
        };
        self.shared.fsync.store(fsync, Ordering::Release);
        self.shared.segment_size.store(settings.segment_size.max(4096), Ordering::Release);
        self.shared.origin.store(settings.origin, Ordering::Relaxed);
        self.shared.compress_above.store(settings.compress_above, Ordering::Release);
        self.poke();
    }

    pub(super) fn fsync(&self) -> FsyncMode {
        match self.shared.fsync.load(Ordering::Acquire) {
            0 => FsyncMode::Always,
            1 => FsyncMode::EverySec,
            _ => FsyncMode::No,
        }
    }

    pub(super) fn segment_size(&self) -> u64 {
        self.shared.segment_size.load(Ordering::Acquire)
    }

    /// How long a value has to be to be left as it is; `usize::MAX` if all are.
    pub(super) fn plain_up_to(&self) -> usize {
        match self.shared.compress_above.load(Ordering::Acquire) {
            0 => usize::MAX,
            above => usize::try_from(above).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn written(&self) -> Lsn {
        self.shared.written.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> Lsn {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Somebody waits for the log to be durable up to here; 0: nobody ever did.
    pub(super) fn sync_wanted(&self) -> Lsn {
        self.shared.sync_wanted.load(Ordering::Acquire)
    }

    /// Remembers, beyond the life of the writer, that a segment's sync failed.
    pub(super) fn taint(&self, sequence: u64) {
        self.shared.tainted.store(sequence, Ordering::Release);
    }

    pub(super) fn tainted(&self) -> u64 {
        self.shared.tainted.load(Ordering::Acquire)
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

#[cfg(test)]
mod tests;
