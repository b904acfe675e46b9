//! When entries expire: a hierarchical timer wheel with lists through the slots.
//!
//! Eleven levels of 64 buckets; a bucket of level `n` spans 64^n milliseconds, so every 64-bit
//! time has a place and nothing is far future. An entry sits at the level of the highest bit in
//! which its time differs from the wheel's (Varghese and Lauck, 1987, scheme 7; the level rule
//! is tokio's). Going forward visits occupied buckets only: the cost does not depend on the time
//! that has passed nor on entries that are not due.
//!
//! An entry whose expiry moves *later* stays where it is and is placed anew when its bucket
//! comes up: a key whose TTL every write renews costs the wheel nothing per write.

use super::slab::Slab;
use super::slot::{NIL, UNLINKED};
use crate::clock::UnixMs;

const BITS: u32 = 6;
const SPAN: usize = 1 << BITS;
const LEVELS: usize = 11;

const _: () = assert!(LEVELS * SPAN <= UNLINKED as usize);

/// Bytes that a wheel allocates.
pub(super) const WHEEL_BYTES: u64 = size_of::<[u32; LEVELS * SPAN]>() as u64;

#[derive(Debug)]
pub(super) struct Wheel {
    /// Every bucket that starts before this time has been emptied.
    current: UnixMs,
    /// First entry of each bucket.
    heads: Box<[u32; LEVELS * SPAN]>,
    /// Per level, which buckets have entries.
    occupied: [u64; LEVELS],
    len: u64,
}

impl Wheel {
    pub fn new() -> Self {
        Self { current: 0, heads: Box::new([NIL; LEVELS * SPAN]), occupied: [0; LEVELS], len: 0 }
    }

    /// Time up to which the wheel has turned.
    pub const fn current(&self) -> UnixMs {
        self.current
    }

    /// Makes the wheel fire for `slot` at its `expires_at`, or before that (and place it anew).
    pub fn schedule(&mut self, slab: &mut Slab, slot: u32, was: UnixMs, now: UnixMs) {
        let place = slab.at(slot);
        let at = place.expires_at;
        let linked = place.bucket() != UNLINKED;
        if linked && was != 0 && at >= was {
            return;
        }
        if linked {
            self.cancel(slab, slot);
        }
        if self.len == 0 {
            self.current = now;
        }
        self.link(slab, slot, at);
    }

    /// Takes `slot` out, if it is in.
    pub fn cancel(&mut self, slab: &mut Slab, slot: u32) {
        let place = slab.at_mut(slot);
        let bucket = place.bucket();
        place.set_bucket(UNLINKED);
        if bucket == UNLINKED {
            return;
        }
        let prev = std::mem::replace(&mut place.wheel_prev, NIL);
        let next = std::mem::replace(&mut place.wheel_next, NIL);
        if next != NIL {
            slab.at_mut(next).wheel_prev = prev;
        }
        if prev == NIL {
            let bucket = usize::from(bucket);
            self.heads[bucket] = next;
            if next == NIL {
                self.occupied[bucket / SPAN] &= !(1 << (bucket % SPAN));
            }
        } else {
            slab.at_mut(prev).wheel_next = next;
        }
        self.len -= 1;
    }

    /// The next entry that is due at `now`, taken out. Every entry looked at costs one of
    /// `budget`; `None` with budget left means that nothing else is due.
    pub fn poll(&mut self, slab: &mut Slab, now: UnixMs, budget: &mut u32) -> Option<u32> {
        while *budget > 0 {
            let Some((bucket, start)) = self.earliest().filter(|&(_, start)| start <= now) else {
                // No occupied bucket begins up to `now`, so the wheel may stand there.
                self.current = self.current.max(now);
                return None;
            };
            *budget -= 1;
            self.current = self.current.max(start);
            let slot = self.heads[bucket];
            self.cancel(slab, slot);
            let at = slab.at(slot).expires_at;
            if at <= now {
                return Some(slot);
            }
            self.link(slab, slot, at);
        }
        None
    }

    /// Every entry has gone at once.
    pub fn clear(&mut self) {
        self.heads.fill(NIL);
        self.occupied = [0; LEVELS];
        self.len = 0;
    }

    /// Places every entry anew, as seen from `now`: wall time was set back.
    pub fn rewind(&mut self, slab: &mut Slab, now: UnixMs) {
        self.clear();
        self.current = now;
        let expiring: Vec<u32> =
            slab.indexes().filter(|&slot| slab.at(slot).expires_at != 0).collect();
        for slot in expiring {
            let at = slab.at(slot).expires_at;
            self.link(slab, slot, at);
        }
    }

    fn link(&mut self, slab: &mut Slab, slot: u32, at: UnixMs) {
        let at = at.max(self.current);
        let differs = (at ^ self.current) | (SPAN as u64 - 1);
        let level = ((u64::BITS - 1 - differs.leading_zeros()) / BITS) as usize;
        let position = (at >> (level as u32 * BITS)) as usize % SPAN;
        let bucket = level * SPAN + position;
        let head = std::mem::replace(&mut self.heads[bucket], slot);
        self.occupied[level] |= 1 << position;
        let place = slab.at_mut(slot);
        place.set_bucket(bucket as u16);
        (place.wheel_prev, place.wheel_next) = (NIL, head);
        if head != NIL {
            slab.at_mut(head).wheel_prev = slot;
        }
        self.len += 1;
    }

    /// The occupied bucket that starts first, and when. A bucket never lies behind `current`
    /// within its level: the wheel does not pass a bucket before it is empty.
    fn earliest(&self) -> Option<(usize, UnixMs)> {
        let mut best: Option<(usize, UnixMs)> = None;
        for (level, &bits) in self.occupied.iter().enumerate() {
            if bits == 0 {
                continue;
            }
            let position = bits.trailing_zeros();
            let shift = level as u32 * BITS;
            let above = self.current.checked_shr(shift + BITS).unwrap_or(0);
            let start =
                above.checked_shl(shift + BITS).unwrap_or(0) | (u64::from(position) << shift);
            if best.is_none_or(|(_, earliest)| start < earliest) {
                best = Some((level * SPAN + position as usize, start));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests;
