//! One record on disk and in memory.
//!
//! ```text
//! record := kind:u8 body_len:varint body
//! body of SET    (1) := db:u8 key_len:varint key expires_at:varint value
//! body of DELETE (2) := db:u8 key
//! body of EXPIRE (3) := db:u8 expires_at:varint key
//! body of FLUSH  (4) := db:u8            (255 = every database)
//! body of EVICT  (5) := db:u8 key        (a delete whose cause was memory)
//! body of SWAPDB (6) := a:u8 b:u8
//! body of FILL   (8) := as that of SET   (in snapshots only: it was read from the tier)
//! body of AUTHOR (128): who writes from here on, see [`Note`]
//! body of DUE    (130) := nothing        (the DELETE behind it is an expiry)
//! ```
//!
//! On disk a large value may be compressed, in a record of kind 7 or 9, see [`packed`].
//!
//! `varint` is LEB128, at most ten bytes; `expires_at` is Unix milliseconds, 0 for none. Every
//! record carries its length, so a reader can pass over a kind it does not know: kinds of 128
//! and above are *optional* (skip), kinds below are *critical* (refuse).

pub(crate) mod packed;

use super::author::Note;
use crate::clock::UnixMs;

const SET: u8 = 1;
const DELETE: u8 = 2;
const EXPIRE: u8 = 3;
const FLUSH: u8 = 4;
const EVICT: u8 = 5;
const SWAPDB: u8 = 6;
/// Only in a frame that says so, and only until it is unpacked.
const PACKED_SET: u8 = 7;
/// Only in snapshots: what the tier holds, and nobody has written here.
const FILL: u8 = 8;
/// As [`PACKED_SET`].
const PACKED_FILL: u8 = 9;
/// Kinds from here on may be skipped by a reader that does not know them.
const FIRST_OPTIONAL: u8 = 128;
/// A [`Note`].
const AUTHOR: u8 = 128;
/// An LSN that stands for nothing: its record was lost, and nobody shall have its number again.
const VOID: u8 = 129;
/// The DELETE behind it is an expiry: who has the expiry deletes by himself.
const DUE: u8 = 130;
const EVERY_DB: u8 = 255;

/// So many encoded records that stand for nothing. Every reader passes over them.
pub(crate) fn voids(count: usize) -> Vec<u8> {
    [VOID, 0].repeat(count)
}

/// One effect on the key space. Keys and values are borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// The key now holds `value` and expires at `expires_at` (`None`: never).
    Set {
        /// Database number.
        db: u8,
        /// Key bytes.
        key: &'a [u8],
        /// Value bytes.
        value: &'a [u8],
        /// Absolute expiry, Unix milliseconds.
        expires_at: Option<UnixMs>,
    },
    /// The same, in a snapshot, for a value that was only read from the tier: it is the tier's own.
    /// No effect: the log has none.
    Fill {
        /// Database number.
        db: u8,
        /// Key bytes.
        key: &'a [u8],
        /// Value bytes.
        value: &'a [u8],
        /// Absolute expiry, Unix milliseconds.
        expires_at: Option<UnixMs>,
    },
    /// The key is gone: deleted, or expired.
    Delete {
        /// Database number.
        db: u8,
        /// Key bytes.
        key: &'a [u8],
    },
    /// The key keeps its value and now expires at `expires_at` (`None`: never).
    Expire {
        /// Database number.
        db: u8,
        /// Key bytes.
        key: &'a [u8],
        /// Absolute expiry, Unix milliseconds.
        expires_at: Option<UnixMs>,
    },
    /// A database (`None`: every one) is empty now.
    Flush {
        /// Database number.
        db: Option<u8>,
    },
    /// The key was evicted to stay within a limit.
    Evict {
        /// Database number.
        db: u8,
        /// Key bytes.
        key: &'a [u8],
    },
    /// Two databases changed places.
    SwapDb {
        /// One database.
        a: u8,
        /// The other one.
        b: u8,
    },
}

impl<'a> Record<'a> {
    /// Database and key of the one entry it concerns; `None` if it is about whole databases.
    #[must_use]
    pub const fn entry(&self) -> Option<(u8, &'a [u8])> {
        match *self {
            Self::Set { db, key, .. }
            | Self::Fill { db, key, .. }
            | Self::Delete { db, key }
            | Self::Expire { db, key, .. }
            | Self::Evict { db, key } => Some((db, key)),
            Self::Flush { .. } | Self::SwapDb { .. } => None,
        }
    }
}

/// What stands in the log: an effect, or a note beside the effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// An effect.
    Record(Record<'a>),
    /// Who writes from here on.
    Note(Note<'a>),
}

/// What is wrong with encoded records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A record ends before its declared length, or a length overflows.
    #[error("a record is cut short or its length is malformed")]
    Malformed,
    /// A record kind that must be understood and is not.
    #[error("record kind {0} is not known to this version and is marked critical")]
    UnknownCritical(u8),
}

/// Encoded records that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    count: u32,
    /// How many of them are evictions.
    evictions: u32,
    /// Length of the longest value.
    largest: usize,
}

impl RecordBatch {
    /// An empty batch; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, evictions: 0, largest: 0 }
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Record<'_>) {
        self.count += 1;
        match *record {
            Record::Set { db, key, value, expires_at }
            | Record::Fill { db, key, value, expires_at } => {
                let kind = if matches!(record, Record::Set { .. }) { SET } else { FILL };
                self.largest = self.largest.max(value.len());
                let expires_at = expires_at.unwrap_or(0);
                let len = 1
                    + varint_len(key.len() as u64)
                    + key.len()
                    + varint_len(expires_at)
                    + value.len();
                self.head(kind, len, db);
                put_varint(&mut self.bytes, key.len() as u64);
                self.bytes.extend_from_slice(key);
                put_varint(&mut self.bytes, expires_at);
                self.bytes.extend_from_slice(value);
            }
            Record::Delete { db, key } => {
                self.head(DELETE, 1 + key.len(), db);
                self.bytes.extend_from_slice(key);
            }
            Record::Expire { db, key, expires_at } => {
                let expires_at = expires_at.unwrap_or(0);
                self.head(EXPIRE, 1 + varint_len(expires_at) + key.len(), db);
                put_varint(&mut self.bytes, expires_at);
                self.bytes.extend_from_slice(key);
            }
            Record::Flush { db } => self.head(FLUSH, 1, db.unwrap_or(EVERY_DB)),
            Record::Evict { db, key } => {
                self.evictions += 1;
                self.head(EVICT, 1 + key.len(), db);
                self.bytes.extend_from_slice(key);
            }
            Record::SwapDb { a, b } => {
                self.head(SWAPDB, 2, a);
                self.bytes.push(b);
            }
        }
    }

    /// Appends the deletion of a key whose time has come: a mark, which has an LSN of its own, and
    /// a [`Record::Delete`]. Readers that do not care pass over the mark.
    pub fn push_expired(&mut self, db: u8, key: &[u8]) {
        self.count += 1;
        put_head(&mut self.bytes, DUE, 0);
        self.push(&Record::Delete { db, key });
    }

    /// Appends a note. It counts as a record: it has an LSN.
    pub fn push_note(&mut self, note: &Note<'_>) {
        self.count += 1;
        put_head(&mut self.bytes, AUTHOR, note.encoded_len());
        note.encode(&mut self.bytes);
    }

    fn head(&mut self, kind: u8, body_len: usize, db: u8) {
        put_head(&mut self.bytes, kind, body_len);
        self.bytes.push(db);
    }

    /// Appends all records of `other` behind this batch's own.
    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
        self.evictions += other.evictions;
        self.largest = self.largest.max(other.largest);
    }

    /// Number of records.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is nothing but evictions. Nobody has to wait until those are settled: one that
    /// is lost in a crash gives back what the key held.
    #[must_use]
    pub const fn is_evictions_only(&self) -> bool {
        self.count == self.evictions
    }

    /// Bytes of the longest value, 0 without any.
    #[must_use]
    pub const fn largest_value(&self) -> usize {
        self.largest
    }

    /// The encoded records.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.evictions = 0;
        self.largest = 0;
    }
}

/// Reads records back, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    read: u64,
    /// The mark before an expiry was the last that was read.
    due: bool,
}

impl<'a> Records<'a> {
    /// A reader over encoded records.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0, due: false }
    }

    /// Records read so far, with notes and with those that were passed over because this version
    /// does not know them: each of these has an LSN, too.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// Whether the record that was returned last is a deletion because its time had come.
    #[must_use]
    pub const fn was_expiry(&self) -> bool {
        self.due
    }

    /// The next record or note. Ends after the first error.
    pub fn next_item(&mut self) -> Option<Result<Item<'a>, DecodeError>> {
        self.due = false;
        while !self.rest.is_empty() {
            self.read += 1;
            match self.read() {
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => {}
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// What comes next; `None` is an optional record that is not known here.
    fn read(&mut self) -> Result<Option<Item<'a>>, DecodeError> {
        let (kind, body, rest) = split_record(self.rest)?;
        self.rest = rest;
        if kind >= FIRST_OPTIONAL {
            self.due = kind == DUE;
            let note = (kind == AUTHOR).then(|| Note::decode(body)).flatten();
            return Ok(note.map(Item::Note));
        }
        if kind == SET || kind == FILL {
            let SetBody { db, key, value, expires_at } = SetBody::decode(body)?;
            return Ok(Some(Item::Record(match kind {
                SET => Record::Set { db, key, value, expires_at },
                _ => Record::Fill { db, key, value, expires_at },
            })));
        }
        let (&db, body) = body.split_first().ok_or(DecodeError::Malformed)?;
        let record = match kind {
            DELETE => Record::Delete { db, key: body },
            EXPIRE => {
                let (expires_at, key) = take_varint(body)?;
                Record::Expire { db, key, expires_at: some_time(expires_at) }
            }
            FLUSH => Record::Flush { db: (db != EVERY_DB).then_some(db) },
            EVICT => Record::Evict { db, key: body },
            SWAPDB => {
                let &[b] = body else { return Err(DecodeError::Malformed) };
                Record::SwapDb { a: db, b }
            }
            unknown => return Err(DecodeError::UnknownCritical(unknown)),
        };
        Ok(Some(Item::Record(record)))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    /// The next record; notes are passed over.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_item()? {
                Ok(Item::Record(record)) => return Some(Ok(record)),
                Ok(Item::Note(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The body of a SET or FILL, and the beginning of a packed one's.
struct SetBody<'a> {
    db: u8,
    key: &'a [u8],
    expires_at: Option<UnixMs>,
    value: &'a [u8],
}

impl<'a> SetBody<'a> {
    fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (&db, body) = body.split_first().ok_or(DecodeError::Malformed)?;
        let (key_len, body) = take_varint(body)?;
        let key_len = usize::try_from(key_len).map_err(|_| DecodeError::Malformed)?;
        let (key, body) = body.split_at_checked(key_len).ok_or(DecodeError::Malformed)?;
        let (expires_at, value) = take_varint(body)?;
        Ok(Self { db, key, expires_at: some_time(expires_at), value })
    }
}

/// Kind and body of the first record, and what is behind it.
fn split_record(records: &[u8]) -> Result<(u8, &[u8], &[u8]), DecodeError> {
    let (&kind, rest) = records.split_first().ok_or(DecodeError::Malformed)?;
    let (len, rest) = take_varint(rest)?;
    let len = usize::try_from(len).map_err(|_| DecodeError::Malformed)?;
    let (body, rest) = rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
    Ok((kind, body, rest))
}

fn put_head(out: &mut Vec<u8>, kind: u8, body_len: usize) {
    out.push(kind);
    put_varint(out, body_len as u64);
}

fn some_time(unix_ms: u64) -> Option<UnixMs> {
    (unix_ms != 0).then_some(unix_ms)
}

pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        let low = u64::from(byte & 0x7f);
        if i == 9 && byte > 1 {
            break;
        }
        value |= low << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[i + 1..]));
        }
    }
    Err(DecodeError::Malformed)
}

#[cfg(test)]
mod tests;
