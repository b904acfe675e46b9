//! Entries as they leave the store: looked at, taken out, or thrown away.

use hashbrown::HashTable;

use super::near::Kept;
use super::slab::Chunk;
use super::table::Ref;
use crate::clock::UnixMs;

/// A look at an entry that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// The value.
    pub value: &'a [u8],
    /// When it expires, Unix milliseconds.
    pub expires_at: Option<UnixMs>,
    /// When it was last used, Unix milliseconds.
    pub touched_at: UnixMs,
    /// It was written here, and not taken over from the tier.
    pub ours: bool,
}

impl EntryView<'_> {
    /// Milliseconds since the entry was last used.
    #[must_use]
    pub const fn idle_ms(&self, now: UnixMs) -> u64 {
        now.saturating_sub(self.touched_at)
    }
}

/// An entry taken out of a store, on its way to another key, database or store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    pub(super) block: Box<[u8]>,
    pub(super) key_len: u32,
    pub(super) len: u32,
    pub(super) expires_at: Option<UnixMs>,
}

impl OwnedEntry {
    /// The value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.block.get(self.key_len as usize..self.len as usize).unwrap_or_default()
    }

    /// When it expires, Unix milliseconds.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixMs> {
        self.expires_at
    }
}

/// What a flush removed. Dropping it frees the memory, which takes a while for a big store: do
/// it where nobody waits.
#[derive(Debug, Default)]
#[must_use = "dropping a flushed store is slow: choose where"]
pub struct Garbage {
    pub(super) chunks: Vec<Chunk>,
    pub(super) tables: Vec<HashTable<Ref>>,
    pub(super) blocks: Vec<Box<[u8]>>,
    pub(super) kept: Option<Kept>,
}
