//! Taking back what was done since a *scope* was opened: transactions that roll back.
//!
//! The journal keeps, for every key that changes inside the scope, what it was before its first
//! change; putting those entries back undoes all later changes as well (a before-image log, as
//! in Gray and Reuter, *Transaction Processing*, 10.3). It lies beside the store and is not part
//! of [`Store::memory`]: it holds at most what one scope overwrites, deletes and evicts.

use hashbrown::HashTable;

use super::table::spread;
use super::{Event, Store, StoreStats};
use crate::clock::UnixMs;

/// What a key was before the scope changed it.
#[derive(Debug)]
struct Saved {
    /// Physical database.
    db: u8,
    hash: u32,
    /// The block with its spare room; of a key that was absent, the key alone.
    block: Box<[u8]>,
    key_len: u32,
    was: Was,
}

#[derive(Debug, Clone, Copy)]
enum Was {
    Absent,
    There {
        len: u32,
        expires_at: UnixMs,
    },
    /// It was there until the scope evicted it, being the next victim then.
    Evicted {
        len: u32,
        expires_at: UnixMs,
        touched: u64,
    },
}

impl Saved {
    fn key(&self) -> &[u8] {
        &self.block[..self.key_len as usize]
    }
}

/// An open scope.
#[derive(Debug)]
pub(super) struct Undo {
    /// In the order of the first changes.
    saved: Vec<Saved>,
    /// Places in `saved`, by key.
    index: HashTable<usize>,
    stats: StoreStats,
}

impl Undo {
    fn knows(&self, db: u8, hash: u32, key: &[u8]) -> bool {
        let same = |&at: &usize| {
            self.saved.get(at).is_some_and(|s| s.hash == hash && s.db == db && s.key() == key)
        };
        self.index.find(spread(hash), same).is_some()
    }

    fn add(&mut self, saved: Saved) {
        let (at, hash) = (self.saved.len(), saved.hash);
        self.saved.push(saved);
        let all = &self.saved;
        self.index.insert_unique(spread(hash), at, |&at| spread(all[at].hash));
    }
}

// === opening, keeping, rolling back ===

impl Store {
    /// Opens a scope: what follows can be taken back by [`Store::roll_back`], until
    /// [`Store::keep`]. Watchers hear of changes only then. There is one scope at a time.
    ///
    /// Limits hold inside as outside. What is evicted to make room comes back, too, and is the
    /// next to go again.
    ///
    /// The caller MUST have taken the effects, and MUST NOT flush or swap databases inside:
    /// those change a whole store at once, and keeping every entry of it would be no bound.
    pub fn open_scope(&mut self) {
        debug_assert!(self.effects.is_empty(), "effects of before the scope are not its own");
        debug_assert!(self.undo.is_none(), "scopes do not nest");
        let undo = Undo { saved: Vec::new(), index: HashTable::new(), stats: self.stats };
        self.undo = Some(Box::new(undo));
    }

    /// Closes the scope and keeps what was done in it; watchers hear of it now.
    pub fn keep(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        if self.watches.is_empty() {
            return;
        }
        self.committing = true;
        for saved in &undo.saved {
            let db = self.logical[usize::from(saved.db)];
            self.watches.fire(db, saved.key(), saved.hash);
        }
        self.committing = false;
    }

    /// Closes the scope and takes back what was done in it: values, expiries and counters are
    /// as they were, its effects and notices are dropped, watchers hear of nothing. What stays: an entry
    /// that was read or overwritten counts as used, one that was deleted comes back as the one
    /// used last, and room that an index has grown by is kept, as after a deletion.
    ///
    /// Does nothing to a store that a panic left half changed: it is lost and rebuilt anyway.
    pub fn roll_back(&mut self, now: UnixMs) {
        let Some(undo) = self.undo.take().filter(|_| !self.committing) else { return };
        let Undo { saved, stats, .. } = *undo;
        self.committing = true;
        // First what goes, so that what comes back finds its room.
        for saved in saved.iter().filter(|saved| matches!(saved.was, Was::Absent)) {
            if let Some(slot) = self.locate_in(saved.db, saved.hash, saved.key()) {
                drop(self.unlink(slot));
            }
        }
        // Backwards: of two that were evicted the first is the first to go again.
        for saved in saved.into_iter().rev() {
            if !self.put_back(saved, now) {
                // Stays marked as half changed; cannot happen, there was a place before.
                return;
            }
        }
        self.stats = stats;
        self.effects.clear();
        self.notices.clear();
        self.committing = false;
    }

    fn put_back(&mut self, saved: Saved, now: UnixMs) -> bool {
        let (len, at) = match saved.was {
            Was::Absent => return true,
            Was::There { len, expires_at } | Was::Evicted { len, expires_at, .. } => {
                (len, expires_at)
            }
        };
        let Saved { db, hash, block, key_len, was } = saved;
        let slot = match self.locate_in(db, hash, &block[..key_len as usize]) {
            Some(slot) => {
                self.replace_block(slot, block, len);
                self.tag_as_doubtful(slot);
                slot
            }
            None => {
                // It may come back to another slot, and no effect tells a walk of it.
                self.export = 0;
                let Ok(slot) = self.insert_block(db, hash, key_len, (block, len)) else {
                    return false;
                };
                if let Was::Evicted { touched, .. } = was {
                    self.slab.at_mut(slot).touched = touched;
                    self.policy.returned(&mut self.slab, slot);
                } else {
                    self.touch_slot(slot, now);
                    self.committing = true;
                }
                slot
            }
        };
        self.set_expiry(slot, at, now);
        true
    }

    fn locate_in(&self, physical: u8, hash: u32, key: &[u8]) -> Option<u32> {
        let table = self.tables.get(usize::from(physical))?;
        table.find(hash, |slot| self.slab.at(slot).key() == key)
    }
}

// === what every change passes ===

impl Store {
    /// The entry in `slot` is about to change or to go: a scope saves it, or else its watchers
    /// hear of it.
    #[inline]
    pub(super) fn changing(&mut self, slot: u32) {
        self.tell(Event::CHANGED, slot);
        if self.undo.is_some() {
            self.save(slot, false);
        } else {
            self.notify(slot);
        }
    }

    /// The entry in `slot` is about to be evicted.
    pub(super) fn evicting(&mut self, slot: u32) {
        self.save(slot, true);
    }

    /// The entry in `slot` is new.
    #[inline]
    pub(super) fn appeared(&mut self, slot: u32) {
        self.tell(Event::CHANGED, slot);
        self.tell(Event::NEW, slot);
        let Some(undo) = &mut self.undo else { return self.notify(slot) };
        let place = self.slab.at(slot);
        if !undo.knows(place.db, place.hash, place.key()) {
            undo.add(Saved {
                db: place.db,
                hash: place.hash,
                block: place.key().into(),
                key_len: place.key_len,
                was: Was::Absent,
            });
        }
    }

    fn save(&mut self, slot: u32, evicted: bool) {
        let Some(undo) = &mut self.undo else { return };
        let place = self.slab.at(slot);
        if undo.knows(place.db, place.hash, place.key()) {
            return;
        }
        let (len, expires_at, touched) = (place.len, place.expires_at, place.touched);
        let was = if evicted {
            Was::Evicted { len, expires_at, touched }
        } else {
            Was::There { len, expires_at }
        };
        undo.add(Saved {
            db: place.db,
            hash: place.hash,
            block: place.block.clone(),
            key_len: place.key_len,
            was,
        });
    }
}
