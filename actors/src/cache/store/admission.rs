//! Whether a write fits, and who goes so that it does.

use super::{Event, Limit, Refusal, Round, Store};
use crate::clock::UnixMs;
use crate::journal::Record;

/// What a write would change.
#[derive(Debug)]
pub(super) struct Demand {
    /// Capacity of the block that is written.
    pub added: u64,
    /// Capacity of the block that it replaces.
    pub freed: u64,
    /// The physical database that gets a new key, if one does.
    pub fresh: Option<u8>,
    /// The slot being written: never evicted.
    pub keep: Option<u32>,
}

impl Store {
    /// Makes room for a write *before* it happens: limits hold at every moment, and in the log
    /// the evictions stand before the write, so that a replay under the same limits evicts
    /// nothing of its own accord.
    #[inline]
    pub(super) fn admit(&mut self, demand: &Demand, now: UnixMs) -> Result<(), Refusal> {
        self.check_block(demand.added)?;
        if self.config.max_entries == 0 && self.config.max_bytes == 0 {
            return Ok(());
        }
        while let Some(limit) = self.passed_by(demand) {
            if !self.evict_one(limit, demand.keep, now) {
                return Err(Refusal::OutOfMemory(limit));
            }
        }
        Ok(())
    }

    /// Refuses a block that would not fit into an empty store, before anything is evicted or
    /// allocated, and one that a slot can't describe (4 GiB).
    #[inline]
    pub(super) fn check_block(&self, bytes: u64) -> Result<(), Refusal> {
        let max = self.config.max_bytes;
        let beyond = max != 0 && (self.floor + self.watches.bytes()).saturating_add(bytes) > max;
        if beyond || bytes > u64::from(u32::MAX) {
            let max = if beyond { max } else { u64::from(u32::MAX) };
            return Err(Refusal::TooLarge(max));
        }
        Ok(())
    }

    /// Brings the store within its limits, at most `max` entries at a time: after the limits
    /// were lowered, or a table has grown.
    pub fn evict_to_fit(&mut self, max: u32, now: UnixMs) -> Round {
        let mut count = 0;
        while let Some(limit) = self.passed() {
            if count == max {
                return Round { count, more: true };
            }
            if !self.evict_one(limit, None, now) {
                break;
            }
            count += 1;
        }
        Round { count, more: false }
    }

    /// The limit that the store is beyond now.
    fn passed(&self) -> Option<Limit> {
        let config = &self.config;
        if config.max_entries != 0 && self.slab.len() > config.max_entries {
            Some(Limit::Entries)
        } else if config.max_bytes != 0 && self.memory() > config.max_bytes {
            Some(Limit::Memory)
        } else {
            None
        }
    }

    /// The limit that a write would pass. One that takes no more than before passes none.
    fn passed_by(&self, demand: &Demand) -> Option<Limit> {
        let config = &self.config;
        if demand.fresh.is_some()
            && config.max_entries != 0
            && self.slab.len() >= config.max_entries
        {
            return Some(Limit::Entries);
        }
        if config.max_bytes == 0 || (demand.fresh.is_none() && demand.added <= demand.freed) {
            return None;
        }
        let growth =
            demand.fresh.map_or(0, |db| self.slab.growth() + self.tables[usize::from(db)].growth());
        let after = self.memory() - demand.freed + demand.added + growth;
        (after > config.max_bytes).then_some(Limit::Memory)
    }

    /// Evicts the policy's next victim for `limit`; `false` if there is none. What has expired
    /// and is kept goes first. A victim that has expired counts as expired.
    fn evict_one(&mut self, limit: Limit, keep: Option<u32>, now: UnixMs) -> bool {
        if limit == Limit::Memory && self.drop_kept() {
            return true;
        }
        let Some(slot) = self.policy.victim(&self.slab, keep) else { return false };
        let place = self.slab.at(slot);
        if place.is_expired(now) {
            drop(self.take_expired(slot));
            return true;
        }
        self.committing = true;
        match limit {
            Limit::Entries => self.stats.evicted_entries += 1,
            Limit::Memory => self.stats.evicted_memory += 1,
        }
        // What the log knows nothing of does not come back when it is read.
        if !self.muted && !self.slab.is_unlogged(slot) {
            let db = self.logical[usize::from(place.db)];
            self.effects.push(&Record::Evict { db, key: place.key() });
        }
        self.tell(Event::EVICTED, slot);
        self.evicting(slot);
        if self.has_tier_behind(self.slab.at(slot).db) {
            // Which has it, or gets it from the log.
            self.part_with(slot);
        } else {
            self.detach(slot);
        }
        self.committing = false;
        true
    }
}
