//! Where a shard's store waits between two incarnations of its actor.

use std::sync::{Mutex, PoisonError};

use super::store::Store;
use crate::journal::Lsn;

/// Holds the store of a shard whose actor has ended, for the successor to adopt.
///
/// Only a store that was not in the middle of a commit gets here; otherwise the cradle stays
/// empty and the successor rebuilds from the log. While a log is loaded at the start, the cradles
/// are empty, too. The supervisor starts a successor only after
/// the predecessor's state was dropped, so the two never meet here.
#[derive(Debug, Default)]
pub struct Cradle {
    store: Mutex<Option<(Box<Store>, Lsn)>>,
}

impl Cradle {
    /// A cradle with the store that the first incarnation starts from.
    #[must_use]
    pub fn with(store: Box<Store>, last_lsn: Lsn) -> Self {
        Self { store: Mutex::new(Some((store, last_lsn))) }
    }

    /// Leaves a store, and the LSN of its last record, if no commit was under way.
    pub fn leave(&self, store: Box<Store>, last_lsn: Lsn) {
        if store.is_intact() {
            *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some((store, last_lsn));
        }
    }

    /// Takes the store out.
    #[must_use]
    pub fn take(&self) -> Option<(Box<Store>, Lsn)> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
