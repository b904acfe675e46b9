//! Who hears what happens to keys.

use super::store::{Kinds, Notices};

/// Hears what happens to keys, from every shard and coordinator. What it does takes the time of
/// whoever tells it: it MUST NOT block.
pub trait Audience: Send + Sync + 'static {
    /// What it wants to hear; asked before each job.
    fn wants(&self) -> Kinds;

    /// Hears what happened, in order, and takes it out. `by` is the number of the
    /// [`Author`](crate::journal::Author) whose command did it, 0 if nobody's did.
    fn hear(&self, notices: &mut Notices, by: u64);

    /// A shard has a new store, or did not hear from its tier: what happened to its keys meanwhile
    /// was not told.
    fn missed(&self, shard: usize);
}

/// Nobody wants to hear anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Audience for Nobody {
    fn wants(&self) -> Kinds {
        Kinds::NONE
    }

    fn hear(&self, notices: &mut Notices, _: u64) {
        notices.clear();
    }

    fn missed(&self, _: usize) {}
}
