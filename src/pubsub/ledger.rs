//! What is counted over all subscribers, and the bound on what may wait for one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::Space;

/// What the table holds for a name besides its bytes: entry, list, hash.
const NAME_COST: usize = 128;

/// The books of publish and subscribe.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Most bytes that may wait for one connection.
    limit: AtomicUsize,
    names: [AtomicUsize; Space::ALL.len()],
    all_names: AtomicUsize,
    table_bytes: AtomicUsize,
    subscribers: AtomicUsize,
    subscriptions: AtomicUsize,
    pending: AtomicUsize,
    published: AtomicU64,
    delivered: AtomicU64,
    overflowed: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Names that somebody listens to, by [`Space`].
    pub names: [usize; Space::ALL.len()],
    /// Connections with at least one subscription.
    pub subscribers: usize,
    /// Subscriptions of all connections.
    pub subscriptions: usize,
    /// Bytes that the table takes, about.
    pub table_bytes: usize,
    /// Bytes that wait in the inboxes; a message counts in each.
    pub pending_bytes: usize,
    /// Messages published here.
    pub published: u64,
    /// Messages put into inboxes.
    pub delivered: u64,
    /// Connections closed because too much waited for them.
    pub overflowed: u64,
}

impl Figures {
    /// Names of one kind.
    #[must_use]
    pub fn names(&self, space: Space) -> usize {
        self.names.get(space as usize).copied().unwrap_or(0)
    }
}

impl Ledger {
    pub(super) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// Most bytes that may wait for one connection.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Names of all kinds.
    pub(super) fn names(&self) -> usize {
        self.all_names.load(Relaxed)
    }

    /// Makes room for one more name; whether there is any.
    pub(super) fn reserve_name(&self, space: Space, name: &[u8], most: usize) -> bool {
        let more = |names: usize| (names < most).then_some(names + 1);
        let room = self.all_names.fetch_update(Relaxed, Relaxed, more).is_ok();
        if room && let Some(names) = self.names.get(space as usize) {
            names.fetch_add(1, Relaxed);
            self.table_bytes.fetch_add(name.len() + NAME_COST, Relaxed);
        }
        room
    }

    pub(super) fn free_name(&self, space: Space, name: &[u8]) {
        self.all_names.fetch_sub(1, Relaxed);
        self.table_bytes.fetch_sub(name.len() + NAME_COST, Relaxed);
        if let Some(names) = self.names.get(space as usize) {
            names.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn subscribed(&self) {
        self.subscriptions.fetch_add(1, Relaxed);
    }

    pub(super) fn unsubscribed(&self) {
        self.subscriptions.fetch_sub(1, Relaxed);
    }

    pub(super) fn subscriber_came(&self) {
        self.subscribers.fetch_add(1, Relaxed);
    }

    pub(super) fn subscriber_went(&self) {
        self.subscribers.fetch_sub(1, Relaxed);
    }

    pub(super) fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn delivered(&self, messages: u64) {
        self.delivered.fetch_add(messages, Relaxed);
    }

    pub(super) fn waits(&self, bytes: usize) {
        self.pending.fetch_add(bytes, Relaxed);
    }

    pub(super) fn waits_no_more(&self, bytes: usize) {
        self.pending.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn overflowed(&self) {
        self.overflowed.fetch_add(1, Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        // What each subscription adds to the table: its place in two lists.
        let subscriptions = self.subscriptions.load(Relaxed);
        let places = subscriptions.saturating_mul(4 * size_of::<usize>());
        Figures {
            names: self.names.each_ref().map(|n| n.load(Relaxed)),
            subscribers: self.subscribers.load(Relaxed),
            subscriptions,
            table_bytes: self.table_bytes.load(Relaxed).saturating_add(places),
            pending_bytes: self.pending.load(Relaxed),
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
        }
    }
}
