//! Keys whose value is not known, because a command that is not held here has changed it. They are
//! left out: no value is better than a wrong one.

use std::collections::HashSet;

/// Keys by database.
#[derive(Debug)]
pub(super) struct Unsure(Vec<HashSet<Box<[u8]>>>);

impl Unsure {
    pub(super) fn new(databases: u8) -> Self {
        Self((0..databases).map(|_| HashSet::new()).collect())
    }

    pub(super) fn add(&mut self, db: u8, key: &[u8]) {
        if let Some(keys) = self.0.get_mut(usize::from(db)) {
            keys.insert(key.into());
        }
    }

    pub(super) fn has(&self, db: u8, key: &[u8]) -> bool {
        self.0.get(usize::from(db)).is_some_and(|keys| keys.contains(key))
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, db: u8, key: &[u8]) -> bool {
        self.0.get_mut(usize::from(db)).is_some_and(|keys| keys.remove(key))
    }

    /// A database (`None`: every one) is empty now.
    pub(super) fn flush(&mut self, db: Option<u8>) {
        for (number, keys) in self.0.iter_mut().enumerate() {
            if db.is_none_or(|db| usize::from(db) == number) {
                *keys = HashSet::new();
            }
        }
    }

    pub(super) fn swap(&mut self, a: u8, b: u8) {
        let (a, b) = (usize::from(a), usize::from(b));
        if a < self.0.len() && b < self.0.len() {
            self.0.swap(a, b);
        }
    }
}
