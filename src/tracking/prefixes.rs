//! Who hears of every change under which prefix. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// The prefixes of all clients that broadcast.
#[derive(Debug, Default)]
pub(super) struct Prefixes(BTreeMap<Box<[u8]>, BTreeSet<u64>>);

impl Prefixes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, prefix: &[u8], client: u64) {
        self.0.entry(prefix.into()).or_default().insert(client);
    }

    /// Removes a client everywhere.
    pub fn remove(&mut self, client: u64) {
        self.0.retain(|_, clients| {
            clients.remove(&client);
            !clients.is_empty()
        });
    }

    /// Each prefix, in order, with those who listen to it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &BTreeSet<u64>)> {
        self.0.iter().map(|(prefix, clients)| (&**prefix, clients))
    }

    /// The prefixes of one client, in order.
    pub fn of(&self, client: u64) -> Vec<Box<[u8]>> {
        let mine = self.0.iter().filter(|(_, clients)| clients.contains(&client));
        mine.map(|(prefix, _)| prefix.clone()).collect()
    }
}
