//! Puts together what the segments tell, the newest first. Pure.

use std::collections::{HashMap, VecDeque};

use super::{Change, Event, Query};
use crate::journal::{Identity, Item, Note, Record};
use crate::wal::replay::Origin;

/// Who did something, as far as it is known by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The event says so.
    Told,
    /// The author with this number, who is described further back.
    Number(u64),
    /// Whoever a note further back names.
    Inherited,
}

/// An event whose author may have to be looked for further back.
#[derive(Debug)]
struct Found {
    event: Event,
    by: By,
}

/// What one segment tells, read from its begin on.
#[derive(Debug)]
pub(super) struct Stretch<'q> {
    query: &'q Query<'q>,
    /// The last ones, one more than is wanted.
    found: VecDeque<Found>,
    /// Authors by number. A segment describes each about once.
    known: HashMap<u64, Identity<'static>>,
    /// Whose records come; `None` before the first note.
    in_force: Option<u64>,
}

impl<'q> Stretch<'q> {
    pub(super) fn new(query: &'q Query<'q>) -> Self {
        Self { query, found: VecDeque::new(), known: HashMap::new(), in_force: None }
    }

    /// The next record or note.
    pub(super) fn take(&mut self, origin: Origin, item: Item<'_>) {
        match item {
            Item::Note(Note { number, identity }) => {
                self.in_force = Some(number);
                self.known.extend(identity.map(|identity| (number, identity.into_owned())));
            }
            Item::Record(record) => {
                let Some(change) = self.change(&record) else { return };
                let (author, by) = self.author();
                if self.found.len() > self.query.count {
                    self.found.pop_front();
                }
                let event = Event { lsn: origin.lsn, wall_ms: origin.wall_ms, change, author };
                self.found.push_back(Found { event, by });
            }
        }
    }

    /// What a record means for the key; `None`: nothing.
    fn change(&self, record: &Record<'_>) -> Option<Change> {
        let &Query { db: ours, key: name, .. } = self.query;
        let (db, key, change) = match *record {
            Record::Set { db, key, value, expires_at }
            | Record::Fill { db, key, value, expires_at } => {
                (db, key, Change::Set { size: value.len(), expires_at })
            }
            Record::Delete { db, key } => (db, key, Change::Delete),
            Record::Expire { db, key, expires_at } => (db, key, Change::Expire { expires_at }),
            Record::Evict { db, key } => (db, key, Change::Evict),
            Record::Flush { db } => (db.unwrap_or(ours), name, Change::Flush),
            Record::SwapDb { a, b } if a == ours => (a, name, Change::Swap(b)),
            Record::SwapDb { a, b } => (b, name, Change::Swap(a)),
        };
        (db == ours && key == name).then_some(change)
    }

    fn author(&self) -> (Option<Identity<'static>>, By) {
        match self.in_force {
            None => (None, By::Inherited),
            Some(0) => (None, By::Told),
            Some(number) => match self.known.get(&number) {
                Some(identity) => (Some(identity.clone()), By::Told),
                None => (None, By::Number(number)),
            },
        }
    }
}

/// All that was found so far, the newest first.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    found: Vec<Found>,
}

impl Chronicle {
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether somebody's description has not come yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.found.iter().any(|found| found.by != By::Told)
    }

    /// Adds the segment before those that were added.
    pub(super) fn prepend(&mut self, stretch: Stretch<'_>) {
        for Found { event, by } in &mut self.found {
            if let (By::Inherited, Some(number)) = (*by, stretch.in_force) {
                *by = if number == 0 { By::Told } else { By::Number(number) };
            }
            if let By::Number(number) = *by
                && let Some(identity) = stretch.known.get(&number)
            {
                event.author = Some(identity.clone());
                *by = By::Told;
            }
        }
        self.found.extend(stretch.found.into_iter().rev());
    }

    /// The newest `count` events. The log does not tell an expiry from a deletion; the time does.
    pub(super) fn into_events(self, count: usize) -> Vec<Event> {
        let mut events: Vec<Event> = self.found.into_iter().map(|found| found.event).collect();
        for at in 1..events.len() {
            let ends = match events[at].change {
                Change::Set { expires_at, .. } | Change::Expire { expires_at } => expires_at,
                _ => None,
            };
            let after = &mut events[at - 1];
            if after.change == Change::Delete && ends.is_some_and(|ends| ends <= after.wall_ms) {
                after.change = Change::Expired;
                // Whoever came by when it was met, if anybody, did not mean it.
                after.author = None;
            }
        }
        events.truncate(count);
        events
    }
}
