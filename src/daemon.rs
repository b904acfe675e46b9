//! What connections, commands and the admin HTTP share: handles, settings, numbers. No logic.

mod backend;
mod past;
mod snapshots;
mod view;

pub use past::Past;
pub use snapshots::SnapshotHandle;
pub use view::sources;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use seawall_actors::cache::store::KeyHasher;
use seawall_actors::cache::{Audience, Parked, ShardMsg, ShardStats};
use seawall_actors::clock::{Clock, UnixMs};
use seawall_actors::journal::Journal;
use seawall_actors::metrics::Published;
use seawall_actors::supervise::{
    CallError, Condition, Conditions, Handle, Reason, TreeHandle, Unknown,
};
use seawall_actors::wal;
use tokio::sync::watch;

use crate::acl::Gate;
use crate::audience::Listeners;
use crate::config::ConfigControl;
use crate::loading::Loading;
use crate::pubsub::PubSub;
use crate::resp::clients::Clients;
use crate::resp::round::ShardJob;
use crate::resp::sockets::Sockets;
use crate::slow::Slow;
use crate::stats::Stats;
use crate::tier::TierPlace;
use crate::tls::Handshakes;
use crate::tracking::Tracker;

/// The address of one shard actor.
pub type ShardHandle = Handle<ShardMsg<ShardJob>>;
/// Where this daemon's effects go.
pub type DaemonJournal = Arc<dyn Journal<Parked<ShardJob>>>;

/// The running daemon, as its outer parts see it.
pub struct Daemon {
    /// Settings, their sources, and how to change them.
    pub config: Arc<ConfigControl>,
    /// The cache.
    pub shards: Shards,
    /// The connections.
    pub clients: Clients,
    /// Who listens to which channel.
    pub pubsub: PubSub,
    /// Who is told which keys have changed.
    pub tracker: Tracker,
    /// Who hears what happens to keys.
    pub listeners: Arc<Listeners>,
    /// Where clients come in.
    pub sockets: Sockets,
    /// Server-wide numbers.
    pub stats: Arc<Stats>,
    /// What came of logins and checks.
    pub gate: Gate,
    /// What came of TLS handshakes.
    pub handshakes: Arc<Handshakes>,
    /// What was slow.
    pub slow: Slow,
    /// How far the dataset is loaded.
    pub loading: Arc<Loading>,
    /// The log's numbers.
    pub log: Arc<dyn LogView>,
    /// Takes snapshots.
    pub snapshots: SnapshotHandle,
    /// What the log remembers.
    pub past: Past,
    /// The metrics aggregator's newest snapshot.
    pub metrics: Published,
    /// The second tier, while there is one.
    pub tier: Arc<TierPlace>,
    /// The supervision tree; set once it stands.
    pub tree: OnceLock<TreeHandle>,
    /// What its parts declare about themselves.
    pub conditions: Conditions,
    /// What could not be started and is done without (`startup.fail_fast = false`), for as long as
    /// the daemon lives.
    pub missing: Vec<Condition>,
    /// Start, readiness, stop.
    pub life: Life,
    /// Which configuration is in force.
    pub generation: AtomicU64,
    /// Wall time.
    pub clock: Clock,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Daemon {
    /// What is not as it should be while the daemon goes on: parts that gave up, and conditions.
    #[must_use]
    pub fn degraded(&self) -> Vec<Reason> {
        match self.tree.get() {
            Some(tree) => tree.degraded(),
            None => self.conditions.current().into_iter().map(Reason::from).collect(),
        }
    }

    /// Counts the configurations that took effect; 1 is the one of the start.
    #[must_use]
    pub fn config_generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

/// The shards and how keys are routed to them.
pub struct Shards {
    handles: Vec<ShardHandle>,
    hasher: KeyHasher,
    journal: DaemonJournal,
    audience: Arc<dyn Audience>,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards").field("len", &self.handles.len()).finish_non_exhaustive()
    }
}

impl Shards {
    /// Shards with these handles, in order.
    #[must_use]
    pub fn new(
        handles: Vec<ShardHandle>,
        hasher: KeyHasher,
        journal: DaemonJournal,
        audience: Arc<dyn Audience>,
    ) -> Self {
        Self { handles, hasher, journal, audience }
    }

    /// Number of shards, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Never true; here because `len` is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// The shard that holds keys of this hash.
    #[must_use]
    pub fn of(&self, hash: u64) -> usize {
        KeyHasher::shard_of(hash, self.handles.len())
    }

    /// One shard's handle. `shard` comes from [`Shards::of`] or is below [`Shards::len`].
    #[must_use]
    pub fn handle(&self, shard: usize) -> &ShardHandle {
        &self.handles[shard]
    }

    /// Every shard's handle, in order.
    pub fn handles(&self) -> &[ShardHandle] {
        &self.handles
    }

    /// Hashes keys.
    #[must_use]
    pub const fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Where effects go.
    #[must_use]
    pub fn journal(&self) -> &DaemonJournal {
        &self.journal
    }

    /// Who hears what happens to keys.
    #[must_use]
    pub fn audience(&self) -> &dyn Audience {
        &*self.audience
    }

    /// Sizes and counters of every shard; `None` for one that does not answer in time.
    pub async fn stats(&self, within: Duration) -> Vec<Option<ShardStats>> {
        let asked: Vec<_> = self
            .handles
            .iter()
            .map(|handle| {
                let handle = handle.clone();
                tokio::spawn(async move { handle.call(within, ShardMsg::Stats).await.ok() })
            })
            .collect();
        let mut stats = Vec::with_capacity(asked.len());
        for answer in asked {
            stats.push(answer.await.ok().flatten());
        }
        stats
    }

    /// Waits until a shard that is being rebuilt has its store again. False if that takes longer
    /// than `until`, or if the shard does not come back.
    pub async fn await_store(&self, shard: usize, until: tokio::time::Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match self.handle(shard).call(left, ShardMsg::AwaitStore).await {
                Ok(()) => return true,
                // It crashed again; its successor is asked.
                Err(CallError::Unknown(Unknown::Died)) if !left.is_zero() => {}
                Err(_) => return false,
            }
        }
    }

    /// Sets every shard's counters back to zero; a shard that is down keeps its own.
    pub fn reset_stats(&self) {
        self.tell(|| ShardMsg::ResetStats);
    }

    /// Sends every shard a message, without waiting; shards that are down miss it.
    pub fn tell(&self, msg: impl Fn() -> ShardMsg<ShardJob>) {
        for handle in &self.handles {
            let _ = handle.cast(msg());
        }
    }
}

/// Reads the log's numbers.
pub trait LogView: Send + Sync + 'static {
    /// The fsync mode's name and the numbers now; `None` for a pure cache.
    fn status(&self) -> Option<(&'static str, wal::Stats)>;
}

/// The log of a pure cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl LogView for NoLog {
    fn status(&self) -> Option<(&'static str, wal::Stats)> {
        None
    }
}

/// How the daemon is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Finish what was received, sync, stop the actors.
    Graceful,
    /// Exit without waiting for anything.
    Now,
}

/// When the daemon started, whether it is ready, whether it shall stop.
#[derive(Debug)]
pub struct Life {
    /// Start, on the monotonic clock.
    pub started: Instant,
    /// Start, in Unix milliseconds.
    pub started_ms: UnixMs,
    /// 40 hexadecimal digits that name this run.
    pub run_id: String,
    stop: watch::Sender<Option<StopMode>>,
    phase: watch::Sender<Phase>,
}

/// The daemon's way through its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Actors are being started.
    Starting,
    /// The actors are up; the dataset is being loaded.
    Loading,
    /// Clients are served.
    Serving,
    /// No new clients; those that are there get their answers.
    Draining,
}

impl Life {
    /// A life that starts now.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        use rand::Rng as _;
        use std::fmt::Write as _;
        let run_id = rand::rng().random::<[u8; 20]>().iter().fold(String::new(), |mut id, byte| {
            // Writing to a String never fails.
            let _ = write!(id, "{byte:02x}");
            id
        });
        Self {
            started: Instant::now(),
            started_ms: clock.unix_ms(),
            run_id,
            stop: watch::Sender::new(None),
            phase: watch::Sender::new(Phase::Starting),
        }
    }

    /// Unix milliseconds that only ever go forward, whatever happens to the wall clock: for how
    /// long a client has been idle.
    #[must_use]
    pub fn steady_ms(&self) -> UnixMs {
        self.steady_at(Instant::now())
    }

    /// [`Life::steady_ms`] at a moment that was asked of the clock already.
    #[must_use]
    pub fn steady_at(&self, at: Instant) -> UnixMs {
        let elapsed = at.saturating_duration_since(self.started).as_millis();
        self.started_ms.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Asks the daemon to stop. A later, harsher mode replaces an earlier one.
    pub fn request_stop(&self, mode: StopMode) {
        self.stop.send_if_modified(|current| match (*current, mode) {
            (None, _) | (Some(StopMode::Graceful), StopMode::Now) => {
                *current = Some(mode);
                true
            }
            _ => false,
        });
    }

    /// Resolves when a stop was requested.
    pub fn stop_requested(&self) -> watch::Receiver<Option<StopMode>> {
        self.stop.subscribe()
    }

    /// Moves to another phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether clients are served.
    ///
    /// # Errors
    /// The reasons why not, in words.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let reason = match self.phase() {
            Phase::Serving => return Ok(()),
            Phase::Starting => "actors are being started",
            Phase::Loading => "the dataset is being loaded",
            Phase::Draining => "the daemon is stopping",
        };
        Err(vec![reason.to_owned()])
    }
}
