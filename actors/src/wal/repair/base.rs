//! Snapshots that stand for the log before them.

use std::ops::ControlFlow;
use std::path::Path;

use crate::journal::Lsn;
use crate::wal::fs::{Filesystem, OsFs};
use crate::wal::inspect::Inspection;
use crate::wal::replay::{OpenError, io_error};
use crate::wal::snapshot::{self, Flawed, Snapshots};

/// A snapshot that was read to its end and is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The log's records up to here are in it.
    pub begin: Lsn,
    /// The log has to reach to here.
    pub end: Lsn,
}

impl Base {
    /// Those of the log that was looked at, the newest first. None where nothing was found wrong:
    /// reading them takes as long as a start. Changes nothing. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: they cannot be read.
    pub fn all(data: &Path, found: &Inspection) -> Result<Vec<Self>, OpenError> {
        Self::all_on(&OsFs, data, found)
    }

    pub(in crate::wal) fn all_on<F: Filesystem>(
        fs: &F,
        data: &Path,
        found: &Inspection,
    ) -> Result<Vec<Self>, OpenError> {
        if found.findings.is_empty() {
            return Ok(Vec::new());
        }
        let Some(snapshots) = Snapshots::find(fs, data)? else { return Ok(Vec::new()) };
        let dir = snapshot::directory(data);
        let mut whole = Vec::new();
        for (_, path) in snapshots.usable().map_err(io_error("list", &dir))? {
            match snapshots.load(&path, |_| {}, |_| ControlFlow::Continue(())) {
                Ok(loaded) => whole.push(Self { begin: loaded.begin, end: loaded.end }),
                Err(Flawed::Io(error)) => return Err(io_error("read", &path)(error)),
                Err(_) => {}
            }
        }
        Ok(whole)
    }
}
