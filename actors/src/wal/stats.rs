//! The log's counters: written by one thread, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::journal::Lsn;

/// Upper bounds of the sync-time histogram, in microseconds; the last bucket has none.
pub const SYNC_BOUNDS_US: [u64; 8] =
    [100, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 2_000_000];

/// Live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes: AtomicU64,
    pub(super) saved_bytes: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_us: AtomicU64,
    pub(super) sync_max_us: AtomicU64,
    pub(super) sync_buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
    pub(super) slow_syncs: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) sync_errors: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) writer_starts: AtomicU64,
    pub(super) segment: AtomicU64,
    pub(super) segment_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.syncs, 1);
        add(&self.sync_us, us);
        self.sync_max_us.fetch_max(us, Ordering::Relaxed);
        let bucket = SYNC_BOUNDS_US.partition_point(|&bound| bound < us);
        if let Some(bucket) = self.sync_buckets.get(bucket) {
            add(bucket, 1);
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The counters at one moment. Counts are since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes written, frames with their headers.
    pub bytes: u64,
    /// Bytes that were not written because values were compressed.
    pub saved_bytes: u64,
    /// Frames written: group commits.
    pub frames: u64,
    /// Records written.
    pub records: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Time spent in them, microseconds.
    pub sync_us: u64,
    /// The longest of them, microseconds.
    pub sync_max_us: u64,
    /// Syncs by time, see [`SYNC_BOUNDS_US`].
    pub sync_buckets: [u64; SYNC_BOUNDS_US.len() + 1],
    /// Syncs so slow that writing had to wait for them.
    pub slow_syncs: u64,
    /// Failed writes, and failed creations of segments.
    pub write_errors: u64,
    /// Failed syncs.
    pub sync_errors: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Starts of the writer's thread.
    pub writer_starts: u64,
    /// Sequence number of the segment being written.
    pub segment: u64,
    /// Its length in bytes.
    pub segment_bytes: u64,
    /// Last LSN assigned.
    pub lsn: Lsn,
    /// Last LSN written.
    pub written: Lsn,
    /// Last LSN on disk for certain.
    pub durable: Lsn,
    /// Bytes of records that wait for the writer.
    pub pending_bytes: u64,
    /// Replies that wait for the log.
    pub parked: u64,
    /// Why the log takes no writes, if it does not.
    pub blocked: Option<String>,
    /// Its files were removed, and nothing on the disk stands for what was in them yet.
    pub baseless: bool,
}

impl Counters {
    /// The counters now; what the intake knows is left at its default.
    pub(super) fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            bytes: get(&self.bytes),
            saved_bytes: get(&self.saved_bytes),
            frames: get(&self.frames),
            records: get(&self.records),
            syncs: get(&self.syncs),
            sync_us: get(&self.sync_us),
            sync_max_us: get(&self.sync_max_us),
            sync_buckets: std::array::from_fn(|i| self.sync_buckets.get(i).map_or(0, get)),
            slow_syncs: get(&self.slow_syncs),
            write_errors: get(&self.write_errors),
            sync_errors: get(&self.sync_errors),
            rotations: get(&self.rotations),
            writer_starts: get(&self.writer_starts),
            segment: get(&self.segment),
            segment_bytes: get(&self.segment_bytes),
            ..Stats::default()
        }
    }
}
