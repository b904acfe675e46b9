//! What was taken, and what was left out for which reason.

use std::collections::BTreeMap;

use super::admission::Reason;
use crate::interchange::rdb::Kind;

/// Bytes of a key that an example shows.
const SHOWN: usize = 60;

/// Counts of everything in a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys taken, by database.
    pub by_database: BTreeMap<u8, u64>,
    /// Keys whose time had passed.
    pub expired: u64,
    /// What is not held here.
    pub others: BTreeMap<Kind, u64>,
    /// What could be held and is not let in.
    pub left_out: BTreeMap<Reason, LeftOut>,
}

/// Keys left out for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// The first of them, shortened, with what is not printable escaped.
    pub example: String,
    /// Why that one was.
    pub why: String,
}

impl Tally {
    /// Keys taken.
    #[must_use]
    pub fn imported(&self) -> u64 {
        self.by_database.values().sum()
    }

    pub(super) fn count_imported(&mut self, db: u8) {
        *self.by_database.entry(db).or_default() += 1;
    }

    pub(super) fn count_other(&mut self, kind: Kind) {
        *self.others.entry(kind).or_default() += 1;
    }

    pub(super) fn count_left_out(&mut self, reason: Reason, key: &[u8], why: String) {
        let left_out = self.left_out.entry(reason).or_insert_with(|| {
            let shown = key.get(..SHOWN).unwrap_or(key).escape_ascii();
            let more = if key.len() > SHOWN { "…" } else { "" };
            LeftOut { count: 0, example: format!("\"{shown}{more}\""), why }
        });
        left_out.count += 1;
    }
}
