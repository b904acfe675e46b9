//! What records of the log come to in Redis: one change a key, the last one wins. Pure.
//!
//! A batch is made of whole batches of the log and is applied as one transaction: so what Redis
//! shows is at any time a state that the cache was in.

use std::collections::HashMap;

use super::lapsed::{LEASE_MS, Lapsed};
use crate::clock::UnixMs;
use crate::journal::Record;

/// The one database that Redis stands behind.
pub(super) const DB: u8 = 0;

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It holds this and expires then (`None`: never).
    Put {
        /// The value.
        value: Box<[u8]>,
        /// Unix milliseconds.
        expires_at: Option<UnixMs>,
    },
    /// It is not there.
    Gone,
    /// It keeps what Redis has and expires then.
    Expires(Option<UnixMs>),
}

/// A change of a key, and when it was logged: Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyed {
    pub key: Box<[u8]>,
    pub change: Change,
    pub wall_ms: UnixMs,
}

/// Changes on their way to Redis.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Everything that Redis has goes first.
    flushes: bool,
    /// Another database has taken the place of this one: only memory knows what is in it.
    swapped: bool,
    changes: Vec<Keyed>,
    places: HashMap<Box<[u8]>, usize>,
    records: u64,
    bytes: usize,
}

impl Batch {
    /// The next record of the log. `expiry`: a deletion because the time had come.
    pub fn take(&mut self, record: &Record<'_>, expiry: bool, wall_ms: UnixMs) {
        match *record {
            Record::Set { db: DB, key, value, expires_at } => {
                self.put(key, Change::Put { value: value.into(), expires_at }, wall_ms);
            }
            Record::Delete { db: DB, key } if expiry => self.expired(key, wall_ms),
            Record::Delete { db: DB, key } => self.put(key, Change::Gone, wall_ms),
            Record::Expire { db: DB, key, expires_at } => self.expires(key, expires_at, wall_ms),
            Record::Flush { db } if db.is_none_or(|db| db == DB) => self.forget(true),
            Record::SwapDb { a, b } if (a == DB) != (b == DB) => {
                self.forget(true);
                self.swapped = true;
            }
            // Memory made room for something else: Redis has more of it. Other databases are
            // nobody's but ours.
            _ => return,
        }
        self.records += 1;
    }

    fn forget(&mut self, flushes: bool) {
        self.changes.clear();
        self.places.clear();
        self.bytes = 0;
        self.flushes |= flushes;
    }

    fn put(&mut self, key: &[u8], change: Change, wall_ms: UnixMs) {
        self.bytes += key.len() + size(&change);
        if let Some(keyed) = self.places.get(key).and_then(|place| self.changes.get_mut(*place)) {
            self.bytes -= keyed.key.len() + size(&keyed.change);
            (keyed.change, keyed.wall_ms) = (change, wall_ms);
            return;
        }
        self.places.insert(key.into(), self.changes.len());
        self.changes.push(Keyed { key: key.into(), change, wall_ms });
    }

    fn change_of(&mut self, key: &[u8]) -> Option<&mut Keyed> {
        let place = *self.places.get(key)?;
        self.changes.get_mut(place)
    }

    fn expires(&mut self, key: &[u8], at: Option<UnixMs>, logged: UnixMs) {
        match self.change_of(key) {
            Some(Keyed { change: Change::Put { expires_at, .. }, wall_ms, .. }) => {
                (*expires_at, *wall_ms) = (at, logged);
            }
            Some(Keyed { change: Change::Gone, .. }) => {}
            _ => self.put(key, Change::Expires(at), logged),
        }
    }

    /// Redis lets it expire by itself, if it has what is to expire: a value that never came there
    /// may have an older one in its place.
    fn expired(&mut self, key: &[u8], wall_ms: UnixMs) {
        if matches!(self.change_of(key), Some(Keyed { change: Change::Put { .. }, .. })) {
            self.put(key, Change::Gone, wall_ms);
        }
    }

    /// Gives those that are only prolonged their values, where Redis did not get them.
    pub fn revive(&mut self, lapsed: &mut Lapsed) {
        if self.flushes {
            // What was before it is gone, whatever became of it.
            lapsed.end();
        }
        for Keyed { key, change, .. } in &mut self.changes {
            let value = lapsed.take(key);
            if let (Change::Expires(at), Some(value)) = (&*change, value) {
                self.bytes += value.len();
                *change = Change::Put { value, expires_at: *at };
            }
        }
    }

    /// What Redis has on lease goes now, if anything: the log has said all about it.
    pub fn of_leases(lapsed: &mut Lapsed) -> Option<Self> {
        let mut batch = Self::default();
        for key in lapsed.ended() {
            // Whoever wrote there since was later.
            batch.put(&key, Change::Gone, 0);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Remembers what was sent at `now` although its time had passed: values as deletions, times
    /// as leases.
    pub fn lapse(&self, now: UnixMs, lapsed: &mut Lapsed) {
        for Keyed { key, change, .. } in &self.changes {
            match change {
                Change::Put { value, expires_at: Some(at) } if *at <= now => {
                    lapsed.keep(key, value);
                }
                Change::Expires(Some(at)) if *at <= now => lapsed.lease(key),
                _ => {}
            }
        }
    }

    /// Records that concerned Redis.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.flushes
    }

    /// Whether everything that Redis has goes first.
    pub fn flushes(&self) -> bool {
        self.flushes
    }

    /// Whether Redis has to be filled from memory afterwards.
    pub fn swapped(&self) -> bool {
        self.swapped
    }

    /// What is to be sent at `now`, one for each key, in any order. A value whose time has come
    /// is a deletion: there may be an older one.
    pub fn changes(&self, now: UnixMs) -> impl Iterator<Item = (&Keyed, Act<'_>)> {
        self.changes.iter().map(move |keyed| (keyed, Act::of(&keyed.change, now)))
    }
}

/// What is done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act<'a> {
    /// `SET key value [PXAT …]`.
    Set(&'a [u8], Option<UnixMs>),
    /// `UNLINK key`.
    Unlink,
    /// `PEXPIREAT key …`.
    ExpireAt(UnixMs),
    /// `PERSIST key`.
    Persist,
}

impl<'a> Act<'a> {
    fn of(change: &'a Change, now: UnixMs) -> Self {
        match change {
            Change::Put { expires_at: Some(at), .. } if *at <= now => Self::Unlink,
            Change::Put { value, expires_at } => Self::Set(value, *expires_at),
            Change::Gone => Self::Unlink,
            Change::Expires(Some(at)) if *at <= now => Self::ExpireAt(now + LEASE_MS),
            Change::Expires(Some(at)) => Self::ExpireAt(*at),
            Change::Expires(None) => Self::Persist,
        }
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Put { value, .. } => value.len(),
        Change::Gone | Change::Expires(_) => 0,
    }
}

#[cfg(test)]
mod tests;
