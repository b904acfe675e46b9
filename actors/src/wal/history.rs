//! What the log still knows of one key: what happened to it, when, and who did it.
//!
//! Segments are read from the newest to the oldest, each from its begin to its end, because only
//! so can it be verified. What happened under a key's *name* in one database counts: a SWAPDB is
//! an event of it, and what the other database held until then is found there.

mod chronicle;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use self::chronicle::{Chronicle, Stretch};
use super::replay::{RangeError, read_items, starts};
use crate::clock::UnixMs;
use crate::journal::{Identity, Lsn};

/// Segments that are read beyond the last event asked for, to learn who its author was: notes are
/// made anew every segment's size of records, and frames take some room of their own.
const AUTHORS_WITHIN: u32 = 3;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Database number.
    pub db: u8,
    /// The key.
    pub key: &'a [u8],
    /// Events that are wanted, the newest first; at least 1.
    pub count: usize,
    /// The last LSN that is looked at; it must be settled.
    pub upto: Lsn,
}

/// What the log knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What happened, the newest first.
    pub events: Vec<Event>,
    /// The first LSN that was looked at; above the last one if there was nothing to look at.
    pub reaches: Lsn,
    /// Whether it went as far as it was asked to: the wanted number of events was found, or the
    /// log's begin reached. If not, time was over.
    pub complete: bool,
}

/// One thing that happened to the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The LSN of its record.
    pub lsn: Lsn,
    /// When it was logged: wall clock, Unix milliseconds.
    pub wall_ms: UnixMs,
    /// What happened.
    pub change: Change,
    /// The client that did it; `None`: the daemon itself, or nobody knows any more.
    pub author: Option<Identity<'static>>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was given a value.
    Set {
        /// Bytes of the value.
        size: usize,
        /// When it would expire, Unix milliseconds; `None`: never.
        expires_at: Option<UnixMs>,
    },
    /// It was deleted.
    Delete,
    /// Its time was over.
    Expired,
    /// Its time to live was changed.
    Expire {
        /// When it would expire from then on, Unix milliseconds; `None`: never.
        expires_at: Option<UnixMs>,
    },
    /// Its database was emptied.
    Flush,
    /// It was evicted to make room.
    Evict,
    /// Its database took the place of this one.
    Swap(u8),
}

/// Reads the log in the data directory `data` backwards until it knows what was asked, or `until`
/// has come; at least one segment is read. Blocks: run it where blocking is allowed.
///
/// # Errors
/// [`RangeError`]: the log cannot be read, or is damaged.
pub fn read(data: &Path, query: &Query<'_>, until: Instant) -> Result<History, RangeError> {
    let mut chronicle = Chronicle::default();
    let (mut reaches, mut complete, mut beyond) = (query.upto.saturating_add(1), true, 0);
    for (first, _) in starts(data)?.into_iter().rev().filter(|(first, _)| *first <= query.upto) {
        // One event more than is wanted tells whether the last one was an expiry.
        if chronicle.len() > query.count {
            if !chronicle.is_in_doubt() || beyond == AUTHORS_WITHIN {
                break;
            }
            beyond += 1;
        }
        let upto = reaches.saturating_sub(1);
        if upto < query.upto && Instant::now() >= until {
            complete = chronicle.len() >= query.count;
            break;
        }
        let mut stretch = Stretch::new(query);
        let read = read_items(data, first.saturating_sub(1), upto, |origin, item| {
            stretch.take(origin, item);
            ControlFlow::Continue(())
        });
        match read {
            Ok(()) => {}
            // It was deleted meanwhile: the log begins later now.
            Err(RangeError::Gone { .. }) => break,
            // The same, on a decision from before the log was held. The oldest go first, so what was
            // read is there.
            Err(error) if reaches <= query.upto && error.is_not_found() => break,
            Err(error) => return Err(error),
        }
        chronicle.prepend(stretch);
        reaches = first;
    }
    Ok(History { events: chronicle.into_events(query.count), reaches, complete })
}

#[cfg(test)]
mod tests;
