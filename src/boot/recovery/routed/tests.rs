use super::*;

const LATE: UnixMs = 1_000_000;

pub(in crate::boot::recovery) fn plan(shards: usize) -> Plan {
    Plan {
        hasher: KeyHasher::fixed(),
        first: 0,
        count: shards,
        configs: vec![StoreConfig::default(); shards],
        now: LATE,
        aside: Arc::default(),
    }
}

fn filled(entries: u32) -> Store {
    let mut routed = Routed::new(plan(1), Crashed::default());
    for number in 0..entries {
        let key = number.to_be_bytes();
        let expires_at = Some(UnixMs::from(number % 1000) + 1);
        let record = Record::Set { db: 0, key: &key, value: b"v", expires_at };
        routed.apply(Place::Record(u64::from(number) + 1), &record);
    }
    routed.into_stores().remove(0)
}

#[test]
fn after_a_short_downtime_nothing_expired_is_left() {
    let store = filled(1000);
    assert_eq!((store.entries(), store.effects().count()), (0, 2000), "a mark and a deletion each");
}

/// The records of a start would otherwise be one batch, as large as the store was.
#[test]
fn after_a_long_downtime_expiries_are_left_to_the_sweeps() {
    let mut store = filled(3 * SETTLE_MAX);
    assert_eq!(store.effects().count(), 2 * SETTLE_MAX, "a mark and a deletion each");
    assert_eq!(store.entries(), u64::from(2 * SETTLE_MAX));
    let key = KeyHasher::fixed();
    for number in 0..3 * SETTLE_MAX {
        let bytes = number.to_be_bytes();
        assert!(store.peek(0, key.key(&bytes), LATE).is_none(), "an expired entry is visible");
    }
    store.effects_mut().clear();
    while store.expire_due(512, LATE).more {
        assert!(store.effects().count() <= 2 * 512);
        store.effects_mut().clear();
    }
    assert_eq!(store.entries(), 0);
}

#[test]
fn one_shard_takes_its_own_keys_and_what_concerns_all() {
    let all = plan(4);
    let one = Plan { first: 2, configs: vec![StoreConfig::default()], ..all.clone() };
    let (mut all, mut one) =
        (Routed::new(all, Crashed::default()), Routed::new(one, Crashed::default()));
    for number in 0..1000_u64 {
        let key = number.to_be_bytes();
        let record = match number {
            500 => Record::Flush { db: Some(0) },
            _ => Record::Set { db: 0, key: &key, value: b"v", expires_at: None },
        };
        all.apply(Place::Record(number), &record);
        one.apply(Place::Record(number), &record);
    }
    let (all, one) = (all.into_stores(), one.into_stores());
    assert_eq!(one.len(), 1);
    assert_eq!(all.iter().map(Store::entries).sum::<u64>(), 499);
    assert!(one[0].entries() > 50);
    assert_eq!(one[0].entries(), all[2].entries());
    let hasher = KeyHasher::fixed();
    for number in 0..1000_u64 {
        let bytes = number.to_be_bytes();
        let key = hasher.key(&bytes);
        assert_eq!(one[0].peek(0, key, LATE).is_some(), all[2].peek(0, key, LATE).is_some());
    }
}

/// Left out, its key would show the value of before: a wrong one.
#[test]
fn a_record_that_is_left_out_takes_its_key_along_until_it_is_written_again() {
    let aside = Arc::new(BTreeSet::from([Place::Record(2), Place::Record(4)]));
    let mut routed = Routed::new(Plan { aside, ..plan(2) }, Crashed::default());
    for (lsn, key, value) in [(1, b"a", b"1"), (2, b"a", b"2"), (3, b"b", b"3"), (4, b"b", b"4")] {
        let record = Record::Set { db: 0, key, value, expires_at: None };
        routed.apply(Place::Record(lsn), &record);
    }
    routed
        .apply(Place::Record(5), &Record::Set { db: 0, key: b"b", value: b"5", expires_at: None });
    let stores = routed.into_stores();
    let hasher = KeyHasher::fixed();
    let found = |key: &[u8]| {
        stores.iter().find_map(|s| s.peek(0, hasher.key(key), LATE).map(|e| e.value.to_vec()))
    };
    assert_eq!((found(b"a"), found(b"b")), (None, Some(b"5".to_vec())));
}
