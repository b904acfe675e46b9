//! The newest snapshot that is whole, loaded into stores.

use std::path::Path;

use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::wal::{Flawed, Loaded, Snapshots};
use tracing::{error, info, warn};

use super::routed::Routed;

/// Loads the newest snapshot that is whole. A damaged one is said aloud, put aside, and the one
/// before is taken; without any, the stores stay empty, and the whole log is applied.
///
/// The stores hold no limits yet: a snapshot that was taken while keys came and went may hold
/// more of them than there ever were at a time, and only the log tells which went. Blocks.
pub(super) fn load(
    snapshots: &Snapshots,
    hasher: KeyHasher,
    configs: &[StoreConfig],
    now: UnixMs,
) -> (Routed, Option<Loaded>) {
    if let Err(error) = snapshots.remove_unfinished() {
        warn!(%error, "an unfinished snapshot could not be removed");
    }
    let newest = snapshots.load_newest(
        || Routed::unlimited(hasher, configs, now),
        |routed, record| routed.apply(&record),
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
            return (routed, Some(loaded));
        }
        Ok(None) => {}
        Err(error) => {
            error!(%error, "the snapshots cannot be listed; the whole log is read instead");
        }
    }
    (Routed::new(hasher, configs, now), None)
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
