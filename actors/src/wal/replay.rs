//! Reading the log back: at boot, and one shard's part of it while it is being written.
//!
//! A bad frame is *torn* when a crash explains it: it lies in the last segment, nothing valid
//! follows, and its LSN was never recorded as durable. It is cut off, with a copy in
//! `quarantine/`. Any other bad frame is *corrupt*: somebody changed what had been written, and
//! nothing is served from such a log.

mod cut;
mod headers;
mod look;
mod range;
mod report;
mod walk;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fs::{Filesystem, OsFs};
use super::holds::Holds;
use super::manifest::{Manifest, ManifestFile};
use super::snapshot::Snapshots;
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::{Item, Lsn, Record};
use headers::Segment;
use walk::{Tally, TornEnd, Walk};

pub use headers::open;
#[cfg(test)]
pub(super) use headers::open_on;
pub(super) use look::verify;
pub use look::{Seen, look};
pub(super) use range::starts;
pub use range::{read_items, read_range};
pub(super) use report::io_error;
pub use report::{
    Damage, OpenError, Origin, Progress, RangeError, ReplayError, ReplayReport, Torn,
};

/// A log whose segments were found and fit together by their headers and the manifest.
#[derive(Debug)]
pub struct Opened<F: Filesystem = OsFs> {
    fs: F,
    data: PathBuf,
    clock: Clock,
    manifest: ManifestFile<F>,
    holds: Holds,
    segments: Vec<Segment>,
    /// The log was on disk up to here, whatever its frames record, and what says so.
    proven: (Lsn, Proof),
}

/// What knows how far the log was on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Manifest,
    Snapshot,
}

/// The directory of the segments.
pub(super) fn segments_dir(data: &Path) -> PathBuf {
    data.join("wal")
}

impl<F: Filesystem> Opened<F> {
    /// The snapshots of this log.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<F> {
        let (fs, clock) = (self.fs.clone(), self.clock.clone());
        Snapshots::new(fs, &self.data, self.manifest.clone(), self.holds.clone(), clock)
    }

    /// Bytes of its segments, as they were found.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// The log is known to have been on disk up to `lsn`, from a snapshot: if it ends before, it
    /// is corrupt, not torn.
    pub const fn prove(&mut self, lsn: Lsn) {
        if lsn >= self.proven.0 {
            self.proven = (lsn, Proof::Snapshot);
        }
    }

    /// Feeds every record behind the LSN `from` (0: all of them) to `visit`, in order, and cuts
    /// off a torn end; what lies before is verified all the same. `progress` hears of every
    /// mebibyte or so, and may break off: nothing on disk has changed by then. Blocks, and
    /// verifies on a second thread: run it where blocking is allowed.
    ///
    /// On return everything replayed is durable, and the manifest says so.
    ///
    /// # Errors
    /// [`ReplayError`]: the log is corrupt, begins behind `from`, or could not be read, cut or
    /// synced, or `progress` broke off. What was visited until then must not be served.
    pub fn replay(
        &self,
        from: Lsn,
        visit: impl FnMut(Origin, Record<'_>),
        progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ReplayReport, ReplayError> {
        failpoint::hit(Point::ReplayRead);
        let (report, torn) = self.read(from, visit, progress)?;
        let torn = torn.map(|torn| self.cut(torn)).transpose()?;
        self.make_durable()?;
        self.record(report.last_lsn);
        failpoint::hit(Point::ReplayDone);
        Ok(ReplayReport { torn, ..report })
    }

    /// The same, up to a torn end, and changes nothing on disk.
    fn read(
        &self,
        from: Lsn,
        mut visit: impl FnMut(Origin, Record<'_>),
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<(ReplayReport, Option<TornEnd>), ReplayError> {
        let begun = Instant::now();
        let total_bytes = self.bytes();
        let begins = self.segments.first().map_or(1, |first| first.header.first_lsn);
        if from.saturating_add(1) < begins {
            let snapshots = self.snapshots().dir();
            return Err(OpenError::Baseless { begins, snapshots });
        }
        let (segments, proven) = (&self.segments, self.proven.0);
        let walk = Walk { fs: &self.fs, segments, from, upto: Lsn::MAX, proven };
        let mut tally = Tally::default();
        let end = walk.run(
            |origin, item| {
                if let Item::Record(record) = item {
                    visit(origin, record);
                }
                ControlFlow::Continue(())
            },
            |now| {
                tally = *now;
                let Tally { records, bytes, .. } = tally;
                progress(&Progress { bytes, total_bytes, records, took: begun.elapsed() })
            },
        )?;
        let end = end.ok_or(OpenError::BrokenOff)?;
        let last_lsn = end.next_lsn.saturating_sub(1);
        self.check_reach(last_lsn)?;
        let report = ReplayReport {
            last_lsn,
            records: tally.records,
            frames: tally.frames,
            segments: self.segments.len() as u64,
            bytes: tally.bytes,
            took: begun.elapsed(),
            torn: None,
        };
        Ok((report, end.torn))
    }

    /// Before anything is cut: a log that ends before `proven` has lost what was on disk.
    fn check_reach(&self, last_lsn: Lsn) -> Result<(), ReplayError> {
        let (proven, by) = self.proven;
        let Some(last) = self.segments.last().filter(|_| last_lsn < proven) else {
            return Ok(());
        };
        let by = match by {
            Proof::Manifest => "the manifest",
            Proof::Snapshot => "a snapshot",
        };
        Err(Damage {
            path: last.path.clone(),
            offset: last.size,
            first_lsn: last_lsn + 1,
            last_lsn: None,
            what: format!("it ends here, and {by} proves that LSN {proven} was on disk"),
        }
        .into())
    }
}

impl<F: Filesystem> Opened<F> {
    /// Writes down how far the log reaches. A start does not depend on it: a full disk must not
    /// keep anybody from reading.
    fn record(&self, durable: Lsn) {
        let newest = self.segments.last().map_or(0, |last| last.header.sequence);
        let change = |manifest: &mut Manifest| {
            manifest.newest = manifest.newest.max(newest);
            manifest.durable = manifest.durable.max(durable);
        };
        if let Err(error) = self.manifest.update(change) {
            tracing::warn!(
                path = "wal",
                %error,
                "the manifest could not be written; the log is as good as before, and no segment \
                 is deleted until it can"
            );
        }
    }
}

#[cfg(test)]
mod tests;
