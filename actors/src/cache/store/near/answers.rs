//! What the tier answered, put in place unless there is something newer here. None of it is an
//! effect: the tier has it. Nor is that it goes again, since the log has never heard of it; what the
//! log does have of a key that goes is evicted there, too, so that it never comes back.

use super::epochs::OVERTAKEN;
use super::{Belief, Near, Origin, TIERED, Ticket};
use crate::cache::store::admission::Demand;
use crate::cache::store::{Key, Limit, Refusal, Store};
use crate::clock::UnixMs;
use crate::journal::Record;

/// Keys that are remembered as absent.
const MAX_NEGATIVE: usize = 1 << 16;

impl Near {
    /// Whether an answer comes too late: the key has changed since the tier was asked, or the tier
    /// lacked something then.
    fn is_outdated(&self, hash: u64, asked: Ticket) -> bool {
        self.pending.after(hash) > asked.after || self.changes.since(hash, asked.seq)
    }
}

impl Store {
    /// Whether the key has changed, here or there, since the tier was asked, or the tier lacked a
    /// write of ours then: its answer tells of what was.
    #[must_use]
    pub fn has_overtaken(&self, key: Key<'_>, asked: Ticket) -> bool {
        let near = self.near.as_ref();
        near.is_some_and(|near| near.is_outdated(near.hash(key.bytes), asked))
    }

    /// Takes over what the tier holds for a key, unless there is something newer here. What the
    /// log has of the key, and of others that make room, is evicted in the effects.
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
        let Some(near) = &mut self.near else { return Ok(()) };
        near.silent_since = None;
        let hash = near.hash(key.bytes);
        // Asked for when the tier lacked something that may concern this key.
        if near.pending.after(hash) > asked.after {
            return Ok(());
        }
        let overtaken = near.changes.since(hash, asked.seq);
        let tag = if overtaken { OVERTAKEN } else { near.epochs.confirmed(hash) };
        let theirs = expires_at.unwrap_or(0);
        let at = near.shortened(hash, theirs, now);
        let found = self.locate(TIERED, key);
        let counts = |slot: u32| self.slab.at(slot).tag != OVERTAKEN;
        if overtaken && found.is_some_and(counts) {
            return Ok(());
        }
        if expires_at.is_some_and(|at| at <= now) {
            // Where it has expired here as well, that is what has become of it.
            if self.find_live(TIERED, key, now).is_some() {
                self.forget(key);
            }
            return Ok(());
        }
        // The same again only counts as confirmed: nobody who watches it is told of a change.
        if let Some(slot) = found
            && self.slab.at(slot).value() == value
        {
            // What was written here has the time that it was given here.
            let ours = !self.slab.at(slot).origin().is_tier();
            self.committing = true;
            self.set_expiry(slot, if ours { theirs } else { at }, now);
            let place = self.slab.at_mut(slot);
            place.tag = tag;
            if !ours {
                place.set_origin(Origin::living(at.saturating_sub(now)));
            }
            self.committing = false;
        } else {
            self.forget(key);
            self.fill_new(key, value, at, tag, now)?;
        }
        if let Some(near) = &mut self.near {
            near.stats.fills += 1;
            near.negative.remove(&hash);
            if !overtaken {
                near.pending.uncross(hash);
            }
        }
        Ok(())
    }

    fn fill_new(
        &mut self,
        key: Key<'_>,
        value: &[u8],
        at: UnixMs,
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
            let place = self.slab.at_mut(slot);
            place.tag = tag;
            place.set_origin(Origin::living(at.saturating_sub(now)));
            self.slab.set_unlogged(slot, true);
            self.set_expiry(slot, at, now);
            self.touch_slot(slot, now);
        }
        self.committing = false;
        inserted.map(|_| ()).map_err(|_| Refusal::OutOfMemory(Limit::Entries))
    }

    /// The tier has no such key. An entry here goes, unless it is newer; with `until`, the key
    /// is known to be absent for that long.
    pub fn absent_behind(&mut self, key: Key<'_>, asked: Ticket, until: Option<UnixMs>) {
        // What is kept is older than any question, and has ended even if there is a value again.
        self.drop_kept_of(key.bytes);
        let Some(near) = &mut self.near else { return };
        near.silent_since = None;
        let hash = near.hash(key.bytes);
        if near.is_outdated(hash, asked) {
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

    /// The tier was to be asked and did not answer. What it cannot confirm may be served for a
    /// while from the first time on.
    pub fn unanswered(&mut self, now: UnixMs) {
        if let Some(near) = &mut self.near {
            // Not later than now, if the clock went back.
            near.silent_since = Some(near.silent_since.map_or(now, |since| since.min(now)));
        }
    }

    /// Drops an entry that nobody could confirm for too long. The tier has it.
    pub fn forget_suspect(&mut self, key: Key<'_>) {
        let suspect = self.near.as_ref().is_some_and(|near| {
            let hash = near.hash(key.bytes);
            let belief = |slot: u32| near.epochs.belief(hash, self.slab.at(slot).tag);
            let doubted = |slot| matches!(belief(slot), Belief::Suspect | Belief::Overtaken);
            near.pending.of(hash).is_none() && self.locate(TIERED, key).is_some_and(doubted)
        });
        if suspect {
            self.forget(key);
        }
    }

    /// Drops an entry, if there is one.
    fn forget(&mut self, key: Key<'_>) {
        if let Some(slot) = self.locate(TIERED, key) {
            self.drop_slot(slot);
        } else {
            self.drop_kept_of(key.bytes);
        }
    }

    /// Those who watch it are told: it is not what it was. But not of one that had been overtaken: they
    /// were told of what has overtaken it, or came later.
    pub(super) fn drop_slot(&mut self, slot: u32) {
        self.committing = true;
        if !self.slab.is_unlogged(slot) {
            let place = self.slab.at(slot);
            self.effects.push(&Record::Evict { db: TIERED, key: place.key() });
        }
        if self.slab.at(slot).tag == OVERTAKEN {
            self.part_with(slot);
        } else {
            self.detach(slot);
        }
        self.committing = false;
    }

    /// Deletes a key of which nobody knows whether the tier has it: the deletion is an effect
    /// even if there is nothing here.
    pub fn bury(&mut self, key: Key<'_>, now: UnixMs) {
        if !self.remove(TIERED, key, now) {
            self.drop_kept_of(key.bytes);
            self.tell_watchers(key);
            self.effects.push(&Record::Delete { db: TIERED, key: key.bytes });
        }
    }
}
