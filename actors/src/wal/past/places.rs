//! Follows keys through the records and remembers where their values stand. Pure.

use std::collections::HashMap;

use super::{Keys, Wanted};
use crate::clock::UnixMs;
use crate::journal::{Lsn, Record};

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// The how-manieth entry of the snapshot.
    InSnapshot(u64),
    /// The record with this LSN.
    InLog(Lsn),
}

/// Where the value of a key stands, and when the key expires: that may have been changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stands: Stands,
    pub(super) expires_at: Option<UnixMs>,
}

type Database = HashMap<Box<[u8]>, Place>;

/// The wanted keys of every database: one may take another's place.
#[derive(Debug)]
pub(super) struct Places<'w> {
    keys: &'w Keys,
    db: u8,
    databases: HashMap<u8, Database>,
}

impl<'w> Places<'w> {
    pub(super) fn new(wanted: &'w Wanted) -> Self {
        Self { keys: &wanted.keys, db: wanted.db, databases: HashMap::new() }
    }

    pub(super) fn apply(&mut self, stands: Stands, record: &Record<'_>) {
        match *record {
            Record::Set { db, key, expires_at, .. } | Record::Fill { db, key, expires_at, .. }
                if self.keys.include(key) =>
            {
                let place = Place { stands, expires_at };
                let database = self.databases.entry(db).or_default();
                match database.get_mut(key) {
                    Some(held) => *held = place,
                    None => {
                        database.insert(key.into(), place);
                    }
                }
            }
            Record::Expire { db, key, expires_at } => {
                if let Some(place) = self.databases.get_mut(&db).and_then(|d| d.get_mut(key)) {
                    place.expires_at = expires_at;
                }
            }
            Record::Delete { db, key } | Record::Evict { db, key } => {
                if let Some(database) = self.databases.get_mut(&db) {
                    database.remove(key);
                }
            }
            Record::Flush { db: Some(db) } => drop(self.databases.remove(&db)),
            Record::Flush { db: None } => self.databases.clear(),
            Record::SwapDb { a, b } => {
                let (of_a, of_b) = (self.databases.remove(&a), self.databases.remove(&b));
                self.databases.extend(of_a.map(|database| (b, database)));
                self.databases.extend(of_b.map(|database| (a, database)));
            }
            Record::Set { .. } | Record::Fill { .. } => {}
        }
    }

    /// The keys of the wanted database.
    pub(super) fn finish(mut self) -> Database {
        self.databases.remove(&self.db).unwrap_or_default()
    }
}
