//! How old what is in memory is, counted in epochs.
//!
//! An entry is tagged with its group's epoch when it is known to be true. The epoch advances with
//! time, and by two at once when changes may have been missed; an entry that lags behind is to be
//! asked for again.

use std::ops::Range;

use crate::cache::store::Store;
use crate::cache::store::slot::Slot;
use crate::clock::UnixMs;

/// Keys are revalidated in so many groups, one after the other, so that they do not all come due
/// at once.
const GROUPS: usize = 16;
/// Entries that lag behind their group's epoch by this much are suspect; by one, due.
const SUSPECT: u8 = 2;
/// Epochs are counted up to here; then every entry is tagged anew.
const LAST: u8 = 250;
/// The tag of an answer that was overtaken on its way.
pub(super) const OVERTAKEN: u8 = u8::MAX;

/// The epochs of all groups.
#[derive(Debug)]
pub(super) struct Epochs {
    of: [u8; GROUPS],
    /// The group that is next to come due, and when the last one did.
    next: usize,
    aged_at: UnixMs,
}

/// How much an entry is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    Fresh,
    Due,
    Suspect,
    /// Whoever asked began before it changed, and may use it. To everybody else it is as if nothing
    /// were there. So it is with what a command of the tier's has crossed.
    Overtaken,
}

impl Epochs {
    pub const fn new(now: UnixMs) -> Self {
        // What is there already came from somewhere else, a while ago.
        Self { of: [SUSPECT; GROUPS], next: 0, aged_at: now }
    }

    fn of(&self, hash: u64) -> u8 {
        self.of[hash as usize % GROUPS]
    }

    /// The tag of an entry that is true now.
    pub fn confirmed(&self, hash: u64) -> u8 {
        self.of(hash)
    }

    /// The tag of an entry that is to be asked for before it is believed.
    pub fn doubted(&self, hash: u64) -> u8 {
        self.of(hash).wrapping_sub(SUSPECT)
    }

    pub fn belief(&self, hash: u64, tag: u8) -> Belief {
        if tag == OVERTAKEN {
            return Belief::Overtaken;
        }
        match self.of(hash).wrapping_sub(tag) {
            0 => Belief::Fresh,
            1 => Belief::Due,
            _ => Belief::Suspect,
        }
    }
}

impl Store {
    /// Has groups of keys come due, as many as it is time for: each does once in `every_ms`. What
    /// came due the time before and was not asked for since is suspect then.
    pub fn age(&mut self, every_ms: u64, now: UnixMs) {
        let Some(near) = &mut self.near else { return };
        let epochs = &mut near.epochs;
        let step = (every_ms / GROUPS as u64).max(1);
        // Also if the clock went back, or the time between was shortened.
        let times = now.abs_diff(epochs.aged_at) / step;
        if times == 0 {
            return;
        }
        // However seldom this is called, nothing is believed for longer than twice `every_ms`.
        let most = GROUPS as u64 * u64::from(SUSPECT);
        epochs.aged_at = match times {
            times if times < most && now > epochs.aged_at => epochs.aged_at + times * step,
            _ => now,
        };
        for _ in 0..times.min(most) {
            let Some(near) = &mut self.near else { return };
            let group = near.epochs.next;
            near.epochs.next = (group + 1) % GROUPS;
            self.advance(group..group + 1, 1);
        }
    }

    /// Every entry is suspect.
    pub(super) fn doubt_all(&mut self) {
        self.advance(0..GROUPS, SUSPECT);
    }

    fn advance(&mut self, groups: Range<usize>, by: u8) {
        let Some(near) = &mut self.near else { return };
        if near.epochs.of[groups.clone()].iter().any(|epoch| *epoch > LAST - SUSPECT) {
            // Once in a long while: everything lags behind by what it lagged, counted anew.
            let (epochs, hasher) = (near.epochs.of, near.hasher.clone());
            near.epochs.of = [SUSPECT; GROUPS];
            self.slab.for_each_mut(|slot: &mut Slot| {
                if slot.tag == OVERTAKEN {
                    return;
                }
                let epoch = epochs[super::hash_with(&hasher, slot.key()) as usize % GROUPS];
                slot.tag = SUSPECT - epoch.wrapping_sub(slot.tag).min(SUSPECT);
            });
        }
        if let Some(near) = &mut self.near {
            for epoch in &mut near.epochs.of[groups] {
                *epoch += by;
            }
        }
    }
}
