//! Runs data commands in memory, without shards or connections: for tests.

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Record, Records};

use crate::resp::args::{Args, Span};
use crate::resp::keyspace::{Keyspace, Scope, Stores};
use crate::resp::limits::Limits;
use crate::resp::refusal::Refusal;
use crate::resp::reply::{Proto, Reply};
use crate::resp::table::{self, Run};

/// A key space of one or more stores, and a client's state.
#[derive(Debug)]
pub struct World {
    stores: Vec<Option<Box<Store>>>,
    hasher: KeyHasher,
    pub limits: Limits,
    pub db: u8,
    pub now: UnixMs,
    pub proto: Proto,
    pub no_touch: bool,
}

/// A moment in 2024, Unix milliseconds.
pub const START: UnixMs = 1_717_000_000_000;

impl World {
    /// `shards` empty stores without limits, at [`START`].
    pub fn new(shards: usize) -> Self {
        Self::with(shards, StoreConfig::default())
    }

    pub fn with(shards: usize, config: StoreConfig) -> Self {
        Self {
            stores: (0..shards).map(|_| Some(Box::new(Store::new(config)))).collect(),
            hasher: KeyHasher::fixed(),
            limits: Limits {
                binary_keys: true,
                ascii_keys: false,
                max_key_length: 1000,
                max_value: 512 << 20,
                max_ttl_ms: None,
            },
            db: 0,
            now: START,
            proto: Proto::V2,
            no_touch: false,
        }
    }

    /// Runs a command line, words separated by spaces; `""` is an empty word.
    pub fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| if word == "\"\"" { &b""[..] } else { word.as_bytes() })
            .collect();
        String::from_utf8_lossy(&self.run_words(&words)).into_owned()
    }

    /// Runs a command and returns its reply, as the caller of a data command would write it.
    pub fn run_words(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let input = words.concat();
        let mut start = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                let span = Span { start, len: word.len() as u32 };
                start += span.len;
                span
            })
            .collect();
        let mut out = Vec::new();
        if let Err(refusal) = self.dispatch(&Args::new(&input, &spans), &mut out) {
            out.clear();
            Reply::new(&mut out, self.proto).error(&refusal.to_string());
        }
        out
    }

    fn dispatch(&mut self, args: &Args<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let command =
            table::find(args.get(0)).ok_or_else(|| Refusal::other("ERR unknown command"))?;
        if !command.takes(args.len()) {
            return Err(Refusal::Arity(command.name.into()));
        }
        let keys: Vec<&[u8]> = command.keys.indexes(args.len()).map(|i| args.get(i)).collect();
        for key in &keys {
            self.limits.check_key(key)?;
        }
        let shards = self.stores.len();
        let shard_of =
            |key: &[u8]| KeyHasher::shard_of(self.hasher.hash(key), shards as u32) as usize;
        let (function, concerned): (_, Vec<bool>) = match command.run {
            Run::Data(f) => {
                let of_keys: Vec<usize> = keys.iter().map(|key| shard_of(key)).collect();
                (f, (0..shards).map(|shard| of_keys.contains(&shard)).collect())
            }
            Run::AllShards(f) => (f, vec![true; shards]),
            _ => return Err(Refusal::other("ERR not a data command")),
        };
        let scope = Scope {
            db: self.db,
            now: self.now,
            limits: &self.limits,
            hasher: self.hasher,
            databases: 16,
            no_touch: self.no_touch,
        };
        let first_hash = keys.first().map(|key| self.hasher.hash(key));
        let mut reply = Reply::new(out, self.proto);
        if let [Some(store)] = &mut self.stores[..] {
            return function(
                &mut Keyspace::new(Stores::One(store), scope, first_hash),
                args,
                &mut reply,
            );
        }
        // Only the declared shards are lent: a command that reaches for another one panics.
        let mut lent: Vec<_> = self
            .stores
            .iter_mut()
            .zip(&concerned)
            .map(|(store, lend)| if *lend { store.take() } else { None })
            .collect();
        let result = function(
            &mut Keyspace::new(Stores::Many(&mut lent), scope, first_hash),
            args,
            &mut reply,
        );
        for (home, store) in self.stores.iter_mut().zip(lent) {
            if store.is_some() {
                *home = store;
            }
        }
        result
    }

    /// The stores, in shard order.
    pub fn stores(&mut self) -> impl Iterator<Item = &mut Store> {
        self.stores.iter_mut().flatten().map(|store| &mut **store)
    }

    /// Takes the effects of every store, in shard order, as text.
    pub fn effects(&mut self) -> Vec<String> {
        self.stores()
            .flat_map(|store| {
                let batch = store.take_effects();
                Records::new(batch.as_bytes())
                    .map(|record| match record {
                        Ok(Record::Set { db, key, value, expires_at }) => format!(
                            "set {db} {} {} {expires_at:?}",
                            String::from_utf8_lossy(key),
                            String::from_utf8_lossy(value)
                        ),
                        Ok(Record::Delete { db, key }) => {
                            format!("delete {db} {}", String::from_utf8_lossy(key))
                        }
                        other => format!("{other:?}"),
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}
