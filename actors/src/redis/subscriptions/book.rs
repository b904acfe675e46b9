//! What a connection is subscribed to, and what it is to be. Pure.
//!
//! Whoever wants something writes it down here and goes on; what has to be asked of Redis is taken
//! out piece by piece, one piece at a time, and what became of it is written down in turn. However
//! often somebody changes his mind meanwhile, a name is asked for once more at most.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The most changes that are asked for in one piece, and about the most bytes of their names.
const MOST: usize = 512;
const BYTES: usize = 256 << 10;

/// What there is to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// A channel, by its name.
    Channel(Arc<[u8]>),
    /// Every channel whose name matches a glob.
    Pattern(Arc<[u8]>),
}

impl Topic {
    /// The channel's name, or the pattern's text.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Channel(name) | Self::Pattern(name) => name,
        }
    }
}

/// One thing that is asked of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub topic: Topic,
    /// To subscribe, or to end it.
    pub subscribe: bool,
}

/// How a topic stands that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Redis has confirmed it, or is not to be asked.
    Confirmed,
    /// It will be asked for, or was and is not answered.
    Pending,
    /// Redis does not allow it, in its words.
    Refused(Arc<str>),
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Absent,
    Asked,
    There,
    Leaving,
    Refused(Arc<str>),
}

#[derive(Debug, Default)]
struct Entry {
    wanted: bool,
    state: State,
    /// It stands in the queue.
    due: bool,
}

impl Entry {
    /// What it is to be asked to become; `None`: it is what it is to be, or is on its way.
    fn wish(&self, off: bool) -> Option<bool> {
        let wanted = self.wanted && !off;
        match self.state {
            State::Absent if wanted => Some(true),
            State::There if !wanted => Some(false),
            _ => None,
        }
    }

    fn is_idle(&self) -> bool {
        !self.due && !self.wanted && matches!(self.state, State::Absent | State::Refused(_))
    }
}

/// How many topics there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Somebody wants them.
    pub wanted: usize,
    /// Redis has confirmed them.
    pub confirmed: usize,
    /// Redis does not allow them.
    pub refused: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    topics: HashMap<Topic, Entry>,
    /// Those that Redis may have to be asked about, each at most once; empty without a connection.
    due: VecDeque<Topic>,
    counts: Counts,
    connected: bool,
    /// Nothing is wanted of Redis, whoever wants it.
    off: bool,
}

impl Book {
    /// Somebody wants this, or nobody any more.
    pub fn want(&mut self, topic: Topic, wanted: bool) {
        if !wanted && !self.topics.contains_key(&topic) {
            return;
        }
        let entry = self.topics.entry(topic.clone()).or_default();
        match (entry.wanted, wanted) {
            (false, true) => self.counts.wanted += 1,
            (true, false) => self.counts.wanted -= 1,
            _ => {}
        }
        entry.wanted = wanted;
        self.review(topic);
    }

    /// Whether Redis is to be asked for anything at all.
    pub fn set_off(&mut self, off: bool) {
        self.off = off;
        self.review_all();
    }

    /// There is a connection, and it is subscribed to nothing.
    pub fn begins(&mut self) {
        self.lost();
        self.connected = true;
        self.review_all();
    }

    /// There is no connection.
    pub fn lost(&mut self) {
        self.connected = false;
        self.due.clear();
        self.topics.retain(|_, entry| {
            (entry.due, entry.state) = (false, State::Absent);
            entry.wanted
        });
        (self.counts.confirmed, self.counts.refused) = (0, 0);
    }

    /// What was refused may be allowed by now.
    pub fn try_refused_again(&mut self) {
        if self.counts.refused == 0 {
            return;
        }
        for entry in self.topics.values_mut() {
            if matches!(entry.state, State::Refused(_)) {
                entry.state = State::Absent;
            }
        }
        self.counts.refused = 0;
        self.review_all();
    }

    /// What to ask Redis for now. What becomes of it is to be told by [`Book::settle`], or all is
    /// [`Book::lost`].
    pub fn take(&mut self) -> Vec<Change> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while changes.len() < MOST
            && bytes < BYTES
            && let Some(topic) = self.due.pop_front()
        {
            let Some(entry) = self.topics.get_mut(&topic) else { continue };
            entry.due = false;
            let Some(subscribe) = entry.wish(self.off) else {
                self.review(topic);
                continue;
            };
            if subscribe {
                entry.state = State::Asked;
            } else {
                entry.state = State::Leaving;
                self.counts.confirmed -= 1;
            }
            bytes += topic.name().len();
            changes.push(Change { topic, subscribe });
        }
        changes
    }

    /// What Redis has answered to one that was taken.
    pub fn settle(&mut self, topic: Topic, answer: Result<(), Arc<str>>) {
        let Some(entry) = self.topics.get_mut(&topic) else { return };
        entry.state = match (&entry.state, answer) {
            (State::Asked, Ok(())) => {
                self.counts.confirmed += 1;
                State::There
            }
            (State::Asked, Err(why)) => {
                self.counts.refused += 1;
                State::Refused(why)
            }
            // If it is not allowed to end, what still comes by it finds nobody.
            _ => State::Absent,
        };
        self.review(topic);
    }

    /// How this stands.
    pub fn standing(&self, topic: &Topic) -> Standing {
        match self.topics.get(topic).map(|entry| &entry.state) {
            _ if self.off => Standing::Confirmed,
            Some(State::There) => Standing::Confirmed,
            Some(State::Refused(why)) => Standing::Refused(Arc::clone(why)),
            _ => Standing::Pending,
        }
    }

    /// Whether Redis is to be asked for something.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether there is to be a connection.
    pub fn needs_connection(&self) -> bool {
        self.counts.wanted > 0 && !self.off
    }

    /// How many topics there are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Why one of those is refused that are.
    pub fn a_refusal(&self) -> Option<(&Topic, &str)> {
        if self.counts.refused == 0 {
            return None;
        }
        self.topics.iter().find_map(|(topic, entry)| match &entry.state {
            State::Refused(why) if entry.wanted => Some((topic, &**why)),
            _ => None,
        })
    }

    fn review(&mut self, topic: Topic) {
        let Some(entry) = self.topics.get_mut(&topic) else { return };
        if entry.is_idle() {
            if matches!(entry.state, State::Refused(_)) {
                self.counts.refused -= 1;
            }
            self.topics.remove(&topic);
        } else if self.connected && !entry.due && entry.wish(self.off).is_some() {
            entry.due = true;
            self.due.push_back(topic);
        }
    }

    fn review_all(&mut self) {
        let topics: Vec<Topic> = self.topics.keys().cloned().collect();
        topics.into_iter().for_each(|topic| self.review(topic));
    }
}
