//! Reading the log back: at boot, and one shard's part of it while it is being written.
//!
//! A bad frame is *torn* when a crash explains it: it lies in the last segment, nothing valid
//! follows, and its LSN was never recorded as durable. It is cut off, with a copy in
//! `quarantine/`. Any other bad frame is *corrupt*: somebody changed what had been written, and
//! nothing is served from such a log.

mod cut;
mod headers;
mod range;
mod report;
mod walk;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fs::{Filesystem, OsFs};
use crate::clock::Clock;
use crate::journal::{Lsn, Record};
use headers::Segment;
use walk::{Tally, Walk};

pub use headers::open;
#[cfg(test)]
pub(super) use headers::open_on;
pub use range::read_range;
pub(super) use report::io_error;
pub use report::{
    Damage, OpenError, Origin, Progress, RangeError, ReplayError, ReplayReport, Torn,
};

/// A log whose segments were found and fit together by their headers.
#[derive(Debug)]
pub struct Opened<F: Filesystem = OsFs> {
    fs: F,
    data: PathBuf,
    clock: Clock,
    segments: Vec<Segment>,
}

/// The directory of the segments.
pub(super) fn segments_dir(data: &Path) -> PathBuf {
    data.join("wal")
}

impl<F: Filesystem> Opened<F> {
    /// Feeds every record behind the LSN `from` (0: all of them) to `visit`, in order, and cuts
    /// off a torn end; what lies before is verified all the same. `progress` hears of every
    /// mebibyte or so. Blocks, and verifies on a second thread: run it where blocking is
    /// allowed.
    ///
    /// On return everything replayed is durable.
    ///
    /// # Errors
    /// [`ReplayError`]: the log is corrupt, or could not be read, cut or synced. What was
    /// visited until then must not be served.
    pub fn replay(
        &self,
        from: Lsn,
        mut visit: impl FnMut(Origin, Record<'_>),
        mut progress: impl FnMut(&Progress),
    ) -> Result<ReplayReport, ReplayError> {
        let begun = Instant::now();
        let total_bytes = self.segments.iter().map(|segment| segment.size).sum();
        let walk = Walk { fs: &self.fs, segments: &self.segments, from, upto: Lsn::MAX };
        let mut tally = Tally::default();
        let end = walk.run(
            |origin, record| {
                visit(origin, record);
                ControlFlow::Continue(())
            },
            |now| {
                tally = *now;
                let Tally { records, bytes, .. } = tally;
                progress(&Progress { bytes, total_bytes, records, took: begun.elapsed() });
            },
        )?;
        let (mut last_lsn, mut torn) = (0, None);
        if let Some(end) = end {
            last_lsn = end.next_lsn.saturating_sub(1);
            torn = end.torn.map(|torn| self.cut(torn)).transpose()?;
        }
        self.make_durable()?;
        Ok(ReplayReport {
            last_lsn,
            records: tally.records,
            frames: tally.frames,
            segments: self.segments.len() as u64,
            bytes: tally.bytes,
            took: begun.elapsed(),
            torn,
        })
    }
}

#[cfg(test)]
mod tests;
