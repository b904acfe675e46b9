//! Commands over several shards: borrows their stores, runs, logs one batch, gives them back.

use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::store::{Notices, Store};
use seawall_actors::cache::{Loan, Outcome, Parked, ShardMsg};
use seawall_actors::clock::UnixMs;
use seawall_actors::failpoint::{self, Point};
use seawall_actors::journal::{Author, JournalError, Lsn, RecordBatch};
use seawall_actors::supervise::CallError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::refusal::Refusal;
use super::round::DataJob;
use crate::daemon::Shards;

/// How long a coordinator waits for one shard to lend its store. A shard that is being restarted
/// is back long before; one that is stuck must not freeze the shards borrowed already.
const LEND_WITHIN: Duration = Duration::from_secs(2);

/// Borrowed stores of some or all shards. Dropping it gives every intact store back.
#[derive(Debug)]
pub struct Borrowed<'a> {
    shards: &'a Shards,
    loans: Vec<Option<Loan>>,
    /// The stores, in shard order; `None` where not borrowed.
    stores: Vec<Option<Box<Store>>>,
    slips: Vec<Option<seawall_actors::cache::LoanSlip>>,
    /// Effects of what ran so far, in order.
    effects: RecordBatch,
    /// What is to be told of the keys.
    notices: Notices,
    scope: Option<Scope>,
    /// Whose commands run.
    author: Option<Arc<Author>>,
}

/// What runs now may be taken back.
#[derive(Debug)]
struct Scope {
    /// The effects of before: they did happen.
    before: RecordBatch,
    now: UnixMs,
}

/// Why a shard's store was not lent.
enum Missing {
    /// This shard is being rebuilt.
    Store(usize),
    /// Its actor is not there.
    Down(Refusal),
}

/// Which shards to borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSet(Vec<bool>);

impl ShardSet {
    /// No shard of `count`.
    #[must_use]
    pub fn none(count: usize) -> Self {
        Self(vec![false; count])
    }

    /// Adds a shard.
    pub fn add(&mut self, shard: usize) {
        if let Some(wanted) = self.0.get_mut(shard) {
            *wanted = true;
        }
    }

    /// Adds every shard.
    pub fn add_all(&mut self) {
        self.0.fill(true);
    }

    /// Adds the shards of another set.
    pub fn add_set(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Whether no shard is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }
}

impl<'a> Borrowed<'a> {
    /// Borrows the stores in ascending order, so that no two coordinators wait for each other. If
    /// one is being rebuilt, all others go home, and it is waited for up to `recovery_wait`.
    ///
    /// # Errors
    /// A refusal that says which shard is not there, with nothing executed.
    pub async fn take(
        shards: &'a Shards,
        wanted: &ShardSet,
        recovery_wait: Duration,
    ) -> Result<Self, Refusal> {
        let mut until = None;
        loop {
            let index = match Self::borrow(shards, wanted).await {
                Ok(borrowed) => return Ok(borrowed),
                Err(Missing::Down(refusal)) => return Err(refusal),
                Err(Missing::Store(index)) => index,
            };
            let until = *until.get_or_insert_with(|| Instant::now() + recovery_wait);
            if recovery_wait.is_zero() || !shards.await_store(index, until).await {
                return Err(loading(index));
            }
        }
    }

    async fn borrow(shards: &'a Shards, wanted: &ShardSet) -> Result<Self, Missing> {
        let count = shards.len();
        let mut borrowed = Self {
            shards,
            loans: (0..count).map(|_| None).collect(),
            stores: (0..count).map(|_| None).collect(),
            slips: (0..count).map(|_| None).collect(),
            effects: RecordBatch::new(),
            notices: Notices::default(),
            scope: None,
            author: None,
        };
        for (index, _) in wanted.0.iter().enumerate().filter(|(_, wanted)| **wanted) {
            let handle = shards.handle(index);
            let mut loan = match handle.call(LEND_WITHIN, ShardMsg::Lend).await {
                Ok(Some(loan)) => loan,
                Ok(None) => return Err(Missing::Store(index)),
                // Either way nothing was executed: a late loan comes home when it is dropped.
                Err(CallError::NotExecuted(why)) => {
                    return Err(Missing::Down(shard_down(index, &why)));
                }
                Err(CallError::Unknown(why)) => return Err(Missing::Down(shard_down(index, &why))),
            };
            if let Some((store, slip)) = loan.take() {
                borrowed.stores[index] = Some(store);
                borrowed.slips[index] = Some(slip);
            }
            borrowed.loans[index] = Some(loan);
        }
        // What the shards still owed the log comes before anything that runs now.
        borrowed.collect();
        failpoint::hit(Point::CoordinatorTaken);
        Ok(borrowed)
    }

    /// Says whose commands run, for the log.
    pub fn sign(&mut self, author: &Arc<Author>) {
        self.author = Some(Arc::clone(author));
    }

    /// All shards, those that are not borrowed, too.
    #[must_use]
    pub const fn shards(&self) -> &'a Shards {
        self.shards
    }

    /// The stores, in shard order.
    pub fn stores(&mut self) -> &mut [Option<Box<Store>>] {
        &mut self.stores
    }

    /// The store that holds keys of this hash, if it is borrowed.
    pub fn store_of(&mut self, hash: u64) -> Option<&mut Store> {
        self.stores.get_mut(self.shards.of(hash))?.as_deref_mut()
    }

    /// Collects the effects of the command that just ran, so that the batch keeps the order in
    /// which commands ran, and tells what happened to keys, unless it may still be taken back.
    pub fn collect(&mut self) {
        for store in self.stores.iter_mut().flatten() {
            store.mark_effects();
            self.effects.extend(store.effects_mut());
            store.effects_mut().clear();
            self.notices.append(store.notices_mut());
        }
        if self.scope.is_none() && !self.notices.is_empty() {
            let by = self.author.as_deref().map_or(0, Author::number);
            self.shards.audience().hear(&mut self.notices, by);
        }
    }

    /// Opens a scope over all borrowed stores: what runs at `now` until [`Borrowed::keep`] can
    /// be taken back as a whole. A scope that nobody keeps, because its coordinator gives up or
    /// panics, is rolled back: nobody was told that it happened.
    pub fn open_scope(&mut self, now: UnixMs) {
        self.collect();
        self.stores.iter_mut().flatten().for_each(|store| store.open_scope());
        self.scope = Some(Scope { before: std::mem::take(&mut self.effects), now });
    }

    /// Closes the scope; what ran in it stands.
    pub fn keep(&mut self) {
        self.collect();
        let Some(Scope { before: mut effects, .. }) = self.scope.take() else { return };
        self.stores.iter_mut().flatten().for_each(|store| store.keep());
        effects.extend(&self.effects);
        self.effects = effects;
        // The stores have told everything; now it has happened.
        self.collect();
    }

    /// Closes the scope and takes back what ran in it, in every store and in the effects.
    pub fn roll_back(&mut self) {
        let Some(Scope { before, now }) = self.scope.take() else { return };
        self.effects = before;
        self.notices.clear();
        self.stores.iter_mut().flatten().for_each(|store| store.roll_back(now));
    }

    /// Logs the effects as one batch, gives the stores back, and waits until all that was read
    /// or written here is settled. A scope that was not kept is rolled back first.
    ///
    /// Returns the LSN of the last effect; 0 if there was none.
    ///
    /// # Errors
    /// The log failed: what was written may not survive a restart.
    pub async fn finish(mut self) -> Result<Lsn, JournalError> {
        self.roll_back();
        failpoint::hit(Point::CoordinatorAppend);
        let journal = self.shards.journal();
        let (reply, settled) = oneshot::channel();
        let parked = Parked::new(Box::new(DataJob::parked_by(self.author.take())), reply);
        let mut written = 0;
        if self.effects.is_empty() {
            let lsn = self.loans.iter().flatten().map(|l| l.last_lsn).max().unwrap_or(0);
            drop(self.give_back(lsn));
            journal.park(lsn, parked);
        } else {
            let mut effects = std::mem::take(&mut self.effects);
            // Appended before the stores go home: whatever a shard appends next comes later.
            written = journal.append(&mut effects, Some(parked));
            drop(self.give_back(written));
        }
        failpoint::hit(Point::CoordinatorHome);
        match settled.await {
            Ok(Outcome::Failed(_, error)) => Err(error),
            Ok(_) => Ok(written),
            Err(_) => Err(JournalError::Closed),
        }
    }

    fn give_back(mut self, lsn: Lsn) -> Self {
        self.stamp(lsn);
        failpoint::hit(Point::CoordinatorAppended);
        self
    }

    /// What was collected has this LSN; or nothing was, and then any will do.
    fn stamp(&mut self, lsn: Lsn) {
        for loan in self.loans.iter_mut().flatten() {
            loan.last_lsn = loan.last_lsn.max(lsn);
        }
        for store in self.stores.iter_mut().flatten() {
            store.stamp_effects(lsn);
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.roll_back();
        // A coordinator that gives up half-way: what it collected did happen.
        if !self.effects.is_empty() {
            let lsn = self.shards.journal().append(&mut self.effects, None);
            self.stamp(lsn);
        } else if let Some(lsn) = self.loans.iter().flatten().map(|loan| loan.last_lsn).max() {
            self.stamp(lsn);
        }
        for ((loan, store), slip) in
            self.loans.iter_mut().zip(&mut self.stores).zip(&mut self.slips)
        {
            if let (Some(loan), Some(store), Some(slip)) = (loan, store.take(), slip.take()) {
                loan.put(store, slip);
            }
        }
    }
}

/// The shard is being rebuilt; Redis' code for "come back later".
#[must_use]
pub fn loading(shard: usize) -> Refusal {
    Refusal::other(format!("LOADING Seawall is rebuilding shard {shard} from its log"))
}

/// The shard's actor is down and did not come back in time.
#[must_use]
pub fn shard_down(shard: usize, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::other(format!("ERR not executed: shard {shard}: {why}"))
}

#[cfg(test)]
mod tests;
