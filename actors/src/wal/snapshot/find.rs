//! The snapshots of a log that may be damaged, for tools that only look.

use std::path::Path;

use super::Snapshots;
use crate::clock::Clock;
use crate::wal::fs::Filesystem;
use crate::wal::holds::Holds;
use crate::wal::manifest::{self, Floor, Manifest, ManifestFile};
use crate::wal::replay::{OpenError, io_error, segments_dir};
use crate::wal::segment;
use crate::wal::writer::read_header;

impl<F: Filesystem> Snapshots<F> {
    /// Those of the log in `data`, as the manifest knows it, or the first segment that can be read.
    /// `None` if nothing tells which log that is. Changes nothing. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: the segments cannot be read.
    pub(in crate::wal) fn find(fs: &F, data: &Path) -> Result<Option<Self>, OpenError> {
        let Some(manifest) = known(fs, data)? else { return Ok(None) };
        let manifest = ManifestFile::new(fs.clone(), data, Clock::System, manifest, true);
        Ok(Some(Self::new(fs.clone(), data, manifest, Holds::new(1), Clock::System)))
    }
}

fn known<F: Filesystem>(fs: &F, data: &Path) -> Result<Option<Manifest>, OpenError> {
    if let Ok(Some(manifest)) = manifest::read(fs, data).map(|copies| copies.manifest) {
        return Ok(Some(manifest));
    }
    let dir = segments_dir(data);
    for (_, _, path) in segment::list(fs, &dir).map_err(io_error("list", &dir))? {
        let file = fs.open(&path, false).map_err(io_error("open", &path))?;
        if let Ok(header) = read_header(&file).map_err(io_error("read", &path))? {
            return Ok(Some(Manifest::new(header.log, Floor::START)));
        }
    }
    Ok(None)
}
