//! A store lent to a coordinator, for commands that span several shards.

use tokio::sync::oneshot;

use super::store::Store;
use crate::journal::Lsn;

/// Takes a store, and the LSN of its last record, back to its shard.
type WayHome = oneshot::Sender<(Box<Store>, Lsn)>;

/// A borrowed store. The shard stands still until it is back.
///
/// Coordinators take loans in ascending shard order, so that two of them never wait for each
/// other, and never wait for anything else while they hold one. Dropping a loan gives the store
/// back if no commit was under way; otherwise the shard finds it lost and recovers as after a
/// crash.
#[derive(Debug)]
pub struct Loan {
    held: Option<(Box<Store>, WayHome)>,
    /// LSN of the last record of this store. The coordinator raises it when it appends.
    pub last_lsn: Lsn,
}

impl Loan {
    pub(super) fn new(store: Box<Store>, last_lsn: Lsn, back: WayHome) -> Self {
        Self { held: Some((store, back)), last_lsn }
    }

    /// Takes the store out to work on it; [`Loan::put`] it back before the loan is dropped.
    pub fn take(&mut self) -> Option<(Box<Store>, LoanSlip)> {
        self.held.take().map(|(store, back)| (store, LoanSlip { back }))
    }

    /// Puts a store back in that [`Loan::take`] took out.
    pub fn put(&mut self, store: Box<Store>, slip: LoanSlip) {
        self.held = Some((store, slip.back));
    }
}

/// The way home of a store that was taken out of its loan.
#[derive(Debug)]
pub struct LoanSlip {
    back: WayHome,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some((store, back)) = self.held.take()
            && store.is_intact()
        {
            // The shard waits for nothing else; if it was killed, the store goes with it.
            let _ = back.send((store, self.last_lsn));
        }
    }
}
