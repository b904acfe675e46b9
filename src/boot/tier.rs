//! A Redis is put behind the cache, or taken away, while clients are served.
//!
//! What memory holds then is what a restart would leave in it: once Redis has come, all of it
//! counts as written here, and is asked for before it is believed; once it has gone, what was
//! written here is all there is.
//!
//! ```text
//!   comes   outbox's cursor → shards → actors → a link, and Redis has what was written here → asked
//!   goes    nothing is passed → shards → not asked → outbox drains → the other actors
//! ```
//!
//! Until Redis is asked, clients are served as if there were none, and so they are from the moment
//! it is not asked any more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::store::KeyHasher;
use seawall_actors::cache::{ShardMsg, TierArgs};
use seawall_actors::clock::Clock;
use seawall_actors::redis::outbox::{Keeping, Mark};
use seawall_actors::redis::{PoolState, Subscriptions};
use seawall_actors::supervise::{ChildSpec, Conditions, TreeHandle};
use seawall_actors::wal::{Snapshots, Tail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{error, info, warn};

use super::dependencies::Failure;
use super::recovery::{self, DaemonIntake, Recovery};
use crate::config::settings::{Redis, Settings};
use crate::daemon::{Daemon, ShardHandle, SnapshotHandle};
use crate::tier::links::{self, LINKS};
use crate::tier::{News, Parts, Tier, TierPlace, Use, clocks, reach};

/// How long to wait before what could not be done is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A shard that is down is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long Redis may take to be brought what was written here, before it is asked all the same.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);
/// The children of the links that bring Redis what is in the log.
const OUTBOX: &str = "redis-outbox";

/// The log that Redis is written from.
#[derive(Clone)]
struct Log {
    intake: DaemonIntake,
    data: PathBuf,
    snapshots: Snapshots,
}

/// What a tier is made of, whenever there is to be one.
#[derive(Clone)]
pub(super) struct Makings {
    shards: Vec<ShardHandle>,
    hasher: KeyHasher,
    clock: Clock,
    conditions: Conditions,
    snapshots: SnapshotHandle,
    /// `None` for a pure cache, which can have no tier.
    log: Option<Log>,
    /// What clients have subscribed to, whether there is a tier or not.
    pub subscriptions: Subscriptions,
    /// What the shards go by.
    attached: Arc<watch::Sender<Option<TierArgs>>>,
    /// Where commands find it.
    pub place: Arc<TierPlace>,
}

/// A tier, and what its outbox goes on from.
#[derive(Debug)]
pub(super) struct Made {
    pub tier: Arc<Tier>,
    pub keeping: Keeping,
}

impl std::fmt::Debug for Makings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Makings").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Makings {
    /// Of this daemon.
    pub fn new(
        recovery: &Recovery,
        shards: Vec<ShardHandle>,
        snapshots: SnapshotHandle,
        clock: &Clock,
        conditions: &Conditions,
    ) -> Self {
        let log = recovery.wal.as_ref().zip(recovery.snapshots.as_ref());
        let log = log.map(|((intake, data), snapshots)| Log {
            intake: intake.clone(),
            data: data.clone(),
            snapshots: snapshots.clone(),
        });
        Self {
            shards,
            hasher: recovery.hasher,
            clock: clock.clone(),
            conditions: conditions.clone(),
            snapshots,
            log,
            subscriptions: Subscriptions::new(conditions, false),
            attached: Arc::new(watch::Sender::new(None)),
            place: Arc::new(TierPlace::new()),
        }
    }

    /// Whether there can be a tier: it is the log that Redis is written from.
    pub const fn have_a_log(&self) -> bool {
        self.log.is_some()
    }

    /// What shards follow.
    pub fn for_shard(&self) -> watch::Receiver<Option<TierArgs>> {
        self.attached.subscribe()
    }

    /// A tier by these settings, and a hold on the log from where Redis was last brought; `None`
    /// without a log.
    ///
    /// # Errors
    /// The outbox's cursor cannot be read, or a rule of the configuration has missed that the
    /// settings make no tier.
    pub async fn make(&self, redis: &Redis) -> Result<Option<Made>, Failure> {
        let Some(log) = &self.log else { return Ok(None) };
        let keeping = recovery::keeping(&log.data, &log.snapshots).await?;
        let news = News::new(self.shards.clone(), self.hasher);
        let (clock, subscriptions) = (self.clock.clone(), self.subscriptions.clone());
        let tier = Tier::new(redis, news, clock, &self.conditions, subscriptions);
        let tier = Arc::new(tier.map_err(super::internal)?);
        Ok(Some(Made { tier, keeping }))
    }

    /// The tier of the start: everything goes by it as soon as there is anything.
    pub fn begin_with(&self, redis: &Redis, tier: &Arc<Tier>) {
        self.attached.send_replace(Some(tier.for_shard()));
        self.place.put(Arc::clone(tier));
        self.place.enter(Use::Whole);
        self.subscriptions.set_on(redis.pubsub);
    }

    /// The actors of a tier, to be started in this order.
    pub fn children(
        &self,
        made: Made,
        redis: &Redis,
        daemon: &Arc<Daemon>,
        joined: Mark,
    ) -> Vec<ChildSpec> {
        let Made { tier, keeping } = made;
        let mut children = tier.links(redis, &daemon.loading);
        children.extend(self.log.as_ref().map(|log| {
            let parts = Parts {
                pool: tier.tracker.clone(),
                tail: Tail::new(&log.intake, &log.data, &log.snapshots),
                keeping: Arc::new(keeping),
                daemon: Arc::clone(daemon),
                snapshots: self.snapshots.clone(),
                joined,
            };
            let near = Arc::clone(&tier.news) as _;
            tier.writes.child(parts, near, self.clock.clone())
        }));
        children
    }

    /// Has every shard go by what is attached now. One that is down goes by it when it is back, and
    /// is waited for: its store may have gone by another.
    async fn rewire(&self) {
        for shard in &self.shards {
            while shard.call(TRY_AGAIN, ShardMsg::Rewire).await.is_err() {
                sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// Keeps a tier while `redis.url` says so.
pub(super) struct Keeper {
    makings: Makings,
    daemon: Arc<Daemon>,
    tree: TreeHandle,
    wanted: watch::Receiver<Arc<Settings>>,
}

impl Keeper {
    /// For this daemon, whose tree stands.
    pub fn new(makings: Makings, daemon: &Arc<Daemon>, tree: TreeHandle) -> Self {
        let wanted = daemon.config.subscribe();
        Self { makings, daemon: Arc::clone(daemon), tree, wanted }
    }

    /// Keeps it until the daemon stops: links that end with it are no outage.
    pub fn start(self) {
        let mut stop = self.daemon.life.stop_requested();
        tokio::spawn(async move {
            tokio::select! {
                () = self.keep() => {}
                _ = stop.wait_for(Option::is_some) => {}
            }
        });
    }

    async fn keep(mut self) {
        let mut tier = self.makings.place.whole();
        loop {
            match tier.take() {
                Some(tier) => {
                    self.serve(&tier).await;
                    self.leave(&tier).await;
                }
                None => {
                    let Some(redis) = self.until_wanted().await else { return };
                    tier = self.join(&redis).await;
                }
            }
        }
    }

    /// The settings of the tier that is wanted; `None`: the configuration has gone.
    async fn until_wanted(&mut self) -> Option<Redis> {
        let wanted = self.wanted.wait_for(|settings| settings.redis.is_some()).await;
        wanted.ok().and_then(|settings| settings.redis.clone())
    }

    /// Follows the settings of a tier that is in use, until there is to be none.
    async fn serve(&mut self, tier: &Arc<Tier>) {
        let condition = self.daemon.conditions.declare(LINKS, reach::UNREACHABLE);
        let reach = reach::follow(tier.pool.clone(), condition);
        let condition = self.daemon.conditions.declare(LINKS, clocks::CLOCKS_DIFFER);
        let clocks = clocks::follow(tier.pool.clone(), condition);
        let (tree, restart) = (self.tree.clone(), tier.restart());
        let links = links::follow(tier.pool.clone(), tree, restart, tier.size());
        let wanted = async {
            loop {
                match &self.wanted.borrow_and_update().redis {
                    None => return,
                    // What came before it was in use, nobody else told it.
                    Some(redis) => match links::breaker(redis) {
                        Ok(breaker) => tier.configure(redis, breaker),
                        Err(why) => error!(%why, "the new settings of redis make no breaker"),
                    },
                }
                if self.wanted.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = wanted => {}
            ((), (), ()) = async { tokio::join!(reach, clocks, links) } => {}
        }
    }

    /// Puts a Redis behind the cache. `None`: it is not to be any more, or was not to be had.
    async fn join(&mut self, redis: &Redis) -> Option<Arc<Tier>> {
        let made = match self.makings.make(redis).await {
            Ok(made) => made?,
            Err(Failure { details, .. }) => {
                error!(
                    why = %details,
                    "redis.url is set, and Redis is not used: mend this; it is tried again"
                );
                let _ = timeout(TRY_AGAIN, self.wanted.changed()).await;
                return None;
            }
        };
        let (tier, place) = (Arc::clone(&made.tier), Arc::clone(&self.makings.place));
        let at = tier.pool.settings().shown();
        info!(%at, "a Redis is put behind the cache; until it has what was written here, nobody asks it");
        place.put(Arc::clone(&tier));
        self.makings.attached.send_replace(Some(tier.for_shard()));
        self.makings.rewire().await;
        // Every shard has told the log of what it did before.
        let joined = self.daemon.log_mark();
        for child in self.makings.children(made, redis, &self.daemon, joined) {
            if let Err(why) = self.tree.add(LINKS, child).await {
                // What is there is taken away again.
                error!(%why, "the links to Redis cannot be started; it is tried again");
                self.leave(&tier).await;
                let _ = timeout(TRY_AGAIN, self.wanted.changed()).await;
                return None;
            }
        }
        let patience = redis.link.connect_timeout * 2 + redis.link.timeout;
        tokio::select! {
            () = caught_up(&tier, joined, patience) => {}
            _ = self.wanted.wait_for(|settings| settings.redis.is_none()) => {}
        }
        place.enter(Use::Asked);
        if redis.pubsub {
            self.makings.subscriptions.listen(Instant::now() + patience).await;
        }
        place.enter(Use::Whole);
        self.makings.subscriptions.set_on(redis.pubsub);
        info!(%at, "Redis is asked from now on");
        Some(tier)
    }

    /// Takes a Redis away from behind the cache.
    async fn leave(&self, tier: &Arc<Tier>) {
        let Makings { place, attached, subscriptions, .. } = &self.makings;
        let at = tier.pool.settings().shown();
        info!(%at, "Redis is taken away from behind the cache; what waits for it is brought there first");
        place.enter(Use::Asked.min(place.used()));
        tier.leave();
        subscriptions.publish_here();
        attached.send_replace(None);
        self.makings.rewire().await;
        place.enter(Use::Shown);
        self.remove(OUTBOX).await;
        // What was passed to Redis comes back, and so does what was published there.
        tier.settle().await;
        while let Some(child) = self.last_child() {
            self.remove(&child).await;
        }
        tier.tracker.ends();
        subscriptions.set_on(false);
        place.enter(Use::Absent);
        info!(%at, "Redis is gone from behind the cache; memory holds what was written here");
    }

    /// The newest child of the links.
    fn last_child(&self) -> Option<String> {
        let tree = self.tree.snapshot();
        tree.find(LINKS)?.children.last().map(|child| child.id.clone())
    }

    async fn remove(&self, child: &str) {
        while let Err(why) = links::remove(&self.tree, &links::path(child)).await {
            warn!(%why, "a link to Redis could not be removed yet");
            sleep(TRY_AGAIN).await;
        }
    }
}

/// Waits until Redis has what was written here before it came, as long as that is to be expected.
async fn caught_up(tier: &Tier, joined: Mark, patience: Duration) {
    let (begun, mut changes) = (Instant::now(), tier.pool.changes());
    let up = async {
        while !matches!(tier.pool.state(), PoolState::Up(_)) {
            changes.next().await;
        }
    };
    if timeout_at(begun + patience, up).await.is_err() {
        warn!("no link to Redis has come up yet; it is asked all the same, as after a start");
        return;
    }
    let mut reached = tier.news.follow();
    let has_all = reached.wait_for(|lsn| *lsn >= joined.lsn);
    if timeout_at(begun + CATCH_UP_WITHIN.max(patience), has_all).await.is_err() {
        warn!(
            "Redis does not have everything yet that was written here; it is asked all the same, and \
             what it lacks is not known meanwhile"
        );
    }
}
