//! The write-ahead log: every effect, checksummed and chained, in the order it was applied.
//!
//! ```text
//! <data>/LOCK                         flock, held by the daemon
//! <data>/MANIFEST.a, MANIFEST.b       where the log begins, what has to be there
//! <data>/wal/<seq>-<first lsn>.wal    segments: a header, then frames
//! <data>/snap/<begin>.snap            snapshots, the newest two
//! <data>/quarantine/                  what was cut off, never deleted
//! ```
//!
//! The cache appends batches to an [`Intake`], which outlives the writer behind it. One thread
//! writes what has arrived as one frame (a group commit), syncs as [`FsyncMode`] says, and
//! releases the replies that waited. [`open`] and [`Opened::replay`] read it all back at boot;
//! [`read_range`] does so for one shard while the log is live; [`inspect`] goes on behind damage and
//! changes nothing. `docs/wal-format.md` draws the
//! bytes and says what each mode promises.
//!
//! [`Snapshots`] spare recovery the log before them. The manifest says what the segments' headers
//! cannot: with which of them the log begins, and which must be there at its end.
//!
//! Architecture invariant: nothing here knows the cache; only [`actor`] knows the actor runtime.

pub mod actor;
mod ahead;
mod appender;
mod follow;
mod format;
mod frame;
mod fs;
mod ground;
pub mod history;
mod holds;
pub mod inspect;
mod intake;
mod lock;
mod manifest;
pub mod past;
mod pending;
mod quarantine;
mod reader;
mod readers;
pub mod repair;
mod replay;
mod retention;
mod segment;
mod settings;
mod snapshot;
mod stats;
mod writer;

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;

pub use actor::{WalActor, WalArgs, WalMsg};
pub use appender::{AppendError, Appender};
pub use follow::{Followed, Follower, Portion, Reached, Tail};
pub use ground::Base;
pub use holds::{Held, Hold, HoldError, Holds};
pub use intake::Intake;
pub use lock::{DataDir, LockError};
pub use readers::Reading;
pub use replay::{
    Damage, OpenError, Opened, Origin, Progress, RangeError, ReplayError, ReplayReport, Seen, Torn,
    look, open, read_items, read_range,
};
pub use retention::{Removal, Removed, Retention, SegmentFacts, SnapshotFacts, Survey};
pub use settings::{FsyncMode, Settings};
pub use snapshot::{Flawed, Loaded, SnapshotWriter, Snapshots, Written};
pub use stats::{SYNC_BOUNDS_US, Stats};
