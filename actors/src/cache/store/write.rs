//! Writing, deleting and moving entries. A write is planned (may refuse, has changed nothing but
//! what it evicted) and then committed (short, cannot fail).

use super::admission::Demand;
use super::slot::Slot;
use super::{Expiry, Key, Limit, OwnedEntry, Refusal, Store, TIERED};
use crate::clock::UnixMs;

impl Store {
    /// Writes a value. Under LRU, others make room; never the key itself.
    ///
    /// # Errors
    /// [`Refusal::OutOfMemory`] if the value can't fit, [`Refusal::NoSuchDatabase`].
    #[inline]
    pub fn set(
        &mut self,
        db: u8,
        key: Key<'_>,
        value: &[u8],
        expiry: Expiry,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let physical = self.physical_of(db)?;
        let found = self.find_live(db, key, now);
        let at = match expiry {
            Expiry::Default => self.default_expiry(now),
            Expiry::Never => 0,
            Expiry::At(at) if at <= now => {
                self.stats.sets += 1;
                match found {
                    Some(slot) => drop(self.delete_slot(slot)),
                    // The tier may have what is not here.
                    None if self.near.is_some() && db == TIERED => self.bury(key, now),
                    None => {}
                }
                return Ok(());
            }
            Expiry::At(at) => at,
            Expiry::Keep => found.map_or(0, |slot| self.slab.at(slot).expires_at),
        };
        self.put_value(physical, key, found, value, at, now)
    }

    /// Appends to a value, or writes it if there is none (with the default TTL). Returns the
    /// value's length. Capacity doubles, up to 1 MiB beyond what is needed.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub fn append(
        &mut self,
        db: u8,
        key: Key<'_>,
        tail: &[u8],
        now: UnixMs,
    ) -> Result<usize, Refusal> {
        let physical = self.physical_of(db)?;
        let Some(slot) = self.find_live(db, key, now) else {
            let at = self.default_expiry(now);
            self.put_value(physical, key, None, tail, at, now)?;
            return Ok(tail.len());
        };
        let len = self.slab.at(slot).value().len().saturating_add(tail.len());
        self.edit(slot, len, now, |value, was| value[was..].copy_from_slice(tail))?;
        Ok(len)
    }

    /// Overwrites part of a value from `offset` on, with zero bytes up to there if it is shorter
    /// or absent. Returns the value's length; empty `bytes` change nothing.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub fn set_range(
        &mut self,
        db: u8,
        key: Key<'_>,
        offset: usize,
        bytes: &[u8],
        now: UnixMs,
    ) -> Result<usize, Refusal> {
        let physical = self.physical_of(db)?;
        let found = self.find_live(db, key, now);
        let was = found.map_or(0, |slot| self.slab.at(slot).value().len());
        if bytes.is_empty() {
            return Ok(was);
        }
        let end = offset.saturating_add(bytes.len());
        let len = was.max(end);
        if let Some(slot) = found {
            self.edit(slot, len, now, |value, was| {
                // Spare room may hold what a longer value left there.
                value[was..].fill(0);
                value[offset..end].copy_from_slice(bytes);
            })?;
        } else {
            self.check_block(key.bytes.len().saturating_add(len) as u64)?;
            let mut value = vec![0; offset];
            value.extend_from_slice(bytes);
            let at = self.default_expiry(now);
            self.put_value(physical, key, None, &value, at, now)?;
        }
        Ok(len)
    }

    /// Deletes a key; whether it was there.
    pub fn remove(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> bool {
        let found = self.find_live(db, key, now);
        if let Some(slot) = found {
            self.delete_slot(slot);
        }
        found.is_some()
    }

    /// Deletes a key and returns what it held (GETDEL; UNLINK of a big value, which is then
    /// dropped elsewhere; the first half of RENAME and MOVE). Counts no hit and no miss.
    pub fn take(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> Option<OwnedEntry> {
        let slot = self.find_live(db, key, now)?;
        let Slot { key_len, len, .. } = *self.slab.at(slot);
        let expires_at = self.slab.at(slot).expiry();
        let block = self.delete_slot(slot);
        Some(OwnedEntry { block, key_len, len, expires_at })
    }

    /// Writes an entry that was taken, with its expiry, over whatever the key holds. Nothing is
    /// copied if the key has the same bytes as before (MOVE). An entry that has expired
    /// meanwhile deletes the key.
    ///
    /// # Errors
    /// As [`Store::set`], and the entry is handed back.
    pub fn put(
        &mut self,
        db: u8,
        key: Key<'_>,
        entry: OwnedEntry,
        now: UnixMs,
    ) -> Result<(), (Refusal, OwnedEntry)> {
        let physical = match self.physical_of(db) {
            Ok(physical) => physical,
            Err(refusal) => return Err((refusal, entry)),
        };
        let found = self.find_live(db, key, now);
        if entry.expires_at.is_some_and(|at| at <= now) {
            if let Some(slot) = found {
                self.delete_slot(slot);
            }
            return Ok(());
        }
        let at = entry.expires_at.unwrap_or(0);
        if entry.block.get(..entry.key_len as usize) != Some(key.bytes) {
            let put = self.put_value(physical, key, found, entry.value(), at, now);
            return put.map_err(|refusal| (refusal, entry));
        }
        let demand = Demand {
            added: entry.block.len() as u64,
            freed: found.map_or(0, |slot| self.slab.at(slot).block.len() as u64),
            fresh: found.is_none().then_some(physical),
            keep: found,
        };
        if let Err(refusal) = self.admit(&demand, now) {
            return Err((refusal, entry));
        }
        match self.commit_block(physical, key, found, (entry.block, entry.len), at, now) {
            Ok(()) => Ok(()),
            Err(block) => {
                let entry = OwnedEntry { block, ..entry };
                Err((Refusal::OutOfMemory(Limit::Entries), entry))
            }
        }
    }

    /// Sets when a key expires (`None`: never); whether the key is there. A time that has passed
    /// deletes it.
    pub fn expire_at(&mut self, db: u8, key: Key<'_>, at: Option<UnixMs>, now: UnixMs) -> bool {
        let Some(slot) = self.find_live(db, key, now) else { return false };
        if at.is_some_and(|at| at <= now) {
            self.delete_slot(slot);
            return true;
        }
        self.change_expiry(slot, at, now);
        true
    }
}
