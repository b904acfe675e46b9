//! One database's index: from a key's hash to its slot.
//!
//! A bucket holds the slot and 32 bits of hash: a bucket of another key is told from the right
//! one without reading the slot, and growing moves buckets without reading any.

use hashbrown::HashTable;

/// A bucket of the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ref {
    pub hash: u32,
    pub slot: u32,
}

/// `hashbrown` takes the place from the low bits and the tag from the top seven.
pub(super) const fn spread(hash: u32) -> u64 {
    (hash as u64) | ((hash as u64) << 32)
}

#[derive(Debug, Default)]
pub(super) struct Table {
    index: HashTable<Ref>,
    /// Entries that expire.
    pub expiring: u64,
    /// Sum of their expiry times, for the average TTL.
    pub expiry_sum: u128,
}

/// Tables below this size are not worth shrinking.
const SMALL_BUCKETS: usize = 64;

impl Table {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn bytes(&self) -> u64 {
        self.index.allocation_size() as u64
    }

    /// The slot of the entry with this hash for which `same` says yes.
    #[inline]
    pub fn find(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.index.find(spread(hash), |r| r.hash == hash && same(r.slot)).map(|r| r.slot)
    }

    /// Any slot whose entry has this hash.
    #[inline]
    pub fn find_by_hash(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Most bytes that the next [`Table::insert`] adds.
    pub fn growth(&self) -> u64 {
        let index = &self.index;
        let (buckets, per_bucket) = (index.num_buckets(), size_of::<Ref>() + 1);
        if index.len() < index.capacity() || self.is_worn() {
            0
        } else if index.capacity() == 0 {
            // The first allocation: four buckets and the trailing control group.
            (4 * per_bucket + 16) as u64
        } else {
            (buckets * per_bucket) as u64
        }
    }

    /// Full because of removed buckets' marks rather than of entries.
    fn is_worn(&self) -> bool {
        self.index.len() * 4 <= self.index.num_buckets() * 7 / 8 * 3 && !self.index.is_empty()
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if self.index.len() == self.index.capacity() && self.is_worn() {
            // Left to itself the table would double, although its entries fit.
            let mut fresh = HashTable::with_capacity(self.index.num_buckets() * 7 / 8);
            for &entry in &self.index {
                fresh.insert_unique(spread(entry.hash), entry, |r: &Ref| spread(r.hash));
            }
            self.index = fresh;
        }
        self.index.insert_unique(spread(hash), Ref { hash, slot }, |r| spread(r.hash));
    }

    /// Removes an entry, and memory with it once hardly anything is left in the table.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        if let Ok(entry) = self.index.find_entry(spread(hash), |r| r.slot == slot) {
            entry.remove();
        }
        let buckets = self.index.num_buckets();
        if buckets > SMALL_BUCKETS && self.index.len() * 16 < buckets {
            self.index.shrink_to(self.index.len() * 2, |r| spread(r.hash));
        }
    }

    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.iter().map(|r| r.slot)
    }

    /// Number of places [`Table::bucket`] can be asked for.
    pub fn buckets(&self) -> usize {
        if self.index.is_empty() { 0 } else { self.index.num_buckets() }
    }

    /// The slot in a place of the table, if one is there.
    pub fn bucket(&self, place: usize) -> Option<u32> {
        self.index.get_bucket(place).map(|r| r.slot)
    }

    /// Empties the table; its memory is returned to be dropped elsewhere.
    pub fn take_all(&mut self) -> HashTable<Ref> {
        std::mem::take(self).index
    }
}
