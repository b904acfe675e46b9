//! Least recently used, exactly: a doubly linked list through the slots.

use super::EvictionPolicy;
use crate::cache::store::slab::Slab;
use crate::cache::store::slot::NIL;

/// The ends of the list.
#[derive(Debug)]
pub(in crate::cache::store) struct Lru {
    oldest: u32,
    newest: u32,
}

impl Lru {
    pub const fn new() -> Self {
        Self { oldest: NIL, newest: NIL }
    }
}

impl EvictionPolicy for Lru {
    fn inserted(&mut self, slab: &mut Slab, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        let place = slab.at_mut(slot);
        (place.older, place.newer) = (older, NIL);
        if older == NIL {
            self.oldest = slot;
        } else {
            slab.at_mut(older).newer = slot;
        }
    }

    fn touched(&mut self, slab: &mut Slab, slot: u32) {
        if self.newest != slot {
            self.removed(slab, slot);
            self.inserted(slab, slot);
        }
    }

    fn returned(&mut self, slab: &mut Slab, slot: u32) {
        self.removed(slab, slot);
        let newer = std::mem::replace(&mut self.oldest, slot);
        let place = slab.at_mut(slot);
        (place.older, place.newer) = (NIL, newer);
        if newer == NIL {
            self.newest = slot;
        } else {
            slab.at_mut(newer).older = slot;
        }
    }

    fn removed(&mut self, slab: &mut Slab, slot: u32) {
        let place = slab.at_mut(slot);
        let (older, newer) = (place.older, place.newer);
        (place.older, place.newer) = (NIL, NIL);
        if older == NIL {
            self.oldest = newer;
        } else {
            slab.at_mut(older).newer = newer;
        }
        if newer == NIL {
            self.newest = older;
        } else {
            slab.at_mut(newer).older = older;
        }
    }

    fn victim(&self, slab: &Slab, keep: Option<u32>) -> Option<u32> {
        let oldest = self.oldest;
        let candidate =
            if oldest != NIL && Some(oldest) == keep { slab.at(oldest).newer } else { oldest };
        (candidate != NIL).then_some(candidate)
    }

    fn rebuild(&mut self, slab: &mut Slab) {
        self.clear();
        let mut order: Vec<(u64, u32)> =
            slab.indexes().map(|slot| (slab.at(slot).touched, slot)).collect();
        order.sort_unstable();
        for (_, slot) in order {
            self.inserted(slab, slot);
        }
    }

    fn clear(&mut self) {
        *self = Self::new();
    }
}
