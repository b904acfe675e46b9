//! What is durable: when a sync is due, and what its end means.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::{SyncJob, Synced, Trouble, Writer};
use crate::failpoint::{self, Point};
use crate::journal::{Lsn, Release};
use crate::wal::frame::Digest;
use crate::wal::fs::Filesystem;
use crate::wal::segment::SegmentHeader;
use crate::wal::settings::{FsyncMode, SYNC_EVERY, SYNC_SLOW, UNSYNCED_MAX, UNSYNCED_SOON};
use crate::wal::stats::add;

/// The next segment is prepared when no more than this is to be synced with it, bytes: until that
/// has ended everything is written twice.
const PREPARE_WITH: usize = 1 << 20;

/// A sync that runs beside the writing.
#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) upto: Lsn,
    pub(super) chain: Digest,
    pub(super) since: Instant,
    pub(super) said_slow: bool,
    /// The segment that is prepared behind it.
    pub(super) next: Option<SegmentHeader>,
}

impl<F: Filesystem, P: Release> Writer<F, P> {
    pub(super) fn unsynced(&self) -> usize {
        self.older.len() + self.newer.len()
    }

    /// Whether writing has to wait for the running sync.
    pub(super) fn stalled(&self, now: Instant) -> bool {
        let slow = self.intake.fsync() == FsyncMode::EverySec
            && self
                .syncing
                .as_ref()
                .is_some_and(|sync| now.saturating_duration_since(sync.since) >= SYNC_SLOW);
        slow || (self.unsynced() >= UNSYNCED_MAX && self.written > self.durable)
    }

    pub(super) fn begin_sync(&mut self, now: Instant) -> Option<SyncJob<F::File>> {
        if self.broken || self.syncing.is_some() {
            return None;
        }
        let full = self.wants_successor(now);
        let next = (full && self.newer.len() <= PREPARE_WITH).then(|| self.successor());
        if self.written == self.durable && next.is_none() && !self.name_due {
            return None;
        }
        let due = match self.intake.fsync() {
            FsyncMode::EverySec => now >= self.sync_begun + SYNC_EVERY,
            // `always` syncs where it writes.
            FsyncMode::Always | FsyncMode::No => false,
        };
        let wanted = self.intake.sync_wanted() > self.durable;
        let soon = wanted || full || self.name_due || self.unsynced() >= UNSYNCED_SOON;
        if !due && !soon {
            return None;
        }
        std::mem::swap(&mut self.older, &mut self.newer);
        self.sync_begun = now;
        let (upto, chain) = (self.written, self.chain);
        self.syncing = Some(Syncing { upto, chain, since: now, said_slow: false, next });
        let (file, sequence, name) = (Arc::clone(&self.file), self.sequence, self.name_due);
        Some(SyncJob { file, sequence, name, next })
    }

    /// The end of the sync that [`Plan::sync`] asked for.
    pub(in crate::wal) fn synced(&mut self, outcome: Synced<F::File>, now: Instant) {
        let Some(sync) = self.syncing.take() else { return };
        failpoint::hit(Point::WriterSynced);
        match outcome.sync {
            Ok(()) => {
                self.intake.counters().synced(now.saturating_duration_since(sync.since));
                self.older.clear();
                self.older.shrink_to(UNSYNCED_SOON);
                self.durable = sync.upto;
                self.durable_chain = sync.chain;
                self.name_due = false;
                self.publish();
                if let (Some(header), Some(prepared)) = (sync.next, outcome.next) {
                    self.succeed(&header, prepared, now);
                }
            }
            Err(error) => {
                let trouble = self.sync_failed(error);
                self.suffer(&trouble, now);
            }
        }
    }

    /// Syncs here and now, everything that is written.
    pub(super) fn sync_now(&mut self, now: Instant) -> Result<(), Trouble> {
        let begun = Instant::now();
        self.sync_begun = now;
        failpoint::hit(Point::WriterSync);
        let file = Arc::clone(&self.file);
        let job = SyncJob { file, sequence: self.sequence, name: self.name_due, next: None };
        if let Err(error) = job.run(&self.fs, &self.dir).sync {
            return Err(self.sync_failed(error));
        }
        self.name_due = false;
        self.intake.counters().synced(begun.elapsed());
        self.all_durable();
        Ok(())
    }

    pub(super) fn all_durable(&mut self) {
        self.older.clear();
        self.newer.clear();
        self.newer.shrink_to(UNSYNCED_SOON);
        self.durable = self.written;
        self.durable_chain = self.chain;
        self.publish();
    }

    pub(super) fn sync_failed(&mut self, error: io::Error) -> Trouble {
        add(&self.intake.counters().sync_errors, 1);
        self.intake.taint(self.sequence);
        self.broken = true;
        Trouble { doing: "sync the log", source: error, in_sync: true }
    }
}
