//! Round trips, and that garbage is refused without a panic.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Owned {
    Set(u8, Vec<u8>, Vec<u8>, Option<u64>),
    Delete(u8, Vec<u8>),
    Expire(u8, Vec<u8>, Option<u64>),
    Flush(Option<u8>),
    Evict(u8, Vec<u8>),
    SwapDb(u8, u8),
}

impl Owned {
    fn view(&self) -> Record<'_> {
        match self {
            Self::Set(db, key, value, at) => Record::Set { db: *db, key, value, expires_at: *at },
            Self::Delete(db, key) => Record::Delete { db: *db, key },
            Self::Expire(db, key, at) => Record::Expire { db: *db, key, expires_at: *at },
            Self::Flush(db) => Record::Flush { db: *db },
            Self::Evict(db, key) => Record::Evict { db: *db, key },
            Self::SwapDb(a, b) => Record::SwapDb { a: *a, b: *b },
        }
    }
}

fn any_record() -> impl Strategy<Value = Owned> {
    let db = 0u8..16;
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    let at = proptest::option::of(1u64..u64::MAX);
    prop_oneof![
        (db.clone(), bytes(), bytes(), at.clone()).prop_map(|(d, k, v, t)| Owned::Set(d, k, v, t)),
        (db.clone(), bytes()).prop_map(|(d, k)| Owned::Delete(d, k)),
        (db.clone(), bytes(), at).prop_map(|(d, k, t)| Owned::Expire(d, k, t)),
        proptest::option::of(db.clone()).prop_map(Owned::Flush),
        (db.clone(), bytes()).prop_map(|(d, k)| Owned::Evict(d, k)),
        (db.clone(), db).prop_map(|(a, b)| Owned::SwapDb(a, b)),
    ]
}

proptest! {
    #[test]
    fn records_come_back_as_they_went_in(records in proptest::collection::vec(any_record(), 0..20)) {
        let mut batch = RecordBatch::new();
        for record in &records {
            batch.push(&record.view());
        }
        prop_assert_eq!(batch.count() as usize, records.len());
        let read: Result<Vec<_>, _> = Records::new(batch.as_bytes()).collect();
        let expected: Vec<_> = records.iter().map(Owned::view).collect();
        prop_assert_eq!(read, Ok(expected));
    }

    #[test]
    fn garbage_ends_in_an_error_or_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let errors = Records::new(&bytes).filter(Result::is_err).count();
        prop_assert!(errors <= 1);
    }
}

#[test]
fn an_unknown_optional_record_is_passed_over_and_a_critical_one_refused() {
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: b"k" });
    let mut optional = vec![200, 3, 1, 2, 3];
    optional.extend_from_slice(batch.as_bytes());
    let mut records = Records::new(&optional);
    assert_eq!(records.next(), Some(Ok(Record::Delete { db: 0, key: b"k" })));
    assert_eq!(records.position(), 2, "the one passed over counts");
    assert_eq!(records.next(), None);
    assert_eq!(records.position(), 2);

    let critical = [99, 1, 0];
    let read: Vec<_> = Records::new(&critical).collect();
    assert_eq!(read, vec![Err(DecodeError::UnknownCritical(99))]);
}

#[test]
fn a_varint_of_more_than_64_bits_is_malformed() {
    let bytes = [SET, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(Records::new(&bytes).next(), Some(Err(DecodeError::Malformed)));
}

#[test]
fn an_expiry_is_told_from_a_deletion_by_whoever_asks() {
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key: b"a" });
    batch.push_expired(3, b"b");
    batch.push(&Record::Delete { db: 0, key: b"c" });
    assert_eq!(batch.count(), 4, "the mark has an LSN of its own");
    let mut records = Records::new(batch.as_bytes());
    let mut told = Vec::new();
    while let Some(record) = records.next() {
        let (_, key) = record.unwrap().entry().unwrap();
        told.push((key, records.was_expiry(), records.position()));
    }
    assert_eq!(told, [(&b"a"[..], false, 1), (b"b", true, 3), (b"c", false, 4)]);
}
