//! What replay changes on disk: a torn end is cut off, and what was read is made durable.

use super::report::{OpenError, Torn, io_error};
use super::walk::TornEnd;
use super::{Opened, segments_dir};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::quarantine;

impl<F: Filesystem> Opened<F> {
    /// The last segment may not be on disk yet, if its writer was killed.
    pub(super) fn make_durable(&self) -> Result<(), OpenError> {
        let Some(last) = self.segments.last() else { return Ok(()) };
        let file = self.fs.open(&last.path, true).map_err(io_error("open", &last.path))?;
        file.sync().map_err(io_error("sync", &last.path))?;
        let dir = segments_dir(&self.data);
        self.fs.sync_dir(&dir).map_err(io_error("sync", &dir))
    }

    /// Cuts off the torn end, once a copy of it is safe.
    pub(super) fn cut(&self, end: TornEnd) -> Result<Torn, OpenError> {
        let TornEnd { path, offset, what } = end;
        let now = self.clock.unix_ms();
        let (copy, bytes) = quarantine::cut(&self.fs, &self.data, &path, offset, now)?;
        Ok(Torn { path, offset, bytes, copy, what })
    }
}
