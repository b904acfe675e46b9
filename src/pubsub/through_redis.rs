//! The way through Redis: what is published here is heard wherever somebody has subscribed in the
//! same Redis, and the other way round.
//!
//! A message goes to Redis and comes back from there, also to those who listen here: so all hear
//! the messages of a channel in one order, and nobody hears one twice.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use redis::{ServerError, Value};
use seawall_actors::redis::{
    By, Executed, Failure, Once, PoolState, Receiver, Request, Subscriptions, Topic,
};
use tokio::time::Instant;

use super::{Exchange, Message, PubSub, Shared, Space};
use crate::resp::refusal::Refusal;
use crate::tier::{Tier, TierPlace};

/// Channels whose names begin so are this daemon's own: they tell of its keys, and of the caches
/// of its clients. Redis has such channels for itself, and what it says there is about its keys.
const OWN: [&[u8]; 3] = [b"__keyspace@", b"__keyevent@", b"__redis__:"];

/// See the module.
#[derive(Debug)]
pub struct ThroughRedis {
    /// The tier whose links messages go over, while there is one.
    tier: Arc<TierPlace>,
    /// What this daemon is subscribed to in Redis.
    subscriptions: Subscriptions,
}

impl ThroughRedis {
    /// The way over this tier's links, and back by these subscriptions.
    #[must_use]
    pub fn new(tier: Arc<TierPlace>, subscriptions: Subscriptions) -> Self {
        Self { tier, subscriptions }
    }

    /// The tier, if that is where the messages of this channel go.
    fn way(&self, space: Space, name: &[u8]) -> Option<Arc<Tier>> {
        let there = self.subscriptions.is_on() && is_shared(space, name);
        if there { self.tier.whole() } else { None }
    }
}

#[async_trait]
impl Exchange for ThroughRedis {
    async fn publish(&self, here: &PubSub, message: Message) -> Result<u64, Refusal> {
        let Some(tier) = self.way(message.space(), message.channel()) else {
            return Ok(here.deliver(message));
        };
        let mut command = redis::cmd("PUBLISH");
        command.arg(message.channel()).arg(message.payload());
        let deadline = Instant::now() + tier.pool.settings().timeout;
        // Twice is two messages.
        match tier.pool.run(&command, Request { deadline, once: Once::AtMost }).await {
            Ok(Value::Int(received)) => Ok(u64::try_from(received).unwrap_or(0)),
            Ok(Value::ServerError(error)) => Err(Refusal::other(in_its_words(&error))),
            Ok(_) => Err(Refusal::other(
                "TIERDOWN outcome unknown: Redis answered PUBLISH by something else than a number",
            )),
            Err(failure) => Err(not_published(&failure)),
        }
    }

    fn listens(&self, space: Space, name: &super::Name, anybody: bool) {
        if is_shared(space, name) {
            self.subscriptions.want(topic(space, Arc::clone(name)), anybody);
        }
    }

    async fn confirmed(&self, space: Space, names: &[&[u8]]) -> Result<(), Refusal> {
        let mut tier = None;
        let mut goes_there = |name: &[u8]| {
            let way = self.way(space, name);
            let there = way.is_some();
            tier = way.or(tier.take());
            there
        };
        let shared = names.iter().filter(|name| goes_there(name));
        let topics: Vec<Topic> = shared.map(|name| topic(space, Arc::from(*name))).collect();
        let Some(tier) = tier else { return Ok(()) };
        let mut deadline = Instant::now();
        // Whoever subscribes now hears what comes once Redis is back.
        if matches!(tier.pool.state(), PoolState::Up(_)) {
            deadline += tier.pool.settings().timeout;
        }
        match self.subscriptions.confirmed(&topics, deadline).await {
            // What is not confirmed yet is told as a condition; the reply is the same.
            Ok(_) => Ok(()),
            Err((topic, why)) => Err(Refusal::other(format!(
                "{why} (it is Redis that says so: it refuses '{}' to the user of redis.username)",
                topic.name().escape_ascii()
            ))),
        }
    }
}

/// Whether such a channel, or such a pattern, concerns others than this daemon.
fn is_shared(space: Space, name: &[u8]) -> bool {
    space != Space::Shard && !OWN.iter().any(|own| name.starts_with(own))
}

fn topic(space: Space, name: Arc<[u8]>) -> Topic {
    match space {
        Space::Pattern => Topic::Pattern(name),
        Space::Channel | Space::Shard => Topic::Channel(name),
    }
}

fn in_its_words(error: &ServerError) -> String {
    format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned()
}

#[cold]
fn not_published(failure: &Failure) -> Refusal {
    let outcome = match failure.executed {
        Executed::No => "not published",
        Executed::Unknown => "outcome unknown",
    };
    Refusal::other(format!("TIERDOWN {outcome}: {failure}"))
}

/// Brings what comes from Redis to those who have subscribed here.
#[derive(Debug)]
pub(super) struct Arrivals(pub Weak<Shared>);

impl Receiver for Arrivals {
    fn receive(&self, by: By<'_>, channel: &[u8], payload: &[u8]) {
        // A wide pattern brings these, too.
        if !is_shared(Space::Channel, channel) {
            return;
        }
        if let Some(shared) = self.0.upgrade() {
            shared.arrived(by, Message::new(Space::Channel, channel, payload));
        }
    }
}
