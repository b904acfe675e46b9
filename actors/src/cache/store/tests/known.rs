//! Named cases: what a property would find late, and guarantees with a shape of their own.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::super::Expiry;
use super::*;

fn set(store: &mut Store, name: &[u8], value: &[u8]) {
    assert_eq!(store.set(0, key(name), value, Expiry::Never, NOW), Ok(()));
}

proptest! {
    #[test]
    fn a_scan_visits_every_key_that_stays_and_is_bounded(
        stable in 1u32..600,
        churn in proptest::collection::vec((any::<bool>(), 0u32..400), 0..600),
        count in 1u64..50,
    ) {
        let mut store = unlimited();
        for i in 0..stable {
            set(&mut store, format!("stays:{i}").as_bytes(), b"v");
        }
        let mut seen = std::collections::BTreeMap::new();
        let mut churn = churn.into_iter();
        let (mut cursor, mut calls) = (0, 0u64);
        loop {
            let mut visited = 0;
            cursor = store.scan(0, cursor, count, NOW, |key, _| {
                visited += 1;
                *seen.entry(key.to_vec()).or_insert(0) += 1;
            });
            prop_assert!(visited <= count);
            calls += 1;
            if cursor == 0 {
                break;
            }
            for (add, i) in churn.by_ref().take(20) {
                let name = format!("churns:{i}").into_bytes();
                if add { set(&mut store, &name, b"v") } else { store.remove(0, key(&name), NOW); }
            }
        }
        for i in 0..stable {
            prop_assert_eq!(seen.get(format!("stays:{i}").as_bytes()), Some(&1));
        }
        prop_assert!(calls <= 1 + (u64::from(stable) + 400 + 512) / count);
    }
}

#[test]
fn a_cursor_from_anywhere_is_answered() {
    let mut store = unlimited();
    set(&mut store, b"a", b"1");
    for cursor in [1, 255, 256, u64::from(u32::MAX), u64::MAX] {
        store.scan(0, cursor, 10, NOW, |_, _| {});
    }
    assert_eq!(store.scan(200, 0, 10, NOW, |_, _| {}), 0);
}

#[test]
fn every_kind_of_change_sets_the_flag_of_a_watched_key() {
    type Change = fn(&mut Store);
    let changes: [(&str, Change); 10] = [
        ("set", |s| set(s, b"k", b"2")),
        ("append", |s| assert!(s.append(0, key(b"k"), b"2", NOW).is_ok())),
        ("remove", |s| assert!(s.remove(0, key(b"k"), NOW))),
        ("take", |s| assert!(s.take(0, key(b"k"), NOW).is_some())),
        ("expire", |s| assert!(s.expire_at(0, key(b"k"), Some(NOW + 5), NOW))),
        ("lazy expiry", |s| assert!(!s.exists(0, key(b"k"), NOW + 1000))),
        ("sweep", |s| assert_eq!(s.expire_due(9, NOW + 1000).count, 1)),
        ("flush", |s| drop(s.flush(None))),
        ("swap", |s| assert_eq!(s.swap_db(2, 0), Ok(()))),
        ("eviction", |s| {
            s.reconfigure(config(1, 0, Eviction::Lru));
            set(s, b"other", b"1");
        }),
    ];
    for (what, change) in changes {
        let mut store = unlimited();
        assert!(store.set(0, key(b"k"), b"1", Expiry::At(NOW + 1000), NOW).is_ok());
        let flag = Arc::new(AtomicBool::new(false));
        assert_eq!(store.watch(0, key(b"k"), &flag, NOW), Ok(()));
        assert_eq!(store.watch(1, key(b"k"), &flag, NOW), Ok(()));
        let _ = store.get(0, key(b"k"), NOW);
        assert!(!flag.load(Ordering::Acquire), "a read is no change");
        change(&mut store);
        assert!(flag.load(Ordering::Acquire), "{what}");
        store.unwatch_all(&flag);
        assert_eq!(store.watch_count(), 0);
        assert_eq!(store.watches.bytes(), 0);
    }
}

#[test]
fn a_flush_changes_no_watched_key_that_is_absent() {
    let mut store = unlimited();
    let flag = Arc::new(AtomicBool::new(false));
    assert_eq!(store.watch(0, key(b"absent"), &flag, NOW), Ok(()));
    drop(store.flush(None));
    assert!(!flag.load(Ordering::Acquire));
    set(&mut store, b"absent", b"now there");
    assert!(flag.load(Ordering::Acquire));
}

#[test]
fn watches_of_connections_that_are_gone_make_room() {
    let mut store = unlimited();
    for i in 0..MAX_WATCHES + 10 {
        let flag = Arc::new(AtomicBool::new(false));
        let name = (i as u64).to_le_bytes();
        assert_eq!(store.watch(0, key(&name), &flag, NOW), Ok(()));
    }
    assert!(store.watch_count() < 2048);
    let flag = Arc::new(AtomicBool::new(false));
    let mut refused = 0;
    for i in 0..MAX_WATCHES + 10 {
        let name = (i as u64).to_le_bytes();
        refused += u32::from(store.watch(0, key(&name), &flag, NOW).is_err());
        if refused == 2 {
            break;
        }
    }
    assert_eq!(refused, 2);
    assert!(store.watch_count() <= MAX_WATCHES);
}

#[test]
fn a_value_beyond_the_limit_evicts_nobody() {
    let mut store = Store::new(config(0, Store::floor_bytes(3) + 1000, Eviction::Lru));
    set(&mut store, b"a", b"1");
    let huge = vec![0; 2000];
    let refused = Err(Refusal::TooLarge(Store::floor_bytes(3) + 1000));
    assert_eq!(store.set(0, key(b"b"), &huge, Expiry::Never, NOW), refused);
    assert_eq!(store.append(0, key(b"a"), &huge, NOW).map(drop), refused);
    assert_eq!(store.set_range(0, key(b"c"), usize::MAX, b"x", NOW).map(drop), refused);
    assert_eq!(store.set_range(0, key(b"a"), usize::MAX, b"x", NOW).map(drop), refused);
    assert_eq!(store.get(0, key(b"a"), NOW), Some(&b"1"[..]));
}

#[test]
fn a_limit_below_the_floor_refuses_every_write_and_one_at_the_floor_takes_an_entry() {
    let floor = Store::floor_bytes(3);
    let mut store = Store::new(config(0, floor + 3, Eviction::Lru));
    assert!(store.set(0, key(b"abc"), b"1", Expiry::Never, NOW).is_err());
    assert!(store.set(0, key(b"ab"), b"1", Expiry::Never, NOW).is_ok());
    assert_eq!(store.memory(), floor + 3);
}

#[test]
fn an_expiry_that_was_extended_and_then_shortened_fires_on_time() {
    let mut store = unlimited();
    set(&mut store, b"k", b"v");
    for after in [100, 5000, 50] {
        assert!(store.expire_at(0, key(b"k"), Some(NOW + after), NOW));
    }
    assert_eq!(store.expire_due(9, NOW + 49).count, 0);
    assert_eq!(store.expire_due(9, NOW + 50).count, 1);
    assert_eq!(store.entries(), 0);
}

#[test]
fn a_clock_set_back_delays_no_expiry() {
    let mut store = unlimited();
    let hour = 3_600_000;
    assert!(store.set(0, key(b"old"), b"v", Expiry::At(NOW + 2 * hour), NOW).is_ok());
    assert_eq!(store.expire_due(9, NOW + hour).count, 0);
    assert!(store.set(0, key(b"new"), b"v", Expiry::At(NOW + 10), NOW).is_ok());
    assert_eq!(store.expire_due(9, NOW).count, 0);
    assert_eq!(store.expire_due(9, NOW + 10).count, 1);
    assert_eq!(store.expire_due(9, NOW + 2 * hour).count, 1);
}

#[test]
fn a_table_full_of_removal_marks_does_not_grow() {
    let mut store = Store::new(config(1000, 0, Eviction::Lru));
    for i in 0u64..1000 {
        set(&mut store, &i.to_le_bytes(), b"v");
    }
    let memory = store.memory();
    for i in 1000u64..200_000 {
        set(&mut store, &i.to_le_bytes(), b"v");
    }
    assert_eq!(store.memory(), memory);
}

#[test]
fn a_store_that_emptied_gives_its_memory_back() {
    let mut store = unlimited();
    for i in 0u64..20_000 {
        set(&mut store, &i.to_le_bytes(), b"v");
    }
    for i in 0u64..20_000 {
        assert!(store.remove(0, key(&i.to_le_bytes()), NOW));
    }
    let places = 20_000 / 256 * 2 * 56;
    assert!(store.memory() < Store::floor_bytes(3) + places, "{}", store.memory());
}

#[test]
fn a_random_key_is_found_among_many_that_have_expired() {
    let mut store = unlimited();
    for i in 0u64..2000 {
        let put = store.set(0, key(&i.to_le_bytes()), b"v", Expiry::At(NOW + 1), NOW);
        assert!(put.is_ok());
    }
    set(&mut store, b"live", b"v");
    for random in 0..50 {
        assert_eq!(store.random_key(0, random, NOW + 1), Some(&b"live"[..]));
    }
    assert_eq!(store.random_key(1, 7, NOW), None);
}

#[test]
fn a_record_that_cannot_be_kept_leaves_no_older_value() {
    use crate::journal::Record;
    let mut store = Store::new(config(0, Store::floor_bytes(3) + 100, Eviction::None));
    let small = Record::Set { db: 0, key: b"k", value: b"old", expires_at: None };
    let large = Record::Set { db: 0, key: b"k", value: &[0; 500], expires_at: None };
    assert_eq!(store.apply(&small, key(b"k").hash, NOW), Ok(()));
    assert!(store.apply(&large, key(b"k").hash, NOW).is_err());
    assert!(!store.exists(0, key(b"k"), NOW));
    let elsewhere = Record::Delete { db: 9, key: b"k" };
    let refused = Err(Refusal::NoSuchDatabase(9));
    assert_eq!(store.apply(&elsewhere, key(b"k").hash, NOW), refused);
}

#[test]
fn an_entry_whose_expiry_was_lifted_in_time_survives_a_late_replay() {
    let mut store = unlimited();
    assert!(store.set(0, key(b"k"), b"v", Expiry::At(NOW + 100), NOW).is_ok());
    assert!(store.expire_at(0, key(b"k"), None, NOW + 50));
    assert!(store.set(0, key(b"gone"), b"v", Expiry::At(NOW + 100), NOW).is_ok());
    let mut fresh = unlimited();
    assert!(replay(store.effects(), &mut fresh, NOW + 1000));
    assert!(fresh.peek(0, key(b"k"), NOW + 1000).is_some());
    assert!(fresh.peek(0, key(b"gone"), NOW + 1000).is_none());
    assert_eq!(fresh.expire_due(9, NOW + 1000).count, 1);
}

#[test]
fn a_store_cut_off_inside_a_mutation_is_not_intact() {
    let mut store = unlimited();
    let cut = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        set(&mut store, b"k", b"v");
        let slot = store.locate(0, key(b"k")).unwrap_or(0);
        store.edit_panics(slot);
    }));
    assert!(cut.is_err());
    assert!(!store.is_intact());
}

#[test]
fn shards_are_all_used_and_in_range() {
    let hasher = KeyHasher::random();
    let mut counts = [0u32; 7];
    for i in 0u32..7000 {
        let shard = KeyHasher::shard_of(hasher.hash(&i.to_le_bytes()), 7);
        counts[shard] += 1;
    }
    assert!(counts.iter().all(|&count| (800..1200).contains(&count)), "{counts:?}");
    assert_eq!(KeyHasher::shard_of(u64::MAX, 0), 0);
    assert_eq!(KeyHasher::shard_of(u64::MAX, 256), 255);
}
