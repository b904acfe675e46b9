//! The second tier: a Redis or Valkey behind the cache.

mod write;

pub use write::{Parts, WriteSide};

use seawall_actors::policy::breaker::WindowKind;
use seawall_actors::policy::{Backoff, BreakerOptions, BreakerSettings};
use seawall_actors::redis::{Link, Pool};
use seawall_actors::supervise::{ChildSpec, Restart, Strategy, SupervisorSpec};

use crate::config::settings::Redis;

/// Where the links stand in the tree.
pub const LINKS: &str = "links";

/// What the daemon has of its second tier.
#[derive(Debug, Clone)]
pub struct Tier {
    /// The connections.
    pub pool: Pool,
    /// The write side.
    pub writes: WriteSide,
}

impl Tier {
    /// A tier whose links are not started yet.
    #[must_use]
    pub fn new(settings: &Redis) -> Self {
        let writes = WriteSide::new(settings.outbox);
        Self { pool: Pool::new(settings.link.clone()), writes }
    }

    /// New settings.
    pub fn configure(&self, settings: Redis) {
        self.writes.configure(settings.outbox);
        self.pool.configure(settings.link);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_value_that_the_keys_allow_makes_a_breaker() {
        let max = |path| match keys::find(path).expect(path).kind {
            crate::config::value::Kind::Duration { max, .. } => max,
            _ => panic!("{path} is a duration"),
        };
        let half_open =
            (max("redis.connect_timeout") + max("redis.timeout") + max("redis.ping_every")) * 2;
        assert!(half_open <= BreakerOptions::MAX_TIME);
        assert!(max("redis.breaker_max_cool_down") <= BreakerOptions::MAX_TIME);
    }
}
