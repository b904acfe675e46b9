//! The shard actor: owns one store alone and applies jobs to it.
//!
//! When it restarts, the store survives if no commit was under way (the successor adopts it);
//! otherwise it is rebuilt from the log while this shard alone answers [`Outcome::Loading`].

mod backlog;
mod job;
mod message;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tracing::error;

use super::audience::Audience;
use super::cradle::Cradle;
use super::loan::Loan;
use super::store::{ExportLimits, Freshness, Key, Store, StoreConfig};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::{Author, Journal, Lsn, RecordBatch, Release};
use crate::supervise::{Failure, Handle, Me, Worker};

pub use backlog::{Admitted, Backlog, GapToll, Toll};
pub use job::{Job, Outcome, Parked};
pub use message::{DatabaseStats, Exported, Heard, NotExported, ShardMsg, ShardStats, TierNews};

/// Entries that one sweep may expire, and evict, before others get their turn.
const SWEEP_MAX: u32 = 512;

/// Restores a shard's store from the log.
#[async_trait]
pub trait Rebuild: Send + Sync + 'static {
    /// Returns the store with everything up to the LSN that is returned with it. At the start it
    /// waits for the log to be loaded. MUST NOT block; is dropped if its shard ends meanwhile.
    ///
    /// # Errors
    /// Says why the log could not be read; the shard then fails and is tried again.
    async fn rebuild(&self, shard: usize, config: StoreConfig)
    -> Result<(Box<Store>, Lsn), String>;
}

/// What a start needs.
pub struct ShardArgs<J: Job> {
    /// Index of this shard.
    pub index: usize,
    /// The store that the predecessor left, or boot filled.
    pub cradle: Arc<Cradle>,
    /// Where effects go.
    pub journal: Arc<dyn Journal<Parked<J>>>,
    /// How to rebuild when the cradle is empty.
    pub rebuild: Arc<dyn Rebuild>,
    /// Current limits; read at the start, changes come by message.
    pub config: watch::Receiver<StoreConfig>,
    /// Who hears what happens to keys.
    pub audience: Arc<dyn Audience>,
    /// Wall time.
    pub clock: Clock,
    /// The tier behind the first database, while there is one; looked at when the store comes, and
    /// at [`ShardMsg::Rewire`].
    pub tier: watch::Receiver<Option<TierArgs>>,
}

/// What a shard follows of its tier.
#[derive(Debug, Clone)]
pub struct TierArgs {
    /// It has every write up to here.
    pub acknowledged: watch::Receiver<Lsn>,
    /// How long what is in memory may be served. The limit on bytes is this shard's share.
    pub freshness: watch::Receiver<Freshness>,
}

impl<J: Job> std::fmt::Debug for ShardArgs<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardArgs").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A shard's state. Dropped on any end of the actor: it then leaves the store in the cradle.
pub struct ShardState<J: Job> {
    args: ShardArgs<J>,
    /// `None` while the store is rebuilt, or lent.
    store: Option<Box<Store>>,
    /// The tier that the store was attached to.
    tier: Option<TierArgs>,
    /// Of the newest effect that a reader has to wait for: evictions are none.
    last_lsn: Lsn,
    /// Of the newest eviction. Whoever promises that a key is gone has to wait for it: the log may
    /// still have what went.
    evicted_lsn: Lsn,
    active_expire: bool,
    /// The rebuild that is under way.
    rebuilding: Option<AbortHandle>,
    /// Who waits for the store: bounded like the mailbox, by one a connection.
    awaiting: Vec<oneshot::Sender<()>>,
}

impl<J: Job> std::fmt::Debug for ShardState<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardState").field("last_lsn", &self.last_lsn).finish_non_exhaustive()
    }
}

impl<J: Job> Drop for ShardState<J> {
    fn drop(&mut self) {
        if let Some(rebuilding) = self.rebuilding.take() {
            rebuilding.abort();
        }
        if let Some(store) = self.store.take() {
            self.args.cradle.leave(store, self.last_lsn.max(self.evicted_lsn));
        }
    }
}

/// The shard actor; `J` is the batch type its clients send.
pub struct Shard<J>(std::marker::PhantomData<fn(J)>);

impl<J> std::fmt::Debug for Shard<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shard")
    }
}

impl<J> Default for Shard<J> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<J: Job> Worker for Shard<J> {
    type Msg = ShardMsg<J>;
    type Args = ShardArgs<J>;
    type State = ShardState<J>;

    async fn init(
        &self,
        _me: &Me<Self::Msg>,
        args: ShardArgs<J>,
    ) -> Result<ShardState<J>, Failure> {
        Ok(ShardState {
            args,
            store: None,
            tier: None,
            last_lsn: 0,
            evicted_lsn: 0,
            active_expire: true,
            rebuilding: None,
            awaiting: Vec::new(),
        })
    }

    async fn started(&self, me: &Me<Self::Msg>, state: &mut ShardState<J>) -> Result<(), Failure> {
        state.adopt_or_rebuild(me);
        Ok(())
    }

    async fn handle(
        &self,
        me: &Me<Self::Msg>,
        msg: ShardMsg<J>,
        state: &mut ShardState<J>,
    ) -> Result<(), Failure> {
        match msg {
            ShardMsg::Run(job, reply) => state.run(job, reply),
            ShardMsg::Lend(borrower) => state.lend(borrower).await?,
            ShardMsg::Sweep => state.sweep(me),
            ShardMsg::ActiveExpire(on) => state.active_expire = on,
            ShardMsg::BeginExport(walk, reply) => {
                let _ = reply.send(state.exportable().map(|store| store.begin_export(walk)));
            }
            ShardMsg::Export { walk, cursor, reply } => {
                let _ = reply.send(state.export(walk, cursor));
            }
            ShardMsg::Stats(reply) => {
                let _ = reply.send(state.stats());
            }
            ShardMsg::ResetStats => {
                if let Some(store) = &mut state.store {
                    store.reset_stats();
                }
            }
            ShardMsg::Reconfigure(config) => state.reconfigure(config),
            ShardMsg::AwaitStore(reply) => state.await_store(reply),
            ShardMsg::Rebuilt(result) => state.rebuilt(result)?,
            ShardMsg::Tier(news) => state.hear(news),
            ShardMsg::Rewire(reply) => {
                state.rewire();
                // Whoever asked may have given up.
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

impl<J: Job> ShardState<J> {
    fn adopt_or_rebuild(&mut self, me: &Me<ShardMsg<J>>) {
        let config = *self.args.config.borrow();
        if let Some((mut store, last_lsn)) = self.args.cradle.take() {
            // A store that is let go of here is rebuilt.
            failpoint::hit(Point::ShardAdopt);
            store.reconfigure(config);
            self.store = Some(store);
            self.last_lsn = last_lsn;
            self.attach_tier();
            // Effects of commands that ran before the predecessor's end and were not handed over.
            self.flush_effects();
            self.tell();
            return;
        }
        let (me, rebuild, index) = (me.clone(), Arc::clone(&self.args.rebuild), self.args.index);
        let work = tokio::spawn(async move { rebuild.rebuild(index, config).await });
        self.rebuilding = Some(work.abort_handle());
        tokio::spawn(async move {
            // Nobody is left to be told if the shard has ended.
            me.send(ShardMsg::Rebuilt(match work.await {
                Ok(result) => result,
                Err(died) => Err(format!("the rebuild ended early: {died}")),
            }));
        });
    }

    /// The store has come: it has what tier there is by now. News from it may have been missed.
    fn attach_tier(&mut self) {
        self.tier.clone_from(&self.args.tier.borrow());
        let Some(store) = &mut self.store else { return };
        let Some(tier) = &self.tier else { return self.detach_tier() };
        let now = self.args.clock.unix_ms();
        store.attach_tier(self.last_lsn, now);
        store.acknowledge(*tier.acknowledged.borrow());
        store.keep_fresh(*tier.freshness.borrow(), now);
        store.gap_behind();
    }

    /// A tier has come, or gone. What clients were told of keys by the one may not be so by the
    /// other.
    fn rewire(&mut self) {
        if self.tier.is_some() != self.args.tier.borrow().is_some() {
            self.attach_tier();
            self.flush_effects();
            self.args.audience.missed(self.args.index);
        }
    }

    /// What only the tier vouched for goes, in the log as far as that knows of it: also what a snapshot
    /// has of one that was there when it was taken.
    fn detach_tier(&mut self) {
        let Some(store) = &mut self.store else { return };
        let theirs = store.from_tier();
        for some in theirs.chunks(SWEEP_MAX as usize) {
            if let Some(store) = &mut self.store {
                store.drop_from_tier(some);
            }
            self.flush_effects();
        }
        if let Some(store) = &mut self.store {
            store.detach_tier();
        }
    }

    fn hear(&mut self, news: TierNews) {
        let Some(store) = &mut self.store else { return };
        if let Some(tier) = &self.tier {
            store.acknowledge(*tier.acknowledged.borrow());
        }
        store.notices_mut().want(self.args.audience.wants());
        match news {
            TierNews::Changed(keys, _toll) => {
                let now = self.args.clock.unix_ms();
                for (key, hash) in &keys {
                    store.changed_behind(Key { bytes: key, hash: *hash }, now);
                }
            }
            TierNews::Gap(toll) => {
                drop(toll);
                store.gap_behind();
                self.args.audience.missed(self.args.index);
            }
            TierNews::Passed { keys, executed } => {
                for (key, hash) in &keys {
                    store.end_passage(Key { bytes: key, hash: *hash }, executed);
                }
            }
            // Whoever asked may have given up.
            TierNews::Asks(reply) => drop(reply.send(store.any_ticket())),
            TierNews::Heard(answers) => {
                let now = self.args.clock.unix_ms();
                for Heard { key, hash, ticket, found } in &answers {
                    let key = Key { bytes: key, hash: *hash };
                    match found {
                        // What has no room is asked for again by who needs it.
                        Some((value, at)) => drop(store.fill(key, value, *at, *ticket, now)),
                        None => store.absent_behind(key, *ticket, None),
                    }
                }
                self.flush_effects();
            }
        }
        self.tell();
    }

    fn await_store(&mut self, reply: oneshot::Sender<()>) {
        if self.store.is_some() {
            // Whoever asked may have given up.
            let _ = reply.send(());
        } else {
            self.awaiting.retain(|other| !other.is_closed());
            self.awaiting.push(reply);
        }
    }

    fn rebuilt(&mut self, result: Result<(Box<Store>, Lsn), String>) -> Result<(), Failure> {
        self.rebuilding = None;
        let (mut store, lsn) = result.map_err(|why| {
            error!(shard = self.args.index, %why, "the store could not be rebuilt");
            Failure::new(format!("rebuild failed: {why}"))
        })?;
        failpoint::hit(Point::ShardRebuilt);
        store.reconfigure(*self.args.config.borrow());
        self.store = Some(store);
        self.last_lsn = lsn;
        self.attach_tier();
        self.args.audience.missed(self.args.index);
        for reply in self.awaiting.drain(..) {
            // Whoever asked may have given up.
            let _ = reply.send(());
        }
        Ok(())
    }

    fn run(&mut self, mut job: J, reply: oneshot::Sender<Outcome<J>>) {
        let Some(store) = &mut self.store else {
            let _ = reply.send(Outcome::Loading(job));
            return;
        };
        let writable = self.args.journal.writable();
        if let Some(tier) = &self.tier {
            store.acknowledge(*tier.acknowledged.borrow());
        }
        failpoint::hit(Point::ShardRun);
        let audience = &*self.args.audience;
        store.notices_mut().want(audience.wants());
        job.run(store, self.args.clock.unix_ms(), &writable, audience);
        if !store.notices().is_empty() {
            audience.hear(store.notices_mut(), job.author().map_or(0, Author::number));
        }
        failpoint::hit(Point::ShardRan);
        let promises = job.promises();
        let parked = Parked::new(job, reply);
        if writable.is_err() {
            // Only expiries can have happened; their records wait in the store for better days.
            parked.release(Ok(()));
        } else if !store.effects().is_empty() && store.effects().is_evictions_only() && !promises {
            // It has read, and what came from the tier has put others out: nobody has to wait for
            // the log to know, or a miss would cost a write to the disk.
            self.flush_effects();
            self.settle(parked, self.last_lsn);
        } else if !store.effects_mut().is_empty() {
            store.mark_effects();
            self.last_lsn = self.args.journal.append(store.effects_mut(), Some(parked));
            store.stamp_effects(self.last_lsn);
            failpoint::hit(Point::ShardAppended);
        } else {
            // A deletion that found nothing is a promise, too.
            let evicted = if promises { self.evicted_lsn } else { 0 };
            self.settle(parked, self.last_lsn.max(evicted));
        }
    }

    /// Releases what has changed nothing, once everything that it may have seen is settled.
    fn settle(&self, parked: Parked<J>, lsn: Lsn) {
        if lsn > self.args.journal.settled() {
            self.args.journal.park(lsn, parked);
        } else {
            parked.release(Ok(()));
        }
    }

    async fn lend(&mut self, borrower: oneshot::Sender<Option<Loan>>) -> Result<(), Failure> {
        failpoint::hit(Point::ShardLend);
        let Some(mut store) = self.store.take() else {
            let _ = borrower.send(None);
            return Ok(());
        };
        store.notices_mut().want(self.args.audience.wants());
        let (back, home) = oneshot::channel();
        // A borrower that went away drops the loan, which sends the store home like any other.
        let last_lsn = self.last_lsn.max(self.evicted_lsn);
        let _ = borrower.send(Some(Loan::new(store, last_lsn, back)));
        let (store, last_lsn) = home.await.map_err(|_| {
            Failure::new("a coordinator ended in the middle of a commit with this shard's store")
        })?;
        self.store = Some(store);
        self.last_lsn = last_lsn;
        failpoint::hit(Point::ShardHome);
        // A coordinator that ended early leaves the effects of what it had run.
        self.flush_effects();
        self.tell();
        Ok(())
    }

    fn sweep(&mut self, me: &Me<ShardMsg<J>>) {
        if !self.active_expire || self.args.journal.writable().is_err() {
            return;
        }
        let Some(store) = &mut self.store else { return };
        let (now, begun) = (self.args.clock.unix_ms(), Instant::now());
        if let Some(tier) = &self.tier {
            store.keep_fresh(*tier.freshness.borrow(), now);
        }
        store.notices_mut().want(self.args.audience.wants());
        let expired = store.expire_due(SWEEP_MAX, now);
        let evicted = store.evict_to_fit(SWEEP_MAX, now);
        let took = begun.elapsed().as_nanos();
        store.record_sweep(u64::try_from(took).unwrap_or(u64::MAX));
        failpoint::hit(Point::ShardSweep);
        self.flush_effects();
        self.tell();
        if expired.more || evicted.more {
            me.send(ShardMsg::Sweep);
        }
    }

    fn reconfigure(&mut self, config: StoreConfig) {
        if let Some(store) = &mut self.store {
            store.reconfigure(config);
        }
        self.flush_effects();
    }

    /// Tells what happened to keys that nobody's command is to blame for.
    fn tell(&mut self) {
        if let Some(store) = &mut self.store
            && !store.notices().is_empty()
        {
            self.args.audience.hear(store.notices_mut(), 0);
        }
    }

    fn flush_effects(&mut self) {
        let Some(store) = &mut self.store else { return };
        if !store.effects_mut().is_empty() && self.args.journal.writable().is_ok() {
            let evictions = store.effects().is_evictions_only();
            store.mark_effects();
            let lsn = self.args.journal.append(store.effects_mut(), None);
            store.stamp_effects(lsn);
            if evictions {
                self.evicted_lsn = lsn;
            } else {
                self.last_lsn = lsn;
            }
        }
    }

    /// The store, once the log has been given every effect on it: what is exported must not be
    /// ahead of the LSNs that exist.
    fn exportable(&mut self) -> Result<&mut Store, NotExported> {
        if self.store.as_ref().is_some_and(|store| !store.effects().is_empty()) {
            self.args.journal.writable()?;
            self.flush_effects();
        }
        self.store.as_deref_mut().ok_or(NotExported::Loading)
    }

    fn export(&mut self, walk: u64, cursor: u64) -> Result<Exported, NotExported> {
        let mut records = RecordBatch::new();
        let store = self.exportable()?;
        let next = store.export(walk, cursor, ExportLimits::default(), &mut records)?;
        failpoint::hit(Point::ShardExport);
        Ok(Exported { records, next })
    }

    fn stats(&self) -> ShardStats {
        let Some(store) = &self.store else { return ShardStats::default() };
        let now = self.args.clock.unix_ms();
        ShardStats {
            entries: store.entries(),
            bytes: store.memory(),
            databases: (0..store.config().databases)
                .map(|db| DatabaseStats {
                    keys: store.len(db),
                    expires: store.expires_len(db),
                    avg_ttl_ms: store.avg_ttl_ms(db, now),
                })
                .collect(),
            counters: *store.stats(),
            near: store.near_stats(),
        }
    }
}

impl<J: Send + 'static> super::sweeper::SweepTarget for Handle<ShardMsg<J>> {
    fn sweep(&self) {
        // A shard that is down has nothing to sweep.
        let _ = self.cast(ShardMsg::Sweep);
    }
}

#[cfg(test)]
mod tests;
