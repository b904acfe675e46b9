//! Entries whose time has come.

use super::near::Expired;
use super::slot::Slot;
use super::{Event, Store};
use crate::clock::UnixMs;
use crate::journal::Record;

/// Wall time may go back by this much before the wheel is set anew, milliseconds.
const BACKWARD_TOLERANCE_MS: u64 = 1000;

/// What one bounded round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Entries removed.
    pub count: u32,
    /// Whether there is more to do now.
    pub more: bool,
}

impl Store {
    /// Removes entries that have expired, looking at no more than `max`. The cost does not
    /// depend on entries that are not due, nor on how much time has passed.
    ///
    /// If wall time was set back by more than a second the wheel is built anew, once.
    pub fn expire_due(&mut self, max: u32, now: UnixMs) -> Round {
        let mut budget = max;
        let mut count = 0;
        self.committing = true;
        if now.saturating_add(BACKWARD_TOLERANCE_MS) < self.wheel.current() {
            self.wheel.rewind(&mut self.slab, now);
        }
        while let Some(slot) = self.wheel.poll(&mut self.slab, now, &mut budget) {
            self.expire_slot(slot);
            self.committing = true;
            count += 1;
        }
        self.committing = false;
        Round { count, more: budget == 0 }
    }

    /// Counts a sweep, which may be many rounds, and the time it took.
    pub const fn record_sweep(&mut self, took_ns: u64) {
        self.stats.sweep_cycles += 1;
        self.stats.sweep_ns += took_ns;
    }

    #[cold]
    #[inline(never)]
    pub(super) fn expire_slot(&mut self, slot: u32) {
        let keep = self.is_worth_keeping(slot);
        let Slot { key_len, len, expires_at: expired_at, .. } = *self.slab.at(slot);
        let block = self.take_expired(slot);
        if keep {
            self.committing = true;
            self.keep_expired(Expired { block, key_len, len, expired_at });
            self.committing = false;
        }
    }

    /// As [`Store::expire_slot`], but what it held is returned, and not kept.
    pub(super) fn take_expired(&mut self, slot: u32) -> Box<[u8]> {
        self.committing = true;
        self.stats.expired += 1;
        if !self.muted {
            let place = self.slab.at(slot);
            let db = self.logical[usize::from(place.db)];
            if self.is_from_tier(slot) {
                // It is for the tier to say whether the key is gone: it may live longer there.
                self.effects.push(&Record::Evict { db, key: place.key() });
            } else {
                self.effects.push_expired(db, place.key());
            }
        }
        self.tell(Event::EXPIRED, slot);
        let block = self.detach(slot);
        self.committing = false;
        block
    }
}
