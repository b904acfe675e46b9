//! The data commands on stores in memory, without shards, connections or a log: for tests, and for
//! reading commands that somebody wrote to a file.

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::clock::UnixMs;

use super::args::Args;
use super::keyspace::{Keyspace, Scope, Stores};
use super::limits::Limits;
use super::refusal::Refusal;
use super::reply::{Proto, Reply};
use super::table::{Command, DataFn, Run};

/// A key space of one or more stores, and what a command knows of its client.
#[derive(Debug)]
pub struct Embedded {
    stores: Vec<Option<Box<Store>>>,
    hasher: KeyHasher,
    databases: u8,
    /// Limits on keys and values.
    pub limits: Limits,
    /// Selected database.
    pub db: u8,
    /// The time.
    pub now: UnixMs,
    /// The protocol of replies.
    pub proto: Proto,
    /// Reads do not count as uses.
    pub no_touch: bool,
}

impl Embedded {
    /// As many empty stores as there are to be shards, in database 0, at the time 0.
    #[must_use]
    pub fn new(shards: usize, config: StoreConfig, hasher: KeyHasher, limits: Limits) -> Self {
        Self {
            stores: (0..shards).map(|_| Some(Box::new(Store::new(config)))).collect(),
            hasher,
            databases: config.databases,
            limits,
            db: 0,
            now: 0,
            proto: Proto::V2,
            no_touch: false,
        }
    }

    /// Hashes the keys.
    #[must_use]
    pub const fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The stores, in shard order.
    pub fn stores(&mut self) -> impl Iterator<Item = &mut Store> {
        self.stores.iter_mut().flatten().map(|store| &mut **store)
    }

    /// Runs a data command and appends its reply to `out`.
    ///
    /// # Errors
    /// The command's own refusal; a wrong number of arguments; a command that needs more than
    /// stores. What stands in `out` is of no use then.
    pub fn run(
        &mut self,
        command: &Command,
        args: &Args<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if !command.takes(args.len()) {
            return Err(Refusal::Arity(command.name.into()));
        }
        let keys = || command.keys.indexes(args.len()).map(|i| args.get(i));
        for key in keys() {
            self.limits.check_key(key)?;
        }
        let (function, all): (DataFn, bool) = match command.run {
            Run::Data(function) => (function, false),
            Run::AllShards(function) => (function, true),
            _ => return Err(Refusal::other("ERR not a data command")),
        };
        let scope = Scope {
            db: self.db,
            now: self.now,
            limits: &self.limits,
            hasher: self.hasher,
            databases: self.databases,
            no_touch: self.no_touch,
        };
        let first_hash = keys().next().map(|key| self.hasher.hash(key));
        let mut reply = Reply::new(out, self.proto);
        if let [Some(store)] = &mut self.stores[..] {
            let mut keyspace = Keyspace::new(Stores::One(store), scope, first_hash);
            return function(&mut keyspace, args, &mut reply);
        }
        let count = self.stores.len();
        let of_keys: Vec<usize> =
            keys().map(|key| KeyHasher::shard_of(self.hasher.hash(key), count)).collect();
        // Only the declared shards are lent: a command that reaches for another one panics.
        let mut lent: Vec<_> = self
            .stores
            .iter_mut()
            .enumerate()
            .map(|(shard, store)| if all || of_keys.contains(&shard) { store.take() } else { None })
            .collect();
        let mut keyspace = Keyspace::new(Stores::Many(&mut lent), scope, first_hash);
        let result = function(&mut keyspace, args, &mut reply);
        for (home, store) in self.stores.iter_mut().zip(lent) {
            if store.is_some() {
                *home = store;
            }
        }
        result
    }
}
