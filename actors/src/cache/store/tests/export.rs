//! A walk through a store that changes, and the effects behind it, lead to the same store.

use proptest::prelude::*;

use super::script::{Op, name, script};
use super::*;

/// Runs one step of a script and returns its effects.
fn step(store: &mut Store, op: &Op, now: &mut UnixMs) -> RecordBatch {
    let at = *now;
    match *op {
        Op::Get(db, k) => drop(store.get(db, key(&name(k)), at).map(<[u8]>::to_vec)),
        Op::Touch(db, k) => drop(store.touch(db, key(&name(k)), at)),
        Op::Set(db, k, len, when) => {
            let _ = store.set(db, key(&name(k)), &vec![k ^ len as u8; len], when.expiry(at), at);
        }
        Op::Append(db, k, len) => drop(store.append(db, key(&name(k)), &vec![b'+'; len], at)),
        Op::SetRange(db, k, offset, len) => {
            let _ = store.set_range(db, key(&name(k)), offset, &vec![b'r'; len], at);
        }
        Op::Remove(db, k) => drop(store.remove(db, key(&name(k)), at)),
        Op::Move(db, k, to, l) => {
            if let Some(entry) = store.take(db, key(&name(k)), at) {
                let _ = store.put(to, key(&name(l)), entry, at);
            }
        }
        Op::Expire(db, k, when) => {
            let expires_at = match when.expiry(at) {
                super::super::Expiry::At(at) => Some(at),
                _ => None,
            };
            store.expire_at(db, key(&name(k)), expires_at, at);
        }
        Op::Flush(db) => drop(store.flush(db)),
        Op::Swap(a, b) => assert_eq!(store.swap_db(a, b), Ok(())),
        Op::Sweep(max) => drop(store.expire_due(max, at)),
        Op::Pass(ms) => *now += ms,
        Op::Limit(max_entries) => {
            let config = *store.config();
            if config.eviction == Eviction::Lru {
                store.reconfigure(StoreConfig { max_entries, ..config });
                while store.evict_to_fit(3, at).more {}
            }
        }
    }
    store.take_effects()
}

proptest! {
    #[test]
    fn a_walk_and_the_effects_behind_it_lead_to_the_same_store(
        before in script(),
        during in script(),
        steps in 1usize..40,
        limits in (1u64..400, 1u32..30, 1usize..2000),
        lru in any::<bool>(),
    ) {
        let eviction = if lru { Eviction::Lru } else { Eviction::None };
        let mut store = Store::new(config(if lru { 25 } else { 0 }, 0, eviction));
        let limits = ExportLimits { slots: limits.0, entries: limits.1, bytes: limits.2 };
        let mut now = NOW;
        for op in &before {
            step(&mut store, op, &mut now);
        }
        let (mut walk, mut cursor, mut done) = (1, Some(0), false);
        let (mut exported, mut behind) = (RecordBatch::new(), RecordBatch::new());
        store.begin_export(walk);
        for ops in during.chunks(steps) {
            for op in ops {
                let swapped = matches!(op, Op::Swap(a, b) if a != b);
                behind.extend(&step(&mut store, op, &mut now));
                if swapped && !done {
                    prop_assert_eq!(
                        store.export(walk, 0, limits, &mut RecordBatch::new()),
                        Err(WalkEnded)
                    );
                    walk += 1;
                    cursor = Some(0);
                    exported.clear();
                    behind.clear();
                    store.begin_export(walk);
                }
            }
            if done {
                same(&exported, &behind, &store, now)?;
            }
            if let Some(at) = cursor {
                let mut piece = RecordBatch::new();
                cursor = store.export(walk, at, limits, &mut piece).expect("no swap");
                prop_assert!(piece.count() <= limits.entries);
                exported.extend(&piece);
                done = cursor.is_none();
            }
        }
        while let Some(at) = cursor {
            let mut piece = RecordBatch::new();
            cursor = store.export(walk, at, limits, &mut piece).expect("no swap");
            exported.extend(&piece);
        }
        same(&exported, &behind, &store, now)?;
    }
}

/// Compares the store with what is exported and what came behind: by its own clock, and by one
/// that was set back, for which nothing of what is still held has expired.
fn same(
    exported: &RecordBatch,
    behind: &RecordBatch,
    store: &Store,
    now: UnixMs,
) -> Result<(), TestCaseError> {
    let mut restored = unlimited();
    prop_assert!(replay(exported, &mut restored, now));
    prop_assert!(replay(behind, &mut restored, now));
    prop_assert_eq!(contents(&restored, now), contents(store, now));
    prop_assert_eq!(contents(&restored, 1), contents(store, 1));
    Ok(())
}

#[test]
fn a_walk_ends_when_another_begins_and_is_not_known_to_another_store() {
    let mut store = unlimited();
    let mut out = RecordBatch::new();
    let limits = ExportLimits::default();
    assert_eq!(store.export(1, 0, limits, &mut out), Err(WalkEnded));
    store.begin_export(1);
    store.begin_export(2);
    assert_eq!(store.export(1, 0, limits, &mut out), Err(WalkEnded));
    assert_eq!(store.export(2, 0, limits, &mut out), Ok(None));
    assert!(out.is_empty());
}

#[test]
fn an_entry_that_a_rollback_brings_back_elsewhere_ends_the_walk() {
    let mut store = unlimited();
    let names: Vec<_> = (0..40).map(name).collect();
    for name in &names {
        assert_eq!(store.set(0, key(name), b"v", super::super::Expiry::Never, NOW), Ok(()));
    }
    store.effects_mut().clear();
    let mut out = RecordBatch::new();
    let limits = ExportLimits { entries: 10, ..ExportLimits::default() };
    store.begin_export(1);
    assert_eq!(store.export(1, 0, limits, &mut out), Ok(Some(10)));
    // Two go and come back in each other's place: one would be exported twice, one never.
    store.open_scope();
    store.remove(0, key(&names[5]), NOW);
    store.remove(0, key(&names[30]), NOW);
    store.roll_back(NOW);
    assert_eq!(store.export(1, 10, limits, &mut out), Err(WalkEnded));
}
