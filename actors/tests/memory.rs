//! `Store::memory` is what the allocator was asked for, to the byte: the process counts every
//! allocation, and a random script compares after every operation.
//!
//! It has a `main` of its own: the test harness' threads would allocate as well.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use seawall_actors::cache::store::{Eviction, Expiry, Key, KeyHasher, Store, StoreConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const OPERATIONS: u32 = 60_000;

/// Bytes allocated and not freed.
fn live() -> u64 {
    let stats = GLOBAL.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

fn main() {
    let limits: [(u64, u64, Eviction); 5] = [
        (0, 0, Eviction::None),
        (700, 0, Eviction::Lru),
        (0, 400_000, Eviction::Lru),
        (3000, 300_000, Eviction::None),
        (0, Store::floor_bytes(3) + 500, Eviction::Lru),
    ];
    for (seed, (max_entries, max_bytes, eviction)) in (1u64..).zip(limits) {
        let config =
            StoreConfig { databases: 3, max_entries, max_bytes, eviction, default_ttl_ms: None };
        println!("seed {seed}: {config:?}");
        run(seed, config);
    }
    println!("memory() was exact after each of {} operations", OPERATIONS * 5);
}

fn run(seed: u64, config: StoreConfig) {
    let hasher = KeyHasher::fixed();
    let mut random = SmallRng::seed_from_u64(seed);
    let flags: Vec<Arc<AtomicBool>> = (0..8).map(|_| Arc::default()).collect();
    let value = vec![7u8; 2000];
    let mut now = 1_700_000_000_000u64;
    let before = live();
    let mut store = Store::new(config);
    // Operations left in the open scope, which the store does not count until it closes.
    let mut scope = 0u32;
    for operation in 0..OPERATIONS {
        let name = random.random_range(0u32..6000).to_le_bytes();
        let key: Key<'_> = hasher.key(&name);
        let db = random.random_range(0..3u8);
        let longest = if random.random_ratio(1, 20) { 2000 } else { 100 };
        let len = random.random_range(0..longest);
        let value = &value[..len];
        match random.random_range(0..100) {
            0..45 => drop(store.set(db, key, value, Expiry::Keep, now)),
            45..60 => {
                let at = now + random.random_range(1..5000);
                let _ = store.set(db, key, value, Expiry::At(at), now);
            }
            60..66 => drop(store.append(db, key, value, now)),
            66..70 => drop(store.set_range(db, key, len, value, now)),
            70..80 => drop(store.remove(db, key, now)),
            80..84 => {
                if let Some(entry) = store.take(db, key, now) {
                    drop(store.put((db + 1) % 3, key, entry, now));
                }
            }
            // Watches and whole databases do not change inside a scope.
            84..89 | 99.. if scope > 0 => {}
            84..87 => {
                let flag = &flags[random.random_range(0..flags.len())];
                let _ = store.watch(db, key, flag, now);
            }
            87..88 => store.unwatch_all(&flags[random.random_range(0..flags.len())]),
            88..89 => store.unwatch(db, key, &flags[0]),
            89..94 => drop(store.expire_due(random.random_range(0..50), now)),
            94..97 => now += random.random_range(0..200),
            97..99 => drop(store.get(db, key, now)),
            _ => match random.random_range(0..40) {
                0 => drop(store.flush(None)),
                1 => drop(store.flush(Some(db))),
                2..6 => drop(store.swap_db(db, 0)),
                _ => {}
            },
        }
        // The effects are on their way to the log: not the store's any more.
        drop(store.take_effects());
        if scope == 0 && random.random_ratio(1, 100) {
            store.open_scope();
            scope = random.random_range(2..30);
        } else if scope == 1 {
            if random.random() { store.keep() } else { store.roll_back(now) }
        }
        scope = scope.saturating_sub(1);
        if scope > 0 {
            continue;
        }
        assert_eq!(
            store.memory(),
            live() - before,
            "seed {seed}, operation {operation}: memory() on the left, allocated on the right",
        );
        assert!(store.is_intact());
        // Watches are the one thing that an eviction can't answer for: they have their own bound.
        if config.max_bytes != 0 && config.eviction == Eviction::Lru && store.entries() > 0 {
            assert!(store.memory() <= config.max_bytes, "seed {seed}, operation {operation}");
        }
    }
    drop(store);
    assert_eq!(live(), before, "seed {seed}: a dropped store leaves nothing");
}
