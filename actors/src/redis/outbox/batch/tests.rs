//! Against a naive Redis that replays the records one by one.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NOW: UnixMs = 1_000;

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8, Option<UnixMs>),
    Delete(u8),
    Expiry(u8),
    Expire(u8, Option<UnixMs>),
    Evict(u8),
    Flush(Option<u8>),
    Elsewhere(u8),
}

/// Times around [`NOW`], and never.
fn any_time() -> impl Strategy<Value = Option<UnixMs>> {
    proptest::option::of(prop_oneof![1..=NOW, NOW + 1..2 * NOW])
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = || 0u8..4;
    prop_oneof![
        4 => (key(), any::<u8>(), any_time()).prop_map(|(k, v, t)| Step::Set(k, v, t)),
        2 => key().prop_map(Step::Delete),
        2 => key().prop_map(Step::Expiry),
        2 => (key(), any_time()).prop_map(|(k, t)| Step::Expire(k, t)),
        1 => key().prop_map(Step::Evict),
        1 => prop_oneof![Just(None), Just(Some(0)), Just(Some(1))].prop_map(Step::Flush),
        1 => key().prop_map(Step::Elsewhere),
    ]
}

/// What Redis holds: values with their expiries.
type Held = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

fn any_held() -> impl Strategy<Value = Held> {
    let entry = (any::<u8>(), proptest::option::of(NOW + 1..2 * NOW));
    proptest::collection::btree_map((0u8..4).prop_map(|k| vec![k]), entry, 0..4)
        .prop_map(|held| held.into_iter().map(|(k, (v, t))| (k, (vec![v], t))).collect())
}

/// Whether the key is there for a cache that has made the steps so far.
fn feed(batch: &mut Batch, naive: &mut Held, local: &mut Held, step: &Step) {
    let mut take = |record: Record<'_>, expiry| batch.take(&record, expiry, NOW);
    match *step {
        Step::Set(key, value, expires_at) => {
            take(Record::Set { db: 0, key: &[key], value: &[value], expires_at }, false);
            for held in [naive, local] {
                held.insert(vec![key], (vec![value], expires_at));
            }
        }
        Step::Delete(key) => {
            take(Record::Delete { db: 0, key: &[key] }, false);
            naive.remove(&[key][..]);
            local.remove(&[key][..]);
        }
        // Only what is there and has its time expires; Redis does so by itself.
        Step::Expiry(key) => {
            if local.get(&[key][..]).is_some_and(|(_, at)| at.is_some_and(|at| at <= NOW)) {
                local.remove(&[key][..]);
                take(Record::Delete { db: 0, key: &[key] }, true);
            }
        }
        // Only what is there has a time.
        Step::Expire(key, expires_at) => {
            if let Some((_, at)) = local.get_mut(&[key][..]) {
                *at = expires_at;
                take(Record::Expire { db: 0, key: &[key], expires_at }, false);
                if let Some((_, at)) = naive.get_mut(&[key][..]) {
                    *at = expires_at;
                }
            }
        }
        Step::Evict(key) => {
            local.remove(&[key][..]);
            take(Record::Evict { db: 0, key: &[key] }, false);
        }
        Step::Flush(db) => {
            take(Record::Flush { db }, false);
            if db != Some(1) {
                naive.clear();
                local.clear();
            }
        }
        Step::Elsewhere(key) => {
            take(Record::Set { db: 1, key: &[key], value: b"x", expires_at: None }, false);
        }
    }
}

fn send(batch: &Batch, held: &mut Held) {
    if batch.flushes() {
        held.clear();
    }
    for (Keyed { key, .. }, act) in batch.changes(NOW) {
        match act {
            Act::Set(value, at) => drop(held.insert(key.to_vec(), (value.to_vec(), at))),
            Act::Unlink => drop(held.remove(&key[..])),
            Act::ExpireAt(at) => held.get_mut(&key[..]).into_iter().for_each(|e| e.1 = Some(at)),
            Act::Persist => held.get_mut(&key[..]).into_iter().for_each(|e| e.1 = None),
        }
    }
    purge(held);
}

fn purge(held: &mut Held) {
    held.retain(|_, (_, at)| at.is_none_or(|at| at > NOW));
}

proptest! {
    #[test]
    fn a_batch_does_what_its_records_do_one_by_one(
        before in any_held(),
        steps in proptest::collection::vec(any_step(), 0..40),
        cut in 0usize..40,
    ) {
        let (mut naive, mut sent, mut local) = (before.clone(), before.clone(), before);
        let mut batches = vec![Batch::default()];
        for (number, step) in steps.iter().enumerate() {
            if number == cut {
                batches.push(Batch::default());
            }
            feed(batches.last_mut().unwrap(), &mut naive, &mut local, step);
        }
        purge(&mut naive);
        deliver(&mut batches, &mut sent);
        prop_assert_eq!(&sent, &naive);
        // The last one sent again, as after a crash behind it, changes nothing.
        deliver(batches.last_mut(), &mut sent);
        prop_assert_eq!(&sent, &naive);
    }
}

/// Sends batches until the log has no more.
fn deliver<'b>(batches: impl IntoIterator<Item = &'b mut Batch>, held: &mut Held) {
    let mut lapsed = Lapsed::default();
    for batch in batches {
        batch.revive(&mut lapsed);
        send(batch, held);
        batch.lapse(NOW, &mut lapsed);
    }
    if let Some(last) = Batch::of_leases(&mut lapsed) {
        send(&last, held);
    }
}

fn sent(batch: &Batch) -> Vec<(&[u8], Act<'_>)> {
    batch.changes(NOW).map(|(keyed, act)| (&*keyed.key, act)).collect()
}

#[test]
fn what_expired_on_its_way_takes_an_older_value_with_it() {
    let mut batch = Batch::default();
    let set = Record::Set { db: 0, key: b"k", value: b"v", expires_at: Some(NOW) };
    batch.take(&set, false, 1);
    assert_eq!(sent(&batch), [(&b"k"[..], Act::Unlink)]);
}

#[test]
fn an_expiry_does_not_delete_what_somebody_else_wrote() {
    let mut batch = Batch::default();
    batch.take(&Record::Delete { db: 0, key: b"k" }, true, 1);
    assert!(batch.is_empty());
}

#[test]
fn an_eviction_deletes_nothing() {
    let mut batch = Batch::default();
    batch.take(&Record::Set { db: 0, key: b"k", value: b"v", expires_at: None }, false, 1);
    batch.take(&Record::Evict { db: 0, key: b"k" }, false, 2);
    assert_eq!(sent(&batch), [(&b"k"[..], Act::Set(b"v", None))]);
}

#[test]
fn the_bytes_are_those_of_what_is_left() {
    let mut batch = Batch::default();
    for len in [100, 5, 30] {
        let value = vec![0; len];
        batch.take(&Record::Set { db: 0, key: b"k", value: &value, expires_at: None }, false, 1);
    }
    assert_eq!((batch.bytes(), batch.records()), (31, 3));
    batch.take(&Record::SwapDb { a: 2, b: 0 }, false, 2);
    assert_eq!((batch.bytes(), batch.swapped(), batch.flushes()), (0, true, true));
}

/// Sent batch by batch after a long outage: its time was prolonged before it was over.
#[test]
fn what_was_prolonged_while_redis_was_away_is_not_lost() {
    let mut lapsed = Lapsed::default();
    let mut batch = Batch::default();
    let set = Record::Set { db: 0, key: b"k", value: b"v", expires_at: Some(NOW - 1) };
    batch.take(&set, false, 1);
    batch.lapse(NOW, &mut lapsed);
    let mut batch = Batch::default();
    batch.take(&Record::Expire { db: 0, key: b"k", expires_at: Some(NOW + 1) }, false, 2);
    batch.revive(&mut lapsed);
    assert_eq!(sent(&batch), [(&b"k"[..], Act::Set(b"v", Some(NOW + 1)))]);
    assert_eq!(batch.bytes(), 2);
}

#[test]
fn what_redis_has_goes_with_its_time_only_when_nothing_prolongs_it() {
    let mut lapsed = Lapsed::default();
    let mut batch = Batch::default();
    for key in [b"a", b"b"] {
        let expire = Record::Expire { db: 0, key, expires_at: Some(NOW - 1) };
        batch.take(&expire, false, 1);
    }
    let lease = Act::ExpireAt(NOW + LEASE_MS);
    assert_eq!(sent(&batch), [(&b"a"[..], lease), (b"b", lease)]);
    batch.lapse(NOW, &mut lapsed);
    let mut batch = Batch::default();
    batch.take(&Record::Expire { db: 0, key: b"a", expires_at: None }, false, 2);
    batch.revive(&mut lapsed);
    assert_eq!(sent(&batch), [(&b"a"[..], Act::Persist)]);
    let last = Batch::of_leases(&mut lapsed).unwrap();
    assert_eq!(sent(&last), [(&b"b"[..], Act::Unlink)]);
}
