//! The store of one shard: table, expiry, eviction order, exact memory count, watches.
//!
//! Pure: it reads no clock and spawns nothing; every call that needs the time is given it. One
//! actor owns a store alone, so there is no lock in it. Every mutation leaves its effect as a
//! [`Record`](crate::journal::Record) in [`Store::effects`]; what was there first comes first,
//! and what is evicted for a write comes before that write.
//!
//! ```text
//!   Table (one per database)      Slab                    heap
//!   hash32 → slot ──────────────▶ Slot, 64 bytes ───────▶ block: key ‖ value
//!                                  ├ recency list ┐
//!                                  └ wheel list  ─┴─ links are slot numbers
//! ```
//!
//! An entry that has expired is never visible, and any call with `&mut self` that meets one
//! removes it. [`Store::len`] may count expired entries that nobody has met and the sweep has
//! not collected, as DBSIZE does in Redis.

mod admission;
mod commit;
mod config;
mod entry;
mod eviction;
mod expiry;
mod export;
mod key;
mod keyspace;
mod near;
mod notices;
mod read;
mod replay;
mod slab;
mod slot;
mod stats;
mod table;
mod undo;
mod walk;
mod watches;
mod wheel;
mod write;

pub use config::{Eviction, Expiry, Limit, Refusal, StoreConfig};
pub use entry::{EntryView, Garbage, OwnedEntry};
pub use expiry::Round;
pub use export::{ExportLimits, WalkEnded};
pub use key::{Key, KeyHasher};
pub use near::{Freshness, MAX_PENDING, NearStats, Standing, TIERED, Ticket};
pub use notices::{Event, Kinds, Notice, Notices};
pub use stats::StoreStats;
pub use watches::MAX_WATCHES;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::clock::UnixMs;
use crate::journal::RecordBatch;
use eviction::{EvictionPolicy, Lru, Policy};
use near::Near;
use slab::Slab;
use slot::STAMP_SHIFT;
use table::Table;
use undo::Undo;
use watches::Watches;
use wheel::Wheel;

/// Entries that are evicted at most to make room for one watch.
const EVICTIONS_PER_WATCH: u32 = 64;

/// Entries of one shard, over all its databases.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    slab: Slab,
    /// By *physical* database. SWAPDB exchanges numbers in the two maps below instead of
    /// rewriting the entries.
    tables: Box<[Table]>,
    /// Logical database → physical.
    physical: Box<[u8]>,
    /// Physical database → logical.
    logical: Box<[u8]>,
    wheel: Wheel,
    policy: Policy,
    watches: Watches,
    /// What is told of the keys.
    notices: Notices,
    /// An open scope.
    undo: Option<Box<Undo>>,
    effects: RecordBatch,
    stats: StoreStats,
    /// Capacity of every entry's block.
    block_bytes: u64,
    /// Allocations of all tables.
    table_bytes: u64,
    /// [`Store::floor_bytes`] of this store.
    floor: u64,
    /// The newest recency stamp.
    stamp: u64,
    /// Whether a mutation is half done; stays set if it panics.
    committing: bool,
    /// Whether mutations leave no effects: during replay, and in all but one store of a
    /// mutation that concerns every shard.
    muted: bool,
    /// What concerns the tier behind the first database, if there is one.
    near: Option<Box<Near>>,
    /// Changes that were counted with earlier tiers.
    counted: u64,
    /// The walk that is under way, [`Store::begin_export`]; 0: none.
    export: u64,
}

// === building and configuring ===

impl Store {
    /// An empty store. A number of databases of 0 counts as 1, and 256 or more do not fit.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let databases = config.databases.max(1);
        let policy = if config.needs_order() { Policy::Lru(Lru::new()) } else { Policy::Untracked };
        Self {
            config: StoreConfig { databases, ..config },
            slab: Slab::new(),
            tables: (0..databases).map(|_| Table::default()).collect(),
            physical: (0..databases).collect(),
            logical: (0..databases).collect(),
            wheel: Wheel::new(),
            policy,
            watches: Watches::new(),
            notices: Notices::default(),
            undo: None,
            effects: RecordBatch::new(),
            stats: StoreStats::default(),
            block_bytes: 0,
            table_bytes: 0,
            floor: Self::floor_bytes(databases),
            stamp: 0,
            committing: false,
            muted: false,
            near: None,
            counted: 0,
            export: 0,
        }
    }

    /// Bytes that a store takes for its first entry, key and value aside. A smaller
    /// [`max_bytes`](StoreConfig::max_bytes) refuses every write.
    #[must_use]
    pub fn floor_bytes(databases: u8) -> u64 {
        fixed_bytes(databases.max(1)) + Slab::new().growth() + Table::default().growth()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Applies new limits and defaults; the number of databases stays. If a limit is switched
    /// on, the exact order of use is rebuilt by sorting on the stamps (n log n, once). Evicts
    /// nothing: the next writes do, or [`Store::evict_to_fit`] in bounded rounds.
    pub fn reconfigure(&mut self, config: StoreConfig) {
        self.committing = true;
        self.config = StoreConfig { databases: self.config.databases, ..config };
        match (&self.policy, config.needs_order()) {
            (Policy::Untracked, true) => {
                let mut lru = Lru::new();
                lru.rebuild(&mut self.slab);
                self.policy = Policy::Lru(lru);
            }
            (Policy::Lru(_), false) => self.policy = Policy::Untracked,
            _ => {}
        }
        self.committing = false;
    }
}

// === what a store says about itself ===

impl Store {
    /// Bytes allocated for entries and their indexes, to the byte as requested from the
    /// allocator: blocks, slab, tables, wheel, watches, kept values. Not counted: the store's own struct,
    /// the effects (on their way to the log), the watchers' flags (their owners'), what a
    /// scope keeps to be taken back (gone when it closes), and what is remembered for the sake of
    /// a tier (bounded, see [`MAX_PENDING`]).
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.block_bytes
            + self.table_bytes
            + self.slab.bytes()
            + self.watches.bytes()
            + self.kept_bytes()
            + fixed_bytes(self.config.databases)
    }

    /// Entries over all databases, as DBSIZE counts them.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.slab.len()
    }

    /// Entries of one database, as DBSIZE counts them: with expired ones not collected yet.
    #[must_use]
    pub fn len(&self, db: u8) -> u64 {
        self.table(db).map_or(0, |table| table.len() as u64)
    }

    /// Whether a database has no entry.
    #[must_use]
    pub fn is_empty(&self, db: u8) -> bool {
        self.len(db) == 0
    }

    /// Entries of one database that expire.
    #[must_use]
    pub fn expires_len(&self, db: u8) -> u64 {
        self.table(db).map_or(0, |table| table.expiring)
    }

    /// Average remaining TTL of one database's entries that expire, milliseconds; 0 if none.
    #[must_use]
    pub fn avg_ttl_ms(&self, db: u8, now: UnixMs) -> u64 {
        let Some(table) = self.table(db) else { return 0 };
        let mean = table.expiry_sum.checked_div(u128::from(table.expiring)).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX).saturating_sub(now)
    }

    /// Counters since the start or the last reset.
    #[must_use]
    pub const fn stats(&self) -> &StoreStats {
        &self.stats
    }

    /// The counters, for an owner that counts on the store's behalf.
    pub const fn stats_mut(&mut self) -> &mut StoreStats {
        &mut self.stats
    }

    /// Sets every counter to 0 (CONFIG RESETSTAT).
    pub fn reset_stats(&mut self) {
        self.stats = StoreStats::default();
    }

    /// Whether no mutation was cut off by a panic. A successor may adopt the store only then;
    /// the effects it holds are complete then, too.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        !self.committing
    }
}

// === effects ===

impl Store {
    /// Effects of the mutations since they were last taken or cleared.
    #[must_use]
    pub const fn effects(&self) -> &RecordBatch {
        &self.effects
    }

    /// The effects, for a journal that empties the batch and leaves its memory for the next.
    pub const fn effects_mut(&mut self) -> &mut RecordBatch {
        &mut self.effects
    }

    /// Takes the effects out.
    #[must_use]
    pub fn take_effects(&mut self) -> RecordBatch {
        std::mem::take(&mut self.effects)
    }

    /// Runs `change` without leaving effects: FLUSH and SWAPDB concern every shard but stand in
    /// the log once, so the coordinator applies them muted to all stores except one.
    pub fn muted<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let was = std::mem::replace(&mut self.muted, true);
        let result = change(self);
        self.muted = was;
        result
    }
}

// === notices ===

impl Store {
    /// What happened to keys since it was last taken.
    #[inline]
    #[must_use]
    pub const fn notices(&self) -> &Notices {
        &self.notices
    }

    /// The notices, for whoever takes them, or says what is wanted. A store that is new wants
    /// nothing.
    #[inline]
    pub const fn notices_mut(&mut self) -> &mut Notices {
        &mut self.notices
    }

    /// Tells what happened to the key in `slot`, if that is wanted.
    #[inline]
    fn tell(&mut self, event: Event, slot: u32) {
        if self.notices.wants(event.kind) {
            let place = self.slab.at(slot);
            let db = self.logical[usize::from(place.db)];
            self.notices.add(event, db, Some(place.key()));
        }
    }
}

// === watches ===

impl Store {
    /// Sets `flag` once the key changes in any way: written, deleted, expired, evicted, flushed,
    /// or its database swapped. Costs nothing while nothing is watched. A key that has expired
    /// is removed first, so that its end is no change.
    ///
    /// To see an expiry that nobody has met yet, look the key up (e.g. [`Store::exists`]) before
    /// reading the flag.
    ///
    /// # Errors
    /// [`Refusal::TooManyWatches`] beyond [`MAX_WATCHES`] watches whose flags are still held
    /// elsewhere; [`Refusal::NoSuchDatabase`].
    pub fn watch(
        &mut self,
        db: u8,
        key: Key<'_>,
        flag: &Arc<AtomicBool>,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        self.physical_of(db)?;
        self.find_live(db, key, now);
        self.committing = true;
        let added = self.watches.add(db, key.bytes, key.table_hash(), flag);
        self.committing = false;
        // A watch takes memory as well; a few entries make room for it.
        self.evict_to_fit(EVICTIONS_PER_WATCH, now);
        added
    }

    /// Ends the watch on one key.
    pub fn unwatch(&mut self, db: u8, key: Key<'_>, flag: &Arc<AtomicBool>) {
        self.committing = true;
        self.watches.remove(db, key.bytes, key.table_hash(), flag);
        self.committing = false;
    }

    /// Ends every watch of this flag. Walks all watches of the store: where the keys are known,
    /// [`Store::unwatch`] each instead.
    pub fn unwatch_all(&mut self, flag: &Arc<AtomicBool>) {
        self.committing = true;
        self.watches.remove_all_of(flag);
        self.committing = false;
    }

    /// Number of watches, one per key and flag.
    #[must_use]
    pub const fn watch_count(&self) -> usize {
        self.watches.len()
    }
}

// === shared by the parts ===

impl Store {
    fn physical_of(&self, db: u8) -> Result<u8, Refusal> {
        self.physical.get(usize::from(db)).copied().ok_or(Refusal::NoSuchDatabase(db))
    }

    fn table(&self, db: u8) -> Option<&Table> {
        let physical = *self.physical.get(usize::from(db))?;
        self.tables.get(usize::from(physical))
    }

    /// The slot of a key, whether it has expired or not.
    #[inline]
    fn locate(&self, db: u8, key: Key<'_>) -> Option<u32> {
        self.table(db)?.find(key.table_hash(), |slot| self.slab.at(slot).key() == key.bytes)
    }

    /// The slot of a key; if it has expired, it is removed and not found.
    #[inline]
    fn find_live(&mut self, db: u8, key: Key<'_>, now: UnixMs) -> Option<u32> {
        let slot = self.locate(db, key)?;
        if self.slab.at(slot).is_expired(now) {
            self.expire_slot(slot);
            return None;
        }
        Some(slot)
    }

    /// Makes the entry the one used last.
    #[inline]
    fn touch_slot(&mut self, slot: u32, now: UnixMs) {
        self.committing = true;
        // Strictly increasing even if the clock stands still or goes back.
        self.stamp = (self.stamp + 1).max(now << STAMP_SHIFT);
        self.slab.at_mut(slot).touched = self.stamp;
        self.policy.touched(&mut self.slab, slot);
        self.committing = false;
    }

    /// Tells the watchers of the key in `slot` that it changes.
    #[inline]
    fn notify(&mut self, slot: u32) {
        if !self.watches.is_empty() {
            let place = self.slab.at(slot);
            let db = self.logical[usize::from(place.db)];
            self.watches.fire(db, place.key(), place.hash);
        }
    }
}

/// Allocations that an empty store holds already.
const fn fixed_bytes(databases: u8) -> u64 {
    wheel::WHEEL_BYTES + databases as u64 * (size_of::<Table>() as u64 + 2)
}

#[cfg(test)]
mod tests;
