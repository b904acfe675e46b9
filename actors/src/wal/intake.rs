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

mod live;
mod turns;
mod waiting;
mod writing;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::follow::Reached;
use super::ground::Ground;
use super::pending::Pending;
use super::settings::{FsyncMode, MAX_PENDING, Settings};
use super::stats::{Counters, Stats};
use crate::failpoint::{self, Point};
use crate::journal::{Credits, Journal, JournalError, Lsn, RecordBatch, Release};
use crate::supervise::Condition;

pub(super) use turns::{TURN_MAX, Turn};

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
    /// Told how far the log is, once somebody follows it.
    reached: OnceLock<watch::Sender<Reached>>,
    written: AtomicU64,
    durable: AtomicU64,
    fsync: AtomicU8,
    segment_size: AtomicU64,
    /// Whether the log says who wrote.
    origin: AtomicBool,
    compress_above: AtomicU64,
    /// The segment whose sync failed, which must not be synced again; 0 for none.
    tainted: AtomicU64,
    /// Holds while the log refuses writes.
    trouble: OnceLock<Condition>,
    /// Whether the log's files are there.
    ground: Ground,
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
            reached: OnceLock::new(),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            fsync: AtomicU8::new(0),
            segment_size: AtomicU64::new(0),
            origin: AtomicBool::new(true),
            compress_above: AtomicU64::new(0),
            tainted: AtomicU64::new(0),
            trouble: OnceLock::new(),
            ground: Ground::default(),
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
        if let Some(reached) = self.shared.reached.get() {
            reached.send_replace(Reached { begun: Some(last_lsn), settled: last_lsn });
        }
        self.shared.arrived.notify_all();
    }

    /// Shows by this condition whether the log refuses writes. Only the first call counts.
    pub fn show_trouble(&self, condition: Condition) {
        let _ = self.shared.trouble.set(condition);
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
            baseless: !self.shared.ground.is_sound(),
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
    fn append(&self, batch: &mut RecordBatch, mut parked: Option<P>) -> Lsn {
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
        if let Some(reply) = &mut parked {
            reply.logged(lsn);
        }
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

    /// Logs a note that nobody writes, which changes nothing but the last LSN. A log that takes no
    /// writes is left alone.
    pub fn mark(&self) {
        let mut queue = self.queue();
        if self.shared.gate.load(Ordering::Relaxed) != OPEN {
            return;
        }
        // Nobody's note may be in force already, and would not be written again.
        queue.credits.disown();
        self.enqueue(&mut queue, &RecordBatch::new(), None);
        queue.batches += 1;
        queue.poked = true;
        self.shared.arrived.notify_all();
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

#[cfg(test)]
mod tests;
