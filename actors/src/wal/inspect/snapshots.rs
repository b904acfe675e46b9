//! The snapshots beside a log: which of them are whole, and what a start has without the others.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Finding, Inspection, Verdict};
use crate::journal::Lsn;
use crate::wal::fs::Filesystem;
use crate::wal::replay::{OpenError, io_error};
use crate::wal::snapshot::{self, Flawed, Snapshots};

/// A snapshot that is there, or that the manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// Its file.
    pub path: PathBuf,
    /// The log's records up to here are in it, as its name says.
    pub begin: Lsn,
    /// Whether the log behind it is still there; if not, no start looks at it.
    pub usable: bool,
    /// What was found when it was read to its end.
    pub found: Result<WholeSnapshot, SnapshotFlaw>,
}

/// What a snapshot that is whole says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeSnapshot {
    /// With the log up to here it is a state of the cache.
    pub end: Lsn,
    /// Entries in it.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// Why a snapshot is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFlaw {
    /// [`Verdict::OtherVersion`] or [`Verdict::Corrupt`].
    pub verdict: Verdict,
    /// What is wrong.
    pub what: String,
}

/// Reads every one to its end, the newest first.
pub(super) fn read<F: Filesystem>(fs: &F, data: &Path) -> Result<Vec<SnapshotSummary>, OpenError> {
    let Some(snapshots) = Snapshots::find(fs, data)? else { return Ok(Vec::new()) };
    let dir = snapshot::directory(data);
    let mut found = snapshots.list().map_err(io_error("list", &dir))?;
    found.extend(snapshots.listed());
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.dedup();
    Ok(found.into_iter().map(|(begin, path)| summary(&snapshots, begin, path)).collect())
}

fn summary<F: Filesystem>(snapshots: &Snapshots<F>, begin: Lsn, path: PathBuf) -> SnapshotSummary {
    let loaded = snapshots.load(&path, |_| {}, |_| ControlFlow::Continue(()));
    let found = match loaded {
        Ok(loaded) => {
            let (end, entries, bytes) = (loaded.end, loaded.entries, loaded.bytes);
            Ok(WholeSnapshot { end, entries, bytes })
        }
        Err(Flawed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            let what = "the manifest lists it, and it is not there".to_owned();
            Err(SnapshotFlaw { verdict: Verdict::Corrupt, what })
        }
        Err(flaw) => {
            let foreign = matches!(flaw, Flawed::OtherVersion(_));
            let verdict = if foreign { Verdict::OtherVersion } else { Verdict::Corrupt };
            Err(SnapshotFlaw { verdict, what: flaw.to_string() })
        }
    };
    SnapshotSummary { usable: snapshots.has_log_behind(begin), path, begin, found }
}

/// Notes what a start would refuse for, beside what is wrong with the log in itself. The snapshots
/// were read before the log: what they prove was on disk by then.
pub(super) fn hold_against(report: &mut Inspection, data: &Path) {
    if report.log_verdict() > Verdict::Torn {
        return;
    }
    let begins = report.segments.first().map_or(1, |first| first.first_lsn);
    let proven = report.base().map(|(base, whole)| (base.path.clone(), whole.end));
    match proven {
        Some((path, end)) if end > report.intact_lsn => {
            let last = report.segments.last();
            report.note(Finding {
                verdict: Verdict::Corrupt,
                path: last.map_or_else(|| data.to_owned(), |last| last.path.clone()),
                offset: last.map_or(0, |last| last.bytes),
                bytes: 0,
                first_lsn: report.intact_lsn.saturating_add(1),
                last_lsn: Some(end),
                what: format!(
                    "it ends here, and the snapshot {} proves that LSN {end} was on disk",
                    path.display()
                ),
            });
            report.last_lsn = report.last_lsn.max(end);
        }
        None if begins > 1 => {
            report.baseless = true;
            report.note(Finding {
                verdict: Verdict::Corrupt,
                path: snapshot::directory(data),
                offset: 0,
                bytes: 0,
                first_lsn: 1,
                last_lsn: Some(begins - 1),
                what: format!(
                    "no snapshot that is whole stands for what was deleted before LSN {begins}, \
                     where the log begins"
                ),
            });
        }
        _ => {}
    }
}
