//! What the cache hears of its tier.

use crate::journal::Lsn;

/// What the tier tells the cache. None of the calls blocks.
pub trait Near: Send + Sync + 'static {
    /// Redis has every write up to this LSN (or a conflict rule dropped it).
    fn acknowledged(&self, lsn: Lsn);
    /// Somebody else changed these keys in Redis.
    fn changed(&self, keys: Vec<Box<[u8]>>);
    /// Somebody else flushed Redis.
    fn flushed(&self);
    /// Invalidations may have been missed: what is in memory is suspect from now on.
    fn gap(&self);
}
