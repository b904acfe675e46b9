//! What replay changes on disk: a torn end is cut off, and what was read is made durable.

use super::report::{OpenError, Torn, io_error};
use super::walk::TornEnd;
use super::{Opened, segments_dir};
use crate::wal::fs::{Filesystem, LogFile};

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
        let path = &path;
        let quarantine = self.data.join("quarantine");
        self.fs.create_dir(&quarantine).map_err(io_error("create", &quarantine))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = quarantine.join(format!("{name}.{offset}.{}", self.clock.unix_ms()));
        let file = self.fs.open(path, true).map_err(io_error("open", path))?;
        self.fs.remove(&copy).map_err(io_error("replace", &copy))?;
        let out = self.fs.create(&copy).map_err(io_error("create", &copy))?;
        let mut buf = vec![0; 64 * 1024];
        let mut at = offset;
        loop {
            let n = file.read_at(&mut buf, at).map_err(io_error("read", path))?;
            if n == 0 {
                break;
            }
            out.write_at(&buf[..n], at - offset).map_err(io_error("write", &copy))?;
            at += n as u64;
        }
        out.sync().map_err(io_error("sync", &copy))?;
        self.fs.sync_dir(&quarantine).map_err(io_error("sync", &quarantine))?;
        file.cut(offset).map_err(io_error("cut", path))?;
        Ok(Torn { path: path.clone(), offset, bytes: at - offset, copy, what })
    }
}
