//! What a store must know when a second tier stands behind its first database.
//!
//! The tier is another truth, reached late and sometimes not at all. Questions follow, and
//! all are answered here, without asking it:
//!
//! - *May the tier be asked about this key?* Not while it lacks a write of ours: it would answer
//!   with what was before. Writes are *pending* from the moment they happen until the tier has
//!   acknowledged their LSN.
//! - *Is what is in memory still true?* It was when it came. Whatever may have been missed since
//!   (a gap in the invalidations, a time without contact) makes older entries *suspect*: they are
//!   asked for again before they are believed.
//! - *Is what the tier answered still true when it arrives?* Not if the key changed meanwhile,
//!   here or there: whoever asked uses the answer, and nobody else.
//! - *May a write build upon what is in memory?* Not while the tier runs a command that changes it. And
//!   what was written meanwhile, which the tier has got before that command or after it, is asked for.
//! - *What if the tier does not answer?* What was there last may be better than nothing, for a
//!   while, even if its time is over: values from the tier are *kept* beyond that.
//!
//! Pure, like the rest of the store. Keys are known by a hash of 64 bits: a collision makes a
//! key pending that is not, and costs a question.

mod answers;
mod changes;
mod epochs;
mod freshness;
mod kept;
mod origin;
mod passages;
mod pending;
mod told;

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::{Key, Store};
use crate::clock::UnixMs;
use crate::journal::Lsn;
use changes::Changes;
pub use changes::Ticket;
use epochs::{Belief, Epochs};
pub use freshness::Freshness;
pub(super) use kept::{Expired, Kept};
pub(super) use origin::Origin;
use passages::Passages;
pub use pending::MAX_PENDING;
use pending::{Outcome, Pending};

/// The database that has a tier.
pub const TIERED: u8 = 0;

/// By the hash of the key.
type Map<V> = HashMap<u64, V, RandomState>;

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In memory and to be believed.
    Fresh,
    /// In memory, to be believed, and due to be asked for behind the reader's back.
    Due,
    /// In memory; to be asked for before it is believed.
    Suspect,
    /// Not in memory, or nothing that counts; the tier may have it.
    Missing,
    /// Known not to be there.
    Gone,
}

/// Counters of a store's tier side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NearStats {
    /// Values taken over from the tier.
    pub fills: u64,
    /// Reads answered by what nobody could confirm, because the tier did not answer.
    pub stale: u64,
    /// Those among them that were answered by what had expired.
    pub expired: u64,
    /// Entries that were asked for before they expired, because little of their time was left.
    pub early: u64,
    /// Entries that somebody else's change removed.
    pub invalidated: u64,
    /// Gaps in the invalidations.
    pub gaps: u64,
    /// Writes that the tier has not acknowledged.
    pub pending: u64,
    /// Expired values that are kept.
    pub kept: u64,
    /// Bytes that they take up.
    pub kept_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Near {
    hasher: RandomState,
    epochs: Epochs,
    pending: Pending,
    passages: Passages,
    changes: Changes,
    /// Until when a key is known to be absent.
    negative: Map<UnixMs>,
    /// When the tier first failed to answer, since it last did.
    silent_since: Option<UnixMs>,
    freshness: Freshness,
    kept: Kept,
    stats: NearStats,
}

fn hash_with(hasher: &RandomState, key: &[u8]) -> u64 {
    hasher.hash_one(key)
}

impl Near {
    fn new(floor: Lsn, counted: u64, now: UnixMs) -> Self {
        Self {
            hasher: RandomState::default(),
            epochs: Epochs::new(now),
            pending: Pending::new(floor),
            passages: Passages::default(),
            changes: Changes::after(counted),
            negative: Map::default(),
            silent_since: None,
            freshness: Freshness::default(),
            kept: Kept::default(),
            stats: NearStats::default(),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        hash_with(&self.hasher, key)
    }

    /// Remembers that a key changed.
    fn note_change(&mut self, hash: u64) {
        self.changes.note(hash);
        self.negative.remove(&hash);
    }

    /// Remembers that any key may have changed.
    fn note_all(&mut self) {
        self.changes.note_all();
        self.negative.clear();
    }
}

// === what a reader asks ===

impl Store {
    /// How a key of the tiered database stands.
    #[must_use]
    pub fn standing(&self, key: Key<'_>, now: UnixMs) -> Standing {
        let Some(near) = &self.near else { return Standing::Fresh };
        let live = self.locate(TIERED, key).map(|slot| self.slab.at(slot));
        let live = live.filter(|place| !place.is_expired(now));
        let hash = near.hash(key.bytes);
        let pending = near.pending.of(hash);
        match live {
            _ if pending == Some(Outcome::Crossed) => Standing::Missing,
            Some(_) if pending.is_some() => Standing::Fresh,
            Some(place) => match near.epochs.belief(hash, place.tag) {
                Belief::Fresh if near.ends_soon(place, now) => Standing::Due,
                Belief::Fresh => Standing::Fresh,
                Belief::Due => Standing::Due,
                Belief::Suspect => Standing::Suspect,
                Belief::Overtaken => Standing::Missing,
            },
            None if pending == Some(Outcome::Deleted) => Standing::Gone,
            // All of it was swept away a moment ago, and this has not come since.
            None if pending.is_none() && near.pending.is_sweeping() => Standing::Gone,
            None if near.negative.get(&hash).is_some_and(|until| *until > now) => Standing::Gone,
            None => Standing::Missing,
        }
    }

    /// What a question about this key needs.
    #[must_use]
    pub fn ticket(&self, key: Key<'_>) -> Ticket {
        let Some(near) = &self.near else { return Ticket::default() };
        let hash = near.hash(key.bytes);
        let after = near.pending.after(hash);
        Ticket { after, seq: near.changes.count(), changed: near.changes.last_of(hash) }
    }

    /// A ticket for whatever key: every write of ours must be acknowledged before the tier is asked.
    #[must_use]
    pub fn any_ticket(&self) -> Ticket {
        let Some(near) = &self.near else { return Ticket::default() };
        let seq = near.changes.count();
        Ticket { after: near.pending.after_all(), seq, changed: seq }
    }

    /// Whether what the tier cannot confirm may still be served, `stale_ms` being how long it may
    /// from the first question that it left unanswered since it last answered one.
    #[must_use]
    pub fn bridges_silence(&self, stale_ms: u64, now: UnixMs) -> bool {
        let since = self.near.as_ref().and_then(|near| near.silent_since);
        stale_ms > 0 && since.is_none_or(|since| now.saturating_sub(since) <= stale_ms)
    }

    /// Counts a read that was answered by what nobody could confirm.
    pub fn served_stale(&mut self) {
        if let Some(near) = &mut self.near {
            near.stats.stale += 1;
        }
    }

    /// What the tier side has counted, if there is one.
    #[must_use]
    pub fn near_stats(&self) -> Option<NearStats> {
        self.near.as_ref().map(|near| NearStats {
            pending: near.pending.len(),
            kept: near.kept.len(),
            kept_bytes: near.kept.bytes(),
            ..near.stats
        })
    }
}
