//! GET and SET among a million random keys of 16 bytes with values of 64, one store, one thread,
//! in batches of 64 as a pipelining client sends them. Prints nanoseconds per operation.
//!
//! `cargo bench -p seawall-actors --bench store`

use std::hint::black_box;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use seawall_actors::cache::store::{Eviction, Expiry, Key, KeyHasher, Store, StoreConfig};

const KEYS: usize = 1_000_000;
const OPERATIONS: usize = 4_000_000;
const BATCH: usize = 64;
const NOW: u64 = 1_700_000_000_000;

fn main() {
    for (what, max_entries) in [("no limit", 0), ("LRU order kept", 2 * KEYS as u64)] {
        let config = StoreConfig { max_entries, eviction: Eviction::Lru, ..StoreConfig::default() };
        bench(what, config);
    }
}

struct Bench {
    store: Store,
    hasher: KeyHasher,
    names: Vec<[u8; 16]>,
    order: Vec<u32>,
}

impl Bench {
    /// Runs `operation` on the keys in random order; with `warm`, each batch's are loaded first.
    fn run(&mut self, what: &str, warm: bool, operation: impl Fn(&mut Store, Key<'_>)) {
        let started = Instant::now();
        let mut keys = Vec::with_capacity(BATCH);
        let mut places = Vec::with_capacity(BATCH);
        for batch in self.order.chunks(BATCH) {
            keys.clear();
            keys.extend(batch.iter().map(|&i| self.hasher.key(&self.names[i as usize])));
            if warm {
                places.clear();
                places.extend(keys.iter().map(|key| (0u8, key.hash)));
                self.store.warm(&places);
            }
            for &key in &keys {
                operation(&mut self.store, key);
            }
            self.store.effects_mut().clear();
        }
        let suffix = if warm { ", warmed" } else { "" };
        report(&format!("{what}{suffix}"), started, OPERATIONS);
    }
}

fn report(what: &str, started: Instant, operations: usize) {
    let each = started.elapsed().as_nanos() as f64 / operations as f64;
    println!("  {what:<24} {each:7.1} ns");
}

fn bench(what: &str, config: StoreConfig) {
    let hasher = KeyHasher::random();
    let mut random = SmallRng::seed_from_u64(1);
    let names: Vec<[u8; 16]> = (0..KEYS).map(|_| random.random()).collect();
    let order: Vec<u32> = (0..OPERATIONS).map(|_| random.random_range(0..KEYS as u32)).collect();
    let mut store = Store::new(config);
    let value = [7u8; 64];

    println!("{what}");
    let started = Instant::now();
    for batch in names.chunks(BATCH) {
        for name in batch {
            let _ = store.set(0, hasher.key(name), &value, Expiry::Never, NOW);
        }
        store.effects_mut().clear();
    }
    report("SET of new keys", started, KEYS);
    println!("  {:.1} bytes per entry", store.memory() as f64 / KEYS as f64);

    let mut bench = Bench { store, hasher, names, order };
    for warm in [false, true] {
        bench.run("GET", warm, |store, key| {
            black_box(store.get(0, key, NOW).map(|value| value[0]));
        });
        for (what, expiry) in [("SET", Expiry::Never), ("SET with TTL", Expiry::At(NOW + 60_000))] {
            bench.run(what, warm, |store, key| {
                let _ = store.set(0, key, &value, expiry, NOW);
            });
        }
    }
}
