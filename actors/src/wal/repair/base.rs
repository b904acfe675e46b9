//! Snapshots that stand for the log before them.

use std::ops::ControlFlow;
use std::path::Path;

use crate::clock::Clock;
use crate::journal::Lsn;
use crate::wal::fs::{Filesystem, OsFs};
use crate::wal::holds::Holds;
use crate::wal::inspect::Inspection;
use crate::wal::manifest::{self, Floor, Manifest, ManifestFile};
use crate::wal::replay::{OpenError, io_error};
use crate::wal::snapshot::{self, Flawed, Snapshots};
use crate::wal::writer::read_header;

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
        let Some(manifest) = known(fs, data, found)? else { return Ok(Vec::new()) };
        let manifest = ManifestFile::new(fs.clone(), data, Clock::System, manifest, true);
        let snapshots = Snapshots::new(fs.clone(), data, manifest, Holds::new(1), Clock::System);
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

/// The manifest, or what the segments tell in its place. `None` where there is nothing to repair,
/// or nothing to go by.
fn known<F: Filesystem>(
    fs: &F,
    data: &Path,
    found: &Inspection,
) -> Result<Option<Manifest>, OpenError> {
    if found.findings.is_empty() {
        return Ok(None);
    }
    if let Ok(Some(manifest)) = manifest::read(fs, data).map(|copies| copies.manifest) {
        return Ok(Some(manifest));
    }
    for segment in &found.segments {
        let path = &segment.path;
        let file = fs.open(path, false).map_err(io_error("open", path))?;
        if let Ok(header) = read_header(&file).map_err(io_error("read", path))? {
            return Ok(Some(Manifest::new(header.log, Floor::START)));
        }
    }
    Ok(None)
}
