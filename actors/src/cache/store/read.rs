//! Looking keys up.

use super::slot::Slot;
use super::table::Ref;
use super::{EntryView, Event, Key, Store};
use crate::clock::UnixMs;

impl Store {
    /// The value of a key: counts a hit or a miss, and a use.
    #[inline]
    pub fn get(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> Option<&[u8]> {
        let Some(slot) = self.find_live(db, key, now) else {
            self.stats.misses += 1;
            self.notices.add(Event::KEY_MISS, db, Some(key.bytes));
            return None;
        };
        self.stats.hits += 1;
        self.touch_slot(slot, now);
        Some(self.slab.at(slot).value())
    }

    /// A look at a key that changes and counts nothing.
    #[must_use]
    pub fn peek(&self, db: u8, key: Key<'_>, now: UnixMs) -> Option<EntryView<'_>> {
        let place = self.slab.at(self.locate(db, key)?);
        (!place.is_expired(now)).then(|| view(place))
    }

    /// A look at a key that counts a hit or a miss, but no use (CLIENT NO-TOUCH, TTL, STRLEN).
    pub fn read(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> Option<EntryView<'_>> {
        let Some(slot) = self.find_live(db, key, now) else {
            self.stats.misses += 1;
            self.notices.add(Event::KEY_MISS, db, Some(key.bytes));
            return None;
        };
        self.stats.hits += 1;
        Some(view(self.slab.at(slot)))
    }

    /// Whether a key is there. No use, no hit, no miss; an expired key is removed.
    pub fn exists(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> bool {
        self.find_live(db, key, now).is_some()
    }

    /// Counts a use; whether the key is there (TOUCH).
    pub fn touch(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> bool {
        let found = self.find_live(db, key, now);
        if let Some(slot) = found {
            self.touch_slot(slot, now);
        }
        found.is_some()
    }

    /// Bytes that one entry takes: its block, its slot, its bucket in the table.
    #[must_use]
    pub fn memory_of(&self, db: u8, key: Key<'_>, now: UnixMs) -> Option<u64> {
        let place = self.slab.at(self.locate(db, key)?);
        let index = size_of::<Slot>() + size_of::<Ref>() + 1;
        (!place.is_expired(now)).then(|| (place.block.len() + index) as u64)
    }

    /// Loads what lookups of these keys (database, hash) will read, so that a batch waits for
    /// memory once and not once per key. Changes nothing and needs no key bytes.
    pub fn warm(&self, keys: &[(u8, u64)]) {
        let mut slots = [0u32; 64];
        for keys in keys.chunks(slots.len()) {
            // In stages, and without branches that depend on what a stage loads: the loads of a
            // stage overlap, those of a lookup can't.
            let mut found = 0;
            for &(db, hash) in keys {
                if let Some(slot) = self.table(db).and_then(|t| t.find_by_hash(hash as u32)) {
                    slots[found] = slot;
                    found += 1;
                }
            }
            let mut seen = 0usize;
            for &slot in &slots[..found] {
                seen = seen.wrapping_add(self.slab.at(slot).block.len());
            }
            for &slot in &slots[..found] {
                let block = &self.slab.at(slot).block;
                seen = seen.wrapping_add(block.first().copied().unwrap_or(0).into());
                seen = seen.wrapping_add(block.get(64).copied().unwrap_or(0).into());
            }
            std::hint::black_box(seen);
        }
    }
}

pub(super) fn view(place: &Slot) -> EntryView<'_> {
    EntryView {
        value: place.value(),
        expires_at: place.expiry(),
        touched_at: place.touched_at(),
        ours: !place.origin().is_tier(),
    }
}
