//! Publish and subscribe: who listens to which channel, and how messages get there.
//!
//! The table of channels is shared data, not an actor: like the listening sockets it lives outside
//! the tree, so that no restart loses a subscription, and whoever publishes puts the message into
//! the inboxes himself before he is answered. That keeps the order of each publisher, and of each
//! channel for all its subscribers, without a hop through a mailbox that everybody shares.
//!
//! A subscription belongs to its connection ([`Subscriber`]) and ends with it. What waits for a
//! connection is bounded ([`Inbox`]): one that does not read is closed, and nobody waits for it.

mod exchange;
mod inbox;
mod ledger;
mod push;
mod subscriber;
mod table;
#[cfg(test)]
mod tests;
mod through_redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_actors::redis::{By, Subscriptions};

use self::table::{Channels, Patterns};
use self::through_redis::{Arrivals, ThroughRedis};
use crate::config::settings::Server;
use crate::resp::refusal::Refusal;
use crate::tier::TierPlace;

pub use exchange::{Exchange, Local};
pub use inbox::{Arrival, Inbox};
pub use ledger::{Figures, Ledger};
pub use push::{Message, Push};
pub use subscriber::Subscriber;

/// The name of a channel or the text of a pattern, shared by all who hold it.
pub type Name = Arc<[u8]>;

/// What a name is the name of. Each kind is a world of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Space {
    /// SUBSCRIBE, PUBLISH.
    Channel,
    /// PSUBSCRIBE: a glob over the names of channels.
    Pattern,
    /// SSUBSCRIBE, SPUBLISH. Patterns do not reach these.
    Shard,
}

impl Space {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];

    /// The label used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Pattern => "pattern",
            Self::Shard => "shard",
        }
    }
}

/// The table of channels, and the way messages take. Cheap to clone; clones share one table.
#[derive(Debug, Clone)]
pub struct PubSub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    channels: Channels,
    shard_channels: Channels,
    patterns: Patterns,
    exchange: Box<dyn Exchange>,
    ledger: Arc<Ledger>,
    /// Most names of one connection.
    max_subscriptions: AtomicUsize,
    /// Most names in all.
    max_channels: AtomicUsize,
}

impl PubSub {
    /// An empty table within the bounds of these settings, whose messages take this way.
    #[must_use]
    pub fn new(settings: &Server, exchange: Box<dyn Exchange>) -> Self {
        let pubsub = Self {
            shared: Arc::new(Shared {
                channels: Channels::default(),
                shard_channels: Channels::default(),
                patterns: Patterns::default(),
                exchange,
                ledger: Arc::default(),
                max_subscriptions: AtomicUsize::new(0),
                max_channels: AtomicUsize::new(0),
            }),
        };
        pubsub.configure(settings);
        pubsub
    }

    /// The same for messages that go by way of this tier while there is one, and come back by these
    /// subscriptions.
    #[must_use]
    pub fn through_redis(
        settings: &Server,
        tier: Arc<TierPlace>,
        subscriptions: Subscriptions,
    ) -> Self {
        let exchange = ThroughRedis::new(tier, subscriptions.clone());
        let pubsub = Self::new(settings, Box::new(exchange));
        subscriptions.tell(Arc::new(Arrivals(Arc::downgrade(&pubsub.shared))));
        pubsub
    }

    /// Takes over new bounds. Subscriptions that are there already stay.
    pub fn configure(&self, settings: &Server) {
        let Shared { ledger, max_subscriptions, max_channels, .. } = &*self.shared;
        ledger.set_limit(settings.pubsub_buffer);
        max_subscriptions.store(settings.max_subscriptions, Ordering::Relaxed);
        max_channels.store(settings.max_channels, Ordering::Relaxed);
    }

    /// An inbox for the connection of this id.
    #[must_use]
    pub fn open_inbox(&self, client: u64) -> Inbox {
        Inbox::new(client, Arc::clone(&self.shared.ledger))
    }

    /// PUBLISH and SPUBLISH: sends a message the configured way; how many received it.
    ///
    /// # Errors
    /// The way is closed: nothing was sent, or nobody knows.
    pub async fn publish(&self, message: Message) -> Result<u64, Refusal> {
        self.shared.ledger.published();
        self.shared.exchange.publish(self, message).await
    }

    /// Puts a message into the inboxes of those who listen here; how many those are.
    #[must_use]
    pub fn deliver(&self, message: Message) -> u64 {
        let shared = &*self.shared;
        if self.is_silent() {
            return 0;
        }
        let message = Arc::new(message);
        let delivered = match message.space() {
            Space::Shard => shared.shard_channels.deliver(&message, || 0),
            // Patterns hear it under the lock of the channel, or two messages of one channel
            // could come to them in another order than to its subscribers.
            Space::Channel | Space::Pattern => {
                shared.channels.deliver(&message, || shared.patterns.deliver(&message))
            }
        };
        shared.ledger.delivered(delivered);
        delivered
    }

    /// Waits until messages get to those who listen to these names, a bounded time at most.
    ///
    /// # Errors
    /// They never will: somebody refuses one of them.
    pub async fn confirmed(&self, space: Space, names: &[&[u8]]) -> Result<(), Refusal> {
        self.shared.exchange.confirmed(space, names).await
    }

    /// Whether nobody listens to anything.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.shared.ledger.names() == 0
    }

    /// The names that are subscribed to and that `keep` takes, in no order (PUBSUB CHANNELS).
    #[must_use]
    pub fn names(&self, space: Space, keep: impl Fn(&[u8]) -> bool) -> Vec<Name> {
        match space {
            Space::Channel => self.shared.channels.names(keep),
            Space::Shard => self.shared.shard_channels.names(keep),
            Space::Pattern => self.shared.patterns.names(keep),
        }
    }

    /// How many listen to a channel, those by pattern not counted.
    #[must_use]
    pub fn listeners(&self, space: Space, name: &[u8]) -> usize {
        match space {
            Space::Channel => self.shared.channels.listeners(name),
            Space::Shard => self.shared.shard_channels.listeners(name),
            Space::Pattern => 0,
        }
    }

    /// The numbers now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.shared.ledger.figures()
    }

    fn join(&self, space: Space, name: &Name, inbox: &Arc<Inbox>) -> Result<(), Refusal> {
        let shared = &*self.shared;
        let reserve = || shared.ledger.reserve_name(space, name, shared.max_channels());
        let first = || shared.exchange.listens(space, name, true);
        let joined = match space {
            Space::Channel => shared.channels.join(name, inbox, reserve, first),
            Space::Shard => shared.shard_channels.join(name, inbox, reserve, first),
            Space::Pattern => shared.patterns.join(name, inbox, reserve, first),
        };
        if !joined {
            return Err(Refusal::other(format!(
                "ERR too many channels and patterns: {} are subscribed to, see server.max_channels",
                shared.max_channels()
            )));
        }
        shared.ledger.subscribed();
        Ok(())
    }

    fn leave(&self, space: Space, name: &Name, client: u64) {
        let shared = &*self.shared;
        let last = || {
            shared.ledger.free_name(space, name);
            shared.exchange.listens(space, name, false);
        };
        match space {
            Space::Channel => shared.channels.leave(name, client, last),
            Space::Shard => shared.shard_channels.leave(name, client, last),
            Space::Pattern => shared.patterns.leave(name, client, last),
        }
        shared.ledger.unsubscribed();
    }
}

impl Shared {
    /// Puts a message from afar into the inboxes of those who listen here by this subscription.
    fn arrived(&self, by: By<'_>, message: Message) {
        let message = Arc::new(message);
        let delivered = match by {
            By::Name => self.channels.deliver(&message, || 0),
            By::Pattern(pattern) => self.patterns.deliver_by(pattern, &message),
        };
        self.ledger.delivered(delivered);
    }

    fn max_channels(&self) -> usize {
        self.max_channels.load(Ordering::Relaxed)
    }
}
