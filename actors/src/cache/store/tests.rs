//! Tests of the store against naive models.

mod export;
mod kept;
mod known;
mod model;
mod near;
mod passages;
mod script;
mod undo;
mod unlogged;
mod watching;

use super::*;

/// A time like the present.
const NOW: UnixMs = 1_700_000_000_000;

fn config(max_entries: u64, max_bytes: u64, eviction: Eviction) -> StoreConfig {
    StoreConfig { databases: 3, max_entries, max_bytes, eviction, default_ttl_ms: None }
}

fn unlimited() -> Store {
    Store::new(config(0, 0, Eviction::None))
}

/// A key as every test hashes it.
fn key(bytes: &[u8]) -> Key<'_> {
    KeyHasher::fixed().key(bytes)
}

/// Database, key, value, expiry.
type Item = (u8, Vec<u8>, Vec<u8>, Option<UnixMs>);

/// Everything a store holds at `now`, in order.
fn contents(store: &Store, now: UnixMs) -> Vec<Item> {
    let mut all = Vec::new();
    for db in 0..store.config().databases {
        store.for_each_key(db, now, |key, view| {
            all.push((db, key.to_vec(), view.value.to_vec(), view.expires_at));
        });
    }
    all.sort();
    all
}

/// Applies all effects of one store to another; `true` if it refused none.
fn replay(from: &RecordBatch, to: &mut Store, now: UnixMs) -> bool {
    use crate::journal::{Record, Records};
    let mut accepted = true;
    for record in Records::new(from.as_bytes()) {
        let Ok(record) = record else { return false };
        let hash = match record {
            Record::Set { key: k, .. }
            | Record::Fill { key: k, .. }
            | Record::Delete { key: k, .. }
            | Record::Expire { key: k, .. }
            | Record::Evict { key: k, .. } => key(k).hash,
            Record::Flush { .. } | Record::SwapDb { .. } => 0,
        };
        accepted &= to.apply(&record, hash, now).is_ok();
    }
    accepted
}
