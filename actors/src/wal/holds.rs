//! Who needs the log from where on: what they hold is not deleted.
//!
//! Everyone who reads behind the daemon's back takes a [`Hold`] first: a shard's rebuild, a walk
//! through a key's history, an export, a follower. The registry is in memory only. A reader of a
//! moment needs no more, and a follower that comes back after a restart takes its hold before the
//! first segment is deleted, or is told that the log is [`Gone`](HoldError::Gone) and begins anew
//! from a snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::Lsn;

/// Holds there may be at a time.
const MAX_HOLDS: usize = 256;

/// The registry of one log. Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub struct Holds {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug)]
struct Book {
    /// The first LSN that can be held: before it segments are deleted, or about to be.
    begins: Lsn,
    held: BTreeMap<u64, Held>,
    next: u64,
}

/// One hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds, for people.
    pub who: Arc<str>,
    /// Every record behind this LSN is needed.
    pub behind: Lsn,
}

/// Why nothing can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// What is needed was deleted.
    #[error("the log begins with LSN {begins}; a snapshot stands for what came before")]
    Gone {
        /// The first LSN that can be held.
        begins: Lsn,
    },
    /// Too many hold already.
    #[error("{MAX_HOLDS} readers and followers hold the log already; try again later")]
    Full,
}

impl Holds {
    /// Of a log that begins with this LSN.
    pub(super) fn new(begins: Lsn) -> Self {
        let book = Book { begins, held: BTreeMap::new(), next: 0 };
        Self { book: Arc::new(Mutex::new(book)) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No step leaves it half changed, so poison says nothing.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps every record behind the LSN `behind` until the hold is dropped. `who` is for people.
    ///
    /// # Errors
    /// [`HoldError`].
    pub fn take(&self, who: impl Into<Arc<str>>, behind: Lsn) -> Result<Hold, HoldError> {
        let mut book = self.book();
        if behind.saturating_add(1) < book.begins {
            return Err(HoldError::Gone { begins: book.begins });
        }
        self.enter(&mut book, who.into(), behind)
    }

    /// The same for all of the log that there is.
    ///
    /// # Errors
    /// [`HoldError::Full`].
    pub fn take_all(&self, who: impl Into<Arc<str>>) -> Result<Hold, HoldError> {
        let mut book = self.book();
        let behind = book.begins.saturating_sub(1);
        self.enter(&mut book, who.into(), behind)
    }

    fn enter(&self, book: &mut Book, who: Arc<str>, behind: Lsn) -> Result<Hold, HoldError> {
        if book.held.len() >= MAX_HOLDS {
            return Err(HoldError::Full);
        }
        let id = book.next;
        book.next += 1;
        book.held.insert(id, Held { who, behind });
        Ok(Hold { holds: self.clone(), id })
    }

    /// The hold that reaches back furthest.
    #[must_use]
    pub fn lowest(&self) -> Option<Held> {
        self.book().held.values().min_by_key(|held| held.behind).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.book().held.len()
    }

    /// Lets nobody hold what is before `begins` any more. False, and nothing has changed, if
    /// somebody does.
    pub(super) fn raise(&self, begins: Lsn) -> bool {
        let mut book = self.book();
        let free = book.held.values().all(|held| held.behind.saturating_add(1) >= begins);
        if free {
            book.begins = book.begins.max(begins);
        }
        free
    }

    /// The log begins there, whoever held what is before: it is gone.
    pub(super) fn force(&self, begins: Lsn) {
        let mut book = self.book();
        book.begins = book.begins.max(begins);
    }

    /// Takes a raise back that nothing came of.
    pub(super) fn lower(&self, begins: Lsn) {
        self.book().begins = begins;
    }
}

/// Keeps a part of the log from being deleted until it is dropped.
#[derive(Debug)]
pub struct Hold {
    holds: Holds,
    id: u64,
}

impl Hold {
    /// Records up to and including this LSN are not needed any more. An LSN that is lower than
    /// before changes nothing.
    pub fn pass(&self, lsn: Lsn) {
        if let Some(held) = self.holds.book().held.get_mut(&self.id) {
            held.behind = held.behind.max(lsn);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.book().held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    #[test]
    fn what_is_held_is_not_passed_over_until_it_is_let_go() {
        let holds = Holds::new(1);
        let hold = holds.take("a reader", 9).unwrap();
        assert!(holds.raise(10));
        assert!(!holds.raise(11));
        assert_eq!(holds.lowest().map(|held| held.behind), Some(9));
        hold.pass(20);
        hold.pass(3);
        assert!(holds.raise(21) && !holds.raise(22));
        drop(hold);
        assert_eq!((holds.lowest(), holds.raise(22)), (None, true));
    }

    #[test]
    fn what_is_deleted_cannot_be_held() {
        let holds = Holds::new(5);
        assert_eq!(holds.take("late", 3).unwrap_err(), HoldError::Gone { begins: 5 });
        let _just = holds.take("in time", 4).unwrap();
        let all = holds.take_all("everything").unwrap();
        assert!(!holds.raise(6));
        drop(all);
        holds.raise(5);
        holds.lower(5);
        assert_eq!(holds.take("late", 3).unwrap_err(), HoldError::Gone { begins: 5 });
    }

    #[test]
    fn they_are_bounded() {
        let holds = Holds::new(1);
        let all: Vec<_> = (0..MAX_HOLDS).map(|_| holds.take("one", 0).unwrap()).collect();
        assert_eq!(holds.take("too many", 0).unwrap_err(), HoldError::Full);
        drop(all);
        assert_eq!(holds.count(), 0);
    }
}
