//! Effects from the log, put back.

use super::near::Origin;
use super::{Key, Refusal, Store};
use crate::clock::UnixMs;
use crate::journal::Record;

impl Store {
    /// Applies one effect from the log; `hash` is its key's (any, for a record without a key).
    ///
    /// No effect is left and no counter moves. Limits hold meanwhile: what a smaller limit than
    /// when the log was written evicts is evicted silently, and again at each replay. `now` counts
    /// as the time of use.
    ///
    /// An expiry that has passed by `now` does not delete yet: a later record may have lifted
    /// it in time. Such an entry is invisible all the same, and goes with the first sweep.
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
            Record::Set { db, key, value, expires_at }
            | Record::Fill { db, key, value, expires_at } => {
                let key = Key { bytes: key, hash };
                let physical = self.physical_of(db)?;
                let (found, at) = (self.locate(db, key), expires_at.unwrap_or(0));
                let put = self.put_value(physical, key, found, value, at, now);
                if put.is_err()
                    && let Some(slot) = found
                {
                    self.delete_slot(slot);
                }
                if let (Record::Fill { .. }, Some(slot)) = (record, self.locate(db, key)) {
                    let origin = Origin::living(at.saturating_sub(now));
                    self.slab.at_mut(slot).set_origin(origin);
                }
                put
            }
            Record::Delete { db, key } | Record::Evict { db, key } => {
                self.physical_of(db)?;
                if let Some(slot) = self.locate(db, Key { bytes: key, hash }) {
                    self.delete_slot(slot);
                }
                Ok(())
            }
            Record::Expire { db, key, expires_at } => {
                self.physical_of(db)?;
                if let Some(slot) = self.locate(db, Key { bytes: key, hash }) {
                    self.change_expiry(slot, expires_at, now);
                }
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
