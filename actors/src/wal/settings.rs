//! What the log can be told, and what of it changes while it runs.

use std::time::Duration;

/// When written frames are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FsyncMode {
    /// Before the reply: a reply says *durable*. Nothing is lost to a power cut.
    Always,
    /// Every second, beside the writing: a power cut loses at most the last two seconds.
    #[default]
    EverySec,
    /// When the system likes to, and where the log's own consistency needs it (every 16 MiB,
    /// and at the end of a segment).
    No,
}

/// The log's settings. All of them change live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When written frames are made durable.
    pub fsync: FsyncMode,
    /// Bytes at which a segment is closed and the next one begun; at least 4 KiB.
    pub segment_size: u64,
    /// Whether the log says who wrote.
    pub origin: bool,
    /// Values of more bytes than this are compressed where it pays; 0: none is.
    pub compress_above: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fsync: FsyncMode::EverySec,
            segment_size: 10 << 20,
            origin: true,
            compress_above: 1000,
        }
    }
}

/// Between two syncs in `everysec`.
pub(super) const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A sync that takes this long is said aloud, and writing waits for it: what was written since
/// it began would otherwise be at risk for longer than promised.
pub(super) const SYNC_SLOW: Duration = Duration::from_secs(1);
/// Between two tries while the log cannot be written.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(500);
/// Records that may wait for the writer, in bytes; above it callers refuse new writes.
pub(super) const MAX_PENDING: usize = 256 << 20;
/// Records go into one frame up to this many bytes (a single batch may be larger).
pub(super) const FRAME_TARGET: usize = if cfg!(test) { 512 } else { 1 << 20 };
/// Frames kept in memory until durable: from here on a sync is asked for before it is due ...
pub(super) const UNSYNCED_SOON: usize = if cfg!(test) { 8 << 10 } else { 16 << 20 };
/// ... and from here on writing waits for it.
pub(super) const UNSYNCED_MAX: usize = if cfg!(test) { 32 << 10 } else { 64 << 20 };
