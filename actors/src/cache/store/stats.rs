//! Counters of one store: plain integers, written only by its owner.

/// What happened since the start, or since the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Writes of a value.
    pub sets: u64,
    /// Keys deleted on request.
    pub deletes: u64,
    /// Keys that went because their time had come, found by the sweep or by an access.
    pub expired: u64,
    /// Keys evicted for [`max_entries`](super::StoreConfig::max_entries).
    pub evicted_entries: u64,
    /// Keys evicted for [`max_bytes`](super::StoreConfig::max_bytes).
    pub evicted_memory: u64,
    /// Sweeps for expired keys.
    pub sweep_cycles: u64,
    /// Time spent in them, nanoseconds.
    pub sweep_ns: u64,
}

impl StoreStats {
    /// Keys evicted, for whatever limit.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted_entries.wrapping_add(self.evicted_memory)
    }

    /// Adds another store's counters.
    pub const fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.sets += other.sets;
        self.deletes += other.deletes;
        self.expired += other.expired;
        self.evicted_entries += other.evicted_entries;
        self.evicted_memory += other.evicted_memory;
        self.sweep_cycles += other.sweep_cycles;
        self.sweep_ns += other.sweep_ns;
    }
}
