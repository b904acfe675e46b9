//! One attempt at filling stores: the newest snapshot, and the log behind it.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;

use seawall_actors::cache::store::Store;
use seawall_actors::journal::{Lsn, Record};
use seawall_actors::wal::{Flawed, Loaded, OpenError, Origin, Snapshots};
use tracing::{error, info, warn};

use super::fanout::Target;
use super::poison::{Crashed, Place};
use super::routed::Plan;

/// Hears how far an attempt is, and may break it off.
pub(super) trait Watch {
    /// A snapshot of so many bytes is read before the log; 0: none.
    fn snapshot(&mut self, bytes: u64);
    /// So many bytes of it are read, and entries of it applied.
    fn reached(&mut self, bytes: u64, records: u64) -> ControlFlow<()>;
}

/// What reads the log: it is given where to begin, how far a snapshot proves the log to reach, and
/// where to bring the records.
type Visit<'a> = dyn FnMut(Origin, Record<'_>) + 'a;

/// Whoever watches did not want the rest of the snapshot.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("reading the snapshot was broken off")]
pub(super) struct BrokenOff;

impl From<BrokenOff> for OpenError {
    fn from(_: BrokenOff) -> Self {
        Self::BrokenOff
    }
}

/// What an attempt came to.
pub(super) struct Filled<R> {
    pub(super) stores: Vec<Store>,
    /// The snapshot that was used.
    pub(super) loaded: Option<Loaded>,
    /// What reading the log returned.
    pub(super) log: R,
}

/// Fills the stores of the plan. `read_log` brings the records behind the snapshot, of which it is
/// told, and may return early once `crashed` is set. Blocks.
///
/// While a snapshot is loaded the stores hold no limits: one that was taken while keys came and
/// went may hold more of them than there ever were at a time, and only the log tells which went.
///
/// # Errors
/// Those of `read_log`; [`BrokenOff`] by the watch or a crash. If `crashed` is set, the
/// result is worth nothing, whatever it is.
pub(super) fn fill<R, E: From<BrokenOff>>(
    plan: &Plan,
    threads: usize,
    crashed: &Crashed,
    snapshots: &Snapshots,
    watch: &mut dyn Watch,
    read_log: impl FnOnce(Option<&Loaded>, &mut dyn Watch, &mut Visit<'_>) -> Result<R, E>,
) -> Result<Filled<R>, E> {
    let found = load_newest(plan, threads, crashed, snapshots, watch)?;
    let (mut target, loaded) = match found {
        Some((target, loaded)) => (target, Some(loaded)),
        None => (Target::limited(plan, threads, crashed), None),
    };
    let end = loaded.map_or(0, |loaded| loaded.end);
    let mut limited = loaded.is_none();
    let log = read_log(loaded.as_ref(), watch, &mut |origin, record| {
        if !limited && origin.lsn > end {
            target.limit();
            limited = true;
        }
        target.apply(Place::Record(origin.lsn), &record);
    });
    let log = match log {
        Ok(log) => log,
        Err(error) => {
            // Waits for its threads: the next attempt must not need memory beside this one's.
            drop(target.finish());
            return Err(error);
        }
    };
    if !limited {
        target.limit();
    }
    Ok(Filled { stores: target.finish(), loaded, log })
}

/// The newest snapshot that is whole. A damaged one is said aloud, put aside, and the one before
/// is taken.
fn load_newest(
    plan: &Plan,
    threads: usize,
    crashed: &Crashed,
    snapshots: &Snapshots,
    watch: &mut dyn Watch,
) -> Result<Option<(Target, Loaded)>, BrokenOff> {
    let (size, entries, begin) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let newest = snapshots.load_newest(
        |lsn: Lsn, path| {
            size.set(std::fs::metadata(path).map_or(0, |file| file.len()));
            entries.set(0);
            begin.set(lsn);
            Target::unlimited(plan, threads, crashed)
        },
        |target, record| {
            entries.set(entries.get() + 1);
            target.apply(Place::Entry(begin.get(), entries.get()), &record);
        },
        |bytes| {
            watch.snapshot(size.get());
            let watched = watch.reached(bytes, entries.get());
            if crashed.get().is_some() { ControlFlow::Break(()) } else { watched }
        },
        |path, flaw| put_aside(snapshots, path, flaw),
    );
    match newest {
        Ok(Some((target, loaded))) => {
            info!(
                entries = loaded.entries,
                bytes = loaded.bytes,
                begin = loaded.begin,
                end = loaded.end,
                "snapshot loaded"
            );
            if let Err(error) = snapshots.vouch_for(&loaded) {
                warn!(%error, "the manifest does not list the snapshot that was loaded");
            }
            Ok(Some((target, loaded)))
        }
        Err(Flawed::BrokenOff) => Err(BrokenOff),
        Ok(None) => {
            watch.snapshot(0);
            Ok(None)
        }
        Err(error) => {
            error!(%error, "the snapshots cannot be listed; the whole log is read instead");
            watch.snapshot(0);
            Ok(None)
        }
    }
}

fn put_aside(snapshots: &Snapshots, path: &Path, flaw: &Flawed) {
    let damaged = matches!(flaw, Flawed::Damaged { .. });
    let copy = damaged.then(|| snapshots.quarantine(path));
    let copy = copy.and_then(Result::ok).map(|copy| copy.display().to_string());
    error!(
        file = %path.display(),
        why = %flaw,
        moved_to = copy,
        "a snapshot cannot be used; the one before it is, or the whole log: nothing is lost"
    );
}
