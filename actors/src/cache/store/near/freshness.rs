//! How long what is in memory may be served: when it is asked for again, early or in time, and
//! when it is served although its time is over.

use super::epochs::OVERTAKEN;
use super::kept::{Expired, Gone};
use super::{Near, Origin, TIERED};
use crate::cache::store::slot::Slot;
use crate::cache::store::walk::splitmix;
use crate::cache::store::{EntryView, Event, Key, Store};
use crate::clock::UnixMs;

/// Expired values that are let go of in one call because they are too old.
const DROPPED_AT_ONCE: u32 = 512;
/// What has no longer to live keeps the time that the tier said, milliseconds: an entry that is
/// asked for again and again with ever less left comes to an end.
const LEAST_SHORTENED_MS: u64 = 1000;

/// How a store deals with the age of what it has from the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// After how long an entry is asked for again, milliseconds; 0: never.
    pub revalidate_ms: u64,
    /// How long what has expired may be served, milliseconds; 0: not at all.
    pub stale_ms: u64,
    /// Bytes that expired values may take up for that; 0: none is kept.
    pub keep_bytes: u64,
    /// An entry with no more than this share of its time left is asked for, per cent; 0: none is.
    pub early_percent: u8,
    /// By up to this share of its time an entry expires before the tier's, per cent.
    pub jitter_percent: u8,
}

impl Near {
    /// When an entry from the tier expires here, where the tier says `at` (0: never).
    pub(super) fn shortened(&self, hash: u64, at: UnixMs, now: UnixMs) -> UnixMs {
        let ttl = at.saturating_sub(now);
        if self.freshness.jitter_percent == 0 || ttl < LEAST_SHORTENED_MS {
            return at;
        }
        let most = u128::from(ttl) * u128::from(self.freshness.jitter_percent.min(99)) / 100;
        // By chance, but the same for the same answer.
        let chance = u128::from(splitmix(hash ^ at));
        at - ((chance * (most + 1)) >> u64::BITS) as u64
    }

    /// Whether little enough is left of an entry from the tier.
    pub(super) fn ends_soon(&self, place: &Slot, now: UnixMs) -> bool {
        self.freshness.early_percent != 0
            && place.expires_at != 0
            && place.expires_at.saturating_sub(now)
                <= place.origin().early_ms(self.freshness.early_percent)
    }
}

// === keeping what has expired ===

impl Store {
    /// What has to be done from time to time, and according to what: has entries come due, and lets
    /// go of what expired too long ago.
    pub fn keep_fresh(&mut self, freshness: Freshness, now: UnixMs) {
        let Some(near) = &mut self.near else { return };
        near.freshness = freshness;
        if freshness.revalidate_ms > 0 {
            self.age(freshness.revalidate_ms, now);
        }
        self.trim_kept();
        for _ in 0..DROPPED_AT_ONCE {
            let Some(near) = &mut self.near else { return };
            let ends = near.kept.oldest().map(|e| e.expired_at.saturating_add(freshness.stale_ms));
            if ends.is_none_or(|ends| ends >= now) || !self.drop_kept() {
                break;
            }
        }
    }

    /// Whether an entry is the tier's, and not of somebody who wrote it here.
    pub(in crate::cache::store) fn is_from_tier(&self, slot: u32) -> bool {
        let place = self.slab.at(slot);
        place.origin().is_tier() && self.has_tier_behind(place.db)
    }

    /// Whether there is a tier, and it is behind this database.
    pub(in crate::cache::store) fn has_tier_behind(&self, physical: u8) -> bool {
        self.near.is_some() && self.is_tiered(physical)
    }

    /// Whether what is in a slot came from the tier and had been overtaken on its way.
    pub(in crate::cache::store) fn is_overtaken(&self, slot: u32) -> bool {
        self.is_from_tier(slot) && self.slab.at(slot).tag == OVERTAKEN
    }

    /// Whether what is in a slot was the tier's word on the key until its time was over.
    pub(in crate::cache::store) fn is_worth_keeping(&self, slot: u32) -> bool {
        self.is_from_tier(slot) && self.slab.at(slot).tag != OVERTAKEN
    }

    pub(super) fn is_tiered(&self, physical: u8) -> bool {
        self.physical.get(usize::from(TIERED)) == Some(&physical)
    }

    /// Keeps what has expired, if that is wanted and there is room.
    pub(in crate::cache::store) fn keep_expired(&mut self, entry: Expired) {
        let Some(near) = &mut self.near else { return };
        if near.freshness.stale_ms > 0 && near.freshness.keep_bytes > 0 {
            let hash = near.hash(entry.key());
            near.kept.add(hash, entry);
            self.trim_kept();
        }
    }

    /// Brings what is kept within its own limit and the store's.
    fn trim_kept(&mut self) {
        while let Some(near) = &self.near {
            let own = match near.freshness.stale_ms {
                0 => 0,
                _ => near.freshness.keep_bytes,
            };
            let max = self.config.max_bytes;
            let beyond = near.kept.bytes() > own || (max != 0 && self.memory() > max);
            if !beyond || !self.drop_kept() {
                return;
            }
        }
    }

    /// Lets go of what expired first; `false` if nothing is kept.
    pub(in crate::cache::store) fn drop_kept(&mut self) -> bool {
        let gone = self.near.as_mut().and_then(|near| near.kept.drop_oldest());
        let any = gone.is_some();
        self.tell_gone(gone);
        any
    }

    /// Lets go of what is kept for a key: there is something better, or it is known to be gone.
    pub(in crate::cache::store) fn drop_kept_of(&mut self, key: &[u8]) {
        let Some(near) = self.near.as_mut().filter(|near| !near.kept.is_empty()) else { return };
        let gone = near.kept.remove(near.hash(key), key);
        self.tell_gone(gone);
    }

    /// As [`Store::drop_kept_of`], for a new entry.
    #[inline]
    pub(in crate::cache::store) fn supersede_kept(&mut self, physical: u8, key: &[u8]) {
        if self.has_tier_behind(physical) {
            self.drop_kept_of(key);
        }
    }

    /// A client that was shown it may have kept it.
    fn tell_gone(&mut self, gone: Option<Gone>) {
        if let Some(gone) = gone.filter(|gone| gone.was_shown) {
            self.notices.add(Event::CHANGED, TIERED, Some(gone.entry.key()));
        }
    }

    /// Bytes that expired values take up.
    pub(in crate::cache::store) fn kept_bytes(&self) -> u64 {
        self.near.as_ref().map_or(0, |near| near.kept.bytes())
    }
}

// === for readers ===

impl Store {
    /// Shows the command that reads at `now` what the key held until it expired: the tier was to
    /// be asked and did not answer. Not longer than `stale_ms` after it expired, nor after the
    /// tier's first silence. Whether there is such a value.
    pub fn show_expired(&mut self, key: Key<'_>, stale_ms: u64, now: UnixMs) -> bool {
        // If nobody has met it since it expired, it is kept from now on.
        if !self.bridges_silence(stale_ms, now) || self.find_live(TIERED, key, now).is_some() {
            return false;
        }
        let Some(near) = &mut self.near else { return false };
        let hash = near.hash(key.bytes);
        let ends = near.kept.get(hash, key.bytes).map(|e| e.expired_at.saturating_add(stale_ms));
        if ends.is_none_or(|ends| ends < now) {
            return false;
        }
        near.kept.show(hash, key.bytes, now);
        near.stats.expired += 1;
        true
    }

    /// What [`Store::show_expired`] shows of a key at `now`. Its time to live is over; an entry
    /// that is there comes first.
    #[inline]
    #[must_use]
    pub fn shown_expired(&self, db: u8, key: Key<'_>, now: UnixMs) -> Option<EntryView<'_>> {
        let near = self.near.as_ref().filter(|near| db == TIERED && near.kept.shows(now))?;
        near.kept.shown(near.hash(key.bytes), key.bytes, now)
    }

    /// The tier is asked about an entry whose time is not over yet. Should no answer come, it is
    /// asked again when little of the rest is left.
    pub fn asked_early(&mut self, key: Key<'_>, now: UnixMs) {
        let Some(slot) = self.locate(TIERED, key) else { return };
        let Some(near) = &mut self.near else { return };
        let place = self.slab.at_mut(slot);
        if near.ends_soon(place, now) {
            place.set_origin(Origin::living(place.expires_at.saturating_sub(now)));
            near.stats.early += 1;
        }
    }
}
