//! What a start would find, without a start: nothing on disk changes, and a daemon may be writing.

use std::ops::ControlFlow;
use std::path::Path;

use super::headers::{Leftovers, find_on};
use super::report::{OpenError, Origin, Progress};
use crate::clock::Clock;
use crate::journal::{Lsn, Record};
use crate::wal::fs::{Filesystem, OsFs};
use crate::wal::snapshot::{Flawed, Snapshots};

/// What was gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last LSN.
    pub last_lsn: Lsn,
    /// Snapshots that are no use, and why: the next start would put them aside.
    pub flawed: Vec<String>,
    /// What stands behind the last LSN and is no frame, if anything does: the next start would cut
    /// it off. Beside a daemon it is a frame that was being written.
    pub torn: Option<String>,
}

/// Goes through the newest whole snapshot in the data directory and the log behind it: `fresh`
/// makes what the records are put into by `apply`, anew for each snapshot that is tried.
/// `progress` hears of every mebibyte of log or so. Blocks, and verifies on a second thread.
///
/// Beside a daemon it may fail, seen in the middle of a write, where another try does not. What keeps
/// a daemon from deleting meanwhile is [`Reading`](crate::wal::Reading).
///
/// # Errors
/// [`OpenError`]: there is no log, or it is damaged, as for a start; what was applied until then
/// must not be used.
pub fn look<T>(
    data: &Path,
    clock: Clock,
    fresh: impl FnMut() -> T,
    apply: impl FnMut(&mut T, Record<'_>),
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(T, Seen), OpenError> {
    look_on(OsFs, data, clock, fresh, apply, progress)
}

/// Verifies the whole log in `data` and changes nothing on disk; its snapshots, and its last LSN.
///
/// # Errors
/// As [`look`].
pub(in crate::wal) fn verify(
    data: &Path,
    clock: Clock,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(Snapshots, Lsn), OpenError> {
    let opened = find_on(OsFs, data, clock, Leftovers::Leave)?;
    let (report, _) = opened.read(Lsn::MAX, |_, _| {}, progress)?;
    Ok((opened.snapshots(), report.last_lsn))
}

pub(in crate::wal) fn look_on<F: Filesystem, T>(
    fs: F,
    data: &Path,
    clock: Clock,
    mut fresh: impl FnMut() -> T,
    mut apply: impl FnMut(&mut T, Record<'_>),
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(T, Seen), OpenError> {
    let mut opened = find_on(fs, data, clock, Leftovers::Leave)?;
    let mut flawed = Vec::new();
    let newest = opened.snapshots().load_newest(
        |_, _| fresh(),
        &mut apply,
        |_| ControlFlow::Continue(()),
        |path, flaw| flawed.push(format!("{}: {flaw}", path.display())),
    );
    let newest = match newest {
        Ok(newest) => newest,
        Err(Flawed::BrokenOff) => return Err(OpenError::BrokenOff),
        // They cannot be listed; the log may hold everything.
        Err(flaw) => {
            flawed.push(flaw.to_string());
            None
        }
    };
    let (mut target, begin, end) = match newest {
        Some((target, loaded)) => (target, loaded.begin, loaded.end),
        None => (fresh(), 0, 0),
    };
    let visit = |_: Origin, record: Record<'_>| apply(&mut target, record);
    opened.prove(end);
    let (report, torn) = opened.read(begin, visit, progress)?;
    let torn = torn
        .map(|torn| format!("{} at offset {}: {}", torn.path.display(), torn.offset, torn.what));
    Ok((target, Seen { last_lsn: report.last_lsn, flawed, torn }))
}
