//! How many changes by others may wait for a shard. Its mailbox is unbounded, so they are counted
//! here; what is too much becomes one word: that anything may have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Keys that may wait for one shard. Handling them takes it some ten milliseconds.
pub const MAX_WAITING: usize = if cfg!(test) { 8 } else { 1 << 16 };

/// What waits for one shard.
#[derive(Debug, Default)]
pub struct Backlog {
    keys: AtomicUsize,
    gap: AtomicBool,
}

/// Whether changes may be sent to the shard.
#[derive(Debug)]
pub enum Admitted {
    /// They may, with this.
    Room(Toll),
    /// They are too many: the shard is to be sent a gap, with this.
    TooMany(GapToll),
    /// A gap waits for the shard already, and stands for them.
    Covered,
}

/// Keys that wait. Dropped when they are handled, or lost with their shard.
#[derive(Debug)]
pub struct Toll {
    backlog: Arc<Backlog>,
    keys: usize,
}

/// A gap that waits. To be dropped *before* it is handled: what comes after it must not count on it.
#[derive(Debug)]
pub struct GapToll(Arc<Backlog>);

impl Backlog {
    /// Asks for room for so many keys.
    pub fn admit(self: &Arc<Self>, keys: usize) -> Admitted {
        if self.gap.load(SeqCst) {
            return Admitted::Covered;
        }
        if self.keys.fetch_add(keys, SeqCst).saturating_add(keys) <= MAX_WAITING {
            return Admitted::Room(Toll { backlog: Arc::clone(self), keys });
        }
        self.keys.fetch_sub(keys, SeqCst);
        if self.gap.swap(true, SeqCst) {
            return Admitted::Covered;
        }
        Admitted::TooMany(GapToll(Arc::clone(self)))
    }
}

impl Drop for Toll {
    fn drop(&mut self) {
        self.backlog.keys.fetch_sub(self.keys, SeqCst);
    }
}

impl Drop for GapToll {
    fn drop(&mut self) {
        self.0.gap.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_and_a_gap_stands_for_what_has_none() {
        let backlog = Arc::new(Backlog::default());
        let room = |keys| match backlog.admit(keys) {
            Admitted::Room(toll) => toll,
            other => panic!("{other:?}"),
        };
        let (one, two) = (room(MAX_WAITING - 1), room(1));
        let Admitted::TooMany(gap) = backlog.admit(1) else { panic!("there is no room") };
        assert!(matches!(backlog.admit(1), Admitted::Covered));
        drop((one, two));
        // There would be room, but order matters: the gap is still to come.
        assert!(matches!(backlog.admit(1), Admitted::Covered));
        drop(gap);
        drop(room(MAX_WAITING));
        assert!(matches!(backlog.admit(MAX_WAITING + 1), Admitted::TooMany(_)));
        drop(room(MAX_WAITING));
    }
}
