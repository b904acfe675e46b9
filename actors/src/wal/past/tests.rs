use std::collections::BTreeMap;

use proptest::prelude::*;

use super::places::{Place, Places, Stands};
use super::*;

const DBS: u8 = 3;

/// A record, by number: key, database, expiry and kind.
fn record(names: &[Vec<u8>; 4], (kind, db, key, at): (u8, u8, usize, u64)) -> Record<'_> {
    let (db, key) = (db % DBS, &names[key % names.len()][..]);
    let expires_at = (at > 0).then_some(at);
    match kind {
        0..6 => Record::Set { db, key, value: key, expires_at },
        6 => Record::Delete { db, key },
        7 => Record::Evict { db, key },
        8 => Record::Expire { db, key, expires_at },
        9 => Record::Flush { db: (at > 2).then_some(db) },
        _ => Record::SwapDb { a: db, b: (at % u64::from(DBS)) as u8 },
    }
}

type Model = Vec<BTreeMap<Vec<u8>, Place>>;

/// The same, with whole databases.
fn apply(model: &mut Model, stands: Stands, record: &Record<'_>) {
    match *record {
        Record::Set { db, key, expires_at, .. } | Record::Fill { db, key, expires_at, .. } => {
            model[usize::from(db)].insert(key.to_vec(), Place { stands, expires_at });
        }
        Record::Delete { db, key } | Record::Evict { db, key } => {
            model[usize::from(db)].remove(key);
        }
        Record::Expire { db, key, expires_at } => {
            if let Some(place) = model[usize::from(db)].get_mut(key) {
                place.expires_at = expires_at;
            }
        }
        Record::Flush { db } => {
            let dbs = db.map_or(0..DBS, |db| db..db + 1);
            dbs.for_each(|db| model[usize::from(db)].clear());
        }
        Record::SwapDb { a, b } => model.swap(usize::from(a), usize::from(b)),
    }
}

proptest! {
    #[test]
    fn places_are_where_a_whole_replay_has_them(
        steps in prop::collection::vec((0..11u8, any::<u8>(), 0..4usize, 0..5u64), 0..80),
        db in 0..DBS,
        which in 0..3usize,
    ) {
        let names = ["a", "ab", "abc", "b"].map(|name| name.as_bytes().to_vec());
        let keys = [
            Keys::Prefix(Box::from(&b""[..])),
            Keys::Prefix(Box::from(&b"ab"[..])),
            Keys::One(Box::from(&b"ab"[..])),
        ];
        let keys = keys[which].clone();
        let wanted = Wanted { db, keys: keys.clone(), at: Moment::Lsn(0) };
        let mut places = Places::new(&wanted);
        let mut model: Model = vec![BTreeMap::new(); usize::from(DBS)];
        for (lsn, step) in (1..).zip(steps) {
            let record = record(&names, step);
            places.apply(Stands::InLog(lsn), &record);
            apply(&mut model, Stands::InLog(lsn), &record);
        }
        let found: BTreeMap<Vec<u8>, Place> =
            places.finish().into_iter().map(|(key, place)| (key.into_vec(), place)).collect();
        let mut due = std::mem::take(&mut model[usize::from(db)]);
        due.retain(|key, _| match &keys {
            Keys::One(one) => **one == **key,
            Keys::Prefix(prefix) => key.starts_with(prefix),
        });
        prop_assert_eq!(found, due);
    }
}
