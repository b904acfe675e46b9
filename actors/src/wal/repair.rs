//! Makes a damaged log one that a start accepts: what is intact stays, everything from the first
//! damage on goes to `quarantine/`.
//!
//! Where a snapshot stands for what is damaged, the log begins behind the damage instead, if more of
//! it stays that way: copies of the segments before are made, the manifest's floor is raised, and
//! only then are they removed.
//!
//! Snapshots that stand for what is taken out leave first. Segments behind the damage are moved
//! next, the last one first, and each move is durable before the next one begins; then the damaged
//! segment is cut, once a copy of its end is safe; last, the LSNs that were taken out are filled with
//! records that stand for nothing, so that nobody who has seen one of them mistakes a later record
//! for it, and the manifest is written anew from what stays. So at every moment the log is a shorter
//! one with the same damage at its end, no byte is in neither place, and what a crash interrupts is
//! finished by another repair.

mod base;
mod void;

pub use base::Base;

use std::cmp::Reverse;
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
    /// Segments that leave the log whole at its end, the last one first.
    pub moved: Vec<PathBuf>,
    /// Segments that leave the log whole at its beginning, the first one first.
    pub passed: Vec<PathBuf>,
    /// The snapshot that stands for these.
    pub base: Option<Base>,
    /// The last LSN that stays; 0 if nothing does.
    pub keeps: Lsn,
    /// The last LSN that anything speaks of: none up to here is given again.
    pub last: Lsn,
    /// No segment stays: the next start begins a new log.
    pub empties: bool,
}

impl Plan {
    /// What to do about what was found: whatever keeps most. `bases` are the snapshots that are
    /// whole, see [`Base::all`]. `None` if nothing is wrong, or if another version wrote what this
    /// one takes for wrong.
    #[must_use]
    pub fn new(found: &Inspection, bases: &[Base]) -> Option<Self> {
        let foreign = |finding: &Finding| finding.verdict == Verdict::OtherVersion;
        if found.findings.is_empty() || found.findings.iter().any(foreign) {
            return None;
        }
        let cut = Self::cut_behind(found, |_| true, found.intact_lsn);
        let keeps = cut.keeps;
        let passing = bases.iter().filter_map(|base| Self::pass_to(found, *base));
        let best = passing.max_by_key(|plan| (plan.keeps, Reverse(plan.passed.len())));
        if let Some(plan) = best.filter(|plan| plan.keeps > keeps) {
            return Some(plan);
        }
        // A log that begins later is nothing without a snapshot that stands for what came before.
        let begins = found.manifest.as_ref().map_or(0, |manifest| manifest.first_lsn);
        let based = |base: &Base| base.begin.saturating_add(1) >= begins && base.end <= keeps;
        if begins > 1 && !bases.iter().any(based) {
            let moved = found.segments.iter().rev().map(|segment| segment.path.clone()).collect();
            return Some(Self { cut: None, moved, keeps: 0, empties: true, ..cut });
        }
        Some(cut)
    }

    /// Takes out everything from the first damage on that `counts`; up to `keeps` there is none.
    fn cut_behind(found: &Inspection, counts: impl Fn(&Place<'_>) -> bool, keeps: Lsn) -> Self {
        let place = places(found).find(counts);
        let (mut cut, mut stay) = (None, found.segments.len());
        if let Some(Place { at, finding: Finding { offset, .. }, .. }) = place {
            // Without an intact header nothing of a segment can stay.
            let whole = *offset < HEADER_LEN as u64;
            stay = if whole { at } else { at + 1 };
            let segment = &found.segments[at];
            cut = (!whole && *offset < segment.bytes).then(|| (segment.path.clone(), *offset));
        }
        let moved = found.segments[stay..].iter().rev().map(|segment| segment.path.clone());
        let (moved, empties) = (moved.collect(), stay == 0);
        let last = found.last_lsn.max(keeps);
        Self { cut, moved, passed: Vec::new(), base: None, keeps, last, empties }
    }

    /// Lets the log begin behind the last damage that `base` stands for. `None` if there is none, or
    /// if the log does not reach from there to the base's end.
    fn pass_to(found: &Inspection, base: Base) -> Option<Self> {
        // What is not named might lie anywhere.
        if found.more_findings > 0 {
            return None;
        }
        let due = base.begin.saturating_add(1);
        let last = found.segments.iter().rposition(|segment| segment.first_lsn <= due)?;
        let first = places(found).map(|place| place.behind).filter(|at| *at <= last).max()?;
        let stays = |place: &Place<'_>| place.behind > first;
        let end = places(found).find(stays);
        let keeps = end.map_or(found.last_lsn, |end| end.finding.first_lsn.saturating_sub(1));
        let passed = found.segments[..first].iter().map(|segment| segment.path.clone()).collect();
        let cut = Self::cut_behind(found, stays, keeps);
        (keeps >= base.end && !cut.moved.contains(&found.segments[first].path)).then_some(Self {
            passed,
            base: Some(base),
            ..cut
        })
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
        for path in &self.passed {
            kept.extend(quarantine::copy(fs, data, path, now)?);
        }
        self.renew_manifest(fs, data, clock, last, &mut kept)?;
        for path in &self.passed {
            fs.remove(path).map_err(io_error("remove", path))?;
        }
        let dir = segments_dir(data);
        fs.sync_dir(&dir).map_err(io_error("sync", &dir))?;
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
        staying.retain(|(sequence, _, path)| *sequence >= floor && !self.passed.contains(path));
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
        if self.base.is_some() {
            manifest.floor = Floor::at(&header);
        }
        manifest.newest = *newest;
        manifest.durable = last;
        manifest.snapshots.retain(|one| one.end <= self.keeps);
        let file = ManifestFile::new(fs.clone(), data, clock.clone(), manifest, false);
        file.update_both(|_| {}).map_err(io_error("write the manifest in", data))
    }
}

/// Where a finding lies.
struct Place<'a> {
    finding: &'a Finding,
    /// The index of the segment that it is about.
    at: usize,
    /// The index of the first segment behind it.
    behind: usize,
}

/// The findings that are about a segment, in the order of the log. The others are about the manifest,
/// which is written anew whatever is wrong.
fn places(found: &Inspection) -> impl Iterator<Item = Place<'_>> {
    found.findings.iter().filter_map(|finding| {
        let at = found.segments.iter().position(|segment| segment.path == finding.path)?;
        // What is missing before a segment is noted with it, and is no damage of its own.
        let before = finding.last_lsn.is_some_and(|last| last < found.segments[at].first_lsn);
        Some(Place { finding, at, behind: if before { at } else { at + 1 } })
    })
}
