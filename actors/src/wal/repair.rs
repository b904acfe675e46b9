//! Makes a damaged log one that a start accepts: what is intact stays, everything from the first
//! damage on goes to `quarantine/`.
//!
//! Segments behind the damage are moved first, the last one first, and each move is durable before
//! the next one begins; then the damaged segment is cut, once a copy of its end is safe. So at every
//! moment the log is a shorter one with the same damage at its end, no byte is in neither place, and
//! what a crash interrupts is finished by another repair.

use std::path::{Path, PathBuf};

use super::fs::{Filesystem, LogFile, OsFs};
use super::inspect::{Inspection, Verdict};
use super::lock::DataDir;
use super::quarantine;
use super::replay::{OpenError, io_error};
use super::segment::HEADER_LEN;
use crate::clock::UnixMs;
use crate::journal::Lsn;

/// What a repair would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The segment that is cut, and where, in bytes.
    pub cut: Option<(PathBuf, u64)>,
    /// Segments that leave the log whole, the last one first.
    pub moved: Vec<PathBuf>,
    /// The last LSN that stays.
    pub keeps: Lsn,
}

impl Plan {
    /// What to do about what was found. `None` if nothing is wrong, or if a later version wrote
    /// what this one takes for wrong.
    #[must_use]
    pub fn new(found: &Inspection) -> Option<Self> {
        let first = found.findings.first()?;
        if found.findings.iter().any(|finding| finding.verdict == Verdict::TooNew) {
            return None;
        }
        let at = found.segments.iter().position(|segment| segment.path == first.path)?;
        // Without an intact header nothing of a segment can stay.
        let whole = first.offset < HEADER_LEN as u64;
        let stay = if whole { at } else { at + 1 };
        let cut = (!whole && first.offset < found.segments[at].bytes)
            .then(|| (first.path.clone(), first.offset));
        let moved = found.segments[stay..].iter().rev().map(|segment| segment.path.clone());
        Some(Self { cut, moved: moved.collect(), keeps: found.intact_lsn })
    }

    /// Does it. Returns the files in `quarantine/` that hold what was taken out. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Io`]; what was done until then stays done, and another inspection and repair
    /// goes on from there.
    pub fn carry_out(&self, data: &DataDir, now: UnixMs) -> Result<Vec<PathBuf>, OpenError> {
        self.carry_out_on(&OsFs, data.path(), now)
    }

    pub(super) fn carry_out_on<F: Filesystem>(
        &self,
        fs: &F,
        data: &Path,
        now: UnixMs,
    ) -> Result<Vec<PathBuf>, OpenError> {
        let mut kept = Vec::new();
        for path in &self.moved {
            kept.push(quarantine::move_out(fs, data, path, now)?);
        }
        if let Some((path, offset)) = &self.cut {
            let (copy, _) = quarantine::cut(fs, data, path, *offset, now)?;
            let file = fs.open(path, true).map_err(io_error("open", path))?;
            file.sync().map_err(io_error("sync", path))?;
            kept.push(copy);
        }
        Ok(kept)
    }
}
