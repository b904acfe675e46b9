//! Keys that the tier is changing for clients of ours, by commands that it runs itself.
//!
//! Such a command takes a round trip, and what it makes of a key is known when it is over. A write
//! that builds upon what memory has of the key meanwhile would undo it: it has to be run by the tier
//! as well, which does one after the other. A write that does not (SET) goes its own way, and the tier
//! may get it first, or last: what it left in memory is asked for, once the tier has it.

use super::epochs::OVERTAKEN;
use super::{Map, TIERED};
use crate::cache::store::{Key, Store};
use crate::clock::UnixMs;

/// Above so many keys those are looked for whose end was never told.
const MANY: usize = 4096;

/// Commands under way on a key.
#[derive(Debug, Clone, Copy)]
struct Passage {
    count: u32,
    /// When all of them are over, even if nobody says so.
    until: UnixMs,
}

/// All of them, by the hash that routes the key. Bounded by who sends: a client has a command, or what
/// it sent at once, under way.
#[derive(Debug, Default)]
pub(super) struct Passages {
    keys: Map<Passage>,
}

impl Passages {
    fn begin(&mut self, hash: u64, until: UnixMs, now: UnixMs) {
        if self.keys.len() >= MANY {
            self.keys.retain(|_, passage| passage.until > now);
        }
        let passage = self.keys.entry(hash).or_insert(Passage { count: 0, until });
        if passage.until <= now {
            passage.count = 0;
        }
        passage.count = passage.count.saturating_add(1);
        passage.until = passage.until.max(until);
    }

    fn end(&mut self, hash: u64) {
        if let Some(passage) = self.keys.get_mut(&hash) {
            passage.count = passage.count.saturating_sub(1);
            if passage.count == 0 {
                self.keys.remove(&hash);
            }
        }
    }

    fn is_under_way(&self, hash: u64, now: UnixMs) -> bool {
        self.keys.get(&hash).is_some_and(|passage| passage.until > now)
    }
}

impl Store {
    /// The tier is about to run a command that may change the key of this hash. It is over at `until`
    /// at the latest; [`Store::end_passage`] says so sooner.
    pub fn begin_passage(&mut self, hash: u64, until: UnixMs, now: UnixMs) {
        if let Some(near) = &mut self.near {
            near.passages.begin(hash, until, now);
        }
    }

    /// It is over, and what it may have changed has been told. If it was `executed`, or may have been,
    /// nobody knows whether the tier had a write of ours before that is still on its way: what that has
    /// left here is nothing that counts.
    pub fn end_passage(&mut self, key: Key<'_>, executed: bool) {
        let Some(near) = &mut self.near else { return };
        near.passages.end(key.hash);
        let hash = near.hash(key.bytes);
        if executed
            && near.pending.cross(hash)
            && let Some(slot) = self.locate(TIERED, key)
        {
            self.slab.at_mut(slot).tag = OVERTAKEN;
        }
    }

    /// Whether the tier is running a command that may change the key of this hash.
    #[inline]
    #[must_use]
    pub fn is_in_passage(&self, hash: u64, now: UnixMs) -> bool {
        self.near.as_ref().is_some_and(|near| near.passages.is_under_way(hash, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_under_way_until_the_last_command_ends_or_its_time_is_over() {
        let mut passages = Passages::default();
        passages.begin(7, 100, 10);
        passages.begin(7, 120, 20);
        passages.end(7);
        assert!(passages.is_under_way(7, 119) && !passages.is_under_way(8, 50));
        assert!(!passages.is_under_way(7, 120), "the end of one was never told");
        // What was never told counts no more.
        passages.begin(7, 300, 200);
        passages.end(7);
        assert!(!passages.is_under_way(7, 210) && passages.keys.is_empty());
        passages.end(7);
    }

    #[test]
    fn ends_that_are_never_told_take_up_no_room_for_long() {
        let mut passages = Passages::default();
        for n in 0..3 * MANY as u64 {
            passages.begin(n, n + 10, n);
        }
        assert!(passages.keys.len() <= MANY);
    }
}
