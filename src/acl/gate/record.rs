//! The ACL LOG: the last logins and commands that were denied, the newest first. Pure.

use std::collections::VecDeque;

use seawall_actors::clock::UnixMs;

/// Entries that are kept.
pub const MAX_ENTRIES: usize = 128;
/// What is the same within this time is one entry, counted.
const SAME_WITHIN_MS: u64 = 60_000;
/// Bytes of each text that are kept.
const MAX_TEXT: usize = 128;

/// Where a command was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// By itself.
    TopLevel,
    /// Inside MULTI, while queued or by EXEC.
    Multi,
}

impl Context {
    /// Redis' word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
        }
    }
}

/// Something that was denied.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// `command`, `key`, `channel`, or `auth`.
    pub reason: &'static str,
    /// Where.
    pub context: Context,
    /// The name of the command, the key, the channel; `AUTH` for a login.
    pub object: &'a [u8],
    /// The user, or who the client wanted to be.
    pub user: &'a [u8],
    /// The client's line of CLIENT LIST.
    pub client: &'a str,
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Given once.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// As of the event.
    pub reason: &'static str,
    /// As of the event.
    pub context: Context,
    /// As of the event, cut.
    pub object: Box<[u8]>,
    /// As of the event, cut.
    pub user: Box<[u8]>,
    /// The client that did it last.
    pub client: String,
    /// When it happened first.
    pub created: UnixMs,
    /// When it happened last.
    pub updated: UnixMs,
}

/// The entries.
#[derive(Debug, Default)]
pub struct Record {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Record {
    /// Adds an event, or counts it with an entry that says the same.
    pub fn add(&mut self, event: Event<'_>, now: UnixMs) {
        let (object, user) = (cut(event.object), cut(event.user));
        let same = |e: &Entry| {
            e.reason == event.reason
                && e.context == event.context
                && *e.object == *object
                && *e.user == *user
                && now.saturating_sub(e.updated) <= SAME_WITHIN_MS
        };
        let found = self.entries.iter().position(same).and_then(|at| self.entries.remove(at));
        let mut entry = found.unwrap_or_else(|| {
            let id = self.next_id;
            self.next_id += 1;
            Entry {
                id,
                count: 0,
                reason: event.reason,
                context: event.context,
                object: object.into(),
                user: user.into(),
                client: String::new(),
                created: now,
                updated: now,
            }
        });
        entry.count += 1;
        entry.updated = now;
        event.client.clone_into(&mut entry.client);
        self.entries.push_front(entry);
        self.entries.truncate(MAX_ENTRIES);
    }

    /// The newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// ACL LOG RESET.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..MAX_TEXT).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(object: &'a [u8]) -> Event<'a> {
        let context = Context::TopLevel;
        Event { reason: "key", context, object, user: b"bob", client: "id=7" }
    }

    #[test]
    fn the_same_within_a_minute_is_counted_and_moves_to_the_front() {
        let mut record = Record::default();
        for (object, now) in [(b"a", 0), (b"b", 1), (b"a", 60_000), (b"a", 120_001)] {
            record.add(event(object), now);
        }
        let seen: Vec<_> =
            record.entries().map(|e| (e.id, &*e.object, e.count, e.created, e.updated)).collect();
        assert_eq!(
            seen,
            [
                (2, &b"a"[..], 1, 120_001, 120_001),
                (0, &b"a"[..], 2, 0, 60_000),
                (1, &b"b"[..], 1, 1, 1)
            ]
        );
        record.clear();
        assert_eq!(record.entries().len(), 0);
    }

    #[test]
    fn it_is_bounded_in_entries_and_in_bytes() {
        let mut record = Record::default();
        for n in 0..1000u32 {
            record.add(event(&[n.to_string().into_bytes(), vec![b'x'; 10_000]].concat()), 0);
        }
        assert_eq!(record.entries().len(), MAX_ENTRIES);
        assert!(record.entries().all(|e| e.object.len() == MAX_TEXT && e.id >= 1000 - 128));
    }
}
