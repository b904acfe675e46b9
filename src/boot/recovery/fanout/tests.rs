use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use seawall_actors::cache::store::{KeyHasher, StoreConfig};

use super::super::routed::tests::plan;
use super::*;

/// A random history over few keys, in two databases.
fn history(rng: &mut SmallRng, target: &mut Target, records: u64) {
    for lsn in 1..=records {
        let key = [b'k', rng.random_range(0..200)];
        let value = vec![b'v'; rng.random_range(0..30)];
        let db = rng.random_range(0..2);
        let expires_at = rng.random_bool(0.3).then(|| rng.random_range(1..2_000_000));
        let record = match rng.random_range(0..1000) {
            0 => Record::Flush { db: rng.random_bool(0.5).then_some(db) },
            1..=3 => Record::SwapDb { a: 0, b: 1 },
            4..=150 => Record::Delete { db, key: &key },
            151..=250 => Record::Expire { db, key: &key, expires_at },
            _ => Record::Set { db, key: &key, value: &value, expires_at },
        };
        target.apply(Place::Record(lsn), &record);
    }
}

type Entries = Vec<Vec<(u8, Vec<u8>, Vec<u8>, u64)>>;

fn entries(stores: &[Store]) -> Entries {
    let hasher = KeyHasher::fixed();
    let of = |store: &Store| {
        let mut found = Vec::new();
        for (db, n) in (0..2).flat_map(|db| (0..200).map(move |n| (db, n))) {
            let bytes = [b'k', n];
            if let Some(entry) = store.peek(db, hasher.key(&bytes), 0) {
                let expires_at = entry.expires_at.unwrap_or(0);
                found.push((db, bytes.to_vec(), entry.value.to_vec(), expires_at));
            }
        }
        found
    };
    stores.iter().map(of).collect()
}

#[test]
fn however_many_threads_apply_the_stores_are_the_same() {
    let seed = rand::random();
    println!("seed {seed}");
    for shards in [1, 2, 3, 5] {
        let mut expected = None;
        for threads in [1, 2, 3, 8] {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut target = Target::unlimited(&plan(shards), threads, &Crashed::default());
            history(&mut rng, &mut target, 5_000);
            target.limit();
            history(&mut rng, &mut target, 500);
            let found = entries(&target.finish());
            assert_eq!(found.len(), shards);
            let expected = expected.get_or_insert_with(|| found.clone());
            assert_eq!(&found, expected, "{shards} shards, {threads} threads");
        }
    }
}

/// Limits come into force at the same record in every thread: what was there before is not
/// evicted by what the limit did not hold for.
#[test]
fn limits_come_into_force_behind_the_records_before_them() {
    let tight = StoreConfig { max_entries: 10, ..StoreConfig::default() };
    for threads in [1, 3] {
        let plan = Plan { configs: vec![tight; 3], ..plan(3) };
        let mut target = Target::unlimited(&plan, threads, &Crashed::default());
        let set = |n: u32, target: &mut Target| {
            let key = n.to_be_bytes();
            let record = Record::Set { db: 0, key: &key, value: b"v", expires_at: None };
            target.apply(Place::Record(u64::from(n)), &record);
        };
        (0..300).for_each(|n| set(n, &mut target));
        target.limit();
        (300..600).for_each(|n| set(n, &mut target));
        let stores = target.finish();
        assert!(stores.iter().all(|store| store.entries() == 10), "{threads} threads");
    }
}

#[test]
fn a_target_that_is_given_up_leaves_no_thread_waiting() {
    let mut target = Target::limited(&plan(4), 4, &Crashed::default());
    history(&mut SmallRng::seed_from_u64(1), &mut target, 2_000);
    let Target::Threads(lanes) = target else { panic!("four threads were asked for") };
    for lane in lanes {
        lane.hang_up().join().expect("it ends when nothing more can come");
    }
}
