//! What a store is told of the tier, and of its own writes' way there.

use super::epochs::OVERTAKEN;
use super::kept::Kept;
use super::pending::Outcome;
use super::{Near, Origin, TIERED};
use crate::cache::store::{Event, Key, Store};
use crate::clock::UnixMs;
use crate::journal::{Lsn, Record, Records};

/// Milliseconds that clocks may differ by: the tier expires a key by its own, and announces that as it
/// does any change.
const AS_GOOD_AS_OVER: UnixMs = 100;

impl Near {
    fn pend(&mut self, key: &[u8], outcome: Outcome) {
        let hash = self.hash(key);
        self.note_change(hash);
        self.pending.add(hash, outcome);
    }
}

impl Store {
    /// From now on there is a tier. It may lack everything up to `floor`.
    pub fn attach_tier(&mut self, floor: Lsn, now: UnixMs) {
        if self.near.is_none() {
            self.near = Some(Box::new(Near::new(floor, self.counted, now)));
        }
    }

    /// Places of entries that only the tier vouches for; also where there is none, and they are from a
    /// snapshot.
    #[must_use]
    pub fn from_tier(&self) -> Vec<u32> {
        let theirs = |slot: &u32| {
            let place = self.slab.at(*slot);
            place.origin().is_tier() && self.is_tiered(place.db)
        };
        self.slab.indexes().filter(theirs).collect()
    }

    /// Drops entries by their places, which [`Store::from_tier`] has told just now. What the log has
    /// of them is evicted in the effects.
    pub fn drop_from_tier(&mut self, places: &[u32]) {
        for slot in places {
            self.drop_slot(*slot);
        }
    }

    /// There is no tier from now on. What was written here stays; what came from the tier is to be
    /// dropped before, for nobody will tell when it changes. Whoever watches a key takes it for
    /// changed: it is no longer the tier that says what it holds.
    pub fn detach_tier(&mut self) {
        let Some(near) = &self.near else { return };
        self.counted = near.changes.count();
        self.committing = true;
        self.tell_every_watcher();
        self.committing = false;
        while self.drop_kept() {}
        self.near = None;
        // The next tier counts epochs anew.
        self.slab.for_each_mut(|slot| {
            slot.tag = 0;
            slot.set_origin(Origin::OURS);
        });
    }

    /// Takes in which keys the effects concern, before they are handed over: they are pending
    /// from now on. [`Store::stamp_effects`] follows, once they have their LSN.
    pub fn mark_effects(&mut self) {
        let Some(near) = &mut self.near else { return };
        for record in Records::new(self.effects.as_bytes()).flatten() {
            match record {
                Record::Set { db: TIERED, key, .. } | Record::Expire { db: TIERED, key, .. } => {
                    near.pend(key, Outcome::Written);
                }
                Record::Delete { db: TIERED, key } => near.pend(key, Outcome::Deleted),
                // The tier still has what was evicted; whole databases say so themselves.
                _ => {}
            }
        }
    }

    /// What was marked has this LSN.
    pub fn stamp_effects(&mut self, lsn: Lsn) {
        if let Some(near) = &mut self.near {
            near.pending.stamp(lsn);
        }
    }

    /// The whole database has changed; the record of that may be among another store's effects.
    /// What is returned is what was kept of it.
    pub(in crate::cache::store) fn mark_all(&mut self) -> Option<Kept> {
        let near = self.near.as_mut()?;
        near.note_all();
        near.pending.add_all();
        let kept = std::mem::take(&mut near.kept);
        // Also of what only the tier has.
        self.tell_every_watcher();
        Some(kept)
    }

    /// Tells those who watch a key of the tiered database, whether it is in memory or not.
    pub(super) fn tell_watchers(&mut self, key: Key<'_>) {
        if !self.watches.is_empty() {
            self.committing = true;
            self.watches.fire(TIERED, key.bytes, key.table_hash());
            self.committing = false;
        }
    }

    fn tell_every_watcher(&mut self) {
        if !self.watches.is_empty() {
            self.watches.fire_where(|db, _, _| db == TIERED);
        }
    }

    /// The tier has every write up to `lsn`.
    pub fn acknowledge(&mut self, lsn: Lsn) {
        if let Some(near) = &mut self.near {
            near.pending.acknowledge(lsn);
        }
    }

    /// Somebody else changed a key in the tier. An entry that the tier lacks stays: it is newer. One
    /// whose time is over by `now`, or as good as over, has expired there. Whether an entry was removed.
    pub fn changed_behind(&mut self, key: Key<'_>, now: UnixMs) -> bool {
        let Some(near) = &mut self.near else { return false };
        let hash = near.hash(key.bytes);
        near.note_change(hash);
        // Ours may be the newer one, or theirs, if the tier had ours already and we do not know
        // it yet: once the tier has everything it will say which.
        let ours = near.pending.of(hash).is_some() || near.pending.lags();
        let doubted = near.epochs.doubted(hash);
        self.drop_kept_of(key.bytes);
        // Also of a key that is not in memory, or stays there: it is not what it was.
        self.tell_watchers(key);
        let Some(slot) = self.locate(TIERED, key) else {
            // A client that was told that there is none may have kept that.
            self.notices.add(Event::CHANGED, TIERED, Some(key.bytes));
            return false;
        };
        if ours {
            let place = self.slab.at_mut(slot);
            if place.tag != OVERTAKEN {
                place.tag = doubted;
            }
            return false;
        }
        let expires_at = self.slab.at(slot).expires_at;
        if expires_at != 0 && expires_at <= now.saturating_add(AS_GOOD_AS_OVER) {
            self.committing = true;
            self.stats.expired += 1;
            self.tell(Event::EXPIRED, slot);
            self.committing = false;
        } else if let Some(near) = &mut self.near {
            near.stats.invalidated += 1;
        }
        self.drop_slot(slot);
        true
    }

    /// Everything in memory that the tier does not lack is suspect: invalidations may have been
    /// missed, or somebody flushed it. Whoever watches a key takes it for changed.
    pub fn gap_behind(&mut self) {
        let Some(near) = &mut self.near else { return };
        near.note_all();
        near.stats.gaps += 1;
        self.committing = true;
        self.tell_every_watcher();
        self.committing = false;
        self.doubt_all();
    }

    /// A write of ours: to be believed. Ours also while there is no tier, for one may come.
    #[inline]
    pub(in crate::cache::store) fn tag_as_ours(&mut self, slot: u32) {
        let place = self.slab.at_mut(slot);
        place.set_origin(Origin::OURS);
        if let Some(near) = &self.near {
            place.tag = near.epochs.confirmed(near.hash(place.key()));
            self.slab.set_unlogged(slot, false);
        }
    }

    /// Nobody can say how old the value in a slot is: it was put back.
    pub(in crate::cache::store) fn tag_as_doubtful(&mut self, slot: u32) {
        if let Some(near) = &self.near {
            let tag = near.epochs.doubted(near.hash(self.slab.at(slot).key()));
            self.slab.at_mut(slot).tag = tag;
        }
    }
}
