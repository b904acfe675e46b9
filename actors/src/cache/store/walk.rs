//! Going through the keys: SCAN, KEYS, RANDOMKEY.

use super::read::view;
use super::slab::CHUNK;
use super::{EntryView, Store};
use crate::clock::UnixMs;

/// A scan looks at this many slots for each key asked for, and no more.
const SLOTS_PER_KEY: u64 = 10;
/// Random places tried before RANDOMKEY goes through the table in order.
const RANDOM_TRIES: u32 = 100;

impl Store {
    /// Visits about `count` keys of a database from `cursor` on (0: the beginning) and returns
    /// the next cursor (0: the end). Every key that is there throughout a whole scan is visited,
    /// once: its slot stays. A call looks at no more than 10 slots for each key asked for, so it
    /// may visit none and still not be the last.
    pub fn scan(
        &self,
        db: u8,
        cursor: u64,
        count: u64,
        now: UnixMs,
        mut visit: impl FnMut(&[u8], EntryView<'_>),
    ) -> u64 {
        let Ok(physical) = self.physical_of(db) else { return 0 };
        let count = count.max(1);
        let mut budget = count.saturating_mul(SLOTS_PER_KEY);
        let (mut at, mut visited) = (cursor, 0);
        while at < self.slab.end() && visited < count && budget > 0 {
            budget -= 1;
            let slot = at as u32;
            let Some(chunk) = self.slab.chunk(slot) else {
                at = (at | (CHUNK as u64 - 1)) + 1;
                continue;
            };
            at += 1;
            let place = &chunk[slot as usize % CHUNK];
            if place.db == physical && !place.is_expired(now) {
                visit(place.key(), view(place));
                visited += 1;
            }
        }
        if at < self.slab.end() { at } else { 0 }
    }

    /// Visits every key of a database, in no order (KEYS). Takes as long as there are keys.
    pub fn for_each_key(&self, db: u8, now: UnixMs, mut visit: impl FnMut(&[u8], EntryView<'_>)) {
        let Some(table) = self.table(db) else { return };
        for slot in table.slots() {
            let place = self.slab.at(slot);
            if !place.is_expired(now) {
                visit(place.key(), view(place));
            }
        }
    }

    /// A key of the database chosen by `random`, with equal chances; `None` if there is none.
    #[must_use]
    pub fn random_key(&self, db: u8, random: u64, now: UnixMs) -> Option<&[u8]> {
        let table = self.table(db)?;
        let places = table.buckets();
        let live = |place: usize| {
            let slot = self.slab.at(table.bucket(place)?);
            (!slot.is_expired(now)).then(|| slot.key())
        };
        let mut state = random;
        for _ in 0..RANDOM_TRIES {
            state = splitmix(state);
            let place = ((u128::from(state) * places as u128) >> 64) as usize;
            if let Some(key) = live(place) {
                return Some(key);
            }
        }
        // Nearly everything has expired and waits for the sweep: the next live key from there.
        let start = usize::try_from(state).unwrap_or(0).checked_rem(places)?;
        (start..places).chain(0..start).find_map(live)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one word of randomness into the next.
pub(super) const fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
