//! The second tier: a Redis or Valkey behind the cache.
//!
//! | module | owns |
//! |---|---|
//! | `question` | what is asked of the tier about a key, and what it answers |
//! | `flights` | questions under way: one per key, however many ask |
//! | `news` | what the tier tells the shards |

mod flights;
mod news;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::TierArgs;
use seawall_actors::cache::store::TIERED;
use seawall_actors::clock::Clock;
use seawall_actors::policy::breaker::WindowKind;
use seawall_actors::policy::{Backoff, BreakerOptions, BreakerSettings};
use seawall_actors::redis::{Link, Passage, Pool, PoolState};
use seawall_actors::supervise::{ChildSpec, Restart, Strategy, SupervisorSpec};

use tokio::sync::watch;

use self::flights::{Flights, Patience};
pub use self::news::News;
pub use self::question::{Answer, Found, TierView, Want};
use crate::config::settings::Redis;

/// Where the links stand in the tree.
pub const LINKS: &str = "links";

/// What the daemon has of its second tier. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tier {
    /// The connections.
    pub pool: Pool,
    /// The way of the commands that Redis runs.
    pub passage: Passage,
    flights: Arc<Flights>,
    /// What the shards are told.
    pub news: Arc<News>,
    reading: Arc<watch::Sender<Reading>>,
    revalidate_after: Arc<watch::Sender<Duration>>,
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
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            patience: Patience { hard: settings.link.timeout, soft: settings.soft_timeout },
            negative_ms: ms(settings.negative_ttl),
            stale_ms: ms(settings.stale_if_error),
        }
    }
}

impl Tier {
    /// A tier whose links are not started yet.
    #[must_use]
    pub fn new(settings: &Redis, news: News, clock: Clock) -> Self {
        let (pool, news) = (Pool::new(settings.link.clone()), Arc::new(news));
        let flights = Flights::new(pool.clone(), clock, Arc::clone(&news));
        Self {
            passage: Passage::new(pool.clone(), settings.passage),
            pool,
            flights: Arc::new(flights),
            news,
            reading: Arc::new(watch::Sender::new(Reading::of(settings))),
            revalidate_after: Arc::new(watch::Sender::new(settings.revalidate_after)),
        }
    }

    /// New settings, live.
    pub fn configure(&self, settings: &Redis) {
        self.pool.configure(settings.link.clone());
        self.reading.send_replace(Reading::of(settings));
        self.revalidate_after.send_replace(settings.revalidate_after);
    }

    /// What a shard follows of the tier.
    #[must_use]
    pub fn for_shard(&self) -> TierArgs {
        TierArgs {
            acknowledged: self.news.follow(),
            revalidate_after: self.revalidate_after.subscribe(),
        }
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

    /// Asks, and waits for the answers within `redis.timeout`; where memory has something to
    /// serve in its place, within `redis.soft_timeout`.
    pub async fn fetch(&self, wants: Vec<Want>) -> Vec<Answer> {
        let patience = self.reading.borrow().patience;
        self.flights.ask(wants, patience).await
    }

    /// Asks behind the readers' backs; the answers go to the shards.
    pub fn refresh(&self, wants: Vec<Want>) {
        if !wants.is_empty() {
            self.flights.refresh(&wants, self.reading.borrow().patience.hard);
        }
    }

    /// The supervisor of the links.
    ///
    /// # Errors
    /// The settings make no breaker; a rule of the configuration has missed it.
    pub fn links(&self, settings: &Redis) -> Result<SupervisorSpec, String> {
        let restart = restart(settings)?;
        let mut links = SupervisorSpec::new(LINKS, Strategy::OneForOne);
        for _ in 0..settings.links {
            let (id, handle, args) = self.pool.add();
            let make = move || (Link, args.clone());
            links = links.child(ChildSpec::worker(id, handle, restart.clone(), make));
        }
        Ok(links)
    }
}

/// Backoff with full jitter, then the breaker: so many lives in a row that ended too early.
fn restart(settings: &Redis) -> Result<Restart, String> {
    let link = &settings.link;
    let hold = BreakerSettings::try_new(BreakerOptions {
        window: WindowKind::Count(settings.breaker_failures),
        minimum_calls: settings.breaker_failures,
        failure_rate: 1.0,
        slow_calls: None,
        cool_down: settings.breaker_cool_down,
        cool_down_factor: 2.0,
        max_cool_down: settings.breaker_max_cool_down,
        permits: 1,
        // A link that hangs is found out by half of this: by then its life is a success.
        half_open_for: (link.connect_timeout + link.timeout + link.ping_every) * 2,
    })
    .map_err(|why| why.to_string())?;
    Ok(Restart { hold: Some(hold), delay: Backoff::default(), ..Restart::default() })
}
