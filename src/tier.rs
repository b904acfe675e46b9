//! The second tier: a Redis or Valkey behind the cache.
//!
//! | module | owns |
//! |---|---|
//! | `clocks` | whether the clocks of Redis say the same as ours, as a condition |
//! | `question` | what is asked of the tier about a key, and what it answers |
//! | `flights` | questions under way: one per key, however many ask |
//! | `hearing` | who is told what others change |
//! | `links` | the links in the tree, and their number |
//! | `warm` | fills memory after the start |
//! | `news` | what the tier tells the shards |
//! | `reach` | whether Redis is within reach, as a condition |
//! | `place` | where commands find the tier, while there is one |
//! | `write` | the write side in the tree, and the replies that wait for it |

pub mod clocks;
mod flights;
mod hearing;
pub mod links;
mod news;
mod place;
mod question;
pub mod reach;
#[cfg(test)]
mod tests;
pub mod warm;
mod write;

use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::TierArgs;
use seawall_actors::cache::store::{Freshness, TIERED};
use seawall_actors::clock::Clock;
use seawall_actors::policy::BreakerSettings;
use seawall_actors::redis::{
    Once, Passage, PassageStats, Pool, PoolState, PoolStats, Request, ServerClock,
    SubscriptionStats, Subscriptions, TrackerStats, Trouble,
};
use seawall_actors::supervise::{ChildSpec, Conditions, Restart};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::flights::{Flights, Loss, Patience};
use self::hearing::Hearing;
pub use self::news::News;
pub use self::place::{TierPlace, Use};
pub use self::question::{Answer, Found, TierView, Want};
pub use self::write::{Parts, WriteSide};
use crate::config::settings::Redis;
use crate::loading::Loading;

/// What the daemon has of its second tier. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tier {
    /// The connections.
    pub pool: Pool,
    /// The way of the commands that Redis runs.
    pub passage: Passage,
    /// The connection that hears what others change. Whatever is changed in Redis because it was
    /// changed here goes over it: Redis announces everything else.
    pub tracker: Pool,
    /// What is subscribed to in Redis.
    pub subscriptions: Subscriptions,
    /// The connection for that.
    subscriber: Pool,
    /// The write side.
    pub writes: WriteSide,
    flights: Arc<Flights>,
    /// What the shards are told.
    pub news: Arc<News>,
    reading: Arc<watch::Sender<Reading>>,
    freshness: Arc<watch::Sender<Freshness>>,
    size: Arc<watch::Sender<usize>>,
    breaker: Arc<watch::Sender<BreakerSettings>>,
    /// It is being taken away.
    leaving: Arc<watch::Sender<bool>>,
}

/// How the links stand, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct TierFigures {
    /// Whether commands go by it: it is neither about to come nor about to go.
    pub in_use: bool,
    /// Where Redis is, without credentials.
    pub at: String,
    /// Whether a link is up.
    pub state: PoolState,
    /// What the last connection that failed died of.
    pub trouble: Option<Trouble>,
    /// The clock of Redis, if it is known; of a Cluster's masters, that which is farthest from ours.
    pub clock: Option<ServerClock>,
    /// What the links have done.
    pub stats: PoolStats,
    /// What the tracker has heard.
    pub tracker: TrackerStats,
    /// Commands that Redis runs.
    pub passage: PassageStats,
    /// What is subscribed to in Redis.
    pub pubsub: SubscriptionStats,
    /// How often so much waited for a shard that all of it became doubtful.
    pub overflows: u64,
}

/// How reads deal with a tier that is slow, or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    patience: Patience,
    negative_ms: u64,
    stale_ms: u64,
}

impl Reading {
    fn of(settings: &Redis) -> Self {
        Self {
            patience: Patience { hard: settings.link.timeout, soft: settings.soft_timeout },
            negative_ms: ms(settings.negative_ttl),
            stale_ms: ms(settings.stale_if_error),
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How one of so many shards deals with the age of what it has.
fn freshness(settings: &Redis, shards: usize) -> Freshness {
    Freshness {
        revalidate_ms: ms(settings.revalidate_after),
        stale_ms: ms(settings.stale_if_error),
        keep_bytes: settings.keep_expired / shards.max(1) as u64,
        early_percent: settings.refresh_early,
        jitter_percent: settings.ttl_jitter,
    }
}

impl Tier {
    /// A tier whose links are not started yet.
    ///
    /// # Errors
    /// The settings make no breaker; a rule of the configuration has missed it.
    pub fn new(
        settings: &Redis,
        news: News,
        clock: Clock,
        conditions: &Conditions,
        subscriptions: Subscriptions,
    ) -> Result<Self, String> {
        let (pool, news) = (Pool::new(settings.link.clone()), Arc::new(news));
        let writes = WriteSide::new(settings.outbox);
        let gate = writes.gate.clone();
        let hearing = Hearing { news: Arc::clone(&news), gate: gate.clone(), clock: clock.clone() };
        let tracker = pool.tracker(Arc::new(hearing), conditions);
        let subscriber = pool.subscriber(subscriptions.clone());
        let loss = Loss { links: pool.clone(), tracker: tracker.clone(), gate };
        let freshness = freshness(settings, news.shards());
        let flights = Flights::new(pool.clone(), clock, Arc::clone(&news), loss);
        Ok(Self {
            passage: Passage::new(pool.clone(), tracker.clone(), settings.passage),
            tracker,
            subscriptions,
            subscriber,
            pool,
            flights: Arc::new(flights),
            news,
            reading: Arc::new(watch::Sender::new(Reading::of(settings))),
            freshness: Arc::new(watch::Sender::new(freshness)),
            writes,
            size: Arc::new(watch::Sender::new(settings.links)),
            breaker: Arc::new(watch::Sender::new(links::breaker(settings)?)),
            leaving: Arc::new(watch::Sender::new(false)),
        })
    }

    /// It is about to be taken away: who waits in Redis is to come back.
    pub(super) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Waits until what was passed to Redis is answered, and what was published there by then is
    /// heard; no longer than `redis.timeout` for each.
    pub async fn settle(&self) {
        let within = self.pool.settings().timeout;
        let passed = timeout(within, self.passage.until_idle());
        let ((), _) = tokio::join!(self.pool.until_idle(within), passed);
        if matches!(self.subscriber.state(), PoolState::Up(_)) {
            // Its answer comes behind every message.
            let request = Request { deadline: Instant::now() + within, once: Once::OrMore };
            let _ = self.subscriber.run(&redis::cmd("PING"), request).await;
        }
    }

    /// Resolves once it is about to be taken away. Safe to cancel.
    pub async fn left(&self) {
        // The sender is in `self`.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// New settings, live, and the breaker that they make.
    pub fn configure(&self, settings: &Redis, breaker: BreakerSettings) {
        self.pool.configure(settings.link.clone());
        self.tracker.configure(settings.link.clone());
        self.subscriber.configure(settings.link.clone());
        self.subscriptions.set_on(settings.pubsub);
        self.passage.configure(settings.passage);
        self.writes.configure(settings.outbox);
        self.reading.send_replace(Reading::of(settings));
        self.freshness.send_replace(freshness(settings, self.news.shards()));
        self.size.send_replace(settings.links);
        self.breaker.send_replace(breaker);
    }

    /// How links are restarted.
    #[must_use]
    pub fn restart(&self) -> Restart {
        links::restart(self.breaker.subscribe())
    }

    /// Follows how many links there are to be.
    #[must_use]
    pub fn size(&self) -> watch::Receiver<usize> {
        self.size.subscribe()
    }

    /// How the links stand.
    #[must_use]
    pub fn figures(&self) -> TierFigures {
        TierFigures {
            in_use: true,
            at: self.pool.settings().shown(),
            state: self.pool.state(),
            trouble: self.pool.trouble(),
            clock: self.pool.clocks().into_iter().next(),
            stats: self.pool.stats(),
            tracker: self.tracker.tracked().unwrap_or_default(),
            passage: self.passage.stats(),
            pubsub: self.subscriptions.stats(),
            overflows: self.news.overflows(),
        }
    }

    /// What a shard follows of the tier.
    #[must_use]
    pub fn for_shard(&self) -> TierArgs {
        TierArgs { acknowledged: self.news.follow(), freshness: self.freshness.subscribe() }
    }

    /// How commands on a database ask the tier; `None` for one that has none.
    #[must_use]
    pub fn near(&self, db: u8) -> Option<TierView> {
        (db == TIERED).then(|| {
            let Reading { negative_ms, stale_ms, .. } = *self.reading.borrow();
            let reachable = !matches!(self.pool.state(), PoolState::Open { .. });
            TierView { reachable, negative_ms, stale_ms }
        })
    }

    /// Until when a round that begins now may wait for all its answers together.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.reading.borrow().patience.hard
    }

    /// Asks, and waits for the answers until `deadline`; where memory has something to serve in
    /// their place, for `redis.soft_timeout`.
    pub async fn fetch(&self, wants: Vec<Want>, deadline: Instant) -> Vec<Answer> {
        let Patience { hard, soft } = self.reading.borrow().patience;
        let hard = hard.min(deadline.saturating_duration_since(Instant::now()));
        self.flights.ask(wants, Patience { hard, soft: soft.min(hard) }).await
    }

    /// Waits until all that was changed in Redis before now has been heard of, as far as it concerns
    /// these keys: on a connection that announces, Redis does so before it answers. No longer than
    /// `redis.soft_timeout`, and not without such a connection.
    pub async fn hear_out<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        if !matches!(self.tracker.state(), PoolState::Up(_)) {
            return;
        }
        let settings = self.pool.settings();
        // One server has one such connection. Of a Cluster the key leads to it.
        let most = if settings.cluster { usize::MAX } else { 1 };
        let mut questions = redis::Pipeline::new();
        for key in keys.take(most) {
            questions.cmd("PTTL").arg(key);
        }
        let request = Request { deadline: Instant::now() + settings.timeout, once: Once::OrMore };
        let soft = self.reading.borrow().patience.soft;
        // Without an answer some of it may be heard later, and count as a change that comes now.
        let _ = timeout(soft, self.tracker.pipe(&questions, request)).await;
    }

    /// What the tier holds for these keys, asked for no command.
    async fn look_up(&self, keys: &[Box<[u8]>]) -> Result<Vec<Found>, Arc<str>> {
        let deadline = Instant::now() + self.reading.borrow().patience.hard;
        self.flights.look_up(keys.iter().map(|key| &**key), deadline).await
    }

    /// Asks behind the readers' backs; the answers go to the shards.
    pub fn refresh(&self, wants: Vec<Want>) {
        if !wants.is_empty() {
            self.flights.refresh(&wants, self.reading.borrow().patience.hard);
        }
    }

    /// The actors of its links, to be started in this order.
    #[must_use]
    pub fn links(&self, settings: &Redis, loading: &Arc<Loading>) -> Vec<ChildSpec> {
        let beside = [&self.tracker, &self.subscriber];
        let mut links = links::children(&self.pool, beside, settings, &self.restart());
        links.extend(warm::child(self, &settings.warm, loading));
        links
    }
}
