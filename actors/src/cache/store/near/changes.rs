//! Which keys changed lately, here or in the tier: an answer that crossed a change on its way
//! tells of what was.

use std::collections::VecDeque;

use super::Map;
use crate::journal::Lsn;

/// Changes that are remembered for answers under way.
const MAX_RECENT: usize = 1 << 14;

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

/// Changes, counted.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: u64,
    /// The last one of a key, by its hash.
    recent: Map<u64>,
    order: VecDeque<(u64, u64)>,
    /// Changes up to this one are forgotten: an answer to an older question is doubtful.
    forgotten: u64,
}

impl Changes {
    /// Counts on from here: an answer to whatever was asked before is doubtful.
    pub fn after(count: u64) -> Self {
        Self { count, forgotten: count, ..Self::default() }
    }

    /// A key changed.
    pub fn note(&mut self, hash: u64) {
        self.count += 1;
        self.recent.insert(hash, self.count);
        self.order.push_back((self.count, hash));
        if self.order.len() > MAX_RECENT
            && let Some((seq, hash)) = self.order.pop_front()
        {
            self.forgotten = seq;
            if self.recent.get(&hash) == Some(&seq) {
                self.recent.remove(&hash);
            }
        }
    }

    /// Any key may have changed.
    pub fn note_all(&mut self) {
        self.count += 1;
        self.forgotten = self.count;
        self.recent.clear();
        self.order.clear();
    }

    /// How many there have been.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The key's last one, or one that may have been.
    pub fn last_of(&self, hash: u64) -> u64 {
        self.recent.get(&hash).copied().unwrap_or(self.forgotten)
    }

    /// Whether the key may have changed since there had been `seq` changes.
    pub fn since(&self, hash: u64, seq: u64) -> bool {
        self.forgotten > seq || self.recent.get(&hash).is_some_and(|at| *at > seq)
    }
}
