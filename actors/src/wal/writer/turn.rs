//! Writing in place of the thread: a little, on the runtime, when it is sure to be quick.
//!
//! To wake a thread costs more than to write a few small batches. A turn does only what never
//! waits for the disk: no sync, no new segment, nothing while a sync runs (the file system may
//! make writers wait for it), nothing for a while after a write that was slow. All that is the
//! thread's, and so is every trouble. The idea is flat combining (Hendler, Incze, Shavit,
//! Tzafrir, 2010): whoever holds the structure serves all who wait.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::Writer;
use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::wal::fs::Filesystem;
use crate::wal::intake::{Intake, TURN_MAX, Turn};
use crate::wal::pending::Pending;
use crate::wal::settings::{FsyncMode, SYNC_EVERY, UNSYNCED_SOON};

/// A write that takes this long keeps turns away ...
const SLOW_WRITE: Duration = Duration::from_millis(1);
/// ... for this long.
const AFTER_SLOW_WRITE: Duration = Duration::from_secs(1);

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Writes what has arrived if that is sure to be quick. False if the thread is needed.
    pub(in crate::wal) fn turn(&mut self, now: Instant, flight: &mut Pending) -> bool {
        if !self.quick(now) || !flight.is_empty() {
            return false;
        }
        self.intake.take(flight);
        failpoint::hit(Point::WriterTake);
        if flight.len() > TURN_MAX {
            return false;
        }
        if let Err(trouble) = self.write_all(now, flight) {
            self.suffer(&trouble, now);
            return false;
        }
        let ended = Instant::now();
        if ended.saturating_duration_since(now) >= SLOW_WRITE {
            self.thread_only_until = Some(ended + AFTER_SLOW_WRITE);
        }
        true
    }

    fn quick(&self, now: Instant) -> bool {
        let sync_due = match self.intake.fsync() {
            FsyncMode::Always => true,
            FsyncMode::EverySec => {
                self.written > self.durable && now >= self.sync_begun + SYNC_EVERY
            }
            FsyncMode::No => false,
        };
        !sync_due
            && self.syncing.is_none()
            && !self.broken
            && self.leftover.is_none()
            && self.retry_at.is_none()
            && self.len < self.intake.segment_size()
            && self.unsynced() < UNSYNCED_SOON
            && self.thread_only_until.is_none_or(|until| now >= until)
    }
}

/// Where the thread and the turns find the writer.
pub(super) struct Desk<F: Filesystem, P: Release> {
    intake: Intake<P>,
    place: Mutex<Place<F, P>>,
}

/// The writer, and when its thread looks around by itself.
pub(super) struct Place<F: Filesystem, P: Release> {
    /// `None` when the thread has left.
    pub(super) writer: Option<Writer<F, P>>,
    pub(super) thread_looks_at: Option<Instant>,
}

impl<F: Filesystem, P: Release> Desk<F, P> {
    pub(super) fn new(intake: Intake<P>, writer: Writer<F, P>) -> Self {
        let place = Place { writer: Some(writer), thread_looks_at: None };
        Self { intake, place: Mutex::new(place) }
    }

    /// The thread's way in. `Err` if a turn has panicked: the writer is not to be trusted.
    pub(super) fn sit(&self) -> Result<MutexGuard<'_, Place<F, P>>, String> {
        self.place.lock().map_err(|_| "the writer panicked in a turn on the runtime".to_owned())
    }

    /// Takes the writer away; nobody writes any more.
    pub(super) fn leave(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).writer = None;
    }
}

impl<F: Filesystem, P: Release> Turn for Desk<F, P> {
    fn take_turn(&self) -> bool {
        let mut place = match self.place.try_lock() {
            Ok(place) => place,
            // The thread is at it, or hears of the panic when it looks around.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return false,
        };
        let thread_looks_at = place.thread_looks_at;
        let Some(writer) = &mut place.writer else { return false };
        let now = Instant::now();
        let _poke = PokeOnPanic(&self.intake);
        let done = writer.turn(now, &mut self.intake.seat());
        // The first write after a quiet time makes a sync due, sooner than the thread would look.
        let due = writer.next_look(now, false);
        let in_time = match (due, thread_looks_at) {
            (None, _) => true,
            (Some(due), Some(at)) => at <= due,
            (Some(_), None) => false,
        };
        done && in_time
    }
}

/// Lets the thread find out that a turn has panicked.
struct PokeOnPanic<'a, P: Release>(&'a Intake<P>);

impl<P: Release> Drop for PokeOnPanic<'_, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poke();
        }
    }
}
