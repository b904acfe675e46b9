//! What a store must know when a second tier stands behind its first database.
//!
//! The tier is another truth, reached late and sometimes not at all. Three questions follow, and
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
//!
//! Pure, like the rest of the store. Keys are known by a hash of 64 bits: a collision makes a
//! key pending that is not, and costs a question.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::admission::Demand;
use super::slot::Slot;
use super::{Event, Key, Limit, Refusal, Store};
use crate::clock::UnixMs;
use crate::journal::{Lsn, Record, Records};

/// The database that has a tier.
pub const TIERED: u8 = 0;

/// Keys are revalidated in so many groups, one after the other, so that they do not all come due
/// at once.
const GROUPS: usize = 16;
/// Entries that lag behind their group's epoch by this much are suspect; by one, due.
const SUSPECT: u8 = 2;
/// Epochs are counted up to here; then every entry is tagged anew.
const LAST_EPOCH: u8 = 250;
/// The tag of an answer that was overtaken on its way: whoever asked began before that and may use
/// it, and to everybody else it is as if nothing were there.
const OVERTAKEN: u8 = u8::MAX;
/// Writes that may be pending one by one. Beyond, everything up to the newest counts as pending.
pub const MAX_PENDING: usize = if cfg!(test) { 1 << 10 } else { 1 << 18 };
/// Changes that are remembered for answers under way.
const MAX_RECENT: usize = 1 << 14;
/// Keys that are remembered as absent.
const MAX_NEGATIVE: usize = 1 << 16;

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

/// What must be true before the tier is asked about a key, and what its answer is measured by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The tier must have acknowledged this LSN.
    pub after: Lsn,
    /// How many changes there had been.
    pub seq: u64,
    /// Which of them was the key's last: a question from before it tells of what was.
    pub changed: u64,
}

impl Ticket {
    /// Whether an answer to a question with this ticket answers one with `later`, too.
    #[must_use]
    pub const fn answers(&self, later: &Self) -> bool {
        self.after >= later.after && self.seq >= later.changed
    }
}

/// Counters of a store's tier side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NearStats {
    /// Values taken over from the tier.
    pub fills: u64,
    /// Reads answered by suspect entries, because the tier could not be asked.
    pub stale: u64,
    /// Entries that somebody else's change removed.
    pub invalidated: u64,
    /// Gaps in the invalidations.
    pub gaps: u64,
    /// Writes that the tier has not acknowledged.
    pub pending: u64,
}

/// A write that the tier lacks.
#[derive(Debug, Clone, Copy)]
struct Pending {
    lsn: Lsn,
    deleted: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Near {
    hasher: RandomState,
    epochs: [u8; GROUPS],
    /// The group that is next to come due, and when the last one did.
    next: usize,
    aged_at: UnixMs,
    acknowledged: Lsn,
    /// Everything up to here counts as pending, whatever the key.
    floor: Lsn,
    pending: Map<Pending>,
    /// In the order of their LSNs.
    order: VecDeque<(Lsn, u64)>,
    /// Pending without an LSN yet.
    fresh: Vec<u64>,
    /// A change of every key, without an LSN yet.
    sweeping: bool,
    seq: u64,
    recent: Map<u64>,
    recent_order: VecDeque<(u64, u64)>,
    /// Changes up to this one are forgotten: an answer to an older question is doubtful.
    forgotten: u64,
    /// Until when a key is known to be absent.
    negative: Map<UnixMs>,
    gap_at: UnixMs,
    stats: NearStats,
}

impl Near {
    fn new(floor: Lsn, now: UnixMs) -> Self {
        Self {
            hasher: RandomState::default(),
            // What is there already came from somewhere else, a while ago.
            epochs: [SUSPECT; GROUPS],
            next: 0,
            aged_at: now,
            acknowledged: 0,
            floor,
            pending: Map::default(),
            order: VecDeque::new(),
            fresh: Vec::new(),
            sweeping: false,
            seq: 0,
            recent: Map::default(),
            recent_order: VecDeque::new(),
            forgotten: 0,
            negative: Map::default(),
            gap_at: now,
            stats: NearStats::default(),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn epoch(&self, hash: u64) -> u8 {
        self.epochs[hash as usize % GROUPS]
    }

    /// Remembers that a key changed.
    fn note_change(&mut self, hash: u64) {
        self.seq += 1;
        self.recent.insert(hash, self.seq);
        self.recent_order.push_back((self.seq, hash));
        self.negative.remove(&hash);
        if self.recent_order.len() > MAX_RECENT
            && let Some((seq, hash)) = self.recent_order.pop_front()
        {
            self.forgotten = seq;
            if self.recent.get(&hash) == Some(&seq) {
                self.recent.remove(&hash);
            }
        }
    }

    /// Remembers that any key may have changed.
    fn note_all(&mut self) {
        self.seq += 1;
        self.forgotten = self.seq;
        self.recent.clear();
        self.recent_order.clear();
        self.negative.clear();
    }

    fn changed_since(&self, hash: u64, seq: u64) -> bool {
        self.forgotten > seq || self.recent.get(&hash).is_some_and(|at| *at > seq)
    }

    fn pend(&mut self, key: &[u8], deleted: bool) {
        let hash = self.hash(key);
        self.note_change(hash);
        self.pending.insert(hash, Pending { lsn: Lsn::MAX, deleted });
        self.fresh.push(hash);
    }

    /// Everything is pending up to the LSN that comes next.
    fn pend_all(&mut self) {
        self.note_all();
        self.pending.clear();
        self.order.clear();
        self.fresh.clear();
        self.sweeping = true;
    }

    /// What happened since the last call has this LSN.
    fn stamp(&mut self, lsn: Lsn) {
        if std::mem::take(&mut self.sweeping) {
            self.floor = self.floor.max(lsn);
        }
        for hash in self.fresh.drain(..) {
            if let Some(pending) = self.pending.get_mut(&hash) {
                pending.lsn = lsn;
                self.order.push_back((lsn, hash));
            }
        }
        if self.order.len() > MAX_PENDING {
            self.pending.clear();
            self.order.clear();
            self.floor = self.floor.max(lsn);
        }
    }

    fn acknowledge(&mut self, lsn: Lsn) {
        self.acknowledged = self.acknowledged.max(lsn);
        while let Some(&(at, hash)) = self.order.front()
            && at <= self.acknowledged
        {
            self.order.pop_front();
            // Written again meanwhile: that one is still pending.
            if self.pending.get(&hash).is_some_and(|p| p.lsn <= self.acknowledged) {
                self.pending.remove(&hash);
            }
        }
    }

    /// The LSN that must be acknowledged before the tier is asked.
    fn after(&self, hash: u64) -> Lsn {
        if self.sweeping {
            return Lsn::MAX;
        }
        let own = self.pending.get(&hash).map_or(0, |p| p.lsn);
        let floor = if self.acknowledged < self.floor { self.floor } else { 0 };
        own.max(floor)
    }
}

// === what a store is told ===

impl Store {
    /// From now on there is a tier. It may lack everything up to `floor`.
    pub fn attach_tier(&mut self, floor: Lsn, now: UnixMs) {
        if self.near.is_none() {
            self.near = Some(Box::new(Near::new(floor, now)));
        }
    }

    /// Takes in which keys the effects concern, before they are handed over: they are pending
    /// from now on. [`Store::stamp_effects`] follows, once they have their LSN.
    pub fn mark_effects(&mut self) {
        let Some(near) = &mut self.near else { return };
        for record in Records::new(self.effects.as_bytes()).flatten() {
            match record {
                Record::Set { db: TIERED, key, .. } | Record::Expire { db: TIERED, key, .. } => {
                    near.pend(key, false);
                }
                Record::Delete { db: TIERED, key } => near.pend(key, true),
                // The tier still has what was evicted; whole databases say so themselves.
                _ => {}
            }
        }
    }

    /// What was marked has this LSN.
    pub fn stamp_effects(&mut self, lsn: Lsn) {
        if let Some(near) = &mut self.near {
            near.stamp(lsn);
        }
    }

    /// The whole database has changed; the record of that may be among another store's effects.
    pub(super) fn mark_all(&mut self) {
        if let Some(near) = &mut self.near {
            near.pend_all();
        }
    }

    /// The tier has every write up to `lsn`.
    pub fn acknowledge(&mut self, lsn: Lsn) {
        if let Some(near) = &mut self.near {
            near.acknowledge(lsn);
            near.stats.pending = near.pending.len() as u64;
        }
    }

    /// Somebody else changed a key in the tier. An entry that the tier lacks stays: it is newer.
    /// Whether an entry was removed.
    pub fn changed_behind(&mut self, key: Key<'_>) -> bool {
        let Some(near) = &mut self.near else { return false };
        let hash = near.hash(key.bytes);
        near.note_change(hash);
        // Ours may be the newer one, or theirs, if the tier had ours already and we do not know
        // it yet: once the tier has everything it will say which.
        let ours = near.pending.contains_key(&hash) || near.acknowledged < near.floor;
        let epoch = near.epoch(hash);
        let Some(slot) = self.locate(TIERED, key) else {
            // A client that was told that there is none may have kept that.
            self.notices.add(Event::CHANGED, TIERED, Some(key.bytes));
            return false;
        };
        if ours {
            self.slab.at_mut(slot).tag = epoch.wrapping_sub(SUSPECT);
            return false;
        }
        self.drop_slot(slot);
        if let Some(near) = &mut self.near {
            near.stats.invalidated += 1;
        }
        true
    }

    /// Everything in memory that the tier does not lack is suspect: invalidations may have been
    /// missed, or somebody flushed it.
    pub fn gap_behind(&mut self, now: UnixMs) {
        let Some(near) = &mut self.near else { return };
        near.note_all();
        near.gap_at = now;
        near.stats.gaps += 1;
        self.advance(0..GROUPS, SUSPECT);
    }

    /// Has groups of keys come due, as many as it is time for: each does once in `every_ms`. What
    /// came due the time before and was not asked for since is suspect then.
    pub fn age(&mut self, every_ms: u64, now: UnixMs) {
        let Some(near) = &mut self.near else { return };
        let step = (every_ms / GROUPS as u64).max(1);
        // Also if the clock went back, or the time between was shortened.
        let times = now.abs_diff(near.aged_at) / step;
        if times == 0 {
            return;
        }
        // However seldom this is called, nothing is believed for longer than twice `every_ms`.
        let most = GROUPS as u64 * u64::from(SUSPECT);
        near.aged_at = match times {
            times if times < most && now > near.aged_at => near.aged_at + times * step,
            _ => now,
        };
        for _ in 0..times.min(most) {
            let Some(near) = &mut self.near else { return };
            let group = near.next;
            near.next = (group + 1) % GROUPS;
            self.advance(group..group + 1, 1);
        }
    }

    fn advance(&mut self, groups: std::ops::Range<usize>, by: u8) {
        let Some(near) = &mut self.near else { return };
        if near.epochs[groups.clone()].iter().any(|epoch| *epoch > LAST_EPOCH - SUSPECT) {
            // Once in a long while: everything lags behind by what it lagged, counted anew.
            let (epochs, hasher) = (near.epochs, near.hasher.clone());
            near.epochs = [SUSPECT; GROUPS];
            self.slab.for_each_mut(|slot: &mut Slot| {
                if slot.tag == OVERTAKEN {
                    return;
                }
                let epoch = epochs[hasher.hash_one(slot.key()) as usize % GROUPS];
                slot.tag = SUSPECT - epoch.wrapping_sub(slot.tag).min(SUSPECT);
            });
        }
        if let Some(near) = &mut self.near {
            for epoch in &mut near.epochs[groups] {
                *epoch += by;
            }
        }
    }

    /// What the tier side has counted, if there is one.
    #[must_use]
    pub fn near_stats(&self) -> Option<NearStats> {
        self.near
            .as_ref()
            .map(|near| NearStats { pending: near.pending.len() as u64, ..near.stats })
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
        let pending = near.pending.get(&hash);
        match live {
            Some(_) if pending.is_some() => Standing::Fresh,
            Some(place) if place.tag == OVERTAKEN => Standing::Missing,
            Some(place) => match near.epoch(hash).wrapping_sub(place.tag) {
                0 => Standing::Fresh,
                1 => Standing::Due,
                _ => Standing::Suspect,
            },
            None if pending.is_some_and(|pending| pending.deleted) => Standing::Gone,
            None if near.negative.get(&hash).is_some_and(|until| *until > now) => Standing::Gone,
            None => Standing::Missing,
        }
    }

    /// What a question about this key needs.
    #[must_use]
    pub fn ticket(&self, key: Key<'_>) -> Ticket {
        let Some(near) = &self.near else { return Ticket::default() };
        let hash = near.hash(key.bytes);
        let changed = near.recent.get(&hash).copied().unwrap_or(near.forgotten);
        Ticket { after: near.after(hash), seq: near.seq, changed }
    }

    /// A ticket for whatever key: what must be acknowledged before the tier is asked about keys of
    /// which nothing is pending, and how many changes there have been.
    #[must_use]
    pub fn any_ticket(&self) -> Ticket {
        let Some(near) = &self.near else { return Ticket::default() };
        let after = if near.acknowledged < near.floor { near.floor } else { 0 };
        Ticket { after, seq: near.seq, changed: near.seq }
    }

    /// When invalidations were last interrupted.
    #[must_use]
    pub fn gap_at(&self) -> UnixMs {
        self.near.as_ref().map_or(0, |near| near.gap_at)
    }

    /// Counts a read that was answered by a suspect entry.
    pub fn served_stale(&mut self) {
        if let Some(near) = &mut self.near {
            near.stats.stale += 1;
        }
    }

    /// Takes over what the tier holds for a key, unless there is something newer here. Leaves no
    /// effect: the tier has it. Others make room, and that is in the effects.
    ///
    /// # Errors
    /// [`Refusal::OutOfMemory`] or [`Refusal::TooLarge`]: it does not fit.
    pub fn fill(
        &mut self,
        key: Key<'_>,
        value: &[u8],
        expires_at: Option<UnixMs>,
        asked: Ticket,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let Some(near) = &self.near else { return Ok(()) };
        let hash = near.hash(key.bytes);
        // Asked for when the tier lacked something that may concern this key.
        if near.after(hash) > asked.after {
            return Ok(());
        }
        let doubtful = near.changed_since(hash, asked.seq);
        let tag = if doubtful { OVERTAKEN } else { near.epoch(hash) };
        let found = self.locate(TIERED, key);
        if found.is_some() && doubtful {
            return Ok(());
        }
        if expires_at.is_some_and(|at| at <= now) {
            self.forget(key);
            return Ok(());
        }
        // The same again only counts as confirmed: nobody who watches it is told of a change.
        if let Some(slot) = found
            && self.slab.at(slot).value() == value
        {
            self.committing = true;
            self.set_expiry(slot, expires_at.unwrap_or(0), now);
            self.slab.at_mut(slot).tag = tag;
            self.committing = false;
        } else {
            self.forget(key);
            self.fill_new(key, value, expires_at, tag, now)?;
        }
        if let Some(near) = &mut self.near {
            near.stats.fills += 1;
            near.negative.remove(&hash);
        }
        Ok(())
    }

    fn fill_new(
        &mut self,
        key: Key<'_>,
        value: &[u8],
        expires_at: Option<UnixMs>,
        tag: u8,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let physical = self.physical_of(TIERED)?;
        let len = key.bytes.len().saturating_add(value.len());
        let demand = Demand { added: len as u64, freed: 0, fresh: Some(physical), keep: None };
        self.admit(&demand, now)?;
        let mut block = Vec::with_capacity(len);
        block.extend_from_slice(key.bytes);
        block.extend_from_slice(value);
        // Admission has seen that both lengths fit.
        let (key_len, block) = (key.bytes.len() as u32, (block.into_boxed_slice(), len as u32));
        self.committing = true;
        let inserted = self.insert_block(physical, key.table_hash(), key_len, block);
        if let Ok(slot) = inserted {
            self.slab.at_mut(slot).tag = tag;
            self.set_expiry(slot, expires_at.unwrap_or(0), now);
            self.touch_slot(slot, now);
        }
        self.committing = false;
        inserted.map(|_| ()).map_err(|_| Refusal::OutOfMemory(Limit::Entries))
    }

    /// The tier has no such key. An entry here goes, unless it is newer; with `until`, the key
    /// is known to be absent for that long.
    pub fn absent_behind(&mut self, key: Key<'_>, asked: Ticket, until: Option<UnixMs>) {
        let Some(near) = &mut self.near else { return };
        let hash = near.hash(key.bytes);
        if near.after(hash) > asked.after || near.changed_since(hash, asked.seq) {
            return;
        }
        if let Some(until) = until {
            if near.negative.len() >= MAX_NEGATIVE {
                near.negative.clear();
            }
            near.negative.insert(hash, until);
        }
        self.forget(key);
    }

    /// Drops an entry that nobody could confirm for too long. The tier has it.
    pub fn forget_suspect(&mut self, key: Key<'_>) {
        let suspect = self.near.as_ref().is_some_and(|near| {
            let hash = near.hash(key.bytes);
            let lags = |slot: u32| near.epoch(hash).wrapping_sub(self.slab.at(slot).tag) >= SUSPECT;
            !near.pending.contains_key(&hash) && self.locate(TIERED, key).is_some_and(lags)
        });
        if suspect {
            self.forget(key);
        }
    }

    /// Drops an entry without a trace in the effects.
    fn forget(&mut self, key: Key<'_>) {
        if let Some(slot) = self.locate(TIERED, key) {
            self.drop_slot(slot);
        }
    }

    /// Those who watch it are told: it is not what it was.
    fn drop_slot(&mut self, slot: u32) {
        self.committing = true;
        self.detach(slot);
        self.committing = false;
    }

    /// Deletes a key of which nobody knows whether the tier has it: the deletion is an effect
    /// even if there is nothing here.
    pub fn bury(&mut self, key: Key<'_>, now: UnixMs) {
        if !self.remove(TIERED, key, now) {
            self.effects.push(&Record::Delete { db: TIERED, key: key.bytes });
        }
    }

    /// A write of ours: to be believed.
    #[inline]
    pub(super) fn tag_as_ours(&mut self, slot: u32) {
        if let Some(near) = &self.near {
            let epoch = near.epoch(near.hash(self.slab.at(slot).key()));
            self.slab.at_mut(slot).tag = epoch;
        }
    }
}
