//! What a store is told: its limits, how a write expires, and how it says no.

use crate::clock::UnixMs;

/// What happens to a write that would pass a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eviction {
    /// The entries used least recently make room, in exact order.
    #[default]
    Lru,
    /// Nothing makes room: the write is refused (`noeviction`).
    None,
}

/// Limits and defaults of one store. A shard gets its share of the daemon's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// Number of logical databases, 1 to 255. Fixed for the life of a store.
    pub databases: u8,
    /// Most entries over all databases; 0 for no limit.
    pub max_entries: u64,
    /// Most bytes as counted by [`Store::memory`](super::Store::memory); 0 for no limit. A limit
    /// below [`Store::floor_bytes`](super::Store::floor_bytes) leaves no room for any entry.
    pub max_bytes: u64,
    /// What happens when a limit would be passed.
    pub eviction: Eviction,
    /// TTL in milliseconds of a write with [`Expiry::Default`]; `None` keeps it for ever.
    pub default_ttl_ms: Option<u64>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            databases: 16,
            max_entries: 0,
            max_bytes: 0,
            eviction: Eviction::Lru,
            default_ttl_ms: None,
        }
    }
}

impl StoreConfig {
    /// Whether recency must be kept in order: only if a limit may ask for a victim.
    pub(super) const fn needs_order(&self) -> bool {
        (self.max_entries != 0 || self.max_bytes != 0) && matches!(self.eviction, Eviction::Lru)
    }
}

/// When a written entry expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After the configured default TTL, or never if there is none.
    Default,
    /// Never.
    Never,
    /// At this time, Unix milliseconds. A time that has passed deletes the key.
    At(UnixMs),
    /// When the entry that is overwritten would have; never, if there is none.
    Keep,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`StoreConfig::max_entries`].
    Entries,
    /// [`StoreConfig::max_bytes`].
    Memory,
}

/// Why a write was refused. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The limit would be passed, and nothing may be, or is left to be, evicted.
    #[error("the limit on {} would be passed", match .0 { Limit::Entries => "entries", Limit::Memory => "memory" })]
    OutOfMemory(Limit),
    /// The value would not fit into an empty store of this many bytes.
    #[error("the value does not fit into {0} bytes")]
    TooLarge(u64),
    /// The store has no database of that number.
    #[error("there is no database {0}")]
    NoSuchDatabase(u8),
    /// More keys are watched than [`MAX_WATCHES`](super::MAX_WATCHES).
    #[error("too many watched keys")]
    TooManyWatches,
}
