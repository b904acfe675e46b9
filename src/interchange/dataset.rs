//! Going through a store that nobody else uses.

use seawall_actors::cache::store::{KeyHasher, Store};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Record;

/// As many as a record can name.
pub(super) const DATABASES: u8 = u8::MAX;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) db: u8,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) expires_at: Option<UnixMs>,
}

/// Hands over every entry of one database that has not expired at `now`, until `take` fails; its
/// error is returned.
pub(super) fn each_in<E>(
    store: &Store,
    db: u8,
    now: UnixMs,
    mut take: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    /// Entries between two looks at whether `take` has failed.
    const PIECE: u64 = 1024;
    if store.is_empty(db) {
        return Ok(());
    }
    let mut cursor = 0;
    loop {
        let mut taken = Ok(());
        cursor = store.scan(db, cursor, PIECE, now, |key, entry| {
            if taken.is_ok() {
                let (value, expires_at) = (entry.value, entry.expires_at);
                taken = take(Entry { db, key, value, expires_at });
            }
        });
        taken?;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// The hash of a record's key, with which a store takes it; any will do where it has none.
pub(super) fn hash_of(hasher: KeyHasher, record: &Record<'_>) -> u64 {
    record.entry().map_or(0, |(_, key)| hasher.hash(key))
}
