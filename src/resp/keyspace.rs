//! The data a command may touch while it runs: one shard's store, or several borrowed ones.

use seawall_actors::cache::store::{
    EntryView, Event, Expiry, Garbage, Key, KeyHasher, Notices, Store,
};
use seawall_actors::clock::UnixMs;

use super::args::Args;
use super::limits::Limits;
use super::refusal::Refusal;

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
    /// Reads do not count as uses (CLIENT NO-TOUCH).
    pub no_touch: bool,
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
    discarded: Vec<Garbage>,
    /// Of several stores, the one that was used last: it has the notices of all.
    last: usize,
}

impl<'a> Keyspace<'a> {
    /// `first_hash` is the hash of the command's first key, where routing has computed it.
    pub fn new(stores: Stores<'a>, scope: Scope<'a>, first_hash: Option<u64>) -> Self {
        Self { stores, scope, first_hash, discarded: Vec::new(), last: 0 }
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
                let count = u32::try_from(stores.len()).unwrap_or(u32::MAX);
                let shard = KeyHasher::shard_of(key.hash, count) as usize;
                // Each store has notices of its own; whose turn it was is known here alone. So they
                // travel along, always within a store, and none is lost with a command.
                let mut told = Notices::default();
                if shard != self.last
                    && let Some(Some(before)) = stores.get_mut(self.last)
                {
                    told.append(before.notices_mut());
                }
                self.last = shard;
                match stores.get_mut(shard) {
                    Some(Some(store)) => {
                        store.notices_mut().append(&mut told);
                        store
                    }
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

    /// Tells what happened to a key in the selected database, if anybody wants to hear it.
    #[inline]
    pub fn note(&mut self, event: Event, key: Key<'_>) {
        self.note_in(self.scope.db, event, key);
    }

    /// Tells what happened to a key.
    #[inline]
    pub fn note_in(&mut self, db: u8, event: Event, key: Key<'_>) {
        self.store(key).notices_mut().add(event, db, Some(key.bytes));
    }

    /// Tells that whole databases have changed.
    pub fn note_flush(&mut self) {
        let db = self.scope.db;
        if let Some(store) = self.stores().next() {
            store.notices_mut().add(Event::FLUSHED, db, None);
        }
    }

    /// Keeps what a flush removed: freeing it takes long, so the caller does it, elsewhere.
    pub fn discard(&mut self, garbage: Garbage) {
        self.discarded.push(garbage);
    }

    /// What commands discarded. Drop it where nobody waits.
    #[must_use]
    pub fn take_discarded(&mut self) -> Vec<Garbage> {
        std::mem::take(&mut self.discarded)
    }
}

// === the calls that most commands make, in the selected database ===
//
// They see what has expired as well, where a command was allowed to because the tier is silent.

impl Keyspace<'_> {
    /// A value, counted as a hit or a miss, and as a use unless the client said NO-TOUCH.
    pub fn get(&mut self, key: Key<'_>) -> Option<&[u8]> {
        let Scope { db, now, no_touch, .. } = self.scope;
        let store = self.store(key);
        if store.shown_expired(db, key, now).is_some() {
            return store.shown_expired(db, key, now).map(|entry| entry.value);
        }
        if no_touch { store.read(db, key, now).map(|e| e.value) } else { store.get(db, key, now) }
    }

    /// An entry, counted as a hit or a miss, never as a use.
    pub fn read(&mut self, key: Key<'_>) -> Option<EntryView<'_>> {
        let Scope { db, now, .. } = self.scope;
        let store = self.store(key);
        if store.shown_expired(db, key, now).is_some() {
            return store.shown_expired(db, key, now);
        }
        store.read(db, key, now)
    }

    /// An entry, counted as nothing.
    pub fn peek(&mut self, key: Key<'_>) -> Option<EntryView<'_>> {
        let Scope { db, now, .. } = self.scope;
        let store = self.store(key);
        store.shown_expired(db, key, now).or_else(|| store.peek(db, key, now))
    }

    /// Whether a key is there; counted as nothing.
    pub fn exists(&mut self, key: Key<'_>) -> bool {
        self.peek(key).is_some()
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`Refusal::OutOfMemory`].
    pub fn set(&mut self, key: Key<'_>, value: &[u8], expiry: Expiry) -> Result<(), Refusal> {
        let Scope { db, now, .. } = self.scope;
        Ok(self.store(key).set(db, key, value, expiry, now)?)
    }

    /// Deletes a key; whether it was there.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let Scope { db, now, .. } = self.scope;
        self.store(key).remove(db, key, now)
    }

    /// Sets when a key expires (`None`: never); whether the key is there. A time that has passed
    /// deletes it.
    pub fn expire_at(&mut self, key: Key<'_>, at: Option<UnixMs>) -> bool {
        let Scope { db, now, .. } = self.scope;
        self.store(key).expire_at(db, key, at, now)
    }
}
