//! CLIENT TRACKING: tells clients that keep values of their own which of them are no longer true.
//!
//! In the default mode the shards remember which client has read which key, in the same step in
//! which they read it: a change comes either before and is seen, or after and is told. In BCAST
//! mode nothing is remembered, and every change under a prefix is told. Like the table of channels
//! this is shared data, and no restart of an actor loses it; what waits for a client waits in its
//! inbox. Protocol: <https://redis.io/docs/latest/develop/reference/client-side-caching/>.

mod prefixes;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use seawall_actors::cache::store::KeyHasher;

use self::prefixes::Prefixes;
use self::table::Table;
use crate::config::settings::Server;
use crate::pubsub::{Inbox, Push};
use crate::resp::args::Args;
use crate::resp::clients::Clients;
use crate::resp::table::Command;

/// What a client has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Every change under its prefixes, whether it has read the key or not.
    pub broadcast: bool,
    /// Reads count only after CLIENT CACHING YES.
    pub opt_in: bool,
    /// Reads count but after CLIENT CACHING NO.
    pub opt_out: bool,
    /// Its own changes are not told.
    pub no_loop: bool,
    /// Who is told in its place; 0: itself.
    pub redirect: u64,
}

/// A client that is told of changes, as the tracker knows it.
#[derive(Debug)]
pub struct Tracked {
    inbox: Arc<Inbox>,
    /// What it asked for.
    pub options: Options,
    broken: AtomicBool,
}

impl Tracked {
    /// Whether who should have been told in its place was gone when there was something to tell.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }
}

/// Who has read what. Cheap to clone; clones share one table.
#[derive(Debug, Clone)]
pub struct Tracker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clients: RwLock<BTreeMap<u64, Arc<Tracked>>>,
    /// How many those are: what a shard asks before each job.
    count: AtomicUsize,
    /// One part a shard.
    parts: Box<[Mutex<Table>]>,
    prefixes: RwLock<Prefixes>,
    registry: Clients,
    hasher: KeyHasher,
    max_keys: AtomicUsize,
    invalidations: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Clients that are told of changes.
    pub clients: usize,
    /// Keys that somebody has read and would have to be told of.
    pub keys: usize,
    /// Pairs of such a key and a client.
    pub items: usize,
    /// Bytes that those take, about.
    pub bytes: usize,
    /// Prefixes of BCAST.
    pub prefixes: usize,
    /// Messages put into inboxes.
    pub invalidations: u64,
}

impl Tracker {
    /// Nobody is told of anything yet. As many parts as there are shards.
    #[must_use]
    pub fn new(registry: Clients, hasher: KeyHasher, shards: usize, settings: &Server) -> Self {
        let tracker = Self {
            shared: Arc::new(Shared {
                clients: RwLock::default(),
                count: AtomicUsize::new(0),
                parts: (0..shards.max(1)).map(|_| Mutex::default()).collect(),
                prefixes: RwLock::default(),
                registry,
                hasher,
                max_keys: AtomicUsize::new(0),
                invalidations: AtomicU64::new(0),
            }),
        };
        tracker.configure(settings);
        tracker
    }

    /// Takes over the bound on keys. Reads that come later keep to it.
    pub fn configure(&self, settings: &Server) {
        self.shared.max_keys.store(settings.tracking_table_max_keys, Relaxed);
    }

    /// Whether anybody is told of changes.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared.count.load(Relaxed) > 0
    }

    /// Begins to tell a client, or changes what it is told. Prefixes are added to those it has;
    /// a client that broadcasts and has none hears of every key.
    #[must_use]
    pub fn track(&self, inbox: Arc<Inbox>, options: Options, prefixes: &[&[u8]]) -> Arc<Tracked> {
        let client = inbox.client();
        let tracked = Arc::new(Tracked { inbox, options, broken: AtomicBool::new(false) });
        let mut clients = self.shared.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.insert(client, Arc::clone(&tracked));
        self.shared.count.store(clients.len(), Relaxed);
        drop(clients);
        if options.broadcast {
            let prefixes = if prefixes.is_empty() { &[&b""[..]] } else { prefixes };
            let mut all = self.shared.prefixes.write().unwrap_or_else(PoisonError::into_inner);
            prefixes.iter().for_each(|prefix| all.add(prefix, client));
        }
        tracked
    }

    /// Tells a client nothing any more. What it has read is forgotten as it changes.
    pub fn forget(&self, client: u64) {
        let mut clients = self.shared.clients.write().unwrap_or_else(PoisonError::into_inner);
        let gone = clients.remove(&client);
        self.shared.count.store(clients.len(), Relaxed);
        drop(clients);
        if gone.is_some_and(|tracked| tracked.options.broadcast) {
            let mut all = self.shared.prefixes.write().unwrap_or_else(PoisonError::into_inner);
            all.remove(client);
        }
    }

    /// The prefixes of one client, in order.
    #[must_use]
    pub fn prefixes(&self, client: u64) -> Vec<Box<[u8]>> {
        self.shared.prefixes.read().unwrap_or_else(PoisonError::into_inner).of(client)
    }

    /// Remembers that a client has read a key. Called with the key's store in hand, so that no
    /// change comes between. Beyond the bound the key that was remembered first gives way: those
    /// who have read it are told that it changed.
    pub fn remember(&self, client: u64, key: &[u8]) {
        let most = self.shared.max_keys.load(Relaxed) / self.shared.parts.len();
        let evicted = self.with(key, |table| {
            table.remember(key, client);
            table.evict_to(most.max(1))
        });
        for (key, clients) in evicted {
            self.tell(&key, &clients, 0);
        }
    }

    /// A key has changed by a command of the connection `by`, 0 for nobody's.
    pub fn changed(&self, key: &[u8], by: u64) {
        let readers = self.with(key, |table| table.take(key));
        self.tell(key, &readers, by);
    }

    /// Keys have changed by one command: tells those that hear of everything.
    pub fn broadcast(&self, mut keys: Vec<Box<[u8]>>, by: u64) {
        let prefixes = self.shared.prefixes.read().unwrap_or_else(PoisonError::into_inner);
        if prefixes.is_empty() {
            return;
        }
        // Redis keeps them in order, each once.
        keys.sort_unstable();
        keys.dedup();
        let clients = self.clients();
        for (prefix, listeners) in prefixes.iter() {
            let under: Vec<Box<[u8]>> =
                keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
            if under.is_empty() {
                continue;
            }
            let keys: Arc<[Box<[u8]>]> = under.into();
            for client in listeners {
                if let Some(tracked) = clients.get(client).filter(|t| t.hears_of(by)) {
                    self.send(tracked, Some(&keys));
                }
            }
        }
    }

    /// Whole databases have changed: everybody forgets everything, so that no key has to be told of
    /// later.
    pub fn flushed(&self) {
        for part in &self.shared.parts {
            part.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for tracked in self.clients().values() {
            self.send(tracked, None);
        }
    }

    /// The numbers now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            clients: self.shared.count.load(Relaxed),
            prefixes: self.shared.prefixes.read().unwrap_or_else(PoisonError::into_inner).len(),
            invalidations: self.shared.invalidations.load(Relaxed),
            ..Figures::default()
        };
        for part in &self.shared.parts {
            let table = part.lock().unwrap_or_else(PoisonError::into_inner);
            figures.keys += table.keys();
            figures.items += table.items();
            figures.bytes += table.bytes();
        }
        figures
    }

    /// Tells those who have read a key.
    fn tell(&self, key: &[u8], readers: &[u64], by: u64) {
        if readers.is_empty() {
            return;
        }
        let keys: Arc<[Box<[u8]>]> = Arc::new([key.into()]);
        let clients = self.clients();
        for reader in readers {
            // One that broadcasts now has read this before, and hears of it anyway.
            let tracked = clients.get(reader).filter(|t| !t.options.broadcast && t.hears_of(by));
            if let Some(tracked) = tracked {
                self.send(tracked, Some(&keys));
            }
        }
    }

    fn send(&self, tracked: &Tracked, keys: Option<&Arc<[Box<[u8]>]>>) {
        let redirect = tracked.options.redirect;
        self.shared.invalidations.fetch_add(1, Relaxed);
        if redirect == 0 {
            tracked.inbox.put(Push::Invalidate { keys: keys.cloned(), redirected: false });
            return;
        }
        let target = self.shared.registry.get(redirect);
        match target.as_ref().and_then(|client| client.inbox()) {
            Some(inbox) => inbox.put(Push::Invalidate { keys: keys.cloned(), redirected: true }),
            None => {
                tracked.broken.store(true, Relaxed);
                tracked.inbox.put(Push::RedirectionBroken(redirect));
            }
        }
    }

    fn clients(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Tracked>>> {
        // A map of counted references is never half-changed: a poisoned lock is still whole.
        self.shared.clients.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, key: &[u8], work: impl FnOnce(&mut Table) -> R) -> R {
        let parts = &self.shared.parts;
        let part = KeyHasher::shard_of(self.shared.hasher.hash(key), parts.len());
        work(&mut parts[part].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tracked {
    /// Whether it is told of what the connection `by` does.
    fn hears_of(&self, by: u64) -> bool {
        !(self.options.no_loop && self.inbox.client() == by)
    }
}

/// Whose reads are remembered, for whoever runs its commands.
#[derive(Debug, Clone)]
pub struct Reader {
    tracker: Tracker,
    client: u64,
}

impl Reader {
    /// Remembers the reads of this connection.
    #[must_use]
    pub const fn new(tracker: Tracker, client: u64) -> Self {
        Self { tracker, client }
    }

    /// Remembers the keys of a command that only reads. Before anybody else can change them.
    pub fn note(&self, command: &Command, args: &Args<'_>) {
        if command.flags.has(crate::resp::table::Flags::READONLY) {
            for index in command.keys.indexes(args.len()) {
                self.tracker.remember(self.client, args.get(index));
            }
        }
    }
}
