//! What every mutation is made of: planning the block, the short commit, and the way out.

use super::admission::Demand;
use super::near::Origin;
use super::slot::Slot;
use super::{Event, Key, Limit, Refusal, Store};
use crate::clock::UnixMs;
use crate::failpoint::{self, Point};
use crate::journal::Record;

/// Slack up to this many bytes plus an eighth is kept when a value is overwritten in place.
const SLACK: usize = 8;
/// An appended value grows by at most this many bytes beyond what it needs.
const MOST_SPARE: usize = 1 << 20;

impl Store {
    pub(super) fn change_expiry(&mut self, slot: u32, at: Option<UnixMs>, now: UnixMs) {
        self.committing = true;
        self.changing(slot);
        self.set_expiry(slot, at.unwrap_or(0), now);
        // A time that is given here is kept here.
        self.slab.at_mut(slot).set_origin(Origin::OURS);
        if !self.muted {
            let place = self.slab.at(slot);
            let db = self.logical[usize::from(place.db)];
            self.effects.push(&Record::Expire { db, key: place.key(), expires_at: at });
        }
        self.committing = false;
    }

    pub(super) fn default_expiry(&self, now: UnixMs) -> UnixMs {
        match self.config.default_ttl_ms {
            Some(ttl_ms) if ttl_ms > 0 => now.saturating_add(ttl_ms),
            _ => 0,
        }
    }

    /// Writes a value to a key whose slot is known, expiring at `at` (0: never).
    pub(super) fn put_value(
        &mut self,
        physical: u8,
        key: Key<'_>,
        found: Option<u32>,
        value: &[u8],
        at: UnixMs,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let len = key.bytes.len().saturating_add(value.len());
        let had = found.map_or(0, |slot| self.slab.at(slot).block.len());
        let in_place = found.is_some() && len <= had && had - len <= len / 8 + SLACK;
        if !in_place {
            self.admit(
                &Demand {
                    added: len as u64,
                    freed: had as u64,
                    fresh: found.is_none().then_some(physical),
                    keep: found,
                },
                now,
            )?;
            let mut block = Vec::with_capacity(len);
            block.extend_from_slice(key.bytes);
            block.extend_from_slice(value);
            let block = (block.into_boxed_slice(), len as u32);
            return self
                .commit_block(physical, key, found, block, at, now)
                .map_err(|_| Refusal::OutOfMemory(Limit::Entries));
        }
        if let Some(slot) = found {
            self.committing = true;
            self.changing(slot);
            let place = self.slab.at_mut(slot);
            place.block[key.bytes.len()..len].copy_from_slice(value);
            place.len = len as u32;
            failpoint::hit(Point::StoreCommit);
            self.set_expiry(slot, at, now);
            self.written(slot, now);
            self.committing = false;
        }
        Ok(())
    }

    /// Puts an admitted block in place; it comes back if every slot index is in use.
    pub(super) fn commit_block(
        &mut self,
        physical: u8,
        key: Key<'_>,
        found: Option<u32>,
        (block, len): (Box<[u8]>, u32),
        at: UnixMs,
        now: UnixMs,
    ) -> Result<(), Box<[u8]>> {
        self.committing = true;
        let slot = if let Some(slot) = found {
            self.changing(slot);
            self.replace_block(slot, block, len);
            slot
        } else {
            // Admission has seen that the block's length, and so the key's, fits.
            let key_len = key.bytes.len() as u32;
            match self.insert_block(physical, key.table_hash(), key_len, (block, len)) {
                Ok(slot) => {
                    self.appeared(slot);
                    slot
                }
                Err(block) => {
                    self.committing = false;
                    return Err(block);
                }
            }
        };
        failpoint::hit(Point::StoreCommit);
        self.set_expiry(slot, at, now);
        self.written(slot, now);
        self.committing = false;
        Ok(())
    }

    /// Gives the entry in `slot` another block, which begins with the same key.
    #[inline]
    pub(super) fn replace_block(&mut self, slot: u32, block: Box<[u8]>, len: u32) {
        let place = self.slab.at_mut(slot);
        place.len = len;
        let capacity = block.len() as u64;
        let old = std::mem::replace(&mut place.block, block);
        self.block_bytes = self.block_bytes - old.len() as u64 + capacity;
    }

    /// Puts a new entry into slab, table and order of eviction; the block comes back if every
    /// slot index is in use.
    #[inline]
    pub(super) fn insert_block(
        &mut self,
        physical: u8,
        hash: u32,
        key_len: u32,
        (block, len): (Box<[u8]>, u32),
    ) -> Result<u32, Box<[u8]>> {
        let Some(slot) = self.slab.allocate() else { return Err(block) };
        self.supersede_kept(physical, &block[..key_len as usize]);
        self.block_bytes += block.len() as u64;
        let place = self.slab.at_mut(slot);
        place.db = physical;
        place.hash = hash;
        place.key_len = key_len;
        place.len = len;
        place.block = block;
        let table = &mut self.tables[usize::from(physical)];
        let before = table.bytes();
        table.insert(hash, slot);
        self.table_bytes = self.table_bytes - before + table.bytes();
        self.policy.inserted(&mut self.slab, slot);
        Ok(slot)
    }

    /// Makes a value `len` bytes long, which is no less than it is, and then changes it by
    /// `change`, which is given the value and how long it was. What lies beyond that is
    /// arbitrary.
    pub(super) fn edit(
        &mut self,
        slot: u32,
        len: usize,
        now: UnixMs,
        change: impl FnOnce(&mut [u8], usize),
    ) -> Result<(), Refusal> {
        let place = self.slab.at(slot);
        let key_len = place.key_len as usize;
        let (need, had) = (key_len.saturating_add(len), place.block.len());
        let capacity = if need <= had {
            had
        } else {
            need.max((had * 2).min(need.saturating_add(MOST_SPARE)))
        };
        let demand =
            Demand { added: capacity as u64, freed: had as u64, fresh: None, keep: Some(slot) };
        self.admit(&demand, now)?;
        self.committing = true;
        self.changing(slot);
        let place = self.slab.at_mut(slot);
        if capacity != had {
            let mut block = std::mem::take(&mut place.block).into_vec();
            block.reserve_exact(capacity - had);
            block.resize(capacity, 0);
            place.block = block.into_boxed_slice();
        }
        let was = std::mem::replace(&mut place.len, need as u32) as usize - key_len;
        change(&mut place.block[key_len..need], was);
        self.block_bytes = self.block_bytes - had as u64 + place.block.len() as u64;
        self.written(slot, now);
        self.committing = false;
        Ok(())
    }

    /// What every write of a value ends with.
    fn written(&mut self, slot: u32, now: UnixMs) {
        self.stats.sets += 1;
        self.touch_slot(slot, now);
        self.tag_as_ours(slot);
        self.committing = true;
        if !self.muted {
            let place = self.slab.at(slot);
            self.effects.push(&Record::Set {
                db: self.logical[usize::from(place.db)],
                key: place.key(),
                value: place.value(),
                expires_at: place.expiry(),
            });
        }
    }

    /// Changes when an entry expires (0: never), in the slot, its table's sums and the wheel.
    #[inline]
    pub(super) fn set_expiry(&mut self, slot: u32, at: UnixMs, now: UnixMs) {
        let place = self.slab.at_mut(slot);
        let was = std::mem::replace(&mut place.expires_at, at);
        if was == at {
            return;
        }
        let table = &mut self.tables[usize::from(place.db)];
        table.expiring = table.expiring + u64::from(at != 0) - u64::from(was != 0);
        table.expiry_sum = table.expiry_sum + u128::from(at) - u128::from(was);
        if at == 0 {
            self.wheel.cancel(&mut self.slab, slot);
        } else {
            self.wheel.schedule(&mut self.slab, slot, was, now);
        }
    }

    pub(super) fn delete_slot(&mut self, slot: u32) -> Box<[u8]> {
        self.committing = true;
        self.stats.deletes += 1;
        self.emit_delete(slot);
        let block = self.detach(slot);
        self.committing = false;
        block
    }

    pub(super) fn emit_delete(&mut self, slot: u32) {
        if !self.muted {
            let place = self.slab.at(slot);
            let db = self.logical[usize::from(place.db)];
            self.effects.push(&Record::Delete { db, key: place.key() });
        }
    }

    /// Takes an entry out of everything it is in and returns its block.
    pub(super) fn detach(&mut self, slot: u32) -> Box<[u8]> {
        self.changing(slot);
        self.unlink(slot)
    }

    /// As [`Store::detach`], where the key is not changed by it: it is only not in memory any more.
    /// Those who watch it are not told.
    pub(super) fn part_with(&mut self, slot: u32) {
        if self.undo.is_some() {
            self.detach(slot);
        } else {
            self.tell(Event::CHANGED, slot);
            self.unlink(slot);
        }
    }

    /// As [`Store::detach`], and nobody hears of it.
    pub(super) fn unlink(&mut self, slot: u32) -> Box<[u8]> {
        let Slot { db, hash, expires_at, .. } = *self.slab.at(slot);
        let table = &mut self.tables[usize::from(db)];
        let before = table.bytes();
        table.remove(hash, slot);
        self.table_bytes = self.table_bytes - before + table.bytes();
        if expires_at != 0 {
            table.expiring -= 1;
            table.expiry_sum -= u128::from(expires_at);
            self.wheel.cancel(&mut self.slab, slot);
        }
        self.policy.removed(&mut self.slab, slot);
        let block = self.slab.release(slot);
        self.block_bytes -= block.len() as u64;
        block
    }
}

#[cfg(test)]
impl Store {
    /// A mutation that panics half way.
    pub(super) fn edit_panics(&mut self, slot: u32) {
        let _ = self.edit(slot, 10, 0, |_, _| panic!("half way"));
    }
}
