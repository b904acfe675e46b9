//! The data a command may touch while it runs: one shard's store, or several borrowed ones.

use seawall_actors::cache::store::{Key, KeyHasher, Store};
use seawall_actors::clock::UnixMs;

use super::args::Args;
use super::limits::Limits;

/// What a data command knows besides its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Selected database.
    pub db: u8,
    /// Wall time, the same for every command of a round.
    pub now: UnixMs,
    /// Limits on keys and values.
    pub limits: &'a Limits,
    /// Hashes keys and routes them to shards.
    pub hasher: KeyHasher,
    /// Number of databases.
    pub databases: u8,
}

/// Stores under a command's hands.
#[derive(Debug)]
pub enum Stores<'a> {
    /// The one store that holds every key of the command.
    One(&'a mut Store),
    /// One store per shard, in shard order; `None` where the command has no key.
    Many(&'a mut [Option<Box<Store>>]),
}

/// Stores and scope: all that a data command works on.
#[derive(Debug)]
pub struct Keyspace<'a> {
    stores: Stores<'a>,
    /// Time, database, limits.
    pub scope: Scope<'a>,
    first_hash: Option<u64>,
}

impl<'a> Keyspace<'a> {
    /// `first_hash` is the hash of the command's first key, where routing has computed it.
    pub fn new(stores: Stores<'a>, scope: Scope<'a>, first_hash: Option<u64>) -> Self {
        Self { stores, scope, first_hash }
    }

    /// Selected database.
    #[must_use]
    pub const fn db(&self) -> u8 {
        self.scope.db
    }

    /// Wall time of this round.
    #[must_use]
    pub const fn now(&self) -> UnixMs {
        self.scope.now
    }

    /// The command's first key, argument 1; its hash was computed for routing already.
    #[must_use]
    pub fn first<'k>(&self, args: &Args<'k>) -> Key<'k> {
        let bytes = args.get(1);
        match self.first_hash {
            Some(hash) => Key { bytes, hash },
            None => self.key(bytes),
        }
    }

    /// Any key.
    #[must_use]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.scope.hasher.key(bytes)
    }

    /// The store that holds `key`.
    ///
    /// # Panics
    /// If the key was not among those the command declared in the table: a defect of the table.
    #[allow(clippy::panic, reason = "running on a wrong store would corrupt data")]
    pub fn store(&mut self, key: Key<'_>) -> &mut Store {
        match &mut self.stores {
            Stores::One(store) => store,
            Stores::Many(stores) => {
                let shard = self.scope.hasher.shard_of(key.hash, stores.len());
                match stores.get_mut(shard) {
                    Some(Some(store)) => store,
                    _ => panic!("a command touched a key that its table entry does not declare"),
                }
            }
        }
    }

    /// Every store under the command's hands, in shard order.
    pub fn stores(&mut self) -> impl Iterator<Item = &mut Store> {
        let (one, many) = match &mut self.stores {
            Stores::One(store) => (Some(&mut **store), None),
            Stores::Many(stores) => (None, Some(stores.iter_mut().flatten())),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|boxed| &mut **boxed))
    }
}
