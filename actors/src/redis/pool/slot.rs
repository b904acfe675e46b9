//! One link's place in the pool: its connection while it has one, and who uses it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::advice::advised;
use super::super::connection::Connection;
use super::super::failure::{Failure, FailureKind};
use super::super::link::LinkMsg;
use super::super::nodes::Node;
use super::super::settings::LinkSettings;
use super::super::skew::{Measures, ServerClock};
use super::state::Trouble;
use super::stats::LinkStats;
use crate::supervise::Handle;

/// What all slots of a pool share.
#[derive(Debug)]
pub(in super::super) struct Shared {
    pub settings: watch::Sender<Arc<LinkSettings>>,
    /// How many slots have a connection.
    pub live: watch::Sender<usize>,
    /// What the last connection that failed died of.
    pub trouble: watch::Sender<Option<Trouble>>,
    /// How far Redis' clock is from ours.
    pub measures: watch::Sender<Measures>,
    /// The nodes of a Cluster that were known last, and the address it was found by.
    pub known: Arc<Mutex<(String, BTreeSet<Node>)>>,
    /// The master that Sentinels named last to the lead, and the address it was asked for by. Those
    /// who follow another pool's links share it.
    pub named: Arc<watch::Sender<Option<(String, Node)>>>,
}

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Slot {
    pub id: usize,
    pub handle: Handle<LinkMsg>,
    shared: Arc<Shared>,
    /// It tries only while one of these is up; `None`: whenever it may.
    waits_for: Option<watch::Receiver<usize>>,
    live: RwLock<Option<Arc<Live>>>,
    /// Counts connections; the newest one's number.
    epoch: AtomicU64,
    under_way: AtomicUsize,
    idle: Notify,
    waits: AtomicU64,
    waited_ns: AtomicU64,
}

/// A connection in service.
struct Live {
    connection: Connection,
    epoch: u64,
    since: Instant,
    /// What it was made with.
    settings: Arc<LinkSettings>,
    room: Arc<Semaphore>,
    /// Counts answers.
    heard: AtomicU64,
    /// When the last answer came, in nanoseconds after `since`.
    heard_at: AtomicU64,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Slot {
    pub fn new(id: usize, shared: Arc<Shared>, waits_for: Option<watch::Receiver<usize>>) -> Self {
        Self {
            id,
            handle: Handle::new(),
            shared,
            waits_for,
            live: RwLock::new(None),
            epoch: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            idle: Notify::new(),
            waits: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        }
    }

    /// The settings in force, with the master that is named.
    pub fn settings(&self) -> Arc<LinkSettings> {
        let settings = Arc::clone(&self.shared.settings.borrow());
        if settings.sentinels.is_empty() {
            return settings;
        }
        let named = self.shared.named.borrow();
        let named = named.as_ref().filter(|(url, _)| *url == settings.url);
        let master = named.map(|(_, master)| master.clone());
        Arc::new(LinkSettings { master, ..(*settings).clone() })
    }

    /// This is the master now, for all who follow. Whether that is news.
    pub fn name(&self, settings: &LinkSettings, master: &Node) -> bool {
        let now = (settings.url.clone(), master.clone());
        self.shared.named.send_if_modified(|named| {
            let news = named.as_ref() != Some(&now);
            *named = Some(now);
            news
        })
    }

    /// Tells when another master is named.
    pub fn named(&self) -> watch::Receiver<Option<(String, Node)>> {
        self.shared.named.subscribe()
    }

    /// The nodes of the Cluster at this address, as far as they are known.
    pub fn known(&self, settings: &LinkSettings) -> BTreeSet<Node> {
        let known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 == settings.url { known.1.clone() } else { BTreeSet::new() }
    }

    /// These are the nodes now; none says nothing.
    pub fn learn(&self, settings: &LinkSettings, nodes: BTreeSet<Node>) {
        if nodes.is_empty() {
            return;
        }
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != settings.url || known.1 != nodes {
            *known = (settings.url.clone(), nodes);
        }
    }

    pub fn may_try(&self) -> bool {
        self.waits_for.as_ref().is_none_or(|others| *others.borrow() > 0)
    }

    pub async fn until_may_try(&self) {
        if let Some(others) = &self.waits_for {
            // Their pool outlives whoever waits for them.
            let _ = others.clone().wait_for(|live| *live > 0).await;
        }
    }

    fn current(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_live(&self) -> bool {
        self.live.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether connection number `epoch` is the newest this slot has had.
    pub fn is_at(&self, epoch: u64) -> bool {
        self.epoch.load(Relaxed) == epoch
    }

    /// The connection's number, 0 without one; and whether it is one to a Cluster.
    pub fn stands(&self) -> (u64, bool) {
        self.current().map_or((0, false), |live| (live.epoch, live.connection.is_to_a_cluster()))
    }

    /// What the connection was made with, which may be other settings than those in force.
    pub fn made_with(&self) -> Option<Arc<LinkSettings>> {
        self.current().map(|live| Arc::clone(&live.settings))
    }

    /// The number that the next connection will have.
    pub fn next_epoch(&self) -> u64 {
        self.epoch.load(Relaxed) + 1
    }

    /// The connection, and how many answers it has brought.
    pub fn connection(&self) -> Option<(Connection, u64)> {
        self.current().map(|live| (live.connection.clone(), live.heard.load(Relaxed)))
    }

    /// Puts a connection into service, in the place of the one before, which ends when the last
    /// of its callers is done.
    pub fn publish(&self, connection: Connection, settings: &Arc<LinkSettings>) {
        let epoch = self.epoch.fetch_add(1, Relaxed) + 1;
        let live = Live {
            connection,
            epoch,
            since: Instant::now(),
            settings: Arc::clone(settings),
            room: Arc::new(Semaphore::new(settings.in_flight)),
            heard: AtomicU64::new(0),
            heard_at: AtomicU64::new(0),
        };
        self.replace(Some(Arc::new(live)));
    }

    /// Takes the connection out of service.
    pub fn withdraw(&self) {
        self.replace(None);
    }

    fn replace(&self, with: Option<Arc<Live>>) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let (was, is) = (live.is_some(), with.is_some());
        *live = with;
        drop(live);
        match (was, is) {
            (false, true) => self.shared.live.send_modify(|n| *n += 1),
            (true, false) => self.shared.live.send_modify(|n| *n = n.saturating_sub(1)),
            // Behind it may be another Redis: whoever follows looks again.
            (true, true) => self.shared.live.send_modify(|_| {}),
            (false, false) => {}
        }
    }

    /// Notes what a connection died of, or why none came to be.
    pub fn ailing(&self, why: &str) {
        let trouble = Trouble { why: advised(why.to_owned()).into(), at: Instant::now() };
        self.shared.trouble.send_replace(Some(trouble));
    }

    /// Takes in how far the servers' clocks were from ours just now; `masters` are those of a Cluster.
    pub fn measured(&self, clocks: Vec<ServerClock>, masters: &BTreeSet<Node>) {
        let measures = &self.shared.measures;
        measures.send_if_modified(|measures| measures.take(clocks, masters, Instant::now()));
    }

    /// Takes connection number `epoch` out of service, and tells the actor why.
    fn broken(&self, epoch: u64, why: String) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_none_or(|live| live.epoch != epoch) {
            return;
        }
        *live = None;
        drop(live);
        self.ailing(&why);
        self.shared.live.send_modify(|n| *n = n.saturating_sub(1));
        // An actor that is down has no connection to lose.
        let _ = self.handle.cast(LinkMsg::Broken { epoch, why });
    }

    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// Waits until nothing is under way.
    pub async fn idle(&self, within: Duration) {
        let wait = async {
            loop {
                let idle = self.idle.notified();
                if self.under_way() == 0 {
                    return;
                }
                idle.await;
            }
        };
        // What is not answered by then is told so by its own deadline.
        let _ = timeout(within, wait).await;
    }

    /// Takes part in the connection, once it has room; `None` if there is none any more.
    pub async fn lease(self: &Arc<Self>, deadline: Instant) -> Result<Option<Lease>, Failure> {
        let Some(live) = self.current() else { return Ok(None) };
        let room = match Arc::clone(&live.room).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => {
                let began = Instant::now();
                let room = timeout_at(deadline, Arc::clone(&live.room).acquire_owned()).await;
                self.waits.fetch_add(1, Relaxed);
                let waited = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.waited_ns.fetch_add(waited, Relaxed);
                match room {
                    Ok(Ok(room)) => room,
                    _ => {
                        let text = "every connection to Redis is full (redis.in_flight)";
                        return Err(Failure::before(FailureKind::Crowded, text));
                    }
                }
            }
        };
        self.under_way.fetch_add(1, Relaxed);
        let connection = live.connection.clone();
        let (slot, sent) = (Arc::clone(self), Instant::now());
        Ok(Some(Lease { slot, live, connection, sent, _room: room }))
    }

    pub fn stats(&self) -> LinkStats {
        LinkStats {
            id: self.id,
            age: self.current().map(|live| live.since.elapsed()),
            in_use: self.under_way(),
            waits: self.waits.load(Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Relaxed)),
            reconnects: self.epoch.load(Relaxed).saturating_sub(1),
        }
    }
}

/// A part in a connection, for one command or pipeline.
#[derive(Debug)]
pub(in super::super) struct Lease {
    slot: Arc<Slot>,
    live: Arc<Live>,
    connection: Connection,
    sent: Instant,
    _room: OwnedSemaphorePermit,
}

impl Lease {
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The connection's number.
    pub fn epoch(&self) -> u64 {
        self.live.epoch
    }

    /// Takes in what became of the command.
    pub fn settle<T>(&self, outcome: Result<RedisResult<T>, Elapsed>) -> Result<T, Failure> {
        match outcome {
            Ok(Ok(answer)) => {
                self.live.heard.fetch_add(1, Relaxed);
                let at = u64::try_from(self.live.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.live.heard_at.fetch_max(at, Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => {
                let waited = self.sent.elapsed();
                if self.hangs() {
                    let why = format!("no answer for {waited:.1?} (redis.timeout): it hangs");
                    self.slot.broken(self.live.epoch, why);
                }
                let text = format!("Redis did not answer within {waited:.0?}");
                Err(Failure::after(FailureKind::Deadline, text))
            }
        }
    }

    /// Answers come in order. If none at all has come since this command was sent, and that is
    /// as long ago as a command may take, nothing comes any more; a command whose own deadline
    /// was shorter says nothing about it.
    fn hangs(&self) -> bool {
        let heard = self.live.since + Duration::from_nanos(self.live.heard_at.load(Relaxed));
        // Retries and waits for room have used some of the time.
        let silent = self.sent.max(heard).elapsed();
        silent >= self.live.settings.timeout.mul_f64(0.5)
    }

    /// Takes in that the connection is of no more use.
    pub fn failed(&self, failure: &Failure) {
        if failure.kind.breaks_the_link() {
            self.slot.broken(self.live.epoch, failure.text.clone());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.slot.under_way.fetch_sub(1, Relaxed) == 1 {
            self.slot.idle.notify_waiters();
        }
    }
}
