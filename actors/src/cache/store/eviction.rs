//! Who makes room: the contract of a policy, and the one that is active.

mod lru;

pub(super) use lru::Lru;

use super::slab::Slab;

/// An order of eviction over the slots in use. One file per policy.
///
/// The store MUST report every insertion, use and removal; a policy MUST NOT look at blocks.
/// All operations but [`rebuild`](EvictionPolicy::rebuild) take constant time.
pub(super) trait EvictionPolicy {
    /// `slot` holds a new entry.
    fn inserted(&mut self, slab: &mut Slab, slot: u32);
    /// The entry in `slot` was used. Its stamp is the highest of all.
    fn touched(&mut self, slab: &mut Slab, slot: u32);
    /// The entry in `slot`, which was inserted just now, is to be the next victim: its eviction
    /// was taken back.
    fn returned(&mut self, slab: &mut Slab, slot: u32);
    /// The entry in `slot` is about to go.
    fn removed(&mut self, slab: &mut Slab, slot: u32);
    /// The entry to evict next, never `keep`.
    fn victim(&self, slab: &Slab, keep: Option<u32>) -> Option<u32>;
    /// Builds the order from the slots' stamps.
    fn rebuild(&mut self, slab: &mut Slab);
    /// Every entry has gone at once.
    fn clear(&mut self);
}

/// The policy in force. Without a limit no order is kept: a read then writes nothing but the
/// stamp in the cache line it has already loaded.
#[derive(Debug)]
pub(super) enum Policy {
    Untracked,
    Lru(Lru),
}

impl Policy {
    #[inline]
    fn active(&mut self) -> Option<&mut impl EvictionPolicy> {
        match self {
            Self::Untracked => None,
            Self::Lru(lru) => Some(lru),
        }
    }

    pub fn inserted(&mut self, slab: &mut Slab, slot: u32) {
        if let Some(policy) = self.active() {
            policy.inserted(slab, slot);
        }
    }

    #[inline]
    pub fn touched(&mut self, slab: &mut Slab, slot: u32) {
        if let Some(policy) = self.active() {
            policy.touched(slab, slot);
        }
    }

    pub fn returned(&mut self, slab: &mut Slab, slot: u32) {
        if let Some(policy) = self.active() {
            policy.returned(slab, slot);
        }
    }

    pub fn removed(&mut self, slab: &mut Slab, slot: u32) {
        if let Some(policy) = self.active() {
            policy.removed(slab, slot);
        }
    }

    pub fn victim(&self, slab: &Slab, keep: Option<u32>) -> Option<u32> {
        match self {
            Self::Untracked => None,
            Self::Lru(lru) => lru.victim(slab, keep),
        }
    }

    pub fn clear(&mut self) {
        if let Some(policy) = self.active() {
            policy.clear();
        }
    }
}
