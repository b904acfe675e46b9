//! The slots of the links, and how a command goes through them.

mod slot;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::duty::Duty;
use super::failure::{Executed, Failure, FailureKind};
use super::link::{LinkArgs, LinkMsg};
use super::near::Near;
use super::nodes::Node;
use super::retry::{self, Budget, Next};
use super::settings::LinkSettings;
use super::subscriptions::Subscriptions;
use super::tracker::{self, TrackerStats, Tracking};
use crate::supervise::{Changes, Conditions, Handle};

pub(super) use slot::Slot;
use slot::{Lease, Shared};
use stats::Counts;
pub use stats::{LinkStats, PoolStats};

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

/// Whether a command may be executed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// Sent again only if it surely was not executed.
    AtMost,
    /// It leaves the same behind, however often.
    OrMore,
    /// As [`Once::AtMost`], and only over the connection with this number ([`Pool::epoch`]), which
    /// something was agreed on with before. For a pool of one link.
    Over(u64),
}

/// What is sent.
#[derive(Clone, Copy)]
enum Work<'a> {
    One(&'a Cmd),
    /// To this node of a Cluster.
    At(&'a Node, &'a Cmd),
    Many(&'a Pipeline, Plausible),
}

/// Whether answers can be those to what was asked.
type Plausible = fn(&[Value]) -> bool;

impl Work<'_> {
    /// One try.
    async fn once(self, lease: &mut Lease, deadline: Instant) -> Result<Vec<Value>, Failure> {
        let answers = match self {
            Self::One(command) => {
                let sent = lease.connection().command(command);
                let answer = timeout_at(deadline, sent).await;
                vec![lease.settle(answer)?]
            }
            Self::At(node, command) => {
                let sent = lease.connection().command_at(node, command);
                let answer = timeout_at(deadline, sent).await;
                vec![lease.settle(answer)?]
            }
            Self::Many(commands, _) => {
                let sent = lease.connection().pipeline(commands);
                let answers = timeout_at(deadline, sent).await;
                lease.settle(answers)?
            }
        };
        let not_now = answers.iter().find_map(|value| match value {
            Value::ServerError(error) => Failure::of_reply(error),
            _ => None,
        });
        match (not_now, self) {
            (None, Self::Many(_, plausible)) if !plausible(&answers) => Err(Failure::after(
                FailureKind::Garbage,
                "Redis answered something else than what it was asked; the connection is dropped",
            )),
            (None, _) => Ok(answers),
            (Some(failure), Self::One(_) | Self::At(..)) => Err(failure),
            // What stood before it was executed.
            (Some(failure), Self::Many(..)) => {
                Err(Failure { executed: Executed::Unknown, ..failure })
            }
        }
    }
}

/// How a command is to be treated.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Nothing is waited for after this.
    pub deadline: Instant,
    /// Whether it may be executed twice.
    pub once: Once,
}

/// How the links stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolState {
    /// So many links are up.
    Up(usize),
    /// None is, and one is on its way.
    Connecting,
    /// None is, and the breaker holds the lead.
    Open {
        /// Until the next trial.
        retry_in: Duration,
    },
}

/// Tells when a pool may have come to stand otherwise.
#[derive(Debug)]
pub struct PoolChanges {
    live: watch::Receiver<usize>,
    trouble: watch::Receiver<Option<Arc<str>>>,
    lead: Option<Changes<LinkMsg>>,
}

impl PoolChanges {
    /// Resolves at the next change: a link came up or went down, one has failed, or the breaker
    /// let go. Never, once the pool is gone. Safe to cancel.
    pub async fn next(&mut self) {
        let lead = async {
            match &mut self.lead {
                Some(lead) => lead.next().await,
                None => std::future::pending().await,
            }
        };
        let gone = tokio::select! {
            changed = self.live.changed() => changed.is_err(),
            changed = self.trouble.changed() => changed.is_err(),
            () = lead => false,
        };
        if gone {
            std::future::pending::<()>().await;
        }
    }
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
            known: links
                .as_ref()
                .map_or_else(Arc::default, |of| Arc::clone(&of.inner.shared.known)),
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

    /// Follows how many links are up. Changes, too, when one connection takes another's place.
    #[must_use]
    pub fn live(&self) -> watch::Receiver<usize> {
        self.inner.shared.live.subscribe()
    }

    /// What the last connection that failed died of, or why it did not come to be.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.inner.shared.trouble.borrow().clone()
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

    /// Sends one command, again if that helps and may be. An error reply that is an answer comes
    /// back as [`Value::ServerError`].
    ///
    /// # Errors
    /// [`Failure`], which says whether the command may have been executed.
    pub async fn run(&self, command: &Cmd, request: Request) -> Result<Value, Failure> {
        let answers = self.with_retries(Work::One(command), request).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// The nodes of the Cluster that have slots, as far as they are known; none, if it is one server
    /// or no link is up.
    #[must_use]
    pub fn masters(&self) -> BTreeSet<Node> {
        let connection = self.pick().and_then(|slot| slot.connection());
        connection.map(|(connection, _)| connection.masters()).unwrap_or_default()
    }

    /// The first slot of each of them.
    pub(super) fn first_slots(&self) -> Vec<u16> {
        let connection = self.pick().and_then(|slot| slot.connection());
        connection.map(|(connection, _)| connection.first_slots()).unwrap_or_default()
    }

    /// Sends one command to this node of the Cluster, whatever its key.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_at(
        &self,
        node: &Node,
        command: &Cmd,
        request: Request,
    ) -> Result<Value, Failure> {
        let answers = self.with_retries(Work::At(node, command), request).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Sends a pipeline in one piece. Answers are in the order of the commands; error replies
    /// that are answers are [`Value::ServerError`]s among them.
    ///
    /// # Errors
    /// As [`Pool::run`]; a reply that says *not now* fails the whole, with an unknown outcome,
    /// because what stood before it was executed.
    pub async fn pipe(&self, commands: &Pipeline, request: Request) -> Result<Vec<Value>, Failure> {
        self.pipe_checked(commands, request, |_| true).await
    }

    /// The same, where the answers show whether they are those to the commands. If they are not
    /// `plausible`, the connection has lost count, and one command would get the answer of
    /// another: it is dropped, and what it said is not believed.
    ///
    /// # Errors
    /// As [`Pool::pipe`].
    pub async fn pipe_checked(
        &self,
        commands: &Pipeline,
        request: Request,
        plausible: fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        self.with_retries(Work::Many(commands, plausible), request).await
    }

    async fn with_retries(&self, work: Work<'_>, request: Request) -> Result<Vec<Value>, Failure> {
        self.earn();
        let again = request.once == Once::OrMore;
        for attempt in 0.. {
            let failure = match self.lease(request.deadline).await {
                Ok(lease) if matches!(request.once, Once::Over(epoch) if lease.epoch() != epoch) => {
                    let text = "another connection has taken the place of the one it was for";
                    return Err(Failure::before(FailureKind::Broken, text));
                }
                Ok(mut lease) => match work.once(&mut lease, request.deadline).await {
                    Ok(value) => return Ok(value),
                    Err(failure) => {
                        lease.failed(&failure);
                        failure
                    }
                },
                Err(failure) => failure,
            };
            match self.after(&failure, again, attempt, request.deadline) {
                Next::Now => {}
                Next::After(wait) => tokio::time::sleep(wait).await,
                Next::Stop => return Err(failure),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Counts a command, which earns its share of a retry.
    pub(super) fn earn(&self) {
        self.inner.counts.command();
        self.budget().earn();
    }

    /// Counts the failure of try number `attempt`, and says what comes next.
    pub(super) fn after(
        &self,
        failure: &Failure,
        again: bool,
        attempt: u32,
        deadline: Instant,
    ) -> Next {
        self.inner.counts.failure(failure.kind);
        let (now, deadline) = (Instant::now().into_std(), deadline.into_std());
        let mut rng = rand::rng();
        let next =
            retry::next(failure, again, attempt, now, deadline, &mut self.budget(), &mut rng);
        if next != Next::Stop {
            self.inner.counts.retry();
        }
        next
    }

    /// Waits for a link that has room.
    ///
    /// # Errors
    /// Why there is none: nothing was sent.
    pub(super) async fn ready(&self, deadline: Instant) -> Result<(), Failure> {
        self.lease(deadline).await.map(drop)
    }

    /// The link with the fewest commands under way, once it has room.
    async fn lease(&self, deadline: Instant) -> Result<Lease, Failure> {
        loop {
            let mut live = self.inner.shared.live.subscribe();
            if let Some(slot) = self.pick() {
                // It may have gone since it was picked.
                if let Some(lease) = slot.lease(deadline).await? {
                    return Ok(lease);
                }
                continue;
            }
            let Some(lead) = self.lead() else {
                return Err(Failure::before(FailureKind::NoLink, "there is no link to Redis"));
            };
            let mut stand = lead.handle.changes();
            if let Some(retry_in) = lead.handle.held_for() {
                let text = format!("the breaker is open, next trial in {retry_in:.1?}");
                return Err(Failure::before(FailureKind::BreakerOpen { retry_in }, text));
            }
            live.mark_unchanged();
            if *live.borrow() > 0 {
                continue;
            }
            tokio::select! {
                _ = live.changed() => {}
                () = stand.next() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let text = "no connection to Redis came up in time";
                    return Err(Failure::before(FailureKind::NoLink, text));
                }
            }
        }
    }

    fn pick(&self) -> Option<Arc<Slot>> {
        let slots = self.inner.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|slot| slot.is_live()).min_by_key(|slot| slot.under_way()).cloned()
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
        let slots = self.inner.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.first().map_or(0, |slot| slot.live_epoch())
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
