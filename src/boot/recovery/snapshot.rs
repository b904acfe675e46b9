//! The newest snapshot that is whole, loaded into stores.

use std::cell::Cell;
use std::path::Path;

use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::wal::{Flawed, Loaded, OpenError, Snapshots};
use tracing::{error, info, warn};

use super::load::Progress;
use super::routed::Routed;

/// Loads the newest snapshot that is whole. A damaged one is said aloud, put aside, and the one
/// before is taken; without any, the stores stay empty, and the whole log is applied.
///
/// The stores hold no limits yet: a snapshot that was taken while keys came and went may hold
/// more of them than there ever were at a time, and only the log tells which went. Blocks.
///
/// # Errors
/// [`OpenError::BrokenOff`] by `progress`, and nothing else.
pub(super) fn load(
    snapshots: &Snapshots,
    hasher: KeyHasher,
    configs: &[StoreConfig],
    now: UnixMs,
    progress: &mut Progress<'_>,
) -> Result<(Routed, Option<Loaded>), OpenError> {
    if let Err(error) = snapshots.remove_unfinished() {
        warn!(%error, "an unfinished snapshot could not be removed");
    }
    let (size, entries) = (Cell::new(0), Cell::new(0));
    let newest = snapshots.load_newest(
        |path| {
            size.set(std::fs::metadata(path).map_or(0, |file| file.len()));
            entries.set(0);
            Routed::unlimited(hasher, configs, now)
        },
        |routed, record| {
            entries.set(entries.get() + 1);
            routed.apply(&record);
        },
        |bytes| {
            progress.with_snapshot(size.get());
            progress.reached(bytes, entries.get())
        },
        |path, flaw| put_aside(snapshots, path, flaw),
    );
    match newest {
        Ok(Some((routed, loaded))) => {
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
            return Ok((routed, Some(loaded)));
        }
        Ok(None) => {}
        Err(Flawed::BrokenOff) => return Err(OpenError::BrokenOff),
        Err(error) => {
            error!(%error, "the snapshots cannot be listed; the whole log is read instead");
        }
    }
    progress.with_snapshot(0);
    Ok((Routed::new(hasher, configs, now), None))
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
