//! The newest snapshot that is whole, loaded into stores.

use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Record;
use seawall_actors::wal::{Flawed, Loaded, Snapshots};
use tracing::{error, info, warn};

use super::load::Progress;
use super::routed::Routed;

/// Loads the newest snapshot that is whole. A damaged one is said aloud, put aside, and the one
/// before is taken; without any, the stores stay empty, and the whole log is applied.
///
/// The stores hold no limits yet: a snapshot that was taken while keys came and went may hold
/// more of them than there ever were at a time, and only the log tells which went. `None` if
/// `progress` broke it off. Blocks.
pub(super) fn load(
    snapshots: &Snapshots,
    hasher: KeyHasher,
    configs: &[StoreConfig],
    now: UnixMs,
    progress: &mut Progress<'_>,
) -> Option<(Routed, Option<Loaded>)> {
    if let Err(error) = snapshots.remove_unfinished() {
        warn!(%error, "an unfinished snapshot could not be removed");
    }
    let found = snapshots.list().unwrap_or_else(|error| {
        error!(%error, "the snapshots cannot be listed; the whole log is read instead");
        Vec::new()
    });
    for (_, path) in found {
        let mut routed = Routed::unlimited(hasher, configs, now);
        progress.with_snapshot(std::fs::metadata(&path).map_or(0, |file| file.len()));
        let entries = std::cell::Cell::new(0);
        let apply = |record: Record<'_>| {
            entries.set(entries.get() + 1);
            routed.apply(&record);
        };
        match snapshots.load(&path, apply, |bytes| progress.reached(bytes, entries.get())) {
            Ok(loaded) => {
                info!(
                    file = %path.display(),
                    entries = loaded.entries,
                    bytes = loaded.bytes,
                    begin = loaded.begin,
                    end = loaded.end,
                    "snapshot loaded"
                );
                return Some((routed, Some(loaded)));
            }
            Err(Flawed::BrokenOff) => return None,
            Err(flaw) => {
                let damaged = matches!(flaw, Flawed::Damaged { .. });
                let copy = damaged.then(|| snapshots.quarantine(&path));
                let copy = copy.and_then(Result::ok).map(|copy| copy.display().to_string());
                error!(
                    file = %path.display(),
                    why = %flaw,
                    moved_to = copy,
                    "a snapshot cannot be used; the one before it is, or the whole log: nothing is lost"
                );
            }
        }
    }
    progress.with_snapshot(0);
    Some((Routed::new(hasher, configs, now), None))
}
