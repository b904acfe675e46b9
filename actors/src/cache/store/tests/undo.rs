//! Scopes that are kept or rolled back, against what the store held and what its log says.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::super::Expiry;
use super::script::{Op, name, script_up_to};
use super::*;
use crate::journal::{Record, Records};

/// Runs an operation that may stand inside a scope; `false` for one that may not.
fn apply(store: &mut Store, op: &Op, now: UnixMs) -> bool {
    match *op {
        Op::Get(db, k) => drop(store.get(db, key(&name(k)), now).map(<[u8]>::len)),
        Op::Touch(db, k) => drop(store.touch(db, key(&name(k)), now)),
        Op::Set(db, k, len, when) => {
            let _ = store.set(db, key(&name(k)), &vec![k; len], when.expiry(now), now);
        }
        Op::Append(db, k, len) => drop(store.append(db, key(&name(k)), &vec![b'+'; len], now)),
        Op::SetRange(db, k, offset, len) => {
            let _ = store.set_range(db, key(&name(k)), offset, &vec![b'r'; len], now);
        }
        Op::Remove(db, k) => drop(store.remove(db, key(&name(k)), now)),
        Op::Move(db, k, to, l) => {
            if let Some(entry) = store.take(db, key(&name(k)), now) {
                drop(store.put(to, key(&name(l)), entry, now));
            }
        }
        Op::Expire(db, k, when) => {
            let at = match when.expiry(now) {
                Expiry::At(at) => Some(at),
                _ => None,
            };
            store.expire_at(db, key(&name(k)), at, now);
        }
        Op::Sweep(max) => drop(store.expire_due(max, now)),
        Op::Flush(_) | Op::Swap(..) | Op::Pass(_) | Op::Limit(_) => return false,
    }
    true
}

/// Runs an operation outside of a scope.
fn apply_outside(store: &mut Store, op: &Op, now: &mut UnixMs) {
    match *op {
        Op::Flush(db) => drop(store.flush(db)),
        Op::Swap(a, b) => assert_eq!(store.swap_db(a, b), Ok(())),
        Op::Pass(ms) => *now += ms,
        _ => {
            apply(store, op, *now);
        }
    }
}

/// What a rollback must bring back.
fn state(store: &Store, now: UnixMs) -> impl PartialEq + std::fmt::Debug + use<> {
    let databases =
        (0..3).map(|db| (store.len(db), store.expires_len(db), store.avg_ttl_ms(db, now)));
    (
        contents(store, now),
        databases.collect::<Vec<_>>(),
        (store.entries(), store.block_bytes, *store.stats(), store.watch_count()),
    )
}

/// The counts of memory, counted again entry by entry.
fn is_exact(store: &Store) -> bool {
    let blocks: u64 = store.slab.indexes().map(|slot| store.slab.at(slot).block.len() as u64).sum();
    let tables: u64 = store.tables.iter().map(Table::bytes).sum();
    (blocks, tables) == (store.block_bytes, store.table_bytes)
}

/// Three lists of operations: before a scope, inside it, and whether it is kept.
fn turns() -> impl Strategy<Value = Vec<(Vec<Op>, Vec<Op>, bool)>> {
    proptest::collection::vec((script_up_to(50), script_up_to(40), any::<bool>()), 1..4)
}

fn limited() -> impl Strategy<Value = StoreConfig> {
    prop_oneof![
        Just(config(0, 0, Eviction::None)),
        (1u64..30).prop_map(|max| config(max, 0, Eviction::Lru)),
        (0u64..6000).prop_map(|room| config(0, Store::floor_bytes(3) + room, Eviction::Lru)),
        (0u64..6000).prop_map(|room| config(20, Store::floor_bytes(3) + room, Eviction::None)),
    ]
}

proptest! {
    #[test]
    fn a_rolled_back_scope_never_was(turns in turns(), config in limited()) {
        let mut store = Store::new(config);
        let (mut log, mut now) = (RecordBatch::new(), NOW);
        let flag = Arc::new(AtomicBool::new(false));
        for (before, inside, kept) in turns {
            for op in &before {
                apply_outside(&mut store, op, &mut now);
            }
            for k in 0..40 {
                prop_assert_eq!(store.watch(0, key(&name(k)), &flag, now), Ok(()));
            }
            // Room for a watch may be made by an eviction, which uses up the watch of its key.
            let all_watched = !flag.swap(false, Ordering::Relaxed);
            log.extend(&store.take_effects());
            let was = state(&store, now);
            store.open_scope();
            for op in &inside {
                apply(&mut store, op, now);
                prop_assert!(!flag.load(Ordering::Relaxed), "heard of a change in the scope");
            }
            if kept {
                store.keep();
                let concerns_db_0 = Records::new(store.effects().as_bytes())
                    .any(|record| matches!(record,
                        Ok(Record::Set { db: 0, .. } | Record::Delete { db: 0, .. }
                            | Record::Evict { db: 0, .. } | Record::Expire { db: 0, .. })));
                let heard = flag.load(Ordering::Relaxed);
                prop_assert!(heard == concerns_db_0 || (!heard && !all_watched));
                log.extend(&store.take_effects());
            } else {
                store.roll_back(now);
                prop_assert!(store.effects().is_empty());
                prop_assert!(!flag.load(Ordering::Relaxed), "heard of what never was");
                prop_assert_eq!(state(&store, now), was);
            }
            prop_assert!(store.is_intact() && is_exact(&store));
            store.unwatch_all(&flag);
            // What memory holds is what a restart would find.
            let mut replayed = unlimited();
            prop_assert!(replay(&log, &mut replayed, now));
            prop_assert_eq!(contents(&store, now), contents(&replayed, now));
        }
    }

    #[test]
    fn a_kept_scope_is_as_if_there_were_none(turns in turns(), config in limited()) {
        let (mut scoped, mut plain) = (Store::new(config), Store::new(config));
        let mut now = NOW;
        for (before, inside, _) in turns {
            let mut then = now;
            before.iter().for_each(|op| apply_outside(&mut scoped, op, &mut now));
            before.iter().for_each(|op| apply_outside(&mut plain, op, &mut then));
            prop_assert_eq!(scoped.take_effects(), plain.take_effects());
            scoped.open_scope();
            for op in &inside {
                prop_assert_eq!(apply(&mut scoped, op, now), apply(&mut plain, op, now));
            }
            scoped.keep();
            prop_assert_eq!(scoped.take_effects(), plain.take_effects());
            prop_assert_eq!(state(&scoped, now), state(&plain, now));
            prop_assert_eq!(scoped.memory(), plain.memory());
        }
    }
}

#[test]
fn what_a_scope_evicted_is_the_next_to_go_again_in_the_same_order() {
    let mut store = Store::new(config(4, 0, Eviction::Lru));
    let put = |store: &mut Store, name: &str| {
        assert_eq!(store.set(0, key(name.as_bytes()), b"v", Expiry::Never, NOW), Ok(()));
    };
    let evicted = |store: &mut Store| -> Vec<Vec<u8>> {
        Records::new(store.take_effects().as_bytes())
            .filter_map(|record| match record {
                Ok(Record::Evict { key, .. }) => Some(key.to_vec()),
                _ => None,
            })
            .collect()
    };
    for name in ["a", "b", "c", "d"] {
        put(&mut store, name);
    }
    drop(store.take_effects());
    store.open_scope();
    for name in ["e", "f", "g"] {
        put(&mut store, name);
    }
    assert_eq!(evicted(&mut store), [b"a", b"b", b"c"]);
    store.roll_back(NOW);
    for name in ["x", "y", "z"] {
        put(&mut store, name);
    }
    assert_eq!(evicted(&mut store), [b"a", b"b", b"c"]);
}

#[test]
fn a_store_that_panicked_in_a_scope_stays_marked_as_lost() {
    let mut store = unlimited();
    assert_eq!(store.set(0, key(b"k"), b"value", Expiry::Never, NOW), Ok(()));
    drop(store.take_effects());
    store.open_scope();
    let slot = store.locate(0, key(b"k")).unwrap();
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.edit_panics(slot)));
    assert!(panicked.is_err());
    store.roll_back(NOW);
    assert!(!store.is_intact(), "half a mutation must not be adopted");
}
