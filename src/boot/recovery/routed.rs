//! Records of the dataset on their way to the shards' stores.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::failpoint::{self, Point};
use seawall_actors::journal::Record;
use tracing::warn;

use super::poison::{Crash, Crashed, Place};

/// Entries that are expired at once when a store has been filled; the records of that wait in
/// the store for its shard.
const SETTLE_MAX: u32 = 10_000;

/// Which stores are filled, and with what.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) hasher: KeyHasher,
    /// The shard of the first store.
    pub(super) first: usize,
    /// How many shards there are, those that are not filled included.
    pub(super) count: usize,
    /// The limits of each store that is filled.
    pub(super) configs: Vec<StoreConfig>,
    /// The time of the load: what has expired by now is not seen again.
    pub(super) now: UnixMs,
    /// What is left out.
    pub(super) aside: Arc<BTreeSet<Place>>,
}

impl Plan {
    /// The stores' indexes in the plan that take a record of this hash; none, if it is another
    /// shard's.
    pub(super) fn index_of(&self, hash: u64) -> Option<usize> {
        let shard = KeyHasher::shard_of(hash, self.count);
        shard.checked_sub(self.first).filter(|index| *index < self.configs.len())
    }
}

/// Stores that records are routed to.
pub(super) struct Routed {
    plan: Plan,
    stores: Vec<Store>,
    crashed: Crashed,
}

impl Routed {
    pub(super) fn new(plan: Plan, crashed: Crashed) -> Self {
        let stores = plan.configs.iter().map(|c| Store::new(*c)).collect();
        Self { plan, stores, crashed }
    }

    /// Stores that hold whatever is put into them, until [`Routed::limit`].
    pub(super) fn unlimited(plan: Plan, crashed: Crashed) -> Self {
        let unlimited = |c: &StoreConfig| StoreConfig { max_entries: 0, max_bytes: 0, ..*c };
        let stores = plan.configs.iter().map(|c| Store::new(unlimited(c))).collect();
        Self { plan, stores, crashed }
    }

    /// Puts the limits in force. What they are exceeded by goes with the next writes and sweeps.
    pub(super) fn limit(&mut self) {
        for (store, config) in self.stores.iter_mut().zip(&self.plan.configs) {
            store.reconfigure(*config);
        }
    }

    /// Routes a record to its store, or to every store if it has no key.
    pub(super) fn apply(&mut self, place: Place, record: &Record<'_>) {
        match record.entry() {
            Some((_, key)) => self.apply_hashed(place, record, self.plan.hasher.hash(key)),
            None => self.apply_hashed(place, record, 0),
        }
    }

    /// The same, where the key's hash is known.
    pub(super) fn apply_hashed(&mut self, place: Place, record: &Record<'_>, hash: u64) {
        if self.crashed.get().is_some() {
            // These stores are not used any more.
            return;
        }
        let left_out = !self.plan.aside.is_empty() && self.plan.aside.contains(&place);
        let done = catch_unwind(AssertUnwindSafe(|| match record.entry() {
            Some((db, key)) => {
                let index = self.plan.index_of(hash);
                let Some(store) = index.and_then(|i| self.stores.get_mut(i)) else { return };
                failpoint::hit(Point::LoadApply);
                let gone = Record::Delete { db, key };
                apply_to(store, if left_out { &gone } else { record }, hash, self.plan.now);
            }
            None => {
                failpoint::hit(Point::LoadApply);
                for store in &mut self.stores {
                    apply_to(store, record, 0, self.plan.now);
                }
            }
        }));
        if let Err(panic) = done {
            // Somebody else's, at the same time, will come again.
            let _ = self.crashed.set(Crash::new(place, record, panic.as_ref()));
        }
    }

    /// The stores, filled.
    pub(super) fn into_stores(mut self) -> Vec<Store> {
        // Drops some of what has expired meanwhile. The rest, which nobody can see, goes with the
        // sweeps: after a long downtime that may be everything, and each record of it has to go
        // to the log.
        for store in &mut self.stores {
            store.expire_due(SETTLE_MAX, self.plan.now);
        }
        self.stores
    }
}

fn apply_to(store: &mut Store, record: &Record<'_>, hash: u64, now: UnixMs) {
    if let Err(refusal) = store.apply(record, hash, now) {
        // Only smaller limits than the log was written under bring this about.
        warn!(%refusal, "a record of the log does not fit the present limits and was left out");
    }
}

#[cfg(test)]
pub(super) mod tests;
