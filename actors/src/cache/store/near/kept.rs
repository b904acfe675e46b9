//! Values that have expired, kept for when the tier cannot say what has become of them.
//!
//! They are in no table, order or wheel of the store, so nothing that looks at keys meets them.
//! [`Store::show_expired`](crate::cache::store::Store::show_expired) shows one to the command that
//! found the tier silent, and only while the clock stands at that command's time.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::cache::store::EntryView;
use crate::clock::UnixMs;

/// Tables below this size are not worth shrinking.
const SMALL_BUCKETS: usize = 64;

/// One of them.
#[derive(Debug)]
pub(in crate::cache::store) struct Expired {
    /// Key, then value, then perhaps spare room.
    pub block: Box<[u8]>,
    pub key_len: u32,
    pub len: u32,
    pub expired_at: UnixMs,
}

impl Expired {
    pub fn key(&self) -> &[u8] {
        &self.block[..self.key_len as usize]
    }
}

#[derive(Debug)]
struct Place {
    entry: Expired,
    hash: u64,
    /// Its number in the order.
    seq: u64,
    /// When it was last shown.
    shown_at: Option<UnixMs>,
}

/// What has left: its key is of interest to whoever was shown the value.
#[derive(Debug)]
pub(in crate::cache::store) struct Gone {
    pub entry: Expired,
    pub was_shown: bool,
}

impl From<Place> for Gone {
    fn from(place: Place) -> Self {
        Self { entry: place.entry, was_shown: place.shown_at.is_some() }
    }
}

/// All of them. Bounded by whoever adds: see [`Kept::bytes`] and [`Kept::drop_oldest`].
#[derive(Debug, Default)]
pub(in crate::cache::store) struct Kept {
    places: HashTable<Place>,
    /// Number and hash, the oldest first; of those that are gone, too, until there are many.
    order: VecDeque<(u64, u64)>,
    seq: u64,
    block_bytes: u64,
    /// When one was last shown.
    shown_at: Option<UnixMs>,
}

impl Kept {
    pub fn len(&self) -> u64 {
        self.places.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes allocated; 0 if there is none.
    pub fn bytes(&self) -> u64 {
        let order = self.order.capacity() * size_of::<(u64, u64)>();
        self.block_bytes + (self.places.allocation_size() + order) as u64
    }

    /// Adds one, in the place of an older one of its key.
    pub fn add(&mut self, hash: u64, entry: Expired) {
        self.remove(hash, entry.key());
        self.seq += 1;
        self.block_bytes += entry.block.len() as u64;
        self.order.push_back((self.seq, hash));
        let place = Place { entry, hash, seq: self.seq, shown_at: None };
        self.places.insert_unique(hash, place, |place| place.hash);
    }

    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Expired> {
        self.find(hash, key).map(|place| &place.entry)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<&Place> {
        self.places.find(hash, |place| place.entry.key() == key)
    }

    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Gone> {
        let gone = self.take(hash, |place| place.entry.key() == key)?;
        if self.order.len() > 2 * self.places.len() + SMALL_BUCKETS {
            let places = &self.places;
            self.order.retain(|&(seq, hash)| places.find(hash, |p| p.seq == seq).is_some());
        }
        Some(gone)
    }

    /// Removes the one that expired first.
    pub fn drop_oldest(&mut self) -> Option<Gone> {
        while let Some((seq, hash)) = self.order.pop_front() {
            if let Some(gone) = self.take(hash, |place| place.seq == seq) {
                return Some(gone);
            }
        }
        None
    }

    /// The one that expired first.
    pub fn oldest(&mut self) -> Option<&Expired> {
        while let Some(&(seq, hash)) = self.order.front() {
            if self.places.find(hash, |place| place.seq == seq).is_some() {
                return self.places.find(hash, |place| place.seq == seq).map(|place| &place.entry);
            }
            self.order.pop_front();
        }
        None
    }

    fn take(&mut self, hash: u64, is_it: impl FnMut(&Place) -> bool) -> Option<Gone> {
        let (place, _) = self.places.find_entry(hash, is_it).ok()?.remove();
        self.block_bytes -= place.entry.block.len() as u64;
        if self.places.is_empty() {
            // Nothing is left behind, not even memory. The numbers go on.
            *self = Self { seq: self.seq, ..Self::default() };
        } else {
            let buckets = self.places.num_buckets();
            if buckets > SMALL_BUCKETS && self.places.len() * 16 < buckets {
                self.places.shrink_to(self.places.len() * 2, |place| place.hash);
                self.order.shrink_to(self.order.len());
            }
        }
        Some(place.into())
    }

    /// Shows one to whoever reads at `now`.
    pub fn show(&mut self, hash: u64, key: &[u8], now: UnixMs) {
        if let Some(place) = self.places.find_mut(hash, |place| place.entry.key() == key) {
            place.shown_at = Some(now);
            self.shown_at = Some(now);
        }
    }

    /// Whether any is shown at `now`.
    #[inline]
    pub fn shows(&self, now: UnixMs) -> bool {
        self.shown_at == Some(now)
    }

    /// The one of this key, if it is shown at `now`.
    pub fn shown(&self, hash: u64, key: &[u8], now: UnixMs) -> Option<EntryView<'_>> {
        let place = self.find(hash, key).filter(|place| place.shown_at == Some(now))?;
        let Expired { block, key_len, len, expired_at } = &place.entry;
        let value = block.get(*key_len as usize..*len as usize)?;
        Some(EntryView { value, expires_at: Some(*expired_at), touched_at: now, ours: false })
    }
}
