//! Slots in chunks of fixed size: growth copies nothing, an empty chunk is given back.
//!
//! Every chunk keeps its own free list, so that a chunk whose last entry goes can be dropped.
//! A slot's index never changes while its entry lives, which is what SCAN's cursor stands on.

use super::slot::{FREE, NIL, Slot};

const SHIFT: u32 = 8;
/// Slots per chunk.
pub(super) const CHUNK: usize = 1 << SHIFT;
const MASK: u32 = CHUNK as u32 - 1;
/// Bytes per chunk.
pub(super) const CHUNK_BYTES: u64 = size_of::<[Slot; CHUNK]>() as u64;
/// Most chunks: every slot index stays below [`NIL`].
const MAX_CHUNKS: usize = (NIL >> SHIFT) as usize;

/// One chunk, or the place of one that was given back.
pub(super) type Chunk = Option<Box<[Slot; CHUNK]>>;

/// What the slab knows of a chunk; apart from the chunk pointers, which lookups read.
#[derive(Debug)]
struct Meta {
    /// The slots whose entries the log knows nothing of, a bit each.
    unlogged: [u64; CHUNK / 64],
    /// First free slot in the chunk; [`NIL`] if none.
    free: u32,
    used: u32,
    /// Links in the list the chunk is in: *partial* (present, not full) or *absent*.
    prev: u32,
    next: u32,
}

impl Meta {
    /// Of a chunk whose slots are all free, in their order; in no list.
    const FRESH: Self = Self { unlogged: [0; CHUNK / 64], free: 0, used: 0, prev: NIL, next: NIL };
}

const BYTES_PER_PLACE: u64 = (size_of::<Chunk>() + size_of::<Meta>()) as u64;

#[derive(Debug)]
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    meta: Vec<Meta>,
    /// Chunks with a free slot.
    partial: u32,
    /// Places of chunks that were given back.
    absent: u32,
    present: u64,
    used: u64,
}

impl Slab {
    pub const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            meta: Vec::new(),
            partial: NIL,
            absent: NIL,
            present: 0,
            used: 0,
        }
    }

    /// A slot by an index the store itself holds.
    #[inline]
    pub fn at(&self, slot: u32) -> &Slot {
        match &self.chunks[(slot >> SHIFT) as usize] {
            Some(chunk) => &chunk[(slot & MASK) as usize],
            None => unreachable_slot(slot),
        }
    }

    /// As [`Slab::at`], for writing.
    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> &mut Slot {
        match &mut self.chunks[(slot >> SHIFT) as usize] {
            Some(chunk) => &mut chunk[(slot & MASK) as usize],
            None => unreachable_slot(slot),
        }
    }

    /// Whether the log knows nothing of the entry in `slot`: it came from the tier.
    pub fn is_unlogged(&self, slot: u32) -> bool {
        let (word, bit) = bit(slot);
        self.meta[(slot >> SHIFT) as usize].unlogged[word] & bit != 0
    }

    /// Notes whether the log knows nothing of the entry in `slot`. It does of a new one, until
    /// this says otherwise.
    pub fn set_unlogged(&mut self, slot: u32, unlogged: bool) {
        let (word, bit) = bit(slot);
        let bits = &mut self.meta[(slot >> SHIFT) as usize].unlogged[word];
        *bits = if unlogged { *bits | bit } else { *bits & !bit };
    }

    /// The chunk around an index from outside; `None` if it is past the end or given back.
    pub fn chunk(&self, slot: u32) -> Option<&[Slot; CHUNK]> {
        self.chunks.get((slot >> SHIFT) as usize)?.as_deref()
    }

    /// One past the highest index that was ever used.
    pub const fn end(&self) -> u64 {
        (self.chunks.len() as u64) << SHIFT
    }

    /// Slots in use.
    pub const fn len(&self) -> u64 {
        self.used
    }

    /// Bytes allocated, without the entries' blocks.
    pub const fn bytes(&self) -> u64 {
        self.present * CHUNK_BYTES
            + self.chunks.capacity() as u64 * size_of::<Chunk>() as u64
            + self.meta.capacity() as u64 * size_of::<Meta>() as u64
    }

    /// Bytes that the next [`Slab::allocate`] adds.
    pub const fn growth(&self) -> u64 {
        if self.partial != NIL {
            0
        } else if self.absent != NIL || self.chunks.len() < self.chunks.capacity() {
            CHUNK_BYTES
        } else {
            CHUNK_BYTES + self.more_places() as u64 * BYTES_PER_PLACE
        }
    }

    const fn more_places(&self) -> usize {
        let half = self.chunks.len() / 2;
        if half < 4 { 4 } else { half }
    }

    /// A free slot; `None` if every index is in use. The caller fills it, `db` first of all.
    pub fn allocate(&mut self) -> Option<u32> {
        if self.partial == NIL {
            self.add_chunk()?;
        }
        let chunk = self.partial;
        let within = self.meta[chunk as usize].free;
        let slot = (chunk << SHIFT) | within;
        let next_free = std::mem::replace(&mut self.at_mut(slot).newer, NIL);
        let meta = &mut self.meta[chunk as usize];
        meta.free = next_free;
        meta.used += 1;
        self.used += 1;
        if next_free == NIL {
            self.leave_partial(chunk);
        }
        Some(slot)
    }

    /// Takes the slot's block and gives its place back. It must be in no list any more.
    pub fn release(&mut self, slot: u32) -> Box<[u8]> {
        let (chunk, within) = (slot >> SHIFT, slot & MASK);
        let was_free = self.meta[chunk as usize].free;
        let place = self.at_mut(slot);
        debug_assert!(place.db != FREE, "a slot is released once");
        let block = std::mem::take(&mut place.block);
        *place = Slot { newer: was_free, ..Slot::empty() };
        self.set_unlogged(slot, false);
        let meta = &mut self.meta[chunk as usize];
        meta.free = within;
        meta.used -= 1;
        let used = meta.used;
        self.used -= 1;
        if was_free == NIL {
            self.enter_partial(chunk);
        }
        // The last chunk with room stays, or a single key that comes and goes would allocate.
        let alone = self.partial == chunk && self.meta[chunk as usize].next == NIL;
        if used == 0 && !alone {
            self.leave_partial(chunk);
            self.chunks[chunk as usize] = None;
            self.present -= 1;
            self.meta[chunk as usize].next = self.absent;
            self.absent = chunk;
        }
        block
    }

    /// Empties the slab at once; the chunks are returned to be dropped elsewhere.
    pub fn take_all(&mut self) -> Vec<Chunk> {
        std::mem::replace(self, Self::new()).chunks
    }

    /// Every index in use, in order.
    pub fn indexes(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks.iter().zip(0u32..).flat_map(|(chunk, number)| {
            chunk.iter().flat_map(move |slots| {
                slots
                    .iter()
                    .zip(0u32..)
                    .filter(|(slot, _)| slot.db != FREE)
                    .map(move |(_, within)| (number << SHIFT) | within)
            })
        })
    }

    /// Visits every slot in use.
    pub fn for_each_mut(&mut self, mut visit: impl FnMut(&mut Slot)) {
        for slot in self.chunks.iter_mut().flatten().flat_map(|slots| slots.iter_mut()) {
            if slot.db != FREE {
                visit(slot);
            }
        }
    }

    fn add_chunk(&mut self) -> Option<()> {
        let mut slots = Box::new(std::array::from_fn::<_, CHUNK, _>(|_| Slot::empty()));
        for (slot, next) in slots.iter_mut().zip(1u32..CHUNK as u32) {
            slot.newer = next;
        }
        let chunk = if self.absent == NIL {
            if self.chunks.len() >= MAX_CHUNKS {
                return None;
            }
            if self.chunks.len() == self.chunks.capacity() {
                let more = self.more_places();
                self.chunks.reserve_exact(more);
                self.meta.reserve_exact(more);
            }
            self.chunks.push(Some(slots));
            self.meta.push(Meta::FRESH);
            self.chunks.len() as u32 - 1
        } else {
            let chunk = self.absent;
            self.absent = self.meta[chunk as usize].next;
            self.chunks[chunk as usize] = Some(slots);
            self.meta[chunk as usize] = Meta::FRESH;
            chunk
        };
        self.present += 1;
        self.enter_partial(chunk);
        Some(())
    }

    fn enter_partial(&mut self, chunk: u32) {
        let head = std::mem::replace(&mut self.partial, chunk);
        if head != NIL {
            self.meta[head as usize].prev = chunk;
        }
        let meta = &mut self.meta[chunk as usize];
        (meta.prev, meta.next) = (NIL, head);
    }

    fn leave_partial(&mut self, chunk: u32) {
        let Meta { prev, next, .. } = self.meta[chunk as usize];
        if prev == NIL {
            self.partial = next;
        } else {
            self.meta[prev as usize].next = next;
        }
        if next != NIL {
            self.meta[next as usize].prev = prev;
        }
        let meta = &mut self.meta[chunk as usize];
        (meta.prev, meta.next) = (NIL, NIL);
    }
}

/// Where a slot's bit is in its chunk's words.
const fn bit(slot: u32) -> (usize, u64) {
    let within = slot & MASK;
    ((within / 64) as usize, 1 << (within % 64))
}

/// A link to a chunk that is gone is a defect of the store: the shard crashes and is rebuilt.
#[cold]
#[inline(never)]
fn unreachable_slot(slot: u32) -> ! {
    unreachable!("slot {slot} lies in a chunk that was given back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_chunk_is_given_back_and_its_place_used_again() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..3 * CHUNK)
            .map(|_| {
                let slot = slab.allocate().unwrap_or(NIL);
                slab.at_mut(slot).db = 0;
                slot
            })
            .collect();
        assert_eq!(slab.end(), 3 * CHUNK as u64);
        let full = slab.bytes();
        assert_eq!(slab.growth(), CHUNK_BYTES);
        for &slot in &slots[CHUNK..2 * CHUNK] {
            slab.release(slot);
        }
        // The only chunk with room stays; the next one to empty goes.
        assert_eq!(slab.bytes(), full);
        for &slot in &slots[..CHUNK] {
            slab.release(slot);
        }
        assert_eq!(slab.bytes(), full - CHUNK_BYTES);
        assert_eq!(slab.len(), CHUNK as u64);
        for _ in 0..2 * CHUNK {
            let slot = slab.allocate().unwrap_or(NIL);
            slab.at_mut(slot).db = 0;
            assert!(u64::from(slot) < 3 * CHUNK as u64);
        }
        assert_eq!(slab.bytes(), full);
        assert_eq!(slab.indexes().count(), 3 * CHUNK);
    }
}
