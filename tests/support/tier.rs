//! A daemon with a Redis behind it, and a proxy between the two; or a Cluster, and proxies.

pub mod certified;
pub mod traffic;
pub mod writers;

use std::time::Duration;

use super::redis::RedisServer;
use super::redis::behind::Behind;
use super::{Daemon, Raw, Setup, http, wait_until};

/// How many links it has.
pub const LINKS: u64 = 2;

/// `redis.timeout`.
pub const TIMEOUT: Duration = Duration::from_millis(200);

/// Connections to Redis: the links, and the tracker.
pub const CONNECTIONS: u64 = LINKS + 1;

/// The one that hears what others change.
pub const TRACKER: &str = "links/redis-tracker";

/// The link that tries alone while there is none.
pub const LEAD: &str = "links/redis-link-0";

/// Waits until Redis has all that was written so far.
#[track_caller]
pub fn wait_in_step(client: &mut Raw) {
    wait_until("Redis has everything", || {
        let info = client.run("INFO seawall").text();
        info.contains("redis_outbox:in_step\r\n") && info.contains("redis_outbox_lag_records:0\r\n")
    });
}

/// Before one server.
pub type Tier = Tiered<RedisServer>;

/// The three of them. The daemon ends first.
pub struct Tiered<B: Behind> {
    pub daemon: Daemon,
    pub proxy: B::Way,
    pub redis: B,
}

impl<B: Behind> Tiered<B> {
    /// A daemon before a server with these settings; `None` without a redis-server.
    pub fn start(redis: &[&str]) -> Option<Self> {
        Some(Self::with(B::listening(redis)?, &[]))
    }

    /// The same, with all the time of the world: for tests in which Redis answers all the time, on
    /// however busy a machine.
    pub fn patient(redis: &[&str]) -> Option<Self> {
        let patience = [("redis.timeout", r#""10s""#), ("redis.connect_timeout", r#""10s""#)];
        Some(Self::with(B::listening(redis)?, &patience))
    }

    /// A daemon before this server, which it knows by the proxy's address, with these settings.
    pub fn with(redis: B, settings: &[(&str, &str)]) -> Self {
        Self::before(redis, |setup, way| {
            let setup = setup.with("redis.url", &format!(r#""redis://{}""#, B::address(way)));
            settings.iter().fold(setup, |setup, (key, value)| setup.with(key, value))
        })
    }

    /// A daemon before this server, with settings that may depend on where the proxy is. It waits
    /// much longer than anything takes that is well, and much shorter than a test has patience.
    pub fn before(redis: B, settings: impl FnOnce(Setup, &B::Way) -> Setup) -> Self {
        let tier = Self::launch(redis, settings);
        tier.wait_linked();
        tier
    }

    /// The same, without waiting for the links.
    pub fn launch(redis: B, settings: impl FnOnce(Setup, &B::Way) -> Setup) -> Self {
        let proxy = redis.way();
        let setup = B::kind(settings(Self::setup(), &proxy));
        Self { daemon: setup.start(), proxy, redis }
    }

    /// Settings that lose no time.
    pub fn setup() -> Setup {
        Setup::new()
            .with("redis.timeout", &format!(r#""{TIMEOUT:?}""#))
            .with("redis.connect_timeout", &format!(r#""{TIMEOUT:?}""#))
            .with("redis.ping_every", r#""50ms""#)
            .with("redis.breaker_cool_down", r#""100ms""#)
            .with("redis.breaker_max_cool_down", r#""200ms""#)
            .with("redis.links", &LINKS.to_string())
            // Tests count trials, which are no news.
            .with("log.level", r#""info,seawall_actors::supervise=debug""#)
    }

    /// Waits until every link has a connection and nobody doubts it, and what others change is heard.
    #[track_caller]
    pub fn wait_linked(&self) {
        wait_until("every link is up", || {
            let tracker = self.daemon.node(TRACKER).is_some_and(|tracker| {
                tracker["conditions"].as_array().is_some_and(Vec::is_empty)
                    && self.daemon.events(TRACKER, "tracking") > 0
            });
            let counts = B::passed(&self.proxy);
            let closed = self.daemon.node(LEAD).is_some_and(|lead| lead["breaker"] == "closed");
            // A connection that is there has not said hello yet.
            let up = || {
                let (_, metrics) = http::get(self.daemon.admin(), "/metrics");
                let is_up = |line: &&str| {
                    line.starts_with("seawall_redis_link_up{") && line.ends_with(" 1")
                };
                metrics.lines().filter(is_up).count() as u64 == LINKS
            };
            closed
                && tracker
                && counts.open == CONNECTIONS * B::SERVERS
                && counts.in_flight == 0
                && up()
        });
    }
}
