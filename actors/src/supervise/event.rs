//! What the whole tree shares: its settings that change live, and how it tells what happens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, oneshot};

use super::conditions::Conditions;
use super::exit::Exit;
use super::node::Node;
use super::snapshot::TreeSnapshot;
use super::strategy::Lifecycle;
use super::supervisor::Telling;

/// One lifecycle event of one node, as observers get it.
#[derive(Debug, Clone)]
pub struct TreeEvent {
    /// Which node.
    pub path: Arc<str>,
    /// What happened to it.
    pub lifecycle: Lifecycle,
    /// How it last ended, where that is what the event is about.
    pub reason: Option<Exit>,
    /// How often it has been restarted so far.
    pub restarts: u64,
    /// When it will be started next.
    pub next_in: Option<Duration>,
    /// How long it was down, from its end to the moment it ran again.
    pub down_for: Option<Duration>,
}

/// How an ordered stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopHow {
    /// By itself, within its grace.
    Orderly,
    /// Killed after its grace.
    Killed,
    /// Not even a kill ended it within its grace.
    Unkillable,
}

/// One child that was stopped.
#[derive(Debug, Clone)]
pub struct StoppedChild {
    /// Which.
    pub path: Arc<str>,
    /// How it went.
    pub how: StopHow,
    /// How long it took.
    pub took: Duration,
}

/// How many events an observer may be behind before it misses some.
const EVENTS_BEHIND: usize = 256;

/// How many stops are remembered for the report of a shutdown: the last ones.
const STOPS_KEPT: usize = 1024;

/// The shortest time between two pictures of the whole tree in the logs. Backoff and intensity
/// bound the events of one child; this bounds those of many children together.
const PICTURE_GAP: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Shared {
    watchdog_ns: AtomicU64,
    /// What is not as it should be although it runs.
    pub conditions: Conditions,
    events: broadcast::Sender<TreeEvent>,
    root: OnceLock<Weak<Node>>,
    /// Ends the tree in good order. Held here so that it lives as long as the tree.
    pub stop: Mutex<Option<oneshot::Sender<()>>>,
    stops: Mutex<VecDeque<StoppedChild>>,
    picture_due: AtomicBool,
    last_picture: Mutex<Option<Instant>>,
}

impl Shared {
    pub fn new(watchdog: Duration, conditions: Conditions) -> Self {
        let shared = Self {
            watchdog_ns: AtomicU64::new(0),
            conditions,
            events: broadcast::Sender::new(EVENTS_BEHIND),
            root: OnceLock::new(),
            stop: Mutex::new(None),
            stops: Mutex::new(VecDeque::new()),
            picture_due: AtomicBool::new(false),
            last_picture: Mutex::new(None),
        };
        shared.set_watchdog(watchdog);
        shared
    }

    pub fn set_root(&self, root: &Arc<Node>) {
        let _ = self.root.set(Arc::downgrade(root));
    }

    pub fn set_watchdog(&self, limit: Duration) {
        let ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.watchdog_ns.store(ns, Ordering::Relaxed);
    }

    pub fn watchdog(&self) -> Duration {
        Duration::from_nanos(self.watchdog_ns.load(Ordering::Relaxed))
    }

    pub fn subscribe(&self) -> broadcast::Receiver<TreeEvent> {
        self.events.subscribe()
    }

    /// Logs an event and passes it to whoever observes.
    pub fn tell(self: &Arc<Self>, event: TreeEvent, telling: Telling) {
        let Telling { routine, lasting } = telling;
        let path = &*event.path;
        let name = event.lifecycle.name();
        let reason = event.reason.as_ref().map(tracing::field::display);
        let restarts = event.restarts;
        let next_in = event.next_in.map(tracing::field::debug);
        let down_for = event.down_for.map(tracing::field::debug);
        let held_for = lasting.map(|(held_for, _)| tracing::field::debug(held_for));
        let trials = lasting.map(|(_, trials)| trials);
        macro_rules! say {
            ($level:ident $(, $more:ident)*) => {
                tracing::$level!(
                    path, event = name, reason, restarts, next_in $(, $more)*, "{path} {name}"
                )
            };
        }
        match event.lifecycle {
            _ if routine => say!(debug, held_for, trials),
            Lifecycle::Degraded | Lifecycle::Escalated => say!(error),
            Lifecycle::Restarting | Lifecycle::Held => say!(warn, held_for, trials),
            _ => say!(info, down_for, held_for, trials),
        }
        let changed_shape = match event.lifecycle {
            _ if routine => false,
            Lifecycle::Up => restarts > 0,
            Lifecycle::Held
            | Lifecycle::Recovered
            | Lifecycle::Degraded
            | Lifecycle::Escalated
            | Lifecycle::Added
            | Lifecycle::Removed => true,
            _ => false,
        };
        if changed_shape {
            self.picture();
        }
        // Nobody needs to observe.
        let _ = self.events.send(event);
    }

    /// Logs the whole tree soon: at most once per [`PICTURE_GAP`], and once after the last event.
    fn picture(self: &Arc<Self>) {
        if self.picture_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let last = *shared.last_picture.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = last {
                tokio::time::sleep_until((last + PICTURE_GAP).into()).await;
            }
            shared.picture_due.store(false, Ordering::Release);
            *shared.last_picture.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(super::now());
            if let Some(root) = shared.root.get().and_then(Weak::upgrade) {
                let tree = TreeSnapshot::of(&root, &shared.conditions).render();
                tracing::info!(event = "tree", "{tree}");
            }
        });
    }

    pub fn note_stop(&self, stop: StoppedChild) {
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        if stops.len() >= STOPS_KEPT {
            stops.pop_front();
        }
        stops.push_back(stop);
    }

    /// Forgets the stops noted so far, and returns them.
    pub fn take_stops(&self) -> Vec<StoppedChild> {
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *stops).into()
    }
}
