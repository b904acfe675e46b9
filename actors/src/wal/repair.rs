//! Makes a damaged log one that a start accepts: what is intact stays, everything from the first
//! damage on goes to `quarantine/`.
//!
//! Snapshots that stand for what is taken out leave first. Segments behind the damage are moved
//! next, the last one first, and each move is durable before the next one begins; then the damaged
//! segment is cut, once a copy of its end is safe; last, the LSNs that were taken out are filled with
//! records that stand for nothing, so that nobody who has seen one of them mistakes a later record
//! for it, and the manifest is written anew from what stays. So at every moment the log is a shorter one with the same damage at its end, no byte is in
//! neither place, and what a crash interrupts is finished by another repair.

mod void;

use std::path::{Path, PathBuf};

use super::fs::{Filesystem, LogFile, OsFs};
use super::inspect::{Finding, Inspection, Verdict};
use super::lock::DataDir;
use super::manifest::{self, Floor, Manifest, ManifestFile, PATHS};
use super::replay::{Damage, OpenError, io_error, segments_dir};
use super::segment::{self, HEADER_LEN};
use super::writer::read_header;
use super::{quarantine, snapshot};
use crate::clock::{Clock, UnixMs};
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
    /// The last LSN that anything speaks of: none up to here is given again.
    pub last: Lsn,
    /// No segment stays: the next start begins a new log.
    pub empties: bool,
}

impl Plan {
    /// What to do about what was found. `None` if nothing is wrong, or if a later version wrote
    /// what this one takes for wrong.
    #[must_use]
    pub fn new(found: &Inspection) -> Option<Self> {
        let too_new = |finding: &Finding| finding.verdict == Verdict::TooNew;
        if found.findings.is_empty() || found.findings.iter().any(too_new) {
            return None;
        }
        // The others are about the manifest, which is written anew whatever is wrong.
        let place = found.findings.iter().find_map(|finding| {
            let at = found.segments.iter().position(|segment| segment.path == finding.path)?;
            Some((at, finding.offset))
        });
        let (mut cut, mut stay) = (None, found.segments.len());
        if let Some((at, offset)) = place {
            // Without an intact header nothing of a segment can stay.
            let whole = offset < HEADER_LEN as u64;
            stay = if whole { at } else { at + 1 };
            let segment = &found.segments[at];
            cut = (!whole && offset < segment.bytes).then(|| (segment.path.clone(), offset));
        }
        let moved = found.segments[stay..].iter().rev().map(|segment| segment.path.clone());
        let (keeps, empties) = (found.intact_lsn, stay == 0);
        let (moved, last) = (moved.collect(), found.last_lsn.max(keeps));
        Some(Self { cut, moved, keeps, last, empties })
    }

    /// Does it. Returns the files in `quarantine/` that hold what was taken out. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Io`]; what was done until then stays done, and another inspection and repair
    /// goes on from there.
    pub fn carry_out(&self, data: &DataDir, clock: &Clock) -> Result<Vec<PathBuf>, OpenError> {
        self.carry_out_on(&OsFs, data.path(), clock)
    }

    pub(super) fn carry_out_on<F: Filesystem>(
        &self,
        fs: &F,
        data: &Path,
        clock: &Clock,
    ) -> Result<Vec<PathBuf>, OpenError> {
        let now = clock.unix_ms();
        let last = self.remember_last(fs, data, clock)?;
        let mut kept = self.move_snapshots(fs, data, now)?;
        for path in &self.moved {
            kept.push(quarantine::move_out(fs, data, path, now)?);
        }
        if let Some((path, offset)) = &self.cut {
            let (copy, _) = quarantine::cut(fs, data, path, *offset, now)?;
            let file = fs.open(path, true).map_err(io_error("open", path))?;
            file.sync().map_err(io_error("sync", path))?;
            kept.push(copy);
        }
        void::fill(fs, data, last, now)?;
        self.renew_manifest(fs, data, clock, last, &mut kept)?;
        Ok(kept)
    }

    /// Writes down up to which LSN none may be given again: what tells it may be moved away next,
    /// and a crash come then. Returns it.
    fn remember_last<F: Filesystem>(
        &self,
        fs: &F,
        data: &Path,
        clock: &Clock,
    ) -> Result<Lsn, OpenError> {
        let dir = snapshot::directory(data);
        let ends = snapshot::ends(fs, data).map_err(io_error("read the snapshots in", &dir))?;
        let last = ends.iter().map(|(_, end)| *end).fold(self.last, Lsn::max);
        if let Some(manifest) = manifest::read(fs, data)?.manifest.filter(|_| !self.empties) {
            let file = ManifestFile::new(fs.clone(), data, clock.clone(), manifest, true);
            file.update(|manifest| manifest.durable = manifest.durable.max(last))
                .map_err(io_error("write the manifest in", data))?;
        }
        Ok(last)
    }

    /// Moves snapshots out that no start would accept without what is taken out of the log.
    fn move_snapshots<F: Filesystem>(
        &self,
        fs: &F,
        data: &Path,
        now: UnixMs,
    ) -> Result<Vec<PathBuf>, OpenError> {
        let dir = snapshot::directory(data);
        let found = snapshot::ends(fs, data).map_err(io_error("read the snapshots in", &dir))?;
        let mut kept = Vec::new();
        for (path, _) in found.into_iter().filter(|(_, end)| self.empties || *end > self.keeps) {
            kept.push(quarantine::move_out(fs, data, &path, now)?);
        }
        Ok(kept)
    }

    /// Makes the manifest say what is there now, once copies of it are safe.
    fn renew_manifest<F: Filesystem>(
        &self,
        fs: &F,
        data: &Path,
        clock: &Clock,
        last: Lsn,
        kept: &mut Vec<PathBuf>,
    ) -> Result<(), OpenError> {
        let before = manifest::read(fs, data)?.manifest;
        for path in PATHS.map(|name| data.join(name)) {
            kept.extend(quarantine::copy(fs, data, &path, clock.unix_ms())?);
        }
        let floor = before.as_ref().map_or(0, |before| before.floor.sequence);
        let dir = segments_dir(data);
        let mut staying = segment::list(fs, &dir).map_err(io_error("list", &dir))?;
        staying.retain(|(sequence, ..)| *sequence >= floor);
        let (Some((_, _, first)), Some((newest, ..))) = (staying.first(), staying.last()) else {
            for path in PATHS.map(|name| data.join(name)) {
                fs.remove(&path).map_err(io_error("remove", &path))?;
            }
            return fs.sync_dir(data).map_err(io_error("sync", data));
        };
        let file = fs.open(first, false).map_err(io_error("open", first))?;
        let header = read_header(&file).map_err(io_error("read", first))?;
        let header = header.map_err(|error| Damage {
            path: first.clone(),
            offset: 0,
            first_lsn: self.keeps.saturating_add(1),
            last_lsn: None,
            what: error.to_string(),
        })?;
        let fits = |manifest: &Manifest| manifest.log == header.log;
        let fresh = || Manifest::new(header.log, Floor::at(&header));
        let mut manifest = before.filter(fits).unwrap_or_else(fresh);
        manifest.newest = *newest;
        manifest.durable = last;
        manifest.snapshots.retain(|one| one.end <= self.keeps);
        let file = ManifestFile::new(fs.clone(), data, clock.clone(), manifest, false);
        file.update_both(|_| {}).map_err(io_error("write the manifest in", data))
    }
}
