//! Keys that a part of the log leaves deleted. Pure.
//!
//! They are what a comparison cannot find out: what is not in memory may still be in Redis by
//! right. So they are kept when the log is let go.

use std::collections::HashMap;

use super::batch::DB;
use crate::clock::UnixMs;
use crate::journal::Record;

/// Bytes of keys that are kept, with what each costs beside.
const MOST: usize = if cfg!(test) { 400 } else { 64 << 20 };
/// What a key costs beside its bytes.
const EACH: usize = 48;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deletions {
    /// Everything goes before them.
    pub flushes: bool,
    /// Some had no room.
    pub full: bool,
    keys: HashMap<Box<[u8]>, UnixMs>,
    bytes: usize,
}

impl Deletions {
    /// The next record of the log. `expiry`: a deletion because the time had come.
    pub fn take(&mut self, record: &Record<'_>, expiry: bool, wall_ms: UnixMs) {
        match *record {
            Record::Set { db: DB, key, .. } => self.remove(key),
            // Redis has the time itself.
            Record::Delete { db: DB, .. } if expiry => {}
            Record::Delete { db: DB, key } => self.insert(key, wall_ms),
            Record::Flush { db } if db.is_none_or(|db| db == DB) => self.flush(),
            Record::SwapDb { a, b } if (a == DB) != (b == DB) => self.flush(),
            _ => {}
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if self.keys.remove(key).is_some() {
            self.bytes -= key.len() + EACH;
        }
    }

    fn flush(&mut self) {
        *self = Self { flushes: true, ..Self::default() };
    }

    /// One more key.
    pub fn insert(&mut self, key: &[u8], wall_ms: UnixMs) {
        if let Some(at) = self.keys.get_mut(key) {
            *at = wall_ms;
        } else if self.bytes + key.len() + EACH > MOST {
            self.full = true;
        } else {
            self.bytes += key.len() + EACH;
            self.keys.insert(key.into(), wall_ms);
        }
    }

    /// The keys, and when their deletion was logged, in any order.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], UnixMs)> {
        self.keys.iter().map(|(key, at)| (&**key, *at))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: &[(Record<'_>, bool)]) -> (bool, Vec<(Vec<u8>, UnixMs)>) {
        let mut found = Deletions::default();
        for ((record, expiry), at) in records.iter().zip(1..) {
            found.take(record, *expiry, at);
        }
        let mut keys: Vec<_> = found.keys().map(|(key, at)| (key.to_vec(), at)).collect();
        keys.sort();
        (found.flushes, keys)
    }

    fn set(key: &[u8]) -> (Record<'_>, bool) {
        (Record::Set { db: 0, key, value: b"v", expires_at: None }, false)
    }

    fn delete(key: &[u8]) -> (Record<'_>, bool) {
        (Record::Delete { db: 0, key }, false)
    }

    #[test]
    fn what_is_deleted_in_the_end_is_kept() {
        let records = [
            set(b"a"),
            delete(b"a"),
            delete(b"b"),
            set(b"b"),
            (Record::Delete { db: 0, key: b"expired" }, true),
            (Record::Delete { db: 1, key: b"elsewhere" }, false),
            (Record::Evict { db: 0, key: b"evicted" }, false),
        ];
        assert_eq!(found(&records), (false, vec![(b"a".to_vec(), 2)]));
    }

    #[test]
    fn a_flush_makes_the_deletions_before_it_needless() {
        let flush = |db| (Record::Flush { db }, false);
        let records = [delete(b"a"), flush(Some(0)), delete(b"b"), flush(Some(1))];
        assert_eq!(found(&records), (true, vec![(b"b".to_vec(), 3)]));
        let swap = (Record::SwapDb { a: 0, b: 3 }, false);
        assert_eq!(found(&[delete(b"a"), swap]), (true, vec![]));
    }

    #[test]
    fn they_are_bounded_and_say_when_there_was_no_room() {
        let mut found = Deletions::default();
        for n in 0..20u8 {
            found.take(&delete(&[n; 10]).0, false, 1);
            found.take(&set(&[n; 10]).0, false, 1);
        }
        assert!(!found.full && found.len() == 0 && found.bytes == 0);
        (0..20u8).for_each(|n| found.take(&delete(&[n; 10]).0, false, 1));
        assert!(found.full && found.bytes <= MOST);
        found.take(&Record::Flush { db: None }, false, 1);
        assert!(!found.full, "what there was no room for is gone, too");
    }
}
