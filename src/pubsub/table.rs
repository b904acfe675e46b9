//! Who listens to which name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Inbox, Message, Name, Push};
use crate::glob::Glob;

/// Parts of a table, each with a lock: publishers to different channels rarely meet.
const PARTS: usize = 32;

/// Those who listen to one name, by ascending id.
#[derive(Debug, Default)]
struct Listeners(Vec<Arc<Inbox>>);

impl Listeners {
    fn add(&mut self, inbox: &Arc<Inbox>) {
        if let Err(at) = self.0.binary_search_by_key(&inbox.client(), |other| other.client()) {
            self.0.insert(at, Arc::clone(inbox));
        }
    }

    /// Whether nobody is left.
    fn remove(&mut self, client: u64) -> bool {
        if let Ok(at) = self.0.binary_search_by_key(&client, |other| other.client()) {
            self.0.remove(at);
        }
        self.0.is_empty()
    }

    fn send(&self, push: impl Fn() -> Push) -> u64 {
        self.0.iter().for_each(|inbox| inbox.put(push()));
        self.0.len() as u64
    }
}

type Part = HashMap<Name, Listeners, foldhash::fast::RandomState>;

/// The channels of one kind.
#[derive(Debug, Default)]
pub(super) struct Channels {
    hasher: foldhash::fast::RandomState,
    parts: [Mutex<Part>; PARTS],
}

impl Channels {
    /// Adds a listener. A name that nobody listened to needs `room`; if there is none, nothing
    /// changes and the answer is false. `first` is called when it is the first.
    pub fn join(
        &self,
        name: &Name,
        inbox: &Arc<Inbox>,
        room: impl FnOnce() -> bool,
        first: impl FnOnce(),
    ) -> bool {
        self.with(name, |part| {
            if let Some(listeners) = part.get_mut(name) {
                listeners.add(inbox);
                return true;
            }
            if !room() {
                return false;
            }
            part.entry(Arc::clone(name)).or_default().add(inbox);
            first();
            true
        })
    }

    /// Removes a listener; `last` is called when it was the last.
    pub fn leave(&self, name: &Name, client: u64, last: impl FnOnce()) {
        self.with(name, |part| {
            if part.get_mut(name).is_some_and(|listeners| listeners.remove(client)) {
                part.remove(name);
                if part.is_empty() {
                    *part = Part::default();
                }
                last();
            }
        });
    }

    /// Puts a message into the inboxes of its channel's listeners and then lets `others` hear it;
    /// how many received it in all.
    pub fn deliver(&self, message: &Arc<Message>, others: impl FnOnce() -> u64) -> u64 {
        self.with(message.channel(), |part| {
            let push = || Push::Message(Arc::clone(message));
            part.get(message.channel()).map_or(0, |listeners| listeners.send(push)) + others()
        })
    }

    pub fn listeners(&self, name: &[u8]) -> usize {
        self.with(name, |part| part.get(name).map_or(0, |listeners| listeners.0.len()))
    }

    /// Names that `keep` takes. Part by part: publishers go on meanwhile.
    pub fn names(&self, keep: impl Fn(&[u8]) -> bool) -> Vec<Name> {
        let mut names = Vec::new();
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            names.extend(part.keys().filter(|name| keep(name)).cloned());
        }
        names
    }

    fn with<R>(&self, name: &[u8], work: impl FnOnce(&mut Part) -> R) -> R {
        use std::hash::BuildHasher as _;
        // The number of parts is small and not zero.
        let index = self.hasher.hash_one(name) as usize % PARTS;
        // A map of counted references is never half-changed: a poisoned lock is still whole.
        work(&mut self.parts[index].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The patterns, each compiled once, in the order of their texts.
#[derive(Debug, Default)]
pub(super) struct Patterns(RwLock<BTreeMap<Name, Pattern>>);

#[derive(Debug)]
struct Pattern {
    glob: Glob,
    listeners: Listeners,
}

impl Patterns {
    /// As [`Channels::join`].
    pub fn join(
        &self,
        name: &Name,
        inbox: &Arc<Inbox>,
        room: impl FnOnce() -> bool,
        first: impl FnOnce(),
    ) -> bool {
        let mut patterns = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = patterns.get_mut(name) {
            pattern.listeners.add(inbox);
            return true;
        }
        if !room() {
            return false;
        }
        let pattern = Pattern { glob: Glob::new(name), listeners: Listeners::default() };
        patterns.entry(Arc::clone(name)).or_insert(pattern).listeners.add(inbox);
        first();
        true
    }

    /// As [`Channels::leave`].
    pub fn leave(&self, name: &Name, client: u64, last: impl FnOnce()) {
        let mut patterns = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if patterns.get_mut(name).is_some_and(|pattern| pattern.listeners.remove(client)) {
            patterns.remove(name);
            last();
        }
    }

    /// Puts a message into the inboxes of those whose patterns match its channel, once for each
    /// pattern that does.
    pub fn deliver(&self, message: &Arc<Message>) -> u64 {
        let patterns = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = patterns.iter().filter(|(_, p)| p.glob.matches(message.channel()));
        matching
            .map(|(name, pattern)| {
                pattern.listeners.send(|| Push::Matched(Arc::clone(name), Arc::clone(message)))
            })
            .sum()
    }

    /// The same for the listeners of one pattern, which is known to match.
    pub fn deliver_by(&self, pattern: &[u8], message: &Arc<Message>) -> u64 {
        let patterns = self.0.read().unwrap_or_else(PoisonError::into_inner);
        patterns.get_key_value(pattern).map_or(0, |(name, pattern)| {
            pattern.listeners.send(|| Push::Matched(Arc::clone(name), Arc::clone(message)))
        })
    }

    pub fn names(&self, keep: impl Fn(&[u8]) -> bool) -> Vec<Name> {
        let patterns = self.0.read().unwrap_or_else(PoisonError::into_inner);
        patterns.keys().filter(|name| keep(name)).cloned().collect()
    }
}
