//! Records of the log on their way to the shards' stores.

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Record;
use tracing::warn;

/// Entries that are expired at once when a store has been filled; the records of that wait in
/// the store for its shard.
const SETTLE_MAX: u32 = 10_000;

/// Stores that records are routed to while replaying.
pub(super) struct Routed {
    stores: Vec<Store>,
    hasher: KeyHasher,
    now: UnixMs,
}

impl Routed {
    pub(super) fn new(hasher: KeyHasher, configs: &[StoreConfig], now: UnixMs) -> Self {
        Self { stores: configs.iter().map(|c| Store::new(*c)).collect(), hasher, now }
    }

    pub(super) fn apply(&mut self, record: &Record<'_>) {
        let Some(key) = key_of(record) else {
            for store in &mut self.stores {
                apply_to(store, record, 0, self.now);
            }
            return;
        };
        let hash = self.hasher.hash(key);
        let count = u32::try_from(self.stores.len()).unwrap_or(u32::MAX);
        if let Some(store) = self.stores.get_mut(KeyHasher::shard_of(hash, count) as usize) {
            apply_to(store, record, hash, self.now);
        }
    }

    /// The stores, filled.
    pub(super) fn into_stores(mut self) -> Vec<Store> {
        self.stores.iter_mut().for_each(|store| settle(store, self.now));
        self.stores
    }
}

/// Drops some of what has expired meanwhile. The rest, which nobody can see, goes with the sweeps:
/// after a long downtime that may be everything, and each record of it has to go to the log.
pub(super) fn settle(store: &mut Store, now: UnixMs) {
    store.expire_due(SETTLE_MAX, now);
}

/// The key of a record; `None` for one that concerns every shard.
pub(super) fn key_of<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    match *record {
        Record::Set { key, .. }
        | Record::Delete { key, .. }
        | Record::Expire { key, .. }
        | Record::Evict { key, .. } => Some(key),
        Record::Flush { .. } | Record::SwapDb { .. } => None,
    }
}

pub(super) fn apply_to(store: &mut Store, record: &Record<'_>, hash: u64, now: UnixMs) {
    if let Err(refusal) = store.apply(record, hash, now) {
        // Only smaller limits than the log was written under bring this about.
        warn!(%refusal, "a record of the log does not fit the present limits and was left out");
    }
}

#[cfg(test)]
mod tests;
