//! The subscriptions of one connection. Dropping it ends them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inbox, Name, PubSub, Space};
use crate::resp::refusal::Refusal;

type Names = HashMap<Name, u64, foldhash::fast::RandomState>;

/// One connection's subscriptions, owned by its task.
#[derive(Debug)]
pub struct Subscriber {
    pubsub: PubSub,
    inbox: Arc<Inbox>,
    /// By [`Space`]; each name with its turn, for what is told in the order of subscribing.
    names: [Names; Space::ALL.len()],
    turn: u64,
}

impl Subscriber {
    /// Without subscriptions.
    #[must_use]
    pub fn new(pubsub: PubSub, inbox: Arc<Inbox>) -> Self {
        Self { pubsub, inbox, names: Default::default(), turn: 0 }
    }

    /// What a confirmation counts: channels and patterns together, shard channels alone.
    #[must_use]
    pub fn count(&self, space: Space) -> usize {
        let len = |space: Space| self.names[space as usize].len();
        match space {
            Space::Shard => len(Space::Shard),
            Space::Channel | Space::Pattern => len(Space::Channel) + len(Space::Pattern),
        }
    }

    /// Whether there is any subscription.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.names.iter().any(|names| !names.is_empty())
    }

    /// Whether it is subscribed to this.
    #[must_use]
    pub fn holds(&self, space: Space, name: &[u8]) -> bool {
        self.names[space as usize].contains_key(name)
    }

    /// Subscribes to names, to all of them or none; the count after each.
    ///
    /// # Errors
    /// A bound is reached: nothing has changed.
    pub fn subscribe<'a>(
        &mut self,
        space: Space,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<usize>, Refusal> {
        let (known, mut fresh, mut counts) = (&self.names[space as usize], Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        let before = self.count(space);
        for name in names {
            if !known.contains_key(name) && seen.insert(name) {
                fresh.push(Name::from(name));
            }
            counts.push(before + fresh.len());
        }
        let most = self.pubsub.shared.max_subscriptions.load(Ordering::Relaxed);
        let held: usize = self.names.iter().map(Names::len).sum();
        if !fresh.is_empty() && held + fresh.len() > most {
            return Err(Refusal::other(format!(
                "ERR too many subscriptions: this connection has {held} of the {most} that \
                 server.max_subscriptions allows"
            )));
        }
        let was_subscribed = held > 0;
        for (at, name) in fresh.iter().enumerate() {
            if let Err(refusal) = self.pubsub.join(space, name, &self.inbox) {
                let joined = fresh.iter().take(at);
                joined.for_each(|name| self.pubsub.leave(space, name, self.inbox.client()));
                return Err(refusal);
            }
        }
        for name in fresh {
            self.turn += 1;
            self.names[space as usize].insert(name, self.turn);
        }
        if !was_subscribed && self.is_subscribed() {
            self.pubsub.shared.ledger.subscriber_came();
        }
        self.note(space);
        Ok(counts)
    }

    /// Ends the subscriptions to these names; the count after each. What has arrived by one and
    /// was not sent is dropped.
    pub fn unsubscribe<'a>(
        &mut self,
        space: Space,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<usize> {
        let was_subscribed = self.is_subscribed();
        let counts = names
            .map(|name| {
                if let Some((name, _)) = self.names[space as usize].remove_entry(name) {
                    self.pubsub.leave(space, &name, self.inbox.client());
                }
                self.count(space)
            })
            .collect();
        let held = &self.names;
        self.inbox.retain(|push| {
            push.source().is_none_or(|(space, name)| held[space as usize].contains_key(name))
        });
        if was_subscribed && !self.is_subscribed() {
            self.pubsub.shared.ledger.subscriber_went();
        }
        self.note(space);
        counts
    }

    /// The names of one kind, in the order in which they were subscribed to.
    #[must_use]
    pub fn names(&self, space: Space) -> Vec<Name> {
        let names = self.names[space as usize].iter();
        let mut names: Vec<(u64, Name)> = names.map(|(n, turn)| (*turn, Arc::clone(n))).collect();
        names.sort_unstable_by_key(|(turn, _)| *turn);
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Ends every subscription.
    pub fn unsubscribe_all(&mut self) {
        for space in Space::ALL {
            let names = self.names(space);
            self.unsubscribe(space, names.iter().map(AsRef::as_ref));
        }
    }

    fn note(&self, space: Space) {
        self.inbox.note_subscriptions(space, self.names[space as usize].len());
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.unsubscribe_all();
    }
}
