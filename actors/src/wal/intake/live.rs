//! What the queue carries for everybody: settings that change live, and how far the log is.

use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::Intake;
use crate::journal::{Lsn, Release};
use crate::wal::follow::Reached;
use crate::wal::ground::Ground;
use crate::wal::settings::{FsyncMode, Settings};
use crate::wal::stats::Counters;

impl<P: Release> Intake<P> {
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

    /// New settings, from the next frame on. The queue carries them, so it does not matter
    /// whether the writer is up.
    pub fn configure(&self, settings: &Settings) {
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

    /// Follows how far the log is. Call it before the log begins.
    pub(in crate::wal) fn follow(&self) -> watch::Receiver<Reached> {
        let reached = self.shared.reached.get_or_init(|| {
            let settled = self.shared.settled.load(Ordering::Acquire);
            let begun = self.has_begun().then_some(settled);
            watch::Sender::new(Reached { begun, settled })
        });
        reached.subscribe()
    }

    pub(in crate::wal) fn fsync(&self) -> FsyncMode {
        match self.shared.fsync.load(Ordering::Acquire) {
            0 => FsyncMode::Always,
            1 => FsyncMode::EverySec,
            _ => FsyncMode::No,
        }
    }

    pub(in crate::wal) fn segment_size(&self) -> u64 {
        self.shared.segment_size.load(Ordering::Acquire)
    }

    /// How long a value has to be to be left as it is; `usize::MAX` if all are.
    pub(in crate::wal) fn plain_up_to(&self) -> usize {
        match self.shared.compress_above.load(Ordering::Acquire) {
            0 => usize::MAX,
            above => usize::try_from(above).unwrap_or(usize::MAX),
        }
    }

    pub(in crate::wal) fn written(&self) -> Lsn {
        self.shared.written.load(Ordering::Acquire)
    }

    pub(in crate::wal) fn durable(&self) -> Lsn {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Somebody waits for the log to be durable up to here; 0: nobody ever did.
    pub(in crate::wal) fn sync_wanted(&self) -> Lsn {
        self.shared.sync_wanted.load(Ordering::Acquire)
    }

    /// Remembers, beyond the life of the writer, that a segment's sync failed.
    pub(in crate::wal) fn taint(&self, sequence: u64) {
        self.shared.tainted.store(sequence, Ordering::Release);
    }

    pub(in crate::wal) fn tainted(&self) -> u64 {
        self.shared.tainted.load(Ordering::Acquire)
    }

    pub(in crate::wal) fn ground(&self) -> &Ground {
        &self.shared.ground
    }

    pub(in crate::wal) fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}
