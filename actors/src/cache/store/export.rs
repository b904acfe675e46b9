//! Going through everything a store holds, piece by piece, while it goes on changing.
//!
//! The walk is by slot, and a slot stays while its entry lives: an entry that is there from the
//! walk's beginning to its end is exported exactly once. Whatever changes meanwhile is exported
//! as it was before or after, or not at all; the effects of the change tell the rest. All effects
//! but one say what the state *became*, so that applying those behind the walk's beginning to
//! what was exported leads to the state at the walk's end. SWAPDB says what was *done*, and
//! applied twice it is undone: it ends every walk that is under way. So does a rollback that
//! brings entries back, for they may have moved without any effect.

use super::Store;
use super::slab::CHUNK;
use super::slot::FREE;
use crate::journal::{Record, RecordBatch};

/// Where one piece ends, whichever comes first. A single entry may be larger than `bytes`.
#[derive(Debug, Clone, Copy)]
pub struct ExportLimits {
    /// Slots looked at, in use or not.
    pub slots: u64,
    /// Entries exported.
    pub entries: u32,
    /// Bytes of records.
    pub bytes: usize,
}

impl Default for ExportLimits {
    /// A piece that takes some tens of microseconds.
    fn default() -> Self {
        Self { slots: 4096, entries: 256, bytes: 64 << 10 }
    }
}

/// The walk has ended: SWAPDB was executed, a deletion was taken back, another walk has begun, or the store is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the walk through the store has to begin anew")]
pub struct WalkEnded;

impl Store {
    /// Begins a walk under a number other than 0 that no other walk has had, and ends the one
    /// before.
    pub const fn begin_export(&mut self, walk: u64) {
        self.export = walk;
    }

    /// Appends the entries from `cursor` on (0: the beginning) to `out`, as SET and FILL records under
    /// the databases' present numbers, and returns the next cursor; `None` at the end. Entries that
    /// have expired go along, with their time: whether it has passed is for the reader to say.
    ///
    /// # Errors
    /// [`WalkEnded`]; what was exported under this number is of no use then.
    pub fn export(
        &mut self,
        walk: u64,
        cursor: u64,
        limits: ExportLimits,
        out: &mut RecordBatch,
    ) -> Result<Option<u64>, WalkEnded> {
        if self.export != walk {
            return Err(WalkEnded);
        }
        let (mut at, mut looked) = (cursor, 0);
        let count = out.count();
        while at < self.slab.end() {
            let full =
                out.count() - count >= limits.entries || out.as_bytes().len() >= limits.bytes;
            if looked >= limits.slots || full {
                return Ok(Some(at));
            }
            let slot = at as u32;
            let Some(chunk) = self.slab.chunk(slot) else {
                at = (at | (CHUNK as u64 - 1)) + 1;
                looked += 1;
                continue;
            };
            (at, looked) = (at + 1, looked + 1);
            let place = &chunk[slot as usize % CHUNK];
            // What was overtaken on its way is there for whoever asked, and for nobody later.
            if place.db != FREE && !self.is_overtaken(slot) {
                let db = self.logical[usize::from(place.db)];
                let (key, value, expires_at) = (place.key(), place.value(), place.expiry());
                out.push(&match self.is_from_tier(slot) {
                    true => Record::Fill { db, key, value, expires_at },
                    false => Record::Set { db, key, value, expires_at },
                });
                // Whoever reads it back has the entry from there.
                self.slab.set_unlogged(slot, false);
            }
        }
        Ok(None)
    }
}
