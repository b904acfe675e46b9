//! Writes of ours that the tier lacks.

use std::collections::VecDeque;

use super::Map;
use crate::journal::Lsn;

/// Writes that may be pending one by one. Beyond, everything up to the newest counts as pending.
pub const MAX_PENDING: usize = if cfg!(test) { 1 << 10 } else { 1 << 18 };

/// A write that the tier lacks.
#[derive(Debug, Clone, Copy)]
struct Write {
    /// [`Lsn::MAX`] until it has one.
    lsn: Lsn,
    outcome: Outcome,
}

/// What a write that the tier lacks says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a value.
    Written,
    /// There is none.
    Deleted,
    /// Nothing: the tier has run a command on the key at the same time, before or after it.
    Crossed,
}

/// All of them, by the hash of the key.
#[derive(Debug)]
pub(super) struct Pending {
    acknowledged: Lsn,
    /// Everything up to here counts as pending, whatever the key.
    floor: Lsn,
    writes: Map<Write>,
    /// In the order of their LSNs.
    order: VecDeque<(Lsn, u64)>,
    /// Without an LSN yet.
    fresh: Vec<u64>,
    /// A change of every key, without an LSN yet.
    sweeping: bool,
}

impl Pending {
    pub fn new(floor: Lsn) -> Self {
        Self {
            acknowledged: 0,
            floor,
            writes: Map::default(),
            order: VecDeque::new(),
            fresh: Vec::new(),
            sweeping: false,
        }
    }

    pub fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    /// What a write of the key says that is pending.
    pub fn of(&self, hash: u64) -> Option<Outcome> {
        self.writes.get(&hash).map(|write| write.outcome)
    }

    /// The tier has run a command on the key while a write of it was pending; `false` if none is.
    pub fn cross(&mut self, hash: u64) -> bool {
        let write = self.writes.get_mut(&hash);
        write.map(|write| write.outcome = Outcome::Crossed).is_some()
    }

    /// The tier has both, and has said what the key holds now.
    pub fn uncross(&mut self, hash: u64) {
        if let Some(write) = self.writes.get_mut(&hash).filter(|w| w.outcome == Outcome::Crossed) {
            write.outcome = Outcome::Written;
        }
    }

    /// Whether the tier lacks something that may concern any key.
    pub const fn lags(&self) -> bool {
        self.acknowledged < self.floor
    }

    pub fn add(&mut self, hash: u64, outcome: Outcome) {
        self.writes.insert(hash, Write { lsn: Lsn::MAX, outcome });
        self.fresh.push(hash);
    }

    /// Everything is pending up to the LSN that comes next.
    pub fn add_all(&mut self) {
        self.writes.clear();
        self.order.clear();
        self.fresh.clear();
        self.sweeping = true;
    }

    /// Whether that is so and there is no LSN yet.
    pub const fn is_sweeping(&self) -> bool {
        self.sweeping
    }

    /// What was added since the last call has this LSN.
    pub fn stamp(&mut self, lsn: Lsn) {
        if std::mem::take(&mut self.sweeping) {
            self.floor = self.floor.max(lsn);
        }
        for hash in self.fresh.drain(..) {
            if let Some(write) = self.writes.get_mut(&hash) {
                write.lsn = lsn;
                self.order.push_back((lsn, hash));
            }
        }
        if self.order.len() > MAX_PENDING {
            self.writes.clear();
            self.order.clear();
            self.floor = self.floor.max(lsn);
        }
    }

    /// The tier has everything up to `lsn`.
    pub fn acknowledge(&mut self, lsn: Lsn) {
        self.acknowledged = self.acknowledged.max(lsn);
        while let Some(&(at, hash)) = self.order.front()
            && at <= self.acknowledged
        {
            self.order.pop_front();
            // Written again meanwhile: that one is still pending.
            if self.writes.get(&hash).is_some_and(|write| write.lsn <= self.acknowledged) {
                self.writes.remove(&hash);
            }
        }
    }

    /// The LSN that must be acknowledged before the tier is asked about a key.
    pub fn after(&self, hash: u64) -> Lsn {
        if self.sweeping {
            return Lsn::MAX;
        }
        self.writes.get(&hash).map_or(0, |write| write.lsn).max(self.after_any())
    }

    const fn after_any(&self) -> Lsn {
        if self.lags() { self.floor } else { 0 }
    }

    /// The LSN that must be acknowledged before the tier is asked about whatever keys.
    pub fn after_all(&self) -> Lsn {
        if self.sweeping || !self.fresh.is_empty() {
            return Lsn::MAX;
        }
        self.order.back().map_or(0, |(lsn, _)| *lsn).max(self.after_any())
    }
}
