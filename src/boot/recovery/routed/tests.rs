use super::*;

const LATE: UnixMs = 1_000_000;

fn filled(entries: u32) -> Store {
    let hasher = KeyHasher::fixed();
    let mut routed = Routed::new(hasher, &[StoreConfig::default()], LATE);
    for number in 0..entries {
        let key = number.to_be_bytes();
        let expires_at = Some(UnixMs::from(number % 1000) + 1);
        routed.apply(&Record::Set { db: 0, key: &key, value: b"v", expires_at });
    }
    routed.into_stores().remove(0)
}

#[test]
fn after_a_short_downtime_nothing_expired_is_left() {
    let store = filled(1000);
    assert_eq!((store.entries(), store.effects().count()), (0, 1000));
}

/// The records of a start would otherwise be one batch, as large as the store was.
#[test]
fn after_a_long_downtime_expiries_are_left_to_the_sweeps() {
    let mut store = filled(3 * SETTLE_MAX);
    assert_eq!(store.effects().count(), SETTLE_MAX);
    assert_eq!(store.entries(), u64::from(2 * SETTLE_MAX));
    let key = KeyHasher::fixed();
    for number in 0..3 * SETTLE_MAX {
        let bytes = number.to_be_bytes();
        assert!(store.peek(0, key.key(&bytes), LATE).is_none(), "an expired entry is visible");
    }
    store.effects_mut().clear();
    while store.expire_due(512, LATE).more {
        assert!(store.effects().count() <= 512);
        store.effects_mut().clear();
    }
    assert_eq!(store.entries(), 0);
}
