//! Whole databases: FLUSHDB, FLUSHALL, SWAPDB.

use super::{Garbage, Refusal, Store, TIERED};
use crate::journal::Record;

impl Store {
    /// Empties a database (`None`: every one). What was in it is returned: dropping that takes
    /// long for a big store. Emptying everything takes constant time per database; emptying one
    /// of several that have keys takes as long as it has keys.
    ///
    /// Leaves one FLUSH in the effects, which means *this database of every shard*: see
    /// [`Store::muted`]. A database that does not exist is empty already.
    pub fn flush(&mut self, db: Option<u8>) -> Garbage {
        self.committing = true;
        if !self.watches.is_empty() {
            self.fire_present(|watched| db.is_none_or(|db| db == watched));
        }
        let mut garbage = Garbage::default();
        let table_len = db.map(|db| self.len(db));
        if table_len.is_none_or(|len| len == self.slab.len()) {
            garbage.tables.extend(self.tables.iter_mut().map(|table| table.take_all()));
            garbage.chunks = self.slab.take_all();
            self.wheel.clear();
            self.policy.clear();
            (self.block_bytes, self.table_bytes) = (0, 0);
        } else if let Some(Ok(physical)) = db.map(|db| self.physical_of(db)) {
            self.flush_one(physical, &mut garbage);
        }
        if db.is_none_or(|db| db == TIERED) {
            garbage.kept = self.mark_all();
        }
        if !self.muted && db.is_none_or(|db| self.physical_of(db).is_ok()) {
            self.effects.push(&Record::Flush { db });
        }
        self.committing = false;
        garbage
    }

    /// Exchanges two databases, in constant time. Leaves one SWAPDB in the effects, which means
    /// *of every shard*: see [`Store::muted`].
    ///
    /// # Errors
    /// [`Refusal::NoSuchDatabase`].
    pub fn swap_db(&mut self, a: u8, b: u8) -> Result<(), Refusal> {
        let (physical_a, physical_b) = (self.physical_of(a)?, self.physical_of(b)?);
        if a == b {
            return Ok(());
        }
        self.committing = true;
        // A watched key changes if it is there before or after.
        if !self.watches.is_empty() {
            self.fire_present(|watched| watched == a || watched == b);
        }
        // What was exported stands under the old numbers.
        self.export = 0;
        self.physical.swap(usize::from(a), usize::from(b));
        self.logical.swap(usize::from(physical_a), usize::from(physical_b));
        if !self.watches.is_empty() {
            self.fire_present(|watched| watched == a || watched == b);
        }
        if a == TIERED || b == TIERED {
            drop(self.mark_all());
        }
        if !self.muted {
            self.effects.push(&Record::SwapDb { a, b });
        }
        self.committing = false;
        Ok(())
    }

    fn flush_one(&mut self, physical: u8, garbage: &mut Garbage) {
        let table = &mut self.tables[usize::from(physical)];
        self.table_bytes -= table.bytes();
        let index = table.take_all();
        for entry in &index {
            self.wheel.cancel(&mut self.slab, entry.slot);
            self.policy.removed(&mut self.slab, entry.slot);
            let block = self.slab.release(entry.slot);
            self.block_bytes -= block.len() as u64;
            garbage.blocks.push(block);
        }
        garbage.tables.push(index);
    }

    /// Tells the watchers of all keys that are there in the databases `concerned`.
    fn fire_present(&mut self, concerned: impl Fn(u8) -> bool) {
        let (tables, physical, slab) = (&self.tables, &self.physical, &self.slab);
        self.watches.fire_where(|db, key, hash| {
            concerned(db)
                && physical.get(usize::from(db)).is_some_and(|&physical| {
                    tables[usize::from(physical)]
                        .find(hash, |slot| slab.at(slot).key() == key)
                        .is_some()
                })
        });
    }
}
