//! Runs data commands in memory, as one writes them.

use std::ops::{Deref, DerefMut};

use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Record, Records};

use crate::resp::args::{Args, Span};
use crate::resp::embedded::Embedded;
use crate::resp::limits::Limits;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::table;

/// A key space of one or more stores, and a client's state.
#[derive(Debug)]
pub struct World(Embedded);

/// A moment in 2024, Unix milliseconds.
pub const START: UnixMs = 1_717_000_000_000;

impl Deref for World {
    type Target = Embedded;

    fn deref(&self) -> &Embedded {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Embedded {
        &mut self.0
    }
}

impl World {
    /// `shards` empty stores without limits, at [`START`].
    pub fn new(shards: usize) -> Self {
        Self::with(shards, StoreConfig::default())
    }

    pub fn with(shards: usize, config: StoreConfig) -> Self {
        let limits = Limits {
            binary_keys: true,
            ascii_keys: false,
            max_key_length: 1000,
            max_value: 512 << 20,
            max_ttl_ms: None,
            max_reply: usize::MAX,
        };
        let mut embedded = Embedded::new(shards, config, KeyHasher::fixed(), limits);
        embedded.now = START;
        Self(embedded)
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
        let args = Args::new(&input, &spans);
        let mut out = Vec::new();
        let command = table::find(args.get(0)).ok_or_else(|| Refusal::other("ERR unknown command"));
        if let Err(refusal) = command.and_then(|command| self.0.run(command, &args, &mut out)) {
            out.clear();
            Reply::new(&mut out, self.proto).error(&refusal.to_string());
        }
        out
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
