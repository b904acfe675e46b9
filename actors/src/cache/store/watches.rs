//! Who wants to know that a key changes (WATCH).
//!
//! A watcher leaves a flag; a change sets it and forgets the watch. The flag belongs to the
//! connection: a connection that is gone leaves the store the only holder, which is how dead
//! watches are told and dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use super::Refusal;
use super::table::spread;

/// Most watches one store keeps.
pub const MAX_WATCHES: usize = 1 << 18;
/// Dead watches are looked for when this many live ones have been counted.
const FIRST_PRUNE: usize = 1024;

#[derive(Debug)]
struct Watch {
    hash: u32,
    db: u8,
    key: Box<[u8]>,
    flags: Vec<Arc<AtomicBool>>,
}

impl Watch {
    fn bytes(&self) -> u64 {
        (self.key.len() + self.flags.capacity() * size_of::<Arc<AtomicBool>>()) as u64
    }

    fn fire(&self) {
        for flag in &self.flags {
            flag.store(true, Ordering::Release);
        }
    }
}

#[derive(Debug)]
pub(super) struct Watches {
    keys: HashTable<Watch>,
    /// Flags over all keys.
    len: usize,
    prune_at: usize,
    /// Bytes of the keys and of the lists of flags.
    held: u64,
}

impl Watches {
    pub const fn new() -> Self {
        Self { keys: HashTable::new(), len: 0, prune_at: FIRST_PRUNE, held: 0 }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> u64 {
        self.held + self.keys.allocation_size() as u64
    }

    pub fn add(
        &mut self,
        db: u8,
        key: &[u8],
        hash: u32,
        flag: &Arc<AtomicBool>,
    ) -> Result<(), Refusal> {
        if self.len >= self.prune_at {
            self.retain(|other| Arc::strong_count(other) > 1);
            self.prune_at = (self.len * 2).clamp(FIRST_PRUNE, MAX_WATCHES);
            if self.len >= MAX_WATCHES {
                return Err(Refusal::TooManyWatches);
            }
        }
        let found =
            self.keys.find_mut(spread(hash), |w| w.hash == hash && w.db == db && *w.key == *key);
        if let Some(watch) = found {
            if watch.flags.iter().any(|other| Arc::ptr_eq(other, flag)) {
                return Ok(());
            }
            let before = watch.bytes();
            watch.flags.push(Arc::clone(flag));
            self.held += watch.bytes() - before;
        } else {
            let watch = Watch { hash, db, key: key.into(), flags: vec![Arc::clone(flag)] };
            self.held += watch.bytes();
            self.keys.insert_unique(spread(hash), watch, |w| spread(w.hash));
        }
        self.len += 1;
        Ok(())
    }

    /// Ends one watch.
    pub fn remove(&mut self, db: u8, key: &[u8], hash: u32, flag: &Arc<AtomicBool>) {
        let found =
            self.keys.find_entry(spread(hash), |w| w.hash == hash && w.db == db && *w.key == *key);
        let Ok(mut entry) = found else { return };
        let flags = &mut entry.get_mut().flags;
        let before = flags.len();
        flags.retain(|other| !Arc::ptr_eq(other, flag));
        self.len -= before - flags.len();
        if flags.is_empty() {
            let (watch, _) = entry.remove();
            self.held -= watch.bytes();
            self.shrink();
        }
    }

    /// Ends every watch of one flag. Walks all watches.
    pub fn remove_all_of(&mut self, flag: &Arc<AtomicBool>) {
        if self.len != 0 {
            self.retain(|other| !Arc::ptr_eq(other, flag));
        }
    }

    /// The key has changed.
    pub fn fire(&mut self, db: u8, key: &[u8], hash: u32) {
        let found =
            self.keys.find_entry(spread(hash), |w| w.hash == hash && w.db == db && *w.key == *key);
        if let Ok(entry) = found {
            let (watch, _) = entry.remove();
            watch.fire();
            self.len -= watch.flags.len();
            self.held -= watch.bytes();
            self.shrink();
        }
    }

    /// Every watched key for which `changed(db, key, hash)` holds has changed.
    pub fn fire_where(&mut self, changed: impl Fn(u8, &[u8], u32) -> bool) {
        for watch in self.keys.extract_if(|w| changed(w.db, &w.key, w.hash)) {
            watch.fire();
            self.len -= watch.flags.len();
            self.held -= watch.bytes();
        }
        self.shrink();
    }

    fn retain(&mut self, keep: impl Fn(&Arc<AtomicBool>) -> bool) {
        let (len, held) = (&mut self.len, &mut self.held);
        (*len, *held) = (0, 0);
        self.keys.retain(|watch| {
            watch.flags.retain(&keep);
            if watch.flags.is_empty() {
                return false;
            }
            *len += watch.flags.len();
            *held += watch.bytes();
            true
        });
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.keys.is_empty() {
            self.keys = HashTable::new();
            self.prune_at = FIRST_PRUNE;
        }
    }
}
