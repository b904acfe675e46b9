//! One entry's place in the slab: exactly one cache line beside its block.

use super::near::Origin;
use crate::clock::UnixMs;

/// "No slot" in every link.
pub(super) const NIL: u32 = u32::MAX;
/// The physical database of a free slot.
pub(super) const FREE: u8 = u8::MAX;
/// The wheel bucket of a slot that is in none.
pub(super) const UNLINKED: u16 = (1 << BUCKET_BITS) - 1;
/// Bits of a wheel bucket, which share their field with the origin.
const BUCKET_BITS: u32 = u16::BITS - Origin::BITS;
/// Milliseconds sit above this bit in a recency stamp, a sequence below it.
pub(super) const STAMP_SHIFT: u32 = 20;

/// An entry, or a free place. 64 bytes on one cache line: a lookup reads the table's control
/// bytes, one table bucket, this line, and the block.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    /// Key, then value, then perhaps spare room, in one allocation. Not a `Vec`, whose 64-bit
    /// length would cost the slot its single line.
    pub block: Box<[u8]>,
    /// Unix milliseconds; 0: never.
    pub expires_at: UnixMs,
    /// When last used: milliseconds << 20, made unique and increasing by counting up. Orders
    /// entries exactly, and is the idle time as well.
    pub touched: u64,
    /// Where the key ends in the block.
    pub key_len: u32,
    /// Where the value ends in the block.
    pub len: u32,
    /// The table's half of the hash: finds the table's bucket without reading the key.
    pub hash: u32,
    /// Neighbour that was used earlier (recency order).
    pub older: u32,
    /// Neighbour that was used later; in a free slot, the next free one of its chunk.
    pub newer: u32,
    /// Previous entry of the same wheel bucket.
    pub wheel_prev: u32,
    /// Next entry of the same wheel bucket.
    pub wheel_next: u32,
    /// Below, the wheel bucket (level × 64 + position); above, the origin.
    pub packed: u16,
    /// Physical database, or [`FREE`].
    pub db: u8,
    /// The epoch in which the entry was last known to be true, [`super::near`].
    pub tag: u8,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    pub fn empty() -> Self {
        Self {
            block: Box::default(),
            expires_at: 0,
            touched: 0,
            key_len: 0,
            len: 0,
            hash: 0,
            older: NIL,
            newer: NIL,
            wheel_prev: NIL,
            wheel_next: NIL,
            packed: UNLINKED,
            db: FREE,
            tag: 0,
        }
    }

    pub const fn bucket(&self) -> u16 {
        self.packed & UNLINKED
    }

    pub const fn set_bucket(&mut self, bucket: u16) {
        self.packed = (self.packed & !UNLINKED) | (bucket & UNLINKED);
    }

    pub const fn origin(&self) -> Origin {
        Origin::from_bits((self.packed >> BUCKET_BITS) as u8)
    }

    pub const fn set_origin(&mut self, origin: Origin) {
        self.packed = (self.packed & UNLINKED) | ((origin.to_bits() as u16) << BUCKET_BITS);
    }

    pub fn key(&self) -> &[u8] {
        &self.block[..self.key_len as usize]
    }

    pub fn value(&self) -> &[u8] {
        &self.block[self.key_len as usize..self.len as usize]
    }

    pub const fn is_expired(&self, now: UnixMs) -> bool {
        self.expires_at != 0 && self.expires_at <= now
    }

    pub const fn expiry(&self) -> Option<UnixMs> {
        if self.expires_at == 0 { None } else { Some(self.expires_at) }
    }

    pub const fn touched_at(&self) -> UnixMs {
        self.touched >> STAMP_SHIFT
    }
}
