//! Who wrote: a note in the log beside the records, which a reader may pass over.
//!
//! ```text
//! body of AUTHOR (128) := number:varint [address user name]     number 0: nobody, or not known
//! each of the three    := len:varint UTF-8
//! ```
//!
//! A note holds for the records behind it, up to the next note: over the ends of frames and
//! segments, but not over a restart, after which the first batch has one. The three texts are
//! there when the author has not been described for a while; a number alone refers to the last
//! description with this number. So a client that writes alone costs nothing a record, and one
//! among many three to five bytes a batch.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{RecordBatch, put_varint, take_varint, varint_len};

/// Bytes of each of the three texts that are kept; what is longer is cut.
pub const MAX_TEXT: usize = 64;

/// The number of no author.
const NOBODY: u64 = 0;

/// A connection that writes. Shared by the connection, which may log in and rename it, and by its
/// jobs.
#[derive(Debug)]
pub struct Author {
    number: u64,
    address: String,
    names: Mutex<Names>,
    /// The epoch of the log in which it was described last; see [`Credits`].
    described: AtomicU64,
}

/// What may change while it writes.
#[derive(Debug)]
struct Names {
    user: String,
    name: String,
}

/// Who an author is, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    /// The client's address, as CLIENT LIST has it.
    pub address: Cow<'a, str>,
    /// The user it is authenticated as.
    pub user: Cow<'a, str>,
    /// The name that it gave itself; empty if none.
    pub name: Cow<'a, str>,
}

/// A note of the log: the records behind it are this author's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// The author's number, unique while the daemon runs; 0: the daemon itself, or not known.
    pub number: u64,
    /// Who it is, if the note says so.
    pub identity: Option<Identity<'a>>,
}

impl Author {
    /// An author; `number` is above 0 and never given twice while the daemon runs.
    #[must_use]
    pub fn new(number: u64, address: &str, user: &str) -> Self {
        Self {
            number,
            address: cut(address).to_owned(),
            names: Mutex::new(Names { user: cut(user).to_owned(), name: String::new() }),
            described: AtomicU64::new(0),
        }
    }

    /// Its number, above 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Gives it another name; what it writes from now on has it.
    pub fn rename(&self, name: &str) {
        self.change(|names| &mut names.name, name);
    }

    /// Makes it another user; what it writes from now on is that user's.
    pub fn set_user(&self, user: &str) {
        self.change(|names| &mut names.user, user);
    }

    fn change(&self, which: impl FnOnce(&mut Names) -> &mut String, text: &str) {
        let mut names = self.names();
        let held = which(&mut names);
        if *held != cut(text) {
            cut(text).clone_into(held);
            self.described.store(0, Ordering::Relaxed);
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Whole strings are swapped in: a poisoned lock is still whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

impl Identity<'_> {
    /// The same, on its own.
    #[must_use]
    pub fn into_owned(self) -> Identity<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Identity { address: owned(self.address), user: owned(self.user), name: owned(self.name) }
    }
}

impl<'a> Note<'a> {
    /// Bytes of the note's body.
    pub(super) fn encoded_len(&self) -> usize {
        let text = |text: &str| varint_len(text.len() as u64) + text.len();
        let identity = self.identity.as_ref();
        let texts =
            identity.map_or(0, |who| text(&who.address) + text(&who.user) + text(&who.name));
        varint_len(self.number) + texts
    }

    /// Appends the note's body.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        if let Some(Identity { address, user, name }) = &self.identity {
            for text in [address, user, name] {
                put_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Reads a body. `None`: it is not one that this version knows, so it is passed over. What a
    /// later version appends is ignored.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let (number, mut rest) = take_varint(body).ok()?;
        if rest.is_empty() {
            return Some(Self { number, identity: None });
        }
        let mut text = || {
            let (len, behind) = take_varint(rest).ok()?;
            let (text, behind) = behind.split_at_checked(usize::try_from(len).ok()?)?;
            rest = behind;
            std::str::from_utf8(text).ok().map(Cow::Borrowed)
        };
        let identity = Identity { address: text()?, user: text()?, name: text()? };
        Some(Self { number, identity: Some(identity) })
    }
}

/// Decides when the log needs a note. One per log, used under the lock that gives LSNs.
///
/// The log is parted into *epochs* of so many bytes. In each, the first batch of an author has a
/// note, and an author is described with its first one: so a reader that begins anywhere finds
/// both within an epoch's length before it, or nobody wrote, and segments may be deleted.
#[derive(Debug)]
pub struct Credits {
    /// Whose records come now, if a note of this epoch says so. Nobody's need no note.
    in_force: Option<u64>,
    /// Counts from 1; 0 before the first batch.
    epoch: u64,
    /// Bytes of records in this epoch.
    bytes: u64,
}

impl Default for Credits {
    fn default() -> Self {
        Self { in_force: Some(NOBODY), epoch: 0, bytes: 0 }
    }
}

impl Credits {
    /// The log was written by another process before: its last note is not to hold any more.
    pub fn disown(&mut self) {
        self.in_force = None;
    }

    /// Puts the note into `notes` that a batch of `bytes` by `author` needs before it, if any;
    /// an epoch lasts `every` bytes.
    pub fn note(
        &mut self,
        author: Option<&Author>,
        bytes: usize,
        every: u64,
        notes: &mut RecordBatch,
    ) {
        if self.epoch == 0 || self.bytes >= every {
            let in_force = self.in_force.filter(|number| *number == NOBODY);
            *self = Self { in_force, epoch: self.epoch + 1, bytes: 0 };
        }
        self.bytes += bytes as u64;
        let number = author.map_or(NOBODY, |author| author.number);
        let known =
            author.is_none_or(|author| author.described.load(Ordering::Relaxed) == self.epoch);
        if known && self.in_force == Some(number) {
            return;
        }
        self.in_force = Some(number);
        match author.filter(|_| !known) {
            None => notes.push_note(&Note { number, identity: None }),
            Some(author) => {
                author.described.store(self.epoch, Ordering::Relaxed);
                let names = author.names();
                let identity = Identity {
                    address: Cow::Borrowed(&author.address),
                    user: Cow::Borrowed(&names.user),
                    name: Cow::Borrowed(&names.name),
                };
                notes.push_note(&Note { number, identity: Some(identity) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
