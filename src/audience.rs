//! Who hears what happens to keys: subscribers of keyspace events.
//!
//! Shards and coordinators tell it command by command. While nobody is there who wants to hear,
//! it wants nothing to be told, and a command costs one look at a number more.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use seawall_actors::cache::Audience;
use seawall_actors::cache::store::{Kinds, Notice, Notices};

use crate::config::events::EventClasses;
use crate::config::settings::Server;
use crate::pubsub::{Message, PubSub, Space};

/// Passes on what happens to keys.
#[derive(Debug)]
pub struct Listeners {
    pubsub: PubSub,
    /// [`EventClasses`] in force.
    classes: AtomicU16,
    /// [`Kinds`] that those mean.
    events: AtomicU16,
}

impl Listeners {
    /// Passes on to the subscribers of this daemon.
    #[must_use]
    pub fn new(pubsub: PubSub, settings: &Server) -> Self {
        let listeners =
            Self { pubsub, classes: AtomicU16::default(), events: AtomicU16::default() };
        listeners.configure(settings);
        listeners
    }

    /// Takes over which events are published.
    pub fn configure(&self, settings: &Server) {
        let classes = settings.notify_keyspace_events;
        self.classes.store(classes.bits(), Relaxed);
        self.events.store(classes.kinds().bits(), Relaxed);
    }

    /// Publishes an event, as in Redis first by key, then by event. These messages stay in this
    /// daemon: they are about its keys.
    fn publish(&self, notice: &Notice) {
        let Notice { event, db, key: Some(key) } = notice else { return };
        let classes = EventClasses::from_bits(self.classes.load(Relaxed));
        let send = |prefix: &str, name: &[u8], payload: &[u8]| {
            let channel = [format!("__{prefix}@{db}__:").as_bytes(), name].concat();
            // How many hear of it is nobody's question.
            let _ = self.pubsub.deliver(Message::new(Space::Channel, &channel, payload));
        };
        if classes.by_key() {
            send("keyspace", key, event.name.as_bytes());
        }
        if classes.by_event() {
            send("keyevent", event.name.as_bytes(), key);
        }
    }
}

impl Audience for Listeners {
    fn wants(&self) -> Kinds {
        if self.pubsub.is_silent() {
            return Kinds::NONE;
        }
        Kinds::from_bits(self.events.load(Relaxed))
    }

    fn hear(&self, notices: &mut Notices, _by: u64) {
        for notice in notices.drain() {
            self.publish(&notice);
        }
    }

    fn missed(&self, _shard: usize) {}
}
