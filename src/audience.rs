//! Who hears what happens to keys: subscribers of keyspace events, and clients with caches of their
//! own.
//!
//! Shards and coordinators tell it command by command. While nobody is there who wants to hear,
//! it wants nothing to be told, and a command costs one look at a number more.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use seawall_actors::cache::Audience;
use seawall_actors::cache::store::{Event, Kinds, Notice, Notices};

use crate::config::events::EventClasses;
use crate::config::settings::Server;
use crate::pubsub::{Message, PubSub, Space};
use crate::tracking::Tracker;

/// Passes on what happens to keys.
#[derive(Debug)]
pub struct Listeners {
    pubsub: PubSub,
    tracker: Tracker,
    /// [`EventClasses`] in force.
    classes: AtomicU16,
    /// [`Kinds`] that those mean.
    events: AtomicU16,
}

impl Listeners {
    /// Passes on to the clients of this daemon.
    #[must_use]
    pub fn new(pubsub: PubSub, tracker: Tracker, settings: &Server) -> Self {
        let listeners =
            Self { pubsub, tracker, classes: AtomicU16::default(), events: AtomicU16::default() };
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
        let tracked = if self.tracker.is_on() { Kinds::CHANGED } else { Kinds::NONE };
        if self.pubsub.is_silent() {
            return tracked;
        }
        Kinds::from_bits(self.events.load(Relaxed)).and(tracked)
    }

    fn hear(&self, notices: &mut Notices, by: u64) {
        let mut changed = Vec::new();
        for notice in notices.drain() {
            match notice {
                Notice { event: Event::CHANGED, key: Some(key), .. } => {
                    self.tracker.changed(&key, by);
                    changed.push(key);
                }
                Notice { event: Event::FLUSHED, .. } => self.tracker.flushed(),
                notice => self.publish(&notice),
            }
        }
        if !changed.is_empty() {
            self.tracker.broadcast(changed, by);
        }
    }

    fn missed(&self, _shard: usize) {
        // Those who hear of everything under a prefix may have any key of it.
        self.tracker.flushed();
    }
}
