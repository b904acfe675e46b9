//! Effects from the log, put back.

use super::{Key, Refusal, Store};
use crate::clock::UnixMs;
use crate::journal::Record;

impl Store {
    /// Applies one effect from the log; `hash` is its key's (any, for a record without a key).
    ///
    /// No effect is left and no counter moves. Limits hold meanwhile: what a smaller limit than
    /// when the log was written evicts is evicted silently, and again at each replay. What has
    /// expired at `now` is not resurrected.
    ///
    /// # Errors
    /// [`Refusal::NoSuchDatabase`], if there are fewer databases than when the log was written;
    /// [`Refusal::OutOfMemory`] without eviction or for a value beyond the limit: the key is
    /// absent then, never at an older value.
    pub fn apply(&mut self, record: &Record<'_>, hash: u64, now: UnixMs) -> Result<(), Refusal> {
        let stats = self.stats;
        let applied = self.muted(|store| store.apply_muted(record, hash, now));
        self.stats = stats;
        applied
    }

    fn apply_muted(&mut self, record: &Record<'_>, hash: u64, now: UnixMs) -> Result<(), Refusal> {
        match *record {
            Record::Set { db, key, value, expires_at } => {
                let key = Key { bytes: key, hash };
                let physical = self.physical_of(db)?;
                let found = self.find_live(db, key, now);
                let put = if expires_at.is_some_and(|at| at <= now) {
                    self.remove(db, key, now);
                    Ok(())
                } else {
                    self.put_value(physical, key, found, value, expires_at.unwrap_or(0), now)
                };
                if put.is_err() {
                    self.remove(db, key, now);
                }
                put
            }
            Record::Delete { db, key } | Record::Evict { db, key } => {
                self.physical_of(db)?;
                self.remove(db, Key { bytes: key, hash }, now);
                Ok(())
            }
            Record::Expire { db, key, expires_at } => {
                self.physical_of(db)?;
                self.expire_at(db, Key { bytes: key, hash }, expires_at, now);
                Ok(())
            }
            Record::Flush { db } => {
                if let Some(db) = db {
                    self.physical_of(db)?;
                }
                drop(self.flush(db));
                Ok(())
            }
            Record::SwapDb { a, b } => self.swap_db(a, b),
        }
    }
}
