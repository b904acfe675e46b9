//! All links to one Redis: who they are, and how they stand.

mod slot;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::duty::Duty;
use super::link::{LinkArgs, LinkMsg};
use super::near::Near;
use super::nodes::{Node, Share};
use super::retry::Budget;
use super::settings::LinkSettings;
use super::skew::{Measures, ServerClock};
use super::subscriptions::Subscriptions;
use super::tracker::{self, TrackerStats, Tracking};
use crate::supervise::{Conditions, Handle};

use slot::Shared;
pub(super) use slot::Slot;
pub use state::{Comparisons, PoolChanges, PoolState, Trouble};
use stats::Counts;
pub use stats::{LinkStats, PoolStats};
pub use work::{Once, Request};

/// All links to one Redis. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    slots: RwLock<Vec<Arc<Slot>>>,
    budget: Mutex<Budget>,
    counts: Counts,
    duty: Duty,
    /// The links that its own waits for.
    links: Option<Pool>,
}

impl Pool {
    /// A pool without links.
    #[must_use]
    pub fn new(settings: LinkSettings) -> Self {
        Self::with(settings, Duty::Commands, None)
    }

    /// A pool for one link that tracks: `near` hears what others change in Redis. Everything that
    /// we change is to be sent over it, or else it is taken for somebody else's. It only tries
    /// while one of this pool's links is up.
    #[must_use]
    pub fn tracker(&self, near: Arc<dyn Near>, conditions: &Conditions) -> Self {
        let blind = conditions.declare(tracker::PATH, tracker::NOT_TRACKING);
        let duty = Duty::Track(Arc::new(Tracking::new(near, blind)));
        Self::with((*self.settings()).clone(), duty, Some(self.clone()))
    }

    /// A pool for one link that is subscribed to what is wanted, and does nothing else. It only
    /// tries while one of this pool's links is up.
    #[must_use]
    pub fn subscriber(&self, subscriptions: Subscriptions) -> Self {
        let duty = Duty::Listen(subscriptions);
        Self::with((*self.settings()).clone(), duty, Some(self.clone()))
    }

    fn with(settings: LinkSettings, duty: Duty, links: Option<Self>) -> Self {
        let budget = Mutex::new(Budget::new(settings.retry_share));
        let shared = Arc::new(Shared {
            settings: watch::Sender::new(Arc::new(settings)),
            live: watch::Sender::new(0),
            trouble: watch::Sender::new(None),
            measures: watch::Sender::new(Measures::default()),
            known: links
                .as_ref()
                .map_or_else(Arc::default, |of| Arc::clone(&of.inner.shared.known)),
            named: links.as_ref().map_or_else(
                || Arc::new(watch::Sender::new(None)),
                |of| Arc::clone(&of.inner.shared.named),
            ),
        });
        let (slots, counts) = (RwLock::default(), Counts::default());
        let inner = Inner { shared, slots, budget, counts, duty, links };
        Self { inner: Arc::new(inner) }
    }

    /// Makes room for one more link: its id, its handle, and what its actor starts with. The
    /// first one leads.
    pub fn add(&self) -> (String, Handle<LinkMsg>, LinkArgs) {
        let mut slots = self.inner.slots.write().unwrap_or_else(PoisonError::into_inner);
        let id = slots.iter().map(|slot| slot.id + 1).max().unwrap_or(0);
        let waits_for = match &self.inner.links {
            Some(links) => Some(links.live()),
            None => (id > 0).then(|| self.live()),
        };
        let slot = Arc::new(Slot::new(id, Arc::clone(&self.inner.shared), waits_for));
        slots.push(Arc::clone(&slot));
        let (handle, duty) = (slot.handle.clone(), self.inner.duty.clone());
        if let Duty::Listen(subscriptions) = &duty {
            subscriptions.served_by(handle.clone());
        }
        (duty.name(id), handle, LinkArgs { slot, duty })
    }

    /// Takes the newest link out; its actor is to be stopped by whoever started it. The lead
    /// stays. Returns its id.
    pub fn remove(&self) -> Option<String> {
        let mut slots = self.inner.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() < 2 {
            return None;
        }
        slots.pop().map(|slot| self.inner.duty.name(slot.id))
    }

    /// How many links there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until nothing is under way on any link, no longer than `within` for each.
    pub async fn until_idle(&self, within: Duration) {
        for slot in self.slots() {
            slot.idle(within).await;
        }
    }

    /// The actors of its links have been removed for good: that they have no connection is no trouble
    /// any more, whoever still holds the pool.
    pub fn ends(&self) {
        self.inner.duty.ends();
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<LinkSettings> {
        Arc::clone(&self.inner.shared.settings.borrow())
    }

    /// New settings: each link makes a fresh connection and switches over; one that cannot keeps
    /// its old one and tries again.
    pub fn configure(&self, settings: LinkSettings) {
        self.budget().set_share(settings.retry_share);
        self.inner.shared.settings.send_replace(Arc::new(settings));
        for slot in self.slots() {
            // One that is down reads them when it starts.
            let _ = slot.handle.cast(LinkMsg::Renew);
        }
    }

    /// How the links stand now.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let live = *self.inner.shared.live.borrow();
        if live > 0 {
            return PoolState::Up(live);
        }
        match self.lead().and_then(|lead| lead.handle.held_for()) {
            Some(retry_in) => PoolState::Open { retry_in },
            None => PoolState::Connecting,
        }
    }

    /// The nodes of the Cluster that have slots, as far as they are known; none, if it is one server
    /// or no link is up.
    #[must_use]
    pub fn masters(&self) -> BTreeSet<Node> {
        let connection = self.pick().and_then(|slot| slot.connection());
        connection.map(|(connection, _)| connection.masters()).unwrap_or_default()
    }

    /// What each of them has.
    pub(super) fn shares(&self) -> Vec<Share> {
        let connection = self.pick().and_then(|slot| slot.connection());
        connection.map(|(connection, _)| connection.shares()).unwrap_or_default()
    }

    /// Follows how many links are up. Changes, too, when one connection takes another's place.
    #[must_use]
    pub fn live(&self) -> watch::Receiver<usize> {
        self.inner.shared.live.subscribe()
    }

    /// What the last connection that failed died of, or why it did not come to be.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner.shared.trouble.borrow().clone()
    }

    /// How far the clock of Redis is from ours, or that of each master of a Cluster, as far as they
    /// are known; first those that surely are farthest.
    #[must_use]
    pub fn clocks(&self) -> Vec<ServerClock> {
        self.inner.shared.measures.borrow().clocks()
    }

    /// Tells when that is measured anew.
    #[must_use]
    pub fn comparisons(&self) -> Comparisons {
        Comparisons { measures: self.inner.shared.measures.subscribe() }
    }

    /// Follows how the pool stands, from now on. It has a lead by then.
    #[must_use]
    pub fn changes(&self) -> PoolChanges {
        let shared = &self.inner.shared;
        PoolChanges {
            live: shared.live.subscribe(),
            trouble: shared.trouble.subscribe(),
            lead: self.lead().map(|lead| lead.handle.changes()),
        }
    }

    /// Who is to come up first.
    fn lead(&self) -> Option<Arc<Slot>> {
        if let Some(links) = &self.inner.links
            && *links.inner.shared.live.borrow() == 0
        {
            return links.lead();
        }
        self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.inner.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the first link's connection, which grows with each; 0 while it has none.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.stands().0
    }

    /// The number of the first link's connection, and whether it is one to a Cluster: it is what it
    /// was made as, whatever the settings say by now.
    pub(super) fn stands(&self) -> (u64, bool) {
        let slots = self.inner.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.first().map_or((0, false), |slot| slot.stands())
    }

    /// What the first connection was made with that is up.
    pub(super) fn made_with(&self) -> Option<Arc<LinkSettings>> {
        self.slots().iter().find_map(|slot| slot.made_with())
    }

    /// Whether every connection of both leads to the same Redis. After a change of address they move
    /// one by one, and one that cannot stays where it is.
    #[must_use]
    pub fn is_where(&self, other: &Self) -> bool {
        let all = [self.slots(), other.slots()].concat();
        let mut made_with = all.iter().filter_map(|slot| slot.made_with());
        let Some(first) = made_with.next() else { return true };
        made_with.all(|settings| settings.is_at_the_same(&first))
    }

    /// What the link that tracks has heard; `None` for links that do not.
    #[must_use]
    pub fn tracked(&self) -> Option<TrackerStats> {
        match &self.inner.duty {
            Duty::Track(tracking) => Some(tracking.stats(*self.inner.shared.live.borrow() > 0)),
            Duty::Commands | Duty::Listen(_) => None,
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner.counts.read(self.slots().iter().map(|slot| slot.stats()).collect())
    }
}
