//! Looks at a log without changing it: every segment, every frame, and behind damage whatever
//! can still be read.
//!
//! Replay stops at the first thing that is wrong, because nothing behind it may be served. An
//! operator who has to choose between a backup and a cut wants to know what else is wrong and what
//! a cut would cost. So this walk notes a [`Finding`] and looks for the next frame that is whole
//! by itself: one whose content fits its own digest and the digest that stands before it.
//!
//! Whether a log is clean is decided by the same reader that replay uses; only what happens after
//! a flaw differs.
//!
//! Architecture invariant: nothing here creates, writes, cuts, syncs or removes.

mod headers;
mod known;
mod snapshots;
mod walk;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::fs::{Filesystem, OsFs};
use super::replay::{OpenError, io_error, segments_dir};
use super::segment;
use crate::clock::UnixMs;
use crate::journal::{Item, Lsn};
use known::Known;

pub use snapshots::{SnapshotFlaw, SnapshotSummary, WholeSnapshot};

/// Findings that are kept in full; further ones are counted.
pub const MAX_FINDINGS: usize = 1000;

/// What a log comes to, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every frame fits.
    Clean,
    /// The end is what a crash leaves: the next start cuts it off and serves the rest.
    Torn,
    /// Written by another version: this program cannot judge it.
    OtherVersion,
    /// Changed after it was written: a start refuses.
    Corrupt,
}

/// One place that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of place; never [`Verdict::Clean`].
    pub verdict: Verdict,
    /// The segment.
    pub path: PathBuf,
    /// Byte offset of the frame, or header, that does not fit.
    pub offset: u64,
    /// Bytes from there to the next frame that can be read, or to the end of the file.
    pub bytes: u64,
    /// The LSN that was due there.
    pub first_lsn: Lsn,
    /// The last LSN that is missing, where what follows tells.
    pub last_lsn: Option<Lsn>,
    /// What does not fit.
    pub what: String,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its file.
    pub path: PathBuf,
    /// Its number, as its name says.
    pub sequence: u64,
    /// Its first LSN, as its name says.
    pub first_lsn: Lsn,
    /// Bytes of the file.
    pub bytes: u64,
    /// Frames that could be read.
    pub frames: u64,
    /// Records that could be read.
    pub records: u64,
}

/// The manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestSummary {
    /// How often it was written; 0 if no copy can be read.
    pub generation: u64,
    /// The segment that the log begins with.
    pub first_sequence: u64,
    /// The LSN that it begins with.
    pub first_lsn: Lsn,
    /// Up to here the log was on disk.
    pub durable_lsn: Lsn,
    /// Snapshots that it lists.
    pub snapshots: u64,
    /// Damaged copies. As long as the other one can be read, the next start writes them anew.
    pub damaged: Vec<PathBuf>,
}

/// What was found out about a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The manifest; `None` if there never was one.
    pub manifest: Option<ManifestSummary>,
    /// The segments, by number.
    pub segments: Vec<SegmentSummary>,
    /// The snapshots, the newest first; none if they were not read, see [`inspect_all`].
    pub snapshots: Vec<SnapshotSummary>,
    /// The log begins behind LSN 1, it is whole, and no snapshot is that stands for what was before.
    pub baseless: bool,
    /// What is wrong, in the order of the log, and what is wrong with the manifest behind that; at
    /// most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// Everything up to this LSN is intact: what a cut at the first finding keeps.
    pub intact_lsn: Lsn,
    /// The highest LSN that anything readable speaks of.
    pub last_lsn: Lsn,
    /// Records behind the first finding that can still be read.
    pub readable_behind: u64,
}

impl Inspection {
    /// The worst of the findings, and of what was found in the snapshots.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let flaws = self.snapshots.iter().filter_map(|one| one.found.as_ref().err());
        flaws.map(|flaw| flaw.verdict).fold(self.log_verdict(), Verdict::max)
    }

    /// The worst of the findings: whether a start accepts the log. It does so with a snapshot that
    /// is not whole as long as it has another one, or all of the log.
    #[must_use]
    pub fn log_verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Clean)
    }

    /// The snapshot that a start begins with: the newest that is whole and has the log behind it.
    #[must_use]
    pub fn base(&self) -> Option<(&SnapshotSummary, WholeSnapshot)> {
        let mut usable = self.snapshots.iter().filter(|one| one.usable);
        usable.find_map(|one| Some((one, *one.found.as_ref().ok()?)))
    }

    /// Records that a cut at the first finding would lose, as far as LSNs tell.
    #[must_use]
    pub fn records_behind(&self) -> u64 {
        self.last_lsn.saturating_sub(self.intact_lsn)
    }

    fn note(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// One record or note of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its LSN.
    pub lsn: Lsn,
    /// When its frame was written.
    pub wall_ms: UnixMs,
    /// What stands there.
    pub item: Item<'a>,
    /// Whether everything before it is intact too. If not, a start would not serve it.
    pub intact: bool,
}

/// Reads the whole log in the data directory `data` and shows every record that can be read to
/// `visit`, which may break off. Takes no lock: beside a daemon the end may be unfinished. Blocks.
///
/// # Errors
/// [`OpenError::Io`]: there is no log, or it could not be read.
pub fn inspect(
    data: &Path,
    visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<Inspection, OpenError> {
    inspect_on(&OsFs, data, visit)
}

/// The same, without the records, but with every snapshot read to its end: whether a start would
/// accept the directory, and with what. Takes about as long as a start.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_all(data: &Path) -> Result<Inspection, OpenError> {
    inspect_all_on(&OsFs, data)
}

pub(super) fn inspect_all_on<F: Filesystem>(fs: &F, data: &Path) -> Result<Inspection, OpenError> {
    // First, because beside a daemon the log behind them goes on.
    let snapshots = snapshots::read(fs, data)?;
    let mut report = inspect_on(fs, data, |_| ControlFlow::Continue(()))?;
    report.snapshots = snapshots;
    snapshots::hold_against(&mut report, data);
    Ok(report)
}

pub(super) fn inspect_on<F: Filesystem>(
    fs: &F,
    data: &Path,
    visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<Inspection, OpenError> {
    let dir = segments_dir(data);
    // Listed first: whatever the manifest, read later, has deleted meanwhile, is below its floor.
    let named = segment::list(fs, &dir).map_err(io_error("list", &dir))?;
    let known = Known::read(fs, data)?;
    let candidates = headers::read(fs, &dir, named, &known)?;
    walk::walk(fs, &dir, &candidates, known, visit)
}
