//! What the manifest says about the log that is looked at.

use std::path::{Path, PathBuf};

use super::headers::Candidate;
use super::{Finding, Inspection, ManifestSummary, Verdict};
use crate::journal::Lsn;
use crate::wal::frame::Digest;
use crate::wal::fs::Filesystem;
use crate::wal::manifest::{self, Floor, Manifest, PATHS};
use crate::wal::replay::OpenError;

/// What is known beside the segments.
#[derive(Debug, Default)]
pub(super) struct Known {
    manifest: Option<Manifest>,
    damaged: Vec<PathBuf>,
    /// A copy that another version wrote, and what it needs.
    foreign: Option<(PathBuf, String)>,
}

impl Known {
    pub(super) fn read<F: Filesystem>(fs: &F, data: &Path) -> Result<Self, OpenError> {
        match manifest::read(fs, data) {
            Ok(copies) => {
                Ok(Self { manifest: copies.manifest, damaged: copies.damaged, foreign: None })
            }
            Err(OpenError::OtherVersion { path, what }) => {
                Ok(Self { foreign: Some((path, what)), ..Self::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing was ever written down.
    pub(super) const fn is_nothing(&self) -> bool {
        self.manifest.is_none() && self.damaged.is_empty() && self.foreign.is_none()
    }

    /// The number of the oldest segment that counts; what is below is left over.
    pub(super) fn first_sequence(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.floor.sequence)
    }

    /// Where the log begins. If the manifest cannot be read, it is taken to begin where its segments
    /// do.
    pub(super) fn floor(&self, candidates: &[Candidate]) -> (u64, Lsn, Option<Digest>) {
        let Floor { sequence, first_lsn, link } = match (&self.manifest, candidates.first()) {
            (Some(manifest), _) => manifest.floor,
            (None, Some(first)) if !self.is_nothing() => {
                return (first.sequence, first.first_lsn, first.link());
            }
            (None, _) => Floor::START,
        };
        (sequence, first_lsn, Some(link))
    }

    /// The log was on disk up to here.
    pub(super) fn durable(&self) -> Lsn {
        self.manifest.as_ref().map_or(0, |manifest| manifest.durable)
    }

    pub(super) fn summary(&self) -> Option<ManifestSummary> {
        if self.is_nothing() {
            return None;
        }
        let damaged = self.damaged.clone();
        let Some(manifest) = &self.manifest else {
            return Some(ManifestSummary { damaged, ..ManifestSummary::default() });
        };
        Some(ManifestSummary {
            generation: manifest.generation,
            first_sequence: manifest.floor.sequence,
            first_lsn: manifest.floor.first_lsn,
            durable_lsn: manifest.durable,
            snapshots: manifest.snapshots.len() as u64,
            damaged,
        })
    }

    /// Notes what does not fit between the manifest and the segments, which end before `next_lsn`.
    pub(super) fn compare(
        &self,
        dir: &Path,
        candidates: &[Candidate],
        next_lsn: Lsn,
        report: &mut Inspection,
    ) {
        let finding = |path: &Path, what: String| Finding {
            verdict: Verdict::Corrupt,
            path: path.to_owned(),
            offset: 0,
            bytes: 0,
            first_lsn: next_lsn,
            last_lsn: None,
            what,
        };
        if let Some((path, what)) = &self.foreign {
            let found = finding(path, what.clone());
            return report.note(Finding { verdict: Verdict::OtherVersion, ..found });
        }
        let Some(manifest) = &self.manifest else {
            if let Some(path) = self.damaged.first() {
                let [a, b] = PATHS;
                let what = format!("the manifest is damaged: {a} and {b} are missing or not whole");
                report.note(finding(path, what));
            }
            return;
        };
        let last_lsn = Some(manifest.durable).filter(|last| *last >= next_lsn);
        let last = candidates.last();
        let (path, offset) = last.map_or((dir, 0), |last| (last.path.as_path(), last.size));
        let first = candidates.iter().find_map(|candidate| candidate.header.as_ref().ok());
        if let Some(first) = first.filter(|first| first.log != manifest.log) {
            let what = "the manifest beside it belongs to another log".to_owned();
            report.note(Finding { first_lsn: first.first_lsn, ..finding(dir, what) });
        } else if last.is_none_or(|last| last.sequence < manifest.newest) {
            let what = format!(
                "the manifest knows segments up to {}, and {} is the last one there is",
                manifest.newest,
                last.map_or(0, |last| last.sequence)
            );
            report.note(Finding { offset, last_lsn, ..finding(path, what) });
        } else if last_lsn.is_some() && report.findings.is_empty() {
            let what = format!(
                "it ends here, and the manifest proves that LSN {} was on disk",
                manifest.durable
            );
            report.note(Finding { offset, last_lsn, ..finding(path, what) });
        }
        report.last_lsn = report.last_lsn.max(manifest.durable);
    }
}
