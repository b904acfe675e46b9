//! What replay tells: how far it is, what it found, and why it stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::UnixMs;
use crate::journal::Lsn;

/// Where a replayed record stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its LSN.
    pub lsn: Lsn,
    /// When its frame was written: wall clock, Unix milliseconds.
    pub wall_ms: UnixMs,
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The log is damaged.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// No copy of the manifest can be read, so where the log begins is not known.
    #[error(
        "the manifest is damaged: {}; `seawall wal repair` makes it anew from the segments",
        listed(copies)
    )]
    Manifest {
        /// Its damaged copies.
        copies: Vec<PathBuf>,
    },
    /// The log's beginning was deleted, and nothing that is whole stands for it.
    #[error(
        "the log begins with LSN {begins}, and no snapshot in {} that is whole stands for what was \
         deleted before it; put one back from quarantine/ or from a backup",
        snapshots.display()
    )]
    Baseless {
        /// The first LSN of the log.
        begins: Lsn,
        /// Where a snapshot is missing.
        snapshots: PathBuf,
    },
    /// The log was written by another version of this program.
    #[error("{}: {what}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// What it needs.
        what: String,
    },
    /// Whoever asked for it did not want the rest.
    #[error("reading the log was broken off")]
    BrokenOff,
}

/// Why replay stopped. Nothing of its effects may be served.
pub type ReplayError = OpenError;

/// Where a log stops being what was written, and what is behind that place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log is corrupt: {} at offset {offset}: {what}; records up to LSN {} are intact{}",
    path.display(), first_lsn.saturating_sub(1), until(*last_lsn)
)]
pub struct Damage {
    /// The damaged file.
    pub path: PathBuf,
    /// Byte offset of the damage, or of the frame that contains it.
    pub offset: u64,
    /// The first LSN that cannot be read.
    pub first_lsn: Lsn,
    /// The last LSN that is known to have been in the damaged file, where a next file tells.
    pub last_lsn: Option<Lsn>,
    /// What does not fit.
    pub what: String,
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

fn until(last: Option<Lsn>) -> String {
    last.map_or_else(String::new, |last| format!(", the damaged file reaches to LSN {last}"))
}

/// A torn end that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub path: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// Where a copy of them is.
    pub copy: PathBuf,
    /// Why they are no frame.
    pub what: String,
}

/// How far replay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of log read so far.
    pub bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Records so far.
    pub records: u64,
    /// Time since the start.
    pub took: Duration,
}

/// What replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The log's last LSN: the intake goes on behind it.
    pub last_lsn: Lsn,
    /// Records visited.
    pub records: u64,
    /// Frames read.
    pub frames: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Time it took.
    pub took: Duration,
    /// A torn end that was cut off.
    pub torn: Option<Torn>,
}

/// Why [`read_range`] could not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The log could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log before the LSN asked for was deleted: a snapshot stands for it.
    #[error("the log begins with LSN {begins}, what is behind LSN {wanted} was asked for")]
    Gone {
        /// The first LSN there is.
        begins: Lsn,
        /// The LSN behind which records were asked for.
        wanted: Lsn,
    },
    /// The log ends before the LSN asked for: it is not written yet.
    #[error("the log ends at LSN {found}, {wanted} was asked for")]
    Short {
        /// The last LSN there is.
        found: Lsn,
        /// The LSN asked for.
        wanted: Lsn,
    },
}

impl RangeError {
    /// Whether a file that was listed is not there.
    pub(in crate::wal) fn is_not_found(&self) -> bool {
        matches!(self, Self::Open(OpenError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound)
    }
}

pub(in crate::wal) fn io_error(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}
