//! Which clients have read which key. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What a key costs besides its bytes: its place in the map and in the order.
const KEY_COST: usize = 96;
/// Places in the order that may be left over from keys that are gone, beside one for each key.
const SLACK: usize = 1024;

/// The keys of one shard that were read, oldest first.
#[derive(Debug, Default)]
pub(super) struct Table {
    keys: HashMap<Arc<[u8]>, Entry, foldhash::fast::RandomState>,
    /// Keys with their turns; one whose turn is another by now was told of since.
    order: VecDeque<(u64, Arc<[u8]>)>,
    turn: u64,
    items: usize,
    key_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    turn: u64,
    /// Ascending, each once.
    readers: Vec<u64>,
}

impl Table {
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    pub const fn items(&self) -> usize {
        self.items
    }

    pub fn bytes(&self) -> usize {
        self.key_bytes + self.keys.len() * KEY_COST + self.items * size_of::<u64>()
    }

    /// A client has read a key.
    pub fn remember(&mut self, key: &[u8], client: u64) {
        if let Some(entry) = self.keys.get_mut(key) {
            if let Err(at) = entry.readers.binary_search(&client) {
                entry.readers.insert(at, client);
                self.items += 1;
            }
            return;
        }
        self.turn += 1;
        let (key, turn): (Arc<[u8]>, u64) = (key.into(), self.turn);
        self.order.push_back((turn, Arc::clone(&key)));
        self.key_bytes += key.len();
        self.items += 1;
        self.keys.insert(key, Entry { turn, readers: vec![client] });
        if self.order.len() > 2 * self.keys.len() + SLACK {
            let keys = &self.keys;
            self.order.retain(|(turn, key)| keys.get(key).is_some_and(|e| e.turn == *turn));
        }
    }

    /// A key has changed: those who have read it, ascending. They are forgotten.
    pub fn take(&mut self, key: &[u8]) -> Vec<u64> {
        let Some(entry) = self.keys.remove(key) else { return Vec::new() };
        self.items -= entry.readers.len();
        self.key_bytes -= key.len();
        entry.readers
    }

    /// Takes out the keys that were remembered first, until no more than `most` are left.
    pub fn evict_to(&mut self, most: usize) -> Vec<(Arc<[u8]>, Vec<u64>)> {
        let mut evicted = Vec::new();
        while self.keys.len() > most
            && let Some((turn, key)) = self.order.pop_front()
        {
            if self.keys.get(&key).is_some_and(|entry| entry.turn == turn) {
                let readers = self.take(&key);
                evicted.push((key, readers));
            }
        }
        evicted
    }

    /// Places in the order, left over ones included.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.order.len()
    }

    pub fn clear(&mut self) {
        *self = Self { turn: self.turn, ..Self::default() };
    }
}
